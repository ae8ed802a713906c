//! Samples of several servers as one: what was counted adds up, and of times the longest is told.
//! Never tells a second before each server that answers has told it.

use std::collections::BTreeMap;

use farerush_engine::flight::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::sample::Sample;
use crate::base::time;
use crate::parts::metrics::Quantiles;
use crate::wire::problem::Code;

/// A second is told at the latest so long after it, in milliseconds: whoever has not told it by then was away.
const WAITED_FOR_MS: i64 = 3_000;

/// A sample as another server has written it.
#[derive(Debug, Deserialize)]
struct Told {
    at: String,
    grabs: Grabs,
    latency_us: Option<Quantiles>,
    rounds: u64,
    events: u64,
    append_us: Option<Quantiles>,
    backlog_events: u64,
    backlog_bytes: u64,
    backlog_ms: u64,
    queued: u64,
    live_readers: u64,
    connections: u64,
    cpu_percent: Box<RawValue>,
    memory_bytes: u64,
}

#[derive(Debug, Deserialize)]
struct Grabs {
    won: u64,
    replayed: u64,
    refused: BTreeMap<String, u64>,
}

impl Told {
    fn sample(self) -> Option<Sample> {
        let refused =
            Code::ALL.iter().filter_map(|code| Some((*code, *self.grabs.refused.get(code.as_str())?)));
        Some(Sample {
            at: time::parse(&self.at).ok()?,
            won: self.grabs.won,
            replayed: self.grabs.replayed,
            refused: refused.collect(),
            latency: self.latency_us,
            rounds: self.rounds,
            events: self.events,
            append: self.append_us,
            backlog_events: self.backlog_events,
            backlog_bytes: self.backlog_bytes,
            backlog_ms: self.backlog_ms,
            queued: self.queued,
            live_readers: self.live_readers,
            connections: self.connections,
            processor_tenths: tenths(self.cpu_percent.get())?,
            memory_bytes: self.memory_bytes,
        })
    }
}

/// A number with one digit behind the point, in tenths.
fn tenths(text: &str) -> Option<u64> {
    let (whole, tenths) = text.split_once('.').unwrap_or((text, "0"));
    Some(whole.parse::<u64>().ok()? * 10 + tenths.parse::<u64>().ok().filter(|tenths| *tenths < 10)?)
}

/// The samples that another server has written; `None` if they are none.
pub fn read(json: &[u8]) -> Option<Vec<Sample>> {
    let told: Vec<Told> = serde_json::from_slice(json).ok()?;
    told.into_iter().map(Told::sample).collect()
}

/// The samples of all servers, second by second; those of one server stand in one list, by rising time.
pub fn together(all: Vec<Vec<Sample>>, now: Timestamp) -> Vec<Sample> {
    let second = |at: Timestamp| at.as_millis().div_euclid(1000);
    let newest = all.iter().map(|samples| samples.last().map_or(i64::MIN, |last| second(last.at))).min();
    let told = newest.unwrap_or(i64::MIN).max(second(now) - WAITED_FOR_MS / 1000);
    let mut seconds: BTreeMap<i64, Sample> = BTreeMap::new();
    for samples in all {
        // Of two of one server in one second, what stands at its end is the later one's.
        let mut of_one: BTreeMap<i64, Sample> = BTreeMap::new();
        for sample in samples.into_iter().filter(|sample| second(sample.at) <= told) {
            match of_one.get_mut(&second(sample.at)) {
                Some(before) => {
                    let counted = Sample { at: sample.at, ..before.clone() };
                    *before = counted.followed_by(&sample);
                }
                None => drop(of_one.insert(second(sample.at), sample)),
            }
        }
        for (at, sample) in of_one {
            let sample = Sample { at: Timestamp::from_millis(at * 1000), ..sample };
            match seconds.get_mut(&at) {
                Some(others) => *others = others.beside(&sample),
                None => drop(seconds.insert(at, sample)),
            }
        }
    }
    seconds.into_values().collect()
}

