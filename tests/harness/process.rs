//! Child processes that cannot outlive us.
//!
//! Each child asks the kernel to be killed when its parent dies (`PR_SET_PDEATHSIG`), so
//! nothing survives even a SIGKILL of the test process. The kernel means the *thread*
//! that started the child, and test threads end early; so one thread that never ends,
//! the keeper, starts them all.
//!
//! The only module here with `unsafe` code: a few calls of libc.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};

type Job = Box<dyn FnOnce() + Send>;

static KEEPER: LazyLock<Sender<Job>> = LazyLock::new(|| {
    let (sender, jobs) = channel::<Job>();
    thread::Builder::new()
        .name("keeper".to_owned())
        .spawn(move || {
            for job in jobs {
                job();
            }
        })
        .expect("starting the keeper thread");
    sender
});

/// Ids of the children that run, for [`kill_all`].
static RUNNING: Mutex<Vec<u32>> = Mutex::new(Vec::new());

/// A child process whose output goes to a file.
pub struct Process {
    name: String,
    log: PathBuf,
    child: Mutex<Child>,
    id: u32,
}

impl Process {
    /// Starts `command`, whose output is appended to the file `log`.
    ///
    /// # Errors
    /// If the program cannot be started.
    pub fn start(name: &str, command: Command, log: &Path) -> Result<Self> {
        Self::start_with_input(name, command, log, Stdio::null())
    }

