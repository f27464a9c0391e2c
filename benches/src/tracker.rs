//! What the tracker takes on disk, and what the servers did for requests: counted by them.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result};
use memora_tests::TestSite;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

/// InnoDB's page, in bytes.
const PAGE: u64 = 16 * 1024;
/// Where a page of an index says how far above the leaves it is.
const LEVEL_AT: u64 = 38 + 26;
/// The files of the tracker's partitions.
const FILES: &str = "%/tabPlayer@0020Memory@0020Tracker#P#%";

/// One index of a partition.
#[derive(Debug, Clone)]
pub struct Index {
    /// Its name; `PRIMARY` is the rows themselves.
    pub name: String,
    /// Pages on the way from its root to a row, both included.
    pub depth: u16,
    /// Its pages.
    pub pages: u64,
    /// Those of them at the bottom.
    pub leaves: u64,
}

impl Index {
    /// Its bytes.
    pub fn bytes(&self) -> u64 {
        self.pages * PAGE
    }
}

/// The indexes of the largest partition, the rows' own first. Statistics are made anew.
///
/// # Errors
/// If MariaDB fails, or a file cannot be read.
pub async fn indexes(test: &TestSite) -> Result<Vec<Index>> {
    let mut root = test.mariadb.root().await?;
    let tracker = format!("`{}`.`tabPlayer Memory Tracker`", test.db_name);
    root.query_drop(format!("ANALYZE TABLE {tracker}")).await?;
    let space: Option<(u64, String)> = root
        .exec_first(
            "SELECT space, filename FROM information_schema.innodb_sys_tablespaces \
             WHERE name LIKE ? ORDER BY file_size DESC LIMIT 1",
            (FILES,),
        )
        .await?;
    let (space, file) = space.context("no file of the tracker")?;
    let folder: String = root
        .query_first("SELECT @@datadir")
        .await?
        .context("a folder")?;
    let found: Vec<(String, u64, u64, u64)> = root
        .exec(
            "SELECT i.name, i.page_no, s.pages, s.leaves \
             FROM information_schema.innodb_sys_indexes i \
             JOIN information_schema.innodb_sys_tables t ON t.table_id = i.table_id \
             JOIN (SELECT index_name, MAX(IF(stat_name = 'size', stat_value, 0)) AS pages, \
                          MAX(IF(stat_name = 'n_leaf_pages', stat_value, 0)) AS leaves \
                   FROM mysql.innodb_index_stats \
                   WHERE database_name = ? AND table_name LIKE 'tabPlayer Memory Tracker#P#%' \
                   GROUP BY index_name) s ON s.index_name = i.name \
             WHERE t.space = ? ORDER BY i.name <> 'PRIMARY', i.name",
            (&test.db_name, space),
        )
        .await?;
    // What is in memory only goes to the file first.
    root.query_drop(format!("FLUSH TABLES {tracker} FOR EXPORT"))
        .await?;
    let file = File::open(Path::new(&folder).join(file)).context("opening the tracker's file")?;
    let mut indexes = Vec::new();
    for (name, page, pages, leaves) in found {
        let mut level = [0; 2];
        file.read_exact_at(&mut level, page * PAGE + LEVEL_AT)?;
        indexes.push(Index {
            name,
            depth: u16::from_be_bytes(level) + 1,
            pages,
            leaves,
        });
    }
    root.query_drop("UNLOCK TABLES").await?;
    Ok(indexes)
}

/// What both servers had done at a moment.
#[derive(Debug, Clone, Default)]
pub struct Done {
    /// Calls of each command, by the cache's Redis; those that scripts made too.
    pub commands: BTreeMap<String, u64>,
    /// Rows that MariaDB read, by any way into any table.
    pub rows: u64,
    /// Those that it read to tell that, if it counts them.
    rows_of_asking: u64,
}

impl Done {
    /// Until now.
    ///
    /// # Errors
    /// If a server fails.
    pub async fn now(test: &TestSite) -> Result<Self> {
        let mut redis = test.cache.connection().await;
        let stats: String = redis::cmd("INFO")
            .arg("commandstats")
            .query_async(&mut redis)
            .await?;
        let commands = stats.lines().filter_map(|line| {
            // cmdstat_zadd:calls=3,usec=10,...
            let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
            let calls = rest.split(',').next()?.parse().ok()?;
            Some((name.to_owned(), calls))
        });
        let mut root = test.mariadb.root().await?;
        let rows = handler_reads(&mut root).await?;
        let again = handler_reads(&mut root).await?;
        root.disconnect().await?;
        let ours = ["info", "client|setinfo", "select", "hello", "zcard"];
        Ok(Self {
            commands: commands
                .filter(|(name, _)| !ours.contains(&name.as_str()))
                .collect(),
            rows,
            rows_of_asking: again - rows,
        })
    }

    /// What each of `times` requests since `before` had them do, to one digit: what servers do
    /// now and then beside requests is less.
    pub fn each(&self, before: &Self, times: u64) -> Each {
        let round = |n: u64| (n as f64 * 10.0 / times as f64).round() / 10.0;
        let commands = self.commands.iter().map(|(name, calls)| {
            let before = before.commands.get(name).copied().unwrap_or_default();
            (name.clone(), round(calls - before))
        });
        Each {
            commands: commands.filter(|(_, calls)| *calls > 0.0).collect(),
            rows: round(self.rows - before.rows - 2 * before.rows_of_asking),
        }
    }
}

/// The sum of the counters `Handler_read_...`.
async fn handler_reads(root: &mut Conn) -> Result<u64> {
    let counters: Vec<(String, u64)> = root
        .query("SHOW GLOBAL STATUS LIKE 'Handler\\_read\\_%'")
        .await?;
    Ok(counters.into_iter().map(|(_, reads)| reads).sum())
}

/// What one request has the servers do.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Each {
    /// Calls of each command in Redis.
    pub commands: BTreeMap<String, f64>,
    /// Rows read in MariaDB.
    pub rows: f64,
}
