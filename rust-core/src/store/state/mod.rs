//! `memora_srs_state`: where long work stands, and who is at it.
//!
//! A row per piece of work, named `kind` or `kind:season`, holds JSON of that work's own.
//! The right to do it is a named lock of the database server, which belongs to a
//! connection: a process that dies leaves none behind, and one that lost its connection
//! cannot note anything more.

use mysql_async::prelude::Queryable;
use serde_json::Value;

use super::partitions::OwnConnection;
use crate::servers::mariadb::MariaDb;
use crate::{Error, Result};

/// A note and what is known of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Note {
    /// JSON of the work's own.
    pub value: Value,
    /// When it was written: UTC, ISO 8601 without an offset, by the database's clock.
    pub modified_at: String,
    /// Whether somebody is at this work now.
    pub running: bool,
}

/// The right to do one piece of work, held until this is dropped. Its notes go over the
/// connection that holds the right.
pub struct Held {
    conn: OwnConnection,
    name: String,
}

impl Held {
    /// Takes the right to do `name` if nobody has it.
    ///
    /// # Errors
    /// `Unavailable` if the database is away.
    pub async fn take(db: &MariaDb, name: &str) -> Result<Option<Self>> {
        let mut conn = OwnConnection::open(db).await?;
        let taken: Option<Option<i64>> = conn.exec_first(include_str!("take.sql"), (name,)).await?;
        Ok((taken.flatten() == Some(1)).then(|| Self {
            conn,
            name: name.to_owned(),
        }))
    }

    /// What was noted last.
    ///
    /// # Errors
    /// `Unavailable` if the connection, and with it the right, is lost; `Internal` for a
    /// note that cannot be read.
    pub async fn noted(&mut self) -> Result<Option<Value>> {
        let text: Option<String> = self
            .conn
            .exec_first(include_str!("read.sql"), (&self.name,))
            .await?;
        text.map(|text| parse(&text)).transpose()
    }

    /// Notes where the work stands. Committed when this returns.
    ///
    /// # Errors
    /// `Unavailable` if the connection, and with it the right, is lost.
    pub async fn note(&mut self, value: &Value) -> Result<()> {
        let note = (&self.name, value.to_string());
        self.conn.exec_drop(include_str!("note.sql"), note).await?;
        Ok(())
    }

    /// Forgets the note.
    ///
    /// # Errors
    /// `Unavailable` if the connection, and with it the right, is lost.
    pub async fn forget(&mut self) -> Result<()> {
        self.conn
            .exec_drop(include_str!("forget.sql"), (&self.name,))
            .await?;
        Ok(())
    }

    /// Gives the right back at once: dropping does so too, but only when the server notices.
    pub async fn release(mut self) {
        // Without a connection there is nothing to give back.
        let _ = self
            .conn
            .exec_drop(include_str!("release.sql"), (&self.name,))
            .await;
    }

    /// The connection that holds the right, for the work itself. A statement on it that
    /// outlives this process, because the server finishes it, holds the right until then:
    /// so whoever comes next never meets it.
    pub(in crate::store) fn conn(&mut self) -> &mut mysql_async::Conn {
        &mut self.conn
    }

    /// Fails if the right is lost: somebody else may be at the work.
    ///
    /// # Errors
    /// `Unavailable`, as for [`Held::note`].
    pub async fn check(&mut self) -> Result<()> {
        self.conn.query_drop("DO 0").await?;
        Ok(())
    }
}

/// Whether somebody is at this work now, noted or not.
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn is_held(db: &MariaDb, name: &str) -> Result<bool> {
    let mut conn = db.conn().await?;
    let held: Option<bool> = conn.exec_first(include_str!("held.sql"), (name,)).await?;
    Ok(held.unwrap_or(false))
}

/// The note of one piece of work.
///
/// # Errors
/// `Unavailable` if the database is away; `Internal` for a note that cannot be read.
pub async fn read(db: &MariaDb, name: &str) -> Result<Option<Note>> {
    Ok(select(db, include_str!("look.sql"), name)
        .await?
        .pop()
        .map(|(_, note)| note))
}

/// All notes of one kind, as (season, note) in the order of seasons.
///
/// # Errors
/// As [`read`].
pub async fn all(db: &MariaDb, kind: &str) -> Result<Vec<(String, Note)>> {
    let start = format!("{kind}:");
    let rows = select(db, include_str!("look_all.sql"), &start).await?;
    Ok(rows
        .into_iter()
        .filter_map(|(name, note)| Some((name.strip_prefix(&start)?.to_owned(), note)))
        .collect())
}

/// How many runs of a kind hold their right now, of all seasons and of single ones.
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn running(db: &MariaDb, kind: &str) -> Result<u64> {
    let mut conn = db.conn().await?;
    let held: Option<u64> = conn
        .exec_first(include_str!("running.sql"), (kind,))
        .await?;
    Ok(held.unwrap_or_default())
}

async fn select(db: &MariaDb, sql: &str, name: &str) -> Result<Vec<(String, Note)>> {
    let mut conn = db.conn().await?;
    let rows: Vec<(Vec<u8>, String, String, bool)> = conn.exec(sql, (name,)).await?;
    rows.into_iter()
        .map(|(name, text, modified_at, running)| {
            let name = String::from_utf8(name)
                .map_err(|e| Error::internal("A note's name cannot be read").with_source(e))?;
            let value = parse(&text)?;
            let note = Note {
                value,
                modified_at,
                running,
            };
            Ok((name, note))
        })
        .collect()
}

/// Adds to the list that `name` holds, of which the last `keep` stay.
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn append(db: &MariaDb, name: &str, entry: &Value, keep: usize) -> Result<()> {
    let mut conn = db.conn().await?;
    // Made first, so that there is a row to lock.
    conn.exec_drop(include_str!("begin_list.sql"), (name,))
        .await?;
    let mut tx = conn
        .start_transaction(mysql_async::TxOpts::default())
        .await?;
    let text: Option<String> = tx
        .exec_first(include_str!("read_to_change.sql"), (name,))
        .await?;
    let mut list = match text.map(|text| parse(&text)).transpose()? {
        Some(Value::Array(list)) => list,
        _ => Vec::new(),
    };
    list.push(entry.clone());
    list.drain(..list.len().saturating_sub(keep));
    let text = Value::Array(list).to_string();
    tx.exec_drop(include_str!("note.sql"), (name, text)).await?;
    tx.commit().await?;
    Ok(())
}

fn parse(text: &str) -> Result<Value> {
    serde_json::from_str(text)
        .map_err(|e| Error::internal("A note in memora_srs_state cannot be read").with_source(e))
}
