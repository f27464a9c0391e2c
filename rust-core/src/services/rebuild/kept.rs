//! Whether Redis keeps what is filled: a FLUSHALL leaves no trace, and a Redis that is too
//! small evicts what was filled first.
//!
//! Of each page one schedule is its *witness*. Those of the first pages are remembered, and
//! some that lie evenly between all. One that is not complete any more says that others may
//! be gone: all students are gone through again, and what is missing is filled.

use crate::Result;
use crate::services::Site;
use crate::types::{Player, Season};

/// Witnesses of the first pages.
const FIRST: usize = 16;
/// Witnesses of all pages, at most.
const SPREAD: usize = 64;
/// Witnesses that a note names, for a run that goes on.
const NOTED: usize = 4;

/// See the module's documentation.
pub(super) struct Kept {
    first: Vec<Player>,
    spread: Vec<Player>,
    /// Every so many pages have a witness in `spread`.
    every: u64,
    pages: u64,
}

impl Kept {
    /// `noted`: what [`Kept::noted`] said in a run that this one goes on from.
    pub(super) fn new(noted: &[String]) -> Self {
        Self {
            first: noted.iter().map(Player::stored).collect(),
            spread: Vec::new(),
            every: 1,
            pages: 0,
        }
    }

    pub(super) fn add(&mut self, witness: Player) {
        if self.first.len() < FIRST {
            self.first.push(witness);
            return;
        }
        if self.pages.is_multiple_of(self.every) {
            self.spread.push(witness);
        }
        self.pages += 1;
        if self.spread.len() == SPREAD {
            let mut keep = false;
            self.spread.retain(|_| {
                keep = !keep;
                keep
            });
            self.every *= 2;
        }
    }

    pub(super) fn all(&self) -> Vec<Player> {
        self.first.iter().chain(&self.spread).cloned().collect()
    }

    pub(super) fn noted(&self) -> Vec<String> {
        let first = self.first.iter().take(NOTED);
        first.map(|player| player.as_str().to_owned()).collect()
    }
}

/// How many of these have no complete schedule. One round trip.
///
/// # Errors
/// `Unavailable` if Redis is away.
pub(super) async fn missing(site: &Site, season: &Season, players: &[Player]) -> Result<usize> {
    let players: Vec<&Player> = players.iter().collect();
    let complete = site.cache.are_complete(&players, season).await?;
    Ok(complete.iter().filter(|complete| !**complete).count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn witnesses_are_the_first_and_some_that_lie_evenly_between_all() {
        let mut kept = Kept::new(&["before".to_owned()]);
        for page in 0..10_000 {
            kept.add(Player::stored(format!("{page:05}")));
        }
        let all: Vec<String> = kept.all().iter().map(ToString::to_string).collect();
        assert_eq!(all[..3], ["before", "00000", "00001"]);
        assert!((FIRST + SPREAD / 2..FIRST + SPREAD).contains(&all.len()));
        let spread: Vec<u64> = all[FIRST..].iter().map(|n| n.parse().unwrap()).collect();
        let gaps = spread.windows(2).map(|pair| pair[1] - pair[0]);
        let gaps: Vec<u64> = gaps.collect();
        assert!(gaps.iter().all(|gap| *gap == gaps[0]), "{spread:?}");
        assert!(10_000 - spread[spread.len() - 1] <= gaps[0]);
        assert_eq!(kept.noted(), ["before", "00000", "00001", "00002"]);
    }
}
