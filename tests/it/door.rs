//! Who judges a request, and in which form: what `docs/security.md` says of logins, origins,
//! limits and versions that no other file here tests.

use http::{Method, StatusCode};
use memora_core::config::FrappeVersion;
use memora_tests::http::Answer;
use memora_tests::{Due, Http, Role, Student, TestSite};
use redis::AsyncCommands;
use serde_json::{Value, json};

use crate::served::Served;

const READ: &str = "/api/method/memora.api.reviews.get_review_session";
const SUBMIT: &str = "/api/method/memora.api.reviews.submit_review_session";

struct Stage {
    site: TestSite,
    student: Student,
}

impl Stage {
    async fn of(frappe: FrappeVersion) -> Self {
        let site = TestSite::builder().frappe(frappe).build().await;
        site.add_season("SEASON-2026").await;
        let student = site.add_student("ann@lab.test").await;
        site.add_questions(&student.name, "SEASON-2026", 3, Due::All)
            .await;
        Self { site, student }
    }

    /// A sidecar of its own, which has read nothing yet.
    async fn served(&self) -> (Served, Http) {
        let served = Served::start(&self.site).await;
        let http = served.http(&self.site);
        (served, http)
    }
}

#[track_caller]
fn declined(answer: &Answer, reason: &str) {
    let status = StatusCode::MISDIRECTED_REQUEST;
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.header("x-memora-decline"), reason);
}

/// What an app or a script does to a request is done in Python, so there.
#[tokio::test]
async fn hooks_and_scripts_that_take_a_method_over_get_it() {
    let stage = Stage::of(FrappeVersion::V15).await;
    let mut redis = stage.site.cache.connection().await;
    let key = stage.site.frappe_key("app_hooks");
    let (_served, http) = stage.served().await;
    let read = || http.get(READ).token(&stage.student);
    assert_eq!(read().send().await.message()["total_due"], 3);

    // As pickle.dumps of Python 3.11 writes them.
    let auth: &[u8] = b"\x80\x04\x95\x1c\x00\x00\x00\x00\x00\x00\x00}\x94\x8c\nauth_hooks\x94]\x94\x8c\x05a.b.c\x94as.";
    let _: () = redis.set(&key, auth).await.unwrap();
    let (_served, http) = stage.served().await;
    declined(
        &http.get(READ).token(&stage.student).send().await,
        "auth-hooks",
    );
    // A hook may log anybody in.
    declined(&http.get(READ).send().await, "auth-hooks");
    declined(&http.post(SUBMIT).send().await, "auth-hooks");

    let of_read = b"\x80\x04}(\x8c\x1coverride_whitelisted_methods}\x8c\x25memora.api.reviews.get_review_session]\x8c\x05a.b.casu.";
    let _: () = redis.set(&key, &of_read[..]).await.unwrap();
    let (_served, http) = stage.served().await;
    declined(
        &http.get(READ).token(&stage.student).send().await,
        "overridden-method",
    );
    let answer = http.post(SUBMIT).token(&stage.student).send().await;
    assert_eq!(
        answer.status,
        StatusCode::EXPECTATION_FAILED,
        "{}",
        answer.text()
    );

    let _: () = redis.del(&key).await.unwrap();
    for (name, kind, disabled, method) in [
        ("off", "API", 1, "memora.api.reviews.submit_review_session"),
        (
            "other",
            "DocType Event",
            0,
            "memora.api.reviews.submit_review_session",
        ),
        ("case", "API", 0, "Memora.api.reviews.submit_review_session"),
        ("on", "API", 0, "memora.api.reviews.get_review_session"),
    ] {
        let sql = "INSERT INTO `tabServer Script` (name, script_type, disabled, api_method) \
                   VALUES (?, ?, ?, ?)";
        stage.site.exec(sql, (name, kind, disabled, method)).await;
    }
    let (_served, http) = stage.served().await;
    declined(
        &http.get(READ).token(&stage.student).send().await,
        "server-script",
    );
    let answer = http.post(SUBMIT).token(&stage.student).send().await;
    assert_eq!(
        answer.status,
        StatusCode::EXPECTATION_FAILED,
        "{}",
        answer.text()
    );
}

