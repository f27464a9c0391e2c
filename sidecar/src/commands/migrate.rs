//! `memora-srs migrate`.

use clap::Args;

use crate::cli::Bench;

#[derive(Debug, Args)]
pub(crate) struct Migrate {
    #[command(flatten)]
    bench: Bench,
    /// The site whose schema is brought up to date.
    #[arg(long, value_name = "NAME")]
    site: String,
    /// Only say what would be done.
    #[arg(long)]
    dry_run: bool,
}

impl Migrate {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        anyhow::bail!(
            "no migrations in this build (site {} of {}, dry run {})",
            self.site,
            self.bench.sites_path.display(),
            self.dry_run
        )
    }
}
