//! The Redis journal over TLS, through a socket, and as a user who may not do everything, on a real server.

mod servers;

use std::path::Path;
use std::time::Duration;

use farerush_engine::flight::{Epoch, FlightId};
use farerush_engine::journal::{Claim, Journal, JournalError};
use farerush_persistence::journal::{RedisJournal, RedisOptions};
use servers::{RedisServer, free_port};
use tempfile::TempDir;

/// What a gateway's user needs, as docs/running.md says it.
const ACL: [&str; 14] = [
    "on",
    ">s3cret",
    "~farerush:*",
    "resetchannels",
    "+@read",
    "+@write",
    "+@transaction",
    "+ping",
    "+select",
    "+wait",
    "+eval",
    "+time",
    "+info",
    "+config|get",
];

fn open(url: &str) -> Result<RedisJournal, JournalError> {
    let patient = Duration::from_secs(10);
    let options =
        RedisOptions { connect_timeout: patient, response_timeout: patient, ..RedisOptions::default() };
    RedisJournal::open(url, options)
}

/// Claims a flight, and finds the claim: writes, reads, and the check of the server's settings.
fn works(url: &str) {
    let journal = open(url).unwrap_or_else(|error| panic!("{url}: {error:?}"));
    assert_eq!(journal.complaints(), [""; 0], "{url}");
    let flight_id = FlightId::new("FR1").unwrap();
    let epoch = journal.epochs(std::slice::from_ref(&flight_id)).unwrap()[0].map_or(1, |epoch| epoch.0 + 1);
    journal.fence(&[Claim { flight_id: flight_id.clone(), epoch: Epoch(epoch) }]).unwrap();
    assert_eq!(journal.epochs(&[flight_id]).unwrap(), [Some(Epoch(epoch))], "{url}");
    journal.probe().unwrap();
    assert!(journal.identity(true).unwrap().is_some());
    assert!(!journal.describe().contains("s3cret"), "{}", journal.describe());
}

fn is_refused(url: &str, expected: &str) {
    let error = match open(url) {
        Ok(_) => panic!("{url} is taken"),
        Err(error) => format!("{error:?}"),
    };
    assert!(error.contains(expected) && !error.contains("s3cret"), "{url}: {error}");
}

/// A CA, another one, and certificates by the first one for the server and for a client.
fn certificates() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let script = "printf 'subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n' > server.ext
        for ca in ca other; do openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
            -keyout $ca.key -out $ca.pem -days 2 -subj /CN=$ca; done
        for who in server client; do
            openssl req -newkey rsa:2048 -nodes -keyout $who.key -out $who.csr -subj /CN=$who
            openssl x509 -req -in $who.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile server.ext \
                -days 2 -out $who.pem; done";
    let mut command = std::process::Command::new("sh");
    let output = command.current_dir(folder.path()).args(["-ec", script]).output().unwrap();
    assert!(output.status.success(), "openssl: {}", String::from_utf8_lossy(&output.stderr));
    folder
}

/// A server that speaks TLS on a second port, and that port.
fn with_tls(folder: &Path, clients: &str) -> (RedisServer, u16) {
    let port = free_port().to_string();
    let at = |name: &str| folder.join(name).display().to_string();
    let server = RedisServer::start(&[
        "--tls-port",
        &port,
        "--tls-cert-file",
        &at("server.pem"),
        "--tls-key-file",
        &at("server.key"),
        "--tls-ca-cert-file",
        &at("ca.pem"),
        "--tls-auth-clients",
        clients,
    ]);
    (server, port.parse().unwrap())
}

#[test]
fn tls_is_spoken_with_who_shows_a_certificate_by_the_ca_that_is_trusted_and_with_nobody_else() {
    let folder = certificates();
    let at = folder.path().display();
    let (server, port) = with_tls(folder.path(), "no");
    works(&format!("rediss://127.0.0.1:{port}/0?ssl-ca={at}/ca.pem"));
    is_refused(&format!("rediss://127.0.0.1:{port}/0?ssl-ca={at}/other.pem"), "certificate");
    is_refused(&format!("rediss://127.0.0.1:{port}/0"), "certificate");
    // The right certificate under a name that is not in it.
    is_refused(&format!("rediss://localhost:{port}/0?ssl-ca={at}/ca.pem"), "certificate");
    is_refused(&format!("rediss://127.0.0.1:{}/0?ssl-ca={at}/ca.pem", server.port()), "");
}

#[test]
fn a_server_that_wants_to_know_its_clients_is_shown_a_certificate() {
    let folder = certificates();
    let at = folder.path().display();
    let (_server, port) = with_tls(folder.path(), "yes");
    let url = format!("rediss://127.0.0.1:{port}/0?ssl-ca={at}/ca.pem");
    works(&format!("{url}&ssl-cert={at}/client.pem&ssl-key={at}/client.key"));
    is_refused(&url, "");
}

#[test]
fn a_user_who_may_do_no_more_than_is_needed_is_enough() {
    let server = RedisServer::start(&[]);
    let set = |name: &'static str, more: &[&'static str]| {
        let words: Vec<&str> =
            ["ACL", "SETUSER", name].into_iter().chain(ACL).chain(more.iter().copied()).collect();
        assert_eq!(server.command(&words).unwrap(), "+OK\r\n");
    };
    set("sales", &[]);
    let place = format!("127.0.0.1:{}/0", server.port());
    works(&format!("redis://sales:s3cret@{place}"));
    is_refused(&format!("redis://sales:wr0ng-s3cret@{place}"), "");
    is_refused(&format!("redis://nobody:s3cret@{place}"), "");
    // Without CONFIG it can be read and written, and is complained of: it cannot be asked.
    set("blind", &["-config"]);
    let journal = open(&format!("redis://blind:s3cret@{place}")).unwrap();
    let complaints = journal.complaints();
    assert!(
        complaints.len() == 4 && complaints.iter().all(|text| text.contains("could not check")),
        "{complaints:?}"
    );
    for wanted in [
        "appendonly yes",
        "appendfsync always",
        "no-appendfsync-on-rewrite no",
        "maxmemory-policy noeviction",
    ] {
        assert!(complaints.iter().any(|text| text.contains(wanted)), "{wanted}: {complaints:?}");
    }
}

#[test]
fn a_server_on_the_same_machine_is_spoken_to_through_its_socket() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("redis.sock").display().to_string();
    let server = RedisServer::start(&["--unixsocket", &socket]);
    let words: Vec<&str> = ["ACL", "SETUSER", "sales"].into_iter().chain(ACL).collect();
    assert_eq!(server.command(&words).unwrap(), "+OK\r\n");
    for url in [
        format!("unix://{socket}"),
        format!("redis+unix://{socket}?db=0"),
        format!("unix://{socket}?db=0&user=sales&pass=s3cret"),
    ] {
        works(&url);
    }
}
