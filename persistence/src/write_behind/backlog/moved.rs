//! Flights of which the journal has not been told how far they are stored, and of which it needs a snapshot.
//! Never tells it.

use farerush_engine::flight::{Epoch, FlightId, Seq};

use super::Backlog;

impl Backlog {
    /// Whether the journal has to be told of any.
    pub(in crate::write_behind) fn has_moved(&self) -> bool {
        !self.moved.is_empty()
    }

    /// Flights of which the journal has not been told how far they are stored, with their cursors.
    pub(in crate::write_behind) fn moved(&self) -> Vec<(FlightId, Seq)> {
        self.moved.iter().filter_map(|id| self.stored(id).map(|seq| (id.clone(), seq))).collect()
    }

    /// The same, and begins anew.
    pub(in crate::write_behind) fn take_moved(&mut self) -> Vec<(FlightId, Seq)> {
        let moved = self.moved();
        self.moved.clear();
        moved
    }

    /// The journal does not have the flight's first events: without a snapshot it could not bring it up.
    pub(in crate::write_behind) fn want_snapshot(&mut self, flight_id: &FlightId) {
        if let Some(lane) = self.lanes.get_mut(flight_id) {
            lane.snapshot = None;
        }
    }

    /// Those of these flights whose last snapshot is so many events old, with the epochs they are owned under.
    pub(in crate::write_behind) fn snapshots_due(
        &self,
        moved: &[(FlightId, Seq)],
        every: u64,
    ) -> Vec<(FlightId, Epoch)> {
        let due = |(id, stored): &(FlightId, Seq)| {
            let lane = self.lanes.get(id).filter(|lane| lane.halt.is_none())?;
            let is_due = lane.snapshot.is_none_or(|seq| stored.0.saturating_sub(seq.0) >= every.max(1));
            is_due.then(|| (id.clone(), lane.epoch))
        };
        moved.iter().filter_map(due).collect()
    }

    /// Notes that the journal has a snapshot up to here.
    pub(in crate::write_behind) fn note_snapshot(&mut self, flight_id: &FlightId, seq: Seq) {
        if let Some(lane) = self.lanes.get_mut(flight_id) {
            lane.snapshot = Some(seq.max(lane.snapshot.unwrap_or_default()));
        }
    }

    /// What this flight is to reach, if it is behind.
    pub(in crate::write_behind) fn goal(&self, flight_id: &FlightId) -> Option<(FlightId, Seq)> {
        let lane = self.lanes.get(flight_id).filter(|lane| lane.is_behind())?;
        Some((flight_id.clone(), lane.handed))
    }

    /// Says that these could not be trimmed after all.
    pub(in crate::write_behind) fn put_back_moved(&mut self, moved: Vec<(FlightId, Seq)>) {
        self.moved.extend(moved.into_iter().map(|(id, _)| id));
    }
}
