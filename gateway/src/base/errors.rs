//! How errors are told.
//! Never decides what becomes of them.

use std::error::Error;

/// An error with all its causes, in one line.
pub fn in_full(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
