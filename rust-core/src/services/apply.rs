//! Applying accepted submits to the table (rule C9), many in one transaction.
//!
//! What is applied is the journal row's payload; a job only says which row. The states
//! are shown in the cache again while the rows are locked: the submit's own write may not
//! have come through, and a worker is the last who knows.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use tokio::time::timeout;

use super::{Site, raw, unjournaled};
use crate::batch::Submission;
use crate::metrics::metrics;
use crate::servers::mariadb::MariaDb;
use crate::store::apply::{self, Context, Held, Work};
use crate::store::journal::{self, Failure};
use crate::store::refusals::is_locked;
use crate::store::{partitions, seasons};
use crate::types::{Player, QuestionState, Season, UtcMicros};
use crate::{Error, ErrorKind, Result, failpoint};

/// How long one try may take: longer than the server lets anybody wait for a lock (50 s),
/// so that only a server that went silent meets it.
const PATIENCE: Duration = Duration::from_secs(120);
/// Tries after the first.
const RETRIES: u32 = 3;
/// First pause between tries; doubled each time.
const PAUSE: Duration = Duration::from_secs(1);
/// From so many submits on they are applied in two transactions at once...
const LANES_FROM: usize = 32;
/// ... where so many connections may be open.
const CONNECTIONS: usize = 4;

/// Questions of a student that a transaction brought into the table, without subject and
/// topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NewQuestions {
    pub(super) player: Player,
    pub(super) season: Season,
    pub(super) ids: Vec<String>,
}

/// What applying has done, besides the outcomes.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// Journal rows that it applied: not those that were applied before, nor those left to
    /// whoever holds them.
    pub(super) rows: u64,
    /// What it brought into the table.
    pub(super) new: Vec<NewQuestions>,
}

/// Applies all of `work`, in one transaction or two if all goes well. The outcomes are in its
/// order; `Ok` also for what was applied before. Retries what may pass by itself; a bad
/// one does not harm the others.
pub async fn apply(site: &Site, work: &[Work], worker: &str) -> Vec<Result<()>> {
    apply_and_tell(site, work, worker, Held::Wait, &mut Done::default()).await
}

/// As [`apply()`]; adds to what is `done`. Rows that others hold are waited for, or left to
/// them: their outcome is `Ok`, and they do not count.
pub(super) async fn apply_and_tell(
    site: &Site,
    work: &[Work],
    worker: &str,
    held: Held,
    done: &mut Done,
) -> Vec<Result<()>> {
    let mut work: Vec<(usize, &Work)> = work.iter().enumerate().collect();
    let second = if site.config.srs.mariadb_connections < CONNECTIONS {
        Vec::new()
    } else {
        split_lanes(&mut work)
    };
    let mut done_beside = Done::default();
    let first_work: Vec<&Work> = work.iter().map(|(_, work)| *work).collect();
    let second_work: Vec<&Work> = second.iter().map(|(_, work)| *work).collect();
    let (outcomes, beside) = tokio::join!(
        in_parts(site, &first_work, worker, held, done),
        in_parts(site, &second_work, worker, held, &mut done_beside),
    );
    done.rows += done_beside.rows;
    done.new.extend(done_beside.new);
    let places = work.iter().chain(&second).map(|(at, _)| *at);
    let mut outcomes: Vec<_> = places.zip(outcomes.into_iter().chain(beside)).collect();
    outcomes.sort_by_key(|(at, _)| *at);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

/// Takes the second half of the students' work away, if it is worth a transaction of its own
/// beside the first: one connection keeps one processor of the server busy. Each half has
/// neighbours in the order of the table's keys, so that their locks meet in one place only.
fn split_lanes<'w>(work: &mut Vec<(usize, &'w Work)>) -> Vec<(usize, &'w Work)> {
    if work.len() < LANES_FROM {
        return Vec::new();
    }
    work.sort_by(|(_, a), (_, b)| a.key.player.cmp(&b.key.player));
    let player = &work[work.len() / 2].1.key.player;
    // All of a student's in one.
    let at = work.partition_point(|(_, other)| other.key.player < *player);
    work.split_off(if at == 0 { work.len() } else { at })
}

