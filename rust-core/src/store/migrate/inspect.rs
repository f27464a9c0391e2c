//! What a table looks like now, from `information_schema`.

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use crate::Result;
use crate::store::catalogue;
use crate::store::partitions::{self, Partition, Values};

/// A table as it is.
pub(super) struct Table {
    pub(super) columns: Vec<Column>,
    pub(super) indexes: Vec<Index>,
    /// Empty if it is not partitioned.
    pub(super) partitions: Vec<Partition>,
    /// Whether it is partitioned by LIST COLUMNS(season).
    pub(super) by_season: bool,
}

/// One column, as far as the migration needs it.
pub(super) struct Column {
    pub(super) name: String,
    column_type: String,
    pub(super) nullable: bool,
    /// SQL text; `None` and `NULL` both mean none.
    default: Option<String>,
    charset: Option<String>,
    collation: Option<String>,
}

/// One index.
pub(super) struct Index {
    pub(super) name: String,
    pub(super) unique: bool,
    pub(super) columns: Vec<String>,
    /// Only the beginning of a column is indexed.
    pub(super) cut: bool,
}

impl Table {
    /// Reads it; `None` if there is no such table.
    pub(super) async fn read(conn: &mut Conn, table: &str) -> Result<Option<Self>> {
        let columns = columns(conn, table).await?;
        if columns.is_empty() {
            return Ok(None);
        }
        let method: Vec<(Option<String>, Option<String>)> =
            catalogue::rows(conn, include_str!("partition_method.sql"), (table,)).await?;
        let by_season = matches!(
            method.first(),
            Some((Some(method), Some(expression)))
                if method == "LIST COLUMNS" && expression.replace('`', "") == "season"
        );
        Ok(Some(Self {
            columns,
            indexes: indexes(conn, table).await?,
            partitions: partitions::list(conn, table).await?,
            by_season,
        }))
    }

    /// The column of this name.
    pub(super) fn column(&self, name: &str) -> Option<&Column> {
        self.columns
            .iter()
            .find(|c| c.name.eq_ignore_ascii_case(name))
    }

    /// Whether there is one partition per season and no DEFAULT partition.
    pub(super) fn is_partitioned_well(&self) -> bool {
        let one_each =
            |p: &Partition| matches!(&p.values, Values::List(values) if values.len() == 1);
        self.by_season && self.partitions.iter().all(one_each)
    }

    /// Partitions for rows without a season, which have no place once every row has one.
    pub(super) fn partitions_of_no_season(&self) -> impl Iterator<Item = &Partition> {
        self.partitions.iter().filter(|p| match &p.values {
            Values::List(values) if values.len() == 1 => {
                values[0].as_deref().unwrap_or_default().trim().is_empty()
            }
            _ => false,
        })
    }
}

impl Column {
    /// The column's definition made NOT NULL: everything else stays.
    pub(super) fn not_null(&self) -> String {
        let mut definition = self.column_type.clone();
        if let (Some(charset), Some(collation)) = (&self.charset, &self.collation) {
            definition += &format!(" CHARACTER SET {charset} COLLATE {collation}");
        }
        definition += " NOT NULL";
        if let Some(default) = self.default.as_ref().filter(|d| *d != "NULL") {
            definition += &format!(" DEFAULT {default}");
        }
        definition
    }
}

const TABLE_NAMES: &str =
    "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()";

/// Foreign keys from or to a table, which no partitioned table can have.
pub(super) async fn foreign_keys(conn: &mut Conn, table: &str) -> Result<Vec<String>> {
    catalogue::rows(conn, include_str!("foreign_keys.sql"), (table, table)).await
}

/// All tables of the database.
pub(super) async fn tables(conn: &mut Conn) -> Result<Vec<String>> {
    Ok(conn.query(TABLE_NAMES).await?)
}

async fn columns(conn: &mut Conn, table: &str) -> Result<Vec<Column>> {
    type Columns = (
        String,
        String,
        bool,
        Option<String>,
        Option<String>,
        Option<String>,
    );
    let rows: Vec<Columns> = catalogue::rows(conn, include_str!("columns.sql"), (table,)).await?;
    Ok(rows
        .into_iter()
        .map(
            |(name, column_type, nullable, default, charset, collation)| Column {
                name,
                column_type,
                nullable,
                default,
                charset,
                collation,
            },
        )
        .collect())
}

async fn indexes(conn: &mut Conn, table: &str) -> Result<Vec<Index>> {
    let rows: Vec<(String, bool, String, bool)> =
        catalogue::rows(conn, include_str!("indexes.sql"), (table,)).await?;
    let mut indexes: Vec<Index> = Vec::new();
    for (name, unique, column, cut) in rows {
        match indexes.last_mut().filter(|i| i.name == name) {
            Some(index) => {
                index.columns.push(column);
                index.cut |= cut;
            }
            None => indexes.push(Index {
                name,
                unique,
                columns: vec![column],
                cut,
            }),
        }
    }
    Ok(indexes)
}
