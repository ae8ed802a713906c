//! `farerush import` and the real server: a file is there as a whole or not at all, whenever the server is killed, and
//! the command says what is wrong with which line.

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Output};
use std::time::Duration;

use support::client::{Client, Outcome, Request};
use support::process::{Plan, TOKEN};
use support::world::START_PATIENCE;

/// Flights of a file that is imported while the server is killed.
const FLIGHTS: usize = 300;

fn file(round: u32) -> String {
    use std::fmt::Write;
    let mut text =
        "flight_id,flight_number,origin,destination,departs_at,aircraft,fare,currency,state\n".to_owned();
    for number in 0..FLIGHTS {
        let _ = writeln!(text, "R{round}-{number},FR{number},TPE,NRT,2030-05-06T23:30:00Z,AT76,100,TWD,open");
    }
    text
}

fn flights_there(address: SocketAddr, round: u32) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut client = Client::new(address);
        let mut there = 0;
        for number in 0..FLIGHTS {
            let path = format!("/v1/flights/R{round}-{number}");
            match client.call(&Request::get(&path)).await {
                Outcome::Done(_) => there += 1,
                Outcome::Refused(_) => {}
                outcome => panic!("{path}: {outcome:?}"),
            }
        }
        there
    })
}

#[test]
fn a_file_is_there_as_a_whole_or_not_at_all_whenever_the_server_is_killed() {
    let seed = support::seed();
    println!("import: FARERUSH_TEST_SEED={seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let folder = tempfile::tempdir().unwrap();
    let plan = Plan::embedded(folder.path());
    let (mut whole, rounds) = (0, support::rounds(6));
    for round in 0..rounds {
        let mut gateway = plan.start();
        let address = gateway.wait_ready(START_PATIENCE).unwrap();
        let body = file(round);
        let sending = std::thread::spawn(move || -> std::io::Result<String> {
            let mut stream = TcpStream::connect(address)?;
            write!(
                stream,
                "POST /v1/admin/flights/import HTTP/1.1\r\nhost: t\r\nauthorization: Bearer {TOKEN}\r\n\
                 content-type: text/csv\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            )?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        });
        // At any moment from the file's arrival to some time after its answer.
        std::thread::sleep(Duration::from_micros(rng.u64(..150_000)));
        gateway.kill();
        let acknowledged = sending.join().unwrap().is_ok_and(|answer| answer.starts_with("HTTP/1.1 201"));
        let mut gateway = plan.start();
        let address = gateway.wait_ready(START_PATIENCE).unwrap();
        let there = flights_there(address, round);
        assert!(there == 0 || there == FLIGHTS, "round {round}: {there} of {FLIGHTS} flights are there");
        assert!(!acknowledged || there == FLIGHTS, "round {round}: the file was acknowledged, and is gone");
        whole += u32::from(there > 0);
        gateway.stop();
    }
    println!("import: {whole} of {rounds} files were there");
    let verified = plan.run("verify");
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}

#[test]
fn the_command_names_bad_lines_and_imports_several_files_only_if_all_are_good() {
    let folder = tempfile::tempdir().unwrap();
    let plan = Plan::embedded(folder.path());
    let mut gateway = plan.start();
    let address = gateway.wait_ready(START_PATIENCE).unwrap();
    let write = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).unwrap();
        name.to_owned()
    };
    let good = write("good.csv", &file(1));
    let bad = write("bad.csv", &file(2).replace("R2-7,FR7,TPE,NRT", "R2-7,FR7,TPE,TPE"));
    let run = |arguments: &[&str]| -> Output {
        let url = format!("http://{address}");
        let mut command = Command::new(env!("CARGO_BIN_EXE_farerush"));
        command.current_dir(folder.path()).env_clear().env("FARERUSH_ADMIN_TOKEN", TOKEN);
        command.arg("import").args(["--url", &url]).args(arguments).output().unwrap()
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let refused = run(&[&good, &bad]);
    let shown = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(shown.contains("bad.csv:9: destination: must not be the origin"), "{shown}");
    assert_eq!((flights_there(address, 1), flights_there(address, 2)), (0, 0));
    let dry = run(&["--dry-run", &good]);
    assert!(dry.status.success() && text(&dry.stdout).contains("good, 300 flights"), "{dry:?}");
    assert_eq!(flights_there(address, 1), 0);
    let done = run(&[&good]);
    assert!(done.status.success() && text(&done.stdout).contains("300 flights created"), "{done:?}");
    assert_eq!(flights_there(address, 1), FLIGHTS);
    assert_eq!(run(&[&good]).status.code(), Some(1));
    let again = run(&["--skip-existing", &good]);
    assert!(again.status.success() && text(&again.stdout).contains("300 were there already"), "{again:?}");
    assert_eq!(run(&["--token", "wrong-token-wrong-token", &good]).status.code(), Some(1));
    assert_eq!(run(&["nothing.csv"]).status.code(), Some(2));
    assert_eq!(run(&[&good, "--url", "http://127.0.0.1:1"]).status.code(), Some(2));
    gateway.stop();
}

#[test]
fn a_file_of_nothing_but_commas_takes_a_small_multiple_of_itself() {
    const BYTES: usize = 16 << 20;
    let folder = tempfile::tempdir().unwrap();
    let mut gateway = Plan::embedded(folder.path()).start();
    let address = gateway.wait_ready(START_PATIENCE).unwrap();
    let header = "flight_number,origin\n";
    for (media_type, unit, head) in [
        ("text/csv", ",", ""),
        ("text/csv", ",", header),
        ("text/csv", "\"\",", header),
        ("text/csv", "\n,", header),
        ("text/csv", "x", "\""),
        ("application/x-ndjson", "1,", "["),
        ("application/x-ndjson", "{},", "{\"a\":["),
        ("application/x-ndjson", "[", ""),
        ("application/x-ndjson", " \n", ""),
    ] {
        let body = format!("{head}{}", unit.repeat((BYTES - head.len()) / unit.len()));
        let before = gateway.peak_bytes();
        let mut stream = TcpStream::connect(address).unwrap();
        write!(
            stream,
            "POST /v1/admin/flights/import HTTP/1.1\r\nhost: t\r\nauthorization: Bearer {TOKEN}\r\n\
             content-type: {media_type}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400"), "{media_type} {unit:?}: {answer}");
        let grown = gateway.peak_bytes().saturating_sub(before);
        assert!(grown < 5 * BYTES as u64, "{media_type} {unit:?} took {} MiB", grown >> 20);
    }
}
