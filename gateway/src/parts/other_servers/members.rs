//! Who shares the journal, and to whom each flight belongs: worked out alike by all.
//! Never asks anybody.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use farerush_engine::flight::FlightId;

use crate::parts::other_servers::about::About;

/// A member, as it speaks of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Its life.
    pub life: String,
    /// What it says.
    pub about: About,
}

/// Who is there, as a beat found it.
#[derive(Debug, Clone)]
pub struct Members {
    /// The life of this server.
    pub own: String,
    /// All lives, this one among them.
    pub lives: HashSet<String>,
    /// Those that take flights.
    pub takers: BTreeSet<String>,
    /// The lives at which flights are to be, whatever else says where they belong.
    pub pins: Arc<HashMap<FlightId, String>>,
}

impl Members {
    /// Whether this server is the one to serve a flight that nobody has. With each `turn` it is another one's.
    pub fn is_own_turn(&self, flight_id: &FlightId, turn: u32) -> bool {
        self.whose(flight_id, turn) == Some(&self.own)
    }

    /// To whom a flight belongs: of all members that take flights the one with the highest hash of both names (rendezvous
    /// hashing), so that only those flights move whose server comes or goes.
    pub fn whose(&self, flight_id: &FlightId, turn: u32) -> Option<&String> {
        let pinned = self.pins.get(flight_id).filter(|_| turn == 0);
        pinned.or_else(|| self.takers.iter().max_by_key(|life| weight(flight_id.as_str(), life, turn)))
    }
}

/// How much a name draws to the member of this life: where the weight is highest, there it belongs.
pub(crate) fn weight(name: &str, life: &str, turn: u32) -> u64 {
    let mut text = Vec::with_capacity(64);
    for part in [name.as_bytes(), b"\0", life.as_bytes(), &turn.to_le_bytes()] {
        text.extend_from_slice(part);
    }
    xxhash_rust::xxh3::xxh3_64(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(own: &str, lives: &[&str]) -> Members {
        let lives: HashSet<String> = lives.iter().map(|life| (*life).to_owned()).collect();
        let takers = lives.iter().cloned().collect();
        Members { own: own.to_owned(), lives, takers, pins: Arc::default() }
    }

    #[test]
    fn each_flight_is_one_members_turn_and_only_those_move_whose_server_is_gone() {
        let flights: Vec<FlightId> = (0..300).map(|n| FlightId::new(&format!("FR{n}")).unwrap()).collect();
        let all = ["a", "b", "c"];
        let turn_of = |flight: &FlightId, lives: &[&str], turn| {
            let whose: Vec<String> = lives
                .iter()
                .filter(|own| members(own, lives).is_own_turn(flight, turn))
                .map(|own| (*own).to_owned())
                .collect();
            assert_eq!(whose.len(), 1, "{flight}: {whose:?}");
            whose[0].clone()
        };
        let mut counts = std::collections::HashMap::new();
        for flight in &flights {
            let before = turn_of(flight, &all, 0);
            let after = turn_of(flight, &["a", "b"], 0);
            assert!(before == "c" || before == after, "{flight} moves from {before} to {after}");
            *counts.entry(before).or_insert(0) += 1;
        }
        assert!(counts.values().all(|count| (60..=140).contains(count)), "{counts:?}");
        assert!(
            flights.iter().any(|flight| turn_of(flight, &all, 0) != turn_of(flight, &all, 1)),
            "it is not for ever the same one's turn"
        );
    }
}
