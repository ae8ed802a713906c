#![no_main]
#![allow(dead_code, reason = "each target uses a part of the properties")]

#[path = "../properties/codec.rs"]
mod codec;
mod limit;

libfuzzer_sys::fuzz_target!(|input: &[u8]| codec::record(input));
