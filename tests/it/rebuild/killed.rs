//! Rebuilds that die, and what those who come after find.

use std::time::Duration;

use memora_core::failpoint;
use memora_core::services::rebuild::{self, State};
use memora_core::types::Player;
use memora_tests::process::Process;
use memora_tests::programs::{self, Start};
use memora_tests::{TestSite, scratch, wait};
use serde_json::Value;

use super::{all_right, class, full, none_wrong, rebuilt, student};
use crate::story::{SEASON, forget, season};

/// Points at which the process dies.
const STEPS: [&str; 9] = [
    "rebuild_leased",
    "fill_reads",
    "overlay_read",
    "load_read",
    "chunk_n",
    "before_publish",
    "rebuild_published",
    "rebuild_noted",
    "rebuild_ends",
];

fn start(failpoint: Option<&str>, args: &[&str]) -> Start {
    let start = Start::default().args(&["--season", SEASON, "--json"]);
    let start = start.args(args);
    match failpoint {
        Some(point) => start.failpoint(point, "exit"),
        None => start,
    }
}

async fn finishes(test: &TestSite, args: &[&str]) -> Value {
    let said = programs::run(test, &start(None, args), "rebuild").await;
    serde_json::from_str(&said.unwrap()).unwrap()
}

async fn forget_leases(test: &TestSite) {
    use redis::AsyncCommands;
    let mut redis = test.cache.connection().await;
    let keys: Vec<String> = redis.keys("*:lease").await.unwrap();
    for key in keys {
        let _: u64 = redis.del(key).await.unwrap();
    }
}

#[tokio::test]
#[ignore = "takes a minute"]
async fn at_every_step_and_the_next_run_ends_what_it_began() {
    let test = TestSite::new().await;
    let site = test.site().await;
    // Some of 6,000 questions, so that staging takes more than a round trip.
    class(&test, 12, 20).await;
    test.add_questions(&student(12), SEASON, 15_000, memora_tests::Due::None)
        .await;
    for step in STEPS {
        forget(&test).await;
        // Slow enough for a note to be written on the way.
        let slow = ["--load", "2", "--batch-size", "2", "--from-start"];
        let died = programs::run(&test, &start(Some(step), &slow), "rebuild").await;
        assert!(died.is_err(), "{step}");
        none_wrong(&test, &site, 13).await;
        // Leases run out after ten seconds, which the next run waits for. Once is enough.
        if step != "before_publish" {
            forget_leases(&test).await;
        }
        let report = finishes(&test, &["--load", "100"]).await;
        assert_eq!(report["total_users"], 13, "{step}: {report}");
        assert_eq!(report["left"], 0, "{step}: {report}");
        all_right(&test, &site, (0..13).map(student)).await;
    }
}

#[tokio::test]
async fn a_run_goes_on_where_the_last_one_stood_unless_told_otherwise() {
    let test = TestSite::new().await;
    let site = test.site().await;
    class(&test, 30, 4).await;
    let mut command = start(None, &["--load", "1", "--batch-size", "1"])
        .command("rebuild", &test)
        .unwrap();
    command.args(["--site", &test.name]);
    let log = scratch::new_dir("rebuild").unwrap().join("log");
    let process = Process::start("memora-srs rebuild", command, &log).unwrap();
    let noted = wait::until("some are noted", || async {
        let noted = rebuild::status(&site, SEASON).await.unwrap();
        noted.filter(|noted| noted.note.done >= 8)
    })
    .await;
    assert!(noted.running);
    process.kill();
    let noted = wait::until("its lock is gone", || async {
        let noted = rebuild::status(&site, SEASON).await.unwrap().unwrap();
        (!noted.running).then_some(noted)
    })
    .await;
    assert_eq!(noted.note.state, State::Started);
    // What it did is not done again, as long as Redis has the first ones.
    let mut gone = 0;
    for name in (0..noted.note.done as usize).map(student) {
        if !noted.note.witnesses.contains(&name) {
            let player = Player::stored(name);
            gone += u64::from(site.cache.invalidate(&player, &season()).await.unwrap());
        }
    }
    assert!(gone > 0);
    let report = finishes(&test, &["--load", "100"]).await;
    assert_eq!(
        (&report["total_users"], &report["refilled"]),
        (&30.into(), &0.into())
    );
    let complete = none_wrong(&test, &site, 30).await as u64;
    assert_eq!(complete, 30 - gone);
    let report = finishes(&test, &["--load", "100", "--from-start"]).await;
    assert_eq!(report["total_keys"], 30);
    assert_eq!(none_wrong(&test, &site, 30).await, 30);
}

