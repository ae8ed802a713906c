//! How a server keeps its lease, learns who is gone, and meets a new primary.
//! Never takes a flight.

use crate::mistakes::Mistake;
use crate::protocol::Protocol;
use crate::state::{
    BeatReply, Incarnation, Lease, Life, Link, Member, Owned, Role, Server, ServerId, State, Stream,
};

impl Protocol {
    pub(crate) fn beat(&self, state: &mut State, server: ServerId) -> Option<()> {
        let it = &state.servers[server];
        let is_possible = it.life == Life::Running && it.reply.is_none() && it.primary == state.redis.primary;
        let other = state.redis.members[1 - server];
        let gone = |member: Member| match member.lease {
            Lease::SeenEnded => Some(member.incarnation),
            Lease::Held | Lease::Ended if member.incarnation > 1 => Some(member.incarnation - 1),
            _ => None,
        };
        let sees = !it.waits && other.lease == Lease::Ended;
        let has_news = sees || gone(other) > it.gone;
        let is_due = !it.has_lease || it.lease_primary != state.redis.primary;
        if !is_possible || !(has_news || is_due) {
            return None;
        }
        if sees {
            state.redis.members[1 - server].lease = Lease::SeenEnded;
        }
        let mine = &mut state.redis.members[server];
        let is_new = mine.lease == Lease::Absent || mine.incarnation < it.incarnation;
        let is_renewed = is_new
            || matches!(mine.lease, Lease::Held | Lease::Ended)
            || self.makes(Mistake::RenewsALeaseThatWasSeenEnded);
        if is_renewed {
            *mine = Member { incarnation: it.incarnation, lease: Lease::Held };
        }
        let gone = gone(state.redis.members[1 - server]);
        state.servers[server].reply = Some(BeatReply { is_renewed, is_in_time: true, gone });
        Some(())
    }

    pub(crate) fn hear_beat(&self, state: &mut State, server: ServerId) -> Option<()> {
        let it = &mut state.servers[server];
        if it.life != Life::Running {
            return None;
        }
        let reply = it.reply.take()?;
        it.gone = it.gone.max(reply.gone);
        if !reply.is_renewed {
            it.has_lease = false;
            if !self.makes(Mistake::NeverJoinsAgain) {
                it.incarnation += 1;
            }
            state.forget_flights(server);
        } else if reply.is_in_time || self.makes(Mistake::CountsTheLeaseFromTheReply) {
            it.has_lease = true;
            it.lease_primary = it.primary;
        }
        Some(())
    }

    /// What was confirmed is history, fences too, and may be written again by whoever knows it. Then the server goes on with
    /// those flights that nobody can have taken meanwhile; to the others it writes nothing more.
    pub(crate) fn meet_primary(&self, state: &mut State, server: ServerId) -> Option<()> {
        if state.servers[server].life != Life::Running || state.servers[server].primary == state.redis.primary
        {
            return None;
        }
        let it = &mut state.servers[server];
        it.primary = state.redis.primary;
        it.waits = !self.makes(Mistake::TrustsANewPrimarysLeases);
        // Who was seen to be gone on the primary before may not be gone on this one.
        (it.reply, it.gone) = (None, None);
        let (has_lease, incarnation) = (it.has_lease, it.incarnation);
        for flight in 0..self.flights {
            let stream = &mut state.redis.streams[flight];
            let is_newest_claim =
                state.store[flight] == epoch_of(&state.servers[server].roles[flight]).unwrap_or(0);
            let goes_on = match &mut state.servers[server].roles[flight] {
                Role::None => continue,
                Role::Claimed { .. } | Role::Fenced { .. } => false,
                Role::Owner(owned) | Role::Given(owned) => {
                    if owned.link == Link::Landed {
                        owned.link = Link::Sent;
                    }
                    if stream.epoch <= owned.epoch && !self.makes(Mistake::DoesNotHeal) {
                        heal(stream, owned, (server, incarnation));
                    }
                    has_lease || is_newest_claim || self.makes(Mistake::KeepsItsLifeOnANewPrimary)
                }
            };
            if !goes_on {
                state.forget_flight(server, flight);
            }
        }
        Some(())
    }
}

pub(crate) fn wait_out(state: &mut State, server: ServerId) -> Option<()> {
    let primary = state.redis.primary;
    // By a lease of before, or by the answer to a beat of before.
    let holds_on = |it: &Server| {
        let may_get_one =
            it.primary != primary && it.reply.is_some_and(|reply| reply.is_renewed && reply.is_in_time);
        (it.has_lease && it.lease_primary != primary) || may_get_one
    };
    if !state.servers[server].waits || holds_on(&state.servers[1 - server]) {
        return None;
    }
    state.servers[server].waits = false;
    Some(())
}

fn heal(stream: &mut Stream, owned: &Owned, owner: (ServerId, Incarnation)) {
    for event in &owned.events[..owned.durable] {
        if !stream.events.contains(event) {
            stream.events.push(*event);
            stream.ends_with_fence = false;
        }
    }
    if stream.epoch < owned.epoch {
        stream.before = (stream.epoch, stream.owner);
        (stream.epoch, stream.owner) = (owned.epoch, owner);
    }
}

fn epoch_of(role: &Role) -> Option<u8> {
    match role {
        Role::None => None,
        Role::Claimed { epoch, .. } | Role::Fenced { epoch, .. } => Some(*epoch),
        Role::Owner(owned) | Role::Given(owned) => Some(owned.epoch),
    }
}
