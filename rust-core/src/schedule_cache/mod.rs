//! Students' schedules in Redis.
//!
//! # What is there
//!
//! `srs:<user>:<season>` is a sorted set, member question, score due time (UTC seconds),
//! which other readers and tools know. Beside it a hash of *details*, on demand one set
//! per *subject*, and while it is being built a *lease* and *staged* keys.
//!
//! # When it is believed
//!
//! bench's Redis evicts any key at any moment, and writing one question to a missing key
//! would make a set that looks like all of them. So the set itself holds a *marker*
//! that names format, site and Redis instance; a set without it does not exist, and
//! nothing but [`Fill::publish`] puts it there. A set whose marker names another *site*
//! means that two sites share a Redis and a key prefix: that is an error, treated as if
//! Redis were away.
//!
//! # What is atomic
//!
//! Everything that decides and then reads or writes is one script (`scripts/*.lua`), one
//! round trip. States are ordered by version ([`QuestionState::beats`]); a script never
//! replaces a newer one. Losing a companion costs a refill, never a wrong answer.

mod compare;
pub(crate) mod details;
mod dump;
mod fill;
mod fill_many;
mod keys;
mod look;
mod public;
mod scripts;
mod season;

use std::sync::Arc;
use std::time::Duration;

pub use compare::{Drawn, Inspected, Mend, Remedy, Seen};
pub use fill::{Fill, Published};
pub use fill_many::Begun;
pub use keys::Keys;
pub use public::{Glance, MAX_CARRIED};
use redis::Value;
pub use season::{Counted, Counting};

use crate::servers::redis::{RedisLink, ScriptCall};
use crate::types::{Player, QuestionState, Season, UtcMicros};
use crate::{Error, Result, failpoint};

/// Format of marker and details; another format means that the key does not exist.
const FORMAT: &str = "srs1";

/// Bytes of a round trip that writes many students' states, about: a few milliseconds of
/// Redis' time, between which it serves others.
const ROUND_TRIP: usize = 64 * 1024;

/// Keys that a page of a SCAN looks at: a fraction of a millisecond of Redis' time.
const KEYS_PER_PAGE: usize = 1000;

/// The schedules of one site.
pub struct ScheduleCache {
    link: Arc<RedisLink>,
    prefix: String,
    /// The marker without the instance.
    own: Vec<u8>,
    /// Who the server is.
    server: look::Server,
}

/// Whether a schedule could be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup<T> {
    /// It is complete, and this is the answer.
    Complete(T),
    /// There is no complete schedule (or no valid companion for this question).
    Incomplete,
}

/// A page of due questions.
#[derive(Debug, Clone, PartialEq)]
pub struct DuePage {
    /// How many are due in all.
    pub total: u64,
    /// The most overdue ones, most overdue first.
    pub questions: Vec<QuestionState>,
}

/// What the cache knows of one question.
#[derive(Debug, Clone, PartialEq)]
pub enum Known {
    /// The schedule is complete and does not hold it.
    Absent,
    /// It is there, but its details are not valid: ask the table.
    NoDetails,
    /// Its state.
    State(QuestionState),
}

/// What the cache knows of the questions asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct KnownStates {
    /// One for each id, in order.
    pub states: Vec<Known>,
    /// Questions in the whole schedule.
    pub questions: u64,
}

/// What became of a write to the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applied {
    /// Whether the schedule was complete, so that the states now show.
    pub complete: bool,
    /// Whether the details have grown so much that a refill pays.
    pub overfull: bool,
}

impl ScheduleCache {
    /// The schedules of `site` on this Redis under `prefix` (`srs_key_prefix`).
    pub fn new(link: Arc<RedisLink>, site: &str, prefix: &str) -> Self {
        let own = [b"\0", FORMAT.as_bytes(), b":", site.as_bytes(), b"\0"].concat();
        Self {
            link,
            prefix: prefix.to_owned(),
            own,
            server: look::Server::empty(),
        }
    }

    /// The keys of one student's season.
    pub fn keys(&self, player: &Player, season: &Season) -> Keys {
        Keys::new(&self.prefix, player, season)
    }

    /// Whose schedule a key of [`ScheduleCache::present`] holds; `None` of no student's.
    pub fn owner(&self, keys: &Keys) -> Option<(Player, Season)> {
        keys.owner(&self.prefix)
    }

    /// Gives up the connection ([`RedisLink::rest`]).
    pub fn rest(&self) {
        self.link.rest();
    }

