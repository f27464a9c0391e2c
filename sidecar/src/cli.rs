//! The command line: `memora-srs <command>`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use memora_core::metrics;
use tracing_subscriber::EnvFilter;

use crate::commands;
use crate::failure::{self, Asked, Usage};
use crate::one_line::OneLine;

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
  memora-srs status --sites-path sites
  memora-srs check --sites-path sites --site school.example.com
  memora-srs setup --bench .

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
    /// Answer the review endpoints over HTTP until told to stop (SIGTERM, SIGINT, SIGQUIT, SIGHUP).
    Serve(commands::serve::Serve),
    /// Apply submitted reviews from the queue until told to stop (SIGTERM, SIGINT, SIGQUIT, SIGHUP).
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
    /// Apply what was accepted and no job has brought into the table.
    Sweep(commands::sweep::Sweep),
    /// Say at a glance what is wrong with a site, and what to do.
    Status(commands::status::ShowStatus),
    /// Try ten things that a site needs, in a season made for it: PASS, or FAIL and a remedy.
    Check(commands::check::Check),
    /// Say what the engine sees of a site's configuration, secrets masked.
    CheckConfig(commands::check_config::CheckConfig),
    /// Print what nginx, supervisor, systemd and the bench need to know of the sidecar.
    Setup(commands::setup::Setup),
    /// Print what makes a shell complete commands and options.
    Completions(commands::completions::Completions),
}

