//! Brings a site's tables into the shape that the engine needs, whatever state they are
//! in: fresh, in use for years, partitioned by hand, or left half-way by a migration that
//! was killed.
//!
//! The statements are the files of `patches/`, whose README has the rules. Here is their
//! order:
//!
//! 1. the native tables, and the columns that are missing (instant);
//! 2. names used twice are made unique, rows without a season get one, duplicates of
//!    (player, season, question) are merged, in chunks;
//! 3. one ALTER for key, indexes and partitions: MariaDB rebuilds a table for the first
//!    partitioning, and once is enough;
//! 4. partitions for seasons without rows, and away with that of no season.
//!
//! MariaDB commits around every DDL statement, so no step relies on the one before: each
//! looks at the tables, and does what is missing. A second run finds nothing to do.
//! Another process may write meanwhile, as the old implementation does; rows that it adds
//! between 2 and 3 make the ALTER fail, and 2 is done again.

mod inspect;
mod patches;
mod plan;
mod rows;
mod session;
mod shape;
mod standing;

use std::time::{Duration, Instant};

use chrono::NaiveDateTime;
use serde::Serialize;

pub use plan::{Plan, TablePlan, plan};
pub use standing::{Standing, standing};

use crate::servers::mariadb::MariaDb;
use crate::store::partitions::{self, DEFAULT_SEASON, quote_identifier};
use crate::{Error, ErrorKind, Result};
use patches::fill;
use session::Session;
use shape::{ARCHIVE, Change, Shape, TRACKER};

/// How the migration goes about it.
#[derive(Debug, Clone)]
pub struct Options {
    /// Now, in the site's zone: decides the active season, and is `creation` of what is
    /// made. The database does not know the site's zone.
    pub now: NaiveDateTime,
    /// Rows, or questions, changed by one statement at most.
    pub chunk: u32,
    /// How long to try for a table's lock, or for the end of another migration.
    pub patience: Duration,
    /// Seconds that the ALTER which rewrites a table waits for its lock at its end. If
    /// they are over, the whole copy was in vain; while it waits, new queries wait too.
    pub rebuild_wait_s: u32,
    /// Leave out the ALTER that rewrites a table, during which nobody can write, and say
    /// what it would be ([`TableReport::left`]): an operator does it with a tool that
    /// copies the table while others write.
    pub prepare_only: bool,
}

impl Options {
    /// The usual ones.
    pub fn at(now: NaiveDateTime) -> Self {
        Self {
            now,
            chunk: 1000,
            patience: Duration::from_secs(60),
            rebuild_wait_s: 5,
            prepare_only: false,
        }
    }
}

/// What the migration is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Making the native tables.
    NativeTables,
    /// Adding columns.
    Columns,
    /// Giving rows a season.
    Seasons,
    /// Making names unique.
    Names,
    /// Merging duplicates.
    Duplicates,
    /// Changing key, indexes and partitions.
    Shape,
    /// Making partitions for seasons without rows.
    Partitions,
}

impl Step {
    /// For people and for the record.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NativeTables => "native tables",
            Self::Columns => "columns",
            Self::Seasons => "rows without a season",
            Self::Names => "names used twice",
            Self::Duplicates => "duplicates",
            Self::Shape => "key, indexes and partitions",
            Self::Partitions => "partitions",
        }
    }
}

/// A sign of life; several a second at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// At what.
    pub step: Step,
    /// In which table.
    pub table: &'static str,
    /// Rows or questions changed so far; percent while a table is rewritten.
    pub done: u64,
    /// What `done` will be at the end; 0 if that is not known.
    pub total: u64,
}

/// What was done to one table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct TableReport {
    /// Which.
    pub table: &'static str,
    /// Rows that had no season and got one.
    pub rows_given_season: u64,
    /// Rows removed because a better one of the same question stays.
    pub rows_merged: u64,
    /// Rows renamed because another had their name.
    pub rows_renamed: u64,
    /// Clauses of the ALTER statements that were run.
    pub changes: Vec<String>,
    /// Seasons whose partition was made after the table was partitioned.
    pub partitions_made: Vec<String>,
    /// What is left to be done, by [`Options::prepare_only`]: the clauses of an ALTER
    /// TABLE.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left: Option<String>,
}

/// What a migration did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Where an earlier migration had stopped, if this one took up its work.
    pub resumed_at: Option<String>,
    /// The season that rows of the tracker without one get.
    pub season_for_rows: String,
    /// Native tables that were made.
    pub tables_made: Vec<&'static str>,
    /// What was done to each of Frappe's tables.
    pub tables: Vec<TableReport>,
    /// How long it took.
    pub elapsed: Duration,
}

impl Report {
    /// Whether the migration changed anything.
    pub fn changed(&self) -> bool {
        let untouched = |t: &TableReport| {
            *t == TableReport {
                table: t.table,
                ..TableReport::default()
            }
        };
        !self.tables_made.is_empty() || !self.tables.iter().all(untouched)
    }
}

