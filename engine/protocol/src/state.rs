//! What the protocol's model knows: Redis, the store, the servers, and the customers' requests.
//! Never changes by itself: `steps` says what may happen to it.

/// A server, by number.
pub type ServerId = usize;

/// One life of a server as a member, as Redis knows it: a number that rises with each.
pub type Incarnation = u8;

/// How many servers there are.
pub const SERVERS: usize = 2;

/// A grab that was decided: whose, and which seat it got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Event {
    /// The request, which is its idempotency key as well.
    pub request: u8,
    /// The seat.
    pub seat: u8,
}

/// A member's lease in Redis' own time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lease {
    /// It was never a member.
    Absent,
    /// It has not ended.
    Held,
    /// It has ended, and nobody has looked since.
    Ended,
    /// It has ended, and another member has seen that.
    SeenEnded,
}

/// A member, as Redis has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Member {
    /// Which of its lives.
    pub incarnation: Incarnation,
    /// In Redis' time.
    pub lease: Lease,
}

/// One flight's stream, and the key beside it that says whose it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Stream {
    /// The newest fence.
    pub epoch: u8,
    /// Who wrote it.
    pub owner: (ServerId, Incarnation),
    /// Epoch and owner before it: what is left where a fail-over loses the fence.
    pub before: (u8, (ServerId, Incarnation)),
    /// Whether the fence is the newest entry.
    pub ends_with_fence: bool,
    /// What Redis has.
    pub events: Vec<Event>,
}

/// The journal engine.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Redis {
    /// Which primary it is: counts fail-overs.
    pub primary: u8,
    /// All servers, as members.
    pub members: [Member; SERVERS],
    /// All flights.
    pub streams: Vec<Stream>,
}

/// Where the newest event of an owner is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Link {
    /// All is confirmed.
    Idle,
    /// On its way to Redis.
    Sent,
    /// Redis has it, and the answer is on its way back.
    Landed,
    /// Redis has refused it.
    Refused,
}

/// A flight in the memory of a server that has recovered it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Owned {
    /// Under which ownership.
    pub epoch: u8,
    /// What was decided.
    pub events: Vec<Event>,
    /// How much of it Redis has confirmed.
    pub durable: usize,
    /// Where the newest of it is.
    pub link: Link,
    /// The life of the other server that it was given to; 0 while it is kept.
    pub given_to: Incarnation,
}

/// What a server is to one flight.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Somebody else serves it.
    None,
    /// Claimed in the store; the fence is to follow, if the flight is still owned by `from`.
    Claimed {
        /// Under which it is claimed.
        epoch: u8,
        /// Whose it was.
        from: (ServerId, Incarnation),
        /// What was known of its events then.
        copy: Vec<Event>,
    },
    /// Fenced; its events are to be read.
    Fenced {
        /// Under which it is fenced.
        epoch: u8,
        /// What was known of its events when it was claimed.
        copy: Vec<Event>,
    },
    /// In service.
    Owner(Owned),
    /// Given away: the other one is to claim it.
    Given(Owned),
}

/// What a beat has found, on its way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BeatReply {
    /// Whether the lease was renewed; if not, it had ended and others know.
    pub is_renewed: bool,
    /// Whether the time it was renewed for, counted from before the beat, is not over yet.
    pub is_in_time: bool,
    /// The newest life of the other server that is over.
    pub gone: Option<Incarnation>,
}

/// Whether a process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Life {
    /// It runs.
    Running,
    /// Stopped for a while; its clock goes on.
    Paused,
    /// It has died.
    Dead,
}

/// A server's memory.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Server {
    /// Whether it runs.
    pub life: Life,
    /// Which of its lives.
    pub incarnation: Incarnation,
    /// Whether by its own clock its lease has not ended.
    pub has_lease: bool,
    /// The primary that it is connected to.
    pub primary: u8,
    /// The primary that granted the lease.
    pub lease_primary: u8,
    /// The answer to its last beat, on its way.
    pub reply: Option<BeatReply>,
    /// The newest life of the other server that it knows to be over.
    pub gone: Option<Incarnation>,
    /// Whether it believes no lease to have ended yet, because the primary is new to it.
    pub waits: bool,
    /// What it is to each flight.
    pub roles: Vec<Role>,
}

