//! How much may be on its way to the table before somebody should look: one rule for
//! `/readyz` and `memora-srs status`. The operations page, the alert rules and
//! `docs/MONITORING.md` name the same bounds.

/// Jobs that may wait in the queue; with more it is not being worked off.
pub const JOBS: u64 = 5000;
/// Seconds after which an accepted submit should be in the table.
pub const OLDEST_S: f64 = 300.0;
