//! Flights, orders and tickets as rows of their tables, and back.
//! Never runs a statement and never decides what changes.

use std::sync::Arc;

use farerush_engine::flight::{
    Cabin, CabinClass, Currency, CustomerId, Epoch, Era, EraNonce, Fare, Fingerprint, FlightDefinition,
    FlightId, FlightIds, Head, IdempotencyKey, Layout, Order, OrderExtras, OrderId, OrderNo, OrderStatus,
    Outcome, PassengerName, Passengers, Reference, Request, Sale, SalePolicy, SaleSwitch, Salt, Seat, Seats,
    SecretId, Seq, TimeZoneName, Timestamp,
};
use serde::{Deserialize, Serialize};

use super::outcome;
use super::plan::Lost;
use super::refunds::{Refund, RefundReason};
use super::table::{CURSORS, FLIGHTS, ORDERS, REFUNDS, REQUESTS, TICKETS};
use super::value::{Reader, Row, Unreadable, Value};
use super::{Cursor, StoredOrder, Ticket, TicketStatus};

/// A flight's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FlightRow {
    pub(super) definition: FlightDefinition,
    pub(super) sale: Sale,
    pub(super) created_at: Timestamp,
    /// Up to which event things that are over were forgotten early; 0: none were.
    pub(super) forgotten_through: Seq,
}

#[derive(Serialize, Deserialize)]
struct CabinText {
    cabin_class: String,
    rows: [u16; 2],
    layout: String,
    fare: i64,
}

const fn switch_name(switch: SaleSwitch) -> &'static str {
    match switch {
        SaleSwitch::Scheduled => "scheduled",
        SaleSwitch::Open => "open",
        SaleSwitch::Paused => "paused",
        SaleSwitch::Closed => "closed",
    }
}

fn switch_from_name(name: &str) -> Result<SaleSwitch, &'static str> {
    [SaleSwitch::Scheduled, SaleSwitch::Open, SaleSwitch::Paused, SaleSwitch::Closed]
        .into_iter()
        .find(|&switch| switch_name(switch) == name)
        .ok_or("no such state of a sale")
}

impl FlightRow {
    /// The flight's currency: all cabins have the same.
    pub(super) fn currency(&self) -> Option<Currency> {
        self.definition.cabins.first().map(|cabin| cabin.fare.currency)
    }

    pub(super) fn encode(&self) -> Row {
        let FlightDefinition {
            flight_id,
            flight_number,
            origin,
            destination,
            departs_at,
            origin_time_zone,
            aircraft,
            cabins,
            ids,
        } = &self.definition;
        let policy = &self.sale.policy;
        vec![
            flight_id.as_str().into(),
            flight_number.as_str().into(),
            origin.as_str().into(),
            destination.as_str().into(),
            departs_at.as_millis().into(),
            aircraft.as_deref().into(),
            self.currency().as_ref().map(Currency::as_str).into(),
            cabins_text(cabins).into(),
            ids.salt().0.into(),
            switch_name(self.sale.switch).into(),
            policy.opens_at.map(Timestamp::as_millis).into(),
            policy.closes_at.map(Timestamp::as_millis).into(),
            i64::from(policy.max_seats_per_order).into(),
            i64::from(policy.max_seats_per_customer).into(),
            i64::from(policy.hold_seconds).into(),
            self.created_at.as_millis().into(),
            i64::from(policy.payment_grace_seconds).into(),
            i64::from(policy.closes_before_minutes).into(),
            self.forgotten_through.0.into(),
            origin_time_zone.as_ref().map(TimeZoneName::as_str).into(),
            eras_text(ids.eras()).into(),
        ]
    }

    pub(super) fn decode(row: Row) -> Result<Self, Unreadable> {
        let mut row = Reader::new(FLIGHTS.columns, row);
        let flight_id = row.parsed(FlightId::new)?;
        let flight_number = row.text()?.into();
        let origin = row.text()?.into();
        let destination = row.text()?.into();
        let departs_at = Timestamp::from_millis(row.int()?);
        let aircraft = row.optional_text()?.map(Into::into);
        let currency = row.parsed(Currency::new)?;
        let cabins = row.parsed(|text| cabins_from_text(text, currency))?;
        let salt = Salt(row.bits()?);
        let switch = row.parsed(switch_from_name)?;
        let mut policy = SalePolicy {
            opens_at: row.optional_int()?.map(Timestamp::from_millis),
            closes_at: row.optional_int()?.map(Timestamp::from_millis),
            max_seats_per_order: row.small()?,
            max_seats_per_customer: row.small()?,
            hold_seconds: row.small()?,
            ..SalePolicy::default()
        };
        let created_at = Timestamp::from_millis(row.int()?);
        policy.payment_grace_seconds = row.small()?;
        policy.closes_before_minutes = row.small()?;
        let forgotten_through = Seq(row.bits()?);
        let origin_time_zone = row.optional_parsed(TimeZoneName::new)?;
        let eras = row.optional_parsed(eras_from_text)?.unwrap_or_default();
        let definition = FlightDefinition {
            flight_id,
            flight_number,
            origin,
            destination,
            departs_at,
            origin_time_zone,
            aircraft,
            cabins,
            ids: FlightIds::with_eras(salt, eras),
        };
        Ok(Self { definition, sale: Sale { policy, switch }, created_at, forgotten_through })
    }
}

