//! Whether cache and record agree, and putting right where they do not (rule C12).
//!
//! A run draws a sample of cached students and compares random members and rows of each, or
//! compares all of one student or of a season. The record is the table with everything that
//! is not applied yet laid over it. A student whose schedule is not cached is no
//! discrepancy, nor is what differs because a write is on its way.
//!
//! | file | job |
//! |---|---|
//! | `students` | which cached students |
//! | `sample`, `full` | which of their questions |
//! | `compare`, `judge` | comparing, twice, and correcting |
//! | `report` | what was found, and who is told |

mod compare;
mod full;
mod judge;
mod random;
mod report;
mod sample;
mod students;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::time::Instant;

pub use report::{Kinds, Report};

use self::random::Random;
use super::work::{self, Kind, Progress, Tell};
use super::{Site, seasons, who};
use crate::types::{Player, Season, UtcMicros, check_name};
use crate::{Error, ErrorKind, Result};

/// Items that a sample may have, at most.
pub const MAX_SAMPLE: u64 = 100_000;
/// Items of a sample, if nobody says.
pub const DEFAULT_SAMPLE: u64 = 10_000;
/// Between two signs of life.
const SIGNS: Duration = Duration::from_millis(100);
/// Schedules looked at at once: a few milliseconds of Redis' time.
const AT_ONCE: usize = 16;
/// How often a run makes sure that it is the only one.
const STILL_MINE: Duration = Duration::from_secs(1);

/// What is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// About so many items of random students, 1 to 100,000.
    Sample(u64),
    /// All of the season's cached students.
    Season,
    /// All of one student.
    Student(String),
}

/// How a run is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// What is compared.
    pub scope: Scope,
    /// Of this season alone; of the active one if none is given where one is needed.
    pub season: Option<String>,
    /// Whether to correct nothing.
    pub dry_run: bool,
    /// Draws the same sample of the same data again.
    pub seed: Option<u64>,
}

impl Options {
    /// A sample of so many items, of all seasons.
    pub fn sample(size: u64) -> Self {
        Self {
            scope: Scope::Sample(size),
            season: None,
            dry_run: false,
            seed: None,
        }
    }
}

/// A run under way.
struct Run<'a> {
    site: &'a Site,
    tell: &'a Tell,
    dry_run: bool,
    report: Report,
    /// Whether students of a season are served.
    seasons: HashMap<Season, bool>,
    /// Those of whom something was compared, as hashes.
    students: HashSet<u64>,
    work: work::Run,
    /// When the right to run was last made sure of, and when somebody was told.
    checked: Instant,
    told: Option<Instant>,
    /// Full runs: students done and in all.
    done: u64,
    total: u64,
}

/// Compares, corrects, tells, and remembers.
///
/// # Errors
/// `InvalidInput` for a sample size outside 1 to 100,000 or an archived season, `NotFound`
/// for an unknown season or student, or where no season is active and one is needed;
/// `Unavailable` if a server is away, in Safe Mode, or while another such run of the season
/// is under way. What was corrected by then stays; nothing is reported or remembered.
pub async fn reconcile(site: &Site, options: &Options, tell: &Tell) -> Result<Report> {
    let started = Instant::now();
    let now = UtcMicros::now();
    let season = season(site, options, now).await?;
    let player = match &options.scope {
        Scope::Student(name) => Some(student(site, name).await?),
        Scope::Sample(size) if !(1..=MAX_SAMPLE).contains(size) => {
            let message = format!("sample_size must be between 1 and {MAX_SAMPLE}");
            return Err(Error::invalid(message));
        }
        _ => None,
    };
    if site.safe_mode().is_active() {
        return Err(away());
    }
    let work = work::Run::begin(site, Kind::Reconcile, season.as_ref()).await?;
    let report = Report {
        season: season.as_ref().map(|season| season.as_str().to_owned()),
        student: player.as_ref().map(|player| player.as_str().to_owned()),
        full: !matches!(options.scope, Scope::Sample(_)),
        dry_run: options.dry_run,
        started_at: started_at(now),
        ..Report::default()
    };
    let mut run = Run {
        site,
        tell,
        dry_run: options.dry_run,
        report,
        seasons: HashMap::new(),
        students: HashSet::new(),
        work,
        checked: started,
        told: None,
        done: 0,
        total: 0,
    };
    let done = run.all(options, season.as_ref(), player.as_ref()).await;
    let Run {
        mut report,
        students,
        work,
        ..
    } = run;
    work.end().await;
    done?;
    report.students = students.len() as u64;
    report.close(started.elapsed().as_secs_f64());
    // The one place where it is told: once for each run that came to its end.
    report::tell(site, &report).await;
    work::remember(site, Kind::Reconcile, season.as_ref(), &report).await?;
    Ok(report)
}

