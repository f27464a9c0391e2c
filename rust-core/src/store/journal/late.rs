//! Rows that come after their acknowledgement.

use std::collections::HashMap;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Params, Row, Value};

use super::{fixed, insert_params};
use crate::Result;
use crate::batch::{Attempt, Submission, SubmissionKey};
use crate::store::rows;
use crate::types::{Player, SubmissionId};

/// Makes the rows that are missing; which attempt each submission's row has now. Two
/// statements, however many rows; committed when this returns.
///
/// # Errors
/// `Unavailable` or `Internal`: some rows may be there.
pub async fn insert_late(
    conn: &mut Conn,
    submissions: &[Submission],
) -> Result<HashMap<SubmissionKey, Attempt>> {
    if submissions.is_empty() {
        return Ok(HashMap::new());
    }
    // In one order, so that two who do the same wait for each other.
    let mut sorted: Vec<&Submission> = submissions.iter().collect();
    sorted.sort_by(|a, b| a.key.cmp(&b.key));
    let mut params = Vec::with_capacity(sorted.len() * 6);
    for submission in &sorted {
        params.extend(insert_params(submission)?);
    }
    let one = format!("({})", rows::marks(6));
    let sql = include_str!("late.sql").replace("{rows}", &vec![one; sorted.len()].join(", "));
    conn.exec_drop(sql, Params::Positional(params)).await?;

    let keys = vec!["(player = ? AND submission_id = ?)"; sorted.len()].join(" OR ");
    let sql = format!("SELECT player, submission_id, attempt FROM memora_srs_journal WHERE {keys}");
    let params = sorted.iter().flat_map(|s| {
        [
            Value::Bytes(s.key.player.as_str().as_bytes().to_vec()),
            Value::Bytes(s.key.submission.as_str().as_bytes().to_vec()),
        ]
    });
    let found: Vec<Row> = conn.exec(sql, Params::Positional(params.collect())).await?;
    found
        .into_iter()
        .map(|mut row| {
            let key = SubmissionKey {
                player: Player::stored(rows::text(&mut row, 0)?),
                submission: SubmissionId::parse("submission_id", &rows::text(&mut row, 1)?)?,
            };
            Ok((key, Attempt(fixed(rows::column(&mut row, 2)?)?)))
        })
        .collect()
}
