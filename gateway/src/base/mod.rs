//! What everything else stands on: JSON, time, zones, endings, secrets.
//! Never knows a request, a flight or a setting.

pub mod json;
pub mod time;
pub mod timer;
pub mod zones;
