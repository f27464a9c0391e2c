//! Does what the plan says, and heals it.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;
use futures_util::future::join_all;
use memora_core::types::UtcMicros;
use memora_tests::process::Process;
use memora_tests::soak::Dice;
use memora_tests::soak::evidence::Fault;
use memora_tests::soak::plan::{Deed, Network, Planned, Program, Server};
use tokio::time::sleep;

use crate::recorder::Recorder;
use crate::report;
use crate::stage::{Stage, programs};

/// How often keys are evicted.
const EVICTION: Duration = Duration::from_millis(100);
/// What happens between the dump and the end of a cache that comes back with it.
const AFTER_DUMP: Duration = Duration::from_secs(3);
/// How long MariaDB is away before the rest of a double fault.
const BEFORE_LOSS: Duration = Duration::from_secs(2);
/// How long only workers run after the sidecars died.
const JOBS_ALONE: Duration = Duration::from_secs(3);

/// Plays all of it. All is well again when this returns.
pub(crate) async fn play(
    stage: &Stage,
    recorder: &Recorder,
    plan: Vec<Planned>,
    mut dice: Dice,
) -> Result<()> {
    for planned in plan {
        sleep(planned.after).await;
        stage.look_after().await?;
        if planned.deeds.is_empty() {
            sleep(planned.lasts).await;
            continue;
        }
        let names: Vec<String> = planned.deeds.iter().map(Deed::to_string).collect();
        let seconds = planned.lasts.as_secs_f64();
        report::say(&format!(
            "fault: {}, for {seconds:.1} s",
            names.join(" and ")
        ));
        let began = UtcMicros::now().0;
        let deeds = planned.deeds.iter().map(|deed| {
            let mut dice = dice.fork();
            async move { one(stage, *deed, planned.lasts, &mut dice).await }
        });
        for done in join_all(deeds).await {
            done?;
        }
        let hits: Vec<_> = planned.deeds.iter().flat_map(|deed| deed.hits()).collect();
        let kinds: BTreeSet<String> = planned.deeds.iter().map(|deed| deed.kind()).collect();
        recorder.fault(Fault {
            kind: kinds.into_iter().collect::<Vec<_>>().join(" + "),
            hits,
            away: planned.deeds.iter().flat_map(|deed| deed.away()).collect(),
            declared: planned.deeds.contains(&Deed::LoseBoth),
            began,
            ended: UtcMicros::now().0,
        });
    }
    stage.look_after().await
}

/// One fault, from its beginning to its healing.
async fn one(stage: &Stage, deed: Deed, lasts: Duration, dice: &mut Dice) -> Result<()> {
    match deed {
        Deed::KillProgram(program) => {
            stage.with(program, Process::kill);
            sleep(lasts).await;
            stage.start(program).await?;
        }
        Deed::StopProgram(program) => {
            stage.with(program, Process::pause);
            sleep(lasts).await;
            stage.with(program, Process::resume);
        }
        Deed::KillServer(server) => {
            kill(stage, server);
            sleep(lasts).await;
            start(stage, server).await;
        }
        Deed::StopServer(server) => {
            stop(stage, server);
            sleep(lasts).await;
            resume(stage, server);
        }
        Deed::Wipe => {
            let mut redis = stage.site.cache.connection().await;
            redis::cmd("FLUSHALL").exec_async(&mut redis).await?;
            sleep(lasts).await;
        }
        Deed::Evict => evict(stage, lasts, dice).await?,
        Deed::OldDump => {
            let mut redis = stage.site.cache.connection().await;
            redis::cmd("SAVE").exec_async(&mut redis).await?;
            sleep(AFTER_DUMP).await;
            stage.site.cache.server.kill();
            sleep(lasts).await;
            stage.site.cache.server.start_again().await;
        }
        Deed::Link(program, server, network) => {
            stage.link(program, server, Some(network));
            sleep(lasts).await;
            stage.link(program, server, None);
        }
        Deed::SlowMariaDb(ms) => {
            programs().for_each(|p| stage.link(p, Server::MariaDb, Some(Network::Slow(ms))));
            sleep(lasts).await;
            programs().for_each(|p| stage.link(p, Server::MariaDb, None));
        }
        Deed::StopWorkers => {
            let workers = || programs().filter(|p| !matches!(p, Program::Sidecar(_)));
            workers().for_each(|p| stage.with(p, Process::pause));
            sleep(lasts).await;
            workers().for_each(|p| stage.with(p, Process::resume));
        }
        Deed::Isolate(program) => {
            let cut = |how| {
                let both = [Server::Cache, Server::Queue];
                both.iter()
                    .for_each(|server| stage.link(program, *server, how));
            };
            cut(Some(Network::Cut));
            sleep(lasts / 10).await;
            stage.with(program, Process::kill);
            sleep(lasts - lasts / 10).await;
            cut(None);
            stage.start(program).await?;
        }
        Deed::DieWithoutJournal => die_without_journal(stage, lasts).await?,
        Deed::LoseBoth => lose_both(stage, lasts).await?,
    }
    Ok(())
}

