//! What a migration would do, without doing it.

use std::time::Duration;

use chrono::{NaiveDate, NaiveDateTime};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use serde::Serialize;

use super::inspect::{self, Table};
use super::patches::{self, fill};
use super::shape::{ARCHIVE, Change, Shape, TRACKER};
use super::{JOURNAL, SEASONS, rows, session};
use crate::servers::mariadb::MariaDb;
use crate::store::partitions::{self, DEFAULT_SEASON, OwnConnection, quote_identifier};
use crate::store::refusals::{UNKNOWN_COLUMN, code};
use crate::{Error, Result};

/// What a migration would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// What forbids it, each with its remedy.
    pub problems: Vec<String>,
    /// Where an earlier migration stopped, if it did not finish.
    pub unfinished: Option<String>,
    /// The season that rows of the tracker without one will get; those of the archive get
    /// SEASON-DEFAULT.
    pub season_for_rows: String,
    /// Native tables that will be made.
    pub tables_to_make: Vec<&'static str>,
    /// What will be done to Frappe's tables.
    pub tables: Vec<TablePlan>,
    /// Roughly how long it takes on an ordinary machine with nothing else to do.
    pub estimate: Duration,
}

impl Plan {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.tables_to_make.is_empty()
            && self.unfinished.is_none()
            && self.tables.iter().all(TablePlan::is_empty)
    }
}

impl TablePlan {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.partitions_to_make.is_empty()
    }
}

/// What will be done to one table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct TablePlan {
    /// Which.
    pub table: &'static str,
    /// Rows in all.
    pub rows: u64,
    /// Rows without a season.
    pub without_season: u64,
    /// Questions of a student and season that have more than one row.
    pub duplicate_questions: u64,
    /// Rows that will be removed, because a better one of their question stays.
    pub duplicate_rows: u64,
    /// Rows that will be renamed, because another has their name.
    pub names_used_twice: u64,
    /// Seasons found in the rows, with their number.
    pub seasons: Vec<(String, u64)>,
    /// Seasons without rows that will get a partition of their own.
    pub partitions_to_make: Vec<String>,
    /// The changes, as SQL; PARTITION BY without its list.
    pub changes: Vec<String>,
    /// Whether every row is written again, during which nobody can write.
    pub rebuilds: bool,
}

/// Rows a second of each piece of work, measured with 1,000,000 rows on two busy cores.
mod rate {
    pub(super) const SCAN: f64 = 500_000.0;
    pub(super) const CHANGE: f64 = 10_000.0;
    pub(super) const INDEX: f64 = 200_000.0;
    pub(super) const REBUILD: f64 = 40_000.0;
}

/// Says what [`super::run`] would do. Changes nothing, waits for nobody; reads each table
/// up to three times. `now`: the site's wall time.
///
/// # Errors
/// `Unavailable` if the database is; `NotFound` if Frappe's tables are not there.
pub async fn plan(db: &MariaDb, now: NaiveDateTime) -> Result<Plan> {
    let mut conn = OwnConnection::open(db).await?;
    conn.query_drop("SET SESSION lock_wait_timeout = 10, tx_isolation = 'READ-COMMITTED'")
        .await?;
    let problems = problems(&mut conn).await?;
    let there = inspect::tables(&mut conn).await?;
    let tables_to_make: Vec<&'static str> = patches::NATIVE_TABLES
        .iter()
        .map(|(table, _)| *table)
        .filter(|table| !there.iter().any(|t| t == table))
        .collect();
    let unfinished = if tables_to_make.contains(&session::STATE_TABLE) {
        None
    } else {
        session::unfinished(&mut conn).await?
    };
    let season_for_rows = active_season(&mut conn, now.date()).await?;
    let mut estimate = 0.0;
    let mut tables = Vec::new();
    if let Some((journal, seconds)) = journal(&mut conn).await? {
        tables.push(journal);
        estimate += seconds;
    }
    tables.push(season_table(&mut conn).await?);
    if problems.is_empty() {
        for (shape, season) in [
            (&TRACKER, season_for_rows.as_str()),
            (&ARCHIVE, DEFAULT_SEASON),
        ] {
            let (table, seconds) = table_plan(&mut conn, shape, season).await?;
            tables.push(table);
            estimate += seconds;
        }
    }
    Ok(Plan {
        problems,
        unfinished,
        season_for_rows,
        tables_to_make,
        tables,
        estimate: Duration::from_secs_f64(estimate.ceil()),
    })
}

