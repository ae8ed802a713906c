//! The Redis journal: a stream for each flight, whose IDs Redis itself keeps in order.
//! Never locks anything in Redis, and never takes an unknown outcome for a success: the same round is sent again.
//!
//! Four ways to it: one for appends, so that nothing holds them up, one for what is asked again and again by those who
//! watch over ownership, one for the lease, and one for everything else. What is known of
//! a flight is trusted for as long as the connection lasts on which it was learnt; after that Redis is asked again,
//! and what it has must not be less than what it had confirmed.

mod address;
mod append;
mod attendance;
mod check;
mod claim;
mod heal;
mod keep;
mod kept;
mod link;
mod members;
mod node;
mod options;
mod pipeline;
mod primaries;
mod read;
mod routes;
mod safety;
mod slots;
mod standings;
mod stream;
mod watch;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ::redis::{Value, cmd};
use farerush_engine::flight::{Epoch, FlightId, FlightSnapshot, Recorded, Seq};
use farerush_engine::journal::{
    AppendCost, Appended, Batch, Claim, Claimed, ClaimsPlace, Extent, Journal, JournalError,
};
use parking_lot::Mutex;

use self::heal::Healing;
use self::kept::Kept;
use self::link::{Link, or_error};
use self::members::Life;
use self::primaries::Primaries;
use self::safety::Safety;
use self::standings::KnownStanding;
use self::stream::Keys;
use super::identity::{JournalIdentity, random_id};
pub use attendance::THERE_FOR;
pub use heal::{Met, Ours};
pub use members::{Beat, Member, Membership, Orphan};
pub use options::RedisOptions;

/// A journal in a Redis server (6.2 or newer).
pub struct RedisJournal {
    options: RedisOptions,
    keys: Keys,
    /// Where it is, without secrets.
    place: String,
    safety: Safety,
    /// Tells this journal's fences from others', and this server from others.
    life: Mutex<Life>,
    append_link: Mutex<Link>,
    query_link: Mutex<Link>,
    watch_link: Mutex<Link>,
    members_link: Mutex<Link>,
    primaries: Arc<Primaries>,
    /// What was confirmed of late, for a primary that lacks it.
    kept: Mutex<Kept>,
    healing: Healing,
    /// One small entry for each flight this process has written to or claimed. Never held during IO.
    known: Mutex<HashMap<FlightId, KnownStanding>>,
    /// Claims that were sent and whose outcome is unknown. Never held during IO.
    unsure: Mutex<HashMap<FlightId, Epoch>>,
    /// Bytes of records that the last round sent.
    last_bytes: AtomicU64,
    /// Up to where flights have been trimmed by this process.
    trimmed: Mutex<HashMap<FlightId, Seq>>,
}

impl RedisJournal {
    /// Connects to the server at `url` (`redis://[user[:password]@]host[:port][/db]`, `rediss://` for TLS, with
    /// `?ssl-ca=`, `ssl-cert=` and `ssl-key=`, `unix://` for a socket, `redis+sentinel://[user:password@]host:port,host:port/name[/db]`
    /// for the primary that sentinels name, `redis+cluster://[user:password@]host:port,host:port` for a cluster, both as `rediss+` with TLS)
    /// and looks at its settings. Fails with `Unavailable` while it cannot be reached or is loading its data, and with
    /// `Stopped` if the URL makes no sense.
    pub fn open(url: &str, options: RedisOptions) -> Result<Self, JournalError> {
        let place = address::parse(url)?.prepared();
        let described = place.describe();
        let primaries = Arc::new(Primaries::new(place));
        let mut query_link = Link::new(primaries.clone(), &options);
        let findings = check::look(&mut query_link, options.wait_replicas)?;
        let append_link = Mutex::new(Link::new(primaries.clone(), &options));
        let watch_link = Mutex::new(Link::new(primaries.clone(), &options));
        // A beat that takes for long is worth nothing.
        let hasty =
            RedisOptions { response_timeout: options.connect_timeout, wait_replicas: 0, ..options.clone() };
        let members_link = Mutex::new(Link::new(primaries.clone(), &hasty));
        Ok(Self {
            keys: Keys::new(&options.prefix),
            options,
            place: described,
            safety: Safety::new(findings),
            life: Mutex::new(Life::new()),
            append_link,
            query_link: Mutex::new(query_link),
            watch_link,
            members_link,
            primaries,
            kept: Mutex::default(),
            healing: Healing::default(),
            known: Mutex::default(),
            unsure: Mutex::default(),
            last_bytes: AtomicU64::new(0),
            trimmed: Mutex::default(),
        })
    }

