//! What an operator is told.

use serde_json::json;

use super::*;

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
        ("rq_results_ttl", json!(600), Source::Default),
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
    for key in own_keys::KEYS {
        setting(key);
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
        (
            json!({"workers": {"srs_write": {"timeout": "1h"}}}),
            "workers.srs_write.timeout is no whole number of seconds; 300 is used",
        ),
        (
            json!({"rq_results_ttl": "a day"}),
            "rq_results_ttl (site_config.json) is no whole number of seconds; 600 is used",
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
    // Nobody else gets at files of a temporary folder that is private itself.
    let temporary = bench.folder.path().canonicalize().unwrap();
    let private = temporary
        .ancestors()
        .skip(1)
        .any(|folder| folder.metadata().unwrap().permissions().mode() & 1 == 0);
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
        let agrees = match (found, expected.filter(|_| !private)) {
            (Some(found), Some(expected)) => found.starts_with(expected),
            (found, expected) => found.is_none() && expected.is_none(),
        };
        assert!(agrees, "{folder_mode:o} {file_mode:o}: {found:?}");
    }
}
