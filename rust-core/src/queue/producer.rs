//! Puts submissions into RQ's queue, each at most once.

use std::sync::{Arc, LazyLock};

use redis::Script;

use super::long::LONG_QUEUE;
use super::{Event, PERSIST_METHOD, job, job_id, keys, persistence_job_id};
use crate::batch::{Attempt, Submission, SubmissionKey};
use crate::config::{OWN_QUEUE, RqConfig, SiteConfig};
use crate::servers::redis::RedisLink;
use crate::types::{Player, Season, UtcMicros};
use crate::{Error, Result};

static ENQUEUE: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("scripts/enqueue.lua")));

/// The queue that every bench serves.
const DEFAULT_QUEUE: &str = "default";

/// Where jobs of a site may wait that no other worker need run, without the bench's
/// prefix: `srs_queue` if the site sets it, and `srs_write`, where jobs went before.
///
/// Not `default`, to which jobs go that have no queue of their own: Frappe's workers
/// listen to it.
pub fn own_queues(config: &SiteConfig) -> impl Iterator<Item = &str> {
    let set = config.srs.queue.as_deref();
    set.into_iter()
        .chain((set != Some(OWN_QUEUE)).then_some(OWN_QUEUE))
}

/// What became of a submission that was to be queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Enqueued {
    /// The attempt that holds the submission's token: the caller's own if it won.
    pub winner: Attempt,
    /// The caller won, but too many of our jobs wait in a queue that is not ours: there
    /// is no job, the journal row alone hands the submission on.
    pub held_back: bool,
}

/// What became of a job that was to be queued, by others perhaps already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requeued {
    /// There is a new job.
    Queued,
    /// Its job waits or runs already.
    StillThere,
    /// Too many of our jobs wait in a queue that is not ours.
    HeldBack,
}

impl Requeued {
    /// From the script's word for it.
    fn from_word(outcome: &str) -> Self {
        match outcome {
            "queued" => Self::Queued,
            "there" => Self::StillThere,
            _ => Self::HeldBack,
        }
    }
}

/// Puts one site's submissions into the queue. See the module's documentation.
pub struct Producer {
    pub(super) redis: Arc<RedisLink>,
    pub(super) site: String,
    pub(super) rq_major: u32,
    rq: RqConfig,
    wanted: Target,
    /// `None` if `wanted` is certain.
    otherwise: Option<Target>,
    /// For what only Python can do, which is never urgent.
    python: Target,
    /// For what only Python does, and takes long.
    pub(super) long: Target,
    waiting: String,
    token_seconds: i64,
}

/// A queue that jobs may go to.
#[derive(Clone)]
pub(super) struct Target {
    /// RQ's name, with the bench's id.
    pub(super) name: String,
    pub(super) list: String,
    /// Seconds that a job may take.
    pub(super) timeout: String,
    /// Our waiting jobs at most; "" for no bound.
    bound: String,
}

impl Target {
    fn new(config: &SiteConfig, queue: &str) -> Self {
        let name = keys::queue_name(&config.bench_id, queue);
        let bound = match queue {
            DEFAULT_QUEUE => config.srs.default_queue_max.to_string(),
            _ => String::new(),
        };
        Self {
            list: keys::queue(&name),
            timeout: config.rq.timeout(queue).to_string(),
            name,
            bound,
        }
    }
}

impl Producer {
    /// For one site, on the bench's queue Redis.
    ///
    /// Jobs go to `srs_queue` if the site sets it; else to `srs_write` if the bench's
    /// `workers` names it or anything was ever queued there; else to `default`, where at
    /// most `srs_default_queue_max` of ours wait at a time (Frappe 16 refuses its own
    /// jobs on a flooded queue).
    pub fn new(redis: Arc<RedisLink>, config: &SiteConfig) -> Self {
        let (wanted, otherwise) = match config.srs.queue.as_deref() {
            Some(queue) => (queue, None),
            None if config.custom_queues.iter().any(|q| q == OWN_QUEUE) => (OWN_QUEUE, None),
            None => (OWN_QUEUE, Some(DEFAULT_QUEUE)),
        };
        Self {
            redis,
            site: config.site.clone(),
            rq_major: config.rq_major,
            rq: config.rq.clone(),
            wanted: Target::new(config, wanted),
            otherwise: otherwise.map(|queue| Target::new(config, queue)),
            python: Target::new(config, DEFAULT_QUEUE),
            long: Target::new(config, LONG_QUEUE),
            waiting: keys::waiting(&keys::queue_name(&config.bench_id, DEFAULT_QUEUE)),
            token_seconds: i64::from(config.srs.journal_days.max(1)) * 86_400,
        }
    }

