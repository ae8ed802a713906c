//! The way to Redis: a connection to each primary, made when it is needed, given up at the first sign of trouble.
//! Never sends a command again that may have been carried out, and never reads on after an answer is overdue.

use std::borrow::Cow;
use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use ::redis::{Cmd, Value};
use farerush_engine::journal::JournalError;

use super::address::Address;
use super::node::Node;
use super::options::RedisOptions;
pub(super) use super::pipeline::Pipeline;
use super::primaries::Primaries;
use super::slots::{Redirected, SlotMap, redirected, slot_of};

/// How often a cluster may say that a slot is elsewhere, for one pipeline.
const REDIRECTS_MAX: usize = 5;

/// What a node is sent: its number, the bytes, and which commands those are.
type Part<'a> = (usize, Cow<'a, [u8]>, Vec<usize>);

/// Where something stands: on which connection it is reached, and on which primary it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standpoint {
    pub(super) generation: u64,
    pub(super) primary: u64,
}

/// The connections, or none at the moment.
pub(super) struct Link {
    pub(super) primaries: Arc<Primaries>,
    pub(super) connect_timeout: Duration,
    pub(super) response_timeout: Duration,
    pub(super) nodes: Vec<Node>,
    /// Of a cluster: which node has which slots, and of when that is.
    pub(super) slots: Option<(SlotMap, u64)>,
    /// Whether a connection was found to be cut, rather than silent.
    cut: bool,
    /// Whether the connections lead to servers that are no primaries any more.
    pub(super) is_spent: bool,
}

impl Link {
    pub(super) fn new(primaries: Arc<Primaries>, options: &RedisOptions) -> Self {
        let mut response_timeout = options.response_timeout;
        if options.wait_replicas > 0 {
            response_timeout += options.wait_timeout;
        }
        let connect_timeout = options.connect_timeout;
        Self {
            primaries,
            connect_timeout,
            response_timeout,
            nodes: Vec::new(),
            slots: None,
            cut: false,
            is_spent: false,
        }
    }

    /// Which connection is the newest. What was learnt on an earlier one says nothing about the servers behind those of
    /// now, which may have been restarted, or be others.
    pub(super) fn generation(&mut self) -> Result<u64, JournalError> {
        self.ready()?;
        Ok(self.nodes.iter().map(|node| node.generation).max().unwrap_or(0))
    }

    /// Where this key is.
    pub(super) fn standpoint(&mut self, key: impl Fn() -> String) -> Result<Standpoint, JournalError> {
        self.ready()?;
        let slot = self.slots.is_some().then(|| slot_of(key().as_bytes()));
        let node = &self.nodes[self.node_of(slot)?];
        Ok(Standpoint { generation: node.generation, primary: node.primary })
    }

    /// All primaries there are, by number.
    pub(super) fn primaries(&mut self) -> Result<Vec<u64>, JournalError> {
        self.ready()?;
        Ok(self.nodes.iter().map(|node| node.primary).collect())
    }

    /// Notes that something is to be waited for where this key is, though it was not written just now.
    pub(super) fn touch(&mut self, key: &str) -> Result<(), JournalError> {
        self.ready()?;
        let place = self.node_of(Some(slot_of(key.as_bytes())))?;
        self.nodes[place].has_written = true;
        Ok(())
    }

    /// Sends all commands and gives their answers in order, errors of the servers' among them.
    pub(super) fn send(&mut self, what: &str, pipeline: &Pipeline) -> Result<Vec<Value>, JournalError> {
        self.ready()?;
        if !self.primaries.is_cluster() {
            let all: Vec<usize> = (0..pipeline.len()).collect();
            let mut answers = vec![Value::Nil; pipeline.len()];
            self.exchange(what, &[(0, Cow::Borrowed(pipeline.bytes()), all)], pipeline, &mut answers)?;
            self.give_up_replaced(&answers);
            return Ok(answers);
        }
        let mut answers = vec![Value::Nil; pipeline.len()];
        let mut open: Vec<usize> = (0..pipeline.len()).collect();
        let mut asks: HashMap<usize, Address> = HashMap::new();
        for _ in 0..REDIRECTS_MAX {
            let parts = self.parts(pipeline, &open, &asks)?;
            let asked: HashMap<usize, Address> = parts
                .iter()
                .flat_map(|(node, _, places)| {
                    places.iter().map(|at| (*at, self.nodes[*node].address.clone()))
                })
                .collect();
            self.exchange(what, &parts, pipeline, &mut answers)?;
            asks.clear();
            for at in open {
                match redirected(&answers[at], &asked[&at]) {
                    // What was learnt of it before it moved may not hold where it is now.
                    Some(Redirected::Moved) => {
                        self.primaries.slots_have_moved();
                        (self.is_spent, self.cut) = (true, true);
                        return Err(unavailable(what, "a slot of the Redis cluster is elsewhere by now"));
                    }
                    // Not carried out; the key itself is there by now.
                    Some(Redirected::Ask(address)) => drop(asks.insert(at, address)),
                    None => {}
                }
            }
            open = asks.keys().copied().collect();
            if open.is_empty() {
                break;
            }
        }
        self.give_up_replaced(&answers);
        Ok(answers)
    }

