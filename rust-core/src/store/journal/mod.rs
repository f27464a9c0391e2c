//! The journal: a row in it is what makes a submit durable, and it decides who won.
//!
//! A row is written once, by the submit that made it (or by a worker that finds a job
//! without its row), and its payload never changes, except that raw answers are replaced
//! once by what they led to ([`compute()`]). Applying it is the worker's job
//! ([`crate::store::apply`]).
//!
//! What becomes of a row, by `state`:
//!
//! | state | `next_try_at` | what |
//! |---|---|---|
//! | pending | NULL | its job is on the way |
//! | queued | when | a sweeper saw to it that it has a job |
//! | failed | when | could not be applied; a sweeper tries again then |
//! | failed | year 9999 | given up: an operator's |
//! | late | NULL | its season was archived |
//! | applied, dismissed | NULL | done, `applied_at` is set |
//!
//! A sweeper that works on a row has put `next_try_at` a minute ahead ([`claim`]).

mod claims;
pub mod operate;

pub use claims::{Claimed, Failure, claim, failed, has_job};

mod compute;
mod late;
pub mod unhealed;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Params, Row, Value};

pub use self::compute::compute;
pub use self::late::insert_late;

use super::refusals::DUPLICATE_KEY;
use super::rows;
use crate::batch::{Attempt, Submission, SubmissionKey};
use crate::servers::mariadb::MariaDb;
use crate::types::{Player, Season, SubmissionId};
use crate::{Error, Result};

/// The payload of a row whose answers are gone: a batch without any.
pub(super) const EMPTY: &str = r#"{"v":1,"door":"cli","at":0,"items":[]}"#;

/// Whether an INSERT made the row or found one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inserted {
    /// Ours is the row.
    Yes,
    /// Another attempt at the same submission was there first.
    Taken,
}

pub(crate) fn insert_params(s: &Submission) -> Result<Vec<Value>> {
    let payload = serde_json::to_vec(&s.batch)
        .map_err(|e| Error::internal("A batch cannot be written").with_source(e))?;
    Ok(vec![
        Value::Bytes(s.key.player.as_str().as_bytes().to_vec()),
        Value::Bytes(s.key.submission.as_str().as_bytes().to_vec()),
        Value::Bytes(s.attempt.0.to_vec()),
        Value::Bytes(s.fingerprint.to_vec()),
        Value::Bytes(s.season.as_str().as_bytes().to_vec()),
        Value::Bytes(payload),
    ])
}

/// A row to be made.
#[derive(Debug, Clone)]
pub struct JournalRow(Vec<Value>);

impl JournalRow {
    /// The row of a submit.
    ///
    /// # Errors
    /// `Internal` if the batch holds a number that JSON has no form for.
    pub fn new(submission: &Submission) -> Result<Self> {
        insert_params(submission).map(Self)
    }
}

/// How many of so many rows a statement takes at once; 0 of none.
pub fn statement_size(rows: usize) -> usize {
    rows::pieces(rows).next().unwrap_or_default()
}

/// Makes a submit durable: one statement, one row.
///
/// # Errors
/// `Unavailable` or `Internal`: the row may or may not be there.
pub async fn insert(conn: &mut Conn, submission: &Submission) -> Result<Inserted> {
    insert_one(conn, JournalRow::new(submission)?).await
}

async fn insert_one(conn: &mut Conn, row: JournalRow) -> Result<Inserted> {
    match insert_rows(conn, 1, row.0).await {
        Ok(()) => Ok(Inserted::Yes),
        Err(mysql_async::Error::Server(e)) if e.code == DUPLICATE_KEY => Ok(Inserted::Taken),
        Err(e) => Err(e.into()),
    }
}