/// Owners as `from:epoch:secret:nonce`, with spaces between; no text where none is known.
fn eras_text(eras: &[Era]) -> Option<String> {
    let one = |era: &Era| format!("{}:{}:{}:{}", era.from, era.epoch, era.secret, era.nonce);
    (!eras.is_empty()).then(|| eras.iter().map(one).collect::<Vec<_>>().join(" "))
}

fn eras_from_text(text: &str) -> Result<Vec<Era>, &'static str> {
    let one = |text: &str| {
        let mut parts = text.split(':');
        let mut next = || parts.next().ok_or("an owner is <from>:<epoch>:<secret>:<nonce>");
        let number = |text: &str| text.parse().map_err(|_| "an owner has numbers");
        let (from, epoch) = (Seq(number(next()?)?), Epoch(number(next()?)?));
        let digits =
            |text: &str| u64::from_str_radix(text, 16).map_err(|_| "these are 16 hexadecimal digits");
        let (secret, nonce) = (SecretId(digits(next()?)?), EraNonce(digits(next()?)?));
        Ok(Era { from, epoch, secret, nonce })
    };
    let eras = text.split(' ').map(one).collect::<Result<Vec<Era>, &'static str>>()?;
    if !Era::all_follow(&eras) {
        return Err("owners follow one another");
    }
    Ok(eras)
}

fn cabins_text(cabins: &[Cabin]) -> String {
    let cabins: Vec<CabinText> = cabins
        .iter()
        .map(|cabin| CabinText {
            cabin_class: cabin.cabin_class.as_str().to_owned(),
            rows: [cabin.first_row, cabin.last_row],
            layout: cabin.layout.as_str().to_owned(),
            fare: cabin.fare.amount,
        })
        .collect();
    serde_json::to_string(&cabins).unwrap_or_default()
}

fn cabins_from_text(text: &str, currency: Currency) -> Result<Vec<Cabin>, String> {
    let cabins: Vec<CabinText> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    cabins
        .into_iter()
        .map(|cabin| {
            Ok(Cabin {
                cabin_class: CabinClass::from_name(&cabin.cabin_class).ok_or("no such cabin class")?,
                first_row: cabin.rows[0],
                last_row: cabin.rows[1],
                layout: Layout::new(&cabin.layout).map_err(|error| error.to_string())?,
                fare: Fare { amount: cabin.fare, currency },
            })
        })
        .collect()
}

pub(super) fn seats_text(seats: &Seats) -> String {
    let mut text = String::with_capacity(seats.len() * 4);
    for seat in seats {
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(&seat.to_string());
    }
    text
}

pub(super) fn seats_from_text(text: &str) -> Result<Seats, String> {
    text.split(',').map(|seat| seat.parse::<Seat>().map_err(|error| error.to_string())).collect()
}

fn passengers_text(passengers: &Passengers) -> String {
    let names: Vec<Option<&str>> =
        passengers.iter().map(|name| name.as_ref().map(PassengerName::as_str)).collect();
    serde_json::to_string(&names).unwrap_or_default()
}

fn passengers_from_text(text: &str) -> Result<Passengers, String> {
    let names: Vec<Option<String>> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let names: Result<Vec<_>, _> =
        names.into_iter().map(|name| name.map(|name| PassengerName::new(&name)).transpose()).collect();
    names.map(Arc::from).map_err(|error| error.to_string())
}

/// Payments that came for nothing; no text where there are none.
fn returned_text(payments: &[Reference]) -> Option<String> {
    let references: Vec<&str> = payments.iter().map(Reference::as_str).collect();
    (!references.is_empty()).then(|| serde_json::to_string(&references).unwrap_or_default())
}

fn returned_from_text(text: &str) -> Result<Vec<Reference>, String> {
    let references: Vec<String> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let references: Result<_, _> = references.iter().map(|text| Reference::new(text)).collect();
    references.map_err(|error| error.to_string())
}

