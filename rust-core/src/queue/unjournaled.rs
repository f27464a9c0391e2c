//! Entries of submissions that the journal does not have yet (*unj entries*): what makes
//! them visible to everybody who reads, until their row is there.
//!
//! | key | what |
//! |---|---|
//! | `rq:memora:unj:<site>:<hash>` | hash, of one student and season: submission id → attempt (32 hex digits) and submission as JSON |
//! | `rq:memora:unj:<site>` | sorted set of those hashes that hold entries, by when the first came |
//!
//! An entry is written by who holds the submission's token, and taken out by whoever knows
//! that the journal row is committed. So who reads the entries first and the journal then
//! sees each submission in one of both.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use redis::Script;

use super::call::PersistCall;
use super::{job_id, keys, persistence_job_id};
use crate::batch::{Attempt, Submission, SubmissionKey};
use crate::config::SiteConfig;
use crate::servers::redis::RedisLink;
use crate::types::{Player, Season, UtcMicros};
use crate::{Error, Result};

static NOTE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/note.lua")));
static SETTLE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/settle.lua")));

/// Hex digits of the attempt before each entry.
const ATTEMPT_DIGITS: usize = 32;

/// What is there after a submission was to be kept.
#[derive(Debug, Clone, PartialEq)]
pub enum Noted {
    /// It is kept.
    Yes,
    /// Not: another attempt holds the token, or no attempt does.
    Lost,
}

/// What became of an entry whose submission the journal has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// There was none.
    None,
    /// It was of the attempt that is in the journal.
    Same,
    /// It was of another attempt, which has lost.
    Other,
}

/// A submission that the journal has.
#[derive(Debug, Clone, Copy)]
pub struct Journaled<'a> {
    /// Which.
    pub key: &'a SubmissionKey,
    /// The season under which its entry would be.
    pub season: &'a Season,
    /// The attempt of its row.
    pub attempt: Attempt,
}

/// The entries of one student and season.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Entries {
    /// Their submissions.
    pub submissions: Vec<Submission>,
    /// Whether the site has any entries, of whomever.
    pub site_has_some: bool,
    /// Which process of Redis said so: another one may have lost entries.
    pub instance: String,
}

/// The entries of one site.
pub struct Unjournaled {
    redis: Arc<RedisLink>,
    site: String,
    rq_major: u32,
    seconds: i64,
}

impl Unjournaled {
    /// On the bench's queue Redis.
    pub fn new(redis: Arc<RedisLink>, config: &SiteConfig) -> Self {
        Self {
            redis,
            site: config.site.clone(),
            rq_major: config.rq_major,
            seconds: i64::from(config.srs.journal_days.max(1)) * 86_400,
        }
    }

    /// Keeps a submission whose attempt holds the token. One round trip; doing it again
    /// changes nothing.
    ///
    /// # Errors
    /// `Unavailable` if the queue Redis is away or full: whether it is kept is not known.
    pub async fn note(&self, submission: &Submission, now: UtcMicros) -> Result<Noted> {
        let key = &submission.key;
        let name = job_id::schedule_hash(&key.player, &submission.season);
        let token = job_id::token_of(submission);
        let attempt = submission.attempt.to_hex();
        let entry = [attempt.as_bytes(), &submission.to_json()?].concat();
        let mut call = NOTE.key(keys::token(&self.site, &token));
        call.key(keys::entries(&self.site, &name))
            .key(keys::entry_names(&self.site))
            .arg(&attempt)
            .arg(key.submission.as_str())
            .arg(&entry)
            .arg(&name)
            .arg(self.seconds)
            .arg(now.0.div_euclid(1_000_000));
        let (holder, kept): (String, Vec<u8>) = self.redis.script(&call).await?;
        // The same attempt may have been computed since, so only the attempt counts.
        let ours = holder == attempt && kept.starts_with(attempt.as_bytes());
        Ok(if ours { Noted::Yes } else { Noted::Lost })
    }

    /// Keeps again what this process acknowledged, where another process of Redis may have
    /// lost entry and token: the token is taken if nobody has it.
    ///
    /// # Errors
    /// As [`Self::note`].
    pub async fn note_again(&self, submission: &Submission, now: UtcMicros) -> Result<Noted> {
        let mut take = redis::cmd("SET");
        take.arg(keys::token(&self.site, &job_id::token_of(submission)))
            .arg(submission.attempt.to_hex())
            .arg("NX")
            .arg("EX")
            .arg(self.seconds);
        let _: Option<String> = self.redis.query(&take).await?;
        self.note(submission, now).await
    }

