//! One migration's connection: its lock against other migrations, bounded waiting for
//! tables, progress, and the record of where it stands.

use std::time::Duration;

use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Conn, Params, TxOpts};
use tokio::time::Instant;

use super::inspect::Table;
use super::{Options, Progress, Step};
use crate::servers::mariadb::MariaDb;
use crate::store::partitions::{self, Lock, OwnConnection};
use crate::store::refusals::{self, code, is_locked};
use crate::{Error, Result, failpoint};

/// Seconds that a statement waits for a row or a table. DDL has its own, shorter wait.
const STATEMENT_WAIT_S: u32 = 10;
/// Pause between two attempts at a lock.
const PAUSE: Duration = Duration::from_millis(200);
/// How often to ask the server how far an ALTER is.
const ASK: Duration = Duration::from_millis(500);

/// Rows that came in meanwhile do not fit. (A NULL in a column that is to be NOT NULL is one
/// of two numbers.)
const ROWS_DO_NOT_FIT: [u16; 4] = [
    refusals::DUPLICATE_KEY,
    refusals::DATA_TRUNCATED,
    refusals::INVALID_NULL,
    refusals::NO_PARTITION,
];

/// The native table that says where long work stands.
pub(super) const STATE_TABLE: &str = "memora_srs_state";
const READ_UNFINISHED: &str = include_str!("unfinished.sql");
const NOTE: &str = include_str!("note.sql");

/// See the module's documentation.
pub(super) struct Session<'a> {
    pub(super) conn: OwnConnection,
    pub(super) options: &'a Options,
    db: &'a MariaDb,
    progress: &'a mut (dyn FnMut(Progress) + Send),
    /// The database's name: the scope of failpoints.
    scope: String,
    /// Statements that changed something so far: names failpoints.
    writes: u32,
}

impl<'a> Session<'a> {
    /// Takes the lock against other migrations of this database. It belongs to the
    /// connection, so that a killed migration leaves none behind.
    pub(super) async fn open(
        db: &'a MariaDb,
        options: &'a Options,
        progress: &'a mut (dyn FnMut(Progress) + Send),
    ) -> Result<Self> {
        let mut conn = OwnConnection::open(db).await?;
        let scope = Self::prepare(&mut conn, options).await?;
        Ok(Self {
            conn,
            options,
            db,
            progress,
            scope,
            writes: 0,
        })
    }

    async fn prepare(conn: &mut Conn, options: &Options) -> Result<String> {
        conn.query_drop(format!(
            "SET SESSION lock_wait_timeout = {STATEMENT_WAIT_S}, \
             innodb_lock_wait_timeout = {STATEMENT_WAIT_S}, tx_isolation = 'READ-COMMITTED'"
        ))
        .await?;
        let scope: Option<String> = conn.query_first("SELECT DATABASE()").await?;
        let locked: Option<Option<bool>> = conn
            .exec_first(
                "SELECT GET_LOCK(CONCAT('memora_srs_migrate:', MD5(DATABASE())), ?)",
                (options.patience.as_secs_f64(),),
            )
            .await?;
        if locked.flatten() != Some(true) {
            return Err(Error::unavailable(
                "Another migration of this database is running, or the server still works \
                 on a statement of one that was stopped",
                Duration::from_secs(10),
            ));
        }
        Ok(scope.unwrap_or_default())
    }

    /// Says how far it is.
    pub(super) fn progress(&mut self, step: Step, table: &'static str, done: u64, total: u64) {
        (self.progress)(Progress {
            step,
            table,
            done,
            total,
        });
    }

    /// Notes which step begins, for whoever finds the migration unfinished.
    pub(super) async fn begin(&mut self, step: Step, table: &'static str) -> Result<()> {
        self.progress(step, table, 0, 0);
        let at = format!("{}, {table}", step.as_str());
        let note = serde_json::json!({"state": "running", "at": at}).to_string();
        self.conn.exec_drop(NOTE, (note,)).await?;
        Ok(())
    }

    /// Notes that all is done.
    pub(super) async fn finished(&mut self) -> Result<()> {
        let note = serde_json::json!({"state": "finished"}).to_string();
        self.conn.exec_drop(NOTE, (note,)).await?;
        Ok(())
    }

    /// Where an earlier migration stopped, if it did not finish.
    pub(super) async fn unfinished(&mut self) -> Result<Option<String>> {
        unfinished(&mut self.conn).await
    }

    /// What a table looks like now.
    pub(super) async fn table(&mut self, table: &str) -> Result<Table> {
        Table::read(&mut self.conn, table)
            .await?
            .ok_or_else(|| Error::not_found(format!("Table {table} does not exist")))
    }

    /// Reads rows.
    pub(super) async fn read<T>(&mut self, sql: String, params: impl Into<Params>) -> Result<Vec<T>>
    where
        T: FromRow + Send + 'static,
    {
        Ok(self.conn.exec(sql, params.into()).await?)
    }

    /// Runs one statement that stands for itself; the rows it changed. Repeated after a
    /// deadlock or a lock that somebody held for long.
    pub(super) async fn write(&mut self, sql: &str, params: impl Into<Params>) -> Result<u64> {
        self.write_all(sql, vec![params.into()]).await
    }

