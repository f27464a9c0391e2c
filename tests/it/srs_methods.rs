//! `memora.api.srs` over HTTP: what administrators may do, and nobody else.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use http::{Method, StatusCode};
use memora_core::frappe::SYSTEM_MANAGER;
use memora_core::queue::LongQueue;
use memora_core::types::{Player, UtcMicros};
use memora_tests::http::{Answer, Call};
use memora_tests::questions::Season;
use memora_tests::{Due, Http, Role, Student, TestSite};
use mysql_async::prelude::Queryable;
use redis::AsyncCommands;
use serde_json::{Value, json};

use crate::served::Served;
use crate::story::{ANN, SEASON};

const BOSS: &str = "boss@example.com";
const OLD: &str = "SEASON-2025";
const CHANGES: [&str; 4] = [
    "rebuild_season_cache",
    "trigger_reconciliation",
    "archive_season",
    "delete_eligible_archived_records",
];
const LOOKS: [&str; 2] = ["get_cache_status", "get_archive_status"];

fn path(method: &str) -> String {
    format!("/api/method/memora.api.srs.{method}")
}

/// A site with a sidecar, a student with five questions, and a System Manager.
struct Stage {
    test: TestSite,
    served: Served,
    http: Http,
    ann: Student,
    boss: Student,
}

impl Stage {
    async fn new() -> Self {
        let test = TestSite::new().await;
        test.add_season(SEASON).await;
        let closed = Season {
            is_active: false,
            ..Season::default()
        };
        test.add_season_with(OLD, closed).await;
        // Closed long ago: nobody believes it to be open.
        let long_ago =
            "UPDATE `tabGame Subscription Season` SET modified = '2026-01-01' WHERE name = ?";
        test.exec(long_ago, (OLD,)).await;
        let ann = test.add_student(ANN).await;
        let boss = test.add_user(BOSS, Role::SystemManager).await;
        test.add_questions(ANN, SEASON, 5, Due::All).await;
        test.add_questions(ANN, OLD, 7, Due::All).await;
        let served = Served::start(&test).await;
        let http = served.http(&test);
        Self {
            test,
            served,
            http,
            ann,
            boss,
        }
    }

    async fn ask(&self, method: &str, args: Value) -> Answer {
        let call = self.http.post(&path(method)).token(&self.boss);
        call.json(&args).send().await
    }

    /// Jobs on Frappe's queue of long jobs, with what each calls.
    async fn jobs(&self) -> Vec<(String, String)> {
        let mut redis = self.test.queue.connection().await;
        let list = format!("rq:queue:{}:long", self.test.bench_id);
        let ids: Vec<String> = redis.lrange(list, 0, -1).await.unwrap();
        let mut jobs = Vec::new();
        for id in ids {
            let about: String = redis
                .hget(format!("rq:job:{id}"), "description")
                .await
                .unwrap();
            jobs.push((id, about));
        }
        jobs
    }
}

fn said(answer: &Answer) -> String {
    let body = answer.json();
    let messages = body["_server_messages"].as_str().unwrap_or_default();
    format!("{} {} {messages}", answer.status, body["exc_type"])
}

async fn refused(call: Call<'_>, status: StatusCode, exc_type: &str, words: &str) {
    let answer = call.send().await;
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.json()["exc_type"], exc_type, "{}", answer.text());
    assert!(said(&answer).contains(words), "{words}: {}", said(&answer));
}

#[tokio::test]
async fn only_system_managers_may() {
    let stage = Stage::new().await;
    let everything = json!({"season": SEASON, "confirm": 1});
    for method in CHANGES.iter().chain(&LOOKS) {
        let path = path(method);
        let call = || stage.http.post(&path).json(&everything);
        let whitelisted = "not whitelisted";
        refused(
            call(),
            StatusCode::FORBIDDEN,
            "PermissionError",
            whitelisted,
        )
        .await;
        let manager = "Only a System Manager";
        for call in [call().token(&stage.ann), call().cookie(&stage.ann)] {
            refused(call, StatusCode::FORBIDDEN, "PermissionError", manager).await;
        }
    }
    assert_eq!(stage.jobs().await, []);
}

