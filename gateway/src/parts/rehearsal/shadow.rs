//! The shadow of a flight: the same cabins, blocked seats and rules, in an engine and a journal of its own that end with it.
//! Never asks the real flight for anything but the view that it has published, and never touches a store.

use std::sync::Arc;

use farerush_engine::actor::{
    Engine, EngineParts, FlightHandle, FlightView, Limits, RecoveredFlight, WriterOptions,
};
use farerush_engine::flight::seat_map::SeatStatus;
use farerush_engine::flight::{
    CustomerId, Epoch, Flight, FlightDefinition, FlightIds, FlightSnapshot, IdSecret, IdSecrets, Order,
    OrderNo, OrderStatus, Sale, SalePolicy, SaleSwitch, Salt, Seat, Seats, Seq, Timestamp,
};
use farerush_engine::journal::{Durability, Journal};
use farerush_persistence::journal::memory::MemoryJournal;

use super::StartFrom;

/// Of the shadow's order ids, which nobody gets to see.
const SALT: Salt = Salt(1);
/// When a shadow leaves: at the end of the year 9999, so that its sale does not end in the middle of a rehearsal.
const NEVER: Timestamp = Timestamp::from_millis(253_402_300_799_999);
/// The last event of a shadow before anybody comes.
const BEGUN: Seq = Seq(2);
/// Holds last at least so long, in seconds: none runs out while it is rehearsed, so that seats only ever go.
const HOLD_SECONDS_MIN: u32 = 3600;
/// Whose the seats are that were taken before.
const EARLIER: &str = "before the rehearsal";

/// A shadow that sells.
pub(super) struct Shadow {
    /// The way to it.
    pub(super) flight: FlightHandle,
    /// As it was in the beginning.
    began: Flight,
    engine: Arc<Engine>,
    journal: Arc<MemoryJournal>,
}

impl Shadow {
    /// Lets a copy sell. Its threads are as important as the one that calls this; `runtime` is where its answers are
    /// waited for.
    pub(super) fn start(began: Flight, runtime: tokio::runtime::Handle) -> std::io::Result<Self> {
        let journal = Arc::new(MemoryJournal::new());
        let engine = Engine::start(EngineParts {
            journal: journal.clone(),
            on_durable: Box::new(drop),
            recover: Arc::new(|_| Box::pin(async { Err("a rehearsal is not recovered".to_owned()) })),
            durability: Durability::Journal,
            limits: Limits::default(),
            writer: WriterOptions::default(),
            arbiters: 1,
            // Nobody gets to see its ids.
            secrets: Arc::new(IdSecrets::new(IdSecret::new([0; 32]), [])),
            runtime,
        })?;
        let flight = engine.adopt(RecoveredFlight { flight: began.clone(), epoch: Epoch(1), stored: BEGUN });
        Ok(Self { flight, began, engine, journal })
    }

    /// Seats that were taken or blocked in the beginning.
    pub(super) fn gone_before(&self) -> impl Iterator<Item = Seat> {
        let map = self.began.map();
        let cabins = self.began.definition().cabins.iter();
        let seats = cabins.flat_map(|cabin| cabin.all_seats()).collect::<Vec<_>>().into_iter();
        seats.filter(|seat| map.status(*seat) != Some(SeatStatus::Free))
    }

    /// Whether the events in its journal lead from its beginning to what it shows now, all invariants kept.
    pub(super) fn replays(&self) -> bool {
        let view = self.flight.view();
        let Ok(events) = self.journal.read(self.flight.flight_id(), BEGUN, usize::MAX) else { return false };
        let mut flight = self.began.clone();
        events.iter().for_each(|event| flight.apply(event));
        flight.check().is_ok()
            && flight.seq() == view.seq
            && flight.map().rows().eq(view.rows.iter().copied())
    }

    /// Ends its threads. Blocks for as long as a turn takes.
    pub(super) fn end(&self) {
        self.engine.stop();
    }
}

/// The flight that a view shows, on sale from now on.
pub(super) fn copy(view: &FlightView, start_from: StartFrom, now: Timestamp) -> Result<Flight, String> {
    let (mut held, mut sold, mut blocked) = (Seats::new(), Seats::new(), Seats::new());
    let mut rows = view.rows.iter();
    for cabin in &view.definition.cabins {
        for (row, seats) in (cabin.first_row..=cabin.last_row).zip(rows.by_ref()) {
            for (position, letter) in cabin.layout.letters().iter().enumerate() {
                let seat = Seat::new(row, *letter).map_err(|error| error.to_string())?;
                match (seats.status(position), start_from) {
                    (SeatStatus::Blocked, _) => blocked.push(seat),
                    (SeatStatus::Held, StartFrom::Now) => held.push(seat),
                    (SeatStatus::Sold, StartFrom::Now) => sold.push(seat),
                    _ => {}
                }
            }
        }
    }
    let taken = [(OrderStatus::Confirmed, sold), (OrderStatus::Held, held)];
    let orders = (1..).zip(taken).filter(|(_, (_, seats))| !seats.is_empty());
    let snapshot = FlightSnapshot {
        definition: FlightDefinition {
            ids: FlightIds::new(SALT),
            departs_at: NEVER,
            ..(*view.definition).clone()
        },
        sale: Sale { policy: policy(view.sale.policy), switch: SaleSwitch::Open },
        seq: BEGUN,
        last_at: now,
        head: None,
        forgotten_through: Seq(0),
        blocked,
        orders: orders.map(|(no, (status, seats))| taken_before(view, no, status, seats, now)).collect(),
        requests: Vec::new(),
        waitlist: Vec::new(),
    };
    Flight::restore(snapshot).map_err(|broken| broken.to_string())
}

/// The flight's rules, without what could end or begin the sale in the middle of a rehearsal.
fn policy(real: SalePolicy) -> SalePolicy {
    let hold_seconds = if real.hold_seconds == 0 { 0 } else { real.hold_seconds.max(HOLD_SECONDS_MIN) };
    SalePolicy { opens_at: None, closes_at: None, closes_before_minutes: 0, hold_seconds, ..real }
}

/// All seats that are taken in one way, as one order: whose they really are is nobody's business here.
fn taken_before(view: &FlightView, no: u64, status: OrderStatus, seats: Seats, now: Timestamp) -> Order {
    let fare = |seat: &Seat| view.cabin_of(*seat).map_or(0, |cabin| cabin.fare.amount);
    let hold_ms = 1000 * i64::from(HOLD_SECONDS_MIN);
    Order {
        no: OrderNo(no),
        customer: CustomerId::new(EARLIER).expect("this is a name"),
        total: seats.iter().map(fare).sum(),
        seats,
        status,
        hold_expires_at: (status == OrderStatus::Held).then(|| now.plus_millis(hold_ms)),
        created_at: now,
        updated_at: now,
        changed_by: Seq(no),
        proof: None,
        extras: None,
    }
}
