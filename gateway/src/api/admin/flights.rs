//! `/v1/admin/flights`: creating a flight, its sale, its seats off and on sale, more rows, a restart.
//! Never decides what a flight may do: it turns bodies into commands and definitions.

use std::sync::Arc;

use farerush_engine::actor::{Answer, CreateError, Located, RestartError};
use farerush_engine::flight::aircraft::{AIRCRAFT, Aircraft, aircraft};
use farerush_engine::flight::cabin::{CABINS_PER_FLIGHT_MAX, check_cabins};
use farerush_engine::flight::decide::{DEPARTED, check_policy};
use farerush_engine::flight::requests::fingerprint_of_creation;
use farerush_engine::flight::{
    Cabin, CabinClass, Cause, Command, Fare, FlightDefinition, FlightId, FlightIds, Layout, PolicyChange,
    Refusal, SalePolicy, Salt, TimeZoneName, Timestamp,
};
use warp::http::StatusCode;
use warp::http::header::{HeaderValue, LOCATION};
use warp::reply::Response;

use crate::api::admin::import::others::Under;
use crate::api::grab;
use crate::base::json::Json;
use crate::base::time;
use crate::base::time::Day;
use crate::base::zones::{self, LocalTime};
use crate::parts::auth::Admin;
use crate::parts::flights::AboutFlight;
use crate::parts::other_servers::arrivals;
use crate::parts::sales::Sales;
use crate::wire::body::Received;
use crate::wire::fields::{self, Errors, Fields, Value, one_of, text};
use crate::wire::idempotency::GivenKey;
use crate::wire::input;
use crate::wire::names::FlightName;
use crate::wire::problem::{Code, Problem};
use crate::wire::render;

/// A flight to be created: what it is, its rules, and whether its sale is open from the start.
#[derive(Debug)]
pub struct NewFlight {
    /// What it is.
    pub definition: FlightDefinition,
    /// The rules of its sale.
    pub policy: SalePolicy,
    /// Whether its sale is open from the start.
    pub open: bool,
}

