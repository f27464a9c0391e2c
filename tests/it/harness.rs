//! The harness itself: what other tests lean on.

use memora_tests::servers::{MariaDb, MariaDbOptions, Redis, RedisOptions};
use memora_tests::{Due, TestSite};
use mysql_async::prelude::Queryable;
use redis::AsyncCommands;

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
    for link in [&site.srs_redis, &site.cache_redis, &site.queue_redis] {
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
