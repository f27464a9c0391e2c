//! What signals do to sidecar and worker.

use std::process::Command;

use memora_tests::process::Process;
use memora_tests::programs::Start;
use memora_tests::{Http, Sidecar, TestSite, Worker, scratch, wait};

use crate::metrics::{scrape, start_with, value};
use crate::story::{ANN, SEASON};

const READ: &str = "/api/method/memora.api.reviews.get_review_session";

/// Ends well, and says by which signal.
async fn ends(process: &Process, name: &str) {
    let ended = wait::until("it ends", || async { process.exit_status() }).await;
    assert!(ended.success(), "{name}: {ended} {}", process.log());
    assert!(process.log().contains(name), "{name}: {}", process.log());
}

/// Says that it goes on.
async fn goes_on(process: &Process, name: &str) {
    wait::until("it says so, or ends", async || {
        let log = process.log();
        let says = log
            .lines()
            .any(|line| line.contains("ignored") && line.contains(name));
        (says || process.exit_status().is_some()).then_some(())
    })
    .await;
    assert!(process.exit_status().is_none(), "{}", process.state());
}

#[tokio::test]
async fn a_sidecar_answers_before_it_ends() {
    let test = TestSite::new().await;
    test.add_season(SEASON).await;
    let ann = test.add_student(ANN).await;
    for (signal, name) in [
        (libc::SIGHUP, "SIGHUP"),
        (libc::SIGQUIT, "SIGQUIT"),
        (libc::SIGTERM, "SIGTERM"),
    ] {
        let slow = Start::default().failpoint("before_service", "sleep1000");
        let (sidecar, metrics) = start_with(&test, slow).await;
        let http = sidecar.http(&test);
        let told = async {
            wait::until("the request is under way", async || {
                let text = scrape(&metrics).await;
                (value(&text, "http_requests_in_flight") == Some(1.0)).then_some(())
            })
            .await;
            sidecar.process.signal(signal);
        };
        let (answer, ()) = tokio::join!(http.get(READ).cookie(&ann).try_send(), told);
        let answer = answer.unwrap_or_else(|e| panic!("{name}: {e:#}"));
        assert_eq!(answer.status, 200, "{name}");
        ends(&sidecar.process, name).await;
    }
}

#[tokio::test]
async fn signals_that_mean_nothing_here_end_nothing() {
    let test = TestSite::new().await;
    let sidecar = Sidecar::start(&test).await;
    let worker = Worker::start(&test);
    wait::until("the worker works", async || {
        worker.process.log().contains("Working").then_some(())
    })
    .await;
    for (signal, name) in [(libc::SIGUSR1, "SIGUSR1"), (libc::SIGUSR2, "SIGUSR2")] {
        for process in [&sidecar.process, &worker.process] {
            process.signal(signal);
            goes_on(process, name).await;
        }
    }
    assert_eq!(sidecar.http(&test).get("/healthz").send().await.status, 200);
}

#[tokio::test]
async fn a_worker_ends_well_by_each() {
    let test = TestSite::new().await;
    for (signal, name) in [(libc::SIGHUP, "SIGHUP"), (libc::SIGQUIT, "SIGQUIT")] {
        let worker = Worker::start(&test);
        wait::until("the worker works", async || {
            worker.process.log().contains("Working").then_some(())
        })
        .await;
        worker.process.signal(signal);
        ends(&worker.process, name).await;
    }
}

/// Whoever starts it with `nohup` wants it to outlive the terminal.
#[tokio::test]
async fn a_hangup_that_is_ignored_stays_ignored() {
    let test = TestSite::new().await;
    let serve = Start::default().command("serve", &test).unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' HUP; exec \"$0\" \"$@\""]);
    command.arg(serve.get_program()).args(serve.get_args());
    command.args(["--bind", "127.0.0.1:0"]);
    let log = scratch::new_dir("serve").unwrap().join("log");
    let process = Process::start("memora-srs serve", command, &log).unwrap();
    let address = wait::until("it listens", async || {
        let log = process.log();
        let (_, rest) = log.split_once("listening on http://")?;
        rest.split_once('\n')?.0.parse().ok()
    })
    .await;
    process.signal(libc::SIGHUP);
    process.signal(libc::SIGUSR1);
    goes_on(&process, "SIGUSR1").await;
    let http = Http::new(address, &test.name);
    assert_eq!(http.get("/healthz").send().await.status, 200);
    process.signal(libc::SIGTERM);
    ends(&process, "SIGTERM").await;
}