    /// Which process of Redis is there. One round trip.
    ///
    /// # Errors
    /// `Unavailable` if none is.
    pub async fn instance(&self) -> Result<String> {
        let mut ping = redis::pipe();
        ping.cmd("PING").ignore();
        let (instance, ()) = self.redis.pipeline_from(&ping).await?;
        Ok(instance)
    }

    /// The entries of a student and season. One round trip.
    ///
    /// # Errors
    /// `Unavailable` if the queue Redis is away; `Internal` for an entry that cannot be
    /// read: who reads must not miss it.
    pub async fn of(&self, player: &Player, season: &Season) -> Result<Entries> {
        let name = job_id::schedule_hash(player, season);
        let mut pipeline = redis::pipe();
        pipeline
            .cmd("HVALS")
            .arg(keys::entries(&self.site, &name))
            .cmd("EXISTS")
            .arg(keys::entry_names(&self.site));
        type Reply = (Vec<Vec<u8>>, bool);
        let (instance, (entries, some)) = self.redis.pipeline_from::<Reply>(&pipeline).await?;
        let submissions = entries.iter().map(|entry| read(entry));
        let submissions = submissions.collect::<Result<Vec<_>>>()?;
        Ok(Entries {
            submissions: submissions
                .into_iter()
                .filter(|s| s.key.player == *player && s.season == *season)
                .collect(),
            site_has_some: some,
            instance,
        })
    }

    /// The submissions of each of these students in a season, and which process of Redis
    /// said so. One round trip as a rule: none has any if the site has none.
    ///
    /// # Errors
    /// As [`Unjournaled::of`].
    pub async fn of_many(
        &self,
        players: &[&Player],
        season: &Season,
    ) -> Result<(String, Vec<Vec<Submission>>)> {
        let mut exists = redis::pipe();
        exists.cmd("EXISTS").arg(keys::entry_names(&self.site));
        let (instance, (some,)) = self.redis.pipeline_from::<(bool,)>(&exists).await?;
        if !some {
            return Ok((instance, vec![Vec::new(); players.len()]));
        }
        let mut pipeline = redis::pipe();
        for player in players {
            let name = job_id::schedule_hash(player, season);
            pipeline.cmd("HVALS").arg(keys::entries(&self.site, &name));
        }
        let entries: Vec<Vec<Vec<u8>>> = self.redis.pipeline(&pipeline).await?;
        let of = |(player, entries): (&&Player, &Vec<Vec<u8>>)| {
            let mut submissions = Vec::with_capacity(entries.len());
            for entry in entries {
                let submission = read(entry)?;
                if submission.key.player == **player && submission.season == *season {
                    submissions.push(submission);
                }
            }
            Ok(submissions)
        };
        let found: Result<Vec<_>> = players.iter().zip(&entries).map(of).collect();
        Ok((instance, found?))
    }

    /// The submission of `attempt`, which holds the token of this one's id: from its entry,
    /// else from its job. One round trip.
    ///
    /// # Errors
    /// `Unavailable` if the queue Redis is away; another kind if there is something that
    /// cannot be read: it may have been acknowledged.
    pub async fn winner(&self, ours: &Submission, attempt: Attempt) -> Result<Option<Submission>> {
        let key = &ours.key;
        let name = job_id::schedule_hash(&key.player, &ours.season);
        let job = persistence_job_id(&self.site, self.rq_major, &key.player, &key.submission);
        let mut pipeline = redis::pipe();
        pipeline
            .cmd("HGET")
            .arg(keys::entries(&self.site, &name))
            .arg(key.submission.as_str())
            .cmd("HGETALL")
            .arg(keys::job(&job));
        type Reply = (Option<Vec<u8>>, HashMap<String, Vec<u8>>);
        let (entry, hash): Reply = self.redis.pipeline(&pipeline).await?;
        let found = match entry {
            Some(entry) => Some(read(&entry)?),
            None if hash.is_empty() => None,
            None => match PersistCall::from_hash(&job, &hash) {
                Some(call) => Some(call.submission()?),
                None => return Err(Error::internal("A job of ours cannot be read")),
            },
        };
        Ok(found.filter(|found| found.key == *key && found.attempt == attempt))
    }

