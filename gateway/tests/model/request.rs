//! What a client of a history can ask, and how that is written in HTTP, as `docs/api.md` has it.
//! Never decides what the answer should be.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::state::Cabin;

/// Which seats a grab wants.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Wanted {
    Any(usize),
    Named(Vec<String>),
}

/// What a party that waits takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Accept {
    All,
    Together,
    AtLeast(usize),
}

/// A request about one flight. Two that are equal are the same request in the sense of an `Idempotency-Key`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Ask {
    Grab {
        customer: String,
        wanted: Wanted,
        class: Option<String>,
        together: &'static str,
        names: Vec<String>,
    },
    Join {
        customer: String,
        size: usize,
        accept: Accept,
        class: Option<String>,
        until: Option<i64>,
    },
    Leave {
        entry: String,
    },
    Pay {
        order: String,
    },
    Confirm {
        order: String,
        payment: String,
        amount: i64,
    },
    Cancel {
        order: String,
        by_delete: bool,
    },
    Change {
        order: String,
        seats: Option<Vec<String>>,
        names: Option<Vec<Option<String>>>,
    },
    ReadOrder {
        order: String,
    },
    ReadEntry {
        entry: String,
    },
    ReadFlight,
    ReadSeats,
    ReadManifest,
    /// `open`, `pause` or `close`.
    Switch {
        to: &'static str,
    },
    /// `close` with `cancel_orders`.
    CallOff,
    Policy {
        changes: Map<String, Value>,
    },
    Block {
        seats: Vec<String>,
    },
    Unblock {
        seats: Vec<String>,
    },
    Rows {
        cabin: Cabin,
    },
    Swap {
        cabins: Vec<Cabin>,
        cancel_stranded: bool,
        dry_run: bool,
    },
    Withdraw {
        rows: Option<(u16, u16)>,
        seats: Vec<String>,
        cancel_stranded: bool,
        dry_run: bool,
    },
    Restart,
}

/// A time in milliseconds, as the API writes it.
pub(crate) fn written(ms: i64) -> String {
    Timestamp::from_millisecond(ms).expect("a time of our age").to_string()
}

/// A time of an answer, in milliseconds.
pub(crate) fn read(value: &Value) -> Option<i64> {
    Some(value.as_str()?.parse::<Timestamp>().ok()?.as_millisecond())
}

impl Ask {
    /// Method, path and body.
    pub(crate) fn http(&self, flight: &str) -> (&'static str, String, Option<Value>) {
        let admin = |rest: &str| format!("/v1/admin/flights/{flight}{rest}");
        match self {
            Self::Grab { customer, wanted, class, together, names } => {
                let mut body =
                    json!({"customer_id": customer, "together": together, "client_reference": "model"});
                match wanted {
                    Wanted::Any(quantity) => body["quantity"] = json!(quantity),
                    Wanted::Named(seats) => body["seats"] = json!(seats),
                }
                if let Some(class) = class {
                    body["cabin_class"] = json!(class);
                }
                if !names.is_empty() {
                    body["passengers"] = names.iter().map(|name| json!({"name": name})).collect();
                }
                ("POST", format!("/v1/flights/{flight}/orders"), Some(body))
            }
            Self::Join { customer, size, accept, class, until } => {
                let mut body = json!({"customer_id": customer, "party_size": size});
                match accept {
                    Accept::All => {}
                    Accept::Together => body["accept"] = json!("all_together"),
                    Accept::AtLeast(least) => body["accept"] = json!({"at_least": least}),
                }
                if let Some(class) = class {
                    body["cabin_class"] = json!(class);
                }
                if let Some(until) = until {
                    body["expires_at"] = json!(written(*until));
                }
                ("POST", format!("/v1/flights/{flight}/waitlist"), Some(body))
            }
            Self::Leave { entry } => ("DELETE", format!("/v1/waitlist/{entry}"), None),
            Self::Pay { order } => ("POST", format!("/v1/orders/{order}/pay"), None),
            Self::Confirm { order, payment, amount } => {
                let body = super::confirmation(payment, *amount);
                ("POST", format!("/v1/orders/{order}/confirm"), Some(body))
            }
            Self::Cancel { order, by_delete: true } => ("DELETE", format!("/v1/orders/{order}"), None),
            Self::Cancel { order, by_delete: false } => ("POST", format!("/v1/orders/{order}/cancel"), None),
            Self::Change { order, seats, names } => {
                let mut body = json!({});
                if let Some(seats) = seats {
                    body["seats"] = json!(seats);
                }
                if let Some(names) = names {
                    let named = |name: &Option<String>| name.as_ref().map(|name| json!({"name": name}));
                    body["passengers"] = names.iter().map(named).collect::<Vec<_>>().into();
                }
                ("PATCH", format!("/v1/orders/{order}"), Some(body))
            }
            Self::ReadOrder { order } => ("GET", format!("/v1/orders/{order}"), None),
            Self::ReadEntry { entry } => ("GET", format!("/v1/waitlist/{entry}"), None),
            Self::ReadFlight => ("GET", format!("/v1/flights/{flight}"), None),
            Self::ReadSeats => ("GET", format!("/v1/flights/{flight}/seats"), None),
            Self::ReadManifest => ("GET", admin("/manifest"), None),
            Self::Switch { to } => ("POST", admin(&format!("/{to}")), None),
            Self::CallOff => ("POST", admin("/close"), Some(json!({"cancel_orders": true}))),
            Self::Policy { changes } => ("PATCH", admin(""), Some(Value::Object(changes.clone()))),
            Self::Block { seats } => ("POST", admin("/seats/block"), Some(json!({"seats": seats}))),
            Self::Unblock { seats } => ("POST", admin("/seats/unblock"), Some(json!({"seats": seats}))),
            Self::Rows { cabin } => ("POST", admin("/rows"), Some(cabin.json())),
            Self::Swap { cabins, cancel_stranded, dry_run } => {
                let cabins: Vec<Value> = cabins.iter().map(Cabin::json).collect();
                let body = json!({"cabins": cabins, "cancel_stranded": cancel_stranded});
                ("POST", admin(if *dry_run { "/aircraft?dry_run=true" } else { "/aircraft" }), Some(body))
            }
            Self::Withdraw { rows, seats, cancel_stranded, dry_run } => {
                let mut body = json!({"cancel_stranded": cancel_stranded});
                match rows {
                    Some((first, last)) => body["rows"] = json!([first, last]),
                    None => body["seats"] = json!(seats),
                }
                let path = if *dry_run { "/seats/withdraw?dry_run=true" } else { "/seats/withdraw" };
                ("POST", admin(path), Some(body))
            }
            Self::Restart => ("POST", admin("/restart"), None),
        }
    }

