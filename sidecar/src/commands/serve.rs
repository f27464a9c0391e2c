//! `memora-srs serve`.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use memora_core::services::{Sites, housekeeping, upkeep};
use tokio::net::TcpListener;

use super::stop_signal;
use crate::cli::{Bench, Threads};
use crate::server;

/// How often journals are looked through, where workers do it all the time.
const HOUSEKEEPING: Duration = Duration::from_secs(60);

#[derive(Debug, Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    bench: Bench,
    /// Address to listen on; port 0 takes a free one. The address in use is printed.
    #[arg(long, default_value = "127.0.0.1:8765", value_name = "ADDRESS:PORT")]
    bind: SocketAddr,
    /// Connections at once.
    #[arg(long, value_name = "N", default_value_t = server::Options::default().max_connections)]
    max_connections: usize,
    #[command(flatten)]
    threads: Threads,
}

impl Serve {
    pub(crate) fn run(self) -> anyhow::Result<()> {
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
        let upkeep = tokio::spawn(upkeep::run(sites.clone()));
        server::run(listener, sites, options, stop).await;
        housekeeping.abort();
        upkeep.abort();
        Ok(())
    }
}
