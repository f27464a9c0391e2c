//! Rows that the cache may lack (`cached_at` is NULL): a submit could not show its states
//! there, or nobody has looked yet.
//!
//! Whoever has made the cache good marks exactly the rows that were read *before*: of a row
//! that came since, nobody knows yet whether it shows.

use chrono::NaiveDateTime;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, IsolationLevel, Params, Row, TxOpts, Value};

use crate::Result;
use crate::batch::SubmissionKey;
use crate::servers::mariadb::MariaDb;
use crate::store::refusals::LOCK_WAIT_TIMEOUT;
use crate::store::rows;
use crate::types::{Player, Season, SubmissionId};

/// Rows marked by one statement.
const CHUNK: usize = 250;

/// A row that the cache may lack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unhealed {
    /// Which row.
    pub key: SubmissionKey,
    /// Its season.
    pub season: Season,
    /// Whether it is in the tracker.
    pub applied: bool,
}

/// A place among the rows, oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    created_at: NaiveDateTime,
    player: Vec<u8>,
    submission: Vec<u8>,
}

impl Place {
    /// Before all rows.
    pub fn start() -> Self {
        Self {
            // DATETIME's own zero is no date for chrono.
            created_at: chrono::DateTime::UNIX_EPOCH.naive_utc(),
            player: Vec::new(),
            submission: Vec::new(),
        }
    }
}

/// The database's clock, which `created_at` is of.
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn clock(db: &MariaDb) -> Result<NaiveDateTime> {
    let mut conn = db.conn().await?;
    let now: Option<NaiveDateTime> = conn.query_first("SELECT UTC_TIMESTAMP(6)").await?;
    now.ok_or_else(|| crate::Error::internal("The database has no clock"))
}

/// Up to `limit` rows created until `end`, after `place`, and where the next page begins if
/// there may be one.
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn page(
    db: &MariaDb,
    end: NaiveDateTime,
    place: &Place,
    limit: usize,
) -> Result<(Vec<Unhealed>, Option<Place>)> {
    let mut conn = db.conn().await?;
    let bytes = |bytes: &[u8]| Value::Bytes(bytes.to_vec());
    let params = vec![
        end.into(),
        place.created_at.into(),
        place.created_at.into(),
        place.created_at.into(),
        bytes(&place.player),
        bytes(&place.player),
        bytes(&place.submission),
        limit.into(),
    ];
    let found: Vec<Row> = conn
        .exec(include_str!("unhealed.sql"), Params::Positional(params))
        .await?;
    let is_full = found.len() >= limit;
    let (mut page, mut last) = (Vec::with_capacity(found.len()), None);
    for mut row in found {
        let place = Place {
            created_at: rows::column(&mut row, 3)?,
            player: rows::column(&mut row, 0)?,
            submission: rows::column(&mut row, 1)?,
        };
        // One that nobody can read is in nobody's schedule, and must not hold up the others.
        if let Some(key) = key(&place.player, &place.submission)
            && let Ok(season) = rows::text(&mut row, 2)
        {
            page.push(Unhealed {
                key,
                season: Season::stored(season),
                applied: rows::column::<i64>(&mut row, 4)? == 1,
            });
        }
        last = Some(place);
    }
    Ok((page, last.filter(|_| is_full)))
}

/// Up to `limit` rows of one student's season.
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn of(
    db: &MariaDb,
    player: &Player,
    season: &Season,
    limit: usize,
) -> Result<Vec<SubmissionKey>> {
    let mut conn = db.conn().await?;
    let params = (
        player.as_str().as_bytes(),
        season.as_str().as_bytes(),
        limit,
    );
    let found: Vec<Row> = conn.exec(include_str!("unhealed_of.sql"), params).await?;
    keys(found)
}

/// Marks rows: the cache lacks nothing of them. Those that a worker has locked stay as they
/// are: the worker marks them itself, or could not show them either.
///
/// # Errors
/// `Unavailable` if the database is away: part may be marked.
pub async fn mark(db: &MariaDb, healed: &[SubmissionKey]) -> Result<()> {
    if healed.is_empty() {
        return Ok(());
    }
    let mut conn = db.conn().await?;
    for chunk in healed.chunks(CHUNK) {
        mark_chunk(&mut conn, chunk).await?;
    }
    Ok(())
}

async fn mark_chunk(conn: &mut Conn, healed: &[SubmissionKey]) -> Result<()> {
    let sql = include_str!("healed.sql").replace("{keys}", &rows::key_marks(healed.len()));
    let params = Params::Positional(rows::key_params(healed));
    match conn.exec_drop(sql, params).await {
        Err(mysql_async::Error::Server(e)) if e.code == LOCK_WAIT_TIMEOUT => {}
        outcome => return Ok(outcome?),
    }
    let mut options = TxOpts::new();
    options.with_isolation_level(Some(IsolationLevel::ReadCommitted));
    let mut tx = conn.start_transaction(options).await?;
    let sql = include_str!("free.sql").replace("{keys}", &rows::key_marks(healed.len()));
    let params = Params::Positional(rows::key_params(healed));
    let free = keys(tx.exec(sql, params).await?)?;
    if !free.is_empty() {
        let sql = include_str!("healed.sql").replace("{keys}", &rows::key_marks(free.len()));
        let params = Params::Positional(rows::key_params(&free));
        tx.exec_drop(sql, params).await?;
    }
    Ok(tx.commit().await?)
}

fn keys(found: Vec<Row>) -> Result<Vec<SubmissionKey>> {
    let mut keys = Vec::with_capacity(found.len());
    for mut row in found {
        let player: Vec<u8> = rows::column(&mut row, 0)?;
        let submission: Vec<u8> = rows::column(&mut row, 1)?;
        keys.extend(key(&player, &submission));
    }
    Ok(keys)
}

fn key(player: &[u8], submission: &[u8]) -> Option<SubmissionKey> {
    let submission = std::str::from_utf8(submission).ok()?;
    Some(SubmissionKey {
        player: Player::stored(std::str::from_utf8(player).ok()?),
        submission: SubmissionId::parse("submission_id", submission).ok()?,
    })
}
