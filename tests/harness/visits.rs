//! Thousands of people, each on a connection of their own that stays open while they think:
//! load by a plan for each of them.
//!
//! As [`crate::wire`] cheap, on one thread, and measured from the planned start. Whose request
//! fails is counted, and goes on over a new connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::load::Latencies;
use crate::wire::{Connection, on_a_thread};

/// One request of somebody's plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Visit {
    /// When, from the start.
    pub at: Duration,
    /// What for; the caller's own numbers.
    pub kind: usize,
}

/// What people do.
pub trait Plan: Send + Sync + 'static {
    /// The visits of person `n`, in the order of their time.
    fn visits(&self, n: usize) -> Vec<Visit>;
    /// The bytes of the request of person `n` at their visit `v`.
    fn request(&self, n: usize, v: usize, visit: Visit) -> Vec<u8>;
}

/// What came of a plan.
#[derive(Debug, Clone, Default)]
pub struct Visits {
    /// Each answer with 200: the visit, and microseconds from its planned start.
    pub answered: Vec<(Visit, u64)>,
    /// Each visit without one, with the reason.
    pub failed: Vec<(Visit, String)>,
}

impl Visits {
    /// The latencies of those that are meant.
    pub fn latencies(&self, meant: impl Fn(Visit) -> bool) -> Latencies {
        let answered = self.answered.iter();
        let micros = answered.filter_map(|(visit, micros)| meant(*visit).then_some(*micros));
        Latencies::new(micros.collect())
    }

    /// How many of those that are meant failed.
    pub fn failures(&self, meant: impl Fn(Visit) -> bool) -> usize {
        let failed = self.failed.iter();
        failed.filter(|(visit, _)| meant(*visit)).count()
    }
}

/// Has `people` visit by their plan. All of them connect first; `started` is called when
/// they have, with the time from which the plan counts.
///
/// # Errors
/// If not all can connect.
pub async fn run(
    address: SocketAddr,
    people: usize,
    plan: Arc<dyn Plan>,
    started: impl FnOnce(Instant) + Send + 'static,
) -> Result<Visits> {
    on_a_thread(move || async move {
        let mut connections = Vec::with_capacity(people);
        for n in 0..people {
            let connection = Connection::open(address).await;
            connections.push(connection.with_context(|| format!("{n} are connected"))?);
        }
        let start = Instant::now() + Duration::from_millis(100);
        started(start);
        let mut tasks = JoinSet::new();
        for (n, connection) in connections.into_iter().enumerate() {
            tasks.spawn(person(address, n, connection, plan.clone(), start));
        }
        let mut all = Visits::default();
        while let Some(done) = tasks.join_next().await {
            let visits = done.context("a person's task")?;
            all.answered.extend(visits.answered);
            all.failed.extend(visits.failed);
        }
        Ok(all)
    })
    .await
}

async fn person(
    address: SocketAddr,
    n: usize,
    connection: Connection,
    plan: Arc<dyn Plan>,
    start: Instant,
) -> Visits {
    let mut seen = Visits::default();
    let mut kept = Some(connection);
    for (v, visit) in plan.visits(n).into_iter().enumerate() {
        let planned = start + visit.at;
        if planned > Instant::now() {
            sleep_until(planned).await;
        }
        let request = plan.request(n, v, visit);
        let asked = async {
            let mut connection = match kept.take() {
                Some(connection) => connection,
                None => Connection::open(address).await?,
            };
            connection.ask(&request).await?;
            anyhow::Ok(connection)
        };
        match asked.await {
            Ok(connection) => {
                let micros = planned.elapsed().as_micros() as u64;
                seen.answered.push((visit, micros));
                kept = Some(connection);
            }
            Err(error) => seen.failed.push((visit, format!("{error:#}"))),
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::wire::request;

    /// Two visits of each; the first of person 0 gets an error.
    struct Two;

    impl Plan for Two {
        fn visits(&self, n: usize) -> Vec<Visit> {
            let at = |ms| Duration::from_millis(ms + n as u64);
            vec![
                Visit { at: at(0), kind: 0 },
                Visit {
                    at: at(100),
                    kind: 1,
                },
            ]
        }

        fn request(&self, n: usize, v: usize, _: Visit) -> Vec<u8> {
            let path = if (n, v) == (0, 0) { "/bad" } else { "/good" };
            request("GET", path, &["Host: a".to_owned()], b"")
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn each_goes_on_after_a_failure_and_all_keep_their_connections() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepted = Arc::<AtomicUsize>::default();
        let count = accepted.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(async move {
                    let mut asked = [0; 1024];
                    while let Ok(n @ 1..) = stream.read(&mut asked).await {
                        let status = match asked[..n].starts_with(b"GET /bad ") {
                            true => "500 Oh",
                            false => "200 OK",
                        };
                        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
                        let _ = stream.write_all(answer.as_bytes()).await;
                    }
                });
            }
        });
        let seen = run(address, 5, Arc::new(Two), |_| {}).await.unwrap();
        assert_eq!(seen.answered.len(), 9);
        assert_eq!(seen.latencies(|visit| visit.kind == 1).count(), 5);
        assert_eq!(seen.failures(|visit| visit.kind == 0), 1);
        assert!(seen.failed[0].1.contains("500 Oh"), "{:?}", seen.failed);
        // One more than people: the failed one's is not used again.
        assert_eq!(accepted.load(Ordering::Relaxed), 6);
    }
}
