//! How a flight comes from one server to another: claimed, fenced and read, because its owner is gone or has given it away.
//! Never takes one from a member whose lease holds.

use crate::mistakes::Mistake;
use crate::protocol::Protocol;
use crate::state::{Event, Incarnation, Life, Link, Owned, Role, ServerId, State};

impl Protocol {
    pub(crate) fn claim(&self, state: &mut State, server: ServerId, flight: usize) -> Option<()> {
        let it = &state.servers[server];
        if it.life != Life::Running || !it.has_lease || it.waits || it.roles[flight] != Role::None {
            return None;
        }
        let stream = &state.redis.streams[flight];
        let (owner, incarnation) = stream.owner;
        let is_gone = match owner == server {
            // Of an earlier life, or given up in this one.
            true => incarnation <= it.incarnation && !self.makes(Mistake::LeavesItsOwnFlightsAlone),
            false => it.gone >= Some(incarnation) || self.makes(Mistake::TakesOverOnASuspicion),
        };
        let is_claimed = state.store[flight] > stream.epoch;
        if !is_gone || (is_claimed && self.makes(Mistake::WaitsForDeadClaimants)) {
            return None;
        }
        let copy = stream.events.clone();
        claim_in_store(state, server, flight, (owner, incarnation), copy);
        Some(())
    }

    pub(crate) fn fence(&self, state: &mut State, server: ServerId, flight: usize) -> Option<()> {
        let it = &mut state.servers[server];
        let Role::Claimed { epoch, from, copy } = it.roles[flight].clone() else { return None };
        if it.life != Life::Running || it.primary != state.redis.primary {
            return None;
        }
        let stream = &mut state.redis.streams[flight];
        let is_free = stream.owner == from || self.makes(Mistake::FencesWhoeverOwnsIt);
        if !is_free || stream.epoch >= epoch {
            it.roles[flight] = Role::None;
            state.give_up(server, Some(flight));
            return Some(());
        }
        let kept = &state.redis.streams[flight].events;
        let lacks = |other: &crate::state::Server| {
            matches!(&other.roles[flight], Role::Owner(owned) | Role::Given(owned)
                if owned.events[..owned.durable].iter().any(|event| !kept.contains(event)))
        };
        // Whoever could have written again what a fail-over lost was away for longer than its lease.
        let comes_too_late = state.servers.iter().any(lacks);
        state.may_have_lost |= comes_too_late;
        let it = &mut state.servers[server];
        let stream = &mut state.redis.streams[flight];
        if !self.makes(Mistake::SkipsTheFence) {
            stream.before = (stream.epoch, stream.owner);
            stream.epoch = epoch;
            stream.owner = (server, it.incarnation);
            stream.ends_with_fence = true;
        }
        it.roles[flight] = Role::Fenced { epoch, copy };
        Some(())
    }

    pub(crate) fn read(&self, state: &mut State, server: ServerId, flight: usize) -> Option<()> {
        let it = &mut state.servers[server];
        let Role::Fenced { epoch, copy } = it.roles[flight].clone() else { return None };
        if it.life != Life::Running || it.primary != state.redis.primary {
            return None;
        }
        let mut events = state.redis.streams[flight].events.clone();
        if self.makes(Mistake::ReadsBeforeTheFence) || self.makes(Mistake::GivesAwayWhatIsNotDurable) {
            events = copy;
        }
        if self.makes(Mistake::ServesAWarmCopyWithoutTheTail) {
            events.pop();
        }
        let durable = events.len();
        it.roles[flight] = Role::Owner(Owned { epoch, events, durable, link: Link::Idle, given_to: 0 });
        Some(())
    }

    pub(crate) fn give(&self, state: &mut State, server: ServerId, flight: usize) -> Option<()> {
        let other_is_there = {
            let other = &state.servers[1 - server];
            other.life == Life::Running && other.has_lease
        };
        let other_life = state.servers[1 - server].incarnation;
        let it = &mut state.servers[server];
        let Role::Owner(mut owned) = it.roles[flight].clone() else { return None };
        let is_durable = owned.link == Link::Idle || self.makes(Mistake::GivesAwayWhatIsNotDurable);
        if state.left.moves == 0
            || it.life != Life::Running
            || !it.has_lease
            || !other_is_there
            || !is_durable
        {
            return None;
        }
        state.left.moves -= 1;
        owned.given_to = other_life;
        it.roles[flight] = Role::Given(owned);
        Some(())
    }

    pub(crate) fn take_back(&self, state: &mut State, server: ServerId, flight: usize) -> Option<()> {
        let it = &mut state.servers[server];
        let Role::Given(owned) = it.roles[flight].clone() else { return None };
        // Without a fault it is fetched.
        if it.life != Life::Running || !it.has_lease || !state.has_fault || owned.link != Link::Idle {
            return None;
        }
        if self.makes(Mistake::TakesBackWithoutAClaim) {
            it.roles[flight] = Role::Owner(owned);
        } else {
            let from = (server, it.incarnation);
            claim_in_store(state, server, flight, from, owned.events);
        }
        Some(())
    }
}

pub(crate) fn learn(state: &mut State, server: ServerId, flight: usize) -> Option<()> {
    let it = &mut state.servers[server];
    let (Role::Owner(owned) | Role::Given(owned)) = &it.roles[flight] else { return None };
    let has_moved = state.redis.streams[flight].epoch > owned.epoch;
    if it.life != Life::Running || it.primary != state.redis.primary || !has_moved || owned.link != Link::Idle
    {
        return None;
    }
    // Who waits in front of it is handed on.
    it.roles[flight] = Role::None;
    Some(())
}

pub(crate) fn fetch(state: &mut State, server: ServerId, flight: usize) -> Option<()> {
    let (other, it) = (&state.servers[1 - server], &state.servers[server]);
    let Role::Given(owned) = &other.roles[flight] else { return None };
    // What was offered to an earlier life is not for this one.
    let is_offered = owned.given_to == it.incarnation;
    if it.life != Life::Running || !it.has_lease || !is_offered || it.roles[flight] != Role::None {
        return None;
    }
    let (from, copy) = ((1 - server, other.incarnation), owned.events[..owned.durable].to_vec());
    claim_in_store(state, server, flight, from, copy);
    Some(())
}

fn claim_in_store(
    state: &mut State,
    server: ServerId,
    flight: usize,
    from: (ServerId, Incarnation),
    copy: Vec<Event>,
) {
    let epoch = state.store[flight].max(state.redis.streams[flight].epoch) + 1;
    state.store[flight] = epoch;
    state.servers[server].roles[flight] = Role::Claimed { epoch, from, copy };
}
