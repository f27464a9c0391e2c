//! The same of many students at once, for who goes through a whole season.
//!
//! Students come page by page in index order, each page by a statement of its own that
//! starts after the last one: no cursor outlives a page, so that no snapshot grows old.

use futures_util::TryStreamExt;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Params, Row, Value};

use super::{latest, merge, rows};
use crate::batch::Batch;
use crate::site_time::SiteZone;
use crate::types::{Player, QuestionState, Season};
use crate::{Result, failpoint};

/// A name as the tracker compares names, whatever the connection would have.
const NAME: &str = "CAST(? AS CHAR(140)) COLLATE utf8mb4_unicode_ci";

/// A student with rows in a season.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Student {
    /// As the rows name the student; where the next page starts.
    pub of_rows: Player,
    /// As the User is stored: whose schedule it is.
    pub player: Player,
    /// Rows, at the time of asking.
    pub questions: u64,
}

/// The first `limit` students of a season after one of them (`None`: from the start).
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn students(
    conn: &mut Conn,
    season: &Season,
    after: Option<&Player>,
    limit: usize,
) -> Result<Vec<Student>> {
    let after = after.map_or("", Player::as_str);
    let found: Vec<(String, String, u64)> = conn
        .exec(
            include_str!("students.sql"),
            (season.as_str(), after, limit),
        )
        .await?;
    let students = found
        .into_iter()
        .map(|(of_rows, player, questions)| Student {
            of_rows: Player::stored(of_rows),
            player: Player::stored(player),
            questions,
        });
    Ok(students.collect())
}

/// How many students have rows in a season.
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn count_students(conn: &mut Conn, season: &Season) -> Result<u64> {
    let sql = "SELECT COUNT(DISTINCT player) FROM `tabPlayer Memory Tracker` WHERE season = ?";
    Ok(conn.exec_first(sql, (season.as_str(),)).await?.unwrap_or(0))
}

/// All states of these students, one list each, in no order: as [`super::all`], with what is
/// not applied yet laid over the rows, all from one snapshot. `over` is read before.
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn all_of(
    conn: &mut Conn,
    season: &Season,
    players: &[&Player],
    zone: SiteZone,
    site: &str,
    mut over: Vec<Vec<Batch>>,
) -> Result<Vec<Vec<QuestionState>>> {
    failpoint::hit(site, "load_read").await?;
    over.resize(players.len(), Vec::new());
    let mut states: Vec<Vec<QuestionState>> = vec![Vec::new(); players.len()];
    let sql = include_str!("many_states.sql")
        .replace("{bytes}", &table(players.len(), "CAST(? AS BINARY)"))
        .replace("{names}", &table(players.len(), NAME));
    let as_bytes = |name: &str| Value::Bytes(name.as_bytes().to_vec());
    let mut params = Vec::with_capacity(players.len() * 2 + 2);
    for _ in 0..2 {
        params.extend(players.iter().map(|player| as_bytes(player.as_str())));
        params.push(as_bytes(season.as_str()));
    }
    let mut stream = conn
        .exec_stream::<Row, _, _>(sql, Params::Positional(params))
        .await?;
    while let Some(mut row) = stream.try_next().await? {
        let of: usize = rows::column(&mut row, 1)?;
        if rows::column::<i64>(&mut row, 0)? == 1 {
            let payload: Vec<u8> = rows::column(&mut row, 2)?;
            if let Some(over) = over.get_mut(of) {
                over.push(rows::batch(&payload)?);
            }
        } else if let Some(states) = states.get_mut(of) {
            states.push(rows::state(&mut row, 2, zone)?);
        }
    }
    if failpoint::planted("no_overlay") {
        over.iter_mut().for_each(Vec::clear);
    }
    let laid = states.into_iter().zip(over);
    Ok(laid
        .map(|(states, over)| merge(states, latest(&over)))
        .collect())
}

/// A table of numbers and names.
fn table(rows: usize, name: &str) -> String {
    let rows: Vec<String> = (0..rows)
        .map(|n| format!("SELECT {n} AS n, {name} AS player"))
        .collect();
    rows.join(" UNION ALL ")
}
