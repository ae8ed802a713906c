//! What a flight's ids are made of: the server's secrets, and the owners the flight has had. Whoever does not know the secret
//! cannot make an id, however many they have seen.
//! Never opens anything before the secrets are put to it.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use siphasher::sip::SipHasher24;

use super::ids::{Epoch, FlightId, OrderNo, RecordLocator, Salt, Seq, WaitlistNo};
use super::secrets::{Era, EraNonce, IdSecret, IdSecrets, SecretId, UnknownSecret};

/// What a flight's ids are made of. Whatever is decoded is *locked*: it makes ids that open nothing, until the secrets are
/// put to it. Two are equal if their history is, locked or not.
#[derive(Clone)]
pub struct FlightIds {
    salt: Salt,
    eras: Vec<Era>,
    unlocked: Option<Box<Unlocked>>,
}

#[derive(Clone)]
struct Unlocked {
    secrets: Arc<IdSecrets>,
    flight_id: FlightId,
    /// Keys of each era, in the order of `eras`; at least one: of flights without an era, those of the current secret.
    keys: Vec<EraKeys>,
    locators: [u8; 16],
}

#[derive(Clone, Copy)]
struct EraKeys {
    orders: [u8; 16],
    waitlist: [u8; 16],
}

impl FlightIds {
    /// Those of a flight that nobody has owned yet.
    pub const fn new(salt: Salt) -> Self {
        Self::with_eras(salt, Vec::new())
    }

    /// Those of a flight with these owners so far, by rising event.
    pub const fn with_eras(salt: Salt, eras: Vec<Era>) -> Self {
        Self { salt, eras, unlocked: None }
    }

    /// What tells this flight from another one that is made under the same id. No secret.
    pub const fn salt(&self) -> Salt {
        self.salt
    }

    /// The owners so far.
    pub fn eras(&self) -> &[Era] {
        &self.eras
    }

    /// The newest owner, if any is known.
    pub fn newest(&self) -> Option<&Era> {
        self.eras.last()
    }

    /// The owner that decided an event, as far as is known.
    pub fn era_at(&self, seq: Seq) -> Option<&Era> {
        self.place_of(seq).map(|place| &self.eras[place])
    }

    /// Whether ids can be made.
    pub const fn is_unlocked(&self) -> bool {
        self.unlocked.is_some()
    }

    /// Puts the secrets to it.
    pub fn unlock(&mut self, flight_id: &FlightId, secrets: &Arc<IdSecrets>) -> Result<(), UnknownSecret> {
        let secret_of = |id: SecretId| secrets.find(id).ok_or(UnknownSecret(id));
        let first = secret_of(self.eras.first().map_or(secrets.current(), |era| era.secret))?;
        let mut keys = Vec::with_capacity(self.eras.len().max(1));
        for era in &self.eras {
            keys.push(EraKeys::derive(secret_of(era.secret)?, flight_id, self.salt, (era.epoch, era.nonce)));
        }
        if keys.is_empty() {
            keys.push(EraKeys::derive(first, flight_id, self.salt, (Epoch(0), EraNonce(0))));
        }
        let locators =
            first.derive("farerush 2026-11 record locators", flight_id, self.salt, (Epoch(0), EraNonce(0)));
        let locators = first_half(&locators);
        let (secrets, flight_id) = (Arc::clone(secrets), flight_id.clone());
        self.unlocked = Some(Box::new(Unlocked { secrets, flight_id, keys, locators }));
        Ok(())
    }

    /// A new owner begins. The first one that is known counts for everything in front of it, too.
    pub fn begin(&mut self, era: Era) -> Result<(), UnknownSecret> {
        let from = if self.eras.is_empty() { Seq(0) } else { era.from };
        self.eras.push(Era { from, ..era });
        match self.unlocked.take() {
            Some(unlocked) => self.unlock(&unlocked.flight_id, &unlocked.secrets),
            None => Ok(()),
        }
    }

    fn place_of(&self, seq: Seq) -> Option<usize> {
        self.eras.partition_point(|era| era.from <= seq).checked_sub(1)
    }

    fn keys_of(&self, no: u64) -> Option<&EraKeys> {
        self.unlocked.as_ref()?.keys.get(self.place_of(Seq(no)).unwrap_or(0))
    }

