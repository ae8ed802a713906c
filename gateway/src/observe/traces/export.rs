//! Sends spans to the collector, in batches, on a thread of its own, and counts those that get lost.
//! Never makes a request wait: what does not fit into the queue is dropped.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use opentelemetry::trace::{
    Span as _, SpanBuilder, SpanId, SpanKind, Status, TraceContextExt, TraceId, Tracer, TracerProvider,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{Protocol, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, IdGenerator, RandomIdGenerator, Sampler, SdkTracer,
    SdkTracerProvider, SpanData, SpanExporter,
};
use parking_lot::Mutex;

use super::behind::below;
use super::spans::{Root, Trace, children};
use crate::base::errors::in_full;

/// Most spans that wait to be sent; about 8 MB.
const QUEUE_SPANS_MAX: usize = 8192;
/// Most spans of one batch.
const BATCH_SPANS_MAX: usize = 512;
/// How long a span waits for others.
const BATCH_DELAY: Duration = Duration::from_secs(1);
/// How long the collector may take for a batch, further attempts included.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long it may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How often losses are logged at most.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// Why traces cannot be sent at all. A collector that is away is not among the reasons.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// The HTTP client cannot be made.
    #[error("cannot make the client that sends traces")]
    Client(#[source] reqwest::Error),
    /// Its thread cannot be started, or has panicked.
    #[error("cannot start the thread that sends traces")]
    Thread,
    /// The exporter does not take its options.
    #[error("cannot send traces to `otlp_endpoint`")]
    Exporter(#[source] opentelemetry_otlp::ExporterBuildError),
}

/// The way out for spans.
#[derive(Debug)]
pub(super) struct Exporter {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    losses: Arc<Losses>,
}

impl Exporter {
    pub(super) fn start(endpoint: &str, instance: &str) -> Result<Self, TracesError> {
        let sender = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_http_client(client()?)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(endpoint)
            .with_timeout(EXPORT_TIMEOUT)
            .build()
            .map_err(TracesError::Exporter)?;
        let losses = Arc::new(Losses::default());
        let counted = Counted { sender, losses: losses.clone() };
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(QUEUE_SPANS_MAX)
            .with_max_export_batch_size(BATCH_SPANS_MAX)
            .with_scheduled_delay(BATCH_DELAY)
            .build();
        let resource = Resource::builder()
            .with_service_name("farerush")
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .with_attribute(KeyValue::new("service.instance.id", instance.to_owned()))
            .build();
        let provider = SdkTracerProvider::builder()
            .with_span_processor(BatchSpanProcessor::builder(counted).with_batch_config(batches).build())
            // What comes this far has been sampled already.
            .with_sampler(Sampler::AlwaysOn)
            .with_id_generator(Ids::default())
            .with_resource(resource)
            .build();
        let tracer = provider.tracer("farerush");
        Ok(Self { provider, tracer, losses })
    }

    /// Queues the spans of one request: all of them or, with the queue full, none.
    pub(super) fn export(&self, trace: &Trace, root: Root) {
        let steps = children(&trace.stamps, root.took);
        if !self.reserve(steps.len() + 1 + root.statements.len()) {
            return;
        }
        let at = |after: Duration| trace.began_at + after;
        let above = match &trace.parent {
            Some(parent) => Context::new().with_remote_span_context(parent.clone()),
            None => {
                NEXT_TRACE_ID.set(Some(trace.id));
                Context::new()
            }
        };
        let builder = SpanBuilder::from_name(root.name)
            .with_kind(SpanKind::Server)
            .with_start_time(trace.began_at)
            .with_attributes(root.attributes);
        // Others may have named it already.
        NEXT_SPAN_ID.set(Some(trace.span));
        let mut span = self.tracer.build_with_context(builder, &above);
        NEXT_TRACE_ID.set(None);
        NEXT_SPAN_ID.set(None);
        let below = below(&span);
        for child in steps {
            let builder = SpanBuilder::from_name(child.name)
                .with_kind(SpanKind::Internal)
                .with_start_time(at(child.from))
                .with_attributes(child.attributes);
            let mut step = self.tracer.build_with_context(builder, &below);
            if let Some(sent) = child.sent {
                step.add_event_with_timestamp("sent by the writer", at(sent), Vec::new());
            }
            step.end_with_timestamp(at(child.to));
        }
        self.export_statements(&below, root.statements, trace.began + root.took);
        if let Some(error) = root.error {
            span.set_status(Status::error(error));
        }
        span.end_with_timestamp(at(root.took));
    }

    /// Takes room in the queue for so many; what finds none is counted as lost.
    pub(super) fn reserve(&self, spans: usize) -> bool {
        let fits = self.losses.reserve(spans);
        if !fits {
            self.losses.lost(spans, "they come faster than the collector takes them");
        }
        fits
    }

    /// Gives room back that was not needed.
    pub(super) fn give_back(&self, spans: usize) {
        self.losses.queued.fetch_sub(spans, Ordering::AcqRel);
    }

    pub(super) fn tracer(&self) -> &SdkTracer {
        &self.tracer
    }

    pub(super) fn lost_spans(&self) -> u64 {
        self.losses.total.load(Ordering::Relaxed)
    }

    /// Sends what is queued; gives up after `patience`.
    pub(super) fn stop(&self, patience: Duration) {
        if let Err(error) = self.provider.shutdown_with_timeout(patience) {
            tracing::warn!(error = in_full(&error), "the last traces could not be sent");
        }
        self.losses.say(Duration::ZERO, "they could not be sent");
    }
}

/// Made on a thread of its own, because it must not be made where async tasks run.
fn client() -> Result<reqwest::blocking::Client, TracesError> {
    // Whoever installed another one first is just as welcome.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let build = || {
        reqwest::blocking::Client::builder()
            .timeout(EXPORT_TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()
    };
    let thread = std::thread::Builder::new().name("traces-client".to_owned()).spawn(build);
    let made = thread.map_err(|_| TracesError::Thread)?.join().map_err(|_| TracesError::Thread)?;
    made.map_err(TracesError::Client)
}

thread_local! {
    /// The id of the trace whose first span this thread is making.
    static NEXT_TRACE_ID: Cell<Option<TraceId>> = const { Cell::new(None) };
    /// The id of the span that this thread is making, if others know it already.
    static NEXT_SPAN_ID: Cell<Option<SpanId>> = const { Cell::new(None) };
}

/// Ids by chance, but for a trace whose id is in the log already, and for a request's span, which rounds and flushes name.
#[derive(Debug, Default)]
struct Ids(RandomIdGenerator);

impl IdGenerator for Ids {
    fn new_trace_id(&self) -> TraceId {
        NEXT_TRACE_ID.take().unwrap_or_else(|| self.0.new_trace_id())
    }

    fn new_span_id(&self) -> SpanId {
        NEXT_SPAN_ID.take().unwrap_or_else(|| self.0.new_span_id())
    }
}

/// The sender, with an eye on what becomes of each batch.
#[derive(Debug)]
struct Counted<E> {
    sender: E,
    losses: Arc<Losses>,
}

impl<E: SpanExporter> SpanExporter for Counted<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let result = self.sender.export(batch).await;
        self.losses.queued.fetch_sub(spans, Ordering::AcqRel);
        if let Err(error) = &result {
            self.losses.lost(spans, &error.to_string());
        }
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.sender.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.sender.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.sender.set_resource(resource);
    }
}

