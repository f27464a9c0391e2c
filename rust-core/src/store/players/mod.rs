//! What belongs to a student in the database, moved to another name or removed: in
//! bounded pieces, each a transaction of its own that waits two seconds for a lock.
//!
//! A *tombstone* is a journal row that is dismissed and applied. Nobody lays it over the
//! table, and a job that points to it finds its submit done.

mod merge;
mod moving;

use std::collections::BTreeSet;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, IsolationLevel, Transaction, TxOpts, Value};

pub use merge::Statement;
pub(crate) use merge::statements as merge;

use super::partitions::OwnConnection;
use super::refusals::{DUPLICATE_KEY, code, is_locked};
use super::{journal, rows};
use crate::servers::mariadb::MariaDb;
use crate::types::{Player, Season};
use crate::{Error, ErrorKind, Result};

/// Seconds that a statement waits for rows or a table.
const LOCK_WAIT_S: u32 = 2;
/// How often a piece is tried.
const TRIES: u32 = 3;
/// How long a piece may take. Locks are waited for a few seconds; only a server that went
/// silent meets this.
const PATIENCE: Duration = Duration::from_secs(30);
/// Rows of a piece where they are changed one like the other.
const ROWS: usize = 500;

/// What [`rename`] moved.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Moved {
    pub(crate) tracker_rows: u64,
    pub(crate) archived_rows: u64,
    pub(crate) journal_rows: u64,
    pub(crate) audit_rows: u64,
    pub(crate) log_rows: u64,
}

/// Moves journal, audit, review log and late rows of the tracker, with `archived` also of
/// the archive.
pub(crate) async fn rename(
    db: &MariaDb,
    old: &Player,
    new: &Player,
    archived: bool,
) -> Result<Moved> {
    let mut conn = connection(db).await?;
    if is_user(&mut conn, old).await? {
        return Err(still_there(old));
    }
    if !is_user(&mut conn, new).await? {
        return Err(Error::not_found(format!("User {new} does not exist")));
    }
    let moved = moving::all(&mut conn, old, new, archived).await?;
    merge::forget(&mut conn).await?;
    Ok(moved)
}

/// What became of a deleted User.
pub(crate) enum Removal {
    /// Its journal rows, so many, are tombstones without answers.
    Done(u64),
    /// It was merged into this one: to be moved.
    Merged(Player),
}

/// Empties the journal rows of a deleted User.
pub(crate) async fn remove(db: &MariaDb, player: &Player) -> Result<Removal> {
    let mut conn = connection(db).await?;
    if is_user(&mut conn, player).await? {
        return Err(still_there(player));
    }
    if let Some(into) = merge::noted(&mut conn, player).await? {
        return Ok(Removal::Merged(into));
    }
    Ok(Removal::Done(until_none(&mut conn, &Empty(player)).await?))
}

/// Empties journal rows.
struct Empty<'a>(&'a Player);

impl Piece for Empty<'_> {
    type Done = u64;

    async fn run(&self, tx: &mut Transaction<'_>) -> Result<u64, mysql_async::Error> {
        let params = (journal::EMPTY, bytes(self.0), journal::EMPTY, ROWS);
        tx.exec_drop(include_str!("empty.sql"), params).await?;
        Ok(tx.affected_rows())
    }
}

/// Every season that one of these students may have a schedule of: those there are, since
/// the schedule of a student without rows is cached too, and those of their rows.
pub(crate) async fn seasons(db: &MariaDb, players: &[&Player]) -> Result<BTreeSet<Season>> {
    let mut conn = connection(db).await?;
    let mut seasons: Vec<String> = conn
        .query("SELECT name FROM `tabGame Subscription Season`")
        .await?;
    for player in players {
        let rows = "SELECT DISTINCT season FROM `tabPlayer Memory Tracker` \
                    WHERE player = ? AND season IS NOT NULL";
        let of_rows: Vec<String> = conn.exec(rows, (player.as_str(),)).await?;
        seasons.extend(of_rows);
        let journaled = "SELECT DISTINCT season FROM memora_srs_journal WHERE player = ?";
        let journaled: Vec<Vec<u8>> = conn.exec(journaled, (bytes(player),)).await?;
        let text = |season: Vec<u8>| String::from_utf8(season).ok();
        seasons.extend(journaled.into_iter().filter_map(text));
    }
    Ok(seasons.into_iter().map(Season::stored).collect())
}

