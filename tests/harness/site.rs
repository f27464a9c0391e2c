//! A Frappe-shaped site of a test's own: database, user, Redis databases, and a bench
//! folder with the two configuration files.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use chrono::Utc;
use chrono_tz::Tz;
use memora_core::config::{FrappeVersion, SiteConfig};
use memora_core::services::Site;
use memora_core::store::migrate;
use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Opts, OptsBuilder, Params, Pool, PoolConstraints, PoolOpts};
use serde_json::{Map, Value, json};

use crate::scratch;
use crate::servers::{self, MariaDb, MariaDbOptions, Redis, RedisDb, RedisOptions};

const BASELINE: &str = include_str!("../fixtures/baseline.sql");

static NEXT: AtomicU64 = AtomicU64::new(1);

/// A site of a test's own. Its database goes when it is dropped.
pub struct TestSite {
    /// Its name, which no other test uses.
    pub name: String,
    /// The bench's `sites` folder; only this site is in it.
    pub sites_path: PathBuf,
    /// The database's name, which is also its user and Frappe's prefix in Redis.
    pub db_name: String,
    /// That user's password.
    pub db_password: String,
    /// Connections to the database, as the site's own user.
    pub db: Pool,
    /// The server with the database.
    pub mariadb: Arc<MariaDb>,
    /// bench's `redis_cache`: sessions, and schedules too.
    pub cache: RedisDb,
    /// bench's `redis_queue`.
    pub queue: RedisDb,
    /// The site's time zone.
    pub zone: Tz,
    /// The Fernet key of `__Auth`.
    pub encryption_key: String,
    /// The prefix of RQ's queue names.
    pub bench_id: String,
    frappe: FrappeVersion,
    bench: PathBuf,
}

/// What a site is to be like; see [`TestSite::builder`].
pub struct Builder {
    zone: Tz,
    frappe: FrappeVersion,
    migrate: bool,
    extra: Map<String, Value>,
    common_extra: Map<String, Value>,
    mariadb: Option<Arc<MariaDb>>,
    cache: Option<RedisDb>,
    queue: Option<RedisDb>,
    own_mariadb: Option<MariaDbOptions>,
    own_cache: Option<RedisOptions>,
    own_queue: Option<RedisOptions>,
}

impl TestSite {
    /// A migrated site in Asia/Kolkata on the shared servers.
    ///
    /// # Panics
    /// If it cannot be made.
    pub async fn new() -> Self {
        Self::builder().build().await
    }

    /// A site that differs from the usual one.
    pub fn builder() -> Builder {
        Builder {
            // Not UTC, and not a whole hour off: conversions that are forgotten show.
            zone: Tz::Asia__Kolkata,
            frappe: FrappeVersion::V15,
            migrate: true,
            extra: Map::new(),
            common_extra: Map::new(),
            mariadb: None,
            cache: None,
            queue: None,
            own_mariadb: None,
            own_cache: None,
            own_queue: None,
        }
    }

    /// The site as the engine sees it. Each call opens it anew, with nothing cached in
    /// memory: like one more process.
    ///
    /// # Panics
    /// If the engine refuses it.
    #[expect(clippy::unused_async, reason = "opening a site will do I/O")]
    pub async fn site(&self) -> Arc<Site> {
        Site::open(self.config()).expect("opening the site")
    }

    /// What the engine knows about the site.
    pub fn config(&self) -> SiteConfig {
        memora_core::config::load(&self.sites_path, &self.name).expect("the configuration")
    }

    /// Brings the schema up to date, as `memora-srs migrate` does.
    ///
    /// # Panics
    /// If a step fails.
    pub async fn migrate(&self) {
        let db = memora_core::servers::mariadb::MariaDb::new(&self.config().db, 2);
        let options = migrate::Options::at(self.wall(Utc::now()));
        migrate::run(&db, &options, |_| {})
            .await
            .expect("migrating the site");
        db.close().await;
    }

    /// How to connect to the database as the site's own user, past the pool.
    pub fn db_opts(&self) -> Opts {
        db_opts(
            self.mariadb.port(),
            &self.db_name,
            &self.db_password,
            PoolOpts::default(),
        )
    }

