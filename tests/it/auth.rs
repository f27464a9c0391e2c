//! Who is asking, on real servers: every test is a site of its own with what Frappe
//! would have written.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod cost;
mod credentials;
mod extending;
mod freshness;
mod sessions;

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
