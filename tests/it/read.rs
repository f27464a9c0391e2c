//! `get_review_session`: from cache and table, with everything laid over.

use memora_core::ErrorKind;
use memora_tests::questions::{Season, question_id};
use memora_tests::{Due, TestSite};
use serde_json::json;

use crate::story::{
    ANN, SEASON, ann, apply_all, furnish, ids, is_complete, read, read_at, season, site_with,
    submit, try_read, warm, warm_with,
};

#[tokio::test]
async fn a_cold_student_is_answered_from_the_table_and_filled() {
    let test = site_with(300, 120).await;
    let site = test.site().await;
    let cold = read(&site).await;
    assert_eq!(cold.total_due, 120);
    assert_eq!(cold.questions.len(), 50);
    assert!(!cold.is_degraded);
    assert_eq!(cold.season, SEASON);
    assert_eq!(
        cold.questions[0].question_id,
        question_id(0),
        "most overdue first"
    );
    assert_eq!(cold.questions[0].stage_id, "STAGE-000");
    memora_tests::wait::until("the fill", || async {
        let known = site
            .cache
            .states(&crate::story::ann(), &crate::story::season(), &["x"])
            .await;
        matches!(known, Ok(memora_core::schedule_cache::Lookup::Complete(_))).then_some(())
    })
    .await;
    // The table goes away: what answers now is the cache.
    test.exec("DELETE FROM `tabPlayer Memory Tracker`", ())
        .await;
    assert_eq!(read(&site).await, cold);
}

#[tokio::test]
async fn a_student_without_rows_is_cached_as_empty() {
    let test = site_with(0, 0).await;
    let site = test.site().await;
    warm(&site).await;
    test.add_questions(ANN, SEASON, 5, Due::All).await;
    let session = read(&site).await;
    assert_eq!(
        (session.total_due, session.questions.len()),
        (0, 0),
        "from the cache"
    );
}

#[tokio::test]
async fn warm_and_cold_give_the_same_answer() {
    let test = site_with(200, 40).await;
    let site = test.site().await;
    for request in [
        json!({}),
        json!({"limit": 1}),
        json!({"limit": "50"}),
        json!({"subject": "Mathematics"}),
        json!({"subject": "mathematics ", "limit": 3}),
        json!({"subject": "No such subject"}),
        json!({"season": "season-2026"}),
    ] {
        crate::story::forget(&test).await;
        if request["subject"] == "mathematics " {
            // Outer blanks are refused, as in every name.
            let refused = try_read(&site, request).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::InvalidInput);
            continue;
        }
        let cold = try_read(&site, request.clone()).await.unwrap();
        let subjects: Vec<&str> = request["subject"].as_str().into_iter().collect();
        crate::story::forget(&test).await;
        warm_with(&site, &subjects).await;
        let warm = try_read(&site, request.clone()).await.unwrap();
        assert_eq!(warm, cold, "{request}");
    }
}

#[tokio::test]
async fn the_subject_filter_counts_that_subject_alone() {
    let test = site_with(90, 60).await;
    let site = test.site().await;
    for _ in 0..2 {
        let session = try_read(&site, json!({"subject": "Mathematics", "limit": 5}))
            .await
            .unwrap();
        assert_eq!(session.total_due, 20, "a third of the due ones");
        assert_eq!(session.questions.len(), 5);
        assert!(
            session
                .questions
                .iter()
                .all(|q| q.subject.as_deref() == Some("Mathematics"))
        );
        let other_spelling = try_read(&site, json!({"subject": "MATHEMATICS", "limit": 5})).await;
        assert_eq!(other_spelling.unwrap(), session);
        warm_with(&site, &["Mathematics"]).await;
    }
    // A review moves the question out of both sets.
    let before = try_read(&site, json!({"subject": "Mathematics"}))
        .await
        .unwrap();
    submit(&site, "s-1", &[&before.questions[0].question_id]).await;
    let after = try_read(&site, json!({"subject": "Mathematics"}))
        .await
        .unwrap();
    assert_eq!(after.total_due, 19);
    assert_eq!(ids(&after)[0], before.questions[1].question_id);
}

/// Which fill the details are of.
async fn fill_of(test: &TestSite, site: &memora_core::services::Site) -> Option<String> {
    let mut redis = test.cache.connection().await;
    redis::cmd("HGET")
        .arg(site.cache.keys(&ann(), &season()).details())
        .arg("m")
        .query_async(&mut redis)
        .await
        .expect("HGET")
}

