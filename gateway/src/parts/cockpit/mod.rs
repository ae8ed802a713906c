//! The cockpit: what the server did in each of the last seconds, for the admin's charts.
//! Never counts anything itself: once a second it reads what is counted anyway and keeps the difference.

mod sample;

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

use farerush_engine::flight::Timestamp;
use parking_lot::Mutex;
use tokio::time::MissedTickBehavior;
use warp::http::StatusCode;
use warp::reply::Response;

use crate::api::ops::{write_journal, write_store};
use crate::base::json::Json;
use crate::parts::app::App;
use crate::parts::auth::Admin;
use crate::wire::problem::Problem;
use crate::wire::query::Query;
use crate::wire::render;

pub(crate) use sample::write_quantiles;
use sample::{Look, Sample};

/// How often a sample is taken, in milliseconds.
const SAMPLE_EVERY_MS: u64 = 1000;
/// Samples that are kept: those of ten minutes.
pub const SAMPLES_MAX: usize = 600;
/// About how long a sample is as JSON, in bytes.
const SAMPLE_BYTES: usize = 400;

/// The samples of the last minutes.
#[derive(Debug, Default)]
pub struct Cockpit {
    samples: Mutex<VecDeque<Arc<Sample>>>,
}

impl Cockpit {
    /// The samples taken after `since`, by rising time.
    fn since(&self, since: Option<Timestamp>) -> Vec<Arc<Sample>> {
        let samples = self.samples.lock();
        let first = since.map_or(0, |since| samples.partition_point(|sample| sample.at <= since));
        samples.iter().skip(first).cloned().collect()
    }

    fn keep(&self, sample: Sample) {
        let mut samples = self.samples.lock();
        if samples.len() == SAMPLES_MAX {
            samples.pop_front();
        }
        samples.push_back(Arc::new(sample));
    }
}

/// Takes a sample a second until the server is gone, off the threads that answer grabs.
pub async fn watch(app: Weak<App>) {
    let mut ticks = tokio::time::interval(Duration::from_millis(SAMPLE_EVERY_MS));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut last: Option<Look> = None;
    loop {
        ticks.tick().await;
        let Some(app) = app.upgrade() else { return };
        let looking = tokio::task::spawn_blocking(move || {
            let look = Look::at(&app);
            if let Some(last) = last {
                app.cockpit.keep(look.since(&last));
            }
            look
        });
        // A look that failed is a gap in the charts, and nothing else.
        last = looking.await.ok();
    }
}

/// `GET /v1/admin/cockpit`
pub async fn show(_by: Admin, app: Arc<App>, raw_query: String) -> Result<Response, Problem> {
    let mut query = Query::parse(&raw_query);
    let since = query.moment("since");
    query.finish()?;
    let samples = app.cockpit.since(since);
    let mut json = Json::with_capacity(512 + SAMPLE_BYTES * samples.len());
    json.open().key("now").time(app.now()).key("interval_ms").number(SAMPLE_EVERY_MS);
    json.key("samples").open_list();
    samples.iter().for_each(|sample| sample.write(&mut json));
    json.close_list().key("journal");
    write_journal(&mut json, &app, &app.engine.status().journal);
    json.key("store");
    write_store(&mut json, &app);
    json.close();
    Ok(render::passing_response(StatusCode::OK, json))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    #[test]
    fn the_last_samples_are_kept_and_told_from_a_moment_on() {
        let cockpit = Cockpit::default();
        let count = i64::try_from(SAMPLES_MAX).unwrap() + 10;
        for second in 1..=count {
            cockpit.keep(Sample { at: at(second), ..Sample::default() });
        }
        let all = cockpit.since(None);
        assert_eq!((all.len(), all[0].at), (SAMPLES_MAX, at(11)));
        let newest: Vec<_> = cockpit.since(Some(at(count - 2))).iter().map(|sample| sample.at).collect();
        assert_eq!(newest, [at(count - 1), at(count)]);
        assert!(cockpit.since(Some(at(count))).is_empty());
        assert_eq!(cockpit.since(Some(at(0))).len(), SAMPLES_MAX);
    }
}
