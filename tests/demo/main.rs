//! `make demo`: one student's review session, played over HTTP on private servers.
//!
//! The story is in `story.rs`, the site that it needs in `stage.rs`. Every step prints
//! what happened and how long it took; a step that goes wrong ends the demo with an error.

#![expect(clippy::print_stdout, reason = "printing is what a demo is for")]

mod stage;
mod story;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use futures_util::future::select_all;
use tokio::signal::unix::{SignalKind, signal};

use stage::Stage;

/// Plays one student's review session on private servers.
#[derive(Debug, Parser)]
#[command(name = "memora-demo")]
struct Demo {
    /// The program `memora-srs`.
    #[arg(long, value_name = "FILE")]
    program: PathBuf,
    /// Students.
    #[arg(long, default_value_t = 1000)]
    students: usize,
    /// Tracked questions of each student.
    #[arg(long, default_value_t = 300)]
    questions: usize,
    /// End after the story, as without a terminal.
    #[arg(long, env = "ONCE", default_value = "", hide_default_value = true)]
    once: String,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Demo::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "memora-demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(demo: &Demo) -> Result<()> {
    let mut stopped = [
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
        signal(SignalKind::hangup())?,
    ];
    let once = !matches!(demo.once.as_str(), "" | "0") || !std::io::stdin().is_terminal();
    tokio::select! {
        played = play(demo, once) => played,
        _ = select_all(stopped.iter_mut().map(|signal| Box::pin(signal.recv()))) => {
            // The terminal may be gone.
            let _ = writeln!(std::io::stdout(), "\nStopped; nothing is left behind.");
            Ok(())
        }
    }
}

async fn play(demo: &Demo, once: bool) -> Result<()> {
    let stage = Stage::set(&demo.program, demo.students, demo.questions).await?;
    story::play(&stage).await?;
    if once {
        println!("\nThe story is over; nothing is left behind.");
        return Ok(());
    }
    story::invite(&stage);
    std::future::pending().await
}
