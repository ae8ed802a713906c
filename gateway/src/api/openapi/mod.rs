//! The OpenAPI document: every address, what it takes and what it answers, with the bounds that the code itself
//! checks by. Never answers a request but with the document.

mod admin_reads;
mod admins;
mod answers;
mod cockpit;
mod customers;
mod operation;
mod pages;
mod placement;
mod problems;
mod requests;
mod seat_plan;
mod servers;
mod shape;
mod waitlist;

use std::sync::LazyLock;

use utoipa::openapi::info::{InfoBuilder, LicenseBuilder};
use utoipa::openapi::path::{PathItem, PathsBuilder};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::server::ServerBuilder;
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{Components, ComponentsBuilder, OpenApi, OpenApiBuilder};
use warp::http::StatusCode;
use warp::http::header::{CONTENT_TYPE, HeaderValue};
use warp::reply::Response;

use crate::wire::problem::Problem;
use crate::wire::query::Query;

pub use problems::example as example_problem;

const ABOUT: &str = "Sells a limited number of cheap flight seats to a crowd that wants them all in the same second.\n\n\
    What a reply says is durable. Every error is `application/problem+json` (RFC 9457) with a `code`; \
    [each code has a page](/docs/errors). HEAD goes wherever GET does. Unknown query parameters and unknown members of \
    a body are errors, and every bad field is named at once. Times are RFC 3339 in UTC, money is in minor units.\n\n\
    503 `OVERLOADED` and 503 `ELSEWHERE` (another server has the flight) mean that nothing was done; 503 `OUTCOME_UNKNOWN` that it may have been done: sending the same \
    request with the same `Idempotency-Key` again tells.";

/// The document, as JSON.
static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
    let mut text = document().to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
});

/// The document, as JSON: what `/openapi.json` answers and `farerush openapi` prints.
pub fn document_text() -> &'static str {
    &DOCUMENT
}

/// `GET /openapi.json`
pub async fn show(raw_query: String) -> Result<Response, Problem> {
    Query::parse(&raw_query).finish()?;
    let mut response = Response::new(document_text().into());
    *response.status_mut() = StatusCode::OK;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

fn document() -> OpenApi {
    let mut paths = PathsBuilder::new();
    for operation in customers::operations()
        .into_iter()
        .chain(waitlist::operations())
        .chain(seat_plan::operations())
        .chain(admins::operations())
        .chain(admin_reads::operations())
        .chain(placement::operations())
        .chain(cockpit::operations())
        .chain(pages::operations())
    {
        let (method, path, operation) = operation.build();
        paths = paths.path(path, PathItem::new(method, operation));
    }
    let info = InfoBuilder::new()
        .title("Farerush")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(ABOUT))
        .license(Some(
            LicenseBuilder::new().name("MIT OR Apache-2.0").identifier(Some("MIT OR Apache-2.0")).build(),
        ))
        .build();
    let tags = [
        ("flights", "What is on sale."),
        ("orders", "Grabbing seats, and what becomes of them."),
        ("waitlist", "Waiting for seats that come back."),
        (
            "admin",
            "With an admin's token, `Authorization: Bearer <token>`: to read with the role viewer, to run the sale with the role operator, for all else with the role admin.",
        ),
        ("pages", "What people see in a browser: clients of this interface like any other."),
        ("operators", "For those who run it, and this documentation."),
    ];
    let tags = tags.map(|(name, about)| TagBuilder::new().name(name).description(Some(about)).build());
    OpenApiBuilder::new()
        .info(info)
        .servers(Some([ServerBuilder::new().url("/").description(Some("This server.")).build()]))
        .tags(Some(tags))
        .paths(paths.build())
        .components(Some(components()))
        .build()
}

fn components() -> Components {
    let token = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some(
            "A token of `farerush token create`, whose role says what it is good for; the setting `admin_token`; or \
             what stands in `<data_dir>/admin.token`.",
        ))
        .build();
    let of_customer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .description(Some(
            "Asked for where the setting `customer_auth` is `jwt`: its `sub` is the customer, its `exp` must be given.",
        ))
        .build();
    let mut components = ComponentsBuilder::new()
        .security_scheme(operation::ADMIN, SecurityScheme::Http(token))
        .security_scheme(operation::CUSTOMER, SecurityScheme::Http(of_customer))
        .parameter("x-request-id", customers::request_id());
    for (name, shape) in requests::schemas()
        .into_iter()
        .chain(answers::schemas())
        .chain(waitlist::schemas())
        .chain(seat_plan::schemas())
        .chain(admin_reads::schemas())
        .chain(cockpit::schemas())
        .chain(pages::schemas())
    {
        components = components.schema(name, shape);
    }
    for (name, shape) in problems::schemas() {
        components = components.schema(name, shape);
    }
    for (name, example) in problems::examples() {
        components = components.example(name, example);
    }
    for (name, header) in operation::headers() {
        components = components.header(name, header);
    }
    components.build()
}
