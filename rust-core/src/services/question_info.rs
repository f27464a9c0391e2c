//! Subject and topic of new questions, which only apps in Python know.
//!
//! A student's answer to a question without a row makes one, without subject and topic:
//! those never come from the student. In Python the app that runs the job asks the hook
//! `srs_question_info` at once. What brings rows into the table otherwise queues a job on
//! `default` that asks it ([`ask`]), where the site says that there is such a hook.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::apply::{self, NewQuestions};
use super::prior::equal_pairs;
use super::{Site, who};
use crate::queue::Requeued;
use crate::servers::mariadb::MariaDb;
use crate::store::links::{self, Linked};
use crate::store::question_info as store;
use crate::types::{Player, Season, UtcMicros, check_name};
use crate::{Error, Result};

/// Questions in one call, and in one job.
const MAX_QUESTIONS: usize = 1000;
/// Students remembered whose new questions could not be asked about yet.
const MAX_UNASKED: usize = 10_000;
/// Questions in one call of the cache's script.
const CACHED: usize = 100;
/// How long the database may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Subject and topic of a question, each if known.
pub type Info = (Option<String>, Option<String>);

/// Those of `ids` whose row has neither subject nor topic, in stored spelling.
///
/// # Errors
/// `InvalidInput` for a name that cannot be, or more than 1,000 ids; `NotFound` for an
/// unknown user or season; `Unavailable` if the database is away.
pub async fn questions_without_info(
    site: &Site,
    user: &str,
    season: &str,
    ids: &[String],
) -> Result<Vec<String>> {
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    check(&ids)?;
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let (player, season) = who::stored(site, user, season, UtcMicros::now()).await?;
    let without = async {
        let mut conn = site.db.conn().await?;
        let found = store::without(&mut conn, &player, &season.name, &ids).await?;
        Ok(found)
    };
    MariaDb::within(PATIENCE, without).await
}

/// Gives rows without subject and topic theirs, in table and cache; how many rows
/// changed. Due times and versions stay. A question without a row, or with a subject or
/// topic, is left.
///
/// # Errors
/// As [`questions_without_info`]; `InvalidInput` also for a subject or topic that does
/// not exist, and nothing has changed; `Unavailable` also if the cache is away: the rows
/// are then as they were.
pub async fn fill_question_info(
    site: &Site,
    user: &str,
    season: &str,
    info: &HashMap<String, Info>,
) -> Result<u64> {
    let mut ids: Vec<&str> = info.keys().map(String::as_str).collect();
    ids.sort_unstable();
    check(&ids)?;
    let info = MariaDb::within(PATIENCE, known_names(site, info)).await?;
    ids.retain(|id| info.contains_key(*id));
    if ids.is_empty() {
        return Ok(0);
    }
    let now = UtcMicros::now();
    let (player, season) = who::stored(site, user, season, now).await?;
    let filling = Filling {
        site,
        player: &player,
        season: &season.name,
        ids: &ids,
        info: &info,
        now: site.zone(now).await?.to_wall(now),
    };
    apply::patiently(site, || MariaDb::within(PATIENCE, filling.run())).await
}

fn check(ids: &[&str]) -> Result<()> {
    if ids.len() > MAX_QUESTIONS {
        return Err(Error::invalid(format!(
            "at most {MAX_QUESTIONS} questions at once, not {}",
            ids.len()
        )));
    }
    ids.iter().try_for_each(|id| check_name("question_id", id))
}

/// With subjects and topics in their stored spelling, without questions that nothing is
/// known of.
async fn known_names(site: &Site, info: &HashMap<String, Info>) -> Result<HashMap<String, Info>> {
    let subjects = spellings(site, Linked::Subject, info.values().map(|(s, _)| s)).await?;
    let topics = spellings(site, Linked::Topic, info.values().map(|(_, t)| t)).await?;
    let stored = |field: &str, id: &str, name: &Option<String>, known: &HashMap<String, String>| {
        let Some(name) = name.as_ref().filter(|name| !name.is_empty()) else {
            return Ok(None);
        };
        let missing = || Error::invalid(format!("{field} {name} of {id} does not exist"));
        known.get(name).cloned().map(Some).ok_or_else(missing)
    };
    let mut out = HashMap::with_capacity(info.len());
    for (id, (subject, topic)) in info {
        let subject = stored("subject", id, subject, &subjects)?;
        let topic = stored("topic", id, topic, &topics)?;
        if subject.is_some() || topic.is_some() {
            out.insert(id.clone(), (subject, topic));
        }
    }
    Ok(out)
}

async fn spellings(
    site: &Site,
    linked: Linked,
    names: impl Iterator<Item = &Option<String>>,
) -> Result<HashMap<String, String>> {
    let mut names: Vec<&str> = names.flatten().map(String::as_str).collect();
    names.sort_unstable();
    names.dedup();
    links::stored(&site.db, linked, &names).await
}

