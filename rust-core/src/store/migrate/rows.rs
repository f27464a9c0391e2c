//! Making rows fit the key: each has a season, a name of its own, and is its question's
//! only one.
//!
//! Everything here goes in chunks of autocommitted statements, and each chunk leaves
//! fewer such rows. A killed migration has nothing to undo.

use mysql_async::{Params, Value};

use super::inspect::Table;
use super::patches::{self, fill};
use super::session::Session;
use super::shape::{HELPER, Shape};
use super::{Step, TableReport};
use crate::Result;
use crate::store::partitions::{self, Values, quote_identifier};
use crate::types::new_ulid;

/// Rows without a season get `season`.
pub(super) async fn give_season(
    session: &mut Session<'_>,
    shape: &Shape,
    table: &Table,
    season: &str,
    report: &mut TableReport,
) -> Result<()> {
    session.begin(Step::Seasons, shape.table).await?;
    let has_default = table.partitions.iter().any(|p| p.values == Values::Default);
    let quoted = quote_identifier(shape.table);
    let find_end = fill(patches::ROWS_WITHOUT_SEASON, &[("table", &quoted)]);
    let mut after = String::new();
    loop {
        let rest = session.options.chunk.saturating_sub(1);
        let end: Option<String> = session
            .read(find_end.clone(), (&after, rest))
            .await?
            .into_iter()
            .next();
        if after.is_empty() && !is_any_without_season(session, &quoted).await? {
            return Ok(());
        }
        if after.is_empty() && table.by_season && !has_default {
            // The rows move into this partition.
            partitions::ensure_in(&mut session.conn, shape.table, season).await?;
        }
        let to = end.as_ref().map_or("", |_| "AND name <= ?");
        let update = fill(
            patches::GIVE_ROWS_A_SEASON,
            &[("table", &quoted), ("to", to)],
        );
        let params: Params = match &end {
            Some(end) => (season, &after, end).into(),
            None => (season, &after).into(),
        };
        report.rows_given_season += session.write(&update, params).await?;
        session.progress(Step::Seasons, shape.table, report.rows_given_season, 0);
        match end {
            Some(end) => after = end,
            None => break,
        }
    }
    merge_rows_that_meet(session, shape, season, report).await
}

async fn is_any_without_season(session: &mut Session<'_>, quoted: &str) -> Result<bool> {
    let sql = format!("SELECT 1 FROM {quoted} WHERE season IS NULL OR season = '' LIMIT 1");
    Ok(!session.read::<u8>(sql, ()).await?.is_empty())
}

/// Rows without a season whose question has a row in that season already, which only a
/// table that is unique already keeps apart.
async fn merge_rows_that_meet(
    session: &mut Session<'_>,
    shape: &Shape,
    season: &str,
    report: &mut TableReport,
) -> Result<()> {
    let quoted = quote_identifier(shape.table);
    let sql = fill(patches::ROWS_THAT_MEET, &[("table", &quoted)]);
    let give = format!(
        "UPDATE {quoted} SET season = ? WHERE name = ? AND (season IS NULL OR season = '')"
    );
    loop {
        let rows: Vec<(Value, Value, Value, Value, u64)> = session
            .read(sql.clone(), (session.options.chunk, season))
            .await?;
        let (winners, losers): (Vec<_>, Vec<_>) = rows
            .into_iter()
            .map(|(name, season, version, modified, place)| {
                (place, Found([name, season, version, modified]))
            })
            .partition(|(place, _)| *place == 1);
        let mut changed = delete(session, &quoted, losers.into_iter().map(|(_, row)| row)).await?;
        report.rows_merged += changed;
        // Nothing changes for a winner that was in the season before.
        let winners = winners
            .into_iter()
            .map(|(_, Found([name, ..]))| vec![Value::from(season), name].into())
            .collect();
        let given = session.write_all(&give, winners).await?;
        report.rows_given_season += given;
        changed += given;
        if changed == 0 {
            // All is well, or others write these rows right now: the caller looks again.
            return Ok(());
        }
    }
}

