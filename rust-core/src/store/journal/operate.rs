//! What an operator sees of the journal and does to it. Keys are taken as the bytes that
//! they are: a row that the engine cannot read is one that an operator must reach.

use chrono::NaiveDateTime;
use mysql_async::prelude::Queryable;
use mysql_async::{Params, Row, TxOpts, Value};

use crate::servers::mariadb::MariaDb;
use crate::store::refusals::LOCK_WAIT_TIMEOUT;
use crate::store::{error_log, rows};
use crate::{Error, Result};

/// What became of a row, as an operator sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Its job is on the way.
    Pending,
    /// A sweeper saw to it that it has a job.
    Queued,
    /// Could not be applied and will be tried again.
    Retrying,
    /// Given up: waits for an operator.
    Failed,
    /// Came for an archived season.
    Late,
    /// In the tracker.
    Applied,
    /// Never to be applied.
    Dismissed,
}

impl State {
    /// All, in the order of a row's life.
    pub const ALL: [Self; 7] = [
        Self::Pending,
        Self::Queued,
        Self::Retrying,
        Self::Failed,
        Self::Late,
        Self::Applied,
        Self::Dismissed,
    ];
    /// Those of a row that is not applied yet.
    pub const UNAPPLIED: [Self; 5] = [
        Self::Pending,
        Self::Queued,
        Self::Retrying,
        Self::Failed,
        Self::Late,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Queued => "queued",
            Self::Retrying => "retrying",
            Self::Failed => "failed",
            Self::Late => "late",
            Self::Applied => "applied",
            Self::Dismissed => "dismissed",
        }
    }

    /// The state of this name.
    ///
    /// # Errors
    /// `InvalidInput`, with the names there are.
    pub fn parse(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|state| state.name() == name);
        found.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            Error::invalid(format!("state must be one of {names}"))
        })
    }

    /// As SQL.
    fn condition(self) -> &'static str {
        match self {
            Self::Pending => "state = 'pending'",
            Self::Queued => "state = 'queued'",
            Self::Retrying => "(state = 'failed' AND NOT next_try_at <=> '9999-12-31')",
            Self::Failed => "(state = 'failed' AND next_try_at = '9999-12-31')",
            Self::Late => "state = 'late'",
            Self::Applied => "state = 'applied'",
            Self::Dismissed => "state = 'dismissed'",
        }
    }
}

/// Which rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// In one of these states; empty: not applied yet.
    pub states: Vec<State>,
    /// Of this student, in stored spelling.
    pub player: Option<String>,
    /// Of this season, in stored spelling.
    pub season: Option<String>,
    /// Of this submission id.
    pub submission_id: Option<String>,
    /// That came at least so many seconds ago.
    pub older_than_s: Option<u64>,
}

impl Filter {
    fn sql(&self) -> (String, Vec<Value>) {
        let states: &[State] = if self.states.is_empty() {
            &State::UNAPPLIED
        } else {
            &self.states
        };
        let conditions: Vec<_> = states.iter().map(|state| state.condition()).collect();
        let mut sql = format!("({})", conditions.join(" OR "));
        if self.is_unapplied() {
            sql = format!("applied_at IS NULL AND {sql}");
        }
        let mut params = Vec::new();
        for (column, value) in [
            ("player", &self.player),
            ("season", &self.season),
            ("submission_id", &self.submission_id),
        ] {
            if let Some(value) = value {
                sql += &format!(" AND {column} = ?");
                params.push(Value::Bytes(value.clone().into_bytes()));
            }
        }
        if let Some(seconds) = self.older_than_s {
            sql += " AND created_at <= UTC_TIMESTAMP(6) - INTERVAL ? SECOND";
            params.push(seconds.into());
        }
        (sql, params)
    }

    /// Whether only rows that are not applied are meant.
    fn is_unapplied(&self) -> bool {
        self.states
            .iter()
            .all(|state| State::UNAPPLIED.contains(state))
    }
}

