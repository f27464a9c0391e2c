//! Sites on private servers for tests in other languages.
//!
//! Each line on standard input asks for a site and is answered by a line on standard
//! output that says where it is; both are JSON. Everything lives until the input ends.
//!
//! ```text
//! {"season": "SEASON-2026", "students": [{"name": "ann@example.com", "questions": 20, "due": 5}]}
//! ```

use std::io::Write;

use anyhow::{Context, Result};
use memora_tests::servers::{MariaDbOptions, RedisOptions};
use memora_tests::{Due, TestSite};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};

/// What a site is to be like.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Wanted {
    /// Leave the tables as Frappe made them.
    unmigrated: bool,
    /// Servers of its own, to be stopped or frozen, instead of those that all share.
    own_servers: bool,
    /// Keys of `site_config.json`.
    config: Map<String, Value>,
    /// An active season; none if empty.
    season: String,
    students: Vec<StudentWanted>,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            unmigrated: false,
            own_servers: false,
            config: Map::new(),
            season: "SEASON-2026".to_owned(),
            students: Vec::new(),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct StudentWanted {
    name: String,
    /// Tracked questions.
    questions: usize,
    /// How many of them are due.
    due: usize,
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let mut sites = Vec::new();
    while let Some(line) = lines.next_line().await? {
        let wanted: Wanted = serde_json::from_str(&line).context("a line of standard input")?;
        let (site, tokens) = build(wanted).await?;
        writeln!(std::io::stdout(), "{}", describe(&site, tokens))?;
        sites.push(site);
    }
    Ok(())
}

/// The site, and the `Authorization` header of each student.
async fn build(wanted: Wanted) -> Result<(TestSite, Map<String, Value>)> {
    let mut builder = TestSite::builder();
    if wanted.unmigrated {
        builder = builder.unmigrated();
    }
    if wanted.own_servers {
        builder = builder
            .own_mariadb_with(MariaDbOptions::default())
            .own_cache_with(RedisOptions::default())
            .own_queue_with(RedisOptions::default());
    }
    for (key, value) in wanted.config {
        builder = builder.config(&key, value);
    }
    let site = builder.try_build().await?;
    let season = &wanted.season;
    if !season.is_empty() {
        site.add_season(season).await;
    }
    let mut tokens = Map::new();
    for student in wanted.students {
        let token = site.add_student(&student.name).await.token();
        tokens.insert(student.name.clone(), token.into());
        let due = Due::First(student.due);
        site.add_questions(&student.name, season, student.questions, due)
            .await;
    }
    Ok((site, tokens))
}

fn describe(site: &TestSite, tokens: Map<String, Value>) -> Value {
    json!({
        "site": site.name,
        "sites_path": site.sites_path,
        "zone": site.zone.name(),
        "db": {"port": site.mariadb.port(), "name": site.db_name, "pid": site.mariadb.pid()},
        "cache": {"url": site.cache.url(), "pid": site.cache.server.pid()},
        "queue": {"url": site.queue.url(), "pid": site.queue.server.pid()},
        "bench_id": site.bench_id,
        "tokens": tokens,
    })
}