#[tokio::test]
async fn who_was_left_is_filled_by_the_run_after_the_next() {
    let test = TestSite::new().await;
    let site = test.site().await;
    class(&test, 30, 4).await;
    // It dies with leases, which the next run meets, and passes by.
    let held = ["--load", "100", "--batch-size", "4"];
    let died = programs::run(&test, &start(Some("before_publish"), &held), "rebuild").await;
    assert!(died.is_err());
    let mut command = start(None, &["--load", "1", "--batch-size", "4"])
        .command("rebuild", &test)
        .unwrap();
    command.args(["--site", &test.name]);
    let log = scratch::new_dir("rebuild").unwrap().join("log");
    let process = Process::start("memora-srs rebuild", command, &log).unwrap();
    wait::until("some were left, and noted", || async {
        let noted = rebuild::status(&site, SEASON).await.unwrap();
        noted.filter(|noted| noted.note.left >= 4)
    })
    .await;
    process.kill();
    wait::until("its lock is gone", || async {
        let noted = rebuild::status(&site, SEASON).await.unwrap().unwrap();
        (!noted.running).then_some(())
    })
    .await;
    let report = finishes(&test, &["--load", "100"]).await;
    assert_eq!(
        (&report["total_users"], &report["left"]),
        (&30.into(), &0.into())
    );
    all_right(&test, &site, (0..30).map(student)).await;
}

#[tokio::test]
async fn redis_away_stops_it_and_another_data_set_is_filled_from_the_start() {
    let test = TestSite::builder().own_cache().build().await;
    class(&test, 40, 4).await;
    let site = test.site().await;
    let slow = super::Options {
        load: 1,
        batch_size: 1,
        ..full()
    };
    let running = tokio::spawn({
        let site = site.clone();
        async move { rebuilt(&site, &slow).await }
    });
    wait::until("some are noted", || async {
        let noted = rebuild::status(&site, SEASON).await.unwrap();
        noted.filter(|noted| noted.note.done >= 2)
    })
    .await;
    test.cache.server.stop();
    let stopped = running.await.unwrap().unwrap_err();
    assert_eq!(stopped.kind(), memora_core::ErrorKind::Unavailable);
    assert!(stopped.message().contains("goes on"), "{stopped:?}");
    let noted = rebuild::status(&site, SEASON).await.unwrap().unwrap();
    assert_eq!(noted.note.state, State::Failed);
    test.cache.server.start_again().await;
    let site = test.site().await;
    let report = rebuilt(&site, &full()).await.unwrap();
    assert_eq!((report.total_users, report.total_keys), (40, 40));
    all_right(&test, &site, (0..40).map(student)).await;
}

#[tokio::test]
async fn what_a_flush_in_the_middle_takes_away_is_filled_again() {
    let test = TestSite::new().await;
    class(&test, 60, 10).await;
    let site = test.site().await;
    for n in 0..5 {
        let published = failpoint::pause(&test.name, "rebuild_published");
        let running = tokio::spawn({
            let site = site.clone();
            let options = super::Options {
                batch_size: 4,
                from_start: true,
                ..full()
            };
            async move { rebuilt(&site, &options).await }
        });
        // After one page of fifteen, after four, and so on.
        for _ in 0..3 * n {
            published.reached().await;
            published.release();
        }
        published.reached().await;
        forget(&test).await;
        drop(published);
        let report = running.await.unwrap().unwrap();
        assert_eq!((report.total_users, report.left), (60, 0));
        assert_eq!((report.status, report.lost), (State::Completed, 0));
        assert!((4..=60).contains(&report.refilled), "{report:?}");
        assert_eq!(none_wrong(&test, &site, 60).await, 60);
    }
}

