//! Fills that meet at the keys under which they stage.

use memora_core::schedule_cache::{Fill, Published};
use memora_core::types::QuestionState;

use super::*;

/// The states of ten questions, of which nothing is cached any more.
async fn states(test: &TestSite, site: &Site) -> Vec<QuestionState> {
    warm(site).await;
    let ids: Vec<String> = (0..10).map(question_id).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let known = site.cache.states(&ann(), &season(), &ids).await.unwrap();
    let Lookup::Complete(known) = known else {
        panic!("incomplete")
    };
    forget(test).await;
    let states = known.states.into_iter().map(|known| match known {
        Known::State(state) => state,
        other => panic!("{other:?}"),
    });
    states.collect()
}

async fn begin(site: &Site) -> Fill<'_> {
    let begun = site.cache.begin_fill(&ann(), &season()).await;
    begun.unwrap().expect("the lease")
}

/// As if the time of the lease were over.
async fn end_lease(test: &TestSite, site: &Site) {
    let lease = site.cache.keys(&ann(), &season()).lease();
    let mut redis = test.cache.connection().await;
    let gone: i64 = redis::cmd("DEL")
        .arg(lease)
        .query_async(&mut redis)
        .await
        .unwrap();
    assert_eq!(gone, 1);
}

#[tokio::test]
async fn c7_a_fill_that_lost_its_lease_spoils_nothing_that_another_staged() {
    let test = site_with(10, 10).await;
    let site = test.site().await;
    let states = states(&test, &site).await;
    let mut slow = begin(&site).await;
    end_lease(&test, &site).await;
    let mut quick = begin(&site).await;
    assert!(quick.stage(&states, &[], &test.name).await.unwrap());
    let staged = slow.stage(&states[..3], &[], &test.name).await.unwrap();
    assert_eq!(quick.publish().await.unwrap(), Published::Yes);
    assert!(!staged);
    assert_eq!(read(&site).await.total_due, 10);
}

#[tokio::test]
async fn c7_what_a_fill_that_died_has_staged_is_in_nobodys_way() {
    let test = site_with(10, 10).await;
    let site = test.site().await;
    let states = states(&test, &site).await;
    assert!(
        begin(&site)
            .await
            .stage(&states, &[], &test.name)
            .await
            .unwrap()
    );
    end_lease(&test, &site).await;
    let mut next = begin(&site).await;
    assert!(next.stage(&states[..1], &[], &test.name).await.unwrap());
    assert_eq!(next.publish().await.unwrap(), Published::Yes);
    let ids = [states[0].question.as_str(), states[1].question.as_str()];
    let known = site.cache.states(&ann(), &season(), &ids).await.unwrap();
    let Lookup::Complete(known) = known else {
        panic!("incomplete")
    };
    assert_eq!(known.questions, 1);
    assert_eq!(known.states[1], Known::Absent);
}

#[tokio::test]
async fn c7_what_a_dirty_round_staged_of_a_subject_is_not_published_by_the_next() {
    let test = site_with(10, 10).await;
    let site = test.site().await;
    let states = states(&test, &site).await;
    let subjects = [states[0].subject.clone().unwrap()];
    let others = states[1..]
        .iter()
        .filter(|s| s.subject == states[0].subject);
    let others = others.count() as u64;
    let mut fill = begin(&site).await;
    assert!(fill.stage(&states, &subjects, &test.name).await.unwrap());
    let removed = site.cache.remove(&ann(), &season(), &question_id(0)).await;
    removed.unwrap();
    assert_eq!(fill.publish().await.unwrap(), Published::Dirty);
    let rest = &states[1..];
    assert!(fill.stage(rest, &subjects, &test.name).await.unwrap());
    assert_eq!(fill.publish().await.unwrap(), Published::Yes);
    let now = memora_core::types::UtcMicros::now();
    let (ann, season) = (ann(), season());
    let page = site.cache.due(&ann, &season, Some(&subjects[0]), now, 1);
    let Lookup::Complete(page) = page.await.unwrap() else {
        panic!("incomplete")
    };
    assert_eq!(page.total, others);
}

#[tokio::test]
async fn c7_a_fill_that_lost_its_lease_gives_nothing_back_that_is_anothers() {
    let test = site_with(10, 10).await;
    let site = test.site().await;
    let states = states(&test, &site).await;
    let slow = begin(&site).await;
    end_lease(&test, &site).await;
    let mut quick = begin(&site).await;
    assert!(quick.stage(&states, &[], &test.name).await.unwrap());
    slow.release().await.unwrap();
    assert_eq!(quick.publish().await.unwrap(), Published::Yes);
}

/// As after a restart from a dump: no write of now could have made its fill dirty.
#[tokio::test]
async fn c8_a_lease_of_another_data_set_keeps_nobody_waiting() {
    let test = site_with(10, 10).await;
    let site = test.site().await;
    let _old = begin(&site).await;
    let held = site.cache.begin_fill(&ann(), &season()).await.unwrap();
    assert!(held.is_none());
    let mut redis = test.cache.connection().await;
    let _: i64 = redis::cmd("HSET")
        .arg(site.cache.keys(&ann(), &season()).lease())
        .arg("i")
        .arg("another")
        .query_async(&mut redis)
        .await
        .unwrap();
    begin(&site).await;
}

/// Each chunk gives the fill ten seconds more; of one that dies nothing is left after them.
#[tokio::test]
async fn c7_staging_renews_the_lease_and_leaves_nothing_behind_for_long() {
    let test = site_with(10, 10).await;
    let site = test.site().await;
    let states = states(&test, &site).await;
    let subjects = [states[0].subject.clone().unwrap()];
    let keys = site.cache.keys(&ann(), &season());
    let mut redis = test.cache.connection().await;
    // Of a student without questions there is a marker, and nothing else in the schedule.
    for states in [&states[..], &[]] {
        let mut fill = begin(&site).await;
        let shortened: bool = redis::cmd("PEXPIRE")
            .arg(keys.lease())
            .arg(5000)
            .query_async(&mut redis)
            .await
            .unwrap();
        assert!(shortened);
        assert!(fill.stage(states, &subjects, &test.name).await.unwrap());
        for key in [
            keys.lease(),
            keys.staged_schedule(),
            keys.staged_details(),
            keys.staged_subject(&subjects[0]),
        ] {
            let left: i64 = redis::cmd("PTTL")
                .arg(&key)
                .query_async(&mut redis)
                .await
                .unwrap();
            assert!((5001..=10_000).contains(&left), "{key}: {left} ms");
        }
        fill.release().await.unwrap();
    }
}
