//! Limits while Redis is away, as a student meets them over HTTP: through sidecars that are
//! processes of their own, and are killed.

use futures_util::future::join_all;
use memora_tests::count::SqlCounter;
use memora_tests::http::Answer;
use memora_tests::servers::MariaDbOptions;
use memora_tests::site::Builder;
use memora_tests::{Due, Http, Sidecar, Student, TestSite, wait};
use mysql_async::prelude::Queryable;
use serde_json::{Value, json};

use crate::served::Served;
use crate::story::{ANN, SEASON, answers};

const READ: &str = "/api/method/memora.api.reviews.get_review_session";
const SUBMIT: &str = "/api/method/memora.api.reviews.submit_review_session";

/// A site on a cache of its own, and so many students with 20 due questions each.
async fn site_of(builder: Builder, students: usize) -> (TestSite, Vec<Student>) {
    let test = builder.own_cache().build().await;
    test.add_season(SEASON).await;
    let mut all = Vec::new();
    for n in 0..students {
        let name = format!("student{n}@example.com");
        all.push(test.add_student(&name).await);
        test.add_questions(&name, SEASON, 20, Due::All).await;
    }
    (test, all)
}

async fn read(http: &Http, student: &Student) -> Answer {
    http.get(READ).cookie(student).send().await
}

/// What a refusal must be, and how long it says to wait.
fn refusal(answer: &Answer, who: &str) -> u64 {
    assert_eq!(answer.status, 429, "{}", answer.text());
    let body = answer.json();
    let seconds = body["retry_after"].as_u64().unwrap();
    assert_eq!(answer.header("retry-after"), seconds.to_string());
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(body["exc_type"], "RateLimitExceededError");
    let messages: Vec<String> =
        serde_json::from_str(body["_server_messages"].as_str().unwrap()).unwrap();
    let shown: Value = serde_json::from_str(&messages[0]).unwrap();
    let unit = if seconds == 1 { "second" } else { "seconds" };
    assert_eq!(
        shown["message"],
        format!("{who}: please wait {seconds} {unit} and try again")
    );
    assert_eq!(shown["indicator"], "red");
    seconds
}

const STUDENT: &str = "Too many requests";
const ALL: &str = "Too many students at once";

#[tokio::test]
async fn a_student_reads_once_and_is_told_when_to_come_back() {
    let (test, students) = site_of(TestSite::builder(), 2).await;
    let (ann, bob) = (&students[0], &students[1]);
    let sidecar = Sidecar::start(&test).await;
    let http = sidecar.http(&test);
    // With Redis there is no limit.
    for _ in 0..3 {
        assert_eq!(read(&http, ann).await.message()["is_degraded"], false);
    }
    test.cache.server.kill();
    let session = read(&http, ann).await.message();
    assert_eq!(session["is_degraded"], true);
    assert_eq!(session["total_due"], 20);
    assert!(!session["questions"].as_array().unwrap().is_empty());
    let seconds = refusal(&read(&http, ann).await, STUDENT);
    assert!((1..=30).contains(&seconds), "{seconds}");
    let v2 = "/api/v2/method/memora.api.reviews.get_review_session";
    let answer = http.get(v2).cookie(ann).send().await;
    assert_eq!(answer.status, 429);
    assert_eq!(answer.json()["errors"][0]["type"], "RateLimitExceededError");
    assert_eq!(read(&http, bob).await.message()["is_degraded"], true);

    // Submits are not limited.
    for n in 0..3 {
        let body = json!({"responses": answers(&["new"]), "submission_id": format!("s-{n}")});
        let submit = http.post(SUBMIT).token(ann).json(&body).send().await;
        assert_eq!(submit.message()["is_degraded"], true);
    }
    test.cache.server.start_again().await;
    wait::until("reads are not limited any more", || async {
        let answer = read(&http, ann).await;
        (answer.status == 200 && answer.message()["is_degraded"] == false).then_some(())
    })
    .await;
}

#[tokio::test]
async fn processes_of_a_host_count_together_also_when_one_is_killed() {
    let builder = TestSite::builder()
        .own_queue()
        .config("srs_safe_mode_global_limit", json!(3));
    let (test, students) = site_of(builder, 4).await;
    let one = Sidecar::start(&test).await;
    let two = Sidecar::start(&test).await;
    test.cache.server.kill();
    // Nobody but the host itself can count.
    test.queue.server.kill();
    let (first, second) = (one.http(&test), two.http(&test));
    assert_eq!(read(&first, &students[0]).await.status, 200);
    refusal(&read(&second, &students[0]).await, STUDENT);
    assert_eq!(read(&second, &students[1]).await.status, 200);
    one.process.kill();
    let three = Sidecar::start(&test).await;
    let third = three.http(&test);
    refusal(&read(&third, &students[1]).await, STUDENT);
    assert_eq!(read(&third, &students[2]).await.status, 200);
    for http in [&second, &third] {
        let seconds = refusal(&read(http, &students[3]).await, ALL);
        assert!((1..=60).contains(&seconds), "{seconds}");
    }
}

