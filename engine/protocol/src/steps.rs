//! What may happen: each step of the protocol, and each fault, from a state to the next.
//! Never says whether a state is right: `checks` does.

use stateright::{Model, Property};

use crate::checks;
use crate::leases::wait_out;
use crate::moving::{fetch, learn};
use crate::protocol::{Protocol, Step};
use crate::selling::{ask, confirm};
use crate::state::{SERVERS, State};

impl Model for Protocol {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        vec![State::at_rest(self.flights, &self.requests, self.faults)]
    }

    fn actions(&self, _: &State, steps: &mut Vec<Step>) {
        for request in 0..self.requests.len() {
            steps.extend((0..SERVERS).map(|server| Step::Ask(request, server)));
            steps.extend([Step::Look(request), Step::CutOff(request)]);
        }
        for server in 0..SERVERS {
            steps.extend([
                Step::Beat(server),
                Step::HearBeat(server),
                Step::MeetPrimary(server),
                Step::WaitOut(server),
                Step::Lapse(server),
                Step::End(server),
                Step::Crash(server),
                Step::Restart(server),
                Step::Pause(server),
                Step::Resume(server),
            ]);
            for flight in 0..self.flights {
                steps.extend([
                    Step::Land(server, flight),
                    Step::Confirm(server, flight),
                    Step::Claim(server, flight),
                    Step::Fence(server, flight),
                    Step::Read(server, flight),
                    Step::Give(server, flight),
                    Step::Fetch(server, flight),
                    Step::TakeBack(server, flight),
                    Step::Learn(server, flight),
                    Step::Cut(server, flight),
                ]);
            }
        }
        steps.extend((0..self.flights).map(Step::FailOver));
    }

    fn next_state(&self, before: &State, step: Step) -> Option<State> {
        let mut state = before.clone();
        self.take(&mut state, step)?;
        (state != *before).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        checks::properties()
    }
}

impl Protocol {
    /// Takes a step, if it is possible.
    pub fn take(&self, state: &mut State, step: Step) -> Option<()> {
        match step {
            Step::Ask(request, server) => ask(state, request, server),
            Step::Look(request) => self.look(state, request),
            Step::Land(server, flight) => self.land(state, server, flight),
            Step::Confirm(server, flight) => confirm(state, server, flight),
            Step::Beat(server) => self.beat(state, server),
            Step::HearBeat(server) => self.hear_beat(state, server),
            Step::MeetPrimary(server) => self.meet_primary(state, server),
            Step::WaitOut(server) => wait_out(state, server),
            Step::Claim(server, flight) => self.claim(state, server, flight),
            Step::Fence(server, flight) => self.fence(state, server, flight),
            Step::Read(server, flight) => self.read(state, server, flight),
            Step::Give(server, flight) => self.give(state, server, flight),
            Step::Fetch(server, flight) => fetch(state, server, flight),
            Step::TakeBack(server, flight) => self.take_back(state, server, flight),
            Step::Learn(server, flight) => learn(state, server, flight),
            Step::Lapse(_)
            | Step::End(_)
            | Step::Crash(_)
            | Step::Restart(_)
            | Step::Pause(_)
            | Step::Resume(_)
            | Step::Cut(..)
            | Step::CutOff(_)
            | Step::FailOver(_) => crate::faults::take(state, step),
        }
    }
}
