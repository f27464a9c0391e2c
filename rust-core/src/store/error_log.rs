//! Frappe's Error Log.

use chrono::NaiveDateTime;
use mysql_async::prelude::Queryable;

use crate::Result;
use crate::servers::mariadb::MariaDb;

/// Longest title that the column holds.
const TITLE: usize = 140;

/// Writes an entry, on a connection of its own: it stays whatever else is rolled back.
/// `now` is the site's wall time.
///
/// # Errors
/// `Unavailable` if the database is away, `Internal` if this Frappe names its entries
/// another way.
pub async fn write(db: &MariaDb, title: &str, text: &str, now: NaiveDateTime) -> Result<()> {
    write_in(&mut db.conn().await?, title, text, now).await
}

/// As [`write()`], within the caller's transaction.
///
/// # Errors
/// As [`write()`].
pub async fn write_in(
    conn: &mut impl Queryable,
    title: &str,
    text: &str,
    now: NaiveDateTime,
) -> Result<()> {
    let title: String = title.chars().take(TITLE).collect();
    let name = crate::types::new_ulid();
    let params = (name, now, now, title, text);
    Ok(conn
        .exec_drop(include_str!("error_log.sql"), params)
        .await?)
}
