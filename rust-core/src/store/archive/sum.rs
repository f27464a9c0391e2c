//! Count and checksum of a season's rows, the same wherever they are and in whatever order:
//! the sum, and the exclusive or, of a CRC of each row's columns as text. In ranges of keys,
//! so that no statement takes long, several may run at once, and progress is seen.

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
    /// Sum of their CRCs.
    pub sum: u64,
    /// Exclusive or of their CRCs.
    pub xor: u64,
}

impl AddAssign for Sum {
    fn add_assign(&mut self, other: Self) {
        self.rows += other.rows;
        self.sum = self.sum.wrapping_add(other.sum);
        self.xor ^= other.xor;
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
    let sql = without_comments(include_str!("sum.sql"))
        .replace("{columns}", &text_of(&shared(&tracker, &archive)))
        .replace("{table}", &quote_identifier(table))
        .replace("{season}", &sql_literal(season.as_str()))
        .replace("{range}", &sql_range);
    let row: Option<(u64, u64, u64, u64)> =
        conn.exec_first(sql, Params::Positional(params)).await?;
    let (rows, summed, sum, xor) = row.unwrap_or_default();
    if summed != rows {
        let message = format!("{table} has rows too long for max_allowed_packet to be summed up");
        return Err(Error::internal(message));
    }
    Ok(Sum { rows, sum, xor })
}

/// The columns, each as text, NULL as what no text of a row is.
fn text_of(columns: &[String]) -> String {
    let texts = columns
        .iter()
        .map(|column| format!("IFNULL({}, x'00')", quote_identifier(column)));
    texts.collect::<Vec<_>>().join(", ")
}
