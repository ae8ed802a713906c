//! What the crash tests are made of: the real program as a process, a client, a load, a ledger of what was promised,
//! and the check of those promises. Never looks inside the program: everything goes through HTTP and signals.
#![allow(dead_code, reason = "each test program uses a part of it")]

pub(crate) mod check;
pub(crate) mod client;
pub(crate) mod flight;
pub(crate) mod ledger;
pub(crate) mod load;
pub(crate) mod networks;
pub(crate) mod nginx;
pub(crate) mod process;
pub(crate) mod rush;
pub(crate) mod world;

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

/// The seed of a random test, from `FARERUSH_TEST_SEED` or a new one. It fixes what is asked and when the kill comes,
/// not how the machine's threads take turns.
pub(crate) fn seed() -> u64 {
    match std::env::var("FARERUSH_TEST_SEED") {
        Ok(text) => text.parse().expect("FARERUSH_TEST_SEED must be a whole number"),
        Err(_) => RandomState::new().hash_one(std::process::id()),
    }
}

/// How many rounds a random test goes, from `FARERUSH_TEST_ROUNDS` or the default.
pub(crate) fn rounds(default: u32) -> u32 {
    match std::env::var("FARERUSH_TEST_ROUNDS") {
        Ok(text) => text.parse().expect("FARERUSH_TEST_ROUNDS must be a whole number"),
        Err(_) => default,
    }
}

/// A number in place of `default`, from an environment variable `FARERUSH_TEST_...`.
pub(crate) fn setting(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable} must be a whole number")),
        Err(_) => default,
    }
}
