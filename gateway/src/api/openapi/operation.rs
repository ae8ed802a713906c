//! How one operation is written down: its address, what it takes, what it answers.
//! Never knows which operations there are.

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::openapi::content::{Content, ContentBuilder};
use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::path::{HttpMethod, OperationBuilder, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::{RequestBody, RequestBodyBuilder};
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::schema::OneOfBuilder;
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{Ref, RefOr, Required};

use super::problems::schema_name;
use super::requests::idempotency_key;
use super::shape::{Shape, count, named, string};
use crate::wire::problem::Code;

/// The name of the admins' security scheme.
pub(super) const ADMIN: &str = "admin_token";
/// The name of the customers' security scheme.
pub(super) const CUSTOMER: &str = "customer_token";

/// What may happen to every request before anybody looks at what it asks for.
const ALWAYS: &[Code] = &[
    Code::InvalidRequest,
    Code::RequestTimeout,
    Code::UriTooLong,
    Code::HostNotAllowed,
    Code::HeadersTooLarge,
    Code::Internal,
];
/// What may happen to a request that may have a body, too.
const WITH_BODY: &[Code] = &[Code::PayloadTooLarge, Code::UnsupportedMediaType];

/// What may happen to a request that may come under a key, too.
const WITH_KEY: &[Code] = &[Code::IdempotencyKeyReused, Code::QuotaExceeded];

/// The header with a request's key.
pub(super) const KEY: &str = "Idempotency-Key";
/// The header that tells a repeated request.
const REPLAYED: &str = "Idempotency-Replayed";

/// A success (or, for those who watch, a failure) that is not a problem.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) meaning: &'static str,
    pub(super) media_type: &'static str,
    pub(super) shape: Shape,
    pub(super) example: Option<Value>,
    /// Names of headers, those of [`headers`].
    pub(super) headers: &'static [&'static str],
}

/// One operation.
pub(super) struct Operation {
    pub(super) method: HttpMethod,
    pub(super) path: &'static str,
    pub(super) id: &'static str,
    pub(super) tag: &'static str,
    pub(super) summary: &'static str,
    pub(super) description: &'static str,
    pub(super) for_admins: bool,
    /// Whether a body is read, so that it can be too large.
    pub(super) reads_body: bool,
    pub(super) parameters: Vec<Parameter>,
    pub(super) body: Option<RequestBody>,
    pub(super) answers: Vec<Answer>,
    /// The codes it can be refused with, besides those of every operation.
    pub(super) codes: &'static [Code],
}

/// A JSON answer with a schema that has a name.
pub(super) fn json(status: u16, name: &str, meaning: &'static str, example: Value) -> Answer {
    Answer {
        status,
        meaning,
        media_type: "application/json",
        shape: named(name),
        example: Some(example),
        headers: &[],
    }
}

/// A page for people.
pub(super) fn page(meaning: &'static str) -> Answer {
    let (shape, media_type) = (string().into(), "text/html; charset=utf-8");
    Answer { status: 200, meaning, media_type, shape, example: None, headers: &[] }
}

/// A segment of the path.
pub(super) fn segment(
    name: &str,
    shape: impl Into<Shape>,
    meaning: &str,
    example: Option<Value>,
) -> Parameter {
    parameter(name, ParameterIn::Path, Required::True, shape, meaning, example)
}

/// A query parameter that may be left away.
pub(super) fn query(name: &str, shape: impl Into<Shape>, meaning: &str) -> Parameter {
    parameter(name, ParameterIn::Query, Required::False, shape, meaning, None)
}

/// A parameter.
pub(super) fn parameter(
    name: &str,
    place: ParameterIn,
    required: Required,
    shape: impl Into<Shape>,
    meaning: &str,
    example: Option<Value>,
) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(required)
        .schema(Some(shape))
        .description(Some(meaning))
        .example(example)
        .build()
}

/// The key under which a request that was sent before changes nothing more.
pub(super) fn key_of_change() -> Parameter {
    let meaning = "Made up by the client, for this one request. Sent again with the same body, within 24 hours, it changes \
                   nothing more: the answer is 200 and shows how things are then. With anything else to do it is refused.";
    parameter(KEY, ParameterIn::Header, Required::False, idempotency_key(), meaning, None)
}

/// A JSON body, with requests that work.
pub(super) fn body(name: &str, examples: &[(&str, &str, Value)]) -> RequestBody {
    let examples = examples.iter().map(|(key, summary, value)| {
        (*key, RefOr::T(ExampleBuilder::new().summary(*summary).value(Some(value.clone())).build()))
    });
    let content = ContentBuilder::new().schema(Some(named(name))).examples_from_iter(examples).build();
    RequestBodyBuilder::new().content("application/json", content).required(Some(Required::True)).build()
}

/// The same for a body that may be left away.
pub(super) fn optional_body(name: &str, examples: &[(&str, &str, Value)]) -> RequestBody {
    let mut optional = body(name, examples);
    optional.required = Some(Required::False);
    optional
}

/// All headers of answers, by name.
pub(super) fn headers() -> Vec<(&'static str, Header)> {
    let header = |shape: Shape, meaning: &str, example: Value| {
        HeaderBuilder::new().schema(Some(shape)).description(Some(meaning)).example(Some(example)).build()
    };
    let request_id =
        "The request's id: the client's own, if it can be used, else one made here. It is in the log.";
    let replayed =
        "`true`: the same was granted before, under the same Idempotency-Key, and nothing more was done.";
    vec![
        ("x-request-id", header(string().into(), request_id, "9f86d081-00000000002a".into())),
        (
            "Location",
            header(string().into(), "The address of what was made.", "/v1/flights/FR707-20270301".into()),
        ),
        (REPLAYED, header(string().into(), replayed, "true".into())),
        ("Retry-After", header(count().into(), "Seconds to wait before it is sent again.", 1.into())),
        ("WWW-Authenticate", header(string().into(), "What to send.", "Bearer realm=\"farerush\"".into())),
    ]
}

