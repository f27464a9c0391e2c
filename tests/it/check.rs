//! `memora-srs check`: ten checks, and nothing of them left, whatever comes.

use std::sync::Mutex;

use memora_core::failpoint;
use memora_core::services::check::{self, Event, Report};
use memora_core::services::partitions;
use memora_tests::process::Process;
use memora_tests::programs::{self, Start};
use memora_tests::wait;
use memora_tests::{Due, TestSite, scratch};
use serde_json::Value;
use tokio::sync::Notify;

use crate::everything::Everything;
use crate::story::{furnish, read, site_with};

/// Of a check that was killed, long ago.
const LEFT: &str = "MEMORA-CHECK-01ARZ3NDEKTSV4RRFFQ69G5FAV";
const LEFT_USER: &str = "memora-check-01arz3ndektsv4rrffq69g5fav@check.invalid";

/// A student with a schedule that is cached.
async fn stage() -> TestSite {
    let test = site_with(12, 5).await;
    read(&test.site().await).await;
    let site = test.site().await;
    crate::story::warm(&site).await;
    test
}

#[track_caller]
fn is_pass(report: &Value, name: &str) -> bool {
    let checks = report["checks"].as_array().unwrap();
    let found = checks.iter().find(|check| check["check"] == name);
    found.unwrap_or_else(|| panic!("{name}: {report}"))["passed"] == true
}

#[tokio::test]
async fn all_ten_pass_and_nothing_is_left_also_of_one_that_was_killed() {
    let test = stage().await;
    let before = Everything::of(&test).await;
    // Of a check that was killed.
    test.add_season(LEFT).await;
    let user = "INSERT INTO tabUser (name, enabled) VALUES (?, 0)";
    test.exec(user, (LEFT_USER,)).await;
    test.add_questions(LEFT_USER, LEFT, 3, Due::All).await;
    let printed = programs::run(&test, &Start::default().args(&["--json"]), "check").await;
    let report: Value = serde_json::from_str(&printed.unwrap()).unwrap();
    let names: Vec<&str> = report["checks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|check| check["check"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "Redis connects",
            "sorted-set commands",
            "partition hook",
            "persistence",
            "lazy load",
            "reconciliation",
            "rebuild",
            "Safe Mode",
            "limits",
            "archiving",
        ]
    );
    for name in names {
        assert!(is_pass(&report, name), "{report:#}");
    }
    assert_eq!(report["passed"], true);
    assert_eq!(report["removed_left"], 1);
    Everything::of(&test).await.is_as_before(&before, "");
    // Nobody counts reads of Safe Mode that were not of students.
    let json = Start::default().args(&["--json"]);
    let status = programs::run_in(&test, &json, "safe-mode", "status").await;
    let status: Value = serde_json::from_str(&status.unwrap()).unwrap();
    assert_eq!(
        (&status["requests"], &status["since"]),
        (&Value::from(0), &Value::Null)
    );
}

#[tokio::test]
async fn a_check_that_fails_says_what_to_do_and_nothing_is_left() {
    let test = stage().await;
    // What applies answers notes each batch there.
    test.exec(
        "ALTER TABLE memora_srs_audit CHANGE worker worker_was varchar(140)",
        (),
    )
    .await;
    let before = Everything::of(&test).await;
    let failed = programs::run(&test, &Start::default(), "check").await;
    let said = failed.unwrap_err().to_string();
    assert!(said.contains("exit code 1"), "{said}");
    for line in [
        "PASS  Redis connects",
        "PASS  partition hook",
        "FAIL  persistence",
        "memora-srs migrate --dry-run says what the tables lack",
        "FAIL  rebuild ",
        "not run: persistence",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    Everything::of(&test).await.is_as_before(&before, "");
}

/// What fails while it runs, and with it what could only fail for the same reason.
#[tokio::test]
async fn each_check_fails_if_what_it_tries_does_and_no_other() {
    let test = stage().await;
    // What fails for no known reason is in Frappe's Error Log, whoever ran it.
    let now = async || Everything::of(&test).await.without("tabError Log");
    let before = now().await;
    let site = test.site().await;
    let database: String = test.query_one("SELECT DATABASE()", ()).await.unwrap();
    // Where Redis is made to seem away.
    let nowhere = format!("{} (check)", test.name);
    for (check, scope, point, others) in [
        (
            "partition hook",
            &database,
            "before_add_partition",
            &[
                "persistence",
                "lazy load",
                "reconciliation",
                "rebuild",
                "Safe Mode",
                "limits",
                "archiving",
            ][..],
        ),
        (
            "persistence",
            &test.name,
            "apply_upserted",
            &[
                "lazy load",
                "reconciliation",
                "rebuild",
                "Safe Mode",
                "limits",
                "archiving",
            ],
        ),
        (
            "lazy load",
            &test.name,
            "before_publish",
            &["reconciliation"],
        ),
        ("reconciliation", &test.name, "reconcile_read", &[]),
        ("rebuild", &test.name, "rebuild_published", &[]),
        ("Safe Mode", &nowhere, "load_read", &["limits"]),
        ("limits", &nowhere, "load_read", &[]),
        ("archiving", &test.name, "archive_step_2", &[]),
    ] {
        let failing = Mutex::new(None);
        let tell = |event: Event<'_>| match event {
            Event::Begins(name, ..) if name == check => {
                *failing.lock().unwrap() = Some(failpoint::fail(scope, point));
            }
            Event::Done(outcome) if outcome.check == check => *failing.lock().unwrap() = None,
            _ => {}
        };
        let report = check::run(&site, &tell, std::future::pending()).await;
        let failed = report.checks.iter().filter(|outcome| !outcome.passed);
        let failed: Vec<&str> = failed.map(|outcome| outcome.check).collect();
        assert_eq!(failed, [&[check][..], others].concat(), "{report:#?}");
        assert!(!report.passed && !report.stopped);
        now().await.is_as_before(&before, check);
    }
}

