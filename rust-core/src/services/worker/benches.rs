//! Which sites a worker works for, and the workers that RQ sees.
//!
//! Sites whose jobs go through the same queues have one worker in RQ's eyes. Sites are made,
//! dropped, broken and mended while it runs. One whose sites have changed ends, after what it
//! has taken, and another begins: what RQ was told of it stays true.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{Bench, Options, Stopping};
use crate::config::Secret;
use crate::queue::{QueueWorker, WorkerOptions, own_queues};
use crate::services::{Site, Sites};
use crate::types::UtcMicros;
use crate::{ErrorKind, Result};

/// What sites have in common that one worker can serve. Sites of one bench share one queue
/// Redis as a rule, but need not.
type Place = (Secret, String, u32);

/// Sites that can be worked for, by name.
pub(super) struct Members {
    sites: BTreeMap<String, Arc<Site>>,
    queues: Vec<String>,
}

impl Members {
    /// At the start.
    ///
    /// # Errors
    /// Those of a site that was asked for; in burst mode, if there is none but some that
    /// cannot be opened, the first of theirs.
    pub(super) async fn first(sites: &Sites, options: &Options) -> Result<Self> {
        let asked_for = !options.sites.is_empty();
        let mut first = Self {
            sites: BTreeMap::new(),
            queues: options.queues.clone(),
        };
        let mut refused = None;
        for name in names(sites, options)? {
            match sites.get(&name).await {
                Ok(site) => _ = first.sites.insert(name, site),
                Err(error) if asked_for => return Err(error.about(&name)),
                Err(error) => _ = refused.get_or_insert(error.about(&name)),
            }
        }
        match refused {
            Some(error) if options.burst && first.sites.is_empty() => Err(error),
            _ => Ok(first),
        }
    }

    /// Later. One that broke meanwhile stays: its jobs wait in the queue as those of a site
    /// whose database is away. Why it is refused is said by whoever opens sites.
    pub(super) async fn again(self, sites: &Sites, options: &Options) -> Self {
        let Ok(names) = names(sites, options) else {
            return self;
        };
        let mut now = BTreeMap::new();
        for name in names {
            let site = match sites.get(&name).await {
                Ok(site) => Some(site),
                Err(error) if error.kind() == ErrorKind::NotFound => None,
                Err(_) => self.sites.get(&name).cloned(),
            };
            if let Some(site) = site {
                now.insert(name, site);
            }
        }
        Self { sites: now, ..self }
    }

    fn by_place(&self) -> HashMap<Place, Group> {
        let mut groups: HashMap<Place, Group> = HashMap::new();
        for (name, site) in &self.sites {
            let config = &site.config;
            let place = (
                config.redis_queue.clone(),
                config.bench_id.clone(),
                config.rq_major,
            );
            let group = groups.entry(place).or_insert_with(|| Group {
                names: Vec::new(),
                queues: self.queues.clone(),
                site: site.clone(),
            });
            group.names.push(name.clone());
            if self.queues.is_empty() {
                for queue in own_queues(config) {
                    if !group.queues.iter().any(|known| known == queue) {
                        group.queues.push(queue.to_owned());
                    }
                }
            }
        }
        groups
    }
}

fn names(sites: &Sites, options: &Options) -> Result<Vec<String>> {
    if options.sites.is_empty() {
        sites.names()
    } else {
        Ok(options.sites.clone())
    }
}

/// Sites of one place.
struct Group {
    names: Vec<String>,
    /// Queues to listen to: as told, else where the jobs of the sites go.
    queues: Vec<String>,
    /// One of them.
    site: Arc<Site>,
}

/// The workers of this process, each in a task of its own.
pub(super) struct Benches {
    sites: Arc<Sites>,
    burst: bool,
    stop: Arc<watch::Sender<Stopping>>,
    running: HashMap<Place, Running>,
    tasks: JoinSet<(Place, Result<()>)>,
    /// What came of those that have ended: the first error.
    worked: Result<()>,
}

struct Running {
    names: Vec<String>,
    queues: Vec<String>,
    stop: watch::Sender<Stopping>,
}

impl Benches {
    /// None yet.
    pub(super) fn new(sites: Arc<Sites>, burst: bool, stop: Arc<watch::Sender<Stopping>>) -> Self {
        Self {
            sites,
            burst,
            stop,
            running: HashMap::new(),
            tasks: JoinSet::new(),
            worked: Ok(()),
        }
    }

    /// What came of all.
    ///
    /// # Errors
    /// The first of theirs.
    pub(super) fn worked(self) -> Result<()> {
        self.worked
    }

    /// Starts what is to run and does not, and tells those to end that are to run no more, or
    /// for other sites; these are started when the old ones have ended.
    ///
    /// # Errors
    /// Those of [`QueueWorker::new`].
    pub(super) fn change_to(&mut self, members: &Members) -> Result<()> {
        let groups = members.by_place();
        for (place, running) in &self.running {
            let same = groups.get(place).is_some_and(|group| {
                (&group.names, &group.queues) == (&running.names, &running.queues)
            });
            if !same {
                tell(&running.stop, Stopping::Soon);
            }
        }
        for (place, group) in groups {
            if !self.running.contains_key(&place) {
                self.start(place, group)?;
            }
        }
        Ok(())
    }

    fn start(&mut self, place: Place, group: Group) -> Result<()> {
        let (_, bench_id, rq_major) = place.clone();
        let worker_options = WorkerOptions {
            bench_id,
            queues: group.queues.clone(),
            sites: group.names.clone(),
            rq_major,
        };
        let redis = group.site.queue_redis.clone();
        let (stop, stopped) = watch::channel(Stopping::No);
        let bench = Bench {
            sites: self.sites.clone(),
            names: group.names.clone(),
            worker: QueueWorker::new(redis, &worker_options, UtcMicros::now())?,
            stop: self.stop.clone(),
            stopped,
            burst: self.burst,
        };
        let running = Running {
            names: group.names,
            queues: group.queues,
            stop,
        };
        self.running.insert(place.clone(), running);
        self.tasks.spawn(async move {
            let worked = bench.run().await;
            (place, worked)
        });
        Ok(())
    }

    /// Tells all.
    pub(super) fn tell(&self, stopping: Stopping) {
        for running in self.running.values() {
            tell(&running.stop, stopping);
        }
    }

    /// Whether all have ended.
    pub(super) fn none_runs(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Waits until one has ended; for ever if none runs.
    pub(super) async fn one_ends(&mut self) {
        match self.tasks.join_next().await {
            Some(Ok((place, worked))) => {
                self.running.remove(&place);
                self.worked = std::mem::replace(&mut self.worked, Ok(())).and(worked);
            }
            Some(Err(error)) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(error) => tracing::debug!(%error, "A worker was cut off"),
            },
            None => std::future::pending().await,
        }
    }
}

fn tell(stop: &watch::Sender<Stopping>, stopping: Stopping) {
    stop.send_if_modified(|now| std::mem::replace(now, stopping.max(*now)) < stopping);
}
