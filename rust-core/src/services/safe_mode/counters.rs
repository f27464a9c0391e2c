//! Who read how much without the cache: counting in words that many processes share.
//!
//! Every word is changed by one atomic step, so no process can leave it half changed or
//! locked, wherever it is killed. Times are UTC, milliseconds since 1970, in 42 bits.
//!
//! **All together**: one word with the start of the window and what was counted in it. A
//! window is a fixed minute that begins with its first read; only reads that were let in
//! count.
//!
//! **A student**: the time of the last read that was let in, under 33 bits of a hash of
//! the name: eleven choose a set of eight slots, 22 stand in the slot. So two errors are
//! possible, and neither keeps anybody out for long. Two of the students who read within
//! the same span look the same, once in some millions of pairs: one of them waits for that
//! span. More than eight of one set read within it: the one who has waited longest is
//! forgotten, and may read again at once.
//!
//! **Clocks**: a time more than a second ahead was written before the clock was set back.
//! It counts as never, so that nobody waits for a time that is far away. Less is what
//! processes differ by that look at the clock and come to count in another order.

use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest, Sha256};

/// One minute.
pub(super) const WINDOW_MS: u64 = 60_000;
/// How far ahead of the clock a time may be that counts.
const SLACK_MS: u64 = 1000;

const COUNT_BITS: u32 = 22;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;
const TIME_MASK: u64 = (1 << (64 - COUNT_BITS)) - 1;

const WAYS: usize = 8;
const SETS: usize = 2048;

/// Words before the table of students.
const HEAD: usize = 64;
/// Words in all.
pub(super) const WORDS: usize = HEAD + WAYS * SETS;

/// Places of single words in the head. The first eight say whose words these are.
#[derive(Debug, Clone, Copy)]
#[repr(usize)]
pub(super) enum Word {
    /// Says that these are our words.
    Magic = 0,
    /// Of the layout.
    Version = 1,
    /// The number of words.
    Length = 2,
    /// A random number that names this host.
    Host = 3,
    /// Window and count of all together.
    All = 8,
    /// Until when all hosts together have read enough, as the queue Redis said.
    HostsFullUntil = 9,
    /// When the outage under way began; 0 without one.
    OutageBegan = 16,
    /// When somebody of this host last read without the cache.
    LastDegraded = 17,
    /// Which outage, by its beginning, administrators were told of.
    BeginTold = 18,
    /// When the outage before began, 0 without one; when it ended.
    PastBegan = 19,
    PastEnded = 20,
    /// Which outage, by its beginning, administrators were told the end of.
    EndTold = 21,
}

/// "memoraSM", and a layout that is another one.
pub(super) const MAGIC: u64 = u64::from_be_bytes(*b"memoraSM");
pub(super) const VERSION: u64 = 1;

/// What is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    /// Reads of all together in a minute.
    pub(super) all: u64,
    /// Milliseconds between two reads of one student.
    pub(super) student_ms: u64,
}

/// Why a read must wait, and how long, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    /// All together read too much.
    All(u64),
    /// This student did.
    Student(u64),
}

/// A view of the words.
#[derive(Clone, Copy)]
pub(super) struct Counters<'a> {
    words: &'a [AtomicU64; WORDS],
}

impl<'a> Counters<'a> {
    pub(super) fn new(words: &'a [AtomicU64; WORDS]) -> Self {
        Self { words }
    }

    pub(super) fn get(self, word: Word) -> u64 {
        self.words[word as usize].load(Ordering::Acquire)
    }

    pub(super) fn set(self, word: Word, value: u64) {
        self.words[word as usize].store(value, Ordering::Release);
    }

    /// Whether this call changed it.
    pub(super) fn change(self, word: Word, from: u64, to: u64) -> bool {
        exchange(&self.words[word as usize], from, to)
    }

    /// Lets a read in and counts it.
    pub(super) fn admit(self, student: &Student, limits: Limits, now: u64) -> Result<(), Wait> {
        self.all_left(limits, now)?;
        let before = self.take_student(student, limits, now)?;
        self.take_all(limits, now).inspect_err(|_| {
            // Somebody took the last one meanwhile: as if this read had not been.
            exchange(before.slot, student.slot_value(now), before.value);
        })
    }

    /// What [`Self::admit`] would say now, counting nothing.
    pub(super) fn look(self, student: &Student, limits: Limits, now: u64) -> Result<(), Wait> {
        self.all_left(limits, now)?;
        match self.find(student) {
            Some(before) => student_left(before.value, limits, now),
            None => Ok(()),
        }
    }

