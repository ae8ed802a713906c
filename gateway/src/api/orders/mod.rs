//! `/v1/orders`: a customer's orders, one order, and what may be done to it. Changes and single orders come from the
//! flight itself, lists from the store. Never places an order: see `grab`.

mod page;
mod routes;

use std::net::IpAddr;
use std::sync::Arc;

use farerush_engine::actor::{Answer, FlightHandle};
use farerush_engine::flight::{
    Command, Covers, Currency, CustomerId, EndedLongAgo, FlightId, IdempotencyKey, OrderId, OrderStatus,
    Payment, Reference, Refusal, Seq,
};
use farerush_persistence::store::{Asker, OrderFilter};
use warp::http::StatusCode;
use warp::reply::Response;

use page::write_stored;
pub(crate) use page::{OrderPage, read_place};
pub use routes::routes;

use crate::api::grab;
use crate::parts::auth::{Caller, Identity};
use crate::parts::sales::Sales;
use crate::wire::body::Received;
use crate::wire::deadline::{Deadline, GivenTimeout};
use crate::wire::fields::{self, Errors, Fields, text, whole};
use crate::wire::idempotency::GivenKey;
use crate::wire::input;
use crate::wire::names;
use crate::wire::names::OrderName;
use crate::wire::problem::{Code, Problem};
use crate::wire::query::Query;
use crate::wire::render;

/// What orders are shown and changed with.
pub struct Orders {
    /// The flights and the store.
    pub sales: Arc<Sales>,
    /// Who asks, and what that one may.
    pub identity: Arc<Identity>,
    /// Whether customers may confirm orders by a payment that is only a test.
    pub test_payment: bool,
}

/// `GET /v1/orders?customer_id=`
pub async fn of_customer(
    caller: Caller,
    orders: Arc<Orders>,
    raw_query: String,
) -> Result<Response, Problem> {
    list(&orders, &raw_query, &caller).await
}

/// A page of a customer's orders, newest first. Who may act for everybody names the customer.
async fn list(orders: &Orders, raw_query: &str, caller: &Caller) -> Result<Response, Problem> {
    let mut query = Query::parse(raw_query);
    let mut filter = OrderFilter {
        customer: query.take("customer_id", names::customer),
        flight_id: query.take("flight_id", FlightId::new),
        status: query.take("status", |name| {
            OrderStatus::from_name(name).ok_or("must be one of held, confirmed, cancelled, expired")
        }),
        ..OrderFilter::default()
    };
    if caller.own().is_none() && filter.customer.is_none() {
        query.missing("customer_id");
    }
    let limit = query.limit();
    let after = query.cursor(read_place);
    query.finish()?;
    filter.customer = orders.identity.customer_of(caller, filter.customer).await?;
    // Of one customer, whoever asks.
    let page = OrderPage::read(&orders.sales, &filter, after.as_ref(), limit, Asker::Customer).await?;
    Ok(render::response(StatusCode::OK, page.json(&orders.sales).await))
}

/// `GET /v1/orders/{order_id}`: from its flight; once the flight has forgotten it, from the store.
pub async fn one(
    name: OrderName,
    caller: Caller,
    orders: Arc<Orders>,
    raw_query: String,
    timeout: Option<GivenTimeout>,
) -> Result<Response, Problem> {
    Query::parse(&raw_query).finish()?;
    let deadline = orders.sales.flights.deadline(timeout)?;
    let (id, flight) = find(&orders, &name).await?;
    let owned = orders.sales.flights.owned(&flight);
    let found = match orders.sales.flights.look_up(&flight, id, deadline).await {
        // A flight that cannot be asked (its journal has stopped, say) is no reason to hide what the store has, as
        // long as that is the newest there is.
        Err(problem) if matches!(problem.code(), Code::Overloaded | Code::Elsewhere) => {
            let status = flight.status();
            if status.stored_seq < status.durable_seq {
                return Err(problem);
            }
            None
        }
        found => found?,
    };
    if let Some(Answer::Order { order, definition, .. }) = found {
        hide_from_others(&caller, &order.customer)?;
        let mut json = render::order_buffer();
        render::order_of(&mut json, &order, &definition, orders.sales.flights.durability);
        return Ok(render::response(StatusCode::OK, json));
    }
    let stored = orders.sales.lists.from_store(deadline, orders.sales.lists.store.order(id)).await?;
    let Some(stored) = stored else {
        // Also where the flight could not be asked.
        owned.still().await?;
        return Err(Problem::order_not_found());
    };
    hide_from_others(&caller, &stored.order.customer)?;
    let mut json = render::order_buffer();
    write_stored(&mut json, &orders.sales, &stored, deadline).await;
    Ok(render::response(StatusCode::OK, json))
}

