//! Whether an answer is one that the pages allow, given the flight as it was after some event.
//! Never asks anybody: a flight, a request, a span of time and an answer are all it knows.

use serde_json::{Value, json};

use super::request::{Ask, Wanted, read};
use super::state::{Cabin, Entry, Flight, Order, seats_of, texts};

/// A span of time in milliseconds, both ends in it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    pub(crate) from: i64,
    pub(crate) to: i64,
}

impl Flight {
    pub(crate) fn sale_may_be(&self, state: &str, span: Span) -> bool {
        // Its window's ends are the only moments at which it changes without an event.
        let ends = [self.sale.opens_at, self.sale.closes_at].into_iter().flatten();
        let moments = ends.filter(|at| (span.from..=span.to).contains(at)).chain([span.from, span.to]);
        moments.into_iter().any(|at| self.sale.state(at) == state)
    }

    /// Whether this refusal is true of the flight.
    pub(crate) fn may_refuse(&self, ask: &Ask, code: &str, body: &Value, span: Span) -> Result<(), String> {
        let holds = match code {
            "SOLD_OUT" | "NOT_ENOUGH_SEATS" | "NOT_TOGETHER" => self.lacks_seats(ask, code, body),
            "SEAT_TAKEN" => texts(&body["seats"]) == self.not_free(ask) && !self.not_free(ask).is_empty(),
            "NO_SUCH_SEAT" => texts(&body["seats"]) == self.missing(ask) && !self.missing(ask).is_empty(),
            "SALE_CLOSED" => self.sells(ask) && self.sale_may_be("closed", span),
            "SALE_PAUSED" => matches!(ask, Ask::Grab { .. }) && self.sale_may_be("paused", span),
            "SALE_NOT_OPEN" => self.sells(ask) && self.sale_may_be("scheduled", span),
            "LIMIT_EXCEEDED" => self.is_beyond_limits(ask),
            "HOLD_EXPIRED" => self.has_run_out(ask, span),
            "ORDER_NOT_CHANGEABLE" => self.is_unchangeable(ask),
            "AMOUNT_MISMATCH" => self.costs_something_else(ask, body),
            "ORDERS_WITHOUT_SEATS" => self.would_strand(ask),
            "INVALID_REQUEST" => self.is_invalid(ask, span),
            _ => false,
        };
        if holds { Ok(()) } else { Err(format!("{code} is not true of the flight at event {}", self.seq)) }
    }

    fn sells(&self, ask: &Ask) -> bool {
        matches!(ask, Ask::Grab { .. } | Ask::Join { .. })
    }

    fn lacks_seats(&self, ask: &Ask, code: &str, body: &Value) -> bool {
        let Ask::Grab { wanted, class, together, .. } = ask else { return false };
        let (class, free) = (class.as_deref(), self.free(class.as_deref()));
        let size = match wanted {
            Wanted::Any(size) => *size,
            Wanted::Named(seats) => seats.len(),
        };
        match code {
            "SOLD_OUT" => free == 0,
            "NOT_ENOUGH_SEATS" => 0 < free && free < size && body["available"] == free,
            _ => *together == "required" && self.widest(class) < size,
        }
    }

    /// The named seats of a request that are not free for it.
    fn not_free(&self, ask: &Ask) -> Vec<String> {
        let (seats, own) = match ask {
            Ask::Grab { wanted: Wanted::Named(seats), .. } => (seats, None),
            Ask::Change { seats: Some(seats), order, .. } => (seats, Some(order)),
            Ask::Block { seats } => {
                let taken = seats.iter().filter(|seat| self.taken.contains_key(*seat));
                return taken.cloned().collect();
            }
            _ => return Vec::new(),
        };
        let is_own = |seat: &String| own.is_some() && self.taken.get(seat) == own;
        seats.iter().filter(|seat| !self.is_free(seat) && !is_own(seat)).cloned().collect()
    }

