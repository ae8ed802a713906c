//! The real program as a child process: starts it on a free port, waits until it is ready, sends it signals.
//! Never leaves one behind: a gateway dies with its handle, and with the test, however that ends.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::client::{Client, Outcome, Request};

/// The admin token of every gateway here.
pub(crate) const TOKEN: &str = "the-crash-tests-own-token";
/// How often a condition is looked at while waiting for it.
pub(crate) const POLL: Duration = Duration::from_millis(3);
/// What stands before the address in the line that says where the server listens.
const LISTENS: &str = "listening on http://";

/// What ids are made of, the same for all gateways of a system.
const ID_SECRET: &str = "3f0a51cc94d2b7e6183f0a51cc94d2b7e6183f0a51cc94d2b7e6183f0a51cc94";

/// How gateways are started.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// The folder of the embedded parts.
    pub(crate) data_dir: PathBuf,
    /// Where its standard error goes; each start adds to it.
    pub(crate) log: PathBuf,
    /// Settings, by key, such as `request_timeout_ms`.
    pub(crate) settings: Vec<(String, String)>,
    /// The network namespace that it runs in, if not the tests' own.
    pub(crate) namespace: Option<String>,
}

impl Plan {
    /// A gateway with everything embedded, in `folder`.
    pub(crate) fn embedded(folder: &Path) -> Self {
        let plan = Self {
            data_dir: folder.join("data"),
            log: folder.join("gateway.log"),
            settings: Vec::new(),
            namespace: None,
        };
        plan.with("id_secret", ID_SECRET)
            // What the clients of these tests call it.
            .with("hosts", "t, farerush.test")
            .with("listen", "127.0.0.1:0")
            .with("demo", "false")
            // A machine that does other things as well must not take a slow process for one that is gone.
            .with("lease_ms", "10000")
            // What one server does by itself; those tests that hand requests on say so.
            .with("peer_listen", "none")
            .with("test_payment", "true")
    }

    /// The same with one more setting.
    pub(crate) fn with(mut self, key: &str, value: &str) -> Self {
        self.settings.retain(|(other, _)| other != key);
        self.settings.push((key.to_owned(), value.to_string()));
        self
    }

    /// A second gateway of the same system, with a data directory and a log of its own.
    pub(crate) fn second(&self) -> Self {
        let beside = |path: &Path, name: &str| path.with_file_name(name);
        Self {
            data_dir: beside(&self.data_dir, "data2"),
            log: beside(&self.log, "gateway2.log"),
            settings: self.settings.clone(),
            namespace: self.namespace.clone(),
        }
    }

    /// The same by somebody who has read why it does not start: the store belongs to a journal that is lost.
    pub(crate) fn adopting(&self, patience: Duration) -> Self {
        let mut refused = self.start();
        let status = refused.wait_exit(patience).expect("a store of another journal is refused");
        let log = refused.log_text();
        assert!(!status.success() && log.contains("belongs to another journal"), "{log}");
        let id =
            log.split("--journal-adopt ").nth(1).and_then(|rest| rest.get(..32)).expect("the id is named");
        self.clone().with("journal_adopt", id)
    }

    fn command(&self, subcommand: &str) -> Command {
        // If the thread that runs the test ends, whatever the reason, the kernel kills the gateway.
        let mut command = match &self.namespace {
            // It becomes what it starts.
            Some(namespace) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", namespace, "setpriv"]);
                command
            }
            None => Command::new("setpriv"),
        };
        command.args(["--pdeathsig", "KILL"]).arg(program()).arg(subcommand);
        command.arg("--data-dir").arg(&self.data_dir);
        for (key, value) in &self.settings {
            command.arg(format!("--{}={value}", key.replace('_', "-")));
        }
        // Nothing of the caller's environment, `.env` or `farerush.toml` may change what is tested.
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("FARERUSH_ADMIN_TOKEN", TOKEN).env("RUST_BACKTRACE", "1");
        command.current_dir(self.log.parent().expect("the log is in a folder")).stdin(Stdio::null());
        command
    }

    /// Starts a gateway and does not wait for it. To be called on the test's own thread (see `command`).
    pub(crate) fn start(&self) -> Gateway {
        let mut log = OpenOptions::new().create(true).append(true).open(&self.log).expect("the log opens");
        let log_start = log.seek(SeekFrom::End(0)).expect("the log's end is found");
        let out = log.try_clone().expect("the log's handle is copied");
        let child = self.command("serve").stdout(out).stderr(log).spawn();
        let child = child.expect("setpriv (Debian package util-linux) starts");
        Gateway { child, log: self.log.clone(), log_start, address: None }
    }

    /// Runs another command of the program to its end.
    pub(crate) fn run(&self, subcommand: &str) -> Output {
        self.run_with(subcommand, &[])
    }

    /// The same with arguments of that command.
    pub(crate) fn run_with(&self, subcommand: &str, arguments: &[&str]) -> Output {
        let mut command = self.command(subcommand);
        command.args(arguments).output().expect("setpriv (Debian package util-linux) starts")
    }
}

