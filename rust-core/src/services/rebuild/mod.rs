//! Filling the whole cache of a season, before its students ask for it.
//!
//! Students are gone through page by page in index order ([`pages`]), several pages being
//! worked on at once. The schedules of a page are made as every schedule is ([`batch`]):
//! lease, then everything on record in one snapshot, staged, published unless a write came
//! meanwhile; only that each step is taken for many students at once. So students read and
//! submit meanwhile, and whoever is filled by somebody else at that moment is left to them.
//!
//! What Redis has lost by the end is noticed ([`kept`]), and filled again.
//!
//! It takes a share of the time ([`Options::load`]), and memory for two pages of some
//! 20,000 questions, or of one student. Where it stands is noted every second: a run that
//! died goes on there.

mod batch;
mod kept;
mod pages;
mod standing;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

pub use self::standing::{Report, Standing, State, standing};

use self::batch::Outcome;
use self::pages::Pages;
use self::standing::Tally;
use super::work::{self, Kind, Progress, Run, Tell};
use super::{Site, fill};
use crate::servers::mariadb::MariaDb;
use crate::store::load::many;
use crate::store::seasons;
use crate::types::{Player, Season, UtcMicros, check_name};
use crate::{Error, ErrorKind, Result, failpoint};

/// Pages worked on at once: one is read while another is written.
const AT_ONCE: usize = 2;
/// How often the students are gone through, where Redis loses what is filled.
const ROUNDS: u32 = 3;
/// How often the position is noted and the season looked at.
const NOTE: Duration = Duration::from_secs(1);
/// How often progress is told.
const TELL: Duration = Duration::from_millis(100);
/// For how long a position is good: later, what was filled before it may be gone.
const RECENT: i64 = 3600 * 1_000_000;
/// How long counting the students may take. The rebuild does without.
const COUNTING: Duration = Duration::from_secs(10);
/// How long those are tried again that were being written or filled: longer than a lease
/// outlives the process that died with it.
const AGAIN: Duration = Duration::from_secs(12);
/// The pause before each try.
const PAUSE: Duration = Duration::from_millis(500);
/// When to come back if something is away.
const COME_BACK: Duration = Duration::from_secs(10);

/// How to rebuild.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Share of the time in which the servers are asked to work, 1 to 100 per cent. 50
    /// leaves room for students.
    pub load: u8,
    /// Leave complete schedules alone.
    pub missing_only: bool,
    /// Begin with the first student also if a run was interrupted lately.
    pub from_start: bool,
    /// Students read at once, 1 to 10,000; of some 20,000 questions together at most.
    pub batch_size: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            load: 50,
            missing_only: false,
            from_start: false,
            batch_size: 1000,
        }
    }
}

impl Options {
    fn check(&self) -> Result<()> {
        if !(1..=100).contains(&self.load) {
            return Err(Error::invalid("load must be 1 to 100"));
        }
        if !(1..=10_000).contains(&self.batch_size) {
            return Err(Error::invalid("batch_size must be 1 to 10000"));
        }
        Ok(())
    }

    /// How long to rest after so much work.
    fn rest(&self, worked: Duration) -> Duration {
        let load = u32::from(self.load.clamp(1, 100));
        worked * (100 - load) / load
    }
}

/// Fills the schedules of all students of `season` who have rows in it.
///
/// # Errors
/// `InvalidInput` for a season that is archived or not cached (`enable_redis` off), or
/// options that cannot be; `NotFound` for an unknown season; `Unavailable` if another
/// rebuild of it or its archiving is under way, or a server is away: run it again, and it
/// goes on where it stood.
pub async fn run(site: &Arc<Site>, season: &str, options: &Options, tell: &Tell) -> Result<Report> {
    options.check()?;
    let season = rebuildable(site, season).await?;
    let mut run = Run::begin(site, Kind::Rebuild, Some(&season)).await?;
    let data_set = site.cache.data_set().await?;
    let now = UtcMicros::now();
    let noted = run.noted::<Standing>().await?.filter(|noted| {
        // What was filled by then is there still.
        !options.from_start && noted.can_go_on(&data_set, options, now)
    });
    let mut standing = match noted {
        Some(noted) if noted.is_kept(site, &season).await? => {
            tracing::info!(site = site.config.site, %season, after = noted.after, "Rebuild goes on");
            noted.goes_on(now)
        }
        _ => Standing::new(data_set, options, now),
    };
    standing.note(&mut run).await?;
    if standing.students == 0 {
        standing.students = count_students(site, &season).await;
    }
    let job = Arc::new(Job {
        site: site.clone(),
        options: options.clone(),
        pages: Mutex::new(Pages::new(
            season.clone(),
            standing.after.clone(),
            options.batch_size,
        )),
        lost: AtomicBool::new(false),
        tally: Tally::new(&standing),
        stopped: AtomicBool::new(false),
        season,
    });
    let outcome = job.clone().work(&mut run, &mut standing, tell).await;
    standing.take(&job.tally);
    standing.end(&outcome);
    failpoint::hit(&site.config.site, "rebuild_ends").await?;
    let noted = standing.note(&mut run).await;
    run.end().await;
    outcome.map_err(|error| resumable(error, &standing))?;
    noted?;
    let report = standing.report();
    work::remember(site, Kind::Rebuild, Some(&job.season), &standing).await?;
    tracing::info!(site = site.config.site, ?report, "Rebuild done");
    Ok(report)
}

