//! `GET /v1/admin/flights/{flight_id}/audit`: every event of a flight, in order, told in words: from the journal as far as
//! it reaches back, and before that what the store still knows. Never writes, and holds one page at a time.

mod reading;

use std::sync::Arc;

use farerush_engine::flight::waitlist::{Accept, LeftBecause, WaitlistId, WaitlistNo};
use farerush_engine::flight::{
    Cabin, Event, FlightId, FlightIds, OrderId, OrderNo, OrderPlaced, OrderStatus, Passengers, Recorded,
    Reference, ReturnedBecause, SalePolicy, SaleSwitch, Seats, Seq, TimeZoneName, Timestamp,
};
use farerush_persistence::store::{StoredChange, StoredOrder};
use warp::http::HeaderValue;
use warp::reply::Response;

use self::reading::named_page;
use crate::base::json::Json;
use crate::parts::auth::Admin;
use crate::parts::sales::Sales;
use crate::wire::csv_text::{Accepts, Format, Table, json_response, link_next};
use crate::wire::names::FlightName;
use crate::wire::problem::Problem;
use crate::wire::query::{self, Query};

/// The columns of the table.
const COLUMNS: [&str; 7] = ["seq", "at", "kind", "actor", "by", "idempotency_key", "details"];

/// Who caused an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actor {
    /// An admin.
    Admin,
    /// A customer, or somebody with a customer's order.
    Customer,
    /// The flight itself: a deadline ran out.
    Flight,
}

impl Actor {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Admin, Self::Customer, Self::Flight];

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Customer => "customer",
            Self::Flight => "flight",
        }
    }
}

/// An event in words.
#[derive(Debug)]
pub struct AuditEntry {
    seq: Seq,
    at: Timestamp,
    kind: String,
    actor: Actor,
    by: Option<String>,
    idempotency_key: Option<String>,
    /// A JSON object.
    details: Vec<u8>,
}

/// What a flight's orders are named by.
#[derive(Debug, Clone, Copy)]
pub struct Naming<'f> {
    /// The flight.
    pub flight_id: &'f FlightId,
    /// What its ids are made of.
    pub ids: &'f FlightIds,
}

impl Naming<'_> {
    fn order(&self, json: &mut Json, no: OrderNo) {
        json.key("order_id").plain(OrderId::of(self.flight_id, self.ids, no));
    }

    fn waiting(&self, json: &mut Json, no: WaitlistNo) {
        json.key("waitlist_id").plain(WaitlistId::of(self.flight_id, self.ids, no));
    }
}

/// `GET /v1/admin/flights/{flight_id}/audit`
pub async fn show(
    name: FlightName,
    _by: Admin,
    sales: Arc<Sales>,
    raw_query: String,
    accepts: Option<Accepts>,
) -> Result<Response, Problem> {
    let mut query = Query::parse(&raw_query);
    let format = Format::take(&mut query, accepts);
    let limit = query.limit();
    let after = query.cursor(|text| query::cursor_number(text).map(Seq)).unwrap_or_default();
    query.finish()?;
    let flight = sales.flights.flight(&name).await?;
    let flight_id = flight.flight_id().clone();
    // One more than the page shows whether there is a next one.
    let (complete_from, mut told) = named_page(&sales, &flight, after, limit + 1).await?;
    let more = told.len() > limit;
    told.truncate(limit);
    let next = told.last().filter(|_| more).map(|last| query::cursor(&last.seq.0.to_string()));
    let mut response = match format {
        Format::Json => as_json(&flight_id, &told, complete_from, next.as_deref()),
        Format::Csv => {
            let mut response = as_table(&flight_id, told);
            let path = format!("/v1/admin/flights/{flight_id}/audit");
            link_next(&mut response, &path, &raw_query, next.as_deref());
            response
        }
    };
    response.headers_mut().insert("farerush-complete-from-seq", HeaderValue::from(complete_from.0));
    Ok(response)
}

