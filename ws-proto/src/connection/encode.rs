//! Messages that go out through an extension (RFC 6455 section 9).

use alloc::boxed::Box;

use super::Prepared;
use super::prepared::Encoded;
use super::sender::{Sender, Start, opcode};
use crate::close::Cause;
use crate::entropy::EntropyError;
use crate::error::SendError;
use crate::extension::{Agreement, EncodeError, Encoder, Outgoing, Scope};
use crate::message::Kind;
use crate::time::Instant;
use crate::version::Role;
use crate::wire::hybi::{MAX_CONTROL, MAX_HEAD, Opcode};
use crate::wire::mask;

/// The extension in use.
#[derive(Debug)]
pub(super) struct Encoding {
    pub(super) scope: Scope,
    reserved: u8,
    pub(super) encoder: Box<dyn Encoder>,
    /// Something was encoded since the clock was last seen.
    used: bool,
    used_at: Option<Instant>,
}

/// Why a message could not be encoded or masked.
#[derive(Debug)]
pub(super) enum Fault {
    Entropy(EntropyError),
    Encoding(EncodeError),
}

impl From<EntropyError> for Fault {
    fn from(error: EntropyError) -> Self {
        Self::Entropy(error)
    }
}

impl From<EncodeError> for Fault {
    fn from(error: EncodeError) -> Self {
        Self::Encoding(error)
    }
}

impl<M> From<Fault> for SendError<M> {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Entropy(error) => Self::Entropy(error),
            Fault::Encoding(error) => Self::Encoding(error),
        }
    }
}

impl Encoding {
    pub(super) fn new(agreement: &Agreement, role: Role) -> Self {
        let codec = agreement.codec();
        Self {
            scope: codec.scope(),
            reserved: codec.reserved_bits() & 7,
            encoder: codec.encoder(role),
            used: false,
            used_at: None,
        }
    }

    /// The reserved bits of a message or frame, or `None` if it goes out as it is.
    pub(super) fn begin(&mut self, message: &Outgoing) -> Option<u8> {
        self.encoder.begin(message).map(|bits| bits & self.reserved)
    }

    #[inline]
    pub(super) fn observe(&mut self, now: Instant) {
        if self.used {
            self.used = false;
            self.used_at = Some(now);
        }
    }

    /// When it will have held memory for long without using it.
    pub(super) fn idle_at(&self) -> Option<Instant> {
        Some(self.used_at?.saturating_add(self.encoder.idle_after()?))
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.idle_at().is_some_and(|at| now >= at) {
            self.encoder.release();
            self.used_at = None;
        }
    }
}

impl Sender {
    /// Asks the extension about a message, or in [`Scope::Frame`] about a frame: the reserved bits to mark it with if
    /// it is to be encoded.
    pub(super) fn wants_encoding(&mut self, kind: Kind, len: usize, compress: Option<bool>) -> Option<u8> {
        self.encoding.as_mut()?.begin(&Outgoing { kind, len: Some(len), compress })
    }

    /// Queues a whole message through the extension.
    pub(super) fn send_encoded(&mut self, kind: Kind, payload: &[u8], reserved: u8) -> Result<(), Fault> {
        let start = Start { opcode: opcode(kind), fin: true, reserved };
        let by_frame = self.encoding.as_ref().is_some_and(|encoding| encoding.scope == Scope::Frame);
        if by_frame && payload.len() > self.max_frame {
            let mut start = start;
            let mut parts = payload.chunks(self.max_frame).peekable();
            while let Some(part) = parts.next() {
                start.fin = parts.peek().is_none();
                let sent = self.encoded_frame(start, part, true);
                self.unless_begun(start.opcode, sent)?;
                start.opcode = Opcode::Continuation;
            }
        } else {
            self.encoded_frame(start, payload, true)?;
        }
        self.stats.messages += 1;
        self.stats.message_bytes += payload.len() as u64;
        Ok(())
    }

    /// A message that was cut in the middle can't be mended.
    fn unless_begun(&mut self, opcode: Opcode, sent: Result<(), Fault>) -> Result<(), Fault> {
        if sent.is_err() && opcode == Opcode::Continuation {
            self.fail(Cause::Entropy);
        }
        sent
    }

    /// Encodes a piece into a frame, or into several if what comes out is long. `end`: it ends what is encoded as a whole.
    ///
    /// It is encoded where it is to lie, behind room for a head of the length that is likely.
    pub(super) fn encoded_frame(&mut self, start: Start, piece: &[u8], end: bool) -> Result<(), Fault> {
        // First what can fail without harm: nothing may be encoded that is not sent.
        let key = self.next_mask()?;
        let Some(encoding) = &mut self.encoding else { return Err(EncodeError.into()) };
        let scope = encoding.scope;
        encoding.used = true;
        let run = self.queue.open_run();
        let at = run.len();
        let guess = start.header(key, piece.len()).encode(&mut [0; MAX_HEAD]);
        run.resize(at + guess, 0);
        if let Err(error) = encoding.encoder.encode(piece, end, run) {
            run.truncate(at);
            self.fail(Cause::Encoding);
            return Err(error.into());
        }
        let len = run.len().saturating_sub(at + guess);
        if len > self.max_frame && scope == Scope::Message {
            let encoded = run.split_off(at + guess);
            run.truncate(at);
            return self.cut(start, &encoded);
        }
        let mut head = [0; MAX_HEAD];
        let used = start.header(key, len).encode(&mut head);
        run.splice(at..at + guess, head.into_iter().take(used));
        if let (Some(key), Some(payload)) = (key, run.get_mut(at + used..)) {
            mask(key, 0, payload);
        }
        self.queue.appended(used + len);
        self.stats.frames += 1;
        self.stats.wire_bytes += (used + len) as u64;
        Ok(())
    }

    /// Queues what was encoded as frames of the length that is set.
    fn cut(&mut self, mut start: Start, encoded: &[u8]) -> Result<(), Fault> {
        let fin = start.fin;
        let mut parts = encoded.chunks(self.max_frame).peekable();
        while let Some(part) = parts.next() {
            start.fin = fin && parts.peek().is_none();
            if let Err(error) = self.frame(start, part) {
                // The peer will never see what later messages may refer to.
                self.fail(Cause::Entropy);
                return Err(error.into());
            }
            start.opcode = Opcode::Continuation;
            start.reserved = 0;
        }
        Ok(())
    }

    /// Queues a message that is encoded once for all connections with equal parameters.
    pub(super) fn send_prepared_encoded(&mut self, message: &Prepared, reserved: u8) -> Result<(), Fault> {
        let start = Start { opcode: opcode(message.kind()), fin: true, reserved };
        let Some(encoding) = &mut self.encoding else { return Err(EncodeError.into()) };
        let Some((algorithm, parameters)) = encoding.encoder.standalone() else {
            return self.encoded_frame(start, message.payload(), true);
        };
        encoding.used = true;
        let encoder = &mut encoding.encoder;
        let encoded = message.encoded((algorithm, parameters, reserved), |payload| {
            // Most often it becomes shorter.
            let mut out = alloc::vec::Vec::with_capacity(MAX_HEAD + payload.len() / 2 + MAX_CONTROL);
            encoder.encode_standalone(payload, &mut out)?;
            Ok::<_, EncodeError>(Encoded::new(start, &out))
        })?;
        encoder.standalone_sent();
        Ok(self.put_prepared(start, &encoded)?)
    }
}
