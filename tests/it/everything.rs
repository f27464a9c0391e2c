//! All that a site has, to be compared with what it had.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use memora_tests::TestSite;
use memora_tests::servers::RedisDb;
use redis::aio::MultiplexedConnection;

/// Tables with their sums, partitions, keys of both Redis with what is in them, and the files
/// below the site's folder.
pub(crate) struct Everything {
    tables: BTreeMap<String, String>,
    partitions: BTreeSet<String>,
    keys: BTreeMap<Vec<u8>, Vec<u8>>,
    files: BTreeMap<String, Vec<u8>>,
}

impl Everything {
    /// What there is now.
    pub(crate) async fn of(test: &TestSite) -> Self {
        let mut keys = keys(&test.cache).await;
        keys.extend(self::keys(&test.queue).await);
        Self {
            keys,
            ..Self::but_redis(test).await
        }
    }

    /// The same of a site whose Redis with the schedules is away.
    pub(crate) async fn but_the_cache(test: &TestSite) -> Self {
        Self {
            keys: keys(&test.queue).await,
            ..Self::but_redis(test).await
        }
    }

    /// The same but this table.
    pub(crate) fn without(mut self, table: &str) -> Self {
        self.tables.remove(table);
        self
    }

    /// What is here and is not, or is otherwise, in `other`, and the other way round.
    pub(crate) fn differences(&self, other: &Self) -> Vec<String> {
        fn of<K: Ord + std::fmt::Debug, V: PartialEq + std::fmt::Debug>(
            one: &BTreeMap<K, V>,
            other: &BTreeMap<K, V>,
        ) -> Vec<String> {
            let names: BTreeSet<&K> = one.keys().chain(other.keys()).collect();
            let differ = names
                .into_iter()
                .filter(|name| one.get(name) != other.get(name));
            differ
                .map(|name| format!("{name:?}: {:?}, {:?}", one.get(name), other.get(name)))
                .collect()
        }
        let text = |keys: &BTreeMap<Vec<u8>, Vec<u8>>| -> BTreeMap<String, Vec<u8>> {
            let named = keys.iter();
            named
                .map(|(key, value)| (String::from_utf8_lossy(key).into_owned(), value.clone()))
                .collect()
        };
        let partitions = self.partitions.symmetric_difference(&other.partitions);
        [
            of(&self.tables, &other.tables),
            partitions.cloned().collect(),
            of(&text(&self.keys), &text(&other.keys)),
            of(&self.files, &other.files),
        ]
        .concat()
    }

    /// Nothing is otherwise than in `before`.
    #[track_caller]
    pub(crate) fn is_as_before(&self, before: &Self, when: &str) {
        let none: [String; 0] = [];
        assert_eq!(self.differences(before), none, "{when}");
    }

    async fn but_redis(test: &TestSite) -> Self {
        let names: Vec<String> = test
            .query(
                "SELECT table_name FROM information_schema.tables \
                 WHERE table_schema = DATABASE()",
                (),
            )
            .await;
        let mut tables = BTreeMap::new();
        for name in names {
            let sum: Option<(String, Option<u64>)> = test
                .query_one(&format!("CHECKSUM TABLE `{name}`"), ())
                .await;
            let made: Option<(String, String)> = test
                .query_one(&format!("SHOW CREATE TABLE `{name}`"), ())
                .await;
            let made = made.map(|(_, made)| without_counter(&made));
            tables.insert(name, format!("{sum:?} {made:?}"));
        }
        let partitions: Vec<String> = test
            .query(
                "SELECT CONCAT(table_name, ' ', partition_name) FROM information_schema.partitions \
                 WHERE table_schema = DATABASE() AND partition_name IS NOT NULL",
                (),
            )
            .await;
        let mut files = BTreeMap::new();
        read_all(&test.sites_path.join(&test.name), &mut files);
        Self {
            tables,
            partitions: partitions.into_iter().collect(),
            keys: BTreeMap::new(),
            files,
        }
    }
}

/// A table's definition but for the next number of a row.
fn without_counter(made: &str) -> String {
    let words = made.split(' ');
    let stays = words.filter(|word| !word.starts_with("AUTO_INCREMENT="));
    stays.collect::<Vec<_>>().join(" ")
}

async fn keys(db: &RedisDb) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut redis = db.connection().await;
    let mut all = redis::cmd("KEYS");
    let names: Vec<Vec<u8>> = all.arg("*").query_async(&mut redis).await.unwrap();
    let mut found = BTreeMap::new();
    for name in names {
        let value = value(&mut redis, &name).await;
        // One may have run out since.
        found.extend(value.map(|value| (name, value)));
    }
    found
}

/// What is under a key. Redis deals a hash or a set out anew as it grows, some time after it was
/// written: their members are compared in an order of their own.
async fn value(redis: &mut MultiplexedConnection, name: &[u8]) -> Option<Vec<u8>> {
    let of = |command: &str| {
        let mut command = redis::cmd(command);
        command.arg(name);
        command
    };
    let kind: String = of("TYPE").query_async(redis).await.unwrap();
    match kind.as_str() {
        "hash" => {
            let fields: BTreeMap<Vec<u8>, Vec<u8>> =
                of("HGETALL").query_async(redis).await.unwrap();
            Some(format!("{fields:?}").into_bytes())
        }
        "set" => {
            let members: BTreeSet<Vec<u8>> = of("SMEMBERS").query_async(redis).await.unwrap();
            Some(format!("{members:?}").into_bytes())
        }
        _ => of("DUMP").query_async(redis).await.unwrap(),
    }
}

fn read_all(folder: &Path, files: &mut BTreeMap<String, Vec<u8>>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_all(&path, files);
        } else {
            let bytes = std::fs::read(&path).unwrap();
            files.insert(path.display().to_string(), bytes);
        }
    }
}
