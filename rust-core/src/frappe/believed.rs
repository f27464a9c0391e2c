//! What was read about somebody, believed for a while; one look-up for a crowd.
//!
//! Each use says how old a reading may be. Whoever finds it missing or too old reads
//! anew, and all who ask for the same meanwhile wait for that reading. A failed reading
//! is handed to those who waited and then forgotten: it neither outlives its cause nor
//! takes room from good ones.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use quick_cache::sync::Cache;
use tokio::time::timeout;

use super::stop::{Step, Stop};
use crate::ErrorKind;
use crate::metrics::{LoginOutcome, Looked, metrics};
use crate::types::UtcMicros;

/// See the module's documentation. `T` is cheap to clone.
pub(super) struct Believed<T> {
    readings: Cache<String, Arc<Reading<T>>>,
    /// The last good one of each, for [`Believed::get_or_older`].
    last: Cache<String, Arc<Reading<T>>>,
    counted: Option<Counted>,
}

/// Where its look-ups are counted.
struct Counted {
    hits: Counter,
    misses: Counter,
}

/// What to do when a server does not answer in time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Older {
    /// How long to wait for it.
    pub(super) wait: Duration,
    /// How old a reading may be that is believed instead.
    pub(super) max_age: Duration,
}

struct Reading<T> {
    /// When it was asked for, so never later than when it was true.
    at: UtcMicros,
    outcome: Step<T>,
}

impl<T> Reading<T> {
    fn age(&self, now: UtcMicros) -> Duration {
        Duration::from_micros(now.0.abs_diff(self.at.0))
    }

    /// Requests are served in no particular order, so a reading may be a little younger
    /// than `now`; a clock that was set back makes it as stale as one that was set forward.
    fn is_good(&self, now: UtcMicros, max_age: Duration) -> bool {
        self.outcome.is_ok() && self.age(now) <= max_age
    }
}

