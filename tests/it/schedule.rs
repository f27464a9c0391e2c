//! Schedules by id and due time, as `SRSRedisManager` has them.

use std::sync::Arc;
use std::time::Duration;

use memora_core::ErrorKind;
use memora_core::failpoint;
use memora_core::schedule_cache::{Known, Lookup, MAX_CARRIED};
use memora_core::services::schedule::{self, Owner};
use memora_core::services::{Site, fill};
use memora_core::types::UtcMicros;
use memora_tests::TestSite;
use memora_tests::questions::question_id;

use crate::story::{
    ANN, SEASON, ann, apply_all, forget, furnish, ids, is_complete, read, row, season, site_with,
    submit, warm,
};

mod evicted;

fn owner() -> Owner {
    Owner::new(ANN, SEASON).unwrap()
}

fn ago(seconds: i64) -> f64 {
    (UtcMicros::now().floor_seconds().0 / 1_000_000 - seconds) as f64
}

async fn add(site: &Site, items: &[(&str, f64)]) {
    let items: Vec<(String, f64)> = items.iter().map(|(id, at)| ((*id).into(), *at)).collect();
    schedule::add_batch(site, &owner(), &items, None, UtcMicros::now())
        .await
        .expect("an add");
}

async fn due(site: &Site) -> Vec<String> {
    schedule::due_items(site, &owner(), 50, UtcMicros::now())
        .await
        .expect("due items")
}

async fn rehydrated(site: &Arc<Site>) -> (Vec<String>, bool) {
    schedule::due_items_with_rehydration(site, &owner(), 50, UtcMicros::now())
        .await
        .expect("due items")
}

async fn redis<T: redis::FromRedisValue>(test: &TestSite, command: &[&str]) -> T {
    let mut cmd = redis::cmd(command[0]);
    cmd.arg(&command[1..]);
    let mut connection = test.cache.connection().await;
    cmd.query_async(&mut connection).await.expect("a reply")
}

#[tokio::test]
async fn what_is_not_cached_holds_nothing_and_is_filled_when_asked_to() {
    let test = site_with(5, 3).await;
    let site = test.site().await;
    assert!(due(&site).await.is_empty());
    assert_eq!(
        schedule::count_due(&site, &owner(), UtcMicros::now())
            .await
            .unwrap(),
        0
    );
    assert!(
        schedule::all_scores(&site, &owner())
            .await
            .unwrap()
            .is_empty()
    );
    let (found, filled) = rehydrated(&site).await;
    assert_eq!((found.len(), filled), (3, true));
    assert_eq!(rehydrated(&site).await, (found.clone(), false));
    assert_eq!(due(&site).await, found);
    let stats = schedule::stats(&site, &owner(), UtcMicros::now())
        .await
        .unwrap();
    assert_eq!((stats.total_items, stats.due_items), (5, 3));
    assert!(stats.memory_usage_bytes > 300, "{stats:?}");
    let scores = schedule::all_scores(&site, &owner()).await.unwrap();
    assert_eq!(scores.len(), 5, "no marker among them: {scores:?}");
    assert!(schedule::clear(&site, &owner()).await.unwrap());
    assert!(!schedule::clear(&site, &owner()).await.unwrap());
    assert!(due(&site).await.is_empty());
}

#[tokio::test]
async fn an_item_added_to_a_missing_key_shows_but_is_no_schedule() {
    let test = site_with(5, 3).await;
    let site = test.site().await;
    add(
        &site,
        &[("Q-NEW:1", ago(5)), (&question_id(4), ago(50_000_000))],
    )
    .await;
    assert_eq!(due(&site).await, [question_id(4), "Q-NEW:1".into()]);
    assert_eq!(
        schedule::count_due(&site, &owner(), UtcMicros::now())
            .await
            .unwrap(),
        2
    );
    assert!(!is_complete(&site, None).await);
    // The fill takes both over, and has the rest from the table.
    let (found, filled) = rehydrated(&site).await;
    assert!(filled);
    assert_eq!(found.len(), 5);
    assert_eq!(found[0], question_id(4));
    assert!(found.contains(&"Q-NEW:1".into()));
    // A session shows them too: with what the table knows of the one, and nothing of the
    // other.
    let session = read(&site).await;
    assert_eq!(session.total_due, 5);
    assert!(!session.is_degraded);
    assert!(session.questions[0].subject.is_some());
    let new = session
        .questions
        .iter()
        .find(|q| q.question_id == "Q-NEW:1")
        .unwrap();
    assert_eq!((new.stability, new.subject.as_deref()), (0.0, None));
    assert!(is_complete(&site, None).await);
}

