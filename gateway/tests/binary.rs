//! The binary as people start it: settings, the other commands, signals, and two of them at once.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);
/// The admin's token, for servers that are started with it.
const TOKEN: &str = "a-token-for-tests-only";
/// Where a server's log goes, in the directory it is started in.
const LOG: &str = "server.log";

fn farerush(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_farerush"));
    command.current_dir(directory).env_clear();
    command
}

fn run(directory: &Path, arguments: &[&str]) -> Output {
    farerush(directory).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A server of its own process; killed when dropped.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(directory: &Path, arguments: &[&str]) -> Self {
        let mut command = farerush(directory);
        let log = File::options().create(true).append(true).open(directory.join(LOG)).unwrap();
        command.args(["--listen", "127.0.0.1:0"]).args(arguments).stdout(Stdio::piped()).stderr(log);
        Self::start_by(command)
    }

    /// The same by a shell that has been told something before, such as `umask 0`.
    fn start_after(directory: &Path, told: &str, arguments: &[&str]) -> Self {
        let log = File::options().create(true).append(true).open(directory.join(LOG)).unwrap();
        let mut command = Command::new("sh");
        command.current_dir(directory).env_clear().args(["-c", &format!("{told}; exec \"$0\" \"$@\"")]);
        command.arg(env!("CARGO_BIN_EXE_farerush")).args(["--listen", "127.0.0.1:0"]).args(arguments);
        command.stdout(Stdio::piped()).stderr(log);
        Self::start_by(command)
    }

    fn start_by(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on http://").expect("no address").to_owned();
        Self { child, address }
    }

    fn request(&self, head: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let length = body.len();
        write!(
            stream,
            "{head} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nauthorization: Bearer {TOKEN}\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        text(&answer)
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    fn wait(&mut self) -> Option<i32> {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < until, "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_bad_setting_ends_the_start_and_is_named() {
    let directory = tempfile::tempdir().unwrap();
    for (arguments, expected) in [
        (&["--durability", "disk"][..], "setting `durability` (from the flag --durability)"),
        (&["--journal", "redis+tls://localhost:6379/0"], "rediss://"),
        (&["--store", "mariadb://a:b@h/d"], "written mysql://"),
        (&["--customer-auth", "jwt"], "jwt needs jwt_key or jwt_public_key_file"),
        (&["--no-such-thing", "1"], "--no-such-thing"),
        (&["laod"], "laod"),
    ] {
        let output = run(directory.path(), arguments);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(text(&output.stderr).contains(expected), "{output:?}");
    }
    std::fs::write(directory.path().join("farerush.toml"), "lissten = \"x\"").unwrap();
    let output = run(directory.path(), &["migrate"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("unknown setting `lissten`"), "{output:?}");
    assert!(!directory.path().join("data").exists(), "nothing was touched");
}

#[test]
fn help_names_every_setting() {
    let directory = tempfile::tempdir().unwrap();
    let help = text(&run(directory.path(), &["--help"]).stdout);
    for key in farerush::start::config::KEYS {
        assert!(help.contains(&format!("--{}", key.flag())), "{}", key.name);
        assert!(help.contains(&key.variable()), "{}", key.name);
    }
    assert!(help.contains("migrate") && help.contains("verify"), "{help}");
}

#[test]
fn migrate_says_what_it_did_and_does_it_once() {
    let directory = tempfile::tempdir().unwrap();
    let first = text(&run(directory.path(), &["migrate"]).stdout);
    assert!(first.contains("0001 initial: applied now"), "{first}");
    let second = text(&run(directory.path(), &["migrate"]).stdout);
    assert!(second.contains("0001 initial: was applied before"), "{second}");
}

#[test]
fn sigterm_ends_it_with_0_and_everything_is_there_afterwards() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = Server::start(directory.path(), &[]);
    for customer in 0..20 {
        let body = format!("{{\"customer_id\":\"u{customer}\",\"quantity\":3}}");
        let answer = server.request("POST /v1/flights/DEMO1/orders", &body);
        assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    }
    server.signal("-TERM");
    let began = Instant::now();
    assert_eq!(server.wait(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(10));
    let verified = run(directory.path(), &["verify"]);
    let table = text(&verified.stdout);
    assert_eq!(verified.status.code(), Some(0), "{table}");
    assert!(table.contains("DEMO1") && table.contains("5 flights, 0 with a difference"), "{table}");
    let mut server = Server::start(directory.path(), &[]);
    let answer = server.request("GET /v1/flights/DEMO1", "");
    assert!(answer.contains("\"available\":120"), "{answer}");
    // The demo flights are not made again, and the token stays.
    let token = std::fs::read_to_string(directory.path().join("data/admin.token")).unwrap();
    assert_eq!(token.trim().len(), 64);
    server.signal("-INT");
    assert_eq!(server.wait(), Some(0));
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = Server::start(directory.path(), &[]);
    // A request that never becomes whole keeps the first stop waiting.
    let mut stuck = TcpStream::connect(&server.address).unwrap();
    stuck
        .write_all(
            b"POST /v1/flights/DEMO1/orders HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{",
        )
        .unwrap();
    let answer = server.request("GET /livez", "");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    server.signal("-TERM");
    // Stopping has begun once nobody is let in any more.
    let until = Instant::now() + PATIENCE;
    while TcpStream::connect(&server.address).is_ok() {
        assert!(Instant::now() < until, "it still listens");
    }
    let began = Instant::now();
    server.signal("-TERM");
    assert_eq!(server.wait(), Some(1));
    assert!(began.elapsed() < Duration::from_secs(3));
}

#[test]
fn a_second_one_on_the_same_data_is_turned_away() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]);
    let second = run(directory.path(), &["--listen", "127.0.0.1:0"]);
    assert_eq!(second.status.code(), Some(1));
    assert!(text(&second.stderr).contains("another farerush process uses"), "{second:?}");
    let verify = run(directory.path(), &["verify"]);
    assert!(text(&verify.stderr).contains("another process uses the journal"), "{verify:?}");
    assert!(server.request("GET /readyz", "").starts_with("HTTP/1.1 200"));
}

#[test]
fn an_address_in_use_is_said_before_anything_is_recovered() {
    let directory = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]);
    let second = run(other.path(), &["--listen", &server.address]);
    assert_eq!(second.status.code(), Some(1));
    assert!(text(&second.stderr).contains(&format!("cannot listen on {}", server.address)), "{second:?}");
}

