//! Recovery against owners and claimants that are still there: who wrote last before the fence, who died before it, and
//! how many flights can be claimed.

mod store_support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use farerush_engine::flight::{Epoch, FlightId, Recorded, Seq};
use farerush_engine::journal::{Appended, Batch, Claim, Extent, Journal, JournalError};
use farerush_persistence::journal::MemoryJournal;
use farerush_persistence::recovery::{recover, recover_all, recover_all_from_journal, recover_from_journal};
use farerush_persistence::store::{FLIGHTS_PER_CALL_MAX, StoreError};
use parking_lot::Mutex;
use store_support::{Life, id, sqlite, stores};

/// A journal whose old owner gets one more round in, right before the fence that ends its time.
struct LastWord {
    inner: MemoryJournal,
    last: Mutex<Option<Batch>>,
    fences: AtomicU64,
}

impl LastWord {
    fn with(life: &Life, last: Batch) -> Arc<dyn Journal> {
        let inner = MemoryJournal::new();
        inner.append(&[life.batch(1, 1..=last.first_seq().0 - 1)]).unwrap();
        Arc::new(Self { inner, last: Mutex::new(Some(last)), fences: AtomicU64::new(0) })
    }
}

impl Journal for LastWord {
    fn append(&self, round: &[Batch]) -> Result<Vec<Appended>, JournalError> {
        self.inner.append(round)
    }

    fn fence(&self, claims: &[Claim]) -> Result<(), JournalError> {
        self.fences.fetch_add(1, Ordering::Relaxed);
        if let Some(last) = self.last.lock().take() {
            assert_eq!(self.inner.append(&[last]).unwrap(), [Appended::Durable]);
        }
        self.inner.fence(claims)
    }

    fn extents(&self) -> Result<Vec<Extent>, JournalError> {
        self.inner.extents()
    }

    fn extent(&self, flight_id: &FlightId) -> Result<Option<Extent>, JournalError> {
        self.inner.extent(flight_id)
    }

    fn read(
        &self,
        flight_id: &FlightId,
        after: Seq,
        events_max: usize,
    ) -> Result<Vec<Recorded>, JournalError> {
        self.inner.read(flight_id, after, events_max)
    }

    fn trim(&self, stored: &[(FlightId, Seq)]) -> Result<(), JournalError> {
        self.inner.trim(stored)
    }

    fn describe(&self) -> String {
        "memory, with a last word".to_owned()
    }
}

/// A flight with a few orders, of which the last one is placed only while somebody takes the flight over.
fn with_a_last_order() -> (Life, Arc<dyn Journal>) {
    let mut life = Life::new("FR1");
    for customer in ["a", "b", "c"] {
        life.grab(customer, 1);
    }
    let last = life.flight.seq().0;
    let journal = LastWord::with(&life, life.batch(1, last..=last));
    (life, journal)
}

#[tokio::test]
async fn what_the_old_owner_wrote_up_to_the_fence_comes_up_with_the_flight() {
    for test in stores().await {
        for stored in [0, 2] {
            let (life, journal) = with_a_last_order();
            if stored > 0 {
                test.store.flush(&[life.batch(1, 1..=stored)]).await.unwrap();
            }
            let recovered = recover(&journal, &test.store, &life.id()).await.unwrap();
            assert_eq!(recovered.flight.digest(), life.flight.digest(), "recover, stored {stored}");
        }
        let (life, journal) = with_a_last_order();
        let all = recover_all(&journal, &test.store).await.unwrap();
        let recovered = all.into_iter().next().unwrap().1.unwrap();
        assert_eq!(recovered.flight.digest(), life.flight.digest(), "recover_all");
    }
    let (life, journal) = with_a_last_order();
    let recovered = recover_from_journal(&journal, &life.id()).await.unwrap();
    assert_eq!(recovered.flight.digest(), life.flight.digest(), "recover_from_journal");
    let (life, journal) = with_a_last_order();
    let all = recover_all_from_journal(&journal).await.unwrap();
    let recovered = all.into_iter().next().unwrap().1.unwrap();
    assert_eq!(recovered.flight.digest(), life.flight.digest(), "recover_all_from_journal");
}

#[tokio::test]
async fn a_claim_without_a_fence_is_claimed_past() {
    for test in stores().await {
        let (journal, life): (Arc<dyn Journal>, _) = (Arc::new(MemoryJournal::new()), Life::new("FR1"));
        journal.append(&[life.all(1)]).unwrap();
        test.store.flush(&[life.all(1)]).await.unwrap();
        // Its claimant died before it came to the journal.
        let dead = Claim { flight_id: life.id(), epoch: Epoch(7) };
        test.store.claim(&[dead]).await.unwrap();
        let recovered = recover(&journal, &test.store, &life.id()).await.unwrap();
        assert_eq!(recovered.epoch, Epoch(8));
        assert_eq!(journal.extent(&life.id()).unwrap().unwrap().epoch, Epoch(8));
    }
}

#[tokio::test]
async fn more_claims_than_a_call_takes_are_refused_and_none_of_them_dropped() {
    let test = sqlite().await;
    let claim = |number: usize| Claim { flight_id: id(&format!("F{number}")), epoch: Epoch(1) };
    let claims: Vec<Claim> = (0..=FLIGHTS_PER_CALL_MAX).map(claim).collect();
    let refused = test.store.claim(&claims).await;
    assert!(matches!(refused, Err(StoreError::Rejected { .. })), "{refused:?}");
    assert!(test.store.cursors().await.unwrap().is_empty());
}

/// A journal of so many flights with one event each, which cannot be read: what matters is that each is told of.
struct Crowd(usize);

impl Journal for Crowd {
    fn append(&self, _: &[Batch]) -> Result<Vec<Appended>, JournalError> {
        Ok(Vec::new())
    }

    fn fence(&self, _: &[Claim]) -> Result<(), JournalError> {
        Ok(())
    }

    fn extents(&self) -> Result<Vec<Extent>, JournalError> {
        (0..self.0).map(|number| Ok(self.extent(&id(&format!("F{number}")))?.unwrap())).collect()
    }

    fn extent(&self, flight_id: &FlightId) -> Result<Option<Extent>, JournalError> {
        Ok(Some(Extent { flight_id: flight_id.clone(), epoch: Epoch(1), first: Seq(1), last: Seq(1) }))
    }

    fn read(&self, flight_id: &FlightId, _: Seq, _: usize) -> Result<Vec<Recorded>, JournalError> {
        Err(JournalError::Damaged { flight_id: Some(flight_id.clone()), what: "nothing is here".to_owned() })
    }

    fn trim(&self, _: &[(FlightId, Seq)]) -> Result<(), JournalError> {
        Ok(())
    }

    fn describe(&self) -> String {
        "a crowd".to_owned()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_flight_is_missing_after_a_start_with_more_than_one_call_can_claim() {
    let test = sqlite().await;
    let flights = FLIGHTS_PER_CALL_MAX + 3;
    let journal: Arc<dyn Journal> = Arc::new(Crowd(flights));
    let all = recover_all(&journal, &test.store).await.unwrap();
    assert_eq!(all.len(), flights, "each of them came up or is told of");
}
