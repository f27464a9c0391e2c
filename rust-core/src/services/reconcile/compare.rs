//! Comparing questions with the record, and putting right what is wrong (rule C12).
//!
//! # The order
//!
//! Twice: the record, then the cache. What differs the first time is looked at again alone.
//! What differs again is wrong if
//!
//! - the cache is *behind* a state that was in the table before the cache was read: the
//!   worker shows what it applies before it commits. A state that is in the journal alone
//!   may still be on its way into the cache, and an applied one that nobody could show
//!   (`cached_at` NULL) is known to those who heal;
//! - the cache is *ahead* of a record that is read once more, after the cache: what the
//!   cache shows was in journal or queue before, so by then an entry would say so. A worker
//!   that was quicker than the submit's own INSERT has made the entry, shown the states, and
//!   may not have committed: so what is not committed is read too, to confirm.
//!
//! Corrections are compare-and-set on the cache as it was read the second time. Between
//! that record and the correction a row may be deleted whose question the cache lacks,
//! which leaves nothing to compare: such rows are looked for once more afterwards.

use std::collections::HashMap;

use super::Run;
use super::judge::{Kind, judge};
use crate::schedule_cache::{Inspected, Lookup, Mend, Remedy};
use crate::servers::mariadb::MariaDb;
use crate::services::Site;
use crate::services::recovery::Trust;
use crate::services::unjournaled;
use crate::store::load::many::{self, Class, Reading, Record, Recorded};
use crate::types::{Player, Season, UtcMicros};
use crate::{Result, failpoint};

/// Questions of one statement, and of one student in it.
const AT_ONCE: usize = 640;

/// How long one statement may take.
pub(super) const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

/// Questions of one student.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) player: Player,
    pub(super) ids: Vec<String>,
}

/// What both sides say.
struct Looked {
    record: Record,
    /// `None` if the schedule is not cached.
    seen: Option<Inspected>,
}

/// A discrepancy.
struct Wrong {
    part: usize,
    question: usize,
    kind: Kind,
}

/// Compares these questions, in statements of bounded size.
pub(super) async fn compare(run: &mut Run<'_>, season: &Season, parts: &[Part]) -> Result<()> {
    for slice in slices(parts) {
        one(run, season, &slice).await?;
        run.progress();
    }
    Ok(())
}

/// Cuts parts into lists of at most [`AT_ONCE`] questions, in each of which a student
/// comes once.
fn slices(parts: &[Part]) -> Vec<Vec<Part>> {
    let mut slices: Vec<Vec<Part>> = vec![Vec::new()];
    let mut places: HashMap<&Player, usize> = HashMap::new();
    let mut room = AT_ONCE;
    for part in parts {
        let mut rest = &part.ids[..];
        while !rest.is_empty() {
            if room == 0 {
                slices.push(Vec::new());
                places.clear();
                room = AT_ONCE;
            }
            let Some(slice) = slices.last_mut() else {
                break;
            };
            let (some, more) = rest.split_at(rest.len().min(room));
            (room, rest) = (room - some.len(), more);
            let place = *places.entry(&part.player).or_insert(slice.len());
            match slice.get_mut(place) {
                Some(known) => known.ids.extend_from_slice(some),
                None => slice.push(Part {
                    player: part.player.clone(),
                    ids: some.to_vec(),
                }),
            }
        }
    }
    slices.retain(|slice| !slice.is_empty());
    slices
}

async fn one(run: &mut Run<'_>, season: &Season, parts: &[Part]) -> Result<()> {
    let scope = run.site.config.site.as_str();
    let parts = believed(run, season, parts).await?;
    let looked = look(run, season, &parts, Reading::Committed).await?.0;
    let mut again = Vec::new();
    for (part, looked) in parts.iter().zip(&looked) {
        let Some(seen) = &looked.seen else { continue };
        run.student(&part.player, season);
        let mut ids = Vec::new();
        for (id, seen) in part.ids.iter().zip(&seen.questions) {
            let record = looked.record.states.get(id).map(|r| &r.state);
            if record.is_some() || seen.is_there() || seen.wrong_sets {
                run.report.compared += 1;
            }
            if judge(record, seen).is_some() {
                ids.push(id.clone());
            }
        }
        if !ids.is_empty() {
            let player = part.player.clone();
            again.push(Part { player, ids });
        }
    }
    if again.is_empty() {
        return Ok(());
    }
    failpoint::hit(scope, "reconcile_again").await?;
    candidates(run, season, &again).await
}