    /// The tag that makes an order's id unguessable, 64 bits: SipHash-2-4 of the order's number under a key of the flight's,
    /// of the owner's that placed it, and of orders alone. 0, which opens nothing, while locked.
    pub fn order_tag(&self, no: OrderNo) -> u64 {
        self.keys_of(no.0).map_or(0, |keys| tag(&keys.orders, no.0))
    }

    /// The same for an entry of the waitlist; that of an order with the same number is another one.
    pub fn waitlist_tag(&self, no: WaitlistNo) -> u64 {
        self.keys_of(no.0).map_or(0, |keys| tag(&keys.waitlist, no.0))
    }

    /// The record locator of an order: a permutation of 30 bits (a Feistel network of four rounds of SipHash-2-4). The 24
    /// lower bits of the number, two of its owner's epoch and four of the owner's nonce go in, so that no two of the first
    /// 2^24 events of a flight share one, nor do two that get one number because events were lost at a fail-over; of two
    /// that do because a copy was put back, one in 16 does.
    pub fn record_locator(&self, no: OrderNo) -> RecordLocator {
        const HALF: u64 = (1 << 15) - 1;
        let key = self.unlocked.as_ref().map_or([0; 16], |unlocked| unlocked.locators);
        let owner = self.era_at(Seq(no.0)).map_or(0, |era| (era.epoch.0 & 3) << 4 | era.nonce.0 & 15);
        let number = (no.0 & 0xff_ffff) << 6 | owner;
        let (mut left, mut right) = (number >> 15, number & HALF);
        for round in 0..4_u64 {
            let mixed = tag(&key, right << 8 | round) & HALF;
            (left, right) = (right, left ^ mixed);
        }
        RecordLocator::from_number(left << 15 | right)
    }
}

impl EraKeys {
    fn derive(secret: &IdSecret, flight_id: &FlightId, salt: Salt, owner: (Epoch, EraNonce)) -> Self {
        let orders = secret.derive("farerush 2026-11 order ids", flight_id, salt, owner);
        let waitlist = secret.derive("farerush 2026-11 waitlist ids", flight_id, salt, owner);
        Self { orders: first_half(&orders), waitlist: first_half(&waitlist) }
    }
}

/// <https://www.aumasson.jp/siphash/siphash.pdf>: a pseudo-random function with keys of 128 bits.
fn tag(key: &[u8; 16], number: u64) -> u64 {
    SipHasher24::new_with_key(key).hash(&number.to_le_bytes())
}

fn first_half(bytes: &[u8; 32]) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&bytes[..16]);
    half
}

impl PartialEq for FlightIds {
    fn eq(&self, other: &Self) -> bool {
        self.salt == other.salt && self.eras == other.eras
    }
}

impl Eq for FlightIds {}

impl Hash for FlightIds {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.salt.hash(state);
        self.eras.hash(state);
    }
}