    /// Counts a read that was let in elsewhere.
    pub(super) fn record(self, student: &Student, now: u64) {
        let unlimited = Limits {
            all: u64::MAX,
            student_ms: 0,
        };
        // Without limits nothing is refused.
        let _ = self.take_student(student, unlimited, now);
        let _ = self.take_all(unlimited, now);
    }

    /// Notes that the hosts together have read enough, for so long.
    pub(super) fn hosts_are_full(self, wait_ms: u64, now: u64) {
        self.set(Word::HostsFullUntil, now + wait_ms.min(WINDOW_MS));
    }

    /// Whether all together may read on.
    pub(super) fn all_left(self, limits: Limits, now: u64) -> Result<(), Wait> {
        let until = self.get(Word::HostsFullUntil);
        if now < until && until <= now + WINDOW_MS {
            return Err(Wait::All(until - now));
        }
        left_of(self.get(Word::All), limits, now).map(|_| ())
    }

    /// Reads in this window.
    pub(super) fn all(self, now: u64) -> u64 {
        window_of(self.get(Word::All), now).1
    }

    /// Begins a new window with the next read.
    pub(super) fn reset_all(self) {
        self.set(Word::All, 0);
        self.set(Word::HostsFullUntil, 0);
    }

    /// When this student last read, as far as that is known.
    pub(super) fn last(self, student: &Student) -> Option<u64> {
        self.find(student).map(|before| time_of(before.value))
    }

    /// Forgets when this student last read.
    pub(super) fn reset_student(self, student: &Student) {
        while let Some(before) = self.find(student) {
            exchange(before.slot, before.value, 0);
        }
    }

    fn take_all(self, limits: Limits, now: u64) -> Result<(), Wait> {
        let word = &self.words[Word::All as usize];
        loop {
            let seen = word.load(Ordering::Acquire);
            let (start, count) = left_of(seen, limits, now)?;
            let next = (start << COUNT_BITS) | (count + 1).min(COUNT_MASK);
            if exchange(word, seen, next) {
                return Ok(());
            }
        }
    }

    /// Writes `now` as the student's last read; what stood there before.
    fn take_student(self, student: &Student, limits: Limits, now: u64) -> Result<Before<'a>, Wait> {
        loop {
            // One look for both questions: between two, another may write this student's
            // first read into the slot that the second then takes for occupied.
            let set = self.set_of(student);
            let before = match of_student(&set, student) {
                Some(before) => {
                    student_left(before.value, limits, now)?;
                    before
                }
                None => oldest(set, now),
            };
            if exchange(before.slot, before.value, student.slot_value(now)) {
                return Ok(before);
            }
        }
    }

    fn set_of(self, student: &Student) -> [Before<'a>; WAYS] {
        let first = HEAD + student.set * WAYS;
        std::array::from_fn(|way| {
            let slot = &self.words[first + way];
            let value = slot.load(Ordering::Acquire);
            Before { slot, value }
        })
    }

    fn find(self, student: &Student) -> Option<Before<'a>> {
        of_student(&self.set_of(student), student)
    }
}

fn of_student<'a>(set: &[Before<'a>; WAYS], student: &Student) -> Option<Before<'a>> {
    set.iter()
        .find(|one| one.value != 0 && one.value & COUNT_MASK == student.tag)
        .copied()
}

/// The slot to use for a student who has none: an empty one, one whose time was written
/// before the clock was set back, or the oldest.
fn oldest(set: [Before<'_>; WAYS], now: u64) -> Before<'_> {
    let age = |value: u64| match time_of(value) {
        time if time > now + SLACK_MS => u64::MAX,
        time => now.saturating_sub(time),
    };
    let [first, rest @ ..] = set;
    rest.into_iter().fold(first, |oldest, one| {
        if age(one.value) >= age(oldest.value) {
            one
        } else {
            oldest
        }
    })
}

/// A slot, and what it held.
#[derive(Clone, Copy)]
struct Before<'a> {
    slot: &'a AtomicU64,
    value: u64,
}

/// A student's place in the table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Student {
    set: usize,
    tag: u64,
}

impl Student {
    /// By the stored name.
    pub(super) fn of(name: &str) -> Self {
        let mut hash = [0; 8];
        hash.copy_from_slice(&Sha256::digest(name)[..8]);
        let hash = u64::from_be_bytes(hash);
        Self {
            set: (hash % SETS as u64) as usize,
            tag: (hash / SETS as u64) & COUNT_MASK,
        }
    }

