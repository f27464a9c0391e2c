//! Does the checker find what is broken, and nothing else?

use std::time::Duration;

use super::check::judge;
use super::evidence::*;
use super::figures;
use super::plan::{Wanted, plan};
use super::{Evidence, Verdict};

const ANN: &str = "ann@example.com";

fn state(version: i64, due_s: i64) -> State {
    State {
        version,
        due: due_s * SECOND,
        stability: 0,
    }
}

fn tracked(question: &str, state: State) -> Tracked {
    Tracked {
        player: ANN.to_owned(),
        question: question.to_owned(),
        state,
        subject: None,
    }
}

/// A try through sidecar 0, `began` to `ended` in seconds.
fn one_try(began: i64, ended: i64, outcome: Outcome<Ack>) -> Try {
    Try {
        door: 0,
        began: began * SECOND,
        ended: ended * SECOND,
        outcome,
    }
}

fn ack(degraded: bool) -> Outcome<Ack> {
    Outcome::Good(Ack {
        degraded,
        job: "job".to_owned(),
        processed: 1,
    })
}

fn refused(status: u16, retry_after: Option<u64>) -> Refusal {
    Refusal {
        status,
        retry_after,
        text: String::new(),
    }
}

fn submit(id: &str, question: &str, tries: Vec<Try>) -> Submit {
    Submit {
        player: ANN.to_owned(),
        id: id.to_owned(),
        answers: vec![Answered {
            question: question.to_owned(),
            quality: 4,
        }],
        tries,
        others: Vec::new(),
    }
}

fn logged(id: &str, question: &str, base: Option<i64>, after: State) -> Logged {
    Logged {
        player: ANN.to_owned(),
        submission: id.to_owned(),
        seq: 0,
        question: question.to_owned(),
        quality: 4,
        base,
        after,
    }
}

fn journaled(id: &str, created_s: i64, applied_s: i64) -> Journaled {
    Journaled {
        player: ANN.to_owned(),
        submission: id.to_owned(),
        created: created_s * SECOND,
        applied: Some(applied_s * SECOND),
    }
}

/// A read through sidecar 0 at a time in seconds: the questions with their due times.
fn read(at: i64, total: u64, questions: &[(&str, i64)]) -> Read {
    let questions = questions.iter().map(|(id, due)| Shown {
        question: (*id).to_owned(),
        due: due * SECOND,
        stability: 0,
    });
    Read {
        player: ANN.to_owned(),
        door: 0,
        began: at * SECOND,
        ended: at * SECOND + 1000,
        subject: None,
        limit: 50,
        outcome: Outcome::Good(Session {
            degraded: false,
            total,
            questions: questions.collect(),
        }),
    }
}

fn fault(hits: &[Hit], began: i64, ended: i64) -> Fault {
    Fault {
        kind: "some".to_owned(),
        hits: hits.to_vec(),
        away: hits.to_vec(),
        declared: false,
        began: began * SECOND,
        ended: ended * SECOND,
    }
}

/// Two questions are due at 10 and 20; at 100 the first is answered and is due at 1000.
fn good() -> Evidence {
    let applied = (ANN.to_owned(), "s-1".to_owned(), "worker".to_owned());
    Evidence {
        start: vec![tracked("a", state(0, 10)), tracked("b", state(0, 20))],
        submits: vec![submit("s-1", "a", vec![one_try(100, 101, ack(false))])],
        reads: vec![
            read(50, 2, &[("a", 10), ("b", 20)]),
            read(102, 1, &[("b", 20)]),
        ],
        faults: Vec::new(),
        skews: vec![0],
        tables: Tables {
            log: vec![logged("s-1", "a", Some(0), state(500, 1000))],
            rows: vec![tracked("a", state(500, 1000)), tracked("b", state(0, 20))],
            journal: vec![journaled("s-1", 100, 103)],
            applied: vec![applied],
        },
    }
}

/// What is found after a change: lost, doubled, stale, wrong, declared.
fn found(change: impl FnOnce(&mut Evidence)) -> [usize; 5] {
    let mut evidence = good();
    change(&mut evidence);
    let verdict = judge(&evidence);
    let Verdict {
        lost,
        doubled,
        stale,
        wrong,
        declared,
        ..
    } = verdict;
    [lost, doubled, stale, wrong, declared].map(|findings| findings.len())
}

