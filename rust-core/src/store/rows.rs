//! Between rows and states.

use mysql_async::{Row, Value, from_value_opt};

use crate::batch::{Batch, SubmissionKey};
use crate::site_time::SiteZone;
use crate::types::{QuestionId, QuestionState, Stability, UtcMicros, Version};
use crate::{Error, Result};

/// The columns of a tracker row, in the order of every SELECT of ours, from `at` on:
/// `question_id, stability, next_review_date, last_review_date, review_version, subject,
/// topic`.
pub(super) fn state(row: &mut Row, at: usize, zone: SiteZone) -> Result<QuestionState> {
    let stability: f64 = text(row, at + 1)?
        .parse()
        .map_err(|e| Error::internal("A stability is no number").with_source(e))?;
    Ok(QuestionState {
        question: QuestionId::stored(text(row, at)?),
        stability: Stability::from_f64(stability.clamp(0.0, Stability::MAX)),
        due: moment(row, at + 2, zone)?.unwrap_or(SiteZone::EARLIEST),
        last_review: moment(row, at + 3, zone)?,
        version: Version(column(row, at + 4)?),
        subject: optional_text(row, at + 5)?,
        topic: optional_text(row, at + 6)?,
    })
}

/// A DATETIME; `None` for NULL and for one that is no date, as '0000-00-00', which lax SQL
/// modes let in. Such a row must not keep a student from all others: as a due time, which
/// SQL compares as the past, it counts as the earliest, and the next answer mends it.
fn moment(row: &mut Row, at: usize, zone: SiteZone) -> Result<Option<UtcMicros>> {
    match column::<Value>(row, at)? {
        Value::NULL => Ok(None),
        value @ Value::Date(..) => Ok(from_value_opt::<chrono::NaiveDateTime>(value)
            .ok()
            .map(|wall| zone.to_utc(wall))),
        _ => Err(Error::internal("A column has another type")),
    }
}

/// The payload of a journal row.
pub(crate) fn batch(payload: &[u8]) -> Result<Batch> {
    let batch: Batch = serde_json::from_slice(payload)
        .map_err(|e| Error::internal("A journal row cannot be read").with_source(e))?;
    if !batch.is_known_format() {
        return Err(Error::internal(format!(
            "A journal row has format {}, newer than this program",
            batch.v
        )));
    }
    Ok(batch)
}

/// One column, by its place.
pub(super) fn column<T: mysql_async::prelude::FromValue>(row: &mut Row, at: usize) -> Result<T> {
    let value: Value = row
        .take(at)
        .ok_or_else(|| Error::internal("A row is too short"))?;
    from_value_opt(value).map_err(|e| Error::internal("A column has another type").with_source(e))
}

/// One column as the server sent it, left where it is.
pub(super) fn bytes(row: &Row, at: usize) -> Result<Vec<u8>> {
    match row.as_ref(at) {
        Some(Value::Bytes(bytes)) => Ok(bytes.clone()),
        _ => Err(Error::internal("A column has another type")),
    }
}

/// One text column; the server says binary when a union mixes it with a blob.
pub(super) fn text(row: &mut Row, at: usize) -> Result<String> {
    String::from_utf8(column(row, at)?)
        .map_err(|e| Error::internal("A column is not UTF-8").with_source(e))
}

fn optional_text(row: &mut Row, at: usize) -> Result<Option<String>> {
    column::<Option<Vec<u8>>>(row, at)?
        .map(String::from_utf8)
        .transpose()
        .map_err(|e| Error::internal("A column is not UTF-8").with_source(e))
        .map(|text| text.filter(|t| !t.is_empty()))
}

/// `?, ?, …` for a list of `n` parameters.
pub(super) fn marks(n: usize) -> String {
    let mut out = "?, ".repeat(n);
    out.truncate(out.len().saturating_sub(2));
    out
}

/// Rows of the statements that are made for many rows. Few sizes, so that a connection has
/// each of them prepared after a while, whatever comes together; more rows than the largest
/// brought nothing (500 and 2,000 measured alike).
const SIZES: [usize; 18] = [
    512, 384, 256, 192, 128, 96, 64, 48, 32, 24, 16, 12, 8, 6, 4, 3, 2, 1,
];

/// Splits so many rows over statements of few sizes.
pub(super) fn pieces(mut rows: usize) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let size = SIZES.into_iter().find(|size| *size <= rows)?;
        rows -= size;
        Some(size)
    })
}

/// These keys, the last one repeated until there are as many as a statement of few sizes
/// has ([`key_marks`]).
pub(super) fn padded(mut keys: Vec<&SubmissionKey>) -> Vec<&SubmissionKey> {
    if let Some(last) = keys.last().copied() {
        keys.resize(keys.len().next_power_of_two(), last);
    }
    keys
}

/// `(player = ? AND submission_id = ?) OR …`: MariaDB walks the journal's primary key for
/// this, but not for a list of row constructors.
pub(super) fn key_marks(n: usize) -> String {
    vec!["(player = ? AND submission_id = ?)"; n].join(" OR ")
}

/// The parameters of [`key_marks`].
pub(super) fn key_params<'a>(keys: impl IntoIterator<Item = &'a SubmissionKey>) -> Vec<Value> {
    keys.into_iter()
        .flat_map(|key| {
            [
                Value::Bytes(key.player.as_str().as_bytes().to_vec()),
                Value::Bytes(key.submission.as_str().as_bytes().to_vec()),
            ]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_in_one_piece() {
        for rows in 0..2_000 {
            let pieces: Vec<usize> = pieces(rows).collect();
            assert_eq!(pieces.iter().sum::<usize>(), rows);
            assert!(pieces.len() <= rows / 512 + 5, "{rows}: {pieces:?}");
        }
        assert_eq!(pieces(1_280).collect::<Vec<_>>(), [512, 512, 256]);
    }
}
