//! What is on its way: queue, workers, journal; what was compared last; the seasons.

use std::collections::HashSet;

use chrono::{NaiveDateTime, TimeDelta};

use super::{Finding, Level, soon};
use crate::queue::Listeners;
use crate::services::archive::{self, Status as Archive};
use crate::services::rebuild::{self, State};
use crate::services::work::{self, Kind};
use crate::services::{Site, backlog, check, reconcile};
use crate::store::{journal, partitions, seasons};
use crate::types::UtcMicros;
use crate::{Error, Result};

/// Jobs from which on the queue is worth a look.
const MANY_JOBS: u64 = 1000;
/// The daily reconciliation has been missed if the last is older.
const RECONCILED: TimeDelta = TimeDelta::days(2);

pub(super) async fn look(site: &Site) -> Vec<Finding> {
    let (queue, journal, reconciled, seasons, archive, rebuilds) = tokio::join!(
        queue(site),
        journal(site),
        reconciled(site),
        all_seasons(site),
        moving(site),
        rebuilds(site)
    );
    let mut findings = queue;
    findings.extend([journal, reconciled]);
    findings.extend(seasons);
    findings.extend(archive);
    findings.extend(rebuilds);
    findings
}

async fn queue(site: &Site) -> Vec<Finding> {
    let asked = async {
        let listeners = site.producer.listeners().await?;
        Ok((listeners, site.producer.depth().await?))
    };
    match soon(asked).await {
        Ok((listeners, depth)) => vec![waiting(&listeners, depth), workers(&listeners)],
        // The queue's Redis is named as away already.
        Err(_) => Vec::new(),
    }
}

fn waiting(listeners: &Listeners, depth: u64) -> Finding {
    const ABOUT: &str = "queue";
    let says = format!("{depth} jobs wait in {}", listeners.queue);
    let level = match depth {
        n if n > backlog::JOBS => Level::Wrong,
        n if n > MANY_JOBS => Level::Warning,
        _ => return Finding::well(ABOUT, says),
    };
    let remedy = "start more workers (memora-srs worker), or see what they fail at: \
                  memora-srs journal list --state failed";
    Finding::of(ABOUT, level, says, remedy)
}

fn workers(listeners: &Listeners) -> Finding {
    const ABOUT: &str = "workers";
    let Listeners {
        queue,
        native,
        python,
        suspended,
    } = listeners;
    if *suspended {
        let says = "suspended: no worker takes a job";
        return Finding::of(ABOUT, Level::Wrong, says, "rq resume");
    }
    if listeners.count() == 0 {
        let short = queue.rsplit(':').next().unwrap_or(queue);
        let remedy = format!(
            "start one: memora-srs worker, or bench worker --queue {short}; until then only \
             sweeps bring answers into the table"
        );
        let says = format!("nobody works on {queue}");
        return Finding::of(ABOUT, Level::Wrong, says, remedy);
    }
    Finding::well(
        ABOUT,
        format!("{native} native, {python} of RQ's on {queue}"),
    )
}

async fn journal(site: &Site) -> Finding {
    const ABOUT: &str = "journal";
    let name = &site.config.site;
    let backlog = match soon(journal::backlog(&site.db)).await {
        Ok(backlog) => backlog,
        Err(error) => return unknown(ABOUT, &error),
    };
    let oldest = backlog.oldest_s.unwrap_or(0.0);
    let says = match (backlog.pending, backlog.failed) {
        (0, 0) => return Finding::well(ABOUT, "everything is in the table"),
        (pending, 0) => format!("{pending} submits on their way, the oldest for {oldest:.0} s"),
        (pending, failed) => format!("{failed} submits failed, {pending} on their way"),
    };
    if backlog.failed > 0 {
        let remedy = format!(
            "memora-srs journal list --site {name} --state failed says why; then journal retry"
        );
        return Finding::of(ABOUT, Level::Wrong, says, remedy);
    }
    if oldest > backlog::OLDEST_S {
        let remedy =
            format!("is a worker running? memora-srs sweep --site {name} applies them now");
        return Finding::of(ABOUT, Level::Wrong, says, remedy);
    }
    Finding::well(ABOUT, says)
}

async fn reconciled(site: &Site) -> Finding {
    const ABOUT: &str = "reconciliation";
    let name = &site.config.site;
    let remedy = format!("memora-srs reconcile --site {name}; is the scheduler running?");
    let last = match soon(reconcile::history(site)).await {
        Ok(mut reports) => reports.pop(),
        Err(error) => return unknown(ABOUT, &error),
    };
    let Some(last) = last else {
        return Finding::of(ABOUT, Level::Warning, "never run", remedy);
    };
    let at = last.started_at.get(..19).unwrap_or_default();
    let says = format!(
        "{at}: {} of {} compared items were wrong ({:.3} %)",
        last.discrepancies_found,
        last.compared,
        last.discrepancy_rate * 100.0
    );
    if last.alert_triggered {
        let remedy = format!(
            "memora-srs reconcile --site {name} --dry-run says whether they still are; then look \
             for what writes the cache or the table past the engine"
        );
        return Finding::of(ABOUT, Level::Wrong, says, remedy);
    }
    let began = NaiveDateTime::parse_from_str(at, "%Y-%m-%dT%H:%M:%S").ok();
    let now = chrono::DateTime::from_timestamp_micros(UtcMicros::now().0);
    let is_old = began
        .zip(now)
        .is_some_and(|(began, now)| now.naive_utc() - began > RECONCILED);
    match is_old {
        true => Finding::of(ABOUT, Level::Warning, says, remedy),
        false => Finding::well(ABOUT, says),
    }
}

