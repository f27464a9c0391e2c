//! `Players`: what follows when a User is renamed or deleted, or a row is edited by hand.

use std::path::PathBuf;

use memora_core::services::players;
use memora_core::{Error, Result};
use pyo3::prelude::*;

use crate::convert;
use crate::engine::{OrRaise, SiteRef};
use crate::runtime;

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

    /// Make sure that Users may be renamed or merged now.
    ///
    /// To be asked from the ``before_rename`` hook of User when it has read the tracker in
    /// Frappe's own transaction.
    ///
    /// Raises UnavailableError while a season is on its way into the archive or back, or if
    /// MariaDB is away.
    fn check_rename(&self, py: Python<'_>) -> PyResult<()> {
        self.0
            .run(py, async |site| players::check_rename(&site).await)
    }

    /// Give the statements that let Frappe merge the User ``old`` into ``new``.
    ///
    /// Each is SQL with ``%s`` and its parameters, for ``frappe.db.sql``: run them in order in
    /// Frappe's own transaction, from the ``before_rename`` hook of User when ``merge`` is
    /// true. Where both have a row of the same season and question, the newer state stays.
    #[expect(clippy::unused_self, reason = "a method, as its siblings")]
    fn merge_rows(
        &self,
        py: Python<'_>,
        old: &str,
        new: &str,
    ) -> PyResult<Vec<(String, Vec<String>)>> {
        let (old, new) = (
            convert::player(old).or_raise(py)?,
            convert::player(new).or_raise(py)?,
        );
        let statements = players::merge_rows(&old, &new).into_iter();
        Ok(statements.map(|s| (s.sql, s.params)).collect())
    }

    /// Move what is ours from ``old`` to ``new``, after the rename or merge was committed.
    ///
    /// Journal, audit, review log, rows of tracker and archive written meanwhile; schedules of
    /// both are dropped. May be called any number of times.
    ///
    /// Raises ConflictError while the User ``old`` exists, NotFoundError if there is no User
    /// ``new``, UnavailableError if a server is away or a lock cannot be had: call again.
    fn rename<'py>(&self, py: Python<'py>, old: &str, new: &str) -> PyResult<Bound<'py, PyAny>> {
        let (old, new) = (
            convert::player(old).or_raise(py)?,
            convert::player(new).or_raise(py)?,
        );
        let moved = self.0.run(py, async move |site| {
            apart(move || runtime::finish(players::rename(&site, &old, &new))).await
        })?;
        convert::to_python(py, &moved)
    }

    /// Remove what is ours of a deleted User, after the deletion was committed.
    ///
    /// Schedules and the answers in the journal; audit, review log and rows of the tracker
    /// stay. A User that was merged into another is moved, as by ``rename``.
    ///
    /// Raises ConflictError while the User exists, UnavailableError as ``rename``.
    fn remove<'py>(&self, py: Python<'py>, user: &str) -> PyResult<Bound<'py, PyAny>> {
        let player = convert::player(user).or_raise(py)?;
        let removed = self.0.run(py, async move |site| {
            apart(move || runtime::finish(players::remove(&site, &player))).await
        })?;
        convert::to_python(py, &removed)
    }

    /// Drop a student's cached schedule after an edit of its rows; True if there was one.
    ///
    /// Raises UnavailableError when Redis is away. The schedule is not believed then, and is
    /// dropped when Redis is back: nobody need call again.
    fn invalidate(&self, py: Python<'_>, user: &str, season: &str) -> PyResult<bool> {
        let (player, season) = (
            convert::player(user).or_raise(py)?,
            convert::season(season).or_raise(py)?,
        );
        self.0.run(py, async move |site| {
            players::invalidate(&site, &player, &season).await
        })
    }
}

/// Runs an operation on a thread of its own, whose future is not known to be `Send` (it
/// awaits async closures). It goes on when its caller is interrupted, and may: whoever
/// calls again finds what was done.
async fn apart<T: Send + 'static>(
    operation: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(operation).await;
    done.unwrap_or_else(|e| Err(Error::internal("The engine failed").with_source(e)))
}
