//! Counts requests: grabs by what became of them, and all others by address, method and kind of answer.
//! Never has more labels than are known beforehand: nothing a client sends becomes one.

use std::sync::atomic::{AtomicU64, Ordering};

use warp::http::{Method, StatusCode};

use super::text::{Kind, MetricsPage};
use crate::base::addresses;
use crate::wire::problem::Code;

/// The grab's address, whose requests are counted by outcome.
const GRABS: &str = "/v1/flights/{}/orders";
/// Methods that have a figure of their own; the last one stands for all others.
const METHODS: [&str; 5] = ["GET", "POST", "PATCH", "DELETE", "other"];
/// Kinds of answers, by the first digit of their status.
const CLASSES: [&str; 4] = ["2xx", "3xx", "4xx", "5xx"];

/// What became of a grab.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It has its seats.
    Won,
    /// It had them already, under the same idempotency key.
    Replayed,
    /// It was answered with a problem.
    Problem(Code),
    /// The client hung up before there was an answer.
    Abandoned,
}

type Counters = [[AtomicU64; CLASSES.len()]; METHODS.len()];

/// The counts.
#[derive(Debug)]
pub(super) struct Requests {
    won: AtomicU64,
    replayed: AtomicU64,
    abandoned: AtomicU64,
    /// By code, in the order of `Code::ALL`.
    problems: Vec<AtomicU64>,
    /// By address, in the order of `ADDRESSES`; the last one stands for all that is not an address.
    others: Vec<Counters>,
}

impl Requests {
    pub(super) fn new() -> Self {
        Self {
            won: AtomicU64::new(0),
            replayed: AtomicU64::new(0),
            abandoned: AtomicU64::new(0),
            problems: Code::ALL.iter().map(|_| AtomicU64::new(0)).collect(),
            others: (0..=addresses::ADDRESSES.len()).map(|_| Counters::default()).collect(),
        }
    }

    /// Counts a grab.
    pub(super) fn grab(&self, outcome: Outcome) {
        let counter = match outcome {
            Outcome::Won => &self.won,
            Outcome::Replayed => &self.replayed,
            Outcome::Abandoned => &self.abandoned,
            // The codes are numbered as they stand in `ALL`.
            Outcome::Problem(code) => &self.problems[code as usize],
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts any other request.
    pub(super) fn other(&self, path: &str, method: &Method, status: StatusCode) {
        let known = addresses::address(path).and_then(|(pattern, _)| place_of(pattern));
        self.at(known.unwrap_or(addresses::ADDRESSES.len()), method, status);
    }

    /// Counts one that no address took.
    pub(super) fn unmatched(&self, status: StatusCode) {
        // What was asked for does not matter here: it is nothing.
        self.at(addresses::ADDRESSES.len(), &Method::TRACE, status);
    }

    fn at(&self, place: usize, method: &Method, status: StatusCode) {
        let last = METHODS.len() - 1;
        let method = METHODS.iter().position(|name| *name == method.as_str()).unwrap_or(last);
        self.others[place][method][class_of(status)].fetch_add(1, Ordering::Relaxed);
    }

    /// Grabs so far: won, replayed, and refused in the order of `Code::ALL`.
    pub(super) fn grabs(&self) -> (u64, u64, Vec<u64>) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (read(&self.won), read(&self.replayed), self.problems.iter().map(read).collect())
    }

    pub(super) fn write(&self, page: &mut MetricsPage) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (won, replayed) = (read(&self.won), read(&self.replayed));
        let problems: Vec<u64> = self.problems.iter().map(read).collect();
        page.family(
            Kind::Counter,
            "farerush_grabs_total",
            "Grabs by outcome: won, replayed (the order was there already), abandoned (the client hung up before the \
             answer), or the code of the problem it was answered with.",
        );
        page.sample(&[("outcome", "won")], won).sample(&[("outcome", "replayed")], replayed);
        page.sample(&[("outcome", "abandoned")], read(&self.abandoned));
        let mut by_class = [won + replayed, 0, 0, 0];
        for (code, count) in Code::ALL.iter().zip(problems) {
            page.sample(&[("outcome", code.as_str())], count);
            by_class[class_of(code.status())] += count;
        }
        page.family(
            Kind::Counter,
            "farerush_http_requests_total",
            "Requests that were answered, by address, method and first digit of the status; HEAD counts as GET.",
        );
        for (class, count) in CLASSES.iter().zip(by_class) {
            page.sample(&[("route", GRABS), ("method", "POST"), ("status", class)], count);
        }
        let patterns = addresses::ADDRESSES.iter().map(|(pattern, _)| *pattern).chain(["unmatched"]);
        for (pattern, counters) in patterns.zip(&self.others) {
            for (method, counters) in METHODS.iter().zip(counters) {
                let is_asked = counters.iter().any(|counter| read(counter) > 0);
                // Grabs stand above.
                if !is_asked || (pattern == GRABS && *method == "POST") {
                    continue;
                }
                for (class, counter) in CLASSES.iter().zip(counters) {
                    page.sample(&[("route", pattern), ("method", method), ("status", class)], read(counter));
                }
            }
        }
    }
}

fn place_of(pattern: &str) -> Option<usize> {
    addresses::ADDRESSES.iter().position(|(known, _)| *known == pattern)
}

fn class_of(status: StatusCode) -> usize {
    usize::from(status.as_u16() / 100).saturating_sub(2).min(CLASSES.len() - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_numbered_as_they_stand() {
        for (place, code) in Code::ALL.iter().enumerate() {
            assert_eq!(*code as usize, place);
        }
        assert!(place_of(GRABS).is_some(), "the grab's address is called otherwise");
    }

    #[test]
    fn nothing_that_a_client_sends_becomes_a_label() {
        let requests = Requests::new();
        let (get, odd) = (Method::GET, Method::from_bytes(b"BREW").unwrap());
        requests.other("/v1/flights/FR1", &get, StatusCode::OK);
        requests.other("/v1/flights/FR2", &odd, StatusCode::METHOD_NOT_ALLOWED);
        requests.other("/etc/passwd", &get, StatusCode::NOT_FOUND);
        let mut page = MetricsPage::default();
        requests.write(&mut page);
        let text = page.finish();
        assert!(text.contains("{route=\"/v1/flights/{}\",method=\"GET\",status=\"2xx\"} 1\n"), "{text}");
        assert!(text.contains("{route=\"/v1/flights/{}\",method=\"other\",status=\"4xx\"} 1\n"), "{text}");
        assert!(text.contains("{route=\"unmatched\",method=\"GET\",status=\"4xx\"} 1\n"), "{text}");
        for word in ["FR1", "BREW", "passwd"] {
            assert!(!text.contains(word), "{text}");
        }
    }

    #[test]
    fn grabs_are_requests_too() {
        let requests = Requests::new();
        for outcome in [Outcome::Won, Outcome::Replayed, Outcome::Problem(Code::SoldOut), Outcome::Abandoned]
        {
            requests.grab(outcome);
        }
        let mut page = MetricsPage::default();
        requests.write(&mut page);
        let text = page.finish();
        for (class, count) in [("2xx", 2), ("4xx", 1), ("5xx", 0)] {
            let line = format!("{{route=\"{GRABS}\",method=\"POST\",status=\"{class}\"}} {count}\n");
            assert!(text.contains(&line), "{line}{text}");
        }
        assert!(text.contains("{outcome=\"SOLD_OUT\"} 1\n") && text.contains("{outcome=\"abandoned\"} 1\n"));
    }
}
