//! The seed of a random test: given, or drawn and printed, so that any run can be had again.

use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// A runner of `FARERUSH_TEST_CASES` cases (`default_cases`, if it is not set) from `FARERUSH_TEST_SEED` (64 hexadecimal
/// digits) or from a random seed; and the seed's digits, which it has printed.
pub(crate) fn runner(default_cases: u32) -> (TestRunner, String) {
    let cases =
        std::env::var("FARERUSH_TEST_CASES").map_or(default_cases, |text| text.parse().expect("a number"));
    let seed = seed();
    let digits: String = seed.iter().map(|byte| format!("{byte:02x}")).collect();
    println!("{cases} cases, FARERUSH_TEST_SEED={digits}");
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    (TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed)), digits)
}

fn seed() -> [u8; 32] {
    let mut seed = [0_u8; 32];
    match std::env::var("FARERUSH_TEST_SEED") {
        Ok(text) => {
            for (place, byte) in seed.iter_mut().enumerate() {
                let digits = text.get(2 * place..2 * place + 2).expect("a seed of 64 hexadecimal digits");
                *byte = u8::from_str_radix(digits, 16).expect("a seed of 64 hexadecimal digits");
            }
        }
        Err(_) => {
            for word in seed.chunks_mut(8) {
                let random = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0);
                word.copy_from_slice(&random.to_le_bytes());
            }
        }
    }
    seed
}
