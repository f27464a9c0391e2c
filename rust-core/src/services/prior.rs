//! What the questions of a submit were before it: from the cache, else from table and
//! journal, and in the spelling that is on record.
//!
//! Only a question that a complete cache does not hold *and* the table does not know in
//! any spelling is new: MariaDB's collation takes ids that differ by case, accents or
//! trailing blanks for the same, Redis and Rust do not. A question that was only ever given
//! a due time from outside has no row either, and is new.
//!
//! A submit does not wait for a slow server. What cannot be had in its time is not known,
//! and the answer travels raw; [`super::raw`] computes it when it is applied.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};

use super::recovery::Trust;
use super::{Site, bounded, record};
use crate::schedule_cache::{Known, KnownStates, Lookup};
use crate::site_time::SiteZone;
use crate::store::load::{self, Whose};
use crate::store::seasons::SeasonRow;
use crate::types::{Player, QuestionId, QuestionState, Stability};
use crate::{Error, ErrorKind, Result};

/// How long finding the states may take where they must be found.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is known of the questions of a submit.
#[derive(Debug, Clone, Default)]
pub(super) struct Prior {
    /// The stored spelling of each id asked for; a new question keeps its own.
    spelling: HashMap<String, QuestionId>,
    /// States by stored spelling; a question without one is new.
    states: HashMap<QuestionId, QuestionState>,
    /// Ids asked for of which nothing could be learned in time.
    unknown: HashSet<String>,
    /// Whether the cache answered for all of them, so that it is worth writing to.
    pub(super) cached: bool,
    /// How many questions there are in all, if the cache said so.
    questions: Option<u64>,
}

impl Prior {
    /// The stored spelling of an id that was asked for.
    pub(super) fn stored(&self, id: &str) -> QuestionId {
        self.spelling
            .get(id)
            .cloned()
            .unwrap_or_else(|| QuestionId::stored(id))
    }

    /// The state before; `None` for a new question.
    pub(super) fn state(&self, id: &QuestionId) -> Option<&QuestionState> {
        self.states.get(id)
    }

    /// Whether the state before could be had, be it that there is none.
    pub(super) fn is_known(&self, id: &str) -> bool {
        !self.unknown.contains(id)
    }

    /// That the cache has these states, under the ids that were asked for.
    #[cfg(feature = "guard")]
    pub(super) fn cached(states: &[QuestionState]) -> Self {
        let each = || states.iter().map(|state| state.question.clone());
        Self {
            spelling: each().map(|id| (id.as_str().to_owned(), id)).collect(),
            states: each().zip(states.iter().cloned()).collect(),
            cached: true,
            ..Self::default()
        }
    }

    /// Takes what the cache says; the ids that it leaves open, each once, in order.
    fn take_cached<'a>(
        &mut self,
        site: &Site,
        answered: &[&'a str],
        cached: Result<Lookup<KnownStates>>,
    ) -> Vec<&'a str> {
        let ids = each_once(answered);
        match cached {
            Ok(Lookup::Complete(known)) => {
                self.cached = true;
                let mut count = known.questions;
                for (id, known) in ids.iter().zip(known.states) {
                    if let Known::State(state) = known {
                        if is_hearsay(&state) {
                            count = count.saturating_sub(1);
                            continue;
                        }
                        self.spelling
                            .insert((*id).to_owned(), state.question.clone());
                        self.states.insert(state.question.clone(), state);
                    }
                }
                self.questions = Some(count);
            }
            Ok(Lookup::Incomplete) => {}
            Err(error) => {
                tracing::warn!(
                    site = site.config.site,
                    ?error,
                    "Reading states without the cache"
                );
            }
        }
        ids.into_iter()
            .filter(|id| !self.spelling.contains_key(*id))
            .collect()
    }
}

fn each_once<'a>(ids: &[&'a str]) -> Vec<&'a str> {
    let mut seen = HashSet::new();
    let ids = ids.iter().copied();
    ids.filter(|id| seen.insert(*id)).collect()
}

/// New questions that may not come.
#[derive(Debug, Default)]
pub(super) struct Beyond {
    /// In their own spelling, in order.
    pub(super) questions: Vec<QuestionId>,
    /// What is wrong with them.
    pub(super) reason: String,
}

/// Whose questions, and how they were named: what all of the below needs.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) player: &'a Player,
    pub(super) season: &'a SeasonRow,
    pub(super) zone: SiteZone,
    /// Ids in the order of the answers.
    pub(super) answered: &'a [&'a str],
}

