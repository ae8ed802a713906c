//! The figures of webhooks; all of them are 0 where none are sent.
//! Never names the receiver.

use std::time::Duration;

use super::Figures;
use crate::parts::metrics::text::{Kind, MetricsPage};

/// The outcomes of an attempt, as the status names them.
const OUTCOMES: [&str; 4] = ["delivered", "refused", "unreachable", "timed_out"];

/// Writes all of them.
pub(super) fn write(page: &mut MetricsPage, figures: &Figures) {
    let status = figures.webhooks.as_ref().map(|webhooks| webhooks.status());
    page.family(
        Kind::Counter,
        "farerush_webhook_attempts_total",
        "Attempts to deliver a webhook, by what came of them: delivered, refused (an answer other than 2xx), unreachable, \
         timed_out. All but the first are made again.",
    );
    let counts =
        status.as_ref().map_or_else(|| OUTCOMES.map(|outcome| (outcome, 0)), |status| status.deliveries);
    for (outcome, count) in counts {
        page.sample(&[("outcome", outcome)], count);
    }
    page.gauge(
        "farerush_webhook_lag_events",
        "Events that are durable and whose webhooks were not delivered yet.",
        status.as_ref().map_or(0, |status| status.lag_events),
    );
    page.gauge(
        "farerush_webhook_flights_behind",
        "Flights they belong to.",
        status.as_ref().map_or(0, |status| status.flights_behind),
    );
    let oldest = status.as_ref().and_then(|status| status.oldest);
    let age = oldest.map_or(0, |at| (figures.health.flights.now().as_millis() - at.as_millis()).max(0));
    page.gauge(
        "farerush_webhook_age_seconds",
        "How long ago the oldest of them happened, or a little more; 0 if there is none.",
        Duration::from_millis(age.unsigned_abs()).as_secs_f64(),
    );
    page.counter(
        "farerush_webhook_lost_events_total",
        "Events whose webhooks are lost, because the journal had to let go of them first.",
        status.as_ref().map_or(0, |status| status.lost_events),
    );
}