/// A connection of our own, which others can hold up for a moment only.
async fn connection(db: &MariaDb) -> Result<OwnConnection> {
    let mut conn = OwnConnection::open(db).await?;
    conn.query_drop(format!(
        "SET SESSION innodb_lock_wait_timeout = {LOCK_WAIT_S}, lock_wait_timeout = {LOCK_WAIT_S}"
    ))
    .await?;
    Ok(conn)
}

/// Whether there is a User of exactly this name. Sees what is committed and waits for
/// nobody.
async fn is_user(conn: &mut Conn, player: &Player) -> Result<bool> {
    let names: Vec<String> = conn
        .exec(
            "SELECT name FROM tabUser WHERE name = ?",
            (player.as_str(),),
        )
        .await?;
    Ok(names.iter().any(|name| name == player.as_str()))
}

fn still_there(player: &Player) -> Error {
    Error::new(
        ErrorKind::Conflict,
        format!("User {player} still exists: this is for after the commit"),
    )
}

/// What one transaction does. It may be done again after a rollback.
trait Piece {
    /// What came of it.
    type Done;

    fn run(
        &self,
        tx: &mut Transaction<'_>,
    ) -> impl Future<Output = Result<Self::Done, mysql_async::Error>> + Send;
}

/// Does a piece, again when others were in the way.
async fn piece<P: Piece>(conn: &mut Conn, work: &P) -> Result<P::Done> {
    let mut tries = 0;
    loop {
        tries += 1;
        let tried = MariaDb::within(PATIENCE, async {
            Ok::<_, Error>(attempt(conn, work).await)
        });
        match tried.await? {
            Ok(done) => return Ok(done),
            Err(error) if passes(&error) && tries < TRIES => {}
            Err(error) if passes(&error) => {
                return Err(Error::unavailable(
                    "The student's rows are in use",
                    Duration::from_secs(5),
                )
                .with_source(error));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

async fn attempt<P: Piece>(conn: &mut Conn, work: &P) -> Result<P::Done, mysql_async::Error> {
    let mut options = TxOpts::new();
    options.with_isolation_level(Some(IsolationLevel::ReadCommitted));
    let mut tx = conn.start_transaction(options).await?;
    // Dropped with an error, the transaction is rolled back.
    let done = work.run(&mut tx).await?;
    tx.commit().await?;
    Ok(done)
}

/// Does a piece until it changes nothing; what it changed.
async fn until_none(conn: &mut Conn, work: &impl Piece<Done = u64>) -> Result<u64> {
    let mut all = 0;
    loop {
        let more = piece(conn, work).await?;
        if more == 0 {
            return Ok(all);
        }
        all += more;
    }
}

fn passes(error: &mysql_async::Error) -> bool {
    is_locked(error) || code(error) == Some(DUPLICATE_KEY)
}

fn bytes(player: &Player) -> Value {
    Value::Bytes(player.as_str().as_bytes().to_vec())
}

/// A statement with the words in braces filled in, without its comment.
fn fill(text: &str, values: &[(&str, &str)]) -> String {
    let sql: Vec<&str> = text.lines().filter(|l| !l.starts_with("--")).collect();
    values.iter().fold(sql.join("\n"), |sql, (name, value)| {
        sql.replace(&format!("{{{name}}}"), value)
    })
}

/// [`fill`] for `{ids}`, a list of `n` parameters.
fn with_ids(text: &str, n: usize) -> String {
    fill(text, &[("ids", &rows::marks(n))])
}
