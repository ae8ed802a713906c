//! Taking flights over, and writing their events: rows and cursor in one transaction, or nothing.
//! Never applies an event twice and never leaves one out.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use farerush_engine::flight::{Epoch, FlightId, IdSecrets, Order, Recorded};
use farerush_engine::journal::{Batch, Claim};

use super::changes::{FlightChanges, FlushRows, orders_needed, waitlist_needed};
use super::database::Waiting;
use super::database::{Store, Transaction};
use super::error::StoreError;
use super::rows::{FlightRow, decode_cursor, decode_order, encode_cursor, name_of};
use super::stored::{Cursor, Flushed};
use super::table::{
    AUDIT, CURSORS, FLIGHTS, HEADS, NO_LOCK, ORDERS, REFUNDS, REQUESTS, Statement, TICKETS, WAITLIST,
};
use super::value::Value;
use super::waitlist::{StoredWaitlistEntry, decode_waitlisted};

/// Most claims or batches whose keys are looked up; a bound for the memory of one call.
pub const FLIGHTS_PER_CALL_MAX: usize = 100_000;

/// How often a transaction that met another one is made before the caller hears of it.
const CONFLICT_TRIES_MAX: u32 = 3;
/// Pause after the first such try; after the second twice as long, and so on.
const CONFLICT_PAUSE: Duration = Duration::from_millis(5);

impl Store {
    /// Takes flights over: each gets an epoch that is larger than its last one and at least the claimed one. A
    /// flight the store does not know gets a cursor at 0. All in one transaction; the answers are in the order of
    /// the claims, each flight once. More than [`FLIGHTS_PER_CALL_MAX`] are refused as a whole.
    pub fn claim<'a>(&'a self, claims: &'a [Claim]) -> Waiting<'a, Result<Vec<Cursor>, StoreError>> {
        Box::pin(async move {
            if claims.len() > FLIGHTS_PER_CALL_MAX {
                return Err(StoreError::Rejected {
                    what: "claiming more flights than one call takes",
                    source: None,
                });
            }
            let mut tried = 0;
            loop {
                tried += 1;
                match self.claim_once(claims).await {
                    Err(StoreError::Conflict { .. }) if tried < CONFLICT_TRIES_MAX => pause(tried).await,
                    done => return done,
                }
            }
        })
    }

    async fn claim_once(&self, claims: &[Claim]) -> Result<Vec<Cursor>, StoreError> {
        let mut wanted: BTreeMap<&FlightId, Epoch> = BTreeMap::new();
        for claim in claims {
            let epoch = wanted.entry(&claim.flight_id).or_default();
            *epoch = claim.epoch.max(*epoch);
        }
        let mut transaction = self.begin_write().await?;
        let mut cursors = lock_cursors(&mut transaction, wanted.keys().copied()).await?;
        let (mut known, mut new) = (Vec::new(), Vec::new());
        for (flight_id, at_least) in wanted {
            let is_known = cursors.contains_key(flight_id);
            let cursor = cursors.entry(flight_id.clone()).or_insert_with(|| Cursor::new(flight_id));
            cursor.epoch = cursor.epoch.next().max(at_least);
            if is_known { &mut known } else { &mut new }.push(encode_cursor(cursor));
        }
        for statement in CURSORS.upserts(transaction.dialect(), known) {
            transaction.execute("claiming flights", statement).await?;
        }
        // What is not there cannot be locked: of two that claim a flight for the first time, one is told so here. An
        // upsert would give both the same epoch.
        for statement in CURSORS.inserts(new) {
            let inserted = transaction.execute("claiming new flights", statement).await;
            inserted.map_err(|error| raced("a flight was claimed by somebody else as well", error))?;
        }
        transaction.commit("claiming flights").await?;
        Ok(claims.iter().filter_map(|claim| cursors.remove(&claim.flight_id)).collect())
    }

