//! Redis servers of which one takes another's place: a primary with replicas under sentinels, and a cluster.
//! Never promotes one by hand: sentinels and nodes do, as they do it elsewhere.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::redis::{RedisServer, command_at, program_of_the_run};
use super::{Process, free_port, log_end, wait_until};

/// How long anything may take that is not measured.
const PATIENCE: Duration = Duration::from_secs(60);
/// When a server that does not answer counts as gone.
const GONE_AFTER_MS: u64 = 1_000;
/// What the primary is called.
const NAME: &str = "sale";

/// The files of a CA and of a server's certificate by it, for TLS.
pub(crate) fn certificates() -> TempDir {
    let folder = tempfile::tempdir().expect("no temporary folder");
    let script = "printf 'subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n' > server.ext
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
            -keyout ca.key -out ca.pem -days 2 -subj /CN=ca
        openssl req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj /CN=server
        openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile server.ext \
            -days 2 -out server.pem";
    let mut command = std::process::Command::new("sh");
    let output = command.current_dir(folder.path()).args(["-ec", script]).output().expect("cannot run sh");
    assert!(output.status.success(), "openssl: {}", String::from_utf8_lossy(&output.stderr));
    folder
}

/// What a server is started with that speaks TLS on this port, to clients and to its like.
fn tls_options(files: Option<&Path>, port: u16) -> Vec<(String, String)> {
    let Some(files) = files else { return Vec::new() };
    let at = |name: &str| files.join(name).display().to_string();
    let all = [
        ("tls-port", port.to_string()),
        ("tls-cert-file", at("server.pem")),
        ("tls-key-file", at("server.key")),
        ("tls-ca-cert-file", at("ca.pem")),
        ("tls-auth-clients", "no".to_owned()),
        ("tls-replication", "yes".to_owned()),
    ];
    all.map(|(name, value)| (name.to_owned(), value)).into()
}

fn start(options: Vec<(String, String)>) -> RedisServer {
    let options: Vec<String> =
        options.into_iter().flat_map(|(name, value)| [format!("--{name}"), value]).collect();
    RedisServer::start(&options.iter().map(String::as_str).collect::<Vec<_>>())
}

/// From now on it gets nothing of what its primary gets, without either of them being gone.
fn cut_off(replica: &RedisServer, primary: &RedisServer) {
    for (setting, value) in [("masteruser", "nobody"), ("masterauth", "nothing")] {
        let said = replica.command(&["CONFIG", "SET", setting, value]).expect("the replica is there");
        assert!(said.starts_with("+OK"), "{said}");
    }
    primary.command(&["CLIENT", "KILL", "TYPE", "replica"]).expect("the primary is there");
    let is_cut_off = || {
        let said = replica.command(&["INFO", "replication"]).unwrap_or_default();
        said.contains("master_link_status:down")
    };
    assert!(wait_until(PATIENCE, is_cut_off), "the replica goes on");
}

fn says(server: &RedisServer, what: &str) -> bool {
    server.command(&["INFO", "replication"]).is_ok_and(|said| said.contains(what))
}

/// A sentinel.
struct Sentinel {
    port: u16,
    /// Beside the port for TLS a plain one, for the tests.
    plain: u16,
    process: Process,
    _dir: TempDir,
}

/// A primary, replicas, and three sentinels who watch over them.
pub(crate) struct Replicated {
    servers: Vec<RedisServer>,
    /// Where each is reached by clients, sentinels and its like.
    ports: Vec<u16>,
    sentinels: Vec<Sentinel>,
    primary: usize,
    files: Option<TempDir>,
}

