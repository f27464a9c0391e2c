//! Key, indexes and partitions of the two tables as they must be, and the one ALTER that
//! leads there.
//!
//! What the tables share: PRIMARY KEY (name, season), because MariaDB wants the season in
//! every unique key of a table that is partitioned by it; UNIQUE (player, season,
//! `question_id`), because a student's question is one row. Whatever else a table has, more
//! columns or indexes, is left alone.
//!
//! Frappe's schema sync never touches keys and partitions. It drops an index on a single
//! column whose field does not declare one, so only the archive, whose DocType declares
//! them, has such.

use std::collections::HashSet;

use super::inspect::{Index, Table};
use super::patches;
use crate::store::partitions::{self, partition_name, quote_identifier, sql_literal};
use crate::{Error, Result};

/// How one table must be.
pub(super) struct Shape {
    pub(super) table: &'static str,
    /// The patch that adds its columns.
    pub(super) columns: &'static str,
    indexes: &'static [WantedIndex],
    /// Which seasons besides those of its rows get a partition: a condition on the
    /// season table.
    pub(super) other_seasons: &'static str,
}

struct WantedIndex {
    name: &'static str,
    unique: bool,
    columns: &'static [&'static str],
}

/// The index that reads without the cache use.
pub(super) const COMPOSITE: &str = "idx_pmt_player_season_review";

/// The table of current schedules.
pub(super) const TRACKER: Shape = Shape {
    table: partitions::TRACKER,
    columns: patches::TRACKER_COLUMNS,
    indexes: &[
        WantedIndex {
            name: "uq_pmt_player_season_question",
            unique: true,
            columns: &["player", "season", "question_id"],
        },
        WantedIndex {
            name: COMPOSITE,
            unique: false,
            columns: &["player", "season", "next_review_date"],
        },
    ],
    other_seasons: "archived_on IS NULL",
};

/// The table of archived seasons. Its search indexes are called as Frappe calls those
/// that a DocType declares: like their column.
pub(super) const ARCHIVE: Shape = Shape {
    table: "tabArchived Memory Tracker",
    columns: patches::ARCHIVED_TRACKER_COLUMNS,
    indexes: &[
        WantedIndex {
            name: "uq_amt_player_season_question",
            unique: true,
            columns: &["player", "season", "question_id"],
        },
        WantedIndex {
            name: "player",
            unique: false,
            columns: &["player"],
        },
        WantedIndex {
            name: "season",
            unique: false,
            columns: &["season"],
        },
        WantedIndex {
            name: "archived_at",
            unique: false,
            columns: &["archived_at"],
        },
    ],
    other_seasons: "FALSE",
};

/// Index that finds duplicates; there only while the migration runs.
pub(super) const HELPER: &str = "memora_srs_migrate";

/// Columns that the migration reads and cannot add, because they hold the schedule.
const READ_COLUMNS: [&str; 7] = [
    "name",
    "player",
    "question_id",
    "stability",
    "next_review_date",
    "last_review_date",
    "modified",
];

/// The columns of the key.
const KEY: [&str; 2] = ["name", "season"];

/// What must change; empty if nothing.
#[derive(Default)]
pub(super) struct Change {
    /// Clauses of the ALTER.
    pub(super) clauses: Vec<String>,
    /// Whether the table is to be partitioned (anew), which comes after the clauses.
    pub(super) partition: bool,
    /// Whether every row is written again.
    pub(super) rebuilds: bool,
}

impl Change {
    pub(super) fn is_empty(&self) -> bool {
        self.clauses.is_empty() && !self.partition
    }
}

impl Shape {
    /// Whether `table` has the unique key already, so that no duplicates can be.
    pub(super) fn is_unique(&self, table: &Table) -> bool {
        self.indexes.iter().filter(|i| i.unique).all(|wanted| {
            table
                .indexes
                .iter()
                .any(|i| i.unique && wanted.same_columns(i))
        })
    }