    /// Sends these commands to each primary that something was written to and not waited for (or to all), and says so of it no
    /// more if `are_kept` says of the answers that they are.
    pub(super) fn at_written(
        &mut self,
        what: &str,
        everywhere: bool,
        commands: impl Fn(&str) -> Vec<Cmd>,
        are_kept: impl Fn(Vec<Value>) -> Result<(), JournalError>,
    ) -> Result<(), JournalError> {
        let is_wanted = |place: &usize| everywhere || self.nodes[*place].has_written;
        let places: Vec<usize> = (0..self.nodes.len()).filter(is_wanted).collect();
        self.at(what, &places, commands, |link, place, answers| {
            are_kept(answers)?;
            link.nodes[place].has_written = false;
            Ok(())
        })
    }

    /// Sends these commands to every primary.
    pub(super) fn at_all(
        &mut self,
        what: &str,
        commands: impl Fn(&str) -> Vec<Cmd>,
        mut each: impl FnMut(Vec<Value>),
    ) -> Result<(), JournalError> {
        self.ready()?;
        let places: Vec<usize> = (0..self.nodes.len()).collect();
        self.at(what, &places, commands, |_, _, answers| {
            each(answers);
            Ok(())
        })
    }

    /// `commands` gets what makes a key lie there, if it is put into braces.
    fn at(
        &mut self,
        what: &str,
        places: &[usize],
        commands: impl Fn(&str) -> Vec<Cmd>,
        mut each: impl FnMut(&mut Self, usize, Vec<Value>) -> Result<(), JournalError>,
    ) -> Result<(), JournalError> {
        let mut pipeline = Pipeline::default();
        let mut parts = Vec::new();
        for place in places {
            let begin = pipeline.len();
            let mut bytes = Vec::new();
            for command in commands(&self.tag_at(*place)) {
                pipeline.add(&command);
                bytes.extend_from_slice(pipeline.command(pipeline.len() - 1));
            }
            parts.push((*place, Cow::Owned(bytes), (begin..pipeline.len()).collect::<Vec<_>>()));
        }
        let mut answers = vec![Value::Nil; pipeline.len()];
        let bounds: Vec<(usize, usize)> = parts.iter().map(|(place, _, at)| (*place, at.len())).collect();
        self.exchange(what, &parts, &Pipeline::default(), &mut answers)?;
        let mut answers = answers.into_iter();
        for (place, count) in bounds {
            let of_one = answers.by_ref().take(count).collect();
            each(self, place, of_one)?;
        }
        Ok(())
    }

    /// Does `work`; does it once more, on new connections, if one that was there from earlier turns out to be
    /// cut: after an idle night that says nothing about the server. Only for work that can be repeated.
    pub(super) fn attempt<T>(
        &mut self,
        work: impl Fn(&mut Self) -> Result<T, JournalError>,
    ) -> Result<T, JournalError> {
        self.renew();
        let was_open = !self.nodes.is_empty();
        self.cut = false;
        match work(self) {
            Err(JournalError::Unavailable { .. }) if was_open && self.cut => {
                self.renew();
                work(self)
            }
            result => result,
        }
    }

    /// Sends all commands, in as many pipelines as they need, each sent when the one before is answered. Errors of
    /// the servers' are among the answers.
    pub(super) fn ask_all(
        &mut self,
        what: &str,
        commands: impl IntoIterator<Item = Cmd>,
    ) -> Result<Vec<Value>, JournalError> {
        let mut answers = Vec::new();
        let mut pipeline = Pipeline::default();
        let mut commands = commands.into_iter();
        loop {
            let next = commands.next();
            let done = next.is_none();
            if let Some(command) = next {
                pipeline.add(&command);
            }
            if !pipeline.is_empty() && (done || pipeline.is_full()) {
                answers.extend(self.send(what, &std::mem::take(&mut pipeline))?);
            }
            if done {
                return Ok(answers);
            }
        }
    }

