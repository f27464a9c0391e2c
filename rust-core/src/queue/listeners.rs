//! Who works on a queue: RQ's workers and ours, as they register. Every answer to "does
//! anybody listen?" comes from here.

use serde::Serialize;

use super::{Producer, keys};
use crate::Result;

/// See the module's documentation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listeners {
    /// RQ's name of the queue, with the bench's id.
    pub queue: String,
    /// Native workers that live.
    pub native: u64,
    /// RQ's workers in Python that live.
    pub python: u64,
    /// Whether `rq suspend` holds them all.
    pub suspended: bool,
}

impl Listeners {
    /// All of them.
    pub fn count(&self) -> u64 {
        self.native + self.python
    }
}

impl Producer {
    /// Asks who works on the queue that our jobs go to. A worker that was killed is listed for
    /// some minutes.
    ///
    /// # Errors
    /// `Unavailable` if the queue's Redis is away.
    pub async fn listeners(&self) -> Result<Listeners> {
        let queue = self.queue().await?.to_owned();
        self.listeners_to(queue).await
    }

    pub(super) async fn listeners_to(&self, queue: String) -> Result<Listeners> {
        let mut asked = redis::pipe();
        asked
            .smembers(keys::workers_of(&queue))
            .exists(keys::SUSPENDED);
        let (workers, suspended): (Vec<String>, bool) = self.redis.pipeline(&asked).await?;
        let mut asked = redis::pipe();
        for worker in &workers {
            asked.cmd("HMGET").arg(worker).arg(&["version", "death"]);
        }
        let known: Vec<(Option<String>, Option<String>)> = match workers.is_empty() {
            true => Vec::new(),
            false => self.redis.pipeline(&asked).await?,
        };
        // One that ended says when, and its key stays for a minute.
        let alive = || known.iter().filter(|(_, death)| death.is_none());
        // A registration that has run out has no fields at all.
        let versions = || alive().filter_map(|(version, _)| version.as_deref());
        let native = versions().filter(|v| v.starts_with("memora-srs")).count() as u64;
        Ok(Listeners {
            queue,
            native,
            python: versions().count() as u64 - native,
            suspended,
        })
    }
}
