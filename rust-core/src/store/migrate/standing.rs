//! Whether the schema is as the engine needs it, without reading a row.

use super::inspect::{self, Table};
use super::shape::{ARCHIVE, TRACKER};
use super::{SEASONS, patches, plan, session};
use crate::Result;
use crate::servers::mariadb::MariaDb;

/// How far a site's schema is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// The app's tables are not there: no site of ours.
    NotInstalled,
    /// A migration has something to do: what, in a few words.
    ToMigrate(String),
    /// All is there.
    Migrated,
}

/// Looks at tables, columns, indexes and partitioning; a few statements on
/// `information_schema`. A season without a partition is no matter: who writes makes it.
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn standing(db: &MariaDb) -> Result<Standing> {
    let mut conn = db.conn().await?;
    let there = inspect::tables(&mut conn).await?;
    let has = |name: &str| there.iter().any(|table| table == name);
    if !has(TRACKER.table) || !has(SEASONS) {
        return Ok(Standing::NotInstalled);
    }
    let to_do = |what: String| Ok(Standing::ToMigrate(what));
    if let Some((missing, _)) = patches::NATIVE_TABLES.iter().find(|(name, _)| !has(name)) {
        return to_do(format!("table {missing} is missing"));
    }
    if let Some(step) = session::unfinished(&mut conn).await? {
        return to_do(format!("a migration stopped at {step}"));
    }
    for shape in [&TRACKER, &ARCHIVE] {
        let name = shape.table;
        let Some(table) = Table::read(&mut conn, name).await? else {
            return to_do(format!("table {name} is missing"));
        };
        let columns = plan::column_changes(&table, shape.columns);
        let change = shape.change(&table);
        if let Some(what) = columns.iter().chain(&change.clauses).next() {
            return to_do(format!("{name}: {what}"));
        }
        if change.partition {
            return to_do(format!("{name} is not partitioned by season"));
        }
    }
    Ok(Standing::Migrated)
}
