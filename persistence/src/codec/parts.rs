//! What events and snapshots are made of: definitions, cabins, policies, seats, names.
//! Never trusts what was decoded, and never lets a count reserve more than a flight can have.

use std::error::Error;
use std::sync::Arc;

use bincode::de::{BorrowDecoder, Decode, Decoder};
use bincode::enc::Encoder;
use bincode::error::{DecodeError, EncodeError};
use bincode::{BorrowDecode, Encode};
use farerush_engine::flight::cabin::{SEATS_PER_FLIGHT_MAX, check_cabins};
use farerush_engine::flight::sale::{
    CLOSES_BEFORE_MINUTES_MAX, PAYMENT_GRACE_SECONDS_DEFAULT, PAYMENT_GRACE_SECONDS_MAX, SaleSwitch,
};
use farerush_engine::flight::{
    Cabin, CabinClass, Currency, Epoch, Era, EraNonce, Fare, FlightDefinition, FlightId, FlightIds, Layout,
    PassengerName, Passengers, SalePolicy, Salt, Seat, Seats, SecretId, Seq, Timestamp,
};

/// What a checked constructor gave, or why it refused.
pub(super) type Restored<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// A definition without its flight's id, which stands in the head of the record.
#[derive(Encode, BorrowDecode)]
pub(super) struct DefinitionRecord<'a> {
    flight_number: &'a str,
    origin: &'a str,
    destination: &'a str,
    departs_at: i64,
    aircraft: Option<&'a str>,
    cabins: Vec<CabinRecord<'a>>,
    salt: u64,
}

impl<'a> From<&'a FlightDefinition> for DefinitionRecord<'a> {
    fn from(definition: &'a FlightDefinition) -> Self {
        Self {
            flight_number: &definition.flight_number,
            origin: &definition.origin,
            destination: &definition.destination,
            departs_at: definition.departs_at.as_millis(),
            aircraft: definition.aircraft.as_deref(),
            cabins: definition.cabins.iter().map(CabinRecord::from).collect(),
            salt: definition.ids.salt().0,
        }
    }
}

impl DefinitionRecord<'_> {
    pub(super) fn restore(self, flight_id: &FlightId) -> Restored<FlightDefinition> {
        let cabins: Vec<Cabin> =
            self.cabins.into_iter().map(CabinRecord::restore).collect::<Result<_, _>>()?;
        check_cabins(&cabins)?;
        Ok(FlightDefinition {
            flight_id: flight_id.clone(),
            flight_number: self.flight_number.into(),
            origin: self.origin.into(),
            destination: self.destination.into(),
            departs_at: Timestamp::from_millis(self.departs_at),
            // It stands elsewhere in the record, where there is one.
            origin_time_zone: None,
            aircraft: self.aircraft.map(Into::into),
            cabins,
            // Its owners stand elsewhere in the record, where there are any.
            ids: FlightIds::new(Salt(self.salt)),
        })
    }
}

/// An owner of a flight.
#[derive(Encode, BorrowDecode)]
pub(super) struct EraRecord {
    from: u64,
    epoch: u64,
    secret: u64,
    nonce: u64,
}

impl EraRecord {
    pub(super) fn of(era: &Era) -> Self {
        Self { from: era.from.0, epoch: era.epoch.0, secret: era.secret.0, nonce: era.nonce.0 }
    }

    pub(super) fn restore(&self) -> Era {
        let (epoch, secret, nonce) = (Epoch(self.epoch), SecretId(self.secret), EraNonce(self.nonce));
        Era { from: Seq(self.from), epoch, secret, nonce }
    }

    /// Those of a flight, which must rise.
    pub(super) fn restore_all(records: &[Self], salt: Salt) -> Restored<FlightIds> {
        let eras: Vec<Era> = records.iter().map(Self::restore).collect();
        if !Era::all_follow(&eras) {
            return Err("owners that do not follow one another".into());
        }
        Ok(FlightIds::with_eras(salt, eras))
    }
}

#[derive(Encode, BorrowDecode)]
pub(super) struct CabinRecord<'a> {
    class: u8,
    first_row: u16,
    last_row: u16,
    layout: &'a str,
    amount: i64,
    currency: &'a str,
}

