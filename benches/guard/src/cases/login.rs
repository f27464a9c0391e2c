//! Of a login: the cookie, Frappe's session, and the judgement of who is remembered.

use std::fs;

use futures_util::FutureExt;
use memora_core::config::{SiteConfig, load_with_env};
use memora_core::frappe::{AuthContext, Authenticator, Login, LoginRequest, sid_cookie};
use memora_core::pickle::{self, Limits};
use memora_core::servers::mariadb::MariaDb;
use memora_core::servers::redis::RedisLink;
use memora_core::types::UtcMicros;
use tokio::runtime;

use super::{Case, calls};

const SID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef01234567";
const COOKIES: &str = "full_name=Ann%20Onym; \
    sid=0123456789abcdef0123456789abcdef0123456789abcdef01234567; system_user=no; \
    user_id=ann%40example.com; user_image=";
/// The token of the captured session.
const CSRF_TOKEN: &str = "af6fd561e33f2e4e606307e19a323b030791c16092f42b8667421ff7";

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("sid_cookie", || {
            calls(|| sid_cookie(COOKIES).expect("a sid"))
        }),
        Case::new("session_pickle", session_pickle),
        Case::new("login_of_read", || login("GET")),
        Case::new("login_of_submit", || login("POST")),
    ]
}

/// A session with a CSRF token, as Frappe 15 keeps it.
fn session() -> Vec<u8> {
    let text =
        include_str!("../../../../tests/fixtures/redis_session_hash_entry_admin_with_csrf.json");
    let entry: serde_json::Value = serde_json::from_str(text).expect("JSON");
    let hex = entry["value"]["hex"].as_str().expect("a pickle");
    let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("a hex digit");
    (0..hex.len()).step_by(2).map(digit).collect()
}

fn session_pickle() -> Box<dyn FnMut()> {
    let session = session();
    let limits = Limits {
        input: 64 * 1024,
        values: 10_000,
        text: 1024 * 1024,
        depth: 32,
    };
    calls(move || pickle::read(&session, limits).expect("a session"))
}

/// From the cookies to the student, whose session and row are remembered.
fn login(method: &'static str) -> Box<dyn FnMut()> {
    let runtime = runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.expect("a runtime");
    let config = config();
    let (redis, db) = {
        let _within = runtime.enter();
        let redis = RedisLink::new("redis_cache", "redis://127.0.0.1:1").expect("a URL");
        (redis, MariaDb::new(&config.db, 8))
    };
    // Right after the captured login.
    let now = UtcMicros(used_at(&session()));
    let memory = Authenticator::new(8);
    memory.believe(SID, session(), now).expect("a session");
    calls(move || {
        let _within = runtime.enter();
        let context = AuthContext {
            redis: &redis,
            db: &db,
            config: &config,
        };
        let sid = sid_cookie(COOKIES);
        let request = LoginRequest {
            method,
            sid: sid.as_deref(),
            authorization: None,
            authorization_source: false,
            csrf_token: Some(CSRF_TOKEN),
            forwarded_for: Some("203.0.113.7"),
        };
        let login = memory.authenticate(&context, &request, now).now_or_never();
        match login {
            Some(Ok(Login::User { player, cookie, .. })) => {
                (player, cookie.map(|cookie| cookie.header_value(true, now)))
            }
            other => panic!("{other:?}"),
        }
    })
}

/// When the captured session was last used, in UTC.
fn used_at(session: &[u8]) -> i64 {
    // Times in it are of exactly this form: 2026-11-23 02:42:28.235659.
    let text = String::from_utf8_lossy(session);
    let at = text.find("last_updated").expect("a time") + "last_updated".len();
    let time = text[at..].find("20").map(|digits| &text[at + digits..]);
    let time: String = time.expect("a time").chars().take(26).collect();
    let zone = memora_core::site_time::SiteZone::UTC;
    zone.parse(&time)
        .unwrap_or_else(|| panic!("{time} is no time"))
        .0
}

fn config() -> SiteConfig {
    let folder = tempfile::tempdir().expect("a folder");
    let site = folder.path().join("srs.localhost");
    fs::create_dir(&site).expect("a folder");
    fs::write(folder.path().join("common_site_config.json"), "{}").expect("a file");
    fs::write(site.join("site_config.json"), r#"{"db_name": "guard"}"#).expect("a file");
    load_with_env(folder.path(), "srs.localhost", &|_| None).expect("a configuration")
}
