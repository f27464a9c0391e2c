//! Every Redis key of a schedule, and its times to live, in one place.

use crate::types::{Player, Season};

/// How long a schedule lives, from its creation on: 30 days, in milliseconds.
pub(super) const SCHEDULE_TTL_MS: u64 = 30 * 24 * 3600 * 1000;
/// How long a fill may be silent before another may start: each chunk renews it.
pub(super) const LEASE_TTL_MS: u64 = 10_000;

/// The keys of one student's season. The companions' hash tag is the schedule's key, so
/// that in a cluster all of them live in one slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    /// The sorted set that readers and tools know: `<prefix>srs:<user>:<season>`.
    pub schedule: String,
}

impl Keys {
    /// The keys of this student and season under `prefix` (`srs_key_prefix`).
    ///
    /// `%`, `:`, `{` and `}` of the user and `%`, `{` and `}` of the season are
    /// percent-encoded, so that no two pairs share a key; ordinary names stay as they are.
    pub fn new(prefix: &str, player: &Player, season: &Season) -> Self {
        Self {
            schedule: format!(
                "{prefix}srs:{}:{}",
                encode(player.as_str(), "%:{}"),
                encode(season.as_str(), "%{}")
            ),
        }
    }

    /// The keys that a key of this prefix is one of, the schedule itself or a companion;
    /// `None` for a key of anybody else's.
    pub(super) fn of(prefix: &str, key: &str) -> Option<Self> {
        let schedule = match key.strip_prefix('{') {
            Some(companion) => companion.split_once("}:")?.0,
            None => key,
        };
        let keys = Self {
            schedule: schedule.to_owned(),
        };
        keys.encoded_season(prefix).is_some().then_some(keys)
    }

    /// Whether these are of `season`.
    pub(super) fn is_of(&self, prefix: &str, season: &Season) -> bool {
        self.encoded_season(prefix) == Some(&encode(season.as_str(), "%{}"))
    }

    /// The season that these are of.
    pub(super) fn season(&self, prefix: &str) -> Option<String> {
        let season = self.encoded_season(prefix)?;
        let decoded = percent_encoding::percent_decode_str(season).decode_utf8();
        Some(decoded.ok()?.into_owned())
    }

    /// The user's part holds no colon, so that what follows the next one is the season.
    fn encoded_season(&self, prefix: &str) -> Option<&str> {
        let both = self.schedule.strip_prefix(prefix)?.strip_prefix("srs:")?;
        let (user, season) = both.split_once(':')?;
        let is_plain = |part: &str| !part.is_empty() && !part.contains(['{', '}']);
        (is_plain(user) && is_plain(season)).then_some(season)
    }

    /// A glob for SCAN that lets through at least every key of `season`.
    pub(super) fn pattern(prefix: &str, season: &Season) -> String {
        let mut pattern = format!("*{prefix}srs:*:");
        for c in encode(season.as_str(), "%{}").chars() {
            if matches!(c, '*' | '?' | '[' | ']' | '\\') {
                pattern.push('\\');
            }
            pattern.push(c);
        }
        pattern + "*"
    }

    /// Whose schedule a key holds; `None` for a key that [`Keys::new`] does not make.
    pub fn owner(&self, prefix: &str) -> Option<(Player, Season)> {
        let names = self.schedule.strip_prefix(prefix)?.strip_prefix("srs:")?;
        let (player, season) = names.split_once(':')?;
        let owner = (
            Player::stored(decode(player)?),
            Season::stored(decode(season)?),
        );
        (Self::new(prefix, &owner.0, &owner.1) == *self).then_some(owner)
    }

    /// Stability, subject, topic, last review and version of each question.
    pub fn details(&self) -> String {
        self.companion("d")
    }

    /// Who fills the schedule now.
    pub fn lease(&self) -> String {
        self.companion("lease")
    }

    /// The schedule under construction.
    pub fn staged_schedule(&self) -> String {
        self.companion("stage")
    }

    /// The details under construction.
    pub fn staged_details(&self) -> String {
        self.companion("stage:d")
    }

    /// The schedules of single subjects, without the hash of the subject.
    pub fn subject_prefix(&self) -> String {
        self.companion("s:")
    }

    /// The schedule of one subject.
    pub fn subject(&self, subject: &str) -> String {
        self.subject_prefix() + &subject_hash(subject)
    }

