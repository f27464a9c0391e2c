//! `memora-srs archive`.

use anyhow::bail;
use clap::{ArgGroup, Args, ValueEnum};
use memora_core::services::archive::{
    self, AutoReport, Method, Plan, Report, RestoreReport, Status,
};

use serde_json::json;

use super::long::{self, Common, name};
use crate::failure::Usage;

pub(crate) const EXAMPLES: &str = "\
Examples:
  memora-srs archive --sites-path sites --site school.example.com --season SEASON-2025 --dry-run
  memora-srs archive --sites-path sites --site school.example.com --season SEASON-2025 --yes
  memora-srs archive --sites-path sites --site school.example.com --season SEASON-2025 --status --json
  memora-srs archive --sites-path sites --site school.example.com --season SEASON-2025 --restore --yes
  memora-srs archive --sites-path sites --site school.example.com --season SEASON-2025 --restore --dry-run
  memora-srs archive --sites-path sites --site school.example.com --auto
  memora-srs archive --sites-path sites --site school.example.com --auto --dry-run

A run that was stopped, by whatever, goes on when the command is given again; so does one
that said that a table was in use (exit code 4). For a season that is archived it merges what
was written late.

Exit codes: 0 done, 1 something is in the way or does not agree (nothing is lost), 2 wrong
usage, 3 wrong configuration or no such season, 4 a server is away, a table in use, or
another run under way (worth trying again).";

/// Move a season that is over into the archive, or bring it back.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[command(group(ArgGroup::new("which").required(true).args(["season", "auto"])))]
pub(crate) struct Archive {
    #[command(flatten)]
    common: Common,
    /// The season.
    #[arg(long, value_name = "NAME", value_parser = name)]
    season: Option<String>,
    /// Archive all seasons that ask for it and are over, go on with what was stopped, and
    /// merge what was written late.
    #[arg(long, conflicts_with_all = ["method", "restore", "status"])]
    auto: bool,
    /// How rows go; what the server can do best if not given.
    #[arg(long, value_enum, conflicts_with_all = ["restore", "status"])]
    method: Option<By>,
    /// Only say what would be done, and roughly how long it takes.
    #[arg(long, conflicts_with = "status")]
    dry_run: bool,
    /// Do it: without this nothing is moved.
    #[arg(long)]
    yes: bool,
    /// Bring the season's rows back into the tracker.
    #[arg(long, conflicts_with = "status")]
    restore: bool,
    /// Say where the archiving of the season stands.
    #[arg(long)]
    status: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum By {
    /// The partition itself moves (MariaDB 10.7 and later).
    Convert,
    /// Rows are copied in bounded chunks.
    Copy,
}

impl From<By> for Method {
    fn from(by: By) -> Self {
        match by {
            By::Convert => Self::Convert,
            By::Copy => Self::Copy,
        }
    }
}

impl Archive {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        long::run(self.act())
    }

    async fn act(&self) -> anyhow::Result<()> {
        match &self.season {
            None if self.dry_run => self.plan_auto().await,
            None => self.automatically().await,
            Some(season) if self.status => self.show(season).await,
            Some(season) if self.dry_run && self.restore => self.plan_restore(season).await,
            Some(season) if self.dry_run => self.plan(season).await,
            Some(season) if !self.yes => bail!(Usage(format!(
                "{season}: archiving and restoring move all of a season's rows; see what would \
                 be done with --dry-run, and do it with --yes"
            ))),
            Some(season) if self.restore => self.bring_back(season).await,
            Some(season) => self.archive(season).await,
        }
    }

    async fn archive(&self, season: &str) -> anyhow::Result<()> {
        let (site, bar) = (self.common.site().await?, long::bar());
        let method = self.method.map(Method::from);
        let tell = long::telling(&bar);
        let report = archive::archive_season(&site, season, method, &tell).await;
        bar.finish_and_clear();
        let report = report?;
        self.common.print(&report, || describe(&report))
    }

    async fn bring_back(&self, season: &str) -> anyhow::Result<()> {
        let (site, bar) = (self.common.site().await?, long::bar());
        let tell = long::telling(&bar);
        let report = archive::restore_season(&site, season, &tell).await;
        bar.finish_and_clear();
        let report = report?;
        self.common.print(&report, || describe_restored(&report))
    }

    async fn plan(&self, season: &str) -> anyhow::Result<()> {
        let site = self.common.site().await?;
        let plan = archive::plan(&site, season, self.method.map(Method::from)).await?;
        self.common.print(&plan, || describe_plan(&plan))?;
        if !plan.problems.is_empty() {
            bail!("{}", plan.problems.join("; "));
        }
        Ok(())
    }

