//! The power goes at a random moment, again and again: whatever was acknowledged is there, and nothing else.

mod journal_support;

use std::collections::BTreeMap;
use std::sync::Arc;

use farerush_engine::flight::{Epoch, FlightId, Recorded, Seq};
use farerush_engine::journal::{Appended, Batch, Claim, Journal, JournalError};
use farerush_persistence::journal::{EmbeddedJournal, EmbeddedOptions};
use journal_support::sim_disk::SimDisk;
use journal_support::{Rng, flight_id, random_batch, test_seed};

const LIVES: u64 = 400;
const FLIGHTS: usize = 5;

/// What a flight may and must have.
#[derive(Default, Clone)]
struct Expected {
    /// Everything that was ever sent and not known to be lost, from seq 1 on.
    sent: Vec<Recorded>,
    /// How many of these are acknowledged.
    acknowledged: usize,
    epoch: u64,
    claimed: u64,
    stored: u64,
}

struct World {
    rng: Rng,
    flights: BTreeMap<FlightId, Expected>,
    cut_while_opening: u64,
    torn: u64,
}

fn options(rng: &mut Rng) -> EmbeddedOptions {
    EmbeddedOptions {
        segment_bytes: *rng.pick(&[4096, 8192, 65_536]),
        retain_bytes: *rng.pick(&[0, 20_000, u64::MAX]),
        prepare_in_background: false,
    }
}

impl World {
    /// Appends, fences and trims until the power goes or enough is enough.
    fn live(&mut self, journal: &impl Journal) {
        for _ in 0..self.rng.below(60) {
            let outcome = match self.rng.below(12) {
                0 => self.fence(journal),
                1 => self.trim(journal),
                _ => self.append(journal),
            };
            if outcome.is_err() {
                return;
            }
        }
    }

    fn append(&mut self, journal: &impl Journal) -> Result<(), JournalError> {
        let mut round: Vec<Batch> = Vec::new();
        for flight in 0..FLIGHTS {
            if self.rng.one_in(2) {
                continue;
            }
            let flight_id = flight_id(flight);
            let expected = self.flights.entry(flight_id.clone()).or_default();
            expected.epoch = expected.epoch.max(1);
            expected.claimed = expected.claimed.max(1);
            let count = 1 + self.rng.below(4);
            let first = Seq(expected.sent.len() as u64 + 1);
            let batch = random_batch(&mut self.rng, &flight_id, Epoch(expected.epoch), first, count);
            expected.sent.extend(batch.events.clone());
            round.push(batch);
        }
        let appended = journal.append(&round)?;
        assert!(appended.iter().all(|each| *each == Appended::Durable));
        for batch in &round {
            let expected = self.flights.get_mut(&batch.flight_id).unwrap();
            expected.acknowledged = expected.sent.len();
        }
        Ok(())
    }

    fn fence(&mut self, journal: &impl Journal) -> Result<(), JournalError> {
        let flight_id = flight_id(self.rng.index(FLIGHTS));
        let expected = self.flights.entry(flight_id.clone()).or_default();
        expected.claimed = expected.claimed.max(expected.epoch) + 1 + self.rng.below(3);
        journal.fence(&[Claim { flight_id, epoch: Epoch(expected.claimed) }])?;
        expected.epoch = expected.claimed;
        Ok(())
    }

    fn trim(&mut self, journal: &impl Journal) -> Result<(), JournalError> {
        let rng = &mut self.rng;
        for expected in self.flights.values_mut() {
            let acknowledged = expected.acknowledged as u64;
            expected.stored += rng.below(acknowledged - expected.stored + 1);
        }
        let stored: Vec<_> =
            self.flights.iter().map(|(id, flight)| (id.clone(), Seq(flight.stored))).collect();
        journal.trim(&stored)
    }

    /// Compares, and takes what is there for what is to be there from now on.
    fn check(&mut self, journal: &impl Journal) {
        let known: BTreeMap<_, _> =
            journal.extents().unwrap().into_iter().map(|extent| (extent.flight_id.clone(), extent)).collect();
        for flight_id in known.keys() {
            assert!(self.flights.contains_key(flight_id), "{flight_id} was invented");
        }
        for (flight_id, expected) in &mut self.flights {
            let Some(extent) = known.get(flight_id) else {
                assert_eq!(
                    (expected.acknowledged, expected.epoch.min(2)),
                    (0, expected.epoch.min(1)),
                    "{flight_id} is gone"
                );
                *expected = Expected::default();
                continue;
            };
            let last = usize::try_from(extent.last.0).unwrap();
            assert!(last >= expected.acknowledged, "{flight_id}: {last} of {}", expected.acknowledged);
            assert!(last <= expected.sent.len(), "{flight_id}: {last} of {} sent", expected.sent.len());
            assert!((expected.epoch..=expected.claimed).contains(&extent.epoch.0), "{flight_id}: {extent:?}");
            assert!(
                extent.first.0 <= expected.stored + 1,
                "{flight_id}: {extent:?}, {} stored",
                expected.stored
            );
            let from = if extent.first.0 == 0 { last } else { usize::try_from(extent.first.0).unwrap() - 1 };
            assert!(
                extent.first.0 > 0 || expected.stored >= extent.last.0,
                "{flight_id}: not stored, yet gone"
            );
            let events = journal.read(flight_id, Seq(from as u64), usize::MAX).unwrap();
            assert_eq!(events, expected.sent[from..last], "{flight_id}");
            self.torn += u64::from(last < expected.sent.len());
            expected.sent.truncate(last);
            expected.acknowledged = last;
            expected.epoch = extent.epoch.0;
            expected.claimed = extent.epoch.0;
        }
    }
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_is_invented_when_the_power_goes() {
    let seed = test_seed();
    let mut world = World { rng: Rng(seed), flights: BTreeMap::new(), cut_while_opening: 0, torn: 0 };
    let mut disk = SimDisk::new(seed ^ 1);
    for life in 0..LIVES {
        if life % 25 == 0 {
            disk = SimDisk::new(world.rng.next());
            world.flights.clear();
        }
        let power_for = 1 + world.rng.below(*world.rng.clone().pick(&[3, 30, 300]));
        disk.faults(|faults| {
            faults.power_for = Some(power_for);
            faults.short = life % 3 == 0;
        });
        match EmbeddedJournal::open_on(Arc::new(disk.clone()), options(&mut world.rng)) {
            Ok(journal) => {
                world.check(&journal);
                world.live(&journal);
            }
            Err(JournalError::Unavailable { .. }) => world.cut_while_opening += 1,
            Err(error) => panic!("life {life}: {error}"),
        }
        disk = if world.rng.one_in(4) { disk.after_kill() } else { disk.after_power_cut() };
    }
    let journal = EmbeddedJournal::open_on(Arc::new(disk), options(&mut world.rng)).unwrap();
    world.check(&journal);
    println!(
        "{} of {LIVES} cuts while opening, {} flights had a torn tail",
        world.cut_while_opening, world.torn
    );
    assert!(world.torn > 10, "the power went, yet hardly anything was torn: {}", world.torn);
}
