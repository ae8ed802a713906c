//! What is searched through: so many flights, requests and faults, and the steps there are.
//! Never takes a step: `steps` does.

use crate::mistakes::Mistake;
use crate::state::{Faults, Life, Role, ServerId, State};

/// Seats of each flight.
pub const SEATS: usize = 2;

/// The protocol, for so many flights and requests, with so many faults at most.
#[derive(Clone)]
pub struct Protocol {
    /// How many flights.
    pub flights: usize,
    /// The flight of each request.
    pub requests: Vec<usize>,
    /// What may go wrong.
    pub faults: Faults,
    /// What is done wrong on purpose.
    pub mistake: Option<Mistake>,
}

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// A customer sends a request to a server, for the first time or again.
    Ask(usize, ServerId),
    /// The server looks at it: answers, decides, hands it on, or gives up.
    Look(usize),
    /// What the server sent to a flight's stream arrives.
    Land(ServerId, usize),
    /// The answer to that arrives.
    Confirm(ServerId, usize),
    /// A beat arrives: renews the lease, looks who else is there.
    Beat(ServerId),
    /// The answer to that arrives.
    HearBeat(ServerId),
    /// The server finds a new primary where it is connected to.
    MeetPrimary(ServerId),
    /// It has waited there until no lease of before can hold any more.
    WaitOut(ServerId),
    /// It claims a flight in the store whose owner is gone.
    Claim(ServerId, usize),
    /// It fences the flight, if that is still so.
    Fence(ServerId, usize),
    /// It reads the events, and serves.
    Read(ServerId, usize),
    /// It gives a flight away.
    Give(ServerId, usize),
    /// It claims a flight that was given to it.
    Fetch(ServerId, usize),
    /// It claims a flight again that was not fetched.
    TakeBack(ServerId, usize),
    /// It hears from the list of claims that a flight has a later owner.
    Learn(ServerId, usize),
    /// A lease runs out by its server's clock.
    Lapse(ServerId),
    /// A lease runs out in Redis' time.
    End(ServerId),
    /// A server dies.
    Crash(ServerId),
    /// It is started again, as another member.
    Restart(ServerId),
    /// A server is stopped; its clock goes on.
    Pause(ServerId),
    /// It goes on.
    Resume(ServerId),
    /// A connection to Redis is cut after the command was carried out.
    Cut(ServerId, usize),
    /// A customer, or the server that handed the request on, is cut off from the answer.
    CutOff(usize),
    /// Redis fails over and loses the newest entry of this flight.
    FailOver(usize),
}

impl Protocol {
    /// Whether this mistake is made.
    pub(crate) fn makes(&self, mistake: Mistake) -> bool {
        self.mistake == Some(mistake)
    }

    /// Whether a server would answer for a flight now.
    pub fn answers_for(&self, state: &State, server: ServerId, flight: usize) -> bool {
        let it = &state.servers[server];
        let serves = match it.roles[flight] {
            Role::Owner(_) => true,
            Role::Given(_) => self.makes(Mistake::SellsWhatWasGivenAway),
            _ => false,
        };
        it.life == Life::Running && serves && (it.has_lease || self.makes(Mistake::AnswersWithoutALease))
    }
}
