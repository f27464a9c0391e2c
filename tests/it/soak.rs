//! The soak itself, short; and whether its checker finds every rule that is broken on
//! purpose.

use std::process::Stdio;

use serde_json::Value;
use tokio::process::Command;
use tokio::sync::Mutex;

/// One at a time: each has servers and programs of its own.
static TURN: Mutex<()> = Mutex::const_new(());

/// Runs it: whether it was content, and its summary.
async fn soak(args: &[&str]) -> (bool, Value) {
    let _turn = TURN.lock().await;
    let output = Command::new(env!("CARGO_BIN_EXE_memora-soak"))
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .args(args)
        // Without RQ's worker: the wheel may be another engine than this.
        .args(["--json", "--students", "30", "--python", "none"])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .expect("starting the soak");
    let said = String::from_utf8_lossy(&output.stderr);
    let summary = serde_json::from_slice(&output.stdout);
    let summary = summary.unwrap_or_else(|e| panic!("{e}: {said}"));
    (output.status.success(), summary)
}

/// Breaks a rule on purpose, and the checker must say so in one of these ways.
async fn finds(rule: &str, minutes: &str, ways: &[&str]) {
    let (content, summary) = soak(&["--plant", rule, "--minutes", minutes]).await;
    assert!(!content, "{rule}: {summary:#}");
    let found: u64 = ways.iter().filter_map(|way| summary[way].as_u64()).sum();
    assert!(found > 0, "{rule}: {summary:#}");
}

/// The same faults find nothing where the rule holds.
async fn holds(rule: &str, minutes: &str) {
    let (content, summary) = soak(&["--aim", rule, "--minutes", minutes]).await;
    assert!(content, "{rule}: {summary:#}");
}

macro_rules! plants {
    ($($test:ident: $rule:literal, $minutes:literal, $ways:expr;)*) => {$(
        #[tokio::test]
        #[ignore = "takes a minute"]
        async fn $test() {
            holds($rule, $minutes).await;
            finds($rule, $minutes, &$ways).await;
        }
    )*};
}

plants! {
    a_read_without_the_overlay_is_found: "no_overlay", "0.5", ["stale"];
    a_read_of_two_snapshots_is_found: "two_snapshots", "0.5", ["stale"];
    a_write_that_no_fill_hears_of_is_found: "no_dirty", "0.5", ["stale"];
    a_marker_without_instance_is_found: "no_instance", "0.5", ["stale"];
    an_acknowledgement_before_the_journal_is_found: "ack_before_journal", "0.5", ["lost"];
    a_submission_without_a_token_is_found: "no_token", "0.7", ["doubled"];
    an_order_by_wall_time_is_found: "wall_time", "0.5", ["lost"];
    a_worker_that_does_not_show_again_is_found: "no_reassert", "1.5", ["stale"];
}

#[tokio::test]
#[ignore = "takes a minute and a half"]
async fn a_minute_under_faults_loses_and_doubles_nothing() {
    let (content, summary) = soak(&["--seed", "7", "--minutes", "1"]).await;
    assert!(content, "{summary:#}");
}