    /// The `limit` most overdue questions at `now`, of one subject if given, with the true
    /// total. One round trip.
    ///
    /// # Errors
    /// `Unavailable` if Redis is away, is a replica, or holds another site's schedules.
    pub async fn due(
        &self,
        player: &Player,
        season: &Season,
        subject: Option<&str>,
        now: UtcMicros,
        limit: usize,
    ) -> Result<Lookup<DuePage>> {
        let keys = self.keys(player, season);
        let mut call = scripts::DUE.key(&keys.schedule);
        call.key(keys.details());
        if let Some(subject) = subject {
            call.key(keys.subject(subject));
        }
        call.arg(&self.own).arg(now.to_score()).arg(limit);
        read_due(self.link.told(&mut call).await?)
    }

    /// The states of these questions. One round trip.
    ///
    /// # Errors
    /// `Unavailable` as for [`ScheduleCache::due`].
    pub async fn states(
        &self,
        player: &Player,
        season: &Season,
        ids: &[&str],
    ) -> Result<Lookup<KnownStates>> {
        let keys = self.keys(player, season);
        let mut call = scripts::STATES.key(&keys.schedule);
        call.key(keys.details()).arg(&self.own);
        for id in ids {
            call.arg(id).arg(&details::fingerprint(id)[..]);
        }
        let mut reply = Reply::new(self.link.told(&mut call).await?)?;
        if !reply.complete()? {
            return Ok(Lookup::Incomplete);
        }
        let questions = u64::try_from(reply.int()?).unwrap_or(0);
        let scores = reply.list()?;
        let records = reply.list()?;
        let names = reply.names()?;
        let states = ids
            .iter()
            .zip(scores.iter().zip(&records))
            .map(|(id, (score, record))| {
                if bytes(score).is_none() {
                    return Known::Absent;
                }
                due_of(score)
                    .and_then(|due| details::unpack(id, due, bytes(record)?, &names))
                    .map_or(Known::NoDetails, Known::State)
            })
            .collect();
        Ok(Lookup::Complete(KnownStates { states, questions }))
    }

    /// Sets the states that are newer than the schedule's, if it is complete; a fill under
    /// way will read again. One round trip.
    ///
    /// # Errors
    /// `Unavailable` as for [`ScheduleCache::due`]; the write may have happened.
    pub async fn apply(
        &self,
        player: &Player,
        season: &Season,
        states: &[QuestionState],
    ) -> Result<Applied> {
        let call = self.apply_call(player, season, states);
        let mut replies = self.link.all_told(vec![call]).await?;
        applied(replies.pop().unwrap_or_else(|| Err(unexpected()))?)
    }

    /// As [`ScheduleCache::apply`], for many students, several a round trip; what came of
    /// each, up to the first that the server did not answer.
    pub async fn apply_all(
        &self,
        writes: &[(&Player, &Season, &[QuestionState])],
    ) -> Vec<Result<Applied>> {
        let mut done = Vec::with_capacity(writes.len());
        let mut writes = writes.iter().peekable();
        while writes.peek().is_some() {
            let (mut calls, mut bytes) = (Vec::new(), 0);
            while bytes < ROUND_TRIP
                && let Some((player, season, states)) = writes.next()
            {
                let call = self.apply_call(player, season, states);
                bytes += call.bytes();
                calls.push(call);
            }
            match self.link.all_told(calls).await {
                Ok(replies) => done.extend(replies.into_iter().map(|reply| applied(reply?))),
                Err(error) => {
                    done.push(Err(error));
                    break;
                }
            }
        }
        done
    }

    fn apply_call(&self, player: &Player, season: &Season, states: &[QuestionState]) -> ScriptCall {
        let keys = self.keys(player, season);
        let lease = match failpoint::planted("no_dirty") {
            true => format!("{}:none", keys.lease()),
            false => keys.lease(),
        };
        let keys_of_call: [&str; 3] = [&keys.schedule, &keys.details(), &lease];
        let mut call = ScriptCall::new(&scripts::APPLY, &keys_of_call);
        call.arg(&self.own).arg(keys.subject_prefix());
        for state in states {
            let id = state.question.as_str();
            call.arg(id)
                .arg([&details::fingerprint(id)[..], &details::pack(state)].concat())
                .arg(state.due.to_score())
                .arg(state.subject.as_deref().unwrap_or_default())
                .arg(state.topic.as_deref().unwrap_or_default());
        }
        call
    }

