//! A message sent in pieces.

use super::sender::{Sender, opcode};
use crate::error::SendError;
use crate::message::Kind;
use crate::wire::hybi::Opcode;
use crate::wire::utf8::Utf8;

/// Sends one message in pieces, each as a frame of its own (RFC 6455 section 5.4).
///
/// ```
/// # use ws_proto::{Config, Connection, Kind, Negotiated, NoEntropy, Role, Version};
/// # let mut conn = Connection::from_upgraded(
/// #     Role::Server, Negotiated::new(Version::Rfc6455), Config::default(), Box::new(NoEntropy));
/// let mut message = conn.start_message(Kind::Text)?;
/// message.write(b"Hel")?;
/// message.finish(b"lo")?;
/// assert_eq!(conn.outgoing().next().unwrap(), b"\x01\x03Hel\x80\x02lo");
/// # Ok::<(), ws_proto::SendError>(())
/// ```
#[derive(Debug)]
pub struct MessageWriter<'s> {
    sender: &'s mut Sender,
}

#[derive(Debug)]
pub(super) struct OpenMessage {
    kind: Kind,
    started: bool,
    bytes: u64,
    text: Utf8,
}

impl OpenMessage {
    pub(super) const fn new(kind: Kind) -> Self {
        Self { kind, started: false, bytes: 0, text: Utf8::new() }
    }
}

impl<'s> MessageWriter<'s> {
    pub(super) fn new(sender: &'s mut Sender) -> Self {
        Self { sender }
    }

    /// Queues a piece, which may end inside a character.
    ///
    /// # Errors
    /// [`SendError::Full`] when the queue is over `Limits::outgoing`: write what is queued, then go on;
    /// [`SendError::InvalidUtf8`] if the message is text and this piece makes it impossible; [`SendError::Closed`];
    /// [`SendError::Entropy`]. The piece is then not queued.
    pub fn write(&mut self, piece: &[u8]) -> Result<(), SendError> {
        self.put(piece, false)
    }

    /// Queues the last piece, which may be empty.
    ///
    /// # Errors
    /// As [`MessageWriter::write`], and [`SendError::InvalidUtf8`] if text ends inside a character. The message then
    /// stays open.
    pub fn finish(mut self, piece: &[u8]) -> Result<(), SendError> {
        self.put(piece, true)
    }

    fn put(&mut self, piece: &[u8], fin: bool) -> Result<(), SendError> {
        if self.sender.is_full() {
            return Err(SendError::Full(()));
        }
        let Some(open) = self.sender.open_message() else { return Err(SendError::Closed(())) };
        let mut text = open.text;
        if open.kind == Kind::Text {
            text.push(piece).map_err(|_| SendError::InvalidUtf8)?;
            if fin {
                text.finish().map_err(|_| SendError::InvalidUtf8)?;
            }
        }
        let opcode = if open.started { Opcode::Continuation } else { opcode(open.kind) };
        let bytes = open.bytes + piece.len() as u64;
        self.sender.frame(opcode, fin, piece)?;
        if fin {
            self.sender.finish_message(bytes);
        } else if let Some(open) = self.sender.open_message() {
            open.started = true;
            open.bytes = bytes;
            open.text = text;
        }
        Ok(())
    }
}
