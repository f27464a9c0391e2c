//! A file on this host's disk for submits that the journal does not have yet.
//!
//! A submit may be acknowledged without its journal row only if two independent places
//! have it (rule C5): the queue's Redis, and this. A record counts when it was *synced*:
//! all who wait share one `fdatasync`, off the runtime's threads.
//!
//! Each process writes a file of its own, and holds its lock (`flock`) as long as it lives
//! and writes. Whoever gets the lock of a file may take it over: its records go into the
//! journal, then the file goes. So what a process that died left behind is found by any
//! other, and by its own next start. A fork inherits the lock: what such a process left is
//! taken over once its children are gone, too.
//!
//! | file | job |
//! |---|---|
//! | `format` | records: length, checksum, payload |
//! | `writer` | appends, many at a time |
//! | `leftover` | takes over what nobody writes any more |
//!
//! # Rules
//!
//! - No false yes: a write or sync that failed ends the file. What is in it and whole is
//!   still taken over; the next record goes into a new one.
//! - A file in which something cannot be read, or that is so old that the journal may have
//!   forgotten its submits, stays as `.kept` for an operator.
//! - The folder is of one site and on a local disk. A full, read-only or missing one makes
//!   this hand-off unavailable, and nothing else.

mod format;
mod leftover;
mod writer;

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

pub use leftover::{Leftover, take_over};
pub use writer::Spool;

/// How files are called whose records count.
const ENDING: &str = "spool";

/// Takes the lock of an open file, if nobody has it. It ends when the file is closed, by
/// the process's death at the latest.
fn try_lock(file: &File) -> io::Result<()> {
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

/// Makes the names in a folder durable.
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
