//! Exchanges captured from a real Frappe 15 site, replayed against the sidecar.
//!
//! Compared are status, type, cookies and every key and value of the body, except for
//! what differs by construction: ids, times, tracebacks (the sidecar answers as with
//! `allow_error_traceback = 0`), and Guest's cookies, which the sidecar leaves out.

#![expect(clippy::unwrap_used, reason = "a panic is a test's report")]

use http::{Method, StatusCode};
use memora_tests::http::{Answer, Call};
use memora_tests::{Due, Http, Role, Student, TestSite};
use serde_json::{Value, json};

use crate::served::Served;

const READ: &str = "/api/method/memora.api.reviews.get_review_session";
const SUBMIT: &str = "/api/method/memora.api.reviews.submit_review_session";

/// The API key and secret of the captured student, and a secret that is wrong.
const CAPTURED_TOKEN: &str = "token 0d14a2c44aedb5c:45e4c8c42137e84";
const CAPTURED_KEY: &str = "0d14a2c44aedb5c";

/// One captured exchange.
struct Captured {
    name: String,
    method: Method,
    target: String,
    headers: Vec<(String, String)>,
    request_body: String,
    status: u16,
    answer_headers: Vec<(String, String)>,
    answer_body: String,
}

impl Captured {
    fn load(name: &str) -> Self {
        let path = format!("{}/fixtures/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
        let file: Value = serde_json::from_str(&text).unwrap();
        let exchange = &file["exchange"];
        let request = exchange["request_raw"]["text"].as_str().unwrap();
        let (head, request_body) = request.split_once("\r\n\r\n").unwrap();
        let mut lines = head.split("\r\n");
        let mut first = lines.next().unwrap().split(' ');
        let pair = |line: &str| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.to_ascii_lowercase(), value.to_owned())
        };
        Self {
            name: name.to_owned(),
            method: first.next().unwrap().parse().unwrap(),
            target: first.next().unwrap().to_owned(),
            headers: lines.map(pair).collect(),
            request_body: request_body.to_owned(),
            status: exchange["response_status"]
                .as_str()
                .and_then(|line| line.split(' ').nth(1)?.parse().ok())
                .unwrap(),
            answer_headers: exchange["response_headers"]
                .as_array()
                .unwrap()
                .iter()
                .map(|pair| {
                    let text = |i: usize| pair[i].as_str().unwrap().to_owned();
                    (text(0).to_ascii_lowercase(), text(1))
                })
                .collect(),
            answer_body: exchange["response_body"]["text"]
                .as_str()
                .unwrap()
                .to_owned(),
        }
    }

    /// Another method of Frappe was called; ours is instead.
    fn at(mut self, target: &str) -> Self {
        self.target = target.to_owned();
        self
    }

    /// Sends the same request, in the words of this site: its name, its student's key,
    /// the given session.
    async fn replay(&self, http: &Http, student: &Student, sid: Option<&str>) -> Answer {
        let mut call = http.request(self.method.clone(), &self.target);
        for (name, value) in &self.headers {
            let value = match name.as_str() {
                "connection" | "content-length" | "host" => continue,
                "authorization" if value == CAPTURED_TOKEN => student.token(),
                "authorization" => value.replace(CAPTURED_KEY, &student.api_key),
                "cookie" if let Some(sid) = sid => format!("sid={sid}"),
                _ => value.clone(),
            };
            call = call.header(name, value);
        }
        call.body(self.request_body.clone()).send().await
    }

    /// The answer has the status, the type and the body that Frappe gave.
    fn check(&self, answer: &Answer) {
        self.check_head(answer);
        let expected = without_traces(serde_json::from_str(&self.answer_body).unwrap());
        assert_eq!(
            without_traces(answer.json()),
            expected,
            "{}: {}",
            self.name,
            answer.text()
        );
    }

    fn check_head(&self, answer: &Answer) {
        assert_eq!(
            answer.status.as_u16(),
            self.status,
            "{}: {}",
            self.name,
            answer.text()
        );
        for (name, value) in &self.answer_headers {
            if ["content-type", "content-encoding", "cache-control", "vary"]
                .contains(&name.as_str())
            {
                assert_eq!(answer.header(name), value, "{}: {name}", self.name);
            }
        }
        assert!(
            !answer.headers.contains_key("x-memora-decline"),
            "{}: declined",
            self.name
        );
    }

    /// Cookies that Frappe sets last, each as a set of attributes without times and ids.
    fn cookies(&self) -> Vec<Vec<String>> {
        let captured = self.answer_headers.iter();
        let cookies = captured.filter(|(name, _)| name == "set-cookie");
        cookies.map(|(_, value)| cookie_shape(value)).collect()
    }
}

