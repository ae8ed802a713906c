//! `/v1/waitlist`: parties that wait for seats, as their flight knows them.
//! Never decides who is served, and never asks the store.

mod routes;

use std::convert::Infallible;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Instant;

use farerush_engine::actor::{Answer, FlightHandle};
use farerush_engine::flight::sale::SEATS_LIMIT_MAX;
use farerush_engine::flight::{
    Accept, CabinClass, Command, CustomerId, FlightDefinition, OrderId, WaitlistEntry, WaitlistId,
    WaitlistNo, WaitlistPlace, WaitlistStatus, WaitlistWish,
};
use warp::http::StatusCode;
use warp::http::header::{HeaderValue, LOCATION};
use warp::reply::Response;

pub use routes::routes;

use crate::api::grab;
use crate::base::json::Json;
use crate::parts::auth::Identity;
use crate::parts::auth::{Admin, Caller};
use crate::parts::flights::Flights;
use crate::wire::body::Received;
use crate::wire::deadline::{Deadline, GivenTimeout};
use crate::wire::fields::{self, Errors, Fields, Value, one_of, text, whole};
use crate::wire::idempotency::GivenKey;
use crate::wire::input::{CLASSES, moment};
use crate::wire::names;
use crate::wire::names::FlightName;
use crate::wire::problem::{Code, Problem};
use crate::wire::query::{self, Query, percent_decoded};
use crate::wire::render;

/// Bytes that an entry usually takes.
const ENTRY_BYTES: usize = 512;

/// An entry's id as it stands in a path; `None` if no entry can be called so.
#[derive(Debug, Clone)]
pub struct WaitlistName(pub Option<WaitlistId>);

impl FromStr for WaitlistName {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(percent_decoded(text).parse().ok()))
    }
}

/// What waitlists need.
pub struct Waitlists {
    /// Whose waitlists they are.
    pub flights: Arc<Flights>,
    /// Who asks, and how much that one may have caused.
    pub identity: Arc<Identity>,
}

/// `POST /v1/flights/{flight_id}/waitlist`
pub async fn join(
    name: FlightName,
    caller: Caller,
    waitlists: Arc<Waitlists>,
    key: Option<GivenKey>,
    address: Option<IpAddr>,
    timeout: Option<GivenTimeout>,
    body: Received,
) -> Result<Response, Problem> {
    let key = GivenKey::checked(key)?;
    let deadline = waitlists.flights.deadline(timeout)?;
    let wish = wish(&fields::parse(&body?, false)?, caller.own())?;
    waitlists.identity.customer_of(&caller, Some(wish.customer.clone())).await?;
    let flight = waitlists.flights.flight(&name).await?;
    // Customers can be invented where they show nothing; then their address pays, too.
    let address = address.filter(|_| caller == Caller::Anyone);
    let rates = &waitlists.identity.rates;
    let share = rates.share(flight.flight_id(), address);
    let print = key.as_ref().map(|key| rates.shares.print(&wish.customer, key));
    if let Some(share) = &share {
        rates.shares.check_join(share, print, Instant::now()).map_err(Problem::from)?;
    }
    let command = Command::JoinWaitlist(Box::new(wish));
    let answer = waitlists.flights.command_as(&flight, command, caller.admin_name(), key, deadline).await?;
    let Answer::Waitlisted { entry, place, replayed } = answer else {
        return Err(Problem::outcome_unknown());
    };
    let status = if replayed { StatusCode::OK } else { StatusCode::CREATED };
    if let Some(share) = share.filter(|_| !replayed) {
        share.count_join(print, entry.bytes_kept());
    }
    let mut response = shown(&waitlists, &flight, status, &entry, place);
    let id = WaitlistId::of(flight.flight_id(), &flight.view().definition.ids, entry.no);
    if let Ok(location) = HeaderValue::try_from(format!("/v1/waitlist/{id}")) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(grab::marked(response, replayed))
}

/// `GET /v1/waitlist/{waitlist_id}`
pub async fn one(
    name: WaitlistName,
    caller: Caller,
    waitlists: Arc<Waitlists>,
    raw_query: String,
    timeout: Option<GivenTimeout>,
) -> Result<Response, Problem> {
    Query::parse(&raw_query).finish()?;
    let deadline = waitlists.flights.deadline(timeout)?;
    let (id, flight) = find(&waitlists, &name).await?;
    let (entry, place) = look_up(&waitlists, &caller, id, &flight, deadline).await?;
    Ok(shown(&waitlists, &flight, StatusCode::OK, &entry, place))
}