    /// Writes batches: all of those that can be written in one transaction, with the cursors of their flights. One
    /// outcome a batch, in the same order; several batches of one flight must follow one another.
    ///
    /// Whatever the outcome, an event is in the tables exactly if its flight's cursor has reached it. After an
    /// error, it may or may not have been committed: the same call again finds out.
    pub fn flush<'a>(&'a self, batches: &'a [Batch]) -> Waiting<'a, Result<Vec<Flushed>, StoreError>> {
        Box::pin(async move {
            let mut tried = 0;
            loop {
                tried += 1;
                match self.flush_once(batches).await {
                    Err(StoreError::Conflict { .. }) if tried < CONFLICT_TRIES_MAX => pause(tried).await,
                    Ok(outcomes) => {
                        self.note_outcomes(batches, &outcomes);
                        return Ok(outcomes);
                    }
                    error => return error,
                }
            }
        })
    }

    /// A replica has to show this before a list of its is the newest.
    fn note_outcomes(&self, batches: &[Batch], outcomes: &[Flushed]) {
        for (batch, outcome) in batches.iter().zip(outcomes) {
            match outcome {
                Flushed::Stored => self.note_stored(&batch.flight_id, batch.last_seq()),
                // Committed by an earlier try whose answer was lost, perhaps.
                Flushed::AlreadyStored { stored } => self.note_stored(&batch.flight_id, *stored),
                Flushed::Fenced { .. } | Flushed::Gap { .. } | Flushed::Misfit { .. } => {}
            }
        }
    }

    async fn flush_once(&self, batches: &[Batch]) -> Result<Vec<Flushed>, StoreError> {
        let mut transaction = self.begin_write().await?;
        let ids: BTreeSet<&FlightId> = batches.iter().map(|batch| &batch.flight_id).collect();
        let mut cursors = lock_cursors(&mut transaction, ids.iter().copied()).await?;
        let (mut outcomes, mut works) = sort_out(batches, &mut cursors);
        let mut rows = FlushRows::default();
        plan(&mut transaction, self.secrets(), &mut works, &mut rows).await?;
        works.retain(|work| match &work.misfit {
            None => true,
            Some(misfit) => {
                for &batch in &work.batches {
                    outcomes[batch] = Flushed::Misfit { stored: work.from.seq, what: misfit.clone() };
                }
                false
            }
        });
        if works.is_empty() {
            return Ok(outcomes);
        }
        write(&mut transaction, rows).await?;
        for work in &works {
            move_cursor(&mut transaction, work).await?;
        }
        transaction.commit("flushing").await?;
        Ok(outcomes)
    }
}

/// What one flight's batches of a flush come to.
struct FlightWork<'a> {
    /// Where the flight's cursor is.
    from: Cursor,
    /// Where it will be.
    to: Cursor,
    /// Whether there is a row of the cursor.
    is_known: bool,
    /// The events to write.
    events: Vec<&'a Recorded>,
    /// Places of its batches in the call.
    batches: Vec<usize>,
    /// Why its events cannot be written.
    misfit: Option<String>,
}

async fn pause(tried: u32) {
    tokio::time::sleep(CONFLICT_PAUSE * tried).await;
}

/// A row that was not there when it was looked for, and now is, means that another writer was faster.
fn raced(what: &'static str, error: StoreError) -> StoreError {
    match error {
        StoreError::Rejected { source, .. } => StoreError::Conflict { what, source },
        error => error,
    }
}

async fn lock_cursors(
    transaction: &mut Transaction,
    ids: impl Iterator<Item = &FlightId>,
) -> Result<HashMap<FlightId, Cursor>, StoreError> {
    let keys = ids.map(|id| vec![id.as_str().into()]).collect();
    let mut cursors = HashMap::new();
    for statement in CURSORS.lookups(transaction.lock(), keys) {
        for row in transaction.fetch("reading cursors", statement).await? {
            let name = name_of(&row);
            let cursor = decode_cursor(row)
                .map_err(|error| StoreError::damaged(None, format!("flight_cursor {name}: {error}")))?;
            cursors.insert(cursor.flight_id.clone(), cursor);
        }
    }
    Ok(cursors)
}

