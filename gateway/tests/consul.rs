//! Registration with Consul, with an agent of our own that speaks its HTTP API as it is documented: what it is told, when it
//! is away, forgetful, silent or wants another token. Never waits for a time, only for what is to come about.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use farerush::start::config::{Settings, Values};
use farerush::start::serve::{self, Running};
use serde_json::{Value, json};

/// Longer than anything should take.
const PATIENCE: Duration = Duration::from_secs(90);
const TOKEN: &str = "5bd1d9a4-of-a-test";

/// How an agent behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    /// As documented.
    Well,
    /// Breaks connections off.
    Away,
    /// Never answers.
    Silent,
}

/// What an agent has and was asked.
struct State {
    mood: Mood,
    token: &'static str,
    /// By id, as they were sent.
    services: HashMap<String, Value>,
    /// Method, path and token of each request that was understood.
    asked: Vec<(String, String, Option<String>)>,
    /// What a service answered on its own port when it was let go.
    at_deregistration: Vec<u16>,
}

/// A Consul agent, on threads of its own until the test ends.
#[derive(Clone)]
struct Agent {
    address: SocketAddr,
    state: Arc<(Mutex<State>, Condvar)>,
}

impl Agent {
    fn start(mood: Mood) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = State {
            mood,
            token: TOKEN,
            services: HashMap::new(),
            asked: Vec::new(),
            at_deregistration: Vec::new(),
        };
        let agent = Self { address, state: Arc::new((Mutex::new(state), Condvar::new())) };
        let serving = agent.clone();
        std::thread::spawn(move || {
            let mut kept = Vec::new();
            for stream in listener.incoming().map_while(Result::ok) {
                let mood = serving.state.0.lock().unwrap().mood;
                match mood {
                    Mood::Well => {
                        let serving = serving.clone();
                        std::thread::spawn(move || serving.serve(stream));
                    }
                    Mood::Away => drop(stream),
                    Mood::Silent => kept.push(stream),
                }
            }
        });
        agent
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.0.lock().unwrap());
    }

    /// Waits until this is so.
    fn until(&self, what: &str, is_so: impl Fn(&State) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.state.0.lock().unwrap();
        while !is_so(&state) {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "in vain: {what}: {:?} {:?}", state.services, state.asked);
            state = self.state.1.wait_timeout(state, left).unwrap().0;
        }
    }

    /// The one service that it has.
    fn only(&self) -> Value {
        let state = self.state.0.lock().unwrap();
        assert_eq!(state.services.len(), 1, "{:?}", state.services);
        state.services.values().next().unwrap().clone()
    }

    fn serve(&self, stream: TcpStream) {
        let mut answers = stream.try_clone().unwrap();
        let mut requests = BufReader::new(stream);
        loop {
            let (mut first, mut length, mut token) = (String::new(), 0, None);
            if requests.read_line(&mut first).unwrap_or(0) == 0 {
                return;
            }
            loop {
                let mut line = String::new();
                requests.read_line(&mut line).unwrap();
                match line.trim().split_once(": ") {
                    Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                        length = value.parse().unwrap();
                    }
                    Some((name, value)) if name.eq_ignore_ascii_case("x-consul-token") => {
                        token = Some(value.to_owned());
                    }
                    Some(_) => {}
                    None => break,
                }
            }
            let mut body = vec![0; length];
            requests.read_exact(&mut body).unwrap();
            if self.state.0.lock().unwrap().mood != Mood::Well {
                return;
            }
            let mut words = first.split(' ');
            let (method, path) = (words.next().unwrap(), words.next().unwrap());
            let (status, said) = self.answer(method, path, token.as_deref(), &body);
            let length = said.len();
            let head = format!("HTTP/1.1 {status} Whatever\r\ncontent-length: {length}\r\n\r\n{said}");
            if answers.write_all(head.as_bytes()).is_err() {
                return;
            }
        }
    }

    fn answer(&self, method: &str, path: &str, token: Option<&str>, body: &[u8]) -> (u16, String) {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let service = path.strip_prefix("/v1/agent/service/").expect("the agent's services");
        let answer = {
            let mut state = self.state.0.lock().unwrap();
            state.asked.push((method.to_owned(), path.to_owned(), token.map(str::to_owned)));
            if token != Some(state.token) {
                (403, "Permission denied: token with AccessorID lacks permission 'service:write'".to_owned())
            } else {
                match (method, service.split_once('/')) {
                    ("PUT", None) if service == "register" => {
                        assert_eq!(query, "replace-existing-checks=true");
                        let sent: Value = serde_json::from_slice(body).unwrap();
                        let id = sent["ID"].as_str().unwrap().to_owned();
                        state.services.insert(id, sent);
                        (200, String::new())
                    }
                    ("PUT", Some(("deregister", id))) => match state.services.remove(id) {
                        Some(service) => {
                            let port = u16::try_from(service["Port"].as_u64().unwrap()).unwrap();
                            // As long as Consul has not answered, whoever was sent there has to be served.
                            let answered = status_at(SocketAddr::from(([127, 0, 0, 1], port)), "/v1/flights");
                            state.at_deregistration.push(answered);
                            (200, String::new())
                        }
                        None => (
                            404,
                            format!("Unknown service ID \"{id}\". Ensure that the service ID is passed"),
                        ),
                    },
                    ("GET", None) => match state.services.get(service) {
                        Some(sent) => {
                            let shown = json!({
                                "ID": sent["ID"], "Service": sent["Name"], "Tags": [], "Meta": sent["Meta"],
                                "Port": sent["Port"], "Address": sent["Address"],
                                "Weights": {"Passing": 1, "Warning": 1}, "EnableTagOverride": false,
                                "ContentHash": "4ecd29c7bc647ca8", "Datacenter": "dc1",
                            });
                            (200, shown.to_string())
                        }
                        None => (404, format!("unknown service ID: {service}")),
                    },
                    _ => panic!("not in the documentation: {method} {path}"),
                }
            }
        };
        self.state.1.notify_all();
        answer
    }
}

