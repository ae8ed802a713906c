//! What each event of the audit does to the model's flight, and whether it was allowed to happen just then.
//! Never looks at answers, but for the one thing that an event leaves out: where a new seat plan put everybody.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::judge::Span;
use super::request::{Ask, read};
use super::state::{Cabin, Flight, Order, Sale, seats_of, text, texts};
use super::witness::is_like;

/// An event of the audit.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) seq: u64,
    pub(crate) at: i64,
    pub(crate) kind: String,
    pub(crate) actor: String,
    pub(crate) by: Option<String>,
    pub(crate) key: Option<String>,
    pub(crate) details: Value,
}

impl Event {
    pub(crate) fn read(value: &Value) -> Self {
        Self {
            seq: value["seq"].as_u64().unwrap_or_default(),
            at: read(&value["at"]).unwrap_or_default(),
            kind: text(&value["kind"]),
            actor: text(&value["actor"]),
            by: value["by"].as_str().map(str::to_owned),
            key: value["idempotency_key"].as_str().map(str::to_owned),
            details: value["details"].clone(),
        }
    }

    pub(crate) fn order(&self) -> Option<&str> {
        self.details["order_id"].as_str()
    }

    pub(crate) fn seats(&self) -> Vec<String> {
        texts(&self.details["seats"])
    }
}

/// How seats were given after a plan changed.
#[derive(Debug, Default)]
pub(crate) struct Seated {
    /// New seats by order, from an answer or from what came later.
    pub(crate) at: BTreeMap<String, Vec<String>>,
    /// Whether nobody was told: then somebody may sit where nobody has seen it.
    pub(crate) is_untold: bool,
}

/// Why a history is judged no further: two plans moved people, the answers of both were lost, and nobody looked between.
pub(crate) const UNTOLD: &str = "nobody can tell where people sat between two plans";

pub(crate) type Verdict = Result<(), String>;

pub(crate) fn must(holds: bool, why: &str) -> Verdict {
    if holds { Ok(()) } else { Err(why.to_owned()) }
}

impl Flight {
    /// The flight as its first event makes it.
    pub(crate) fn created(event: &Event) -> Self {
        let cabins = event.details["cabins"].as_array().into_iter().flatten().map(Cabin::read).collect();
        Self {
            seq: event.seq,
            at: event.at,
            cabins,
            blocked: BTreeSet::new(),
            taken: BTreeMap::new(),
            orders: BTreeMap::new(),
            line: Vec::new(),
            sale: Sale::read(&event.details, "scheduled"),
            keys: BTreeMap::new(),
        }
    }

    /// Applies the next event, which `ask` caused (none: the flight by itself).
    pub(crate) fn apply(&mut self, event: &Event, ask: Option<&Ask>, seated: &Seated) -> Verdict {
        must(event.seq == self.seq + 1, "there is a hole before it")?;
        must(event.at >= self.at, "its time is before the last one's")?;
        must((event.actor == "flight") == ask.is_none(), "nobody asked for it, or somebody did")?;
        // Whatever a customer asks for, those who wait come first.
        if !matches!(
            event.kind.as_str(),
            "waitlist_served" | "waitlist_left" | "order_expired" | "taken_over" | "sale_ended"
        ) && let Some(entry) = self.owed(self.at)
        {
            return Err(format!("the seats of {} are for {entry:?}", self.seq));
        }
        self.seq = event.seq;
        self.at = event.at;
        match event.kind.as_str() {
            "order_placed" => self.placed(event, ask),
            "order_confirmed" => self.confirmed(event, ask),
            "order_revived" => self.revived(event, ask),
            "order_expired" => self.ended(event, "expired"),
            "order_cancelled" => self.ended(event, "cancelled"),
            "payment_begun" => self.payment_begun(event),
            "payment_returned" => self.payment_returned(event, ask),
            "order_changed" => self.changed(event, ask),
            "seats_blocked" => self.blocked(event, ask),
            "seats_unblocked" => self.unblocked(event, ask),
            "rows_added" => self.rows_added(event, ask),
            "cabins_changed" => self.replanned(event, ask, seated),
            "policy_changed" => self.policy(event, ask),
            "sale_switched" => self.switched(event, ask),
            "closed_for_good" => self.closed_for_good(event, ask),
            "taken_over" => Ok(()),
            "sale_ended" => must(self.sale.state(event.at) == "closed", "its rules let it go on"),
            "nothing_changed" => {
                let now = Span { from: event.at, to: event.at };
                must(ask.is_some_and(|ask| self.has_nothing_to_do(ask, now)), "there was something to do")
            }
            "waitlist_joined" => self.joined(event, ask),
            "waitlist_left" => self.left(event),
            "waitlist_served" => self.served(event),
            other => Err(format!("an event {other} is not known to the pages")),
        }?;
        // What was refused leaves its key free.
        let is_granted = event.kind != "payment_returned";
        if let (Some(key), Some(ask), true) = (&event.key, ask, is_granted) {
            let before = self.keys.insert((self.owner(ask), key.clone()), (ask.clone(), event.seq));
            must(before.is_none(), "its key was granted before")?;
        }
        Ok(())
    }

