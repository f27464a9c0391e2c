//! Moving a season's rows between the tracker and the archive, table by table.
//!
//! The order in which this is safe is [`crate::services::archive`]'s; here are the steps,
//! each of which finds out what is there and may be repeated:
//!
//! | file | step |
//! |---|---|
//! | `definition` | what columns and indexes a table has, as SQL |
//! | `detach` | a season's rows out of the tracker, into a table of their own, at once |
//! | `convert` | that table gets the archive's shape and becomes a partition of it |
//! | `copy` | or its rows are copied into one of that shape, in bounded chunks |
//! | `merge` | rows into a season that has some already; the newer state wins (rule C1) |
//! | `sum` | count and checksum, to compare before and after |
//! | `season` | what the season's own row says |
//! | `schedule` | archived rows of a student |
//! | `retention` | flagging and deleting, in bounded chunks |
//!
//! Everything that changes something goes over the connection that holds the right to do
//! so ([`super::state::Held`]). A statement that the server still works on after its
//! client was killed keeps that right until it is done.
//!
//! What waits for a lock makes everybody wait who comes after. So for the tracker, which
//! students use, a lock is taken without waiting or not at all, again and again.

mod convert;
mod copy;
mod definition;
mod detach;
mod merge;
mod retention;
mod schedule;
mod season;
mod sum;

use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Params, Value};
use sha2::{Digest, Sha256};
use tokio::time::{Instant, sleep};

pub use convert::{attach, become_partition, index, shape};
pub use copy::{Chunk, copied_until, copy_chunk, make_copy};
pub use definition::complete_archive;
pub use detach::{can_convert, detach, detach_late, late_rows_wait};
pub use merge::{Direction, Merged, merge_chunk, not_merged};
pub use retention::{Piece, candidates, delete_piece, flag_piece, seasons_with_rows};
pub use schedule::{ArchivedQuestion, of_student};
pub use season::{SeasonState, asking_for_archive, mark_archived, mark_restored, state_of};
pub use sum::{Range, Sum, ranges, sum};

use super::partitions::{self, alter_without_wait, quote_identifier, sql_literal};
use super::refusals::{busy, is_locked};
use super::state::Held;
use crate::servers::mariadb::MariaDb;
use crate::types::Season;
use crate::{Error, Result};

pub use super::partitions::TRACKER;
/// The table of archived seasons.
pub const ARCHIVE: &str = "tabArchived Memory Tracker";

/// How long to try for the lock of a table that others use.
const PATIENCE: Duration = Duration::from_secs(60);
/// Pause between two attempts: short, because a busy table is free for moments only.
const PAUSE: Duration = Duration::from_millis(25);
/// Tries at rows that others hold, after the first.
const ROW_TRIES: u32 = 5;
/// Seconds that a statement waits for tables that only archiving knows, and for rows.
const OWN_TABLES_WAIT_S: u32 = 600;

/// A name for a table that one season's rows are in meanwhile: nobody else's, and short
/// enough for MariaDB whatever the season is called.
pub fn new_table_name(season: &Season, what: &str) -> String {
    let ulid = crate::types::new_ulid().to_lowercase();
    format!("memora_srs_{what}_{}_{ulid}", season_hash(season))
}

/// Tells the tables of seasons apart whose names have the same letters.
fn season_hash(season: &Season) -> String {
    let mut hash = hex::encode(Sha256::digest(season.as_str()));
    hash.truncate(12);
    hash
}

/// The tables that rows of this season are in on their way into the archive.
///
/// # Errors
/// `Unavailable` if the connection is lost.
pub async fn tables_of(held: &mut Held, season: &Season) -> Result<Vec<String>> {
    let pattern = format!(r"memora\_srs\_%\_{}\_%", season_hash(season));
    let sql = include_str!("tables_of.sql");
    Ok(held.conn().exec(sql, (pattern,)).await?)
}

/// Sets up the connection that holds the right. Own tables may be waited for: nobody else
/// stands behind.
///
/// # Errors
/// `Unavailable` if the connection is lost.
pub async fn prepare(held: &mut Held) -> Result<()> {
    prepare_conn(held.conn()).await
}

async fn prepare_conn(conn: &mut Conn) -> Result<()> {
    conn.query_drop(format!(
        "SET SESSION lock_wait_timeout = {OWN_TABLES_WAIT_S}, innodb_lock_wait_timeout = 50, \
         tx_isolation = 'READ-COMMITTED'"
    ))
    .await?;
    Ok(())
}

/// How many rows of the season a table has. Exact.
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn count(db: &MariaDb, table: &str, season: &Season) -> Result<u64> {
    let mut conn = db.conn().await?;
    count_on(&mut conn, table, Some(season)).await
}

/// All rows of a table, or those of a season.
async fn count_on(conn: &mut Conn, table: &str, season: Option<&Season>) -> Result<u64> {
    let of_season = season.map_or_else(String::new, where_season);
    let sql = format!(
        "SELECT COUNT(*) FROM {}{of_season}",
        quote_identifier(table)
    );
    let count: Option<u64> = conn.query_first(sql).await?;
    Ok(count.unwrap_or(0))
}

/// All rows of a table that is one season's.
///
/// # Errors
/// `Unavailable` if the connection is lost.
pub async fn rows_of(held: &mut Held, table: &str) -> Result<u64> {
    count_on(held.conn(), table, None).await
}

