//! What goes wrong: processes that die or sleep, clocks that run out, connections that are cut, a primary that is replaced.
//! Never does more of it than the state allows.

use crate::protocol::Step;
use crate::state::{Faults, Lease, Life, Link, Progress, Role, ServerId, State};

/// Takes such a step, if it is possible.
pub fn take(state: &mut State, step: Step) -> Option<()> {
    match step {
        Step::Lapse(server) => lapse(state, server),
        Step::End(server) => end(state, server),
        Step::Crash(server) => {
            let it = &state.servers[server];
            if it.life == Life::Dead {
                return None;
            }
            spend(state, |left| &mut left.crashes)?;
            crash(state, server);
            Some(())
        }
        Step::Restart(server) => {
            if state.servers[server].life != Life::Dead {
                return None;
            }
            spend(state, |left| &mut left.restarts)?;
            state.forget_flights(server);
            let primary = state.redis.primary;
            let it = &mut state.servers[server];
            (it.life, it.incarnation, it.primary) = (Life::Running, it.incarnation + 1, primary);
            // Nobody who has just come knows what held before.
            (it.gone, it.waits) = (None, primary > 0);
            Some(())
        }
        Step::Pause(server) => {
            if state.servers[server].life != Life::Running {
                return None;
            }
            spend(state, |left| &mut left.pauses)?;
            state.servers[server].life = Life::Paused;
            Some(())
        }
        Step::Resume(server) => {
            let it = &mut state.servers[server];
            (it.life == Life::Paused).then(|| it.life = Life::Running)
        }
        Step::Cut(server, flight) => {
            let is_landed = matches!(
                &state.servers[server].roles[flight],
                Role::Owner(owned) | Role::Given(owned) if owned.link == Link::Landed
            );
            if !is_landed || state.servers[server].life == Life::Dead {
                return None;
            }
            spend(state, |left| &mut left.cuts)?;
            if let Role::Owner(owned) | Role::Given(owned) = &mut state.servers[server].roles[flight] {
                owned.link = Link::Sent;
            }
            Some(())
        }
        Step::CutOff(request) => {
            if !matches!(state.requests[request].progress, Progress::Waits(_)) {
                return None;
            }
            spend(state, |left| &mut left.cuts)?;
            state.requests[request].progress = Progress::Unknown;
            Some(())
        }
        Step::FailOver(flight) => fail_over(state, flight),
        _ => None,
    }
}

fn spend(state: &mut State, of: impl Fn(&mut Faults) -> &mut u8) -> Option<()> {
    let left = of(&mut state.left);
    *left = left.checked_sub(1)?;
    state.has_fault = true;
    Some(())
}

fn lapse(state: &mut State, server: ServerId) -> Option<()> {
    if !state.servers[server].has_lease {
        return None;
    }
    // One that sleeps, or has lost the primary that it beats to, lapses of itself.
    let lapses_anyway = state.servers[server].life == Life::Paused
        || state.servers[server].lease_primary != state.redis.primary;
    if !lapses_anyway {
        spend(state, |left| &mut left.lapses)?;
    }
    state.servers[server].has_lease = false;
    Some(())
}

/// In Redis' time a lease ends after it has ended by its server's clock; but for one of which a new primary never heard the end.
fn end(state: &mut State, server: ServerId) -> Option<()> {
    let it = &state.servers[server];
    let holds = it.has_lease && it.lease_primary == state.redis.primary;
    if holds || state.redis.members[server].lease != Lease::Held {
        return None;
    }
    // Where its server runs and beats, it is renewed instead, unless something goes wrong.
    if !state.has_fault {
        return None;
    }
    if it.life != Life::Dead {
        state.left.ends = state.left.ends.checked_sub(1)?;
    }
    if let Some(reply) = &mut state.servers[server].reply {
        reply.is_in_time = false;
    }
    state.redis.members[server].lease = Lease::Ended;
    Some(())
}

fn crash(state: &mut State, server: ServerId) {
    let lost = |state: &State, flight: usize| match &state.servers[server].roles[flight] {
        Role::Owner(owned) | Role::Given(owned) => owned.events[..owned.durable]
            .iter()
            .any(|event| !state.redis.streams[flight].events.contains(event)),
        _ => false,
    };
    state.may_have_lost |= (0..state.store.len()).any(|flight| lost(state, flight));
    state.give_up(server, None);
    let it = &mut state.servers[server];
    (it.life, it.has_lease, it.reply) = (Life::Dead, false, None);
    for role in &mut it.roles {
        // What it has sent still arrives.
        let is_under_way =
            matches!(role, Role::Owner(owned) | Role::Given(owned) if owned.link == Link::Sent);
        if !is_under_way {
            *role = Role::None;
        }
    }
}

fn fail_over(state: &mut State, flight: usize) -> Option<()> {
    spend(state, |left| &mut left.failovers)?;
    state.redis.primary += 1;
    let stream = &mut state.redis.streams[flight];
    if stream.ends_with_fence {
        (stream.epoch, stream.owner) = stream.before;
        stream.ends_with_fence = false;
    } else {
        stream.events.pop();
    }
    // What was seen of leases last is gone as well.
    for member in &mut state.redis.members {
        if member.lease == Lease::SeenEnded {
            member.lease = Lease::Ended;
        }
    }
    // A dead owner cannot write again what is lost now.
    let is_lost =
        |event: &crate::state::Event| !state.redis.streams[flight].events.iter().any(|kept| kept == event);
    let has_living_witness = |request: u8| {
        state.servers.iter().any(|server| {
            server.life != Life::Dead
                && matches!(&server.roles[flight], Role::Owner(owned) | Role::Given(owned)
                    if owned.events.iter().any(|event| event.request == request))
        })
    };
    let acknowledged = state.requests.iter().enumerate().filter(|(_, request)| request.flight == flight);
    for (key, request) in acknowledged {
        let Ok(key) = u8::try_from(key) else { continue };
        if let Progress::Seated(seat) = request.progress
            && is_lost(&crate::state::Event { request: key, seat })
            && !has_living_witness(key)
        {
            state.may_have_lost = true;
        }
    }
    Some(())
}
