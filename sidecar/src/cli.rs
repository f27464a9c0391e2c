//! The command line: `memora-srs <command>`.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use tracing_subscriber::EnvFilter;

use crate::commands;

const EXAMPLES: &str = "\
Examples:
  memora-srs serve --sites-path sites --bind 127.0.0.1:8765
  memora-srs worker --sites-path sites --site school.example.com
  memora-srs migrate --sites-path sites --site school.example.com --dry-run
  memora-srs archive --sites-path sites --site school.example.com --season SEASON-2025 --dry-run
  memora-srs retention flag --sites-path sites --site school.example.com
  memora-srs journal list --sites-path sites --site school.example.com --state failed
  memora-srs reconcile --sites-path sites --site school.example.com
  memora-srs safe-mode status --sites-path sites --site school.example.com
  memora-srs rebuild --sites-path sites --site school.example.com --season SEASON-2026
  memora-srs cache stats --sites-path sites --site school.example.com
  memora-srs check-config --sites-path sites --site school.example.com --json

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 wrong configuration,
4 a server is away (worth trying again).";

/// The spaced repetition engine beside a Frappe bench.
#[derive(Debug, Parser)]
#[command(name = "memora-srs", version, about, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    log: Log,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Answer the review endpoints over HTTP until SIGTERM or SIGINT.
    Serve(commands::serve::Serve),
    /// Apply submitted reviews from the queue until SIGTERM or SIGINT.
    Worker(commands::worker::Worker),
    /// Bring a site's schema up to date; safe to repeat.
    Migrate(commands::migrate::Migrate),
    /// Move a season that is over into the archive, or bring it back.
    Archive(commands::archive::Archive),
    /// Flag archived rows that are past their retention; delete flagged ones.
    Retention(commands::retention::Retention),
    /// See the partitions of the table, one for each season; make one that is missing.
    Partition(commands::partition::Partition),
    /// See what was accepted and is not in the table yet; retry or dismiss it.
    Journal(commands::journal::Journal),
    /// Compare the cache with the table; correct the cache.
    Reconcile(commands::reconcile::Reconcile),
    /// Look at the limits while Redis is away, or count anew.
    SafeMode(commands::safe_mode::SafeMode),
    /// Fill the cached schedules of all students of a season.
    Rebuild(commands::rebuild::Rebuild),
    /// Look at the cached schedules, or forget some of them.
    Cache(commands::cache::Cache),
    /// Say what the engine sees of a site's configuration, secrets masked.
    CheckConfig(commands::check_config::CheckConfig),
}

#[derive(Debug, Args)]
struct Log {
    /// What to log, to standard error: error, warn, info, debug, trace, or a filter such
    /// as info,redis=debug.
    #[arg(
        long,
        global = true,
        env = "RUST_LOG",
        default_value = "info",
        value_name = "FILTER"
    )]
    log_level: String,
    /// How to print it.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Which bench.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// The bench's sites folder.
    #[arg(
        long,
        env = "SITES_PATH",
        default_value = "sites",
        value_name = "FOLDER"
    )]
    pub(crate) sites_path: PathBuf,
}

/// How much a command may use.
#[derive(Debug, Args)]
pub(crate) struct Threads {
    /// Threads to run on; as many as there are processors if not given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
}

impl Threads {
    /// A runtime with these threads.
    pub(crate) fn runtime(&self) -> anyhow::Result<tokio::runtime::Runtime> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        if let Some(threads) = self.threads {
            builder.worker_threads(usize::from(threads));
        }
        Ok(builder.enable_all().build()?)
    }
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Err(error) = start_log(&cli.log) {
        return fail(&error);
    }
    let result = match cli.command {
        Command::Serve(command) => command.run(),
        Command::Worker(command) => command.run(),
        Command::Migrate(command) => command.run(),
        Command::Archive(command) => command.run(),
        Command::Retention(command) => command.run(),
        Command::Partition(command) => command.run(),
        Command::Journal(command) => command.run(),
        Command::Reconcile(command) => command.run(),
        Command::SafeMode(command) => command.run(),
        Command::Rebuild(command) => command.run(),
        Command::Cache(command) => command.run(),
        Command::CheckConfig(command) => command.run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

/// Says what went wrong, with every cause, and how bad it is.
fn fail(error: &anyhow::Error) -> ExitCode {
    use memora_core::ErrorKind;

    let _ = writeln!(std::io::stderr(), "memora-srs: {error:#}");
    let kind = error
        .chain()
        .find_map(|cause| cause.downcast_ref::<memora_core::Error>())
        .map(memora_core::Error::kind);
    ExitCode::from(match kind {
        Some(ErrorKind::Config | ErrorKind::NotFound) => 3,
        Some(ErrorKind::Unavailable) => 4,
        _ => 1,
    })
}

fn start_log(log: &Log) -> anyhow::Result<()> {
    use std::io::IsTerminal;

    let filter =
        EnvFilter::try_new(&log.log_level).map_err(|e| anyhow::anyhow!("--log-level: {e}"))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match log.log_format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().init(),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn every_example_of_the_help_parses() {
        let examples = [
            EXAMPLES,
            commands::archive::EXAMPLES,
            commands::journal::EXAMPLES,
            commands::partition::EXAMPLES,
            commands::rebuild::EXAMPLES,
            commands::cache::EXAMPLES,
            commands::retention::EXAMPLES,
            commands::retention::EXAMPLES,
            commands::rebuild::EXAMPLES,
            commands::cache::EXAMPLES,
        ];
        for line in examples
            .iter()
            .flat_map(|text| text.lines())
            .filter(|l| l.starts_with("  memora-srs "))
        {
            Cli::try_parse_from(line.split_whitespace()).unwrap_or_else(|e| panic!("{line}: {e}"));
        }
    }
}
