//! Waiting for a server for a bounded time without giving up on its connection.

use std::time::Duration;

use tokio::time::timeout;
use tracing::Instrument;

/// What comes of `work` if it comes within `limit`. What takes longer goes on by itself:
/// a request on a shared connection that nobody waits for any more would never find out
/// that the connection is dead, and leave it to the next.
pub async fn within<T: Send + 'static>(
    limit: Duration,
    work: impl Future<Output = T> + Send + 'static,
) -> Option<T> {
    let mut work = Box::pin(work);
    let outcome = timeout(limit, &mut work).await;
    if outcome.is_err() {
        let work = async move {
            let _ = work.await;
        };
        tokio::spawn(work.in_current_span());
    }
    outcome.ok()
}
