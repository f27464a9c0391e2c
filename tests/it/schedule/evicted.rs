//! Schedules of which Redis has evicted a part or a tool has taken one, that are full, or of
//! another site or format: what a write makes of them.

use memora_core::schedule_cache::ScheduleCache;
use memora_core::types::QuestionState;

use super::*;

/// A site with a complete schedule of ten questions.
async fn stage() -> (TestSite, Arc<Site>) {
    let test = site_with(10, 10).await;
    let site = test.site().await;
    fill_anew(&site).await;
    (test, site)
}

async fn fill_anew(site: &Site) {
    crate::story::warm_with(site, &["Physics"]).await;
}

async fn known(site: &Site, id: &str) -> QuestionState {
    let known = site.cache.states(&ann(), &season(), &[id]).await.unwrap();
    match known {
        Lookup::Complete(mut known) => match known.states.remove(0) {
            Known::State(state) => state,
            other => panic!("{other:?}"),
        },
        Lookup::Incomplete => panic!("incomplete"),
    }
}

/// A state that is newer than what the schedule has.
fn newer(mut state: QuestionState) -> QuestionState {
    state.version.0 += 1_000_000;
    state.due = state.due.plus_seconds(60);
    state
}

async fn forget_details(test: &TestSite, site: &Site) {
    let details = site.cache.keys(&ann(), &season()).details();
    assert_eq!(redis::<i64>(test, &["DEL", &details]).await, 1);
}

#[tokio::test]
async fn another_sites_schedule_is_neither_changed_nor_forgotten() {
    let (_test, site) = stage().await;
    let other = ScheduleCache::new(site.srs_redis.clone(), "other.localhost", "");
    let id = question_id(1);
    let before = known(&site, &id).await;
    let (ann, season) = (ann(), season());
    let states = [newer(before.clone())];
    let items = [(id.as_str(), UtcMicros::now())];
    let refused = [
        other.apply(&ann, &season, &states).await.map(|_| ()),
        other.put(&ann, &season, &items, None).await.map(|_| ()),
        other.remove(&ann, &season, &id).await.map(|_| ()),
    ];
    for refused in refused {
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Unavailable);
        assert_eq!(known(&site, &id).await, before);
    }
    assert!(!other.invalidate(&ann, &season).await.unwrap());
    assert_eq!(known(&site, &id).await, before);
    assert!(is_complete(&site, Some("Physics")).await);
}

/// Without the versions nothing can be compared: what cannot be written is forgotten, what
/// needs no version is done.
#[tokio::test]
async fn writes_go_on_without_the_details() {
    let (test, site) = stage().await;
    let id = question_id(1);
    let states = [newer(known(&site, &id).await)];
    let (ann, season) = (ann(), season());
    let key = site.cache.keys(&ann, &season).schedule;

    forget_details(&test, &site).await;
    let applied = site.cache.apply(&ann, &season, &states).await;
    assert!(!applied.unwrap().complete);
    assert!(!redis::<bool>(&test, &["EXISTS", &key]).await);

    fill_anew(&site).await;
    forget_details(&test, &site).await;
    assert!(site.cache.remove(&ann, &season, &id).await.unwrap());
    let score: Option<f64> = redis(&test, &["ZSCORE", &key, &id]).await;
    assert_eq!(score, None);

    fill_anew(&site).await;
    forget_details(&test, &site).await;
    let now = UtcMicros::now();
    let put = site.cache.put(&ann, &season, &[(&id, now)], None).await;
    assert_eq!(put.unwrap(), Vec::<String>::new());
    let glance = site.cache.glance(&ann, &season, now, 50).await.unwrap();
    assert_eq!((glance.complete, glance.ids), (false, vec![id]));
}

#[tokio::test]
async fn who_reads_is_told_that_the_details_are_gone() {
    let (test, site) = stage().await;
    forget_details(&test, &site).await;
    let now = UtcMicros::now();
    for subject in [None, Some("Physics")] {
        let page = site.cache.due(&ann(), &season(), subject, now, 5).await;
        assert_eq!(page.unwrap(), Lookup::Incomplete, "{subject:?}");
    }
}

