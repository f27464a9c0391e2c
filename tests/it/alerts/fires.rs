//! Every alert fires on what a real sidecar says once its condition is true.

use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use futures_util::future::join_all;
use memora_core::types::Player;
use memora_tests::process::Process;
use memora_tests::programs::Start;
use memora_tests::questions::question_id;
use memora_tests::{Http, Student, TestSite, process, scratch, servers, wait};
use mysql_async::prelude::Queryable;
use redis::AsyncCommands;
use serde_json::json;

use super::{READ, RULES, furnished, promtool, reconcile_and_rebuild, root, run};
use crate::metrics::{scrape, start_with, value};
use crate::story::{ANN, answers, season, warm};

const SUBMIT: &str = "/api/method/memora.api.reviews.submit_review_session";

/// What was scraped before and after, as promtool's series: counters go on as they went, and
/// the rest stays as it is.
fn series(before: &str, after: &str) -> String {
    let mut all = String::new();
    for line in after.lines().filter(|line| !line.starts_with('#')) {
        let (series, now) = line.rsplit_once(' ').unwrap();
        let now: f64 = now.parse().unwrap();
        let name = series.split('{').next().unwrap();
        let counts = ["_total", "_bucket", "_count", "_sum"];
        let values = if counts.iter().any(|end| name.ends_with(end)) {
            let then = value(before, series.strip_prefix("memora_srs_").unwrap());
            let then = then.unwrap_or(0.0);
            format!("{then}+{}x30", (now - then).max(0.0))
        } else {
            format!("{now}x30")
        };
        writeln!(all, "      - {{series: '{series}', values: '{values}'}}").unwrap();
    }
    all
}

/// The alerts that the rules raise on this, one promtool run for each.
fn firing(promtool: &Path, before: &str, after: &str, expected: &[&str]) {
    let folder = scratch::new_dir("alerts").unwrap();
    let rules = root().join(RULES).canonicalize().unwrap();
    let samples: String = expected
        .iter()
        .map(|alert| format!("          - {{labels: '{{alertname=\"{alert}\"}}', value: 1}}\n"))
        .collect();
    let test = format!(
        "rule_files: ['{}']\nevaluation_interval: 1m\ntests:\n  - interval: 1m\n    \
         input_series:\n{}    promql_expr_test:\n      - expr: group by (alertname) \
         (ALERTS{{alertstate=\"firing\"}})\n        eval_time: 25m\n        exp_samples:\n{samples}",
        rules.display(),
        series(before, after),
    );
    std::fs::write(folder.join("test.yml"), test).unwrap();
    let said = run(promtool, &["test", "rules", "test.yml"], &folder);
    assert!(said.is_ok(), "{}\n{after}", said.unwrap_err());
}

