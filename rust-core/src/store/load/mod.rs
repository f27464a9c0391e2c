//! Reading a student's states: never from the table alone (rule C2).
//!
//! A review is acknowledged when it is in the journal and applied to the table later. So
//! every reading lays the unapplied journal rows (the *overlay*) over the table's rows,
//! both from one snapshot, and the higher version wins.
//!
//! A submit that the journal did not take in time is acknowledged without its row. Those
//! come as `over`, read *before* the snapshot: they are taken out only after their row is
//! committed, so that each is seen in one of both.

pub mod many;

use std::collections::HashMap;

use futures_util::TryStreamExt;
use mysql_async::prelude::Queryable;
use mysql_async::{Params, Row, TxOpts, Value};

use super::rows;
use crate::batch::Batch;
use crate::site_time::SiteZone;
use crate::types::{Player, QuestionState, Season, UtcMicros};
use crate::{Result, failpoint, servers::mariadb::MariaDb};

/// Whose states.
#[derive(Debug, Clone, Copy)]
pub struct Whose<'a> {
    /// The student.
    pub player: &'a Player,
    /// The season.
    pub season: &'a Season,
    /// The site's time zone.
    pub zone: SiteZone,
    /// The site, for failpoints.
    pub site: &'a str,
}

impl Whose<'_> {
    fn bytes(&self) -> [Value; 2] {
        [
            Value::Bytes(self.player.as_str().as_bytes().to_vec()),
            Value::Bytes(self.season.as_str().as_bytes().to_vec()),
        ]
    }
}

/// A page of due questions from the table.
#[derive(Debug, Clone, PartialEq)]
pub struct DuePage {
    /// How many are due in all.
    pub total: u64,
    /// The most overdue ones, most overdue first.
    pub questions: Vec<QuestionState>,
}

/// What is on record of some questions.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The table's rows with the unapplied states of the student laid over them, also of
    /// questions that were not asked for.
    pub states: Vec<QuestionState>,
    /// Questions, as the student named them, with an unapplied answer whose state is still
    /// to be computed: what will be before the next answer is not known.
    pub uncomputed: Vec<String>,
}

/// All states of a student's season, in no order.
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn all(db: &MariaDb, whose: Whose<'_>, over: Vec<Batch>) -> Result<Vec<QuestionState>> {
    failpoint::hit(whose.site, "load_read").await?;
    let [player, season] = whose.bytes();
    let params = vec![player.clone(), season.clone(), player, season];
    let sql = include_str!("states.sql");
    let (batches, rows) = one_snapshot(db, sql, params, whose.zone, over).await?;
    Ok(merge(rows, latest(&batches)))
}

/// The states of some questions, named by their ids in any spelling that the table
/// takes for the same (its collation folds case, accents and trailing blanks), and all
/// unapplied states of the student.
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn some(db: &MariaDb, whose: Whose<'_>, over: Vec<Batch>, ids: &[&str]) -> Result<Found> {
    failpoint::hit(whose.site, "load_read").await?;
    let sql = format!(
        "{} AND question_id IN ({})",
        include_str!("states.sql").trim_end(),
        rows::marks(ids.len())
    );
    let [player, season] = whose.bytes();
    let mut params = vec![player.clone(), season.clone(), player, season];
    params.extend(ids.iter().map(|id| Value::from(*id)));
    let (batches, rows) = one_snapshot(db, &sql, params, whose.zone, over).await?;
    let raw = batches.iter().flat_map(|batch| &batch.items);
    let uncomputed = raw.filter(|item| item.raw);
    Ok(Found {
        uncomputed: uncomputed.map(|item| item.question_id.clone()).collect(),
        states: merge(rows, latest(&batches)),
    })
}

/// The `limit` most overdue questions at `now`, of one subject if given, and the true
/// total. Several statements in one consistent snapshot, the journal first.
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn due(
    db: &MariaDb,
    whose: Whose<'_>,
    over: Vec<Batch>,
    subject: Option<&str>,
    now: UtcMicros,
    limit: usize,
) -> Result<DuePage> {
    failpoint::hit(whose.site, "load_read").await?;
    if failpoint::planted("two_snapshots") {
        return due_of_all(db, whose, over, subject, now, limit).await;
    }
    let mut conn = db.conn().await?;
    let mut options = TxOpts::new();
    options
        .with_consistent_snapshot(true)
        .with_readonly(Some(true));
    options.with_isolation_level(Some(mysql_async::IsolationLevel::RepeatableRead));
    let mut tx = conn.start_transaction(options).await?;

    let payloads: Vec<Vec<u8>> = tx
        .exec(
            include_str!("overlay.sql"),
            Params::Positional(whose.bytes().to_vec()),
        )
        .await?;
    let mut batches = over;
    for payload in &payloads {
        batches.push(rows::batch(payload)?);
    }
    if failpoint::planted("no_overlay") {
        batches.clear();
    }
    let overlay = latest(&batches);

    let filter = subject.map_or("", |_| "AND subject = ?");
    let with_filter = |sql: &str| sql.replace("{subject}", filter);
    let mut params: Vec<Value> = vec![
        whose.player.as_str().into(),
        whose.season.as_str().into(),
        whose.zone.latest_wall(now).into(),
    ];
    params.extend(subject.map(Value::from));

    let counted: Option<u64> = tx
        .exec_first(
            with_filter(include_str!("due_count.sql")),
            Params::Positional(params.clone()),
        )
        .await?;
    failpoint::hit(whose.site, "load_counted").await?;
    // As many more as the overlay may take away from the page.
    params.push((limit + overlay.len()).into());
    let found: Vec<Row> = tx
        .exec(
            with_filter(include_str!("due.sql")),
            Params::Positional(params),
        )
        .await?;
    let mut page = Vec::with_capacity(found.len());
    for mut row in found {
        page.push(rows::state(&mut row, 0, whose.zone)?);
    }
    let under = if overlay.is_empty() {
        Vec::new()
    } else {
        rows_of(&mut tx, whose, overlay.keys().map(String::as_str)).await?
    };
    tx.commit().await?;
    Ok(lay_over(
        page,
        counted.unwrap_or(0),
        &under,
        overlay,
        subject,
        now,
        limit,
    ))
}

