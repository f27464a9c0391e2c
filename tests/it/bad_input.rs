//! What a client may get wrong, or try: a clear error in Frappe's shape, nothing changed,
//! nothing lost, no other request harmed.
//!
//! Every test ends with [`Stage::unharmed`], which compares tables and queue with what
//! they were, and has another student served on the same process.

#![expect(clippy::unwrap_used, reason = "a panic is a test's report")]

use std::time::Duration;

use http::StatusCode;
use memora_sidecar::server::Options;
use memora_tests::http::{Answer, Call};
use memora_tests::{Due, Http, Student, TestSite};
use redis::AsyncCommands;
use serde_json::{Value, json};

use crate::served::Served;

const READ: &str = "/api/method/memora.api.reviews.get_review_session";
const SUBMIT: &str = "/api/method/memora.api.reviews.submit_review_session";
const SEASON: &str = "SEASON-2026";
/// The first question of `add_questions`.
const QUESTION: &str = "STAGE-000:0";

/// A site with two students who have questions: one who misbehaves and one who does not.
struct Stage {
    site: TestSite,
    student: Student,
    bystander: Student,
    http: Http,
    _served: Served,
    before: Contents,
}

/// All that a refused request must leave as it is.
#[derive(Debug, PartialEq)]
struct Contents {
    tracker: Vec<(String, String, f64, String)>,
    journal: u64,
    queue: u64,
}

impl Contents {
    async fn of(site: &TestSite) -> Self {
        let tracker = "SELECT player, question_id, CAST(stability AS DOUBLE), \
                       CAST(next_review_date AS CHAR) FROM `tabPlayer Memory Tracker` \
                       ORDER BY player, question_id";
        let journal = "SELECT COUNT(*) FROM memora_srs_journal";
        Self {
            tracker: site.query(tracker, ()).await,
            journal: site.query_one(journal, ()).await.unwrap(),
            queue: redis::cmd("DBSIZE")
                .query_async(&mut site.queue.connection().await)
                .await
                .unwrap(),
        }
    }
}

impl Stage {
    async fn new() -> Self {
        Self::with_options(Options::default()).await
    }

    async fn with_options(options: Options) -> Self {
        let site = TestSite::new().await;
        site.add_season(SEASON).await;
        let student = site.add_student("student@lab.test").await;
        let bystander = site.add_student("bystander@lab.test").await;
        for player in [&student, &bystander] {
            site.add_questions(&player.name, SEASON, 5, Due::All).await;
        }
        let served = Served::start_with(&site, options).await;
        Self {
            http: served.http(&site),
            before: Contents::of(&site).await,
            _served: served,
            site,
            student,
            bystander,
        }
    }

    fn read(&self) -> Call<'_> {
        self.http.get(READ).token(&self.student)
    }

    fn post(&self) -> Call<'_> {
        self.http.post(SUBMIT).token(&self.student)
    }

    async fn submit(&self, responses: Value) -> Answer {
        self.post()
            .json(&json!({ "responses": responses }))
            .send()
            .await
    }

    async fn due(&self, student: &Student) -> Vec<String> {
        let answer = self.http.get(READ).token(student).send().await;
        let message = answer.message();
        let questions = message["questions"].as_array().unwrap();
        let ids = questions
            .iter()
            .map(|q| q["question_id"].as_str().unwrap().to_owned());
        ids.collect()
    }

    /// What comes back for bytes as they stand, all of which the server takes.
    async fn raw_whole(&self, request: &[u8]) -> String {
        let answer = self.http.raw_whole(request, Duration::from_secs(5)).await;
        String::from_utf8_lossy(&answer.unwrap()).into_owned()
    }

    /// Nothing changed, and others are served.
    async fn unharmed(&self) {
        assert_eq!(Contents::of(&self.site).await, self.before);
        assert_eq!(self.due(&self.bystander).await.len(), 5);
    }
}

