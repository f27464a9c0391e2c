//! Reading several students at once: what comparing the cache with the record asks for.

use std::collections::{HashMap, HashSet};

use futures_util::TryStreamExt;
use mysql_async::prelude::Queryable;
use mysql_async::{Params, Row, Value};

use super::{keep_names, latest};
use crate::batch::Batch;
use crate::servers::mariadb::MariaDb;
use crate::site_time::SiteZone;
use crate::store::rows;
use crate::types::{Player, QuestionState, Season};
use crate::{Result, failpoint};

/// Questions of a student, in their stored spelling.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Which student.
    pub player: Player,
    /// Which questions.
    pub ids: Vec<String>,
    /// What they have that the journal may not have, read before.
    pub over: Vec<Batch>,
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

/// The records of these students, of whom each comes once, in one season and in their order.
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn several(
    db: &MariaDb,
    season: &Season,
    zone: SiteZone,
    site: &str,
    wanted: &[Wanted],
    reading: Reading,
) -> Result<Vec<Record>> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    failpoint::hit(site, "load_read").await?;
    let unshown = reading == Reading::Unshown;
    let mut sql = include_str!("several.sql").trim_end().to_owned();
    if unshown {
        sql = sql + "\n" + include_str!("unshown.sql").trim_end();
    }
    let of_one = |one: &Wanted| match one.ids.len() {
        0 => "FALSE".to_owned(),
        n => format!("player = ? AND question_id IN ({})", rows::marks(n)),
    };
    let questions: Vec<String> = wanted.iter().map(of_one).collect();
    let sql = sql
        .replace("{players}", &rows::marks(wanted.len()))
        .replace("{questions}", &questions.join(" OR "));

    let bytes = |text: &str| Value::Bytes(text.as_bytes().to_vec());
    let players = || wanted.iter().map(|one| bytes(one.player.as_str()));
    let mut params = vec![bytes(season.as_str())];
    params.extend(players());
    params.push(season.as_str().into());
    for one in wanted.iter().filter(|one| !one.ids.is_empty()) {
        params.push(one.player.as_str().into());
        params.extend(one.ids.iter().map(Value::from));
    }
    if unshown {
        params.push(bytes(season.as_str()));
        params.extend(players());
    }

    let at: HashMap<&str, usize> = wanted
        .iter()
        .enumerate()
        .map(|(i, one)| (one.player.as_str(), i))
        .collect();
    let mut batches: Vec<Vec<Batch>> = wanted.iter().map(|one| one.over.clone()).collect();
    let mut records = vec![Record::default(); wanted.len()];
    let mut conn = db.conn().await?;
    if reading == Reading::Uncommitted {
        // Of the next statement alone.
        conn.query_drop("SET TRANSACTION ISOLATION LEVEL READ UNCOMMITTED")
            .await?;
    }
    let mut stream = conn
        .exec_stream::<Row, _, _>(sql, Params::Positional(params))
        .await?;
    while let Some(mut row) = stream.try_next().await? {
        let kind = rows::column::<i64>(&mut row, 0)?;
        // The table compares names by its collation: another spelling is another student.
        let Some(&i) = at.get(rows::text(&mut row, 1)?.as_str()) else {
            continue;
        };
        match kind {
            1 => batches[i].push(rows::batch(&rows::column::<Vec<u8>>(&mut row, 2)?)?),
            2 => records[i].unshown = true,
            _ => {
                let state = rows::state(&mut row, 2, zone)?;
                let recorded = Recorded {
                    state,
                    unapplied: false,
                };
                let id = recorded.state.question.as_str().to_owned();
                records[i].states.insert(id, recorded);
            }
        }
    }
    for (record, batches) in records.iter_mut().zip(&batches) {
        record.uncomputed = batches.iter().flat_map(|b| &b.items).any(|item| item.raw);
        lay_over(&mut record.states, latest(batches));
    }
    Ok(records)
}

fn lay_over(states: &mut HashMap<String, Recorded>, over: HashMap<String, QuestionState>) {
    for (id, mut state) in over {
        if let Some(row) = states.get(&id) {
            if !state.beats(&row.state) {
                continue;
            }
            keep_names(&mut state, &row.state);
        }
        let unapplied = true;
        states.insert(id, Recorded { state, unapplied });
    }
}

/// Ids of random rows of these students: each row with this chance, `limit` at most.
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn random_ids(
    db: &MariaDb,
    season: &Season,
    players: &[&Player],
    seed: u32,
    chance: f64,
    limit: usize,
) -> Result<Vec<(Player, String)>> {
    if players.is_empty() {
        return Ok(Vec::new());
    }
    let sql = include_str!("ids.sql").replace("{players}", &rows::marks(players.len()));
    let mut params: Vec<Value> = vec![season.as_str().into()];
    params.extend(players.iter().map(|player| Value::from(player.as_str())));
    params.extend([seed.into(), chance.into(), limit.into()]);
    let mut conn = db.conn().await?;
    let found: Vec<(String, String)> = conn.exec(sql, Params::Positional(params)).await?;
    let asked: HashSet<&str> = players.iter().map(|player| player.as_str()).collect();
    let found = found.into_iter();
    Ok(found
        .filter(|(player, _)| asked.contains(player.as_str()))
        .map(|(player, id)| (Player::stored(player), id))
        .collect())
}

/// A page of the ids of a student's rows in the order of the table's collation, after
/// `last`.
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn ids_after(
    db: &MariaDb,
    player: &Player,
    season: &Season,
    last: &str,
    limit: usize,
) -> Result<Vec<String>> {
    let mut conn = db.conn().await?;
    let params = (player.as_str(), season.as_str(), last, limit);
    Ok(conn.exec(include_str!("ids_after.sql"), params).await?)
}
