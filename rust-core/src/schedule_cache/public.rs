//! What callers from outside do with a schedule by id and due time alone: the operations
//! behind `SRSRedisManager`.
//!
//! They know no stability and no version, and they write to keys that are not there. So a
//! key that such a write makes is *partial*: it carries a marker of its own, no read of a
//! session believes it, and the fill that makes the schedule complete takes its members
//! over (at most [`MAX_CARRIED`]).

use std::time::Duration;

use redis::Value;

use super::keys::SCHEDULE_TTL_MS;
use super::{Reply, ScheduleCache, details, dump, scripts, text, unexpected};
use crate::Result;
use crate::types::{Player, Season, UtcMicros};

/// Members of a partial key that a fill takes over, at most.
pub const MAX_CARRIED: usize = 1000;
/// Questions of one call of the script.
const CHUNK: usize = 500;
/// Members of one page: well under a millisecond of Redis' time.
const PAGE: usize = 1000;
/// Members of a schedule that is read at once: a tenth of a millisecond of Redis' time, half
/// a one if it must be asked plainly.
const AT_ONCE: usize = 2000;

/// A schedule by id and due time; of a key that is neither complete nor partial, nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Glance {
    /// Whether the schedule is complete.
    pub complete: bool,
    /// Questions in it.
    pub questions: u64,
    /// Questions that are due.
    pub due: u64,
    /// Ids of the most overdue ones, most overdue first.
    pub ids: Vec<String>,
}

impl ScheduleCache {
    /// Sets when these questions are due. The questions that a complete schedule has no
    /// record of come back, not set: what to say of them only the table knows. A key that
    /// is missing is made, to live for `ttl`. One round trip for 500 questions.
    ///
    /// # Errors
    /// `Unavailable` as for [`ScheduleCache::due`]; part of the questions may be set.
    pub async fn put(
        &self,
        player: &Player,
        season: &Season,
        items: &[(&str, UtcMicros)],
        ttl: Option<Duration>,
    ) -> Result<Vec<String>> {
        let keys = self.keys(player, season);
        let ttl = ttl.map_or(SCHEDULE_TTL_MS, |ttl| {
            u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)
        });
        let mut unknown = Vec::new();
        for chunk in items.chunks(CHUNK) {
            let mut call = scripts::PUT.key(&keys.schedule);
            call.key(keys.details()).key(keys.lease());
            call.arg(&self.own).arg(keys.subject_prefix()).arg(ttl);
            for (question, due) in chunk {
                call.arg(question)
                    .arg(&details::fingerprint(question)[..])
                    .arg(due.to_score())
                    .arg(&details::due_check(*due)[..]);
            }
            let mut reply = Reply::new(self.link.told(&mut call).await?)?;
            reply.complete()?;
            let left = reply.list()?;
            unknown.extend(left.iter().filter_map(text).map(str::to_owned));
        }
        Ok(unknown)
    }

    /// Takes a question out; whether it was there.
    ///
    /// # Errors
    /// `Unavailable` as for [`ScheduleCache::due`]; it may be out.
    pub async fn remove(&self, player: &Player, season: &Season, question: &str) -> Result<bool> {
        let keys = self.keys(player, season);
        let mut call = scripts::REMOVE.key(&keys.schedule);
        call.key(keys.details()).key(keys.lease());
        call.arg(&self.own)
            .arg(keys.subject_prefix())
            .arg(question)
            .arg(&details::fingerprint(question)[..]);
        let mut reply = Reply::new(self.link.told(&mut call).await?)?;
        reply.complete()?;
        Ok(reply.int()? == 1)
    }

    /// The `limit` most overdue ids, most overdue first, and whether the schedule is
    /// complete. One round trip if it is.
    ///
    /// # Errors
    /// `Unavailable` as for [`ScheduleCache::due`].
    pub async fn due_ids(
        &self,
        player: &Player,
        season: &Season,
        now: UtcMicros,
        limit: usize,
    ) -> Result<(bool, Vec<String>)> {
        let key = self.keys(player, season).schedule;
        let looked = self.look(&key, |commands| {
            let range = commands.cmd("ZRANGEBYSCORE").arg(&key);
            range.arg("-inf").arg(now.to_score());
            range.arg("LIMIT").arg(0).arg(limit);
        });
        if let Some(ids) = looked.await?.and_then(|mut r| r.pop()) {
            return Ok((true, ids_of(ids)?));
        }
        let glance = self.glance(player, season, now, limit).await?;
        Ok((glance.complete, glance.ids))
    }

    /// How many questions are due. One round trip if the schedule is complete.
    ///
    /// # Errors
    /// `Unavailable` as for [`ScheduleCache::due`].
    pub async fn due_count(&self, player: &Player, season: &Season, now: UtcMicros) -> Result<u64> {
        let key = self.keys(player, season).schedule;
        let looked = self.look(&key, |commands| {
            let count = commands.cmd("ZCOUNT").arg(&key);
            count.arg("-inf").arg(now.to_score());
        });
        match looked.await?.as_deref() {
            Some([Value::Int(due)]) => Ok(u64::try_from(*due).unwrap_or(0)),
            _ => Ok(self.glance(player, season, now, 0).await?.due),
        }
    }

    /// Counts, and the `limit` most overdue ids. One round trip.
    ///
    /// # Errors
    /// `Unavailable` as for [`ScheduleCache::due`].
    pub async fn glance(
        &self,
        player: &Player,
        season: &Season,
        now: UtcMicros,
        limit: usize,
    ) -> Result<Glance> {
        let keys = self.keys(player, season);
        let mut call = scripts::GLANCE.key(&keys.schedule);
        call.arg(&self.own).arg(now.to_score()).arg(limit);
        let mut reply = Reply::new(self.link.told(&mut call).await?)?;
        let complete = reply.complete()?;
        let count = |n: i64| u64::try_from(n).unwrap_or(0);
        Ok(Glance {
            complete,
            questions: count(reply.int()?),
            due: count(reply.int()?),
            ids: ids_of(Value::Array(reply.list()?))?,
        })
    }

    /// Every question with its due time. A long schedule comes page by page: a question that
    /// is moved meanwhile shows its old time or its new one.
    ///
    /// # Errors
    /// `Unavailable` as for [`ScheduleCache::due`].
    pub async fn scores(&self, player: &Player, season: &Season) -> Result<Vec<(String, f64)>> {
        let mut call = scripts::WHOLE.key(&self.keys(player, season).schedule);
        call.arg(&self.own).arg(AT_ONCE);
        let mut reply = Reply::new(self.link.told(&mut call).await?)?;
        if reply.complete()? {
            reply.int()?;
            if let Some(scores) = reply.0.next().and_then(scores_of) {
                return Ok(scores);
            }
        }
        self.scan(player, season, "any", usize::MAX).await
    }

    /// Members of a partial key, as far as a fill takes them over; nothing of any other.
    ///
    /// # Errors
    /// `Unavailable` as for [`ScheduleCache::due`].
    pub async fn carried(
        &self,
        player: &Player,
        season: &Season,
    ) -> Result<Vec<(String, UtcMicros)>> {
        let members = self.scan(player, season, "partial", MAX_CARRIED).await?;
        let times = members
            .into_iter()
            .filter_map(|(id, score)| Some((id, UtcMicros::from_score(score)?)));
        Ok(times.collect())
    }

    async fn scan(
        &self,
        player: &Player,
        season: &Season,
        of: &str,
        max: usize,
    ) -> Result<Vec<(String, f64)>> {
        let keys = self.keys(player, season);
        let mut found: Vec<(String, f64)> = Vec::new();
        // ZSCAN may show a member twice while the set shrinks.
        let mut seen = std::collections::HashSet::new();
        let mut cursor = "0".to_owned();
        loop {
            let mut call = scripts::SCAN.key(&keys.schedule);
            call.arg(&self.own).arg(&cursor).arg(PAGE).arg(of);
            let mut reply = Reply::new(self.link.told(&mut call).await?)?;
            reply.complete()?;
            cursor = String::from_utf8(reply.bytes()?).map_err(|_| unexpected())?;
            for pair in reply.list()?.chunks(2) {
                let [member, score] = pair else {
                    return Err(unexpected());
                };
                let (Some(id), Some(score)) = (text(member), score_of(score)) else {
                    continue;
                };
                if !id.starts_with('\0') && found.len() < max && seen.insert(id.to_owned()) {
                    found.push((id.to_owned(), score));
                }
            }
            if cursor == "0" || found.len() >= max {
                return Ok(found);
            }
        }
    }

    /// Bytes that the schedule takes in Redis with its details and `subjects`' sets, as
    /// `MEMORY USAGE` estimates them.
    ///
    /// # Errors
    /// `Unavailable` if Redis is away, or refuses `MEMORY`.
    pub async fn bytes(&self, player: &Player, season: &Season) -> Result<u64> {
        let keys = self.keys(player, season);
        let noted: Option<Vec<u8>> = self
            .link
            .query(redis::cmd("HGET").arg(keys.details()).arg("s"))
            .await?;
        let mut call = scripts::SIZE.key(&keys.schedule);
        call.key(keys.details());
        for subject in details::subjects(&noted.unwrap_or_default()) {
            call.key(keys.subject(&subject));
        }
        let bytes: i64 = self.link.told(&mut call).await?;
        Ok(u64::try_from(bytes).unwrap_or(0))
    }

    /// Whether Redis answers now.
    pub async fn is_available(&self) -> bool {
        self.link.query::<String>(&redis::cmd("PING")).await.is_ok()
    }
}