const NOTHING: [usize; 5] = [0; 5];
const LOST: [usize; 5] = [1, 0, 0, 0, 0];
const DOUBLED: [usize; 5] = [0, 1, 0, 0, 0];
const STALE: [usize; 5] = [0, 0, 1, 0, 0];
const WRONG: [usize; 5] = [0, 0, 0, 1, 0];

/// A second submit for `a`, applied at once.
fn again(e: &mut Evidence, began: i64, base: Option<i64>, after: State) {
    let tries = vec![one_try(began, began + 1, ack(false))];
    e.submits.push(submit("s-2", "a", tries));
    e.tables.log.push(logged("s-2", "a", base, after));
    e.tables.journal.push(journaled("s-2", began, began));
    let applied = (ANN.to_owned(), "s-2".to_owned(), "worker".to_owned());
    e.tables.applied.push(applied);
    e.tables.rows[0].state = e.tables.rows[0].state.max(after);
}

#[test]
fn nothing_is_found_where_nothing_is_wrong() {
    let verdict = judge(&good());
    assert!(verdict.is_good(), "{verdict:?}");
    assert_eq!((verdict.acknowledged, verdict.reads), (1, 2));
    assert_eq!(
        found(|e| again(e, 200, Some(500), state(600, 2000))),
        NOTHING
    );
}

#[test]
fn a_submit_without_its_effect_is_lost() {
    assert_eq!(found(|e| e.tables.rows[0].state = state(0, 10)), LOST);
    let nowhere = |e: &mut Evidence| {
        e.reads.clear();
        e.tables.rows[0].state = state(0, 10);
        e.tables.log.clear();
        e.tables.journal.clear();
    };
    assert_eq!(found(nowhere), LOST);
    assert_eq!(found(|e| e.tables.journal[0].applied = None), LOST);
    assert_eq!(found(|e| e.tables.applied.clear()), LOST);
    assert_eq!(found(|e| e.tables.log[0].quality = 1), LOST);
    // Nobody was told that it was taken.
    let unanswered = |e: &mut Evidence| {
        nowhere(e);
        e.submits[0].tries[0].outcome = Outcome::Refused(refused(503, Some(1)));
        e.faults.push(fault(&[Hit::MariaDb], 99, 101));
    };
    assert_eq!(found(unanswered), NOTHING);
}

#[test]
fn the_declared_double_fault_is_counted_apart() {
    let both = |e: &mut Evidence| {
        e.tables.rows[0].state = state(0, 10);
        let mut fault = fault(&[Hit::MariaDb, Hit::Queue], 99, 105);
        fault.declared = true;
        e.faults.push(fault);
    };
    assert_eq!(found(both), [0, 0, 0, 0, 1]);
}

/// The submit for `a` is lost by the double fault; the cache has it still. What `change` adds
/// is found: doubled, stale, consequences.
fn after_loss(change: impl FnOnce(&mut Evidence)) -> [usize; 3] {
    let mut evidence = good();
    let mut fault = fault(&[Hit::MariaDb, Hit::Queue], 99, 105);
    fault.declared = true;
    evidence.faults.push(fault);
    evidence.reads.truncate(1);
    evidence.tables = Tables {
        rows: evidence.start.clone(),
        ..Tables::default()
    };
    change(&mut evidence);
    let verdict = judge(&evidence);
    assert_eq!((verdict.lost.len(), verdict.wrong.len()), (0, 0));
    assert_eq!(verdict.declared.len(), 1, "{verdict:?}");
    let Verdict {
        doubled,
        stale,
        consequences,
        ..
    } = verdict;
    [doubled, stale, consequences].map(|findings| findings.len())
}

#[test]
fn what_follows_from_a_loss_is_counted_apart() {
    assert_eq!(after_loss(|_| {}), [0, 0, 0]);
    // Shown still, or gone: either will do.
    let shown = |e: &mut Evidence| e.reads.push(read(110, 1, &[("b", 20)]));
    assert_eq!(after_loss(shown), [0, 0, 1]);
    let gone = |e: &mut Evidence| e.reads.push(read(110, 2, &[("a", 10), ("b", 20)]));
    assert_eq!(after_loss(gone), [0, 0, 0]);
    let due_again = |e: &mut Evidence| e.reads.push(read(1001, 2, &[("b", 20), ("a", 1000)]));
    assert_eq!(after_loss(due_again), [0, 0, 1]);
    // Built upon.
    let later = |e: &mut Evidence| again(e, 200, Some(500), state(600, 2000));
    assert_eq!(after_loss(later), [0, 0, 1]);
    // Begun before, and only later attempted with success.
    let retried = |e: &mut Evidence| {
        again(e, 200, Some(500), state(600, 2000));
        let refused = Outcome::Refused(refused(503, Some(1)));
        e.submits[1].tries.insert(0, one_try(99, 100, refused));
    };
    assert_eq!(after_loss(retried), [0, 0, 1]);
}

