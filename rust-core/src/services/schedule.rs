//! Single questions and whole schedules by id and due time: the operations behind
//! `SRSRedisManager`, for code that keeps schedules itself or looks at them.
//!
//! They speak of the cache, not of the record: what is set here shows until the schedule
//! is filled from the table again. The exception is a schedule that is not cached: what
//! is set on it is taken over by the next fill (rule C6), except where a review was
//! accepted since, which knows better.
//!
//! A set due time gets the version after the one that the question had: it shows at once,
//! and a review that was computed before but comes later (its version is a time) still
//! counts, or the next one would be computed without it. A question that a complete schedule
//! has no record of is looked up in the table; if that does not know it either, it shows with
//! stability 0 and no subject.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::prior::equal_pairs;
use super::{Site, fill, record, seasons, who};
use crate::servers::mariadb::MariaDb;
use crate::store::load::Whose;
use crate::types::{
    Player, QuestionId, QuestionState, Season, Stability, UtcMicros, Version, check_name,
};
use crate::{Error, Result};

/// How long the table may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Ids that one call returns, at most: a few milliseconds of Redis' time.
pub const MAX_IDS: usize = 10_000;
/// Longest life of a key, a hundred years: Redis adds milliseconds in 64 bits.
const MAX_TTL: Duration = Duration::from_secs(36_525 * 86_400);
/// Questions looked up in the table by one statement.
const LOOKUP: usize = 500;

/// How large a cached schedule is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Stats {
    /// Questions in it.
    pub total_items: u64,
    /// Questions that are due now.
    pub due_items: u64,
    /// Bytes in Redis, companions included, as `MEMORY USAGE` estimates.
    pub memory_usage_bytes: u64,
}

/// A student and a season, named from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    pub(super) player: Player,
    pub(super) season: Season,
}

impl Owner {
    /// Checks the names of a student and a season.
    ///
    /// # Errors
    /// `InvalidInput`, naming `user` or `season`.
    pub fn new(user: &str, season: &str) -> Result<Self> {
        check_name("user", user)?;
        check_name("season", season)?;
        Ok(Self {
            player: Player::stored(user),
            season: Season::stored(season),
        })
    }
}

/// The key of a schedule.
pub fn key(site: &Site, owner: &Owner) -> String {
    site.cache.keys(&owner.player, &owner.season).schedule
}

/// Sets when these questions are due (UTC epoch seconds). A key that this makes lives for
/// `ttl`, 30 days if not given.
///
/// # Errors
/// `InvalidInput` naming an id, a time or the ttl that cannot be, and nothing is set;
/// `Unavailable` if Redis is away, or MariaDB where it is needed, and part may be set.
pub async fn add_batch(
    site: &Site,
    owner: &Owner,
    items: &[(String, f64)],
    ttl: Option<Duration>,
    now: UtcMicros,
) -> Result<()> {
    if ttl.is_some_and(|ttl| !(Duration::from_secs(1)..=MAX_TTL).contains(&ttl)) {
        return Err(Error::invalid("ttl must be 1 second to 100 years"));
    }
    let mut set = Vec::with_capacity(items.len());
    for (id, score) in items {
        check_name("question_id", id)?;
        let due = UtcMicros::from_score(*score)
            .ok_or_else(|| Error::invalid(format!("next_review_ts of {id} is no time")))?;
        set.push((id.as_str(), due));
    }
    let (player, season) = (&owner.player, &owner.season);
    let put = site.cache.put(player, season, &set, ttl).await;
    let unknown = site.recovery.outcome(player, season, put).await?;
    if unknown.is_empty() {
        return Ok(());
    }
    let ids: Vec<&str> = unknown.iter().map(String::as_str).collect();
    let known = on_record(site, owner, &ids, now).await?;
    let set: HashMap<&str, UtcMicros> = set.into_iter().collect();
    let states: Vec<QuestionState> = ids
        .iter()
        .filter_map(|id| Some(carried(known.get(*id), id, *set.get(id)?)))
        .collect();
    for chunk in states.chunks(100) {
        let applied = site.cache.apply(player, season, chunk).await;
        site.recovery.outcome(player, season, applied).await?;
    }
    Ok(())
}