/// What to say of it only the table knows, which the caller asks.
#[tokio::test]
async fn an_added_question_is_looked_up_where_member_or_record_is_gone() {
    for gone in ["record", "member"] {
        let (test, site) = stage().await;
        let id = question_id(1);
        let (ann, season) = (ann(), season());
        let keys = site.cache.keys(&ann, &season);
        let mut command = vec!["ZREM", &keys.schedule, &id];
        let (details, buckets) = (keys.details(), (0..16).map(|n| format!("b{n}")));
        let buckets: Vec<String> = buckets.collect();
        if gone == "record" {
            command = vec!["HDEL", &details];
            command.extend(buckets.iter().map(String::as_str));
        }
        assert!(redis::<i64>(&test, &command).await > 0, "{gone}");
        let score: Option<f64> = redis(&test, &["ZSCORE", &keys.schedule, &id]).await;
        let now = UtcMicros::now();
        let put = site.cache.put(&ann, &season, &[(&id, now)], None).await;
        assert_eq!(put.unwrap(), [id.as_str()], "{gone}");
        let after: Option<f64> = redis(&test, &["ZSCORE", &keys.schedule, &id]).await;
        assert_eq!(after, score, "{gone}");
    }
}

#[tokio::test]
async fn a_state_without_names_keeps_those_on_record() {
    let (_test, site) = stage().await;
    let id = question_id(1);
    let full = newer(known(&site, &id).await);
    assert!(full.subject.is_some() && full.topic.is_some());
    let bare = QuestionState {
        subject: None,
        topic: None,
        ..full.clone()
    };
    let applied = site.cache.apply(&ann(), &season(), &[bare]).await;
    assert!(applied.unwrap().complete);
    assert_eq!(known(&site, &id).await, full);
}

/// Of a subject that nobody asked for there is no schedule, and no write begins one: it would
/// stay for ever.
#[tokio::test]
async fn a_write_begins_no_schedule_of_a_subject() {
    let test = site_with(10, 10).await;
    let site = test.site().await;
    warm(&site).await;
    let id = question_id(1);
    let state = newer(known(&site, &id).await);
    let subject = state.subject.clone().unwrap();
    let (ann, season) = (ann(), season());
    let applied = site.cache.apply(&ann, &season, &[state]).await;
    assert!(applied.unwrap().complete);
    let now = UtcMicros::now();
    let put = site.cache.put(&ann, &season, &[(&id, now)], None).await;
    assert_eq!(put.unwrap(), Vec::<String>::new());
    let set = site.cache.keys(&ann, &season).subject(&subject);
    assert!(!redis::<bool>(&test, &["EXISTS", &set]).await);
}

/// More names than there are numbers for: the table is asked, as no name is the wrong one.
#[tokio::test]
async fn a_name_for_which_there_is_no_number_is_not_taken_for_another() {
    let (test, site) = stage().await;
    let id = question_id(1);
    let mut state = newer(known(&site, &id).await);
    state.subject = Some("One too many".into());
    let details = site.cache.keys(&ann(), &season()).details();
    let _: i64 = redis(&test, &["HSET", &details, "c", "65535"]).await;
    let applied = site.cache.apply(&ann(), &season(), &[state]).await;
    assert!(applied.unwrap().complete);
    let known = site.cache.states(&ann(), &season(), &[&id]).await.unwrap();
    let Lookup::Complete(known) = known else {
        panic!("incomplete")
    };
    assert_eq!(known.states, [Known::NoDetails]);
}

/// As after an upgrade: nobody can read it, and it is in nobody's way.
#[tokio::test]
async fn a_schedule_of_another_format_is_filled_anew() {
    let (test, site) = stage().await;
    let key = site.cache.keys(&ann(), &season()).schedule;
    let range = ["ZRANGEBYSCORE", &key, "+inf", "+inf"];
    let marker: Vec<String> = redis(&test, &range).await;
    let other = marker[0].replacen("srs1", "srs0", 1);
    assert_ne!(marker[0], other);
    assert_eq!(redis::<i64>(&test, &["ZREM", &key, &marker[0]]).await, 1);
    let _: i64 = redis(&test, &["ZADD", &key, "+inf", &other]).await;
    let now = UtcMicros::now();
    let page = site.cache.due(&ann(), &season(), None, now, 5).await;
    assert_eq!(page.unwrap(), Lookup::Incomplete);
    fill_anew(&site).await;
    assert!(is_complete(&site, None).await);
}
