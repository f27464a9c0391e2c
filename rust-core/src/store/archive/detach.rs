//! A season's rows out of the tracker, all at once: from then on nobody writes to them.
//!
//! By conversion (MariaDB 10.7): the partition becomes the table. By exchange: an empty
//! table and the partition change places, so an empty partition stays. Both change only
//! what the server knows about files, whatever the number of rows.

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use tokio::time::Instant;

use super::definition::Definition;
use super::{TRACKER, exists_on, has_rows, quote_identifier};
use crate::Result;
use crate::store::partitions::{self, DEFAULT_SEASON};
use crate::store::refusals::{NOT_IN_ENGINE, busy, code};
use crate::store::state::Held;
use crate::types::Season;

/// The first MariaDB that converts partitions.
const CONVERTS: (u32, u32) = (10, 7);

/// Whether the server can convert partitions, and the archive is of the tracker's kind
/// (engine, character set, row format), which a conversion keeps.
///
/// # Errors
/// `Unavailable` if the connection is lost.
pub async fn can_convert(held: &mut Held) -> Result<bool> {
    let conn = held.conn();
    let version: Option<String> = conn.query_first("SELECT VERSION()").await?;
    let tracker = Definition::of(conn, TRACKER).await?;
    let archive = Definition::of(conn, super::ARCHIVE).await?;
    let new_enough = version.is_some_and(|v| release(&v) >= CONVERTS);
    Ok(new_enough && tracker.options == archive.options)
}

/// `10.11.19-MariaDB` is (10, 11).
fn release(version: &str) -> (u32, u32) {
    let mut numbers = version
        .split(|c: char| !c.is_ascii_digit())
        .map(|n| n.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// Moves the season's rows into the table `into`, which is there afterwards. True if they
/// had a partition. Done before, nothing happens.
///
/// # Errors
/// `Unavailable` if the tracker's lock cannot be had within a minute.
pub async fn detach(held: &mut Held, season: &Season, into: &str, convert: bool) -> Result<bool> {
    let conn = held.conn();
    let deadline = Instant::now() + super::PATIENCE;
    loop {
        let there = look(conn, into).await?;
        if there == There::Rows {
            return Ok(true);
        }
        let Some(partition) = partitions::own_in(conn, TRACKER, season.as_str()).await? else {
            return Ok(there == There::Empty);
        };
        if there == There::Empty {
            super::retry(
                conn,
                into,
                &format!("DROP TABLE {}", quote_identifier(into)),
            )
            .await?;
        }
        let (partition, table) = (quote_identifier(&partition), quote_identifier(into));
        let body = if convert && may_lose_one(conn).await? {
            format!("CONVERT PARTITION {partition} TO TABLE {table}")
        } else {
            let like = Definition::of(conn, TRACKER).await?;
            super::retry(conn, into, &like.create(into, false)).await?;
            format!("EXCHANGE PARTITION {partition} WITH TABLE {table}")
        };
        let sql = super::alter_without_wait(TRACKER, &body);
        if super::once(conn, TRACKER, &sql, deadline).await? {
            return Ok(true);
        }
    }
}

/// Whether the tracker has a partition to spare, as a table must keep one: that of
/// [`DEFAULT_SEASON`] is made where the season's is the last.
async fn may_lose_one(conn: &mut Conn) -> Result<bool> {
    if partitions::list(conn, TRACKER).await?.len() > 1 {
        return Ok(true);
    }
    partitions::ensure_in(conn, TRACKER, DEFAULT_SEASON).await
}

/// What there is of a table for detached rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum There {
    Nothing,
    Empty,
    Rows,
}

/// Clears away what a conversion left that the server gave up half-way: a name without a
/// table, while the rows are in the tracker.
async fn look(conn: &mut Conn, table: &str) -> Result<There> {
    if !exists_on(conn, table).await? {
        return Ok(There::Nothing);
    }
    let quoted = quote_identifier(table);
    let row: Result<Option<u8>, _> = conn
        .query_first(format!("SELECT 1 FROM {quoted} LIMIT 1"))
        .await;
    match row {
        Ok(None) => Ok(There::Empty),
        Ok(Some(_)) => Ok(There::Rows),
        Err(e) if code(&e) == Some(NOT_IN_ENGINE) => {
            super::retry(conn, table, &format!("DROP TABLE {quoted}")).await?;
            Ok(There::Nothing)
        }
        Err(e) => Err(e.into()),
    }
}

/// Whether the tracker has a partition of this season: of one that was archived, what was
/// written late, or what an exchange left.
///
/// # Errors
/// `Unavailable` if the connection is lost.
pub async fn late_rows_wait(held: &mut Held, season: &Season) -> Result<bool> {
    let conn = held.conn();
    Ok(partitions::own_in(conn, TRACKER, season.as_str())
        .await?
        .is_some())
}

/// As [`detach`], of rows that came late; true if there were any, or may have been. Drops
/// an empty partition instead where the server cannot convert it: under a lock, because a
/// row that came between looking and dropping would be gone.
///
/// # Errors
/// As [`detach`].
pub async fn detach_late(
    held: &mut Held,
    season: &Season,
    into: &str,
    convert: bool,
) -> Result<bool> {
    let conn = held.conn();
    let convert = convert && may_lose_one(conn).await?;
    if convert || has_rows_of(held, season, into).await? {
        return detach(held, season, into, convert).await;
    }
    drop_empty(held.conn(), season).await?;
    Ok(false)
}

/// Whether the season has rows in the tracker, or in the table for them.
async fn has_rows_of(held: &mut Held, season: &Season, into: &str) -> Result<bool> {
    let conn = held.conn();
    let there = exists_on(conn, into).await? && has_rows(conn, into, None).await?;
    Ok(there || has_rows(conn, TRACKER, Some(season)).await?)
}

async fn drop_empty(conn: &mut Conn, season: &Season) -> Result<()> {
    let Some(partition) = partitions::own_in(conn, TRACKER, season.as_str()).await? else {
        return Ok(());
    };
    if partitions::list(conn, TRACKER).await?.len() == 1 {
        return Ok(());
    }
    let dropped = partitions::drop_if_empty(conn, TRACKER, &partition, super::PATIENCE).await;
    dropped.map(|_| ()).map_err(busy)
}

#[cfg(test)]
mod tests {
    use super::release;

    #[test]
    fn releases_are_read() {
        assert_eq!(release("10.11.19-MariaDB-0+deb12u1"), (10, 11));
        assert_eq!(release("11.4.2-MariaDB"), (11, 4));
        assert!(release("10.6.18-MariaDB") < super::CONVERTS);
        assert_eq!(release("?"), (0, 0));
    }
}