impl Replicated {
    /// Starts all of them, with TLS everywhere if so; returns when the sentinels know them.
    pub(crate) fn start(replicas: usize, tls: bool) -> Self {
        let files = tls.then(certificates);
        let mut all =
            Self { servers: Vec::new(), ports: Vec::new(), sentinels: Vec::new(), primary: 0, files };
        for _ in 0..=replicas {
            let tls_port = free_port();
            let mut options = tls_options(all.files.as_ref().map(TempDir::path), tls_port);
            options.push(("repl-diskless-sync-delay".to_owned(), "0".to_owned()));
            if let Some(primary) = all.ports.first() {
                options.push(("replicaof".to_owned(), format!("127.0.0.1 {primary}")));
            }
            let server = start(options);
            all.ports.push(if tls { tls_port } else { server.port() });
            all.servers.push(server);
        }
        for replica in 1..=replicas {
            let is_in_step = || says(&all.servers[replica], "master_link_status:up");
            assert!(wait_until(PATIENCE, is_in_step), "a replica does not come into step");
        }
        for _ in 0..3 {
            let sentinel = all.start_sentinel();
            all.sentinels.push(sentinel);
        }
        let know = |sentinel: &Sentinel| {
            let said = all.ask_sentinel(sentinel, &["SENTINEL", "MASTER", NAME]);
            let number = |name: &str| {
                said.lines().skip_while(|line| *line != name).nth(2).and_then(|line| line.parse().ok())
            };
            number("num-slaves") == Some(replicas) && number("num-other-sentinels") == Some(2)
        };
        let all_know = || all.sentinels.iter().all(know);
        assert!(wait_until(PATIENCE, all_know), "the sentinels do not find each other");
        all
    }

    /// `redis+sentinel://...`
    pub(crate) fn url(&self) -> String {
        let places: Vec<String> =
            self.sentinels.iter().map(|sentinel| format!("127.0.0.1:{}", sentinel.port)).collect();
        let places = places.join(",");
        match &self.files {
            None => format!("redis+sentinel://{places}/{NAME}"),
            Some(files) => {
                let ca = files.path().join("ca.pem");
                format!("redis+sentinel://{places}/{NAME}/0?tls=true&ssl-ca={}", ca.display())
            }
        }
    }

    pub(crate) fn primary(&self) -> &RedisServer {
        &self.servers[self.primary]
    }

    /// From now on no replica gets anything.
    pub(crate) fn cut_off_replicas(&self) {
        for replica in (0..self.servers.len()).filter(|server| *server != self.primary) {
            cut_off(&self.servers[replica], self.primary());
        }
    }

    /// Kills the primary; returns how long it took until the sentinels named another one.
    pub(crate) fn kill_primary(&mut self) -> Duration {
        self.kill_primary_and(|| {})
    }

    /// The same, and does something right after.
    pub(crate) fn kill_primary_and(&mut self, then: impl FnOnce()) -> Duration {
        let began = Instant::now();
        let before = self.ports[self.primary];
        self.servers[self.primary].kill();
        then();
        let mut named = None;
        let is_named = || {
            named = self.named().filter(|port| *port != before);
            named.is_some()
        };
        assert!(wait_until(PATIENCE, is_named), "nobody is promoted");
        let took = began.elapsed();
        self.primary = self.ports.iter().position(|port| Some(*port) == named).expect("it is one of them");
        took
    }

    /// Puts the primary to sleep until the sentinels have named another one, and wakes it: it takes itself for the primary yet.
    pub(crate) fn replace_sleeping_primary(&mut self) {
        let before = self.primary;
        self.servers[before].stop();
        let mut named = None;
        let is_named = || {
            named = self.named().filter(|port| *port != self.ports[before]);
            named.is_some()
        };
        assert!(wait_until(PATIENCE, is_named), "nobody is promoted");
        self.primary = self.ports.iter().position(|port| Some(*port) == named).expect("it is one of them");
        self.servers[before].cont();
        assert!(says(&self.servers[before], "role:master"), "it knows already");
    }