    /// The named seats of a request that do not exist.
    fn missing(&self, ask: &Ask) -> Vec<String> {
        let (seats, class) = match ask {
            Ask::Grab { wanted: Wanted::Named(seats), class, .. } => (seats, class.as_deref()),
            Ask::Change { seats: Some(seats), .. }
            | Ask::Block { seats }
            | Ask::Unblock { seats }
            | Ask::Withdraw { seats, .. } => (seats, None),
            _ => return Vec::new(),
        };
        let is_there = |cabin: &Cabin| class.is_none_or(|class| class == cabin.class);
        seats.iter().filter(|seat| !self.cabin(seat).is_some_and(is_there)).cloned().collect()
    }

    fn is_beyond_limits(&self, ask: &Ask) -> bool {
        let (per_order, per_customer) = (self.sale.per_order, self.sale.per_customer);
        match ask {
            Ask::Grab { customer, wanted, .. } => {
                let size = match wanted {
                    Wanted::Any(size) => *size,
                    Wanted::Named(seats) => seats.len(),
                };
                size > per_order || size + self.holding(customer) > per_customer
            }
            // A late payment, of somebody who has taken other seats since.
            Ask::Confirm { .. } => self.ordered(ask).is_some_and(|order| {
                !order.is_live() && order.seats.len() + self.holding(&order.customer) > per_customer
            }),
            Ask::Join { customer, size, .. } => {
                let waits = |entry: &&Entry| entry.status == "waiting" && entry.customer == *customer;
                *size > per_order || *size > per_customer || self.line.iter().filter(waits).count() >= 9
            }
            _ => false,
        }
    }

    fn ordered(&self, ask: &Ask) -> Option<&Order> {
        self.orders.get(ask.order()?)
    }

    fn has_run_out(&self, ask: &Ask, span: Span) -> bool {
        let Some(order) = self.ordered(ask) else { return false };
        let overdue = order.status == "held" && order.hold_until.is_some_and(|until| until <= span.to);
        if !(order.status == "expired" || overdue) {
            return false;
        }
        let all_free = order.seats.iter().all(|seat| self.is_free(seat));
        !matches!(ask, Ask::Confirm { .. }) || !all_free || overdue || self.sale_may_be("closed", span)
    }

    fn costs_something_else(&self, ask: &Ask, body: &Value) -> bool {
        let (Some(order), Ask::Confirm { amount, .. }) = (self.ordered(ask), ask) else { return false };
        order.total() != *amount && body["total"]["amount"] == order.total()
    }

    fn is_unchangeable(&self, ask: &Ask) -> bool {
        let Some(order) = self.ordered(ask) else { return false };
        let costs = |seats: &[String]| -> i64 {
            seats.iter().filter_map(|seat| self.cabin(seat)).map(|cabin| cabin.fare).sum()
        };
        match (order.status, ask) {
            ("cancelled", _) => !matches!(ask, Ask::Cancel { .. }),
            ("confirmed", Ask::Confirm { payment, .. }) => order.payment.as_ref() != Some(payment),
            ("confirmed", Ask::Pay { .. }) => true,
            ("confirmed", Ask::Change { seats: Some(seats), .. }) => costs(seats) != order.total(),
            ("held", Ask::Change { seats: Some(seats), .. }) => {
                order.payment_begun.is_some() && costs(seats) != order.total()
            }
            _ => false,
        }
    }

    fn would_strand(&self, ask: &Ask) -> bool {
        match ask {
            Ask::Swap { cabins, cancel_stranded: false, dry_run: false } => {
                let there = seats_of(cabins);
                let blocked = self.blocked.intersection(&there).cloned().collect();
                !self.stranded(cabins, &blocked).is_empty()
            }
            Ask::Withdraw { cancel_stranded: false, dry_run: false, .. } => {
                let blocked = self.withdrawn(ask);
                !self.stranded(&self.cabins, &blocked).is_empty()
            }
            _ => false,
        }
    }