    /// Gives questions that have neither subject nor topic theirs: (question, subject,
    /// topic). Versions stay; a fill under way will read again. One round trip.
    ///
    /// # Errors
    /// `Unavailable` as for [`ScheduleCache::due`]; the write may have happened.
    pub async fn name(
        &self,
        player: &Player,
        season: &Season,
        names: &[(&str, Option<&str>, Option<&str>)],
    ) -> Result<()> {
        let keys = self.keys(player, season);
        let mut call = scripts::NAME.key(&keys.schedule);
        call.key(keys.details()).key(keys.lease());
        call.arg(&self.own).arg(keys.subject_prefix());
        for (question, subject, topic) in names {
            call.arg(question)
                .arg(&details::fingerprint(question)[..])
                .arg(subject.unwrap_or_default())
                .arg(topic.unwrap_or_default());
        }
        Reply::new(self.link.told(&mut call).await?)?.complete()?;
        Ok(())
    }

    /// Forgets one student's schedule; the next read comes from the table. True if there was
    /// one.
    ///
    /// # Errors
    /// `Unavailable` if Redis is away or a replica.
    pub async fn invalidate(&self, player: &Player, season: &Season) -> Result<bool> {
        self.forget(&self.keys(player, season)).await
    }

    /// As [`ScheduleCache::invalidate`], for keys that [`ScheduleCache::present`] found.
    ///
    /// # Errors
    /// As [`ScheduleCache::invalidate`].
    pub async fn forget(&self, keys: &Keys) -> Result<bool> {
        self.forget_with(keys, &[]).await
    }

    /// As [`ScheduleCache::forget`], with companions that were found: subjects' sets whose
    /// details are gone are known to nobody else.
    pub(super) async fn forget_with(&self, keys: &Keys, companions: &[String]) -> Result<bool> {
        let mut call = scripts::INVALIDATE.key(&keys.schedule);
        call.key(keys.details()).key(keys.lease());
        for companion in companions {
            call.key(companion);
        }
        call.arg(&self.own).arg(keys.subject_prefix());
        let mut reply = Reply::new(self.link.told(&mut call).await?)?;
        match reply.int()? {
            // Nobody of this site believes it.
            FOREIGN => Ok(false),
            code => {
                standing(code)?;
                Ok(reply.int()? == 1)
            }
        }
    }

    /// One page of the schedules that are there, of whatever standing, from `cursor` ("0"
    /// first), and the next cursor, "0" at the end. Looks at every key of this Redis, so
    /// only for what concerns all students.
    ///
    /// # Errors
    /// `Unavailable` if Redis is away.
    pub async fn present(&self, cursor: &str) -> Result<(String, Vec<Keys>)> {
        let mut scan = redis::cmd("SCAN");
        let pattern = format!("{}srs:*", self.prefix);
        scan.arg(cursor).arg("MATCH").arg(pattern);
        scan.arg("COUNT").arg(KEYS_PER_PAGE);
        let (next, found): (String, Vec<Vec<u8>>) = self.link.query(&scan).await?;
        let schedules = found
            .into_iter()
            .filter_map(|key| String::from_utf8(key).ok());
        let keys = schedules.map(|schedule| Keys { schedule });
        Ok((next, keys.collect()))
    }
}

/// What the script `due` found.
pub(crate) fn read_due(reply: Value) -> Result<Lookup<DuePage>> {
    let mut reply = Reply::new(reply)?;
    if !reply.complete()? {
        return Ok(Lookup::Incomplete);
    }
    let total = u64::try_from(reply.int()?).unwrap_or(0);
    let (page, records) = (reply.bytes()?, reply.bytes()?);
    let (named, names) = (reply.int()?, reply.bytes()?);
    let page = std::str::from_utf8(&page).ok();
    let names = std::str::from_utf8(&names).ok();
    let questions = page.zip(names).and_then(|(page, names)| {
        let names = details::Names::joined(names, usize::try_from(named).ok()?)?;
        due_page(page, &records, &names)
    });
    let Some(questions) = questions else {
        return Ok(Lookup::Incomplete);
    };
    Ok(Lookup::Complete(DuePage { total, questions }))
}

/// What a write came to.
fn applied(reply: Value) -> Result<Applied> {
    let mut reply = Reply::new(reply)?;
    let complete = reply.complete()?;
    let _written = reply.int()?;
    let largest = u64::try_from(reply.int()?).unwrap_or(0);
    Ok(Applied {
        complete,
        overfull: largest > details::OVERFULL,
    })
}

