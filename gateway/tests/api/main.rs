//! The HTTP interface, from the other_servers: a real server in this process, on a free port, with a data directory of its
//! own, and a client that only knows sockets.
//!
//! With `FARERUSH_TEST_SERVERS=3` each of these servers is three, on a Redis and a database of their own, and each request
//! goes to the next of them: whoever asks cannot tell. `scripts/test` runs them both ways. Tests that look into one process, stop it,
//! or are about a bound that each server has for itself start theirs by `TestServer::alone`, which is one server in any case.

mod admin;
mod admin_reads;
mod authorization;
mod browsers;
mod client;
mod cockpit;
mod connections;
mod customers;
mod journal;
mod keys;
mod lifecycle;
mod live;
mod names;
mod nginx;
mod pages;
mod payments;
mod rates;
mod refusals;
mod rehearsal;
mod seat_plan;
mod shares;
mod times;
mod tokens;
mod waitlist;
