//! Whole configurations: which value wins, what is refused, what is reported.

use std::path::PathBuf;

use serde_json::{Map, Value, json};
use tempfile::TempDir;

use super::*;
use crate::ErrorKind;

const SITE: &str = "srs.localhost";

/// A bench in a temporary folder, with the files that a real Frappe 15 bench has.
struct TestBench {
    folder: TempDir,
    common: Value,
    site: Value,
    env: Vec<(&'static str, &'static str)>,
}

impl TestBench {
    fn new() -> Self {
        let captured: Value =
            serde_json::from_str(include_str!("../../../tests/fixtures/auth_tables.json")).unwrap();
        let bench = Self {
            folder: tempfile::tempdir().unwrap(),
            common: captured["common_site_config.json"].clone(),
            site: captured["site_config.json"].clone(),
            env: Vec::new(),
        };
        std::fs::create_dir_all(bench.sites().join(SITE)).unwrap();
        bench.install_frappe("15.44.2")
    }

    fn sites(&self) -> PathBuf {
        self.folder.path().join("sites")
    }

    fn install_frappe(self, version: &str) -> Self {
        let package = self.folder.path().join("apps/frappe/frappe");
        std::fs::create_dir_all(&package).unwrap();
        let text = format!("__version__ = \"{version}\"\n");
        std::fs::write(package.join("__init__.py"), text).unwrap();
        self
    }

    fn install_rq(self, version: &str) -> Self {
        let packages = self.folder.path().join("env/lib/python3.11/site-packages");
        std::fs::create_dir_all(packages.join(format!("rq-{version}.dist-info"))).unwrap();
        self
    }

    fn common(mut self, keys: Value) -> Self {
        merge(&mut self.common, keys);
        self
    }

    fn site(mut self, keys: Value) -> Self {
        merge(&mut self.site, keys);
        self
    }

    fn env(mut self, name: &'static str, value: &'static str) -> Self {
        self.env.push((name, value));
        self
    }

    fn write(&self) {
        let sites = self.sites();
        std::fs::write(
            sites.join("common_site_config.json"),
            self.common.to_string(),
        )
        .unwrap();
        let file = sites.join(SITE).join("site_config.json");
        std::fs::write(file, self.site.to_string()).unwrap();
    }

    fn lookup(&self, name: &str) -> Option<String> {
        let found = self.env.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    }

    fn load(&self) -> Result<SiteConfig> {
        self.write();
        load_with_env(&self.sites(), SITE, &|name| self.lookup(name))
    }

    fn refusal(&self) -> String {
        let error = self.load().expect_err("must be refused");
        assert_eq!(error.kind(), ErrorKind::Config);
        error.message().to_owned()
    }

    fn report(&self) -> SiteReport {
        self.write();
        let reports = report_with_env(&self.sites(), Some(SITE), &|name| self.lookup(name));
        reports.unwrap().pop().unwrap()
    }
}

fn merge(into: &mut Value, keys: Value) {
    let (Value::Object(into), Value::Object(keys)) = (into, keys) else {
        panic!("objects are merged");
    };
    into.extend(keys);
}

#[test]
fn a_real_frappe_15_site_is_read_as_it_is() {
    let bench = TestBench::new().install_rq("1.15.1");
    let config = bench.load().unwrap();
    let real = bench.folder.path().canonicalize().unwrap();
    let bench_id = real.to_str().unwrap().trim_matches('/').replace('/', "-");
    let expected = SiteConfig {
        site: SITE.into(),
        sites_path: bench.sites(),
        db: DbConfig {
            name: "srs_lab".into(),
            user: "srs_lab".into(),
            password: Secret::new("srs_lab_pw"),
            host: "127.0.0.1".into(),
            port: 3306,
            socket: None,
        },
        srs_redis: Secret::new("redis://127.0.0.1:13000/0"),
        redis_cache: Secret::new("redis://127.0.0.1:13000/0"),
        redis_queue: Secret::new("redis://127.0.0.1:11000/0"),
        bench_id,
        encryption_key: Some(Secret::new("ZA6r_SlM2Dt1S-Bjv2FUEuxNzpnqfsLOw344TAfHpBU=")),
        maintenance_mode: false,
        ignore_csrf: false,
        frappe: FrappeVersion::V15,
        rq_major: 1,
        decline_all: None,
        custom_queues: vec!["srs_write".into()],
        srs: SrsConfig::default(),
    };
    assert_eq!(config, expected);
}

