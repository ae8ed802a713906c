//! Which rows of a cabin have how many free seats side by side, kept up to date seat by seat.
//! Never looks at a row that did not change, and never decides who sits where.

/// Longest run of seats in a row.
const RUN_MAX: usize = 16;

/// A set of rows for each length of run. Finding a row with a run of some length is one look at a bit mask and a
/// scan of at most 16 words, whatever is sold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RunIndex {
    words: usize,
    /// `words` words for each length from 1 to 16, a bit for each row.
    rows: Box<[u64]>,
    /// How many rows have a run of each length.
    counts: [u16; RUN_MAX + 1],
    /// Bit `n`: some row has a run of exactly `n`.
    present: u32,
}

/// Bit `n` is set if `free` has a maximal run of exactly `n` seats within one of the groups.
pub(crate) fn run_lengths(free: u16, groups: &[u16]) -> u32 {
    groups.iter().fold(0, |lengths, group| {
        let mut rest = u32::from(free & group);
        let mut found = lengths;
        while rest != 0 {
            rest >>= rest.trailing_zeros();
            let length = rest.trailing_ones();
            found |= 1 << length;
            rest >>= length;
        }
        found
    })
}

/// The first maximal run of exactly `length` seats in `free` within one group, as a mask.
pub(crate) fn find_run(free: u16, groups: &[u16], length: u32) -> Option<u16> {
    for group in groups {
        let mut rest = u32::from(free & group);
        let mut start = 0;
        while rest != 0 {
            let gap = rest.trailing_zeros();
            start += gap;
            rest >>= gap;
            let run = rest.trailing_ones();
            if run == length {
                return u16::try_from(((1_u32 << length) - 1) << start).ok();
            }
            start += run;
            rest >>= run;
        }
    }
    None
}

impl RunIndex {
    pub(crate) fn new(rows: usize) -> Self {
        let words = rows.div_ceil(64);
        Self {
            words,
            rows: vec![0; words * RUN_MAX].into_boxed_slice(),
            counts: [0; RUN_MAX + 1],
            present: 0,
        }
    }

    /// Row `row` had runs of the lengths `before` and has those of `after` now.
    pub(crate) fn update(&mut self, row: usize, before: u32, after: u32) {
        let mut changed = before ^ after;
        while changed != 0 {
            let length = changed.trailing_zeros() as usize;
            changed &= changed - 1;
            let word = &mut self.rows[(length - 1) * self.words + row / 64];
            if after & (1 << length) != 0 {
                *word |= 1 << (row % 64);
                self.counts[length] += 1;
                self.present |= 1 << length;
            } else {
                *word &= !(1 << (row % 64));
                self.counts[length] -= 1;
                if self.counts[length] == 0 {
                    self.present &= !(1 << length);
                }
            }
        }
    }

    /// Bit `n`: some row has a run of exactly `n`.
    pub(crate) fn present(&self) -> u32 {
        self.present
    }

    /// The row with a run of exactly `length` that is nearest to row `near` (the one in front, if two are).
    pub(crate) fn nearest(&self, length: u32, near: usize) -> Option<usize> {
        let words = &self.rows[(length as usize - 1) * self.words..][..self.words];
        let (word, bit) = (near / 64, near % 64);
        let behind = words
            .get(word)
            .map(|w| w & (!0 << bit))
            .into_iter()
            .chain(words.iter().skip(word + 1).copied())
            .enumerate()
            .find(|(_, w)| *w != 0)
            .map(|(offset, w)| (word + offset) * 64 + w.trailing_zeros() as usize);
        if near == 0 || behind == Some(near) {
            return behind;
        }
        let before = words
            .get(word)
            .map(|w| w & ((1 << bit) - 1))
            .into_iter()
            .chain(words[..word.min(words.len())].iter().rev().copied())
            .enumerate()
            .find(|(_, w)| *w != 0)
            .map(|(offset, w)| (word - offset) * 64 + 63 - w.leading_zeros() as usize);
        match (before, behind) {
            (Some(before), Some(behind)) if behind - near < near - before => Some(behind),
            (Some(before), _) => Some(before),
            (None, behind) => behind,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_stop_at_an_aisle_and_at_a_taken_seat() {
        let groups = [0b000_111, 0b111_000];
        assert_eq!(run_lengths(0b111_111, &groups), 1 << 3);
        assert_eq!(run_lengths(0b111_111, &[0b111_111]), 1 << 6);
        assert_eq!(run_lengths(0b101_110, &groups), 1 << 1 | 1 << 2);
        assert_eq!(run_lengths(0, &groups), 0);
        assert_eq!(run_lengths(u16::MAX, &[u16::MAX]), 1 << 16);
        assert_eq!(find_run(0b101_110, &groups, 2), Some(0b000_110));
        assert_eq!(find_run(0b101_110, &groups, 1), Some(0b001_000));
        assert_eq!(find_run(0b101_110, &groups, 3), None);
        assert_eq!(find_run(u16::MAX, &[u16::MAX], 16), Some(u16::MAX));
    }

    #[test]
    fn the_nearest_row_is_found_in_either_direction() {
        let mut index = RunIndex::new(200);
        for row in [3, 64, 130, 199] {
            index.update(row, 0, 1 << 2);
        }
        for (near, expected) in [
            (0, 3),
            (3, 3),
            (30, 3),
            (40, 64),
            (64, 64),
            (65, 64),
            (97, 64),
            (98, 130),
            (180, 199),
            (199, 199),
        ] {
            assert_eq!(index.nearest(2, near), Some(expected), "near {near}");
        }
        assert_eq!(index.nearest(3, 0), None);
        for row in [3, 64, 130, 199] {
            index.update(row, 1 << 2, 0);
        }
        assert_eq!(index, RunIndex::new(200));
    }
}