/// Frappe's list of hooks may be gone: evicted, cleared, or never kept in developer mode. Only
/// where no app can have any is that nothing to wait for.
#[tokio::test]
async fn without_a_list_of_hooks_only_frappe_knows_what_other_apps_do() {
    let stage = Stage::of(FrappeVersion::V15).await;
    let mut redis = stage.site.cache.connection().await;
    let key = stage.site.frappe_key("app_hooks");
    let apps = async |apps: Value| {
        let sql = "UPDATE tabDefaultValue SET defvalue = ? WHERE defkey = 'installed_apps'";
        stage.site.exec(sql, (apps.to_string(),)).await;
    };
    let read = async |http: &Http| http.get(READ).token(&stage.student).send().await;
    for others in [
        json!(["frappe", "memora", "school"]),
        json!(["frappe", "memora", "frappe_login"]),
        json!("frappe"),
        json!(null),
    ] {
        apps(others).await;
        let (_served, http) = stage.served().await;
        declined(&read(&http).await, "hooks-unknown");
        declined(&http.get(READ).send().await, "hooks-unknown");
        declined(&http.get("/memora-srs/").send().await, "hooks-unknown");
    }
    // Frappe answers, and keeps its list; nobody waits a minute for that.
    apps(json!(["frappe", "memora", "school"])).await;
    let (_served, http) = stage.served().await;
    declined(&read(&http).await, "hooks-unknown");
    let _: () = redis.set(&key, &b"\x80\x04}\x94."[..]).await.unwrap();
    memora_tests::wait::until("the list is seen", async || {
        (read(&http).await.status == StatusCode::OK).then_some(())
    })
    .await;
    // What was seen counts on.
    let _: () = redis.del(&key).await.unwrap();
    assert_eq!(read(&http).await.status, StatusCode::OK);
}

/// A preflight is answered by who knows `allow_cors`, in every version.
#[tokio::test]
async fn preflights_and_other_origins_are_for_frappe_in_every_version() {
    for frappe in [FrappeVersion::V14, FrappeVersion::V15, FrappeVersion::V16] {
        let stage = Stage::of(frappe).await;
        stage.site.set_config("allow_cors", json!("*"));
        let (_served, http) = stage.served().await;
        let asked = http.request(Method::OPTIONS, READ);
        let asked = asked.header("origin", "https://app.test");
        let asked = asked.header("access-control-request-method", "GET");
        declined(&asked.send().await, "cors");
        let real = http.get(READ).token(&stage.student);
        let real = real.header("origin", "https://app.test");
        declined(&real.send().await, "cors");
        let same = http.get(READ).token(&stage.student);
        let same = same.header("origin", format!("https://{}", stage.site.name));
        assert_eq!(same.send().await.status, StatusCode::OK);
    }
}

/// A limit of the whole site counts what Frappe answers, so that it must answer everything.
#[tokio::test]
async fn a_site_with_a_rate_limit_is_frappes() {
    let stage = Stage::of(FrappeVersion::V15).await;
    let limit = json!({"limit": 600, "window": 3600});
    stage.site.set_config("rate_limit", limit);
    let (_served, http) = stage.served().await;
    declined(
        &http.get(READ).token(&stage.student).send().await,
        "rate_limit",
    );
    declined(&http.get(READ).send().await, "rate_limit");
}

/// Each version has its own way to say no to a bearer's token, a body and a URL.
#[tokio::test]
async fn forms_are_those_of_the_version_beside_us() {
    for (frappe, malformed, v1, extends) in [
        (
            FrappeVersion::V14,
            (500, "JSONDecodeError"),
            421,
            "session-refresh",
        ),
        (FrappeVersion::V15, (500, "JSONDecodeError"), 200, ""),
        (
            FrappeVersion::V16,
            (417, "DataError"),
            200,
            "session-refresh",
        ),
    ] {
        let stage = Stage::of(frappe).await;
        let (_served, http) = stage.served().await;
        for scheme in ["Bearer", "bearer"] {
            let answer = http
                .get(READ)
                .header("authorization", format!("{scheme} t"));
            declined(&answer.send().await, "bearer");
        }
        let answer = http.post(READ).token(&stage.student);
        let answer = answer.header("content-type", "application/json").body("{");
        let answer = answer.send().await;
        assert_eq!(answer.status, malformed.0, "{frappe:?}");
        assert_eq!(answer.json()["exc_type"], malformed.1, "{frappe:?}");
        for api in ["/api/v1/method/", "/api/v2/method/"] {
            let path = READ.replace("/api/method/", api);
            let answer = http.get(&path).token(&stage.student).send().await;
            assert_eq!(answer.status, v1, "{frappe:?} {}", answer.text());
        }
        // A session that is due to be extended: here only in the form of Frappe 15.
        let mut session = stage.site.new_session(&stage.student.name, Role::Student);
        session.last_updated -= chrono::TimeDelta::seconds(700);
        stage.site.write_session(&session).await;
        let cookie = format!("sid={}", session.sid);
        let answer = http.get(READ).header("cookie", &cookie).send().await;
        assert_eq!(answer.header("x-memora-decline"), extends, "{frappe:?}");
    }
}

/// The kill switch works on a running sidecar, within the second that its files are looked at.
#[tokio::test]
async fn the_kill_switch_takes_hold_while_requests_come() {
    let stage = Stage::of(FrappeVersion::V15).await;
    let (_served, http) = stage.served().await;
    let read = || http.get(READ).token(&stage.student);
    assert_eq!(read().send().await.status, StatusCode::OK);
    for (switch, status) in [(json!(0), 421), (json!(1), 200)] {
        stage.site.set_config("srs_sidecar", switch.clone());
        memora_tests::wait::until("the switch takes hold", || async {
            (read().send().await.status == status).then_some(())
        })
        .await;
    }
}
