//! The words of one host: a small file below the site's folder, mapped into every process.
//!
//! `sites/<site>/private/memora_srs/safe_mode.1`: a folder that bench's web server does not
//! serve, and that all processes and containers of a bench have. The name ends in the
//! number of the layout, so that processes of two releases do not fight for it.
//!
//! A file that is missing, cut off, or not ours is made anew: complete under another name
//! first, then put in its place, so that nobody ever sees half of one. It is written out
//! with zeros, because a page of a mapped file that finds no room on the disk is a deadly
//! signal instead of an error. For the same reason each use looks first whether the file
//! mapped is still the one of that name, and whole.
//!
//! Where there can be no such file, each process counts for itself, and says so once.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use memmap2::MmapRaw;

use super::counters::{Counters, MAGIC, VERSION, WORDS, Word};

const BYTES: u64 = (WORDS * size_of::<u64>()) as u64;
/// Below the site's folder.
const FOLDER: &str = "private/memora_srs";
const NAME: &str = "safe_mode.1";
/// How often another process may be quicker before this one counts for itself.
const TRIES: u32 = 5;

/// See the module's documentation.
pub(super) struct SharedFile {
    site_folder: PathBuf,
    current: Mutex<Option<Arc<Words>>>,
    own: Arc<Words>,
    warned: AtomicBool,
    /// This host's number as the file last had it: one that is made anew gets it too, or
    /// other hosts would take this one for two, of which one stays cut off. 0 before. Not
    /// looked up in the words that are left: a page of a file cut off is a deadly signal.
    host: AtomicU64,
}

impl SharedFile {
    /// Describes the file of the site with this folder; opens nothing.
    pub(super) fn new(site_folder: PathBuf) -> Self {
        Self {
            site_folder,
            current: Mutex::default(),
            own: Arc::new(Words::Own(own_words())),
            warned: AtomicBool::new(false),
            host: AtomicU64::new(0),
        }
    }

    /// Where it is.
    pub(super) fn path(&self) -> PathBuf {
        self.site_folder.join(FOLDER).join(NAME)
    }

    /// The words, shared if that is possible.
    pub(super) fn words(&self) -> Arc<Words> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.path();
        if let Some(words) = &*current
            && words.is_at(&path)
        {
            return words.clone();
        }
        *current = None;
        match self.open() {
            Ok(words) => {
                let words = Arc::new(words);
                let host = words.counters().get(Word::Host);
                self.host.store(host, Ordering::Relaxed);
                *current = Some(words.clone());
                words
            }
            Err(error) => {
                if !self.warned.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        path = %path.display(),
                        ?error,
                        "Limits of Safe Mode are counted by each process for itself"
                    );
                }
                self.own.clone()
            }
        }
    }

    /// The words, unless no process has counted anything yet.
    pub(super) fn words_if_there(&self) -> Option<Arc<Words>> {
        let there = fs::exists(self.path()).unwrap_or(true);
        (there || self.warned.load(Ordering::Relaxed)).then(|| self.words())
    }

    /// Whether the words are shared.
    pub(super) fn is_shared(&self) -> bool {
        matches!(*self.words(), Words::Mapped { .. })
    }

    fn open(&self) -> io::Result<Words> {
        let path = self.path();
        for _ in 0..TRIES {
            let there = match open_there(&path) {
                Ok(Some(words)) => return Ok(words),
                Ok(None) => true,
                Err(error) if error.kind() == io::ErrorKind::NotFound => false,
                Err(error) => return Err(error),
            };
            self.make(&path, there)?;
        }
        Err(io::Error::other("the file is replaced again and again"))
    }

    /// Puts a new file in place, unless another process is quicker.
    fn make(&self, path: &Path, replace: bool) -> io::Result<()> {
        let owner = fs::metadata(&self.site_folder)?;
        let folder = self.site_folder.join(FOLDER);
        for folder in [folder.parent(), Some(folder.as_path())]
            .into_iter()
            .flatten()
        {
            match fs::create_dir(folder) {
                Ok(()) => give(folder, &owner),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        let new = path.with_extension(format!("new-{:016x}", random()?));
        let host = match self.host.load(Ordering::Relaxed) {
            0 => random()?,
            known => known,
        };
        let made = write_new(&new, host).and_then(|()| {
            give(&new, &owner);
            if replace {
                fs::rename(&new, path)
            } else {
                link(&new, path)
            }
        });
        // Gone already if it was renamed.
        let _ = fs::remove_file(&new);
        made
    }
}

/// What is counted in.
pub(super) enum Words {
    /// The file's; the map is made of exactly so many words.
    Mapped {
        map: MmapRaw,
        device: u64,
        inode: u64,
    },
    /// This process's.
    Own(Box<[AtomicU64; WORDS]>),
}

impl Words {
    /// To count in.
    pub(super) fn counters(&self) -> Counters<'_> {
        Counters::new(match self {
            Self::Mapped { map, .. } => words_of(map),
            Self::Own(words) => words,
        })
    }

    /// Whether these words are those of the file of this name, all of them.
    fn is_at(&self, path: &Path) -> bool {
        match self {
            Self::Mapped { device, inode, .. } => fs::metadata(path)
                .is_ok_and(|file| (file.dev(), file.ino(), file.len()) == (*device, *inode, BYTES)),
            Self::Own(_) => false,
        }
    }

    /// Whether the head says that these are ours.
    fn are_ours(&self) -> bool {
        let head = [Word::Magic, Word::Version, Word::Length];
        head.map(|word| self.counters().get(word)) == [MAGIC, VERSION, WORDS as u64]
    }
}