impl Sample {
    /// The two of two servers in one second.
    fn beside(&self, other: &Self) -> Self {
        let counted = self.counted_with(other);
        Self {
            backlog_events: self.backlog_events + other.backlog_events,
            backlog_bytes: self.backlog_bytes + other.backlog_bytes,
            backlog_ms: self.backlog_ms.max(other.backlog_ms),
            queued: self.queued + other.queued,
            live_readers: self.live_readers + other.live_readers,
            connections: self.connections + other.connections,
            processor_tenths: self.processor_tenths + other.processor_tenths,
            memory_bytes: self.memory_bytes + other.memory_bytes,
            ..counted
        }
    }

    /// The two of one server, one after the other.
    fn followed_by(&self, later: &Self) -> Self {
        let counted = self.counted_with(later);
        Self {
            at: later.at,
            won: counted.won,
            replayed: counted.replayed,
            refused: counted.refused,
            latency: counted.latency,
            rounds: counted.rounds,
            events: counted.events,
            append: counted.append,
            processor_tenths: (self.processor_tenths + later.processor_tenths) / 2,
            ..later.clone()
        }
    }

    fn counted_with(&self, other: &Self) -> Self {
        let of = |sample: &Self, code: Code| {
            sample.refused.iter().find(|(known, _)| *known == code).map_or(0, |(_, count)| *count)
        };
        let refused = Code::ALL.iter().map(|code| (*code, of(self, *code) + of(other, *code)));
        Self {
            won: self.won + other.won,
            replayed: self.replayed + other.replayed,
            refused: refused.filter(|(_, count)| *count > 0).collect(),
            latency: longest(self.latency, other.latency),
            rounds: self.rounds + other.rounds,
            events: self.events + other.events,
            append: longest(self.append, other.append),
            ..self.clone()
        }
    }
}

/// Quantiles cannot be added up: the longer one is at least what both together have.
fn longest(one: Option<Quantiles>, other: Option<Quantiles>) -> Option<Quantiles> {
    let (Some(one), Some(other)) = (one, other) else { return one.or(other) };
    Some(Quantiles {
        p50: one.p50.max(other.p50),
        p90: one.p90.max(other.p90),
        p99: one.p99.max(other.p99),
        max: one.max.max(other.max),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::json::Json;

    fn sample(at_ms: i64, won: u64) -> Sample {
        let latency = Some(Quantiles { p50: won, p90: won, p99: won, max: won });
        Sample {
            at: Timestamp::from_millis(at_ms),
            won,
            refused: vec![(Code::SoldOut, won)],
            latency,
            connections: 5,
            processor_tenths: 123,
            ..Sample::default()
        }
    }

    #[test]
    fn seconds_of_several_servers_add_up_and_each_is_told_once_all_have_told_it() {
        let one = vec![sample(10_900, 1), sample(11_100, 2), sample(11_990, 4), sample(12_500, 8)];
        let other = vec![sample(10_100, 10), sample(11_500, 20)];
        let told = together(vec![one, other], Timestamp::from_millis(13_000));
        let found: Vec<_> = told.iter().map(|one| (one.at.as_millis(), one.won, one.connections)).collect();
        assert_eq!(found, [(10_000, 11, 10), (11_000, 26, 10)]);
        assert_eq!((told[1].refused[0].1, told[1].latency.unwrap().p50), (26, 20));
        let alone = together(vec![vec![sample(10_900, 1)], Vec::new()], Timestamp::from_millis(14_000));
        assert_eq!(alone.len(), 1, "one that has told nothing is not waited for");
    }

    #[test]
    fn a_sample_is_read_as_it_was_written() {
        let mut json = Json::default();
        json.open_list();
        sample(12_000, 7).write(&mut json);
        json.close_list();
        assert_eq!(read(&json.into_bytes()).unwrap(), [sample(12_000, 7)]);
        assert_eq!(read(b"{}"), None);
    }
}