#[tokio::test]
async fn an_item_added_to_a_complete_schedule_shows_at_once_and_keeps_its_details() {
    let test = site_with(5, 1).await;
    let site = test.site().await;
    warm(&site).await;
    let before = read(&site).await.questions.remove(0);
    add(
        &site,
        &[
            (&question_id(3), ago(90_000_000)),
            (&question_id(0), ago(10)),
        ],
    )
    .await;
    let session = read(&site).await;
    assert_eq!(ids(&session), [question_id(3), question_id(0)]);
    let after = &session.questions[1];
    assert_eq!(
        (after.stability, &after.subject),
        (before.stability, &before.subject)
    );
    assert_ne!(after.next_review_date, before.next_review_date);
    assert!(is_complete(&site, None).await, "answered by the cache");
    // One that nobody knows shows with nothing to say of it.
    add(&site, &[("Q-NEW:1", ago(1))]).await;
    let session = read(&site).await;
    assert_eq!(session.total_due, 3);
    assert!(ids(&session).contains(&"Q-NEW:1"));
    assert!(is_complete(&site, None).await);
}

#[tokio::test]
async fn a_row_that_came_behind_the_caches_back_is_known_in_its_own_spelling() {
    let test = site_with(3, 0).await;
    let site = test.site().await;
    warm(&site).await;
    let renamed = test
        .exec(
            "UPDATE `tabPlayer Memory Tracker` SET question_id = 'Spät:1', stability = 3 \
             WHERE player = ? AND question_id = ?",
            (ANN, question_id(0)),
        )
        .await;
    assert_eq!(renamed, 1);
    add(&site, &[("SPÄT:1", ago(1))]).await;
    let session = read(&site).await;
    assert_eq!(ids(&session), ["Spät:1"]);
    assert_eq!(session.questions[0].stability, 3.0);
    assert!(is_complete(&site, None).await);
}

#[tokio::test]
async fn a_review_after_an_add_is_never_undone_by_the_fill() {
    let test = site_with(3, 3).await;
    let site = test.site().await;
    add(&site, &[(&question_id(0), ago(100))]).await;
    submit(&site, "s-1", &[&question_id(0)]).await;
    memora_tests::wait::until("the schedule is filled", || async {
        is_complete(&site, None).await.then_some(())
    })
    .await;
    assert_eq!(read(&site).await.total_due, 2);
    apply_all(&test, &site).await;
    assert_eq!(read(&site).await.total_due, 2);
}

#[tokio::test]
async fn an_add_during_a_fill_is_taken_over() {
    let test = site_with(3, 0).await;
    let site = test.site().await;
    let paused = failpoint::pause(&test.name, "before_publish");
    let filling = {
        let site = site.clone();
        tokio::spawn(async move { fill::run(&site, &ann(), &season(), &[]).await })
    };
    paused.reached().await;
    add(&site, &[(&question_id(1), ago(1))]).await;
    paused.release();
    drop(paused);
    assert_eq!(filling.await.unwrap().unwrap(), fill::Filled::Yes);
    assert_eq!(due(&site).await, [question_id(1)]);
    assert_eq!(read(&site).await.total_due, 1);
}

#[tokio::test]
async fn what_others_left_under_the_key_is_not_kept() {
    let test = site_with(3, 0).await;
    let site = test.site().await;
    let key = schedule::key(&site, &owner());
    for round in 0..2 {
        let _: i64 = redis(&test, &["ZADD", &key, "1", "Q-OLD:1", "2", "Q-OLD:2"]).await;
        assert!(due(&site).await.is_empty());
        if round == 0 {
            add(&site, &[("Q-NEW:1", ago(1))]).await;
            assert_eq!(due(&site).await, ["Q-NEW:1"]);
            forget(&test).await;
        } else {
            assert!(
                !schedule::remove_item(&site, &owner(), "Q-OLD:1")
                    .await
                    .unwrap()
            );
            assert_eq!(redis::<i64>(&test, &["EXISTS", &key]).await, 0);
        }
    }
}

