//! Whether the sites of a bench can be served as they should be, and what to do if not.
//!
//! A site with a problem may be served all the same: with Redis away reads come from the
//! table. So this is for operators and alerts, and no reason to end a process: another one
//! would find the same.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use serde::Serialize;
use tokio::time::timeout;

use super::{Site, Sites, backlog};
use crate::config;
use crate::servers::breaker::State;
use crate::servers::mariadb::MariaDb;
use crate::servers::refusal;
use crate::store::journal::{self, Backlog};
use crate::store::{migrate, server};
use crate::{Error, ErrorKind, Result};

/// How long a server may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// Sites looked at at once.
const AT_ONCE: usize = 16;

/// What there is to say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// Whether no problem is a blocking one.
    pub ready: bool,
    /// By site, then by name.
    pub problems: Vec<Problem>,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Where; empty if there is no site.
    pub site: String,
    /// Which, as a word for programs.
    pub problem: &'static str,
    /// Whether the site is not served as it should be because of it. Else it is a warning.
    pub blocking: bool,
    /// What is wrong, for people.
    pub message: String,
    /// What to do.
    pub remedy: &'static str,
}

/// Looks at every site of the bench that is not left to Frappe: some seconds at most.
///
/// # Errors
/// `Config` if the bench's `sites` folder cannot be read.
pub async fn look(sites: &Sites) -> Result<Readiness> {
    let shared = shared_schedules(sites).await?;
    let names = sites.names()?;
    if names.is_empty() {
        return Ok(no_site(sites));
    }
    let found: Vec<Vec<Problem>> = stream::iter(names)
        .map(|name| {
            let others = shared.get(&name).cloned().unwrap_or_default();
            async move { problems(sites, &name, &others).await }
        })
        .buffered(AT_ONCE)
        .collect()
        .await;
    let problems: Vec<Problem> = found.into_iter().flatten().collect();
    Ok(Readiness {
        ready: !problems.iter().any(|problem| problem.blocking),
        problems,
    })
}

/// A bench may be started before its first site is made: nothing waits for that, but nobody is
/// served, as with a folder that is not the one that was meant.
fn no_site(sites: &Sites) -> Readiness {
    let folder = sites.path().display();
    Readiness {
        ready: true,
        problems: vec![Problem {
            site: String::new(),
            problem: "no_site",
            blocking: false,
            message: format!("there is no site below {folder}"),
            remedy: "make one: bench new-site; or mend --sites-path (SITES_PATH)",
        }],
    }
}

/// What is wrong with one site; nothing is, where the app is not installed, and where the
/// site is left to Frappe or in maintenance.
///
/// # Errors
/// `NotFound` if there is no such site.
pub async fn look_at(sites: &Sites, name: &str) -> Result<Readiness> {
    if let Err(error) = sites.get(name).await
        && error.kind() == ErrorKind::NotFound
    {
        return Err(error);
    }
    let shared = shared_schedules(sites).await?;
    let others = shared.get(name).cloned().unwrap_or_default();
    let problems = problems(sites, name, &others).await;
    Ok(Readiness {
        ready: !problems.iter().any(|problem| problem.blocking),
        problems,
    })
}

/// Sites whose schedules would lie under the same keys, each with the others.
pub(super) async fn shared_schedules(sites: &Sites) -> Result<BTreeMap<String, Vec<String>>> {
    let path = sites.path().to_owned();
    let reports = tokio::task::spawn_blocking(move || config::report(&path, None))
        .await
        .map_err(|e| Error::internal("The configuration could not be read").with_source(e))??;
    let shared = reports
        .into_iter()
        .filter(|report| report.declined_because_of.is_none())
        .map(|report| (report.site, report.shares_schedules_with));
    Ok(shared.collect())
}

async fn problems(sites: &Sites, name: &str, others: &[String]) -> Vec<Problem> {
    let mut found = Found {
        site: name,
        problems: Vec::new(),
    };
    let site = match sites.get(name).await {
        Ok(site) => site,
        Err(error) => {
            found.blocking(
                "config",
                error.message().to_owned(),
                "mend the key that is named; memora-srs check-config says more",
            );
            return found.problems;
        }
    };
    if site.config.decline_all.is_some() || site.config.maintenance_mode {
        return Vec::new();
    }
    let (db, _, queue) = tokio::join!(
        database(&site),
        timeout(PATIENCE, site.srs_redis.ping()),
        timeout(PATIENCE, site.producer.depth()),
    );
    if let Database::NotInstalled = db {
        return Vec::new();
    }
    if !others.is_empty() {
        found.blocking(
            "shared_schedules",
            format!(
                "its schedules lie under the same keys of the same Redis as those of {}",
                others.join(", ")
            ),
            "give each site a srs_key_prefix, a logical database, or a Redis of its own",
        );
    }
    found.redis(&site);
    match queue.unwrap_or_else(|_| Err(Error::unavailable("slow", PATIENCE))) {
        Ok(jobs) if jobs > backlog::JOBS => found.warning(
            "queue_long",
            format!("{jobs} jobs wait in the queue that submits go to"),
            "run a worker: memora-srs worker, or RQ's for the queue of srs_queue",
        ),
        Ok(_) => {}
        Err(_) => found.blocking(
            "queue_away",
            "the Redis with the queues (redis_queue) does not answer".to_owned(),
            "start it; submits go on through the journal meanwhile",
        ),
    }
    found.database(db);
    found.problems
}

