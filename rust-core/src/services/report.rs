//! Telling the operator, in the log and in Frappe's Error Log.

use super::Site;
use crate::queue::untold;
use crate::store::error_log;
use crate::types::UtcMicros;
use crate::{Error, Result};

/// What operators search Frappe's Error Log for.
pub(super) const ERROR_TITLE: &str = "SRSPersistenceService";

/// A submit, named by job or submission, could not be applied. With the database away the
/// Error Log's entry waits on the queue Redis for [`tell`].
pub(super) async fn not_applied(site: &Site, what: &str, error: &Error) {
    tracing::error!(
        site = site.config.site,
        job = what,
        ?error,
        "A submit could not be applied"
    );
    let text = format!("{what}\n{error:?}");
    if let Err(error) = log(site, &text).await {
        tracing::warn!(
            site = site.config.site,
            ?error,
            "The Error Log could not be written"
        );
        keep(site, what, &text).await;
    }
}

/// Keeps what the Error Log could not take, until it can.
pub(super) async fn keep(site: &Site, what: &str, text: &str) {
    let at = chrono::Utc::now().format("%Y-%m-%d %H:%M:%S UTC");
    let text = format!("{text}\n(at {at}, when the database was away)");
    let kept = untold::keep(&site.queue_redis, &site.config.site, what, &text);
    if let Err(error) = kept.await {
        tracing::warn!(site = site.config.site, ?error, "Nor could it be kept");
    }
}

/// Writes what waits for the Error Log. Two processes that do so at once may write an
/// entry twice.
pub(super) async fn tell(site: &Site) -> Result<()> {
    let (redis, name) = (&site.queue_redis, &site.config.site);
    for (what, text) in untold::all(redis, name).await? {
        log(site, &text).await?;
        untold::told(redis, name, &what).await?;
    }
    Ok(())
}

/// An entry of the Error Log under our title.
pub(super) async fn log(site: &Site, text: &str) -> Result<()> {
    log_under(site, ERROR_TITLE, text).await
}

/// An entry of the Error Log under another title.
pub(super) async fn log_under(site: &Site, title: &str, text: &str) -> Result<()> {
    let now = UtcMicros::now();
    let wall = site.zone(now).await?.to_wall(now);
    error_log::write(&site.db, title, text, wall).await
}
