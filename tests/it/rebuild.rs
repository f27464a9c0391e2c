//! Filling the cache of a whole season.

mod killed;
mod large;
mod traffic;

use std::collections::BTreeMap;
use std::sync::Arc;

use memora_core::failpoint;
use memora_core::schedule_cache::{Known, Lookup};
use memora_core::services::rebuild::{self, Options, Report, State};
use memora_core::services::{Site, fill, schedule};
use memora_core::types::{Player, QuestionState, Season, UtcMicros};
use memora_core::{ErrorKind, Result};
use memora_tests::questions::{SUBJECTS, question_id};
use memora_tests::{Due, TestSite, wait};

use crate::story::{ANN, SEASON, ann, apply_all, furnish, season, site_with, submit, warm};

const TRACKER: &str = "tabPlayer Memory Tracker";

pub(crate) fn full() -> Options {
    Options {
        load: 100,
        ..Options::default()
    }
}

pub(crate) async fn rebuilt(site: &Arc<Site>, options: &Options) -> Result<Report> {
    rebuild::run(site, SEASON, options, &|_| {}).await
}

pub(crate) fn student(i: usize) -> String {
    format!("s{i:04}@example.com")
}

/// A season of so many students with so many questions each.
pub(crate) async fn class(test: &TestSite, students: usize, questions: usize) {
    test.add_season(SEASON).await;
    for i in 0..students {
        test.add_questions(&student(i), SEASON, questions, Due::First(3))
            .await;
    }
}

/// What the table and the journal say of a student: due time and version by question.
async fn on_record(test: &TestSite, player: &Player) -> BTreeMap<String, (i64, i64)> {
    // As the engine reads for one who is not cached, through another door of its own.
    let site = test.site().await;
    let whose = memora_core::store::load::Whose {
        player,
        season: &season(),
        zone: site.zone(UtcMicros::now()).await.unwrap(),
        site: "",
    };
    let entries = site.unjournaled.of(player, &season()).await.unwrap();
    let over = entries.submissions.into_iter().map(|s| s.batch).collect();
    let states = memora_core::store::load::all(&site.db, whose, over).await;
    states.unwrap().into_iter().map(said).collect()
}

fn said(state: QuestionState) -> (String, (i64, i64)) {
    let QuestionState {
        question,
        due,
        version,
        ..
    } = state;
    (question.as_str().to_owned(), (due.0, version.0))
}

/// What the cache says; `None` if the schedule is not complete.
async fn cached(site: &Site, player: &Player) -> Option<BTreeMap<String, (i64, i64)>> {
    let scores = site.cache.scores(player, &season()).await.unwrap();
    let ids: Vec<&str> = scores.iter().map(|(id, _)| id.as_str()).collect();
    let mut all = BTreeMap::new();
    for ids in ids.chunks(500) {
        let states = site.cache.states(player, &season(), ids).await.unwrap();
        let Lookup::Complete(states) = states else {
            return None;
        };
        for state in states.states {
            match state {
                Known::State(state) => all.extend([said(state)]),
                // Its details were evicted alone: a read fills it anew.
                Known::NoDetails => return None,
                Known::Absent => panic!("a member that is absent"),
            }
        }
    }
    let complete = site.cache.are_complete(&[player], &season()).await.unwrap();
    complete[0].then_some(all)
}

/// Asserts that each of these is complete and as on record.
pub(crate) async fn all_right(
    test: &TestSite,
    site: &Site,
    students: impl Iterator<Item = String>,
) {
    for name in students {
        let player = Player::stored(&name);
        let record = on_record(test, &player).await;
        assert_eq!(cached(site, &player).await, Some(record), "{name}");
    }
}

/// Asserts that what is complete is as on record; how many are.
pub(crate) async fn none_wrong(test: &TestSite, site: &Site, students: usize) -> usize {
    let mut complete = 0;
    for i in 0..students {
        let player = Player::stored(student(i));
        if let Some(cached) = cached(site, &player).await {
            assert_eq!(cached, on_record(test, &player).await, "{}", student(i));
            complete += 1;
        }
    }
    complete
}

/// How many are complete, right or wrong.
async fn complete_ones(site: &Site, students: usize) -> usize {
    let students: Vec<Player> = (0..students).map(|i| Player::stored(student(i))).collect();
    let players: Vec<&Player> = students.iter().collect();
    let complete = site.cache.are_complete(&players, &season()).await.unwrap();
    complete.into_iter().filter(|complete| *complete).count()
}