fn with_headers(mut response: ResponseBuilder, names: &[&str]) -> ResponseBuilder {
    for name in ["x-request-id"].iter().chain(names) {
        response = response.header_ref(*name, Ref::new(format!("#/components/headers/{name}")));
    }
    response
}

fn refusal(codes: &[Code]) -> ResponseBuilder {
    let mut lines: Vec<String> = Vec::new();
    let mut schema = OneOfBuilder::new();
    for code in codes {
        lines.push(format!("`{}`: {}", code.as_str(), code.title()));
        schema = schema.item(named(&schema_name(*code)));
    }
    let shape: Shape = match codes {
        [one] => named(&schema_name(*one)),
        _ => schema.into(),
    };
    let examples = codes.iter().map(|code| {
        (code.as_str(), RefOr::Ref(Ref::new(format!("#/components/examples/{}", code.as_str()))))
    });
    let content: Content = ContentBuilder::new().schema(Some(shape)).examples_from_iter(examples).build();
    let names: &[&str] = match codes.first().map(|code| code.status().as_u16()) {
        Some(429 | 503) => &["Retry-After"],
        Some(401) => &["WWW-Authenticate"],
        _ => &[],
    };
    let response =
        ResponseBuilder::new().description(lines.join("  \n")).content("application/problem+json", content);
    with_headers(response, names)
}

impl Operation {
    fn by_status(&self) -> BTreeMap<u16, Vec<Code>> {
        let of_tokens: &[Code] = if self.for_admins || self.for_customers() {
            &[Code::Unauthorized, Code::Forbidden]
        } else {
            &[]
        };
        let of_rates: &[Code] = if self.is_of_watchers() { &[] } else { &[Code::RateLimited] };
        let of_bodies = if self.reads_body { WITH_BODY } else { &[] };
        let of_pages: &[Code] =
            if matches!(self.method, HttpMethod::Get) { &[] } else { &[Code::OriginNotAllowed] };
        let of_keys = if self.takes_key() { WITH_KEY } else { &[] };
        let of_owners: &[Code] = if self.is_of_an_owner() { &[Code::Elsewhere] } else { &[] };
        let mut found: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
        let of_all = [ALWAYS, of_bodies, of_tokens, of_pages, of_rates, of_keys, self.codes, of_owners];
        for code in of_all.into_iter().flatten() {
            let codes = found.entry(code.status().as_u16()).or_default();
            if !codes.contains(code) {
                codes.push(*code);
            }
        }
        found
    }

    /// Whether it is answered by the one server that has the flight, and can be turned away by the others.
    fn is_of_an_owner(&self) -> bool {
        let is_of_flights = self.path.contains('{') || self.path == "/v1/flights";
        is_of_flights && self.codes.contains(&Code::Overloaded)
    }

    /// Whether it is about one customer, who may have to show who they are.
    fn for_customers(&self) -> bool {
        self.path.starts_with("/v1/orders")
            || self.path.starts_with("/v1/waitlist")
            || (self.path.starts_with("/v1/flights/") && matches!(self.method, HttpMethod::Post))
    }

    /// Whether it is for those who watch over the server, who are never turned away.
    fn is_of_watchers(&self) -> bool {
        ["/livez", "/readyz", "/metrics"].contains(&self.path)
    }

    fn takes_key(&self) -> bool {
        self.parameters.iter().any(|parameter| parameter.name == KEY)
    }

    /// The operation, as the document has it.
    pub(super) fn build(self) -> (HttpMethod, &'static str, utoipa::openapi::path::Operation) {
        let mut built = OperationBuilder::new()
            .operation_id(Some(self.id))
            .tag(self.tag)
            .summary(Some(self.summary))
            .description(Some(self.description))
            .request_body(self.body.clone());
        for parameter in &self.parameters {
            built = built.parameter(parameter.clone());
        }
        built = built.parameter_ref(Ref::new("#/components/parameters/x-request-id"));
        if self.for_admins {
            built = built.security(SecurityRequirement::new::<_, [&str; 0], _>(ADMIN, []));
        } else if self.for_customers() {
            // Under `customer_auth = open` nothing is shown; an admin's token does for every customer.
            built = built.security(SecurityRequirement::default());
            for scheme in [CUSTOMER, ADMIN] {
                built = built.security(SecurityRequirement::new::<_, [&str; 0], _>(scheme, []));
            }
        }
        let by_status = self.by_status();
        let takes_key = self.takes_key();
        let mut answered: BTreeMap<u16, ResponseBuilder> = BTreeMap::new();
        for answer in self.answers {
            let content = ContentBuilder::new().schema(Some(answer.shape)).example(answer.example).build();
            let begun = answered.remove(&answer.status).unwrap_or_else(|| {
                let response = ResponseBuilder::new().description(answer.meaning);
                match answer.status {
                    200 if takes_key => with_headers(response, &[answer.headers, &[REPLAYED]].concat()),
                    _ => with_headers(response, answer.headers),
                }
            });
            answered.insert(answer.status, begun.content(answer.media_type, content));
        }
        for (status, response) in answered {
            built = built.response(status.to_string(), response.build());
        }
        for (status, codes) in by_status {
            built = built.response(status.to_string(), refusal(&codes).build());
        }
        (self.method, self.path, built.build())
    }
}
