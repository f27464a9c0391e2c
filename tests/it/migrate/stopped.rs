//! Migrations that are stopped, or meet others.

use memora_core::failpoint;
use memora_core::store::migrate::{self, Options, Step};
use tokio::sync::Notify;

use super::*;

#[tokio::test]
async fn a_migration_that_dies_after_every_statement_converges() {
    let site = old_site().await;
    let point = failpoint::fail(&site.db_name, "migrate_write_1");
    let mut runs = 0;
    // Each run changes one thing and dies, until one finds nothing to change.
    while run(&site).await.is_err() {
        runs += 1;
        assert!(runs < 100, "it does not get on");
    }
    drop(point);
    assert!(runs > 10, "{runs}");
    assert_migrated(&site).await;
}

/// Sites that are made and migrated at the same time.
const AT_ONCE: u32 = 4;

#[tokio::test]
async fn a_migration_that_died_anywhere_is_finished_by_the_next() {
    let mut died = 0;
    for first in (1..).step_by(AT_ONCE as usize) {
        let sites = (first..first + AT_ONCE).map(die_after_statement);
        let results = futures_util::future::join_all(sites).await;
        died += results.iter().filter(|died| **died).count();
        if results.contains(&false) {
            break;
        }
    }
    assert!(died > 15, "only {died} statements");
}

/// Whether there is an `n`-th statement, after which a migration died and the next one
/// finished.
async fn die_after_statement(n: u32) -> bool {
    let site = old_site().await;
    let point = failpoint::fail(&site.db_name, &format!("migrate_write_{n}"));
    let stopped = run(&site).await;
    drop(point);
    if stopped.is_ok() {
        return false;
    }
    let unfinished = plan(&site).await.unfinished;
    let report = run(&site).await.unwrap();
    assert_eq!(report.resumed_at, unfinished);
    assert_migrated(&site).await;
    // The first statements make the table that says so.
    assert_eq!(unfinished.is_some(), n > 4, "after statement {n}");
    true
}

#[tokio::test]
async fn a_migration_cut_off_in_its_alter_is_finished_by_the_next() {
    let site = old_site().await;
    let db = engine(&site);
    let options = Options::at(now());
    let altering = Notify::new();
    tokio::select! {
        done = migrate::run(&db, &options, |p| if p.step == Step::Shape { altering.notify_one() }) => {
            panic!("it was over before it could be cut off: {done:?}");
        }
        // The statement is under way or about to be.
        () = altering.notified() => {}
    }
    run(&site).await.unwrap();
    assert_migrated(&site).await;
}

#[tokio::test]
async fn of_two_migrations_at_once_one_does_the_work() {
    let site = old_site().await;
    let (a, b) = tokio::join!(run(&site), run(&site));
    assert_ne!(a.unwrap().changed(), b.unwrap().changed());
    assert_migrated(&site).await;
}

#[tokio::test]
async fn rows_that_arrive_meanwhile_are_taken_along() {
    let site = old_site().await;
    // A row of each kind that the new key refuses arrives after the old ones were repaired
    // and before the ALTER. Each run changes one thing and is cut off, but for the one
    // that repaired the last row.
    let (point, migrating) = loop {
        let point = failpoint::pause(&site.db_name, "migrate_write_1");
        let task = tokio::spawn({
            let db = engine(&site);
            async move { migrate::run(&db, &Options::at(now()), |_| {}).await }
        });
        point.reached().await;
        let tracker = plan(&site)
            .await
            .tables
            .into_iter()
            .find(|t| t.table == TRACKER);
        if tracker.is_some_and(|t| t.rebuilds && t.without_season + t.duplicate_rows == 0) {
            break (point, task);
        }
        task.abort();
        assert!(task.await.is_err(), "it was over before its first change");
    };
    add_row(
        &site,
        TRACKER,
        "n1",
        ("cid", None, "Q-1"),
        "2026-01-01",
        1.0,
    )
    .await;
    let late = ("ann", Some("SEASON-2026"), "Q-4");
    add_row(&site, TRACKER, "n2", late, "2026-01-18", 4.0).await;
    let new_season = ("cid", Some("SEASON-2030"), "Q-1");
    add_row(&site, TRACKER, "n3", new_season, "2026-01-01", 1.0).await;
    drop(point);
    let report = migrating.await.unwrap().unwrap();
    assert!(report.changed());
    let rows = rows(&site).await;
    let has = |p: &str, s: &str, q: &str, stability: f64| {
        rows.contains(&(p.to_owned(), s.to_owned(), q.to_owned(), stability))
    };
    assert!(has("cid", "SEASON-2026", "Q-1", 1.0), "{rows:?}");
    assert!(has("ann", "SEASON-2026", "Q-4", 4.0), "{rows:?}");
    assert!(has("cid", "SEASON-2030", "Q-1", 1.0), "{rows:?}");
    assert_eq!(rows.len(), MIGRATED.len() + 2);
}

#[tokio::test]
async fn what_forbids_partitioning_is_named_and_nothing_changes() {
    let site = old_site().await;
    site.exec(
        &format!("ALTER TABLE `{TRACKER}` ADD UNIQUE INDEX topic (topic)"),
        (),
    )
    .await;
    let before = everything(&site).await;
    let error = run(&site).await.unwrap_err();
    assert_eq!(error.kind(), memora_core::ErrorKind::Config);
    assert!(error.message().contains("unique index topic"), "{error}");
    assert_eq!(plan(&site).await.problems.len(), 1);
    assert_eq!(everything(&site).await, before);

    site.exec(&format!("DROP TABLE `{ARCHIVE}`"), ()).await;
    let error = run(&site).await.unwrap_err();
    assert_eq!(error.kind(), memora_core::ErrorKind::NotFound);
    assert!(error.message().contains(ARCHIVE), "{error}");
}
