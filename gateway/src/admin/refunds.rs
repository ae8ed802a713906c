//! `GET /v1/admin/flights/{flight_id}/refunds`, and closing a flight for good: who gets money back.
//! Never moves money, and never decides whether an order may be cancelled.

use std::sync::Arc;
use std::time::Duration;

use farerush_engine::actor::{Answer, FlightHandle};
use farerush_engine::flight::{AdminName, Command, IdempotencyKey, OrderNo, OrderRef, Seq};
use farerush_persistence::store::Refund;
use futures_util::future::join_all;
use warp::http::StatusCode;
use warp::reply::Response;

use crate::app::{App, FlightName, store_away};
use crate::auth::Admin;
use crate::csv_text::{Accepts, Format, Table, json_response, link_next};
use crate::json::Json;
use crate::problem::{Code, Problem};
use crate::query::{self, PAGE_DEFAULT, Query};
use crate::{admin::manifest, render};

/// How long the list waits for the store to have what the journal has.
const CATCH_UP: Duration = Duration::from_secs(5);
/// So many orders are cancelled at the same time: few enough to leave the flight room for others.
const CANCELLED_AT_ONCE: usize = 256;
/// So often the orders of a closed flight are looked at again before that is given up: none can come any more, but some
/// may have been on their way.
const LOOKS_MAX: usize = 4;
/// The columns of the table.
const COLUMNS: [&str; 11] = [
    "order_id",
    "record_locator",
    "customer_id",
    "seats",
    "amount",
    "currency",
    "payment_reference",
    "reason",
    "cancelled_at",
    "flight_id",
    "seq",
];

/// `GET /v1/admin/flights/{flight_id}/refunds`
pub async fn list(
    name: FlightName,
    _by: Admin,
    app: Arc<App>,
    raw_query: String,
    accepts: Option<Accepts>,
) -> Result<Response, Problem> {
    let mut query = Query::parse(&raw_query);
    let format = Format::take(&mut query, accepts);
    let limit = query.limit();
    let after = query.cursor(|text| {
        let (seq, order) = text.split_once(':')?;
        Some((Seq(seq.parse().ok()?), OrderNo(order.parse().ok()?)))
    });
    query.finish()?;
    let flight = app.flight(&name).await?;
    let page = Page::read(&app, &flight, after, limit).await?;
    if format == Format::Csv {
        let next = page.next.clone();
        let mut response = page.table(&flight);
        let path = format!("/v1/admin/flights/{}/refunds", flight.flight_id());
        link_next(&mut response, &path, &raw_query, next.as_deref());
        return Ok(response);
    }
    let mut json = Json::with_capacity(320 * (page.refunds.len() + 1));
    json.open();
    page.write(&mut json, &flight);
    json.close();
    Ok(json_response(json))
}

/// Closes a flight's sale and cancels all its live orders, one event each; answers with how many, and with the first
/// page of its refunds. Done again after an answer was lost, it cancels what is left.
pub(crate) async fn close_for_good(
    app: &App,
    name: &FlightName,
    by: AdminName,
    key: Option<IdempotencyKey>,
) -> Result<Response, Problem> {
    let flight = app.flight(name).await?;
    let by = Some(by);
    app.command_as(&flight, Command::CloseSale, by.clone(), key, app.deadline(None)?).await?;
    let mut cancelled: u64 = 0;
    for _ in 0..LOOKS_MAX {
        let live = manifest::live_orders(app, &flight).await?;
        if live.orders.is_empty() {
            break;
        }
        let salt = live.definition.salt;
        let refs: Vec<OrderRef> = live
            .orders
            .iter()
            .map(|order| OrderRef { no: order.no, tag: salt.order_tag(order.no) })
            .collect();
        for some in refs.chunks(CANCELLED_AT_ONCE) {
            let asking = some.iter().map(|order| cancel(app, &flight, *order, by.clone()));
            for outcome in join_all(asking).await {
                cancelled += u64::from(outcome?);
            }
        }
    }
    let page = Page::read(app, &flight, None, PAGE_DEFAULT).await?;
    let mut json = Json::with_capacity(320 * (page.refunds.len() + 1));
    json.open().key("cancelled").number(cancelled);
    page.write(&mut json, &flight);
    json.close();
    Ok(render::response(StatusCode::OK, json))
}

/// Whether the order was cancelled by this; one that had ended meanwhile was not.
async fn cancel(
    app: &App,
    flight: &FlightHandle,
    order: OrderRef,
    by: Option<AdminName>,
) -> Result<bool, Problem> {
    let deadline = app.deadline(None)?;
    match app.command_as(flight, Command::Cancel { order }, by, None, deadline).await {
        Ok(Answer::Order { .. }) => Ok(true),
        Ok(_) => Ok(false),
        Err(problem) => match problem.code() {
            Code::HoldExpired | Code::OrderNotChangeable | Code::OrderNotFound => Ok(false),
            _ => Err(problem),
        },
    }
}

/// A page of refunds.
struct Page {
    refunds: Vec<Refund>,
    next: Option<String>,
    up_to_date: bool,
}

impl Page {
    async fn read(
        app: &App,
        flight: &FlightHandle,
        after: Option<(Seq, OrderNo)>,
        limit: usize,
    ) -> Result<Self, Problem> {
        app.lists_can_be_read()?;
        let up_to_date = app.store_caught_up(CATCH_UP).await;
        // One more than the page shows whether there is a next one.
        let read = app.store.refunds(flight.flight_id(), after, limit + 1).await;
        let mut refunds = read.map_err(|error| store_away(&error))?;
        let more = refunds.len() > limit;
        refunds.truncate(limit);
        let place = |last: &Refund| query::cursor(&format!("{}:{}", last.seq.0, last.order_id.order.no.0));
        let next = refunds.last().filter(|_| more).map(place);
        Ok(Self { refunds, next, up_to_date })
    }

    fn write(&self, json: &mut Json, flight: &FlightHandle) {
        json.key("flight_id").plain(flight.flight_id()).key("refunds").open_list();
        for refund in &self.refunds {
            json.open().key("order_id").plain(&refund.order_id);
            json.key("record_locator").text(&refund.record_locator);
            json.key("customer_id").text(refund.customer.as_str());
            json.key("seats").open_list();
            for seat in &refund.seats {
                json.plain(seat);
            }
            json.close_list().key("amount").number(refund.amount);
            json.key("currency").text(refund.currency.as_str());
            json.key("payment_reference")
                .text_or_null(refund.payment_reference.as_ref().map(|it| it.as_str()));
            json.key("reason").text(refund.reason.as_str());
            json.key("cancelled_at").time(refund.at).key("seq").number(refund.seq.0).close();
        }
        json.close_list().key("next_cursor").text_or_null(self.next.as_deref());
        json.key("up_to_date").boolean(self.up_to_date);
    }

    fn table(self, flight: &FlightHandle) -> Response {
        let mut table = Table::new(&COLUMNS);
        for refund in &self.refunds {
            let seats: Vec<String> = refund.seats.iter().map(ToString::to_string).collect();
            table.plain(&refund.order_id).plain(&refund.record_locator).text(refund.customer.as_str());
            table.plain(seats.join(" ")).plain(refund.amount).plain(refund.currency.as_str());
            table.text_or_empty(refund.payment_reference.as_ref().map(|it| it.as_str()));
            table.plain(refund.reason.as_str()).time(Some(refund.at));
            table.plain(flight.flight_id()).plain(refund.seq.0).end();
        }
        table.response(&format!("refunds-{}", flight.flight_id()))
    }
}