/// Takes a question out of the cached schedule; whether it was there.
///
/// # Errors
/// `InvalidInput` for an id that cannot be, `Unavailable` if Redis is away.
pub async fn remove_item(site: &Site, owner: &Owner, question: &str) -> Result<bool> {
    check_name("question_id", question)?;
    let (player, season) = (&owner.player, &owner.season);
    let removed = site.cache.remove(player, season, question).await;
    site.recovery.outcome(player, season, removed).await
}

/// The `limit` most overdue questions of the cached schedule, most overdue first; none if
/// it is not cached.
///
/// # Errors
/// `InvalidInput` for a limit outside 1 to 10,000, `Unavailable` if Redis is away.
pub async fn due_items(
    site: &Site,
    owner: &Owner,
    limit: usize,
    now: UtcMicros,
) -> Result<Vec<String>> {
    check_limit(limit)?;
    if !is_believed(site, owner).await? {
        return Ok(Vec::new());
    }
    let due = site.cache.due_ids(&owner.player, &owner.season, now, limit);
    Ok(due.await?.1)
}

/// As [`due_items`], but a schedule that is not complete is filled first; the flag says
/// that this call did so. Where somebody else fills it, or the season is not cached, the
/// table answers.
///
/// # Errors
/// As [`due_items`]; `NotFound` for an unknown season, `InvalidInput` for an archived one,
/// `Unavailable` if Redis or MariaDB is away.
pub async fn due_items_with_rehydration(
    site: &Arc<Site>,
    owner: &Owner,
    limit: usize,
    now: UtcMicros,
) -> Result<(Vec<String>, bool)> {
    check_limit(limit)?;
    let (asked, season) = (&owner.player, &owner.season);
    if is_believed(site, owner).await? {
        let (complete, ids) = site.cache.due_ids(asked, season, now, limit).await?;
        if complete {
            return Ok((ids, false));
        }
    }
    let row = seasons::asked(site, season.as_str(), now).await?;
    // Reviews are shown under the stored names alone: what is filled under another
    // spelling would be out of date at once.
    let player = &who::player(site, asked).await?.unwrap_or(asked.clone());
    let stored = Owner {
        player: player.clone(),
        season: row.name.clone(),
    };
    if stored != *owner && is_believed(site, &stored).await? {
        let (complete, ids) = site.cache.due_ids(player, &row.name, now, limit).await?;
        if complete {
            return Ok((ids, false));
        }
    }
    if row.enable_redis && fill::run(site, player, &row.name, &[]).await? == fill::Filled::Yes {
        let (complete, ids) = site.cache.due_ids(player, &row.name, now, limit).await?;
        if complete {
            return Ok((ids, true));
        }
    }
    let whose = Whose {
        player,
        season: &row.name,
        zone: site.zone(now).await?,
        site: &site.config.site,
    };
    let _turn = site.load_turn().await?;
    let page = MariaDb::within(PATIENCE, record::due(site, whose, None, now, limit)).await?;
    let ids = page.found.questions.into_iter();
    Ok((ids.map(|s| s.question.as_str().to_owned()).collect(), false))
}

/// How many questions of the cached schedule are due.
///
/// # Errors
/// `Unavailable` if Redis is away.
pub async fn count_due(site: &Site, owner: &Owner, now: UtcMicros) -> Result<u64> {
    if !is_believed(site, owner).await? {
        return Ok(0);
    }
    site.cache
        .due_count(&owner.player, &owner.season, now)
        .await
}

/// Every question of the cached schedule with its due time, UTC epoch seconds.
///
/// # Errors
/// `Unavailable` if Redis is away.
pub async fn all_scores(site: &Site, owner: &Owner) -> Result<Vec<(String, f64)>> {
    if !is_believed(site, owner).await? {
        return Ok(Vec::new());
    }
    site.cache.scores(&owner.player, &owner.season).await
}

/// Forgets the cached schedule with all that belongs to it; whether there was one. The
/// next read fills it from the table.
///
/// # Errors
/// `Unavailable` if Redis is away.
pub async fn clear(site: &Site, owner: &Owner) -> Result<bool> {
    site.cache.invalidate(&owner.player, &owner.season).await
}

