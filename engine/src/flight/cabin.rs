//! Cabins, their layouts, their fares and the seats in them, as airlines describe them.
//! Never knows whether a seat is sold.

use std::fmt;
use std::str::FromStr;

use compact_str::CompactString;
use smallvec::SmallVec;

/// Most seats side by side in one row.
pub const SEATS_PER_ROW_MAX: usize = 16;
/// Largest row number.
pub const ROW_MAX: u16 = 999;
/// Most seats of one flight.
pub const SEATS_PER_FLIGHT_MAX: u32 = 10_000;
/// Most cabins (sections of rows) of one flight.
pub const CABINS_PER_FLIGHT_MAX: usize = 64;

/// The class of travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CabinClass {
    /// First class.
    First,
    /// Business class.
    Business,
    /// Premium economy class.
    PremiumEconomy,
    /// Economy class.
    Economy,
}

impl CabinClass {
    /// All classes, from the front of the aircraft to the back.
    pub const ALL: [Self; 4] = [Self::First, Self::Business, Self::PremiumEconomy, Self::Economy];

    /// The name the outside uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Business => "business",
            Self::PremiumEconomy => "premium_economy",
            Self::Economy => "economy",
        }
    }

    /// The class with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.as_str() == name)
    }
}

impl fmt::Display for CabinClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One seat, such as `12A`: a row (1 to 999) and a letter (`A` to `Z` without `I`), packed into 16 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Seat(u16);

/// Some seats of one order or command; up to eight need no allocation.
pub type Seats = SmallVec<[Seat; 8]>;

/// The text is not a seat such as `12A`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a row from 1 to 999 and a letter other than I, such as 12A")]
pub struct NotASeat;

impl Seat {
    /// The seat in `row` (1 to 999) with `letter` (an upper-case ASCII letter other than `I`).
    pub fn new(row: u16, letter: u8) -> Result<Self, NotASeat> {
        if row == 0 || row > ROW_MAX || !letter.is_ascii_uppercase() || letter == b'I' {
            return Err(NotASeat);
        }
        Ok(Self(row << 5 | u16::from(letter - b'A')))
    }

    /// The row, from 1.
    pub const fn row(self) -> u16 {
        self.0 >> 5
    }

    /// The letter, in ASCII.
    pub const fn letter(self) -> u8 {
        b'A' + (self.0 & 31) as u8
    }

    /// The seat as 16 bits, for compact records.
    pub const fn packed(self) -> u16 {
        self.0
    }

    /// The seat that was packed into these 16 bits.
    pub fn from_packed(packed: u16) -> Result<Self, NotASeat> {
        Self::new(packed >> 5, b'A' + (packed & 31) as u8)
    }
}

impl fmt::Display for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.row(), char::from(self.letter()))
    }
}

impl FromStr for Seat {
    type Err = NotASeat;

    fn from_str(text: &str) -> Result<Self, NotASeat> {
        let (&letter, row) = text.as_bytes().split_last().ok_or(NotASeat)?;
        if row.is_empty() || row.len() > 3 || row[0] == b'0' || !row.iter().all(u8::is_ascii_digit) {
            return Err(NotASeat);
        }
        let row = row.iter().fold(0, |number, digit| number * 10 + u16::from(digit - b'0'));
        Self::new(row, letter.to_ascii_uppercase())
    }
}

/// How the seats of a row stand side by side: letters from left to right, a space where the aisle is, such as
/// `ABC DEF`. A seat's *position* counts the seats from the left, from 0; a *mask* has a bit for each position.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Layout {
    text: CompactString,
    letters: SmallVec<[u8; SEATS_PER_ROW_MAX]>,
    groups: SmallVec<[u16; 4]>,
}

/// The text is not a layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// No letter at all, or more than 16.
    #[error("must have 1 to 16 letters")]
    Size,
    /// Something other than an upper-case letter or a single space between letters.
    #[error("must be upper-case letters without I, with one space for each aisle, such as \"ABC DEF\"")]
    Character,
    /// Letters do not go up from left to right.
    #[error("letters must go up from left to right, each at most once")]
    Order,
}

