//! The rows that a store comes to, event by event, are those of the state that the same events give: whatever happened.
//! `FARERUSH_TEST_SEED` repeats a run, `FARERUSH_TEST_CASES` makes it longer.

mod store_support;

use farerush_engine::flight::Flight;
use farerush_persistence::store::{Flushed, Store, TableRows};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use store_support::{Life, secrets, stores};

/// Places of the columns that say how an order, or a party that waits, stands.
const ORDER_STATUS: usize = 5;
const WAITLIST_STATUS: usize = 10;

fn rows_of(life: &Life, flight: &Flight) -> TableRows {
    Store::rows_of_state(&flight.snapshot(), life.events[0].at, &secrets()).expect("its secrets are known")
}

/// All rows of the state are in the store as they are, and the store has no others but of what the flight has forgotten.
fn must_be_alike(stored: &TableRows, derived: &TableRows, what: &str) -> Result<(), TestCaseError> {
    for (table, rows) in derived {
        let there = &stored[table];
        for row in rows {
            prop_assert!(there.contains(row), "{}: {} lacks {:?}\nit has {:?}", what, table, row, there);
        }
        for row in there.iter().filter(|row| !rows.contains(row)) {
            let is_over = match *table {
                "orders" => matches!(row[ORDER_STATUS].as_deref(), Some("cancelled" | "expired")),
                "waitlist" => row[WAITLIST_STATUS].as_deref() != Some("waiting"),
                "requests" => true,
                _ => false,
            };
            prop_assert!(is_over, "{}: {} has {:?}, which is not so", what, table, row);
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_rows_written_event_by_event_are_those_of_the_state_that_is_recovered() {
    for test in stores().await {
        let (store, name) = (test.store.clone(), test.name);
        let runtime = tokio::runtime::Handle::current();
        let check = move || {
            let number = std::cell::Cell::new(0);
            let steps = prop::collection::vec((any::<u8>(), any::<u16>(), any::<u16>()), 1..100);
            let cuts = prop::collection::vec(1_u64..30, 1..20);
            let one = |(steps, cuts): (Vec<(u8, u16, u16)>, Vec<u64>)| {
                number.set(number.get() + 1);
                let mut life = Life::new(&format!("ONE{}", number.get()));
                steps.iter().for_each(|&(kind, a, b)| life.step(kind, a, b));
                let mut stored = 0;
                for cut in cuts.into_iter().chain([u64::MAX / 2]) {
                    let to = life.flight.seq().0.min(stored + cut);
                    if to == stored {
                        break;
                    }
                    let outcome = runtime.block_on(store.flush(&[life.batch(1, stored + 1..=to)])).unwrap();
                    prop_assert_eq!(&outcome, &[Flushed::Stored], "{}", name);
                    stored = to;
                    let there = runtime.block_on(store.rows_of(&life.id())).unwrap();
                    let what = format!("{name} at {to}");
                    must_be_alike(&there, &rows_of(&life, &life.flight_at(to)), &what)?;
                    let (snapshot, _) = runtime.block_on(store.snapshot(&life.id())).unwrap().unwrap();
                    let recovered =
                        Flight::restore(snapshot).map_err(|e| TestCaseError::fail(e.to_string()))?;
                    must_be_alike(&there, &rows_of(&life, &recovered), &what)?;
                }
                Ok(())
            };
            store_support::runner(16).run(&(steps, cuts), one).unwrap();
        };
        tokio::task::spawn_blocking(check).await.unwrap();
    }
}
