//! What holds of any body, query or name that a client may send: nothing panics, every refusal is a whole problem of
//! bounded size, and what is understood means the same once it is written down and read again.
//! Never needs a server.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use farerush::api::admin::flights::new_flight;
use farerush::api::fuzzing;
use farerush::base::json::Json;
use farerush::base::time;
use farerush::base::zones;
use farerush::parts::live::LastEventId;
use farerush::wire::fields::{self, Errors, Fields, Value};
use farerush::wire::input;
use farerush::wire::names::{FlightName, OrderName};
use farerush::wire::problem::Problem;
use farerush::wire::query::{self, Query};
use farerush::wire::render;
use farerush_engine::actor::FlightView;
use farerush_engine::flight::{
    Currency, CustomerId, Epoch, Event, Flight, FlightId, Grab, IdempotencyKey, Layout, OrderId,
    PassengerName, Recorded, Reference, Salt, Seat, Seq, Timestamp, Wanted,
};
use farerush_engine::journal::Batch;
use farerush_persistence::codec::{Record, decode, encode_events_into};

/// Most bytes of a refusal: 50 bad fields with their names and what is wrong with them.
const PROBLEM_BYTES_MAX: usize = 64 << 10;

fn check_problem(problem: &Problem) {
    let text = problem.render();
    assert!(text.len() <= PROBLEM_BYTES_MAX, "a problem of {} bytes", text.len());
    let shown: serde_json::Value = serde_json::from_slice(&text).expect("a problem is JSON");
    assert!(shown["detail"].is_string() && shown["code"].is_string(), "{shown}");
}

/// The body of a grab.
pub(crate) fn grab(body: &[u8]) {
    let (quick, thorough) = fuzzing::grab_both_ways(body);
    if let Err(problem) = &thorough {
        check_problem(problem);
    }
    if let Some(quick) = quick {
        assert_eq!(Some(&quick), thorough.as_ref().ok(), "the quick way understands something else");
    }
    let Ok(grab) = thorough else { return };
    let written = write_grab(&grab);
    let (_, again) = fuzzing::grab_both_ways(&written);
    let again = again.unwrap_or_else(|_| panic!("{} is refused", String::from_utf8_lossy(&written)));
    assert_eq!(again, grab);
    assert_eq!(again.fingerprint(), grab.fingerprint());
}

fn write_grab(grab: &Grab) -> Vec<u8> {
    let mut json = Json::default();
    json.open().key("customer_id").text(grab.customer.as_str());
    match &grab.wanted {
        Wanted::Quantity { quantity, together } => {
            json.key("quantity").number(*quantity).key("together").text(together.as_str());
        }
        Wanted::Named(seats) => {
            json.key("seats").open_list();
            for seat in seats {
                json.plain(seat);
            }
            json.close_list();
        }
    }
    if let Some(class) = grab.cabin_class {
        json.key("cabin_class").text(class.as_str());
    }
    if let Some(reference) = &grab.client_reference {
        json.key("client_reference").text(reference.as_str());
    }
    if let Some(passengers) = &grab.passengers {
        json.key("passengers").open_list();
        for name in passengers.iter() {
            match name {
                None => json.null(),
                Some(name) => json.open().key("name").text(name.as_str()).close(),
            };
        }
        json.close_list();
    }
    json.close();
    json.into_bytes()
}

/// Any body at all.
pub(crate) fn json(body: &[u8]) {
    match fields::parse(body, true) {
        Err(problem) => check_problem(&problem),
        Ok(value) => {
            let mut text = String::new();
            write(&mut text, &value);
            let again = fields::parse(text.as_bytes(), false).unwrap_or_else(|_| panic!("{text} is refused"));
            assert_eq!(again, value);
            let mut errors = Errors::default();
            Fields::of(&value).finish(&mut errors);
            if let Err(problem) = errors.check() {
                check_problem(&problem);
            }
        }
    }
}

fn write(text: &mut String, value: &Value) {
    let string = |string: &str| {
        let mut json = Json::default();
        json.text(string);
        String::from_utf8(json.into_bytes()).expect("a string is UTF-8")
    };
    match value {
        Value::Null => text.push_str("null"),
        Value::Boolean(yes) => text.push_str(if *yes { "true" } else { "false" }),
        Value::Whole(number) => text.push_str(&number.to_string()),
        Value::Fraction => text.push_str("0.5"),
        Value::Text(inner) => text.push_str(&string(inner)),
        Value::List(list) => {
            for (place, value) in list.iter().enumerate() {
                text.push(if place == 0 { '[' } else { ',' });
                write(text, value);
            }
            text.push_str(if list.is_empty() { "[]" } else { "]" });
        }
        Value::Object(members) => {
            for (place, (name, value)) in members.iter().enumerate() {
                text.push(if place == 0 { '{' } else { ',' });
                text.push_str(&string(name));
                text.push(':');
                write(text, value);
            }
            text.push_str(if members.is_empty() { "{}" } else { "}" });
        }
    }
}