#[tokio::test]
async fn a_redis_that_is_emptied_again_and_again_is_named() {
    let test = TestSite::new().await;
    class(&test, 20, 5).await;
    let site = test.site().await;
    let passed = failpoint::pause(&test.name, "rebuild_passed");
    let running = tokio::spawn({
        let site = site.clone();
        async move { rebuilt(&site, &full()).await }
    });
    for _ in 0..3 {
        passed.reached().await;
        forget(&test).await;
        passed.release();
    }
    let report = running.await.unwrap().unwrap();
    assert_eq!((report.status, report.lost), (State::Incomplete, 20));
    assert_eq!((report.total_keys, report.refilled), (20, 40));
    let noted = rebuild::status(&site, SEASON).await.unwrap().unwrap();
    assert_eq!((noted.note.state, noted.note.lost), (State::Incomplete, 20));
}

#[tokio::test]
async fn a_run_does_not_go_on_over_what_a_flush_has_taken_since() {
    let test = TestSite::new().await;
    class(&test, 20, 5).await;
    let site = test.site().await;
    let point = failpoint::fail(&test.name, "rebuild_passed");
    rebuilt(&site, &full()).await.unwrap_err();
    drop(point);
    let goes_on = rebuilt(&site, &full()).await.unwrap();
    assert_eq!((goes_on.total_keys, goes_on.refilled), (20, 0));
    let point = failpoint::fail(&test.name, "rebuild_passed");
    let from_start = super::Options {
        from_start: true,
        ..full()
    };
    rebuilt(&site, &from_start).await.unwrap_err();
    drop(point);
    forget(&test).await;
    let anew = rebuilt(&site, &full()).await.unwrap();
    assert_eq!((anew.total_keys, anew.refilled), (20, 0));
    assert_eq!(none_wrong(&test, &site, 20).await, 20);
}

/// For `make test-long`.
#[tokio::test]
#[ignore = "takes minutes"]
async fn a_hundred_times_at_any_moment() {
    let test = TestSite::new().await;
    let site = test.site().await;
    class(&test, 200, 100).await;
    for round in 0..100_u64 {
        forget(&test).await;
        let mut kills = 0;
        loop {
            let args = ["--load", "50", "--batch-size", "10"];
            let mut command = start(None, &args).command("rebuild", &test).unwrap();
            command.args(["--site", &test.name]);
            let log = scratch::new_dir("rebuild").unwrap().join("log");
            let process = Process::start("memora-srs rebuild", command, &log).unwrap();
            // Any moment of a run that takes some seconds in this build.
            let mut random = [0; 2];
            getrandom::fill(&mut random).unwrap();
            let moment = u64::from(u16::from_le_bytes(random)) % 2500;
            let _ = process.wait_until(Duration::from_millis(moment), || {
                process.exit_status().is_some()
            });
            if process.exit_status().is_some_and(|status| status.success()) {
                break;
            }
            process.kill();
            // MariaDB notices that it is gone a moment later.
            wait::until("its lock is gone", || async {
                let noted = rebuild::status(&site, SEASON).await.unwrap();
                noted.is_none_or(|noted| !noted.running).then_some(())
            })
            .await;
            kills += 1;
            if kills > 2 {
                finishes(&test, &["--load", "100"]).await;
                break;
            }
        }
        let complete = none_wrong(&test, &site, 200).await;
        assert_eq!(complete, 200, "round {round}, {kills} kills");
    }
}
