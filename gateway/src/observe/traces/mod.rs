//! Follows requests for those who operate this: which of them are traced, and what is written down of each.
//! Never touches one that nobody asked to see: without traces and access log there is no `Observer` at all.

mod behind;
mod context;
mod current;
mod export;
mod spans;
mod watched;

use std::sync::Arc;
use std::time::Duration;

use farerush_engine::journal::SeenRound;
use farerush_persistence::write_behind::SeenFlush;
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};
use warp::http::{HeaderValue, Request};

pub use context::endpoint;
pub use current::{Scope, came, note_code, stamps, statements};
pub use export::TracesError;
pub use watched::Watched;

pub(crate) use current::with_request;

use export::Exporter;
use spans::Trace;

/// What watches requests: traces, the access log, or both.
#[derive(Debug)]
pub struct Observer {
    traces: Option<Traces>,
    access_log: bool,
}

#[derive(Debug)]
struct Traces {
    exporter: Exporter,
    sample_ratio: f64,
}

/// What is to be written down of requests.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Where spans are sent, if anywhere.
    pub endpoint: Option<&'a str>,
    /// What this server is called there.
    pub instance: &'a str,
    /// Which share of requests is traced, 0 to 1.
    pub sample_ratio: f64,
    /// Whether every request gets a log line.
    pub access_log: bool,
}

impl Observer {
    /// What is asked for; `None` if that is nothing. A collector that is away is no error.
    ///
    /// # Errors
    ///
    /// If nothing could be sent, whatever the collector says.
    pub fn start(wanted: &Wanted<'_>) -> Result<Option<Arc<Self>>, TracesError> {
        let traces = match wanted.endpoint {
            None => None,
            Some(endpoint) => Some(Traces {
                exporter: Exporter::start(endpoint, wanted.instance)?,
                sample_ratio: wanted.sample_ratio,
            }),
        };
        let access_log = wanted.access_log;
        Ok((traces.is_some() || access_log).then(|| Arc::new(Self { traces, access_log })))
    }

    /// Begins to watch a request; `None` if nothing of it is to be written down. Looks at the request as the client
    /// sent it.
    pub fn watch<B>(self: &Arc<Self>, request: &Request<B>, id: &HeaderValue) -> Option<Box<Watched>> {
        let trace = self.traces.as_ref().and_then(|traces| traces.sample(request));
        if trace.is_none() && !self.access_log {
            return None;
        }
        Some(Box::new(Watched::new(self.clone(), request, id.clone(), trace)))
    }

    /// Whether requests are traced, so that somebody wants to hear of what becomes of them behind their answers.
    pub fn traces(&self) -> bool {
        self.traces.is_some()
    }

    /// A round that traced requests waited for is durable in this journal.
    pub fn round(&self, journal: &str, round: &SeenRound) {
        if let Some(traces) = &self.traces {
            traces.exporter.export_round(journal, round);
        }
    }

    /// A flush that carried events of traced requests has ended.
    pub fn flush(&self, flush: SeenFlush) {
        if let Some(traces) = &self.traces {
            traces.exporter.export_flush(flush);
        }
    }

    /// Spans that were made and then lost, since the start.
    pub fn lost_spans(&self) -> u64 {
        self.traces.as_ref().map_or(0, |traces| traces.exporter.lost_spans())
    }

    /// Sends what has not been sent yet, for as long as `patience` at most. Blocks; nothing is traced afterwards.
    pub fn stop(&self, patience: Duration) {
        if let Some(traces) = &self.traces {
            traces.exporter.stop(patience);
        }
    }
}

impl Traces {
    /// Follows the decision of whoever called; without one, chance decides.
    fn sample<B>(&self, request: &Request<B>) -> Option<Trace> {
        if let Some(parent) = context::parent(request.headers()) {
            return parent.is_sampled().then(|| Trace::below(parent));
        }
        let trace_id = RandomIdGenerator::default().new_trace_id();
        context::is_drawn(trace_id, self.sample_ratio).then(|| Trace::new(trace_id))
    }
}
