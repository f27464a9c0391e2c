//! How many fills run at once: fewer the more students wait for an answer from the table.
//!
//! A fill costs MariaDB several times what the page costs that a student waits for. In a
//! stampede the fills of those who were answered would otherwise take what the next ones need.
//! One fill always runs, so that the crowd that comes from the table gets smaller.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, Semaphore};

/// See the module's documentation.
pub(super) struct Turns {
    most: usize,
    now: Mutex<Now>,
    /// Held by the fill whose turn is next: only that one is woken by a change.
    next: Semaphore,
    changed: Notify,
}

#[derive(Default)]
struct Now {
    fills: usize,
    readers: usize,
}

/// A fill that runs.
pub(super) struct Filling<'a>(&'a Turns);

/// A student who waits for an answer from the table.
pub(in crate::services) struct Reading<'a>(&'a Turns);

impl Turns {
    /// So many fills at once where nobody reads from the table.
    pub(super) fn new(most: usize) -> Self {
        Self {
            most: most.max(1),
            now: Mutex::default(),
            next: Semaphore::new(1),
            changed: Notify::new(),
        }
    }

    /// Waits for the turn of a fill, as long as it takes; in the order of asking.
    pub(super) async fn fill(&self) -> Filling<'_> {
        // Never closed.
        let _next = self.next.acquire().await;
        loop {
            if self.start() {
                return Filling(self);
            }
            // A change since then is kept for whoever waits.
            self.changed.notified().await;
        }
    }

    fn start(&self) -> bool {
        let mut now = self.now();
        let room = self.most.saturating_sub(now.readers).max(1);
        let may = now.fills < room;
        now.fills += usize::from(may);
        may
    }

    pub(super) fn reading(&self) -> Reading<'_> {
        self.now().readers += 1;
        Reading(self)
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Filling<'_> {
    fn drop(&mut self) {
        self.0.now().fills -= 1;
        self.0.changed.notify_one();
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.0.now().readers -= 1;
        self.0.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::Pin;
    use std::task::Poll;

    use super::*;

    /// What comes of it without waiting.
    async fn now<T>(mut future: Pin<&mut impl Future<Output = T>>) -> Option<T> {
        poll_fn(|context| match future.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending => Poll::Ready(None),
        })
        .await
    }

    #[tokio::test]
    async fn readers_push_fills_aside_but_for_one() {
        let turns = Turns::new(3);
        let one = turns.fill().await;
        let readers: Vec<_> = (0..5).map(|_| turns.reading()).collect();
        let mut two = Box::pin(turns.fill());
        let mut three = Box::pin(turns.fill());
        assert!(now(two.as_mut()).await.is_none());
        assert!(now(three.as_mut()).await.is_none());
        drop(one);
        let two = now(two.as_mut()).await.expect("one runs though all read");
        assert!(now(three.as_mut()).await.is_none());
        drop(readers);
        let three = now(three.as_mut()).await.expect("the readers have gone");
        let four = turns.fill().await;
        let mut five = Box::pin(turns.fill());
        assert!(now(five.as_mut()).await.is_none());
        drop((two, three, four));
        assert!(now(five.as_mut()).await.is_some());
    }

    #[tokio::test]
    async fn who_gives_up_waiting_keeps_nobody_from_it() {
        let turns = Turns::new(1);
        let one = turns.fill().await;
        let mut two = Box::pin(turns.fill());
        let mut three = Box::pin(turns.fill());
        assert!(now(two.as_mut()).await.is_none());
        assert!(now(three.as_mut()).await.is_none());
        drop(two);
        assert!(now(three.as_mut()).await.is_none());
        drop(one);
        assert!(now(three.as_mut()).await.is_some());
    }
}
