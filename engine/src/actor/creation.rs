//! How flights come to be: checked, numbered, made durable, and only then served.
//! Never has a flight of which the journal has not said that it is there.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::admission::{Overloaded, Permit};
use super::engine::Engine;
use super::flight_actor::fresh_nonce;
use super::handle::FlightHandle;
use super::message::{Answer, PendingReply};
use super::registry::Located;
use super::shared::{FlightShared, Standing};
use super::stamps::Traced;
use super::writer::Submission;
use crate::flight::decide::{check_departure, check_policy};
use crate::flight::{
    Cause, Command, Decision, Epoch, Era, Event, Flight, FlightDefinition, FlightIds, Recorded, Refusal,
    SalePolicy, SaleSwitch, Seq,
};

/// So many flights are made without letting other tasks of the thread have their turn.
const CREATED_WITHOUT_YIELD: usize = 16;
/// Of whoever creates a flight.
const FIRST_EPOCH: Epoch = Epoch(1);

/// Why a flight was not created.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// There is one of this id already.
    #[error("the flight exists already")]
    Exists,
    /// It cannot be, as it is described.
    #[error(transparent)]
    Refused(Refusal),
    /// Nothing was done.
    #[error(transparent)]
    Overloaded(#[from] Overloaded),
    /// The journal has not said whether it is there.
    #[error("the outcome is unknown")]
    OutcomeUnknown,
}

/// Why many flights were not created together.
#[derive(Debug, thiserror::Error)]
pub enum CreateAllError {
    /// One of them cannot be, so that none was.
    #[error("flight {place} of them cannot be created: {source}")]
    Flight {
        /// Which, counted from 0.
        place: usize,
        /// What went wrong.
        #[source]
        source: CreateError,
    },
    /// Nothing was done.
    #[error(transparent)]
    Overloaded(#[from] Overloaded),
    /// The journal has not said whether they are there, or took only some because another process has the others.
    #[error("the outcome is unknown")]
    OutcomeUnknown,
}

impl Engine {
    /// Creates a flight; it is there when this returns. With `open`, its sale is open from the start. A caller
    /// who stops waiting changes nothing: the flight is created all the same.
    pub async fn create(
        self: &Arc<Self>,
        definition: FlightDefinition,
        policy: SalePolicy,
        open: bool,
    ) -> Result<FlightHandle, CreateError> {
        self.create_as(definition, policy, open, Cause::default()).await
    }

    /// The same; it is recorded who asked, and under which key with which fingerprint (`fingerprint_of_creation`).
    pub async fn create_as(
        self: &Arc<Self>,
        definition: FlightDefinition,
        policy: SalePolicy,
        open: bool,
        cause: Cause,
    ) -> Result<FlightHandle, CreateError> {
        let engine = self.clone();
        let creation = async move { engine.create_here(definition, policy, open, cause).await };
        self.supervisor.runtime.spawn(creation).await.unwrap_or(Err(CreateError::OutcomeUnknown))
    }

    async fn create_here(
        &self,
        definition: FlightDefinition,
        policy: SalePolicy,
        open: bool,
        cause: Cause,
    ) -> Result<FlightHandle, CreateError> {
        self.writer.state().admit()?;
        check_policy(&policy).map_err(CreateError::Refused)?;
        self.check_departure(&definition)?;
        let (flight, events) = self.first_events(definition, policy, open, &cause)?;
        let epoch = FIRST_EPOCH;
        let shared = self.share(&flight, epoch, Standing::Creating);
        let permit = Permit::take(&shared.overall, &shared.gauge)?;
        if !self.registry.enter(shared.clone()) {
            return Err(CreateError::Exists);
        }
        let (reply, answered) = oneshot::channel();
        let answer = Answer::Flight { seq: flight.seq(), replayed: false };
        self.writer.submit(Submission {
            flight: shared.clone(),
            epoch,
            events,
            after: flight.seq(),
            replies: vec![PendingReply { answer, reply, permit: Some(permit), stamps: None }],
            view: None,
            traced: Traced::default(),
        });
        if answered.await.is_err() {
            let fenced = shared.standing() == Standing::Fenced;
            self.registry.remove(&shared);
            return Err(if fenced { CreateError::Exists } else { CreateError::OutcomeUnknown });
        }
        Ok(self.serve_created(flight, epoch, shared))
    }

    /// A flight that was created is served, unless it was taken over meanwhile, by this process itself.
    fn serve_created(&self, flight: Flight, epoch: Epoch, shared: Arc<FlightShared>) -> FlightHandle {
        match self.registry.shared(&shared.flight_id) {
            Some(newer) if !Arc::ptr_eq(&newer, &shared) => FlightHandle(newer),
            _ => {
                self.supervisor.start_actor(flight, epoch, &shared);
                FlightHandle(shared)
            }
        }
    }

