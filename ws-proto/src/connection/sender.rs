//! The sending half: messages to frames, control frames, the Close.

mod control;
#[cfg(feature = "legacy")]
mod legacy;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::mem;
use core::num::NonZeroUsize;

use bytes::Bytes;

use super::encode::Encoding;
use super::prepared::Encoded;
use super::queue::Queue;
use super::stats::{RoundTrip, Traffic};
use super::writer::{MessageWriter, OpenMessage};
use super::{Negotiated, Owed, Prepared, Receipt, SentClose};
use crate::close::{Cause, CloseFrame};
use crate::config::Config;
use crate::entropy::{BoxEntropy, EntropyError, MaskKeys};
use crate::error::{CloseError, SendError};
use crate::message::{IntoMessage, Kind};
use crate::time::Instant;
use crate::version::{Role, Version};
use crate::wire::extend_masked;
use crate::wire::hybi::{Header, MAX_CONTROL, MAX_HEAD, Opcode};
use control::Pings;
#[cfg(feature = "legacy")]
use legacy::Legacy;

/// From this payload size on, a server queues a shared message whole beside its head instead of copying it.
pub(super) const LARGE: usize = 4 * 1024;

/// The sending half of a [`Connection`](super::Connection).
///
/// Queues frames; the adapter writes [`Sender::outgoing`] to the transport and reports it with
/// [`Sender::advance`]. What the receiving half owes the peer arrives through [`Sender::settle`].
#[derive(Debug)]
pub struct Sender {
    pub(super) role: Role,
    high_water: usize,
    /// The longest payload of a data frame that is sent.
    pub(super) max_frame: usize,
    /// Neither closing nor inside a message: a whole message may be queued.
    accepting: bool,
    pub(super) queue: Queue,
    keys: MaskKeys,
    pub(super) stats: Traffic,
    pub(super) open: Option<OpenMessage>,
    closing: Option<Box<SentClose>>,
    fault: Option<Cause>,
    ended: bool,
    /// Something happened that the receiving half must know.
    changed: bool,
    /// A keepalive ping is queued and not written yet: its answer can't be waited for.
    keepalive_waits: bool,
    /// Since the last receipt, a keepalive ping was written.
    keepalive_written: bool,
    /// When output was first seen waiting since the last progress.
    stalled_since: Option<Instant>,
    pings: Option<Box<Pings>>,
    pub(super) encoding: Option<Box<Encoding>>,
    /// Frames are laid out as they were before hybi-07.
    #[cfg(feature = "legacy")]
    legacy: Option<Box<Legacy>>,
    masks: bool,
    version: Version,
    /// In a version without Close: it is to count as written when nothing is left to write.
    silent_close: bool,
    config: Arc<Config>,
}

/// The first byte of a data frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start {
    pub(super) opcode: Opcode,
    pub(super) fin: bool,
    pub(super) reserved: u8,
}

impl Start {
    const fn new(opcode: Opcode, fin: bool) -> Self {
        Self { opcode, fin, reserved: 0 }
    }

    pub(super) fn header(self, mask: Option<[u8; 4]>, len: usize) -> Header {
        Header { fin: self.fin, rsv: self.reserved, opcode: self.opcode, mask, len: len as u64 }
    }
}

impl Sender {
    pub(super) fn new(role: Role, config: Arc<Config>, entropy: BoxEntropy, negotiated: &Negotiated) -> Self {
        Self {
            role,
            high_water: config.limits.outgoing,
            max_frame: config.auto_fragment.map_or(usize::MAX, NonZeroUsize::get),
            accepting: true,
            queue: Queue::default(),
            keys: MaskKeys::new(entropy),
            stats: Traffic::default(),
            open: None,
            closing: None,
            fault: None,
            ended: false,
            changed: false,
            keepalive_waits: false,
            keepalive_written: false,
            stalled_since: None,
            pings: None,
            encoding: negotiated.extension_in_use().map(|agreement| Box::new(Encoding::new(agreement, role))),
            #[cfg(feature = "legacy")]
            legacy: Legacy::new(role, negotiated, &config).map(Box::new),
            masks: role == Role::Client && negotiated.version.masks(),
            version: negotiated.version,
            silent_close: false,
            config,
        }
    }

