//! Random numbers, bytes, names and damage, from a seed that is printed. `FILOFS_SEED` repeats a
//! run.

use std::time::{SystemTime, UNIX_EPOCH};

/// Marsaglia's xorshift64*.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn from_environment() -> Random {
        let seed = std::env::var("FILOFS_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            now.map_or(1, |now| now.as_nanos() as u64) | 1
        });
        println!("FILOFS_SEED={seed}");
        Random(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 11) as usize % bound
    }

    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }

    /// Mostly a name; sometimes none.
    pub(crate) fn name(&mut self) -> Vec<u8> {
        let len = match self.below(8) {
            0 => self.below(300),
            1 => 255,
            _ => 1 + self.below(20),
        };
        let mut name: Vec<u8> = (0..len).map(|_| b'a' + self.below(26) as u8).collect();
        match self.below(20) {
            0 => name = b"..".to_vec(),
            1 => name = b".".to_vec(),
            2 => name.push(b'/'),
            3 => name = self.bytes(len),
            _ => {}
        }
        name
    }

    /// Damages a message in one to four places.
    pub(crate) fn damage(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len().max(1));
            match self.below(6) {
                0 => bytes.truncate(at),
                1 => bytes.insert(at.min(bytes.len()), self.next() as u8),
                2 => bytes.extend_from_slice(&self.next().to_ne_bytes()),
                3 => {
                    let number = [u32::MAX, 0, 1, 0x7fff_ffff, 0x8000_0000][self.below(5)];
                    if let Some(word) = bytes.get_mut(at..at + 4) {
                        word.copy_from_slice(&number.to_ne_bytes());
                    }
                }
                _ => {
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte ^= 1 << self.below(8);
                    }
                }
            }
        }
    }
}