#[test]
fn what_is_taken_without_the_journal_just_before_is_lost_with_the_rest() {
    // Acknowledged at 101; MariaDB had been away until 100, for its sidecar at least.
    let before = |mariadb: i64, both: i64| {
        move |e: &mut Evidence| {
            e.tables.rows[0].state = state(0, 10);
            e.faults.push(fault(&[Hit::MariaDb], mariadb - 2, mariadb));
            let mut fault = fault(&[Hit::MariaDb, Hit::Queue], both, both + 5);
            fault.declared = true;
            e.faults.push(fault);
        }
    };
    assert_eq!(found(before(100, 102)), [0, 0, 0, 0, 1]);
    // It had the journal then, or had time to write it.
    assert_eq!(found(before(90, 102)), LOST);
    assert_eq!(found(before(100, 105)), LOST);
}

#[test]
fn what_does_not_follow_from_a_loss_is_a_finding() {
    // Of another question, in the same answer or alone.
    let other = |e: &mut Evidence| e.reads.push(read(110, 1, &[("a", 10)]));
    assert_eq!(after_loss(other), [0, 1, 0]);
    let both = |e: &mut Evidence| e.reads.push(read(110, 0, &[]));
    assert_eq!(after_loss(both), [0, 1, 0]);
    let phantom = |e: &mut Evidence| e.reads.push(read(110, 1, &[("b", 21)]));
    assert_eq!(after_loss(phantom), [1, 0, 0]);
    let too_many = |e: &mut Evidence| e.reads.push(read(110, 3, &[("a", 10), ("b", 20)]));
    assert_eq!(after_loss(too_many), [0, 1, 0]);
    let not_due = |e: &mut Evidence| e.reads.push(read(110, 2, &[("b", 20), ("a", 1000)]));
    assert_eq!(after_loss(not_due), [0, 1, 0]);
    // Before the loss.
    let before = |e: &mut Evidence| e.reads.push(read(90, 1, &[("b", 20)]));
    assert_eq!(after_loss(before), [0, 1, 0]);
    // Another student's.
    let strangers = |e: &mut Evidence| {
        for tracked in &mut e.start {
            tracked.player = "bob@example.com".to_owned();
        }
        e.tables.rows.clone_from(&e.start);
        e.reads.push(read(110, 1, &[("b", 20)]));
        for read in &mut e.reads {
            read.player = "bob@example.com".to_owned();
        }
    };
    assert_eq!(after_loss(strangers), [0, 1, 0]);
    // Outside of such a fault.
    let undeclared = |e: &mut Evidence| {
        e.reads.push(read(110, 1, &[("b", 20)]));
        let mut other = e.submits[0].clone();
        other.id = "s-0".to_owned();
        other.tries = vec![one_try(80, 81, Outcome::Unanswered)];
        other.answers[0].question = "b".to_owned();
        e.submits.push(other);
        e.faults.push(fault(&[Hit::Sidecar(0)], 79, 82));
        e.reads.push(read(110, 1, &[("a", 10)]));
    };
    assert_eq!(after_loss(undeclared), [0, 1, 1]);
}

#[test]
fn an_attempt_that_was_lost_and_made_again_is_a_loss_too() {
    // Acknowledged, lost, and sent again: its own first attempt is what it is built upon.
    let again = |created: i64| {
        move |e: &mut Evidence| {
            let mut fault = fault(&[Hit::MariaDb, Hit::Queue], 99, 105);
            fault.declared = true;
            e.faults.push(fault);
            e.submits[0].tries.push(one_try(110, 111, ack(false)));
            e.reads.truncate(1);
            e.tables.log[0] = logged("s-1", "a", Some(400), state(500, 1000));
            e.tables.journal[0] = journaled("s-1", created, 120);
        }
    };
    assert_eq!(found(again(110)), NOTHING);
    // It had its row, so nothing of it was lost.
    assert_eq!(found(again(100)), DOUBLED);
}

#[test]
fn a_review_that_an_earlier_one_overrules_is_lost() {
    assert_eq!(found(|e| again(e, 200, Some(500), state(400, 2000))), LOST);
    // Both read the same state: whichever is higher wins, both count.
    assert_eq!(found(|e| again(e, 100, Some(0), state(400, 2000))), NOTHING);
}