/// `PATCH /v1/orders/{order_id}`
pub async fn change(
    name: OrderName,
    caller: Caller,
    orders: Arc<Orders>,
    key: Option<GivenKey>,
    address: Option<IpAddr>,
    timeout: Option<GivenTimeout>,
    body: Received,
) -> Result<Response, Problem> {
    let value = fields::parse(&body?, false)?;
    let mut errors = Errors::default();
    let mut fields = Fields::of(&value);
    let seats = fields.optional("seats", &mut errors, input::seats);
    let passengers = input::passengers(&mut fields, &mut errors);
    fields.finish(&mut errors);
    errors.check()?;
    if seats.is_none() && passengers.is_none() {
        return Err(Problem::invalid_field("seats", "must be given, or passengers"));
    }
    act(&orders, &name, (caller, key, address, timeout), |id| Command::Change {
        order: id.order,
        seats,
        passengers,
    })
    .await
}

/// `POST /v1/orders/{order_id}/confirm`
pub async fn confirm(
    name: OrderName,
    caller: Caller,
    orders: Arc<Orders>,
    key: Option<GivenKey>,
    address: Option<IpAddr>,
    timeout: Option<GivenTimeout>,
    body: Received,
) -> Result<Response, Problem> {
    let value = fields::parse(&body?, false)?;
    let mut errors = Errors::default();
    let mut fields = Fields::of(&value);
    let reference = fields.optional("payment_reference", &mut errors, text(names::reference));
    let amount = fields.optional("amount", &mut errors, whole::<i64>(0, i64::MAX.into()));
    let currency = fields.optional("currency", &mut errors, text(Currency::new));
    let seq = fields.optional("seq", &mut errors, whole::<u64>(1, i64::MAX.into()));
    fields.finish(&mut errors);
    errors.check()?;
    let payment = payment(reference, amount, currency, seq.map(Seq))?;
    // Money is told of by whoever took it, not by whoever should have paid.
    let may_tell = orders.test_payment || matches!(caller, Caller::Admin(_));
    let not_theirs = || Problem::payment_is_for_others_to_tell(caller.own().is_some());
    if payment.is_some() && !may_tell {
        return Err(not_theirs());
    }
    let confirmed = act(&orders, &name, (caller.clone(), key, address, timeout), |id| Command::Confirm {
        order: id.order,
        payment,
    });
    match confirmed.await {
        // An order that costs nothing is confirmed without a payment, and this one costs something.
        Err(problem) if problem.code() == Code::InvalidRequest && !may_tell => Err(not_theirs()),
        done => done,
    }
}

