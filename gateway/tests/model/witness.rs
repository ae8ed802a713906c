//! Judges a whole history: every event of the audit was asked for once, every answer is explained by the flight as it
//! was at some moment between the request and its answer, and what was answered before a request counts for it.
//! Never talks to a server.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::judge::Span;
use super::replay::{Event, Seated, UNTOLD};
use super::request::{Answer, Ask, Call, Wanted, read};
use super::state::{Cabin, Flight, text, texts};

/// How far the flight's time and the test's may be apart, in milliseconds: a flight looks at its clock once a turn, and on a
/// crowded machine whoever has looked may wait for a processor before it goes on.
const CLOCK_SLACK_MS: i64 = 250;
/// What is looked at may be a moment old, in milliseconds, unless somebody was told of what is newer.
const MOMENT_MS: i64 = 1000;
/// A hold that is over by so much must have ended, and a party that fits must have been served, in milliseconds.
const OVERDUE_MS: i64 = 3000;

/// A history: what was asked and answered, and the flight's own account of it.
#[derive(Debug)]
pub(crate) struct History {
    pub(crate) calls: Vec<Call>,
    pub(crate) events: Vec<Event>,
    /// When the audit was read, by the system's clock in milliseconds.
    pub(crate) ended: i64,
    /// Whether the flight may have gone from one server to another: "it may show the flight as it was for up to a second".
    pub(crate) has_owners: bool,
    /// The orders of the list, if it said that it was up to date.
    pub(crate) listed: Option<(i64, Vec<Value>)>,
}

struct Court<'a> {
    history: &'a History,
    /// The call of each event, and the event of each call.
    causes: Vec<Option<usize>>,
    claims: Vec<Option<u64>>,
    /// The flight after each event; the first is after event 1.
    states: Vec<Flight>,
}

/// Whether a request may have made this event, as far as their words go.
fn may_cause(ask: &Ask, event: &Event) -> bool {
    let order = || event.order() == ask.order();
    let by = |customer: &String| event.by.as_ref() == Some(customer);
    match (ask, event.kind.as_str()) {
        (Ask::Grab { customer, wanted, names, .. }, "order_placed") => {
            let seats = match wanted {
                Wanted::Any(size) => event.seats().len() == *size,
                Wanted::Named(named) => event.seats() == *named,
            };
            by(customer) && seats && texts(&event.details["passengers"]) == *names
        }
        (Ask::Join { customer, size, .. }, "waitlist_joined") => {
            by(customer) && event.details["party_size"] == *size
        }
        (Ask::Leave { entry }, "waitlist_left") => event.details["waitlist_id"] == **entry,
        (Ask::Pay { .. }, "payment_begun") => order(),
        (Ask::Confirm { payment, .. }, "order_confirmed" | "order_revived") => {
            order() && event.details["payment_reference"] == **payment
        }
        (Ask::Confirm { payment, .. }, "payment_returned") => {
            order() && event.details["payment_reference"] == **payment
        }
        (Ask::Cancel { .. }, "order_cancelled") => order() && event.actor == "customer",
        (Ask::CallOff, "closed_for_good") => true,
        // Where nobody has an order, it is an end of the sale like any other.
        (Ask::CallOff, "sale_switched") => event.details["state"] == "closed",
        (Ask::Change { .. }, "order_changed") => order(),
        (Ask::Switch { to: "open" }, "sale_switched") => event.details["state"] == "open",
        (Ask::Switch { to: "pause" }, "sale_switched") => event.details["state"] == "paused",
        (Ask::Switch { to: "close" }, "sale_switched") => event.details["state"] == "closed",
        (Ask::Policy { changes }, "policy_changed") => {
            changes.iter().all(|(name, value)| is_like(&event.details[name], value))
        }
        (Ask::Rows { cabin }, "rows_added") => Cabin::read(&event.details["cabins"][0]) == *cabin,
        (Ask::Block { seats }, "seats_blocked") | (Ask::Unblock { seats }, "seats_unblocked") => {
            texts(&event.details["seats"]).iter().all(|seat| seats.contains(seat))
        }
        (Ask::Swap { cabins, dry_run: false, .. }, "cabins_changed") => {
            let said = event.details["cabins"].as_array().into_iter().flatten().map(Cabin::read);
            let (mut said, mut wanted): (Vec<Cabin>, Vec<Cabin>) = (said.collect(), cabins.clone());
            said.sort_by_key(|cabin| cabin.rows);
            wanted.sort_by_key(|cabin| cabin.rows);
            said == wanted
        }
        (Ask::Withdraw { seats, dry_run: false, .. }, "cabins_changed") => {
            let blocked = texts(&event.details["blocked"]);
            seats.iter().all(|seat| blocked.contains(seat))
        }
        (Ask::Grab { .. } | Ask::Join { .. } | Ask::Restart, _) => false,
        (Ask::Leave { entry }, "nothing_changed") => event.details["waitlist_id"] == **entry,
        (_, "nothing_changed") => {
            !ask.is_read() && order() && (ask.order().is_some() || event.actor == "admin")
        }
        _ => false,
    }
}