#[derive(Debug, Args)]
struct Log {
    /// What to log, to standard error: error, warn, info, debug, trace, or a filter such
    /// as info,redis=debug. Without it info, and error where the command's output says it
    /// all (status, check).
    #[arg(long, global = true, env = "RUST_LOG", value_name = "FILTER")]
    log_level: Option<String>,
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
    /// Threads to run on, 1024 at most; as many as there are processors if not given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
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
    small_pages();
    let args: Vec<_> = std::env::args_os().collect();
    let asked = Asked::of(&args);
    let cli = match parse(args) {
        Ok(cli) => cli,
        Err(error) => return failure::of_usage(&error, &asked),
    };
    let says_it_all = matches!(cli.command, Command::Status(_) | Command::Check(_));
    let usual = if says_it_all { "error" } else { "info" };
    if let Err(error) = start_log(&cli.log, usual) {
        return failure::of(&error, &asked);
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
        Command::Sweep(command) => command.run(),
        Command::Status(command) => command.run(),
        Command::Check(command) => command.run(),
        Command::CheckConfig(command) => command.run(),
        Command::Setup(command) => command.run(),
        Command::Completions(command) => command.run(command_line()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure::of(&error, &asked),
    }
}

/// Has the kernel give this process memory by the page, not 2 MiB at a time.
///
/// The allocator asks for huge pages wherever they are to be had. Ten thousand connections,
/// whose buffers are touched here and there, took half as much memory again with them.
fn small_pages() {
    // A kernel that cannot promise it has no such pages, or more memory in use.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

/// The whole command line. A group's help ends in examples of all its commands; each of them
/// has its own in its help, too.
fn command_line() -> clap::Command {
    let mut command = Cli::command();
    let groups: Vec<String> = command
        .get_subcommands()
        .filter(|group| group.has_subcommands())
        .map(|group| group.get_name().to_owned())
        .collect();
    for group in groups {
        command = command.mut_subcommand(group, |group| {
            let help = group.get_after_help().map(ToString::to_string);
            let (help, name) = (help.unwrap_or_default(), group.get_name().to_owned());
            group.mut_subcommands(|command| {
                let own = of_command(&help, &format!("{name} {}", command.get_name()));
                command.after_help(own)
            })
        });
    }
    command
}

/// Of a group's help what is about this command: its examples, and what follows them all.
fn of_command(help: &str, command: &str) -> String {
    let start = format!("  memora-srs {command} ");
    let lines = help.lines().filter(|line| {
        let of_another = line.starts_with("  memora-srs ") && !line.starts_with(&start);
        !of_another
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn parse<T: Into<std::ffi::OsString> + Clone>(
    args: impl IntoIterator<Item = T>,
) -> Result<Cli, clap::Error> {
    let matches = command_line().try_get_matches_from(args)?;
    Cli::from_arg_matches(&matches)
}

fn start_log(log: &Log, usual: &str) -> anyhow::Result<()> {
    let level = log.log_level.as_deref().unwrap_or(usual);
    let filter = EnvFilter::try_new(level).map_err(|e| Usage(format!("--log-level: {e}")))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter);
    match log.log_format {
        // Colours would have to be told from those that a value brings.
        LogFormat::Text => builder
            .with_ansi(false)
            .with_writer(|| OneLine(std::io::stderr()))
            .init(),
        LogFormat::Json => builder.json().with_writer(std::io::stderr).init(),
    }
    std::panic::set_hook(Box::new(log_panic));
    metrics::count_panics();
    Ok(())
}

/// A panic is one line like any other failure, with the id of the request that met it.
fn log_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let location = panic.location().map(ToString::to_string);
    let payload = panic.payload();
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let message = text.or_else(|| payload.downcast_ref::<&str>().copied());
    tracing::error!(location, panic = message, "panicked");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Commands that change nothing, run for good, or say on standard output what a shell
    /// is to read: each with the reason why it has no `--json`, or `--dry-run`.
    const WITHOUT_JSON: [&str; 3] = ["serve", "worker", "completions"];
    const CHANGING: [&str; 14] = [
        "archive",
        "cache clear",
        "journal dismiss",
        "journal retry",
        "migrate",
        "partition create",
        "rebuild",
        "reconcile",
        "retention delete",
        "retention flag",
        "safe-mode reset",
        "sweep",
        // These two change nothing of anybody's unless they are told to.
        "check",
        "setup",
    ];

    /// Every command that can be run, with the words that name it.
    fn leaves(command: &clap::Command, name: &str, found: &mut Vec<(String, clap::Command)>) {
        if !command.has_subcommands() {
            found.push((name.trim().to_owned(), command.clone()));
        }
        for sub in command.get_subcommands().filter(|c| c.get_name() != "help") {
            leaves(sub, &format!("{name} {}", sub.get_name()), found);
        }
    }

    fn all() -> Vec<(String, clap::Command)> {
        let mut found = Vec::new();
        leaves(&command_line(), "", &mut found);
        assert!(found.len() > 20, "{}", found.len());
        found
    }

    fn has(command: &clap::Command, long: &str) -> bool {
        command
            .get_arguments()
            .any(|arg| arg.get_long() == Some(long))
    }

    fn examples(help: &str) -> Vec<Vec<&str>> {
        help.lines()
            .filter(|line| line.starts_with("  memora-srs "))
            .map(|line| line.split_whitespace().collect())
            .collect()
    }

    #[test]
    fn the_command_line_is_sound() {
        command_line().debug_assert();
    }

    #[test]
    fn every_command_has_examples_of_its_own_which_parse() {
        for (name, command) in all() {
            let help = command
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            let examples = examples(&help);
            assert!(!examples.is_empty(), "{name} has no example");
            for example in examples {
                let text = example.join(" ");
                assert!(
                    text.starts_with(&format!("memora-srs {name}")),
                    "{name}: {text}"
                );
                parse(example).unwrap_or_else(|e| panic!("{name}: {text}: {e}"));
            }
            let long = ["Exit codes:", "Where it goes:"];
            assert!(
                long.iter().any(|l| help.contains(l)),
                "{name}: no exit codes"
            );
        }
        for example in examples(EXAMPLES) {
            parse(example.clone()).unwrap_or_else(|e| panic!("{example:?}: {e}"));
        }
    }

    #[test]
    fn every_command_prints_json_and_says_what_it_would_change() {
        for (name, command) in all() {
            let name = name.as_str();
            assert_eq!(
                has(&command, "json"),
                !WITHOUT_JSON.contains(&name),
                "{name}"
            );
            let tells = has(&command, "dry-run") || has(&command, "write") || name == "check";
            assert_eq!(tells, CHANGING.contains(&name), "{name}: --dry-run");
        }
    }

    #[test]
    fn every_command_says_what_its_options_are() {
        for (name, command) in all() {
            assert!(command.get_about().is_some(), "{name}");
            for arg in command.get_arguments() {
                assert!(arg.get_help().is_some(), "{name}: {}", arg.get_id());
            }
        }
    }

    #[test]
    fn every_shell_gets_its_completion() {
        use clap_complete::Shell;
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let mut script = Vec::new();
            let mut command = command_line();
            clap_complete::generate(shell, &mut command, "memora-srs", &mut script);
            let script = String::from_utf8(script).unwrap();
            for word in ["safe-mode", "dry-run", "sites-path"] {
                assert!(script.contains(word), "{shell}: {word}");
            }
        }
    }
}
