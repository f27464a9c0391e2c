//! Only one process cannot reach the cache; the others serve the student meanwhile.

use std::sync::Arc;

use memora_core::failpoint;
use memora_core::queue::{DirtyList, Mark, Whose};
use memora_core::services::{Sites, apply, fill, players, schedule};
use memora_core::store::apply::Work;
use memora_core::types::{Player, Season, SubmissionId, UtcMicros};
use memora_tests::proxy::{Fault, Proxy};
use memora_tests::questions::question_id;
use memora_tests::{Sidecar, TestSite, wait};

use serde_json::json;

use super::{Client, all_healed, listed, opened_through, stage, through, unhealed};
use crate::story::{
    ANN, SEASON, ann, count, furnish, is_complete, read, season, submit, try_read, waiting, warm,
};

/// One sidecar behind proxies, and one that is not.
struct Two {
    cache: Proxy,
    queue: Proxy,
    cut: Sidecar,
    through_cut: Client,
    through_whole: Client,
    _whole: Sidecar,
}

impl Two {
    async fn start(test: &TestSite, student: &memora_tests::Student) -> Self {
        let cache = Proxy::start(test.cache.server.port()).await;
        let queue = Proxy::start(test.queue.server.port()).await;
        let start = through(test, Some(&cache), Some(&queue));
        let cut = Sidecar::start_with(test, &start).await.expect("a sidecar");
        let whole = Sidecar::start(test).await;
        let two = Self {
            through_cut: Client::of(&cut, test, student),
            through_whole: Client::of(&whole, test, student),
            cache,
            queue,
            cut,
            _whole: whole,
        };
        two.through_cut.recovers().await;
        two.through_whole.warm(test).await;
        two
    }
}

#[tokio::test]
async fn what_one_could_not_write_the_others_make_good() {
    for fault in [Fault::Cut, Fault::BlackHole, Fault::HoldAnswers] {
        let (test, student) = stage().await;
        let two = Two::start(&test, &student).await;
        two.cache.set(fault);
        for n in 0..3 {
            assert!(two.through_cut.submit(n).await, "{fault:?}");
            wait::until("the other has made it good", || async {
                (listed(&test).await == 0 && unhealed(&test).await == 0).then_some(())
            })
            .await;
            two.through_whole.never_shows(n + 1).await;
        }
        assert!(!two.through_whole.submit(3).await);
        two.cache.set(Fault::None);
        two.through_cut.recovers().await;
        two.through_cut.never_shows(4).await;
        two.through_whole.never_shows(4).await;
        two.through_cut.warm(&test).await;
    }
}

#[tokio::test]
async fn the_list_outlives_the_process_that_wrote_it() {
    let (test, student) = stage().await;
    let two = Two::start(&test, &student).await;
    two.cache.set(Fault::Cut);
    assert!(two.through_cut.submit(0).await);
    two.cut.process.kill();
    all_healed(&test).await;
    two.through_whole.never_shows(1).await;
}

#[tokio::test]
async fn what_died_with_a_process_the_worker_shows() {
    let (test, student) = stage().await;
    let two = Two::start(&test, &student).await;
    two.cache.set(Fault::Cut);
    two.queue.set(Fault::Cut);
    assert!(two.through_cut.submit(0).await);
    two.cut.process.kill();
    assert_eq!((listed(&test).await, unhealed(&test).await), (0, 1));
    let site = test.site().await;
    let rows = waiting(&test).await;
    for outcome in apply::apply(&site, &rows, "test").await {
        outcome.expect("applied");
    }
    assert_eq!(unhealed(&test).await, 0);
    two.through_whole.never_shows(1).await;
}

