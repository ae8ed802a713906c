//! One client of the load: chooses what to ask as its scenario says, asks it, and notes what was answered. What has an
//! unknown outcome is asked again under the same key until it has one. Never checks anything that needs other clients.

use std::fmt::Write;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::arguments::Scenario;
use super::connection::{Answer, Connection, NoAnswer};
use super::ledger::{About, Known, Placed, Unresolved};
use super::record::Operation;
use super::wire::{OrderBody, code_of};
use super::worker::{ANSWER_PATIENCE, Worker};

/// How long an unknown outcome is asked after.
const RESOLVE_PATIENCE: Duration = Duration::from_secs(20);
/// Pause before asking after it.
const RESOLVE_PAUSE: Duration = Duration::from_millis(100);
/// Pause after a connection that nobody took, so that a server that is gone is not hammered.
const RECONNECT_PAUSE: Duration = Duration::from_millis(50);
/// An expiry may come by so much sooner than this machine's clock has it.
const CLOCK_SLACK_US: u64 = 2_000_000;

/// What a request came to, as far as it is known without knowing what it was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RequestOutcome {
    /// 2xx.
    Done,
    /// 4xx with a code: it was not done.
    Refused,
    /// Nothing was done, for now: OVERLOADED, ELSEWHERE, RATE_LIMITED, or nobody took the connection.
    NotDone,
    /// Nobody knows.
    Unknown,
}

/// One client with one connection.
#[derive(Debug)]
pub struct Client {
    worker: Rc<Worker>,
    connection: Connection,
    random: fastrand::Rng,
    request: Vec<u8>,
    body: String,
    key: String,
}

/// A grab, as it was asked for.
#[derive(Debug, Clone, Copy)]
struct SentGrab {
    flight: u32,
    customer: u32,
    has_key: bool,
    /// Whether it is sent once more if it wins.
    again: bool,
}

impl Client {
    /// One whose choices follow from `seed`.
    pub(super) fn seeded(worker: Rc<Worker>, seed: u64) -> Self {
        Self {
            connection: Connection::new(worker.run.address, ANSWER_PATIENCE),
            worker,
            random: fastrand::Rng::with_seed(seed),
            request: Vec::with_capacity(512),
            body: String::new(),
            key: String::new(),
        }
    }

    /// Asks until the run is over.
    pub(super) async fn run(mut self) {
        let run = self.worker.run.clone();
        let worker = self.worker.clone();
        loop {
            let due = match &worker.pacer {
                Some(pacer) => pacer.next(run.end).await,
                None => Some(Instant::now()).filter(|now| !run.is_over(*now)),
            };
            let Some(due) = due else { return };
            self.ask(due).await;
        }
    }

    /// One arrival: what it is, follows from the scenario.
    async fn ask(&mut self, due: Instant) {
        let live_orders = self.worker.idle_orders.borrow().len();
        let is_full = live_orders >= self.worker.orders_max;
        let dice = self.random.u8(..100);
        match (self.worker.run.plan.scenario, dice) {
            (Scenario::Rush, _) => self.grab(due).await,
            // Once most seats are sold, as many go back as are sold, so that grabs go on winning.
            (Scenario::Steady, 0..85) if is_full && dice.is_multiple_of(2) => self.cancel(due).await,
            (Scenario::Steady, 0..85) => self.grab(due).await,
            (Scenario::Steady, 85..95) => self.read_order(due).await,
            (Scenario::Steady, _) => self.cancel(due).await,
            (Scenario::Browse, 0..25) => self.list_flights(due).await,
            (Scenario::Browse, 25..60) => self.read_flight(due, "").await,
            (Scenario::Browse, 60..90) => self.read_flight(due, "/seats").await,
            (Scenario::Browse, 90..95) if is_full => self.cancel(due).await,
            (Scenario::Browse, 90..95) => self.grab(due).await,
            (Scenario::Browse, _) => self.read_order(due).await,
            (Scenario::Mixed, 0..35) if is_full => self.cancel(due).await,
            (Scenario::Mixed, 0..35) => self.grab(due).await,
            (Scenario::Mixed, 35..55) => self.confirm(due).await,
            (Scenario::Mixed, 55..65) => self.cancel(due).await,
            (Scenario::Mixed, 65..80) => self.read_order(due).await,
            (Scenario::Mixed, 80..88) => self.read_flight(due, "/seats").await,
            (Scenario::Mixed, 88..96) => self.read_flight(due, "").await,
            (Scenario::Mixed, _) => self.list_flights(due).await,
        }
    }

