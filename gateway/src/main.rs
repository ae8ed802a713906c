//! The binary: a memory allocator, and what stands in `start/program.rs`.
//! Never does anything itself.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    farerush::start::program::run()
}
