//! Appends records to this process's file, many with one sync.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::{ENDING, format, sync_folder, try_lock};
use crate::types::new_ulid;
use crate::{Error, Result};

/// A file that has grown to this is let go, so that whoever takes it over reads no more.
const LET_GO: u64 = 8 << 20;
/// When to come back after this hand-off was not available.
const COME_BACK: Duration = Duration::from_secs(1);
/// Folders above the spool's whose names are synced when it is made: up to the site's.
const FOLDERS: usize = 4;

type Outcome = Result<(), Arc<io::Error>>;

/// The spool of one site, as this process writes it. No file is there before the first
/// record.
pub struct Spool {
    folder: PathBuf,
    waiting: Mutex<Waiting>,
    /// Locked while a batch is written and synced, by threads that may block.
    file: Mutex<Option<Writing>>,
}

#[derive(Default)]
struct Waiting {
    records: Vec<(Vec<u8>, oneshot::Sender<Outcome>)>,
    /// Whether somebody writes: they take along what comes meanwhile.
    written: bool,
}

struct Writing {
    file: File,
    length: u64,
}

impl Spool {
    /// In this folder, which is made with the first record.
    pub fn new(folder: PathBuf) -> Arc<Self> {
        Arc::new(Self {
            folder,
            waiting: Mutex::default(),
            file: Mutex::default(),
        })
    }

    /// Where the files are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Keeps a record: on disk when this returns.
    ///
    /// # Errors
    /// `Unavailable` if the disk is full, read-only or away. The record may be there all
    /// the same.
    pub async fn append(self: &Arc<Self>, payload: &[u8]) -> Result<()> {
        let away = || Error::unavailable("The answers could not be kept on disk", COME_BACK);
        if !format::fits(payload) {
            return Err(Error::internal("A submit is too large for the spool"));
        }
        let (told, outcome) = oneshot::channel();
        let begin = {
            let mut waiting = lock(&self.waiting);
            waiting.records.push((format::record(payload), told));
            !std::mem::replace(&mut waiting.written, true)
        };
        if begin {
            let spool = self.clone();
            tokio::task::spawn_blocking(move || spool.write_all());
        }
        match outcome.await {
            Ok(outcome) => outcome.map_err(|error| away().with_source(error)),
            Err(gone) => Err(away().with_source(gone)),
        }
    }

    /// Lets go of this process's file, so that it can be taken over. Blocks while records
    /// are being written.
    pub fn let_go(&self) {
        *lock(&self.file) = None;
    }

    /// Writes until nobody waits.
    fn write_all(&self) {
        let _stopped = Stopped(self);
        loop {
            let batch = {
                let mut waiting = lock(&self.waiting);
                if waiting.records.is_empty() {
                    waiting.written = false;
                    return;
                }
                std::mem::take(&mut waiting.records)
            };
            let bytes: Vec<u8> = batch
                .iter()
                .flat_map(|(record, _)| record)
                .copied()
                .collect();
            let outcome = self.write(&bytes).map_err(Arc::new);
            for (_, told) in batch {
                // Who does not wait any more has been refused, or has died.
                let _ = told.send(outcome.clone());
            }
        }
    }

    fn write(&self, records: &[u8]) -> io::Result<()> {
        let mut current = lock(&self.file);
        // Taken out: a file over which anything failed is not written again, since what
        // comes after half a record could not be found.
        let mut writing = match current.take() {
            Some(writing) if writing.length < LET_GO => writing,
            _ => Writing::new(&self.folder)?,
        };
        writing.file.write_all(records)?;
        writing.file.sync_data()?;
        writing.length += records.len() as u64;
        *current = Some(writing);
        Ok(())
    }
}

/// Lets the next record begin anew should writing end in a panic.
struct Stopped<'a>(&'a Spool);

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut waiting = lock(&self.0.waiting);
            waiting.written = false;
            // Those who wait are told that it failed.
            waiting.records.clear();
        }
    }
}

