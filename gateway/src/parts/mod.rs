//! What the resources are made of: who asks, how often, what is measured, and the ways to a flight and to lists.
//! Never knows an address.

pub mod auth;
pub mod catching_up;
pub mod cockpit;
pub mod figures;
pub mod flights;
pub mod health;
pub mod lists;
pub mod live;
pub mod metrics;
pub mod other_servers;
pub mod rate;
pub mod reads;
pub mod receipts;
pub mod recoveries;
pub mod rehearsal;
pub mod sales;
pub mod webhooks;
