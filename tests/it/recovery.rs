//! The cache Redis goes away and comes back: Safe Mode, and what was accepted meanwhile.
//!
//! Each test ends with the same question: does anybody, in any process, see an older
//! version than one that was acknowledged (G4)?

mod again;
mod breaker;
mod one_process;
mod returns;

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use memora_core::config::Secret;
use memora_core::services::Site;
use memora_tests::http::Answer;
use memora_tests::programs::Start;
use memora_tests::proxy::Proxy;
use memora_tests::questions::question_id;
use memora_tests::servers::RedisOptions;
use memora_tests::site::Builder;
use memora_tests::{Http, Sidecar, Student, TestSite, wait};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::story::{SEASON, answers, count, furnish};

const READ: &str = "/api/method/memora.api.reviews.get_review_session";
const SUBMIT: &str = "/api/method/memora.api.reviews.submit_review_session";

/// Due questions of the student; more than Safe Mode shows.
const DUE: u64 = 20;

/// A site whose servers may be stopped, and a student with `DUE` due questions.
async fn stage_with(cache: RedisOptions) -> (TestSite, Student) {
    stage_of(TestSite::builder().own_cache_with(cache)).await
}

async fn stage_of(builder: Builder) -> (TestSite, Student) {
    let test = builder.own_queue().build().await;
    furnish(&test, 0, 0).await;
    let student = test.add_student("bob@example.com").await;
    let due = memora_tests::Due::First(DUE as usize);
    test.add_questions(&student.name, SEASON, DUE as usize, due)
        .await;
    (test, student)
}

async fn stage() -> (TestSite, Student) {
    stage_with(RedisOptions::default()).await
}

/// In a process that reaches these servers through proxies.
fn through(test: &TestSite, cache: Option<&Proxy>, queue: Option<&Proxy>) -> Start {
    let mut start = Start::default();
    for (variable, proxy, db) in [
        ("FRAPPE_REDIS_CACHE", cache, &test.cache),
        ("FRAPPE_REDIS_QUEUE", queue, &test.queue),
    ] {
        if let Some(proxy) = proxy {
            let url = format!("redis://{}/{}", proxy.address, db.index);
            start.env.push((variable.to_owned(), url));
        }
    }
    start
}

/// The same for a site in this process.
fn opened_through(test: &TestSite, cache: Option<&Proxy>, queue: Option<&Proxy>) -> Arc<Site> {
    let mut config = test.config();
    if let Some(proxy) = cache {
        let url = format!("redis://{}/{}", proxy.address, test.cache.index);
        config.redis_cache = Secret::new(&url);
        config.srs_redis = Secret::new(&url);
    }
    if let Some(proxy) = queue {
        let url = format!("redis://{}/{}", proxy.address, test.queue.index);
        config.redis_queue = Secret::new(&url);
    }
    Site::open(config).expect("opening the site")
}

/// What a student sees, through one sidecar.
struct Client {
    http: Http,
    student: Student,
}

impl Client {
    fn of(sidecar: &Sidecar, test: &TestSite, student: &Student) -> Self {
        Self {
            http: sidecar.http(test),
            student: student.clone(),
        }
    }

    /// `None` where Safe Mode's limits refuse.
    async fn read(&self) -> Option<Value> {
        let answer = self.ask().await;
        (answer.status != StatusCode::TOO_MANY_REQUESTS).then(|| answer.message())
    }

    async fn ask(&self) -> Answer {
        let read = self.http.get(READ).token(&self.student);
        read.query(&[("limit", "50")]).send().await
    }

    /// Answers question `n`; whether the answer says that it may not show yet.
    async fn submit(&self, n: u64) -> bool {
        self.send(n).await.message()["is_degraded"] == true
    }

    /// Answers question `n`; whether that was taken.
    async fn try_submit(&self, n: u64) -> bool {
        let status = self.send(n).await.status;
        assert!([StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE].contains(&status));
        status == StatusCode::OK
    }

    async fn send(&self, n: u64) -> Answer {
        let body = json!({
            "responses": answers(&[&question_id(n as usize)]),
            "submission_id": format!("s-{n}"),
        });
        let submit = self.http.post(SUBMIT).token(&self.student).json(&body);
        submit.send().await
    }

    async fn is_normal(&self) -> bool {
        let session = self.read().await;
        session.is_some_and(|session| session["is_degraded"] == false)
    }

    /// Until reads are normal and the schedule is complete in the cache.
    async fn warm(&self, test: &TestSite) {
        let site = &test.site().await;
        wait::until("the schedule is cached", || async {
            (self.is_normal().await && is_cached(site, &self.student).await).then_some(())
        })
        .await;
    }

    async fn recovers(&self) {
        wait::until("reads are normal", || async {
            self.is_normal().await.then_some(())
        })
        .await;
    }

    /// From now on no read shows a question that was answered: over a while in which caches
    /// are filled and lists looked at.
    async fn never_shows(&self, answered: u64) {
        for _ in 0..30 {
            if let Some(session) = self.read().await {
                assert_eq!(session["total_due"], DUE - answered, "{session}");
            }
            sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Whether the schedule is complete in the cache, whatever this process thinks of it.
async fn is_cached(site: &Site, student: &Student) -> bool {
    let season = crate::story::season();
    let now = memora_core::types::UtcMicros::now();
    let due = site
        .cache
        .due(&student.player(), &season, None, now, 1)
        .await;
    matches!(due, Ok(memora_core::schedule_cache::Lookup::Complete(_)))
}

/// Journal rows that the cache may lack.
async fn unhealed(test: &TestSite) -> u64 {
    let sql = "SELECT COUNT(*) FROM memora_srs_journal WHERE cached_at IS NULL";
    count(test, sql).await
}

/// Students on the list of the dirty ones.
async fn listed(test: &TestSite) -> usize {
    let mut redis = test.queue.connection().await;
    let key = format!("rq:memora:dirty:{}", test.name);
    let fields: Vec<String> = redis::cmd("HKEYS")
        .arg(key)
        .query_async(&mut redis)
        .await
        .expect("HKEYS");
    fields.iter().filter(|field| !field.is_empty()).count()
}

async fn all_healed(test: &TestSite) {
    wait::until("nothing is dirty", || async {
        (listed(test).await == 0 && unhealed(test).await == 0).then_some(())
    })
    .await;
}

async fn all_applied(test: &TestSite) {
    wait::until("everything is applied", || async {
        let sql = "SELECT COUNT(*) FROM memora_srs_journal WHERE applied_at IS NULL";
        (count(test, sql).await == 0).then_some(())
    })
    .await;
}
