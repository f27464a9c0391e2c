//! What every class of the module is: a site's name and the bench's `sites` folder.

use std::path::PathBuf;
use std::sync::Arc;

use memora_core::Result;
use memora_core::services::{Site, Sites};
use pyo3::prelude::*;

use crate::{error, runtime};

/// A site of a bench, by name. Making one opens nothing; the site itself belongs to the
/// process's engine and is looked up by each call.
pub(crate) struct SiteRef {
    pub(crate) name: String,
    sites_path: PathBuf,
}

impl SiteRef {
    /// `sites_path` is made absolute now: a worker may change its folder later.
    pub(crate) fn new(name: String, sites_path: PathBuf) -> PyResult<Self> {
        Ok(Self {
            name,
            sites_path: std::path::absolute(sites_path)?,
        })
    }

    /// Runs an operation of the engine on the site, detached from the interpreter.
    pub(crate) fn run<T, F>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(Arc<Site>) -> F + Send,
    ) -> PyResult<T>
    where
        T: Send,
        F: Future<Output = Result<T>> + Send,
    {
        self.run_telling(py, work, |_| Ok(()))
    }

    /// Runs an operation that also looks at the bench's other sites, or at one that cannot be
    /// opened.
    pub(crate) fn run_among<T, F>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(Arc<Sites>, String) -> F + Send,
    ) -> PyResult<T>
    where
        T: Send,
        F: Future<Output = Result<T>> + Send,
    {
        let operation = |core: &'static runtime::Core| {
            let sites = core.sites(&self.sites_path);
            work(sites, self.name.clone())
        };
        runtime::run(py, operation, |_| Ok(()))
    }

    /// [`SiteRef::run`], calling `between` attached while it waits.
    pub(crate) fn run_telling<T, F>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(Arc<Site>) -> F + Send,
        between: impl FnMut(Python<'_>) -> PyResult<()>,
    ) -> PyResult<T>
    where
        T: Send,
        F: Future<Output = Result<T>> + Send,
    {
        let operation = |core: &'static runtime::Core| async move {
            let site = core.sites(&self.sites_path).get(&self.name).await?;
            work(site).await
        };
        runtime::run(py, operation, between)
    }
}

/// The engine's result as Python's.
pub(crate) trait OrRaise<T> {
    /// The value, or the exception for the error.
    fn or_raise(self, py: Python<'_>) -> PyResult<T>;
}

impl<T> OrRaise<T> for Result<T> {
    fn or_raise(self, py: Python<'_>) -> PyResult<T> {
        self.map_err(|e| error::raise(py, &e))
    }
}
