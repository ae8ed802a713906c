//! Which seats of a flight are free, held, sold or blocked, as bit masks by row.
//! Never knows whose seats they are, and never chooses any.

use smallvec::SmallVec;

use super::cabin::{Cabin, CabinClass, Seat, Seats};
use super::run_index::{RunIndex, run_lengths};

/// How a seat stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SeatStatus {
    /// On sale.
    Free,
    /// In a held order.
    Held,
    /// In a confirmed order.
    Sold,
    /// Taken off sale.
    Blocked,
}

impl SeatStatus {
    /// The name the outside uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Held => "held",
            Self::Sold => "sold",
            Self::Blocked => "blocked",
        }
    }
}

/// One row's seats as masks by position; a seat in none of them is sold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RowSeats {
    /// On sale.
    pub free: u16,
    /// In held orders.
    pub held: u16,
    /// Taken off sale.
    pub blocked: u16,
}

impl RowSeats {
    /// How the seat at this position stands.
    pub const fn status(self, position: usize) -> SeatStatus {
        let bit = 1 << position;
        if self.free & bit != 0 {
            SeatStatus::Free
        } else if self.held & bit != 0 {
            SeatStatus::Held
        } else if self.blocked & bit != 0 {
            SeatStatus::Blocked
        } else {
            SeatStatus::Sold
        }
    }
}

/// The seats of one cabin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CabinSeats {
    pub(crate) cabin: Cabin,
    pub(crate) rows: Vec<RowSeats>,
    pub(crate) free: u32,
    /// Runs that an aisle ends.
    pub(crate) within: RunIndex,
    /// Runs that reach across aisles.
    pub(crate) across: RunIndex,
}

impl CabinSeats {
    pub(crate) fn new(cabin: Cabin) -> Self {
        let whole = cabin.layout.whole_row();
        let rows = cabin.rows();
        let mut seats = Self {
            rows: vec![RowSeats { free: 0, held: 0, blocked: 0 }; rows],
            free: 0,
            within: RunIndex::new(rows),
            across: RunIndex::new(rows),
            cabin,
        };
        for slot in 0..rows {
            seats.set_free(slot, whole);
        }
        seats
    }

    /// Gives the row at `slot` (counted from the cabin's first) a new mask of free seats.
    pub(crate) fn set_free(&mut self, slot: usize, free: u16) {
        let row = &mut self.rows[slot];
        let before = std::mem::replace(&mut row.free, free);
        self.free = self.free + free.count_ones() - before.count_ones();
        let layout = &self.cabin.layout;
        self.within.update(slot, run_lengths(before, layout.groups()), run_lengths(free, layout.groups()));
        let whole = [layout.whole_row()];
        self.across.update(slot, run_lengths(before, &whole), run_lengths(free, &whole));
    }

    /// The seat at a row's slot and position.
    pub(crate) fn seat(&self, slot: usize, position: usize) -> Option<Seat> {
        let row = self.cabin.first_row + u16::try_from(slot).ok()?;
        Seat::new(row, *self.cabin.layout.letters().get(position)?).ok()
    }
}

/// All seats of a flight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeatMap {
    cabins: Vec<CabinSeats>,
    /// Places in `cabins` by rising first row.
    by_row: SmallVec<[u8; 8]>,
    /// Places in `cabins` by rising fare.
    by_fare: SmallVec<[u8; 8]>,
    free: u32,
    capacity: u32,
}

/// Where a seat is in the map.
struct SeatPosition {
    /// Its cabin, counted from 0 in the order of the definition.
    cabin: usize,
    /// Its row within the cabin, counted from 0.
    slot: usize,
    /// The one bit that stands for it in masks of the row.
    bit: u16,
}

impl SeatMap {
    /// A map of these cabins (checked by `check_cabins`) with every seat free.
    pub fn new(cabins: &[Cabin]) -> Self {
        let mut map = Self {
            cabins: Vec::with_capacity(cabins.len()),
            by_row: SmallVec::new(),
            by_fare: SmallVec::new(),
            free: 0,
            capacity: 0,
        };
        cabins.iter().for_each(|cabin| map.add(cabin.clone()));
        map
    }

    /// Adds a cabin with every seat free.
    pub fn add(&mut self, cabin: Cabin) {
        self.free += cabin.capacity();
        self.capacity += cabin.capacity();
        self.cabins.push(CabinSeats::new(cabin));
        let cabins = &self.cabins;
        #[expect(clippy::cast_possible_truncation, reason = "a flight has at most 64 cabins")]
        let mut places: SmallVec<[u8; 8]> = (0..cabins.len() as u8).collect();
        places.sort_by_key(|&place| cabins[usize::from(place)].cabin.first_row);
        self.by_row = places.clone();
        places.sort_by_key(|&place| (cabins[usize::from(place)].cabin.fare.amount, place));
        self.by_fare = places;
    }

