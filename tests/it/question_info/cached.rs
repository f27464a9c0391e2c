//! Names given to cached questions, whatever became of the schedule meanwhile.

use memora_core::schedule_cache::ScheduleCache;
use memora_core::types::UtcMicros;

use super::*;

/// A site with a cached new question, without names.
async fn stage() -> (TestSite, std::sync::Arc<Site>) {
    let test = site_with(3, 3).await;
    let site = site_with_new(&test, &["NEW:1"]).await;
    warm_with(&site, &["Physics"]).await;
    (test, site)
}

async fn name(cache: &ScheduleCache, question: &str) -> memora_core::Result<()> {
    let names = [(question, Some("Physics"), Some("Optics"))];
    cache.name(&ann(), &season(), &names).await
}

/// What Redis replies to a command with these words.
async fn told(test: &TestSite, words: &[&str]) -> i64 {
    let mut redis = test.cache.connection().await;
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]);
    command.query_async(&mut redis).await.unwrap()
}

#[tokio::test]
async fn another_sites_schedule_gets_no_names() {
    let (_test, site) = stage().await;
    let other = ScheduleCache::new(site.srs_redis.clone(), "other.localhost", "");
    let refused = name(&other, "NEW:1").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    assert_eq!(cached_names(&site, "NEW:1").await, Some((None, None)));
}

/// Redis has evicted them: the row gets its names, and the next fill reads them.
#[tokio::test]
async fn without_details_the_rows_get_their_names_all_the_same() {
    let (test, site) = stage().await;
    let details = site.cache.keys(&ann(), &season()).details();
    assert_eq!(told(&test, &["DEL", &details]).await, 1);
    let known = info(&[("NEW:1", Some("Physics"), Some("Optics"))]);
    let changed = fill_question_info(&site, ANN, SEASON, &known).await;
    assert_eq!(changed.unwrap(), 1);
    assert_eq!(names(&test, "NEW:1").await, physics());
    warm(&site).await;
    assert_eq!(cached_names(&site, "NEW:1").await, Some(physics()));
}

/// And a subject may have no schedule of its own.
#[tokio::test]
async fn a_question_that_the_schedule_lacks_is_passed_over() {
    let (_test, site) = stage().await;
    let names = ["NOWHERE:1", "NEW:1"].map(|id| (id, Some("History"), Some("Optics")));
    let named = site.cache.name(&ann(), &season(), &names).await;
    named.unwrap();
    let known = cached_names(&site, "NEW:1").await;
    let history = (Some("History".to_owned()), Some("Optics".to_owned()));
    assert_eq!(known, Some(history));
}

/// An answer that brought them is not in the table yet, which lacks them still.
#[tokio::test]
async fn names_that_a_question_has_stay() {
    let (_test, site) = stage().await;
    let own = cached_names(&site, &question_id(0)).await;
    assert_ne!(own, Some(physics()));
    name(&site.cache, &question_id(0)).await.unwrap();
    assert_eq!(cached_names(&site, &question_id(0)).await, own);
}

/// A tool has taken it out of the schedule, where its record is left.
#[tokio::test]
async fn a_question_that_was_taken_out_does_not_come_back_under_its_subject() {
    let (test, site) = stage().await;
    let schedule = site.cache.keys(&ann(), &season()).schedule;
    assert_eq!(told(&test, &["ZREM", &schedule, "NEW:1"]).await, 1);
    name(&site.cache, "NEW:1").await.unwrap();
    let late = UtcMicros::now().plus_seconds(3600 * 24 * 400);
    let page = site
        .cache
        .due(&ann(), &season(), Some("Physics"), late, 50)
        .await;
    let Ok(Lookup::Complete(page)) = page else {
        panic!("{page:?}")
    };
    let ids: Vec<&str> = page.questions.iter().map(|q| q.question.as_str()).collect();
    assert_eq!(ids, [question_id(1)]);
}
