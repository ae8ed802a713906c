//! What clients send, changed at a few places by chance: the properties of the fuzz targets (see `scripts/fuzz`), for as
//! long as a test may take. `FARERUSH_TEST_CASES` tries more.

#[path = "../../fuzz/properties/bodies.rs"]
mod bodies;
#[path = "../../fuzz/properties/corpus.rs"]
mod corpus;
#[path = "../../fuzz/properties/mutate.rs"]
mod mutate;
#[path = "../../fuzz/properties/request.rs"]
mod request;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use mutate::{Chance, cases};

type Property = fn(&[u8]);

fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.replace("TOKEN", request::TOKEN).into_bytes()).collect()
}

/// Every property, by the name of its target, with what it starts from.
fn all() -> [(&'static str, Property, Vec<Vec<u8>>); 6] {
    let bodies = [corpus::GRABS, corpus::FLIGHTS].concat();
    [
        ("grab", bodies::grab, texts(corpus::GRABS)),
        ("json", bodies::json, texts(&bodies)),
        ("flight", bodies::flight, texts(corpus::FLIGHTS)),
        ("query", bodies::query, texts(corpus::QUERIES)),
        ("names", bodies::names, texts(corpus::NAMES)),
        ("request", request::request, texts(corpus::REQUESTS)),
    ]
}

fn holds_of_mutations(name: &str, usually: usize) {
    let (_, property, corpus) = all().into_iter().find(|(its, ..)| *its == name).unwrap();
    let mut chance = Chance::of_this_run();
    for _ in 0..cases(usually) {
        let input = chance.mutated(&corpus, corpus::TOKENS);
        let outcome = std::panic::catch_unwind(|| property(&input));
        assert!(outcome.is_ok(), "{name}: {}", input.escape_ascii());
    }
}

/// Writes them down for the fuzz targets as well, if somebody says where.
#[test]
fn the_seeds_are_sound() {
    for (name, property, corpus) in all() {
        for (place, input) in corpus.iter().enumerate() {
            property(input);
            if let Some(folder) = std::env::var_os("FARERUSH_TEST_SEEDS") {
                let folder = Path::new(&folder).join(name);
                std::fs::create_dir_all(&folder).unwrap();
                std::fs::write(folder.join(format!("seed-{place}")), input).unwrap();
            }
        }
    }
}

#[test]
fn no_body_of_a_grab_means_two_things() {
    holds_of_mutations("grab", 10_000);
}

#[test]
fn json_is_read_as_it_is_written() {
    holds_of_mutations("json", 5_000);
}

#[test]
fn a_flight_that_is_taken_can_be_sold_and_kept() {
    holds_of_mutations("flight", 1_000);
}

#[test]
fn queries_are_understood_or_refused() {
    holds_of_mutations("query", 5_000);
}

#[test]
fn names_are_shown_as_they_were_given() {
    holds_of_mutations("names", 20_000);
}

#[test]
fn no_request_brings_the_server_down() {
    static PANICKED: AtomicBool = AtomicBool::new(false);
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        // One of the server's own threads: a client would only see its connection end.
        let of_a_test = std::thread::current().name().is_some_and(|name| name.contains("_"));
        PANICKED.fetch_or(!of_a_test, Ordering::Relaxed);
        usual(panic);
    }));
    holds_of_mutations("request", 300);
    assert!(request::is_alive());
    assert!(!PANICKED.load(Ordering::Relaxed), "something in the server panicked");
}
