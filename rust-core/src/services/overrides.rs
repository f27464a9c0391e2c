//! Whether the site's apps and scripts leave a method to this engine.

use std::sync::Arc;

use super::{Site, bounded};
use crate::frappe::AuthContext;

/// Why `method` is for Frappe alone, if it is ([`crate::frappe::Overrides`]).
///
/// Read once a minute, in the background. Only who comes first waits for it, as long as for
/// a login at most: while both servers are away then, nothing is known, and Frappe judges.
pub async fn reason(site: &Arc<Site>, method: &str) -> Option<&'static str> {
    if !site.overrides.is_known() {
        let first = {
            let site = site.clone();
            async move { site.overrides.read_first(&context(&site)).await }
        };
        let _ = bounded::within(site.login_wait(), first).await;
    } else if site.overrides.claim() {
        let site = site.clone();
        tokio::spawn(async move { site.overrides.read(&context(&site)).await });
    }
    site.overrides.reason(method)
}

fn context(site: &Site) -> AuthContext<'_> {
    AuthContext {
        redis: &site.cache_redis,
        db: &site.db,
        config: &site.config,
    }
}
