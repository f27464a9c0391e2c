//! Submits fill the spool's disk while the journal takes nothing: what was acknowledged is
//! there in the end, what does not fit is refused, and with room again it goes on.

use http::StatusCode;
use memora_core::services::unjournaled;
use memora_tests::disk::SmallDisk;
use memora_tests::http::Answer;
use memora_tests::questions::question_id;
use memora_tests::{Due, Http, Sidecar, Student, TestSite, wait};
use serde_json::{Value, json};

use crate::story::{ANN, SEASON, answers, apply_all, count, read, row};

const READ: &str = "/api/method/memora.api.reviews.get_review_session";
const SUBMIT: &str = "/api/method/memora.api.reviews.submit_review_session";
/// Room for some dozens of submits.
const KILOBYTES: u32 = 24;
/// More than there is room for.
const QUESTIONS: usize = 200;

/// Answers question `n` under an id of that name.
async fn submit(http: &Http, student: &Student, n: usize) -> Answer {
    let body = json!({
        "responses": answers(&[&question_id(n)]),
        "submission_id": format!("s-{n}"),
    });
    http.post(SUBMIT).token(student).json(&body).send().await
}

/// Submits until the disk takes no more; how many were acknowledged.
async fn until_full(http: &Http, student: &Student, from: usize) -> usize {
    for n in from..QUESTIONS {
        let answer = submit(http, student, n).await;
        if answer.status == StatusCode::OK {
            continue;
        }
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.header("Retry-After"), "1");
        let said: Value = answer.json();
        assert!(said.to_string().contains(&format!("s-{n}")), "{said}");
        return n - from;
    }
    panic!("the disk is never full");
}

#[tokio::test]
async fn a_disk_that_fills_up_loses_nothing_and_is_used_again() {
    let Some(disk) = SmallDisk::mount(KILOBYTES) else {
        return;
    };
    let spool = disk.folder("spool");
    let test = TestSite::builder()
        .own_mariadb()
        .own_queue()
        .config("srs_spool_dir", json!(spool))
        .config("srs_state_budget_ms", json!(600))
        .config("srs_journal_budget_ms", json!(400))
        .build()
        .await;
    test.add_season(SEASON).await;
    let student = test.add_student(ANN).await;
    test.add_questions(ANN, SEASON, QUESTIONS, Due::All).await;
    let sidecar = Sidecar::start(&test).await;
    let http = sidecar.http(&test);
    wait::until("the schedule is cached", || async {
        http.get(READ).token(&student).send().await.message();
        let site = test.site().await;
        crate::story::is_complete(&site, None).await.then_some(())
    })
    .await;

    test.mariadb.pause();
    let taken = until_full(&http, &student, 0).await;
    assert!(taken > 5, "{taken}");
    // Full is full: nothing more is taken, and reads go on.
    for n in [taken, taken + 1] {
        let again = submit(&http, &student, n).await;
        assert_eq!(again.status, StatusCode::SERVICE_UNAVAILABLE);
    }
    let session = http.get(READ).token(&student).send().await.message();
    assert_eq!(session["total_due"], QUESTIONS - taken);
    // All that is left is the disk.
    sidecar.process.kill();
    let mut queue = test.queue.connection().await;
    let _: () = redis::cmd("FLUSHALL")
        .query_async(&mut queue)
        .await
        .unwrap();
    test.mariadb.resume();
    test.exec("DELETE FROM memora_srs_journal", ()).await;
    let site = test.site().await;
    unjournaled::look(&site).await.unwrap();
    apply_all(&test, &site).await;
    for n in 0..taken {
        assert!(row(&test, &question_id(n)).await.unwrap().1 > 0, "{n}");
    }
    let log = "SELECT COUNT(DISTINCT submission_id) FROM memora_srs_review_log";
    // One of those that were refused may have been written in full.
    let logged = count(&test, log).await as usize;
    assert!((taken..=taken + 2).contains(&logged), "{logged} of {taken}");
    assert_eq!(std::fs::read_dir(&spool).unwrap().count(), 0);

    // There is room again, and what was refused is taken.
    let sidecar = Sidecar::start(&test).await;
    let http = sidecar.http(&test);
    http.get(READ).token(&student).send().await.message();
    test.mariadb.pause();
    let refused = submit(&http, &student, taken).await.message();
    assert_eq!(refused["processed"], 1);
    let more = until_full(&http, &student, taken + 1).await;
    assert!(more > 5, "{more}");
    // The same process goes on with a disk that others have filled, and made room on.
    test.mariadb.resume();
    wait::until("the rows are there, and no file", || async {
        let rows = count(&test, "SELECT COUNT(*) FROM memora_srs_journal").await as usize;
        let files = std::fs::read_dir(&spool).unwrap().count();
        (rows > taken + more && files == 0).then_some(())
    })
    .await;
    disk.fill();
    test.mariadb.pause();
    let next = taken + more + 1;
    let answer = submit(&http, &student, next).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    disk.free();
    let answer = submit(&http, &student, next).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    test.mariadb.resume();
    wait::until("its row is there", || async {
        let sql =
            format!("SELECT COUNT(*) FROM memora_srs_journal WHERE submission_id = 's-{next}'");
        (count(&test, &sql).await == 1).then_some(())
    })
    .await;
    let site = test.site().await;
    apply_all(&test, &site).await;
    for n in 0..=next {
        assert!(row(&test, &question_id(n)).await.unwrap().1 > 0, "{n}");
    }
    assert_eq!(read(&site).await.total_due as usize, QUESTIONS - next - 1);
}