/// What forbids a migration.
pub(super) async fn problems(conn: &mut Conn) -> Result<Vec<String>> {
    read(conn, SEASONS).await?;
    let mut problems = Vec::new();
    for shape in [&TRACKER, &ARCHIVE] {
        let table = read(conn, shape.table).await?;
        let keys = inspect::foreign_keys(conn, shape.table).await?;
        problems.extend(shape.problems(&table, &keys));
    }
    Ok(problems)
}

/// The active season on that day, else SEASON-DEFAULT.
pub(super) async fn active_season(conn: &mut Conn, today: NaiveDate) -> Result<String> {
    let active: Option<String> = conn.exec_first(patches::ACTIVE_SEASON, (today,)).await?;
    Ok(active.unwrap_or_else(|| DEFAULT_SEASON.to_owned()))
}

/// The seasons that have a partition in the table whether or not they have rows.
pub(super) async fn other_seasons(conn: &mut Conn, shape: &Shape) -> Result<Vec<String>> {
    let sql = format!(
        "SELECT name FROM `{SEASONS}` WHERE name = '{DEFAULT_SEASON}' OR {} ORDER BY name",
        shape.other_seasons
    );
    match conn.query(sql).await {
        // A plan is made before the column is added; then no season is archived.
        Err(e) if code(&e) == Some(UNKNOWN_COLUMN) => Ok(conn
            .query(format!("SELECT name FROM `{SEASONS}` ORDER BY name"))
            .await?),
        seasons => Ok(seasons?),
    }
}

async fn read(conn: &mut Conn, table: &str) -> Result<Table> {
    Table::read(conn, table).await?.ok_or_else(|| {
        Error::not_found(format!(
            "Table {table} does not exist: install the app on the site first"
        ))
    })
}

/// What the journal of an earlier version lacks.
pub(super) fn journal_changes(table: &Table) -> Vec<String> {
    let columns = column_changes(table, patches::JOURNAL_WORK);
    let there = |name: &str| table.indexes.iter().any(|index| index.name == name);
    let indexes = patches::JOURNAL_WORK_INDEXES.into_iter();
    let missing = indexes.filter(|name| !there(name));
    let indexes = missing.map(|name| format!("ADD INDEX `{name}`"));
    columns.into_iter().chain(indexes).collect()
}

/// The plan for a journal of an earlier version and its seconds.
async fn journal(conn: &mut Conn) -> Result<Option<(TablePlan, f64)>> {
    let Some(table) = Table::read(conn, JOURNAL).await? else {
        return Ok(None);
    };
    let changes = journal_changes(&table);
    if changes.is_empty() {
        return Ok(None);
    }
    let count = format!("SELECT COUNT(*) FROM {JOURNAL}");
    let rows: u64 = conn.query_first(count).await?.unwrap_or_default();
    let plan = TablePlan {
        table: JOURNAL,
        rows,
        changes,
        rebuilds: true,
        ..TablePlan::default()
    };
    Ok(Some((plan, rows as f64 / rate::REBUILD)))
}

async fn season_table(conn: &mut Conn) -> Result<TablePlan> {
    let table = read(conn, SEASONS).await?;
    let mut changes = column_changes(&table, patches::SEASON_COLUMNS);
    let has_default: Option<u8> = conn
        .query_first(format!(
            "SELECT 1 FROM `{SEASONS}` WHERE name = '{DEFAULT_SEASON}'"
        ))
        .await?;
    if has_default.is_none() {
        changes.push(format!("season {DEFAULT_SEASON}"));
    }
    Ok(TablePlan {
        table: SEASONS,
        rows: conn
            .query_first(format!("SELECT COUNT(*) FROM `{SEASONS}`"))
            .await?
            .unwrap_or_default(),
        changes,
        ..TablePlan::default()
    })
}