/// Whether both are the same rule: times are the same in whatever way they are written.
pub(crate) fn is_like(said: &Value, wanted: &Value) -> bool {
    said == wanted || read(said).is_some() && read(said) == read(wanted)
}

/// Whether an answer names this event as its own.
fn names(call: &Call, event: &Event) -> bool {
    if event.kind == "payment_returned" {
        // A refusal says so where money has come for nothing; others left it where it was.
        return matches!(&call.answer, Answer::Refused { body, .. }
            if body["detail"].as_str().is_some_and(|detail| detail.contains("stands among the flight's refunds")));
    }
    let Answer::Done { replayed: false, body, .. } = &call.answer else { return false };
    match call.ask {
        _ if event.kind == "nothing_changed" => true,
        Ask::Grab { .. } => body["order_id"] == event.details["order_id"],
        Ask::Join { .. } => body["waitlist_id"] == event.details["waitlist_id"],
        _ if call.ask.order().is_some() || matches!(call.ask, Ask::Leave { .. }) => body["seq"] == event.seq,
        Ask::CallOff => true,
        _ => body["seq"].as_u64().is_some_and(|seq| seq >= event.seq),
    }
}

/// How it is guessed which of several requests that cannot be told apart (without a key, all answered that it was done)
/// caused an event.
#[derive(Debug, Clone, Copy)]
enum Guess {
    /// The one that was told of the earliest event, of these the one that was under way then, of these the first.
    Told,
    /// The one that was under way then, of these the one that was told of the earliest event.
    UnderWay,
    /// The one that asked first, or last.
    First,
    Last,
}

impl History {
    /// What is wrong with it, if anything is; else whether all of it could be judged. It is right if any guess explains all.
    pub(crate) fn judge(&self) -> Result<bool, String> {
        let mut why = None;
        for guess in [Guess::Told, Guess::UnderWay, Guess::First, Guess::Last] {
            for unknown_first in [false, true] {
                match self.judge_by(guess, unknown_first) {
                    Ok(()) => return Ok(true),
                    Err(error) => drop(why.get_or_insert(error)),
                }
            }
        }
        why.map_or(Ok(true), |why| if why.starts_with(UNTOLD) { Ok(false) } else { Err(why) })
    }

    /// `unknown_first`: one of which nobody knows what came of it and that was under way then caused an event rather than one
    /// that was told of it and was not: a payment that comes again is told what the first one was, and causes nothing.
    fn judge_by(&self, guess: Guess, unknown_first: bool) -> Result<(), String> {
        for (place, event) in self.events.iter().enumerate() {
            if event.seq != place as u64 + 1 {
                return Err(format!("the audit has a hole before {event:?}"));
            }
        }
        let mut court = Court {
            history: self,
            causes: vec![None; self.events.len()],
            claims: vec![None; self.calls.len()],
            states: Vec::with_capacity(self.events.len()),
        };
        court.match_events(guess, unknown_first)?;
        court.replay()?;
        for place in 0..self.calls.len() {
            court.judge_call(place).map_err(|why| format!("{why}\n  {:?}", self.calls[place]))?;
        }
        court.judge_end()
    }
}

