//! What a season's partition is called: readable where possible, never relied on.

use std::collections::HashSet;

use sha2::{Digest, Sha256};

/// The season that rows get which have none, when no season is active.
pub(in crate::store) const DEFAULT_SEASON: &str = "SEASON-DEFAULT";
/// Longest identifier in MariaDB.
const MAX_CHARS: usize = 64;
/// Hexadecimal digits of the hash that tells two seasons of one name apart.
const HASH_DIGITS: usize = 8;

/// `SEASON-2026` becomes `p_season_2026`: `p_`, then the season in lower case with `_`
/// for anything but ASCII letters and digits, at most 64 characters. If that is taken
/// (`taken`: names in lower case), a hash of the season is appended.
pub(in crate::store) fn partition_name(season: &str, taken: &HashSet<String>) -> String {
    let name = if season == DEFAULT_SEASON {
        "p_default".to_owned()
    } else {
        let folded = season.chars().map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '_'
            }
        });
        "p_".chars().chain(folded).take(MAX_CHARS).collect()
    };
    if !taken.contains(&name) {
        return name;
    }
    let hash = hex::encode(Sha256::digest(season));
    let kept: String = name.chars().take(MAX_CHARS - 1 - HASH_DIGITS).collect();
    format!("{kept}_{}", &hash[..HASH_DIGITS])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_readable_bounded_and_distinct() {
        let mut taken = HashSet::new();
        assert_eq!(partition_name("SEASON-2026", &taken), "p_season_2026");
        assert_eq!(partition_name("SEASON-DEFAULT", &taken), "p_default");
        assert_eq!(partition_name("é'`😀", &taken), "p_____");
        assert_eq!(partition_name(&"x".repeat(140), &taken).len(), 64);

        taken.insert("p_a_b".to_owned());
        let (one, two) = (partition_name("A-B", &taken), partition_name("A/B", &taken));
        assert!(one.starts_with("p_a_b_") && two.starts_with("p_a_b_"));
        assert_ne!(one, two);
        taken.insert(partition_name(&"x".repeat(140), &taken));
        assert_eq!(partition_name(&"x".repeat(139), &taken).len(), 64);
    }
}
