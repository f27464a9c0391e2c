//! Waiting for something to become true, without guessing how long that takes.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How long a test waits for anything before it fails. Long: a passing test never waits
/// for it, and a busy machine is no failure.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Asks again and again until `probe` has an answer.
///
/// # Panics
/// If there is none within [`PATIENCE`]; `what` says what was waited for.
pub async fn until<T, F>(what: &str, mut probe: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = probe().await {
            return answer;
        }
        assert!(
            Instant::now() < deadline,
            "waited {PATIENCE:?} in vain until {what}"
        );
        sleep(Duration::from_millis(10)).await;
    }
}
