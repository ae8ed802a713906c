//! Who may do what: every address, with every method, asked by everybody. A new address fails here until it has a row.

use std::collections::BTreeSet;

use crate::client::{Reply, TOKEN, TestServer};
use crate::tokens::{AdminTokens, JWT, customer};
use farerush::base::addresses::ADDRESSES;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Who may ask at an address. Where customers show nothing (`open`), `Own` and `Named` are open to all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum May {
    /// Everybody.
    All,
    /// A customer about what is their own, and admins from this role on. It is not there for other customers.
    Own(Role),
    /// A customer for themselves, and admins from this role on. Others who name them are told that they may not.
    Named(Role),
    /// Admins from this role on, in the place of whoever took the money; customers may not say that they have paid.
    Pays(Role),
    /// Admins from this role on.
    Admins(Role),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    Viewer,
    Operator,
    Admin,
}

use May::{Admins, All, Named, Own, Pays};
use Role::{Admin, Operator, Viewer};

const GRAB: &str = r#"{"customer_id":"owner","quantity":1}"#;
const JOIN: &str = r#"{"customer_id":"owner","party_size":1}"#;

/// Address, method, who may, and a body that asks for nothing that is wrong in itself (or for as little as possible).
const TABLE: &[(&str, &str, May, &str)] = &[
    ("/v1/flights", "GET", All, ""),
    ("/v1/flights/{}", "GET", All, ""),
    ("/v1/flights/{}/seats", "GET", All, ""),
    ("/v1/flights/{}/live", "GET", All, ""),
    ("/v1/flights/{}/orders", "POST", Named(Operator), GRAB),
    ("/v1/flights/{}/waitlist", "POST", Named(Operator), JOIN),
    ("/v1/waitlist/{}", "GET", Own(Viewer), ""),
    ("/v1/waitlist/{}", "DELETE", Own(Operator), ""),
    ("/v1/orders", "GET", Named(Viewer), ""),
    ("/v1/orders/{}", "GET", Own(Viewer), ""),
    ("/v1/orders/{}", "PATCH", Own(Operator), r#"{"passengers":[{"name":"Lin"}]}"#),
    ("/v1/orders/{}/pay", "POST", Own(Operator), ""),
    ("/v1/orders/{}/confirm", "POST", Pays(Operator), r#"{"payment_reference":"p","seq":1}"#),
    ("/v1/orders/{}/cancel", "POST", Own(Operator), ""),
    ("/v1/orders/{}", "DELETE", Own(Operator), ""),
    ("/v1/admin/flights", "POST", Admins(Admin), "{}"),
    ("/v1/admin/flights/import", "POST", Admins(Admin), "{}"),
    ("/v1/admin/flights/{}", "PATCH", Admins(Operator), "{}"),
    ("/v1/admin/flights/{}/manifest", "GET", Admins(Viewer), ""),
    ("/v1/admin/flights/{}/audit", "GET", Admins(Viewer), ""),
    ("/v1/admin/flights/{}/refunds", "GET", Admins(Viewer), ""),
    ("/v1/admin/flights/{}/waitlist", "GET", Admins(Viewer), ""),
    ("/v1/admin/flights/{}/open", "POST", Admins(Operator), ""),
    ("/v1/admin/flights/{}/pause", "POST", Admins(Operator), ""),
    ("/v1/admin/flights/{}/close", "POST", Admins(Operator), ""),
    ("/v1/admin/flights/{}/seats/block", "POST", Admins(Operator), "{}"),
    ("/v1/admin/flights/{}/seats/unblock", "POST", Admins(Operator), "{}"),
    ("/v1/admin/flights/{}/seats/withdraw", "POST", Admins(Operator), "{}"),
    ("/v1/admin/flights/{}/aircraft", "POST", Admins(Operator), "{}"),
    ("/v1/admin/flights/{}/rows", "POST", Admins(Operator), "{}"),
    ("/v1/admin/flights/{}/restart", "POST", Admins(Operator), ""),
    ("/v1/admin/flights/{}/move", "POST", Admins(Operator), r#"{"server":"one"}"#),
    ("/v1/admin/servers", "GET", Admins(Viewer), ""),
    ("/v1/admin/servers/{}/drain", "POST", Admins(Operator), ""),
    ("/v1/admin/servers/{}/resume", "POST", Admins(Operator), ""),
    ("/v1/admin/orders", "GET", Admins(Viewer), ""),
    ("/v1/admin/status", "GET", Admins(Viewer), ""),
    ("/v1/admin/cockpit", "GET", Admins(Viewer), ""),
    ("/v1/admin/flights/{}/rehearsals", "POST", Admins(Operator), r#"{"customers":1,"over_seconds":1}"#),
    ("/v1/admin/rehearsals/{}", "GET", Admins(Viewer), ""),
    ("/v1/admin/rehearsals/{}", "DELETE", Admins(Operator), ""),
    ("/v1/admin/rehearsals/{}/seats", "GET", Admins(Viewer), ""),
    ("/livez", "GET", All, ""),
    ("/readyz", "GET", All, ""),
    ("/openapi.json", "GET", All, ""),
    ("/docs", "GET", All, ""),
    ("/docs/ui/{}", "GET", All, ""),
    ("/docs/errors", "GET", All, ""),
    ("/docs/errors/{}", "GET", All, ""),
    ("/metrics", "GET", All, ""),
    ("/v1/time", "GET", All, ""),
    ("/", "GET", All, ""),
    ("/flights/{}", "GET", All, ""),
    ("/orders", "GET", All, ""),
    ("/admin", "GET", All, ""),
    ("/assets/{}", "GET", All, ""),
];

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Nobody,
    Wrong,
    ExpiredAdmin,
    RevokedAdmin,
    ExpiredCustomer,
    OtherCustomer,
    Owner,
    Has(Role),
    /// The token of the settings.
    Master,
}

const EVERYBODY: [Who; 11] = [
    Who::Nobody,
    Who::Wrong,
    Who::ExpiredAdmin,
    Who::RevokedAdmin,
    Who::ExpiredCustomer,
    Who::OtherCustomer,
    Who::Owner,
    Who::Has(Viewer),
    Who::Has(Operator),
    Who::Has(Admin),
    Who::Master,
];

/// What somebody has to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// Anything but the others.
    Yes,
    Unauthorized,
    Forbidden,
    NotThere,
}

fn expected(may: May, who: Who, customers_are_known: bool) -> Told {
    let by_role = |needed: Role| match who {
        Who::Has(role) if role >= needed => Told::Yes,
        Who::Master => Told::Yes,
        Who::Has(_) => Told::Forbidden,
        _ => Told::Unauthorized,
    };
    match (may, who) {
        (All, _) => Told::Yes,
        (Pays(_), _) if !customers_are_known => Told::Yes,
        (Pays(_), Who::Owner | Who::OtherCustomer) => Told::Forbidden,
        (Own(_) | Named(_), _) if !customers_are_known => Told::Yes,
        (Own(_) | Named(_), Who::Owner) => Told::Yes,
        (Own(_), Who::OtherCustomer) => Told::NotThere,
        (Named(_), Who::OtherCustomer) => Told::Forbidden,
        (Own(role) | Named(role) | Pays(role) | Admins(role), _) => by_role(role),
    }
}

struct World {
    server: TestServer,
    admins: AdminTokens,
}

impl World {
    async fn start(settings: &[(&'static str, &str)]) -> Self {
        let mut admins = None;
        let server =
            TestServer::prepared(settings, |data_dir| admins = Some(AdminTokens::make(data_dir))).await;
        // A party that waits where seats are free gets them, and keeps them when its place is given back.
        let reply = server.admin("PATCH /v1/admin/flights/DEMO1", r#"{"max_seats_per_customer":100}"#).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        Self { server, admins: admins.unwrap() }
    }

    fn token(&self, who: Who) -> Option<String> {
        Some(match who {
            Who::Nobody => return None,
            Who::Wrong => format!("{}x", self.admins.admin),
            Who::ExpiredAdmin => self.admins.expired.clone(),
            Who::RevokedAdmin => self.admins.revoked.clone(),
            Who::ExpiredCustomer => customer("owner", -3600),
            Who::OtherCustomer => customer("other", 3600),
            Who::Owner => customer("owner", 3600),
            Who::Has(Viewer) => self.admins.viewer.clone(),
            Who::Has(Operator) => self.admins.operator.clone(),
            Who::Has(Admin) => self.admins.admin.clone(),
            Who::Master => TOKEN.to_owned(),
        })
    }

    /// What the customer `owner` has, made for whoever asks about it at this address.
    async fn own(&self, address: &str) -> String {
        let (path, member, body) = match address {
            address if address.starts_with("/v1/orders/") => ("orders", "order_id", GRAB),
            address if address.starts_with("/v1/waitlist/") => ("waitlist", "waitlist_id", JOIN),
            _ => return String::new(),
        };
        let authorization = format!("Bearer {TOKEN}");
        let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
        let reply = self.server.send(&format!("POST /v1/flights/DEMO1/{path}"), &headers, body).await;
        assert_eq!(reply.status, 201, "{reply:?}");
        reply.json()[member].as_str().unwrap().to_owned()
    }

    /// Gives it back, so that no limit is reached.
    async fn give_back(&self, address: &str, own: &str) {
        if !own.is_empty() {
            let path = if address.starts_with("/v1/orders/") { "orders" } else { "waitlist" };
            let reply = self.server.admin(&format!("DELETE /v1/{path}/{own}"), "").await;
            assert_eq!(reply.status, 200, "{reply:?}");
        }
    }

    async fn ask(&self, row: &(&str, &str, May, &str), who: Who, own: &str) -> Reply {
        let (address, method, _, body) = row;
        let segment = match *address {
            address if address.starts_with("/v1/orders/") || address.starts_with("/v1/waitlist/") => own,
            // One that nothing else is asked of, so that orders can be placed whatever is done to it.
            address if address.starts_with("/v1/admin/flights/") => "DEMO2",
            "/v1/flights/{}/orders" | "/v1/flights/{}/waitlist" => "DEMO3",
            "/docs/ui/{}" => "swagger-ui.css",
            "/docs/errors/{}" => "FORBIDDEN",
            "/assets/{}" => "base.css",
            _ => "DEMO1",
        };
        let query = if *address == "/v1/orders" { "?customer_id=owner" } else { "" };
        let authorization = self.token(who).map(|token| format!("authorization: Bearer {token}\r\n"));
        let text = format!(
            "{method} {}{query} HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-type: application/json\r\n\
             {}content-length: {}\r\n\r\n{body}",
            address.replace("{}", segment),
            authorization.unwrap_or_default(),
            body.len(),
        );
        answer(&self.server, &text).await
    }
}

/// Reads no more than the head where the body goes on for ever.
async fn answer(server: &TestServer, text: &str) -> Reply {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    let mut room = [0; 4096];
    loop {
        let come = stream.read(&mut room).await.unwrap();
        bytes.extend_from_slice(&room[..come]);
        let head_has_come = bytes.windows(4).any(|four| four == b"\r\n\r\n");
        if come == 0 || (head_has_come && String::from_utf8_lossy(&bytes).contains("text/event-stream")) {
            return Reply::parse(&bytes);
        }
    }
}

fn told(reply: &Reply) -> Told {
    let code = if reply.header("content-type") == Some("application/problem+json") {
        reply.json()["code"].as_str().unwrap_or_default().to_owned()
    } else {
        String::new()
    };
    match (reply.status, code.as_str()) {
        (401, "UNAUTHORIZED") => Told::Unauthorized,
        (403, "FORBIDDEN") => Told::Forbidden,
        (404, "ORDER_NOT_FOUND" | "WAITLIST_ENTRY_NOT_FOUND") => Told::NotThere,
        (401 | 403, _) => panic!("a code of its own: {reply:?}"),
        _ => Told::Yes,
    }
}

async fn everybody_asks_everywhere(settings: &[(&'static str, &str)], customers_are_known: bool) {
    let world = World::start(settings).await;
    let mut wrong = Vec::new();
    for row in TABLE {
        for who in EVERYBODY {
            let own = world.own(row.0).await;
            let reply = world.ask(row, who, &own).await;
            world.give_back(row.0, &own).await;
            let (told, expect) = (told(&reply), expected(row.2, who, customers_are_known));
            if told != expect {
                wrong.push(format!("{} {} by {who:?}: {told:?}, not {expect:?}: {reply:?}", row.1, row.0));
            }
            if told == Told::Unauthorized {
                let challenge = reply.header("www-authenticate");
                assert!(challenge.is_some_and(|value| value.starts_with("Bearer ")), "{reply:?}");
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_address_has_a_row_for_each_of_its_methods() {
    let wanted: BTreeSet<(&str, &str)> = ADDRESSES
        .iter()
        .flat_map(|(address, methods)| methods.split(", ").map(move |method| (*address, method)))
        // HEAD goes wherever GET does, through the same routes.
        .filter(|(_, method)| *method != "HEAD")
        .collect();
    let given: BTreeSet<(&str, &str)> =
        TABLE.iter().map(|(address, method, ..)| (*address, *method)).collect();
    assert_eq!(given.len(), TABLE.len(), "a row stands twice");
    let missing: Vec<_> = wanted.difference(&given).collect();
    let gone: Vec<_> = given.difference(&wanted).collect();
    assert!(
        missing.is_empty() && gone.is_empty(),
        "without a row: {missing:?}; without an address: {gone:?}"
    );
    for (address, _, may, _) in TABLE {
        assert_eq!(address.starts_with("/v1/admin/"), matches!(may, Admins(_)), "{address}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_is_told_what_the_table_says_where_customers_show_tokens() {
    everybody_asks_everywhere(JWT, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_is_told_what_the_table_says_where_customers_show_nothing() {
    everybody_asks_everywhere(&[], false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_is_the_one_of_the_token() {
    let server = TestServer::with(JWT).await;
    let own = format!("Bearer {}", customer("owner", 3600));
    let other = format!("Bearer {}", customer("other", 3600));
    let send = async |request: &str, authorization: &str, body: &str| {
        let headers = [("authorization", authorization), ("content-type", "application/json")];
        server.send(request, &headers, body).await
    };
    let grab = "POST /v1/flights/DEMO1/orders";
    // Neither a short cut for sold-out flights nor the plain way knows customers: all of these must be checked.
    for body in [r#"{"quantity":1}"#, GRAB, r#"{"quantity":1,"customer_id":null}"#] {
        let reply = send(grab, &own, body).await;
        assert_eq!((reply.status, &reply.json()["customer_id"]), (201, &Value::from("owner")), "{reply:?}");
    }
    send(grab, &other, GRAB).await.is_problem(403, "FORBIDDEN");
    send(grab, "", GRAB).await.is_problem(401, "UNAUTHORIZED");
    server.post("/v1/flights/DEMO1/orders", GRAB).await.is_problem(401, "UNAUTHORIZED");
    send(grab, &own, r#"{"quantity":0}"#).await.is_problem(400, "INVALID_REQUEST");
    let list = send("GET /v1/orders", &own, "").await.json();
    assert_eq!(list["orders"].as_array().unwrap().len(), 3);
    assert_eq!(send("GET /v1/orders?customer_id=owner", &own, "").await.json(), list);
    send("GET /v1/orders?customer_id=owner", &other, "").await.is_problem(403, "FORBIDDEN");
    assert_eq!(send("GET /v1/orders", &other, "").await.json()["orders"], serde_json::json!([]));
    let id = list["orders"][0]["order_id"].as_str().unwrap();
    let strange = send(&format!("GET /v1/orders/{id}"), &other, "").await;
    strange.is_problem(404, "ORDER_NOT_FOUND");
    let nothing = send("GET /v1/orders/DEMO1-1aaaaaaaa", &other, "").await;
    assert_eq!(strange.json(), nothing.json(), "one that is another's looks as one that is not there");
    // With a key and a sold-out flight the answer comes from elsewhere, and nobody gets another one's order there.
    let keyed = [("content-type", "application/json"), ("idempotency-key", "k"), ("authorization", &own)];
    let first = server.send(grab, &keyed, r#"{"quantity":1}"#).await;
    assert_eq!(first.status, 201, "{first:?}");
    let again = server.send(grab, &keyed, GRAB).await;
    assert_eq!((again.status, &again.json()["order_id"]), (200, &first.json()["order_id"]), "{again:?}");
    let stolen = [("content-type", "application/json"), ("idempotency-key", "k"), ("authorization", &other)];
    assert_ne!(server.send(grab, &stolen, r#"{"quantity":1}"#).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_good_as_soon_as_it_is_made_and_no_longer_than_it_is_revoked() {
    use farerush::parts::auth::{Role, TokenFile};
    use farerush_engine::flight::{AdminName, Timestamp};
    let server = TestServer::start().await;
    let file = TokenFile::in_dir(server.data_dir.path());
    let name = AdminName::new("later").unwrap();
    let token = file.create(name.clone(), Role::Viewer, Timestamp::from_millis(0), None).unwrap();
    let status = async || {
        let authorization = format!("Bearer {token}");
        server.send("GET /v1/admin/status", &[("authorization", &authorization)], "").await.status
    };
    let becomes = async |wanted: u16| {
        let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while status().await != wanted {
            assert!(std::time::Instant::now() < until, "it never became {wanted}");
        }
    };
    becomes(200).await;
    file.revoke(&name, Timestamp::from_millis(0)).unwrap();
    becomes(401).await;
}