/// Corrects a page and its total by the unapplied states.
pub(crate) fn lay_over(
    page: Vec<QuestionState>,
    counted: u64,
    under: &[QuestionState],
    overlay: HashMap<String, QuestionState>,
    subject: Option<&str>,
    now: UtcMicros,
    limit: usize,
) -> DuePage {
    let of_subject = |state: &QuestionState| {
        // The rows were chosen by the table's collation; `subject` is in its stored
        // spelling here, so exact comparison means the same.
        subject.is_none_or(|s| state.subject.as_deref() == Some(s))
    };
    let is_due = |state: &QuestionState| state.due <= now && of_subject(state);
    let under: HashMap<&str, &QuestionState> = under
        .iter()
        .map(|row| (row.question.as_str(), row))
        .collect();
    let mut total = counted;
    let mut winners: HashMap<String, QuestionState> = HashMap::new();
    for mut state in overlay.into_values() {
        match under.get(state.question.as_str()) {
            Some(row) if !state.beats(row) => continue,
            Some(row) => {
                if is_due(row) {
                    total = total.saturating_sub(1);
                }
                keep_names(&mut state, row);
            }
            None => {}
        }
        if is_due(&state) {
            total += 1;
        }
        winners.insert(state.question.as_str().to_owned(), state);
    }
    let mut questions: Vec<QuestionState> = page
        .into_iter()
        .filter(|state| !winners.contains_key(state.question.as_str()))
        .collect();
    questions.extend(winners.into_values().filter(is_due));
    questions.sort_by(|a, b| (a.due, &a.question).cmp(&(b.due, &b.question)));
    questions.truncate(limit);
    DuePage { total, questions }
}

/// A state that names no subject or topic keeps those on record, as the upsert does.
fn keep_names(state: &mut QuestionState, row: &QuestionState) {
    if state.subject.is_none() {
        state.subject.clone_from(&row.subject);
    }
    if state.topic.is_none() {
        state.topic.clone_from(&row.topic);
    }
}

async fn rows_of(
    tx: &mut mysql_async::Transaction<'_>,
    whose: Whose<'_>,
    ids: impl Iterator<Item = &str>,
) -> Result<Vec<QuestionState>> {
    let mut params: Vec<Value> = vec![whose.player.as_str().into(), whose.season.as_str().into()];
    params.extend(ids.map(Value::from));
    let sql = format!(
        "SELECT question_id, stability, next_review_date, last_review_date, review_version, \
         subject, topic FROM `tabPlayer Memory Tracker` \
         WHERE player = ? AND season = ? AND next_review_date IS NOT NULL \
         AND question_id IN ({})",
        rows::marks(params.len() - 2)
    );
    let found: Vec<Row> = tx.exec(sql, Params::Positional(params)).await?;
    found
        .into_iter()
        .map(|mut row| rows::state(&mut row, 0, whose.zone))
        .collect()
}

/// As [`due()`], for a build that breaks the rule of one snapshot on purpose.
async fn due_of_all(
    db: &MariaDb,
    whose: Whose<'_>,
    over: Vec<Batch>,
    subject: Option<&str>,
    now: UtcMicros,
    limit: usize,
) -> Result<DuePage> {
    let mut questions = all(db, whose, over).await?;
    questions.retain(|s| s.due <= now && subject.is_none_or(|x| s.subject.as_deref() == Some(x)));
    questions.sort_by(|a, b| (a.due, &a.question).cmp(&(b.due, &b.question)));
    let total = questions.len() as u64;
    questions.truncate(limit);
    Ok(DuePage { total, questions })
}

