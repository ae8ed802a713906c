//! The fingerprints of requests, in a fixed form: by them a repeated request is told from another one under its key.
//! Never puts a key into one.

use xxhash_rust::xxh3::Xxh3Default;

use super::cabin::{Cabin, CabinClass, Fare, Seat};
use super::command::{Command, Payment, PolicyChange, SeatPlan};
use super::event::FlightDefinition;
use super::ids::{OrderRef, Reference, Timestamp};
use super::order::Fingerprint;
use super::payment::Covers;
use super::sale::SalePolicy;
use super::waitlist::types::{Accept, WaitlistWish};

/// Gathers what a request says in a fixed form: each field with a tag and its length.
struct Print(Xxh3Default);

impl Print {
    fn of(kind: u8) -> Self {
        let mut print = Self(Xxh3Default::new());
        // No grab begins like this: its first field is tagged 1.
        print.field(0, &[kind]);
        print
    }

    fn field(&mut self, tag: u8, bytes: &[u8]) -> &mut Self {
        self.0.update(&[tag]);
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
        self
    }

    fn order(&mut self, order: OrderRef) -> &mut Self {
        self.field(1, &order.no.0.to_le_bytes()).field(2, &order.tag.to_le_bytes())
    }

    fn seats(&mut self, seats: &[Seat]) -> &mut Self {
        for seat in seats {
            self.field(3, &seat.packed().to_le_bytes());
        }
        self
    }

    fn moment(&mut self, tag: u8, at: Option<Timestamp>) -> &mut Self {
        match at {
            Some(at) => self.field(tag, &at.as_millis().to_le_bytes()),
            None => self.field(tag, &[]),
        }
    }

    fn number(&mut self, tag: u8, number: Option<u32>) -> &mut Self {
        if let Some(number) = number {
            self.field(tag, &number.to_le_bytes());
        }
        self
    }

    fn cabin(&mut self, cabin: &Cabin) -> &mut Self {
        self.field(20, cabin.cabin_class.as_str().as_bytes());
        self.field(21, &cabin.first_row.to_le_bytes()).field(22, &cabin.last_row.to_le_bytes());
        self.field(23, cabin.layout.as_str().as_bytes());
        self.fare(&cabin.fare)
    }

    fn fare(&mut self, fare: &Fare) -> &mut Self {
        self.field(24, &fare.amount.to_le_bytes()).field(25, fare.currency.as_str().as_bytes())
    }

    fn plan(&mut self, plan: &SeatPlan) -> &mut Self {
        match plan {
            SeatPlan::Aircraft { aircraft, cabins } => {
                self.field(1, aircraft.as_deref().unwrap_or_default().as_bytes());
                cabins.iter().fold(self, |print, cabin| print.cabin(cabin))
            }
            SeatPlan::Without(seats) => self.seats(seats),
            SeatPlan::Template { aircraft, fare, fares } => {
                self.field(60, aircraft.as_bytes());
                if let Some(fare) = fare {
                    self.fare(fare);
                }
                fares
                    .iter()
                    .fold(self, |print, (class, fare)| print.field(61, class.as_str().as_bytes()).fare(fare))
            }
            SeatPlan::WithoutRows { first, last } => {
                self.field(62, &first.to_le_bytes()).field(63, &last.to_le_bytes())
            }
        }
    }

    fn policy(&mut self, change: &PolicyChange) -> &mut Self {
        if let Some(at) = change.opens_at {
            self.moment(10, at);
        }
        if let Some(at) = change.closes_at {
            self.moment(11, at);
        }
        self.number(12, change.max_seats_per_order.map(u32::from));
        self.number(13, change.max_seats_per_customer.map(u32::from));
        self.number(14, change.hold_seconds).number(15, change.payment_grace_seconds);
        self.number(16, change.closes_before_minutes.map(u32::from))
    }

    fn wish(&mut self, wish: &WaitlistWish) -> &mut Self {
        let fewest = match wish.accept {
            Accept::AllTogether => 0_u32,
            Accept::All => u32::MAX,
            Accept::AtLeast(fewest) => fewest.into(),
        };
        self.field(40, wish.customer.as_str().as_bytes()).field(41, &wish.party_size.to_le_bytes());
        self.number(42, Some(fewest)).moment(43, wish.expires_at);
        self.field(44, wish.cabin_class.map_or("", CabinClass::as_str).as_bytes());
        self.field(45, wish.client_reference.as_ref().map_or("", Reference::as_str).as_bytes())
    }

    fn end(&self) -> Fingerprint {
        Fingerprint(self.0.digest())
    }
}