    /// Starts those that are gone as replicas of the primary; those that were cut off follow it again.
    pub(crate) fn restore(&mut self) {
        let primary = self.ports[self.primary].to_string();
        for server in (0..self.servers.len()).filter(|server| *server != self.primary) {
            if !self.servers[server].is_running() {
                self.servers[server].restart_with(&["--replicaof", &format!("127.0.0.1 {primary}")]);
            }
            for setting in ["masteruser", "masterauth"] {
                self.servers[server].command(&["CONFIG", "SET", setting, ""]).expect("it is there");
            }
            self.servers[server].command(&["REPLICAOF", "127.0.0.1", &primary]).expect("it is there");
            let is_in_step = || says(&self.servers[server], "master_link_status:up");
            assert!(wait_until(PATIENCE, is_in_step), "a replica does not come into step");
        }
        for setting in ["masteruser", "masterauth"] {
            self.primary().command(&["CONFIG", "SET", setting, ""]).expect("it is there");
        }
        // Who is not known to be back is not promoted, nor told of a promotion for ten seconds.
        let sees_all = |sentinel: &Sentinel| {
            let said = self.ask_sentinel(sentinel, &["SENTINEL", "REPLICAS", NAME]);
            !["s_down", "disconnected", "err"].iter().any(|flag| said.contains(flag))
                && said.contains("slave")
        };
        let all_see = || self.sentinels.iter().all(sees_all);
        assert!(wait_until(PATIENCE, all_see), "the sentinels do not see all of them");
    }

    fn named(&self) -> Option<u16> {
        let ask = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME];
        self.ask_sentinel(&self.sentinels[0], &ask).lines().nth(4)?.parse().ok()
    }

    fn ask_sentinel(&self, sentinel: &Sentinel, ask: &[&str]) -> String {
        command_at(SocketAddr::from((Ipv4Addr::LOCALHOST, sentinel.plain)), ask).unwrap_or_default()
    }

    fn start_sentinel(&self) -> Sentinel {
        let dir =
            tempfile::Builder::new().prefix("farerush-sentinel-").tempdir().expect("no temporary folder");
        let port = free_port();
        let plain = if self.files.is_some() { free_port() } else { port };
        let mut lines = vec![
            ("port".to_owned(), plain.to_string()),
            ("dir".to_owned(), dir.path().display().to_string()),
            ("bind".to_owned(), "127.0.0.1".to_owned()),
        ];
        lines.extend(tls_options(self.files.as_ref().map(TempDir::path), port));
        for (what, value) in [
            ("monitor", format!("{NAME} 127.0.0.1 {} 2", self.ports[self.primary])),
            ("down-after-milliseconds", format!("{NAME} {GONE_AFTER_MS}")),
            ("failover-timeout", format!("{NAME} 5000")),
        ] {
            lines.push((format!("sentinel {what}"), value));
        }
        let text: String = lines.iter().map(|(name, value)| format!("{name} {value}\n")).collect();
        let file = dir.path().join("sentinel.conf");
        std::fs::write(&file, text).expect("cannot write");
        let log = dir.path().join("sentinel.log");
        let (program, mut arguments) = program_of_the_run();
        arguments.extend([file.display().to_string(), "--sentinel".to_owned()]);
        let mut process = Process::start(program, &arguments, &log);
        let answers = || {
            assert!(!process.has_ended(), "a sentinel does not start:\n{}", log_end(&log));
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, plain));
            command_at(address, &["PING"]).is_ok_and(|said| said.starts_with("+PONG"))
        };
        assert!(wait_until(PATIENCE, answers), "a sentinel does not answer");
        Sentinel { port, plain, process, _dir: dir }
    }

    /// SIGKILL for one of the sentinels.
    pub(crate) fn kill_sentinel(&mut self, number: usize) {
        self.sentinels[number].process.signal("KILL");
    }
}

/// Three primaries with a replica each.
pub(crate) struct Cluster {
    servers: Vec<RedisServer>,
    files: Option<TempDir>,
    ports: Vec<u16>,
}

impl Cluster {
    /// Starts all of them and makes a cluster of them; returns when every slot is served.
    pub(crate) fn start(tls: bool) -> Self {
        let files = tls.then(certificates);
        let (mut servers, mut ports) = (Vec::new(), Vec::new());
        for _ in 0..6 {
            let tls_port = free_port();
            let mut options = tls_options(files.as_ref().map(TempDir::path), tls_port);
            for (name, value) in [
                ("cluster-enabled", "yes".to_owned()),
                ("cluster-node-timeout", GONE_AFTER_MS.to_string()),
                ("cluster-port", free_port().to_string()),
                ("cluster-replica-validity-factor", "0".to_owned()),
                ("repl-diskless-sync-delay", "0".to_owned()),
            ] {
                options.push((name.to_owned(), value));
            }
            if tls {
                options.push(("tls-cluster".to_owned(), "yes".to_owned()));
            }
            let server = start(options);
            ports.push(if tls { tls_port } else { server.port() });
            servers.push(server);
        }
        let cluster = Self { servers, files, ports };
        cluster.create();
        cluster
    }

