//! The demo flights: what an empty system starts with, so that there is something to grab.
//! Never touches a system that has flights.

use std::sync::Arc;

use farerush_engine::actor::{CreateError, Engine};
use farerush_engine::flight::{Salt, Timestamp};

use crate::api::admin::flights::{NewFlight, new_flight};
use crate::base::time::{self, DAY_MS};
use crate::parts::other_servers::OtherServers;
use crate::wire::fields;

/// A demo flight as its admin would write it; `departs_at` and `opens_at` are added, in days from now.
struct Demo {
    days: i64,
    body: &'static str,
}

const FLIGHTS: &[Demo] = &[
    Demo {
        days: 21,
        body: r#""flight_id":"DEMO1","flight_number":"FR101","origin":"TPE","destination":"NRT","aircraft":"A320",
            "fare":{"amount":99900,"currency":"TWD"},"sale":{"state":"open"}"#,
    },
    Demo {
        days: 28,
        body: r#""flight_id":"DEMO2","flight_number":"FR202","origin":"KHH","destination":"KIX","aircraft":"A320",
            "fare":{"amount":79900,"currency":"TWD"},"sale":{"state":"open","hold_seconds":600}"#,
    },
    Demo {
        days: 35,
        body: r#""flight_id":"DEMO3","flight_number":"FR303","origin":"TPE","destination":"SIN","aircraft":"B789",
            "fares":{"business":{"amount":1290000,"currency":"TWD"},
                     "premium_economy":{"amount":690000,"currency":"TWD"},
                     "economy":{"amount":249900,"currency":"TWD"}},"sale":{"state":"open"}"#,
    },
    Demo {
        days: 49,
        body: r#""flight_id":"DEMO4","flight_number":"FR404","origin":"TSA","destination":"HND","aircraft":"A321",
            "fares":{"business":{"amount":990000,"currency":"TWD"},"economy":{"amount":129900,"currency":"TWD"}},
            "sale":{"opens_at":"OPENS_AT"}"#,
    },
    Demo {
        days: 60,
        body: r#""flight_id":"RUSH","flight_number":"FR999","origin":"TPE","destination":"OKA",
            "cabins":[{"cabin_class":"economy","rows":[1,999],"layout":"ABC DEFG HJK",
                       "fare":{"amount":9900,"currency":"TWD"}}],
            "sale":{"state":"open","max_seats_per_customer":10000}"#,
    },
];

fn describe(demo: &Demo, now: Timestamp) -> String {
    // Whole hours look like a timetable.
    let hour = 3_600_000;
    let today = Timestamp::from_millis(now.as_millis() / hour * hour);
    let departs_at = time::text(today.plus_millis(demo.days * DAY_MS));
    let opens_at = time::text(today.plus_millis(7 * DAY_MS));
    format!("{{\"departs_at\":\"{departs_at}\",{}}}", demo.body.replace("OPENS_AT", &opens_at))
}

/// Creates the demo flights if there is no flight at all; says how many were created. Of two servers that start at the
/// same time, one creates them.
pub async fn create(engine: &Arc<Engine>, other_servers: &OtherServers) -> Result<usize, String> {
    if !engine.flights().is_empty() || !engine.status().quarantined.is_empty() {
        return Ok(0);
    }
    let now = engine.clock().now();
    for (created, demo) in FLIGHTS.iter().enumerate() {
        let salt = Salt(getrandom::u64().map_err(|error| error.to_string())?);
        let value = fields::parse(describe(demo, now).as_bytes(), false);
        let flight = value.and_then(|value| new_flight(&value, salt, now));
        let NewFlight { definition, policy, open } =
            flight.map_err(|problem| String::from_utf8_lossy(&problem.render()).into_owned())?;
        let flight_id = definition.flight_id.clone();
        if other_servers.has(&flight_id).await.unwrap_or(false) {
            return Ok(created);
        }
        match engine.create(definition, policy, open).await {
            Ok(_) | Err(CreateError::Exists) => {}
            Err(CreateError::OutcomeUnknown) if other_servers.has(&flight_id).await.unwrap_or(false) => {
                return Ok(created);
            }
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(FLIGHTS.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_demo_flight_is_sound() {
        for demo in FLIGHTS {
            let now = Timestamp::from_millis(1_795_000_000_000);
            let body = describe(demo, now);
            let value = fields::parse(body.as_bytes(), false).unwrap();
            let flight = new_flight(&value, Salt(1), now);
            assert!(flight.is_ok(), "{}", String::from_utf8_lossy(&flight.unwrap_err().render()));
        }
    }
}