/// A role counts as it is spelled, for a User, and from the next second on.
#[tokio::test]
async fn a_role_is_read_as_frappe_reads_it() {
    let stage = Stage::new().await;
    let site = stage.test.site().await;
    let ann = Player::stored(ANN);
    let mut now = UtcMicros::now();
    let mut has = async |user: &Player| {
        // Later than whatever was believed.
        now.0 += 2_000_000;
        let has = site.auth.has_role(&site.db, user, SYSTEM_MANAGER, now);
        has.await.unwrap()
    };
    assert!(has(&Player::stored(BOSS)).await);
    // Administrator has all roles; here by no row.
    stage
        .test
        .exec(
            "DELETE FROM `tabHas Role` WHERE parent = 'Administrator'",
            (),
        )
        .await;
    assert!(has(&Player::stored("Administrator")).await);
    assert!(!has(&ann).await);
    let give = "INSERT INTO `tabHas Role` (name, role, parent, parentfield, parenttype) \
                VALUES (?, ?, ?, 'roles', ?)";
    for (i, (role, parenttype)) in [
        ("system manager", "User"),
        ("System Manager", "Role Profile"),
        ("Website Manager", "User"),
    ]
    .into_iter()
    .enumerate()
    {
        stage
            .test
            .exec(give, (format!("r{i}"), role, ANN, parenttype))
            .await;
        assert!(!has(&ann).await, "{role} {parenttype}");
    }
    stage
        .test
        .exec(give, ("r9", SYSTEM_MANAGER, ANN, "User"))
        .await;
    assert!(has(&ann).await);
    stage
        .test
        .exec("DELETE FROM `tabHas Role` WHERE name = 'r9'", ())
        .await;
    assert!(!has(&ann).await);
}

#[tokio::test]
async fn what_changes_something_is_post_with_the_sessions_token() {
    let stage = Stage::new().await;
    let mut session = stage.test.new_session(BOSS, Role::SystemManager);
    session.csrf_token = Some("right".to_owned());
    stage.test.write_session(&session).await;
    let cookie = format!("sid={}", session.sid);
    for method in CHANGES {
        let path = path(method);
        for http_method in [Method::GET, Method::PUT, Method::DELETE, Method::HEAD] {
            let call = stage.http.request(http_method.clone(), &path);
            let answer = call.token(&stage.boss).send().await;
            assert_eq!(answer.status, 403, "{http_method} {method}");
        }
        let forged = || {
            stage
                .http
                .post(&path)
                .header("cookie", &cookie)
                .json(&json!({}))
        };
        refused(
            forged(),
            StatusCode::BAD_REQUEST,
            "CSRFTokenError",
            "Invalid Request",
        )
        .await;
        let wrong = forged().header("x-frappe-csrf-token", "wrong");
        refused(
            wrong,
            StatusCode::BAD_REQUEST,
            "CSRFTokenError",
            "Invalid Request",
        )
        .await;
    }
    let call = stage.http.post(&path("rebuild_season_cache"));
    let call = call
        .header("cookie", &cookie)
        .header("x-frappe-csrf-token", "right");
    let answer = call.json(&json!({"season": SEASON})).send().await;
    assert_eq!(answer.message()["status"], "started");
    // Looking needs none.
    let call = stage
        .http
        .get(&path("get_cache_status"))
        .header("cookie", &cookie);
    assert_eq!(call.send().await.message()["redis_connected"], true);
}