    /// Whether it only looks.
    pub(crate) fn is_read(&self) -> bool {
        matches!(
            self,
            Self::ReadOrder { .. }
                | Self::ReadEntry { .. }
                | Self::ReadFlight
                | Self::ReadSeats
                | Self::ReadManifest
        ) || self.is_dry_run()
    }

    /// Whether it tries a seat plan.
    pub(crate) fn is_dry_run(&self) -> bool {
        matches!(self, Self::Swap { dry_run: true, .. } | Self::Withdraw { dry_run: true, .. })
    }

    /// Whether both ask for the same: an order is cancelled in two ways.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Cancel { order: one, .. }, Self::Cancel { order: another, .. }) => one == another,
            _ => self == other,
        }
    }

    /// The order that it is about.
    pub(crate) fn order(&self) -> Option<&str> {
        match self {
            Self::Pay { order }
            | Self::Confirm { order, .. }
            | Self::Cancel { order, .. }
            | Self::Change { order, .. }
            | Self::ReadOrder { order } => Some(order),
            _ => None,
        }
    }
}

/// What came back.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Done {
        status: u16,
        replayed: bool,
        body: Value,
    },
    Refused {
        status: u16,
        code: String,
        body: Value,
    },
    /// OVERLOADED, or nobody listens: nothing was done.
    NotDone(#[allow(dead_code, reason = "it is shown when a history fails")] String),
    /// OUTCOME_UNKNOWN, or the connection broke.
    Unknown(#[allow(dead_code, reason = "it is shown when a history fails")] String),
}

/// A request that was made, and what it came to. `sent` and `got` are places in the order in which this test saw
/// things, `from` and `to` the same moments by the system's clock in milliseconds.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    #[allow(dead_code, reason = "it is shown when a history fails")]
    pub(crate) client: usize,
    pub(crate) ask: Ask,
    pub(crate) key: Option<String>,
    pub(crate) sent: u64,
    pub(crate) got: u64,
    pub(crate) from: i64,
    pub(crate) to: i64,
    pub(crate) answer: Answer,
}

impl Call {
    /// Whether it was answered with no more than how the flight is: a look, or a grab that got nothing new.
    pub(crate) fn shows_only(&self) -> bool {
        let nothing_new = matches!(self.answer, Answer::Refused { .. } | Answer::Done { replayed: true, .. });
        self.ask.is_read() || nothing_new && matches!(self.ask, Ask::Grab { .. })
    }
}
