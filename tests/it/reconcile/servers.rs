//! Servers that go, several runs at once, who is told, and the command.

use std::sync::Arc;
use std::time::Duration;

use memora_core::queue::DISCREPANCIES_METHOD;
use memora_core::services::reconcile::history;
use memora_core::{ErrorKind, failpoint};
use memora_tests::programs::Start;
use memora_tests::questions::question_id;
use memora_tests::{Due, Sidecar, Student, TestSite, Worker, wait};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{Corruption, corrupt, crowd, fill_for, full, run, sample, student, try_run};
use crate::story::{SEASON, ann, answers, count, furnish, is_complete, season, site_with, warm};

#[tokio::test]
async fn one_run_of_a_season_at_a_time() {
    let test = site_with(10, 5).await;
    let site = test.site().await;
    warm(&site).await;
    let paused = failpoint::pause(&test.name, "load_read");
    let first = {
        let site = site.clone();
        tokio::spawn(async move { run(&site, &full()).await })
    };
    paused.reached().await;
    let other = test.site().await;
    let options = full();
    let second = tokio::time::timeout(wait::PATIENCE, try_run(&other, &options));
    let refused = second.await.expect("an answer at once").unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    assert!(refused.message().contains("under way"), "{refused}");
    drop(paused);
    first.await.unwrap();
    run(&other, &full()).await;
    assert_eq!(history(&site).await.unwrap().len(), 2);
}

#[tokio::test]
async fn the_last_thirty_runs_are_remembered() {
    let test = site_with(3, 1).await;
    let site = test.site().await;
    for n in 1..=32 {
        run(&site, &sample(n)).await;
    }
    let other = test.site().await;
    let runs = history(&other).await.unwrap();
    let sizes: Vec<u64> = runs.iter().map(|run| run.sample_size).collect();
    assert_eq!(sizes, (3..=32).collect::<Vec<u64>>());
}

#[tokio::test]
async fn without_redis_nothing_is_reported() {
    let test = TestSite::builder().own_cache().build().await;
    furnish(&test, 30, 10).await;
    let site = test.site().await;
    warm(&site).await;
    test.cache.server.kill();
    for _ in 0..5 {
        let away = try_run(&site, &sample(100)).await.unwrap_err();
        assert_eq!(away.kind(), ErrorKind::Unavailable, "{away}");
    }
    assert_eq!(history(&site).await.unwrap(), []);
}

#[tokio::test]
async fn a_redis_that_restarts_meanwhile_makes_no_discrepancy() {
    let test = TestSite::builder().own_cache().build().await;
    furnish(&test, 30, 10).await;
    let site = test.site().await;
    warm(&site).await;
    let mut redis = test.cache.connection().await;
    let saved = redis::cmd("SAVE").query_async::<String>(&mut redis).await;
    saved.unwrap();
    let id = question_id(1);
    let lacks = site.cache.remove(&ann(), &season(), &id).await;
    assert!(lacks.unwrap());
    for point in ["reconcile_read", "reconcile_again", "before_mend"] {
        let paused = failpoint::pause(&test.name, point);
        let comparing = {
            let site = test.site().await;
            tokio::spawn(async move { try_run(&site, &full()).await })
        };
        // A restarted Redis has nothing that is believed: it may not come so far.
        let reached = tokio::time::timeout(Duration::from_secs(2), paused.reached()).await;
        test.cache.server.kill();
        test.cache.server.start_again().await;
        drop(paused);
        match comparing.await.unwrap() {
            Err(away) => assert_eq!(away.kind(), ErrorKind::Unavailable),
            Ok(report) if reached.is_err() || point != "before_mend" => {
                assert_eq!(report.discrepancies_found, 0, "{point}: {report:?}");
            }
            Ok(report) => assert_eq!(report.auto_corrected, 0, "{point}: {report:?}"),
        }
        let other = test.site().await;
        assert!(!is_complete(&other, None).await);
    }
}

/// What waits for administrators.
async fn mails(test: &TestSite) -> usize {
    let mut redis = test.queue.connection().await;
    let list = format!("rq:queue:{}:default", test.bench_id);
    let ids: Vec<String> = redis::cmd("LRANGE")
        .arg(list)
        .arg(0)
        .arg(-1)
        .query_async(&mut redis)
        .await
        .unwrap();
    let mut found = 0;
    for id in ids {
        let description: String = redis::cmd("HGET")
            .arg(format!("rq:job:{id}"))
            .arg("description")
            .query_async(&mut redis)
            .await
            .unwrap();
        found += usize::from(description.contains(DISCREPANCIES_METHOD));
    }
    found
}

#[tokio::test]
async fn administrators_are_told_once_for_each_run_that_found_too_much() {
    let (test, site) = crowd(1, 1500).await;
    let logged = "SELECT COUNT(*) FROM `tabError Log` WHERE method = 'SRS Reconciliation'";
    // One of 1,500 is not above 0.1 %; two are, and of fewer than 1,000 nothing is.
    for (wrong, options, alert) in [
        (1, full(), false),
        (2, sample(999), false),
        (2, full(), true),
    ] {
        for n in 0..wrong {
            corrupt(
                &test,
                &site,
                &student(0),
                &question_id(n),
                Corruption::Ghost,
            )
            .await;
        }
        let report = run(&site, &options).await;
        assert_eq!(report.alert_triggered, alert, "{report:?}");
        run(&site, &full()).await;
        assert_eq!(mails(&test).await, usize::from(alert));
        assert_eq!(count(&test, logged).await, u64::from(alert));
    }
}

