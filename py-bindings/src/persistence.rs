//! `SRSPersistenceService`: applying accepted answers to the table.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use chrono::NaiveDateTime;
use memora_core::scheduling::{self, Answer, Before, Parameters};
use memora_core::services::persist::{self, JobOptions, Persisted};
use memora_core::services::question_info::{self, Info};
use memora_core::services::{journal, purge, sweep};
use memora_core::site_time::SiteZone;
use memora_core::types::{Stability, UtcMicros};
use memora_core::{Error, Result};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use serde_json::Value;

use crate::convert;
use crate::engine::{OrRaise, SiteRef};
use crate::logging;

/// Applies accepted answers to the table.
#[pyclass(module = "memora_srs", subclass, frozen)]
pub(crate) struct SRSPersistenceService(SiteRef);

#[pymethods]
impl SRSPersistenceService {
    /// Tries after the first.
    #[classattr]
    const MAX_RETRIES: u32 = 3;
    /// Seconds before the first of them, doubled each time.
    #[classattr]
    const RETRY_DELAY_BASE: u32 = 1;
    /// Seconds between two of them at most.
    #[classattr]
    const RETRY_DELAY_MAX: u32 = 60;

    #[new]
    #[pyo3(signature = (site, sites_path = PathBuf::from(".")), text_signature = "(site, sites_path='.')")]
    fn new(site: String, sites_path: PathBuf) -> PyResult<Self> {
        SiteRef::new(site, sites_path).map(Self)
    }

