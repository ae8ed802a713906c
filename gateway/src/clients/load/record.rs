//! What was measured: latencies by operation, outcomes, and both for each second. One recorder a worker, merged at the
//! end. Never judges an outcome.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

/// Longest latency that is told apart, in microseconds: an hour.
const LATENCY_MAX_US: u64 = 3_600_000_000;
/// Seconds of the timeline that are kept.
const SECONDS_MAX: usize = 100_000;

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// A grab.
    Grab,
    /// A grab that won, sent again under its key.
    Replay,
    /// Anything with an unknown outcome, sent again.
    Retry,
    /// A confirmation.
    Confirm,
    /// A cancellation.
    Cancel,
    /// Reading an order.
    ReadOrder,
    /// The list of flights.
    ListFlights,
    /// One flight.
    ReadFlight,
    /// A seat map.
    ReadSeats,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Grab,
        Self::Replay,
        Self::Retry,
        Self::Confirm,
        Self::Cancel,
        Self::ReadOrder,
        Self::ListFlights,
        Self::ReadFlight,
        Self::ReadSeats,
    ];

    /// Its name in the report.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Grab => "grab",
            Self::Replay => "replay",
            Self::Retry => "retry",
            Self::Confirm => "confirm",
            Self::Cancel => "cancel",
            Self::ReadOrder => "read_order",
            Self::ListFlights => "list_flights",
            Self::ReadFlight => "read_flight",
            Self::ReadSeats => "read_seats",
        }
    }
}

/// Latencies with three significant digits, in microseconds.
fn fine() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_MAX_US, 3).expect("the bounds are in order")
}

/// Latencies with two significant digits, growing only as far as they reach: there is one for each second.
fn coarse() -> Histogram<u32> {
    let mut histogram = Histogram::new(2).expect("two digits can be kept");
    histogram.auto(true);
    histogram
}

/// One second of the run.
#[derive(Debug, Clone)]
pub struct Second {
    /// Answers that came in it.
    pub requests: u64,
    /// Their latencies in microseconds.
    pub latency: Histogram<u32>,
    /// Their outcomes, by the place of the label.
    pub outcomes: Vec<u64>,
}

impl Second {
    fn new() -> Self {
        Self { requests: 0, latency: coarse(), outcomes: Vec::new() }
    }
}

#[derive(Debug, Clone)]
struct Label {
    status: u16,
    code: String,
}

/// What was measured of one operation.
#[derive(Debug, Clone)]
pub struct Measured {
    /// What for.
    pub operation: Operation,
    /// Latencies in microseconds; as many as there were requests.
    pub latency: Histogram<u64>,
}

/// Measures.
#[derive(Debug)]
pub struct Recorder {
    start: Instant,
    labels: Vec<Label>,
    operations: Vec<Measured>,
    totals: Vec<u64>,
    seconds: Vec<Second>,
    not_sent: Histogram<u64>,
}

impl Recorder {
    /// Counts from `start` on; what began before is left out.
    pub fn new(start: Instant) -> Self {
        let labels = Vec::new();
        Self {
            start,
            labels,
            operations: Vec::new(),
            totals: Vec::new(),
            seconds: Vec::new(),
            not_sent: fine(),
        }
    }

    /// Counts one request that was due at `due` and answered at `now`. A `status` of 0 says that there was no answer.
    pub fn record(&mut self, operation: Operation, due: Instant, now: Instant, status: u16, code: &str) {
        if due < self.start {
            return;
        }
        let latency_us = micros(now.saturating_duration_since(due));
        let label = self.label(status, code);
        self.measured(operation).latency.saturating_record(latency_us);
        self.totals[label] += 1;
        let place =
            usize::try_from(now.saturating_duration_since(self.start).as_secs()).unwrap_or(usize::MAX);
        let second = self.second(place.min(SECONDS_MAX - 1));
        second.requests += 1;
        // It grows as needed, which `saturating_record` would not let it.
        let _ = second.latency.record(latency_us.min(LATENCY_MAX_US));
        if second.outcomes.len() <= label {
            second.outcomes.resize(label + 1, 0);
        }
        second.outcomes[label] += 1;
    }

    /// Counts an arrival that was never sent, because all connections were busy until `end`.
    pub fn not_sent(&mut self, due: Instant, end: Instant) {
        if due >= self.start && due <= end {
            self.not_sent.saturating_record(micros(end.saturating_duration_since(due)));
        }
    }

    fn label(&mut self, status: u16, code: &str) -> usize {
        if let Some(place) = self.labels.iter().position(|label| label.status == status && label.code == code)
        {
            return place;
        }
        self.labels.push(Label { status, code: code.to_owned() });
        self.totals.push(0);
        self.labels.len() - 1
    }

    fn measured(&mut self, operation: Operation) -> &mut Measured {
        let place = self.operations.iter().position(|measured| measured.operation == operation);
        let place = place.unwrap_or_else(|| {
            self.operations.push(Measured { operation, latency: fine() });
            self.operations.len() - 1
        });
        &mut self.operations[place]
    }

    fn second(&mut self, place: usize) -> &mut Second {
        while self.seconds.len() <= place {
            self.seconds.push(Second::new());
        }
        &mut self.seconds[place]
    }