/// What was paid: a reference, and for what; nothing at all for an order that costs nothing.
fn payment(
    reference: Option<Reference>,
    amount: Option<i64>,
    currency: Option<Currency>,
    seq: Option<Seq>,
) -> Result<Option<Payment>, Problem> {
    let wrong = |field, message| Err(Problem::invalid_field(field, message));
    let covers = match (amount, currency, seq) {
        (Some(amount), Some(currency), None) => Some(Covers::Amount { amount, currency }),
        (None, None, Some(seq)) => Some(Covers::OrderAt(seq)),
        (None, None, None) => None,
        (Some(_), None, _) => return wrong("currency", "must be given with amount"),
        (None, Some(_), _) => return wrong("amount", "must be given with currency, in minor units"),
        (Some(_), Some(_), Some(_)) => return wrong("seq", "must not be given beside amount and currency"),
    };
    match (reference, covers) {
        (Some(reference), Some(covers)) => Ok(Some(Payment { reference, covers })),
        (None, None) => Ok(None),
        (Some(_), None) => wrong(
            "amount",
            "must be given with currency: what was paid, in minor units (or seq: of the order that was paid for)",
        ),
        // Nothing was paid for an order that costs nothing, and to say so is no mistake.
        (None, Some(Covers::Amount { amount: 0, .. } | Covers::OrderAt(_))) => Ok(None),
        (None, Some(_)) => wrong("payment_reference", "must be given: which payment it was"),
    }
}

/// `POST /v1/orders/{order_id}/pay`: a payment is under way; a body may be left away.
pub async fn pay(
    name: OrderName,
    caller: Caller,
    orders: Arc<Orders>,
    key: Option<GivenKey>,
    address: Option<IpAddr>,
    timeout: Option<GivenTimeout>,
    body: Received,
) -> Result<Response, Problem> {
    let value = fields::parse(&body?, true)?;
    let mut errors = Errors::default();
    Fields::of(&value).finish(&mut errors);
    errors.check()?;
    act(&orders, &name, (caller, key, address, timeout), |id| Command::Pay { order: id.order }).await
}

/// `POST /v1/orders/{order_id}/cancel` and `DELETE /v1/orders/{order_id}`; a body may be left away.
pub async fn cancel(
    name: OrderName,
    caller: Caller,
    orders: Arc<Orders>,
    key: Option<GivenKey>,
    address: Option<IpAddr>,
    timeout: Option<GivenTimeout>,
    body: Received,
) -> Result<Response, Problem> {
    let value = fields::parse(&body?, true)?;
    let mut errors = Errors::default();
    Fields::of(&value).finish(&mut errors);
    errors.check()?;
    act(&orders, &name, (caller, key, address, timeout), |id| Command::Cancel { order: id.order }).await
}

/// Has a command about an order decided, and shows the order as it is then.
async fn act(
    orders: &Orders,
    name: &OrderName,
    (caller, key, address, timeout): (Caller, Option<GivenKey>, Option<IpAddr>, Option<GivenTimeout>),
    command: impl FnOnce(&OrderId) -> Command,
) -> Result<Response, Problem> {
    let key = GivenKey::checked(key)?;
    let deadline = orders.sales.flights.deadline(timeout)?;
    let (id, flight) = find(orders, name).await?;
    check_owner(orders, &caller, id, &flight, deadline).await?;
    // A key is kept, and customers can be invented where they show nothing: then its address pays, too.
    // So does what an order grows by; that is counted, and not refused: the order has its seats already.
    let command = command(id);
    let grows = matches!(command, Command::Change { .. });
    let pays = address.filter(|_| (key.is_some() || grows) && caller == Caller::Anyone);
    let rates = &orders.identity.rates;
    let share = rates.share(flight.flight_id(), pays);
    let print = key.as_ref().map(|key| rates.shares.print(&id.order.no.0, key));
    rates.may_keep(share.as_ref().filter(|_| key.is_some()), print)?;
    let about = match &command {
        Command::Cancel { .. } => About::Cancelling,
        Command::Confirm { payment: Some(payment), .. } => About::Paying(payment.clone(), key.clone()),
        _ => About::Changing,
    };
    let asked = orders.sales.flights.command_as(&flight, command, caller.admin_name(), key, deadline).await;
    let (order, definition, replayed) = match asked {
        Ok(Answer::Order { order, definition, replayed }) => (order, definition, replayed),
        // An admin's key is remembered for longer than an order that had to be forgotten early.
        Ok(Answer::Flight { replayed: true, .. }) => {
            let shown = forgotten(orders, id, &flight, &caller, About::Cancelling, deadline).await;
            return shown.map(|response| grab::marked(response, true));
        }
        Ok(_) => return Err(Problem::outcome_unknown()),
        Err(problem) if problem.code() == Code::OrderNotFound => {
            return forgotten(orders, id, &flight, &caller, about, deadline).await;
        }
        Err(problem) => return Err(problem),
    };
    if let Some(share) = share.filter(|_| !replayed) {
        if print.is_some() {
            share.count(print, 0);
        }
        if grows {
            share.count_bytes(order.bytes_kept());
        }
    }
    let mut json = render::order_buffer();
    render::order_of(&mut json, &order, &definition, orders.sales.flights.durability);
    Ok(grab::marked(render::response(StatusCode::OK, json), replayed))
}

