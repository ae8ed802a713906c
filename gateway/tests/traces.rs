//! Traces and logs from the other_servers: a small collector of our own that takes OTLP, a real server that sends to it,
//! and the program's log read line by line.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use farerush::start::config::{Settings, Values};
use farerush::start::serve::{self, Running};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

/// Longer than anything should take.
const PATIENCE: Duration = Duration::from_secs(30);
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// Takes what is sent to `/v1/traces` and passes the spans on; answers on threads of its own until the test ends.
struct Collector {
    address: SocketAddr,
    spans: Receiver<Sent>,
}

/// The spans of one request of an exporter, and the attributes of whoever sent them.
type Sent = (HashMap<String, String>, Vec<Span>);

impl Collector {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, spans) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let sender = sender.clone();
                std::thread::spawn(move || serve_collector(stream, &sender));
            }
        });
        Self { address, spans }
    }

    fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All spans that have come; for when nothing more will be sent.
    fn all(&self) -> Vec<Span> {
        self.spans.try_iter().flat_map(|(_, spans)| spans).collect()
    }

    /// Waits until the spans that have come are `enough`.
    fn wait(&self, enough: impl Fn(&[Span]) -> bool) -> Vec<Span> {
        let until = Instant::now() + PATIENCE;
        let mut all = Vec::new();
        while !enough(&all) {
            let left = until.saturating_duration_since(Instant::now());
            let sent = self.spans.recv_timeout(left);
            all.extend(sent.unwrap_or_else(|_| panic!("not enough ever comes: {all:?}")).1);
        }
        all
    }

    /// Who sends: its attributes.
    fn sender(&self) -> HashMap<String, String> {
        self.spans.recv_timeout(PATIENCE).expect("something arrives").0
    }
}

fn serve_collector(stream: TcpStream, sender: &Sender<Sent>) {
    let mut answers = stream.try_clone().unwrap();
    let mut requests = BufReader::new(stream);
    loop {
        let (mut first, mut length) = (String::new(), 0);
        if requests.read_line(&mut first).unwrap_or(0) == 0 {
            return;
        }
        assert!(first.starts_with("POST /v1/traces HTTP/1.1"), "{first}");
        loop {
            let mut line = String::new();
            requests.read_line(&mut line).unwrap();
            if line.trim().is_empty() {
                break;
            }
            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        requests.read_exact(&mut body).unwrap();
        let request = ExportTraceServiceRequest::decode(&body[..]).unwrap();
        for resource in request.resource_spans {
            let attributes = resource.resource.unwrap_or_default().attributes;
            let shown: HashMap<String, String> =
                attributes.iter().map(|attribute| (attribute.key.clone(), shown_value(attribute))).collect();
            for name in ["service.name", "service.version", "service.instance.id"] {
                assert!(shown.contains_key(name), "{name}: {shown:?}");
            }
            let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans).collect();
            let _ = sender.send((shown, spans));
        }
        answers.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
    }
}

/// A server in this process, with a runtime of its own.
struct Server {
    runtime: tokio::runtime::Runtime,
    running: Option<Running>,
    address: SocketAddr,
    _data_dir: tempfile::TempDir,
}

