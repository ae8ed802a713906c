//! Inputs for the properties without a fuzzer: valid ones, changed at a few places by chance.
//! Never judges anything.

use std::hash::{BuildHasher, RandomState};

/// SplitMix64: small, and good enough to wander about with.
pub(crate) struct Chance(u64);

impl Chance {
    /// From `FARERUSH_TEST_SEED`, or a new seed; printed, so that a failure can be replayed.
    pub(crate) fn of_this_run() -> Self {
        let given = std::env::var("FARERUSH_TEST_SEED").ok().and_then(|text| text.parse().ok());
        let seed = given.unwrap_or_else(|| RandomState::new().hash_one("seed"));
        println!("FARERUSH_TEST_SEED={seed}");
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to `end - 1`; 0 if there is nothing to choose from.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % (end as u64).max(1)).unwrap_or(0)
    }

    /// One of `corpus`, changed: up to four times something small, or a part of another one put in.
    pub(crate) fn mutated(&mut self, corpus: &[Vec<u8>], tokens: &[&[u8]]) -> Vec<u8> {
        let mut bytes = corpus[self.below(corpus.len())].clone();
        for _ in 0..self.below(5) {
            let place = self.below(bytes.len() + 1);
            let until = (place + 1 + self.below(8)).min(bytes.len());
            let other = &corpus[self.below(corpus.len())];
            match self.below(8) {
                0 if place < bytes.len() => bytes[place] ^= 1 << self.below(8),
                1 if place < bytes.len() => bytes[place] = self.next().to_le_bytes()[0],
                2 => drop(bytes.drain(place..until)),
                3 => bytes.truncate(place),
                4 => {
                    let copy = bytes[place..until].to_vec();
                    bytes.splice(place..place, copy);
                }
                5 => {
                    let from = self.below(other.len() + 1);
                    let part = other[from..(from + self.below(40)).min(other.len())].to_vec();
                    bytes.splice(place..until, part);
                }
                6 if place + 8 <= bytes.len() => {
                    let number = [0, 1, u64::MAX, i64::MAX as u64, 0xff_ffff, 251, 65_536][self.below(7)];
                    bytes[place..place + 8].copy_from_slice(&number.to_le_bytes());
                }
                _ => {
                    let token = tokens[self.below(tokens.len())].to_vec();
                    bytes.splice(place..until, token);
                }
            }
        }
        bytes
    }
}

/// How many inputs to try: `FARERUSH_TEST_CASES`, else so many that a second is enough.
pub(crate) fn cases(usually: usize) -> usize {
    std::env::var("FARERUSH_TEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(usually)
}
