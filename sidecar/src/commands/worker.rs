//! `memora-srs worker`.

use std::sync::Arc;

use clap::Args;
use memora_core::services::{Sites, worker};

use super::stop_signal;
use crate::cli::{Bench, Threads};

#[derive(Debug, Args)]
pub(crate) struct Worker {
    #[command(flatten)]
    bench: Bench,
    /// Sites to work for; every site of the bench if not given. May be repeated.
    #[arg(long, value_name = "NAME")]
    site: Vec<String>,
    /// Queues to take jobs from, without the bench's prefix; those of their own that the
    /// sites' jobs go to if not given. May be repeated.
    #[arg(long, value_name = "NAME")]
    queue: Vec<String>,
    #[command(flatten)]
    threads: Threads,
}

impl Worker {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let runtime = self.threads.runtime()?;
        runtime.block_on(self.work())
    }

    async fn work(self) -> anyhow::Result<()> {
        let sites_path = &self.bench.sites_path;
        anyhow::ensure!(
            sites_path.is_dir(),
            "--sites-path: {} is no folder",
            sites_path.display()
        );
        let sites = Arc::new(Sites::new(sites_path));
        let options = worker::Options {
            sites: self.site,
            queues: self.queue,
        };
        Ok(worker::run(sites, options, stop_signal()?).await?)
    }
}
