//! What the commands of long work share: which site, how to print, a progress bar.

use std::io::{IsTerminal, Write};
use std::sync::Arc;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use memora_core::services::work::Progress;
use memora_core::services::{Site, Sites};
use memora_core::types::check_name;
use serde::Serialize;

use super::stop_signals;
use crate::cli::Bench;
use crate::failure::answered;

/// A student or a season, as an argument.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn name(text: &str) -> Result<String, String> {
    match check_name("it", text) {
        Ok(()) => Ok(text.to_owned()),
        Err(error) => Err(error.message().to_owned()),
    }
}

/// Which site, and how to answer.
#[derive(Debug, Args)]
pub(crate) struct Common {
    #[command(flatten)]
    bench: Bench,
    /// The site.
    #[arg(long, value_name = "NAME")]
    pub(crate) site: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Common {
    pub(crate) async fn site(&self) -> anyhow::Result<Arc<Site>> {
        Ok(Sites::new(&self.bench.sites_path).get(&self.site).await?)
    }

    /// JSON, or text for people.
    pub(crate) fn print(
        &self,
        value: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        if self.json {
            writeln!(out, "{}", serde_json::to_string_pretty(value)?)?;
        } else {
            writeln!(out, "{}", text())?;
        }
        answered();
        Ok(())
    }
}

/// Runs a command's work on a runtime of its own. SIGTERM and Ctrl-C end it where it
/// stands, as a kill would, and say that it can be resumed.
pub(crate) fn run(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut signals = stop_signals()?;
        tokio::select! {
            done = work => done,
            () = signals.next() => anyhow::bail!("stopped; run it again and it goes on"),
        }
    })
}

/// A bar on a terminal; nothing where standard error is none.
pub(crate) fn bar() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style =
        ProgressStyle::with_template("{msg} {wide_bar} {human_pos}/{human_len} {elapsed} {eta}");
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Shows progress on the bar.
pub(crate) fn show(bar: &ProgressBar, progress: Progress) {
    bar.set_message(progress.phase);
    show_count(bar, progress.done, progress.total);
}

/// How much is done; a total of 0 is not known.
pub(super) fn show_count(bar: &ProgressBar, done: u64, total: u64) {
    match total {
        0 => bar.unset_length(),
        total => bar.set_length(total),
    }
    bar.set_position(done);
}

/// What shows progress on the bar, for work that tells it.
pub(crate) fn telling(bar: &ProgressBar) -> impl Fn(Progress) + Send + Sync + 'static {
    let bar = bar.clone();
    move |progress| show(&bar, progress)
}
