//! Copying the detached rows in bounded chunks, in the order of their key, into a table of
//! the archive's shape without indexes: each chunk goes to the table's end. The indexes are
//! built afterwards, sorted ([`super::index`]).

use chrono::NaiveDateTime;
use mysql_async::prelude::Queryable;

use super::definition::{Definition, shared};
use super::{ARCHIVE, quote_identifier};
use crate::Result;
use crate::store::state::Held;

/// What one chunk brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Rows that were copied.
    pub rows: u64,
    /// Key of the last one; `None` at the end.
    pub until: Option<String>,
}

/// Makes the empty copy, if it is not there.
///
/// # Errors
/// `Unavailable` if the connection is lost.
pub async fn make_copy(held: &mut Held, copy: &str) -> Result<()> {
    let conn = held.conn();
    let archive = Definition::of(conn, ARCHIVE).await?;
    super::retry(conn, copy, &archive.create(copy, true)).await
}

/// Up to which key rows were copied: chunks come whole and in order, so the copy itself is
/// the best note.
///
/// # Errors
/// `Unavailable` if the connection is lost.
pub async fn copied_until(held: &mut Held, copy: &str) -> Result<Option<String>> {
    let sql = format!(
        "SELECT name FROM {} ORDER BY name DESC LIMIT 1",
        quote_identifier(copy)
    );
    Ok(held.conn().query_first(sql).await?)
}

/// Copies up to `rows` rows after this key. `archived_at`: wall time of the site.
///
/// # Errors
/// `Internal` if the server refuses, for a value that does not fit; `Unavailable` if the
/// connection is lost.
pub async fn copy_chunk(
    held: &mut Held,
    (from, copy): (&str, &str),
    after: Option<&str>,
    rows: u32,
    archived_at: NaiveDateTime,
) -> Result<Chunk> {
    let conn = held.conn();
    let columns = shared(
        &Definition::of(conn, from).await?,
        &Definition::of(conn, copy).await?,
    );
    let until = super::merge::boundary(conn, from, "", after, rows).await?;
    let list = super::merge::list(&columns, "");
    let (range, params) = super::merge::within(after, until.as_deref());
    let sql = format!(
        "INSERT INTO {} ({list}, archived_at, eligible_for_deletion) \
         SELECT {list}, ?, 0 FROM {} WHERE {range} ORDER BY name",
        quote_identifier(copy),
        quote_identifier(from)
    );
    let mut all = vec![mysql_async::Value::from(archived_at)];
    all.extend(params);
    super::write(conn, &sql, all).await?;
    Ok(Chunk {
        rows: conn.affected_rows(),
        until,
    })
}
