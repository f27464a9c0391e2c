//! Ten checks of a site, each of which does for a season of its own what the site does for
//! students: does all of it work *here*, with these servers and these rights?
//!
//! Season and user are made for the run and removed at its end, whatever came of it, and by
//! the next run if this one was killed. The user cannot log in; the season is never active.
//! No other season is read or written. Making and dropping the season's partition takes the
//! table's lock for a moment, as any new season does, and never waits for it in front of
//! students.
//!
//! Safe Mode is looked at with a site that is the same but for the addresses of its Redis,
//! where nobody listens, and the folder in which it counts: no server is stopped, no count
//! of the site's own changes and nobody is told of an outage.
//!
//! | file | job |
//! |---|---|
//! | `checks` | the ten |
//! | `queue` | a queue of its own, and a worker for it |
//! | `safe_mode` | a site whose Redis is nowhere |
//! | `scratch` | season and user: made, removed |

mod checks;
mod queue;
mod safe_mode;
mod scratch;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, timeout};

pub(crate) use scratch::is_scratch;

use self::checks::Check;
use self::scratch::Scratch;
use super::Site;
use crate::servers::refusal;
use crate::{Error, ErrorKind, Result};

/// How long one check may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What one check found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// What was checked, in words that stay.
    pub check: &'static str,
    /// Whether it is as it should be.
    pub passed: bool,
    /// What was seen, or what went wrong.
    pub says: String,
    /// What to do, if it did not pass.
    pub remedy: Option<&'static str>,
    /// Whether it did not pass because a server is away.
    pub away: bool,
    /// How long it took.
    pub seconds: f64,
}

/// What all of them found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The site.
    pub site: String,
    /// Whether all of them passed and nothing was left behind.
    pub passed: bool,
    /// Whether it was told to stop before the last.
    pub stopped: bool,
    /// In the order in which they ran.
    pub checks: Vec<Outcome>,
    /// Seasons of earlier checks, which had been killed, that were removed.
    pub removed_left: u64,
    /// Why season and user could not be removed; the next check tries again after an hour.
    pub not_removed: Option<String>,
    /// The season that was made and removed.
    pub season: String,
    /// How long it took.
    pub seconds: f64,
}

/// What is told while they run.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    /// A check begins: which, of how many.
    Begins(&'static str, usize, usize),
    /// It is done.
    Done(&'a Outcome),
    /// Season and user are being removed.
    CleansUp,
}

/// Runs all checks, until `stop` resolves at the latest: what is under way then is given up,
/// and season and user are removed all the same.
pub async fn run(
    site: &Arc<Site>,
    tell: &(dyn Fn(Event<'_>) + Send + Sync),
    stop: impl Future<Output = ()>,
) -> Report {
    let started = Instant::now();
    let scratch = Scratch::new();
    let mut outcomes = Vec::with_capacity(Check::ALL.len());
    let stopped = tokio::select! {
        biased;
        () = stop => true,
        () = all(site, &scratch, tell, &mut outcomes) => false,
    };
    tell(Event::CleansUp);
    let cleaned = clean_up(site, &scratch).await;
    let passed = !stopped && cleaned.is_ok() && outcomes.iter().all(|outcome| outcome.passed);
    Report {
        site: site.config.site.clone(),
        passed,
        stopped,
        checks: outcomes,
        removed_left: cleaned.as_ref().copied().unwrap_or(0),
        not_removed: cleaned.err().map(|error| error.message().to_owned()),
        season: scratch.season.as_str().to_owned(),
        seconds: rounded(started),
    }
}

async fn all(
    site: &Arc<Site>,
    scratch: &Scratch,
    tell: &(dyn Fn(Event<'_>) + Send + Sync),
    outcomes: &mut Vec<Outcome>,
) {
    for (n, check) in Check::ALL.into_iter().enumerate() {
        tell(Event::Begins(check.name(), n + 1, Check::ALL.len()));
        let started = Instant::now();
        let failed = |needed: &&Check| {
            let name = needed.name();
            outcomes.iter().any(|o| o.check == name && !o.passed)
        };
        let found = match check.needs().iter().find(failed) {
            Some(needed) => Err(Error::internal(format!("not run: {}", needed.name()))),
            None => within(check.run(site, scratch)).await,
        };
        let seconds = rounded(started);
        outcomes.push(match found {
            Ok(says) => Outcome {
                check: check.name(),
                passed: true,
                says,
                remedy: None,
                away: false,
                seconds,
            },
            Err(error) => Outcome {
                check: check.name(),
                passed: false,
                says: said(&error),
                remedy: Some(check.remedy(&error)),
                away: refusal::is_away(&error),
                seconds,
            },
        });
        if let Some(outcome) = outcomes.last() {
            tell(Event::Done(outcome));
        }
    }
}

/// What went wrong, and what a server said if it refused.
fn said(error: &Error) -> String {
    if let Some(what) = refusal::login(error) {
        return what.to_owned();
    }
    match refusal::code(error) {
        Some(code) => format!("{} ({code})", error.message()),
        None => error.message().to_owned(),
    }
}

async fn within(check: impl Future<Output = Result<String>>) -> Result<String> {
    let slow = || Error::internal(format!("not done after {} s", PATIENCE.as_secs()));
    timeout(PATIENCE, check)
        .await
        .unwrap_or_else(|_| Err(slow()))
}

/// Removes this check's season and user, and those of checks that were killed.
async fn clean_up(site: &Site, scratch: &Scratch) -> Result<u64> {
    scratch.remove(site).await?;
    // That the database is away is said by the checks; what is there is for a later one.
    match scratch::remove_left(site).await {
        Err(error) if error.kind() == ErrorKind::Unavailable => Ok(0),
        removed => removed,
    }
}

fn rounded(started: Instant) -> f64 {
    (started.elapsed().as_secs_f64() * 1000.0).round() / 1000.0
}
