//! What everything else stands on: JSON, time, zones, endings, secrets.
//! Never knows a request, a flight or a setting.

pub mod addresses;
pub mod errors;
pub mod json;
pub mod long_body;
pub mod settings;
pub mod stop;
pub mod stopping;
pub mod time;
pub mod timer;
pub mod zones;
