//! Problems as the document has them: for each code its schema and a body as the server writes it.
//! Never says which answers an address can give.

use farerush_engine::flight::{Currency, LimitScope, QuotaOf, Refusal, Seat, Seats, Seq, Timestamp};
use serde_json::Value;
use utoipa::openapi::RefOr;
use utoipa::openapi::example::{Example, ExampleBuilder};

use super::shape::{
    May, Member, Must, Shape, count, list, moment, named, object, one_of_words, string, whole,
};
use crate::parts::auth::Role;
use crate::wire::problem::{Code, Problem};

/// The name of a code's schema: `ProblemSoldOut`.
pub(super) fn schema_name(code: Code) -> String {
    let words = code.as_str().split('_').map(|word| {
        let (first, rest) = word.split_at(1);
        format!("{first}{}", rest.to_ascii_lowercase())
    });
    format!("Problem{}", words.collect::<String>())
}

fn extras(code: Code) -> Vec<Member> {
    match code {
        Code::InvalidRequest => {
            let error = object(
                "",
                vec![
                    ("line", May, count().into(), "In which line of a file, if it is about one."),
                    ("field", Must, string().into(), "Such as `quantity` or `cabins[0].layout`."),
                    ("message", Must, string().into(), "What is wrong with it."),
                ],
            );
            vec![
                (
                    "errors",
                    May,
                    list(error).min_items(Some(1)).into(),
                    "Every bad field, if it is about fields.",
                ),
                ("further_errors", May, count().into(), "How many more mistakes a file has than are named."),
            ]
        }
        Code::NotEnoughSeats => vec![("available", Must, count().into(), "How many are left.")],
        Code::SeatTaken | Code::NoSuchSeat => {
            vec![("seats", May, list(string()).min_items(Some(1)).into(), "Which ones.")]
        }
        Code::AmountMismatch => vec![
            ("total", Must, named("Fare"), "What the order costs."),
            ("seq", Must, count().into(), "The event that made it so."),
        ],
        Code::SaleNotOpen => vec![("opens_at", May, moment().into(), "When it will be, if that is known.")],
        Code::LimitExceeded => vec![
            ("limit", Must, count().into(), "The limit."),
            ("holding", Must, count().into(), "What the customer has already."),
        ],
        _ => Vec::new(),
    }
}

fn schema(code: Code) -> Shape {
    let status = i64::from(code.status().as_u16());
    let page = format!("/docs/errors/{}", code.as_str());
    let mut members: Vec<Member> = vec![
        ("type", Must, one_of_words([page.as_str()]).into(), "The page that says more."),
        ("title", Must, one_of_words([code.title()]).into(), ""),
        ("status", Must, whole(status, status).into(), ""),
        ("detail", Must, string().into(), "What happened, what it means, what to do; for people."),
        ("code", Must, one_of_words([code.as_str()]).into(), "For programs."),
    ];
    members.extend(extras(code));
    object(code.title(), members).into()
}

/// All codes' schemas, and one of the code alone.
pub(super) fn schemas() -> Vec<(String, Shape)> {
    let codes = one_of_words(Code::ALL.iter().map(|code| code.as_str()));
    let codes = codes
        .description(Some("What went wrong, as programs tell it apart; GET /docs/errors explains each."));
    let mut schemas: Vec<_> = Code::ALL.iter().map(|code| (schema_name(*code), schema(*code))).collect();
    schemas.push(("ErrorCode".to_owned(), codes.into()));
    schemas
}

fn seats(names: &[&str]) -> Seats {
    names.iter().flat_map(|name| name.parse::<Seat>()).collect()
}

