//! Subject and topic of new questions: given to rows and cache, and asked for.

use std::collections::HashMap;

use memora_core::queue::FILL_INFO_METHOD;
use memora_core::schedule_cache::{Known, Lookup};
use memora_core::services::question_info::{Info, fill_question_info, questions_without_info};
use memora_core::services::sweep::sweep;
use memora_core::services::{Site, fill};
use memora_core::{ErrorKind, failpoint, pickle};
use memora_tests::questions::question_id;
use memora_tests::{TestSite, wait};
use serde_json::{Value, json};

use crate::story::{
    ANN, SEASON, ann, apply_all, forget, furnish, row, season, site_with, submit, warm, warm_with,
};

mod cached;

fn info(entries: &[(&str, Option<&str>, Option<&str>)]) -> HashMap<String, Info> {
    let owned = |name: Option<&str>| name.map(str::to_owned);
    entries
        .iter()
        .map(|(id, subject, topic)| ((*id).to_owned(), (owned(*subject), owned(*topic))))
        .collect()
}

/// A site with three questions on record and, applied, `new` ones.
async fn site_with_new(test: &TestSite, new: &[&str]) -> std::sync::Arc<Site> {
    test.exec("INSERT INTO `tabGame Topic` (name) VALUES ('Optics')", ())
        .await;
    let site = test.site().await;
    submit(&site, "s-1", new).await;
    apply_all(test, &site).await;
    site
}

async fn names(test: &TestSite, question: &str) -> (Option<String>, Option<String>) {
    test.query_one(
        "SELECT subject, topic FROM `tabPlayer Memory Tracker` WHERE question_id = ?",
        (question,),
    )
    .await
    .unwrap()
}

async fn cached_names(site: &Site, question: &str) -> Option<(Option<String>, Option<String>)> {
    match site.cache.states(&ann(), &season(), &[question]).await {
        Ok(Lookup::Complete(mut known)) => match known.states.remove(0) {
            Known::State(state) => Some((state.subject, state.topic)),
            other => panic!("{other:?}"),
        },
        other => {
            assert!(matches!(other, Ok(Lookup::Incomplete)), "{other:?}");
            None
        }
    }
}

fn physics() -> (Option<String>, Option<String>) {
    (Some("Physics".to_owned()), Some("Optics".to_owned()))
}

