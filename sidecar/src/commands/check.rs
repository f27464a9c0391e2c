//! `memora-srs check`.

use std::io::IsTerminal;
use std::time::Duration;

use anyhow::ensure;
use clap::Args;
use memora_core::Error;
use memora_core::services::check::{self, Event, Outcome, Report};

use super::long::{self, Common};
use super::paint::Paint;
use super::stop_signal;

pub(crate) const EXAMPLES: &str = "\
Examples:
  memora-srs check --sites-path sites --site school.example.com
  memora-srs check --sites-path sites --site school.example.com --json

Each check does for a season of its own what the site does for students. Season and user are
removed at the end, also after a failure or Ctrl-C; what a check left that was killed is
removed by the next one an hour later. No other season is touched, no server is stopped, and
nobody is told of an outage. The season's partition is made and dropped, for which the table
is locked for a moment, without waiting.

Exit codes: 0 all passed, 1 one failed, or it was stopped, or not all could be removed,
2 wrong usage, 3 wrong configuration, 4 one failed because a server is away.";

/// Try ten things that the site needs, in a season made for it: PASS, or FAIL and a remedy.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Check {
    #[command(flatten)]
    common: Common,
}

impl Check {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        // Not as other long work: the signal is for the checks, so that they clean up.
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?
            .block_on(self.check())
    }

    async fn check(&self) -> anyhow::Result<()> {
        let stop = stop_signal()?;
        let site = self.common.site().await?;
        let bar = long::bar();
        let shown = bar.clone();
        let tell = move |event: Event<'_>| match event {
            Event::Begins(check, n, of) => {
                shown.set_length(of as u64);
                shown.set_position(n as u64 - 1);
                shown.set_message(check);
            }
            Event::Done(_) => shown.inc(1),
            Event::CleansUp => shown.set_message("cleaning up"),
        };
        let report = check::run(&site, &tell, stop).await;
        bar.finish_and_clear();
        let paint = Paint::new(std::io::stdout().is_terminal());
        self.common.print(&report, || describe(&report, paint))?;
        ensure!(!report.stopped, "stopped");
        if let Some(why) = &report.not_removed {
            anyhow::bail!("{} could not be removed: {why}", report.season);
        }
        let failed: Vec<&Outcome> = report.checks.iter().filter(|check| !check.passed).collect();
        if failed.is_empty() {
            return Ok(());
        }
        let what = format!("{} of {} checks failed", failed.len(), report.checks.len());
        if failed.iter().any(|check| check.away) {
            let away = format!("{what}: a server is away");
            return Err(Error::unavailable(away, Duration::from_secs(5)).into());
        }
        anyhow::bail!(what)
    }
}

fn describe(report: &Report, paint: Paint) -> String {
    let mut lines: Vec<String> = report
        .checks
        .iter()
        .flat_map(|outcome| one(outcome, paint))
        .collect();
    let passed = report.checks.iter().filter(|check| check.passed).count();
    lines.push(format!(
        "{}: {passed} of {} passed in {:.1} s",
        report.site,
        report.checks.len(),
        report.seconds
    ));
    if report.removed_left > 0 {
        let left = report.removed_left;
        lines.push(format!("  what {left} earlier checks had left was removed"));
    }
    lines.join("\n")
}

fn one(outcome: &Outcome, paint: Paint) -> Vec<String> {
    let word = match outcome.passed {
        true => paint.green("PASS"),
        false => paint.red("FAIL"),
    };
    let Outcome {
        check,
        says,
        seconds,
        remedy,
        ..
    } = outcome;
    let mut lines = vec![format!("{word}  {check:20} {seconds:6.2} s  {says}")];
    lines.extend(remedy.map(|remedy| format!("      {remedy}")));
    lines
}
