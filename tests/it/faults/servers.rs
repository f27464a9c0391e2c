//! The servers of a stage, and what can be done to them.

use std::sync::Arc;
use std::time::Duration;

use memora_core::config::Secret;
use memora_core::services::Site;
use memora_tests::disk::SmallDisk;
use memora_tests::proxy::{Fault as Net, Proxy};
use memora_tests::servers::RedisOptions;
use memora_tests::{Due, TestSite, wait};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use redis::aio::MultiplexedConnection;
use serde_json::json;

use super::cells::BOB;
use crate::story::{ANN, SEASON};

/// Questions of each student, all of them due.
pub(super) const QUESTIONS: usize = 60;
/// The login of the bench on its queue Redis.
const QUEUE_USER: &str = "bench";
/// As slow as a server in the promises.
const SLOW: Duration = Duration::from_secs(5);

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Each packet to and from MariaDB takes five seconds.
    MariaDbSlow,
    /// It is stopped in its tracks: connections stay, nothing is answered.
    MariaDbHung,
    /// It is shut down.
    MariaDbRefusing,
    /// It takes no writes.
    MariaDbReadOnly,
    /// It takes no more connections.
    MariaDbCrowded,
    /// Somebody holds a lock on the journal.
    JournalLocked,
    /// It is killed. Without append-only file it comes back empty.
    QueueDown,
    /// It is stopped in its tracks.
    QueueHung,
    /// It is at its limit and evicts nothing.
    QueueFull,
    /// It is killed, and comes back empty.
    CacheDown,
    /// It is stopped in its tracks.
    CacheHung,
    /// It is at its limit and evicts nothing.
    CacheFull,
    /// The spool's folder cannot be made or written.
    NoSpool,
    /// The spool's disk is full.
    NoRoom,
}

/// Servers of a test's own, and a site on them.
pub(super) struct Stage {
    pub(super) test: TestSite,
    mariadb: Proxy,
    /// Connections that are held to make a fault.
    held: Vec<Conn>,
    /// Where the spool is, if not in the site's folder.
    disk: Option<SmallDisk>,
    /// How often something was begun, so that each has questions of its own.
    pub(super) cells: usize,
}

impl Stage {
    /// With or without an append-only file of the queue's Redis. Its user there may do what
    /// `bench create-rq-users` lets it do.
    pub(super) async fn new(appendonly: bool) -> Self {
        Self::with(appendonly, None).await
    }

    /// The same with the spool on a disk that can be filled.
    pub(super) async fn with(appendonly: bool, disk: Option<SmallDisk>) -> Self {
        let spool = disk.as_ref().map(|disk| disk.folder("spool"));
        let mut extra: Vec<String> = ["--user", QUEUE_USER, "on", ">secret", "resetkeys"]
            .map(str::to_owned)
            .to_vec();
        extra.extend(
            ["~rq:[^q]*", "~rq:queues", "~rq:queue:*", "+@all", "-@admin"].map(str::to_owned),
        );
        let queue = RedisOptions {
            appendonly,
            extra,
            ..RedisOptions::default()
        };
        let mut builder = TestSite::builder();
        if let Some(spool) = spool {
            builder = builder.config("srs_spool_dir", json!(spool));
        }
        let test = builder
            .own_mariadb()
            .own_cache()
            .own_queue_with(queue)
            // Less than the harness has, since each cell waits for some of them.
            .config("srs_state_budget_ms", json!(600))
            .config("srs_journal_budget_ms", json!(400))
            .config("srs_safe_mode_user_seconds", json!(0))
            .build()
            .await;
        test.add_season(SEASON).await;
        for student in [ANN, BOB] {
            test.add_student(student).await;
            test.add_questions(student, SEASON, QUESTIONS, Due::All)
                .await;
        }
        Self {
            mariadb: Proxy::start(test.mariadb.port()).await,
            test,
            held: Vec::new(),
            disk,
            cells: 0,
        }
    }

    /// The site as another process sees it, through the proxy and with the bench's login.
    pub(super) fn open(&self) -> Arc<Site> {
        let mut config = self.test.config();
        config.db.host = "127.0.0.1".to_owned();
        config.db.port = self.mariadb.port();
        let (port, db) = (self.test.queue.server.port(), self.test.queue.index);
        let url = format!("redis://{QUEUE_USER}:secret@127.0.0.1:{port}/{db}");
        config.redis_queue = Secret::new(url);
        Site::open(config).expect("opening the site")
    }

