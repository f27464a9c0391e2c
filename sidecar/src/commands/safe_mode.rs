//! `memora-srs safe-mode`.

use std::io::Write;

use clap::{Args, Subcommand};
use memora_core::Error;
use memora_core::services::safe_mode::{self, Status};
use memora_core::services::{Site, Sites};
use memora_core::types::Player;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

use super::long::name;
use crate::cli::Bench;
use crate::failure::answered;

pub(crate) const EXAMPLES: &str = "\
Examples:
  memora-srs safe-mode status --sites-path sites --site school.example.com
  memora-srs safe-mode status --sites-path sites --site school.example.com --json
  memora-srs safe-mode reset --sites-path sites --site school.example.com
  memora-srs safe-mode reset --sites-path sites --site school.example.com --user ann@example.com
  memora-srs safe-mode reset --sites-path sites --site school.example.com --dry-run

Exit codes: 0 done, and Redis is there; 1 failed, 2 wrong usage, 3 wrong configuration,
4 Redis is away (status), or only this host could be reset (reset).";

/// What is served while the Redis with the schedules is away.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SafeMode {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Say whether Redis is away, and how much was read without it.
    Status(Which),
    /// Count anew: the reads of all students, or those of one.
    Reset(Reset),
}

#[derive(Debug, Args)]
struct Which {
    #[command(flatten)]
    bench: Bench,
    /// The site to look at.
    #[arg(long, value_name = "NAME")]
    site: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Reset {
    #[command(flatten)]
    which: Which,
    /// Let this student, named as their User is stored, read at once; the count of all
    /// stays.
    #[arg(long, value_name = "USER", value_parser = name)]
    user: Option<String>,
    /// Only say what is counted now.
    #[arg(long)]
    dry_run: bool,
}

impl SafeMode {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(async {
                match self.action {
                    Action::Status(which) => which.status().await,
                    Action::Reset(reset) => reset.run().await,
                }
            })
    }
}

impl Which {
    async fn open(&self) -> anyhow::Result<Arc<Site>> {
        Ok(Sites::new(&self.bench.sites_path).get(&self.site).await?)
    }

    async fn status(&self) -> anyhow::Result<()> {
        let status = safe_mode::status(&*self.open().await?).await;
        if self.json {
            print(&serde_json::to_string_pretty(&status)?)?;
        } else {
            print(&describe(&self.site, &status).join("\n"))?;
        }
        if status.active {
            let away = "Safe Mode: the Redis with the schedules is away";
            return Err(Error::unavailable(away, Duration::from_secs(1)).into());
        }
        Ok(())
    }
}

impl Reset {
    async fn run(&self) -> anyhow::Result<()> {
        let site = self.which.open().await?;
        if self.dry_run {
            return self.plan(&site).await;
        }
        let what = match &self.user {
            Some(user) => {
                safe_mode::reset_student(&site, &Player::stored(user)).await?;
                user.as_str()
            }
            None => {
                safe_mode::reset_global(&site).await?;
                "all students together"
            }
        };
        if self.which.json {
            print(&json!({"reset": what}).to_string())
        } else {
            print(&format!("{}: counting anew for {what}", self.which.site))
        }
    }

    async fn plan(&self, site: &Site) -> anyhow::Result<()> {
        let (would, text) = match &self.user {
            Some(user) => {
                let last = safe_mode::last_request(site, &Player::stored(user)).await;
                let counted = if last.is_some() {
                    "counted"
                } else {
                    "not counted"
                };
                let would = json!({"would_reset": user, "counted": last.is_some()});
                (would, format!("{user} is {counted} and would read at once"))
            }
            None => {
                let count = safe_mode::global_count(site).await;
                let would = json!({"would_reset": "all students together", "requests": count});
                (
                    would,
                    format!("{count} reads of this minute would be forgotten"),
                )
            }
        };
        match self.which.json {
            true => print(&would.to_string()),
            false => print(&format!("{}: {text}", self.which.site)),
        }
    }
}

fn describe(site: &str, status: &Status) -> Vec<String> {
    let mut lines = vec![match (&status.active, &status.since) {
        (true, Some(since)) => format!("{site}: Safe Mode, noticed {since}"),
        (true, None) => format!("{site}: Redis is away; no read has noticed it yet"),
        (false, Some(since)) => {
            format!("{site}: Redis is there again; the outage since {since} is about to end")
        }
        (false, None) => format!("{site}: no Safe Mode"),
    }];
    lines.push(format!(
        "  reads without the cache in this minute: {} of {}; one of each student in {} s",
        status.requests, status.global_limit, status.user_seconds
    ));
    if let Some(last) = &status.last {
        lines.push(format!("  last outage: {} to {}", last.began, last.ended));
    }
    if !status.told {
        let until = "once the queue Redis answers, and no other host is cut off";
        lines.push(format!("  administrators are told {until}"));
    }
    lines.push(match &status.counters {
        Some(file) => format!("  counted in {file}"),
        None => "  each process counts for itself: the site's folder cannot be written".to_owned(),
    });
    lines
}

fn print(text: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{text}")?;
    answered();
    Ok(())
}
