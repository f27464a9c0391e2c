//! `memora-srs status`.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use clap::Args;
use memora_core::Error;
use memora_core::services::Sites;
use memora_core::services::status::{self, Finding, Level, Status};

use super::long;
use super::paint::Paint;
use crate::cli::Bench;
use crate::failure::answered;

pub(crate) const EXAMPLES: &str = "\
Examples:
  memora-srs status --sites-path sites
  memora-srs status --sites-path sites --site school.example.com
  memora-srs status --sites-path sites --site school.example.com --json

Without --site a site that does not have the app is only named.

Exit codes: 0 all is well, warnings aside; 1 something is wrong, 2 wrong usage, 3 no such
site, no site at all, or no bench; 4 a server is away.";

/// Say at a glance what is wrong with a site, and what to do.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ShowStatus {
    #[command(flatten)]
    bench: Bench,
    /// The site to look at; every site of the bench if not given.
    #[arg(long, value_name = "NAME")]
    site: Option<String>,
    /// Print JSON: a list of sites.
    #[arg(long)]
    json: bool,
}

impl ShowStatus {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        long::run(self.show())
    }

    async fn show(self) -> anyhow::Result<()> {
        let sites = Sites::new(&self.bench.sites_path);
        let looked = match &self.site {
            Some(name) => vec![status::look_at(&sites, name).await?],
            None => status::look_at_all(&sites).await?,
        };
        let mut out = std::io::stdout().lock();
        if self.json {
            writeln!(out, "{}", serde_json::to_string_pretty(&looked)?)?;
        } else {
            let paint = Paint::new(std::io::stdout().is_terminal());
            for status in &looked {
                writeln!(out, "{}", describe(status, paint))?;
            }
        }
        answered();
        let worst = looked.iter().map(|status| status.level).max();
        match worst.unwrap_or(Level::Well) {
            Level::Well | Level::Warning => Ok(()),
            Level::Wrong => anyhow::bail!("something is wrong"),
            Level::Away => {
                Err(Error::unavailable("a server is away", Duration::from_secs(5)).into())
            }
        }
    }
}

/// What is wrong first, and what to do under it.
fn describe(status: &Status, paint: Paint) -> String {
    let mut lines = vec![format!(
        "{}: {}",
        status.site,
        word(status.level, paint).trim_end()
    )];
    let mut findings: Vec<&Finding> = status.findings.iter().collect();
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    for Finding {
        about,
        level,
        says,
        remedy,
    } in findings
    {
        lines.push(format!("  {}  {about:18} {says}", word(*level, paint)));
        lines.extend(remedy.iter().map(|remedy| format!("           {remedy}")));
    }
    lines.join("\n")
}

fn word(level: Level, paint: Paint) -> String {
    match level {
        Level::Well => paint.green("well   "),
        Level::Warning => paint.yellow("warning"),
        Level::Wrong => paint.red("WRONG  "),
        Level::Away => paint.red("AWAY   "),
    }
}