    /// Sends what is in `request` and counts its outcome.
    async fn exchange(&mut self, operation: Operation, due: Instant) -> (RequestOutcome, Option<Answer>) {
        let answered = self.connection.exchange(&self.request).await;
        let now = Instant::now();
        let count = |status, code: &str| {
            self.worker.recorder.lock().record(operation, due, now, status, code);
        };
        match answered {
            Ok(answer) => {
                let code = match answer.status {
                    200..300 if answer.replayed => "replayed",
                    200..300 => "",
                    _ => code_of(self.connection.body(&answer)),
                };
                count(answer.status, code);
                let came = match (answer.status, code) {
                    (200..300, _) => RequestOutcome::Done,
                    (429, _) | (503, "OVERLOADED" | "ELSEWHERE" | "RATE_LIMITED") => RequestOutcome::NotDone,
                    (400..500, _) => RequestOutcome::Refused,
                    _ => RequestOutcome::Unknown,
                };
                (came, Some(answer))
            }
            Err(NoAnswer::NotConnected(_)) => {
                count(0, "not connected");
                tokio::time::sleep(RECONNECT_PAUSE).await;
                (RequestOutcome::NotDone, None)
            }
            Err(NoAnswer::Lost(error)) => {
                count(0, if error.kind() == std::io::ErrorKind::TimedOut { "timed out" } else { "lost" });
                (RequestOutcome::Unknown, None)
            }
        }
    }

    async fn grab(&mut self, due: Instant) {
        let Some(asked) = self.write_grab() else { return };
        let (mut came, mut answer) = self.exchange(Operation::Grab, due).await;
        let mut may_be_replayed = false;
        if came == RequestOutcome::Unknown {
            self.complain_if_odd(answer.as_ref());
            self.worker.ledger.borrow_mut().unknown += 1;
            if asked.has_key {
                (came, answer) = self.resolve().await;
                may_be_replayed = true;
            }
        }
        match (came, answer) {
            (RequestOutcome::Done, Some(answer)) => {
                if answer.status != 201 && !may_be_replayed {
                    let status = answer.status;
                    self.complain(About::Keys, || {
                        format!("a grab under a new key was answered {status}, not 201")
                    });
                }
                self.won(asked, &answer).await;
            }
            (RequestOutcome::Refused, Some(answer)) => self.refused(asked, &answer),
            (RequestOutcome::Unknown, _) => {
                let unresolved = Unresolved { flight: asked.flight, party: self.worker.run.plan.party };
                self.worker.ledger.borrow_mut().unresolved.push(unresolved);
            }
            _ => {}
        }
    }

    /// Writes a grab; `None` if there is no flight left that could sell to it.
    fn write_grab(&mut self) -> Option<SentGrab> {
        let run = &self.worker.run;
        let mut flight = run.skew.pick(&mut self.random);
        if run.plan.until_sold_out && run.flights[flight].has_refused() {
            let count = run.flights.len();
            flight = (flight..count).chain(0..flight).find(|place| !run.flights[*place].has_refused())?;
        }
        let customer = self.random.u32(..run.plan.customers);
        let again = run.plan.replays > 0.0 && self.random.f64() < run.plan.replays;
        let has_key = run.plan.keys || again;
        self.body.clear();
        // Writing to memory cannot fail.
        let _ = write!(self.body, "{{\"customer_id\":\"c{customer}\",\"quantity\":{}}}", run.plan.party);
        let path = ["/v1/flights/", &run.flights[flight].id, "/orders"];
        let keyed: &[(&str, &str)] = if has_key {
            self.worker.write_key(&mut self.key);
            &[("idempotency-key", &self.key)]
        } else {
            &[]
        };
        self.worker.target.write(&mut self.request, "POST", &path, keyed, Some(self.body.as_bytes()));
        Some(SentGrab { flight: u32::try_from(flight).unwrap_or(u32::MAX), customer, has_key, again })
    }

