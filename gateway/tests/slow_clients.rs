//! Clients that never read, trickle, or hold connections and do nothing: none of them keeps a new customer out, and none
//! holds memory for ever. Against the real program; descriptors are bounded, and the test raises its own limit for them.

#[path = "api/client.rs"]
#[allow(dead_code, reason = "this program uses a part of it")]
mod client;
mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::process::{Gateway, Plan};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::TestServer;

const NEVER_READ: usize = 500;
const TRICKLE: usize = 5_000;
/// So many come at once.
const WAVE: usize = 500;
/// Longer than anything takes; a hanging server fails instead of hanging the test.
const PATIENCE: Duration = Duration::from_secs(120);
/// A large answer that everybody may have: more than a megabyte.
const LARGE: &str = "/docs/ui/swagger-ui-bundle.js";
const BODY: &str = r#"{"customer_id":"newcomer","quantity":1}"#;

/// The clients' sockets are this process's, the server's those of another: so many of each.
fn allow_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    let wanted = (NEVER_READ + TRICKLE + 512) as u64;
    if limit.current.is_some_and(|current| current < wanted) {
        let raised = Rlimit { current: Some(wanted), maximum: limit.maximum };
        setrlimit(Resource::Nofile, raised).expect("6,012 open files are allowed");
    }
}

fn started(plan: &Plan) -> Gateway {
    let mut gateway = plan.start();
    gateway.wait_ready(PATIENCE).unwrap_or_else(|why| panic!("{why}"));
    gateway
}

/// Asks for something large, again and again, and reads nothing; comes back whenever it is thrown out.
async fn never_read(address: SocketAddr, came: Arc<AtomicUsize>) {
    loop {
        if let Ok(mut stream) = TcpStream::connect(address).await {
            came.fetch_add(1, Ordering::Relaxed);
            let request = format!("GET {LARGE} HTTP/1.1\r\nhost: t\r\n\r\n");
            while stream.write_all(request.as_bytes()).await.is_ok() {
                pause(500).await;
            }
        }
        pause(3_000).await;
    }
}

/// Sends a byte of a head (or of a body) a second, and comes back whenever it is thrown out.
async fn trickle(address: SocketAddr, number: usize, came: Arc<AtomicUsize>) {
    let head = "POST /v1/flights/DEMO1/orders HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\n";
    let start = match number % 3 {
        0 => "P".to_owned(),
        1 => head.to_owned(),
        _ => format!("{head}content-length: 1000\r\n\r\n"),
    };
    loop {
        if let Ok(mut stream) = TcpStream::connect(address).await {
            came.fetch_add(1, Ordering::Relaxed);
            let mut sent = stream.write_all(start.as_bytes()).await;
            while sent.is_ok() {
                pause(1_000).await;
                sent = stream.write_all(b"x").await;
            }
        }
        pause(3_000).await;
    }
}

/// An attacker's own pace; nothing is waited for with it.
async fn pause(most_ms: u64) {
    tokio::time::sleep(Duration::from_millis(fastrand::u64(most_ms / 2..=most_ms))).await;
}

/// A customer who has never been here: connects, grabs, reads the answer. Gives the status and how long it took.
async fn newcomer(address: SocketAddr) -> (u16, Duration) {
    let began = Instant::now();
    let grab = async {
        let mut stream = TcpStream::connect(address).await.expect("it connects");
        let request = format!(
            "POST /v1/flights/DEMO1/orders HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{BODY}",
            BODY.len()
        );
        stream.write_all(request.as_bytes()).await.expect("it sends");
        let mut start = [0; 12];
        stream.read_exact(&mut start).await.expect("it is answered");
        String::from_utf8_lossy(&start[9..]).parse().expect("a status")
    };
    let status = tokio::time::timeout(PATIENCE, grab).await.expect("a new customer is kept out");
    (status, began.elapsed())
}

