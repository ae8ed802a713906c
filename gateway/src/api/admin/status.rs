//! `GET /v1/admin/status`: how far journal and store have come with every flight, and how they are doing.
//! Never changes anything.

use std::sync::Arc;

use farerush_engine::flight::FlightId;
use warp::http::StatusCode;
use warp::reply::Response;

use crate::api::admin::together;
use crate::api::ops::{write_journal, write_ownership, write_store};
use crate::base::json::Json;
use crate::base::time::millis;
use crate::parts::auth::Admin;
use crate::parts::figures::Figures;
use crate::parts::other_servers::about::About;
use crate::parts::other_servers::others::Others;
use crate::wire::problem::Problem;
use crate::wire::query::Query;
use crate::wire::render;

/// Most flights that nobody serves that are named.
const UNSERVED_NAMED_MAX: usize = 100;

/// `GET /v1/admin/status`
pub async fn show(
    _by: Admin,
    figures: Arc<Figures>,
    others: Others,
    raw_query: String,
) -> Result<Response, Problem> {
    let mut query = Query::parse(&raw_query);
    let is_of_this = query.take("server", |text| if text == "this" { Ok(()) } else { Err("must be this") });
    query.finish()?;
    let own = of_this_server(&figures);
    if is_of_this.is_some() || others.are_none() {
        return Ok(render::response(StatusCode::OK, own));
    }
    let together = together::status(&own, &others.own_name(), &others).await;
    Ok(render::response(StatusCode::OK, together.unwrap_or(own)))
}

/// What this server says of itself.
pub fn of_this_server(figures: &Figures) -> Vec<u8> {
    let (health, flights_here) = (&figures.health, &figures.health.flights);
    let engine = flights_here.engine.status();
    let behind = health.lists.write_behind.status();
    let mut json = Json::with_capacity(2048);
    json.open().key("version").text(env!("CARGO_PKG_VERSION"));
    json.key("up_ms").number(millis(figures.started.elapsed()));
    json.key("durability").text(flights_here.durability.as_str());
    json.key("in_flight").number(engine.in_flight);
    json.key("rounds").number(engine.rounds).key("events").number(engine.events);
    json.key("journal");
    write_journal(&mut json, health, &engine.journal);
    json.key("store");
    write_store(&mut json, health);
    json.key("write_behind").open();
    json.key("backlog_events").number(behind.backlog_events);
    json.key("backlog_bytes").number(behind.backlog_bytes as u64);
    json.key("backlog_bytes_max").number(behind.backlog_bytes_max as u64);
    json.key("flights_behind").number(behind.flights_behind as u64);
    json.key("reread_events").number(behind.reread_events);
    json.key("last_error").text_or_null(behind.last_error.as_deref());
    json.key("stuck").open_list();
    for (flight_id, reason) in &behind.stuck {
        json.open().key("flight_id").plain(flight_id).key("reason").text(reason).close();
    }
    json.close_list().close();
    json.key("webhooks");
    write_webhooks(&mut json, figures);
    json.key("ownership");
    write_ownership(&mut json, flights_here.other_servers.ownership().uncertain_for());
    write_members(&mut json, figures);
    json.key("flights").open_list();
    let mut flights = flights_here.engine.flights();
    // What another process has by now is not shown as if it were still this one's.
    flights.retain(|flight| flights_here.engine.has(flight.flight_id()));
    flights.sort_unstable_by(|a, b| a.flight_id().cmp(b.flight_id()));
    for flight in &flights {
        let status = flight.status();
        let stored =
            health.lists.write_behind.stored(flight.flight_id()).unwrap_or_default().max(status.stored_seq);
        json.open().key("flight_id").plain(flight.flight_id());
        json.key("seq").number(status.seq.0).key("durable_seq").number(status.durable_seq.0);
        json.key("stored_seq").number(stored.0).key("epoch").number(status.epoch.0);
        json.key("queue").number(status.queued).key("holds").number(status.holds);
        json.key("recovered");
        write_recovered(&mut json, figures, flight.flight_id());
        json.close();
    }
    json.close_list();
    json.key("flights_elsewhere")
        .number(flights_here.other_servers.flights_elsewhere(&flights_here.engine) as u64);
    let coming = flights_here.other_servers.arrivals().left_of_start();
    json.key("flights_coming_up").number(coming as u64);
    let unserved = flights_here.other_servers.unserved();
    json.key("flights_unserved").number(unserved.len() as u64);
    json.key("unserved_flights").open_list();
    for flight_id in unserved.iter().take(UNSERVED_NAMED_MAX) {
        json.plain(flight_id);
    }
    json.close_list();
    json.key("stopped_flights").open_list();
    let mut stopped = engine.quarantined;
    stopped.sort_unstable();
    for (flight_id, reason) in &stopped {
        json.open().key("flight_id").plain(flight_id).key("reason").text(reason).close();
    }
    json.close_list().close();
    json.into_bytes()
}

/// The servers that share the journal, this one among them; none where nobody can.
fn write_members(json: &mut Json, figures: &Figures) {
    json.key("members").open_list();
    if let Some(lease) = figures.health.flights.other_servers.lease() {
        let (own, mut members) = lease.all();
        members.sort_unstable_by(|one, other| one.life.cmp(&other.life));
        for member in members {
            json.open().key("server").text(&About::read(&member.about).server).key("life").text(&member.life);
            json.key("lease_left_ms").number(millis(member.lease_left));
            json.key("is_this").boolean(member.life == own).close();
        }
    }
    json.close_list();
}

/// How webhooks are doing; null if none are sent.
fn write_webhooks(json: &mut Json, figures: &Figures) {
    let Some(status) = figures.webhooks.as_ref().map(|webhooks| webhooks.status()) else {
        json.null();
        return;
    };
    let state = match (status.is_away, status.failing_for) {
        (true, _) => "away",
        (false, Some(_)) => "failing",
        (false, None) => "delivering",
    };
    json.open().key("receiver").text(&status.host).key("state").text(state);
    json.key("failing_ms").number(status.failing_for.map_or(0, millis));
    json.key("last_error").text_or_null(status.last_error.as_deref());
    json.key("lag_events")
        .number(status.lag_events)
        .key("flights_behind")
        .number(status.flights_behind as u64);
    json.key("oldest").time_or_null(status.oldest);
    json.key("lost_events").number(status.lost_events).key("deliveries").open();
    for (outcome, count) in status.deliveries {
        json.key(outcome).number(count);
    }
    json.close().close();
}

/// How a flight came up; null if it was created since the start.
fn write_recovered(json: &mut Json, figures: &Figures, flight_id: &FlightId) {
    let Some(note) = figures.recoveries.of(flight_id) else {
        json.null();
        return;
    };
    json.open().key("from").text(note.basis.as_str()).key("seq").number(note.seq.0);
    json.key("journal_was_empty").boolean(note.journal_was_empty);
    // Nobody can count what is gone: only that nothing was lost can be known.
    json.key("lost_events").text(if note.journal_was_empty { "unknown" } else { "none" });
    json.key("took_ms").number(millis(note.took)).close();
}
