//! Users renamed, merged and deleted: what Frappe does, then what we do.

use std::sync::Arc;

use memora_core::ErrorKind;
use memora_core::batch::{Door, Submission};
use memora_core::services::players::{self, Moved};
use memora_core::services::read::{ReviewRequest, ReviewSession, get_review_session};
use memora_core::services::submit::{SubmitRequest, submit_review_session};
use memora_core::services::{Site, apply, fill};
use memora_core::store::apply::Work;
use memora_core::store::journal;
use memora_core::types::{Player, UtcMicros};
use memora_tests::questions::question_id;
use memora_tests::{Due, TestSite, wait};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, TxOpts};
use serde_json::json;

use crate::story::{ANN, SEASON, ann, answers, apply_all, args, count, season, site_with};

const BEA: &str = "bea@example.com";

fn bea() -> Player {
    Player::stored(BEA)
}

/// What Frappe does when it renames a User, in its own transaction.
async fn frappe_renames(conn: &mut Conn, old: &str, new: &str) -> mysql_async::Result<()> {
    conn.exec_drop("UPDATE tabUser SET name = ? WHERE name = ?", (new, old))
        .await?;
    link_fields(conn, old, new).await
}

/// What Frappe does when it merges a User into another.
async fn frappe_merges(conn: &mut Conn, old: &str, new: &str) -> mysql_async::Result<()> {
    link_fields(conn, old, new).await?;
    conn.exec_drop("DELETE FROM tabUser WHERE name = ?", (old,))
        .await
}

async fn link_fields(conn: &mut Conn, old: &str, new: &str) -> mysql_async::Result<()> {
    for table in ["tabPlayer Memory Tracker", "tabArchived Memory Tracker"] {
        let sql = format!("UPDATE `{table}` SET player = ? WHERE player = ?");
        conn.exec_drop(sql, (new, old)).await?;
    }
    Ok(())
}

/// The statements of the `before_rename` hook, as the hook runs them.
async fn before_rename(conn: &mut Conn, old: &Player, new: &Player) {
    for statement in players::merge_rows(old, new) {
        conn.exec_drop(statement.sql.replace("%s", "?"), statement.params)
            .await
            .unwrap();
    }
}

