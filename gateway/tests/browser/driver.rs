//! chromedriver as a process, and the W3C WebDriver protocol as far as it is JSON over HTTP.
//! Never outlives the tests: the process dies with its handle, and with the test program, however that ends.

use std::fmt::Display;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak, mpsc};
use std::time::Duration;

use reqwest::Method;
use reqwest::blocking::Client;
use serde_json::Value;
use tempfile::TempDir;

/// Browsers that are open at once, in all tests together. No test may want more.
pub(crate) const BROWSERS_MAX: usize = 4;
/// How long one command may take: a crowded machine starts a browser slowly.
const COMMAND_PATIENCE: Duration = Duration::from_secs(60);
/// What stands before the port in the line that says where chromedriver listens.
const LISTENS: &str = "was started successfully on port ";

/// What a command was refused for.
#[derive(Debug)]
pub(crate) struct Refused {
    /// The protocol's name for it, such as `no such element`.
    pub(crate) error: String,
    pub(crate) message: String,
}

impl Refused {
    pub(crate) fn new(error: &str, message: &dyn Display) -> Self {
        Self { error: error.to_owned(), message: message.to_string() }
    }
}

/// A running chromedriver.
pub(crate) struct Driver {
    port: u16,
    http: Client,
    child: Arc<Mutex<Child>>,
    /// Chromium's profiles, and what it leaves behind.
    _folder: TempDir,
}

impl Driver {
    /// The one of this program: started for whoever comes first, ended with the last that has it.
    pub(crate) fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Driver>> = Mutex::new(Weak::new());
        let mut shared = lock(&SHARED);
        if let Some(driver) = shared.upgrade() {
            return driver;
        }
        let driver = Arc::new(Self::start());
        *shared = Arc::downgrade(&driver);
        driver
    }

    fn start() -> Self {
        let folder = TempDir::new().expect("a temporary folder is made");
        let path = folder.path().to_owned();
        let (say, said) = mpsc::channel();
        // The kernel kills chromedriver when the thread that started it ends, so that one does nothing else.
        std::thread::spawn(move || {
            let mut child = Command::new("setpriv")
                .args(["--pdeathsig", "KILL", "chromedriver", "--port=0"])
                .env("TMPDIR", path)
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .expect("setpriv (Debian package util-linux) starts");
            let out = child.stdout.take().expect("its output is read here");
            let child = Arc::new(Mutex::new(child));
            read_output(out, |port| say.send((port, child)).expect("the port is waited for"));
        });
        let (port, child) = said.recv().expect("chromedriver (Debian package chromium-driver) starts");
        // reqwest wants to know how it would do TLS, even where there is none.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = Client::builder().no_proxy().timeout(COMMAND_PATIENCE).build().expect("an HTTP client");
        Self { port, http, child, _folder: folder }
    }

    /// Sends a command, and gives what it answers.
    pub(crate) fn command(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Refused> {
        let mut request = self.http.request(method, format!("http://127.0.0.1:{}{path}", self.port));
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let answered = request.send().and_then(|response| Ok((response.status(), response.text()?)));
        let (status, text) = answered.map_err(|error| Refused::new("no answer", &error))?;
        let mut answer: Value =
            serde_json::from_str(&text).map_err(|error| Refused::new("no JSON", &error))?;
        let value = answer["value"].take();
        if status.is_success() {
            return Ok(value);
        }
        let text = |name: &str| value[name].as_str().unwrap_or_default();
        Err(Refused::new(text("error"), &text("message")))
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let mut child = lock(&self.child);
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// Says the port once it stands there, and reads on until the process has ended.
fn read_output(out: ChildStdout, listens: impl FnOnce(u16)) {
    let mut out = BufReader::new(out);
    let mut listens = Some(listens);
    let mut line = String::new();
    while listens.is_some() && matches!(out.read_line(&mut line), Ok(1..)) {
        let digits = line.split_once(LISTENS).map(|(_, rest)| rest.trim_end().trim_end_matches('.'));
        if let Some(port) = digits.and_then(|digits| digits.parse().ok())
            && let Some(listens) = listens.take()
        {
            listens(port);
        }
        line.clear();
    }
    let _ = out.read_to_end(&mut Vec::new());
}

/// The right to have browsers open, so many.
pub(crate) struct Places(usize);

static OPEN: Mutex<usize> = Mutex::new(0);
static CLOSED: Condvar = Condvar::new();

impl Places {
    /// Waits until there is room. All that a test needs is taken at once: two tests that take one after the other could
    /// wait for each other.
    pub(crate) fn take(count: usize) -> Self {
        assert!(count <= BROWSERS_MAX, "no test may have {count} browsers");
        let open = CLOSED.wait_while(lock(&OPEN), |open| *open + count > BROWSERS_MAX);
        *open.unwrap_or_else(PoisonError::into_inner) += count;
        Self(count)
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        *lock(&OPEN) -= self.0;
        CLOSED.notify_all();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
