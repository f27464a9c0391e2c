//! One partition per season: which there are, and making the one that is missing.
//!
//! Rules:
//! - A partition is recognised by its *value*, by MariaDB's own comparison, never by its
//!   name: names are cut, folded and hashed.
//! - There is no DEFAULT partition. MariaDB lets ADD PARTITION succeed beside one without
//!   moving its rows: reads of that season then miss them, and the same primary key fits
//!   in twice. [`ensure`] refuses such a table; the migration rebuilds it.
//! - An ALTER that waits for a long query makes everybody else wait behind it. So it asks
//!   for its lock with NOWAIT, again and again, for a bounded time: between two statements
//!   of a busy table there is always a moment.
//! - Season names are data. Only [`sql_literal`] puts one into DDL.

mod alter;
mod connection;
mod literal;
mod naming;

use std::collections::HashSet;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};
use serde::Serialize;
use tokio::time::Instant;

pub(super) use alter::{Lock, alter, alter_without_wait, drop_if_empty};
pub(super) use connection::OwnConnection;
pub use literal::sql_literal;
pub(super) use literal::{parse_values, quote_identifier};
pub(super) use naming::{DEFAULT_SEASON, partition_name};

use super::catalogue;
use super::refusals::{NO_PARTITION, busy, code, is_locked};
use crate::servers::mariadb::MariaDb;
use crate::types::{Season, check_name};
use crate::{Error, Result, failpoint};

/// The partitioned table that students' schedules are in.
pub const TRACKER: &str = "tabPlayer Memory Tracker";

/// How long [`ensure`] tries to get its lock before it answers `Unavailable`.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pause between two attempts.
const PAUSE: Duration = Duration::from_millis(20);

/// What rows a partition holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Values {
    /// Rows with these seasons; `None` is NULL. Ours hold exactly one.
    List(Vec<Option<String>>),
    /// Rows that no other partition takes. Never ours, see the module's documentation.
    Default,
}

/// One partition of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Partition {
    /// Its name, which says nothing reliable about its season.
    pub name: String,
    /// What it holds.
    pub values: Values,
    /// Rows, as InnoDB estimates.
    pub rows: u64,
    /// Bytes of data.
    pub data_bytes: u64,
    /// Bytes of indexes.
    pub index_bytes: u64,
}

impl Partition {
    /// The season, if the partition holds exactly one.
    pub fn season(&self) -> Option<&str> {
        match &self.values {
            Values::List(values) if values.len() == 1 => values[0].as_deref(),
            _ => None,
        }
    }
}

/// Whether this error says that a row's season has no partition (1526): roll back,
/// [`ensure`], and do it again.
pub fn is_missing(error: &mysql_async::Error) -> bool {
    code(error) == Some(NO_PARTITION)
}

/// All partitions of the tracker; empty if it has none.
///
/// # Errors
/// `Unavailable` if the database is; `Internal` for an answer that cannot be read.
pub async fn all(db: &MariaDb) -> Result<Vec<Partition>> {
    let mut conn = own_connection(db).await?;
    list(&mut conn, TRACKER).await
}

/// Whether rows of this season have a partition, by MariaDB's comparison ('S1' = 's1 ').
///
/// # Errors
/// `Unavailable` if the database is; `Internal` for an answer that cannot be read.
pub async fn exists(db: &MariaDb, season: &Season) -> Result<bool> {
    let mut conn = own_connection(db).await?;
    has(&mut conn, TRACKER, season.as_str()).await
}

/// Makes the season's partition if it is missing, and notes it on the season. True if
/// this call made it. Any number of processes may call it at once. Uses a connection of
/// its own: DDL commits whatever its connection has open.
///
/// # Errors
/// `InvalidInput` for what is no season's name; `Config` if the table is not partitioned
/// by season; `Unavailable` if the lock cannot be had within ten seconds.
pub async fn ensure(db: &MariaDb, season: &Season) -> Result<bool> {
    check_name("season", season.as_str())?;
    let mut conn = own_connection(db).await?;
    let made = ensure_in(&mut conn, TRACKER, season.as_str()).await?;
    note(&mut conn, season).await?;
    Ok(made)
}

/// [`ensure`] without the note, for whoever holds the season's row and would wait for
/// itself.
///
/// # Errors
/// As [`ensure`].
pub async fn make(db: &MariaDb, season: &Season) -> Result<bool> {
    check_name("season", season.as_str())?;
    let mut conn = own_connection(db).await?;
    ensure_in(&mut conn, TRACKER, season.as_str()).await
}

/// Notes the partition on its season, unless somebody holds that row, as a Desk form that
/// is being saved does: the partition is there all the same, and the next call notes it.
async fn note(conn: &mut Conn, season: &Season) -> Result<()> {
    let noted = conn
        .exec_drop(include_str!("note_created.sql"), (season.as_str(),))
        .await;
    match noted {
        Err(error) if is_locked(&error) => {
            tracing::warn!(%error, season = season.as_str(), "partition_created could not be set");
            Ok(())
        }
        noted => Ok(noted?),
    }
}

