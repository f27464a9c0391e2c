//! Looking at what other processes have noted on the queue Redis: once a second, one round
//! trip, whoever does it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::Recovery;
use crate::queue::Listed;
use crate::{Error, Result};

/// How old what is known may be.
const BELIEVED: Duration = Duration::from_secs(1);
/// How long a read waits for the queue Redis.
const BUDGET: Duration = Duration::from_millis(300);

/// When it was last looked, and how that went.
#[derive(Default)]
pub(super) struct Poll {
    /// `None` before the first look. Held for an instant.
    last: Mutex<Option<Last>>,
    /// Held while looking.
    looking: tokio::sync::Mutex<()>,
}

#[derive(Clone, Copy)]
struct Last {
    at: Instant,
    failed: bool,
}

impl Poll {
    fn last(&self) -> Option<Last> {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_due(&self, age: Duration) -> bool {
        self.last().is_none_or(|last| last.at.elapsed() >= age)
    }

    /// Whether this failure is news.
    fn note(&self, at: Instant, failed: bool) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let failed_before = last.is_some_and(|last| last.failed);
        *last = Some(Last { at, failed });
        failed && !failed_before
    }
}

impl Recovery {
    /// Before a read: looks if nobody did within the last second.
    pub(super) async fn look(&self) {
        if !self.poll.is_due(BELIEVED) {
            return;
        }
        if self.is_list_away() {
            // Nobody waits for it a second time.
            if let Some(site) = self.site.upgrade() {
                tokio::spawn(async move { site.recovery.look_now(BELIEVED).await });
            }
            return;
        }
        Box::pin(self.look_now(BELIEVED)).await;
    }

    /// Looks unless somebody did within `age`, or does; before the first look everybody
    /// waits for it.
    pub(super) async fn look_now(&self, age: Duration) {
        let _looking = match self.poll.looking.try_lock() {
            Ok(turn) => turn,
            Err(_) if self.poll.last().is_none() => self.poll.looking.lock().await,
            Err(_) => return,
        };
        if !self.poll.is_due(age) {
            return;
        }
        let at = Instant::now();
        let asked = timeout(BUDGET, self.ask()).await.unwrap_or_else(|elapsed| {
            let slow = Error::unavailable("The queue is too slow", BELIEVED);
            Err(slow.with_source(elapsed))
        });
        let is_news = self.poll.note(at, asked.is_err());
        match asked {
            Ok(()) => self.bring_to_list().await,
            Err(error) if is_news => tracing::warn!(
                ?error,
                "What other processes could not write to the cache is not known for now"
            ),
            Err(_) => {}
        }
    }

    /// Whether the queue Redis was away when it was last asked.
    pub(super) fn is_list_away(&self) -> bool {
        self.poll.last().is_some_and(|last| last.failed)
    }

    /// Whether nobody would hear of it if this process could not show something in the cache.
    /// Asks for the list first, if the cache is away.
    pub(in crate::services) async fn is_cut_off(&self) -> bool {
        if !self.breaker.is_active() {
            return false;
        }
        self.look_now(Duration::ZERO).await;
        self.is_list_away()
    }

    /// Own notes that the list did not take when they were made.
    async fn bring_to_list(&self) {
        if !self.memory.any() {
            return;
        }
        let bring = async {
            let own = self.memory.own();
            for (whose, mark, _) in own.iter().filter(|(_, _, listed)| !listed) {
                if self.list.mark(whose, mark).await.is_err() {
                    return;
                }
                self.memory.listed(whose, mark);
            }
        };
        // The rest at the next look.
        let _ = timeout(BUDGET, bring).await;
    }

    /// One round trip as long as nothing changes.
    async fn ask(&self) -> Result<()> {
        let mut asked = redis::pipe();
        self.list.ask_state(&mut asked);
        let (state,): (Option<String>,) = self.queue.pipeline(&asked).await?;
        if self.memory.is_news(state.as_ref()) {
            self.memory.saw(match state {
                Some(_) => self.list.list().await?,
                None => Listed::default(),
            });
        }
        Ok(())
    }
}