/// `POST /v1/admin/flights`
pub async fn create(
    by: Admin,
    sales: Arc<Sales>,
    key: Option<GivenKey>,
    body: Received,
) -> Result<Response, Problem> {
    let key = GivenKey::checked(key)?;
    let value = fields::parse(&body?, false)?;
    let salt = Salt(getrandom::u64().map_err(|_| Problem::overloaded("there is no randomness", 1))?);
    let NewFlight { definition, policy, open } = new_flight(&value, salt, sales.flights.now())?;
    let flight_id = definition.flight_id.clone();
    let idempotency = key.map(|key| (key, fingerprint_of_creation(&definition, &policy, open)));
    if sales.flights.is_elsewhere(&flight_id).await? {
        return created_before(&sales, &flight_id, idempotency).await;
    }
    let cause = Cause { by: Some(by.name), idempotency: idempotency.clone() };
    let creating = sales.flights.engine.create_as(definition, policy, open, cause);
    let created = tokio::time::timeout(sales.flights.request_timeout, creating).await;
    let flight = match created.unwrap_or(Err(CreateError::OutcomeUnknown)) {
        Ok(flight) => flight,
        Err(CreateError::Exists) => return created_before(&sales, &flight_id, idempotency).await,
        Err(CreateError::Refused(refusal)) => return Err(refusal.into()),
        Err(CreateError::Overloaded(overloaded)) => return Err(overloaded.into()),
        // Another server may have created it in the same moment: then the journal did not take ours.
        Err(CreateError::OutcomeUnknown)
            if matches!(sales.flights.engine.find(&flight_id), Located::Nobody)
                && sales.flights.other_servers.has(&flight_id).await.unwrap_or(false) =>
        {
            return created_before(&sales, &flight_id, idempotency).await;
        }
        Err(CreateError::OutcomeUnknown) => return Err(Problem::outcome_unknown()),
    };
    let mut response = render::flight(StatusCode::CREATED, &flight.view(), sales.flights.now());
    if let Ok(location) = HeaderValue::try_from(format!("/v1/flights/{flight_id}")) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

/// The flight that exists already, if it was created by the same request, under the same key; else that it exists. Whose key
/// that was knows only who has the flight.
async fn created_before(sales: &Sales, id: &FlightId, under: Option<Under>) -> Result<Response, Problem> {
    let detail = format!("Nothing was done: {id} exists. Choose another flight_id.");
    let exists = Problem::new(Code::FlightExists, detail);
    let Some((key, print)) = under else { return Err(exists) };
    let flight = match sales.flights.locate(id).await {
        Ok(Some(flight)) => flight,
        Ok(None) => return Err(exists),
        Err(problem) if problem.code() == Code::Elsewhere => {
            return Ok(AboutFlight::mark(problem, id));
        }
        Err(problem) => return Err(problem),
    };
    let deadline = sales.flights.deadline(None)?;
    let pending = flight.was_created_under(key, print, deadline.decide_by);
    match sales.flights.outcome(pending, deadline).await? {
        Answer::Flight { replayed: true, .. } => {
            Ok(grab::marked(render::flight(StatusCode::OK, &flight.view(), sales.flights.now()), true))
        }
        _ => Err(exists),
    }
}

/// Understands a flight's description, or names all that is wrong with it. One that has left by `now` is none, but that
/// alone is left to the engine to say: the same request may have created it in time.
pub fn new_flight(value: &Value, salt: Salt, now: Timestamp) -> Result<NewFlight, Problem> {
    let mut errors = Errors::default();
    let mut fields = Fields::of(value);
    let flight_id = fields.optional("flight_id", &mut errors, text(FlightId::new));
    let flight_number = fields.required("flight_number", &mut errors, text(input::flight_number));
    let origin = fields.required("origin", &mut errors, text(input::airport));
    let destination = fields.required("destination", &mut errors, text(input::airport));
    let departs_at = fields.required("departs_at", &mut errors, input::moment);
    let origin_time_zone = time_zone(&mut fields, origin.as_deref(), &mut errors);
    if origin.is_some() && origin == destination {
        errors.add("destination", "must not be the origin");
    }
    let template = fields.optional("aircraft", &mut errors, template);
    let cabins = cabins(&mut fields, template, &mut errors);
    let (policy, open) = sale(&mut fields, &mut errors);
    fields.finish(&mut errors);
    if !errors.is_empty() && departs_at.is_some_and(|at| at <= now) {
        errors.add("departs_at", DEPARTED);
    }
    let local = departs_at.zip(origin_time_zone.as_ref()).map(|(at, zone)| LocalTime::at(at, zone.as_str()));
    if local.is_some_and(|local| !local.is_writable()) {
        errors.add("departs_at", "must be in the years 1970 to 9999, also by the clocks of its origin");
    }
    errors.check()?;
    let missing = || Problem::invalid_field("flight_number", "must be given");
    let (flight_number, departs_at) = (flight_number.ok_or_else(missing)?, departs_at.ok_or_else(missing)?);
    let flight_id = match flight_id {
        Some(id) => id,
        None => default_id(&flight_number, local.ok_or_else(missing)?.day())?,
    };
    let definition = FlightDefinition {
        flight_id,
        flight_number: flight_number.into(),
        origin: origin.ok_or_else(missing)?.into(),
        destination: destination.ok_or_else(missing)?.into(),
        departs_at,
        origin_time_zone,
        aircraft: template.map(|template| template.name.into()),
        cabins,
        ids: FlightIds::new(salt),
    };
    Ok(NewFlight { definition, policy, open })
}

/// The zone of the origin: as it is given, else that of the airport.
fn time_zone(fields: &mut Fields<'_>, origin: Option<&str>, errors: &mut Errors) -> Option<TimeZoneName> {
    const FIELD: &str = "origin_time_zone";
    let is_given = fields.has(FIELD);
    let given = fields.optional(FIELD, errors, text(zones::named));
    if is_given {
        return given;
    }
    let known = zones::of_airport(origin?).and_then(|zone| TimeZoneName::new(zone).ok());
    if known.is_none() {
        let origin = origin.unwrap_or_default();
        let message = format!(
            "must be given: no time zone is known for the airport {origin}; it is an IANA name, such as Asia/Taipei"
        );
        errors.add(FIELD, message);
    }
    known
}

/// `FR101-20261224`: the service day, which is the one at the origin.
fn default_id(flight_number: &str, day: Day) -> Result<FlightId, Problem> {
    FlightId::new(&format!("{flight_number}-{:04}{:02}{:02}", day.year, day.month, day.day))
        .map_err(|error| Problem::invalid_field("flight_id", error.to_string()))
}

/// The aircraft template of this name.
pub(super) fn template(value: &Value) -> Result<&'static Aircraft, String> {
    text(|name| {
        aircraft(name).ok_or_else(|| {
            let known: Vec<_> = AIRCRAFT.iter().map(|aircraft| aircraft.name).collect();
            format!("must be one of {}", known.join(", "))
        })
    })(value)
}