    fn slot_value(self, time: u64) -> u64 {
        ((time & TIME_MASK) << COUNT_BITS) | self.tag
    }
}

/// The window under way, if another read fits into it.
fn left_of(word: u64, limits: Limits, now: u64) -> Result<(u64, u64), Wait> {
    let (start, count) = window_of(word, now);
    if count < limits.all {
        return Ok((start, count));
    }
    Err(Wait::All((start + WINDOW_MS).saturating_sub(now).max(1)))
}

/// Start of the window under way, which is `now` if none is, and the count in it.
fn window_of(word: u64, now: u64) -> (u64, u64) {
    let (start, count) = (time_of(word), word & COUNT_MASK);
    if start <= now + SLACK_MS && now < start + WINDOW_MS {
        (start, count)
    } else {
        (now & TIME_MASK, 0)
    }
}

fn student_left(value: u64, limits: Limits, now: u64) -> Result<(), Wait> {
    let last = time_of(value);
    let free_at = last + limits.student_ms;
    if last > now + SLACK_MS || free_at <= now {
        return Ok(());
    }
    Err(Wait::Student((free_at - now).min(limits.student_ms)))
}

fn time_of(value: u64) -> u64 {
    value >> COUNT_BITS
}

fn exchange(word: &AtomicU64, from: u64, to: u64) -> bool {
    word.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire)
        .is_ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    const LIMITS: Limits = Limits {
        all: 500,
        student_ms: 30_000,
    };
    const NOW: u64 = 1_795_401_874_497;

    fn words() -> [AtomicU64; WORDS] {
        std::array::from_fn(|_| AtomicU64::new(0))
    }

    fn counters(words: &[AtomicU64; WORDS]) -> Counters<'_> {
        Counters::new(words)
    }

    fn student(n: usize) -> Student {
        Student::of(&format!("student{n}@example.com"))
    }

    #[test]
    fn a_student_reads_once_in_30_seconds_and_waits_for_the_rest() {
        let words = words();
        let counters = counters(&words);
        let ann = Student::of("ann@example.com");
        assert_eq!(counters.last(&ann), None);
        assert_eq!(counters.admit(&ann, LIMITS, NOW), Ok(()));
        for (after, left) in [(0, 30_000), (1, 29_999), (29_999, 1)] {
            let refused = Err(Wait::Student(left));
            assert_eq!(counters.look(&ann, LIMITS, NOW + after), refused);
            assert_eq!(counters.admit(&ann, LIMITS, NOW + after), refused);
        }
        // What was refused counts nowhere.
        assert_eq!((counters.all(NOW), counters.last(&ann)), (1, Some(NOW)));
        assert_eq!(counters.admit(&student(1), LIMITS, NOW), Ok(()));
        assert_eq!(counters.admit(&ann, LIMITS, NOW + 30_000), Ok(()));
        assert_eq!(counters.last(&ann), Some(NOW + 30_000));
        counters.reset_student(&ann);
        assert_eq!(counters.last(&ann), None);
        assert_eq!(counters.admit(&ann, LIMITS, NOW + 30_001), Ok(()));
    }

    #[test]
    fn all_together_read_so_much_in_a_minute_from_the_first_on() {
        let words = words();
        let counters = counters(&words);
        for n in 0..500 {
            let at = NOW + n as u64;
            assert_eq!(counters.admit(&student(n), LIMITS, at), Ok(()), "{n}");
        }
        let refused = Err(Wait::All(59_500));
        assert_eq!(counters.all_left(LIMITS, NOW + 500), refused);
        assert_eq!(counters.admit(&student(500), LIMITS, NOW + 500), refused);
        assert_eq!(counters.last(&student(500)), None);
        assert_eq!(counters.all_left(LIMITS, NOW + 59_999), Err(Wait::All(1)));
        assert_eq!(
            (counters.all(NOW + 59_999), counters.all(NOW + 60_000)),
            (500, 0)
        );
        assert_eq!(counters.admit(&student(500), LIMITS, NOW + 60_000), Ok(()));
        assert_eq!(counters.all(NOW + 60_000), 1);
        counters.reset_all();
        assert_eq!(counters.all(NOW + 60_000), 0);
    }

    #[test]
    fn what_another_host_let_in_counts_here_too() {
        let words = words();
        let counters = counters(&words);
        counters.record(&student(1), NOW);
        assert_eq!(counters.all(NOW), 1);
        assert_eq!(
            counters.admit(&student(1), LIMITS, NOW + 10),
            Err(Wait::Student(29_990))
        );
        // Also past the limit.
        let full = Limits { all: 1, ..LIMITS };
        counters.record(&student(2), NOW);
        assert_eq!(counters.all_left(full, NOW), Err(Wait::All(60_000)));
        assert_eq!(counters.all(NOW), 2);
    }

    #[test]
    fn a_clock_that_goes_back_keeps_nobody_out() {
        let words = words();
        let counters = counters(&words);
        let one = Limits { all: 1, ..LIMITS };
        assert_eq!(counters.admit(&student(1), one, NOW), Ok(()));
        // A little: another process looked at the clock before, and counts later.
        assert_eq!(counters.all_left(one, NOW - 900), Err(Wait::All(60_900)));
        assert_eq!(
            counters.look(&student(1), LIMITS, NOW - 900),
            Err(Wait::Student(30_000))
        );
        // An hour: as if nobody had read.
        let before = NOW - 3_600_000;
        assert_eq!(counters.admit(&student(1), one, before), Ok(()));
        assert_eq!(counters.last(&student(1)), Some(before));
        assert_eq!(counters.all(before), 1);
    }

    #[test]
    fn a_full_set_forgets_whoever_waits_longest() {
        let words = words();
        let counters = counters(&words);
        let crowd: Vec<Student> = (0..)
            .map(student)
            .filter(|s| s.set == student(0).set)
            .take(WAYS + 1)
            .collect();
        for (n, one) in crowd.iter().enumerate() {
            assert_eq!(counters.admit(one, LIMITS, NOW + n as u64), Ok(()));
        }
        let later = NOW + 100;
        assert_eq!(counters.look(&crowd[0], LIMITS, later), Ok(()));
        for one in &crowd[1..] {
            assert!(counters.look(one, LIMITS, later).is_err());
        }
        // A time ahead of the clock is not the youngest.
        let back = NOW - 3_600_000;
        assert_eq!(counters.admit(&crowd[0], LIMITS, back), Ok(()));
        assert_eq!(counters.last(&crowd[0]), Some(back));
    }

    #[test]
    fn a_crowd_at_once_is_counted_exactly() {
        let words = words();
        let limits = Limits {
            all: 1000,
            ..LIMITS
        };
        let barrier = Barrier::new(8);
        let (mut admitted, mut of_one) = (0, 0);
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|thread| {
                    let (words, barrier) = (&words, &barrier);
                    scope.spawn(move || {
                        let counters = counters(words);
                        barrier.wait();
                        let one = counters.admit(&student(0), limits, NOW).is_ok();
                        let many = (1..=200)
                            .filter(|n| {
                                let student = student(thread * 1000 + n);
                                counters.admit(&student, limits, NOW).is_ok()
                            })
                            .count();
                        (one, many)
                    })
                })
                .collect();
            for thread in threads {
                let (one, many) = thread.join().unwrap();
                of_one += usize::from(one);
                admitted += many + usize::from(one);
            }
        });
        assert_eq!((of_one, admitted), (1, 1000));
        assert_eq!(counters(&words).all(NOW), 1000);
    }

    #[test]
    fn one_student_at_once_is_let_in_once() {
        // Often, as what goes wrong here goes wrong between two loads.
        for round in 0..2000 {
            let words = words();
            let barrier = Barrier::new(4);
            let admitted: usize = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..4)
                    .map(|_| {
                        let (words, barrier) = (&words, &barrier);
                        scope.spawn(move || {
                            barrier.wait();
                            counters(words).admit(&student(0), LIMITS, NOW).is_ok()
                        })
                    })
                    .collect();
                let each = threads.into_iter().map(|t| t.join().unwrap());
                each.filter(|ok| *ok).count()
            });
            assert_eq!(admitted, 1, "round {round}");
        }
    }

    #[test]
    fn a_time_fits_for_a_hundred_years() {
        let year_2100 = 4_102_444_800_000;
        let words = words();
        let counters = counters(&words);
        assert_eq!(counters.admit(&student(1), LIMITS, year_2100), Ok(()));
        assert_eq!(counters.last(&student(1)), Some(year_2100));
        assert_eq!(counters.all(year_2100), 1);
    }
}
