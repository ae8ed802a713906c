//! What admins did, as rows of the audit.
//! Never has a row for what a customer did.

use farerush_engine::flight::{
    AdminName, Event, FlightId, Recorded, SalePolicy, SaleSwitch, Seats, Timestamp,
};
use serde_json::{Value, json};

use crate::store::value::Row;

/// The audit's row of an event that an admin caused.
pub(super) fn audit_row(flight_id: &FlightId, recorded: &Recorded) -> Option<Row> {
    let (action, details) = action_of(recorded)?;
    Some(vec![
        flight_id.as_str().into(),
        recorded.seq.0.into(),
        recorded.at.as_millis().into(),
        action.into(),
        details.to_string().into(),
        recorded.cause.as_ref().and_then(|cause| cause.by.as_ref()).map(AdminName::as_str).into(),
    ])
}

/// What was done, and the details of it; `None` where it was no admin.
fn action_of(recorded: &Recorded) -> Option<(&'static str, Value)> {
    Some(match &recorded.event {
        Event::FlightCreated { policy: rules, .. } => ("create", rules_of(rules)),
        Event::SaleSwitched { switch: SaleSwitch::Open, policy: rules } => ("open", rules_of(rules)),
        Event::SaleSwitched { switch: SaleSwitch::Paused, .. } => ("pause", json!({})),
        Event::SaleSwitched { switch: SaleSwitch::Closed, .. } => ("close", json!({})),
        Event::PolicyChanged { policy: rules } => ("change_policy", rules_of(rules)),
        Event::ClosedForGood(closed) => (
            "close",
            json!({ "cancelled_orders": closed.cancelled.iter().map(|(no, _)| no.0).collect::<Vec<_>>() }),
        ),
        Event::SeatsBlocked { seats } => ("block", json!({ "seats": seats_of(seats) })),
        Event::SeatsUnblocked { seats } => ("unblock", json!({ "seats": seats_of(seats) })),
        Event::CabinsChanged(change) => (
            "change_seat_plan",
            json!({
                "aircraft": change.aircraft.as_deref(),
                "blocked": seats_of(&change.blocked),
                "cancelled_orders": change.cancelled.iter().map(|no| no.0).collect::<Vec<_>>(),
            }),
        ),
        Event::RowsAdded { cabin } => (
            "add_rows",
            json!({ "rows": [cabin.first_row, cabin.last_row], "layout": cabin.layout.as_str() }),
        ),
        event => {
            // What customers may do as well is in the audit where an admin did it.
            recorded.cause.as_ref().and_then(|cause| cause.by.as_ref())?;
            (action_for_a_customer(event)?, json!({ "order_no": event.order().map(|order| order.0) }))
        }
    })
}

fn seats_of(seats: &Seats) -> Vec<String> {
    seats.iter().map(ToString::to_string).collect()
}

fn rules_of(policy: &SalePolicy) -> Value {
    json!({
        "opens_at": policy.opens_at.map(Timestamp::as_millis),
        "closes_at": policy.closes_at.map(Timestamp::as_millis),
        "max_seats_per_order": policy.max_seats_per_order,
        "max_seats_per_customer": policy.max_seats_per_customer,
        "hold_seconds": policy.hold_seconds,
        "payment_grace_seconds": policy.payment_grace_seconds,
        "closes_before_minutes": policy.closes_before_minutes,
    })
}

/// What an admin did in a customer's place.
fn action_for_a_customer(event: &Event) -> Option<&'static str> {
    Some(match event {
        Event::OrderConfirmed { .. } => "confirm_order",
        Event::OrderRevived { .. } => "revive_order",
        Event::OrderCancelled { .. } => "cancel_order",
        Event::OrderChanged { .. } => "change_order",
        Event::PaymentBegun { .. } => "begin_payment",
        Event::PaymentReturned { .. } => "return_payment",
        Event::WaitlistJoined(_) => "join_waitlist",
        Event::WaitlistLeft { .. } => "leave_waitlist",
        _ => return None,
    })
}
