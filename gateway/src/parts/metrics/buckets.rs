//! A histogram's buckets, read back from the page, and what lies between two looks at them.
//! Never records anything: a second look costs the first recording nothing.

/// How many values a histogram has had so far, by upper bound.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Buckets {
    /// Upper bounds, rising; the last one is infinite.
    bounds: Vec<f64>,
    /// Values up to each bound, since the start.
    counts: Vec<u64>,
}

/// Some quantiles, in microseconds. They are as fine as the buckets are: between two bounds values are taken to be spread
/// evenly, and `max` is the upper bound of the highest bucket that has any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
pub struct Quantiles {
    /// The median.
    pub p50: u64,
    /// Nine of ten were shorter.
    pub p90: u64,
    /// 99 of 100 were shorter.
    pub p99: u64,
    /// The longest.
    pub max: u64,
}

impl Buckets {
    /// The buckets of the histogram of this name, as `page` shows them; none where nothing was recorded yet.
    pub(super) fn read(page: &str, name: &str) -> Self {
        let mut buckets = Self::default();
        let rows = page.lines().filter_map(|line| {
            let (bound, count) =
                line.strip_prefix(name)?.strip_prefix("_bucket{le=\"")?.split_once("\"} ")?;
            let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().ok()? };
            Some((bound, count.parse().ok()?))
        });
        for (bound, count) in rows {
            buckets.bounds.push(bound);
            buckets.counts.push(count);
        }
        buckets
    }

    /// Quantiles, in microseconds, of what was recorded in seconds since `earlier`; `None` if nothing was.
    pub fn since(&self, earlier: &Self) -> Option<Quantiles> {
        let before = |place: usize| earlier.counts.get(place).copied().unwrap_or(0);
        let new: Vec<u64> =
            (0..).zip(&self.counts).map(|(place, count)| count.saturating_sub(before(place))).collect();
        let all = new.last().copied().filter(|all| *all > 0)?;
        let highest = new.iter().position(|count| *count == all)?;
        Some(Quantiles {
            p50: self.quantile(&new, all.div_ceil(2)),
            p90: self.quantile(&new, (all * 9).div_ceil(10)),
            p99: self.quantile(&new, (all * 99).div_ceil(100)),
            max: micros(self.bound(highest)),
        })
    }

    /// Where the value of this rank lies, counted from 1.
    fn quantile(&self, new: &[u64], rank: u64) -> u64 {
        let place = new.iter().position(|count| *count >= rank).unwrap_or(new.len() - 1);
        let below = if place == 0 { (0.0, 0) } else { (self.bound(place - 1), new[place - 1]) };
        let (from, to) = (below.0, self.bound(place));
        #[allow(clippy::cast_precision_loss, reason = "a share of a bucket need not be exact")]
        let share = (rank - below.1) as f64 / (new[place] - below.1).max(1) as f64;
        micros(from + (to - from) * share)
    }

    /// An upper bound; of the endless bucket, the highest there is.
    fn bound(&self, place: usize) -> f64 {
        let finite = |bound: &f64| bound.is_finite();
        match self.bounds.get(place) {
            Some(bound) if bound.is_finite() => *bound,
            _ => self.bounds.iter().copied().rfind(finite).unwrap_or(0.0),
        }
    }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "buckets span microseconds to seconds"
)]
fn micros(seconds: f64) -> u64 {
    (seconds * 1e6).round().max(0.0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# TYPE x histogram\nx_bucket{le=\"0.0001\"} 10\nx_bucket{le=\"0.001\"} 20\n\
                        x_bucket{le=\"+Inf\"} 20\nx_sum 1\nx_count 20\nxy_bucket{le=\"0.1\"} 7\n";

    #[test]
    fn buckets_are_read_back_by_the_histogram_s_whole_name() {
        let read = Buckets::read(PAGE, "x");
        assert_eq!(read.counts, [10, 20, 20]);
        assert_eq!(Buckets::read(PAGE, "y"), Buckets::default());
    }

    #[test]
    fn quantiles_are_of_what_came_since() {
        let none = Buckets::default();
        let first = Buckets::read(PAGE, "x");
        assert_eq!(first.since(&none).unwrap(), Quantiles { p50: 100, p90: 820, p99: 1000, max: 1000 });
        assert_eq!(first.since(&first), None);
        assert_eq!(none.since(&none), None);
        let later = Buckets::read(&PAGE.replace("\"} 10", "\"} 14").replace("\"} 20", "\"} 24"), "x");
        assert_eq!(later.since(&first).unwrap(), Quantiles { p50: 50, p90: 100, p99: 100, max: 100 });
    }

    #[test]
    fn what_is_beyond_the_last_bound_counts_as_that_bound() {
        let page = PAGE.replace("{le=\"+Inf\"} 20", "{le=\"+Inf\"} 30");
        let read = Buckets::read(&page, "x").since(&Buckets::default()).unwrap();
        assert_eq!((read.p99, read.max), (1000, 1000));
    }
}
