//! What do the hot functions cost, in instructions and allocations, beside a committed
//! baseline?
//!
//! Time depends on the machine and on who else uses it; these counts hardly do, so a test may
//! fail by them. Allocations are counted by this program's own allocator, instructions by
//! Valgrind's callgrind, under which the program runs itself. `make guard` fails where a
//! function has become dearer than `baseline.json` says; `make guard UPDATE=1` writes it anew.
//!
//! | file | job |
//! |---|---|
//! | `cases` | the functions, and what they are called with |
//! | `count` | the allocator, and the region that is counted |
//! | `callgrind` | the run under Valgrind |
//! | `baseline` | the file, and the verdict |

mod baseline;
mod callgrind;
mod cases;
mod count;

use std::io::{Write, stdout};
use std::process::ExitCode;

use anyhow::{Result, bail, ensure};

use crate::baseline::{Baseline, Cost};
use crate::cases::Case;

fn main() -> Result<ExitCode> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => check(),
        ["--update"] => update(),
        // What the run under Valgrind does.
        [callgrind::RUN] => {
            for case in cases::all() {
                case.run();
            }
            Ok(ExitCode::SUCCESS)
        }
        _ => bail!("usage: memora-guard [--update]"),
    }
}

fn check() -> Result<ExitCode> {
    let verdict = Baseline::read()?.judge(&measure()?);
    stdout().write_all(verdict.text.as_bytes())?;
    Ok(match verdict.holds {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn update() -> Result<ExitCode> {
    let measured = measure()?;
    // What was before, if there was anything, says what the new figures mean.
    if let Ok(before) = Baseline::read() {
        stdout().write_all(before.judge(&measured).table.as_bytes())?;
    }
    let file = Baseline::write(measured)?;
    writeln!(stdout(), "written: {}", file.display())?;
    Ok(ExitCode::SUCCESS)
}

/// What each function costs a call.
fn measure() -> Result<Vec<(&'static str, Cost)>> {
    let cases = cases::all();
    let names: Vec<&str> = cases.iter().map(|case| case.name).collect();
    let allocations: Vec<u64> = cases.into_iter().map(Case::run).collect();
    let instructions = callgrind::instructions()?;
    ensure!(
        instructions.len() == names.len(),
        "Valgrind counted {} regions of {}: it did not find the function that it counts in",
        instructions.len(),
        names.len()
    );
    let calls = count::CALLS as f64;
    let costs = instructions.into_iter().zip(allocations);
    let costs = costs.map(|(instructions, allocations)| Cost {
        instructions: (instructions as f64 / calls).round() as u64,
        allocations: (allocations as f64 / calls * 100.0).round() / 100.0,
    });
    Ok(names.into_iter().zip(costs).collect())
}
