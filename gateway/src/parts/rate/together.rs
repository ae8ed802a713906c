//! Limits that several servers keep together: each customer, address and token is counted by one of them, and the others have
//! a few requests of it counted ahead, which they let through by themselves. Never counts more than is let through or may be.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use farerush_peers::Peers;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::limiter::{KEYS_MAX, Limiter, Taken};
use crate::parts::other_servers::lease::Lease;
use crate::parts::other_servers::members::weight;
use crate::parts::other_servers::others::answer_of;

/// Where a server is asked to count requests; nobody but another server reaches it.
pub const COUNT: &str = "/peers/rates";
/// Servers have so much of a limit counted ahead, all of them together: one part of so many.
const AHEAD_PART: u32 = 10;
/// How long the server that counts is waited for.
const COUNTING_MAX: Duration = Duration::from_millis(100);
/// So long a server is not asked that did not answer, but by one to see whether it does again.
const REST: Duration = Duration::from_secs(1);
/// Whoever has not asked for so long has as much as anybody new.
const IDLE: Duration = Duration::from_secs(2);

/// Whom a limit is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Whose {
    /// A customer's.
    Customer,
    /// An address's.
    Address,
    /// An admin token's.
    Token,
}

/// What another server is asked to count.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// Whose requests.
    pub whose: Whose,
    /// The name.
    pub name: String,
    /// How many.
    pub count: NonZeroU32,
}

/// What it says.
#[derive(Debug, Serialize, Deserialize)]
pub struct Counted {
    count: u32,
    wait_ms: u64,
}

impl From<Taken> for Counted {
    fn from(taken: Taken) -> Self {
        let wait_ms = taken.wait.as_micros().div_ceil(1000);
        Self { count: taken.count, wait_ms: u64::try_from(wait_ms).unwrap_or(u64::MAX) }
    }
}

/// Somebody whose requests another server counts.
#[derive(Debug)]
struct Account {
    /// So many were counted and not let through yet.
    ahead: u32,
    /// Whether one was let through that is not counted yet: the first.
    owes: bool,
    /// Until when there is nothing.
    dry_until: Option<Instant>,
    /// Who asks the server that counts tells here that it has been answered, by ending.
    asks: Option<watch::Receiver<()>>,
    /// How many have found nothing since it was asked.
    found_none: u32,
    seen: Instant,
}

/// What an account says of one request more.
enum Look {
    Passes,
    Refused(Duration),
    /// This is under way.
    Waits(watch::Receiver<()>),
    /// So many are to be counted.
    Asks(u32, watch::Sender<()>, watch::Receiver<()>),
    /// There are as many as may be.
    Full,
}

/// Who counts somebody's requests.
enum Counter {
    This,
    Other(SocketAddr, u32),
}

/// The servers that keep limits together, as this one sees them.
pub struct Together {
    /// Held weakly: a stop must not wait for whoever asks.
    lease: Weak<Lease>,
    peers: Arc<Peers>,
    /// By whose limit it is.
    accounts: [Mutex<HashMap<Box<str>, Account>>; 3],
    /// Servers that did not answer, and until when they are not asked; as many as there are servers, at most.
    silent: Mutex<HashMap<SocketAddr, Instant>>,
}

impl std::fmt::Debug for Together {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Together").finish_non_exhaustive()
    }
}

impl Together {
    /// The members that this lease knows, asked on these ways.
    pub fn new(lease: &Arc<Lease>, peers: Arc<Peers>) -> Arc<Self> {
        let lease = Arc::downgrade(lease);
        Arc::new(Self { lease, peers, accounts: Default::default(), silent: Mutex::default() })
    }

    /// Counts a request where that needs no waiting; else `None`.
    pub(super) fn check_now<K: Hash + Eq + Clone>(
        &self,
        whose: Whose,
        limiter: &Limiter<K>,
        (key, name): (&K, &str),
    ) -> Option<Result<(), Duration>> {
        match self.counter(name) {
            Counter::This => Some(limiter.check(key)),
            Counter::Other(..) => self.spend(whose, name, Instant::now()),
        }
    }

