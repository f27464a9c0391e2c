//! What the bench's two JSON files, and the environment, say about a site.
//!
//! `sites/common_site_config.json`, overlaid by `sites/<site>/site_config.json` key by key
//! (nested values are replaced whole), overlaid by the environment variables that the
//! installed Frappe reads. Nothing else needs to be configured, and nothing is written.
//!
//! # Frappe's keys
//!
//! Read as Frappe reads them; unset, `null` and `""` are the same.
//!
//! | key | meaning | default |
//! |---|---|---|
//! | `db_name` | database; a site without one does not exist | required |
//! | `db_user` | user (Frappe 16; used here whenever given) | `db_name` |
//! | `db_password` | its password | empty |
//! | `db_host`, `db_port` | where MariaDB listens | 127.0.0.1, 3306 |
//! | `db_socket` | unix socket, wins over host and port (Frappe 16; used here whenever given) | none |
//! | `db_type` | refused unless `mariadb` | mariadb |
//! | `db_ssl_*` | TLS: refused for now, rather than connecting without | none |
//! | `redis_cache` | Redis with the login sessions | `redis://127.0.0.1:13311` |
//! | `redis_queue` | Redis with RQ's queues | `redis://127.0.0.1:11311` |
//! | `use_rq_auth`, `rq_username`, `rq_password` | login at `redis_queue`, unless its URL has one; the user defaults to the bench's id | off |
//! | `redis_*_sentinel_enabled`, `redis_*cluster*` | refused for now | off |
//! | `bench_id` | prefix of RQ's queue names | `FRAPPE_BENCH_ROOT`, else the bench's real path, with dashes for slashes |
//! | `workers` | queues besides short, default and long; seconds that a queue's jobs may run (`timeout`) | none; 1500 on long, else 300 |
//! | `rq_results_ttl` | seconds that RQ keeps what came of a job; negative: for good | 600 |
//! | `rq_job_failure_ttl` | seconds that RQ keeps a failed job; negative: for good | 604,800 |
//! | `encryption_key` | Fernet key of API secrets | none |
//! | `maintenance_mode` | requests are answered 503 | off |
//! | `ignore_csrf` | CSRF tokens are not checked | off |
//! | `monitor` | answers carry `X-Frappe-Request-Id` (Frappe 15, 16) | off |
//! | `extra_config`, `deny_multiple_sessions`, `rate_limit`, `allow_reads_during_maintenance` in maintenance | the sidecar leaves every request to Frappe | off |
//!
//! Variables: `FRAPPE_REDIS_CACHE`, `FRAPPE_REDIS_QUEUE`, `FRAPPE_DB_TYPE`,
//! `FRAPPE_DB_HOST`, `FRAPPE_DB_PORT` and `FRAPPE_BENCH_ROOT` (Frappe 15, 16),
//! `FRAPPE_DB_SOCKET`, `FRAPPE_DB_USER`, `FRAPPE_DB_NAME`, `FRAPPE_DB_PASSWORD` (16), and
//! `RQ_ADMIN_PASWORD`, the default user's password at `redis_queue` without `use_rq_auth`.
//!
//! Redis URLs are `redis://[user:password@]host[:port][/database]` or
//! `unix:///path[?db=][&password=]`; `rediss://` is refused for now.
//!
//! # Our keys
//!
//! Numbers are whole, also as text; switches are 0, 1, true or false. Out of range or of
//! another type is refused; an unknown `srs_*` key is a warning.
//!
//! | key | meaning | range | default |
//! |---|---|---|---|
//! | `srs_redis_cache` | Redis with the schedules | URL | `redis_cache` |
//! | `srs_key_prefix` | before every schedule key | 64 of `[A-Za-z0-9_.-]` | none |
//! | `srs_season_cache_s` | seconds for which a process believes what it read about a season | 1 to 300 | 10 |
//! | `srs_max_questions` | questions per student and season | 1 to 10,000,000 | 100,000 |
//! | `srs_allow_new_questions` | a submit may name a question without a row | switch | 1 |
//! | `srs_question_info` | an app has the hook `srs_question_info`: what applies new questions asks it, by a job on `default`, for their subject and topic | switch | 0 |
//! | `srs_queue` | queue for jobs | 64 of `[A-Za-z0-9_.-]` | `srs_write` if in use, else `default` |
//! | `srs_default_queue_max` | our waiting jobs on `default`, at most | 0 to 100,000 | 100 |
//! | `srs_journal_days` | days for which applied journal rows stay | 2 to 3650 | 14 |
//! | `srs_journal_tries` | tries after which a journal row that cannot be applied waits for an operator | 1 to 1000 | 12 (some 7 hours) |
//! | `srs_audit_days` | days for which audit rows stay | 1 to 36,500 | 365 |
//! | `srs_review_log` | each review is logged | switch | 1 |
//! | `srs_state_budget_ms` | milliseconds in which a submit must have the states before; what comes later is computed when the answers are applied | 10 to 10,000 | 100 |
//! | `srs_journal_budget_ms` | milliseconds in which the journal must have a submit; later, queue and spool together keep it | 10 to 10,000 | 150 |
//! | `srs_spool_dir` | folder on this host's disk for submits that the journal does not have yet; relative to the site's folder | path | `private/memora_srs/spool` |
//! | `srs_review_log_days` | days for which the review log is kept; 0: for good | 0 to 36,500 | 0 |
//! | `srs_mariadb_loads` | schedule reads on MariaDB at once, per process; less than the connections | 1 to 1000 | 16 |
//! | `srs_mariadb_connections` | connections to MariaDB, per process and site | 1 to 1000 | 32; 2 in Frappe's processes |
//! | `srs_safe_mode_global_limit` | reads a minute of all students together while Redis is away | 1 to 100,000 | 500 |
//! | `srs_safe_mode_user_seconds` | seconds between two reads of one student then; 0: no limit | 0 to 3600 | 30 |
//! | `srs_scheduler` | parameters of the scheduler | see [`Parameters`] | its defaults |
//! | `srs_xp` | XP by quality | see [`XpTable`] | 0, 2, 5, 15, 20, 25 |
//! | `srs_sidecar` | 0: the sidecar leaves every request of the site to Frappe | switch | 1 |
//! | `srs_frappe_version` | major version of Frappe | 14 to 16 | as installed in `apps`, else 15 |
//! | `srs_rq_version` | major version of RQ | 1 to 3 | as installed in `env`, else 2 for Frappe 16, 1 before |

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
pub use names::{resolve_site, site_names, valid_site_name};
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
