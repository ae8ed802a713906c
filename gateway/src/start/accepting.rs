//! The services that stand behind the ports: the routes, and what is around them.
//! Never opens a port.

use std::sync::Arc;

use farerush_peers::Answers;
use tokio::net::TcpListener;

use crate::api::routes;
use crate::base::stop::Stop;
use crate::edge::forwarding::Forwarding;
use crate::edge::gate::{Gate, Gated};
use crate::edge::limited::Limited;
use crate::edge::peer_port::{PeerPort, Shown};
use crate::edge::server;
use crate::edge::server::PerAddress;
use crate::observe::traces::Observer;
use crate::start::config::{ConnectionsPerAddress, Settings};
use crate::start::system::System;
use crate::wire::cors::Cors;

/// Serves whoever comes to the listener.
pub(super) fn accept(
    listener: TcpListener,
    system: &System,
    settings: &Settings,
    gate: Arc<Gate>,
    (stop, observer): (Arc<Stop>, Option<Arc<Observer>>),
) -> impl Future<Output = ()> + Send + use<> {
    let limits = limits(settings);
    let (identity, metrics) = (&system.identity, &system.figures.metrics);
    // Where every request is watched, or gets more headers, or has to show who it is from, or is counted, there is no
    // short way.
    let is_plain = observer.is_none() && settings.cors_origins.is_none();
    let short_way = (is_plain && identity.asks_nothing_of_customers()).then(|| server::ShortWay {
        grabs: system.api.grabs.clone(),
        gate: gate.clone(),
        body: system.api.body,
    });
    let express = server::Express::new(short_way, observer, identity.needs_addresses());
    let express = express.readable_for(settings.cors_origins.clone());
    let routes = Forwarding::new(warp::service(routes::all(&system.api)), system.forwarder());
    let limited = Limited::new(routes, identity, metrics);
    let service = metrics.per_connection(limited);
    let cors = settings.cors_origins.clone();
    let counting = Some(metrics.clone());
    async move {
        // Two services, so that nothing is added where nobody asked for it.
        match cors {
            Some(origins) => {
                let service = Gated::new(Cors::new(service, origins), gate, counting);
                server::serve(listener, service, express, limits, stop).await;
            }
            None => server::serve(listener, Gated::new(service, gate, counting), express, limits, stop).await,
        }
    }
}

/// The routes for other servers: what comes from them was let in and counted there.
pub(super) fn peer_port(system: &System) -> Arc<dyn Answers> {
    let routes = system.figures.metrics.per_connection(warp::service(routes::all(&system.api)));
    let shown = Shown {
        figures: system.figures.clone(),
        charts: system.api.admins.charts.clone(),
        rehearsals: system.api.rehearsing.rehearsals.clone(),
        flights: system.flights.clone(),
        lists: system.lists.clone(),
        identity: system.identity.clone(),
    };
    PeerPort::new(routes, Arc::downgrade(&system.upkeep), shown)
}

/// The limits of connections.
pub(super) fn limits(settings: &Settings) -> server::Limits {
    server::Limits {
        connections_max: settings.max_connections,
        per_address: per_address(settings),
        header_timeout: settings.header_timeout,
        idle_timeout: settings.idle_timeout,
        answer_timeout: settings.answer_timeout,
        header_bytes_max: settings.header_bytes_max,
    }
}

/// How many connections one address may hold. Where nobody has said so, a quarter of those there may be, so that one alone
/// keeps nobody out; then whoever runs on this machine (a proxy, a measurement) is not meant.
fn per_address(settings: &Settings) -> PerAddress {
    let (max, loopback_is_free) = match settings.connections_per_address_max {
        ConnectionsPerAddress::AQuarter => (Some(settings.max_connections.div_ceil(4)), true),
        ConnectionsPerAddress::Most(max) => (Some(max), false),
        ConnectionsPerAddress::All => (None, true),
    };
    PerAddress { max, loopback_is_free, proxies: settings.rate_limits.trusted_proxies.clone() }
}
