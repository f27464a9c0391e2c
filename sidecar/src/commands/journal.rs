//! `memora-srs journal list|show|retry|dismiss`.

use clap::{Args, Subcommand};
use memora_core::services::journal::{self, Changed, Entry, Filter, State, Whole};

use super::long::Common;
use crate::failure::Usage;

pub(crate) const EXAMPLES: &str = "\
Examples:
  memora-srs journal list --site school.example.com
  memora-srs journal list --site school.example.com --state failed --state retrying --json
  memora-srs journal list --site school.example.com --player ann@example.com --older-than 1h
  memora-srs journal show --site school.example.com --player ann@example.com --submission s-1
  memora-srs journal retry --site school.example.com --state failed --dry-run
  memora-srs journal dismiss --site school.example.com --player ann@example.com --submission s-1

States: pending (its job is on the way), queued (a sweeper saw to it that it has a job),
retrying (failed, comes again by itself), failed (given up, waits for you), late (its
season is archived), applied, dismissed.

Exit codes: 0 done, 1 failed, or no such submission, or some rows could not be changed,
2 wrong usage, 3 wrong configuration, 4 a server is away (worth trying again).";

/// See what was accepted and is not in the table yet; retry or dismiss it.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Journal {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List submissions, by default those that are not applied yet, oldest first.
    List(List),
    /// Show one submission with its answers.
    Show(Show),
    /// Have submissions tried again that are not applied: the next sweep takes them.
    Retry(Change),
    /// Give up submissions that are not applied, for good: their answers go to Frappe's
    /// Error Log, titled `SRSPersistenceService`.
    Dismiss(Change),
}

#[derive(Debug, Args)]
struct Which {
    /// Only in this state; may be repeated.
    #[arg(long, value_name = "STATE", value_parser = state)]
    state: Vec<State>,
    /// Only of this student, as their User is spelled.
    #[arg(long, value_name = "USER")]
    player: Option<String>,
    /// Only of this season, as it is spelled.
    #[arg(long, value_name = "NAME")]
    season: Option<String>,
    /// Only this submission.
    #[arg(long, value_name = "ID")]
    submission: Option<String>,
    /// Only what came at least so long ago: 90s, 10m, 2h, 3d.
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    older_than: Option<u64>,
}

#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    which: Which,
    /// So many at most.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=i64::from(journal::MOST)))]
    limit: u32,
}

#[derive(Debug, Args)]
struct Show {
    #[command(flatten)]
    common: Common,
    /// The student, as their User is spelled.
    #[arg(long, value_name = "USER")]
    player: String,
    /// The submission.
    #[arg(long, value_name = "ID")]
    submission: String,
}

#[derive(Debug, Args)]
struct Change {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    which: Which,
    /// Everything that is not applied, where nothing else says which.
    #[arg(long)]
    all: bool,
    /// Only say what would be changed.
    #[arg(long)]
    dry_run: bool,
}

impl Which {
    fn filter(&self) -> Filter {
        Filter {
            states: self.state.clone(),
            player: self.player.clone(),
            season: self.season.clone(),
            submission_id: self.submission.clone(),
            older_than_s: self.older_than,
        }
    }
}

impl Journal {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            match self.action {
                Action::List(command) => command.run().await,
                Action::Show(command) => command.run().await,
                Action::Retry(command) => command.run(false).await,
                Action::Dismiss(command) => command.run(true).await,
            }
        })
    }
}

impl List {
    async fn run(self) -> anyhow::Result<()> {
        let site = self.common.site().await?;
        let rows = journal::list(&site, &self.which.filter(), 0, self.limit).await?;
        self.common.print(&rows, || table(&rows))
    }
}

impl Show {
    async fn run(self) -> anyhow::Result<()> {
        let site = self.common.site().await?;
        let shown = journal::show(&site, &self.player, &self.submission).await;
        let shown = match shown {
            Err(e) if e.kind() == memora_core::ErrorKind::NotFound => {
                anyhow::bail!("{}", e.message())
            }
            shown => shown?,
        };
        self.common.print(&shown, || whole(&shown))
    }
}

