//! Dropping a season's schedules from Redis: exactly those, whatever characters its name has.

use crate::schedule_cache::Keys;
use crate::services::Site;
use crate::types::{Player, Season};
use crate::{Result, failpoint};

/// Drops them; how many there were. Looks at every key of that Redis, page by page.
///
/// # Errors
/// `Unavailable` if Redis is away.
pub(super) async fn clear(site: &Site, season: &Season) -> Result<u64> {
    let (mut cursor, mut dropped) = ("0".to_owned(), 0);
    loop {
        let (next, found) = site.cache.present(&cursor).await?;
        for keys in found.iter().filter(|keys| is_of(site, keys, season)) {
            dropped += u64::from(site.cache.forget(keys).await?);
        }
        failpoint::hit(&site.config.site, "archive_cleared").await?;
        if next == "0" {
            return Ok(dropped);
        }
        cursor = next;
    }
}

/// Whether a schedule is of this season. In a key a student's name has no colon, so the
/// season is what follows the first one.
fn is_of(site: &Site, keys: &Keys, season: &Season) -> bool {
    let nobodys = site.cache.keys(&Player::stored(""), season).schedule;
    let Some((start, season)) = nobodys
        .strip_prefix(&site.config.srs.key_prefix)
        .and_then(|key| key.split_once(':'))
    else {
        return false;
    };
    keys.schedule
        .strip_prefix(&site.config.srs.key_prefix)
        .and_then(|key| key.strip_prefix(start)?.strip_prefix(':')?.split_once(':'))
        .is_some_and(|(_, rest)| format!(":{rest}") == season)
}
