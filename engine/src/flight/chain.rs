//! The chain of a flight's events: each head stands for everything that happened up to it, in that order.
//! Never depends on how events are stored: what goes into a head is written down here, field by field.

use smallvec::SmallVec;

use super::cabin::{Cabin, Seats};
use super::event::{CabinsChange, Cause, Event, FlightDefinition, OrderPlaced, Recorded};
use super::head::{HEAD_BYTES, Head};
use super::ids::{FlightId, OrderNo, Salt, Timestamp};
use super::order::Passengers;
use super::payment::ReturnedBecause;
use super::reseat::{Moved, Reseated};
use super::sale::{SalePolicy, SaleSwitch};
use super::waitlist::types::{Accept, LeftBecause, WaitlistWish};

impl Head {
    /// The head of a flight in whose chain nothing is yet, in front of event `before`: 1, or, in a flight from before there
    /// were chains, the event at which its first owner of the new kind begins.
    pub fn start(flight_id: &FlightId, salt: Salt, before: u64) -> Self {
        let mut form = Form::new();
        form.text(1, "farerush chain 1").text(2, flight_id.as_str()).number(3, salt.0).number(4, before);
        form.head()
    }

    /// The head after `recorded` in the history of a flight whose head in front of it is `before`. A flight comes into a
    /// chain by its creation, or, one of before there were chains, by its next owner; until then it has no head.
    pub fn follow(
        before: Option<Self>,
        flight_id: &FlightId,
        salt: Salt,
        recorded: &Recorded,
    ) -> Option<Self> {
        let begins = match &recorded.event {
            Event::FlightCreated { definition, .. } => !definition.ids.eras().is_empty(),
            event => matches!(event, Event::TakenOver { .. }),
        };
        let start = || begins.then(|| Self::start(flight_id, salt, recorded.seq.0));
        before.or_else(start).map(|head| head.next(recorded))
    }

    /// The head after `recorded`, this one being in front of it.
    #[must_use]
    pub fn next(self, recorded: &Recorded) -> Self {
        let mut form = Form::new();
        form.bytes(1, self.as_bytes()).number(2, recorded.seq.0).moment(3, recorded.at);
        if let Some(cause) = &recorded.cause {
            form.cause(cause);
        }
        form.event(&recorded.event);
        form.head()
    }
}

/// What is hashed: fields, each as its number, its length in bytes (32 bits, little-endian) and its bytes. Numbers and
/// moments have eight bytes. What is absent writes nothing, so that a field may be added later without a change to events
/// that do not have it. A number is never used for two things of one event.
struct Form(SmallVec<[u8; 512]>);

impl Form {
    fn new() -> Self {
        Self(SmallVec::new())
    }

    fn head(&self) -> Head {
        let mut head = [0_u8; HEAD_BYTES];
        head.copy_from_slice(&blake3::hash(&self.0).as_bytes()[..HEAD_BYTES]);
        Head::from_bytes(head)
    }

    fn bytes(&mut self, field: u8, bytes: &[u8]) -> &mut Self {
        self.0.push(field);
        #[expect(clippy::cast_possible_truncation, reason = "no field of an event comes near 4 GiB")]
        self.0.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        self.0.extend_from_slice(bytes);
        self
    }

    fn text(&mut self, field: u8, text: &str) -> &mut Self {
        self.bytes(field, text.as_bytes())
    }

    fn maybe_text(&mut self, field: u8, text: Option<&str>) -> &mut Self {
        if let Some(text) = text {
            self.text(field, text);
        }
        self
    }

    fn number(&mut self, field: u8, number: u64) -> &mut Self {
        self.bytes(field, &number.to_le_bytes())
    }

    fn maybe_number(&mut self, field: u8, number: Option<u64>) -> &mut Self {
        if let Some(number) = number {
            self.number(field, number);
        }
        self
    }

    fn amount(&mut self, field: u8, amount: i64) -> &mut Self {
        self.bytes(field, &amount.to_le_bytes())
    }

    fn moment(&mut self, field: u8, at: Timestamp) -> &mut Self {
        self.amount(field, at.as_millis())
    }

    fn maybe_moment(&mut self, field: u8, at: Option<Timestamp>) -> &mut Self {
        if let Some(at) = at {
            self.moment(field, at);
        }
        self
    }

    fn seats(&mut self, field: u8, seats: &Seats) -> &mut Self {
        self.0.push(field);
        #[expect(clippy::cast_possible_truncation, reason = "a flight has at most 10,000 seats")]
        self.0.extend_from_slice(&(2 * seats.len() as u32).to_le_bytes());
        for seat in seats {
            self.0.extend_from_slice(&seat.packed().to_le_bytes());
        }
        self
    }

    fn cause(&mut self, cause: &Cause) {
        self.maybe_text(4, cause.by.as_ref().map(|by| by.as_str()));
        if let Some((key, fingerprint)) = &cause.idempotency {
            self.text(5, key.as_str()).number(6, fingerprint.0);
        }
    }

