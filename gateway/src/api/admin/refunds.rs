//! `GET /v1/admin/flights/{flight_id}/refunds`, and closing a flight for good: who gets money back.
//! Never moves money, and never decides whether an order may be cancelled.

use std::sync::Arc;
use std::time::Duration;

use farerush_engine::actor::{Answer, FlightHandle};
use farerush_engine::flight::{AdminName, Command, IdempotencyKey, OrderNo, Seq};
use farerush_persistence::store::{Asker, Refund};
use warp::http::StatusCode;
use warp::reply::Response;

use crate::api::grab;
use crate::base::json::Json;
use crate::parts::auth::Admin;
use crate::parts::sales::Sales;
use crate::wire::csv_text::{Accepts, Format, Table, json_response, link_next};
use crate::wire::names::FlightName;
use crate::wire::problem::Problem;
use crate::wire::query::{self, PAGE_DEFAULT, Query};
use crate::wire::render;

/// How long the list waits for the store to have what the journal has.
const CATCH_UP: Duration = Duration::from_secs(5);
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
    sales: Arc<Sales>,
    raw_query: String,
    accepts: Option<Accepts>,
) -> Result<Response, Problem> {
    let mut query = Query::parse(&raw_query);
    let format = Format::take(&mut query, accepts);
    let limit = query.limit();
    let after = query.cursor(|text| {
        let (seq, order) = text.split_once(':')?;
        Some((Seq(query::cursor_number(seq)?), OrderNo(query::cursor_number(order)?)))
    });
    query.finish()?;
    let flight = sales.flights.flight(&name).await?;
    let page = RefundPage::read(&sales, &flight, after, limit).await?;
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

/// Closes a flight's sale and cancels all its live orders, by one event; answers with how many, and with the first page
/// of the flight's refunds up to then. Repeated under its key, it answers the same and does nothing.
pub(crate) async fn close_for_good(
    sales: &Sales,
    name: &FlightName,
    by: AdminName,
    key: Option<IdempotencyKey>,
) -> Result<Response, Problem> {
    let flight = sales.flights.flight(name).await?;
    let asked = sales
        .flights
        .command_as(&flight, Command::CloseForGood, Some(by), key, sales.flights.deadline(None)?)
        .await?;
    let Answer::Closed { seq, cancelled, replayed } = asked else { return Err(Problem::outcome_unknown()) };
    // It is done, and durable: a store that is away only keeps the list from being shown with it.
    let page = RefundPage::read(sales, &flight, None, PAGE_DEFAULT).await;
    let mut page = page.unwrap_or_else(|_| RefundPage { refunds: Vec::new(), next: None, up_to_date: false });
    let to_come = page.refunds.len();
    page.refunds.retain(|refund| refund.seq <= seq);
    if page.refunds.len() < to_come {
        page.next = None;
    }
    let mut json = Json::with_capacity(320 * (page.refunds.len() + 1));
    json.open().key("cancelled").number(cancelled);
    page.write(&mut json, &flight);
    json.close();
    Ok(grab::marked(render::response(StatusCode::OK, json), replayed))
}

/// A page of refunds.
struct RefundPage {
    refunds: Vec<Refund>,
    next: Option<String>,
    up_to_date: bool,
}

impl RefundPage {
    async fn read(
        sales: &Sales,
        flight: &FlightHandle,
        after: Option<(Seq, OrderNo)>,
        limit: usize,
    ) -> Result<Self, Problem> {
        sales.lists.can_be_read()?;
        let _turn = sales.lists.reads.from_store(Asker::Admin)?;
        let deadline = sales.flights.deadline(None)?;
        let patience = CATCH_UP.min(deadline.left());
        let up_to_date = sales.lists.caught_up(Some(flight.flight_id()), patience).await;
        // One more than the page shows whether there is a next one.
        let read = sales.lists.store.refunds(flight.flight_id(), after, limit + 1);
        let mut refunds = sales.lists.from_store(deadline, read).await?;
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
