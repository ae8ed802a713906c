//! A look at everything that is counted, and a sample: what lies between two looks.
//! Never looks at a single flight.

use std::time::Instant;

use farerush_engine::flight::Timestamp;

use crate::base::json::Json;
use crate::parts::figures::Figures;
use crate::parts::metrics::{Counted, Quantiles};
use crate::wire::problem::Code;

/// Everything that a sample is made from, at one moment.
#[derive(Debug)]
pub(super) struct Look {
    at: Timestamp,
    moment: Instant,
    counted: Counted,
    rounds: u64,
    events: u64,
    backlog_events: u64,
    backlog_bytes: u64,
    backlog_ms: u64,
    queued: u64,
    live_readers: u64,
}

/// What happened between two looks, a second apart, and how things stood at the second one.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sample {
    /// When the second ended.
    pub at: Timestamp,
    pub(super) won: u64,
    pub(super) replayed: u64,
    /// By code; those that were not given are left out.
    pub(super) refused: Vec<(Code, u64)>,
    pub(super) latency: Option<Quantiles>,
    pub(super) rounds: u64,
    pub(super) events: u64,
    pub(super) append: Option<Quantiles>,
    pub(super) backlog_events: u64,
    pub(super) backlog_bytes: u64,
    pub(super) backlog_ms: u64,
    pub(super) queued: u64,
    pub(super) live_readers: u64,
    pub(super) connections: u64,
    /// Processor time in tenths of a percent of one core.
    pub(super) processor_tenths: u64,
    pub(super) memory_bytes: u64,
}

impl Look {
    /// Looks at everything.
    pub(super) fn at(figures: &Figures) -> Self {
        let (flights, write_behind) = (&figures.health.flights, &figures.health.lists.write_behind);
        let (engine, behind) = (flights.engine.status(), write_behind.status());
        let at = flights.now();
        let oldest = write_behind.oldest_unstored();
        Self {
            at,
            moment: Instant::now(),
            counted: figures.metrics.counted(),
            rounds: engine.rounds,
            events: engine.events,
            backlog_events: behind.backlog_events,
            backlog_bytes: behind.backlog_bytes as u64,
            backlog_ms: oldest
                .map_or(0, |oldest| (at.as_millis() - oldest.as_millis()).max(0).unsigned_abs()),
            queued: u64::from(engine.in_flight),
            live_readers: figures.live.readers(),
        }
    }

    /// What happened since an earlier look.
    pub(super) fn since(&self, earlier: &Self) -> Sample {
        let (now, then) = (&self.counted, &earlier.counted);
        let refused = Code::ALL.iter().zip(now.refused.iter().zip(&then.refused));
        let used = now.used.processor.saturating_sub(then.used.processor);
        let passed = self.moment.saturating_duration_since(earlier.moment);
        Sample {
            at: self.at,
            won: now.won.saturating_sub(then.won),
            replayed: now.replayed.saturating_sub(then.replayed),
            refused: refused
                .map(|(code, (now, then))| (*code, now.saturating_sub(*then)))
                .filter(|(_, count)| *count > 0)
                .collect(),
            latency: now.grabs.since(&then.grabs),
            rounds: self.rounds.saturating_sub(earlier.rounds),
            events: self.events.saturating_sub(earlier.events),
            append: now.appends.since(&then.appends),
            backlog_events: self.backlog_events,
            backlog_bytes: self.backlog_bytes,
            backlog_ms: self.backlog_ms,
            queued: self.queued,
            live_readers: self.live_readers,
            connections: now.connections,
            processor_tenths: u64::try_from(used.as_micros() * 1000 / passed.as_micros().max(1)).unwrap_or(0),
            memory_bytes: now.used.memory_bytes,
        }
    }
}

impl Sample {
    /// Writes it.
    pub fn write(&self, json: &mut Json) {
        json.open().key("at").time(self.at);
        json.key("grabs").open().key("won").number(self.won).key("replayed").number(self.replayed);
        json.key("refused").open();
        for (code, count) in &self.refused {
            json.key(code.as_str()).number(*count);
        }
        json.close().close();
        json.key("latency_us");
        write_quantiles(json, self.latency);
        json.key("rounds").number(self.rounds).key("events").number(self.events);
        json.key("append_us");
        write_quantiles(json, self.append);
        json.key("backlog_events")
            .number(self.backlog_events)
            .key("backlog_bytes")
            .number(self.backlog_bytes);
        json.key("backlog_ms").number(self.backlog_ms).key("queued").number(self.queued);
        json.key("live_readers").number(self.live_readers).key("connections").number(self.connections);
        let (percent, tenths) = (self.processor_tenths / 10, self.processor_tenths % 10);
        json.key("cpu_percent").raw(format!("{percent}.{tenths}").as_bytes());
        json.key("memory_bytes").number(self.memory_bytes).close();
    }
}

/// Writes quantiles, or `null`.
pub(crate) fn write_quantiles(json: &mut Json, quantiles: Option<Quantiles>) {
    let Some(Quantiles { p50, p90, p99, max }) = quantiles else {
        json.null();
        return;
    };
    json.open().key("p50").number(p50).key("p90").number(p90);
    json.key("p99").number(p99).key("max").number(max).close();
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::parts::metrics::Used;

    fn look(second: u32, won: u64, sold_out: u64) -> Look {
        let mut counted = Counted { won, refused: vec![0; Code::ALL.len()], ..Counted::default() };
        counted.refused[Code::SoldOut as usize] = sold_out;
        counted.used = Used { processor: Duration::from_millis(500) * second, memory_bytes: 7 };
        Look {
            at: Timestamp::from_millis(i64::from(second) * 1000),
            moment: Instant::now() + Duration::from_secs(1) * second,
            counted,
            rounds: won,
            events: won * 2,
            backlog_events: 0,
            backlog_bytes: 0,
            backlog_ms: 0,
            queued: 3,
            live_readers: 0,
        }
    }

    #[test]
    fn a_sample_is_what_lies_between_two_looks() {
        let sample = look(2, 110, 7).since(&look(1, 100, 7));
        assert_eq!((sample.won, sample.rounds, sample.events, sample.queued), (10, 10, 20, 3));
        assert_eq!((sample.refused.len(), sample.latency), (0, None));
        let sample = look(2, 110, 9).since(&look(1, 100, 7));
        assert_eq!(sample.refused, [(Code::SoldOut, 2)]);
        // Half a core, but for the moment that passed between making the two looks.
        assert!((490..=500).contains(&sample.processor_tenths), "{}", sample.processor_tenths);
        let mut json = Json::default();
        sample.write(&mut json);
        let text = String::from_utf8(json.into_bytes()).unwrap();
        assert!(text.contains(r#""refused":{"SOLD_OUT":2}},"latency_us":null,"rounds":10"#), "{text}");
    }
}