async fn in_parts(
    site: &Site,
    work: &[&Work],
    worker: &str,
    held: Held,
    done: &mut Done,
) -> Vec<Result<()>> {
    let mut outcomes = Vec::with_capacity(work.len());
    // Parts still to do, the next one last. A part that fails is done in halves, so that a
    // bad one among many costs few more transactions.
    let mut parts = vec![work];
    while let Some(part) = parts.pop() {
        if part.is_empty() {
            continue;
        }
        match together(site, part, worker, held, done).await {
            Ok(()) => outcomes.extend(part.iter().map(|_| Ok(()))),
            // It would be so for each of them, after as many tries. A connection that broke
            // over one of them is another matter.
            Err(error) if is_away(&error) && site.db.conn().await.is_err() => {
                let away = Error::unavailable("The database is not available", PAUSE);
                let away = away.with_source(error);
                outcomes.resize_with(work.len(), || Err(away.clone()));
                break;
            }
            Err(error) => match part {
                [one] => outcomes.push(failed(site, one, error).await),
                _ => {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.extend([second, first]);
                }
            },
        }
    }
    outcomes
}

/// Leaves the failure in the journal, where the next sweep and an operator find it.
async fn failed(site: &Site, work: &Work, error: mysql_async::Error) -> Result<()> {
    metrics().persistence_failure(&site.config.site);
    let failure = Failure {
        error: &error.to_string(),
        passes: may_pass(&error),
    };
    let tries = site.config.srs.journal_tries;
    if let Err(unwritten) = journal::failed(&site.db, &work.key, failure, tries).await {
        tracing::warn!(site = site.config.site, error = ?unwritten, "A failure could not be noted");
    }
    Err(match error {
        mysql_async::Error::Other(ours) => match ours.downcast::<Error>() {
            Ok(error) => *error,
            Err(other) => Error::internal("The submit could not be applied").with_source(other),
        },
        error => Error::internal("The submit could not be applied").with_source(error),
    })
}

/// Tries something that may fail for a moment, as often as applying is tried.
pub(super) async fn patiently<T, F: Future<Output = Result<T>>>(
    site: &Site,
    work: impl Fn() -> F,
) -> Result<T> {
    let mut tries = 0;
    loop {
        match work().await {
            Err(error) if error.kind() == ErrorKind::Unavailable && tries < RETRIES => {
                tokio::time::sleep(PAUSE * 2_u32.pow(tries)).await;
                tries += 1;
                tracing::info!(site = site.config.site, %error, tries, "Trying again");
            }
            outcome => return outcome,
        }
    }
}

async fn together(
    site: &Site,
    work: &[&Work],
    worker: &str,
    held: Held,
    done: &mut Done,
) -> Result<(), mysql_async::Error> {
    let mut tries = 0;
    loop {
        // A panic over one bad row must not end the worker, which would meet it again at
        // every start.
        let tried = AssertUnwindSafe(once(site, work, worker, held, tries + 1)).catch_unwind();
        let tried = timeout(PATIENCE, tried).await.unwrap_or_else(|elapsed| {
            let slow = Error::unavailable("The database is too slow", PAUSE);
            Ok(Err(ours(slow.with_source(elapsed))))
        });
        let error = match tried {
            Ok(Ok(once)) => {
                done.rows += once.rows;
                done.new.extend(once.new);
                return Ok(());
            }
            Ok(Err(error)) => error,
            Err(_) => ours(Error::internal("Applying the submit panicked")),
        };
        if tries == RETRIES || !may_pass(&error) {
            return Err(error);
        }
        tokio::time::sleep(PAUSE * 2_u32.pow(tries)).await;
        tries += 1;
        tracing::info!(site = site.config.site, %error, tries, "Applying again");
    }
}

/// Whether the same may work a moment later. Bad data never does.
pub(super) fn may_pass(error: &mysql_async::Error) -> bool {
    is_locked(error) || is_away(error)
}

