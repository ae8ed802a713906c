//! A flight: its seats, orders, keys and limits at one moment, and how it comes back from events or a snapshot.
//! Never changes but by `apply`.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use foldhash::fast::RandomState;
use xxhash_rust::xxh3::Xxh3Default;

use super::budget::{Budget, Ledger};
use super::cabin::check_cabins;
use super::chain::Head;
use super::event::{Event, FlightDefinition, Recorded};
use super::ids::{CustomerId, IdempotencyKey, OrderId, OrderNo, OrderRef, Seq, Timestamp};
use super::invariants::BrokenInvariant;
use super::key_table::{KeyOwner, KeyTable, OwnerRef};
use super::order::{Order, OrderStatus};
use super::requests::{REQUEST_RETENTION_MS, Requests};
use super::sale::{Sale, SaleState, SaleSwitch};
use super::seat_map::{SeatMap, SeatStatus};
use super::secrets::{IdSecrets, UnknownSecret};
use super::snapshot::FlightSnapshot;
use super::waitlist::Waitlist;

/// How long a flight remembers an order that was cancelled or expired, and its idempotency key: 24 hours, in
/// milliseconds, counted in the time of the flight's own events. Older ones are only in the store.
pub const ENDED_ORDER_RETENTION_MS: i64 = 24 * 3600 * 1000;

