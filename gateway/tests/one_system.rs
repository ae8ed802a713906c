//! What several servers do together so that a client meets one system: limits, figures, what admins have done.
//! Never waits for a time, but where something is counted per second.

#[path = "support/rig.rs"]
mod rig;
#[path = "../../persistence/tests/servers/mod.rs"]
mod servers;
mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rig::{Asked, PATIENCE, Rig, until};
use rustix::process::Signal;
use support::process::{Gateway, TOKEN};

/// A limit, in requests a second, and so many seconds of which it is looked at.
const LIMIT: u32 = 100;
const SECONDS: u32 = 5;

/// The status of the next answer on a connection that is kept.
fn ask(stream: &mut TcpStream, request: &str) -> u16 {
    stream.write_all(request.as_bytes()).unwrap();
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split('\r').next());
    let mut body = vec![0; length.unwrap_or("0").parse().unwrap()];
    stream.read_exact(&mut body).unwrap();
    head.split(' ').nth(1).unwrap().parse().unwrap()
}

/// How many requests a second pass of those that two clients send to these servers in turn: after the burst that is allowed
/// at once, on average, and at most in any one second.
fn let_through(servers: &[SocketAddr], request: &str) -> (f64, u32) {
    let seconds: Vec<AtomicU32> = (0..=SECONDS).map(|_| AtomicU32::new(0)).collect();
    let began = Instant::now();
    std::thread::scope(|scope| {
        for client in 0..2 {
            let seconds = &seconds;
            scope.spawn(move || {
                let mut streams: Vec<TcpStream> =
                    servers.iter().map(|server| TcpStream::connect(server).unwrap()).collect();
                for stream in &streams {
                    stream.set_read_timeout(Some(PATIENCE)).unwrap();
                }
                let count = streams.len();
                for n in client.. {
                    let passes = ask(&mut streams[n % count], request) != 429;
                    let Some(second) = seconds.get(began.elapsed().as_secs() as usize) else { return };
                    second.fetch_add(u32::from(passes), Ordering::Relaxed);
                    // Some four hundred a second: enough to be refused, and little enough not to be busy with that alone.
                    std::thread::park_timeout(Duration::from_millis(5));
                }
            });
        }
    });
    let after_the_burst: Vec<u32> = seconds[1..].iter().map(|count| count.load(Ordering::Relaxed)).collect();
    let average = f64::from(after_the_burst.iter().sum::<u32>()) / f64::from(SECONDS);
    (average, after_the_burst.into_iter().max().unwrap())
}

fn addresses(gateways: &[Gateway]) -> Vec<SocketAddr> {
    gateways.iter().map(Gateway::address).collect()
}

fn check_limit(what: &str, (average, most): (f64, u32)) {
    println!("{what}: {average:.1} a second, {most} at most in one");
    assert!((85.0..=110.0).contains(&average), "{what}: {average}");
    // Whoever was kept from asking for a moment may make up for it at once.
    assert!(most <= 2 * LIMIT, "{what}: {most}");
}

#[test]
fn a_limit_is_the_system_s_whichever_servers_are_asked() {
    let rig = Rig::new();
    let limit = LIMIT.to_string();
    let limits = [
        ("rate_limit_per_address", limit.as_str()),
        ("rate_limit_per_customer", &limit),
        ("rate_limit_per_token", &limit),
        ("trusted_proxies", "127.0.0.0/8"),
    ];
    let gateways = rig::together(&rig, &["one", "two", "three"], &limits);
    let all = addresses(&gateways);
    let nowhere = |address: &str| format!("GET /nowhere HTTP/1.1\r\nhost: t\r\nx-forwarded-for: {address}\r\n\r\n");
    for (n, address) in ["203.0.113.1", "203.0.113.2", "203.0.113.3"].into_iter().enumerate() {
        check_limit("an address at three servers", let_through(&all, &nowhere(address)));
        if n == 0 {
            check_limit("an address at one server", let_through(&all[..1], &nowhere("203.0.113.9")));
        }
    }
    let token = format!(
        "GET /v1/admin/servers HTTP/1.1\r\nhost: t\r\nx-forwarded-for: 203.0.113.20\r\nauthorization: Bearer {TOKEN}\r\n\r\n"
    );
    // The address may ask no more often.
    check_limit("an admin's token", let_through(&all, &token));
    // A burst is allowed at once, all of it at one server as well.
    let mut stream = TcpStream::connect(all[1]).unwrap();
    let passed = (0..LIMIT).filter(|_| ask(&mut stream, &nowhere("203.0.113.30")) != 429).count();
    assert_eq!(passed, LIMIT as usize, "nobody is refused before they have had what one server would let through");
    rig.redis.stop();
    check_limit("an address while Redis is stopped", let_through(&all, &nowhere("203.0.113.40")));
    rig.redis.cont();
    until("the servers share flights again", || gateways.iter().all(|gateway| gateway.get("/readyz").0 == 200));
    // One that is asleep counts for nobody: each of the others lets its part through, until it is taken to be gone.
    gateways[2].signal(Signal::STOP);
    for address in ["203.0.113.50", "203.0.113.51", "203.0.113.52"] {
        let (average, most) = let_through(&all[..2], &nowhere(address));
        println!("while a server is asleep: {average:.1} a second, {most} at most in one");
        assert!((60.0..=110.0).contains(&average), "{average}");
    }
    gateways[2].signal(Signal::CONT);
}
