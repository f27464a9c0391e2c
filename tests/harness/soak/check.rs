//! Lost, doubled, stale: guarantees G1 to G4, from what clients were told and what the
//! tables hold in the end.

use std::collections::HashMap;

use super::declared::Declared;
use super::evidence::{Evidence, Micros, Outcome, State, Submit};
use super::history::{History, Made};
use super::{answers, reads};

/// A promise that was not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Whose.
    pub player: String,
    /// When: the acknowledgement's, or the read's beginning.
    pub at: Micros,
    /// What is wrong.
    pub what: String,
}

/// What came out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verdict {
    /// Submits that were acknowledged.
    pub acknowledged: usize,
    /// Reads that were answered.
    pub reads: usize,
    /// Acknowledged submits that are not in the tables, or without effect there.
    pub lost: Vec<Finding>,
    /// Submits that had an effect twice, and states that are nobody's doing.
    pub doubled: Vec<Finding>,
    /// Reads and computations that did not know what they had to know.
    pub stale: Vec<Finding>,
    /// Answers that nobody should get.
    pub wrong: Vec<Finding>,
    /// Submits lost by the declared double fault.
    pub declared: Vec<Finding>,
    /// What would be doubled or stale, and follows from that.
    pub consequences: Vec<Finding>,
}

impl Verdict {
    /// Whether every promise was kept; the declared double fault promises nothing.
    pub fn is_good(&self) -> bool {
        let broken = [&self.lost, &self.doubled, &self.stale, &self.wrong];
        broken.iter().all(|findings| findings.is_empty())
    }
}

/// Judges everything.
pub fn judge(evidence: &Evidence) -> Verdict {
    let history = History::new(evidence);
    let declared = Declared::new(evidence);
    let mut verdict = Verdict::default();
    let tables = Tables::new(evidence);
    for (index, submit) in evidence.submits.iter().enumerate() {
        let Some(at) = submit.acknowledged() else {
            continue;
        };
        verdict.acknowledged += 1;
        let finding = |what| Finding {
            player: submit.player.clone(),
            at,
            what: format!("submission {}: {what}", submit.id),
        };
        if let Some(what) = lost(submit, index, &history, &tables) {
            match declared.meets(at, at) {
                true => verdict.declared.push(finding(what)),
                false => verdict.lost.push(finding(what)),
            }
        }
        if let Some(what) = doubled(submit, index, &history, &tables) {
            verdict.doubled.push(finding(what));
        }
        if submit
            .others
            .iter()
            .any(|one| matches!(one.outcome, Outcome::Good(_)))
        {
            let what = finding("other answers were taken under its id".to_owned());
            match declared.takes(submit) {
                true => verdict.consequences.push(what),
                false => verdict.doubled.push(what),
            }
        }
        if let Some(what) = contradictory(submit) {
            verdict.wrong.push(finding(what));
        }
    }
    judge_states(evidence, &history, &tables, &declared, &mut verdict);
    reads::judge(evidence, &history, &declared, &mut verdict);
    answers::judge(evidence, &mut verdict);
    verdict
}

/// The tables by their keys.
struct Tables<'e> {
    rows: HashMap<(&'e str, &'e str), State>,
    applied: HashMap<(&'e str, &'e str), usize>,
}

impl<'e> Tables<'e> {
    fn new(evidence: &'e Evidence) -> Self {
        let rows = evidence.tables.rows.iter();
        let rows = rows.map(|r| ((r.player.as_str(), r.question.as_str()), r.state));
        let mut applied = HashMap::new();
        for (player, submission, _) in &evidence.tables.applied {
            *applied
                .entry((player.as_str(), submission.as_str()))
                .or_default() += 1;
        }
        Self {
            rows: rows.collect(),
            applied,
        }
    }
}

/// Why an acknowledged submit is not in the tables as it was given (G1).
fn lost(
    submit: &Submit,
    index: usize,
    history: &History<'_>,
    tables: &Tables<'_>,
) -> Option<String> {
    let key = (submit.player.as_str(), submit.id.as_str());
    let Some(log) = history.log.get(&index) else {
        return Some("acknowledged, and not in the review log".to_owned());
    };
    if !history.applied.contains_key(&key) {
        return Some("acknowledged, and not applied".to_owned());
    }
    if !tables.applied.contains_key(&key) {
        return Some("acknowledged, and not in the audit".to_owned());
    }
    for (seq, answered) in submit.answers.iter().enumerate() {
        let Some(row) = log.iter().find(|row| row.seq == seq) else {
            return Some(format!("answer {seq} is not in the review log"));
        };
        if (&row.question, row.quality) != (&answered.question, answered.quality) {
            return Some(format!("another answer stands in the place of {seq}"));
        }
        match tables.rows.get(&(key.0, row.question.as_str())) {
            None => return Some(format!("{} has no row", row.question)),
            Some(state) if *state < row.after => {
                let (is, was) = (state.version, row.after.version);
                let question = &row.question;
                return Some(format!(
                    "the row of {question} has version {is}, below {was}"
                ));
            }
            Some(_) => {}
        }
    }
    None
}