#[test]
fn what_is_not_given_has_frappes_defaults() {
    let mut bench = TestBench::new();
    bench.common = json!({});
    bench.site = json!({"db_name": "d", "db_host": "", "db_port": 0, "redis_cache": null});
    let config = bench.load().unwrap();
    assert_eq!(config.redis_queue.expose(), "redis://127.0.0.1:11311/0");
    assert_eq!(config.redis_cache.expose(), "redis://127.0.0.1:13311/0");
    assert_eq!(
        (config.db.host.as_str(), config.db.port),
        ("127.0.0.1", 3306)
    );
    assert_eq!(config.db.password.expose(), "");
    assert_eq!(config.encryption_key, None);
    assert!(config.custom_queues.is_empty());
}

#[test]
fn the_site_overlays_the_bench_key_by_key() {
    let config = TestBench::new()
        .common(json!({"db_port": 3307, "srs_xp": [1, 1, 1, 1, 1, 1], "srs_max_questions": 5}))
        .site(json!({"db_port": "3308", "srs_xp": {"5": 30}}))
        .load()
        .unwrap();
    assert_eq!(config.db.port, 3308);
    assert_eq!(config.srs.xp, XpTable([0, 2, 5, 15, 20, 30]));
    assert_eq!(config.srs.max_questions, 5);
}

#[test]
fn each_frappe_reads_its_own_variables() {
    let bench = |version| {
        TestBench::new()
            .install_frappe(version)
            .site(json!({"db_user": null}))
            .env("FRAPPE_REDIS_CACHE", "redis://env:1")
            .env("FRAPPE_REDIS_QUEUE", "redis://env:2")
            .env("FRAPPE_DB_HOST", "env-host")
            .env("FRAPPE_DB_PORT", "33")
            .env("FRAPPE_DB_TYPE", "mariadb")
            .env("FRAPPE_DB_SOCKET", "/env.sock")
            .env("FRAPPE_DB_USER", "env_user")
            .env("FRAPPE_DB_NAME", "env_name")
            .env("FRAPPE_DB_PASSWORD", "env_password")
            .env("FRAPPE_BENCH_ROOT", "/env/bench")
    };
    let v14 = bench("14.81.4").load().unwrap();
    assert_eq!(v14.frappe, FrappeVersion::V14);
    assert_eq!(v14.redis_cache.expose(), "redis://127.0.0.1:13000/0");
    assert_eq!((v14.db.host.as_str(), v14.db.port), ("127.0.0.1", 3306));
    assert_ne!(v14.bench_id, "env-bench");

    let v15 = bench("15.44.2").load().unwrap();
    assert_eq!(v15.redis_cache.expose(), "redis://env:1/0");
    assert_eq!(v15.redis_queue.expose(), "redis://env:2/0");
    assert_eq!((v15.db.host.as_str(), v15.db.port), ("env-host", 33));
    assert_eq!(
        (v15.db.name.as_str(), v15.db.user.as_str()),
        ("srs_lab", "srs_lab")
    );
    assert_eq!(v15.db.password.expose(), "srs_lab_pw");
    assert_eq!(v15.db.socket, None);
    assert_eq!(v15.bench_id, "env-bench");

    let v16 = bench("16.2.0").load().unwrap();
    assert_eq!(
        (v16.db.name.as_str(), v16.db.user.as_str()),
        ("env_name", "env_user")
    );
    assert_eq!(v16.db.password.expose(), "env_password");
    assert_eq!(v16.db.socket.as_deref(), Some("/env.sock"));

    let ignored = |version| {
        let warnings = bench(version).report().warnings;
        warnings.iter().filter(|w| w.contains("is ignored")).count()
    };
    assert_eq!(
        [ignored("14.0.0"), ignored("15.0.0"), ignored("16.0.0")],
        [9, 4, 0]
    );
}

#[test]
fn an_empty_variable_is_none() {
    let bench = TestBench::new()
        .env("FRAPPE_DB_HOST", "")
        .env("FRAPPE_DB_PORT", "");
    assert_eq!(bench.load().unwrap().db.host, "127.0.0.1");
    let bench = TestBench::new().env("FRAPPE_DB_PORT", "mysql");
    assert_eq!(
        bench.refusal(),
        "srs.localhost: db_port (environment variable FRAPPE_DB_PORT) must be a port from 1 to 65535"
    );
}

