//! Who is asking, on real servers: every test is a site of its own with what Frappe
//! would have written.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::sync::Arc;

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use memora_core::config::{FrappeVersion, Secret, SiteConfig};
use memora_core::frappe::{
    AuthContext, Authenticator, Login, LoginRequest, SessionRefresh, Via, read_settings,
};
use memora_core::services::Site;
use memora_core::types::UtcMicros;
use memora_core::{Error, ErrorKind, failpoint};
use memora_tests::count::{RedisCounter, SqlCounter};
use memora_tests::people::Session;
use memora_tests::{Role, Student, TestSite};
use redis::AsyncCommands;
use serde_json::json;

const NOBODY: LoginRequest<'static> = LoginRequest {
    method: "GET",
    sid: None,
    authorization: None,
    authorization_source: false,
    csrf_token: None,
    forwarded_for: None,
};

fn with_sid(sid: &str) -> LoginRequest<'_> {
    LoginRequest {
        sid: Some(sid),
        ..NOBODY
    }
}

fn with_header(authorization: &str) -> LoginRequest<'_> {
    LoginRequest {
        authorization: Some(authorization),
        ..NOBODY
    }
}

/// One process that answers for a site.
struct Door {
    site: Arc<Site>,
    config: SiteConfig,
    auth: Authenticator,
}

impl Door {
    async fn of(test: &TestSite) -> Self {
        let site = test.site().await;
        Self {
            config: site.config.clone(),
            site,
            auth: Authenticator::new(32),
        }
    }

    fn ctx(&self) -> AuthContext<'_> {
        AuthContext {
            redis: &self.site.cache_redis,
            db: &self.site.db,
            config: &self.config,
        }
    }

    async fn login(
        &self,
        request: &LoginRequest<'_>,
        now: UtcMicros,
    ) -> memora_core::Result<Login> {
        self.auth.authenticate(&self.ctx(), request, now).await
    }

    /// The judgement in a few words.
    async fn who(&self, request: &LoginRequest<'_>, now: UtcMicros) -> String {
        in_words(self.login(request, now).await)
    }

    /// The judgement of a process that remembers nothing.
    async fn who_cold(&self, request: &LoginRequest<'_>) -> String {
        let auth = Authenticator::new(32);
        in_words(auth.authenticate(&self.ctx(), request, now()).await)
    }

    /// The refresh that a request asks for.
    async fn refresh_of(&self, sid: &str, now: UtcMicros) -> Option<SessionRefresh> {
        match self.login(&with_sid(sid), now).await.unwrap() {
            Login::User { refresh, .. } => refresh,
            other => panic!("{other:?}"),
        }
    }
}

fn in_words(outcome: memora_core::Result<Login>) -> String {
    match outcome {
        Ok(Login::User { player, via, .. }) => format!("{player} by {via:?}"),
        Ok(Login::Guest) => "guest".to_owned(),
        Ok(Login::Refused { error, .. }) => format!("{:?}", error.kind()),
        Ok(Login::Decline(reason)) => format!("decline {reason}"),
        Err(error) => format!("{:?}", error.kind()),
    }
}

fn now() -> UtcMicros {
    UtcMicros::now()
}

fn utc(t: UtcMicros) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(t.0).unwrap()
}

fn frappe_time(wall: NaiveDateTime) -> String {
    wall.format("%Y-%m-%d %H:%M:%S%.6f").to_string()
}

/// A session of `student` that was extended `ago`.
async fn add_session(
    test: &TestSite,
    student: &Student,
    ago: TimeDelta,
    csrf: Option<&str>,
) -> Session {
    let mut session = test.new_session(&student.name, Role::Student);
    session.last_updated -= ago;
    session.csrf_token = csrf.map(str::to_owned);
    test.write_session(&session).await;
    session
}

/// What Redis and the table hold of a session.
async fn stored(test: &TestSite, sid: &str) -> (Option<Vec<u8>>, Option<Vec<u8>>, Option<String>) {
    let mut redis = test.cache.connection().await;
    let entry = redis.hget(test.frappe_key("session"), sid).await.unwrap();
    let stamp = test.frappe_key("last_db_session_update");
    let stamp = redis.hget(stamp, sid).await.unwrap();
    let row = "SELECT CONCAT(lastupdate, ' ', sessiondata) FROM tabSessions WHERE sid = ?";
    (entry, stamp, test.query_one(row, (sid,)).await)
}

// Cookies

#[tokio::test]
async fn a_cookie_with_a_session_is_its_user() {
    let test = TestSite::new().await;
    let ann = test.add_student("Ann.O'Neill+x@example.com").await;
    let door = Door::of(&test).await;
    let login = door.login(&with_sid(&ann.sid), now()).await.unwrap();
    let Login::User {
        player,
        via,
        cookie,
        refresh,
    } = login
    else {
        panic!("{login:?}")
    };
    assert_eq!(player, ann.player());
    assert_eq!(via, Via::Cookie);
    let cookie = cookie.unwrap();
    assert_eq!(cookie.sid.expose(), ann.sid);
    assert_eq!(cookie.max_age_s, 170 * 3600);
    assert!(refresh.is_none());
}

#[tokio::test]
async fn without_a_cookie_or_with_guests_it_is_a_guest() {
    let test = TestSite::new().await;
    let door = Door::of(&test).await;
    assert_eq!(door.who(&NOBODY, now()).await, "guest");
    assert_eq!(door.who(&with_sid("Guest"), now()).await, "guest");
    let post = LoginRequest {
        method: "POST",
        ..NOBODY
    };
    assert_eq!(door.who(&post, now()).await, "guest");
}

