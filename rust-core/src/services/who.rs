//! Student and season named from outside, in their stored spelling.

use std::sync::Arc;
use std::time::Duration;

use super::{Site, seasons};
use crate::servers::mariadb::MariaDb;
use crate::store::links::{self, Linked};
use crate::store::seasons::SeasonRow;
use crate::types::{Player, UtcMicros, check_name};
use crate::{Error, Result};

/// How long looking a name up may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// MariaDB takes names that differ by case or accents for the same, Redis does not: a
/// schedule under another spelling would be nobody's.
///
/// # Errors
/// `InvalidInput` for a name that cannot be, `NotFound` for a user or season that does
/// not exist, `Unavailable` if the database is away.
pub(super) async fn stored(
    site: &Site,
    user: &str,
    season: &str,
    now: UtcMicros,
) -> Result<(Player, Arc<SeasonRow>)> {
    check_name("user", user)?;
    check_name("season", season)?;
    let season = seasons::named(site, season, now).await?;
    let player = player(site, &Player::stored(user))
        .await?
        .ok_or_else(|| Error::not_found(format!("User {user} does not exist")))?;
    Ok((player, season))
}

/// The student in the stored spelling; `None` if there is no such User.
///
/// # Errors
/// `Unavailable` if the database is away.
pub(super) async fn player(site: &Site, named: &Player) -> Result<Option<Player>> {
    let names = [named.as_str()];
    let found = links::stored(&site.db, Linked::User, &names);
    let mut found = MariaDb::within(PATIENCE, found).await?;
    Ok(found.remove(named.as_str()).map(Player::stored))
}