/// What is wanted of an order.
enum About {
    Cancelling,
    /// A payment is told of, perhaps under a key.
    Paying(Payment, Option<IdempotencyKey>),
    Changing,
}

/// An order that its flight no longer remembers ended long ago: to cancel it again is harmless, all else too late; and
/// money that was paid for it is noted as due back.
async fn forgotten(
    orders: &Orders,
    id: &OrderId,
    flight: &FlightHandle,
    caller: &Caller,
    about: About,
    deadline: Deadline,
) -> Result<Response, Problem> {
    let stored = orders.sales.lists.from_store(deadline, orders.sales.lists.store.order(id)).await?;
    let stored = stored.ok_or_else(Problem::order_not_found)?;
    let order = &stored.order;
    match (about, order.status) {
        (About::Cancelling, _) => {
            let mut json = render::order_buffer();
            write_stored(&mut json, &orders.sales, &stored, deadline).await;
            Ok(render::response(StatusCode::OK, json))
        }
        (About::Paying(payment, key), OrderStatus::Expired | OrderStatus::Cancelled) => {
            let ended = EndedLongAgo {
                status: order.status,
                total: order.total,
                payment_reference: order.payment_reference().cloned(),
                returned: order.returned_payments().to_vec(),
            };
            let command = Command::ReturnPayment { order: id.order, payment, ended };
            match orders.sales.flights.command_as(flight, command, caller.admin_name(), key, deadline).await {
                Ok(_) => Err(Problem::outcome_unknown()),
                Err(problem) => Err(problem),
            }
        }
        (_, OrderStatus::Expired) => Err(Refusal::HoldExpired.into()),
        (_, _) => Err(Refusal::OrderNotChangeable { reason: "it ended long ago" }.into()),
    }
}

/// Another one's order is answered as one that is not there: that it is there is nobody else's business.
fn hide_from_others(caller: &Caller, owner: &CustomerId) -> Result<(), Problem> {
    if caller.sees(owner) { Ok(()) } else { Err(Problem::order_not_found()) }
}

/// Whether the caller may change this order. Whose it is never changes, so that it can be asked beforehand; those who
/// may change every order are not made to wait for it.
async fn check_owner(
    orders: &Orders,
    caller: &Caller,
    id: &OrderId,
    flight: &FlightHandle,
    deadline: Deadline,
) -> Result<(), Problem> {
    if caller.own().is_none() {
        return Ok(());
    }
    if let Some(Answer::Order { order, .. }) = orders.sales.flights.look_up(flight, id, deadline).await? {
        return hide_from_others(caller, &order.customer);
    }
    let stored = orders.sales.lists.from_store(deadline, orders.sales.lists.store.order(id)).await?;
    hide_from_others(caller, &stored.ok_or_else(Problem::order_not_found)?.order.customer)
}

async fn find<'n>(orders: &Orders, name: &'n OrderName) -> Result<(&'n OrderId, FlightHandle), Problem> {
    let id = name.0.as_ref().ok_or_else(Problem::order_not_found)?;
    let flight = orders.sales.flights.locate(&id.flight_id).await?.ok_or_else(Problem::order_not_found)?;
    Ok((id, flight))
}