    /// Notes an order, and sends its grab again now and then.
    async fn won(&mut self, asked: SentGrab, answer: &Answer) {
        let Some(placed) = self.understand(asked, answer) else { return };
        let (order_id, seats) = (placed.order_id.clone(), placed.seats.clone());
        let place = self.note(placed);
        if asked.again {
            let (came, answer) = self.exchange(Operation::Replay, Instant::now()).await;
            match (came, answer) {
                (RequestOutcome::Done, Some(answer)) => {
                    self.worker.ledger.borrow_mut().replayed += 1;
                    let same = OrderBody::parse(self.connection.body(&answer)).map(|(order, its)| {
                        (*order.order_id == *order_id && its == seats, order.order_id.to_owned())
                    });
                    match same {
                        Ok((true, _)) if answer.replayed && answer.status == 200 => {}
                        Ok((true, _)) => self.complain(About::Keys, || {
                            format!("the answer to order {order_id}'s repeated key does not say that it is a replay")
                        }),
                        Ok((false, other)) => self.complain(About::Keys, || {
                            format!("the key of order {order_id} gave order {other} when it was repeated")
                        }),
                        Err(error) => self.complain(About::Answers, || error),
                    }
                }
                (RequestOutcome::Refused, Some(answer)) => {
                    let code = code_of(self.connection.body(&answer)).to_owned();
                    self.complain(About::Keys, || {
                        format!(
                            "the key of order {order_id} was answered {} {code} when it was repeated",
                            answer.status
                        )
                    });
                }
                (RequestOutcome::Unknown, answer) => self.complain_if_odd(answer.as_ref()),
                _ => {}
            }
        }
        if let Some(place) = place {
            self.worker.idle_orders.borrow_mut().push(place);
        }
    }

    /// Puts an order into the ledger; `None` if nobody will ask for it again.
    fn note(&self, placed: Placed) -> Option<u32> {
        let plan = &self.worker.run.plan;
        if !plan.checks && plan.scenario == Scenario::Rush {
            return None;
        }
        let mut ledger = self.worker.ledger.borrow_mut();
        ledger.placed.push(placed);
        let place = u32::try_from(ledger.placed.len() - 1).ok();
        place.filter(|_| plan.scenario != Scenario::Rush)
    }

    /// Understands the order in an answer to a grab, or complains.
    fn understand(&self, asked: SentGrab, answer: &Answer) -> Option<Placed> {
        let run = &self.worker.run;
        let flight = &run.flights[asked.flight as usize];
        let now_us = run.micros(Instant::now());
        let placed = OrderBody::parse(self.connection.body(answer)).and_then(|(order, seats)| {
            let known = match order.status {
                "held" => Known::Held,
                "confirmed" => Known::Confirmed,
                other => return Err(format!("order {} was acknowledged as {other}", order.order_id)),
            };
            if order.flight_id != flight.id || seats.len() != usize::from(run.plan.party) {
                let (id, its, count) = (order.order_id, order.flight_id, seats.len());
                return Err(format!(
                    "order {id} has {count} seats on {its}; asked were {} on {}",
                    run.plan.party, flight.id
                ));
            }
            if order.customer_id.strip_prefix('c').and_then(|number| number.parse().ok())
                != Some(asked.customer)
            {
                return Err(format!("order {} is not for the customer who asked", order.order_id));
            }
            if run.plan.live > 0 {
                flight.deliveries.acknowledged(order.seq, now_us);
            }
            let until_us = match known {
                Known::Held => hold_us(flight.hold_seconds, now_us),
                _ => u64::MAX,
            };
            Ok(Placed {
                order_id: order.order_id.into(),
                flight: asked.flight,
                customer: asked.customer,
                seats,
                seq: order.seq,
                acknowledged_us: now_us,
                until_us,
                known,
            })
        });
        placed.map_err(|error| self.complain(About::Answers, || error)).ok()
    }

    fn refused(&self, asked: SentGrab, answer: &Answer) {
        let run = &self.worker.run;
        let flight = &run.flights[asked.flight as usize];
        match code_of(self.connection.body(answer)) {
            "SOLD_OUT" => run.note_refused(flight, true),
            "NOT_ENOUGH_SEATS" | "NOT_TOGETHER" => run.note_refused(flight, false),
            "LIMIT_EXCEEDED" | "SALE_PAUSED" | "SALE_CLOSED" | "SALE_NOT_OPEN" => {}
            "IDEMPOTENCY_KEY_REUSED" => {
                self.complain(About::Keys, || {
                    format!("{} was used for the first time, and refused as used", self.key)
                });
            }
            code => self.complain(About::Answers, || {
                format!("a grab on {} was answered {} {code}", flight.id, answer.status)
            }),
        }
    }

