//! What follows from the declared double fault. What it loses had been acknowledged and
//! shown: the cache goes on showing it, and later submits are computed on top of it, until a
//! fill reads what the table has. That is no other broken promise, and is counted apart.
//!
//! Excused is as little as can be: the student's questions that a lost attempt answered, from
//! that attempt on.

use std::collections::{HashMap, HashSet};

use super::evidence::{Evidence, Micros, Outcome, Submit, Try};

/// What such faults took along.
pub(super) struct Declared<'e> {
    /// Submits of which an attempt was lost: player and id.
    submits: HashSet<(&'e str, &'e str)>,
    /// Questions of which the cache may show that, by student, and from when on.
    from: HashMap<&'e str, HashMap<&'e str, Micros>>,
}

impl<'e> Declared<'e> {
    /// Of everything.
    pub(super) fn new(evidence: &'e Evidence) -> Self {
        let rows = evidence.tables.journal.iter();
        let rows = rows.map(|row| ((row.player.as_str(), row.submission.as_str()), row.created));
        let rows: HashMap<_, _> = rows.collect();
        let mut declared = Self {
            submits: HashSet::new(),
            from: HashMap::new(),
        };
        for submit in &evidence.submits {
            let key = (submit.player.as_str(), submit.id.as_str());
            let Some(since) = lost_since(evidence, submit, rows.get(&key).copied()) else {
                continue;
            };
            declared.submits.insert(key);
            let questions = declared.from.entry(key.0).or_default();
            for answered in &submit.answers {
                let known = questions.entry(&answered.question).or_insert(since);
                *known = since.min(*known);
            }
        }
        declared
    }

    /// Whether an attempt at it was lost.
    pub(super) fn takes(&self, submit: &Submit) -> bool {
        let key = (submit.player.as_str(), submit.id.as_str());
        self.submits.contains(&key)
    }

    /// Whether, at this time, the cache may show of this question what was lost.
    pub(super) fn covers(&self, player: &str, question: &str, at: Micros) -> bool {
        let from = self.from.get(player).and_then(|of| of.get(question));
        from.is_some_and(|from| *from <= at)
    }

    /// All questions of a student of which it may.
    pub(super) fn of(&self, player: &str, at: Micros) -> Vec<&'e str> {
        let questions = self.from.get(player).into_iter().flatten();
        let covered = questions.filter(|(_, from)| **from <= at);
        covered.map(|(question, _)| *question).collect()
    }
}

/// When the first attempt began that a declared double fault took along: one that was, or may
/// have been, acknowledged in it before there was a row. An attempt that was made again
/// afterwards has its row, and is lost all the same.
fn lost_since(evidence: &Evidence, submit: &Submit, row: Option<Micros>) -> Option<Micros> {
    let faults = evidence.faults.iter().filter(|fault| fault.declared);
    let faults: Vec<_> = faults.collect();
    let is_lost = |one: &&Try| {
        let in_it = faults.iter().any(|f| f.meets(one.began, one.ended, 0));
        let may_be_shown = !matches!(one.outcome, Outcome::Refused(_));
        in_it && may_be_shown && row.is_none_or(|created| created > one.ended)
    };
    submit
        .tries
        .iter()
        .filter(is_lost)
        .map(|one| one.began)
        .min()
}
