//! What requests may hold: ids, parameters and bodies, with the bounds that the code itself checks by.
//! Never describes an answer.

use farerush_engine::flight::cabin::{
    CABINS_PER_FLIGHT_MAX, FARE_AMOUNT_MAX, ROW_MAX, SEATS_PER_FLIGHT_MAX, SEATS_PER_ROW_MAX,
};
use farerush_engine::flight::ids::{
    CUSTOMER_ID_CHARS_MAX, FLIGHT_ID_CHARS_MAX, IDEMPOTENCY_KEY_CHARS_MAX, PASSENGER_NAME_BYTES_MAX,
    REFERENCE_CHARS_MAX, TIME_ZONE_CHARS_MAX,
};
use farerush_engine::flight::sale::{
    CLOSES_BEFORE_MINUTES_MAX, HOLD_SECONDS_MAX, PAYMENT_GRACE_SECONDS_MAX, SEATS_LIMIT_MAX,
};
use farerush_engine::flight::{CabinClass, aircraft::AIRCRAFT};
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder};

use super::shape::{
    May, Member, Must, Shape, boolean, list, moment, named, nothing, one_of_words, or_null, strict, string,
    text, whole,
};
use crate::wire::query::{CURSOR_CHARS_MAX, PAGE_DEFAULT, PAGE_MAX};

/// What nobody sees (`names::is_unseen`) and control characters, for a class of a pattern. Those beyond the Basic Multilingual
/// Plane are left away: how a pattern writes them, programs that read patterns do not agree on.
macro_rules! unseen {
    () => {
        "\\u0000-\\u001f\\u007f-\\u009f\\u00ad\\u034f\\u0600-\\u0605\\u061c\\u06dd\\u070f\\u0890\\u0891\\u08e2\\u115f\\u1160\
         \\u17b4\\u17b5\\u180b-\\u180f\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u206f\\u2800\\u3164\\ufe00-\\ufe0f\\ufeff\
         \\uffa0\\ufff0-\\ufffb"
    };
}
/// White space, likewise.
macro_rules! white {
    () => {
        "\\u0020\\u00a0\\u1680\\u2000-\\u200a\\u202f\\u205f\\u3000"
    };
}
/// Nothing that nobody sees, and no white space at either end.
const PLAIN: &str =
    concat!("^[^", unseen!(), white!(), "]([^", unseen!(), "]*[^", unseen!(), white!(), "])?$");
/// A row and a letter.
const SEAT: &str = "^[1-9][0-9]{0,2}[A-HJ-Za-hj-z]$";
/// A day of the years 1970 to 9999, leap days included.
const DAY: &str = "((19[7-9][0-9]|[2-9][0-9]{3})-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|\
                   (0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))|\
                   (19(7[26]|8[048]|9[26])|[2-9][0-9](0[48]|[2468][048]|[13579][26])|([2468][048]|[3579][26])00)-02-29)";
/// A time of a day with its offset.
const TIME: &str =
    "T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])";

/// A flight's id.
pub(super) fn flight_id() -> ObjectBuilder {
    text(1, FLIGHT_ID_CHARS_MAX, "^[A-Za-z0-9_-]+$")
}

/// A customer's id.
pub(super) fn customer_id() -> ObjectBuilder {
    text(1, CUSTOMER_ID_CHARS_MAX, PLAIN)
}

/// An `Idempotency-Key`.
pub(super) fn idempotency_key() -> ObjectBuilder {
    text(1, IDEMPOTENCY_KEY_CHARS_MAX, "^[!-~]+$")
}

/// A `Request-Timeout`. Less than half a second is taken, too, but few answers come as quick.
pub(super) fn request_timeout() -> ObjectBuilder {
    string().pattern(Some("^([1-9][0-9]{0,8}(\\.[0-9]{1,9})?|0\\.[5-9][0-9]{0,8})$"))
}