    /// Takes out the entries of submissions that the journal has. One round trip.
    ///
    /// # Errors
    /// `Unavailable` if the queue Redis is away; who sweeps takes them out later.
    pub async fn settle(&self, rows: &[Journaled<'_>]) -> Result<Vec<Settled>> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let mut call = SETTLE.key(keys::entry_names(&self.site));
        for row in rows {
            let name = job_id::schedule_hash(&row.key.player, row.season);
            call.key(keys::entries(&self.site, &name))
                .arg(row.key.submission.as_str())
                .arg(row.attempt.to_hex())
                .arg(name);
        }
        let outcomes: Vec<i64> = self.redis.script(&call).await?;
        let outcomes = outcomes.into_iter().map(|outcome| match outcome {
            0 => Settled::None,
            1 => Settled::Same,
            _ => Settled::Other,
        });
        Ok(outcomes.collect())
    }

    /// Whether the site has any entries. One round trip.
    ///
    /// # Errors
    /// `Unavailable` if the queue Redis is away.
    pub async fn are_there(&self) -> Result<bool> {
        let mut exists = redis::cmd("EXISTS");
        self.redis
            .query(exists.arg(keys::entry_names(&self.site)))
            .await
    }

    /// Entries of the site, those of the students who have waited longest: of so many
    /// students at most.
    ///
    /// # Errors
    /// `Unavailable` if the queue Redis is away.
    pub async fn oldest(&self, students: usize) -> Result<Vec<Submission>> {
        let names = keys::entry_names(&self.site);
        let mut oldest = redis::cmd("ZRANGE");
        oldest.arg(&names).arg(0).arg(students.saturating_sub(1));
        let found: Vec<String> = self.redis.query(&oldest).await?;
        if found.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipeline = redis::pipe();
        for name in &found {
            pipeline.cmd("HVALS").arg(keys::entries(&self.site, name));
        }
        let entries: Vec<Vec<Vec<u8>>> = self.redis.pipeline(&pipeline).await?;
        let mut tidy = SETTLE.key(&names);
        let mut gone = false;
        for (name, _) in found.iter().zip(&entries).filter(|(_, e)| e.is_empty()) {
            gone = true;
            tidy.key(keys::entries(&self.site, name));
            tidy.arg("").arg("").arg(name);
        }
        if gone {
            self.redis.script::<Vec<i64>>(&tidy).await?;
        }
        let mut submissions = Vec::new();
        for entry in entries.iter().flatten() {
            match read(entry) {
                Ok(submission) => submissions.push(submission),
                // One must not keep the others from the journal. It stays for an operator.
                Err(error) => tracing::error!(
                    site = self.site,
                    ?error,
                    "An entry on the queue's Redis cannot be read"
                ),
            }
        }
        Ok(submissions)
    }

    /// Whether the queue Redis itself keeps this entry on disk: it has it, writes an
    /// append-only file, and its last write to that file went well. One round trip over
    /// one connection, so that all of it is said by one server.
    ///
    /// # Errors
    /// `Unavailable` if the queue Redis is away or will not say.
    pub async fn is_on_disk(&self, submission: &Submission) -> Result<bool> {
        let key = &submission.key;
        let name = job_id::schedule_hash(&key.player, &submission.season);
        let mut pipeline = redis::pipe();
        pipeline
            .cmd("HGET")
            .arg(keys::entries(&self.site, &name))
            .arg(key.submission.as_str())
            .cmd("INFO")
            .arg("persistence");
        let (entry, info): (Option<Vec<u8>>, String) = self.redis.pipeline(&pipeline).await?;
        let attempt = submission.attempt.to_hex();
        let there = entry.is_some_and(|entry| entry.starts_with(attempt.as_bytes()));
        let says = |line: &str| info.lines().any(|l| l.trim_end() == line);
        Ok(there && says("aof_enabled:1") && says("aof_last_write_status:ok"))
    }
}

fn read(entry: &[u8]) -> Result<Submission> {
    let json = entry
        .get(ATTEMPT_DIGITS..)
        .ok_or_else(|| Error::internal("An entry of the queue is too short"))?;
    Submission::from_json(json)
}
