//! Count and checksum of a season's rows, the same wherever they are and in whatever order:
//! the sums of two CRCs of each row, one of the first half of its columns as text and one of
//! the others, both with its name, which ties the halves together. In ranges of keys, so
//! that no statement takes long, several may run at once, and progress is seen.
//!
//! Each CRC is named once in the statement: MariaDB works it out anew wherever it is named,
//! a derived table's column too, and that is what summing up costs.

use std::ops::AddAssign;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Params};
use serde::{Deserialize, Serialize};

use super::definition::{Definition, shared};
use super::merge::{boundary, within, without_comments};
use super::{ARCHIVE, TRACKER, quote_identifier, sql_literal};
use crate::servers::mariadb::MariaDb;
use crate::types::Season;
use crate::{Error, Result};

/// Count and checksum of rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sum {
    /// Rows.
    pub rows: u64,
    /// Sum of the CRCs of their first columns.
    pub first: u64,
    /// Sum of the CRCs of their other columns.
    pub second: u64,
}

/// Is added to each CRC, so that one that is NULL is missed: 2^52, more than all CRCs of a
/// range together.
const MARK: u64 = 1 << 52;

impl AddAssign for Sum {
    fn add_assign(&mut self, other: Self) {
        self.rows += other.rows;
        self.first = self.first.wrapping_add(other.first);
        self.second = self.second.wrapping_add(other.second);
    }
}

/// Keys after the one, up to the other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Range {
    after: Option<String>,
    until: Option<String>,
}

/// Cuts the season's rows in `table` into ranges of so many.
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn ranges(db: &MariaDb, table: &str, season: &Season, rows: u32) -> Result<Vec<Range>> {
    let mut conn = db.conn().await?;
    let of_season = format!("season = {} AND ", sql_literal(season.as_str()));
    let mut all = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let until = boundary(&mut conn, table, &of_season, after.as_deref(), rows).await?;
        let last = until.is_none();
        all.push(Range {
            after: after.take(),
            until: until.clone(),
        });
        if last {
            return Ok(all);
        }
        after = until;
    }
}

/// Sums up the season's rows of one range: of the columns that the tracker and the archive
/// share.
///
/// # Errors
/// `Internal` for a row that is too long to be summed up; `Unavailable` if the connection
/// is lost.
pub async fn sum(conn: &mut Conn, table: &str, season: &Season, range: &Range) -> Result<Sum> {
    let tracker = Definition::of(conn, TRACKER).await?;
    let archive = Definition::of(conn, ARCHIVE).await?;
    let (sql_range, params) = within(range.after.as_deref(), range.until.as_deref());
    let mut columns = shared(&tracker, &archive);
    columns.retain(|column| column != NAME);
    let (first, second) = columns.split_at(columns.len() / 2);
    let sql = without_comments(include_str!("sum.sql"))
        .replace("{first}", &text_of(first))
        .replace("{second}", &text_of(second))
        .replace("{mark}", &MARK.to_string())
        .replace("{table}", &quote_identifier(table))
        .replace("{season}", &sql_literal(season.as_str()))
        .replace("{range}", &sql_range);
    let row: Option<(u64, String, String)> =
        conn.exec_first(sql, Params::Positional(params)).await?;
    let (rows, first, second) = row.unwrap_or_default();
    let unmarked = |sum: &str| unmarked(sum, rows).ok_or_else(|| too_long(table));
    Ok(Sum {
        rows,
        first: unmarked(&first)?,
        second: unmarked(&second)?,
    })
}

/// The key, which is in both halves.
const NAME: &str = "name";

/// The name and the columns, each as text, NULL as what no text of a row is.
fn text_of(columns: &[String]) -> String {
    let texts = columns
        .iter()
        .map(|column| format!("IFNULL({}, x'00')", quote_identifier(column)));
    let name = std::iter::once(quote_identifier(NAME));
    name.chain(texts).collect::<Vec<_>>().join(", ")
}

/// A sum without its marks; `None` unless each of the rows has its mark in it.
fn unmarked(sum: &str, rows: u64) -> Option<u64> {
    let sum: u128 = sum.parse().ok()?;
    let (marks, sum) = (sum / u128::from(MARK), sum % u128::from(MARK));
    (marks == u128::from(rows)).then_some(u64::try_from(sum).ok()?)
}

fn too_long(table: &str) -> Error {
    let message = format!("{table} has rows too long for max_allowed_packet to be summed up");
    Error::internal(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_without_a_checksum_is_missed() {
        let of = |crcs: &[u64]| {
            let marked = crcs.iter().map(|crc| u128::from(crc + MARK));
            marked.sum::<u128>().to_string()
        };
        let most = vec![u64::from(u32::MAX); 250_000];
        let sum = most.iter().sum();
        assert_eq!(unmarked(&of(&most), 250_000), Some(sum));
        assert_eq!(unmarked(&of(&most[1..]), 250_000), None);
        assert_eq!(unmarked(&of(&[7, 8]), 2), Some(15));
        assert_eq!(unmarked("0", 0), Some(0));
        assert_eq!(unmarked("", 1), None);
    }
}