impl Writing {
    /// A new file. It gets the name by which others look for it when it is locked: none of
    /// them may take it for one that nobody writes.
    fn new(folder: &Path) -> io::Result<Self> {
        if !folder.is_dir() {
            let mut builder = DirBuilder::new();
            builder.recursive(true).mode(0o700).create(folder)?;
            for folder in folder.ancestors().skip(1).take(FOLDERS) {
                sync_folder(folder)?;
            }
        }
        let name = folder.join(new_ulid());
        let unlocked = name.with_extension("new");
        let mut options = OpenOptions::new();
        let mut file = options
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(&unlocked)?;
        let made = try_lock(&file)
            .and_then(|()| file.write_all(format::HEAD))
            .and_then(|()| file.sync_data())
            .and_then(|()| std::fs::rename(&unlocked, name.with_extension(ENDING)));
        if let Err(error) = made {
            let _ = std::fs::remove_file(&unlocked);
            return Err(error);
        }
        sync_folder(folder)?;
        Ok(Self { file, length: 0 })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::super::take_over;
    use super::*;

    fn payloads(folder: &Path) -> Vec<Vec<u8>> {
        let leftovers = take_over(folder).unwrap();
        leftovers.into_iter().flat_map(|l| l.payloads).collect()
    }

    #[tokio::test]
    async fn what_was_kept_is_found_once_it_is_let_go() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::new(folder.path().join("a/b"));
        assert!(take_over(spool.folder()).unwrap().is_empty());
        let many = (0..100).map(|i| {
            let spool = spool.clone();
            tokio::spawn(async move { spool.append(format!("{i}").as_bytes()).await })
        });
        for one in many.collect::<Vec<_>>() {
            one.await.unwrap().unwrap();
        }
        assert!(payloads(spool.folder()).is_empty(), "somebody writes it");
        spool.let_go();
        assert_eq!(payloads(spool.folder()).len(), 100);
        // Not removed, only looked at. The next record goes into another file.
        spool.append(b"more").await.unwrap();
        assert_eq!(payloads(spool.folder()).len(), 100);
        spool.let_go();
        assert_eq!(payloads(&folder.path().join("a/b")).len(), 101);
        for leftover in take_over(&folder.path().join("a/b")).unwrap() {
            leftover.remove().unwrap();
        }
        assert!(payloads(&folder.path().join("a/b")).is_empty());
    }

    #[tokio::test]
    async fn a_disk_that_takes_nothing_is_no_yes() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        // Not a folder, whoever runs this.
        let spool = Spool::new(file.join("spool"));
        let error = spool.append(b"one").await.unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Unavailable);
        std::fs::remove_file(&file).unwrap();
        std::fs::create_dir(&file).unwrap();
        spool.append(b"two").await.unwrap();
        spool.let_go();
        assert_eq!(payloads(&file.join("spool")), [b"two"]);
    }

    #[tokio::test]
    async fn a_full_disk_is_no_yes_and_one_with_room_again_is() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::new(folder.path().join("spool"));
        spool.append(b"one").await.unwrap();
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        lock(&spool.file).as_mut().unwrap().file = full;
        let error = spool.append(b"two").await.unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Unavailable);
        spool.append(b"three").await.unwrap();
        spool.let_go();
        let mut found = payloads(&folder.path().join("spool"));
        found.sort();
        assert_eq!(found, [&b"one"[..], b"three"]);
    }

    #[tokio::test]
    async fn after_a_write_that_failed_half_way_the_next_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::new(folder.path().join("spool"));
        spool.append(b"one").await.unwrap();
        // A descriptor that cannot be written to, as of a disk that broke.
        let broken = File::open(folder.path()).unwrap();
        lock(&spool.file).as_mut().unwrap().file = broken;
        spool.append(b"two").await.unwrap_err();
        spool.append(b"three").await.unwrap();
        spool.let_go();
        let mut found = payloads(spool.folder());
        found.sort();
        assert_eq!(found, [&b"one"[..], b"three"]);
    }
}
