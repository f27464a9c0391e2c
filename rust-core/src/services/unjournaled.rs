//! Submits that were acknowledged without their journal row: showing them to all who read,
//! and getting their rows into the journal.
//!
//! Where one is until then: an entry on the queue's Redis
//! ([`crate::queue::Unjournaled`]), a record in a spool file of this host
//! ([`crate::spool`]) or the queue Redis' own append-only file, and its RQ job. Whoever
//! comes first makes the row:
//!
//! - the process that took it, which goes on trying in the background;
//! - the worker with the job;
//! - anybody who looks ([`look`]): each process now and then, workers, Frappe's scheduler.
//!   They find what processes that died have left.
//!
//! Making a row twice changes nothing: the first one wins. The entry goes after the row is
//! committed, never before. If the row is of another attempt than what was shown, the
//! student's cached schedule goes too, and the next read shows what the journal has.
//!
//! A queue's Redis that is started anew may have lost the entries: of those the submits are in
//! spools alone, and in the mind of who took them. These keep them again ([`stay_noted`]).
//! Until they have had the time, a process that knows the database was away answers nothing
//! from the table: it might be older than what was acknowledged (G4).

mod memory;

use std::sync::Arc;
use std::time::Duration;

pub(super) use self::memory::Memory;

use super::{Site, bounded, report};
use crate::batch::{Attempt, Batch, Submission, SubmissionKey};
use crate::queue::{Journaled, Settled};
use crate::servers::mariadb::MariaDb;
use crate::store::journal;
use crate::types::{Player, Season, UtcMicros};
use crate::{Error, ErrorKind, Result, failpoint, spool};

/// How long who reads waits for the queue's Redis, and how long where that has never
/// answered: without it, a process that has just started knows nothing.
const OVERLAY_PATIENCE: Duration = Duration::from_millis(100);
const FIRST_PATIENCE: Duration = Duration::from_millis(700);
/// Rows of one statement.
const ROWS: usize = 64;
/// How long making rows in the background may take: a server that answers after seconds
/// needs some of them for each step of a login.
const PATIENCE: Duration = Duration::from_secs(60);
/// The same for those who have other work to do.
const LOOK_PATIENCE: Duration = Duration::from_secs(10);
/// First pause between tries in the background, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// Tries in the background: for some ten minutes. After that it is for those who look.
const TRIES: u32 = 300;
/// How often who has submits without a row looks whether the queue's Redis was started anew.
const RENEWAL: Duration = Duration::from_millis(500);
/// How long after the database was away there may be entries that a queue's Redis that was
/// started anew has lost.
const LATELY: Duration = Duration::from_secs(60);
/// How long after that a queue's Redis that cannot be asked may have had some that this
/// process never heard of.
const JUST_NOW: Duration = Duration::from_secs(5);

/// Batches without a row.
pub(super) struct Overlay {
    pub(super) batches: Vec<Batch>,
    /// See [`super::record::OnRecord`].
    pub(super) doubtful: bool,
}

/// What a student has that the journal may not have. To be asked before the journal is.
///
/// # Errors
/// `Internal` for an entry that cannot be read; `Unavailable` while entries may be lost that
/// are about to be kept again.
pub(super) async fn overlay(site: &Site, player: &Player, season: &Season) -> Result<Overlay> {
    let memory = &site.unjournaled_memory;
    let mut batches = memory.of(player, season);
    let entries = if memory.is_left_alone() {
        None
    } else {
        let entries = site.unjournaled.clone();
        let (player, season) = (player.clone(), season.clone());
        let asked = async move { entries.of(&player, &season).await };
        let patience = match memory.was_told() {
            true => OVERLAY_PATIENCE,
            false => FIRST_PATIENCE,
        };
        match bounded::within(patience, asked).await {
            Some(Ok(entries)) => Some(entries),
            Some(Err(error)) if error.kind() != ErrorKind::Unavailable => return Err(error),
            _ => {
                memory.leave_alone();
                None
            }
        }
    };
    let Some(entries) = entries else {
        if site.db.was_away(JUST_NOW) {
            return Err(not_all_known());
        }
        return Ok(Overlay {
            batches,
            doubtful: memory.may_be_some(),
        });
    };
    memory.told(entries.site_has_some);
    memory.met(&entries.instance, site.db.was_away(LATELY));
    if memory.is_doubted() {
        return Err(not_all_known());
    }
    batches.extend(entries.submissions.into_iter().map(|s| s.batch));
    failpoint::hit(&site.config.site, "overlay_read").await?;
    Ok(Overlay {
        batches,
        doubtful: false,
    })
}

/// Batches without a row of each of some students.
pub(super) struct Overlays {
    pub(super) batches: Vec<Vec<Batch>>,
    /// Why the queue's Redis, which may know of more, could not be asked.
    pub(super) away: Option<Error>,
}

