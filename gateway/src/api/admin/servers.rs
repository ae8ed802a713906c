//! `/v1/admin/servers`: the servers that share flights; which of them give theirs away; at which one a flight is to be.
//! Never moves a flight that is another server's: it is asked itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use farerush_engine::journal::JournalError;
use warp::http::StatusCode;
use warp::reply::Response;

use crate::api::admin::flights::empty;
use crate::base::errors::in_full;
use crate::base::json::Json;
use crate::base::time::millis;
use crate::parts::auth::Admin;
use crate::parts::other_servers::about::About;
use crate::parts::other_servers::actions::{Action, Deed};
use crate::parts::other_servers::lease::Lease;
use crate::parts::other_servers::members::Server;
use crate::parts::other_servers::{Upkeep, handovers};
use crate::parts::sales::Sales;
use crate::wire::body::Received;
use crate::wire::fields::{self, Errors, Fields};
use crate::wire::names::FlightName;
use crate::wire::problem::{Code, Problem};
use crate::wire::query::Query;
use crate::wire::render;

/// How long a request to drain waits for flights to go; the rest goes after it.
const DRAIN_WAIT: Duration = Duration::from_secs(3);
/// So many actions of admins are shown, the newest.
const ACTIONS_SHOWN: usize = 50;
/// How long Redis is waited for to say what they are.
const ACTIONS_WAIT: Duration = Duration::from_secs(1);

/// `GET /v1/admin/servers`
pub async fn list(_by: Admin, upkeep: Arc<Upkeep>, raw_query: String) -> Result<Response, Problem> {
    Query::parse(&raw_query).finish()?;
    Ok(shown(&upkeep).await)
}

async fn shown(upkeep: &Upkeep) -> Response {
    let mut json = Json::with_capacity(4096);
    json.open().key("servers").open_list();
    if let Some(lease) = upkeep.other_servers.lease() {
        let (own, members) = lease.all();
        let mut members: Vec<_> = members.iter().map(|member| (About::read(&member.about), member)).collect();
        members.sort_unstable_by(|one, other| one.0.server.cmp(&other.0.server));
        for (about, member) in members {
            json.open().key("server").text(&about.server).key("life").text(&member.life);
            json.key("is_this").boolean(member.life == own);
            json.key("lease_left_ms").number(millis(member.lease_left));
            json.key("takes_flights").boolean(!about.leaves);
            json.key("peer_address").text_or_null(about.peer.map(|peer| peer.to_string()).as_deref());
            json.key("flights").number(about.flights as u64);
            json.key("under_way").number(about.under_way);
            json.key("version").text_or_null(Some(&*about.version).filter(|version| !version.is_empty()));
            json.close();
        }
    }
    json.close_list();
    json.key("actions");
    match actions(upkeep).await {
        None => drop(json.null()),
        Some(actions) => {
            json.open_list();
            for action in actions {
                json.open().key("at").text(&action.at).key("by").text(&action.by);
                json.key("action").text(action.action.as_str());
                json.key("server").text_or_null(action.server.as_deref());
                json.key("flight_id").text_or_null(action.flight_id.as_deref()).close();
            }
            json.close_list();
        }
    }
    json.close();
    render::passing_response(StatusCode::OK, json)
}

/// What admins have asked for of late; `None` if that cannot be read.
async fn actions(upkeep: &Upkeep) -> Option<Vec<Action>> {
    let Some(lease) = upkeep.other_servers.lease().cloned() else { return Some(Vec::new()) };
    let read = tokio::task::spawn_blocking(move || lease.actions(ACTIONS_SHOWN));
    tokio::time::timeout(ACTIONS_WAIT, read).await.ok()?.ok()?.ok()
}

/// Notes what is about to be done; what cannot be noted is not done.
async fn note(lease: &Arc<Lease>, action: Action) -> Result<(), Problem> {
    let lease = lease.clone();
    let noted = tokio::task::spawn_blocking(move || lease.note_action(&action)).await;
    noted.unwrap_or_else(|error| Err(panicked(&error))).map_err(|error| {
        tracing::warn!(error = in_full(&error), "an admin's action cannot be noted, and is not done");
        Problem::overloaded("Redis does not take it just now", 1)
    })
}

/// `POST /v1/admin/servers/{server}/drain`
pub async fn drain(
    server: String,
    by: Admin,
    upkeep: Arc<Upkeep>,
    body: Received,
) -> Result<Response, Problem> {
    turn(&server, &by, &upkeep, body, true).await
}