impl<T: Clone> Believed<T> {
    /// Remembers at most about `capacity` readings.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            readings: Cache::new(capacity),
            last: Cache::new(capacity),
            counted: None,
        }
    }

    /// The same, with its look-ups counted as those of `what`.
    pub(super) fn counted_as(self, what: Looked) -> Self {
        let counter = |outcome| metrics().login_lookups(what, outcome);
        Self {
            counted: Some(Counted {
                hits: counter(LoginOutcome::Hit),
                misses: counter(LoginOutcome::Miss),
            }),
            ..self
        }
    }

    /// As [`Self::get`]; where the reading does not come in time, or fails because a server
    /// is away, an older one is believed.
    ///
    /// # Errors
    /// Those of `read`.
    pub(super) async fn get_or_older(
        &self,
        key: &str,
        now: UtcMicros,
        max_age: Duration,
        older: Older,
        read: impl Future<Output = Step<T>>,
    ) -> Step<(T, Duration)> {
        let last = self
            .last
            .get(key)
            .filter(|last| last.age(now) <= older.max_age);
        let Some(last) = last else {
            return self.get(key, now, max_age, read).await;
        };
        match timeout(older.wait, self.get(key, now, max_age, read)).await {
            Ok(Err(Stop::Fail(error))) if error.kind() == ErrorKind::Unavailable => {}
            Ok(outcome) => return outcome,
            Err(_) => {}
        }
        Ok((last.outcome.clone()?, last.age(now)))
    }

    /// The reading under `key` and its age, read with `read` unless one of at most
    /// `max_age` is at hand.
    ///
    /// # Errors
    /// Those of `read`.
    pub(super) async fn get(
        &self,
        key: &str,
        now: UtcMicros,
        max_age: Duration,
        read: impl Future<Output = Step<T>>,
    ) -> Step<(T, Duration)> {
        if let Some(reading) = self.readings.get(key) {
            if reading.is_good(now, max_age) {
                if let Some(counted) = &self.counted {
                    counted.hits.inc();
                }
                return Ok((reading.outcome.clone()?, reading.age(now)));
            }
            self.readings
                .remove_if(key, |reading| !reading.is_good(now, max_age));
        }
        if let Some(counted) = &self.counted {
            counted.misses.inc();
        }
        let reading = match self.readings.get_value_or_guard_async(key).await {
            Ok(reading) => reading,
            // If this request is given up while it reads, the guard passes the task on
            // to the next who waits.
            Err(guard) => {
                let outcome = read.await;
                let reading = Arc::new(Reading { at: now, outcome });
                let _ = guard.insert(reading.clone());
                if reading.outcome.is_err() {
                    self.readings
                        .remove_if(key, |stored| Arc::ptr_eq(stored, &reading));
                } else {
                    self.last.insert(key.to_owned(), reading.clone());
                }
                reading
            }
        };
        Ok((reading.outcome.clone()?, reading.age(now)))
    }

    /// Remembers what was read along with something else.
    pub(super) fn put(&self, key: &str, now: UtcMicros, value: T) {
        let reading = Reading {
            at: now,
            outcome: Ok(value),
        };
        let reading = Arc::new(reading);
        self.last.insert(key.to_owned(), reading.clone());
        self.readings.insert(key.to_owned(), reading);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::Barrier;

    use super::*;
    use crate::Error;
    use crate::frappe::stop::Stop;

    const MAX_AGE: Duration = Duration::from_secs(5);
    const NOW: UtcMicros = UtcMicros(1_000_000_000);

    async fn get(believed: &Believed<u32>, now: UtcMicros, value: u32) -> u32 {
        let read = async { Ok(value) };
        believed.get("key", now, MAX_AGE, read).await.unwrap().0
    }

    #[tokio::test]
    async fn a_reading_is_believed_until_it_is_too_old() {
        let believed = Believed::new(10);
        assert_eq!(get(&believed, NOW, 1).await, 1);
        assert_eq!(get(&believed, NOW.plus_seconds(5), 2).await, 1);
        assert_eq!(get(&believed, NOW.plus_seconds(6), 3).await, 3);
        // A clock set back by more than that is not believed either.
        assert_eq!(get(&believed, NOW, 4).await, 4);
    }

    #[tokio::test]
    async fn a_crowd_reads_once_even_if_that_fails() {
        for fails in [false, true] {
            let believed = Arc::new(Believed::new(10));
            let reads = Arc::new(AtomicU32::new(0));
            let barrier = Arc::new(Barrier::new(50));
            let crowd: Vec<_> = (0..50)
                .map(|i| {
                    let (believed, reads) = (believed.clone(), reads.clone());
                    let barrier = barrier.clone();
                    tokio::spawn(async move {
                        barrier.wait().await;
                        let read = async {
                            reads.fetch_add(1, Ordering::SeqCst);
                            // All others get as far as waiting before this is done.
                            for _ in 0..1000 {
                                tokio::task::yield_now().await;
                            }
                            match fails {
                                true => Err(Stop::Fail(Error::internal("away"))),
                                false => Ok(7),
                            }
                        };
                        let now = UtcMicros(NOW.0 - i);
                        believed.get("key", now, MAX_AGE, read).await.is_err()
                    })
                })
                .collect();
            for one in crowd {
                assert_eq!(one.await.unwrap(), fails);
            }
            assert_eq!(reads.load(Ordering::SeqCst), 1);
            assert_eq!(believed.readings.len(), usize::from(!fails));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_older_reading_stands_in_for_a_server_that_does_not_answer() {
        let older = Older {
            wait: Duration::from_millis(100),
            max_age: Duration::from_secs(600),
        };
        let never = || std::future::pending::<Step<u32>>();
        let away = || async { Err(Error::unavailable("away", MAX_AGE).into()) };
        let wrong = || async { Err(Stop::Decline("wrong")) };
        let believed = Believed::new(10);
        assert_eq!(get(&believed, NOW, 1).await, 1);
        let later = NOW.plus_seconds(60);
        let ask = |now, read| believed.get_or_older("key", now, MAX_AGE, older, read);
        let slow = ask(later, Box::pin(never()) as Reader).await.unwrap();
        assert_eq!(slow, (1, Duration::from_secs(60)));
        let gone = ask(later, Box::pin(away())).await.unwrap();
        assert_eq!(gone.0, 1);
        // What was answered counts, whatever it is.
        assert!(ask(later, Box::pin(wrong())).await.is_err());
        let fresh = ask(later, Box::pin(async { Ok(2) })).await.unwrap();
        assert_eq!(fresh, (2, Duration::ZERO));
        // Nothing is believed for ever.
        let late = NOW.plus_seconds(661);
        assert!(ask(late, Box::pin(away())).await.is_err());
    }

    type Reader = std::pin::Pin<Box<dyn Future<Output = Step<u32>>>>;

    #[tokio::test]
    async fn a_reader_that_gives_up_leaves_the_task_to_the_next() {
        let believed = Arc::new(Believed::new(10));
        let never = {
            let believed = believed.clone();
            tokio::spawn(async move {
                let read = std::future::pending::<Step<u32>>();
                let _ = believed.get("key", NOW, MAX_AGE, read).await;
            })
        };
        tokio::task::yield_now().await;
        let next = {
            let believed = believed.clone();
            tokio::spawn(async move { get(&believed, NOW, 9).await })
        };
        tokio::task::yield_now().await;
        never.abort();
        assert_eq!(next.await.unwrap(), 9);
    }
}
