//! The HTTP interface, from the outside: a real server in this process, on a free port, with a data directory of its
//! own, and a client that only knows sockets.

mod admin;
mod admin_reads;
mod authorization;
mod client;
mod connections;
mod customers;
mod journal;
mod lifecycle;
mod live;
mod rates;
mod refusals;
mod seat_plan;
mod tokens;
mod waitlist;