    /// The second before the one at `now`, if it was counted.
    pub fn last_second(&self, now: Instant) -> Option<&Second> {
        let place = now.saturating_duration_since(self.start).as_secs().checked_sub(1)?;
        self.seconds.get(usize::try_from(place).ok()?)
    }

    /// Answers so far.
    pub fn requests(&self) -> u64 {
        self.totals.iter().sum()
    }

    /// Takes what another one measured from the same start on.
    pub fn merge(&mut self, other: &Self) {
        let places: Vec<usize> =
            other.labels.iter().map(|label| self.label(label.status, &label.code)).collect();
        for (place, total) in places.iter().zip(&other.totals) {
            self.totals[*place] += total;
        }
        for measured in &other.operations {
            let own = &mut self.measured(measured.operation).latency;
            own.add(&measured.latency).expect("all have the same bounds");
        }
        self.not_sent.add(&other.not_sent).expect("all have the same bounds");
        for (place, second) in other.seconds.iter().enumerate() {
            let own = self.second(place);
            own.requests += second.requests;
            own.latency.add(&second.latency).expect("it grows as needed");
            own.outcomes.resize(own.outcomes.len().max(places.len()), 0);
            for (from, count) in second.outcomes.iter().enumerate() {
                let to = places[from];
                if own.outcomes.len() <= to {
                    own.outcomes.resize(to + 1, 0);
                }
                own.outcomes[to] += count;
            }
        }
    }

    /// How the outcome at this place is called: `201`, `409 SOLD_OUT`, or what happened if there was no answer.
    fn label_text(&self, place: usize) -> String {
        match &self.labels[place] {
            Label { status: 0, code } => code.clone(),
            Label { status, code } if code.is_empty() => status.to_string(),
            Label { status, code } => format!("{status} {code}"),
        }
    }

    /// Counts by outcome, of the whole run (`None`) or of one second.
    pub fn outcomes<'a>(
        &'a self,
        second: Option<&'a Second>,
    ) -> impl Iterator<Item = (String, u64)> + use<'a> {
        let counts = second.map_or(&self.totals, |second| &second.outcomes);
        let counted = counts.iter().enumerate().filter(|(_, count)| **count > 0);
        counted.map(|(place, count)| (self.label_text(place), *count))
    }

    /// How many had this status and code.
    pub fn count_of(&self, code: &str) -> u64 {
        let with_code = self.labels.iter().zip(&self.totals).filter(|(label, _)| label.code == code);
        with_code.map(|(_, count)| count).sum()
    }

    /// What was measured, in the order of [`Operation::ALL`].
    pub fn operations(&self) -> impl Iterator<Item = &Measured> {
        let of = |operation| self.operations.iter().find(move |measured| measured.operation == operation);
        Operation::ALL.into_iter().filter_map(of)
    }

    /// All seconds from the start on.
    pub fn seconds(&self) -> &[Second] {
        &self.seconds
    }

    /// Arrivals that were never sent.
    pub fn not_sent_count(&self) -> u64 {
        self.not_sent.len()
    }

    /// All latencies in microseconds. Arrivals that were never sent are in it with the time they had waited when it
    /// ended, which is the least they would have taken: leaving them out would make an overloaded server look good.
    pub fn overall(&self) -> Histogram<u64> {
        let mut all = fine();
        for measured in &self.operations {
            all.add(&measured.latency).expect("all have the same bounds");
        }
        all.add(&self.not_sent).expect("all have the same bounds");
        all
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_recorders_merge_by_label_and_second() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let (mut one, mut other) = (Recorder::new(start), Recorder::new(start));
        one.record(Operation::Grab, at(0), at(5), 201, "");
        one.record(Operation::Grab, at(1), at(7), 409, "SOLD_OUT");
        other.record(Operation::Grab, at(1_000), at(1_002), 409, "SOLD_OUT");
        other.record(Operation::Cancel, at(2_000), at(2_001), 0, "lost");
        other.not_sent(at(2_500), at(3_000));
        one.merge(&other);
        let mut outcomes: Vec<_> = one.outcomes(None).collect();
        outcomes.sort();
        let expected = [("201", 1), ("409 SOLD_OUT", 2), ("lost", 1)];
        assert_eq!(outcomes, expected.map(|(label, count)| (label.to_owned(), count)));
        assert_eq!(one.seconds().len(), 3);
        assert!(one.seconds()[0].latency.max().abs_diff(6_000) < 60);
        assert_eq!(one.outcomes(one.seconds().get(1)).collect::<Vec<_>>(), [("409 SOLD_OUT".to_owned(), 1)]);
        assert_eq!((one.requests(), one.count_of("SOLD_OUT"), one.not_sent_count()), (4, 2, 1));
        assert_eq!(one.overall().len(), 5);
        assert!(one.overall().max().abs_diff(500_000) < 500);
    }

    #[test]
    fn what_began_in_the_warm_up_is_not_counted() {
        let start = Instant::now() + Duration::from_secs(1);
        let mut recorder = Recorder::new(start);
        recorder.record(Operation::Grab, start - Duration::from_millis(1), start, 201, "");
        assert_eq!(recorder.requests(), 0);
    }
}
