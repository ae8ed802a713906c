//! What was found out about flights, and how it is shown.
//! Never looks at a flight's rows.

use std::fmt;

use farerush_engine::flight::{Epoch, Flight, FlightId, OrderStatus, Seq};

/// What became of a flight's check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Journal, store and invariants agree.
    Ok,
    /// Likewise, but the journal no longer reaches back to the first event: it was compared from the store's cursor
    /// on only.
    OkFromCursor,
    /// They do not.
    Difference(String),
}

/// What was found out about one flight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedFlight {
    /// The flight concerned.
    pub flight_id: FlightId,
    /// Seats it has.
    pub seats: usize,
    /// Seats in confirmed orders.
    pub sold: usize,
    /// Seats in held orders.
    pub held: usize,
    /// Live orders.
    pub orders: usize,
    /// The journal's last event; 0 if it has none.
    pub journal_seq: Seq,
    /// The store's cursor.
    pub stored_seq: Seq,
    /// The largest epoch that journal or store know.
    pub epoch: Epoch,
    /// Whether somebody new would get a seat; `None` where the flight is not on sale or has no free seat.
    pub sells: Option<bool>,
    /// Whether all agree.
    pub verdict: Verdict,
}

/// What was found out about all flights.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// One line a flight, by id.
    pub flights: Vec<VerifiedFlight>,
}

impl VerifyReport {
    /// Whether there is no difference anywhere.
    pub fn is_ok(&self) -> bool {
        self.differences() == 0
    }

    /// Number of flights with a difference.
    pub fn differences(&self) -> usize {
        self.flights.iter().filter(|flight| matches!(flight.verdict, Verdict::Difference(_))).count()
    }
}

impl VerifiedFlight {
    pub(super) fn unknown(flight_id: FlightId) -> Self {
        Self {
            flight_id,
            seats: 0,
            sold: 0,
            held: 0,
            orders: 0,
            journal_seq: Seq(0),
            stored_seq: Seq(0),
            epoch: Epoch(0),
            sells: None,
            verdict: Verdict::Ok,
        }
    }

    pub(super) fn count(&mut self, flight: &Flight) {
        let seats_in = |status| {
            flight
                .orders()
                .filter(|order| order.status == status)
                .map(|order| order.seats.len())
                .sum::<usize>()
        };
        self.seats = flight.definition().cabins.iter().map(|cabin| cabin.capacity() as usize).sum();
        self.sold = seats_in(OrderStatus::Confirmed);
        self.held = seats_in(OrderStatus::Held);
        self.orders = flight.orders().filter(|order| order.status.is_live()).count();
    }

    fn cells(&self) -> [String; 10] {
        [
            self.flight_id.to_string(),
            self.seats.to_string(),
            self.sold.to_string(),
            self.held.to_string(),
            self.orders.to_string(),
            self.journal_seq.to_string(),
            self.stored_seq.to_string(),
            self.epoch.to_string(),
            match self.sells {
                Some(true) => "yes".to_owned(),
                Some(false) => "NO".to_owned(),
                None => "-".to_owned(),
            },
            match &self.verdict {
                Verdict::Ok => "ok".to_owned(),
                Verdict::OkFromCursor => "ok (from the store's cursor on)".to_owned(),
                Verdict::Difference(what) => format!("DIFFERENCE: {what}"),
            },
        ]
    }
}

/// The report as a table: names to the left, numbers to the right.
impl fmt::Display for VerifyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head =
            ["flight", "seats", "sold", "held", "orders", "journal", "stored", "epoch", "sells", "verdict"]
                .map(str::to_owned);
        let lines: Vec<[String; 10]> =
            std::iter::once(head).chain(self.flights.iter().map(VerifiedFlight::cells)).collect();
        let mut widths = [0; 10];
        for line in &lines {
            for (width, cell) in widths.iter_mut().zip(line) {
                *width = cell.chars().count().max(*width);
            }
        }
        for line in &lines {
            write!(f, "{:<width$}", line[0], width = widths[0])?;
            for (cell, width) in line[1..9].iter().zip(&widths[1..9]) {
                write!(f, "  {cell:>width$}")?;
            }
            writeln!(f, "  {}", line[9])?;
        }
        let (flights, differences) = (self.flights.len(), self.differences());
        writeln!(f, "{flights} flights, {differences} with a difference")
    }
}
