//! The usual design, as something to measure against: a script in Redis takes the seats, then the request itself writes
//! order and ticket to MySQL, and then the customer gets an answer. `scripts/bench` starts it; it is no part of Farerush.
//!
//! It is built as a good team would: Redis over one multiplexed connection with automatic reconnection (so that requests
//! share its fsyncs), a pool of open MySQL connections without a ping before each use, prepared statements, `TCP_NODELAY`,
//! all cores, the same allocator as Farerush. It answers the same requests with bodies of the same shape. What it leaves
//! out makes it faster: no limits, no idempotency keys, no cancelling, seats handed out by number. And as this design is
//! usually built, an order is lost if the process ends between Redis and MySQL: the seat is taken and nobody has it.
//!
//! `USUAL_LISTEN`, `USUAL_REDIS` and `USUAL_MYSQL` say where; `USUAL_CONNECTIONS` (32) how many to MySQL.

#![allow(missing_docs, reason = "a program, not a library")]

use std::collections::HashMap;
use std::env;
use std::error::Error;
use std::fmt::Write as _;
use std::sync::{Arc, RwLock};

use bytes::Bytes;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use redis::aio::ConnectionManager;
use serde::Deserialize;
use sqlx::mysql::{MySqlPool, MySqlPoolOptions};
use sqlx::{Executor as _, Row as _};
use tokio::net::TcpListener;
use warp::http::{Response, StatusCode};
use warp::{Filter, Rejection, path};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const TAKE_SEATS: &str = include_str!("take_seats.lua");
const MYSQL_CONNECTIONS: u32 = 32;
const BODY_BYTES_MAX: u64 = 65_536;
/// Ids are spread by a multiplication, which costs nothing and gives as many characters as Farerush's.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
const TABLES: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS orders (
        order_id VARCHAR(64) NOT NULL PRIMARY KEY, flight_id VARCHAR(40) NOT NULL, customer_id VARCHAR(128) NOT NULL,
        seat VARCHAR(8) NOT NULL, total BIGINT NOT NULL, currency VARCHAR(3) NOT NULL, status VARCHAR(16) NOT NULL,
        created_at BIGINT NOT NULL, KEY orders_by_customer (customer_id, created_at)) ENGINE = InnoDB",
    "CREATE TABLE IF NOT EXISTS tickets (
        flight_id VARCHAR(40) NOT NULL, seat VARCHAR(8) NOT NULL, order_id VARCHAR(64) NOT NULL,
        PRIMARY KEY (flight_id, seat)) ENGINE = InnoDB",
];

type Fault = Box<dyn Error + Send + Sync>;
type Answer = Response<Bytes>;

/// What never changes of a flight, known without asking anybody.
struct Flight {
    cabin_class: String,
    layout: String,
    letters: Vec<char>,
    rows: (u64, u64),
    amount: u64,
    currency: String,
}

struct Shop {
    redis: ConnectionManager,
    script: String,
    mysql: MySqlPool,
    flights: RwLock<HashMap<String, Arc<Flight>>>,
}

#[derive(Deserialize)]
struct NewFlight {
    flight_id: String,
    cabins: Vec<NewCabin>,
}

#[derive(Deserialize)]
struct NewCabin {
    cabin_class: String,
    rows: (u64, u64),
    layout: String,
    fare: Fare,
}

#[derive(Deserialize)]
struct Fare {
    amount: u64,
    currency: String,
}

#[derive(Deserialize)]
struct Grab {
    customer_id: String,
    quantity: u64,
}

fn main() -> Result<(), Fault> {
    let Ok(listen) = env::var("USUAL_LISTEN") else {
        eprintln!(
            "nothing to do: this is a server that scripts/bench starts, with USUAL_LISTEN, _REDIS and _MYSQL"
        );
        return Ok(());
    };
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(serve(&listen))
}