#[tokio::test]
async fn a_session_that_nobody_knows_is_left_to_frappe() {
    let test = TestSite::new().await;
    let ann = test.add_student("ann@example.com").await;
    test.forget_session_in_redis(&ann.sid).await;
    let door = Door::of(&test).await;
    let long = "a".repeat(10_000);
    for sid in [
        "0".repeat(56).as_str(),
        "",
        &long,
        // The table's comparison ignores both.
        &ann.sid.to_uppercase(),
        &format!("{} ", ann.sid),
        "' OR 1=1 -- ",
        "%",
        "\0",
        "😀",
        "guest",
        "ann@example.com",
    ] {
        let who = door.who(&with_sid(sid), now()).await;
        assert_eq!(who, "decline session-unknown", "{sid:?}");
    }
    assert!(stored(&test, &ann.sid).await.2.is_some());
}

#[tokio::test]
async fn an_unreadable_session_is_never_a_guest() {
    let test = TestSite::new().await;
    let ann = test.add_student("ann@example.com").await;
    let good = test.new_session("ann@example.com", Role::Student).pickle();
    let mut redis = test.cache.connection().await;
    let hostile: [&[u8]; 8] = [
        b"",
        b"garbage",
        b"cposix\nsystem\n(Vtrue\ntR.",
        b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\xff.",
        b"}X\x04\x00\x00\x00data}s.",
        b"]q\x00h\x00a.",
        &good[..good.len() - 1],
        &[b'('; 60_000],
    ];
    for pickle in hostile {
        let key = test.frappe_key("session");
        let _: () = redis.hset(&key, &ann.sid, pickle).await.unwrap();
        let who = Door::of(&test).await.who_cold(&with_sid(&ann.sid)).await;
        assert_eq!(who, "decline session-pickle", "{pickle:?}");
    }
    // Nor is one whose row cannot be read.
    test.forget_session_in_redis(&ann.sid).await;
    for text in ["{'a': open('/etc/passwd')}", "{\"user\": \"x\"", "", "["] {
        let update = "UPDATE tabSessions SET sessiondata = ? WHERE sid = ?";
        test.exec(update, (text, &ann.sid)).await;
        let who = Door::of(&test).await.who_cold(&with_sid(&ann.sid)).await;
        assert_eq!(who, "decline session-text", "{text}");
    }
}

#[tokio::test]
async fn an_expired_session_is_left_to_frappe_as_it_is() {
    let test = TestSite::new().await;
    let ann = test.add_student("ann@example.com").await;
    let old = add_session(&test, &ann, TimeDelta::seconds(170 * 3600 + 60), None).await;
    let before = stored(&test, &old.sid).await;
    let door = Door::of(&test).await;
    let request = with_sid(&old.sid);
    assert_eq!(door.who(&request, now()).await, "decline session-expired");
    test.forget_session_in_redis(&old.sid).await;
    assert_eq!(door.who_cold(&request).await, "decline session-expired");
    assert_eq!(stored(&test, &old.sid).await.2, before.2);
}

/// A session's times are wall times: taken for UTC this one would look hours too old or
/// too young.
#[tokio::test]
async fn age_is_measured_in_the_sites_zone() {
    for zone in [
        chrono_tz::Tz::America__New_York,
        chrono_tz::Tz::Pacific__Kiritimati,
    ] {
        let test = TestSite::builder().zone(zone).build().await;
        test.set_system_setting("session_expiry", "01:00").await;
        let ann = test.add_student("ann@example.com").await;
        let door = Door::of(&test).await;
        for (minutes, expected) in [
            (0, "ann@example.com by Cookie"),
            (59, "ann@example.com by Cookie"),
            (61, "decline session-expired"),
        ] {
            let mut session = test.new_session(&ann.name, Role::Student);
            session.last_updated -= TimeDelta::minutes(minutes);
            session.expiry = "01:00:00".to_owned();
            test.write_session(&session).await;
            let who = door.who(&with_sid(&session.sid), now()).await;
            assert_eq!(who, expected, "{zone} {minutes}");
        }
    }
}

// The table

#[tokio::test]
async fn the_table_answers_when_redis_forgot() {
    let test = TestSite::new().await;
    let ann = test.add_student("ann@example.com").await;
    test.forget_session_in_redis(&ann.sid).await;
    let door = Door::of(&test).await;
    let who = door.who(&with_sid(&ann.sid), now()).await;
    assert_eq!(who, "ann@example.com by Cookie");

    // Its CSRF token counts as well.
    let token = "c".repeat(56);
    let session = add_session(&test, &ann, TimeDelta::zero(), Some(&token)).await;
    test.forget_session_in_redis(&session.sid).await;
    let post = LoginRequest {
        method: "POST",
        ..with_sid(&session.sid)
    };
    assert_eq!(door.who(&post, now()).await, "Csrf");
    let post = LoginRequest {
        csrf_token: Some(&token),
        ..post
    };
    assert_eq!(door.who(&post, now()).await, "ann@example.com by Cookie");
}

#[tokio::test]
async fn the_table_holds_json_on_frappe_16() {
    let test = TestSite::builder().frappe(FrappeVersion::V16).build().await;
    let ann = test.add_student("ann@example.com").await;
    test.forget_session_in_redis(&ann.sid).await;
    let door = Door::of(&test).await;
    let request = with_sid(&ann.sid);
    assert_eq!(door.who(&request, now()).await, "decline session-text");
    let text = json!({"user": "ann@example.com", "csrf_token": null}).to_string();
    let update = "UPDATE tabSessions SET sessiondata = ? WHERE sid = ?";
    test.exec(update, (text, &ann.sid)).await;
    assert_eq!(door.who(&request, now()).await, "ann@example.com by Cookie");
}

