//! How routes ask for somebody: the filters that let a request on with who it comes from, or turn it away.
//! Never decides who may: see `Identity`.

use std::sync::Arc;

use warp::{Filter, Rejection};

use super::{Admin, Caller, Deed, Role};
use crate::parts::app::App;
use crate::wire::problem::Problem;

/// A request that was turned away at the door, with what is to be answered. Nothing else of it was looked at.
#[derive(Debug)]
pub struct Denied(pub Problem);

impl warp::reject::Reject for Denied {}

/// The `Authorization` header, if there is one.
pub fn authorization() -> impl Filter<Extract = (Option<String>,), Error = Rejection> + Copy {
    warp::header::optional::<String>("authorization")
}

/// Lets admins on whose role is enough.
pub fn admin(
    app: &Arc<App>,
    role: Role,
) -> impl Filter<Extract = (Admin,), Error = Rejection> + Clone + use<> {
    let app = app.clone();
    authorization().and_then(move |shown: Option<String>| {
        let admin = app.identity.admin(shown.as_deref(), role, app.now());
        std::future::ready(admin.map_err(|problem| warp::reject::custom(Denied(problem))))
    })
}

/// Lets everybody on who may do such things at a customer's address, with who they are.
pub fn caller(
    app: &Arc<App>,
    deed: Deed,
) -> impl Filter<Extract = (Caller,), Error = Rejection> + Clone + use<> {
    let app = app.clone();
    authorization().and_then(move |shown: Option<String>| {
        let caller = app.identity.caller(shown.as_deref(), deed, app.now());
        std::future::ready(caller.map_err(|problem| warp::reject::custom(Denied(problem))))
    })
}

/// Lets everybody on who may tell of payments of some order, with who they are.
pub fn payer(app: &Arc<App>) -> impl Filter<Extract = (Caller,), Error = Rejection> + Clone + use<> {
    let app = app.clone();
    authorization().and_then(move |shown: Option<String>| {
        let caller = app.identity.payer(shown.as_deref(), app.now());
        std::future::ready(caller.map_err(|problem| warp::reject::custom(Denied(problem))))
    })
}
