//! Building a complete schedule under a lease (rehydration).
//!
//! The order is the point: lease, *then* read, stage in chunks, publish in one step. A
//! write that comes between reading and publishing marks the lease dirty, and the fill
//! reads again instead of publishing something older than what was acknowledged.

use redis::Value;

use super::keys::{LEASE_TTL_MS, SCHEDULE_TTL_MS};
use super::{Keys, Reply, ScheduleCache, details, scripts, standing, unexpected};
use crate::Result;
use crate::servers::redis::ScriptCall;
use crate::types::{Player, QuestionState, Season};

/// Members or fields per script call: well under a millisecond of Redis' time each, so that
/// it stays under five also where Redis loses its processor in between.
const CHUNK: usize = 500;
/// Bytes per script call, for details.
const CHUNK_BYTES: usize = 128 * 1024;

/// Subjects with a set of their own, at most; whichever was not asked for lately goes.
const MAX_SUBJECTS: usize = 32;

/// A lease on filling one student's schedule. Dropping it lets the lease run out.
pub struct Fill<'a> {
    cache: &'a ScheduleCache,
    keys: Keys,
    token: String,
    /// Subjects that have a set now: publishing ends what is not staged anew, and a student
    /// who asks for two subjects in turn would never find either.
    present_subjects: Vec<String>,
    staged_subjects: Vec<String>,
    staged_members: usize,
    staged_fields: usize,
}

/// How a fill ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Published {
    /// The schedule is complete now.
    Yes,
    /// A write came meanwhile: read again and stage anew, the lease is still held.
    Dirty,
    /// The lease or what was staged under it is gone.
    Lost,
}

impl ScheduleCache {
    /// Takes the lease on one student's schedule; `None` if somebody has it. Read the
    /// rows only afterwards.
    ///
    /// # Errors
    /// `Unavailable` if Redis is away or a replica.
    pub async fn begin_fill(&self, player: &Player, season: &Season) -> Result<Option<Fill<'_>>> {
        let keys = self.keys(player, season);
        let token = new_token()?;
        let call = lease_call(&keys, &token);
        let mut replies = self.link.all_told(vec![call]).await?;
        self.begun(
            keys,
            token,
            replies.pop().unwrap_or_else(|| Err(unexpected()))?,
        )
    }

    /// The fill whose lease was replied to; `None` if somebody has it.
    pub(super) fn begun(
        &self,
        keys: Keys,
        token: String,
        reply: Value,
    ) -> Result<Option<Fill<'_>>> {
        let mut reply = Reply::new(reply)?;
        if !reply.complete()? {
            return Ok(None);
        }
        let present_subjects = details::subjects(&reply.bytes()?);
        Ok(Some(Fill {
            cache: self,
            keys,
            token,
            present_subjects,
            staged_subjects: Vec::new(),
            staged_members: 0,
            staged_fields: 0,
        }))
    }
}

pub(super) fn new_token() -> Result<String> {
    Ok(crate::batch::Attempt::random()?.to_hex())
}

/// The call that takes the lease.
pub(super) fn lease_call(keys: &Keys, token: &str) -> ScriptCall {
    let mut call = ScriptCall::new(&scripts::LEASE, &[&keys.lease(), &keys.details()]);
    call.arg(token).arg(LEASE_TTL_MS.to_string());
    call
}