    /// Field 10 says which event it is; its own fields follow from 11 on.
    fn event(&mut self, event: &Event) {
        match event {
            Event::FlightCreated { definition, policy } => {
                self.number(10, 1).definition(definition);
                self.policy(policy);
            }
            Event::SaleSwitched { switch, policy } => {
                self.number(10, 2).number(11, switch_number(*switch)).policy(policy);
            }
            Event::PolicyChanged { policy } => self.number(10, 3).policy(policy),
            Event::SeatsBlocked { seats } => drop(self.number(10, 4).seats(11, seats)),
            Event::SeatsUnblocked { seats } => drop(self.number(10, 5).seats(11, seats)),
            Event::RowsAdded { cabin } => self.number(10, 6).cabin(cabin),
            Event::OrderPlaced(placed) => self.number(10, 7).placed(placed),
            Event::OrderConfirmed { order, payment_reference, seats } => {
                self.number(10, 8).number(11, order.0).seats(12, seats);
                self.maybe_text(13, payment_reference.as_ref().map(|payment| payment.as_str()));
            }
            Event::OrderCancelled { order, freed } => {
                self.number(10, 9).number(11, order.0).seats(12, freed);
            }
            Event::OrderExpired { order, freed } => {
                self.number(10, 10).number(11, order.0).seats(12, freed);
            }
            Event::OrderChanged { order, seats, freed, held, total, passengers } => {
                self.number(10, 11).number(11, order.0).seats(12, seats).seats(13, freed);
                self.number(14, u64::from(*held)).amount(15, *total);
                self.passengers(passengers.as_ref());
            }
            Event::PaymentBegun { order, hold_expires_at } => {
                self.number(10, 12).number(11, order.0).moment(12, *hold_expires_at);
            }
            Event::OrderRevived { order, seats, payment_reference } => {
                self.number(10, 13).number(11, order.0).seats(12, seats);
                self.maybe_text(13, payment_reference.as_ref().map(|payment| payment.as_str()));
            }
            Event::PaymentReturned { order, payment_reference, amount, currency, because } => {
                self.number(10, 14).number(11, order.0).text(12, payment_reference.as_str());
                self.amount(13, *amount).text(14, currency.as_str()).number(15, because_number(*because));
            }
            Event::CabinsChanged(change) => self.number(10, 15).cabins_change(change),
            Event::WaitlistJoined(wish) => self.number(10, 16).wish(wish),
            Event::WaitlistLeft { entry, reason } => {
                self.number(10, 17).number(11, entry.0).number(12, reason_number(*reason));
            }
            Event::WaitlistServed { entry, placed } => self.number(10, 18).number(11, entry.0).placed(placed),
            Event::Forgotten { through } => drop(self.number(10, 19).number(11, through.0)),
            Event::ClosedForGood(closed) => {
                self.number(10, 20).policy(&closed.policy);
                for (order, seats) in &closed.cancelled {
                    self.number(11, order.0).seats(12, seats);
                }
            }
            Event::NothingChanged { order, entry } => {
                self.number(10, 21).maybe_number(11, order.map(|order| order.0));
                self.maybe_number(12, entry.map(|entry| entry.0));
            }
            Event::SaleEnded => drop(self.number(10, 23)),
            Event::TakenOver { epoch, secret, nonce } => {
                self.number(10, 22).number(11, epoch.0).number(12, secret.0).number(13, nonce.0);
            }
        }
    }

    fn definition(&mut self, definition: &FlightDefinition) {
        self.text(30, definition.flight_id.as_str()).text(31, &definition.flight_number);
        self.text(32, &definition.origin).text(33, &definition.destination);
        self.moment(34, definition.departs_at);
        self.maybe_text(35, definition.origin_time_zone.as_ref().map(|zone| zone.as_str()));
        self.maybe_text(36, definition.aircraft.as_deref());
        definition.cabins.iter().for_each(|cabin| self.cabin(cabin));
        self.number(37, definition.ids.salt().0);
        for era in definition.ids.eras() {
            self.number(38, era.from.0).number(39, era.epoch.0);
            self.number(40, era.secret.0).number(41, era.nonce.0);
        }
    }

    fn policy(&mut self, policy: &SalePolicy) {
        self.maybe_moment(50, policy.opens_at).maybe_moment(51, policy.closes_at);
        self.number(52, policy.max_seats_per_order.into()).number(53, policy.max_seats_per_customer.into());
        self.number(54, policy.hold_seconds.into()).number(55, policy.payment_grace_seconds.into());
        self.number(56, policy.closes_before_minutes.into());
    }

    fn cabin(&mut self, cabin: &Cabin) {
        self.text(60, cabin.cabin_class.as_str());
        self.number(61, cabin.first_row.into()).number(62, cabin.last_row.into());
        self.text(63, cabin.layout.as_str());
        self.amount(64, cabin.fare.amount).text(65, cabin.fare.currency.as_str());
    }

