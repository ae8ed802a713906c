//! A TCP proxy that cuts, delays and drops what passes, as it is told to while it runs.
//! Never changes a byte of what it lets pass.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// What is to go wrong. Each cut happens once, on whichever connection reaches it first.
#[derive(Debug, Default)]
struct Faults {
    cut_requests_after: Option<usize>,
    cut_replies_after: Option<usize>,
    drop_replies: bool,
    delay_replies: Option<Duration>,
    refuse: bool,
    target: Option<SocketAddr>,
    cuts: u64,
    request_bytes: u64,
    reply_bytes: u64,
    open: Vec<TcpStream>,
    closed: bool,
}

/// Listens on a loopback port of its own and passes everything on to one server.
pub(crate) struct Proxy {
    address: SocketAddr,
    faults: Arc<Mutex<Faults>>,
}

#[derive(Clone, Copy)]
enum Way {
    Requests,
    Replies,
}

impl Proxy {
    /// In front of the server at `target`, with nothing going wrong yet.
    pub(crate) fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("no free port");
        let address = listener.local_addr().expect("no address");
        let faults = Arc::new(Mutex::new(Faults::default()));
        let shared = Arc::clone(&faults);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if lock(&shared).closed {
                    return;
                }
                let (refuse, target) = {
                    let faults = lock(&shared);
                    (faults.refuse, faults.target.unwrap_or(target))
                };
                if !refuse {
                    connect(client, target, &shared);
                }
            }
        });
        Self { address, faults }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// After so many more bytes towards the server, the connection that brings them is cut, both ways.
    pub(crate) fn cut_requests_after(&self, bytes: usize) {
        lock(&self.faults).cut_requests_after = Some(bytes);
    }

    /// After so many more bytes from the server, the connection that brings them is cut, both ways.
    pub(crate) fn cut_replies_after(&self, bytes: usize) {
        lock(&self.faults).cut_replies_after = Some(bytes);
    }

    /// Whether what the server sends is thrown away, the connections staying open.
    pub(crate) fn drop_replies(&self, drop: bool) {
        lock(&self.faults).drop_replies = drop;
    }

    /// Every piece of what the server sends is held up for so long.
    pub(crate) fn delay_replies(&self, delay: Option<Duration>) {
        lock(&self.faults).delay_replies = delay;
    }

    /// Whether new connections are closed at once.
    pub(crate) fn refuse(&self, refuse: bool) {
        lock(&self.faults).refuse = refuse;
    }

    /// New connections lead to this server; those that are open stay where they are.
    pub(crate) fn lead_to(&self, target: SocketAddr) {
        lock(&self.faults).target = Some(target);
    }

    /// Cuts all connections there are, now.
    pub(crate) fn cut_all(&self) {
        let mut faults = lock(&self.faults);
        for stream in std::mem::take(&mut faults.open) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        faults.cuts += 1;
    }

    /// Nothing goes wrong from now on; connections that are open stay so.
    pub(crate) fn heal(&self) {
        let mut faults = lock(&self.faults);
        faults.cut_requests_after = None;
        faults.cut_replies_after = None;
        faults.drop_replies = false;
        faults.delay_replies = None;
        faults.refuse = false;
    }

    /// How often connections were cut.
    pub(crate) fn cuts(&self) -> u64 {
        lock(&self.faults).cuts
    }

    /// Bytes passed on towards the server, and from it.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        let faults = lock(&self.faults);
        (faults.request_bytes, faults.reply_bytes)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.cut_all();
        lock(&self.faults).closed = true;
        // Wakes the thread that waits for connections.
        let _ = TcpStream::connect(self.address);
    }
}

fn lock(faults: &Mutex<Faults>) -> MutexGuard<'_, Faults> {
    faults.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn connect(client: TcpStream, target: SocketAddr, faults: &Arc<Mutex<Faults>>) {
    let Ok(server) = TcpStream::connect(target) else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let clones = (client.try_clone(), server.try_clone(), client.try_clone(), server.try_clone());
    let (Ok(client_in), Ok(server_in), Ok(client_kept), Ok(server_kept)) = clones else { return };
    lock(faults).open.extend([client_kept, server_kept]);
    let (requests, replies) = (Arc::clone(faults), Arc::clone(faults));
    std::thread::spawn(move || pass(client_in, server, Way::Requests, &requests));
    std::thread::spawn(move || pass(server_in, client, Way::Replies, &replies));
}

fn pass(mut from: TcpStream, mut to: TcpStream, way: Way, faults: &Mutex<Faults>) {
    let mut buffer = vec![0; 16 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if let Some(delay) = delay(way, faults) {
            std::thread::sleep(delay);
        }
        let (let_pass, cut) = judge(way, length, faults);
        if to.write_all(&buffer[..let_pass]).is_err() || cut {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

fn delay(way: Way, faults: &Mutex<Faults>) -> Option<Duration> {
    match way {
        Way::Requests => None,
        Way::Replies => lock(faults).delay_replies,
    }
}

/// How much of `length` bytes passes, and whether the connection is cut behind that.
fn judge(way: Way, length: usize, faults: &Mutex<Faults>) -> (usize, bool) {
    let mut faults = lock(faults);
    let dropped = matches!(way, Way::Replies) && faults.drop_replies;
    let limit = match way {
        Way::Requests => &mut faults.cut_requests_after,
        Way::Replies => &mut faults.cut_replies_after,
    };
    let (let_pass, cut) = match limit {
        _ if dropped => (0, false),
        None => (length, false),
        Some(left) if *left > length => {
            *left -= length;
            (length, false)
        }
        Some(left) => (*left, true),
    };
    if cut {
        *limit = None;
        faults.cuts += 1;
    }
    match way {
        Way::Requests => faults.request_bytes += let_pass as u64,
        Way::Replies => faults.reply_bytes += let_pass as u64,
    }
    (let_pass, cut)
}