#[test]
fn who_starts_a_rehearsal_is_in_the_log_and_sigterm_waits_for_none() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = Server::start(directory.path(), &["--admin-token", TOKEN]);
    let plan = r#"{"customers":100000,"over_seconds":120}"#;
    let answer = server.request("POST /v1/admin/flights/DEMO3/rehearsals", plan);
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    server.signal("-TERM");
    assert_eq!(server.wait(), Some(0));
    let log = std::fs::read_to_string(directory.path().join(LOG)).unwrap();
    let line = |words: &str| log.lines().find(|line| line.contains(words)).unwrap_or_else(|| panic!("{log}"));
    let begun = line("a rehearsal has begun");
    for field in ["flight_id=DEMO3", "by=\"admin\"", "customers=100000", "over_seconds=120"] {
        assert!(begun.contains(field), "{begun}");
    }
    assert!(line("a rehearsal has ended").contains("state=\"stopped\""), "{log}");
}

#[test]
fn commands_that_only_look_make_nothing_where_nothing_is() {
    let directory = tempfile::tempdir().unwrap();
    let entries = || std::fs::read_dir(directory.path()).unwrap().count();
    for (arguments, missing) in [
        (&["verify", "--data-dir", "dta"][..], "there is no journal at dta/journal"),
        (&["token", "list", "--data-dir", "dta"], "there is no data directory at dta"),
        (&["token", "revoke", "--name", "ci", "--data-dir", "dta"], "there is no data directory at dta"),
        (&["token", "create", "--name", "ci", "--role", "viewer", "--data-dir", "dta"], "no data directory"),
    ] {
        let output = run(directory.path(), arguments);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(text(&output.stderr).contains(missing), "{output:?}");
        assert_eq!(entries(), 0, "{arguments:?} made something");
    }
    std::fs::create_dir(directory.path().join("empty")).unwrap();
    std::fs::create_dir(directory.path().join("empty/journal")).unwrap();
    for path in ["empty", "empty/journal"] {
        let output = run(directory.path(), &["verify", "--data-dir", path]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(text(&output.stderr).contains("there is no journal"), "{output:?}");
    }
    assert_eq!(std::fs::read_dir(directory.path().join("empty")).unwrap().count(), 1);
    assert_eq!(std::fs::read_dir(directory.path().join("empty/journal")).unwrap().count(), 0);
}

/// Every folder and file below, with its mode.
fn modes(path: &Path, found: &mut Vec<(std::path::PathBuf, u32)>) {
    use std::os::unix::fs::PermissionsExt;
    found.push((path.to_owned(), std::fs::metadata(path).unwrap().permissions().mode() & 0o7777));
    if path.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            modes(&entry.unwrap().path(), found);
        }
    }
}

