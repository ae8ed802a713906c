//! The HTTP interface, from the other_servers: a real server in this process, on a free port, with a data directory of its
//! own, and a client that only knows sockets.

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