/// Sorts events into those to write and those that are stored already, and batches into those to write and those
/// that must not be.
fn sort_out<'a>(
    batches: &'a [Batch],
    cursors: &mut HashMap<FlightId, Cursor>,
) -> (Vec<Flushed>, Vec<FlightWork<'a>>) {
    let mut outcomes = Vec::with_capacity(batches.len());
    let mut works: Vec<FlightWork<'a>> = Vec::new();
    let mut places: HashMap<&FlightId, usize> = HashMap::new();
    for (index, batch) in batches.iter().enumerate() {
        let place = *places.entry(&batch.flight_id).or_insert_with(|| {
            let known = cursors.remove(&batch.flight_id);
            let is_known = known.is_some();
            let from = known.unwrap_or_else(|| Cursor::new(&batch.flight_id));
            works.push(FlightWork {
                to: from.clone(),
                from,
                is_known,
                events: Vec::new(),
                batches: Vec::new(),
                misfit: None,
            });
            works.len() - 1
        });
        outcomes.push(works[place].take(index, batch));
    }
    works.retain(|work| !work.events.is_empty());
    (outcomes, works)
}

impl<'a> FlightWork<'a> {
    fn take(&mut self, index: usize, batch: &'a Batch) -> Flushed {
        if batch.epoch < self.to.epoch {
            return Flushed::Fenced { owner: self.to.epoch };
        }
        let has_hole = batch.events.windows(2).any(|pair| pair[1].seq != pair[0].seq.next());
        if has_hole || batch.first_seq() > self.to.seq.next() {
            return Flushed::Gap { stored: self.to.seq };
        }
        let stored = self.to.seq;
        let new = batch.events.iter().filter(|recorded| recorded.seq > stored);
        self.events.extend(new);
        let last = batch.events.last();
        let Some(last) = last.filter(|last| last.seq > stored) else {
            // Stored it is only if it is the same that was.
            return match last.filter(|last| last.seq == stored).and_then(|last| last.head).zip(self.from.head)
            {
                Some((given, known)) if self.events.is_empty() && given != known => {
                    let what = format!("event {stored} is another one than the one that is stored");
                    Flushed::Misfit { stored, what }
                }
                _ => Flushed::AlreadyStored { stored },
            };
        };
        self.to.epoch = batch.epoch;
        self.to.seq = last.seq;
        self.to.last_at = last.at.max(self.to.last_at);
        self.batches.push(index);
        Flushed::Stored
    }
}

