//! Logins that are forged, replayed or borrowed.

use std::fs;

use http::{Method, StatusCode};
use memora_tests::{Role, TestSite};
use serde_json::json;

use crate::bad_input::{READ, SUBMIT, Stage};
use crate::served::Served;

/// A cookie that is not exactly a session's id is nobody's: for Frappe to judge, or a guest's.
#[tokio::test]
async fn a_tampered_session_id_is_nobodys() {
    let stage = Stage::new().await;
    let sid = &stage.student.sid;
    let answer = stage.http.get(READ).cookie(&stage.student).send().await;
    assert_eq!(answer.message()["total_due"], 5);
    let flipped = if sid.ends_with('0') { "1" } else { "0" };
    let flipped = format!("{}{flipped}", &sid[..sid.len() - 1]);
    for cookie in [
        format!("sid={}", &sid[..sid.len() - 1]),
        format!("sid={sid}0"),
        format!("sid={flipped}"),
        format!("sid={}", sid.to_uppercase()),
        format!("sid=%20{sid}"),
        format!("sid={sid}%20"),
        format!("sid={sid}%00"),
        format!("sid={sid}%0a"),
        format!("sid=*; x={sid}"),
        format!("sid={}*", &sid[..8]),
        format!("sid=%25; x={sid}"),
        format!("SID={sid}"),
        format!("sid=nobody; sid={sid}"),
        "sid=Administrator".to_owned(),
        format!("sid={}", stage.student.name),
        "sid=' OR '1'='1".to_owned(),
        format!(
            "user_id={}; full_name=x; system_user=yes",
            stage.student.name
        ),
    ] {
        let answer = stage.http.get(READ).header("cookie", &cookie).send().await;
        let nobodys = [StatusCode::MISDIRECTED_REQUEST, StatusCode::FORBIDDEN];
        assert!(
            nobodys.contains(&answer.status),
            "{cookie}: {}",
            answer.text()
        );
    }
    stage.unharmed().await;
}

/// Two sites of one bench, with one Redis: a login counts where it was made.
#[tokio::test]
async fn a_login_of_another_site_is_nobodys() {
    let stage = Stage::new().await;
    let other = TestSite::new().await;
    let namesake = other.add_student(&stage.student.name).await;
    let (from, to) = (&other.sites_path, &stage.site.sites_path);
    fs::create_dir(to.join(&other.name)).unwrap();
    let config = [&other.name, "site_config.json"];
    let path = |sites: &std::path::Path| config.iter().fold(sites.to_owned(), |p, n| p.join(n));
    fs::copy(path(from), path(to)).unwrap();
    let served = Served::start(&stage.site).await;
    let here = served.http(&stage.site);
    let there = served.http(&other);

    let answer = there.get(READ).token(&namesake).send().await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    for (http, stranger) in [(&there, &stage.student), (&here, &namesake)] {
        let answer = http.get(READ).token(stranger).send().await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        let answer = http.get(READ).cookie(stranger).send().await;
        assert_eq!(answer.header("x-memora-decline"), "session-unknown");
    }
    // Two names for one request: nobody guesses which.
    let answer = here.get(READ).token(&stage.student);
    let answer = answer.header("x-frappe-site-name", &stage.site.name);
    let answer = answer.header("x-frappe-site-name", &other.name);
    assert_eq!(
        answer.send().await.header("x-memora-decline"),
        "repeated-header"
    );
    stage.unharmed().await;
}

/// What another program in front may say about who was logged in there.
#[tokio::test]
async fn headers_that_name_a_user_log_nobody_in() {
    let stage = Stage::new().await;
    for header in [
        "remote-user",
        "x-remote-user",
        "x-forwarded-user",
        "x-frappe-user",
        "x-frappe-sid",
        "sid",
        "user",
    ] {
        for value in [&stage.student.name, &stage.student.sid] {
            let answer = stage.http.get(READ).header(header, value).send().await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{header}");
        }
    }
    stage.unharmed().await;
}

/// A page of another origin can make a browser send the cookie, not the session's token.
#[tokio::test]
async fn no_page_of_another_site_submits_in_a_students_name() {
    let stage = Stage::new().await;
    let mut session = stage.site.new_session(&stage.student.name, Role::Student);
    session.csrf_token = Some("right".to_owned());
    stage.site.write_session(&session).await;
    let mut anothers = stage.site.new_session(&stage.student.name, Role::Student);
    anothers.csrf_token = Some("anothers".to_owned());
    stage.site.write_session(&anothers).await;
    let cookie = format!("sid={}", session.sid);
    let responses = json!([{"question_id": crate::bad_input::QUESTION, "quality": 5}]).to_string();
    let with = |method| {
        let call = stage.http.request(method, SUBMIT).header("cookie", &cookie);
        call.header("x-http-method-override", "GET")
    };
    let fields = [("responses", responses.as_str())];
    for method in [Method::POST, Method::PUT, Method::DELETE] {
        for token in [
            None,
            Some(""),
            Some("rightx"),
            Some("RIGHT"),
            Some("anothers"),
        ] {
            let mut call = with(method.clone()).form(&fields);
            if let Some(token) = token {
                call = call.header("x-frappe-csrf-token", token);
            }
            let answer = call.send().await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{method} {token:?}");
            assert_eq!(answer.json()["exc_type"], "CSRFTokenError");
        }
    }
    // The ways without a token: a link, an image, a form, a script.
    for method in [Method::GET, Method::HEAD] {
        let answer = with(method.clone()).query(&fields).send().await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{method}");
    }
    let answer = with(Method::POST).header("origin", "https://evil.test");
    let answer = answer.form(&fields).send().await;
    assert_eq!(answer.header("x-memora-decline"), "cors");
    stage.unharmed().await;

    let answer = with(Method::POST).header("x-frappe-csrf-token", "right");
    assert_eq!(answer.form(&fields).send().await.message()["processed"], 1);
}
