//! Whether there is a flight that nobody here knows: the journal is asked, about many names at once and once at a time.
//! Never says "no" without having asked after the question came.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use farerush_engine::flight::FlightId;
use farerush_engine::journal::{Journal, JournalError};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::problem::Problem;

/// Names that are asked about together: under a flood, one small question to the journal for all of them.
const NAMES_PER_QUESTION_MAX: usize = 512;
/// Names that may wait for their turn; beyond that, who asks is told to come back.
const WAITING_MAX: usize = 8_192;
/// How long an answer is waited for.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);

/// A name, and who wants to know; `None` for an answer if it cannot be found out.
type Question = (FlightId, oneshot::Sender<Option<bool>>);

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Question>,
    /// Whether somebody is asking.
    is_asking: bool,
}

/// The way to ask; cheap to clone.
#[derive(Clone)]
pub(super) struct Lookups {
    journal: Arc<dyn Journal>,
    queue: Arc<Mutex<Queue>>,
}

impl Lookups {
    pub(super) fn new(journal: Arc<dyn Journal>) -> Self {
        Self { journal, queue: Arc::default() }
    }

    /// Whether the journal has events of this flight as of now.
    pub(super) async fn is_there(&self, flight_id: &FlightId) -> Result<bool, Problem> {
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
            Ok(Ok(Some(is_there))) => Ok(is_there),
            _ => Err(unknown()),
        }
    }

    /// Asks until nobody waits. Blocks.
    fn ask_all(&self) {
        while let Some(questions) = self.next() {
            let names: Vec<FlightId> = questions.iter().map(|(flight_id, _)| flight_id.clone()).collect();
            // A panic of the journal's must not leave everybody waiting for ever.
            let ask = std::panic::AssertUnwindSafe(|| self.journal.have_events(&names));
            let found = match std::panic::catch_unwind(ask) {
                Ok(Ok(found)) if found.len() == names.len() => found.into_iter().map(Some).collect(),
                Ok(Err(error)) => cannot_tell(&error, names.len()),
                Ok(Ok(_)) | Err(_) => vec![None; names.len()],
            };
            for ((_, answer), found) in questions.into_iter().zip(found) {
                // Whoever asked may have gone.
                let _ = answer.send(found);
            }
        }
    }

    /// What is asked next; of names whose askers have gone, nothing.
    fn next(&self) -> Option<Vec<Question>> {
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

fn cannot_tell(error: &JournalError, names: usize) -> Vec<Option<bool>> {
    tracing::debug!(%error, names, "the journal cannot be asked which flights there are");
    vec![None; names]
}

fn unknown() -> Problem {
    Problem::overloaded("it cannot be found out just now whether there is such a flight", 1)
}