    /// Sends `request` again until its outcome is known, or patience ends.
    async fn resolve(&mut self) -> (RequestOutcome, Option<Answer>) {
        let until = Instant::now() + RESOLVE_PATIENCE;
        let mut pause = RESOLVE_PAUSE;
        while Instant::now() < until {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
            let (came, answer) = self.exchange(Operation::Retry, Instant::now()).await;
            // "Nothing was done" is said of the retry, not of what came before.
            if matches!(came, RequestOutcome::Done | RequestOutcome::Refused) {
                return (came, answer);
            }
        }
        (RequestOutcome::Unknown, None)
    }

    /// Takes a live order that nobody is busy with.
    fn take_order(&mut self) -> Option<u32> {
        let mut orders = self.worker.idle_orders.borrow_mut();
        let count = orders.len();
        (count > 0).then(|| orders.swap_remove(self.random.usize(..count)))
    }

    fn order(&self, place: u32) -> (Box<str>, Known) {
        let ledger = self.worker.ledger.borrow();
        let placed = &ledger.placed[place as usize];
        (placed.order_id.clone(), placed.known)
    }

    fn change(&self, place: u32, change: impl FnOnce(&mut Placed)) {
        change(&mut self.worker.ledger.borrow_mut().placed[place as usize]);
    }

    async fn confirm(&mut self, due: Instant) {
        let Some(place) = self.take_order() else { return self.grab(due).await };
        let (order_id, known) = self.order(place);
        if known != Known::Held {
            self.worker.idle_orders.borrow_mut().push(place);
            return self.read_order(due).await;
        }
        let run = self.worker.run.clone();
        let (seq, hold_until) = {
            let placed = &self.worker.ledger.borrow().placed[place as usize];
            (placed.seq, placed.until_us)
        };
        self.body.clear();
        let _ = write!(self.body, "{{\"payment_reference\":\"pay-{order_id}\",\"seq\":{seq}}}");
        let path = ["/v1/orders/", &*order_id, "/confirm"];
        // Whoever took the money says so: where that is not a test, an operator.
        let token = run.authorization.as_deref().map(|token| ("authorization", token));
        self.worker.target.write(
            &mut self.request,
            "POST",
            &path,
            token.as_slice(),
            Some(self.body.as_bytes()),
        );
        match self.settle(Operation::Confirm, due, "confirmed").await {
            RequestOutcome::Done => self.change(place, |placed| {
                placed.known = Known::Confirmed;
                placed.until_us = u64::MAX;
            }),
            RequestOutcome::Unknown => self.change(place, |placed| placed.known = Known::HeldOrConfirmed),
            RequestOutcome::Refused if run.micros(Instant::now()) < hold_until => {
                self.complain(About::Orders, || {
                    format!("order {order_id} is held, and could not be confirmed")
                });
                return;
            }
            // It ran out, and nobody need ask for it again.
            RequestOutcome::Refused => return,
            RequestOutcome::NotDone => {}
        }
        self.worker.idle_orders.borrow_mut().push(place);
    }

    async fn cancel(&mut self, due: Instant) {
        let Some(place) = self.take_order() else { return self.grab(due).await };
        let (order_id, _) = self.order(place);
        let path = ["/v1/orders/", &*order_id, "/cancel"];
        self.worker.target.write(&mut self.request, "POST", &path, &[], Some(b"{}"));
        let until_before = self.worker.ledger.borrow().placed[place as usize].until_us;
        // From now on its seats may be sold to others.
        let now_us = self.worker.run.micros(Instant::now());
        self.change(place, |placed| placed.until_us = placed.until_us.min(now_us));
        match self.settle(Operation::Cancel, due, "cancelled").await {
            RequestOutcome::Done => self.change(place, |placed| placed.known = Known::Cancelled),
            RequestOutcome::Unknown => self.change(place, |placed| placed.known = Known::PerhapsCancelled),
            RequestOutcome::Refused => {
                self.change(place, |placed| placed.until_us = until_before);
                self.complain(About::Orders, || {
                    format!("order {order_id} was acknowledged, and could not be cancelled")
                });
            }
            RequestOutcome::NotDone => {
                self.change(place, |placed| placed.until_us = until_before);
                self.worker.idle_orders.borrow_mut().push(place);
            }
        }
    }

