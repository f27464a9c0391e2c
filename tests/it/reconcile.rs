//! Reconciliation: cache and record are compared, and put right where they disagree.

use std::sync::Arc;

use memora_core::schedule_cache::{Known, Lookup};
use memora_core::services::reconcile::{Options, Report, Scope, reconcile};
use memora_core::services::{Site, fill};
use memora_core::types::{
    Player, QuestionId, QuestionState, Season, Stability, UtcMicros, Version,
};
use memora_core::{ErrorKind, Result};
use memora_tests::questions::question_id;
use memora_tests::{Due, TestSite};
use redis::aio::MultiplexedConnection;

use crate::story::{
    ANN, SEASON, ann, apply_all, furnish, is_complete, season, site_with, submit, warm, warm_with,
};

mod compare_and_set;
mod in_between;
mod servers;

pub(crate) fn full() -> Options {
    Options {
        scope: Scope::Season,
        season: Some(SEASON.to_owned()),
        dry_run: false,
        seed: Some(1),
    }
}

pub(crate) fn sample(size: u64) -> Options {
    Options {
        seed: Some(1),
        ..Options::sample(size)
    }
}

pub(crate) async fn try_run(site: &Site, options: &Options) -> Result<Report> {
    reconcile(site, options, &|_| {}).await
}

pub(crate) async fn run(site: &Site, options: &Options) -> Report {
    try_run(site, options).await.expect("a reconciliation")
}

pub(crate) fn key(player: &str) -> String {
    format!("srs:{player}:{SEASON}")
}

fn student(n: usize) -> String {
    format!("student-{n:03}@example.com")
}

/// A site with so many students of so many questions each, all cached.
async fn crowd(students: usize, questions: usize) -> (TestSite, Arc<Site>) {
    let test = TestSite::new().await;
    test.add_season(SEASON).await;
    let site = test.site().await;
    for n in 0..students {
        let name = student(n);
        test.add_questions(&name, SEASON, questions, Due::First(5))
            .await;
        fill_for(&site, &name, &["Physics"]).await;
    }
    (test, site)
}

async fn fill_for(site: &Site, player: &str, subjects: &[&str]) {
    let subjects: Vec<String> = subjects.iter().map(|s| (*s).to_owned()).collect();
    let filled = fill::run(site, &Player::stored(player), &season(), &subjects).await;
    assert_eq!(filled.unwrap(), fill::Filled::Yes);
}

/// What the cache knows of a question of Ann's.
pub(crate) async fn cached(site: &Site, player: &str, id: &str) -> Known {
    let player = Player::stored(player);
    match site.cache.states(&player, &season(), &[id]).await.unwrap() {
        Lookup::Complete(known) => known.states.into_iter().next().unwrap(),
        Lookup::Incomplete => panic!("not cached"),
    }
}

pub(crate) async fn state(site: &Site, player: &str, id: &str) -> QuestionState {
    match cached(site, player, id).await {
        Known::State(state) => state,
        other => panic!("{id}: {other:?}"),
    }
}

/// Puts a state into the cache past every rule.
async fn force(site: &Site, player: &str, state: &QuestionState) {
    let player = Player::stored(player);
    let id = state.question.as_str();
    site.cache.remove(&player, &season(), id).await.unwrap();
    let applied = site
        .cache
        .apply(&player, &season(), std::slice::from_ref(state))
        .await;
    assert!(applied.unwrap().complete);
}

async fn redis(test: &TestSite) -> MultiplexedConnection {
    test.cache.connection().await
}

/// What may be wrong with a cached question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Corruption {
    TooOld,
    TooNew,
    Missing,
    Ghost,
    Details,
    /// The score alone, as a tool would set it.
    Score,
}

const CORRUPTIONS: [Corruption; 6] = [
    Corruption::TooOld,
    Corruption::TooNew,
    Corruption::Missing,
    Corruption::Ghost,
    Corruption::Details,
    Corruption::Score,
];

