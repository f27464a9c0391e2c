//! The task that looks after the sites of a process that has one: so that an outage is
//! noticed without traffic, and what others have noted in time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use super::super::Sites;
use super::heal;
use crate::servers::redis::RedisLink;
use crate::services::{Site, safe_mode};
use crate::store::journal::unhealed::Place;

/// Between two rounds.
const ROUND: Duration = Duration::from_millis(500);
/// How old what is known of the list may be: a little less than what a read believes, so
/// that none has to look itself.
const POLL_AGE: Duration = Duration::from_millis(400);
/// A Redis that nobody asked for so long is asked whether it is there.
const SILENCE: Duration = Duration::from_millis(900);
/// Between two looks through the journal.
const JOURNAL: Duration = Duration::from_secs(30);
/// Between two looks whether sites are gone.
const GONE: Duration = Duration::from_secs(2);
/// Failures in a row that make an outage, so that one round notices it.
const PINGS: usize = 3;

/// What is remembered between two rounds.
#[derive(Default)]
pub(super) struct Keeper {
    /// Held for a round: a slow one is not overtaken.
    round: Arc<tokio::sync::Mutex<()>>,
    journal: Mutex<Option<(Instant, Place)>>,
}

impl Keeper {
    /// When the journal is looked through next, and from where on.
    fn journal(&self) -> MutexGuard<'_, Option<(Instant, Place)>> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks after the open sites, for ever. One site's servers keep no other waiting.
pub async fn keep(sites: Arc<Sites>) {
    let mut rounds = interval(ROUND);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut next_look = Instant::now();
    loop {
        rounds.tick().await;
        if Instant::now() >= next_look {
            sites.forget_gone().await;
            next_look = Instant::now() + GONE;
        }
        for site in sites.opened() {
            if let Ok(turn) = site.recovery.keeper.round.clone().try_lock_owned() {
                tokio::spawn(async move {
                    round(&site).await;
                    drop(turn);
                });
            }
        }
    }
}

async fn round(site: &Site) {
    let recovery = &site.recovery;
    tokio::join!(
        listen(recovery.cache.clone()),
        // Often the same, and then it has just answered.
        listen(site.cache_redis.clone()),
        recovery.look_now(POLL_AGE)
    );
    recovery.nudge();
    safe_mode::watch(site).await;
    look_for_rows(site).await;
}

/// Asks a Redis that nobody has asked lately.
async fn listen(link: Arc<RedisLink>) {
    link.nudge();
    for _ in 0..PINGS {
        if link.silence() < SILENCE || link.is_refused() || link.ping().await.is_ok() {
            return;
        }
    }
}

/// Looks for journal rows that are applied, and that nobody living may know the cache to
/// lack: now and then, while all is well.
pub(in crate::services) async fn look_for_rows(site: &Site) {
    let keeper = &site.recovery.keeper;
    let next = Instant::now() + JOURNAL;
    let place = match &mut *keeper.journal() {
        Some((at, _)) if *at > Instant::now() => return,
        Some((at, place)) => {
            *at = next;
            place.clone()
        }
        none => {
            // At once: what was there before this process nobody else may look for.
            *none = Some((next, Place::start()));
            Place::start()
        }
    };
    if site.safe_mode().is_active() {
        return;
    }
    match heal::look_for_rows(site, place).await {
        Ok(place) => *keeper.journal() = Some((next, place)),
        Err(error) => tracing::debug!(?error, "The journal could not be looked through"),
    }
}
