//! `memora-srs status`: what is said of a bench, and of several sites on it.

use std::collections::HashMap;

use memora_tests::programs::{Start, Worker};
use memora_tests::{Sidecar, TestSite, wait};
use redis::AsyncCommands;
use serde_json::{Value, json};

use crate::story::furnish;

/// What the command prints with these arguments, and its exit code.
fn status(test: &TestSite, args: &[&str]) -> (Option<i32>, Value) {
    let start = Start::default().args(&["--json"]).args(args);
    let output = start.command("status", test).unwrap().output().unwrap();
    let printed = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output.status.code(), printed)
}

/// What is said of one site about this.
fn finding<'a>(sites: &'a Value, site: &str, about: &str) -> Option<&'a Value> {
    let site = sites.as_array()?.iter().find(|s| s["site"] == site)?;
    let findings = site["findings"].as_array()?;
    findings.iter().find(|finding| finding["about"] == about)
}

/// Another site of the bench, whose database and Redis are those of the first.
fn add_site(test: &TestSite, name: &str, changes: &Value) {
    let folder = test.sites_path.join(name);
    std::fs::create_dir(&folder).unwrap();
    let file = test.sites_path.join(&test.name).join("site_config.json");
    let mut config: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    for (key, value) in changes.as_object().unwrap() {
        config[key] = value.clone();
    }
    std::fs::write(folder.join("site_config.json"), config.to_string()).unwrap();
}

#[tokio::test]
async fn sites_that_share_their_schedules_are_named() {
    let test = TestSite::new().await;
    furnish(&test, 5, 5).await;
    let (_, alone) = status(&test, &[]);
    assert_eq!(finding(&alone, &test.name, "schedules' keys"), None);
    add_site(&test, "other.test", &json!({}));
    for args in [&[][..], &["--site", &test.name]] {
        let (code, found) = status(&test, args);
        assert_eq!(code, Some(1));
        let shared = finding(&found, &test.name, "schedules' keys").unwrap();
        assert_eq!(shared["level"], "wrong");
        assert!(
            shared["says"].as_str().unwrap().contains("other.test"),
            "{shared}"
        );
        assert!(
            shared["remedy"]
                .as_str()
                .unwrap()
                .contains("srs_key_prefix"),
            "{shared}"
        );
    }
}

#[tokio::test]
async fn a_site_without_the_app_is_no_fault_of_the_bench() {
    let test = TestSite::new().await;
    furnish(&test, 5, 5).await;
    let _worker = Worker::start(&test);
    let bare = TestSite::builder().unmigrated().build().await;
    bare.exec("DROP TABLE `tabPlayer Memory Tracker`", ()).await;
    let config = json!({
        "db_name": bare.db_name, "db_password": bare.db_password, "srs_key_prefix": "bare",
    });
    add_site(&test, "bare.test", &config);
    let found = wait::until("the worker is there", async || {
        let (code, found) = status(&test, &[]);
        (code == Some(0)).then_some(found)
    })
    .await;
    let app = finding(&found, "bare.test", "app").unwrap();
    assert_eq!(app["level"], "well");
    assert!(
        app["says"].as_str().unwrap().contains("not installed"),
        "{app}"
    );
    // Whoever asks for this very site means it to have the app.
    let (code, found) = status(&test, &["--site", "bare.test"]);
    assert_eq!(code, Some(1));
    assert_eq!(
        finding(&found, "bare.test", "schema").unwrap()["level"],
        "wrong"
    );
}

#[tokio::test]
async fn a_sidecar_that_died_is_named_and_one_that_was_stopped_is_not() {
    let test = TestSite::builder().own_queue().build().await;
    furnish(&test, 5, 5).await;
    let seen = || {
        let (_, found) = status(&test, &[]);
        let seen = finding(&found, &test.name, "sidecar").unwrap();
        (
            seen["level"].clone(),
            seen["says"].as_str().unwrap().to_owned(),
        )
    };
    assert_eq!(
        seen(),
        (json!("well"), "none was ever seen here".to_owned())
    );
    let is = async |level: &str, what: &str| {
        wait::until(&format!("{level}: {what}"), async || {
            let (now, says) = seen();
            (now == level && says.contains(what)).then_some(())
        })
        .await;
    };
    let sidecar = Sidecar::start(&test).await;
    is("well", "1 serves").await;
    sidecar
        .process
        .stop(std::time::Duration::from_secs(20))
        .unwrap();
    is("well", "was stopped").await;

    let sidecar = Sidecar::start(&test).await;
    is("well", "1 serves").await;
    sidecar.process.kill();
    // A minute passes.
    let key = format!("rq:memora:sidecars:{}", test.bench_id);
    let mut redis = test.queue.connection().await;
    let seen_at: HashMap<String, String> = redis.hgetall(&key).await.unwrap();
    for (who, at) in seen_at {
        let at: i64 = at.trim_start_matches('-').parse().unwrap();
        if who.ends_with(&format!(":{}", sidecar.process.id())) {
            let () = redis.hset(&key, who, at - 60).await.unwrap();
        }
    }
    is("wrong", "not been heard of").await;
    // The next one takes the place of what died on its host.
    let _sidecar = Sidecar::start(&test).await;
    is("well", "1 serves").await;
}