/// What a rebuild that was stopped says.
fn resumable(error: Error, standing: &Standing) -> Error {
    let message = format!(
        "{}; {} students were done: run it again and it goes on",
        error.message(),
        standing.done
    );
    let again = Error::new(error.kind(), message);
    again.with_retry_after(COME_BACK).with_source(error)
}

/// Where the rebuild of a season stands, or how the last one ended; `None` if there was none.
///
/// # Errors
/// `NotFound` for an unknown season; `Unavailable` if the database is away.
pub async fn status(site: &Site, season: &str) -> Result<Option<work::Noted<Standing>>> {
    let season = known(site, season).await?.name;
    work::noted(site, Kind::Rebuild, Some(&season)).await
}

/// Whether a rebuild of this season may begin: its stored name.
///
/// # Errors
/// As [`run`].
pub async fn rebuildable(site: &Site, season: &str) -> Result<Season> {
    let row = known(site, season).await?;
    if row.archived {
        let message = format!("Season {} has ended and is archived", row.name);
        return Err(Error::invalid(message));
    }
    if !row.enable_redis {
        let message = format!("Season {} is not cached: enable_redis is off", row.name);
        return Err(Error::invalid(message));
    }
    if is_being_archived(site, &row.name).await? {
        let message = format!("Season {} is being archived", row.name);
        return Err(Error::unavailable(message, COME_BACK));
    }
    Ok(row.name)
}

/// What a rebuild would fill: the season's stored name and how many students it has; 0 if
/// counting them takes too long.
///
/// # Errors
/// As [`run`].
pub async fn plan(site: &Site, season: &str) -> Result<(Season, u64)> {
    let season = rebuildable(site, season).await?;
    let students = count_students(site, &season).await;
    Ok((season, students))
}

async fn known(site: &Site, season: &str) -> Result<seasons::SeasonRow> {
    check_name("season", season)?;
    let row = seasons::named(&site.db, season).await?;
    row.ok_or_else(|| Error::not_found(format!("Season {season} does not exist")))
}

async fn is_being_archived(site: &Site, season: &Season) -> Result<bool> {
    let noted = work::noted::<serde_json::Value>(site, Kind::Archive, Some(season)).await?;
    Ok(noted.is_some_and(|noted| noted.running))
}

/// 0 if it takes too long: only what is said of progress needs it.
async fn count_students(site: &Site, season: &Season) -> u64 {
    let count = async {
        let mut conn = site.db.conn().await?;
        many::count_students(&mut conn, season).await
    };
    let counted = MariaDb::within(COUNTING, count).await;
    counted.unwrap_or_else(|error| {
        tracing::debug!(?error, "The students were not counted");
        0
    })
}

/// What those who work on one rebuild share.
struct Job {
    site: Arc<Site>,
    season: Season,
    options: Options,
    pages: Mutex<Pages>,
    tally: Tally,
    /// Whether somebody wants it to end.
    stopped: AtomicBool,
    /// Whether Redis has lost something that was filled in this round.
    lost: AtomicBool,
}

impl Job {
    async fn work(
        self: Arc<Self>,
        run: &mut Run,
        standing: &mut Standing,
        tell: &Tell,
    ) -> Result<()> {
        let outcome = tokio::select! {
            done = self.clone().rounds() => done,
            failed = self.supervise(run, standing, tell) => Err(failed),
        };
        tell(self.tally.progress(standing.students));
        outcome
    }

    /// Goes through all students, and again while Redis loses what was filled.
    async fn rounds(self: Arc<Self>) -> Result<()> {
        loop {
            let mut workers = JoinSet::new();
            for _ in 0..AT_ONCE {
                let job = self.clone();
                workers.spawn(async move { job.pages().await });
            }
            while let Some(done) = workers.join_next().await {
                done.map_err(|died| Error::internal("A rebuild died").with_source(died))??;
            }
            self.again().await;
            failpoint::hit(&self.site.config.site, "rebuild_passed").await?;
            self.look_for_lost().await?;
            if !self.lost.swap(false, Ordering::Relaxed) {
                return Ok(());
            }
            let round = self.tally.round();
            tracing::warn!(
                site = self.site.config.site,
                season = %self.season,
                round,
                "Redis has lost schedules that were filled"
            );
            let size = self.options.batch_size;
            let mut pages = Pages::new(self.season.clone(), None, size);
            if round >= ROUNDS {
                return self.count_lost(&mut pages).await;
            }
            *self.pages.lock().await = pages;
            self.tally.next_round();
        }
    }

