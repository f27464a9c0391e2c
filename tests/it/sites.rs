//! What the configuration says is what the servers see, also after it changed.

#![expect(clippy::unwrap_used, reason = "a panic is a test's report")]

use memora_core::config;
use memora_core::services::{Site, Sites};
use memora_tests::TestSite;
use memora_tests::wait::until;
use mysql_async::prelude::Queryable;
use redis::cmd;
use serde_json::json;

/// The engine's connections, as the servers number them.
async fn connections(site: &Site) -> (u64, u64) {
    let mut conn = site.db.conn().await.unwrap();
    let in_mariadb = conn.query_first("SELECT CONNECTION_ID()").await.unwrap();
    let in_redis = site.queue_redis.query(cmd("CLIENT").arg("ID")).await;
    (in_mariadb.unwrap(), in_redis.unwrap())
}

#[tokio::test]
async fn a_changed_site_is_opened_anew_and_the_old_connections_close() {
    let site = TestSite::new().await;
    let sites = Sites::new(&site.sites_path);
    let before = sites.get(&site.name).await.unwrap();
    let (in_mariadb, in_redis) = connections(&before).await;
    let started = before.clone();

    site.set_config("srs_max_questions", json!(7));
    let after = until("the change counts", async || {
        let now = sites.get(&site.name).await.unwrap();
        (now.config.srs.max_questions == 7).then_some(now)
    })
    .await;
    // What began before the change ends as it began, on its own connections.
    drop(before);
    assert_eq!(connections(&started).await, (in_mariadb, in_redis));
    assert_eq!(started.config.srs.max_questions, 100_000);
    drop(started);

    let sql = "SELECT ID FROM information_schema.PROCESSLIST WHERE ID = ?";
    until("MariaDB has lost the old connection", async || {
        let left = site.query_one::<u64>(sql, (in_mariadb,)).await;
        left.is_none().then_some(())
    })
    .await;
    until("Redis has lost the old connection", async || {
        let mut observer = site.queue.connection().await;
        let list: String = cmd("CLIENT")
            .arg("LIST")
            .query_async(&mut observer)
            .await
            .unwrap();
        let old = format!("id={in_redis}");
        (!list.split_whitespace().any(|word| word == old)).then_some(())
    })
    .await;
    connections(&after).await;
}

#[tokio::test]
async fn the_queues_login_reaches_redis() {
    let site = TestSite::builder().own_queue().build().await;
    let password = "a:b@c/d?e#f%41+ \"";
    let mut admin = site.queue.connection().await;
    let user = cmd("ACL")
        .arg(&[
            "SETUSER",
            &site.bench_id,
            "on",
            &format!(">{password}"),
            "~rq:*",
            "+@all",
        ])
        .query_async::<()>(&mut admin)
        .await;
    user.unwrap();
    site.set_config("use_rq_auth", json!(1));
    site.set_config("rq_password", json!(password));
    let who = |site: std::sync::Arc<Site>| async move {
        let answer = site.queue_redis.query(cmd("ACL").arg("WHOAMI")).await;
        answer.map(|name: String| name)
    };
    assert_eq!(who(site.site().await).await.unwrap(), site.bench_id);
    site.set_config("rq_password", json!("wrong"));
    assert!(who(site.site().await).await.is_err());
}

#[tokio::test]
async fn a_socket_and_its_database_are_the_ones_named() {
    let site = TestSite::builder().own_queue().build().await;
    let socket = site.queue.server.socket();
    for url in [
        format!("unix://{}?db=5", socket.display()),
        format!("redis://localhost:{}?db=6", site.queue.server.port()),
        format!("redis://localhost:{}/7", site.queue.server.port()),
    ] {
        site.set_config("redis_queue", json!(url));
        let database: usize = url[url.len() - 1..].parse().unwrap();
        let opened = site.site().await;
        let mut set = cmd("SET");
        set.arg("rq:here").arg(&url);
        opened.queue_redis.query::<()>(&set).await.unwrap();
        let mut there = memora_tests::servers::RedisDb {
            server: site.queue.server.clone(),
            index: database,
        }
        .connection()
        .await;
        let found: String = cmd("GET")
            .arg("rq:here")
            .query_async(&mut there)
            .await
            .unwrap();
        assert_eq!(found, url);
    }
}

#[tokio::test]
async fn a_report_asks_no_server() {
    let site = TestSite::new().await;
    site.set_config("redis_queue", json!("redis://127.0.0.1:1"));
    site.set_config("db_host", json!("no-such-host.invalid"));
    let reports = config::report(&site.sites_path, None).unwrap();
    assert!(reports[0].ok, "{}", reports[0]);
    assert_eq!(reports[0].site, site.name);
}