/// `sid=x; Max-Age=5; Path=/` as `sid=*`, `Max-Age=*`, `Path=/`.
fn cookie_shape(value: &str) -> Vec<String> {
    value
        .split("; ")
        .enumerate()
        .map(|(i, part)| match part.split_once('=') {
            Some((name, "")) => format!("{name}="),
            Some((name @ ("Expires" | "Max-Age"), _)) => format!("{name}=*"),
            Some((name, _)) if i == 0 => format!("{name}=*"),
            _ => part.to_owned(),
        })
        .collect()
}

fn cookies_of(answer: &Answer) -> Vec<Vec<String>> {
    let cookies = answer.headers.get_all("set-cookie").iter();
    cookies
        .map(|value| cookie_shape(value.to_str().unwrap()))
        .collect()
}

/// A body without what `allow_error_traceback = 0` takes away, its messages opened and
/// their random ids removed.
fn without_traces(mut body: Value) -> Value {
    let Some(map) = body.as_object_mut() else {
        return body;
    };
    for key in ["exc", "exception", "_exc_source"] {
        map.shift_remove(key);
    }
    if let Some(Value::String(text)) = map.get("_server_messages") {
        let entries: Vec<String> = serde_json::from_str(text).unwrap();
        let entries = entries.iter().map(|entry| {
            let mut entry: Value = serde_json::from_str(entry).unwrap();
            entry
                .as_object_mut()
                .unwrap()
                .shift_remove("__frappe_exc_id");
            entry
        });
        let entries = entries.collect();
        map.insert("_server_messages".to_owned(), entries);
    }
    body
}

/// A site with a student and a sidecar.
struct Stage {
    site: TestSite,
    student: Student,
    http: Http,
    served: Served,
}

impl Stage {
    async fn new() -> Self {
        Self::on(TestSite::new().await).await
    }

    async fn on(site: TestSite) -> Self {
        let student = site.add_student("stu000@lab.test").await;
        let served = Served::start(&site).await;
        let http = served.http(&site);
        Self {
            site,
            student,
            http,
            served,
        }
    }

    async fn with_questions() -> Self {
        let stage = Self::new().await;
        stage.site.add_season("SEASON-2026").await;
        stage
            .site
            .add_questions(&stage.student.name, "SEASON-2026", 30, Due::First(25))
            .await;
        stage
    }

    async fn replay(&self, captured: &Captured) -> Answer {
        captured.replay(&self.http, &self.student, None).await
    }

    /// A session with a CSRF token, as Desk gives it.
    async fn desk_session(&self, csrf_token: &str) -> String {
        let mut session = self.site.new_session(&self.student.name, Role::Student);
        session.csrf_token = Some(csrf_token.to_owned());
        self.site.write_session(&session).await;
        session.sid
    }

    #[track_caller]
    fn declined(answer: &Answer, reason: &str) {
        assert_eq!(
            answer.status,
            StatusCode::MISDIRECTED_REQUEST,
            "{}",
            answer.text()
        );
        assert_eq!(answer.header("x-memora-decline"), reason);
        assert_eq!(answer.json()["exc_type"], "SidecarDeclined");
    }

    fn read(&self) -> Call<'_> {
        self.http.get(READ)
    }
}

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
fn slides(captured: &Captured, answer: &Answer, sid: &str) {
    let expected: Vec<_> = captured
        .cookies()
        .into_iter()
        .filter(|cookie| cookie[0] == "sid=*")
        .collect();
    assert_eq!(cookies_of(answer), expected);
    let cookie = answer.header("set-cookie");
    assert!(cookie.starts_with(&format!("sid={sid}; ")), "{cookie}");
}

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