/// `POST /v1/admin/servers/{server}/resume`
pub async fn resume(
    server: String,
    by: Admin,
    upkeep: Arc<Upkeep>,
    body: Received,
) -> Result<Response, Problem> {
    turn(&server, &by, &upkeep, body, false).await
}

async fn turn(
    server: &str,
    by: &Admin,
    upkeep: &Arc<Upkeep>,
    body: Received,
    leaves: bool,
) -> Result<Response, Problem> {
    empty(body)?;
    let lease = shared(upkeep)?;
    // Others are asked themselves: it is handed on to them.
    if named(lease, server)?.life != lease.life() {
        return Err(Problem::elsewhere("that is to be done"));
    }
    tracing::info!(server, by = %by.name, leaves, "the server is to give its flights away, or to take some again");
    let deed = if leaves { Deed::Drain } else { Deed::Resume };
    note(lease, Action::new(upkeep.engine.clock().now(), &by.name, deed, Some(server), None)).await?;
    if leaves {
        handovers::give_all_away(upkeep, Instant::now() + DRAIN_WAIT).await;
    } else {
        let lease = lease.clone();
        let said = tokio::task::spawn_blocking(move || lease.set_leaves(false)).await;
        said.map_err(|_| Problem::outcome_unknown())?;
    }
    Ok(shown(upkeep).await)
}

/// `POST /v1/admin/flights/{flight_id}/move`
pub async fn move_flight(
    name: FlightName,
    by: Admin,
    upkeep: Arc<Upkeep>,
    body: Received,
    sales: Arc<Sales>,
) -> Result<Response, Problem> {
    let value = fields::parse(&body?, false)?;
    let mut errors = Errors::default();
    let mut fields = Fields::of(&value);
    let server =
        fields.clearable("server", &mut errors, fields::text(|text| Ok::<_, String>(text.to_owned())));
    fields.finish(&mut errors);
    errors.check()?;
    let server = server.ok_or_else(|| Problem::invalid_field("server", "must be a name, or null"))?;
    let lease = shared(&upkeep)?;
    let to = server.as_deref().map(|server| named(lease, server)).transpose()?;
    let flight_id = sales.flights.flight(&name).await?.flight_id().clone();
    tracing::info!(flight = %flight_id, by = %by.name, ?server, "the flight is to be at a server");
    let now = sales.flights.now();
    note(lease, Action::new(now, &by.name, Deed::Move, server.as_deref(), Some(&flight_id))).await?;
    let (pins, pinned, at) = (lease.clone(), flight_id.clone(), server.clone());
    let pin = tokio::task::spawn_blocking(move || pins.pin(&pinned, at.as_deref())).await;
    pin.unwrap_or_else(|error| Err(panicked(&error))).map_err(|error| {
        tracing::warn!(error = in_full(&error), "a flight cannot be pinned");
        Problem::overloaded("Redis does not take it just now", 1)
    })?;
    if let Some(Server { life, about }) = to.filter(|to| to.life != lease.life()) {
        let Some(peer) = about.peer else {
            return Err(Problem::overloaded(
                "nothing is handed over to that server: it has no peer_listen",
                60,
            ));
        };
        if handovers::give(&upkeep, peer, std::slice::from_ref(&flight_id)).await == 0 {
            tracing::warn!(flight = %flight_id, life, "the flight was not taken; it is tried again");
            return Err(Problem::overloaded(
                "the other server does not take it just now; it is tried again",
                1,
            ));
        }
    }
    let mut json = Json::default();
    json.open().key("flight_id").plain(&flight_id).key("server").text_or_null(server.as_deref()).close();
    Ok(render::response(StatusCode::OK, json))
}

fn panicked(error: &tokio::task::JoinError) -> JournalError {
    JournalError::Stopped { what: error.to_string(), source: None }
}

fn shared(upkeep: &Upkeep) -> Result<&Arc<Lease>, Problem> {
    upkeep.other_servers.lease().ok_or_else(|| {
        Problem::new(
            Code::NotFound,
            "This server shares its flights with nobody: that takes a Redis as journal.",
        )
    })
}

fn named(lease: &Lease, name: &str) -> Result<Server, Problem> {
    let servers = lease.servers();
    servers.iter().find(|server| server.about.server == name).cloned().ok_or_else(|| {
        Problem::new(
            Code::NotFound,
            "No server is called so. GET /v1/admin/servers lists those that there are.",
        )
    })
}
