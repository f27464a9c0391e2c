//! From one name to another.
//!
//! A submit moves as a whole: journal row, log and audit in one transaction, under the same
//! id if it is free. In that order, too: when the journal is done no worker can write the
//! tracker under the old name any more, so that rows found there then are the last.

use std::collections::HashSet;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Params, Transaction, Value};
use sha2::{Digest, Sha256};

use super::{Moved, Piece, ROWS, bytes, fill, merge, piece, until_none, with_ids};
use crate::Result;
use crate::store::archive::ARCHIVE;
use crate::store::partitions::{TRACKER, quote_identifier};
use crate::store::rows;
use crate::types::Player;

/// Submits of a piece: up to 50 rows of the log each.
const SUBMITS: usize = 50;

type Done<T> = Result<T, mysql_async::Error>;
/// A submission id, as bytes.
type Id = Vec<u8>;

/// Moves everything; rows of the archive if `archived`.
pub(super) async fn all(
    conn: &mut Conn,
    old: &Player,
    new: &Player,
    archived: bool,
) -> Result<Moved> {
    let names = Names { old, new };
    let mut moved = Moved::default();
    for journaled in [true, false] {
        let mut page = Submits {
            names,
            journaled,
            after: Id::new(),
        };
        loop {
            let (last, counts) = piece(conn, &page).await?;
            moved.journal_rows += counts.journal_rows;
            moved.log_rows += counts.log_rows;
            moved.audit_rows += counts.audit_rows;
            match last {
                Some(last) => page.after = last,
                None => break,
            }
        }
    }
    // What is left in the audit belongs to nothing else.
    moved.audit_rows += until_none(conn, &Audit(names)).await?;
    let table = TRACKER;
    moved.tracker_rows = until_none(conn, &Rows { names, table }).await?;
    if archived {
        let table = ARCHIVE;
        moved.archived_rows = until_none(conn, &Rows { names, table }).await?;
    }
    Ok(moved)
}

#[derive(Clone, Copy)]
struct Names<'a> {
    old: &'a Player,
    new: &'a Player,
}

/// A page of submits: of the journal, or, when that is done, of what the log has besides.
struct Submits<'a> {
    names: Names<'a>,
    journaled: bool,
    /// Where the page before ended.
    after: Id,
}

impl Piece for Submits<'_> {
    /// Where the page ended, unless it is the last; and what was moved.
    type Done = (Option<Id>, Moved);

    async fn run(&self, tx: &mut Transaction<'_>) -> Done<Self::Done> {
        let names = self.names;
        let page = if self.journaled {
            include_str!("page.sql")
        } else {
            include_str!("log_page.sql")
        };
        let params = (bytes(names.old), &self.after, SUBMITS);
        let ids: Vec<Id> = tx.exec(page, params).await?;
        let mut moved = Moved::default();
        if ids.is_empty() {
            return Ok((None, moved));
        }
        let taken = names.taken(tx, &ids).await?;
        for id in &ids {
            let target = if taken.contains(id) {
                names.other_id(id)
            } else {
                id.clone()
            };
            self.submit(tx, id, &target, &mut moved).await?;
        }
        if self.journaled {
            let sql = with_ids(include_str!("bury.sql"), ids.len());
            tx.exec_drop(sql, list([bytes(names.old)], &ids)).await?;
        }
        let last = ids.last().filter(|_| ids.len() == SUBMITS).cloned();
        Ok((last, moved))
    }
}