/// The file of this name; `None` if it is not ours.
fn open_there(path: &Path) -> io::Result<Option<Words>> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() || meta.len() != BYTES {
        return Ok(None);
    }
    let map = MmapRaw::map_raw(&file)?;
    if map.len() as u64 != BYTES {
        return Ok(None);
    }
    let words = Words::Mapped {
        map,
        device: meta.dev(),
        inode: meta.ino(),
    };
    Ok(words.are_ours().then_some(words))
}

fn write_new(path: &Path, host: u64) -> io::Result<()> {
    let mut head = [0_u64; WORDS];
    head[Word::Magic as usize] = MAGIC;
    head[Word::Version as usize] = VERSION;
    head[Word::Length as usize] = WORDS as u64;
    head[Word::Host as usize] = host;
    let bytes: Vec<u8> = head.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o660)
        .open(path)?;
    file.write_all(&bytes)?;
    File::sync_data(&file)
}

/// Gives the file its name if nobody has it. Where links are not to be had, by renaming:
/// of two processes that do so at once, one counts a moment for itself.
fn link(new: &Path, path: &Path) -> io::Result<()> {
    match fs::hard_link(new, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(_) => fs::rename(new, path),
        Ok(()) => Ok(()),
    }
}

/// What root makes belongs to whoever the site belongs to, who could not write it else.
fn give(path: &Path, owner: &fs::Metadata) {
    let differs = |meta: fs::Metadata| (meta.uid(), meta.gid()) != (owner.uid(), owner.gid());
    if fs::metadata(path).is_ok_and(differs) {
        // Allowed to root alone; others are who they are.
        let _ = chown(path, Some(owner.uid()), Some(owner.gid()));
    }
}

fn own_words() -> Box<[AtomicU64; WORDS]> {
    let words = Box::new([const { AtomicU64::new(0) }; WORDS]);
    words[Word::Host as usize].store(random().unwrap_or(1), Ordering::Relaxed);
    words
}

/// Never 0.
fn random() -> io::Result<u64> {
    getrandom::u64()
        .map(|number| number | 1)
        .map_err(io::Error::other)
}

/// The map must be of `WORDS` words.
fn words_of(map: &MmapRaw) -> &[AtomicU64; WORDS] {
    assert_eq!(map.len() as u64, BYTES, "checked when it was mapped");
    #[expect(unsafe_code, reason = "memory that processes share")]
    // SAFETY: the mapping has that many bytes, begins at a page, and lives as long as the
    // reference. It is only ever looked at through atomics, here and in the other
    // processes, so that any change by them is one that atomics allow; every pattern of
    // bits is a number.
    unsafe {
        &*map.as_ptr().cast::<[AtomicU64; WORDS]>()
    }
}

