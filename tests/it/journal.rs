//! What an operator sees of the journal, and does to it.

use memora_core::ErrorKind;
use memora_core::services::journal::{self, Filter, State, job_status};
use memora_core::services::sweep::sweep;
use memora_core::types::UtcMicros;
use memora_tests::programs::{self, Start};
use memora_tests::questions::question_id;
use memora_tests::{TestSite, Worker, wait};
use serde_json::{Value, json};

use crate::story::{ANN, SEASON, answers, apply_all, count, read, site_with, submit, try_submit};

mod done;

fn states(states: &[State]) -> Filter {
    Filter {
        states: states.to_vec(),
        ..Filter::default()
    }
}

fn of(submission: &str) -> Filter {
    Filter {
        submission_id: Some(submission.to_owned()),
        ..Filter::default()
    }
}

fn ids(entries: &[journal::Entry]) -> Vec<&str> {
    entries.iter().map(|e| e.submission_id.as_str()).collect()
}

/// Two submits that were given up, one that comes again, one that waits, one applied.
async fn stage() -> TestSite {
    let test = site_with(10, 10).await;
    let site = test.site().await;
    submit(&site, "applied", &[&question_id(0)]).await;
    apply_all(&test, &site).await;
    for (n, id) in ["failed-1", "failed-2", "retrying", "pending"]
        .iter()
        .enumerate()
    {
        submit(&site, id, &[&question_id(n + 1)]).await;
    }
    for (id, next) in [
        ("failed-1", "'9999-12-31'"),
        ("failed-2", "'9999-12-31'"),
        ("retrying", "UTC_TIMESTAMP() + INTERVAL 1 HOUR"),
    ] {
        let sql = format!(
            "UPDATE memora_srs_journal SET state = 'failed', tries = 12, error = 'no room', \
             next_try_at = {next} WHERE submission_id = '{id}'"
        );
        test.exec(&sql, ()).await;
    }
    test
}

