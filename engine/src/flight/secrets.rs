//! The server's secrets, and which owner of a flight made ids with which of them.
//! Never leaves anything of a secret in what is stored, shown or logged: a flight's history names it by a fingerprint.

use std::fmt;

use super::ids::{Epoch, FlightId, Salt, Seq};

/// Bytes of a secret.
pub const SECRET_BYTES: usize = 32;
/// Most secrets that are known at the same time: the one in use and those that were.
pub const SECRETS_MAX: usize = 32;

/// What a secret is called in a flight's history: 64 bits of a hash that says nothing of the secret itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SecretId(pub u64);

impl fmt::Display for SecretId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A secret of the server's, from which all keys are derived.
#[derive(Clone, PartialEq, Eq)]
pub struct IdSecret([u8; SECRET_BYTES]);

impl fmt::Debug for IdSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IdSecret({})", self.id())
    }
}

impl IdSecret {
    /// The secret that these bytes are; they must come from a good source of randomness.
    pub const fn new(bytes: [u8; SECRET_BYTES]) -> Self {
        Self(bytes)
    }

    /// What it is called.
    pub fn id(&self) -> SecretId {
        let hash = blake3::derive_key("farerush 2026-11 the name of an id secret", &self.0);
        SecretId(u64_at(&hash, 0))
    }

    /// Keys for one flight under one owner (BLAKE3's key derivation, domain-separated by `context`).
    pub(super) fn derive(
        &self,
        context: &str,
        flight_id: &FlightId,
        salt: Salt,
        owner: (Epoch, EraNonce),
    ) -> [u8; 32] {
        let mut hash = blake3::Hasher::new_derive_key(context);
        hash.update(&self.0);
        hash.update(&salt.0.to_le_bytes());
        hash.update(&owner.0.0.to_le_bytes());
        hash.update(&owner.1.0.to_le_bytes());
        // Last, because of varying length.
        hash.update(flight_id.as_str().as_bytes());
        *hash.finalize().as_bytes()
    }
}

/// All secrets a server knows: the one it makes new ids with, and those that ids were made with before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdSecrets {
    current: (SecretId, IdSecret),
    older: Vec<(SecretId, IdSecret)>,
}

impl IdSecrets {
    /// A key for something else than ids that all servers of a system share, which says nothing of the secrets (BLAKE3's key
    /// derivation from the one in use; `context` is that purpose's own).
    pub fn key_for(&self, context: &str) -> [u8; 32] {
        blake3::derive_key(context, &self.current.1.0)
    }

    /// `current` makes new ids, all of them open old ones.
    pub fn new(current: IdSecret, older: impl IntoIterator<Item = IdSecret>) -> Self {
        let named = |secret: IdSecret| (secret.id(), secret);
        Self { current: named(current), older: older.into_iter().map(named).collect() }
    }

    /// What the secret is called with which new ids are made.
    pub const fn current(&self) -> SecretId {
        self.current.0
    }

    /// What all of them are called, the current one first.
    pub fn known(&self) -> impl Iterator<Item = SecretId> {
        std::iter::once(self.current.0).chain(self.older.iter().map(|(id, _)| *id))
    }

    pub(super) fn find(&self, id: SecretId) -> Option<&IdSecret> {
        let all = std::iter::once(&self.current).chain(&self.older);
        all.into_iter().find(|(its, _)| *its == id).map(|(_, secret)| secret)
    }
}

/// What tells an owner from all others, also from those that began at the same point of a history that was put back from a
/// copy: drawn by the shell, no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EraNonce(pub u64);

impl fmt::Display for EraNonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// From which event on a flight has had this owner, and with which secret that one made ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Era {
    /// The owner's first event; 0 for the first owner that is known.
    pub from: Seq,
    /// The owner's epoch.
    pub epoch: Epoch,
    /// The owner's secret.
    pub secret: SecretId,
    /// What tells it from any other owner.
    pub nonce: EraNonce,
}

impl Era {
    /// Whether an owner can have come behind it that began with this event and epoch.
    pub fn is_followed_by(&self, from: Seq, epoch: Epoch) -> bool {
        from > self.from && epoch > self.epoch
    }

    /// Whether each of them can have come behind the one in front of it.
    pub fn all_follow(eras: &[Self]) -> bool {
        eras.windows(2).all(|pair| pair[0].is_followed_by(pair[1].from, pair[1].epoch))
    }
}

/// A secret that a flight's ids were made with is not known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "its ids were made with the secret {0}, which this server does not have: give it as one of id_secret or in \
     id_secret_file (the server that made them has it in id.secret of its data_dir)"
)]
pub struct UnknownSecret(pub SecretId);

fn u64_at(bytes: &[u8; 32], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}
