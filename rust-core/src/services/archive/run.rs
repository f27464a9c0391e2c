//! Archiving one season, step by step; see the parent module for the order.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::note::{Note, Phase, State};
use super::{Method, Pace, Report, drain, failed, late, season_state, sums};
use crate::servers::mariadb::MariaDb;
use crate::services::work::{self, Kind, Progress, Run, Tell};
use crate::services::{Site, clear};
use crate::store::archive::{self as store, ARCHIVE, Direction, SeasonState};
use crate::types::{Season, UtcMicros};
use crate::{Error, ErrorKind, Result, failpoint};

/// Connections for summing up, beside the one that holds the right.
const CONNECTIONS: usize = 3;
/// How often to ask the server how far it is with the indexes.
const ASK: Duration = Duration::from_millis(500);

/// Archives a season, or takes up where an earlier run stopped; of a season that is
/// archived, merges what was written for it since. `method`: what the server can do best if
/// not given; a season of which the archive has rows already is merged in any case.
///
/// # Errors
/// `NotFound` for an unknown season; `InvalidInput` for an active one; `Conflict` if
/// something is in the way or the archive's rows are not those of the tracker (nothing is
/// dropped then); `Config` if the tables are not migrated or the server cannot convert;
/// `Unavailable` if another run of this season is under way, or a server is away or a table
/// in use: call again, it goes on.
pub async fn archive_season(
    site: &Site,
    season: &str,
    method: Option<Method>,
    tell: &Tell,
) -> Result<Report> {
    let state = season_state(site, season).await?;
    let run = Run::begin(site, Kind::Archive, Some(&state.name)).await?;
    let archived = archive(site, run, &state, method, tell).await;
    if let Err(error) = &archived
        && matches!(error.kind(), ErrorKind::Internal | ErrorKind::Conflict)
    {
        failed(site, &state.name, error).await;
    }
    archived
}

async fn archive(
    site: &Site,
    mut run: Run,
    before: &SeasonState,
    method: Option<Method>,
    tell: &Tell,
) -> Result<Report> {
    let started = Instant::now();
    store::prepare(run.held()).await?;
    store::complete_archive(run.held()).await?;
    let noted: Option<Note> = run.noted().await?;
    let resumed = matches!(&noted, Some(note) if note.state == State::Archiving);
    let was_archived = !resumed && before.archived_on.is_some();
    let note = match noted {
        Some(note) if note.state == State::Restoring => {
            let message = format!(
                "Season {} is being restored: finish that first",
                before.name
            );
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        Some(note) if resumed => note,
        Some(note) if was_archived && note.state == State::Archived => note,
        _ => begin(site, &mut run, before, method).await?,
    };
    let mut archiving = Archiving {
        site,
        run,
        season: before.name.clone(),
        note,
        db: MariaDb::new(&site.config.db, CONNECTIONS),
        tell,
        steps: Steps::default(),
    };
    let keys = archiving.go(was_archived).await;
    archiving.db.close().await;
    archiving.run.end().await;
    let keys = keys?;
    let note = archiving.note;
    let late = note.late_rows;
    let report = Report {
        season: before.name.to_string(),
        status: "completed".to_owned(),
        records_archived: if was_archived { late } else { note.rows + late },
        cache_keys_deleted: keys,
        method: note.method,
        late_merged: late,
        was_archived,
        resumed,
        seconds: started.elapsed().as_secs_f64(),
    };
    tracing::info!(
        site = site.config.site,
        ?report,
        "SRSArchiver archived a season"
    );
    if !was_archived || late > 0 {
        work::remember(site, Kind::Archive, Some(&before.name), &report).await?;
    }
    Ok(report)
}

/// Whether it may begin, and its first note. Nothing is written yet.
async fn begin(
    site: &Site,
    run: &mut Run,
    before: &SeasonState,
    method: Option<Method>,
) -> Result<Note> {
    refuse_active(before)?;
    let now = UtcMicros::now();
    let wall = site.zone(now).await?.to_wall(now.floor_seconds());
    let method = choose(run, &site.db, &before.name, method).await?;
    let state = match before.archived_on {
        Some(_) => State::Archived,
        None => State::Archiving,
    };
    Ok(Note::new(state, &before.name, method, wall))
}

pub(super) fn refuse_active(season: &SeasonState) -> Result<()> {
    if season.is_active {
        let message = format!(
            "Season {} is active: only inactive seasons are archived",
            season.name
        );
        return Err(Error::invalid(message));
    }
    Ok(())
}

/// How the rows will go.
pub(super) async fn choose(
    run: &mut Run,
    db: &MariaDb,
    season: &Season,
    asked: Option<Method>,
) -> Result<Method> {
    let can_convert = store::can_convert(run.held()).await?;
    if asked == Some(Method::Convert) && !can_convert {
        return Err(Error::config(
            "This MariaDB cannot convert partitions (10.7 can), or the archive's table has \
             another engine, character set or row format than the tracker's: use method copy",
        ));
    }
    if store::count(db, ARCHIVE, season).await? > 0 {
        return Ok(Method::Merge);
    }
    Ok(match asked {
        Some(method) => method,
        None if can_convert => Method::Convert,
        None => Method::Copy,
    })
}

/// One run.
pub(super) struct Archiving<'a> {
    pub(super) site: &'a Site,
    pub(super) run: Run,
    pub(super) season: Season,
    pub(super) note: Note,
    /// Connections that nobody else of this process waits for.
    pub(super) db: MariaDb,
    pub(super) tell: &'a Tell,
    pub(super) steps: Steps,
}