#[tokio::test]
async fn rows_and_cache_get_their_names_and_nothing_else_changes() {
    let test = site_with(3, 3).await;
    let site = site_with_new(&test, &["NEW:1", "NEW:2"]).await;
    warm_with(&site, &["Physics"]).await;
    let version = row(&test, "NEW:1").await;

    let asked = ["new:1", "NEW:2", "NEW:3", &question_id(0)].map(str::to_owned);
    let without = questions_without_info(&site, ANN, SEASON, &asked).await;
    assert_eq!(without.unwrap(), ["NEW:1", "NEW:2"]);

    let known = info(&[
        ("new:1", Some("physics"), Some("OPTICS")),
        (&question_id(0), Some("Physics"), None),
        ("NEW:2", None, Some("")),
        ("NEW:3", Some("Physics"), None),
    ]);
    let changed = fill_question_info(&site, ANN, SEASON, &known).await;
    assert_eq!(changed.unwrap(), 1);

    assert_eq!(names(&test, "NEW:1").await, physics());
    assert_eq!(
        names(&test, "NEW:2").await,
        (None, None),
        "nothing is known of it"
    );
    let (subject, _) = names(&test, &question_id(0)).await;
    assert_eq!(subject.as_deref(), Some("Mathematics"), "it has one");
    assert_eq!(row(&test, "NEW:1").await, version);
    assert_eq!(cached_names(&site, "NEW:1").await, Some(physics()));
    let again = fill_question_info(&site, ANN, SEASON, &known).await;
    assert_eq!(again.unwrap(), 0);

    // And among the questions of the subject, once it is due.
    let due = memora_core::types::UtcMicros::now().plus_seconds(3600 * 24 * 400);
    let of_subject = site
        .cache
        .due(&ann(), &season(), Some("Physics"), due, 50)
        .await;
    let Ok(Lookup::Complete(page)) = of_subject else {
        panic!("{of_subject:?}")
    };
    assert!(
        page.questions
            .iter()
            .any(|q| q.question.as_str() == "NEW:1")
    );
    // A review that was computed without them keeps them.
    submit(&site, "s-2", &["NEW:1"]).await;
    apply_all(&test, &site).await;
    assert_eq!(names(&test, "NEW:1").await, physics());
    assert_eq!(cached_names(&site, "NEW:1").await, Some(physics()));
    forget(&test).await;
    warm(&site).await;
    assert_eq!(cached_names(&site, "NEW:1").await, Some(physics()));
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_refused_and_nothing_changes() {
    let test = site_with(3, 3).await;
    let site = site_with_new(&test, &["NEW:1", "NEW:2"]).await;
    for (subject, topic, message) in [
        (
            "Alchemy",
            "Optics",
            "subject Alchemy of NEW:2 does not exist",
        ),
        ("Physics", "Ether", "topic Ether of NEW:2 does not exist"),
    ] {
        let known = info(&[
            ("NEW:1", Some("Physics"), None),
            ("NEW:2", Some(subject), Some(topic)),
        ]);
        let refused = fill_question_info(&site, ANN, SEASON, &known)
            .await
            .unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput);
        assert_eq!(refused.message(), message);
    }
    assert_eq!(names(&test, "NEW:1").await, (None, None));
    let known = info(&[("Q", Some("Physics"), None)]);
    let unknown = fill_question_info(&site, "nobody@example.com", SEASON, &known);
    assert_eq!(unknown.await.unwrap_err().kind(), ErrorKind::NotFound);
    let many: Vec<String> = (0..1001).map(question_id).collect();
    let refused = questions_without_info(&site, ANN, SEASON, &many)
        .await
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn a_fill_under_way_publishes_the_names() {
    let test = site_with(3, 3).await;
    let site = site_with_new(&test, &["NEW:1"]).await;
    wait::until("fills are over", || async {
        crate::story::is_complete(&site, None).await.then_some(())
    })
    .await;
    forget(&test).await;
    let paused = failpoint::pause(&test.name, "before_publish");
    let filling = {
        let site = site.clone();
        tokio::spawn(async move { fill::run(&site, &ann(), &season(), &[]).await })
    };
    paused.reached().await;
    let known = info(&[("NEW:1", Some("Physics"), Some("Optics"))]);
    fill_question_info(&site, ANN, SEASON, &known)
        .await
        .unwrap();
    paused.release();
    drop(paused);
    assert_eq!(filling.await.unwrap().unwrap(), fill::Filled::Yes);
    assert_eq!(cached_names(&site, "NEW:1").await, Some(physics()));
}

#[tokio::test]
async fn without_the_cache_it_is_as_if_nobody_had_asked() {
    let test = TestSite::builder().own_cache().build().await;
    furnish(&test, 3, 3).await;
    let site = site_with_new(&test, &["NEW:1"]).await;
    let known = info(&[("NEW:1", Some("Physics"), Some("Optics"))]);
    test.cache.server.kill();
    let refused = fill_question_info(&site, ANN, SEASON, &known)
        .await
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    assert_eq!(
        names(&test, "NEW:1").await,
        (None, None),
        "so that it is tried again"
    );
}

/// The calls of the hook's job that wait on `default`, with their job ids.
async fn asked(test: &TestSite) -> Vec<(String, Value)> {
    let mut redis = test.queue.connection().await;
    let ids: Vec<String> = redis::cmd("LRANGE")
        .arg(format!("rq:queue:{}:default", test.bench_id))
        .arg(0)
        .arg(-1)
        .query_async(&mut redis)
        .await
        .unwrap();
    let mut calls = Vec::new();
    for id in ids {
        let data: Vec<u8> = redis::cmd("HGET")
            .arg(format!("rq:job:{id}"))
            .arg("data")
            .query_async(&mut redis)
            .await
            .unwrap();
        let mut unpacked = Vec::new();
        std::io::Read::read_to_end(
            &mut flate2::read::ZlibDecoder::new(&data[..]),
            &mut unpacked,
        )
        .unwrap();
        let limits = pickle::Limits {
            input: 1 << 20,
            values: 1000,
            text: 1 << 20,
            depth: 10,
        };
        let call = Value::try_from(pickle::read(&unpacked, limits).unwrap()).unwrap();
        assert_eq!(call[3]["method"], FILL_INFO_METHOD);
        assert_eq!(call[3]["site"], test.name.as_str());
        calls.push((id, call[3]["kwargs"].clone()));
    }
    calls
}

#[tokio::test]
async fn apps_are_asked_about_new_questions_where_the_site_says_so() {
    for says_so in [false, true] {
        let test = TestSite::builder()
            .config("srs_question_info", json!(says_so))
            .build()
            .await;
        furnish(&test, 3, 3).await;
        let site = test.site().await;
        submit(&site, "s-1", &["NEW:2", &question_id(0), "NEW:1"]).await;
        crate::story::waiting(&test).await;
        assert_eq!(sweep(&site, "test", 10).await.unwrap(), 1);
        let asked = asked(&test).await;
        if !says_so {
            assert_eq!(asked, []);
            continue;
        }
        assert_eq!(asked.len(), 1);
        assert_eq!(
            asked[0].1,
            json!({"user": ANN, "season": SEASON, "question_ids": ["NEW:1", "NEW:2"]})
        );
        assert!(asked[0].0.contains("||srs_info_"), "{}", asked[0].0);
        // Questions on record are nothing to ask about.
        submit(&site, "s-2", &["NEW:1", &question_id(1)]).await;
        apply_all(&test, &site).await;
        assert_eq!(self::asked(&test).await.len(), 1);
    }
}

#[tokio::test]
async fn on_a_full_queue_the_question_waits_its_turn() {
    let test = TestSite::builder()
        .config("srs_question_info", json!(1))
        .config("srs_default_queue_max", json!(1))
        .build()
        .await;
    furnish(&test, 3, 3).await;
    let site = test.site().await;
    for n in 0..2 {
        submit(&site, &format!("s-{n}"), &[&format!("NEW:{n}")]).await;
        crate::story::waiting(&test).await;
        sweep(&site, "test", 10).await.unwrap();
    }
    let first = asked(&test).await;
    assert_eq!(first.len(), 1);
    // A worker in Python takes it.
    let mut redis = test.queue.connection().await;
    let queue = format!("rq:queue:{}:default", test.bench_id);
    let () = redis::pipe()
        .del(&queue)
        .ignore()
        .del(format!("rq:job:{}", first[0].0))
        .ignore()
        .query_async(&mut redis)
        .await
        .unwrap();
    sweep(&site, "test", 10).await.unwrap();
    let second = asked(&test).await;
    assert_eq!(second.len(), 1);
    assert_eq!(second[0].1["question_ids"], json!(["NEW:1"]));
}
