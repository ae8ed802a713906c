//! What the load was promised: every grab with its key and body, what came of it, and what may have come of it.
//! Never forgives: an answer that does not follow from the ones before is a panic that says why.

use std::sync::Arc;

use serde_json::Value;

use super::client::Response;
use super::flight::Flight;

/// Where an order stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Held,
    Confirmed,
    Cancelled,
    Expired,
}

impl Status {
    fn from_name(name: &str) -> Option<Self> {
        match name {
            "held" => Some(Self::Held),
            "confirmed" => Some(Self::Confirmed),
            "cancelled" => Some(Self::Cancelled),
            "expired" => Some(Self::Expired),
            _ => None,
        }
    }

    /// Whether the order has its seats.
    pub(crate) fn is_live(self) -> bool {
        matches!(self, Self::Held | Self::Confirmed)
    }
}

/// An order as a server showed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) id: String,
    pub(crate) customer: String,
    /// Sorted by name.
    pub(crate) seats: Vec<String>,
    pub(crate) status: Status,
    pub(crate) hold_expires_at: Option<String>,
    pub(crate) updated_at: String,
    pub(crate) payment: Option<String>,
    pub(crate) seq: u64,
}

impl Seen {
    /// Reads an order of this flight and checks what holds for every order: its seats exist, its total is their fares'.
    pub(crate) fn parse(order: &Value, flight: &Flight) -> Self {
        let text = |field: &str| order[field].as_str().map(str::to_owned);
        let must = |field: &str| text(field).unwrap_or_else(|| panic!("an order without {field}: {order}"));
        assert_eq!(must("flight_id"), *flight.id, "an order of another flight: {order}");
        let listed = order["seats"].as_array().unwrap_or_else(|| panic!("an order without seats: {order}"));
        let mut seats = Vec::with_capacity(listed.len());
        let mut total = 0;
        for listed in listed {
            let seat = listed["seat"].as_str().unwrap_or_else(|| panic!("a seat without a name: {order}"));
            let fare =
                flight.fares.get(seat).unwrap_or_else(|| panic!("a seat that does not exist: {order}"));
            assert_eq!(listed["fare"]["amount"].as_i64(), Some(*fare), "a seat with a wrong fare: {order}");
            total += fare;
            seats.push(seat.to_owned());
        }
        assert_eq!(order["total"]["amount"].as_i64(), Some(total), "a total that is not its fares': {order}");
        seats.sort_unstable();
        assert!(seats.windows(2).all(|pair| pair[0] != pair[1]), "a seat twice in one order: {order}");
        Self {
            id: must("order_id"),
            customer: must("customer_id"),
            seats,
            status: Status::from_name(&must("status"))
                .unwrap_or_else(|| panic!("an unknown status: {order}")),
            hold_expires_at: text("hold_expires_at"),
            updated_at: must("updated_at"),
            payment: text("payment_reference"),
            seq: order["seq"].as_u64().unwrap_or_else(|| panic!("an order without seq: {order}")),
        }
    }
}

/// A change of an order that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    Confirm {
        payment: String,
        /// What the order costs.
        amount: i64,
    },
    Cancel,
    /// To these seats, sorted by name.
    Move {
        seats: Vec<String>,
    },
}

/// An order that was acknowledged.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    /// As it was last acknowledged.
    pub(crate) seen: Seen,
    /// A change that may have been done since.
    pub(crate) pending: Option<Change>,
}

impl Order {
    /// Takes what a server shows now. A pending change that shows is pending no more.
    pub(crate) fn observe(&mut self, now: Seen) {
        let before = &self.seen;
        let same_order = now.id == before.id && now.customer == before.customer;
        assert!(same_order, "another order than before: {before:?}, now {now:?}");
        let same_seats = now.seats == before.seats;
        let same_state = now.status == before.status && same_seats && now.payment == before.payment;
        if same_state && now.seq == before.seq {
            return;
        }
        let pending_done = match &self.pending {
            Some(Change::Confirm { payment, .. }) => {
                now.status == Status::Confirmed && same_seats && now.payment.as_ref() == Some(payment)
            }
            Some(Change::Cancel) => now.status == Status::Cancelled && same_seats,
            Some(Change::Move { seats }) => now.status == before.status && now.seats == *seats,
            None => false,
        };
        let moved = matches!(&self.pending, Some(Change::Move { seats }) if now.seats == *seats);
        let expired = now.status == Status::Expired
            && (same_seats || moved)
            && before.status == Status::Held
            // Both are RFC 3339 with the same number of digits.
            && before.hold_expires_at.as_ref().is_some_and(|deadline| now.updated_at >= *deadline);
        let follows = (pending_done || expired) && now.seq > before.seq;
        assert!(follows, "acknowledged {before:?} (maybe {:?} since), now {now:?}", self.pending);
        self.pending = None;
        let hold_expires_at = now.hold_expires_at.clone().or_else(|| before.hold_expires_at.clone());
        self.seen = Seen { hold_expires_at, ..now };
    }