/// What `whole.lua` has read, without the marker; `None` for what cannot be read.
fn scores_of(all: Value) -> Option<Vec<(String, f64)>> {
    let members = match all {
        Value::BulkString(dump) => dump::members(&dump)?,
        Value::Array(all) => {
            let (mut members, mut all) = (Vec::with_capacity(all.len() / 2), all.into_iter());
            while let (Some(Value::BulkString(member)), Some(score)) = (all.next(), all.next()) {
                members.push((member, text(&score)?.parse().ok()?));
            }
            members
        }
        _ => return None,
    };
    let scores = members.into_iter().filter_map(|(member, score)| {
        let is_ours = member.first() != Some(&0) && UtcMicros::from_score(score).is_some();
        Some((String::from_utf8(member).ok().filter(|_| is_ours)?, score))
    });
    Some(scores.collect())
}

fn ids_of(ids: Value) -> Result<Vec<String>> {
    match ids {
        Value::Array(ids) => Ok(ids.into_iter().filter_map(id_of).collect()),
        _ => Err(unexpected()),
    }
}

/// `None` for what is no text, which no question of ours is.
fn id_of(id: Value) -> Option<String> {
    match id {
        Value::BulkString(bytes) => String::from_utf8(bytes).ok(),
        _ => None,
    }
}

fn score_of(score: &Value) -> Option<f64> {
    let score: f64 = text(score)?.parse().ok()?;
    UtcMicros::from_score(score).map(|_| score)
}
