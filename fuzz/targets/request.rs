#![no_main]
#![allow(dead_code, reason = "each target uses a part of the properties")]

mod limit;
#[path = "../properties/request.rs"]
mod request;

libfuzzer_sys::fuzz_target!(|input: &[u8]| request::request(input));
