//! Progress on standard error, the summary on standard output.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use memora_tests::soak::evidence::{Outcome, SECOND};
use memora_tests::soak::figures::{self, Outage};
use memora_tests::soak::{Evidence, Finding, Verdict};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::Soak;
use crate::recorder::Recorder;

/// How often progress is printed.
const EVERY: Duration = Duration::from_secs(5);

/// Prints a line of progress.
pub(crate) fn say(line: &str) {
    let now = chrono::Utc::now().format("%H:%M:%S%.3f");
    // The terminal may be gone.
    let _ = writeln!(std::io::stderr(), "{now}  {line}");
}

/// Prints how far it is, until it is aborted.
pub(crate) async fn progress(recorder: Arc<Recorder>) {
    let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    loop {
        sleep(EVERY).await;
        say(&format!(
            "{:>5.0} s  acknowledged {}  reads {}  degraded {}  503 {}  429 {}  409 {}  \
             other {}  unanswered {}  skipped {}  faults {}",
            recorder.began.elapsed().as_secs_f64(),
            get(&recorder.acknowledged),
            get(&recorder.answered),
            get(&recorder.degraded),
            get(&recorder.busy),
            get(&recorder.limited),
            get(&recorder.conflicts),
            get(&recorder.refused),
            get(&recorder.unanswered),
            get(&recorder.skipped),
            recorder.faults(),
        ));
    }
}

/// What came out, in numbers.
pub(crate) struct Summary {
    seed: u64,
    acknowledged: usize,
    reads: usize,
    refused: BTreeMap<String, usize>,
    faults: BTreeMap<String, usize>,
    lost: usize,
    doubled: usize,
    stale: usize,
    wrong: usize,
    declared_faults: usize,
    declared_lost: usize,
    /// What follows from that.
    consequences: usize,
    stuck: u64,
    crashes: Vec<String>,
    oldest: f64,
    p99: f64,
    outages: Vec<Outage>,
    /// Submits applied by RQ's worker.
    by_rq: usize,
}

impl Summary {
    /// Counts.
    pub(crate) fn new(
        soak: &Soak,
        evidence: &Evidence,
        verdict: &Verdict,
        stuck: u64,
        crashes: Vec<String>,
    ) -> Self {
        let mut faults = BTreeMap::new();
        for fault in &evidence.faults {
            *faults.entry(fault.kind.clone()).or_default() += 1;
        }
        let ages = figures::journal_ages(evidence);
        let p99 = ages.get((ages.len() * 99 / 100).min(ages.len().saturating_sub(1)));
        Self {
            seed: soak.seed,
            acknowledged: verdict.acknowledged,
            reads: verdict.reads,
            refused: refused(evidence),
            faults,
            lost: verdict.lost.len(),
            doubled: verdict.doubled.len(),
            stale: verdict.stale.len(),
            wrong: verdict.wrong.len(),
            declared_faults: evidence.faults.iter().filter(|f| f.declared).count(),
            declared_lost: verdict.declared.len(),
            consequences: verdict.consequences.len(),
            stuck,
            crashes,
            oldest: ages.last().copied().unwrap_or(0.0),
            p99: p99.copied().unwrap_or(0.0),
            outages: figures::outages(evidence),
            // The module names itself so in the audit.
            by_rq: evidence
                .tables
                .applied
                .iter()
                .filter(|a| a.2.starts_with("python-"))
                .count(),
        }
    }

    /// Whether every promise was kept.
    pub(crate) fn is_good(&self) -> bool {
        let broken = self.lost + self.doubled + self.stale + self.wrong;
        broken == 0 && self.stuck == 0 && self.crashes.is_empty()
    }

    /// Prints it, and the first findings of each kind.
    pub(crate) fn print(&self, soak: &Soak, verdict: &Verdict) {
        if soak.json {
            println!("{:#}", self.json(soak, verdict));
        } else {
            self.print_text(soak, verdict);
        }
    }

    fn print_text(&self, soak: &Soak, verdict: &Verdict) {
        println!("\nseed {}", self.seed);
        println!("  acknowledged submits     {}", self.acknowledged);
        println!("  answered reads           {}", self.reads);
        println!("  applied by RQ's worker   {}", self.by_rq);
        for (what, count) in &self.refused {
            println!("  {what:<24} {count}");
        }
        println!(
            "  faults                   {}",
            self.faults.values().sum::<usize>()
        );
        for (kind, count) in &self.faults {
            println!("    {count:>4}  {kind}");
        }
        println!("  lost                     {}", self.lost);
        println!("  doubled                  {}", self.doubled);
        println!("  stale                    {}", self.stale);
        println!("  answers not allowed      {}", self.wrong);
        println!("  never applied            {}", self.stuck);
        println!("  programs that crashed    {}", self.crashes.len());
        println!(
            "  declared double faults   {} ({} submits lost by them, shown or built upon {} times)",
            self.declared_faults, self.declared_lost, self.consequences
        );
        println!(
            "  journal age              {:.1} s at most, {:.1} s P99 (faults included)",
            self.oldest, self.p99
        );
        for outage in &self.outages {
            let first = outage.first_answer.map(|s| format!("{s:.1} s"));
            println!(
                "  outage of the cache      first answer after {}, normal {:.1} s after its end ({})",
                first.unwrap_or_else(|| "never".to_owned()),
                outage.normal_after,
                outage.kind,
            );
        }
        for (kind, findings) in kinds(verdict) {
            for finding in findings.iter().take(soak.show) {
                let at = chrono::DateTime::from_timestamp_micros(finding.at).unwrap_or_default();
                let (at, player) = (at.format("%H:%M:%S%.3f"), &finding.player);
                println!("  {kind}: {at} {player}: {}", finding.what);
            }
        }
    }