    /// Which journal it is: an id that the first one to ask writes there. `None` if nobody has, and `make` is false.
    pub fn identity(&self, make: bool) -> Result<Option<JournalIdentity>, JournalError> {
        let what = "read which journal Redis has";
        let key = self.keys.identity();
        let mut link = self.query_link.lock();
        if make {
            let id = random_id().map_err(|error| link::unavailable(what, error))?;
            let mut write = cmd("SET");
            write.arg(&key).arg(id).arg("NX");
            or_error(what, link.attempt(|link| link.ask(what, &write))?)?;
        }
        let mut read = cmd("GET");
        read.arg(&key);
        match or_error(what, link.attempt(|link| link.ask(what, &read))?)? {
            Value::BulkString(id) => {
                let id = String::from_utf8_lossy(&id).into_owned();
                Ok(Some(JournalIdentity::new(id, &self.place)))
            }
            _ => Ok(None),
        }
    }

    /// Writes the id down again, if Redis was flushed meanwhile: those who start later have the same journal, then.
    pub fn keep_identity(&self, id: &str) -> Result<(), JournalError> {
        let what = "write which journal Redis has";
        let mut write = cmd("SET");
        write.arg(self.keys.identity()).arg(id).arg("NX");
        or_error(what, self.query_link.lock().attempt(|link| link.ask(what, &write))?).map(drop)
    }
}

impl Journal for RedisJournal {
    fn append(&self, round: &[Batch]) -> Result<Vec<Appended>, JournalError> {
        if round.is_empty() {
            return Ok(Vec::new());
        }
        self.append_round(round)
    }

    fn append_cost(&self) -> Option<AppendCost> {
        Some(AppendCost { bytes: self.last_bytes.load(Ordering::Relaxed), sync: None })
    }

    fn probe(&self) -> Result<(), JournalError> {
        self.append_link.lock().attempt(|link| {
            self.see_that_it_keeps(link)?;
            self.probe_on(link)
        })
    }

    fn fence(&self, claims: &[Claim]) -> Result<(), JournalError> {
        self.claim(claims)
    }

    fn extents(&self) -> Result<Vec<Extent>, JournalError> {
        self.read_extents()
    }

    fn extent(&self, flight_id: &FlightId) -> Result<Option<Extent>, JournalError> {
        self.read_extent(flight_id)
    }

    fn epochs(&self, flights: &[FlightId]) -> Result<Vec<Option<Epoch>>, JournalError> {
        self.read_epochs(flights)
    }

    fn have_events(&self, flights: &[FlightId]) -> Result<Vec<bool>, JournalError> {
        self.read_which_have_events(flights)
    }

    fn claimed_since(&self, place: &ClaimsPlace) -> Result<(ClaimsPlace, Claimed), JournalError> {
        self.read_claims(place)
    }

    fn read(
        &self,
        flight_id: &FlightId,
        after: Seq,
        events_max: usize,
    ) -> Result<Vec<Recorded>, JournalError> {
        self.read_events(flight_id, after, events_max)
    }

    fn trim(&self, stored: &[(FlightId, Seq)]) -> Result<(), JournalError> {
        self.trim_stored(stored)
    }

    fn keeps_snapshots(&self) -> bool {
        true
    }

    fn put_snapshot(&self, epoch: Epoch, snapshot: &FlightSnapshot) -> Result<(), JournalError> {
        self.keep_snapshot(epoch, snapshot)
    }

    fn snapshot(&self, flight_id: &FlightId) -> Result<Option<FlightSnapshot>, JournalError> {
        self.read_snapshot(flight_id)
    }

    fn describe(&self) -> String {
        self.place.clone()
    }
}
