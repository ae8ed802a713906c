//! What holds of any bytes sent to the server: it answers with a status of its own, never 500, or closes, and lives.
//! Never waits for more than a moment.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::OnceLock;
use std::time::Duration;

use farerush::start::config::{Settings, Values};
use farerush::start::serve::{self, Running};

/// The token of the server's admin.
pub(crate) const TOKEN: &str = "a-token-for-fuzzing";
/// How long an answer may take to begin; a request that is not whole has none.
const MOMENT: Duration = Duration::from_millis(5);
/// Enough of an answer to judge it.
const ANSWER_BYTES_MAX: usize = 1 << 20;

struct Server {
    address: SocketAddr,
    _runtime: tokio::runtime::Runtime,
    _running: Running,
    _data_dir: tempfile::TempDir,
}

/// One server for the whole process, with everything in memory but the store.
fn server() -> SocketAddr {
    static SERVER: OnceLock<Server> = OnceLock::new();
    let start = || {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let data_dir = tempfile::tempdir().expect("a folder");
        let mut values = Values::default();
        values.set("listen", "127.0.0.1:0");
        values.set("data_dir", data_dir.path().to_str().expect("a readable name"));
        values.set("journal", "memory:");
        values.set("admin_token", TOKEN);
        values.set("demo", "true");
        values.set("log_filter", "off");
        values.set("hosts", "*");
        let settings = Settings::from_values(&values).expect("good settings");
        let running = runtime.block_on(serve::start(settings)).expect("the server starts");
        Server { address: running.address, _runtime: runtime, _running: running, _data_dir: data_dir }
    };
    SERVER.get_or_init(start).address
}

/// Sends the bytes on a connection of their own and judges the first answer.
pub(crate) fn request(bytes: &[u8]) {
    let answer = exchange(bytes).expect("the server takes connections");
    if answer.is_empty() {
        return;
    }
    let head = String::from_utf8_lossy(&answer[..answer.len().min(12)]).into_owned();
    let version = head.strip_prefix("HTTP/1.1 ").or_else(|| head.strip_prefix("HTTP/1.0 "));
    let status: Option<u16> = version.and_then(|rest| rest.parse().ok());
    let known = status.is_some_and(|status| (100..=505).contains(&status) && status != 500);
    assert!(known, "{}", String::from_utf8_lossy(&answer));
}

/// Whether the server answers a good request; to be asked at the end.
pub(crate) fn is_alive() -> bool {
    let request = b"GET /livez HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n";
    (0..1000).any(|_| exchange(request).is_ok_and(|answer| answer.starts_with(b"HTTP/1.1 200")))
}

fn exchange(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server())?;
    stream.set_read_timeout(Some(MOMENT))?;
    stream.set_write_timeout(Some(Duration::from_secs(5)))?;
    // One that was refused half-way may have been closed already.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let mut piece = [0; 16 << 10];
    while answer.len() < ANSWER_BYTES_MAX && !is_whole(&answer) {
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => answer.extend_from_slice(&piece[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::Interrupted) => {
                break;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(answer)
}

/// Whether this is a response with all of its body, where its length is given.
fn is_whole(answer: &[u8]) -> bool {
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    length.is_some_and(|length| answer.len() >= end + 4 + length)
}