/// An error in Frappe's shape that says `message`.
#[track_caller]
fn refused(answer: &Answer, status: u16, exc_type: &str, message: &str) {
    assert_eq!(answer.status.as_u16(), status, "{}", answer.text());
    assert_eq!(answer.header("content-type"), "application/json");
    let body = answer.json();
    assert_eq!(body["exc_type"], exc_type, "{body}");
    let messages: Vec<String> =
        serde_json::from_str(body["_server_messages"].as_str().unwrap()).unwrap();
    let first: Value = serde_json::from_str(&messages[0]).unwrap();
    assert_eq!(first["message"], message);
}

#[track_caller]
fn invalid(answer: &Answer, message: &str) {
    refused(answer, 417, "ValidationError", message);
}

#[tokio::test]
async fn wrong_types() {
    let stage = Stage::new().await;
    for (responses, message) in [
        (json!(5), "responses must be a list of answers"),
        (
            json!({"question_id": QUESTION}),
            "responses must be a list of answers",
        ),
        (
            json!("nonsense"),
            "responses must be a list of answers, as JSON",
        ),
        (
            json!([QUESTION]),
            "responses[0] must be an object with question_id and quality",
        ),
        (
            json!([{"question_id": QUESTION, "quality": "4"}]),
            "responses[0].quality must be an integer between 0 and 5",
        ),
        (
            json!([{"question_id": QUESTION, "quality": true}]),
            "responses[0].quality must be an integer between 0 and 5",
        ),
        (
            json!([{"question_id": 7, "quality": 4}]),
            "responses[0].question_id must be a string",
        ),
        (
            json!([{"question_id": QUESTION, "quality": 4, "response_time_ms": "fast"}]),
            "responses[0].response_time_ms must be an integer between 0 and 86400000",
        ),
    ] {
        invalid(&stage.submit(responses).await, message);
    }
    let answer = stage.read().query(&[("limit", "many")]).send().await;
    invalid(&answer, "limit must be an integer between 1 and 50");
    let answer = stage.read().query(&[("subject", "")]).send().await;
    invalid(&answer, "subject must not be empty");
    stage.unharmed().await;
}

#[tokio::test]
async fn missing_fields() {
    let stage = Stage::new().await;
    invalid(
        &stage.post().json(&json!({})).send().await,
        "responses is missing",
    );
    invalid(&stage.post().send().await, "responses is missing");
    let good = json!({"question_id": QUESTION, "quality": 4});
    invalid(
        &stage.submit(json!([good, {"quality": 4}])).await,
        "responses[1].question_id must be a string",
    );
    invalid(
        &stage.submit(json!([good, {"question_id": QUESTION}])).await,
        "responses[1].quality must be an integer between 0 and 5",
    );
    stage.unharmed().await;
}

#[tokio::test]
async fn too_few_and_too_many_answers() {
    let stage = Stage::new().await;
    let item = json!({"question_id": QUESTION, "quality": 4});
    for count in [0, 51, 1000] {
        invalid(
            &stage.submit(vec![item.clone(); count].into()).await,
            &format!("responses must hold 1 to 50 answers, not {count}"),
        );
    }
    for limit in ["0", "51", "-1"] {
        let answer = stage.read().query(&[("limit", limit)]).send().await;
        invalid(&answer, "limit must be an integer between 1 and 50");
    }
    stage.unharmed().await;
}

#[tokio::test]
async fn a_quality_beyond_5_refuses_the_whole_batch() {
    let stage = Stage::new().await;
    for quality in [json!(6), json!(-1), json!(2.5)] {
        let answer = stage
            .submit(json!([
                {"question_id": QUESTION, "quality": 4},
                {"question_id": "STAGE-000:1", "quality": quality},
            ]))
            .await;
        invalid(
            &answer,
            "responses[1].quality must be an integer between 0 and 5",
        );
    }
    stage.unharmed().await;
}