fn as_json(flight_id: &FlightId, told: &[AuditEntry], complete_from: Seq, next: Option<&str>) -> Response {
    let mut json = Json::with_capacity(128 + 256 * told.len());
    json.open().key("flight_id").plain(flight_id).key("complete_from_seq").number(complete_from.0);
    json.key("events").open_list();
    for event in told {
        json.open().key("seq").number(event.seq.0).key("at").time(event.at);
        json.key("kind").text(&event.kind).key("actor").text(event.actor.as_str());
        json.key("by").text_or_null(event.by.as_deref());
        json.key("idempotency_key").text_or_null(event.idempotency_key.as_deref());
        json.key("details").raw(&event.details).close();
    }
    json.close_list().key("next_cursor").text_or_null(next).close();
    json_response(json)
}

fn as_table(flight_id: &FlightId, told: Vec<AuditEntry>) -> Response {
    let mut table = Table::new(&COLUMNS);
    for event in told {
        table.plain(event.seq.0).time(Some(event.at)).plain(&event.kind).plain(event.actor.as_str());
        table.text_or_empty(event.by.as_deref()).text_or_empty(event.idempotency_key.as_deref());
        table.text(&String::from_utf8_lossy(&event.details)).end();
    }
    table.response(&format!("audit-{flight_id}"))
}

/// An event of the journal.
fn told(recorded: &Recorded, naming: Naming<'_>) -> AuditEntry {
    let mut json = Json::default();
    json.open();
    // These are named by their own event.
    match &recorded.event {
        Event::OrderPlaced(_) | Event::WaitlistServed { .. } => {
            naming.order(&mut json, OrderNo(recorded.seq.0));
        }
        Event::WaitlistJoined(_) => naming.waiting(&mut json, WaitlistNo(recorded.seq.0)),
        _ => {}
    }
    let kind = kind_and_details(&recorded.event, naming, &mut json);
    json.close();
    let cause = recorded.cause.as_deref();
    let admin = cause.and_then(|cause| cause.by.as_ref());
    let (customer, grab_key) = match &recorded.event {
        Event::OrderPlaced(placed) => (Some(&placed.customer), placed.idempotency.as_ref()),
        Event::WaitlistJoined(wish) => (Some(&wish.customer), None),
        _ => (None, None),
    };
    let key = cause.and_then(|cause| cause.idempotency.as_ref()).or(grab_key);
    let actor = if admin.is_some() { Actor::Admin } else { actor_of(&recorded.event) };
    let by = admin.map(|name| name.as_str()).or_else(|| customer.map(|customer| customer.as_str()));
    AuditEntry {
        seq: recorded.seq,
        at: recorded.at,
        kind: kind.to_owned(),
        actor,
        by: by.map(str::to_owned),
        idempotency_key: key.map(|(key, _)| key.as_str().to_owned()),
        details: json.into_bytes(),
    }
}

/// Who causes such events, unless it is written with them.
fn actor_of(event: &Event) -> Actor {
    match event {
        Event::FlightCreated { .. }
        | Event::SaleSwitched { .. }
        | Event::PolicyChanged { .. }
        | Event::SeatsBlocked { .. }
        | Event::SeatsUnblocked { .. }
        | Event::RowsAdded { .. }
        | Event::CabinsChanged(_)
        | Event::ClosedForGood(_)
        | Event::NothingChanged { order: None, entry: None } => Actor::Admin,
        Event::OrderPlaced(_)
        | Event::OrderConfirmed { .. }
        | Event::OrderCancelled { .. }
        | Event::OrderChanged { .. }
        | Event::PaymentBegun { .. }
        | Event::PaymentReturned { .. }
        | Event::OrderRevived { .. }
        | Event::NothingChanged { .. }
        | Event::WaitlistJoined(_)
        | Event::WaitlistLeft { reason: LeftBecause::GivenUp, .. } => Actor::Customer,
        Event::OrderExpired { .. }
        | Event::Forgotten { .. }
        | Event::TakenOver { .. }
        | Event::SaleEnded
        | Event::WaitlistLeft { reason: LeftBecause::Expired, .. }
        | Event::WaitlistServed { .. } => Actor::Flight,
    }
}