#[test]
fn user_and_socket_are_used_when_given() {
    let bench = TestBench::new().site(json!({"db_user": "u", "db_socket": "/s"}));
    let db = bench.load().unwrap().db;
    assert_eq!((db.name.as_str(), db.user.as_str()), ("srs_lab", "u"));
    assert_eq!(db.socket.as_deref(), Some("/s"));
    let warnings = bench.report().warnings;
    for key in ["db_user", "db_socket"] {
        let expected = format!("{key} is used here, but Frappe 15 does not read it");
        assert!(warnings.contains(&expected), "{warnings:?}");
    }
    // Frappe 16 takes the user for the name of the database too.
    let v16 = TestBench::new().install_frappe("16.0.0");
    let db = v16
        .site(json!({"db_user": "u", "db_name": null}))
        .load()
        .unwrap()
        .db;
    assert_eq!((db.name.as_str(), db.user.as_str()), ("u", "u"));
}

#[test]
fn a_site_without_a_database_does_not_exist() {
    let bench = TestBench::new().site(json!({"db_name": ""}));
    assert_eq!(bench.load().unwrap_err().kind(), ErrorKind::NotFound);
    let report = bench.report();
    assert!(!report.ok);
    assert_eq!(report.problems, ["db_name is missing in site_config.json"]);
    assert_eq!(
        load(&bench.sites(), "other.localhost").unwrap_err().kind(),
        ErrorKind::NotFound
    );
}

#[test]
fn the_queues_login_is_folded_into_its_url() {
    let queue = |bench: TestBench| bench.load().unwrap().redis_queue.expose().to_owned();
    let acl = json!({"use_rq_auth": 1, "rq_username": "me", "rq_password": "p@ss/w:rd"});
    let url = "redis://me:p%40ss%2Fw%3Ard@127.0.0.1:11000/0";
    assert_eq!(queue(TestBench::new().common(acl.clone())), url);
    // The variable is for benches without an ACL.
    let both = TestBench::new()
        .common(acl)
        .env("RQ_ADMIN_PASWORD", "admin");
    assert_eq!(queue(both), url);
    let own = TestBench::new().common(json!({"bench_id": "b", "use_rq_auth": true}));
    let own = own.site(json!({"rq_password": "x"}));
    assert_eq!(queue(own), "redis://b:x@127.0.0.1:11000/0");
    let admin = TestBench::new().env("RQ_ADMIN_PASWORD", "admin");
    assert_eq!(queue(admin), "redis://default:admin@127.0.0.1:11000/0");
    let off = json!({"use_rq_auth": 0, "rq_username": "me", "rq_password": "x"});
    assert_eq!(
        queue(TestBench::new().common(off)),
        "redis://127.0.0.1:11000/0"
    );
    let in_url = json!({"redis_queue": "redis://u:p@h:1", "use_rq_auth": 1, "rq_password": "x"});
    assert_eq!(queue(TestBench::new().common(in_url)), "redis://u:p@h:1/0");
}

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
fn our_settings_reach_the_engine() {
    let srs = TestBench::new()
        .common(json!({
            "srs_redis_cache": "redis://srs:1/4", "srs_key_prefix": "school-a.", "srs_season_cache_s": 5,
            "srs_max_questions": "2000", "srs_allow_new_questions": 0, "srs_queue": "long",
            "srs_default_queue_max": 7, "srs_journal_days": 30, "srs_audit_days": 90,
            "srs_review_log": false, "srs_mariadb_loads": 4, "srs_mariadb_connections": 9,
            "srs_xp": [1, 2, 3, 4, 5, 6],
        }))
        .load()
        .unwrap();
    assert_eq!(srs.srs_redis.expose(), "redis://srs:1/4");
    assert_eq!(srs.redis_cache.expose(), "redis://127.0.0.1:13000/0");
    let expected = SrsConfig {
        key_prefix: "school-a.".into(),
        season_cache: Duration::from_secs(5),
        max_questions: 2000,
        allow_new_questions: false,
        queue: Some("long".into()),
        default_queue_max: 7,
        journal_days: 30,
        audit_days: 90,
        review_log: false,
        mariadb_loads: 4,
        mariadb_connections: 9,
        scheduler: Parameters::default(),
        xp: XpTable([1, 2, 3, 4, 5, 6]),
    };
    assert_eq!(srs.srs, expected);
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

#[test]
fn a_report_shows_values_and_where_they_came_from() {
    let report = TestBench::new()
        .site(json!({"srs_audit_days": 30}))
        .env("FRAPPE_DB_HOST", "db")
        .report();
    assert!(report.ok, "{report}");
    let setting = |key: &str| {
        let found = report.settings.iter().find(|s| s.key == key);
        found.unwrap_or_else(|| panic!("{key} is not reported"))
    };
    let env = Source::Environment("FRAPPE_DB_HOST");
    for (key, value, source) in [
        ("db_host", json!("db"), env),
        ("db_name", json!("srs_lab"), Source::Site),
        ("db_password", json!("***"), Source::Site),
        ("db_port", json!(3306), Source::Common),
        ("encryption_key", json!("***"), Source::Site),
        (
            "redis_cache",
            json!("redis://127.0.0.1:13000/0"),
            Source::Common,
        ),
        ("srs_audit_days", json!(30), Source::Site),
        ("srs_frappe_version", json!(15), Source::Detected),
        ("srs_journal_days", json!(14), Source::Default),
        ("workers", json!(["srs_write"]), Source::Common),
    ] {
        assert_eq!(
            (&setting(key).value, setting(key).source),
            (&value, source),
            "{key}"
        );
    }
    // Every key of ours is shown, given or not.
    for key in own_keys::KEYS {
        let shown_if_given = ["srs_key_prefix"];
        assert!(shown_if_given.contains(&key) || setting(key).key == key);
    }
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["site"], "srs.localhost");
    assert!(json["settings"].as_array().unwrap().contains(
        &json!({"key": "db_host", "value": "db", "source": "environment variable FRAPPE_DB_HOST"})
    ));
    let text = report.to_string();
    assert!(text.starts_with("srs.localhost: good\n"), "{text}");
    assert!(
        text.contains("(environment variable FRAPPE_DB_HOST)"),
        "{text}"
    );
}

