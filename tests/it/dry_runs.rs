//! `--dry-run` of every command that changes something: nothing changes, and without it the
//! same command does change something.

use memora_tests::programs::{Start, binary};
use memora_tests::questions::Season;
use memora_tests::{Due, Sidecar, TestSite};
use redis::AsyncCommands;

use crate::everything::Everything;
use crate::story::{ANN, SEASON, furnish, submit, warm};

pub(crate) const OLD: &str = "SEASON-2025";
const READ: &str = "/api/method/memora.api.reviews.get_review_session";

/// The command's standard output.
fn run(test: &TestSite, command: &[&str], more: &[&str]) -> String {
    let mut program = std::process::Command::new(binary().unwrap());
    program.args(command).args(more);
    program.arg("--sites-path").arg(&test.sites_path);
    let output = program.args(["--site", &test.name]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} {more:?}: {said}{log}");
    said
}

/// A season that is over and gone from everybody's memory, with rows.
pub(crate) async fn add_old(test: &TestSite) {
    let closed = Season {
        is_active: false,
        ..Season::default()
    };
    test.add_season_with(OLD, closed).await;
    let long_ago = "UPDATE `tabGame Subscription Season` SET modified = '2026-01-01', \
                    auto_archive = 1, end_date = '2025-12-31' WHERE name = ?";
    test.exec(long_ago, (OLD,)).await;
    test.add_questions(ANN, OLD, 9, Due::First(4)).await;
}

/// All that this command must leave as it is. What a comparison found is kept in any case.
async fn of(test: &TestSite, command: &[&str]) -> Everything {
    let everything = Everything::of(test).await;
    match command {
        ["reconcile", ..] => everything.without("memora_srs_state"),
        _ => everything,
    }
}

#[tokio::test]
async fn nothing_is_done_until_it_is_asked_for_without() {
    let test = TestSite::new().await;
    furnish(&test, 12, 5).await;
    add_old(&test).await;
    let site = test.site().await;
    warm(&site).await;
    for id in ["to-retry", "to-dismiss", "to-sweep"] {
        submit(&site, id, &["Q-1"]).await;
    }
    let given_up = "UPDATE memora_srs_journal SET state = 'failed', next_try_at = '9999-12-31' \
                    WHERE submission_id <> 'to-sweep'";
    test.exec(given_up, ()).await;
    let late = "UPDATE memora_srs_journal SET created_at = created_at - INTERVAL 1 MINUTE";
    test.exec(late, ()).await;
    let bare =
        "INSERT INTO `tabGame Subscription Season` (name, season_name) VALUES ('NEW', 'NEW')";
    test.exec(bare, ()).await;
    let one = |id: &'static str| ["--player", ANN, "--submission", id];
    let retry = [&["journal", "retry"][..], &one("to-retry")].concat();
    let dismiss = [&["journal", "dismiss"][..], &one("to-dismiss")].concat();
    let season = ["--season", SEASON];
    let rebuild = [&["rebuild"][..], &season].concat();
    let clear = [&["cache", "clear"][..], &season].concat();
    let archive = ["archive", "--season", OLD];
    // Whoever looks at Safe Mode makes the file that it counts in.
    run(&test, &["safe-mode", "status"], &[]);
    // Each with what is done before it, and what it wants to be told without `--dry-run`.
    for (before, command, yes) in [
        (Before::Nothing, &retry[..], ""),
        (Before::Nothing, &dismiss, ""),
        (Before::Nothing, &["sweep"], ""),
        (Before::Wrong, &["reconcile"], ""),
        (Before::Nothing, &clear, ""),
        (Before::Nothing, &rebuild, ""),
        (
            Before::Nothing,
            &["partition", "create", "--season", "NEW"],
            "",
        ),
        (Before::NoIndex, &["migrate"], ""),
        (Before::Nothing, &["archive", "--auto"], ""),
        (
            Before::Nothing,
            &["archive", "--season", OLD, "--restore"],
            "--yes",
        ),
        (Before::Nothing, &archive, "--yes"),
        (Before::Years, &["retention", "flag"], ""),
        (Before::Nothing, &["retention", "delete"], "--yes"),
    ] {
        before.make(&test).await;
        let there = of(&test, command).await;
        run(&test, command, &["--dry-run"]);
        run(&test, command, &["--dry-run", "--json"]);
        let what = format!("{command:?} --dry-run");
        of(&test, command).await.is_as_before(&there, &what);
        let yes: &[&str] = if yes.is_empty() { &[] } else { &[yes] };
        run(&test, command, yes);
        let done = of(&test, command).await.differences(&there);
        assert_ne!(done, [""; 0], "{command:?} did nothing");
    }
}

/// What gives a command something to do.
enum Before {
    Nothing,
    /// The cache says otherwise than the table.
    Wrong,
    /// The table lacks an index.
    NoIndex,
    /// What is archived was archived long ago.
    Years,
}

impl Before {
    async fn make(&self, test: &TestSite) {
        match self {
            Self::Nothing => {}
            Self::Wrong => {
                let mut redis = test.cache.connection().await;
                let site = test.site().await;
                warm(&site).await;
                let key = site
                    .cache
                    .keys(&crate::story::ann(), &crate::story::season());
                let question = memora_tests::questions::question_id(2);
                let removed: u32 = redis.zrem(key.schedule, question).await.unwrap();
                assert_eq!(removed, 1);
            }
            Self::NoIndex => {
                let drop = "ALTER TABLE `tabPlayer Memory Tracker` \
                            DROP INDEX idx_pmt_player_season_review";
                test.exec(drop, ()).await;
            }
            Self::Years => {
                let old = "UPDATE `tabArchived Memory Tracker` \
                           SET archived_at = archived_at - INTERVAL 4 YEAR";
                test.exec(old, ()).await;
            }
        }
    }
}

#[tokio::test]
async fn reads_of_safe_mode_are_forgotten_only_without() {
    let test = TestSite::builder().own_cache().build().await;
    furnish(&test, 5, 5).await;
    let student = test.add_student("bob@example.com").await;
    let sidecar = Sidecar::start_with(&test, &Start::default()).await.unwrap();
    test.cache.server.kill();
    let answer = sidecar.http(&test).get(READ).token(&student).send().await;
    assert_eq!(answer.message()["is_degraded"], true);
    sidecar.process.stop(memora_tests::wait::PATIENCE).unwrap();
    for who in [&["--user", student.name.as_str()][..], &[]] {
        let command = [&["safe-mode", "reset"][..], who].concat();
        let there = Everything::but_the_cache(&test).await;
        run(&test, &command, &["--dry-run"]);
        let what = format!("{command:?} --dry-run");
        Everything::but_the_cache(&test)
            .await
            .is_as_before(&there, &what);
        run(&test, &command, &[]);
        let done = Everything::but_the_cache(&test).await.differences(&there);
        assert_ne!(done, [""; 0], "{command:?} did nothing");
    }
}
