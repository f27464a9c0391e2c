//! `memora-srs partition list|create`.

use clap::{Args, Subcommand};
use memora_core::services::partitions::{self, Stats};
use serde_json::json;

use super::long::{self, Common, name};

pub(crate) const EXAMPLES: &str = "\
Examples:
  memora-srs partition list --site school.example.com
  memora-srs partition list --site school.example.com --season SEASON-2026 --json
  memora-srs partition create --site school.example.com --season SEASON-2027
  memora-srs partition create --site school.example.com --season SEASON-2027 --dry-run

A table that is not partitioned yet: memora-srs migrate.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 wrong configuration or no such season,
4 a server is away, or the table is locked (worth trying again).";

/// See the partitions of the table, one for each season; make one that is missing.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Partition {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List partitions with their season and size.
    List(List),
    /// Make a season's partition; says so if it is there.
    Create(Create),
}

#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    common: Common,
    /// Only this season's.
    #[arg(long, value_name = "NAME", value_parser = name)]
    season: Option<String>,
}

#[derive(Debug, Args)]
struct Create {
    #[command(flatten)]
    common: Common,
    /// The season.
    #[arg(long, value_name = "NAME", value_parser = name)]
    season: String,
    /// Only say whether it would be made.
    #[arg(long)]
    dry_run: bool,
}

impl Partition {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        long::run(async {
            match self.action {
                Action::List(list) => list.run().await,
                Action::Create(create) => create.run().await,
            }
        })
    }
}

impl List {
    async fn run(self) -> anyhow::Result<()> {
        let site = self.common.site().await?;
        let found = partitions::stats(&site, self.season.as_deref()).await?;
        self.common.print(&found, || table(&found))
    }
}

impl Create {
    async fn run(self) -> anyhow::Result<()> {
        let site = self.common.site().await?;
        // Refuses a season that does not exist.
        let there = !partitions::stats(&site, Some(&self.season))
            .await?
            .is_empty();
        let created =
            !there && !self.dry_run && partitions::create(&site, &self.season, true).await?;
        let answer = json!({
            "season": self.season,
            "created": created,
            "missing": !there && !created,
        });
        self.common.print(&answer, || {
            let what = match (created, there || !self.dry_run) {
                (true, _) => "made the partition of",
                (false, true) => "there is a partition of",
                (false, false) => "would make the partition of",
            };
            format!("{what} {}", self.season)
        })
    }
}

fn table(partitions: &[Stats]) -> String {
    if partitions.is_empty() {
        return "no partition".to_owned();
    }
    let season = |p: &Stats| p.season.clone().unwrap_or_else(|| "(not ours)".to_owned());
    let width = partitions.iter().map(|p| season(p).chars().count()).max();
    let width = width.unwrap_or(0).max("season".len());
    let mut lines = vec![format!(
        "{:width$}  {:>12}  {:>9}  {:>9}  partition",
        "season", "about rows", "data MiB", "index MiB"
    )];
    lines.extend(partitions.iter().map(|p| {
        format!(
            "{:width$}  {:>12}  {:>9.1}  {:>9.1}  {}",
            season(p),
            p.rows,
            mib(p.data_bytes),
            mib(p.index_bytes),
            p.partition_name
        )
    }));
    lines.join("\n")
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
