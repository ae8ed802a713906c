//! A MariaDB server with one database and one user, both called `farerush`.

use std::fs;
use std::io::{self, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use tempfile::TempDir;

use super::{PORT_TRIES, Process, START_PATIENCE, free_port, log_end, program, wait_until};

const PACKAGE: &str = "mariadb-server";
/// The protocol version, at this place of the greeting, is what a server that is ready sends.
const GREETING: (usize, u8) = (4, 10);
/// Run by the server before it accepts connections.
const INIT_SQL: &str = "CREATE DATABASE IF NOT EXISTS farerush CHARACTER SET utf8mb4;\n\
    CREATE USER IF NOT EXISTS 'farerush'@'%' IDENTIFIED BY 'farerush';\n\
    GRANT ALL PRIVILEGES ON *.* TO 'farerush'@'%';\n";

/// A running, killed or stopped MariaDB server; killed for good when dropped.
pub(crate) struct MariaDbServer {
    port: u16,
    dir: TempDir,
    options: Vec<String>,
    process: Option<Process>,
}

impl MariaDbServer {
    /// Starts one and waits until it answers. Options, such as `["--wait_timeout=2"]`, go behind the settings here.
    pub(crate) fn start(options: &[&str]) -> Self {
        let dir =
            tempfile::Builder::new().prefix("farerush-mariadb-").tempdir().expect("no temporary folder");
        copy_folder(&template(), &dir.path().join("data")).expect("cannot copy MariaDB's data folder");
        fs::write(dir.path().join("init.sql"), INIT_SQL).expect("cannot write init.sql");
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        let mut server = Self { port: 0, dir, options, process: None };
        for _ in 0..PORT_TRIES {
            server.port = free_port();
            if server.try_start() {
                return server;
            }
        }
        panic!("mariadbd does not start:\n{}", log_end(&server.log()));
    }

    /// `mysql://farerush:farerush@127.0.0.1:<port>/farerush`.
    pub(crate) fn url(&self) -> String {
        format!("mysql://farerush:farerush@127.0.0.1:{}/farerush", self.port)
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
        self.process.as_ref().expect("mariadbd does not run").pid()
    }

    /// SIGKILL, at once.
    pub(crate) fn kill(&mut self) {
        self.process = None;
    }

    /// Starts it again on the same port and folder, after a SIGKILL if it still runs; returns when it answers.
    pub(crate) fn restart(&mut self) {
        self.kill();
        assert!(self.try_start(), "mariadbd does not start again:\n{}", log_end(&self.log()));
    }

    /// SIGSTOP.
    pub(crate) fn stop(&self) {
        self.process.as_ref().expect("mariadbd does not run").signal("STOP");
    }

    /// SIGCONT.
    pub(crate) fn cont(&self) {
        self.process.as_ref().expect("mariadbd does not run").signal("CONT");
    }

    fn try_start(&mut self) -> bool {
        let dir = self.dir.path().display();
        // Started by root, the server wants to be told that this is meant.
        let mut arguments = vec!["--no-defaults".to_owned(), "--user=root".into()];
        arguments.extend([
            format!("--datadir={dir}/data"),
            format!("--socket={dir}/mariadbd.sock"),
            format!("--pid-file={dir}/mariadbd.pid"),
            format!("--init-file={dir}/init.sql"),
            format!("--port={}", self.port),
            "--bind-address=127.0.0.1".into(),
            "--skip-name-resolve".into(),
            "--character-set-server=utf8mb4".into(),
            "--innodb-buffer-pool-size=128M".into(),
        ]);
        arguments.extend(self.options.iter().cloned());
        let mut process = Process::start(program("mariadbd", PACKAGE), &arguments, &self.log());
        let mut ended = false;
        let started = wait_until(START_PATIENCE, || {
            ended = process.has_ended();
            ended || self.greets()
        });
        if started && !ended {
            self.process = Some(process);
            return true;
        }
        false
    }

    fn greets(&self) -> bool {
        let greeting = || -> io::Result<[u8; 5]> {
            let mut stream = TcpStream::connect_timeout(&self.address(), Duration::from_secs(1))?;
            stream.set_read_timeout(Some(Duration::from_secs(1)))?;
            let mut bytes = [0; 5];
            stream.read_exact(&mut bytes)?;
            Ok(bytes)
        };
        greeting().is_ok_and(|bytes| bytes[GREETING.0] == GREETING.1)
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("mariadbd.log")
    }
}

/// A data folder that every server begins with a copy of. Made once and kept among the build's files; two processes
/// that make it at the same time each make their own, and the first to be done wins.
fn template() -> PathBuf {
    static MAKING: Mutex<()> = Mutex::new(());
    let _making = MAKING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let ready = folder.join("mariadb-template");
    if ready.is_dir() {
        return ready;
    }
    fs::create_dir_all(folder).expect("cannot make a folder for MariaDB's template");
    let making = folder.join(format!("mariadb-template-{}", std::process::id()));
    let output = Command::new(program("mariadb-install-db", PACKAGE))
        .args(["--no-defaults", "--user=root", "--auth-root-authentication-method=normal", "--skip-test-db"])
        .args(["--skip-name-resolve", "--innodb-log-file-size=32M"])
        .arg(format!("--datadir={}", making.display()))
        .stdin(Stdio::null())
        .output()
        .expect("cannot run mariadb-install-db");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "mariadb-install-db failed: {said}");
    if fs::rename(&making, &ready).is_err() {
        fs::remove_dir_all(&making).expect("cannot remove a second template");
    }
    ready
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