    /// Queues a whole message.
    ///
    /// Small messages are copied behind their head. A server queues a large shared one (`Bytes`, `Vec`,
    /// `String` and the like, from 4 KiB) whole; a client masks while it copies (RFC 6455 section 5.3).
    /// With `Config::auto_fragment` a longer message is cut into frames. If an extension that encodes messages was
    /// agreed, it does so here, unless [`IntoMessage::compress`] says otherwise.
    ///
    /// # Errors
    /// [`SendError::Full`] with the message when the queue is over `Limits::outgoing`; [`SendError::Closed`] after a
    /// Close was sent or received; [`SendError::MessageOpen`] inside a message; [`SendError::Unsupported`] if the version
    /// has no binary messages ([`Version::has_binary`]); [`SendError::Entropy`].
    #[inline]
    pub fn send<M: IntoMessage>(&mut self, message: M) -> Result<(), SendError<M>> {
        if !self.accepting || self.queue.pending() > self.high_water {
            return Err(self.refusal(message));
        }
        if self.encoding.is_some()
            && let Some(reserved) = self.wants_encoding(message.kind(), message.bytes().len(), message.compression())
        {
            return Ok(self.send_encoded(message.kind(), message.bytes(), reserved)?);
        }
        #[cfg(feature = "legacy")]
        if self.legacy.is_some() {
            return self.send_legacy(message);
        }
        let bytes = message.bytes();
        if bytes.len() > self.max_frame {
            return self.send_fragmented(message);
        }
        let opcode = opcode(message.kind());
        let len = bytes.len() as u64;
        if self.lends() && bytes.len() >= LARGE {
            self.send_large(opcode, message)?;
        } else {
            self.frame(Start::new(opcode, true), bytes)?;
        }
        self.stats.messages += 1;
        self.stats.message_bytes += len;
        Ok(())
    }

    /// Whether payloads go out as they are, behind a head of RFC 6455.
    #[inline]
    fn lends(&self) -> bool {
        #[cfg(feature = "legacy")]
        if self.legacy.is_some() {
            return false;
        }
        self.role == Role::Server
    }

    #[cold]
    fn refusal<M>(&self, message: M) -> SendError<M> {
        if self.closing.is_some() || self.ended || self.fault.is_some() {
            SendError::Closed(message)
        } else if self.open.is_some() {
            SendError::MessageOpen(message)
        } else {
            SendError::Full(message)
        }
    }

    fn send_large<M: IntoMessage>(&mut self, opcode: Opcode, message: M) -> Result<(), EntropyError> {
        match message.into_shared() {
            Ok(bytes) => self.large_frame(Start::new(opcode, true), bytes),
            Err(message) => self.frame(Start::new(opcode, true), message.bytes())?,
        }
        Ok(())
    }

    fn send_fragmented<M: IntoMessage>(&mut self, message: M) -> Result<(), SendError<M>> {
        let max = self.max_frame;
        let mut opcode = opcode(message.kind());
        let len = message.bytes().len() as u64;
        let shared = if self.lends() && max >= LARGE { message.into_shared() } else { Err(message) };
        match shared {
            Ok(mut bytes) => {
                while !bytes.is_empty() {
                    let part = bytes.split_to(max.min(bytes.len()));
                    self.large_frame(Start::new(opcode, bytes.is_empty()), part);
                    opcode = Opcode::Continuation;
                }
            }
            Err(message) => {
                let mut parts = message.bytes().chunks(max).peekable();
                while let Some(part) = parts.next() {
                    if let Err(error) = self.frame(Start::new(opcode, parts.peek().is_none()), part) {
                        // A message cut in the middle can't be mended.
                        if opcode == Opcode::Continuation {
                            self.fail(Cause::Entropy);
                        }
                        return Err(error.into());
                    }
                    opcode = Opcode::Continuation;
                }
            }
        }
        self.stats.messages += 1;
        self.stats.message_bytes += len;
        Ok(())
    }

