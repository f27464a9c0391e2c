//! `Metrics`: how a site is, and what this process counted.

use std::path::PathBuf;

use memora_core::services::{exposition, readiness, snapshot};
use pyo3::prelude::*;

use crate::convert;
use crate::engine::SiteRef;

/// How one site is, and what this process counted of it.
///
/// What is (queue, journal, memory, the last reconciliation) is the same from every process;
/// what is counted is of this one alone. docs/MONITORING.md has the names.
#[pyclass(module = "memora_srs", subclass, frozen)]
pub(crate) struct Metrics(SiteRef);

#[pymethods]
impl Metrics {
    #[new]
    #[pyo3(signature = (site, sites_path = PathBuf::from(".")), text_signature = "(site, sites_path='.')")]
    fn new(site: String, sites_path: PathBuf) -> PyResult<Self> {
        SiteRef::new(site, sites_path).map(Self)
    }

    /// As text for Prometheus (OpenMetrics), as the sidecar's ``/metrics`` has it.
    ///
    /// A server that does not answer within a second leaves its part out, and is named in
    /// ``memora_srs_unreachable``.
    fn text(&self, py: Python<'_>) -> PyResult<String> {
        self.0
            .run(py, async move |site| exposition::text(&[site]).await)
    }

    /// The same as a dictionary, with the percentiles of the last minute, in seconds.
    ///
    /// What a server that did not answer would have told is None.
    fn snapshot<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let snapshot = self
            .0
            .run(py, async move |site| Ok(snapshot::snapshot(&[site]).await))?;
        convert::to_python(py, &snapshot)
    }

    /// Whether the site can be served as it should be; what is wrong, each with a remedy.
    ///
    /// As the sidecar's ``/readyz``. Raises NotFoundError if there is no such site.
    fn readiness<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let readiness = self.0.run_among(py, async move |sites, name| {
            readiness::look_at(&sites, &name).await
        })?;
        convert::to_python(py, &readiness)
    }
}