    /// Looks whether a witness is gone. Once one is, the others need not be asked.
    async fn look_for_lost(&self) -> Result<()> {
        if !self.lost.load(Ordering::Relaxed) {
            let witnesses = self.tally.witnesses();
            let missing = kept::missing(&self.site, &self.season, &witnesses).await?;
            self.lost.fetch_or(missing > 0, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Counts those whose schedules are gone, without filling them.
    async fn count_lost(&self, pages: &mut Pages) -> Result<()> {
        let mut lost = 0;
        while let Some(page) = pages.next(&self.site).await? {
            let began = Instant::now();
            let players: Vec<Player> = page.students.into_iter().map(|s| s.player).collect();
            lost += kept::missing(&self.site, &self.season, &players).await? as u64;
            sleep(self.options.rest(began.elapsed())).await;
        }
        self.tally.lost(lost);
        Ok(())
    }

    /// Works on pages until there are no more.
    async fn pages(&self) -> Result<()> {
        while !self.stopped.load(Ordering::Relaxed) {
            let began = Instant::now();
            let Some(page) = self.pages.lock().await.next(&self.site).await? else {
                break;
            };
            let mut options = self.options.clone();
            options.missing_only |= self.tally.round() > 1;
            let outcome = batch::fill(&self.site, &self.season, &options, page.students).await?;
            failpoint::hit(&self.site.config.site, "rebuild_published").await?;
            self.tally.add(page.number, page.last, outcome);
            sleep(self.options.rest(began.elapsed())).await;
        }
        Ok(())
    }

    /// Notes where it stands, and sees to it that it may go on; only a failure ends it.
    async fn supervise(&self, run: &mut Run, standing: &mut Standing, tell: &Tell) -> Error {
        let mut noted = Instant::now();
        loop {
            sleep(TELL).await;
            tell(self.tally.progress(standing.students));
            if noted.elapsed() < NOTE {
                continue;
            }
            noted = Instant::now();
            standing.take(&self.tally);
            if let Err(error) = self.look(run, standing).await {
                self.stopped.store(true, Ordering::Relaxed);
                return error;
            }
        }
    }

    async fn look(&self, run: &mut Run, standing: &Standing) -> Result<()> {
        let (site, name) = (&self.site, &self.season);
        standing.note(run).await?;
        failpoint::hit(&site.config.site, "rebuild_noted").await?;
        if site.cache.data_set().await? != standing.data_set {
            let gone = "Redis was restarted or replaced: what was filled is gone; run it again";
            return Err(Error::unavailable(gone, COME_BACK));
        }
        self.look_for_lost().await?;
        match rebuildable(site, name.as_str()).await {
            // The workers may have all connections for a moment.
            Err(error) if error.kind() == ErrorKind::Unavailable => {
                match error.message().contains("archived") {
                    true => Err(error),
                    false => Ok(()),
                }
            }
            other => other.map(|_| ()),
        }
    }

    /// Those whose schedule was being written or filled by others, once more.
    async fn again(&self) {
        let end = Instant::now() + AGAIN;
        while Instant::now() < end {
            let left = self.tally.left();
            if left.is_empty() {
                return;
            }
            sleep(PAUSE).await;
            for player in left {
                let filled = self.one(&player).await.unwrap_or_else(|error| {
                    tracing::debug!(?error, "A schedule was not filled");
                    false
                });
                if filled {
                    self.tally.filled_at_last(&player);
                }
            }
        }
    }

    async fn one(&self, player: &Player) -> Result<bool> {
        if self
            .site
            .cache
            .are_complete(&[player], &self.season)
            .await?
            == [true]
        {
            return Ok(true);
        }
        Ok(fill::run(&self.site, player, &self.season, &[]).await? == fill::Filled::Yes)
    }
}

impl Tally {
    fn progress(&self, students: u64) -> Progress {
        let phase = match self.round() {
            1 => "students",
            _ => "students again",
        };
        Progress {
            phase,
            done: self.students(),
            total: students,
            questions: self.questions(),
        }
    }
}

impl Outcome {
    fn students(&self) -> u64 {
        self.filled + self.skipped + self.left.len() as u64
    }
}