    /// Queues a data frame by copying; a client masks on the way.
    #[inline]
    pub(super) fn frame(&mut self, start: Start, payload: &[u8]) -> Result<(), EntropyError> {
        #[cfg(feature = "legacy")]
        if self.legacy.is_some() {
            return self.legacy_frame(start, payload);
        }
        let mask = self.next_mask()?;
        let len = payload.len();
        self.stats.frames += 1;
        if len <= MAX_CONTROL {
            // The usual case: everything about the head is known here.
            let fin = if start.fin { 0x80 } else { 0 };
            let start = [fin | start.reserved << 4 | start.opcode as u8, len as u8];
            match mask {
                None => {
                    let run = self.queue.run(2 + len);
                    run.extend_from_slice(&start);
                    run.extend_from_slice(payload);
                    self.stats.wire_bytes += 2 + len as u64;
                }
                Some(key) => {
                    let run = self.queue.run(6 + len);
                    let [k0, k1, k2, k3] = key;
                    run.extend_from_slice(&[start[0], start[1] | 0x80, k0, k1, k2, k3]);
                    extend_masked(run, key, payload);
                    self.stats.wire_bytes += 6 + len as u64;
                }
            }
            return Ok(());
        }
        let mut head = [0; MAX_HEAD];
        let used = start.header(mask, len).encode(&mut head);
        self.stats.wire_bytes += (used + len) as u64;
        let run = self.queue.run(used + len);
        run.extend_from_slice(head.get(..used).unwrap_or_default());
        match mask {
            None => run.extend_from_slice(payload),
            Some(key) => {
                extend_masked(run, key, payload);
            }
        }
        Ok(())
    }

    /// Queues a frame of a server without copying its payload.
    fn large_frame(&mut self, start: Start, payload: Bytes) {
        let mut head = [0; MAX_HEAD];
        let used = start.header(None, payload.len()).encode(&mut head);
        self.stats.frames += 1;
        self.stats.wire_bytes += (used + payload.len()) as u64;
        self.queue.push_large(head, used, payload);
    }

    #[inline]
    pub(super) fn next_mask(&mut self) -> Result<Option<[u8; 4]>, EntropyError> {
        if self.masks { self.keys.next_key().map(Some) } else { Ok(None) }
    }

    /// Queues a message that was encoded once for many connections.
    ///
    /// If an extension encodes messages, that too is done once for all connections with equal parameters. With context
    /// takeover (RFC 7692 section 7.1.1) the next ordinary message of this connection then starts with an empty window.
    ///
    /// # Errors
    /// As [`Sender::send`].
    pub fn send_prepared(&mut self, message: &Prepared) -> Result<(), SendError> {
        if !self.accepting || self.queue.pending() > self.high_water {
            return Err(self.refusal(()));
        }
        #[cfg(feature = "legacy")]
        if self.lacks(message.kind()) {
            return Err(SendError::Unsupported(self.version));
        }
        let payload = message.payload();
        match self.wants_encoding(message.kind(), payload.len(), message.compression()) {
            Some(reserved) => self.send_prepared_encoded(message, reserved)?,
            None => self.put_prepared(Start::new(opcode(message.kind()), true), message.plain())?,
        }
        self.stats.messages += 1;
        self.stats.message_bytes += payload.len() as u64;
        Ok(())
    }