#[tokio::test]
async fn the_table_answers_while_redis_is_away() {
    let test = TestSite::builder().own_cache().build().await;
    let ann = test.add_student("ann@example.com").await;
    let idle = add_session(&test, &ann, TimeDelta::seconds(601), None).await;
    let door = Door::of(&test).await;
    test.cache.server.kill();
    let who = door.who(&with_sid(&ann.sid), now()).await;
    assert_eq!(who, "ann@example.com by Cookie");

    // Extending works on the table alone.
    let t = now();
    let refresh = door.refresh_of(&idle.sid, t).await.expect("a refresh");
    door.auth.refresh(&door.ctx(), &refresh).await.unwrap();
    let row = "SELECT lastupdate FROM tabSessions WHERE sid = ?";
    let updated: Option<NaiveDateTime> = test.query_one(row, (&idle.sid,)).await;
    assert_eq!(updated, Some(test.wall(utc(t))));
    let later = t.plus_seconds(6);
    assert!(door.refresh_of(&idle.sid, later).await.is_none());
}

#[tokio::test]
async fn without_a_database_there_is_no_answer() {
    let test = TestSite::builder().own_mariadb().build().await;
    let ann = test.add_student("ann@example.com").await;
    let door = Door::of(&test).await;
    test.mariadb.kill();
    for request in [with_sid(&ann.sid), with_header(&ann.token())] {
        let error = door.login(&request, now()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.retry_after().is_some());
    }
    // It is not remembered either.
    test.mariadb.start_again().await;
    let who = door.who(&with_sid(&ann.sid), now()).await;
    assert_eq!(who, "ann@example.com by Cookie");
}

// What is believed, and for how long

#[tokio::test]
async fn a_logout_counts_within_five_seconds() {
    let test = TestSite::new().await;
    let ann = test.add_student("ann@example.com").await;
    let door = Door::of(&test).await;
    let request = with_sid(&ann.sid);
    let start = now();
    assert_eq!(door.who(&request, start).await, "ann@example.com by Cookie");

    let delete = "DELETE FROM tabSessions WHERE sid = ?";
    test.exec(delete, (&ann.sid,)).await;
    test.forget_session_in_redis(&ann.sid).await;
    let at = |seconds| door.who(&request, start.plus_seconds(seconds));
    assert_eq!(at(5).await, "ann@example.com by Cookie");
    assert_eq!(at(6).await, "decline session-unknown");
}

#[tokio::test]
async fn a_disabled_user_counts_within_a_minute_and_an_enabled_one_at_once() {
    let test = TestSite::new().await;
    let ann = test.add_student("ann@example.com").await;
    let door = Door::of(&test).await;
    let token = ann.token();
    let enable = "UPDATE tabUser SET enabled = ? WHERE name = 'ann@example.com'";
    let start = now();
    for (request, user, refused) in [
        (
            with_sid(&ann.sid),
            "ann@example.com by Cookie",
            "InvalidInput",
        ),
        (
            with_header(&token),
            "ann@example.com by Token",
            "Unauthorized",
        ),
    ] {
        test.exec(enable, (1,)).await;
        let at = |seconds| door.who(&request, start.plus_seconds(seconds));
        assert_eq!(at(0).await, user);
        test.exec(enable, (0,)).await;
        assert_eq!(at(60).await, user);
        assert_eq!(at(61).await, refused);
        test.exec(enable, (1,)).await;
        assert_eq!(at(62).await, refused, "a second is not worth a look");
        assert_eq!(at(63).await, user);
    }
    test.exec(enable, (0,)).await;
    let cold = Door::of(&test).await;
    let error = cold.login(&with_sid(&ann.sid), now()).await.unwrap_err();
    let message = "User ann@example.com is disabled. Please contact your System Manager.";
    assert_eq!(error.message(), message);
}

#[tokio::test]
async fn a_session_of_a_deleted_user_is_refused() {
    let test = TestSite::new().await;
    let ann = test.add_student("ann@example.com").await;
    test.exec("DELETE FROM tabUser WHERE name = 'ann@example.com'", ())
        .await;
    let door = Door::of(&test).await;
    assert_eq!(door.who(&with_sid(&ann.sid), now()).await, "InvalidInput");
    let who = door.who(&with_header(&ann.token()), now()).await;
    assert_eq!(who, "Unauthorized");
}

#[tokio::test]
async fn a_csrf_token_that_was_just_made_is_known() {
    let test = TestSite::new().await;
    let ann = test.add_student("ann@example.com").await;
    let mut session = add_session(&test, &ann, TimeDelta::zero(), Some("old")).await;
    let door = Door::of(&test).await;
    let (start, sid) = (now(), session.sid.clone());
    let post = |token| LoginRequest {
        method: "POST",
        csrf_token: Some(token),
        ..with_sid(&sid)
    };
    let who = door.who(&post("old"), start).await;
    assert_eq!(who, "ann@example.com by Cookie");
    session.csrf_token = Some("new".to_owned());
    test.write_session_to_redis(&session).await;
    let soon = start.plus_seconds(2);
    assert_eq!(door.who(&post("bad"), soon).await, "Csrf");
    assert_eq!(
        door.who(&post("new"), soon).await,
        "ann@example.com by Cookie"
    );
}

// API keys

