//! The actor of each flight and all around it: how a command gets to the flight, and how its answer gets out.
//! Never knows HTTP, SQL or files.

mod address;
mod admission;
mod answers;
mod board;
mod census;
mod clock;
mod creation;
mod engine;
mod flight_actor;
mod handle;
mod message;
mod pace;
mod recoveries;
mod registry;
mod restart;
mod shared;
mod stamps;
mod supervisor;
mod view;
mod writer;

pub use admission::{Limits, Overloaded};
pub use board::{BoardPage, Sought};
pub use census::Census;
pub use clock::Clock;
pub use creation::{CreateAllError, CreateError};
pub use engine::{Engine, EngineParts, EngineStatus};
pub use handle::{FlightHandle, FlightStatus};
pub use message::{Answer, LiveOrders, OutcomeUnknown, PendingAnswer};
pub use recoveries::Restarted;
pub use registry::Located;
pub use restart::RestartError;
pub use stamps::{Stamps, Step};
pub use supervisor::{Recover, RecoverFuture, RecoveredFlight};
pub use view::{FlightView, Rendered};
pub use writer::{Condition, WriterOptions, WriterState};

pub use crate::journal::SpanRef;
