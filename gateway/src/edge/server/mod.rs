//! The HTTP server below warp: listens, accepts, keeps to the limits on connections and time, and drains.
//! Never looks at a path or a body.

mod arrival;
mod connection;
mod front;
mod page_seen;
mod places;
mod plain;
mod socket;
mod taking;
mod turned_away;

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tower_service::Service;
use warp::http::{Request, Response};

pub use front::{RequestBody, RequestIds};
pub use places::PerAddress;
pub use plain::{Express, ShortWay};

use crate::base::errors::in_full;
use crate::base::stop::Stop;
use places::{Admission, Guest, Places};
use turned_away::TurnedAway;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;
/// How long the loop rests after a failed accept (no file descriptors left, usually).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// While as many come as there may be connections, it is looked so often at least at what they have sent.
const LOOKS: u32 = 16;
/// Most connections that are let in without such a look.
const WITHOUT_A_LOOK_MAX: u32 = 16;
/// How often that is logged at most.
const WARNING_PAUSE: Duration = Duration::from_secs(10);

/// The limits of connections.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Most open connections.
    pub connections_max: u32,
    /// Most of one address.
    pub per_address: PerAddress,
    /// How long a client may take for a request's headers.
    pub header_timeout: Duration,
    /// How long a connection may stay open without a request.
    pub idle_timeout: Duration,
    /// How long an answer may stand still because its client takes nothing of it.
    pub answer_timeout: Duration,
    /// Largest request head, in bytes.
    pub header_bytes_max: usize,
}

/// How long a connection that had begun may take to be there, once no further one may begin.
const LAST_COMERS: Duration = Duration::from_millis(20);

/// Files that a process needs besides its connections: the journal's segments, the store's connections, threads' own.
const OPEN_FILES_BESIDES: u64 = 256;

/// Raises this process's own limit of open files as far as so many connections need and the system lets it: the usual
/// 1024 would end at as many connections. Says how many connections fit, so that no more are taken: what is left over
/// belongs to the journal and the store, which must not lack a descriptor because a crowd has come.
pub fn allow_open_files(connections_max: u32) -> u32 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let wanted = u64::from(connections_max) + OPEN_FILES_BESIDES;
    if limit.current.is_none_or(|current| current >= wanted) {
        return connections_max;
    }
    let raised = limit.maximum.map_or(wanted, |maximum| maximum.min(wanted));
    let is_raised = setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum: limit.maximum });
    let open_files = if is_raised.is_ok() { raised } else { limit.current.unwrap_or(raised) };
    let connections = connections_that_fit(open_files, connections_max);
    if connections < connections_max {
        tracing::info!(
            open_files,
            max_connections = connections_max,
            "the system allows fewer open files than max_connections needs: {connections} connections are taken at once"
        );
    }
    connections
}

/// How many connections so many open files leave room for; where there are very few, half of them.
fn connections_that_fit(open_files: u64, connections_max: u32) -> u32 {
    let besides = OPEN_FILES_BESIDES.min(open_files / 2);
    u32::try_from(open_files - besides).unwrap_or(u32::MAX).clamp(1, connections_max)
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

/// Serves until `stop` begins, then finishes what is in flight: every request that has begun to arrive is
/// answered, idle connections are closed. Returns when the last connection is gone; a caller with a deadline drops
/// the future.
pub async fn serve<S, B>(listener: TcpListener, service: S, express: Express, limits: Limits, stop: Arc<Stop>)
where
    S: Service<Request<RequestBody>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let doors = Doors::new(&limits);
    let accepted = serving(service, express, &limits, stop.clone());
    let held_up = doors.accept_until(&listener, &accepted, &stop).await;
    // Whoever has connected already is served, too: closing the socket would break off requests that have been sent. So
    // nobody connects any more before it is looked who has.
    if let Err(error) = turn_away_newcomers(&listener) {
        tracing::debug!(%error, "who connects in the last moment may be broken off");
    }
    if let Some((stream, peer)) = held_up {
        doors.let_in(stream, peer, &accepted).await;
    }
    while let Ok(Ok((stream, peer))) = tokio::time::timeout(LAST_COMERS, listener.accept()).await {
        doors.let_in(stream, peer.ip(), &accepted).await;
    }
    drop(listener);
    doors.places.all_gone().await;
}

/// From now on the kernel drops whatever would begin a connection to this socket; what has begun is completed. Whoever is
/// turned away asks again in a second, and finds nobody listening.
fn turn_away_newcomers(listener: &TcpListener) -> std::io::Result<()> {
    use socket2::{SockFilter, SockRef};
    // Of each segment that comes: the byte with the flags (13 in the TCP header), and nothing where it says SYN.
    let drop_syn = [
        SockFilter::new(0x30, 0, 0, 13),       // ldb [13]
        SockFilter::new(0x45, 0, 1, 0x02),     // jset #SYN, next, one further
        SockFilter::new(0x06, 0, 0, 0),        // ret #0: drop
        SockFilter::new(0x06, 0, 0, u32::MAX), // ret #-1: keep
    ];
    SockRef::from(listener).attach_filter(&drop_syn)
}

