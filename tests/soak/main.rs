//! `make soak`: students at work while servers and programs are killed, stopped, cut off
//! and wiped; then a checker says whether anything that was acknowledged is lost, doubled
//! or was not shown. `docs/SOAK.md` says how to run it and what its columns mean.
//!
//! | module | job |
//! |---|---|
//! | `stage` | servers, programs, and a proxy between each two |
//! | `load` | the students |
//! | `recorder` | what they were told |
//! | `faults` | does what the plan says |
//! | `tables` | what the tables hold |
//! | `report` | progress and summary |
//!
//! Plan, evidence and checker are in the harness ([`memora_tests::soak`]).

#![expect(clippy::print_stdout, reason = "the summary is what it is for")]

mod faults;
mod load;
mod recorder;
mod report;
mod stage;
mod tables;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use futures_util::future::select_all;
use memora_tests::soak::plan::{self, Wanted};
use memora_tests::soak::{Dice, judge};
use tokio::signal::unix::{SignalKind, signal};

use crate::load::Load;
use crate::recorder::Recorder;
use crate::stage::Stage;

/// Students at work under faults, and a checker.
#[derive(Debug, Clone, Parser)]
#[command(name = "memora-soak")]
pub(crate) struct Soak {
    /// How long, in minutes.
    #[arg(long, default_value_t = 1.0)]
    minutes: f64,
    /// Repeats faults and choices.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Students.
    #[arg(long, default_value_t = 200)]
    students: usize,
    /// Tracked questions of each student at the start.
    #[arg(long, default_value_t = 60)]
    questions: usize,
    /// Requests a second.
    #[arg(long, default_value_t = 30.0)]
    rate: f64,
    /// The declared double fault too, which may lose what was acknowledged.
    #[arg(long)]
    double_fault: bool,
    /// Break this rule on purpose, under faults that show it.
    #[arg(long, value_name = "RULE")]
    plant: Option<String>,
    /// Only the faults that would show this broken rule, or those of this kind.
    #[arg(long, value_name = "RULE|KIND")]
    aim: Option<String>,
    /// A Python with RQ and `memora_srs`, for a worker of RQ's.
    #[arg(
        long,
        value_name = "FILE",
        default_value = "target/venvs/py/bin/python"
    )]
    python: PathBuf,
    /// The summary as JSON.
    #[arg(long)]
    json: bool,
    /// Write all that is known of the students with findings to this file.
    #[arg(long, value_name = "FILE")]
    evidence: Option<PathBuf>,
    /// Print the findings up to so many of each kind.
    #[arg(long, default_value_t = 10)]
    show: usize,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Soak::parse()).await {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "memora-soak: {error:#}");
            ExitCode::from(2)
        }
    }
}

async fn run(soak: &Soak) -> Result<ExitCode> {
    let mut stopped = [
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
        signal(SignalKind::hangup())?,
    ];
    tokio::select! {
        played = play(soak) => played,
        _ = select_all(stopped.iter_mut().map(|signal| Box::pin(signal.recv()))) => {
            // The terminal may be gone.
            let _ = writeln!(std::io::stderr(), "\nStopped; nothing is left behind.");
            Ok(ExitCode::from(130))
        }
    }
}

async fn play(soak: &Soak) -> Result<ExitCode> {
    let mut dice = Dice::new(soak.seed);
    let stage = Arc::new(Stage::set(soak, &mut dice).await?);
    let recorder = Arc::new(Recorder::new());
    let start = tables::tracker(&stage).await?;
    let time = Duration::from_secs_f64(soak.minutes.max(0.0) * 60.0);
    let wanted = Wanted {
        aim: soak.aim.clone().or_else(|| soak.plant.clone()),
        double_fault: soak.double_fault,
    };
    let plan = plan::plan(soak.seed, time, &wanted);
    report::say(&format!(
        "seed {}, queue {} AOF, {} faults planned in {:.0} s; {} students, {} requests a second",
        soak.seed,
        if stage.aof { "with" } else { "without" },
        plan.len(),
        time.as_secs_f64(),
        soak.students,
        soak.rate,
    ));

    let load = Load::new(stage.clone(), recorder.clone(), &start);
    let working = tokio::spawn(load.clone().run(soak.rate, time, dice.fork()));
    let progress = tokio::spawn(report::progress(recorder.clone()));
    faults::play(&stage, &recorder, plan, dice.fork()).await?;
    working.await?;
    report::say("the last fault has healed; waiting for the journal");
    let stuck = tables::drain(&stage).await?;
    load.last_look().await;
    progress.abort();

    let evidence = tables::evidence(&stage, &recorder, start).await?;
    let verdict = judge(&evidence);
    let summary = report::Summary::new(soak, &evidence, &verdict, stuck, stage.crashes());
    summary.print(soak, &verdict);
    if let Some(file) = &soak.evidence {
        report::write_evidence(file, &evidence, &verdict)?;
    }
    Ok(match summary.is_good() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}
