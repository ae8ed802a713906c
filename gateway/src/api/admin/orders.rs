//! `GET /v1/admin/orders`: all orders, filtered and paged, as JSON or as a table.
//! Never changes one.

use std::sync::Arc;

use farerush_engine::flight::{FlightId, OrderStatus};
use farerush_persistence::store::{Asker, OrderFilter, StoredOrder};
use warp::reply::Response;

use crate::api::orders::{self, OrderPage};
use crate::parts::auth::Admin;
use crate::parts::sales::Sales;
use crate::wire::csv_text::{Accepts, Format, Table, json_response, link_next};
use crate::wire::names;
use crate::wire::problem::Problem;
use crate::wire::query::Query;

/// The columns of the table.
const COLUMNS: [&str; 15] = [
    "order_id",
    "record_locator",
    "flight_id",
    "customer_id",
    "status",
    "seats",
    "quantity",
    "total",
    "currency",
    "hold_expires_at",
    "created_at",
    "updated_at",
    "client_reference",
    "payment_reference",
    "seq",
];
/// Characters of a record locator.
const LOCATOR_CHARS: usize = 6;

/// `GET /v1/admin/orders`
pub async fn list(
    _by: Admin,
    sales: Arc<Sales>,
    raw_query: String,
    accepts: Option<Accepts>,
) -> Result<Response, Problem> {
    let mut query = Query::parse(&raw_query);
    let format = Format::take(&mut query, accepts);
    let locator = |text: &str| {
        let is_one = text.len() == LOCATOR_CHARS && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let message = "must be six letters and digits, such as K7M2QX";
        if is_one { Ok(text.to_ascii_uppercase()) } else { Err(message) }
    };
    let filter = OrderFilter {
        customer: query.take("customer_id", names::customer),
        flight_id: query.take("flight_id", FlightId::new),
        status: query.take("status", |name| {
            OrderStatus::from_name(name).ok_or("must be one of held, confirmed, cancelled, expired")
        }),
        record_locator: query.take("record_locator", locator),
        created_from: query.moment("created_from"),
        created_to: query.moment("created_to"),
    };
    let limit = query.limit();
    let after = query.cursor(orders::read_place);
    query.finish()?;
    let page = OrderPage::read(&sales, &filter, after.as_ref(), limit, Asker::Admin).await?;
    match format {
        Format::Json => Ok(json_response(page.json(&sales).await)),
        Format::Csv => {
            let mut response = as_table(&page.orders);
            link_next(&mut response, "/v1/admin/orders", &raw_query, page.next.as_deref());
            Ok(response)
        }
    }
}

fn as_table(orders: &[StoredOrder]) -> Response {
    let mut table = Table::new(&COLUMNS);
    for StoredOrder { order_id, record_locator, currency, order } in orders {
        let seats: Vec<String> = order.seats.iter().map(ToString::to_string).collect();
        table.plain(order_id).plain(record_locator).plain(&order_id.flight_id);
        table.text(order.customer.as_str()).plain(order.status.as_str());
        table.plain(seats.join(" ")).plain(seats.len()).plain(order.total).plain(currency.as_str());
        table.time(order.hold_expires_at).time(Some(order.created_at)).time(Some(order.updated_at));
        table.text_or_empty(order.client_reference().map(|reference| reference.as_str()));
        table.text_or_empty(order.payment_reference().map(|reference| reference.as_str()));
        table.plain(order.changed_by.0).end();
    }
    table.response("orders")
}