/// The name of an event, and its particulars as members of an object that is open already. It has an arm for each kind
/// of event, so that no new one can be forgotten here.
pub fn kind_and_details(event: &Event, naming: Naming<'_>, json: &mut Json) -> &'static str {
    match event {
        Event::FlightCreated { definition, policy } => {
            json.key("flight_number").text(&definition.flight_number);
            json.key("origin").text(&definition.origin).key("destination").text(&definition.destination);
            json.key("departs_at").time(definition.departs_at);
            // As it was written: of old flights it is not known what the airport's was then.
            json.key("origin_time_zone")
                .text_or_null(definition.origin_time_zone.as_ref().map(TimeZoneName::as_str));
            json.key("aircraft").text_or_null(definition.aircraft.as_deref());
            write_cabins(json, &definition.cabins);
            write_policy(json, policy);
            "flight_created"
        }
        Event::SaleSwitched { switch, policy } => {
            json.key("state").text(switch_name(*switch));
            write_policy(json, policy);
            "sale_switched"
        }
        Event::PolicyChanged { policy } => {
            write_policy(json, policy);
            "policy_changed"
        }
        Event::SeatsBlocked { seats } => {
            write_seats(json, "seats", seats);
            "seats_blocked"
        }
        Event::SeatsUnblocked { seats } => {
            write_seats(json, "seats", seats);
            "seats_unblocked"
        }
        Event::RowsAdded { cabin } => {
            write_cabins(json, std::slice::from_ref(cabin));
            "rows_added"
        }
        Event::CabinsChanged(change) => {
            json.key("aircraft").text_or_null(change.aircraft.as_deref());
            write_cabins(json, &change.cabins);
            write_seats(json, "blocked", &change.blocked);
            json.key("orders_seated").number(change.seated.len() as u64);
            json.key("cancelled").open_list();
            for no in &change.cancelled {
                json.plain(OrderId::of(naming.flight_id, naming.ids, *no));
            }
            json.close_list();
            "cabins_changed"
        }
        Event::OrderPlaced(placed) => {
            write_placed(json, placed);
            "order_placed"
        }
        Event::OrderConfirmed { order, payment_reference, seats } => {
            write_paid(json, naming, *order, payment_reference.as_ref(), seats);
            "order_confirmed"
        }
        Event::OrderRevived { order, seats, payment_reference } => {
            write_paid(json, naming, *order, payment_reference.as_ref(), seats);
            "order_revived"
        }
        Event::OrderCancelled { order, freed } => {
            naming.order(json, *order);
            write_seats(json, "freed", freed);
            "order_cancelled"
        }
        Event::OrderExpired { order, freed } => {
            naming.order(json, *order);
            write_seats(json, "freed", freed);
            "order_expired"
        }
        Event::OrderChanged { order, seats, freed, total, passengers, .. } => {
            naming.order(json, *order);
            write_seats(json, "seats", seats);
            write_seats(json, "freed", freed);
            json.key("total").number(*total);
            write_passengers(json, passengers.as_ref());
            "order_changed"
        }
        Event::PaymentReturned { order, payment_reference, amount, currency, because } => {
            naming.order(json, *order);
            json.key("payment_reference").text(payment_reference.as_str()).key("amount").number(*amount);
            json.key("currency").text(currency.as_str()).key("reason").text(match because {
                ReturnedBecause::TooLate => "paid_too_late",
                ReturnedBecause::PaidAlready => "paid_already",
                ReturnedBecause::Cancelled => "paid_cancelled",
            });
            "payment_returned"
        }
        Event::PaymentBegun { order, hold_expires_at } => {
            naming.order(json, *order);
            json.key("hold_expires_at").time(*hold_expires_at);
            "payment_begun"
        }
        Event::WaitlistJoined(wish) => {
            json.key("party_size").number(wish.party_size);
            write_accept(json, wish.accept);
            json.key("cabin_class").text_or_null(wish.cabin_class.map(|class| class.as_str()));
            json.key("expires_at").time_or_null(wish.expires_at);
            "waitlist_joined"
        }
        Event::WaitlistLeft { entry, reason } => {
            naming.waiting(json, *entry);
            json.key("reason").text(match reason {
                LeftBecause::GivenUp => "given_up",
                LeftBecause::Expired => "expired",
            });
            "waitlist_left"
        }
        Event::WaitlistServed { entry, placed } => {
            naming.waiting(json, *entry);
            write_placed(json, placed);
            "waitlist_served"
        }
        Event::ClosedForGood(closed) => {
            write_policy(json, &closed.policy);
            json.key("cancelled").open_list();
            for (no, _) in &closed.cancelled {
                json.plain(OrderId::of(naming.flight_id, naming.ids, *no));
            }
            json.close_list();
            "closed_for_good"
        }
        Event::NothingChanged { order, entry } => {
            order.iter().for_each(|no| naming.order(json, *no));
            entry.iter().for_each(|no| naming.waiting(json, *no));
            "nothing_changed"
        }
        Event::SaleEnded => "sale_ended",
        Event::TakenOver { epoch, secret, .. } => {
            json.key("epoch").number(epoch.0).key("id_secret").plain(secret);
            "taken_over"
        }
        Event::Forgotten { through } => {
            json.key("through_seq").number(through.0);
            "forgotten"
        }
    }
}

/// An order that an event placed. Its number is that event's, which only the caller knows: the id is written there.
fn write_placed(json: &mut Json, placed: &OrderPlaced) {
    write_seats(json, "seats", &placed.seats);
    json.key("total").number(placed.total);
    json.key("hold_expires_at").time_or_null(placed.hold_expires_at);
    write_passengers(json, placed.passengers.as_ref());
    if let Some(reference) = &placed.client_reference {
        json.key("client_reference").text(reference.as_str());
    }
}

fn write_accept(json: &mut Json, accept: Accept) {
    match accept {
        Accept::AllTogether => json.key("accept").text("all_together"),
        Accept::All => json.key("accept").text("all"),
        Accept::AtLeast(seats) => json.key("accept").text("at_least").key("at_least").number(seats),
    };
}

fn write_paid(
    json: &mut Json,
    naming: Naming<'_>,
    order: OrderNo,
    payment_reference: Option<&Reference>,
    seats: &Seats,
) {
    naming.order(json, order);
    write_seats(json, "seats", seats);
    json.key("payment_reference").text_or_null(payment_reference.map(|reference| reference.as_str()));
}

fn write_passengers(json: &mut Json, passengers: Option<&Passengers>) {
    let Some(passengers) = passengers else { return };
    json.key("passengers").open_list();
    for passenger in passengers.iter() {
        json.text_or_null(passenger.as_ref().map(|name| name.as_str()));
    }
    json.close_list();
}

fn write_seats(json: &mut Json, key: &str, seats: &Seats) {
    json.key(key).open_list();
    for seat in seats {
        json.plain(seat);
    }
    json.close_list();
}

fn write_cabins(json: &mut Json, cabins: &[Cabin]) {
    json.key("cabins").open_list();
    for cabin in cabins {
        json.open().key("cabin_class").text(cabin.cabin_class.as_str());
        json.key("rows").open_list().number(cabin.first_row).number(cabin.last_row).close_list();
        json.key("layout").text(cabin.layout.as_str());
        json.key("fare").open().key("amount").number(cabin.fare.amount);
        json.key("currency").text(cabin.fare.currency.as_str()).close().close();
    }
    json.close_list();
}

fn write_policy(json: &mut Json, policy: &SalePolicy) {
    json.key("opens_at").time_or_null(policy.opens_at).key("closes_at").time_or_null(policy.closes_at);
    json.key("max_seats_per_order").number(policy.max_seats_per_order);
    json.key("max_seats_per_customer").number(policy.max_seats_per_customer);
    json.key("hold_seconds").number(policy.hold_seconds);
    json.key("payment_grace_seconds").number(policy.payment_grace_seconds);
    json.key("closes_before_minutes").number(policy.closes_before_minutes);
}

const fn switch_name(switch: SaleSwitch) -> &'static str {
    match switch {
        SaleSwitch::Scheduled => "scheduled",
        SaleSwitch::Open => "open",
        SaleSwitch::Paused => "paused",
        SaleSwitch::Closed => "closed",
    }
}

