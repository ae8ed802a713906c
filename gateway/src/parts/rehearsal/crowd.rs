//! The crowd of a rehearsal: who comes when, and for how many seats. The same crowd comes to each rehearsal of a size, so
//! that two of them can be compared. Never reads a clock.

use std::time::Duration;

use fastrand::Rng;

/// From which all draws follow.
const SEED: u64 = 0x6661_7265_7275_7368;
/// How large parties are, out of twenty: eight come alone, seven by two, three by three, two by four.
const PARTIES: [u16; 20] = [1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 4, 4];
/// How much they crowd towards the beginning: with 4, half of them come in the first 16 % of the time, and in the very
/// beginning four times as many a second as on the average.
const CROWDING: f64 = 4.0;

/// A customer who comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Arrival {
    /// Which one, from 0.
    pub(super) number: u32,
    /// When, from the start.
    pub(super) due: Duration,
    /// For how many seats.
    pub(super) party: u16,
}

/// Everybody who comes, one after the other.
#[derive(Debug)]
pub(super) struct Crowd {
    draws: Rng,
    next: u32,
    customers: u32,
    over: Duration,
    party_max: u16,
}

impl Crowd {
    /// So many customers within `over`; none asks for more seats than `party_max`, which is what one order may have.
    pub(super) fn new(customers: u32, over: Duration, party_max: u16) -> Self {
        Self { draws: Rng::with_seed(SEED), next: 0, customers, over, party_max: party_max.max(1) }
    }
}

impl Iterator for Crowd {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        let number = self.next;
        if number == self.customers {
            return None;
        }
        self.next += 1;
        // Each comes somewhere in their own share of the crowd, so that times rise without being sorted.
        let share = (f64::from(number) + self.draws.f64()) / f64::from(self.customers);
        let due = self.over.mul_f64(1.0 - (1.0 - share).max(0.0).powf(CROWDING.recip()));
        let party = PARTIES[self.draws.usize(..PARTIES.len())].min(self.party_max);
        Some(Arrival { number, due, party })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OVER: Duration = Duration::from_secs(10);

    #[test]
    fn everybody_comes_in_order_and_in_time_and_most_of_them_early() {
        let crowd: Vec<Arrival> = Crowd::new(1_000, OVER, 9).collect();
        assert_eq!(crowd.len(), 1_000);
        assert!(crowd.is_sorted_by_key(|arrival| arrival.due) && crowd[999].due <= OVER);
        let early = crowd.iter().filter(|arrival| arrival.due < OVER.mul_f64(0.16)).count();
        assert!((480..520).contains(&early), "{early}");
    }

    #[test]
    fn parties_are_of_one_to_four_and_of_no_more_than_an_order_may_have() {
        let crowd = || Crowd::new(1_000, OVER, 9).map(|arrival| arrival.party);
        for size in 1..=4 {
            assert!(crowd().filter(|party| *party == size).count() > 50, "{size}");
        }
        assert!(crowd().all(|party| (1..=4).contains(&party)));
        assert!(Crowd::new(100, OVER, 2).all(|arrival| arrival.party <= 2));
    }

    #[test]
    fn the_same_crowd_comes_again() {
        let crowd = || Crowd::new(50, OVER, 9).collect::<Vec<_>>();
        assert_eq!(crowd(), crowd());
    }
}