/// Corrupts one question that has a row.
async fn corrupt(test: &TestSite, site: &Site, player: &str, id: &str, how: Corruption) {
    let (owner, mut state) = (Player::stored(player), state(site, player, id).await);
    let day = 86_400;
    match how {
        Corruption::TooOld => {
            state.version = Version(state.version.0 - 1);
            state.due = state.due.plus_seconds(-day);
            force(site, player, &state).await;
        }
        Corruption::TooNew => {
            state.version = Version(UtcMicros::now().plus_seconds(day * 365).0);
            state.due = state.due.plus_seconds(day);
            force(site, player, &state).await;
        }
        Corruption::Missing => {
            let removed = site.cache.remove(&owner, &season(), id).await;
            assert!(removed.unwrap());
        }
        Corruption::Ghost => {
            state.question = QuestionId::stored(format!("ghost-{id}"));
            force(site, player, &state).await;
        }
        Corruption::Details => {
            state.stability = Stability::from_f64(0.5);
            state.subject = Some("History".into());
            force(site, player, &state).await;
        }
        Corruption::Score => {
            let mut redis = redis(test).await;
            let _: () = redis::cmd("ZADD")
                .arg(key(player))
                .arg(state.due.plus_seconds(-day).to_score())
                .arg(id)
                .query_async(&mut redis)
                .await
                .unwrap();
        }
    }
}

/// Rows of this site have versions that can be made older.
async fn with_versions(test: &TestSite) {
    test.exec(
        "UPDATE `tabPlayer Memory Tracker` SET review_version = 1768816700000000",
        (),
    )
    .await;
}

#[tokio::test]
async fn a_clean_cache_has_no_discrepancy() {
    let (_test, site) = crowd(12, 60).await;
    let report = run(&site, &full()).await;
    assert_eq!(
        (report.compared, report.discrepancies_found, report.students),
        (720, 0, 12)
    );
    assert_eq!(report.sample_size, 720);
    assert!(report.full && !report.alert_triggered);
    // More than there is: all of it, each item once.
    let report = run(&site, &sample(10_000)).await;
    assert_eq!((report.compared, report.discrepancies_found), (720, 0));
    // Fewer: so many, of several students.
    let report = run(&site, &sample(100)).await;
    assert_eq!((report.compared, report.discrepancies_found), (100, 0));
    assert!(report.students >= 4, "{report:?}");
    assert_eq!(report.in_flight, 0);
}

#[tokio::test]
async fn a_sample_differs_from_run_to_run_and_is_the_same_for_a_seed() {
    let (test, site) = crowd(20, 50).await;
    with_versions(&test).await;
    for n in 0..20 {
        site.cache
            .invalidate(&Player::stored(student(n)), &season())
            .await
            .unwrap();
        fill_for(&site, &student(n), &[]).await;
    }
    for n in 0..10 {
        let id = question_id(n);
        corrupt(&test, &site, &student(n), &id, Corruption::TooNew).await;
    }
    let found = async |seed| {
        let options = Options {
            seed: Some(seed),
            dry_run: true,
            ..Options::sample(200)
        };
        run(&site, &options).await.discrepancies_found
    };
    assert_eq!(found(7).await, found(7).await);
    let mut different = Vec::new();
    for seed in 0..6 {
        different.push(found(seed).await);
    }
    different.dedup();
    assert!(different.len() > 1, "{different:?}");
}