impl Layout {
    /// Parses a layout such as `ABC DEF`.
    pub fn new(text: &str) -> Result<Self, LayoutError> {
        let mut letters: SmallVec<[u8; SEATS_PER_ROW_MAX]> = SmallVec::new();
        let mut groups: SmallVec<[u16; 4]> = SmallVec::new();
        for group in text.split(' ') {
            let mut mask = 0_u16;
            for letter in group.bytes() {
                if !letter.is_ascii_uppercase() || letter == b'I' {
                    return Err(LayoutError::Character);
                }
                if letters.len() == SEATS_PER_ROW_MAX {
                    return Err(LayoutError::Size);
                }
                if letters.last().is_some_and(|&last| last >= letter) {
                    return Err(LayoutError::Order);
                }
                mask |= 1 << letters.len();
                letters.push(letter);
            }
            if mask == 0 {
                return Err(if text.is_empty() { LayoutError::Size } else { LayoutError::Character });
            }
            groups.push(mask);
        }
        Ok(Self { text: CompactString::new(text), letters, groups })
    }

    /// The layout as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The letters by position.
    pub fn letters(&self) -> &[u8] {
        &self.letters
    }

    /// A mask for each group of seats without an aisle between them, from left to right.
    pub fn groups(&self) -> &[u16] {
        &self.groups
    }

    /// The mask of a whole row.
    pub fn whole_row(&self) -> u16 {
        self.groups.iter().fold(0, |row, group| row | group)
    }

    /// The position of the seat with this letter.
    pub fn position(&self, letter: u8) -> Option<usize> {
        self.letters.binary_search(&letter).ok()
    }

    /// Seats in a row.
    pub fn seats(&self) -> usize {
        self.letters.len()
    }
}

/// A currency's three letters (ISO 4217).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Currency([u8; 3]);

/// The text is not three upper-case letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be the three upper-case letters of an ISO 4217 currency code")]
pub struct NotACurrency;

impl Currency {
    /// Checks the form of the code (three upper-case letters), not whether the currency exists.
    pub fn new(text: &str) -> Result<Self, NotACurrency> {
        match *text.as_bytes() {
            [a, b, c] if [a, b, c].iter().all(u8::is_ascii_uppercase) => Ok(Self([a, b, c])),
            _ => Err(NotACurrency),
        }
    }

    /// The code as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("???")
    }
}

/// The price of one seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fare {
    /// Minor units of the currency (cents), not negative.
    pub amount: i64,
    /// The currency; the same for all cabins of a flight.
    pub currency: Currency,
}

/// Largest fare in minor units: 10,000 seats at this price still fit an `i64` many times over.
pub const FARE_AMOUNT_MAX: i64 = 1_000_000_000_000;

/// A section of rows with one class, one layout and one fare.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Cabin {
    /// Class of travel.
    pub cabin_class: CabinClass,
    /// First row, from 1.
    pub first_row: u16,
    /// Last row, inclusive.
    pub last_row: u16,
    /// How the seats of each row stand.
    pub layout: Layout,
    /// The price of a seat here.
    pub fare: Fare,
}

impl Cabin {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        usize::from(self.last_row - self.first_row) + 1
    }

    /// Number of seats, sold or not.
    pub fn capacity(&self) -> u32 {
        let rows = u32::from(self.last_row - self.first_row) + 1;
        rows * self.layout.whole_row().count_ones()
    }

    /// All its seats, row by row.
    pub fn all_seats(&self) -> impl Iterator<Item = Seat> {
        (self.first_row..=self.last_row).flat_map(|row| {
            self.layout.letters().iter().filter_map(move |&letter| Seat::new(row, letter).ok())
        })
    }

    /// Whether the cabin has this seat.
    pub fn has(&self, seat: Seat) -> bool {
        (self.first_row..=self.last_row).contains(&seat.row())
            && self.layout.position(seat.letter()).is_some()
    }
}