/// A row, without its answers. Times are UTC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Whose, as stored.
    pub player: Vec<u8>,
    /// Which submit, as stored.
    pub submission_id: Vec<u8>,
    /// Which season, as stored.
    pub season: Vec<u8>,
    /// What became of it.
    pub state: State,
    /// When it came.
    pub created_at: NaiveDateTime,
    /// When it was applied or dismissed.
    pub applied_at: Option<NaiveDateTime>,
    /// When a sweeper comes by.
    pub next_try_at: Option<NaiveDateTime>,
    /// How often it could not be applied.
    pub tries: u32,
    /// Why, the last time.
    pub error: Option<String>,
    /// Who works on it.
    pub claimed_by: Option<String>,
}

/// A row with what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whole {
    /// The row.
    pub entry: Entry,
    /// JSON of the batch, or whatever is there instead.
    pub payload: String,
    /// The attempt that won.
    pub attempt: Vec<u8>,
    /// When the cache was known to have it.
    pub cached_at: Option<NaiveDateTime>,
}

const COLUMNS: &str = "player, submission_id, season, state, created_at, applied_at, next_try_at, \
                       next_try_at <=> '9999-12-31', tries, error, claimed_by";

fn entry(row: &mut Row) -> Result<Entry> {
    let never: bool = rows::column(row, 7)?;
    let state = match rows::text(row, 3)?.as_str() {
        "failed" if never => State::Failed,
        "failed" => State::Retrying,
        name => State::parse(name)?,
    };
    let next_try_at: Option<NaiveDateTime> = rows::column(row, 6)?;
    Ok(Entry {
        player: rows::column(row, 0)?,
        submission_id: rows::column(row, 1)?,
        season: rows::column(row, 2)?,
        state,
        created_at: rows::column(row, 4)?,
        applied_at: rows::column(row, 5)?,
        next_try_at: next_try_at.filter(|_| !never),
        tries: rows::column(row, 8)?,
        error: rows::column(row, 9)?,
        claimed_by: rows::column(row, 10)?,
    })
}

/// Rows of the journal, `limit` of them after the first `start`: the oldest first where
/// only rows that are not applied are asked for, else the newest.
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn list(db: &MariaDb, filter: &Filter, start: u32, limit: u32) -> Result<Vec<Entry>> {
    let (condition, mut params) = filter.sql();
    let order = if filter.is_unapplied() {
        "created_at"
    } else {
        "applied_at DESC, next_try_at DESC, created_at DESC"
    };
    let sql = format!(
        "SELECT {COLUMNS} FROM memora_srs_journal WHERE {condition} ORDER BY {order} LIMIT ?, ?"
    );
    params.extend([start.into(), limit.into()]);
    let mut conn = db.conn().await?;
    let found: Vec<Row> = conn.exec(sql, Params::Positional(params)).await?;
    found.into_iter().map(|mut row| entry(&mut row)).collect()
}

/// How many rows there are.
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn count(db: &MariaDb, filter: &Filter) -> Result<u64> {
    let (condition, params) = filter.sql();
    let sql = format!("SELECT COUNT(*) FROM memora_srs_journal WHERE {condition}");
    let mut conn = db.conn().await?;
    let count: Option<u64> = conn.exec_first(sql, Params::from(params)).await?;
    Ok(count.unwrap_or_default())
}

/// One row with what it holds.
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn show(db: &MariaDb, player: &[u8], submission: &[u8]) -> Result<Option<Whole>> {
    let sql = format!(
        "SELECT {COLUMNS}, payload, attempt, cached_at FROM memora_srs_journal \
         WHERE player = ? AND submission_id = ?"
    );
    let mut conn = db.conn().await?;
    let row: Option<Row> = conn.exec_first(sql, (player, submission)).await?;
    let Some(mut row) = row else {
        return Ok(None);
    };
    Ok(Some(Whole {
        payload: rows::text(&mut row, 11)?,
        attempt: rows::column(&mut row, 12)?,
        cached_at: rows::column(&mut row, 13)?,
        entry: entry(&mut row)?,
    }))
}

