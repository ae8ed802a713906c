//! The HTTP server below warp: listens, accepts, keeps to the limits on connections and time, and drains.
//! Never looks at a path or a body.

mod connection;
mod front;
mod socket;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower_service::Service;
use warp::hyper::body::Incoming;
use warp::http::{Request, Response};

pub use front::RequestIds;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;
/// How long the loop rests after a failed accept (no file descriptors left, usually).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The limits of connections.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Most open connections.
    pub connections_max: u32,
    /// How long a client may take for a request's headers.
    pub header_timeout: Duration,
    /// How long a connection may stay open without a request.
    pub idle_timeout: Duration,
    /// Largest request head, in bytes.
    pub header_bytes_max: usize,
}

/// A listening socket. Must be called within a tokio runtime.
pub fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for the old connections' last packets.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Serves until `stop` is cancelled, then finishes what is in flight: every request that has begun to arrive is
/// answered, idle connections are closed. Returns when the last connection is gone; a caller with a deadline drops
/// the future.
pub async fn serve<S, B>(listener: TcpListener, service: S, limits: Limits, stop: CancellationToken)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let connections = Arc::new(Semaphore::new(limits.connections_max as usize));
    let ids = Arc::new(RequestIds::new());
    let builder = connection::builder(&limits);
    loop {
        let permit = tokio::select! {
            () = stop.cancelled() => break,
            permit = connections.clone().acquire_owned() => permit,
        };
        let Ok(permit) = permit else { break };
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                if !is_of_one_connection(&error) {
                    tracing::warn!(%error, "accepting a connection failed; trying again shortly");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
                continue;
            }
        };
        // Without it, a small response may wait for the client's delayed acknowledgement (40 ms).
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "setting TCP_NODELAY failed");
        }
        let connection = connection::Connection::new(service.clone(), ids.clone(), limits, stop.clone());
        let builder = builder.clone();
        tokio::spawn(async move {
            connection.run(stream, &builder).await;
            drop(permit);
        });
    }
    drop(listener);
    let _all_gone = connections.acquire_many(limits.connections_max).await;
}

/// Whether a failed accept concerns only the connection that was to be accepted.
fn is_of_one_connection(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