#[tokio::test]
async fn arguments_are_judged_one_by_one() {
    let stage = Stage::new().await;
    for (method, args, status, words) in [
        ("rebuild_season_cache", json!({}), 417, "season: name one"),
        (
            "rebuild_season_cache",
            json!({"season": 5}),
            417,
            "season: name one",
        ),
        (
            "get_archive_status",
            json!({"season": ""}),
            417,
            "season: name one",
        ),
        (
            "rebuild_season_cache",
            json!({"season": "no such"}),
            404,
            "no such",
        ),
        (
            "get_archive_status",
            json!({"season_name": "no such"}),
            404,
            "no such",
        ),
        (
            "archive_season",
            json!({"season": "no such", "confirm": 1}),
            404,
            "no such",
        ),
        ("archive_season", json!({"season": OLD}), 417, "confirm"),
        (
            "archive_season",
            json!({"season": OLD, "confirm": false}),
            417,
            "confirm",
        ),
        (
            "archive_season",
            json!({"season": OLD, "confirm": "yes"}),
            417,
            "confirm",
        ),
        (
            "archive_season",
            json!({"season": SEASON, "confirm": 1}),
            417,
            "active",
        ),
        (
            "delete_eligible_archived_records",
            json!({}),
            417,
            "confirm",
        ),
        (
            "delete_eligible_archived_records",
            json!({"season": "no such", "confirm": 1}),
            404,
            "no such",
        ),
        (
            "trigger_reconciliation",
            json!({"sample_size": 99}),
            417,
            "sample_size",
        ),
        (
            "trigger_reconciliation",
            json!({"sample_size": "x"}),
            417,
            "sample_size",
        ),
        (
            "trigger_reconciliation",
            json!({"season": "no such"}),
            404,
            "no such",
        ),
    ] {
        let answer = stage.ask(method, args.clone()).await;
        assert_eq!(
            answer.status.as_u16(),
            status,
            "{method} {args}: {}",
            answer.text()
        );
        assert!(
            said(&answer).contains(words),
            "{method} {args}: {}",
            said(&answer)
        );
    }
    // Digits of other scripts are numbers for Python.
    let answer = stage
        .ask("trigger_reconciliation", json!({"sample_size": "١٠٠"}))
        .await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("x-memora-decline")),
        (421, "sample-size")
    );
    assert_eq!(stage.jobs().await, []);
    let rows: i64 = stage
        .test
        .query_one("SELECT COUNT(*) FROM `tabPlayer Memory Tracker`", ())
        .await
        .unwrap();
    assert_eq!(rows, 12);
}

#[tokio::test]
async fn a_rebuild_is_one_job_of_the_apps() {
    let stage = Stage::new().await;
    stage
        .test
        .exec("ANALYZE TABLE `tabPlayer Memory Tracker`", ())
        .await;
    let digest = "338482ab3629";
    let expected = json!({
        "status": "started",
        "job_id": format!("memora_srs_rebuild_{digest}"),
        "estimated_records": 5,
    });
    let first = stage
        .ask(
            "rebuild_season_cache",
            json!({"season": SEASON.to_lowercase()}),
        )
        .await;
    assert_eq!(first.message(), expected);
    let (id, about) = stage.jobs().await.remove(0);
    assert_eq!(
        id,
        format!("{}::memora_srs_rebuild_{digest}", stage.test.name)
    );
    assert!(about.contains("memora.services.srs_rebuild.run"), "{about}");
    let mut redis = stage.test.queue.connection().await;
    let timeout: String = redis.hget(format!("rq:job:{id}"), "timeout").await.unwrap();
    assert_eq!(timeout, "21600");
    let again = stage
        .ask("rebuild_season_cache", json!({"season_name": SEASON}))
        .await;
    assert_eq!(again.message()["status"], "already_running");
    assert_eq!(stage.jobs().await.len(), 1);
    // That nobody works there can be seen.
    let site = stage.test.site().await;
    let listened = async |workers| {
        let queue = site.producer.long_queue().await.unwrap();
        assert_eq!(queue, LongQueue { jobs: 1, workers });
    };
    listened(0).await;
    // As a worker registers, says at its end that it ends, and is no more a minute later.
    let workers = format!("rq:workers:{}:long", stage.test.bench_id);
    let (key, version) = ("rq:worker:one", "1.16.2");
    let () = redis.sadd(&workers, key).await.unwrap();
    let () = redis.hset(key, "version", version).await.unwrap();
    listened(1).await;
    let () = redis.hset(key, "death", "2026-01-01").await.unwrap();
    listened(0).await;
    let () = redis.del(key).await.unwrap();
    listened(0).await;

    let off = "UPDATE `tabGame Subscription Season` SET enable_redis = 0 WHERE name = ?";
    stage.test.exec(off, (SEASON,)).await;
    let answer = stage
        .ask("rebuild_season_cache", json!({"season": SEASON}))
        .await;
    assert!(
        said(&answer).contains("Enable Redis is off"),
        "{}",
        said(&answer)
    );
}