/// Where a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Progress {
    /// The customer has not sent it, or will send it again.
    Idle,
    /// At a server that has not looked at it yet.
    At(ServerId),
    /// Decided by a server, and not durable yet.
    Waits(ServerId),
    /// The customer was told that the outcome is unknown.
    Unknown,
    /// The customer was told: this seat is yours.
    Seated(u8),
    /// The customer was told: sold out.
    SoldOut,
}

/// A customer's request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Request {
    /// For which flight.
    pub flight: usize,
    /// Where it is.
    pub progress: Progress,
    /// How often it may be sent again.
    pub repeats: u8,
}

/// How much may still go wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Faults {
    /// Servers that die.
    pub crashes: u8,
    /// Dead ones that are started again.
    pub restarts: u8,
    /// Servers that sleep for a while.
    pub pauses: u8,
    /// Leases that run out though their servers run.
    pub lapses: u8,
    /// Connections cut before the answer came.
    pub cuts: u8,
    /// Fail-overs of Redis that lose the newest of everything.
    pub failovers: u8,
    /// Leases that run out in Redis' time though their servers live.
    pub ends: u8,
    /// Planned moves; no fault.
    pub moves: u8,
}

/// Everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// The journal engine.
    pub redis: Redis,
    /// The newest claim of each flight in the store.
    pub store: Vec<u8>,
    /// The servers.
    pub servers: Vec<Server>,
    /// The requests.
    pub requests: Vec<Request>,
    /// What may still go wrong.
    pub left: Faults,
    /// Whether anything has gone wrong so far.
    pub has_fault: bool,
    /// Whether Redis has lost something that was confirmed, and whoever had it as well was gone before it could write it again.
    pub may_have_lost: bool,
}

impl State {
    /// Server 0 serves all flights, server 1 is a member without any, nobody has asked for anything.
    pub fn at_rest(flights: usize, requests: &[usize], left: Faults) -> Self {
        let stream = Stream {
            epoch: 1,
            owner: (0, 1),
            before: (1, (0, 1)),
            ends_with_fence: false,
            events: Vec::new(),
        };
        let member = Member { incarnation: 1, lease: Lease::Held };
        let owned = Owned { epoch: 1, events: Vec::new(), durable: 0, link: Link::Idle, given_to: 0 };
        let server = |roles| Server {
            life: Life::Running,
            incarnation: 1,
            has_lease: true,
            primary: 0,
            lease_primary: 0,
            reply: None,
            gone: None,
            waits: false,
            roles,
        };
        let request = |flight: &usize| Request { flight: *flight, progress: Progress::Idle, repeats: 1 };
        Self {
            redis: Redis { primary: 0, members: [member; SERVERS], streams: vec![stream; flights] },
            store: vec![1; flights],
            servers: vec![server(vec![Role::Owner(owned); flights]), server(vec![Role::None; flights])],
            requests: requests.iter().map(request).collect(),
            left,
            has_fault: false,
            may_have_lost: false,
        }
    }

    /// Gives every request up that waits for this server's answer about a flight (or about any).
    pub fn give_up(&mut self, server: ServerId, flight: Option<usize>) {
        for request in &mut self.requests {
            let is_there = matches!(request.progress, Progress::At(at) | Progress::Waits(at) if at == server);
            if is_there && flight.is_none_or(|flight| flight == request.flight) {
                request.progress = Progress::Unknown;
            }
        }
    }

    /// Forgets what a server holds of a flight.
    pub fn forget_flight(&mut self, server: ServerId, flight: usize) {
        self.give_up(server, Some(flight));
        let role = std::mem::replace(&mut self.servers[server].roles[flight], Role::None);
        if let Role::Owner(owned) | Role::Given(owned) = role {
            let kept = &self.redis.streams[flight].events;
            self.may_have_lost |= owned.events[..owned.durable].iter().any(|event| !kept.contains(event));
        }
    }

    /// Forgets everything that a server holds: its flights belong to a life that is over.
    pub fn forget_flights(&mut self, server: ServerId) {
        for flight in 0..self.store.len() {
            self.forget_flight(server, flight);
        }
    }

    /// Whether a flight is on its way from one server to another.
    pub fn is_moving(&self, flight: usize) -> bool {
        self.servers.iter().any(|server| {
            server.life == Life::Running
                && matches!(server.roles[flight], Role::Given(_) | Role::Claimed { .. } | Role::Fenced { .. })
        })
    }
}