/// Whether the database was not there, whatever it was asked.
fn is_away(error: &mysql_async::Error) -> bool {
    match error {
        mysql_async::Error::Server(_) => false,
        mysql_async::Error::Io(_) | mysql_async::Error::Driver(_) => true,
        mysql_async::Error::Other(e) => e
            .downcast_ref::<Error>()
            .is_some_and(|e| e.kind() == ErrorKind::Unavailable),
        mysql_async::Error::Url(_) => false,
    }
}

/// One try.
async fn once(
    site: &Site,
    work: &[&Work],
    worker: &str,
    held: Held,
    tries: u32,
) -> Result<Done, mysql_async::Error> {
    let mut conn = OwnConn::new(&site.db);
    let outcome = once_on(&mut conn, site, work, worker, held, tries).await;
    if outcome.is_err() {
        conn.roll_back().await;
    }
    conn.release();
    outcome
}

async fn once_on(
    conn: &mut OwnConn<'_>,
    site: &Site,
    work: &[&Work],
    worker: &str,
    held: Held,
    tries: u32,
) -> Result<Done, mysql_async::Error> {
    let now = UtcMicros::now();
    let context = Context {
        zone: site.zone(now).await.map_err(ours)?,
        now,
        worker,
        tries,
        review_log: site.config.srs.review_log,
    };
    let scope = site.config.site.as_str();
    let (mut made_partitions, mut made_states) = (false, false);
    loop {
        let mut applying = apply::begin(conn.open().await?, work, held).await?;
        if applying.rows.is_empty() {
            applying.roll_back().await?;
            return Ok(Done::default());
        }
        if raw::is_left(&applying.rows) {
            if made_states {
                return Err(ours(Error::internal("Raw answers could not be computed")));
            }
            made_states = true;
            let rows = applying.keep().await?;
            // As below: this reads on other connections.
            conn.release();
            raw::settle(site, &rows).await.map_err(ours)?;
            continue;
        }
        let new = new_questions(&applying.rows);
        // Both before the commit, so nobody sees the table have what the cache may lack.
        let rows = applying.rows.clone();
        let (cached, upserted) = tokio::join!(show(site, &rows), applying.upsert(&context));
        match upserted {
            Err(error) if partitions::is_missing(&error) && !made_partitions => {
                made_partitions = true;
                let mut seasons: Vec<Season> =
                    applying.rows.iter().map(|s| s.season.clone()).collect();
                applying.roll_back().await?;
                // Where there are few connections, waiting for another one while holding
                // this could be waiting for oneself.
                conn.release();
                seasons.sort();
                seasons.dedup();
                make_partitions(site, &seasons).await?;
                continue;
            }
            upserted => upserted?,
        }
        failpoint::hit(scope, "apply_upserted")
            .await
            .map_err(ours)?;
        let applied: Vec<_> = applying
            .rows
            .iter()
            .map(|row| (row.key.clone(), row.season.clone(), row.attempt))
            .collect();
        let accepted: Vec<i64> = applying.rows.iter().map(|row| row.batch.at).collect();
        applying.finish(&context, work, &cached).await?;
        count(scope, &accepted);
        failpoint::hit(scope, "apply_committed")
            .await
            .map_err(ours)?;
        unjournaled::applied(site, &applied).await;
        let rows = applied.len() as u64;
        return Ok(Done { rows, new });
    }
}

/// A connection whose transaction may be dropped half-way: by a worker that is told to stop a
/// job, or when time is up. What it does is then ended on the server too, or everybody
/// would wait for its locks.
struct OwnConn<'a> {
    db: &'a MariaDb,
    conn: Option<Conn>,
}

impl<'a> OwnConn<'a> {
    fn new(db: &'a MariaDb) -> Self {
        Self { db, conn: None }
    }

    /// Takes one, giving back the one before.
    async fn open(&mut self) -> Result<&mut Conn, mysql_async::Error> {
        self.release();
        let conn = self.db.conn().await.map_err(ours)?;
        Ok(self.conn.insert(conn))
    }