/// Frappe's table of seasons.
const SEASONS: &str = "tabGame Subscription Season";
/// How often rows that arrive meanwhile may send the migration back to them.
const ROUNDS: u32 = 5;

/// Does what is missing, one migration at a time per database.
///
/// # Errors
/// `NotFound` if Frappe's tables are not there; `Config` if something forbids
/// partitioning them, naming it; `Unavailable` if a lock cannot be had, or another
/// migration runs, for [`Options::patience`]. Whatever the error, running it again
/// continues.
pub async fn run(
    db: &MariaDb,
    options: &Options,
    mut progress: impl FnMut(Progress) + Send,
) -> Result<Report> {
    let started = Instant::now();
    let mut session = Session::open(db, options, &mut progress).await?;
    let report = migrate(&mut session).await?;
    Ok(Report {
        elapsed: started.elapsed(),
        ..report
    })
}

async fn migrate(session: &mut Session<'_>) -> Result<Report> {
    check(session).await?;
    let tables_made = native_tables(session).await?;
    let resumed_at = session.unfinished().await?;
    let mut tables = Vec::from_iter(journal(session).await?);
    tables.push(season_table(session).await?);
    let active = active_season(session).await?;
    // History has no place in the season that runs now.
    for (shape, season) in [(&TRACKER, active.as_str()), (&ARCHIVE, DEFAULT_SEASON)] {
        let mut report = TableReport {
            table: shape.table,
            ..TableReport::default()
        };
        add_columns(session, shape.table, shape.columns, &mut report).await?;
        reshape(session, shape, season, &mut report).await?;
        if report.left.is_none() {
            partitions_for_all(session, shape, &mut report).await?;
        }
        tables.push(report);
    }
    if tables.iter().all(|table| table.left.is_none()) {
        session.write(patches::NOTE_PARTITIONS, ()).await?;
    }
    session.finished().await?;
    Ok(Report {
        resumed_at,
        season_for_rows: active,
        tables_made,
        tables,
        elapsed: Duration::ZERO,
    })
}

/// Makes the index of reads without the cache where it is missing, and nothing else. True
/// if this call made it.
///
/// # Errors
/// As [`run`]; `Config` if the table lacks a column of the index.
pub async fn composite_index(db: &MariaDb) -> Result<bool> {
    // Nothing is made that would bear the time.
    let options = Options::at(NaiveDateTime::default());
    let mut progress = |_| {};
    let mut session = Session::open(db, &options, &mut progress).await?;
    let table = session.table(TRACKER.table).await?;
    let clauses = TRACKER.index(&table, shape::COMPOSITE)?;
    if clauses.is_empty() {
        return Ok(false);
    }
    session
        .alter(TRACKER.table, false, &clauses.join(", "))
        .await
}

/// Refuses before anything is changed.
async fn check(session: &mut Session<'_>) -> Result<()> {
    let problems = plan::problems(&mut session.conn).await?;
    if problems.is_empty() {
        Ok(())
    } else {
        Err(Error::config(problems.join("; ")))
    }
}

