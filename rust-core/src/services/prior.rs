//! What the questions of a submit were before it: from the cache, else from table and
//! journal, and in the spelling that is on record.
//!
//! Only a question that a complete cache does not hold *and* the table does not know in
//! any spelling is new: MariaDB's collation takes ids that differ by case, accents or
//! trailing blanks for the same, Redis and Rust do not. A question that was only ever given
//! a due time from outside has no row either, and is new.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::Site;
use super::recovery::Trust;
use crate::schedule_cache::{Known, Lookup};
use crate::site_time::SiteZone;
use crate::store::load::{self, Whose};
use crate::store::seasons::SeasonRow;
use crate::types::{Player, QuestionId, QuestionState, Stability};
use crate::{Error, Result};

/// How long finding the states may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is known of the questions of a submit.
pub(super) struct Prior {
    /// The stored spelling of each id asked for; a new question keeps its own.
    spelling: HashMap<String, QuestionId>,
    /// States by stored spelling; a question without one is new.
    states: HashMap<QuestionId, QuestionState>,
    /// Whether the cache answered for all of them, so that it is worth writing to.
    pub(super) cached: bool,
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
}

/// Finds the states of the questions answered: their ids, in the order of `responses`.
///
/// # Errors
/// `InvalidInput` for a new question where none may come, or too many; `Unavailable` if
/// they cannot be had within two seconds.
pub(super) async fn find(
    site: &Site,
    player: &Player,
    season: &SeasonRow,
    zone: SiteZone,
    answered: &[&str],
) -> Result<Prior> {
    let work = find_unhurried(site, player, season, zone, answered);
    tokio::time::timeout(PATIENCE, work)
        .await
        .unwrap_or_else(|_| {
            Err(Error::unavailable(
                "The database is too busy",
                Duration::from_secs(1),
            ))
        })
}

async fn find_unhurried(
    site: &Site,
    player: &Player,
    season: &SeasonRow,
    zone: SiteZone,
    answered: &[&str],
) -> Result<Prior> {
    let mut seen = HashSet::new();
    let ids: Vec<&str> = answered
        .iter()
        .copied()
        .filter(|id| seen.insert(*id))
        .collect();
    let mut prior = Prior {
        spelling: HashMap::new(),
        states: HashMap::new(),
        cached: false,
    };
    let mut questions = None;
    let believed =
        season.enable_redis && site.recovery.trust(player, &season.name).await == Trust::Cache;
    let cached = if believed {
        site.cache.states(player, &season.name, &ids).await
    } else {
        Ok(Lookup::Incomplete)
    };
    match cached {
        Ok(Lookup::Complete(known)) => {
            prior.cached = true;
            let mut count = known.questions;
            for (id, known) in ids.iter().zip(known.states) {
                if let Known::State(state) = known {
                    if is_hearsay(&state) {
                        count = count.saturating_sub(1);
                        continue;
                    }
                    prior
                        .spelling
                        .insert((*id).to_owned(), state.question.clone());
                    prior.states.insert(state.question.clone(), state);
                }
            }
            questions = Some(count);
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
    let open: Vec<&str> = ids
        .iter()
        .copied()
        .filter(|id| !prior.spelling.contains_key(*id))
        .collect();
    if open.is_empty() {
        return Ok(prior);
    }
    let whose = Whose {
        player,
        season: &season.name,
        zone,
        site: &site.config.site,
    };
    let _turn = site.load_turn().await?;
    let (rows, overlay) = load::some(&site.db, whose, &open).await?;
    let on_record = load::merge(rows, overlay);
    settle_spelling(site, &mut prior, &open, &on_record).await?;
    for state in on_record {
        if prior.spelling.values().any(|id| *id == state.question) {
            prior.states.insert(state.question.clone(), state);
        }
    }
    admit_new(site, &prior, whose, answered, questions).await?;
    Ok(prior)
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

/// Refuses new questions where none may come, or more than fit.
async fn admit_new(
    site: &Site,
    prior: &Prior,
    whose: Whose<'_>,
    answered: &[&str],
    questions: Option<u64>,
) -> Result<()> {
    let is_new = |id: &&str| prior.state(&prior.stored(id)).is_none();
    let Some(first) = answered.iter().position(is_new) else {
        return Ok(());
    };
    let field = format!("responses[{first}].question_id");
    if !site.config.srs.allow_new_questions {
        return Err(Error::invalid(format!(
            "{field} is not one of your questions"
        )));
    }
    let new: HashSet<QuestionId> = answered
        .iter()
        .filter(|id| is_new(id))
        .map(|id| prior.stored(id))
        .collect();
    let questions = match questions {
        Some(n) => n,
        None => load::count(&site.db, whose).await?,
    };
    let max = site.config.srs.max_questions;
    if questions + new.len() as u64 > max {
        return Err(Error::invalid(format!(
            "{field} is new, and a season holds at most {max} questions"
        )));
    }
    Ok(())
}
