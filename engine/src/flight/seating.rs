//! Which seats a party gets when it names none: cheapest first, side by side if it wishes so, and leaving few
//! single seats behind. Never changes the map.

use std::borrow::Cow;

use super::cabin::{CabinClass, Seats};
use super::command::Together;
use super::refusal::Refusal;
use super::run_index::{RunIndex, find_run, run_lengths};
use super::seat_map::{CabinSeats, SeatMap};

/// Some seats of one row of a cabin.
struct SeatsOfRow {
    slot: usize,
    mask: u16,
}

/// Chooses `quantity` (at least 1) free seats.
///
/// Cabins of one fare are tried together, cheaper ones first; a party is spread over different fares only where no
/// fare has enough seats for all of it, and only if it need not sit together.
pub fn choose(
    map: &SeatMap,
    quantity: u16,
    together: Together,
    class: Option<CabinClass>,
) -> Result<Seats, Refusal> {
    let available = class.map_or(map.free(), |class| map.free_in(class));
    if available == 0 {
        return Err(Refusal::SoldOut);
    }
    if available < u32::from(quantity) {
        return Err(Refusal::NotEnoughSeats { available });
    }
    let mut cabins: smallvec::SmallVec<[&CabinSeats; 8]> = smallvec::SmallVec::new();
    cabins.extend(
        map.cabins_by_fare().filter(|c| c.free > 0 && class.is_none_or(|class| c.cabin.cabin_class == class)),
    );
    for tier in cabins.chunk_by(|a, b| a.cabin.fare.amount == b.cabin.fare.amount) {
        let free: u32 = tier.iter().map(|cabin| cabin.free).sum();
        if free < u32::from(quantity) {
            continue;
        }
        if (together != Together::Any || quantity == 1)
            && let Some(seats) = side_by_side(tier, quantity, together)
        {
            return Ok(seats);
        }
        if together != Together::Required {
            return Ok(spread(tier, quantity, together));
        }
    }
    if together == Together::Required {
        return Err(Refusal::NotTogether);
    }
    Ok(spread(&cabins, quantity, together))
}

/// Chooses `quantity` (at least 1) free seats of one class at one fare (minor units); `None` where there are too few.
pub(super) fn choose_at_fare(
    map: &SeatMap,
    quantity: u16,
    together: Together,
    class: CabinClass,
    fare: i64,
) -> Option<Seats> {
    let is_meant =
        |c: &&CabinSeats| c.free > 0 && c.cabin.cabin_class == class && c.cabin.fare.amount == fare;
    let cabins: smallvec::SmallVec<[&CabinSeats; 8]> = map.cabins_by_fare().filter(is_meant).collect();
    if cabins.iter().map(|cabin| cabin.free).sum::<u32>() < u32::from(quantity) {
        return None;
    }
    side_by_side(&cabins, quantity, together).or_else(|| Some(spread(&cabins, quantity, together)))
}

/// The party in one row: within a group of seats if any cabin can, else across an aisle, unless it must sit together:
/// people with an aisle between them do not sit side by side.
fn side_by_side(cabins: &[&CabinSeats], quantity: u16, together: Together) -> Option<Seats> {
    let length = u32::from(quantity);
    if length > 16 {
        return None;
    }
    for cabin in cabins {
        if let Some(piece) = best_run(cabin, length, 0) {
            return Some(seats_of(cabin, &piece).collect());
        }
    }
    if together == Together::Required {
        return None;
    }
    for cabin in cabins {
        if let Some(piece) = best_across(cabin, length) {
            return Some(seats_of(cabin, &piece).collect());
        }
    }
    None
}

/// The best length of run to take `length` seats from: one that fits exactly, else the shortest that leaves two
/// or more beside, else one that leaves a single seat.
fn best_length(index: &RunIndex, length: u32) -> Option<u32> {
    let fitting = index.present() & (!0_u32 << length);
    if fitting & (1 << length) != 0 {
        return Some(length);
    }
    let roomy = fitting & (!0_u32 << (length + 2));
    let best = if roomy != 0 { roomy } else { fitting };
    (best != 0).then(|| best.trailing_zeros())
}

/// `length` neighbours between aisles, in the best row nearest to `near`.
fn best_run(cabin: &CabinSeats, length: u32, near: usize) -> Option<SeatsOfRow> {
    let run = best_length(&cabin.within, length)?;
    let slot = cabin.within.nearest(run, near)?;
    let found = find_run(cabin.rows[slot].free, cabin.cabin.layout.groups(), run)?;
    // A maximal run begins at an aisle, a wall or a taken seat: from there nothing is left on that side.
    let first = found.trailing_zeros();
    Some(SeatsOfRow { slot, mask: mask(length, first) })
}

