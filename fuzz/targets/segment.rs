#![no_main]
#![allow(dead_code, reason = "each target uses a part of the properties")]

mod limit;
#[path = "../properties/segment.rs"]
mod segment;

libfuzzer_sys::fuzz_target!(|input: &[u8]| segment::segment(input));
