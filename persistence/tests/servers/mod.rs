//! Real servers for tests: child processes on free loopback ports, each with a temporary folder of its own.
//! Never leaves one behind: it is killed when its owner is dropped, and by the kernel when the tests' process dies.
#![allow(dead_code, reason = "each test file uses some of it")]

pub(crate) mod failing_over;
pub(crate) mod proxy;
pub(crate) mod redis;
pub(crate) mod sql;

#[allow(unused_imports, reason = "each test file uses some of them")]
pub(crate) use failing_over::{Cluster, Replicated, certificates};
#[allow(unused_imports, reason = "each test file uses some of them")]
pub(crate) use proxy::Proxy;
#[allow(unused_imports, reason = "each test file uses some of them")]
pub(crate) use redis::RedisServer;
#[allow(unused_imports, reason = "each test file uses some of them")]
pub(crate) use sql::{Flavour, SqlServer};

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock, mpsc};
use std::time::{Duration, Instant};

/// How long a server may take until it answers.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// Another process may take a free port before the server does.
const PORT_TRIES: usize = 5;
/// Where `scripts/servers` puts what it gets, unless `FARERUSH_SERVERS_DIR` says otherwise.
const SERVERS_DIR: &str = "/var/cache/farerush/servers";

/// Waits until `is_done`; `false` if that took longer than `patience`.
pub(crate) fn wait_until(patience: Duration, mut is_done: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + patience;
    loop {
        if is_done() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

/// A loopback port that nobody listens on at the moment.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("no free port").port()
}

/// Where a program is; panics with the Debian package it comes in if it is nowhere.
fn program(name: &str, package: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/usr/bin", "/sbin"].map(PathBuf::from));
    folders
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
        .unwrap_or_else(|| panic!("{name} is missing: install it with `apt-get install {package}`"))
}

/// Where `scripts/servers` puts MySQL, Valkey and a newer Redis; panics if they are not there.
fn tree() -> PathBuf {
    let tree = std::env::var_os("FARERUSH_SERVERS_DIR").map_or_else(|| SERVERS_DIR.into(), PathBuf::from);
    assert!(tree.is_dir(), "{} is not there: run scripts/servers once", tree.display());
    tree
}

/// How to start a program of that folder: by the loader and with the libraries that it was built for.
fn loaded(path: &str) -> (PathBuf, Vec<String>) {
    let tree = tree();
    let inside = |path: &str| tree.join(path).display().to_string();
    let arguments = vec!["--library-path".to_owned(), inside("usr/lib/x86_64-linux-gnu"), inside(path)];
    (tree.join("lib64/ld-linux-x86-64.so.2"), arguments)
}

/// A process that does not outlive this one.
struct Process {
    child: Child,
}

type Spawning = (Command, mpsc::Sender<std::io::Result<Child>>);

impl Process {
    /// Starts `program`, its output going to the file `log`.
    fn start(program: PathBuf, arguments: &[String], log: &PathBuf) -> Self {
        let file =
            std::fs::File::options().create(true).append(true).open(log).expect("cannot write a log file");
        let mut command = Command::new(self::program("setpriv", "util-linux"));
        command.args(["--pdeathsig", "KILL", "--"]).arg(program).args(arguments);
        command.stdin(Stdio::null()).stdout(file.try_clone().expect("no second handle")).stderr(file);
        let (answer, child) = mpsc::channel();
        spawner().lock().unwrap().send((command, answer)).expect("the spawning thread has ended");
        Self { child: child.recv().expect("the spawning thread has ended").expect("cannot start a server") }
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }

    fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        let status = Command::new("sh").args(["-c", &kill]).status().expect("cannot run sh");
        assert!(status.success(), "{kill} failed");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The kernel kills a child when the thread that started it ends: so one thread that never ends starts them all.
fn spawner() -> &'static Mutex<mpsc::Sender<Spawning>> {
    static SPAWNER: OnceLock<Mutex<mpsc::Sender<Spawning>>> = OnceLock::new();
    SPAWNER.get_or_init(|| {
        let (sender, receiver) = mpsc::channel::<Spawning>();
        std::thread::spawn(move || {
            for (mut command, answer) in receiver {
                let _ = answer.send(command.spawn());
            }
        });
        Mutex::new(sender)
    })
}

/// The end of a log, for the message of a panic.
fn log_end(log: &PathBuf) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    String::from_utf8_lossy(&text[text.len().saturating_sub(2_000)..]).into_owned()
}
