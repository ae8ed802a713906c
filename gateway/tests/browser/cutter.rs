//! A proxy that loses one answer: it passes a request on and cuts the connection when the server begins to reply.
//! Never changes what it lets pass.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// How a request is picked out: the beginning and the end of its first line's address.
const GRAB: (&str, &str) = ("POST /v1/flights/", "/orders HTTP/1.1\r\n");

/// What is to go wrong, and what went through.
#[derive(Default)]
struct State {
    /// So many more grabs lose their reply.
    replies_to_lose: AtomicUsize,
    /// So many more grabs do not even reach the server.
    requests_to_lose: AtomicUsize,
    /// Grabs that reached the server.
    grabs: AtomicUsize,
    /// Whether nobody gets through.
    away: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

/// Listens on a loopback port of its own, in front of one server.
pub(crate) struct Cutter {
    address: SocketAddr,
    state: Arc<State>,
}

impl Cutter {
    pub(crate) fn before(target: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        // It ends with the test program.
        std::thread::spawn(move || {
            for browser in listener.incoming().map_while(Result::ok) {
                if !shared.away.load(Ordering::SeqCst) {
                    connect(browser, target, &shared);
                }
            }
        });
        Self { address, state }
    }

    pub(crate) fn site(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The next so many grabs are done by the server, and nobody hears of it.
    pub(crate) fn loses_replies(&self, count: usize) {
        self.state.replies_to_lose.store(count, Ordering::SeqCst);
    }

    /// The next so many grabs are lost on their way to the server.
    pub(crate) fn loses_requests(&self, count: usize) {
        self.state.requests_to_lose.store(count, Ordering::SeqCst);
    }

    /// Cuts all connections; while `away`, new ones are closed at once.
    pub(crate) fn is_away(&self, away: bool) {
        self.state.away.store(away, Ordering::SeqCst);
        if away {
            let mut open = self.state.open.lock().unwrap_or_else(PoisonError::into_inner);
            for stream in open.drain(..) {
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
    }

    /// How many grabs have reached the server.
    pub(crate) fn grabs(&self) -> usize {
        self.state.grabs.load(Ordering::SeqCst)
    }
}

fn connect(browser: TcpStream, target: SocketAddr, state: &Arc<State>) {
    let Ok(server) = TcpStream::connect(target) else { return };
    let copies = (browser.try_clone(), server.try_clone(), browser.try_clone(), server.try_clone());
    let (Ok(browser_in), Ok(server_in), Ok(browser_kept), Ok(server_kept)) = copies else { return };
    state.open.lock().unwrap_or_else(PoisonError::into_inner).extend([browser_kept, server_kept]);
    let doomed = Arc::new(AtomicBool::new(false));
    let (state, doomed_too) = (Arc::clone(state), Arc::clone(&doomed));
    std::thread::spawn(move || pass_requests(browser_in, server, &state, &doomed));
    std::thread::spawn(move || pass_replies(server_in, browser, &doomed_too));
}

fn pass_requests(mut from: TcpStream, mut to: TcpStream, state: &State, doomed: &AtomicBool) {
    let mut buffer = vec![0; 64 << 10];
    // A browser sends a request's head at once, and nothing else before the reply.
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if is_grab(&buffer[..length]) {
            if take_one(&state.requests_to_lose) {
                break;
            }
            state.grabs.fetch_add(1, Ordering::SeqCst);
            doomed.store(take_one(&state.replies_to_lose), Ordering::SeqCst);
        }
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

fn pass_replies(mut from: TcpStream, mut to: TcpStream, doomed: &AtomicBool) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if doomed.load(Ordering::SeqCst) || to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

fn is_grab(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let end = text.find("\r\n").map_or(0, |end| end + 2);
    text[..end].starts_with(GRAB.0) && text[..end].ends_with(GRAB.1)
}

/// Takes one off, if there is one.
fn take_one(count: &AtomicUsize) -> bool {
    count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |count| count.checked_sub(1)).is_ok()
}
