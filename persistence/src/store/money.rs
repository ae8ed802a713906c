//! Money that goes back: why, how much, and its rows.
//! Never moves any.

use farerush_engine::flight::{
    Currency, CustomerId, FlightId, FlightIds, OrderId, OrderNo, Reference, Seats, Seq, Timestamp,
};

use super::column_text::{seats_from_text, seats_text};
use super::table::REFUNDS;
use super::value::{Reader, Row, Unreadable};

/// Why money goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefundReason {
    /// Somebody cancelled the order after it had been confirmed.
    Cancelled,
    /// It ended because a new seat plan had no place for it.
    SeatsLost,
    /// It was paid after its hold had run out, and could not be revived.
    PaidTooLate,
    /// It was paid though it was confirmed already.
    PaidAlready,
    /// It was paid after it had been cancelled.
    PaidCancelled,
}

impl RefundReason {
    /// All reasons.
    pub const ALL: [Self; 5] =
        [Self::Cancelled, Self::SeatsLost, Self::PaidTooLate, Self::PaidAlready, Self::PaidCancelled];

    /// The name the tables use, and the outside.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cancelled => "cancelled",
            Self::SeatsLost => "seats_lost",
            Self::PaidTooLate => "paid_too_late",
            Self::PaidAlready => "paid_already",
            Self::PaidCancelled => "paid_cancelled",
        }
    }

    /// The reason with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == name)
    }
}

/// Money to be given back: for what one event took from a confirmed order, or because it came for nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refund {
    /// The event.
    pub seq: Seq,
    /// The order.
    pub order_id: OrderId,
    /// What its traveller reads out.
    pub record_locator: String,
    /// Whose it is.
    pub customer: CustomerId,
    /// The seats that it lost; none where only money came.
    pub seats: Seats,
    /// How much goes back, in minor units.
    pub amount: i64,
    /// Of this currency.
    pub currency: Currency,
    /// The payment that had confirmed it (none where grabs were confirmed at once), or that came for nothing.
    pub payment_reference: Option<Reference>,
    /// When that was.
    pub at: Timestamp,
    /// Why it came about.
    pub reason: RefundReason,
}

/// Money that goes back because of an event.
pub(super) struct Lost {
    /// The order that it is about, and whose it is.
    pub(super) order: OrderNo,
    pub(super) customer: CustomerId,
    /// The seats that a confirmed order lost.
    pub(super) seats: Seats,
    /// How much goes back, in minor units.
    pub(super) amount: i64,
    pub(super) currency: Currency,
    /// The payment that had confirmed it, or that came for nothing.
    pub(super) payment_reference: Option<Reference>,
    /// The event, and when it was decided.
    pub(super) seq: Seq,
    pub(super) at: Timestamp,
    pub(super) reason: RefundReason,
}

/// The row of money that goes back.
pub(super) fn encode_refund(flight_id: &FlightId, ids: &FlightIds, lost: &Lost) -> Row {
    vec![
        flight_id.as_str().into(),
        lost.seq.0.into(),
        lost.order.0.into(),
        OrderId::of(flight_id, ids, lost.order).to_string().into(),
        ids.record_locator(lost.order).as_str().into(),
        lost.customer.as_str().into(),
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
