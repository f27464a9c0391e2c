//! Making good what the cache may lack: by forgetting the schedules concerned.
//!
//! The order is the point. What is known is read *before* a schedule is forgotten, and only
//! that is taken off the list and marked in the journal afterwards: a note or a row that
//! came in between stands for a write that the fill after the forgetting may have missed.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{NaiveDateTime, TimeDelta};
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::time::Instant;

use super::Site;
use crate::batch::SubmissionKey;
use crate::queue::{Mark, Whose};
use crate::schedule_cache::Keys;
use crate::servers::mariadb::MariaDb;
use crate::store::journal::unhealed::{self, Place};
use crate::types::{Player, Season};
use crate::{Error, Result, failpoint};

/// Schedules forgotten at once.
const AT_ONCE: usize = 32;
/// Journal rows of one page, and students of one.
const PAGE: usize = 1000;
/// Journal rows marked for one student whose note is made good.
const ROWS_OF_ONE: usize = 200;
/// How long one page of the journal may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long an outage of the cache lasts longer if the list cannot be read at its end.
const LIST_PATIENCE: Duration = Duration::from_secs(1);
/// How often a long recovery says how far it is.
const PROGRESS: Duration = Duration::from_secs(5);
/// Age from which on a row that is applied ought to be marked: its worker has committed.
const SETTLED: TimeDelta = TimeDelta::seconds(10);
/// Pages of the journal that one look for such rows goes through.
const PAGES_A_LOOK: usize = 4;

/// Makes good what is known, and after an outage whatever the journal says besides; then
/// the breaker closes.
pub(super) async fn run(site: &Site) -> Result<()> {
    failpoint::hit(&site.config.site, "before_heal").await?;
    let breaker = site.safe_mode();
    let Some(number) = breaker.is_back() else {
        return notes(site, true).await.map(|_| ());
    };
    let end = MariaDb::within(PATIENCE, unhealed::clock(&site.db)).await?;
    if !notes(site, false).await? && !list_comes_back(site).await? {
        tracing::info!(
            site = site.config.site,
            "The list of dirty students cannot be read: every schedule is made anew"
        );
        forget_all(site).await?;
    }
    let mut progress = Progress::new(site);
    let mut next = Some(Place::start());
    let mut forgotten = Vec::new();
    while let Some(place) = next.take() {
        let (found, marked) = tokio::join!(
            page(site, end, &place, false, &mut progress),
            mark(site, &forgotten)
        );
        marked?;
        (next, forgotten) = found?;
    }
    mark(site, &forgotten).await?;
    breaker.recovered(number);
    Ok(())
}

/// Own notes and those on the list; with `rows`, their journal rows too. Whether the list
/// could be read.
async fn notes(site: &Site, rows: bool) -> Result<bool> {
    let recovery = &site.recovery;
    let own = recovery.memory.own();
    let own: Vec<_> = own
        .into_iter()
        .map(|(whose, mark, _)| (whose, mark))
        .collect();
    for entries in own.chunks(PAGE) {
        heal(site, entries, rows).await?;
        for (whose, mark) in entries {
            recovery.memory.healed(whose, mark);
        }
        take_off(site, entries).await;
    }
    match listed(site, rows).await {
        // It is looked at again when the queue is back.
        Err(Stop::Queue(error)) => {
            tracing::debug!(?error, "The list of dirty students could not be read");
            Ok(false)
        }
        Err(Stop::Cache(error)) => Err(error),
        Ok(()) => Ok(true),
    }
}

/// Gives the queue's Redis a moment: it often went away with the cache, and a list that is
/// read costs far fewer schedules. Whether it could be read.
async fn list_comes_back(site: &Site) -> Result<bool> {
    tokio::time::sleep(LIST_PATIENCE).await;
    match listed(site, false).await {
        Ok(()) => Ok(true),
        Err(Stop::Queue(_)) => Ok(false),
        Err(Stop::Cache(error)) => Err(error),
    }
}

/// What went wrong, by where.
enum Stop {
    Queue(Error),
    Cache(Error),
}

async fn listed(site: &Site, rows: bool) -> Result<(), Stop> {
    let recovery = &site.recovery;
    let mut cursor = "0".to_owned();
    loop {
        let (next, entries) = recovery.list.page(&cursor).await.map_err(Stop::Queue)?;
        heal(site, &entries, rows).await.map_err(Stop::Cache)?;
        take_off(site, &entries).await;
        if next == "0" {
            break;
        }
        cursor = next;
    }
    let list = recovery.list.list().await.map_err(Stop::Queue)?;
    recovery.memory.saw(list);
    Ok(())
}

