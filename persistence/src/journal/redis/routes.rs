//! Which connections a way to Redis has, and which of them leads where: made where there is none, given up once they are past.
//! Never sends a command.

use farerush_engine::journal::JournalError;

use super::address::{Address, Place};
use super::link::{Link, unavailable};
use super::node;
use super::slots::{SlotMap, slot_of};

impl Link {
    /// Gives up what is known to be past. Only between one piece of work and the next: within one, what was learnt holds for
    /// the connection on which it is used.
    pub(super) fn renew(&mut self) {
        if std::mem::take(&mut self.is_spent) {
            self.nodes.clear();
            self.slots = None;
        }
        self.nodes.retain(|node| self.primaries.is_of_now(node.generation));
        if self.slots.as_ref().is_some_and(|(_, of)| *of != self.primaries.map()) {
            self.slots = None;
        }
    }

    /// Asks sentinels whether the primary is another one by now; then all links of the journal connect anew.
    pub(super) fn look_for_another(&mut self) {
        if let (Place::Sentinel { .. }, Some(node)) = (&self.primaries.place, self.nodes.first())
            && node::has_moved(&self.primaries, node, self.connect_timeout)
        {
            tracing::warn!("sentinels name another Redis as the primary: its connections are made anew");
            self.is_spent = true;
        }
    }

    /// Connects wherever there is no connection that can be used.
    pub(super) fn ready(&mut self) -> Result<(), JournalError> {
        let (connect, response) = (self.connect_timeout, self.response_timeout);
        if !self.primaries.is_cluster() {
            if self.nodes.is_empty() {
                self.nodes.push(node::find(&self.primaries, connect, response)?);
            }
            return Ok(());
        }
        let now = self.primaries.map();
        if self.slots.is_none() {
            let slots = self.read_slots()?;
            self.nodes.retain(|node| slots.primaries.contains(&node.address));
            self.slots = Some((slots, now));
        }
        let Some((slots, _)) = &self.slots else { return Ok(()) };
        for address in slots.primaries.clone() {
            if self.nodes.iter().all(|node| node.address != address) {
                match node::node_at(&self.primaries, &address, connect, response) {
                    Ok(node) => self.nodes.push(node),
                    Err(error) => {
                        // Another one may have taken its place.
                        self.slots = None;
                        return Err(error);
                    }
                }
            }
        }
        Ok(())
    }

    /// Asks one node after another, those that were there last before those that the URL names.
    fn read_slots(&self) -> Result<SlotMap, JournalError> {
        let what = "find the nodes of the Redis cluster";
        let Place::Cluster { info, seeds } = &self.primaries.place else {
            return Err(unavailable(what, "there is no cluster"));
        };
        let known = self.nodes.iter().map(|node| &node.address);
        let mut failed = unavailable(what, "no node is named");
        for address in known.chain(seeds) {
            match node::slots(info, address, self.connect_timeout) {
                Ok(answer) => match SlotMap::read(answer, address) {
                    Some(slots) if slots.is_whole() => return Ok(slots),
                    Some(_) => failed = unavailable(what, "some of its slots are no node's"),
                    None => failed = unavailable(what, "an answer of an unknown kind"),
                },
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    /// The node that has a slot; any for what has none.
    pub(super) fn node_of(&self, slot: Option<u16>) -> Result<usize, JournalError> {
        let (Some(slot), Some((slots, _))) = (slot, &self.slots) else { return Ok(0) };
        let owner = slots.owner(slot);
        let place = self.nodes.iter().position(|node| Some(&node.address) == owner);
        place.ok_or_else(|| unavailable("find a node of the Redis cluster", "a slot is no node's"))
    }

    pub(super) fn node_at(&mut self, address: &Address) -> Result<usize, JournalError> {
        if let Some(place) = self.nodes.iter().position(|node| node.address == *address) {
            return Ok(place);
        }
        let (connect, response) = (self.connect_timeout, self.response_timeout);
        self.nodes.push(node::node_at(&self.primaries, address, connect, response)?);
        Ok(self.nodes.len() - 1)
    }

    /// What, in braces, lies at this node.
    pub(super) fn tag_at(&self, place: usize) -> String {
        let Some((slots, _)) = &self.slots else { return "waited".to_owned() };
        let is_there =
            |tag: &String| slots.owner(slot_of(tag.as_bytes())) == Some(&self.nodes[place].address);
        (0..10_000_u32).map(|number| number.to_string()).find(is_there).unwrap_or_default()
    }
}