/// Makes several submits durable: one statement, and one each only where one of them cannot
/// be made; what became of each. An error says `Unavailable` or `Internal`: the row may or
/// may not be there.
pub async fn insert_all(conn: &mut Conn, rows: &[JournalRow]) -> Vec<Result<Inserted>> {
    let values = rows.iter().flat_map(|row| row.0.iter().cloned()).collect();
    match insert_rows(conn, rows.len(), values).await {
        Ok(()) => rows.iter().map(|_| Ok(Inserted::Yes)).collect(),
        // None of them is there: the statement was undone.
        Err(mysql_async::Error::Server(e)) => {
            if rows.len() == 1 && e.code == DUPLICATE_KEY {
                return vec![Ok(Inserted::Taken)];
            }
            if rows.len() == 1 {
                return vec![Err(mysql_async::Error::Server(e).into())];
            }
            let mut made = Vec::with_capacity(rows.len());
            for row in rows {
                made.push(insert_one(conn, row.clone()).await);
            }
            made
        }
        Err(e) => vec![Err(e.into()); rows.len()],
    }
}

async fn insert_rows(
    conn: &mut Conn,
    rows: usize,
    values: Vec<Value>,
) -> Result<(), mysql_async::Error> {
    let one = format!("({})", rows::marks(6));
    let sql = include_str!("insert.sql").replace("{rows}", &vec![one; rows].join(", "));
    conn.exec_drop(sql, Params::Positional(values)).await
}

/// The row that won, if there is one.
///
/// # Errors
/// `Unavailable` if the database is away, `Internal` if the row cannot be read.
pub async fn find(db: &MariaDb, key: &SubmissionKey) -> Result<Option<Submission>> {
    let mut conn = db.conn().await?;
    let params = (
        key.player.as_str().as_bytes(),
        key.submission.as_str().as_bytes(),
    );
    let row: Option<Row> = conn.exec_first(include_str!("find.sql"), params).await?;
    row.map(|mut row| submission(&mut row)).transpose()
}

/// A row of `player, submission_id, attempt, fingerprint, season, payload`.
pub(super) fn submission(row: &mut Row) -> Result<Submission> {
    Ok(Submission {
        key: key(row)?,
        attempt: Attempt(fixed(rows::column(row, 2)?)?),
        fingerprint: fixed(rows::column(row, 3)?)?,
        season: Season::stored(rows::text(row, 4)?),
        batch: rows::batch(&rows::column::<Vec<u8>>(row, 5)?)?,
    })
}

fn fixed<const N: usize>(bytes: Vec<u8>) -> Result<[u8; N]> {
    bytes
        .try_into()
        .map_err(|_| Error::internal("A journal column has another length"))
}

/// Keys of rows that have waited longer than `seconds` for a worker, and whose time to be
/// tried has come, oldest first. Only looks; [`claim`] takes.
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn overdue(db: &MariaDb, seconds: u32, limit: u32) -> Result<Vec<SubmissionKey>> {
    let mut conn = db.conn().await?;
    let found: Vec<Row> = conn
        .exec(include_str!("overdue.sql"), (seconds, limit))
        .await?;
    found.into_iter().map(|mut row| key(&mut row)).collect()
}

/// What is not applied yet.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Backlog {
    /// Rows still on their way.
    pub pending: u64,
    /// Rows that were given up and wait for an operator.
    pub failed: u64,
    /// Age of the oldest row on its way, in seconds.
    pub oldest_s: Option<f64>,
}

/// Counts what is not applied yet.
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn backlog(db: &MariaDb) -> Result<Backlog> {
    let mut conn = db.conn().await?;
    let row: Option<(u64, u64, Option<f64>)> =
        conn.query_first(include_str!("backlog.sql")).await?;
    let (pending, failed, oldest_s) = row.unwrap_or_default();
    Ok(Backlog {
        pending,
        failed,
        oldest_s,
    })
}

/// Keys of rows of this season that are not applied, whatever their state, oldest first.
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn unapplied_of_season(
    db: &MariaDb,
    season: &Season,
    limit: u32,
) -> Result<Vec<SubmissionKey>> {
    let mut conn = db.conn().await?;
    let params = (season.as_str().as_bytes(), limit);
    let found: Vec<Row> = conn
        .exec(include_str!("unapplied_of_season.sql"), params)
        .await?;
    found.into_iter().map(|mut row| key(&mut row)).collect()
}

/// The first two columns of a row.
pub(super) fn key(row: &mut Row) -> Result<SubmissionKey> {
    Ok(SubmissionKey {
        player: Player::stored(rows::text(row, 0)?),
        submission: SubmissionId::parse("submission_id", &rows::text(row, 1)?)?,
    })
}
