//! `memora-srs status`: what is wrong is said, and what to do.

use std::collections::BTreeMap;

use memora_core::failpoint;
use memora_core::services::status::{self, Level};
use memora_core::services::{archive, rebuild, reconcile};
use memora_tests::programs::{self, Start};
use memora_tests::servers::{MariaDbOptions, RedisOptions};
use memora_tests::{TestSite, Worker, wait};
use mysql_async::prelude::Queryable;
use redis::AsyncCommands;
use serde_json::{Value, json};

use crate::dry_runs::{OLD, add_old};
use crate::story::{SEASON, furnish, submit};

/// What is not well, with what is said of it.
pub(crate) async fn wrong(test: &TestSite) -> BTreeMap<&'static str, (Level, String)> {
    let status = status::look(&test.site().await).await;
    let bad = status
        .findings
        .into_iter()
        .filter(|f| f.level > Level::Well);
    bad.map(|f| {
        let remedy = f.remedy.unwrap_or_else(|| panic!("{}: no remedy", f.about));
        (f.about, (f.level, format!("{}\n{remedy}", f.says)))
    })
    .collect()
}

/// Waits until this, and nothing else, is not well.
async fn only(test: &TestSite, about: &[(&str, Level)]) -> BTreeMap<&'static str, (Level, String)> {
    let expected: BTreeMap<&str, Level> = about.iter().copied().collect();
    wait::until(&format!("{about:?} and nothing else"), || async {
        let found = wrong(test).await;
        let levels: BTreeMap<&str, Level> = found.iter().map(|(k, v)| (*k, v.0)).collect();
        if levels != expected {
            eprintln!("{found:?}");
        }
        (levels == expected).then_some(found)
    })
    .await
}

#[tokio::test]
async fn what_is_wrong_is_said_with_its_remedy() {
    let test = TestSite::builder().own_cache().own_queue().build().await;
    furnish(&test, 10, 5).await;
    let never = [
        ("workers", Level::Wrong),
        ("reconciliation", Level::Warning),
    ];
    let found = only(&test, &never).await;
    assert!(
        found["workers"]
            .1
            .contains("bench worker --queue srs_write"),
        "{found:?}"
    );

    let worker = Worker::start(&test);
    let site = test.site().await;
    let sample = reconcile::Options::sample(100);
    reconcile::reconcile(&site, &sample, &|_| {}).await.unwrap();
    only(&test, &[]).await;

    test.exec("UPDATE `tabGame Subscription Season` SET is_active = 0", ())
        .await;
    test.exec(
        "INSERT INTO `tabGame Subscription Season` (name, season_name) VALUES ('BARE', 'BARE')",
        (),
    )
    .await;
    let found = only(
        &test,
        &[("seasons", Level::Warning), ("partitions", Level::Wrong)],
    )
    .await;
    assert!(found["partitions"].1.contains("BARE"), "{found:?}");
    test.exec(
        "DELETE FROM `tabGame Subscription Season` WHERE name = 'BARE'",
        (),
    )
    .await;
    test.exec(
        "UPDATE `tabGame Subscription Season` SET is_active = 1 WHERE name = ?",
        (SEASON,),
    )
    .await;

    test.exec(
        "ALTER TABLE `tabPlayer Memory Tracker` DROP INDEX idx_pmt_player_season_review",
        (),
    )
    .await;
    let found = only(&test, &[("schema", Level::Wrong)]).await;
    assert!(
        found["schema"].1.contains("tabPlayer Memory Tracker"),
        "{found:?}"
    );
    test.migrate().await;

    worker.process.pause();
    submit(&site, "s-1", &["Q-1"]).await;
    let age = "UPDATE memora_srs_journal SET created_at = created_at - INTERVAL 400 SECOND";
    test.exec(age, ()).await;
    let found = only(&test, &[("journal", Level::Wrong)]).await;
    assert!(found["journal"].1.contains("memora-srs sweep"), "{found:?}");
    let given_up = "UPDATE memora_srs_journal SET state = 'failed', next_try_at = '9999-12-31'";
    test.exec(given_up, ()).await;
    let found = only(&test, &[("journal", Level::Wrong)]).await;
    assert!(found["journal"].1.contains("1 submits failed"), "{found:?}");
    test.exec("DELETE FROM memora_srs_journal", ()).await;
    worker.process.resume();
    only(&test, &[]).await;

    test.cache.server.stop();
    let away = [
        ("schedules' Redis", Level::Away),
        ("Safe Mode", Level::Wrong),
    ];
    only(&test, &away).await;
    test.cache.server.start_again().await;
    // What the queue's Redis would say is not said to be well.
    test.queue.server.stop();
    only(&test, &[("queue's Redis", Level::Away)]).await;
    let away = programs::run(&test, &Start::default(), "status").await;
    let said = away.unwrap_err().to_string();
    assert!(
        said.contains("exit code 4") && said.contains("AWAY     queue's Redis"),
        "{said}"
    );
}

