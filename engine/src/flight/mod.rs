//! The flight: what it is, what may be done to it, and what follows from each event.
//! Never reads a clock, draws a random number, does IO, or knows a runtime: everything here is deterministic.

pub mod aircraft;
mod apply;
mod broken_invariant;
pub mod budget;
pub mod cabin;
mod chain;
pub mod command;
pub mod decide;
pub mod event;
mod fingerprint;
#[expect(clippy::module_inception, reason = "the flight itself stands in the file that is called so")]
mod flight;
mod flight_ids;
pub mod head;
pub mod ids;
mod invariants;
mod key_table;
mod ledger;
pub mod order;
pub mod payment;
mod public_ids;
pub mod refusal;
pub mod requests;
pub mod reseat;
mod restore;
pub mod retention;
mod run_index;
pub mod sale;
pub mod seat_map;
pub mod seating;
pub mod secrets;
pub mod snapshot;
pub mod waitlist;

pub use broken_invariant::BrokenInvariant;
pub use budget::Budget;
pub use cabin::{Cabin, CabinClass, Currency, Fare, Layout, Seat, Seats};
pub use command::{Command, EndedLongAgo, Grab, Payment, PolicyChange, SeatPlan, Together, Wanted};
pub use decide::Decision;
pub use event::{CabinsChange, Cause, ClosedForGood, Event, FlightDefinition, OrderPlaced, Recorded};
pub use flight::Flight;
pub use flight_ids::FlightIds;
pub use head::Head;
pub use ids::{
    AdminName, CustomerId, Epoch, FlightId, IdempotencyKey, OrderNo, OrderRef, PassengerName, RecordLocator,
    Reference, Salt, Seq, TimeZoneName, Timestamp, WaitlistNo, WaitlistRef,
};
pub use key_table::KeyOwner;
pub use order::{Fingerprint, Order, OrderExtras, OrderStatus, Passengers};
pub use payment::{Covers, ReturnedBecause};
pub use public_ids::{OrderId, WaitlistId};
pub use refusal::{LimitScope, QuotaOf, Refusal};
pub use requests::{Outcome, Request};
pub use reseat::Reseated;
pub use sale::{Sale, SalePolicy, SaleState, SaleSwitch};
pub use secrets::{Era, EraNonce, IdSecret, IdSecrets, SecretId, UnknownSecret};
pub use snapshot::FlightSnapshot;
pub use waitlist::{
    Accept, LeftBecause, LookedThrough, WaitlistEntry, WaitlistPlace, WaitlistStatus, WaitlistWish,
};
