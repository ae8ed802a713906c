//! Whoever cannot be let in is told why and when to come back. Never keeps anybody for longer than a moment, and never
//! reads what was asked.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::front::RequestIds;
use super::socket::whole_response;
use crate::wire::problem::Problem;

/// Those who are told so at the same time; beyond that they only see the connection end.
const TOLD_MAX: usize = 64;
/// How long that may take.
const PATIENCE: Duration = Duration::from_secs(1);
/// How much of what they send is thrown away meanwhile, so that the answer arrives, in bytes.
const THROWN_AWAY_MAX: usize = 64 << 10;

/// Tells them.
pub(super) struct TurnedAway {
    told: Arc<Semaphore>,
    ids: RequestIds,
}

impl Default for TurnedAway {
    fn default() -> Self {
        Self { told: Arc::new(Semaphore::new(TOLD_MAX)), ids: RequestIds::new() }
    }
}

impl TurnedAway {
    /// One address has as many connections as it may, and all of them are at work.
    pub(super) fn tell(&self, mut stream: TcpStream) {
        let Ok(turn) = self.told.clone().try_acquire_owned() else { return };
        let reason =
            "this address has as many connections as it may hold, and a request is under way on each";
        let answer = {
            let problem = Problem::overloaded(reason, 1);
            let headers = problem.headers().collect();
            whole_response(&problem, &headers, &self.ids.next())
        };
        tokio::spawn(async move {
            let told = async {
                stream.write_all(&answer).await?;
                stream.shutdown().await?;
                let (mut thrown_away, mut room) = (0, [0; 4096]);
                while thrown_away < THROWN_AWAY_MAX {
                    match stream.read(&mut room).await? {
                        0 => break,
                        count => thrown_away += count,
                    }
                }
                std::io::Result::Ok(())
            };
            // Whoever has gone need not be told.
            let _ = tokio::time::timeout(PATIENCE, told).await;
            drop(turn);
        });
    }
}