#[tokio::test]
async fn a_redis_that_refuses_the_commands_of_sorted_sets_is_said() {
    let test = TestSite::builder().own_cache().build().await;
    furnish(&test, 5, 5).await;
    let mut redis = test.cache.connection().await;
    let mut acl = redis::cmd("ACL");
    acl.arg("SETUSER").arg("default").arg("-zrem");
    let () = acl.query_async(&mut redis).await.unwrap();
    let site = test.site().await;
    let report = check::run(&site, &|_| {}, std::future::pending()).await;
    let report = serde_json::to_value(&report).unwrap();
    assert!(is_pass(&report, "Redis connects"), "{report:#}");
    assert!(!is_pass(&report, "sorted-set commands"), "{report:#}");
}

#[tokio::test]
async fn without_redis_it_says_so_and_the_next_check_removes_what_is_left() {
    let test = TestSite::builder().own_cache().build().await;
    furnish(&test, 5, 5).await;
    test.cache.server.stop();
    let site = test.site().await;
    let report = check::run(&site, &|_| {}, std::future::pending()).await;
    let report = serde_json::to_value(&report).unwrap();
    for away in [
        "Redis connects",
        "sorted-set commands",
        "lazy load",
        "reconciliation",
        "rebuild",
    ] {
        assert!(!is_pass(&report, away), "{away}: {report:#}");
    }
    for works in [
        "partition hook",
        "persistence",
        "Safe Mode",
        "limits",
        "archiving",
    ] {
        // What is archived is dropped from the cache, which cannot be seen to.
        assert_eq!(is_pass(&report, works), works != "archiving", "{report:#}");
    }
    assert!(report["not_removed"].is_string(), "{report:#}");
    let season = report["season"].as_str().unwrap();
    let left = "SELECT COUNT(*) FROM `tabGame Subscription Season` WHERE name = ?";
    assert_eq!(test.query_one::<u32>(left, (season,)).await, Some(1));
    assert!(!partitions::exists(&site, season).await.unwrap());
}

/// Redis answers, and takes no jobs.
#[tokio::test]
async fn a_queue_that_refuses_jobs_fails_persistence() {
    let test = TestSite::builder().own_queue().build().await;
    furnish(&test, 5, 5).await;
    let mut redis = test.queue.connection().await;
    let mut limit = redis::cmd("CONFIG");
    limit.arg("SET").arg("maxmemory").arg(1);
    let () = limit.query_async(&mut redis).await.unwrap();
    let site = test.site().await;
    let report = check::run(&site, &|_| {}, std::future::pending()).await;
    let report = serde_json::to_value(&report).unwrap();
    assert!(is_pass(&report, "Redis connects"), "{report:#}");
    assert!(!is_pass(&report, "persistence"), "{report:#}");
    let checks = report["checks"].as_array().unwrap();
    let failed = checks.iter().find(|c| c["check"] == "persistence").unwrap();
    assert!(
        failed["remedy"].as_str().unwrap().contains("redis_queue"),
        "{failed}"
    );
    assert_eq!(report["not_removed"], Value::Null, "{report:#}");
}

/// At any moment: here while the season is in neither table.
#[tokio::test]
async fn told_to_stop_half_way_it_leaves_nothing() {
    let test = stage().await;
    let before = Everything::of(&test).await;
    let site = test.site().await;
    for point in ["archive_step_2", "archive_step_3", "rebuild_ends"] {
        let paused = failpoint::pause(&test.name, point);
        let report = check::run(&site, &|_| {}, paused.reached()).await;
        assert!(report.stopped && !report.passed, "{point}: {report:#?}");
        assert_eq!(report.not_removed, None, "{point}");
        drop(paused);
        Everything::of(&test).await.is_as_before(&before, point);
    }
    let done: Report = stopped_at(&site, "persistence").await;
    assert_eq!(done.checks.len(), 3);
    Everything::of(&test).await.is_as_before(&before, "");
}

/// A run that is told to stop when this check begins.
async fn stopped_at(site: &std::sync::Arc<memora_core::services::Site>, check: &str) -> Report {
    let (now, begun) = (Notify::new(), Mutex::new(false));
    let tell = |event: Event<'_>| {
        if matches!(event, Event::Begins(name, ..) if name == check) {
            *begun.lock().unwrap() = true;
            now.notify_one();
        }
    };
    check::run(site, &tell, now.notified()).await
}

#[tokio::test]
async fn ctrl_c_cleans_up() {
    let test = stage().await;
    let before = Everything::of(&test).await;
    // Nothing goes on from there.
    let start = Start::default().failpoint("archive_step_2", "sleep60000");
    let mut command = start.command("check", &test).unwrap();
    command.args(["--site", &test.name]);
    let log = scratch::new_dir("check").unwrap().join("log");
    let process = Process::start("memora-srs check", command, &log).unwrap();
    let archiving = "SELECT 1 FROM memora_srs_state WHERE name LIKE 'archive:MEMORA-CHECK-%'";
    wait::until("it archives", || async {
        test.query_one::<u8>(archiving, ()).await
    })
    .await;
    process.signal(2);
    wait::until("it has ended", || async { process.exit_status() }).await;
    let log = process.log();
    assert_eq!(process.exit_status().unwrap().code(), Some(1), "{log}");
    assert!(log.contains("stopped"), "{log}");
    Everything::of(&test).await.is_as_before(&before, "");
}
