//! Commands that go out together, each with its way.
//! Never sends one.

use ::redis::Cmd;

use super::slots::{Way, way_of};

/// A pipeline is cut into several at so many bytes: all of it is sent before an answer is read.
pub(super) const PIPELINE_BYTES_MAX: usize = 8 << 20;
/// And at so many commands, whose answers must fit the buffers of the two sockets.
pub(super) const PIPELINE_COMMANDS_MAX: usize = 512;

/// Commands that go out together.
#[derive(Default)]
pub(super) struct Pipeline {
    bytes: Vec<u8>,
    /// Where each ends, and its way.
    commands: Vec<(usize, Way)>,
}

impl Pipeline {
    pub(super) fn add(&mut self, command: &Cmd) {
        command.write_packed_command(&mut self.bytes);
        self.commands.push((self.bytes.len(), way_of(command)));
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes.len() >= PIPELINE_BYTES_MAX || self.commands.len() >= PIPELINE_COMMANDS_MAX
    }

    pub(super) fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.commands.len()
    }

    /// All of it, as it is sent where there is one server.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn way(&self, place: usize) -> Way {
        self.commands[place].1
    }

    /// One command, as it is sent.
    pub(super) fn command(&self, place: usize) -> &[u8] {
        let start = place.checked_sub(1).map_or(0, |before| self.commands[before].0);
        &self.bytes[start..self.commands[place].0]
    }
}
