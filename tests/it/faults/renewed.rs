//! MariaDB away, and the queue's Redis started anew with nothing: entries of what has no row
//! are gone, and kept again by who took it. Until then nobody answers from the table alone.

use std::sync::Arc;

use memora_core::ErrorKind;
use memora_core::failpoint;
use memora_core::services::{Site, unjournaled};
use memora_tests::questions::question_id;
use memora_tests::{TestSite, wait};
use serde_json::json;

use super::attempts::journaled;
use crate::story::{forget, furnish, read, submit, try_read, warm};

/// Two processes that have heard from the queue, and a submit of the first that was in queue
/// and spool alone; MariaDB is away, and now the queue with what it had.
async fn stage() -> (TestSite, Arc<Site>, Arc<Site>) {
    let test = TestSite::builder().own_mariadb().own_queue().build().await;
    furnish(&test, 10, 10).await;
    let (one, other) = (test.site().await, test.site().await);
    warm(&one).await;
    for site in [&one, &other] {
        unjournaled::look(site).await.unwrap();
        read(site).await;
    }
    test.mariadb.kill();
    assert!(!submit(&one, "once", &[&question_id(0)]).await.is_degraded);
    // A schedule that is gone: what was shown must come from elsewhere.
    forget(&test).await;
    let refused = try_read(&other, json!({})).await;
    assert!(refused.is_err(), "MariaDB is away: {refused:?}");
    test.queue.server.kill();
    (test, one, other)
}

/// Reads until there is an answer: none may lack the submit.
async fn shows(site: &Arc<Site>) {
    wait::until("the submit shows", || async {
        match try_read(site, json!({})).await {
            Ok(session) => {
                assert_eq!(session.total_due, 9, "{session:?}");
                Some(())
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
                None
            }
        }
    })
    .await;
}

#[tokio::test]
async fn what_the_queue_lost_is_kept_again_and_nothing_older_is_shown() {
    let (test, one, other) = stage().await;
    // The row is made by nobody yet.
    let making = failpoint::pause(&test.name, "before_late_rows");
    test.queue.server.start_again().await;
    test.mariadb.start_again().await;
    shows(&other).await;
    assert!(other.unjournaled.are_there().await.unwrap());
    drop(making);
    journaled(&test, &one, 1).await;
    shows(&other).await;
}

#[tokio::test]
async fn nothing_older_is_shown_while_the_queue_is_away_still() {
    let (test, one, other) = stage().await;
    let making = failpoint::pause(&test.name, "before_late_rows");
    test.mariadb.start_again().await;
    let refused = try_read(&other, json!({})).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused:?}");
    drop(making);
    shows(&other).await;
    test.queue.server.start_again().await;
    // Its own connection has not noticed yet that the queue is another one.
    let site = test.site().await;
    journaled(&test, &site, 1).await;
    drop(one);
}