/// The reports of the last runs, the oldest first.
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn history(site: &Site) -> Result<Vec<Report>> {
    work::history(site, Kind::Reconcile).await
}

/// The season that is asked for, in its stored spelling.
async fn season(site: &Site, options: &Options, now: UtcMicros) -> Result<Option<Season>> {
    let asked = match &options.season {
        Some(name) => {
            check_name("season", name)?;
            Some(seasons::asked(site, name, now).await?)
        }
        None if matches!(options.scope, Scope::Sample(_)) => None,
        None => {
            let active = seasons::active(site, now).await?;
            let none = || Error::not_found("No season is active: name one");
            Some(active.ok_or_else(none)?)
        }
    };
    Ok(asked.map(|row| row.name.clone()))
}

async fn student(site: &Site, name: &str) -> Result<Player> {
    check_name("student", name)?;
    let found = who::player(site, &Player::stored(name)).await?;
    found.ok_or_else(|| Error::not_found(format!("User {name} does not exist")))
}

fn started_at(now: UtcMicros) -> String {
    chrono::DateTime::from_timestamp_micros(now.0)
        .map(|at| at.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string())
        .unwrap_or_default()
}

fn away() -> Error {
    let message = "Redis is not available: nothing can be compared";
    Error::unavailable(message, Duration::from_secs(5))
}

/// What comes of these, which are asked of Redis: some at a time, over one connection.
async fn together<T>(asked: Vec<impl Future<Output = Result<T>>>) -> Result<Vec<T>> {
    stream::iter(asked).buffered(AT_ONCE).try_collect().await
}

impl Run<'_> {
    async fn all(
        &mut self,
        options: &Options,
        season: Option<&Season>,
        player: Option<&Player>,
    ) -> Result<()> {
        match (&options.scope, season) {
            (Scope::Sample(size), _) => {
                (self.report.sample_size, self.total) = (*size, *size);
                let mut random = Random::new(options.seed);
                sample::run(self, season, *size, &mut random).await
            }
            (_, Some(season)) if self.is_served(season).await? => match player {
                Some(player) => full::student(self, player, season).await,
                None => full::season(self, season).await,
            },
            _ => Ok(()),
        }
    }

    /// Whether students of this season are served: not of one that is archived, or being
    /// archived, whose rows are on the move, nor of one that is gone.
    async fn is_served(&mut self, season: &Season) -> Result<bool> {
        if let Some(served) = self.seasons.get(season) {
            return Ok(*served);
        }
        self.is_served_still(season).await
    }

    /// As [`Run::is_served`], looking again.
    async fn is_served_still(&mut self, season: &Season) -> Result<bool> {
        let served = match seasons::asked(self.site, season.as_str(), UtcMicros::now()).await {
            Ok(row) => row.name == *season,
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::InvalidInput) => false,
            Err(e) => return Err(e),
        };
        let archiving = served
            && work::noted::<serde_json::Value>(self.site, Kind::Archive, Some(season))
                .await?
                .is_some();
        let served = served && !archiving;
        self.seasons.insert(season.clone(), served);
        Ok(served)
    }

    fn student(&mut self, player: &Player, season: &Season) {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let mut hash = DefaultHasher::new();
        (player, season).hash(&mut hash);
        self.students.insert(hash.finish());
    }

    /// Says how far it is, if it is time.
    fn progress(&mut self) {
        if self.told.is_some_and(|told| told.elapsed() < SIGNS) {
            return;
        }
        self.told = Some(Instant::now());
        let progress = match self.report.full {
            true => Progress::new("students", self.done, self.total),
            false => {
                let done = self.report.compared.min(self.total);
                Progress::new("items", done, self.total)
            }
        };
        (self.tell)(progress);
    }

    /// Fails if another run may have begun.
    async fn still_mine(&mut self) -> Result<()> {
        if self.checked.elapsed() >= STILL_MINE {
            self.checked = Instant::now();
            self.work.check().await?;
        }
        Ok(())
    }
}