/// An order's row.
pub(super) fn encode_order(flight_id: &FlightId, ids: &FlightIds, currency: Currency, order: &Order) -> Row {
    let idempotency = order.idempotency();
    let passengers = order.extras.as_ref().and_then(|extras| extras.passengers.as_ref());
    vec![
        flight_id.as_str().into(),
        order.no.0.into(),
        OrderId::of(flight_id, ids, order.no).to_string().into(),
        ids.record_locator(order.no).as_str().into(),
        order.customer.as_str().into(),
        order.status.as_str().into(),
        seats_text(&order.seats).into(),
        (order.seats.len() as u64).into(),
        order.total.into(),
        currency.as_str().into(),
        order.hold_expires_at.map(Timestamp::as_millis).into(),
        order.created_at.as_millis().into(),
        order.updated_at.as_millis().into(),
        order.changed_by.0.into(),
        passengers.map(passengers_text).into(),
        order.client_reference().map(Reference::as_str).into(),
        order.payment_reference().map(Reference::as_str).into(),
        idempotency.map(|(key, _)| key.as_str()).into(),
        idempotency.map(|(_, fingerprint)| fingerprint.0).into(),
        order.payment_begun_at().map(Timestamp::as_millis).into(),
        returned_text(order.returned_payments()).into(),
        order.proof.map(|head| head.to_string()).into(),
    ]
}

/// The order in this row.
pub(super) fn decode_order(row: Row) -> Result<StoredOrder, Unreadable> {
    let mut row = Reader::new(ORDERS.columns, row);
    let flight_id = row.parsed(FlightId::new)?;
    let no = OrderNo(row.bits()?);
    let order_id: OrderId = row.parsed(str::parse)?;
    if order_id.flight_id != flight_id || order_id.order.no != no {
        let problem = format!("{order_id} is not order {} of {flight_id}", no.0);
        return Err(Unreadable { column: "order_id", problem });
    }
    let record_locator = row.text()?;
    let customer = row.parsed(CustomerId::new)?;
    let status = row.parsed(|name| OrderStatus::from_name(name).ok_or("no such status"))?;
    let seats = row.parsed(seats_from_text)?;
    let quantity = row.int()?;
    if usize::try_from(quantity) != Ok(seats.len()) {
        let problem = format!("{quantity}, but there are {} seats", seats.len());
        return Err(Unreadable { column: "quantity", problem });
    }
    let total = row.int()?;
    let currency = row.parsed(Currency::new)?;
    let hold_expires_at = row.optional_int()?.map(Timestamp::from_millis);
    let created_at = Timestamp::from_millis(row.int()?);
    let updated_at = Timestamp::from_millis(row.int()?);
    let changed_by = Seq(row.bits()?);
    let extras = OrderExtras {
        passengers: row.optional_parsed(passengers_from_text)?,
        client_reference: row.optional_parsed(Reference::new)?,
        payment_reference: row.optional_parsed(Reference::new)?,
        idempotency: match (row.optional_parsed(IdempotencyKey::new)?, row.optional_int()?) {
            (Some(key), Some(fingerprint)) => Some((key, Fingerprint(fingerprint.cast_unsigned()))),
            (None, None) => None,
            _ => {
                let problem = "key and fingerprint only come together".to_owned();
                return Err(Unreadable { column: "fingerprint", problem });
            }
        },
        payment_begun_at: row.optional_int()?.map(Timestamp::from_millis),
        returned_payments: row.optional_parsed(returned_from_text)?.unwrap_or_default(),
    };
    let proof = row.optional_parsed(str::parse::<Head>)?;
    let order = Order {
        no,
        customer,
        seats,
        total,
        status,
        hold_expires_at,
        created_at,
        updated_at,
        changed_by,
        proof,
        extras: boxed(extras),
    };
    Ok(StoredOrder { order_id, record_locator, currency, order })
}

/// Extras as an order keeps them: not at all where there are none.
pub(super) fn boxed(extras: OrderExtras) -> Option<Box<OrderExtras>> {
    (extras != OrderExtras::default()).then(|| Box::new(extras))
}

pub(super) fn encode_ticket(flight_id: &FlightId, ticket: &Ticket) -> Row {
    vec![
        flight_id.as_str().into(),
        ticket.seat.to_string().into(),
        i64::from(ticket.seat.row()).into(),
        char::from(ticket.seat.letter()).to_string().into(),
        ticket.cabin_class.as_str().into(),
        ticket.fare.into(),
        ticket.status.as_str().into(),
        ticket.order.map(|order| order.0).into(),
        ticket.passenger.as_ref().map(PassengerName::as_str).into(),
    ]
}