/// Python's JSON knows `NaN` and infinity, and so do its clients.
#[tokio::test]
async fn not_a_number_and_huge_numbers() {
    let stage = Stage::new().await;
    for number in [
        "NaN",
        "Infinity",
        "-Infinity",
        "1e999",
        "1e300",
        "99999999999999999999999",
    ] {
        for (field, bound) in [("quality", 5), ("response_time_ms", 86_400_000)] {
            let body = format!(
                r#"{{"responses": [{{"question_id": "{QUESTION}", "quality": 4, "{field}": {number}}}]}}"#
            );
            let answer = stage
                .post()
                .header("content-type", "application/json")
                .body(body)
                .send()
                .await;
            let message = format!("responses[0].{field} must be an integer between 0 and {bound}");
            invalid(&answer, &message);
        }
    }
    stage.unharmed().await;
}

#[tokio::test]
async fn unknown_questions_where_new_ones_are_not_allowed() {
    let mut stage = Stage::new().await;
    stage.site.set_config("srs_allow_new_questions", json!(0));
    let served = Served::start(&stage.site).await;
    stage.http = served.http(&stage.site);
    let answer = stage
        .submit(json!([
            {"question_id": QUESTION, "quality": 4},
            {"question_id": "UNKNOWN:1", "quality": 4},
        ]))
        .await;
    invalid(
        &answer,
        "responses[1].question_id is not one of your questions",
    );
    stage.unharmed().await;
}

/// No error: a student may answer a question again at once, and the last answer counts.
#[tokio::test]
async fn a_question_twice_in_a_batch() {
    let stage = Stage::new().await;
    let answer = stage
        .submit(json!([
            {"question_id": QUESTION, "quality": 1},
            {"question_id": "STAGE-000:1", "quality": 4},
            {"question_id": QUESTION, "quality": 5},
        ]))
        .await;
    assert_eq!(answer.message()["processed"], 3);
    let due = stage.due(&stage.student).await;
    assert_eq!(due, ["STAGE-000:2", "STAGE-000:3", "STAGE-000:4"]);
    assert_eq!(stage.due(&stage.bystander).await.len(), 5);
}

/// MariaDB takes such ids for one; whoever asks by another spelling means the stored one.
#[tokio::test]
async fn ids_that_differ_by_case_accent_or_blank() {
    let stage = Stage::new().await;
    let answer = stage
        .submit(json!([
            {"question_id": "stage-000:0", "quality": 4},
            {"question_id": "STÂGE-000:1", "quality": 4},
        ]))
        .await;
    assert_eq!(answer.message()["processed"], 2);
    let due = stage.due(&stage.student).await;
    assert_eq!(due, ["STAGE-000:2", "STAGE-000:3", "STAGE-000:4"]);

    for id in ["STAGE-000:2 ", " STAGE-000:2", "\u{a0}STAGE-000:2"] {
        invalid(
            &stage
                .submit(json!([{"question_id": id, "quality": 4}]))
                .await,
            "responses[0].question_id must not begin or end with a blank",
        );
    }
    assert_eq!(stage.due(&stage.student).await, due);
    assert_eq!(stage.due(&stage.bystander).await.len(), 5);
}

#[tokio::test]
async fn malformed_json() {
    let stage = Stage::new().await;
    for body in [
        "{",
        "{\"responses\": [",
        "{'responses': []}",
        "\u{feff}{}",
        "\0",
    ] {
        for path in [READ, SUBMIT] {
            let answer = stage
                .http
                .post(path)
                .token(&stage.student)
                .header("content-type", "application/json")
                .body(body)
                .send()
                .await;
            assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR, "{body}");
            assert_eq!(
                answer.json(),
                json!({"exc_type": "JSONDecodeError"}),
                "{body}"
            );
        }
    }
    for body in ["5", "null", "\"x\""] {
        let answer = stage
            .post()
            .header("content-type", "application/json")
            .body(body)
            .send()
            .await;
        invalid(&answer, "Invalid request arguments");
    }
    // Deeper than this parser goes, not deeper than Python's: Frappe may try.
    let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
    let answer = stage
        .post()
        .header("content-type", "application/json")
        .body(deep)
        .send()
        .await;
    assert_eq!(answer.status, StatusCode::MISDIRECTED_REQUEST);
    stage.unharmed().await;
}