#[tokio::test]
async fn each_kind_is_found_named_and_put_right() {
    let test = site_with(60, 10).await;
    with_versions(&test).await;
    let site = test.site().await;
    warm_with(&site, &["Physics", "History"]).await;
    let clean = state(&site, ANN, &question_id(7)).await;
    for how in CORRUPTIONS {
        corrupt(&test, &site, ANN, &question_id(7), how).await;
        let dry = Options {
            dry_run: true,
            ..full()
        };
        let report = run(&site, &dry).await;
        assert_eq!(
            (report.discrepancies_found, report.auto_corrected),
            (1, 0),
            "{how:?}: {report:?}"
        );
        let report = run(&site, &full()).await;
        assert_eq!(
            (report.discrepancies_found, report.auto_corrected),
            (1, 1),
            "{how:?}: {report:?}"
        );
        let kinds = report.kinds;
        let count = match how {
            Corruption::TooOld | Corruption::Score => kinds.too_old,
            Corruption::TooNew => kinds.too_new,
            Corruption::Missing => kinds.missing,
            Corruption::Ghost => kinds.ghosts,
            Corruption::Details => kinds.details,
        };
        assert_eq!(count, 1, "{how:?}: {report:?}");
        assert_eq!(
            (report.missing, report.ghosts),
            (kinds.missing, kinds.ghosts)
        );
        let report = run(&site, &full()).await;
        assert_eq!(report.discrepancies_found, 0, "{how:?}: {report:?}");
        assert_eq!(state(&site, ANN, &question_id(7)).await, clean, "{how:?}");
        assert!(matches!(
            cached(&site, ANN, &format!("ghost-{}", question_id(7))).await,
            Known::Absent
        ));
    }
}

#[tokio::test]
async fn a_subjects_schedule_that_is_wrong_is_dropped() {
    let test = site_with(60, 30).await;
    let site = test.site().await;
    let mut redis = redis(&test).await;
    let set = site.cache.keys(&ann(), &season()).subject("Physics");
    // Question 1 is of Physics, question 0 is not; and one that is nowhere else.
    let edits: [(&str, Vec<String>); 4] = [
        ("ZREM", vec![question_id(1)]),
        ("ZADD", vec!["1000".into(), question_id(0)]),
        ("ZADD", vec!["1000".into(), question_id(1)]),
        ("ZADD", vec!["1000".into(), "stray".into()]),
    ];
    for (command, args) in edits {
        warm_with(&site, &["Physics"]).await;
        assert_eq!(run(&site, &full()).await.discrepancies_found, 0);
        let _: i64 = redis::cmd(command)
            .arg(&set)
            .arg(&args)
            .query_async(&mut redis)
            .await
            .unwrap();
        let report = run(&site, &full()).await;
        assert_eq!(
            (report.kinds.subjects, report.auto_corrected),
            (1, 1),
            "{args:?}: {report:?}"
        );
        assert!(!is_complete(&site, Some("Physics")).await);
        assert!(is_complete(&site, None).await, "the others stay");
    }
}

/// Redis has evicted it: whoever asks for the subject has it made anew.
#[tokio::test]
async fn a_subjects_schedule_that_is_gone_is_no_discrepancy() {
    let test = site_with(60, 30).await;
    let site = test.site().await;
    warm_with(&site, &["Physics"]).await;
    let mut redis = redis(&test).await;
    let gone: i64 = redis::cmd("DEL")
        .arg(site.cache.keys(&ann(), &season()).subject("Physics"))
        .query_async(&mut redis)
        .await
        .unwrap();
    assert_eq!(gone, 1);
    let report = run(&site, &full()).await;
    assert_eq!(report.discrepancies_found, 0, "{report:?}");
}

#[tokio::test]
async fn who_is_not_cached_is_no_discrepancy() {
    let test = site_with(40, 10).await;
    let site = test.site().await;
    let none = |report: &Report| {
        assert_eq!((report.compared, report.students), (0, 0), "{report:?}");
        assert_eq!(report.discrepancies_found, 0);
        assert!(!report.alert_triggered);
    };
    none(&run(&site, &sample(1000)).await);
    // One item on a key that was not there makes a partial schedule.
    site.cache
        .put(&ann(), &season(), &[("x", UtcMicros::now())], None)
        .await
        .unwrap();
    none(&run(&site, &sample(1000)).await);
    none(&run(&site, &full()).await);
    // So does an old key without a marker, and one of another instance.
    warm(&site).await;
    let mut redis = redis(&test).await;
    let members: Vec<String> = redis::cmd("ZRANGEBYSCORE")
        .arg(key(ANN))
        .arg("+inf")
        .arg("+inf")
        .query_async(&mut redis)
        .await
        .unwrap();
    let marker = members.first().unwrap();
    let other = format!("{}0123456789abcdef", &marker[..marker.len() - 16]);
    let _: () = redis::pipe()
        .cmd("ZREM")
        .arg(key(ANN))
        .arg(marker)
        .cmd("ZADD")
        .arg(key(ANN))
        .arg("+inf")
        .arg(other)
        .query_async(&mut redis)
        .await
        .unwrap();
    none(&run(&site, &full()).await);
    // And one whose details Redis has evicted.
    warm(&site).await;
    let details = site.cache.keys(&ann(), &season()).details();
    let _: i64 = redis::cmd("DEL")
        .arg(details)
        .query_async(&mut redis)
        .await
        .unwrap();
    none(&run(&site, &full()).await);
}