    /// Runs one statement; says how many rows it changed.
    ///
    /// # Panics
    /// If it fails.
    pub async fn exec(&self, sql: &str, params: impl Into<Params> + Send) -> u64 {
        let mut conn = self.db.get_conn().await.expect("a connection");
        conn.exec_drop(sql, params)
            .await
            .unwrap_or_else(|e| panic!("{e}\nin: {sql}"));
        conn.affected_rows()
    }

    /// Runs a query.
    ///
    /// # Panics
    /// If it fails.
    pub async fn query<T>(&self, sql: &str, params: impl Into<Params> + Send) -> Vec<T>
    where
        T: FromRow + Send + 'static,
    {
        let mut conn = self.db.get_conn().await.expect("a connection");
        conn.exec(sql, params)
            .await
            .unwrap_or_else(|e| panic!("{e}\nin: {sql}"))
    }

    /// Runs a query for one row; `None` if there is none.
    ///
    /// # Panics
    /// If it fails.
    pub async fn query_one<T>(&self, sql: &str, params: impl Into<Params> + Send) -> Option<T>
    where
        T: FromRow + Send + 'static,
    {
        self.query(sql, params).await.into_iter().next()
    }

    /// Sets one key of `site_config.json`, or removes it with `Value::Null`.
    ///
    /// # Panics
    /// If the file cannot be written.
    pub fn set_config(&self, key: &str, value: Value) {
        let path = self.sites_path.join(&self.name).join("site_config.json");
        let text = fs::read_to_string(&path).expect("site_config.json");
        let mut config: Map<String, Value> = serde_json::from_str(&text).expect("JSON");
        if value.is_null() {
            config.remove(key);
        } else {
            config.insert(key.to_owned(), value);
        }
        // As a careful editor does it, so that no reader sees half a file.
        let new = path.with_extension("new");
        fs::write(&new, pretty(&config)).expect("writing site_config.json");
        fs::rename(&new, &path).expect("renaming site_config.json");
    }

    /// Sets a System Setting, in both places where Frappe keeps it.
    ///
    /// # Panics
    /// If a statement fails.
    pub async fn set_system_setting(&self, key: &str, value: &str) {
        self.exec(
            "DELETE FROM tabSingles WHERE doctype = 'System Settings' AND field = ?",
            (key,),
        )
        .await;
        self.exec(
            "INSERT INTO tabSingles (doctype, field, value) VALUES ('System Settings', ?, ?)",
            (key, value),
        )
        .await;
        self.exec(
            "DELETE FROM tabDefaultValue WHERE parent = '__default' AND defkey = ?",
            (key,),
        )
        .await;
        self.exec(
            "INSERT INTO tabDefaultValue (name, creation, modified, owner, modified_by, parent, \
             parentfield, parenttype, defkey, defvalue) VALUES (?, '2026-01-01', '2026-01-01', \
             'Administrator', 'Administrator', '__default', 'system_defaults', '__default', ?, ?)",
            (format!("def-{key}"), key, value),
        )
        .await;
    }

    async fn create(&self) -> Result<()> {
        let mut root = self.mariadb.root().await?;
        let (db, password) = (&self.db_name, &self.db_password);
        // As `bench new-site` does it.
        root.query_drop(format!(
            "CREATE DATABASE `{db}` CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci; \
             CREATE USER '{db}'@'%' IDENTIFIED BY '{password}'; \
             GRANT ALL PRIVILEGES ON `{db}`.* TO '{db}'@'%'"
        ))
        .await
        .context("creating the database")?;
        root.disconnect().await?;

        let mut conn = self.db.get_conn().await?;
        conn.query_drop(BASELINE)
            .await
            .context("creating the tables of Frappe (baseline.sql)")?;
        drop(conn);
        let version = self.frappe_release();
        self.exec(
            "INSERT INTO `tabInstalled Application` (name, creation, modified, owner, \
             modified_by, app_name, app_version, parent, parentfield, parenttype, idx) \
             VALUES ('app-frappe', '2026-01-01', '2026-01-01', 'Administrator', \
             'Administrator', 'frappe', ?, 'Installed Applications', \
             'installed_applications', 'Installed Applications', 1)",
            (version,),
        )
        .await;
        self.set_system_setting("time_zone", self.zone.name()).await;
        Ok(())
    }