/// An airport's code, in either case.
pub(super) fn airport() -> ObjectBuilder {
    text(3, 3, "^[A-Za-z]{3}$")
}

/// The name of a time zone.
fn time_zone() -> ObjectBuilder {
    text(1, TIME_ZONE_CHARS_MAX, "^[A-Za-z0-9/_+-]+$")
}

/// A day of the calendar.
pub(super) fn day() -> ObjectBuilder {
    text(10, 10, &format!("^{DAY}$"))
}

/// Entries of a page.
pub(super) fn limit() -> ObjectBuilder {
    whole(1, i64::try_from(PAGE_MAX).unwrap_or(i64::MAX)).default(Some(PAGE_DEFAULT.into()))
}

/// A `next_cursor`: hexadecimal, and in it what `pattern` says.
pub(super) fn cursor(pattern: &str) -> ObjectBuilder {
    text(2, CURSOR_CHARS_MAX, pattern)
}

pub(super) fn a_moment() -> ObjectBuilder {
    moment().pattern(Some(format!("^{DAY}{TIME}$")))
}

pub(super) fn reference() -> ObjectBuilder {
    text(1, REFERENCE_CHARS_MAX, PLAIN)
}

pub(super) fn cabin_class() -> ObjectBuilder {
    one_of_words(CabinClass::ALL.map(CabinClass::as_str))
}

/// How many they may be, the flight and the body's size decide.
pub(super) fn seats() -> Shape {
    list(text(2, 4, SEAT)).min_items(Some(1)).unique_items(true).into()
}

fn passengers() -> Shape {
    list(or_null(named("PassengerName"))).into()
}

fn limit_of_seats() -> ObjectBuilder {
    whole(1, SEATS_LIMIT_MAX.into())
}

fn policy(clearing: &'static str) -> Vec<Member> {
    vec![
        ("opens_at", May, or_null(a_moment()), clearing),
        ("closes_at", May, or_null(a_moment()), "From when the sale is closed; after `opens_at`."),
        (
            "max_seats_per_order",
            May,
            or_null(limit_of_seats()),
            "Most seats of one order; 9 if nothing is said.",
        ),
        (
            "max_seats_per_customer",
            May,
            or_null(limit_of_seats()),
            "Most seats that a customer may have in live orders of the flight; 9 if nothing is said.",
        ),
        (
            "hold_seconds",
            May,
            or_null(whole(0, HOLD_SECONDS_MAX.into())),
            "How long an unpaid order keeps its seats; 0 (if nothing is said) confirms a grab at once.",
        ),
        (
            "payment_grace_seconds",
            May,
            or_null(whole(0, PAYMENT_GRACE_SECONDS_MAX.into())),
            "How much longer, from when its payment began, an order keeps its seats; 120 if nothing is said.",
        ),
        (
            "closes_before_minutes",
            May,
            or_null(whole(0, CLOSES_BEFORE_MINUTES_MAX.into())),
            "How long before departure the sale closes by itself; 0 (if nothing is said): when the flight leaves.",
        ),
    ]
}

fn grab(wanted: [Member; 2], description: &str) -> ObjectBuilder {
    let together = one_of_words(["required", "preferred", "any"]);
    let mut members = vec![("customer_id", Must, customer_id().into(), "Who orders.")];
    members.extend(wanted);
    members.extend([
        ("cabin_class", May, or_null(cabin_class()), "Only seats of this class, which the flight must have."),
        (
            "together",
            May,
            or_null(together),
            "Whether the seats must be side by side: `required`, `preferred` (if nothing is said) or `any`.",
        ),
        (
            "passengers",
            May,
            or_null(passengers()),
            "Who flies, in the order of the seats; not more than seats.",
        ),
        ("client_reference", May, or_null(reference()), "The client's own reference, given back as it came."),
    ]);
    strict(description, members)
}