    /// Ends what failed half-way before anything else is tried: the pool would do it in the
    /// background, and whoever passes locked rows over would pass these over meanwhile.
    async fn roll_back(&mut self) {
        if let Some(conn) = &mut self.conn
            && let Err(error) = conn.query_drop("ROLLBACK").await
        {
            // The server does it when the connection is gone.
            tracing::debug!(?error, "A transaction was not rolled back");
        }
    }

    /// Gives the connection back: nothing is under way on it.
    fn release(&mut self) {
        self.conn = None;
    }
}

impl Drop for OwnConn<'_> {
    fn drop(&mut self) {
        if let Some(conn) = self.conn.take() {
            self.db.kill(conn);
        }
    }
}

/// Counts how long rows took that were accepted at these times. Other hosts have other clocks.
fn count(site: &str, accepted: &[i64]) {
    let latency = metrics().persistence(site);
    let now = UtcMicros::now().0;
    for at in accepted {
        latency.observe((now - at).max(0) as f64 / 1e6);
    }
}

fn new_questions(rows: &[Submission]) -> Vec<NewQuestions> {
    let mut students: BTreeMap<(&Player, &Season), BTreeSet<&str>> = BTreeMap::new();
    for row in rows {
        for item in &row.batch.items {
            if item.before.is_none() && item.subject.is_none() && item.topic.is_none() {
                let ids = students.entry((&row.key.player, &row.season)).or_default();
                ids.insert(&item.question_id);
            }
        }
    }
    let students = students.into_iter();
    let owned = students.map(|((player, season), ids)| NewQuestions {
        player: player.clone(),
        season: season.clone(),
        ids: ids.into_iter().map(str::to_owned).collect(),
    });
    owned.collect()
}

/// A write for a season without a partition makes it, on a connection of its own: DDL
/// would commit this transaction. Not for one that does not exist: a job may name
/// anything, and partitions are few and for good.
async fn make_partitions(site: &Site, missing: &[Season]) -> Result<(), mysql_async::Error> {
    for season in missing {
        let known = seasons::named(&site.db, season.as_str()).await;
        if known
            .map_err(ours)?
            .is_none_or(|known| known.name != *season)
        {
            let message = format!("Season {season} does not exist");
            return Err(ours(Error::invalid(message)));
        }
        partitions::ensure(&site.db, season).await.map_err(ours)?;
    }
    Ok(())
}

/// Shows the states in the cache; whether each row is there now.
async fn show(site: &Site, rows: &[Submission]) -> Vec<bool> {
    if failpoint::planted("no_reassert") {
        return vec![true; rows.len()];
    }
    let mut students: BTreeMap<(&Player, &Season), Vec<QuestionState>> = BTreeMap::new();
    for row in rows {
        students
            .entry((&row.key.player, &row.season))
            .or_default()
            .extend(row.batch.states());
    }
    let writes: Vec<_> = students
        .iter()
        .flat_map(|((player, season), states)| {
            states
                .chunks(100)
                .map(move |chunk| (*player, *season, chunk))
        })
        .collect();
    let shown = site.cache.apply_all(&writes).await;
    let first_error = shown.iter().find_map(|shown| shown.as_ref().err());
    if let Some(error) = first_error {
        tracing::warn!(
            site = site.config.site,
            ?error,
            "The cache could not be written"
        );
    }
    // What has no outcome came after one that the server did not answer.
    let good = shown
        .iter()
        .map(Result::is_ok)
        .chain(std::iter::repeat(false));
    let unconfirmed: BTreeSet<_> = writes
        .iter()
        .zip(good)
        .filter(|(_, good)| !good)
        .map(|((player, season, _), _)| (*player, *season))
        .collect();
    if !unconfirmed.is_empty() {
        let students: Vec<_> = unconfirmed.iter().copied().collect();
        site.recovery.unconfirmed(&students).await;
    }
    let known = |row: &Submission| !unconfirmed.contains(&(&row.key.player, &row.season));
    rows.iter().map(known).collect()
}

fn ours(error: Error) -> mysql_async::Error {
    mysql_async::Error::Other(Box::new(error))
}