#[tokio::test]
async fn api_keys_by_token_and_basic() {
    use base64::prelude::{BASE64_STANDARD, Engine};
    let test = TestSite::new().await;
    let ann = test.add_student("ann@example.com").await;
    let door = Door::of(&test).await;
    let (key, secret) = (&ann.api_key, &ann.api_secret);
    let pair = format!("{key}:{secret}");
    let basic = |text: &str| format!("Basic {}", BASE64_STANDARD.encode(text));
    for (header, expected) in [
        (format!("token {pair}"), "ann@example.com by Token"),
        (format!("TOKEN {pair}"), "ann@example.com by Token"),
        (basic(&pair), "ann@example.com by Token"),
        // The column's comparison ignores case, the secret's does not.
        (
            format!("token {}:{secret}", key.to_uppercase()),
            "ann@example.com by Token",
        ),
        (format!("token {key}:{}X", &secret[1..]), "Unauthorized"),
        (format!("token {key}:{secret}x"), "Unauthorized"),
        (format!("token {key}:"), "Unauthorized"),
        (format!("token :{secret}"), "Unauthorized"),
        ("token :".to_owned(), "Unauthorized"),
        (format!("token nosuchkey:{secret}"), "Unauthorized"),
        (format!("token {}:x", "k".repeat(5000)), "Unauthorized"),
        (format!("token {key}:{secret}:"), "Unauthorized"),
        (format!("token {key}"), "Unauthorized"),
        (format!("Foo {pair}"), "Unauthorized"),
        (basic("nocolon"), "Unauthorized"),
        ("Basic abc".to_owned(), "BadCredentials"),
        ("Bearer x".to_owned(), "decline bearer"),
        // Not two parts: not looked at.
        (format!("token {pair} x"), "guest"),
        ("token".to_owned(), "guest"),
        (String::new(), "guest"),
    ] {
        let who = door.who(&with_header(&header), now()).await;
        assert_eq!(who, expected, "{header:?}");
    }
    // A POST with a token needs no CSRF token.
    let token = ann.token();
    let post = LoginRequest {
        method: "POST",
        ..with_header(&token)
    };
    assert_eq!(door.who(&post, now()).await, "ann@example.com by Token");
    let source = LoginRequest {
        authorization_source: true,
        ..post
    };
    assert_eq!(
        door.who(&source, now()).await,
        "decline authorization-source"
    );
}

#[tokio::test]
async fn secrets_that_cannot_be_read() {
    let test = TestSite::new().await;
    let ann = test.add_student("ann@example.com").await;
    let bob = test.add_student("bob@example.com").await;
    let cid = test.add_student("cid@example.com").await;
    test.exec("DELETE FROM __Auth WHERE name = 'bob@example.com'", ())
        .await;
    let foreign = fernet::Fernet::generate_key();
    let foreign = fernet::Fernet::new(&foreign).unwrap();
    test.exec(
        "UPDATE __Auth SET password = ? WHERE name = 'cid@example.com'",
        (foreign.encrypt(cid.api_secret.as_bytes()),),
    )
    .await;
    let mut door = Door::of(&test).await;
    let (bob, cid, ann) = (bob.token(), cid.token(), ann.token());
    assert_eq!(door.who(&with_header(&bob), now()).await, "Unauthorized");
    // Frappe has words of its own for this.
    let who = door.who(&with_header(&cid), now()).await;
    assert_eq!(who, "decline api-secret");
    door.config.encryption_key = None;
    assert_eq!(door.who_cold(&with_header(&ann)).await, "Unauthorized");
    door.config.encryption_key = Some(Secret::new("no key at all"));
    let who = door.who_cold(&with_header(&ann)).await;
    assert_eq!(who, "decline api-secret");
}

#[tokio::test]
async fn a_new_secret_counts_at_once_and_the_old_one_for_a_minute_at_most() {
    let test = TestSite::new().await;
    let ann = test.add_student("ann@example.com").await;
    let door = Door::of(&test).await;
    let start = now();
    let old = ann.token();
    let who = door.who(&with_header(&old), start).await;
    assert_eq!(who, "ann@example.com by Token");
    let fernet = fernet::Fernet::new(&test.encryption_key).unwrap();
    let update = "UPDATE __Auth SET password = ? WHERE name = 'ann@example.com'";
    test.exec(update, (fernet.encrypt(b"renewed"),)).await;
    let new = format!("token {}:renewed", ann.api_key);
    let soon = start.plus_seconds(2);
    assert_eq!(
        door.who(&with_header(&old), soon).await,
        "ann@example.com by Token"
    );
    assert_eq!(
        door.who(&with_header(&new), soon).await,
        "ann@example.com by Token"
    );
    assert_eq!(door.who(&with_header(&old), soon).await, "Unauthorized");
}

/// Users, secrets and encryption key of the captured site.
#[tokio::test]
async fn captured_credentials_are_accepted() {
    let tables = include_str!("../fixtures/auth_tables.json");
    let tables: serde_json::Value = serde_json::from_str(tables).unwrap();
    let test = TestSite::new().await;
    test.exec("DELETE FROM tabUser", ()).await;
    let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    for user in tables["tabUser"]["rows"].as_array().unwrap() {
        test.exec(
            "INSERT INTO tabUser (name, enabled, api_key, user_type) VALUES (?, ?, ?, ?)",
            (
                text(&user["name"]),
                user["enabled"].as_i64(),
                text(&user["api_key"]),
                text(&user["user_type"]),
            ),
        )
        .await;
    }
    for auth in tables["__Auth"]["rows"].as_array().unwrap() {
        test.exec(
            "INSERT INTO __Auth (doctype, name, fieldname, password, encrypted) \
             VALUES (?, ?, ?, ?, ?)",
            (
                text(&auth["doctype"]),
                text(&auth["name"]),
                text(&auth["fieldname"]),
                text(&auth["password"]),
                auth["encrypted"].as_i64(),
            ),
        )
        .await;
    }
    let mut door = Door::of(&test).await;
    let key = text(&tables["site_config.json"]["encryption_key"]).unwrap();
    door.config.encryption_key = Some(Secret::new(key));
    for (user, pair) in tables["known_plaintext"].as_object().unwrap() {
        let header = format!("token {}", pair.as_str().unwrap());
        let who = door.who(&with_header(&header), now()).await;
        assert_eq!(who, format!("{user} by Token"));
    }
    // As captured in http_get_api_basic.
    let basic = "Basic MGQxNGEyYzQ0YWVkYjVjOjQ1ZTRjOGM0MjEzN2U4NA==";
    let who = door.who(&with_header(basic), now()).await;
    assert_eq!(who, "stu000@lab.test by Token");
}

