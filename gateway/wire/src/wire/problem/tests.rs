//! What every problem has, and what some have beside it.

use super::*;

fn body(problem: &Problem) -> serde_json::Value {
    serde_json::from_slice(&problem.render()).unwrap()
}

#[test]
fn every_code_is_written_once() {
    let mut texts: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
    texts.sort_unstable();
    texts.dedup();
    assert_eq!(texts.len(), Code::ALL.len());
    assert!(Code::ALL.iter().all(|code| code.status().as_u16() >= 400));
}

#[test]
fn a_problem_has_all_members_of_the_rfc() {
    let shown = body(&Problem::sold_out());
    assert_eq!(shown["type"], "/docs/errors/SOLD_OUT");
    assert_eq!(shown["title"], "Sold out");
    assert_eq!(shown["status"], 409);
    assert_eq!(shown["code"], "SOLD_OUT");
    assert!(shown["detail"].as_str().unwrap().starts_with("No seat is left"));
}

#[test]
fn a_refusal_adds_what_its_code_promises() {
    let shown = body(&Refusal::NotEnoughSeats { available: 3 }.into());
    assert_eq!((&shown["code"], &shown["available"]), (&"NOT_ENOUGH_SEATS".into(), &3.into()));
    let shown = body(&Refusal::LimitExceeded { scope: LimitScope::Customer, limit: 9, holding: 7 }.into());
    assert_eq!((&shown["limit"], &shown["holding"]), (&9.into(), &7.into()));
    let shown = body(&Refusal::SaleNotOpen { opens_at: Some(Timestamp::from_millis(0)) }.into());
    assert_eq!(shown["opens_at"], "1970-01-01T00:00:00.000Z");
    let shown = body(&Refusal::SaleNotOpen { opens_at: None }.into());
    assert!(shown.get("opens_at").is_none());
    let seats = ["1A".parse().unwrap(), "2B".parse().unwrap()].into_iter().collect();
    let shown = body(&Refusal::SeatTaken { seats }.into());
    assert_eq!(shown["seats"], serde_json::json!(["1A", "2B"]));
}

#[test]
fn an_answer_that_asks_to_come_back_says_when() {
    for problem in [Problem::outcome_unknown(), Problem::overloaded("x", 7), Problem::flight_elsewhere()] {
        let response = problem.into_response();
        assert_eq!(response.status(), 503);
        assert!(response.headers().contains_key(RETRY_AFTER));
    }
}
