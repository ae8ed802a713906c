//! The servers that histories are made on, and what happens to them meanwhile: nothing, SIGKILL, or two owners.
//! Never looks at a history.

use std::sync::{Arc, RwLock};
use std::time::Duration;

use tempfile::TempDir;

use super::clients::Servers;
use super::servers::{RedisServer, SqlServer};
use super::support::process::{Gateway, Plan};

/// How long a start may take, recovery included.
const START_PATIENCE: Duration = Duration::from_secs(30);
/// How often the server is killed while histories are made on it.
const KILLS: u32 = 4;

/// One or two gateways of one system.
pub(crate) struct Stage {
    plans: Vec<Plan>,
    gateways: Vec<Option<Gateway>>,
    pub(crate) servers: Servers,
    folder: Option<TempDir>,
    /// Kept for as long as the gateways are.
    _behind: Option<(RedisServer, SqlServer)>,
}

impl Stage {
    /// One gateway with everything embedded.
    pub(crate) fn embedded() -> Self {
        let folder = TempDir::new().expect("a temporary folder is made");
        let plans = vec![Plan::embedded(folder.path())];
        Self::start(plans, folder, None)
    }

    /// Two gateways on one Redis and one MariaDB.
    pub(crate) fn two_owners() -> Self {
        let folder = TempDir::new().expect("a temporary folder is made");
        let behind = (RedisServer::start(&[]), SqlServer::start(&[]));
        let plan = Plan::embedded(folder.path());
        let plan = plan.with("journal", &behind.0.url()).with("store", &behind.1.url());
        let plans = vec![plan.clone(), plan.second()];
        Self::start(plans, folder, Some(behind))
    }

    fn start(plans: Vec<Plan>, folder: TempDir, behind: Option<(RedisServer, SqlServer)>) -> Self {
        let mut gateways = Vec::new();
        let mut servers = Vec::new();
        for plan in &plans {
            let mut gateway = plan.start();
            let address = gateway.wait_ready(START_PATIENCE).expect("the gateway starts");
            servers.push(format!("http://{address}"));
            gateways.push(Some(gateway));
        }
        let servers = Arc::new(RwLock::new(servers));
        Self { plans, gateways, servers, folder: Some(folder), _behind: behind }
    }

    /// Kills and starts gateways again until `is_over`. To be called on the test's own thread, which they live with.
    pub(crate) fn kill_while(&mut self, rng: &mut fastrand::Rng, is_over: impl Fn() -> bool) {
        let mut kills = 0;
        while !is_over() {
            let pause = Duration::from_millis(rng.u64(20..900));
            std::thread::park_timeout(pause);
            if kills >= KILLS {
                continue;
            }
            kills += 1;
            let victim = rng.usize(..self.gateways.len());
            if let Some(gateway) = self.gateways[victim].take() {
                gateway.kill();
            }
            let mut gateway = self.plans[victim].start();
            let address = gateway.wait_ready(START_PATIENCE).expect("the gateway starts again");
            self.servers.write().expect("nobody panics")[victim] = format!("http://{address}");
            self.gateways[victim] = Some(gateway);
        }
    }

    /// Keeps what is on the disk, and says where.
    pub(crate) fn keep(&mut self) -> String {
        self.folder.take().map(TempDir::keep).unwrap_or_default().display().to_string()
    }
}