    /// The differences between `table` and this.
    pub(super) fn change(&self, table: &Table) -> Change {
        let mut change = Change::default();
        let clauses = &mut change.clauses;
        if let Some(season) = table.column("season").filter(|c| c.nullable) {
            clauses.push(format!("MODIFY COLUMN `season` {}", season.not_null()));
            change.rebuilds = true;
        }
        let key = table.indexes.iter().find(|i| i.name == "PRIMARY");
        if key.is_none_or(|k| k.columns != KEY) {
            if key.is_some() {
                clauses.push("DROP PRIMARY KEY".to_owned());
            }
            clauses.push("ADD PRIMARY KEY (`name`, `season`)".to_owned());
            change.rebuilds = true;
        }
        if table.indexes.iter().any(|i| i.name == HELPER) {
            clauses.push(format!("DROP INDEX `{HELPER}`"));
        }
        for wanted in self.indexes {
            clauses.extend(self.index_clauses(wanted, table));
        }
        change.partition = !table.is_partitioned_well();
        change.rebuilds |= change.partition;
        change
    }

    /// What makes the index of this name, by itself; empty if it is there.
    pub(super) fn index(&self, table: &Table, name: &str) -> Result<Vec<String>> {
        let Some(wanted) = self.indexes.iter().find(|i| i.name == name) else {
            return Ok(Vec::new());
        };
        match wanted.columns.iter().find(|c| table.column(c).is_none()) {
            Some(missing) => Err(Error::config(format!(
                "{} has no column {missing}: run the migration",
                self.table
            ))),
            None => Ok(self.index_clauses(wanted, table)),
        }
    }

    fn index_clauses(&self, wanted: &WantedIndex, table: &Table) -> Vec<String> {
        let columns: Vec<String> = wanted.columns.iter().map(|c| quote_identifier(c)).collect();
        let add = format!(
            "ADD {} `{}` ({})",
            if wanted.unique {
                "UNIQUE INDEX"
            } else {
                "INDEX"
            },
            wanted.name,
            columns.join(", ")
        );
        let named = |i: &&Index| i.name.eq_ignore_ascii_case(wanted.name);
        if let Some(named) = table.indexes.iter().find(named) {
            if wanted.is(named) {
                return Vec::new();
            }
            return vec![format!("DROP INDEX `{}`", wanted.name), add];
        }
        let ours = |name: &str| self.indexes.iter().any(|w| w.name == name) || name == HELPER;
        match table
            .indexes
            .iter()
            .find(|i| wanted.is(i) && !ours(&i.name) && i.name != "PRIMARY")
        {
            // The same under another name: renaming is instant, another copy is not.
            Some(same) => vec![format!(
                "RENAME INDEX {} TO `{}`",
                quote_identifier(&same.name),
                wanted.name
            )],
            None => vec![add],
        }
    }

    /// Why `table` cannot be partitioned, each with its remedy.
    pub(super) fn problems(&self, table: &Table, foreign_keys: &[String]) -> Vec<String> {
        let mut problems = Vec::new();
        for missing in READ_COLUMNS {
            if table.column(missing).is_none() {
                problems.push(format!("{} has no column {missing}", self.table));
            }
        }
        for index in &table.indexes {
            let has_season = index
                .columns
                .iter()
                .any(|c| c.eq_ignore_ascii_case("season"));
            if index.unique && index.name != "PRIMARY" && !has_season {
                problems.push(format!(
                    "{}: unique index {} lacks the season, which a table partitioned by season \
                     cannot have; remove it, or \"unique\" from the field",
                    self.table, index.name
                ));
            }
        }
        for key in foreign_keys {
            problems.push(format!(
                "{}: foreign key {key}, which a partitioned table cannot have; drop it",
                self.table
            ));
        }
        problems
    }
}

impl WantedIndex {
    fn is(&self, index: &Index) -> bool {
        index.unique == self.unique && self.same_columns(index)
    }

    fn same_columns(&self, index: &Index) -> bool {
        !index.cut
            && index.columns.len() == self.columns.len()
            && index
                .columns
                .iter()
                .zip(self.columns)
                .all(|(a, b)| a.eq_ignore_ascii_case(b))
    }
}

/// The partitioning clause for these seasons.
pub(super) fn partition_by(seasons: &[String]) -> String {
    let mut taken = HashSet::new();
    let partitions: Vec<String> = seasons
        .iter()
        .map(|season| {
            let name = partition_name(season, &taken);
            let partition = format!(
                "PARTITION {} VALUES IN ({})",
                quote_identifier(&name),
                sql_literal(season)
            );
            taken.insert(name);
            partition
        })
        .collect();
    format!(
        "PARTITION BY LIST COLUMNS(`season`) ({})",
        partitions.join(", ")
    )
}
