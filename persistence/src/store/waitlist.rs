//! Entries of waitlists as rows of their table, and back.
//! Never runs a statement and never decides who is served.

use farerush_engine::flight::{
    Accept, CabinClass, CustomerId, FlightId, FlightIds, OrderNo, Reference, Seq, Timestamp, WaitlistEntry,
    WaitlistId, WaitlistNo, WaitlistStatus, WaitlistWish,
};

use super::table::WAITLIST;
use super::value::{Reader, Row, Unreadable};

/// An entry of a waitlist, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredWaitlistEntry {
    /// Its public id.
    pub id: WaitlistId,
    /// The entry.
    pub entry: WaitlistEntry,
}

pub(super) fn encode_waitlisted(flight_id: &FlightId, ids: &FlightIds, entry: &WaitlistEntry) -> Row {
    let wish = &entry.wish;
    let (accept, at_least) = match wish.accept {
        Accept::AllTogether => ("all_together", None),
        Accept::All => ("all", None),
        Accept::AtLeast(fewest) => ("at_least", Some(i64::from(fewest))),
    };
    let order = match entry.status {
        WaitlistStatus::Served(order) => Some(order.0),
        WaitlistStatus::Waiting | WaitlistStatus::Left | WaitlistStatus::Expired => None,
    };
    vec![
        flight_id.as_str().into(),
        entry.no.0.into(),
        WaitlistId::of(flight_id, ids, entry.no).to_string().into(),
        wish.customer.as_str().into(),
        i64::from(wish.party_size).into(),
        accept.into(),
        at_least.into(),
        wish.cabin_class.map(CabinClass::as_str).into(),
        wish.expires_at.map(Timestamp::as_millis).into(),
        wish.client_reference.as_ref().map(Reference::as_str).into(),
        entry.status.as_str().into(),
        order.into(),
        entry.created_at.as_millis().into(),
        entry.updated_at.as_millis().into(),
        entry.changed_by.0.into(),
    ]
}

pub(super) fn decode_waitlisted(row: Row) -> Result<StoredWaitlistEntry, Unreadable> {
    let mut row = Reader::new(WAITLIST.columns, row);
    row.text()?;
    let no = WaitlistNo(row.bits()?);
    let id: WaitlistId = row.parsed(str::parse)?;
    let customer = row.parsed(CustomerId::new)?;
    let party_size = row.small()?;
    let (accept, at_least) = (row.text()?, row.optional_int()?);
    let accept = match (accept.as_str(), at_least.map(u16::try_from)) {
        ("all_together", None) => Accept::AllTogether,
        ("all", None) => Accept::All,
        ("at_least", Some(Ok(fewest))) => Accept::AtLeast(fewest),
        _ => {
            let problem = format!("{accept} with {at_least:?} says nothing");
            return Err(Unreadable { column: "accept", problem });
        }
    };
    let class = |name: &str| CabinClass::from_name(name).ok_or("no such cabin class");
    let wish = WaitlistWish {
        customer,
        party_size,
        accept,
        cabin_class: row.optional_parsed(class)?,
        expires_at: row.optional_int()?.map(Timestamp::from_millis),
        client_reference: row.optional_parsed(Reference::new)?,
    };
    let (status, order) = (row.text()?, row.optional_int()?);
    let status = match (status.as_str(), order) {
        ("waiting", None) => WaitlistStatus::Waiting,
        ("served", Some(order)) => WaitlistStatus::Served(OrderNo(order.cast_unsigned())),
        ("left", None) => WaitlistStatus::Left,
        ("expired", None) => WaitlistStatus::Expired,
        _ => {
            let problem = format!("{status} with order {order:?} cannot be");
            return Err(Unreadable { column: "status", problem });
        }
    };
    let entry = WaitlistEntry {
        no,
        wish,
        status,
        created_at: Timestamp::from_millis(row.int()?),
        updated_at: Timestamp::from_millis(row.int()?),
        changed_by: Seq(row.bits()?),
    };
    Ok(StoredWaitlistEntry { id, entry })
}
