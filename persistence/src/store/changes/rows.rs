//! The rows that come of what changed, table by table.
//! Never writes one.

use std::sync::Arc;

use farerush_engine::flight::{Cabin, FlightId, IdSecrets, Timestamp};

use super::Misfit;
use crate::store::changes::FlightChanges;
use crate::store::money::encode_refund;
use crate::store::rows::{encode_order, encode_ticket};
use crate::store::stored::Ticket;
use crate::store::value::Row;
use crate::store::waitlist::encode_waitlisted;

/// Rows of one flush, by table.
#[derive(Default)]
pub(in crate::store) struct FlushRows {
    pub(in crate::store) flights: Vec<Row>,
    /// Cabins that are new: each seat of them gets a ticket that says free, before any other ticket is written.
    pub(in crate::store) new_cabins: Vec<(FlightId, Cabin)>,
    /// Flights whose tickets go, before those of new cabins come.
    pub(in crate::store) old_tickets: Vec<FlightId>,
    pub(in crate::store) orders: Vec<Row>,
    pub(in crate::store) tickets: Vec<Row>,
    pub(in crate::store) audit: Vec<Row>,
    pub(in crate::store) requests: Vec<Row>,
    pub(in crate::store) waitlist: Vec<Row>,
    pub(in crate::store) refunds: Vec<Row>,
    pub(in crate::store) heads: Vec<Row>,
    /// Flights whose requests older than this moment may go.
    pub(in crate::store) old_requests: Vec<(FlightId, Timestamp)>,
}

impl FlightChanges {
    /// The rows to write, once all events are in.
    pub(in crate::store) fn finish(
        self,
        secrets: Option<&Arc<IdSecrets>>,
        rows: &mut FlushRows,
    ) -> Result<(), Misfit> {
        let Some(flight) = &self.flight else { return Ok(()) };
        let currency = self.currency()?;
        let secrets = secrets.ok_or("the store was opened without the secrets that ids are made of")?;
        let mut ids = flight.definition.ids.clone();
        ids.unlock(&self.flight_id, secrets).map_err(|unknown| unknown.to_string())?;
        let ids = &ids;
        let mut tickets = self.tickets(&flight.definition.cabins)?;
        rows.old_tickets.extend(self.are_tickets_old.then(|| self.flight_id.clone()));
        rows.new_cabins.extend(self.new_cabins.into_iter().map(|cabin| (self.flight_id.clone(), cabin)));
        rows.tickets.append(&mut tickets);
        rows.audit.extend(self.audit);
        rows.requests.extend(self.requests.into_values());
        let waitlist = self.changed_waitlist.iter().filter_map(|no| self.waitlist.get(no));
        rows.waitlist.extend(waitlist.map(|entry| encode_waitlisted(&self.flight_id, ids, entry)));
        let refunds = self.refunds.iter();
        rows.refunds.extend(refunds.map(|lost| encode_refund(&self.flight_id, ids, lost)));
        rows.old_requests.extend(self.old_requests.map(|before| (self.flight_id.clone(), before)));
        let changed = self.changed_orders.iter().filter_map(|no| self.orders.get(no));
        rows.orders.extend(changed.map(|order| encode_order(&self.flight_id, ids, currency, order)));
        rows.heads.extend(self.heads.row(&self.flight_id));
        if self.flight_changed {
            rows.flights.push(flight.encode());
        }
        Ok(())
    }

    /// The tickets of the seats that changed.
    fn tickets(&self, cabins: &[Cabin]) -> Result<Vec<Row>, Misfit> {
        let mut tickets = Vec::with_capacity(self.seats.len());
        for (&seat, &(status, no)) in &self.seats {
            let cabin = cabins.iter().find(|cabin| cabin.has(seat));
            let cabin = cabin.ok_or_else(|| format!("there is no seat {seat}"))?;
            let order = no.and_then(|no| self.orders.get(&no));
            let ticket = Ticket {
                seat,
                cabin_class: cabin.cabin_class,
                fare: cabin.fare.amount,
                status,
                order: no,
                passenger: order.and_then(|order| order.passenger_on(seat)).cloned(),
            };
            tickets.push(encode_ticket(&self.flight_id, &ticket));
        }
        Ok(tickets)
    }
}
