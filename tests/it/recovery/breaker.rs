//! Safe Mode begins, lasts and ends.

use std::time::Duration;

use http::StatusCode;
use memora_core::ErrorKind;
use memora_tests::proxy::{Fault, Proxy};
use memora_tests::{Sidecar, wait};
use serde_json::json;
use tokio::time::sleep;

use super::{Client, DUE, READ, opened_through, stage};
use crate::story::{furnish, read, try_read, warm};
use memora_tests::TestSite;

#[tokio::test]
async fn a_killed_redis_begins_safe_mode_and_its_return_ends_it() {
    let (test, student) = stage().await;
    let sidecar = Sidecar::start(&test).await;
    let client = Client::of(&sidecar, &test, &student);
    client.warm(&test).await;
    for times in 1..=2 {
        test.cache.server.kill();
        let session = client.read().await;
        if times == 1 {
            let session = session.expect("the first read is within every limit");
            assert_eq!(session["is_degraded"], true);
            assert_eq!(session["total_due"], DUE);
            assert_eq!(session["questions"].as_array().map(Vec::len), Some(10));
        }
        // Nobody reads: it is noticed all the same.
        let said = |what: &str| sidecar.process.log().matches(what).count();
        wait::until("Safe Mode begins", || async {
            (said("Safe Mode begins") == times).then_some(())
        })
        .await;
        test.cache.server.start_again().await;
        wait::until("Safe Mode ends", || async {
            (said("Safe Mode ends") == times).then_some(())
        })
        .await;
        assert_eq!(said("Safe Mode begins"), times, "once for each outage");
        client.recovers().await;
        client.never_shows(0).await;
    }
}

#[tokio::test]
async fn in_safe_mode_nobody_asks_redis_but_one_probe_at_a_time() {
    let test = TestSite::builder().own_cache().build().await;
    furnish(&test, 20, 20).await;
    let proxy = Proxy::start(test.cache.server.port()).await;
    let site = opened_through(&test, Some(&proxy), None);
    let mut told = site.safe_mode().subscribe();
    warm(&site).await;
    proxy.set(Fault::BlackHole);
    assert!(!site.safe_mode().is_active());
    let _ = try_read(&site, json!({})).await;
    assert!(site.safe_mode().is_active());
    assert!(told.borrow_and_update().is_active());
    let before = (proxy.connections(), proxy.round_trips());
    let readers = (0..200).map(|_| try_read(&site, json!({"limit": 50})));
    for session in futures_util::future::join_all(readers).await {
        match session {
            Ok(session) => {
                assert!(session.is_degraded);
                assert_eq!((session.total_due, session.questions.len()), (20, 10));
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::RateLimited),
        }
    }
    // A probe opens a connection and asks once; there may have been some.
    let probes = proxy.connections() - before.0;
    assert!(probes <= 20, "{probes} connections");
    assert!(proxy.round_trips() - before.1 <= 2 * probes);

    proxy.set(Fault::None);
    wait::until("Safe Mode is over", || async {
        let _ = try_read(&site, json!({})).await;
        (!site.safe_mode().is_active()).then_some(())
    })
    .await;
    assert!(!told.borrow_and_update().is_active());
    assert_eq!(told.borrow().number, 1);
    assert!(!read(&site).await.is_degraded);
}

#[tokio::test]
async fn with_both_servers_away_reads_are_told_to_come_back_in_five_seconds() {
    let test = TestSite::builder().own_cache().own_mariadb().build().await;
    furnish(&test, 20, 20).await;
    let student = test.add_student("bob@example.com").await;
    let sidecar = Sidecar::start(&test).await;
    let client = Client::of(&sidecar, &test, &student);
    client.recovers().await;
    test.cache.server.kill();
    test.mariadb.kill();
    let answer = wait::until("a read is refused for want of servers", || async {
        let answer = client.http.get(READ).token(&student).send().await;
        (answer.status == StatusCode::SERVICE_UNAVAILABLE).then_some(answer)
    })
    .await;
    assert_eq!(answer.header("Retry-After"), "5");
    assert!(answer.json().is_object());
    // Redis alone cannot say what it may lack.
    test.cache.server.start_again().await;
    sleep(Duration::from_secs(2)).await;
    let status = client.http.get(READ).token(&student).send().await.status;
    assert_ne!(status, StatusCode::OK);
    test.mariadb.start_again().await;
    client.recovers().await;
}