/// Rows whose job's id ends with these digits, as bytes. A student who was renamed has the
/// row under the old name still, dismissed; it comes last.
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn of_job(db: &MariaDb, hash: &[u8]) -> Result<Vec<Entry>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM memora_srs_journal WHERE job_hash = ? \
         ORDER BY state = 'dismissed' LIMIT 10"
    );
    let mut conn = db.conn().await?;
    let found: Vec<Row> = conn.exec(sql, (hash,)).await?;
    found.into_iter().map(|mut row| entry(&mut row)).collect()
}

/// Puts a row that is not applied back, as if nobody had tried it. False if there is none.
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn retry(db: &MariaDb, player: &[u8], submission: &[u8]) -> Result<bool> {
    let mut conn = db.conn().await?;
    conn.exec_drop(include_str!("retry.sql"), (player, submission))
        .await?;
    if conn.affected_rows() > 0 {
        return Ok(true);
    }
    // Nor is a row affected that is as if nobody had tried it.
    let sql = "SELECT 1 FROM memora_srs_journal WHERE player = ? AND submission_id = ? \
               AND applied_at IS NULL AND state <> 'dismissed'";
    let found: Option<u8> = conn.exec_first(sql, (player, submission)).await?;
    Ok(found.is_some())
}

/// What is written about a row that is dismissed.
#[derive(Debug, Clone, Copy)]
pub struct Dismissal<'a> {
    /// Title of the Error Log's entry.
    pub title: &'a str,
    /// Its text before the payload.
    pub text: &'a str,
    /// Site wall time.
    pub now: NaiveDateTime,
    /// Who does it.
    pub by: &'a str,
}

/// Dismisses a row that is not applied: its payload goes to the Error Log in the same
/// transaction, and nobody applies the row or lays it over the table any more. False if
/// there is no such row.
///
/// # Errors
/// `Unavailable` if the database is away, or somebody works on the row.
pub async fn dismiss(
    db: &MariaDb,
    player: &[u8],
    submission: &[u8],
    dismissal: Dismissal<'_>,
) -> Result<bool> {
    let mut conn = db.conn().await?;
    let mut tx = conn.start_transaction(TxOpts::new()).await?;
    let lock = include_str!("lock_unapplied.sql");
    let row: Option<Row> = match tx.exec_first(lock, (player, submission)).await {
        Err(mysql_async::Error::Server(e)) if e.code == LOCK_WAIT_TIMEOUT => {
            let busy = "The row is being applied";
            return Err(Error::unavailable(busy, std::time::Duration::from_secs(1)));
        }
        row => row?,
    };
    let Some(mut row) = row else {
        tx.rollback().await?;
        return Ok(false);
    };
    let payload = rows::text(&mut row, 0)?;
    let text = format!("{}\n{payload}", dismissal.text);
    error_log::write_in(&mut tx, dismissal.title, &text, dismissal.now).await?;
    let by: String = dismissal.by.chars().take(140).collect();
    let audit = (by, player, submission);
    tx.exec_drop(include_str!("audit_dismissed.sql"), audit)
        .await?;
    tx.exec_drop(include_str!("dismiss.sql"), (player, submission))
        .await?;
    tx.commit().await?;
    Ok(true)
}

/// Whether an operator dismissed a row, by the audit.
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn was_dismissed(db: &MariaDb, row: &Entry) -> Result<bool> {
    let sql = "SELECT 1 FROM memora_srs_audit \
               WHERE player = ? AND submission_id = ? AND result = 'dismissed' LIMIT 1";
    let mut conn = db.conn().await?;
    let key = (row.player.as_slice(), row.submission_id.as_slice());
    let found: Option<u8> = conn.exec_first(sql, key).await?;
    Ok(found.is_some())
}
