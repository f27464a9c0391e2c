//! `memora-srs check-config`.

use std::io::Write;

use clap::Args;
use memora_core::config::{SiteReport, report};
use memora_core::servers::mariadb::MariaDb;
use memora_core::servers::refusal;
use memora_core::services::Sites;
use memora_core::store::server;

use crate::cli::Bench;
use crate::failure::answered;

pub(crate) const EXAMPLES: &str = "\
Examples:
  memora-srs check-config --sites-path sites
  memora-srs check-config --sites-path sites --site school.example.com --json

Exit codes: 0 the engine serves these sites, 1 failed, 2 wrong usage, 3 it refuses one.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
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
        if self.site.is_none() {
            Sites::new(&self.bench.sites_path).some_names()?;
        }
        let mut reports = report(&self.bench.sites_path, self.site.as_deref())?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        for report in reports.iter_mut().filter(|report| report.ok) {
            runtime.block_on(ask_servers(&self.bench, report));
        }
        let mut out = std::io::stdout().lock();
        if self.json {
            writeln!(out, "{}", serde_json::to_string_pretty(&reports)?)?;
        } else {
            for report in &reports {
                writeln!(out, "{report}")?;
            }
        }
        answered();
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

/// Adds what the site's database says about itself.
async fn ask_servers(bench: &Bench, report: &mut SiteReport) {
    let asked = async {
        let config = memora_core::config::load(&bench.sites_path, &report.site)?;
        let db = MariaDb::new(&config.db, 1);
        let problems = server::problems(&db).await;
        db.close().await;
        problems
    };
    match asked.await {
        Ok(problems) => {
            report.ok = problems.is_empty();
            report.problems.extend(problems);
        }
        Err(error) => {
            let why = refusal::login(&error).unwrap_or(error.message());
            report.warnings.push(format!(
                "{why}: whether it is set up as the engine needs it was not looked at"
            ));
        }
    }
}
