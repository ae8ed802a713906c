//! The rows that a flight's state comes to, and those that a store has of it: what a property test holds against one another.
//! Never writes, and is asked by nobody else.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use farerush_engine::flight::{Cabin, FlightId, FlightSnapshot, IdSecrets, Order, Seat, Timestamp};

use super::database::Store;
use super::error::StoreError;
use super::rows::{FlightRow, encode_order, encode_request, encode_ticket};
use super::stored::{Ticket, TicketStatus};
use super::table::{FLIGHTS, ORDERS, REQUESTS, TICKETS, WAITLIST, of_flight};
use super::value::{Row, Value};
use super::waitlist::encode_waitlisted;

/// Rows by the names of their tables, sorted, each as the texts of its columns; `None` where a column has no value.
#[doc(hidden)]
pub type TableRows = BTreeMap<&'static str, Vec<Vec<Option<String>>>>;

impl Store {
    /// What the tables of flights, seats, orders, requests and the waitlist hold of a flight.
    #[doc(hidden)]
    pub async fn rows_of(&self, flight_id: &FlightId) -> Result<TableRows, StoreError> {
        let mut all = TableRows::new();
        for table in [&FLIGHTS, &TICKETS, &ORDERS, &REQUESTS, &WAITLIST] {
            let rows = self.read("reading rows", of_flight(&table.select(), flight_id, "")).await?;
            all.insert(table.name, shown(rows));
        }
        Ok(all)
    }

    /// What they have to hold of a flight in this state that was created at `created_at`: what it has forgotten apart.
    /// `None` without the secrets that its ids are made of.
    #[doc(hidden)]
    pub fn rows_of_state(
        snapshot: &FlightSnapshot,
        created_at: Timestamp,
        secrets: &Arc<IdSecrets>,
    ) -> Option<TableRows> {
        let definition = &snapshot.definition;
        let (flight_id, forgotten_through) = (&definition.flight_id, snapshot.forgotten_through);
        let mut ids = definition.ids.clone();
        ids.unlock(flight_id, secrets).ok()?;
        let row =
            FlightRow { definition: definition.clone(), sale: snapshot.sale, created_at, forgotten_through };
        let currency = row.currency()?;
        let orders = snapshot.orders.iter().map(|order| encode_order(flight_id, &ids, currency, order));
        let requests = snapshot.requests.iter().map(|request| encode_request(flight_id, request));
        let waitlist = snapshot.waitlist.iter().map(|entry| encode_waitlisted(flight_id, &ids, entry));
        let tickets = tickets(snapshot).into_iter().map(|ticket| encode_ticket(flight_id, &ticket)).collect();
        Some(TableRows::from([
            (FLIGHTS.name, shown(vec![row.encode()])),
            (TICKETS.name, shown(tickets)),
            (ORDERS.name, shown(orders.collect())),
            (REQUESTS.name, shown(requests.collect())),
            (WAITLIST.name, shown(waitlist.collect())),
        ]))
    }
}

/// A ticket for each seat, by the orders that have seats and by what is blocked.
fn tickets(snapshot: &FlightSnapshot) -> Vec<Ticket> {
    let live = snapshot.orders.iter().filter(|order| order.status.is_live());
    let owners: HashMap<Seat, &Order> =
        live.flat_map(|order| order.seats.iter().map(move |seat| (*seat, order))).collect();
    let ticket = |cabin: &Cabin, seat: Seat| {
        let owner = owners.get(&seat);
        let without =
            if snapshot.blocked.contains(&seat) { TicketStatus::Blocked } else { TicketStatus::Free };
        Ticket {
            seat,
            cabin_class: cabin.cabin_class,
            fare: cabin.fare.amount,
            status: owner.map_or(without, |order| TicketStatus::of(order.status)),
            order: owner.map(|order| order.no),
            passenger: owner.and_then(|order| order.passenger_on(seat)).cloned(),
        }
    };
    let cabins = snapshot.definition.cabins.iter();
    cabins
        .flat_map(|cabin| cabin.all_seats().map(move |seat| (cabin, seat)))
        .map(|(cabin, seat)| ticket(cabin, seat))
        .collect()
}

fn shown(rows: Vec<Row>) -> Vec<Vec<Option<String>>> {
    let value = |value: Value| match value {
        Value::Null => None,
        Value::Int(number) => Some(number.to_string()),
        Value::Text(text) => Some(text),
    };
    let mut rows: Vec<Vec<_>> = rows.into_iter().map(|row| row.into_iter().map(value).collect()).collect();
    rows.sort_unstable();
    rows
}
