//! A site at a glance: what is wrong, and what to do about it.
//!
//! Everything is asked at once, and nothing waits long: a server that does not answer is
//! named as away, and what would be asked of it is left out. Nothing is changed.
//!
//! | file | job |
//! |---|---|
//! | `servers` | Redis and MariaDB: there, large enough, in time |
//! | `sidecars` | whether one serves, and whether one died |
//! | `work` | queue, workers, journal, reconciliation, archive, rebuild, seasons |

mod servers;
mod sidecars;
mod work;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use serde::Serialize;
use tokio::time::timeout;

use super::{Site, Sites, readiness, safe_mode};
use crate::servers::refusal;
use crate::store::migrate::{self, Standing};
use crate::{Error, ErrorKind, Result};

/// How long one server may take to answer one question.
const PATIENCE: Duration = Duration::from_secs(3);

/// How bad something is; the later, the worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Well,
    /// Works, perhaps not for long, or not as meant.
    Warning,
    /// Wrong: students notice, or will.
    Wrong,
    /// A server does not answer.
    Away,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What, in a word or two that stay.
    pub about: &'static str,
    /// How bad.
    pub level: Level,
    /// What was seen.
    pub says: String,
    /// What to do, unless it is well.
    pub remedy: Option<String>,
}

impl Finding {
    fn well(about: &'static str, says: impl Into<String>) -> Self {
        Self {
            about,
            level: Level::Well,
            says: says.into(),
            remedy: None,
        }
    }

    fn of(
        about: &'static str,
        level: Level,
        says: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            about,
            level,
            says: says.into(),
            remedy: Some(remedy.into()),
        }
    }

    /// A question that its server did not answer, or answered with an error.
    fn failed(about: &'static str, error: &Error, remedy: &str) -> Self {
        if let Some(what) = refusal::login(error) {
            return Self::of(about, Level::Wrong, what, remedy);
        }
        let level = match error.kind() {
            ErrorKind::Unavailable => Level::Away,
            _ => Level::Wrong,
        };
        Self::of(about, level, error.message(), remedy)
    }
}

/// A site at this moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Its name.
    pub site: String,
    /// The worst of the findings.
    pub level: Level,
    /// What was looked at.
    pub findings: Vec<Finding>,
}

impl Status {
    fn new(site: &str, findings: Vec<Finding>) -> Self {
        Self {
            site: site.to_owned(),
            level: findings
                .iter()
                .map(|f| f.level)
                .max()
                .unwrap_or(Level::Well),
            findings,
        }
    }

    /// Of a site whose configuration cannot be used.
    fn refused(site: &str, error: &Error) -> Self {
        let remedy = format!("memora-srs check-config --site {site}");
        let finding = Finding::of("configuration", Level::Wrong, error.message(), remedy);
        Self::new(site, vec![finding])
    }
}

/// Looks at all sites of a bench. One without the app is left alone: a bench may have such.
///
/// # Errors
/// `Config` if the bench's `sites` folder cannot be read, or has no site.
pub async fn look_at_all(sites: &Sites) -> Result<Vec<Status>> {
    let names = sites.some_names()?;
    let shared = readiness::shared_schedules(sites).await?;
    let others = |name: &String| shared.get(name).cloned().unwrap_or_default();
    let looked = names
        .iter()
        .map(|name| one(sites, name, others(name), true));
    Ok(join_all(looked).await)
}

/// Looks at one site, which is meant to have the app.
///
/// # Errors
/// `NotFound` if there is no such site, `Config` if the bench's `sites` folder cannot be read.
pub async fn look_at(sites: &Sites, name: &str) -> Result<Status> {
    // A configuration that cannot be used is a finding; a site that is not there is a wrong
    // question.
    if let Err(error) = sites.get(name).await
        && error.kind() == ErrorKind::NotFound
    {
        return Err(error);
    }
    let mut shared = readiness::shared_schedules(sites).await?;
    let others = shared.remove(name).unwrap_or_default();
    Ok(one(sites, name, others, false).await)
}

async fn one(sites: &Sites, name: &str, others: Vec<String>, among_all: bool) -> Status {
    let site = match sites.get(name).await {
        Ok(site) => site,
        Err(error) => return Status::refused(name, &error),
    };
    if among_all && let Ok(Standing::NotInstalled) = soon(migrate::standing(&site.db)).await {
        let says = "the app memora is not installed: the site is left alone";
        return Status::new(name, vec![Finding::well("app", says)]);
    }
    let mut status = look(&site).await;
    if !others.is_empty() {
        let says = format!(
            "lie under the same keys of the same Redis as those of {}",
            others.join(", ")
        );
        let remedy = "give each site a srs_key_prefix, a logical database, or a Redis of its own";
        let finding = Finding::of("schedules' keys", Level::Wrong, says, remedy);
        status.findings.insert(1, finding);
        status = Status::new(name, status.findings);
    }
    status
}

/// Looks at a site by itself.
pub async fn look(site: &Arc<Site>) -> Status {
    let (servers, sidecars, work, safe_mode) = tokio::join!(
        servers::look(site),
        sidecars::look(site),
        work::look(site),
        safe_mode(site)
    );
    let mut findings = configuration(site);
    findings.extend(servers);
    findings.push(safe_mode);
    findings.extend(sidecars);
    findings.extend(work);
    Status::new(&site.config.site, findings)
}

fn configuration(site: &Site) -> Vec<Finding> {
    const ABOUT: &str = "configuration";
    let config = &site.config;
    let mut findings = Vec::new();
    if config.maintenance_mode {
        let says = "the site is in maintenance: students are answered 503";
        let remedy = format!("bench --site {} set-maintenance-mode off", config.site);
        findings.push(Finding::of(ABOUT, Level::Warning, says, remedy));
    }
    if let Some(reason) = config.decline_all {
        let says = format!("the sidecar leaves everything to Frappe, because of {reason}");
        let remedy = "if that is not meant, change it in site_config.json";
        findings.push(Finding::of(ABOUT, Level::Warning, says, remedy));
    }
    if findings.is_empty() {
        let version = config.frappe.major();
        findings.push(Finding::well(ABOUT, format!("Frappe {version}")));
    }
    findings
}

async fn safe_mode(site: &Site) -> Finding {
    const ABOUT: &str = "Safe Mode";
    let status = safe_mode::status(site).await;
    if !status.active {
        let last = status.last.map_or_else(String::new, |last| {
            format!("; the last outage ended {}", last.ended)
        });
        return Finding::well(ABOUT, format!("off{last}"));
    }
    let since = status.since.unwrap_or_else(|| "now".to_owned());
    let says = format!(
        "on since {since}: {} of {} reads in this minute come from the table",
        status.requests, status.global_limit
    );
    let remedy = "start the Redis with the schedules; it ends by itself";
    Finding::of(ABOUT, Level::Wrong, says, remedy)
}

/// An answer, unless it takes too long.
async fn soon<T>(asked: impl Future<Output = Result<T>>) -> Result<T> {
    let slow = || Error::unavailable("it does not answer", Duration::from_secs(1));
    timeout(PATIENCE, asked)
        .await
        .unwrap_or_else(|_| Err(slow()))
}
