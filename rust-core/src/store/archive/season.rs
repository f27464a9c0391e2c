//! What a season's own row says, read anew: whether it may be archived, and that it was.

use chrono::NaiveDateTime;
use mysql_async::prelude::Queryable;

use crate::Result;
use crate::servers::mariadb::MariaDb;
use crate::store::refusals::busy;
use crate::store::state::Held;
use crate::types::Season;

/// A season, as far as archiving needs it. Times: the site's wall time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeasonState {
    /// Its name, in the stored spelling.
    pub name: Season,
    /// New reviews belong to it.
    pub is_active: bool,
    /// When somebody last changed it.
    pub modified: Option<NaiveDateTime>,
    /// When it was archived.
    pub archived_on: Option<NaiveDateTime>,
}

type Columns = (String, bool, Option<NaiveDateTime>, Option<NaiveDateTime>);

impl From<Columns> for SeasonState {
    fn from((name, is_active, modified, archived_on): Columns) -> Self {
        Self {
            name: Season::stored(name),
            is_active,
            modified,
            archived_on,
        }
    }
}

/// The season called `name`, by the table's rules of equality.
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn state_of(db: &MariaDb, name: &str) -> Result<Option<SeasonState>> {
    let mut conn = db.conn().await?;
    let row: Option<Columns> = conn.exec_first(include_str!("season.sql"), (name,)).await?;
    Ok(row.map(SeasonState::from))
}

/// Seasons that are to be archived by themselves and were not, each with whether it is time:
/// it is not active, and over before `today`.
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn asking_for_archive(
    db: &MariaDb,
    today: chrono::NaiveDate,
) -> Result<Vec<(Season, bool)>> {
    let mut conn = db.conn().await?;
    let rows: Vec<(String, bool)> = conn.exec(include_str!("asking.sql"), (today,)).await?;
    let rows = rows.into_iter();
    Ok(rows
        .map(|(name, due)| (Season::stored(name), due))
        .collect())
}

/// Notes on the season that it is archived, and that it has no partition any more.
///
/// # Errors
/// `Unavailable` if somebody holds the season's row for seconds.
pub async fn mark_archived(
    held: &mut Held,
    season: &Season,
    at: NaiveDateTime,
    now: NaiveDateTime,
) -> Result<()> {
    let sql = include_str!("mark_archived.sql");
    let params = (at, now, season.as_str());
    let marked = held.conn().exec_drop(sql, params).await;
    marked.map_err(busy)
}

/// Notes on the season that its rows are in the tracker again.
///
/// # Errors
/// As [`mark_archived`].
pub async fn mark_restored(held: &mut Held, season: &Season, now: NaiveDateTime) -> Result<()> {
    let sql = include_str!("mark_restored.sql");
    let marked = held.conn().exec_drop(sql, (now, season.as_str())).await;
    marked.map_err(busy)
}