impl<'a> Court<'a> {
    fn match_events(&mut self, guess: Guess, unknown_first: bool) -> Result<(), String> {
        for event in self.history.events.iter().skip(1) {
            // A flight may be created on sale; that is the admin's, and nobody's request here.
            let at_creation = event.seq == 2 && event.kind == "sale_switched" && event.key.is_none();
            if event.actor == "flight" || at_creation && self.history.events[0].at == event.at {
                continue;
            }
            let calls = self.history.calls.iter().enumerate();
            let candidates: Vec<usize> = calls
                .filter(|(place, call)| {
                    // What is refused is no grant of its key, and need not name it.
                    let same_key = call.key == event.key || event.kind == "payment_returned";
                    let is_left = self.claims[*place].is_none();
                    same_key
                        && is_left
                        && may_cause(&call.ask, event)
                        && call.from - CLOCK_SLACK_MS <= event.at
                })
                .map(|(place, _)| place)
                .collect();
            let call = |place: &usize| &self.history.calls[*place];
            let named =
                |place: &usize| names(call(place), event) && event.at <= call(place).to + CLOCK_SLACK_MS;
            let unknown = |place: &usize| matches!(call(place).answer, Answer::Unknown(_));
            let told = |place: &usize| match &call(place).answer {
                Answer::Done { body, .. } => body["seq"].as_u64().unwrap_or(event.seq),
                _ => event.seq,
            };
            let away = |place: &usize| {
                let away = (call(place).from - event.at).max(event.at - call(place).to).max(0);
                u64::try_from(away).unwrap_or(u64::MAX)
            };
            let likeliness = |place: &&usize| match guess {
                Guess::Told => (told(place), away(place), **place),
                Guess::UnderWay => (away(place), told(place), **place),
                Guess::First => (0, 0, **place),
                Guess::Last => (0, 0, usize::MAX - **place),
            };
            let found = candidates.iter().filter(|place| named(place)).min_by_key(likeliness);
            let lost = candidates.iter().filter(|place| unknown(place)).min_by_key(likeliness);
            let was_rather_lost = unknown_first
                && lost.is_some_and(|lost| away(lost) == 0)
                && found.is_some_and(|found| away(found) > 0);
            let found = if was_rather_lost { lost } else { found.or(lost) };
            let Some(cause) = found.copied() else {
                let near: Vec<&Call> = candidates.iter().map(call).collect();
                return Err(format!(
                    "nobody was told of {event:?}, and nobody may have caused it; near: {near:?}"
                ));
            };
            self.causes[place_of(event.seq)] = Some(cause);
            self.claims[cause].get_or_insert(event.seq);
        }
        Ok(())
    }