    fn frappe_release(&self) -> &'static str {
        match self.frappe {
            FrappeVersion::V14 => "14.81.4",
            FrappeVersion::V15 => "15.44.2",
            FrappeVersion::V16 => "16.0.0",
        }
    }

    fn write_files(&self, builder: &Builder) -> Result<()> {
        let mut common = json!({
            "background_workers": 1,
            "bench_id": self.bench_id,
            "db_host": "127.0.0.1",
            "db_port": self.mariadb.port(),
            "default_site": self.name,
            "redis_cache": self.cache.url(),
            "redis_queue": self.queue.url(),
            "workers": {"srs_write": {"timeout": 300, "background_workers": 1}},
        });
        let mut site = json!({
            "db_name": self.db_name,
            "db_password": self.db_password,
            "db_type": "mariadb",
            "encryption_key": self.encryption_key,
            // A busy machine is no slow server: tests of slow servers set the real ones.
            "srs_state_budget_ms": 5000,
            "srs_journal_budget_ms": 5000,
        });
        merge(&mut common, &builder.common_extra);
        merge(&mut site, &builder.extra);

        let folder = self.sites_path.join(&self.name);
        fs::create_dir_all(&folder)?;
        fs::write(
            self.sites_path.join("common_site_config.json"),
            pretty(&common),
        )?;
        fs::write(folder.join("site_config.json"), pretty(&site))?;
        fs::write(self.sites_path.join("apps.txt"), "frappe\nmemora\n")?;

        let frappe = self.bench.join("apps/frappe/frappe");
        fs::create_dir_all(&frappe)?;
        fs::write(
            frappe.join("__init__.py"),
            format!("__version__ = \"{}\"\n", self.frappe_release()),
        )?;
        Ok(())
    }
}

impl Drop for TestSite {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.bench);
        // A server of its own goes with the site.
        if Arc::strong_count(&self.mariadb) == 1 {
            return;
        }
        let mariadb = self.mariadb.clone();
        let db = self.db_name.clone();
        // A runtime of its own: the test's may be ending. Nobody waits: the server goes
        // with the process, this only frees its memory while other tests run.
        std::thread::spawn(move || {
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
            else {
                return;
            };
            runtime.block_on(async {
                if let Ok(mut root) = mariadb.root().await {
                    let _ = root
                        .query_drop(format!("DROP DATABASE `{db}`; DROP USER '{db}'@'%'"))
                        .await;
                    let _ = root.disconnect().await;
                }
            });
        });
    }
}

impl Builder {
    /// The site's time zone.
    #[must_use]
    pub fn zone(mut self, zone: Tz) -> Self {
        self.zone = zone;
        self
    }

    /// Which Frappe the site looks like.
    #[must_use]
    pub fn frappe(mut self, version: FrappeVersion) -> Self {
        self.frappe = version;
        self
    }

    /// Leaves the tables as Frappe made them.
    #[must_use]
    pub fn unmigrated(mut self) -> Self {
        self.migrate = false;
        self
    }

    /// A key of `site_config.json`.
    #[must_use]
    pub fn config(mut self, key: &str, value: Value) -> Self {
        self.extra.insert(key.to_owned(), value);
        self
    }

    /// A key of `common_site_config.json`.
    #[must_use]
    pub fn common_config(mut self, key: &str, value: Value) -> Self {
        self.common_extra.insert(key.to_owned(), value);
        self
    }

    /// A MariaDB of its own, to be stopped, frozen or counted.
    #[must_use]
    pub fn own_mariadb(self) -> Self {
        self.own_mariadb_with(MariaDbOptions::default())
    }

    /// As [`Self::own_mariadb`], with options.
    #[must_use]
    pub fn own_mariadb_with(mut self, options: MariaDbOptions) -> Self {
        self.own_mariadb = Some(options);
        self
    }

    /// On this MariaDB.
    #[must_use]
    pub fn on_mariadb(mut self, mariadb: Arc<MariaDb>) -> Self {
        self.mariadb = Some(mariadb);
        self
    }