/// What else there is to say, one after the other.
#[tokio::test]
async fn whatever_else_is_wrong_is_said_alone() {
    let with_log = MariaDbOptions {
        extra: vec!["--log-bin".to_owned(), "--binlog-format=MIXED".to_owned()],
        ..MariaDbOptions::default()
    };
    let builder = TestSite::builder().own_cache().own_queue();
    let test = builder.own_mariadb_with(with_log).build().await;
    furnish(&test, 10, 5).await;
    let _worker = Worker::start(&test);
    let site = test.site().await;
    let sample = reconcile::Options::sample(100);
    reconcile::reconcile(&site, &sample, &|_| {}).await.unwrap();
    only(&test, &[]).await;

    for (key, value, says) in [
        ("maintenance_mode", 1, "answered 503"),
        ("srs_sidecar", 0, "leaves everything to Frappe"),
    ] {
        test.set_config(key, json!(value));
        let found = only(&test, &[("configuration", Level::Warning)]).await;
        assert!(found["configuration"].1.contains(says), "{found:?}");
        test.set_config(key, Value::Null);
    }

    let mut queue = test.queue.connection().await;
    let () = queue.set("rq:suspended", 1).await.unwrap();
    let found = only(&test, &[("workers", Level::Wrong)]).await;
    assert!(found["workers"].1.contains("rq resume"), "{found:?}");
    let () = queue.del("rq:suspended").await.unwrap();

    // Of reconciliations the last one counts: that it was alarming, and when it was.
    for (alarming, began, level, says) in [
        (
            "[true]",
            "2999-01-01T00:00:00",
            Level::Wrong,
            "--dry-run says",
        ),
        (
            "[false]",
            "2026-01-01T00:00:00",
            Level::Warning,
            "2026-01-01T00:00:00",
        ),
    ] {
        let last = "UPDATE memora_srs_state SET value = JSON_SET(value, \
                    '$[0].alert_triggered', JSON_EXTRACT(?, '$[0]'), '$[0].started_at', ?) \
                    WHERE name = 'history-reconcile'";
        test.exec(last, (alarming, began)).await;
        let found = only(&test, &[("reconciliation", level)]).await;
        assert!(found["reconciliation"].1.contains(says), "{found:?}");
    }
    reconcile::reconcile(&site, &sample, &|_| {}).await.unwrap();
    only(&test, &[]).await;

    // An archiving that died.
    add_old(&test).await;
    let failing = failpoint::fail(&test.name, "archive_step_3");
    let stopped = archive::archive_season(&site, OLD, None, &|_| {}).await;
    assert!(stopped.is_err());
    drop(failing);
    let found = only(&test, &[("archive", Level::Wrong)]).await;
    assert!(
        found["archive"]
            .1
            .contains(&format!("--season {OLD} --yes")),
        "{found:?}"
    );
    archive::archive_season(&site, OLD, None, &|_| {})
        .await
        .unwrap();
    only(&test, &[]).await;

    // A Redis that will be full.
    for (db, about, level) in [
        (&test.cache, "schedules' Redis", Level::Warning),
        (&test.queue, "queue's Redis", Level::Wrong),
    ] {
        let mut redis = db.connection().await;
        let () = redis.set("big", "x".repeat(8 << 20)).await.unwrap();
        let limit = async |redis: &mut _, megabytes: u32| {
            let mut set = redis::cmd("CONFIG");
            set.arg("SET").arg("maxmemory").arg(megabytes << 20);
            let () = set.query_async(redis).await.unwrap();
        };
        // Of some 10 MiB that are in use.
        limit(&mut redis, 11).await;
        let found = only(&test, &[(about, level)]).await;
        assert!(found[about].1.contains("maxmemory"), "{found:?}");
        limit(&mut redis, 0).await;
        let () = redis.del("big").await.unwrap();
    }

    let binlog = async |format: &str| {
        let mut root = test.mariadb.root().await.unwrap();
        let set = format!("SET GLOBAL binlog_format = '{format}'");
        root.query_drop(set).await.unwrap();
    };
    binlog("STATEMENT").await;
    let found = only(&test, &[("MariaDB", Level::Wrong)]).await;
    assert!(found["MariaDB"].1.contains("MIXED or ROW"), "{found:?}");
    binlog("MIXED").await;
    only(&test, &[]).await;

    test.mariadb.kill();
    let found = wrong(&test).await;
    assert_eq!(found["MariaDB"].0, Level::Away, "{found:?}");
}

