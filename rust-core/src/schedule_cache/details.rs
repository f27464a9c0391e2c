//! The packed form of what an answer needs besides id and due time.
//!
//! One hash per student holds buckets of fixed-size records, because a field per question
//! would cost three times as much. A record is found by a fingerprint of the question's
//! id; it counts only if it also matches the member's due time, so a lost or foreign
//! record costs a refill, never a wrong answer. `scripts/prelude.lua` has the layout.

use std::collections::HashMap;

use crate::types::{QuestionId, QuestionState, Stability, UtcMicros, Version};

/// Bytes of one record.
pub(super) const RECORD: usize = 34;
/// Records that a bucket is made for: fewer cost more overhead, more cost Lua more time, which
/// looks at every byte of a bucket for one record of it.
const PER_BUCKET: usize = 12;
/// A new student's buckets, so that a season may grow to some hundred questions before a
/// refill deals the records anew.
const MIN_BUCKETS: usize = 16;
/// Above this many records in one bucket the student's details should be dealt anew: a season
/// grows by two thirds from one refill to the next.
pub(super) const OVERFULL: u64 = 32;
/// Number of a name that did not fit; its record is not believed.
const NO_ROOM: u16 = u16::MAX;

/// What names a question in the details: the first 8 bytes of its SHA-1, which Redis'
/// Lua can compute too.
pub(super) fn fingerprint(question: &str) -> [u8; 8] {
    let digest = sha1_smol::Sha1::from(question).digest().bytes();
    let mut out = [0; 8];
    out.copy_from_slice(&digest[..8]);
    out
}

/// The part of a record between fingerprint and names.
pub(super) fn pack(state: &QuestionState) -> [u8; 22] {
    let mut out = [0; 22];
    out[..4].copy_from_slice(&due_check(state.due));
    out[4..11].copy_from_slice(&state.version.0.clamp(0, (1 << 56) - 1).to_be_bytes()[1..]);
    let last = state.last_review.map_or(0, |t| t.0.clamp(0, (1 << 56) - 1));
    out[11..18].copy_from_slice(&last.to_be_bytes()[1..]);
    let stability = u32::try_from(state.stability.nanos().max(0)).unwrap_or(u32::MAX);
    out[18..22].copy_from_slice(&stability.to_be_bytes());
    out
}

/// The low 32 bits of the due time: enough to see that a record belongs to this score.
pub(super) fn due_check(due: UtcMicros) -> [u8; 4] {
    (due.0 as u32).to_be_bytes()
}

/// Numbers to names of subjects and topics, as a script returned them.
pub(super) struct Names(pub(super) Vec<(u16, String)>);

impl Names {
    /// So many names, each after its number, with zero bytes between; `None` if they are not
    /// as many: a name with a zero byte in it.
    pub(super) fn joined(text: &str, many: usize) -> Option<Self> {
        if many == 0 {
            return Some(Self(Vec::new()));
        }
        let mut parts = text.split('\0');
        let mut names = Vec::with_capacity(many);
        for _ in 0..many {
            names.push((parts.next()?.parse().ok()?, parts.next()?.to_owned()));
        }
        parts.next().is_none().then_some(Self(names))
    }

    fn get(&self, number: u16) -> Option<Option<String>> {
        match number {
            0 => Some(None),
            NO_ROOM => None,
            n => {
                let found = self.0.iter().find(|(known, _)| *known == n);
                found.map(|(_, name)| Some(name.clone()))
            }
        }
    }
}

/// The state that a record and its member's due time describe; `None` if the record is
/// not of this due time or cannot be read.
pub(super) fn unpack(
    question: &str,
    due: UtcMicros,
    record: &[u8],
    names: &Names,
) -> Option<QuestionState> {
    let record: &[u8; RECORD] = record.try_into().ok()?;
    if record[8..12] != due_check(due) {
        return None;
    }
    let seven = |at: usize| {
        let mut bytes = [0; 8];
        bytes[1..].copy_from_slice(&record[at..at + 7]);
        i64::from_be_bytes(bytes)
    };
    let two = |at: usize| u16::from_be_bytes([record[at], record[at + 1]]);
    let stability = u32::from_be_bytes([record[26], record[27], record[28], record[29]]);
    Some(QuestionState {
        question: QuestionId::stored(question),
        stability: Stability::from_nanos(i64::from(stability)),
        due,
        last_review: Some(seven(19)).filter(|&t| t > 0).map(UtcMicros),
        version: Version(seven(12)),
        subject: names.get(two(30))?,
        topic: names.get(two(32))?,
    })
}