    /// A Redis of its own for sessions and schedules.
    #[must_use]
    pub fn own_cache(self) -> Self {
        self.own_cache_with(RedisOptions::default())
    }

    /// As [`Self::own_cache`], with options.
    #[must_use]
    pub fn own_cache_with(mut self, options: RedisOptions) -> Self {
        self.own_cache = Some(options);
        self
    }

    /// On this Redis database, which another site may use too.
    #[must_use]
    pub fn on_cache(mut self, cache: RedisDb) -> Self {
        self.cache = Some(cache);
        self
    }

    /// A Redis of its own for RQ's queues.
    #[must_use]
    pub fn own_queue(self) -> Self {
        self.own_queue_with(RedisOptions::default())
    }

    /// As [`Self::own_queue`], with options.
    #[must_use]
    pub fn own_queue_with(mut self, options: RedisOptions) -> Self {
        self.own_queue = Some(options);
        self
    }

    /// On this Redis database, which another site may use too.
    #[must_use]
    pub fn on_queue(mut self, queue: RedisDb) -> Self {
        self.queue = Some(queue);
        self
    }

    /// Makes the site.
    ///
    /// # Panics
    /// If it cannot be made.
    pub async fn build(self) -> TestSite {
        self.try_build()
            .await
            .unwrap_or_else(|e| panic!("making a test site: {e:#}"))
    }

    /// Makes the site.
    ///
    /// # Errors
    /// If a server cannot be started or a table not be made.
    pub async fn try_build(mut self) -> Result<TestSite> {
        let mariadb = match (self.mariadb.take(), self.own_mariadb.take()) {
            (Some(given), _) => given,
            (None, Some(options)) => Arc::new(MariaDb::start(options).await?),
            (None, None) => servers::shared().await?.mariadb.clone(),
        };
        let cache = match (self.cache.take(), self.own_cache.take()) {
            (Some(given), _) => given,
            (None, Some(options)) => Arc::new(Redis::start(options).await?).new_db(),
            (None, None) => servers::shared().await?.cache.new_db(),
        };
        let queue = match (self.queue.take(), self.own_queue.take()) {
            (Some(given), _) => given,
            (None, Some(options)) => Arc::new(Redis::start(options).await?).new_db(),
            (None, None) => servers::shared().await?.queue.new_db(),
        };

        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let db_name = format!("site_{n}");
        let db_password = random_hex::<8>();
        let pool = PoolOpts::default()
            .with_constraints(PoolConstraints::new(0, 8).unwrap_or_default())
            .with_inactive_connection_ttl(std::time::Duration::from_secs(60));
        let db = Pool::new(db_opts(mariadb.port(), &db_name, &db_password, pool));
        let bench = scratch::new_dir("bench")?;
        let site = TestSite {
            name: format!("site{n}.test"),
            sites_path: bench.join("sites"),
            db_name,
            db,
            mariadb,
            cache,
            queue,
            zone: self.zone,
            encryption_key: fernet::Fernet::generate_key(),
            bench_id: format!("bench{n}"),
            frappe: self.frappe,
            bench,
            db_password,
        };
        site.write_files(&self).context("writing the bench")?;
        site.create().await?;
        if self.migrate {
            site.migrate().await;
        }
        Ok(site)
    }
}

fn db_opts(port: u16, name: &str, password: &str, pool: PoolOpts) -> Opts {
    let opts = OptsBuilder::default()
        .ip_or_hostname("127.0.0.1")
        .tcp_port(port)
        .user(Some(name))
        .pass(Some(password))
        .db_name(Some(name))
        .prefer_socket(false)
        .pool_opts(pool);
    Opts::from(opts)
}

fn merge(into: &mut Value, extra: &Map<String, Value>) {
    if let Value::Object(map) = into {
        map.extend(extra.clone());
    }
}

fn pretty(value: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(value).expect("JSON of our own")
}

/// Random lower case hexadecimal text of `2 * N` digits.
pub(crate) fn random_hex<const N: usize>() -> String {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system's random numbers");
    hex::encode(bytes)
}
