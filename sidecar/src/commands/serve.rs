//! `memora-srs serve`.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use memora_core::services::{Sites, housekeeping, presence, upkeep};

use super::listen::{listener, monitoring};
use super::{open_files, stop_signal};
use crate::cli::{Bench, Threads};
use crate::{metrics, server};

/// As [`server::Options`] has it.
const MAX_CONNECTIONS: u32 = 16_384;
/// How often journals are looked through, where workers do it all the time.
const HOUSEKEEPING: Duration = Duration::from_secs(60);

pub(crate) const EXAMPLES: &str = "\
Examples:
  memora-srs serve --sites-path sites --bind 127.0.0.1:8765
  memora-srs serve --sites-path sites --bind 127.0.0.1:8765 --metrics-bind 127.0.0.1:9760 --log-format json
  memora-srs serve --sites-path sites --bind 127.0.0.1:8765 --reuse-port

Exit codes: 0 told to stop, and done; 1 failed, 2 wrong usage, 3 no bench.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Serve {
    #[command(flatten)]
    bench: Bench,
    /// Address to listen on; port 0 takes a free one. The address in use is printed.
    #[arg(long, default_value = "127.0.0.1:8765", value_name = "ADDRESS:PORT")]
    bind: SocketAddr,
    /// Let others listen to the same ports at the same time, who must say so, too: a new
    /// process starts before the old one is told to stop. A socket that systemd hands over
    /// (socket activation) is taken instead of --bind, and needs neither.
    #[arg(long)]
    reuse_port: bool,
    /// Also serve `/metrics`, `/healthz` and `/readyz`, on this address; port 0 takes a free
    /// one. They need no login: let nothing but your monitoring reach it.
    #[arg(long, value_name = "ADDRESS:PORT")]
    metrics_bind: Option<SocketAddr>,
    /// Connections at once, a million at most. Each needs an open file: the process raises its soft limit itself,
    /// as far as the hard limit (systemd's `LimitNOFILE`) lets it.
    #[arg(long, value_name = "N", default_value_t = MAX_CONNECTIONS,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    max_connections: u32,
    /// Requests that take longer, in milliseconds, are logged as slow.
    #[arg(long, value_name = "MS", default_value_t = 1000)]
    slow_request: u64,
    #[command(flatten)]
    threads: Threads,
}

impl Serve {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        open_files::allow(self.max_connections as usize);
        let runtime = self.threads.runtime()?;
        runtime.block_on(self.serve())
    }

    async fn serve(self) -> anyhow::Result<()> {
        let sites = Arc::new(Sites::new(&self.bench.sites_path));
        if sites.names()?.is_empty() {
            let folder = sites.path().display();
            tracing::warn!("There is no site below {folder} yet: nobody is served");
        }
        // Both, before anybody is told that this one listens.
        let listener = listener(self.bind, self.reuse_port)?;
        let metrics = monitoring(self.metrics_bind, self.reuse_port)?;
        let stop = stop_signal()?;
        let options = server::Options {
            max_connections: self.max_connections as usize,
            slow_request: Duration::from_millis(self.slow_request),
            ..server::Options::default()
        };
        let address = listener.local_addr()?;
        writeln!(std::io::stdout(), "listening on http://{address}")?;
        let housekeeping = {
            let sites = sites.clone();
            let name = format!("sidecar-{}", std::process::id());
            tokio::spawn(async move { housekeeping::run(&sites, &[], &name, HOUSEKEEPING).await })
        };
        let metrics = metrics::start(metrics, &sites)?;
        let upkeep = tokio::spawn(upkeep::run(sites.clone()));
        let presence = tokio::spawn(presence::keep(sites.clone()));
        server::run(listener, sites.clone(), options, stop).await;
        presence.abort();
        presence::end(&sites).await;
        housekeeping.abort();
        upkeep.abort();
        if let Some(metrics) = metrics {
            metrics.abort();
        }
        Ok(())
    }
}