impl<'a> From<&'a Cabin> for CabinRecord<'a> {
    fn from(cabin: &'a Cabin) -> Self {
        Self {
            class: match cabin.cabin_class {
                CabinClass::First => 0,
                CabinClass::Business => 1,
                CabinClass::PremiumEconomy => 2,
                CabinClass::Economy => 3,
            },
            first_row: cabin.first_row,
            last_row: cabin.last_row,
            layout: cabin.layout.as_str(),
            amount: cabin.fare.amount,
            currency: cabin.fare.currency.as_str(),
        }
    }
}

impl CabinRecord<'_> {
    /// The caller checks rows and fare, with `check_cabins`.
    pub(super) fn restore(self) -> Restored<Cabin> {
        Ok(Cabin {
            cabin_class: match self.class {
                0 => CabinClass::First,
                1 => CabinClass::Business,
                2 => CabinClass::PremiumEconomy,
                3 => CabinClass::Economy,
                other => return Err(format!("cabin class {other}").into()),
            },
            first_row: self.first_row,
            last_row: self.last_row,
            layout: Layout::new(self.layout)?,
            fare: Fare { amount: self.amount, currency: Currency::new(self.currency)? },
        })
    }
}

#[derive(Encode, BorrowDecode)]
pub(super) struct PolicyRecord {
    opens_at: Option<i64>,
    closes_at: Option<i64>,
    max_seats_per_order: u16,
    max_seats_per_customer: u16,
    times: PolicyTimes,
}

/// Three times in one number, so that a policy takes no more bytes than it did when it had fewer: 32 bits of
/// `hold_seconds`; 17 bits of one more than `payment_grace_seconds`, or 0 where they were written before there was such a
/// thing; 15 bits of `closes_before_minutes`. A variable-length integer reads the same either way.
struct PolicyTimes(u64);

const GRACE_SHIFT: u32 = 32;
const GRACE_BITS: u32 = 17;
const BEFORE_SHIFT: u32 = GRACE_SHIFT + GRACE_BITS;
const _: () = assert!(PAYMENT_GRACE_SECONDS_MAX + 1 < 1 << GRACE_BITS);
const _: () = assert!((CLOSES_BEFORE_MINUTES_MAX as u32) < 1 << (64 - BEFORE_SHIFT));

/// What is written for times that do not fit: it cannot be read, so it is not written either.
const TIMES_TOO_LONG: u64 = u64::MAX;

impl PolicyTimes {
    fn of(policy: &SalePolicy) -> Self {
        let SalePolicy { hold_seconds, payment_grace_seconds, closes_before_minutes, .. } = *policy;
        if payment_grace_seconds > PAYMENT_GRACE_SECONDS_MAX
            || closes_before_minutes > CLOSES_BEFORE_MINUTES_MAX
        {
            return Self(TIMES_TOO_LONG);
        }
        let grace = (u64::from(payment_grace_seconds) + 1) << GRACE_SHIFT;
        Self(u64::from(hold_seconds) | grace | u64::from(closes_before_minutes) << BEFORE_SHIFT)
    }
}

impl Encode for PolicyTimes {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        if self.0 == TIMES_TOO_LONG {
            return Err(EncodeError::Other("a time of a policy that is longer than it may be"));
        }
        self.0.encode(encoder)
    }
}

impl<'de, Context> BorrowDecode<'de, Context> for PolicyTimes {
    fn borrow_decode<D: BorrowDecoder<'de, Context = Context>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let times = u64::decode(decoder)?;
        let grace = times >> GRACE_SHIFT & ((1 << GRACE_BITS) - 1);
        if grace > u64::from(PAYMENT_GRACE_SECONDS_MAX) + 1
            || times >> BEFORE_SHIFT > u64::from(CLOSES_BEFORE_MINUTES_MAX)
        {
            return Err(DecodeError::Other("a time of a policy that is longer than it may be"));
        }
        Ok(Self(times))
    }
}

impl From<&SalePolicy> for PolicyRecord {
    fn from(policy: &SalePolicy) -> Self {
        Self {
            opens_at: policy.opens_at.map(Timestamp::as_millis),
            closes_at: policy.closes_at.map(Timestamp::as_millis),
            max_seats_per_order: policy.max_seats_per_order,
            max_seats_per_customer: policy.max_seats_per_customer,
            times: PolicyTimes::of(policy),
        }
    }
}