    /// As [`Self::start`], with this as its standard input: a socket, say, to inherit.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_with_input(
        name: &str,
        mut command: Command,
        log: &Path,
        input: Stdio,
    ) -> Result<Self> {
        let out = File::options()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("opening {}", log.display()))?;
        command.stdin(input).stdout(out.try_clone()?).stderr(out);
        let child = spawn(command).with_context(|| format!("starting {name}"))?;
        let id = child.id();
        lock(&RUNNING).push(id);
        Ok(Self {
            name: name.to_owned(),
            log: log.to_owned(),
            child: Mutex::new(child),
            id,
        })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Everything that it has written so far.
    pub fn log(&self) -> String {
        fs::read(&self.log)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// How it ended; `None` while it runs.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        let status = lock(&self.child).try_wait().ok().flatten();
        if status.is_some() {
            forget(self.id);
        }
        status
    }

    /// Whether it runs, in words; if not, how it ended and what it said last.
    pub fn state(&self) -> String {
        match self.exit_status() {
            None => format!("{} runs", self.name),
            Some(status) => {
                let (end, log) = (in_words(status), tail(&self.log()));
                format!("{} has ended ({end})\n{log}", self.name)
            }
        }
    }

    /// Sends a signal, unless it has ended.
    pub fn signal(&self, signal: i32) {
        if self.exit_status().is_some() {
            return;
        }
        // Who is not in the list is being waited for at the end of this process
        // ([`kill_all`]): the number may soon be somebody else's.
        let running = lock(&RUNNING);
        if running.contains(&self.id) {
            send_signal(self.id, signal);
        }
    }

    /// Freezes it: its connections stay, nothing is answered. Waits for all its threads, each of
    /// which hears of it when it next runs.
    pub fn pause(&self) {
        self.signal(libc::SIGSTOP);
        let until = Instant::now() + Duration::from_secs(5);
        while self.exit_status().is_none() && !self.is_paused() && Instant::now() < until {
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn is_paused(&self) -> bool {
        let Ok(threads) = fs::read_dir(format!("/proc/{}/task", self.id)) else {
            return false;
        };
        threads.flatten().all(|thread| {
            let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            // The state comes behind the name, which may hold anything.
            let (_, behind) = stat.rsplit_once(") ").unwrap_or_default();
            stat.is_empty() || behind.starts_with('T')
        })
    }

    /// Lets it run again after [`Self::pause`].
    pub fn resume(&self) {
        self.signal(libc::SIGCONT);
    }

    /// Ends it at once, as a power cut would.
    pub fn kill(&self) {
        self.signal(libc::SIGKILL);
        let _ = lock(&self.child).wait();
        forget(self.id);
    }

    /// Asks it to end (SIGTERM) and waits.
    ///
    /// # Errors
    /// If it has not ended after `patience`; it is killed then.
    pub fn stop(&self, patience: Duration) -> Result<ExitStatus> {
        self.signal(libc::SIGTERM);
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.exit_status() {
                return Ok(status);
            }
            if Instant::now() > deadline {
                self.kill();
                bail!("{} did not end within {patience:?}", self.name);
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until `ready` answers true.
    ///
    /// # Errors
    /// If the process ends before, or is not ready after `patience`; with the end of its
    /// log.
    pub fn wait_until(&self, patience: Duration, mut ready: impl FnMut() -> bool) -> Result<()> {
        let deadline = Instant::now() + patience;
        loop {
            if ready() {
                return Ok(());
            }
            if let Some(status) = self.exit_status() {
                bail!(
                    "{} ended at its start ({})\n{}",
                    self.name,
                    in_words(status),
                    tail(&self.log())
                );
            }
            if Instant::now() > deadline {
                bail!(
                    "{} is not ready after {patience:?}\n{}",
                    self.name,
                    tail(&self.log())
                );
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs a program to its end and returns what it printed to standard output.
///
/// # Errors
/// If it cannot be started or fails; with the end of its output.
pub fn run(name: &str, mut command: Command) -> Result<String> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = spawn(command).with_context(|| format!("starting {name}"))?;
    let output = child
        .wait_with_output()
        .with_context(|| format!("waiting for {name}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let text = [output.stdout, output.stderr].concat();
    bail!(
        "{name} failed ({})\n{}",
        in_words(output.status),
        tail(&String::from_utf8_lossy(&text))
    )
}

/// The path of an installed program; servers live in `sbin`, which is not in
/// everybody's PATH.
///
/// # Errors
/// If none of `names` is installed; names the Debian `package` that has it.
pub fn find_program(names: &[&str], package: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/local/sbin", "/usr/bin", "/usr/local/bin"].map(PathBuf::from))
        .flat_map(|dir| names.iter().map(move |name| dir.join(name)))
        .find(|file| file.is_file())
        .ok_or_else(|| {
            anyhow!(
                "{} is not installed: install the Debian package {package} (or its like)",
                names.join(" or ")
            )
        })
}

fn spawn(mut command: Command) -> Result<Child> {
    let parent = std::process::id();
    #[expect(unsafe_code, reason = "the kernel is asked in the child, before exec")]
    // SAFETY: between fork and exec only async-signal-safe functions may run; prctl,
    // getppid, signal and _exit are.
    unsafe {
        command.pre_exec(move || {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                return Err(io::Error::last_os_error());
            }
            // The parent may have died before the kernel was asked.
            if u32::try_from(libc::getppid()) != Ok(parent) {
                libc::_exit(1);
            }
            // Whoever runs the tests with nohup, or in the background, ignores these, and
            // what is ignored stays so across exec: tests are to see what programs do.
            for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT] {
                libc::signal(signal, libc::SIG_DFL);
            }
            Ok(())
        });
    }
    let (sender, started) = channel();
    KEEPER
        .send(Box::new(move || {
            let _ = sender.send(command.spawn());
        }))
        .map_err(|_| anyhow!("the keeper thread is gone"))?;
    Ok(started.recv().context("the keeper thread is gone")??)
}

/// Kills every child that still runs. For the end of this process.
pub(crate) fn kill_all() {
    let running = std::mem::take(&mut *lock(&RUNNING));
    for id in running {
        send_signal(id, libc::SIGKILL);
        // Its files go next: wait until it has let go of them.
        let mut status = 0;
        #[expect(unsafe_code, reason = "the Child is owned elsewhere by now")]
        // SAFETY: waits for a child of ours; `status` outlives the call.
        unsafe {
            libc::waitpid(id.cast_signed(), &raw mut status, 0);
        }
    }
}

fn forget(id: u32) {
    lock(&RUNNING).retain(|running| *running != id);
}

fn send_signal(id: u32, signal: i32) {
    #[expect(unsafe_code, reason = "std can only send SIGKILL")]
    // SAFETY: kill has no memory effects; `id` is a child that was not waited for, so
    // the number still belongs to it.
    unsafe {
        libc::kill(id.cast_signed(), signal);
    }
}

/// Takes the lock of an open file, if nobody has it. Ends when the file is closed.
pub(crate) fn try_lock(file: &File) -> io::Result<()> {
    #[expect(
        unsafe_code,
        reason = "File::try_lock is newer than our oldest compiler"
    )]
    // SAFETY: flock has no memory effects; the descriptor is open while `file` lives.
    let failed = unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } != 0;
    if failed {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Has `action` called when this process ends in an orderly way.
pub(crate) fn at_exit(action: extern "C" fn()) {
    #[expect(
        unsafe_code,
        reason = "statics are not dropped at the end of a process"
    )]
    // SAFETY: `action` is a plain function that lives as long as the program.
    unsafe {
        libc::atexit(action);
    }
}

/// Lets this process, and the children that it starts from now on, have so many files and
/// sockets open at once.
///
/// # Errors
/// If the system allows less; says how to change that.
pub fn allow_open_files(wanted: u64) -> Result<()> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    #[expect(unsafe_code, reason = "std does not tell limits")]
    // SAFETY: getrlimit writes to `limit`, which outlives the call.
    let failed = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0;
    if failed {
        return Err(io::Error::last_os_error()).context("asking for the limit of open files");
    }
    if limit.rlim_cur >= wanted {
        return Ok(());
    }
    let (soft, hard) = (limit.rlim_cur, limit.rlim_max);
    limit.rlim_cur = wanted;
    // Only root may raise the hard limit.
    limit.rlim_max = hard.max(wanted);
    #[expect(unsafe_code, reason = "std does not change limits")]
    // SAFETY: setrlimit reads `limit`, which outlives the call.
    let failed = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } != 0;
    if failed {
        let error = io::Error::last_os_error();
        bail!(
            "{wanted} open files are needed, {soft} are allowed and {hard} at most: {error}; \
             try `ulimit -n {wanted}` as root, or LimitNOFILE={wanted} in a systemd unit"
        );
    }
    Ok(())
}

pub(crate) fn is_root() -> bool {
    #[expect(unsafe_code, reason = "std does not tell the user id")]
    // SAFETY: geteuid cannot fail and has no memory effects.
    unsafe {
        libc::geteuid() == 0
    }
}

fn in_words(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "unknown".to_owned(),
    }
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
