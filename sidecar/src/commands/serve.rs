//! `memora-srs serve`.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use memora_core::services::{Sites, housekeeping, upkeep};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::{open_files, stop_signal};
use crate::cli::{Bench, Threads};
use crate::{metrics, server};

/// How often journals are looked through, where workers do it all the time.
const HOUSEKEEPING: Duration = Duration::from_secs(60);

#[derive(Debug, Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    bench: Bench,
    /// Address to listen on; port 0 takes a free one. The address in use is printed.
    #[arg(long, default_value = "127.0.0.1:8765", value_name = "ADDRESS:PORT")]
    bind: SocketAddr,
    /// Also serve `/metrics` for Prometheus, on this address; port 0 takes a free one. It
    /// needs no login: let nothing but Prometheus reach it.
    #[arg(long, value_name = "ADDRESS:PORT")]
    metrics_bind: Option<SocketAddr>,
    /// Connections at once. Each needs an open file: the process raises its soft limit itself,
    /// as far as the hard limit (systemd's `LimitNOFILE`) lets it.
    #[arg(long, value_name = "N", default_value_t = server::Options::default().max_connections)]
    max_connections: usize,
    #[command(flatten)]
    threads: Threads,
}

impl Serve {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        open_files::allow(self.max_connections);
        let runtime = self.threads.runtime()?;
        runtime.block_on(self.serve())
    }

    async fn serve(self) -> anyhow::Result<()> {
        let sites_path = &self.bench.sites_path;
        anyhow::ensure!(
            sites_path.is_dir(),
            "--sites-path: {} is no folder",
            sites_path.display()
        );
        let sites = Arc::new(Sites::new(sites_path));
        let listener = TcpListener::bind(self.bind)
            .await
            .with_context(|| format!("--bind {}", self.bind))?;
        let stop = stop_signal()?;
        let options = server::Options {
            max_connections: self.max_connections,
            ..server::Options::default()
        };
        let address = listener.local_addr()?;
        writeln!(std::io::stdout(), "listening on http://{address}")?;
        let housekeeping = {
            let sites = sites.clone();
            let name = format!("sidecar-{}", std::process::id());
            tokio::spawn(async move { housekeeping::run(&sites, &[], &name, HOUSEKEEPING).await })
        };
        let metrics = self.metrics(&sites).await?;
        let upkeep = tokio::spawn(upkeep::run(sites.clone()));
        server::run(listener, sites, options, stop).await;
        housekeeping.abort();
        upkeep.abort();
        if let Some(metrics) = metrics {
            metrics.abort();
        }
        Ok(())
    }

    /// Serves the metrics, if they are wanted.
    async fn metrics(&self, sites: &Arc<Sites>) -> anyhow::Result<Option<JoinHandle<()>>> {
        let Some(bind) = self.metrics_bind else {
            return Ok(None);
        };
        let listener = TcpListener::bind(bind)
            .await
            .with_context(|| format!("--metrics-bind {bind}"))?;
        let address = listener.local_addr()?;
        writeln!(std::io::stdout(), "metrics on http://{address}/metrics")?;
        Ok(Some(tokio::spawn(metrics::run(listener, sites.clone()))))
    }
}
