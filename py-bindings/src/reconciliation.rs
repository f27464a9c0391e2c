//! `SRSReconciliationService`: whether cache and table agree.

use std::path::PathBuf;

use memora_core::services::reconcile::{self, Options, Scope};
use pyo3::prelude::*;

use crate::convert;
use crate::engine::SiteRef;

/// Compares the cached schedules of one site with the table, and corrects the cache.
#[pyclass(module = "memora_srs", subclass, frozen)]
pub(crate) struct SRSReconciliationService(SiteRef);

#[pymethods]
impl SRSReconciliationService {
    #[new]
    #[pyo3(signature = (site, sites_path = PathBuf::from(".")), text_signature = "(site, sites_path='.')")]
    fn new(site: String, sites_path: PathBuf) -> PyResult<Self> {
        SiteRef::new(site, sites_path).map(Self)
    }

    /// Compare random items of cached students with the table and what is on its way into it.
    ///
    /// ``sample_size``: 1 to 100,000 items; fewer are compared if no more are cached.
    /// ``season``: of this one alone. ``dry_run``: correct nothing. ``progress(phase, done,
    /// total)`` is called some twenty times a second at most. What is wrong in the cache is
    /// corrected unless something has changed it meanwhile; the table is never changed. Above
    /// 0.1 % of at least 1,000 items System Managers get a mail.
    ///
    /// Raises InvalidInputError for a size that cannot be or an archived season,
    /// NotFoundError for an unknown one, UnavailableError when Redis or MariaDB is away or
    /// while another such run is under way.
    #[pyo3(signature = (sample_size = 10000, season = None, *, dry_run = false, progress = None))]
    fn reconcile_cache_with_database<'py>(
        &self,
        py: Python<'py>,
        sample_size: i64,
        season: Option<String>,
        dry_run: bool,
        progress: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        // One below nothing is as wrong as none.
        let size = u64::try_from(sample_size).unwrap_or(0);
        self.reconcile(py, Scope::Sample(size), season, dry_run, progress)
    }

    /// Compare everything of one season's cached students, or of one student.
    ///
    /// ``season``: the active one if none is named. ``student``: a User. Otherwise as
    /// ``reconcile_cache_with_database``; NotFoundError also for an unknown student, or where
    /// no season is active. Takes minutes for millions of rows.
    #[pyo3(signature = (season = None, student = None, *, dry_run = false, progress = None))]
    fn reconcile_all<'py>(
        &self,
        py: Python<'py>,
        season: Option<String>,
        student: Option<String>,
        dry_run: bool,
        progress: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let scope = student.map_or(Scope::Season, Scope::Student);
        self.reconcile(py, scope, season, dry_run, progress)
    }

    /// Reports of the last 30 runs, the oldest first.
    ///
    /// Raises UnavailableError when MariaDB is away.
    fn get_reconciliation_stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let reports = self
            .0
            .run(py, async move |site| reconcile::history(&site).await)?;
        convert::to_python(py, &reports)
    }
}

impl SRSReconciliationService {
    fn reconcile<'py>(
        &self,
        py: Python<'py>,
        scope: Scope,
        season: Option<String>,
        dry_run: bool,
        progress: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let options = Options {
            scope,
            season,
            dry_run,
            seed: None,
        };
        let report = self.0.run_long(py, progress, async move |site, tell| {
            reconcile::reconcile(&site, &options, &tell).await
        })?;
        convert::to_python(py, &report)
    }
}
