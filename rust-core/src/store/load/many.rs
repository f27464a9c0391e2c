//! Reading many students at once: for who goes through a season, and for who compares the
//! cache with the record.
//!
//! Students come page by page in index order, each page by a statement of its own that
//! starts after the last one: no cursor outlives a page, so that no snapshot grows old.

use std::collections::HashMap;

use futures_util::TryStreamExt;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Params, Row, Value};

use super::{keep_names, latest, merge, rows};
use crate::batch::Batch;
use crate::site_time::SiteZone;
use crate::types::{Player, QuestionState, Season};
use crate::{Result, failpoint};

/// A name as the tracker compares names, whatever the connection would have.
const NAME: &str = "CAST(? AS CHAR(140)) COLLATE utf8mb4_unicode_ci";
/// All rows of some students: those are looked up one by one, whatever the server thinks.
const ROWS_OF_ALL: &str =
    "({names}) b STRAIGHT_JOIN `tabPlayer Memory Tracker` t ON t.player = b.player";
/// Rows that are named one by one, and then whose they are.
const ROWS_OF_SOME: &str =
    "`tabPlayer Memory Tracker` t STRAIGHT_JOIN ({names}) b ON b.player = t.player";

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

/// Students of one season. Rows are theirs whose player the table takes for the same name.
#[derive(Debug, Clone, Copy)]
pub struct Class<'a> {
    /// The students, each once.
    pub players: &'a [&'a Player],
    /// The season.
    pub season: &'a Season,
    /// The site's time zone.
    pub zone: SiteZone,
    /// The site, for failpoints.
    pub site: &'a str,
}

/// What else is read, or how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// What is committed.
    Committed,
    /// Also whether the cache may lack something of them that is applied.
    Unshown,
    /// What is not committed too: a worker that has a job before the submit's own row is in
    /// the journal makes that row itself, and shows the states before it commits.
    Uncommitted,
}

/// What is on record of one student's questions.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Record {
    /// States by id, of the questions asked for and of all with an unapplied answer.
    pub states: HashMap<String, Recorded>,
    /// Whether there is an answer whose state is still to be computed.
    pub uncomputed: bool,
    /// Whether an answer is applied that the cache may lack (`cached_at` is NULL).
    pub unshown: bool,
}

/// A state on record.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// The state.
    pub state: QuestionState,
    /// Whether it is not in the table yet.
    pub unapplied: bool,
}

/// All states of these students, one list each, in no order: as [`super::all`], with what is
/// not applied yet laid over the rows, all from one snapshot. `over` is read before.
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn all_of(
    conn: &mut Conn,
    class: Class<'_>,
    over: Vec<Vec<Batch>>,
) -> Result<Vec<Vec<QuestionState>>> {
    let found = read(conn, class, None, over, Reading::Committed).await?;
    let laid = found.into_iter();
    Ok(laid
        .map(|found| merge(found.rows, latest(&found.batches)))
        .collect())
}

/// What is on record of some questions of each of these students, whose ids are given in
/// their stored spelling; from one snapshot. `over` is read before.
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn records(
    conn: &mut Conn,
    class: Class<'_>,
    ids: &[&[String]],
    over: Vec<Vec<Batch>>,
    reading: Reading,
) -> Result<Vec<Record>> {
    let found = read(conn, class, Some(ids), over, reading).await?;
    Ok(found.into_iter().map(Found::record).collect())
}

/// What was found of one student.
#[derive(Default)]
struct Found {
    rows: Vec<QuestionState>,
    batches: Vec<Batch>,
    unshown: bool,
}

impl Found {
    fn record(self) -> Record {
        let rows = self.rows.into_iter().map(|state| {
            let id = state.question.as_str().to_owned();
            let unapplied = false;
            (id, Recorded { state, unapplied })
        });
        let mut states: HashMap<String, Recorded> = rows.collect();
        for (id, mut state) in latest(&self.batches) {
            if let Some(row) = states.get(&id) {
                if !state.beats(&row.state) {
                    continue;
                }
                keep_names(&mut state, &row.state);
            }
            let unapplied = true;
            states.insert(id, Recorded { state, unapplied });
        }
        let mut items = self.batches.iter().flat_map(|batch| &batch.items);
        Record {
            states,
            uncomputed: items.any(|item| item.raw),
            unshown: self.unshown,
        }
    }
}