/// `length` neighbours with aisles between them, where as few single seats as possible are left.
fn best_across(cabin: &CabinSeats, length: u32) -> Option<SeatsOfRow> {
    let run = best_length(&cabin.across, length)?;
    let slot = cabin.across.nearest(run, 0)?;
    let free = cabin.rows[slot].free;
    let groups = cabin.cabin.layout.groups();
    (0..=16 - length)
        .map(|first| mask(length, first))
        .filter(|&mask| mask & free == mask)
        .min_by_key(|&mask| {
            let aisles = groups.iter().filter(|group| *group & mask != 0).count();
            (aisles, singles(free & !mask, groups))
        })
        .map(|mask| SeatsOfRow { slot, mask })
}

fn mask(length: u32, first: u32) -> u16 {
    #[expect(clippy::cast_possible_truncation, reason = "length + first is at most 16")]
    let mask = (((1_u32 << length) - 1) << first) as u16;
    mask
}

/// How many free seats have no free neighbour on their side of the aisle.
fn singles(free: u16, groups: &[u16]) -> usize {
    groups
        .iter()
        .map(|group| {
            let group = u32::from(free & group);
            (group & !(group << 1) & !(group >> 1)).count_ones() as usize
        })
        .sum()
}

/// The party in pieces: for `Any` the smallest gaps first, which keeps long runs for others; else the longest
/// runs, near to each other.
fn spread(cabins: &[&CabinSeats], quantity: u16, together: Together) -> Seats {
    let mut seats = Seats::new();
    let mut left = u32::from(quantity);
    for cabin in cabins {
        let mut rest = Cow::Borrowed(*cabin);
        let mut near = 0;
        while left > 0
            && let Some(piece) = next_piece(&rest, left, near, together)
        {
            seats.extend(seats_of(&rest, &piece));
            left -= piece.mask.count_ones();
            near = piece.slot;
            let free = rest.rows[piece.slot].free & !piece.mask;
            rest.to_mut().set_free(piece.slot, free);
        }
    }
    seats
}

fn next_piece(cabin: &CabinSeats, left: u32, near: usize, together: Together) -> Option<SeatsOfRow> {
    let present = cabin.within.present();
    if present == 0 {
        return None;
    }
    let (shortest, longest) = (present.trailing_zeros(), present.ilog2());
    let length = match together {
        Together::Any if shortest < left => shortest,
        _ => longest.min(left),
    };
    best_run(cabin, length, near)
}

fn seats_of<'a>(cabin: &'a CabinSeats, piece: &SeatsOfRow) -> impl Iterator<Item = super::cabin::Seat> + 'a {
    let (slot, mask) = (piece.slot, piece.mask);
    (0..16).filter(move |position| mask & (1 << position) != 0).filter_map(move |p| cabin.seat(slot, p))
}

