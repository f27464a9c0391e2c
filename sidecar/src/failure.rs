//! How a command fails: what it says, where, and its exit code.

use std::ffi::OsString;
use std::fmt;
use std::io::Write;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use memora_core::ErrorKind;
use memora_core::servers::refusal;
use serde_json::json;

/// The exit code of who ends by SIGPIPE, as shells tell it.
const CUT_OFF: u8 = 128 + 13;
/// The exit code of wrong usage, clap's own.
const WRONG_USAGE: u8 = 2;

/// Whether the command has printed its answer, which then says what is wrong.
static ANSWERED: AtomicBool = AtomicBool::new(false);

/// The command's answer is on standard output.
pub(crate) fn answered() {
    ANSWERED.store(true, Ordering::Relaxed);
}

/// A command line that parses and makes no sense.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// What of the command line decides how a failure is told.
pub(crate) struct Asked {
    json: bool,
    /// The one site that is named.
    site: Option<String>,
}

impl Asked {
    /// Looked for in the words themselves, which need not parse.
    pub(crate) fn of(args: &[OsString]) -> Self {
        let words: Vec<_> = args.iter().map(|arg| arg.to_string_lossy()).collect();
        let sites = words.iter().enumerate().filter_map(|(i, word)| {
            let value = word.strip_prefix("--site")?;
            match value.strip_prefix('=') {
                Some(site) => Some(site.to_owned()),
                None if value.is_empty() => words.get(i + 1).map(|site| site.clone().into_owned()),
                None => None,
            }
        });
        let sites: Vec<String> = sites.collect();
        Self {
            json: words.iter().any(|word| word == "--json"),
            site: <[String; 1]>::try_from(sites).ok().map(|[site]| site),
        }
    }

    /// Prints the failure as JSON, if that was asked for and nothing was printed.
    fn tell(&self, kind: &str, message: &str) {
        if self.json && !ANSWERED.load(Ordering::Relaxed) {
            let error = json!({"error": {"kind": kind, "message": message}});
            let _ = writeln!(std::io::stdout(), "{error:#}");
        }
    }
}

/// A command line that does not parse; or asks for help, which is no failure.
pub(crate) fn of_usage(error: &clap::Error, asked: &Asked) -> ExitCode {
    if error.exit_code() != i32::from(WRONG_USAGE) {
        error.exit();
    }
    let text = error.render().to_string();
    let what = text.split("\n\n").next().unwrap_or_default();
    asked.tell("usage", what.strip_prefix("error: ").unwrap_or(what).trim());
    let _ = error.print();
    ExitCode::from(WRONG_USAGE)
}

/// Says what went wrong, with every cause, and how bad it is.
pub(crate) fn of(error: &anyhow::Error, asked: &Asked) -> ExitCode {
    let ours = error
        .chain()
        .find_map(|cause| cause.downcast_ref::<memora_core::Error>());
    let is_cut_off = |cause: &(dyn std::error::Error + 'static)| {
        let io = cause.downcast_ref::<std::io::Error>();
        io.is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
    };
    if ours.is_none() && error.chain().any(is_cut_off) {
        // Whoever read has enough, as `head` has.
        return ExitCode::from(CUT_OFF);
    }
    let (kind, code) = match ours {
        // A server that is there: trying again is no use.
        Some(error) if refusal::login(error).is_some() => ("config", 3),
        Some(error) => match error.kind() {
            ErrorKind::Config => ("config", 3),
            ErrorKind::NotFound => ("not_found", 3),
            ErrorKind::Unavailable => ("unavailable", 4),
            ErrorKind::InvalidInput => ("invalid_input", 1),
            ErrorKind::Conflict => ("conflict", 1),
            _ => ("failed", 1),
        },
        None if error.is::<Usage>() => ("usage", WRONG_USAGE),
        None => ("failed", 1),
    };
    let mut causes: Vec<String> = error.chain().map(ToString::to_string).collect();
    if let Some(what) = ours.and_then(refusal::login) {
        causes.insert(0, what.to_owned());
    }
    let mut message = once(&causes);
    // An answer names it itself.
    if let Some(site) = &asked.site
        && !ANSWERED.load(Ordering::Relaxed)
        && !message.contains(site.as_str())
    {
        message = format!("{site}: {message}");
    }
    asked.tell(kind, &message);
    let _ = writeln!(std::io::stderr(), "memora-srs: {message}");
    ExitCode::from(code)
}

/// The causes in a row, the first first. Many an error repeats its cause in its own words.
fn once(causes: &[String]) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for (n, cause) in causes.iter().enumerate() {
        let mut later = causes[n + 1..].iter();
        let bare = cause.split(" (os error").next().unwrap_or(cause);
        let bare = bare.to_lowercase();
        let is_said = kept.iter().any(|said| said.to_lowercase().contains(&bare));
        if !is_said && !later.any(|inner| cause.ends_with(inner.as_str())) {
            kept.push(cause);
        }
    }
    kept.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_that_is_repeated_is_said_once() {
        let causes = [
            "not available",
            "MariaDB at db:3306",
            "Input/output error: Input/output error: refused",
            "Input/output error: refused",
            "refused",
        ];
        let said = once(&causes.map(str::to_owned));
        assert_eq!(said, "not available: MariaDB at db:3306: refused");
        let causes = ["x cannot be read: not found (y)", "Not found (os error 2)"];
        assert_eq!(once(&causes.map(str::to_owned)), causes[0]);
        assert_eq!(once(&["alone".to_owned()]), "alone");
    }

    #[test]
    fn what_was_asked_is_seen_before_it_parses() {
        let of = |args: &[&str]| {
            let args: Vec<OsString> = args.iter().map(OsString::from).collect();
            let Asked { json, site } = Asked::of(&args);
            (json, site)
        };
        assert_eq!(of(&["x", "--json"]), (true, None));
        let a = Some("a".to_owned());
        assert_eq!(
            of(&["x", "--site", "a", "--sites-path", "b"]),
            (false, a.clone())
        );
        assert_eq!(of(&["x", "--site=a"]), (false, a));
        assert_eq!(of(&["x", "--site", "a", "--site", "b"]), (false, None));
    }
}
