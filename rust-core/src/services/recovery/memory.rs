//! Which students are dirty, as far as this process knows.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::queue::{Listed, Mark, Whose};
use crate::types::{Player, Season};

/// Students of one process's own memory at most; beyond that everybody counts as dirty.
const MOST: usize = 5_000;

/// See the module's documentation.
#[derive(Default)]
pub(super) struct Memory {
    /// Whether anybody is, so that a read of a healthy site takes no lock.
    any: AtomicBool,
    /// Held for an instant.
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// What this process could not confirm. Only this process takes it away, by making it
    /// good: that the list lacks it may mean that the list was lost.
    own: HashMap<Whose, Own>,
    /// The list as last seen.
    seen: HashSet<Whose>,
    /// The list's state then.
    state: Option<String>,
}

struct Own {
    mark: Mark,
    listed: bool,
}

impl Memory {
    /// Whether this student's schedule in the cache may lack something.
    pub(super) fn holds(&self, player: &Player, season: &Season) -> bool {
        if !self.any.load(Ordering::Acquire) {
            return false;
        }
        let inner = self.inner();
        let student = Whose::Student(player.clone(), season.clone());
        [&student, &Whose::Everybody]
            .iter()
            .any(|whose| inner.own.contains_key(whose) || inner.seen.contains(whose))
    }

    /// Notes what could not be confirmed; as whose it is remembered.
    pub(super) fn note(&self, player: &Player, season: &Season, mark: Mark) -> Whose {
        let mut whose = Whose::Student(player.clone(), season.clone());
        let mut inner = self.inner();
        if !inner.own.contains_key(&whose) && inner.own.len() >= MOST {
            inner.own.clear();
            whose = Whose::Everybody;
        } else if inner.own.contains_key(&Whose::Everybody) {
            whose = Whose::Everybody;
        }
        let listed = false;
        inner.own.insert(whose.clone(), Own { mark, listed });
        self.any.store(true, Ordering::Release);
        whose
    }

    /// What this process could not confirm: whose, under which mark, and whether that is on
    /// the list.
    pub(super) fn own(&self) -> Vec<(Whose, Mark, bool)> {
        let inner = self.inner();
        let own = inner.own.iter();
        own.map(|(whose, own)| (whose.clone(), own.mark.clone(), own.listed))
            .collect()
    }

    /// An own note is on the list.
    pub(super) fn listed(&self, whose: &Whose, mark: &Mark) {
        if let Some(own) = self.inner().own.get_mut(whose)
            && own.mark == *mark
        {
            own.listed = true;
        }
    }

    /// An own note is made good, unless there is a newer one.
    pub(super) fn healed(&self, whose: &Whose, mark: &Mark) {
        let mut inner = self.inner();
        if inner.own.get(whose).is_some_and(|own| own.mark == *mark) {
            inner.own.remove(whose);
        }
        self.settle(&inner);
    }

    /// Whether the list's state is not the one last seen.
    pub(super) fn is_news(&self, state: Option<&String>) -> bool {
        self.inner().state.as_ref() != state
    }

    /// The list as it is now.
    pub(super) fn saw(&self, list: Listed) {
        let mut inner = self.inner();
        inner.seen = list.whose.into_iter().collect();
        inner.state = list.state;
        self.settle(&inner);
    }

    /// These are off the list.
    pub(super) fn saw_gone<'a>(&self, gone: impl IntoIterator<Item = &'a Whose>) {
        let mut inner = self.inner();
        for whose in gone {
            inner.seen.remove(whose);
        }
        // Some may have been noted again: the next look tells.
        inner.state = None;
        self.settle(&inner);
    }

    /// Whether anybody is dirty.
    pub(super) fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    fn settle(&self, inner: &Inner) {
        let any = !inner.own.is_empty() || !inner.seen.is_empty();
        self.any.store(any, Ordering::Release);
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ann() -> (Player, Season) {
        (Player::stored("ann"), Season::stored("S"))
    }

    #[test]
    fn a_newer_note_outlives_the_healing_of_an_older() {
        let memory = Memory::default();
        let (player, season) = ann();
        let (old, new) = (Mark::new(), Mark::new());
        let whose = memory.note(&player, &season, old.clone());
        memory.note(&player, &season, new.clone());
        memory.healed(&whose, &old);
        assert!(memory.holds(&player, &season));
        memory.healed(&whose, &new);
        assert!(!memory.holds(&player, &season) && !memory.any());
    }

    #[test]
    fn what_is_off_the_list_stays_if_it_is_our_own() {
        let memory = Memory::default();
        let (player, season) = ann();
        let mark = Mark::new();
        let whose = memory.note(&player, &season, mark.clone());
        memory.saw(Listed::default());
        assert!(memory.holds(&player, &season));
        memory.healed(&whose, &mark);
        memory.saw(Listed {
            state: Some("1".to_owned()),
            whose: vec![whose.clone()],
        });
        assert!(memory.holds(&player, &season));
        assert!(!memory.is_news(Some(&"1".to_owned())));
        memory.saw_gone([&whose]);
        assert!(!memory.holds(&player, &season));
        assert!(memory.is_news(Some(&"1".to_owned())));
    }

    #[test]
    fn too_many_are_everybody() {
        let memory = Memory::default();
        let (player, season) = ann();
        for i in 0..=MOST {
            memory.note(&Player::stored(format!("p{i}")), &season, Mark::new());
        }
        assert!(memory.holds(&player, &season));
        let own = memory.own();
        assert_eq!(own.len(), 1);
        // From then on one note stands for all.
        let mark = Mark::new();
        let whose = memory.note(&player, &season, mark.clone());
        assert_eq!(whose, Whose::Everybody);
        memory.healed(&whose, &own[0].1);
        assert!(memory.any());
        memory.healed(&whose, &mark);
        assert!(!memory.any());
    }
}