async fn native_tables(session: &mut Session<'_>) -> Result<Vec<&'static str>> {
    let there = inspect::tables(&mut session.conn).await?;
    let mut made = Vec::new();
    for (table, create) in patches::NATIVE_TABLES {
        if !there.iter().any(|t| t == table) {
            session.progress(Step::NativeTables, table, 0, 0);
            session
                .ddl(|_| patches::without_header(create).to_owned())
                .await?;
            made.push(*table);
        }
    }
    Ok(made)
}

/// The table of accepted submits.
const JOURNAL: &str = "memora_srs_journal";

/// Gives a journal of an earlier version what came later; `None` if it has it.
async fn journal(session: &mut Session<'_>) -> Result<Option<TableReport>> {
    let changes = plan::journal_changes(&session.table(JOURNAL).await?);
    if changes.is_empty() {
        return Ok(None);
    }
    session.begin(Step::NativeTables, JOURNAL).await?;
    session
        .ddl(|lock| fill(patches::JOURNAL_WORK, &[("lock", &lock.to_string())]))
        .await?;
    Ok(Some(TableReport {
        table: JOURNAL,
        changes,
        ..TableReport::default()
    }))
}

async fn season_table(session: &mut Session<'_>) -> Result<TableReport> {
    let mut report = TableReport {
        table: SEASONS,
        ..TableReport::default()
    };
    add_columns(session, SEASONS, patches::SEASON_COLUMNS, &mut report).await?;
    let now = session.options.now;
    if session.write(patches::DEFAULT_SEASON, (now,)).await? > 0 {
        report.changes.push(format!("season {DEFAULT_SEASON}"));
    }
    Ok(report)
}

/// The season that rows without one get: the active one, else [`DEFAULT_SEASON`].
async fn active_season(session: &mut Session<'_>) -> Result<String> {
    let today = session.options.now.date();
    plan::active_season(&mut session.conn, today).await
}

/// Adds what a patch of columns adds, unless all of it is there.
async fn add_columns(
    session: &mut Session<'_>,
    table: &'static str,
    patch: &str,
    report: &mut TableReport,
) -> Result<()> {
    let now = session.table(table).await?;
    let missing: Vec<&str> = patches::columns_added(patch)
        .filter(|c| now.column(c).is_none())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    session.begin(Step::Columns, table).await?;
    session
        .ddl(|lock| fill(patch, &[("lock", &lock.to_string())]))
        .await?;
    let added = missing.iter().map(|c| format!("ADD COLUMN `{c}`"));
    report.changes.extend(added);
    Ok(())
}

/// Rows first, then the ALTER, until the table is as it must be.
async fn reshape(
    session: &mut Session<'_>,
    shape: &Shape,
    season: &str,
    report: &mut TableReport,
) -> Result<()> {
    for _ in 0..ROUNDS {
        let table = session.table(shape.table).await?;
        let change = shape.change(&table);
        let no_season = table.partitions_of_no_season().next().is_some();
        if change.is_empty() && !no_season {
            return Ok(());
        }
        // Names first: a row that changes its season must not meet its own name there.
        rows::make_names_unique(session, shape, &table, report).await?;
        rows::give_season(session, shape, &table, season, report).await?;
        if !shape.is_unique(&table) {
            rows::merge_duplicates(session, shape, report).await?;
        }
        if session.options.prepare_only && change.rebuilds {
            let change = shape.change(&session.table(shape.table).await?);
            report.left = Some(one_body(&clauses(session, shape, change).await?));
            return Ok(());
        }
        alter(session, shape, report).await?;
        drop_partitions_of_no_season(session, shape, report).await?;
    }
    Err(Error::new(
        ErrorKind::Unavailable,
        format!(
            "{}: rows that its key refuses arrive faster than they are repaired; \
             stop the workers and run the migration again",
            shape.table
        ),
    ))
}

/// The one ALTER. Rows that came in between and do not fit leave the table as it is; the
/// caller looks again.
async fn alter(session: &mut Session<'_>, shape: &Shape, report: &mut TableReport) -> Result<()> {
    let change = shape.change(&session.table(shape.table).await?);
    if change.is_empty() {
        return Ok(());
    }
    session.begin(Step::Shape, shape.table).await?;
    let rebuilds = change.rebuilds;
    let clauses = clauses(session, shape, change).await?;
    if session
        .alter(shape.table, rebuilds, &one_body(&clauses))
        .await?
    {
        report.changes.extend(clauses);
    }
    Ok(())
}

/// The clauses of the one ALTER, at their end a partition for each season of the rows.
async fn clauses(session: &mut Session<'_>, shape: &Shape, change: Change) -> Result<Vec<String>> {
    let mut clauses = change.clauses;
    if change.partition {
        let sql = fill(
            patches::SEASONS_OF_TABLE,
            &[
                ("table", &quote_identifier(shape.table)),
                ("others", shape.other_seasons),
            ],
        );
        let seasons: Vec<String> = session.read(sql, ()).await?;
        clauses.push(shape::partition_by(&seasons));
    }
    Ok(clauses)
}

/// What follows ALTER TABLE: PARTITION BY, the last, has no comma before it.
fn one_body(clauses: &[String]) -> String {
    match clauses.split_last() {
        Some((last, others)) if last.starts_with("PARTITION BY") => {
            format!("{} {last}", others.join(", "))
        }
        _ => clauses.join(", "),
    }
}

/// A partition for every season that needs one; those with rows got theirs in the ALTER.
async fn partitions_for_all(
    session: &mut Session<'_>,
    shape: &Shape,
    report: &mut TableReport,
) -> Result<()> {
    session.begin(Step::Partitions, shape.table).await?;
    let seasons = plan::other_seasons(&mut session.conn, shape).await?;
    for season in seasons {
        if partitions::ensure_in(&mut session.conn, shape.table, &season).await? {
            session.wrote().await?;
            report.partitions_made.push(season);
        }
    }
    Ok(())
}

/// Drops the partition of rows without a season when it is empty, so that such a row is
/// refused from now on. Under a lock: a row that arrives between looking and dropping
/// would be gone.
async fn drop_partitions_of_no_season(
    session: &mut Session<'_>,
    shape: &Shape,
    report: &mut TableReport,
) -> Result<()> {
    let table = session.table(shape.table).await?;
    let of_no_season = table.partitions_of_no_season().count();
    if of_no_season > 0 && of_no_season == table.partitions.len() {
        // A table must keep one partition.
        partitions::ensure_in(&mut session.conn, shape.table, DEFAULT_SEASON).await?;
    }
    for partition in table.partitions_of_no_season() {
        if session
            .drop_empty_partition(shape.table, &partition.name)
            .await?
        {
            report.changes.push(format!(
                "DROP PARTITION {}",
                quote_identifier(&partition.name)
            ));
        }
    }
    Ok(())
}
