//! `memora-srs sweep`.

use clap::Args;
use memora_core::batch::SubmissionKey;
use memora_core::services::{gauges, sweep};
use serde::Serialize;

use super::long::{self, Common};

pub(crate) const EXAMPLES: &str = "\
Examples:
  memora-srs sweep --sites-path sites --site school.example.com
  memora-srs sweep --sites-path sites --site school.example.com --dry-run
  memora-srs sweep --sites-path sites --site school.example.com --max-rows 10000 --json

Workers, sidecar and Frappe's scheduler sweep by themselves; this is for whoever does not
want to wait.

Exit codes: 0 done, 1 failed, or something cannot be applied and waits for you (memora-srs
journal list --state failed), 2 wrong usage, 3 wrong configuration, 4 a server is away
(worth trying again).";

/// Apply what was accepted more than five seconds ago and no job has brought into the table.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Sweep {
    #[command(flatten)]
    common: Common,
    /// So many submits at most.
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..))]
    max_rows: u32,
    /// Only say what would be applied.
    #[arg(long)]
    dry_run: bool,
}

/// What a sweep came to.
#[derive(Debug, Serialize)]
struct Report {
    /// Submits that were applied now, or would be.
    applied: u64,
    /// Whether nothing was to be applied.
    dry_run: bool,
    /// Submits still on their way.
    pending: Option<u64>,
    /// Submits that were given up.
    failed: Option<u64>,
    /// Age of the oldest on its way, in seconds.
    oldest_s: Option<f64>,
}

impl Sweep {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        long::run(self.sweep())
    }

    async fn sweep(&self) -> anyhow::Result<()> {
        let site = self.common.site().await?;
        let applied = if self.dry_run {
            let keys: Vec<SubmissionKey> = sweep::overdue(&site, self.max_rows).await?;
            keys.len() as u64
        } else {
            let worker = format!("memora-srs sweep {}", std::process::id());
            sweep::sweep(&site, &worker, self.max_rows).await?
        };
        let backlog = gauges::gather(&site).await.backlog;
        let report = Report {
            applied,
            dry_run: self.dry_run,
            pending: backlog.map(|backlog| backlog.pending),
            failed: backlog.map(|backlog| backlog.failed),
            oldest_s: backlog.and_then(|backlog| backlog.oldest_s),
        };
        self.common.print(&report, || describe(&report))?;
        anyhow::ensure!(
            report.failed.unwrap_or(0) == 0,
            "some submits cannot be applied: memora-srs journal list --state failed"
        );
        Ok(())
    }
}

fn describe(report: &Report) -> String {
    let done = if report.dry_run {
        "would be applied"
    } else {
        "applied"
    };
    let mut text = format!("{} submits {done}", report.applied);
    if let (Some(pending), Some(failed)) = (report.pending, report.failed) {
        text += &format!("; {pending} on their way, {failed} failed");
    }
    if let Some(oldest) = report.oldest_s.filter(|_| report.pending != Some(0)) {
        text += &format!("; the oldest is {oldest:.0} s old");
    }
    text
}