/// Makes the season's partition of the tracker, if it is not there.
///
/// # Errors
/// `Unavailable` if the tracker's lock cannot be had.
pub async fn make_partition(held: &mut Held, season: &Season) -> Result<()> {
    partitions::ensure_in(held.conn(), TRACKER, season.as_str()).await?;
    Ok(())
}

/// The server's number of the connection, for [`percent_done`].
pub fn connection_id(held: &mut Held) -> u32 {
    held.conn().id()
}

/// How far the server is with what it does on a connection, if it says so.
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn percent_done(db: &MariaDb, connection: u32) -> Result<Option<u64>> {
    let mut conn = db.conn().await?;
    let percent: Option<f64> = conn
        .exec_first(include_str!("percent.sql"), (connection,))
        .await?;
    Ok(percent.map(|percent| percent.clamp(0.0, 100.0) as u64))
}

/// Whether there is such a table.
///
/// # Errors
/// `Unavailable` if the connection is lost.
pub async fn exists(held: &mut Held, table: &str) -> Result<bool> {
    exists_on(held.conn(), table).await
}

async fn exists_on(conn: &mut Conn, table: &str) -> Result<bool> {
    let row: Option<u8> = conn
        .exec_first(include_str!("exists.sql"), (table,))
        .await?;
    Ok(row.is_some())
}

/// Whether a table has any row.
async fn has_rows(conn: &mut Conn, table: &str, season: Option<&Season>) -> Result<bool> {
    let of_season = season.map_or_else(String::new, where_season);
    let sql = format!(
        "SELECT 1 FROM {}{of_season} LIMIT 1",
        quote_identifier(table)
    );
    Ok(conn.query_first::<u8, _>(sql).await?.is_some())
}

/// Drops a table of ours, if it is there. Never one of Frappe's.
///
/// # Errors
/// `Internal` for a table that is not ours; `Unavailable` if the connection is lost.
pub async fn drop_own(held: &mut Held, table: &str) -> Result<()> {
    if !table.starts_with("memora_srs_") {
        return Err(Error::internal("Only tables of our own are dropped"));
    }
    let sql = format!("DROP TABLE IF EXISTS {}", quote_identifier(table));
    retry(held.conn(), table, &sql).await
}

/// Drops the season's partition of the archive with all its rows: they are in the tracker
/// again.
///
/// # Errors
/// `Unavailable` if the lock cannot be had within a minute.
pub async fn drop_archived(held: &mut Held, season: &Season) -> Result<()> {
    drop_partition(held.conn(), ARCHIVE, season).await
}

/// ` WHERE season = …`, which the optimizer uses to look into one partition only.
fn where_season(season: &Season) -> String {
    format!(" WHERE season = {}", sql_literal(season.as_str()))
}

/// ALTERs a table that others use: never waits for its lock, tries for a minute.
async fn alter_in_use(conn: &mut Conn, table: &str, body: &str) -> Result<()> {
    retry(conn, table, &alter_without_wait(table, body)).await
}

/// Runs DDL that may be done again, again and again for a minute where a lock is in the way.
async fn retry(conn: &mut Conn, table: &str, sql: &str) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !once(conn, table, sql, deadline).await? {}
    Ok(())
}

/// Runs DDL once; false if a lock was in the way, and there is time for another attempt.
async fn once(conn: &mut Conn, table: &str, sql: &str, deadline: Instant) -> Result<bool> {
    match conn.query_drop(sql).await {
        Ok(()) => Ok(true),
        Err(e) if is_locked(&e) && Instant::now() < deadline => {
            sleep(PAUSE).await;
            Ok(false)
        }
        Err(e) if is_locked(&e) => Err(in_use(table).with_source(e)),
        Err(e) => Err(e.into()),
    }
}

/// Drops a season's partition, with whatever is in it.
pub(in crate::store) async fn drop_partition(
    conn: &mut Conn,
    table: &str,
    season: &Season,
) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let Some(partition) = partitions::own_in(conn, table, season.as_str()).await? else {
            return Ok(());
        };
        if partitions::list(conn, table).await?.len() == 1 {
            // A table must keep one partition.
            partitions::ensure_in(conn, table, partitions::DEFAULT_SEASON).await?;
        }
        // The last one is emptied instead: it is that of the default season itself.
        let last = partitions::list(conn, table).await?.len() == 1;
        let verb = if last { "TRUNCATE" } else { "DROP" };
        let body = format!("{verb} PARTITION {}", quote_identifier(&partition));
        if once(conn, table, &alter_without_wait(table, &body), deadline).await? {
            return Ok(());
        }
    }
}

/// Runs a statement on rows, a few times where a row is held by others.
async fn write(conn: &mut Conn, sql: &str, params: Vec<Value>) -> Result<()> {
    let sql = format!("SET STATEMENT innodb_lock_wait_timeout = 5 FOR {sql}");
    let mut tries = 0;
    loop {
        let params = Params::Positional(params.clone());
        match conn.exec_drop(&sql, params).await {
            Err(e) if is_locked(&e) && tries < ROW_TRIES => sleep(PAUSE).await,
            done => return done.map_err(busy),
        }
        tries += 1;
    }
}

fn in_use(table: &str) -> Error {
    Error::unavailable(
        format!(
            "{table} is in use: some transaction has been open for longer than {} s; run it \
             again, it goes on",
            PATIENCE.as_secs()
        ),
        Duration::from_secs(30),
    )
}