/// A flight at one moment.
#[derive(Debug, Clone)]
pub struct Flight {
    pub(super) definition: Arc<FlightDefinition>,
    pub(super) sale: Sale,
    pub(super) seq: Seq,
    pub(super) last_at: Timestamp,
    /// The chain's head after the last event; none where no event was in a chain yet.
    pub(super) head: Option<Head>,
    /// What ended by this event or before was forgotten before its day was over.
    pub(super) forgotten_through: Seq,
    pub(super) map: SeatMap,
    pub(super) orders: HashMap<OrderNo, Order, RandomState>,
    /// Seats of each customer's live orders; nobody stands here with 0.
    pub(super) holdings: HashMap<CustomerId, u32, RandomState>,
    /// By the keys under which orders were placed.
    pub(super) keys: KeyTable<OrderNo>,
    /// Held orders by deadline.
    pub(super) holds: BTreeSet<(Timestamp, OrderNo)>,
    /// Ended orders in the order they ended.
    pub(super) ended: VecDeque<(Timestamp, OrderNo)>,
    /// Keys of requests other than grabs.
    pub(super) requests: Requests,
    /// Parties that wait for seats.
    pub(super) waitlist: Waitlist,
    /// Who has caused what of the things that are over and are kept.
    pub(super) ledger: Ledger,
    /// How much of that may be. Only what is decided looks at it: no part of the state.
    pub(super) budget: Budget,
    /// The first thing that `apply` found impossible; a flight with one must not go on.
    pub(super) broken: Option<BrokenInvariant>,
}

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

    fn empty(
        definition: &FlightDefinition,
        sale: Sale,
        seq: Seq,
        last_at: Timestamp,
    ) -> Result<Self, BrokenInvariant> {
        check_cabins(&definition.cabins)
            .map_err(|error| BrokenInvariant::new("cabins", error.to_string()))?;
        Ok(Self {
            map: SeatMap::new(&definition.cabins),
            definition: Arc::new(definition.clone()),
            sale,
            seq,
            last_at,
            head: None,
            forgotten_through: Seq(0),
            orders: HashMap::default(),
            holdings: HashMap::default(),
            keys: KeyTable::default(),
            holds: BTreeSet::new(),
            ended: VecDeque::new(),
            requests: Requests::default(),
            waitlist: Waitlist::default(),
            ledger: Ledger::default(),
            budget: Budget::STANDARD,
            broken: None,
        })
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
        flight.waitlist = Waitlist::restore(waitlist, flight.definition.departs_at);
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

    /// What the flight is.
    pub fn definition(&self) -> &Arc<FlightDefinition> {
        &self.definition
    }

    /// Its sale.
    pub fn sale(&self) -> &Sale {
        &self.sale
    }

    /// The state of its sale at `now`.
    pub fn sale_state(&self, now: Timestamp) -> SaleState {
        self.sale.state_at(self.definition.departs_at, now)
    }

    /// The last event that went in.
    pub fn seq(&self) -> Seq {
        self.seq
    }

    /// When the last event was decided.
    pub fn last_at(&self) -> Timestamp {
        self.last_at
    }

    /// The chain's head after that event; none where no event was in a chain yet.
    pub fn head(&self) -> Option<Head> {
        self.head
    }

    /// Puts the server's secrets to it: before that, no id opens anything of it.
    pub fn unlock(&mut self, secrets: &Arc<IdSecrets>) -> Result<(), UnknownSecret> {
        let definition = Arc::make_mut(&mut self.definition);
        definition.ids.unlock(&definition.flight_id, secrets)
    }

    /// Its seats.
    pub fn map(&self) -> &SeatMap {
        &self.map
    }

    /// The order with this number, if the flight still knows it.
    pub fn order(&self, no: OrderNo) -> Option<&Order> {
        self.orders.get(&no)
    }

    /// The order somebody refers to, if the flight still knows it and the tag is right.
    pub fn find(&self, order: OrderRef) -> Option<&Order> {
        let ids = &self.definition.ids;
        if !ids.is_unlocked() || ids.order_tag(order.no) != order.tag {
            return None;
        }
        self.orders.get(&order.no)
    }

    /// What ended, or came, before this is to be forgotten at `now`: only the next event does so, but nothing that is
    /// decided meets it any more.
    pub(super) fn oldest_known(&self, now: Timestamp) -> Timestamp {
        now.max(self.last_at).plus_millis(-ENDED_ORDER_RETENTION_MS)
    }

    /// The order somebody refers to, unless it ended so long before `now` that it is to be forgotten.
    pub(super) fn find_at(&self, order: OrderRef, now: Timestamp) -> Option<&Order> {
        self.find(order).filter(|order| order.is_known_since(self.oldest_known(now)))
    }

    /// The order that this customer placed under this key, if it has not ended before `oldest`.
    pub(super) fn order_under(
        &self,
        customer: &CustomerId,
        key: &IdempotencyKey,
        oldest: Timestamp,
    ) -> Option<OrderNo> {
        self.keys.find(OwnerRef::Customer(customer), key, |no| {
            self.orders.get(&no).is_some_and(|order| {
                order.customer == *customer
                    && order.idempotency().is_some_and(|(its, _)| its == key)
                    && order.is_known_since(oldest)
            })
        })
    }

    /// All orders the flight still knows, in no certain order.
    pub fn orders(&self) -> impl Iterator<Item = &Order> {
        self.orders.values()
    }

    /// Number of orders the flight still knows.
    pub fn orders_kept(&self) -> usize {
        self.orders.len()
    }

    /// The public id of one of its orders.
    pub fn order_id(&self, no: OrderNo) -> OrderId {
        OrderId::of(&self.definition.flight_id, &self.definition.ids, no)
    }

    /// When something happens by itself: a hold or a wait runs out, or the sale opens while somebody waits.
    pub fn next_expiry(&self) -> Option<Timestamp> {
        let hold = self.holds.first().map(|(deadline, _)| *deadline);
        hold.into_iter().chain(self.next_waitlist_moment()).min()
    }

    /// Number of held orders.
    pub fn holds(&self) -> usize {
        self.holds.len()
    }

    /// Puts an order and what is derived from it (but not its seats, nor its place among the ended) in place.
    pub(super) fn remember(&mut self, order: Order) {
        if order.status.is_live() {
            #[expect(clippy::cast_possible_truncation, reason = "a flight has at most 10,000 seats")]
            let seats = order.seats.len() as u32;
            // Looked up first, so that a customer who is known already costs no copy of the name.
            match self.holdings.get_mut(&order.customer) {
                Some(holding) => *holding += seats,
                None => {
                    self.holdings.insert(order.customer.clone(), seats);
                }
            }
        }
        if let (OrderStatus::Held, Some(deadline)) = (order.status, order.hold_expires_at) {
            self.holds.insert((deadline, order.no));
        }
        if let Some((key, _)) = order.idempotency() {
            self.keys.insert(OwnerRef::Customer(&order.customer), key, order.no);
        }
        self.orders.insert(order.no, order);
    }

    /// Forgets orders that ended, and requests that came, long enough before the last event.
    pub(super) fn forget_ended(&mut self) {
        let oldest = self.last_at.plus_millis(-ENDED_ORDER_RETENTION_MS);
        self.forget_requests(self.last_at.plus_millis(-REQUEST_RETENTION_MS));
        let through = self.forgotten_through;
        while let Some(entry) = self.waitlist.forget_first(oldest, through) {
            self.ledger.release(&entry.wish.customer, entry.updated_at, entry.bytes_kept());
        }
        while let Some(&(at, no)) = self.ended.front()
            && (at < oldest || self.orders.get(&no).is_none_or(|order| order.changed_by <= through))
        {
            self.ended.pop_front();
            let Some(order) = self.orders.remove(&no) else { continue };
            self.ledger.release(&order.customer, at, order.bytes_kept());
            if let Some((key, _)) = order.idempotency() {
                self.keys.remove(OwnerRef::Customer(&order.customer), key, no);
            }
        }
    }
}

impl Order {
    /// Whether it is live, or ended no sooner than at `oldest`.
    fn is_known_since(&self, oldest: Timestamp) -> bool {
        self.status.is_live() || self.updated_at >= oldest
    }

    /// How the seats of this order stand while it is live.
    pub(super) fn seat_status(&self) -> SeatStatus {
        if self.status == OrderStatus::Held { SeatStatus::Held } else { SeatStatus::Sold }
    }
}