/// Sessions may have a Redis of their own.
#[tokio::test]
async fn a_redis_of_sessions_alone_is_named() {
    let test = TestSite::builder().own_cache().build().await;
    furnish(&test, 5, 5).await;
    test.set_config("srs_redis_cache", json!(test.queue.url()));
    let found = wrong(&test).await;
    assert!(!found.contains_key("sessions' Redis"), "{found:?}");
    test.cache.server.kill();
    let found = wrong(&test).await;
    assert_eq!(found["sessions' Redis"].0, Level::Away, "{found:?}");
    assert!(!found.contains_key("schedules' Redis"), "{found:?}");
}

#[tokio::test]
async fn full_redis_and_a_queue_that_evicts_are_named() {
    let small = |policy: &str| RedisOptions {
        maxmemory: Some("8mb".to_owned()),
        maxmemory_policy: Some(policy.to_owned()),
        ..RedisOptions::default()
    };
    let builder = TestSite::builder()
        .own_cache_with(small("allkeys-lru"))
        .own_queue_with(small("allkeys-lru"));
    let test = builder.build().await;
    let mut redis = test.cache.connection().await;
    for n in 0..200 {
        let mut set = redis::cmd("SET");
        let big = "x".repeat(64 * 1024);
        let _: () = set.arg(n).arg(big).query_async(&mut redis).await.unwrap();
    }
    let found = wrong(&test).await;
    let (level, said) = &found["schedules' Redis"];
    assert_eq!(*level, Level::Warning);
    assert!(
        said.contains("keys evicted") && said.contains("srs_redis_cache"),
        "{said}"
    );
    let (level, said) = &found["queue's Redis"];
    assert_eq!(*level, Level::Wrong);
    assert!(said.contains("noeviction"), "{said}");
}

#[tokio::test]
async fn the_command_looks_at_all_sites_and_says_how_bad_it_is() {
    let test = TestSite::new().await;
    furnish(&test, 5, 5).await;
    let broken = test.sites_path.join("broken.test");
    std::fs::create_dir(&broken).unwrap();
    std::fs::write(broken.join("site_config.json"), "{").unwrap();
    let start = Start::default().args(&["--json"]);
    let mut command = start.command("status", &test).unwrap();
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let sites: Value = serde_json::from_slice(&output.stdout).unwrap();
    let find = |name: &str| {
        let sites = sites.as_array().unwrap();
        sites.iter().find(|site| site["site"] == name).unwrap()
    };
    assert_eq!(find("broken.test")["level"], "wrong");
    assert_eq!(find("broken.test")["findings"][0]["about"], "configuration");
    assert!(find(&test.name)["findings"].as_array().unwrap().len() > 8);
    // No colours where nobody looks.
    let mut command = Start::default().command("status", &test).unwrap();
    let said = String::from_utf8(command.output().unwrap().stdout).unwrap();
    assert!(said.contains("WRONG") && !said.contains('\x1b'), "{said}");
    let start = Start::default().args(&["--site", "nosite"]);
    let mut command = start.command("status", &test).unwrap();
    assert_eq!(command.output().unwrap().status.code(), Some(3));
}