/// A problem of this code, as a request may meet it.
pub fn example(code: Code) -> Problem {
    let opens_at = Some(Timestamp::from_millis(1_798_102_800_000));
    match code {
        Code::InvalidRequest => Problem::invalid_field("quantity", "must be a whole number from 1 to 10000"),
        Code::Unauthorized => Problem::unauthorized(),
        Code::Forbidden => Problem::role_too_little(Role::Viewer, Role::Operator),
        Code::OriginNotAllowed => Problem::origin_not_allowed(Some("null".into())),
        Code::HostNotAllowed => Problem::host_not_allowed("elsewhere.example"),
        Code::RateLimited => Problem::rate_limited("this customer", 5, 1),
        Code::QuotaExceeded => {
            let whose = QuotaOf::Customer;
            Refusal::QuotaExceeded { whose, kept: 548, limit: 548, wait_seconds: 3600 }.into()
        }
        Code::FlightNotFound => Problem::flight_not_found(),
        Code::OrderNotFound => Problem::order_not_found(),
        Code::WaitlistEntryNotFound => Problem::waitlist_entry_not_found(),
        Code::MethodNotAllowed => Problem::method_not_allowed("GET, HEAD"),
        Code::SoldOut => Refusal::SoldOut.into(),
        Code::NotEnoughSeats => Refusal::NotEnoughSeats { available: 3 }.into(),
        Code::SeatTaken => Refusal::SeatTaken { seats: seats(&["12A"]) }.into(),
        Code::NoSuchSeat => Refusal::NoSuchSeat { seats: seats(&["99K"]) }.into(),
        Code::NotTogether => Refusal::NotTogether.into(),
        Code::OrdersWithoutSeats => Refusal::OrdersWithoutSeats { orders: 2 }.into(),
        Code::SaleNotOpen => Refusal::SaleNotOpen { opens_at }.into(),
        Code::SalePaused => Refusal::SalePaused.into(),
        Code::SaleClosed => Refusal::SaleClosed.into(),
        Code::LimitExceeded => {
            Refusal::LimitExceeded { scope: LimitScope::Customer, limit: 9, holding: 7 }.into()
        }
        Code::HoldExpired => Refusal::HoldExpired.into(),
        Code::AmountMismatch => {
            let Ok(currency) = Currency::new("TWD") else { return Problem::order_not_found() };
            Refusal::AmountMismatch { total: 199_800, currency, seq: Seq(17) }.into()
        }
        Code::OrderNotChangeable => Refusal::OrderNotChangeable { reason: "it is cancelled" }.into(),
        Code::IdempotencyKeyReused => Refusal::IdempotencyKeyReused.into(),
        Code::Overloaded => Problem::overloaded("as many requests as this server takes are under way", 1),
        Code::Elsewhere => Problem::flight_elsewhere(),
        Code::OutcomeUnknown => Problem::outcome_unknown(),
        Code::FlightExists => Problem::new(code, "Nothing was done: DEMO1 exists. Choose another flight_id."),
        Code::PayloadTooLarge => Problem::new(code, "Nothing was done: a body may have at most 65536 bytes."),
        Code::RequestTimeout => {
            Problem::new(code, "Nothing was done: the request's body took too long to arrive.")
        }
        Code::UriTooLong => Problem::new(code, "Nothing was done: the request's address is too long."),
        Code::HeadersTooLarge => {
            Problem::new(code, "Nothing was done: the request's headers are too large or too many.")
        }
        Code::UnsupportedMediaType => Problem::not_json(),
        Code::NotFound => {
            Problem::new(code, "No address of this server is called so. GET /v1/flights is one that is.")
        }
        Code::Internal => Problem::new(code, "Something unforeseen happened here, and its log says more."),
    }
}

/// Bodies of all codes, by their names.
pub(super) fn examples() -> impl Iterator<Item = (&'static str, RefOr<Example>)> {
    Code::ALL.iter().map(|code| {
        let body: Value = serde_json::from_slice(&example(*code).render()).unwrap_or_default();
        let shown = ExampleBuilder::new().summary(code.title()).value(Some(body)).build();
        (code.as_str(), RefOr::T(shown))
    })
}
