//! How a flight comes back from its first event or from a snapshot, and what a snapshot of it is.
//! Never goes on with one that breaks an invariant.

use std::hash::{Hash, Hasher};

use xxhash_rust::xxh3::Xxh3Default;

use super::broken_invariant::BrokenInvariant;
use super::event::{Event, Recorded};
use super::flight::Flight;
use super::ids::{CustomerId, OrderNo, Seq, Timestamp};
use super::key_table::KeyOwner;
use super::ledger::Ledger;
use super::order::Order;
use super::requests::Request;
use super::sale::{Sale, SaleSwitch};
use super::seat_map::SeatStatus;
use super::snapshot::FlightSnapshot;
use super::waitlist::line::Waitlist;
use super::waitlist::types::WaitlistEntry;

impl Flight {
    /// The flight after its first event, which must be `FlightCreated` with seq 1 and sound cabins.
    pub fn create(first: &Recorded) -> Result<Self, BrokenInvariant> {
        let Event::FlightCreated { definition, policy } = &first.event else {
            return Err(BrokenInvariant::new(
                "first event",
                "a flight's history must begin with its creation",
            ));
        };
        if first.seq != Seq(1) {
            return Err(BrokenInvariant::new("first event", format!("its seq is {}, not 1", first.seq)));
        }
        let sale = Sale { policy: *policy, switch: SaleSwitch::Scheduled };
        let mut flight = Self::empty(definition, sale, first.seq, first.at)?;
        flight.move_head(first);
        flight.remember_request(first);
        flight.check_head(first);
        flight.broken.take().map_or(Ok(flight), Err)
    }

    /// The flight a snapshot was taken of; checks every invariant.
    pub fn restore(snapshot: FlightSnapshot) -> Result<Self, BrokenInvariant> {
        let FlightSnapshot {
            definition,
            sale,
            seq,
            last_at,
            head,
            forgotten_through,
            blocked,
            orders,
            requests,
            waitlist,
        } = snapshot;
        let mut flight = Self::empty(&definition, sale, seq, last_at)?;
        flight.forgotten_through = forgotten_through;
        flight.head = head;
        if !flight.map.change(&blocked, SeatStatus::Free, SeatStatus::Blocked) {
            return Err(BrokenInvariant::new("blocked seats", "a blocked seat does not exist"));
        }
        for order in orders {
            if order.status.is_live()
                && !flight.map.change(&order.seats, SeatStatus::Free, order.seat_status())
            {
                return Err(BrokenInvariant::new(
                    "one order a seat",
                    format!("order {} has a seat that another has too, or that is not there", order.no.0),
                ));
            }
            flight.remember(order);
        }
        // Orders that end in the same millisecond do so in the order of their events; those that one event ends, by
        // number.
        let mut ended: Vec<_> =
            flight.orders.values().filter(|o| !o.status.is_live()).map(|o| (o.changed_by, o)).collect();
        ended.sort_by_key(|(seq, order)| (*seq, order.no));
        flight.ended = ended.into_iter().map(|(_, order)| (order.updated_at, order.no)).collect();
        for mut request in requests {
            let seq = request.seq;
            if request.owner == KeyOwner::Unsaid {
                request.owner = flight.owner_by_state(&request, &waitlist);
            }
            if !flight.requests.insert(request) {
                return Err(BrokenInvariant::new("one request a key", format!("event {seq} has a used key")));
            }
        }
        flight.waitlist = Waitlist::restore(waitlist, flight.definition.departs_at, seq);
        flight.requests.forget_through(forgotten_through);
        flight.ledger = flight.ledger_anew();
        flight.forget_ended();
        flight.check()?;
        Ok(flight)
    }

    /// Everything needed to rebuild this flight exactly.
    pub fn snapshot(&self) -> FlightSnapshot {
        let mut orders: Vec<Order> = self.orders.values().cloned().collect();
        orders.sort_by_key(|order| order.no);
        FlightSnapshot {
            definition: (*self.definition).clone(),
            sale: self.sale,
            seq: self.seq,
            last_at: self.last_at,
            head: self.head,
            forgotten_through: self.forgotten_through,
            blocked: self.map.seats_with(SeatStatus::Blocked),
            orders,
            requests: self.requests.iter().cloned().collect(),
            waitlist: self.waitlist.iter().cloned().collect(),
        }
    }

    /// A hash (XXH3, 64 bits) of the whole state, the same for equal flights of one build.
    pub fn digest(&self) -> u64 {
        let mut hash = Xxh3Default::new();
        self.definition.hash(&mut hash);
        (self.sale, self.seq, self.last_at, self.forgotten_through, self.head).hash(&mut hash);
        self.map.rows().for_each(|row| row.hash(&mut hash));
        let mut orders: Vec<&Order> = self.orders.values().collect();
        orders.sort_unstable_by_key(|order| order.no);
        orders.hash(&mut hash);
        let mut holdings: Vec<_> = self.holdings.iter().collect();
        holdings.sort_unstable();
        holdings.hash(&mut hash);
        let mut keys: Vec<OrderNo> = self.keys.iter().collect();
        keys.sort_unstable();
        keys.hash(&mut hash);
        self.holds.hash(&mut hash);
        self.ended.hash(&mut hash);
        self.requests.iter().for_each(|request| request.hash(&mut hash));
        self.waitlist.hash_into(&mut hash);
        hash.finish()
    }

    /// All that is kept, charged from nothing.
    pub(super) fn ledger_anew(&self) -> Ledger {
        let mut ledger = Ledger::default();
        let mut over: Vec<(&CustomerId, Timestamp, u32)> = Vec::new();
        let ended = self.orders.values().filter(|order| !order.status.is_live());
        over.extend(ended.map(|order| (&order.customer, order.updated_at, order.bytes_kept())));
        let left = self.waitlist.ended_entries();
        over.extend(left.map(|entry| (&entry.wish.customer, entry.updated_at, entry.bytes_kept())));
        over.sort_unstable_by_key(|(_, at, _)| *at);
        over.into_iter().for_each(|(customer, at, bytes)| ledger.charge(customer, at, bytes));
        self.requests.iter().for_each(|request| ledger.charge_request(request));
        ledger
    }

    /// Whose key it must have been, of a request that was written before that was.
    fn owner_by_state(&self, request: &Request, waitlist: &[WaitlistEntry]) -> KeyOwner {
        let of_order = request.order.and_then(|no| self.order(no)).map(|order| &order.customer);
        let of_entry = || {
            let mut entries = waitlist.iter();
            entries
                .find(|entry| entry.no.0 == request.seq.0 || entry.changed_by == request.seq)
                .map(|entry| &entry.wish.customer)
        };
        of_order.or_else(of_entry).map_or(KeyOwner::Admins, |customer| KeyOwner::Customer(customer.clone()))
    }
}