/// The cabins: described one by one, or those of a template with a fare for all (`fare`) or for each class (`fares`).
pub(super) fn cabins(
    fields: &mut Fields<'_>,
    template: Option<&'static Aircraft>,
    errors: &mut Errors,
) -> Vec<Cabin> {
    let for_all = input::fare(fields, "fare", errors);
    let by_class = fares(fields, errors);
    let described = fields.objects("cabins", CABINS_PER_FLIGHT_MAX, errors);
    let named_aircraft = fields.has("aircraft");
    let cabins: Vec<Cabin> = match (described, template) {
        (Some(_), _) if named_aircraft => {
            errors.add("cabins", "must not be given together with aircraft");
            return Vec::new();
        }
        (Some(list), _) => {
            if fields.has("fare") || fields.has("fares") {
                errors.add("fare", "must not be given together with cabins, which have their own");
            }
            let wanted = list.len();
            let cabins: Vec<Cabin> =
                list.into_iter().filter_map(|cabin| input::cabin(cabin, errors)).collect();
            if cabins.len() < wanted {
                return Vec::new();
            }
            cabins
        }
        (None, Some(template)) => sections(template, for_all, &by_class, errors),
        (None, None) => {
            if !named_aircraft && !fields.has("cabins") {
                errors.add("aircraft", "must be given, unless cabins are");
            }
            return Vec::new();
        }
    };
    if errors.is_empty()
        && let Err(error) = check_cabins(&cabins)
    {
        errors.add("cabins", error.to_string());
    }
    cabins
}

fn sections(
    template: &Aircraft,
    for_all: Option<Fare>,
    by_class: &[(CabinClass, Fare)],
    errors: &mut Errors,
) -> Vec<Cabin> {
    let mut cabins = Vec::with_capacity(template.sections.len());
    for &(cabin_class, first_row, last_row, layout) in template.sections {
        let own = by_class.iter().find(|(class, _)| *class == cabin_class).map(|(_, fare)| *fare);
        match (own.or(for_all), Layout::new(layout)) {
            (Some(fare), Ok(layout)) => cabins.push(Cabin { cabin_class, first_row, last_row, layout, fare }),
            _ if errors.is_empty() => {
                errors.add(format!("fares.{cabin_class}"), "must be given, or fare for all cabins");
            }
            _ => {}
        }
    }
    cabins
}

/// The field `fares`: a fare for each class that is named.
pub(super) fn fares(fields: &mut Fields<'_>, errors: &mut Errors) -> Vec<(CabinClass, Fare)> {
    let Some(mut by_class) = fields.object("fares", errors) else { return Vec::new() };
    let found = CabinClass::ALL
        .into_iter()
        .filter_map(|class| Some((class, input::fare(&mut by_class, class.as_str(), errors)?)))
        .collect();
    by_class.finish(errors);
    found
}

