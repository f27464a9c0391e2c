//! What a process that stays does for its sites besides answering.

use std::sync::Arc;
use std::time::Duration;

use super::{Sites, unjournaled};

/// How often the spool and the queue's entries are looked through.
const LOOK: Duration = Duration::from_secs(5);

/// Looks, now and every few seconds, for submits that were acknowledged and have no journal
/// row, of whatever process ([`unjournaled::look`]). Ends when it is dropped.
pub async fn run(sites: Arc<Sites>) {
    loop {
        for name in sites.names().unwrap_or_default() {
            let looked = async {
                let site = sites.get(&name).await?;
                unjournaled::look(&site).await
            };
            if let Err(error) = looked.await {
                tracing::debug!(site = name, ?error, "Not looked through");
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}