    pub(crate) fn take(&mut self, event: &Event, id: &str, seats: &[String]) -> Verdict {
        for seat in seats {
            must(self.cabin(seat).is_some(), "there is no such seat")?;
            must(!self.blocked.contains(seat), "the seat is blocked")?;
            let before = self.taken.insert(seat.clone(), id.to_owned());
            must(before.is_none(), &format!("{seat} of {before:?} is sold twice by {}", event.seq))?;
        }
        Ok(())
    }

    fn fares(&self, seats: &[String]) -> Vec<(String, i64)> {
        let cabins = seats.iter().filter_map(|seat| self.cabin(seat));
        cabins.map(|cabin| (cabin.class.clone(), cabin.fare)).collect()
    }

    fn order(&mut self, event: &Event) -> Result<&mut Order, String> {
        let id = event.order().ok_or("it names no order")?;
        let order = self.orders.get_mut(id).ok_or_else(|| format!("there is no order {id}"))?;
        order.seq = event.seq;
        order.updated = event.at;
        Ok(order)
    }

    pub(crate) fn new_order(&mut self, event: &Event, customer: &str, status: &'static str) -> Verdict {
        let (id, seats) = (event.order().ok_or("it names no order")?.to_owned(), event.seats());
        let held = seats.len() + self.holding(customer);
        must(!seats.is_empty(), "it has no seats")?;
        must(seats.len() <= self.sale.per_order, "it has more seats than one order may have")?;
        must(held <= self.sale.per_customer, "it has more seats than one customer may have")?;
        self.take(event, &id, &seats)?;
        let order = Order {
            customer: customer.to_owned(),
            status,
            fares: self.fares(&seats),
            names: vec![None; seats.len()],
            seats,
            hold_until: read(&event.details["hold_expires_at"]),
            payment_begun: None,
            payment: None,
            created: event.at,
            updated: event.at,
            seq: event.seq,
            placed: event.seq,
        };
        must(event.details["total"] == order.total(), "its total is not what its seats cost")?;
        must(self.orders.insert(id, order).is_none(), "an order has this id already")
    }

    fn placed(&mut self, event: &Event, ask: Option<&Ask>) -> Verdict {
        let Some(Ask::Grab { customer, wanted, class, together, names }) = ask else {
            return Err("it was no grab".to_owned());
        };
        must(self.sale.state(event.at) == "open", "the sale was not open")?;
        let seats = event.seats();
        super::choice::allowed(self, wanted, class.as_deref(), together, &seats)?;
        let hold = (self.sale.hold_seconds > 0).then_some(event.at + self.sale.hold_seconds * 1000);
        must(read(&event.details["hold_expires_at"]) == hold, "its hold is not as long as the sale says")?;
        self.new_order(event, customer, if hold.is_some() { "held" } else { "confirmed" })?;
        let order = self.order(event)?;
        for (place, name) in order.names.iter_mut().zip(names) {
            *place = Some(name.clone());
        }
        Ok(())
    }

    fn confirmed(&mut self, event: &Event, ask: Option<&Ask>) -> Verdict {
        let Some(Ask::Confirm { payment, amount, .. }) = ask else {
            return Err("it was no confirmation".to_owned());
        };
        let order = self.order(event)?;
        must(order.status == "held", "it was not held")?;
        must(order.hold_until.is_some_and(|until| event.at <= until), "its hold had run out")?;
        must(order.total() == *amount, "another amount was paid")?;
        order.status = "confirmed";
        order.payment = Some(payment.clone());
        Ok(())
    }

    fn revived(&mut self, event: &Event, ask: Option<&Ask>) -> Verdict {
        let Some(Ask::Confirm { payment, amount, .. }) = ask else {
            return Err("it was no confirmation".to_owned());
        };
        must(self.sale.state(event.at) != "closed", "the sale was closed")?;
        let order = self.order(event)?;
        must(order.status == "expired", "it had not run out")?;
        must(order.seats == event.seats(), "it got other seats than it had")?;
        must(order.total() == *amount, "another amount was paid")?;
        order.status = "confirmed";
        order.payment = Some(payment.clone());
        self.take(event, event.order().unwrap_or_default(), &event.seats())
    }