/// `DELETE /v1/waitlist/{waitlist_id}`: whoever waits no longer stays as they are; a body may be left away.
pub async fn leave(
    name: WaitlistName,
    caller: Caller,
    waitlists: Arc<Waitlists>,
    key: Option<GivenKey>,
    address: Option<IpAddr>,
    timeout: Option<GivenTimeout>,
    body: Received,
) -> Result<Response, Problem> {
    let value = fields::parse(&body?, true)?;
    let mut errors = Errors::default();
    Fields::of(&value).finish(&mut errors);
    errors.check()?;
    let key = GivenKey::checked(key)?;
    let deadline = waitlists.flights.deadline(timeout)?;
    let (id, flight) = find(&waitlists, &name).await?;
    if caller.own().is_some() {
        // Whose it is never changes, so that it can be asked beforehand.
        look_up(&waitlists, &caller, id, &flight, deadline).await?;
    }
    let pays = address.filter(|_| key.is_some() && caller == Caller::Anyone);
    let rates = &waitlists.identity.rates;
    let share = rates.share(flight.flight_id(), pays);
    let print = key.as_ref().map(|key| rates.shares.print(&id.entry.no.0, key));
    rates.may_keep(share.as_ref(), print)?;
    let command = Command::LeaveWaitlist { entry: id.entry };
    let answer = waitlists.flights.command_as(&flight, command, caller.admin_name(), key, deadline).await?;
    let Answer::Waitlisted { entry, place, replayed } = answer else {
        return Err(Problem::outcome_unknown());
    };
    if let Some(share) = share.filter(|_| !replayed) {
        share.count(print, 0);
    }
    Ok(grab::marked(shown(&waitlists, &flight, StatusCode::OK, &entry, place), replayed))
}

/// `GET /v1/admin/flights/{flight_id}/waitlist`: in the line's order, those that stopped waiting within a day among them.
pub async fn list(
    name: FlightName,
    _by: Admin,
    waitlists: Arc<Waitlists>,
    raw_query: String,
) -> Result<Response, Problem> {
    let mut query = Query::parse(&raw_query);
    let limit = query.limit();
    let after = query.cursor(|text| query::cursor_number(text).map(WaitlistNo));
    query.finish()?;
    let flight = waitlists.flights.flight(&name).await?;
    let deadline = waitlists.flights.deadline(None)?;
    // One more than the page shows whether there is a next one.
    let pending = flight.waitlist(after, limit + 1, deadline.decide_by);
    let Answer::Waitlist(mut entries) = waitlists.flights.outcome(pending, deadline).await.map_err(read)?
    else {
        return Err(read(Problem::outcome_unknown()));
    };
    let more = entries.len() > limit;
    entries.truncate(limit);
    let view = flight.view();
    let mut json = Json::with_capacity(ENTRY_BYTES * (entries.len() + 1));
    json.open().key("waitlist").open_list();
    for (entry, place) in &entries {
        write_entry(&mut json, &waitlists, &view.definition, entry, *place);
    }
    json.close_list();
    let next = entries.last().filter(|_| more).map(|(entry, _)| query::cursor(&entry.no.0.to_string()));
    json.key("next_cursor").text_or_null(next.as_deref()).close();
    Ok(render::response(StatusCode::OK, json))
}

/// Understands what a party wants, or names all that is wrong with it.
fn wish(value: &Value, own: Option<&CustomerId>) -> Result<WaitlistWish, Problem> {
    let mut errors = Errors::default();
    let mut fields = Fields::of(value);
    let customer = match own {
        Some(own) => {
            fields.optional("customer_id", &mut errors, text(names::customer)).or_else(|| Some(own.clone()))
        }
        None => fields.required("customer_id", &mut errors, text(names::customer)),
    };
    let seats = || whole::<u16>(1, SEATS_LIMIT_MAX.into());
    let party_size = fields.required("party_size", &mut errors, seats());
    let accept = fields.optional("accept", &mut errors, accept).unwrap_or(Accept::All);
    if let (Some(party_size), Accept::AtLeast(fewest)) = (party_size, accept)
        && fewest > party_size
    {
        errors.add("accept.at_least", format!("must not be more than party_size ({party_size})"));
    }
    let cabin_class = fields.optional("cabin_class", &mut errors, one_of(CLASSES, CabinClass::from_name));
    let expires_at = fields.optional("expires_at", &mut errors, moment);
    let client_reference = fields.optional("client_reference", &mut errors, text(names::reference));
    fields.finish(&mut errors);
    errors.check()?;
    let missing = || Problem::invalid_field("party_size", "must be given");
    Ok(WaitlistWish {
        customer: customer.ok_or_else(missing)?,
        party_size: party_size.ok_or_else(missing)?,
        accept,
        cabin_class,
        expires_at,
        client_reference,
    })
}

/// `"all_together"`, `"all"` or `{"at_least":2}`.
fn accept(value: &Value) -> Result<Accept, String> {
    let message =
        || format!("must be all_together, all, or {{\"at_least\":n}} with n from 1 to {SEATS_LIMIT_MAX}");
    match value {
        Value::Text(name) if name == "all_together" => Ok(Accept::AllTogether),
        Value::Text(name) if name == "all" => Ok(Accept::All),
        Value::Object(members) => match members.as_slice() {
            [(name, fewest)] if name == "at_least" => {
                whole::<u16>(1, SEATS_LIMIT_MAX.into())(fewest).map(Accept::AtLeast).map_err(|_| message())
            }
            _ => Err(message()),
        },
        _ => Err(message()),
    }
}

