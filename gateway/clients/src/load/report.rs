//! What a run came to, as data: written as JSON, shown as a table. Never measures.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::arguments::{Flights, LoadPlan};
use super::check::Check;
use super::deliveries::{LastReader, last_reader};
use super::record::Recorder;
use super::worker::Run;

/// Counts by outcome.
pub type Outcomes = BTreeMap<String, u64>;

/// Latencies in microseconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Latency {
    /// The mean.
    pub mean: f64,
    /// Half are below.
    pub p50: u64,
    /// 90 of 100 are below.
    pub p90: u64,
    /// 99 of 100.
    pub p99: u64,
    /// 999 of 1,000.
    pub p999: u64,
    /// The longest.
    pub max: u64,
}

impl Latency {
    fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile);
        Self {
            mean: (histogram.mean() * 10.0).round() / 10.0,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: histogram.max(),
        }
    }
}

/// One operation.
#[derive(Debug, Clone, Serialize)]
pub struct OperationReport {
    /// How many there were.
    pub requests: u64,
    /// How many a second.
    pub requests_per_second: f64,
    /// How long they took.
    pub latency_us: Latency,
}

/// One second.
#[derive(Debug, Clone, Serialize)]
pub struct SecondReport {
    /// Which, from 0.
    pub second: usize,
    /// Answers that came in it.
    pub requests: u64,
    /// Half took less, in microseconds.
    pub p50_us: u64,
    /// 99 of 100 took less, in microseconds.
    pub p99_us: u64,
    /// Their outcomes.
    pub outcomes: Outcomes,
}

/// What live readers saw.
#[derive(Debug, Clone, Serialize)]
pub struct LiveReport {
    /// Readers there were.
    pub readers: u32,
    /// Times one was connected.
    pub connected: u64,
    /// Times one was cut off or refused.
    pub cut_off: u64,
    /// Events they read.
    pub events: u64,
    /// How long it took until the last of them knew of a change; not there where none was told of any.
    pub last_reader: Option<LastReader>,
}

/// What a run was.
#[derive(Debug, Clone, Serialize)]
pub struct SettingsReport {
    /// `open` or `closed`.
    pub r#loop: &'static str,
    /// Arrivals a second of the open loop.
    pub rate: Option<f64>,
    /// Connections, at most.
    pub connections: u32,
    /// Flights.
    pub flights: usize,
    /// Seats of all flights.
    pub seats: u64,
    /// Whether the flights were made for it.
    pub flights_made: bool,
    /// Zipf exponent over them.
    pub skew: f64,
    /// Seats of a grab.
    pub party: u16,
    /// Customers.
    pub customers: u32,
    /// Share of grabs sent twice.
    pub replays: f64,
    /// Whether grabs carried keys.
    pub keys: bool,
    /// Seconds before it counted.
    pub warmup_seconds: f64,
    /// Seconds asked for.
    pub duration_seconds: f64,
}

/// What a run came to.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Scenario.
    pub scenario: &'static str,
    /// Where the server is.
    pub address: String,
    /// When it began, RFC 3339.
    pub started_at: String,
    /// What the choices followed from.
    pub seed: u64,
    /// How long it counted.
    pub seconds: f64,
    /// Requests that were counted.
    pub requests: u64,
    /// How many a second.
    pub requests_per_second: f64,
    /// How long they took.
    pub latency_us: Latency,
    /// By operation.
    pub operations: BTreeMap<&'static str, OperationReport>,
    /// By outcome.
    pub outcomes: Outcomes,
    /// What was checked.
    pub checks: Vec<Check>,
    /// By second.
    pub timeline: Vec<SecondReport>,
    /// How it was set up.
    pub settings: SettingsReport,
    /// Arrivals that were never sent, since all connections were busy until the end.
    pub not_sent: u64,
    /// Processor time of this program for each request, in microseconds.
    pub client_cpu_us_per_request: f64,
    /// Live readers, if there were any.
    pub live: Option<LiveReport>,
    /// What is worth knowing besides.
    pub notes: Vec<String>,
    /// Share of requests that took at most so many microseconds.
    pub percentiles: Vec<(f64, u64)>,
}

