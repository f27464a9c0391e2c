//! Runs that are stopped anywhere, by an error or by a kill, are finished by the next.

use memora_core::failpoint;
use memora_core::services::archive::Method;
use memora_tests::programs::{self, Start};
use memora_tests::wait;

use super::*;

const METHODS: [(Method, &str); 2] = [(Method::Convert, "convert"), (Method::Copy, "copy")];

/// Calls again until nothing is in the way any more: the server may still be at a statement
/// of the run that died.
async fn finish(site: &Arc<Site>, method: Method) -> Report {
    wait::until("the archiving is finished", || async {
        match archive(site, OLD, method).await {
            Ok(report) => Some(report),
            Err(error) if error.kind() == memora_core::ErrorKind::Unavailable => None,
            Err(error) => panic!("{error:?}"),
        }
    })
    .await
}

#[tokio::test]
async fn a_run_that_fails_after_any_step_is_finished_by_the_next() {
    for (method, _) in METHODS {
        let mut stopped = 0;
        for n in 1.. {
            let test = site().await;
            let site = test.site().await;
            let before = rows(&test, TRACKER, OLD).await;
            let point = failpoint::fail(&test.name, &format!("archive_step_{n}"));
            let failed = archive(&site, OLD, method).await;
            drop(point);
            if failed.is_ok() {
                break;
            }
            stopped += 1;
            let report = finish(&site, method).await;
            let moved = if report.was_archived { 0 } else { ROWS as u64 };
            assert_eq!(report.records_archived, moved, "{method:?} after step {n}");
            assert_archived(&test, OLD, &before).await;
        }
        assert!(stopped >= 10, "only {stopped} steps");
    }
}

#[tokio::test]
async fn a_restore_that_fails_after_any_step_is_finished_by_the_next() {
    let mut stopped = 0;
    for n in 1.. {
        let test = site().await;
        let site = test.site().await;
        let before = rows(&test, TRACKER, OLD).await;
        archive(&site, OLD, Method::Convert).await.unwrap();
        let point = failpoint::fail(&test.name, &format!("archive_step_{n}"));
        let failed = restore(&site, OLD).await;
        drop(point);
        if failed.is_ok() {
            break;
        }
        stopped += 1;
        // Done but for the last word: then there is nothing to restore any more.
        if let Err(error) = restore(&site, OLD).await {
            let done = "Season SEASON-2025 is not archived";
            assert_eq!(error.message(), done, "after step {n}: {error:?}");
        }
        assert_eq!(rows(&test, TRACKER, OLD).await, before, "after step {n}");
        assert_eq!(rows(&test, ARCHIVE, OLD).await, Vec::<String>::new());
        assert_eq!(marks(&test, OLD).await, (false, true));
    }
    assert!(stopped >= 6, "only {stopped} steps");
}

/// Whether there is an `n`-th step, at which a process was killed and the next one finished.
async fn killed_at(n: u32, method: Method, argument: &str) -> bool {
    let test = site().await;
    let before = rows(&test, TRACKER, OLD).await;
    let command = Start::default().args(&["--season", OLD, "--yes", "--method", argument]);
    let killed = command
        .clone()
        .failpoint(&format!("archive_step_{n}"), "exit");
    if programs::run(&test, &killed, "archive").await.is_ok() {
        return false;
    }
    finish(&test.site().await, method).await;
    assert_archived(&test, OLD, &before).await;
    true
}

#[tokio::test]
async fn a_process_that_is_killed_at_any_step_leaves_what_the_next_one_finishes() {
    for (method, argument) in METHODS {
        let mut killed = 0;
        for first in (1..).step_by(4) {
            let at_once = (first..first + 4).map(|n| killed_at(n, method, argument));
            let outcomes = futures_util::future::join_all(at_once).await;
            killed += outcomes.iter().filter(|killed| **killed).count();
            if outcomes.contains(&false) {
                break;
            }
        }
        assert!(killed >= 10, "only {killed} steps");
    }
}

/// 100 kills at random moments, over some seasons large enough to be hit in every phase.
#[tokio::test]
#[ignore = "takes minutes"]
async fn a_hundred_kills_at_random_moments_lose_nothing() {
    use memora_tests::process::Process;

    let mut kills = 0;
    let mut dice: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut round = 0;
    while kills < 100 {
        round += 1;
        let (method, argument) = METHODS[round % 2];
        let test = site().await;
        test.add_questions("many@example.com", OLD, 20_000, Due::All)
            .await;
        let before = rows(&test, TRACKER, OLD).await;
        for _ in 0..8 {
            let start = Start::default().args(&["--season", OLD, "--yes", "--method", argument]);
            let mut command = start.command("archive", &test).unwrap();
            command.args(["--site", &test.name]);
            let log = memora_tests::scratch::new_dir("kill").unwrap().join("log");
            let process = Process::start("memora-srs archive", command, &log).unwrap();
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let millis = 20 + (dice >> 33) % 900;
            tokio::time::sleep(std::time::Duration::from_millis(millis)).await;
            if process.exit_status().is_none() {
                process.kill();
                kills += 1;
            }
        }
        finish(&test.site().await, method).await;
        assert_archived(&test, OLD, &before).await;
    }
}