    fn is_invalid(&self, ask: &Ask, span: Span) -> bool {
        let named = match ask {
            Ask::Grab { wanted: Wanted::Named(seats), .. }
            | Ask::Change { seats: Some(seats), .. }
            | Ask::Block { seats }
            | Ask::Unblock { seats }
            | Ask::Withdraw { seats, .. } => seats.as_slice(),
            _ => &[],
        };
        // "must not name 21A twice".
        if named.iter().enumerate().any(|(place, seat)| named[..place].contains(seat)) {
            return true;
        }
        match ask {
            Ask::Grab { class, .. } => !self.has_class(class.as_deref()),
            Ask::Join { class, until, .. } => {
                !self.has_class(class.as_deref()) || until.is_some_and(|until| until <= span.to)
            }
            Ask::Change { seats, names, .. } => self.ordered(ask).is_some_and(|order| {
                seats.as_ref().is_some_and(|seats| seats.len() != order.seats.len())
                    || names.as_ref().is_some_and(|names| names.len() != order.seats.len())
            }),
            Ask::Rows { cabin } => {
                let rows = |other: &Cabin| other.rows.0 <= cabin.rows.1 && cabin.rows.0 <= other.rows.1;
                self.cabins.iter().any(rows)
            }
            // "must be after opens_at".
            Ask::Policy { changes } => {
                let closes_at = changes.get("closes_at").and_then(read);
                closes_at.is_some_and(|closes| self.sale.opens_at.is_some_and(|opens| closes <= opens))
            }
            Ask::Withdraw { rows: Some((first, last)), .. } => {
                !self.cabins.iter().any(|cabin| cabin.rows.0 <= *last && *first <= cabin.rows.1)
            }
            _ => false,
        }
    }

    /// Whether a change that was answered with success, and made no event, had nothing to do.
    pub(crate) fn has_nothing_to_do(&self, ask: &Ask, span: Span) -> bool {
        let order = self.ordered(ask);
        match ask {
            Ask::Pay { .. } => order.is_some_and(|order| {
                order.status == "confirmed" || order.status == "held" && order.payment_begun.is_some()
            }),
            Ask::Confirm { payment, .. } => order
                .is_some_and(|order| order.status == "confirmed" && order.payment.as_ref() == Some(payment)),
            Ask::Cancel { .. } => order.is_some_and(|order| !order.is_live()),
            Ask::Change { seats, names, .. } => order.is_some_and(|order| {
                order.is_live()
                    && seats.as_ref().is_none_or(|seats| *seats == order.seats)
                    && names.as_ref().is_none_or(|names| *names == order.names)
            }),
            Ask::Leave { entry: id } => {
                self.line.iter().any(|entry| entry.id == *id && entry.status != "waiting")
            }
            Ask::Switch { to } => {
                let wanted = match *to {
                    "open" => "open",
                    "pause" => "paused",
                    _ => "closed",
                };
                // A paused sale that its window has closed meanwhile is still a paused one.
                self.sale_may_be(wanted, span) || wanted == "paused" && self.sale.switch == wanted
            }
            Ask::CallOff => self.sale_may_be("closed", span) && !self.orders.values().any(Order::is_live),
            Ask::Policy { changes } => changes.iter().all(|(name, value)| self.rule(name) == *value),
            Ask::Block { seats } => seats.iter().all(|seat| self.blocked.contains(seat)),
            Ask::Unblock { seats } => !seats.iter().any(|seat| self.blocked.contains(seat)),
            Ask::Swap { cabins, .. } => *cabins == self.cabins,
            Ask::Withdraw { .. } => self.withdrawn(ask) == self.blocked,
            _ => false,
        }
    }

    fn rule(&self, name: &str) -> Value {
        let time = |at: Option<i64>| at.map_or(Value::Null, |at| json!(super::request::written(at)));
        match name {
            "opens_at" => time(self.sale.opens_at),
            "closes_at" => time(self.sale.closes_at),
            "max_seats_per_order" => json!(self.sale.per_order),
            "max_seats_per_customer" => json!(self.sale.per_customer),
            "hold_seconds" => json!(self.sale.hold_seconds),
            "payment_grace_seconds" => json!(self.sale.grace_seconds),
            _ => Value::Null,
        }
    }