    fn ended(&mut self, event: &Event, status: &'static str) -> Verdict {
        let order = self.order(event)?;
        must(if status == "expired" { order.status == "held" } else { order.is_live() }, "it had ended")?;
        let ran_out = order.hold_until.is_some_and(|until| until <= event.at);
        must(status != "expired" || ran_out, "its hold had not run out")?;
        must(order.seats == texts(&event.details["freed"]), "other seats come back than it had")?;
        order.status = status;
        for seat in order.seats.clone() {
            self.taken.remove(&seat);
        }
        Ok(())
    }

    fn payment_begun(&mut self, event: &Event) -> Verdict {
        let grace = self.sale.grace_seconds * 1000;
        let order = self.order(event)?;
        must(order.status == "held", "it was not held")?;
        must(order.payment_begun.is_none(), "its payment had begun before")?;
        let until = order.hold_until.unwrap_or_default().max(event.at + grace);
        must(
            read(&event.details["hold_expires_at"]) == Some(until),
            "the hold does not wait for the payment so",
        )?;
        order.hold_until = Some(until);
        order.payment_begun = Some(event.at);
        Ok(())
    }

    /// Money that came for nothing; the order stays as it is.
    fn payment_returned(&mut self, event: &Event, ask: Option<&Ask>) -> Verdict {
        let Some(Ask::Confirm { payment, .. }) = ask else { return Err("nobody paid".to_owned()) };
        let order = event.order().and_then(|id| self.orders.get(id)).ok_or("there is no such order")?;
        must(event.details["payment_reference"] == **payment, "it was another payment")?;
        let right = match event.details["reason"].as_str() {
            Some("paid_too_late") => order.status == "expired",
            Some("paid_already") => order.status == "confirmed" && order.payment.as_ref() != Some(payment),
            Some("paid_cancelled") => order.status == "cancelled",
            _ => false,
        };
        must(right, "its reason is not the order's state")
    }

    fn changed(&mut self, event: &Event, ask: Option<&Ask>) -> Verdict {
        let Some(Ask::Change { order: id, seats, names }) = ask else {
            return Err("no change was asked for".to_owned());
        };
        let order = self.order(event)?;
        must(order.is_live(), "it had ended")?;
        let (old, total) = (order.seats.clone(), order.total());
        let is_fixed = order.status == "confirmed" || order.payment_begun.is_some();
        let wanted = seats.clone().unwrap_or_else(|| old.clone());
        must(event.seats() == wanted, "it has other seats than asked for")?;
        if seats.is_some() {
            for seat in &old {
                self.taken.remove(seat);
            }
            self.take(event, id, &wanted)?;
            let fares = self.fares(&wanted);
            let order = self.order(event)?;
            if old != wanted {
                order.fares = fares;
            }
            order.seats = wanted;
            must(!is_fixed || order.total() == total, "an order that was paid costs something else now")?;
        }
        let order = self.order(event)?;
        if let Some(names) = names {
            must(names.len() == order.seats.len(), "it has more or fewer names than seats")?;
            order.names.clone_from(names);
        }
        must(event.details["total"] == order.total(), "its total is not what its seats cost")
    }

    fn blocked(&mut self, event: &Event, ask: Option<&Ask>) -> Verdict {
        let Some(Ask::Block { seats }) = ask else { return Err("nobody asked to block".to_owned()) };
        for seat in event.seats() {
            must(seats.contains(&seat) && self.is_free(&seat), "it was not to be blocked, or not free")?;
            self.blocked.insert(seat);
        }
        must(seats.iter().all(|seat| self.blocked.contains(seat)), "not all of them are blocked")
    }

    fn unblocked(&mut self, event: &Event, ask: Option<&Ask>) -> Verdict {
        let Some(Ask::Unblock { seats }) = ask else { return Err("nobody asked to unblock".to_owned()) };
        for seat in event.seats() {
            must(seats.contains(&seat) && self.blocked.remove(&seat), "it was not blocked")?;
        }
        must(!seats.iter().any(|seat| self.blocked.contains(seat)), "not all of them are back")
    }

    fn rows_added(&mut self, event: &Event, ask: Option<&Ask>) -> Verdict {
        let Some(Ask::Rows { cabin }) = ask else { return Err("nobody asked for rows".to_owned()) };
        must(Cabin::read(&event.details["cabins"][0]) == *cabin, "other rows were added")?;
        let there = seats_of(&self.cabins);
        must(seats_of(std::slice::from_ref(cabin)).is_disjoint(&there), "these rows were there")?;
        self.cabins.push(cabin.clone());
        Ok(())
    }