/// Of rows in different seasons that share a name, all but the best get a new one.
pub(super) async fn make_names_unique(
    session: &mut Session<'_>,
    shape: &Shape,
    table: &Table,
    report: &mut TableReport,
) -> Result<()> {
    if has_unique_names(table) {
        return Ok(());
    }
    session.begin(Step::Names, shape.table).await?;
    let quoted = quote_identifier(shape.table);
    let sql = fill(patches::NAMES_USED_TWICE, &[("table", &quoted)]);
    let rename = format!("UPDATE {quoted} SET name = ? WHERE name = ? AND season = ?");
    let mut after = String::new();
    loop {
        let rows: Vec<(String, String, u64)> = session
            .read(sql.clone(), (&after, session.options.chunk))
            .await?;
        let Some((last, ..)) = rows.last() else {
            return Ok(());
        };
        after.clone_from(last);
        let renames = rows
            .iter()
            .filter(|(.., place)| *place > 1)
            .map(|(name, season, _)| (new_ulid(), name, season).into())
            .collect();
        report.rows_renamed += session.write_all(&rename, renames).await?;
        session.progress(Step::Names, shape.table, report.rows_renamed, 0);
    }
}

/// Whether the key itself keeps names apart.
pub(super) fn has_unique_names(table: &Table) -> bool {
    table
        .indexes
        .iter()
        .any(|i| i.name == "PRIMARY" && i.columns == ["name"])
}

/// Of the rows of one question in one season, all but the best are deleted.
pub(super) async fn merge_duplicates(
    session: &mut Session<'_>,
    shape: &Shape,
    report: &mut TableReport,
) -> Result<()> {
    session.begin(Step::Duplicates, shape.table).await?;
    let quoted = quote_identifier(shape.table);
    let any: Vec<u8> = session
        .read(format!("SELECT 1 FROM {quoted} LIMIT 1"), ())
        .await?;
    if any.is_empty() {
        return Ok(());
    }
    let table = session.table(shape.table).await?;
    let mut values = vec![("table", quoted.as_str()), ("index", HELPER)];
    if !table.indexes.iter().any(|i| i.name == HELPER) {
        session
            .ddl(|lock| {
                let lock = lock.to_string();
                let mut values = values.clone();
                values.push(("lock", &lock));
                fill(patches::INDEX_DUPLICATES, &values)
            })
            .await?;
    }
    let count = fill(patches::COUNT_INDEXED_DUPLICATES, &values);
    let too_many: Vec<u64> = session.read(count, ()).await?;
    let total = report.rows_merged + too_many.first().copied().unwrap_or_default();
    values.push(("after", "TRUE"));
    let mut after: Option<[Value; 3]> = None;
    loop {
        let sql = fill(patches::DUPLICATES, &values);
        let rows: Vec<(Value, Value, Value, Value, u64, Value, Value)> = session
            .read(sql, page(after.as_ref(), session.options.chunk))
            .await?;
        let Some((_, season, _, _, _, player, question)) = rows.last() else {
            return Ok(());
        };
        after = Some([player.clone(), season.clone(), question.clone()]);
        values[2] = ("after", AFTER);
        let losers = rows
            .into_iter()
            .filter(|(_, _, _, _, place, ..)| *place > 1)
            .map(|(name, season, version, modified, ..)| Found([name, season, version, modified]));
        report.rows_merged += delete(session, &quoted, losers).await?;
        session.progress(Step::Duplicates, shape.table, report.rows_merged, total);
    }
}

/// Keyset of (player, season, question), spelt out because MariaDB finds no range in a
/// comparison of rows.
const AFTER: &str = "(player > ? OR (player = ? AND season > ?) \
                     OR (player = ? AND season = ? AND question_id > ?))";

fn page(after: Option<&[Value; 3]>, questions: u32) -> Vec<Value> {
    let mut params = Vec::new();
    if let Some([player, season, question]) = after {
        params.extend([player, player, season, player, season, question].map(Clone::clone));
    }
    params.push(questions.into());
    params
}

/// Rows deleted in one transaction at most.
const ROWS_AT_ONCE: usize = 1000;

/// A row as it was found: name, season, version, modified. It is deleted only as long as
/// it is that: a newer review may have arrived in it since.
struct Found([Value; 4]);

/// Deletes rows; how many still were as found.
async fn delete(
    session: &mut Session<'_>,
    quoted: &str,
    rows: impl Iterator<Item = Found>,
) -> Result<u64> {
    let sql = format!(
        "DELETE FROM {quoted} \
         WHERE name = ? AND season <=> ? AND review_version = ? AND modified <=> ?"
    );
    let rows: Vec<Params> = rows.map(|Found(row)| row.to_vec().into()).collect();
    let mut deleted = 0;
    for part in rows.chunks(ROWS_AT_ONCE) {
        deleted += session.write_all(&sql, part.to_vec()).await?;
    }
    Ok(deleted)
}
