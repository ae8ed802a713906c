//! Everything that is not a success, as `application/problem+json` (RFC 9457): the closed set of codes, and the one
//! place where a refusal becomes HTTP. Never decides whether something is refused.

use std::borrow::Cow;
use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use farerush_engine::actor::Overloaded;
use farerush_engine::flight::{Currency, LimitScope, QuotaOf, Refusal, Seats, Seq, Timestamp};
use warp::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use warp::http::{HeaderName, HeaderValue, StatusCode};
use warp::reply::Response;

use crate::base::json::Json;
use crate::base::time;
use crate::observe::traces;
use crate::wire::role::Role;

/// Most characters that are given back of what a client wrote.
const SHOWN_CHARS_MAX: usize = 100;

macro_rules! codes {
    ($($variant:ident $text:literal $status:ident $title:literal;)*) => {
        /// What went wrong, as programs tell it apart.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[expect(missing_docs, reason = "the titles in the table say it")]
        pub enum Code { $($variant),* }

        impl Code {
            /// All codes.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The code as it is written.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }

            /// Its HTTP status.
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status),* }
            }

            /// Its title, for people.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title),* }
            }
        }
    };
}

codes! {
    InvalidRequest "INVALID_REQUEST" BAD_REQUEST "The request is not valid";
    Unauthorized "UNAUTHORIZED" UNAUTHORIZED "A valid bearer token is needed";
    Forbidden "FORBIDDEN" FORBIDDEN "This is not allowed";
    OriginNotAllowed "ORIGIN_NOT_ALLOWED" FORBIDDEN "Pages of this origin may change nothing here";
    HostNotAllowed "HOST_NOT_ALLOWED" MISDIRECTED_REQUEST "This server is not called so";
    FlightNotFound "FLIGHT_NOT_FOUND" NOT_FOUND "There is no such flight";
    OrderNotFound "ORDER_NOT_FOUND" NOT_FOUND "There is no such order";
    WaitlistEntryNotFound "WAITLIST_ENTRY_NOT_FOUND" NOT_FOUND "There is no such waitlist entry";
    NotFound "NOT_FOUND" NOT_FOUND "There is nothing here";
    MethodNotAllowed "METHOD_NOT_ALLOWED" METHOD_NOT_ALLOWED "This method is not for this address";
    RequestTimeout "REQUEST_TIMEOUT" REQUEST_TIMEOUT "The request took too long to arrive";
    PayloadTooLarge "PAYLOAD_TOO_LARGE" PAYLOAD_TOO_LARGE "The body is too large";
    UriTooLong "URI_TOO_LONG" URI_TOO_LONG "The address is too long";
    UnsupportedMediaType "UNSUPPORTED_MEDIA_TYPE" UNSUPPORTED_MEDIA_TYPE "The body must be JSON";
    HeadersTooLarge "HEADERS_TOO_LARGE" REQUEST_HEADER_FIELDS_TOO_LARGE "The headers are too large";
    SoldOut "SOLD_OUT" CONFLICT "Sold out";
    NotEnoughSeats "NOT_ENOUGH_SEATS" CONFLICT "Fewer seats are left than asked for";
    SeatTaken "SEAT_TAKEN" CONFLICT "A seat is not free";
    NoSuchSeat "NO_SUCH_SEAT" BAD_REQUEST "There is no such seat";
    OrdersWithoutSeats "ORDERS_WITHOUT_SEATS" CONFLICT "The new seat plan has no place for some orders";
    NotTogether "NOT_TOGETHER" CONFLICT "No row has so many free seats side by side";
    SaleNotOpen "SALE_NOT_OPEN" CONFLICT "The sale has not begun";
    SalePaused "SALE_PAUSED" CONFLICT "The sale is paused";
    SaleClosed "SALE_CLOSED" CONFLICT "The sale is over";
    LimitExceeded "LIMIT_EXCEEDED" CONFLICT "More than allowed";
    HoldExpired "HOLD_EXPIRED" CONFLICT "The hold has expired";
    AmountMismatch "AMOUNT_MISMATCH" CONFLICT "What was paid is not what the order costs";
    OrderNotChangeable "ORDER_NOT_CHANGEABLE" CONFLICT "The order cannot be changed so";
    FlightExists "FLIGHT_EXISTS" CONFLICT "There is a flight with this id";
    IdempotencyKeyReused "IDEMPOTENCY_KEY_REUSED" UNPROCESSABLE_ENTITY "The idempotency key was used for another request";
    QuotaExceeded "QUOTA_EXCEEDED" TOO_MANY_REQUESTS "The share of what is kept is used up";
    RateLimited "RATE_LIMITED" TOO_MANY_REQUESTS "Too many requests";
    Overloaded "OVERLOADED" SERVICE_UNAVAILABLE "Too busy at the moment; nothing was done";
    Elsewhere "ELSEWHERE" SERVICE_UNAVAILABLE "Another server has the flight; nothing was done";
    OutcomeUnknown "OUTCOME_UNKNOWN" SERVICE_UNAVAILABLE "It is not known whether it was done";
    Internal "INTERNAL" INTERNAL_SERVER_ERROR "Something is broken here";
}