    /// Seats on sale.
    pub fn free(&self) -> u32 {
        self.free
    }

    /// All seats.
    pub fn capacity(&self) -> u32 {
        self.capacity
    }

    /// Seats on sale in a class.
    pub fn free_in(&self, class: CabinClass) -> u32 {
        self.cabins.iter().filter(|c| c.cabin.cabin_class == class).map(|c| c.free).sum()
    }

    /// Whether the flight has this class at all.
    pub fn has_class(&self, class: CabinClass) -> bool {
        self.cabins.iter().any(|c| c.cabin.cabin_class == class)
    }

    /// Seats on sale by cabin, in the order of the flight's cabins.
    pub fn free_by_cabin(&self) -> impl Iterator<Item = u32> {
        self.cabins.iter().map(|cabin| cabin.free)
    }

    /// All rows' masks, cabin by cabin, row by row.
    pub fn rows(&self) -> impl Iterator<Item = RowSeats> {
        self.cabins.iter().flat_map(|cabin| cabin.rows.iter().copied())
    }

    /// The cabin of a seat, if the flight has that seat.
    pub fn cabin_of(&self, seat: Seat) -> Option<&Cabin> {
        self.place(seat).map(|place| &self.cabins[place.cabin].cabin)
    }

    /// How a seat stands, if the flight has it.
    pub fn status(&self, seat: Seat) -> Option<SeatStatus> {
        let place = self.place(seat)?;
        let row = self.cabins[place.cabin].rows[place.slot];
        Some(row.status(place.bit.trailing_zeros() as usize))
    }

    /// The cabins by rising fare.
    pub(crate) fn cabins_by_fare(&self) -> impl Iterator<Item = &CabinSeats> {
        self.by_fare.iter().map(|&place| &self.cabins[usize::from(place)])
    }

    /// Changes how seats stand. A seat that does not exist, or does not stand as `from` says, is left alone and
    /// makes the answer `false`: a caller that asked first never sees it.
    pub(crate) fn change(&mut self, seats: &Seats, from: SeatStatus, to: SeatStatus) -> bool {
        let mut all_changed = true;
        for &seat in seats {
            let Some(place) = self.place(seat) else {
                all_changed = false;
                continue;
            };
            let cabin = &mut self.cabins[place.cabin];
            let row = &mut cabin.rows[place.slot];
            if row.status(place.bit.trailing_zeros() as usize) != from {
                all_changed = false;
                continue;
            }
            let mut free = row.free;
            match from {
                SeatStatus::Free => free &= !place.bit,
                SeatStatus::Held => row.held &= !place.bit,
                SeatStatus::Blocked => row.blocked &= !place.bit,
                SeatStatus::Sold => {}
            }
            match to {
                SeatStatus::Free => free |= place.bit,
                SeatStatus::Held => row.held |= place.bit,
                SeatStatus::Blocked => row.blocked |= place.bit,
                SeatStatus::Sold => {}
            }
            if free != row.free {
                self.free = if to == SeatStatus::Free { self.free + 1 } else { self.free - 1 };
                cabin.set_free(place.slot, free);
            }
        }
        all_changed
    }

    /// All seats that stand so, cabin by cabin.
    pub fn seats_with(&self, status: SeatStatus) -> Seats {
        let mut seats = Seats::new();
        for cabin in &self.cabins {
            for (slot, row) in cabin.rows.iter().enumerate() {
                let positions = 0..cabin.cabin.layout.seats();
                let found = positions.filter(|&position| row.status(position) == status);
                seats.extend(found.filter_map(|position| cabin.seat(slot, position)));
            }
        }
        seats
    }

    fn place(&self, seat: Seat) -> Option<SeatPosition> {
        let row = seat.row();
        let behind =
            self.by_row.partition_point(|&place| self.cabins[usize::from(place)].cabin.first_row <= row);
        let cabin = usize::from(*self.by_row.get(behind.checked_sub(1)?)?);
        let found = &self.cabins[cabin].cabin;
        if row > found.last_row {
            return None;
        }
        let position = found.layout.position(seat.letter())?;
        Some(SeatPosition { cabin, slot: usize::from(row - found.first_row), bit: 1 << position })
    }
}
