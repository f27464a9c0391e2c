//! What the bench's two JSON files, and the environment, say about a site.
//!
//! Operators read the same page: `docs/CONFIGURATION.md`.
#![doc = include_str!("../../../docs/CONFIGURATION.md")]

mod assemble;
mod bench;
mod files;
mod names;
mod own_keys;
mod reader;
mod redis_url;
mod report;
mod secret;
mod source;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) use files::{Files, site_file, site_folder};
pub(crate) use names::look_into;
pub use names::{site_names, valid_site_name};
pub use own_keys::OWN_QUEUE;
pub use report::{SiteReport, report, report_with_env};
pub use secret::Secret;
pub use source::{Setting, Source};

use crate::Result;
use crate::scheduling::{Parameters, XpTable};

/// Reads the configuration of `site` below the bench's folder `sites_path`, with this
/// process's environment.
///
/// # Errors
/// `NotFound` if there is no such site or it has no database; `Config` if a file cannot
/// be read or a value is wrong, naming every such key.
pub fn load(sites_path: &Path, site: &str) -> Result<SiteConfig> {
    load_with_env(sites_path, site, &|name| std::env::var(name).ok())
}

/// [`load`] with another environment than the process's.
///
/// # Errors
/// As [`load`].
pub fn load_with_env(
    sites_path: &Path,
    site: &str,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<SiteConfig> {
    let files = Files::read(sites_path, site)?;
    let (common, own) = (files.common()?, files.site()?);
    assemble::assemble(sites_path, site, common, own, env, None).config
}

/// The configuration that files just read amount to, with warnings for the log.
/// `connections`: what `srs_mariadb_connections` is where the files do not say.
///
/// # Errors
/// As [`load`].
pub(crate) fn build(
    sites_path: &Path,
    site: &str,
    files: &Files,
    connections: Option<usize>,
) -> Result<(SiteConfig, Vec<String>)> {
    let env = |name: &str| std::env::var(name).ok();
    let (common, own) = (files.common()?, files.site()?);
    let assembled = assemble::assemble(sites_path, site, common, own, &env, connections);
    Ok((assembled.config?, assembled.warnings))
}

/// A Frappe major version, which decides formats on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FrappeVersion {
    /// Frappe 14.
    V14,
    /// Frappe 15.
    V15,
    /// Frappe 16.
    V16,
}

impl FrappeVersion {
    /// By its number; `None` for one that is not supported.
    pub fn from_major(major: u32) -> Option<Self> {
        match major {
            14 => Some(Self::V14),
            15 => Some(Self::V15),
            16 => Some(Self::V16),
            _ => None,
        }
    }

    /// Its number.
    pub fn major(self) -> u32 {
        match self {
            Self::V14 => 14,
            Self::V15 => 15,
            Self::V16 => 16,
        }
    }
}

/// Everything that the engine needs to know about one site.
#[derive(Debug, Clone, PartialEq)]
pub struct SiteConfig {
    /// The site's name: its folder below `sites`.
    pub site: String,
    /// The bench's `sites` folder.
    pub sites_path: PathBuf,
    /// Where the record is.
    pub db: DbConfig,
    /// Redis with the schedules: `srs_redis_cache`, else `redis_cache`.
    pub srs_redis: Secret,
    /// Redis with Frappe's sessions: `redis_cache`.
    pub redis_cache: Secret,
    /// Redis with RQ's queues: `redis_queue`, credentials included.
    pub redis_queue: Secret,
    /// The prefix of RQ queue names.
    pub bench_id: String,
    /// Fernet key of `__Auth`; `None` when the site has none, so no API secret either.
    pub encryption_key: Option<Secret>,
    /// The site answers nothing for now.
    pub maintenance_mode: bool,
    /// CSRF is not checked (`ignore_csrf`).
    pub ignore_csrf: bool,
    /// Answers name their request (`monitor`, Frappe 15 and later).
    pub monitor: bool,
    /// Which Frappe is installed.
    pub frappe: FrappeVersion,
    /// Major version of the installed RQ, which decides the form of job ids.
    pub rq_major: u32,
    /// Why the sidecar leaves everything of this site to Frappe (`srs_sidecar: 0`,
    /// `extra_config`, `deny_multiple_sessions`, a rate limit, …); `None` when it need not.
    pub decline_all: Option<&'static str>,
    /// Queues named by the bench's `workers`, besides short, default and long.
    pub custom_queues: Vec<String>,
    /// How long jobs may run and are kept.
    pub rq: RqConfig,
    /// Our own settings.
    pub srs: SrsConfig,
}

impl SiteConfig {
    /// The folder of the site's spool.
    pub fn spool_dir(&self) -> PathBuf {
        self.sites_path.join(&self.site).join(&self.srs.spool_dir)
    }
}