#[tokio::test]
async fn credentials_beside_a_session_are_checked_but_the_session_decides() {
    let test = TestSite::new().await;
    let ann = test.add_student("ann@example.com").await;
    let bob = test.add_student("bob@example.com").await;
    let door = Door::of(&test).await;
    let right = bob.token();
    let wrong = format!("token {}:wrong", bob.api_key);
    for (header, expected) in [
        (right.as_str(), "ann@example.com by Cookie"),
        (&wrong, "Unauthorized"),
        ("Foo bar", "ann@example.com by Cookie"),
        ("token nocolon", "ann@example.com by Cookie"),
        ("Basic abc", "BadCredentials"),
        ("Bearer x", "decline bearer"),
    ] {
        let request = LoginRequest {
            authorization: Some(header),
            ..with_sid(&ann.sid)
        };
        assert_eq!(door.who(&request, now()).await, expected, "{header}");
    }
    let guest = LoginRequest {
        authorization: Some(&right),
        ..with_sid("Guest")
    };
    assert_eq!(door.who(&guest, now()).await, "bob@example.com by Token");
    // A dead cookie has side effects in Frappe, whatever stands beside it.
    let dead = LoginRequest {
        authorization: Some(&right),
        ..with_sid("0123")
    };
    assert_eq!(door.who(&dead, now()).await, "decline session-unknown");
}

// CSRF, addresses, other sessions

#[tokio::test]
async fn csrf_as_in_each_version() {
    const OK: &str = "ann@example.com by Cookie";
    for version in [FrappeVersion::V14, FrappeVersion::V15, FrappeVersion::V16] {
        let test = TestSite::builder().frappe(version).build().await;
        let ann = test.add_student("ann@example.com").await;
        let session = add_session(&test, &ann, TimeDelta::zero(), Some("token")).await;
        let mut door = Door::of(&test).await;
        let v16 = version == FrappeVersion::V16;
        let patch = match version {
            FrappeVersion::V14 => OK,
            _ => "Csrf",
        };
        for (method, given, expected) in [
            ("GET", None, OK),
            ("HEAD", None, OK),
            ("POST", None, "Csrf"),
            ("POST", Some(""), "Csrf"),
            ("POST", Some("tokeN"), "Csrf"),
            ("POST", Some("token "), "Csrf"),
            ("POST", Some("token"), OK),
            ("PUT", None, "Csrf"),
            ("DELETE", None, "Csrf"),
            ("PATCH", None, patch),
        ] {
            let request = LoginRequest {
                method,
                csrf_token: given,
                ..with_sid(&session.sid)
            };
            let who = door.who(&request, now()).await;
            assert_eq!(who, expected, "{version:?} {method} {given:?}");
        }
        // A session that never saw a page has no token.
        let post = LoginRequest {
            method: "POST",
            ..with_sid(&ann.sid)
        };
        let expected = if v16 { "decline csrf-origin" } else { OK };
        assert_eq!(door.who(&post, now()).await, expected, "{version:?}");
        // CSRF is judged before the credentials, which Frappe 16 changed.
        let header = ann.token();
        let both = LoginRequest {
            method: "POST",
            authorization: Some(&header),
            ..with_sid(&session.sid)
        };
        let expected = if v16 {
            "decline csrf-authorization"
        } else {
            "Csrf"
        };
        assert_eq!(door.who(&both, now()).await, expected, "{version:?}");

        door.config.ignore_csrf = true;
        assert_eq!(door.who(&post, now()).await, OK, "{version:?}");
    }
}

#[tokio::test]
async fn addresses_outside_the_users_list_are_refused() {
    let test = TestSite::new().await;
    let ann = test.add_student("ann@example.com").await;
    let update = "UPDATE tabUser SET restrict_ip = '10.0., 192.168.1.5' WHERE name = ?";
    test.exec(update, (&ann.name,)).await;
    let door = Door::of(&test).await;
    for (address, expected) in [
        (Some("10.0.3.4"), "ann@example.com by Cookie"),
        (Some("192.168.1.5, 1.1.1.1"), "ann@example.com by Cookie"),
        (Some("1.1.1.1, 10.0.3.4"), "AddressRefused"),
        (None, "AddressRefused"),
    ] {
        let request = LoginRequest {
            forwarded_for: address,
            ..with_sid(&ann.sid)
        };
        assert_eq!(door.who(&request, now()).await, expected, "{address:?}");
    }
    // As in Frappe, an API key may come from anywhere.
    let who = door.who(&with_header(&ann.token()), now()).await;
    assert_eq!(who, "ann@example.com by Token");
}

#[tokio::test]
async fn where_a_request_ends_other_sessions_it_is_frappes() {
    let test = TestSite::new().await;
    let ann = test.add_student("ann@example.com").await;
    test.set_system_setting("deny_multiple_sessions", "1").await;
    let door = Door::of(&test).await;
    let who = door.who(&with_sid(&ann.sid), now()).await;
    assert_eq!(who, "decline deny-multiple-sessions");
    let who = door.who(&with_header(&ann.token()), now()).await;
    assert_eq!(who, "ann@example.com by Token");
}

// Sliding expiry

