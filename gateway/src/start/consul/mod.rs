//! Registration with Consul: says where this server is once it is ready, sees that Consul still knows it, and takes the
//! entry back before a stop closes connections. Never in the way of selling: an agent that is away is tried again.

mod settings;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, Method, StatusCode};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::base::errors::in_full;
use crate::parts::figures::Figures;

pub use settings::ConsulSettings;

use settings::Entry;

/// How often Consul is asked whether it still knows this server: an agent that was restarted without its data does not.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// First pause after a failure; each further one is twice as long.
const BACKOFF_MIN: Duration = Duration::from_millis(500);
/// Longest pause after a failure.
const BACKOFF_MAX: Duration = Duration::from_secs(15);
/// How long the agent may take for an answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);
/// How often it is tried to take the entry back.
const TAKE_BACK_TRIES: usize = 6;
/// How often it is looked whether this server is ready, before it is registered.
const READY_EVERY: Duration = Duration::from_millis(100);
/// Most bytes of an answer that are read.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// The header that carries the agent's token.
const TOKEN: &str = "x-consul-token";

/// Why this server is not registered just now.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// The agent cannot be reached, or did not answer in time.
    #[error("the agent does not answer")]
    Away(#[source] reqwest::Error),
    /// It does not take what it was sent.
    #[error("the agent answered {status}: {said}")]
    Refused { status: u16, said: String },
}

/// This server's registration; it is seen to by a task of its own until it is ended.
pub struct Registration {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
    is_registered: Arc<AtomicBool>,
}

impl Registration {
    /// Registers this server once it is ready. Fails if there can be no client (no root certificates, say).
    pub fn start(
        settings: &ConsulSettings,
        instance: &str,
        listens: SocketAddr,
        ops: Option<SocketAddr>,
        figures: Weak<Figures>,
    ) -> Result<Self, reqwest::Error> {
        let agent = Agent::new(settings, Entry::of(settings, instance, listens, ops))?;
        let is_registered =
            figures.upgrade().map(|figures| figures.is_registered.clone()).unwrap_or_default();
        let (stop, stopping) = watch::channel(false);
        let keeper = Keeper { agent, figures, is_registered: is_registered.clone(), has_failed: false };
        Ok(Self { stop, task: tokio::spawn(keeper.run(stopping)), is_registered })
    }

    /// Takes the entry back, so that nobody comes here any more; gives up after `patience`, and Consul's own check then
    /// finds out.
    pub async fn end(self, patience: Duration) {
        let _ = self.stop.send(true);
        let mut task = self.task;
        if tokio::time::timeout(patience, &mut task).await.is_err() {
            task.abort();
            tracing::warn!("Consul could not be told that this server stops; its check will find that out");
        }
        self.is_registered.store(false, Ordering::Relaxed);
    }
}

/// What sees to it.
struct Keeper {
    agent: Agent,
    figures: Weak<Figures>,
    is_registered: Arc<AtomicBool>,
    /// Whether the last attempt failed, which is said once.
    has_failed: bool,
}

impl Keeper {
    async fn run(mut self, mut stopping: watch::Receiver<bool>) {
        let mut backoff = BACKOFF_MIN;
        let mut was_told = false;
        while !self.is_ready() {
            if ends_within(&mut stopping, READY_EVERY).await {
                return;
            }
        }
        loop {
            // Not broken off by a stop: what the agent was told then would be anybody's guess.
            let pause = match self.see_to_it(&mut was_told).await {
                Ok(()) => {
                    backoff = BACKOFF_MIN;
                    LOOK_EVERY
                }
                Err(failure) => {
                    self.note_failed(&failure);
                    let pause = backoff;
                    backoff = (backoff * 2).min(BACKOFF_MAX);
                    pause
                }
            };
            if ends_within(&mut stopping, pause).await {
                break;
            }
        }
        if was_told {
            self.take_back().await;
        }
    }

    fn is_ready(&self) -> bool {
        self.figures.upgrade().is_some_and(|figures| figures.health.is_ready())
    }

    /// Registers this server unless the agent has it as it is. `was_told` once the agent may know of it.
    async fn see_to_it(&mut self, was_told: &mut bool) -> Result<(), Failure> {
        if *was_told && self.agent.knows_it().await? {
            self.note_registered(false);
            return Ok(());
        }
        *was_told = true;
        self.agent.register().await?;
        self.note_registered(true);
        Ok(())
    }