    fn replanned(&mut self, event: &Event, ask: Option<&Ask>, seated: &Seated) -> Verdict {
        let mut blocked = self.blocked.clone();
        let (cabins, may_strand) = match ask {
            Some(Ask::Swap { cabins, cancel_stranded, dry_run: false }) => (cabins.clone(), *cancel_stranded),
            Some(Ask::Withdraw { rows, seats, cancel_stranded, dry_run: false }) => {
                let in_rows = |cabin: &Cabin| -> Vec<String> {
                    let row = |seat: &String| {
                        seat.trim_end_matches(|c: char| !c.is_ascii_digit())
                            .parse::<u16>()
                            .unwrap_or_default()
                    };
                    let within = |seat: &String| rows.is_some_and(|(a, b)| (a..=b).contains(&row(seat)));
                    cabin.seats().flatten().filter(within).collect()
                };
                blocked.extend(self.cabins.iter().flat_map(in_rows));
                blocked.extend(seats.iter().cloned());
                (self.cabins.clone(), *cancel_stranded)
            }
            _ => return Err("nobody asked for another plan".to_owned()),
        };
        let there = seats_of(&cabins);
        blocked.retain(|seat| there.contains(seat));
        let stranded = self.stranded(&cabins, &blocked);
        let cancelled: BTreeSet<String> = texts(&event.details["cancelled"]).into_iter().collect();
        must(cancelled == stranded, &format!("{cancelled:?} are cancelled, but {stranded:?} have no place"))?;
        must(cancelled.is_empty() || may_strand, "orders were not to be cancelled")?;
        let said: BTreeSet<String> = texts(&event.details["blocked"]).into_iter().collect();
        must(said == blocked, &format!("{said:?} are blocked, and {blocked:?} should be"))?;
        self.cabins = cabins;
        self.blocked = blocked;
        self.taken.clear();
        let ids: Vec<String> = self.orders.keys().cloned().collect();
        for id in ids {
            self.reseat(event, &id, seated, cancelled.contains(&id))?;
        }
        Ok(())
    }

    fn reseat(&mut self, event: &Event, id: &str, seated: &Seated, is_cancelled: bool) -> Verdict {
        let order = self.orders[id].clone();
        if !order.is_live() {
            return Ok(());
        }
        let there = |seat: &String| !self.blocked.contains(seat) && self.cabin(seat).is_some();
        let can_stay = order.seats.iter().all(there) && self.fares(&order.seats) == order.fares;
        let mut after = order.clone();
        if is_cancelled {
            after.status = "cancelled";
        } else {
            let new = seated.at.get(id);
            must(can_stay || new.is_some() || !seated.is_untold, UNTOLD)?;
            let seats = new.unwrap_or(&order.seats).clone();
            must(!can_stay || seats == order.seats, &format!("{id} could have kept its seats"))?;
            must(
                self.fares(&seats) == order.fares,
                &format!("{id} sits at {seats:?} in another class or fare"),
            )?;
            self.take(event, id, &seats)?;
            after.seats = seats;
        }
        if after != order {
            (after.seq, after.updated) = (event.seq, event.at);
        }
        self.orders.insert(id.to_owned(), after);
        Ok(())
    }

    fn policy(&mut self, event: &Event, ask: Option<&Ask>) -> Verdict {
        let Some(Ask::Policy { changes }) = ask else {
            return Err("nobody asked for other rules".to_owned());
        };
        for (name, value) in changes {
            must(is_like(&event.details[name], value), "the rules are others")?;
        }
        self.sale = Sale::read(&event.details, &self.sale.switch.clone());
        let ends = self.sale.closes_at.zip(self.sale.opens_at);
        must(ends.is_none_or(|(closes, opens)| closes > opens), "it closes before it opens")
    }

    fn switched(&mut self, event: &Event, ask: Option<&Ask>) -> Verdict {
        let wanted = match ask {
            Some(Ask::Switch { to: "open" }) => "open",
            Some(Ask::Switch { to: "pause" }) => "paused",
            Some(Ask::Switch { to: "close" } | Ask::CallOff) => "closed",
            _ => return Err("nobody switched the sale".to_owned()),
        };
        must(event.details["state"] == wanted, "it was switched to something else")?;
        self.sale = Sale::read(&event.details, wanted);
        must(wanted != "open" || self.sale.state(event.at) == "open", "it was opened, and is not open")
    }

    fn closed_for_good(&mut self, event: &Event, ask: Option<&Ask>) -> Verdict {
        must(matches!(ask, Some(Ask::CallOff)), "nobody called the flight off")?;
        let cancelled: BTreeSet<String> = texts(&event.details["cancelled"]).into_iter().collect();
        let live = self.orders.iter_mut().filter(|(_, order)| order.is_live());
        let mut ended = BTreeSet::new();
        for (id, order) in live {
            (order.status, order.seq, order.updated) = ("cancelled", event.seq, event.at);
            ended.insert(id.clone());
        }
        must(ended == cancelled, &format!("{cancelled:?} are cancelled, and {ended:?} were live"))?;
        self.taken.clear();
        self.sale = Sale::read(&event.details, "closed");
        must(self.sale.state(event.at) == "closed", "it is not closed")
    }
}