/// What the database says.
enum Database {
    Away(Error),
    NotInstalled,
    ToMigrate(String),
    Wrong(Vec<String>),
    Here(Backlog),
}

async fn database(site: &Site) -> Database {
    let asked = async {
        match migrate::standing(&site.db).await? {
            migrate::Standing::NotInstalled => return Ok(Database::NotInstalled),
            migrate::Standing::ToMigrate(what) => return Ok(Database::ToMigrate(what)),
            migrate::Standing::Migrated => {}
        }
        let wrong = server::problems(&site.db).await?;
        if !wrong.is_empty() {
            return Ok(Database::Wrong(wrong));
        }
        Ok::<_, Error>(Database::Here(journal::backlog(&site.db).await?))
    };
    MariaDb::within(PATIENCE, asked)
        .await
        .unwrap_or_else(Database::Away)
}

struct Found<'a> {
    site: &'a str,
    problems: Vec<Problem>,
}

impl Found<'_> {
    fn redis(&mut self, site: &Site) {
        match site.safe_mode().state() {
            State::Closed => {}
            State::Open => self.blocking(
                "safe_mode",
                "the Redis with the schedules is away: reads come from the table, within limits"
                    .to_owned(),
                "start it, or mend the way to it; docs/SAFE_MODE.md",
            ),
            State::Back => self.blocking(
                "safe_mode",
                "the Redis with the schedules is back, and what it missed is being made good"
                    .to_owned(),
                "wait; if it lasts, look whether MariaDB and the queue's Redis answer",
            ),
        }
        let apart = site.config.srs_redis != site.config.redis_cache;
        let sessions = site.cache_redis.breaker_state();
        if apart && sessions.is_some_and(|state| state != State::Closed) {
            self.blocking(
                "sessions_away",
                "the Redis with the sessions (redis_cache) does not answer".to_owned(),
                "start it; logins are looked up in the table meanwhile",
            );
        }
    }

    fn database(&mut self, database: Database) {
        match database {
            Database::NotInstalled => {}
            Database::Away(error) if refusal::login(&error).is_some() => self.blocking(
                "mariadb_away",
                refusal::login(&error).unwrap_or_default().to_owned(),
                "mend db_name, db_user and db_password of the site",
            ),
            Database::Away(error) => self.blocking(
                "mariadb_away",
                // Not the driver's words, which may name users and hosts.
                format!("MariaDB does not answer as it should: {error}"),
                "start it, or mend db_host, db_name and db_password of the site",
            ),
            Database::ToMigrate(what) => self.blocking(
                "not_migrated",
                format!("the schema is not up to date: {what}"),
                "memora-srs migrate --site <site>, or bench --site <site> migrate",
            ),
            Database::Wrong(problems) => self.blocking(
                "mariadb_settings",
                problems.join("; "),
                "change the server's settings as said",
            ),
            Database::Here(backlog) => self.backlog(backlog),
        }
    }

    fn backlog(&mut self, backlog: Backlog) {
        if backlog.failed > 0 {
            self.warning(
                "journal_failed",
                format!("{} accepted submits wait for an operator", backlog.failed),
                "memora-srs journal list --state failed; docs/OPERATIONS.md",
            );
        }
        if let Some(oldest_s) = backlog.oldest_s.filter(|age| *age > backlog::OLDEST_S) {
            self.warning(
                "journal_late",
                format!(
                    "{} accepted submits are not in the table yet, the oldest for {oldest_s:.0} s",
                    backlog.pending
                ),
                "run a worker: memora-srs worker, or RQ's for the queue of srs_queue",
            );
        }
    }

    fn blocking(&mut self, problem: &'static str, message: String, remedy: &'static str) {
        self.add(problem, true, message, remedy);
    }

    fn warning(&mut self, problem: &'static str, message: String, remedy: &'static str) {
        self.add(problem, false, message, remedy);
    }

    fn add(
        &mut self,
        problem: &'static str,
        blocking: bool,
        message: String,
        remedy: &'static str,
    ) {
        self.problems.push(Problem {
            site: self.site.to_owned(),
            problem,
            blocking,
            message,
            remedy,
        });
    }
}
