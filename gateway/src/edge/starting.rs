//! What the main port says while the flights are being recovered: that the process lives, and that it cannot serve yet.
//! Never keeps a request for later: whoever sent it may have gone by then, and nobody who has gone may be sold to.

use std::convert::Infallible;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use warp::reply::Response;
use warp::{Filter, path};

use crate::api::ops;
use crate::base::stop::Stop;
use crate::edge::gate::{Gate, Gated};
use crate::edge::ops_server;
use crate::edge::server::{self, Express, Limits};
use crate::wire::cors::{Cors, Origins};
use crate::wire::problem::Problem;

/// The port until the server takes it over.
#[derive(Debug)]
pub struct Starting {
    until: Arc<Stop>,
    accepting: JoinHandle<()>,
}

impl Starting {
    /// Answers on this listener's port from now on. Must be called within a tokio runtime.
    pub fn serve(listener: &TcpListener, limits: Limits, gate: Arc<Gate>) -> std::io::Result<Self> {
        let listener = another(listener)?;
        let (stop, until) = (Arc::new(Stop::default()), Arc::new(Stop::default()));
        // Every answer asks for another connection, which the server itself then has.
        stop.announce();
        let origins = gate.origins().cloned();
        let express = Express::new(None, None, false).readable_for(origins.clone());
        let origins = origins.unwrap_or_else(|| Arc::new(Origins::Listed(Vec::new())));
        let service = Gated::new(Cors::new(warp::service(routes()), origins), gate, None);
        let accepting = server::serve_for_now(listener, service, express, limits, (stop, until.clone()));
        Ok(Self { until, accepting: tokio::spawn(accepting) })
    }

    /// Leaves the port to the server: what connects after this has returned is the server's. Whoever connected before is
    /// answered and sent away.
    pub async fn end(mut self) {
        self.until.begin();
        // A panic there has been logged.
        let _ = (&mut self.accepting).await;
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        self.until.begin();
    }
}

/// The same port once more.
fn another(listener: &TcpListener) -> std::io::Result<TcpListener> {
    use std::os::fd::AsFd;
    let socket = std::net::TcpListener::from(listener.as_fd().try_clone_to_owned()?);
    TcpListener::from_std(socket)
}

fn routes() -> impl Filter<Extract = (Response,), Error = Infallible> + Clone {
    let query = || warp::query::raw().or(warp::any().map(String::new)).unify();
    let livez = path!("livez").and(warp::get()).and(query()).then(ops::livez);
    let readyz = path!("readyz").and(warp::get()).map(|| Ok(ops_server::recovering()));
    let answer = |answered: Result<Response, Problem>| answered.unwrap_or_else(Problem::into_response);
    let rest = warp::any().map(|| {
        Problem::overloaded("the server is starting, and its flights are being recovered", 1).into_response()
    });
    livez.or(readyz).unify().map(answer).or(rest).unify()
}
