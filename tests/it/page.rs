//! The operations page over HTTP: who sees it, what it says, what a browser may run of it.
//! `tests/python/test_page.py` looks at it in a browser.

use http::Method;
use memora_core::config::FrappeVersion;
use memora_tests::http::Answer;
use memora_tests::{Due, Http, Role, Student, TestSite};
use serde_json::{Value, json};

use crate::served::Served;
use crate::story::{ANN, SEASON};

const PAGE: &str = "/memora-srs/";
const STATUS: &str = "/memora-srs/status.json";
const LOGIN: &str = "/login?redirect-to=%2Fmemora-srs%2F";
const BROWSER: &str = "text/html,application/xhtml+xml,*/*;q=0.8";
/// Nothing that would be markup were it put into a page.
const MARKUP: &str = "<img src=x onerror=alert(1)>";

async fn furnished(test: &TestSite) -> (Served, Http, Student, Student) {
    test.add_season(SEASON).await;
    let ann = test.add_student(ANN).await;
    let boss = test.add_user("boss@example.com", Role::SystemManager).await;
    test.add_questions(ANN, SEASON, 5, Due::All).await;
    let served = Served::start(test).await;
    let http = served.http(test);
    (served, http, ann, boss)
}

/// As an address bar asks.
async fn visit(http: &Http, path: &str, cookie: &str) -> Answer {
    let call = http.get(path).header("accept", BROWSER);
    match cookie {
        "" => call.send().await,
        cookie => call.header("cookie", cookie).send().await,
    }
}

fn location(answer: &Answer) -> (u16, &str) {
    (answer.status.as_u16(), answer.header("location"))
}

#[tokio::test]
async fn only_system_managers_see_it() {
    let test = TestSite::new().await;
    let (_served, http, ann, boss) = furnished(&test).await;
    assert_eq!(location(&visit(&http, PAGE, "").await), (302, LOGIN));
    assert_eq!(
        location(&visit(&http, "/memora-srs", "").await),
        (302, PAGE)
    );
    // What only Frappe can judge, it judges where people log in.
    for cookie in ["sid=0123456789abcdef", "sid=Guest"] {
        assert_eq!(
            location(&visit(&http, PAGE, cookie).await),
            (302, LOGIN),
            "{cookie}"
        );
    }
    let student = visit(&http, PAGE, &ann.cookie()).await;
    assert_eq!(student.status, 403);
    assert!(student.header("content-type").starts_with("text/html"));
    assert!(
        student.text().contains("Only a System Manager"),
        "{}",
        student.text()
    );
    let page = visit(&http, PAGE, &boss.cookie()).await;
    assert_eq!(page.status, 200, "{}", page.text());
    // As any answer to a session: the cookie lives on.
    assert!(page.header("set-cookie").starts_with("sid="));

    let guest = http.get(STATUS).send().await;
    assert_eq!(
        (guest.status.as_u16(), &guest.json()["exc_type"]),
        (403, &json!("PermissionError"))
    );
    let unknown = http
        .get(STATUS)
        .header("cookie", "sid=0123456789abcdef")
        .send()
        .await;
    let reason = unknown.header("x-memora-decline");
    assert_eq!((unknown.status.as_u16(), reason), (421, "session-unknown"));
    let student = http.get(STATUS).cookie(&ann).send().await;
    assert_eq!(
        (student.status.as_u16(), &student.json()["exc_type"]),
        (403, &json!("PermissionError"))
    );
    for call in [
        http.get(STATUS).cookie(&boss),
        http.get(STATUS).token(&boss),
    ] {
        assert_eq!(call.send().await.status, 200);
    }
}

/// On Frappe 16 and 14 a session is extended by Frappe alone, which then sends back here.
#[tokio::test]
async fn a_session_that_frappe_must_extend_goes_there_first() {
    let test = TestSite::builder().frappe(FrappeVersion::V16).build().await;
    let (_served, http, _, _) = furnished(&test).await;
    let mut session = test.new_session("boss@example.com", Role::SystemManager);
    session.last_updated -= chrono::TimeDelta::minutes(11);
    test.write_session(&session).await;
    let answer = visit(&http, PAGE, &format!("sid={}", session.sid)).await;
    assert_eq!(location(&answer), (302, LOGIN));
}

