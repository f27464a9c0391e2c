//! The engine's log lines, passed on to Python's `logging` as logger `memora_srs`.
//!
//! A thread of the engine must never wait for the interpreter: a logging handler may hold
//! a lock while it waits for the engine. So lines go into a queue, and whoever calls the
//! engine logs them before its call returns; lines of work that goes on in the background
//! are logged by a thread that has nothing else to do. Hot paths log nothing.

use std::collections::VecDeque;
use std::fmt::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::runtime;

/// Python's logger.
const LOGGER: &str = "memora_srs";
/// Lines that may wait; more are counted and left out.
const WAITING: usize = 1000;

/// Lines on their way.
#[derive(Default)]
pub(crate) struct Queue(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    lines: VecDeque<Line>,
    /// Left out since the last line was taken.
    lost: u64,
}

struct Line {
    level: u8,
    text: String,
}

impl Queue {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: Line) {
        let mut waiting = self.waiting();
        if waiting.lines.len() < WAITING {
            waiting.lines.push_back(line);
        } else {
            waiting.lost += 1;
        }
    }

    /// Logs what waits.
    ///
    /// # Errors
    /// What a signal's handler raises while Python works on a line: Ctrl-C, a job's time
    /// limit. Python's handlers of logs keep their own errors to themselves.
    pub(crate) fn pass_on(&self, py: Python<'_>) -> PyResult<()> {
        loop {
            // The lock must be free while Python works, which may call the engine again.
            let next = {
                let mut waiting = self.waiting();
                let lost = std::mem::take(&mut waiting.lost);
                if lost > 0 {
                    waiting.lines.push_back(Line {
                        level: 30,
                        text: format!("{lost} log lines were left out"),
                    });
                }
                waiting.lines.pop_front()
            };
            let Some(line) = next else {
                return Ok(());
            };
            log(py, line.level, &line.text)?;
        }
    }
}

/// Logs one line.
pub(crate) fn log(py: Python<'_>, level: u8, text: &str) -> PyResult<()> {
    py.import("logging")?
        .call_method1("getLogger", (LOGGER,))?
        .call_method1("log", (level, "%s", text))?;
    Ok(())
}

/// Makes Python's logging the place where the engine's lines go. Once; later calls cost
/// one load.
pub(crate) fn install() {
    static INSTALLED: AtomicBool = AtomicBool::new(false);
    if !INSTALLED.swap(true, Ordering::Relaxed) {
        // There is no other in this library; and if there were, it would log.
        let _ = tracing::subscriber::set_global_default(ToPython);
        memora_core::metrics::count_panics();
    }
}

/// Takes events; spans mean nothing to Python's logging.
struct ToPython;

impl Subscriber for ToPython {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let ours = ["memora_core", "_core"];
        metadata.is_event()
            && *metadata.level() <= Level::INFO
            && ours
                .iter()
                .any(|target| metadata.target().starts_with(target))
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::INFO)
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        // Lines come from operations, and those from an engine.
        let Some(core) = runtime::current() else {
            return;
        };
        let mut text = Text::default();
        event.record(&mut text);
        core.log.push(Line {
            level: level(event.metadata()),
            text: text.finish(),
        });
        if runtime::is_background() {
            core.spawn_blocking(move || {
                Python::try_attach(|py| {
                    // Signals' handlers run on the main thread alone: this is a handler's own.
                    if let Err(error) = core.log.pass_on(py) {
                        error.write_unraisable(py, None);
                    }
                });
            });
        }
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// Python's number for a level.
fn level(metadata: &Metadata<'_>) -> u8 {
    // A worker that forks for each job opens the site each time, and what is to be said
    // about its configuration would be said each time: `memora-srs check-config` says it.
    if metadata.target() == "memora_core::services::sites" && *metadata.level() > Level::ERROR {
        return 10;
    }
    match *metadata.level() {
        Level::ERROR => 40,
        Level::WARN => 30,
        Level::INFO => 20,
        _ => 10,
    }
}

/// An event as a sentence with its fields behind: `Reading without the cache (site=a)`.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Text {
    fn finish(self) -> String {
        if self.fields.is_empty() {
            self.message
        } else {
            format!("{} ({})", self.message, self.fields)
        }
    }
}

impl Visit for Text {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let written = if field.name() == "message" {
            write!(self.message, "{value:?}")
        } else {
            let separator = if self.fields.is_empty() { "" } else { ", " };
            write!(self.fields, "{separator}{}={value:?}", field.name())
        };
        // Writing to a String does not fail; a Debug that does leaves a shorter line.
        let _ = written;
    }
}
