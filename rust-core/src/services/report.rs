//! Telling the operator, in the log and in Frappe's Error Log.

use super::Site;
use crate::Error;
use crate::store::error_log;
use crate::types::UtcMicros;

/// What operators search Frappe's Error Log for.
const ERROR_TITLE: &str = "SRSPersistenceService";

/// A submit, named by job or submission, could not be applied.
pub(super) async fn not_applied(site: &Site, what: &str, error: &Error) {
    tracing::error!(
        site = site.config.site,
        job = what,
        ?error,
        "A submit could not be applied"
    );
    let text = format!("{what}\n{error:?}");
    let written = async {
        let now = UtcMicros::now();
        let wall = site.zone(now).await?.to_wall(now);
        error_log::write(&site.db, ERROR_TITLE, &text, wall).await
    };
    if let Err(error) = written.await {
        tracing::warn!(
            site = site.config.site,
            ?error,
            "The Error Log could not be written"
        );
    }
}
