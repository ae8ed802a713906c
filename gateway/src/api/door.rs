//! How routes ask for somebody: the filters that let a request on with who it comes from, or turn it away.
//! Never decides who may: see `Identity`.

use std::sync::Arc;

use warp::{Filter, Rejection};

use crate::parts::auth::{Admin, Caller, Identity, Intent, Role};
use crate::parts::flights::Flights;
use crate::wire::problem::Problem;

/// What stands at the door.
pub struct Door {
    /// Who may come in.
    pub identity: Arc<Identity>,
    /// By whose time tokens end.
    pub flights: Arc<Flights>,
}

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
    door: &Arc<Door>,
    role: Role,
) -> impl Filter<Extract = (Admin,), Error = Rejection> + Clone + use<> {
    let door = door.clone();
    authorization().and_then(move |shown: Option<String>| {
        let door = door.clone();
        async move {
            let admin = door.identity.admin(shown.as_deref(), role, door.flights.now()).await;
            admin.map_err(|problem| warp::reject::custom(Denied(problem)))
        }
    })
}

/// Lets everybody on who may do such things at a customer's address, with who they are.
pub fn caller(
    door: &Arc<Door>,
    intent: Intent,
) -> impl Filter<Extract = (Caller,), Error = Rejection> + Clone + use<> {
    let door = door.clone();
    authorization().and_then(move |shown: Option<String>| {
        let door = door.clone();
        async move {
            let caller = door.identity.caller(shown.as_deref(), intent, door.flights.now()).await;
            caller.map_err(|problem| warp::reject::custom(Denied(problem)))
        }
    })
}

/// Lets everybody on who may tell of payments of some order, with who they are.
pub fn payer(door: &Arc<Door>) -> impl Filter<Extract = (Caller,), Error = Rejection> + Clone + use<> {
    let door = door.clone();
    authorization().and_then(move |shown: Option<String>| {
        let door = door.clone();
        async move {
            let caller = door.identity.payer(shown.as_deref(), door.flights.now()).await;
            caller.map_err(|problem| warp::reject::custom(Denied(problem)))
        }
    })
}
