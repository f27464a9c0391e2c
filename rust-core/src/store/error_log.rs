//! Frappe's Error Log.

use chrono::NaiveDateTime;
use mysql_async::prelude::Queryable;

use crate::Result;
use crate::servers::mariadb::MariaDb;

/// Longest title that the column holds.
const TITLE: usize = 140;

/// Writes an entry, on a connection of its own: it stays whatever else is rolled back.
/// `now` is the site's wall time. Frappe 14 numbers its entries by a sequence, later ones
/// take any name.
///
/// # Errors
/// `Unavailable` if the database is away.
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
    let numbered: Option<bool> = conn
        .query_first(include_str!("error_log_is_numbered.sql"))
        .await?;
    let insert = include_str!("error_log.sql");
    if numbered == Some(true) {
        let insert = insert.replace("{name}", "NEXTVAL(error_log_id_seq)");
        return Ok(conn.exec_drop(insert, (now, now, title, text)).await?);
    }
    let name = crate::types::new_ulid();
    let insert = insert.replace("{name}", "?");
    Ok(conn
        .exec_drop(insert, (name, now, now, title, text))
        .await?)
}
