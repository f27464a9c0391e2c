//! Rebuilds that die, and what those who come after find.

use std::time::Duration;

use memora_core::services::rebuild::{self, State};
use memora_tests::process::Process;
use memora_tests::programs::{self, Start};
use memora_tests::{TestSite, scratch, wait};
use serde_json::Value;

use super::{all_right, class, full, none_wrong, rebuilt, student};
use crate::story::{SEASON, forget};

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
        noted.filter(|noted| noted.note.done >= 2)
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
    // What it did is not done again.
    forget(&test).await;
    let report = finishes(&test, &["--load", "100"]).await;
    assert_eq!(report["total_users"], 30);
    let complete = none_wrong(&test, &site, 30).await as u64;
    assert_eq!(complete, 30 - noted.note.done);
    let report = finishes(&test, &["--load", "100", "--from-start"]).await;
    assert_eq!(report["total_keys"], 30);
    assert_eq!(none_wrong(&test, &site, 30).await, 30);
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
async fn a_flush_in_the_middle_leaves_nothing_wrong() {
    let test = TestSite::new().await;
    class(&test, 60, 10).await;
    let site = test.site().await;
    for _ in 0..5 {
        let running = tokio::spawn({
            let site = site.clone();
            let options = super::Options {
                load: 20,
                batch_size: 4,
                from_start: true,
                ..full()
            };
            async move { rebuilt(&site, &options).await }
        });
        wait::until("some are filled", || async {
            (super::complete_ones(&site, 60).await > 5).then_some(())
        })
        .await;
        forget(&test).await;
        let report = running.await.unwrap().unwrap();
        assert_eq!((report.total_users, report.left), (60, 0));
        none_wrong(&test, &site, 60).await;
    }
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
