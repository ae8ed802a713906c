//! The operators' own port (`ops_listen`): /livez, /readyz and /metrics from a thread and a runtime of their own, so
//! that a crowd on the main port cannot make a healthy server look dead. Never serves a customer.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use warp::http::StatusCode;
use warp::reply::Response;
use warp::{Filter, path};

use crate::api::ops;
use crate::base::errors::in_full;
use crate::base::json::Json;
use crate::base::stop::Stop;
use crate::edge::gate::{Gate, Gated, Hosts};
use crate::edge::server::{self, Express, PerAddress};
use crate::parts::figures::Figures;
use crate::wire::problem::{Code, Problem};
use crate::wire::render;

/// Balancers, a scraper and a person or two.
fn limits() -> server::Limits {
    server::Limits {
        connections_max: 256,
        per_address: PerAddress::default(),
        header_timeout: Duration::from_secs(2),
        idle_timeout: Duration::from_secs(30),
        answer_timeout: Duration::from_secs(5),
        header_bytes_max: 16 << 10,
    }
}
/// How long the end waits for answers that are on their way.
const END_PATIENCE: Duration = Duration::from_millis(300);
/// By how much its thread goes before the others, where the system allows that.
const NICER: i32 = -5;

/// What is looked at, once there is anything. Weak: the port must not keep a stopped server's parts alive.
type ServedFigures = Arc<OnceLock<Weak<Figures>>>;

/// The port's thread; it ends with this.
#[derive(Debug)]
pub struct OpsServer {
    address: SocketAddr,
    place: ServedFigures,
    stop: Arc<Stop>,
    thread: Option<JoinHandle<()>>,
}

impl OpsServer {
    /// Listens from now on: alive at once, ready only once there is something that is.
    pub fn start(address: SocketAddr) -> std::io::Result<Self> {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (place, stop) = (ServedFigures::default(), Arc::new(Stop::default()));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        // It changes nothing, and a scraper calls it as it likes; how its addresses are spelled does matter.
        let gate = Arc::new(Gate::new(Hosts::every(), None));
        let (service, until) = (Gated::new(warp::service(routes(&place)), gate, None), stop.clone());
        let thread = std::thread::Builder::new().name("ops".to_owned()).spawn(move || {
            // Of this thread alone. Most systems let nobody but root do that, and it works without.
            let _ = rustix::process::nice(NICER);
            runtime.block_on(async move {
                let listener = match tokio::net::TcpListener::from_std(listener) {
                    Ok(listener) => listener,
                    Err(error) => return tracing::error!(error = in_full(&error), "the operators' port is not served"),
                };
                let end = async {
                    until.begun().await;
                    tokio::time::sleep(END_PATIENCE).await;
                };
                tokio::select! {
                    () = server::serve(listener, service, Express::new(None, None, false), limits(), until.clone()) => {}
                    () = end => {}
                }
            });
        })?;
        Ok(Self { address, place, stop, thread: Some(thread) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Says whose readiness it tells from now on.
    pub fn serve(&self, figures: &Arc<Figures>) {
        // It is said once.
        let _ = self.place.set(Arc::downgrade(figures));
    }

    /// Ends it; blocks for a moment at most.
    pub fn end(mut self) {
        self.stop.begin();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for OpsServer {
    fn drop(&mut self) {
        self.stop.begin();
    }
}

fn routes(place: &ServedFigures) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone + use<> {
    let query = || warp::query::raw().or(warp::any().map(String::new)).unify();
    let served = {
        let place = place.clone();
        warp::any().map(move || place.get().and_then(Weak::upgrade))
    };
    let livez = path!("livez").and(warp::get()).and(query()).then(ops::livez);
    let readyz = path!("readyz").and(warp::get()).and(served.clone()).and(query()).then(readyz);
    let metrics = path!("metrics").and(warp::get()).and(served).and(query()).then(figures);
    let nothing = |_| async {
        let detail =
            "This port has /livez, /readyz and /metrics, by GET; everything else is on the main one.";
        Ok::<_, Infallible>(Problem::new(Code::NotFound, detail).into_response())
    };
    let answer = |answered: Result<Response, Problem>| answered.unwrap_or_else(Problem::into_response);
    livez.or(readyz).unify().or(metrics).unify().map(answer).recover(nothing).unify()
}

async fn readyz(figures: Option<Arc<Figures>>, raw_query: String) -> Result<Response, Problem> {
    match figures {
        Some(figures) => ops::readyz(figures.health.clone(), raw_query).await,
        None => Ok(recovering()),
    }
}

/// What readiness is while there is nothing to look at.
pub(crate) fn recovering() -> Response {
    let mut json = Json::default();
    json.open().key("status").text("recovering").key("recovered").boolean(false).close();
    render::response(StatusCode::SERVICE_UNAVAILABLE, json)
}

async fn figures(figures: Option<Arc<Figures>>, raw_query: String) -> Result<Response, Problem> {
    let figures = figures.ok_or_else(|| Problem::overloaded("the flights are being recovered", 1))?;
    ops::metrics(figures, raw_query).await
}