/// Reads the rows that the events build on, and works out the rows to write. A flight whose events do not fit is
/// left out of them.
async fn plan(
    transaction: &mut Transaction,
    secrets: Option<&Arc<IdSecrets>>,
    works: &mut [FlightWork<'_>],
    rows: &mut FlushRows,
) -> Result<(), StoreError> {
    let mut misfits: HashMap<String, String> = HashMap::new();
    let keys = works.iter().map(|work| vec![work.from.flight_id.as_str().into()]).collect();
    let mut flights: HashMap<String, FlightRow> = HashMap::new();
    for statement in FLIGHTS.lookups(NO_LOCK, keys) {
        for row in transaction.fetch("reading flights", statement).await? {
            let id = text_of(row.first());
            match FlightRow::decode(row) {
                Ok(flight) => drop(flights.insert(id, flight)),
                Err(error) => drop(misfits.insert(id, format!("flights: {error}"))),
            }
        }
    }
    let mut keys: Vec<Vec<Value>> = Vec::new();
    for work in works.iter() {
        let needed = orders_needed(work.events.iter().copied());
        keys.extend(needed.iter().map(|no| vec![work.from.flight_id.as_str().into(), no.0.into()]));
    }
    let mut orders: HashMap<String, Vec<Order>> = HashMap::new();
    for statement in ORDERS.lookups(NO_LOCK, keys) {
        for row in transaction.fetch("reading orders", statement).await? {
            let (id, name) = (text_of(row.first()), name_of(&row));
            match decode_order(row) {
                Ok(stored) => orders.entry(id).or_default().push(stored.order),
                Err(error) => drop(misfits.insert(id, format!("orders {name}: {error}"))),
            }
        }
    }
    let mut keys: Vec<Vec<Value>> = Vec::new();
    for work in works.iter() {
        let needed = waitlist_needed(work.events.iter().copied());
        keys.extend(needed.iter().map(|no| vec![work.from.flight_id.as_str().into(), no.0.into()]));
    }
    let mut waitlists: HashMap<String, Vec<StoredWaitlistEntry>> = HashMap::new();
    for statement in WAITLIST.lookups(NO_LOCK, keys) {
        for row in transaction.fetch("reading waitlists", statement).await? {
            let (id, name) = (text_of(row.first()), name_of(&row));
            match decode_waitlisted(row) {
                Ok(stored) => waitlists.entry(id).or_default().push(stored),
                Err(error) => drop(misfits.insert(id, format!("waitlist {name}: {error}"))),
            }
        }
    }
    for work in works {
        let id = work.from.flight_id.as_str();
        work.misfit = misfits.remove(id);
        if work.misfit.is_none() {
            let (flight, orders) = (flights.remove(id), orders.remove(id).unwrap_or_default());
            let waitlist = waitlists.remove(id).unwrap_or_default();
            work.misfit = plan_flight(work, secrets, flight, orders, waitlist, rows).err();
        }
    }
    Ok(())
}

fn plan_flight(
    work: &mut FlightWork<'_>,
    secrets: Option<&Arc<IdSecrets>>,
    flight: Option<FlightRow>,
    orders: Vec<Order>,
    waitlist: Vec<StoredWaitlistEntry>,
    rows: &mut FlushRows,
) -> Result<(), String> {
    let waitlist = waitlist.into_iter().map(|stored| stored.entry);
    let mut changes = FlightChanges::new(&work.from, flight, orders, waitlist);
    for recorded in &work.events {
        changes.apply(recorded).map_err(|misfit| format!("event {}: {misfit}", recorded.seq))?;
    }
    work.to.head = changes.head();
    changes.finish(secrets, rows)
}

async fn write(transaction: &mut Transaction, rows: FlushRows) -> Result<(), StoreError> {
    let dialect = transaction.dialect();
    for flight_id in &rows.old_tickets {
        let sql = "DELETE FROM tickets WHERE flight_id = ?";
        let statement = Statement::new(sql, vec![flight_id.as_str().into()]);
        transaction.execute("deleting tickets of an old seat plan", statement).await?;
    }
    for (flight_id, cabin) in &rows.new_cabins {
        transaction.execute("writing free seats", TICKETS.free_seats(dialect, flight_id, cabin)).await?;
    }
    for (table, rows) in [
        (&FLIGHTS, rows.flights),
        (&ORDERS, rows.orders),
        (&TICKETS, rows.tickets),
        (&AUDIT, rows.audit),
        (&REQUESTS, rows.requests),
        (&WAITLIST, rows.waitlist),
        (&REFUNDS, rows.refunds),
        (&HEADS, rows.heads),
    ] {
        for statement in table.upserts(dialect, rows) {
            transaction.execute("writing rows", statement).await?;
        }
    }
    for (flight_id, before) in rows.old_requests {
        let sql = "DELETE FROM requests WHERE flight_id = ? AND at < ?";
        let arguments = vec![flight_id.as_str().into(), before.as_millis().into()];
        transaction.execute("deleting old requests", Statement::new(sql, arguments)).await?;
    }
    Ok(())
}

/// The guard of the whole store: the cursor moves only from where it was read, and only under an epoch that is
/// not older. If it does not move, nothing of the transaction stays.
async fn move_cursor(transaction: &mut Transaction, work: &FlightWork<'_>) -> Result<(), StoreError> {
    let FlightWork { from, to, is_known, .. } = work;
    let statement = if *is_known {
        let sql = "UPDATE flight_cursor SET epoch = ?, seq = ?, last_at = ?, head = ? \
                   WHERE flight_id = ? AND seq = ? AND epoch <= ?";
        let arguments = vec![
            to.epoch.0.into(),
            to.seq.0.into(),
            to.last_at.as_millis().into(),
            to.head.map(|head| head.to_string()).into(),
            from.flight_id.as_str().into(),
            from.seq.0.into(),
            to.epoch.0.into(),
        ];
        Statement::new(sql, arguments)
    } else {
        // Nobody has claimed the flight, so its first flush does; two at once meet at the primary key.
        let sql = "INSERT INTO flight_cursor (flight_id, epoch, seq, last_at, head) VALUES (?, ?, ?, ?, ?)";
        Statement::new(sql, encode_cursor(to))
    };
    let moved = "a cursor moved while its flight was being flushed";
    let done = transaction.execute("moving a cursor", statement).await;
    match done.map_err(|error| raced(moved, error))? {
        1 => Ok(()),
        _ => Err(StoreError::Conflict { what: moved, source: None }),
    }
}

fn text_of(value: Option<&Value>) -> String {
    match value {
        Some(Value::Text(text)) => text.clone(),
        _ => String::new(),
    }
}
