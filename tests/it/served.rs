//! A sidecar in the test's own process: quick to start, and stopped the way it should be.

#![expect(clippy::unwrap_used, reason = "a panic is a test's report")]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use memora_core::services::Sites;
use memora_sidecar::server::{self, Options};
use memora_tests::{Http, TestSite};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A sidecar that serves one bench.
pub(crate) struct Served {
    /// Where.
    pub(crate) address: SocketAddr,
    stop: oneshot::Sender<()>,
    server: JoinHandle<()>,
}

impl Served {
    /// With the usual bounds.
    pub(crate) async fn start(site: &TestSite) -> Self {
        Self::start_with(site, Options::default()).await
    }

    /// With other bounds.
    pub(crate) async fn start_with(site: &TestSite, options: Options) -> Self {
        Self::start_at(&site.sites_path, options).await
    }

    /// For another `sites` folder, as another host has it.
    pub(crate) async fn start_at(sites_path: &Path, options: Options) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let sites = Arc::new(Sites::new(sites_path));
        let (stop, stopped) = oneshot::channel();
        let server = tokio::spawn(server::run(listener, sites, options, async {
            // A test that drops the sender ends anyway.
            let _ = stopped.await;
        }));
        Self {
            address,
            stop,
            server,
        }
    }

    /// A client for this site.
    pub(crate) fn http(&self, site: &TestSite) -> Http {
        Http::new(self.address, &site.name)
    }

    /// Tells the server to stop; it drains meanwhile.
    pub(crate) fn stop(self) -> JoinHandle<()> {
        let _ = self.stop.send(());
        self.server
    }
}
