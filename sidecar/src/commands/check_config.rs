//! `memora-srs check-config`.

use std::io::Write;

use clap::Args;
use memora_core::config::report;

use crate::cli::Bench;

#[derive(Debug, Args)]
pub(crate) struct CheckConfig {
    #[command(flatten)]
    bench: Bench,
    /// The site to look at; every site of the bench if not given.
    #[arg(long, value_name = "NAME")]
    site: Option<String>,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

impl CheckConfig {
    /// Fails if the engine would refuse a site.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let reports = report(&self.bench.sites_path, self.site.as_deref())?;
        let mut out = std::io::stdout().lock();
        if self.json {
            writeln!(out, "{}", serde_json::to_string_pretty(&reports)?)?;
        } else {
            for report in &reports {
                writeln!(out, "{report}")?;
            }
        }
        let refused: Vec<&str> = reports
            .iter()
            .filter(|report| !report.ok)
            .map(|report| report.site.as_str())
            .collect();
        if refused.is_empty() {
            Ok(())
        } else {
            let error = memora_core::Error::config(format!("refused: {}", refused.join(", ")));
            Err(error.into())
        }
    }
}
