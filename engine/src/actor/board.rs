//! The flights that are shown, in the order in which they leave, by route and by the state of their sale; kept up as flights
//! come, go and change, so that a page of them costs as much as it shows. Also which of them the store is behind with.
//! Never decides anything, and never walks all flights for one question.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use parking_lot::{Mutex, RwLock};

use super::clock::Clock;
use super::handle::FlightHandle;
use super::shared::{FlightShared, Standing};
use super::view::FlightView;
use crate::flight::{FlightId, SaleState, Timestamp};

/// What flights are sought. Each combination is a list of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Sought {
    /// Where they leave from.
    pub origin: Option<String>,
    /// Where they go.
    pub destination: Option<String>,
    /// The state of their sale.
    pub state: Option<SaleState>,
}

/// Where a flight stands in a list: when it leaves, in milliseconds, and its id; without one, before all of that moment.
type ListPosition = (i64, Option<FlightId>);

/// Under what a flight is listed.
#[derive(Clone, PartialEq, Eq)]
struct Listed {
    departs_at: i64,
    origin: String,
    destination: String,
    state: SaleState,
}

impl Listed {
    fn of(view: &FlightView, now: Timestamp) -> Self {
        let definition = &view.definition;
        Self {
            departs_at: definition.departs_at.as_millis(),
            origin: definition.origin.to_string(),
            destination: definition.destination.to_string(),
            state: view.sale_state(now),
        }
    }

    /// The lists that it is on.
    fn lists(&self) -> impl Iterator<Item = Sought> {
        let some = |wanted: bool, text: &String| wanted.then(|| text.clone());
        (0..8).map(move |bits: u8| Sought {
            origin: some(bits & 1 > 0, &self.origin),
            destination: some(bits & 2 > 0, &self.destination),
            state: (bits & 4 > 0).then_some(self.state),
        })
    }
}

/// A flight on the board.
struct BoardEntry {
    flight: Arc<FlightShared>,
    /// `None` while it is not shown.
    listed: Option<Listed>,
    /// When its sale changes by itself next.
    changes_at: Option<i64>,
}

#[derive(Default)]
struct Lists {
    flights: HashMap<FlightId, BoardEntry>,
    lists: HashMap<Sought, BTreeSet<ListPosition>>,
    /// When which sale changes by itself.
    changes: BTreeSet<(i64, FlightId)>,
    /// Flights that another process has by now.
    fenced: HashSet<FlightId>,
}

/// See above.
pub(crate) struct Board {
    clock: Arc<Clock>,
    lists: RwLock<Lists>,
    /// When a sale changes by itself next, in milliseconds.
    next_change: AtomicI64,
    /// Flights of which the store lacks durable events.
    behind: Mutex<HashSet<FlightId>>,
}

/// A page of a list.
#[derive(Default)]
pub struct BoardPage {
    /// The flights, in the order in which they leave.
    pub flights: Vec<FlightHandle>,
    /// Whether there are more of them.
    pub more: bool,
}

impl Board {
    pub(crate) fn new(clock: Arc<Clock>) -> Self {
        Self {
            clock,
            lists: RwLock::default(),
            next_change: AtomicI64::new(i64::MAX),
            behind: Mutex::default(),
        }
    }

    /// A flight was entered into the registry, perhaps in the place of another one of its id.
    pub(crate) fn enter(&self, flight: &Arc<FlightShared>) {
        let mut lists = self.lists.write();
        lists.take_off(&flight.flight_id);
        let entered = BoardEntry { flight: flight.clone(), listed: None, changes_at: None };
        lists.flights.insert(flight.flight_id.clone(), entered);
        self.look_at(&mut lists, &flight.flight_id);
    }

    /// A flight was removed from the registry, unless another one is there by now.
    pub(crate) fn remove(&self, flight: &FlightShared) {
        let mut lists = self.lists.write();
        let is_it = |entered: &BoardEntry| std::ptr::eq(&raw const *entered.flight, flight);
        if lists.flights.get(&flight.flight_id).is_some_and(is_it) {
            lists.take_off(&flight.flight_id);
            lists.flights.remove(&flight.flight_id);
            lists.fenced.remove(&flight.flight_id);
        }
    }

    /// Something about a flight may have changed that lists show it by.
    pub(crate) fn note(&self, flight: &FlightShared) {
        let mut lists = self.lists.write();
        let is_it = |entered: &BoardEntry| std::ptr::eq(&raw const *entered.flight, flight);
        if lists.flights.get(&flight.flight_id).is_some_and(is_it) {
            self.look_at(&mut lists, &flight.flight_id);
        }
    }

