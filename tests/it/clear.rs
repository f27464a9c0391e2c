//! Forgetting the schedules of one season, exactly.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use memora_core::ErrorKind;
use memora_core::failpoint;
use memora_core::services::work::Progress;
use memora_core::services::{Site, clear, fill, schedule};
use memora_core::types::{Player, Season, UtcMicros};
use memora_tests::questions::SUBJECTS;
use memora_tests::{Due, TestSite};

use crate::story::{ANN, SEASON, ann, furnish, is_complete, read, season, site_with, submit, warm};

async fn keys(test: &TestSite) -> BTreeSet<String> {
    let mut redis = test.cache.connection().await;
    let keys: Vec<String> = redis::cmd("KEYS")
        .arg("*srs:*")
        .query_async(&mut redis)
        .await
        .expect("KEYS");
    keys.into_iter().collect()
}

async fn redis(test: &TestSite, command: &[&str]) {
    let mut cmd = redis::cmd(command[0]);
    cmd.arg(&command[1..]);
    let mut connection = test.cache.connection().await;
    cmd.query_async::<redis::Value>(&mut connection)
        .await
        .expect("a reply");
}

async fn fill(site: &Site, player: &str, season: &str) {
    let subjects = [SUBJECTS[0].0.to_owned()];
    let (player, season) = (Player::stored(player), Season::stored(season));
    let filled = fill::run(site, &player, &season, &subjects).await;
    assert_eq!(filled.expect("a fill"), fill::Filled::Yes);
}

async fn cleared(site: &Site, season: &str) -> u64 {
    clear::season(site, &Season::stored(season), &|_| {})
        .await
        .expect("a clearing")
}

#[tokio::test]
async fn each_season_goes_alone_whatever_its_name() {
    let names = [
        "X", "A:X", "A", "*", "?", "[a-z]", "\\*", "%3A", "%", "{X}", "X}", "a'\"`b", "é 🎓", "x",
    ];
    let test = TestSite::new().await;
    let site = test.site().await;
    let students = ["ann@example.com", "u:A", "%", "{b}", "*"];
    for name in names {
        for student in students {
            fill(&site, student, name).await;
        }
    }
    let mut left = keys(&test).await;
    let status = clear::status(&site).await.unwrap();
    assert_eq!(status.total_keys as usize, names.len() * students.len());
    assert!(status.is_complete && status.redis_connected && !status.is_safe_mode);
    assert!(status.memory_used_mb > 0.1, "{status:?}");
    for name in names {
        assert_eq!(status.keys_by_season[name], 5, "{name}");
        assert_eq!(cleared(&site, name).await, 5, "{name}");
        let now = keys(&test).await;
        for student in students {
            let of = site
                .cache
                .keys(&Player::stored(student), &Season::stored(name));
            for key in [of.schedule.clone(), of.details(), of.subject(SUBJECTS[0].0)] {
                assert!(left.remove(&key), "{key} was there");
            }
        }
        assert_eq!(now, left, "{name}");
        assert_eq!(cleared(&site, name).await, 0, "{name}");
    }
    assert!(left.is_empty());
}

#[tokio::test]
async fn nothing_of_it_is_left_not_even_what_lost_its_schedule() {
    let test = site_with(5, 3).await;
    let site = test.site().await;
    for (player, lost) in [("a", 0), ("b", 1), ("c", 2), ("d", 3)] {
        fill(&site, player, SEASON).await;
        let of = site.cache.keys(&Player::stored(player), &season());
        let all = [of.schedule.clone(), of.details(), of.subject(SUBJECTS[0].0)];
        for key in &all[..lost] {
            redis(&test, &["DEL", key]).await;
        }
    }
    // One that somebody set a question on, and one of no known origin.
    let owner = schedule::Owner::new("e", SEASON).unwrap();
    schedule::add_batch(&site, &owner, &[("Q".into(), 1.0)], None, UtcMicros::now())
        .await
        .unwrap();
    redis(&test, &["ZADD", &format!("srs:f:{SEASON}"), "1", "Q"]).await;
    // What is none of ours stays.
    redis(&test, &["SET", &format!("x:srs:g:{SEASON}"), "1"]).await;
    redis(&test, &["SET", &format!("{{x:srs:g:{SEASON}}}:d"), "1"]).await;
    assert_eq!(cleared(&site, SEASON).await, 3);
    assert_eq!(keys(&test).await.len(), 2);
}