/// One bad field of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// Which, such as `quantity` or `cabins[0].layout`.
    pub field: String,
    /// What is wrong, such as "must be a whole number from 1 to 10000".
    pub message: String,
}

/// One mistake in a line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineError {
    /// Which line, counted from 1.
    pub line: u64,
    /// Which field or column; empty: the whole line.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

/// What a code adds.
#[derive(Debug, Clone, Default)]
struct Extras {
    errors: Vec<FieldError>,
    lines: Vec<LineError>,
    further_errors: u64,
    available: Option<u32>,
    limit: Option<u16>,
    holding: Option<u32>,
    opens_at: Option<Timestamp>,
    seats: Seats,
    /// In minor units, and the event that made it so.
    total: Option<(i64, Currency, Seq)>,
}

/// An answer that is not a success.
#[derive(Debug, Clone)]
pub struct Problem {
    code: Code,
    detail: Cow<'static, str>,
    extras: Option<Box<Extras>>,
    retry_after_seconds: Option<u32>,
    allow: Option<&'static str>,
    is_for_a_moment: bool,
}

/// Marks an answer that would be another one in a moment, or at another server: nothing was done.
#[derive(Debug, Clone, Copy)]
pub struct NotNow;

impl Problem {
    /// A problem with nothing but its detail: what happened, what that means, what to do.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            detail: detail.into(),
            extras: None,
            retry_after_seconds: None,
            allow: None,
            is_for_a_moment: false,
        }
    }

    /// The same, of something that is over in a moment: whoever can wait asks again instead of passing it on.
    #[must_use]
    pub fn for_a_moment(self) -> Self {
        Self { is_for_a_moment: true, ..self }
    }

    /// Bad fields of a request, at least one.
    pub fn invalid(errors: Vec<FieldError>) -> Self {
        let named: Vec<&str> = errors.iter().map(|error| error.field.as_str()).take(5).collect();
        let more = if errors.len() > named.len() { " and others" } else { "" };
        let detail =
            format!("Nothing was done. Correct these and send it again: {}{more}.", named.join(", "));
        let mut problem = Self::new(Code::InvalidRequest, detail);
        problem.extras().errors = errors;
        problem
    }

    /// Bad lines of a file, at least one mistake; `further` ones are not named.
    pub fn bad_lines(mistakes: Vec<LineError>, further: u64) -> Self {
        let all = mistakes.len() as u64 + further;
        let detail = format!(
            "Nothing was done: no flight of the file was created, because of {all} mistakes in it. Correct them and send \
             the file again."
        );
        let mut problem = Self::new(Code::InvalidRequest, detail);
        problem.extras().lines = mistakes;
        problem.extras().further_errors = further;
        problem
    }

    /// Nobody can say whether a file's flights were created.
    pub fn import_unknown() -> Self {
        let detail = "The flights were handed over, but their outcome is not known yet: they may have been created. Send \
                      the same file again with existing=skip; that creates those that are not there.";
        Self { retry_after_seconds: Some(1), ..Self::new(Code::OutcomeUnknown, detail) }
    }

    /// The bad fields that it names.
    pub fn field_errors(&self) -> &[FieldError] {
        self.extras.as_ref().map_or(&[], |extras| &extras.errors)
    }

    /// What it says to people.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// One bad field of a request.
    pub fn invalid_field(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::invalid(vec![FieldError { field: field.into(), message: message.into() }])
    }

    /// A flight that is not there.
    pub fn flight_not_found() -> Self {
        Self::new(Code::FlightNotFound, "No flight has this id. GET /v1/flights lists those there are.")
    }

    /// An order that is not there.
    pub fn order_not_found() -> Self {
        Self::new(Code::OrderNotFound, "No order has this id. Check that it was copied whole.")
    }

    /// An entry of a waitlist that is not there.
    pub fn waitlist_entry_not_found() -> Self {
        let detail = "No waitlist entry has this id, or it stopped waiting more than a day ago. Check that the id was copied \
                      whole.";
        Self::new(Code::WaitlistEntryNotFound, detail)
    }

    /// Nobody can say whether it was done.
    pub fn outcome_unknown() -> Self {
        let detail = "The request was taken, but its outcome is not known yet: it may have been done. Send it again \
                      with the same Idempotency-Key; that gives the same order and never a second one.";
        Self { retry_after_seconds: Some(1), ..Self::new(Code::OutcomeUnknown, detail) }
    }

    /// Nothing was done, because something is too busy or away.
    pub fn overloaded(reason: &str, retry_after_seconds: u32) -> Self {
        let mut detail = String::from("Nothing was done: ");
        detail.push_str(reason);
        detail.push_str(". Wait for as long as Retry-After says and send it again.");
        Self { retry_after_seconds: Some(retry_after_seconds), ..Self::new(Code::Overloaded, detail) }
    }

    /// Nothing was done, because another server has what was asked for: "the flight".
    pub fn elsewhere(what: &str) -> Self {
        let detail = format!(
            "Nothing was done here: {what} by another server. Wait for as long as Retry-After says and send it again; a \
             balancer asks the other server."
        );
        Self { retry_after_seconds: Some(1), ..Self::new(Code::Elsewhere, detail) }
    }

    /// The same of one flight.
    pub fn flight_elsewhere() -> Self {
        Self::elsewhere("the flight is served")
    }

    /// More than there may be: `limit` is how many, `holding` how many there are.
    pub fn limit_exceeded(detail: impl Into<Cow<'static, str>>, limit: u16, holding: u32) -> Self {
        let mut problem = Self::new(Code::LimitExceeded, detail);
        problem.extras().limit = Some(limit);
        problem.extras().holding = Some(holding);
        problem
    }

    /// A method that the address does not know; `allow` lists those that it does.
    pub fn method_not_allowed(allow: &'static str) -> Self {
        let detail = format!("Nothing was done. This address knows {allow}.");
        Self { allow: Some(allow), ..Self::new(Code::MethodNotAllowed, detail) }
    }

    /// An admin's token that is missing, wrong, expired or revoked: which of these is nobody's business.
    pub fn unauthorized() -> Self {
        let detail = "Nothing was done. Send an admin's token that holds as `Authorization: Bearer <token>`; \
                      `farerush token create` makes one, and the server's log says at start where the first one is.";
        Self::new(Code::Unauthorized, detail)
    }

    /// A customer's token that is missing or does not hold, and why.
    pub fn customer_unknown(why: &'static str) -> Self {
        let detail = format!(
            "Nothing was done: send the customer's token as `Authorization: Bearer <token>`. There was no token that \
             holds: {why}."
        );
        Self::new(Code::Unauthorized, detail)
    }

    /// A token whose role may not do this.
    pub fn role_too_little(has: Role, needed: Role) -> Self {
        let (has, needed) = (has.as_str(), needed.as_str());
        let detail = format!(
            "Nothing was done: the token's role is {has}, and this needs {needed}. Ask with such a token."
        );
        Self::new(Code::Forbidden, detail)
    }

    /// Whoever should pay, and says that it was paid.
    pub fn payment_is_for_others_to_tell(is_known_customer: bool) -> Self {
        let detail = "Nothing was done: an order is confirmed by whoever took the money, with an operator's token as \
                      `Authorization: Bearer <token>`. Pay there; the order shows it. (test_payment=true lets customers try \
                      without money.)";
        Self::new(if is_known_customer { Code::Forbidden } else { Code::Unauthorized }, detail)
    }

    /// A customer who names another one.
    pub fn other_customer() -> Self {
        let detail = "Nothing was done: the token is one customer's, and the request names another one. Name the \
                      token's customer, or nobody.";
        Self::new(Code::Forbidden, detail)
    }

    /// A host that this server does not answer as.
    pub fn host_not_allowed(host: &str) -> Self {
        let detail = format!(
            "Nothing was done: this server does not answer as {host}. Ask it by a name of its own. If that is one, its \
             operator adds it to the setting hosts."
        );
        Self::new(Code::HostNotAllowed, detail)
    }

    /// A web page that may not change anything here; `origin` as its browser names it.
    pub fn origin_not_allowed(origin: Option<Cow<'_, str>>) -> Self {
        let page = match origin {
            Some(origin) => format!("a page of {}", origin.chars().take(SHOWN_CHARS_MAX).collect::<String>()),
            None => "another site's page".to_owned(),
        };
        let detail = format!(
            "Nothing was done: the browser says that the request comes from {page}, and that may change nothing here. Order \
             on this server's own pages. If the page is to be let in, the operator adds its origin to the setting \
             cors_origins."
        );
        Self::new(Code::OriginNotAllowed, detail)
    }

    /// A body that is not said to be JSON.
    pub fn not_json() -> Self {
        let detail = "Nothing was done: send the body as JSON, with `Content-Type: application/json`.";
        Self::new(Code::UnsupportedMediaType, detail)
    }

    /// One request too many. `whose` limit it is: "this customer", say.
    pub fn rate_limited(whose: &'static str, per_second: u32, retry_after_seconds: u32) -> Self {
        let detail = format!(
            "Nothing was done: {whose} may ask {per_second} times a second, and has. Wait for as long as Retry-After \
             says and send it again."
        );
        Self { retry_after_seconds: Some(retry_after_seconds), ..Self::new(Code::RateLimited, detail) }
    }

    /// One thing too many that would be kept for a day after it is over.
    fn quota_exceeded(whose: QuotaOf, (kept, limit): (u32, u32), wait_seconds: u32) -> Self {
        let detail = match whose {
            QuotaOf::Customer => format!(
                "Nothing was done: this customer has used up its share of what this flight keeps. {kept} ended orders, \
                 idempotency keys and given up places on the waitlist are remembered, of at most {limit}; each leaves a day \
                 after it ended. Orders that there are can be paid, changed and cancelled without an Idempotency-Key; for \
                 anything else wait for as long as Retry-After says."
            ),
            QuotaOf::Admins => format!(
                "Nothing was done: this flight remembers {kept} idempotency keys of admins, of at most {limit}; each leaves \
                 after a day. Send it without a key, or wait for as long as Retry-After says."
            ),
        };
        Self { retry_after_seconds: Some(wait_seconds), ..Self::new(Code::QuotaExceeded, detail) }
    }

    /// One thing too many of somebody's share, for which the client may come back after `wait`.
    pub fn share_used_up(detail: impl Into<Cow<'static, str>>, wait: Duration) -> Self {
        let wait_seconds = u32::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(u32::MAX).max(1);
        Self { retry_after_seconds: Some(wait_seconds), ..Self::new(Code::QuotaExceeded, detail) }
    }

    /// A seat count that is already known to be gone.
    pub fn sold_out() -> Self {
        Self::new(
            Code::SoldOut,
            "No seat is left, and no order was placed. A cancellation may bring seats back; GET the flight to see.",
        )
    }

    /// Its code.
    pub fn code(&self) -> Code {
        self.code
    }

    fn extras(&mut self) -> &mut Extras {
        self.extras.get_or_insert_default()
    }

    /// The body.
    pub fn render(&self) -> Vec<u8> {
        let mut json = Json::with_capacity(384);
        json.open().key("type").plain(format_args!("/docs/errors/{}", self.code.as_str()));
        json.key("title").text(self.code.title());
        json.key("status").number(self.code.status().as_u16());
        json.key("detail").text(&self.detail);
        json.key("code").text(self.code.as_str());
        if let Some(extras) = &self.extras {
            extras.render(&mut json);
        }
        json.close();
        json.into_bytes()
    }

    /// The body, prepared where it is always the same and asked for all the time.
    pub fn body(&self) -> Bytes {
        static SOLD_OUT: LazyLock<Bytes> = LazyLock::new(|| Problem::sold_out().render().into());
        match self.code {
            Code::SoldOut if self.extras.is_none() => SOLD_OUT.clone(),
            _ => self.render().into(),
        }
    }

    /// The headers that go with it.
    pub fn headers(&self) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        let of_401 = || HeaderValue::from_static("Bearer realm=\"farerush\"");
        let content_type = HeaderValue::from_static("application/problem+json");
        let retry_after = self.retry_after_seconds.map(|seconds| (RETRY_AFTER, HeaderValue::from(seconds)));
        let allow = self.allow.map(|methods| (ALLOW, HeaderValue::from_static(methods)));
        let authenticate = (self.code == Code::Unauthorized).then(|| (WWW_AUTHENTICATE, of_401()));
        [Some((CONTENT_TYPE, content_type)), retry_after, allow, authenticate].into_iter().flatten()
    }

    /// The whole response.
    pub fn into_response(self) -> Response {
        traces::note_code(self.code.as_str());
        let mut response = Response::new(self.body().into());
        if self.code == Code::Elsewhere || self.is_for_a_moment {
            response.extensions_mut().insert(NotNow);
        }
        *response.status_mut() = self.code.status();
        response.headers_mut().extend(self.headers());
        response
    }
}

