//! What a process that runs all the time does for its sites besides its own work: bring in
//! journal rows that no job brought ([`super::sweep`]), and delete what is past its
//! retention ([`super::purge`]).

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Sites, purge, sweep};
use crate::{ErrorKind, Result};

/// How long one purge may go on.
const PURGE_BUDGET: Duration = Duration::from_secs(60);
/// How often a purge is tried; the claim in the database decides.
const PURGE: Duration = Duration::from_secs(600);

/// Keeps house every `every`, first after that time, until it is dropped. `names`: the sites;
/// empty for all of the bench that the configuration does not leave to Frappe alone.
pub async fn run(sites: &Sites, names: &[String], worker: &str, every: Duration) {
    let mut next_purge = Instant::now() + PURGE.min(every);
    loop {
        sleep(every).await;
        let all = || sites.names().unwrap_or_default();
        let all_names = if names.is_empty() {
            all()
        } else {
            names.to_vec()
        };
        let purges = Instant::now() >= next_purge;
        if purges {
            next_purge = Instant::now() + PURGE;
        }
        for name in all_names {
            if let Err(error) = one(sites, &name, worker, purges, names.is_empty()).await {
                // A bench has folders of sites that are half made.
                if error.kind() != ErrorKind::Config {
                    tracing::warn!(site = name, ?error, "The journal could not be kept");
                }
            }
        }
    }
}

async fn one(sites: &Sites, name: &str, worker: &str, purges: bool, uncalled: bool) -> Result<()> {
    let site = sites.get(name).await?;
    let left_to_frappe = uncalled && site.config.decline_all.is_some();
    // A migration is no time for it.
    if site.config.maintenance_mode || left_to_frappe {
        return Ok(());
    }
    sweep::patrol(&site, worker).await?;
    if purges {
        purge::purge(&site, worker, PURGE_BUDGET).await?;
    }
    Ok(())
}
