//! `memora-srs check-config`.

use clap::Args;

use crate::cli::Bench;

#[derive(Debug, Args)]
pub(crate) struct CheckConfig {
    #[command(flatten)]
    bench: Bench,
    /// The site to look at.
    #[arg(long, value_name = "NAME")]
    site: String,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

impl CheckConfig {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        anyhow::bail!(
            "no report in this build (site {} of {}, json {})",
            self.site,
            self.bench.sites_path.display(),
            self.json
        )
    }
}