#[tokio::test]
async fn hosts_count_together_where_the_queue_answers() {
    let builder = TestSite::builder().config("srs_safe_mode_global_limit", json!(3));
    let (test, students) = site_of(builder, 4).await;
    let here = Served::start(&test).await;
    // Another host has files of its own.
    let folder = tempfile::tempdir().unwrap();
    copy(&test.sites_path, folder.path());
    let there = Served::start_at(folder.path(), Default::default()).await;
    test.cache.server.kill();
    let (here, there) = (here.http(&test), there.http(&test));
    assert_eq!(read(&here, &students[0]).await.status, 200);
    refusal(&read(&there, &students[0]).await, STUDENT);
    assert_eq!(read(&there, &students[1]).await.status, 200);
    assert_eq!(read(&here, &students[2]).await.status, 200);
    for http in [&there, &here] {
        refusal(&read(http, &students[3]).await, ALL);
    }
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir(&to).unwrap();
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), &to).unwrap();
        }
    }
}

#[tokio::test]
async fn over_the_limit_nobody_is_looked_up() {
    let builder = TestSite::builder()
        .own_mariadb_with(MariaDbOptions::default())
        .config("srs_safe_mode_global_limit", json!(1));
    let (test, students) = site_of(builder, 2).await;
    let served = Served::start(&test).await;
    let http = served.http(&test);
    test.cache.server.kill();
    assert_eq!(read(&http, &students[0]).await.status, 200);
    let made_up = async |n: u32| {
        let cookie = format!("sid=made-up-{n}");
        http.get(READ).header("cookie", cookie).send().await
    };
    // The breaker opens with the third failure.
    wait::until("Safe Mode is noticed", || async {
        (made_up(0).await.status == 429).then_some(())
    })
    .await;
    let sql = SqlCounter::start(&test).await;
    for n in 1..50 {
        refusal(&made_up(n).await, ALL);
    }
    assert_eq!(sql.take().await, Vec::<String>::new());
    // Who submits is still looked up, and let in.
    let body = json!({"responses": answers(&["new"])});
    let submit = http
        .post(SUBMIT)
        .cookie(&students[1])
        .json(&body)
        .send()
        .await;
    assert_eq!(submit.message()["processed"], 1);
}

#[tokio::test]
async fn a_flood_of_cookies_waits_in_front_of_the_session_table() {
    let builder = TestSite::builder().own_mariadb_with(MariaDbOptions::default());
    let (test, students) = site_of(builder, 1).await;
    let served = Served::start(&test).await;
    test.cache.server.kill();
    read(&served.http(&test), &students[0]).await.message();
    let sql = SqlCounter::start(&test).await;
    let mut root = test.mariadb.root().await.unwrap();
    root.query_drop(format!("LOCK TABLES `{}`.tabSessions WRITE", test.db_name))
        .await
        .unwrap();
    let flood: Vec<_> = (0..60)
        .map(|n| {
            let http = served.http(&test);
            tokio::spawn(async move {
                let cookie = format!("sid=made-up-{n}");
                http.get(READ).header("cookie", cookie).send().await
            })
        })
        .collect();
    // A quarter of 32 connections; the others are told to come back.
    let (held, told): (Vec<_>, Vec<_>) = {
        let mut told = 0;
        wait::until("the others are told to come back", || {
            told = flood.iter().filter(|request| request.is_finished()).count();
            async move { (told == 52).then_some(()) }
        })
        .await;
        flood
            .into_iter()
            .partition(|request| !request.is_finished())
    };
    let lookups = sql.take().await;
    let lookups = lookups.iter().filter(|s| s.contains("tabSessions")).count();
    assert_eq!((held.len(), lookups), (8, 8));
    for answer in join_all(told).await {
        let answer = answer.unwrap();
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert_eq!(answer.header("retry-after"), "1");
        assert_eq!(answer.json()["exc_type"], "UnavailableError");
    }
    root.query_drop("UNLOCK TABLES").await.unwrap();
    for answer in join_all(held).await {
        let answer = answer.unwrap();
        assert_eq!(answer.header("x-memora-decline"), "session-unknown");
    }
}

#[tokio::test]
async fn who_is_asking_is_judged_as_ever() {
    let (test, students) = site_of(TestSite::builder(), 3).await;
    let ann = &students[0];
    let desk = {
        let mut session = test.new_session(ANN, memora_tests::Role::Student);
        session.user.clone_from(&students[1].name);
        session.csrf_token = Some("right".to_owned());
        test.write_session(&session).await;
        session
    };
    let gone = &students[2];
    test.exec("DELETE FROM tabSessions WHERE sid = ?", (&gone.sid,))
        .await;
    let served = Served::start(&test).await;
    let http = served.http(&test);
    test.cache.server.kill();

    assert_eq!(read(&http, ann).await.message()["total_due"], 20);
    let answer = read(&http, gone).await;
    assert_eq!(answer.header("x-memora-decline"), "session-unknown");
    let cookie = format!("sid={}", desk.sid);
    let body = json!({"responses": answers(&["new"])});
    for (token, status) in [("wrong", 400), ("right", 200)] {
        let submit = http.post(SUBMIT).header("cookie", &cookie).json(&body);
        let answer = submit.header("x-frappe-csrf-token", token).send().await;
        assert_eq!(answer.status, status, "{}", answer.text());
    }
    let wrong = format!("token {}:wrong", ann.api_key);
    let answer = http.get(READ).header("authorization", wrong).send().await;
    assert_eq!(answer.status, 401);
    assert_eq!(http.get(READ).send().await.status, 403);
}
