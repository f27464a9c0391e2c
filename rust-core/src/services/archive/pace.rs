//! How large a chunk is, and how long the database rests after it: a quarter of the chunk's
//! time. A chunk is to take some 50 ms, so that nobody waits long behind one. It is one
//! statement on one connection, so that students have the server's other cores; the rest is
//! for what waits for the same pages or the disk.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Rows of a chunk, at least and at most.
const ROWS: (u32, u32) = (100, 20_000);
/// Rows of the first one.
const FIRST: u32 = 1000;
/// How long a chunk should take.
const TOO_SHORT: Duration = Duration::from_millis(30);
const TOO_LONG: Duration = Duration::from_millis(60);
/// The rest is the chunk's time divided by this.
const REST: u32 = 4;

/// See the module's documentation.
pub(in crate::services) struct Pace {
    rows: u32,
    started: Instant,
}

impl Pace {
    pub(in crate::services) fn new() -> Self {
        Self {
            rows: FIRST,
            started: Instant::now(),
        }
    }

    /// Begins a chunk: its rows.
    pub(in crate::services) fn begin(&mut self) -> u32 {
        self.started = Instant::now();
        self.rows
    }

    /// Ends it, and rests.
    pub(in crate::services) async fn rest(&mut self) {
        let took = self.started.elapsed();
        self.rows = after(self.rows, took);
        sleep(took / REST).await;
    }
}

fn after(rows: u32, took: Duration) -> u32 {
    let rows = match took {
        took if took < TOO_SHORT => rows + rows / 2,
        took if took > TOO_LONG => rows - rows / 3,
        _ => rows,
    };
    rows.clamp(ROWS.0, ROWS.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_grow_and_shrink_within_bounds() {
        let settle = |mut rows, millis| {
            for _ in 0..50 {
                rows = after(rows, Duration::from_millis(millis));
            }
            rows
        };
        assert_eq!(settle(FIRST, 1), ROWS.1);
        assert_eq!(settle(FIRST, 1000), ROWS.0);
        assert_eq!(settle(FIRST, 50), FIRST);
    }
}