    /// Enters the flight where it belongs now.
    fn look_at(&self, lists: &mut Lists, flight_id: &FlightId) {
        let now = self.clock.now();
        let Some(entered) = lists.flights.get(flight_id) else { return };
        let (standing, view) = (entered.flight.standing(), entered.flight.view.load_full());
        let is_shown = !matches!(standing, Standing::Creating | Standing::Fenced);
        let listed = is_shown.then(|| Listed::of(&view, now));
        let changes = [view.sale.policy.opens_at, Some(view.sale_ends_at())];
        let changes_at = changes.into_iter().flatten().filter(|at| *at > now).min().map(Timestamp::as_millis);
        let changes_at = changes_at.filter(|_| is_shown);
        if standing == Standing::Fenced {
            lists.fenced.insert(flight_id.clone());
        } else {
            lists.fenced.remove(flight_id);
        }
        if (&entered.listed, entered.changes_at) == (&listed, changes_at) {
            return;
        }
        lists.take_off(flight_id);
        if let Some(listed) = &listed {
            for list in listed.lists() {
                lists.lists.entry(list).or_default().insert((listed.departs_at, Some(flight_id.clone())));
            }
        }
        if let Some(at) = changes_at {
            lists.changes.insert((at, flight_id.clone()));
            self.next_change.fetch_min(at, Ordering::AcqRel);
        }
        if let Some(entered) = lists.flights.get_mut(flight_id) {
            (entered.listed, entered.changes_at) = (listed, changes_at);
        }
    }

    /// Moves flights whose sale has changed by itself.
    fn keep_up(&self, now: Timestamp) {
        if self.next_change.load(Ordering::Acquire) > now.as_millis() {
            return;
        }
        let mut lists = self.lists.write();
        while let Some((at, flight_id)) = lists.changes.first().cloned() {
            if at > now.as_millis() {
                break;
            }
            lists.changes.remove(&(at, flight_id.clone()));
            if let Some(entered) = lists.flights.get_mut(&flight_id) {
                entered.changes_at = None;
            }
            self.look_at(&mut lists, &flight_id);
        }
        let next = lists.changes.first().map_or(i64::MAX, |(at, _)| *at);
        self.next_change.store(next, Ordering::Release);
    }

    /// A page of those sought: behind `after`, and leaving at or after `from` and before `until` (milliseconds); those
    /// alone of which `holds` says so.
    pub(crate) fn page(
        &self,
        sought: &Sought,
        after: Option<&(i64, FlightId)>,
        (from, until): (i64, i64),
        limit: usize,
        mut holds: impl FnMut(&FlightHandle) -> bool,
    ) -> BoardPage {
        self.keep_up(self.clock.now());
        let lists = self.lists.read();
        let mut page = BoardPage::default();
        let Some(list) = lists.lists.get(sought) else { return page };
        let start = match after {
            Some((departs_at, flight_id)) if *departs_at >= from => {
                Bound::Excluded((*departs_at, Some(flight_id.clone())))
            }
            _ => Bound::Included((from, None)),
        };
        for (departs_at, flight_id) in list.range((start, Bound::Unbounded)) {
            if *departs_at >= until {
                break;
            }
            let Some(entered) = flight_id.as_ref().and_then(|id| lists.flights.get(id)) else { continue };
            let flight = FlightHandle(entered.flight.clone());
            if !holds(&flight) {
                continue;
            }
            if page.flights.len() == limit {
                page.more = true;
                break;
            }
            page.flights.push(flight);
        }
        page
    }

    /// How many flights are shown, and how many are not because another process has them.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let lists = self.lists.read();
        (lists.lists.get(&Sought::default()).map_or(0, BTreeSet::len), lists.fenced.len())
    }

    /// The store lacks events of this flight, as of now.
    pub(crate) fn note_behind(&self, flight: &FlightShared) {
        let mut behind = self.behind.lock();
        flight.noted_behind.store(true, Ordering::SeqCst);
        behind.insert(flight.flight_id.clone());
    }

    /// The store has come further with this flight.
    pub(crate) fn note_stored(&self, flight: &FlightShared) {
        let mut behind = self.behind.lock();
        // First the mark, then the look: whoever makes a newer event durable meanwhile finds no mark, or is seen here.
        flight.noted_behind.store(false, Ordering::SeqCst);
        if flight.is_behind() {
            flight.noted_behind.store(true, Ordering::SeqCst);
        } else {
            behind.remove(&flight.flight_id);
        }
    }

    /// Whether there are any.
    pub(crate) fn is_behind(&self) -> bool {
        !self.behind.lock().is_empty()
    }

    /// The flights that the store is behind with; some of them may be served elsewhere by now.
    pub(crate) fn behind(&self) -> Vec<FlightId> {
        self.behind.lock().iter().cloned().collect()
    }
}

impl Lists {
    fn take_off(&mut self, flight_id: &FlightId) {
        let Some(entered) = self.flights.get_mut(flight_id) else { return };
        let (listed, changes_at) = (entered.listed.take(), entered.changes_at.take());
        if let Some(listed) = listed {
            let line = (listed.departs_at, Some(flight_id.clone()));
            for list in listed.lists() {
                if let Some(lines) = self.lists.get_mut(&list) {
                    lines.remove(&line);
                    if lines.is_empty() {
                        self.lists.remove(&list);
                    }
                }
            }
        }
        if let Some(at) = changes_at {
            self.changes.remove(&(at, flight_id.clone()));
        }
    }
}