fn orders() -> Vec<(&'static str, Shape)> {
    let quantity = whole(1, SEATS_LIMIT_MAX.into());
    let either = OneOfBuilder::new().description(Some("So many seats, or certain ones."));
    vec![
        ("Grab", either.item(named("GrabByQuantity")).item(named("GrabBySeats")).into()),
        (
            "GrabByQuantity",
            grab(
                [
                    ("quantity", Must, quantity.into(), "How many seats; the flight chooses them."),
                    ("seats", May, nothing().into(), ""),
                ],
                "So many seats, which the flight chooses.",
            )
            .into(),
        ),
        (
            "GrabBySeats",
            grab(
                [
                    ("seats", Must, seats(), "Which seats, such as `12A`; all of them or none."),
                    ("quantity", May, nothing().into(), ""),
                ],
                "Certain seats, all of them or none.",
            )
            .into(),
        ),
        (
            "ChangeOrder",
            OneOfBuilder::new()
                .description(Some("Other seats, other names, or both."))
                .item(named("ChangeSeats"))
                .item(named("ChangePassengers"))
                .into(),
        ),
        (
            "ChangeSeats",
            strict(
                "Other seats, perhaps other names.",
                vec![
                    ("seats", Must, seats(), "As many as the order has, in the order of its passengers."),
                    ("passengers", May, or_null(passengers()), "Who flies, in the order of the seats."),
                ],
            )
            .into(),
        ),
        (
            "ChangePassengers",
            strict(
                "Other names.",
                vec![
                    ("passengers", Must, passengers(), "Who flies, in the order of the seats."),
                    ("seats", May, nothing().into(), ""),
                ],
            )
            .into(),
        ),
        (
            "Confirm",
            strict(
                "What the order was paid with, and for what: amount and currency, or seq. An order that costs nothing takes \
                 an empty object.",
                vec![
                    ("payment_reference", May, reference().into(), "The payment's reference."),
                    ("amount", May, whole(0, i64::MAX).into(), "What was paid, in minor units."),
                    ("currency", May, text(3, 3, "^[A-Z]{3}$").into(), "ISO 4217."),
                    ("seq", May, whole(1, i64::MAX).into(), "In place of both: `seq` of the order that was paid for."),
                ],
            )
            .into(),
        ),
    ]
}

fn parts() -> Vec<(&'static str, Shape)> {
    let name = or_null(text(1, PASSENGER_NAME_BYTES_MAX, PLAIN));
    let currency = text(3, 3, "^[A-Z]{3}$");
    let row = || whole(1, ROW_MAX.into());
    // Letters that go up, one space for each aisle: a regular expression that says it whole would be a page long.
    let layout = text(1, 2 * SEATS_PER_ROW_MAX - 1, "^[A-HJ-Z]+( [A-HJ-Z]+)*$");
    vec![
        ("PassengerName", strict("Who flies.", vec![("name", May, name, "As the passenger list shows it.")]).into()),
        (
            "Fare",
            strict(
                "The price of a seat.",
                vec![
                    ("amount", Must, whole(0, FARE_AMOUNT_MAX).into(), "Minor units of the currency."),
                    ("currency", Must, currency.into(), "ISO 4217; the same for the whole flight."),
                ],
            )
            .into(),
        ),
        (
            "NewCabin",
            strict(
                "A section of rows of one class, one layout, one fare.",
                vec![
                    ("cabin_class", Must, cabin_class().into(), "Class of travel."),
                    (
                        "rows",
                        Must,
                        list(row()).min_items(Some(2)).max_items(Some(2)).into(),
                        "First and last row; no row is in two cabins.",
                    ),
                    (
                        "layout",
                        Must,
                        layout.into(),
                        "Letters from left to right, going up, at most 16, a space for each aisle: `ABC DEF`.",
                    ),
                    ("fare", Must, named("Fare"), "The price of a seat here."),
                ],
            )
            .into(),
        ),
        (
            "Close",
            strict(
                "What closing takes with it.",
                vec![("cancel_orders", May, or_null(boolean()), "True: all live orders are cancelled.")],
            )
            .into(),
        ),
        ("SeatList", strict("Some seats.", vec![("seats", Must, seats(), "Each such as `12A`.")]).into()),
        (
            "PolicyChange",
            strict(
                "The rules of a sale; what is not there stays as it is.",
                policy("From when a scheduled sale is open; null clears it."),
            )
            .into(),
        ),
    ]
}

