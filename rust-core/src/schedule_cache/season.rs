//! All keys of one season, and how many there are of each.
//!
//! Keys are found by SCAN, page by page, so that no command takes Redis long. Its glob only
//! keeps down what travels: which season a key is of is decided from the key itself
//! ([`Keys::of`]), where names that end alike or hold colons and wildcards cannot be
//! mistaken.

use std::collections::BTreeMap;

use futures_util::{StreamExt, TryStreamExt, stream};

use super::{Keys, ScheduleCache};
use crate::Result;
use crate::types::Season;

/// Keys that a page looks at: a fraction of a millisecond of Redis' time.
const PAGE: u64 = 1000;
/// Schedules forgotten at once.
const AT_ONCE: usize = 32;

/// Where going through all keys stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counting {
    cursor: String,
    /// Keys looked at, roughly.
    pub looked_at: u64,
}

impl Default for Counting {
    fn default() -> Self {
        Self {
            cursor: "0".to_owned(),
            looked_at: 0,
        }
    }
}

impl Counting {
    fn next(self, cursor: String) -> Option<Self> {
        (cursor != "0").then_some(Self {
            cursor,
            looked_at: self.looked_at + PAGE,
        })
    }
}

/// Schedules of each season on one page, of whatever standing.
pub type Counted = BTreeMap<String, u64>;

impl ScheduleCache {
    /// Forgets the schedules of `season` on one page of all keys, with their companions, also
    /// companions whose schedule is gone; how many schedules there were, and where to go on,
    /// `None` at the end. A fill under way will read again. What is made meanwhile may stay.
    ///
    /// # Errors
    /// `Unavailable` if Redis is away or a replica; what is forgotten stays forgotten.
    pub async fn clear_page(
        &self,
        season: &Season,
        at: Counting,
    ) -> Result<(u64, Option<Counting>)> {
        let pattern = Keys::pattern(&self.prefix, season);
        let (cursor, keys) = self.page(&at, &pattern).await?;
        let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for key in keys {
            let Some(keys) = Keys::of(&self.prefix, &key) else {
                continue;
            };
            if !keys.is_of(&self.prefix, season) {
                continue;
            }
            let is_subject = key.starts_with(&keys.subject_prefix());
            let companions = found.entry(keys.schedule).or_default();
            if is_subject {
                companions.push(key);
            }
        }
        let forgotten = stream::iter(found)
            .map(|(schedule, companions)| async move {
                self.forget_with(&Keys { schedule }, &companions).await
            })
            .buffer_unordered(AT_ONCE)
            .try_fold(0, |sum, there| async move { Ok(sum + u64::from(there)) })
            .await?;
        Ok((forgotten, at.next(cursor)))
    }

    /// How many schedules there are of each season on one page of all keys, and where to go
    /// on, `None` at the end. A key that Redis moves meanwhile may be seen twice.
    ///
    /// # Errors
    /// `Unavailable` if Redis is away.
    pub async fn count_page(&self, at: Counting) -> Result<(Counted, Option<Counting>)> {
        let pattern = format!("{}srs:*:*", self.prefix);
        let (cursor, keys) = self.page(&at, &pattern).await?;
        let mut counted = Counted::new();
        for key in keys {
            let keys = Keys::of(&self.prefix, &key);
            if let Some(season) = keys.and_then(|keys| keys.season(&self.prefix)) {
                *counted.entry(season).or_default() += 1;
            }
        }
        Ok((counted, at.next(cursor)))
    }

    /// Bytes that the server uses, and keys in this logical database, of whomever.
    ///
    /// # Errors
    /// `Unavailable` if Redis is away.
    pub async fn size(&self) -> Result<(u64, u64)> {
        let mut asked = redis::pipe();
        asked.cmd("INFO").arg("memory").cmd("DBSIZE");
        let (memory, keys): (redis::InfoDict, u64) = self.link.pipeline(&asked).await?;
        Ok((memory.get("used_memory").unwrap_or(0), keys))
    }

    async fn page(&self, at: &Counting, pattern: &str) -> Result<(String, Vec<String>)> {
        let mut scan = redis::cmd("SCAN");
        scan.arg(&at.cursor).arg("MATCH").arg(pattern);
        scan.arg("COUNT").arg(PAGE);
        let (next, found): (String, Vec<Vec<u8>>) = self.link.query(&scan).await?;
        let keys = found.into_iter();
        let keys = keys.filter_map(|key| String::from_utf8(key).ok());
        Ok((next, keys.collect()))
    }
}
