//! A site that is the one that is checked, but for its Redis: those are at an address where
//! nobody listens, and nobody can begin to while this is there.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::TcpSocket;

use crate::config::Secret;
use crate::services::Site;
use crate::types::new_ulid;
use crate::{Error, Result};

/// Reads of all students in a minute that this site allows.
pub(super) const ALL: u64 = 3;

/// See the module's documentation.
pub(super) struct Nowhere {
    pub(super) site: Arc<Site>,
    /// Bound, so that the port is nobody else's; not listening, so that it refuses.
    _address: TcpSocket,
    folder: PathBuf,
}

impl Nowhere {
    pub(super) fn of(site: &Site) -> Result<Self> {
        let cannot = |e| Error::internal("No address for a Redis that is away").with_source(e);
        let socket = TcpSocket::new_v4().map_err(cannot)?;
        socket
            .bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
            .map_err(cannot)?;
        let url = format!("redis://{}", socket.local_addr().map_err(cannot)?);
        // A folder of its own: the reads that are counted here are no students'.
        let folder = std::env::temp_dir().join(format!("memora-check-{}", new_ulid()));
        let mut config = site.config.clone();
        for redis in [
            &mut config.srs_redis,
            &mut config.redis_cache,
            &mut config.redis_queue,
        ] {
            *redis = Secret::new(url.clone());
        }
        config.sites_path.clone_from(&folder);
        // In the log it must not look as if the site itself were without Redis.
        config.site = format!("{} (check)", site.config.site);
        config.srs.safe_mode_global_limit = ALL;
        let made = fs::create_dir_all(folder.join(&config.site));
        let opened = made.map_err(cannot).and_then(|()| Site::open(config));
        match opened {
            Ok(site) => Ok(Self {
                site,
                _address: socket,
                folder,
            }),
            Err(error) => {
                let _ = fs::remove_dir_all(&folder);
                Err(error)
            }
        }
    }

    pub(super) async fn close(self) {
        self.site.db.close().await;
    }
}

impl Drop for Nowhere {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}
