//! What a table is like, in the server's own words (`SHOW CREATE TABLE`): a column that
//! somebody else added is taken along as it is.

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::{ARCHIVE, TRACKER, alter_in_use, quote_identifier};
use crate::store::state::Held;
use crate::{Error, Result};

/// A table without its partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Definition {
    pub(super) columns: Vec<Column>,
    pub(super) keys: Vec<Key>,
    /// Engine, character set and the like.
    pub(super) options: String,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    /// Type and everything else after the name.
    pub(super) rest: String,
}

/// An index, or the primary key, which is called `PRIMARY`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) name: String,
    /// `KEY`, `UNIQUE KEY`, …
    pub(super) kind: String,
    /// Its columns, as SQL, and options.
    pub(super) rest: String,
}

impl Column {
    /// Whether the server computes it: nobody writes it.
    pub(super) fn is_generated(&self) -> bool {
        self.rest.contains(" GENERATED ALWAYS AS ")
    }

    pub(super) fn sql(&self) -> String {
        format!("{} {}", quote_identifier(&self.name), self.rest)
    }
}

impl Key {
    pub(super) fn is_primary(&self) -> bool {
        self.name == "PRIMARY"
    }

    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.kind == other.kind && self.rest == other.rest
    }

    pub(super) fn sql(&self) -> String {
        if self.is_primary() {
            format!("PRIMARY KEY {}", self.rest)
        } else {
            let name = quote_identifier(&self.name);
            format!("{} {name} {}", self.kind, self.rest)
        }
    }
}

impl Definition {
    /// Reads it.
    pub(super) async fn of(conn: &mut Conn, table: &str) -> Result<Self> {
        let sql = format!("SHOW CREATE TABLE {}", quote_identifier(table));
        let row: Option<(String, String)> = conn.query_first(sql).await?;
        row.and_then(|(_, text)| Self::parse(&text))
            .ok_or_else(|| Error::internal(format!("The definition of {table} cannot be read")))
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines().skip(1);
        let (mut columns, mut keys) = (Vec::new(), Vec::new());
        for line in lines.by_ref() {
            if let Some(options) = line.strip_prefix(") ") {
                return Some(Self {
                    columns,
                    keys,
                    options: options.to_owned(),
                });
            }
            let line = line.trim_start();
            let line = line.strip_suffix(',').unwrap_or(line);
            if line.starts_with('`') {
                let (name, rest) = identifier(line)?;
                let rest = rest.trim_start().to_owned();
                columns.push(Column { name, rest });
            } else if let Some(rest) = line.strip_prefix("PRIMARY KEY ") {
                keys.push(Key {
                    name: "PRIMARY".to_owned(),
                    kind: "PRIMARY KEY".to_owned(),
                    rest: rest.to_owned(),
                });
            } else if let Some((kind, rest)) = line.split_once("KEY `") {
                let (name, rest) = identifier(&line[line.len() - rest.len() - 1..])?;
                keys.push(Key {
                    name,
                    kind: format!("{kind}KEY"),
                    rest: rest.trim_start().to_owned(),
                });
            }
        }
        None
    }

    /// The column of this name.
    pub(super) fn column(&self, name: &str) -> Option<&Column> {
        self.columns
            .iter()
            .find(|c| c.name.eq_ignore_ascii_case(name))
    }

    /// Makes a table like it, without partitions; `bare`: without indexes.
    pub(super) fn create(&self, table: &str, bare: bool) -> String {
        let columns = self.columns.iter().map(Column::sql);
        let keys = self.keys.iter().filter(|key| !bare || key.is_primary());
        let parts: Vec<String> = columns.chain(keys.map(Key::sql)).collect();
        format!(
            "CREATE TABLE IF NOT EXISTS {} ({}) {}",
            quote_identifier(table),
            parts.join(", "),
            self.options
        )
    }
}

/// Names of columns that both have and that are written.
pub(super) fn shared(from: &Definition, to: &Definition) -> Vec<String> {
    let written = from.columns.iter().filter(|c| !c.is_generated());
    let in_both = written.filter(|c| to.column(&c.name).is_some_and(|c| !c.is_generated()));
    in_both.map(|c| c.name.clone()).collect()
}

/// A quoted identifier and what follows it.
fn identifier(text: &str) -> Option<(String, &str)> {
    let text = text.strip_prefix('`')?;
    let mut name = String::new();
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '`' if chars.peek().is_some_and(|(_, next)| *next == '`') => {
                chars.next();
                name.push('`');
            }
            '`' => return Some((name, &text[at + 1..])),
            c => name.push(c),
        }
    }
    None
}

/// Gives the archive the columns that the tracker has and it has not: a site's own fields.
/// Instant.
///
/// # Errors
/// `Config` if a table is not migrated; `Unavailable` if the archive's lock cannot be had.
pub async fn complete_archive(held: &mut Held) -> Result<()> {
    let conn = held.conn();
    for table in [TRACKER, ARCHIVE] {
        if crate::store::partitions::list(conn, table)
            .await?
            .is_empty()
        {
            let message = format!("{table} is not partitioned by season: run the migration");
            return Err(Error::config(message));
        }
    }
    let tracker = Definition::of(conn, TRACKER).await?;
    let archive = Definition::of(conn, ARCHIVE).await?;
    let missing = tracker
        .columns
        .iter()
        .filter(|column| archive.column(&column.name).is_none());
    let adds: Vec<String> = missing
        .map(|column| format!("ADD COLUMN IF NOT EXISTS {}", column.sql()))
        .collect();
    if adds.is_empty() {
        return Ok(());
    }
    alter_in_use(conn, ARCHIVE, &adds.join(", ")).await
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "CREATE TABLE `tab``x` (
  `name` varchar(140) NOT NULL,
  `a``b, c` decimal(21,9) NOT NULL DEFAULT 0.000000000 COMMENT 'KEY `x` (',
  `sum` int(11) GENERATED ALWAYS AS (`a` + 1) VIRTUAL,
  PRIMARY KEY (`name`,`season`),
  UNIQUE KEY `uq``y` (`player`,`season`),
  KEY `modified` (`modified`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4
 PARTITION BY LIST  COLUMNS(`season`)
(PARTITION `p` VALUES IN ('x') ENGINE = InnoDB)";

    #[test]
    fn a_definition_is_read_as_the_server_writes_it() {
        let table = Definition::parse(TABLE).unwrap();
        let names: Vec<&str> = table.columns.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(names, ["name", "a`b, c", "sum"]);
        assert!(table.columns[2].is_generated() && !table.columns[1].is_generated());
        assert_eq!(table.keys.len(), 3);
        assert_eq!(
            table.keys[1].sql(),
            "UNIQUE KEY `uq``y` (`player`,`season`)"
        );
        assert_eq!(table.options, "ENGINE=InnoDB DEFAULT CHARSET=utf8mb4");
        let bare = table.create("t", true);
        assert!(bare.starts_with("CREATE TABLE IF NOT EXISTS `t` (`name` varchar(140) NOT NULL, "));
        assert!(
            bare.ends_with("PRIMARY KEY (`name`,`season`)) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4")
        );
    }
}
