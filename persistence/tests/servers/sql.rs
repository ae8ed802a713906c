//! A MySQL or MariaDB server with one database and one user, both called `farerush`.
//! Never one that was there before: each has a folder and a port of its own.

use std::fs;
use std::io::{self, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use tempfile::TempDir;

use super::{PORT_TRIES, Process, START_PATIENCE, free_port, loaded, log_end, program, tree, wait_until};

/// The protocol version, at this place of the greeting, is what a server that is ready sends.
const GREETING: (usize, u8) = (4, 10);
/// Run by the server before it accepts connections.
const INIT_SQL: &str = "CREATE DATABASE IF NOT EXISTS farerush CHARACTER SET utf8mb4;\n\
    CREATE USER IF NOT EXISTS 'farerush'@'%' IDENTIFIED BY 'farerush';\n\
    GRANT ALL PRIVILEGES ON *.* TO 'farerush'@'%';\n\
    CREATE USER IF NOT EXISTS 'root'@'%' IDENTIFIED BY '';\n\
    GRANT ALL PRIVILEGES ON *.* TO 'root'@'%' WITH GRANT OPTION;\n";

/// Which server speaks MySQL's protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flavour {
    /// MySQL, from the folder that `scripts/servers` makes.
    MySql,
    /// Debian's MariaDB.
    MariaDb,
}

impl Flavour {
    /// What `FARERUSH_TEST_STORE` says (`mysql` or `mariadb`); MySQL if it says nothing.
    pub(crate) fn of_the_run() -> Self {
        match std::env::var("FARERUSH_TEST_STORE").as_deref() {
            Err(_) | Ok("" | "mysql") => Self::MySql,
            Ok("mariadb") => Self::MariaDb,
            Ok(other) => panic!("FARERUSH_TEST_STORE is {other:?}, neither mysql nor mariadb"),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::MySql => "mysqld",
            Self::MariaDb => "mariadbd",
        }
    }

    /// The program to start and what stands in front of its own arguments.
    fn program(self) -> (PathBuf, Vec<String>) {
        match self {
            Self::MariaDb => (program("mariadbd", "mariadb-server"), vec!["--no-defaults".to_owned()]),
            Self::MySql => {
                let (loader, mut arguments) = loaded("usr/sbin/mysqld");
                let tree = tree();
                let inside = |path: &str| tree.join(path).display().to_string();
                arguments.extend([
                    "--no-defaults".to_owned(),
                    format!("--basedir={}", inside("usr")),
                    format!("--lc-messages-dir={}", inside("usr/share/mysql")),
                    format!("--character-sets-dir={}", inside("usr/share/mysql/charsets")),
                    format!("--plugin-dir={}", inside("usr/lib/mysql/plugin")),
                    "--innodb-redo-log-capacity=64M".to_owned(),
                    "--secure-file-priv=NULL".to_owned(), // its default is a folder of an installed server
                ]);
                (loader, arguments)
            }
        }
    }
}

/// A running, killed or stopped server; killed for good when dropped.
pub(crate) struct SqlServer {
    flavour: Flavour,
    port: u16,
    options: Vec<String>,
    process: Option<Process>,
    // After the process, which would go on writing into what is being removed.
    dir: TempDir,
}

impl SqlServer {
    /// Starts one and waits until it answers. Options, such as `["--wait_timeout=2"]`, go behind the settings here.
    pub(crate) fn start(options: &[&str]) -> Self {
        Self::start_one(Flavour::of_the_run(), options)
    }

    /// The same, of this flavour.
    pub(crate) fn start_one(flavour: Flavour, options: &[&str]) -> Self {
        let dir = tempfile::Builder::new().prefix("farerush-sql-").tempdir().expect("no temporary folder");
        copy_folder(&template(flavour), &dir.path().join("data"))
            .expect("cannot copy a server's data folder");
        // The server makes itself an id of its own: two with the same one do not replicate.
        let _ = fs::remove_file(dir.path().join("data/auto.cnf"));
        fs::write(dir.path().join("init.sql"), INIT_SQL).expect("cannot write init.sql");
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        let mut server = Self { flavour, port: 0, dir, options, process: None };
        for _ in 0..PORT_TRIES {
            server.port = free_port();
            if server.try_start() {
                return server;
            }
        }
        panic!("{} does not start:\n{}", flavour.name(), log_end(&server.log()));
    }

    /// Which server it is.
    pub(crate) fn flavour(&self) -> Flavour {
        self.flavour
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
        self.process.as_ref().expect("the server does not run").pid()
    }