impl Server {
    fn start(changes: &[(&'static str, &str)]) -> Self {
        let data_dir = tempfile::tempdir().unwrap();
        let mut values = Values::default();
        values.set("listen", "127.0.0.1:0");
        values.set("data_dir", data_dir.path().to_str().unwrap());
        for (name, value) in changes {
            values.set(name, *value);
        }
        let settings = Settings::from_values(&values).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let running = runtime.block_on(serve::start(settings)).unwrap();
        Self { runtime, address: running.address, running: Some(running), _data_dir: data_dir }
    }

    fn traced(collector: &Collector, ratio: &str) -> Self {
        Self::start(&[("otlp_endpoint", &collector.endpoint()), ("trace_sample_ratio", ratio)])
    }

    fn grab(&self, headers: &str) -> String {
        let answer = grab(self.address, headers);
        assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
        answer
    }

    fn lost_spans(&self) -> u64 {
        self.running.as_ref().unwrap().observer.as_ref().unwrap().lost_spans()
    }

    /// Stops it as SIGTERM does; what is queued is sent by then.
    fn stop(mut self) {
        let running = self.running.take().unwrap();
        assert!(self.runtime.block_on(running.stop(Duration::from_secs(9))));
    }
}

/// Sends a request on a connection of its own; `head` is its first line without the version.
fn send(address: SocketAddr, head: &str, headers: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = body.len();
    let text = format!(
        "{head} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(text.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn grab(address: SocketAddr, headers: &str) -> String {
    static CUSTOMERS: AtomicU32 = AtomicU32::new(0);
    let customer = CUSTOMERS.fetch_add(1, Ordering::Relaxed);
    let body = format!("{{\"customer_id\":\"u{customer}\",\"quantity\":1}}");
    send(address, "POST /v1/flights/DEMO1/orders", headers, &body)
}

fn traceparent(flags: &str) -> String {
    format!("traceparent: 00-{TRACE}-{PARENT}-{flags}\r\n")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A span's attributes, as text.
fn attributes(span: &Span) -> HashMap<&str, String> {
    span.attributes.iter().map(|attribute| (attribute.key.as_str(), shown_value(attribute))).collect()
}

fn shown_value(attribute: &KeyValue) -> String {
    match attribute.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(yes)) => yes.to_string(),
        None => String::new(),
        other => panic!("not expected: {other:?}"),
    }
}

/// The steps of a request, beside which stands what others do for it.
const STEPS: [&str; 5] = ["queue", "decide", "journal wait", "journal append", "reply"];

/// The root (the span that is no other's child here) and its steps, by their beginning.
fn family(spans: &[Span]) -> (&Span, Vec<&Span>) {
    let is_child = |span: &Span| spans.iter().any(|other| other.span_id == span.parent_span_id);
    let (children, roots): (Vec<_>, Vec<_>) = spans.iter().partition(|span| is_child(span));
    assert_eq!(roots.len(), 1, "{spans:?}");
    let mut steps: Vec<_> = children
        .into_iter()
        .filter(|span| span.parent_span_id == roots[0].span_id && STEPS.contains(&span.name.as_str()))
        .collect();
    steps.sort_by_key(|span| span.start_time_unix_nano);
    (roots[0], steps)
}

/// All spans of this name.
fn named<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.name == name).collect()
}

/// The one span of this name.
fn only<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let found = named(spans, name);
    assert_eq!(found.len(), 1, "{name}: {spans:?}");
    found[0]
}

/// The children of a span, by their beginning.
fn below<'a>(spans: &'a [Span], parent: &Span) -> Vec<&'a Span> {
    let mut children: Vec<_> = spans.iter().filter(|span| span.parent_span_id == parent.span_id).collect();
    children.sort_by_key(|span| span.start_time_unix_nano);
    children
}

const GRAB: &str = "POST /v1/flights/{flight_id}/orders";

#[test]
fn a_sampled_grab_is_one_trace_from_the_queue_to_the_reply() {
    let collector = Collector::start();
    let server = Server::traced(&collector, "0");
    let answer = server.grab(&format!("{}x-request-id: mine-1\r\n", traceparent("01")));
    let spans = collector.wait(|spans| named(spans, GRAB).len() == 1);
    server.stop();
    let (root, children) = family(&spans);
    assert!(spans.iter().all(|span| hex(&span.trace_id) == TRACE), "{spans:?}");
    assert_eq!(hex(&root.parent_span_id), PARENT);
    assert_eq!(root.name, "POST /v1/flights/{flight_id}/orders");
    assert_eq!(root.kind, 2, "a server's span");
    let shown = attributes(root);
    let order_id = answer.split("/v1/orders/").nth(1).unwrap().lines().next().unwrap();
    for (name, value) in [
        ("http.request.method", "POST"),
        ("http.route", "/v1/flights/{flight_id}/orders"),
        ("http.response.status_code", "201"),
        ("url.path", "/v1/flights/DEMO1/orders"),
        ("farerush.flight_id", "DEMO1"),
        ("farerush.order_id", order_id),
        ("x-request-id", "mine-1"),
    ] {
        assert_eq!(shown.get(name).map(String::as_str), Some(value), "{name}: {shown:?}");
    }
    let names: Vec<_> = children.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names, ["queue", "decide", "journal wait", "journal append", "reply"]);
    assert_eq!(attributes(children[3])["farerush.round.events"], "1");
    assert_eq!(children[4].events.len(), 1, "{:?}", children[4]);
    let mut last = root.start_time_unix_nano;
    for child in &children {
        assert!(child.start_time_unix_nano >= last, "{children:?}");
        assert!(child.end_time_unix_nano >= child.start_time_unix_nano, "{child:?}");
        last = child.end_time_unix_nano;
    }
    assert_eq!(last, root.end_time_unix_nano, "the reply ends with the request");
}