    /// Counts a request; if it is one too many, how long to wait.
    pub(super) async fn check<K: Hash + Eq + Clone>(
        self: &Arc<Self>,
        whose: Whose,
        limiter: &Limiter<K>,
        (key, name): (&K, &str),
    ) -> Result<(), Duration> {
        let Counter::Other(to, servers) = self.counter(name) else { return limiter.check(key) };
        let ahead = (limiter.per_second() / AHEAD_PART / servers).max(1);
        loop {
            if self.is_silent(to) {
                return limiter.check_part(key, servers);
            }
            let mut told = match self.look(whose, name, ahead, Instant::now()) {
                Look::Passes => return Ok(()),
                Look::Refused(wait) => return Err(wait),
                Look::Full => return limiter.check_part(key, servers),
                Look::Waits(told) => told,
                Look::Asks(count, tell, told) => {
                    let count = NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN);
                    let wanted = Wanted { whose, name: name.to_owned(), count };
                    // Goes on though whoever asked may go: others wait for it.
                    tokio::spawn(self.clone().ask(to, wanted, tell));
                    told
                }
            };
            // It never says anything but that it ends.
            let _ = told.changed().await;
        }
    }

    /// Of the members that can be asked and stay, the one to which the name belongs, as flights do: all find the same one, and
    /// only those go to another one whose server comes or goes.
    fn counter(&self, name: &str) -> Counter {
        let Some(lease) = self.lease.upgrade() else { return Counter::This };
        let servers = lease.servers();
        if servers.len() <= 1 {
            return Counter::This;
        }
        let count = u32::try_from(servers.len()).unwrap_or(u32::MAX);
        let can_be_asked = servers.iter().filter_map(|server| Some((server, server.about.peer?)));
        let best =
            can_be_asked.max_by_key(|(server, _)| (!server.about.leaves, weight(name, &server.life, 0)));
        match best {
            Some((server, peer)) if server.life != lease.life() => Counter::Other(peer, count),
            _ => Counter::This,
        }
    }

    /// Whether a server is left alone for a while; who is the first to come after that sees whether it answers.
    fn is_silent(&self, server: SocketAddr) -> bool {
        let now = Instant::now();
        match self.silent.lock().get_mut(&server) {
            None => false,
            Some(until) if now < *until => true,
            Some(until) => {
                *until = now + REST;
                false
            }
        }
    }

    /// Lets a request through that was counted, or refuses it where it is known that there is nothing; else `None`.
    fn spend(&self, whose: Whose, name: &str, now: Instant) -> Option<Result<(), Duration>> {
        let mut accounts = self.accounts[whose as usize].lock();
        let account = accounts.get_mut(name)?;
        account.seen = now;
        account.spend(now)
    }

    fn look(&self, whose: Whose, name: &str, ahead: u32, now: Instant) -> Look {
        let mut accounts = self.accounts[whose as usize].lock();
        let Some(account) = accounts.get_mut(name) else {
            if accounts.len() >= KEYS_MAX {
                return Look::Full;
            }
            // Whoever comes once needs nobody asked: the first request is counted with those that follow it.
            accounts.insert(name.into(), Account::new(now));
            return Look::Passes;
        };
        account.seen = now;
        match account.spend(now) {
            Some(Ok(())) => return Look::Passes,
            Some(Err(wait)) => return Look::Refused(wait),
            None => {}
        }
        account.found_none = account.found_none.saturating_add(1);
        // One whose sender is gone has said all it will.
        if let Some(asks) = account.asks.as_ref().filter(|asks| asks.has_changed().is_ok()) {
            return Look::Waits(asks.clone());
        }
        let (tell, told) = watch::channel(());
        account.asks = Some(told.clone());
        let wanted = ahead.max(std::mem::take(&mut account.found_none)) + u32::from(account.owes);
        Look::Asks(wanted, tell, told)
    }

    /// Asks the server that counts, and notes what it says.
    async fn ask(self: Arc<Self>, to: SocketAddr, wanted: Wanted, tell: watch::Sender<()>) {
        let counted = self.counted(to, &wanted).await;
        let now = Instant::now();
        match &counted {
            Some(_) => drop(self.silent.lock().remove(&to)),
            None => {
                tracing::debug!(%to, "a server that counts for others does not answer: this one counts its part");
                let mut silent = self.silent.lock();
                silent.retain(|_, until| now.saturating_duration_since(*until) < REST * 2);
                silent.insert(to, now + REST);
            }
        }
        let mut accounts = self.accounts[wanted.whose as usize].lock();
        if let Some(account) = accounts.get_mut(wanted.name.as_str()) {
            account.asks = None;
            if let Some(counted) = counted {
                let owed = u32::from(std::mem::take(&mut account.owes));
                account.ahead = account.ahead.saturating_add(counted.count.saturating_sub(owed));
                let is_all = counted.count >= wanted.count.get();
                account.dry_until = (!is_all).then(|| now + Duration::from_millis(counted.wait_ms));
            }
        }
        drop(accounts);
        drop(tell);
    }

    async fn counted(&self, to: SocketAddr, wanted: &Wanted) -> Option<Counted> {
        let json = serde_json::to_vec(wanted).ok()?;
        let answer = answer_of(&self.peers, to, COUNT, json.into(), COUNTING_MAX).await?;
        serde_json::from_slice(&answer).ok()
    }

    /// Forgets those who have not asked lately.
    pub(super) fn forget_idle(&self) {
        let now = Instant::now();
        for accounts in &self.accounts {
            let mut accounts = accounts.lock();
            accounts.retain(|_, account| now.saturating_duration_since(account.seen) < IDLE);
            accounts.shrink_to_fit();
        }
    }
}

impl Account {
    fn new(now: Instant) -> Self {
        Self { ahead: 0, owes: true, dry_until: None, asks: None, found_none: 0, seen: now }
    }

    fn spend(&mut self, now: Instant) -> Option<Result<(), Duration>> {
        if self.ahead > 0 {
            self.ahead -= 1;
            return Some(Ok(()));
        }
        let left = self.dry_until?.saturating_duration_since(now);
        (!left.is_zero()).then_some(Err(left))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_ahead_is_let_through_and_then_nothing_until_there_is_more() {
        let now = Instant::now();
        let mut account =
            Account { ahead: 2, dry_until: Some(now + Duration::from_secs(1)), ..Account::new(now) };
        assert_eq!(account.spend(now), Some(Ok(())));
        assert_eq!(account.spend(now), Some(Ok(())));
        assert_eq!(account.spend(now), Some(Err(Duration::from_secs(1))));
        assert_eq!(account.spend(now + Duration::from_secs(1)), None, "it is time to ask again");
    }

    #[test]
    fn what_servers_say_of_limits_is_read_as_it_was_meant() {
        let count = NonZeroU32::new(3).unwrap();
        let wanted = Wanted { whose: Whose::Address, name: "2001:db8::".to_owned(), count };
        let text = serde_json::to_string(&wanted).unwrap();
        assert_eq!(text, r#"{"whose":"address","name":"2001:db8::","count":3}"#);
        assert_eq!(serde_json::from_str::<Wanted>(&text).unwrap(), wanted);
        let counted = Counted::from(Taken { count: 1, wait: Duration::from_micros(1500) });
        assert_eq!((counted.count, counted.wait_ms), (1, 2));
    }
}