    /// Queues what was encoded for a server; a client must mask it.
    pub(super) fn put_prepared(&mut self, start: Start, encoded: &Encoded) -> Result<(), EntropyError> {
        if !self.lends() {
            return self.frame(start, encoded.payload());
        }
        let frame = encoded.server_frame();
        self.stats.frames += 1;
        self.stats.wire_bytes += frame.len() as u64;
        if frame.len() >= LARGE {
            self.queue.push_large([0; MAX_HEAD], 0, frame.clone());
        } else {
            self.queue.run(frame.len()).extend_from_slice(frame);
        }
        Ok(())
    }

    /// Begins a message that is sent in pieces, each a frame (RFC 6455 section 5.4).
    ///
    /// Until the writer is finished no other message can be sent; control frames can. A writer that is
    /// dropped leaves the message open: go on with [`Sender::resume_message`].
    ///
    /// # Errors
    /// As [`Sender::send`].
    pub fn start_message(&mut self, kind: Kind) -> Result<MessageWriter<'_>, SendError> {
        if !self.accepting || self.queue.pending() > self.high_water {
            return Err(self.refusal(()));
        }
        if kind == Kind::Binary && !self.version.has_binary() {
            return Err(SendError::Unsupported(self.version));
        }
        self.accepting = false;
        self.open = Some(OpenMessage::new(kind));
        Ok(MessageWriter::new(self))
    }

    /// The writer of the message that [`Sender::start_message`] began and nobody finished.
    pub fn resume_message(&mut self) -> Option<MessageWriter<'_>> {
        self.open.is_some().then(|| MessageWriter::new(self))
    }

    pub(super) fn open_message(&mut self) -> Option<&mut OpenMessage> {
        self.open.as_mut()
    }

    pub(super) fn finish_message(&mut self, bytes: u64) {
        self.stats.messages += 1;
        self.stats.message_bytes += bytes;
        self.open = None;
        self.accepting = self.closing.is_none() && !self.ended && self.fault.is_none();
    }

    pub(super) fn is_full(&self) -> bool {
        self.queue.pending() > self.high_water
    }

    /// Begins the closing handshake: the Close goes out after the messages queued before (RFC 6455 section 7.1.2).
    ///
    /// An open message is cut off after its current frame; in hixie-76, which has no frames inside a message, the text
    /// ends where it is. What a version has no place for (the code and reason before hybi-06, the Close itself in
    /// hixie-75) is not sent. A second call does nothing.
    ///
    /// # Errors
    /// [`CloseError`] if the code may not be sent or the reason is too long.
    pub fn close(&mut self, now: Instant, code: impl Into<crate::CloseCode>, reason: &str) -> Result<(), CloseError> {
        let frame = CloseFrame::new(code, reason)?;
        self.begin_close(now, frame);
        Ok(())
    }

    /// Like [`Sender::close`], with a Close that is known to be legal.
    pub fn close_with(&mut self, now: Instant, frame: CloseFrame) {
        self.begin_close(now, frame);
    }

    /// Queues the Close, unless one was.
    pub(super) fn begin_close(&mut self, now: Instant, frame: CloseFrame) {
        if self.closing.is_some() || self.ended {
            return;
        }
        let Ok(mask) = self.next_mask() else {
            self.fail(Cause::Entropy);
            return;
        };
        #[cfg(feature = "legacy")]
        self.cut_legacy_message();
        let body = self.version.close_body();
        let frame = frame.into_sent(body);
        if self.version.has_close() {
            let encoded =
                frame.encode(body, self.role, |code, reason| self.control_frame(Opcode::Close, mask, &[code, reason]));
            self.queue.close().extend_from_slice(encoded.as_slice());
            self.count_control(encoded.len);
        }
        self.closing = Some(Box::new(SentClose { frame, at: now, written: false }));
        self.open = None;
        self.accepting = false;
        self.changed = true;
        self.silent_close = !self.version.has_close();
        self.look_for_silent_close();
    }

    /// In a version without Close it counts as written when all that precedes it is.
    fn look_for_silent_close(&mut self) {
        if self.silent_close && self.queue.is_empty() {
            self.silent_close = false;
            self.close_written();
        }
    }

    pub(super) fn fail(&mut self, cause: Cause) {
        self.fault.get_or_insert(cause);
        self.accepting = false;
        // What was queued of it can't be taken back, so trying again would send it twice.
        self.open = None;
        self.changed = true;
    }

    /// Takes over what the receiving half owes the peer: a pong, a keepalive ping, a Close, or the end.
    pub fn settle(&mut self, now: Instant, owed: Owed) {
        if self.ended {
            return;
        }
        if let Some(payload) = owed.pong
            && self.closing.is_none()
        {
            let replaced = self.queue.has_pong();
            match self.next_mask() {
                Ok(mask) => {
                    let frame = self.control_frame(Opcode::Pong, mask, &[&payload]);
                    self.queue.pong().extend_from_slice(frame.as_slice());
                    if !replaced {
                        self.stats.pongs += 1;
                        self.count_control(frame.len);
                    }
                }
                Err(_) => self.fail(Cause::Entropy),
            }
        }
        if let Some(counter) = owed.ping {
            // A full control queue is itself a sign that nothing gets through; the pong deadline decides.
            match self.ping(now, &counter.to_be_bytes()) {
                Ok(()) => self.keepalive_waits = true,
                Err(_) => self.keepalive_written(),
            }
        }
        if let Some(frame) = owed.close {
            self.begin_close(now, *frame);
        }
        if owed.ended {
            self.end();
        }
    }

    /// Nothing will be written any more.
    fn end(&mut self) {
        self.ended = true;
        self.accepting = false;
        self.open = None;
        self.queue.clear();
        self.encoding = None;
        if let Some(pings) = &mut self.pings {
            pings.sent = VecDeque::new();
        }
        self.keys.release();
        self.stalled_since = None;
    }

    /// There is nothing that the receiving half must know.
    #[inline]
    pub(super) fn is_quiet(&self) -> bool {
        !self.changed
    }

    /// What the receiving half must know; `None` if nothing happened since the last call.
    pub fn receipt(&mut self) -> Option<Receipt> {
        if !mem::take(&mut self.changed) {
            return None;
        }
        let keepalive_written = mem::take(&mut self.keepalive_written);
        Some(Receipt { close: self.closing.clone(), fault: self.fault, keepalive_written })
    }

    /// Data messages queued so far; the receiving half looks at it to tell an idle connection.
    #[must_use]
    pub fn messages_sent(&self) -> u64 {
        self.stats.messages
    }

    /// What to write to the transport next, in order. Follow with [`Sender::advance`].
    pub fn outgoing(&self) -> impl Iterator<Item = &[u8]> {
        self.queue.slices()
    }

    /// Reports that the transport took the first `n` bytes of [`Sender::outgoing`].
    #[inline]
    pub fn advance(&mut self, n: usize) {
        self.advance_reclaiming(n, &mut drop);
    }

    /// Like [`Sender::advance`]; hands payloads that were queued whole to `spent` once they are written.
    ///
    /// Where nobody else holds one, its memory can serve for the next message:
    /// [`Receiver::swap_room`](super::Receiver::swap_room).
    #[inline]
    pub fn advance_reclaiming(&mut self, n: usize, spent: &mut dyn FnMut(Bytes)) {
        if n > 0 {
            self.stalled_since = None;
            if self.queue.advance(n, spent) {
                self.close_written();
            }
            if self.silent_close {
                self.look_for_silent_close();
            }
            if self.keepalive_waits {
                self.look_for_keepalive();
            }
        }
    }

    #[cold]
    fn look_for_keepalive(&mut self) {
        if self.queue.control_pending() == 0 {
            self.keepalive_waits = false;
            self.keepalive_written();
        }
    }

    fn keepalive_written(&mut self) {
        self.keepalive_written = true;
        self.changed = true;
    }

    fn close_written(&mut self) {
        if let Some(closing) = &mut self.closing {
            closing.written = true;
            self.changed = true;
        }
    }

    /// The next bytes to write, given away for good: for completion-based I/O. They count as written.
    pub fn take_outgoing(&mut self) -> Option<Bytes> {
        let (bytes, closed) = self.queue.take();
        if bytes.is_some() {
            self.stalled_since = None;
        }
        if closed {
            self.close_written();
        }
        if self.silent_close {
            self.look_for_silent_close();
        }
        if self.keepalive_waits {
            self.look_for_keepalive();
        }
        bytes
    }

    /// Whether there is something to write.
    #[inline]
    #[must_use]
    pub fn wants_write(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Bytes of data frames queued and not written.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.queue.pending()
    }

    /// Whether a whole message would be taken now.
    #[must_use]
    pub fn can_send(&self) -> bool {
        self.accepting && !self.is_full()
    }

    /// Whether a Close was queued, or the connection has ended.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.closing.is_some() || self.ended
    }

    /// Starts the clocks: for writing if output is waiting, and for what an extension holds.
    #[inline]
    pub fn observe(&mut self, now: Instant) {
        if self.stalled_since.is_none() && !self.queue.is_empty() {
            self.stalled_since = Some(now);
        }
        if let Some(encoding) = &mut self.encoding {
            encoding.observe(now);
        }
    }

    /// When [`Sender::handle_timeout`] wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.ended || self.fault.is_some() {
            return None;
        }
        let idle = self.encoding.as_ref().and_then(|encoding| encoding.idle_at());
        [self.stalled_at(), idle].into_iter().flatten().min()
    }

    /// When the transport will have taken nothing for too long.
    fn stalled_at(&self) -> Option<Instant> {
        Some(self.stalled_since?.saturating_add(self.config.timers.write_stall?))
    }

    /// Looks at the clock: a transport that took nothing for `Timers::write_stall` ends the connection, and an extension
    /// that encoded nothing for long gives memory back.
    ///
    /// The stall clock starts at the first call of this (or of `Connection::poll`) that sees output waiting.
    pub fn handle_timeout(&mut self, now: Instant) {
        if !self.ended && self.fault.is_none() && self.stalled_at().is_some_and(|at| now >= at) {
            self.fail(Cause::WriteStalled);
        }
        self.observe(now);
        if let Some(encoding) = &mut self.encoding {
            encoding.handle_timeout(now);
        }
    }

    /// The transport is being written to or flushed and is not ready: starts the write-stall clock, unless it runs.
    ///
    /// For adapters whose transports keep what was written until it is flushed. Follow with [`Sender::flushed`].
    pub fn flushing(&mut self, now: Instant) {
        self.stalled_since.get_or_insert(now);
    }

    /// The transport has passed everything on that it had taken: stops the write-stall clock.
    pub fn flushed(&mut self) {
        self.stalled_since = None;
    }

    /// What was queued so far, and the round-trip times measured.
    #[must_use]
    pub fn stats(&self) -> (Traffic, Option<RoundTrip>) {
        (self.stats, self.pings.as_ref().and_then(|pings| pings.round_trip))
    }

    /// Gives unused memory back; for connections that turn idle. A client keeps its 256 bytes of mask keys.
    pub fn release_memory(&mut self) {
        self.queue.release();
        if let Some(pings) = &mut self.pings
            && pings.sent.is_empty()
        {
            pings.sent = VecDeque::new();
        }
    }

    /// Bytes that are to go out before any frame: the rest of the opening handshake.
    ///
    /// They stand at the front of the control frames, which go out before a run that is not begun.
    pub(super) fn preface(&mut self, bytes: &[u8]) {
        self.queue.control().extend_from_slice(bytes);
    }
}

pub(super) const fn opcode(kind: Kind) -> Opcode {
    match kind {
        Kind::Text => Opcode::Text,
        Kind::Binary => Opcode::Binary,
    }
}