pub(super) fn decode_ticket(row: Row) -> Result<Ticket, Unreadable> {
    let mut row = Reader::new(TICKETS.columns, row);
    row.text()?;
    let seat = row.parsed(str::parse::<Seat>)?;
    let (number, letter) = (row.int()?, row.text()?);
    if number != i64::from(seat.row()) || letter.as_bytes() != [seat.letter()] {
        return Err(Unreadable { column: "row_no", problem: format!("{number}{letter} is not {seat}") });
    }
    Ok(Ticket {
        seat,
        cabin_class: row.parsed(|name| CabinClass::from_name(name).ok_or("no such cabin class"))?,
        fare: row.int()?,
        status: row.parsed(|name| TicketStatus::from_name(name).ok_or("no such status"))?,
        order: row.optional_int()?.map(|no| OrderNo(no.cast_unsigned())),
        passenger: row.optional_parsed(PassengerName::new)?,
    })
}

/// A request's row.
pub(super) fn encode_request(flight_id: &FlightId, request: &Request) -> Row {
    vec![
        flight_id.as_str().into(),
        outcome::owner_text(&request.owner).into(),
        request.key.as_str().into(),
        request.fingerprint.0.into(),
        request.seq.0.into(),
        request.at.as_millis().into(),
        request.order.map(|order| order.0).into(),
        outcome::text(&request.outcome).into(),
    ]
}

/// The request in this row.
pub(super) fn decode_request(row: Row) -> Result<Request, Unreadable> {
    let mut row = Reader::new(REQUESTS.columns, row);
    row.text()?;
    Ok(Request {
        owner: row.parsed(outcome::owner_from_text)?,
        key: row.parsed(IdempotencyKey::new)?,
        fingerprint: Fingerprint(row.bits()?),
        seq: Seq(row.bits()?),
        at: Timestamp::from_millis(row.int()?),
        order: row.optional_int()?.map(|no| OrderNo(no.cast_unsigned())),
        outcome: row.optional_parsed(outcome::from_text)?.unwrap_or(Outcome::Shown),
    })
}

/// The row of money that goes back.
pub(super) fn encode_refund(flight_id: &FlightId, ids: &FlightIds, lost: &Lost) -> Row {
    let order = &lost.order;
    vec![
        flight_id.as_str().into(),
        lost.seq.0.into(),
        order.no.0.into(),
        OrderId::of(flight_id, ids, order.no).to_string().into(),
        ids.record_locator(order.no).as_str().into(),
        order.customer.as_str().into(),
        seats_text(&lost.seats).into(),
        lost.amount.into(),
        lost.currency.as_str().into(),
        lost.payment_reference.as_ref().map(Reference::as_str).into(),
        lost.at.as_millis().into(),
        lost.reason.as_str().into(),
    ]
}

/// The refund in this row.
pub(super) fn decode_refund(row: Row) -> Result<Refund, Unreadable> {
    let mut row = Reader::new(REFUNDS.columns, row);
    row.text()?;
    let seq = Seq(row.bits()?);
    row.bits()?;
    Ok(Refund {
        seq,
        order_id: row.parsed(str::parse)?,
        record_locator: row.text()?,
        customer: row.parsed(CustomerId::new)?,
        seats: row.parsed(|text| if text.is_empty() { Ok(Seats::new()) } else { seats_from_text(text) })?,
        amount: row.int()?,
        currency: row.parsed(Currency::new)?,
        payment_reference: row.optional_parsed(Reference::new)?,
        at: Timestamp::from_millis(row.int()?),
        reason: row.parsed(|name| RefundReason::from_name(name).ok_or("no such reason"))?,
    })
}

pub(super) fn encode_cursor(cursor: &Cursor) -> Row {
    vec![
        cursor.flight_id.as_str().into(),
        cursor.epoch.0.into(),
        cursor.seq.0.into(),
        cursor.last_at.as_millis().into(),
        cursor.head.map(|head| head.to_string()).into(),
    ]
}

pub(super) fn decode_cursor(row: Row) -> Result<Cursor, Unreadable> {
    let mut row = Reader::new(CURSORS.columns, row);
    Ok(Cursor {
        flight_id: row.parsed(FlightId::new)?,
        epoch: Epoch(row.bits()?),
        seq: Seq(row.bits()?),
        last_at: Timestamp::from_millis(row.int()?),
        head: row.optional_parsed(str::parse::<Head>)?,
    })
}

/// The name of a row for messages: its first value, and the second where that is a part of the key.
pub(super) fn name_of(row: &[Value]) -> String {
    let text = |value: Option<&Value>| match value {
        Some(Value::Text(text)) => text.clone(),
        Some(Value::Int(number)) => number.to_string(),
        _ => "?".to_owned(),
    };
    format!("{} {}", text(row.first()), text(row.get(1)))
}
