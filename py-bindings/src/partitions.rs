//! `PartitionManager`: one partition of the tracker for each season.

use std::path::PathBuf;

use memora_core::services::partitions;
use pyo3::prelude::*;

use crate::convert;
use crate::engine::SiteRef;

/// Partitions of the tracker, one for each season.
#[pyclass(module = "memora_srs", subclass, frozen)]
pub(crate) struct PartitionManager(SiteRef);

#[pymethods]
impl PartitionManager {
    #[new]
    #[pyo3(signature = (site, sites_path = PathBuf::from(".")), text_signature = "(site, sites_path='.')")]
    fn new(site: String, sites_path: PathBuf) -> PyResult<Self> {
        SiteRef::new(site, sites_path).map(Self)
    }

    /// Make the season's partition; True when this call made one, False when it was there.
    ///
    /// ``note``: the season must exist, and ``partition_created`` is set on it. A hook that
    /// runs inside the transaction which inserts the season passes False, and sets the
    /// field itself; that transaction must not have read the tracker.
    ///
    /// Raises NotFoundError for an unknown season (with ``note``), InvalidInputError for what
    /// is no season's name, ConfigError when the table is not partitioned by season,
    /// UnavailableError when the table stays locked for ten seconds.
    #[pyo3(signature = (season_name, *, note = true))]
    fn create_season_partition(
        &self,
        py: Python<'_>,
        season_name: &str,
        note: bool,
    ) -> PyResult<bool> {
        self.0.run(py, async move |site| {
            partitions::create(&site, season_name, note).await
        })
    }

    /// Whether rows of this season have a partition, by MariaDB's comparison of names.
    fn check_partition_exists(&self, py: Python<'_>, season_name: &str) -> PyResult<bool> {
        self.0.run(py, async move |site| {
            partitions::exists(&site, season_name).await
        })
    }

    /// Whether the tracker has partitions.
    fn is_table_partitioned(&self, py: Python<'_>) -> PyResult<bool> {
        self.0.run(py, async move |site| {
            partitions::is_partitioned(&site).await
        })
    }

    /// All partitions of the tracker; empty if it has none.
    fn get_all_partitions<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let all = self
            .0
            .run(py, async move |site| partitions::all(&site).await)?;
        convert::to_python(py, &all)
    }

    /// Rows and bytes of all partitions, or of that of one season; empty if it has none.
    ///
    /// Raises NotFoundError for an unknown season without a partition.
    #[pyo3(signature = (season_name = None))]
    fn get_partition_stats<'py>(
        &self,
        py: Python<'py>,
        season_name: Option<&str>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let stats = self.0.run(py, async move |site| {
            partitions::stats(&site, season_name).await
        })?;
        convert::to_python(py, &stats)
    }

    /// Make the index that reads without the cache use; True when this call made it.
    ///
    /// Raises ConfigError when the tracker lacks a column of it: run the migration.
    fn create_composite_index(&self, py: Python<'_>) -> PyResult<bool> {
        self.0.run(py, async move |site| {
            partitions::create_composite_index(&site).await
        })
    }
}
