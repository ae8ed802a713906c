//! What is delivered, as JSON: an envelope that is the same for all, and in it the order or the flight.
//! Never asks for anything.

use farerush_engine::actor::FlightView;
use farerush_engine::flight::{
    Event, FlightDefinition, FlightId, Order, OrderExtras, OrderNo, OrderStatus, Recorded, Seats, Seq,
    Timestamp,
};
use farerush_engine::journal::Durability;

use super::events::Kind;
use crate::base::json::Json;
use crate::wire::render;

/// Bytes that a delivery usually takes.
const BODY_BYTES: usize = 1024;

/// Which delivery it is.
#[derive(Debug, Clone)]
pub(super) struct Envelope<'a> {
    pub(super) id: &'a str,
    pub(super) kind: Kind,
    pub(super) at: Timestamp,
    pub(super) flight_id: &'a FlightId,
    pub(super) seq: Seq,
}

impl Envelope<'_> {
    /// The body, with `data` written by the function.
    pub(super) fn body(&self, data: impl FnOnce(&mut Json)) -> Vec<u8> {
        let mut json = Json::with_capacity(BODY_BYTES);
        json.open().key("id").text(self.id).key("type").text(self.kind.as_str());
        json.key("created_at").time(self.at);
        json.key("flight_id").plain(self.flight_id).key("seq").number(self.seq.0);
        json.key("data");
        data(&mut json);
        json.close();
        json.into_bytes()
    }
}

/// The order that was placed by this event, as it was then; `None` if it is another kind of event.
pub(super) fn placed(recorded: &Recorded) -> Option<Order> {
    let (Event::OrderPlaced(placed) | Event::WaitlistServed { placed, .. }) = &recorded.event else {
        return None;
    };
    let is_held = placed.hold_expires_at.is_some();
    Some(Order {
        no: OrderNo(recorded.seq.0),
        customer: placed.customer.clone(),
        seats: placed.seats.clone(),
        total: placed.total,
        status: if is_held { OrderStatus::Held } else { OrderStatus::Confirmed },
        hold_expires_at: placed.hold_expires_at,
        created_at: recorded.at,
        updated_at: recorded.at,
        changed_by: recorded.seq,
        proof: recorded.head,
        extras: Some(Box::new(OrderExtras {
            passengers: placed.passengers.clone(),
            client_reference: placed.client_reference.clone(),
            ..OrderExtras::default()
        })),
    })
}

/// The order as it was after the event, as far as the event knows: the rest is as it is now.
pub(super) fn as_of(recorded: &Recorded, now: Order, definition: &FlightDefinition) -> Order {
    if now.changed_by == recorded.seq {
        return now;
    }
    let mut order = now;
    order.changed_by = recorded.seq;
    order.proof = recorded.head;
    order.updated_at = recorded.at;
    match &recorded.event {
        Event::OrderConfirmed { seats, payment_reference, .. }
        | Event::OrderRevived { seats, payment_reference, .. } => {
            order.status = OrderStatus::Confirmed;
            order.hold_expires_at = None;
            if let Some(payment) = payment_reference {
                order.extras.get_or_insert_default().payment_reference = Some(payment.clone());
            }
            move_to(&mut order, seats, definition);
        }
        Event::OrderCancelled { freed, .. } => {
            order.status = OrderStatus::Cancelled;
            order.hold_expires_at = None;
            move_to(&mut order, freed, definition);
        }
        Event::OrderExpired { freed, .. } => {
            order.status = OrderStatus::Expired;
            order.hold_expires_at = None;
            move_to(&mut order, freed, definition);
        }
        Event::OrderChanged { seats, held, total, passengers, .. } => {
            order.status = if *held { OrderStatus::Held } else { OrderStatus::Confirmed };
            order.seats = seats.clone();
            order.total = *total;
            order.extras.get_or_insert_default().passengers = passengers.clone();
        }
        Event::PaymentBegun { hold_expires_at, .. } => {
            order.status = OrderStatus::Held;
            order.hold_expires_at = Some(*hold_expires_at);
        }
        Event::CabinsChanged(change) => {
            let place = change.seated.binary_search_by_key(&order.no, |(no, _)| *no);
            match place.ok().and_then(|place| change.seated.get(place)) {
                Some((_, seats)) => order.seats = seats.clone(),
                None => order.status = OrderStatus::Cancelled,
            }
        }
        Event::ClosedForGood(_) => order.status = OrderStatus::Cancelled,
        // These are about no order that was there before.
        _ => {}
    }
    order
}

fn move_to(order: &mut Order, seats: &Seats, definition: &FlightDefinition) {
    if order.seats == *seats {
        return;
    }
    order.seats = seats.clone();
    let fare = |seat| definition.cabins.iter().find(|cabin| cabin.has(seat)).map(|cabin| cabin.fare.amount);
    if let Some(total) = seats.iter().map(|seat| fare(*seat)).sum() {
        order.total = total;
    }
}

/// Writes an order as `GET /v1/orders/{order_id}` shows it.
pub(super) fn write_order(
    json: &mut Json,
    order: &Order,
    definition: &FlightDefinition,
    durability: Durability,
) {
    render::order_of(json, order, definition, durability);
}

/// Writes what is left of an order that nobody knows any more.
pub(super) fn write_unknown_order(
    json: &mut Json,
    recorded: &Recorded,
    no: OrderNo,
    definition: &FlightDefinition,
) {
    let order_id = farerush_engine::flight::OrderId::of(&definition.flight_id, &definition.ids, no);
    json.open().key("order_id").plain(order_id);
    json.key("record_locator").text(definition.ids.record_locator(no).as_str());
    json.key("flight_id").plain(&definition.flight_id).key("seq").number(recorded.seq.0);
    json.key("updated_at").time(recorded.at).key("incomplete").boolean(true).close();
}

/// Writes a flight that is sold out.
pub(super) fn write_sold_out(json: &mut Json, view: &FlightView) {
    let definition = &view.definition;
    json.open().key("flight_id").plain(&definition.flight_id);
    json.key("flight_number").text(&definition.flight_number);
    json.key("origin").text(&definition.origin).key("destination").text(&definition.destination);
    render::write_departure(json, definition);
    json.key("capacity").number(view.capacity).key("available").number(0).close();
}

/// Writes which events were lost.
pub(super) fn write_gap(json: &mut Json, first: Seq, last: Seq) {
    json.open().key("first_seq").number(first.0).key("last_seq").number(last.0);
    json.key("events").number((last.0 + 1).saturating_sub(first.0)).close();
}
