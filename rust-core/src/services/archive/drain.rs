//! What was accepted for the season and is not in the table yet, into the table.

use std::time::Duration;

use crate::services::{Site, apply, unjournaled};
use crate::store::apply::Work;
use crate::store::journal;
use crate::types::Season;
use crate::{Error, ErrorKind, Result};

/// Journal rows of one transaction.
const ROWS: u32 = 64;
/// Students whose entries on the queue's Redis are looked at.
const STUDENTS: usize = 10_000;
/// Looks through spool and queue, each of some students.
const LOOKS: u32 = 200;

/// Applies it.
///
/// # Errors
/// `Conflict` if something cannot be applied, saying what to do; `Unavailable` if a server
/// is away.
pub(super) async fn drain(site: &Site, season: &Season) -> Result<()> {
    journal_it(site, season).await?;
    loop {
        let keys = journal::unapplied_of_season(&site.db, season, ROWS).await?;
        if keys.is_empty() {
            return Ok(());
        }
        let work: Vec<Work> = keys
            .into_iter()
            .map(|key| Work {
                key,
                job_id: None,
                submission: None,
            })
            .collect();
        let outcomes = apply::apply(site, &work, "archive").await;
        let failed: Vec<Error> = outcomes.into_iter().filter_map(Result::err).collect();
        if let Some(error) = failed.first() {
            return Err(match error.kind() {
                ErrorKind::Unavailable => error.clone(),
                _ => in_the_way(season, failed.len()).with_source(error.clone()),
            });
        }
    }
}

fn in_the_way(season: &Season, count: usize) -> Error {
    Error::new(
        ErrorKind::Conflict,
        format!(
            "{count} accepted submits of {season} cannot be applied and are in the way: see \
             memora-srs journal list --season, and retry or dismiss them"
        ),
    )
}

/// First what has no journal row yet. Spools of other hosts are theirs to empty; what comes
/// of them later is merged into the archive.
async fn journal_it(site: &Site, season: &Season) -> Result<()> {
    for _ in 0..LOOKS {
        unjournaled::look(site).await?;
        let left = site.unjournaled.oldest(STUDENTS).await?;
        if !left.iter().any(|submission| submission.season == *season) {
            return Ok(());
        }
    }
    Err(Error::unavailable(
        format!("Submits of {season} on the queue's Redis do not get into the journal"),
        Duration::from_secs(30),
    ))
}