    /// What a success says must be so.
    pub(crate) fn says(&self, ask: &Ask, body: &Value, span: Span) -> Result<(), String> {
        match ask {
            Ask::Grab { .. } => self.order_says(body["order_id"].as_str().unwrap_or_default(), body),
            Ask::Pay { order }
            | Ask::Confirm { order, .. }
            | Ask::Cancel { order, .. }
            | Ask::Change { order, .. }
            | Ask::ReadOrder { order } => self.order_says(order, body),
            Ask::Join { .. } => self.entry_says(body["waitlist_id"].as_str().unwrap_or_default(), body),
            Ask::Leave { entry } | Ask::ReadEntry { entry } => self.entry_says(entry, body),
            Ask::ReadSeats => self.seats_say(body),
            Ask::ReadManifest => self.manifest_says(body),
            Ask::Restart => Ok(()),
            _ if ask.is_dry_run() => self.plan_says(ask, body),
            // A repeated change of the seat plan is answered with the flight, like any other change of it.
            Ask::Swap { .. } | Ask::Withdraw { .. } | Ask::CallOff if body["sale"].is_null() => Ok(()),
            _ => self.flight_says(body, span),
        }
    }

    fn order_says(&self, id: &str, body: &Value) -> Result<(), String> {
        let order = self.orders.get(id).ok_or_else(|| format!("there is no order {id} at {}", self.seq))?;
        let seats: Vec<(Value, Value, Value, Value)> = (0..order.seats.len())
            .map(|place| {
                let (class, fare) = &order.fares[place];
                // They may be null where "the flight's cabins are not at hand": for one whose seats are no more. An order
                // that has seats has them in the plan it was decided on.
                let gone = !order.is_live() && body["seats"][place]["cabin_class"].is_null();
                let (class, fare) =
                    if gone { (Value::Null, Value::Null) } else { (json!(class), json!(fare)) };
                let name = order.names[place].as_ref().map_or(Value::Null, |name| json!({"name": name}));
                (json!(order.seats[place]), class, fare, name)
            })
            .collect();
        let said = body["seats"].as_array().into_iter().flatten();
        let said: Vec<(Value, Value, Value, Value)> = said
            .map(|seat| {
                let of = |name: &str| seat[name].clone();
                (of("seat"), of("cabin_class"), seat["fare"]["amount"].clone(), of("passenger"))
            })
            .collect();
        let until = order.hold_until.filter(|_| order.status == "held");
        let wrong = [
            ("seq", body["seq"] == order.seq),
            ("status", body["status"] == order.status),
            ("seats", said == seats),
            ("customer_id", body["customer_id"] == order.customer),
            ("total", body["total"]["amount"] == order.total()),
            ("hold_expires_at", read(&body["hold_expires_at"]) == until),
            ("payment_begun_at", read(&body["payment_begun_at"]) == order.payment_begun),
            ("payment_reference", body["payment_reference"].as_str() == order.payment.as_deref()),
            ("created_at", read(&body["created_at"]) == Some(order.created)),
            ("updated_at", read(&body["updated_at"]) == Some(order.updated)),
        ];
        report(&wrong, || format!("{order:?}"))
    }

    fn entry_says(&self, id: &str, body: &Value) -> Result<(), String> {
        let place = self.line.iter().position(|entry| entry.id == id);
        let place = place.ok_or_else(|| format!("there is no party {id} at {}", self.seq))?;
        let entry = &self.line[place];
        let ahead = self.line[..place].iter().filter(|other| other.status == "waiting");
        let seats_ahead: usize = ahead.clone().map(|other| other.size).sum();
        let waits = entry.status == "waiting";
        let position = if waits { json!(ahead.count() + 1) } else { Value::Null };
        let wrong = [
            ("seq", body["seq"] == entry.seq),
            ("status", body["status"] == entry.status),
            ("order_id", body["order_id"].as_str() == entry.order.as_deref()),
            ("position", body["position"] == position),
            ("seats_ahead", !waits || body["explained"]["seats_ahead"] == seats_ahead),
            ("updated_at", read(&body["updated_at"]) == Some(entry.updated)),
        ];
        report(&wrong, || format!("{entry:?}"))
    }
}

/// The names of what is wrong, if anything is.
pub(crate) fn report(facts: &[(&str, bool)], model: impl Fn() -> String) -> Result<(), String> {
    let wrong: Vec<&str> = facts.iter().filter(|(_, right)| !right).map(|(name, _)| *name).collect();
    if wrong.is_empty() { Ok(()) } else { Err(format!("{} should be as in {}", wrong.join(", "), model())) }
}
