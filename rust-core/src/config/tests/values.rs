//! Which value wins.

use serde_json::json;

use super::*;

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
        monitor: false,
        frappe: FrappeVersion::V15,
        rq_major: 1,
        decline_all: None,
        custom_queues: vec!["srs_write".into()],
        rq: RqConfig {
            timeouts: [("srs_write".into(), 300)].into(),
            ..RqConfig::default()
        },
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
fn rq_keeps_jobs_as_long_as_frappe_would() {
    let rq = |keys| TestBench::new().common(keys).load().unwrap().rq;
    let frappes = rq(json!({"workers": {"srs_write": {}, "odd": 5, "long": {"timeout": null}}}));
    assert_eq!(frappes, RqConfig::default());
    assert_eq!(frappes.timeout("srs_write"), 300);
    assert_eq!(frappes.timeout("long"), 1500);
    // What Python takes for false is as if it were not there.
    for none in [json!(0), json!(null), json!(""), json!(false)] {
        let keys = json!({
            "workers": {"srs_write": {"timeout": none}},
            "rq_results_ttl": none,
            "rq_job_failure_ttl": none,
        });
        assert_eq!(rq(keys), frappes, "{none}");
    }
    let given = rq(json!({
        "workers": {"srs_write": {"timeout": 60}, "long": {"timeout": "3000"}},
        "rq_results_ttl": 5,
        "rq_job_failure_ttl": -1,
    }));
    assert_eq!((given.result_ttl, given.failure_ttl), (5, -1));
    assert_eq!(given.timeout("srs_write"), 60);
    assert_eq!(given.timeout("long"), 3000);
    assert_eq!(given.timeout("default"), 300);
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
fn our_settings_reach_the_engine() {
    let srs = TestBench::new()
        .common(json!({
            "srs_redis_cache": "redis://srs:1/4", "srs_key_prefix": "school-a.", "srs_season_cache_s": 5,
            "srs_max_questions": "2000", "srs_allow_new_questions": 0, "srs_question_info": 1, "srs_queue": "long",
            "srs_default_queue_max": 7, "srs_journal_days": 30, "srs_audit_days": 90,
            "srs_state_budget_ms": 80, "srs_journal_budget_ms": "200", "srs_spool_dir": "/var/spool/srs",
            "srs_journal_tries": 3, "srs_review_log_days": 1000, "srs_review_log": false, "srs_mariadb_loads": 4,
            "srs_mariadb_connections": 9,
            "srs_safe_mode_global_limit": 60, "srs_safe_mode_user_seconds": "10",
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
        question_info: true,
        queue: Some("long".into()),
        default_queue_max: 7,
        journal_days: 30,
        audit_days: 90,
        journal_tries: 3,
        review_log_days: 1000,
        review_log: false,
        state_budget: Duration::from_millis(80),
        journal_budget: Duration::from_millis(200),
        spool_dir: "/var/spool/srs".into(),
        mariadb_loads: 4,
        mariadb_connections: 9,
        safe_mode_global_limit: 60,
        safe_mode_user: Duration::from_secs(10),
        scheduler: Parameters::default(),
        xp: XpTable([1, 2, 3, 4, 5, 6]),
    };
    assert_eq!(srs.srs, expected);
    assert_eq!(srs.spool_dir().to_str(), Some("/var/spool/srs"));
    let usual = TestBench::new().load().unwrap();
    let below = usual.sites_path.join(&usual.site);
    assert!(usual.spool_dir().starts_with(below));
}