    async fn root(&self, statement: &str) {
        let mut root = self.test.mariadb.root().await.expect("root");
        root.query_drop(statement).await.expect(statement);
        root.disconnect().await.expect("a farewell");
    }

    /// Nobody but root gets a connection any more.
    async fn crowd(&mut self) {
        self.root("SET GLOBAL max_connections = 10").await;
        let mut root = self.test.mariadb.root().await.expect("root");
        loop {
            let ours: Vec<u32> = self.held.iter().map(Conn::id).collect();
            let theirs: Vec<u32> = root
                .exec(
                    "SELECT id FROM information_schema.processlist WHERE user = ?",
                    (&self.test.db_name,),
                )
                .await
                .expect("the connections");
            let theirs: Vec<u32> = theirs.into_iter().filter(|id| !ours.contains(id)).collect();
            for id in &theirs {
                // It may have ended by itself.
                let _ = root.query_drop(format!("KILL {id}")).await;
            }
            match Conn::new(self.test.db_opts()).await {
                Ok(conn) => self.held.push(conn),
                Err(_) if theirs.is_empty() => break,
                Err(_) => {}
            }
        }
        root.disconnect().await.expect("a farewell");
        // Root's own counted, too. Whether it is gone shows in who is let in.
        let last = wait::until("its place is taken", || async {
            Conn::new(self.test.db_opts()).await.ok()
        })
        .await;
        self.held.push(last);
    }

    async fn set_limit(redis: &mut MultiplexedConnection, bytes: u32) {
        let _: () = redis::cmd("CONFIG")
            .arg(&["SET", "maxmemory", &bytes.to_string()])
            .query_async(redis)
            .await
            .expect("CONFIG SET");
    }

    pub(super) async fn begin(&mut self, fault: Fault) {
        let test = &self.test;
        match fault {
            Fault::MariaDbSlow => self.mariadb.set(Net::Delay(SLOW)),
            Fault::MariaDbHung => test.mariadb.pause(),
            Fault::MariaDbRefusing => test.mariadb.stop(),
            Fault::MariaDbReadOnly => self.root("SET GLOBAL read_only = 1").await,
            Fault::MariaDbCrowded => self.crowd().await,
            Fault::JournalLocked => {
                let mut conn = Conn::new(test.db_opts()).await.expect("a connection");
                conn.query_drop("LOCK TABLES memora_srs_journal WRITE")
                    .await
                    .expect("the lock");
                self.held.push(conn);
            }
            Fault::QueueDown => test.queue.server.kill(),
            Fault::QueueHung => test.queue.server.pause(),
            Fault::QueueFull => Self::set_limit(&mut test.queue.connection().await, 1).await,
            Fault::CacheDown => test.cache.server.kill(),
            Fault::CacheHung => test.cache.server.pause(),
            Fault::CacheFull => Self::set_limit(&mut test.cache.connection().await, 1).await,
            // A file is no folder, whoever runs this.
            Fault::NoSpool => {
                let spool = test.config().spool_dir();
                let _ = std::fs::remove_dir_all(&spool);
                std::fs::create_dir_all(spool.parent().unwrap()).unwrap();
                std::fs::write(&spool, "").unwrap();
            }
            Fault::NoRoom => self.disk.as_ref().expect("a small disk").fill(),
        }
    }

    pub(super) async fn end(&mut self, fault: Fault) {
        let test = &self.test;
        match fault {
            Fault::MariaDbSlow => self.mariadb.set(Net::None),
            Fault::MariaDbHung => test.mariadb.resume(),
            Fault::MariaDbRefusing => test.mariadb.start_again().await,
            Fault::MariaDbReadOnly => self.root("SET GLOBAL read_only = 0").await,
            Fault::MariaDbCrowded | Fault::JournalLocked => {
                for conn in self.held.drain(..) {
                    conn.disconnect().await.expect("a farewell");
                }
                self.root("SET GLOBAL max_connections = 500").await;
            }
            Fault::QueueDown => test.queue.server.start_again().await,
            Fault::QueueHung => test.queue.server.resume(),
            Fault::QueueFull => Self::set_limit(&mut test.queue.connection().await, 0).await,
            Fault::CacheDown => test.cache.server.start_again().await,
            Fault::CacheHung => test.cache.server.resume(),
            Fault::CacheFull => Self::set_limit(&mut test.cache.connection().await, 0).await,
            Fault::NoSpool => {
                let _ = std::fs::remove_file(test.config().spool_dir());
            }
            Fault::NoRoom => self.disk.as_ref().expect("a small disk").free(),
        }
    }
}
