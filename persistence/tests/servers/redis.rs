//! A Redis server that keeps what it confirms, unless told otherwise.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use super::{PORT_TRIES, Process, START_PATIENCE, free_port, loaded, log_end, program, wait_until};

/// Log every write and sync it before the answer; no snapshots beside it.
const SETTINGS: [&str; 8] = [
    "--appendonly",
    "yes",
    "--appendfsync",
    "always",
    "--no-appendfsync-on-rewrite",
    "no",
    "--maxmemory-policy",
    "noeviction",
];

/// A running, killed or stopped Redis server; killed for good when dropped.
pub(crate) struct RedisServer {
    port: u16,
    options: Vec<String>,
    process: Option<Process>,
    // After the process, which would go on writing into what is being removed.
    dir: TempDir,
}

impl RedisServer {
    /// Starts one and waits until it answers. Options, such as `["--appendfsync", "no"]`, count more than the
    /// settings here.
    pub(crate) fn start(options: &[&str]) -> Self {
        let dir = tempfile::Builder::new().prefix("farerush-redis-").tempdir().expect("no temporary folder");
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        let mut server = Self { port: 0, dir, options, process: None };
        for _ in 0..PORT_TRIES {
            server.port = free_port();
            if server.try_start() {
                return server;
            }
        }
        panic!("redis-server does not start:\n{}", log_end(&server.log()));
    }

    /// `redis://127.0.0.1:<port>/0`.
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.as_ref().expect("redis-server does not run").pid()
    }

    /// SIGKILL, at once.
    pub(crate) fn kill(&mut self) {
        self.process = None;
    }

    /// Starts it again on the same port and folder, after a SIGKILL if it still runs; returns when it answers.
    pub(crate) fn restart(&mut self) {
        self.kill();
        assert!(self.try_start(), "redis-server does not start again:\n{}", log_end(&self.log()));
    }

    /// SIGSTOP.
    pub(crate) fn stop(&self) {
        self.process.as_ref().expect("redis-server does not run").signal("STOP");
    }

    /// SIGCONT.
    pub(crate) fn cont(&self) {
        self.process.as_ref().expect("redis-server does not run").signal("CONT");
    }

    /// Sends one command and gives the raw answer (up to 64 KiB of it).
    pub(crate) fn command(&self, arguments: &[&str]) -> std::io::Result<String> {
        command_at(self.address(), arguments)
    }

    /// Whether it was started and not killed since.
    pub(crate) fn is_running(&self) -> bool {
        self.process.is_some()
    }

    /// The same as `restart`, with more options from now on.
    pub(crate) fn restart_with(&mut self, options: &[&str]) {
        self.options.extend(options.iter().map(|option| (*option).to_owned()));
        self.restart();
    }

    fn try_start(&mut self) -> bool {
        let mut arguments: Vec<String> = SETTINGS.map(str::to_owned).into();
        for (name, value) in [
            ("--port", self.port.to_string()),
            ("--bind", "127.0.0.1".into()),
            ("--dir", self.dir.path().display().to_string()),
            ("--save", String::new()),
            ("--daemonize", "no".into()),
        ] {
            arguments.extend([name.to_owned(), value]);
        }
        // The last one of a name counts.
        arguments.extend(self.options.iter().cloned());
        let (program, mut all) = program_of_the_run();
        all.extend(arguments);
        let mut process = Process::start(program, &all, &self.log());
        let answers = || {
            self.command(&["PING"])
                .is_ok_and(|answer| answer.starts_with("+PONG") || answer.starts_with("-NOAUTH"))
        };
        let mut ended = false;
        let started = wait_until(START_PATIENCE, || {
            ended = process.has_ended();
            ended || answers()
        });
        if started && !ended {
            self.process = Some(process);
            return true;
        }
        false
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("redis-server.log")
    }
}

/// Sends one command and gives the raw answer (up to 64 KiB of it).
pub(super) fn command_at(address: SocketAddr, arguments: &[&str]) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut request = format!("*{}\r\n", arguments.len());
    for argument in arguments {
        request.push_str(&format!("${}\r\n{argument}\r\n", argument.len()));
    }
    stream.write_all(request.as_bytes())?;
    let mut answer = vec![0; 64 << 10];
    let length = stream.read(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
}

/// What `FARERUSH_TEST_JOURNAL` says: `redis7` (the system's own, the default), `redis8` or `valkey9`.
pub(super) fn program_of_the_run() -> (PathBuf, Vec<String>) {
    match std::env::var("FARERUSH_TEST_JOURNAL").as_deref() {
        Err(_) | Ok("" | "redis7") => (program("redis-server", "redis-server"), Vec::new()),
        Ok("redis8") => loaded("usr/bin/redis-server"),
        Ok("valkey9") => loaded("usr/bin/valkey-server"),
        Ok(other) => panic!("FARERUSH_TEST_JOURNAL is {other:?}, none of redis7, redis8 and valkey9"),
    }
}
