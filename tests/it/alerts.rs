//! `deploy/prometheus` and `deploy/grafana`: every name in them is one that is exposed, and
//! every alert fires on what a real sidecar says (`fires`).
//!
//! `promtool` (Debian's package `prometheus`) judges; `make test` installs it.

mod fires;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use memora_core::services::{backlog, rebuild, reconcile};
use memora_tests::programs::Start;
use memora_tests::{Due, Student, TestSite, process, scratch};
use serde_json::Value;

use crate::metrics::{scrape, start_with, start_worker};
use crate::story::{ANN, SEASON};

const READ: &str = "/api/method/memora.api.reviews.get_review_session";
const RULES: &str = "deploy/prometheus/memora-srs.rules.yml";
const RULES_TEST: &str = "deploy/prometheus/memora-srs.rules.test.yml";
const DASHBOARD: &str = "deploy/grafana/memora-srs.json";
const DOCS: &str = "docs/MONITORING.md";

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn promtool() -> PathBuf {
    process::find_program(&["promtool"], "prometheus").unwrap()
}

fn run(promtool: &Path, arguments: &[&str], folder: &Path) -> Result<String, String> {
    let mut command = Command::new(promtool);
    command.args(arguments).current_dir(folder);
    let done = command.output().unwrap();
    let said = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
    if done.status.success() {
        Ok(said)
    } else {
        Err(said)
    }
}

/// Names of ours in a text. `{a,b}` behind a name are its labels, or several names in docs.
fn names(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let starts = text.match_indices("memora_srs_").map(|(at, _)| at);
    let begins = starts.filter(|at| !text[..*at].ends_with(|c| is_part(c) || c == '/'));
    begins
        .map(|at| text[at..].split(|c| !is_part(c)).next().unwrap_or_default())
        .map(str::to_owned)
        .collect()
}

/// Names of the samples of an exposition, and of histograms as a whole.
fn exposed(text: &str) -> BTreeSet<String> {
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let mut all: BTreeSet<String> = samples
        .filter_map(|line| line.split(['{', ' ']).next())
        .map(str::to_owned)
        .collect();
    let whole: Vec<_> = all
        .iter()
        .filter_map(|name| name.strip_suffix("_bucket"))
        .map(str::to_owned)
        .collect();
    all.extend(whole);
    all
}

async fn furnished(test: &TestSite, questions: usize) -> Student {
    test.add_season(SEASON).await;
    let ann = test.add_student(ANN).await;
    test.add_questions(ANN, SEASON, questions, Due::First(10))
        .await;
    ann
}

/// Everything that is only shown once it was there.
async fn reconcile_and_rebuild(test: &TestSite) -> reconcile::Report {
    let site = test.site().await;
    let options = rebuild::Options {
        load: 100,
        ..rebuild::Options::default()
    };
    rebuild::run(&site, SEASON, &options, &|_| {})
        .await
        .unwrap();
    crate::reconcile::run(&site, &crate::reconcile::full()).await
}

#[tokio::test]
async fn every_name_is_one_that_is_exposed() {
    let test = TestSite::new().await;
    let ann = furnished(&test, 3).await;
    let (sidecar, metrics) = start_with(&test, Start::default()).await;
    let http = sidecar.http(&test);
    assert_eq!(http.get(READ).cookie(&ann).send().await.status, 200);
    assert_eq!(http.get("/elsewhere").send().await.status, 421);
    reconcile_and_rebuild(&test).await;
    let (_worker, of_worker) = start_worker(&test, Start::default()).await;
    let there = exposed(&(scrape(&metrics).await + &scrape(&of_worker).await));
    for file in [RULES, RULES_TEST, DASHBOARD, DOCS] {
        let text = std::fs::read_to_string(root().join(file)).unwrap();
        let named = names(&text);
        assert!(named.len() > 10, "{file}: {named:?}");
        let unknown: Vec<_> = named.difference(&there).collect();
        assert!(unknown.is_empty(), "{file} names {unknown:?}: {there:?}");
    }
    // And an operator finds each in the docs.
    let docs = names(&std::fs::read_to_string(root().join(DOCS)).unwrap());
    let parts = ["_bucket", "_sum", "_count"];
    let whole = there.iter().filter(|name| {
        let of = parts.iter().find_map(|part| name.strip_suffix(part));
        !of.is_some_and(|of| there.contains(of))
    });
    let untold: Vec<_> = whole.filter(|name| !docs.contains(*name)).collect();
    assert!(untold.is_empty(), "{DOCS} lacks {untold:?}");
}