impl Change {
    async fn run(self, dismiss: bool) -> anyhow::Result<()> {
        let filter = self.which.filter();
        if !self.all && filter == Filter::default() {
            let which = "say which: --submission, --state, --player, --season, --older-than, or \
                         --all";
            anyhow::bail!(Usage(which.to_owned()));
        }
        let site = self.common.site().await?;
        let changed = if dismiss {
            let by = std::env::var("USER").unwrap_or_else(|_| "the command line".to_owned());
            journal::dismiss(&site, &filter, &by, self.dry_run).await?
        } else {
            journal::retry(&site, &filter, self.dry_run).await?
        };
        let verb = if dismiss { "dismissed" } else { "tried again" };
        self.common.print(&changed, || report(&changed, verb))?;
        anyhow::ensure!(
            changed.skipped.is_empty(),
            "{} could not be changed",
            changed.skipped.len()
        );
        anyhow::ensure!(
            !changed.entries.is_empty() || filter.submission_id.is_none(),
            "the journal has no such submission that is not applied"
        );
        Ok(())
    }
}

fn table(rows: &[Entry]) -> String {
    if rows.is_empty() {
        return "nothing".to_owned();
    }
    let heads = [
        "created (UTC)",
        "state",
        "tries",
        "next try (UTC)",
        "player",
        "season",
        "submission",
        "error",
    ];
    let lines = rows.iter().map(|row| {
        let next = row.next_try_at.map(|at| at.format("%F %T").to_string());
        [
            row.created_at.format("%F %T").to_string(),
            row.state.name().to_owned(),
            row.tries.to_string(),
            next.unwrap_or_else(|| "-".to_owned()),
            row.player.clone(),
            row.season.clone(),
            row.submission_id.clone(),
            row.error.as_deref().unwrap_or("-").replace('\n', " "),
        ]
    });
    let lines: Vec<_> = std::iter::once(heads.map(str::to_owned))
        .chain(lines)
        .collect();
    let width = |column: usize| {
        let widths = lines.iter().map(|line| line[column].chars().count());
        widths.max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..heads.len()).map(width).collect();
    let text = lines.iter().map(|line| {
        let cells = line.iter().zip(&widths);
        let cells: Vec<_> = cells
            .map(|(cell, &width)| format!("{cell:width$}"))
            .collect();
        cells.join("  ").trim_end().to_owned()
    });
    text.collect::<Vec<_>>().join("\n")
}

fn whole(shown: &Whole) -> String {
    let row = &shown.entry;
    let lines = [
        ("submission", row.submission_id.clone()),
        ("player", row.player.clone()),
        ("season", row.season.clone()),
        ("state", row.state.name().to_owned()),
        ("created", time(Some(row.created_at))),
        ("applied", time(row.applied_at)),
        ("cached", time(shown.cached_at)),
        ("next try", time(row.next_try_at)),
        ("tries", row.tries.to_string()),
        ("error", row.error.clone().unwrap_or_else(|| "-".to_owned())),
        (
            "worked on by",
            row.claimed_by.clone().unwrap_or_else(|| "-".to_owned()),
        ),
        ("job", row.job_id.clone()),
        (
            "RQ says",
            shown.rq_status.clone().unwrap_or_else(|| "-".to_owned()),
        ),
        ("payload", format!("{:#}", shown.payload)),
    ];
    let lines = lines.map(|(name, value)| format!("{name:13} {value}"));
    lines.join("\n")
}

/// A moment in UTC.
fn time(at: Option<impl std::fmt::Display>) -> String {
    at.map_or_else(|| "-".to_owned(), |at| format!("{at} UTC"))
}

fn report(changed: &Changed, verb: &str) -> String {
    let count = changed.entries.len();
    let mut lines = vec![if changed.dry_run {
        format!("{count} would be {verb}:\n{}", table(&changed.entries))
    } else {
        format!("{count} {verb}")
    }];
    let skipped = changed.skipped.iter();
    lines.extend(skipped.map(|(player, id, why)| format!("not {id} of {player}: {why}")));
    if changed.more {
        lines.push(format!(
            "there may be more: {} are changed at a time",
            journal::MOST
        ));
    }
    lines.join("\n")
}

fn state(name: &str) -> Result<State, String> {
    State::parse(name).map_err(|e| e.message().to_owned())
}

fn seconds(text: &str) -> Result<u64, String> {
    let wrong = || "a number with s, m, h or d: 90s, 10m, 2h, 3d".to_owned();
    let unit = text.chars().last().ok_or_else(wrong)?;
    let factor = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    number
        .checked_mul(factor)
        .filter(|seconds| *seconds <= 3_650 * 86_400)
        .ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit() {
        for (text, expected) in [("90s", 90), ("10m", 600), ("2h", 7_200), ("3d", 259_200)] {
            assert_eq!(seconds(text), Ok(expected));
        }
        for text in [
            "",
            "10",
            "m",
            "-1h",
            "1w",
            "1.5h",
            "99999999999d",
            "5 m",
            "é",
        ] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
