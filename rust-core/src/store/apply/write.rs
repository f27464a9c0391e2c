//! The statements of [`super::Applying`], built in bounded pieces.

use std::collections::HashMap;

use mysql_async::prelude::Queryable;
use mysql_async::{Params, Transaction, Value};

use super::{Context, Work, with_rows};
use crate::batch::Submission;
use crate::site_time::SiteZone;
use crate::store::rows;
use crate::types::{QuestionState, Stability, UtcMicros, new_ulid};

type Done = Result<(), mysql_async::Error>;

/// Columns of a row of the tracker, as far as it is ours.
pub(crate) const UPSERT_COLUMNS: usize = 16;

/// Runs `sql` for rows of so many columns, whose values are given one row after the other.
async fn in_pieces(
    tx: &mut Transaction<'_>,
    sql: &str,
    columns: usize,
    values: Vec<Value>,
) -> Done {
    for (sql, params) in pieces(sql, columns, values) {
        tx.exec_drop(sql, Params::Positional(params)).await?;
    }
    Ok(())
}

/// The statements that these rows take, as [`in_pieces`] has them, each with its parameters.
pub(crate) fn pieces(
    sql: &str,
    columns: usize,
    mut values: Vec<Value>,
) -> impl Iterator<Item = (String, Vec<Value>)> {
    rows::pieces(values.len() / columns).map(move |size| {
        let rest = values.split_off(size * columns);
        let piece = std::mem::replace(&mut values, rest);
        (with_rows(sql, size, columns), piece)
    })
}

pub(super) async fn upsert(
    tx: &mut Transaction<'_>,
    rows: &[Submission],
    context: &Context<'_>,
) -> Done {
    let (sql, values) = upsert_rows(rows, context);
    in_pieces(tx, &sql, UPSERT_COLUMNS, values).await
}

/// The statement that writes the states of `rows` to the tracker, and its values, row by row.
pub(crate) fn upsert_rows(rows: &[Submission], context: &Context<'_>) -> (String, Vec<Value>) {
    let mut states: Vec<(&Submission, QuestionState)> = rows
        .iter()
        .flat_map(|s| s.batch.states().into_iter().map(move |state| (s, state)))
        .collect();
    // The order of the unique key: two workers then meet in one order.
    states.sort_by(|(a, x), (b, y)| {
        (&a.season, &a.key.player, &x.question).cmp(&(&b.season, &b.key.player, &y.question))
    });
    let zone = context.zone;
    let now = Value::from(zone.to_wall(context.now));
    let mut values = Vec::with_capacity(states.len() * UPSERT_COLUMNS);
    for (s, state) in states {
        let player = Value::from(s.key.player.as_str());
        values.extend([
            new_ulid().into(),
            now.clone(),
            now.clone(),
            player.clone(),
            player.clone(),
            0.into(),
            0.into(),
            player,
            s.season.as_str().into(),
            state.question.as_str().into(),
            state.stability.to_decimal().into(),
            zone.to_wall(state.due).into(),
            state.last_review.map(|t| zone.to_wall(t)).into(),
            state.version.0.into(),
            state.subject.into(),
            state.topic.into(),
        ]);
    }
    let guard: String = include_str!("guard.sql")
        .lines()
        .filter(|l| !l.starts_with("--"))
        .collect();
    let sql = include_str!("upsert.sql").replace("{guard}", &guard);
    (sql, values)
}

pub(super) async fn review_log(tx: &mut Transaction<'_>, rows: &[Submission]) -> Done {
    let mut out = Vec::new();
    for s in rows {
        for (seq, item) in s.batch.items.iter().enumerate() {
            let Some(quality) = item.quality else {
                continue;
            };
            let before = item.before;
            out.extend([
                Value::Bytes(s.key.player.as_str().as_bytes().to_vec()),
                Value::Bytes(s.key.submission.as_str().as_bytes().to_vec()),
                seq.into(),
                utc(s.batch.at),
                Value::Bytes(s.season.as_str().as_bytes().to_vec()),
                Value::Bytes(item.question_id.as_bytes().to_vec()),
                quality.into(),
                item.response_time_ms.into(),
                before
                    .map(|b| Stability::from_f64(b.stability).to_decimal())
                    .into(),
                Stability::from_f64(item.new_stability).to_decimal().into(),
                before.map_or(Value::NULL, |b| utc(b.due_us)),
                utc(item.due_us),
                before
                    .and_then(|b| b.last_review_us)
                    .map_or(Value::NULL, utc),
                utc(item.last_review_us),
                before.map(|b| b.review_version).into(),
                item.review_version.into(),
                door(s).into(),
            ]);
        }
    }
    in_pieces(tx, include_str!("review_log.sql"), 17, out).await
}

pub(super) async fn audit(
    tx: &mut Transaction<'_>,
    rows: &[Submission],
    work: &[&Work],
    context: &Context<'_>,
) -> Done {
    let jobs: HashMap<_, _> = work.iter().map(|w| (&w.key, w.job_id.as_deref())).collect();
    let out = rows
        .iter()
        .flat_map(|s| {
            [
                Value::Bytes(s.season.as_str().as_bytes().to_vec()),
                Value::Bytes(s.key.player.as_str().as_bytes().to_vec()),
                Value::Bytes(s.key.submission.as_str().as_bytes().to_vec()),
                jobs.get(&s.key).copied().flatten().into(),
                door(s).into(),
                context.worker.into(),
                s.batch.items.len().into(),
                context.tries.into(),
                "applied".into(),
            ]
        })
        .collect();
    in_pieces(tx, include_str!("audit.sql"), 9, out).await
}

/// The native tables hold UTC: they belong to no site's wall clock.
fn utc(micros: i64) -> Value {
    SiteZone::UTC.to_wall(UtcMicros(micros)).into()
}

fn door(s: &Submission) -> &'static str {
    s.batch.door.name()
}
