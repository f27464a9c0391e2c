//! `SRSRedisManager`: one site's schedules in Redis.

use std::collections::HashMap;
use std::path::PathBuf;

use pyo3::prelude::*;

use crate::convert;
use crate::engine::{OrRaise, SiteRef};
use crate::error::not_built;

/// One site's schedules in Redis: sorted sets of question ids by due time.
#[pyclass(module = "memora_srs", subclass, frozen)]
pub(crate) struct SRSRedisManager(SiteRef);

#[pymethods]
impl SRSRedisManager {
    #[new]
    #[pyo3(signature = (site, sites_path = PathBuf::from(".")), text_signature = "(site, sites_path='.')")]
    fn new(site: String, sites_path: PathBuf) -> PyResult<Self> {
        SiteRef::new(site, sites_path).map(Self)
    }

    /// Set when a question is due; True when it was stored.
    ///
    /// ``next_review_ts``: UTC epoch seconds. ``ttl``: seconds until the key expires if
    /// this call makes it (default 30 days). A schedule that is not cached is not made
    /// complete by this: the next read fills it from the table, and keeps this item.
    ///
    /// Raises InvalidInputError for a name or time that cannot be, UnavailableError when
    /// Redis is away.
    #[pyo3(signature = (user, season, question_id, next_review_ts, ttl = None))]
    fn add_item(
        &self,
        py: Python<'_>,
        user: &str,
        season: &str,
        question_id: &str,
        next_review_ts: f64,
        ttl: Option<i64>,
    ) -> PyResult<bool> {
        let _ = (py, user, season, question_id, next_review_ts, ttl);
        Err(not_built("Writing to the cache"))
    }

    /// Set when several questions are due, in one step; True when they were stored.
    ///
    /// ``items``: UTC epoch seconds by question id. Otherwise as ``add_item``.
    #[pyo3(signature = (user, season, items, ttl = None))]
    fn add_batch(
        &self,
        py: Python<'_>,
        user: &str,
        season: &str,
        items: &Bound<'_, PyAny>,
        ttl: Option<i64>,
    ) -> PyResult<bool> {
        let _ = (py, user, season, items, ttl);
        Err(not_built("Writing to the cache"))
    }

    /// Take a question out of the cached schedule; True if it was there.
    ///
    /// The table is not changed: a later fill brings a question back that has a row.
    ///
    /// Raises UnavailableError when Redis is away.
    fn remove_item(
        &self,
        py: Python<'_>,
        user: &str,
        season: &str,
        question_id: &str,
    ) -> PyResult<bool> {
        let _ = (py, user, season, question_id);
        Err(not_built("Writing to the cache"))
    }

    /// Ids of the questions that are due now, most overdue first, at most ``limit``.
    ///
    /// Asks the cache alone: a schedule that is not cached has no items.
    ///
    /// Raises InvalidInputError for a limit below 1, UnavailableError when Redis is away.
    #[pyo3(signature = (user, season, limit = 20))]
    fn get_due_items(
        &self,
        py: Python<'_>,
        user: &str,
        season: &str,
        limit: i64,
    ) -> PyResult<Vec<String>> {
        let _ = (py, user, season, limit);
        Err(not_built("Reading the cache"))
    }

    /// As ``get_due_items``, filling a schedule that is not cached from the table first.
    ///
    /// The second value is True when the cache was filled by this call.
    ///
    /// Raises UnavailableError when Redis or MariaDB is away.
    #[pyo3(signature = (user, season, limit = 20))]
    fn get_due_items_with_rehydration(
        &self,
        py: Python<'_>,
        user: &str,
        season: &str,
        limit: i64,
    ) -> PyResult<(Vec<String>, bool)> {
        let _ = (py, user, season, limit);
        Err(not_built("Reading the cache"))
    }

    /// Count the questions that are due now in the cached schedule; 0 if it is not cached.
    ///
    /// Raises UnavailableError when Redis is away.
    fn count_due_items(&self, py: Python<'_>, user: &str, season: &str) -> PyResult<u64> {
        let _ = (py, user, season);
        Err(not_built("Reading the cache"))
    }

    /// All questions of the cached schedule with their due time, UTC epoch seconds.
    ///
    /// Empty if it is not cached. Raises UnavailableError when Redis is away.
    fn get_all_scores(
        &self,
        py: Python<'_>,
        user: &str,
        season: &str,
    ) -> PyResult<HashMap<String, f64>> {
        let _ = (py, user, season);
        Err(not_built("Reading the cache"))
    }

    /// Remove a student's schedule and its companion keys from Redis; the table stays.
    ///
    /// True if there was one. Raises UnavailableError when Redis is away.
    fn clear_user_cache(&self, py: Python<'_>, user: &str, season: &str) -> PyResult<bool> {
        let (player, season) = (
            convert::player(user).or_raise(py)?,
            convert::season(season).or_raise(py)?,
        );
        self.0.run(py, async move |site| {
            site.cache.invalidate(&player, &season).await
        })
    }

    /// Size of a student's cached schedule.
    ///
    /// Raises UnavailableError when Redis is away.
    fn get_cache_stats<'py>(
        &self,
        py: Python<'py>,
        user: &str,
        season: &str,
    ) -> PyResult<Bound<'py, PyAny>> {
        let _ = (py, user, season);
        Err(not_built("Reading the cache"))
    }

    /// Whether Redis answers a command now. Never raises for a server that is away.
    fn is_available(&self, py: Python<'_>) -> PyResult<bool> {
        let _ = py;
        Err(not_built("Asking Redis"))
    }

    /// Fill the schedules of all students of a season. Not built yet: NotImplementedError.
    #[pyo3(signature = (season_name, batch_size = 1000))]
    fn rebuild_season_cache(&self, season_name: &str, batch_size: i64) -> PyResult<Py<PyAny>> {
        let _ = (season_name, batch_size);
        Err(not_built("The rebuild of a season's cache"))
    }

    /// URL of the Redis that holds the schedules, password included: never log it.
    ///
    /// Raises ConfigError when the site's configuration is wrong, NotFoundError when there
    /// is no such site.
    fn redis_url(&self, py: Python<'_>) -> PyResult<String> {
        self.0.run(py, async |site| {
            Ok(site.config.srs_redis.expose().to_owned())
        })
    }

    /// Key of a student's schedule, ``srs:<user>:<season>`` with the site's prefix.
    fn _make_key(&self, py: Python<'_>, user: &str, season: &str) -> PyResult<String> {
        let (player, season) = (
            convert::player(user).or_raise(py)?,
            convert::season(season).or_raise(py)?,
        );
        self.0.run(py, async move |site| {
            Ok(site.cache.keys(&player, &season).schedule)
        })
    }
}