/// Steps so far: they name failpoints.
#[derive(Default)]
pub(super) struct Steps(AtomicU32);

impl Steps {
    /// A test may stop the work after any of its steps: `archive_step_1`, …
    pub(super) async fn step(&self, scope: &str) -> Result<()> {
        let n = self.0.fetch_add(1, Ordering::Relaxed) + 1;
        failpoint::hit(scope, &format!("archive_step_{n}")).await
    }
}

impl Archiving<'_> {
    /// All steps that are left; how many cached schedules were dropped.
    async fn go(&mut self, was_archived: bool) -> Result<u64> {
        if was_archived {
            self.note.phase = Phase::Marked;
            // Those of earlier runs were reported.
            self.note.late_rows = 0;
        } else if self.note.phase == Phase::Announced {
            self.announce().await?;
        }
        loop {
            self.says(self.note.phase.doing(), 0, 0);
            let next = match self.note.phase {
                Phase::Announced => self.detach().await?,
                Phase::Detached => self.shape().await?,
                Phase::Shaped => self.attach().await?,
                Phase::Attached => self.verify().await?,
                Phase::Verified => self.drop_what_was_copied().await?,
                Phase::Dropped => self.mark().await?,
                Phase::Marked => {
                    late::merge(self).await?;
                    let keys = clear::season(self.site, &self.season, self.tell).await?;
                    self.note.state = State::Archived;
                    self.reached(Phase::Done).await?;
                    return Ok(keys);
                }
                // An earlier run was done; late rows are looked for all the same.
                Phase::Done => Phase::Marked,
            };
            self.reached(next).await?;
        }
    }

    pub(super) fn says(&self, phase: &'static str, done: u64, total: u64) {
        (self.tell)(Progress::new(phase, done, total));
    }

    pub(super) async fn step(&self) -> Result<()> {
        self.steps.step(&self.site.config.site).await
    }

    pub(super) async fn save(&mut self) -> Result<()> {
        self.run.note(&self.note).await?;
        self.step().await
    }

    async fn reached(&mut self, phase: Phase) -> Result<()> {
        self.note.phase = phase;
        self.note.failure = None;
        self.save().await
    }

    /// From here on reads are refused. A season that was closed a moment ago is still open
    /// for processes that believe so; one that is opened while this is written stays open.
    async fn announce(&mut self) -> Result<()> {
        let state = season_state(self.site, self.season.as_str()).await?;
        self.wait_until_believed(&state).await?;
        let known = self.run.noted::<Note>().await?;
        self.save().await?;
        let state = season_state(self.site, self.season.as_str()).await?;
        if let Err(active) = refuse_active(&state) {
            // Nothing was done yet, unless an earlier run did it.
            if known.is_none_or(|note| note.state != State::Archiving) {
                self.run.clear().await?;
            }
            return Err(active);
        }
        Ok(())
    }

    async fn wait_until_believed(&self, state: &SeasonState) -> Result<()> {
        let believed = self.site.config.srs.season_cache;
        let now = UtcMicros::now();
        let zone = self.site.zone(now).await?;
        let Some(changed) = state.modified else {
            return Ok(());
        };
        let since = now.0 - zone.to_utc(changed).0;
        let since = Duration::from_micros(u64::try_from(since).unwrap_or(0));
        if let Some(left) = believed.checked_sub(since) {
            self.says("waiting until everybody knows that it is closed", 0, 0);
            sleep(left).await;
        }
        Ok(())
    }

    async fn detach(&mut self) -> Result<Phase> {
        drain::drain(self.site, &self.season).await?;
        let convert =
            store::can_convert(self.run.held()).await? && self.note.method != Method::Copy;
        let held = self.run.held();
        let there = store::detach(held, &self.season, &self.note.detached, convert).await?;
        self.step().await?;
        if !there {
            return Ok(Phase::Dropped);
        }
        self.note.rows = store::rows_of(self.run.held(), &self.note.detached).await?;
        Ok(Phase::Detached)
    }

    /// The detached rows get the archive's shape, each method in its way.
    async fn shape(&mut self) -> Result<Phase> {
        let detached = self.note.detached.clone();
        match self.note.method {
            Method::Convert => {
                let at = self.note.at()?;
                store::shape(self.run.held(), &detached, at).await?;
                self.step().await?;
                self.index_and_sum(&detached).await?;
            }
            Method::Copy => {
                self.copy(&detached).await?;
                let copy = self.note.copy.clone();
                self.step().await?;
                self.index_and_sum(&copy).await?;
            }
            Method::Merge => {
                self.merge(&detached, Direction::Archive).await?;
                return Ok(Phase::Attached);
            }
        }
        Ok(Phase::Shaped)
    }

    /// Builds the indexes and sums up the detached rows meanwhile: the indexes change none.
    async fn index_and_sum(&mut self, table: &str) -> Result<()> {
        let id = store::connection_id(self.run.held());
        let (db, scope) = (&self.db, self.site.config.site.as_str());
        let detached = (self.note.detached.as_str(), &self.season);
        let index = watched(db, id, self.tell, store::index(self.run.held(), table));
        let sum = sums::sum(db, scope, detached, self.note.rows, None);
        let (sum, ()) = tokio::try_join!(sum, index)?;
        self.note.sum = Some(sum);
        self.step().await
    }

    async fn copy(&mut self, detached: &str) -> Result<()> {
        let (copy, at) = (self.note.copy.clone(), self.note.at()?);
        store::make_copy(self.run.held(), &copy).await?;
        self.step().await?;
        let mut after = store::copied_until(self.run.held(), &copy).await?;
        let mut done = store::rows_of(self.run.held(), &copy).await?;
        let mut pace = Pace::new();
        loop {
            let rows = pace.begin();
            let held = self.run.held();
            let tables = (detached, copy.as_str());
            let chunk = store::copy_chunk(held, tables, after.as_deref(), rows, at).await?;
            done += chunk.rows;
            self.says("copying", done, self.note.rows);
            self.step().await?;
            after = chunk.until;
            if after.is_none() {
                return Ok(());
            }
            pace.rest().await;
        }
    }

    /// Merges all rows of the season in `from`, from where an earlier run stopped.
    pub(super) async fn merge(&mut self, from: &str, direction: Direction) -> Result<()> {
        let (season, at) = (self.season.clone(), self.note.at()?);
        let mut pace = Pace::new();
        loop {
            let rows = pace.begin();
            let after = self.note.position.clone();
            let what = (from, direction);
            let held = self.run.held();
            let chunk = store::merge_chunk(held, what, &season, after.as_deref(), rows, at).await?;
            self.note.done += chunk.rows;
            self.says("merging", self.note.done, self.note.rows);
            let last = chunk.until.is_none();
            if last {
                self.step().await?;
                return Ok(());
            }
            self.note.position = chunk.until;
            self.save().await?;
            pace.rest().await;
        }
    }

    async fn attach(&mut self) -> Result<Phase> {
        let (held, note) = (self.run.held(), &self.note);
        match note.method {
            Method::Convert => store::attach(held, &note.detached, &self.season).await?,
            Method::Copy => store::become_partition(held, &note.copy, &self.season).await?,
            Method::Merge => {}
        }
        self.step().await?;
        Ok(Phase::Attached)
    }

    async fn verify(&mut self) -> Result<Phase> {
        let problem = match self.note.method {
            Method::Merge => {
                let detached = self.note.detached.clone();
                let missing = self.not_merged(&detached, Direction::Archive).await?;
                if missing > 0 {
                    // To be merged again by the next run.
                    self.note.phase = Phase::Detached;
                    (self.note.position, self.note.done) = (None, 0);
                }
                (missing > 0).then(|| format!("{missing} rows have not come into the archive"))
            }
            Method::Convert | Method::Copy => self.compare().await?,
        };
        let Some(problem) = problem else {
            return Ok(Phase::Verified);
        };
        if self.note.method == Method::Copy && self.note.failure.is_some() {
            // An earlier run said so, and nobody has mended it.
            return self.copy_anew().await;
        }
        let remedy = match self.note.method {
            Method::Convert => {
                "there is no other copy: put back what was changed in the archive, and archive it \
                 again, which compares again"
            }
            Method::Copy | Method::Merge => {
                "archive it again, and the rows are taken from there once more"
            }
        };
        self.refuse(format!(
            "The archive of {} is not what the tracker had: {problem}. Nothing was dropped, the \
             rows are in table {}; {remedy}",
            self.season,
            self.note.table(),
        ))
        .await
    }

    /// Notes why it cannot go on.
    async fn refuse(&mut self, message: String) -> Result<Phase> {
        self.note.failure = Some(message.clone());
        self.save().await?;
        Err(Error::new(ErrorKind::Conflict, message))
    }

    /// Copies the detached rows once more: what was made of them goes, if they themselves are
    /// as they were.
    async fn copy_anew(&mut self) -> Result<Phase> {
        let detached = self.note.detached.clone();
        let (scope, table) = (&self.site.config.site, (&*detached, &self.season));
        let now = sums::sum(&self.db, scope, table, self.note.rows, Some(self.tell)).await?;
        if self.note.sum != Some(now) {
            return self
                .refuse(format!(
                    "Neither the archive of {} nor table {detached} has what the tracker had: \
                     somebody changed rows in both. Nothing was dropped; put back what was changed \
                     in {detached}, and archive it again",
                    self.season
                ))
                .await;
        }
        store::drop_archived(self.run.held(), &self.season).await?;
        self.step().await?;
        store::drop_own(self.run.held(), &self.note.copy).await?;
        self.step().await?;
        Ok(Phase::Detached)
    }

    async fn compare(&mut self) -> Result<Option<String>> {
        let (before, total) = (self.note.sum, self.note.rows);
        let Some(before) = before else {
            return Err(Error::internal("The detached rows were not summed up"));
        };
        let scope = self.site.config.site.as_str();
        let archived = (ARCHIVE, &self.season);
        let after = sums::sum(&self.db, scope, archived, total, Some(self.tell)).await?;
        if after == before && before.rows == self.note.rows {
            return Ok(None);
        }
        Ok(Some(format!(
            "{} rows with checksum {}:{} were {} rows with checksum {}:{}",
            after.rows, after.first, after.second, before.rows, before.first, before.second
        )))
    }

    /// Rows of the season in `from` that the other table has nothing as new for.
    pub(super) async fn not_merged(&mut self, from: &str, direction: Direction) -> Result<u64> {
        let season = self.season.clone();
        let (mut missing, mut after) = (0, None::<String>);
        let mut pace = Pace::new();
        loop {
            let rows = pace.begin();
            let held = self.run.held();
            let what = (from, direction);
            let chunk = store::not_merged(held, what, &season, after.as_deref(), rows).await?;
            missing += chunk.rows;
            after = chunk.until;
            if after.is_none() {
                return Ok(missing);
            }
            pace.rest().await;
        }
    }

    /// The detached table, verified, if its rows were copied; and what an exchange left.
    async fn drop_what_was_copied(&mut self) -> Result<Phase> {
        let (held, note) = (self.run.held(), &self.note);
        if note.method != Method::Convert {
            store::drop_own(held, &note.detached).await?;
        }
        store::drop_own(held, &note.copy).await?;
        self.step().await?;
        Ok(Phase::Dropped)
    }

    async fn mark(&mut self) -> Result<Phase> {
        let at = self.note.at()?;
        let now = UtcMicros::now();
        let now = self.site.zone(now).await?.to_wall(now);
        store::mark_archived(self.run.held(), &self.season, at, now).await?;
        Ok(Phase::Marked)
    }
}

/// Work of the server on connection `id`, telling how far it is.
async fn watched(
    db: &MariaDb,
    id: u32,
    tell: &Tell,
    work: impl Future<Output = Result<()>>,
) -> Result<()> {
    tokio::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            () = sleep(ASK) => {}
        }
        // Without an answer there are no percents, nothing worse.
        if let Ok(Some(percent)) = store::percent_done(db, id).await {
            tell(Progress::new("indexing", percent, 100));
        }
    }
}
