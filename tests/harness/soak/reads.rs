//! What a read may show: no state older than one that it had to know (G4), nothing that
//! is nobody's doing, all that is due and nothing else.

use std::collections::HashMap;

use super::check::{Finding, Verdict};
use super::declared::Declared;
use super::evidence::{Evidence, Outcome, Read, Session, Shown, State};
use super::history::{History, Question, Student};

/// Questions that a degraded answer has at most.
const DEGRADED_PAGE: usize = 10;

/// What is wrong with a read.
#[derive(Debug)]
enum Fault {
    /// It did not know what it had to know.
    Stale(String),
    /// It shows what nobody did.
    Phantom(String),
}

/// Judges every read; one finding each at most.
pub(super) fn judge(
    evidence: &Evidence,
    history: &History<'_>,
    declared: &Declared<'_>,
    verdict: &mut Verdict,
) {
    for read in &evidence.reads {
        let Outcome::Good(session) = &read.outcome else {
            continue;
        };
        verdict.reads += 1;
        let Some(student) = history.students.get(read.player.as_str()) else {
            continue;
        };
        let Some(fault) = fault_of(read, session, student, &[], evidence) else {
            continue;
        };
        // What is wrong also if the cache may show what was lost.
        let lost = declared.of(&read.player, read.ended);
        let (findings, what) = match fault_of(read, session, student, &lost, evidence) {
            Some(Fault::Stale(what)) => (&mut verdict.stale, what),
            Some(Fault::Phantom(what)) => (&mut verdict.doubled, what),
            None => {
                let (Fault::Stale(what) | Fault::Phantom(what)) = fault;
                (&mut verdict.consequences, what)
            }
        };
        let degraded = if session.degraded { ", degraded" } else { "" };
        findings.push(Finding {
            player: read.player.clone(),
            at: read.began,
            what: format!("read through sidecar {}{degraded}: {what}", read.door),
        });
    }
}

/// `lost`: questions of which anything may be shown.
fn fault_of(
    read: &Read,
    session: &Session,
    student: &Student<'_>,
    lost: &[&str],
    evidence: &Evidence,
) -> Option<Fault> {
    let skew = evidence.skews.get(read.door).copied().unwrap_or(0);
    let (low, high) = (read.began + skew, read.ended + skew);
    let shown: HashMap<&str, usize> = session
        .questions
        .iter()
        .enumerate()
        .map(|(i, shown)| (shown.question.as_str(), i))
        .collect();
    if shown.len() != session.questions.len() {
        return Some(Fault::Phantom("shows a question twice".to_owned()));
    }
    if !session.questions.is_sorted_by_key(|q| q.due) {
        return Some(Fault::Stale("is not in the order of due times".to_owned()));
    }
    for question in &session.questions {
        let id = question.question.as_str();
        let is_lost = lost.contains(&id);
        if !is_lost && let Some(fault) = fault_of_one(read, question, student.get(id), evidence) {
            return Some(fault);
        }
        if question.due > high {
            return Some(Fault::Stale(format!("shows {id}, which is not due")));
        }
    }

    let last = session.questions.last().map(|q| q.due);
    let whole = session.total as usize <= session.questions.len();
    let (mut least, mut most) = (0, lost.len() as u64);
    let certain = student.iter().filter(|(id, _)| !lost.contains(id));
    for (id, known) in certain {
        if read.subject.is_some() && read.subject != known.subject {
            continue;
        }
        let (states, unknown) = known.possible(read.began, read.ended);
        most += u64::from(states.iter().any(|state| state.due <= high));
        let surely = !unknown && states.iter().all(|state| state.due <= low);
        least += u64::from(surely);
        let within = states
            .iter()
            .all(|state| last.is_some_and(|last| state.due < last));
        if surely && (whole || within) && !shown.contains_key(id) {
            let since = known.since(read.began, &evidence.submits);
            return Some(Fault::Stale(format!("lacks {id}, which is due {since}")));
        }
    }
    let total = session.total;
    if !(least..=most).contains(&total) {
        return Some(Fault::Stale(format!(
            "says that {total} are due; it must be {least} to {most}"
        )));
    }
    let page = |limit: usize| limit.min(total as usize);
    let full = session.questions.len() == page(read.limit)
        || session.degraded && session.questions.len() == page(read.limit.min(DEGRADED_PAGE));
    let count = session.questions.len();
    (!full).then(|| Fault::Stale(format!("shows {count} questions of {total}")))
}

/// What is wrong with a question that a read shows.
fn fault_of_one(
    read: &Read,
    question: &Shown,
    known: Option<&Question>,
    evidence: &Evidence,
) -> Option<Fault> {
    let id = &question.question;
    let Some(known) = known else {
        let what = format!("shows {id}, which is not the student's");
        return Some(Fault::Phantom(what));
    };
    let is_shown =
        |state: &State| (state.due, state.stability) == (question.due, question.stability);
    if !known.made.iter().any(|made| is_shown(&made.state)) {
        let what = format!("shows a state of {id} that is nobody's doing");
        return Some(Fault::Phantom(what));
    }
    let (possible, _) = known.possible(read.began, read.ended);
    if possible.iter().any(is_shown) {
        return None;
    }
    let since = known.since(read.began, &evidence.submits);
    let what = format!("shows a state of {id} that was over {since}");
    Some(Fault::Stale(what))
}
