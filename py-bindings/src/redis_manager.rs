//! `SRSRedisManager`: one site's schedules in Redis.

use std::path::PathBuf;
use std::time::Duration;

use memora_core::services::clear;
use memora_core::services::rebuild::{self, Options};
use memora_core::services::schedule::{self, Owner};
use memora_core::types::UtcMicros;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyMapping};

use crate::convert;
use crate::engine::{OrRaise, SiteRef};

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
        let owner = Owner::new(user, season).or_raise(py)?;
        let ttl = ttl.map(lifetime);
        let items = [(question_id.to_owned(), next_review_ts)];
        self.add(py, &owner, &items, ttl)
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
        items: &Bound<'_, PyMapping>,
        ttl: Option<i64>,
    ) -> PyResult<bool> {
        let owner = Owner::new(user, season).or_raise(py)?;
        let ttl = ttl.map(lifetime);
        let items = items
            .items()?
            .iter()
            .map(|item| item.extract())
            .collect::<PyResult<Vec<(String, f64)>>>()?;
        self.add(py, &owner, &items, ttl)
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
        let owner = Owner::new(user, season).or_raise(py)?;
        self.0.run(py, async move |site| {
            schedule::remove_item(&site, &owner, question_id).await
        })
    }

    /// Ids of the questions that are due now, most overdue first, at most ``limit``.
    ///
    /// Asks the cache alone: a schedule that is not cached has no items.
    ///
    /// Raises InvalidInputError for a limit outside 1 to 10,000, UnavailableError when Redis
    /// is away.
    #[pyo3(signature = (user, season, limit = 20))]
    fn get_due_items(
        &self,
        py: Python<'_>,
        user: &str,
        season: &str,
        limit: i64,
    ) -> PyResult<Vec<String>> {
        let owner = Owner::new(user, season).or_raise(py)?;
        self.0.run(py, async move |site| {
            schedule::due_items(&site, &owner, count(limit), UtcMicros::now()).await
        })
    }

    /// As ``get_due_items``, filling a schedule that is not cached from the table first.
    ///
    /// The second value is True when this call filled the cache. Where another process fills
    /// it, or the season is not cached, the table answers.
    ///
    /// Raises InvalidInputError for a limit outside 1 to 10,000 or an archived season,
    /// NotFoundError for an unknown one, UnavailableError when Redis or MariaDB is away.
    #[pyo3(signature = (user, season, limit = 20))]
    fn get_due_items_with_rehydration(
        &self,
        py: Python<'_>,
        user: &str,
        season: &str,
        limit: i64,
    ) -> PyResult<(Vec<String>, bool)> {
        let owner = Owner::new(user, season).or_raise(py)?;
        self.0.run(py, async move |site| {
            let now = UtcMicros::now();
            schedule::due_items_with_rehydration(&site, &owner, count(limit), now).await
        })
    }

    /// Count the questions that are due now in the cached schedule; 0 if it is not cached.
    ///
    /// Raises UnavailableError when Redis is away.
    fn count_due_items(&self, py: Python<'_>, user: &str, season: &str) -> PyResult<u64> {
        let owner = Owner::new(user, season).or_raise(py)?;
        self.0.run(py, async move |site| {
            schedule::count_due(&site, &owner, UtcMicros::now()).await
        })
    }

    /// All questions of the cached schedule with their due time, UTC epoch seconds.
    ///
    /// Empty if it is not cached. Raises UnavailableError when Redis is away.
    fn get_all_scores<'py>(
        &self,
        py: Python<'py>,
        user: &str,
        season: &str,
    ) -> PyResult<Bound<'py, PyDict>> {
        let owner = Owner::new(user, season).or_raise(py)?;
        let scores = self.0.run(py, async move |site| {
            schedule::all_scores(&site, &owner).await
        })?;
        let all = PyDict::new(py);
        for (question, due) in &scores {
            all.set_item(question, due)?;
        }
        Ok(all)
    }

    /// Remove a student's schedule and its companion keys from Redis; the table stays.
    ///
    /// True if there was one. Raises UnavailableError when Redis is away.
    fn clear_user_cache(&self, py: Python<'_>, user: &str, season: &str) -> PyResult<bool> {
        let owner = Owner::new(user, season).or_raise(py)?;
        self.0
            .run(py, async move |site| schedule::clear(&site, &owner).await)
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
        let owner = Owner::new(user, season).or_raise(py)?;
        let stats = self.0.run(py, async move |site| {
            schedule::stats(&site, &owner, UtcMicros::now()).await
        })?;
        convert::to_python(py, &stats)
    }

    /// Whether Redis answers a command now. Never raises for a server that is away.
    fn is_available(&self, py: Python<'_>) -> PyResult<bool> {
        self.0.run(
            py,
            async move |site| Ok(schedule::is_available(&site).await),
        )
    }

    /// Fill the cached schedules of all students of a season.
    ///
    /// Students may read and submit meanwhile. One rebuild of a season runs at a time, on any
    /// host; one that was interrupted within the last hour goes on where it stood, unless
    /// ``from_start``. ``batch_size``: students read at once, 1 to 10,000 (of 20,000 questions
    /// together at most). ``load``: share of the time in which the servers are asked to work,
    /// 1 to 100 per cent; 50 leaves room for students. ``missing_only``: leave complete
    /// schedules alone. ``progress(phase, done, total)`` is called some times a second with
    /// students, ``total`` being 0 when it is not known; an exception in it ends the rebuild.
    ///
    /// Raises InvalidInputError for an archived season, one that is not cached
    /// (``enable_redis``) or an argument that cannot be, NotFoundError for an unknown season,
    /// UnavailableError when another rebuild of it is under way or a server is away: call
    /// again and it goes on.
    #[pyo3(signature = (season_name, batch_size = 1000, progress = None, *, load = 50, missing_only = false, from_start = false))]
    #[expect(clippy::too_many_arguments, reason = "keywords in Python")]
    fn rebuild_season_cache<'py>(
        &self,
        py: Python<'py>,
        season_name: &str,
        batch_size: i64,
        progress: Option<&Bound<'py, PyAny>>,
        load: i64,
        missing_only: bool,
        from_start: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let options = Options {
            load: u8::try_from(load).unwrap_or(0),
            missing_only,
            from_start,
            batch_size: count(batch_size),
        };
        let report = self.0.run_long(py, progress, async move |site, tell| {
            rebuild::run(&site, season_name, &options, &*tell).await
        })?;
        convert::to_python(py, &report)
    }

    /// Where the rebuild of a season stands, or how the last one ended; None if there was none.
    ///
    /// Raises NotFoundError for an unknown season, UnavailableError when MariaDB is away.
    fn get_rebuild_status<'py>(
        &self,
        py: Python<'py>,
        season_name: &str,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let status = self.0.run(py, async move |site| {
            rebuild::status(&site, season_name).await
        })?;
        status
            .map(|status| convert::to_python(py, &status))
            .transpose()
    }

    /// Remove the schedules of all students of a season from Redis; the table stays.
    ///
    /// Number of schedules that there were. Their companion keys go with them.
    ///
    /// With ``thorough`` once more when every process has noticed that the season is not
    /// cached any more (``srs_season_cache_s``, 10 seconds); takes so long. ``progress(phase,
    /// done, total)``: keys of the whole Redis that were looked at.
    ///
    /// Raises InvalidInputError for what is no season's name, UnavailableError when a server
    /// is away: call again.
    #[pyo3(signature = (season_name, progress = None, *, thorough = false))]
    fn clear_season_cache(
        &self,
        py: Python<'_>,
        season_name: &str,
        progress: Option<&Bound<'_, PyAny>>,
        thorough: bool,
    ) -> PyResult<u64> {
        self.0.run_long(py, progress, async move |site, tell| {
            let season = clear::named(&site, season_name).await?;
            match thorough {
                true => clear::thoroughly(&site, &season, &*tell).await,
                false => clear::season(&site, &season, &*tell).await,
            }
        })
    }

    /// What there is in the Redis with the schedules, counted for two seconds at most.
    ///
    /// Never raises for a Redis that is away.
    fn get_cache_status<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let status = self
            .0
            .run(py, async move |site| clear::status(&site).await)?;
        convert::to_python(py, &status)
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
        let owner = Owner::new(user, season).or_raise(py)?;
        self.0
            .run(py, async move |site| Ok(schedule::key(&site, &owner)))
    }
}

impl SRSRedisManager {
    fn add(
        &self,
        py: Python<'_>,
        owner: &Owner,
        items: &[(String, f64)],
        ttl: Option<Duration>,
    ) -> PyResult<bool> {
        self.0.run(py, async move |site| {
            schedule::add_batch(&site, owner, items, ttl, UtcMicros::now()).await
        })?;
        Ok(true)
    }
}

/// A number of questions; one below nothing is as wrong as none.
fn count(limit: i64) -> usize {
    usize::try_from(limit).unwrap_or(0)
}

/// A time to live; one below nothing is as wrong as none.
fn lifetime(ttl: i64) -> Duration {
    Duration::from_secs(u64::try_from(ttl).unwrap_or(0))
}
