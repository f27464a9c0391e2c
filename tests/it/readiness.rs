//! `/readyz`: what is wrong, and what to do about it.

use memora_core::services::backlog;
use memora_core::services::status::{self, Level};
use memora_tests::servers::MariaDbOptions;
use memora_tests::{Http, TestSite, wait};
use serde_json::{Value, json};

use crate::metrics::start;
use crate::story::{furnish, submit};

/// The status, and what is wrong as (site, problem, blocking).
async fn look(metrics: &Http, path: &str) -> (u16, Vec<(String, String, bool)>) {
    let answer = metrics.get(path).send().await;
    let body = answer.json();
    let problems = body["problems"].as_array().unwrap().iter().map(|problem| {
        let text = |name: &str| problem[name].as_str().unwrap().to_owned();
        assert!(
            !text("message").is_empty() && !text("remedy").is_empty(),
            "{body}"
        );
        (text("site"), text("problem"), problem["blocking"] == true)
    });
    let problems: Vec<_> = problems.collect();
    let ready = !problems.iter().any(|(_, _, blocking)| *blocking);
    assert_eq!(body["ready"], ready, "{body}");
    (answer.status.as_u16(), problems)
}

/// Waits until exactly these are blocking, on the site itself.
async fn blocked_by(metrics: &Http, test: &TestSite, wanted: &[&str]) {
    let wanted: Vec<_> = wanted
        .iter()
        .map(|problem| (test.name.clone(), (*problem).to_owned(), true))
        .collect();
    let status = if wanted.is_empty() { 200 } else { 503 };
    wait::until(&format!("/readyz says {wanted:?}"), async || {
        let (found, problems) = look(metrics, "/readyz").await;
        let blocking: Vec<_> = problems.into_iter().filter(|(_, _, b)| *b).collect();
        (blocking == wanted && found == status).then_some(())
    })
    .await;
}

#[tokio::test]
async fn each_server_that_is_away_is_named() {
    let test = TestSite::builder()
        .own_cache()
        .own_queue()
        .own_mariadb_with(MariaDbOptions::default())
        .build()
        .await;
    let (sidecar, metrics) = start(&test).await;
    let answer = metrics.get("/readyz").send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json(), json!({"ready": true, "problems": []}));

    test.cache.server.kill();
    blocked_by(&metrics, &test, &["safe_mode"]).await;
    test.queue.server.kill();
    blocked_by(&metrics, &test, &["safe_mode", "queue_away"]).await;
    test.mariadb.kill();
    blocked_by(
        &metrics,
        &test,
        &["safe_mode", "queue_away", "mariadb_away"],
    )
    .await;
    // The process lives, and says so to whoever might end it.
    for http in [&metrics, &sidecar.http(&test)] {
        assert_eq!(http.get("/healthz").send().await.status, 200);
    }
    // What is wrong is nobody's business who may be a student.
    let outside = sidecar.http(&test).get("/readyz").send().await;
    assert_eq!(outside.status, 421, "{}", outside.text());

    let nobody = metrics.get("/readyz?site=nobody.test").send().await;
    assert_eq!(nobody.status, 404, "{}", nobody.text());
}

