//! An allocator that ends the process when somebody wants more at once than any input can be worth, so that the fuzzer
//! finds what lets a few bytes claim gigabytes. Never frees less or more than the system's would.

use std::alloc::{GlobalAlloc, Layout, System};

/// What decoding one value may claim at most is 36 MiB; nothing else comes near.
const ALLOCATION_BYTES_MAX: usize = 64 << 20;

struct Limited;

#[global_allocator]
static LIMITED: Limited = Limited;

// SAFETY: every call goes on to the system's allocator as it is, or never returns.
unsafe impl GlobalAlloc for Limited {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        check(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        check(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        check(size);
        unsafe { System.realloc(pointer, layout, size) }
    }
}

fn check(size: usize) {
    if size > ALLOCATION_BYTES_MAX {
        // No message: that would allocate.
        std::process::abort();
    }
}
