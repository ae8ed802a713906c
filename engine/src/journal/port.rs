//! The contract of a journal: each flight's events in order, durable once `append` has returned.
//! Never buffers, retries or replies: that is the writer's work.

use std::error::Error;

use super::seen::AppendCost;
use crate::flight::{Epoch, FlightId, FlightSnapshot, Recorded, Seq};

/// Some events of one flight that follow one another without a hole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The flight concerned.
    pub flight_id: FlightId,
    /// Under which ownership they were decided.
    pub epoch: Epoch,
    /// The events, at least one, by rising seq.
    pub events: Vec<Recorded>,
}

impl Batch {
    /// Seq of the first event (0 if there is none).
    pub fn first_seq(&self) -> Seq {
        self.events.first().map_or(Seq(0), |event| event.seq)
    }

    /// Seq of the last event (0 if there is none).
    pub fn last_seq(&self) -> Seq {
        self.events.last().map_or(Seq(0), |event| event.seq)
    }
}

/// What became of one batch of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// It is on disk (or had been already, when the same batch is sent again).
    Durable,
    /// A later epoch owns the flight: nothing was written, and nothing ever will be under this epoch.
    Fenced,
}

/// Ownership of a flight under an epoch, as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The flight concerned.
    pub flight_id: FlightId,
    /// The new owner's epoch.
    pub epoch: Epoch,
}

/// What a journal has of one flight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extent {
    /// The flight concerned.
    pub flight_id: FlightId,
    /// The largest epoch that wrote or fenced.
    pub epoch: Epoch,
    /// First event still there; 0 if there is none.
    pub first: Seq,
    /// Last event; 0 if there is none. Where a snapshot is all there is, the last one that it has in it.
    pub last: Seq,
}

/// A place in a journal's history of claims; what it means is the journal's own. The default is before all of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClaimsPlace(pub String);

/// What was claimed since a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claimed {
    /// These flights; some may be named twice, and by whom does not matter.
    Flights(Vec<FlightId>),
    /// The history does not say: any flight may have been.
    Any,
}

/// What can go wrong with a journal.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// It cannot be reached, or did not answer in time: what was sent may or may not be durable. The same round
    /// may be sent again.
    #[error("journal unavailable: {what}")]
    Unavailable {
        /// What was tried.
        what: String,
        /// Why it failed.
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
    },
    /// It has stopped writing for good (a failing fsync, a full disk); only a restart can help.
    #[error("journal stopped: {what}")]
    Stopped {
        /// What was tried.
        what: String,
        /// Why it failed.
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
    },
    /// What it holds is damaged: a bad checksum, a hole, something that cannot be read. Names the flight where
    /// the damage concerns one only.
    #[error("journal damaged: {what}")]
    Damaged {
        /// The flight concerned, if it is only one.
        flight_id: Option<FlightId>,
        /// What is wrong, where.
        what: String,
    },
    /// Events that were asked for are no longer there.
    #[error("events of {flight_id} up to {first} are no longer in the journal")]
    Trimmed {
        /// The flight concerned.
        flight_id: FlightId,
        /// The first that is still there.
        first: Seq,
    },
    /// The claim came too late: a later (or the same) epoch is already known.
    #[error("{flight_id} is owned under epoch {epoch}")]
    Fenced {
        /// The flight concerned.
        flight_id: FlightId,
        /// The epoch that owns it.
        epoch: Epoch,
    },
}

