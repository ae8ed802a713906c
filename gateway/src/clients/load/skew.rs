//! Which flight is asked for: evenly, or as Zipf has it, the first one most.
//! Never knows what a flight is.

/// Weights of so many places, by rank.
#[derive(Debug, Clone)]
pub struct Skew {
    places: usize,
    /// Share of the places up to and including this one; empty if all are alike.
    up_to: Vec<f64>,
}

impl Skew {
    /// Place `k` (from 1) is chosen in proportion to `1 / k^exponent`.
    pub fn new(places: usize, exponent: f64) -> Self {
        if exponent == 0.0 || places < 2 {
            return Self { places, up_to: Vec::new() };
        }
        let mut sum = 0.0;
        let mut rank = 0.0_f64;
        let mut up_to: Vec<f64> = (0..places)
            .map(|_| {
                rank += 1.0;
                sum += rank.powf(-exponent);
                sum
            })
            .collect();
        up_to.iter_mut().for_each(|share| *share /= sum);
        Self { places, up_to }
    }

    /// A place from 0.
    pub fn pick(&self, random: &mut fastrand::Rng) -> usize {
        if self.up_to.is_empty() {
            return random.usize(..self.places.max(1));
        }
        let at = random.f64();
        self.up_to.partition_point(|share| *share <= at).min(self.places - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(exponent: f64) -> Vec<u32> {
        let skew = Skew::new(10, exponent);
        let mut random = fastrand::Rng::with_seed(7);
        let mut counts = vec![0; 10];
        (0..100_000).for_each(|_| counts[skew.pick(&mut random)] += 1);
        counts
    }

    #[test]
    fn without_an_exponent_all_places_are_alike() {
        for count in counts(0.0) {
            assert!((9_500..10_500).contains(&count), "{count}");
        }
    }

    #[test]
    fn with_exponent_1_the_first_place_has_twice_the_share_of_the_second() {
        let counts = counts(1.0);
        // The tenth harmonic number is 2.929.
        let expected = [34_142, 17_071, 11_381, 8_535, 6_828, 5_690, 4_877, 4_268, 3_794, 3_414];
        for (count, expected) in counts.iter().zip(expected) {
            assert!(count.abs_diff(expected) < 600, "{counts:?}");
        }
    }

    #[test]
    fn one_place_is_always_chosen() {
        let mut random = fastrand::Rng::with_seed(1);
        assert_eq!(Skew::new(1, 1.2).pick(&mut random), 0);
    }
}