#[test]
fn the_journal_s_round_and_the_store_s_flush_stand_in_the_trace_of_the_grab_that_they_were_for() {
    let collector = Collector::start();
    let server = Server::traced(&collector, "0");
    // Nobody wants to see what this one causes.
    server.grab("");
    server.grab(&traceparent("01"));
    let spans =
        collector.wait(|spans| !named(spans, "store flush").is_empty() && !named(spans, GRAB).is_empty());
    server.stop();
    assert!(collector.all().is_empty(), "that was all");
    assert!(spans.iter().all(|span| hex(&span.trace_id) == TRACE), "{spans:?}");
    let (grab, round, flush) =
        (only(&spans, GRAB), only(&spans, "journal round"), only(&spans, "store flush"));
    assert_eq!((&round.parent_span_id, &flush.parent_span_id), (&grab.span_id, &grab.span_id));
    assert!(round.links.is_empty() && flush.links.is_empty());
    let shown = attributes(round);
    let number = |name: &str| shown[name].parse::<u64>().unwrap_or_else(|_| panic!("{name}: {shown:?}"));
    assert_eq!((number("farerush.round.attempts"), number("farerush.round.flights")), (1, 1));
    assert!(number("farerush.round.events") >= 1 && number("farerush.round.bytes") > 50, "{shown:?}");
    assert!(shown["farerush.journal"].contains("journal"), "{shown:?}");
    let fsync = only(&spans, "journal fsync");
    assert_eq!(fsync.parent_span_id, round.span_id);
    assert!(fsync.start_time_unix_nano >= round.start_time_unix_nano, "{fsync:?} {round:?}");
    assert_eq!(fsync.end_time_unix_nano, round.end_time_unix_nano);
    // Durable before it is answered, and stored when it may be.
    assert!(round.start_time_unix_nano >= grab.start_time_unix_nano);
    let shown = attributes(flush);
    assert_eq!(shown["db.system"], "sqlite");
    assert!(shown["farerush.flush.events"].parse::<u64>().unwrap() >= 1, "{shown:?}");
    let statements = below(&spans, flush);
    let names: Vec<_> = statements.iter().map(|span| span.name.as_str()).collect();
    assert_eq!((names.first(), names.last()), (Some(&"BEGIN"), Some(&"COMMIT")), "{names:?}");
    for name in ["SELECT flight_cursor", "INSERT orders", "INSERT tickets"] {
        assert!(names.contains(&name), "no {name}: {names:?}");
    }
    // Its first events may still have been on their way to the store with it.
    let moves_cursor = |name: &str| matches!(name, "UPDATE flight_cursor" | "INSERT flight_cursor");
    assert!(names.iter().any(|name| moves_cursor(name)), "no cursor is moved: {names:?}");
    for statement in &statements {
        let shown = attributes(statement);
        assert_eq!((statement.kind, shown["db.system"].as_str()), (3, "sqlite"), "a client's span");
        let operation = statement.name.split(' ').next().unwrap();
        assert_eq!(shown["db.operation"], operation);
        let has_rows = !["BEGIN", "COMMIT"].contains(&operation);
        assert_eq!(shown.contains_key("db.rows"), has_rows, "{shown:?}");
        assert!(statement.end_time_unix_nano >= statement.start_time_unix_nano, "{statement:?}");
    }
    let cursor = statements.iter().find(|span| moves_cursor(&span.name)).unwrap();
    assert!(attributes(cursor)["db.rows"].parse::<u64>().unwrap() >= 1, "{cursor:?}");
    assert!(!format!("{spans:?}").contains("customer_id"), "no statement is shown as it is");
}