#[allow(clippy::cast_precision_loss, reason = "figures for people")]
fn per(count: u64, seconds: f64) -> f64 {
    (count as f64 / seconds * 10.0).round() / 10.0
}

impl Report {
    /// Puts together what was measured. `cpu` is this program's processor time meanwhile.
    pub fn new(
        run: &Run,
        recorder: &Recorder,
        checks: Vec<Check>,
        started_at: String,
        cpu: Duration,
    ) -> Self {
        let seconds = (run.counted().as_secs_f64() * 1_000.0).round() / 1_000.0;
        let all = recorder.overall();
        let operations = recorder.operations().map(|measured| {
            let requests = measured.latency.len();
            let latency_us = Latency::of(&measured.latency);
            let requests_per_second = per(requests, seconds);
            (measured.operation.as_str(), OperationReport { requests, requests_per_second, latency_us })
        });
        let timeline = recorder.seconds().iter().enumerate().map(|(second, measured)| SecondReport {
            second,
            requests: measured.requests,
            p50_us: measured.latency.value_at_quantile(0.5),
            p99_us: measured.latency.value_at_quantile(0.99),
            outcomes: recorder.outcomes(Some(measured)).collect(),
        });
        let requests = recorder.requests();
        Self {
            scenario: run.plan.scenario.as_str(),
            address: run.plan.address.to_string(),
            started_at,
            seed: run.plan.seed,
            seconds,
            requests,
            requests_per_second: per(requests, seconds),
            latency_us: Latency::of(&all),
            operations: operations.collect(),
            outcomes: recorder.outcomes(None).collect(),
            checks,
            timeline: timeline.collect(),
            settings: settings(run),
            not_sent: recorder.not_sent_count(),
            client_cpu_us_per_request: per(
                u64::try_from(cpu.as_micros()).unwrap_or(u64::MAX),
                requests.max(1) as f64,
            ),
            live: live(run),
            notes: notes(run, recorder),
            percentiles: percentiles(&all),
        }
    }

    /// Whether every check was well.
    pub fn is_ok(&self) -> bool {
        self.checks.iter().all(|check| check.ok)
    }

    /// The report as JSON.
    pub fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self)
    }

    /// The report for a terminal.
    pub fn table(&self) -> String {
        let mut text = String::new();
        // Writing to memory cannot fail.
        let _ = self.write_table(&mut text);
        text
    }

    fn write_table(&self, text: &mut String) -> std::fmt::Result {
        writeln!(
            text,
            "{} on {}: {} requests in {:.1} s, {} a second",
            self.scenario,
            self.address,
            grouped(self.requests),
            self.seconds,
            grouped_f(self.requests_per_second)
        )?;
        writeln!(
            text,
            "\n{:<14}{:>12}{:>12}{:>10}{:>10}{:>10}{:>10}{:>10}",
            "", "requests", "a second", "p50", "p90", "p99", "p99.9", "max"
        )?;
        let mut line = |name: &str, requests: u64, rate: f64, latency: &Latency| {
            let shown = [latency.p50, latency.p90, latency.p99, latency.p999, latency.max].map(time);
            let [p50, p90, p99, p999, max] = shown;
            let (requests, rate) = (grouped(requests), grouped_f(rate));
            writeln!(text, "{name:<14}{requests:>12}{rate:>12}{p50:>10}{p90:>10}{p99:>10}{p999:>10}{max:>10}")
        };
        for (name, operation) in &self.operations {
            line(name, operation.requests, operation.requests_per_second, &operation.latency_us)?;
        }
        line("all", self.requests, self.requests_per_second, &self.latency_us)?;
        writeln!(text)?;
        for (label, count) in self.outcomes_by_count() {
            let share = per(count, self.requests.max(1) as f64 / 1_000.0) / 10.0;
            writeln!(text, "{:>14}  {label} ({share:.1}%)", grouped(count))?;
        }
        if !self.checks.is_empty() {
            writeln!(text)?;
        }
        for check in &self.checks {
            let word = if check.ok { "ok  " } else { "FAIL" };
            writeln!(text, "{word} {}: {}", check.name, check.detail)?;
        }
        for note in &self.notes {
            writeln!(text, "note: {note}")?;
        }
        Ok(())
    }

    /// Outcomes, the most frequent first.
    pub fn outcomes_by_count(&self) -> Vec<(&str, u64)> {
        let mut outcomes: Vec<_> =
            self.outcomes.iter().map(|(label, count)| (label.as_str(), *count)).collect();
        outcomes.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        outcomes
    }
}

