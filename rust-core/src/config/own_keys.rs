//! Our own settings: the `srs_*` keys. Their table is in the parent module.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::SrsConfig;
use super::reader::Reader;
use super::source::Source;
use crate::scheduling::{Parameters, XpTable};

/// The queue that is meant for our jobs, without the bench's prefix.
pub const OWN_QUEUE: &str = "srs_write";
/// Whatever else begins with `srs_` is a typing mistake, or from another release.
pub(super) const KEYS: [&str; 25] = [
    "srs_allow_new_questions",
    "srs_audit_days",
    "srs_default_queue_max",
    "srs_frappe_version",
    "srs_journal_budget_ms",
    "srs_journal_days",
    "srs_journal_tries",
    "srs_key_prefix",
    "srs_mariadb_connections",
    "srs_mariadb_loads",
    "srs_max_questions",
    "srs_question_info",
    "srs_queue",
    "srs_redis_cache",
    "srs_review_log",
    "srs_review_log_days",
    "srs_rq_version",
    "srs_safe_mode_global_limit",
    "srs_safe_mode_user_seconds",
    "srs_scheduler",
    "srs_season_cache_s",
    "srs_sidecar",
    "srs_spool_dir",
    "srs_state_budget_ms",
    "srs_xp",
];

/// Reads them; `custom_queues` are those that the bench's `workers` names, `connections`
/// stands for `srs_mariadb_connections` where it is not set.
pub(super) fn read(
    reader: &mut Reader<'_>,
    custom_queues: &[String],
    connections: Option<usize>,
) -> SrsConfig {
    let mut default = SrsConfig::default();
    if let Some(connections) = connections {
        default.mariadb_connections = connections;
    }
    let default_queue_max = reader.number(
        "srs_default_queue_max",
        0..=100_000,
        default.default_queue_max,
    );
    let mut srs = SrsConfig {
        key_prefix: key_prefix(reader),
        season_cache: Duration::from_secs(reader.number(
            "srs_season_cache_s",
            1..=300,
            default.season_cache.as_secs(),
        )),
        max_questions: reader.number("srs_max_questions", 1..=10_000_000, default.max_questions),
        allow_new_questions: reader.switch("srs_allow_new_questions", default.allow_new_questions),
        question_info: reader.switch("srs_question_info", default.question_info),
        queue: queue(reader, custom_queues, default_queue_max),
        default_queue_max,
        // A job is never applied by itself in the last day of the journal's retention, so
        // one day would leave no time at all.
        journal_days: reader.number("srs_journal_days", 2..=3650, default.journal_days.into())
            as u32,
        audit_days: reader.number("srs_audit_days", 1..=36_500, default.audit_days.into()) as u32,
        journal_tries: reader.number("srs_journal_tries", 1..=1000, default.journal_tries.into())
            as u32,
        review_log_days: reader.number(
            "srs_review_log_days",
            0..=36_500,
            default.review_log_days.into(),
        ) as u32,
        review_log: reader.switch("srs_review_log", default.review_log),
        state_budget: milliseconds(reader, "srs_state_budget_ms", default.state_budget),
        journal_budget: milliseconds(reader, "srs_journal_budget_ms", default.journal_budget),
        spool_dir: spool_dir(reader, &default),
        mariadb_loads: reader.number("srs_mariadb_loads", 1..=1000, default.mariadb_loads as u64)
            as usize,
        mariadb_connections: reader.number(
            "srs_mariadb_connections",
            1..=1000,
            default.mariadb_connections as u64,
        ) as usize,
        safe_mode_global_limit: reader.number(
            "srs_safe_mode_global_limit",
            1..=100_000,
            default.safe_mode_global_limit,
        ),
        safe_mode_user: Duration::from_secs(reader.number(
            "srs_safe_mode_user_seconds",
            0..=3600,
            default.safe_mode_user.as_secs(),
        )),
        scheduler: reader.structured("srs_scheduler", Parameters::from_json),
        xp: reader.structured("srs_xp", XpTable::from_json),
    };
    if srs.mariadb_loads >= srs.mariadb_connections {
        // One is left to submits. Where others set the connections, nobody is to blame.
        srs.mariadb_loads = srs.mariadb_connections.saturating_sub(1).max(1);
        if connections.is_none() {
            reader.warnings.push(format!(
                "srs_mariadb_loads leaves no connection of srs_mariadb_connections to submits; \
                 {} is used",
                srs.mariadb_loads
            ));
        }
    }
    for key in reader.keys() {
        if key.starts_with("srs_") && !KEYS.contains(&key.as_str()) {
            reader
                .warnings
                .push(format!("{key} is not known and has no effect"));
        }
    }
    srs
}

fn milliseconds(reader: &mut Reader<'_>, key: &str, default: Duration) -> Duration {
    let default = u64::try_from(default.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(reader.number(key, 10..=10_000, default))
}

fn spool_dir(reader: &mut Reader<'_>, default: &SrsConfig) -> PathBuf {
    let default = default.spool_dir.to_string_lossy();
    PathBuf::from(reader.open_text("srs_spool_dir", None, &default))
}

fn key_prefix(reader: &mut Reader<'_>) -> String {
    let prefix = reader.word("srs_key_prefix");
    if prefix.is_none() {
        reader.note("srs_key_prefix", "", Source::Default);
    }
    prefix.unwrap_or_default()
}

fn queue(reader: &mut Reader<'_>, custom_queues: &[String], most: u64) -> Option<String> {
    let named = |name: &str| custom_queues.iter().any(|queue| queue == name);
    let queue = reader.word("srs_queue");
    match &queue {
        Some(name) if !named(name) && !matches!(name.as_str(), "short" | "default" | "long") => {
            reader.warnings.push(format!(
                "srs_queue is {name}, which workers does not name: Frappe's own workers do not \
                 listen to it"
            ));
        }
        Some(_) => {}
        None => {
            reader.note("srs_queue", Value::Null, Source::Default);
            if !named(OWN_QUEUE) {
                reader.warnings.push(format!(
                    "workers does not name {OWN_QUEUE}: until a worker has listened to it, jobs \
                     go to default, where at most {most} of them wait (srs_default_queue_max)"
                ));
            }
        }
    }
    queue
}