/// How long RQ's jobs may run and are kept, in seconds. What is negative is without end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RqConfig {
    /// `workers.<queue>.timeout`, where the bench gives one; never 0.
    pub timeouts: BTreeMap<String, i64>,
    /// `rq_results_ttl`: what came of a job is kept so long; never 0.
    pub result_ttl: i64,
    /// `rq_job_failure_ttl`: a failed job is kept so long; never 0.
    pub failure_ttl: i64,
}

impl Default for RqConfig {
    /// Frappe's.
    fn default() -> Self {
        Self {
            timeouts: BTreeMap::new(),
            result_ttl: 600,
            failure_ttl: 604_800,
        }
    }
}

impl RqConfig {
    /// How long a job may run that waits in `queue`, named without the bench's prefix.
    pub fn timeout(&self, queue: &str) -> i64 {
        let frappes = if queue == "long" { 1500 } else { 300 };
        self.timeouts.get(queue).copied().unwrap_or(frappes)
    }
}

/// How to reach MariaDB.
#[derive(Debug, Clone, PartialEq)]
pub struct DbConfig {
    /// Database name; also the prefix of Frappe's Redis keys.
    pub name: String,
    /// User.
    pub user: String,
    /// Password.
    pub password: Secret,
    /// Host name or address, unless `socket` is given.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Unix socket, which wins over host and port.
    pub socket: Option<String>,
}

/// Our own settings: the `srs_*` keys of the site's configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct SrsConfig {
    /// `srs_key_prefix`: before every schedule key; of `[A-Za-z0-9_.-]`.
    pub key_prefix: String,
    /// `srs_season_cache_s`: how long a process believes what it read about a season.
    pub season_cache: Duration,
    /// `srs_max_questions`: per student and season.
    pub max_questions: u64,
    /// `srs_allow_new_questions`: whether a submit may name a question without a row.
    pub allow_new_questions: bool,
    /// `srs_question_info`: whether to ask apps, through Python, for subject and topic of
    /// new questions.
    pub question_info: bool,
    /// `srs_queue`: queue for jobs; `None`: `srs_write` if it is in use, else `default`.
    pub queue: Option<String>,
    /// `srs_default_queue_max`: our waiting jobs on `default` at most.
    pub default_queue_max: u64,
    /// `srs_journal_days`: how long applied journal rows stay.
    pub journal_days: u32,
    /// `srs_audit_days`: how long audit rows stay.
    pub audit_days: u32,
    /// `srs_journal_tries`: how often a row is tried that no repetition mends.
    pub journal_tries: u32,
    /// `srs_review_log_days`: how long the review log stays; 0 for good.
    pub review_log_days: u32,
    /// `srs_review_log`: whether each review is logged.
    pub review_log: bool,
    /// `srs_state_budget_ms`: how long a submit waits for the states before it.
    pub state_budget: Duration,
    /// `srs_journal_budget_ms`: how long a submit waits for the journal.
    pub journal_budget: Duration,
    /// `srs_spool_dir`: where submits are kept that the journal does not have yet, below
    /// the site's folder unless it is absolute.
    pub spool_dir: PathBuf,
    /// `srs_mariadb_loads`: schedule reads on MariaDB at once, per process; less than the
    /// connections, unless there is only one.
    pub mariadb_loads: usize,
    /// `srs_mariadb_connections`: connections at most, per process and site.
    pub mariadb_connections: usize,
    /// `srs_safe_mode_global_limit`: reads a minute of all students together while Redis is
    /// away.
    pub safe_mode_global_limit: u64,
    /// `srs_safe_mode_user_seconds`: between two reads of one student then.
    pub safe_mode_user: Duration,
    /// `srs_scheduler`: parameters of the scheduler.
    pub scheduler: Parameters,
    /// `srs_xp`: XP for each quality.
    pub xp: XpTable,
}

impl Default for SrsConfig {
    fn default() -> Self {
        Self {
            key_prefix: String::new(),
            season_cache: Duration::from_secs(10),
            max_questions: 100_000,
            allow_new_questions: true,
            question_info: false,
            queue: None,
            default_queue_max: 100,
            journal_days: 14,
            audit_days: 365,
            journal_tries: 12,
            review_log_days: 0,
            review_log: true,
            state_budget: Duration::from_millis(100),
            journal_budget: Duration::from_millis(150),
            spool_dir: PathBuf::from("private/memora_srs/spool"),
            mariadb_loads: 16,
            mariadb_connections: 32,
            safe_mode_global_limit: 500,
            safe_mode_user: Duration::from_secs(30),
            scheduler: Parameters::default(),
            xp: XpTable::default(),
        }
    }
}