/// The partition that rows of this season are in, by MariaDB's comparison.
///
/// # Errors
/// `Unavailable` if the database is; `Internal` for an answer that cannot be read.
pub async fn of_season(db: &MariaDb, season: &Season) -> Result<Option<Partition>> {
    let mut conn = own_connection(db).await?;
    Ok(match find(&mut conn, TRACKER, season.as_str()).await? {
        Found::Own(partition) => Some(partition),
        _ => None,
    })
}

/// [`ensure`] for any of our partitioned tables, on a connection with nothing open.
pub(super) async fn ensure_in(conn: &mut Conn, table: &str, season: &str) -> Result<bool> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match find(conn, table, season).await {
            Ok(Found::Own(_)) => return Ok(false),
            Ok(Found::None) => {
                let taken: HashSet<String> = list(conn, table)
                    .await?
                    .into_iter()
                    .map(|p| p.name.to_lowercase())
                    .collect();
                let body = format!(
                    "ADD PARTITION (PARTITION {} VALUES IN ({}))",
                    quote_identifier(&partition_name(season, &taken)),
                    sql_literal(season)
                );
                let scope = conn.opts().db_name().unwrap_or_default().to_owned();
                failpoint::hit(&scope, "before_add_partition").await?;
                match alter(conn, table, Lock::NoWait, &body).await {
                    Ok(()) => return Ok(true),
                    // Somebody made it, or one of that name for another season: look again.
                    Err(e) if alter::is_taken(&e) => {}
                    Err(e) if is_locked(&e) => {}
                    Err(e) => return Err(e.into()),
                }
            }
            Ok(Found::Default) => {
                return Err(Error::config(format!(
                    "{table} has a DEFAULT partition, beside which none may be added: \
                     run the migration"
                )));
            }
            Ok(Found::NotPartitioned) => {
                return Err(Error::config(format!(
                    "{table} is not partitioned by season: run the migration"
                )));
            }
            // The table was locked even for looking.
            Err(e) if e.kind() == crate::ErrorKind::Unavailable => {}
            Err(e) => return Err(e),
        }
        if Instant::now() >= deadline {
            return Err(Error::unavailable(
                "The season's partition cannot be made: the table is locked",
                Duration::from_secs(1),
            ));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Whether rows of this season have a partition in `table`.
pub(super) async fn has(conn: &mut Conn, table: &str, season: &str) -> Result<bool> {
    Ok(matches!(find(conn, table, season).await?, Found::Own(_)))
}

/// The name of the partition of `table` that rows of this season are in.
pub(super) async fn own_in(conn: &mut Conn, table: &str, season: &str) -> Result<Option<String>> {
    Ok(match find(conn, table, season).await? {
        Found::Own(partition) => Some(partition.name),
        _ => None,
    })
}

/// Where rows of a season would go.
enum Found {
    Own(Partition),
    None,
    Default,
    NotPartitioned,
}

/// Asks the optimizer, which compares as an INSERT would.
async fn find(conn: &mut Conn, table: &str, season: &str) -> Result<Found> {
    let partitions = list(conn, table).await?;
    if partitions.is_empty() {
        return Ok(Found::NotPartitioned);
    }
    let explain = format!(
        "EXPLAIN PARTITIONS SELECT 1 FROM {} WHERE season = {}",
        quote_identifier(table),
        sql_literal(season)
    );
    let row: Option<Row> = conn.query_first(explain).await.map_err(busy)?;
    let name: Option<String> = row
        .and_then(|r| r.get_opt("partitions"))
        .transpose()
        .map_err(|e| Error::internal("EXPLAIN PARTITIONS answered oddly").with_source(e))?
        .flatten();
    let Some(name) = name else {
        return Ok(Found::None);
    };
    let named = |p: &Partition| p.name == name;
    let found = match partitions.into_iter().find(named) {
        Some(partition) => Some(partition),
        // Made between the two statements.
        None => list(conn, table).await?.into_iter().find(named),
    };
    Ok(match found {
        Some(p) if p.values == Values::Default => Found::Default,
        Some(p) => Found::Own(p),
        None => Found::None,
    })
}

/// The partitions of a table, in its order; empty if it is not partitioned.
pub(super) async fn list(conn: &mut Conn, table: &str) -> Result<Vec<Partition>> {
    type Columns = (Option<String>, Option<String>, u64, u64, u64);
    let rows: Vec<Columns> = catalogue::rows(conn, include_str!("list.sql"), (table,)).await?;
    rows.into_iter()
        .filter_map(|(name, description, rows, data_bytes, index_bytes)| {
            name.map(|name| {
                let values = parse_values(&description.unwrap_or_default()).ok_or_else(|| {
                    Error::internal(format!("The values of partition {name} cannot be read"))
                })?;
                Ok(Partition {
                    name,
                    values,
                    rows,
                    data_bytes,
                    index_bytes,
                })
            })
        })
        .collect()
}

/// A connection that gives up on a locked table after a second, on a row after two.
async fn own_connection(db: &MariaDb) -> Result<OwnConnection> {
    let mut conn = OwnConnection::open(db).await?;
    conn.query_drop("SET SESSION lock_wait_timeout = 1, innodb_lock_wait_timeout = 2")
        .await?;
    Ok(conn)
}
