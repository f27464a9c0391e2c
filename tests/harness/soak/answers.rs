//! Answers that nobody should get, and requests that must not stay without any.

use super::check::{Finding, Verdict};
use super::evidence::{Evidence, Fault, Hit, Micros, Outcome, Refusal, SECOND, Try};

/// How long after a fault its traces may show: connections are found broken, a breaker is
/// still open.
const GRACE: Micros = 10 * SECOND;

/// Judges every request that was not answered well.
pub(super) fn judge(evidence: &Evidence, verdict: &mut Verdict) {
    for read in &evidence.reads {
        let outcome = bare(&read.outcome);
        if let Some(what) = wrong(evidence, read.door, (read.began, read.ended), outcome) {
            verdict.wrong.push(Finding {
                player: read.player.clone(),
                at: read.began,
                what: format!("read through sidecar {}: {what}", read.door),
            });
        }
    }
    for submit in &evidence.submits {
        let others = submit.others.iter().filter(|one| !is_conflict(one));
        for one in submit.tries.iter().chain(others) {
            let outcome = bare(&one.outcome);
            if let Some(what) = wrong(evidence, one.door, (one.began, one.ended), outcome) {
                verdict.wrong.push(Finding {
                    player: submit.player.clone(),
                    at: one.began,
                    what: format!("submit {} through sidecar {}: {what}", submit.id, one.door),
                });
            }
        }
    }
}

/// What a used id with other answers gets.
fn is_conflict(one: &Try) -> bool {
    matches!(&one.outcome, Outcome::Refused(refusal) if refusal.status == 409)
}

fn bare<T>(outcome: &Outcome<T>) -> Outcome<()> {
    match outcome {
        Outcome::Good(_) => Outcome::Good(()),
        Outcome::Refused(refusal) => Outcome::Refused(refusal.clone()),
        Outcome::Unanswered => Outcome::Unanswered,
    }
}

/// Why a request should not have been answered so.
fn wrong(
    evidence: &Evidence,
    door: usize,
    (began, ended): (Micros, Micros),
    outcome: Outcome<()>,
) -> Option<String> {
    let beside = |hits: &[Hit]| {
        let met = |fault: &&Fault| fault.meets(began, ended, GRACE);
        let mut faults = evidence.faults.iter().filter(met);
        faults.any(|fault| fault.hits.iter().any(|hit| hits.contains(hit)))
    };
    let own = Hit::Sidecar(door);
    match outcome {
        Outcome::Good(()) => None,
        Outcome::Unanswered if beside(&[own]) => None,
        Outcome::Unanswered => Some("no answer, though nobody stopped the sidecar".to_owned()),
        Outcome::Refused(Refusal {
            status,
            retry_after: None,
            text,
        }) => Some(format!("{status} without Retry-After: {text}")),
        // With MariaDB there, a submit has its journal and a read the table.
        Outcome::Refused(refusal) if refusal.status == 503 => {
            let why = beside(&[own, Hit::MariaDb]);
            (!why).then(|| format!("503 with MariaDB there: {}", refusal.text))
        }
        Outcome::Refused(refusal) if refusal.status == 429 => {
            let why = beside(&[own, Hit::Cache]);
            (!why).then(|| format!("429 with the cache there: {}", refusal.text))
        }
        Outcome::Refused(refusal) => Some(format!("{}: {}", refusal.status, refusal.text)),
    }
}
