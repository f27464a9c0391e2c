//! `memora-srs cache`.

use std::time::Duration;

use clap::{Args, Subcommand};
use memora_core::Error;
use memora_core::services::Site;
use memora_core::services::clear::{self, CacheStatus};
use memora_core::services::schedule::{self, Owner, Stats};
use memora_core::services::work::{Progress, Tell};
use memora_core::types::{Season, UtcMicros};
use serde_json::json;

use super::long::{self, Common, name};

pub(crate) const EXAMPLES: &str = "\
Examples:
  memora-srs cache stats --sites-path sites --site school.example.com
  memora-srs cache stats --sites-path sites --site school.example.com --user ann@example.com --season SEASON-2026
  memora-srs cache clear --sites-path sites --site school.example.com --season SEASON-2025
  memora-srs cache clear --sites-path sites --site school.example.com --season SEASON-2025 --dry-run
  memora-srs cache clear --sites-path sites --site school.example.com --season SEASON-2026 --user ann@example.com

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 wrong configuration, 4 Redis is away.";

/// Look at the cached schedules, or forget some of them; the table stays.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Cache {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Say how many schedules are cached of each season, or how large one is.
    Stats(Look),
    /// Forget the schedules of a season, or of one of its students. Reads fill them again.
    Clear(Clear),
}

#[derive(Debug, Args)]
struct Look {
    #[command(flatten)]
    common: Common,
    /// The season.
    #[arg(long, value_name = "NAME", value_parser = name)]
    season: Option<String>,
    /// One student's schedule, named as the User is stored.
    #[arg(long, value_name = "USER", value_parser = name, requires = "season")]
    user: Option<String>,
}

#[derive(Debug, Args)]
struct Clear {
    #[command(flatten)]
    common: Common,
    /// The season.
    #[arg(long, value_name = "NAME", value_parser = name)]
    season: String,
    /// One student's schedule, named as the User is stored.
    #[arg(long, value_name = "USER", value_parser = name)]
    user: Option<String>,
    /// Only say how many schedules would be forgotten.
    #[arg(long)]
    dry_run: bool,
}

impl Cache {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        long::run(async move {
            match self.action {
                Action::Stats(look) => look.run().await,
                Action::Clear(clear) => clear.run().await,
            }
        })
    }
}

impl Look {
    async fn run(&self) -> anyhow::Result<()> {
        let site = self.common.site().await?;
        if let (Some(user), Some(season)) = (&self.user, &self.season) {
            let owner = Owner::new(user, season)?;
            let stats = schedule::stats(&site, &owner, UtcMicros::now()).await?;
            return self.common.print(&stats, || of_one(user, season, &stats));
        }
        let mut status = clear::status(&site).await?;
        if let Some(season) = &self.season {
            status.keys_by_season.retain(|name, _| name == season);
            status.total_keys = status.keys_by_season.values().sum();
        }
        self.common
            .print(&status, || describe(&self.common.site, &status))?;
        if !status.redis_connected {
            return Err(away());
        }
        Ok(())
    }
}

impl Clear {
    async fn run(&self) -> anyhow::Result<()> {
        let site = self.common.site().await?;
        let season = clear::named(&site, &self.season).await?;
        if self.dry_run {
            return self.plan(&site, &season).await;
        }
        let cleared = match &self.user {
            Some(user) => {
                let owner = Owner::new(user, season.as_str())?;
                u64::from(schedule::clear(&site, &owner).await?)
            }
            None => {
                let bar = long::bar();
                let shown = bar.clone();
                let tell: Box<Tell> =
                    Box::new(move |progress: Progress| long::show(&shown, progress));
                let cleared = clear::season(&site, &season, &*tell).await;
                bar.finish_and_clear();
                cleared?
            }
        };
        self.common.print(&json!({"cleared": cleared}), || {
            format!("{season}: {cleared} schedules forgotten")
        })
    }
}

impl Clear {
    async fn plan(&self, site: &Site, season: &Season) -> anyhow::Result<()> {
        let (schedules, is_complete) = match &self.user {
            Some(user) => {
                let owner = Owner::new(user, season.as_str())?;
                let stats = schedule::stats(site, &owner, UtcMicros::now()).await?;
                (u64::from(stats.total_items > 0), true)
            }
            None => {
                let status = clear::status(site).await?;
                if !status.redis_connected {
                    return Err(away());
                }
                let found = status.keys_by_season.get(season.as_str());
                (found.copied().unwrap_or(0), status.is_complete)
            }
        };
        let would = json!({"would_clear": schedules, "is_complete": is_complete});
        self.common.print(&would, || {
            let least = if is_complete { "" } else { "at least " };
            format!("{season}: {least}{schedules} schedules would be forgotten")
        })
    }
}

fn away() -> anyhow::Error {
    let away = "the Redis with the schedules is away";
    Error::unavailable(away, Duration::from_secs(5)).into()
}

fn of_one(user: &str, season: &str, stats: &Stats) -> String {
    format!(
        "{user}, {season}: {} questions, {} of them due, {} bytes",
        stats.total_items, stats.due_items, stats.memory_usage_bytes
    )
}

fn describe(site: &str, status: &CacheStatus) -> String {
    if !status.redis_connected {
        return format!("{site}: Redis does not answer");
    }
    let mut lines = vec![format!(
        "{site}: {} schedules; Redis uses {} MiB for everything in it",
        status.total_keys, status.memory_used_mb
    )];
    let seasons = status.keys_by_season.iter();
    lines.extend(seasons.map(|(season, keys)| format!("  {season}: {keys}")));
    if !status.is_complete {
        lines.push(format!(
            "  at least: {} of {} keys were looked at in the time that was to be had",
            status.keys_looked_at, status.keys_in_redis
        ));
    }
    if status.is_safe_mode {
        lines.push("  Safe Mode: students are answered without it".to_owned());
    }
    lines.join("\n")
}
