//! `X-Frappe-Request-Id`, where Frappe's monitor is on.

use memora_tests::{Role, Sidecar, TestSite};
use serde_json::json;

use crate::story::ANN;

const READ: &str = "/api/method/memora.api.reviews.get_review_session";
const SUBMIT: &str = "/api/method/memora.api.reviews.submit_review_session";
const ID: &str = "x-frappe-request-id";

#[tokio::test]
async fn answers_are_named_as_frappe_names_them() {
    let monitored = TestSite::builder().config("monitor", json!(1));
    let test = monitored.build().await;
    let ann = test.add_student(ANN).await;
    let sidecar = Sidecar::start(&test).await;
    let http = sidecar.http(&test);
    let given = http.get(READ).token(&ann).header(ID, "mine").send().await;
    assert_eq!(given.header(ID), "mine");
    let mut made = Vec::new();
    for _ in 0..2 {
        made.push(
            http.get(READ)
                .token(&ann)
                .send()
                .await
                .header(ID)
                .to_owned(),
        );
    }
    assert_eq!(made[0].len(), 36, "{made:?}");
    assert_ne!(made[0], made[1]);
    // Credentials are judged after the monitor begins, CSRF tokens and bodies before.
    let wrong = http.get(READ).header("Authorization", "token nobody:wrong");
    assert!(wrong.send().await.headers.contains_key(ID));
    let mut session = test.new_session(ANN, Role::Student);
    session.csrf_token = Some("right".to_owned());
    test.write_session(&session).await;
    let forged = http
        .post(SUBMIT)
        .header("Cookie", format!("sid={}", session.sid).as_str());
    let forged = forged.json(&json!({})).send().await;
    assert_eq!(forged.status, 400);
    assert!(!forged.headers.contains_key(ID));
}

#[tokio::test]
async fn without_a_monitor_answers_have_no_names() {
    let test = TestSite::new().await;
    let ann = test.add_student(ANN).await;
    let sidecar = Sidecar::start(&test).await;
    let http = sidecar.http(&test);
    let answer = http.get(READ).token(&ann).header(ID, "mine");
    assert!(!answer.send().await.headers.contains_key(ID));
}
