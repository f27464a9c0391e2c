//! Filling a student's schedule from table and journal (rehydration, rule C7).

mod turns;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::sleep;
use tracing::Instrument;

pub(super) use self::turns::Reading;
use self::turns::Turns;
use super::schedule::{self, Owner};
use super::{Site, record, seasons};
use crate::schedule_cache::{Fill, Published};
use crate::servers::mariadb::MariaDb;
use crate::store::load::Whose;
use crate::types::{Player, Season, UtcMicros};
use crate::{Result, failpoint};

/// How often a fill reads again because writes came in between.
const ROUNDS: u32 = 3;

/// How long reading a whole schedule may take: the lease lasts no longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often a fill in the background is tried that failed or was overtaken: its student may
/// not ask again for long. And the pause before, times the tries so far.
const TRIES: u32 = 4;
const PAUSE: Duration = Duration::from_secs(1);

/// Fills of this process.
pub(super) struct Fills {
    /// What is being filled: a student who reads ten times while cold starts one fill.
    running: Mutex<HashSet<(Player, Season, Option<String>)>>,
    /// At once: half of the turns on MariaDB, and less while students wait for their answers.
    turns: Turns,
}

impl Fills {
    pub(super) fn new(loads: usize) -> Self {
        Self {
            running: Mutex::default(),
            turns: Turns::new(loads.div_ceil(2)),
        }
    }

    /// Somebody reads a page from the table, or waits for it: fills give way until it is
    /// dropped.
    pub(super) fn reading(&self) -> Reading<'_> {
        self.turns.reading()
    }
}

/// How a fill ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filled {
    /// The schedule is complete.
    Yes,
    /// Somebody else is filling it.
    Elsewhere,
    /// Writes kept coming, or one could not be confirmed; the next read tries again.
    Overtaken,
}

/// Starts a fill unless this process runs it already; nobody waits for it.
pub(super) fn in_background(
    site: &Arc<Site>,
    player: &Player,
    season: &Season,
    subject: Option<String>,
) {
    let what = (player.clone(), season.clone(), subject);
    if !running(site).insert(what.clone()) {
        return;
    }
    let site = site.clone();
    let filling = async move {
        let _done = Done {
            site: &site,
            what: &what,
        };
        let (player, season, subject) = &what;
        for tried in 1..=TRIES {
            let filled = {
                let _turn = site.fills.turns.fill().await;
                run(&site, player, season, subject.as_slice()).await
            };
            match filled {
                Ok(Filled::Yes | Filled::Elsewhere) => return,
                Ok(Filled::Overtaken) => {}
                Err(error) => tracing::warn!(
                    site = site.config.site,
                    ?error,
                    tried,
                    "A schedule could not be filled"
                ),
            }
            sleep(PAUSE * tried).await;
        }
    };
    // Its lines are of the request that began it.
    tokio::spawn(filling.in_current_span());
}

/// Takes a fill off the list also when its task is cancelled or panics.
struct Done<'a> {
    site: &'a Site,
    what: &'a (Player, Season, Option<String>),
}

impl Drop for Done<'_> {
    fn drop(&mut self) {
        running(self.site).remove(self.what);
    }
}

fn running(site: &Site) -> std::sync::MutexGuard<'_, HashSet<(Player, Season, Option<String>)>> {
    site.fills
        .running
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
}

/// Fills one student's schedule, and the schedules of `subjects`: lease, read, stage,
/// publish; once more when a write came in between.
///
/// # Errors
/// `Unavailable` if a server is away; nothing is published then.
pub async fn run(
    site: &Site,
    player: &Player,
    season: &Season,
    subjects: &[String],
) -> Result<Filled> {
    if !site.recovery.may_publish(player, season) {
        return Ok(Filled::Overtaken);
    }
    let Some(mut fill) = site.cache.begin_fill(player, season).await? else {
        return Ok(Filled::Elsewhere);
    };
    let filled = rounds(site, player, season, subjects, &mut fill).await;
    if !matches!(filled, Ok(Filled::Yes)) {
        // Whoever comes next need not wait for the lease to run out.
        if let Err(error) = fill.release().await {
            tracing::debug!(?error, "A lease could not be given back");
        }
    }
    filled
}

async fn rounds(
    site: &Site,
    player: &Player,
    season: &Season,
    subjects: &[String],
    fill: &mut Fill<'_>,
) -> Result<Filled> {
    let scope = site.config.site.as_str();
    let zone = site.zone(UtcMicros::now()).await?;
    let whose = Whose {
        player,
        season,
        zone,
        site: scope,
    };
    let owner = Owner {
        player: player.clone(),
        season: season.clone(),
    };
    for _ in 0..ROUNDS {
        // Under the lease: what is set from outside from now on makes it dirty.
        let members = site.cache.carried(player, season).await?;
        let on_record = {
            let _turn = site.fill_turn().await?;
            failpoint::hit(scope, "fill_reads").await?;
            MariaDb::within(PATIENCE, record::all(site, whose)).await?
        };
        if on_record.doubtful {
            // A complete schedule is believed, so it must not lack what was acknowledged.
            return Ok(Filled::Overtaken);
        }
        let mut states = on_record.found;
        // Nothing there: the season's rows may be on their way into the archive.
        if states.is_empty() && seasons::not_archived(site, season).await.is_err() {
            return Ok(Filled::Overtaken);
        }
        schedule::carry_over(site, &owner, &mut states, members, UtcMicros::now()).await?;
        if !fill.stage(&states, subjects, scope).await? {
            return Ok(Filled::Overtaken);
        }
        failpoint::hit(scope, "before_publish").await?;
        if !site.recovery.may_publish(player, season) {
            return Ok(Filled::Overtaken);
        }
        match fill.publish().await? {
            Published::Yes => return Ok(Filled::Yes),
            Published::Lost => return Ok(Filled::Overtaken),
            Published::Dirty => {}
        }
    }
    Ok(Filled::Overtaken)
}
