//! The waitlist: parties that want seats once some come back, in the order they came, and who of them is served next.
//! Never lets anybody wait for seats that are free and fit, and never reads a clock.

mod apply;
mod decide;
pub(super) mod line;
mod lookup;
#[cfg(test)]
mod tests;
pub(super) mod types;

pub use decide::LookedThrough;
pub use types::{
    Accept, LeftBecause, WAITING_MAX, WAITING_PER_CUSTOMER_MAX, WAITLIST_HOLD_SECONDS_DEFAULT, WaitlistEntry,
    WaitlistPlace, WaitlistStatus, WaitlistWish,
};

pub use super::ids::WaitlistNo;
pub use super::public_ids::WaitlistId;
