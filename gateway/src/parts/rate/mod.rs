//! How often somebody may ask: by customer, by address, by admin token. Off unless the settings say otherwise.
//! Never knows who somebody is: it is told.

mod address;
mod limiter;
mod shares;
mod together;

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use farerush_engine::flight::{AdminName, CustomerId, FlightId};
use warp::http::HeaderMap;

use crate::wire::problem::Problem;

pub(crate) use address::counted;
pub use address::{Network, Proxies};
pub use limiter::{KEYS_MAX, Limiter, Taken};
pub use shares::{JOINS_PER_ADDRESS_MAX, KeyPrint, Share, Shares, THING_BYTES, UsedUp};
pub use together::{COUNT, Counted, Together, Wanted, Whose};

/// How often those are forgotten who have not asked lately.
const FORGET_EVERY: Duration = Duration::from_secs(10);

/// The limits, each in requests a second, which is also how many may come at once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RateLimits {
    /// Of one customer.
    pub per_customer: Option<NonZeroU32>,
    /// Of one address (an IPv6 network of 64 bits counts as one).
    pub per_address: Option<NonZeroU32>,
    /// With one admin token.
    pub per_token: Option<NonZeroU32>,
    /// Things that one address may make one flight keep within a day, where customers show nothing.
    pub things_per_address: Option<NonZeroU32>,
    /// Whose word is taken for whom they ask for.
    pub trusted_proxies: Proxies,
}

/// Who has asked how often.
#[derive(Debug)]
pub struct Rates {
    customers: Option<Limiter<CustomerId>>,
    addresses: Option<Limiter<IpAddr>>,
    tokens: Option<Limiter<AdminName>>,
    proxies: Proxies,
    /// The servers that keep these limits together, where there may be some.
    together: OnceLock<Arc<Together>>,
    /// What addresses have made flights keep.
    pub shares: Shares,
}

/// Whose address a request counts for, where addresses matter: the other end's of its connection, until a trusted proxy has
/// said for whom it asks.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub IpAddr);

impl Rates {
    /// Nobody has asked yet.
    pub fn new(limits: &RateLimits) -> Self {
        Self {
            customers: limits.per_customer.map(Limiter::new),
            addresses: limits.per_address.map(Limiter::new),
            tokens: limits.per_token.map(Limiter::new),
            proxies: limits.trusted_proxies.clone(),
            together: OnceLock::new(),
            shares: Shares::new(limits.things_per_address.map(NonZeroU32::get)),
        }
    }

    /// Whether nobody is limited.
    pub fn are_off(&self) -> bool {
        self.customers.is_none() && self.addresses.is_none() && self.tokens.is_none()
    }

    /// Whether addresses are limited.
    pub fn know_addresses(&self) -> bool {
        self.addresses.is_some()
    }

    /// Has these limits kept together with other servers from now on.
    pub fn keep_together(&self, together: Arc<Together>) {
        // Nobody else sets it.
        let _ = self.together.set(together);
    }

    /// Counts a request of this customer; `RATE_LIMITED` if it is one too many. Waits only where another server counts them.
    pub async fn customer(&self, customer: &CustomerId) -> Result<(), Problem> {
        let Some(limiter) = &self.customers else { return Ok(()) };
        self.check(Whose::Customer, limiter, (customer, customer.as_str())).await
    }

    /// Counts a request with this admin token; `RATE_LIMITED` if it is one too many. Waits only where another server counts them.
    pub async fn token(&self, name: &AdminName) -> Result<(), Problem> {
        let Some(limiter) = &self.tokens else { return Ok(()) };
        self.check(Whose::Token, limiter, (name, name.as_str())).await
    }

    /// Counts a request from this address; `RATE_LIMITED` if it is one too many. Waits only where another server counts them.
    pub async fn address(&self, address: IpAddr) -> Result<(), Problem> {
        let Some(limiter) = &self.addresses else { return Ok(()) };
        self.check(Whose::Address, limiter, (&address, &address.to_string())).await
    }

