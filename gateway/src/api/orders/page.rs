//! A page of the list of orders, read from the store.
//! Never decides who may see it.

use std::time::Duration;

use farerush_engine::flight::{FlightId, OrderNo, Timestamp};
use farerush_persistence::store::{Asker, Listed, OrderFilter, OrderPlace, StoredOrder};

use crate::base::json::Json;
use crate::parts::sales::Sales;
use crate::wire::deadline::Deadline;
use crate::wire::problem::Problem;
use crate::wire::query;
use crate::wire::render;

/// How long a list waits for the store to have what the journal has.
const CATCH_UP: Duration = Duration::from_secs(1);

/// A page of the list of orders.
pub(crate) struct OrderPage {
    pub(crate) orders: Vec<StoredOrder>,
    /// The next page's cursor; none on the last one.
    pub(crate) next: Option<String>,
    up_to_date: bool,
    /// Until when the rest has to be found out.
    deadline: Deadline,
}

impl OrderPage {
    pub(crate) async fn read(
        sales: &Sales,
        filter: &OrderFilter,
        after: Option<&OrderPlace>,
        limit: usize,
        asker: Asker,
    ) -> Result<Self, Problem> {
        sales.lists.can_be_read()?;
        let _turn = sales.lists.reads.from_store(asker)?;
        let deadline = sales.flights.deadline(None)?;
        let patience = CATCH_UP.min(deadline.left());
        let up_to_date = sales.lists.caught_up(filter.flight_id.as_ref(), patience).await;
        // One more than the page shows whether there is a next one.
        let read = sales.lists.store.list_orders(filter, after, limit + 1, asker, deadline.left());
        let Listed { mut orders, is_newest } = sales.lists.from_store(deadline, read).await?;
        let more = orders.len() > limit;
        orders.truncate(limit);
        let next = orders.last().filter(|_| more).map(|stored| write_place(&stored.place()));
        Ok(Self { orders, next, up_to_date: up_to_date && is_newest, deadline })
    }

    pub(crate) async fn json(&self, sales: &Sales) -> Json {
        let mut json = Json::with_capacity(640 * (self.orders.len() + 1));
        json.open().key("orders").open_list();
        for stored in &self.orders {
            write_stored(&mut json, sales, stored, self.deadline).await;
        }
        json.close_list().key("next_cursor").text_or_null(self.next.as_deref());
        json.key("up_to_date").boolean(self.up_to_date).close();
        json
    }
}

fn write_place(place: &OrderPlace) -> String {
    query::cursor(&format!("{}:{}:{}", place.created_at.as_millis(), place.flight_id, place.order.0))
}

pub(crate) fn read_place(text: &str) -> Option<OrderPlace> {
    let mut parts = text.split(':');
    let created_at = Timestamp::from_millis(query::cursor_millis(parts.next()?)?);
    let flight_id = FlightId::new(parts.next()?).ok()?;
    let order = OrderNo(query::cursor_number(parts.next()?)?);
    parts.next().is_none().then_some(OrderPlace { created_at, flight_id, order })
}

pub(super) async fn write_stored(json: &mut Json, sales: &Sales, stored: &StoredOrder, deadline: Deadline) {
    // An order is shown without its flight's cabins rather than not at all.
    let definition =
        tokio::time::timeout_at(deadline.decide_by.into(), sales.flights.definition_for(stored)).await;
    let definition = definition.unwrap_or_default();
    let order_id = stored.order_id.to_string();
    let frame = render::OrderFrame {
        order_id: &order_id,
        record_locator: &stored.record_locator,
        flight_id: stored.order_id.flight_id.as_str(),
        currency: stored.currency.as_str(),
        cabins: definition.as_ref().map_or(&[], |definition| &definition.cabins),
        durability: sales.flights.durability,
    };
    render::write_order(json, &stored.order, &frame);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::query::Query;

    #[test]
    fn a_place_in_the_list_reads_back() {
        let place = OrderPlace {
            created_at: Timestamp::from_millis(17),
            flight_id: FlightId::new("FR101-20261224").unwrap(),
            order: OrderNo(9),
        };
        let mut query = Query::parse(&format!("cursor={}", write_place(&place)));
        assert_eq!(query.cursor(read_place), Some(place));
    }
}