#[tokio::test]
async fn a_browser_runs_nothing_else() {
    let test = TestSite::new().await;
    let (_served, http, _, boss) = furnished(&test).await;
    let page = visit(&http, PAGE, &boss.cookie()).await;
    let policy = page.header("content-security-policy");
    assert!(
        policy.starts_with("default-src 'none'; script-src 'sha256-"),
        "{policy}"
    );
    assert!(!policy.contains("unsafe"), "{policy}");
    assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
    for answer in [&page, &http.get(STATUS).cookie(&boss).send().await] {
        for (name, value) in [
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "same-origin"),
        ] {
            assert_eq!(answer.header(name), value, "{name}");
        }
        assert!(!answer.headers.contains_key("access-control-allow-origin"));
    }
    // Another site's page learns nothing, and nothing is changed here.
    let foreign = http
        .get(STATUS)
        .cookie(&boss)
        .header("origin", "https://evil.example");
    assert_eq!(foreign.send().await.status, 421);
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
        for path in [PAGE, STATUS] {
            let answer = http
                .request(method.clone(), path)
                .cookie(&boss)
                .send()
                .await;
            assert_eq!(answer.status, 421, "{method} {path}");
        }
    }
    for steering in ["?cmd=frappe.ping", "?sid=x", "?_type=x"] {
        let answer = http
            .get(&format!("{STATUS}{steering}"))
            .cookie(&boss)
            .send()
            .await;
        assert_eq!(answer.status, 421, "{steering}");
    }
}

#[tokio::test]
async fn it_says_how_the_site_is() {
    let test = TestSite::new().await;
    let (_served, http, ann, boss) = furnished(&test).await;
    test.add_season(MARKUP).await;
    let mut session = test.new_session(&boss.name, Role::SystemManager);
    session.csrf_token = Some("the token".to_owned());
    test.write_session(&session).await;
    let read = "/api/method/memora.api.reviews.get_review_session";
    assert_eq!(http.get(read).cookie(&ann).send().await.status, 200);

    let cookie = format!("sid={}", session.sid);
    let status = http
        .get(STATUS)
        .header("cookie", &cookie)
        .send()
        .await
        .json();
    assert_eq!(status["site"], test.name);
    assert_eq!(
        (&status["user"], &status["csrf_token"]),
        (&json!(boss.name), &json!("the token"))
    );
    assert_eq!(status["safe_mode"]["active"], false);
    assert_eq!(status["breaker"], "closed");
    assert_eq!(status["queue_jobs"], 0);
    assert_eq!(status["long"], json!({"jobs": 0, "workers": 0}));
    assert_eq!(
        status["journal"],
        json!({"pending": 0, "failed": 0, "oldest_s": 0.0})
    );
    assert_eq!(status["cache"]["redis_connected"], true);
    assert!(
        status["redis"][0]["memory"]["used_bytes"].as_u64() > Some(0),
        "{status}"
    );
    let reads = &status["traffic"][0];
    assert_eq!(reads["method"], "memora.api.reviews.get_review_session");
    let seasons = status["overview"]["seasons"].as_array().unwrap();
    let named = |name: &str| -> &Value { seasons.iter().find(|s| s["name"] == name).unwrap() };
    let season = named(SEASON);
    assert_eq!(
        (&season["is_active"], &season["enable_redis"]),
        (&json!(true), &json!(true))
    );
    assert_eq!(season["partition"]["season"], SEASON);
    // Data, as it is; never part of the document.
    assert_eq!(named(MARKUP)["rebuild"], Value::Null);
    assert!(!visit(&http, PAGE, &cookie).await.text().contains(MARKUP));
    // By API key there is no session, so no token.
    let by_key = http.get(STATUS).token(&boss).send().await.json();
    assert_eq!(by_key["csrf_token"], Value::Null);
}

#[tokio::test]
async fn work_on_seasons_is_seen() {
    let test = TestSite::new().await;
    let (_served, http, _, boss) = furnished(&test).await;
    let site = test.site().await;
    let options = memora_core::services::rebuild::Options::default();
    memora_core::services::rebuild::run(&site, SEASON, &options, &|_| {})
        .await
        .unwrap();
    let sample = memora_core::services::reconcile::Options::sample(100);
    memora_core::services::reconcile::reconcile(&site, &sample, &|_| {})
        .await
        .unwrap();
    let status = http.get(STATUS).token(&boss).send().await.json();
    let overview = &status["overview"];
    let rebuild = &overview["seasons"][0]["rebuild"];
    assert_eq!(rebuild["state"], "completed");
    assert_eq!(
        (&rebuild["running"], &rebuild["done"]),
        (&json!(false), &json!(1))
    );
    // Students are nobody's business here.
    assert!(!status.to_string().contains(ANN), "{status}");
    assert_eq!(overview["reconciliations"][0]["compared"], 5);
    assert_eq!(overview["reconciling"], false);
    assert_eq!(status["cache"]["keys_by_season"], json!({SEASON: 1}));
}

