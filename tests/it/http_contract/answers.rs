//! Good answers, and how their requests may come.

use super::*;

#[tokio::test]
async fn a_session_of_a_page_that_never_opened_needs_no_csrf_token() {
    let stage = Stage::with_questions().await;
    let captured = Captured::load("http_ok_student_post_sid_without_csrf_token").at(READ);
    let sid = stage.student.sid.clone();
    let answer = captured
        .replay(&stage.http, &stage.student, Some(&sid))
        .await;
    captured.check_head(&answer);
    slides(&captured, &answer, &sid);
}

#[tokio::test]
async fn csrf_tokens_come_as_header_or_argument() {
    let stage = Stage::with_questions().await;
    for name in [
        "http_post_sid_cookie_with_csrf",
        "http_post_sid_cookie_with_csrf_in_form",
    ] {
        let token = "af6fd561e33f2e4e606307e19a323b030791c16092f42b8667421ff7";
        let sid = stage.desk_session(token).await;
        let captured = Captured::load(name).at(READ);
        let answer = captured
            .replay(&stage.http, &stage.student, Some(&sid))
            .await;
        captured.check_head(&answer);
        slides(&captured, &answer, &sid);
    }
}

/// Of Frappe's cookies, the one that counts is there, like Frappe's.
#[track_caller]
#[tokio::test]
async fn the_sid_cookie_is_secure_behind_https() {
    let stage = Stage::new().await;
    // A refusal does: the cookie goes out with every answer to a session.
    for (scheme, secure) in [("https", true), ("http", false)] {
        let answer = stage
            .read()
            .cookie(&stage.student)
            .query(&[("limit", "0")])
            .header("x-forwarded-proto", scheme)
            .send()
            .await;
        assert_eq!(answer.header("set-cookie").contains("; Secure;"), secure);
    }
}

#[tokio::test]
async fn good_answers_have_frappes_envelope() {
    let stage = Stage::with_questions().await;
    for name in [
        "http_ok_get_json",
        "http_ok_get_gzip_accept",
        "http_ok_post_json",
        "http_ok_post_multipart",
        "http_ok_empty_body_json",
        "http_ok_json_array_body_ignored",
    ] {
        let captured = Captured::load(name);
        let answer = stage.replay(&captured).await;
        captured.check_head(&answer);
        // Tokens get no cookies.
        assert_eq!(answer.headers.get_all("set-cookie").iter().count(), 0);
        let keys: Vec<String> = answer.json().as_object().unwrap().keys().cloned().collect();
        assert_eq!(keys, ["message"], "{name}");
        let message = answer.message();
        assert_eq!(message["questions"].as_array().unwrap().len(), 20, "{name}");
        assert_eq!(message["total_due"], 25, "{name}");
        assert_eq!(message["is_degraded"], false, "{name}");
        assert_eq!(message["season"], "SEASON-2026", "{name}");
    }
    let v2 = stage
        .http
        .get("/api/v2/method/memora.api.reviews.get_review_session")
        .token(&stage.student)
        .send()
        .await;
    let captured = Captured::load("http_ok_api_v2_ping");
    captured.check_head(&v2);
    let keys: Vec<String> = v2.json().as_object().unwrap().keys().cloned().collect();
    assert_eq!(keys, ["data"]);
    let v1 = stage
        .http
        .get("/api/v1/method/memora.api.reviews.get_review_session")
        .token(&stage.student)
        .send()
        .await;
    assert_eq!(v1.message(), v2.json()["data"]);
}

#[tokio::test]
async fn answers_are_printed_as_python_prints() {
    let stage = Stage::new().await;
    stage.site.add_season("الموسم 🦀").await;
    let answer = stage
        .http
        .post(READ)
        .token(&stage.student)
        .json(&json!({"season": "الموسم 🦀"}))
        .send()
        .await;
    assert_eq!(
        answer.text(),
        "{\"message\":{\"questions\":[],\"total_due\":0,\"is_degraded\":false,\
         \"season\":\"\\u0627\\u0644\\u0645\\u0648\\u0633\\u0645 \\ud83e\\udd80\"}}"
    );
}