/// The same of each of these students, for work that students do not wait for: it has the
/// time to ask.
///
/// # Errors
/// As [`overlay`].
pub(super) async fn overlays(
    site: &Site,
    players: &[&Player],
    season: &Season,
) -> Result<Overlays> {
    let memory = &site.unjournaled_memory;
    let mut batches: Vec<Vec<Batch>> = players.iter().map(|p| memory.of(p, season)).collect();
    let away = match site.unjournaled.of_many(players, season).await {
        Ok((instance, entries)) => {
            memory.met(&instance, site.db.was_away(LATELY));
            for (batches, entries) in batches.iter_mut().zip(entries) {
                batches.extend(entries.into_iter().map(|s| s.batch));
            }
            memory.is_doubted().then(not_all_known)
        }
        Err(error) if error.kind() == ErrorKind::Unavailable => Some(error),
        Err(error) => return Err(error),
    };
    failpoint::hit(&site.config.site, "overlay_read").await?;
    Ok(Overlays { batches, away })
}

fn not_all_known() -> Error {
    let message = "What was accepted while servers were away is being gathered";
    Error::unavailable(message, Duration::from_secs(1))
}

/// Goes on making the row of a submit that was acknowledged without it. Nobody waits.
pub(super) fn insert_later(site: &Arc<Site>, submission: Submission) {
    if !site.unjournaled_memory.keep(submission) {
        return;
    }
    let site = site.clone();
    tokio::spawn(async move {
        let mut stopped = Stopped {
            site: &site,
            early: true,
        };
        tokio::select! {
            () = work_off(&site) => {}
            () = stay_noted(&site) => {}
        }
        stopped.early = false;
    });
}

/// Lets the next submit begin anew should the task end early.
struct Stopped<'a> {
    site: &'a Site,
    early: bool,
}

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        if self.early {
            self.site.unjournaled_memory.stopped();
        }
    }
}

/// Keeps what waits on the queue's Redis again, each time another process of that is there;
/// twice, because a submit may be on its way into memory at the first. Never ends.
async fn stay_noted(site: &Site) {
    let memory = &site.unjournaled_memory;
    let mut noted: (String, u32) = Default::default();
    loop {
        tokio::time::sleep(RENEWAL).await;
        let Ok(instance) = site.unjournaled.instance().await else {
            continue;
        };
        memory.met(&instance, true);
        if noted.0 != instance {
            noted = (instance, 0);
        }
        if noted.1 == 2 {
            continue;
        }
        match note_again(site, memory.next(usize::MAX)).await {
            Ok(()) => noted.1 += 1,
            Err(error) => tracing::info!(
                site = site.config.site,
                %error,
                "Entries are still to be kept again"
            ),
        }
    }
}

async fn note_again(site: &Site, submissions: Vec<Submission>) -> Result<()> {
    for submission in submissions {
        // Whoever else holds the token is told apart by the journal.
        site.unjournaled
            .note_again(&submission, UtcMicros::now())
            .await?;
    }
    Ok(())
}

async fn work_off(site: &Arc<Site>) {
    let (scope, memory) = (site.config.site.as_str(), &site.unjournaled_memory);
    let (mut pause, mut tries) = (PAUSES.0, 0);
    loop {
        let batch = memory.next(ROWS);
        if batch.is_empty() {
            // What did not fit into memory, and what is in this process's file for nothing.
            let spool = site.spool.clone();
            let let_go = blocking(move || {
                spool.let_go();
                Ok(())
            });
            if let Err(error) = let_go.await {
                tracing::warn!(site = scope, ?error, "The spool could not be let go");
            }
            if let Err(error) = look(site).await {
                tracing::warn!(
                    site = scope,
                    ?error,
                    "The spool could not be looked through"
                );
            }
            if memory.is_worked_off() {
                return;
            }
            continue;
        }
        match take_in(site, &batch, PATIENCE).await {
            Ok(()) => {
                if memory.may_be_hidden() {
                    // Somebody may have filled a schedule without knowing of them.
                    for shown in &batch {
                        drop_schedule(site, &shown.key.player, &shown.season).await;
                    }
                }
                memory.done(batch.len());
                (pause, tries) = (PAUSES.0, 0);
            }
            Err(error) if tries < TRIES => {
                tracing::info!(site = scope, %error, tries, "Journal rows are still to be made");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSES.1);
                tries += 1;
            }
            Err(error) => {
                tracing::warn!(
                    site = scope,
                    ?error,
                    "Journal rows are left to those who look through queue and spool"
                );
                memory.give_up();
            }
        }
    }
}

/// Makes the rows of these submits, then takes out their entries.
async fn take_in(site: &Site, submissions: &[Submission], patience: Duration) -> Result<()> {
    for some in submissions.chunks(ROWS) {
        failpoint::hit(&site.config.site, "before_late_rows").await?;
        let mut conn = site.db.conn_within(patience).await?;
        let made = MariaDb::within(patience, journal::insert_late(&mut conn, some)).await;
        let rows = match made {
            Ok(rows) => rows,
            Err(error) => {
                MariaDb::discard(conn);
                return Err(error);
            }
        };
        drop(conn);
        failpoint::hit(&site.config.site, "late_rows").await?;
        let journaled: Vec<Journaled<'_>> = some
            .iter()
            .filter_map(|s| {
                Some(Journaled {
                    key: &s.key,
                    season: &s.season,
                    attempt: *rows.get(&s.key)?,
                })
            })
            .collect();
        settle(site, &journaled).await;
        for lost in some.iter().filter(|s| rows.get(&s.key) != Some(&s.attempt)) {
            drop_schedule(site, &lost.key.player, &lost.season).await;
        }
    }
    Ok(())
}