#[tokio::test]
async fn a_schedule_that_is_cached_as_empty_lacks_rows() {
    let test = site_with(0, 0).await;
    let site = test.site().await;
    warm(&site).await;
    let report = run(&site, &sample(100)).await;
    assert_eq!((report.compared, report.discrepancies_found), (0, 0));
    test.add_questions(ANN, SEASON, 5, Due::All).await;
    let report = run(&site, &sample(100)).await;
    assert_eq!(
        (report.compared, report.missing, report.auto_corrected),
        (5, 5, 5)
    );
    assert_eq!(run(&site, &full()).await.discrepancies_found, 0);
}

#[tokio::test]
async fn one_student_and_one_season_alone() {
    let (test, site) = crowd(3, 30).await;
    test.add_season("OTHER: 2026 *").await;
    let other = Season::stored("OTHER: 2026 *");
    test.add_questions(&student(0), other.as_str(), 10, Due::All)
        .await;
    let filled = fill::run(&site, &Player::stored(student(0)), &other, &[]).await;
    assert_eq!(filled.unwrap(), fill::Filled::Yes);
    for n in [1, 2] {
        let player = Player::stored(student(n));
        let removed = site.cache.remove(&player, &season(), &question_id(3)).await;
        assert!(removed.unwrap());
    }
    let of_one = |name: &str, season: Option<&str>| Options {
        scope: Scope::Student(name.to_owned()),
        season: season.map(str::to_owned),
        dry_run: false,
        seed: None,
    };
    test.add_student(&student(1)).await;
    let found = run(&site, &of_one(&student(1).to_uppercase(), Some(SEASON))).await;
    assert_eq!(
        (found.compared, found.missing, found.auto_corrected),
        (30, 1, 1)
    );
    assert_eq!(found.student.as_deref(), Some(&*student(1)));
    assert_eq!(found.season.as_deref(), Some(SEASON));

    let of_season = |name: &str| Options {
        season: Some(name.to_owned()),
        ..sample(1000)
    };
    let found = run(&site, &of_season("other: 2026 *")).await;
    assert_eq!((found.compared, found.discrepancies_found), (10, 0));
    assert_eq!(run(&site, &of_season(SEASON)).await.missing, 1);
    assert_eq!(run(&site, &sample(1000)).await.compared, 100);

    for (options, kind) in [
        (of_season("no such"), ErrorKind::NotFound),
        (of_season(""), ErrorKind::InvalidInput),
        (of_one("nobody@example.com", None), ErrorKind::NotFound),
        (sample(0), ErrorKind::InvalidInput),
        (sample(100_001), ErrorKind::InvalidInput),
    ] {
        let refused = try_run(&site, &options).await.unwrap_err();
        assert_eq!(refused.kind(), kind, "{options:?}");
    }
}

