//! What a column holds as text: cabins, owners, seats, names, payments; and back.
//! Never knows a table.

use std::sync::Arc;

use farerush_engine::flight::{
    Cabin, CabinClass, Currency, Epoch, Era, EraNonce, Fare, Layout, PassengerName, Passengers, Reference,
    SaleSwitch, Seat, Seats, SecretId, Seq,
};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct CabinText {
    cabin_class: String,
    rows: [u16; 2],
    layout: String,
    fare: i64,
}

pub(super) const fn switch_name(switch: SaleSwitch) -> &'static str {
    match switch {
        SaleSwitch::Scheduled => "scheduled",
        SaleSwitch::Open => "open",
        SaleSwitch::Paused => "paused",
        SaleSwitch::Closed => "closed",
    }
}

pub(super) fn switch_from_name(name: &str) -> Result<SaleSwitch, &'static str> {
    [SaleSwitch::Scheduled, SaleSwitch::Open, SaleSwitch::Paused, SaleSwitch::Closed]
        .into_iter()
        .find(|&switch| switch_name(switch) == name)
        .ok_or("no such state of a sale")
}

/// Owners as `from:epoch:secret:nonce`, with spaces between; no text where none is known.
pub(super) fn eras_text(eras: &[Era]) -> Option<String> {
    let one = |era: &Era| format!("{}:{}:{}:{}", era.from, era.epoch, era.secret, era.nonce);
    (!eras.is_empty()).then(|| eras.iter().map(one).collect::<Vec<_>>().join(" "))
}

pub(super) fn eras_from_text(text: &str) -> Result<Vec<Era>, &'static str> {
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

pub(super) fn cabins_text(cabins: &[Cabin]) -> String {
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

pub(super) fn cabins_from_text(text: &str, currency: Currency) -> Result<Vec<Cabin>, String> {
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

pub(super) fn passengers_text(passengers: &Passengers) -> String {
    let names: Vec<Option<&str>> =
        passengers.iter().map(|name| name.as_ref().map(PassengerName::as_str)).collect();
    serde_json::to_string(&names).unwrap_or_default()
}

pub(super) fn passengers_from_text(text: &str) -> Result<Passengers, String> {
    let names: Vec<Option<String>> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let names: Result<Vec<_>, _> =
        names.into_iter().map(|name| name.map(|name| PassengerName::new(&name)).transpose()).collect();
    names.map(Arc::from).map_err(|error| error.to_string())
}

/// Payments that came for nothing; no text where there are none.
pub(super) fn returned_text(payments: &[Reference]) -> Option<String> {
    let references: Vec<&str> = payments.iter().map(Reference::as_str).collect();
    (!references.is_empty()).then(|| serde_json::to_string(&references).unwrap_or_default())
}

pub(super) fn returned_from_text(text: &str) -> Result<Vec<Reference>, String> {
    let references: Vec<String> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let references: Result<_, _> = references.iter().map(|text| Reference::new(text)).collect();
    references.map_err(|error| error.to_string())
}
