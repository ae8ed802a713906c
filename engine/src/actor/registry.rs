//! Which flights there are here, by id.
//! Never lets a guard of the map out: callers get clones of handles.

use std::sync::Arc;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use foldhash::quality::RandomState;

use super::board::Board;
use super::handle::FlightHandle;
use super::shared::{FlightShared, Standing};
use crate::flight::FlightId;

/// Where a flight is served.
pub enum Located {
    /// Here.
    Here(FlightHandle),
    /// By another process, or by nobody for the moment: it is being created or recovered.
    There,
    /// By nobody, until its operator sees to it.
    Quarantined {
        /// Why it is so, as it is shown to its operator.
        reason: String,
    },
    /// There is no such flight.
    Nobody,
}

/// A flight of this process.
enum RegisteredFlight {
    Flight(Arc<FlightShared>),
    /// Could not be recovered at start.
    Lost(String),
}

pub(crate) struct Registry {
    flights: DashMap<FlightId, RegisteredFlight, RandomState>,
    board: Arc<Board>,
}

impl Registry {
    pub(crate) fn new(board: Arc<Board>) -> Self {
        Self { flights: DashMap::default(), board }
    }

    pub(crate) fn board(&self) -> &Board {
        &self.board
    }

    /// Under the map's own guard, so that the board has the same flight under an id as the map.
    fn put_on_board(&self, flight: &Arc<FlightShared>) {
        // It is entered once.
        let _ = flight.board.set(Arc::downgrade(&self.board));
        self.board.enter(flight);
    }

    /// Enters a flight, unless there is one of that id already.
    pub(crate) fn enter(&self, flight: Arc<FlightShared>) -> bool {
        match self.flights.entry(flight.flight_id.clone()) {
            Entry::Occupied(_) => false,
            Entry::Vacant(place) => {
                self.put_on_board(&flight);
                place.insert(RegisteredFlight::Flight(flight));
                true
            }
        }
    }

    /// Enters a flight that was recovered, in the place of one that could not be or that is served here under an older
    /// epoch: that one is given back, and has to give way. If the one that is there is not older, it stays, and is the
    /// error.
    pub(crate) fn enter_newer(
        &self,
        flight: &Arc<FlightShared>,
    ) -> Result<Option<Arc<FlightShared>>, Arc<FlightShared>> {
        match self.flights.entry(flight.flight_id.clone()) {
            Entry::Occupied(mut place) => {
                if let RegisteredFlight::Flight(present) = place.get()
                    && present.epoch() >= flight.epoch()
                {
                    return Err(present.clone());
                }
                self.put_on_board(flight);
                match place.insert(RegisteredFlight::Flight(flight.clone())) {
                    RegisteredFlight::Flight(older) => Ok(Some(older)),
                    RegisteredFlight::Lost(_) => Ok(None),
                }
            }
            Entry::Vacant(place) => {
                self.put_on_board(flight);
                place.insert(RegisteredFlight::Flight(flight.clone()));
                Ok(None)
            }
        }
    }

    /// Notes a flight that could not be recovered.
    pub(crate) fn enter_lost(&self, flight_id: FlightId, reason: String) {
        self.flights.insert(flight_id, RegisteredFlight::Lost(reason));
    }

    /// Removes a flight, unless another one has taken its place.
    pub(crate) fn remove(&self, flight: &Arc<FlightShared>) {
        let is_it = |entered: &RegisteredFlight| matches!(entered, RegisteredFlight::Flight(there) if Arc::ptr_eq(there, flight));
        self.flights.remove_if(&flight.flight_id, |_, entered| {
            let is_it = is_it(entered);
            if is_it {
                self.board.remove(flight);
            }
            is_it
        });
    }

    pub(crate) fn shared(&self, flight_id: &FlightId) -> Option<Arc<FlightShared>> {
        match self.flights.get(flight_id)?.value() {
            RegisteredFlight::Flight(flight) => Some(flight.clone()),
            RegisteredFlight::Lost(_) => None,
        }
    }

    pub(crate) fn find(&self, flight_id: &FlightId) -> Located {
        let Some(entered) = self.flights.get(flight_id) else { return Located::Nobody };
        let flight = match entered.value() {
            RegisteredFlight::Flight(flight) => flight,
            RegisteredFlight::Lost(reason) => return Located::Quarantined { reason: reason.clone() },
        };
        match flight.standing() {
            Standing::Serving => Located::Here(FlightHandle(flight.clone())),
            Standing::Creating | Standing::Recovering | Standing::Leaving | Standing::Fenced => {
                Located::There
            }
            Standing::Quarantined => Located::Quarantined { reason: flight.quarantine_reason.read().clone() },
        }
    }

    /// Whether a flight is anything but another process's.
    pub(crate) fn has(&self, flight_id: &FlightId) -> bool {
        self.flights.get(flight_id).is_some_and(|entered| match entered.value() {
            RegisteredFlight::Flight(flight) => flight.standing() != Standing::Fenced,
            RegisteredFlight::Lost(_) => true,
        })
    }

    /// All flights whose view may be shown.
    pub(crate) fn handles(&self) -> Vec<FlightHandle> {
        let shown = |flight: &Arc<FlightShared>| flight.standing() != Standing::Creating;
        self.flights
            .iter()
            .filter_map(|entered| match entered.value() {
                RegisteredFlight::Flight(flight) if shown(flight) => Some(FlightHandle(flight.clone())),
                _ => None,
            })
            .collect()
    }

    /// Shows every flight; `None` for one that could not be recovered at start.
    pub(crate) fn each(&self, mut look: impl FnMut(Option<&FlightShared>)) {
        for entered in &self.flights {
            match entered.value() {
                RegisteredFlight::Flight(flight) => look(Some(flight)),
                RegisteredFlight::Lost(_) => look(None),
            }
        }
    }

    /// Flights that are stopped because the journal refused their events.
    pub(crate) fn refused(&self) -> Vec<FlightHandle> {
        self.flights
            .iter()
            .filter_map(|entered| match entered.value() {
                RegisteredFlight::Flight(flight) if flight.is_refused() => Some(FlightHandle(flight.clone())),
                _ => None,
            })
            .collect()
    }

    /// Flights that are stopped, with the reasons.
    pub(crate) fn quarantined(&self) -> Vec<(FlightId, String)> {
        self.flights
            .iter()
            .filter_map(|entered| match entered.value() {
                RegisteredFlight::Lost(reason) => Some((entered.key().clone(), reason.clone())),
                RegisteredFlight::Flight(flight) if flight.standing() == Standing::Quarantined => {
                    Some((entered.key().clone(), flight.quarantine_reason.read().clone()))
                }
                RegisteredFlight::Flight(_) => None,
            })
            .collect()
    }
}