/// The fields of a details hash for a whole schedule, for a fill with this token that
/// makes the sets of these subjects.
pub(crate) fn build(
    states: &[QuestionState],
    subjects: &[String],
    token: &str,
) -> Vec<(Vec<u8>, Vec<u8>)> {
    let buckets = states.len().div_ceil(PER_BUCKET).max(MIN_BUCKETS);
    let mut numbers: HashMap<&str, u16> = HashMap::new();
    let mut blobs = vec![Vec::new(); buckets];
    let mut taken = std::collections::HashSet::with_capacity(states.len());
    for state in states {
        let fingerprint = fingerprint(state.question.as_str());
        if !taken.insert(fingerprint) {
            // Two ids with one fingerprint: the second has no record and is looked up.
            continue;
        }
        let subject = number(&mut numbers, state.subject.as_deref());
        let topic = number(&mut numbers, state.topic.as_deref());
        let bucket = usize::from(u16::from_be_bytes([fingerprint[0], fingerprint[1]])) % buckets;
        let blob: &mut Vec<u8> = &mut blobs[bucket];
        blob.extend_from_slice(&fingerprint);
        blob.extend_from_slice(&pack(state));
        blob.extend_from_slice(&subject.to_be_bytes());
        blob.extend_from_slice(&topic.to_be_bytes());
    }
    let mut fields = vec![(b"m".to_vec(), format!("{token}:{buckets}").into_bytes())];
    fields.push((b"c".to_vec(), numbers.len().to_string().into_bytes()));
    if !subjects.is_empty() {
        fields.push((b"s".to_vec(), subjects.join("\0").into_bytes()));
    }
    for (name, n) in numbers {
        fields.push((format!("n{n}").into_bytes(), name.as_bytes().to_vec()));
        fields.push((format!("i{name}").into_bytes(), n.to_string().into_bytes()));
    }
    for (i, blob) in blobs
        .into_iter()
        .enumerate()
        .filter(|(_, blob)| !blob.is_empty())
    {
        fields.push((format!("b{i}").into_bytes(), blob));
    }
    fields
}

/// The subjects that [`build`] noted.
pub(super) fn subjects(noted: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(noted)
        .split('\0')
        .filter(|subject| !subject.is_empty())
        .map(str::to_owned)
        .collect()
}

/// The number of a name, given to it when first met.
fn number<'a>(numbers: &mut HashMap<&'a str, u16>, name: Option<&'a str>) -> u16 {
    let Some(name) = name else { return 0 };
    if let Some(&n) = numbers.get(name) {
        return n;
    }
    let next = u16::try_from(numbers.len() + 1).unwrap_or(NO_ROOM);
    if next != NO_ROOM {
        numbers.insert(name, next);
    }
    next
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(id: &str) -> QuestionState {
        QuestionState {
            question: QuestionId::stored(id),
            stability: Stability::from_f64(2.123_456_789),
            due: UtcMicros(1_768_816_800_123_456),
            last_review: Some(UtcMicros(1_768_816_700_000_001)),
            version: Version(1_768_816_700_000_002),
            subject: Some("Maths".into()),
            topic: None,
        }
    }

    #[test]
    fn a_record_comes_back_and_belongs_to_its_due_time() {
        let s = state("Q-1");
        let fields = build(std::slice::from_ref(&s), &[], "ab");
        let blob = &fields.iter().find(|(k, _)| k.starts_with(b"b")).unwrap().1;
        let names = Names(vec![(1, "Maths".to_owned())]);
        assert_eq!(unpack("Q-1", s.due, blob, &names), Some(s.clone()));
        assert_eq!(unpack("Q-1", s.due.plus_seconds(1), blob, &names), None);
        assert_eq!(unpack("Q-1", s.due, &blob[1..], &names), None);
        assert_eq!(
            unpack("Q-1", s.due, blob, &Names(Vec::new())),
            None,
            "unknown name"
        );
    }

    #[test]
    fn joined_names_are_as_many_as_they_say() {
        let names = Names::joined("1\0Maths\x002\0", 2).unwrap();
        assert_eq!(names.get(1), Some(Some("Maths".to_owned())));
        assert_eq!(names.get(2), Some(Some(String::new())));
        assert_eq!(names.get(0), Some(None));
        assert_eq!(names.get(3), None);
        assert!(Names::joined("", 0).is_some());
        // A zero byte within a name.
        assert!(Names::joined("1\0Ma\0ths", 1).is_none());
        assert!(Names::joined("1\0Maths", 2).is_none());
        assert!(Names::joined("x\0Maths", 1).is_none());
    }

    #[test]
    fn all_records_of_a_large_schedule_are_dealt() {
        let states: Vec<_> = (0..5000).map(|i| state(&format!("stage:{i}"))).collect();
        let fields = build(&states, &["Maths".into(), "Ü".into()], "ab");
        let bytes: usize = fields
            .iter()
            .filter(|(k, _)| k.starts_with(b"b"))
            .map(|(_, v)| v.len())
            .sum();
        assert_eq!(bytes, 5000 * RECORD);
        let noted = &fields.iter().find(|(k, _)| k == b"s").unwrap().1;
        assert_eq!(subjects(noted), ["Maths", "Ü"]);
        assert_eq!(
            fields[0].1,
            format!("ab:{}", 5000_usize.div_ceil(PER_BUCKET)).into_bytes()
        );
    }
}
