//! The records of a spool file: a head, then of each its length, checksum and payload.

use sha2::{Digest, Sha256};

/// How a file of this format begins.
pub(super) const HEAD: &[u8] = b"memora-srs spool 1\n";
/// Bytes of a record at most: a submit of 50 answers has some 20,000.
const MAX_RECORD: usize = 1 << 20;
const LENGTH: usize = 4;
const CHECKSUM: usize = 8;

/// A payload as a record.
pub(super) fn record(payload: &[u8]) -> Vec<u8> {
    // A payload is far from four gigabytes; one that is not would be refused when read.
    let length = u32::try_from(payload.len())
        .unwrap_or(u32::MAX)
        .to_le_bytes();
    let mut record = Vec::with_capacity(LENGTH + CHECKSUM + payload.len());
    record.extend(length);
    record.extend(checksum(length, payload));
    record.extend(payload);
    record
}

/// Whether a payload fits into a record.
pub(super) fn fits(payload: &[u8]) -> bool {
    payload.len() <= MAX_RECORD
}

fn checksum(length: [u8; LENGTH], payload: &[u8]) -> [u8; CHECKSUM] {
    let mut hash = Sha256::new();
    hash.update(length);
    hash.update(payload);
    let hash = hash.finalize();
    let mut sum = [0; CHECKSUM];
    sum.copy_from_slice(&hash[..CHECKSUM]);
    sum
}

/// What a file holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Contents<'a> {
    /// Payloads of whole records.
    pub(super) payloads: Vec<&'a [u8]>,
    /// Whether a record in the middle is not what was written. An unfinished last one is
    /// no damage: nobody was told that it is there.
    pub(super) damaged: bool,
}

/// Reads a file; `None` if it is not of this format.
pub(super) fn read(bytes: &[u8]) -> Option<Contents<'_>> {
    let mut contents = Contents {
        payloads: Vec::new(),
        damaged: false,
    };
    let Some(mut rest) = bytes.strip_prefix(HEAD) else {
        // Its writer died over the head.
        return HEAD.starts_with(bytes).then_some(contents);
    };
    while rest.len() >= LENGTH + CHECKSUM {
        let (head, tail) = rest.split_at(LENGTH + CHECKSUM);
        let length: [u8; LENGTH] = head[..LENGTH].try_into().ok()?;
        let n = u32::from_le_bytes(length) as usize;
        if n > MAX_RECORD {
            contents.damaged = true;
            break;
        }
        if n > tail.len() {
            break;
        }
        let (payload, after) = tail.split_at(n);
        if checksum(length, payload) == head[LENGTH..] {
            contents.payloads.push(payload);
        } else {
            contents.damaged = true;
        }
        rest = after;
    }
    Some(contents)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Vec<u8> {
        [HEAD, &record(b"one"), &record(b""), &record(b"three")].concat()
    }

    #[test]
    fn records_come_back_in_order() {
        let file = file();
        let contents = read(&file).unwrap();
        assert_eq!(contents.payloads, [&b"one"[..], b"", b"three"]);
        assert!(!contents.damaged);
        assert_eq!(read(b"memora-srs spool 2\n"), None);
    }

    #[test]
    fn a_file_cut_anywhere_keeps_its_whole_records() {
        let file = file();
        let ends = [
            HEAD.len(),
            HEAD.len() + record(b"one").len(),
            HEAD.len() + record(b"one").len() + record(b"").len(),
            file.len(),
        ];
        for end in 0..=file.len() {
            let contents = read(&file[..end]).unwrap();
            let whole = ends.iter().skip(1).filter(|e| **e <= end).count();
            assert_eq!(contents.payloads.len(), whole, "{end}");
            assert!(!contents.damaged, "{end}");
        }
    }

    #[test]
    fn a_damaged_record_is_left_out_and_told() {
        for at in HEAD.len()..file().len() {
            let mut file = file();
            file[at] ^= 0x40;
            let contents = read(&file).unwrap();
            assert!(contents.payloads.len() < 3, "{at}");
            for payload in contents.payloads {
                assert!([&b"one"[..], b"", b"three"].contains(&payload), "{at}");
            }
        }
        let mut file = file();
        let payload = HEAD.len() + LENGTH + CHECKSUM;
        file[payload] ^= 1;
        let contents = read(&file).unwrap();
        assert_eq!((contents.payloads.len(), contents.damaged), (2, true));
    }
}