impl Submits<'_> {
    async fn submit(
        &self,
        tx: &mut Transaction<'_>,
        id: &[u8],
        target: &[u8],
        moved: &mut Moved,
    ) -> Done<()> {
        let (old, new) = (bytes(self.names.old), bytes(self.names.new));
        if self.journaled {
            let clear = with_ids(include_str!("clear.sql"), 1);
            tx.exec_drop(clear, (&new, target)).await?;
            tx.exec_drop(include_str!("copy.sql"), (&new, target, &old, id))
                .await?;
            moved.journal_rows += tx.affected_rows();
        }
        for (table, rows) in [
            ("memora_srs_review_log", &mut moved.log_rows),
            ("memora_srs_audit", &mut moved.audit_rows),
        ] {
            let sql = format!(
                "UPDATE {table} SET player = ?, submission_id = ? \
                 WHERE player = ? AND submission_id = ?"
            );
            tx.exec_drop(sql, (&new, target, &old, id)).await?;
            *rows += tx.affected_rows();
        }
        Ok(())
    }
}

impl Names<'_> {
    /// Which of these ids the new name has used.
    async fn taken(&self, tx: &mut Transaction<'_>, ids: &[Id]) -> Done<HashSet<Id>> {
        let sql = with_ids(include_str!("taken.sql"), ids.len());
        let once: Vec<Value> = std::iter::once(bytes(self.new))
            .chain(ids.iter().map(|id| Value::Bytes(id.clone())))
            .collect();
        let found: Vec<Id> = tx
            .exec(sql, Params::Positional([once.clone(), once].concat()))
            .await?;
        Ok(found.into_iter().collect())
    }

    /// The id that a submit gets whose own is taken: always the same, so that it is one
    /// submit however often it is moved.
    fn other_id(&self, id: &[u8]) -> Id {
        let mut sha = Sha256::new();
        sha.update((self.old.as_str().len() as u64).to_be_bytes());
        sha.update(self.old.as_str());
        sha.update(id);
        let mut name = format!("moved_{}", hex::encode(sha.finalize()));
        name.truncate(46);
        name.into_bytes()
    }
}

/// Rows of the audit without a submit in journal or log.
struct Audit<'a>(Names<'a>);

impl Piece for Audit<'_> {
    type Done = u64;

    async fn run(&self, tx: &mut Transaction<'_>) -> Done<u64> {
        let sql = "UPDATE memora_srs_audit SET player = ? WHERE player = ? LIMIT ?";
        tx.exec_drop(sql, (bytes(self.0.new), bytes(self.0.old), ROWS))
            .await?;
        Ok(tx.affected_rows())
    }
}

/// Rows of the tracker or the archive, merged with those that the new name has.
struct Rows<'a> {
    names: Names<'a>,
    table: &'static str,
}

impl Piece for Rows<'_> {
    type Done = u64;

    async fn run(&self, tx: &mut Transaction<'_>) -> Done<u64> {
        let (old, new) = (self.names.old.as_str(), self.names.new.as_str());
        let params = (old, bytes(self.names.old), ROWS);
        let quoted = quote_identifier(self.table);
        let also = match self.table {
            ARCHIVE => fill(include_str!("stragglers_archived.sql"), &[]),
            _ => String::new(),
        };
        let values = [("table", &*quoted), ("also", &*also)];
        let stragglers = fill(include_str!("stragglers.sql"), &values);
        let names: Vec<Id> = tx.exec(stragglers, params).await?;
        if names.is_empty() {
            return Ok(0);
        }
        let only = format!("AND gone.name IN ({})", rows::marks(names.len()));
        let both = [Value::from(old), Value::from(new)];
        let (better, drop) = (
            merge::better(self.table, &only),
            merge::drop(self.table, &only),
        );
        for sql in [better, drop] {
            tx.exec_drop(sql, list(both.clone(), &names)).await?;
        }
        let ids = rows::marks(names.len());
        let values = [("table", &*quoted), ("ids", &*ids)];
        let sql = fill(include_str!("move_rows.sql"), &values);
        let who = [new, new, new, old].map(Value::from);
        tx.exec_drop(sql, list(who, &names)).await?;
        Ok(names.len() as u64)
    }
}

/// Parameters: some, then ids.
fn list(first: impl IntoIterator<Item = Value>, ids: &[Id]) -> Params {
    let ids = ids.iter().map(|id| Value::Bytes(id.clone()));
    Params::Positional(first.into_iter().chain(ids).collect())
}
