//! `Players`: what follows when a User is renamed or deleted, or a row is edited by hand.

use std::path::PathBuf;

use pyo3::prelude::*;

use crate::convert;
use crate::engine::{OrRaise, SiteRef};
use crate::error::not_built;

/// What follows when a User is renamed or deleted, or a row is edited by hand.
#[pyclass(module = "memora_srs", subclass, frozen)]
pub(crate) struct Players(SiteRef);

#[pymethods]
impl Players {
    #[new]
    #[pyo3(signature = (site, sites_path = PathBuf::from(".")), text_signature = "(site, sites_path='.')")]
    fn new(site: String, sites_path: PathBuf) -> PyResult<Self> {
        SiteRef::new(site, sites_path).map(Self)
    }

    /// Move what ``old`` has to ``new``; where both have a question, the newer state stays.
    fn rename<'py>(&self, py: Python<'py>, old: &str, new: &str) -> PyResult<Bound<'py, PyAny>> {
        let _ = (py, old, new);
        Err(not_built("The renaming of a student"))
    }

    /// Remove schedules and unapplied journal rows of a deleted User.
    fn remove<'py>(&self, py: Python<'py>, user: &str) -> PyResult<Bound<'py, PyAny>> {
        let _ = (py, user);
        Err(not_built("The removal of a student"))
    }

    /// Drop a student's cached schedule after an edit of its rows; True if there was one.
    fn invalidate(&self, py: Python<'_>, user: &str, season: &str) -> PyResult<bool> {
        let (player, season) = (
            convert::player(user).or_raise(py)?,
            convert::season(season).or_raise(py)?,
        );
        self.0.run(py, async move |site| {
            site.cache.invalidate(&player, &season).await
        })
    }
}
