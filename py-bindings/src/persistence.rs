//! `SRSPersistenceService`: applying accepted answers to the table.

use std::path::PathBuf;

use pyo3::prelude::*;

use crate::engine::SiteRef;
use crate::error::not_built;

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
    /// is UTC epoch seconds). What is applied is the journal row that the batch names, and
    /// the row is made from the job if it is missing. Answers without a computed state, as
    /// the implementation before this one queued them, are computed here, as of
    /// ``enqueued_at``.
    ///
    /// Deadlocks, lock waits and lost connections are tried again ``MAX_RETRIES`` times,
    /// ``RETRY_DELAY_BASE`` seconds apart at first, ``RETRY_DELAY_MAX`` at most. After
    /// that, and at once for answers that cannot be applied, the row stays in the journal
    /// for the sweeper and an operator, and the error is raised: the job fails.
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
        job_id: Option<&str>,
        enqueued_at: Option<&Bound<'py, PyAny>>,
        submission_id: Option<&str>,
        attempt: Option<&str>,
        fingerprint: Option<&str>,
        v: Option<u32>,
        door: Option<&str>,
        at: Option<i64>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let _ = (
            py,
            responses,
            user,
            season,
            retry_count,
            job_id,
            enqueued_at,
        );
        let _ = (submission_id, attempt, fingerprint, v, door, at);
        Err(not_built("Applying answers from Python"))
    }

    /// Take and apply one answer now; True when it is in the table.
    ///
    /// ``response``: ``question_id``, ``quality`` (0 to 5), ``response_time_ms``
    /// (optional), or with a ready state as in ``persist_review_batch``.
    fn persist_single_review(
        &self,
        py: Python<'_>,
        response: &Bound<'_, PyAny>,
        user: &str,
        season: &str,
    ) -> PyResult<bool> {
        let _ = (py, response, user, season);
        Err(not_built("Applying answers from Python"))
    }

    /// State of a job. Not built yet: NotImplementedError.
    fn get_persistence_status(&self, job_id: &str) -> PyResult<Py<PyAny>> {
        let _ = job_id;
        Err(not_built("The state of a job"))
    }

    /// Apply journal rows that no job has applied; returns how many were applied.
    ///
    /// For the scheduler, every few minutes. Any number of processes may sweep at once.
    ///
    /// Raises UnavailableError when MariaDB is away.
    fn sweep(&self, py: Python<'_>) -> PyResult<u64> {
        let _ = py;
        Err(not_built("Sweeping from Python"))
    }

    /// Those of ``ids`` whose row has neither subject nor topic, in stored spelling.
    fn questions_without_info(
        &self,
        py: Python<'_>,
        user: &str,
        season: &str,
        ids: Vec<String>,
    ) -> PyResult<Vec<String>> {
        let _ = (py, user, season, ids);
        Err(not_built("Subject and topic of new questions"))
    }

    /// Give rows without subject and topic theirs; returns how many rows changed.
    ///
    /// ``info``: (subject, topic) by question id. Neither due time nor review_version
    /// changes, so a review that is on its way still counts as newer.
    fn fill_question_info(
        &self,
        py: Python<'_>,
        user: &str,
        season: &str,
        info: &Bound<'_, PyAny>,
    ) -> PyResult<u64> {
        let _ = (py, user, season, info);
        Err(not_built("Subject and topic of new questions"))
    }

    /// When a question is due after this answer, as naive wall time of the site.
    ///
    /// ``response``: ``quality``, and if known ``response_time_ms``, ``stability``,
    /// ``next_review_date`` and ``last_review_date`` (wall time) before the answer.
    fn _calculate_next_review(
        &self,
        py: Python<'_>,
        response: &Bound<'_, PyAny>,
    ) -> PyResult<chrono::NaiveDateTime> {
        let _ = (py, response);
        Err(not_built("Scheduling by a site's configuration"))
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
        let _ = (py, user, season, processed_count, job_id, error);
        Err(not_built("The log of batches"))
    }
}