impl fmt::Debug for FlightIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { salt, eras, unlocked } = self;
        let is_unlocked = unlocked.is_some();
        f.debug_struct("FlightIds")
            .field("salt", salt)
            .field("eras", eras)
            .field("unlocked", &is_unlocked)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::flight::secrets::IdSecret;

    fn ids(secret: u8, epochs: &[(u64, u64)]) -> FlightIds {
        let flight_id = FlightId::new("FR101-20261224").unwrap();
        let secrets = Arc::new(IdSecrets::new(IdSecret::new([secret; 32]), []));
        let mut ids = FlightIds::new(Salt(7));
        ids.unlock(&flight_id, &secrets).unwrap();
        for &(from, epoch) in epochs {
            let nonce = EraNonce(epoch * 1_000_003);
            let era = Era { from: Seq(from), epoch: Epoch(epoch), secret: secrets.current(), nonce };
            ids.begin(era).unwrap();
        }
        ids
    }

    #[test]
    fn what_is_locked_makes_tags_that_open_nothing() {
        let ids = FlightIds::new(Salt(7));
        assert_eq!((ids.order_tag(OrderNo(5)), ids.waitlist_tag(WaitlistNo(5))), (0, 0));
    }

    #[test]
    fn an_id_needs_the_secret_the_flight_the_owner_and_the_kind() {
        let one = ids(1, &[(1, 1)]);
        let mut tags = HashSet::from([one.order_tag(OrderNo(5)), one.waitlist_tag(WaitlistNo(5))]);
        tags.insert(ids(2, &[(1, 1)]).order_tag(OrderNo(5)));
        tags.insert(ids(1, &[(1, 2)]).order_tag(OrderNo(5)));
        let mut other = FlightIds::with_eras(Salt(7), one.eras().to_vec());
        let secrets = Arc::new(IdSecrets::new(IdSecret::new([1; 32]), []));
        other.unlock(&FlightId::new("FR102-20261224").unwrap(), &secrets).unwrap();
        tags.insert(other.order_tag(OrderNo(5)));
        assert_eq!(tags.len(), 5);
    }

    #[test]
    fn a_number_that_comes_again_after_a_loss_has_another_id_and_another_locator() {
        // Up to event 10 both know the same; one lost what came behind it and was taken over.
        let (before, after) = (ids(1, &[(1, 3)]), ids(1, &[(1, 3), (11, 4)]));
        for no in 1..=10 {
            assert_eq!(before.order_tag(OrderNo(no)), after.order_tag(OrderNo(no)));
            assert_eq!(before.record_locator(OrderNo(no)), after.record_locator(OrderNo(no)));
        }
        for no in 11..=5_000 {
            assert_ne!(before.order_tag(OrderNo(no)), after.order_tag(OrderNo(no)));
            assert_ne!(before.waitlist_tag(WaitlistNo(no)), after.waitlist_tag(WaitlistNo(no)));
            assert_ne!(before.record_locator(OrderNo(no)), after.record_locator(OrderNo(no)));
        }
    }

    #[test]
    fn a_copy_that_is_put_back_makes_other_ids_than_what_it_replaces() {
        let with = |nonce| {
            let mut ids = ids(1, &[(1, 1)]);
            let secret = ids.eras()[0].secret;
            ids.begin(Era { from: Seq(11), epoch: Epoch(2), secret, nonce: EraNonce(nonce) }).unwrap();
            ids
        };
        let (lost, again) = (with(5), with(6));
        for no in 11..1_000 {
            assert_ne!(lost.order_tag(OrderNo(no)), again.order_tag(OrderNo(no)));
            assert_ne!(lost.record_locator(OrderNo(no)), again.record_locator(OrderNo(no)));
        }
        assert_eq!(lost.order_tag(OrderNo(10)), again.order_tag(OrderNo(10)));
    }

    #[test]
    fn no_two_orders_of_a_flight_share_a_locator() {
        let ids = ids(1, &[(1, 1), (20_000, 2), (60_000, 9)]);
        let mut seen = HashSet::new();
        for no in 0..100_000 {
            assert!(seen.insert(ids.record_locator(OrderNo(no))), "{no}");
        }
    }

    #[test]
    fn old_ids_stay_valid_when_the_secret_is_changed_as_long_as_the_old_one_is_known() {
        let flight_id = FlightId::new("FR1").unwrap();
        let (old, new) = (IdSecret::new([1; 32]), IdSecret::new([2; 32]));
        let era = Era { from: Seq(1), epoch: Epoch(1), secret: old.id(), nonce: EraNonce(7) };
        let eras = vec![Era { from: Seq(0), ..era }];
        let mut made = FlightIds::with_eras(Salt(7), eras);
        let mut later = made.clone();
        made.unlock(&flight_id, &Arc::new(IdSecrets::new(old.clone(), []))).unwrap();
        later.unlock(&flight_id, &Arc::new(IdSecrets::new(new.clone(), [old.clone()]))).unwrap();
        later.begin(Era { from: Seq(50), epoch: Epoch(2), secret: new.id(), nonce: EraNonce(8) }).unwrap();
        assert_eq!(made.order_tag(OrderNo(49)), later.order_tag(OrderNo(49)));
        assert_ne!(made.order_tag(OrderNo(50)), later.order_tag(OrderNo(50)));
        let alone = Arc::new(IdSecrets::new(new, []));
        assert_eq!(later.unlock(&flight_id, &alone), Err(UnknownSecret(old.id())));
    }

    #[test]
    fn neither_a_secret_nor_a_key_is_shown() {
        let secret = IdSecret::new([0xab; 32]);
        let secrets = IdSecrets::new(secret.clone(), [secret.clone()]);
        for shown in [format!("{secret:?}"), format!("{secrets:?}"), format!("{:?}", ids(0xab, &[(1, 1)]))] {
            assert!(!shown.contains("171") && !shown.contains("abab"), "{shown}");
        }
    }
}