#[test]
fn the_rules_are_sound_and_their_thresholds_exact() {
    let promtool = promtool();
    let said = run(&promtool, &["check", "rules", RULES], root());
    assert!(
        said.as_ref().is_ok_and(|said| said.contains("SUCCESS")),
        "{said:?}"
    );
    let said = run(&promtool, &["test", "rules", RULES_TEST], root());
    assert!(said.is_ok(), "{}", said.unwrap_err());
    // Every alert is one that the test makes fire.
    let rules = std::fs::read_to_string(root().join(RULES)).unwrap();
    let tests = std::fs::read_to_string(root().join(RULES_TEST)).unwrap();
    let alerts: Vec<_> = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .collect();
    assert!(alerts.len() > 10, "{alerts:?}");
    for alert in alerts {
        let fires = tests.split(&format!("alertname: {alert}\n")).nth(1);
        let fires = fires.is_some_and(|after| after.trim_start().starts_with("exp_alerts"));
        assert!(fires, "{alert} is never made to fire");
    }
}

/// What is too much on its way is said by the engine once; whoever cannot ask it names the
/// same.
#[test]
fn page_alerts_and_documents_name_the_engines_bounds() {
    let (jobs, oldest) = (backlog::JOBS, backlog::OLDEST_S);
    let thousands = format!("{},{:03}", jobs / 1000, jobs % 1000);
    for (file, sayings) in [
        (
            RULES,
            vec![
                format!("memora_srs_queue_jobs) > {jobs}\n"),
                format!("memora_srs_journal_oldest_pending_seconds) > {oldest}\n"),
                format!("over {thousands} jobs wait"),
            ],
        ),
        (
            "sidecar/src/page/page.js",
            vec![
                format!("status.queue_jobs > {jobs})"),
                format!("jobs > {jobs} ?"),
                format!("limit: {{ at: {jobs}, label: \"alert: over {jobs} jobs\" }}"),
                format!("journal.oldest_s > {oldest})"),
                format!("journal.oldest_s > {oldest} ?"),
            ],
        ),
        (
            DOCS,
            vec![
                format!(
                    "more than {thousands} jobs wait; a row has been on its way for {oldest} s"
                ),
                format!("over {thousands} jobs wait for"),
                format!("has been on its way for over {oldest} s"),
            ],
        ),
    ] {
        let text = std::fs::read_to_string(root().join(file)).unwrap();
        for says in sayings {
            assert!(text.contains(&says), "{file}: {says}");
        }
    }
}

#[test]
fn every_panel_has_units_and_legends_and_every_query_is_one() {
    let text = std::fs::read_to_string(root().join(DASHBOARD)).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let mut rules = "groups:\n- name: dashboard\n  rules:\n".to_owned();
    let panels = dashboard["panels"].as_array().unwrap();
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        let title = panel["title"].as_str().unwrap();
        assert!(panel["description"].is_string(), "{title}");
        let unit = &panel["fieldConfig"]["defaults"]["unit"];
        assert!(
            unit.as_str().is_some_and(|unit| !unit.is_empty()),
            "{title}"
        );
        for (at, query) in panel["targets"].as_array().unwrap().iter().enumerate() {
            let text = |name: &str| query[name].as_str().unwrap();
            assert!(!text("legendFormat").is_empty(), "{title}");
            let expr = text("expr")
                .replace("$__rate_interval", "5m")
                .replace("$job", ".*")
                .replace("$site", ".*");
            let id = &panel["id"];
            let expr = Value::from(expr);
            let rule = format!("  - {{record: 'a:b', expr: {expr}, labels: {{p: '{id}-{at}'}}}}\n");
            rules += &rule;
        }
    }
    let promtool = promtool();
    let folder = scratch::new_dir("dashboard").unwrap();
    std::fs::write(folder.join("queries.yml"), rules).unwrap();
    let said = run(&promtool, &["check", "rules", "queries.yml"], &folder);
    assert!(said.is_ok(), "{}", said.unwrap_err());
}
