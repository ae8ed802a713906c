//! How much of what is over each may cause, and all together.
//! Never counts it: the ledger does.

/// Things that are over and are kept of one customer, at most, on a flight that lets them have no seat; each seat that a
/// customer may have adds [`THINGS_PER_SEAT`].
pub const THINGS_PER_CUSTOMER: u32 = 512;
/// Further things for each seat that the sale lets one customer have: enough to try, pay, name and give up each.
pub const THINGS_PER_SEAT: u32 = 4;
/// The bytes that those things may take together, likewise.
pub const BYTES_PER_CUSTOMER: u64 = 256 << 10;
/// Further bytes for each seat: the names and references of several orders of it.
pub const BYTES_PER_SEAT: u64 = 4 << 10;
/// Things of one customer, at most, where all customers together have filled half of what is kept: whoever has caused
/// most is refused first, and whoever has caused nothing never is. Each seat adds one.
pub const THINGS_PER_CUSTOMER_CROWDED: u32 = 16;
/// Things that are over and are kept of all customers of a flight, about: beyond it the oldest are forgotten early.
pub const THINGS_KEPT_MAX: usize = 262_144;
/// The bytes that they may take together, about.
pub const BYTES_KEPT_MAX: u64 = 128 << 20;
/// Keys of admins' requests that are kept, at most; they are no part of what customers cause.
pub const ADMIN_KEYS_MAX: u32 = 65_536;

/// How much may be kept. Only what is decided looks at it, so that replay never depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Things of one customer, apart from those for each seat.
    pub things_per_customer: u32,
    /// Things of all customers.
    pub things_kept_max: usize,
    /// Bytes of all customers' things.
    pub bytes_kept_max: u64,
    /// Keys of admins' requests.
    pub admin_keys_max: u32,
}

impl Budget {
    /// What every flight begins with.
    pub const STANDARD: Self = Self {
        things_per_customer: THINGS_PER_CUSTOMER,
        things_kept_max: THINGS_KEPT_MAX,
        bytes_kept_max: BYTES_KEPT_MAX,
        admin_keys_max: ADMIN_KEYS_MAX,
    };
}