    /// How many jobs wait in the queue that ours go to, whoever's they are.
    ///
    /// # Errors
    /// `Unavailable` if the queue's Redis is away.
    pub async fn depth(&self) -> Result<u64> {
        let mut pipeline = redis::pipe();
        pipeline.llen(&self.wanted.list);
        if self.otherwise.is_some() {
            // Jobs of ours in a queue that others use, too.
            pipeline.zcard(&self.waiting);
        }
        let lengths: Vec<u64> = self.redis.pipeline(&pipeline).await?;
        Ok(lengths.iter().sum())
    }

    /// Whether the queue takes what is written: writes nothing, in a way that Redis refuses
    /// as it would refuse a job.
    ///
    /// # Errors
    /// `Unavailable` if the queue's Redis is away, or refuses writes.
    pub async fn try_write(&self) -> Result<()> {
        // Of no bytes, to a key that is not there: it is not there afterwards either.
        let mut write = redis::cmd("SETRANGE");
        write.arg(keys::nothing(&self.site)).arg(0).arg("");
        self.redis.query(&write).await
    }

    /// RQ's name of the queue that jobs go to now.
    ///
    /// # Errors
    /// `Unavailable` if the queue's Redis is away.
    pub async fn queue(&self) -> Result<&str> {
        let Some(otherwise) = &self.otherwise else {
            return Ok(&self.wanted.name);
        };
        // As enqueue.lua decides.
        let served = redis::Cmd::sismember(keys::QUEUES, &self.wanted.list);
        let served: bool = self.redis.query(&served).await?;
        Ok(if served { &self.wanted } else { otherwise }.name.as_str())
    }

    /// Removes the queue that jobs go to, which is nobody else's, with the job of the one
    /// submission that ever went there.
    ///
    /// # Errors
    /// `Unavailable` if the queue's Redis is away.
    pub async fn remove_queue(&self, key: &SubmissionKey) -> Result<()> {
        let name = &self.wanted.name;
        let id = persistence_job_id(&self.site, self.rq_major, &key.player, &key.submission);
        let mut pipe = redis::pipe();
        pipe.srem(keys::QUEUES, &self.wanted.list).ignore();
        for key in [
            keys::token(&self.site, &job_id::token(key)),
            keys::job(&id),
            keys::results(&id),
            keys::executions(&id),
            keys::queue(name),
            keys::started(name),
            keys::finished(name),
            keys::failed(name),
        ] {
            pipe.del(key).ignore();
        }
        self.redis.pipeline(&pipe).await
    }

    /// The id of the job that applies this submission, queued or not.
    pub fn job_id(&self, submission: &Submission) -> String {
        let key = &submission.key;
        persistence_job_id(&self.site, self.rq_major, &key.player, &key.submission)
    }

    /// Queues a submission unless another attempt at it was first. One round trip.
    ///
    /// # Errors
    /// `Unavailable` if the queue Redis is away: whether the job is queued is then
    /// unknown.
    pub async fn enqueue(&self, submission: &Submission) -> Result<Enqueued> {
        let now = UtcMicros(submission.batch.at);
        let (winner, outcome) = self.run(submission, now, "").await?;
        Ok(Enqueued {
            winner,
            held_back: outcome == "held",
        })
    }

    /// Queues a submission again, past the token, with the attempt that the journal has:
    /// for the sweeper. Does nothing while the job waits or runs.
    ///
    /// # Errors
    /// As [`Producer::enqueue`].
    pub async fn requeue(&self, submission: &Submission, now: UtcMicros) -> Result<Requeued> {
        let (_, outcome) = self.run(submission, now, "past").await?;
        Ok(Requeued::from_word(&outcome))
    }

    /// Asks Python, by a job on `default`, for subject and topic of new questions. Does
    /// nothing while the same question waits or runs.
    ///
    /// # Errors
    /// As [`Producer::enqueue`].
    pub async fn ask_for_info(
        &self,
        player: &Player,
        season: &Season,
        questions: &[String],
        now: UtcMicros,
    ) -> Result<Requeued> {
        let id = job_id::info_job_id(&self.site, self.rq_major, player, season, questions);
        let data = job::encode_info_call(&self.site, &id, player, season, questions)?;
        self.for_python(&id, job::FILL_INFO_METHOD, data, now).await
    }