    /// What a replica of this server is started with, beside a `--server-id` of its own; this one needs both as well.
    pub(crate) fn replication_options(flavour: Flavour) -> &'static [&'static str] {
        match flavour {
            Flavour::MySql => &["--gtid-mode=ON", "--enforce-gtid-consistency=ON", "--log-bin=binlog"],
            Flavour::MariaDb => &["--log-bin=binlog", "--log-slave-updates=ON", "--binlog-format=ROW"],
        }
    }

    /// Statements that make another server, of the same flavour, follow this one from its first event on.
    pub(crate) fn follow(&self) -> [String; 2] {
        let port = self.port;
        match self.flavour {
            Flavour::MySql => [
                format!(
                    "CHANGE REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', SOURCE_PORT={port}, \
                     SOURCE_USER='farerush', SOURCE_PASSWORD='farerush', SOURCE_AUTO_POSITION=1, \
                     SOURCE_CONNECT_RETRY=1, SOURCE_HEARTBEAT_PERIOD=1, GET_SOURCE_PUBLIC_KEY=1"
                ),
                "START REPLICA".to_owned(),
            ],
            Flavour::MariaDb => [
                format!(
                    "CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT={port}, MASTER_USER='farerush', \
                     MASTER_PASSWORD='farerush', MASTER_USE_GTID=slave_pos, MASTER_CONNECT_RETRY=1, \
                     MASTER_HEARTBEAT_PERIOD=1"
                ),
                "START REPLICA".to_owned(),
            ],
        }
    }

    /// SIGKILL, at once.
    pub(crate) fn kill(&mut self) {
        self.process = None;
    }

    /// Starts it again on the same port and folder, after a SIGKILL if it still runs; returns when it answers.
    pub(crate) fn restart(&mut self) {
        self.kill();
        assert!(self.try_start(), "the server does not start again:\n{}", log_end(&self.log()));
    }

    /// SIGSTOP.
    pub(crate) fn stop(&self) {
        self.process.as_ref().expect("the server does not run").signal("STOP");
    }

    /// SIGCONT.
    pub(crate) fn cont(&self) {
        self.process.as_ref().expect("the server does not run").signal("CONT");
    }

    /// How a client program is started: MySQL's own under its name in the folder of the servers, or MariaDB's.
    pub(crate) fn client(&self, mysql: &str, mariadb: &str) -> String {
        match self.flavour {
            Flavour::MariaDb => program(mariadb, "mariadb-client").display().to_string(),
            Flavour::MySql => {
                let (loader, arguments) = loaded(&format!("usr/bin/{mysql}"));
                format!("{} {}", loader.display(), arguments.join(" "))
            }
        }
    }

    fn try_start(&mut self) -> bool {
        let dir = self.dir.path().display();
        let (program, mut arguments) = self.flavour.program();
        if self.flavour == Flavour::MySql {
            arguments.push("--mysqlx=OFF".into()); // a second port that would be everybody's
        }
        // Started by root, the server wants to be told that this is meant.
        arguments.push("--user=root".into());
        arguments.extend([
            format!("--datadir={dir}/data"),
            // MariaDB clears it at its start, of others' files, too.
            format!("--tmpdir={dir}"),
            format!("--socket={dir}/sql.sock"),
            format!("--pid-file={dir}/sql.pid"),
            format!("--init-file={dir}/init.sql"),
            format!("--port={}", self.port),
            "--bind-address=127.0.0.1".into(),
            "--skip-name-resolve".into(),
            "--character-set-server=utf8mb4".into(),
            "--innodb-buffer-pool-size=128M".into(),
        ]);
        arguments.extend(self.options.iter().cloned());
        let mut process = Process::start(program, &arguments, &self.log());
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
        self.dir.path().join("sql.log")
    }
}

/// A data folder that every server begins with a copy of. Made once and kept among the build's files; two processes
/// that make it at the same time each make their own, and the first to be done wins.
fn template(flavour: Flavour) -> PathBuf {
    static MAKING: Mutex<()> = Mutex::new(());
    let _making = MAKING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let ready = folder.join(format!("{}-template", flavour.name()));
    if ready.is_dir() {
        return ready;
    }
    fs::create_dir_all(folder).expect("cannot make a folder for the template");
    let making = folder.join(format!("{}-template-{}", flavour.name(), std::process::id()));
    let mut command = match flavour {
        Flavour::MySql => {
            let (program, arguments) = flavour.program();
            let mut command = Command::new(program);
            command.args(arguments).args(["--initialize-insecure", "--user=root"]);
            command
        }
        Flavour::MariaDb => {
            let mut command = Command::new(program("mariadb-install-db", "mariadb-server"));
            command.args(["--no-defaults", "--user=root", "--auth-root-authentication-method=normal"]);
            command.args(["--skip-test-db", "--skip-name-resolve", "--innodb-log-file-size=32M"]);
            command
        }
    };
    let output = command
        .arg(format!("--datadir={}", making.display()))
        .stdin(Stdio::null())
        .output()
        .expect("cannot make a server's data folder");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{} cannot make its data folder: {said}", flavour.name());
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
