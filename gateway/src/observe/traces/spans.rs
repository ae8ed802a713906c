//! What a traced request becomes: a span for the whole, and one below it for each step of its way.
//! Never measures anything: the times were taken on the way.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use farerush_engine::actor::{SpanRef, Stamps, Step};
use farerush_persistence::store::SeenStatement;
use opentelemetry::KeyValue;
use opentelemetry::trace::{SpanContext, SpanId, TraceId};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};

/// Most spans that one request makes besides its statements: itself and five steps.
pub(super) const SPANS_MAX: usize = 6;

/// A sampled request's trace.
#[derive(Debug)]
pub(super) struct Trace {
    pub(super) id: TraceId,
    /// The request's own span.
    pub(super) span: SpanId,
    /// The id as log lines carry it.
    pub(super) text: String,
    /// The span of whoever sent the request.
    pub(super) parent: Option<SpanContext>,
    pub(super) stamps: Arc<Stamps>,
    pub(super) began: Instant,
    pub(super) began_at: SystemTime,
}

impl Trace {
    /// A trace that begins here.
    pub(super) fn new(id: TraceId) -> Self {
        Self::with(id, None)
    }

    /// A trace that somebody else began.
    pub(super) fn below(parent: SpanContext) -> Self {
        Self::with(parent.trace_id(), Some(parent))
    }

    fn with(id: TraceId, parent: Option<SpanContext>) -> Self {
        let began = Instant::now();
        let span = RandomIdGenerator::default().new_span_id();
        let named =
            SpanRef { trace: u128::from_be_bytes(id.to_bytes()), span: u64::from_be_bytes(span.to_bytes()) };
        let stamps = Arc::new(Stamps::new(began, named));
        Self { id, span, text: id.to_string(), parent, stamps, began, began_at: SystemTime::now() }
    }
}

/// A request's own span, ready to be sent.
#[derive(Debug)]
pub(super) struct Root {
    pub(super) name: String,
    pub(super) took: Duration,
    pub(super) attributes: Vec<KeyValue>,
    /// What it asked of the store.
    pub(super) statements: Vec<SeenStatement>,
    /// What went wrong, if that is this server's fault.
    pub(super) error: Option<&'static str>,
}

/// One step of the way, in time since the request began.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Child {
    pub(super) name: &'static str,
    pub(super) from: Duration,
    pub(super) to: Duration,
    pub(super) attributes: Vec<KeyValue>,
    /// When the answer left the writer.
    pub(super) sent: Option<Duration>,
}

/// The steps that a request has been through when it ended, `took` after its beginning. One that it never came out
/// of, because nobody waited any longer, lasts to the end and says so.
pub(super) fn children(stamps: &Stamps, took: Duration) -> Vec<Child> {
    // The last one first: a step that is reached meanwhile must not look as if those before it were missing.
    let sent = stamps.at(Step::Sent);
    let [queued, taken, decided, append_began, append_ended] =
        [Step::Queued, Step::Taken, Step::Decided, Step::AppendBegan, Step::AppendEnded]
            .map(|step| stamps.at(step));
    let mut children = Vec::with_capacity(SPANS_MAX - 1);
    let steps = [
        ("queue", queued, taken),
        ("decide", taken, decided),
        ("journal wait", decided, append_began),
        ("journal append", append_began, append_ended),
    ];
    let (events, waited) = (stamps.round_events(), append_ended.is_some() && stamps.round_events() > 0);
    for (name, from, to) in steps {
        let in_journal = name.starts_with("journal");
        let Some(from) = from.filter(|_| !in_journal || waited || sent.is_none()) else { continue };
        let mut attributes = Vec::new();
        if to.is_none() {
            // A reply that waits for no round never reaches the journal's steps.
            if sent.is_some() {
                continue;
            }
            attributes.push(KeyValue::new("farerush.unfinished", true));
        } else if name == "journal append" {
            attributes.push(KeyValue::new("farerush.round.events", i64::from(events)));
        }
        let to = to.unwrap_or(took).min(took);
        children.push(Child { name, from: from.min(to), to, attributes, sent: None });
    }
    let ready = if waited { append_ended } else { decided };
    if let (Some(ready), Some(sent)) = (ready, sent) {
        let from = ready.min(took);
        children.push(Child {
            name: "reply",
            from,
            to: took,
            attributes: Vec::new(),
            sent: Some(sent.clamp(from, took)),
        });
    }
    children
}