/// Looks at what differed once more; what is wrong then is counted and put right.
async fn candidates(run: &mut Run<'_>, season: &Season, parts: &[Part]) -> Result<()> {
    let scope = run.site.config.site.as_str();
    let (looked, doubtful) = look(run, season, parts, Reading::Unshown).await?;
    failpoint::hit(scope, "reconcile_looked").await?;
    let (after, doubtful_after) = records(run, season, parts, Reading::Unshown).await?;
    let (uncommitted, _) = records(run, season, parts, Reading::Uncommitted).await?;
    let doubtful = doubtful || doubtful_after;
    let served = run.is_served_still(season).await?;
    let mut wrong = Vec::new();
    for (p, (part, (looked, after))) in parts.iter().zip(looked.iter().zip(&after)).enumerate() {
        let Some(inspected) = &looked.seen else {
            continue;
        };
        let trusted = run.trust(&part.player, season).await?;
        if !served || !trusted {
            continue;
        }
        let unshown = looked.record.unshown || after.unshown;
        let uncomputed = looked.record.uncomputed || after.uncomputed;
        for (q, (id, seen)) in part.ids.iter().zip(&inspected.questions).enumerate() {
            let before = looked.record.states.get(id);
            let now = after.states.get(id);
            let Some(kind) = judge(before.map(|r| &r.state), seen) else {
                continue;
            };
            let unapplied = before.is_some_and(|r| r.unapplied);
            let on_its_way = (uncomputed && kind.may_be_ahead())
                || (kind.may_be_on_its_way() && (unapplied || unshown));
            // The other way round the record is of before the cache, and may be older.
            let confirmed = match kind.is_behind() {
                true => now.is_some(),
                false => {
                    let dirty = uncommitted[p].states.get(id);
                    let still = |r: Option<&Recorded>| judge(r.map(|r| &r.state), seen);
                    !doubtful && still(now) == Some(kind) && still(dirty) == Some(kind)
                }
            };
            if on_its_way || !confirmed {
                run.report.in_flight += 1;
                continue;
            }
            run.report.found(kind);
            wrong.push(Wrong {
                part: p,
                question: q,
                kind,
            });
        }
    }
    if wrong.is_empty() || run.dry_run {
        return Ok(());
    }
    failpoint::hit(scope, "before_mend").await?;
    mend(run, season, parts, &looked, &after, &wrong).await
}

async fn mend(
    run: &mut Run<'_>,
    season: &Season,
    parts: &[Part],
    looked: &[Looked],
    after: &[Record],
    wrong: &[Wrong],
) -> Result<()> {
    let mut restored = Vec::new();
    for (p, part) in parts.iter().enumerate() {
        let Some(inspected) = &looked[p].seen else {
            continue;
        };
        let of_part: Vec<&Wrong> = wrong.iter().filter(|w| w.part == p).collect();
        let mends: Vec<Mend<'_>> = of_part
            .iter()
            .filter_map(|wrong| {
                let question = part.ids[wrong.question].as_str();
                let remedy = match wrong.kind {
                    Kind::Ghost => Remedy::Remove,
                    Kind::Subjects => Remedy::DropSets,
                    _ => Remedy::Set(&after[p].states.get(question)?.state),
                };
                Some(Mend {
                    question,
                    seen: &inspected.questions[wrong.question],
                    remedy,
                })
            })
            .collect();
        if mends.is_empty() {
            continue;
        }
        let done = run.site.cache.mend(&part.player, season, inspected, &mends);
        let done = done.await?;
        run.report.auto_corrected += done.iter().filter(|done| **done).count() as u64;
        let missing = of_part.iter().zip(&done);
        let missing: Vec<String> = missing
            .filter(|(wrong, done)| **done && wrong.kind == Kind::Missing)
            .map(|(wrong, _)| part.ids[wrong.question].clone())
            .collect();
        if !missing.is_empty() {
            let player = part.player.clone();
            let ids = missing;
            restored.push(Part { player, ids });
        }
    }
    if restored.is_empty() {
        return Ok(());
    }
    let (records, _) = records(run, season, &restored, Reading::Committed).await?;
    for (part, record) in restored.iter().zip(records) {
        let gone = part.ids.iter().any(|id| !record.states.contains_key(id));
        if gone {
            // Deleted in between: whoever deleted it found nothing to take out.
            run.site.cache.invalidate(&part.player, season).await?;
        }
    }
    Ok(())
}