#[tokio::test]
async fn arguments_come_by_query_form_and_json() {
    let stage = Stage::with_questions().await;
    let read = || stage.http.post(READ).token(&stage.student);
    for answer in [
        read().query(&[("limit", "3")]).send().await,
        read().form(&[("limit", "3")]).send().await,
        read()
            .query(&[("limit", "9")])
            .form(&[("limit", "3")])
            .send()
            .await,
        read()
            .query(&[("limit", "9")])
            .json(&json!({"limit": 3}))
            .send()
            .await,
        read().json(&json!({"limit": "3"})).send().await,
    ] {
        assert_eq!(answer.message()["questions"].as_array().unwrap().len(), 3);
    }
    let all = read()
        .query(&[("limit", "9")])
        .json(&json!({"a": 1}))
        .send()
        .await;
    assert_eq!(all.message()["questions"].as_array().unwrap().len(), 20);

    let answers = r#"[{"question_id": "STAGE-000:0", "quality": 4}]"#;
    let submitted = stage
        .http
        .post(SUBMIT)
        .token(&stage.student)
        .form(&[("responses", answers)])
        .send()
        .await;
    assert_eq!(submitted.message()["processed"], 1);
}

#[tokio::test]
async fn what_only_frappe_can_judge_is_declined() {
    let stage = Stage::new().await;
    let json = || stage.http.post(READ).token(&stage.student);
    for (answer, reason) in [
        (json().query(&[("cmd", "logout")]).send().await, "cmd"),
        (
            json().query(&[("cmd", "x")]).json(&json!({})).send().await,
            "cmd",
        ),
        (json().form(&[("cmd", "logout")]).send().await, "cmd"),
        (json().json(&json!({"cmd": "logout"})).send().await, "cmd"),
        (
            json().json(&json!({"sid": "x"})).send().await,
            "sid-argument",
        ),
        (json().query(&[("sid", "x")]).send().await, "sid-argument"),
        (
            json().query(&[("_type", "x")]).send().await,
            "response-type",
        ),
        (
            json().query(&[("_lang", "ar")]).send().await,
            "language-argument",
        ),
        (
            json().json(&json!({"_lang": "ar"})).send().await,
            "language-argument",
        ),
        (json().header("accept", "text/html").send().await, "html"),
        (
            json().header("origin", "https://evil.test").send().await,
            "cors",
        ),
        (
            json().header("host", "x").header("host", "y").send().await,
            "repeated-header",
        ),
        (
            json()
                .header("content-type", "application/json")
                .body(r#"{"a": "\ud800"}"#)
                .send()
                .await,
            "json",
        ),
        (stage.http.get("/api/method/ping").send().await, "path"),
        (stage.http.get("/").send().await, "path"),
        (
            stage
                .http
                .get("/api/method/memora.api.reviews.get_review_session/")
                .send()
                .await,
            "path",
        ),
    ] {
        Stage::declined(&answer, reason);
    }
}

#[tokio::test]
async fn a_site_can_be_left_to_frappe_or_be_in_maintenance() {
    let stage = Stage::new().await;
    stage.site.set_config("maintenance_mode", json!(1));
    let served = Served::start(&stage.site).await;
    let answer = served
        .http(&stage.site)
        .get(READ)
        .token(&stage.student)
        .send()
        .await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.json(), json!({"exc_type": "SessionStopped"}));
    assert_eq!(answer.header("x-memora-decline"), "");

    stage.site.set_config("srs_sidecar", json!(0));
    let served = Served::start(&stage.site).await;
    let answer = served
        .http(&stage.site)
        .get(READ)
        .token(&stage.student)
        .send()
        .await;
    Stage::declined(&answer, "srs_sidecar");
}

#[tokio::test]
async fn the_site_header_wins_over_the_host() {
    let stage = Stage::new().await;
    let elsewhere = Http::new(stage.served.address, "elsewhere.test:8000");
    let answer = elsewhere
        .get(READ)
        .header("x-frappe-site-name", &stage.site.name)
        .token(&stage.student)
        .query(&[("limit", "0")])
        .send()
        .await;
    assert_eq!(
        answer.status,
        StatusCode::EXPECTATION_FAILED,
        "{}",
        answer.text()
    );
    let named = Http::new(stage.served.address, &format!("{}:8000", stage.site.name));
    let answer = named.get(READ).send().await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
}