async fn besieged(settings: &[(&str, &str)]) {
    allow_descriptors();
    let folder = tempfile::tempdir().unwrap();
    let plan = Plan::embedded(folder.path()).with("demo", "true").with("max_connections", "64");
    let plan = settings.iter().fold(plan, |plan, (key, value)| plan.with(key, value));
    let gateway = tokio::task::block_in_place(|| started(&plan));
    let address = gateway.address();
    let came: [Arc<AtomicUsize>; 2] = Default::default();
    let mut attackers = tokio::task::JoinSet::new();
    let until = Instant::now() + PATIENCE;
    let have_come = || [&came[0], &came[1]].map(|came| came.load(Ordering::Relaxed));
    // In waves: what the kernel's own queue (4,096) cannot take would only come a second later, newcomers as well.
    for number in 0..NEVER_READ + TRICKLE {
        if number < NEVER_READ {
            attackers.spawn(never_read(address, came[0].clone()));
        } else {
            attackers.spawn(trickle(address, number, came[1].clone()));
        }
        while number % WAVE == 0 && have_come().iter().sum::<usize>() < number {
            assert!(Instant::now() < until, "only {:?} came", have_come());
            tokio::task::yield_now().await;
        }
    }
    while have_come()[0] < NEVER_READ || have_come()[1] < TRICKLE {
        assert!(Instant::now() < until, "only {:?} came", have_come());
        tokio::task::yield_now().await;
    }
    // Others share this machine, and a debug build is slow at letting thousands in: one of three times has to hold.
    let mut said = Vec::new();
    for _ in 0..3 {
        let mut took = Vec::new();
        for _ in 0..8 {
            let (status, time) = newcomer(address).await;
            assert_eq!(status, 201);
            took.push(time);
        }
        println!("{:?} came; new customers' grabs took {took:?}", have_come());
        said.push(took);
        if said.last().is_some_and(|took| took.iter().all(|time| *time < Duration::from_secs(1))) {
            break;
        }
        assert!(said.len() < 3, "{said:?}");
    }
    drop(attackers);
    tokio::task::block_in_place(|| gateway.stop());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_customer_s_grab_is_answered_within_a_second_among_500_who_never_read_and_5000_who_trickle() {
    besieged(&[]).await;
    besieged(&[("max_connections_per_address", "16")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_who_never_read_hold_little_and_not_for_long() {
    allow_descriptors();
    let folder = tempfile::tempdir().unwrap();
    let plan = Plan::embedded(folder.path())
        .with("demo", "true")
        .with("answer_timeout_ms", "3000")
        .with("idle_timeout_ms", "6000");
    let gateway = tokio::task::block_in_place(|| started(&plan));
    let before = gateway.resident_bytes();
    let mut clients = Vec::new();
    for number in 0..NEVER_READ {
        let mut stream = TcpStream::connect(gateway.address()).await.unwrap();
        // Half of them on the short way, half on the other one.
        let header = if number % 2 == 0 { "" } else { "te: trailers\r\n" };
        let request = format!("GET {LARGE} HTTP/1.1\r\nhost: t\r\n{header}\r\n");
        // More than any buffer takes: some are answered out of the system's.
        for _ in 0..4 {
            stream.write_all(request.as_bytes()).await.unwrap();
        }
        clients.push(stream);
    }
    let until = Instant::now() + PATIENCE;
    let (mut most, mut open) = (0, NEVER_READ);
    while open > 1 {
        assert!(Instant::now() < until, "{open} are held still");
        most = most.max(gateway.resident_bytes());
        open = open_connections(gateway.address()).await;
    }
    let grown = most.saturating_sub(before);
    println!("{NEVER_READ} who never read made it grow by {} MiB at most", grown >> 20);
    assert!(grown < 320 << 20, "{} MiB", grown >> 20);
    drop(clients);
    tokio::task::block_in_place(|| gateway.stop());
}

/// Connections that the server holds, this question's among them.
async fn open_connections(address: SocketAddr) -> usize {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).await.unwrap();
    let line = page.lines().find_map(|line| line.strip_prefix("farerush_connections_open "));
    line.expect("the page has the figure").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_takes_its_time_but_reads_gets_all_of_its_answer() {
    let server = TestServer::with(&[("answer_timeout_ms", "500")]).await;
    for header in ["", "te: trailers\r\n"] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let request = format!("GET {LARGE} HTTP/1.1\r\nhost: t\r\n{header}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut bite = vec![0; 256 << 10];
        let (mut read, mut all) = (0, usize::MAX);
        while read < all {
            pause(200).await;
            let count = stream.read(&mut bite).await.expect("it is not cut off");
            assert!(count > 0, "it ended after {read} of {all} bytes");
            if read == 0 {
                all = whole_length(&bite[..count]);
            }
            read += count;
        }
        assert!(all > 1 << 20, "{all} bytes are not much");
    }
}

/// Head and body together.
fn whole_length(start: &[u8]) -> usize {
    let text = String::from_utf8_lossy(start);
    let (head, _) = text.split_once("\r\n\r\n").expect("the head comes at once");
    let length = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned));
    head.len() + 4 + length.expect("a length").trim().parse::<usize>().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_who_follows_a_flight_live_and_reads_leaves_for_a_newcomer_only_after_those_who_idle() {
    let server = TestServer::with(&[("max_connections", "2")]).await;
    let mut live = TcpStream::connect(server.address).await.unwrap();
    live.write_all(b"GET /v1/flights/DEMO1/live HTTP/1.1\r\nhost: t\r\n\r\n").await.unwrap();
    let mut start = [0; 12];
    live.read_exact(&mut start).await.unwrap();
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    idle.write_all(b"GET").await.unwrap();
    server.grab("DEMO1", BODY).await;
    let read =
        tokio::time::timeout(PATIENCE, idle.read(&mut [0; 16])).await.expect("it is kept all the same");
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    let mut more = [0; 1];
    live.read_exact(&mut more).await.expect("it follows on");
}