/// How large the cached schedule is.
///
/// # Errors
/// `Unavailable` if Redis is away, or refuses `MEMORY USAGE`.
pub async fn stats(site: &Site, owner: &Owner, now: UtcMicros) -> Result<Stats> {
    let (player, season) = (&owner.player, &owner.season);
    if !is_believed(site, owner).await? {
        return Ok(Stats::default());
    }
    let glance = site.cache.glance(player, season, now, 0).await?;
    Ok(Stats {
        total_items: glance.questions,
        due_items: glance.due,
        memory_usage_bytes: site.cache.bytes(player, season).await?,
    })
}

/// Whether the cached schedule may be shown: one that may lack something counts as not
/// cached.
async fn is_believed(site: &Site, owner: &Owner) -> Result<bool> {
    site.recovery
        .is_believed(&owner.player, &owner.season)
        .await
}

/// Whether the Redis with the schedules answers now. At once in Safe Mode.
pub async fn is_available(site: &Site) -> bool {
    site.cache.is_available().await
}

fn check_limit(limit: usize) -> Result<()> {
    if (1..=MAX_IDS).contains(&limit) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "limit must be between 1 and {MAX_IDS}"
    )))
}

/// What table and journal know of these questions, by the id asked for: the stored spelling
/// may differ by case, accents or trailing blanks.
async fn on_record(
    site: &Site,
    owner: &Owner,
    ids: &[&str],
    now: UtcMicros,
) -> Result<HashMap<String, QuestionState>> {
    let mut found = HashMap::new();
    for ids in ids.chunks(LOOKUP) {
        let whose = Whose {
            player: &owner.player,
            season: &owner.season,
            zone: site.zone(now).await?,
            site: &site.config.site,
        };
        let known = {
            let _turn = site.load_turn().await?;
            let known = MariaDb::within(PATIENCE, record::some(site, whose, ids));
            known.await?.found.states
        };
        let spellings: Vec<&str> = known.iter().map(|s| s.question.as_str()).collect();
        let equal = equal_pairs(site, ids, &spellings).await?;
        for (i, id) in ids.iter().enumerate() {
            let exact = spellings.iter().position(|spelling| spelling == id);
            let same = exact.or_else(|| Some(equal.iter().find(|(a, _)| *a == i)?.1));
            if let Some(state) = same.and_then(|at| known.get(at)) {
                found.insert((*id).to_owned(), state.clone());
            }
        }
    }
    Ok(found)
}

/// The state of a question whose due time was set from outside.
fn carried(state: Option<&QuestionState>, id: &str, due: UtcMicros) -> QuestionState {
    let base = state.cloned().unwrap_or_else(|| QuestionState {
        question: QuestionId::stored(id),
        stability: Stability::default(),
        due,
        last_review: None,
        version: Version::default(),
        subject: None,
        topic: None,
    });
    QuestionState {
        due,
        version: Version(base.version.0.saturating_add(1)),
        ..base
    }
}

/// Lays the members of a partial key over what a fill has read: they win (rule C6).
pub(super) async fn carry_over(
    site: &Site,
    owner: &Owner,
    states: &mut Vec<QuestionState>,
    members: Vec<(String, UtcMicros)>,
    now: UtcMicros,
) -> Result<()> {
    if members.is_empty() {
        return Ok(());
    }
    let at: HashMap<String, usize> = states
        .iter()
        .enumerate()
        .map(|(i, s)| (s.question.as_str().to_owned(), i))
        .collect();
    let mut strange = Vec::new();
    for (id, due) in members {
        match at.get(&id) {
            Some(&i) => states[i] = carried(Some(&states[i]), &id, due),
            None => strange.push((id, due)),
        }
    }
    let ids: Vec<&str> = strange.iter().map(|(id, _)| id.as_str()).collect();
    let known = on_record(site, owner, &ids, now).await?;
    for (id, due) in &strange {
        let state = carried(known.get(id), id, *due);
        match at.get(state.question.as_str()) {
            Some(&i) => states[i] = state,
            None => states.push(state),
        }
    }
    Ok(())
}