/// Finds the states of the questions answered.
///
/// # Errors
/// `InvalidInput` for a new question where none may come, or too many; `Unavailable` if
/// they cannot be had within two seconds.
pub(super) async fn find(site: &Site, asked: Asked<'_>) -> Result<Prior> {
    let (prior, beyond) = find_all(site, asked).await?;
    refuse(&prior, &beyond, asked.answered)?;
    Ok(prior)
}

/// As [`find`] for answers that were taken before this could be asked: says which of them
/// must be left out.
///
/// # Errors
/// `Unavailable` if the states cannot be had within two seconds.
pub(super) async fn find_all(site: &Site, asked: Asked<'_>) -> Result<(Prior, Beyond)> {
    let work = async {
        let mut prior = Prior::default();
        let cached = if is_believed(site, asked).await {
            let ids = each_once(asked.answered);
            let season = &asked.season.name;
            site.cache.states(asked.player, season, &ids).await
        } else {
            Ok(Lookup::Incomplete)
        };
        let open = prior.take_cached(site, asked.answered, cached);
        on_record(site, asked, prior, &open).await
    };
    let (prior, _, beyond) = timeout(PATIENCE, work).await.unwrap_or_else(|_| {
        Err(Error::unavailable(
            "The database is too busy",
            Duration::from_secs(1),
        ))
    })?;
    Ok((prior, beyond))
}

/// Finds the states within the time that a submit has for it (`srs_state_budget_ms`).
/// What cannot be had by then is not known, and whether a new question may come is then
/// asked when its answer is applied.
///
/// # Errors
/// `InvalidInput` for a new question where none may come, or too many.
pub(super) async fn soon(site: &Arc<Site>, asked: Asked<'_>) -> Result<Prior> {
    let budget = site.config.srs.state_budget;
    let deadline = Instant::now() + budget;
    let mut prior = Prior::default();
    let cached = if is_believed(site, asked).await {
        let (site, player) = (site.clone(), asked.player.clone());
        let season = asked.season.name.clone();
        let ids: Vec<String> = each_once(asked.answered)
            .into_iter()
            .map(str::to_owned)
            .collect();
        // Half of the time: a Redis that hangs leaves some to the table.
        let states = bounded::within(budget / 2, async move {
            let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
            site.cache.states(&player, &season, &ids).await
        });
        states.await.unwrap_or_else(|| {
            Err(Error::unavailable(
                "Redis is too slow",
                Duration::from_secs(1),
            ))
        })
    } else {
        Ok(Lookup::Incomplete)
    };
    let open = prior.take_cached(site, asked.answered, cached);
    let found = timeout_at(deadline, on_record(site, asked, prior.clone(), &open)).await;
    let error = match found {
        Ok(Ok((found, uncomputed, beyond))) => {
            prior = found;
            refuse(&prior, &beyond, asked.answered)?;
            let waits = |id: &&str| uncomputed.contains(&id.to_lowercase());
            prior
                .unknown
                .extend(open.into_iter().filter(waits).map(str::to_owned));
            return Ok(prior);
        }
        Ok(Err(error)) if error.kind() == ErrorKind::InvalidInput => return Err(error),
        Ok(Err(error)) => error,
        Err(elapsed) => Error::unavailable("The database is too slow", Duration::from_secs(1))
            .with_source(elapsed),
    };
    tracing::debug!(
        site = site.config.site,
        ?error,
        "States are computed when their answers are applied"
    );
    prior.unknown.extend(open.into_iter().map(str::to_owned));
    Ok(prior)
}

/// Whether the cache may say what the states are.
async fn is_believed(site: &Site, asked: Asked<'_>) -> bool {
    let (player, season) = (asked.player, asked.season);
    season.enable_redis && site.recovery.trust(player, &season.name).await == Trust::Cache
}

/// Completes `prior` by what table and journal know of the `open` ids. Also: questions, in
/// lower case, of which that is not the last word (an answer is still to be computed, or
/// the queue's entries could not be read); and those that may not come.
async fn on_record(
    site: &Site,
    asked: Asked<'_>,
    mut prior: Prior,
    open: &[&str],
) -> Result<(Prior, HashSet<String>, Beyond)> {
    if open.is_empty() {
        return Ok((prior, HashSet::new(), Beyond::default()));
    }
    let whose = Whose {
        player: asked.player,
        season: &asked.season.name,
        zone: asked.zone,
        site: &site.config.site,
    };
    let _turn = site.load_turn().await?;
    let on_record = record::some(site, whose, open).await?;
    let (found, doubtful) = (on_record.found, on_record.doubtful);
    settle_spelling(site, &mut prior, open, &found.states).await?;
    for state in &found.states {
        // Of a question that was not open this is only what waits to be applied: its row may
        // be newer, and so may what the cache said.
        let known = prior.states.get(&state.question);
        if prior.spelling.values().any(|id| *id == state.question)
            && known.is_none_or(|known| state.beats(known))
        {
            prior.states.insert(state.question.clone(), state.clone());
        }
    }
    let beyond = beyond_limits(site, &prior, whose, asked.answered).await?;
    let named: Vec<&str> = if doubtful {
        open.to_vec()
    } else {
        found.uncomputed.iter().map(String::as_str).collect()
    };
    let uncomputed = named.into_iter().map(str::to_lowercase);
    Ok((prior, uncomputed.collect(), beyond))
}