#[test]
fn every_traced_grab_of_a_crowd_has_a_round_and_a_flush_as_its_parent_or_by_a_link() {
    const GRABS: usize = 24;
    let collector = Collector::start();
    let server = Server::traced(&collector, "1");
    std::thread::scope(|scope| {
        (0..GRABS).for_each(|_| drop(scope.spawn(|| server.grab(""))));
    });
    server.stop();
    // What was traced has been sent by then, the store's part of it as well.
    let spans = collector.all();
    let mut grabs: Vec<_> = named(&spans, GRAB).into_iter().map(|span| span.span_id.clone()).collect();
    grabs.sort();
    assert_eq!(grabs.len(), GRABS);
    for name in ["journal round", "store flush"] {
        let shared = named(&spans, name);
        let mut for_whom: Vec<Vec<u8>> = Vec::new();
        for span in &shared {
            let parent =
                spans.iter().find(|other| other.span_id == span.parent_span_id).expect("it has a parent");
            assert_eq!(parent.trace_id, span.trace_id);
            for_whom.push(parent.span_id.clone());
            for link in &span.links {
                let linked = spans.iter().find(|other| other.span_id == link.span_id).expect("it is there");
                assert_eq!(linked.trace_id, link.trace_id);
                for_whom.push(link.span_id.clone());
            }
        }
        for_whom.sort();
        assert_eq!(for_whom, grabs, "{name}: {} of them", shared.len());
    }
}

#[test]
fn what_a_request_asks_of_the_store_stands_below_it() {
    let collector = Collector::start();
    let server = Server::traced(&collector, "0");
    server.grab("");
    let head = "GET /v1/orders?customer_id=very-private";
    let answer = send(server.address, head, &traceparent("01"), "");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    server.stop();
    let spans = collector.all();
    let (root, statement) = (only(&spans, "GET /v1/orders"), only(&spans, "SELECT orders"));
    assert_eq!(statement.parent_span_id, root.span_id);
    let shown = attributes(statement);
    assert_eq!((shown["db.operation"].as_str(), shown["db.rows"].as_str()), ("SELECT", "0"));
    assert_eq!(shown["farerush.statement"], "listing orders");
    assert!(!format!("{spans:?}").contains("very-private"), "who was asked for is nobody's business");
}

