//! Seasons and subjects as last read: small, asked for by every request, rarely changed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::NaiveDate;
use quick_cache::sync::Cache;
use tokio::time::Instant;

use super::{Site, bounded};
use crate::servers::mariadb::MariaDb;
use crate::store::seasons::{self, SeasonRow};
use crate::types::{Season, UtcMicros};
use crate::{Error, ErrorKind, Result};

/// Names remembered: what clients ask for, right or wrong.
const REMEMBERED: usize = 1024;
/// How long a subject's spelling is believed.
const SUBJECT_BELIEVED: Duration = Duration::from_secs(60);

/// How long reading one may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long the last reading is believed on after one that failed or is slow.
const RETRY: Duration = Duration::from_secs(1);

/// How long a reading is believed on, while the table cannot be read, since it was made.
/// While it cannot be read here it may be changed elsewhere: a student whose schedule is
/// cached need not notice for so long.
const BELIEVED_ON: Duration = Duration::from_secs(3600);

/// Seasons by the name asked for; "" is the active one.
pub(super) struct Seasons {
    believed: Duration,
    known: Cache<String, Reading>,
    /// Held while reading, so that a crowd reads once; when and how that last failed, so
    /// that a crowd waits for one failure and not for one each.
    reading: tokio::sync::Mutex<Option<(Instant, Error)>>,
}

/// What was read about a season.
#[derive(Clone)]
struct Reading {
    /// Until when it is believed.
    until: Instant,
    /// When it was asked for.
    at: Instant,
    row: Option<Arc<SeasonRow>>,
}

impl Seasons {
    pub(super) fn new(believed: Duration) -> Self {
        Self {
            believed,
            known: Cache::new(REMEMBERED),
            reading: tokio::sync::Mutex::default(),
        }
    }

    fn known(&self, name: &str) -> Option<Option<Arc<SeasonRow>>> {
        self.known
            .get(name)
            .filter(|reading| reading.until > Instant::now())
            .map(|reading| reading.row)
    }

    /// The last reading of a season while the table cannot be read.
    fn older(&self, name: &str) -> Option<Option<Arc<SeasonRow>>> {
        let reading = self.known.get(name)?;
        (reading.at.elapsed() < BELIEVED_ON).then_some(reading.row)
    }

    /// Believes the last reading for another moment.
    fn believe_on(&self, name: &str) -> Option<Option<Arc<SeasonRow>>> {
        let row = self.older(name)?;
        if let Some(reading) = self.known.get(name) {
            let until = reading.until.max(Instant::now() + RETRY);
            self.known
                .insert(name.to_owned(), Reading { until, ..reading });
        }
        Some(row)
    }

    /// Reads a season, or waits for who does.
    async fn read(
        &self,
        db: &MariaDb,
        name: &str,
        today: NaiveDate,
    ) -> Result<Option<Arc<SeasonRow>>> {
        let asked = Instant::now();
        let mut last_failure = self.reading.lock().await;
        if let Some(row) = self.known(name) {
            return Ok(row);
        }
        if let Some((at, error)) = &*last_failure
            && *at >= asked
        {
            return self.or_older(name, error.clone());
        }
        // Believed from before the read: a season closed meanwhile is not open for longer.
        let at = Instant::now();
        let read = async {
            match name {
                "" => seasons::active(db, today).await,
                name => seasons::named(db, name).await,
            }
        };
        match MariaDb::within(PATIENCE, read).await {
            Ok(row) => {
                let row = row.map(Arc::new);
                let reading = Reading {
                    until: at + self.believed,
                    at,
                    row: row.clone(),
                };
                self.known.insert(name.to_owned(), reading);
                Ok(row)
            }
            Err(error) => {
                *last_failure = Some((Instant::now(), error.clone()));
                self.or_older(name, error)
            }
        }
    }

    fn or_older(&self, name: &str, error: Error) -> Result<Option<Arc<SeasonRow>>> {
        match error.kind() {
            ErrorKind::Unavailable => self.believe_on(name).ok_or(error),
            _ => Err(error),
        }
    }
}

/// The active season, if there is one.
pub(super) async fn active(site: &Site, now: UtcMicros) -> Result<Option<Arc<SeasonRow>>> {
    find(site, "", now).await
}

/// The season of this name, archived or not.
///
/// # Errors
/// `NotFound` for an unknown one.
pub(super) async fn named(site: &Site, name: &str, now: UtcMicros) -> Result<Arc<SeasonRow>> {
    find(site, name, now)
        .await?
        .ok_or_else(|| Error::not_found(format!("Season {name} does not exist")))
}

