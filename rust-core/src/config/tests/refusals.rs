//! What is refused, and what is left to Frappe.

use serde_json::json;

use super::*;

#[test]
fn versions_can_be_told_and_unknown_ones_are_refused() {
    for (frappe, rq, major, rq_major) in [
        ("14.81.4", None, 14, 1),
        ("15.44.2", None, 15, 1),
        ("15.44.2", Some("1.16.2"), 15, 1),
        ("15.44.2", Some("3.0"), 15, 3),
        ("16.0.0-dev", None, 16, 2),
        ("16.1.0", Some("2.6.1"), 16, 2),
        ("nightly", None, 15, 1),
    ] {
        let mut bench = TestBench::new().install_frappe(frappe);
        if let Some(rq) = rq {
            bench = bench.install_rq(rq);
        }
        let config = bench.load().unwrap();
        assert_eq!(
            (config.frappe.major(), config.rq_major),
            (major, rq_major),
            "{frappe} {rq:?}"
        );
    }
    let told = json!({"srs_frappe_version": 16, "srs_rq_version": "2"});
    let config = TestBench::new()
        .install_rq("1.15.1")
        .common(told)
        .load()
        .unwrap();
    assert_eq!((config.frappe, config.rq_major), (FrappeVersion::V16, 2));
    for version in ["13.58.0", "17.0.0-dev"] {
        let bench = TestBench::new().install_frappe(version);
        let refusal = bench.refusal();
        assert!(
            refusal.contains(&format!("Frappe {version} is installed")),
            "{refusal}"
        );
        assert!(bench.site(json!({"srs_frappe_version": 16})).load().is_ok());
    }
}

#[test]
fn what_cannot_be_served_faithfully_is_refused_by_name() {
    for (keys, words) in [
        (
            json!({"db_type": "postgres"}),
            "db_type (site_config.json) must be mariadb",
        ),
        (json!({"db_ssl_ca": "/ca.pem"}), "db_ssl_*"),
        (
            json!({"redis_cache_sentinel_enabled": 1}),
            "redis_cache_sentinel_enabled asks",
        ),
        (
            json!({"redis_queue_sentinel_enabled": true}),
            "redis_queue_sentinel_enabled asks",
        ),
        (
            json!({"redis_cluster": {"nodes": ["a:1"]}}),
            "redis_cluster asks",
        ),
        (
            json!({"redis_queue": "rediss://h:1"}),
            "redis_queue (site_config.json) asks for TLS",
        ),
        (
            json!({"redis_cache": "localhost:13000"}),
            "redis_cache (site_config.json) must be",
        ),
        (
            json!({"redis_cache": ["redis://h"]}),
            "redis_cache (site_config.json) must be text",
        ),
        (
            json!({"srs_redis_cache": "redis+sentinel://h"}),
            "srs_redis_cache (site_config.json) names",
        ),
        (json!({"srs_redis_cache": ""}), "srs_redis_cache"),
        (
            json!({"db_host": 5}),
            "db_host (site_config.json) must be text",
        ),
        (
            json!({"db_port": 70000}),
            "db_port (site_config.json) must be a port",
        ),
        (
            json!({"workers": ["srs_write"]}),
            "workers (site_config.json) must be an object",
        ),
        (
            json!({"srs_key_prefix": "a:b"}),
            "srs_key_prefix (site_config.json) must be text",
        ),
        (json!({"srs_key_prefix": 5}), "srs_key_prefix"),
        (json!({"srs_key_prefix": "x".repeat(65)}), "srs_key_prefix"),
        (json!({"srs_queue": "a b"}), "srs_queue"),
        (
            json!({"srs_season_cache_s": 0}),
            "srs_season_cache_s (site_config.json) must be a whole",
        ),
        (json!({"srs_journal_days": 1}), "srs_journal_days"),
        (json!({"srs_journal_budget_ms": 5}), "srs_journal_budget_ms"),
        (json!({"srs_state_budget_ms": "x"}), "srs_state_budget_ms"),
        (json!({"srs_spool_dir": 5}), "srs_spool_dir"),
        (json!({"srs_audit_days": -1}), "srs_audit_days"),
        (json!({"srs_max_questions": "many"}), "srs_max_questions"),
        (
            json!({"srs_default_queue_max": 1.5}),
            "srs_default_queue_max",
        ),
        (json!({"srs_mariadb_loads": 0}), "srs_mariadb_loads"),
        (
            json!({"srs_mariadb_connections": 1001}),
            "srs_mariadb_connections",
        ),
        (
            json!({"srs_allow_new_questions": "no"}),
            "srs_allow_new_questions",
        ),
        (json!({"srs_question_info": "yes"}), "srs_question_info"),
        (json!({"srs_review_log": 2}), "srs_review_log"),
        (
            json!({"srs_sidecar": "off"}),
            "srs_sidecar (site_config.json) must be 0, 1, true or false",
        ),
        (json!({"srs_frappe_version": 13}), "srs_frappe_version"),
        (json!({"srs_rq_version": 9}), "srs_rq_version"),
        (
            json!({"srs_scheduler": {"name": "fsrs"}}),
            "srs_scheduler.name",
        ),
        (json!({"srs_xp": [1, 2]}), "srs_xp"),
    ] {
        let refusal = TestBench::new().site(keys.clone()).refusal();
        assert!(refusal.contains(words), "{keys}: {refusal}");
    }
}

#[test]
fn all_mistakes_are_named_at_once() {
    let keys = json!({"srs_audit_days": 0, "srs_key_prefix": "{", "db_port": "x"});
    let bench = TestBench::new().site(keys);
    let refusal = bench.refusal();
    for key in ["srs_audit_days", "srs_key_prefix", "db_port"] {
        assert!(refusal.contains(key), "{refusal}");
    }
    assert_eq!(bench.report().problems.len(), 3);
}

#[test]
fn what_only_frappe_can_judge_is_left_to_it() {
    for (keys, reason) in [
        (json!({}), None),
        (
            json!({"srs_sidecar": 1, "rate_limit": {}, "extra_config": ""}),
            None,
        ),
        (json!({"srs_sidecar": 0}), Some("srs_sidecar")),
        (
            json!({"srs_sidecar": "0", "extra_config": "a.b"}),
            Some("srs_sidecar"),
        ),
        (json!({"extra_config": ["a.b"]}), Some("extra_config")),
        (
            json!({"deny_multiple_sessions": 1}),
            Some("deny_multiple_sessions"),
        ),
        (
            json!({"rate_limit": {"limit": 600, "window": 3600}}),
            Some("rate_limit"),
        ),
        (json!({"allow_reads_during_maintenance": 1}), None),
    ] {
        let config = TestBench::new().site(keys.clone()).load().unwrap();
        assert_eq!(config.decline_all, reason, "{keys}");
        assert!(!config.maintenance_mode);
    }
    let closed = TestBench::new().site(json!({"maintenance_mode": 1}));
    let config = closed.load().unwrap();
    assert_eq!((config.maintenance_mode, config.decline_all), (true, None));
    let half_open = closed.common(json!({"allow_reads_during_maintenance": 1}));
    let config = half_open.load().unwrap();
    let reason = Some("allow_reads_during_maintenance");
    assert_eq!(
        (config.maintenance_mode, config.decline_all),
        (false, reason)
    );
}
