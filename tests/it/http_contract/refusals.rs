//! Who and what is refused, and what is left to Frappe, as captured.

use super::*;

#[tokio::test]
async fn guests_are_refused() {
    let stage = Stage::new().await;
    for name in [
        "http_notraceback_guest_403",
        "http_error_guest_get_no_accept",
        "http_error_guest_get_json_accept",
        "http_error_guest_post_json",
    ] {
        let captured = Captured::load(name);
        captured.check(&stage.replay(&captured).await);
    }
}

#[tokio::test]
async fn wrong_credentials_are_refused_and_forget_the_cookies() {
    let stage = Stage::new().await;
    for name in [
        "http_notraceback_wrong_secret_401",
        "http_error_wrong_api_secret",
        "http_error_unknown_api_key",
        "http_error_malformed_token",
        "http_error_unknown_scheme",
    ] {
        let captured = Captured::load(name);
        let answer = stage.replay(&captured).await;
        captured.check(&answer);
        // Frappe sets Guest's cookies first and deletes them in the same answer.
        let mut expected: Vec<_> = captured
            .cookies()
            .into_iter()
            .filter(|cookie| cookie[1] == "Expires=*" && cookie.len() == 3)
            .collect();
        let mut deleted = cookies_of(&answer);
        expected.sort();
        deleted.sort();
        assert_eq!(deleted, expected, "{name}");
    }
}

/// As seen on a Frappe 15 site: unlike wrong credentials, an address that is refused says
/// so, and leaves the login where it is for when the student is back.
#[tokio::test]
async fn a_refused_address_is_named_and_forgets_nothing() {
    let stage = Stage::new().await;
    let update = "UPDATE tabUser SET restrict_ip = '10.0.' WHERE name = ?";
    stage.site.exec(update, (&stage.student.name,)).await;
    let answer = stage
        .read()
        .cookie(&stage.student)
        .header("x-forwarded-for", "192.168.1.1")
        .send()
        .await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    let body = without_traces(answer.json());
    assert_eq!(body["exc_type"], "AuthenticationError");
    assert_eq!(
        body["_server_messages"][0]["message"],
        "Access not allowed from this IP Address"
    );
    assert!(cookies_of(&answer).is_empty());
}

#[tokio::test]
async fn oauth_tokens_are_for_frappe() {
    let stage = Stage::new().await;
    let captured = Captured::load("http_error_bad_auth_scheme");
    Stage::declined(&stage.replay(&captured).await, "bearer");
}

#[tokio::test]
async fn csrf_is_checked_for_sessions_that_have_a_token() {
    let stage = Stage::new().await;
    let sid = stage.desk_session("right").await;
    for name in [
        "http_error_csrf_sid_cookie_no_token",
        "http_error_csrf_wrong_token",
    ] {
        for target in [READ, SUBMIT] {
            let captured = Captured::load(name).at(target);
            let answer = captured
                .replay(&stage.http, &stage.student, Some(&sid))
                .await;
            captured.check(&answer);
            slides(&captured, &answer, &sid);
        }
    }
}

#[tokio::test]
async fn a_stale_session_is_for_frappe() {
    // Frappe deletes its row and writes a log entry, which is not for us to do.
    let stage = Stage::new().await;
    let captured = Captured::load("http_error_stale_sid_cookie").at(READ);
    let answer = stage.replay(&captured).await;
    assert_eq!(
        answer.status,
        StatusCode::MISDIRECTED_REQUEST,
        "{}",
        answer.text()
    );
}

#[tokio::test]
async fn malformed_json_fails_as_in_frappe() {
    let stage = Stage::new().await;
    for name in [
        "http_notraceback_malformed_json_500",
        "http_error_malformed_json_body",
    ] {
        for target in [READ, SUBMIT] {
            let captured = Captured::load(name).at(target);
            let answer = stage.replay(&captured).await;
            captured.check(&answer);
            assert_eq!(cookies_of(&answer), captured.cookies());
        }
    }
}

#[tokio::test]
async fn http_methods_beyond_the_whitelist_are_refused() {
    let stage = Stage::new().await;
    let head = Captured::load("http_error_head_403");
    let answer = stage.replay(&head).await;
    head.check_head(&answer);
    assert_eq!(answer.text(), "");

    let captured = Captured::load("http_error_http_method_not_allowed");
    for (method, target) in [
        (Method::PATCH, READ),
        (Method::PATCH, SUBMIT),
        (Method::GET, SUBMIT),
    ] {
        let answer = stage
            .http
            .request(method, target)
            .token(&stage.student)
            .send()
            .await;
        captured.check(&answer);
    }
    // Who may not call it at all hears that first.
    let guest = Captured::load("http_notraceback_guest_403");
    let answer = stage.http.request(Method::PATCH, READ).send().await;
    guest.check(&answer);
}

#[tokio::test]
async fn an_unknown_host_gets_frappes_page() {
    let stage = Stage::new().await;
    let captured = Captured::load("http_error_unknown_host").at(READ);
    let http = Http::new(stage.served.address, "nosite.localhost");
    let answer = captured.replay(&http, &stage.student, None).await;
    captured.check_head(&answer);
    assert_eq!(answer.text(), captured.answer_body);
}

#[tokio::test]
async fn preflights_are_for_frappe() {
    let stage = Stage::new().await;
    let captured = Captured::load("http_ok_options_preflight");
    Stage::declined(&stage.replay(&captured).await, "cors");
}

/// The one deliberate difference: Frappe fails on a missing argument with a `TypeError`
/// and status 500; both of our doors name what is missing.
#[tokio::test]
async fn a_missing_argument_is_named() {
    let stage = Stage::new().await;
    let captured = Captured::load("http_notraceback_missing_arg_500");
    let answer = stage.replay(&captured).await;
    assert_eq!(answer.status, StatusCode::EXPECTATION_FAILED);
    let body = without_traces(answer.json());
    assert_eq!(body["exc_type"], "ValidationError");
    assert_eq!(
        body["_server_messages"][0]["message"],
        "responses is missing"
    );
}

#[tokio::test]
async fn v2_errors_have_v2s_shape() {
    let stage = Stage::new().await;
    let captured = Captured::load("http_error_api_v2_bad_method");
    let expected: Value = serde_json::from_str(&captured.answer_body).unwrap();
    let answer = stage
        .http
        .get("/api/v2/method/memora.api.reviews.get_review_session?limit=0")
        .token(&stage.student)
        .send()
        .await;
    captured.check_head(&answer);
    let body = answer.json();
    let keys = |error: &Value| -> Vec<String> {
        let keys = error.as_object().unwrap().keys();
        keys.filter(|key| *key != "exception").cloned().collect()
    };
    assert_eq!(keys(&body["errors"][0]), keys(&expected["errors"][0]));
    assert_eq!(
        body,
        json!({"errors": [{
            "type": "ValidationError",
            "message": "limit must be an integer between 1 and 50",
            "title": "Message",
            "indicator": "red",
        }]})
    );
}