#[test]
fn two_effects_of_one_submit_are_found() {
    let twice = |e: &mut Evidence| e.tables.applied.push(e.tables.applied[0].clone());
    assert_eq!(found(twice), DOUBLED);
    let longer = |e: &mut Evidence| {
        let mut row = e.tables.log[0].clone();
        row.seq = 1;
        e.tables.log.push(row);
    };
    assert_eq!(found(longer), DOUBLED);
    // Another attempt at the same submission, which the journal does not have.
    assert_eq!(
        found(|e| again(e, 200, Some(501), state(600, 2000))),
        DOUBLED
    );
    let nobodys = |e: &mut Evidence| e.reads.push(read(60, 2, &[("a", 11), ("b", 20)]));
    assert_eq!(found(nobodys), DOUBLED);
    let stranger = |e: &mut Evidence| {
        e.reads
            .push(read(60, 3, &[("a", 10), ("b", 20), ("x", 30)]))
    };
    assert_eq!(found(stranger), DOUBLED);
}

#[test]
fn a_read_after_an_acknowledgement_shows_it_or_something_newer() {
    let old = || read(102, 2, &[("a", 10), ("b", 20)]);
    assert_eq!(found(|e| e.reads.push(old())), STALE);
    // Begun before the acknowledgement: either will do.
    let meanwhile = |e: &mut Evidence| {
        let mut early = old();
        early.began = 100 * SECOND;
        e.reads.push(early);
    };
    assert_eq!(found(meanwhile), NOTHING);
    // Degraded: not yet, and later yes.
    let degraded = |at: i64| {
        move |e: &mut Evidence| {
            e.submits[0].tries[0].outcome = ack(true);
            e.reads.push(read(at, 2, &[("a", 10), ("b", 20)]));
        }
    };
    assert_eq!(found(degraded(102)), NOTHING);
    assert_eq!(found(degraded(104)), STALE);
}

#[test]
fn a_read_lacks_nothing_that_is_due_and_adds_nothing() {
    assert_eq!(found(|e| e.reads.push(read(102, 0, &[]))), STALE);
    assert_eq!(found(|e| e.reads.push(read(102, 2, &[("b", 20)]))), STALE);
    assert_eq!(found(|e| e.reads.push(read(60, 2, &[("b", 20)]))), STALE);
    let not_due = |e: &mut Evidence| e.reads.push(read(102, 2, &[("b", 20), ("a", 1000)]));
    assert_eq!(found(not_due), STALE);
    let unordered = |e: &mut Evidence| e.reads.push(read(60, 2, &[("b", 20), ("a", 10)]));
    assert_eq!(found(unordered), STALE);
    let page = |questions: &'static [(&str, i64)]| {
        move |e: &mut Evidence| {
            let mut page = read(60, 2, questions);
            page.limit = 1;
            e.reads.push(page);
        }
    };
    assert_eq!(found(page(&[("a", 10)])), NOTHING);
    assert_eq!(found(page(&[("b", 20)])), STALE);
}

#[test]
fn a_review_is_computed_from_what_was_known() {
    assert_eq!(found(|e| again(e, 200, Some(0), state(600, 2000))), STALE);
    assert_eq!(found(|e| again(e, 200, None, state(600, 2000))), STALE);
}

#[test]
fn a_clock_that_is_wrong_is_taken_into_account() {
    let due_soon = |skew: i64| {
        move |e: &mut Evidence| {
            e.skews = vec![skew * SECOND];
            e.reads.push(read(998, 2, &[("b", 20), ("a", 1000)]));
        }
    };
    assert_eq!(found(due_soon(0)), STALE);
    assert_eq!(found(due_soon(5)), NOTHING);
}

#[test]
fn answers_that_nobody_should_get_are_found() {
    let refusal = |refusal: Refusal, hits: &'static [Hit]| {
        move |e: &mut Evidence| {
            let mut read = read(60, 0, &[]);
            read.outcome = Outcome::Refused(refusal);
            e.reads.push(read);
            e.faults.push(fault(hits, 55, 58));
        }
    };
    let busy = || refused(503, Some(1));
    assert_eq!(found(refusal(busy(), &[Hit::MariaDb])), NOTHING);
    assert_eq!(found(refusal(busy(), &[Hit::Cache])), WRONG);
    assert_eq!(found(refusal(refused(503, None), &[Hit::MariaDb])), WRONG);
    assert_eq!(
        found(refusal(refused(500, Some(1)), &[Hit::MariaDb])),
        WRONG
    );
    let limited = || refused(429, Some(30));
    assert_eq!(found(refusal(limited(), &[Hit::Cache])), NOTHING);
    assert_eq!(found(refusal(limited(), &[Hit::MariaDb])), WRONG);
    let silence = |hits: &'static [Hit]| {
        move |e: &mut Evidence| {
            let mut read = read(60, 0, &[]);
            read.outcome = Outcome::Unanswered;
            e.reads.push(read);
            e.faults.push(fault(hits, 55, 58));
        }
    };
    assert_eq!(found(silence(&[Hit::Sidecar(0)])), NOTHING);
    assert_eq!(found(silence(&[Hit::Sidecar(1), Hit::MariaDb])), WRONG);
}

