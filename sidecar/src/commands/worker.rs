//! `memora-srs worker`.

use std::net::SocketAddr;
use std::sync::Arc;

use clap::Args;
use memora_core::services::Sites;
use memora_core::services::worker::{self, Stopping};
use tokio::sync::watch;

use super::listen::monitoring;
use super::stop_signals;
use crate::cli::{Bench, Threads};
use crate::metrics;

pub(crate) const EXAMPLES: &str = "\
Examples:
  memora-srs worker --sites-path sites
  memora-srs worker --sites-path sites --site school.example.com --queue srs_write --queue default
  memora-srs worker --sites-path sites --burst

Exit codes: 0 told to stop, or nothing left to do (--burst); 1 failed, 2 wrong usage, 3 wrong
configuration, or no site; 4 a server is away (--burst: without, it waits).";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
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
    /// Also serve `/metrics`, `/healthz` and `/readyz`, on this address; port 0 takes a free
    /// one. They need no login: let nothing but your monitoring reach it.
    #[arg(long, value_name = "ADDRESS:PORT")]
    metrics_bind: Option<SocketAddr>,
    #[command(flatten)]
    threads: Threads,
}

impl Worker {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let runtime = self.threads.runtime()?;
        runtime.block_on(self.work())
    }

    async fn work(self) -> anyhow::Result<()> {
        let sites = Arc::new(Sites::new(&self.bench.sites_path));
        if self.site.is_empty() {
            sites.some_names()?;
        }
        let options = worker::Options {
            sites: self.site,
            queues: self.queue,
            burst: self.burst,
        };
        let metrics = metrics::start(monitoring(self.metrics_bind, false)?, &sites)?;
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
        let outcome = tokio::select! {
            done = worker::run(sites, options, stopping) => done.map_err(Into::into),
            () = tell => Ok(()),
        };
        if let Some(metrics) = metrics {
            metrics.abort();
        }
        outcome
    }
}