#[tokio::test]
async fn subjects_asked_for_in_turn_stay_in_the_cache() {
    let test = site_with(90, 60).await;
    let site = test.site().await;
    let subjects = ["Mathematics", "Physics", "History"];
    for subject in subjects {
        try_read(&site, json!({ "subject": subject }))
            .await
            .unwrap();
        memora_tests::wait::until("the fill", || async {
            is_complete(&site, Some(subject)).await.then_some(())
        })
        .await;
    }
    for subject in subjects {
        assert!(is_complete(&site, Some(subject)).await, "{subject}");
    }
    // Also over a refill for another reason.
    warm(&site).await;
    let filled = fill_of(&test, &site).await;
    for subject in subjects {
        let session = try_read(&site, json!({ "subject": subject }))
            .await
            .unwrap();
        assert_eq!(session.total_due, 20, "{subject}");
        assert!(is_complete(&site, Some(subject)).await, "{subject}");
    }
    assert_eq!(fill_of(&test, &site).await, filled);
}

#[tokio::test]
async fn a_review_leaves_the_set_of_its_subject_at_once() {
    let test = site_with(30, 30).await;
    let site = test.site().await;
    warm_with(&site, &["Mathematics"]).await;
    let filled = fill_of(&test, &site).await;
    // Not the most overdue one: what is on the page is checked against the details.
    submit(&site, "s-1", &[&question_id(27)]).await;
    let session = try_read(&site, json!({"subject": "Mathematics", "limit": 1}))
        .await
        .unwrap();
    assert_eq!(session.total_due, 9);
    assert_eq!(fill_of(&test, &site).await, filled, "from the cache");
}

#[tokio::test]
async fn subjects_that_do_not_exist_cost_no_fill_and_leave_no_key() {
    let test = site_with(9, 9).await;
    let site = test.site().await;
    warm(&site).await;
    let keys = || async {
        let mut redis = test.cache.connection().await;
        let keys: u64 = redis::cmd("DBSIZE").query_async(&mut redis).await.unwrap();
        (keys, fill_of(&test, &site).await)
    };
    let before = keys().await;
    for i in 0..20 {
        let session = try_read(&site, json!({"subject": format!("Subject {i}")}))
            .await
            .unwrap();
        assert_eq!((session.total_due, session.is_degraded), (0, false));
    }
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!(keys().await, before);
}

#[tokio::test]
async fn what_is_not_applied_shows_in_warm_and_cold_reads() {
    let test = site_with(60, 30).await;
    let site = test.site().await;
    let first = read(&site).await;
    submit(
        &site,
        "s-1",
        &[
            &first.questions[0].question_id,
            &first.questions[7].question_id,
        ],
    )
    .await;
    crate::story::forget(&test).await;
    for subject in [
        json!({"limit": 50}),
        json!({"limit": 50, "subject": "Mathematics"}),
    ] {
        let cold = try_read(&test.site().await, subject).await.unwrap();
        assert!(!ids(&cold).contains(&first.questions[0].question_id.as_str()));
    }
    let cold = read(&test.site().await).await;
    assert_eq!(cold.total_due, 28);
    assert_eq!(cold.questions.len(), 28);
    crate::story::forget(&test).await;
    warm(&site).await;
    assert_eq!(read(&site).await.questions, cold.questions);
    assert_eq!(apply_all(&test, &site).await, 1);
    crate::story::forget(&test).await;
    assert_eq!(
        read(&test.site().await).await.questions,
        cold.questions,
        "applied: the same"
    );
}

#[tokio::test]
async fn a_page_is_full_though_what_is_not_applied_was_on_it() {
    let test = site_with(60, 60).await;
    let site = test.site().await;
    let first: Vec<String> = (0..30).map(question_id).collect();
    let first: Vec<&str> = first.iter().map(String::as_str).collect();
    submit(&site, "s-1", &first).await;
    crate::story::forget(&test).await;
    let cold = try_read(&test.site().await, json!({"limit": 20}))
        .await
        .unwrap();
    assert_eq!((cold.total_due, cold.questions.len()), (30, 20));
    assert_eq!(ids(&cold)[0], question_id(30));
}

