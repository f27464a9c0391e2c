//! The temporary folder of this process, and the sweeping of those that dead processes
//! left behind.
//!
//! A folder is in use as long as its owner holds the lock on the file `lock` in it. A
//! lock, unlike a process id, cannot be mistaken: it ends with the process even after
//! SIGKILL, ids are not reused, and containers that share `/tmp` see each other's.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::process;

/// Folders of ours begin with this.
const PREFIX: &str = "memora-";

struct Root {
    path: PathBuf,
    /// Held, never read: its lock says that the folder is in use.
    _lock: File,
}

static ROOT: OnceLock<Root> = OnceLock::new();
static NEXT: AtomicU64 = AtomicU64::new(1);

/// A new empty folder, named after `purpose`. Its owner removes it; if not, the end of
/// the process does.
///
/// # Errors
/// If the system's temporary folder cannot be written.
pub fn new_dir(purpose: &str) -> Result<PathBuf> {
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    let path = root()?.join(format!("{purpose}-{n}"));
    fs::create_dir(&path).with_context(|| format!("creating {}", path.display()))?;
    Ok(path)
}

fn root() -> Result<&'static Path> {
    if let Some(root) = ROOT.get() {
        return Ok(&root.path);
    }
    let made = make_root()?;
    // Two threads may come here at once: the loser's folder goes away again.
    if let Err(loser) = ROOT.set(made) {
        let _ = fs::remove_dir_all(&loser.path);
    } else {
        process::at_exit(remove_root);
        sweep();
    }
    ROOT.get()
        .map(|root| root.path.as_path())
        .context("the temporary folder of this process is gone")
}

fn make_root() -> Result<Root> {
    // Short: the path of a unix socket holds 107 bytes.
    let path = tempfile::Builder::new()
        .prefix(&format!("{PREFIX}{}-", std::process::id()))
        .rand_bytes(6)
        .tempdir()
        .context("creating a temporary folder")?
        .keep();
    // Under its name only once it is locked: who sweeps removes what nobody holds.
    let making = path.join("lock.new");
    let lock = File::create(&making).context("creating the lock file")?;
    process::try_lock(&lock).context("locking the temporary folder")?;
    fs::rename(&making, path.join("lock")).context("naming the lock file")?;
    Ok(Root { path, _lock: lock })
}

extern "C" fn remove_root() {
    process::kill_all();
    let Some(root) = ROOT.get() else {
        return;
    };
    // Other threads still run, and one that drops a server removes its folder too: a
    // file that is gone already ends a removal early.
    for _ in 0..50 {
        if fs::remove_dir_all(&root.path).is_ok() || !root.path.exists() {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// Removes folders whose owner is dead.
fn sweep() {
    let Ok(entries) = fs::read_dir(std::env::temp_dir()) else {
        return;
    };
    for entry in entries.flatten() {
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        // No lock file (yet): not ours, or being made at this moment.
        let Ok(lock) = File::open(entry.path().join("lock")) else {
            continue;
        };
        if process::try_lock(&lock).is_ok() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
