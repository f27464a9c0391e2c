//! The season and the user of a check ([`crate::services::check`]): made, and removed with
//! every row of theirs. Nothing here touches another season's or another user's rows.

use chrono::NaiveDateTime;
use mysql_async::prelude::Queryable;

use super::archive;
use crate::Result;
use crate::servers::mariadb::MariaDb;
use crate::store::state::Held;
use crate::types::{Player, Season};

/// Tables that have rows of the user, by their column.
const OF_USER: [(&str, &str); 4] = [
    ("memora_srs_journal", "player"),
    ("memora_srs_audit", "player"),
    ("memora_srs_review_log", "player"),
    ("tabUser", "name"),
];

/// Makes season and user, as changed at `at`, the site's wall time.
///
/// # Errors
/// `Unavailable` if the database is away; `Internal` if Frappe's tables are others.
pub async fn make(db: &MariaDb, season: &Season, user: &Player, at: NaiveDateTime) -> Result<()> {
    let mut conn = db.conn().await?;
    conn.exec_drop(include_str!("season.sql"), (season.as_str(), at))
        .await?;
    conn.exec_drop(include_str!("user.sql"), (user.as_str(), at))
        .await?;
    Ok(())
}

/// Seasons whose names begin so.
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn left(db: &MariaDb, prefix: &str) -> Result<Vec<Season>> {
    let mut conn = db.conn().await?;
    let pattern = format!("{prefix}%");
    let names: Vec<String> = conn.exec(include_str!("left.sql"), (pattern,)).await?;
    Ok(names.into_iter().map(Season::stored).collect())
}

/// Drops the season's partitions of both tables with whatever is in them, and the tables
/// that its rows were in on their way into the archive.
///
/// # Errors
/// `Unavailable` if a lock cannot be had within a minute, or the connection is lost.
pub async fn drop_partitions(held: &mut Held, season: &Season) -> Result<()> {
    archive::prepare(held).await?;
    for table in archive::tables_of(held, season).await? {
        archive::drop_own(held, &table).await?;
    }
    archive::drop_archived(held, season).await?;
    archive::drop_partition(held.conn(), archive::TRACKER, season).await
}

/// Deletes what is left of both: journal, audit, review log, the notes of `works`, the user;
/// the season last, so that whatever stops this leaves something to find it by.
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn remove(db: &MariaDb, season: &Season, user: &Player, works: &[String]) -> Result<()> {
    let mut conn = db.conn().await?;
    for (table, column) in OF_USER {
        let sql = format!("DELETE FROM `{table}` WHERE {column} = ?");
        conn.exec_drop(sql, (user.as_str(),)).await?;
    }
    for work in works {
        conn.exec_drop("DELETE FROM memora_srs_state WHERE name = ?", (work,))
            .await?;
    }
    let sql = "DELETE FROM `tabGame Subscription Season` WHERE name = ?";
    conn.exec_drop(sql, (season.as_str(),)).await?;
    Ok(())
}