/// Runs a `states.sql` statement: (unapplied batches, rows).
async fn one_snapshot(
    db: &MariaDb,
    sql: &str,
    params: Vec<Value>,
    zone: SiteZone,
    over: Vec<Batch>,
) -> Result<(Vec<Batch>, Vec<QuestionState>)> {
    if failpoint::planted("two_snapshots") {
        let (_, rows) = snapshot(db, sql, params.clone(), zone, over.clone()).await?;
        failpoint::hit("", "load_between").await?;
        let (overlay, _) = snapshot(db, sql, params, zone, over).await?;
        return Ok((overlay, rows));
    }
    let (overlay, rows) = snapshot(db, sql, params, zone, over).await?;
    match failpoint::planted("no_overlay") {
        true => Ok((Vec::new(), rows)),
        false => Ok((overlay, rows)),
    }
}

async fn snapshot(
    db: &MariaDb,
    sql: &str,
    params: Vec<Value>,
    zone: SiteZone,
    over: Vec<Batch>,
) -> Result<(Vec<Batch>, Vec<QuestionState>)> {
    let mut conn = db.conn().await?;
    let mut stream = conn
        .exec_stream::<Row, _, _>(sql, Params::Positional(params))
        .await?;
    let (mut batches, mut states) = (over, Vec::new());
    while let Some(mut row) = stream.try_next().await? {
        if rows::column::<i64>(&mut row, 0)? == 1 {
            batches.push(rows::batch(&rows::column::<Vec<u8>>(&mut row, 1)?)?);
        } else {
            states.push(rows::state(&mut row, 1, zone)?);
        }
    }
    Ok((batches, states))
}

/// The winning state of each question of these batches.
pub(crate) fn latest(batches: &[Batch]) -> HashMap<String, QuestionState> {
    let mut winners: HashMap<String, QuestionState> = HashMap::new();
    for state in batches.iter().flat_map(Batch::states) {
        match winners.get_mut(state.question.as_str()) {
            Some(known) if state.beats(known) => *known = state,
            Some(_) => {}
            None => {
                winners.insert(state.question.as_str().to_owned(), state);
            }
        }
    }
    winners
}

/// Lays `over` over `rows`: for each question the state that wins.
pub(crate) fn merge(
    rows: Vec<QuestionState>,
    mut over: HashMap<String, QuestionState>,
) -> Vec<QuestionState> {
    if over.is_empty() {
        return rows;
    }
    let mut out = Vec::with_capacity(rows.len() + over.len());
    for row in rows {
        match over.remove(row.question.as_str()) {
            Some(mut state) if state.beats(&row) => {
                keep_names(&mut state, &row);
                out.push(state);
            }
            _ => out.push(row),
        }
    }
    out.extend(over.into_values());
    out
}

/// How many questions a student has in a season, applied ones only.
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn count(db: &MariaDb, whose: Whose<'_>) -> Result<u64> {
    let mut conn = db.conn().await?;
    let params = (whose.player.as_str(), whose.season.as_str());
    Ok(conn
        .exec_first(include_str!("count.sql"), params)
        .await?
        .unwrap_or(0))
}

/// Pairs (index of id, index of candidate) that the tracker's collation takes for the
/// same question.
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn equal_ids(
    db: &MariaDb,
    ids: &[&str],
    candidates: &[&str],
) -> Result<Vec<(usize, usize)>> {
    if ids.is_empty() || candidates.is_empty() {
        return Ok(Vec::new());
    }
    let table = |n: usize| {
        let rows: Vec<String> = (0..n)
            .map(|i| format!("SELECT {i} AS i, ? AS id"))
            .collect();
        rows.join(" UNION ALL ")
    };
    let sql = format!(
        "SELECT a.i, b.i FROM ({}) a JOIN ({}) b \
         ON a.id COLLATE utf8mb4_unicode_ci = b.id COLLATE utf8mb4_unicode_ci",
        table(ids.len()),
        table(candidates.len())
    );
    let params: Vec<Value> = ids
        .iter()
        .chain(candidates)
        .map(|id| Value::from(*id))
        .collect();
    let mut conn = db.conn().await?;
    Ok(conn.exec(sql, Params::Positional(params)).await?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{QuestionId, Stability, Version};

    fn state(id: &str, version: i64, subject: Option<&str>) -> QuestionState {
        QuestionState {
            question: QuestionId::stored(id),
            stability: Stability::from_f64(1.0),
            due: UtcMicros(version),
            last_review: None,
            version: Version(version),
            subject: subject.map(str::to_owned),
            topic: None,
        }
    }

    #[test]
    fn what_is_laid_over_wins_by_version_and_keeps_names_on_record() {
        let rows = vec![state("a", 1, Some("Maths")), state("b", 5, Some("Physics"))];
        let overlay = [
            state("a", 2, None),
            state("b", 4, None),
            state("c", 1, None),
        ];
        let overlay = overlay.map(|s| (s.question.as_str().to_owned(), s));
        let mut merged = merge(rows, overlay.into());
        merged.sort_by(|x, y| x.question.cmp(&y.question));
        assert_eq!(
            merged,
            [
                state("a", 2, Some("Maths")),
                state("b", 5, Some("Physics")),
                state("c", 1, None),
            ]
        );
    }
}
