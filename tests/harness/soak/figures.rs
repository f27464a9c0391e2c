//! How long things took: the journal's age, and the way through an outage of the cache.

use super::evidence::{Evidence, Fault, Hit, Micros, Outcome, SECOND};

/// A recovery is looked for this long, if no other fault comes before.
const RECOVERY: Micros = 60 * SECOND;

/// An outage of the cache.
#[derive(Debug, Clone, PartialEq)]
pub struct Outage {
    /// The fault.
    pub kind: String,
    /// Seconds to the first answer to a read that began in it; `None` if there was none.
    pub first_answer: Option<f64>,
    /// Seconds from its end to the last degraded answer; 0 if none came after it.
    pub normal_after: f64,
}

/// Seconds from each journal row to its applying, in ascending order.
pub fn journal_ages(evidence: &Evidence) -> Vec<f64> {
    let rows = evidence.tables.journal.iter();
    let mut ages: Vec<f64> = rows
        .filter_map(|row| Some(seconds(row.applied? - row.created)))
        .collect();
    ages.sort_by(f64::total_cmp);
    ages
}

/// Each time that the cache was away for all.
pub fn outages(evidence: &Evidence) -> Vec<Outage> {
    let faults = &evidence.faults;
    let of_cache = |fault: &&Fault| fault.away.contains(&Hit::Cache);
    let outage = |fault: &Fault| {
        let later = faults
            .iter()
            .map(|f| f.began)
            .filter(|at| *at > fault.ended);
        let until = later
            .min()
            .unwrap_or(Micros::MAX)
            .min(fault.ended + RECOVERY);
        let answered = evidence
            .reads
            .iter()
            .filter_map(|read| match &read.outcome {
                Outcome::Good(session) => Some((read, session.degraded)),
                _ => None,
            });
        let (mut first, mut normal) = (None::<Micros>, fault.ended);
        for (read, degraded) in answered {
            if (fault.began..fault.ended).contains(&read.began) {
                first = Some(first.unwrap_or(Micros::MAX).min(read.ended));
            }
            if degraded && (fault.ended..until).contains(&read.began) {
                normal = normal.max(read.ended);
            }
        }
        Outage {
            kind: fault.kind.clone(),
            first_answer: first.map(|at| seconds(at - fault.began)),
            normal_after: seconds(normal - fault.ended),
        }
    };
    faults.iter().filter(of_cache).map(outage).collect()
}

fn seconds(micros: Micros) -> f64 {
    micros as f64 / SECOND as f64
}
