//! `memora-srs reconcile`.

use clap::Args;
use memora_core::services::reconcile::{self, DEFAULT_SAMPLE, MAX_SAMPLE, Options, Report, Scope};

use super::long::{self, Common, name};

pub(crate) const EXAMPLES: &str = "\
Examples:
  memora-srs reconcile --site school.example.com
  memora-srs reconcile --site school.example.com --season SEASON-2026 --sample-size 50000 --json
  memora-srs reconcile --site school.example.com --full --season SEASON-2026 --dry-run
  memora-srs reconcile --site school.example.com --student ann@example.com
  memora-srs reconcile --site school.example.com --history

Students whose schedules are not cached are no discrepancies, nor is what differs because
a write is on its way. What is wrong in the cache is put right, if nothing has changed it
meanwhile; the table is never changed.

Exit codes: 0 done, 1 failed, or the alert was triggered (more than 0.1 % of at least 1,000
compared items were wrong), 2 wrong usage, 3 wrong configuration, or no such season or
student, 4 a server is away or another run is under way (worth trying again).";

/// Compare the cache with the table and everything on its way into it; correct the cache.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Reconcile {
    #[command(flatten)]
    common: Common,
    /// Only this season.
    #[arg(long, value_name = "NAME", value_parser = name)]
    season: Option<String>,
    /// So many items of random students.
    #[arg(long, value_name = "N", default_value_t = DEFAULT_SAMPLE,
          value_parser = clap::value_parser!(u64).range(1..=MAX_SAMPLE))]
    sample_size: u64,
    /// Everything of all cached students of the season (the active one if none is named).
    #[arg(long, conflicts_with_all = ["sample_size", "student"])]
    full: bool,
    /// Everything of this student in the season.
    #[arg(long, value_name = "USER", value_parser = name, conflicts_with = "sample_size")]
    student: Option<String>,
    /// Only say what is wrong.
    #[arg(long)]
    dry_run: bool,
    /// Show the last runs instead.
    #[arg(long, conflicts_with_all = ["season", "sample_size", "full", "student", "dry_run"])]
    history: bool,
}

impl Reconcile {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        long::run(self.reconcile())
    }

    async fn reconcile(self) -> anyhow::Result<()> {
        let site = self.common.site().await?;
        if self.history {
            let reports = reconcile::history(&site).await?;
            return self.common.print(&reports, || past(&reports));
        }
        let options = Options {
            scope: match self.student {
                Some(student) => Scope::Student(student),
                None if self.full => Scope::Season,
                None => Scope::Sample(self.sample_size),
            },
            season: self.season,
            dry_run: self.dry_run,
            seed: None,
        };
        let bar = long::bar();
        let shown = bar.clone();
        let tell = move |progress| long::show(&shown, progress);
        let report = reconcile::reconcile(&site, &options, &tell).await;
        bar.finish_and_clear();
        let report = report?;
        self.common.print(&report, || describe(&report))?;
        anyhow::ensure!(
            !report.alert_triggered,
            "{:.2} % of the compared items were wrong in the cache",
            report.discrepancy_rate * 100.0
        );
        Ok(())
    }
}

fn describe(report: &Report) -> String {
    let kinds = report.kinds;
    let what = match (&report.season, &report.student) {
        (Some(season), Some(student)) => format!(", {student} in {season}"),
        (Some(season), None) => format!(", {season}"),
        (None, _) => String::new(),
    };
    let mut lines = vec![format!(
        "compared {} items of {} students in {:.1} s{what}",
        report.compared, report.students, report.seconds
    )];
    if report.compared == 0 {
        lines.push("nothing of it is cached".to_owned());
    }
    lines.push(format!(
        "{} wrong in the cache ({:.3} %), {} corrected{}",
        report.discrepancies_found,
        report.discrepancy_rate * 100.0,
        report.auto_corrected,
        if report.dry_run { " (dry run)" } else { "" }
    ));
    let counts = [
        (kinds.too_old, "too old"),
        (kinds.too_new, "too new"),
        (kinds.missing, "missing"),
        (kinds.ghosts, "without a row"),
        (kinds.details, "with wrong details"),
        (kinds.subjects, "wrong under their subject"),
        (
            report.in_flight,
            "differ for a moment: a write is on its way",
        ),
    ];
    let counts = counts.iter().filter(|(count, _)| *count > 0);
    lines.extend(counts.map(|(count, what)| format!("  {count} {what}")));
    lines.join("\n")
}

fn past(reports: &[Report]) -> String {
    if reports.is_empty() {
        return "no run yet".to_owned();
    }
    let line = |report: &Report| {
        let of = report.season.as_deref().unwrap_or("all seasons");
        let student = report.student.as_deref();
        let student = student.map_or_else(String::new, |student| format!(", {student}"));
        format!(
            "{}  {:>7} compared  {:>6} wrong  {:>6} corrected  {:.3} %{}  {of}{student}{}{}",
            report.started_at.get(..19).unwrap_or_default(),
            report.compared,
            report.discrepancies_found,
            report.auto_corrected,
            report.discrepancy_rate * 100.0,
            if report.alert_triggered { " ALERT" } else { "" },
            if report.full { ", all" } else { "" },
            if report.dry_run { ", dry run" } else { "" },
        )
    };
    reports.iter().map(line).collect::<Vec<_>>().join("\n")
}
