//! `memora-srs worker`.

use clap::Args;

use crate::cli::{Bench, Threads};

#[derive(Debug, Args)]
pub(crate) struct Worker {
    #[command(flatten)]
    bench: Bench,
    /// Sites to work for; every site of the bench if not given. May be repeated.
    #[arg(long, value_name = "NAME")]
    site: Vec<String>,
    /// Queues to take jobs from, without the bench's prefix. May be repeated.
    #[arg(long, value_name = "NAME", default_value = "srs_write")]
    queue: Vec<String>,
    #[command(flatten)]
    threads: Threads,
}

impl Worker {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        // The call of memora_core::services::worker::run(sites, options, shutdown).
        let runtime = self.threads.runtime()?;
        drop(runtime);
        anyhow::bail!(
            "no worker in this build (sites {:?} of {}, queues {:?})",
            self.site,
            self.bench.sites_path.display(),
            self.queue
        )
    }
}