#[tokio::test]
async fn what_befalls_servers_and_data_fires() {
    let promtool = promtool();
    let test = TestSite::builder().own_cache().own_queue().build().await;
    let ann = furnished(&test, 1000).await;
    let mut slow = Start::default();
    let points = "before_service=sleep300,after_state=sleep1000";
    slow.env
        .push(("MEMORA_FAILPOINTS".to_owned(), points.to_owned()));
    let (sidecar, metrics) = start_with(&test, slow).await;
    let http = sidecar.http(&test);
    let quiet = scrape(&metrics).await;
    firing(&promtool, &quiet, &quiet, &[]);

    // Reads and submits are slow, and the queue is long.
    assert_eq!(http.get(READ).cookie(&ann).send().await.status, 200);
    submit(&http, &ann, "q1").await;
    submit(&http, &ann, "q2").await;
    let mut queue = test.queue.connection().await;
    let lists: Vec<String> = queue.keys("rq:queue:*").await.unwrap();
    assert_eq!(lists.len(), 1, "{lists:?}");
    let jobs: Vec<u32> = (0..5000).collect();
    let _: u64 = queue.rpush(&lists[0], jobs).await.unwrap();
    // One row was given up, the other is on its way for long.
    let rows = "UPDATE memora_srs_journal SET state = 'failed', next_try_at = '9999-12-31' LIMIT 1";
    test.exec(rows, ()).await;
    let rows = "UPDATE memora_srs_journal SET created_at = created_at - INTERVAL 301 SECOND, \
                next_try_at = '2100-01-01' WHERE state <> 'failed'";
    test.exec(rows, ()).await;
    // Two of a thousand questions are missing in the cache; a rebuild of it failed.
    let site = test.site().await;
    warm(&site).await;
    reconcile_and_rebuild(&test).await;
    for n in [700, 800] {
        let player = Player::stored(ANN);
        let removed = site.cache.remove(&player, &season(), &question_id(n)).await;
        removed.unwrap();
    }
    let report = crate::reconcile::run(&site, &crate::reconcile::full()).await;
    assert!(
        report.compared >= 1000 && report.discrepancies_found == 2,
        "{report:?}"
    );
    let note = "UPDATE memora_srs_state SET value = JSON_SET(value, '$.state', 'failed') \
                WHERE name LIKE 'rebuild:%'";
    test.exec(note, ()).await;
    // The cache is full.
    let mut cache = test.cache.connection().await;
    let info: redis::InfoDict = redis::cmd("INFO")
        .arg("memory")
        .query_async(&mut cache)
        .await
        .unwrap();
    let used: u64 = info.get("used_memory").unwrap();
    let limit: () = redis::cmd("CONFIG")
        .arg(&["SET", "maxmemory", &(used * 11 / 10).to_string()])
        .query_async(&mut cache)
        .await
        .unwrap();
    let () = limit;
    let loud = scrape(&metrics).await;
    let expected = [
        "MemoraReadsSlow",
        "MemoraSubmitsSlow",
        "MemoraQueueLong",
        "MemoraJournalLate",
        "MemoraJournalFailed",
        "MemoraRedisMemory",
        "MemoraDiscrepancies",
        "MemoraWorkStopped",
    ];
    firing(&promtool, &quiet, &loud, &expected);

    // The cache goes away, and what it would have told of its memory.
    test.cache.server.kill();
    let active = format!("safe_mode_active{{site=\"{}\"}}", test.name);
    let unreachable = format!("unreachable{{site=\"{}\",server=\"cache\"}}", test.name);
    let away = wait::until("Safe Mode shows", async || {
        let text = scrape(&metrics).await;
        let shows = [&active, &unreachable].map(|series| value(&text, series));
        (shows == [Some(1.0); 2]).then_some(text)
    })
    .await;
    let still = ["MemoraReadsSlow", "MemoraSubmitsSlow", "MemoraRedisMemory"];
    let mut expected: Vec<_> = expected
        .into_iter()
        .filter(|alert| !still.contains(alert))
        .collect();
    expected.extend(["MemoraSafeMode", "MemoraServerUnreachable"]);
    firing(&promtool, &away, &away, &expected);
}

/// What goes wrong in the sidecar itself, each time in one of its own.
#[tokio::test]
async fn errors_and_panics_fire() {
    let promtool = promtool();
    let test = TestSite::new().await;
    let ann = furnished(&test, 3).await;
    for (action, expected) in [
        ("fail", &["MemoraErrors"][..]),
        ("panic", &["MemoraErrors", "MemoraPanics"]),
    ] {
        let start = Start::default().failpoint("before_service", action);
        let (sidecar, metrics) = start_with(&test, start).await;
        let quiet = scrape(&metrics).await;
        let answer = sidecar.http(&test).get(READ).cookie(&ann).send().await;
        assert_eq!(answer.status, 500, "{}", answer.text());
        firing(&promtool, &quiet, &scrape(&metrics).await, expected);
    }
}