#[cfg(test)]
mod tests {
    use super::super::counters::{Limits, Student};
    use super::*;

    const LIMITS: Limits = Limits {
        all: 500,
        student_ms: 30_000,
    };
    const NOW: u64 = 1_795_401_874_497;

    fn site() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    fn process(site: &tempfile::TempDir) -> SharedFile {
        SharedFile::new(site.path().to_owned())
    }

    fn admit(file: &SharedFile, name: &str) -> bool {
        let words = file.words();
        let counters = words.counters();
        counters.admit(&Student::of(name), LIMITS, NOW).is_ok()
    }

    fn all(file: &SharedFile) -> u64 {
        file.words().counters().all(NOW)
    }

    #[test]
    fn two_processes_count_in_one_file() {
        let site = site();
        let (a, b) = (process(&site), process(&site));
        assert!(admit(&a, "ann") && admit(&b, "bob"));
        assert!(!admit(&b, "ann") && !admit(&a, "bob"));
        assert_eq!((all(&a), all(&b)), (2, 2));
        // And whoever comes later.
        assert_eq!(all(&process(&site)), 2);
        assert!(a.is_shared());
        let left: Vec<_> = fs::read_dir(site.path().join(FOLDER)).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }

    #[test]
    fn whatever_stands_in_its_place_is_replaced_and_all_find_the_new_one() {
        let good = |site: &tempfile::TempDir| fs::read(process(site).path()).unwrap();
        type Spoil = fn(&Path, Vec<u8>);
        let spoils: [(&str, Spoil); 6] = [
            ("removed", |path, _| fs::remove_file(path).unwrap()),
            ("empty", |path, _| fs::write(path, "").unwrap()),
            ("cut off", |path, bytes| {
                fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
            }),
            ("longer", |path, bytes| {
                fs::write(path, [bytes, vec![0; 8]].concat()).unwrap();
            }),
            ("foreign", |path, bytes| {
                fs::remove_file(path).unwrap();
                fs::write(path, vec![b'x'; bytes.len()]).unwrap();
            }),
            ("of another layout", |path, mut bytes| {
                bytes[8] = 9;
                fs::remove_file(path).unwrap();
                fs::write(path, bytes).unwrap();
            }),
        ];
        for (what, spoil) in spoils {
            let site = site();
            let (a, b) = (process(&site), process(&site));
            assert!(admit(&a, "ann") && !admit(&b, "ann"), "{what}");
            let known = a.words().counters().get(Word::Host);
            spoil(&a.path(), good(&site));
            assert!(admit(&b, "ann"), "{what}");
            assert!(!admit(&a, "ann"), "{what}");
            assert!(a.is_shared(), "{what}");
            let host = |file: &SharedFile| file.words().counters().get(Word::Host);
            assert_eq!(host(&process(&site)), known, "{what}");
            assert_eq!((all(&a), all(&b)), (1, 1), "{what}");
        }
    }

    #[test]
    fn a_crowd_that_makes_it_at_once_makes_one() {
        for spoiled in [false, true] {
            let site = site();
            if spoiled {
                let path = process(&site).path();
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(&path, "x").unwrap();
            }
            let files: Vec<_> = (0..8).map(|_| process(&site)).collect();
            std::thread::scope(|scope| {
                for file in &files {
                    scope.spawn(|| assert!(file.is_shared()));
                }
            });
            let inode = |file: &SharedFile| match &*file.words() {
                Words::Mapped { inode, .. } => *inode,
                Words::Own(_) => 0,
            };
            let first = inode(&files[0]);
            assert!(first != 0 && files.iter().all(|file| inode(file) == first));
        }
    }

    #[test]
    fn without_a_place_for_it_a_process_counts_for_itself() {
        let site = site();
        // A file where the folder should be: even root cannot make it.
        fs::write(site.path().join("private"), "").unwrap();
        let (a, b) = (process(&site), process(&site));
        assert!(admit(&a, "ann") && !admit(&a, "ann"));
        assert!(admit(&b, "ann"));
        assert!(!a.is_shared());
        // Once there is, it is used.
        fs::remove_file(site.path().join("private")).unwrap();
        assert!(admit(&a, "ann") && !admit(&b, "ann"));
    }
}
