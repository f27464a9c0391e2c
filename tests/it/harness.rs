//! The harness itself: what other tests lean on.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use memora_core::config::Secret;
use memora_core::servers::redis::RedisLink;
use memora_tests::count::{RedisCounter, SqlCounter};
use memora_tests::process;
use memora_tests::proxy::{Fault, Proxy};
use memora_tests::questions::question_id;
use memora_tests::servers::{MariaDb, MariaDbOptions, Redis, RedisOptions};
use memora_tests::{Due, TestSite, wait};
use mysql_async::prelude::Queryable;
use redis::AsyncCommands;
use tokio::net::UnixStream;

#[tokio::test]
async fn sites_on_shared_servers_do_not_meet() {
    let (a, b) = tokio::join!(TestSite::new(), TestSite::new());
    let ann = a.add_student("ann@example.com").await;
    a.add_season("SEASON-2026").await;
    a.add_questions(&ann.name, "SEASON-2026", 30, Due::First(10))
        .await;

    let wall = a.wall(chrono::Utc::now());
    let due: Option<u64> = a
        .query_one(
            "SELECT COUNT(*) FROM `tabPlayer Memory Tracker` WHERE next_review_date <= ?",
            (wall.to_string(),),
        )
        .await;
    assert_eq!(due, Some(10));
    let elsewhere: Option<u64> = b
        .query_one("SELECT COUNT(*) FROM `tabPlayer Memory Tracker`", ())
        .await;
    assert_eq!(elsewhere, Some(0));

    let session: Option<Vec<u8>> = a
        .cache
        .connection()
        .await
        .hget(a.frappe_key("session"), &ann.sid)
        .await
        .unwrap();
    assert!(session.is_some());
    let keys: u64 = redis::cmd("DBSIZE")
        .query_async(&mut b.cache.connection().await)
        .await
        .unwrap();
    assert_eq!(keys, 0);
}

#[tokio::test]
async fn the_engine_opens_a_site_and_reaches_its_servers() {
    let test = TestSite::new().await;
    let site = test.site().await;
    let mut conn = site.db.conn().await.unwrap();
    let users: Vec<String> = conn
        .query("SELECT name FROM tabUser ORDER BY name")
        .await
        .unwrap();
    assert_eq!(users, ["Administrator", "Guest"]);
    for link in [&site.cache_redis, &site.queue_redis] {
        let pong: String = link.query(&redis::cmd("PING")).await.unwrap();
        assert_eq!(pong, "PONG");
    }
}

#[tokio::test]
async fn a_redis_without_persistence_comes_back_empty_and_one_with_it_does_not() {
    for (options, expected) in [
        (RedisOptions::default(), None),
        (
            RedisOptions {
                appendonly: true,
                ..RedisOptions::default()
            },
            Some("here".to_owned()),
        ),
    ] {
        let redis = Redis::start(options).await.unwrap();
        let port = redis.port();
        let _: () = redis.connection().await.set("key", "here").await.unwrap();
        redis.kill();
        redis.start_again().await;
        assert_eq!(redis.port(), port);
        let value: Option<String> = redis.connection().await.get("key").await.unwrap();
        assert_eq!(value, expected);
    }
}

#[tokio::test]
async fn a_committed_row_survives_the_death_of_mariadb() {
    let mariadb = MariaDb::start(MariaDbOptions::default()).await.unwrap();
    let mut root = mariadb.root().await.unwrap();
    root.query_drop(
        "CREATE DATABASE d; CREATE TABLE d.t (a INT) ENGINE=InnoDB; INSERT INTO d.t VALUES (7)",
    )
    .await
    .unwrap();
    mariadb.kill();
    mariadb.start_again().await;
    let mut root = mariadb.root().await.unwrap();
    let rows: Vec<u32> = root.query("SELECT a FROM d.t").await.unwrap();
    assert_eq!(rows, [7]);
}

