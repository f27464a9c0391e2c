//! `memora-srs migrate`.

use std::io::Write;

use clap::Args;
use indicatif::ProgressBar;
use memora_core::config::SiteConfig;
use memora_core::frappe::read_settings;
use memora_core::servers::mariadb::MariaDb;
use memora_core::store::migrate::{self, Options, Plan, Progress, Report, TableReport};
use memora_core::types::UtcMicros;
use serde::Serialize;

use super::long;
use crate::cli::Bench;
use crate::failure::answered;

/// The migration works on one connection and looks at the tables on another.
const CONNECTIONS: usize = 4;

pub(crate) const EXAMPLES: &str = "\
Examples:
  memora-srs migrate --sites-path sites --site school.example.com --dry-run
  memora-srs migrate --sites-path sites --site school.example.com
  memora-srs migrate --sites-path sites --site school.example.com --prepare --json

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 wrong configuration or something forbids it,
4 a server is away, or another migration under way (worth trying again).";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Migrate {
    #[command(flatten)]
    bench: Bench,
    /// The site whose schema is brought up to date.
    #[arg(long, value_name = "NAME")]
    site: String,
    /// Only say what would be done; changes nothing.
    #[arg(long)]
    dry_run: bool,
    /// Do all but the ALTER that rewrites a table, during which nobody can write, and print
    /// what is left: for a large table, do that with pt-online-schema-change (docs/SEASONS.md),
    /// then migrate.
    #[arg(long, conflicts_with = "dry_run")]
    prepare: bool,
    /// Print plan or report as JSON.
    #[arg(long)]
    json: bool,
}

impl Migrate {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let config = memora_core::config::load(&self.bench.sites_path, &self.site)?;
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(self.migrate(&config))
    }

    async fn migrate(&self, config: &SiteConfig) -> anyhow::Result<()> {
        let db = MariaDb::new(&config.db, CONNECTIONS);
        let zone = read_settings(&db).await?.zone;
        let now = zone.to_wall(UtcMicros::now());
        if self.dry_run {
            let plan = migrate::plan(&db, now).await?;
            self.print(&plan, &describe_plan(&plan))?;
            if !plan.problems.is_empty() {
                return Err(memora_core::Error::config(plan.problems.join("; ")).into());
            }
        } else {
            let bar = long::bar();
            let options = Options {
                prepare_only: self.prepare,
                ..Options::at(now)
            };
            let report = migrate::run(&db, &options, |p| show(&bar, p)).await;
            bar.finish_and_clear();
            let report = report?;
            self.print(&report, &describe_report(&report))?;
        }
        db.close().await;
        Ok(())
    }

    fn print(&self, value: &impl Serialize, lines: &[String]) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        if self.json {
            writeln!(out, "{}", serde_json::to_string_pretty(value)?)?;
        } else if lines.is_empty() {
            writeln!(out, "{}: nothing to do", self.site)?;
        } else {
            writeln!(out, "{}:", self.site)?;
            for line in lines {
                writeln!(out, "  {line}")?;
            }
        }
        answered();
        Ok(())
    }
}

fn describe_plan(plan: &Plan) -> Vec<String> {
    let mut lines: Vec<String> = plan
        .problems
        .iter()
        .map(|p| format!("problem: {p}"))
        .collect();
    if plan.is_empty() {
        return lines;
    }
    if let Some(step) = &plan.unfinished {
        lines.push(format!("takes up an unfinished migration at: {step}"));
    }
    lines.extend(plan.tables_to_make.iter().map(|t| format!("make {t}")));
    for table in plan.tables.iter().filter(|table| !table.is_empty()) {
        lines.push(format!("{} ({} rows)", table.table, table.rows));
        let counts = [
            (
                table.without_season,
                format!("rows get season {}", plan.season_for_rows),
            ),
            (table.duplicate_rows, "duplicate rows are merged".to_owned()),
            (table.names_used_twice, "rows get a new name".to_owned()),
        ];
        let counts = counts.iter().filter(|(count, _)| *count > 0);
        lines.extend(counts.map(|(count, what)| format!("  {count} {what}")));
        lines.extend(table.changes.iter().map(|change| format!("  {change}")));
        let partitions = table.partitions_to_make.iter();
        lines.extend(partitions.map(|season| format!("  make a partition for {season}")));
    }
    lines.push(format!("takes about {} s", plan.estimate.as_secs().max(1)));
    lines
}

fn describe_report(report: &Report) -> Vec<String> {
    if !report.changed() {
        return Vec::new();
    }
    let left = |table: &&TableReport| table.left.is_some();
    let mut lines: Vec<String> = report
        .tables_made
        .iter()
        .map(|t| format!("made {t}"))
        .collect();
    if let Some(step) = &report.resumed_at {
        lines.insert(0, format!("took up an unfinished migration at: {step}"));
    }
    for table in &report.tables {
        let counts = [
            (table.rows_given_season, "rows were given a season"),
            (table.rows_merged, "duplicate rows were merged"),
            (table.rows_renamed, "rows were given a new name"),
        ];
        let counts = counts.into_iter().filter(|(count, _)| *count > 0);
        let name = table.table;
        lines.extend(counts.map(|(count, what)| format!("{name}: {count} {what}")));
        lines.extend(
            table
                .changes
                .iter()
                .map(|change| format!("{name}: {change}")),
        );
        let partitions = table.partitions_made.iter();
        lines.extend(partitions.map(|season| format!("{name}: partition for {season}")));
    }
    for table in report.tables.iter().filter(left) {
        let (name, alter) = (table.table, table.left.as_deref().unwrap_or_default());
        lines.push(format!("left to do: ALTER TABLE `{name}` {alter}"));
    }
    lines.push(format!("took {:.1} s", report.elapsed.as_secs_f64()));
    lines
}

fn show(bar: &ProgressBar, progress: Progress) {
    bar.set_message(format!("{}: {}", progress.table, progress.step.as_str()));
    long::show_count(bar, progress.done, progress.total);
}