    /// Apply one batch of answers, once, however often it is called.
    ///
    /// The parameters are those of the RQ job, a wire format; ``job_id`` and
    /// ``enqueued_at`` are the job's own (a naive datetime is UTC, as RQ has it; a number
    /// is UTC epoch seconds). ``responses``: a list, or its JSON text. A complete batch names
    /// its journal row, and that is applied; the row is made from the job if it is missing.
    /// Answers with ready states (``new_stability``, ``new_next_review_date``) or none, as
    /// the implementation before this one queued them, are one submission under the id of
    /// the job, as of ``enqueued_at``.
    ///
    /// Deadlocks, lock waits and lost connections are tried again ``MAX_RETRIES`` times,
    /// ``RETRY_DELAY_BASE`` seconds apart at first, ``RETRY_DELAY_MAX`` at most. After
    /// that, and at once for answers that cannot be applied, the error is raised, so that
    /// the job fails; a row that is in the journal stays for the sweeper and an operator.
    ///
    /// Raises InvalidInputError naming index and field (nothing was changed), NotFoundError
    /// for an unknown user or season, ConflictError for a submission id used with other
    /// answers, UnavailableError when a server is away.
    #[pyo3(signature = (
        responses, user, season, retry_count = 0, *, job_id = None, enqueued_at = None,
        submission_id = None, attempt = None, fingerprint = None, v = None, door = None, at = None
    ))]
    #[expect(clippy::too_many_arguments, reason = "the job's keyword arguments")]
    fn persist_review_batch<'py>(
        &self,
        py: Python<'py>,
        responses: &Bound<'py, PyAny>,
        user: &str,
        season: &str,
        retry_count: i64,
        job_id: Option<String>,
        enqueued_at: Option<&Bound<'py, PyAny>>,
        submission_id: Option<String>,
        attempt: Option<String>,
        fingerprint: Option<String>,
        v: Option<u32>,
        door: Option<String>,
        at: Option<i64>,
    ) -> PyResult<Bound<'py, PyDict>> {
        // RQ's own count of tries; the journal row has ours.
        let _ = retry_count;
        let options = JobOptions {
            job_id,
            enqueued_at: enqueued_at
                .map(convert::enqueued)
                .transpose()
                .or_raise(py)?,
            submission_id,
            attempt,
            fingerprint,
            v,
            door,
            at,
        };
        let persisted = self.persist(py, responses, user, season, options)?;
        let result = PyDict::new(py);
        result.set_item("success", true)?;
        result.set_item("processed_count", persisted.processed_count)?;
        Ok(result)
    }

    /// Take and apply one answer now; True when it is in the table.
    ///
    /// ``response``: ``question_id``, ``quality`` (0 to 5), ``response_time_ms``
    /// (optional), or with a ready state as in ``persist_review_batch``.
    ///
    /// Raises as ``persist_review_batch``.
    fn persist_single_review(
        &self,
        py: Python<'_>,
        response: &Bound<'_, PyAny>,
        user: &str,
        season: &str,
    ) -> PyResult<bool> {
        let alone = PyList::new(py, [response])?;
        self.persist(py, &alone, user, season, JobOptions::default())?;
        Ok(true)
    }

    /// What became of a job: ``job_id``, ``status``, ``tries``, ``error``.
    ///
    /// ``status``: queued (accepted, a job or a sweep will apply it), started (a worker has
    /// it), applied, failed (could not be applied; while ``tries`` is below
    /// ``srs_journal_tries`` it is tried again by itself; or was dismissed), unknown (no job
    /// of this site, or forgotten: by RQ after ``rq_results_ttl``, by the journal after
    /// ``srs_journal_days``).
    ///
    /// Raises UnavailableError when MariaDB is away and RQ cannot tell.
    fn get_persistence_status<'py>(
        &self,
        py: Python<'py>,
        job_id: String,
    ) -> PyResult<Bound<'py, PyAny>> {
        let status = self.0.run(py, async move |site| {
            journal::job_status(&site, &job_id).await
        })?;
        convert::to_python(py, &status)
    }

    /// Delete what is past its retention; returns rows deleted by table.
    ///
    /// Applied journal rows (``srs_journal_days``), audit (``srs_audit_days``), review log
    /// (``srs_review_log_days``), in bounded pieces, for at most ``seconds``. One process
    /// of a site does so at a time, and not oftener than every ten minutes; the others
    /// delete nothing.
    ///
    /// Raises UnavailableError when MariaDB is away.
    #[pyo3(signature = (seconds = 60))]
    fn purge<'py>(&self, py: Python<'py>, seconds: u32) -> PyResult<Bound<'py, PyAny>> {
        let purged = self.0.run(py, async move |site| {
            let budget = Duration::from_secs(seconds.into());
            purge::purge(&site, &worker_name(), budget).await
        })?;
        convert::to_python(py, &purged)
    }

    /// Apply journal rows that no job has applied; returns how many were applied.
    ///
    /// For the scheduler, every few minutes. ``max_rows``: so many at most, 1 or more. Any
    /// number of processes may sweep at once. What cannot be applied is in Frappe's Error
    /// Log and is tried again later.
    ///
    /// Raises UnavailableError when MariaDB is away.
    #[pyo3(signature = (max_rows = 1000))]
    fn sweep(&self, py: Python<'_>, max_rows: u32) -> PyResult<u64> {
        self.0.run(py, async move |site| {
            sweep::sweep(&site, &worker_name(), max_rows).await
        })
    }

    /// Those of ``ids`` whose row has neither subject nor topic, in stored spelling.
    ///
    /// Raises InvalidInputError for a name that cannot be or more than 1,000 ids, NotFoundError
    /// for an unknown user or season.
    fn questions_without_info(
        &self,
        py: Python<'_>,
        user: &str,
        season: &str,
        ids: Vec<String>,
    ) -> PyResult<Vec<String>> {
        self.0.run(py, async move |site| {
            question_info::questions_without_info(&site, user, season, &ids).await
        })
    }

    /// Give rows without subject and topic theirs; returns how many rows changed.
    ///
    /// ``info``: (subject, topic) by question id. Neither due time nor review_version
    /// changes, so a review that is on its way still counts as newer.
    ///
    /// Raises as ``questions_without_info``, InvalidInputError also for a subject or topic that
    /// does not exist; nothing has changed then.
    fn fill_question_info(
        &self,
        py: Python<'_>,
        user: &str,
        season: &str,
        info: HashMap<String, Info>,
    ) -> PyResult<u64> {
        self.0.run(py, async move |site| {
            question_info::fill_question_info(&site, user, season, &info).await
        })
    }

    /// When a question is due after this answer, as naive wall time of the site.
    ///
    /// ``response``: ``quality``, and if known ``response_time_ms``, ``stability``,
    /// ``next_review_date`` and ``last_review_date`` (wall time) before the answer; or with a
    /// ready ``new_next_review_date``, which is it.
    fn _calculate_next_review(
        &self,
        py: Python<'_>,
        response: &Bound<'_, PyAny>,
    ) -> PyResult<NaiveDateTime> {
        let response = convert::to_value("response", response).or_raise(py)?;
        self.0.run(py, async move |site| {
            let now = UtcMicros::now();
            next_review(
                &response,
                &site.config.srs.scheduler,
                site.zone(now).await?,
                now,
            )
        })
    }

    /// Write one line about a batch to the log; the audit table is written when applying.
    #[pyo3(signature = (user, season, processed_count, job_id = None, error = None))]
    fn _audit_log(
        &self,
        py: Python<'_>,
        user: &str,
        season: &str,
        processed_count: i64,
        job_id: Option<&str>,
        error: Option<&str>,
    ) -> PyResult<()> {
        let text = format!(
            "SRSPersistenceService (site={}, user={user}, season={season}, \
             processed_count={processed_count}, job_id={}, error={})",
            self.0.name,
            job_id.unwrap_or("none"),
            error.unwrap_or("none"),
        );
        let level = if error.is_some() { 40 } else { 20 };
        logging::log(py, level, &text)
    }
}