/// The description of a new flight: what is taken can be sold, shown, and kept.
pub(crate) fn flight(body: &[u8]) {
    let Ok(value) = fields::parse(body, false) else { return };
    let mut errors = Errors::default();
    let change = input::policy(&mut Fields::of(&value), &mut errors);
    assert_eq!(change, input::policy(&mut Fields::of(&value), &mut Errors::default()));
    let new = match new_flight(&value, Salt(1), Timestamp::from_millis(0)) {
        Err(problem) => return check_problem(&problem),
        Ok(new) => new,
    };
    let flight_id = new.definition.flight_id.clone();
    let event = Event::FlightCreated { definition: Box::new(new.definition), policy: new.policy };
    let created = Recorded { seq: Seq(1), at: Timestamp::from_millis(0), event, cause: None, head: None };
    let flight = Flight::create(&created).expect("a flight that is taken can be created");
    let view = FlightView::of(&flight);
    let mut json = Json::default();
    json.open_list();
    render::write_flight(&mut json, &view, Timestamp::from_millis(0));
    render::write_seat_map(&mut json, &view);
    json.close_list();
    let _: serde_json::Value = serde_json::from_slice(&json.into_bytes()).expect("a flight is shown as JSON");
    let events = vec![created];
    let batch = Batch { flight_id: flight_id.clone(), epoch: Epoch(1), events: events.clone() };
    let mut bytes = Vec::new();
    encode_events_into(&mut bytes, &batch).expect("a flight that is taken can be written");
    let record = decode(&bytes).expect("what was written can be read");
    assert_eq!(record, Record::Events { flight_id, epoch: Epoch(1), events });
}

/// A query: every parameter is taken or named as unknown.
pub(crate) fn query(raw: &[u8]) {
    let raw = String::from_utf8_lossy(raw);
    let decoded = query::percent_decoded(&raw);
    assert!(decoded.len() <= raw.len());
    let mut query = Query::parse(&raw);
    let _ = query.take("origin", input::airport);
    let _ = query.take("date", time::parse_day);
    let limit = query.limit();
    assert!((1..=query::PAGE_MAX).contains(&limit));
    let place = query.cursor(|text| Some(text.to_owned()));
    if let Some(place) = place {
        let mut again = Query::parse(&format!("cursor={}", query::cursor(&place)));
        assert_eq!(again.cursor(|text| Some(text.to_owned())), Some(place));
    }
    if let Err(problem) = query.finish() {
        check_problem(&problem);
    }
}

/// Names and moments: one that is taken is shown as it was, or in one form that is taken for the same.
pub(crate) fn names(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    as_it_was(text, FlightId::new(text).ok().as_ref().map(FlightId::as_str));
    as_it_was(text, CustomerId::new(text).ok().as_ref().map(CustomerId::as_str));
    as_it_was(text, IdempotencyKey::new(text).ok().as_ref().map(IdempotencyKey::as_str));
    as_it_was(text, Reference::new(text).ok().as_ref().map(Reference::as_str));
    as_it_was(text, PassengerName::new(text).ok().as_ref().map(PassengerName::as_str));
    as_it_was(text, Layout::new(text).ok().as_ref().map(Layout::as_str));
    as_it_was(text, Currency::new(text).ok().as_ref().map(Currency::as_str));
    same_again::<Seat>(text);
    same_again::<OrderId>(text);
    if let Ok(at) = time::parse(text) {
        assert_eq!(time::parse(&time::text(at)), Ok(at), "{text:?}");
    }
    if let Ok(day) = time::parse_day(text) {
        assert_eq!(day.to_string(), text);
        assert_eq!(time::day_of(day.start()), day, "{text:?}");
    }
    if let Ok(zone) = zones::named(text) {
        assert_eq!(zones::named(zone.as_str()), Ok(zone));
    }
    if let Ok(airport) = input::airport(text) {
        assert_eq!(input::airport(&airport), Ok(airport.clone()));
    }
    if let Ok(number) = input::flight_number(text) {
        assert_eq!(number, text);
    }
    let _ = (text.parse::<FlightName>(), text.parse::<OrderName>(), text.parse::<LastEventId>());
}

fn as_it_was(text: &str, shown: Option<&str>) {
    if let Some(shown) = shown {
        assert_eq!(shown, text);
    }
}

fn same_again<T: FromStr + Display + Debug + PartialEq>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        let shown = value.to_string();
        assert_eq!(shown.parse::<T>().ok(), Some(value), "{text:?} is shown as {shown:?}");
    }
}
