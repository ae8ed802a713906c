//! The grab: `POST /v1/flights/{flight_id}/orders`. The body becomes a command that cannot be malformed, the flight
//! decides, the order is rendered. Never logs a request: this is the hot route.

use std::net::IpAddr;
use std::sync::Arc;

use farerush_engine::actor::{Answer, FlightHandle, FlightView, PendingAnswer};
use farerush_engine::flight::sale::SEATS_LIMIT_MAX;
use farerush_engine::flight::{
    CabinClass, Command, CustomerId, Grab, SaleState, Seat, Seats, Together, Wanted,
};
use serde::Deserialize;
use warp::http::StatusCode;
use warp::http::header::{HeaderName, HeaderValue, LOCATION};
use warp::reply::Response;

use crate::observe::traces;
use crate::parts::auth::Identity;
use crate::parts::auth::{Caller, Intent};
use crate::parts::flights::Flights;
use crate::parts::metrics::Metrics;
use crate::parts::metrics::Outcome;
use crate::parts::rate::{KeyPrint, Share};
use crate::wire::body::Received;
use crate::wire::deadline::{self, Deadline, GivenTimeout};
use crate::wire::fields::{self, Errors, Fields, Value, one_of, text, whole};
use crate::wire::idempotency::GivenKey;
use crate::wire::input;
use crate::wire::names;
use crate::wire::names::FlightName;
use crate::wire::problem::Problem;
use crate::wire::render;

/// The header that says that the same was granted before, under the same key.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Under which path orders are found.
const ORDERS: &str = "/v1/orders/";

/// What grabs need.
pub struct Grabs {
    /// What they are at.
    pub flights: Arc<Flights>,
    /// Who asks, and how often that one may.
    pub identity: Arc<Identity>,
    /// What counts them.
    pub metrics: Arc<Metrics>,
}

/// A grab that was handed over to its flight.
pub struct UnderWay {
    /// What the flight will say.
    pub pending: PendingAnswer,
    /// What an order counts in, and under which key.
    pays: Option<(Arc<Share>, Option<KeyPrint>)>,
}

/// A grab that was granted.
pub struct Granted {
    /// The order.
    pub json: Vec<u8>,
    /// Where the order is from now on: path and nothing more.
    pub location: String,
    /// Whether it had been granted before, under the same key.
    pub replayed: bool,
}

impl Granted {
    /// 201 for a new order, 200 for one that was there.
    pub fn status(&self) -> StatusCode {
        if self.replayed { StatusCode::OK } else { StatusCode::CREATED }
    }
}

/// What became of a grab, for whoever counts.
pub fn outcome(answered: Result<&Granted, &Problem>) -> Outcome {
    match answered {
        Ok(granted) if granted.replayed => Outcome::Replayed,
        Ok(_) => Outcome::Won,
        Err(problem) => Outcome::Problem(problem.code()),
    }
}

/// Answers a grab.
pub async fn place(
    name: FlightName,
    authorization: Option<String>,
    grabs: Arc<Grabs>,
    key: Option<GivenKey>,
    address: Option<IpAddr>,
    timeout: Option<GivenTimeout>,
    body: Received,
) -> Response {
    let under_way = grabs.metrics.grab();
    let caller = grabs.identity.caller(authorization.as_deref(), Intent::Changes, grabs.flights.now()).await;
    let answered = match caller {
        Ok(caller) => placed(&name, &grabs, &caller, (key, address, timeout), body).await,
        Err(problem) => Err(problem),
    };
    under_way.end(outcome(answered.as_ref()));
    match answered {
        Ok(granted) => respond(granted),
        Err(problem) => problem.into_response(),
    }
}

async fn placed(
    name: &FlightName,
    grabs: &Grabs,
    caller: &Caller,
    (key, address, timeout): (Option<GivenKey>, Option<IpAddr>, Option<GivenTimeout>),
    body: Received,
) -> Result<Granted, Problem> {
    // A flight that is on its way here is waited for within the same time.
    let deadline = grabs.flights.deadline(timeout);
    let flight = grabs.flights.flight(name).await?;
    let deadline = deadline?;
    // Customers can be invented where they show nothing; then their address pays, too.
    let share = grabs.identity.rates.share(flight.flight_id(), address.filter(|_| *caller == Caller::Anyone));
    let grab = understood(&flight, caller, key, &body?)?;
    grabs.identity.let_act(caller, &grab.customer).await?;
    let mut under_way = hand_over(grabs, &flight, grab, share, deadline)?;
    let outcome = tokio::time::timeout_at(deadline.answer_by.into(), &mut under_way.pending).await;
    granted(grabs, &under_way, outcome.ok().and_then(Result::ok))
}

