//! What the bench's two JSON files, and the environment, say about a site.

mod secret;

use std::path::PathBuf;
use std::time::Duration;

pub use secret::Secret;

use crate::scheduling::{Parameters, XpTable};

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

/// Everything that the engine needs to know about one site.
#[derive(Debug, Clone)]
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
    /// Which Frappe is installed.
    pub frappe: FrappeVersion,
    /// Major version of the installed RQ, which decides the form of job ids.
    pub rq_major: u32,
    /// Why the sidecar leaves everything of this site to Frappe (`srs_sidecar: 0`,
    /// `extra_config`, `deny_multiple_sessions`, a rate limit, …); `None` when it need not.
    pub decline_all: Option<&'static str>,
    /// Queues named by the bench's `workers`, besides short, default and long.
    pub custom_queues: Vec<String>,
    /// Our own settings.
    pub srs: SrsConfig,
}

/// How to reach MariaDB.
#[derive(Debug, Clone)]
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
#[derive(Debug, Clone)]
pub struct SrsConfig {
    /// `srs_key_prefix`: before every schedule key; of `[A-Za-z0-9_.-]`.
    pub key_prefix: String,
    /// `srs_season_cache_s`: how long a process believes what it read about a season.
    pub season_cache: Duration,
    /// `srs_max_questions`: per student and season.
    pub max_questions: u64,
    /// `srs_allow_new_questions`: whether a submit may name a question without a row.
    pub allow_new_questions: bool,
    /// `srs_queue`: queue for jobs; `None`: `srs_write` if it is in use, else `default`.
    pub queue: Option<String>,
    /// `srs_default_queue_max`: our waiting jobs on `default` at most.
    pub default_queue_max: u64,
    /// `srs_journal_days`: how long applied journal rows stay.
    pub journal_days: u32,
    /// `srs_audit_days`: how long audit rows stay.
    pub audit_days: u32,
    /// `srs_review_log`: whether each review is logged.
    pub review_log: bool,
    /// `srs_mariadb_loads`: schedule reads on MariaDB at once, per process.
    pub mariadb_loads: usize,
    /// `srs_mariadb_connections`: connections at most, per process and site.
    pub mariadb_connections: usize,
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
            queue: None,
            default_queue_max: 100,
            journal_days: 14,
            audit_days: 365,
            review_log: true,
            mariadb_loads: 16,
            mariadb_connections: 32,
            scheduler: Parameters::default(),
            xp: XpTable::default(),
        }
    }
}