async fn find<'n>(
    waitlists: &Waitlists,
    name: &'n WaitlistName,
) -> Result<(&'n WaitlistId, FlightHandle), Problem> {
    let id = name.0.as_ref().ok_or_else(Problem::waitlist_entry_not_found)?;
    let flight =
        waitlists.flights.locate(&id.flight_id).await?.ok_or_else(Problem::waitlist_entry_not_found)?;
    Ok((id, flight))
}

/// The entry, if this caller may see it.
async fn look_up(
    waitlists: &Waitlists,
    caller: &Caller,
    id: &WaitlistId,
    flight: &FlightHandle,
    deadline: Deadline,
) -> Result<(Box<WaitlistEntry>, Option<WaitlistPlace>), Problem> {
    let owned = waitlists.flights.owned(flight);
    let pending = flight.look_up_waitlisted(id.entry, deadline.decide_by);
    match waitlists.flights.outcome(pending, deadline).await.map_err(read) {
        Ok(Answer::Waitlisted { entry, place, .. }) if caller.sees(&entry.wish.customer) => {
            Ok((entry, place))
        }
        Ok(_) => Err(Problem::waitlist_entry_not_found()),
        Err(problem) => {
            if problem.code() == Code::WaitlistEntryNotFound {
                owned.still().await?;
            }
            Err(problem)
        }
    }
}

/// Reading changes nothing, so that nothing is unknown about it.
fn read(problem: Problem) -> Problem {
    match problem.code() {
        Code::OutcomeUnknown => Problem::overloaded("the flight did not answer in time", 1),
        _ => problem,
    }
}

fn shown(
    waitlists: &Waitlists,
    flight: &FlightHandle,
    status: StatusCode,
    entry: &WaitlistEntry,
    place: Option<WaitlistPlace>,
) -> Response {
    let mut json = Json::with_capacity(ENTRY_BYTES);
    write_entry(&mut json, waitlists, &flight.view().definition, entry, place);
    render::response(status, json)
}

fn write_entry(
    json: &mut Json,
    waitlists: &Waitlists,
    definition: &FlightDefinition,
    entry: &WaitlistEntry,
    place: Option<WaitlistPlace>,
) {
    let (flight_id, ids, wish) = (&definition.flight_id, &definition.ids, &entry.wish);
    json.open();
    json.key("waitlist_id").text(&WaitlistId::of(flight_id, ids, entry.no).to_string());
    json.key("flight_id").text(flight_id.as_str());
    json.key("customer_id").text(wish.customer.as_str());
    json.key("party_size").number(wish.party_size);
    json.key("accept");
    match wish.accept {
        Accept::AllTogether => json.text("all_together"),
        Accept::All => json.text("all"),
        Accept::AtLeast(fewest) => json.open().key("at_least").number(fewest).close(),
    };
    json.key("cabin_class").text_or_null(wish.cabin_class.map(CabinClass::as_str));
    json.key("status").text(entry.status.as_str());
    json.key("position");
    match place {
        Some(place) => json.number(place.parties_ahead + 1),
        None => json.null(),
    };
    json.key("explained");
    match place {
        Some(WaitlistPlace { parties_ahead, seats_ahead }) => {
            json.open().key("parties_ahead").number(parties_ahead);
            json.key("seats_ahead").number(seats_ahead).close()
        }
        None => json.null(),
    };
    let order_id = match entry.status {
        WaitlistStatus::Served(order) => Some(OrderId::of(flight_id, ids, order).to_string()),
        WaitlistStatus::Waiting | WaitlistStatus::Left | WaitlistStatus::Expired => None,
    };
    json.key("order_id").text_or_null(order_id.as_deref());
    json.key("created_at").time(entry.created_at).key("updated_at").time(entry.updated_at);
    json.key("expires_at").time_or_null(wish.expires_at);
    if let Some(reference) = &wish.client_reference {
        json.key("client_reference").text(reference.as_str());
    }
    json.key("seq").number(entry.changed_by.0);
    json.key("durability").text(waitlists.flights.durability.as_str()).close();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(body: &str) -> Result<Accept, Problem> {
        wish(&fields::parse(body.as_bytes(), false).unwrap(), None).map(|wish| wish.accept)
    }

    #[test]
    fn what_a_party_accepts_is_a_word_or_a_number_of_seats() {
        for (text, expected) in [
            ("\"all_together\"", Accept::AllTogether),
            ("\"all\"", Accept::All),
            ("null", Accept::All),
            ("{\"at_least\":2}", Accept::AtLeast(2)),
        ] {
            let body = format!("{{\"customer_id\":\"u\",\"party_size\":3,\"accept\":{text}}}");
            assert_eq!(accepted(&body).unwrap(), expected, "{text}");
        }
        for text in
            ["\"some\"", "2", "{}", "{\"at_least\":0}", "{\"at_least\":4}", "{\"at_least\":1,\"x\":1}"]
        {
            let body = format!("{{\"customer_id\":\"u\",\"party_size\":3,\"accept\":{text}}}");
            assert_eq!(accepted(&body).unwrap_err().code(), Code::InvalidRequest, "{text}");
        }
    }
}
