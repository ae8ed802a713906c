//! Which address of the waitlist leads to which handler.
//! Never does anything itself.

use std::sync::Arc;

use warp::filters::BoxedFilter;
use warp::reply::Response;
use warp::{Filter, path};

use super::{WaitlistName, Waitlists, join, leave, list, one};
use crate::api::door::{self, Door};
use crate::api::filters::{asks_from, first_of, key, query, timeout, with};
use crate::parts::auth::{Intent, Role};
use crate::wire::body::{BodyLimits, received};
use crate::wire::names::FlightName;

/// The routes of waitlists.
pub fn routes(waitlists: &Arc<Waitlists>, door: &Arc<Door>, body: BodyLimits) -> BoxedFilter<(Response,)> {
    let join = path!("v1" / "flights" / FlightName / "waitlist")
        .and(warp::post())
        .and(door::caller(door, Intent::Changes))
        .and(with(waitlists))
        .and(key())
        .and(asks_from())
        .and(timeout())
        .and(received(body))
        .then(join)
        .boxed();
    let one = path!("v1" / "waitlist" / WaitlistName)
        .and(warp::get())
        .and(door::caller(door, Intent::Reads))
        .and(with(waitlists))
        .and(query())
        .and(timeout())
        .then(one)
        .boxed();
    let leave = path!("v1" / "waitlist" / WaitlistName)
        .and(warp::delete())
        .and(door::caller(door, Intent::Changes))
        .and(with(waitlists))
        .and(key())
        .and(asks_from())
        .and(timeout())
        .and(received(body))
        .then(leave)
        .boxed();
    let list = path!("v1" / "admin" / "flights" / FlightName / "waitlist")
        .and(warp::get())
        .and(door::admin(door, Role::Viewer))
        .and(with(waitlists))
        .and(query())
        .then(list)
        .boxed();
    first_of([join, one, leave, list])
}
