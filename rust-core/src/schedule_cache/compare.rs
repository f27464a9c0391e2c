//! Looking at a schedule as closely as comparing it with the table needs, and mending it.
//!
//! What was inspected names the *generation* of the schedule: server, data set and the fill
//! that made it. Mending is a compare-and-set on generation, score and record (which holds
//! the version), so that whatever was accepted since the inspection stays.

use redis::Value;

use super::{FOREIGN, Lookup, Reply, ScheduleCache, bytes, details, due_of, scripts, text};
use crate::Result;
use crate::types::{Player, QuestionState, Season, UtcMicros};

/// Questions of one call of a script: a millisecond of Redis' time.
const CHUNK: usize = 250;
/// Ranks of one call: as long.
const RANKS: usize = 500;
/// Members of one page.
const PAGE: usize = 1000;

/// Members drawn from a schedule.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Drawn {
    /// Questions in the schedule.
    pub questions: u64,
    /// The members.
    pub members: Vec<String>,
}

/// A question as the cache holds it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Seen {
    /// The member's score as Redis writes it; `None` if it is not there.
    score: Option<Vec<u8>>,
    record: Option<Vec<u8>>,
    /// What score and record say; `None` without a record that belongs to the score.
    pub state: Option<QuestionState>,
    /// Whether a subject's schedule has it where it does not belong, lacks it, or has
    /// another score.
    pub wrong_sets: bool,
}

impl Seen {
    /// Whether the schedule has this question.
    pub fn is_there(&self) -> bool {
        self.score.is_some()
    }

    /// When it is due; `None` if it is not there, or its score is no time.
    pub fn due(&self) -> Option<UtcMicros> {
        due_of(&Value::BulkString(self.score.clone()?))
    }
}

/// Questions of one schedule as the cache holds them, in the order asked for.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Inspected {
    generation: Vec<u8>,
    /// One for each question.
    pub questions: Vec<Seen>,
}

/// How a question is put right.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Remedy<'a> {
    /// It gets this state, whatever is newer.
    Set(&'a QuestionState),
    /// It is taken out.
    Remove,
    /// It is right; subjects' schedules that are wrong about it go.
    DropSets,
}

/// One question to be put right, if it still is as it was seen.
#[derive(Debug, Clone, Copy)]
pub struct Mend<'a> {
    /// Which question.
    pub question: &'a str,
    /// How it was.
    pub seen: &'a Seen,
    /// What is done.
    pub remedy: Remedy<'a>,
}

impl QuestionState {
    /// As the cache holds it: it has no more room for some values than they ever need.
    #[must_use]
    pub fn as_cached(&self) -> Self {
        let last = self.last_review.map(|t| UtcMicros(t.0.clamp(0, MOST)));
        let due = self.due.to_score().parse().ok();
        Self {
            due: due.and_then(UtcMicros::from_score).unwrap_or(self.due),
            last_review: last.filter(|t| t.0 > 0),
            version: crate::types::Version(self.version.0.clamp(0, MOST)),
            ..self.clone()
        }
    }
}

/// What seven bytes hold.
const MOST: i64 = (1 << 56) - 1;

impl ScheduleCache {
    /// The members at these ranks (0: the most overdue one), and one from a subject's
    /// schedule: `place`, from 0 to below 1, says where among all those. One round trip for
    /// 500 ranks. A schedule of another site is `Incomplete` here.
    ///
    /// # Errors
    /// `Unavailable` if Redis is away or a replica.
    pub async fn draw(
        &self,
        player: &Player,
        season: &Season,
        ranks: &[u64],
        place: Option<f64>,
    ) -> Result<Lookup<Drawn>> {
        let keys = self.keys(player, season);
        let mut drawn = Drawn::default();
        let mut rest = ranks;
        loop {
            let (some, more) = rest.split_at(rest.len().min(RANKS));
            let mut call = scripts::SAMPLE.key(&keys.schedule);
            call.key(keys.details());
            call.arg(&self.own).arg(keys.subject_prefix());
            let place = place.filter(|_| more.is_empty());
            call.arg(place.map_or_else(String::new, |place| format!("{place:.9}")));
            call.arg(some);
            let Some(mut reply) = own(self.link.told(&mut call).await?)? else {
                return Ok(Lookup::Incomplete);
            };
            drawn.questions = u64::try_from(reply.int()?).unwrap_or(0);
            drawn.members.extend(questions(&reply.list()?));
            if more.is_empty() {
                return Ok(Lookup::Complete(drawn));
            }
            rest = more;
        }
    }