#[tokio::test]
async fn a_session_in_use_is_extended_in_every_place_and_nothing_else_changes() {
    let test = TestSite::new().await;
    let ann = test.add_student("ann@example.com").await;
    let bob = test.add_student("bob@example.com").await;
    let old = add_session(&test, &ann, TimeDelta::seconds(601), Some("token")).await;
    let bystander = stored(&test, &bob.sid).await;
    let mut redis = test.cache.connection().await;
    let cached_user = test.frappe_key("document_cache::User::ann@example.com");
    let _: () = redis.set(&cached_user, "x").await.unwrap();

    let door = Door::of(&test).await;
    let t = now();
    let refresh = door.refresh_of(&old.sid, t).await.expect("a refresh");
    let again = door.refresh_of(&old.sid, t).await;
    assert!(again.is_none(), "one request of many does it");
    door.auth.refresh(&door.ctx(), &refresh).await.unwrap();

    // Byte for byte what Frappe would have written.
    let new = Session {
        last_updated: test.wall(utc(t)),
        ..old.clone()
    };
    let time = frappe_time(new.last_updated);
    let (entry, stamp, row) = stored(&test, &old.sid).await;
    assert_eq!(entry, Some(new.pickle()));
    assert_eq!(row, Some(format!("{time} {}", new.repr())));
    let stamp = stamp.unwrap();
    assert_eq!(stamp.len(), 41);
    assert_eq!(&stamp[13..39], time.as_bytes());
    let user = "SELECT CAST(last_active AS CHAR), CAST(modified AS CHAR) FROM tabUser \
                WHERE name = ?";
    let active: Option<(Option<String>, String)> = test.query_one(user, (&ann.name,)).await;
    let (active, modified) = active.unwrap();
    assert_eq!(active, Some(time.clone()));
    assert_ne!(modified, time);
    assert!(!redis.exists::<_, bool>(&cached_user).await.unwrap());
    assert_eq!(stored(&test, &bob.sid).await, bystander);
    let untouched: Option<(Option<String>,)> = test
        .query_one(
            "SELECT CAST(last_active AS CHAR) FROM tabUser WHERE name = ?",
            (&bob.name,),
        )
        .await;
    assert_eq!(untouched, Some((None,)));

    assert!(door.refresh_of(&old.sid, t.plus_seconds(6)).await.is_none());
    let idle = t.plus_seconds(700);
    assert!(door.refresh_of(&old.sid, idle).await.is_some());
}

#[tokio::test]
async fn a_session_that_was_logged_out_does_not_come_back() {
    let test = TestSite::new().await;
    let ann = test.add_student("ann@example.com").await;
    let door = Arc::new(Door::of(&test).await);
    let logout = async |sid: &str| {
        let delete = "DELETE FROM tabSessions WHERE sid = ?";
        test.exec(delete, (sid,)).await;
        test.forget_session_in_redis(sid).await;
    };

    // Before the refresh begins.
    let first = add_session(&test, &ann, TimeDelta::seconds(601), None).await;
    let refresh = door.refresh_of(&first.sid, now()).await.unwrap();
    logout(&first.sid).await;
    door.auth.refresh(&door.ctx(), &refresh).await.unwrap();
    assert_eq!(stored(&test, &first.sid).await, (None, None, None));

    // Between the table and Redis.
    let second = add_session(&test, &ann, TimeDelta::seconds(601), None).await;
    let refresh = door.refresh_of(&second.sid, now()).await.unwrap();
    let paused = failpoint::pause(&test.name, "session_row_refreshed");
    let running = {
        let door = door.clone();
        tokio::spawn(async move { door.auth.refresh(&door.ctx(), &refresh).await })
    };
    paused.reached().await;
    logout(&second.sid).await;
    paused.release();
    running.await.unwrap().unwrap();
    assert_eq!(stored(&test, &second.sid).await, (None, None, None));

    // Only the row is gone: Redis is left as it is, and Frappe asked next time.
    let third = add_session(&test, &ann, TimeDelta::seconds(601), None).await;
    let t = now();
    let refresh = door.refresh_of(&third.sid, t).await.unwrap();
    test.exec("DELETE FROM tabSessions WHERE sid = ?", (&third.sid,))
        .await;
    let before = stored(&test, &third.sid).await;
    door.auth.refresh(&door.ctx(), &refresh).await.unwrap();
    assert_eq!(stored(&test, &third.sid).await, before);
    let who = door.who(&with_sid(&third.sid), t.plus_seconds(6)).await;
    assert_eq!(who, "decline session-refresh");
}

#[tokio::test]
async fn a_csrf_token_that_came_meanwhile_is_kept() {
    let test = TestSite::new().await;
    let ann = test.add_student("ann@example.com").await;
    let door = Arc::new(Door::of(&test).await);
    // Before and after the row was read; extended later, and a little earlier, than here.
    for (point, seconds) in [
        (None, 700),
        (None, 600),
        (Some("session_row_read"), 700),
        (Some("session_row_read"), 600),
        (Some("session_row_refreshed"), 700),
    ] {
        let old = add_session(&test, &ann, TimeDelta::seconds(601), None).await;
        let refresh = door.refresh_of(&old.sid, now()).await.unwrap();
        // Frappe gives it a token, and extends it.
        let mut with_token = old.clone();
        with_token.csrf_token = Some("token".to_owned());
        with_token.last_updated += TimeDelta::seconds(seconds);
        let frappe = async || {
            test.exec("DELETE FROM tabSessions WHERE sid = ?", (&old.sid,))
                .await;
            test.write_session(&with_token).await;
        };
        let paused = match point {
            Some(point) => Some(failpoint::pause(&test.name, point)),
            None => {
                frappe().await;
                None
            }
        };
        let task = {
            let door = door.clone();
            tokio::spawn(async move { door.auth.refresh(&door.ctx(), &refresh).await })
        };
        if let Some(paused) = paused {
            paused.reached().await;
            frappe().await;
        }
        task.await.unwrap().unwrap();
        let (entry, _, row) = stored(&test, &old.sid).await;
        assert_eq!(entry, Some(with_token.pickle()), "{point:?} {seconds}");
        let row = row.unwrap();
        assert!(row.contains("'csrf_token': 'token'"), "{point:?} {seconds}");
    }
}