    /// A change was acknowledged with this.
    pub(crate) fn changed(&mut self, change: &Change, now: Seen) {
        let seen = self.seen.clone();
        self.pending = Some(change.clone());
        self.observe(now);
        // An order that has ended already is given back as it is.
        let ended = *change == Change::Cancel && !self.seen.status.is_live();
        let undone = self.pending.take().is_some();
        assert!(!undone || ended, "{change:?} of {seen:?} was acknowledged, but nothing changed");
    }

    /// A change was refused with this code.
    pub(crate) fn refused(&mut self, change: &Change, code: &str, flight: &Flight) {
        let right = match (change, code) {
            (Change::Confirm { .. } | Change::Move { .. }, "HOLD_EXPIRED") => flight.expires(),
            (Change::Move { .. }, "SEAT_TAKEN") => true,
            // To seats that cost something else.
            (Change::Move { .. }, "ORDER_NOT_CHANGEABLE") => self.seen.status == Status::Confirmed,
            _ => false,
        };
        assert!(right, "{change:?} of {:?} was refused with {code}", self.seen);
        self.pending = None;
    }
}

/// What came of a grab.
#[derive(Debug, Clone)]
pub(crate) enum State {
    /// No order was placed, for this reason.
    Nothing(String),
    /// Nobody knows.
    Unknown,
    /// An order was placed.
    Placed(Order),
}

/// A grab. Its customer asks for nothing else, so that its order can be told by the customer too.
#[derive(Debug, Clone)]
pub(crate) struct Grab {
    pub(crate) flight: Arc<Flight>,
    pub(crate) key: Option<String>,
    pub(crate) customer: String,
    pub(crate) body: String,
    pub(crate) quantity: usize,
    /// The seats that were named, sorted.
    pub(crate) named: Option<Vec<String>>,
    pub(crate) state: State,
}

impl Grab {
    /// Where it is sent.
    pub(crate) fn path(&self) -> String {
        format!("/v1/flights/{}/orders", self.flight.id)
    }

    /// Its order, if it has one.
    pub(crate) fn order(&self) -> Option<&Order> {
        match &self.state {
            State::Placed(order) => Some(order),
            _ => None,
        }
    }

    /// Its order, if it has one.
    pub(crate) fn order_mut(&mut self) -> Option<&mut Order> {
        match &mut self.state {
            State::Placed(order) => Some(order),
            _ => None,
        }
    }

    /// Takes an answer that acknowledges it, the first or a repeated one.
    pub(crate) fn acknowledged(&mut self, response: &Response) {
        let seen = Seen::parse(&response.body, &self.flight);
        assert_eq!(response.replayed, response.status == 200, "200 belongs to a replay, 201 to a new order");
        self.takes(seen, response.replayed);
    }

    /// Takes its order as it was found. `again`: there may have been an answer before that got lost.
    pub(crate) fn takes(&mut self, seen: Seen, again: bool) {
        if let State::Placed(order) = &mut self.state {
            assert!(again, "a second order for one grab: {:?}, now {seen:?}", order.seen);
            order.observe(seen);
            return;
        }
        let lost_before = matches!(self.state, State::Unknown);
        assert!(
            !again || lost_before,
            "{:?} was answered as if it had been placed before: {seen:?}",
            self.state
        );
        assert_eq!(seen.customer, self.customer, "somebody else's order: {seen:?}");
        assert_eq!(seen.seats.len(), self.quantity, "not as many seats as asked for: {seen:?}");
        if let Some(named) = &self.named {
            assert_eq!(&seen.seats, named, "not the seats that were named: {seen:?}");
        }
        let right_status = match seen.status {
            Status::Held => self.flight.hold_seconds > 0,
            Status::Confirmed => self.flight.hold_seconds == 0,
            Status::Cancelled => false,
            Status::Expired => again && self.flight.expires(),
        };
        assert!(right_status, "a new order with a wrong status: {seen:?}");
        self.state = State::Placed(Order { seen, pending: None });
    }
}
