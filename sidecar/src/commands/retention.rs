//! `memora-srs retention`.

use anyhow::bail;
use clap::{Args, Subcommand};
use memora_core::services::retention;

use super::long::{self, Common, name};

pub(crate) const EXAMPLES: &str = "\
Examples:
  memora-srs retention flag --sites-path sites --site school.example.com
  memora-srs retention flag --sites-path sites --site school.example.com --dry-run
  memora-srs retention delete --sites-path sites --site school.example.com --dry-run
  memora-srs retention delete --sites-path sites --site school.example.com --season SEASON-2022 --yes

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 wrong configuration or no such season, 4 a
server is away, or another run under way (worth trying again).";

/// Archived rows past their retention: flag them, delete them.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Retention {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Flag rows that were archived more than three years ago.
    Flag(Flag),
    /// Delete flagged rows for good.
    Delete(Delete),
}

#[derive(Debug, Args)]
struct Flag {
    #[command(flatten)]
    common: Common,
    /// Only say how many rows would be flagged.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
struct Delete {
    #[command(flatten)]
    common: Common,
    /// Only rows of this season.
    #[arg(long, value_name = "NAME", value_parser = name)]
    season: Option<String>,
    /// Only say how many rows would be deleted.
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    /// Do it: without this nothing is deleted.
    #[arg(long)]
    yes: bool,
}

impl Retention {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        long::run(async {
            match self.action {
                Action::Flag(flag) => flag.act().await,
                Action::Delete(delete) => delete.act().await,
            }
        })
    }
}

impl Flag {
    async fn act(&self) -> anyhow::Result<()> {
        let site = self.common.site().await?;
        if self.dry_run {
            let rows = retention::flaggable(&site).await?;
            let would = serde_json::json!({"flaggable_count": rows});
            return self
                .common
                .print(&would, || format!("{rows} rows would be flagged"));
        }
        let bar = long::bar();
        let tell = long::telling(&bar);
        let flagged = retention::flag_eligible_for_deletion(&site, &tell).await;
        bar.finish_and_clear();
        let flagged = flagged?;
        self.common.print(&flagged, || {
            format!("{} rows flagged", flagged.flagged_count)
        })
    }
}

impl Delete {
    async fn act(&self) -> anyhow::Result<()> {
        let (site, season) = (self.common.site().await?, self.season.as_deref());
        if !self.yes {
            let rows = retention::eligible(&site, season).await?;
            let would = serde_json::json!({"eligible_count": rows});
            self.common
                .print(&would, || format!("{rows} rows would be deleted"))?;
            if !self.dry_run {
                bail!("deleted rows are gone for good; do it with --yes");
            }
            return Ok(());
        }
        let bar = long::bar();
        let tell = long::telling(&bar);
        let deleted = retention::delete_eligible_records(&site, season, true, &tell).await;
        bar.finish_and_clear();
        let deleted = deleted?;
        self.common.print(&deleted, || {
            format!("{} rows deleted", deleted.deleted_count)
        })
    }
}
