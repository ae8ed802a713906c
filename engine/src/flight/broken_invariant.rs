//! What is said of something that must always hold of a flight and does not.
//! Never says what must hold: `invariants` does.

/// Something that must always hold does not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("broken invariant \"{name}\": {detail}")]
pub struct BrokenInvariant {
    /// Which one.
    pub name: &'static str,
    /// How it is broken.
    pub detail: String,
}

impl BrokenInvariant {
    /// Names a broken invariant.
    pub fn new(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, detail: detail.into() }
    }
}
