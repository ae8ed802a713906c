//! What admins have had servers do that is no event of a flight: drained and resumed servers, moved flights. The last ones are
//! kept beside the members in Redis, where the pins are that they set. Never keeps more than a bound.

use farerush_engine::flight::{AdminName, FlightId, Timestamp};
use farerush_engine::journal::JournalError;
use serde::{Deserialize, Serialize};

use super::lease::Lease;
use crate::base::time;

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deed {
    /// A server was to give its flights away.
    Drain,
    /// It was to take flights again.
    Resume,
    /// A flight was to be at a server.
    Move,
}

impl Deed {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Drain, Self::Resume, Self::Move];

    /// The name the outside uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Resume => "resume",
            Self::Move => "move",
        }
    }
}

/// What an admin has asked for, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Action {
    /// When, as answers have it.
    pub at: String,
    /// The admin's name.
    pub by: String,
    /// What.
    pub action: Deed,
    /// The server concerned; of a move where the flight is to be, `None` for nowhere in particular.
    pub server: Option<String>,
    /// The flight that was moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flight_id: Option<String>,
}

impl Action {
    /// What `by` has asked for at that moment.
    pub fn new(
        at: Timestamp,
        by: &AdminName,
        action: Deed,
        server: Option<&str>,
        flight_id: Option<&FlightId>,
    ) -> Self {
        Self {
            at: time::text(at),
            by: by.as_str().to_owned(),
            action,
            server: server.map(str::to_owned),
            flight_id: flight_id.map(|flight_id| flight_id.as_str().to_owned()),
        }
    }
}

impl Lease {
    /// Notes what an admin has asked for, before it is done. Blocks.
    ///
    /// # Errors
    ///
    /// If Redis does not take it: then it is not to be done.
    pub fn note_action(&self, action: &Action) -> Result<(), JournalError> {
        self.redis().note_action(&serde_json::to_string(action).unwrap_or_default())
    }

    /// What admins have asked for, the newest first, so many at most. Blocks.
    ///
    /// # Errors
    ///
    /// If Redis does not say.
    pub fn actions(&self, count: usize) -> Result<Vec<Action>, JournalError> {
        let told = self.redis().actions(count)?;
        // Another version may write what this one does not understand.
        Ok(told.iter().filter_map(|text| serde_json::from_str(text).ok()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_is_read_as_it_was_written() {
        let by = AdminName::new("night").unwrap();
        let flight_id = FlightId::new("FR1").unwrap();
        let action = Action::new(Timestamp::from_millis(0), &by, Deed::Move, None, Some(&flight_id));
        let text = serde_json::to_string(&action).unwrap();
        assert_eq!(
            text,
            r#"{"at":"1970-01-01T00:00:00.000Z","by":"night","action":"move","server":null,"flight_id":"FR1"}"#
        );
        assert_eq!(serde_json::from_str::<Action>(&text).unwrap(), action);
        for deed in Deed::ALL {
            assert_eq!(serde_json::to_string(&deed).unwrap(), format!("\"{}\"", deed.as_str()));
        }
    }
}
