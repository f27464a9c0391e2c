//! Places where a test stops, fails or kills an operation.
//!
//! Compiled to nothing without the feature `failpoints`, which only the test build has.
//! A point is named by the operation's step (`after_journal`, `before_publish`, …) and
//! belongs to a scope, the site's name, so that tests in one process do not meet.
//!
//! A process started by a test reads `MEMORA_FAILPOINTS=after_journal=exit,...`, for all
//! its sites; `exit` ends the process at once, as a power cut would, `sleep200` waits so
//! many milliseconds.
//!
//! Such a process may also break a rule on purpose, `MEMORA_PLANT=no_overlay,...`
//! ([`planted`]): the soak's checker must find out. And it may live in another time,
//! `MEMORA_CLOCK_SKEW_MS=-5000` ([`clock_skew`]), as hosts do.

/// Waits, fails or exits here if a test asked for it; returns at once otherwise.
///
/// # Errors
/// The error that a test planted.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
#[expect(clippy::unused_async, reason = "same signature as in test builds")]
pub async fn hit(_scope: &str, _point: &str) -> crate::Result<()> {
    Ok(())
}

/// Whether this process breaks the rule of this name on purpose.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub const fn planted(_rule: &str) -> bool {
    false
}

/// Microseconds by which this process's clock is wrong.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub const fn clock_skew() -> i64 {
    0
}

#[cfg(feature = "failpoints")]
pub use with_feature::*;

#[cfg(feature = "failpoints")]
mod with_feature {
    use std::collections::{HashMap, HashSet};
    use std::sync::{Arc, LazyLock, Mutex};
    use std::time::Duration;

    use tokio::sync::Semaphore;

    use crate::{Error, Result};

    /// What happens at a point.
    #[derive(Clone)]
    enum Action {
        Pause {
            reached: Arc<Semaphore>,
            go: Arc<Semaphore>,
        },
        Fail,
        Panic,
        Exit,
        Sleep(Duration),
    }

    type Points = HashMap<(String, String), Action>;
    static POINTS: LazyLock<Mutex<Points>> = LazyLock::new(|| Mutex::new(from_environment()));

    /// How long a test waits for an operation to come to a point.
    const PATIENCE: Duration = Duration::from_secs(60);

    /// Scope of points given through the environment: every site.
    const ANY: &str = "*";

    fn from_environment() -> Points {
        let spec = std::env::var("MEMORA_FAILPOINTS").unwrap_or_default();
        spec.split(',')
            .filter_map(|entry| entry.split_once('='))
            .filter_map(|(point, action)| {
                let action = match action {
                    "exit" => Action::Exit,
                    "fail" => Action::Fail,
                    "panic" => Action::Panic,
                    _ => {
                        let millis = action.strip_prefix("sleep")?.parse().ok()?;
                        Action::Sleep(Duration::from_millis(millis))
                    }
                };
                Some(((ANY.to_owned(), point.to_owned()), action))
            })
            .collect()
    }

    static PLANTED: LazyLock<HashSet<String>> = LazyLock::new(|| {
        let spec = std::env::var("MEMORA_PLANT").unwrap_or_default();
        spec.split(',').map(str::to_owned).collect()
    });

    static SKEW: LazyLock<i64> = LazyLock::new(|| {
        let millis = std::env::var("MEMORA_CLOCK_SKEW_MS").unwrap_or_default();
        millis.parse::<i64>().unwrap_or(0) * 1000
    });

    /// Whether this process breaks the rule of this name on purpose: `no_overlay`,
    /// `two_snapshots`, `no_token`, `no_dirty`, `no_instance`, `ack_before_journal`,
    /// `wall_time` or `no_reassert`.
    #[must_use]
    pub fn planted(rule: &str) -> bool {
        PLANTED.contains(rule)
    }

    /// Microseconds by which this process's clock is wrong.
    #[must_use]
    pub fn clock_skew() -> i64 {
        *SKEW
    }

    fn points() -> std::sync::MutexGuard<'static, Points> {
        POINTS
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Waits, fails or exits here if a test asked for it.
    ///
    /// # Errors
    /// The error that a test planted.
    ///
    /// # Panics
    /// If a test asked for it.
    pub async fn hit(scope: &str, point: &str) -> Result<()> {
        let action = {
            let points = points();
            points
                .get(&(scope.to_owned(), point.to_owned()))
                .or_else(|| points.get(&(ANY.to_owned(), point.to_owned())))
                .cloned()
        };
        match action {
            None => Ok(()),
            Some(Action::Fail) => Err(Error::internal(format!("failpoint {point}"))),
            Some(Action::Panic) => panic!("failpoint {point}"),
            Some(Action::Exit) => std::process::exit(137),
            Some(Action::Sleep(time)) => {
                tokio::time::sleep(time).await;
                Ok(())
            }
            Some(Action::Pause { reached, go }) => {
                reached.add_permits(1);
                if let Ok(permit) = go.acquire().await {
                    permit.forget();
                }
                Ok(())
            }
        }
    }

    /// A point at which operations stop until the test lets them go. Dropping it lets
    /// everybody go and removes the point.
    pub struct Paused {
        key: (String, String),
        reached: Arc<Semaphore>,
        go: Arc<Semaphore>,
    }

    impl Paused {
        /// Waits until one more operation stands at the point.
        ///
        /// # Panics
        /// If none comes within a minute: a test that fails says more than one that hangs.
        pub async fn reached(&self) {
            let reached = tokio::time::timeout(PATIENCE, self.reached.acquire()).await;
            match reached {
                Ok(Ok(permit)) => permit.forget(),
                Ok(Err(_)) => {}
                Err(_) => panic!("Nothing came to {:?} within {PATIENCE:?}", self.key),
            }
        }

        /// Lets one operation go on.
        pub fn release(&self) {
            self.go.add_permits(1);
        }
    }

    impl Drop for Paused {
        fn drop(&mut self) {
            points().remove(&self.key);
            self.go.close();
            self.reached.close();
        }
    }

    /// Stops every operation of `scope` at `point`.
    #[must_use]
    pub fn pause(scope: &str, point: &str) -> Paused {
        let key = (scope.to_owned(), point.to_owned());
        let (reached, go) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        points().insert(
            key.clone(),
            Action::Pause {
                reached: reached.clone(),
                go: go.clone(),
            },
        );
        Paused { key, reached, go }
    }

    /// Makes every operation of `scope` fail at `point` until the guard is dropped.
    #[must_use]
    pub fn fail(scope: &str, point: &str) -> Failing {
        let key = (scope.to_owned(), point.to_owned());
        points().insert(key.clone(), Action::Fail);
        Failing { key }
    }

    /// Makes every operation of `scope` panic at `point` until the guard is dropped.
    #[must_use]
    pub fn panic(scope: &str, point: &str) -> Failing {
        let key = (scope.to_owned(), point.to_owned());
        points().insert(key.clone(), Action::Panic);
        Failing { key }
    }

    /// See [`fail`] and [`panic`](fn@panic).
    pub struct Failing {
        key: (String, String),
    }

    impl Drop for Failing {
        fn drop(&mut self) {
            points().remove(&self.key);
        }
    }
}