/// Why cabins cannot stand in one flight, with the place in the list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CabinsError {
    /// None, or more than 64.
    #[error("a flight has 1 to 64 cabins")]
    Count,
    /// A cabin's rows are not within 1 to 999 in rising order.
    #[error("cabin {index}: rows must be [first, last] with 1 <= first <= last <= 999")]
    Rows {
        /// Place of the cabin in the list, from 0.
        index: usize,
    },
    /// Two cabins share a row.
    #[error("cabin {index}: row {row} is already in another cabin")]
    Overlap {
        /// Place of the cabin in the list, from 0.
        index: usize,
        /// The row both have.
        row: u16,
    },
    /// Fare out of range.
    #[error("cabin {index}: the fare's amount must be from 0 to 1,000,000,000,000 minor units")]
    Fare {
        /// Place of the cabin in the list, from 0.
        index: usize,
    },
    /// The cabins' fares are in different currencies.
    #[error("cabin {index}: all fares of a flight must be in one currency")]
    Currency {
        /// Place of the cabin in the list, from 0.
        index: usize,
    },
    /// More than 10,000 seats.
    #[error("a flight has at most 10000 seats, these are {seats}")]
    TooManySeats {
        /// How many there would be.
        seats: u32,
    },
}

/// Checks that these cabins can make up one flight.
pub fn check_cabins(cabins: &[Cabin]) -> Result<(), CabinsError> {
    if cabins.is_empty() || cabins.len() > CABINS_PER_FLIGHT_MAX {
        return Err(CabinsError::Count);
    }
    let mut seats = 0;
    for (index, cabin) in cabins.iter().enumerate() {
        if cabin.first_row == 0 || cabin.first_row > cabin.last_row || cabin.last_row > ROW_MAX {
            return Err(CabinsError::Rows { index });
        }
        let before = &cabins[..index];
        if let Some(other) =
            before.iter().find(|c| c.first_row <= cabin.last_row && cabin.first_row <= c.last_row)
        {
            return Err(CabinsError::Overlap { index, row: other.first_row.max(cabin.first_row) });
        }
        if !(0..=FARE_AMOUNT_MAX).contains(&cabin.fare.amount) {
            return Err(CabinsError::Fare { index });
        }
        if cabin.fare.currency != cabins[0].fare.currency {
            return Err(CabinsError::Currency { index });
        }
        seats += cabin.capacity();
    }
    if seats > SEATS_PER_FLIGHT_MAX {
        return Err(CabinsError::TooManySeats { seats });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seat_reads_as_it_is_written() {
        for text in ["1A", "12K", "999Z"] {
            assert_eq!(text.parse::<Seat>().unwrap().to_string(), text);
        }
        assert_eq!("12a".parse::<Seat>().unwrap().to_string(), "12A");
        for text in ["", "A", "12", "0A", "012A", "1000A", "12I", "12AB", "-1A", "1²A", "１A", "12 A"] {
            assert_eq!(text.parse::<Seat>(), Err(NotASeat), "{text}");
        }
    }

    #[test]
    fn a_layout_knows_its_groups() {
        let layout = Layout::new("ABC DEF").unwrap();
        assert_eq!(layout.groups(), [0b000_111, 0b111_000]);
        assert_eq!(layout.position(b'D'), Some(3));
        assert_eq!(layout.position(b'G'), None);
        let business = Layout::new("A DG K").unwrap();
        assert_eq!(business.groups(), [0b0001, 0b0110, 0b1000]);
    }

    #[test]
    fn a_layout_refuses_nonsense() {
        for (text, error) in [
            ("", LayoutError::Size),
            (" ABC", LayoutError::Character),
            ("ABC  DEF", LayoutError::Character),
            ("ABC-DEF", LayoutError::Character),
            ("abc", LayoutError::Character),
            ("GHI", LayoutError::Character),
            ("ABB", LayoutError::Order),
            ("BA", LayoutError::Order),
            ("ABCDEFGHJKLMNOPQR", LayoutError::Size),
        ] {
            assert_eq!(Layout::new(text), Err(error), "{text}");
        }
        assert!(Layout::new("ABCDEFGHJKLMNOPQ").is_ok());
    }
}