/// After rows are committed: takes out their entries, and the schedules that show what
/// lost. What cannot be done now is done by the next who looks.
async fn settle(site: &Site, rows: &[Journaled<'_>]) {
    match site.unjournaled.settle(rows).await {
        Ok(settled) => {
            let settled = rows.iter().zip(settled);
            for (row, _) in settled.filter(|(_, s)| *s == Settled::Other) {
                drop_schedule(site, &row.key.player, row.season).await;
            }
        }
        Err(error) => tracing::warn!(
            site = site.config.site,
            ?error,
            "Entries of journaled submits stay for now"
        ),
    }
}

/// Drops a schedule that may show states of a submit that lost: the next read shows what
/// the journal has.
async fn drop_schedule(site: &Site, player: &Player, season: &Season) {
    if let Err(error) = site.cache.invalidate(player, season).await {
        tracing::warn!(
            site = site.config.site,
            ?error,
            "A schedule that shows a submit that lost could not be dropped"
        );
    }
}

/// After applying: the worker has these rows in the journal for sure.
pub(super) async fn applied(site: &Site, rows: &[(SubmissionKey, Season, Attempt)]) {
    match site.unjournaled.are_there().await {
        Ok(true) => {
            let rows = rows.iter().map(|(key, season, attempt)| Journaled {
                key,
                season,
                attempt: *attempt,
            });
            settle(site, &rows.collect::<Vec<_>>()).await;
        }
        Ok(false) => {}
        Err(error) => tracing::debug!(?error, "Entries of applied submits stay for now"),
    }
}

/// Makes the rows of submits that nobody else works on any more: those in spool files of
/// this host that no process writes, and those with an entry on the queue's Redis; how many
/// were looked at. Any number of processes may look at once.
///
/// # Errors
/// `Unavailable` if a server is away: what is left is found by the next look.
pub async fn look(site: &Site) -> Result<usize> {
    // Neither waits for the other: a folder that cannot be read says nothing about the
    // queue, which may have all the same submits.
    let spooled = spooled(site).await;
    let noted = noted(site).await;
    Ok(spooled? + noted?)
}

/// Makes rows of the oldest entries on the queue's Redis.
async fn noted(site: &Site) -> Result<usize> {
    let instance = site.unjournaled.instance().await?;
    let entries = site.unjournaled.oldest(ROWS).await?;
    let memory = &site.unjournaled_memory;
    memory.met(&instance, site.db.was_away(LATELY));
    memory.told(!entries.is_empty());
    take_in(site, &entries, LOOK_PATIENCE).await?;
    Ok(entries.len())
}

/// Empties the spool files of this host that no process writes.
async fn spooled(site: &Site) -> Result<usize> {
    let mut looked_at = 0;
    loop {
        let folder = site.spool.folder().to_owned();
        let files = blocking(move || spool::take_over(&folder)).await?;
        if files.is_empty() {
            return Ok(looked_at);
        }
        for mut file in files {
            let mut submissions = Vec::with_capacity(file.payloads.len());
            for payload in &file.payloads {
                match Submission::from_json(payload) {
                    Ok(submission) if is_stale(site, &submission) => {
                        file.stays = true;
                        left_alone(site, file.path(), &submission).await;
                    }
                    Ok(submission) => submissions.push(submission),
                    Err(error) => {
                        tracing::error!(
                            site = site.config.site,
                            path = %file.path().display(),
                            ?error,
                            "A spooled submit cannot be read"
                        );
                        file.stays = true;
                    }
                }
            }
            tracing::info!(
                site = site.config.site,
                path = %file.path().display(),
                submits = submissions.len(),
                "Taking over a spool file"
            );
            looked_at += submissions.len();
            take_in(site, &submissions, LOOK_PATIENCE).await?;
            blocking(move || file.remove()).await?;
        }
    }
}

/// Whether the journal may have forgotten it, and with it whether it was applied: a file of
/// a host that was away for weeks.
fn is_stale(site: &Site, submission: &Submission) -> bool {
    let days = i64::from(site.config.srs.journal_days - 1);
    submission.batch.at < UtcMicros::now().plus_seconds(-days * 86_400).0
}

async fn left_alone(site: &Site, path: &std::path::Path, submission: &Submission) {
    let id = submission.key.submission.as_str();
    let message = format!(
        "A submit in {} is so old that it may have been applied and forgotten: it is not \
         applied by itself",
        path.with_extension("kept").display()
    );
    report::not_applied(site, id, &Error::invalid(message)).await;
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T> {
    let away = || {
        Error::unavailable(
            "The spool cannot be read or written",
            Duration::from_secs(5),
        )
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|error| away().with_source(error)),
        Err(error) => Err(away().with_source(error)),
    }
}