    /// Creates flights, all in one round of the journal: whoever is told that they are there can rely on all of
    /// them, and a journal that keeps rounds whole (the embedded one) has all or none of them after a crash. A
    /// caller who stops waiting changes nothing.
    pub async fn create_all(
        self: &Arc<Self>,
        wanted: Vec<(FlightDefinition, SalePolicy, bool, Cause)>,
    ) -> Result<Vec<FlightHandle>, CreateAllError> {
        let engine = self.clone();
        let creation = async move {
            let mut entered = Vec::with_capacity(wanted.len());
            let created = engine.create_all_here(wanted, &mut entered).await;
            if created.is_err() {
                let gone = entered.iter().filter(|shared| shared.standing() != Standing::Serving);
                gone.for_each(|shared| engine.registry.remove(shared));
            }
            created
        };
        let creation = self.supervisor.runtime.spawn(creation);
        creation.await.unwrap_or(Err(CreateAllError::OutcomeUnknown))
    }

    /// Notes in `entered` what it entered into the registry.
    async fn create_all_here(
        &self,
        wanted: Vec<(FlightDefinition, SalePolicy, bool, Cause)>,
        entered: &mut Vec<Arc<FlightShared>>,
    ) -> Result<Vec<FlightHandle>, CreateAllError> {
        self.writer.state().admit()?;
        let epoch = FIRST_EPOCH;
        let mut flights = Vec::with_capacity(wanted.len());
        let mut submissions = Vec::with_capacity(wanted.len());
        for (place, (definition, policy, open, cause)) in wanted.into_iter().enumerate() {
            let failed = |source| CreateAllError::Flight { place, source };
            check_policy(&policy).map_err(|refusal| failed(CreateError::Refused(refusal)))?;
            self.check_departure(&definition).map_err(failed)?;
            let (flight, events) = self.first_events(definition, policy, open, &cause).map_err(failed)?;
            let shared = self.share(&flight, epoch, Standing::Creating);
            if !self.registry.enter(shared.clone()) {
                return Err(failed(CreateError::Exists));
            }
            entered.push(shared.clone());
            let (reply, answered) = oneshot::channel();
            let answer = Answer::Flight { seq: flight.seq(), replayed: false };
            submissions.push(Submission {
                flight: shared.clone(),
                epoch,
                events,
                after: flight.seq(),
                replies: vec![PendingReply { answer, reply, permit: None, stamps: None }],
                view: None,
                traced: Traced::default(),
            });
            flights.push((flight, shared, answered));
            if place % CREATED_WITHOUT_YIELD == 0 {
                tokio::task::yield_now().await;
            }
        }
        // One permit for all.
        let Some(last) = submissions.last_mut() else { return Ok(Vec::new()) };
        let permit = Permit::take(&last.flight.overall, &last.flight.gauge)?;
        if let Some(reply) = last.replies.last_mut() {
            reply.permit = Some(permit);
        }
        self.writer.submit_together(submissions);
        let (mut handles, all) = (Vec::with_capacity(flights.len()), flights.len());
        for (flight, shared, answered) in flights {
            if answered.await.is_ok() {
                handles.push(self.serve_created(flight, epoch, shared));
            }
        }
        if handles.len() < all { Err(CreateAllError::OutcomeUnknown) } else { Ok(handles) }
    }

    /// A flight that has left is not created. One that is there already is so still: who asks again is told so.
    fn check_departure(&self, definition: &FlightDefinition) -> Result<(), CreateError> {
        check_departure(definition.departs_at, self.clock.now()).map_err(|refusal| {
            match self.find(&definition.flight_id) {
                Located::Nobody => CreateError::Refused(refusal),
                _ => CreateError::Exists,
            }
        })
    }

    fn first_events(
        &self,
        mut definition: FlightDefinition,
        policy: SalePolicy,
        open: bool,
        cause: &Cause,
    ) -> Result<(Flight, Vec<Recorded>), CreateError> {
        let at = self.clock.now();
        let by = Cause { by: cause.by.clone(), idempotency: None };
        let caused = |cause: &Cause| (*cause != Cause::default()).then(|| Box::new(cause.clone()));
        let secrets = &self.supervisor.secrets;
        let no_randomness =
            |_| Overloaded { retry_after_seconds: 1, reason: "there is no randomness to make ids of" };
        let nonce = fresh_nonce().map_err(no_randomness)?;
        let era = Era { from: Seq(0), epoch: FIRST_EPOCH, secret: secrets.current(), nonce };
        definition.ids = FlightIds::with_eras(definition.ids.salt(), vec![era]);
        let event = Event::FlightCreated { definition: Box::new(definition), policy };
        let mut events = vec![Recorded { seq: Seq(1), at, event, cause: caused(cause), head: None }];
        let mut flight = Flight::create(&events[0]).map_err(|broken| {
            CreateError::Refused(Refusal::Invalid { field: "cabins", message: broken.detail })
        })?;
        flight.unlock(secrets).map_err(|_| CreateError::OutcomeUnknown)?; // they know their own
        if open {
            let event = match flight.decide(&Command::OpenSale, at) {
                Ok(Decision::Record(event)) => event,
                // By its rules it is over already, which they may be changed about.
                _ => Event::SaleSwitched { switch: SaleSwitch::Open, policy },
            };
            let opened = Recorded { seq: Seq(2), at, event, cause: caused(&by), head: None };
            flight.apply(&opened);
            events.push(opened);
        }
        if let Some(last) = events.last_mut() {
            last.head = flight.head();
        }
        Ok((flight, events))
    }
}
