//! Building a complete schedule under a lease (rehydration).
//!
//! The order is the point: lease, *then* read, stage in chunks, publish in one step. A
//! write that comes between reading and publishing marks the lease dirty, and the fill
//! reads again instead of publishing something older than what was acknowledged.

use redis::ToRedisArgs;

use super::keys::{LEASE_TTL_MS, SCHEDULE_TTL_MS};
use super::{Keys, Reply, ScheduleCache, details, scripts, standing};
use crate::Result;
use crate::types::{Player, QuestionState, Season};

/// Members or fields per script call: well under a millisecond of Redis' time each.
const CHUNK: usize = 1000;
/// Bytes per script call, for details.
const CHUNK_BYTES: usize = 256 * 1024;

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
        let token = crate::batch::Attempt::random()?.to_hex();
        let mut call = scripts::LEASE.key(keys.lease());
        call.key(keys.details()).arg(&token).arg(LEASE_TTL_MS);
        let mut reply = Reply::new(self.link.told(&mut call).await?)?;
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

impl Fill<'_> {
    /// Writes the whole schedule, and the sets of these subjects and of those that have one
    /// now, beside the present one. Renews the lease with every chunk. `scope` names the site for failpoints.
    ///
    /// # Errors
    /// `Unavailable` if Redis is away. `Ok(false)` if the lease is lost.
    pub async fn stage(
        &mut self,
        states: &[QuestionState],
        subjects: &[String],
        scope: &str,
    ) -> Result<bool> {
        let (schedule, details) = (self.keys.staged_schedule(), self.keys.staged_details());
        if !self.begin(&details).await? {
            return Ok(false);
        }
        for chunk in states.chunks(CHUNK) {
            let args = chunk
                .iter()
                .map(|s| (s.due.to_score(), s.question.as_str()));
            if !self.chunk("ZADD", &schedule, args).await? {
                return Ok(false);
            }
            crate::failpoint::hit(scope, "chunk_n").await?;
        }
        let mut subjects = subjects.to_vec();
        for present in &self.present_subjects {
            if !subjects.contains(present) {
                subjects.push(present.clone());
            }
        }
        subjects.truncate(MAX_SUBJECTS);
        let fields = details::build(states, &subjects, &self.token);
        (self.staged_members, self.staged_fields) = (states.len(), fields.len());
        for chunk in by_bytes(&fields) {
            let args = chunk.iter().map(|(k, v)| (&k[..], &v[..]));
            if !self.chunk("HSET", &details, args).await? {
                return Ok(false);
            }
        }
        self.staged_subjects.clear();
        for subject in &subjects {
            if !self.stage_subject(subject, states).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn stage_subject(&mut self, subject: &str, states: &[QuestionState]) -> Result<bool> {
        let key = self.keys.staged_subject(subject);
        // What an earlier, dirty round staged is not of this reading.
        self.cache
            .link
            .query::<i64>(redis::cmd("UNLINK").arg(&key))
            .await?;
        // The token ties the set to the details that are published with it.
        let token = format!("\0{}", self.token);
        let mut good = self
            .chunk("ZADD", &key, [("+inf", token.as_str())].into_iter())
            .await?;
        let of_subject: Vec<_> = states
            .iter()
            .filter(|s| s.subject.as_deref() == Some(subject))
            .collect();
        for chunk in of_subject.chunks(CHUNK) {
            let args = chunk
                .iter()
                .map(|s| (s.due.to_score(), s.question.as_str()));
            good = good && self.chunk("ZADD", &key, args).await?;
        }
        self.staged_subjects.push(subject.to_owned());
        Ok(good)
    }

    /// Puts what was staged in place, in one step.
    ///
    /// # Errors
    /// `Unavailable` if Redis is away.
    pub async fn publish(&self) -> Result<Published> {
        let keys = &self.keys;
        let mut call = scripts::PUBLISH.key(keys.lease());
        call.key(&keys.schedule)
            .key(keys.details())
            .key(keys.staged_schedule())
            .key(keys.staged_details());
        for subject in &self.staged_subjects {
            call.key(keys.subject(subject))
                .key(keys.staged_subject(subject));
        }
        call.arg(&self.token)
            .arg(&self.cache.own)
            .arg(SCHEDULE_TTL_MS)
            .arg(self.staged_members)
            .arg(self.staged_fields);
        match self.cache.link.told::<i64>(&mut call).await? {
            0 => Ok(Published::Yes),
            1 => Ok(Published::Lost),
            2 => Ok(Published::Dirty),
            other => standing(other).map(|_| Published::Lost),
        }
    }

    /// Gives the lease back without publishing.
    ///
    /// # Errors
    /// `Unavailable` if Redis is away; the lease then runs out by itself.
    pub async fn release(self) -> Result<()> {
        let mut call = scripts::RELEASE.key(self.keys.lease());
        call.key(self.keys.staged_schedule())
            .key(self.keys.staged_details());
        for subject in &self.staged_subjects {
            call.key(self.keys.staged_subject(subject));
        }
        call.arg(&self.token);
        self.cache.link.told::<i64>(&mut call).await.map(|_| ())
    }

    /// Starts the staging anew; `Ok(false)` if the lease is lost.
    async fn begin(&self, details: &str) -> Result<bool> {
        let mut call = self.call(details);
        call.arg("BEGIN");
        Ok(self.cache.link.told::<i64>(&mut call).await? == 1)
    }

    async fn chunk(
        &self,
        command: &str,
        key: &str,
        pairs: impl Iterator<Item = (impl ToRedisArgs, impl ToRedisArgs)>,
    ) -> Result<bool> {
        let mut call = self.call(key);
        call.arg(command);
        for (a, b) in pairs {
            call.arg(a).arg(b);
        }
        Ok(self.cache.link.told::<i64>(&mut call).await? == 1)
    }

    fn call(&self, key: &str) -> redis::ScriptInvocation<'static> {
        let mut call = scripts::STAGE.key(self.keys.lease());
        call.key(self.keys.staged_schedule())
            .key(key)
            .arg(&self.token)
            .arg(LEASE_TTL_MS);
        call
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
