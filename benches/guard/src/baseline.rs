//! The committed file, and what is made of it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// By how much instructions may be more than the baseline's.
const TOLERANCE: f64 = 0.05;
/// The same where another compiler made the baseline.
const TOLERANCE_OF_COMPILERS: f64 = 0.25;
/// Fewer instructions are no difference, whatever their share.
const FEW: f64 = 20.0;
/// Allocations are what the code says; half of one is left for what happens now and then.
const ALLOCATIONS: f64 = 0.5;
/// As a share, where another compiler, with another standard library, made the baseline.
const ALLOCATIONS_OF_COMPILERS: f64 = 0.1;

/// The compiler that built this program.
const COMPILER: &str = env!("GUARD_COMPILER");

/// What one call costs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cost {
    pub(crate) instructions: u64,
    pub(crate) allocations: f64,
}

/// The file.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Baseline {
    compiler: String,
    functions: BTreeMap<String, Cost>,
}

/// What a comparison came to.
pub(crate) struct Verdict {
    pub(crate) holds: bool,
    /// The table, then what is wrong and what to do.
    pub(crate) text: String,
    pub(crate) table: String,
}

impl Baseline {
    /// # Errors
    /// If the file is not there or cannot be read.
    pub(crate) fn read() -> Result<Self> {
        let file = file();
        let text = fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("reading {}", file.display()))
    }

    /// Writes what was measured; says where.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(crate) fn write(measured: Vec<(&'static str, Cost)>) -> Result<PathBuf> {
        let baseline = Self {
            compiler: COMPILER.to_owned(),
            functions: (measured.into_iter())
                .map(|(name, cost)| (name.to_owned(), cost))
                .collect(),
        };
        let file = file();
        let text = serde_json::to_string_pretty(&baseline)? + "\n";
        fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
        Ok(file)
    }

    /// Compares. Only what has become dearer, is not known or is missing is wrong.
    pub(crate) fn judge(&self, measured: &[(&'static str, Cost)]) -> Verdict {
        let same_compiler = self.compiler == COMPILER;
        let mut table = format!(
            "{:22}{:>14}{:>14}{:>9}{:>13}{:>10}\n",
            "a call of", "instructions", "baseline", "", "allocations", "baseline"
        );
        let (mut wrong, mut cheaper) = (Vec::new(), Vec::new());
        for &(name, cost) in measured {
            let Some(&base) = self.functions.get(name) else {
                let _ = writeln!(
                    table,
                    "{name:22}{:>14}{:>14}{:>9}{:>13}{:>10}",
                    cost.instructions, "-", "", cost.allocations, "-"
                );
                wrong.push(format!("{name} is not in the baseline"));
                continue;
            };
            let _ = writeln!(
                table,
                "{name:22}{:>14}{:>14}{:>9}{:>13}{:>10}",
                cost.instructions,
                base.instructions,
                percent(cost.instructions as f64, base.instructions as f64),
                cost.allocations,
                base.allocations
            );
            for counted in differences(cost, base, same_compiler) {
                match counted.more {
                    true => wrong.push(format!("{name} has become dearer: {}", counted.text)),
                    false => cheaper.push(format!("{name} has become cheaper: {}", counted.text)),
                }
            }
        }
        let known = |name: &str| measured.iter().any(|(measured, _)| *measured == name);
        for name in self.functions.keys().filter(|name| !known(name)) {
            wrong.push(format!("{name} is in the baseline and was not measured"));
        }
        let text = said(
            &table,
            &wrong,
            &cheaper,
            (!same_compiler).then_some(&self.compiler),
        );
        Verdict {
            holds: wrong.is_empty(),
            text,
            table,
        }
    }
}

/// All that is to be said.
fn said(table: &str, wrong: &[String], cheaper: &[String], compiler: Option<&String>) -> String {
    let mut text = table.to_owned();
    for line in cheaper {
        let _ = writeln!(text, "{line}");
    }
    if !cheaper.is_empty() {
        let _ = writeln!(text, "make guard UPDATE=1 keeps what was won.");
    }
    for line in wrong {
        let _ = writeln!(text, "FAILED: {line}");
    }
    if !wrong.is_empty() {
        let _ = writeln!(
            text,
            "If it is meant to be so: make guard UPDATE=1, and say in the commit what it buys."
        );
    }
    if let Some(compiler) = compiler {
        let _ = writeln!(
            text,
            "The baseline was made with {compiler}, this with {COMPILER}: tolerances are wider."
        );
    }
    text
}

struct Difference {
    more: bool,
    text: String,
}

fn differences(cost: Cost, base: Cost, same_compiler: bool) -> Vec<Difference> {
    let (tolerance, share) = match same_compiler {
        true => (TOLERANCE, 0.0),
        false => (TOLERANCE_OF_COMPILERS, ALLOCATIONS_OF_COMPILERS),
    };
    let instructions = (cost.instructions as f64, base.instructions as f64);
    let allocations = (cost.allocations, base.allocations);
    let counts = [
        (
            "instructions",
            instructions,
            tolerance * instructions.1 + FEW,
        ),
        (
            "allocations",
            allocations,
            ALLOCATIONS + share * allocations.1,
        ),
    ];
    let differ = |(_, (now, base), slack): &(&str, (f64, f64), f64)| (now - base).abs() > *slack;
    let differing = counts.into_iter().filter(differ);
    differing
        .map(|(what, (now, base), slack)| Difference {
            more: now > base,
            text: format!(
                "{now} {what} instead of {base} ({}; up to {:.0} more are allowed)",
                percent(now, base),
                slack.floor()
            ),
        })
        .collect()
}

fn percent(now: f64, base: f64) -> String {
    match base {
        0.0 => "new".to_owned(),
        _ => format!("{:+.1} %", (now / base - 1.0) * 100.0),
    }
}

fn file() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "baseline.json"]
        .iter()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(instructions: u64, allocations: f64) -> Cost {
        Cost {
            instructions,
            allocations,
        }
    }

    fn judged(compiler: &str, now: Cost) -> Verdict {
        let functions = BTreeMap::from([("schedule".to_owned(), cost(1_000, 10.0))]);
        let compiler = compiler.to_owned();
        let baseline = Baseline {
            compiler,
            functions,
        };
        baseline.judge(&[("schedule", now)])
    }

    #[test]
    fn what_has_become_dearer_is_named() {
        for (now, holds) in [
            (cost(1_000, 10.0), true),
            (cost(1_070, 10.5), true),
            (cost(1_071, 10.0), false),
            (cost(1_000, 11.0), false),
            (cost(500, 3.0), true),
        ] {
            assert_eq!(judged(COMPILER, now).holds, holds, "{now:?}");
        }
        let verdict = judged(COMPILER, cost(1_100, 11.0)).text;
        for line in [
            "FAILED: schedule has become dearer: 1100 instructions instead of 1000 (+10.0 %; up \
             to 70 more are allowed)",
            "FAILED: schedule has become dearer: 11 allocations instead of 10 (+10.0 %; up to 0 \
             more are allowed)",
            "make guard UPDATE=1",
        ] {
            assert!(verdict.contains(line), "{verdict}");
        }
        assert!(judged(COMPILER, cost(500, 3.0)).text.contains("cheaper"));
    }

    #[test]
    fn another_compiler_has_more_room_and_is_named() {
        let verdict = judged("rustc 1.0.0", cost(1_260, 11.0));
        assert!(verdict.holds);
        assert!(verdict.text.contains("made with rustc 1.0.0"));
        assert!(!judged("rustc 1.0.0", cost(1_300, 10.0)).holds);
    }

    #[test]
    fn functions_come_and_go_only_with_the_baseline() {
        let baseline = Baseline {
            compiler: COMPILER.to_owned(),
            functions: BTreeMap::from([("gone".to_owned(), cost(1, 0.0))]),
        };
        let verdict = baseline.judge(&[("come", cost(1, 0.0))]);
        assert!(!verdict.holds);
        for line in [
            "come is not in the baseline",
            "gone is in the baseline and was not",
        ] {
            assert!(verdict.text.contains(line), "{}", verdict.text);
        }
    }
}