pub(super) fn column_changes(table: &Table, patch: &str) -> Vec<String> {
    patches::columns_added(patch)
        .filter(|c| table.column(c).is_none())
        .map(|c| format!("ADD COLUMN `{c}`"))
        .collect()
}

/// The plan for one table and its seconds.
async fn table_plan(conn: &mut Conn, shape: &Shape, season: &str) -> Result<(TablePlan, f64)> {
    let table = read(conn, shape.table).await?;
    let mut plan = TablePlan {
        table: shape.table,
        changes: column_changes(&table, shape.columns),
        ..TablePlan::default()
    };
    count_seasons(conn, &table, &mut plan).await?;
    let change = shape.change(&table);
    if !change.partition {
        for season in other_seasons(conn, shape).await? {
            if !partitions::has(conn, shape.table, &season).await? {
                plan.partitions_to_make.push(season);
            }
        }
    }
    let no_season: Vec<&str> = table
        .partitions_of_no_season()
        .map(|p| p.name.as_str())
        .collect();
    if change.is_empty() && no_season.is_empty() {
        return Ok((plan, 0.0));
    }
    if !shape.is_unique(&table) {
        count_duplicates(conn, &table, season, &mut plan).await?;
    }
    if !rows::has_unique_names(&table) {
        plan.names_used_twice = conn
            .query_first(format!(
                "SELECT COALESCE(SUM(n - 1), 0) FROM (SELECT COUNT(*) AS n FROM {} \
                 GROUP BY name HAVING n > 1) AS d",
                quote_identifier(shape.table)
            ))
            .await?
            .unwrap_or_default();
    }
    let seconds = seconds(&plan, &change);
    plan.rebuilds = change.rebuilds;
    plan.changes.extend(change.clauses);
    if change.partition {
        plan.changes
            .push("PARTITION BY LIST COLUMNS(`season`)".to_owned());
    }
    let dropped = no_season
        .iter()
        .map(|name| format!("DROP PARTITION {}", quote_identifier(name)));
    plan.changes.extend(dropped);
    Ok((plan, seconds))
}

/// SQL for the season of a row.
fn season_column(table: &Table) -> &'static str {
    match table.column("season") {
        Some(_) => "season",
        None => "NULL",
    }
}

async fn count_seasons(conn: &mut Conn, table: &Table, plan: &mut TablePlan) -> Result<()> {
    let sql = fill(
        patches::COUNT_ROWS,
        &[
            ("table", &quote_identifier(plan.table)),
            ("season", season_column(table)),
        ],
    );
    let seasons: Vec<(String, u64)> = conn.query(sql).await?;
    for (season, rows) in seasons {
        plan.rows += rows;
        if season.trim().is_empty() {
            plan.without_season += rows;
        } else {
            plan.seasons.push((season, rows));
        }
    }
    Ok(())
}

async fn count_duplicates(
    conn: &mut Conn,
    table: &Table,
    season: &str,
    plan: &mut TablePlan,
) -> Result<()> {
    let sql = fill(
        patches::COUNT_DUPLICATES,
        &[
            ("table", &quote_identifier(plan.table)),
            ("season", season_column(table)),
        ],
    );
    if let Some((questions, rows)) = conn.exec_first(sql, (season,)).await? {
        plan.duplicate_questions = questions;
        plan.duplicate_rows = rows;
    }
    Ok(())
}

fn seconds(plan: &TablePlan, change: &Change) -> f64 {
    let rows = plan.rows as f64;
    let changed = (plan.without_season + plan.duplicate_rows + plan.names_used_twice) as f64;
    let indexes = change
        .clauses
        .iter()
        .filter(|c| c.contains("INDEX"))
        .count() as f64;
    let write = if change.rebuilds {
        rows / rate::REBUILD
    } else {
        indexes * rows / rate::INDEX
    };
    let helper = if plan.duplicate_rows > 0 {
        rows / rate::INDEX
    } else {
        0.0
    };
    3.0 * rows / rate::SCAN + changed / rate::CHANGE + helper + write
}