/// The questions of a page as `due.lua` joins them; `None` if one of them has no record of its
/// due time, or the parts do not fit the records: a text with a zero byte in it.
fn due_page(page: &str, records: &[u8], names: &details::Names) -> Option<Vec<QuestionState>> {
    let mut parts = page.split('\0');
    let questions = records
        .chunks(details::RECORD)
        .map(|record| {
            let (id, score) = (parts.next()?, parts.next()?);
            let due = UtcMicros::from_score(score.parse().ok()?)?;
            details::unpack(id, due, record, names)
        })
        .collect::<Option<Vec<_>>>()?;
    let rest = if questions.is_empty() { Some("") } else { None };
    (parts.next() == rest).then_some(questions)
}

/// The standing of a schedule of another site.
const FOREIGN: i64 = 2;

/// The standing that a script found.
fn standing(code: i64) -> Result<bool> {
    let away = |message: &str| Err(Error::unavailable(message, Duration::from_secs(5)));
    match code {
        0 => Ok(true),
        1 => Ok(false),
        FOREIGN => away(
            "Another site keeps its schedules in this Redis under the same prefix; give one of \
             them an srs_key_prefix, a logical database or a Redis of its own",
        ),
        3 => away("The Redis with the schedules is a replica"),
        _ => Err(unexpected()),
    }
}

fn unexpected() -> Error {
    Error::internal("A Redis script gave an unexpected reply")
}

/// A script's reply, read from front to back.
struct Reply(std::vec::IntoIter<Value>);

impl Reply {
    fn new(value: Value) -> Result<Self> {
        match value {
            Value::Array(items) => Ok(Self(items.into_iter())),
            _ => Err(unexpected()),
        }
    }

    fn complete(&mut self) -> Result<bool> {
        standing(self.int()?)
    }

    fn int(&mut self) -> Result<i64> {
        match self.0.next() {
            Some(Value::Int(n)) => Ok(n),
            _ => Err(unexpected()),
        }
    }

    fn bytes(&mut self) -> Result<Vec<u8>> {
        match self.0.next() {
            Some(Value::BulkString(bytes)) => Ok(bytes),
            _ => Err(unexpected()),
        }
    }

    fn list(&mut self) -> Result<Vec<Value>> {
        match self.0.next() {
            Some(Value::Array(items)) => Ok(items),
            _ => Err(unexpected()),
        }
    }

    fn names(&mut self) -> Result<details::Names> {
        let names = self
            .list()?
            .chunks(2)
            .filter_map(|pair| {
                Some((
                    text(pair.first()?)?.parse().ok()?,
                    text(pair.get(1)?)?.to_owned(),
                ))
            })
            .collect();
        Ok(details::Names(names))
    }
}

fn bytes(value: &Value) -> Option<&[u8]> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        _ => None,
    }
}

fn text(value: &Value) -> Option<&str> {
    bytes(value).and_then(|b| std::str::from_utf8(b).ok())
}

fn due_of(score: &Value) -> Option<UtcMicros> {
    text(score)?.parse().ok().and_then(UtcMicros::from_score)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{QuestionId, Stability, Version};

    #[test]
    fn a_page_fits_its_records_or_is_none() {
        let state = |id: &str, due| QuestionState {
            question: QuestionId::stored(id),
            stability: Stability::from_f64(2.5),
            due: UtcMicros(due),
            last_review: None,
            version: Version(1),
            subject: None,
            topic: None,
        };
        let states = [
            state("Q-1", 1_768_816_800_500_000),
            state("Q-2:1", 1_768_816_801_000_000),
        ];
        let names = || details::Names(Vec::new());
        let records = states.iter().fold(Vec::new(), |mut records, state| {
            records.extend(details::fingerprint(state.question.as_str()));
            records.extend(details::pack(state));
            records.extend([0; 4]);
            records
        });
        let page = "Q-1\x001768816800.5\0Q-2:1\x001768816801";
        assert_eq!(due_page(page, &records, &names()), Some(states.to_vec()));
        assert_eq!(due_page("", &[], &names()), Some(Vec::new()));
        for wrong in [
            "",
            "Q-1\x001768816800.5",
            // Of another due time.
            "Q-1\x001768816801\0Q-2:1\x001768816801",
            // A zero byte within an id.
            "Q\0-1\x001768816800.5\0Q-2:1\x001768816801",
            "Q-1\x001768816800.5\0Q-2:1\x001768816801\0",
        ] {
            assert_eq!(due_page(wrong, &records, &names()), None, "{wrong:?}");
        }
        assert_eq!(due_page(page, &records[..34], &names()), None);
    }
}