/// The season that a student asked for.
///
/// # Errors
/// `NotFound` for an unknown one, `InvalidInput` for one that is archived, or is being.
pub(super) async fn asked(site: &Site, name: &str, now: UtcMicros) -> Result<Arc<SeasonRow>> {
    let row = named(site, name, now).await?;
    refuse_archived(&row)?;
    Ok(row)
}

fn refuse_archived(row: &SeasonRow) -> Result<()> {
    let what = match (row.archiving, row.archived) {
        (true, _) => "is being archived",
        (false, true) => "has ended and is archived",
        (false, false) => return Ok(()),
    };
    Err(Error::invalid(format!("Season {} {what}", row.name)))
}

/// Whether the season's rows were still in the table just now. To be asked *after* the
/// table was read, past everything that is believed: archiving is announced first, and
/// takes the rows away then, so who found none, or few, would take that for the truth.
///
/// # Errors
/// `InvalidInput` for a season that is archived, or is being; `Unavailable` if the database
/// is away.
pub(super) async fn not_archived(site: &Site, season: &Season) -> Result<()> {
    let row = seasons::named(&site.db, season.as_str()).await?;
    row.map_or(Ok(()), |row| refuse_archived(&row))
}

async fn find(site: &Site, name: &str, now: UtcMicros) -> Result<Option<Arc<SeasonRow>>> {
    if let Some(row) = site.seasons.known(name) {
        return Ok(row);
    }
    Box::pin(look(site, name, now)).await
}

async fn look(site: &Site, name: &str, now: UtcMicros) -> Result<Option<Arc<SeasonRow>>> {
    let today = site.zone(now).await?.to_wall(now).date();
    let read = {
        let (seasons, db, name) = (site.seasons.clone(), site.db.clone(), name.to_owned());
        async move { seasons.read(&db, &name, today).await }
    };
    // The table may be slow: the reading goes on, and this request with the last one.
    let patience = match site.seasons.older(name) {
        Some(_) => site.moment(),
        None => site.first_wait(),
    };
    match bounded::within(patience, read).await {
        Some(row) => row,
        None => site.seasons.believe_on(name).ok_or_else(slow),
    }
}

fn slow() -> Error {
    Error::unavailable("The database is too slow", RETRY)
}

/// By the spelling asked for: until when it is believed, and the stored spelling.
type Spellings = HashMap<String, (Instant, Option<String>)>;

/// Stored spellings of subjects.
#[derive(Clone)]
pub(super) struct Subjects {
    known: Arc<Mutex<Spellings>>,
}

impl Subjects {
    pub(super) fn new() -> Self {
        Self {
            known: Arc::default(),
        }
    }

    fn known(&self) -> MutexGuard<'_, Spellings> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn read(&self, db: &MariaDb, asked: &str, now: Instant) -> Result<Option<String>> {
        let stored = MariaDb::within(PATIENCE, seasons::subject(db, asked)).await?;
        let mut known = self.known();
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(asked.to_owned(), (now + SUBJECT_BELIEVED, stored.clone()));
        Ok(stored)
    }
}

/// The stored spelling of a subject; `None` if there is no such subject.
///
/// # Errors
/// `Unavailable` if the database is away and the subject was never asked for.
pub(super) async fn subject(site: &Site, asked: &str) -> Result<Option<String>> {
    let now = Instant::now();
    let last = site.subjects.known().get(asked).cloned();
    if let Some((until, stored)) = &last
        && *until > now
    {
        return Ok(stored.clone());
    }
    Box::pin(look_subject(site, asked, now, last)).await
}

async fn look_subject(
    site: &Site,
    asked: &str,
    now: Instant,
    last: Option<(Instant, Option<String>)>,
) -> Result<Option<String>> {
    let read = {
        let (subjects, db, asked) = (site.subjects.clone(), site.db.clone(), asked.to_owned());
        async move { subjects.read(&db, &asked, now).await }
    };
    let patience = match last {
        Some(_) => site.moment(),
        None => site.first_wait(),
    };
    match bounded::within(patience, read).await {
        Some(Ok(stored)) => Ok(stored),
        Some(Err(error)) => last.map(|(_, stored)| stored).ok_or(error),
        None => last.map(|(_, stored)| stored).ok_or_else(slow),
    }
}
