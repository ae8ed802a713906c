//! What the journal says of flights when somebody is about to be told "no": it is asked about many names at once and once
//! at a time. Never says anything without having asked after the question came.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use farerush_engine::flight::{Epoch, FlightId};
use farerush_engine::journal::{Journal, JournalError};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::base::errors::in_full;
use crate::wire::problem::Problem;

/// Askers that are answered together: under a flood, one small question to the journal for all of them.
const NAMES_PER_QUESTION_MAX: usize = 512;
/// Askers that may wait for their turn; beyond that, who asks is told to come back.
const WAITING_MAX: usize = 8_192;
/// How long an answer is waited for.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);

/// Asks the journal about these names; one answer each, in the same order. Blocks.
type AskJournal<A> = dyn Fn(&[FlightId]) -> Result<Vec<A>, JournalError> + Send + Sync;

/// A name, and who wants to know; `None` for an answer if it cannot be found out.
type Question<A> = (FlightId, oneshot::Sender<Option<A>>);

struct Queue<A> {
    waiting: VecDeque<Question<A>>,
    /// Whether somebody is asking.
    is_asking: bool,
}

/// The way to ask one kind of question; cheap to clone.
pub(super) struct Lookups<A> {
    ask_journal: Arc<AskJournal<A>>,
    queue: Arc<Mutex<Queue<A>>>,
}

impl<A> Clone for Lookups<A> {
    fn clone(&self) -> Self {
        Self { ask_journal: self.ask_journal.clone(), queue: self.queue.clone() }
    }
}

impl Lookups<bool> {
    /// Whether a flight has events.
    pub(super) fn of_events(journal: Arc<dyn Journal>) -> Self {
        Self::new(move |names| journal.have_events(names))
    }
}

impl Lookups<Option<Epoch>> {
    /// The newest claim of a flight, if it was ever claimed.
    pub(super) fn of_epochs(journal: Arc<dyn Journal>) -> Self {
        Self::new(move |names| journal.epochs(names))
    }
}

impl<A: Clone + Send + 'static> Lookups<A> {
    pub(super) fn new(
        ask_journal: impl Fn(&[FlightId]) -> Result<Vec<A>, JournalError> + Send + Sync + 'static,
    ) -> Self {
        let queue = Queue { waiting: VecDeque::new(), is_asking: false };
        Self { ask_journal: Arc::new(ask_journal), queue: Arc::new(Mutex::new(queue)) }
    }

    /// What the journal says of this flight as of now.
    pub(super) async fn ask(&self, flight_id: &FlightId) -> Result<A, Problem> {
        let (answer, answered) = oneshot::channel();
        let begins = {
            let mut queue = self.queue.lock();
            if queue.waiting.len() >= WAITING_MAX {
                return Err(unknown());
            }
            queue.waiting.push_back((flight_id.clone(), answer));
            !std::mem::replace(&mut queue.is_asking, true)
        };
        if begins {
            let this = self.clone();
            tokio::task::spawn_blocking(move || this.ask_all());
        }
        match tokio::time::timeout(ANSWER_LIMIT, answered).await {
            Ok(Ok(Some(found))) => Ok(found),
            _ => Err(unknown()),
        }
    }

    /// Asks until nobody waits. Blocks.
    fn ask_all(&self) {
        while let Some(questions) = self.next() {
            // Many may ask about one flight.
            let mut places = HashMap::with_capacity(questions.len());
            let mut names = Vec::new();
            for (flight_id, _) in &questions {
                places.entry(flight_id.clone()).or_insert_with(|| {
                    names.push(flight_id.clone());
                    names.len() - 1
                });
            }
            // A panic of the journal's must not leave everybody waiting for ever.
            let ask = std::panic::AssertUnwindSafe(|| (self.ask_journal)(&names));
            let found = match std::panic::catch_unwind(ask) {
                Ok(Ok(found)) if found.len() == names.len() => found.into_iter().map(Some).collect(),
                Ok(Err(error)) => cannot_tell(&error, names.len()),
                Ok(Ok(_)) | Err(_) => vec![None; names.len()],
            };
            for (flight_id, answer) in questions {
                let said = places.get(&flight_id).and_then(|place| found.get(*place).cloned().flatten());
                // Whoever asked may have gone.
                let _ = answer.send(said);
            }
        }
    }

    /// What is asked next; of names whose askers have gone, nothing.
    fn next(&self) -> Option<Vec<Question<A>>> {
        let mut queue = self.queue.lock();
        let mut questions = Vec::new();
        while questions.len() < NAMES_PER_QUESTION_MAX
            && let Some((flight_id, answer)) = queue.waiting.pop_front()
        {
            if !answer.is_closed() {
                questions.push((flight_id, answer));
            }
        }
        if questions.is_empty() {
            queue.is_asking = false;
            return None;
        }
        Some(questions)
    }
}

fn cannot_tell<A: Clone>(error: &JournalError, names: usize) -> Vec<Option<A>> {
    tracing::debug!(error = in_full(error), names, "the journal cannot be asked about flights");
    vec![None; names]
}

fn unknown() -> Problem {
    Problem::overloaded("the journal cannot be asked just now whether another server has the flight", 1)
}