#[tokio::test]
async fn a_sample_finds_what_its_size_lets_it_find() {
    // 40 students of 500 questions; 1 % of them wrong, each way as often.
    let (test, site) = crowd(40, 500).await;
    with_versions(&test).await;
    for n in 0..40 {
        let player = Player::stored(student(n));
        site.cache.invalidate(&player, &season()).await.unwrap();
        fill_for(&site, &student(n), &[]).await;
        for (i, how) in CORRUPTIONS[..5].iter().enumerate() {
            let id = question_id((n * 37 + i * 91) % 500);
            corrupt(&test, &site, &student(n), &id, *how).await;
        }
    }
    // Of 20,000 rows and 40 ghosts 200 are wrong: of 4,000 items some 40, standard
    // deviation 6.3 if they were drawn one by one.
    let dry = Options {
        dry_run: true,
        ..sample(4000)
    };
    let report = run(&site, &dry).await;
    assert_eq!(report.compared, 4000);
    assert!(
        (15..=65).contains(&report.discrepancies_found),
        "{report:?}"
    );
    assert!(report.alert_triggered);
    let kinds = report.kinds;
    for count in [
        kinds.too_old,
        kinds.too_new,
        kinds.missing,
        kinds.ghosts,
        kinds.details,
    ] {
        // 8 each on average: none at all is one chance in 3,000.
        assert!((1..=25).contains(&count), "{report:?}");
    }
    // Everything is found, and once put right it stays so.
    let report = run(&site, &full()).await;
    assert_eq!((report.compared, report.discrepancies_found), (20_040, 200));
    assert_eq!(report.auto_corrected, 200);
    assert!((report.discrepancy_rate - 200.0 / 20_040.0).abs() < 1e-9);
    let report = run(&site, &full()).await;
    assert_eq!((report.compared, report.discrepancies_found), (20_000, 0));
}

#[tokio::test]
async fn odd_names_and_long_schedules() {
    let test = TestSite::new().await;
    let odd = "Zoë:{%41}@example.com";
    test.add_season(SEASON).await;
    let site = test.site().await;
    test.add_questions(odd, SEASON, 3000, Due::First(2500))
        .await;
    // Spelled otherwise it is another question to Redis, and the same to the table.
    test.exec(
        "UPDATE `tabPlayer Memory Tracker` SET question_id = 'Ünï:Q 1%' WHERE question_id = ?",
        (question_id(2999),),
    )
    .await;
    fill_for(&site, odd, &["Physics"]).await;
    assert_eq!(run(&site, &full()).await.compared, 3000);
    let report = run(&site, &sample(2000)).await;
    assert_eq!((report.compared, report.discrepancies_found), (2000, 0));
    let mut ghost = state(&site, odd, "Ünï:Q 1%").await;
    ghost.question = QuestionId::stored("uni:q 1%");
    force(&site, odd, &ghost).await;
    let report = run(&site, &full()).await;
    assert_eq!((report.compared, report.ghosts), (3001, 1));
    assert_eq!(run(&site, &full()).await.discrepancies_found, 0);
}

/// Rows are theirs whose name the table takes for the same, as for who reads.
#[tokio::test]
async fn rows_that_spell_their_student_otherwise_are_theirs() {
    let test = TestSite::new().await;
    test.add_season(SEASON).await;
    test.add_student("Zoë@example.com").await;
    let site = test.site().await;
    test.add_questions("ZOE@example.com", SEASON, 50, Due::All)
        .await;
    fill_for(&site, "Zoë@example.com", &[]).await;
    let report = run(&site, &full()).await;
    assert_eq!((report.compared, report.discrepancies_found), (50, 0));
    let zoe = Player::stored("Zoë@example.com");
    for n in 0..50 {
        let removed = site.cache.remove(&zoe, &season(), &question_id(n)).await;
        assert!(removed.unwrap());
    }
    // Drawn among the rows, as there are no members left.
    let report = run(&site, &sample(50)).await;
    assert_eq!((report.missing, report.auto_corrected), (50, 50));
}

#[tokio::test]
async fn a_submit_counts_before_and_after_it_is_applied() {
    let test = TestSite::new().await;
    furnish(&test, 30, 10).await;
    let site = test.site().await;
    warm(&site).await;
    submit(&site, "s-1", &[&question_id(0), "new:1"]).await;
    // The table has the old row and no new one; journal and cache have both.
    let report = run(&site, &full()).await;
    assert_eq!(
        (
            report.compared,
            report.discrepancies_found,
            report.in_flight
        ),
        (31, 0, 0),
        "{report:?}"
    );
    apply_all(&test, &site).await;
    let report = run(&site, &full()).await;
    assert_eq!((report.compared, report.discrepancies_found), (31, 0));
}