    /// The same where nothing has to be waited for; else `None`, and nothing is counted.
    pub fn address_now(&self, address: IpAddr) -> Option<Result<(), Problem>> {
        let Some(limiter) = &self.addresses else { return Some(Ok(())) };
        let checked = match self.together.get() {
            None => limiter.check(&address),
            Some(together) => {
                together.check_now(Whose::Address, limiter, (&address, &address.to_string()))?
            }
        };
        Some(checked.map_err(|wait| refused(Whose::Address, limiter.per_second(), wait)))
    }

    async fn check<K>(&self, whose: Whose, limiter: &Limiter<K>, key: (&K, &str)) -> Result<(), Problem>
    where
        K: std::hash::Hash + Eq + Clone,
    {
        let checked = match self.together.get() {
            None => limiter.check(key.0),
            Some(together) => together.check(whose, limiter, key).await,
        };
        checked.map_err(|wait| refused(whose, limiter.per_second(), wait))
    }

    /// Counts what another server is about to let through; `None` if that makes no sense.
    pub fn count_for_other(&self, wanted: &Wanted) -> Option<Counted> {
        let all = Taken { count: wanted.count.get(), wait: Duration::ZERO };
        let taken = match wanted.whose {
            Whose::Customer => {
                let customer = CustomerId::new(&wanted.name).ok()?;
                self.customers.as_ref().map(|limiter| limiter.take(&customer, wanted.count))
            }
            Whose::Address => {
                let address = wanted.name.parse().ok()?;
                self.addresses.as_ref().map(|limiter| limiter.take(&address, wanted.count))
            }
            Whose::Token => {
                let name = AdminName::new(&wanted.name).ok()?;
                self.tokens.as_ref().map(|limiter| limiter.take(&name, wanted.count))
            }
        };
        // A server with other settings may have no such limit.
        Some(taken.unwrap_or(all).into())
    }

    /// The share of whoever asks on this flight, where it counts in one.
    pub fn share(&self, flight: &FlightId, address: Option<IpAddr>) -> Option<Arc<Share>> {
        Some(self.shares.of(flight, address?, Instant::now()))
    }

    /// Whether one thing more may be kept in this share; `QUOTA_EXCEEDED` if it is used up, and the key is a new one.
    pub fn may_keep(&self, share: Option<&Arc<Share>>, key: Option<KeyPrint>) -> Result<(), Problem> {
        let Some(share) = share else { return Ok(()) };
        self.shares.check(share, key, Instant::now()).map_err(Problem::from)
    }

    /// Whether this peer's word is taken for whom it asks for.
    pub fn trusts(&self, peer: IpAddr) -> bool {
        self.proxies.trusts(peer.to_canonical())
    }

    /// The address that a request from this peer with these headers counts for.
    pub fn counted(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        address::counted(self.proxies.client(peer, headers))
    }

    /// Forgets those who have not asked lately.
    fn forget_idle(&self) {
        if let Some(customers) = &self.customers {
            customers.forget_idle();
        }
        if let Some(addresses) = &self.addresses {
            addresses.forget_idle();
        }
        if let Some(tokens) = &self.tokens {
            tokens.forget_idle();
        }
        if let Some(together) = self.together.get() {
            together.forget_idle();
        }
    }
}

/// Forgets, again and again until whoever has the rates is gone.
pub async fn upkeep<T>(owner: Weak<T>, rates: impl Fn(&T) -> &Rates) {
    let mut ticks = tokio::time::interval(FORGET_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(owner) = owner.upgrade() else { return };
        rates(&owner).forget_idle();
    }
}

fn refused(whose: Whose, per_second: u32, wait: Duration) -> Problem {
    let whose = match whose {
        Whose::Customer => "this customer",
        Whose::Address => "this address",
        Whose::Token => "this token",
    };
    // Whole seconds, and never too few.
    let seconds = u32::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(u32::MAX).max(1);
    Problem::rate_limited(whose, per_second, seconds)
}
