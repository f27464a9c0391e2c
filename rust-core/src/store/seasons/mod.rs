//! Seasons: which one is active, and what may be done with one.

use chrono::{NaiveDate, NaiveDateTime};
use mysql_async::prelude::Queryable;

use crate::Result;
use crate::servers::mariadb::MariaDb;
use crate::types::Season;

/// A Game Subscription Season, as far as reads and submits need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeasonRow {
    /// Its name, in the stored spelling.
    pub name: Season,
    /// New reviews belong to it.
    pub is_active: bool,
    /// Its schedules are cached.
    pub enable_redis: bool,
    /// First day.
    pub start_date: Option<NaiveDate>,
    /// Last day.
    pub end_date: Option<NaiveDate>,
    /// Its rows have moved to the archive.
    pub archived: bool,
    /// They are moving now, and may be neither here nor there.
    pub archiving: bool,
}

type Columns = (
    String,
    bool,
    bool,
    Option<NaiveDate>,
    Option<NaiveDate>,
    bool,
    bool,
    bool,
);

/// The season called `name`, by the table's rules of equality.
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn named(db: &MariaDb, name: &str) -> Result<Option<SeasonRow>> {
    let rows = read(db, name).await?;
    Ok(rows
        .into_iter()
        .find(|(_, asked)| *asked)
        .map(|(row, _)| row))
}

/// The active season at `today`: of several, one whose dates include today, then the one
/// that starts last, then by name.
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn active(db: &MariaDb, today: NaiveDate) -> Result<Option<SeasonRow>> {
    let rows = read(db, "").await?;
    Ok(choose(rows.into_iter().map(|(row, _)| row), today))
}

/// Seasons that are not archived.
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn open(db: &MariaDb) -> Result<Vec<Season>> {
    let mut conn = db.conn().await?;
    let names: Vec<String> = conn.query(include_str!("open.sql")).await?;
    Ok(names.into_iter().map(Season::stored).collect())
}

/// A season, as those who look after it see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name, in the stored spelling.
    pub name: Season,
    /// New reviews belong to it.
    pub is_active: bool,
    /// Its schedules are cached.
    pub enable_redis: bool,
    /// It is archived by itself once it is over.
    pub auto_archive: bool,
    /// First day.
    pub start_date: Option<NaiveDate>,
    /// Last day.
    pub end_date: Option<NaiveDate>,
    /// When its rows had moved to the archive, wall time of the site.
    pub archived_on: Option<NaiveDateTime>,
    /// Its cache is being compared with the table now, by a run of this season alone.
    pub reconciling: bool,
}

/// Seasons, at most so many: active ones first, archived ones last, then the latest.
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn all(db: &MariaDb, at_most: u32) -> Result<Vec<Listed>> {
    type Columns = (
        String,
        bool,
        bool,
        bool,
        Option<NaiveDate>,
        Option<NaiveDate>,
        Option<NaiveDateTime>,
        bool,
    );
    let mut conn = db.conn().await?;
    let rows: Vec<Columns> = conn.exec(include_str!("all.sql"), (at_most,)).await?;
    let listed = |row: Columns| {
        let (name, is_active, enable_redis, auto_archive, start, end, archived_on, reconciling) =
            row;
        Listed {
            name: Season::stored(name),
            is_active,
            enable_redis,
            auto_archive,
            start_date: start,
            end_date: end,
            archived_on,
            reconciling,
        }
    };
    Ok(rows.into_iter().map(listed).collect())
}

/// The stored spelling of a Game Subject, by the table's rules of equality.
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn subject(db: &MariaDb, name: &str) -> Result<Option<String>> {
    let mut conn = db.conn().await?;
    let sql = "SELECT name FROM `tabGame Subject` WHERE name = ?";
    Ok(conn.exec_first(sql, (name,)).await?)
}

async fn read(db: &MariaDb, name: &str) -> Result<Vec<(SeasonRow, bool)>> {
    let mut conn = db.conn().await?;
    let rows: Vec<Columns> = conn.exec(include_str!("seasons.sql"), (name, name)).await?;
    Ok(rows
        .into_iter()
        .map(
            |(name, is_active, enable_redis, start_date, end_date, archived, archiving, asked)| {
                let name = Season::stored(name);
                (
                    SeasonRow {
                        name,
                        is_active,
                        enable_redis,
                        start_date,
                        end_date,
                        archived,
                        archiving,
                    },
                    asked,
                )
            },
        )
        .collect())
}

fn choose(rows: impl Iterator<Item = SeasonRow>, today: NaiveDate) -> Option<SeasonRow> {
    let running = |row: &SeasonRow| {
        row.start_date.is_none_or(|d| d <= today) && row.end_date.is_none_or(|d| today <= d)
    };
    rows.filter(|row| row.is_active && !row.archived && !row.archiving)
        .max_by(|a, b| {
            (running(a), a.start_date)
                .cmp(&(running(b), b.start_date))
                .then_with(|| b.name.cmp(&a.name))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, start: Option<&str>, end: Option<&str>) -> SeasonRow {
        let day = |s: &str| s.parse().unwrap();
        SeasonRow {
            name: Season::stored(name),
            is_active: true,
            enable_redis: true,
            start_date: start.map(day),
            end_date: end.map(day),
            archived: false,
            archiving: false,
        }
    }

    fn chosen(rows: Vec<SeasonRow>) -> Option<String> {
        choose(rows.into_iter(), "2026-05-01".parse().unwrap()).map(|r| r.name.as_str().to_owned())
    }

    #[test]
    fn the_season_of_today_then_the_latest_start_then_the_name() {
        let now = row("now", Some("2026-01-01"), Some("2026-12-31"));
        let later = row("later", Some("2026-04-01"), Some("2026-12-31"));
        let next = row("next", Some("2027-01-01"), None);
        assert_eq!(
            chosen(vec![now.clone(), next.clone()]).as_deref(),
            Some("now")
        );
        assert_eq!(
            chosen(vec![now.clone(), later.clone(), next]).as_deref(),
            Some("later")
        );
        let twin = row("a", Some("2026-01-01"), Some("2026-12-31"));
        assert_eq!(chosen(vec![now.clone(), twin]).as_deref(), Some("a"));
        assert_eq!(
            chosen(vec![SeasonRow {
                is_active: false,
                ..now.clone()
            }]),
            None
        );
        assert_eq!(
            chosen(vec![SeasonRow {
                archived: true,
                ..now.clone()
            }]),
            None
        );
        assert_eq!(
            chosen(vec![SeasonRow {
                archiving: true,
                ..now
            }]),
            None
        );
    }
}