/// Too small for what is in it: a percentage of it says nothing.
#[tokio::test]
async fn a_queue_that_takes_no_jobs_is_named() {
    let test = TestSite::builder().own_queue().build().await;
    furnish(&test, 5, 5).await;
    let mut redis = test.queue.connection().await;
    let mut set = redis::cmd("CONFIG");
    set.arg("SET").arg("maxmemory").arg(1);
    let () = set.query_async(&mut redis).await.unwrap();
    let found = wrong(&test).await;
    let (level, said) = &found["queue's Redis"];
    assert_eq!(*level, Level::Wrong);
    assert!(
        said.contains("refuses writes") && said.contains("OOM") && !said.contains("of 0 MiB"),
        "{said}"
    );

    // Not for want of room.
    let mut set = redis::cmd("CONFIG");
    set.arg("SET").arg("maxmemory").arg(0);
    let () = set.query_async(&mut redis).await.unwrap();
    let mut refuse = redis::cmd("CONFIG");
    refuse.arg("SET").arg("min-replicas-to-write").arg(1);
    let () = refuse.query_async(&mut redis).await.unwrap();
    let found = wrong(&test).await;
    let (level, said) = &found["queue's Redis"];
    assert_eq!(*level, Level::Wrong);
    assert!(said.contains("NOREPLICAS"), "{said}");
}

#[tokio::test]
async fn a_rebuild_that_failed_is_named_until_it_is_done() {
    let test = TestSite::builder().own_cache().build().await;
    furnish(&test, 10, 5).await;
    let site = test.site().await;
    let options = rebuild::Options::default();
    let failing = failpoint::fail(&test.name, "rebuild_published");
    let failed = rebuild::run(&site, SEASON, &options, &|_| {}).await;
    assert!(failed.is_err());
    drop(failing);
    let found = wrong(&test).await;
    let (level, said) = &found["rebuild"];
    assert_eq!(*level, Level::Warning);
    assert!(
        said.contains(SEASON) && said.contains("memora-srs rebuild --site"),
        "{said}"
    );
    rebuild::run(&site, SEASON, &options, &|_| {})
        .await
        .unwrap();
    let found = wrong(&test).await;
    assert!(!found.contains_key("rebuild"), "{found:?}");
}

/// Nothing needs to be started, and nothing is worth trying again.
#[tokio::test]
async fn a_login_that_is_refused_is_no_server_that_is_away() {
    let test = TestSite::builder().own_cache().own_queue().build().await;
    furnish(&test, 5, 5).await;
    let password = test.db_password.clone();
    test.set_config("db_password", json!("wrong"));
    let found = wrong(&test).await;
    let (level, said) = &found["MariaDB"];
    assert_eq!(*level, Level::Wrong);
    assert!(
        said.contains("denies access")
            && said.contains("mend db_name")
            && !said.contains("start it"),
        "{said}"
    );
    assert!(
        found.values().all(|(level, _)| *level < Level::Away),
        "{found:?}"
    );
    let failed = programs::run(&test, &Start::default(), "status").await;
    let said = failed.unwrap_err().to_string();
    assert!(said.contains("exit code 1"), "{said}");
    let failed = programs::run(&test, &Start::default(), "check").await;
    let said = failed.unwrap_err().to_string();
    assert!(
        said.contains("FAIL  partition hook") && !said.contains("needs ALTER"),
        "{said}"
    );
    test.set_config("db_password", json!(password));

    for (db, about, key) in [
        (&test.cache, "schedules' Redis", "redis_cache"),
        (&test.queue, "queue's Redis", "redis_queue"),
    ] {
        let mut redis = db.connection().await;
        let mut set = redis::cmd("CONFIG");
        set.arg("SET").arg("requirepass").arg("hush");
        let () = set.query_async(&mut redis).await.unwrap();
        let found = wrong(&test).await;
        let (level, said) = &found[about];
        assert_eq!(*level, Level::Wrong, "{said}");
        assert!(
            said.contains("password") && said.contains(key) && !said.contains("start it"),
            "{said}"
        );
        let url = db.url();
        let key_of_site = if key == "redis_cache" {
            "srs_redis_cache"
        } else {
            key
        };
        test.set_config(key_of_site, json!(url.replacen("://", "://:wrong@", 1)));
        let found = wrong(&test).await;
        let (level, said) = &found[about];
        assert_eq!(*level, Level::Wrong, "{said}");
        assert!(said.contains("password"), "{said}");
        test.set_config(key_of_site, Value::Null);
    }
}
