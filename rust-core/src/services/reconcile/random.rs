//! Random numbers for samples: quick, and the same again for the same seed (`SplitMix64`).

use crate::types::UtcMicros;

/// See the module's documentation.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: Option<u64>) -> Self {
        Self(seed.unwrap_or_else(|| {
            let mut bytes = [0; 8];
            match getrandom::fill(&mut bytes) {
                Ok(()) => u64::from_ne_bytes(bytes),
                Err(_) => UtcMicros::now().0.unsigned_abs(),
            }
        }))
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to below `end`; 0 if that is 0.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        // Its bias is one part in 2^64/end.
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u64
    }

    /// From 0 to below 1.
    pub(super) fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            let j = self.below(i as u64 + 1) as usize;
            items.swap(i, j);
        }
    }

    /// `count` different numbers below `end`, all if there are no more (Floyd's way).
    pub(super) fn different(&mut self, count: u64, end: u64) -> Vec<u64> {
        let count = count.min(end);
        let mut found = std::collections::HashSet::new();
        for last in end - count..end {
            let pick = self.below(last + 1);
            if !found.insert(pick) {
                found.insert(last);
            }
        }
        let mut found: Vec<u64> = found.into_iter().collect();
        found.sort_unstable();
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_again_and_each_number_its_chance() {
        let draw = |seed| Random::new(Some(seed)).different(10, 1000);
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert_eq!(draw(3).len(), 10);
        assert_eq!(Random::new(None).different(7, 5), [0, 1, 2, 3, 4]);

        let mut random = Random::new(Some(7));
        let mut hits = [0_u32; 10];
        for _ in 0..10_000 {
            for n in random.different(3, 10) {
                hits[n as usize] += 1;
            }
        }
        // 3000 expected, standard deviation 46.
        assert!(hits.iter().all(|n| (2800..3200).contains(n)), "{hits:?}");
        assert!((0..1000).all(|_| (0.0..1.0).contains(&random.fraction())));
    }
}
