//! Which servers there are, and which of them serves which flight: each writes it down for itself, and what it wrote fades
//! soon after it is gone. Never decides who owns a flight: fences do.

use std::collections::HashSet;
use std::time::Duration;

use ::redis::{Value, cmd};
use farerush_engine::flight::FlightId;
use farerush_engine::journal::JournalError;

use super::RedisJournal;
use super::link::{Link, or_error, unavailable};

/// For how long a server counts as there after it said so last.
pub const THERE_FOR: Duration = Duration::from_secs(10);
/// Flights that are asked about at a time, so that nobody waits for long behind the question.
const FLIGHTS_A_PAGE: usize = 512;

const WHAT: &str = "see which server serves which flight";

impl RedisJournal {
    /// Says that this server is there and serves the flights of which `is_here` says so, and gives those that neither it nor
    /// any other server serves, by name: of the flights that the journal has, and of those `known` elsewhere (in the
    /// store). One that is just moving may be among them: it counts if it is twice in a row. To be called more often than
    /// every [`THERE_FOR`]; blocks, page by page.
    pub fn attend(
        &self,
        is_here: impl Fn(&FlightId) -> bool,
        known: impl IntoIterator<Item = FlightId>,
    ) -> Result<Vec<FlightId>, JournalError> {
        let there = self.watch_link.lock().attempt(|link| self.servers_there(link))?;
        let mut known: HashSet<FlightId> = known.into_iter().collect();
        let mut unserved = Vec::new();
        self.each_page(|names| {
            for flight_id in &names {
                known.remove(flight_id);
            }
            for page in names.chunks(FLIGHTS_A_PAGE) {
                let (gone, unheard) =
                    self.watch_link.lock().attempt(|link| self.attend_page(link, &is_here, &there, page))?;
                unserved.extend(gone);
                // Listed before its first entry, and perhaps never created.
                let have_events =
                    self.watch_link.lock().attempt(|link| self.which_have_events(link, &unheard))?;
                unserved
                    .extend(unheard.into_iter().zip(have_events).filter(|(_, has)| *has).map(|(id, _)| id));
            }
            Ok(())
        })?;
        let known: Vec<FlightId> = known.into_iter().collect();
        for page in known.chunks(FLIGHTS_A_PAGE) {
            let (gone, unheard) =
                self.watch_link.lock().attempt(|link| self.attend_page(link, &is_here, &there, page))?;
            unserved.extend(gone.into_iter().chain(unheard));
        }
        // A page may have been seen twice.
        unserved.sort_unstable();
        unserved.dedup();
        Ok(unserved)
    }

    /// Says that this server is there, and gives all that are.
    fn servers_there(&self, link: &mut Link) -> Result<HashSet<Vec<u8>>, JournalError> {
        let by = self.life();
        let mut list = cmd("SADD");
        list.arg(self.keys.servers()).arg(&by);
        let mut show = cmd("SET");
        let there_ms = u64::try_from(THERE_FOR.as_millis()).unwrap_or(u64::MAX);
        show.arg(self.keys.server(&by)).arg(1).arg("PX").arg(there_ms);
        let mut names = cmd("SMEMBERS");
        names.arg(self.keys.servers());
        let answers = link.ask_all(WHAT, [list, show, names])?;
        let mut answers = answers.into_iter().map(|answer| or_error(WHAT, answer));
        let mut next = || answers.next().unwrap_or(Ok(Value::Nil));
        next()?;
        next()?;
        let names: Vec<String> = from(next()?)?;
        let mut ask = cmd("MGET");
        for name in &names {
            ask.arg(self.keys.server(name));
        }
        let shown: Vec<Option<Vec<u8>>> = from(or_error(WHAT, link.ask(WHAT, &ask)?)?)?;
        let (there, gone): (Vec<_>, Vec<_>) =
            names.into_iter().zip(shown).partition(|(_, shown)| shown.is_some());
        if !gone.is_empty() {
            let mut forget = cmd("SREM");
            forget.arg(self.keys.servers());
            for (name, _) in &gone {
                forget.arg(name);
            }
            or_error(WHAT, link.ask(WHAT, &forget)?)?;
        }
        Ok(there.into_iter().map(|(name, _)| name.into_bytes()).collect())
    }

    /// Some of the flights that are listed, and where the next ones are; `"0"` if there are no more.
    pub(super) fn listed_from(
        &self,
        link: &mut Link,
        place: &str,
    ) -> Result<(String, Vec<FlightId>), JournalError> {
        let mut scan = cmd("SSCAN");
        scan.arg(self.keys.flights()).arg(place).arg("COUNT").arg(FLIGHTS_A_PAGE);
        let (next, names): (String, Vec<String>) = from(or_error(WHAT, link.ask(WHAT, &scan)?)?)?;
        Ok((next, names.iter().filter_map(|name| FlightId::new(name).ok()).collect()))
    }

    /// Of these flights, those whose server is gone or does not serve them any more, and those that nobody ever said to
    /// serve. Writes down which are served here.
    fn attend_page(
        &self,
        link: &mut Link,
        is_here: &impl Fn(&FlightId) -> bool,
        there: &HashSet<Vec<u8>>,
        page: &[FlightId],
    ) -> Result<(Vec<FlightId>, Vec<FlightId>), JournalError> {
        if page.is_empty() {
            return Ok(Default::default());
        }
        let mut ask = cmd("HMGET");
        ask.arg(self.keys.served());
        for flight_id in page {
            ask.arg(flight_id.as_str());
        }
        let servers: Vec<Option<Vec<u8>>> = from(or_error(WHAT, link.ask(WHAT, &ask)?)?)?;
        let life = self.life();
        let by = life.as_bytes();
        let mut new = Vec::new();
        let (mut gone, mut unheard) = (Vec::new(), Vec::new());
        for (flight_id, server) in page.iter().zip(servers) {
            match server {
                server if is_here(flight_id) => {
                    if server.as_deref() != Some(by) {
                        new.push(flight_id.as_str());
                    }
                }
                Some(server) if server != by && there.contains(&server) => {}
                Some(_) => gone.push(flight_id.clone()),
                None => unheard.push(flight_id.clone()),
            }
        }
        if !new.is_empty() {
            let mut write = cmd("HSET");
            write.arg(self.keys.served());
            for flight_id in new {
                write.arg(flight_id).arg(by);
            }
            or_error(WHAT, link.ask(WHAT, &write)?)?;
        }
        Ok((gone, unheard))
    }
}

fn from<T: ::redis::FromRedisValue>(answer: Value) -> Result<T, JournalError> {
    ::redis::from_redis_value(answer).map_err(|error| unavailable(WHAT, error))
}
