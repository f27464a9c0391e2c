//! `ReviewService`: a student's two operations, as the web endpoints have them.

use std::path::PathBuf;

use memora_core::Result;
use memora_core::batch::Door;
use memora_core::services::request::{ReviewRequest, SubmitRequest};
use memora_core::services::{read, submit};
use memora_core::types::UtcMicros;
use pyo3::prelude::*;
use serde_json::Value;

use crate::convert;
use crate::engine::{OrRaise, SiteRef};

/// Questions of a session in Safe Mode when the caller does not say.
const SAFE_MODE_LIMIT: u32 = 10;

/// The two operations of a student, as the web endpoints have them.
#[pyclass(module = "memora_srs", subclass, frozen)]
pub(crate) struct ReviewService(SiteRef);

type Given<'a, 'py> = Option<&'a Bound<'py, PyAny>>;

#[pymethods]
impl ReviewService {
    #[new]
    #[pyo3(signature = (site, sites_path = PathBuf::from(".")), text_signature = "(site, sites_path='.')")]
    fn new(site: String, sites_path: PathBuf) -> PyResult<Self> {
        SiteRef::new(site, sites_path).map(Self)
    }

    /// Which questions this student is due to review, most overdue first.
    ///
    /// ``user``: the stored name of a User; who may ask for whom is the caller's to judge.
    /// ``limit``: 1 to 50, also as text, as a form has it. ``season``: the active one if
    /// not given. ``subject``: only questions of this Game Subject.
    ///
    /// Raises InvalidInputError naming the argument, NotFoundError for an unknown season,
    /// RateLimitedError for a student who reads too often while Redis is away (docs/SAFE_MODE.md),
    /// UnavailableError when neither cache nor table answer in time.
    #[pyo3(
        signature = (user, subject = None, limit = None, season = None),
        text_signature = "($self, user, subject=None, limit=20, season=None)"
    )]
    fn get_review_session<'py>(
        &self,
        py: Python<'py>,
        user: &str,
        subject: Given<'_, 'py>,
        limit: Given<'_, 'py>,
        season: Given<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let player = convert::player(user).or_raise(py)?;
        let request = review_request(subject, limit, season, None).or_raise(py)?;
        let session = self.0.run(py, async move |site| {
            read::get_review_session(&site, &player, &request, UtcMicros::now()).await
        })?;
        convert::to_python(py, &session)
    }

    /// Take a student's answers, durably, with one effect for each submission id.
    ///
    /// ``responses``: 1 to 50 of ``question_id``, ``quality`` (0 to 5) and optionally
    /// ``response_time_ms`` (0 to 86,400,000), or the same as JSON text. ``submission_id``:
    /// 1 to 64 of ``[A-Za-z0-9_-]``; without one ``idempotency_key``, then ``request_id``
    /// (headers Idempotency-Key, X-Memora-Request-Id) stand in, then a new one.
    ///
    /// Raises InvalidInputError naming index and field (nothing was taken), ConflictError
    /// for an id used with other answers, UnavailableError when it could not be made
    /// durable in time: its ``submission_id`` is the one to repeat with.
    #[pyo3(signature = (user, responses, submission_id = None, *, idempotency_key = None, request_id = None))]
    fn submit_review_session<'py>(
        &self,
        py: Python<'py>,
        user: &str,
        responses: &Bound<'py, PyAny>,
        submission_id: Given<'_, 'py>,
        idempotency_key: Option<&str>,
        request_id: Option<&str>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let player = convert::player(user).or_raise(py)?;
        let request = convert::arguments(&[
            ("responses", Some(responses)),
            ("submission_id", submission_id),
        ])
        .and_then(|args| SubmitRequest::from_args(&args, idempotency_key, request_id))
        .or_raise(py)?;
        let answer = self.0.run(py, async move |site| {
            let now = UtcMicros::now();
            submit::submit_review_session(&site, &player, &request, Door::Python, now).await
        })?;
        convert::to_python(py, &answer)
    }

    /// Name of the season that is active now, None if there is none; read again after 10 s.
    fn get_active_season(&self, py: Python<'_>) -> PyResult<Option<String>> {
        self.0.run(py, async move |site| {
            read::active_season(&site, UtcMicros::now()).await
        })
    }

    /// The most urgent due questions from the table, without the cache; is_degraded True.
    ///
    /// Answers that are accepted and not in the table yet count. ``limit``: 1 to 50. Nobody reads
    /// too often here, as by ``get_review_session`` while Redis is away.
    ///
    /// Raises InvalidInputError naming the argument, NotFoundError for an unknown season,
    /// UnavailableError when MariaDB does not answer in time.
    #[pyo3(
        signature = (user, season, subject = None, limit = None),
        text_signature = "($self, user, season, subject=None, limit=10)"
    )]
    fn get_reviews_safe_mode<'py>(
        &self,
        py: Python<'py>,
        user: &str,
        season: &Bound<'py, PyAny>,
        subject: Given<'_, 'py>,
        limit: Given<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let player = convert::player(user).or_raise(py)?;
        let limit_if_none = Some(SAFE_MODE_LIMIT);
        let request = review_request(subject, limit, Some(season), limit_if_none).or_raise(py)?;
        let session = self.0.run(py, async move |site| {
            read::get_reviews_safe_mode(&site, &player, &request, UtcMicros::now()).await
        })?;
        convert::to_python(py, &session)
    }
}

/// The arguments of a read, checked as the web endpoint checks them.
fn review_request(
    subject: Given<'_, '_>,
    limit: Given<'_, '_>,
    season: Given<'_, '_>,
    limit_if_none: Option<u32>,
) -> Result<ReviewRequest> {
    let mut args =
        convert::arguments(&[("subject", subject), ("limit", limit), ("season", season)])?;
    if let Some(default) = limit_if_none
        && args.get("limit").is_none_or(Value::is_null)
    {
        args.insert("limit".to_owned(), default.into());
    }
    ReviewRequest::from_args(&args)
}
