//! A process with two connections to MariaDB, as each of Frappe's is, or with one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use memora_core::batch::Door;
use memora_core::services::read::{ReviewRequest, get_review_session};
use memora_core::services::submit::{SubmitRequest, submit_review_session};
use memora_core::services::{Limits, Site, Sites, apply};
use memora_core::store::partitions;
use memora_core::types::{Player, UtcMicros};
use memora_core::{Result, failpoint};
use memora_tests::questions::question_id;
use memora_tests::{Due, TestSite, wait};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use serde_json::json;

use crate::story::{
    SEASON, answers, apply_all, args, count, forget, is_complete, read, season, site_with, submit,
    waiting,
};

/// Requests of one kind at once.
const CROWD: usize = 16;

async fn limited(test: &TestSite) -> Arc<Site> {
    let sites = Sites::with_limits(&test.sites_path, Limits::SHARED);
    sites.get(&test.name).await.unwrap()
}

fn student(i: usize) -> Player {
    Player::stored(format!("student{i}@example.com"))
}

async fn total_due(site: &Arc<Site>, player: &Player) -> Result<u64> {
    let request = ReviewRequest::from_args(&args(json!({"limit": 50})))?;
    let session = get_review_session(site, player, &request, UtcMicros::now()).await?;
    Ok(session.total_due)
}

/// Whether the answer is degraded.
async fn submit_two(site: &Arc<Site>, player: &Player, submission: &str) -> Result<bool> {
    let responses = answers(&[&question_id(0), &question_id(1)]);
    let body = json!({"responses": responses, "submission_id": submission});
    let request = SubmitRequest::from_args(&args(body), None, None)?;
    let now = UtcMicros::now();
    let answer = submit_review_session(site, player, &request, Door::Python, now).await?;
    Ok(answer.is_degraded)
}

/// A site with a crowd of students, each with ten questions.
async fn crowded() -> TestSite {
    let test = TestSite::new().await;
    test.add_season(SEASON).await;
    for i in 0..CROWD {
        test.add_questions(student(i).as_str(), SEASON, 10, Due::All)
            .await;
    }
    test
}