#[tokio::test]
async fn another_prefix_is_another_site() {
    let ours = TestSite::builder()
        .config("srs_key_prefix", "a.".into())
        .build()
        .await;
    furnish(&ours, 5, 3).await;
    let site = ours.site().await;
    warm(&site).await;
    redis(&ours, &["ZADD", &format!("srs:f:{SEASON}"), "1", "Q"]).await;
    redis(&ours, &["ZADD", &format!("b.a.srs:f:{SEASON}"), "1", "Q"]).await;
    assert_eq!(cleared(&site, SEASON).await, 1);
    assert_eq!(keys(&ours).await.len(), 2);
}

#[tokio::test]
async fn a_fill_under_way_reads_again_and_reads_and_writes_go_on() {
    let test = site_with(5, 3).await;
    let site = test.site().await;
    let paused = failpoint::pause(&site.config.site, "before_publish");
    let filling = tokio::spawn({
        let site = site.clone();
        async move { fill::run(&site, &ann(), &season(), &[]).await }
    });
    paused.reached().await;
    assert_eq!(cleared(&site, SEASON).await, 0);
    paused.release();
    // It stands there again: what it had read was not published.
    paused.reached().await;
    assert!(!is_complete(&site, None).await);
    drop(paused);
    assert_eq!(filling.await.unwrap().unwrap(), fill::Filled::Yes);
    submit(&site, "s-1", &[&memora_tests::questions::question_id(0)]).await;
    assert_eq!(cleared(&site, SEASON).await, 1);
    let session = read(&site).await;
    assert_eq!((session.total_due, session.is_degraded), (2, false));
}

#[tokio::test]
async fn a_large_season_goes_page_by_page_and_says_how_far_it_is() {
    let test = TestSite::new().await;
    let site = test.site().await;
    let mut redis = test.cache.connection().await;
    let mut pipe = redis::pipe();
    for i in 0..5000 {
        let key = format!("srs:s{i}:{}", ["S", "T"][i % 2]);
        pipe.zadd(key, "Q", 1).ignore();
    }
    pipe.query_async::<()>(&mut redis).await.unwrap();
    let said = Arc::new(Mutex::new(Vec::new()));
    let heard = said.clone();
    let tell = move |progress: Progress| heard.lock().unwrap().push(progress);
    let gone = clear::season(&site, &Season::stored("S"), &tell).await;
    assert_eq!(gone.unwrap(), 2500);
    let said = said.lock().unwrap().clone();
    assert!(said.len() >= 5, "{said:?}");
    assert!(said.iter().all(|p| p.total >= 5000 && p.done <= p.total));
    let status = clear::status(&site).await.unwrap();
    assert_eq!(status.keys_by_season, [("T".to_owned(), 2500)].into());
}

#[tokio::test]
async fn without_redis_it_fails_and_the_status_says_so() {
    let test = TestSite::builder().own_cache().build().await;
    test.add_season(SEASON).await;
    test.add_questions(ANN, SEASON, 1, Due::None).await;
    let site = test.site().await;
    test.cache.server.stop();
    let error = clear::season(&site, &season(), &|_| {}).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let status = clear::status(&site).await.unwrap();
    assert!(!status.redis_connected && status.is_safe_mode && !status.is_complete);
    assert_eq!((status.total_keys, status.memory_used_mb), (0, 0.0));
}