impl Extras {
    fn render(&self, json: &mut Json) {
        if !self.errors.is_empty() {
            json.key("errors").open_list();
            for error in &self.errors {
                json.open().key("field").text(&error.field).key("message").text(&error.message).close();
            }
            json.close_list();
        }
        if !self.lines.is_empty() {
            json.key("errors").open_list();
            for LineError { line, field, message } in &self.lines {
                json.open().key("line").number(*line).key("field").text(field).key("message").text(message);
                json.close();
            }
            json.close_list().key("further_errors").number(self.further_errors);
        }
        if let Some(available) = self.available {
            json.key("available").number(available);
        }
        if let Some(limit) = self.limit {
            json.key("limit").number(limit);
        }
        if let Some(holding) = self.holding {
            json.key("holding").number(holding);
        }
        if let Some(opens_at) = self.opens_at {
            json.key("opens_at").time(opens_at);
        }
        if let Some((amount, currency, seq)) = self.total {
            json.key("total").open().key("amount").number(amount).key("currency").text(currency.as_str());
            json.close().key("seq").number(seq.0);
        }
        if !self.seats.is_empty() {
            json.key("seats").open_list();
            self.seats.iter().for_each(|seat| {
                json.plain(seat);
            });
            json.close_list();
        }
    }
}