#[tokio::test]
async fn seasons_are_chosen_named_and_refused() {
    let test = TestSite::new().await;
    let empty = read(&test.site().await).await;
    assert_eq!(
        (empty.season.as_str(), empty.total_due, empty.is_degraded),
        ("", 0, false)
    );

    furnish(&test, 10, 5).await;
    test.add_season_with(
        "Old: [2025]*",
        Season {
            is_active: false,
            ..Season::default()
        },
    )
    .await;
    test.add_questions(ANN, "Old: [2025]*", 4, Due::All).await;
    let site = test.site().await;
    assert_eq!(read(&site).await.total_due, 5);
    let old = try_read(&site, json!({"season": "Old: [2025]*"}))
        .await
        .unwrap();
    assert_eq!((old.total_due, old.season.as_str()), (4, "Old: [2025]*"));

    let unknown = try_read(&site, json!({"season": "SEASON-1999"}))
        .await
        .unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::NotFound);
    test.exec(
        "UPDATE `tabGame Subscription Season` SET archived_on = '2026-01-01' WHERE name = 'Old: [2025]*'",
        (),
    )
    .await;
    let archived = try_read(&test.site().await, json!({"season": "Old: [2025]*"}))
        .await
        .unwrap_err();
    assert_eq!(archived.kind(), ErrorKind::InvalidInput);
    assert_eq!(
        archived.message(),
        "Season Old: [2025]* has ended and is archived"
    );
}

#[tokio::test]
async fn without_enable_redis_the_table_answers_and_nothing_is_cached() {
    let test = TestSite::new().await;
    test.add_season_with(
        SEASON,
        Season {
            enable_redis: false,
            ..Season::default()
        },
    )
    .await;
    test.add_student(ANN).await;
    test.add_questions(ANN, SEASON, 10, Due::First(4)).await;
    let site = test.site().await;
    for _ in 0..2 {
        let session = read(&site).await;
        assert_eq!((session.total_due, session.is_degraded), (4, false));
    }
    submit(&site, "s-1", &[&question_id(0)]).await;
    assert_eq!(read(&site).await.total_due, 3);
    let mut redis = test.cache.connection().await;
    let keys: Vec<String> = redis::cmd("KEYS")
        .arg("*srs:*")
        .query_async(&mut redis)
        .await
        .unwrap();
    assert_eq!(keys, Vec::<String>::new());
}

#[tokio::test]
async fn another_sites_schedules_under_the_same_prefix_are_never_served() {
    let one = site_with(10, 10).await;
    let two = TestSite::builder()
        .on_cache(one.cache.clone())
        .build()
        .await;
    furnish(&two, 3, 3).await;
    warm(&*one.site().await).await;
    let session = read(&two.site().await).await;
    assert_eq!(
        (session.total_due, session.is_degraded),
        (3, true),
        "as if Redis were away"
    );
    assert_eq!(read(&one.site().await).await.total_due, 10);
    two.set_config("srs_key_prefix", json!("two."));
    let site = two.site().await;
    warm(&site).await;
    let session = read(&site).await;
    assert_eq!((session.total_due, session.is_degraded), (3, false));
}

#[tokio::test]
async fn without_redis_the_table_answers_degraded() {
    let test = TestSite::builder()
        .own_cache_with(Default::default())
        .config("srs_safe_mode_user_seconds", json!(0))
        .build()
        .await;
    furnish(&test, 20, 10).await;
    let site = test.site().await;
    warm(&site).await;
    submit(&site, "s-1", &[&question_id(0)]).await;
    test.cache.server.kill();
    let session = read(&site).await;
    assert!(session.is_degraded);
    assert_eq!(session.total_due, 9, "with the overlay");
    let unread = test.site().await;
    let answer = submit(&unread, "s-2", &[&question_id(1)]).await;
    assert!(answer.is_degraded);
    assert_eq!(read(&unread).await.total_due, 8);
}

#[tokio::test]
async fn warm_and_cold_agree_all_through_the_night_when_clocks_change() {
    let test = TestSite::builder()
        .zone(chrono_tz::Tz::Europe__Berlin)
        .build()
        .await;
    furnish(&test, 12, 12).await;
    // Due every ten minutes from 2:00 on, an hour that this night has twice.
    for i in 0..12 {
        test.exec(
            "UPDATE `tabPlayer Memory Tracker` SET next_review_date = \
             '2026-10-25 02:00:00' + INTERVAL ? MINUTE WHERE question_id = ?",
            (10 * i, question_id(i)),
        )
        .await;
    }
    let site = test.site().await;
    warm(&site).await;
    let midnight = 1_792_886_400; // 2026-10-25 00:00:00 UTC, 2:00 in Berlin.
    for (minutes, due) in [
        (-1, 0),
        (0, 1),
        (25, 3),
        (59, 6),
        (60, 6),
        (85, 6),
        (125, 7),
    ] {
        let now = memora_core::types::UtcMicros((midnight + 60 * minutes) * 1_000_000);
        let ask = || read_at(&site, now);
        let warm_answer = ask().await;
        assert_eq!(warm_answer.total_due, due, "{minutes} minutes");
        crate::story::forget(&test).await;
        assert_eq!(ask().await, warm_answer, "{minutes} minutes");
        warm(&site).await;
    }
}
