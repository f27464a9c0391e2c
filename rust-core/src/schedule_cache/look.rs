//! Reading a complete schedule without a script.
//!
//! A script asks the server who it is with each call (rule C8), which takes longer than
//! the reading itself. Here the server is asked once for each connection, whose other end
//! cannot change, and only what may change meanwhile is asked each time, in one transaction
//! with the data: role and `master_replid`. So a restart, a promotion and a REPLICAOF are
//! noticed as exactly as by the scripts. Whatever is not a complete schedule is left to
//! them.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use redis::{Pipeline, Value, pipe};

use super::{ScheduleCache, text};
use crate::Result;

/// Hex digits of a marker that name the instance.
const INSTANCE: usize = 16;

/// Who the server is, as it said over one connection.
pub(super) struct Identity {
    connection: u64,
    /// `master_replid` with its name, as INFO has it.
    data_set: String,
    /// The marker of complete schedules.
    marker: Vec<u8>,
}

impl Identity {
    /// Names the data set, for people and notes.
    pub(super) fn name(&self) -> String {
        let marker = self.marker.len().saturating_sub(INSTANCE);
        String::from_utf8_lossy(&self.marker[marker..]).into_owned()
    }
}

/// See [`Identity`]; `None` before the first look.
pub(super) type Server = ArcSwapOption<Identity>;

impl ScheduleCache {
    /// The replies to `commands`, which read `key`; `None` if it is not complete, or that
    /// is not certain. One round trip, one more over a new connection.
    pub(super) async fn look(
        &self,
        key: &str,
        commands: impl FnOnce(&mut Pipeline),
    ) -> Result<Option<Vec<Value>>> {
        let Some(known) = self.identity().await? else {
            return Ok(None);
        };
        let mut asked = pipe();
        asked.atomic();
        asked.cmd("INFO").arg("replication");
        asked.cmd("ZSCORE").arg(key).arg(&known.marker);
        commands(&mut asked);
        let (connection, mut replies): (u64, Vec<Value>) = self.link.pipeline_over(&asked).await?;
        let same = connection == known.connection
            && replies
                .first()
                .and_then(info)
                .is_some_and(|said| is_master(said) && said.contains(&known.data_set));
        if !same {
            self.server.store(None);
            return Ok(None);
        }
        if !matches!(
            replies.get(1),
            Some(Value::BulkString(_) | Value::Double(_))
        ) {
            return Ok(None);
        }
        Ok(Some(replies.split_off(2)))
    }

    /// `None` on a replica.
    pub(super) async fn identity(&self) -> Result<Option<Arc<Identity>>> {
        if let Some(known) = self.server.load_full() {
            return Ok(Some(known));
        }
        let mut asked = pipe();
        asked.atomic();
        asked.cmd("INFO").arg("server");
        asked.cmd("INFO").arg("replication");
        let (connection, replies): (u64, Vec<Value>) = self.link.pipeline_over(&asked).await?;
        let [Some(server), Some(replication)] = [0, 1].map(|i| replies.get(i).and_then(info))
        else {
            return Ok(None);
        };
        let (Some(run), Some(data)) = (
            field(server, "run_id:"),
            field(replication, "master_replid:"),
        ) else {
            return Ok(None);
        };
        if !is_master(replication) {
            return Ok(None);
        }
        // As `instance` in prelude.lua.
        let mut here = sha1_smol::Sha1::from(format!("{run}{data}"))
            .digest()
            .to_string();
        here.truncate(INSTANCE);
        let known = Arc::new(Identity {
            connection,
            data_set: format!("master_replid:{data}"),
            marker: [&self.own, here.as_bytes()].concat(),
        });
        self.server.store(Some(known.clone()));
        Ok(Some(known))
    }
}

/// The text of an INFO; RESP3 has a type of its own for it.
fn info(value: &Value) -> Option<&str> {
    match value {
        Value::VerbatimString { text, .. } => Some(text),
        value => text(value),
    }
}

fn is_master(replication: &str) -> bool {
    field(replication, "role:") == Some("master")
}

fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name))
}