fn new_flight(seats: Vec<Member>, description: &str) -> ObjectBuilder {
    let number = text(3, 8, "^([A-Z][A-Z0-9]|[0-9][A-Z]|[A-Z]{3})[0-9]{1,4}[A-Z]?$");
    let mut sale = policy("From when the sale is open by itself; without it, it waits for `open`.");
    sale.insert(
        0,
        (
            "state",
            May,
            or_null(one_of_words(["scheduled", "open"])),
            "Whether it is open from the start; scheduled if nothing is said.",
        ),
    );
    let mut members = vec![
        (
            "flight_id",
            May,
            or_null(flight_id()),
            "Its id; `<flight_number>-<service_date>` if nothing is said: `FR101-20261224`.",
        ),
        ("flight_number", Must, number.into(), "An airline's code and a number."),
        ("origin", Must, airport().into(), "IATA code."),
        ("destination", Must, airport().into(), "IATA code, not the origin's."),
        ("departs_at", Must, a_moment().into(), "In the future, with an offset; kept in UTC."),
        (
            "origin_time_zone",
            May,
            or_null(time_zone()),
            "The time zone of the origin, an IANA name; that of the airport if nothing is said. Needed where none is known.",
        ),
    ];
    members.extend(seats);
    members.push(("sale", May, or_null(strict("", sale)), "When and how its seats may be grabbed."));
    strict(description, members)
}

/// The seats of a named type of aircraft; `fares` says what happens to a class it does not name.
pub(super) fn of_aircraft(fares: &'static str) -> Vec<Member> {
    let templates = one_of_words(AIRCRAFT.iter().map(|aircraft| aircraft.name));
    let by_class = CabinClass::ALL
        .map(|class| (class.as_str(), May, or_null(named("Fare")), ""))
        .into_iter()
        .collect::<Vec<Member>>();
    vec![
        ("aircraft", Must, templates.into(), "A named type of aircraft, for its cabins."),
        ("fare", May, or_null(named("Fare")), "The fare of every cabin that `fares` does not name."),
        ("fares", May, or_null(strict("", by_class)), fares),
        ("cabins", May, nothing().into(), ""),
    ]
}

/// The seats of cabins of its own.
pub(super) fn of_cabins() -> Vec<Member> {
    let cabins = list(named("NewCabin")).min_items(Some(1)).max_items(Some(CABINS_PER_FLIGHT_MAX));
    vec![
        ("cabins", Must, cabins.into(), "They have their own fares."),
        ("aircraft", May, nothing().into(), ""),
        ("fare", May, nothing().into(), ""),
        ("fares", May, nothing().into(), ""),
    ]
}

fn flights() -> Vec<(&'static str, Shape)> {
    let of_aircraft = of_aircraft("Fares by class; with no `fare`, all classes.");
    let seats_max = format!("Its cabins; at most {SEATS_PER_FLIGHT_MAX} seats together.");
    vec![
        (
            "NewFlight",
            OneOfBuilder::new().item(named("NewFlightOfAircraft")).item(named("NewFlightOfCabins")).into(),
        ),
        (
            "NewFlightOfAircraft",
            new_flight(of_aircraft, "A flight with the cabins of a named type of aircraft.").into(),
        ),
        ("NewFlightOfCabins", new_flight(of_cabins(), &seats_max).into()),
    ]
}

/// All that has a name.
pub(super) fn schemas() -> Vec<(&'static str, Shape)> {
    [orders(), parts(), flights()].concat()
}