    /// Sends one command; an error of the server's may be the answer.
    pub(super) fn ask(&mut self, what: &str, command: &Cmd) -> Result<Value, JournalError> {
        let mut pipeline = Pipeline::default();
        pipeline.add(command);
        Ok(self.send(what, &pipeline)?.pop().unwrap_or(Value::Nil))
    }

    /// Gives the connections up, from the next piece of work on.
    pub(super) fn forget(&mut self) {
        self.is_spent = true;
    }

    /// What each node is sent: its number, the bytes, and which commands those are.
    fn parts(
        &mut self,
        pipeline: &Pipeline,
        open: &[usize],
        asks: &HashMap<usize, Address>,
    ) -> Result<Vec<Part<'static>>, JournalError> {
        let mut parts: Vec<Part<'static>> = Vec::new();
        for at in open {
            let node = match asks.get(at) {
                Some(address) => self.node_at(address)?,
                None => self.node_of(pipeline.way(*at).slot)?,
            };
            let place = parts.iter().position(|(known, _, _)| *known == node).unwrap_or_else(|| {
                parts.push((node, Cow::Owned(Vec::new()), Vec::new()));
                parts.len() - 1
            });
            let (_, bytes, places) = &mut parts[place];
            let bytes = bytes.to_mut();
            if asks.contains_key(at) {
                // Its answer is thrown away.
                bytes.extend(::redis::cmd("ASKING").get_packed_command());
                places.push(usize::MAX);
            }
            bytes.extend_from_slice(pipeline.command(*at));
            places.push(*at);
        }
        Ok(parts)
    }

    /// Sends each node its part before any answer is read. Of nodes whose answers did not all come, the connection is
    /// given up.
    fn exchange(
        &mut self,
        what: &str,
        parts: &[Part<'_>],
        pipeline: &Pipeline,
        answers: &mut [Value],
    ) -> Result<(), JournalError> {
        let (mut failed, mut broken) = (None, Vec::new());
        for (node, bytes, places) in parts {
            let writes = |at: &usize| *at < pipeline.len() && pipeline.way(*at).writes;
            self.nodes[*node].has_written |= places.iter().any(writes);
            if let Err(error) = self.nodes[*node].send(bytes) {
                broken.push(*node);
                failed = Some(error);
            }
        }
        for (node, _, places) in parts {
            if broken.contains(node) {
                continue;
            }
            for at in places {
                match self.nodes[*node].answer() {
                    Ok(answer) => {
                        if let Some(place) = answers.get_mut(*at) {
                            *place = answer;
                        }
                    }
                    Err(error) => {
                        broken.push(*node);
                        failed = Some(error);
                        break;
                    }
                }
            }
        }
        let Some(error) = failed else { return Ok(()) };
        self.cut = !error.is_timeout();
        let mut place = 0;
        self.nodes.retain(|_| {
            place += 1;
            !broken.contains(&(place - 1))
        });
        // Where it was, another one may be.
        self.slots = None;
        Err(unavailable(what, error))
    }

    /// Gives connections up to servers that are no primaries any more.
    fn give_up_replaced(&mut self, answers: &[Value]) {
        let is_replaced = |answer: &Value| match answer {
            Value::ServerError(error) => {
                matches!(error.code(), "READONLY" | "MASTERDOWN" | "CLUSTERDOWN" | "MOVED")
            }
            _ => false,
        };
        self.is_spent |= answers.iter().any(is_replaced);
    }
}

/// Turns an error of the server's into one of the journal's: all of them mean "not now" (LOADING, READONLY, OOM,
/// MISCONF, MASTERDOWN, NOREPLICAS, NOPERM, ...), and nothing was done.
pub(super) fn or_error(what: &str, answer: Value) -> Result<Value, JournalError> {
    match answer {
        Value::ServerError(error) => Err(unavailable(what, error_text(&error))),
        answer => Ok(answer),
    }
}

/// What the server said, as it said it.
pub(super) fn error_text(error: &::redis::ServerError) -> String {
    format!("{} {}", error.code(), error.details().unwrap_or_default())
}

pub(super) fn unavailable(what: &str, source: impl Into<Box<dyn Error + Send + Sync>>) -> JournalError {
    JournalError::Unavailable { what: what.to_owned(), source: Some(source.into()) }
}
