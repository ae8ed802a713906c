//! The actor of each flight and all around it: how a command gets to the flight, and how its answer gets out.
//! Never knows HTTP, SQL or files.

mod admission;
mod board;
mod census;
mod clock;
mod engine;
mod flight_actor;
mod handle;
mod message;
mod pace;
mod recoveries;
mod registry;
mod stamps;
mod supervisor;
mod view;

pub use admission::{Limits, Overloaded};
pub use board::{BoardPage, Sought};
pub use census::Census;
pub use clock::Clock;
pub use engine::{CreateAllError, CreateError, Engine, EngineParts, EngineStatus, RestartError, Restarted};
pub use handle::{FlightHandle, FlightStatus};
pub use message::{Answer, LiveOrders, OutcomeUnknown, PendingAnswer};
pub use registry::Located;
pub use stamps::{SpanRef, Stamps, Step};
pub use supervisor::{Recover, RecoverFuture, RecoveredFlight};
pub use view::{FlightView, Rendered};

#[cfg(test)]
pub(crate) use admission::Gauge;
pub(crate) use handle::FlightShared;
#[cfg(test)]
pub(crate) use handle::Standing;
pub(crate) use message::PendingReply;
pub(crate) use stamps::Traced;