/// How many spans wait, and how many will never arrive.
#[derive(Debug, Default)]
struct Losses {
    queued: AtomicUsize,
    total: AtomicU64,
    /// When that was last logged, and the total then.
    said: Mutex<(Option<Instant>, u64)>,
}

impl Losses {
    /// Takes room in the queue; the exporter gives it back.
    fn reserve(&self, spans: usize) -> bool {
        let taken = self.queued.fetch_add(spans, Ordering::AcqRel);
        let fits = taken + spans <= QUEUE_SPANS_MAX;
        if !fits {
            self.queued.fetch_sub(spans, Ordering::AcqRel);
        }
        fits
    }

    fn lost(&self, spans: usize, why: &str) {
        self.total.fetch_add(spans as u64, Ordering::Relaxed);
        self.say(SAY_EVERY, why);
    }

    /// Logs what was lost since the last time, if that is `pause` ago.
    fn say(&self, pause: Duration, why: &str) {
        // Whoever finds it locked leaves it to the other.
        let Some(mut said) = self.said.try_lock() else { return };
        let total = self.total.load(Ordering::Relaxed);
        let (last, told) = *said;
        if total == told || last.is_some_and(|at| at.elapsed() < pause) {
            return;
        }
        *said = (Some(Instant::now()), total);
        tracing::warn!(
            lost_spans = total - told,
            lost_spans_total = total,
            why,
            "traces are lost; sales go on"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_takes_a_whole_trace_or_nothing_of_it() {
        let losses = Losses::default();
        assert!(losses.reserve(QUEUE_SPANS_MAX - 3));
        assert!(!losses.reserve(6));
        assert!(losses.reserve(3));
        assert!(!losses.reserve(1));
        assert_eq!(losses.queued.load(Ordering::Relaxed), QUEUE_SPANS_MAX);
    }
}
