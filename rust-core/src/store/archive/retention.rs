//! Archived rows past their retention, in bounded chunks along the key: no statement takes
//! long, whatever the number of rows.

use chrono::NaiveDateTime;
use mysql_async::prelude::Queryable;
use mysql_async::{Params, Value};

use super::merge::{boundary, within, without_comments};
use super::{ARCHIVE, sql_literal};
use crate::Result;
use crate::servers::mariadb::MariaDb;
use crate::store::partitions;
use crate::store::state::Held;
use crate::types::Season;

/// What one chunk brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Rows that were changed or deleted.
    pub changed: u64,
    /// Key of the last row that was looked at; `None` at the end.
    pub until: Option<String>,
}

/// The seasons that have a partition in the archive.
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn seasons_with_rows(db: &MariaDb) -> Result<Vec<Season>> {
    let all = partitions::list(&mut db.conn().await?, ARCHIVE).await?;
    let seasons = all.iter().filter_map(partitions::Partition::season);
    Ok(seasons.map(Season::stored).collect())
}

/// How many rows of the season are flagged (`before`: not given), or could be: archived
/// before then and not flagged.
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn candidates(
    db: &MariaDb,
    season: &Season,
    before: Option<NaiveDateTime>,
) -> Result<u64> {
    let mut conn = db.conn().await?;
    let (condition, params) = match before {
        Some(before) => (
            "archived_at < ? AND eligible_for_deletion = 0",
            vec![Value::from(before)],
        ),
        None => ("eligible_for_deletion = 1", Vec::new()),
    };
    let sql = without_comments(include_str!("candidates.sql"))
        .replace("{season}", &sql_literal(season.as_str()))
        .replace("{condition}", condition);
    let count: Option<u64> = conn.exec_first(sql, Params::Positional(params)).await?;
    Ok(count.unwrap_or(0))
}

/// Flags those of the next `rows` rows after this key that were archived before then.
///
/// # Errors
/// `Unavailable` if the connection is lost or a row is held for seconds.
pub async fn flag_piece(
    held: &mut Held,
    season: &Season,
    after: Option<&str>,
    rows: u32,
    before: NaiveDateTime,
) -> Result<Piece> {
    let sql = include_str!("flag.sql");
    piece(held, sql, season, after, rows, vec![Value::from(before)]).await
}

/// Deletes those of the next `rows` rows after this key that are flagged.
///
/// # Errors
/// As [`flag_piece`].
pub async fn delete_piece(
    held: &mut Held,
    season: &Season,
    after: Option<&str>,
    rows: u32,
) -> Result<Piece> {
    let sql = include_str!("delete.sql");
    piece(held, sql, season, after, rows, Vec::new()).await
}

async fn piece(
    held: &mut Held,
    sql: &str,
    season: &Season,
    after: Option<&str>,
    rows: u32,
    mut params: Vec<Value>,
) -> Result<Piece> {
    let conn = held.conn();
    let literal = sql_literal(season.as_str());
    let of_season = format!("season = {literal} AND ");
    let until = boundary(conn, ARCHIVE, &of_season, after, rows).await?;
    let (range, range_params) = within(after, until.as_deref());
    let sql = without_comments(sql)
        .replace("{season}", &literal)
        .replace("{range}", &range);
    params.extend(range_params);
    super::write(conn, &sql, params).await?;
    Ok(Piece {
        changed: conn.affected_rows(),
        until,
    })
}
