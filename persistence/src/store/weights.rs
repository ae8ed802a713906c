//! How much an event weighs: the rows it writes, the memory it takes until they are written.
//! Never looks at anything but the event.

use farerush_engine::flight::{Event, OrderPlaced, Passengers, Recorded, Seat, Seats, WaitlistWish};

/// Rows that this event writes, at most: what a flush is measured by.
pub(crate) fn rows_written(event: &Event) -> usize {
    match event {
        Event::FlightCreated { definition, .. } => {
            1 + definition.cabins.iter().map(|cabin| cabin.capacity() as usize).sum::<usize>()
        }
        Event::SaleSwitched { .. } | Event::PolicyChanged { .. } | Event::Forgotten { .. } => 1,
        Event::SaleEnded | Event::NothingChanged { .. } | Event::TakenOver { .. } => 1,
        Event::ClosedForGood(closed) => {
            1 + closed.cancelled.iter().map(|(_, seats)| 1 + seats.len()).sum::<usize>()
        }
        Event::SeatsBlocked { seats } | Event::SeatsUnblocked { seats } => seats.len(),
        Event::RowsAdded { cabin } => 1 + cabin.capacity() as usize,
        Event::CabinsChanged(change) => {
            let tickets: usize = change.cabins.iter().map(|cabin| cabin.capacity() as usize).sum();
            1 + tickets + 2 * change.seated.len() + change.cancelled.len()
        }
        Event::OrderPlaced(placed) => 1 + placed.seats.len(),
        Event::WaitlistJoined(_) | Event::WaitlistLeft { .. } => 1,
        Event::WaitlistServed { placed, .. } => 2 + placed.seats.len(),
        Event::OrderConfirmed { seats, .. } | Event::OrderRevived { seats, .. } => 1 + seats.len(),
        Event::PaymentBegun { .. } => 1,
        Event::PaymentReturned { .. } => 2,
        Event::OrderCancelled { freed, .. } | Event::OrderExpired { freed, .. } => 1 + freed.len(),
        Event::OrderChanged { seats, freed, .. } => 1 + seats.len() + freed.len(),
    }
}

/// Bytes that this event takes in memory, about: what a backlog is measured by.
pub(crate) fn bytes_held(recorded: &Recorded) -> usize {
    /// A `SmallVec` of seats, a `CompactString` or a box beyond what lies inside the event itself.
    const SMALL: usize = 64;
    let names = |passengers: &Option<Passengers>| {
        let names = passengers.iter().flat_map(|passengers| passengers.iter());
        names.map(|name| SMALL + name.as_ref().map_or(0, |name| name.as_str().len())).sum::<usize>()
    };
    let seats = |seats: &Seats| seats.len() * size_of::<Seat>();
    size_of::<Recorded>()
        + recorded.cause.as_ref().map_or(0, |cause| size_of_val(&**cause) + SMALL)
        + match &recorded.event {
            Event::FlightCreated { definition, .. } => 512 + definition.cabins.len() * 256,
            Event::SaleSwitched { .. } | Event::PolicyChanged { .. } | Event::PaymentBegun { .. } => 0,
            Event::SaleEnded
            | Event::NothingChanged { .. }
            | Event::Forgotten { .. }
            | Event::TakenOver { .. } => 0,
            Event::ClosedForGood(closed) => {
                closed.cancelled.iter().map(|(_, s)| SMALL + seats(s)).sum::<usize>()
            }
            Event::SeatsBlocked { seats: s } | Event::SeatsUnblocked { seats: s } => seats(s),
            Event::RowsAdded { .. } => 256,
            Event::CabinsChanged(change) => {
                let seated: usize = change.seated.iter().map(|(_, s)| SMALL + seats(s)).sum();
                let told = change.told.as_ref().map_or(0, |told| {
                    let moved = told.moved.iter().map(|m| SMALL + seats(&m.from) + seats(&m.to));
                    moved.sum::<usize>() + 8 * told.split.len() + 16 * told.stranded.len()
                });
                let cancelled = 8 * change.cancelled.len();
                512 + 256 * change.cabins.len() + seated + told + cancelled + seats(&change.blocked)
            }
            Event::WaitlistJoined(wish) => {
                let reference = wish.client_reference.as_ref().map_or(0, |text| text.as_str().len());
                size_of::<WaitlistWish>() + wish.customer.as_str().len() + reference
            }
            Event::WaitlistLeft { .. } => 0,
            Event::OrderPlaced(placed) | Event::WaitlistServed { placed, .. } => {
                let reference = placed.client_reference.as_ref().map_or(0, |text| text.as_str().len());
                let key = placed.idempotency.as_ref().map_or(0, |(key, _)| key.as_str().len());
                size_of::<OrderPlaced>()
                    + seats(&placed.seats)
                    + names(&placed.passengers)
                    + placed.customer.as_str().len()
                    + reference
                    + key
            }
            Event::PaymentReturned { payment_reference, .. } => SMALL + payment_reference.as_str().len(),
            Event::OrderConfirmed { seats: s, .. } | Event::OrderRevived { seats: s, .. } => SMALL + seats(s),
            Event::OrderCancelled { freed, .. } | Event::OrderExpired { freed, .. } => seats(freed),
            Event::OrderChanged { seats: s, freed, passengers, .. } => {
                seats(s) + seats(freed) + names(passengers)
            }
        }
}