fn kill(stage: &Stage, server: Server) {
    match server {
        Server::Cache => stage.site.cache.server.kill(),
        Server::Queue => stage.site.queue.server.kill(),
        Server::MariaDb => stage.site.mariadb.kill(),
    }
}

fn stop(stage: &Stage, server: Server) {
    match server {
        Server::Cache => stage.site.cache.server.pause(),
        Server::Queue => stage.site.queue.server.pause(),
        Server::MariaDb => stage.site.mariadb.pause(),
    }
}

fn resume(stage: &Stage, server: Server) {
    match server {
        Server::Cache => stage.site.cache.server.resume(),
        Server::Queue => stage.site.queue.server.resume(),
        Server::MariaDb => stage.site.mariadb.resume(),
    }
}

async fn start(stage: &Stage, server: Server) {
    match server {
        Server::Cache => {
            stage.site.cache.server.forget();
            stage.site.cache.server.start_again().await;
        }
        Server::Queue => stage.site.queue.server.start_again().await,
        Server::MariaDb => stage.site.mariadb.start_again().await,
    }
}

/// Keys of all kinds go, sessions and leases too, as a Redis at its limit does it.
async fn evict(stage: &Stage, lasts: Duration, dice: &mut Dice) -> Result<()> {
    let mut redis = stage.site.cache.connection().await;
    let rounds = lasts.as_millis() / EVICTION.as_millis();
    for _ in 0..rounds {
        for _ in 0..dice.between(1, 20) {
            let key: Option<Vec<u8>> = redis::cmd("RANDOMKEY").query_async(&mut redis).await?;
            if let Some(key) = key {
                redis::cmd("UNLINK").arg(key).exec_async(&mut redis).await?;
            }
        }
        sleep(EVICTION).await;
    }
    Ok(())
}

/// What was acknowledged while MariaDB hung is brought there by jobs alone.
async fn die_without_journal(stage: &Stage, lasts: Duration) -> Result<()> {
    let sidecars = || programs().filter(|p| matches!(p, Program::Sidecar(_)));
    let workers = || programs().filter(|p| !matches!(p, Program::Sidecar(_)));
    workers().for_each(|p| stage.with(p, Process::pause));
    stage.site.mariadb.pause();
    sleep(lasts).await;
    sidecars().for_each(|p| stage.with(p, Process::kill));
    stage.site.mariadb.resume();
    workers().for_each(|p| stage.with(p, Process::resume));
    sleep(JOBS_ALONE).await;
    for sidecar in sidecars() {
        stage.start(sidecar).await?;
    }
    Ok(())
}

/// MariaDB is away; meanwhile the queue is lost, and the sidecars' host with its disk.
async fn lose_both(stage: &Stage, lasts: Duration) -> Result<()> {
    stage.site.mariadb.kill();
    sleep(BEFORE_LOSS).await;
    for program in programs() {
        stage.with(program, Process::kill);
    }
    stage.site.queue.server.kill();
    stage.site.queue.server.forget();
    wipe_spool(&stage.site.config().spool_dir())?;
    sleep(lasts).await;
    stage.site.mariadb.start_again().await;
    stage.site.queue.server.start_again().await;
    for program in programs() {
        stage.start(program).await?;
    }
    Ok(())
}

/// Removes what a site's processes keep on the host's disk. There may be nothing.
fn wipe_spool(folder: &std::path::Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}
