//! `SafeModeManager`: limits while Redis is away.

use std::path::PathBuf;

use memora_core::services::safe_mode;
use pyo3::prelude::*;

use crate::convert;
use crate::engine::{OrRaise, SiteRef};

/// Limits while Redis is away.
///
/// Counted by all processes of the host and, where the queue Redis answers, of all hosts.
#[pyclass(module = "memora_srs", subclass, frozen)]
pub(crate) struct SafeModeManager(SiteRef);

#[pymethods]
impl SafeModeManager {
    /// Requests a minute of all students together, unless the site's
    /// ``srs_safe_mode_global_limit`` says otherwise.
    #[classattr]
    const GLOBAL_LIMIT: u32 = 500;
    /// Seconds between two requests of one student, unless the site's
    /// ``srs_safe_mode_user_seconds`` says otherwise.
    #[classattr]
    const USER_LIMIT_SECONDS: u32 = 30;

    #[new]
    #[pyo3(signature = (site, sites_path = PathBuf::from(".")), text_signature = "(site, sites_path='.')")]
    fn new(site: String, sites_path: PathBuf) -> PyResult<Self> {
        SiteRef::new(site, sites_path).map(Self)
    }

    /// Whether Redis is away, so that reads come from the table, within limits.
    ///
    /// Never raises for a server that is away.
    fn is_safe_mode_active(&self, py: Python<'_>) -> PyResult<bool> {
        self.0
            .run(py, async move |site| Ok(safe_mode::is_active(&site).await))
    }

    /// Whether this student may read without the cache now; if so, it counts as a read.
    ///
    /// Counts whether Redis is away or not. ``get_review_session`` counts by itself.
    ///
    /// Raises InvalidInputError for what is no User's name.
    fn check_rate_limit(&self, py: Python<'_>, user: &str) -> PyResult<bool> {
        let player = convert::player(user).or_raise(py)?;
        self.0.run(py, async move |site| {
            safe_mode::check_rate_limit(&site, &player).await
        })
    }

    /// Count the reads of all students in this minute, which began with its first read.
    fn get_global_request_count(&self, py: Python<'_>) -> PyResult<u64> {
        self.0.run(py, async move |site| {
            Ok(safe_mode::global_count(&site).await)
        })
    }

    /// When this student last read without the cache, UTC epoch seconds.
    ///
    /// None if they never did, or so long ago that it is not known any more.
    fn get_user_last_request(&self, py: Python<'_>, user: &str) -> PyResult<Option<f64>> {
        let player = convert::player(user).or_raise(py)?;
        let last = self.0.run(py, async move |site| {
            Ok(safe_mode::last_request(&site, &player).await)
        })?;
        Ok(last.map(|at| at.0 as f64 / 1e6))
    }

    /// Let this student read at once.
    ///
    /// Raises UnavailableError when the queue Redis does not answer: it is so on this host
    /// alone then.
    fn reset_user_rate_limit(&self, py: Python<'_>, user: &str) -> PyResult<()> {
        let player = convert::player(user).or_raise(py)?;
        self.0.run(py, async move |site| {
            safe_mode::reset_student(&site, &player).await
        })
    }

    /// Count the reads of all students anew.
    ///
    /// Raises UnavailableError as ``reset_user_rate_limit`` does.
    fn reset_global_rate_limit(&self, py: Python<'_>) -> PyResult<()> {
        self.0
            .run(py, async move |site| safe_mode::reset_global(&site).await)
    }
}