async fn serve(listen: &str) -> Result<(), Fault> {
    let connections = env::var("USUAL_CONNECTIONS").map_or(Ok(MYSQL_CONNECTIONS), |text| text.parse())?;
    let mysql = MySqlPoolOptions::new()
        .max_connections(connections)
        .min_connections(connections)
        .test_before_acquire(false)
        .connect(&env::var("USUAL_MYSQL")?)
        .await?;
    for table in TABLES {
        mysql.execute(table).await?;
    }
    let mut redis = ConnectionManager::new(redis::Client::open(env::var("USUAL_REDIS")?)?).await?;
    let script = redis::cmd("SCRIPT").arg("LOAD").arg(TAKE_SEATS).query_async(&mut redis).await?;
    let shop = Arc::new(Shop { redis, script, mysql, flights: RwLock::default() });

    // warp's own loop never sets TCP_NODELAY.
    let listener = TcpListener::bind(listen).await?;
    let service = TowerToHyperService::new(warp::service(routes(shop)));
    println!("listening on {listen}");
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service.clone());
        tokio::spawn(connection);
    }
}

fn routes(shop: Arc<Shop>) -> impl Filter<Extract = (Answer,), Error = Rejection> + Clone + Send + Sync {
    let shop = warp::any().map(move || shop.clone());
    let json = || warp::body::content_length_limit(BODY_BYTES_MAX);
    let grab =
        path!("v1" / "flights" / String / "orders")
            .and(warp::post())
            .and(shop.clone())
            .and(json())
            .and(warp::body::json())
            .then(|flight_id: String, shop: Arc<Shop>, wish: Grab| async move {
                shop.grab(&flight_id, &wish).await
            })
            .then(or_unavailable);
    let seats = path!("v1" / "flights" / String / "seats")
        .and(warp::get())
        .and(shop.clone())
        .then(|flight_id: String, shop: Arc<Shop>| async move { shop.seats(&flight_id).await })
        .then(or_unavailable);
    let flight = path!("v1" / "flights" / String)
        .and(warp::get())
        .and(shop.clone())
        .then(|flight_id: String, shop: Arc<Shop>| async move { shop.about(&flight_id).await })
        .then(or_unavailable);
    let order = path!("v1" / "orders" / String)
        .and(warp::get())
        .and(shop.clone())
        .then(|order_id: String, shop: Arc<Shop>| async move { shop.order(&order_id).await })
        .then(or_unavailable);
    let create = path!("v1" / "admin" / "flights")
        .and(warp::post())
        .and(shop)
        .and(json())
        .and(warp::body::json())
        .then(|shop: Arc<Shop>, new: NewFlight| async move { shop.create(new).await })
        .then(or_unavailable);
    // What the load tool greets a server with.
    let list = path!("v1" / "flights").and(warp::get());
    let list = list.map(|| answer(StatusCode::OK, String::from(r#"{"flights":[],"next_cursor":null}"#)));
    let live = path!("livez").and(warp::get()).map(|| answer(StatusCode::OK, String::from("{}")));
    grab.or(seats)
        .unify()
        .or(flight)
        .unify()
        .or(order)
        .unify()
        .or(create)
        .unify()
        .or(list)
        .unify()
        .or(live)
        .unify()
}

async fn or_unavailable(outcome: Result<Answer, Fault>) -> Answer {
    outcome.unwrap_or_else(|fault| {
        eprintln!("{fault}");
        problem(
            StatusCode::SERVICE_UNAVAILABLE,
            "OUTCOME_UNKNOWN",
            "Redis or MySQL failed; a seat may be taken.",
        )
    })
}

fn answer(status: StatusCode, body: String) -> Answer {
    let kind = if status.is_success() { "application/json" } else { "application/problem+json" };
    let response = Response::builder().status(status).header("content-type", kind);
    response.body(Bytes::from(body)).expect("a status and a constant header are a response")
}

fn problem(status: StatusCode, code: &str, detail: &str) -> Answer {
    let number = status.as_u16();
    let body = format!(
        r#"{{"type":"/docs/errors/{code}","title":"{code}","status":{number},"detail":"{detail}","code":"{code}"}}"#
    );
    answer(status, body)
}

fn no_such_flight() -> Answer {
    problem(StatusCode::NOT_FOUND, "FLIGHT_NOT_FOUND", "There is no such flight.")
}

impl Flight {
    fn capacity(&self) -> u64 {
        (self.rows.1 - self.rows.0 + 1) * self.letters.len() as u64
    }

    fn seat(&self, number: u64) -> String {
        let per_row = self.letters.len() as u64;
        let letter = usize::try_from(number % per_row).unwrap_or_default();
        format!("{}{}", self.rows.0 + number / per_row, self.letters[letter])
    }

    fn write_seats(&self, out: &mut String, flight_id: &str, taken: u64) -> std::fmt::Result {
        let Self { cabin_class, layout, amount, currency, .. } = self;
        write!(
            out,
            r#"{{"flight_id":"{flight_id}","seq":{taken},"cabins":[{{"cabin_class":"{cabin_class}","layout":"{layout}","fare":{{"amount":{amount},"currency":"{currency}"}},"rows":["#
        )?;
        let mut number = 0;
        for row in self.rows.0..=self.rows.1 {
            let comma = if row == self.rows.0 { "" } else { "," };
            write!(out, r#"{comma}{{"row":{row},"seats":["#)?;
            for (place, letter) in self.letters.iter().enumerate() {
                let comma = if place == 0 { "" } else { "," };
                let status = if number < taken { "sold" } else { "free" };
                write!(out, r#"{comma}{{"seat":"{row}{letter}","status":"{status}"}}"#)?;
                number += 1;
            }
            out.push_str("]}");
        }
        out.push_str("]}]}");
        Ok(())
    }
}

impl Shop {
    fn flight(&self, flight_id: &str) -> Option<Arc<Flight>> {
        self.flights.read().expect("nobody panics under this lock").get(flight_id).cloned()
    }

    async fn create(&self, new: NewFlight) -> Result<Answer, Fault> {
        let [cabin] = <[NewCabin; 1]>::try_from(new.cabins).map_err(|_| "a flight has one cabin here")?;
        let flight = Flight {
            letters: cabin.layout.chars().filter(|letter| *letter != ' ').collect(),
            cabin_class: cabin.cabin_class,
            layout: cabin.layout,
            rows: cabin.rows,
            amount: cabin.fare.amount,
            currency: cabin.fare.currency,
        };
        let mut set = redis::cmd("HSET");
        set.arg(format!("flight:{}", new.flight_id))
            .arg("capacity")
            .arg(flight.capacity())
            .arg("taken")
            .arg(0);
        set.query_async::<()>(&mut self.redis.clone()).await?;
        let mut flights = self.flights.write().expect("nobody panics under this lock");
        flights.insert(new.flight_id, Arc::new(flight));
        Ok(answer(StatusCode::CREATED, String::from("{}")))
    }

    /// First Redis, then MySQL, then the answer.
    async fn grab(&self, flight_id: &str, wish: &Grab) -> Result<Answer, Fault> {
        let Some(flight) = self.flight(flight_id) else {
            return Ok(no_such_flight());
        };
        let mut take = redis::cmd("EVALSHA");
        take.arg(&self.script).arg(1).arg(format!("flight:{flight_id}")).arg(wish.quantity);
        let first: i64 = take.query_async(&mut self.redis.clone()).await?;
        let Ok(number) = u64::try_from(first) else {
            let detail =
                "No seat is left, and no order was placed. A cancellation may bring seats back; look again.";
            return Ok(problem(StatusCode::CONFLICT, "SOLD_OUT", detail));
        };
        let seat = flight.seat(number);
        let tag = SPREAD.wrapping_mul(number + 1);
        let order_id = format!("{flight_id}-{number}{:08x}", tag >> 32);
        let created_at = jiff::Timestamp::now().as_millisecond();
        let mut transaction = self.mysql.begin().await?;
        sqlx::query(
            "INSERT INTO orders (order_id, flight_id, customer_id, seat, total, currency, status, created_at)
             VALUES (?, ?, ?, ?, ?, ?, 'confirmed', ?)",
        )
        .bind(&order_id)
        .bind(flight_id)
        .bind(&wish.customer_id)
        .bind(&seat)
        .bind(flight.amount)
        .bind(&flight.currency)
        .bind(created_at)
        .execute(&mut *transaction)
        .await?;
        sqlx::query("INSERT INTO tickets (flight_id, seat, order_id) VALUES (?, ?, ?)")
            .bind(flight_id)
            .bind(&seat)
            .bind(&order_id)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(answer(
            StatusCode::CREATED,
            order_json(&order_id, flight_id, &wish.customer_id, &seat, &flight, created_at)?,
        ))
    }

    async fn taken(&self, flight_id: &str) -> Result<u64, Fault> {
        let mut ask = redis::cmd("HGET");
        ask.arg(format!("flight:{flight_id}")).arg("taken");
        Ok(ask.query_async(&mut self.redis.clone()).await?)
    }

    async fn about(&self, flight_id: &str) -> Result<Answer, Fault> {
        let Some(flight) = self.flight(flight_id) else {
            return Ok(no_such_flight());
        };
        let capacity = flight.capacity();
        let available = capacity.saturating_sub(self.taken(flight_id).await?);
        Ok(answer(
            StatusCode::OK,
            format!(
                r#"{{"flight_id":"{flight_id}","capacity":{capacity},"available":{available},"sale":{{"state":"open","max_seats_per_order":9,"max_seats_per_customer":9,"hold_seconds":0}}}}"#
            ),
        ))
    }

    async fn seats(&self, flight_id: &str) -> Result<Answer, Fault> {
        let Some(flight) = self.flight(flight_id) else {
            return Ok(no_such_flight());
        };
        let taken = self.taken(flight_id).await?;
        let mut out = String::with_capacity(16_384);
        flight.write_seats(&mut out, flight_id, taken)?;
        Ok(answer(StatusCode::OK, out))
    }

    async fn order(&self, order_id: &str) -> Result<Answer, Fault> {
        let row =
            sqlx::query("SELECT flight_id, customer_id, seat, created_at FROM orders WHERE order_id = ?")
                .bind(order_id)
                .fetch_optional(&self.mysql)
                .await?;
        let Some(row) = row else {
            return Ok(problem(StatusCode::NOT_FOUND, "ORDER_NOT_FOUND", "There is no such order."));
        };
        let (flight_id, customer_id, seat): (String, String, String) = (row.get(0), row.get(1), row.get(2));
        let Some(flight) = self.flight(&flight_id) else {
            return Ok(no_such_flight());
        };
        Ok(answer(
            StatusCode::OK,
            order_json(order_id, &flight_id, &customer_id, &seat, &flight, row.get(3))?,
        ))
    }
}

fn order_json(
    order_id: &str,
    flight_id: &str,
    customer_id: &str,
    seat: &str,
    flight: &Flight,
    created_at: i64,
) -> Result<String, Fault> {
    let Flight { cabin_class, amount, currency, .. } = flight;
    let at = jiff::Timestamp::from_millisecond(created_at)?;
    let customer = serde_json::to_string(customer_id)?;
    Ok(format!(
        r#"{{"order_id":"{order_id}","record_locator":"7H2KQW","flight_id":"{flight_id}","customer_id":{customer},"status":"confirmed","seats":[{{"seat":"{seat}","cabin_class":"{cabin_class}","fare":{{"amount":{amount},"currency":"{currency}"}},"passenger":null}}],"total":{{"amount":{amount},"currency":"{currency}"}},"hold_expires_at":null,"created_at":"{at:.3}","updated_at":"{at:.3}","seq":1,"durability":"store"}}"#
    ))
}