/// A server in this process, with a runtime of its own.
struct Server {
    runtime: tokio::runtime::Runtime,
    running: Option<Running>,
    address: SocketAddr,
    ops: SocketAddr,
    _data_dir: tempfile::TempDir,
}

impl Server {
    fn start(agent: &Agent, changes: &[(&'static str, &str)]) -> Self {
        let data_dir = tempfile::tempdir().unwrap();
        let mut values = Values::default();
        values.set("listen", "127.0.0.1:0");
        values.set("ops_listen", "127.0.0.1:0");
        values.set("data_dir", data_dir.path().to_str().unwrap());
        values.set("consul", agent.url());
        values.set("consul_token", TOKEN);
        for (name, value) in changes {
            values.set(name, *value);
        }
        let settings = Settings::from_values(&values).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let running = runtime.block_on(serve::start(settings)).unwrap();
        let ops = running.ops.as_ref().unwrap().address();
        Self { runtime, address: running.address, ops, running: Some(running), _data_dir: data_dir }
    }

    fn grab(&self, customer: &str) {
        let body = format!("{{\"customer_id\":\"{customer}\",\"quantity\":1}}");
        assert_eq!(asked(self.address, "POST /v1/flights/DEMO1/orders", &body).0, 201);
    }

    fn is_registered(&self) -> bool {
        let (_, page) = asked(self.ops, "GET /metrics", "");
        page.contains("\nfarerush_registered 1\n")
    }

    /// Stops it as SIGTERM does.
    fn stop(mut self) {
        let running = self.running.take().unwrap();
        assert!(self.runtime.block_on(running.stop(Duration::from_secs(9))));
    }
}

fn asked(address: SocketAddr, head: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = body.len();
    write!(
        stream,
        "{head} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, answer)
}

fn status_at(address: SocketAddr, path: &str) -> u16 {
    asked(address, &format!("GET {path}"), "").0
}

#[test]
fn a_server_is_registered_with_its_check_and_let_go_while_it_still_serves() {
    let agent = Agent::start(Mood::Well);
    let server = Server::start(&agent, &[("consul_service", "seats"), ("instance", "gateway-2")]);
    agent.until("it is registered", |state| !state.services.is_empty());
    let entry = agent.only();
    assert_eq!((&entry["ID"], &entry["Name"]), (&json!("seats-gateway-2"), &json!("seats")));
    assert_eq!((&entry["Address"], &entry["Port"]), (&json!("127.0.0.1"), &json!(server.address.port())));
    assert_eq!(entry["Meta"], json!({"version": env!("CARGO_PKG_VERSION"), "instance": "gateway-2"}));
    let check = &entry["Check"];
    assert_eq!(check["HTTP"], format!("http://{}/readyz", server.ops));
    assert_eq!(check["DeregisterCriticalServiceAfter"], "10m");
    for duration in ["Interval", "Timeout"] {
        assert!(check[duration].as_str().unwrap().ends_with('s'), "{check}");
    }
    // What Consul asks is answered as it should be.
    assert_eq!(status_at(server.ops, "/readyz"), 200);
    let deadline = Instant::now() + PATIENCE;
    while !server.is_registered() {
        assert!(Instant::now() < deadline, "it does not say that it is registered");
    }
    server.grab("u");
    server.stop();
    let state = agent.state.0.lock().unwrap();
    assert!(state.services.is_empty(), "{:?}", state.services);
    assert_eq!(state.at_deregistration, [200], "it served until it had been let go");
    assert!(state.asked.iter().all(|(_, _, token)| token.as_deref() == Some(TOKEN)), "{:?}", state.asked);
}

#[test]
fn an_agent_that_is_away_or_wants_another_token_is_told_later_and_selling_does_not_wait() {
    let agent = Agent::start(Mood::Away);
    let server = Server::start(&agent, &[]);
    for number in 0..20 {
        server.grab(&format!("u{number}"));
    }
    assert!(!server.is_registered());
    agent.change(|state| (state.mood, state.token) = (Mood::Well, "another"));
    agent.until("it is refused", |state| !state.asked.is_empty());
    assert!(!server.is_registered());
    agent.change(|state| state.token = TOKEN);
    agent.until("it is registered", |state| !state.services.is_empty());
    let entry = agent.only();
    let named = format!("farerush-127.0.0.1-{}", server.address.port());
    assert_eq!(entry["ID"], named);
    server.stop();
    assert!(agent.state.0.lock().unwrap().services.is_empty());
}

#[test]
fn an_agent_that_has_forgotten_the_server_or_has_it_wrong_is_told_again() {
    let agent = Agent::start(Mood::Well);
    let server = Server::start(&agent, &[]);
    agent.until("it is registered", |state| !state.services.is_empty());
    let entry = agent.only();
    // As an agent does that was restarted without its data.
    agent.change(|state| state.services.clear());
    agent.until("it is registered again", |state| !state.services.is_empty());
    assert_eq!(agent.only(), entry);
    let port = entry["Port"].clone();
    let wrong =
        |state: &mut State| state.services.values_mut().for_each(|service| service["Port"] = json!(1));
    agent.change(wrong);
    agent.until("it is put right", |state| state.services.values().all(|service| service["Port"] == port));
    // Whoever has forgotten it does not keep it from stopping.
    agent.change(|state| state.services.clear());
    server.stop();
}

#[test]
fn an_agent_that_never_answers_holds_up_neither_start_nor_stop() {
    let agent = Agent::start(Mood::Silent);
    let server = Server::start(&agent, &[]);
    server.grab("u");
    assert_eq!(status_at(server.ops, "/readyz"), 200);
    // Within the time that a stop has.
    server.stop();
}