#[tokio::test]
async fn what_cannot_be_extended_here_is_left_to_frappe() {
    for version in [FrappeVersion::V14, FrappeVersion::V16] {
        let test = TestSite::builder().frappe(version).build().await;
        let ann = test.add_student("ann@example.com").await;
        let idle = add_session(&test, &ann, TimeDelta::seconds(601), None).await;
        let door = Door::of(&test).await;
        let who = door.who(&with_sid(&idle.sid), now()).await;
        assert_eq!(who, "decline session-refresh", "{version:?}");
    }
    // Frappe also puts a session back that Redis forgot.
    let test = TestSite::new().await;
    let ann = test.add_student("ann@example.com").await;
    let idle = add_session(&test, &ann, TimeDelta::seconds(601), None).await;
    test.forget_session_in_redis(&idle.sid).await;
    let door = Door::of(&test).await;
    let t = now();
    let request = with_sid(&idle.sid);
    assert_eq!(door.who(&request, t).await, "decline session-refresh");
    // Once it did, the session is served again without delay.
    let mut extended = idle.clone();
    extended.last_updated = test.wall(utc(t));
    test.write_session_to_redis(&extended).await;
    let who = door.who(&request, t.plus_seconds(2)).await;
    assert_eq!(who, "ann@example.com by Cookie");
}

// Settings

#[tokio::test]
async fn settings_are_read_with_frappes_defaults() {
    let test = TestSite::builder()
        .zone(chrono_tz::Tz::Africa__Cairo)
        .build()
        .await;
    let site = test.site().await;
    let settings = read_settings(&site.db).await.unwrap();
    assert_eq!(settings.zone.name(), "Africa/Cairo");
    assert!(settings.allow_error_traceback);
    assert!(!settings.enable_two_factor_auth);
    assert_eq!(settings.session_expiry_s(FrappeVersion::V15), 170 * 3600);

    let auth = Authenticator::new(32);
    let t = now();
    assert_eq!(*auth.settings(&site.db, t).await.unwrap(), settings);
    test.exec("DELETE FROM tabSingles", ()).await;
    test.exec("DELETE FROM tabDefaultValue", ()).await;
    let minute = t.plus_seconds(60);
    assert_eq!(*auth.settings(&site.db, minute).await.unwrap(), settings);
    let later = t.plus_seconds(61);
    let bare = auth.settings(&site.db, later).await.unwrap();
    assert_eq!(bare.zone.name(), "Asia/Kolkata");
    assert!(!bare.allow_error_traceback);
    assert_eq!(bare.session_expiry_s(FrappeVersion::V14), 6 * 3600);
    assert_eq!(bare.session_expiry_s(FrappeVersion::V15), 240 * 3600);
}

// What it costs

#[tokio::test]
async fn a_cold_login_is_one_read_and_one_statement_and_a_warm_one_nothing() {
    let test = TestSite::builder().own_mariadb().build().await;
    let ann = test.add_student("ann@example.com").await;
    let bob = test.add_student("bob@example.com").await;
    let evicted = add_session(&test, &ann, TimeDelta::zero(), None).await;
    test.forget_session_in_redis(&evicted.sid).await;
    let door = Arc::new(Door::of(&test).await);
    // Connections are open before anything is counted.
    read_settings(&door.site.db).await.unwrap();
    let ping = redis::cmd("PING");
    let _: String = door.site.cache_redis.query(&ping).await.unwrap();
    let mut redis = RedisCounter::start(&test.cache).await;
    let sql = SqlCounter::start(&test).await;
    let hget = |sid: &str| vec![format!("\"HGET\" \"{}|session\" \"{sid}\"", test.db_name)];

    let start = now();
    let cookie = with_sid(&ann.sid);
    assert_eq!(door.who(&cookie, start).await, "ann@example.com by Cookie");
    assert_eq!(redis.take().await, hget(&ann.sid));
    assert_eq!(sql.take().await.len(), 1);

    for seconds in 0..5 {
        door.who(&cookie, start.plus_seconds(seconds)).await;
    }
    assert!(redis.take().await.is_empty());
    assert!(sql.take().await.is_empty());

    // The user is believed longer than the session.
    door.who(&cookie, start.plus_seconds(6)).await;
    assert_eq!(redis.take().await, hget(&ann.sid));
    assert!(sql.take().await.is_empty());

    let header = ann.token();
    let token = with_header(&header);
    assert_eq!(door.who(&token, start).await, "ann@example.com by Token");
    assert_eq!(door.who(&token, start).await, "ann@example.com by Token");
    assert!(redis.take().await.is_empty());
    assert_eq!(sql.take().await.len(), 1);

    // A session that only the table knows costs one statement too, and a stamp.
    let who = door.who_cold(&with_sid(&evicted.sid)).await;
    assert_eq!(who, "ann@example.com by Cookie");
    let commands = redis.take().await;
    assert_eq!(commands[..1], hget(&evicted.sid));
    let stamp = format!("\"{}|last_db_session_update\"", test.db_name);
    assert!(
        commands[1].starts_with(&format!("\"HSETNX\" {stamp}")),
        "{commands:?}"
    );
    assert_eq!(
        commands[2..],
        [format!("\"HGET\" {stamp} \"{}\"", evicted.sid)]
    );
    assert_eq!(sql.take().await.len(), 1);

    // A crowd of one student's requests is one login.
    let crowd = (0..100).map(|_| {
        let (door, sid) = (door.clone(), bob.sid.clone());
        tokio::spawn(async move { door.who(&with_sid(&sid), now()).await })
    });
    for one in crowd.collect::<Vec<_>>() {
        assert_eq!(one.await.unwrap(), "bob@example.com by Cookie");
    }
    assert_eq!(redis.take().await, hget(&bob.sid));
    assert_eq!(sql.take().await.len(), 1);
}

