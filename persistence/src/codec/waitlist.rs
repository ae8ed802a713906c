//! The waitlist inside records: mirrors of wishes and entries that bincode may know.
//! Never trusts what was decoded: every value goes through the checked constructor of its type.

use bincode::{BorrowDecode, Encode};
use farerush_engine::flight::{
    Accept, CabinClass, CustomerId, LeftBecause, OrderNo, Reference, Seq, Timestamp, WaitlistEntry,
    WaitlistNo, WaitlistStatus, WaitlistWish,
};

use super::parts::Restored;

/// Variants are numbered by their place: add at the end only.
#[derive(Encode, BorrowDecode)]
enum AcceptRecord {
    AllTogether,
    All,
    AtLeast(u16),
}

#[derive(Encode, BorrowDecode)]
pub(super) struct WishRecord<'a> {
    customer: &'a str,
    party_size: u16,
    accept: AcceptRecord,
    cabin_class: Option<&'a str>,
    expires_at: Option<i64>,
    client_reference: Option<&'a str>,
}

impl<'a> From<&'a WaitlistWish> for WishRecord<'a> {
    fn from(wish: &'a WaitlistWish) -> Self {
        Self {
            customer: wish.customer.as_str(),
            party_size: wish.party_size,
            accept: match wish.accept {
                Accept::AllTogether => AcceptRecord::AllTogether,
                Accept::All => AcceptRecord::All,
                Accept::AtLeast(fewest) => AcceptRecord::AtLeast(fewest),
            },
            cabin_class: wish.cabin_class.map(CabinClass::as_str),
            expires_at: wish.expires_at.map(Timestamp::as_millis),
            client_reference: wish.client_reference.as_ref().map(Reference::as_str),
        }
    }
}

impl WishRecord<'_> {
    pub(super) fn restore(self) -> Restored<WaitlistWish> {
        let class = |name| CabinClass::from_name(name).ok_or("no such cabin class");
        Ok(WaitlistWish {
            customer: CustomerId::new(self.customer)?,
            party_size: self.party_size,
            accept: match self.accept {
                AcceptRecord::AllTogether => Accept::AllTogether,
                AcceptRecord::All => Accept::All,
                AcceptRecord::AtLeast(fewest) => Accept::AtLeast(fewest),
            },
            cabin_class: self.cabin_class.map(class).transpose()?,
            expires_at: self.expires_at.map(Timestamp::from_millis),
            client_reference: self.client_reference.map(Reference::new).transpose()?,
        })
    }
}

/// Variants are numbered by their place: add at the end only.
#[derive(Encode, BorrowDecode)]
enum StatusRecord {
    Waiting,
    Served(u64),
    Left,
    Expired,
}

#[derive(Encode, BorrowDecode)]
pub(super) struct WaitlistRecord<'a> {
    no: u64,
    wish: WishRecord<'a>,
    status: StatusRecord,
    created_at: i64,
    updated_at: i64,
    changed_by: u64,
}

impl<'a> From<&'a WaitlistEntry> for WaitlistRecord<'a> {
    fn from(entry: &'a WaitlistEntry) -> Self {
        Self {
            no: entry.no.0,
            wish: WishRecord::from(&entry.wish),
            status: match entry.status {
                WaitlistStatus::Waiting => StatusRecord::Waiting,
                WaitlistStatus::Served(order) => StatusRecord::Served(order.0),
                WaitlistStatus::Left => StatusRecord::Left,
                WaitlistStatus::Expired => StatusRecord::Expired,
            },
            created_at: entry.created_at.as_millis(),
            updated_at: entry.updated_at.as_millis(),
            changed_by: entry.changed_by.0,
        }
    }
}

impl WaitlistRecord<'_> {
    pub(super) fn restore(self) -> Restored<WaitlistEntry> {
        Ok(WaitlistEntry {
            no: WaitlistNo(self.no),
            wish: self.wish.restore()?,
            status: match self.status {
                StatusRecord::Waiting => WaitlistStatus::Waiting,
                StatusRecord::Served(order) => WaitlistStatus::Served(OrderNo(order)),
                StatusRecord::Left => WaitlistStatus::Left,
                StatusRecord::Expired => WaitlistStatus::Expired,
            },
            created_at: Timestamp::from_millis(self.created_at),
            updated_at: Timestamp::from_millis(self.updated_at),
            changed_by: Seq(self.changed_by),
        })
    }
}

pub(super) const fn reason_to_byte(reason: LeftBecause) -> u8 {
    match reason {
        LeftBecause::GivenUp => 0,
        LeftBecause::Expired => 1,
    }
}

pub(super) fn reason_from_byte(byte: u8) -> Restored<LeftBecause> {
    match byte {
        0 => Ok(LeftBecause::GivenUp),
        1 => Ok(LeftBecause::Expired),
        other => Err(format!("reason {other} to leave the waitlist").into()),
    }
}