#[test]
fn acknowledgements_of_one_submit_agree() {
    let another_job = |e: &mut Evidence| {
        let other = Outcome::Good(Ack {
            degraded: false,
            job: "other".to_owned(),
            processed: 1,
        });
        e.submits[0].tries.push(one_try(102, 103, other));
    };
    assert_eq!(found(another_job), WRONG);
}

#[test]
fn an_id_is_of_no_use_for_other_answers() {
    let other = |outcome: Outcome<Ack>| {
        move |e: &mut Evidence| e.submits[0].others.push(one_try(102, 103, outcome))
    };
    let conflict = || Outcome::Refused(refused(409, None));
    assert_eq!(found(other(conflict())), NOTHING);
    assert_eq!(found(other(ack(false))), DOUBLED);
    assert_eq!(found(other(Outcome::Refused(refused(500, None)))), WRONG);
    // As every other request in trouble.
    let busy = || Outcome::Refused(refused(503, Some(1)));
    assert_eq!(found(other(busy())), WRONG);
    let in_trouble = |e: &mut Evidence| {
        e.faults.push(fault(&[Hit::MariaDb], 101, 103));
        other(busy())(e);
    };
    assert_eq!(found(in_trouble), NOTHING);
    // No answer to a submit itself.
    let itself = |e: &mut Evidence| e.submits[0].tries.push(one_try(102, 103, conflict()));
    assert_eq!(found(itself), WRONG);
    // Refused, and done all the same: in the log, the table, or a read.
    let logged_too = |e: &mut Evidence| {
        other(conflict())(e);
        e.reads.truncate(1);
        let mut row = logged("s-1", "b", Some(0), state(600, 2000));
        row.seq = 1;
        e.tables.log.push(row);
        e.tables.rows[1].state = state(600, 2000);
    };
    assert_eq!(found(logged_too), DOUBLED);
    let written = |e: &mut Evidence| {
        other(conflict())(e);
        e.tables.rows[1].state = state(600, 2000);
    };
    assert_eq!(found(written), DOUBLED);
    let shown = |e: &mut Evidence| {
        other(conflict())(e);
        e.reads.push(read(104, 0, &[]));
    };
    assert_eq!(found(shown), STALE);
    // Nobody knows any more of what was lost.
    assert_eq!(after_loss(other(ack(false))), [0, 0, 1]);
}

#[test]
fn an_outage_ends_with_the_last_degraded_answer() {
    let mut evidence = good();
    evidence.faults.push(fault(&[Hit::Cache], 60, 70));
    let mut degraded = |at: i64| {
        let mut read = read(at, 2, &[("a", 10), ("b", 20)]);
        if let Outcome::Good(session) = &mut read.outcome {
            session.degraded = true;
        }
        evidence.reads.push(read);
    };
    degraded(61);
    degraded(73);
    let outages = figures::outages(&evidence);
    assert_eq!(outages.len(), 1);
    assert_eq!(outages[0].first_answer, Some(1.001));
    assert_eq!(outages[0].normal_after, 3.001);
    assert_eq!(figures::journal_ages(&evidence), [3.0]);
}

#[test]
fn a_seed_plans_the_same_faults_again() {
    let time = Duration::from_secs(600);
    let once = plan(1, time, &Wanted::default());
    assert!(once.len() > 50, "{}", once.len());
    assert_eq!(once, plan(1, time, &Wanted::default()));
    assert_ne!(once, plan(2, time, &Wanted::default()));
    // A longer run begins as the shorter one.
    let longer = plan(1, 2 * time, &Wanted::default());
    assert_eq!(once, longer[..once.len()]);
    let declared = |p: &super::plan::Planned| p.deeds.contains(&super::plan::Deed::LoseBoth);
    assert!(!longer.iter().any(declared));
}
