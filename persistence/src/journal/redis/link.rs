//! One connection to Redis: made when it is needed, given up at the first sign of trouble.
//! Never retries, and never reads on after an answer is overdue: a late one could be taken for another's.

use std::error::Error;
use std::time::Duration;

use ::redis::{Client, Cmd, Connection, ConnectionInfo, RedisResult, Value, cmd};
use farerush_engine::journal::JournalError;

use super::options::RedisOptions;

/// A pipeline is cut into several at so many bytes: all of it is sent before an answer is read.
pub(super) const PIPELINE_BYTES_MAX: usize = 8 << 20;
/// And at so many commands, whose answers must fit the buffers of the two sockets.
pub(super) const PIPELINE_COMMANDS_MAX: usize = 512;

/// Commands that go out together.
#[derive(Default)]
pub(super) struct Pipeline {
    bytes: Vec<u8>,
    commands: usize,
}

impl Pipeline {
    pub(super) fn add(&mut self, command: &Cmd) {
        command.write_packed_command(&mut self.bytes);
        self.commands += 1;
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes.len() >= PIPELINE_BYTES_MAX || self.commands >= PIPELINE_COMMANDS_MAX
    }

    pub(super) fn is_empty(&self) -> bool {
        self.commands == 0
    }
}

/// The connection, or none at the moment.
pub(super) struct Link {
    info: ConnectionInfo,
    connect_timeout: Duration,
    response_timeout: Duration,
    connection: Option<Connection>,
    /// Counts connections, from 1 on.
    generation: u64,
    /// Whether the last one was found to be cut, rather than silent.
    cut: bool,
}

impl Link {
    pub(super) fn new(info: ConnectionInfo, options: &RedisOptions) -> Self {
        let mut response_timeout = options.response_timeout;
        if options.wait_replicas > 0 {
            response_timeout += options.wait_timeout;
        }
        let connect_timeout = options.connect_timeout;
        Self { info, connect_timeout, response_timeout, connection: None, generation: 0, cut: false }
    }

    /// Which connection this is. What was learnt on an earlier one says nothing about the server behind this one,
    /// which may have been restarted, or be another one.
    pub(super) fn generation(&mut self) -> Result<u64, JournalError> {
        if self.connection.is_none() {
            self.connection = Some(self.connect()?);
            self.generation += 1;
        }
        Ok(self.generation)
    }

    /// Sends all commands and gives their answers in order, errors of the server's among them.
    pub(super) fn send(&mut self, what: &str, pipeline: &Pipeline) -> Result<Vec<Value>, JournalError> {
        self.generation()?;
        // Taken out, and put back only when all answers are there.
        let Some(mut connection) = self.connection.take() else {
            return Err(unavailable(what, "no connection"));
        };
        match exchange(&mut connection, pipeline) {
            Ok(answers) => {
                self.connection = Some(connection);
                Ok(answers)
            }
            Err(error) => {
                self.cut = !error.is_timeout();
                Err(unavailable(what, error))
            }
        }
    }

    /// Does `work`; does it once more, on a new connection, if the one that was there from earlier turns out to be
    /// cut: after an idle night that says nothing about the server. Only for work that can be repeated.
    pub(super) fn attempt<T>(
        &mut self,
        work: impl Fn(&mut Self) -> Result<T, JournalError>,
    ) -> Result<T, JournalError> {
        let was_open = self.connection.is_some();
        self.cut = false;
        match work(self) {
            Err(JournalError::Unavailable { .. }) if was_open && self.cut => work(self),
            result => result,
        }
    }

    /// Sends all commands, in as many pipelines as they need, each sent when the one before is answered. Errors of
    /// the server's are among the answers.
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

    /// Gives the connection up, with whatever state the server keeps for it.
    pub(super) fn forget(&mut self) {
        self.connection = None;
    }

    fn connect(&self) -> Result<Connection, JournalError> {
        let what = "connect to Redis";
        let client = Client::open(self.info.clone()).map_err(|e| unavailable(what, e))?;
        let mut connection =
            client.get_connection_with_timeout(self.connect_timeout).map_err(|e| unavailable(what, e))?;
        let set_timeouts = |connection: &Connection, timeout| {
            connection.set_read_timeout(Some(timeout))?;
            connection.set_write_timeout(Some(timeout))
        };
        // A stopped process still accepts connections, and one that is loading its data answers nothing but this.
        set_timeouts(&connection, self.connect_timeout).map_err(|e| unavailable(what, e))?;
        let packed = cmd("PING").get_packed_command();
        connection.send_packed_command(&packed).map_err(|e| unavailable(what, e))?;
        or_error(what, connection.recv_response().map_err(|e| unavailable(what, e))?)?;
        set_timeouts(&connection, self.response_timeout).map_err(|e| unavailable(what, e))?;
        Ok(connection)
    }
}

fn exchange(connection: &mut Connection, pipeline: &Pipeline) -> RedisResult<Vec<Value>> {
    connection.send_packed_command(&pipeline.bytes)?;
    (0..pipeline.commands).map(|_| connection.recv_response()).collect()
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
