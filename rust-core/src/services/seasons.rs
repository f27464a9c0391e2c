//! Seasons and subjects as last read: small, asked for by every request, rarely changed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use quick_cache::sync::Cache;
use tokio::time::Instant;

use super::Site;
use crate::servers::mariadb::MariaDb;
use crate::store::seasons::{self, SeasonRow};
use crate::types::UtcMicros;
use crate::{Error, ErrorKind, Result};

/// Names remembered: what clients ask for, right or wrong.
const REMEMBERED: usize = 1024;
/// How long a subject's spelling is believed.
const SUBJECT_BELIEVED: Duration = Duration::from_secs(60);

/// How long reading one may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long the last reading is believed on after one that failed.
const RETRY: Duration = Duration::from_secs(1);

/// Seasons by the name asked for; "" is the active one.
pub(super) struct Seasons {
    believed: Duration,
    known: Cache<String, (Instant, Option<Arc<SeasonRow>>)>,
    /// Held while reading, so that a crowd reads once; when and how that last failed, so
    /// that a crowd waits for one failure and not for one each.
    reading: tokio::sync::Mutex<Option<(Instant, Error)>>,
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
            .filter(|(until, _)| *until > Instant::now())
            .map(|(_, row)| row)
    }

    /// The last reading of a season while the database is away, which cannot change it
    /// either: a student whose schedule is cached need not notice.
    fn believe_on(&self, name: &str, error: &Error) -> Result<Option<Arc<SeasonRow>>> {
        let last = self.known.get(name).map(|(_, row)| row);
        match last {
            Some(row) if error.kind() == ErrorKind::Unavailable => {
                let until = Instant::now() + RETRY;
                self.known.insert(name.to_owned(), (until, row.clone()));
                Ok(row)
            }
            _ => Err(error.clone()),
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
/// `NotFound` for an unknown one, `InvalidInput` for an archived one.
pub(super) async fn asked(site: &Site, name: &str, now: UtcMicros) -> Result<Arc<SeasonRow>> {
    let row = named(site, name, now).await?;
    if row.archived {
        let message = format!("Season {} has ended and is archived", row.name);
        return Err(Error::invalid(message));
    }
    Ok(row)
}

async fn find(site: &Site, name: &str, now: UtcMicros) -> Result<Option<Arc<SeasonRow>>> {
    let seasons = &site.seasons;
    if let Some(row) = seasons.known(name) {
        return Ok(row);
    }
    let asked = Instant::now();
    let mut last_failure = seasons.reading.lock().await;
    if let Some(row) = seasons.known(name) {
        return Ok(row);
    }
    if let Some((at, error)) = &*last_failure
        && *at >= asked
    {
        return seasons.believe_on(name, error);
    }
    // Believed from before the read: a season closed meanwhile is not open for longer.
    let until = Instant::now() + seasons.believed;
    match MariaDb::within(PATIENCE, load(site, name, now)).await {
        Ok(row) => {
            let row = row.map(Arc::new);
            seasons.known.insert(name.to_owned(), (until, row.clone()));
            Ok(row)
        }
        Err(error) => {
            *last_failure = Some((Instant::now(), error.clone()));
            seasons.believe_on(name, &error)
        }
    }
}

async fn load(site: &Site, name: &str, now: UtcMicros) -> Result<Option<SeasonRow>> {
    if name.is_empty() {
        let today = site.zone(now).await?.to_wall(now).date();
        seasons::active(&site.db, today).await
    } else {
        seasons::named(&site.db, name).await
    }
}

/// Stored spellings of subjects by the spelling asked for.
pub(super) struct Subjects {
    known: Mutex<std::collections::HashMap<String, (Instant, Option<String>)>>,
}

impl Subjects {
    pub(super) fn new() -> Self {
        Self {
            known: Mutex::default(),
        }
    }
}

/// The stored spelling of a subject; `None` if there is no such subject.
///
/// # Errors
/// `Unavailable` if the database is away and the subject was never asked for.
pub(super) async fn subject(site: &Site, asked: &str) -> Result<Option<String>> {
    let lock = || {
        site.subjects
            .known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    };
    let now = Instant::now();
    let last = lock().get(asked).cloned();
    if let Some((until, stored)) = &last
        && *until > now
    {
        return Ok(stored.clone());
    }
    let stored = match MariaDb::within(PATIENCE, seasons::subject(&site.db, asked)).await {
        Ok(stored) => stored,
        Err(error) => return last.map(|(_, stored)| stored).ok_or(error),
    };
    let mut known = lock();
    if known.len() >= REMEMBERED {
        known.clear();
    }
    known.insert(asked.to_owned(), (now + SUBJECT_BELIEVED, stored.clone()));
    Ok(stored)
}