async fn all_seasons(site: &Site) -> Vec<Finding> {
    const ABOUT: &str = "seasons";
    let name = &site.config.site;
    let asked = async {
        let now = UtcMicros::now();
        let today = site.zone(now).await?.to_wall(now).date();
        let active = seasons::active(&site.db, today).await?;
        Ok((active, without_partition(site).await?))
    };
    let (active, bare) = match soon(asked).await {
        Ok(found) => found,
        Err(error) => return vec![unknown(ABOUT, &error)],
    };
    let mut findings = Vec::new();
    match active {
        Some(season) => {
            findings.push(Finding::well(ABOUT, format!("active is {}", season.name)));
        }
        None => {
            let remedy = "set is_active on the Game Subscription Season that students are in";
            findings.push(Finding::of(ABOUT, Level::Warning, "none is active", remedy));
        }
    }
    if !bare.is_empty() {
        let says = format!("without a partition: {}", bare.join(", "));
        let remedy = format!("memora-srs partition create --site {name} --season <season>");
        findings.push(Finding::of("partitions", Level::Wrong, says, remedy));
    }
    findings
}

/// Seasons, not archived, whose rows have no partition. Not those on their way into the
/// archive or back, of which [`moving`] speaks: theirs is where it must be.
async fn without_partition(site: &Site) -> Result<Vec<String>> {
    let partitions = partitions::all(&site.db).await?;
    let with: HashSet<&str> = partitions.iter().filter_map(|p| p.season()).collect();
    let on_their_way = archive::moving(site).await?;
    let mut without = Vec::new();
    for season in seasons::open(&site.db).await? {
        // By the letters first: asking the server takes a statement each.
        let there = with.contains(season.as_str())
            || check::is_scratch(&season)
            || on_their_way.contains(&season)
            || partitions::exists(&site.db, &season).await?;
        if !there {
            without.push(season.into_string());
        }
    }
    Ok(without)
}

/// Said only if something is on its way and nobody is at it.
async fn moving(site: &Site) -> Vec<Finding> {
    const ABOUT: &str = "archive";
    let name = &site.config.site;
    let asked = async {
        let mut stopped: Vec<Archive> = Vec::new();
        for season in archive::moving(site).await? {
            if check::is_scratch(&season) {
                continue;
            }
            let status = archive::get_archive_status(site, season.as_str()).await?;
            if status.progress.as_ref().is_some_and(|p| !p.running) {
                stopped.push(status);
            }
        }
        Ok(stopped)
    };
    // Whatever is the matter is said by the others.
    let stopped = soon(asked).await.unwrap_or_default();
    stopped
        .into_iter()
        .map(|status| {
            let failure = status.progress.and_then(|p| p.failure);
            let why = failure.map_or_else(String::new, |why| format!(": {why}"));
            let says = format!(
                "{} of {} was stopped half-way{why}",
                status.state, status.season
            );
            let season = &status.season;
            let remedy = match status.state {
                "restoring" => format!(
                    "it goes on: memora-srs archive --site {name} --season {season} --restore --yes"
                ),
                _ => {
                    format!("it goes on: memora-srs archive --site {name} --season {season} --yes")
                }
            };
            Finding::of(ABOUT, Level::Wrong, says, remedy)
        })
        .collect()
}

/// Said only if one ended before its time: of a season that students are in, reads fill what
/// is missing, and it is slower.
async fn rebuilds(site: &Site) -> Vec<Finding> {
    const ABOUT: &str = "rebuild";
    let name = &site.config.site;
    let asked = async {
        let noted = work::all_noted::<rebuild::Standing>(site, Kind::Rebuild).await?;
        let open: HashSet<_> = seasons::open(&site.db).await?.into_iter().collect();
        Ok((noted, open))
    };
    // Whatever is the matter is said by the others.
    let Ok((noted, open)) = soon(asked).await else {
        return Vec::new();
    };
    let of_open = noted.into_iter().filter(|(season, noted)| {
        open.contains(season) && !check::is_scratch(season) && !noted.running
    });
    of_open
        .filter_map(|(season, noted)| {
            let note = noted.note;
            let (what, more) = match note.state {
                State::Completed => return None,
                State::Started => ("was stopped half-way", ""),
                State::Failed => ("failed", ""),
                State::Incomplete => ("left students out", " --missing-only"),
            };
            let why = note
                .error
                .map_or_else(String::new, |why| format!(": {why}"));
            let says = format!(
                "of {season} {what} ({} of {} students){why}",
                note.done, note.students
            );
            let remedy = format!("memora-srs rebuild --site {name} --season {season}{more}");
            Some(Finding::of(ABOUT, Level::Warning, says, remedy))
        })
        .collect()
}

/// What could not be asked, because its server is away, which is said already, or because
/// the tables are not there.
fn unknown(about: &'static str, error: &Error) -> Finding {
    Finding::failed(about, error, "see MariaDB and schema above")
}
