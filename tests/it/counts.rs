//! What a request costs, counted on the servers.

use memora_tests::count::{RedisCounter, SqlCounter};
use memora_tests::questions::question_id;
use memora_tests::servers::MariaDbOptions;
use memora_tests::{Http, Student, TestSite, wait};
use serde_json::{Value, json};

use crate::served::Served;
use crate::story::{ANN, SEASON, answers, season};

const READ: &str = "/api/method/memora.api.reviews.get_review_session";
const SUBMIT: &str = "/api/method/memora.api.reviews.submit_review_session";

/// A student with 20 due questions, served over HTTP, on servers that nobody else uses.
struct Stage {
    test: TestSite,
    student: Student,
    http: Http,
    _served: Served,
}

impl Stage {
    async fn new() -> Self {
        let test = TestSite::builder()
            .own_mariadb_with(MariaDbOptions::default())
            .own_cache_with(Default::default())
            .own_queue_with(Default::default())
            // Longer than this test: what it reads again after 10 s is not in question.
            .config("srs_season_cache_s", json!(300))
            .build()
            .await;
        test.add_season(SEASON).await;
        let student = test.add_student(ANN).await;
        test.add_questions(ANN, SEASON, 1000, memora_tests::Due::First(20))
            .await;
        let served = Served::start(&test).await;
        let http = served.http(&test);
        Self {
            test,
            student,
            http,
            _served: served,
        }
    }

    async fn read(&self) -> Value {
        self.http
            .get(READ)
            .cookie(&self.student)
            .send()
            .await
            .message()
    }

    async fn submit(&self, n: usize) -> Value {
        let ids: Vec<String> = (0..n).map(question_id).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let body = json!({"responses": answers(&ids)});
        self.http
            .post(SUBMIT)
            .token(&self.student)
            .json(&body)
            .send()
            .await
            .message()
    }

    /// Reads until the schedule is complete in the cache.
    async fn warm(&self) {
        self.read().await;
        let site = self.test.site().await;
        wait::until("the schedule is filled", || async {
            let known = site
                .cache
                .states(&self.student.player(), &season(), &["x"])
                .await;
            matches!(known, Ok(memora_core::schedule_cache::Lookup::Complete(_))).then_some(())
        })
        .await;
        self.read().await;
    }
}

fn logins(commands: &[String]) -> usize {
    commands
        .iter()
        .filter(|c| c.starts_with("\"HGET\""))
        .count()
}

#[tokio::test]
async fn a_warm_read_is_one_round_trip_and_no_statement() {
    let stage = Stage::new().await;
    stage.warm().await;
    let mut redis = RedisCounter::start(&stage.test.cache).await;
    let sql = SqlCounter::start(&stage.test).await;
    let session = stage.read().await;
    let (commands, statements) = (redis.take().await, sql.take().await);
    assert_eq!(session["questions"].as_array().map(Vec::len), Some(20));
    // The session entry is believed for 5 s: the read may fall just behind that.
    assert_eq!(commands.len() - logins(&commands), 1, "{commands:#?}");
    assert!(
        commands.iter().any(|c| c.starts_with("\"EVALSHA\"")),
        "{commands:#?}"
    );
    assert_eq!(statements, Vec::<String>::new());
}

#[tokio::test]
async fn a_cold_login_costs_one_redis_read_and_one_statement_more() {
    let stage = Stage::new().await;
    stage.warm().await;
    // Another student, never seen by this process, with an empty schedule that is cached.
    let bob = stage.test.add_student("bob@example.com").await;
    let site = stage.test.site().await;
    memora_core::services::fill::run(&site, &bob.player(), &season(), &[])
        .await
        .unwrap();
    let mut redis = RedisCounter::start(&stage.test.cache).await;
    let sql = SqlCounter::start(&stage.test).await;
    let answer = stage.http.get(READ).cookie(&bob).send().await;
    let (commands, statements) = (redis.take().await, sql.take().await);
    assert_eq!(answer.message()["total_due"], 0);
    assert_eq!(commands.len(), 2, "{commands:#?}");
    assert_eq!(logins(&commands), 1, "{commands:#?}");
    assert_eq!(statements.len(), 1, "{statements:#?}");
}

#[tokio::test]
async fn a_warm_submit_is_two_round_trips_one_enqueue_and_one_statement() {
    let stage = Stage::new().await;
    stage.warm().await;
    stage.submit(20).await;
    let mut redis = RedisCounter::start(&stage.test.cache).await;
    let mut queue = RedisCounter::start(&stage.test.queue).await;
    let sql = SqlCounter::start(&stage.test).await;
    let answer = stage.submit(20).await;
    let counted = (redis.take().await, queue.take().await, sql.take().await);
    assert_eq!(answer["processed"], 20);
    assert!(
        counted.0.len() - logins(&counted.0) <= 2,
        "{:#?}",
        counted.0
    );
    assert_eq!(counted.1.len(), 1, "{:#?}", counted.1);
    assert_eq!(counted.2.len(), 1, "{:#?}", counted.2);
}