    fn placed(&mut self, placed: &OrderPlaced) {
        self.text(70, placed.customer.as_str()).seats(71, &placed.seats).amount(72, placed.total);
        self.maybe_moment(73, placed.hold_expires_at).passengers(placed.passengers.as_ref());
        self.maybe_text(74, placed.client_reference.as_ref().map(|reference| reference.as_str()));
        if let Some((key, fingerprint)) = &placed.idempotency {
            self.text(75, key.as_str()).number(76, fingerprint.0);
        }
    }

    /// One field a place, empty where nobody is named.
    fn passengers(&mut self, passengers: Option<&Passengers>) -> &mut Self {
        for passenger in passengers.into_iter().flat_map(|passengers| passengers.iter()) {
            match passenger {
                Some(name) => self.text(80, name.as_str()),
                None => self.bytes(81, &[]),
            };
        }
        self
    }

    fn wish(&mut self, wish: &WaitlistWish) {
        self.text(90, wish.customer.as_str()).number(91, wish.party_size.into());
        match wish.accept {
            Accept::AllTogether => self.number(92, 0),
            Accept::All => self.number(92, 1),
            Accept::AtLeast(fewest) => self.number(92, 2).number(93, fewest.into()),
        };
        self.maybe_text(94, wish.cabin_class.map(|class| class.as_str()));
        self.maybe_moment(95, wish.expires_at);
        self.maybe_text(96, wish.client_reference.as_ref().map(|reference| reference.as_str()));
    }

    fn cabins_change(&mut self, change: &CabinsChange) {
        self.maybe_text(100, change.aircraft.as_deref());
        change.cabins.iter().for_each(|cabin| self.cabin(cabin));
        self.seats(101, &change.blocked);
        for (OrderNo(order), seats) in &change.seated {
            self.number(102, *order).seats(103, seats);
        }
        for OrderNo(order) in &change.cancelled {
            self.number(104, *order);
        }
        if let Some(told) = &change.told {
            self.told(told);
        }
    }

    fn told(&mut self, told: &Reseated) {
        self.number(110, told.capacity.into()).number(111, told.kept.into());
        for Moved { order, from, to } in &told.moved {
            self.number(112, order.0).seats(113, from).seats(114, to);
        }
        for OrderNo(order) in &told.split {
            self.number(115, *order);
        }
        for (OrderNo(order), confirmed) in &told.stranded {
            self.number(116, *order).number(117, u64::from(*confirmed));
        }
    }
}

const fn switch_number(switch: SaleSwitch) -> u64 {
    match switch {
        SaleSwitch::Scheduled => 0,
        SaleSwitch::Open => 1,
        SaleSwitch::Paused => 2,
        SaleSwitch::Closed => 3,
    }
}

const fn because_number(because: ReturnedBecause) -> u64 {
    match because {
        ReturnedBecause::TooLate => 0,
        ReturnedBecause::PaidAlready => 1,
        ReturnedBecause::Cancelled => 2,
    }
}

const fn reason_number(reason: LeftBecause) -> u64 {
    match reason {
        LeftBecause::GivenUp => 0,
        LeftBecause::Expired => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flight::ids::{CustomerId, Seq};

    fn placed(seq: u64, customer: &str) -> Recorded {
        let event = Event::OrderPlaced(Box::new(OrderPlaced {
            customer: CustomerId::new(customer).unwrap(),
            seats: Seats::new(),
            total: 1,
            hold_expires_at: None,
            passengers: None,
            client_reference: None,
            idempotency: None,
        }));
        Recorded { seq: Seq(seq), at: Timestamp::from_millis(7), event, cause: None, head: None }
    }

    #[test]
    fn a_head_stands_for_all_that_is_in_front_of_it() {
        let start = Head::start(&FlightId::new("FR1").unwrap(), Salt(7), 1);
        let after = |customers: &[&str]| {
            let events = customers.iter().enumerate();
            events.fold(start, |head, (place, customer)| head.next(&placed(place as u64 + 2, customer)))
        };
        assert_eq!(after(&["ann", "ben", "cat"]), after(&["ann", "ben", "cat"]));
        assert_ne!(after(&["ann", "ben", "cat"]), after(&["ann", "bea", "cat"]));
        assert_ne!(after(&["ann", "ben"]), after(&["ben", "ann"]));
        assert_ne!(after(&["ann"]), after(&["ann", "ben"]));
        assert_ne!(start, Head::start(&FlightId::new("FR1").unwrap(), Salt(8), 1));
    }

    /// The form is kept for ever: orders that were handed out carry heads made by it.
    #[test]
    fn the_head_of_a_known_history_does_not_change() {
        let start = Head::start(&FlightId::new("FR1").unwrap(), Salt(7), 1);
        assert_eq!(start.next(&placed(2, "ann")).to_string(), GOLDEN);
    }

    const GOLDEN: &str = "c76c377d4371def0ceccf9d156a75e1f";
}