    /// What somebody was told of a new plan: whoever sends its request again under its key is told the same.
    fn told_of(&self, event: &Event) -> Option<&'a Value> {
        let cause = &self.history.calls[self.causes[place_of(event.seq)]?];
        let is_it = |call: &&Call| std::ptr::eq(*call, cause) || call.key.is_some() && call.key == cause.key;
        self.history.calls.iter().filter(is_it).find_map(|call| match &call.answer {
            Answer::Done { body, .. } if call.ask == cause.ask => Some(body),
            _ => None,
        })
    }

    /// Where everybody sits after a new plan: from its answer, else from what each order's later events say.
    fn seated(&self, event: &Event) -> Seated {
        let mut seated = BTreeMap::new();
        if let Some(body) = self.told_of(event) {
            for moved in body["moved"].as_array().into_iter().flatten() {
                seated.insert(text(&moved["order_id"]), texts(&moved["to"]));
            }
            return Seated { at: seated, is_untold: false };
        }
        // Whoever looked at an order that this plan was the last to change has seen it.
        for call in &self.history.calls {
            if let (Ask::ReadOrder { order }, Answer::Done { body, .. }) = (&call.ask, &call.answer)
                && body["seq"] == event.seq
            {
                let seats = body["seats"].as_array().into_iter().flatten();
                seated.entry(order.clone()).or_insert(seats.map(|seat| text(&seat["seat"])).collect());
            }
        }
        let mut murky = BTreeSet::new();
        for event in &self.history.events[place_of(event.seq) + 1..] {
            if event.kind == "cabins_changed" {
                // The next plan tells from where it moved people; if nobody was told, nothing behind it tells of this one.
                let Some(body) = self.told_of(event) else { break };
                for moved in body["moved"].as_array().into_iter().flatten() {
                    let order = text(&moved["order_id"]);
                    if !murky.contains(&order) {
                        seated.entry(order).or_insert(texts(&moved["from"]));
                    }
                }
                continue;
            }
            let Some(order) = event.order() else { continue };
            let (freed, seats) = (texts(&event.details["freed"]), event.seats());
            let before = match event.kind.as_str() {
                "order_placed" | "waitlist_served" => continue,
                // It names the seats that it gave up, and not those that it kept.
                "order_changed" if freed.is_empty() => seats,
                "order_changed" if freed.len() < seats.len() => Vec::new(),
                _ if freed.is_empty() => seats,
                _ => freed,
            };
            // Some, like the beginning of a payment, say nothing of seats.
            if !before.is_empty() && !murky.contains(order) {
                seated.entry(order.to_owned()).or_insert(before);
            } else if event.kind == "order_changed" {
                murky.insert(order.to_owned());
            }
        }
        Seated { at: seated, is_untold: true }
    }

    fn replay(&mut self) -> Result<(), String> {
        let mut flight = Flight::created(&self.history.events[0]);
        self.states.push(flight.clone());
        for event in &self.history.events[1..] {
            let seated = if event.kind == "cabins_changed" { self.seated(event) } else { Seated::default() };
            let cause = self.causes[place_of(event.seq)].map(|cause| &self.history.calls[cause]);
            let created_open = Ask::Switch { to: "open" };
            let ask = match cause {
                None if event.actor != "flight" => Some(&created_open),
                cause => cause.map(|call| &call.ask),
            };
            flight.apply(event, ask, &seated).map_err(|why| format!("{why}\n  {event:?}\n  {cause:?}"))?;
            self.states.push(flight.clone());
        }
        Ok(())
    }

    fn state(&self, seq: u64) -> &Flight {
        &self.states[place_of(seq)]
    }

    /// The newest event that an answer has shown.
    fn shown(&self, place: usize) -> u64 {
        let call = &self.history.calls[place];
        let said = match &call.answer {
            Answer::Done { body, .. } => body["seq"].as_u64().unwrap_or(0),
            _ => 0,
        };
        let claimed =
            if matches!(call.answer, Answer::Done { .. }) { self.claims[place].unwrap_or(0) } else { 0 };
        said.max(claimed)
    }

    /// First and last event after which the flight may have been looked at for a call.
    fn window(&self, place: usize) -> (u64, u64) {
        let call = &self.history.calls[place];
        let last = self.history.events.len() as u64;
        let (mut low, mut high) = (1, last);
        let may_be_old = self.history.has_owners && call.shows_only();
        for (other, earlier) in self.history.calls.iter().enumerate() {
            if earlier.got < call.sent && !may_be_old {
                low = low.max(self.shown(other));
            }
            if earlier.sent > call.got
                && let Some(seq) = self.claims[other]
            {
                high = high.min(seq - 1);
            }
        }
        let age = if call.ask.is_read() || may_be_old { MOMENT_MS } else { CLOCK_SLACK_MS };
        for event in &self.history.events {
            if event.at < call.from - age {
                low = low.max(event.seq);
            }
            if event.at > call.to + CLOCK_SLACK_MS {
                high = high.min(event.seq - 1);
            }
        }
        (low, high)
    }

    fn judge_call(&self, place: usize) -> Result<(), String> {
        let call = &self.history.calls[place];
        let (low, high) = self.window(place);
        let span = Span { from: call.from - CLOCK_SLACK_MS, to: call.to + CLOCK_SLACK_MS };
        if low > high && !matches!(call.answer, Answer::Unknown(_) | Answer::NotDone(_)) {
            return Err(format!("it ended before event {low} was shown, and began after {high}"));
        }
        // One whose outcome nobody was told of may have come to it later.
        let high_for_it = if matches!(call.answer, Answer::Unknown(_)) { u64::MAX } else { high };
        if let Some(seq) = self.claims[place]
            && !(low < seq && seq <= high_for_it)
        {
            return Err(format!("its event {seq} is not within {low}..{high}"));
        }
        match &call.answer {
            Answer::NotDone(_) | Answer::Unknown(_) => Ok(()),
            Answer::Refused { status, code, body } => {
                if !(400..500).contains(status) {
                    return Err("a refusal of another kind".to_owned());
                }
                self.judge_refusal(call, (low, high), span, code, body)
            }
            Answer::Done { status, replayed, body } => {
                let is_new = !replayed && matches!(call.ask, Ask::Grab { .. } | Ask::Join { .. });
                if *status != if is_new { 201 } else { 200 } {
                    return Err("a success of another kind".to_owned());
                }
                self.judge_success(place, (low, high), span, *replayed, body)
            }
        }
    }

    /// What is known of a call's key: the request it stands for, surely at the window's beginning, perhaps at its end.
    fn key(&self, call: &Call, (low, high): (u64, u64)) -> (Option<&Ask>, Option<&Ask>) {
        let Some(key) = call.key.as_ref().filter(|_| !call.ask.is_read()) else { return (None, None) };
        let key = (self.state(high).owner(&call.ask), key.clone());
        let granted = |seq: u64| self.state(seq).keys.get(&key).map(|(ask, _)| ask);
        (granted(low), granted(high))
    }

    fn judge_refusal(
        &self,
        call: &Call,
        (low, high): (u64, u64),
        span: Span,
        code: &str,
        body: &Value,
    ) -> Result<(), String> {
        let (sure, perhaps) = self.key(call, (low, high));
        if code == "IDEMPOTENCY_KEY_REUSED" {
            let other = perhaps.is_some_and(|ask| !ask.is_same(&call.ask));
            return if other { Ok(()) } else { Err("its key was not used".to_owned()) };
        }
        if sure.is_some_and(|ask| ask.is_same(&call.ask)) {
            return Err(format!("it was granted under its key, and is refused with {code}"));
        }
        let mut why = String::new();
        for seq in low..=high {
            match self.state(seq).may_refuse(&call.ask, code, body, span) {
                Ok(()) => return Ok(()),
                Err(error) => why = error,
            }
        }
        Err(format!("no moment in {low}..={high} explains it: {why}"))
    }

    fn judge_success(
        &self,
        place: usize,
        (low, high): (u64, u64),
        span: Span,
        replayed: bool,
        body: &Value,
    ) -> Result<(), String> {
        let call = &self.history.calls[place];
        if call.ask == Ask::Restart {
            return Ok(());
        }
        let (sure, perhaps) = self.key(call, (low, high));
        if sure.is_some_and(|ask| !ask.is_same(&call.ask)) {
            return Err("its key stood for another request".to_owned());
        }
        if replayed {
            let known = perhaps.is_some_and(|ask| ask.is_same(&call.ask));
            if !known {
                return Err("it is said to repeat what never was".to_owned());
            }
            self.judge_replay(call, high, body)?;
        } else if sure.is_some() && self.claims[place].is_none() {
            return Err("its key was granted before, and it does not say that it is a repetition".to_owned());
        }
        let is_change = !call.ask.is_read() && call.ask != Ask::Restart && !replayed;
        let claim = self.claims[place];
        if is_change && claim.is_none() {
            let quiet = (low..=high).any(|seq| self.state(seq).has_nothing_to_do(&call.ask, span));
            if !quiet || call.key.is_some() {
                return Err(format!("it was acknowledged and is not in the audit ({low}..={high})"));
            }
        }
        let first = claim.unwrap_or(low);
        let mut why = "nothing does".to_owned();
        for seq in first..=high {
            match self.state(seq).says(&call.ask, body, span) {
                Ok(()) => return Ok(()),
                Err(error) if seq == first || body["seq"] == seq => why = error,
                Err(_) => {}
            }
        }
        Err(format!("no moment in {first}..={high} explains it: {why}"))
    }

    /// A repeated request leads to what the first one made.
    fn judge_replay(&self, call: &Call, high: u64, body: &Value) -> Result<(), String> {
        let Some(key) = call.key.clone() else { return Err("it repeats nothing: it has no key".to_owned()) };
        let key = (self.state(high).owner(&call.ask), key);
        let Some((_, seq)) = self.state(high).keys.get(&key) else { return Ok(()) };
        let details = &self.history.events[place_of(*seq)].details;
        let same = match call.ask {
            Ask::Grab { .. } => body["order_id"] == details["order_id"],
            Ask::Join { .. } => body["waitlist_id"] == details["waitlist_id"],
            _ => true,
        };
        if same { Ok(()) } else { Err(format!("event {seq} was made under its key, and it leads elsewhere")) }
    }

    fn judge_end(&self) -> Result<(), String> {
        let last = self.states.last().ok_or("no event")?;
        let early = self.history.ended - OVERDUE_MS;
        for (id, order) in &last.orders {
            if order.status == "held" && order.hold_until.is_some_and(|until| until < early) {
                return Err(format!("{id} should have run out: {order:?}"));
            }
        }
        if last.at < early
            && let Some(entry) = last.owed(last.at)
        {
            return Err(format!("there are seats for {entry:?}"));
        }
        let Some((asked, listed)) = &self.history.listed else { return Ok(()) };
        let ids: Vec<String> = listed.iter().map(|order| text(&order["order_id"])).collect();
        if let Some(missing) = last
            .orders
            .iter()
            .find(|(id, order)| order.created < asked - MOMENT_MS && !ids.contains(id))
            .map(|(id, _)| id)
        {
            return Err(format!("{missing} is not in the list of orders"));
        }
        for order in listed {
            let said =
                last.orders.get(&text(&order["order_id"])).ok_or_else(|| format!("listed: {order}"))?;
            // Holds that ran out since are for the next look.
            if order["status"] != said.status && order["seq"].as_u64().is_none_or(|seq| seq >= said.seq) {
                return Err(format!("the list says {order}, the flight {said:?}"));
            }
        }
        Ok(())
    }
}

fn place_of(seq: u64) -> usize {
    usize::try_from(seq).unwrap_or(usize::MAX) - 1
}