#[tokio::test]
async fn rows_are_found_by_state_student_season_and_age() {
    let test = stage().await;
    let site = test.site().await;
    let listed = async |filter: Filter| {
        let rows = journal::list(&site, &filter, 0, 100).await.unwrap();
        assert_eq!(
            journal::count(&site, &filter).await.unwrap(),
            rows.len() as u64
        );
        rows
    };
    let all = listed(Filter::default()).await;
    assert_eq!(ids(&all), ["failed-1", "failed-2", "retrying", "pending"]);
    assert_eq!(
        (all[0].tries, all[0].error.as_deref()),
        (12, Some("no room"))
    );
    assert!(all[0].next_try_at.is_none() && all[2].next_try_at.is_some());
    let failed = listed(states(&[State::Failed])).await;
    assert_eq!(ids(&failed), ["failed-1", "failed-2"]);
    assert_eq!(ids(&listed(states(&[State::Retrying])).await), ["retrying"]);
    assert_eq!(ids(&listed(states(&[State::Applied])).await), ["applied"]);
    let with = |change: fn(&mut Filter)| {
        let mut filter = Filter::default();
        change(&mut filter);
        filter
    };
    assert_eq!(
        listed(with(|f| f.player = Some(ANN.to_owned())))
            .await
            .len(),
        4
    );
    assert_eq!(
        listed(with(|f| f.player = Some("ANN".to_owned())))
            .await
            .len(),
        0
    );
    assert_eq!(
        listed(with(|f| f.season = Some(SEASON.to_owned())))
            .await
            .len(),
        4
    );
    assert_eq!(
        listed(with(|f| f.season = Some("S".to_owned())))
            .await
            .len(),
        0
    );
    assert_eq!(listed(with(|f| f.older_than_s = Some(0))).await.len(), 4);
    assert_eq!(listed(with(|f| f.older_than_s = Some(3600))).await.len(), 0);
    let page = journal::list(&site, &Filter::default(), 1, 2)
        .await
        .unwrap();
    assert_eq!(ids(&page), ["failed-2", "retrying"]);
    for limit in [0, 1001] {
        let refused = journal::list(&site, &Filter::default(), 0, limit).await;
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidInput);
    }

    let shown = journal::show(&site, ANN, "pending").await.unwrap();
    assert_eq!(shown.payload["items"][0]["question_id"], question_id(4));
    assert_eq!(shown.rq_status.as_deref(), Some("queued"));
    let missing = journal::show(&site, ANN, "nobody").await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn what_is_retried_is_applied_by_the_next_sweep() {
    let test = stage().await;
    let site = test.site().await;
    let would = journal::retry(&site, &states(&[State::Failed]), true)
        .await
        .unwrap();
    assert!(would.dry_run);
    assert_eq!(ids(&would.entries), ["failed-1", "failed-2"]);
    test.exec(
        "UPDATE memora_srs_journal SET created_at = created_at - INTERVAL 1 DAY",
        (),
    )
    .await;
    assert_eq!(
        sweep(&site, "test", 100).await.unwrap(),
        1,
        "only the pending one"
    );
    let done = journal::retry(&site, &of("failed-2"), false).await.unwrap();
    assert_eq!(ids(&done.entries), ["failed-2"]);
    assert_eq!(sweep(&site, "test", 100).await.unwrap(), 1);
    let applied = journal::show(&site, ANN, "failed-2").await.unwrap().entry;
    assert_eq!((applied.state, applied.error), (State::Applied, None));
    // One that waits anyway is none the worse for it.
    let waiting = journal::retry(&site, &of("failed-1"), false).await.unwrap();
    let again = journal::retry(&site, &of("failed-1"), false).await.unwrap();
    assert_eq!((waiting.entries.len(), again.entries.len()), (1, 1));
    // What is done stays so.
    let again = journal::retry(&site, &of("failed-2"), false).await.unwrap();
    assert_eq!((again.entries.len(), again.skipped.len()), (0, 0));
    let refused = journal::retry(&site, &states(&[State::Applied]), false).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn what_is_dismissed_is_in_the_error_log_and_nowhere_else() {
    let test = stage().await;
    let site = test.site().await;
    crate::story::warm(&site).await;
    assert_eq!(read(&site).await.total_due, 5);
    let would = journal::dismiss(&site, &of("failed-1"), "root", true)
        .await
        .unwrap();
    assert_eq!(ids(&would.entries), ["failed-1"]);
    assert_eq!(read(&site).await.total_due, 5);

    let done = journal::dismiss(&site, &of("failed-1"), "root", false)
        .await
        .unwrap();

    assert_eq!(
        (ids(&done.entries), done.skipped.len()),
        (vec!["failed-1"], 0)
    );
    // The student sees the question as before it.
    assert_eq!(read(&site).await.total_due, 6);
    let log: String = test
        .query_one(
            "SELECT error FROM `tabError Log` WHERE method = 'SRSPersistenceService'",
            (),
        )
        .await
        .unwrap();
    assert!(
        log.starts_with("Dismissed by root: submission failed-1 of ann@example.com"),
        "{log}"
    );
    let payload: Value = serde_json::from_str(log.split_once('\n').unwrap().1).unwrap();
    assert_eq!(payload["items"][0]["question_id"], question_id(1));
    let audit = "SELECT COUNT(*) FROM memora_srs_audit \
                 WHERE result = 'dismissed' AND worker = 'root' AND `count` = 1";
    assert_eq!(count(&test, audit).await, 1);
    // Neither a sweep nor the student's own repetition brings it back.
    test.exec(
        "UPDATE memora_srs_journal SET created_at = created_at - INTERVAL 1 DAY, \
         next_try_at = NULL",
        (),
    )
    .await;
    sweep(&site, "test", 100).await.unwrap();
    let state = journal::show(&site, ANN, "failed-1")
        .await
        .unwrap()
        .entry
        .state;
    assert_eq!(state, State::Dismissed);
    assert!(
        try_submit(&site, "failed-1", answers(&[&question_id(1)]))
            .await
            .is_ok()
    );
    assert_eq!(
        journal::list(&site, &Filter::default(), 0, 10)
            .await
            .unwrap()
            .len(),
        0
    );
}

#[tokio::test]
async fn a_row_at_work_is_not_dismissed_and_one_that_cannot_be_read_is() {
    let test = stage().await;
    let site = test.site().await;
    let mut conn = site.db.conn().await.unwrap();
    let mut tx = conn
        .start_transaction(mysql_async::TxOpts::new())
        .await
        .unwrap();
    mysql_async::prelude::Queryable::exec_drop(
        &mut tx,
        "SELECT 1 FROM memora_srs_journal WHERE player = ? AND submission_id = 'pending' FOR UPDATE",
        (ANN,),
    )
    .await
    .unwrap();
    let busy = journal::dismiss(&site, &of("pending"), "root", false)
        .await
        .unwrap();
    assert_eq!((busy.entries.len(), busy.skipped.len()), (0, 1));
    assert_eq!(busy.skipped[0].2, "The row is being applied");
    tx.rollback().await.unwrap();
    test.exec(
        "INSERT INTO memora_srs_journal \
         (player, submission_id, attempt, fingerprint, season, payload, state, next_try_at) \
         VALUES (?, 'no id!', '', '', 'S', 'no json', 'failed', '9999-12-31')",
        (&b"\xff\xfe"[..],),
    )
    .await;
    let done = journal::dismiss(&site, &of("no id!"), "root", false)
        .await
        .unwrap();
    assert_eq!(done.entries.len(), 1);
}

#[tokio::test]
async fn the_status_of_a_job_through_its_life() {
    let test = site_with(5, 5).await;
    let site = test.site().await;
    let job = submit(&site, "s-1", &[&question_id(0)])
        .await
        .persistence_job_id;
    let status = async || job_status(&site, &job).await.unwrap();
    assert_eq!(status().await.status, "queued");
    let mut redis = test.queue.connection().await;
    let flush = async |redis: &mut redis::aio::MultiplexedConnection| {
        let () = redis::cmd("FLUSHDB").query_async(redis).await.unwrap();
    };
    let () = redis::cmd("HSET")
        .arg(format!("rq:job:{job}"))
        .arg("status")
        .arg("started")
        .query_async::<i64>(&mut redis)
        .await
        .map(|_| ())
        .unwrap();
    assert_eq!(status().await.status, "started");
    // The queue lost it; the journal has it.
    flush(&mut redis).await;
    assert_eq!(status().await.status, "queued");
    test.exec(
        "UPDATE memora_srs_journal SET state = 'failed', tries = 3, error = 'no room', \
         next_try_at = '9999-12-31'",
        (),
    )
    .await;
    let failed = status().await;
    assert_eq!(
        (failed.status, failed.tries, failed.error.as_deref()),
        ("failed", 3, Some("no room"))
    );
    journal::retry(&site, &of("s-1"), false).await.unwrap();
    apply_all(&test, &site).await;
    let applied = status().await;
    assert_eq!((applied.status, applied.error), ("applied", None));
    let dismissed = submit(&site, "s-2", &[&question_id(1)])
        .await
        .persistence_job_id;
    journal::dismiss(&site, &of("s-2"), "root", false)
        .await
        .unwrap();
    flush(&mut redis).await;
    let dismissed = job_status(&site, &dismissed).await.unwrap();
    assert_eq!(dismissed.status, "failed");
    for unknown in [
        "other.localhost||srs_persist_0123456789abcdef0123".to_owned(),
        job.replace("||srs_persist_", "||srs_persist_0"),
        job.replacen(&test.name, "other", 1),
        "nonsense".to_owned(),
        String::new(),
    ] {
        assert_eq!(
            job_status(&site, &unknown).await.unwrap().status,
            "unknown",
            "{unknown}"
        );
    }
}

#[tokio::test]
async fn the_status_of_a_job_of_another_shape_is_rqs_and_the_journals() {
    let test = site_with(5, 5).await;
    let site = test.site().await;
    let good = json!([{"question_id": question_id(0), "quality": 4}]);
    let bad = json!([{"question_id": question_id(0), "quality": 9}]);
    for (id, responses) in [("good", good), ("bad", bad)] {
        let call = json!({"responses": responses, "user": ANN, "season": SEASON});
        crate::worker::enqueue_as_before(&test, id, &call).await;
    }
    let job = |id: &str| format!("{}::{id}", test.name);
    assert_eq!(
        job_status(&site, &job("good")).await.unwrap().status,
        "queued"
    );
    let _worker = Worker::start(&test);
    for (id, expected) in [("good", "applied"), ("bad", "failed")] {
        wait::until("the job is done", || async {
            let status = job_status(&site, &job(id)).await.ok()?;
            (status.status == expected).then_some(())
        })
        .await;
    }
    let failed = job_status(&site, &job("bad")).await.unwrap();
    assert!(
        failed.error.unwrap().contains("quality"),
        "the text that RQ keeps"
    );
    assert!(UtcMicros::now().0 > 0);
}

#[tokio::test]
async fn the_command_lists_shows_retries_and_dismisses() {
    let test = stage().await;
    let run = async |args: &[&str]| {
        let start = Start::default().args(&args[1..]);
        programs::run_in(&test, &start, "journal", args[0]).await
    };
    let json = |text: String| -> Value { serde_json::from_str(&text).unwrap() };
    let listed = json(run(&["list", "--json", "--state", "failed"]).await.unwrap());
    assert_eq!(listed.as_array().unwrap().len(), 2);
    assert_eq!(listed[0]["state"], "failed");
    assert!(listed[0]["created_at"].as_str().unwrap().ends_with('Z'));
    let text = run(&["list"]).await.unwrap();
    assert!(
        text.contains("no room") && text.lines().count() == 5,
        "{text}"
    );
    let shown = run(&[
        "show",
        "--json",
        "--player",
        ANN,
        "--submission",
        "failed-1",
    ])
    .await;
    assert_eq!(json(shown.unwrap())["payload"]["items"][0]["quality"], 4);
    let missing = run(&["show", "--player", ANN, "--submission", "none"]).await;
    assert!(missing.unwrap_err().to_string().contains("exit code 1"));
    let would = run(&["retry", "--json", "--state", "failed", "--dry-run"]).await;
    assert_eq!(json(would.unwrap())["entries"].as_array().unwrap().len(), 2);
    let site = test.site().await;
    let failed = states(&[State::Failed]);
    assert_eq!(
        journal::count(&site, &failed).await.unwrap(),
        2,
        "nothing was changed"
    );
    run(&["retry", "--submission", "failed-1"]).await.unwrap();
    let text = run(&["dismiss", "--submission", "failed-2"]).await.unwrap();
    assert_eq!(text, "1 dismissed\n");
    assert_eq!(journal::count(&site, &failed).await.unwrap(), 0);
    let twice = run(&["dismiss", "--submission", "failed-2"]).await;
    assert!(
        twice
            .unwrap_err()
            .to_string()
            .contains("no such submission")
    );
    // Never everything by an oversight.
    let vague = run(&["dismiss"]).await.unwrap_err().to_string();
    assert!(vague.contains("say which"), "{vague}");
}

/// As Frappe 14 has its Error Log.
#[tokio::test]
async fn where_the_error_log_is_numbered_its_entries_get_numbers() {
    let test = stage().await;
    for sql in [
        "ALTER TABLE `tabError Log` MODIFY name bigint NOT NULL",
        "CREATE SEQUENCE error_log_id_seq START WITH 7",
    ] {
        test.exec(sql, ()).await;
    }
    let site = test.site().await;
    let done = journal::dismiss(&site, &of("failed-1"), "root", false).await;
    assert_eq!(ids(&done.unwrap().entries), ["failed-1"]);
    let name = "SELECT name FROM `tabError Log` WHERE method = 'SRSPersistenceService'";
    assert_eq!(test.query_one::<i64>(name, ()).await, Some(7));
}
