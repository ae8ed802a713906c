//! A connection whose two ends have shown each other the secret, and whose bytes nobody else reads or changes.
//! Never looks at what is said.

use std::io::{Error, ErrorKind, Result};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use snow::{Builder, StatelessTransportState};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

const PATTERN: &str = "Noise_NNpsk0_25519_ChaChaPoly_BLAKE2s";
/// What both ends must mean: another version of the link has other words here.
const PROLOGUE: &[u8] = b"farerush-peers/1";
/// How long the other end may take to show the secret.
const MEETING_MAX: Duration = Duration::from_secs(2);
/// Largest message of Noise, and how much of it is the seal, in bytes (section 3 and 5.1 of its specification).
const SEALED_BYTES_MAX: usize = 65_535;
const SEAL_BYTES: usize = 16;
/// Largest frame, in bytes: a body with its head.
pub(crate) const FRAME_BYTES_MAX: usize = 272 << 20;
/// A buffer that has grown beyond this is given back, in bytes.
const BUFFER_BYTES_KEPT: usize = 256 * 1024;

/// What all servers of a system know, and nobody else.
#[derive(Clone)]
pub struct Secret([u8; 32]);

impl Secret {
    /// The link's own key, which says nothing of the text that it is made from.
    pub fn derive(text: &[u8]) -> Self {
        Self(blake3::derive_key("farerush 2026-11 link between servers", text))
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Which end of a connection this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It connected.
    Caller,
    /// It was connected to.
    Called,
}

/// Meets the other end: from then on both have shown that they know the secret.
pub(crate) async fn meet(stream: TcpStream, secret: &Secret, end: End) -> Result<(Reader, Writer)> {
    stream.set_nodelay(true)?;
    tokio::time::timeout(MEETING_MAX, shake_hands(stream, secret, end))
        .await
        .unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))
}

async fn shake_hands(mut stream: TcpStream, secret: &Secret, end: End) -> Result<(Reader, Writer)> {
    let pattern = PATTERN.parse().map_err(refused)?;
    let builder =
        Builder::new(pattern).prologue(PROLOGUE).and_then(|it| it.psk(0, &secret.0)).map_err(refused)?;
    let mut hands = match end {
        End::Caller => builder.build_initiator(),
        End::Called => builder.build_responder(),
    }
    .map_err(refused)?;
    let mut buffer = [0; 256];
    while !hands.is_handshake_finished() {
        if hands.is_my_turn() {
            let length = hands.write_message(&[], &mut buffer[2..]).map_err(refused)?;
            buffer[..2].copy_from_slice(&prefix(length)?);
            stream.write_all(&buffer[..length + 2]).await?;
        } else {
            let length = usize::from(stream.read_u16().await?);
            let message = buffer.get_mut(..length).ok_or(ErrorKind::InvalidData)?;
            stream.read_exact(message).await?;
            let mut said = [0; 256];
            hands.read_message(message, &mut said).map_err(refused)?;
        }
    }
    let state = Arc::new(hands.into_stateless_transport_mode().map_err(refused)?);
    let (from, to) = stream.into_split();
    let reader =
        Reader { from, state: state.clone(), nonce: 0, sealed: BytesMut::new(), open: BytesMut::new() };
    Ok((reader, Writer { to, state, nonce: 0, frames: Vec::new(), sealed: Vec::new() }))
}

/// What Noise says where the other end does not know the secret, or somebody has changed a byte.
fn refused(error: snow::Error) -> Error {
    Error::new(ErrorKind::PermissionDenied, error)
}

fn prefix(length: usize) -> Result<[u8; 2]> {
    u16::try_from(length).map(u16::to_be_bytes).map_err(|_| ErrorKind::InvalidData.into())
}

/// The end that is written to.
pub(crate) struct Writer {
    to: OwnedWriteHalf,
    state: Arc<StatelessTransportState>,
    nonce: u64,
    frames: Vec<u8>,
    sealed: Vec<u8>,
}

impl Writer {
    /// Adds a frame to those that leave next.
    pub(crate) fn add(&mut self, frame: &[&[u8]]) {
        let length: usize = frame.iter().map(|part| part.len()).sum();
        self.frames.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
        for part in frame {
            self.frames.extend_from_slice(part);
        }
    }

    /// How much waits, in bytes.
    pub(crate) fn waiting(&self) -> usize {
        self.frames.len()
    }

    /// Sends all of them.
    pub(crate) async fn send(&mut self) -> Result<()> {
        let mut at = 0;
        self.sealed.clear();
        for part in self.frames.chunks(SEALED_BYTES_MAX - SEAL_BYTES) {
            self.sealed.resize(at + 2 + part.len() + SEAL_BYTES, 0);
            let room = &mut self.sealed[at + 2..];
            let length = self.state.write_message(self.nonce, part, room).map_err(refused)?;
            self.sealed[at..at + 2].copy_from_slice(&prefix(length)?);
            self.nonce += 1;
            at += 2 + length;
        }
        self.frames.clear();
        self.frames.shrink_to(BUFFER_BYTES_KEPT);
        self.to.write_all(&self.sealed[..at]).await?;
        self.sealed.shrink_to(BUFFER_BYTES_KEPT);
        Ok(())
    }
}

/// The end that is read from.
pub(crate) struct Reader {
    from: OwnedReadHalf,
    state: Arc<StatelessTransportState>,
    nonce: u64,
    sealed: BytesMut,
    open: BytesMut,
}

impl Reader {
    /// The next frame; `None` once the other end has closed. May be dropped while it waits: nothing is lost.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            if let Some(frame) = self.take()? {
                return Ok(Some(frame));
            }
            if self.from.read_buf(&mut self.sealed).await? == 0 {
                return Ok(None);
            }
            self.unseal()?;
        }
    }

    fn unseal(&mut self) -> Result<()> {
        while let Some(length) =
            self.sealed.first_chunk().map(|bytes| usize::from(u16::from_be_bytes(*bytes)))
        {
            let Some(message) = self.sealed.get(2..2 + length) else { break };
            let at = self.open.len();
            self.open.resize(at + length, 0);
            let opened =
                self.state.read_message(self.nonce, message, &mut self.open[at..]).map_err(refused)?;
            self.open.truncate(at + opened);
            self.nonce += 1;
            self.sealed.advance(2 + length);
        }
        Ok(())
    }

    fn take(&mut self) -> Result<Option<Bytes>> {
        let Some(length) = self.open.first_chunk().map(|bytes| u32::from_be_bytes(*bytes) as usize) else {
            return Ok(None);
        };
        if length > FRAME_BYTES_MAX {
            return Err(ErrorKind::InvalidData.into());
        }
        if self.open.len() < 4 + length {
            return Ok(None);
        }
        self.open.advance(4);
        Ok(Some(self.open.split_to(length).freeze()))
    }
}