#[test]
fn no_secret_is_printed() {
    let bench = TestBench::new()
        .site(json!({
            "db_password": "hunter2-db", "encryption_key": "hunter2-key",
            "rq_password": "hunter2/rq", "use_rq_auth": 1,
            "redis_cache": "redis://u:hunter2-cache@h:1",
            "srs_redis_cache": "unix:///run/r?password=hunter2-srs",
            "srs_max_questions": "hunter2", "srs_key_prefix": "{hunter2}",
        }))
        .env("FRAPPE_DB_PASSWORD", "hunter2-env");
    let report = bench.report();
    let error = bench.load().unwrap_err();
    let json = serde_json::to_string(&report).unwrap();
    for shown in [report.to_string(), json, format!("{error} {error:?}")] {
        assert!(!shown.contains("hunter2"), "{shown}");
    }
    let config = bench
        .site(json!({"srs_max_questions": 1, "srs_key_prefix": ""}))
        .load();
    assert!(!format!("{:?}", config.unwrap()).contains("hunter2"));
}

#[test]
fn an_operator_is_warned() {
    let quiet = TestBench::new()
        .install_rq("1.15.1")
        .site(json!({"srs_redis_cache": "redis://127.0.0.1:13500"}));
    let warnings = |bench: &TestBench| {
        let mut warnings = bench.report().warnings;
        warnings.retain(|w| !w.contains("every user of this host"));
        warnings
    };
    assert_eq!(warnings(&quiet), [""; 0]);
    for (keys, words) in [
        (json!({"srs_redis_cache": null}), "evict each other"),
        (
            json!({"srs_redis_cache": "redis://localhost:13000/0"}),
            "evict each other",
        ),
        (json!({"workers": {}}), "workers does not name srs_write"),
        (
            json!({"workers": null, "srs_default_queue_max": 7}),
            "at most 7 of them wait",
        ),
        (
            json!({"srs_queue": "lost"}),
            "srs_queue is lost, which workers does not name",
        ),
        (
            json!({"srs_maximum": 1}),
            "srs_maximum is not known and has no effect",
        ),
        (
            json!({"bench_id": "mine"}),
            "bench_id is given in site_config.json",
        ),
        (
            json!({"encryption_key": "short"}),
            "encryption_key is not a Fernet key",
        ),
        (json!({"use_rq_auth": 1}), "rq_password is missing"),
        (
            json!({"srs_mariadb_loads": 32}),
            "srs_mariadb_loads leaves no connection",
        ),
        (json!({"extra_config": "a.b"}), "extra_config may change"),
    ] {
        let mut site = quiet.site.clone();
        merge(&mut site, keys.clone());
        let bench = TestBench::new().install_rq("1.15.1").site(site);
        let found = warnings(&bench);
        assert!(
            found.len() == 1 && found[0].contains(words),
            "{keys}: {found:?}"
        );
    }
    let unknown = TestBench::new().install_frappe("nightly").report();
    assert!(unknown.warnings.iter().any(|w| w.contains("15 is assumed")));
}

