//! `PartitionManager`: one partition of the tracker for each season.

use std::path::PathBuf;

use memora_core::store::migrate::{self, Options};
use memora_core::store::partitions::{self, Partition};
use memora_core::types::UtcMicros;
use pyo3::prelude::*;
use serde_json::{Value, json};

use crate::convert;
use crate::engine::{OrRaise, SiteRef};

/// The index that reads without the cache use.
const COMPOSITE_INDEX: &str = "idx_pmt_player_season_review";

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
    /// Raises InvalidInputError for what is no season's name, ConfigError when the table is
    /// not partitioned by season, UnavailableError when the table stays locked for ten
    /// seconds.
    fn create_season_partition(&self, py: Python<'_>, season_name: &str) -> PyResult<bool> {
        let season = convert::season(season_name).or_raise(py)?;
        self.0.run(py, async move |site| {
            partitions::ensure(&site.db, &season).await
        })
    }

    /// Whether rows of this season have a partition, by MariaDB's comparison of names.
    fn check_partition_exists(&self, py: Python<'_>, season_name: &str) -> PyResult<bool> {
        let season = convert::season(season_name).or_raise(py)?;
        self.0.run(py, async move |site| {
            partitions::exists(&site.db, &season).await
        })
    }

    /// Whether the tracker has partitions.
    fn is_table_partitioned(&self, py: Python<'_>) -> PyResult<bool> {
        let all = self
            .0
            .run(py, async move |site| partitions::all(&site.db).await)?;
        Ok(!all.is_empty())
    }

    /// Make the index that reads without the cache use; True when this call made it.
    ///
    /// The whole of ``Schema.apply``: its steps need each other.
    fn create_composite_index(&self, py: Python<'_>) -> PyResult<bool> {
        let report = self.0.run(py, async move |site| {
            let now = UtcMicros::now();
            let options = Options::at(site.zone(now).await?.to_wall(now));
            migrate::run(&site.db, &options, |_| {}).await
        })?;
        let mut changes = report.tables.iter().flat_map(|table| &table.changes);
        Ok(changes.any(|change| change.contains(COMPOSITE_INDEX)))
    }

    /// All partitions of the tracker; empty if it has none.
    fn get_all_partitions<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.get_partition_stats(py, None)
    }

    /// Rows and bytes of all partitions, or of that of one season.
    #[pyo3(signature = (season_name = None))]
    fn get_partition_stats<'py>(
        &self,
        py: Python<'py>,
        season_name: Option<&str>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let all = self
            .0
            .run(py, async move |site| partitions::all(&site.db).await)?;
        let asked = all
            .iter()
            .filter(|p| season_name.is_none_or(|name| p.season() == Some(name)));
        convert::to_python(py, &asked.map(describe).collect::<Vec<_>>())
    }
}

fn describe(partition: &Partition) -> Value {
    json!({
        "partition_name": partition.name,
        "season": partition.season(),
        "rows": partition.rows,
        "data_bytes": partition.data_bytes,
        "index_bytes": partition.index_bytes,
    })
}
