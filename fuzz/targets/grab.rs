#![no_main]
#![allow(dead_code, reason = "each target uses a part of the properties")]

#[path = "../properties/bodies.rs"]
mod bodies;
mod limit;

libfuzzer_sys::fuzz_target!(|input: &[u8]| bodies::grab(input));