/// Why a submit had more effect than it should (G2).
fn doubled(
    submit: &Submit,
    index: usize,
    history: &History<'_>,
    tables: &Tables<'_>,
) -> Option<String> {
    let key = (submit.player.as_str(), submit.id.as_str());
    if let Some(times) = tables.applied.get(&key).filter(|times| **times > 1) {
        return Some(format!("applied {times} times"));
    }
    let log = history.log.get(&index)?;
    let (logged, given) = (log.len(), submit.answers.len());
    (logged > given).then(|| format!("{logged} rows in the review log for {given} answers"))
}

/// How the acknowledgements of one submit contradict it or each other.
fn contradictory(submit: &Submit) -> Option<String> {
    let mut job = None;
    for (_, ack) in submit.acks() {
        if ack.processed != submit.answers.len() as u64 {
            let (said, given) = (ack.processed, submit.answers.len());
            return Some(format!("{said} processed of {given} answers"));
        }
        if job.is_some_and(|job| job != &ack.job) {
            return Some("two jobs for one submission".to_owned());
        }
        job = Some(&ack.job);
    }
    None
}

/// Whether each state was made from one that is on record and new enough, and whether it
/// comes after what its student already knew.
fn judge_states(
    evidence: &Evidence,
    history: &History<'_>,
    tables: &Tables<'_>,
    declared: &Declared<'_>,
    verdict: &mut Verdict,
) {
    for (player, questions) in &history.students {
        for (question, known) in questions {
            let finding = |at, what| Finding {
                player: (*player).to_owned(),
                at,
                what: format!("{question}: {what}"),
            };
            let row = tables.rows.get(&(*player, *question));
            if let Some(row) = row
                && !known.made.iter().any(|made| made.state == *row)
            {
                let what = format!("the row's version {} is nobody's doing", row.version);
                verdict.doubled.push(finding(0, what));
            }
            for made in &known.made {
                let Some(submit) = made.submit.map(|index| &evidence.submits[index]) else {
                    if made.from == Micros::MIN && made.visible.is_none() {
                        let what = "the review log has a submission that nobody sent";
                        verdict.doubled.push(finding(0, what.to_owned()));
                    }
                    continue;
                };
                let required = known.required(submit.began());
                let at = submit.began();
                let id = &submit.id;
                // Any of its attempts may be the one that counts.
                let follows = declared.covers(player, question, submit.ended());
                match judge_state(made, required, &known.made) {
                    Some(Broken::Phantom) => {
                        let what = format!("{id} was computed from a state that is nobody's doing");
                        match follows {
                            true => verdict.consequences.push(finding(at, what)),
                            false => verdict.doubled.push(finding(at, what)),
                        }
                    }
                    Some(Broken::Base) => {
                        let since = known.since(at, &evidence.submits);
                        let what = format!("{id} was computed from a state that was over {since}");
                        verdict.stale.push(finding(at, what));
                    }
                    Some(Broken::Order) if submit.acknowledged().is_some() => {
                        let since = known.since(at, &evidence.submits);
                        let what = format!("{id} was overruled by what stood {since}");
                        verdict.lost.push(finding(at, what));
                    }
                    Some(Broken::Order) | None => {}
                }
            }
        }
    }
}

enum Broken {
    Phantom,
    Base,
    Order,
}

fn judge_state(made: &Made, required: Option<State>, all: &[Made]) -> Option<Broken> {
    if let Some(base) = made.base
        && !all.iter().any(|other| other.state.version == base)
    {
        return Some(Broken::Phantom);
    }
    let required = required?;
    if made.base.is_none_or(|base| base < required.version) {
        // A worse thing: it is not even the newer one.
        return Some(match made.state > required {
            true => Broken::Base,
            false => Broken::Order,
        });
    }
    (made.state <= required).then_some(Broken::Order)
}
