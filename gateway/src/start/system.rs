//! What a running server is made of, put together once: the flights, the store, and for each resource what it needs.
//! Never listens to anybody.

use std::sync::Arc;
use std::time::Instant;

use farerush_engine::actor::Engine;
use farerush_engine::flight::FlightId;
use farerush_peers::Peers;
use farerush_persistence::journal::RedisJournal;
use tokio::sync::Semaphore;

use crate::api::admin::import::Imports;
use crate::api::admin::routes::Admins;
use crate::api::cockpit::Charts;
use crate::api::door::Door;
use crate::api::grab::Grabs;
use crate::api::live::Streams;
use crate::api::orders::Orders;
use crate::api::pages::ShownClock;
use crate::api::rehearsals::Rehearsing;
use crate::api::routes::Api;
use crate::api::waitlist::Waitlists;
use crate::base::stop::Stop;
use crate::base::stopping::Stopping;
use crate::edge::forwarding::Forwarder;
use crate::parts::auth::Identity;
use crate::parts::catching_up::CatchingUp;
use crate::parts::cockpit::Cockpit;
use crate::parts::figures::Figures;
use crate::parts::flights::Flights;
use crate::parts::health::Health;
use crate::parts::lists::Lists;
use crate::parts::live::Live;
use crate::parts::metrics::Metrics;
use crate::parts::other_servers::others::Others;
use crate::parts::other_servers::{OtherServers, Upkeep, arrivals};
use crate::parts::rate;
use crate::parts::reads::Reads;
use crate::parts::sales::Sales;
use crate::parts::webhooks::Webhooks;
use crate::start::coming_up::{self, Left};
use crate::start::config::Settings;
use crate::start::owning::Owning;
use crate::start::recovering::RecoveryContext;
use crate::wire::body::BodyLimits;

/// What a start has brought up one by one.
pub struct StartedParts {
    /// All flights.
    pub engine: Arc<Engine>,
    /// The store, what fills it, and what is known of other servers.
    pub around: RecoveryContext,
    /// Who somebody is.
    pub identity: Identity,
    /// What is measured.
    pub metrics: Metrics,
    /// What is posted to others, if anything is.
    pub webhooks: Option<Arc<Webhooks>>,
    /// The journal, if it is in Redis.
    pub redis: Option<Arc<RedisJournal>>,
    /// The ways to other servers, where there may be some.
    pub peers: Option<Arc<Peers>>,
    /// What the journal is and where, in words.
    pub journal: String,
}

/// A server's parts. Everything that goes on by itself holds them weakly: they end with this.
pub struct System {
    /// For each resource what it needs.
    pub api: Api,
    /// What operators look at.
    pub figures: Arc<Figures>,
    /// The flights, as requests ask them.
    pub flights: Arc<Flights>,
    /// The store, as requests read it.
    pub lists: Arc<Lists>,
    /// Who somebody is.
    pub identity: Arc<Identity>,
    /// What is tended while the server runs.
    pub upkeep: Arc<Upkeep>,
    /// How flights come up.
    recovering: Arc<RecoveryContext>,
    cockpit: Arc<Cockpit>,
}