#[tokio::test]
async fn a_removed_item_is_gone_from_every_set() {
    let test = site_with(9, 9).await;
    let site = test.site().await;
    let session = read(&site).await;
    let gone = session.questions[0].clone();
    let subject = gone.subject.clone().unwrap();
    crate::story::warm_with(&site, &[&subject]).await;
    assert!(
        schedule::remove_item(&site, &owner(), &gone.question_id)
            .await
            .unwrap()
    );
    assert!(
        !schedule::remove_item(&site, &owner(), &gone.question_id)
            .await
            .unwrap()
    );
    assert!(is_complete(&site, None).await && is_complete(&site, Some(&subject)).await);
    assert_eq!(read(&site).await.total_due, 8);
    let of_subject = crate::story::try_read(&site, serde_json::json!({"subject": subject}))
        .await
        .unwrap();
    assert!(!ids(&of_subject).contains(&gone.question_id.as_str()));
    // From a partial key too.
    forget(&test).await;
    add(&site, &[("Q-NEW:1", ago(1))]).await;
    assert!(
        schedule::remove_item(&site, &owner(), "Q-NEW:1")
            .await
            .unwrap()
    );
    assert!(due(&site).await.is_empty());
}

#[tokio::test]
async fn a_key_lives_for_the_given_time_from_when_it_was_made() {
    let test = site_with(3, 0).await;
    let site = test.site().await;
    let key = schedule::key(&site, &owner());
    let item = [("Q-NEW:1".to_owned(), ago(1))];
    let ttl = async |ttl: Option<u64>| {
        let ttl = ttl.map(Duration::from_secs);
        schedule::add_batch(&site, &owner(), &item, ttl, UtcMicros::now()).await
    };
    ttl(Some(600)).await.unwrap();
    let lives = redis::<i64>(&test, &["TTL", &key]).await;
    assert!((590..=600).contains(&lives), "{lives}");
    ttl(None).await.unwrap();
    assert!(redis::<i64>(&test, &["TTL", &key]).await <= 600, "kept");
    forget(&test).await;
    ttl(None).await.unwrap();
    assert!(redis::<i64>(&test, &["TTL", &key]).await > 29 * 86_400);
    let refused = ttl(Some(0)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn bad_names_and_times_are_refused_and_set_nothing() {
    let test = site_with(3, 0).await;
    let site = test.site().await;
    for (user, season) in [("", SEASON), (ANN, ""), (ANN, "a\nb"), (" a", SEASON)] {
        assert!(Owner::new(user, season).is_err(), "{user:?} {season:?}");
    }
    let good = ("Q-NEW:1".to_owned(), ago(1));
    for bad in [
        ("", 1.0),
        ("a\0b", 1.0),
        (" a", 1.0),
        ("a", f64::NAN),
        ("a", f64::INFINITY),
        ("a", 1e300),
    ] {
        let items = [good.clone(), (bad.0.to_owned(), bad.1)];
        let refused = schedule::add_batch(&site, &owner(), &items, None, UtcMicros::now())
            .await
            .unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput, "{bad:?}");
    }
    assert!(due(&site).await.is_empty());
    for limit in [0, schedule::MAX_IDS + 1] {
        let refused = schedule::due_items(&site, &owner(), limit, UtcMicros::now()).await;
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    let unknown = Owner::new(ANN, "SEASON-X").unwrap();
    let refused = schedule::due_items_with_rehydration(&site, &unknown, 5, UtcMicros::now()).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_schedule_of_any_size_comes_with_the_scores_that_redis_has() {
    // As a list, as a skip list at once, page by page.
    for size in [90, 600, 2_100] {
        let test = site_with(size, 3).await;
        let site = test.site().await;
        rehydrated(&site).await;
        let odd = ["-7", "12345", "1234567890123", "سؤال:1", &"ab".repeat(30)];
        let odd = odd.map(|id| (id.to_owned(), 4e9));
        schedule::add_batch(&site, &owner(), &odd, None, UtcMicros::now())
            .await
            .unwrap();
        let key = format!("srs:{ANN}:{SEASON}");
        let raw: Vec<(Vec<u8>, f64)> =
            redis(&test, &["ZRANGE", &key, "0", "-1", "WITHSCORES"]).await;
        let mut expected: Vec<(String, f64)> = raw
            .into_iter()
            .filter(|(member, _)| member[0] != 0)
            .map(|(member, score)| (String::from_utf8(member).unwrap(), score))
            .collect();
        assert_eq!(expected.len(), size + odd.len());
        let mut scores = schedule::all_scores(&site, &owner()).await.unwrap();
        expected.sort_by(|a, b| a.0.cmp(&b.0));
        scores.sort_by(|a, b| a.0.cmp(&b.0));
        assert_eq!(scores, expected, "{size}");
    }
}

#[tokio::test]
async fn large_batches_and_large_schedules_come_whole() {
    let test = site_with(1, 0).await;
    let site = test.site().await;
    let items: Vec<(String, f64)> = (0..2_500)
        .map(|i| (format!("Q-{i}"), 1000.0 + f64::from(i)))
        .collect();
    schedule::add_batch(&site, &owner(), &items, None, UtcMicros::now())
        .await
        .unwrap();
    let scores = schedule::all_scores(&site, &owner()).await.unwrap();
    let seen: std::collections::HashMap<_, _> = scores.into_iter().collect();
    assert_eq!(seen.len(), 2_500);
    assert!(items.iter().all(|(id, at)| seen.get(id) == Some(at)));
    // A fill takes over so many and no more.
    let (_, filled) = rehydrated(&site).await;
    assert!(filled);
    let stats = schedule::stats(&site, &owner(), UtcMicros::now())
        .await
        .unwrap();
    assert_eq!(stats.total_items as usize, MAX_CARRIED + 1);
    // On the complete schedule again.
    schedule::add_batch(&site, &owner(), &items, None, UtcMicros::now())
        .await
        .unwrap();
    let stats = schedule::stats(&site, &owner(), UtcMicros::now())
        .await
        .unwrap();
    assert_eq!(stats.total_items, 2_501);
    assert!(is_complete(&site, None).await);
    assert_eq!(read(&site).await.total_due, 2_500);
}

#[tokio::test]
async fn hostile_names_have_keys_of_their_own() {
    let test = site_with(1, 0).await;
    let site = test.site().await;
    let names = [
        ("a:b", "c"),
        ("a", "b:c"),
        ("a*", "[x]?"),
        ("{a}", "'; DROP --"),
        ("🦀", "é"),
    ];
    for (i, (user, season)) in names.iter().enumerate() {
        let owner = Owner::new(user, season).unwrap();
        let item = [(format!("Q-{i}"), ago(1))];
        schedule::add_batch(&site, &owner, &item, None, UtcMicros::now())
            .await
            .unwrap();
    }
    for (i, (user, season)) in names.iter().enumerate() {
        let owner = Owner::new(user, season).unwrap();
        let found = schedule::due_items(&site, &owner, 10, UtcMicros::now())
            .await
            .unwrap();
        assert_eq!(found, [format!("Q-{i}")]);
    }
}

#[tokio::test]
async fn another_sites_partial_key_is_refused() {
    let test = site_with(1, 0).await;
    let site = test.site().await;
    add(&site, &[("Q-1", ago(1))]).await;
    let other = TestSite::builder()
        .on_cache(test.cache.clone())
        .build()
        .await;
    let other = other.site().await;
    let refused = schedule::due_items(&other, &owner(), 5, UtcMicros::now()).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(due(&site).await, ["Q-1"]);
    assert!(schedule::is_available(&site).await);
}

#[tokio::test]
async fn a_server_that_became_another_over_the_same_connection_is_not_believed() {
    let test = TestSite::builder().own_cache().build().await;
    furnish(&test, 5, 3).await;
    let site = test.site().await;
    rehydrated(&site).await;
    assert_eq!(due(&site).await.len(), 3);
    let now = UtcMicros::now();
    // Nothing listens at this port; the connection to the engine stays.
    let _: () = redis(&test, &["REPLICAOF", "127.0.0.1", "1"]).await;
    let refused = schedule::due_items(&site, &owner(), 50, now).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Unavailable);
    let refused = schedule::count_due(&site, &owner(), now).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Unavailable);
    let _: () = redis(&test, &["REPLICAOF", "NO", "ONE"]).await;
    assert!(due(&site).await.is_empty());
    assert_eq!(schedule::count_due(&site, &owner(), now).await.unwrap(), 0);
    let scores = schedule::all_scores(&site, &owner()).await.unwrap();
    assert!(scores.is_empty(), "{scores:?}");
    assert_eq!(rehydrated(&site).await.0.len(), 3);
    assert_eq!(due(&site).await.len(), 3);

    test.cache.server.stop();
    test.cache.server.start_again().await;
    // The first answer may be that the old connection is gone.
    let _ = schedule::due_items(&site, &owner(), 50, now).await;
    assert!(due(&site).await.is_empty());
    assert_eq!(rehydrated(&site).await.0.len(), 3);
    assert_eq!(due(&site).await.len(), 3);
}

/// What the cache knows of a question.
async fn cached(site: &Site, question: &str) -> memora_core::types::QuestionState {
    let states = site.cache.states(&ann(), &season(), &[question]).await;
    match states.expect("states") {
        Lookup::Complete(known) => match known.states.into_iter().next() {
            Some(Known::State(state)) => state,
            other => panic!("{question}: {other:?}"),
        },
        Lookup::Incomplete => panic!("{question}: incomplete"),
    }
}

/// A review that was on its way while a due time was set from outside counts: the next one
/// is computed from what it led to.
async fn a_review_that_meets_an_add(cached_before: bool, failpoint: &str) {
    let test = site_with(3, 3).await;
    let site = test.site().await;
    if cached_before {
        warm(&site).await;
    } else {
        add(&site, &[(&question_id(0), ago(200))]).await;
    }
    let paused = failpoint::pause(&test.name, failpoint);
    let submitting = {
        let site = site.clone();
        tokio::spawn(async move { submit(&site, "s-1", &[&question_id(0)]).await })
    };
    paused.reached().await;
    if cached_before {
        add(&site, &[(&question_id(0), ago(100))]).await;
    } else {
        // Takes over what was set before.
        warm(&site).await;
    }
    paused.release();
    drop(paused);
    assert!(!submitting.await.unwrap().is_degraded);
    apply_all(&test, &site).await;
    let reviewed = cached(&site, &question_id(0)).await;
    let (stability, version) = row(&test, &question_id(0)).await.unwrap();
    assert_eq!(reviewed.stability.to_f64(), stability, "{failpoint}");
    assert_eq!(reviewed.version.0, version, "{failpoint}");
    assert!(!ids(&read(&site).await).contains(&question_id(0).as_str()));
}

#[tokio::test]
async fn a_review_that_meets_an_add_is_what_the_next_one_starts_from() {
    a_review_that_meets_an_add(true, "before_cache").await;
    a_review_that_meets_an_add(true, "after_state").await;
    a_review_that_meets_an_add(false, "after_state").await;
}

#[tokio::test]
async fn a_time_to_live_that_redis_cannot_count_is_refused_and_sets_nothing() {
    let test = site_with(1, 0).await;
    let site = test.site().await;
    let item = [("Q-NEW:1".to_owned(), ago(1))];
    for seconds in [1 << 45, i64::MAX.unsigned_abs() / 1000, u64::MAX] {
        let ttl = Some(Duration::from_secs(seconds));
        let refused = schedule::add_batch(&site, &owner(), &item, ttl, UtcMicros::now()).await;
        assert_eq!(
            refused.expect_err("refused").kind(),
            ErrorKind::InvalidInput,
            "{seconds}"
        );
    }
    let key = schedule::key(&site, &owner());
    assert_eq!(redis::<i64>(&test, &["EXISTS", &key]).await, 0);
}

#[tokio::test]
async fn another_spelling_of_the_names_finds_the_schedule_that_reviews_are_shown_in() {
    let test = site_with(3, 3).await;
    let site = test.site().await;
    let loud = Owner::new("ANN@Example.com", "season-2026").unwrap();
    let found = async || {
        let found = schedule::due_items_with_rehydration(&site, &loud, 50, UtcMicros::now());
        found.await.unwrap()
    };
    assert_eq!(
        (found().await.0.len(), is_complete(&site, None).await),
        (3, true)
    );
    submit(&site, "s-1", &[&question_id(0)]).await;
    assert_eq!(found().await.0.len(), 2, "the review shows");
    assert!(!found().await.1, "it was cached");
    let strange = schedule::key(&site, &loud);
    assert_eq!(redis::<i64>(&test, &["EXISTS", &strange]).await, 0);
}

#[tokio::test]
async fn a_question_that_was_only_added_is_new_when_it_is_answered() {
    let test = site_with(1, 0).await;
    let site = test.site().await;
    let new = |version: Option<(f64, i64)>| version.unwrap().0;
    submit(&site, "s-0", &["Q-NEW:0"]).await;
    // To a complete schedule, and to one that a fill completes.
    warm(&site).await;
    add(&site, &[("Q-NEW:1", ago(1))]).await;
    submit(&site, "s-1", &["Q-NEW:1"]).await;
    forget(&test).await;
    add(&site, &[("Q-NEW:2", ago(1))]).await;
    warm(&site).await;
    submit(&site, "s-2", &["Q-NEW:2"]).await;
    let work = crate::story::waiting(&test).await;
    for work in &work {
        let submitted = memora_core::store::journal::find(&site.db, &work.key).await;
        let batch = submitted.unwrap().unwrap().batch;
        assert_eq!(batch.items[0].before, None, "{:?}", batch.items[0]);
    }
    assert_eq!(apply_all(&test, &site).await, 3);
    let first = new(row(&test, "Q-NEW:0").await);
    assert_eq!(new(row(&test, "Q-NEW:1").await), first);
    assert_eq!(new(row(&test, "Q-NEW:2").await), first);
}

/// Everybody at once, keys evicted in between: whatever is cached in the end was computed
/// from the reviews that are on record.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whatever_meets_whatever_no_review_is_undone() {
    const QUESTIONS: usize = 8;
    let test = Arc::new(site_with(QUESTIONS, QUESTIONS).await);
    let site = test.site().await;
    let key = schedule::key(&site, &owner());
    let seed = UtcMicros::now().0.cast_unsigned();
    for round in 0..4_u64 {
        let tasks: Vec<_> = (0..6_u64)
            .map(|task| {
                let (test, site, key) = (test.clone(), site.clone(), key.clone());
                tokio::spawn(async move {
                    let mut random = seed ^ ((round * 6 + task + 1) << 32) | 1;
                    let mut next = move |n: u64| {
                        random ^= random << 13;
                        random ^= random >> 7;
                        random ^= random << 17;
                        random % n
                    };
                    for step in 0..25 {
                        let q = question_id(next(QUESTIONS as u64) as usize);
                        // In every other round what was set stays until the end.
                        match next(if round % 2 == 0 { 10 } else { 6 }) {
                            0..=2 => {
                                let id = format!("s-{round}-{task}-{step}");
                                let responses = serde_json::json!([{
                                    "question_id": q, "quality": next(6),
                                }]);
                                let answer = crate::story::try_submit(&site, &id, responses)
                                    .await
                                    .unwrap();
                                assert!(!answer.is_degraded);
                            }
                            3 if next(2) == 0 => {
                                schedule::remove_item(&site, &owner(), &q).await.unwrap();
                            }
                            3 => add(&site, &[(&q, ago(next(5000).cast_signed()))]).await,
                            4 => {
                                let all: Vec<String> = (0..QUESTIONS).map(question_id).collect();
                                let items: Vec<_> =
                                    all.iter().map(|q| (q.as_str(), ago(50))).collect();
                                add(&site, &items).await;
                            }
                            5 => {
                                apply_all(&test, &site).await;
                            }
                            6 => {
                                fill::run(&site, &ann(), &season(), &[]).await.unwrap();
                            }
                            7 => {
                                schedule::clear(&site, &owner()).await.unwrap();
                            }
                            8 => {
                                let suffix = [":d", ":lease", ":stage", ":stage:d"];
                                let evicted = match next(5) {
                                    0 => key.clone(),
                                    n => format!("{{{key}}}{}", suffix[n as usize - 1]),
                                };
                                let _: i64 = redis(&test, &["UNLINK", &evicted]).await;
                            }
                            _ => drop(read(&site).await),
                        }
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        apply_all(&test, &site).await;
        if !is_complete(&site, None).await {
            warm(&site).await;
        }
        for i in 0..QUESTIONS {
            let asked = [&question_id(i)[..]];
            let known = site.cache.states(&ann(), &season(), &asked).await;
            let state = match known.unwrap() {
                Lookup::Complete(known) => match known.states.into_iter().next() {
                    Some(Known::State(state)) => state,
                    // Removed.
                    _ => continue,
                },
                Lookup::Incomplete => panic!("incomplete"),
            };
            let (stability, version) = row(&test, &question_id(i)).await.unwrap();
            let what = format!("seed {seed}, round {round}, question {i}");
            assert_eq!(state.stability.to_f64(), stability, "{what}");
            assert!(state.version.0 >= version, "{what}");
        }
    }
}
