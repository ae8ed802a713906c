//! Which server has a flight, as the journal and the members say. What was found out is believed until whoever was named says
//! otherwise. Never takes a flight, and never asks another server.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use farerush_engine::flight::FlightId;
use farerush_engine::journal::JournalError;
use parking_lot::RwLock;

use super::OtherServers;
use super::lease::Lease;
use super::lookups::Lookups;
use crate::wire::problem::Problem;

/// Where a flight is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whereabouts {
    /// It is this server's, or it cannot be said whose, or nobody's: whoever answers here says what there is to say.
    Here,
    /// At the server that is reached there.
    At(SocketAddr),
    /// At a server to which nothing is handed on.
    Apart,
    /// Its server is gone, and nobody has taken it over yet.
    Between,
}

/// Whose flights are, as far as that was asked.
pub(super) struct Places {
    lookups: Option<Lookups<Option<Arc<str>>>>,
    /// The lives of the members that had them; as many as there are flights, at most.
    known: RwLock<HashMap<FlightId, Arc<str>>>,
}

impl Places {
    pub(super) fn new(lease: Option<&Arc<Lease>>) -> Self {
        let lookups = lease.map(|lease| {
            // Held weakly: a stop must not wait for whoever asks.
            let lease = Arc::downgrade(lease);
            Lookups::new(move |flights: &[FlightId]| {
                let gone =
                    || JournalError::Stopped { what: "say whose flights are".to_owned(), source: None };
                let owners = lease.upgrade().ok_or_else(gone)?.owners(flights)?;
                Ok(owners.into_iter().map(|owner| owner.map(Arc::from)).collect())
            })
        });
        Self { lookups, known: RwLock::default() }
    }

    pub(super) async fn of(
        &self,
        flight_id: &FlightId,
        lease: &Lease,
        anew: bool,
    ) -> Result<Whereabouts, Problem> {
        let known = self.known.read().get(flight_id).cloned();
        if let Some(life) = known.filter(|_| !anew)
            && let Some(place) = place(&life, lease)
        {
            return Ok(place);
        }
        let Some(lookups) = &self.lookups else { return Ok(Whereabouts::Here) };
        let Some(life) = lookups.ask(flight_id).await? else { return Ok(Whereabouts::Here) };
        let place = place(&life, lease);
        match place {
            Some(Whereabouts::At(_)) => drop(self.known.write().insert(flight_id.clone(), life)),
            _ => drop(self.known.write().remove(flight_id)),
        }
        Ok(place.unwrap_or(Whereabouts::Between))
    }
}

/// Where the member of this life is; `None` if there is none.
fn place(life: &str, lease: &Lease) -> Option<Whereabouts> {
    if life == lease.life() {
        return Some(Whereabouts::Here);
    }
    let servers = lease.servers();
    let server = servers.iter().find(|server| server.life == life)?;
    Some(server.about.peer.map_or(Whereabouts::Apart, Whereabouts::At))
}

impl OtherServers {
    /// Which server has a flight; as of now if it is asked `anew`, else as it was when it was asked last.
    pub async fn whereabouts(&self, flight_id: &FlightId, anew: bool) -> Result<Whereabouts, Problem> {
        match &self.lease {
            // Who asks here waits for it.
            Some(_) if self.arrivals.is_coming(flight_id) => Ok(Whereabouts::Here),
            Some(lease) => self.places.of(flight_id, lease, anew).await,
            None => Ok(Whereabouts::Here),
        }
    }

    /// Whether each flight has a server, and each server can be asked, as far as known.
    pub fn are_all_heard(&self) -> bool {
        let can_be_asked =
            |lease: &Arc<Lease>| lease.servers().iter().all(|server| server.about.peer.is_some());
        self.lease.as_ref().is_none_or(can_be_asked) && self.flights_unserved() == 0
    }

    /// Where the server of this name is.
    pub fn where_server_is(&self, name: &str) -> Whereabouts {
        let Some(lease) = &self.lease else { return Whereabouts::Here };
        let servers = lease.servers();
        let named = servers.iter().filter(|server| server.about.server == name);
        match named.min_by_key(|server| &server.life) {
            Some(server) if server.life != lease.life() => {
                server.about.peer.map_or(Whereabouts::Apart, Whereabouts::At)
            }
            _ => Whereabouts::Here,
        }
    }

    /// Whether another server has this name.
    pub fn is_other_server(&self, name: &str) -> bool {
        self.where_server_is(name) != Whereabouts::Here
    }

    /// Where other servers take what is handed on to them.
    pub fn other_peers(&self) -> Vec<SocketAddr> {
        let Some(lease) = &self.lease else { return Vec::new() };
        let own = lease.life();
        let servers = lease.servers();
        servers.iter().filter(|server| server.life != own).filter_map(|server| server.about.peer).collect()
    }
}