#[tokio::test]
async fn a_small_season_is_archived_while_one_waits() {
    let stage = Stage::new().await;
    // What Frappe has cached of it.
    let cached = stage
        .test
        .frappe_key(&format!("document_cache::Game Subscription Season::{OLD}"));
    let mut redis = stage.test.cache.connection().await;
    let _: () = redis.set(&cached, "old").await.unwrap();
    let archive = json!({"season": OLD, "confirm": "1"});
    let report = stage.ask("archive_season", archive).await.message();
    assert_eq!(
        (&report["status"], &report["records_archived"]),
        (&json!("completed"), &json!(7))
    );
    let there: bool = redis.exists(&cached).await.unwrap();
    assert!(!there, "Frappe shows the season as it was");
    let status = stage
        .ask("get_archive_status", json!({"season": OLD}))
        .await
        .message();
    assert_eq!(
        (&status["state"], &status["records_archived"]),
        (&json!("archived"), &json!(7))
    );
    let answer = stage
        .ask("rebuild_season_cache", json!({"season": OLD}))
        .await;
    assert!(
        said(&answer).contains("has ended and is archived"),
        "{}",
        said(&answer)
    );

    let flag = "UPDATE `tabArchived Memory Tracker` SET eligible_for_deletion = 1 LIMIT 3";
    stage.test.exec(flag, ()).await;
    let delete = json!({"season": OLD, "confirm": true});
    let deleted = stage
        .ask("delete_eligible_archived_records", delete)
        .await
        .message();
    assert_eq!(deleted, json!({"status": "completed", "deleted_count": 3}));
    assert_eq!(stage.jobs().await, []);
}

/// More rows than are moved while somebody waits.
#[tokio::test]
async fn a_large_season_is_archived_by_a_job() {
    let stage = Stage::new().await;
    let mut conn = stage.test.db.get_conn().await.unwrap();
    let many = format!(
        "INSERT INTO `tabPlayer Memory Tracker` (name, player, season, question_id) \
         SELECT CONCAT('n', seq), 'ann', '{OLD}', CONCAT('q', seq) FROM seq_1_to_100000"
    );
    conn.query_drop(many).await.unwrap();
    let archive = json!({"season": OLD, "confirm": 1});
    let started = stage.ask("archive_season", archive.clone()).await.message();
    assert_eq!(started["status"], "started");
    let jobs = stage.jobs().await;
    let (id, about) = &jobs[0];
    assert_eq!(
        *id,
        format!(
            "{}::{}",
            stage.test.name,
            started["job_id"].as_str().unwrap()
        )
    );
    assert!(
        about.contains("memora.services.srs_archiver.run"),
        "{about}"
    );
    // Once more: the same job.
    assert_eq!(
        stage.ask("archive_season", archive).await.message(),
        started
    );
    assert_eq!(stage.jobs().await, jobs);
}

#[tokio::test]
async fn a_reconciliation_is_done_while_one_waits() {
    let stage = Stage::new().await;
    let read = "/api/method/memora.api.reviews.get_review_session";
    let answer = stage.http.get(read).token(&stage.ann).send().await;
    assert_eq!(answer.message()["total_due"], 5);
    let site = stage.test.site().await;
    memora_tests::wait::until("the schedule is cached", async || {
        let (ann, season) = (
            Player::stored(ANN),
            memora_core::types::Season::stored(SEASON),
        );
        let complete = site.cache.are_complete(&[&ann], &season).await.ok()?;
        (complete == [true]).then_some(())
    })
    .await;
    let report = stage.ask(
        "trigger_reconciliation",
        json!({"sample_size": "100", "season": SEASON}),
    );
    let report = report.await.message();
    assert_eq!(
        (&report["compared"], &report["discrepancies_found"]),
        (&json!(5), &json!(0))
    );
    assert_eq!(report["season"], SEASON);
    let status = stage.ask("get_cache_status", json!({})).await.message();
    assert_eq!(status["keys_by_season"], json!({SEASON: 1}));
    stage.served.stop().await.unwrap();
}