    async fn plan_restore(&self, season: &str) -> anyhow::Result<()> {
        let site = self.common.site().await?;
        let status = archive::get_archive_status(&site, season).await?;
        let (rows, state) = (status.records_archived, status.state);
        let may = matches!(state, "archived" | "restoring");
        let would = json!({"season": status.season, "rows": rows, "state": state});
        self.common.print(&would, || match may {
            true => format!("{}: {rows} rows come back into the tracker", status.season),
            false => format!("{}: {state}", status.season),
        })?;
        anyhow::ensure!(may, "only archived seasons are restored");
        Ok(())
    }

    async fn plan_auto(&self) -> anyhow::Result<()> {
        let site = self.common.site().await?;
        let plan = archive::plan_auto(&site).await?;
        self.common.print(&plan, || {
            let what = [
                ("would be archived", &plan.archive),
                ("not yet over, or active", &plan.skip),
                ("archived, with late rows to merge", &plan.merge),
            ];
            let some = what.iter().filter(|(_, seasons)| !seasons.is_empty());
            let lines: Vec<_> = some
                .map(|(what, seasons)| format!("{what}: {}", seasons.join(", ")))
                .collect();
            match lines.is_empty() {
                true => "nothing to do".to_owned(),
                false => lines.join("\n"),
            }
        })
    }

    async fn show(&self, season: &str) -> anyhow::Result<()> {
        let site = self.common.site().await?;
        let status = archive::get_archive_status(&site, season).await?;
        self.common.print(&status, || describe_status(&status))
    }

    async fn automatically(&self) -> anyhow::Result<()> {
        let (site, bar) = (self.common.site().await?, long::bar());
        let tell = long::telling(&bar);
        let report = archive::process_auto_archive(&site, &tell).await;
        bar.finish_and_clear();
        let report = report?;
        self.common.print(&report, || describe_auto(&report))?;
        if !report.failed.is_empty() {
            bail!("{} seasons could not be archived", report.failed.len());
        }
        Ok(())
    }
}

fn describe(report: &Report) -> String {
    if report.was_archived {
        return format!(
            "{}: archived before; {} late rows merged",
            report.season, report.late_merged
        );
    }
    let resumed = match report.resumed {
        true => " (went on with a run that was stopped)",
        false => "",
    };
    format!(
        "{}: {} rows archived ({}), {} late rows among them, {} cached schedules dropped, \
         {:.1} s{resumed}",
        report.season,
        report.records_archived,
        report.method.as_str(),
        report.late_merged,
        report.cache_keys_deleted,
        report.seconds
    )
}

fn describe_restored(report: &RestoreReport) -> String {
    format!(
        "{}: {} rows restored, {} cached schedules dropped, {:.1} s; the season is inactive",
        report.season, report.records_restored, report.cache_keys_deleted, report.seconds
    )
}

fn describe_plan(plan: &Plan) -> String {
    let mut lines = vec![format!("{}:", plan.season)];
    lines.extend(
        plan.problems
            .iter()
            .map(|what| format!("  problem: {what}")),
    );
    if let Some(step) = plan.resumes_at {
        lines.push(format!("  goes on with a run that was stopped at: {step}"));
    }
    lines.push(format!(
        "  {} rows go into the archive ({})",
        plan.rows,
        plan.method.as_str()
    ));
    if plan.archived_rows > 0 {
        lines.push(format!(
            "  the archive has {} rows of it already; the newer state of a question stays",
            plan.archived_rows
        ));
    }
    lines.push(format!("  takes about {:.0} s", plan.estimate_s.ceil()));
    lines.join("\n")
}

fn describe_status(status: &Status) -> String {
    let mut lines = vec![
        format!("{}: {}", status.season, status.state),
        format!("  archived rows: {}", status.records_archived),
        format!("  may be deleted: {}", status.eligible_for_deletion),
    ];
    if let Some(at) = &status.archived_at {
        lines.push(format!("  archived at {at}"));
    }
    if let Some(progress) = &status.progress {
        let who = match progress.running {
            true => "running",
            false => "stopped; archive it again and it goes on",
        };
        lines.push(format!(
            "  {}, {} of {} rows ({who})",
            progress.phase, progress.done, progress.total
        ));
        lines.extend(progress.failure.iter().map(|why| format!("  {why}")));
    }
    lines.join("\n")
}

fn describe_auto(report: &AutoReport) -> String {
    let names = |names: &[String]| match names {
        [] => "none".to_owned(),
        names => names.join(", "),
    };
    let mut lines = vec![
        format!("archived: {}", names(&report.archived)),
        format!("skipped: {}", names(&report.skipped)),
        format!("late rows merged: {}", report.late_merged),
    ];
    let failed = report.failed.iter();
    lines.extend(failed.map(|failed| format!("failed: {}: {}", failed.season, failed.error)));
    lines.join("\n")
}