fn settings(run: &Run) -> SettingsReport {
    let plan: &LoadPlan = &run.plan;
    SettingsReport {
        r#loop: if plan.rate.is_some() { "open" } else { "closed" },
        rate: plan.rate,
        connections: plan.connections,
        flights: run.flights.len(),
        seats: run.flights.iter().map(|flight| u64::from(flight.capacity)).sum(),
        flights_made: matches!(plan.flights, Flights::Made { .. }),
        skew: plan.skew,
        party: plan.party,
        customers: plan.customers,
        replays: plan.replays,
        keys: plan.keys,
        warmup_seconds: plan.warmup.as_secs_f64(),
        duration_seconds: plan.duration.as_secs_f64(),
    }
}

fn live(run: &Run) -> Option<LiveReport> {
    let seen = &run.live;
    (run.plan.live > 0).then(|| LiveReport {
        readers: run.plan.live,
        connected: seen.connected.load(Ordering::Relaxed),
        cut_off: seen.cut_off.load(Ordering::Relaxed),
        events: seen.events.load(Ordering::Relaxed),
        last_reader: last_reader(
            run.flights.iter().map(|flight| &flight.deliveries),
            run.micros(run.counted_from),
        ),
    })
}

fn notes(run: &Run, recorder: &Recorder) -> Vec<String> {
    let mut notes = Vec::new();
    let not_sent = recorder.not_sent_count();
    if not_sent > 0 {
        notes.push(format!(
            "{} arrivals were never sent, because all {} connections were busy until the end: the server does not do \
             this rate; they are in the overall latencies with the time they had waited",
            grouped(not_sent),
            run.plan.connections
        ));
    }
    match run.live.refused.load(Ordering::Relaxed) {
        0 => {}
        404 => notes.push("the server has no live readers (404): they were left out".to_owned()),
        status => notes.push(format!("live readers were answered {status}, and left out")),
    }
    if run.plan.until_sold_out && run.counted() >= run.plan.duration {
        let left = run.flights.iter().filter(|flight| !flight.has_refused()).count();
        notes.push(format!("{left} flights were not sold out when the time was over"));
    }
    if !run.plan.checks {
        notes.push("nothing was checked (--no-checks)".to_owned());
    }
    notes
}

/// Points of the percentile curve, closer together towards the slowest.
fn percentiles(all: &Histogram<u64>) -> Vec<(f64, u64)> {
    let mut points = Vec::new();
    let mut rest = 1.0_f64;
    // Until less than one request is beyond.
    while !all.is_empty() && rest * all.len() as f64 >= 1.0 && points.len() < 200 {
        let quantile = 1.0 - rest;
        points.push((quantile * 100.0, all.value_at_quantile(quantile)));
        rest /= 1.25;
    }
    points.push((100.0, all.max()));
    points
}

/// `1,234,567`
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A rate: without a fraction unless it is small.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rates are positive and far below 2^53"
)]
pub fn grouped_f(number: f64) -> String {
    if number < 100.0 { format!("{number:.1}") } else { grouped(number.round() as u64) }
}

/// A time as people read it: `950 us`, `1.25 ms`, `3.2 s`.
#[allow(clippy::cast_precision_loss, reason = "figures for people")]
pub fn time(us: u64) -> String {
    let us = us as f64;
    match us {
        ..1_000.0 => format!("{us:.0} us"),
        ..10_000.0 => format!("{:.2} ms", us / 1e3),
        ..1_000_000.0 => format!("{:.1} ms", us / 1e3),
        _ => format!("{:.2} s", us / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_well() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [1, 999, 1_250, 12_340, 3_200_000].map(time),
            ["1 us", "999 us", "1.25 ms", "12.3 ms", "3.20 s"]
        );
        assert_eq!([0.25, 99.94, 12_345.6].map(grouped_f), ["0.2", "99.9", "12,346"]);
    }
}
