//! Classes whose part of the engine is not built yet. Their names and signatures stand, so
//! that callers can be written; every method raises NotImplementedError and says so.

use std::path::PathBuf;

use pyo3::prelude::*;

use crate::engine::SiteRef;
use crate::error::not_built;

/// Compares cache and table. Not built yet.
#[pyclass(module = "memora_srs", subclass, frozen)]
pub(crate) struct SRSReconciliationService;

#[pymethods]
impl SRSReconciliationService {
    #[new]
    #[pyo3(signature = (site, sites_path = PathBuf::from(".")), text_signature = "(site, sites_path='.')")]
    fn new(site: String, sites_path: PathBuf) -> PyResult<Self> {
        SiteRef::new(site, sites_path).map(|_| Self)
    }

    /// Compare a sample of cached items with the table. Not built yet: NotImplementedError.
    #[pyo3(signature = (sample_size = 10000, season = None))]
    fn reconcile_cache_with_database(
        &self,
        sample_size: i64,
        season: Option<&str>,
    ) -> PyResult<Py<PyAny>> {
        let _ = (sample_size, season);
        Err(not_built("The reconciliation of cache and table"))
    }

    /// Results of the last 30 runs. Not built yet: NotImplementedError.
    fn get_reconciliation_stats(&self) -> PyResult<Py<PyAny>> {
        Err(not_built("The reconciliation of cache and table"))
    }
}