/// What the store knows of an event that the journal no longer has.
fn told_of_rows(change: StoredChange, naming: Naming<'_>) -> AuditEntry {
    let seq = change.seq();
    let mut json = Json::default();
    json.open().key("from_store").boolean(true);
    let (at, kind, actor, by, key) = match change {
        StoredChange::Admin(row) => {
            // Of an order, the number that its id is made of.
            if let Some(no) = row.order_no() {
                naming.order(&mut json, no);
            } else {
                json.key("asked_for").raw(row.details.as_bytes());
            }
            (row.at, kind_of_action(&row.action).to_owned(), Actor::Admin, row.admin, None)
        }
        StoredChange::Placed(stored, Some(entry)) => {
            naming.order(&mut json, stored.order.no);
            naming.waiting(&mut json, entry);
            (stored.order.created_at, "waitlist_served".to_owned(), Actor::Flight, None, None)
        }
        StoredChange::Placed(stored, None) => {
            naming.order(&mut json, stored.order.no);
            let key = stored.order.idempotency().map(|(key, _)| key.as_str().to_owned());
            let by = stored.order.customer.as_str().to_owned();
            (stored.order.created_at, "order_placed".to_owned(), Actor::Customer, Some(by), key)
        }
        StoredChange::Changed(stored) => {
            naming.order(&mut json, stored.order.no);
            json.key("status").text(stored.order.status.as_str());
            write_seats(&mut json, "seats", &stored.order.seats);
            let (kind, actor) = last_change(&stored);
            (stored.order.updated_at, kind.to_owned(), actor, None, None)
        }
    };
    json.close();
    AuditEntry { seq, at, kind, actor, by, idempotency_key: key, details: json.into_bytes() }
}

/// What an action of the table `admin_audit` is called as an event; one that came later keeps its name.
fn kind_of_action(action: &str) -> &str {
    match action {
        "create" => "flight_created",
        "open" | "pause" | "close" => "sale_switched",
        "change_policy" => "policy_changed",
        "block" => "seats_blocked",
        "unblock" => "seats_unblocked",
        "add_rows" => "rows_added",
        "change_seat_plan" => "cabins_changed",
        "confirm_order" => "order_confirmed",
        "revive_order" => "order_revived",
        "cancel_order" => "order_cancelled",
        "change_order" => "order_changed",
        "begin_payment" => "payment_begun",
        "return_payment" => "payment_returned",
        "join_waitlist" => "waitlist_joined",
        "leave_waitlist" => "waitlist_left",
        other => other,
    }
}

/// What happened to an order last, as far as its row tells.
fn last_change(stored: &StoredOrder) -> (&'static str, Actor) {
    match stored.order.status {
        OrderStatus::Cancelled => ("order_cancelled", Actor::Customer),
        OrderStatus::Expired => ("order_expired", Actor::Flight),
        OrderStatus::Held | OrderStatus::Confirmed => ("order_changed", Actor::Customer),
    }
}
