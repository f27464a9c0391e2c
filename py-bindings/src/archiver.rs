//! `SRSArchiver`: seasons that are over go into the archive, and what is past its retention
//! is deleted.

use std::path::PathBuf;

use memora_core::services::archive::{self, Method};
use memora_core::services::retention;
use pyo3::prelude::*;

use crate::convert;
use crate::engine::{OrRaise, SiteRef};

/// Moves the rows of seasons that are over into the archive, and back.
#[pyclass(module = "memora_srs", subclass, frozen)]
pub(crate) struct SRSArchiver(SiteRef);

#[pymethods]
impl SRSArchiver {
    #[new]
    #[pyo3(signature = (site, sites_path = PathBuf::from(".")), text_signature = "(site, sites_path='.')")]
    fn new(site: String, sites_path: PathBuf) -> PyResult<Self> {
        SiteRef::new(site, sites_path).map(Self)
    }

    /// Archive an inactive season; go on where an earlier call was stopped.
    ///
    /// Students' reads of the season are refused from the beginning. Nothing is dropped before
    /// the archive has the same rows, by count and checksum. Of an archived season what was
    /// written late is merged. ``method``: ``convert`` (MariaDB 10.7) or ``copy``, else what the
    /// server can do best. ``progress(phase, done, total)`` is called some times a second,
    /// ``total`` being 0 when it is not known; an exception in it stops the work, as a kill would.
    ///
    /// Raises InvalidInputError for an active season, NotFoundError for an unknown one,
    /// ConflictError when something is in the way or the rows do not agree, UnavailableError
    /// when another run is under way, a table is in use or a server away: call again.
    #[pyo3(signature = (season_name, *, method = None, progress = None))]
    fn archive_season<'py>(
        &self,
        py: Python<'py>,
        season_name: &str,
        method: Option<&str>,
        progress: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let method = method.map(Method::parse).transpose().or_raise(py)?;
        let report = self.0.run_long(py, progress, async move |site, tell| {
            archive::archive_season(&site, season_name, method, &tell).await
        })?;
        convert::to_python(py, &report)
    }

    /// Say what ``archive_season`` would do, and roughly how long it would take.
    ///
    /// Raises NotFoundError for an unknown season, UnavailableError when a run of it is under way.
    #[pyo3(signature = (season_name, *, method = None))]
    fn plan_archive<'py>(
        &self,
        py: Python<'py>,
        season_name: &str,
        method: Option<&str>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let method = method.map(Method::parse).transpose().or_raise(py)?;
        let plan = self.0.run(py, async move |site| {
            archive::plan(&site, season_name, method).await
        })?;
        convert::to_python(py, &plan)
    }

    /// Bring an archived season's rows back into the tracker; it stays inactive.
    ///
    /// Where the tracker has a newer state of a question, that stays. ``progress`` as
    /// ``archive_season``.
    ///
    /// Raises InvalidInputError for a season that is not archived, and as ``archive_season``.
    #[pyo3(signature = (season_name, *, progress = None))]
    fn restore_season<'py>(
        &self,
        py: Python<'py>,
        season_name: &str,
        progress: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let report = self.0.run_long(py, progress, async move |site, tell| {
            archive::restore_season(&site, season_name, &tell).await
        })?;
        convert::to_python(py, &report)
    }

    /// Archive the seasons with ``auto_archive`` that are inactive and over.
    ///
    /// Also goes on with what was stopped, and merges what was written late for archived
    /// seasons. One season that fails does not stop the others. ``progress`` as
    /// ``archive_season``.
    #[pyo3(signature = (*, progress = None))]
    fn process_auto_archive<'py>(
        &self,
        py: Python<'py>,
        progress: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let report = self.0.run_long(py, progress, async move |site, tell| {
            archive::process_auto_archive(&site, &tell).await
        })?;
        convert::to_python(py, &report)
    }

    /// Where the archiving of a season stands.
    ///
    /// Raises NotFoundError for an unknown season.
    fn get_archive_status<'py>(
        &self,
        py: Python<'py>,
        season_name: &str,
    ) -> PyResult<Bound<'py, PyAny>> {
        let status = self.0.run(py, async move |site| {
            archive::get_archive_status(&site, season_name).await
        })?;
        convert::to_python(py, &status)
    }

    /// A student's archived questions, in the order of their ids: those after ``after``.
    ///
    /// ``limit``: 1 to 1,000. Empty for a season without archived rows.
    ///
    /// Raises NotFoundError for an unknown season.
    #[pyo3(signature = (user, season_name, *, after = "", limit = 1000))]
    fn get_archived_schedule<'py>(
        &self,
        py: Python<'py>,
        user: &str,
        season_name: &str,
        after: &str,
        limit: u32,
    ) -> PyResult<Bound<'py, PyAny>> {
        let player = convert::player(user).or_raise(py)?;
        let questions = self.0.run(py, async move |site| {
            archive::get_archived_schedule(&site, &player, season_name, after, limit).await
        })?;
        convert::to_python(py, &questions)
    }

    /// Flag rows that were archived more than three years ago.
    ///
    /// ``progress`` as ``archive_season``.
    ///
    /// Raises UnavailableError when this runs already or MariaDB is away: call again.
    #[pyo3(signature = (*, progress = None))]
    fn flag_eligible_for_deletion<'py>(
        &self,
        py: Python<'py>,
        progress: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let flagged = self.0.run_long(py, progress, async move |site, tell| {
            retention::flag_eligible_for_deletion(&site, &tell).await
        })?;
        convert::to_python(py, &flagged)
    }

    /// How many rows ``delete_eligible_records`` would delete.
    ///
    /// Raises NotFoundError for an unknown season.
    #[pyo3(signature = (season_name = None))]
    fn count_eligible_records(&self, py: Python<'_>, season_name: Option<&str>) -> PyResult<u64> {
        self.0.run(py, async move |site| {
            retention::eligible(&site, season_name).await
        })
    }

    /// Delete flagged rows for good, of one season or of all.
    ///
    /// ``progress`` as ``archive_season``.
    ///
    /// Raises InvalidInputError unless ``confirm`` is True, NotFoundError for an unknown season,
    /// UnavailableError as ``flag_eligible_for_deletion``.
    #[pyo3(signature = (season_name = None, confirm = false, *, progress = None))]
    fn delete_eligible_records<'py>(
        &self,
        py: Python<'py>,
        season_name: Option<&str>,
        confirm: bool,
        progress: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let deleted = self.0.run_long(py, progress, async move |site, tell| {
            retention::delete_eligible_records(&site, season_name, confirm, &tell).await
        })?;
        convert::to_python(py, &deleted)
    }
}