#[tokio::test]
async fn what_is_away_is_named_and_the_rest_is_shown() {
    let test = TestSite::builder()
        .own_queue_with(Default::default())
        .build()
        .await;
    let (_served, http, _, boss) = furnished(&test).await;
    assert_eq!(http.get(STATUS).cookie(&boss).send().await.status, 200);
    test.queue.server.stop();
    // What was read is shown for two seconds.
    memora_tests::wait::until("the queue is away", async || {
        let status = http.get(STATUS).cookie(&boss).send().await.json();
        let away = status["queue_jobs"].is_null() && status["long"].is_null();
        (away && status["journal"]["pending"] == 0).then_some(())
    })
    .await;
}

/// Who was let in a moment ago sees what is wrong with MariaDB, which alone knows of roles;
/// nothing is started on such a word.
#[tokio::test]
async fn who_may_look_still_does_while_mariadb_is_away() {
    for hangs in [true, false] {
        let test = TestSite::builder().own_mariadb().build().await;
        let (_served, http, ann, boss) = furnished(&test).await;
        assert_eq!(http.get(STATUS).cookie(&boss).send().await.status, 200);
        assert_eq!(http.get(STATUS).cookie(&ann).send().await.status, 403);
        match hangs {
            true => test.mariadb.pause(),
            false => test.mariadb.kill(),
        }
        // What was read of a role and of the site is shown for a while without asking.
        memora_tests::wait::until("MariaDB is said to be away", async || {
            let answer = http.get(STATUS).cookie(&boss).send().await;
            assert_eq!(answer.status, 200, "hangs: {hangs}: {}", answer.text());
            let status = answer.json();
            let away = status["journal"].is_null() && status["overview"].is_null();
            (away && status["queue_jobs"] == 0).then_some(())
        })
        .await;
        assert_eq!(visit(&http, PAGE, &boss.cookie()).await.status, 200);
        assert_eq!(http.get(STATUS).cookie(&ann).send().await.status, 403);
        let rebuild = http.post("/api/method/memora.api.srs.rebuild_season_cache");
        let body = json!({"season": SEASON});
        let refused = rebuild.cookie(&boss).json(&body).send().await;
        assert_eq!(refused.status, 503, "hangs: {hangs}: {}", refused.text());
    }
}

/// Frappe has no such page, so what would be left to it is said here, in words.
#[tokio::test]
async fn what_keeps_the_page_away_is_said_to_people() {
    for (key, value, status, says, to_do) in [
        ("srs_sidecar", json!(0), 421, "switched off", "srs_sidecar"),
        (
            "rate_limit",
            json!({"limit": 600, "window": 3600}),
            421,
            "limits requests",
            "rate_limit",
        ),
        (
            "deny_multiple_sessions",
            json!(1),
            421,
            "one session",
            "deny_multiple_sessions",
        ),
        (
            "extra_config",
            json!(["a.b"]),
            421,
            "Python",
            "extra_config",
        ),
        (
            "maintenance_mode",
            json!(1),
            503,
            "maintenance",
            "set-maintenance-mode off",
        ),
    ] {
        let test = TestSite::builder().config(key, value).build().await;
        let (_served, http, _, boss) = furnished(&test).await;
        for path in [PAGE, "/memora-srs"] {
            let answer = visit(&http, path, &boss.cookie()).await;
            let text = answer.text();
            assert_eq!(answer.status, status, "{key}: {text}");
            assert!(
                answer.header("content-type").starts_with("text/html"),
                "{key}: {text}"
            );
            assert!(text.contains(says) && text.contains(to_do), "{key}: {text}");
            assert!(text.contains("/app/memora-srs"), "{key}: {text}");
        }
        // Programs are told as ever.
        let answer = http.get(STATUS).cookie(&boss).send().await;
        assert_eq!(answer.status, status, "{key}");
        assert!(answer.json()["exc_type"].is_string(), "{key}");
    }
    let test = TestSite::new().await;
    let (_served, http, _, boss) = furnished(&test).await;
    let answer = visit(&http, "/memora-srs/?cmd=frappe.ping", &boss.cookie()).await;
    assert_eq!(answer.status, 421);
    assert!(
        answer.text().contains("without anything after"),
        "{}",
        answer.text()
    );
    test.set_system_setting("deny_multiple_sessions", "1").await;
    let served = Served::start(&test).await;
    let answer = visit(&served.http(&test), PAGE, &boss.cookie()).await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("x-memora-decline")),
        (421, "deny-multiple-sessions")
    );
    assert!(answer.text().contains("one session"), "{}", answer.text());
}
