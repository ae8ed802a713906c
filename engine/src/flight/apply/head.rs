//! The chain's head after each event, and whether whoever recorded the event had the same history.
//! Never says what goes into a head: `chain` does.

use crate::flight::event::{FlightDefinition, Recorded};
use crate::flight::flight::Flight;
use crate::flight::head::Head;

impl Flight {
    /// Before anything else of an event, so that whatever it changes can note the head.
    pub(in crate::flight) fn move_head(&mut self, recorded: &Recorded) {
        let FlightDefinition { flight_id, ids, .. } = &*self.definition;
        self.head = Head::follow(self.head, flight_id, ids.salt(), recorded);
    }

    /// Whoever recorded the event and this flight must have the same history.
    pub(in crate::flight) fn check_head(&mut self, recorded: &Recorded) {
        if let Some(head) = recorded.head
            && self.head != Some(head)
        {
            let here = self.head.map_or_else(|| "none".to_owned(), |head| head.to_string());
            self.break_with(
                "one history",
                format!(
                    "event {} was decided on top of another history: its head is {head}, not {here}, so that events in \
                     front of it, or it itself, are not what they were when somebody was told of them",
                    recorded.seq
                ),
            );
        }
    }
}
