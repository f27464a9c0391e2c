//! Rows into a table that may have rows of the season: of one question the newer state
//! stays (rule C1). In bounded chunks, in the order of the key; doing one again changes
//! nothing.

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Params, Value};

use super::definition::{Definition, shared};
use super::{ARCHIVE, TRACKER, quote_identifier, sql_literal};
use crate::Result;
use crate::store::state::Held;
use crate::types::Season;

/// Which way rows go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Into the archive.
    Archive,
    /// Back into the tracker.
    Restore,
}

impl Direction {
    fn into(self) -> &'static str {
        match self {
            Self::Archive => ARCHIVE,
            Self::Restore => TRACKER,
        }
    }
}

/// What one chunk brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    /// Rows that were looked at.
    pub rows: u64,
    /// Key of the last one; `None` at the end.
    pub until: Option<String>,
}

/// Merges up to `rows` rows of the season in `from` after this key. `archived_at` is set on
/// what goes into the archive.
///
/// # Errors
/// `Internal` if the server refuses, for a value that does not fit; `Unavailable` if the
/// connection is lost.
pub async fn merge_chunk(
    held: &mut Held,
    (from, direction): (&str, Direction),
    season: &Season,
    after: Option<&str>,
    rows: u32,
    archived_at: chrono::NaiveDateTime,
) -> Result<Merged> {
    let conn = held.conn();
    let into = direction.into();
    let mut columns = shared(
        &Definition::of(conn, from).await?,
        &Definition::of(conn, into).await?,
    );
    let of_season = format!("season = {} AND ", sql_literal(season.as_str()));
    let until = boundary(conn, from, &of_season, after, rows).await?;
    let (range, range_params) = within(after, until.as_deref());
    let (mut names, mut values, mut params) = (String::new(), String::new(), Vec::new());
    let mut also = String::new();
    if direction == Direction::Archive {
        columns.retain(|c| c != "archived_at" && c != "eligible_for_deletion");
        (", archived_at, eligible_for_deletion").clone_into(&mut names);
        (", ?, 0").clone_into(&mut values);
        params.push(Value::from(archived_at));
        also = include_str!("merge_archive.sql").to_owned();
    }
    params.extend(range_params);
    let list = list(&columns, "");
    let sql = without_comments(include_str!("merge.sql"))
        .replace("{also}", &without_comments(&also))
        .replace(
            "{guard}",
            &without_comments(include_str!("merge_guard.sql")),
        )
        .replace("{into}", &quote_identifier(into))
        .replace("{from}", &quote_identifier(from))
        .replace("{columns}", &format!("{list}{names}"))
        .replace("{values}", &format!("{list}{values}"))
        .replace("{range}", &format!("{of_season}{range}"));
    super::write(conn, &sql, params).await?;
    let merged = count_within(conn, from, &of_season, after, until.as_deref()).await?;
    Ok(Merged {
        rows: merged,
        until,
    })
}

/// Rows of the season in `from`, after this key, of whose question the other table has
/// nothing as new: they were not merged. Looks at up to `rows` rows.
///
/// # Errors
/// `Unavailable` if the connection is lost.
pub async fn not_merged(
    held: &mut Held,
    (from, direction): (&str, Direction),
    season: &Season,
    after: Option<&str>,
    rows: u32,
) -> Result<Merged> {
    let conn = held.conn();
    let of_season = format!("season = {} AND ", sql_literal(season.as_str()));
    let until = boundary(conn, from, &of_season, after, rows).await?;
    let (range, params) = within(after, until.as_deref());
    let sql = without_comments(include_str!("not_merged.sql"))
        .replace("{from}", &quote_identifier(from))
        .replace("{into}", &quote_identifier(direction.into()))
        .replace("{season}", &sql_literal(season.as_str()))
        .replace("{range}", &format!("{of_season}{range}"));
    let missing: Option<u64> = conn.exec_first(sql, Params::Positional(params)).await?;
    Ok(Merged {
        rows: missing.unwrap_or(0),
        until,
    })
}

/// The key of the last of the next `rows` rows; `None` if there are fewer.
pub(super) async fn boundary(
    conn: &mut Conn,
    table: &str,
    of_season: &str,
    after: Option<&str>,
    rows: u32,
) -> Result<Option<String>> {
    let (range, params) = within(after, None);
    let sql = format!(
        "SELECT name FROM {} FORCE INDEX (PRIMARY) WHERE {of_season}{range} ORDER BY name LIMIT {}, 1",
        quote_identifier(table),
        rows.saturating_sub(1)
    );
    Ok(conn.exec_first(sql, Params::Positional(params)).await?)
}

async fn count_within(
    conn: &mut Conn,
    table: &str,
    of_season: &str,
    after: Option<&str>,
    until: Option<&str>,
) -> Result<u64> {
    let (range, params) = within(after, until);
    let sql = format!(
        "SELECT COUNT(*) FROM {} WHERE {of_season}{range}",
        quote_identifier(table)
    );
    let count: Option<u64> = conn.exec_first(sql, Params::Positional(params)).await?;
    Ok(count.unwrap_or(0))
}

/// Keys after the one, up to the other.
pub(super) fn within(after: Option<&str>, until: Option<&str>) -> (String, Vec<Value>) {
    let bounds = [("name > ?", after), ("name <= ?", until)];
    let bounds = bounds
        .into_iter()
        .filter_map(|(sql, key)| Some((sql, key?)));
    let (mut sql, params): (Vec<&str>, Vec<Value>) =
        bounds.map(|(sql, key)| (sql, Value::from(key))).unzip();
    if sql.is_empty() {
        sql.push("TRUE");
    }
    (sql.join(" AND "), params)
}

/// Columns, quoted.
pub(super) fn list(columns: &[String], of: &str) -> String {
    let quoted = columns
        .iter()
        .map(|column| format!("{of}{}", quote_identifier(column)));
    quoted.collect::<Vec<_>>().join(", ")
}

/// Comments end at the end of a line, which a part of a statement does not keep.
pub(super) fn without_comments(sql: &str) -> String {
    let lines = sql.lines().filter(|line| !line.starts_with("--"));
    lines.collect::<Vec<_>>().join("\n")
}
