//! How the allocator gives memory back to the system.
//! Never allocates anything.

/// After how many milliseconds the allocator gives back what nobody uses.
const GIVE_BACK_AFTER_MS: std::ffi::c_long = 2_000;
/// mimalloc's `mi_option_purge_delay`, which its Rust names leave out.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

/// Lets the allocator keep what was freed for two seconds instead of 10 ms, unless the environment says otherwise. A
/// round's memory is freed on another thread than its own; given back at once, the kernel clears the same pages for
/// every round again.
#[expect(unsafe_code, reason = "the allocator has no other way to be told")]
pub fn keep_for_the_next_round() {
    if std::env::var_os("MIMALLOC_PURGE_DELAY").is_none() {
        // SAFETY: it only sets a number that the allocator reads at its next collection; any value and any time will do.
        unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, GIVE_BACK_AFTER_MS) };
    }
}