async fn begin(conn: &mut Conn) {
    // As Frappe's connections are.
    conn.query_drop("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        .await
        .unwrap();
    conn.query_drop("START TRANSACTION").await.unwrap();
    conn.query_drop("SELECT COUNT(*) FROM `tabPlayer Memory Tracker`")
        .await
        .unwrap();
}

async fn read(site: &Arc<Site>, player: &Player) -> ReviewSession {
    let request = ReviewRequest::from_args(&args(json!({"limit": 50}))).unwrap();
    get_review_session(site, player, &request, UtcMicros::now())
        .await
        .unwrap()
}

async fn submit(site: &Arc<Site>, player: &Player, submission: &str, ids: &[&str]) {
    let body = json!({"responses": answers(ids), "submission_id": submission});
    let request = SubmitRequest::from_args(&args(body), None, None).unwrap();
    submit_review_session(site, player, &request, Door::Http, UtcMicros::now())
        .await
        .unwrap();
}

async fn warm(site: &Site, player: &Player) {
    wait::until("the schedule is filled", || async {
        let subjects = ["Physics".to_owned()];
        let filled = fill::run(site, player, &season(), &subjects).await.unwrap();
        (filled == fill::Filled::Yes).then_some(())
    })
    .await;
}

/// What a job in the queue carries.
async fn job(site: &Site, player: &Player, submission: &str) -> Submission {
    let key = memora_core::batch::SubmissionKey {
        player: player.clone(),
        submission: memora_core::types::SubmissionId::parse("id", submission).unwrap(),
    };
    journal::find(&site.db, &key).await.unwrap().unwrap()
}

/// A worker takes that job.
async fn run_job(site: &Site, job: &Submission) {
    let work = Work {
        key: job.key.clone(),
        job_id: Some("job".to_owned()),
        submission: Some(job.clone()),
    };
    apply::apply(site, &[work], "test").await.remove(0).unwrap();
}

async fn of(test: &TestSite, table: &str, player: &str) -> u64 {
    let sql = format!("SELECT COUNT(*) FROM `{table}` WHERE player = CAST(? AS BINARY)");
    test.query_one(&sql, (player,)).await.unwrap()
}

async fn unapplied(test: &TestSite, player: &str) -> u64 {
    let sql = "SELECT COUNT(*) FROM memora_srs_journal WHERE player = ? AND applied_at IS NULL";
    test.query_one(sql, (player,)).await.unwrap()
}

async fn keys(test: &TestSite, player: &str) -> Vec<String> {
    let mut redis = test.cache.connection().await;
    let mut keys: Vec<String> = redis::cmd("KEYS")
        .arg(format!("*srs:{player}:*"))
        .query_async(&mut redis)
        .await
        .unwrap();
    keys.sort();
    keys
}

/// Version of one question's row.
async fn version(test: &TestSite, player: &str, question: &str) -> Option<i64> {
    test.query_one(
        "SELECT review_version FROM `tabPlayer Memory Tracker` \
         WHERE player = ? AND question_id = ?",
        (player, question),
    )
    .await
}

#[tokio::test]
async fn everything_follows_a_renamed_student() {
    let test = site_with(20, 20).await;
    let site = test.site().await;
    submit(&site, &ann(), "applied", &[&question_id(0)]).await;
    apply_all(&test, &site).await;
    submit(&site, &ann(), "waiting", &[&question_id(1), "NEW:1"]).await;
    let (applied, waiting) = (
        job(&site, &ann(), "applied").await,
        job(&site, &ann(), "waiting").await,
    );
    warm(&site, &ann()).await;
    assert!(keys(&test, ANN).await.len() > 2);
    // Somebody looked for the new name before.
    warm(&site, &bea()).await;

    let mut frappe = test.db.get_conn().await.unwrap();
    frappe_renames(&mut frappe, ANN, BEA).await.unwrap();
    let moved = players::rename(&site, &ann(), &bea()).await.unwrap();
    let expected = Moved {
        tracker_rows: 0,
        archived_rows: 0,
        journal_rows: 2,
        audit_rows: 1,
        log_rows: 1,
        cache_keys: 2,
    };
    assert_eq!(moved, expected);
    assert_eq!(keys(&test, ANN).await, [""; 0]);
    // What is not applied yet shows under the new name, before and after it is applied.
    assert_eq!(read(&site, &bea()).await.total_due, 18);
    assert_eq!(read(&site, &ann()).await.total_due, 0);

    // Jobs of the old name, the one not run yet and the one run again.
    for job in [&applied, &waiting] {
        run_job(&site, job).await;
    }
    assert_eq!(of(&test, "tabPlayer Memory Tracker", ANN).await, 0);
    assert_eq!(unapplied(&test, BEA).await, 1);
    assert_eq!(apply_all(&test, &site).await, 1);
    assert_eq!(of(&test, "tabPlayer Memory Tracker", BEA).await, 21);
    assert_eq!(of(&test, "memora_srs_review_log", BEA).await, 3);
    assert_eq!(of(&test, "memora_srs_audit", BEA).await, 2);
    assert_eq!(read(&site, &bea()).await.total_due, 18);
    // The same answers sent once more under the new name are the same submit.
    submit(&site, &bea(), "waiting", &[&question_id(1), "NEW:1"]).await;
    assert_eq!(of(&test, "memora_srs_journal", BEA).await, 2);

    warm(&site, &bea()).await;
    let again = players::rename(&site, &ann(), &bea()).await.unwrap();
    let only_keys = Moved {
        cache_keys: again.cache_keys,
        ..Moved::default()
    };
    assert_eq!(again, only_keys);
}

#[tokio::test]
async fn nothing_moves_before_the_commit_nor_after_a_rollback() {
    let test = site_with(5, 5).await;
    let site = test.site().await;
    submit(&site, &ann(), "s-1", &[&question_id(0)]).await;
    warm(&site, &ann()).await;
    let mut frappe = test.db.get_conn().await.unwrap();
    begin(&mut frappe).await;
    frappe_renames(&mut frappe, ANN, BEA).await.unwrap();
    for step in ["open", "rolled back"] {
        let refused = players::rename(&site, &ann(), &bea()).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Conflict, "{step}");
        let refused = players::remove(&site, &ann()).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Conflict, "{step}");
        frappe.query_drop("ROLLBACK").await.unwrap();
    }
    assert_eq!(unapplied(&test, ANN).await, 1);
    assert_eq!(read(&site, &ann()).await.total_due, 4);
    assert_eq!(apply_all(&test, &site).await, 1);

    test.exec("DELETE FROM tabUser WHERE name = ?", (ANN,))
        .await;
    let nobody = players::rename(&site, &ann(), &bea()).await.unwrap_err();
    assert_eq!(nobody.kind(), ErrorKind::NotFound);
}

