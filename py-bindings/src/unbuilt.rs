//! Classes whose part of the engine is not built yet. Their names and signatures stand, so
//! that callers can be written; every method raises NotImplementedError and says so.

use std::path::PathBuf;

use pyo3::prelude::*;

use crate::engine::SiteRef;
use crate::error::not_built;

/// Moves the rows of seasons that are over into the archive. Not built yet.
#[pyclass(module = "memora_srs", subclass, frozen)]
pub(crate) struct SRSArchiver;

#[pymethods]
impl SRSArchiver {
    #[new]
    #[pyo3(signature = (site, sites_path = PathBuf::from(".")), text_signature = "(site, sites_path='.')")]
    fn new(site: String, sites_path: PathBuf) -> PyResult<Self> {
        SiteRef::new(site, sites_path).map(|_| Self)
    }

    /// Archive one season. Not built yet: NotImplementedError.
    fn archive_season(&self, season_name: &str) -> PyResult<Py<PyAny>> {
        let _ = season_name;
        Err(not_built("The archiving of seasons"))
    }

    /// Archive the seasons that ask for it. Not built yet: NotImplementedError.
    fn process_auto_archive(&self) -> PyResult<Py<PyAny>> {
        Err(not_built("The archiving of seasons"))
    }

    /// Flag rows archived over three years ago. Not built yet: NotImplementedError.
    fn flag_eligible_for_deletion(&self) -> PyResult<Py<PyAny>> {
        Err(not_built("The retention of archived seasons"))
    }

    /// How far the archiving of a season is. Not built yet: NotImplementedError.
    fn get_archive_status(&self, season_name: &str) -> PyResult<Py<PyAny>> {
        let _ = season_name;
        Err(not_built("The archiving of seasons"))
    }

    /// Delete flagged rows. Not built yet: NotImplementedError.
    #[pyo3(signature = (season_name = None, confirm = false))]
    fn delete_eligible_records(
        &self,
        season_name: Option<&str>,
        confirm: bool,
    ) -> PyResult<Py<PyAny>> {
        let _ = (season_name, confirm);
        Err(not_built("The retention of archived seasons"))
    }
}