fn print_of_payment(order: OrderRef, payment: Option<&Payment>) -> Fingerprint {
    let mut print = Print::of(1);
    print.order(order);
    if let Some(Payment { reference, covers }) = payment {
        print.field(4, reference.as_str().as_bytes());
        match covers {
            Covers::Amount { amount, currency } => {
                print.field(5, &amount.to_le_bytes()).field(6, currency.as_str().as_bytes())
            }
            Covers::OrderAt(seq) => print.field(7, &seq.0.to_le_bytes()),
        };
    }
    print.end()
}

impl Command {
    /// The hash (XXH3, 64 bits) of what is asked for and of which order, in a fixed form; a key is not part of it.
    pub fn fingerprint(&self) -> Fingerprint {
        match self {
            Self::Grab(grab) => grab.fingerprint(),
            Self::Confirm { order, payment } => print_of_payment(*order, payment.as_ref()),
            // It is the same request to whoever makes it.
            Self::ReturnPayment { order, payment, .. } => print_of_payment(*order, Some(payment)),
            Self::Cancel { order } => Print::of(2).order(*order).end(),
            Self::Change { order, seats, passengers } => {
                let mut print = Print::of(3);
                print.order(*order);
                if let Some(seats) = seats {
                    print.seats(seats);
                }
                for passenger in passengers.iter().flat_map(|passengers| passengers.iter()) {
                    match passenger {
                        Some(name) => print.field(5, name.as_str().as_bytes()),
                        None => print.field(6, &[]),
                    };
                }
                // To name nobody is not the same as to leave the names as they are.
                print.number(7, passengers.as_ref().map(|_| 0)).end()
            }
            Self::Pay { order } => Print::of(4).order(*order).end(),
            Self::OpenSale => Print::of(5).end(),
            Self::PauseSale => Print::of(6).end(),
            Self::CloseSale => Print::of(7).end(),
            Self::CloseForGood => Print::of(32).end(),
            Self::ChangePolicy(change) => Print::of(8).policy(change).end(),
            Self::Block(seats) => Print::of(9).seats(seats).end(),
            Self::Unblock(seats) => Print::of(10).seats(seats).end(),
            Self::AddRows(cabin) => Print::of(11).cabin(cabin).end(),
            Self::ChangeSeatPlan { plan, cancel_stranded } => {
                Print::of(31).plan(plan).field(2, &[u8::from(*cancel_stranded)]).end()
            }
            Self::JoinWaitlist(wish) => Print::of(21).wish(wish).end(),
            Self::LeaveWaitlist { entry } => {
                Print::of(22).field(1, &entry.no.0.to_le_bytes()).field(2, &entry.tag.to_le_bytes()).end()
            }
        }
    }
}

/// The same of a request to create a flight; the secret of its order ids, which nobody asked for, is not part of it.
pub fn fingerprint_of_creation(
    definition: &FlightDefinition,
    policy: &SalePolicy,
    open: bool,
) -> Fingerprint {
    let mut print = Print::of(12);
    print.field(30, definition.flight_id.as_str().as_bytes());
    print.field(31, definition.flight_number.as_bytes());
    print.field(32, definition.origin.as_bytes()).field(33, definition.destination.as_bytes());
    print.moment(34, Some(definition.departs_at));
    if let Some(zone) = &definition.origin_time_zone {
        print.field(37, zone.as_str().as_bytes());
    }
    print.field(35, definition.aircraft.as_deref().unwrap_or_default().as_bytes());
    for cabin in &definition.cabins {
        print.cabin(cabin);
    }
    print.policy(&PolicyChange {
        opens_at: Some(policy.opens_at),
        closes_at: Some(policy.closes_at),
        max_seats_per_order: Some(policy.max_seats_per_order),
        max_seats_per_customer: Some(policy.max_seats_per_customer),
        hold_seconds: Some(policy.hold_seconds),
        payment_grace_seconds: Some(policy.payment_grace_seconds),
        // Left out where it is not used, so that a request of before there was such a thing has the fingerprint it had.
        closes_before_minutes: Some(policy.closes_before_minutes).filter(|minutes| *minutes > 0),
    });
    print.field(36, &[u8::from(open)]).end()
}

/// The same of a file of flights, of each of which this is the fingerprint; `skip` says whether those that are there
/// already are passed over.
pub fn fingerprint_of_import(flights: &[Fingerprint], skip: bool) -> Fingerprint {
    let mut print = Print::of(33);
    for flight in flights {
        print.field(1, &flight.0.to_le_bytes());
    }
    print.field(2, &[u8::from(skip)]).end()
}