/// One call of [`fill_question_info`], checked.
struct Filling<'a> {
    site: &'a Site,
    player: &'a Player,
    season: &'a Season,
    ids: &'a [&'a str],
    info: &'a HashMap<String, Info>,
    now: chrono::NaiveDateTime,
}

/// Questions of the same subject and topic.
type Groups<'a> = BTreeMap<(Option<&'a str>, Option<&'a str>), Vec<&'a str>>;

impl Filling<'_> {
    async fn run(&self) -> Result<u64> {
        let mut conn = self.site.db.conn().await?;
        let begun = store::begin(&mut conn, self.player, self.season, self.ids).await;
        let mut rows = begun.map_err(busy)?;
        let questions = rows.questions.clone();
        let groups = self.groups(&questions).await?;
        for (names, questions) in &groups {
            let set = rows.set(self.player, self.season, *names, self.now, questions);
            set.await.map_err(busy)?;
        }
        // Before the commit, so that without the cache it is as if nobody had asked; and
        // again after it, for a fill that read the rows in between.
        if let Err(error) = self.show(&groups).await {
            rows.roll_back().await.map_err(busy)?;
            return Err(error);
        }
        rows.commit().await.map_err(busy)?;
        if let Err(error) = self.show(&groups).await {
            tracing::warn!(
                site = self.site.config.site,
                ?error,
                "Subjects of new questions may not show before the schedule is filled"
            );
        }
        Ok(groups
            .values()
            .map(|questions| questions.len() as u64)
            .sum())
    }

    /// What is known of these stored questions, which may be spelled another way there.
    async fn groups<'q>(&'q self, questions: &'q [String]) -> Result<Groups<'q>> {
        let mut groups = Groups::new();
        let mut open = Vec::new();
        let mut put = |question: &'q str, id: &str| {
            if let Some((subject, topic)) = self.info.get(id) {
                let names = (subject.as_deref(), topic.as_deref());
                groups.entry(names).or_default().push(question);
            }
        };
        for question in questions {
            if self.info.contains_key(question) {
                put(question, question);
            } else {
                open.push(question.as_str());
            }
        }
        let mut pairs = equal_pairs(self.site, &open, self.ids).await?;
        pairs.sort_unstable();
        pairs.dedup_by_key(|(question, _)| *question);
        for (question, id) in pairs {
            put(open[question], self.ids[id]);
        }
        Ok(groups)
    }

    async fn show(&self, groups: &Groups<'_>) -> Result<()> {
        let names: Vec<_> = groups
            .iter()
            .flat_map(|(&(subject, topic), questions)| {
                questions.iter().map(move |id| (*id, subject, topic))
            })
            .collect();
        for names in names.chunks(CACHED) {
            let cache = &self.site.cache;
            cache.name(self.player, self.season, names).await?;
        }
        Ok(())
    }
}

/// An error of the server's; `Unavailable` if the same may work a moment later.
fn busy(error: mysql_async::Error) -> Error {
    if apply::may_pass(&error) {
        let busy = Error::unavailable("The database is too busy", Duration::from_secs(1));
        busy.with_source(error)
    } else {
        error.into()
    }
}

/// New questions that apps are still to be asked about, while too many jobs wait.
#[derive(Default)]
pub(super) struct Unasked(Mutex<Vec<NewQuestions>>);

impl Unasked {
    fn take(&self) -> Vec<NewQuestions> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn keep(&self, site: &str, left: impl IntoIterator<Item = NewQuestions>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend(left);
        if kept.len() > MAX_UNASKED {
            tracing::warn!(site, "Some new questions stay without subject and topic");
            kept.truncate(MAX_UNASKED);
        }
    }
}

/// Asks Python, by jobs, for what apps know of new questions, if the site says that one
/// does (`srs_question_info`). What finds no room in the queue is asked at the next call.
pub(super) async fn ask(site: &Site, new: Vec<NewQuestions>) {
    if !site.config.srs.question_info {
        return;
    }
    let scope = site.config.site.as_str();
    let mut open = site.unasked.take();
    open.extend(new.into_iter().flat_map(in_pieces));
    let mut open = open.into_iter();
    while let Some(new) = open.next() {
        let (player, season) = (&new.player, &new.season);
        let asked = site
            .producer
            .ask_for_info(player, season, &new.ids, UtcMicros::now());
        match asked.await {
            Ok(Requeued::Queued | Requeued::StillThere) => continue,
            Ok(Requeued::HeldBack) => {}
            Err(error) => tracing::warn!(
                site = scope,
                ?error,
                "Subjects of new questions could not be asked for yet"
            ),
        }
        site.unasked.keep(scope, std::iter::once(new).chain(open));
        return;
    }
}

fn in_pieces(new: NewQuestions) -> impl Iterator<Item = NewQuestions> {
    let NewQuestions {
        player,
        season,
        ids,
    } = new;
    let pieces: Vec<Vec<String>> = ids.chunks(MAX_QUESTIONS).map(<[_]>::to_vec).collect();
    pieces.into_iter().map(move |ids| NewQuestions {
        player: player.clone(),
        season: season.clone(),
        ids,
    })
}