    /// The schedule of one subject under construction.
    pub fn staged_subject(&self, subject: &str) -> String {
        self.companion("stage:s:") + &subject_hash(subject)
    }

    fn companion(&self, suffix: &str) -> String {
        format!("{{{}}}:{suffix}", self.schedule)
    }
}

/// The scripts compute the same from a subject's name.
fn subject_hash(subject: &str) -> String {
    let mut hex = sha1_smol::Sha1::from(subject).digest().to_string();
    hex.truncate(16);
    hex
}

fn encode(name: &str, reserved: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        if reserved.contains(c) {
            out.push_str(&format!("%{:02X}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    out
}

/// What [`encode`] made of a name; `None` for what it makes of none.
fn decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digits = [bytes.next()?, bytes.next()?];
            let digits = std::str::from_utf8(&digits).ok()?;
            out.push(u8::from_str_radix(digits, 16).ok()?);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(prefix: &str, player: &str, season: &str) -> String {
        Keys::new(prefix, &Player::stored(player), &Season::stored(season)).schedule
    }

    #[test]
    fn ordinary_names_stay_as_they_are() {
        assert_eq!(
            key("", "ann@example.com", "SEASON-2026"),
            "srs:ann@example.com:SEASON-2026"
        );
        assert_eq!(key("b.", "Zoë", "S ü"), "b.srs:Zoë:S ü");
    }

    #[test]
    fn no_two_pairs_share_a_key() {
        let pairs = [
            ("a:b", "c"),
            ("a", "b:c"),
            ("a%3Ab", "c"),
            ("a", "b%3Ac"),
            ("{a}", "b"),
            ("a", "{b}"),
        ];
        let keys: std::collections::HashSet<_> = pairs.iter().map(|(p, s)| key("", p, s)).collect();
        assert_eq!(keys.len(), pairs.len());
    }

    #[test]
    fn a_key_says_of_whom_it_is() {
        let (ann, season) = (Player::stored("a:b%{x}"), Season::stored("A:X {5}% *[?]"));
        let keys = Keys::new("p.", &ann, &season);
        for key in [
            &keys.schedule,
            &keys.details(),
            &keys.lease(),
            &keys.subject("Maths"),
            &keys.staged_subject("Maths"),
        ] {
            assert_eq!(Keys::of("p.", key).as_ref(), Some(&keys), "{key}");
            assert_eq!(Keys::of("", key), None, "{key}");
            assert_eq!(Keys::of("q.", key), None, "{key}");
        }
        assert!(keys.is_of("p.", &season));
        assert!(!keys.is_of("p.", &Season::stored("X {5}% *[?]")));
        assert_eq!(keys.season("p.").as_deref(), Some(season.as_str()));
        for other in [
            "srs:",
            "srs:a",
            "srs:a:",
            "srs::S",
            "{srs:a:S}",
            "x",
            "{srs:a:S",
            "srs:{a}:S",
        ] {
            assert_eq!(Keys::of("", other), None, "{other}");
        }
    }

    #[test]
    fn a_key_tells_whose_it_is() {
        for (player, season) in [
            ("ann@example.com", "SEASON-2026"),
            ("a%:{b}", "c:%{d}"),
            ("Zoë", "S ü"),
        ] {
            let owner = (Player::stored(player), Season::stored(season));
            let keys = Keys::new("b.", &owner.0, &owner.1);
            assert_eq!(keys.owner("b."), Some(owner));
            assert_eq!(keys.owner("c."), None);
        }
        for other in [
            "b.srs:a",
            "b.srs:a%:b",
            "b.srs:a%41:b",
            "b.srs:a:b{c",
            "{b.srs:a:b}:d",
        ] {
            let keys = Keys {
                schedule: other.to_owned(),
            };
            assert_eq!(keys.owner("b."), None, "{other}");
        }
    }

    #[test]
    fn companions_carry_the_schedule_as_their_only_hash_tag() {
        let keys = Keys::new("", &Player::stored("a{b}"), &Season::stored("S}"));
        assert_eq!(keys.schedule, "srs:a%7Bb%7D:S%7D");
        assert_eq!(keys.lease(), "{srs:a%7Bb%7D:S%7D}:lease");
        assert_eq!(
            keys.subject("Maths"),
            format!("{}{}", keys.subject_prefix(), subject_hash("Maths"))
        );
    }
}
