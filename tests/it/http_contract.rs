//! Exchanges captured from a real Frappe 15 site, replayed against the sidecar.
//!
//! Compared are status, type, cookies and every key and value of the body, except for
//! what differs by construction: ids, times, tracebacks (the sidecar answers as with
//! `allow_error_traceback = 0`), and Guest's cookies, which the sidecar leaves out.

#![expect(clippy::unwrap_used, reason = "a panic is a test's report")]

mod answers;
mod refusals;

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