#[tokio::test]
async fn redis_commands_of_clients_are_counted_and_those_of_scripts_are_not() {
    let test = TestSite::new().await;
    let other = TestSite::new().await;
    let mut redis = test.cache.connection().await;
    let mut elsewhere = other.cache.connection().await;
    let mut counter = RedisCounter::start(&test.cache).await;

    let _: () = redis.set("a", 1).await.unwrap();
    let _: () = elsewhere.set("b", 1).await.unwrap();
    let _: i32 = redis::cmd("EVAL")
        .arg("redis.call('SET', KEYS[1], '2') return redis.call('STRLEN', KEYS[1])")
        .arg(1)
        .arg("a")
        .query_async(&mut redis)
        .await
        .unwrap();
    let seen = counter.take().await;
    assert_eq!(seen.len(), 2, "{seen:?}");
    assert_eq!(seen[0], r#""SET" "a" "1""#);
    assert!(seen[1].starts_with(r#""EVAL""#));
    assert_eq!(counter.take().await, [""; 0]);
}

#[tokio::test]
async fn statements_of_the_site_are_counted() {
    let test = TestSite::builder().own_mariadb().build().await;
    test.query::<u32>("SELECT ? + 1", (1,)).await;
    let counter = SqlCounter::start(&test).await;

    test.query::<u32>("SELECT ? + 1", (2,)).await;
    test.exec("DELETE FROM tabSessions WHERE sid = 'x'", ())
        .await;
    let seen = counter.take().await;
    // The pool resets a connection before it lends it again, which is no statement.
    assert_eq!(
        seen,
        ["SELECT 2 + 1", "DELETE FROM tabSessions WHERE sid = 'x'"]
    );
    assert_eq!(counter.take().await, [""; 0]);
}

#[tokio::test]
async fn the_proxy_counts_round_trips_and_makes_trouble() {
    let redis = Redis::start(RedisOptions::default()).await.unwrap();
    let proxy = Proxy::start(redis.port()).await;
    let url = Secret::new(format!("redis://{}", proxy.address));
    let link = Arc::new(RedisLink::new("redis_cache", url.expose()).unwrap());
    let ping = redis::cmd("PING");
    link.query::<String>(&ping).await.unwrap();

    let before = proxy.round_trips();
    let mut pipeline = redis::pipe();
    pipeline.set("a", 1).ignore().incr("a", 1);
    let _: (i32,) = link.pipeline(&pipeline).await.unwrap();
    assert_eq!(proxy.round_trips(), before + 1);
    link.query::<String>(&ping).await.unwrap();
    assert_eq!(proxy.round_trips(), before + 2);
    assert_eq!(proxy.connections(), 1);

    // Done, but nobody hears of it.
    proxy.set(Fault::HoldAnswers);
    assert!(
        link.query::<i32>(redis::cmd("INCR").arg("a"))
            .await
            .is_err()
    );
    let value: i32 = redis.connection().await.get("a").await.unwrap();
    assert_eq!(value, 3);

    // Neither done nor answered.
    proxy.set(Fault::BlackHole);
    assert!(
        link.query::<i32>(redis::cmd("INCR").arg("a"))
            .await
            .is_err()
    );
    let value: i32 = redis.connection().await.get("a").await.unwrap();
    assert_eq!(value, 3);

    proxy.set(Fault::Cut);
    assert!(link.query::<String>(&ping).await.is_err());
    proxy.set(Fault::Delay(Duration::from_millis(5)));
    wait::until("Redis is back", || async {
        link.query::<String>(&ping).await.ok()
    })
    .await;
}

/// Set in the processes that the test below starts: what they are to do.
const PART: &str = "MEMORA_TEST_PART";

#[tokio::test]
async fn nothing_outlives_a_killed_test() {
    match std::env::var(PART).as_deref() {
        Ok("wait") => {
            let redis = Redis::start(RedisOptions::default()).await.unwrap();
            println!("socket {}", redis.socket().display());
            return std::future::pending().await;
        }
        Ok("sweep") => {
            memora_tests::scratch::new_dir("x").unwrap();
            return;
        }
        _ => {}
    }
    let this_test = |part: &str| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "harness::nothing_outlives_a_killed_test"]);
        command.arg("--nocapture").env(PART, part);
        command
    };
    let log = tempfile::NamedTempFile::new().unwrap();
    let part = process::Process::start("part", this_test("wait"), log.path()).unwrap();
    let socket = wait::until("the part has started Redis", || async {
        let log = part.log();
        let (_, rest) = log.split_once("socket ")?;
        let (socket, _) = rest.split_once('\n')?;
        Some(PathBuf::from(socket))
    })
    .await;
    UnixStream::connect(&socket).await.unwrap();

    part.kill();
    wait::until("Redis is gone", || async {
        UnixStream::connect(&socket).await.err()
    })
    .await;
    // The folder of the killed process goes when the next one makes its own.
    process::run("part", this_test("sweep")).unwrap();
    assert!(!socket.parent().unwrap().exists());
}

#[tokio::test]
async fn a_crowd_has_the_questions_that_each_is_to_have() {
    let test = TestSite::new().await;
    test.add_season("SEASON-2026").await;
    let names = ["ann", "bob", "cid", "dee"].map(str::to_owned);
    let students = test.add_students(&names).await;
    // More than three digits hold: ids are as elsewhere all the same.
    let counts = [30, 0, 10_012, 7];
    let names: Vec<&str> = students.iter().map(|s| s.name.as_str()).collect();
    test.add_questions_to_each(&names, "SEASON-2026", &counts, 5)
        .await;

    let now = test.wall(chrono::Utc::now()).to_string();
    let sql = "SELECT player, COUNT(*), SUM(next_review_date <= ?), COUNT(DISTINCT question_id) \
               FROM `tabPlayer Memory Tracker` GROUP BY player ORDER BY player";
    let found: Vec<(String, usize, usize, usize)> = test.query(sql, (now,)).await;
    let each = |name: &str, count| (name.to_owned(), count, 5, count);
    assert_eq!(
        found,
        [each("ann", 30), each("cid", 10_012), each("dee", 7)]
    );
    let last: Option<u64> = test
        .query_one(
            "SELECT COUNT(*) FROM `tabPlayer Memory Tracker` WHERE question_id IN (?, ?)",
            (question_id(10_011), question_id(9_999)),
        )
        .await;
    assert_eq!(last, Some(2));
}