#[test]
fn two_sites_under_the_same_keys_are_found() {
    let bench = TestBench::new();
    bench.write();
    let second = bench.sites().join("second.localhost");
    std::fs::create_dir(&second).unwrap();
    let write = |keys: Value| {
        std::fs::write(second.join("site_config.json"), keys.to_string()).unwrap();
        let reports = report_with_env(&bench.sites(), None, &|_| None).unwrap();
        let names: Vec<_> = reports.iter().map(|r| r.site.as_str()).collect();
        assert_eq!(names, ["second.localhost", SITE]);
        reports[1].warnings.iter().any(|w| {
            w.starts_with("The schedules of second.localhost would lie under the same keys")
        })
    };
    assert!(write(json!({"db_name": "second"})));
    let renamed = json!({"db_name": "second", "srs_redis_cache": "redis://u:p@localhost:13000"});
    assert!(write(renamed));
    assert!(!write(
        json!({"db_name": "second", "srs_key_prefix": "second."})
    ));
    assert!(!write(
        json!({"db_name": "second", "srs_redis_cache": "redis://127.0.0.1:13000/1"})
    ));
    assert!(!write(json!({"db_name": "second", "db_type": "postgres"})));
    let one = report_with_env(&bench.sites(), Some("second.localhost"), &|_| None).unwrap();
    assert_eq!(one.len(), 1);
}

#[test]
fn broken_files_and_missing_sites_are_reports() {
    let bench = TestBench::new();
    bench.write();
    std::fs::write(bench.sites().join("common_site_config.json"), "[]").unwrap();
    std::fs::write(bench.sites().join(SITE).join("site_config.json"), "{").unwrap();
    let reports = report_with_env(&bench.sites(), None, &|_| None).unwrap();
    assert_eq!(
        reports[0].problems,
        [
            "common_site_config.json must hold a JSON object",
            "site_config.json is not valid JSON: line 1, column 1"
        ]
    );
    let missing = report_with_env(&bench.sites(), Some("../x"), &|_| None).unwrap();
    assert_eq!(missing[0].problems, ["../x does not exist"]);
    assert!(!missing[0].ok);
    let nowhere = report_with_env(&bench.sites().join("none"), None, &|_| None);
    assert_eq!(nowhere.unwrap_err().kind(), ErrorKind::Config);
}

#[cfg(unix)]
#[test]
fn files_open_to_everybody_are_found() {
    use std::os::unix::fs::PermissionsExt;
    let chmod = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let bench = TestBench::new();
    bench.write();
    let file = bench.sites().join(SITE).join("site_config.json");
    for (folder_mode, file_mode, expected) in [
        (
            0o755,
            0o644,
            Some("site_config.json can be read by every user of this host"),
        ),
        (
            0o755,
            0o666,
            Some("site_config.json can be changed by every user of this host"),
        ),
        (0o755, 0o640, None),
        (0o700, 0o666, None),
    ] {
        chmod(bench.folder.path(), folder_mode);
        chmod(&file, file_mode);
        let reports = report_with_env(&bench.sites(), Some(SITE), &|_| None).unwrap();
        let found = reports[0]
            .warnings
            .iter()
            .find(|w| w.starts_with("site_config.json can"));
        let agrees = match (found, expected) {
            (Some(found), Some(expected)) => found.starts_with(expected),
            (found, expected) => found.is_none() && expected.is_none(),
        };
        assert!(agrees, "{folder_mode:o} {file_mode:o}: {found:?}");
    }
}

#[test]
fn the_empty_object_is_a_configuration_without_a_database() {
    let mut bench = TestBench::new();
    bench.site = Value::Object(Map::new());
    assert_eq!(bench.load().unwrap_err().kind(), ErrorKind::NotFound);
}
