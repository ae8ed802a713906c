//! Where a key leads: to an order or to a request, by whose key it is and what it says.
//! Never keeps a key itself: what it leads to does, so that a key is in memory once.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::ids::{CustomerId, IdempotencyKey};

/// Whose key it is. A key belongs to whoever sent it: the same text of somebody else is another key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KeyOwner {
    /// A customer's.
    Customer(CustomerId),
    /// One of the admins', who share theirs: whoever takes a shift over repeats what the other one sent.
    Admins,
    /// Written before keys had owners, who are found out when a flight is restored: never in a flight.
    Unsaid,
}

impl KeyOwner {
    /// The same without a copy of the name.
    pub(super) fn as_ref(&self) -> OwnerRef<'_> {
        match self {
            Self::Customer(customer) => OwnerRef::Customer(customer),
            Self::Admins | Self::Unsaid => OwnerRef::Admins,
        }
    }
}

/// Whose key it is, by a name that stands somewhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum OwnerRef<'n> {
    Customer(&'n CustomerId),
    Admins,
}

/// From keys to the numbers of what has them. The hash is kept beside each number, so that growing looks nothing up.
#[derive(Debug, Clone)]
pub(super) struct KeyTable<N> {
    table: HashTable<(u64, N)>,
    hasher: RandomState,
}

impl<N> Default for KeyTable<N> {
    fn default() -> Self {
        Self { table: HashTable::new(), hasher: RandomState::default() }
    }
}

impl<N: Copy + PartialEq> KeyTable<N> {
    fn hash(&self, owner: OwnerRef<'_>, key: &IdempotencyKey) -> u64 {
        self.hasher.hash_one((owner, key))
    }

    /// The number of what has this key; `is_it` says whether one does.
    pub(super) fn find(
        &self,
        owner: OwnerRef<'_>,
        key: &IdempotencyKey,
        is_it: impl Fn(N) -> bool,
    ) -> Option<N> {
        if self.table.is_empty() {
            return None;
        }
        let hash = self.hash(owner, key);
        self.table.find(hash, |(its, no)| *its == hash && is_it(*no)).map(|(_, no)| *no)
    }

    /// The caller has seen that the key leads nowhere yet.
    pub(super) fn insert(&mut self, owner: OwnerRef<'_>, key: &IdempotencyKey, no: N) {
        let hash = self.hash(owner, key);
        self.table.insert_unique(hash, (hash, no), |(hash, _)| *hash);
    }

    pub(super) fn remove(&mut self, owner: OwnerRef<'_>, key: &IdempotencyKey, no: N) {
        let hash = self.hash(owner, key);
        if let Ok(entry) = self.table.find_entry(hash, |(its, its_no)| *its == hash && *its_no == no) {
            entry.remove();
        }
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// In no certain order.
    pub(super) fn iter(&self) -> impl Iterator<Item = N> {
        self.table.iter().map(|(_, no)| *no)
    }
}
