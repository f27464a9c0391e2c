//! The fills of one page of students.

use std::time::Duration;

use super::Options;
use crate::schedule_cache::{Fill, Published};
use crate::servers::mariadb::MariaDb;
use crate::services::recovery::Trust;
use crate::services::schedule::{self, Owner};
use crate::services::{Site, unjournaled};
use crate::store::load::many::{self, Class, Student};
use crate::types::{Player, QuestionState, Season, UtcMicros};
use crate::{Error, Result, failpoint};

/// How long reading a page may take: the leases last no longer.
const PATIENCE: Duration = Duration::from_secs(10);
/// When to come back if Redis is away.
const COME_BACK: Duration = Duration::from_secs(10);

/// What came of a page.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Schedules that are complete now and were made here.
    pub(super) filled: u64,
    /// Questions in them.
    pub(super) questions: u64,
    /// Schedules that were complete and were to be left alone.
    pub(super) skipped: u64,
    /// Students who are being filled by somebody else, or written to all the time.
    pub(super) left: Vec<Player>,
    /// One whose schedule is complete now.
    pub(super) witness: Option<Player>,
}

/// A student's fill and what is to be in it.
type Filling<'a> = (Fill<'a>, Vec<QuestionState>);

/// Makes the schedules of these students.
///
/// # Errors
/// `Unavailable` if a server is away, or the cache is not to be believed now.
pub(super) async fn fill(
    site: &Site,
    season: &Season,
    options: &Options,
    students: Vec<Student>,
) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut players: Vec<&Player> = students.iter().map(|s| &s.player).collect();
    // Also looks at what other processes have noted.
    if let Some(first) = players.first()
        && site.recovery.trust(first, season).await == Trust::SafeMode
    {
        return Err(Error::unavailable("Redis is not available", COME_BACK));
    }
    if options.missing_only {
        let complete = site.cache.are_complete(&players, season).await?;
        let first = players.iter().zip(&complete).find(|(_, is)| **is);
        outcome.witness = first.map(|(player, _)| (*player).clone());
        let mut complete = complete.into_iter();
        players.retain(|_| !complete.next().unwrap_or(false));
        outcome.skipped = (students.len() - players.len()) as u64;
    }
    let may_publish = |player: &Player| site.recovery.may_publish(player, season);

    let (mut mine, mut fills, mut carried) = (Vec::new(), Vec::new(), Vec::new());
    players.retain(|&player| may_publish(player) || leave(&mut outcome, player));
    let begun = site.cache.begin_fills(&players, season).await?;
    for (player, begun) in players.into_iter().zip(begun) {
        match begun.fill {
            Some(fill) => {
                mine.push(player);
                fills.push(fill);
                carried.push(begun.carried);
            }
            None => outcome.left.push(player.clone()),
        }
    }
    let mut filling: Vec<Filling<'_>> = fills.into_iter().map(|fill| (fill, vec![])).collect();
    let made = make(site, season, &mine, carried, &mut filling, &mut outcome).await;
    if let Err(error) = made {
        // Whoever comes next need not wait for the leases to run out.
        let fills: Vec<&Fill<'_>> = filling.iter().map(|(fill, _)| fill).collect();
        if let Err(error) = site.cache.release_all(&fills).await {
            tracing::debug!(?error, "Leases could not be given back");
        }
        return Err(error);
    }
    Ok(outcome)
}

/// What is done under the leases.
async fn make(
    site: &Site,
    season: &Season,
    players: &[&Player],
    carried: Vec<Vec<(String, UtcMicros)>>,
    filling: &mut [Filling<'_>],
    outcome: &mut Outcome,
) -> Result<()> {
    let scope = site.config.site.as_str();
    failpoint::hit(scope, "rebuild_leased").await?;
    let read = read(site, season, players).await?;
    let now = UtcMicros::now();
    for ((i, mut states), members) in read.into_iter().enumerate().zip(carried) {
        let owner = Owner {
            player: players[i].clone(),
            season: season.clone(),
        };
        schedule::carry_over(site, &owner, &mut states, members, now).await?;
        filling[i].1 = states;
    }
    site.cache.stage_all(filling, scope).await?;
    failpoint::hit(scope, "before_publish").await?;
    publish(site, season, players, filling, outcome).await
}

/// Everything on record of these students, read under their leases.
async fn read(
    site: &Site,
    season: &Season,
    players: &[&Player],
) -> Result<Vec<Vec<QuestionState>>> {
    if players.is_empty() {
        return Ok(Vec::new());
    }
    let zone = site.zone(UtcMicros::now()).await?;
    let scope = site.config.site.as_str();
    failpoint::hit(scope, "fill_reads").await?;
    let over = unjournaled::overlays(site, players, season).await?;
    if let Some(away) = over.away {
        // A complete schedule is believed, so it must not lack what was acknowledged.
        return Err(away);
    }
    let class = Class {
        players,
        season,
        zone,
        site: scope,
    };
    let reading = async {
        let mut conn = site.db.conn_within(PATIENCE).await?;
        many::all_of(&mut conn, class, over.batches).await
    };
    MariaDb::within(PATIENCE, reading).await
}

/// Publishes what may be; the others' leases are given back.
async fn publish(
    site: &Site,
    season: &Season,
    players: &[&Player],
    filling: &[Filling<'_>],
    outcome: &mut Outcome,
) -> Result<()> {
    let (mut ready, mut given_back) = (Vec::new(), Vec::new());
    for (player, (fill, states)) in players.iter().zip(filling) {
        match site.recovery.may_publish(player, season) {
            true => ready.push((*player, fill, states.len() as u64)),
            false => {
                leave(outcome, player);
                given_back.push(fill);
            }
        }
    }
    let fills: Vec<&Fill<'_>> = ready.iter().map(|(_, fill, _)| *fill).collect();
    let published = site.cache.publish_all(&fills).await?;
    for ((player, fill, questions), published) in ready.into_iter().zip(published) {
        match published {
            Published::Yes => {
                outcome.filled += 1;
                outcome.questions += questions;
                outcome.witness.get_or_insert_with(|| player.clone());
            }
            // A review came meanwhile, or what was staged was lost: it is read again, by the
            // same steps alone.
            Published::Dirty | Published::Lost => {
                leave(outcome, player);
                given_back.push(fill);
            }
        }
    }
    site.cache.release_all(&given_back).await
}

/// False, for who keeps the others.
fn leave(outcome: &mut Outcome, player: &Player) -> bool {
    outcome.left.push(player.clone());
    false
}