#[tokio::test]
async fn a_session_that_redis_forgot_costs_a_statement_a_minute() {
    for version in [FrappeVersion::V14, FrappeVersion::V15] {
        let test = TestSite::builder()
            .frappe(version)
            .own_mariadb()
            .build()
            .await;
        let ann = test.add_student("ann@example.com").await;
        let door = Door::of(&test).await;
        read_settings(&door.site.db).await.unwrap();
        let sql = SqlCounter::start(&test).await;
        let cookie = with_sid(&ann.sid);
        let start = now();
        let at = async |seconds| {
            let who = door.who(&cookie, start.plus_seconds(seconds)).await;
            assert_eq!(who, "ann@example.com by Cookie", "{seconds}");
        };
        // `bench clear-cache`, before the first minute and in the middle of the third.
        test.forget_session_in_redis(&ann.sid).await;
        for (minute, statements) in [(0, 1), (1, 1), (2, 2)] {
            for seconds in (1..=60).step_by(3) {
                if (minute, seconds) == (2, 31) {
                    test.forget_session_in_redis(&ann.sid).await;
                }
                at(minute * 60 + seconds).await;
            }
            assert_eq!(sql.take().await.len(), statements, "{minute}");
        }
        // Frappe extends the session at its next request, as without the stamp.
        let (entry, stamp, _) = stored(&test, &ann.sid).await;
        assert_eq!(entry, None);
        let stamp = String::from_utf8_lossy(&stamp.unwrap()).into_owned();
        assert!(stamp.contains("2000-01-01 "), "{stamp}");

        // One that nobody knows leaves nothing behind.
        let who = door.who(&with_sid("made-up"), start).await;
        assert_eq!(who, "decline session-unknown");
        assert_eq!(stored(&test, "made-up").await, (None, None, None));
    }
}

#[tokio::test]
async fn a_logout_counts_within_five_seconds_when_redis_forgot_the_session() {
    let test = TestSite::new().await;
    let ann = test.add_student("ann@example.com").await;
    let logout = async |sid: &str| {
        let delete = "DELETE FROM tabSessions WHERE sid = ?";
        test.exec(delete, (sid,)).await;
        test.forget_session_in_redis(sid).await;
    };
    for version in [FrappeVersion::V15, FrappeVersion::V16] {
        let (mut door, mut other) = (Door::of(&test).await, Door::of(&test).await);
        door.config.frappe = version;
        other.config.frappe = version;
        let session = add_session(&test, &ann, TimeDelta::zero(), None).await;
        test.forget_session_in_redis(&session.sid).await;
        if version == FrappeVersion::V16 {
            let update = "UPDATE tabSessions SET sessiondata = '{}' WHERE sid = ?";
            test.exec(update, (&session.sid,)).await;
        }
        let (cookie, start) = (with_sid(&session.sid), now());
        let at = |seconds| door.who(&cookie, start.plus_seconds(seconds));
        for seconds in [0, 6, 12] {
            assert_eq!(at(seconds).await, "ann@example.com by Cookie");
        }
        logout(&session.sid).await;
        assert_eq!(at(17).await, "ann@example.com by Cookie");
        // A stamp that another process sets does not vouch for what was read before.
        let paused = failpoint::pause(&test.name, "session_stamped");
        let request = other.who(&cookie, start.plus_seconds(18));
        let meanwhile = async {
            paused.reached().await;
            let stamp = stored(&test, &session.sid).await.1;
            assert_eq!(stamp.is_some(), version == FrappeVersion::V15);
            let mut look = std::pin::pin!(at(18));
            let early = tokio::select! {
                who = &mut look => Some(who),
                () = paused.reached() => None,
            };
            drop(paused);
            match early {
                Some(who) => who,
                None => look.await,
            }
        };
        let (theirs, ours) = tokio::join!(request, meanwhile);
        assert_eq!(theirs, "decline session-unknown");
        assert_eq!(ours, "decline session-unknown");
        assert_eq!(stored(&test, &session.sid).await, (None, None, None));
    }
}

#[tokio::test]
async fn a_logout_while_the_row_is_read_is_not_missed() {
    let test = TestSite::new().await;
    let ann = test.add_student("ann@example.com").await;
    test.forget_session_in_redis(&ann.sid).await;
    let door = Door::of(&test).await;
    let (cookie, start) = (with_sid(&ann.sid), now());
    let paused = failpoint::pause(&test.name, "session_stamped");
    let request = door.who(&cookie, start);
    let logout = async {
        paused.reached().await;
        test.exec("DELETE FROM tabSessions WHERE sid = ?", (&ann.sid,))
            .await;
        test.forget_session_in_redis(&ann.sid).await;
        paused.release();
    };
    // Who reads the row before its stamp would be told "by Cookie", for a minute.
    let (who, ()) = tokio::join!(request, logout);
    assert_eq!(who, "decline session-unknown");
    drop(paused);
    let later = door.who(&cookie, start.plus_seconds(6)).await;
    assert_eq!(later, "decline session-unknown");
}

/// Errors and debug output end up in logs.
#[tokio::test]
async fn nothing_secret_is_shown() {
    let test = TestSite::new().await;
    let ann = test.add_student("ann@example.com").await;
    let idle = add_session(&test, &ann, TimeDelta::seconds(601), Some("csrf-token")).await;
    let door = Door::of(&test).await;
    let login = door.login(&with_sid(&idle.sid), now()).await.unwrap();
    let shown = format!("{login:?}");
    assert!(!shown.contains(&idle.sid), "{shown}");
    let show = |error: Error| format!("{error} {error:?}");
    let wrong = format!("token {}:hush", ann.api_key);
    let error = door.login(&with_header(&wrong), now()).await.unwrap_err();
    let shown = show(error);
    assert!(
        !shown.contains("hush") && !shown.contains(&ann.api_key),
        "{shown}"
    );
    let post = LoginRequest {
        method: "POST",
        ..with_sid(&idle.sid)
    };
    let shown = format!("{:?}", door.login(&post, now()).await.unwrap());
    assert!(shown.contains("Csrf") && !shown.contains("csrf-token"));
    assert!(!shown.contains(&idle.sid), "{shown}");
}
