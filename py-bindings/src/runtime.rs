//! The engine of this process: a tokio runtime, and the sites with their connections.
//!
//! # Forks
//!
//! Frappe forks everywhere: gunicorn with `--preload`, RQ for each job. A runtime has
//! threads, which a fork does not copy, and an epoll instance, which it *shares*: in the
//! child an inherited runtime hangs, and dropping it breaks the parent's connections. So
//! everything belongs to a *generation*. The handler below, which the C library calls in
//! the child of any fork, starts a new one; the next call finds that the engine is of
//! another generation, leaks it untouched, and builds its own. No lock is on that way: one
//! held by another thread at the time of the fork would stay locked in the child for ever.
//! Locks inside [`Core`] are another matter, they belong to its generation.
//!
//! What libraries keep in statics (mysql_async a queue of buffers, the standard library
//! its lazy values) belongs to no generation. A fork must not catch one half changed, or
//! the child spins on it for ever. So whoever works for the engine does so through the
//! [`gate`], and a fork waits until nobody does: a moment, since waiting is no work.
//!
//! Nothing is made at import. No Python object holds anything of an engine.
//!
//! # Waiting
//!
//! The caller's thread polls its own operation, detached from the interpreter, and drives
//! the sockets if no other thread does ([`crate::wheel`]). Between slices of waiting the
//! caller lets Python handle signals, so that Ctrl-C and RQ's time limits (SIGALRM)
//! interrupt a call; the operation is then dropped, which is as safe as a crash at that
//! point.

use std::any::Any;
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use memora_core::services::Sites;
use memora_core::services::sites::Limits;
use memora_core::{Error, Result};
use pyo3::prelude::*;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout_at;

use crate::wheel::{Turn, Wheel};
use crate::{error, gate, logging};

/// Name of the engine's threads.
const THREAD_NAME: &str = "memora-srs";
/// How long a caller waits before it looks for signals. The end of its operation wakes it
/// at once.
const SLICE: Duration = Duration::from_millis(50);
/// Threads for reading files and passing on log lines, at most; gone when idle.
const BLOCKING_THREADS: usize = 4;

/// Counts the forks between the process that imported the module and this one.
static GENERATION: AtomicU64 = AtomicU64::new(0);
/// The engine, if one was built. Never freed: see the module's documentation.
static CURRENT: AtomicPtr<Core> = AtomicPtr::new(ptr::null_mut());

/// One process's engine.
pub(crate) struct Core {
    generation: u64,
    runtime: Runtime,
    wheel: Wheel,
    /// By the bench's `sites` folder.
    sites: Mutex<HashMap<PathBuf, Arc<Sites>>>,
    /// Log lines on their way to Python.
    pub(crate) log: logging::Queue,
}

impl Core {
    fn new(generation: u64) -> Result<Self> {
        let runtime = Builder::new_current_thread()
            .max_blocking_threads(BLOCKING_THREADS)
            .thread_name(THREAD_NAME)
            .on_thread_start(leave_signals_to_python)
            .on_thread_unpark(gate::enter)
            .on_thread_park(gate::leave)
            .enable_io()
            .enable_time()
            .build()
            .map_err(|e| Error::internal("The engine could not be started").with_source(e))?;
        Ok(Self {
            generation,
            runtime,
            wheel: Wheel::default(),
            sites: Mutex::default(),
            log: logging::Queue::default(),
        })
    }

    /// The sites below the bench's `sites` folder.
    pub(crate) fn sites(&self, path: &Path) -> Arc<Sites> {
        let mut sites = self.sites.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = sites.get(path) {
            return known.clone();
        }
        let new = Arc::new(Sites::with_limits(path, Limits::SHARED));
        sites.insert(path.to_owned(), new.clone());
        new
    }

    /// Runs `work` on a thread that may block.
    pub(crate) fn spawn_blocking(&self, work: impl FnOnce() + Send + 'static) {
        self.runtime.spawn_blocking(work);
    }
}

/// Has the C library call us around every fork of this process.
pub(crate) fn watch_forks() -> PyResult<()> {
    #[expect(
        unsafe_code,
        reason = "the one call that sees every fork, Python's or not"
    )]
    // SAFETY: the handlers are static functions that stay for ever.
    let code = unsafe {
        libc::pthread_atfork(
            Some(gate::close_for_fork),
            Some(gate::open_in_parent),
            Some(forked),
        )
    };
    if code == 0 {
        Ok(())
    } else {
        Err(std::io::Error::from_raw_os_error(code).into())
    }
}

extern "C" fn forked() {
    gate::open_in_child();
    GENERATION.fetch_add(1, Ordering::AcqRel);
}

/// Signals are for Python's threads: one that a thread of ours took would not interrupt
/// what the main thread waits for.
fn leave_signals_to_python() {
    #[expect(unsafe_code, reason = "std has no signal masks")]
    // SAFETY: `all` is initialised by sigfillset before it is read; both calls only
    // concern the calling thread.
    unsafe {
        let mut all = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const all, ptr::null_mut());
    }
}

/// The engine of this process, if there is one already.
pub(crate) fn current() -> Option<&'static Core> {
    #[expect(unsafe_code, reason = "no lock may be on this way, see the module")]
    // SAFETY: the pointer is null or comes from Box::into_raw, and is never freed.
    let core = unsafe { CURRENT.load(Ordering::Acquire).as_ref() };
    core.filter(|core| core.generation == GENERATION.load(Ordering::Acquire))
}

