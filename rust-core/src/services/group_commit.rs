//! Group commit of the journal: submits that come while a statement is under way are written
//! together by the next one. Each is answered only after the commit that holds its row, and
//! with what became of its own row.
//!
//! A submit that meets nobody is written at once, by itself. Where statements take long, more
//! are begun beside them: nobody waits more than a moment for others' statements to end.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};

use crate::batch::Submission;
use crate::servers::mariadb::MariaDb;
use crate::store::journal::{self, Inserted, JournalRow};
use crate::{Error, Result};

/// Statements under way at once, as a rule.
const WRITERS: usize = 2;
/// ... and at most, where they take long.
const MOST_WRITERS: usize = 16;
/// How long a submit waits for others' statements before one more is begun.
const A_MOMENT: Duration = Duration::from_millis(2);
/// Rows of a statement at most: some 600 KiB.
const ROWS: usize = 32;

/// Writes the journal of one site. See the module's documentation.
pub(super) struct GroupCommit {
    db: Arc<MariaDb>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Waiting>,
    writers: usize,
}

struct Waiting {
    row: JournalRow,
    deadline: Instant,
    outcome: oneshot::Sender<Result<Inserted>>,
}

impl GroupCommit {
    pub(super) fn new(db: Arc<MariaDb>) -> Arc<Self> {
        Arc::new(Self {
            db,
            state: Mutex::default(),
        })
    }

    /// Makes a submit's row: what became of it, by `deadline`.
    ///
    /// # Errors
    /// `Unavailable` or `Internal`: the row may or may not be there, or come later.
    pub(super) async fn insert(
        self: &Arc<Self>,
        submission: &Submission,
        deadline: Instant,
    ) -> Result<Inserted> {
        let row = JournalRow::new(submission)?;
        let (teller, mut outcome) = oneshot::channel();
        self.state().waiting.push_back(Waiting {
            row,
            deadline,
            outcome: teller,
        });
        self.write_if_fewer_than(WRITERS);
        let told = match timeout(A_MOMENT, &mut outcome).await {
            Ok(told) => told,
            Err(_) => {
                self.write_if_fewer_than(MOST_WRITERS);
                let slow = |elapsed| too_slow().with_source(elapsed);
                timeout_at(deadline, outcome).await.map_err(slow)?
            }
        };
        told.unwrap_or_else(|ended| Err(too_slow().with_source(ended)))
    }

    /// One more who writes, if there is something to write and not so many do already.
    fn write_if_fewer_than(self: &Arc<Self>, most: usize) {
        let mut state = self.state();
        if state.waiting.is_empty() || state.writers >= most {
            return;
        }
        state.writers += 1;
        let turn = Turn {
            group: self.clone(),
            is_over: false,
        };
        tokio::spawn(turn.write());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes some rows in one statement, and tells those who wait for them.
    async fn write(&self, waiting: Vec<Waiting>) {
        // Whoever waits less has left by then.
        let Some(deadline) = waiting.iter().map(|one| one.deadline).max() else {
            return;
        };
        let (rows, outcomes): (Vec<_>, Vec<_>) = waiting
            .into_iter()
            .map(|one| (one.row, one.outcome))
            .unzip();
        let written = match self.insert_all(&rows, deadline).await {
            Ok(written) => written,
            Err(error) => vec![Err(error); rows.len()],
        };
        for (outcome, written) in outcomes.into_iter().zip(written) {
            // Who is gone went without the journal.
            let _ = outcome.send(written);
        }
    }

    async fn insert_all(
        &self,
        rows: &[JournalRow],
        deadline: Instant,
    ) -> Result<Vec<Result<Inserted>>> {
        let limit = deadline.saturating_duration_since(Instant::now());
        let mut conn = self.db.conn_within(limit).await?;
        match timeout_at(deadline, journal::insert_all(&mut conn, rows)).await {
            Ok(written) => {
                if written.iter().any(Result::is_err) {
                    MariaDb::discard(conn);
                }
                Ok(written)
            }
            Err(elapsed) => {
                // The statement may still be running: its connection must not be reused.
                MariaDb::discard(conn);
                Err(too_slow().with_source(elapsed))
            }
        }
    }
}

fn too_slow() -> Error {
    Error::unavailable("The journal is too slow", Duration::from_secs(1))
}

/// Somebody who writes as long as there is something to write.
struct Turn {
    group: Arc<GroupCommit>,
    is_over: bool,
}

impl Turn {
    async fn write(mut self) {
        while let Some(some) = self.next() {
            self.group.write(some).await;
        }
    }

    /// What to write next; with nothing left, the turn is over in the same step, so that
    /// whoever comes then begins one.
    fn next(&mut self) -> Option<Vec<Waiting>> {
        let mut state = self.group.state();
        // Nobody waits for these any more.
        state.waiting.retain(|one| !one.outcome.is_closed());
        let size = journal::statement_size(state.waiting.len().min(ROWS));
        if size == 0 {
            state.writers -= 1;
            drop(state);
            self.is_over = true;
            return None;
        }
        Some(state.waiting.drain(..size).collect())
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.is_over {
            self.group.state().writers -= 1;
        }
    }
}