    fn create(&self) {
        let mut command = std::process::Command::new(super::program("redis-cli", "redis-tools"));
        if let Some(files) = &self.files {
            command.arg("--tls").arg("--cacert").arg(files.path().join("ca.pem"));
        }
        command.args(["--cluster", "create"]).args(self.ports.iter().map(|port| format!("127.0.0.1:{port}")));
        command.args(["--cluster-replicas", "1", "--cluster-yes"]);
        let output = command.output().expect("cannot run redis-cli");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        self.wait_whole();
    }

    /// Waits until every node sees all slots served and each primary has its replica.
    pub(crate) fn wait_whole(&self) {
        let is_well = |server: &RedisServer| {
            let said = server.command(&["CLUSTER", "INFO"]).unwrap_or_default();
            said.contains("cluster_state:ok") && said.contains("cluster_slots_ok:16384")
        };
        let all_are = || {
            self.servers.iter().all(|server| {
                is_well(server)
                    && (says(server, "connected_slaves:1\r") || says(server, "master_link_status:up"))
            })
        };
        assert!(wait_until(PATIENCE, all_are), "the cluster does not come up");
    }

    /// `redis+cluster://...`, of which some suffice.
    pub(crate) fn url(&self) -> String {
        let places: Vec<String> = self.ports.iter().take(4).map(|port| format!("127.0.0.1:{port}")).collect();
        let places = places.join(",");
        match &self.files {
            None => format!("redis+cluster://{places}"),
            Some(files) => {
                format!("rediss+cluster://{places}?ssl-ca={}", files.path().join("ca.pem").display())
            }
        }
    }

    /// The primaries at the moment.
    pub(crate) fn primaries(&self) -> Vec<usize> {
        (0..self.servers.len())
            .filter(|server| {
                self.servers[*server].is_running() && says(&self.servers[*server], "role:master")
            })
            .collect()
    }

    pub(crate) fn server(&self, number: usize) -> &RedisServer {
        &self.servers[number]
    }

    /// The primary that has this key.
    pub(crate) fn primary_of(&self, key: &str) -> usize {
        let has = |server: &usize| {
            let said = self.servers[*server].command(&["EXISTS", key]).unwrap_or_default();
            said.starts_with(':')
        };
        self.primaries().into_iter().find(has).expect("some primary has the key's slot")
    }

    /// From now on the replicas of this primary get nothing.
    pub(crate) fn cut_off_replicas_of(&self, primary: usize) {
        for replica in self.replicas_of(primary) {
            cut_off(&self.servers[replica], &self.servers[primary]);
        }
    }

    fn replicas_of(&self, primary: usize) -> Vec<usize> {
        let follows = format!("master_port:{}\r", self.ports[primary]);
        (0..self.servers.len())
            .filter(|server| self.servers[*server].is_running() && says(&self.servers[*server], &follows))
            .collect()
    }

    /// Kills a primary; returns how long it took until its replica was one.
    pub(crate) fn kill_primary(&mut self, primary: usize) -> Duration {
        let replicas = self.replicas_of(primary);
        let began = Instant::now();
        self.servers[primary].kill();
        let is_promoted = || {
            replicas.iter().any(|replica| {
                let server = &self.servers[*replica];
                let said = server.command(&["CLUSTER", "INFO"]).unwrap_or_default();
                says(server, "role:master") && said.contains("cluster_state:ok")
            })
        };
        assert!(wait_until(PATIENCE, is_promoted), "nobody is promoted");
        began.elapsed()
    }

    /// Starts those that are gone, which become replicas; those that were cut off follow again.
    pub(crate) fn restore(&mut self) {
        for server in &mut self.servers {
            if !server.is_running() {
                server.restart();
            }
            for setting in ["masteruser", "masterauth"] {
                server.command(&["CONFIG", "SET", setting, ""]).expect("it is there");
            }
        }
        self.wait_whole();
    }
}