#[tokio::test]
async fn what_a_worker_could_not_show_others_make_good() {
    let test = TestSite::builder().own_cache().own_queue().build().await;
    furnish(&test, 10, 10).await;
    let proxy = Proxy::start(test.cache.server.port()).await;
    let (cut, whole) = (opened_through(&test, Some(&proxy), None), test.site().await);
    warm(&whole).await;
    read(&cut).await;
    proxy.set(Fault::Cut);
    assert!(submit(&cut, "s-1", &[&question_id(0)]).await.is_degraded);
    // The note of the submit is lost, and so is its process.
    drop(cut);
    forget_list(&test).await;
    let worker = opened_through(&test, Some(&proxy), None);
    let rows = waiting(&test).await;
    let mut applied = apply::apply(&worker, &rows, "test").await;
    applied.remove(0).expect("applied");
    assert_eq!((listed(&test).await, unhealed(&test).await), (1, 1));
    wait::until("others have made it good", || async {
        let total = read(&whole).await.total_due;
        (listed(&test).await == 0 && total == 9).then_some(())
    })
    .await;
    wait::until("the row is marked", || async {
        (unhealed(&test).await == 0).then_some(())
    })
    .await;
}

async fn forget_list(test: &TestSite) {
    let mut redis = test.queue.connection().await;
    let key = format!("rq:memora:dirty:{}", test.name);
    let gone: redis::RedisResult<()> = redis::cmd("DEL").arg(key).query_async(&mut redis).await;
    gone.expect("DEL");
}

#[tokio::test]
async fn rows_that_nobody_living_knows_of_are_found_in_the_journal() {
    let (test, student) = stage().await;
    let (cache, queue) = (
        Proxy::start(test.cache.server.port()).await,
        Proxy::start(test.queue.server.port()).await,
    );
    let sidecar = Sidecar::start(&test).await;
    let client = Client::of(&sidecar, &test, &student);
    client.warm(&test).await;
    let start = through(&test, Some(&cache), Some(&queue));
    let cut = Sidecar::start_with(&test, &start).await.expect("a sidecar");
    let through_cut = Client::of(&cut, &test, &student);
    through_cut.recovers().await;
    let worker = opened_through(&test, Some(&cache), Some(&queue));
    cache.set(Fault::Cut);
    queue.set(Fault::Cut);
    assert!(through_cut.submit(0).await);
    cut.process.kill();
    let rows = waiting(&test).await;
    apply::apply(&worker, &rows, "test")
        .await
        .remove(0)
        .expect("applied");
    drop(worker);
    assert_eq!((listed(&test).await, unhealed(&test).await), (0, 1));
    // The next process that starts looks, and every one now and then.
    let third = Sidecar::start(&test).await;
    Client::of(&third, &test, &student).recovers().await;
    all_healed(&test).await;
    client.never_shows(1).await;
}

#[tokio::test]
async fn no_fill_publishes_a_dirty_student() {
    let test = TestSite::builder().own_cache().own_queue().build().await;
    furnish(&test, 10, 10).await;
    let (site, other) = (test.site().await, test.site().await);
    read(&site).await;
    warm(&site).await;
    crate::story::forget(&test).await;
    let not_healing = failpoint::pause(&test.name, "before_heal");
    let publishing = failpoint::pause(&test.name, "before_publish");
    let filling = tokio::spawn({
        let site = site.clone();
        async move { fill::run(&site, &ann(), &season(), &[]).await }
    });
    publishing.reached().await;
    let list = DirtyList::new(other.queue_redis.clone(), &test.name);
    let whose = Whose::Student(ann(), season());
    list.mark(&whose, &Mark::new()).await.expect("marked");
    let reading = tokio::spawn({
        let site = site.clone();
        async move {
            loop {
                read(&site).await;
            }
        }
    });
    not_healing.reached().await;
    reading.abort();
    publishing.release();
    drop(publishing);
    let filled = filling.await.expect("a fill").expect("a fill");
    assert_eq!(filled, fill::Filled::Overtaken);
    let again = fill::run(&site, &ann(), &season(), &[])
        .await
        .expect("a fill");
    assert_eq!(again, fill::Filled::Overtaken);
    assert!(!is_complete(&other, None).await);
    not_healing.release();
    drop(not_healing);
    warm(&site).await;
}

