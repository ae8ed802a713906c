//! Which index each filter of the list of orders is read by, as the databases themselves say it, on many orders.
//! `FARERUSH_TEST_PLAN_ROWS` says how many (20,000; a million takes a minute).

mod store_support;

use farerush_engine::flight::{CustomerId, OrderNo, OrderStatus, Timestamp};
use farerush_persistence::store::{OrderFilter, OrderPlace};
use store_support::{Life, TestStore, id, stores};

/// When the first one was placed; each further one comes a second later.
const BEGAN: i64 = 1_700_000_000_000;
const COLUMNS: &str = "order_id, record_locator, customer_id, status, seats, quantity, total, currency, created_at, \
                       updated_at, changed_by";

fn rows() -> u64 {
    let given = std::env::var("FARERUSH_TEST_PLAN_ROWS").ok();
    given.map_or(20_000, |text| text.parse().expect("FARERUSH_TEST_PLAN_ROWS is a number"))
}

/// Doubles one order until there are enough, and then tells them apart: few are held, ten of each customer.
async fn fill(test: &TestStore) {
    let mut life = Life::new("FR1");
    life.grab("u", 1);
    test.store.flush(&[life.all(1)]).await.unwrap();
    let mut beside = test.beside().await;
    beside.run("UPDATE orders SET order_no = 1").await;
    let mut there = 1;
    while there < rows() {
        let copy = format!(
            "INSERT INTO orders (flight_id, order_no, {COLUMNS}) SELECT flight_id, order_no + {there}, {COLUMNS} FROM orders"
        );
        there += beside.run_text(&copy).await;
    }
    let (locator, customer, flight) = match test.name {
        "sqlite" => ("printf('%06X', order_no)", "'c' || (order_no / 10)", "'FR' || (order_no % 20)"),
        _ => ("LPAD(HEX(order_no), 6, '0')", "CONCAT('c', order_no DIV 10)", "CONCAT('FR', order_no % 20)"),
    };
    let tell_apart = format!(
        "UPDATE orders SET record_locator = {locator}, customer_id = {customer}, flight_id = {flight}, \
         created_at = {BEGAN} + 1000 * order_no, status = CASE WHEN order_no % 1000 = 7 THEN 'held' ELSE 'confirmed' END"
    );
    beside.run_text(&tell_apart).await;
    if test.name != "sqlite" {
        beside.run("ANALYZE TABLE orders").await;
    }
}

/// The index by which a plan reads the orders; `None` if it reads them all.
fn index_of(plan: &str) -> Option<String> {
    // SQLite: SEARCH orders USING INDEX name (...). The others: "key": "name", or "index_name": "name" from MySQL 9 on.
    for (before, end) in [("USING INDEX ", ' '), ("\"key\": \"", '"'), ("\"index_name\": \"", '"')] {
        if let Some((_, rest)) = plan.split_once(before) {
            let name = rest.split(end).next().unwrap_or_default();
            let is_key = name.starts_with("sqlite_autoindex") || name == "PRIMARY";
            return Some(if is_key { "the key".to_owned() } else { name.to_owned() });
        }
    }
    plan.contains("USING PRIMARY KEY").then(|| "the key".to_owned())
}

#[tokio::test]
async fn every_filter_of_the_list_of_orders_is_read_by_an_index() {
    let customer = || Some(CustomerId::new("c77").unwrap());
    let flight_id = || Some(id("FR7"));
    let record_locator = || Some("000123".to_owned());
    let status = Some(OrderStatus::Held);
    let from = Some(Timestamp::from_millis(BEGAN + 5_000_000));
    let to = Some(Timestamp::from_millis(BEGAN + 5_100_000));
    let none = OrderFilter::default;
    let by_locator = "orders_by_locator";
    let by_customer = "orders_by_customer";
    let cases = [
        (none(), "orders_by_time"),
        (OrderFilter { created_from: from, ..none() }, "orders_by_time"),
        (OrderFilter { created_to: to, ..none() }, "orders_by_time"),
        (OrderFilter { created_from: from, created_to: to, ..none() }, "orders_by_time"),
        (OrderFilter { status, ..none() }, "orders_by_status"),
        (OrderFilter { status, created_to: to, ..none() }, "orders_by_status"),
        (OrderFilter { flight_id: flight_id(), ..none() }, "the key"),
        (OrderFilter { flight_id: flight_id(), created_from: from, ..none() }, "the key"),
        (OrderFilter { customer: customer(), ..none() }, by_customer),
        (OrderFilter { customer: customer(), status, created_from: from, ..none() }, by_customer),
        (OrderFilter { customer: customer(), flight_id: flight_id(), ..none() }, by_customer),
        (OrderFilter { record_locator: record_locator(), ..none() }, by_locator),
        (OrderFilter { record_locator: record_locator(), status, created_from: from, ..none() }, by_locator),
        (OrderFilter { record_locator: record_locator(), flight_id: flight_id(), ..none() }, by_locator),
        (OrderFilter { record_locator: record_locator(), customer: customer(), ..none() }, by_locator),
    ];
    for test in stores().await {
        fill(&test).await;
        let place = OrderPlace {
            created_at: Timestamp::from_millis(BEGAN + 9_000_000),
            flight_id: id("FR3"),
            order: OrderNo(9_000),
        };
        for (filter, expected) in &cases {
            for after in [None, Some(&place)] {
                let plan = test.store.plan_of_orders(filter, after, 51).await.unwrap();
                let found = index_of(&plan);
                let what = format!("{}, {filter:?} after {after:?}:\n{plan}", test.name);
                assert_eq!(found.as_deref(), Some(*expected), "{what}");
            }
        }
    }
}
