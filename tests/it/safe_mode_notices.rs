//! Administrators are told once of an outage and once of its end, however many processes
//! and hosts notice.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use memora_core::pickle;
use memora_core::queue::NOTICE_METHOD;
use memora_core::services::read::{ReviewRequest, get_review_session};
use memora_core::services::safe_mode;
use memora_core::services::sweep::sweep;
use memora_core::services::{Site, Sites};
use memora_core::types::{Player, UtcMicros};
use memora_tests::{Due, TestSite, wait};
use serde_json::{Value, json};

use crate::story::{SEASON, args};

const STUDENT: &str = "student@example.com";

async fn site() -> TestSite {
    let test = TestSite::builder()
        .own_cache()
        .own_queue()
        .config("srs_safe_mode_user_seconds", json!(0))
        .build()
        .await;
    test.add_season(SEASON).await;
    test.add_questions(STUDENT, SEASON, 5, Due::All).await;
    test
}

/// One more process of this host, or of the host that has this folder.
fn process(test: &TestSite, sites_path: &Path) -> Arc<Site> {
    let mut config = test.config();
    config.sites_path = sites_path.to_owned();
    Site::open(config).unwrap()
}

async fn read(site: &Arc<Site>) -> bool {
    let request = ReviewRequest::from_args(&args(json!({}))).unwrap();
    let student = Player::stored(STUDENT);
    let session = get_review_session(site, &student, &request, UtcMicros::now()).await;
    session.unwrap().is_degraded
}

/// Reads until the cache answers, and all of the host were quiet for long enough.
async fn until_over(sites: &[&Arc<Site>]) {
    wait::until("the outage is over for all of them", || async {
        let mut over = true;
        for site in sites {
            read(site).await;
            let status = safe_mode::status(site).await;
            over &= status.since.is_none() && status.told;
        }
        over.then_some(())
    })
    .await;
}

/// The arguments of the notices that wait, in their order.
async fn notices(test: &TestSite) -> Vec<Value> {
    let mut redis = test.queue.connection().await;
    let list = format!("rq:queue:{}:default", test.bench_id);
    let ids: Vec<String> = redis::cmd("LRANGE")
        .arg(&list)
        .arg(0)
        .arg(-1)
        .query_async(&mut redis)
        .await
        .unwrap();
    let mut found = Vec::new();
    for id in ids {
        let data: Vec<u8> = redis::cmd("HGET")
            .arg(format!("rq:job:{id}"))
            .arg("data")
            .query_async(&mut redis)
            .await
            .unwrap();
        let mut call = Vec::new();
        flate2::read::ZlibDecoder::new(&data[..])
            .read_to_end(&mut call)
            .unwrap();
        let limits = pickle::Limits {
            input: 1 << 20,
            values: 1000,
            text: 1 << 20,
            depth: 10,
        };
        let call = Value::try_from(pickle::read(&call, limits).unwrap()).unwrap();
        let call = &call[3];
        if call["method"] == NOTICE_METHOD {
            assert_eq!(call["user"], "Administrator");
            found.push(call["kwargs"].clone());
        }
    }
    found
}

fn events(notices: &[Value]) -> Vec<&str> {
    notices
        .iter()
        .map(|notice| notice["event"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn one_notice_when_it_begins_and_one_when_it_ends() {
    let test = site().await;
    let other_host = tempfile::tempdir().unwrap();
    std::fs::create_dir(other_host.path().join(&test.name)).unwrap();
    let one = process(&test, &test.sites_path);
    let two = process(&test, &test.sites_path);
    let far = process(&test, other_host.path());
    for site in [&one, &two, &far] {
        assert!(!read(site).await);
    }
    assert_eq!(notices(&test).await, Vec::<Value>::new());
    test.cache.server.kill();
    for _ in 0..3 {
        for site in [&one, &two, &far] {
            assert!(read(site).await);
        }
    }
    wait::until("somebody has told", || async {
        read(&far).await;
        (!notices(&test).await.is_empty()).then_some(())
    })
    .await;
    for site in [&one, &two, &far] {
        assert!(read(site).await);
    }
    let told = notices(&test).await;
    assert_eq!(events(&told), ["began"]);
    assert_eq!(told[0]["ended_at"], Value::Null);
    assert!(safe_mode::status(&one).await.active);

    test.cache.server.start_again().await;
    until_over(&[&one, &two, &far]).await;
    let told = notices(&test).await;
    assert_eq!(events(&told), ["began", "ended"]);
    assert_eq!(told[1]["began_at"], told[0]["began_at"]);
    assert!(told[1]["ended_at"].as_str() > told[1]["began_at"].as_str());
    let status = safe_mode::status(&one).await;
    assert!(!status.active && status.last.is_some());
}

#[tokio::test]
async fn a_process_whose_configuration_changes_meanwhile_notices_the_end() {
    let test = site().await;
    let sites = Sites::new(&test.sites_path);
    let before = sites.get(&test.name).await.unwrap();
    read(&before).await;
    test.cache.server.kill();
    wait::until("the outage is noted", || async {
        assert!(read(&before).await);
        let status = safe_mode::status(&before).await;
        status.since.is_some().then_some(())
    })
    .await;
    test.set_config("srs_max_questions", json!(7));
    let after = wait::until("the site is open anew", || async {
        let site = sites.get(&test.name).await.unwrap();
        (!Arc::ptr_eq(&site, &before)).then_some(site)
    })
    .await;
    drop(before);
    // Before the new one has read anything without the cache.
    test.cache.server.start_again().await;
    until_over(&[&after]).await;
    assert_eq!(events(&notices(&test).await), ["began", "ended"]);
}

#[tokio::test]
async fn a_host_whose_file_was_removed_is_the_same_host() {
    let test = site().await;
    let one = process(&test, &test.sites_path);
    read(&one).await;
    test.cache.server.kill();
    wait::until("administrators are told", || async {
        assert!(read(&one).await);
        (!notices(&test).await.is_empty()).then_some(())
    })
    .await;
    let file = safe_mode::status(&one).await.counters.unwrap();
    std::fs::remove_file(file).unwrap();
    assert!(read(&one).await);
    test.cache.server.start_again().await;
    until_over(&[&one]).await;
    assert_eq!(events(&notices(&test).await), ["began", "ended"]);
}

#[tokio::test]
async fn what_the_queue_could_not_take_is_told_when_it_is_back() {
    let test = site().await;
    let one = process(&test, &test.sites_path);
    read(&one).await;
    test.queue.server.kill();
    test.cache.server.kill();
    wait::until("the outage is noted", || async {
        assert!(read(&one).await);
        safe_mode::status(&one).await.since.is_some().then_some(())
    })
    .await;
    test.cache.server.start_again().await;
    wait::until("the outage is over", || async {
        read(&one).await;
        safe_mode::status(&one).await.since.is_none().then_some(())
    })
    .await;
    assert!(!safe_mode::status(&one).await.told);
    test.queue.server.start_again().await;
    // A process that has seen nothing of it, and reads nothing.
    let worker = process(&test, &test.sites_path);
    wait::until("a sweep has told", || async {
        sweep(&worker, "test", 1).await.unwrap();
        safe_mode::status(&worker).await.told.then_some(())
    })
    .await;
    // Of one that is over only the end, with its beginning.
    let told = notices(&test).await;
    assert_eq!(events(&told), ["ended"]);
    assert!(told[0]["began_at"].is_string() && told[0]["ended_at"].is_string());
}
