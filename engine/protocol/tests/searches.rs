//! The searches: what may go wrong in each, that every promise holds in every state, and that every mistake is found.
//! A search that finds something prints the way there.

use std::time::Instant;

use farerush_protocol::mistakes::{ALL, Mistake};
use farerush_protocol::protocol::Protocol;
use farerush_protocol::state::Faults;
use stateright::{Checker, HasDiscoveries, Model};

const NO_FAULTS: Faults =
    Faults { crashes: 0, restarts: 0, pauses: 0, lapses: 0, cuts: 0, failovers: 0, ends: 0, moves: 0 };

/// What is searched: two flights and three requests, and what may go wrong in each search.
fn searches() -> Vec<(&'static str, Protocol)> {
    let of = |requests: &[usize], faults: Faults| Protocol {
        flights: requests.iter().max().map_or(1, |last| last + 1),
        requests: requests.to_vec(),
        faults: Faults { ends: (faults.pauses + faults.lapses + faults.failovers).min(2), ..faults },
        mistake: None,
    };
    vec![
        ("planned moves", of(&[0, 1, 0], Faults { moves: 2, ..NO_FAULTS })),
        ("a crash, an answer cut off", of(&[0, 1, 0], Faults { crashes: 1, cuts: 1, ..NO_FAULTS })),
        ("a move, a crash", of(&[0, 0], Faults { moves: 1, crashes: 1, ..NO_FAULTS })),
        ("a move, a pause", of(&[0, 0], Faults { moves: 1, pauses: 1, ..NO_FAULTS })),
        ("a move, a lapse", of(&[0, 0], Faults { moves: 1, lapses: 1, ..NO_FAULTS })),
        ("a pause, a lapse", of(&[0, 0], Faults { pauses: 1, lapses: 1, ..NO_FAULTS })),
        ("a lapse, a crash", of(&[0, 0], Faults { lapses: 1, crashes: 1, restarts: 1, ..NO_FAULTS })),
        ("a fail-over, a lapse", of(&[0], Faults { failovers: 1, lapses: 1, ..NO_FAULTS })),
        ("a fail-over, a crash", of(&[0, 0], Faults { failovers: 1, crashes: 1, ..NO_FAULTS })),
        ("a cut, a lapse", of(&[0, 0], Faults { cuts: 1, lapses: 1, ..NO_FAULTS })),
    ]
}

#[test]
fn every_promise_holds_in_every_state() {
    for (name, protocol) in searches() {
        let began = Instant::now();
        let checker = protocol.checker().threads(2).spawn_bfs().join();
        println!(
            "{name}: {} steps to {} different states, in {:.1} s",
            checker.state_count(),
            checker.unique_state_count(),
            began.elapsed().as_secs_f64()
        );
        checker.assert_properties();
    }
}

#[test]
fn every_planted_mistake_is_found() {
    let mut missed = Vec::new();
    for mistake in ALL {
        let (name, protocol) = searches()
            .into_iter()
            .find(|(name, _)| *name == found_in(mistake))
            .expect("there is such a search");
        let protocol = Protocol { mistake: Some(mistake), ..protocol };
        let checker = protocol.checker().threads(2).finish_when(HasDiscoveries::Any).spawn_bfs().join();
        match checker.discoveries().into_iter().next() {
            Some((check, way)) => {
                println!("{mistake:?}: {check} ({name}, after {} steps)", way.into_actions().len());
            }
            None => missed.push(mistake),
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}

/// The smallest search that finds it.
fn found_in(mistake: Mistake) -> &'static str {
    match mistake {
        Mistake::SkipsTheFence
        | Mistake::TakesOverOnASuspicion
        | Mistake::AnswersBeforeItIsDurable
        | Mistake::ServesAWarmCopyWithoutTheTail
        | Mistake::GivesAwayWhatIsNotDurable
        | Mistake::SellsWhatWasGivenAway => "planned moves",
        Mistake::ReadsBeforeTheFence | Mistake::DecidesAgainAfterACut | Mistake::ForgetsKeys => {
            "a crash, an answer cut off"
        }
        Mistake::TakesBackWithoutAClaim | Mistake::WaitsForDeadClaimants => "a move, a crash",
        Mistake::CountsTheLeaseFromTheReply
        | Mistake::RenewsALeaseThatWasSeenEnded
        | Mistake::FencesWhoeverOwnsIt
        | Mistake::AnswersWithoutALease
        | Mistake::NeverJoinsAgain => "a move, a pause",
        Mistake::LeavesItsOwnFlightsAlone => "a lapse, a crash",
        Mistake::TrustsANewPrimarysLeases | Mistake::DoesNotHeal | Mistake::KeepsItsLifeOnANewPrimary => {
            "a fail-over, a lapse"
        }
    }
}