/// Whether these seats are neighbours in one row, aisles not counting: for tests and checks.
pub fn are_side_by_side(map: &SeatMap, seats: &Seats) -> bool {
    let Some(first) = seats.first() else { return true };
    let Some(cabin) = map.cabin_of(*first) else { return false };
    let mut taken = 0_u16;
    for seat in seats {
        match cabin.layout.position(seat.letter()) {
            Some(position) if seat.row() == first.row() => taken |= 1 << position,
            _ => return false,
        }
    }
    let length = taken.count_ones();
    length as usize == seats.len() && run_lengths(taken, cabin.layout.groups()) == 1 << length
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flight::cabin::{Cabin, Currency, Fare, Layout};
    use crate::flight::seat_map::SeatStatus;

    fn cabin(class: CabinClass, first_row: u16, last_row: u16, layout: &str, amount: i64) -> Cabin {
        let fare = Fare { amount, currency: Currency::new("EUR").unwrap() };
        Cabin { cabin_class: class, first_row, last_row, layout: Layout::new(layout).unwrap(), fare }
    }

    fn seats(text: &str) -> Seats {
        text.split_whitespace().map(|seat| seat.parse().unwrap()).collect()
    }

    /// A map of one economy cabin in which only the named seats are free (all, if none is named).
    fn map(rows: u16, layout: &str, free: &str) -> SeatMap {
        let mut map = SeatMap::new(&[cabin(CabinClass::Economy, 1, rows, layout, 100)]);
        if !free.is_empty() {
            let free = seats(free);
            let taken: Seats =
                map.seats_with(SeatStatus::Free).into_iter().filter(|s| !free.contains(s)).collect();
            assert!(map.change(&taken, SeatStatus::Free, SeatStatus::Sold));
        }
        map
    }

    fn check(map: &SeatMap, quantity: u16, together: Together, expected: &str) {
        let chosen = match choose(map, quantity, together, None) {
            Ok(chosen) => chosen.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
            Err(refusal) => format!("{refusal:?}"),
        };
        assert_eq!(chosen, expected, "{quantity} {together:?}");
    }

    #[test]
    fn a_party_sits_in_one_row_and_on_one_side_of_the_aisle() {
        let fresh = map(10, "ABC DEF", "");
        check(&fresh, 1, Together::Preferred, "1A");
        check(&fresh, 3, Together::Preferred, "1A 1B 1C");
        check(&fresh, 2, Together::Required, "1A 1B");
        check(&fresh, 3, Together::Required, "1A 1B 1C");
        check(&fresh, 4, Together::Required, "NotTogether");
        check(&fresh, 6, Together::Preferred, "1A 1B 1C 1D 1E 1F");
    }

    #[test]
    fn an_exact_gap_is_filled_before_a_longer_one_is_cut() {
        let gaps = map(10, "ABC DEF", "1A 1B 1C 2D 2E 3F 4A 4B 4C 4D 4E 4F");
        check(&gaps, 1, Together::Preferred, "3F");
        check(&gaps, 2, Together::Preferred, "2D 2E");
        check(&gaps, 3, Together::Preferred, "1A 1B 1C");
    }

    #[test]
    fn a_cut_leaves_two_seats_rather_than_one() {
        check(&map(2, "ABC DEFG", "1A 1B 1C 2D 2E 2F 2G"), 2, Together::Preferred, "2D 2E");
        check(&map(2, "ABC DEF", "1A 1B 2D 2E 2F"), 1, Together::Preferred, "2D");
    }

    #[test]
    fn four_across_the_aisle_leave_a_pair_and_no_single_seat() {
        check(&map(3, "ABC DEF", ""), 4, Together::Preferred, "1A 1B 1C 1D");
        check(&map(3, "AB DEF", "2A 2B 2D 2E 2F"), 4, Together::Preferred, "2A 2B 2D 2E");
        check(&map(3, "A DEFG", "2A 2D 2E 2F 2G"), 5, Together::Preferred, "2A 2D 2E 2F 2G");
    }

    #[test]
    fn across_the_aisle_only_where_there_is_no_choice_and_never_for_those_who_must_sit_together() {
        check(&map(3, "ABC DEF", "1C 1D 2C 2D 3E 3F"), 2, Together::Preferred, "3E 3F");
        check(&map(3, "ABC DEF", "1C 1D 2C 2D 3E 3F"), 2, Together::Required, "3E 3F");
        check(&map(3, "ABC DEF", "1C 1D 2B"), 2, Together::Preferred, "1C 1D");
        check(&map(3, "ABC DEF", "1C 1D 2B"), 2, Together::Required, "NotTogether");
    }

    #[test]
    fn those_who_prefer_to_sit_together_are_spread_when_they_must() {
        let gaps = map(9, "ABC DEF", "1A 4C 4D 9E 9F");
        check(&gaps, 3, Together::Required, "NotTogether");
        check(&gaps, 3, Together::Preferred, "9E 9F 4C");
        check(&map(3, "AB", ""), 5, Together::Preferred, "1A 1B 2A 2B 3A");
    }

    #[test]
    fn those_who_do_not_mind_fill_the_gaps() {
        let gaps = map(9, "ABC DEF", "1A 1B 1C 2A 3F 5A 5B");
        check(&gaps, 2, Together::Any, "2A 3F");
        check(&gaps, 4, Together::Any, "2A 3F 5A 5B");
        check(&gaps, 1, Together::Any, "2A");
    }

    #[test]
    fn cheap_seats_go_first_and_a_party_is_not_split_over_fares_without_need() {
        use CabinClass::{Business, Economy};
        let mut map =
            SeatMap::new(&[cabin(Business, 1, 2, "AC DF", 900), cabin(Economy, 10, 10, "ABC DEF", 100)]);
        check(&map, 2, Together::Preferred, "10A 10B");
        map.change(&seats("10A 10B 10C 10D 10E"), SeatStatus::Free, SeatStatus::Sold);
        check(&map, 1, Together::Preferred, "10F");
        check(&map, 2, Together::Preferred, "1A 1C");
        check(&map, 9, Together::Preferred, "10F 1A 1C 1D 1F 2A 2C 2D 2F");
        check(&map, 10, Together::Preferred, "NotEnoughSeats { available: 9 }");
        assert_eq!(
            choose(&map, 2, Together::Any, Some(Economy)),
            Err(Refusal::NotEnoughSeats { available: 1 })
        );
    }

    #[test]
    fn nothing_left_is_sold_out() {
        let mut map = map(1, "AB", "");
        map.change(&seats("1A 1B"), SeatStatus::Free, SeatStatus::Held);
        check(&map, 1, Together::Any, "SoldOut");
    }
}
