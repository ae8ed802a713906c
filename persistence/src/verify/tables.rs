//! Whether a flight's rows are what follows from the flight.
//! Never mends one.

use std::collections::{BTreeMap, HashMap};

use farerush_engine::flight::{Flight, Order, OrderId, OrderStatus, Seat, WaitlistId, WaitlistStatus};

use crate::store::{StoredFlight, Ticket, TicketStatus};

/// Checks that the rows agree with each other and with the flight at the cursor.
pub(super) fn check_tables(flight: &Flight, tables: &StoredFlight) -> Result<(), String> {
    let definition = flight.definition();
    let mut owners: BTreeMap<Seat, &Order> = BTreeMap::new();
    for stored in &tables.orders {
        let order = &stored.order;
        let no = order.no;
        let ids = &definition.ids;
        if ids.is_unlocked()
            && (stored.order_id != OrderId::of(&definition.flight_id, ids, no)
                || stored.record_locator != ids.record_locator(no).as_str())
        {
            return Err(format!("orders: id or locator of order {} is not the one it must have", no.0));
        }
        if order.status.is_live() {
            for &seat in &order.seats {
                if let Some(other) = owners.insert(seat, order) {
                    return Err(format!("orders: {seat} is in order {} and in order {}", other.no.0, no.0));
                }
            }
        }
        if flight.order(no).is_some_and(|known| known != order) {
            return Err(format!("orders: order {} is not as it is in the flight", no.0));
        }
    }
    let stored: HashMap<_, _> = tables.orders.iter().map(|stored| (stored.order.no, ())).collect();
    if let Some(order) = flight.orders().find(|order| !stored.contains_key(&order.no)) {
        return Err(format!("orders: there is no row of order {}", order.no.0));
    }
    check_waitlist(flight, tables)?;
    check_tickets(flight, tables, &owners)
}

fn check_waitlist(flight: &Flight, tables: &StoredFlight) -> Result<(), String> {
    let definition = flight.definition();
    let mut known: HashMap<_, _> = flight.waitlist().map(|entry| (entry.no, entry)).collect();
    for stored in &tables.waitlist {
        let no = stored.entry.no;
        let ids = &definition.ids;
        if ids.is_unlocked() && stored.id != WaitlistId::of(&definition.flight_id, ids, no) {
            return Err(format!("waitlist: the id of entry {} is not the one it must have", no.0));
        }
        match known.remove(&no) {
            Some(entry) if *entry != stored.entry => {
                return Err(format!("waitlist: entry {} is not as it is in the flight", no.0));
            }
            None if stored.entry.status == WaitlistStatus::Waiting => {
                return Err(format!("waitlist: entry {} waits, but not in the flight", no.0));
            }
            _ => {}
        }
    }
    match known.keys().next() {
        Some(no) => Err(format!("waitlist: there is no row of entry {}", no.0)),
        None => Ok(()),
    }
}

fn check_tickets(
    flight: &Flight,
    tables: &StoredFlight,
    owners: &BTreeMap<Seat, &Order>,
) -> Result<(), String> {
    let blocked = flight.snapshot().blocked;
    let mut tickets: BTreeMap<Seat, &Ticket> =
        tables.tickets.iter().map(|ticket| (ticket.seat, ticket)).collect();
    for cabin in &flight.definition().cabins {
        for seat in cabin.all_seats() {
            let Some(ticket) = tickets.remove(&seat) else {
                return Err(format!("tickets: there is no row of seat {seat}"));
            };
            let owner = owners.get(&seat).copied();
            let status = match owner.map(|order| order.status) {
                Some(OrderStatus::Held) => TicketStatus::Held,
                Some(_) => TicketStatus::Sold,
                None if blocked.contains(&seat) => TicketStatus::Blocked,
                None => TicketStatus::Free,
            };
            let expected = Ticket {
                seat,
                cabin_class: cabin.cabin_class,
                fare: cabin.fare.amount,
                status,
                order: owner.map(|order| order.no),
                passenger: owner.and_then(|order| order.passenger_on(seat)).cloned(),
            };
            if *ticket != expected {
                return Err(format!("tickets: {seat} is {}", difference(ticket, &expected)));
            }
        }
    }
    match tickets.keys().next() {
        Some(seat) => Err(format!("tickets: the flight has no seat {seat}")),
        None => Ok(()),
    }
}

fn difference(found: &Ticket, expected: &Ticket) -> String {
    let say = |ticket: &Ticket| match ticket.order {
        Some(no) => format!("{} (order {})", ticket.status.as_str(), no.0),
        None => ticket.status.as_str().to_owned(),
    };
    let (is, must) = (say(found), say(expected));
    if is == must {
        format!("{is}, but its cabin, fare or passenger is wrong")
    } else {
        format!("{is}, not {must}")
    }
}