    /// As [`Self::write`], once for each of `rows` and all in one transaction. One
    /// statement for many rows would compare each row with each condition.
    pub(super) async fn write_all(&mut self, sql: &str, rows: Vec<Params>) -> Result<u64> {
        let deadline = Instant::now() + self.options.patience;
        let changed = loop {
            match write_once(&mut self.conn, sql, &rows).await {
                Ok(changed) => break changed,
                Err(e) if is_locked(&e) && Instant::now() < deadline => {
                    tokio::time::sleep(PAUSE).await;
                }
                Err(e) if is_locked(&e) => return Err(table_in_use(e)),
                Err(e) => return Err(e.into()),
            }
        };
        if changed > 0 {
            self.wrote().await?;
        }
        Ok(changed)
    }

    /// A test may stop the migration after any statement that changed something:
    /// `migrate_write_1`, `migrate_write_2`, …
    pub(super) async fn wrote(&mut self) -> Result<()> {
        self.writes += 1;
        failpoint::hit(&self.scope, &format!("migrate_write_{}", self.writes)).await
    }

    /// Runs DDL that is quick, or blocks nobody, once it has its lock.
    pub(super) async fn ddl(&mut self, sql: impl Fn(Lock) -> String) -> Result<()> {
        self.locked(sql).await?;
        self.wrote().await
    }

    async fn locked(&mut self, sql: impl Fn(Lock) -> String) -> Result<()> {
        let deadline = Instant::now() + self.options.patience;
        loop {
            match self.conn.query_drop(sql(Lock::NoWait)).await {
                Ok(()) => return Ok(()),
                Err(e) if is_locked(&e) && Instant::now() < deadline => {
                    tokio::time::sleep(PAUSE).await;
                }
                Err(e) if is_locked(&e) => return Err(table_in_use(e)),
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// ALTERs a table, reporting percent. False if rows that came in meanwhile do not
    /// fit: nothing changed then.
    pub(super) async fn alter(
        &mut self,
        table: &'static str,
        rebuilds: bool,
        body: &str,
    ) -> Result<bool> {
        let wait = if rebuilds {
            self.options.rebuild_wait_s
        } else {
            1
        };
        let deadline = Instant::now() + self.options.patience;
        loop {
            let altered = self.alter_once(table, Lock::Wait(wait), body).await;
            match altered {
                Ok(()) => {
                    self.wrote().await?;
                    return Ok(true);
                }
                Err(e) if code(&e).is_some_and(|c| ROWS_DO_NOT_FIT.contains(&c)) => {
                    return Ok(false);
                }
                Err(e) if is_locked(&e) && Instant::now() < deadline => {
                    tokio::time::sleep(PAUSE).await;
                }
                Err(e) if is_locked(&e) => return Err(table_in_use(e)),
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// One attempt, while a second connection asks how far it is.
    async fn alter_once(
        &mut self,
        table: &'static str,
        lock: Lock,
        body: &str,
    ) -> Result<(), mysql_async::Error> {
        let id = self.conn.id();
        // Without a second connection there are no percents, nothing worse.
        let mut watcher = self.db.conn().await.ok();
        let altering = partitions::alter(&mut self.conn, table, lock, body);
        tokio::pin!(altering);
        loop {
            tokio::select! {
                result = &mut altering => return result,
                () = tokio::time::sleep(ASK) => {}
            }
            let Some(watcher) = watcher.as_mut() else {
                continue;
            };
            let percent: Option<f64> = watcher
                .exec_first(include_str!("progress.sql"), (id,))
                .await
                .unwrap_or_default();
            if let Some(percent) = percent {
                (self.progress)(Progress {
                    step: Step::Shape,
                    table,
                    done: percent as u64,
                    total: 100,
                });
            }
        }
    }

    /// Drops a partition if it has no row. False if it has one.
    pub(super) async fn drop_empty_partition(&mut self, table: &str, name: &str) -> Result<bool> {
        let patience = self.options.patience;
        let dropped = partitions::drop_if_empty(&mut self.conn, table, name, patience).await;
        match dropped {
            Ok(true) => self.wrote().await.map(|()| true),
            Ok(false) => Ok(false),
            Err(e) if is_locked(&e) => Err(table_in_use(e)),
            Err(e) => Err(e.into()),
        }
    }
}

/// Where a migration stopped, if it did not finish. The table of states must be there.
pub(super) async fn unfinished(conn: &mut Conn) -> Result<Option<String>> {
    Ok(conn.query_first(READ_UNFINISHED).await?)
}

async fn write_once(
    conn: &mut Conn,
    sql: &str,
    rows: &[Params],
) -> Result<u64, mysql_async::Error> {
    let mut transaction = conn.start_transaction(TxOpts::default()).await?;
    let mut changed = 0;
    for row in rows {
        // Dropped with an error, the transaction is rolled back.
        transaction.exec_drop(sql, row).await?;
        changed += transaction.affected_rows();
    }
    transaction.commit().await?;
    Ok(changed)
}

fn table_in_use(e: mysql_async::Error) -> Error {
    Error::unavailable(
        "A table is in use by long queries or transactions; run the migration again when \
         they are over",
        Duration::from_secs(60),
    )
    .with_source(e)
}
