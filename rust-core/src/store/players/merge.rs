//! Two Users become one: the statements that Frappe's transaction runs for it, and the
//! note of it that they leave.

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Value};

use super::fill;
use crate::Result;
use crate::store::archive::ARCHIVE;
use crate::store::partitions::TRACKER;
use crate::types::Player;

/// The trackers that Frappe renames the player in.
const TABLES: [&str; 2] = [TRACKER, ARCHIVE];
/// Before the name of the User in the name of its note.
const NOTE: &str = "merged:";
/// Notes deleted at once.
const NOTES: u32 = 100;

/// A statement for Frappe's own connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// SQL with `%s` for each parameter, as `frappe.db.sql` takes it.
    pub sql: String,
    /// The parameters, all of them text.
    pub params: Vec<String>,
}

/// See [`crate::services::players::merge_rows`].
pub(crate) fn statements(old: &Player, new: &Player) -> Vec<Statement> {
    let both = [old.to_string(), new.to_string()];
    let of_table = |table: &&str| {
        [better(table, ""), drop(table, "")].map(|sql| for_frappe(&sql, both.to_vec()))
    };
    let mut all: Vec<Statement> = TABLES.iter().flat_map(of_table).collect();
    let note = fill(include_str!("merge_note.sql"), &[]);
    all.push(for_frappe(&note, vec![note_name(old), new.to_string()]));
    all
}

/// Where both have a row of one question, the newer state into the row under the new name;
/// `only` narrows it down to some rows of the old name.
pub(super) fn better(table: &str, only: &str) -> String {
    let table = format!("`{table}`");
    fill(
        include_str!("merge_better.sql"),
        &[("table", &table), ("only", only)],
    )
}

/// After [`better`]: away with the row under the old name.
pub(super) fn drop(table: &str, only: &str) -> String {
    let table = format!("`{table}`");
    fill(
        include_str!("merge_drop.sql"),
        &[("table", &table), ("only", only)],
    )
}

fn for_frappe(sql: &str, params: Vec<String>) -> Statement {
    Statement {
        sql: sql.replace('?', "%s"),
        params,
    }
}

fn note_name(old: &Player) -> String {
    format!("{NOTE}{old}")
}

/// Into whom this User was merged, not long ago.
pub(super) async fn noted(conn: &mut Conn, old: &Player) -> Result<Option<Player>> {
    let name = Value::Bytes(note_name(old).into_bytes());
    let into: Option<Option<String>> = conn
        .exec_first(include_str!("merge_noted.sql"), (name,))
        .await?;
    Ok(into.flatten().map(Player::stored))
}

/// Deletes notes that count no more.
pub(super) async fn forget(conn: &mut Conn) -> Result<()> {
    let params = (format!("{NOTE}%"), NOTES);
    Ok(conn
        .exec_drop(include_str!("forget_notes.sql"), params)
        .await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_as_frappe_takes_them() {
        let all = statements(&Player::stored("a'b%s"), &Player::stored("new?"));
        assert_eq!(all.len(), 5);
        for statement in all {
            let sql = &statement.sql;
            assert!(
                !sql.contains(['?', '{', ';']) && !sql.contains("--"),
                "{sql}"
            );
            assert_eq!(sql.matches('%').count(), statement.params.len());
            assert_eq!(sql.matches("%s").count(), statement.params.len());
        }
    }
}