/// The one connection is held by who waits for a locked table, and others wait for it: who
/// scrapes, too, which is why MariaDB counts as one that does not answer.
#[tokio::test]
async fn an_exhausted_pool_fires() {
    let promtool = promtool();
    let test = TestSite::builder()
        .own_cache()
        .config("srs_mariadb_connections", json!(1))
        .build()
        .await;
    let ann = furnished(&test, 3).await;
    let (sidecar, metrics) = start_with(&test, Start::default()).await;
    let http = sidecar.http(&test);
    assert_eq!(http.get(READ).cookie(&ann).send().await.status, 200);
    let quiet = scrape(&metrics).await;
    firing(&promtool, &quiet, &quiet, &[]);

    let mut root = test.mariadb.root().await.unwrap();
    let lock = format!("LOCK TABLES `{}`.memora_srs_journal WRITE", test.db_name);
    root.query_drop(lock).await.unwrap();
    let body = json!({"responses": answers(&["q1"])});
    let asking = join_all((0..4).map(async |_| {
        loop {
            // What becomes of it is for others to test.
            let _ = http.post(SUBMIT).cookie(&ann).json(&body).try_send().await;
        }
    }));
    let of_site = |name: &str| format!("{name}{{site=\"{}\"", test.name);
    let waited_for = of_site("mariadb_connections_waited_for") + "}";
    let used = of_site("mariadb_connections") + ",state=\"used\"}";
    let unreachable = of_site("unreachable") + ",server=\"mariadb\"}";
    let scraping = wait::until("somebody waits for the connection", async || {
        let text = scrape(&metrics).await;
        let is = |series: &String| value(&text, series) >= Some(1.0);
        [&waited_for, &used, &unreachable]
            .map(is)
            .iter()
            .all(|is| *is)
            .then_some(text)
    });
    let loud = tokio::select! {
        text = scraping => text,
        _ = asking => unreachable!("they ask without end"),
    };
    let expected = ["MemoraPoolExhausted", "MemoraServerUnreachable"];
    firing(&promtool, &loud, &loud, &expected);
}

/// The parser that counts is Prometheus' own, which takes no text that is not `OpenMetrics`.
#[tokio::test]
async fn a_real_prometheus_reads_it_and_raises_alerts() {
    let Ok(program) = process::find_program(&["prometheus"], "prometheus") else {
        eprintln!("SKIPPED: no prometheus; Debian's package prometheus has it");
        return;
    };
    let test = TestSite::builder().own_cache().build().await;
    let (sidecar, metrics) = start_with(&test, Start::default()).await;
    let folder = scratch::new_dir("prometheus").unwrap();
    // Nobody waits here for a minute to be over; the rules' own test does.
    let rules = std::fs::read_to_string(root().join(RULES)).unwrap();
    let at_once = rules.replace(" for: 1m\n", " for: 0s\n");
    assert_ne!(at_once, rules);
    std::fs::write(folder.join("rules.yml"), at_once).unwrap();
    let config = format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}\n\
         rule_files: [rules.yml]\nscrape_configs:\n- job_name: memora-srs\n  static_configs:\n  \
         - targets: ['{}']\n",
        metrics.address(),
    );
    std::fs::write(folder.join("prometheus.yml"), config).unwrap();
    let port = servers::free_port().unwrap();
    let mut command = Command::new(program);
    command
        .current_dir(&folder)
        .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"])
        .arg(format!("--web.listen-address=127.0.0.1:{port}"));
    let process = Process::start("prometheus", command, &folder.join("log")).unwrap();
    let prometheus = Http::new(([127, 0, 0, 1], port).into(), "prometheus");
    let ask = async |path: &str| {
        let answer = prometheus.get(path).try_send().await.ok()?;
        (answer.status == 200).then(|| answer.json())
    };
    let active = "/api/v1/query?query=memora_srs_safe_mode_active";
    let target = wait::until("Prometheus has read it", async || {
        let targets = ask("/api/v1/targets").await?;
        let target = targets["data"]["activeTargets"][0].clone();
        let seen = ask(active).await?["data"]["result"][0]["value"][1] == "0";
        // What it says of the target may be from before it read it.
        let is = |health: &str| target["health"] == health;
        (is("up") && seen || is("down")).then_some(target)
    })
    .await;
    assert_eq!(target["health"], "up", "{target} {}", process.log());
    let fires = async |name: &str, label: &str, value: &str| {
        wait::until(name, async || {
            let alerts = ask("/api/v1/alerts").await?;
            let alerts = alerts["data"]["alerts"].as_array()?.clone();
            let fires = alerts.iter().any(|alert| {
                alert["labels"]["alertname"] == name
                    && alert["labels"][label] == value
                    && alert["state"] == "firing"
            });
            fires.then_some(())
        })
        .await;
    };
    test.cache.server.kill();
    fires("MemoraSafeMode", "site", &test.name).await;
    sidecar.process.kill();
    fires("MemoraDown", "instance", &metrics.address().to_string()).await;
}

async fn submit(http: &Http, student: &Student, question: &str) {
    let body = json!({"responses": answers(&[question])});
    let submit = http.post(SUBMIT).cookie(student).json(&body).send().await;
    assert_eq!(submit.status, 200, "{}", submit.text());
}