/// The same for a while: takes connections until `until` begins and no more after that, so that whoever listens on the port
/// as well has the rest. Those taken are served on, after this has returned.
pub async fn serve_for_now<S, B>(
    listener: TcpListener,
    service: S,
    express: Express,
    limits: Limits,
    (stop, until): (Arc<Stop>, Arc<Stop>),
) where
    S: Service<Request<RequestBody>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let doors = Doors::new(&limits);
    let accepted = serving(service, express, &limits, stop);
    doors.accept_until(&listener, &accepted, &until).await;
}

/// What is done with a connection that was accepted.
fn serving<S, B>(
    service: S,
    express: Express,
    limits: &Limits,
    stop: Arc<Stop>,
) -> impl Fn(TcpStream, Guest) + use<S, B>
where
    S: Service<Request<RequestBody>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let builder = connection::builder(limits);
    let times = connection::Times::of(limits);
    move |stream: TcpStream, guest: Guest| {
        // Without it, a small response may wait for the client's delayed acknowledgement (40 ms).
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "setting TCP_NODELAY failed");
        }
        let connection = connection::Connection::new(service.clone(), express.clone(), times, stop.clone());
        let builder = builder.clone();
        let end = guest.end();
        let task = tokio::spawn(async move { connection.run(stream, guest, &builder).await });
        end.is(task.abort_handle());
    }
}

/// The ways in: who gets a place, and what becomes of the others.
struct Doors {
    places: Arc<Places>,
    turned_away: TurnedAway,
    /// So many are let in without a look at what they have sent.
    without_a_look: u32,
}

impl Doors {
    fn new(limits: &Limits) -> Self {
        let places = Places::new(limits.connections_max, limits.per_address.clone());
        let without_a_look = (limits.connections_max / LOOKS).clamp(1, WITHOUT_A_LOOK_MAX);
        Self { places, turned_away: TurnedAway::default(), without_a_look }
    }

    /// Accepts connections until that word is given. Gives the one that was accepted by then and has no place yet.
    async fn accept_until(
        &self,
        listener: &TcpListener,
        accepted: &impl Fn(TcpStream, Guest),
        until: &Stop,
    ) -> Option<(TcpStream, IpAddr)> {
        let (mut last_warning, mut let_in) = (None::<Instant>, 0_u32);
        loop {
            let next = tokio::select! {
                () = until.begun() => return None,
                next = listener.accept() => next,
            };
            match next {
                Ok((stream, peer)) => {
                    let mut newcomer = Some((stream, peer.ip()));
                    tokio::select! {
                        // Whoever is let in is not cut off by the word.
                        biased;
                        () = self.let_in_when_there_is_room(&mut newcomer, accepted) => {}
                        () = until.begun() => return newcomer,
                    }
                    // What has come is looked at before so many come that they may take its place.
                    let_in = let_in.wrapping_add(1);
                    if let_in % self.without_a_look == 0 {
                        tokio::task::yield_now().await;
                    }
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    if last_warning.is_none_or(|at| at.elapsed() > WARNING_PAUSE) {
                        tracing::warn!(error = in_full(&error), "accepting connections fails; trying on");
                        last_warning = Some(Instant::now());
                    }
                    if is_for_want_of_descriptors(&error) {
                        self.places.make_room();
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn let_in(&self, stream: TcpStream, peer: IpAddr, accepted: &impl Fn(TcpStream, Guest)) {
        self.let_in_when_there_is_room(&mut Some((stream, peer)), accepted).await;
    }

    /// May be dropped at any time: whoever is still in `newcomer` then has no place yet.
    async fn let_in_when_there_is_room(
        &self,
        newcomer: &mut Option<(TcpStream, IpAddr)>,
        accepted: &impl Fn(TcpStream, Guest),
    ) {
        while let Some((_, peer)) = newcomer {
            match self.places.admit(*peer) {
                Admission::In(guest) => {
                    if let Some((stream, _)) = newcomer.take() {
                        accepted(stream, guest);
                    }
                }
                Admission::AddressIsFull => {
                    if let Some((stream, _)) = newcomer.take() {
                        self.turned_away.tell(stream);
                    }
                }
                Admission::Full => self.places.room().await,
            }
        }
    }
}

fn is_for_want_of_descriptors(error: &std::io::Error) -> bool {
    use rustix::io::Errno;
    let number = error.raw_os_error();
    [Errno::MFILE, Errno::NFILE].iter().any(|errno| number == Some(errno.raw_os_error()))
}

/// Whether a failed accept concerns only the connection that was to be accepted.
fn is_of_one_connection(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_and_the_store_keep_their_share_of_few_open_files() {
        for (open_files, connections_max, fit) in [
            (20_256, 20_000, 20_000),
            (1_024, 20_000, 768),
            (1_024, 10, 10),
            (300, 20_000, 150),
            (1, 20_000, 1),
        ] {
            assert_eq!(connections_that_fit(open_files, connections_max), fit, "{open_files}");
        }
    }
}