/// Connections that a user of MariaDB has.
async fn connections(root: &mut Conn, user: &str) -> u64 {
    let sql = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = ?";
    root.exec_first(sql, (user,)).await.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_crowd_shares_two_connections_and_nobody_is_refused() {
    let test = crowded().await;
    let many = Player::stored("many@example.com");
    test.add_questions(many.as_str(), SEASON, 20_000, Due::All)
        .await;
    let site = limited(&test).await;
    let mut root = test.mariadb.root().await.unwrap();
    let of_test = connections(&mut root, &test.db_name).await;
    let most = Arc::new(AtomicU64::new(0));
    let over = Arc::new(AtomicBool::new(false));
    let watch = tokio::spawn({
        let (most, over, user) = (most.clone(), over.clone(), test.db_name.clone());
        async move {
            while !over.load(Ordering::Relaxed) {
                let open = connections(&mut root, &user).await;
                most.fetch_max(open, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    });
    // Cold: reads of the table and fills, one of them long, beside submits; then warm.
    for round in 0..3 {
        let long = total_due(&site, &many);
        let reads = join_all((0..CROWD).map(|i| {
            let site = site.clone();
            tokio::spawn(async move { total_due(&site, &student(i)).await.map(|_| ()) })
        }));
        let submits = join_all((0..CROWD).map(|i| {
            let (site, id) = (site.clone(), format!("s-{i}-{round}"));
            tokio::spawn(async move { submit_two(&site, &student(i), &id).await.map(|_| ()) })
        }));
        let (long, reads, submits) = tokio::join!(long, reads, submits);
        assert_eq!(long.unwrap(), 20_000);
        for answer in reads.into_iter().chain(submits) {
            answer.unwrap().unwrap();
        }
    }
    // Workers at once, each with a transaction.
    let work = waiting(&test).await;
    assert_eq!(work.len(), 3 * CROWD);
    let workers = join_all(work.chunks(4).map(|part| {
        let (site, part) = (site.clone(), part.to_vec());
        tokio::spawn(async move { apply::apply(&site, &part, "test").await })
    }));
    for outcomes in workers.await {
        for outcome in outcomes.unwrap() {
            outcome.unwrap();
        }
    }
    over.store(true, Ordering::Relaxed);
    watch.await.unwrap();
    let most = most.load(Ordering::Relaxed);
    assert!(most > of_test && most <= of_test + 2, "{most} of {of_test}");
    let log = "SELECT COUNT(*) FROM memora_srs_review_log";
    assert_eq!(count(&test, log).await, 3 * 2 * CROWD as u64);
    forget(&test).await;
    for i in 0..CROWD {
        assert_eq!(total_due(&site, &student(i)).await.unwrap(), 8);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_long_fill_holds_up_neither_reads_nor_submits() {
    let test = crowded().await;
    let site = limited(&test).await;
    let point = failpoint::pause(&test.name, "fill_reads");
    total_due(&site, &student(0)).await.unwrap();
    // The fill has its turn, and keeps it.
    point.reached().await;
    for i in 0..CROWD {
        assert_eq!(total_due(&site, &student(i)).await.unwrap(), 10);
        assert!(!submit_two(&site, &student(i), "s").await.unwrap());
        assert_eq!(total_due(&site, &student(i)).await.unwrap(), 8);
    }
}

#[tokio::test]
async fn one_connection_is_enough() {
    let test = site_with(10, 10).await;
    test.set_config("srs_mariadb_connections", json!(1));
    let site = limited(&test).await;
    assert_eq!(site.config.srs.mariadb_connections, 1);
    assert_eq!(read(&site).await.total_due, 10);
    submit(&site, "s-1", &[&question_id(0)]).await;
    // A worker that meets a season without partition needs a connection for that, too.
    let partition = partitions::all(&site.db).await.unwrap();
    let partition = partition.iter().find(|p| p.season() == Some(SEASON));
    let name = &partition.unwrap().name;
    let sql = format!("ALTER TABLE `tabPlayer Memory Tracker` DROP PARTITION `{name}`");
    test.exec(&sql, ()).await;
    assert_eq!(apply_all(&test, &site).await, 1);
    assert!(partitions::exists(&site.db, &season()).await.unwrap());
    forget(&test).await;
    assert_eq!(read(&site).await.total_due, 0);
    wait::until("the schedule is filled", || async {
        is_complete(&site, None).await.then_some(())
    })
    .await;
}

/// Frappe's processes serve every site of a bench.
#[tokio::test]
async fn a_process_that_goes_from_site_to_site_keeps_the_connections_of_one() {
    let (one, other) = (site_with(10, 10).await, site_with(10, 10).await);
    let (here, there) = (
        other.sites_path.join(&other.name),
        one.sites_path.join(&other.name),
    );
    std::os::unix::fs::symlink(here, there).unwrap();
    // Below one bench they share its Redis, too.
    other.set_config("srs_key_prefix", json!("other."));
    let sites = Sites::with_limits(&one.sites_path, Limits::SHARED);
    let mut root = one.mariadb.root().await.unwrap();
    let mut before = [0, 0];
    for (count, test) in before.iter_mut().zip([&one, &other]) {
        *count = connections(&mut root, &test.db_name).await;
    }
    for round in 0..3 {
        for (i, test) in [&one, &other].into_iter().enumerate() {
            let site = sites.get(&test.name).await.unwrap();
            let total = read(&site).await.total_due;
            assert_eq!(total, 10, "{round}");
            let now = connections(&mut root, &test.db_name).await;
            assert!(now > before[i], "{now}");
            let left = [&other, &one][i];
            let of_left = before[1 - i];
            wait::until("the other site's connections are closed", || async {
                let mut root = one.mariadb.root().await.unwrap();
                let open = connections(&mut root, &left.db_name).await;
                (open == of_left).then_some(())
            })
            .await;
        }
        forget(&one).await;
        forget(&other).await;
    }
}
