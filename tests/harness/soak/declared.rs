//! What follows from the declared double fault. What it loses had been acknowledged and
//! shown: the cache goes on showing it, and later submits are computed on top of it, until a
//! fill reads what the table has. That is no other broken promise, and is counted apart.
//!
//! Excused is as little as can be: the student's questions that a lost attempt answered, from
//! that attempt on.

use std::collections::{HashMap, HashSet};

use super::evidence::{Evidence, Fault, Hit, Micros, Outcome, SECOND, Submit, Try};

/// A process goes without the journal for some time after MariaDB is back, and makes the
/// rows of what it took so within some more: until then queue and disk have it alone.
const LATE: Micros = 3 * SECOND;

/// What such faults took along.
pub(super) struct Declared<'e> {
    evidence: &'e Evidence,
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
            evidence,
            submits: HashSet::new(),
            from: HashMap::new(),
        };
        for submit in &evidence.submits {
            let key = (submit.player.as_str(), submit.id.as_str());
            let Some(since) = declared.lost_since(submit, rows.get(&key).copied()) else {
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

    /// Whether what was acknowledged then may be lost.
    pub(super) fn meets(&self, began: Micros, ended: Micros) -> bool {
        let faults = &self.evidence.faults;
        let of_mariadb = |fault: &&Fault| fault.hits.contains(&Hit::MariaDb) && !fault.declared;
        let without_journal = || {
            let mut of_mariadb = faults.iter().filter(of_mariadb);
            of_mariadb.any(|fault| fault.meets(began, ended, LATE))
        };
        let mut declared = faults.iter().filter(|fault| fault.declared);
        declared.any(|fault| {
            let soon = ended < fault.began && fault.began <= ended + LATE;
            fault.meets(began, ended, 0) || soon && without_journal()
        })
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

    /// When the first attempt began that such a fault took along: one that was, or may have
    /// been, acknowledged in it before there was a row. An attempt that was made again
    /// afterwards has its row, and is lost all the same.
    fn lost_since(&self, submit: &Submit, row: Option<Micros>) -> Option<Micros> {
        let is_lost = |one: &&Try| {
            let may_be_shown = !matches!(one.outcome, Outcome::Refused(_));
            let has_row = row.is_some_and(|created| created <= one.ended);
            may_be_shown && !has_row && self.meets(one.began, one.ended)
        };
        let lost = submit.tries.iter().filter(is_lost);
        lost.map(|one| one.began).min()
    }
}