/// The field `sale`: its rules, and its `state` at first (`scheduled` or `open`).
fn sale(fields: &mut Fields<'_>, errors: &mut Errors) -> (SalePolicy, bool) {
    let Some(mut sale) = fields.object("sale", errors) else { return (SalePolicy::default(), false) };
    let states = |name: &str| match name {
        "scheduled" => Some(false),
        "open" => Some(true),
        _ => None,
    };
    let open = sale.optional("state", errors, one_of("scheduled, open", states)).unwrap_or(false);
    let change = input::policy(&mut sale, errors);
    sale.finish(errors);
    let policy = with(SalePolicy::default(), &change);
    if let Err(Refusal::Invalid { field, message }) = check_policy(&policy) {
        errors.add(format!("sale.{field}"), message);
    }
    (policy, open)
}

fn with(policy: SalePolicy, change: &PolicyChange) -> SalePolicy {
    SalePolicy {
        opens_at: change.opens_at.unwrap_or(policy.opens_at),
        closes_at: change.closes_at.unwrap_or(policy.closes_at),
        max_seats_per_order: change.max_seats_per_order.unwrap_or(policy.max_seats_per_order),
        max_seats_per_customer: change.max_seats_per_customer.unwrap_or(policy.max_seats_per_customer),
        hold_seconds: change.hold_seconds.unwrap_or(policy.hold_seconds),
        payment_grace_seconds: change.payment_grace_seconds.unwrap_or(policy.payment_grace_seconds),
        closes_before_minutes: change.closes_before_minutes.unwrap_or(policy.closes_before_minutes),
    }
}

/// `PATCH /v1/admin/flights/{flight_id}`
pub async fn change_policy(
    name: FlightName,
    by: Admin,
    sales: Arc<Sales>,
    key: Option<GivenKey>,
    body: Received,
) -> Result<Response, Problem> {
    let value = fields::parse(&body?, false)?;
    let mut errors = Errors::default();
    let mut fields = Fields::of(&value);
    let change = input::policy(&mut fields, &mut errors);
    fields.finish(&mut errors);
    errors.check()?;
    command(&sales, &name, (by, key), Command::ChangePolicy(change)).await
}

/// `POST /v1/admin/flights/{flight_id}/open`
pub async fn open(
    name: FlightName,
    by: Admin,
    sales: Arc<Sales>,
    key: Option<GivenKey>,
    body: Received,
) -> Result<Response, Problem> {
    switch(name, (by, key), sales, body, Command::OpenSale).await
}

/// `POST /v1/admin/flights/{flight_id}/pause`
pub async fn pause(
    name: FlightName,
    by: Admin,
    sales: Arc<Sales>,
    key: Option<GivenKey>,
    body: Received,
) -> Result<Response, Problem> {
    switch(name, (by, key), sales, body, Command::PauseSale).await
}

/// `POST /v1/admin/flights/{flight_id}/close`; with `cancel_orders`, all live orders end as well.
pub async fn close(
    name: FlightName,
    by: Admin,
    sales: Arc<Sales>,
    key: Option<GivenKey>,
    body: Received,
) -> Result<Response, Problem> {
    let value = fields::parse(&body?, true)?;
    let mut errors = Errors::default();
    let mut fields = Fields::of(&value);
    let cancel_orders = fields.optional("cancel_orders", &mut errors, input::boolean).unwrap_or(false);
    fields.finish(&mut errors);
    errors.check()?;
    if cancel_orders {
        let key = GivenKey::checked(key)?;
        return super::refunds::close_for_good(&sales, &name, by.name, key).await;
    }
    command(&sales, &name, (by, key), Command::CloseSale).await
}

async fn switch(
    name: FlightName,
    asked: (Admin, Option<GivenKey>),
    sales: Arc<Sales>,
    body: Received,
    wanted: Command,
) -> Result<Response, Problem> {
    empty(body)?;
    command(&sales, &name, asked, wanted).await
}