#[test]
fn traces_say_which_server_they_are_from() {
    let sender = |changes: &[(&'static str, &str)]| {
        let collector = Collector::start();
        let endpoint = collector.endpoint();
        let settings =
            [&[("otlp_endpoint", endpoint.as_str()), ("trace_sample_ratio", "1")], changes].concat();
        let server = Server::start(&settings);
        server.grab("");
        server.stop();
        collector.sender()
    };
    let named = sender(&[("instance", "gateway-2")]);
    assert_eq!(
        (named["service.name"].as_str(), named["service.instance.id"].as_str()),
        ("farerush", "gateway-2")
    );
    assert_eq!(named["service.version"], env!("CARGO_PKG_VERSION"));
    let unnamed = &sender(&[])["service.instance.id"];
    assert!(unnamed.ends_with(&format!("-{}", std::process::id())), "{unnamed}");
}

#[test]
fn what_is_not_sampled_sends_nothing() {
    let collector = Collector::start();
    let server = Server::traced(&collector, "1");
    server.grab(&traceparent("00"));
    server.stop();
    assert!(collector.all().is_empty(), "the caller had decided against it");
    let server = Server::traced(&collector, "0");
    server.grab("");
    server.grab("traceparent: 00-nonsense\r\n");
    server.stop();
    assert!(collector.all().is_empty());
}

#[test]
fn a_ratio_of_one_traces_everything_and_a_refusal_with_its_code() {
    let collector = Collector::start();
    let server = Server::traced(&collector, "1.0");
    for _ in 0..3 {
        server.grab("");
    }
    let refused =
        send(server.address, "POST /v1/flights/DEMO1/orders", "", r#"{"customer_id":"many","quantity":99}"#);
    assert!(refused.contains("LIMIT_EXCEEDED"), "{refused}");
    send(server.address, "GET /v1/flights/DEMO1?secret=1", "", "");
    send(server.address, "GET /wp-login.php", "", "");
    server.stop();
    let spans = collector.all();
    let mut traces: HashMap<Vec<u8>, Vec<Span>> = HashMap::new();
    for span in spans {
        traces.entry(span.trace_id.clone()).or_default().push(span);
    }
    assert_eq!(traces.len(), 6, "{traces:?}");
    let mut named: Vec<_> = traces.values().map(|spans| family(spans)).collect();
    named.sort_by_key(|(root, _)| root.start_time_unix_nano);
    for (root, children) in &named[..3] {
        assert!(root.parent_span_id.is_empty(), "{root:?}");
        assert_eq!(children.len(), 5, "{children:?}");
    }
    let (refused, steps) = &named[3];
    assert_eq!(attributes(refused)["farerush.code"], "LIMIT_EXCEEDED");
    let steps: Vec<_> = steps.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(steps, ["queue", "decide", "reply"], "it waited for no event");
    let (read, none) = &named[4];
    assert_eq!((read.name.as_str(), none.len()), ("GET /v1/flights/{flight_id}", 0));
    assert!(!format!("{read:?}").contains("secret"), "a query is nobody's business");
    assert_eq!(named[5].0.name, "GET", "an address that is not there gives no name");
    assert_eq!(attributes(named[5].0)["farerush.code"], "NOT_FOUND");
}

#[test]
fn without_traces_and_access_log_nothing_is_there_to_watch() {
    let server = Server::start(&[]);
    assert!(server.running.as_ref().unwrap().observer.is_none());
    server.grab(&traceparent("01"));
    server.stop();
}

/// Grabs while the collector does what it does, and stops; everything within times that are short beside the
/// collector's own.
fn sells_beside(endpoint: &str) {
    let server = Server::start(&[("otlp_endpoint", endpoint), ("trace_sample_ratio", "1")]);
    for _ in 0..50 {
        let began = Instant::now();
        server.grab("");
        assert!(began.elapsed() < Duration::from_secs(2), "a grab took {:?}", began.elapsed());
    }
    let began = Instant::now();
    server.stop();
    assert!(began.elapsed() < Duration::from_secs(9), "the stop took {:?}", began.elapsed());
}

#[test]
fn a_collector_that_is_away_slows_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    sells_beside(&format!("http://{address}"));
}

#[test]
fn a_collector_that_hangs_slows_nothing() {
    // It accepts, by way of its backlog, and never says a word.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    sells_beside(&format!("http://{}", listener.local_addr().unwrap()));
}

#[test]
fn what_the_collector_refuses_is_counted() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut some = [0; 4096];
            let _ = stream.read(&mut some);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n");
        }
    });
    let endpoint = format!("http://{address}");
    let server = Server::start(&[("otlp_endpoint", &endpoint), ("trace_sample_ratio", "1")]);
    server.grab("");
    let until = Instant::now() + PATIENCE;
    // The grab's own, the round's, and some of the flush.
    while server.lost_spans() <= 8 {
        assert!(Instant::now() < until, "too few were counted: {}", server.lost_spans());
        std::thread::yield_now();
    }
    server.stop();
}

/// The program with a log in JSON; killed when dropped.
struct Program {
    child: Child,
    address: SocketAddr,
}