#[tokio::test]
async fn every_schedule_is_complete_and_right() {
    let test = TestSite::new().await;
    let site = test.site().await;
    class(&test, 40, 30).await;
    let report = rebuilt(&site, &full()).await.unwrap();
    assert_eq!(
        (report.total_users, report.total_keys, report.total_records),
        (40, 40, 1200)
    );
    assert_eq!(
        (report.skipped, report.left, report.status),
        (0, 0, State::Completed)
    );
    all_right(&test, &site, (0..40).map(student)).await;
    let noted = rebuild::status(&site, SEASON).await.unwrap().unwrap();
    assert!(!noted.running);
    assert_eq!((noted.note.state, noted.note.done), (State::Completed, 40));
    // Pages of one student are as good.
    crate::story::forget(&test).await;
    let options = Options {
        batch_size: 1,
        ..full()
    };
    assert_eq!(rebuilt(&site, &options).await.unwrap().total_keys, 40);
    all_right(&test, &site, (0..40).map(student)).await;
}

#[tokio::test]
async fn what_is_not_applied_yet_is_in_it() {
    let test = site_with(60, 5).await;
    let site = test.site().await;
    class_beside(&test).await;
    submit(&site, "s-1", &[&question_id(0), &question_id(1)]).await;
    warm(&site).await;
    // One that the journal does not have: only its entry speaks of it.
    test.exec("RENAME TABLE memora_srs_journal TO journal_away", ())
        .await;
    let making = failpoint::pause(&test.name, "before_late_rows");
    submit(&site, "s-2", &[&question_id(2)]).await;
    making.reached().await;
    test.exec("RENAME TABLE journal_away TO memora_srs_journal", ())
        .await;
    crate::story::forget(&test).await;
    let other = test.site().await;
    let report = rebuilt(&other, &full()).await.unwrap();
    assert_eq!((report.total_keys, report.left), (4, 0));
    let record = on_record(&test, &ann()).await;
    assert!(record[&question_id(2)].1 > 0);
    all_right(&test, &other, [ANN.to_owned(), student(0)].into_iter()).await;
    drop(making);
    wait::until("the row is there", || async {
        (apply_all(&test, &site).await > 0).then_some(())
    })
    .await;
    assert_eq!(on_record(&test, &ann()).await, record);
    all_right(&test, &site, [ANN.to_owned()].into_iter()).await;
}

#[tokio::test]
async fn without_the_queues_redis_nothing_is_published() {
    let test = TestSite::builder().own_queue().build().await;
    class(&test, 3, 3).await;
    let site = test.site().await;
    test.queue.server.stop();
    let stopped = rebuilt(&site, &full()).await.unwrap_err();
    assert_eq!(stopped.kind(), ErrorKind::Unavailable);
    assert_eq!(complete_ones(&site, 3).await, 0);
    test.queue.server.start_again().await;
    assert_eq!(rebuilt(&site, &full()).await.unwrap().total_keys, 3);
}

async fn class_beside(test: &TestSite) {
    for i in 0..3 {
        test.add_questions(&student(i), SEASON, 4, Due::All).await;
    }
}

#[tokio::test]
async fn members_of_partial_keys_are_taken_over_and_subjects_keep_their_sets() {
    let test = site_with(6, 6).await;
    let site = test.site().await;
    class_beside(&test).await;
    let owner = schedule::Owner::new(ANN, SEASON).unwrap();
    let items = [(question_id(2), 1000.0), ("Q-NEW:1".to_owned(), 2000.0)];
    schedule::add_batch(&site, &owner, &items, None, UtcMicros::now())
        .await
        .unwrap();
    let subject = SUBJECTS[0].0.to_owned();
    let other = Player::stored(student(0));
    let filled = fill::run(&site, &other, &season(), std::slice::from_ref(&subject)).await;
    assert_eq!(filled.unwrap(), fill::Filled::Yes);
    rebuilt(&site, &full()).await.unwrap();
    let of_ann = cached(&site, &ann()).await.unwrap();
    assert_eq!(of_ann.len(), 7);
    assert_eq!(of_ann[&question_id(2)].0, 1_000_000_000);
    assert_eq!(of_ann["Q-NEW:1"].0, 2_000_000_000);
    let now = UtcMicros::now();
    let season = season();
    let page = site.cache.due(&other, &season, Some(&subject), now, 9);
    let Lookup::Complete(page) = page.await.unwrap() else {
        panic!("the subject's set is gone");
    };
    assert_eq!(page.total, 2);
}

