//! The states that each question had, and from when on each must show.

use std::collections::HashMap;

use super::evidence::{Evidence, Logged, Micros, SECOND, State, Submit};

/// After an acknowledgement that says `is_degraded`, the state shows within a second, or
/// when it is applied; and a second more, because the machine is busy.
const DEGRADED: Micros = 2 * SECOND;

/// One state of a question.
#[derive(Debug, Clone, Copy)]
pub struct Made {
    /// The state.
    pub state: State,
    /// The version that it was computed from; `None`: the question was new.
    pub base: Option<i64>,
    /// Whose doing: index among the submits; `None` for the state at the start, and for a
    /// submission that nobody sent.
    pub submit: Option<usize>,
    /// Before this time it cannot have shown.
    pub from: Micros,
    /// After this time it must show; `None`: never promised.
    pub visible: Option<Micros>,
}

/// One question of one student.
#[derive(Debug, Default)]
pub struct Question {
    /// Its Game Subject.
    pub subject: Option<String>,
    /// Its states, the oldest first.
    pub made: Vec<Made>,
}

/// One student.
pub type Student<'e> = HashMap<&'e str, Question>;

/// All students.
pub struct History<'e> {
    /// By name.
    pub students: HashMap<&'e str, Student<'e>>,
    /// The submits by player and id: their index.
    pub submits: HashMap<(&'e str, &'e str), usize>,
    /// The rows of the review log of each submit, by its index, in order.
    pub log: HashMap<usize, Vec<&'e Logged>>,
    /// When each submission was applied.
    pub applied: HashMap<(&'e str, &'e str), Micros>,
}

impl<'e> History<'e> {
    /// Of everything.
    pub fn new(evidence: &'e Evidence) -> Self {
        let tables = &evidence.tables;
        let submits = evidence.submits.iter().enumerate();
        let submits = submits.map(|(i, s)| ((s.player.as_str(), s.id.as_str()), i));
        let applied = tables.journal.iter().filter_map(|row| {
            let key = (row.player.as_str(), row.submission.as_str());
            row.applied.map(|at| (key, at))
        });
        let mut history = Self {
            students: HashMap::new(),
            submits: submits.collect(),
            log: HashMap::new(),
            applied: applied.collect(),
        };
        for tracked in &evidence.start {
            let question = history.question(&tracked.player, &tracked.question);
            question.subject.clone_from(&tracked.subject);
            question.made.push(Made {
                state: tracked.state,
                base: None,
                submit: None,
                from: Micros::MIN,
                visible: Some(Micros::MIN),
            });
        }
        for row in &tables.log {
            let key = (row.player.as_str(), row.submission.as_str());
            let submit = history.submits.get(&key).copied();
            if let Some(index) = submit {
                history.log.entry(index).or_default().push(row);
            }
            let submit_of = submit.map(|index| &evidence.submits[index]);
            let made = Made {
                state: row.after,
                base: row.base,
                submit,
                from: submit_of.map_or(Micros::MIN, Submit::began),
                visible: submit_of.and_then(|s| visible(s, history.applied.get(&key).copied())),
            };
            history.question(key.0, &row.question).made.push(made);
        }
        for question in history.students.values_mut().flat_map(HashMap::values_mut) {
            question.made.sort_by_key(|made| made.state);
        }
        for rows in history.log.values_mut() {
            rows.sort_by_key(|row| row.seq);
        }
        history
    }

    fn question(&mut self, player: &'e str, question: &'e str) -> &mut Question {
        let student = self.students.entry(player).or_default();
        student.entry(question).or_default()
    }
}

/// From when on a submit's states must show (guarantee G4).
pub fn visible(submit: &Submit, applied: Option<Micros>) -> Option<Micros> {
    let acks = submit.acks().filter_map(|(at, ack)| match ack.degraded {
        false => Some(at),
        true => applied.map(|applied| applied.max(at + DEGRADED)),
    });
    acks.min()
}

impl Question {
    /// The state that must show at this time, or a higher one; `None` if it need not be
    /// known at all.
    pub fn required(&self, at: Micros) -> Option<State> {
        self.latest(at).map(|made| made.state)
    }

    fn latest(&self, at: Micros) -> Option<&Made> {
        let visible = |made: &&Made| made.visible.is_some_and(|v| v < at);
        let visible = self.made.iter().filter(visible);
        visible.max_by_key(|made| made.state)
    }

    /// What had to be known at this time, for a person.
    pub fn since(&self, at: Micros, submits: &[Submit]) -> String {
        let latest = self.latest(at).and_then(|made| made.submit);
        let Some(submit) = latest.map(|index| &submits[index]) else {
            return "since the start".to_owned();
        };
        let degraded = submit.acks().all(|(_, ack)| ack.degraded);
        let ago = at - submit.acknowledged().unwrap_or(at);
        format!(
            "since {}, acknowledged {:.3} s before{}",
            submit.id,
            ago as f64 / SECOND as f64,
            if degraded { " (degraded)" } else { "" }
        )
    }

    /// The states that may show in a read from `began` to `ended`, and whether it may as
    /// well be unknown.
    pub fn possible(&self, began: Micros, ended: Micros) -> (Vec<State>, bool) {
        let required = self.required(began);
        let possible = self.made.iter().filter(|made| made.from <= ended);
        let states = possible.map(|made| made.state);
        let states = states.filter(|state| required.is_none_or(|least| *state >= least));
        (states.collect(), required.is_none())
    }
}