impl PolicyRecord {
    pub(super) fn restore(self) -> SalePolicy {
        let PolicyTimes(times) = self.times;
        let grace = times >> GRACE_SHIFT & ((1 << GRACE_BITS) - 1);
        #[expect(clippy::cast_possible_truncation, reason = "the three parts, each by itself")]
        let (hold_seconds, grace, before) = (times as u32, grace as u32, (times >> BEFORE_SHIFT) as u16);
        SalePolicy {
            opens_at: self.opens_at.map(Timestamp::from_millis),
            closes_at: self.closes_at.map(Timestamp::from_millis),
            max_seats_per_order: self.max_seats_per_order,
            max_seats_per_customer: self.max_seats_per_customer,
            hold_seconds,
            payment_grace_seconds: match grace {
                0 => PAYMENT_GRACE_SECONDS_DEFAULT,
                more => more - 1,
            },
            closes_before_minutes: before,
        }
    }
}

pub(super) fn switch_to_byte(switch: SaleSwitch) -> u8 {
    match switch {
        SaleSwitch::Scheduled => 0,
        SaleSwitch::Open => 1,
        SaleSwitch::Paused => 2,
        SaleSwitch::Closed => 3,
    }
}

pub(super) fn switch_from_byte(byte: u8) -> Restored<SaleSwitch> {
    match byte {
        0 => Ok(SaleSwitch::Scheduled),
        1 => Ok(SaleSwitch::Open),
        2 => Ok(SaleSwitch::Paused),
        3 => Ok(SaleSwitch::Closed),
        other => Err(format!("sale switch {other}").into()),
    }
}

/// Seats, each packed into 16 bits.
pub(super) struct SeatsRecord(pub(super) Seats);

impl Encode for SeatsRecord {
    #[inline]
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        encode_count(self.0.len(), encoder)?;
        self.0.iter().try_for_each(|seat| seat.packed().encode(encoder))
    }
}

impl<'de, Context> BorrowDecode<'de, Context> for SeatsRecord {
    fn borrow_decode<D: BorrowDecoder<'de, Context = Context>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let count = bounded_count(decoder)?;
        let mut seats = Seats::with_capacity(count);
        for _ in 0..count {
            let packed = u16::decode(decoder)?;
            seats.push(Seat::from_packed(packed).map_err(|_| DecodeError::Other("not a seat"))?);
        }
        Ok(Self(seats))
    }
}

/// Names by place; `None` where nobody was named.
pub(super) struct PassengersRecord<'a>(Vec<Option<&'a str>>);

impl<'a> From<&'a Passengers> for PassengersRecord<'a> {
    fn from(passengers: &'a Passengers) -> Self {
        Self(passengers.iter().map(|name| name.as_ref().map(PassengerName::as_str)).collect())
    }
}

impl PassengersRecord<'_> {
    pub(super) fn restore(self) -> Restored<Passengers> {
        let names = self.0.into_iter().map(|name| name.map(PassengerName::new).transpose());
        Ok(names.collect::<Result<Arc<[_]>, _>>()?)
    }
}

impl Encode for PassengersRecord<'_> {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        encode_count(self.0.len(), encoder)?;
        self.0.iter().try_for_each(|name| name.encode(encoder))
    }
}

impl<'a, 'de: 'a, Context> BorrowDecode<'de, Context> for PassengersRecord<'a> {
    fn borrow_decode<D: BorrowDecoder<'de, Context = Context>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let count = bounded_count(decoder)?;
        let mut names = Vec::with_capacity(count);
        for _ in 0..count {
            names.push(Option::<&str>::borrow_decode(decoder)?);
        }
        Ok(Self(names))
    }
}

/// Refuses what `bounded_count` would: nobody could read it again.
#[inline]
fn encode_count<E: Encoder>(count: usize, encoder: &mut E) -> Result<(), EncodeError> {
    if count > SEATS_PER_FLIGHT_MAX as usize {
        return Err(EncodeError::Other("more seats or passengers than a flight may have"));
    }
    (count as u64).encode(encoder)
}

/// A number of seats or passengers: never more than a flight has.
fn bounded_count<D: Decoder>(decoder: &mut D) -> Result<usize, DecodeError> {
    let count = u64::decode(decoder)?;
    if count > u64::from(SEATS_PER_FLIGHT_MAX) {
        return Err(DecodeError::LimitExceeded);
    }
    usize::try_from(count).map_err(|_| DecodeError::LimitExceeded)
}
