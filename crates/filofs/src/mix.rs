//! `Mix`: a hash for numbers.

use std::hash::{BuildHasher, Hasher, RandomState};

/// Hashes a number by one multiplication with secrets of its own: whoever chooses the numbers, a
/// file server in another process maybe, cannot have them meet in one place.
#[derive(Clone, Debug)]
pub struct Mix {
    secret: u64,
    factor: u64,
}

impl Default for Mix {
    fn default() -> Self {
        // Random: that is what it is for.
        let random = RandomState::new();
        Mix { secret: random.hash_one(0), factor: random.hash_one(1) | 1 }
    }
}

impl Mix {
    /// The hash of a number.
    #[inline]
    pub const fn of(&self, number: u64) -> u64 {
        let product = (number ^ self.secret) as u128 * self.factor as u128;
        product as u64 ^ (product >> 64) as u64
    }
}

impl BuildHasher for Mix {
    type Hasher = Mixed;

    #[inline]
    fn build_hasher(&self) -> Mixed {
        Mixed { mix: self.clone(), hash: 0 }
    }
}

/// A hash under way.
#[derive(Debug)]
pub struct Mixed {
    mix: Mix,
    hash: u64,
}

impl Hasher for Mixed {
    #[inline]
    fn finish(&self) -> u64 {
        self.hash
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    #[inline]
    fn write_u64(&mut self, number: u64) {
        self.hash = self.mix.of(self.hash ^ number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn numbers_that_look_alike_are_spread() {
        let mix = Mix::default();
        for step in [1u64, 2, 64, 4096, 1 << 32, 1 << 57] {
            let numbers = (0..100u64).map(|n| n.wrapping_mul(step));
            let distinct: HashSet<u64> = numbers.clone().collect();
            // As the map and the shards see them: low bits, and the highest.
            let low: HashSet<u64> = numbers.clone().map(|n| mix.of(n) % 1024).collect();
            let high: HashSet<u64> = numbers.map(|n| mix.of(n) >> 54).collect();
            let most = distinct.len() / 2;
            assert!(low.len() > most && high.len() > most, "{step}: {mix:?}");
        }
    }

    #[test]
    fn no_two_are_the_same() {
        let other = Mix::default();
        assert_ne!(Mix::default().of(7), other.of(7));
        assert_eq!(other.of(7), other.hash_one(7u64));
    }
}
