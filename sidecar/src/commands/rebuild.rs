//! `memora-srs rebuild`.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::ensure;
use clap::Args;
use memora_core::services::rebuild::{self, Options, Report, Standing, State};
use memora_core::services::work::{Noted, Progress, Tell};
use serde_json::json;

use super::long::{self, Common, name};

pub(crate) const EXAMPLES: &str = "\
Examples:
  memora-srs rebuild --sites-path sites --site school.example.com --season SEASON-2026
  memora-srs rebuild --sites-path sites --site school.example.com --season SEASON-2026 --missing-only --load 25
  memora-srs rebuild --sites-path sites --site school.example.com --season SEASON-2026 --dry-run
  memora-srs rebuild --sites-path sites --site school.example.com --season SEASON-2026 --status --json

Exit codes: 0 done, 1 failed, or Redis loses what is filled, 2 wrong usage, 3 wrong configuration or no such season,
4 a server is away, or another rebuild of the season is under way (worth trying again).";

/// Fill the cached schedules of all students of a season.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Rebuild {
    #[command(flatten)]
    common: Common,
    /// The season.
    #[arg(long, value_name = "NAME", value_parser = name)]
    season: String,
    /// Share of the time in which the servers are asked to work, in per cent; 50 leaves room
    /// for students.
    #[arg(long, value_name = "PERCENT", default_value_t = 50,
          value_parser = clap::value_parser!(u8).range(1..=100))]
    load: u8,
    /// Leave schedules alone that are complete.
    #[arg(long)]
    missing_only: bool,
    /// Begin with the first student also where a run was interrupted within the last hour.
    #[arg(long)]
    from_start: bool,
    /// Students read at once; of 20,000 questions together at most.
    #[arg(long, value_name = "STUDENTS", default_value_t = 1000,
          value_parser = clap::value_parser!(u16).range(1..=10_000))]
    batch_size: u16,
    /// Do nothing but say where the last rebuild stands.
    #[arg(long, conflicts_with_all = ["load", "missing_only", "from_start", "batch_size", "dry_run"])]
    status: bool,
    /// Only say of how many students schedules would be filled.
    #[arg(long)]
    dry_run: bool,
}

impl Rebuild {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        long::run(async move {
            match (self.status, self.dry_run) {
                (true, _) => self.status().await,
                (false, true) => self.plan().await,
                (false, false) => self.rebuild().await,
            }
        })
    }

    async fn plan(&self) -> anyhow::Result<()> {
        let site = self.common.site().await?;
        let (season, students) = rebuild::plan(&site, &self.season).await?;
        let would = json!({"season": season.as_str(), "students": students});
        self.common.print(&would, || {
            format!("{season}: schedules of {students} students would be filled")
        })
    }

    async fn rebuild(&self) -> anyhow::Result<()> {
        let site = self.common.site().await?;
        let options = Options {
            load: self.load,
            missing_only: self.missing_only,
            from_start: self.from_start,
            batch_size: usize::from(self.batch_size),
        };
        let bar = long::bar();
        let shown = bar.clone();
        let (began, before) = (Instant::now(), OnceLock::new());
        let tell: Box<Tell> = Box::new(move |progress: Progress| {
            long::show(&shown, progress);
            let before = *before.get_or_init(|| {
                // How long the rest takes is not to be judged by what an earlier run did.
                shown.reset_eta();
                progress.questions
            });
            shown.set_message(says(progress, before, began.elapsed()));
        });
        let report = rebuild::run(&site, &self.season, &options, &*tell).await;
        bar.finish_and_clear();
        let report = report?;
        self.common
            .print(&report, || describe(&self.season, &report))?;
        ensure!(
            report.status != State::Incomplete,
            "Redis does not keep what is filled: it was emptied meanwhile, or is too small"
        );
        Ok(())
    }

    async fn status(&self) -> anyhow::Result<()> {
        let site = self.common.site().await?;
        let status = rebuild::status(&site, &self.season).await?;
        self.common.print(&status, || match &status {
            None => format!("{}: never rebuilt", self.season),
            Some(noted) => standing(&self.season, noted),
        })
    }
}

/// Before the bar, which shows students and how long they take.
fn says(progress: Progress, before: u64, elapsed: Duration) -> String {
    let questions = progress.questions.saturating_sub(before);
    let rate = questions as f64 / elapsed.as_secs_f64().max(0.001);
    format!("{}, {rate:.0} questions/s", progress.phase)
}

fn describe(season: &str, report: &Report) -> String {
    let rate = report.total_records as f64 / report.seconds.max(0.001);
    let mut text = format!(
        "{season}: {} schedules of {} students with {} questions in {:.1} s, {rate:.0} questions/s",
        report.total_keys, report.total_users, report.total_records, report.seconds
    );
    if report.skipped > 0 {
        text += &format!("; {} were complete", report.skipped);
    }
    if report.refilled > 0 {
        let lost = report.refilled;
        text += &format!("; {lost} were lost by Redis meanwhile and filled again");
    }
    if report.lost > 0 {
        let lost = report.lost;
        text += &format!("; {lost} are lost again: run it again with --missing-only");
    }
    if report.left > 0 {
        text += &format!(
            "; {} were being filled or written to, and are left to their next read",
            report.left
        );
    }
    text
}

fn standing(season: &str, noted: &Noted<Standing>) -> String {
    let note = &noted.note;
    let state = match (note.state, noted.running) {
        (State::Completed, _) => "completed",
        (State::Incomplete, _) => "ended, and Redis had lost some again",
        (_, true) => "under way",
        (State::Started, false) => "interrupted",
        (State::Failed, false) => "failed",
    };
    let mut text = format!(
        "{season}: {state}, noted {} UTC\n  {} of {} students, {} schedules with {} questions, {:.1} s",
        noted.modified_at, note.done, note.students, note.filled, note.questions, note.seconds
    );
    if let Some(error) = &note.error {
        text += &format!("\n  {error}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_of_this_run() {
        let progress = Progress {
            questions: 150_000,
            ..Progress::new("students", 10, 20)
        };
        let said = says(progress, 100_000, Duration::from_secs(2));
        assert_eq!(said, "students, 25000 questions/s");
        let said = says(progress, 150_000, Duration::ZERO);
        assert_eq!(said, "students, 0 questions/s");
    }
}
