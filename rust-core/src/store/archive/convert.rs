//! The detached table becomes a partition of the archive: columns by instant changes,
//! indexes built once and sorted, then the table is taken in as it is.

use std::collections::HashSet;

use chrono::NaiveDateTime;
use mysql_async::Conn;

use super::definition::{Definition, Key};
use super::{ARCHIVE, alter_in_use, exists_on, has_rows, quote_identifier, sql_literal};
use crate::store::partitions::{self, partition_name};
use crate::store::state::Held;
use crate::types::Season;
use crate::{Error, Result};

/// Gives the detached table the archive's columns, in its order; `archived_at` of all rows
/// is this wall time of the site. No row is written for it, unless a column has another
/// type there.
///
/// # Errors
/// `Internal` if the server refuses, for a value that does not fit; `Unavailable` if the
/// connection is lost.
pub async fn shape(held: &mut Held, table: &str, archived_at: NaiveDateTime) -> Result<()> {
    let conn = held.conn();
    let archive = Definition::of(conn, ARCHIVE).await?;
    let mut now = Definition::of(conn, table).await?;
    if now.column("archived_at").is_none() {
        // The rows keep the default that was there when the column came.
        let at = archived_at.format("%Y-%m-%d %H:%M:%S%.6f");
        let add = format!("ADD COLUMN `archived_at` datetime(6) DEFAULT '{at}'");
        alter(conn, table, &add).await?;
        now = Definition::of(conn, table).await?;
    }
    let clauses = column_clauses(&now, &archive);
    match clauses.is_empty() {
        true => Ok(()),
        false => alter(conn, table, &clauses.join(", ")).await,
    }
}

/// What makes the columns of `now` those of `wanted`, from the first that differs on.
fn column_clauses(now: &Definition, wanted: &Definition) -> Vec<String> {
    let alike = now.columns.iter().zip(&wanted.columns);
    let alike = alike.take_while(|(a, b)| a == b).count();
    if alike == wanted.columns.len() {
        return Vec::new();
    }
    let mut place = match alike.checked_sub(1) {
        Some(last) => format!("AFTER {}", quote_identifier(&wanted.columns[last].name)),
        None => "FIRST".to_owned(),
    };
    let mut clauses = Vec::new();
    for column in &wanted.columns[alike..] {
        let verb = match now.column(&column.name) {
            Some(_) => "MODIFY",
            None => "ADD",
        };
        clauses.push(format!("{verb} COLUMN {} {place}", column.sql()));
        place = format!("AFTER {}", quote_identifier(&column.name));
    }
    clauses
}

/// Gives a table of ours the archive's indexes. What takes long is here: sorting the rows.
/// Others may read it meanwhile.
///
/// # Errors
/// `Internal` if the server refuses; `Unavailable` if the connection is lost.
pub async fn index(held: &mut Held, table: &str) -> Result<()> {
    let conn = held.conn();
    let archive = Definition::of(conn, ARCHIVE).await?;
    let now = Definition::of(conn, table).await?;
    let clauses = key_clauses(&now.keys, &archive.keys);
    match clauses.is_empty() {
        true => Ok(()),
        false => alter(conn, table, &clauses.join(", ")).await,
    }
}

/// What makes the indexes `now` those that are `wanted`. The same under another name is
/// renamed, which is instant.
fn key_clauses(now: &[Key], wanted: &[Key]) -> Vec<String> {
    let mut clauses = Vec::new();
    let mut have: Vec<&str> = Vec::new();
    for key in now.iter().filter(|key| !key.is_primary()) {
        if wanted.contains(key) {
            have.push(&key.name);
            continue;
        }
        let free =
            |w: &&Key| !now.iter().any(|k| k.name == w.name) && !have.contains(&w.name.as_str());
        let name = quote_identifier(&key.name);
        match wanted.iter().filter(|w| w.is_like(key)).find(free) {
            Some(same) => {
                let new = quote_identifier(&same.name);
                clauses.push(format!("RENAME INDEX {name} TO {new}"));
                have.push(&same.name);
            }
            None => clauses.push(format!("DROP INDEX {name}")),
        }
    }
    let missing = wanted
        .iter()
        .filter(|w| !w.is_primary() && !have.contains(&w.name.as_str()));
    clauses.extend(missing.map(|key| format!("ADD {}", key.sql())));
    clauses
}