/// Those students that are served from the cache.
async fn believed(run: &Run<'_>, season: &Season, parts: &[Part]) -> Result<Vec<Part>> {
    let mut believed = Vec::with_capacity(parts.len());
    for part in parts {
        if run.trust(&part.player, season).await? {
            believed.push(part.clone());
        }
    }
    Ok(believed)
}

/// The record, then the cache; and whether the queue's Redis could not be asked.
async fn look(
    run: &Run<'_>,
    season: &Season,
    parts: &[Part],
    reading: Reading,
) -> Result<(Vec<Looked>, bool)> {
    let (records, doubtful) = records(run, season, parts, reading).await?;
    failpoint::hit(&run.site.config.site, "reconcile_read").await?;
    let mut asked = Vec::with_capacity(parts.len());
    for part in parts {
        asked.push(inspect(run.site, season, part));
    }
    let seen = super::together(asked).await?;
    let looked = records.into_iter().zip(seen);
    let looked = looked.map(|(record, seen)| Looked { record, seen });
    Ok((looked.collect(), doubtful))
}

async fn inspect(site: &Site, season: &Season, part: &Part) -> Result<Option<Inspected>> {
    let ids: Vec<&str> = part.ids.iter().map(String::as_str).collect();
    match site.cache.inspect(&part.player, season, &ids).await? {
        Lookup::Complete(inspected) => Ok(Some(inspected)),
        Lookup::Incomplete => Ok(None),
    }
}

async fn records(
    run: &Run<'_>,
    season: &Season,
    parts: &[Part],
    reading: Reading,
) -> Result<(Vec<Record>, bool)> {
    let site = run.site;
    let players: Vec<&Player> = parts.iter().map(|part| &part.player).collect();
    let ids: Vec<&[String]> = parts.iter().map(|part| &part.ids[..]).collect();
    let over = unjournaled::overlays(site, &players, season).await?;
    let class = Class {
        players: &players,
        season,
        zone: site.zone(UtcMicros::now()).await?,
        site: site.config.site.as_str(),
    };
    let _turn = site.fill_turn().await?;
    let reading = async {
        let mut conn = site.db.conn().await?;
        many::records(&mut conn, class, &ids, over.batches, reading).await
    };
    let records = MariaDb::within(PATIENCE, reading).await?;
    Ok((records, over.away.is_some()))
}

impl Run<'_> {
    /// Whether this student is served from the cache, as far as is known.
    async fn trust(&self, player: &Player, season: &Season) -> Result<bool> {
        match self.site.recovery.trust(player, season).await {
            Trust::Cache => Ok(true),
            Trust::Table => Ok(false),
            Trust::SafeMode => Err(super::away()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_has_a_bounded_number_of_questions_and_each_student_once() {
        let part = |player: &str, ids: std::ops::Range<usize>| Part {
            player: Player::stored(player),
            ids: ids.map(|i| format!("q{i}")).collect(),
        };
        let parts = [part("a", 0..600), part("b", 0..30), part("a", 600..1300)];
        let slices = slices(&parts);
        let sizes: Vec<Vec<(&str, usize)>> = slices
            .iter()
            .map(|slice| {
                slice
                    .iter()
                    .map(|p| (p.player.as_str(), p.ids.len()))
                    .collect()
            })
            .collect();
        assert_eq!(
            sizes,
            [
                vec![("a", 610), ("b", 30)],
                vec![("a", 640)],
                vec![("a", 50)]
            ]
        );
    }
}
