//! How a server answers a request: from what it knows, by a decision that becomes durable first, or by handing it on.
//! Never answers for a flight without a lease.

use crate::mistakes::Mistake;
use crate::protocol::{Protocol, SEATS};
use crate::state::{Event, Life, Link, Progress, Role, ServerId, State};

impl Protocol {
    pub(crate) fn look(&self, state: &mut State, request: usize) -> Option<()> {
        let Progress::At(server) = state.requests[request].progress else { return None };
        let flight = state.requests[request].flight;
        if state.servers[server].life != Life::Running {
            return None;
        }
        if self.answers_for(state, server, flight) {
            return self.decide(state, request, server);
        }
        // An owner without a lease waits for it, and who asks for a flight on its way waits as well.
        if matches!(state.servers[server].roles[flight], Role::Owner(_)) || state.is_moving(flight) {
            return None;
        }
        let other = 1 - server;
        let goes_on = state.servers[other].life == Life::Running
            && matches!(state.servers[other].roles[flight], Role::Owner(_));
        state.requests[request].progress = if goes_on { Progress::At(other) } else { Progress::Unknown };
        state.has_fault.then_some(()).or(goes_on.then_some(()))
    }

    pub(crate) fn decide(&self, state: &mut State, request: usize, server: ServerId) -> Option<()> {
        let (flight, key) = (state.requests[request].flight, u8::try_from(request).ok()?);
        let (Role::Owner(owned) | Role::Given(owned)) = &mut state.servers[server].roles[flight] else {
            return None;
        };
        if owned.link != Link::Idle {
            return None;
        }
        let known = owned.events.iter().find(|event| event.request == key).copied();
        let progress = &mut state.requests[request].progress;
        if let Some(event) = known.filter(|_| !self.makes(Mistake::ForgetsKeys)) {
            *progress = Progress::Seated(event.seat);
        } else if let Some(seat) = free_seat(&owned.events) {
            owned.events.push(Event { request: key, seat });
            owned.link = Link::Sent;
            *progress = match self.makes(Mistake::AnswersBeforeItIsDurable) {
                true => Progress::Seated(seat),
                false => Progress::Waits(server),
            };
        } else {
            *progress = Progress::SoldOut;
        }
        Some(())
    }

    pub(crate) fn land(&self, state: &mut State, server: ServerId, flight: usize) -> Option<()> {
        let it = &mut state.servers[server];
        // What was sent to the primary of before goes down with it; it is sent again once the new one is known.
        if it.primary != state.redis.primary {
            return None;
        }
        let (Role::Owner(owned) | Role::Given(owned)) = &mut it.roles[flight] else { return None };
        if owned.link != Link::Sent {
            return None;
        }
        let stream = &mut state.redis.streams[flight];
        let newest = *owned.events.last()?;
        if owned.epoch < stream.epoch {
            owned.link = Link::Refused;
        } else if stream.events.contains(&newest) {
            if self.makes(Mistake::DecidesAgainAfterACut)
                && let Some(seat) = free_seat(&owned.events)
            {
                let again = Event { seat, ..newest };
                stream.events.push(again);
                owned.events.push(again);
            }
            owned.link = Link::Landed;
        } else {
            stream.epoch = owned.epoch;
            stream.ends_with_fence = false;
            stream.events.push(newest);
            owned.link = Link::Landed;
        }
        Some(())
    }
}

pub(crate) fn ask(state: &mut State, request: usize, server: ServerId) -> Option<()> {
    let it = &mut state.requests[request];
    match it.progress {
        Progress::Idle => {}
        Progress::Unknown if it.repeats > 0 => it.repeats -= 1,
        _ => return None,
    }
    it.progress = Progress::At(server);
    if state.servers[server].life == Life::Dead {
        it.progress = Progress::Unknown;
    }
    Some(())
}

pub(crate) fn confirm(state: &mut State, server: ServerId, flight: usize) -> Option<()> {
    let it = &mut state.servers[server];
    if it.life != Life::Running || it.primary != state.redis.primary {
        return None;
    }
    let (Role::Owner(owned) | Role::Given(owned)) = &mut it.roles[flight] else { return None };
    match owned.link {
        Link::Idle | Link::Sent => return None,
        Link::Refused => {
            it.roles[flight] = Role::None;
            state.give_up(server, Some(flight));
        }
        Link::Landed => {
            owned.durable = owned.events.len();
            owned.link = Link::Idle;
            let events = owned.events.clone();
            for (key, request) in state.requests.iter_mut().enumerate() {
                let decided = events.iter().find(|event| usize::from(event.request) == key);
                if let (true, Some(event)) = (request.progress == Progress::Waits(server), decided)
                    && request.flight == flight
                {
                    request.progress = Progress::Seated(event.seat);
                }
            }
        }
    }
    Some(())
}

fn free_seat(events: &[Event]) -> Option<u8> {
    (0..u8::try_from(SEATS).ok()?).find(|seat| events.iter().all(|event| event.seat != *seat))
}
