//! How much memory a rebuild takes: for one large student, and for many.

use memora_core::types::Player;
use memora_tests::process::Process;
use memora_tests::programs::Start;
use memora_tests::{Due, TestSite, scratch, usage, wait};

use super::{all_right, class, student};
use crate::story::{SEASON, season};

/// Rebuilds in a process of its own; its peak in kilobytes.
async fn watched(test: &TestSite) -> u64 {
    let start = Start::default().args(&["--season", SEASON, "--load", "100", "--from-start"]);
    let mut command = start.command("rebuild", test).unwrap();
    command.args(["--site", &test.name]);
    let log = scratch::new_dir("rebuild").unwrap().join("log");
    let process = Process::start("memora-srs rebuild", command, &log).unwrap();
    let mut most = 0;
    wait::until("it has ended", || {
        most = most.max(usage::most_resident_bytes(process.id()) / 1024);
        let ended = process.exit_status();
        async move { ended.map(|status| assert!(status.success())) }
    })
    .await;
    most
}

#[tokio::test]
#[ignore = "takes most of a minute"]
async fn a_student_of_a_hundred_thousand_questions_and_a_season_of_many() {
    let test = TestSite::new().await;
    class(&test, 4, 10).await;
    let site = test.site().await;
    let small = watched(&test).await;
    test.add_questions("large@example.com", SEASON, 100_000, Due::First(500))
        .await;
    let one = watched(&test).await;
    all_right(&test, &site, ["large@example.com".to_owned()].into_iter()).await;
    // As much again, dealt to many: no more memory.
    for i in 10..110 {
        test.add_questions(&student(i), SEASON, 1000, Due::None)
            .await;
    }
    let many = watched(&test).await;
    all_right(&test, &site, (10..110).map(student)).await;
    // A hundred thousand states and what is sent of them: some 500 bytes each at most.
    assert!(one < small + 64 * 1024, "{small} {one} {many} kB");
    assert!(many < one + 16 * 1024, "{small} {one} {many} kB");
    let large = Player::stored("large@example.com");
    assert!(site.cache.are_complete(&[&large], &season()).await.unwrap()[0]);
}
