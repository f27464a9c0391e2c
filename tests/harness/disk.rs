//! A disk of a few kilobytes, which a test may fill.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::scratch;

/// A file system in memory of its own. It has no place in the tree of files, and is reached
/// through this process's open folder: so it ends with the process, whatever ends that.
pub struct SmallDisk {
    path: PathBuf,
    /// Keeps it there.
    _root: File,
}

impl SmallDisk {
    /// Of so many kilobytes; `None`, and a word on standard error, where this process may
    /// not mount one.
    pub fn mount(kilobytes: u32) -> Option<Self> {
        match Self::try_mount(kilobytes) {
            Ok(disk) => Some(disk),
            Err(error) => {
                eprintln!("SKIPPED: this needs the right to mount a file system: {error:#}");
                None
            }
        }
    }

    fn try_mount(kilobytes: u32) -> Result<Self> {
        let place = scratch::new_dir("disk")?;
        let size = format!("size={kilobytes}k");
        run(Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(&place))?;
        let root = File::open(&place);
        run(Command::new("umount").arg("--lazy").arg(&place))?;
        let root = root.context("opening the disk")?;
        fs::remove_dir(&place).context("removing the place of the disk")?;
        // Of this process also for its children.
        let fd = root.as_raw_fd();
        let path = PathBuf::from(format!("/proc/{}/fd/{fd}", std::process::id()));
        Ok(Self { path, _root: root })
    }

    /// A folder on it.
    ///
    /// # Panics
    /// If it cannot be made.
    pub fn folder(&self, name: &str) -> PathBuf {
        let folder = self.path.join(name);
        fs::create_dir(&folder).expect("a folder on the disk");
        folder
    }

    /// Fills what is left of it.
    ///
    /// # Panics
    /// If that fails otherwise than for want of room.
    pub fn fill(&self) {
        let mut file = File::create(self.filler()).expect("a file on the disk");
        // Longer than any disk of this kind.
        let error = (0..1_000_000)
            .find_map(|_| file.write_all(&[0; 512]).err())
            .expect("a full disk");
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull, "{error}");
    }

    /// Makes room again.
    ///
    /// # Panics
    /// If it was not [filled](Self::fill).
    pub fn free(&self) {
        fs::remove_file(self.filler()).expect("the file on the disk");
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn filler(&self) -> PathBuf {
        self.path.join("filler")
    }
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}", said.trim());
    Ok(())
}
