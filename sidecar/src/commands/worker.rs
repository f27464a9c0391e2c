//! `memora-srs worker`.

use std::sync::Arc;

use clap::Args;
use memora_core::services::Sites;
use memora_core::services::worker::{self, Stopping};
use tokio::sync::watch;

use super::stop_signals;
use crate::cli::{Bench, Threads};

#[derive(Debug, Args)]
pub(crate) struct Worker {
    #[command(flatten)]
    bench: Bench,
    /// Sites to work for; every site of the bench if not given. May be repeated.
    #[arg(long, value_name = "NAME")]
    site: Vec<String>,
    /// Queues to take jobs from, without the bench's prefix, the first before the second;
    /// those of their own that the sites' jobs go to if not given. May be repeated.
    #[arg(long, value_name = "NAME")]
    queue: Vec<String>,
    /// End once no job waits, as `rq worker --burst` does.
    #[arg(long)]
    burst: bool,
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
            burst: self.burst,
        };
        let (stop, stopping) = watch::channel(Stopping::No);
        let mut signals = stop_signals()?;
        let tell = async {
            signals.next().await;
            let _ = stop.send(Stopping::Soon);
            signals.next_after_a_second().await;
            tracing::warn!("stopping at once: jobs under way go back to the queue");
            let _ = stop.send(Stopping::Now);
            std::future::pending().await
        };
        tokio::select! {
            done = worker::run(sites, options, stopping) => Ok(done?),
            () = tell => Ok(()),
        }
    }
}
