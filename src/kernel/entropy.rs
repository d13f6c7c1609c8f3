//! Randomness as an argument, so that every rule can be replayed.

/// A source of random bytes: the operating system's in the Worker, a seeded one in tests.
pub trait Entropy {
    /// Fills `bytes` with random data.
    fn fill(&mut self, bytes: &mut [u8]);

    /// An unbiased integer below `bound`; 0 when `bound` is 0.
    ///
    /// Source: rejection sampling, D. Lemire, "Fast random integer generation in an interval" (2019), section 3.
    fn below(&mut self, bound: u32) -> u32 {
        if bound == 0 {
            return 0;
        }
        let zone = u32::MAX - (u32::MAX % bound);
        loop {
            let mut bytes = [0_u8; 4];
            self.fill(&mut bytes);
            let value = u32::from_le_bytes(bytes);
            if value < zone {
                return value % bound;
            }
        }
    }
}

/// `N` random bytes.
pub fn random_bytes<const N: usize>(entropy: &mut dyn Entropy) -> [u8; N] {
    let mut bytes = [0_u8; N];
    entropy.fill(&mut bytes);
    bytes
}

/// A deterministic source for tests and simulations: SplitMix64. Never for secrets.
#[derive(Debug, Clone)]
pub struct SeededEntropy(u64);

impl SeededEntropy {
    /// A source that yields the same bytes for the same `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub const fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

impl Entropy for SeededEntropy {
    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let word = self.next_u64().to_le_bytes();
            for (to, from) in chunk.iter_mut().zip(word) {
                *to = from;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Entropy, SeededEntropy};

    #[test]
    fn below_stays_below_and_reaches_every_value() {
        let mut source = SeededEntropy::new(1);
        let mut seen = [0_u32; 7];
        for _ in 0..7_000 {
            seen[source.below(7) as usize] += 1;
        }
        assert!(seen.iter().all(|count| (800..1200).contains(count)), "{seen:?}");
        assert_eq!(source.below(0), 0);
    }
}