    fn json(&self, soak: &Soak, verdict: &Verdict) -> Value {
        let outages = self.outages.iter().map(|outage| {
            json!({
                "fault": outage.kind,
                "first_answer_s": outage.first_answer,
                "normal_after_s": outage.normal_after,
            })
        });
        let findings = kinds(verdict).into_iter().map(|(kind, findings)| {
            let first: Vec<Value> = findings
                .iter()
                .take(soak.show)
                .map(|f| json!({"player": f.player, "at_s": f.at / SECOND, "what": f.what}))
                .collect();
            (kind.to_owned(), Value::from(first))
        });
        json!({
            "seed": self.seed,
            "minutes": soak.minutes,
            "plant": soak.plant,
            "good": self.is_good(),
            "acknowledged": self.acknowledged,
            "reads": self.reads,
            "applied_by_rq": self.by_rq,
            "refused": self.refused,
            "faults": self.faults,
            "lost": self.lost,
            "doubled": self.doubled,
            "stale": self.stale,
            "wrong": self.wrong,
            "never_applied": self.stuck,
            "crashes": self.crashes,
            "declared_double_faults": self.declared_faults,
            "lost_by_declared_double_faults": self.declared_lost,
            "consequences_of_declared_double_faults": self.consequences,
            "journal_age_max_s": self.oldest,
            "journal_age_p99_s": self.p99,
            "cache_outages": outages.collect::<Vec<_>>(),
            "findings": findings.collect::<serde_json::Map<_, _>>(),
        })
    }
}

fn kinds(verdict: &Verdict) -> [(&'static str, &Vec<Finding>); 6] {
    [
        ("lost", &verdict.lost),
        ("doubled", &verdict.doubled),
        ("stale", &verdict.stale),
        ("wrong", &verdict.wrong),
        ("declared", &verdict.declared),
        ("declared consequence", &verdict.consequences),
    ]
}

/// Writes everything about the students with findings, in the order of time.
pub(crate) fn write_evidence(file: &Path, evidence: &Evidence, verdict: &Verdict) -> Result<()> {
    let findings = kinds(verdict);
    let players: BTreeSet<&str> = findings
        .iter()
        .flat_map(|(_, findings)| findings.iter().map(|f| f.player.as_str()))
        .collect();
    // Without findings: of everybody.
    let concerns = |player: &str| players.is_empty() || players.contains(player);
    let mut lines: Vec<(i64, String)> = Vec::new();
    for (kind, findings) in &findings {
        lines.extend(
            findings
                .iter()
                .map(|f| (f.at, format!("FINDING {kind} {f:?}"))),
        );
    }
    for fault in &evidence.faults {
        lines.push((fault.began, format!("{fault:?}")));
    }
    for submit in evidence.submits.iter().filter(|s| concerns(&s.player)) {
        lines.push((submit.began(), format!("{submit:?}")));
    }
    for read in evidence.reads.iter().filter(|r| concerns(&r.player)) {
        lines.push((read.began, format!("{read:?}")));
    }
    for row in evidence.tables.log.iter().filter(|r| concerns(&r.player)) {
        lines.push((row.after.version, format!("{row:?}")));
    }
    for row in evidence
        .tables
        .journal
        .iter()
        .filter(|r| concerns(&r.player))
    {
        lines.push((row.created, format!("{row:?}")));
    }
    lines.sort();
    let mut out = String::new();
    for (at, line) in lines {
        let at = chrono::DateTime::from_timestamp_micros(at).unwrap_or_default();
        out.push_str(&format!("{} {line}\n", at.format("%H:%M:%S%.6f")));
    }
    std::fs::write(file, out).with_context(|| format!("writing {}", file.display()))
}

/// Requests that were not answered well, by what came.
fn refused(evidence: &Evidence) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    let mut count = |what: Option<String>| {
        if let Some(what) = what {
            *counts.entry(what).or_default() += 1;
        }
    };
    fn what<T>(of: &str, outcome: &Outcome<T>) -> Option<String> {
        match outcome {
            Outcome::Good(_) => None,
            Outcome::Refused(refusal) => Some(format!("{of} refused ({})", refusal.status)),
            Outcome::Unanswered => Some(format!("{of} unanswered")),
        }
    }
    for read in &evidence.reads {
        count(what("reads", &read.outcome));
    }
    for submit in &evidence.submits {
        for one in &submit.tries {
            count(what("submits", &one.outcome));
        }
        for one in &submit.others {
            count(what("used ids", &one.outcome));
        }
    }
    counts
}
