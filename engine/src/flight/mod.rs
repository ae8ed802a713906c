//! The flight: what it is, what may be done to it, and what follows from each event.
//! Never reads a clock, draws a random number, does IO, or knows a runtime: everything here is deterministic.

pub mod aircraft;
mod apply;
pub mod budget;
pub mod cabin;
pub mod chain;
pub mod command;
pub mod decide;
pub mod event;
pub mod ids;
pub mod invariants;
pub mod inventory;
mod key_table;
pub mod order;
pub mod payment;
pub mod refusal;
pub mod requests;
pub mod reseat;
mod run_index;
pub mod sale;
pub mod seat_map;
pub mod seating;
pub mod secrets;
pub mod snapshot;
pub mod waitlist;

pub use budget::Budget;
pub use cabin::{Cabin, CabinClass, Currency, Fare, Layout, Seat, Seats};
pub use chain::Head;
pub use command::{Command, EndedLongAgo, Grab, Payment, PolicyChange, SeatPlan, Together, Wanted};
pub use decide::Decision;
pub use event::{CabinsChange, Cause, ClosedForGood, Event, FlightDefinition, OrderPlaced, Recorded};
pub use ids::{
    AdminName, CustomerId, Epoch, FlightId, IdempotencyKey, OrderId, OrderNo, OrderRef, PassengerName,
    RecordLocator, Reference, Salt, Seq, TimeZoneName, Timestamp,
};
pub use invariants::BrokenInvariant;
pub use inventory::Flight;
pub use key_table::KeyOwner;
pub use order::{Fingerprint, Order, OrderExtras, OrderStatus, Passengers};
pub use payment::{Covers, ReturnedBecause};
pub use refusal::{LimitScope, QuotaOf, Refusal};
pub use requests::{Outcome, Request};
pub use reseat::Reseated;
pub use sale::{Sale, SalePolicy, SaleState, SaleSwitch};
pub use secrets::{Era, EraNonce, FlightIds, IdSecret, IdSecrets, SecretId, UnknownSecret};
pub use snapshot::FlightSnapshot;
pub use waitlist::{
    Accept, LeftBecause, WaitlistEntry, WaitlistId, WaitlistNo, WaitlistPlace, WaitlistRef, WaitlistStatus,
    WaitlistWish,
};