    /// Has Python tell administrators, by a job on `default`, that the cache is away since
    /// `began_at`, or was. Does nothing while the same waits or runs.
    ///
    /// # Errors
    /// As [`Producer::enqueue`].
    pub async fn tell_administrators(
        &self,
        event: Event,
        began_at: UtcMicros,
        ended_at: Option<UtcMicros>,
        now: UtcMicros,
    ) -> Result<Requeued> {
        let event = match event {
            Event::Began => "began",
            Event::Ended => "ended",
        };
        let outage = began_at.floor_seconds().to_score();
        let id = job_id::notice_job_id(&self.site, self.rq_major, event, &outage);
        let data = job::encode_notice(&self.site, &id, event, began_at, ended_at)?;
        self.for_python(&id, job::NOTICE_METHOD, data, now).await
    }

    /// Queues the job that tells administrators by mail what a reconciliation found.
    ///
    /// # Errors
    /// `Unavailable` if the queue Redis is away or full.
    pub async fn tell_of_discrepancies(
        &self,
        report: &serde_json::Value,
        now: UtcMicros,
    ) -> Result<Requeued> {
        let id = job_id::discrepancies_job_id(&self.site, self.rq_major, &report.to_string());
        let data = job::encode_discrepancies(&self.site, &id, report)?;
        self.for_python(&id, job::DISCREPANCIES_METHOD, data, now)
            .await
    }

    /// Queues a job that only Python can run, unless it waits or runs.
    async fn for_python(
        &self,
        id: &str,
        method: &str,
        data: Vec<u8>,
        now: UtcMicros,
    ) -> Result<Requeued> {
        self.plain(id, method, data, &self.python, now).await
    }

    /// Queues a job that is no submission, unless it waits or runs.
    pub(super) async fn plain(
        &self,
        id: &str,
        method: &str,
        data: Vec<u8>,
        target: &Target,
        now: UtcMicros,
    ) -> Result<Requeued> {
        let fields = job::fields(&self.site, self.rq_major, &self.rq, method, data, now, now);
        let entry = Entry {
            id,
            fields: &fields,
            // No submission, so no token: the script leaves the key alone.
            token: &self.waiting,
            attempt: "",
            mode: "plain",
        };
        let (_, outcome) = self.push(entry, target, None, now).await?;
        Ok(Requeued::from_word(&outcome))
    }

    async fn run(
        &self,
        submission: &Submission,
        now: UtcMicros,
        mode: &str,
    ) -> Result<(Attempt, String)> {
        let id = self.job_id(submission);
        let data = job::encode_data(&self.site, &id, submission)?;
        let created_at = UtcMicros(submission.batch.at);
        let fields = job::fields(
            &self.site,
            self.rq_major,
            &self.rq,
            PERSIST_METHOD,
            data,
            created_at,
            now,
        );
        let token = job_id::token_of(submission);
        let entry = Entry {
            id: &id,
            fields: &fields,
            token: &keys::token(&self.site, &token),
            attempt: &submission.attempt.to_hex(),
            mode,
        };
        let otherwise = self.otherwise.as_ref();
        let (winner, outcome) = self.push(entry, &self.wanted, otherwise, now).await?;
        let mut attempt = [0; 16];
        hex::decode_to_slice(&winner, &mut attempt)
            .map_err(|e| Error::internal("A submission's token holds no attempt").with_source(e))?;
        Ok((Attempt(attempt), outcome))
    }

    /// Runs the script: who holds the token, and what became of the job.
    async fn push(
        &self,
        entry: Entry<'_>,
        wanted: &Target,
        otherwise: Option<&Target>,
        now: UtcMicros,
    ) -> Result<(String, String)> {
        let mut call = ENQUEUE.prepare_invoke();
        call.key(entry.token)
            .key(keys::QUEUES)
            .key(&wanted.list)
            .key(&otherwise.unwrap_or(wanted).list)
            .key(keys::job(entry.id))
            .key(&self.waiting)
            .arg(entry.attempt)
            .arg(self.token_seconds)
            .arg(entry.mode)
            .arg(entry.id);
        call.arg(&wanted.name)
            .arg(&wanted.timeout)
            .arg(&wanted.bound);
        match otherwise {
            Some(target) => call
                .arg(&target.name)
                .arg(&target.timeout)
                .arg(&target.bound),
            None => call.arg("").arg("").arg(""),
        };
        call.arg(now.0.div_euclid(1_000_000));
        for (field, value) in entry.fields {
            call.arg(*field).arg(value);
        }
        self.redis.script(&call).await
    }
}

/// A job on its way into a queue.
struct Entry<'a> {
    id: &'a str,
    fields: &'a job::Fields,
    /// Key of the submission's token.
    token: &'a str,
    attempt: &'a str,
    /// See `scripts/enqueue.lua`.
    mode: &'a str,
}
