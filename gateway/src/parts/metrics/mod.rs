//! What this process has counted and measured of requests, and how that is written for Prometheus.
//! Never looks a name up for a request and never keeps a series for a flight.

mod buckets;
mod connections;
mod process;
mod requests;
pub(super) mod text;

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use ::metrics::{Histogram, Recorder};
use farerush_engine::meters::{self, Measure, Scale};
use farerush_persistence::write_behind;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use warp::http::{Method, StatusCode};

use crate::observe::traces::Observer;

pub use buckets::{Buckets, Quantiles};
pub use connections::PerConnection;
pub use process::Used;
pub use requests::Outcome;

use connections::Connections;
use requests::Requests;
use text::MetricsPage;

/// How often what was recorded goes into the buckets: a histogram keeps every single value until then.
const UPKEEP_EVERY: Duration = Duration::from_secs(1);

const GRAB: Measure = Measure {
    name: "farerush_grab_seconds",
    help: "How long a grab took, from its body being here to its answer being ready.",
    scale: Scale::Wait,
};

/// The engine's histogram of appended rounds.
const APPENDS: &str = "farerush_journal_append_seconds";

/// Upper bounds of buckets, in seconds.
const WORK: &[f64] = &[
    1e-6, 2.5e-6, 5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1,
    1.0,
];
const WAIT: &[f64] = &[
    5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2e-3, 3.5e-3, 5e-3, 7.5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0,
];
/// And in things.
const COUNT: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 4096.0, 16_384.0];

/// What is measured in one server. It has a recorder of its own, so that several servers can run in one process.
pub struct Metrics {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    grab: Histogram,
    requests: Requests,
    connections: Arc<Connections>,
    observer: Option<Arc<Observer>>,
}

impl Metrics {
    /// Nothing was measured yet. `observer` is asked for what traces were lost.
    pub fn new(observer: Option<Arc<Observer>>) -> Self {
        let measures = || [meters::MEASURES, write_behind::MEASURES, &[GRAB]].concat();
        let mut builder = PrometheusBuilder::new();
        for measure in measures() {
            let buckets = match measure.scale {
                Scale::Work => WORK,
                Scale::Wait => WAIT,
                Scale::Count => COUNT,
            };
            let name = Matcher::Full(measure.name.to_owned());
            builder = match builder.set_buckets_for_metric(name, buckets) {
                Ok(builder) => builder,
                Err(error) => panic!("no buckets are given for {}: {error}", measure.name),
            };
        }
        let recorder = builder.build_recorder();
        for measure in measures() {
            recorder.describe_histogram(measure.name.into(), None, measure.help.into());
        }
        let grab = ::metrics::with_local_recorder(&recorder, || ::metrics::histogram!(GRAB.name));
        Self {
            handle: recorder.handle(),
            grab,
            recorder,
            requests: Requests::new(),
            connections: Arc::default(),
            observer,
        }
    }

    /// Runs what makes handles, which then belong to this recorder.
    pub fn within<T>(&self, make: impl FnOnce() -> T) -> T {
        ::metrics::with_local_recorder(&self.recorder, make)
    }

    /// A service whose clones are counted as connections.
    pub fn per_connection<S>(&self, service: S) -> PerConnection<S> {
        PerConnection::new(service, self.connections.clone())
    }

    /// A grab begins. One that is dropped before it ends counts as abandoned.
    pub fn grab(&self) -> GrabUnderWay<'_> {
        GrabUnderWay { metrics: self, began: Instant::now(), outcome: Outcome::Abandoned }
    }

    /// A grab that began then is answered.
    pub fn grab_ended(&self, began: Instant, outcome: Outcome) {
        self.note_grab(began, outcome);
    }

    fn note_grab(&self, began: Instant, outcome: Outcome) {
        self.requests.grab(outcome);
        self.grab.record(began.elapsed());
    }

    /// Counts a request that was not a grab.
    pub fn count(&self, path: &str, method: &Method, status: StatusCode) {
        self.requests.other(path, method, status);
    }

    /// Writes what was counted of requests and connections.
    pub(super) fn write_counted(&self, page: &mut MetricsPage) {
        self.requests.write(page);
        let (accepted, open) = self.connections.counts();
        page.counter("farerush_connections_accepted_total", "Connections accepted.", accepted);
        page.gauge("farerush_connections_open", "Connections that are open.", open);
    }

    /// Writes what was measured, and what this process uses.
    pub(super) fn write_measured(&self, page: &mut MetricsPage) {
        if let Some(observer) = &self.observer {
            let help = "Spans that were made and then lost, because the collector was away or too slow.";
            page.counter("farerush_trace_spans_lost_total", help, observer.lost_spans());
        }
        process::write(page);
        page.append(&self.handle.render());
    }

    /// Moves what was recorded into its buckets, again and again until the server is gone.
    pub async fn upkeep(metrics: Weak<Self>) {
        let mut ticks = tokio::time::interval(UPKEEP_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let Some(metrics) = metrics.upgrade() else { return };
            metrics.handle.run_upkeep();
        }
    }

    /// Counts a request that no address took.
    pub fn count_unmatched(&self, status: StatusCode) {
        self.requests.unmatched(status);
    }
}

/// What has been counted and measured so far, for whoever compares it with an earlier look.
#[derive(Debug, Clone, Default)]
pub struct Counted {
    /// Grabs that won.
    pub won: u64,
    /// Grabs that had been granted before, under the same key.
    pub replayed: u64,
    /// Grabs answered with a problem, in the order of `Code::ALL`.
    pub refused: Vec<u64>,
    /// Connections that are open.
    pub connections: u64,
    /// How long grabs took.
    pub grabs: Buckets,
    /// How long the journal took to append rounds.
    pub appends: Buckets,
    /// What the process has used.
    pub used: Used,
}

impl Metrics {
    /// What has been counted so far. Reads what is there anyway; takes as long as a scrape of the histograms.
    pub fn counted(&self) -> Counted {
        let page = self.handle.render();
        let (won, replayed, refused) = self.requests.grabs();
        Counted {
            won,
            replayed,
            refused,
            connections: self.connections.counts().1,
            grabs: Buckets::read(&page, GRAB.name),
            appends: Buckets::read(&page, APPENDS),
            used: process::used(),
        }
    }
}

/// A grab that is being answered.
pub struct GrabUnderWay<'a> {
    metrics: &'a Metrics,
    began: Instant,
    outcome: Outcome,
}

impl GrabUnderWay<'_> {
    /// It is answered.
    pub fn end(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl Drop for GrabUnderWay<'_> {
    fn drop(&mut self) {
        self.metrics.note_grab(self.began, self.outcome);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::problem::Code;

    #[test]
    fn the_histogram_of_appends_is_one_that_the_engine_keeps() {
        assert!(meters::MEASURES.iter().any(|measure| measure.name == APPENDS));
    }

    #[test]
    fn what_was_recorded_is_read_back() {
        let metrics = Metrics::new(None);
        let before = metrics.counted();
        metrics.note_grab(Instant::now(), Outcome::Won);
        metrics.note_grab(Instant::now(), Outcome::Problem(Code::SoldOut));
        let now = metrics.counted();
        assert_eq!((now.won, now.refused[Code::SoldOut as usize], before.won), (1, 1, 0));
        let quantiles = now.grabs.since(&before.grabs).unwrap();
        assert!(quantiles.p50 > 0 && quantiles.max >= quantiles.p50, "{quantiles:?}");
        assert_eq!(now.appends.since(&before.appends), None);
        assert!(now.used.processor >= before.used.processor && now.used.memory_bytes > 0);
    }
}