impl From<Overloaded> for Problem {
    fn from(overloaded: Overloaded) -> Self {
        if overloaded.is_elsewhere() {
            return Self::flight_elsewhere();
        }
        let is_for_a_moment = overloaded.is_recovery();
        Self { is_for_a_moment, ..Self::overloaded(overloaded.reason, overloaded.retry_after_seconds) }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::SoldOut => Self::sold_out(),
            Refusal::NotEnoughSeats { available } => {
                let detail = format!("{available} seats are left, and no order was placed. Ask for fewer.");
                let mut problem = Self::new(Code::NotEnoughSeats, detail);
                problem.extras().available = Some(available);
                problem
            }
            Refusal::SeatTaken { seats } => {
                let detail = "Nothing was done, because not all of these seats are free. Choose others from the seat map.";
                Self::about_seats(Code::SeatTaken, detail, seats)
            }
            Refusal::NoSuchSeat { seats } => {
                let detail = "Nothing was done, because the flight (or the cabin asked for) has no such seats. The seat \
                              map shows those there are.";
                Self::about_seats(Code::NoSuchSeat, detail, seats)
            }
            Refusal::NotTogether => Self::new(
                Code::NotTogether,
                "No order was placed. Ask with \"together\":\"preferred\", or for fewer seats.",
            ),
            Refusal::SaleNotOpen { opens_at } => {
                let detail = "No order was placed: the sale has not begun. Try again once it has.";
                let mut problem = Self::new(Code::SaleNotOpen, detail);
                problem.extras().opens_at = opens_at;
                problem
            }
            Refusal::SalePaused => {
                Self::new(Code::SalePaused, "No order was placed: the sale is paused. Try again later.")
            }
            Refusal::TooLateToOpen { departs_at, closes_before_minutes } => {
                let departs_at = time::text(departs_at);
                let ended = match closes_before_minutes {
                    0 => format!("The flight left at {departs_at}. A flight that has left cannot be sold."),
                    minutes => format!(
                        "The flight leaves, or left, at {departs_at}, and its sale ends {minutes} minutes before. Until it \
                         leaves, a smaller closes_before_minutes lets it be sold on."
                    ),
                };
                Self::new(Code::SaleClosed, format!("Nothing was done: the sale cannot be opened. {ended}"))
            }
            Refusal::SaleClosed => Self::new(Code::SaleClosed, "No order was placed: the sale is over."),
            Refusal::LimitExceeded { scope, limit, holding } => {
                let detail = match scope {
                    LimitScope::Order => {
                        format!("No order was placed: one order may have at most {limit} seats.")
                    }
                    LimitScope::Waitlist => format!(
                        "The party was not put on the waitlist: a customer may wait with at most {limit} parties for one \
                         flight, and this one does. Give one of them up first."
                    ),
                    LimitScope::Customer => format!(
                        "No order was placed: a customer may have at most {limit} seats on this flight, and this one \
                         has {holding}."
                    ),
                };
                Self::limit_exceeded(detail, limit, holding)
            }
            Refusal::HoldExpired => Self::new(
                Code::HoldExpired,
                "Nothing was done: the order was not paid in time, and its seats went back on sale. Place a new one.",
            ),
            Refusal::OrderNotChangeable { reason } => {
                Self::new(Code::OrderNotChangeable, format!("Nothing was done to the order: {reason}."))
            }
            Refusal::AmountMismatch { total, currency, seq } => {
                let shown = currency.as_str();
                let detail = format!(
                    "The order was not confirmed: it costs {total} {shown} (in minor units), and that is not what was \
                     paid. It stays as it is. Give the money back, or confirm with the amount that the order costs."
                );
                let mut problem = Self::new(Code::AmountMismatch, detail);
                problem.extras().total = Some((total, currency, seq));
                problem
            }
            Refusal::PaymentNeeded { total, currency } => {
                let shown = currency.as_str();
                let message =
                    format!("must be given with amount and currency: the order costs {total} {shown}");
                Self::invalid_field("payment_reference", message)
            }
            Refusal::PaymentReturned { instead } => {
                let mut problem = Self::from(*instead);
                let noted = " The payment came for nothing: it stands among the flight's refunds.";
                problem.detail.to_mut().push_str(noted);
                problem
            }
            Refusal::OrderNotFound => Self::order_not_found(),
            Refusal::WaitlistEntryNotFound => Self::waitlist_entry_not_found(),
            Refusal::WaitlistFull => Self::overloaded("as many parties wait for this flight as may", 60),
            Refusal::IdempotencyKeyReused => Self::new(
                Code::IdempotencyKeyReused,
                "Nothing was done: this Idempotency-Key came with another request before. Use a new key for a new one.",
            ),
            Refusal::OrdersWithoutSeats { orders } => Self::new(
                Code::OrdersWithoutSeats,
                format!(
                    "Nothing was changed: {orders} orders would lose their seats. Ask with ?dry_run=true which; make \
                     room for them, or say \"cancel_stranded\": true, and they are cancelled."
                ),
            ),
            Refusal::QuotaExceeded { whose, kept, limit, wait_seconds } => {
                Self::quota_exceeded(whose, (kept, limit), wait_seconds)
            }
            Refusal::Invalid { field, message } => Self::invalid_field(field, message),
        }
    }
}

impl Problem {
    fn about_seats(code: Code, detail: &'static str, seats: Seats) -> Self {
        let mut problem = Self::new(code, detail);
        problem.extras().seats = seats;
        problem
    }
}

#[cfg(test)]
mod tests;