#[tokio::test]
async fn complete_schedules_are_left_alone_if_asked_for() {
    let test = TestSite::new().await;
    let site = test.site().await;
    class(&test, 10, 5).await;
    for i in [2, 5] {
        fill::run(&site, &Player::stored(student(i)), &season(), &[])
            .await
            .unwrap();
    }
    let options = Options {
        missing_only: true,
        ..full()
    };
    let report = rebuilt(&site, &options).await.unwrap();
    assert_eq!(
        (report.total_users, report.total_keys, report.skipped),
        (10, 8, 2)
    );
    all_right(&test, &site, (0..10).map(student)).await;
}

#[tokio::test]
async fn schedules_are_of_users_as_they_are_stored() {
    let test = TestSite::new().await;
    let site = test.site().await;
    test.add_season(SEASON).await;
    test.add_student("Zoë@example.com").await;
    test.add_questions("ZOE@example.com", SEASON, 5, Due::All)
        .await;
    // No User at all, and names that sort where they please.
    for odd in ["%", "a'b\\", "_x", "ß", "z:z"] {
        test.add_questions(odd, SEASON, 2, Due::All).await;
    }
    let report = rebuilt(&site, &full()).await.unwrap();
    assert_eq!(report.total_keys, 6);
    let zoe = Player::stored("Zoë@example.com");
    assert_eq!(cached(&site, &zoe).await.unwrap().len(), 5);
    all_right(
        &test,
        &site,
        ["%", "a'b\\", "_x", "ß", "z:z"]
            .map(str::to_owned)
            .into_iter(),
    )
    .await;
}

#[tokio::test]
async fn only_seasons_that_are_cached() {
    let test = TestSite::new().await;
    let site = test.site().await;
    furnish(&test, 3, 3).await;
    let told = async |season: &str| {
        let refused = rebuild::run(&site, season, &full(), &|_| {}).await;
        refused.unwrap_err().kind()
    };
    assert_eq!(told("NO-SUCH").await, ErrorKind::NotFound);
    assert_eq!(told("").await, ErrorKind::InvalidInput);
    test.exec(
        "UPDATE `tabGame Subscription Season` SET enable_redis = 0",
        (),
    )
    .await;
    assert_eq!(told(SEASON).await, ErrorKind::InvalidInput);
    test.exec(
        "UPDATE `tabGame Subscription Season` SET enable_redis = 1, archived_on = NOW()",
        (),
    )
    .await;
    assert_eq!(told(SEASON).await, ErrorKind::InvalidInput);
    for options in [
        Options { load: 0, ..full() },
        Options {
            load: 101,
            ..full()
        },
        Options {
            batch_size: 0,
            ..full()
        },
    ] {
        let refused = rebuilt(&site, &options).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    }
    assert!(cached(&site, &ann()).await.is_none());
}

#[tokio::test]
async fn of_two_at_once_the_second_is_told() {
    let test = TestSite::new().await;
    let site = test.site().await;
    class(&test, 5, 5).await;
    let paused = failpoint::pause(&site.config.site, "rebuild_leased");
    let first = tokio::spawn({
        let site = site.clone();
        async move { rebuilt(&site, &full()).await }
    });
    paused.reached().await;
    let other = test.site().await;
    let options = full();
    let second = tokio::time::timeout(wait::PATIENCE, rebuilt(&other, &options));
    let refused = second.await.expect("an answer at once").unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    assert!(refused.message().contains("under way"), "{refused:?}");
    assert!(
        rebuild::status(&other, SEASON)
            .await
            .unwrap()
            .unwrap()
            .running
    );
    drop(paused);
    assert_eq!(first.await.unwrap().unwrap().total_keys, 5);
    assert_eq!(rebuilt(&other, &full()).await.unwrap().total_keys, 5);
}

/// Who is filled by somebody else at that moment is left to them.
#[tokio::test]
async fn a_lease_that_somebody_has_is_theirs() {
    let test = TestSite::new().await;
    let site = test.site().await;
    class(&test, 5, 5).await;
    let paused = failpoint::pause(&test.name, "fill_reads");
    let filling = tokio::spawn({
        let site = test.site().await;
        async move { fill::run(&site, &Player::stored(student(2)), &season(), &[]).await }
    });
    paused.reached().await;
    let rebuilding = tokio::spawn({
        let site = site.clone();
        async move { rebuilt(&site, &full()).await }
    });
    paused.reached().await;
    paused.release();
    paused.release();
    assert_eq!(filling.await.unwrap().unwrap(), fill::Filled::Yes);
    drop(paused);
    let report = rebuilding.await.unwrap().unwrap();
    assert_eq!((report.total_users, report.left), (5, 0));
    all_right(&test, &site, (0..5).map(student)).await;
}

