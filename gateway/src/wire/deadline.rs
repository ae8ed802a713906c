//! How long a request may take: the server's limit, and the client's own in the header `Request-Timeout`.
//! Never waits by itself.

use std::convert::Infallible;
use std::str::FromStr;
use std::time::{Duration, Instant};

use crate::observe::traces;
use crate::wire::problem::Problem;

/// The header in which a client says after how many seconds it does not wait any more.
pub const REQUEST_TIMEOUT: &str = "request-timeout";
/// Most digits before and after the point.
const DIGITS_MAX: usize = 9;
/// How much sooner than its answer is due a request has to be decided, so that the answer still arrives: this part of
/// its time, but no more than that.
const MARGIN_PART: u32 = 10;
const MARGIN_MAX: Duration = Duration::from_millis(50);

/// A `Request-Timeout` as it came: for how long its client waits.
#[derive(Debug, Clone, Copy)]
pub struct GivenTimeout(Option<Duration>);

impl FromStr for GivenTimeout {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(seconds(text)))
    }
}

/// Seconds, which may have decimals; more than none.
fn seconds(text: &str) -> Option<Duration> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let number = |digits: &str| {
        let sane =
            (1..=DIGITS_MAX).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
        if sane { digits.parse::<u32>().ok() } else { None }
    };
    let missing = u32::try_from(DIGITS_MAX.checked_sub(decimals.len())?).ok()?;
    let time = Duration::new(u64::from(number(whole)?), number(decimals)? * 10_u32.pow(missing));
    (!time.is_zero()).then_some(time)
}

/// Until when a request has to be decided, and until when its answer is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline {
    /// A flight whose turn for it comes later puts it aside: nothing is done.
    pub decide_by: Instant,
    /// Then its outcome counts as unknown.
    pub answer_by: Instant,
}

impl Deadline {
    /// The sooner one of `limit` and what the client said, counted from when the current request came: its client does
    /// not wait longer because nobody looked at it. A header that says nothing sensible is an `INVALID_REQUEST`, a time
    /// that is over already `OVERLOADED`.
    pub fn of(given: Option<GivenTimeout>, limit: Duration) -> Result<Self, Problem> {
        let now = Instant::now();
        Self::since(traces::came().unwrap_or(now), now, given, limit)
    }

    fn since(
        came: Instant,
        now: Instant,
        given: Option<GivenTimeout>,
        limit: Duration,
    ) -> Result<Self, Problem> {
        let mut time = limit;
        if let Some(GivenTimeout(given)) = given {
            time = time.min(given.ok_or_else(bad_timeout)?);
        }
        let deadline = Self::after(came, time);
        if deadline.decide_by <= now { Err(too_late()) } else { Ok(deadline) }
    }

    /// What is left of the time in which it has to be decided.
    pub fn left(&self) -> Duration {
        self.decide_by.saturating_duration_since(Instant::now())
    }

    /// So long after `now`.
    pub fn after(now: Instant, time: Duration) -> Self {
        let margin = (time / MARGIN_PART).min(MARGIN_MAX);
        Self { decide_by: now + (time - margin), answer_by: now + time }
    }
}

fn bad_timeout() -> Problem {
    let message =
        "must be a number of seconds above 0, such as 2 or 0.75 (up to 9 digits before and after the point)";
    Problem::invalid_field("Request-Timeout", message)
}

/// The answer to a request that was put aside.
pub fn too_late() -> Problem {
    Problem::overloaded("the time that the request may take was over before it was its turn", 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(5);

    #[test]
    fn seconds_may_have_decimals() {
        for (text, millis) in [("1", 1000), ("0.25", 250), ("30", 30_000), ("007.5", 7500), ("0.001", 1)] {
            assert_eq!(seconds(text), Some(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(seconds("0.000000001"), Some(Duration::from_nanos(1)));
        assert_eq!(seconds("999999999.999999999"), Some(Duration::new(999_999_999, 999_999_999)));
    }

    #[test]
    fn anything_else_is_named_as_wrong() {
        for text in
            ["", "0", "0.0", "-1", "+1", "1s", "1e3", ".5", "1.", "1.2.3", "nan", "inf", " 1", "1234567890"]
        {
            let given = text.parse().ok();
            let problem = Deadline::of(given, LIMIT).unwrap_err();
            let shown = String::from_utf8(problem.render()).unwrap();
            assert!(
                shown.contains("Request-Timeout") && shown.contains("INVALID_REQUEST"),
                "{text}: {shown}"
            );
        }
    }

    #[test]
    fn a_client_can_only_shorten_its_time() {
        let left = |given: Option<GivenTimeout>| {
            let now = Instant::now();
            Deadline::since(now, now, given, LIMIT).unwrap().answer_by - now
        };
        assert!(left(None) >= LIMIT && left("9".parse().ok()) >= LIMIT);
        assert!(left("0.5".parse().ok()) <= Duration::from_millis(500));
    }

    #[test]
    fn a_flight_has_to_decide_a_little_sooner() {
        let deadline = Deadline::of(None, LIMIT).unwrap();
        assert_eq!(deadline.answer_by - deadline.decide_by, MARGIN_MAX);
        let deadline = Deadline::of(None, Duration::from_millis(100)).unwrap();
        assert_eq!(deadline.answer_by - deadline.decide_by, Duration::from_millis(10));
    }

    #[test]
    fn a_time_that_is_over_is_an_answer() {
        let came = Instant::now();
        for (given, waited, is_over) in [
            (None, LIMIT, true),
            (None, LIMIT / 2, false),
            ("2".parse().ok(), Duration::from_secs(2), true),
            ("2".parse().ok(), Duration::from_secs(1), false),
        ] {
            let answered =
                Deadline::since(came, came + waited, given, LIMIT).map_err(|problem| problem.code());
            assert_eq!(
                answered.err(),
                is_over.then_some(crate::wire::problem::Code::Overloaded),
                "{waited:?}"
            );
        }
    }

    #[test]
    fn what_a_request_has_waited_unread_is_taken_from_its_time() {
        let came = Instant::now();
        let deadline = Deadline::since(came, came + LIMIT / 2, None, LIMIT).unwrap();
        assert_eq!(deadline.answer_by, came + LIMIT);
    }
}
