//! `Schema`: the migration, for Frappe's install and migrate hooks and patches.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use memora_core::services::schema::{self, Progress, Report};
use memora_core::types::UtcMicros;
use pyo3::prelude::*;
use serde_json::{Value, json};

use crate::convert;
use crate::engine::SiteRef;

/// The tables' key, indexes, columns and partitions.
#[pyclass(module = "memora_srs", subclass, frozen)]
pub(crate) struct Schema(SiteRef);

#[pymethods]
impl Schema {
    #[new]
    #[pyo3(signature = (site, sites_path = PathBuf::from(".")), text_signature = "(site, sites_path='.')")]
    fn new(site: String, sites_path: PathBuf) -> PyResult<Self> {
        SiteRef::new(site, sites_path).map(Self)
    }

    /// Say what ``apply`` would do and roughly how long it takes; changes nothing.
    fn plan<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let plan = self.0.run(py, async move |site| {
            schema::plan(&site, UtcMicros::now()).await
        })?;
        let mut value = json!(plan);
        value["estimate_s"] = json!(plan.estimate.as_secs_f64());
        value["is_empty"] = json!(plan.is_empty());
        without(&mut value, "estimate");
        convert::to_python(py, &value)
    }

    /// Do what is missing; running it again finds nothing to do, or continues.
    ///
    /// ``progress(step, table, done, total)`` is called several times a second at most,
    /// ``total`` being 0 when it is not known; an exception in it stops the migration.
    ///
    /// Raises NotFoundError if Frappe's tables are not there, ConfigError if something
    /// forbids partitioning them, UnavailableError if a lock cannot be had.
    #[pyo3(signature = (progress = None))]
    fn apply<'py>(
        &self,
        py: Python<'py>,
        progress: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let latest: Mutex<Option<Progress>> = Mutex::default();
        let migrated = self.0.run_telling(
            py,
            async |site| {
                let note = |p| *latest.lock().unwrap_or_else(PoisonError::into_inner) = Some(p);
                schema::apply(&site, UtcMicros::now(), &note).await
            },
            |_| {
                let news = latest.lock().unwrap_or_else(PoisonError::into_inner).take();
                if let (Some(progress), Some(p)) = (progress, news) {
                    progress.call1((p.step.as_str(), p.table, p.done, p.total))?;
                }
                Ok(())
            },
        )?;
        convert::to_python(py, &report(&migrated))
    }

    /// Give rows without a season one. The whole of ``apply``: its steps need each other.
    fn fix_null_seasons<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.apply(py, None)
    }

    /// Partition the tables by season. The whole of ``apply``: its steps need each other.
    fn setup_partitioning<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.apply(py, None)
    }

    /// Make the index of reads without the cache. The whole of ``apply``, as the others.
    fn add_safe_mode_index<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.apply(py, None)
    }
}

fn report(report: &Report) -> Value {
    let mut value = json!(report);
    value["elapsed_s"] = json!(report.elapsed.as_secs_f64());
    value["changed"] = json!(report.changed());
    without(&mut value, "elapsed");
    value
}

fn without(value: &mut Value, member: &str) {
    if let Value::Object(members) = value {
        members.shift_remove(member);
    }
}
