//! The list of *dirty* students (rule C10): their schedule in the cache may lack something
//! that was accepted. It is on the queue Redis, because the cache's is the one that could
//! not be reached.
//!
//! `rq:memora:dirty:<site>` is a hash, student to mark. Each note gets a mark of its own, so
//! that who makes a student's schedule good takes away what was noted before, and nothing
//! noted since. Under the empty name is the list's state, which changes with the list:
//! every process looks at it each second, and at the rest only when it changed.

use std::sync::{Arc, LazyLock};

use redis::{Pipeline, Script, cmd};

use super::keys;
use crate::Result;
use crate::servers::redis::RedisLink;
use crate::types::{Player, Season, new_ulid};

static MARK: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("scripts/dirty_mark.lua")));
static DONE: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("scripts/dirty_done.lua")));
static LIST: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("scripts/dirty_list.lua")));

/// Students on the list at most, and in one process's memory of it; beyond that everybody
/// counts as dirty.
const MOST: usize = 5_000;
/// How long a note stays if nobody can make it good: as long as a schedule lives, since by
/// then the one that lacked something is gone.
const TTL_MS: u64 = 30 * 24 * 3600 * 1000;
/// Entries of one page.
const PAGE: usize = 500;
/// Stands for everybody.
const EVERYBODY: &str = "*";
/// Between player and season; no name has it.
const SEPARATOR: char = '\0';

/// Who is dirty.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Whose {
    /// One student's season.
    Student(Player, Season),
    /// Every student of the site: too many to tell.
    Everybody,
}

impl Whose {
    fn field(&self) -> String {
        match self {
            Self::Student(player, season) => {
                format!("{}{SEPARATOR}{}", player.as_str(), season.as_str())
            }
            Self::Everybody => EVERYBODY.to_owned(),
        }
    }

    /// `None` for what is no entry.
    fn parse(field: &str) -> Option<Self> {
        if field == EVERYBODY {
            return Some(Self::Everybody);
        }
        let (player, season) = field.split_once(SEPARATOR)?;
        Some(Self::Student(
            Player::stored(player),
            Season::stored(season),
        ))
    }
}

/// A random value that no other note has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark(String);

impl Mark {
    /// A new one.
    #[expect(clippy::new_without_default, reason = "no two are alike")]
    pub fn new() -> Self {
        Self(new_ulid())
    }
}

/// What [`DirtyList::list`] found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// The state of the list at that moment.
    pub state: Option<String>,
    /// Who is on it; [`Whose::Everybody`] if they are too many.
    pub whose: Vec<Whose>,
}

/// One site's list.
pub struct DirtyList {
    redis: Arc<RedisLink>,
    key: String,
}

impl DirtyList {
    /// On the bench's queue Redis.
    pub fn new(redis: Arc<RedisLink>, site: &str) -> Self {
        Self {
            redis,
            key: keys::dirty(site),
        }
    }

    /// Adds the question for the list's state to a round trip; its reply is an
    /// `Option<String>`, `None` for an empty list.
    pub fn ask_state(&self, pipeline: &mut Pipeline) {
        pipeline.add_command(cmd("HGET").arg(&self.key).arg("").to_owned());
    }

    /// Notes a student, under `mark` from now on.
    ///
    /// # Errors
    /// `Unavailable` if the queue Redis is away: it may be noted.
    pub async fn mark(&self, whose: &Whose, mark: &Mark) -> Result<()> {
        let state = Mark::new();
        let mut call = MARK.key(&self.key);
        call.arg(whose.field())
            .arg(&mark.0)
            .arg(&state.0)
            .arg(MOST)
            .arg(TTL_MS);
        self.redis.script::<i64>(&call).await.map(|_| ())
    }

    /// Takes off those that were not noted again; how many went.
    ///
    /// # Errors
    /// `Unavailable` if the queue Redis is away.
    pub async fn done(&self, entries: &[(Whose, Mark)]) -> Result<u64> {
        let mut gone = 0;
        for entries in entries.chunks(PAGE) {
            let mut call = DONE.key(&self.key);
            call.arg(&Mark::new().0);
            for (whose, mark) in entries {
                call.arg(whose.field()).arg(&mark.0);
            }
            gone += self.redis.script::<u64>(&call).await?;
        }
        Ok(gone)
    }

    /// Who is on the list.
    ///
    /// # Errors
    /// `Unavailable` if the queue Redis is away.
    pub async fn list(&self) -> Result<Listed> {
        let mut call = LIST.key(&self.key);
        call.arg(MOST);
        let fields: Vec<String> = self.redis.script(&call).await?;
        let mut listed = Listed::default();
        for pair in fields.chunks(2) {
            match pair {
                [name, state] if name.is_empty() => listed.state = Some(state.clone()),
                [field, _] => listed.whose.extend(Whose::parse(field)),
                _ => {}
            }
        }
        Ok(listed)
    }

    /// One page of the entries, from `cursor` ("0" first), and the next cursor, "0" at the
    /// end. Whoever is on the list from the first page to the last is seen.
    ///
    /// # Errors
    /// `Unavailable` if the queue Redis is away.
    pub async fn page(&self, cursor: &str) -> Result<(String, Vec<(Whose, Mark)>)> {
        let mut scan = cmd("HSCAN");
        scan.arg(&self.key).arg(cursor).arg("COUNT").arg(PAGE);
        let (next, fields): (String, Vec<(String, String)>) = self.redis.query(&scan).await?;
        let entries = fields
            .into_iter()
            .filter_map(|(field, mark)| Some((Whose::parse(&field)?, Mark(mark))));
        Ok((next, entries.collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_names_a_student_or_everybody() {
        let ann = Whose::Student(Player::stored("*"), Season::stored("a b"));
        for whose in [ann, Whose::Everybody] {
            assert_eq!(Whose::parse(&whose.field()), Some(whose));
        }
        assert_eq!(Whose::parse(""), None);
        assert_eq!(Whose::parse("nonsense"), None);
    }
}
