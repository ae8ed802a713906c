//! A flight: its seats, orders, keys and limits at one moment, and what can be looked up in it.
//! Never changes but by `apply`.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::broken_invariant::BrokenInvariant;
use super::budget::Budget;
use super::cabin::check_cabins;
use super::event::FlightDefinition;
use super::head::Head;
use super::ids::{CustomerId, IdempotencyKey, OrderNo, OrderRef, Seq, Timestamp};
use super::key_table::{KeyTable, OwnerRef};
use super::ledger::Ledger;
use super::order::Order;
use super::public_ids::OrderId;
use super::requests::{Request, Requests};
use super::retention::ENDED_ORDER_RETENTION_MS;
use super::sale::{Sale, SaleState};
use super::seat_map::SeatMap;
use super::secrets::{IdSecrets, UnknownSecret};
use super::waitlist::line::Waitlist;

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
    /// A flight of which nothing is known but what it is.
    pub(super) fn empty(
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

    /// Number of held orders.
    pub fn holds(&self) -> usize {
        self.holds.len()
    }

    /// The requests the flight remembers, by rising seq.
    pub fn requests(&self) -> impl Iterator<Item = &Request> {
        self.requests.iter()
    }

    /// When something happens by itself after `now`: a hold or a wait runs out, or the sale opens while somebody waits.
    pub fn next_expiry(&self, now: Timestamp) -> Option<Timestamp> {
        let hold = self.holds.first().map(|(deadline, _)| *deadline);
        hold.into_iter().chain(self.next_waitlist_moment(now)).min()
    }

    /// Another budget than the standard one, for tests of what happens at its bounds: replay does not depend on it.
    #[doc(hidden)]
    pub fn set_budget(&mut self, budget: Budget) {
        self.budget = budget;
    }

    /// Things that are over and are kept of all customers.
    pub fn things_kept(&self) -> usize {
        self.ledger.things
    }

    /// Things that are over and are kept of this customer, and the bytes they take, about.
    pub fn kept_of(&self, customer: &CustomerId) -> (usize, u64) {
        self.ledger.accounts.get(customer).map_or((0, 0), |account| (account.things.len(), account.bytes))
    }

    /// What `apply` found impossible, if anything: such a flight must not go on.
    pub fn broken(&self) -> Option<&BrokenInvariant> {
        self.broken.as_ref()
    }

    pub(super) fn break_with(&mut self, name: &'static str, detail: impl Into<String>) {
        if self.broken.is_none() {
            self.broken = Some(BrokenInvariant::new(name, detail));
        }
    }
}
