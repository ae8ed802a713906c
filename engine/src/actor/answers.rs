//! What an actor answers, by what its flight shows.
//! Never decides and never records.

use super::flight_actor::FlightActor;
use super::message::{Answer, LiveOrders};
use crate::flight::{
    Command, Fingerprint, IdempotencyKey, KeyOwner, Order, Outcome, Refusal, Request, Seq, Timestamp,
    WaitlistEntry, WaitlistNo,
};

impl FlightActor {
    /// The answer to a request that was granted before, under the same key.
    pub(super) fn repeated(&self, command: &Command, request: &Request) -> Answer {
        if let Some(answer) = self.with_outcome(command, &request.outcome, request.seq, true) {
            return answer;
        }
        match request.order.and_then(|no| self.flight.order(no)) {
            Some(order) => self.shown(order, true),
            None => Answer::Flight { seq: self.flight.seq(), replayed: true },
        }
    }

    /// What is answered with more than the order or the flight; `seq` is that of the command's event.
    pub(super) fn with_outcome(
        &self,
        command: &Command,
        outcome: &Outcome,
        seq: Seq,
        replayed: bool,
    ) -> Option<Answer> {
        let no = match (command, outcome) {
            (_, Outcome::Closed { cancelled }) => {
                return Some(Answer::Closed { seq, cancelled: *cancelled, replayed });
            }
            (Command::CloseForGood, _) => {
                let seq = seq.min(self.flight.seq());
                return Some(Answer::Closed { seq, cancelled: 0, replayed });
            }
            (_, Outcome::Reseated(told)) => {
                let stranded = told.stranded.iter().filter_map(|(no, _)| self.flight.order(*no));
                let stranded = stranded.cloned().collect();
                return Some(Answer::Reseated { seq, told: told.clone(), stranded, replayed });
            }
            (Command::JoinWaitlist(_), _) => WaitlistNo(seq.0),
            (Command::LeaveWaitlist { entry }, _) => entry.no,
            _ => return None,
        };
        Some(self.waitlisted(self.flight.waitlisted(no), replayed))
    }

    pub(super) fn waitlisted(&self, entry: Option<&WaitlistEntry>, replayed: bool) -> Answer {
        let Some(entry) = entry else { return Answer::Refused(Refusal::WaitlistEntryNotFound) };
        let place = self.flight.waitlist_place(entry.no);
        Answer::Waitlisted { entry: Box::new(entry.clone()), place, replayed }
    }

    pub(super) fn shown(&self, order: &Order, replayed: bool) -> Answer {
        Answer::Order { order: order.clone(), definition: self.flight.definition().clone(), replayed }
    }

    pub(super) fn created_under(
        &self,
        key: &IdempotencyKey,
        fingerprint: Fingerprint,
        now: Timestamp,
    ) -> Answer {
        match self.flight.recall(&KeyOwner::Admins, key, fingerprint, now) {
            Some(Err(refusal)) => Answer::Refused(refusal),
            recalled => Answer::Flight { seq: self.flight.seq(), replayed: recalled.is_some() },
        }
    }

    pub(super) fn live_orders(&self) -> LiveOrders {
        let live = self.flight.orders().filter(|order| order.status.is_live());
        LiveOrders {
            definition: self.flight.definition().clone(),
            seq: self.flight.seq(),
            at: self.flight.last_at(),
            orders: live.cloned().collect(),
        }
    }
}