#[tokio::test]
async fn what_is_wrong_with_a_site_is_told_apart() {
    let test = TestSite::builder().unmigrated().build().await;
    let (_sidecar, metrics) = start(&test).await;
    blocked_by(&metrics, &test, &["not_migrated"]).await;
    test.migrate().await;
    blocked_by(&metrics, &test, &[]).await;

    // What waits for an operator is a warning.
    furnish(&test, 1, 1).await;
    submit(&test.site().await, "s-1", &["q1"]).await;
    test.exec(
        "UPDATE memora_srs_journal SET state = 'failed', next_try_at = '9999-12-31'",
        (),
    )
    .await;
    let (status, problems) = look(&metrics, "/readyz").await;
    let failed = (test.name.clone(), "journal_failed".to_owned(), false);
    assert_eq!((status, problems), (200, vec![failed]));
    test.exec("DELETE FROM memora_srs_journal", ()).await;

    // Another site under the same keys of the same Redis.
    let other = "other.test";
    let folder = test.sites_path.join(other);
    std::fs::create_dir(&folder).unwrap();
    let config = test.sites_path.join(&test.name).join("site_config.json");
    std::fs::copy(config, folder.join("site_config.json")).unwrap();
    let (status, problems) = look(&metrics, "/readyz").await;
    let mut names: Vec<_> = [other, &test.name]
        .map(|site| (site.to_owned(), "shared_schedules".to_owned(), true))
        .into();
    names.sort();
    assert_eq!((status, problems), (503, names));
    let (status, problems) = look(&metrics, &format!("/readyz?site={other}")).await;
    assert_eq!((status, problems.len()), (503, 1));
    std::fs::remove_dir_all(&folder).unwrap();

    test.set_config("srs_max_questions", json!("many"));
    blocked_by(&metrics, &test, &["config"]).await;
    test.set_config("srs_max_questions", Value::Null);
    blocked_by(&metrics, &test, &[]).await;

    // A site without the app, of which a bench may have many, is none of ours.
    test.exec("DROP TABLE `tabPlayer Memory Tracker`", ()).await;
    let (status, problems) = look(&metrics, "/readyz").await;
    assert_eq!((status, problems), (200, vec![]));
}

/// What is on its way is too much here and for `memora-srs status` from the same bound on.
#[tokio::test]
async fn too_much_on_its_way_is_a_warning_from_the_same_bound_on_as_in_status() {
    let test = TestSite::new().await;
    furnish(&test, 1, 1).await;
    let (_sidecar, metrics) = start(&test).await;
    let site = test.site().await;
    let both = async || {
        let (code, problems) = look(&metrics, "/readyz").await;
        assert_eq!(code, 200, "no reason to send students elsewhere");
        let problems: Vec<String> = problems.into_iter().map(|(_, name, _)| name).collect();
        let findings = status::look(&site).await.findings;
        let level = |about| findings.iter().find(|f| f.about == about).unwrap().level;
        (problems.join(" "), level("queue"), level("journal"))
    };
    let mut redis = test.queue.connection().await;
    let queue = format!("rq:queue:{}:srs_write", test.bench_id);
    for (jobs, warned, level) in [
        (1000, "", Level::Well),
        (1001, "", Level::Warning),
        (backlog::JOBS, "", Level::Warning),
        (backlog::JOBS + 1, "queue_long", Level::Wrong),
    ] {
        let ids: Vec<u64> = (0..jobs).collect();
        let () = redis::pipe()
            .del(&queue)
            .rpush(&queue, ids)
            .query_async(&mut redis)
            .await
            .unwrap();
        let (problems, of_queue, _) = both().await;
        assert_eq!((&*problems, of_queue), (warned, level), "{jobs}");
    }
    let () = redis::cmd("DEL")
        .arg(&queue)
        .query_async(&mut redis)
        .await
        .unwrap();

    submit(&site, "s-1", &["q1"]).await;
    // Nobody sweeps it meanwhile: its next turn is far off.
    let oldest = backlog::OLDEST_S as i64;
    for (age, warned, level) in [
        (oldest - 60, "", Level::Well),
        (oldest + 1, "journal_late", Level::Wrong),
    ] {
        let aged = "UPDATE memora_srs_journal SET state = 'pending', \
                    next_try_at = UTC_TIMESTAMP(6) + INTERVAL 1 HOUR, \
                    created_at = UTC_TIMESTAMP(6) - INTERVAL ? SECOND";
        test.exec(aged, (age,)).await;
        let (problems, _, of_journal) = both().await;
        assert_eq!((&*problems, of_journal), (warned, level), "{age} s");
    }
}

/// It may be about to get its first one; or the folder is not the one that was meant.
#[tokio::test]
async fn a_bench_without_a_site_is_ready_and_says_so() {
    let test = TestSite::new().await;
    let (_sidecar, metrics) = start(&test).await;
    std::fs::remove_dir_all(test.sites_path.join(&test.name)).unwrap();
    let (status, problems) = look(&metrics, "/readyz").await;
    let none = (String::new(), "no_site".to_owned(), false);
    assert_eq!((status, problems), (200, vec![none]));
}
