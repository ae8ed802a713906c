//! The HTTP interface, from the other_servers: a real server in this process, on a free port, with a data directory of its
//! own, and a client that only knows sockets.
//!
//! With `FARERUSH_TEST_SERVERS=3` each of these servers is three, on a Redis and a database of their own, and each request
//! goes to the next of them: whoever asks cannot tell. What is a server's own (its figures, its connections) differs, so that such a
//! run is looked at and is no part of the usual one.

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