    fn note_registered(&mut self, is_new: bool) {
        if is_new || self.has_failed {
            let entry = &self.agent.entry;
            tracing::info!(
                agent = self.agent.url,
                service = entry.service,
                id = entry.id,
                address = entry.address,
                port = entry.port,
                "registered with Consul"
            );
        }
        self.has_failed = false;
        self.is_registered.store(true, Ordering::Relaxed);
    }

    fn note_failed(&mut self, failure: &Failure) {
        self.is_registered.store(false, Ordering::Relaxed);
        if !std::mem::replace(&mut self.has_failed, true) {
            tracing::warn!(
                agent = self.agent.url,
                error = in_full(failure),
                "this server cannot be registered with Consul; it sells on, and tries again"
            );
        }
    }

    /// Tries for as long as whoever waits for it has patience, and not for ever.
    async fn take_back(&self) {
        let mut backoff = BACKOFF_MIN;
        for _ in 0..TAKE_BACK_TRIES {
            match self.agent.deregister().await {
                Ok(()) => {
                    return tracing::info!(
                        id = self.agent.entry.id,
                        "Consul does not send anybody here any more"
                    );
                }
                Err(failure) => {
                    tracing::debug!(error = in_full(&failure), "Consul does not let this server go");
                }
            }
            tokio::time::sleep(backoff).await;
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }
}

/// Waits for so long; whether it is to end meanwhile.
async fn ends_within(stopping: &mut watch::Receiver<bool>, pause: Duration) -> bool {
    // Whoever would say so may be gone, which says it, too.
    tokio::time::timeout(pause, stopping.wait_for(|stop| *stop)).await.is_ok()
}

/// A Consul agent, as its HTTP API is documented.
struct Agent {
    client: Client,
    url: String,
    token: Option<String>,
    entry: Entry,
}

impl Agent {
    fn new(settings: &ConsulSettings, entry: Entry) -> Result<Self, reqwest::Error> {
        // Whoever installed another one first is just as welcome.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .timeout(ANSWER_LIMIT)
            .connect_timeout(ANSWER_LIMIT)
            .redirect(Policy::none())
            .build()?;
        let token = settings.token.as_ref().map(|token| token.expose().to_owned());
        Ok(Self { client, url: settings.url.clone(), token, entry })
    }

    async fn register(&self) -> Result<(), Failure> {
        let path = "register?replace-existing-checks=true";
        let (status, said) = self.ask(Method::PUT, path, self.entry.body()).await?;
        done(status, &said)
    }

    async fn deregister(&self) -> Result<(), Failure> {
        let path = format!("deregister/{}", self.entry.id);
        match self.ask(Method::PUT, &path, String::new()).await? {
            // It has forgotten it by itself.
            (StatusCode::NOT_FOUND, _) => Ok(()),
            (status, said) => done(status, &said),
        }
    }

    /// Whether the agent has this server as it is.
    async fn knows_it(&self) -> Result<bool, Failure> {
        match self.ask(Method::GET, &self.entry.id, String::new()).await? {
            (StatusCode::NOT_FOUND, _) => Ok(false),
            (status, said) => done(status, &said).map(|()| self.entry.is_as_in(&said)),
        }
    }

    async fn ask(&self, method: Method, path: &str, body: String) -> Result<(StatusCode, Vec<u8>), Failure> {
        let mut request = self.client.request(method, format!("{}/v1/agent/service/{path}", self.url));
        if let Some(token) = &self.token {
            request = request.header(TOKEN, token);
        }
        if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        let away = |error: reqwest::Error| Failure::Away(error.without_url());
        let mut response = request.body(body).send().await.map_err(away)?;
        let mut said = Vec::new();
        while said.len() < ANSWER_BYTES_MAX
            && let Some(chunk) = response.chunk().await.map_err(away)?
        {
            said.extend_from_slice(&chunk);
        }
        Ok((response.status(), said))
    }
}

fn done(status: StatusCode, said: &[u8]) -> Result<(), Failure> {
    if status.is_success() {
        return Ok(());
    }
    let said =
        String::from_utf8_lossy(said).chars().filter(|letter| !letter.is_control()).take(200).collect();
    Err(Failure::Refused { status: status.as_u16(), said })
}