fn respond(granted: Granted) -> Response {
    let status = granted.status();
    let mut response = render::response(status, granted.json);
    if let Ok(location) = HeaderValue::try_from(granted.location) {
        response.headers_mut().insert(LOCATION, location);
    }
    marked(response, granted.replayed)
}

/// The same response, saying so if it is one to a request that was granted before, under the same key.
pub fn marked(mut response: Response, replayed: bool) -> Response {
    if replayed {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

/// Understands a grab of somebody who need show nothing and is not counted, and hands it over: a client that hangs up changes nothing. Never waits.
pub fn begin(
    grabs: &Grabs,
    flight: &FlightHandle,
    (key, share): (Option<GivenKey>, Option<Arc<Share>>),
    deadline: Deadline,
    body: &[u8],
) -> Result<UnderWay, Problem> {
    hand_over(grabs, flight, understood(flight, &Caller::Anyone, key, body)?, share, deadline)
}

/// What is wanted of the flight.
fn understood(
    flight: &FlightHandle,
    by: &Caller,
    key: Option<GivenKey>,
    body: &[u8],
) -> Result<Grab, Problem> {
    let idempotency_key = GivenKey::checked(key)?;
    // Turned away before the body is parsed; what the view refuses needs no permit.
    if flight.view().free > 0 {
        flight.admits()?;
    }
    Ok(Grab { idempotency_key, ..parse(body, by.own())? })
}

fn hand_over(
    grabs: &Grabs,
    flight: &FlightHandle,
    grab: Grab,
    share: Option<Arc<Share>>,
    deadline: Deadline,
) -> Result<UnderWay, Problem> {
    if is_known_to_be_sold_out(&grab, &flight.view(), grabs) {
        return Err(Problem::sold_out());
    }
    let rates = &grabs.identity.rates;
    let key = |key| rates.shares.print(&grab.customer, key);
    let pays = share.map(|share| (share, grab.idempotency_key.as_ref().map(key)));
    if let Some((share, key)) = &pays {
        rates.may_keep(Some(share), *key)?;
    }
    let pending = flight.submit_by(Command::Grab(grab), deadline.decide_by, traces::stamps())?;
    Ok(UnderWay { pending, pays })
}

/// What is to be answered to a grab with this outcome; `None` where it did not come in time.
pub fn granted(grabs: &Grabs, under_way: &UnderWay, outcome: Option<Answer>) -> Result<Granted, Problem> {
    let (order, definition, replayed) = match outcome {
        Some(Answer::Order { order, definition, replayed }) => (order, definition, replayed),
        Some(Answer::Refused(refusal)) => return Err(grabs.flights.refused(refusal)),
        Some(Answer::TooLate) => return Err(deadline::too_late()),
        Some(Answer::Moved) => return Err(Problem::flight_elsewhere()),
        Some(_) | None => return Err(Problem::outcome_unknown()),
    };
    if let Some((share, key)) = under_way.pays.as_ref().filter(|_| !replayed) {
        share.count(*key, order.bytes_kept());
    }
    let mut json = render::order_buffer();
    let order_id = render::order_of(&mut json, &order, &definition, grabs.flights.durability);
    let location = [ORDERS, &*order_id].concat();
    Ok(Granted { json: json.into_bytes(), location, replayed })
}

/// Whether the published view shows already what the flight would say, so that it need not be asked. Never under a
/// key: an earlier order under it would have to be given back.
fn is_known_to_be_sold_out(grab: &Grab, view: &FlightView, grabs: &Grabs) -> bool {
    view.free == 0
        && grab.idempotency_key.is_none()
        && matches!(grab.wanted, Wanted::Quantity { quantity, .. } if quantity <= view.sale.policy.max_seats_per_order)
        && grab.cabin_class.is_none_or(|class| view.definition.cabins.iter().any(|c| c.cabin_class == class))
        && view.sale_state(grabs.flights.now()) == SaleState::Open
}

/// The bodies that nearly all grabs have; anything else, and every mistake, goes the slow way.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UsualBody<'a> {
    customer_id: Option<&'a str>,
    quantity: Option<u16>,
    #[serde(borrow)]
    seats: Option<Vec<&'a str>>,
    cabin_class: Option<&'a str>,
    together: Option<&'a str>,
    client_reference: Option<&'a str>,
}

/// Parses a grab's body.
///
/// A customer who is known already (`own`) need not be named.
fn parse(body: &[u8], own: Option<&CustomerId>) -> Result<Grab, Problem> {
    match usual(body, own) {
        Some(grab) => Ok(grab),
        None => unusual(body, own),
    }
}

pub(crate) fn usual(body: &[u8], own: Option<&CustomerId>) -> Option<Grab> {
    let body: UsualBody<'_> = serde_json::from_slice(body).ok()?;
    let together = body.together.map(Together::from_name);
    let wanted = match (body.quantity, body.seats) {
        (Some(quantity @ 1..=SEATS_LIMIT_MAX), None) => {
            Wanted::Quantity { quantity, together: together.unwrap_or(Some(Together::default()))? }
        }
        (None, Some(names)) => {
            together.unwrap_or(Some(Together::default()))?;
            let seats: Seats = names.iter().map(|name| name.parse::<Seat>().ok()).collect::<Option<_>>()?;
            input::check_seats(&seats).ok()?;
            Wanted::Named(seats)
        }
        _ => return None,
    };
    let cabin_class = match body.cabin_class {
        Some(name) => Some(CabinClass::from_name(name)?),
        None => None,
    };
    let client_reference = match body.client_reference {
        Some(text) => Some(names::reference(text).ok()?),
        None => None,
    };
    Some(Grab {
        customer: match body.customer_id {
            Some(named) => names::customer(named).ok()?,
            None => own?.clone(),
        },
        wanted,
        cabin_class,
        passengers: None,
        client_reference,
        idempotency_key: None,
    })
}

/// Understands every body, or names all that is wrong with it.
pub(crate) fn unusual(body: &[u8], own: Option<&CustomerId>) -> Result<Grab, Problem> {
    let value: Value = fields::parse(body, false)?;
    let mut errors = Errors::default();
    let mut fields = Fields::of(&value);
    let errors_now = &mut errors;
    let customer = match own {
        Some(own) => {
            fields.optional("customer_id", errors_now, text(names::customer)).or_else(|| Some(own.clone()))
        }
        None => fields.required("customer_id", errors_now, text(names::customer)),
    };
    let quantity = fields.take("quantity", errors_now).filter(|value| **value != Value::Null);
    let seats = fields.take("seats", errors_now).filter(|value| **value != Value::Null);
    let together =
        fields.optional("together", errors_now, one_of("required, preferred, any", Together::from_name));
    let classes = "first, business, premium_economy, economy";
    let cabin_class = fields.optional("cabin_class", errors_now, one_of(classes, CabinClass::from_name));
    let passengers = input::passengers(&mut fields, errors_now);
    let client_reference = fields.optional("client_reference", errors_now, text(names::reference));
    fields.finish(errors_now);
    let quantity = quantity.map(whole::<u16>(1, SEATS_LIMIT_MAX.into()));
    let seats = seats.map(input::seats);
    let wanted = match (quantity, seats) {
        (Some(Ok(quantity)), None) => {
            Some(Wanted::Quantity { quantity, together: together.unwrap_or_default() })
        }
        (None, Some(Ok(seats))) => Some(Wanted::Named(seats)),
        (None, None) => {
            errors.add(
                "quantity",
                format!("must be a whole number from 1 to {SEATS_LIMIT_MAX}, unless seats are named"),
            );
            None
        }
        (quantity, seats) => {
            if quantity.is_some() && seats.is_some() {
                errors.add("seats", "must not be given together with quantity");
            }
            quantity.and_then(Result::err).into_iter().for_each(|message| errors.add("quantity", message));
            seats.and_then(Result::err).into_iter().for_each(|message| errors.add("seats", message));
            None
        }
    };
    if let (Some(wanted), Some(passengers)) = (&wanted, &passengers)
        && passengers.len() > wanted.quantity()
    {
        errors.add("passengers", "must not be more than the seats asked for");
    }
    errors.check()?;
    match (customer, wanted) {
        (Some(customer), Some(wanted)) => {
            Ok(Grab { customer, wanted, cabin_class, passengers, client_reference, idempotency_key: None })
        }
        _ => Err(Problem::invalid_field("customer_id", "must be given")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quick_way_and_the_thorough_way_understand_the_same() {
        for body in [
            r#"{"customer_id":"u1","quantity":2}"#,
            r#"{"quantity":1,"customer_id":"u1","together":"required","cabin_class":"economy"}"#,
            r#"{"customer_id":"u1","seats":["12A","12b"]}"#,
            r#"{"customer_id":"林","seats":["1A"],"together":"any","client_reference":"x y"}"#,
            r#" {"customer_id" : "u1" , "quantity" : 10000, "seats": null } "#,
        ] {
            let quick = usual(body.as_bytes(), None).unwrap_or_else(|| panic!("not quick: {body}"));
            assert_eq!(quick, unusual(body.as_bytes(), None).unwrap(), "{body}");
        }
    }

    #[test]
    fn what_needs_the_thorough_way_is_understood_too() {
        for body in [
            r#"{"customer_id":"a\"b","quantity":2}"#,
            r#"{"customer_id":"u1","quantity":2,"passengers":[{"name":"Lin"},null]}"#,
            r#"{"customer_id":"u1","quantity":2,"passengers":null}"#,
        ] {
            assert!(usual(body.as_bytes(), None).is_none(), "{body}");
            assert!(parse(body.as_bytes(), None).is_ok(), "{body}");
        }
    }

    #[test]
    fn every_mistake_is_named() {
        for (body, fields) in [
            (r#"{"quantity":2}"#, &["customer_id"][..]),
            (r#"{"customer_id":"u1"}"#, &["quantity"]),
            (r#"{"customer_id":"","quantity":0}"#, &["customer_id", "quantity"]),
            (r#"{"customer_id":"u\u0000","quantity":-1}"#, &["customer_id", "quantity"]),
            (r#"{"customer_id":7,"quantity":1000000000}"#, &["customer_id", "quantity"]),
            (r#"{"customer_id":"u1","quantity":"2"}"#, &["quantity"]),
            (r#"{"customer_id":"u1","quantity":2.5}"#, &["quantity"]),
            (r#"{"customer_id":"u1","quantity":10001}"#, &["quantity"]),
            (r#"{"customer_id":"u1","quantity":2,"seats":["1A","1B"]}"#, &["seats"]),
            (r#"{"customer_id":"u1","seats":[]}"#, &["seats"]),
            (r#"{"customer_id":"u1","seats":["1A","1A"]}"#, &["seats"]),
            (r#"{"customer_id":"u1","seats":["1I"]}"#, &["seats"]),
            (r#"{"customer_id":"u1","seats":"1A"}"#, &["seats"]),
            (r#"{"customer_id":"u1","quantity":1,"together":"maybe"}"#, &["together"]),
            (r#"{"customer_id":"u1","quantity":1,"cabin_class":"coach"}"#, &["cabin_class"]),
            (
                r#"{"customer_id":"u1","quantity":1,"passengers":[{"name":"a"},{"name":"b"}]}"#,
                &["passengers"],
            ),
            (r#"{"customer_id":"u1","quantity":1,"passengers":[{"nam":"a"}]}"#, &["passengers[0].nam"]),
            (r#"{"customer_id":"u1","quantity":1,"passengers":[{"name":"\n"}]}"#, &["passengers[0].name"]),
            (r#"{"customer_id":"u1","quantity":1,"client_reference":""}"#, &["client_reference"]),
            (r#"{"customer_id":"u1","quantity":1,"vip":true}"#, &["vip"]),
            (r#"{"customer_id":"u1","customer_id":"u2","quantity":1}"#, &["customer_id"]),
        ] {
            let problem = parse(body.as_bytes(), None).unwrap_err();
            let shown: serde_json::Value = serde_json::from_slice(&problem.render()).unwrap();
            let named: Vec<_> =
                shown["errors"].as_array().unwrap().iter().map(|e| e["field"].as_str().unwrap()).collect();
            assert_eq!(named, fields, "{body}");
        }
    }
}
