//! The pages in a real Chromium, without a window: what customers and admins do, as they do it, in three languages, by
//! mouse, by keyboard and on a phone. Never trusts a page: what it shows is compared with what the API says.
//!
//! Needs Debian's packages chromium and chromium-driver, and axe-core (`npm ci` in this folder); `scripts/test` sees to it.

mod admin;
mod axe;
mod browser;
mod connection;
mod cutter;
mod departures;
mod driver;
mod grabbing;
mod identity;
mod keyboard;
mod orders;
mod pages;
#[path = "../support/rig.rs"]
mod rig;
mod screenshots;
#[path = "../../../persistence/tests/servers/mod.rs"]
mod servers;
mod several;
mod stage;
mod states;
#[path = "../support/mod.rs"]
mod support;
mod trouble;
mod words;
