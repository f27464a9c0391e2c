//! Processes that have just started, or read a new configuration, and know nothing yet of
//! submits without a row: while the queue's Redis cannot be asked, what they show may be
//! older than what was acknowledged, and they say so.

use std::sync::Arc;

use memora_core::services::{Sites, fill, unjournaled};
use memora_tests::questions::question_id;
use memora_tests::{TestSite, wait};
use serde_json::Value;

use super::attempts::{close_journal, journaled, open_journal};
use crate::story::{ann, forget, furnish, is_complete, read, season, submit, warm};

async fn own_queue() -> TestSite {
    let test = TestSite::builder().own_queue().build().await;
    furnish(&test, 10, 10).await;
    test
}

#[tokio::test]
async fn who_starts_while_the_queue_is_away_gives_nothing_for_the_whole_truth() {
    for hung in [true, false] {
        let test = own_queue().await;
        let one = test.site().await;
        warm(&one).await;
        close_journal(&test).await;
        assert!(!submit(&one, "once", &[&question_id(0)]).await.is_degraded);
        match hung {
            true => test.queue.server.pause(),
            false => test.queue.server.kill(),
        }
        // The cache has it, whoever asks.
        let started = test.site().await;
        assert_eq!(read(&started).await.total_due, 9);
        forget(&test).await;
        let session = read(&started).await;
        assert!(session.is_degraded, "what it shows may be older");
        let filled = fill::run(&started, &ann(), &season(), &[]).await;
        assert_eq!(filled.unwrap(), fill::Filled::Overtaken);
        assert!(!is_complete(&started, None).await);
        // Who took it knows.
        assert_eq!(read(&one).await.total_due, 9);
        match hung {
            true => test.queue.server.resume(),
            false => test.queue.server.start_again().await,
        }
        open_journal(&test).await;
        journaled(&test, &one, 1).await;
        wait::until("all is well", || async {
            let session = read(&started).await;
            (session.total_due == 9 && !session.is_degraded).then_some(())
        })
        .await;
        wait::until("and cached", || async {
            read(&started).await;
            is_complete(&started, None).await.then_some(())
        })
        .await;
        assert_eq!(read(&started).await.total_due, 9);
    }
}

#[tokio::test]
async fn what_is_computed_upon_what_may_be_older_waits_until_it_is_known() {
    let test = own_queue().await;
    let one = test.site().await;
    warm(&one).await;
    test.queue.server.pause();
    let started = test.site().await;
    forget(&test).await;
    let answer = submit(&started, "cold", &[&question_id(0)]).await;
    assert!(answer.is_degraded, "its answers travel raw");
    // Once the queue has said that there is nothing, that is believed.
    test.queue.server.resume();
    wait::until("it has been asked", || async {
        (!read(&started).await.is_degraded).then_some(())
    })
    .await;
    test.queue.server.kill();
    forget(&test).await;
    assert!(!read(&started).await.is_degraded);
    warm(&started).await;
}

#[tokio::test]
async fn a_look_is_as_good_as_a_read() {
    let test = own_queue().await;
    let site = test.site().await;
    unjournaled::look(&site).await.unwrap();
    test.queue.server.kill();
    assert!(!read(&site).await.is_degraded);
}

#[tokio::test]
async fn a_changed_configuration_forgets_nothing_that_has_no_row() {
    let test = own_queue().await;
    let sites = Sites::new(&test.sites_path);
    let before = sites.get(&test.name).await.unwrap();
    warm(&before).await;
    close_journal(&test).await;
    submit(&before, "once", &[&question_id(0)]).await;
    test.queue.server.kill();
    let file = test.sites_path.join(&test.name).join("site_config.json");
    let mut config: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    for max in [99_999, 99_998] {
        config["srs_max_questions"] = max.into();
        let known = sites.get(&test.name).await.unwrap();
        std::fs::write(&file, config.to_string()).unwrap();
        let after = wait::until("the site is open anew", || async {
            let site = sites.get(&test.name).await.unwrap();
            (!Arc::ptr_eq(&site, &known)).then_some(site)
        })
        .await;
        forget(&test).await;
        assert_eq!(read(&after).await.total_due, 9);
    }
    test.queue.server.start_again().await;
    open_journal(&test).await;
    // Its own connection has not noticed yet that the queue is another one.
    let site = test.site().await;
    journaled(&test, &site, 1).await;
}
