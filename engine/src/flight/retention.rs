//! How long a flight remembers what is over.
//! Never says what is forgotten sooner because there is too much of it: the budget does.

/// How long a flight remembers an order that was cancelled or expired, and its idempotency key: 24 hours, in
/// milliseconds, counted in the time of the flight's own events. Older ones are only in the store.
pub const ENDED_ORDER_RETENTION_MS: i64 = 24 * 3600 * 1000;

/// How long a flight remembers a request's key: 24 hours, in milliseconds, counted in the time of its own events. As
/// long as an ended order, so that the order of a request that is remembered is remembered, too.
pub const REQUEST_RETENTION_MS: i64 = ENDED_ORDER_RETENTION_MS;