/// The program: the one that was built with the tests, or the one that `FARERUSH_TEST_PROGRAM` names, for figures.
pub(crate) fn program() -> PathBuf {
    std::env::var_os("FARERUSH_TEST_PROGRAM")
        .map_or_else(|| env!("CARGO_BIN_EXE_farerush").into(), PathBuf::from)
}

/// A running gateway.
#[derive(Debug)]
pub(crate) struct Gateway {
    child: Child,
    log: PathBuf,
    log_start: u64,
    address: Option<SocketAddr>,
}

impl Gateway {
    /// Waits until it listens and says that it is ready, or gives what went wrong.
    pub(crate) fn wait_ready(&mut self, patience: Duration) -> Result<SocketAddr, String> {
        let deadline = Instant::now() + patience;
        let address = self.wait_listening(deadline)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        loop {
            let asked = async {
                let mut client = Client::new(address);
                client.call(&Request::get("/readyz")).await
            };
            match runtime.block_on(asked) {
                Outcome::Done(_) => return Ok(address),
                outcome => self.still_waiting(deadline, &format!("not ready: {outcome:?}"))?,
            }
        }
    }

    /// Waits until it says where it listens.
    fn wait_listening(&mut self, deadline: Instant) -> Result<SocketAddr, String> {
        loop {
            if let Some(address) = address_in(&self.log_text()) {
                self.address = Some(address);
                return Ok(address);
            }
            self.still_waiting(deadline, "it has not said where it listens")?;
        }
    }

    fn still_waiting(&mut self, deadline: Instant, what: &str) -> Result<(), String> {
        if let Some(status) = self.child.try_wait().expect("the child is asked") {
            return Err(format!("the gateway ended ({status}):\n{}", self.log_text()));
        }
        if Instant::now() > deadline {
            return Err(format!("{what} within the time for it:\n{}", self.log_text()));
        }
        std::thread::sleep(POLL);
        Ok(())
    }

    /// Where it listens; only after `wait_ready`.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address.expect("the gateway has been waited for")
    }

    /// Memory it has in use, in bytes.
    pub(crate) fn resident_bytes(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The most memory it ever had in use, in bytes.
    pub(crate) fn peak_bytes(&self) -> u64 {
        self.memory("VmHWM:")
    }

    fn memory(&self, name: &str) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).expect("the gateway runs");
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line of memory");
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number of kB");
        kib << 10
    }

    /// What it has written since it was started.
    pub(crate) fn log_text(&self) -> String {
        let mut text = Vec::new();
        let mut log = File::open(&self.log).expect("the log opens");
        log.seek(SeekFrom::Start(self.log_start)).expect("the log's place is found");
        log.read_to_end(&mut text).expect("the log is read");
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Sends a signal. A process that is told to stop has stopped, every thread of it, when this returns.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the signal is sent");
        if signal == Signal::STOP {
            let deadline = Instant::now() + Duration::from_secs(10);
            while !self.has_stopped() {
                assert!(Instant::now() < deadline, "it does not stop");
                std::thread::park_timeout(Duration::from_millis(1));
            }
        }
    }

    /// Whether all its threads stand still.
    fn has_stopped(&self) -> bool {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("it has threads");
        tasks.flatten().all(|task| {
            // The state stands behind the name, which is in brackets.
            let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
            stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('T'))
        })
    }

    /// SIGKILL, and waits until nothing is left of it.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it is killed");
        self.child.wait().expect("it is gone");
    }

    /// Waits for it to end by itself.
    pub(crate) fn wait_exit(&mut self, patience: Duration) -> Result<ExitStatus, String> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.child.try_wait().expect("the child is asked") {
                return Ok(status);
            }
            if Instant::now() > deadline {
                return Err(format!("it had not ended after {patience:?}:\n{}", self.log_text()));
            }
            std::thread::sleep(POLL);
        }
    }

    /// SIGTERM; it must end with 0 within the 10 s that are promised.
    pub(crate) fn stop(mut self) -> Duration {
        let began = Instant::now();
        self.signal(Signal::TERM);
        let status =
            self.wait_exit(Duration::from_secs(10)).unwrap_or_else(|error| panic!("SIGTERM: {error}"));
        assert!(status.success(), "after SIGTERM it ended with {status}:\n{}", self.log_text());
        began.elapsed()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The address in the line that says where the server listens.
fn address_in(log: &str) -> Option<SocketAddr> {
    let (_, rest) = log.split_once(LISTENS)?;
    // The line may have been read in the middle of being written.
    rest.split_once('\n')?.0.trim().parse().ok()
}