/// The engine of this process, built if need be. Called while attached to the
/// interpreter, so that no fork of Python's comes in between.
fn engine(_py: Python<'_>) -> Result<&'static Core> {
    loop {
        if let Some(core) = current() {
            return Ok(core);
        }
        let inherited = CURRENT.load(Ordering::Acquire);
        let core = Core::new(GENERATION.load(Ordering::Acquire))?;
        let ours = Box::into_raw(Box::new(core));
        let installed =
            CURRENT.compare_exchange(inherited, ours, Ordering::AcqRel, Ordering::Acquire);
        if installed.is_err() {
            // Another thread was quicker.
            #[expect(unsafe_code, reason = "takes back what was boxed above")]
            // SAFETY: nobody else has seen this pointer.
            let core = unsafe { Box::from_raw(ours) };
            core.runtime.shutdown_background();
            continue;
        }
        // The inherited engine is leaked: see the module's documentation.
        if let Some(core) = current() {
            start_keeper(core)?;
        }
    }
}

/// Starts the thread for what goes on when no caller waits. Where that fails, only this
/// call does: later ones drive the engine themselves.
fn start_keeper(core: &'static Core) -> Result<()> {
    let keeper = std::thread::Builder::new().name(THREAD_NAME.to_owned());
    let started = keeper.spawn(|| {
        leave_signals_to_python();
        core.wheel.keep(&core.runtime)
    });
    started
        .map(drop)
        .map_err(|e| Error::internal("No thread could be started").with_source(e))
}

/// Runs an operation to its end, as every method does. `work` is given the engine and
/// makes the operation; `between` is called attached, some twenty times a second.
pub(crate) fn run<T, F>(
    py: Python<'_>,
    work: impl FnOnce(&'static Core) -> F,
    mut between: impl FnMut(Python<'_>) -> PyResult<()>,
) -> PyResult<T>
where
    T: Send,
    F: Future<Output = Result<T>> + Send,
{
    let core = engine(py).map_err(|e| error::raise(py, &e))?;
    logging::install();
    let mut operation = Box::pin(AssertUnwindSafe(work(core)).catch_unwind());
    let outcome = loop {
        let polled = py.detach(|| {
            let _inside = core.runtime.enter();
            wait(core, operation.as_mut())
        });
        let logged = core.log.pass_on(py);
        if let Some(outcome) = polled {
            logged?;
            break outcome;
        }
        let asked = logged
            .and_then(|()| py.check_signals())
            .and_then(|()| between(py));
        if core.generation != GENERATION.load(Ordering::Acquire) {
            // A signal's handler has forked, and this is the child. The operation is the
            // parent's: dropping it would close what the parent uses.
            std::mem::forget(operation);
            asked?;
            return Err(error::raise(
                py,
                &Error::internal("The process forked meanwhile"),
            ));
        }
        if let Err(raised) = asked {
            // Sockets and tasks of the operation belong to the runtime.
            py.detach(|| {
                let _inside = core.runtime.enter();
                gate::enter();
                drop(operation);
                gate::leave();
            });
            core.log.pass_on(py)?;
            return Err(raised);
        }
    };
    let result = outcome.unwrap_or_else(|panic| Err(defect(&*panic)));
    result.map_err(|e| {
        let raised = error::raise(py, &e);
        core.log.pass_on(py).err().unwrap_or(raised)
    })
}

/// Runs an operation to its end on a thread of the engine that may block.
pub(crate) fn finish<T>(operation: impl Future<Output = Result<T>>) -> Result<T> {
    let core = current().ok_or_else(|| Error::internal("The process forked meanwhile"))?;
    let mut operation = pin!(operation);
    loop {
        if let Some(outcome) = wait(core, operation.as_mut()) {
            return outcome;
        }
    }
}

/// Polls until the operation is over or a slice of time is. Inside the runtime.
fn wait<T>(core: &Core, mut operation: Pin<&mut (impl Future<Output = T> + ?Sized)>) -> Option<T> {
    let until = Instant::now() + SLICE;
    if let Some(turn) = core.wheel.take() {
        return drive(core, turn, operation, until);
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let place = core.wheel.stand_in_line();
    loop {
        if let Some(turn) = core.wheel.take() {
            drop(place);
            return drive(core, turn, operation, until);
        }
        gate::enter();
        let polled = operation.as_mut().poll(&mut context);
        gate::leave();
        if let Poll::Ready(outcome) = polled {
            return Some(outcome);
        }
        let left = until.checked_duration_since(Instant::now())?;
        std::thread::park_timeout(left);
    }
}

/// Runs the runtime until the operation is over or it is late.
fn drive<T>(
    core: &Core,
    turn: Turn<'_>,
    operation: Pin<&mut (impl Future<Output = T> + ?Sized)>,
    until: Instant,
) -> Option<T> {
    let until = tokio::time::Instant::from_std(until);
    let slice = async { timeout_at(until, operation).await.ok() };
    turn.drive(&core.runtime, slice)
}

/// Wakes the thread that waits.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

/// A panic is a defect of ours, and Python must not meet it as one: its PanicException
/// passes every `except Exception`.
fn defect(panic: &(dyn Any + Send)) -> Error {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no text");
    Error::internal("The engine failed").with_source(text)
}

/// Whether this is a thread of the engine, whose work goes on when no caller waits.
pub(crate) fn is_background() -> bool {
    std::thread::current().name() == Some(THREAD_NAME)
}
