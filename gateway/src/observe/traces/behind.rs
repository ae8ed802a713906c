//! What becomes of traced requests behind their answers: the journal's rounds that they waited for, the store's flushes that
//! carried their events, and the statements of both flushes and requests. Never measures anything itself.

use std::time::{Duration, Instant, SystemTime};

use farerush_engine::actor::SpanRef;
use farerush_engine::journal::SeenRound;
use farerush_persistence::store::SeenStatement;
use farerush_persistence::write_behind::SeenFlush;
use opentelemetry::trace::{
    Link, Span as _, SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags,
    TraceId, TraceState, Tracer,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::Span;

use super::export::Exporter;

/// Most other requests that a round or a flush is linked to.
const LINKS_MAX: usize = 64;
/// A round, its fsync, a flush: what is made besides statements.
const OWN_SPANS: usize = 2;

/// The moments that instants were: clocks of both kinds, read together.
#[derive(Debug, Clone, Copy)]
struct Moments {
    now: Instant,
    time: SystemTime,
}

impl Moments {
    fn read() -> Self {
        Self { now: Instant::now(), time: SystemTime::now() }
    }

    fn of(self, instant: Instant) -> SystemTime {
        self.time - self.now.saturating_duration_since(instant)
    }
}

/// A span that others refer to by numbers.
pub(super) fn context_of(span: SpanRef) -> SpanContext {
    let (trace, id) = (TraceId::from(span.trace), SpanId::from(span.span));
    SpanContext::new(trace, id, TraceFlags::SAMPLED, false, TraceState::default())
}

impl Exporter {
    /// Queues a round's span: below the first request that waited for it, and linked to the others.
    pub(super) fn export_round(&self, journal: &str, round: &SeenRound) {
        if !self.reserve(OWN_SPANS) {
            return;
        }
        let (from, links) = family(round.followed.iter().map(|followed| followed.span));
        let moments = Moments::read();
        let (began, ended) = (moments.of(round.began), moments.of(round.began + round.took));
        let mut attributes = vec![
            KeyValue::new("farerush.journal", journal.to_owned()),
            KeyValue::new("farerush.round.events", number(round.events)),
            KeyValue::new("farerush.round.flights", number(round.flights)),
            KeyValue::new("farerush.round.attempts", i64::from(round.attempts)),
            KeyValue::new("farerush.round.traced", number(round.followed.len())),
        ];
        let sync = round.cost.and_then(|cost| cost.sync);
        if let Some(cost) = round.cost {
            attributes.push(KeyValue::new("farerush.round.bytes", number(cost.bytes)));
        }
        if let Some(sync) = sync {
            attributes.push(KeyValue::new("farerush.round.fsync_us", micros(sync)));
        }
        let builder = SpanBuilder::from_name("journal round")
            .with_kind(SpanKind::Internal)
            .with_start_time(began)
            .with_attributes(attributes)
            .with_links(links);
        let mut span = self.begin(builder, &from);
        match sync {
            // It comes last in an append.
            Some(sync) => {
                let builder = SpanBuilder::from_name("journal fsync")
                    .with_kind(SpanKind::Internal)
                    .with_start_time(ended - sync.min(round.took));
                self.begin(builder, &below(&span)).end_with_timestamp(ended);
            }
            None => self.give_back(1),
        }
        span.end_with_timestamp(ended);
    }

    /// Queues a flush's span with its statements: below the first request whose events it carried, and linked to the others.
    pub(super) fn export_flush(&self, flush: SeenFlush) {
        if !self.reserve(1 + flush.statements.len()) {
            return;
        }
        let (from, links) = family(flush.followed.iter().copied());
        let moments = Moments::read();
        let ended = flush.began + flush.took;
        let builder = SpanBuilder::from_name("store flush")
            .with_kind(SpanKind::Internal)
            .with_start_time(moments.of(flush.began))
            .with_attributes(vec![
                KeyValue::new("db.system", flush.system),
                KeyValue::new("farerush.flush.events", number(flush.events)),
                KeyValue::new("farerush.flush.flights", number(flush.flights)),
                KeyValue::new("farerush.flush.attempts", i64::from(flush.attempts)),
                KeyValue::new("farerush.flush.traced", number(flush.followed.len())),
            ])
            .with_links(links);
        let mut span = self.begin(builder, &from);
        self.export_statements(&below(&span), flush.statements, ended);
        if let Some(error) = flush.error {
            span.set_status(Status::error(error));
        }
        span.end_with_timestamp(moments.of(ended));
    }

    /// Queues statements' spans; room for them has been taken. One that nobody waited for to its end lasts until `ended`.
    pub(super) fn export_statements(&self, above: &Context, statements: Vec<SeenStatement>, ended: Instant) {
        let moments = Moments::read();
        for statement in statements {
            let name = match &statement.table {
                Some(table) => format!("{} {table}", statement.operation),
                None => statement.operation.to_owned(),
            };
            let mut attributes = vec![
                KeyValue::new("db.system", statement.system),
                KeyValue::new("db.operation", statement.operation),
                KeyValue::new("farerush.statement", statement.what),
            ];
            attributes.extend(statement.table.map(|table| KeyValue::new("db.sql.table", table)));
            attributes.extend(statement.rows.map(|rows| KeyValue::new("db.rows", number(rows))));
            if statement.took.is_none() {
                attributes.push(KeyValue::new("farerush.unfinished", true));
            }
            let builder = SpanBuilder::from_name(name)
                .with_kind(SpanKind::Client)
                .with_start_time(moments.of(statement.began))
                .with_attributes(attributes);
            let mut span = self.begin(builder, above);
            if let Some(error) = statement.error {
                span.set_status(Status::error(error));
            }
            let end = statement.took.map_or(ended, |took| statement.began + took).max(statement.began);
            span.end_with_timestamp(moments.of(end));
        }
    }

    fn begin(&self, builder: SpanBuilder, above: &Context) -> Span {
        self.tracer().build_with_context(builder, above)
    }
}

/// Whose child something is that several requests share, and whom it is linked to besides.
fn family(mut spans: impl Iterator<Item = SpanRef>) -> (Context, Vec<Link>) {
    let above = match spans.next() {
        Some(first) => Context::new().with_remote_span_context(context_of(first)),
        None => Context::new(),
    };
    (above, spans.take(LINKS_MAX).map(|span| Link::new(context_of(span), Vec::new(), 0)).collect())
}

/// Where spans below this one are made.
pub(super) fn below(span: &Span) -> Context {
    Context::new().with_remote_span_context(span.span_context().clone())
}

fn number(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}

fn micros(time: Duration) -> i64 {
    number(time.as_micros())
}