#[tokio::test]
async fn an_outside_write_whose_outcome_is_open_makes_the_student_dirty() {
    let test = TestSite::builder().own_cache().own_queue().build().await;
    furnish(&test, 10, 10).await;
    let proxy = Proxy::start(test.cache.server.port()).await;
    let (cut, whole) = (opened_through(&test, Some(&proxy), None), test.site().await);
    warm(&whole).await;
    read(&cut).await;
    let owner = schedule::Owner::new(ANN, SEASON).expect("names");
    proxy.set(Fault::HoldAnswers);
    let later = [(question_id(0), 4e9)];
    let added = schedule::add_batch(&cut, &owner, &later, None, UtcMicros::now()).await;
    added.expect_err("no answer came");
    assert_eq!(listed(&test).await, 1);
    // Refused without being sent: certain, and nobody need care.
    let removed = schedule::remove_item(&cut, &owner, &question_id(1)).await;
    removed.expect_err("Safe Mode");
    wait::until("others have made it good", || async {
        let session = read(&whole).await;
        assert!(!session.is_degraded);
        (listed(&test).await == 0 && session.total_due == 10).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_edit_in_desk_that_did_not_reach_the_cache_is_made_good() {
    let test = TestSite::builder().own_cache().own_queue().build().await;
    furnish(&test, 10, 10).await;
    let proxy = Proxy::start(test.cache.server.port()).await;
    let (cut, whole) = (opened_through(&test, Some(&proxy), None), test.site().await);
    warm(&whole).await;
    proxy.set(Fault::Cut);
    let sql = "UPDATE `tabPlayer Memory Tracker` SET next_review_date = '2099-01-01' \
               WHERE question_id = ?";
    test.exec(sql, (question_id(0),)).await;
    players::invalidate(&cut, &ann(), &season())
        .await
        .expect_err("the cache is away");
    wait::until("the edit shows", || async {
        (read(&whole).await.total_due == 9).then_some(())
    })
    .await;
    wait::until("and the schedule is cached again", || async {
        read(&whole).await;
        (is_complete(&whole, None).await && listed(&test).await == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_note_that_is_newer_than_the_healing_stays_on_the_list() {
    let test = TestSite::builder().own_queue().build().await;
    let site = test.site().await;
    let list = DirtyList::new(site.queue_redis.clone(), &test.name);
    let student =
        |n: usize| Whose::Student(Player::stored(format!("p{n}")), Season::stored(SEASON));
    for n in 0..2 {
        list.mark(&student(n), &Mark::new()).await.expect("marked");
    }
    let before = list.list().await.expect("the list");
    let (_, read) = list.page("0").await.expect("a page");
    let newer = Mark::new();
    list.mark(&student(0), &newer).await.expect("marked");
    assert_eq!(list.done(&read).await.expect("done"), 1);
    let after = list.list().await.expect("the list");
    assert_eq!(after.whose, [student(0)]);
    assert_ne!(before.state, after.state);
    assert_eq!(list.done(&[(student(0), newer)]).await.expect("done"), 1);
    assert_eq!(list.list().await.expect("the list"), Default::default());
    let mut redis = test.queue.connection().await;
    let key = format!("rq:memora:dirty:{}", test.name);
    let left: redis::RedisResult<u64> = redis::cmd("EXISTS").arg(key).query_async(&mut redis).await;
    assert_eq!(left.expect("EXISTS"), 0, "an empty list costs nothing");
}

#[tokio::test]
async fn too_many_to_list_are_everybody_and_every_schedule_goes() {
    let test = TestSite::builder().own_cache().own_queue().build().await;
    furnish(&test, 10, 10).await;
    let site = test.site().await;
    warm(&site).await;
    let list = DirtyList::new(site.queue_redis.clone(), &test.name);
    let marks = (0..5_100).map(|n| {
        let whose = Whose::Student(Player::stored(format!("p{n}")), season());
        let list = &list;
        async move { list.mark(&whose, &Mark::new()).await }
    });
    for marked in futures_util::future::join_all(marks).await {
        marked.expect("marked");
    }
    assert!(listed(&test).await <= 5_001, "bounded");
    // What was noted beyond the bound is not known by name: it may have been Ann.
    let sql = "UPDATE `tabPlayer Memory Tracker` SET next_review_date = '2099-01-01' \
               WHERE question_id = ?";
    test.exec(sql, (question_id(0),)).await;
    let other = test.site().await;
    assert_eq!(
        read(&other).await.total_due,
        9,
        "everybody is answered by the table"
    );
    wait::until("the list is worked off", || async {
        assert_eq!(read(&other).await.total_due, 9);
        (listed(&test).await == 0).then_some(())
    })
    .await;
    wait::until("her schedule is made anew", || async {
        assert_eq!(read(&other).await.total_due, 9);
        is_complete(&other, None).await.then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_row_that_was_healed_first_is_swept_all_the_same() {
    let (test, student) = stage().await;
    let sidecar = Sidecar::start(&test).await;
    let client = Client::of(&sidecar, &test, &student);
    client.recovers().await;
    test.cache.server.pause();
    assert!(client.submit(0).await);
    // No job brings it in.
    let mut redis = test.queue.connection().await;
    let wiped: redis::RedisResult<()> = redis::cmd("FLUSHALL").query_async(&mut redis).await;
    wiped.expect("FLUSHALL");
    test.cache.server.resume();
    client.recovers().await;
    wait::until("it is healed", || async {
        (unhealed(&test).await == 0).then_some(())
    })
    .await;
    let site = test.site().await;
    let rows: Vec<Work> = waiting(&test).await;
    assert_eq!(rows.len(), 1);
    assert_eq!(
        rows[0].key.submission,
        SubmissionId::parse("id", "s-0").expect("an id")
    );
    apply::apply(&site, &rows, "test")
        .await
        .remove(0)
        .expect("applied");
    let left = "SELECT COUNT(*) FROM memora_srs_journal WHERE next_try_at IS NOT NULL";
    assert_eq!(count(&test, left).await, 0);
    client.never_shows(1).await;
}

#[tokio::test]
async fn a_changed_configuration_forgets_nothing() {
    let test = TestSite::builder().own_cache().own_queue().build().await;
    furnish(&test, 10, 10).await;
    let proxy = Proxy::start(test.cache.server.port()).await;
    let set = |key: &str, value: serde_json::Value| {
        let file = test.sites_path.join(&test.name).join("site_config.json");
        let text = std::fs::read_to_string(&file).expect("the configuration");
        let mut config: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        config[key] = value;
        std::fs::write(&file, config.to_string()).expect("written");
    };
    let url = format!("redis://{}/{}", proxy.address, test.cache.index);
    set("redis_cache", url.into());
    let sites = Sites::new(&test.sites_path);
    let before = sites.get(&test.name).await.expect("the site");
    warm(&before).await;
    read(&before).await;
    proxy.set(Fault::Cut);
    test.queue.server.kill();
    assert!(submit(&before, "s-1", &[&question_id(0)]).await.is_degraded);
    // Only the memory of this process knows, and the journal.
    set("srs_max_questions", 99_999.into());
    let after = wait::until("the site is open anew", || async {
        let site = sites.get(&test.name).await.expect("the site");
        (!Arc::ptr_eq(&site, &before)).then_some(site)
    })
    .await;
    proxy.set(Fault::None);
    for _ in 0..100 {
        if let Ok(session) = try_read(&after, json!({})).await {
            assert_eq!(session.total_due, 9);
        }
    }
    warm(&after).await;
    assert_eq!(read(&after).await.total_due, 9);
}