/// `POST /v1/admin/flights/{flight_id}/seats/block`
pub async fn block(
    name: FlightName,
    by: Admin,
    sales: Arc<Sales>,
    key: Option<GivenKey>,
    body: Received,
) -> Result<Response, Problem> {
    let seats = seats_of(body)?;
    command(&sales, &name, (by, key), Command::Block(seats)).await
}

/// `POST /v1/admin/flights/{flight_id}/seats/unblock`
pub async fn unblock(
    name: FlightName,
    by: Admin,
    sales: Arc<Sales>,
    key: Option<GivenKey>,
    body: Received,
) -> Result<Response, Problem> {
    let seats = seats_of(body)?;
    command(&sales, &name, (by, key), Command::Unblock(seats)).await
}

fn seats_of(body: Received) -> Result<farerush_engine::flight::Seats, Problem> {
    let value = fields::parse(&body?, false)?;
    let mut errors = Errors::default();
    let mut fields = Fields::of(&value);
    let seats = fields.required("seats", &mut errors, input::seats);
    fields.finish(&mut errors);
    errors.check()?;
    seats.ok_or_else(|| Problem::invalid_field("seats", "must be given"))
}

/// `POST /v1/admin/flights/{flight_id}/rows`: a cabin more.
pub async fn rows(
    name: FlightName,
    by: Admin,
    sales: Arc<Sales>,
    key: Option<GivenKey>,
    body: Received,
) -> Result<Response, Problem> {
    let value = fields::parse(&body?, false)?;
    let mut errors = Errors::default();
    let cabin = input::cabin(Fields::of(&value), &mut errors);
    errors.check()?;
    let cabin = cabin.ok_or_else(|| Problem::invalid_field("rows", "must be given"))?;
    command(&sales, &name, (by, key), Command::AddRows(cabin)).await
}

/// `POST /v1/admin/flights/{flight_id}/restart`
pub async fn restart(
    name: FlightName,
    by: Admin,
    sales: Arc<Sales>,
    key: Option<GivenKey>,
    body: Received,
) -> Result<Response, Problem> {
    let key = GivenKey::checked(key)?;
    empty(body)?;
    let id = name.0.as_ref().ok_or_else(Problem::flight_not_found)?;
    // No event of the flight's, so that the audit cannot have it.
    tracing::info!(flight = %id, by = %by.name, "a restart was asked for");
    let restarted = arrivals::restart((&sales.flights.other_servers, &sales.flights.engine), id, key)
        .await
        .map_err(|error| match error {
        RestartError::NotFound => Problem::flight_not_found(),
        RestartError::Failed(reason) => {
            let reason = format!("the flight could not be recovered ({reason}); it stays stopped");
            Problem::overloaded(&reason, 10)
        }
    })?;
    let mut json = Json::default();
    json.open().key("flight_id").plain(id).key("seq").number(restarted.seq.0);
    json.key("epoch").number(restarted.epoch.0).key("took_ms").number(time::millis(restarted.took)).close();
    Ok(grab::marked(render::response(StatusCode::OK, json), restarted.replayed))
}

pub(super) fn empty(body: Received) -> Result<(), Problem> {
    let value = fields::parse(&body?, true)?;
    let mut errors = Errors::default();
    Fields::of(&value).finish(&mut errors);
    errors.check()
}

/// Has a command about the whole flight decided, and shows the flight as it is then.
async fn command(
    sales: &Sales,
    name: &FlightName,
    (by, key): (Admin, Option<GivenKey>),
    command: Command,
) -> Result<Response, Problem> {
    let key = GivenKey::checked(key)?;
    let flight = sales.flights.flight(name).await?;
    let answer =
        sales.flights.command_as(&flight, command, Some(by.name), key, sales.flights.deadline(None)?).await?;
    let Answer::Flight { replayed, .. } = answer else {
        return Err(Problem::outcome_unknown());
    };
    Ok(grab::marked(render::flight(StatusCode::OK, &flight.view(), sales.flights.now()), replayed))
}