async fn take_off(site: &Site, entries: &[(Whose, Mark)]) {
    let recovery = &site.recovery;
    match recovery.list.done(entries).await {
        Ok(_) => recovery
            .memory
            .saw_gone(entries.iter().map(|(whose, _)| whose)),
        Err(error) => tracing::debug!(?error, "Students stay on the list of the dirty ones"),
    }
}

async fn heal(site: &Site, entries: &[(Whose, Mark)], rows: bool) -> Result<()> {
    let mut students = BTreeSet::new();
    let mut everybody = false;
    for (whose, _) in entries {
        match whose {
            Whose::Student(player, season) => {
                students.insert((player, season));
            }
            Whose::Everybody => everybody = true,
        }
    }
    let mut marked = Vec::new();
    if rows {
        for (player, season) in &students {
            let of = unhealed::of(&site.db, player, season, ROWS_OF_ONE);
            match MariaDb::within(PATIENCE, of).await {
                Ok(keys) => marked.extend(keys),
                // Their worker marks them, or the next look for rows like them.
                Err(error) => {
                    tracing::debug!(?error, "Journal rows stay unmarked");
                    break;
                }
            }
        }
    }
    if everybody {
        forget_all(site).await?;
    }
    forget(site, &students).await?;
    if let Err(error) = mark(site, &marked).await {
        tracing::debug!(?error, "Journal rows stay unmarked");
    }
    Ok(())
}

async fn mark(site: &Site, keys: &[SubmissionKey]) -> Result<()> {
    MariaDb::within(PATIENCE, unhealed::mark(&site.db, keys)).await
}

async fn forget(site: &Site, students: &BTreeSet<(&Player, &Season)>) -> Result<()> {
    let keys = students
        .iter()
        .map(|(player, season)| site.cache.keys(player, season));
    forget_keys(site, keys.collect()).await
}

async fn forget_keys(site: &Site, keys: Vec<Keys>) -> Result<()> {
    let cache = &site.cache;
    stream::iter(keys)
        .map(|keys| async move { cache.forget(&keys).await })
        .buffer_unordered(AT_ONCE)
        .try_for_each(|_| std::future::ready(Ok(())))
        .await
}

/// Forgets every schedule of this site.
async fn forget_all(site: &Site) -> Result<()> {
    let mut progress = Progress::new(site);
    let mut cursor = "0".to_owned();
    loop {
        let (next, found) = site.cache.present(&cursor).await?;
        let schedules = found.len();
        forget_keys(site, found).await?;
        progress.more(schedules, 0);
        if next == "0" {
            return Ok(());
        }
        cursor = next;
    }
}

/// Forgets the schedules of one page of the journal rows that the cache may lack; where the
/// next begins, and the rows to be marked.
async fn page(
    site: &Site,
    end: NaiveDateTime,
    place: &Place,
    applied_only: bool,
    progress: &mut Progress<'_>,
) -> Result<(Option<Place>, Vec<SubmissionKey>)> {
    let page = unhealed::page(&site.db, end, place, PAGE);
    let (mut rows, next) = MariaDb::within(PATIENCE, page).await?;
    rows.retain(|row| row.applied || !applied_only);
    let students = rows.iter().map(|row| (&row.key.player, &row.season));
    let students: BTreeSet<_> = students.collect();
    forget(site, &students).await?;
    progress.more(students.len(), rows.len());
    let keys = rows.into_iter().map(|row| row.key).collect();
    Ok((next, keys))
}

/// Looks for rows that are applied and not marked, from `place` on: their worker could not
/// show them, and perhaps nobody lives who noted it. Where to go on the next time.
pub(super) async fn look_for_rows(site: &Site, place: Place) -> Result<Place> {
    let now = MariaDb::within(PATIENCE, unhealed::clock(&site.db)).await?;
    let mut progress = Progress::new(site);
    let mut place = place;
    for _ in 0..PAGES_A_LOOK {
        let (next, forgotten) = page(site, now - SETTLED, &place, true, &mut progress).await?;
        mark(site, &forgotten).await?;
        match next {
            Some(next) => place = next,
            None => return Ok(Place::start()),
        }
    }
    Ok(place)
}

/// Says how far a long recovery is.
struct Progress<'a> {
    site: &'a Site,
    said: Instant,
    schedules: usize,
    rows: usize,
}

impl<'a> Progress<'a> {
    fn new(site: &'a Site) -> Self {
        Self {
            site,
            said: Instant::now(),
            schedules: 0,
            rows: 0,
        }
    }

    fn more(&mut self, schedules: usize, rows: usize) {
        self.schedules += schedules;
        self.rows += rows;
        if self.said.elapsed() < PROGRESS {
            return;
        }
        self.said = Instant::now();
        tracing::info!(
            site = self.site.config.site,
            schedules_forgotten = self.schedules,
            journal_rows = self.rows,
            "Making good what the cache may lack"
        );
    }
}
