//! Inputs that are right, or nearly, for chance or a fuzzer to start from.
//! Never judges anything.

/// Bodies of grabs.
pub(crate) const GRABS: &[&str] = &[
    r#"{"customer_id":"u1","quantity":2}"#,
    r#"{"quantity":1,"customer_id":"u1","together":"required","cabin_class":"economy"}"#,
    r#"{"customer_id":"u1","seats":["12A","12B"],"passengers":[{"name":"Lin Mei"},null,{"name":"O'Neil \"x\" \\"}]}"#,
    r#"{"customer_id":"林小姐","seats":["1A"],"together":"any","client_reference":"x y","passengers":null}"#,
    r#" {"customer_id" : "a\"b\u0041" , "quantity" : 10000, "seats": null } "#,
    r#"{"customer_id":"u1","quantity":2.5,"colour":{"a":[1,-2,1e9,18446744073709551616,true]},"quantity":3}"#,
];

/// Bodies of new flights.
pub(crate) const FLIGHTS: &[&str] = &[
    r#"{"flight_number":"FR707","origin":"TPE","destination":"FUK","departs_at":"2027-03-01T08:30:00Z","aircraft":"AT76","fare":{"amount":49900,"currency":"TWD"},"sale":{"max_seats_per_order":4}}"#,
    r#"{"flight_id":"X1","flight_number":"5J12A","origin":"tpe","destination":"SIN","departs_at":"2027-03-01T08:30:00.123+08:00","aircraft":"B789","fares":{"business":{"amount":1,"currency":"TWD"},"premium_economy":{"amount":2,"currency":"TWD"},"economy":{"amount":0,"currency":"TWD"}},"sale":{"state":"open","hold_seconds":600,"opens_at":"2027-01-01T00:00:00Z","closes_at":"2027-01-02T00:00:00Z"}}"#,
    r#"{"flight_number":"FR999","origin":"TPE","destination":"OKA","departs_at":"2027-03-01T08:30:00Z","cabins":[{"cabin_class":"first","rows":[1,2],"layout":"A D","fare":{"amount":9900,"currency":"TWD"}},{"cabin_class":"economy","rows":[3,999],"layout":"ABC DEFG HJK","fare":{"amount":9900,"currency":"TWD"}}],"sale":{"max_seats_per_customer":10000,"opens_at":null}}"#,
];

/// Queries.
pub(crate) const QUERIES: &[&str] = &[
    "origin=TPE&destination=FUK&date=2027-03-01&status=open&limit=200",
    "cursor=31373a46523130312d3230323631323234&limit=1&limit=2&colour=red",
    "a=x%20y+z&b=%E6%9E%97&c&d=100%&=&%=%zz",
];

/// Names of all kinds.
pub(crate) const NAMES: &[&str] = &[
    "FR101-20261224",
    "DEMO1-3abcdefgh",
    "FR101-20261224-17zzzzzzzz",
    "12A",
    "999Z",
    "ABC DEFG HJK",
    "TWD",
    "2027-03-01T08:30:00.123456+08:00",
    "2027-03-01",
    "-0001-01-01T00:00:00Z",
    "1-17",
    "EZY123A",
    "林小姐 ✈",
    "%46R1%",
];

/// What chance puts in.
pub(crate) const TOKENS: &[&[u8]] = &[
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"null",
    b"true",
    b"-1",
    b"0",
    b"65536",
    b"1e999",
    b"18446744073709551615",
    b"9223372036854775808",
    b"\\u0000",
    b"\\ud800",
    b"\xff",
    b"\xc3\xa9",
    b"\x00",
    b"%",
    b"%00",
    b"&",
    b"=",
    b"+",
    b"\r\n",
    b"\r\n\r\n",
    b"seats",
    b"quantity",
    b"passengers",
    b"customer_id",
    b"HTTP/1.1",
    b"content-length: 0\r\n",
    b"transfer-encoding: chunked\r\n",
    b"9999-12-31T23:59:60Z",
];

/// Whole requests, `TOKEN` where the admin's stands.
pub(crate) const REQUESTS: &[&str] = &[
    "GET /v1/flights?limit=2&origin=TPE HTTP/1.1\r\nhost: t\r\n\r\n",
    "GET /v1/flights/DEMO1/seats HTTP/1.1\r\nhost: t\r\nx-request-id: abc\r\n\r\n",
    "GET /v1/flights/DEMO1/live HTTP/1.1\r\nhost: t\r\nlast-event-id: 1-2\r\n\r\n",
    "POST /v1/flights/DEMO1/orders HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\nidempotency-key: k1\r\nrequest-timeout: 1\r\ncontent-length: 34\r\n\r\n{\"customer_id\":\"u1\",\"quantity\":2}\n",
    "POST /v1/flights/DEMO2/orders HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n22\r\n{\"customer_id\":\"u1\",\"quantity\":1} \r\n0\r\n\r\n",
    "GET /v1/orders?customer_id=u1&status=held HTTP/1.1\r\nhost: t\r\n\r\n",
    "GET /v1/orders/DEMO1-3abcdefgh HTTP/1.1\r\nhost: t\r\n\r\n",
    "PATCH /v1/orders/DEMO1-3abcdefgh HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\ncontent-length: 17\r\n\r\n{\"seats\":[\"1A\"]} ",
    "DELETE /v1/orders/DEMO1-3abcdefgh HTTP/1.1\r\nhost: t\r\n\r\n",
    "POST /v1/admin/flights/DEMO1/seats/block HTTP/1.1\r\nhost: t\r\nauthorization: Bearer TOKEN\r\ncontent-type: application/json\r\ncontent-length: 17\r\n\r\n{\"seats\":[\"9A\"]} ",
    "POST /v1/admin/flights/DEMO3/rows HTTP/1.1\r\nhost: t\r\nauthorization: Bearer TOKEN\r\ncontent-type: application/json\r\ncontent-length: 109\r\n\r\n{\"cabin_class\":\"economy\",\"rows\":[70,71],\"layout\":\"ABC DEF\",\"fare\":{\"amount\":99900,\"currency\":\"TWD\"}}        ",
    "PATCH /v1/admin/flights/DEMO2 HTTP/1.1\r\nhost: t\r\nauthorization: Bearer TOKEN\r\ncontent-type: application/json\r\ncontent-length: 19\r\n\r\n{\"hold_seconds\":60}",
    "GET /v1/admin/status HTTP/1.1\r\nhost: t\r\nauthorization: Bearer TOKEN\r\n\r\n",
    "GET /v1/admin/orders?limit=1 HTTP/1.1\r\nhost: t\r\nauthorization: Bearer TOKEN\r\n\r\n",
    "HEAD /readyz HTTP/1.1\r\nhost: t\r\nexpect: 100-continue\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nhost: t\r\n\r\nGET /livez HTTP/1.1\r\nhost: t\r\n\r\n",
];