impl System {
    /// Puts everything together; nothing goes on by itself yet.
    pub fn new(settings: &Settings, known: StartedParts, stop: Arc<Stop>) -> Self {
        let StartedParts { engine, around, identity, metrics, webhooks, redis, journal, peers } = known;
        let recovering = Arc::new(around.clone());
        if let (Some(lease), Some(peers)) = (around.other_servers.lease(), &peers)
            && !identity.rates.are_off()
        {
            identity.rates.keep_together(rate::Together::new(lease, peers.clone()));
        }
        let (identity, metrics) = (Arc::new(identity), Arc::new(metrics));
        let (stopping, cockpit) = (Arc::new(Stopping::default()), Arc::new(Cockpit::default()));
        let upkeep = Arc::new(Upkeep {
            other_servers: around.other_servers.clone(),
            engine: engine.clone(),
            write_behind: around.write_behind.clone(),
            redis: redis.clone(),
            peers,
            stopping: stopping.clone(),
        });
        let others = Others::new(upkeep.peers.clone(), around.other_servers.clone());
        let ownership = around.other_servers.ownership().clone();
        let live = Live::new(&engine, settings.live_readers_max, stop, ownership);
        let flights = Arc::new(Flights {
            engine: engine.clone(),
            other_servers: around.other_servers.clone(),
            request_timeout: settings.request_timeout,
            durability: settings.durability_kept(),
        });
        let lists = Arc::new(Lists {
            engine: engine.clone(),
            store: around.store,
            catching_up: CatchingUp::new(&engine, &around.write_behind),
            arrivals: around.other_servers.arrivals().clone(),
            write_behind: around.write_behind.clone(),
            reads: Reads::default(),
            has_replica: settings.store_read.is_some(),
            others: upkeep.peers.is_some().then(|| others.clone()),
        });
        let sales = Arc::new(Sales { flights: flights.clone(), lists: lists.clone() });
        let health =
            Arc::new(Health { flights: flights.clone(), lists: lists.clone(), journal, redis, stopping });
        let figures = Arc::new(Figures {
            health: health.clone(),
            metrics: metrics.clone(),
            live: live.clone(),
            recoveries: around.recoveries,
            webhooks,
            is_registered: Arc::default(),
            started: Instant::now(),
        });
        let body = BodyLimits { bytes_max: settings.body_bytes_max, timeout: settings.body_timeout };
        let test_payment = settings.test_payment;
        let door = Arc::new(Door { identity: identity.clone(), flights: flights.clone() });
        let imports = Imports {
            flights: flights.clone(),
            bytes_max: settings.import_bytes_max,
            body,
            others: others.clone(),
            turn: Arc::new(Semaphore::new(1)),
        };
        let admins = Arc::new(Admins {
            sales: sales.clone(),
            figures: figures.clone(),
            charts: Arc::new(Charts { cockpit: cockpit.clone(), health, others: others.clone() }),
            others: others.clone(),
            upkeep: upkeep.clone(),
            imports: Arc::new(imports),
            door: door.clone(),
            body,
        });
        let api = Api {
            admins,
            door,
            grabs: Arc::new(Grabs {
                flights: flights.clone(),
                identity: identity.clone(),
                metrics: metrics.clone(),
            }),
            orders: Arc::new(Orders { sales, identity: identity.clone(), test_payment }),
            waitlists: Arc::new(Waitlists { flights: flights.clone(), identity: identity.clone() }),
            streams: Arc::new(Streams { flights: flights.clone(), live }),
            rehearsing: Arc::new(Rehearsing { flights: flights.clone(), rehearsals: Arc::default(), others }),
            clock: Arc::new(ShownClock { flights: flights.clone(), test_payment }),
            metrics,
            body,
        };
        Self { api, figures, flights, lists, identity, upkeep, recovering, cockpit }
    }

    /// What hands requests on to other servers, where there may be some.
    pub fn forwarder(&self) -> Option<Arc<Forwarder>> {
        let peers = self.upkeep.peers.clone()?;
        let count = self.upkeep.other_servers.forwarded();
        Some(Arc::new(Forwarder::new(
            self.flights.clone(),
            peers,
            self.api.body,
            count,
            self.api.rehearsing.clone(),
        )))
    }

    /// Starts everything that goes on by itself. `later` are flights that are left to their owners for now.
    ///
    /// # Errors
    ///
    /// If a thread cannot be started.
    pub fn tend(
        &self,
        settings: &Settings,
        later: Vec<FlightId>,
        left: Left,
        owning: Option<Owning>,
    ) -> std::io::Result<()> {
        let upkeep = || Arc::downgrade(&self.upkeep);
        if self.upkeep.other_servers.is_shared() {
            // From here on there is somebody who meets them.
            self.upkeep.redis.iter().for_each(|redis| redis.want_met());
            tokio::spawn(OtherServers::meet_primaries(upkeep()));
            OtherServers::keep_watch(upkeep())?;
            tokio::spawn(OtherServers::settle_claims(upkeep()));
            tokio::spawn(OtherServers::take_over_orphans(upkeep()));
            tokio::spawn(OtherServers::keep_placement(upkeep()));
        }
        tokio::spawn(OtherServers::watch(upkeep()));
        tokio::spawn(OtherServers::keep_attendance(upkeep()));
        tokio::spawn(coming_up::bring_up(left, upkeep(), Arc::downgrade(&self.recovering)));
        if !later.is_empty() {
            tokio::spawn(arrivals::take_over(upkeep(), later, settings.take_over_delay));
        }
        if let Some(owning) = owning {
            tokio::spawn(owning.watch(Arc::downgrade(&self.figures.health)));
        }
        tokio::spawn(Metrics::upkeep(Arc::downgrade(&self.figures.metrics)));
        tokio::spawn(self.cockpit.clone().watch(Arc::downgrade(&self.figures)));
        if !self.identity.rates.are_off() {
            tokio::spawn(rate::upkeep(Arc::downgrade(&self.identity), |identity| &identity.rates));
        }
        Ok(())
    }
}
