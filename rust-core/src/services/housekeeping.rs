//! What a process that runs all the time does for its sites besides its own work: bring in
//! journal rows that no job brought ([`super::sweep`]), and delete what is past its
//! retention ([`super::purge`]).

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Site, Sites, purge, sweep};
use crate::store::migrate::{self, Standing};
use crate::{Error, ErrorKind, Result};

/// How long one purge may go on.
const PURGE_BUDGET: Duration = Duration::from_secs(60);
/// How often a purge is tried; the claim in the database decides.
const PURGE: Duration = Duration::from_secs(600);

/// Keeps house every `every`, first after that time, until it is dropped. `names`: the sites;
/// empty for all of the bench that the configuration does not leave to Frappe alone.
pub async fn run(sites: &Sites, names: &[String], worker: &str, every: Duration) {
    let mut next_purge = Instant::now() + PURGE.min(every);
    // What is wrong with a site, as it was said: once, not every few seconds.
    let mut troubles: HashMap<String, Trouble> = HashMap::new();
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
        troubles.retain(|name, _| all_names.contains(name));
        for name in all_names {
            let before = troubles.remove(&name);
            let kept = one(sites, &name, worker, purges, names.is_empty(), &before);
            if let Err(trouble) = kept.await {
                if before.as_ref() != Some(&trouble) {
                    trouble.say(&name);
                }
                troubles.insert(name, trouble);
            }
        }
    }
}

/// Why nothing could be done for a site.
#[derive(Debug, PartialEq, Eq)]
enum Trouble {
    /// The app's tables are not there, or are of an older release: there is nothing to keep.
    NoTables,
    /// Said by whoever opens sites. A bench has folders of sites that are half made.
    Refused,
    /// All else, in the words for the log.
    Failed(String),
}

impl Trouble {
    fn say(&self, site: &str) {
        match self {
            Self::NoTables => tracing::info!(
                site,
                "Nothing is to be kept in a site without the app's tables, until it has them"
            ),
            Self::Refused => {}
            Self::Failed(error) => tracing::warn!(site, error, "The journal could not be kept"),
        }
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        match error.kind() {
            ErrorKind::Config => Self::Refused,
            _ => Self::Failed(format!("{error:?}")),
        }
    }
}

async fn one(
    sites: &Sites,
    name: &str,
    worker: &str,
    purges: bool,
    uncalled: bool,
    before: &Option<Trouble>,
) -> Result<(), Trouble> {
    let site = sites.get(name).await?;
    let left_to_frappe = uncalled && site.config.decline_all.is_some();
    // A migration is no time for it.
    if site.config.maintenance_mode || left_to_frappe {
        return Ok(());
    }
    if *before == Some(Trouble::NoTables) && !has_tables(&site).await? {
        return Err(Trouble::NoTables);
    }
    match keep(&site, worker, purges).await {
        // A statement was refused: that may be why.
        Err(error) if error.kind() == ErrorKind::Internal && !has_tables(&site).await? => {
            Err(Trouble::NoTables)
        }
        kept => Ok(kept?),
    }
}

async fn keep(site: &Site, worker: &str, purges: bool) -> Result<()> {
    sweep::patrol(site, worker).await?;
    if purges {
        purge::purge(site, worker, PURGE_BUDGET).await?;
    }
    Ok(())
}

async fn has_tables(site: &Site) -> Result<bool> {
    Ok(migrate::standing(&site.db).await? == Standing::Migrated)
}