/// Ann and Bea with two questions in common, of each of which another one has the newer
/// state, and one more each; submits of the same id, applied and not.
async fn two_students() -> (TestSite, Arc<Site>) {
    let test = site_with(3, 3).await;
    test.add_student(BEA).await;
    test.add_questions(BEA, SEASON, 2, Due::All).await;
    let site = test.site().await;
    submit(&site, &ann(), "same", &[&question_id(0)]).await;
    submit(&site, &bea(), "same", &[&question_id(0)]).await;
    submit(&site, &bea(), "early", &[&question_id(1)]).await;
    submit(&site, &ann(), "late", &[&question_id(1), "ANN:1"]).await;
    submit(&site, &bea(), "own", &["BEA:1"]).await;
    assert_eq!(apply_all(&test, &site).await, 5);
    submit(&site, &ann(), "waiting", &[&question_id(2)]).await;
    submit(&site, &bea(), "waiting", &["BEA:2"]).await;
    for player in [ANN, BEA] {
        test.exec(
            "INSERT INTO `tabArchived Memory Tracker` (name, player, season, question_id, \
             review_version, stability) VALUES (?, ?, 'SEASON-DEFAULT', 'OLD:1', ?, 1)",
            (player, player, i64::from(player == ANN)),
        )
        .await;
    }
    (test, site)
}

#[tokio::test]
async fn two_students_become_one_and_the_newer_states_stay() {
    let (test, site) = two_students().await;
    let newer = [
        version(&test, BEA, &question_id(0)).await,
        version(&test, ANN, &question_id(1)).await,
    ];
    let (job_of_ann, job_of_bea) = (
        job(&site, &ann(), "waiting").await,
        job(&site, &bea(), "waiting").await,
    );
    warm(&site, &ann()).await;
    warm(&site, &bea()).await;

    let mut frappe = test.db.get_conn().await.unwrap();
    begin(&mut frappe).await;
    let refused = frappe_merges(&mut frappe, ANN, BEA).await.unwrap_err();
    assert!(refused.to_string().contains("1062"), "{refused}");
    frappe.query_drop("ROLLBACK").await.unwrap();

    begin(&mut frappe).await;
    before_rename(&mut frappe, &ann(), &bea()).await;
    frappe_merges(&mut frappe, ANN, BEA).await.unwrap();
    frappe.query_drop("COMMIT").await.unwrap();
    let moved = players::rename(&site, &ann(), &bea()).await.unwrap();
    let expected = Moved {
        tracker_rows: 0,
        archived_rows: 0,
        journal_rows: 3,
        audit_rows: 2,
        log_rows: 3,
        cache_keys: 2,
    };
    assert_eq!(moved, expected);
    assert_eq!(of(&test, "tabPlayer Memory Tracker", ANN).await, 0);
    assert_eq!(of(&test, "tabPlayer Memory Tracker", BEA).await, 5);
    for (i, newer) in newer.into_iter().enumerate() {
        assert_eq!(version(&test, BEA, &question_id(i)).await, newer);
    }
    let archived: Vec<(String, i64)> = test
        .query(
            "SELECT player, review_version FROM `tabArchived Memory Tracker`",
            (),
        )
        .await;
    assert_eq!(archived, [(BEA.to_owned(), 1)]);

    // Nobody's submit is lost for having another's id.
    assert_eq!(unapplied(&test, BEA).await, 2);
    for job in [&job_of_ann, &job_of_bea] {
        run_job(&site, job).await;
    }
    assert_eq!(apply_all(&test, &site).await, 1);
    assert_eq!(of(&test, "tabPlayer Memory Tracker", ANN).await, 0);
    assert_eq!(of(&test, "tabPlayer Memory Tracker", BEA).await, 6);
    assert_eq!(of(&test, "memora_srs_journal", BEA).await, 7);
    assert_eq!(of(&test, "memora_srs_review_log", BEA).await, 8);
    assert_eq!(of(&test, "memora_srs_audit", BEA).await, 7);
    assert!(version(&test, BEA, &question_id(2)).await > Some(0));
    assert_eq!(read(&site, &bea()).await.total_due, 0);
}