fn assert_private(data: &Path) {
    let mut found = Vec::new();
    modes(data, &mut found);
    assert!(found.len() > 6, "{found:?}");
    for (path, mode) in found {
        assert_eq!(mode, if path.is_dir() { 0o700 } else { 0o600 }, "{} is {mode:o}", path.display());
    }
}

#[test]
fn whatever_the_umask_all_data_is_its_owner_s_alone_and_what_was_open_is_closed_up() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    for (umask, loosened) in [("umask 0", false), ("umask 0077", true)] {
        if loosened {
            let mut found = Vec::new();
            modes(&data, &mut found);
            for (path, _) in found.iter().filter(|(path, _)| !path.ends_with("admin.token")) {
                let mode = if path.is_dir() { 0o755 } else { 0o644 };
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
            }
        }
        let mut server = Server::start_after(directory.path(), umask, &[]);
        let (name, role) = (format!("t{}", umask.len()), "viewer");
        let output = run(directory.path(), &["token", "create", "--name", &name, "--role", role]);
        assert!(output.status.success(), "{output:?}");
        let answer = server.request("GET /v1/flights/DEMO1", "");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert_private(&data);
        server.signal("-TERM");
        assert_eq!(server.wait(), Some(0));
        assert_private(&data);
    }
}

#[test]
fn a_journal_that_is_only_memory_says_so_in_every_answer_and_warns() {
    let directory = tempfile::tempdir().unwrap();
    let arguments = ["--journal", "memory:", "--demo", "true", "--admin-token", TOKEN];
    let server = Server::start(directory.path(), &arguments);
    let body = r#"{"customer_id":"u","quantity":1}"#;
    let answer = server.request("POST /v1/flights/DEMO1/orders", body);
    assert!(answer.starts_with("HTTP/1.1 201") && answer.contains(r#""durability":"memory""#), "{answer}");
    let status = server.request("GET /v1/admin/status", "");
    assert!(status.contains(r#""durability":"memory""#), "{status}");
    let log = std::fs::read_to_string(directory.path().join(LOG)).unwrap();
    assert!(log.contains("WARN") && log.contains("is lost when this process ends"), "{log}");
}

#[test]
fn with_few_open_files_fewer_connections_are_taken_and_the_store_and_the_journal_have_theirs() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start_after(directory.path(), "ulimit -n 130", &["--admin-token", TOKEN]);
    // Somebody who comes anew each time, among a crowd that says nothing and so has to make room.
    let ask = |head: &str, body: &str| {
        let mut first = TcpStream::connect(&server.address).unwrap();
        first.set_read_timeout(Some(PATIENCE)).unwrap();
        let length = body.len();
        write!(first, "{head} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {TOKEN}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
            .unwrap();
        let mut answer = [0; 64 << 10];
        let length = first.read(&mut answer).unwrap();
        text(&answer[..length])
    };
    assert!(ask("GET /livez", "").starts_with("HTTP/1.1 200"));
    let crowd: Vec<TcpStream> = (0..200).map(|_| TcpStream::connect(&server.address).unwrap()).collect();
    // All that will be taken have been.
    let open = || std::fs::read_dir(format!("/proc/{}/fd", server.child.id())).unwrap().count();
    let until = Instant::now() + PATIENCE;
    while open() < 65 + 5 {
        assert!(Instant::now() < until, "only {} files are open", open());
        std::thread::sleep(Duration::from_millis(5));
    }
    for number in 0..20 {
        let body = format!(r#"{{"customer_id":"u{number}","quantity":1}}"#);
        assert!(ask("POST /v1/flights/DEMO1/orders", &body).starts_with("HTTP/1.1 201"));
        let listed = ask("GET /v1/admin/orders?limit=1", "");
        assert!(listed.starts_with("HTTP/1.1 200"), "{listed}");
    }
    assert!(open() < 130, "{} of 130 are open", open());
    drop(crowd);
}
