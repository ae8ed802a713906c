//! Flights, orders and tickets as rows of their tables, and back.
//! Never runs a statement and never decides what changes.

use farerush_engine::flight::{
    CabinClass, Currency, CustomerId, Epoch, Fingerprint, FlightDefinition, FlightId, FlightIds, Head,
    IdempotencyKey, Order, OrderExtras, OrderId, OrderNo, OrderStatus, Outcome, PassengerName, Reference,
    Request, Sale, SalePolicy, Salt, Seat, Seq, TimeZoneName, Timestamp,
};

use super::column_text::{
    cabins_from_text, cabins_text, eras_from_text, eras_text, passengers_from_text, passengers_text,
    returned_from_text, returned_text, seats_from_text, seats_text, switch_from_name, switch_name,
};
use super::error::StoreError;
use super::outcome;
use super::stored::{Cursor, StoredOrder, Ticket, TicketStatus};
use super::table::{CURSORS, FLIGHTS, ORDERS, REQUESTS, TICKETS};
use super::value::{Reader, Row, Unreadable, Value};

/// A flight's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FlightRow {
    pub(super) definition: FlightDefinition,
    pub(super) sale: Sale,
    pub(super) created_at: Timestamp,
    /// Up to which event things that are over were forgotten early; 0: none were.
    pub(super) forgotten_through: Seq,
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
        extras: extras.boxed(),
    };
    Ok(StoredOrder { order_id, record_locator, currency, order })
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

/// These rows, or which of them cannot be read.
pub(super) fn decoded<T>(
    table: &str,
    flight_id: Option<&FlightId>,
    rows: Vec<Row>,
    decode: impl Fn(Row) -> Result<T, Unreadable>,
) -> Result<Vec<T>, StoreError> {
    let one = |row: Row| {
        let name = name_of(&row);
        decode(row).map_err(|error| StoreError::damaged(flight_id, format!("{table} {name}: {error}")))
    };
    rows.into_iter().map(one).collect()
}

/// The key of an order as `lookups` wants it.
pub(super) fn order_key(flight_id: &FlightId, no: OrderNo) -> Vec<Value> {
    vec![flight_id.as_str().into(), no.0.into()]
}