/// Whether nothing but a due time is known: somebody may have set it from outside for a
/// question that has no row, and whether it has one only the table knows.
fn is_hearsay(state: &QuestionState) -> bool {
    state.last_review.is_none()
        && state.stability == Stability::default()
        && state.subject.is_none()
        && state.topic.is_none()
}

/// Finds the stored spelling of each open id: exact, else equal by the table's rules; of
/// several new ids that are equal to each other the first counts.
async fn settle_spelling(
    site: &Site,
    prior: &mut Prior,
    open: &[&str],
    on_record: &[QuestionState],
) -> Result<()> {
    let mut candidates: Vec<&str> = on_record.iter().map(|s| s.question.as_str()).collect();
    let mut doubtful = Vec::new();
    for id in open {
        if candidates.contains(id) {
            prior
                .spelling
                .insert((*id).to_owned(), QuestionId::stored(*id));
        } else {
            doubtful.push(*id);
        }
    }
    let on_record = candidates.len();
    candidates.extend(&doubtful);
    let equal = equal_pairs(site, &doubtful, &candidates).await?;
    for (i, id) in doubtful.iter().enumerate() {
        // A pair with a later id in the batch is that id's to settle.
        let same = equal
            .iter()
            .find(|(a, b)| *a == i && *b < on_record + i)
            .map(|(_, b)| *b);
        let stored = match same {
            Some(at) => {
                let known = candidates[at];
                prior
                    .spelling
                    .get(known)
                    .cloned()
                    .unwrap_or_else(|| QuestionId::stored(known))
            }
            None => QuestionId::stored(*id),
        };
        prior.spelling.insert((*id).to_owned(), stored);
    }
    Ok(())
}

/// Pairs (index of id, index of candidate) that the table's collation takes for the same.
pub(super) async fn equal_pairs(
    site: &Site,
    ids: &[&str],
    candidates: &[&str],
) -> Result<Vec<(usize, usize)>> {
    let all_ascii = ids.iter().chain(candidates).all(|id| id.is_ascii());
    if all_ascii {
        // In ASCII the collation folds case and, as ids have no outer blanks, no more.
        let pairs = ids.iter().enumerate().flat_map(|(i, id)| {
            let same = move |(_, c): &(usize, &&str)| id.eq_ignore_ascii_case(c);
            candidates
                .iter()
                .enumerate()
                .filter(same)
                .map(move |(j, _)| (i, j))
        });
        return Ok(pairs.collect());
    }
    load::equal_ids(&site.db, ids, candidates).await
}

/// New questions where none may come, or more than fit.
async fn beyond_limits(
    site: &Site,
    prior: &Prior,
    whose: Whose<'_>,
    answered: &[&str],
) -> Result<Beyond> {
    let mut new: Vec<QuestionId> = Vec::new();
    for id in answered {
        let stored = prior.stored(id);
        if prior.state(&stored).is_none() && !new.contains(&stored) {
            new.push(stored);
        }
    }
    if new.is_empty() {
        return Ok(Beyond::default());
    }
    if !site.config.srs.allow_new_questions {
        return Ok(Beyond {
            questions: new,
            reason: "is not one of your questions".to_owned(),
        });
    }
    let questions = match prior.questions {
        Some(n) => n,
        None => load::count(&site.db, whose).await?,
    };
    let max = site.config.srs.max_questions;
    let room = usize::try_from(max.saturating_sub(questions)).unwrap_or(usize::MAX);
    Ok(Beyond {
        questions: new.split_off(room.min(new.len())),
        reason: format!("is new, and a season holds at most {max} questions"),
    })
}

/// Refuses the whole batch if one of its questions may not come.
fn refuse(prior: &Prior, beyond: &Beyond, answered: &[&str]) -> Result<()> {
    let refused = |id: &&str| beyond.questions.contains(&prior.stored(id));
    match answered.iter().position(refused) {
        None => Ok(()),
        Some(first) => Err(Error::invalid(format!(
            "responses[{first}].question_id {}",
            beyond.reason
        ))),
    }
}
