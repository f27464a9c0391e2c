//! Files that nobody writes any more: of a process that died, or let go.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{ENDING, format, sync_folder, try_lock};

/// How files are called that stay for an operator.
const KEPT: &str = "kept";
/// Files taken over at once: each may be eight megabytes.
const FILES: usize = 4;

/// A file of which this process has the lock. Dropped, somebody else may have it.
pub struct Leftover {
    path: PathBuf,
    /// Open for its lock.
    _file: File,
    /// What was kept, in order.
    pub payloads: Vec<Vec<u8>>,
    /// Whether it stays when it is ended, for an operator: something in it cannot be read,
    /// or is not for us to decide.
    pub stays: bool,
}

impl Leftover {
    /// Its name, for the log.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Ends it: everything in it is elsewhere now, unless it [stays](Self::stays), under a
    /// name that nobody looks for.
    ///
    /// # Errors
    /// The file system's: it will be found again.
    pub fn remove(self) -> io::Result<()> {
        if self.stays {
            fs::rename(&self.path, self.path.with_extension(KEPT))?;
        } else {
            fs::remove_file(&self.path)?;
        }
        if let Some(folder) = self.path.parent() {
            sync_folder(folder)?;
        }
        Ok(())
    }
}

/// Takes over files that nobody writes, the oldest first, a few at a time. Blocks.
///
/// # Errors
/// The file system's. A folder that is not there holds nothing.
pub fn take_over(folder: &Path) -> io::Result<Vec<Leftover>> {
    let mut paths = Vec::new();
    match fs::read_dir(folder) {
        Ok(entries) => {
            for entry in entries {
                let path = entry?.path();
                if path.extension().is_some_and(|e| e == ENDING) {
                    paths.push(path);
                }
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    paths.sort();
    let mut taken = Vec::new();
    for path in paths {
        if taken.len() == FILES {
            break;
        }
        match one(&path) {
            Ok(found) => taken.extend(found),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "A spool file cannot be read");
            }
        }
    }
    Ok(taken)
}

/// `None` if somebody has it, or if it is of another version's format.
fn one(path: &Path) -> io::Result<Option<Leftover>> {
    // Writable, since a network's file system may want that for a lock.
    let mut file = match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if try_lock(&file).is_err() || !is_still(path, &file) {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let Some(contents) = format::read(&bytes) else {
        tracing::warn!(path = %path.display(), "A spool file is of an unknown format");
        return Ok(None);
    };
    Ok(Some(Leftover {
        path: path.to_owned(),
        payloads: contents.payloads.iter().map(|p| p.to_vec()).collect(),
        stays: contents.damaged,
        _file: file,
    }))
}

/// Whether this is the file of that name now: another process may have ended it between
/// opening and locking.
fn is_still(path: &Path, file: &File) -> bool {
    match (fs::metadata(path), file.metadata()) {
        (Ok(named), Ok(open)) => (named.dev(), named.ino()) == (open.dev(), open.ino()),
        _ => false,
    }
}
