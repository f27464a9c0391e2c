//! An open-loop load generator.
//!
//! Requests start when the plan says so, not when the last one ended, and latency is
//! measured from the planned start: a server that stalls for a second makes a second's
//! worth of requests late, and all of them show. (A loop that waits for each answer
//! sends nothing while the server stalls and sees one slow request: "coordinated
//! omission".)

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};

/// How long to wait for answers after the last request was sent.
const LAST_ANSWERS: Duration = Duration::from_secs(30);

/// What a run of load showed.
#[derive(Debug, Clone)]
pub struct Report {
    /// Latencies of the answered requests, from their planned start.
    pub latencies: Latencies,
    /// Requests that failed, with the first reason.
    pub failed: u64,
    /// The first failure's reason.
    pub first_failure: Option<String>,
    /// Requests without an answer at the end.
    pub unanswered: u64,
    /// How late the generator itself sent its latest request: large means that this
    /// machine, not the server, was too slow for the rate.
    pub latest_start: Duration,
}

/// Sends `rate` requests a second for `duration`, evenly spaced. `request` is called with
/// the request's number, from 0.
pub async fn run<F, E>(
    rate: f64,
    duration: Duration,
    request: impl Fn(u64) -> F + Send + Sync + 'static,
) -> Report
where
    F: Future<Output = Result<(), E>> + Send,
    E: fmt::Display + Send + 'static,
{
    let count = (rate * duration.as_secs_f64()).round() as u64;
    let request = Arc::new(request);
    let start = Instant::now();
    let mut latest_start = Duration::ZERO;
    let mut tasks = JoinSet::new();
    for n in 0..count {
        let planned = start + Duration::from_secs_f64(n as f64 / rate);
        // The timer ticks in milliseconds; what is due by then goes out together.
        if planned > Instant::now() {
            sleep_until(planned).await;
        }
        latest_start = latest_start.max(planned.elapsed());
        let request = request.clone();
        tasks.spawn(async move {
            let result = request(n).await;
            (planned.elapsed(), result.map_err(|e| e.to_string()))
        });
    }

    let deadline = Instant::now() + LAST_ANSWERS;
    let (mut micros, mut failed, mut first_failure) = (Vec::new(), 0, None);
    while let Ok(Some(done)) = timeout_at(deadline, tasks.join_next()).await {
        match done {
            Ok((latency, Ok(()))) => micros.push(latency.as_micros() as u64),
            Ok((_, Err(reason))) => {
                failed += 1;
                first_failure.get_or_insert(reason);
            }
            Err(panic) => {
                failed += 1;
                first_failure.get_or_insert(panic.to_string());
            }
        }
    }
    let unanswered = tasks.len() as u64;
    tasks.abort_all();
    Report {
        latencies: Latencies::new(micros),
        failed,
        first_failure,
        unanswered,
        latest_start,
    }
}

/// Latencies, exact and complete.
#[derive(Debug, Clone)]
pub struct Latencies {
    /// Microseconds, ascending.
    sorted: Vec<u64>,
}

impl Latencies {
    /// From microseconds in any order.
    pub fn new(mut micros: Vec<u64>) -> Self {
        micros.sort_unstable();
        Self { sorted: micros }
    }

    /// Those of several runs together.
    pub fn of_all<'a>(runs: impl IntoIterator<Item = &'a Self>) -> Self {
        let all = runs.into_iter().flat_map(|run| run.sorted.iter().copied());
        Self::new(all.collect())
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.sorted.len()
    }

    /// The latency that `percent` of the requests did not exceed; zero if there are none.
    pub fn percentile(&self, percent: f64) -> Duration {
        let rank = (percent / 100.0 * self.sorted.len() as f64).ceil() as usize;
        let micros = self.sorted.get(rank.max(1) - 1).or(self.sorted.last());
        Duration::from_micros(micros.copied().unwrap_or_default())
    }

    /// The largest; zero if there are none.
    pub fn max(&self) -> Duration {
        self.percentile(100.0)
    }
}

impl fmt::Display for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |percent| self.percentile(percent).as_secs_f64() * 1e3;
        write!(
            f,
            "n {} · P50 {:.2} ms · P90 {:.2} ms · P99 {:.2} ms · P99.9 {:.2} ms · max {:.2} ms",
            self.count(),
            ms(50.0),
            ms(90.0),
            ms(99.0),
            ms(99.9),
            ms(100.0)
        )
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[test]
    fn percentiles_are_ranks() {
        let latencies = Latencies::new((1..=200).rev().collect());
        for (percent, micros) in [(0.0, 1), (0.5, 1), (50.0, 100), (99.0, 198), (100.0, 200)] {
            assert_eq!(
                latencies.percentile(percent),
                Duration::from_micros(micros),
                "{percent}"
            );
        }
        assert_eq!(Latencies::new(Vec::new()).max(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stall_shows_in_every_request_that_was_due_meanwhile() {
        // A server with one place that stands still for one second at request 100.
        let place = Arc::new(tokio::sync::Mutex::new(()));
        let report = run(1000.0, Duration::from_secs(3), move |n| {
            let place = place.clone();
            async move {
                let _place = place.lock().await;
                if n == 100 {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                Ok::<(), Infallible>(())
            }
        })
        .await;
        assert_eq!(report.latencies.count(), 3000);
        assert_eq!((report.failed, report.unanswered), (0, 0));
        // 1000 of 3000 requests were due during the stall, on average half a second late.
        let late = report.latencies.percentile(67.0);
        assert!(late < Duration::from_millis(50), "{late:?}");
        let late = report.latencies.percentile(83.4);
        assert!((450..550).contains(&late.as_millis()), "{late:?}");
        assert!(report.latencies.max() >= Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn failures_are_counted_with_a_reason() {
        let report = run(100.0, Duration::from_secs(1), |n| async move {
            if n % 10 == 3 { Err("no") } else { Ok(()) }
        })
        .await;
        assert_eq!(report.failed, 10);
        assert_eq!(report.first_failure.as_deref(), Some("no"));
        assert_eq!(report.latencies.count(), 90);
    }
}