/// Where events become durable. All calls block; they are made from threads that may.
///
/// Every implementation keeps to the same contract suite:
/// - after `append` has said `Durable`, the events survive any crash;
/// - appending the same batch (epoch, seqs and events) again says `Durable` and changes nothing;
/// - other events than those that are there under their epoch and seqs are refused, as `Damaged`, or as `Fenced` if there
///   is a later owner: never is one event taken for the repeat of another;
/// - after `fence(epoch)`, no batch of a smaller epoch is ever accepted;
/// - a batch whose first seq does not follow the last one is refused as `Damaged`, and nothing is written.
pub trait Journal: Send + Sync + 'static {
    /// Makes a round of batches durable; one answer a batch, in the same order. At most one batch a flight.
    fn append(&self, round: &[Batch]) -> Result<Vec<Appended>, JournalError>;

    /// What the last round cost that `append` wrote; `None` from journals that do not know. Asked right after it, by whoever
    /// called it, and only if somebody traces what was in it.
    fn append_cost(&self) -> Option<AppendCost> {
        None
    }

    /// Whether a round could be appended just now, without one: asks where it would be written, in the way it would be.
    /// Fails as `append` does, and changes nothing that anybody reads.
    fn probe(&self) -> Result<(), JournalError> {
        self.append(&[]).map(drop)
    }

    /// Takes flights over: from now on every smaller epoch is refused. Claims for flights the journal does not
    /// know are kept too. Fails with `Fenced` if any claimed epoch is not larger than the newest one (the claims
    /// before it may have taken effect).
    fn fence(&self, claims: &[Claim]) -> Result<(), JournalError>;

    /// What the journal has, of every flight.
    fn extents(&self) -> Result<Vec<Extent>, JournalError>;

    /// What the journal has of one flight; `None` if it never heard of it.
    fn extent(&self, flight_id: &FlightId) -> Result<Option<Extent>, JournalError>;

    /// The largest epoch of each of these flights, in the same order; `None` where the journal never heard of it.
    /// Asked often, and of many at once.
    fn epochs(&self, flights: &[FlightId]) -> Result<Vec<Option<Epoch>>, JournalError> {
        flights.iter().map(|flight_id| Ok(self.extent(flight_id)?.map(|extent| extent.epoch))).collect()
    }

    /// Whether these flights have events, in the same order. One that cannot be read has some. Asked of names that
    /// strangers make up, so it must be cheap for those that nobody knows.
    fn have_events(&self, flights: &[FlightId]) -> Result<Vec<bool>, JournalError> {
        let has_events = |flight_id| match self.extent(flight_id) {
            Ok(extent) => Ok(extent.is_some_and(|extent| extent.last > Seq(0))),
            Err(JournalError::Damaged { flight_id: Some(_), .. }) => Ok(true),
            Err(error) => Err(error),
        };
        flights.iter().map(has_events).collect()
    }

    /// Which flights were claimed since `place`, and the place to ask from next time. A claim is in it before `fence`
    /// says that it has succeeded. A journal of one process alone has nothing to tell: nobody else claims there.
    fn claimed_since(&self, place: &ClaimsPlace) -> Result<(ClaimsPlace, Claimed), JournalError> {
        Ok((place.clone(), Claimed::Flights(Vec::new())))
    }

    /// Events of a flight after `after`, by rising seq, at most `events_max`; empty when there are no more.
    fn read(
        &self,
        flight_id: &FlightId,
        after: Seq,
        events_max: usize,
    ) -> Result<Vec<Recorded>, JournalError>;

    /// Says that the store has these flights up to these seqs, so that what is no longer needed may go.
    fn trim(&self, stored: &[(FlightId, Seq)]) -> Result<(), JournalError>;

    /// Whether snapshots that are put are kept, so that making them is worth the work.
    fn keeps_snapshots(&self) -> bool {
        false
    }

    /// Keeps a whole flight beside its events, so that it can come up from the journal alone once its first events
    /// are trimmed. An older one than what is there changes nothing. Journals that never need it ignore it.
    fn put_snapshot(&self, epoch: Epoch, snapshot: &FlightSnapshot) -> Result<(), JournalError> {
        let _ = (epoch, snapshot);
        Ok(())
    }

    /// The newest snapshot that was put; `None` from journals that keep none.
    fn snapshot(&self, flight_id: &FlightId) -> Result<Option<FlightSnapshot>, JournalError> {
        let _ = flight_id;
        Ok(None)
    }

    /// What it is and where, for logs and status pages, without secrets.
    fn describe(&self) -> String;
}

/// A round that is durable, handed on to whoever stores it.
pub struct DurableRound {
    /// The batches that are durable.
    pub batches: Vec<Batch>,
    /// Under `durability = store`: what waits for the store, flight by flight. Empty where nothing does.
    pub releases: Vec<Release>,
}

/// What one flight shows and answers once the store has it up to an event. Of one flight they come by rising seq, and leave
/// in that order.
pub struct Release {
    /// The flight concerned.
    pub flight_id: FlightId,
    /// The event that the store must have.
    pub seq: Seq,
    /// Publishes the view and sends the replies. Dropped uncalled, the replies say "unknown".
    pub run: Box<dyn FnOnce() + Send>,
}

/// Takes durable rounds over. Called on the writer's thread: must not block for long.
pub type OnDurable = Box<dyn Fn(DurableRound) + Send>;