impl Fill<'_> {
    /// Writes the whole schedule, and the sets of these subjects and of those that have one
    /// now, beside the present one. Renews the lease with every chunk. `scope` names the site
    /// for failpoints.
    ///
    /// # Errors
    /// `Unavailable` if Redis is away. `Ok(false)` if the lease is lost.
    pub async fn stage(
        &mut self,
        states: &[QuestionState],
        subjects: &[String],
        scope: &str,
    ) -> Result<bool> {
        let fields = self.plan(states, subjects);
        let mut calls = self.chunks(states, &fields);
        let mut next = calls.next();
        while let Some(call) = next {
            // While Redis works on one, the next is put together.
            let sent = self.cache.link.all_told(vec![call]);
            let (replies, following) = tokio::join!(sent, async { calls.next() });
            next = following;
            if !matches!(replies?.pop(), Some(Ok(Value::Int(1)))) {
                return Ok(false);
            }
            crate::failpoint::hit(scope, "chunk_n").await?;
        }
        Ok(true)
    }

    /// What is to be staged, and the fields of the details.
    pub(super) fn plan(&mut self, states: &[QuestionState], subjects: &[String]) -> Fields {
        let mut subjects = subjects.to_vec();
        for present in &self.present_subjects {
            if !subjects.contains(present) {
                subjects.push(present.clone());
            }
        }
        subjects.truncate(MAX_SUBJECTS);
        let fields = details::build(states, &subjects, &self.token);
        (self.staged_members, self.staged_fields) = (states.len(), fields.len());
        self.staged_subjects = subjects;
        fields
    }

    /// The calls that stage what was planned, in this order. Each replies 1, or 0 if the lease
    /// is lost.
    pub(super) fn chunks<'s>(
        &'s self,
        states: &'s [QuestionState],
        fields: &'s Fields,
    ) -> impl Iterator<Item = ScriptCall> + 's {
        let (schedule, details) = (self.keys.staged_schedule(), self.keys.staged_details());
        let begin = self.call(&details, "BEGIN");
        let members = states.chunks(CHUNK).map(move |chunk| {
            let mut call = self.call(&schedule, "ZADD");
            for state in chunk {
                call.arg(state.due.to_score()).arg(state.question.as_str());
            }
            call
        });
        let details = by_bytes(fields).into_iter().map(move |chunk| {
            let mut call = self.call(&details, "HSET");
            for (field, value) in chunk {
                call.arg(field).arg(value);
            }
            call
        });
        let subjects = self.staged_subjects.iter();
        let subjects = subjects.flat_map(move |subject| self.of_subject(subject, states));
        std::iter::once(begin)
            .chain(members)
            .chain(details)
            .chain(subjects)
    }

    fn of_subject(&self, subject: &str, states: &[QuestionState]) -> Vec<ScriptCall> {
        let key = self.keys.staged_subject(subject);
        // The token ties the set to the details that are published with it.
        let mut first = self.call(&key, "ANEW");
        first.arg("+inf").arg(format!("\0{}", self.token));
        let mut calls = vec![first];
        let of_subject: Vec<_> = states
            .iter()
            .filter(|s| s.subject.as_deref() == Some(subject))
            .collect();
        for chunk in of_subject.chunks(CHUNK) {
            let mut call = self.call(&key, "ZADD");
            for state in chunk {
                call.arg(state.due.to_score()).arg(state.question.as_str());
            }
            calls.push(call);
        }
        calls
    }

    /// Puts what was staged in place, in one step.
    ///
    /// # Errors
    /// `Unavailable` if Redis is away.
    pub async fn publish(&self) -> Result<Published> {
        let mut replies = self.cache.link.all_told(vec![self.publish_call()]).await?;
        published(replies.pop().unwrap_or_else(|| Err(unexpected()))?)
    }

    pub(super) fn publish_call(&self) -> ScriptCall {
        let keys = &self.keys;
        let mut all = vec![
            keys.lease(),
            keys.schedule.clone(),
            keys.details(),
            keys.staged_schedule(),
            keys.staged_details(),
        ];
        for subject in &self.staged_subjects {
            all.push(keys.subject(subject));
            all.push(keys.staged_subject(subject));
        }
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let mut call = ScriptCall::new(&scripts::PUBLISH, &all);
        call.arg(&self.token)
            .arg(&self.cache.own)
            .arg(SCHEDULE_TTL_MS.to_string())
            .arg(self.staged_members.to_string())
            .arg(self.staged_fields.to_string());
        call
    }

    /// Gives the lease back without publishing.
    ///
    /// # Errors
    /// `Unavailable` if Redis is away; the lease then runs out by itself.
    pub async fn release(self) -> Result<()> {
        let call = self.release_call();
        let mut replies = self.cache.link.all_told(vec![call]).await?;
        replies
            .pop()
            .unwrap_or_else(|| Err(unexpected()))
            .map(|_| ())
    }

    pub(super) fn release_call(&self) -> ScriptCall {
        let keys = &self.keys;
        let mut all = vec![keys.lease(), keys.staged_schedule(), keys.staged_details()];
        let subjects = self.staged_subjects.iter();
        all.extend(subjects.map(|subject| keys.staged_subject(subject)));
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let mut call = ScriptCall::new(&scripts::RELEASE, &all);
        call.arg(&self.token);
        call
    }

    fn call(&self, key: &str, command: &str) -> ScriptCall {
        let (lease, staged) = (self.keys.lease(), self.keys.staged_schedule());
        let mut call = ScriptCall::new(&scripts::STAGE, &[&lease, &staged, key]);
        call.arg(&self.token)
            .arg(LEASE_TTL_MS.to_string())
            .arg(command);
        call
    }
}

/// The fields of a details hash.
pub(super) type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// What a publication replied.
pub(super) fn published(reply: Value) -> Result<Published> {
    match reply {
        Value::Int(0) => Ok(Published::Yes),
        Value::Int(1) => Ok(Published::Lost),
        Value::Int(2) => Ok(Published::Dirty),
        Value::Int(other) => standing(other).map(|_| Published::Lost),
        _ => Err(unexpected()),
    }
}

/// Cuts fields into calls of bounded size, each with at least one field.
fn by_bytes(fields: &[(Vec<u8>, Vec<u8>)]) -> Vec<&[(Vec<u8>, Vec<u8>)]> {
    let mut chunks = Vec::new();
    let (mut start, mut size) = (0, 0);
    for (i, (k, v)) in fields.iter().enumerate() {
        let more = k.len() + v.len();
        if i > start && (size + more > CHUNK_BYTES || i - start >= CHUNK) {
            chunks.push(&fields[start..i]);
            (start, size) = (i, 0);
        }
        size += more;
    }
    if start < fields.len() {
        chunks.push(&fields[start..]);
    }
    chunks
}
