//! A message sent in pieces.

use super::encode::Fault;
use super::sender::{Sender, Start, opcode};
use crate::error::SendError;
use crate::extension::{Outgoing, Scope};
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
    /// What the program wants of the extension.
    compression: Option<bool>,
    /// The reserved bits of the first frame, if the message goes through the extension.
    encoded: Option<u8>,
}

impl OpenMessage {
    pub(super) const fn new(kind: Kind) -> Self {
        Self { kind, started: false, bytes: 0, text: Utf8::new(), compression: None, encoded: None }
    }

    /// How far the text is, if a piece was queued.
    #[cfg(feature = "legacy")]
    pub(super) fn text_begun(&self) -> Option<Utf8> {
        self.started.then_some(self.text)
    }
}

impl<'s> MessageWriter<'s> {
    pub(super) fn new(sender: &'s mut Sender) -> Self {
        Self { sender }
    }

    /// Compress this message, or don't, where compression was agreed. Default: as the extension's settings say.
    ///
    /// Has no effect once a piece was queued, unless each frame is compressed by itself.
    #[must_use]
    pub fn compress(self, yes: bool) -> Self {
        if let Some(open) = self.sender.open_message() {
            open.compression = Some(yes);
        }
        self
    }

    /// Queues a piece, which may end inside a character.
    ///
    /// Where compression was agreed the piece is compressed and flushed, so that the peer can read all of it; memory
    /// is not needed for more than the piece and the window.
    ///
    /// # Errors
    /// [`SendError::Full`] when the queue is over `Limits::outgoing`: write what is queued, then go on;
    /// [`SendError::InvalidUtf8`] if the message is text and this piece makes it impossible; [`SendError::Closed`];
    /// [`SendError::Entropy`], [`SendError::Encoding`]. The piece is then not queued.
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
        let bytes = open.bytes + piece.len() as u64;
        self.queue_piece(piece, fin)?;
        if fin {
            self.sender.finish_message(bytes);
        } else if let Some(open) = self.sender.open_message() {
            open.started = true;
            open.bytes = bytes;
            open.text = text;
        }
        Ok(())
    }

    fn queue_piece(&mut self, piece: &[u8], fin: bool) -> Result<(), Fault> {
        let Some(open) = &mut self.sender.open else { return Ok(()) };
        let by_frame = self.sender.encoding.as_ref().is_some_and(|encoding| encoding.scope == Scope::Frame);
        if let Some(encoding) = &mut self.sender.encoding
            && (by_frame || !open.started)
        {
            // The length is known if there is but one piece.
            let len = (by_frame || fin).then_some(piece.len());
            open.encoded = encoding.begin(&Outgoing { kind: open.kind, len, compress: open.compression });
        }
        let opcode = if open.started { Opcode::Continuation } else { opcode(open.kind) };
        let start = Start { opcode, fin, reserved: 0 };
        match open.encoded {
            None => Ok(self.sender.frame(start, piece)?),
            // With whole messages only the first frame is marked (RFC 7692 section 6.1).
            Some(_) if open.started && !by_frame => self.sender.encoded_frame(start, piece, fin),
            Some(reserved) => self.sender.encoded_frame(Start { reserved, ..start }, piece, fin || by_frame),
        }
    }
}
