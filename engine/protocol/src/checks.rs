//! What must hold in every state that can be reached, and that from each of them all flights sell again.
//! Never changes a state that it looks at.

use stateright::Property;

use crate::protocol::{Protocol, SEATS, Step};
use crate::state::{Event, Life, Progress, Role, SERVERS, State};

/// Steps within which everything comes to rest once nothing goes wrong any more.
const STEPS_TO_REST_MAX: usize = 200;

/// More claims than the faults of any search can cause.
const CLAIMS_MAX: u8 = 12;

/// The promises, by name.
pub fn properties() -> Vec<Property<Protocol>> {
    vec![
        Property::always("no seat is sold twice", |_, state| no_seat_is_sold_twice(state)),
        Property::always("nothing acknowledged is lost", |_, state| nothing_acknowledged_is_lost(state)),
        Property::always("one key gets one seat", |_, state| one_key_gets_one_seat(state)),
        Property::always("only the owner answers", only_the_owner_answers),
        Property::always("who answers knows what was acknowledged", who_answers_knows_all),
        Property::always("a planned move fails no request", |_, state| planned_moves_fail_nothing(state)),
        Property::always("claims come to an end", |_, state: &State| {
            state.store.iter().all(|epoch| *epoch < CLAIMS_MAX)
        }),
        Property::always("every flight sells again by itself", sells_again),
    ]
}

fn no_seat_is_sold_twice(state: &State) -> bool {
    let distinct = |events: &[Event]| {
        (0..SEATS).all(|seat| events.iter().filter(|event| usize::from(event.seat) == seat).count() <= 1)
    };
    let told = |flight: usize, seat: usize| {
        let is_told = |request: &&crate::state::Request| {
            request.flight == flight
                && matches!(request.progress, Progress::Seated(its) if usize::from(its) == seat)
        };
        state.requests.iter().filter(is_told).count()
    };
    state.redis.streams.iter().all(|stream| distinct(&stream.events))
        && (state.may_have_lost
            || (0..state.store.len()).all(|flight| (0..SEATS).all(|seat| told(flight, seat) <= 1)))
}

fn one_key_gets_one_seat(state: &State) -> bool {
    state.redis.streams.iter().all(|stream| {
        (0..state.requests.len())
            .all(|key| stream.events.iter().filter(|event| usize::from(event.request) == key).count() <= 1)
    })
}

/// What customers of a flight were told.
fn acknowledged(state: &State, flight: usize) -> impl Iterator<Item = Event> + '_ {
    state.requests.iter().enumerate().filter(move |(_, request)| request.flight == flight).filter_map(
        |(key, request)| match request.progress {
            Progress::Seated(seat) => Some(Event { request: u8::try_from(key).ok()?, seat }),
            _ => None,
        },
    )
}

fn nothing_acknowledged_is_lost(state: &State) -> bool {
    let is_kept = |flight: usize, event: &Event| {
        let stream = &state.redis.streams[flight];
        stream.events.contains(event)
            || state.servers.iter().any(|server| {
                // It will write it again.
                server.life != Life::Dead
                    && matches!(&server.roles[flight], Role::Owner(owned) | Role::Given(owned)
                        if owned.epoch >= stream.epoch && owned.events[..owned.durable].contains(event))
            })
    };
    state.may_have_lost
        || (0..state.store.len())
            .all(|flight| acknowledged(state, flight).all(|event| is_kept(flight, &event)))
}

fn only_the_owner_answers(protocol: &Protocol, state: &State) -> bool {
    (0..SERVERS).all(|server| {
        (0..state.store.len()).all(|flight| match &state.servers[server].roles[flight] {
            Role::Owner(owned) | Role::Given(owned) if protocol.answers_for(state, server, flight) => {
                let is_newest = state.servers.iter().all(|other| match &other.roles[flight] {
                    Role::Owner(others) => others.epoch <= owned.epoch,
                    _ => true,
                });
                is_newest && state.redis.streams[flight].epoch <= owned.epoch
            }
            _ => true,
        })
    })
}

fn who_answers_knows_all(protocol: &Protocol, state: &State) -> bool {
    let knows = |server: usize, flight: usize| match &state.servers[server].roles[flight] {
        Role::Owner(owned) | Role::Given(owned) => {
            acknowledged(state, flight).all(|event| owned.events.contains(&event))
        }
        _ => true,
    };
    state.may_have_lost
        || (0..SERVERS).all(|server| {
            (0..state.store.len())
                .all(|flight| !protocol.answers_for(state, server, flight) || knows(server, flight))
        })
}

fn planned_moves_fail_nothing(state: &State) -> bool {
    state.has_fault || state.requests.iter().all(|request| request.progress != Progress::Unknown)
}

/// From here on nothing goes wrong, and each server does what it has to do: every flight has an owner that answers then.
fn sells_again(protocol: &Protocol, state: &State) -> bool {
    let mut state = state.clone();
    for server in &mut state.servers {
        if server.life == Life::Paused {
            server.life = Life::Running;
        }
    }
    if state.servers.iter().all(|server| server.life == Life::Dead) {
        return true;
    }
    // Dead members' leases run out; living ones beat.
    let of_server = |server: usize| {
        [
            Step::MeetPrimary(server),
            Step::HearBeat(server),
            Step::WaitOut(server),
            Step::Beat(server),
            Step::Resume(server),
        ]
    };
    let of_flight = |server: usize, flight: usize| {
        [
            Step::Land(server, flight),
            Step::Confirm(server, flight),
            Step::Read(server, flight),
            Step::Fence(server, flight),
            Step::Claim(server, flight),
            Step::Fetch(server, flight),
            Step::TakeBack(server, flight),
            Step::Learn(server, flight),
        ]
    };
    let flights = state.store.len();
    let steps: Vec<Step> = (0..SERVERS)
        .flat_map(of_server)
        .chain((0..SERVERS).flat_map(|server| (0..flights).flat_map(move |flight| of_flight(server, flight))))
        .collect();
    for _ in 0..STEPS_TO_REST_MAX {
        let ended = (0..SERVERS).find(|server| {
            state.servers[*server].life == Life::Dead
                && state.redis.members[*server].lease == crate::state::Lease::Held
        });
        if let Some(server) = ended {
            state.redis.members[server].lease = crate::state::Lease::Ended;
            continue;
        }
        let mut has_moved = false;
        for step in &steps {
            let mut next = state.clone();
            if protocol.take(&mut next, *step).is_some() && next != state {
                (state, has_moved) = (next, true);
                break;
            }
        }
        if !has_moved {
            break;
        }
    }
    (0..flights).all(|flight| (0..SERVERS).any(|server| sells(&state, server, flight)))
}

fn sells(state: &State, server: usize, flight: usize) -> bool {
    let it = &state.servers[server];
    let is_owner =
        matches!(&it.roles[flight], Role::Owner(owned) if owned.epoch >= state.redis.streams[flight].epoch);
    it.life == Life::Running && it.has_lease && is_owner
}