#[tokio::test]
async fn wrong_content_type() {
    let stage = Stage::new().await;
    let body = json!({"responses": [{"question_id": QUESTION, "quality": 4}]}).to_string();
    for content_type in [
        "text/plain",
        "application/xml",
        "application/x-www-form-urlencoded",
        "",
    ] {
        let answer = stage
            .post()
            .header("content-type", content_type)
            .body(body.clone())
            .send()
            .await;
        // As in Frappe, such a body holds no arguments.
        invalid(&answer, "responses is missing");
    }
    let answer = stage
        .post()
        .header("content-type", "multipart/form-data; boundary=XX")
        .body(body)
        .send()
        .await;
    assert_eq!(answer.header("x-memora-decline"), "multipart");
    stage.unharmed().await;
}

#[tokio::test]
async fn oversized_bodies() {
    let stage = Stage::new().await;
    let body = "x".repeat(1024 * 1024 + 1);
    for content_type in ["application/json", "text/plain"] {
        let answer = stage
            .post()
            .header("content-type", content_type)
            .body(body.clone())
            .send()
            .await;
        let message = "The request's body exceeds 1048576 bytes";
        refused(&answer, 413, "RequestEntityTooLarge", message);
    }
    // Announced as chunks, so that only reading shows how long it is.
    let head = format!(
        "POST {SUBMIT} HTTP/1.1\r\nHost: {}\r\nTransfer-Encoding: chunked\r\n\
         Content-Type: application/json\r\n\r\n",
        stage.site.name
    );
    let mut request = head.into_bytes();
    for _ in 0..18 {
        request.extend_from_slice(b"10000\r\n");
        request.resize(request.len() + 0x10000, b' ');
        request.extend_from_slice(b"\r\n");
    }
    let answer = stage
        .http
        .raw(&request, Duration::from_secs(5))
        .await
        .unwrap();
    assert!(
        answer.starts_with(b"HTTP/1.1 413 "),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    stage.unharmed().await;
}

/// More than the buffers between two sockets hold: if the server answers and closes
/// without reading, nginx fails to send and takes it for broken.
#[tokio::test]
async fn who_sends_an_unwanted_body_still_gets_the_answer() {
    let stage = Stage::new().await;
    let host = &stage.site.name;
    let body = vec![b'x'; 16 * 1024 * 1024];
    for (path, head, status) in [
        (SUBMIT, "", "413"),
        (SUBMIT, "X-Frappe-Site-Name: nowhere\r\n", "404"),
        ("/api/method/memora.api.reviews.else", "", "421"),
    ] {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\
             {head}Content-Length: {}\r\n\r\n",
            body.len()
        );
        let request = [head.as_bytes(), &body].concat();
        let answer = stage.raw_whole(&request).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
    }
    // Who asks first is spared the sending.
    let head = format!(
        "POST {SUBMIT} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {}\r\n\
         Expect: 100-continue\r\n\r\n",
        body.len()
    );
    let answer = stage.raw_whole(head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    stage.unharmed().await;
}

#[tokio::test]
async fn oversized_headers_and_urls() {
    let stage = Stage::new().await;
    let answer = stage
        .read()
        .header("x-filler", "x".repeat(40_000))
        .send()
        .await;
    let message = "The request's headers exceed 32768 bytes";
    refused(&answer, 431, "RequestHeaderFieldsTooLarge", message);
    let answer = stage
        .read()
        .query(&[("season", &"x".repeat(9000))])
        .send()
        .await;
    let message = "The request's URL exceeds 8192 bytes";
    refused(&answer, 414, "RequestURITooLarge", message);

    // Beyond what is read at all, the answer is bare.
    let mut many = format!("GET {READ} HTTP/1.1\r\nHost: {}\r\n", stage.site.name);
    for i in 0..200 {
        many.push_str(&format!("X-{i}: x\r\n"));
    }
    let huge = format!("GET {READ} HTTP/1.1\r\nX: {}", "x".repeat(600_000));
    for request in [many + "\r\n", huge] {
        let answer = stage
            .http
            .raw(request.as_bytes(), Duration::from_secs(5))
            .await
            .unwrap();
        assert!(
            answer.starts_with(b"HTTP/1.1 431 "),
            "{}",
            String::from_utf8_lossy(&answer)
        );
    }
    stage.unharmed().await;
}

#[tokio::test]
async fn what_is_not_http() {
    let stage = Stage::new().await;
    for request in [
        &b"\x16\x03\x01\x02\x00\x01"[..],
        b"HELO\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
    ] {
        let answer = stage
            .http
            .raw(request, Duration::from_secs(5))
            .await
            .unwrap();
        assert!(
            answer.is_empty() || answer.starts_with(b"HTTP/1.1 400 "),
            "{}",
            String::from_utf8_lossy(&answer)
        );
    }
    stage.unharmed().await;
}

#[tokio::test]
async fn a_body_that_never_comes() {
    let options = Options {
        body_timeout: Duration::from_millis(100),
        ..Options::default()
    };
    let stage = Stage::with_options(options).await;
    let request = format!(
        "POST {SUBMIT} HTTP/1.1\r\nHost: {}\r\nContent-Length: 100\r\n\r\n{{",
        stage.site.name
    );
    let answer = stage
        .http
        .raw(request.as_bytes(), Duration::from_secs(5))
        .await
        .unwrap();
    assert!(
        answer.starts_with(b"HTTP/1.1 408 "),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    stage.unharmed().await;
}

#[tokio::test]
async fn headers_that_never_end() {
    let options = Options {
        head_timeout: Duration::from_millis(100),
        ..Options::default()
    };
    let stage = Stage::with_options(options).await;
    let begun = format!("GET {READ} HTTP/1.1\r\nHost: {}\r\n", stage.site.name);
    // Returns when the server closes, long before a quiet minute.
    let quiet = Duration::from_secs(60);
    let patience = Duration::from_secs(20);
    let closed = tokio::time::timeout(patience, stage.http.raw(begun.as_bytes(), quiet)).await;
    assert!(closed.is_ok(), "the connection stayed open");
    stage.unharmed().await;
}

#[tokio::test]
async fn an_unknown_site() {
    let stage = Stage::new().await;
    let answer = stage
        .read()
        .header("x-frappe-site-name", "nosite.test")
        .send()
        .await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
    assert!(answer.text().contains("<p>nosite.test does not exist</p>"));
    stage.unharmed().await;
}

#[tokio::test]
async fn a_site_name_that_leaves_the_folder() {
    let stage = Stage::new().await;
    let site = &stage.site.name;
    for name in [
        "../x".to_owned(),
        format!("../sites/{site}"),
        format!("./{site}"),
        format!("{site}/."),
        format!("{site}/../{site}"),
        stage.site.sites_path.join(site).display().to_string(),
        "..".to_owned(),
        ".".to_owned(),
        "assets\\x".to_owned(),
        "<script>".to_owned(),
    ] {
        let answer = stage
            .read()
            .header("x-frappe-site-name", &name)
            .send()
            .await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{name}");
        assert!(!answer.text().contains("<script>"), "{}", answer.text());
    }
    stage.unharmed().await;
}

/// Pickles are programs. Ours reads data out of them and runs nothing.
#[tokio::test]
async fn hostile_pickles() {
    let stage = Stage::new().await;
    let proof = stage.site.sites_path.join("proof");
    let command = format!("touch {}", proof.display());
    let deep: Vec<u8> = [b"\x80\x04".to_vec(), vec![b'('; 100_000], b".".to_vec()].concat();
    let bomb = [&b"\x80\x04]\x94"[..], &b"(h\x00h\x00e"[..], b"."].concat();
    for pickle in [
        format!("cos\nsystem\n(S'{command}'\ntR.").into_bytes(),
        format!("\u{80}cposix\nsystem\n(S'{command}'\ntR.").into_bytes(),
        [
            b"\x80\x04\x8c\x02os\x8c\x06system\x93(\x8c",
            &[command.len() as u8][..],
            command.as_bytes(),
            b"tR.",
        ]
        .concat(),
        b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7f.".to_vec(),
        b"\x80\x04B\xff\xff\xff\xff.".to_vec(),
        b"\x80\xff.".to_vec(),
        b"".to_vec(),
        b"plain text".to_vec(),
        deep,
        bomb,
    ] {
        let sid = format!("hostile{}", pickle.len());
        let key = stage.site.frappe_key("session");
        let mut redis = stage.site.cache.connection().await;
        let _: () = redis.hset(&key, &sid, &pickle).await.unwrap();
        let answer = stage
            .http
            .get(READ)
            .header("cookie", format!("sid={sid}"))
            .send()
            .await;
        assert_eq!(
            answer.status,
            StatusCode::MISDIRECTED_REQUEST,
            "{}",
            answer.text()
        );
        // What cannot be read is Frappe's, and stays where it is.
        let kept: Vec<u8> = redis.hget(&key, &sid).await.unwrap();
        assert_eq!(kept, pickle);
    }
    assert!(!proof.exists());
    stage.unharmed().await;
}

#[tokio::test]
async fn hostile_arguments_are_only_text() {
    let stage = Stage::new().await;
    for text in [
        "x' OR '1'='1",
        "x\"; DROP TABLE tabUser; --",
        "*",
        "{srs:*}",
        "%",
        "\\",
        "${jndi:ldap://x}",
    ] {
        let answer = stage.read().query(&[("season", text)]).send().await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{}", answer.text());
        assert_eq!(answer.json()["exc_type"], "DoesNotExistError");
        let answer = stage.read().query(&[("subject", text)]).send().await;
        assert_eq!(answer.message()["total_due"], 0, "{text}");
    }
    let answer = stage
        .read()
        .header("authorization", "token x' OR '1'='1:y")
        .send()
        .await;
    assert_ne!(answer.status, StatusCode::OK);
    stage.unharmed().await;
}

/// Names with everything that a key, a pattern, a statement or a path could trip over.
fn hostile_names() -> [String; 8] {
    [
        "a:b:c".to_owned(),
        "*?[a-z]".to_owned(),
        "it's \"quoted\" `so`".to_owned(),
        "{brace}}{".to_owned(),
        "emoji 🦀 é".to_owned(),
        "back\\slash %s %d".to_owned(),
        "é".repeat(140),
        "🦀".repeat(70),
    ]
}

#[tokio::test]
async fn hostile_season_names() {
    let stage = Stage::new().await;
    for season in hostile_names() {
        stage.site.add_season(&season).await;
        stage
            .site
            .add_questions(&stage.student.name, &season, 4, Due::First(3))
            .await;
    }
    for season in hostile_names() {
        let answer = stage.http.post(READ).token(&stage.student);
        let answer = answer
            .json(&json!({ "season": season }))
            .send()
            .await
            .message();
        assert_eq!(answer["season"], season);
        assert_eq!(answer["total_due"], 3, "{season}");
    }
    // The season of the others is as it was.
    let answer = stage.read().query(&[("season", SEASON)]).send().await;
    assert_eq!(answer.message()["total_due"], 5);
}

#[tokio::test]
async fn hostile_user_names() {
    let stage = Stage::new().await;
    for (i, name) in hostile_names().iter().enumerate() {
        let student = stage.site.add_student(name).await;
        stage
            .site
            .add_questions(name, SEASON, i + 2, Due::All)
            .await;
        assert_eq!(stage.due(&student).await.len(), i + 2, "{name}");
        let answer = stage
            .http
            .post(SUBMIT)
            .token(&student)
            .json(&json!({"responses": [{"question_id": QUESTION, "quality": 5}]}))
            .send()
            .await;
        assert_eq!(answer.message()["processed"], 1, "{name}");
        assert_eq!(stage.due(&student).await.len(), i + 1, "{name}");
    }
    for other in [&stage.student, &stage.bystander] {
        assert_eq!(stage.due(other).await.len(), 5);
    }
}
