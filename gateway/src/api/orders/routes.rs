//! Which address of orders leads to which handler.
//! Never does anything itself.

use std::sync::Arc;

use warp::filters::BoxedFilter;
use warp::reply::Response;
use warp::{Filter, path};

use super::{Orders, cancel, change, confirm, of_customer, one, pay};
use crate::api::door::{self, Door};
use crate::api::filters::{asks_from, first_of, key, query, timeout, with};
use crate::parts::auth::Intent;
use crate::wire::body::{BodyLimits, received};
use crate::wire::names::OrderName;

/// The routes of orders.
pub fn routes(orders: &Arc<Orders>, door: &Arc<Door>, body: BodyLimits) -> BoxedFilter<(Response,)> {
    let reads = || door::caller(door, Intent::Reads);
    let changes = || door::caller(door, Intent::Changes);
    let of_customer = path!("v1" / "orders")
        .and(warp::get())
        .and(reads())
        .and(with(orders))
        .and(query())
        .then(of_customer)
        .boxed();
    let one = path!("v1" / "orders" / OrderName)
        .and(warp::get())
        .and(reads())
        .and(with(orders))
        .and(query())
        .and(timeout())
        .then(one)
        .boxed();
    let change = path!("v1" / "orders" / OrderName)
        .and(warp::patch())
        .and(changes())
        .and(with(orders))
        .and(key())
        .and(asks_from())
        .and(timeout())
        .and(received(body))
        .then(change)
        .boxed();
    let pay = path!("v1" / "orders" / OrderName / "pay")
        .and(warp::post())
        .and(changes())
        .and(with(orders))
        .and(key())
        .and(asks_from())
        .and(timeout())
        .and(received(body))
        .then(pay)
        .boxed();
    let confirm = path!("v1" / "orders" / OrderName / "confirm")
        .and(warp::post())
        .and(door::payer(door))
        .and(with(orders))
        .and(key())
        .and(asks_from())
        .and(timeout())
        .and(received(body))
        .then(confirm)
        .boxed();
    let by_post = path!("v1" / "orders" / OrderName / "cancel").and(warp::post());
    let delete = path!("v1" / "orders" / OrderName).and(warp::delete());
    let ending = by_post
        .or(delete)
        .unify()
        .and(changes())
        .and(with(orders))
        .and(key())
        .and(asks_from())
        .and(timeout())
        .and(received(body))
        .then(cancel)
        .boxed();
    first_of([of_customer, one, change, pay, confirm, ending])
}