/// One snapshot of journal and table, of all questions of each student or of those named.
async fn read(
    conn: &mut Conn,
    class: Class<'_>,
    ids: Option<&[&[String]]>,
    over: Vec<Vec<Batch>>,
    reading: Reading,
) -> Result<Vec<Found>> {
    let mut found: Vec<Found> = Vec::new();
    found.resize_with(class.players.len(), Found::default);
    if found.is_empty() {
        return Ok(found);
    }
    for (found, over) in found.iter_mut().zip(over) {
        found.batches = over;
    }
    failpoint::hit(class.site, "load_read").await?;
    if reading == Reading::Uncommitted {
        // Of the next statement alone.
        conn.query_drop("SET TRANSACTION ISOLATION LEVEL READ UNCOMMITTED")
            .await?;
    }
    let (sql, params) = statement(class, ids, reading);
    let mut stream = conn
        .exec_stream::<Row, _, _>(sql, Params::Positional(params))
        .await?;
    while let Some(mut row) = stream.try_next().await? {
        let kind = rows::column::<i64>(&mut row, 0)?;
        let Some(of) = found.get_mut(rows::column::<usize>(&mut row, 1)?) else {
            continue;
        };
        match kind {
            1 => {
                let payload: Vec<u8> = rows::column(&mut row, 2)?;
                of.batches.push(rows::batch(&payload)?);
            }
            2 => of.unshown = true,
            _ => of.rows.push(rows::state(&mut row, 2, class.zone)?),
        }
    }
    if failpoint::planted("no_overlay") {
        found.iter_mut().for_each(|found| found.batches.clear());
    }
    Ok(found)
}

fn statement(
    class: Class<'_>,
    ids: Option<&[&[String]]>,
    reading: Reading,
) -> (String, Vec<Value>) {
    let Class {
        players, season, ..
    } = class;
    let bytes = |text: &str| Value::Bytes(text.as_bytes().to_vec());
    let mut all: Vec<Value> = players
        .iter()
        .map(|player| bytes(player.as_str()))
        .collect();
    all.push(bytes(season.as_str()));

    let mut params = [all.clone(), all.clone()].concat();
    let (from, questions) = match ids {
        None => (ROWS_OF_ALL, String::new()),
        Some(ids) => {
            let named = players.iter().zip(ids).filter(|(_, ids)| !ids.is_empty());
            let mut any = vec!["FALSE".to_owned()];
            for (player, ids) in named {
                let marks = rows::marks(ids.len());
                any.push(format!("t.player = ? AND t.question_id IN ({marks})"));
                params.push(bytes(player.as_str()));
                params.extend(ids.iter().map(|id| bytes(id)));
            }
            (ROWS_OF_SOME, format!("\nAND ({})", any.join(" OR ")))
        }
    };
    let mut sql = include_str!("many.sql").trim_end().to_owned();
    if reading == Reading::Unshown {
        sql += include_str!("unshown.sql").trim_end();
        params.extend(all);
    }
    let sql = sql
        .replace("{rows}", from)
        .replace("{questions}", &questions)
        .replace("{bytes}", &table(players.len(), "CAST(? AS BINARY)"))
        .replace("{names}", &table(players.len(), NAME));
    (sql, params)
}

/// Ids of random rows of these students, each with the student's place in the list: each row
/// with this chance, `limit` at most.
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn random_ids(
    conn: &mut Conn,
    season: &Season,
    players: &[&Player],
    seed: u32,
    chance: f64,
    limit: usize,
) -> Result<Vec<(usize, String)>> {
    if players.is_empty() {
        return Ok(Vec::new());
    }
    let sql = include_str!("ids.sql")
        .replace("{names}", &table(players.len(), NAME))
        .replace("{players}", &rows::marks(players.len()));
    let names = || players.iter().map(|player| Value::from(player.as_str()));
    let mut params: Vec<Value> = names().collect();
    params.push(season.as_str().into());
    params.extend(names());
    params.extend([seed.into(), chance.into(), limit.into()]);
    Ok(conn.exec(sql, Params::Positional(params)).await?)
}

/// A page of the ids of a student's rows in the order of the table's collation, after
/// `last`.
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn ids_after(
    conn: &mut Conn,
    player: &Player,
    season: &Season,
    last: &str,
    limit: usize,
) -> Result<Vec<String>> {
    let params = (player.as_str(), season.as_str(), last, limit);
    Ok(conn.exec(include_str!("ids_after.sql"), params).await?)
}

/// A table of numbers and names.
fn table(rows: usize, name: &str) -> String {
    let rows: Vec<String> = (0..rows)
        .map(|n| format!("SELECT {n} AS n, {name} AS player"))
        .collect();
    rows.join(" UNION ALL ")
}