#[tokio::test]
async fn a_season_that_is_switched_off_is_left() {
    let test = TestSite::new().await;
    let site = test.site().await;
    class(&test, 200, 3).await;
    let slow = Options {
        load: 1,
        batch_size: 1,
        ..full()
    };
    let running = tokio::spawn({
        let site = site.clone();
        async move { rebuilt(&site, &slow).await }
    });
    wait::until("it has begun", || async {
        let noted = rebuild::status(&site, SEASON).await.unwrap();
        noted.filter(|noted| noted.note.done > 0)
    })
    .await;
    test.exec(
        "UPDATE `tabGame Subscription Season` SET enable_redis = 0",
        (),
    )
    .await;
    let stopped = running.await.unwrap().unwrap_err();
    assert_eq!(stopped.kind(), ErrorKind::InvalidInput);
    let noted = rebuild::status(&site, SEASON).await.unwrap().unwrap();
    assert_eq!(noted.note.state, State::Failed);
    assert!(noted.note.error.unwrap().contains("enable_redis"));
}

/// A season with another's name in its own is another season.
#[tokio::test]
async fn other_seasons_are_left_alone() {
    let test = TestSite::new().await;
    let site = test.site().await;
    class(&test, 3, 3).await;
    let other = Season::stored(format!("A:{SEASON}"));
    test.add_season(other.as_str()).await;
    test.add_questions(&student(0), other.as_str(), 9, Due::All)
        .await;
    assert_eq!(rebuilt(&site, &full()).await.unwrap().total_records, 9);
    let player = Player::stored(student(0));
    assert_eq!(
        site.cache.are_complete(&[&player], &other).await.unwrap(),
        [false]
    );
}

/// What is asked of a large table must be answered from the index, in its order.
#[tokio::test]
async fn pages_come_from_the_index() {
    let test = TestSite::new().await;
    class(&test, 60, 100).await;
    test.exec("ANALYZE TABLE `tabPlayer Memory Tracker`", ())
        .await;
    let explain = async |sql: &str, params: Vec<mysql_async::Value>| {
        let rows: Vec<mysql_async::Row> = test.query(&format!("EXPLAIN {sql}"), params).await;
        let text = |row: &mysql_async::Row, column: &str| {
            row.get::<Option<String>, _>(column)
                .flatten()
                .unwrap_or_default()
        };
        let lines = rows.iter().map(|row| {
            let columns = ["table", "type", "key", "Extra"];
            columns.map(|column| text(row, column)).join(" | ")
        });
        lines.collect::<Vec<_>>()
    };
    let students = include_str!("../../rust-core/src/store/load/students.sql");
    let plan = explain(students, vec![SEASON.into(), student(7).into(), 16.into()]).await;
    let of_rows = plan
        .iter()
        .find(|line| line.starts_with("tabPlayer"))
        .unwrap();
    assert!(
        of_rows.contains("| range |") && of_rows.contains("Using index"),
        "{plan:#?}"
    );
    assert!(
        !of_rows.contains("temporary") && !of_rows.contains("filesort"),
        "{plan:#?}"
    );
    // All questions of a student, and some of them, as the statements are put together.
    let of_many = include_str!("../../rust-core/src/store/load/many.sql");
    let names = "(SELECT 0 AS n, CAST(? AS CHAR(140)) COLLATE utf8mb4_unicode_ci AS player) b";
    let of_many = of_many.replace("{bytes}", "SELECT 0 AS n, CAST(? AS BINARY) AS player");
    let all = format!("{names} STRAIGHT_JOIN `{TRACKER}` t ON t.player = b.player");
    let some = format!("`{TRACKER}` t STRAIGHT_JOIN {names} ON b.player = t.player");
    let named = " AND (FALSE OR t.player = ? AND t.question_id IN (?, ?))";
    let mut params: Vec<mysql_async::Value> = Vec::new();
    for _ in 0..2 {
        params.extend([student(3).into(), SEASON.into()]);
    }
    for (rows, questions) in [(all, ""), (some, named)] {
        let sql = of_many
            .replace("{rows}", &rows)
            .replace("{questions}", questions);
        let plan = explain(&sql, params.clone()).await;
        for table in ["j |", "t |"] {
            let line = plan.iter().find(|line| line.starts_with(table)).unwrap();
            let is_looked_up = line.contains("| ref |") || line.contains("| range |");
            assert!(is_looked_up, "{plan:#?}");
        }
        params.extend([student(3), question_id(1), question_id(2)].map(Into::into));
    }
}