#[tokio::test]
async fn the_command_compares_corrects_and_says_so_by_its_exit_code() {
    let (test, site) = crowd(2, 600).await;
    test.add_student(&student(1)).await;
    let command = async |args: &[&str]| {
        let start = Start::default().args(args);
        let start = start.args(&["--site", &test.name]);
        let mut command = start.command("reconcile", &test).unwrap();
        tokio::task::spawn_blocking(move || command.output().unwrap())
            .await
            .unwrap()
    };
    let json = |output: &std::process::Output| -> Value {
        serde_json::from_slice(&output.stdout).expect("JSON")
    };
    let clean = command(&["--json", "--sample-size", "200"]).await;
    assert!(clean.status.success());
    assert_eq!(json(&clean)["compared"], 200);
    for n in 0..3 {
        corrupt(
            &test,
            &site,
            &student(1),
            &question_id(n),
            Corruption::Missing,
        )
        .await;
    }
    let nobody = command(&["--student", "nobody@example.com", "--dry-run"]).await;
    assert_eq!(nobody.status.code(), Some(3), "no such User");
    let dry = command(&["--student", &student(1), "--dry-run", "--json"]).await;
    assert!(dry.status.success());
    let report = json(&dry);
    assert_eq!(
        (&report["missing"], &report["auto_corrected"]),
        (&json!(3), &json!(0))
    );
    let alert = command(&["--full"]).await;
    assert_eq!(alert.status.code(), Some(1));
    let text = String::from_utf8(alert.stdout).unwrap();
    assert!(
        text.contains("3 wrong in the cache (0.250 %), 3 corrected"),
        "{text}"
    );
    let again = command(&["--full", "--season", "season-2026"]).await;
    assert!(again.status.success());
    let history = json(&command(&["--history", "--json"]).await);
    let alerts = history.as_array().unwrap().iter();
    let alerts: Vec<&Value> = alerts.map(|run| &run["alert_triggered"]).collect();
    assert_eq!(alerts, [false, false, true, false]);
    for (args, code) in [
        (&["--sample-size", "0"][..], 2),
        (&["--full", "--student", "x"], 2),
        (&["--history", "--full"], 2),
        (&["--season", "no such"], 3),
    ] {
        assert_eq!(command(args).await.status.code(), Some(code), "{args:?}");
    }
}

/// Students who submit as fast as a sidecar takes it, while everything is compared again
/// and again.
async fn compared_during_submits(time: Duration) {
    const STUDENTS: usize = 12;
    let test = Arc::new(TestSite::new().await);
    test.add_season(SEASON).await;
    let site = test.site().await;
    let mut students: Vec<Student> = Vec::new();
    for n in 0..STUDENTS {
        let name = student(n);
        students.push(test.add_student(&name).await);
        test.add_questions(&name, SEASON, 60, Due::All).await;
        fill_for(&site, &name, &["Physics"]).await;
    }
    let sidecar = Sidecar::start(&test).await;
    let _worker = Worker::start(&test);
    let end = Instant::now() + time;
    let mut submitting = Vec::new();
    for (s, student) in students.into_iter().enumerate() {
        let http = sidecar.http(&test);
        submitting.push(tokio::spawn(async move {
            let mut n = 0_usize;
            while Instant::now() < end {
                let ids = [
                    question_id((n * 7) % 60),
                    question_id((n * 7 + 1) % 60),
                    format!("new-{n}:1"),
                ];
                let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
                let body =
                    json!({"responses": answers(&ids), "submission_id": format!("s-{s}-{n}")});
                let path = "/api/method/memora.api.reviews.submit_review_session";
                let answer = http.post(path).token(&student).json(&body).send().await;
                assert_eq!(answer.message()["processed"], 3);
                n += 1;
                sleep(Duration::from_millis(20)).await;
            }
            n
        }));
    }
    let (mut runs, mut compared, mut in_flight) = (0, 0, 0);
    while Instant::now() < end {
        for options in [full(), sample(300)] {
            let report = run(&site, &options).await;
            assert_eq!(report.discrepancies_found, 0, "{report:?}");
            assert_eq!(report.auto_corrected, 0);
            compared += report.compared;
            in_flight += report.in_flight;
            runs += 1;
        }
    }
    let mut submits = 0;
    for task in submitting {
        submits += task.await.unwrap() as u64;
    }
    assert!(runs >= 2 && compared > 0 && submits > 0);
    tracing::info!(
        runs,
        compared,
        in_flight,
        submits,
        "compared during submits"
    );
    // Nothing was reverted: all of it arrives, and cache and table agree in the end.
    wait::until("everything is applied", || async {
        let sql = "SELECT COUNT(*) FROM memora_srs_journal WHERE applied_at IS NULL";
        (count(&test, sql).await == 0).then_some(())
    })
    .await;
    let lost = "SELECT COUNT(*) FROM memora_srs_review_log l LEFT JOIN `tabPlayer Memory Tracker` t \
                ON t.player = l.player AND t.season = l.season AND t.question_id = l.question \
                AND t.review_version >= l.review_version WHERE t.name IS NULL";
    assert_eq!(count(&test, lost).await, 0);
    let report = run(&site, &full()).await;
    assert_eq!(
        (report.discrepancies_found, report.in_flight),
        (0, 0),
        "{report:?}"
    );
    assert_eq!(report.compared, STUDENTS as u64 * 60 + submits);
}

#[tokio::test]
async fn heavy_submits_make_no_false_discrepancy() {
    compared_during_submits(Duration::from_secs(5)).await;
}

#[tokio::test]
#[ignore = "ten minutes"]
async fn ten_minutes_of_heavy_submits_make_no_false_discrepancy() {
    compared_during_submits(Duration::from_secs(600)).await;
}