#[tokio::test]
async fn a_merge_rolled_back_has_changed_nothing() {
    let (test, site) = two_students().await;
    let rows = "SELECT CONCAT_WS('|', player, season, question_id, name, review_version, \
                stability, next_review_date, modified) FROM `tabPlayer Memory Tracker` \
                ORDER BY name";
    type Row = String;
    let before: Vec<Row> = test.query(rows, ()).await;
    let mut frappe = test.db.get_conn().await.unwrap();
    begin(&mut frappe).await;
    before_rename(&mut frappe, &ann(), &bea()).await;
    frappe_merges(&mut frappe, ANN, BEA).await.unwrap();
    frappe.query_drop("ROLLBACK").await.unwrap();
    assert_eq!(test.query::<Row>(rows, ()).await, before);
    let refused = players::rename(&site, &ann(), &bea()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    assert_eq!(unapplied(&test, ANN).await, 1);
    // A later deletion is one.
    test.exec("DELETE FROM tabUser WHERE name = ?", (ANN,))
        .await;
    players::remove(&site, &ann()).await.unwrap();
    assert_eq!(of(&test, "memora_srs_journal", BEA).await, 4);
}

#[tokio::test]
async fn the_deletion_that_ends_a_merge_removes_nothing() {
    let (test, site) = two_students().await;
    let mut frappe = test.db.get_conn().await.unwrap();
    begin(&mut frappe).await;
    before_rename(&mut frappe, &ann(), &bea()).await;
    frappe_merges(&mut frappe, ANN, BEA).await.unwrap();
    frappe.query_drop("COMMIT").await.unwrap();
    // The hook of the deletion is first, and nobody knows of the merge but the note.
    let removed = players::remove(&site, &ann()).await.unwrap();
    assert_eq!(removed.journal_rows, 3);
    assert_eq!(unapplied(&test, BEA).await, 2);
    assert_eq!(apply_all(&test, &site).await, 2);
    assert_eq!(of(&test, "memora_srs_review_log", BEA).await, 8);

    // A day later that name is one like any other.
    test.exec("INSERT INTO tabUser (name) VALUES (?)", (ANN,))
        .await;
    submit(&site, &ann(), "new", &["ANN:9"]).await;
    test.exec("DELETE FROM tabUser WHERE name = ?", (ANN,))
        .await;
    test.exec(
        "UPDATE memora_srs_state SET modified_at = modified_at - INTERVAL 1 DAY",
        (),
    )
    .await;
    players::remove(&site, &ann()).await.unwrap();
    assert_eq!(unapplied(&test, BEA).await, 0);
}

#[tokio::test]
async fn what_a_deleted_student_left_waits_for_nobody_and_comes_back_never() {
    let test = site_with(5, 5).await;
    let site = test.site().await;
    submit(&site, &ann(), "applied", &[&question_id(0)]).await;
    apply_all(&test, &site).await;
    submit(&site, &ann(), "waiting", &[&question_id(1)]).await;
    let jobs = [
        job(&site, &ann(), "applied").await,
        job(&site, &ann(), "waiting").await,
    ];
    warm(&site, &ann()).await;
    test.add_student(BEA).await;
    submit(&site, &bea(), "other", &["BEA:1"]).await;
    test.exec("DELETE FROM tabUser WHERE name = ?", (ANN,))
        .await;
    test.exec(
        "DELETE FROM `tabPlayer Memory Tracker` WHERE player = ?",
        (ANN,),
    )
    .await;

    let removed = players::remove(&site, &ann()).await.unwrap();
    assert_eq!((removed.journal_rows, removed.cache_keys), (2, 1));
    assert_eq!(keys(&test, ANN).await, [""; 0]);
    let answers: u64 = count(
        &test,
        "SELECT COUNT(*) FROM memora_srs_journal WHERE payload LIKE '%STAGE%'",
    )
    .await;
    assert_eq!(answers, 0);
    for job in &jobs {
        run_job(&site, job).await;
    }
    assert_eq!(of(&test, "tabPlayer Memory Tracker", ANN).await, 0);
    assert_eq!(read(&site, &ann()).await.total_due, 0);
    assert_eq!(apply_all(&test, &site).await, 1, "the other student's");
    assert_eq!(of(&test, "tabPlayer Memory Tracker", BEA).await, 1);
    let again = players::remove(&site, &ann()).await.unwrap();
    assert_eq!(again.journal_rows, 0);
}

#[tokio::test]
async fn rows_written_while_frappe_renamed_follow_by_the_next_call() {
    let test = site_with(3, 3).await;
    let site = test.site().await;
    let mut frappe = test.db.get_conn().await.unwrap();
    frappe_renames(&mut frappe, ANN, BEA).await.unwrap();
    players::rename(&site, &ann(), &bea()).await.unwrap();
    // A session of the old name is believed for some more seconds, and a worker is fast.
    submit(&site, &ann(), "late", &[&question_id(0), "ANN:1"]).await;
    apply_all(&test, &site).await;
    submit(&site, &ann(), "later", &["ANN:2"]).await;
    let newest = version(&test, ANN, &question_id(0)).await;
    let moved = players::rename(&site, &ann(), &bea()).await.unwrap();
    assert_eq!((moved.tracker_rows, moved.journal_rows), (2, 2));
    apply_all(&test, &site).await;
    assert_eq!(of(&test, "tabPlayer Memory Tracker", ANN).await, 0);
    assert_eq!(of(&test, "tabPlayer Memory Tracker", BEA).await, 5);
    assert_eq!(version(&test, BEA, &question_id(0)).await, newest);
    let owners: Vec<String> = test
        .query(
            "SELECT DISTINCT owner FROM `tabPlayer Memory Tracker` \
             WHERE question_id IN ('ANN:1', 'ANN:2')",
            (),
        )
        .await;
    assert_eq!(owners, [BEA]);
}

#[tokio::test]
async fn a_worker_in_the_middle_of_a_submit_is_waited_for() {
    let test = site_with(3, 3).await;
    let site = test.site().await;
    submit(&site, &ann(), "s-1", &[&question_id(0), "ANN:1"]).await;
    let job = job(&site, &ann(), "s-1").await;
    let mut frappe = test.db.get_conn().await.unwrap();
    frappe_renames(&mut frappe, ANN, BEA).await.unwrap();
    let point = memora_core::failpoint::pause(&test.name, "apply_upserted");
    let worker = tokio::spawn({
        let site = site.clone();
        async move { run_job(&site, &job).await }
    });
    point.reached().await;
    // Longer than the rows may be in use.
    let refused = players::rename(&site, &ann(), &bea()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    let renaming = tokio::spawn({
        let site = site.clone();
        async move { players::rename(&site, &ann(), &bea()).await }
    });
    wait::until("the renaming waits for the worker", async || {
        let sql = "SELECT 1 FROM information_schema.PROCESSLIST WHERE DB = ? AND TIME_MS > 300 \
                   AND COMMAND <> 'Sleep' AND INFO LIKE '%memora_srs_journal%'";
        let mut root = test.mariadb.root().await.unwrap();
        let waits: Option<u8> = root.exec_first(sql, (&test.db_name,)).await.unwrap();
        waits.map(|_| ())
    })
    .await;
    point.release();
    drop(point);
    worker.await.unwrap();
    let moved = renaming.await.unwrap().unwrap();
    assert_eq!((moved.tracker_rows, moved.journal_rows), (2, 1));
    assert_eq!(of(&test, "tabPlayer Memory Tracker", ANN).await, 0);
    assert_eq!(of(&test, "tabPlayer Memory Tracker", BEA).await, 4);
    assert_eq!(apply_all(&test, &site).await, 0);
    assert_eq!(of(&test, "memora_srs_review_log", BEA).await, 2);
}

#[tokio::test]
async fn a_long_history_moves_in_pieces() {
    let test = site_with(1200, 0).await;
    let site = test.site().await;
    let journal = "INSERT INTO memora_srs_journal (player, submission_id, attempt, fingerprint, \
                   season, payload, state, applied_at) \
                   SELECT ?, CONCAT('j-', seq), '', '', ?, '{}', 'applied', UTC_TIMESTAMP(6) \
                   FROM seq_1_to_130";
    test.exec(journal, (ANN, SEASON)).await;
    let log = "INSERT INTO memora_srs_review_log (player, submission_id, seq, created_at, season, \
               question, quality, stability_after, due_after, last_review_after, \
               review_version, door) \
               SELECT ?, CONCAT(IF(a.seq > 60, 'j-', 'l-'), a.seq), b.seq, UTC_TIMESTAMP(6), ?, \
               'q', 4, 1, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6), 1, 'http' \
               FROM seq_1_to_120 AS a, seq_0_to_2 AS b";
    test.exec(log, (ANN, SEASON)).await;
    // The new name has used some of the ids, in another life.
    test.exec(log, (BEA, SEASON)).await;
    let audit = "INSERT INTO memora_srs_audit (season, player, submission_id, door, `count`, \
                 result) SELECT ?, ?, CONCAT('a-', seq), 'http', 1, 'applied' FROM seq_1_to_1100";
    test.exec(audit, (SEASON, ANN)).await;
    // Frappe has renamed the User, but a field that is no Link.
    test.exec("UPDATE tabUser SET name = ? WHERE name = ?", (BEA, ANN))
        .await;
    let moved = players::rename(&site, &ann(), &bea()).await.unwrap();
    let expected = Moved {
        tracker_rows: 1200,
        archived_rows: 0,
        journal_rows: 130,
        audit_rows: 1100,
        log_rows: 360,
        cache_keys: 0,
    };
    assert_eq!(moved, expected);
    for (table, rows) in [
        ("tabPlayer Memory Tracker", 1200),
        ("memora_srs_journal", 130),
        ("memora_srs_review_log", 720),
        ("memora_srs_audit", 1100),
    ] {
        assert_eq!(of(&test, table, BEA).await, rows, "{table}");
    }
    assert_eq!(of(&test, "memora_srs_review_log", ANN).await, 0);
    assert_eq!(of(&test, "memora_srs_journal", ANN).await, 130);

    // And back again: nothing is in the way of its own tombstones.
    test.exec("UPDATE tabUser SET name = ? WHERE name = ?", (ANN, BEA))
        .await;
    let back = players::rename(&site, &bea(), &ann()).await.unwrap();
    assert_eq!((back.journal_rows, back.log_rows), (130, 720));
    let again = count(
        &test,
        "SELECT COUNT(*) FROM memora_srs_journal WHERE player = 'ann@example.com' \
         AND state = 'applied'",
    )
    .await;
    assert_eq!(again, 130);
}

#[tokio::test]
async fn a_name_that_changes_its_case_only_keeps_its_rows() {
    let test = site_with(3, 3).await;
    let site = test.site().await;
    submit(&site, &ann(), "s-1", &[&question_id(0)]).await;
    let upper = Player::stored("Ann@example.com");
    let mut frappe = test.db.get_conn().await.unwrap();
    frappe_renames(&mut frappe, ANN, upper.as_str())
        .await
        .unwrap();
    let moved = players::rename(&site, &ann(), &upper).await.unwrap();
    assert_eq!((moved.tracker_rows, moved.journal_rows), (0, 1));
    apply_all(&test, &site).await;
    let players: Vec<(String, u64)> = test
        .query(
            "SELECT CAST(player AS BINARY) AS p, COUNT(*) FROM `tabPlayer Memory Tracker` \
             GROUP BY p",
            (),
        )
        .await;
    assert_eq!(players, [("Ann@example.com".to_owned(), 3)]);
    assert_eq!(read(&site, &upper).await.total_due, 2);
}

#[tokio::test]
async fn an_edit_in_desk_shows_after_the_schedule_is_dropped() {
    let test = site_with(3, 3).await;
    let site = test.site().await;
    warm(&site, &ann()).await;
    test.exec(
        "UPDATE `tabPlayer Memory Tracker` SET next_review_date = '2199-01-01' LIMIT 1",
        (),
    )
    .await;
    assert_eq!(read(&site, &ann()).await.total_due, 3);
    let dropped = players::invalidate(&site, &ann(), &season()).await.unwrap();
    assert!(dropped);
    assert_eq!(read(&site, &ann()).await.total_due, 2);
}

#[tokio::test]
async fn rows_locked_by_others_are_an_error_and_not_a_long_wait() {
    let test = site_with(3, 3).await;
    let site = test.site().await;
    submit(&site, &ann(), "s-1", &[&question_id(0)]).await;
    test.exec("UPDATE tabUser SET name = ? WHERE name = ?", (BEA, ANN))
        .await;
    let mut other = test.db.get_conn().await.unwrap();
    let mut tx = other.start_transaction(TxOpts::new()).await.unwrap();
    tx.query_drop("SELECT * FROM `tabPlayer Memory Tracker` FOR UPDATE")
        .await
        .unwrap();
    let started = tokio::time::Instant::now();
    let refused = players::rename(&site, &ann(), &bea()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    assert!(refused.retry_after().is_some());
    assert!(started.elapsed() < std::time::Duration::from_secs(15));
    tx.rollback().await.unwrap();
    // What was done is done; the rest follows.
    let moved = players::rename(&site, &ann(), &bea()).await.unwrap();
    assert_eq!((moved.tracker_rows, moved.journal_rows), (3, 0));
    apply_all(&test, &site).await;
    assert_eq!(of(&test, "tabPlayer Memory Tracker", BEA).await, 3);
}
