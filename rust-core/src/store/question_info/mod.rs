//! Subject and topic of rows that have neither.

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, IsolationLevel, Params, Transaction, TxOpts, Value};

use super::rows;
use crate::types::{Player, Season};

/// Ids in one statement.
const IDS: usize = 500;

/// The rows of a student and season, as parameters.
fn whose(player: &Player, season: &Season) -> Vec<Value> {
    vec![player.as_str().into(), season.as_str().into()]
}

/// Those of `ids`, in any spelling that the table takes for the same, whose row has
/// neither subject nor topic; in stored spelling.
///
/// # Errors
/// A server's error.
pub async fn without(
    conn: &mut Conn,
    player: &Player,
    season: &Season,
    ids: &[&str],
) -> Result<Vec<String>, mysql_async::Error> {
    without_on(conn, player, season, ids, "").await
}

async fn without_on(
    conn: &mut impl Queryable,
    player: &Player,
    season: &Season,
    ids: &[&str],
    lock: &str,
) -> Result<Vec<String>, mysql_async::Error> {
    let mut found = Vec::new();
    for ids in ids.chunks(IDS) {
        let sql = include_str!("without.sql").replace("{ids}", &rows::marks(ids.len())) + lock;
        let mut params = whose(player, season);
        params.extend(ids.iter().map(|id| Value::from(*id)));
        found.extend(
            conn.exec::<String, _, _>(sql, Params::Positional(params))
                .await?,
        );
    }
    Ok(found)
}

/// A transaction that holds the locks on rows without subject and topic.
pub struct Filling<'c> {
    tx: Transaction<'c>,
    /// Their questions, in stored spelling.
    pub questions: Vec<String>,
}

/// Locks those of the rows that have neither subject nor topic.
///
/// # Errors
/// A server's error; nothing has changed.
pub async fn begin<'c>(
    conn: &'c mut Conn,
    player: &Player,
    season: &Season,
    ids: &[&str],
) -> Result<Filling<'c>, mysql_async::Error> {
    let mut options = TxOpts::new();
    options.with_isolation_level(Some(IsolationLevel::ReadCommitted));
    let mut tx = conn.start_transaction(options).await?;
    let questions = without_on(&mut tx, player, season, ids, "FOR UPDATE").await?;
    Ok(Filling { tx, questions })
}

impl Filling<'_> {
    /// Sets subject and topic of these questions. Their order among reviews stays: neither
    /// due time nor version changes.
    ///
    /// # Errors
    /// A server's error; the transaction is then useless.
    pub async fn set(
        &mut self,
        player: &Player,
        season: &Season,
        (subject, topic): (Option<&str>, Option<&str>),
        now: chrono::NaiveDateTime,
        questions: &[&str],
    ) -> Result<(), mysql_async::Error> {
        for ids in questions.chunks(IDS) {
            let sql = include_str!("set.sql").replace("{ids}", &rows::marks(ids.len()));
            let mut params = vec![subject.into(), topic.into(), now.into()];
            params.extend(whose(player, season));
            params.extend(ids.iter().map(|id| Value::from(*id)));
            self.tx.exec_drop(sql, Params::Positional(params)).await?;
        }
        Ok(())
    }

    /// Makes it last.
    ///
    /// # Errors
    /// A server's error; whether it took place is then unknown.
    pub async fn commit(self) -> Result<(), mysql_async::Error> {
        self.tx.commit().await
    }

    /// Gives the locks back; nothing has changed.
    ///
    /// # Errors
    /// A server's error; the server then rolls back by itself.
    pub async fn roll_back(self) -> Result<(), mysql_async::Error> {
        self.tx.rollback().await
    }
}