/// Takes the table into the archive as the season's partition; the server looks at each
/// row. Done before (the table is gone, or empty), nothing happens.
///
/// # Errors
/// `Internal` if the archive has rows of the season already or the server refuses;
/// `Unavailable` if the archive's lock cannot be had within a minute.
pub async fn attach(held: &mut Held, table: &str, season: &Season) -> Result<()> {
    let conn = held.conn();
    if !exists_on(conn, table).await? || !has_rows(conn, table, None).await? {
        return super::drop_own(held, table).await;
    }
    if partitions::has(conn, ARCHIVE, season.as_str()).await? {
        exchange(conn, table, season).await?;
        return super::drop_own(held, table).await;
    }
    let partitions = partitions::list(conn, ARCHIVE).await?;
    let taken: HashSet<String> = partitions.iter().map(|p| p.name.to_lowercase()).collect();
    let body = format!(
        "CONVERT TABLE {} TO PARTITION {} VALUES IN ({})",
        quote_identifier(table),
        quote_identifier(&partition_name(season.as_str(), &taken)),
        sql_literal(season.as_str())
    );
    alter_in_use(conn, ARCHIVE, &body).await
}

/// As [`attach`], where the server cannot convert: the copy and an empty partition of the
/// archive change places.
///
/// # Errors
/// As [`attach`].
pub async fn become_partition(held: &mut Held, copy: &str, season: &Season) -> Result<()> {
    let conn = held.conn();
    if !exists_on(conn, copy).await? || !has_rows(conn, copy, None).await? {
        return Ok(());
    }
    partitions::ensure_in(conn, ARCHIVE, season.as_str()).await?;
    exchange(conn, copy, season).await
}

/// Exchanges the table for the season's partition, which must be empty. Only archiving
/// writes to the archive, one run of a season at a time: what is empty stays so.
async fn exchange(conn: &mut Conn, table: &str, season: &Season) -> Result<()> {
    if has_rows(conn, ARCHIVE, Some(season)).await? {
        let message = format!("The archive has rows of {season} that nobody expected");
        return Err(Error::internal(message));
    }
    let Some(partition) = partitions::own_in(conn, ARCHIVE, season.as_str()).await? else {
        return Err(Error::internal("A partition that was just there is gone"));
    };
    let body = format!(
        "EXCHANGE PARTITION {} WITH TABLE {}",
        quote_identifier(&partition),
        quote_identifier(table)
    );
    alter_in_use(conn, ARCHIVE, &body).await
}

/// ALTERs a table that only archiving knows.
async fn alter(conn: &mut Conn, table: &str, clauses: &str) -> Result<()> {
    let sql = format!("ALTER TABLE {} {clauses}", quote_identifier(table));
    super::retry(conn, table, &sql).await
}

#[cfg(test)]
mod tests {
    use super::super::definition::Column;
    use super::*;

    fn columns(names: &[(&str, &str)]) -> Definition {
        let columns = names.iter().map(|(name, rest)| Column {
            name: (*name).to_owned(),
            rest: (*rest).to_owned(),
        });
        Definition {
            columns: columns.collect(),
            keys: Vec::new(),
            options: String::new(),
        }
    }

    fn key(name: &str, kind: &str, rest: &str) -> Key {
        Key {
            name: name.to_owned(),
            kind: kind.to_owned(),
            rest: rest.to_owned(),
        }
    }

    #[test]
    fn columns_change_from_the_first_that_differs() {
        let now = columns(&[("name", "t"), ("b", "t"), ("a", "t")]);
        assert!(column_clauses(&now, &now).is_empty());
        let wanted = columns(&[("name", "t"), ("a", "t"), ("b", "u"), ("c", "t")]);
        assert_eq!(
            column_clauses(&now, &wanted),
            [
                "MODIFY COLUMN `a` t AFTER `name`",
                "MODIFY COLUMN `b` u AFTER `a`",
                "ADD COLUMN `c` t AFTER `b`"
            ]
        );
    }

    #[test]
    fn indexes_are_renamed_where_they_can_be() {
        let now = [
            key("PRIMARY", "PRIMARY KEY", "(`name`)"),
            key("modified", "KEY", "(`modified`)"),
            key("uq_pmt", "UNIQUE KEY", "(`player`)"),
            key("idx", "KEY", "(`player`,`season`)"),
        ];
        let wanted = [
            key("PRIMARY", "PRIMARY KEY", "(`name`)"),
            key("uq_amt", "UNIQUE KEY", "(`player`)"),
            key("modified", "KEY", "(`modified`)"),
            key("season", "KEY", "(`season`)"),
        ];
        assert_eq!(
            key_clauses(&now, &wanted),
            [
                "RENAME INDEX `uq_pmt` TO `uq_amt`",
                "DROP INDEX `idx`",
                "ADD KEY `season` (`season`)"
            ]
        );
        assert!(key_clauses(&wanted, &wanted).is_empty());
    }
}