    /// Sends a change of an order that may be repeated, until its outcome is known.
    async fn settle(&mut self, operation: Operation, due: Instant, status: &str) -> RequestOutcome {
        let (mut came, mut answer) = self.exchange(operation, due).await;
        if came == RequestOutcome::Unknown {
            self.complain_if_odd(answer.as_ref());
            self.worker.ledger.borrow_mut().unknown += 1;
            (came, answer) = self.resolve().await;
        }
        if let (RequestOutcome::Done, Some(answer)) = (came, answer) {
            match OrderBody::parse(self.connection.body(&answer)) {
                Ok((order, _)) if order.status == status => {}
                // A hold that ran out before it was cancelled stays expired.
                Ok((order, _)) if status == "cancelled" && order.status == "expired" => {}
                Ok((order, _)) => {
                    let (id, its) = (order.order_id.to_owned(), order.status.to_owned());
                    self.complain(About::Answers, || {
                        format!("order {id} is {its} where it was to be {status}")
                    });
                }
                Err(error) => self.complain(About::Answers, || error),
            }
        }
        came
    }

    async fn read_order(&mut self, due: Instant) {
        let Some(place) = self.take_order() else { return self.grab(due).await };
        let (order_id, known) = self.order(place);
        self.worker.target.write(&mut self.request, "GET", &["/v1/orders/", &order_id], &[], None);
        let (came, answer) = self.exchange(Operation::ReadOrder, due).await;
        match (came, answer) {
            (RequestOutcome::Done, Some(answer)) => {
                let flight = self.worker.ledger.borrow().placed[place as usize].flight;
                let may_expire = self.worker.run.flights[flight as usize].hold_seconds > 0;
                match OrderBody::parse(self.connection.body(&answer)) {
                    Ok((order, _)) if known.allows(order.status, may_expire) => {}
                    Ok((order, _)) => {
                        let its = order.status.to_owned();
                        self.complain(About::Orders, || {
                            format!("order {order_id} is {its}, and was {known:?} before")
                        });
                    }
                    Err(error) => self.complain(About::Answers, || error),
                }
            }
            (RequestOutcome::Refused, Some(answer)) => {
                let status = answer.status;
                self.complain(About::Orders, || format!("reading order {order_id} was answered {status}"));
            }
            (_, answer) => self.complain_if_odd(answer.as_ref()),
        }
        self.worker.idle_orders.borrow_mut().push(place);
    }

    async fn list_flights(&mut self, due: Instant) {
        self.worker.target.write(&mut self.request, "GET", &["/v1/flights?limit=20"], &[], None);
        self.read(Operation::ListFlights, due).await;
    }

    /// Reads a flight, or what is under it.
    async fn read_flight(&mut self, due: Instant, under: &str) {
        let place = self.worker.run.skew.pick(&mut self.random);
        let path = ["/v1/flights/", &self.worker.run.flights[place].id, under];
        self.worker.target.write(&mut self.request, "GET", &path, &[], None);
        let operation = if under.is_empty() { Operation::ReadFlight } else { Operation::ReadSeats };
        self.read(operation, due).await;
    }

    async fn read(&mut self, operation: Operation, due: Instant) {
        match self.exchange(operation, due).await {
            (RequestOutcome::Refused, Some(answer)) => self.complain(About::Answers, || {
                format!("{} was answered {}", operation.as_str(), answer.status)
            }),
            (_, answer) => self.complain_if_odd(answer.as_ref()),
        }
    }

    /// Complains of a 500 and its like, which no contract has. What stands between may answer 502 and 504.
    fn complain_if_odd(&self, answer: Option<&Answer>) {
        if let Some(answer) = answer
            && answer.status >= 500
            && !matches!(answer.status, 502..=504)
        {
            let code = code_of(self.connection.body(answer)).to_owned();
            self.complain(About::Answers, || format!("an answer was {} {code}", answer.status));
        }
    }

    fn complain(&self, about: About, text: impl FnOnce() -> String) {
        self.worker.ledger.borrow_mut().complaints.add(about, text);
    }
}

/// Until when a hold that is acknowledged at `now_us` has its seats for certain. It began before that.
fn hold_us(hold_seconds: u32, now_us: u64) -> u64 {
    let oldest_us = u64::try_from(ANSWER_PATIENCE.as_micros()).unwrap_or(u64::MAX);
    let hold_us = u64::from(hold_seconds) * 1_000_000;
    (now_us + hold_us).saturating_sub(CLOCK_SLACK_US + oldest_us.min(hold_us))
}