    /// The members of the subjects' schedules, whatever the schedule itself holds.
    ///
    /// # Errors
    /// As [`ScheduleCache::draw`].
    pub async fn subject_members(
        &self,
        player: &Player,
        season: &Season,
    ) -> Result<Lookup<Vec<String>>> {
        let keys = self.keys(player, season);
        let mut found = Vec::new();
        let (mut set, mut from) = (1, 0);
        loop {
            let mut call = scripts::MEMBERS.key(&keys.schedule);
            call.key(keys.details());
            call.arg(&self.own).arg(keys.subject_prefix());
            call.arg(set).arg(from).arg(from + PAGE - 1);
            let Some(mut reply) = own(self.link.told(&mut call).await?)? else {
                return Ok(Lookup::Incomplete);
            };
            let sets = usize::try_from(reply.int()?).unwrap_or(0);
            let page = reply.list()?;
            found.extend(questions(&page));
            from += PAGE;
            if page.len() < PAGE {
                (set, from) = (set + 1, 0);
            }
            if set > sets {
                return Ok(Lookup::Complete(found));
            }
        }
    }

    /// What the schedule holds of these questions. One round trip for 250.
    ///
    /// # Errors
    /// As [`ScheduleCache::draw`].
    pub async fn inspect(
        &self,
        player: &Player,
        season: &Season,
        ids: &[&str],
    ) -> Result<Lookup<Inspected>> {
        let keys = self.keys(player, season);
        let mut all = Inspected::default();
        for ids in ids.chunks(CHUNK) {
            let mut call = scripts::INSPECT.key(&keys.schedule);
            call.key(keys.details());
            call.arg(&self.own).arg(keys.subject_prefix());
            for id in ids {
                call.arg(id).arg(&details::fingerprint(id)[..]);
            }
            let Some(mut reply) = own(self.link.told(&mut call).await?)? else {
                return Ok(Lookup::Incomplete);
            };
            let generation = reply.bytes()?;
            if !all.questions.is_empty() && generation != all.generation {
                // Filled anew between two chunks: nothing that is compared by parts.
                return Ok(Lookup::Incomplete);
            }
            all.generation = generation;
            let (scores, records, names) = (reply.list()?, reply.list()?, reply.names()?);
            let first = all.questions.len();
            let seen = ids.iter().zip(scores.iter().zip(&records));
            all.questions.extend(seen.map(|(id, (score, record))| {
                let state =
                    due_of(score).and_then(|due| details::unpack(id, due, bytes(record)?, &names));
                Seen {
                    score: bytes(score).map(<[u8]>::to_vec),
                    record: bytes(record).map(<[u8]>::to_vec),
                    state,
                    wrong_sets: false,
                }
            }));
            for wrong in reply.list()? {
                let Value::Int(place) = wrong else { continue };
                let at = usize::try_from(place - 1).unwrap_or(usize::MAX);
                if let Some(seen) = all.questions.get_mut(first.saturating_add(at)) {
                    seen.wrong_sets = true;
                }
            }
        }
        Ok(Lookup::Complete(all))
    }

    /// Puts questions right that are still as `inspected` says, and tells of each whether it
    /// did; a fill under way will read again.
    ///
    /// # Errors
    /// As [`ScheduleCache::draw`]; part may have been put right.
    pub async fn mend(
        &self,
        player: &Player,
        season: &Season,
        inspected: &Inspected,
        mends: &[Mend<'_>],
    ) -> Result<Vec<bool>> {
        let keys = self.keys(player, season);
        let mut done = Vec::with_capacity(mends.len());
        for mends in mends.chunks(CHUNK / 2) {
            let mut call = scripts::MEND.key(&keys.schedule);
            call.key(keys.details()).key(keys.lease());
            call.arg(&self.own).arg(keys.subject_prefix());
            call.arg(&inspected.generation);
            for mend in mends {
                call.arg(mend.question)
                    .arg(&details::fingerprint(mend.question)[..])
                    .arg(mend.seen.score.as_deref().unwrap_or_default())
                    .arg(mend.seen.record.as_deref().unwrap_or_default());
                match mend.remedy {
                    Remedy::Set(state) => call
                        .arg(state.due.to_score())
                        .arg(&details::pack(state)[..])
                        .arg(state.subject.as_deref().unwrap_or_default())
                        .arg(state.topic.as_deref().unwrap_or_default()),
                    Remedy::Remove => call.arg(&[""; 4]),
                    Remedy::DropSets => call.arg("=").arg(&[""; 3]),
                };
            }
            match own(self.link.told(&mut call).await?)? {
                Some(mut reply) => {
                    let list = reply.list()?;
                    done.extend(list.iter().map(|one| *one == Value::Int(1)));
                }
                None => done.resize(done.len() + mends.len(), false),
            }
        }
        Ok(done)
    }
}

/// The rest of a reply of a complete schedule; `None` of any other, also of one of another
/// site: whoever looks at all keys meets those.
fn own(reply: Value) -> Result<Option<Reply>> {
    let mut reply = Reply::new(reply)?;
    match reply.int()? {
        FOREIGN => Ok(None),
        code => Ok(super::standing(code)?.then_some(reply)),
    }
}

/// Ids among members: no markers, and nothing that is no text.
fn questions(members: &[Value]) -> impl Iterator<Item = String> {
    let ids = members.iter().filter_map(text);
    ids.filter(|id| !id.starts_with('\0')).map(str::to_owned)
}