impl Program {
    fn start(directory: &std::path::Path, arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_farerush"))
            .current_dir(directory)
            .env_clear()
            .args(["--listen", "127.0.0.1:0", "--log-format", "json"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(directory.join("log")).unwrap())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on http://").expect("no address").parse().unwrap();
        Self { child, address }
    }

    fn stop(&mut self) {
        let status = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(status.success() && self.child.wait().unwrap().success());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn log_lines(directory: &std::path::Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(directory.join("log")).unwrap();
    let parse = |line: &str| -> serde_json::Value {
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
    };
    let lines: Vec<_> = text.lines().map(parse).collect();
    for line in &lines {
        for name in ["timestamp", "level", "target"] {
            assert!(line[name].is_string(), "no {name}: {line}");
        }
        // Other crates log lines that are fields only.
        let is_ours = line["target"].as_str().is_some_and(|target| target.starts_with("farerush"));
        assert!(!is_ours || line["message"].is_string(), "no message: {line}");
    }
    lines
}

#[test]
fn every_log_line_is_json_and_a_request_s_lines_carry_its_id() {
    let directory = tempfile::tempdir().unwrap();
    let mut program =
        Program::start(directory.path(), &["--log-filter", "debug", "--otlp-endpoint", "http://127.0.0.1:1"]);
    // A body whose chunks are none: reading it fails, and the handler logs that.
    let mut stream = TcpStream::connect(program.address).unwrap();
    let head = format!(
        "POST /v1/flights/DEMO1/orders HTTP/1.1\r\nhost: localhost\r\nx-request-id: find-me-7\r\n{}\
         transfer-encoding: chunked\r\n\r\nnot a chunk\r\n",
        traceparent("01")
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    program.stop();
    let lines = log_lines(directory.path());
    let line = lines.iter().find(|line| line["message"] == "reading a body failed");
    let line = line.unwrap_or_else(|| panic!("{answer}\n{lines:?}"));
    assert_eq!(line["request_id"], "find-me-7");
    assert_eq!(line["trace_id"], TRACE);
    assert_eq!(line["target"], "farerush_wire::wire::body");
    let others = lines.iter().filter(|line| line["message"] == "selling");
    assert!(others.clone().count() == 1 && others.clone().all(|line| line.get("request_id").is_none()));
}

#[test]
fn the_access_log_has_a_line_for_every_request_and_no_customer() {
    let directory = tempfile::tempdir().unwrap();
    let mut program = Program::start(directory.path(), &["--access-log", "true"]);
    let answer = grab(program.address, "x-request-id: grab-1\r\n");
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    send(program.address, "GET /v1/orders?customer_id=very-private", "x-request-id: list-1\r\n", "");
    send(program.address, "HEAD /nowhere", "x-request-id: none-1\r\n", "");
    program.stop();
    let lines = log_lines(directory.path());
    let line = |id: &str| {
        let mut with_id = lines.iter().filter(|line| line["request_id"] == id);
        let line = with_id.next().unwrap_or_else(|| panic!("no {id}: {lines:?}"));
        assert!(with_id.next().is_none(), "more than one {id}: {lines:?}");
        assert_eq!(line["target"], "farerush::access");
        assert!(line["duration_us"].is_u64() && line.get("trace_id").is_none(), "{line}");
        line
    };
    let grabbed = line("grab-1");
    assert_eq!((&grabbed["method"], &grabbed["status"]), (&"POST".into(), &201.into()));
    assert_eq!(grabbed["route"], "/v1/flights/{flight_id}/orders");
    assert_eq!(grabbed["path"], "/v1/flights/DEMO1/orders");
    assert!(grabbed.get("code").is_none(), "{grabbed}");
    assert_eq!(line("list-1")["path"], "/v1/orders");
    let nowhere = line("none-1");
    assert_eq!((&nowhere["method"], &nowhere["code"]), (&"HEAD".into(), &"NOT_FOUND".into()));
    assert!(nowhere.get("route").is_none(), "{nowhere}");
    assert!(!format!("{lines:?}").contains("very-private"), "{lines:?}");
}

#[test]
fn a_start_that_fails_says_so_in_json_too() {
    let directory = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_farerush"))
        .current_dir(directory.path())
        .env_clear()
        .args(["--listen", &address, "--log-format", "json"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    std::fs::write(directory.path().join("log"), &output.stderr).unwrap();
    let lines = log_lines(directory.path());
    let said = lines.last().unwrap()["message"].as_str().unwrap();
    assert!(said.contains(&format!("cannot listen on {address}")), "{said}");
}