impl SRSPersistenceService {
    fn persist(
        &self,
        py: Python<'_>,
        responses: &Bound<'_, PyAny>,
        user: &str,
        season: &str,
        options: JobOptions,
    ) -> PyResult<Persisted> {
        let responses = convert::to_value("responses", responses).or_raise(py)?;
        self.0.run(py, async move |site| {
            let worker = worker_name();
            persist::persist_review_batch(&site, responses, user, season, options, &worker).await
        })
    }
}

/// This process, in the audit.
fn worker_name() -> String {
    format!("python-{}", std::process::id())
}

/// The due time that an answer leads to, as the site's wall time.
fn next_review(
    response: &Value,
    parameters: &Parameters,
    zone: SiteZone,
    now: UtcMicros,
) -> Result<NaiveDateTime> {
    let time = |field: &str| match &response[field] {
        Value::Null => Ok(None),
        value => value
            .as_str()
            .and_then(|text| zone.parse(text))
            .map(Some)
            .ok_or_else(|| Error::invalid(format!("response.{field} must be a wall time"))),
    };
    if let Some(ready) = time("new_next_review_date")? {
        // Out of the hour that a clock put back shows twice, as when it is applied.
        return Ok(zone.to_wall(zone.settle(ready)));
    }
    let whole = |field: &str, most: u64| match &response[field] {
        Value::Null => Ok(None),
        value => value
            .as_u64()
            .filter(|n| *n <= most)
            .map(Some)
            .ok_or_else(|| {
                Error::invalid(format!(
                    "response.{field} must be an integer between 0 and {most}"
                ))
            }),
    };
    let quality = whole("quality", u64::from(scheduling::MAX_QUALITY))?
        .ok_or_else(|| Error::invalid("response.quality is missing"))?;
    let response_time_ms = whole("response_time_ms", scheduling::MAX_RESPONSE_TIME_MS.into())?;
    let due = time("next_review_date")?.unwrap_or(now);
    let last_review = time("last_review_date")?;
    let before = response["stability"].as_f64().map(|stability| Before {
        stability: Stability::from_f64(stability),
        due,
        last_review,
    });
    let answer = Answer {
        quality: u8::try_from(quality).unwrap_or(scheduling::MAX_QUALITY),
        response_time_ms: response_time_ms.and_then(|ms| u32::try_from(ms).ok()),
    };
    let after = scheduling::schedule(before, answer, now, parameters);
    Ok(zone.to_wall(zone.settle(after.due)))
}
