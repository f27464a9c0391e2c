//! `Journal`: accepted answers on their way into the table, for an operator.

use std::path::PathBuf;

use memora_core::services::journal::{self, Filter, State};
use pyo3::prelude::*;

use crate::convert;
use crate::engine::{OrRaise, SiteRef};

/// Accepted answers on their way into the table, for an operator.
#[pyclass(module = "memora_srs", subclass, frozen)]
pub(crate) struct Journal(SiteRef);

#[pymethods]
impl Journal {
    #[new]
    #[pyo3(signature = (site, sites_path = PathBuf::from(".")), text_signature = "(site, sites_path='.')")]
    fn new(site: String, sites_path: PathBuf) -> PyResult<Self> {
        SiteRef::new(site, sites_path).map(Self)
    }

    /// List rows without their answers, unapplied ones oldest first, else newest first.
    ///
    /// ``states``: of pending, queued, retrying, failed, late, applied, dismissed; none
    /// means those that are not applied. ``player``, ``season`` and ``submission_id`` as
    /// stored. ``older_than``: seconds. ``limit``: 1 to 1000, after the first ``start``.
    ///
    /// Raises InvalidInputError for another state or limit.
    #[pyo3(signature = (*, states = None, player = None, season = None, submission_id = None, older_than = None, start = 0, limit = 100))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments")]
    fn list<'py>(
        &self,
        py: Python<'py>,
        states: Option<Vec<String>>,
        player: Option<String>,
        season: Option<String>,
        submission_id: Option<String>,
        older_than: Option<u64>,
        start: u32,
        limit: u32,
    ) -> PyResult<Bound<'py, PyAny>> {
        let filter = filter(states, player, season, submission_id, older_than).or_raise(py)?;
        let rows = self.0.run(py, async move |site| {
            journal::list(&site, &filter, start, limit).await
        })?;
        convert::to_python(py, &rows)
    }

    /// Count the rows that ``list`` would give without a limit.
    #[pyo3(signature = (*, states = None, player = None, season = None, submission_id = None, older_than = None))]
    fn count(
        &self,
        py: Python<'_>,
        states: Option<Vec<String>>,
        player: Option<String>,
        season: Option<String>,
        submission_id: Option<String>,
        older_than: Option<u64>,
    ) -> PyResult<u64> {
        let filter = filter(states, player, season, submission_id, older_than).or_raise(py)?;
        self.0
            .run(py, async move |site| journal::count(&site, &filter).await)
    }

    /// Show one row with its answers.
    ///
    /// Raises NotFoundError if there is none.
    fn show<'py>(
        &self,
        py: Python<'py>,
        player: String,
        submission_id: String,
    ) -> PyResult<Bound<'py, PyAny>> {
        let shown = self.0.run(py, async move |site| {
            journal::show(&site, &player, &submission_id).await
        })?;
        convert::to_python(py, &shown)
    }

    /// Have rows tried again that are not applied: the next sweep takes them.
    ///
    /// Which: as ``list``, 1000 at most. ``dry_run``: only say which.
    ///
    /// Raises InvalidInputError if nothing says which, or for applied or dismissed rows.
    #[pyo3(signature = (*, states = None, player = None, season = None, submission_id = None, older_than = None, dry_run = false))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments")]
    fn retry<'py>(
        &self,
        py: Python<'py>,
        states: Option<Vec<String>>,
        player: Option<String>,
        season: Option<String>,
        submission_id: Option<String>,
        older_than: Option<u64>,
        dry_run: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let filter = certain(states, player, season, submission_id, older_than).or_raise(py)?;
        let changed = self.0.run(py, async move |site| {
            journal::retry(&site, &filter, dry_run).await
        })?;
        convert::to_python(py, &changed)
    }

    /// Give up rows for good that are not applied: their answers go to the Error Log.
    ///
    /// Which: as ``list``, 1000 at most. ``by``: who does it, for the audit. ``dry_run``:
    /// only say which.
    ///
    /// Raises InvalidInputError as ``retry``.
    #[pyo3(signature = (by, *, states = None, player = None, season = None, submission_id = None, older_than = None, dry_run = false))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments")]
    fn dismiss<'py>(
        &self,
        py: Python<'py>,
        by: String,
        states: Option<Vec<String>>,
        player: Option<String>,
        season: Option<String>,
        submission_id: Option<String>,
        older_than: Option<u64>,
        dry_run: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let filter = certain(states, player, season, submission_id, older_than).or_raise(py)?;
        let changed = self.0.run(py, async move |site| {
            journal::dismiss(&site, &filter, &by, dry_run).await
        })?;
        convert::to_python(py, &changed)
    }
}

fn filter(
    states: Option<Vec<String>>,
    player: Option<String>,
    season: Option<String>,
    submission_id: Option<String>,
    older_than_s: Option<u64>,
) -> memora_core::Result<Filter> {
    Ok(Filter {
        states: states
            .unwrap_or_default()
            .iter()
            .map(|name| State::parse(name))
            .collect::<Result<_, _>>()?,
        player,
        season,
        submission_id,
        older_than_s,
    })
}

/// A filter that says something: nobody changes everything by an oversight.
fn certain(
    states: Option<Vec<String>>,
    player: Option<String>,
    season: Option<String>,
    submission_id: Option<String>,
    older_than_s: Option<u64>,
) -> memora_core::Result<Filter> {
    let filter = filter(states, player, season, submission_id, older_than_s)?;
    if filter == Filter::default() {
        return Err(memora_core::Error::invalid("Say which rows are meant"));
    }
    Ok(filter)
}
