//! What is on record of a student: never from the table alone (rule C2).
//!
//! First what was acknowledged without the journal, from the queue's Redis and from what
//! this process still has to put into the journal; then journal and table in one snapshot.
//! A warm read never comes here.

use super::Site;
use super::unjournaled;
use crate::Result;
use crate::store::load::{self, DuePage, Found, Whose};
use crate::types::{QuestionState, UtcMicros};

/// What was found, and what is to be thought of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct OnRecord<T> {
    /// The finding.
    pub(super) found: T,
    /// The queue's Redis could not be asked, and may have known more: what is shown may be
    /// older than what was acknowledged, and must not be published as the whole truth.
    pub(super) doubtful: bool,
}

/// As [`load::all`].
///
/// # Errors
/// `Unavailable` if the database is away.
pub(super) async fn all(site: &Site, whose: Whose<'_>) -> Result<OnRecord<Vec<QuestionState>>> {
    let over = unjournaled::overlay(site, whose.player, whose.season).await?;
    Ok(OnRecord {
        found: load::all(&site.db, whose, over.batches).await?,
        doubtful: over.doubtful,
    })
}

/// As [`load::some`].
///
/// # Errors
/// `Unavailable` if the database is away.
pub(super) async fn some(site: &Site, whose: Whose<'_>, ids: &[&str]) -> Result<OnRecord<Found>> {
    let over = unjournaled::overlay(site, whose.player, whose.season).await?;
    Ok(OnRecord {
        found: load::some(&site.db, whose, over.batches, ids).await?,
        doubtful: over.doubtful,
    })
}

/// As [`load::due`].
///
/// # Errors
/// `Unavailable` if the database is away.
pub(super) async fn due(
    site: &Site,
    whose: Whose<'_>,
    subject: Option<&str>,
    now: UtcMicros,
    limit: usize,
) -> Result<OnRecord<DuePage>> {
    let over = unjournaled::overlay(site, whose.player, whose.season).await?;
    Ok(OnRecord {
        found: load::due(&site.db, whose, over.batches, subject, now, limit).await?,
        doubtful: over.doubtful,
    })
}
