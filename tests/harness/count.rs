//! Counting what a server was asked, on the server.
//!
//! [`RedisCounter`] listens with MONITOR, [`SqlCounter`] reads MariaDB's general log. Both
//! see everybody who uses the site's database, so a test counts while only the operation
//! in question runs, and warms up first: opening a connection takes commands too. Round
//! trips of one connection are counted by [`crate::proxy::Proxy`].

use futures_util::StreamExt;
use mysql_async::prelude::Queryable;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::TestSite;
use crate::servers::{RedisDb, client};
use crate::wait::PATIENCE;

/// Who had Redis execute a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// A client, by sending it.
    Client,
    /// A script, while it ran.
    Script,
}

/// Commands that are executed in one logical database of Redis.
pub struct RedisCounter {
    db: RedisDb,
    lines: UnboundedReceiver<String>,
    listener: AbortHandle,
}

impl RedisCounter {
    /// Begins to listen.
    ///
    /// # Panics
    /// If Redis does not answer.
    pub async fn start(db: &RedisDb) -> Self {
        let client = client(&db.server.url());
        let monitor = client.get_async_monitor().await.expect("a connection");
        let (sender, lines) = unbounded_channel();
        let listener = tokio::spawn(async move {
            let mut stream = monitor.into_on_message::<String>();
            while let Some(line) = stream.next().await {
                if sender.send(line).is_err() {
                    break;
                }
            }
        })
        .abort_handle();
        let mut counter = Self {
            db: db.clone(),
            lines,
            listener,
        };
        counter.take().await;
        counter
    }

    /// The commands since the last call, as MONITOR prints them: `"HGET" "key" "field"`.
    ///
    /// # Panics
    /// If Redis does not answer.
    pub async fn take(&mut self) -> Vec<String> {
        let commands = self.take_with_scripts().await.into_iter();
        commands
            .filter_map(|(by, command)| (by == By::Client).then_some(command))
            .collect()
    }

    /// As [`RedisCounter::take`], with what scripts executed.
    ///
    /// # Panics
    /// If Redis does not answer.
    pub async fn take_with_scripts(&mut self) -> Vec<(By, String)> {
        // Redis executes commands one after the other: when our own mark is seen, so is
        // everything that came before it.
        let mut own = self.db.connection().await;
        let mark = format!("mark-{}", crate::site::random_hex::<8>());
        let _: String = redis::cmd("ECHO")
            .arg(&mark)
            .query_async(&mut own)
            .await
            .expect("ECHO");
        // Our connection's own set-up is not the client's doing.
        let mut ours = None;
        let mut seen = Vec::new();
        while ours.is_none() {
            let line = timeout(PATIENCE, self.lines.recv())
                .await
                .expect("MONITOR shows nothing")
                .expect("the connection of MONITOR broke");
            // 1700000000.123456 [7 127.0.0.1:40000] "GET" "key"
            let Some((place, command)) = line
                .split_once('[')
                .and_then(|(_, rest)| rest.split_once("] "))
            else {
                continue;
            };
            if command.contains(&mark) {
                ours = Some(place.to_owned());
            }
            seen.push((place.to_owned(), command.to_owned()));
        }
        let address = |place: &str| place.split_once(' ').map(|(_, a)| a.to_owned());
        let ours = ours.as_deref().and_then(address);
        let here = format!("{} ", self.db.index);
        seen.into_iter()
            .filter(|(place, _)| place.starts_with(&here) && address(place) != ours)
            .map(|(place, command)| match place.ends_with(" lua") {
                true => (By::Script, command),
                false => (By::Client, command),
            })
            .collect()
    }
}

impl Drop for RedisCounter {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

/// Statements that clients send to the database of a site. The site needs a MariaDB of
/// its own ([`crate::site::Builder::own_mariadb`]): the log is the whole server's.
pub struct SqlCounter<'a> {
    site: &'a TestSite,
}

impl<'a> SqlCounter<'a> {
    /// Begins to listen.
    ///
    /// # Panics
    /// If MariaDB does not answer.
    pub async fn start(site: &'a TestSite) -> Self {
        let counter = Self { site };
        counter.root("SET GLOBAL general_log = ON").await;
        counter.take().await;
        counter
    }

    /// The statements executed since the last call by the site's user. Executing a
    /// prepared statement counts, preparing it does not; connecting does not, the
    /// statements that a new connection begins with do.
    ///
    /// # Panics
    /// If MariaDB does not answer.
    pub async fn take(&self) -> Vec<String> {
        let mut root = self.site.mariadb.root().await.expect("a connection");
        let user = format!("{}[%", self.site.db_name.replace('_', "\\_"));
        // A statement is in the log before it is executed, so before it is answered.
        let statements: Vec<Vec<u8>> = root
            .exec(
                "SELECT argument FROM mysql.general_log WHERE user_host LIKE ? \
                 AND command_type IN ('Query', 'Execute') ORDER BY event_time",
                (user,),
            )
            .await
            .expect("reading the general log");
        root.query_drop("TRUNCATE TABLE mysql.general_log")
            .await
            .expect("emptying the general log");
        root.disconnect().await.expect("disconnecting");
        statements
            .into_iter()
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .collect()
    }

    async fn root(&self, sql: &str) {
        let mut root = self.site.mariadb.root().await.expect("a connection");
        root.query_drop(sql).await.expect("a statement of root");
        root.disconnect().await.expect("disconnecting");
    }
}
