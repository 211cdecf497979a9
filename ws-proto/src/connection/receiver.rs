//! The receiving half: bytes to frames, frames to messages, and the end of the story.
//!
//! A frame that lies whole in the input is unmasked in place and lent out; that is the fast path.
//! Everything else goes through [`Receiver::step`], one head or one piece of payload at a time, so
//! that any split of the input gives the same events.

mod decode;
#[cfg(feature = "legacy")]
mod legacy;
mod shortcut;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;

use super::assembly::Assembly;
use super::control::ControlPayload;
use super::ending::{Ending, Verdict};
use super::event::{Chunk, Event, Pong};
use super::life::{Expiry, Life};
use super::stats::Traffic;
use super::{Negotiated, Owed, Receipt, Shutdown};
use crate::close::{Cause, CloseCode, CloseFrame};
use crate::config::{Config, Delivery};
use crate::error::ProtocolError;
use crate::input::Input;
use crate::message::{Kind, Payload, Text};
use crate::time::Instant;
use crate::version::{CloseBody, Role};
use crate::wire::hybi::{Header, MAX_HEAD, MaskRule, Opcode, Rules};
use crate::wire::{mask, rotate};
use decode::Decoding;
#[cfg(feature = "legacy")]
use legacy::Legacy;
use shortcut::Pace;
pub(super) use shortcut::Poll;

/// The receiving half of a [`Connection`](super::Connection).
///
/// Turns bytes into events. What it owes the peer is fetched with [`Receiver::take_owed`] and handed to the
/// sending half; what that did comes back through [`Receiver::note`].
#[derive(Debug)]
pub struct Receiver {
    pace: Pace,
    masked: bool,
    role: Role,
    phase: Phase,
    frame_limit: u64,
    message_limit: u64,
    stats: Traffic,
    life: Life,
    head: [u8; MAX_HEAD],
    head_len: u8,
    frame: Option<Frame>,
    message: Option<Kind>,
    assembly: Assembly,
    decoding: Option<Box<Decoding>>,
    /// Frames are laid out as they were before hybi-07.
    #[cfg(feature = "legacy")]
    legacy: Option<Box<Legacy>>,
    close_body: CloseBody,
    control: Option<Box<ControlPayload>>,
    owed: Owed,
    ending: Ending,
    early: Vec<u8>,
    early_used: usize,
    config: Arc<Config>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Input is parsed.
    Open,
    /// The peer's Close arrived, or this side failed the connection: input is thrown away.
    Deaf,
}

/// A frame whose head was read.
#[derive(Clone, Copy, Debug)]
struct Frame {
    opcode: Opcode,
    fin: bool,
    /// Rotated to the next payload byte.
    key: Option<[u8; 4]>,
    len: u64,
    left: u64,
}

impl Receiver {
    pub(super) fn new(role: Role, config: Arc<Config>, negotiated: &Negotiated) -> Self {
        let mut receiver = Self {
            pace: Pace::Steps,
            masked: role == Role::Server,
            role,
            phase: Phase::Open,
            frame_limit: config.limits.frame,
            message_limit: config.limits.message,
            stats: Traffic::default(),
            life: Life::default(),
            head: [0; MAX_HEAD],
            head_len: 0,
            frame: None,
            message: None,
            assembly: Assembly::default(),
            decoding: negotiated.extension_in_use().map(|agreement| Box::new(Decoding::new(agreement, role))),
            #[cfg(feature = "legacy")]
            legacy: Legacy::new(role, negotiated).map(Box::new),
            close_body: negotiated.version.close_body(),
            control: None,
            owed: Owed::default(),
            ending: Ending::new(negotiated.version),
            early: Vec::new(),
            early_used: 0,
            config,
        };
        receiver.settle_pace();
        receiver
    }

    /// Bytes that came behind the head of the opening handshake; they are parsed before any input.
    pub(super) fn set_early(&mut self, bytes: Vec<u8>) {
        self.early = bytes;
        self.settle_pace();
    }

    /// Switches between whole messages and chunks; takes effect with the next message.
    pub fn set_delivery(&mut self, delivery: Delivery) {
        self.assembly.delivery = Some(delivery);
        self.settle_pace();
    }

    fn delivery(&self) -> Delivery {
        self.assembly.delivery.unwrap_or(self.config.delivery)
    }

    /// The next event, or `None` when all input is consumed and nothing more is to be said.
    ///
    /// Follow with [`Receiver::take_owed`]; `Closed` comes from [`Receiver::ended`].
    pub fn poll<'i>(&mut self, now: Instant, input: &mut Input<'i>) -> Option<Event<'i>> {
        match self.poll_fast(now, input) {
            Poll::Event(event) => return Some(event),
            Poll::Nothing => return None,
            Poll::Undecided => {}
        }
        self.poll_slow(now, input)
    }

    pub(super) fn poll_slow<'i>(&mut self, now: Instant, input: &mut Input<'i>) -> Option<Event<'i>> {
        if !self.early.is_empty() {
            let event = self.poll_early(now);
            if event.is_some() {
                return event;
            }
        }
        self.poll_input(now, input)
    }

    /// What came with the handshake lies in our own memory, so its events must own their bytes.
    #[cold]
    fn poll_early(&mut self, now: Instant) -> Option<Event<'static>> {
        let mut early = mem::take(&mut self.early);
        let total = early.len();
        let mut input = Input::new(early.get_mut(self.early_used..).unwrap_or_default());
        let event = self.poll_input(now, &mut input).map(Event::into_owned);
        self.early_used = total - input.len();
        if self.early_used < total {
            self.early = early;
        }
        self.settle_pace();
        event
    }

    fn poll_input<'i>(&mut self, now: Instant, input: &mut Input<'i>) -> Option<Event<'i>> {
        if !input.is_empty() {
            self.life.heard(now);
        }
        if self.phase == Phase::Open {
            match self.step(now, input) {
                Ok(event) => {
                    self.settle_pace();
                    return event;
                }
                Err(error) => self.fail(error),
            }
        }
        self.ending.discarded += input.take_all().len() as u64;
        None
    }

    /// Consumes input up to the next event.
    fn step<'i>(&mut self, now: Instant, input: &mut Input<'i>) -> Result<Option<Event<'i>>, ProtocolError> {
        loop {
            let Some(frame) = self.frame else {
                #[cfg(feature = "legacy")]
                if self.legacy.is_some() {
                    match self.legacy_step(now, input)? {
                        Progress::Event(event) => return Ok(Some(event)),
                        Progress::Frame => continue,
                        Progress::Starved => return Ok(None),
                    }
                }
                let Some(header) = self.read_head(input)? else { return Ok(None) };
                self.begin_frame(now, &header)?;
                continue;
            };
            let event = if frame.opcode.is_control() {
                self.control_payload(frame, input)?
            } else {
                self.data_payload(frame, input)?
            };
            match event {
                Progress::Event(event) => return Ok(Some(event)),
                Progress::Frame => {}
                Progress::Starved => return Ok(None),
            }
        }
    }

    /// Reads a head from the input, across as many inputs as it takes.
    fn read_head(&mut self, input: &mut Input<'_>) -> Result<Option<Header>, ProtocolError> {
        let (first, rules);
        if self.head_len == 0 {
            let bytes = input.as_slice();
            let Some(byte) = bytes.first() else { return Ok(None) };
            self.check_start(*byte)?;
            first = *byte;
            rules = self.rules(first);
            if let Some((header, used)) = Header::decode(bytes, &rules)? {
                input.take(used);
                self.stats.wire_bytes += used as u64;
                return Ok(Some(header));
            }
        } else {
            [first, ..] = self.head;
            rules = self.rules(first);
        }
        while let [byte] = *input.take(1) {
            if let Some(slot) = self.head.get_mut(usize::from(self.head_len)) {
                *slot = byte;
                self.head_len += 1;
            }
            let bytes = self.head.get(..usize::from(self.head_len)).unwrap_or_default();
            if let Some((header, used)) = Header::decode(bytes, &rules)? {
                self.head_len = 0;
                self.stats.wire_bytes += used as u64;
                return Ok(Some(header));
            }
        }
        Ok(None)
    }

    /// What the head must obey that begins with this byte.
    fn rules(&self, first: u8) -> Rules {
        let lenient = &self.config.leniency;
        let rsv = self.claimed_bits();
        let room = self.room_for(self.is_encoded(first, rsv));
        let mask = match self.role {
            Role::Server if lenient.unmasked_frames => MaskRule::Any,
            Role::Client if lenient.masked_frames => MaskRule::Any,
            Role::Server => MaskRule::Required,
            Role::Client => MaskRule::Forbidden,
        };
        Rules {
            mask,
            rsv,
            long_lengths: lenient.long_lengths,
            max_payload: room.min(self.frame_limit),
            over_limit: if room < self.frame_limit { ProtocolError::MessageTooBig } else { ProtocolError::FrameTooBig },
        }
    }

    /// What the first byte of a frame decides by itself: the order of fragments (RFC 6455 section 5.4).
    fn check_start(&self, first: u8) -> Result<(), ProtocolError> {
        Opcode::from_number(first & 0x0f).map_or(Ok(()), |opcode| self.check_order(opcode))
    }

    fn check_order(&self, opcode: Opcode) -> Result<(), ProtocolError> {
        match (opcode, self.message) {
            (Opcode::Continuation, None) => Err(ProtocolError::UnexpectedContinuation),
            (Opcode::Text | Opcode::Binary, Some(_)) => Err(ProtocolError::ExpectedContinuation),
            (Opcode::Continuation | Opcode::Text | Opcode::Binary, _)
                if self.assembly.fragments >= self.config.limits.fragments =>
            {
                Err(ProtocolError::TooManyFragments)
            }
            _ => Ok(()),
        }
    }

    fn begin_frame(&mut self, now: Instant, header: &Header) -> Result<(), ProtocolError> {
        self.stats.frames += 1;
        if header.opcode.is_control() {
            if header.opcode == Opcode::Close {
                CloseFrame::check(&[], header.len as usize, self.close_body)?;
            }
        } else {
            let kind = match header.opcode {
                Opcode::Text => Some(Kind::Text),
                Opcode::Binary => Some(Kind::Binary),
                _ => None,
            };
            if kind.is_some() {
                self.message = kind;
                self.life.message_begun(now);
            }
            self.assembly.fragments += 1;
            self.announce(kind.is_some(), header)?;
        }
        self.frame =
            Some(Frame { opcode: header.opcode, fin: header.fin, key: header.mask, len: header.len, left: header.len });
        Ok(())
    }

    /// Takes what there is of the frame's payload; unmasks nothing.
    fn take_payload<'i>(&mut self, frame: Frame, input: &mut Input<'i>) -> (&'i mut [u8], u64) {
        let want = usize::try_from(frame.left).unwrap_or(usize::MAX);
        let bytes = input.take(want);
        self.stats.wire_bytes += bytes.len() as u64;
        #[cfg(feature = "legacy")]
        self.legacy_unmask(bytes);
        let left = frame.left - bytes.len() as u64;
        let key = frame.key.map(|key| rotate(key, bytes.len()));
        self.frame = (left > 0).then_some(Frame { left, key, ..frame });
        (bytes, left)
    }

    fn control_payload<'i>(&mut self, frame: Frame, input: &mut Input<'i>) -> Result<Progress<'i>, ProtocolError> {
        let (bytes, left) = self.take_payload(frame, input);
        if let Some(key) = frame.key {
            mask(key, 0, bytes);
        }
        let whole = left == 0 && self.control.is_none();
        let payload = if whole {
            ControlPayload::new(bytes).unwrap_or(ControlPayload::EMPTY)
        } else {
            let so_far = self.control.get_or_insert_with(|| Box::new(ControlPayload::EMPTY));
            so_far.extend(bytes);
            **so_far
        };
        if frame.opcode == Opcode::Close {
            CloseFrame::check(&payload, frame.len as usize, self.close_body)?;
        }
        if left > 0 {
            return Ok(Progress::Starved);
        }
        self.control = None;
        Ok(Progress::Event(match frame.opcode {
            Opcode::Ping => {
                self.stats.pings += 1;
                if !self.config.manual_pong {
                    self.owed.pong = Some(Box::new(payload));
                }
                Event::Ping(payload)
            }
            Opcode::Pong => {
                self.stats.pongs += 1;
                Event::Pong(Pong { payload, round_trip: None })
            }
            _ => Event::Closing(self.peer_closed(&payload)),
        }))
    }

    fn peer_closed(&mut self, body: &[u8]) -> CloseFrame {
        let close = CloseFrame::decode(body, self.close_body);
        // The sending half drops this if its Close went first.
        self.owed.close = Some(Box::new(close.answer()));
        self.owed.pong = None;
        self.ending.peer_closed(close.clone());
        self.go_deaf();
        close
    }

    fn data_payload<'i>(&mut self, frame: Frame, input: &mut Input<'i>) -> Result<Progress<'i>, ProtocolError> {
        if self.assembly.encoded {
            return self.encoded_payload(frame, input);
        }
        let whole = self.assembly.fragments == 1 && frame.left == frame.len;
        if frame.left > 0 && input.is_empty() {
            return Ok(Progress::Starved);
        }
        let (bytes, left) = self.take_payload(frame, input);
        let last = left == 0 && frame.fin;
        self.life.message_progress(bytes.len());
        let kind = self.message.unwrap_or(Kind::Binary);
        if self.delivery_of_message() == Delivery::Chunks {
            return self.chunk(kind, frame.key, bytes, last, None);
        }
        if whole && last {
            let payload = self.assembly.whole(kind, frame.key, bytes)?;
            return Ok(Progress::Event(self.message_done(kind, payload)));
        }
        // Nobody knows how many fragments follow; room for as much again keeps the work linear.
        let to_come = if frame.fin { left } else { u64::MAX };
        self.assembly.append(kind, frame.key, bytes, to_come)?;
        if last {
            let payload = self.assembly.finish(kind)?;
            return Ok(Progress::Event(self.message_done(kind, payload)));
        }
        Ok(if left > 0 { Progress::Starved } else { Progress::Frame })
    }

    /// How the open message is handed out: as was decided when it began.
    fn delivery_of_message(&mut self) -> Delivery {
        let wanted = self.delivery();
        *self.assembly.delivery_now.get_or_insert(wanted)
    }

    fn message_done<'i>(&mut self, kind: Kind, payload: Payload<'i>) -> Event<'i> {
        self.stats.messages += 1;
        self.stats.message_bytes += payload.len() as u64;
        self.message = None;
        self.assembly.reset();
        self.life.message_done();
        match kind {
            Kind::Text => Event::Text(Text::checked(payload)),
            Kind::Binary => Event::Binary(payload),
        }
    }

    fn chunk<'i>(
        &mut self,
        kind: Kind,
        key: Option<[u8; 4]>,
        bytes: &'i mut [u8],
        last: bool,
        fault: Option<ProtocolError>,
    ) -> Result<Progress<'i>, ProtocolError> {
        // What precedes a fault is handed out, as it would be if it had come in a read of its own.
        let (data, fault) = match self.assembly.check_chunk(kind, key, bytes, last) {
            Ok(data) => (data, fault),
            Err(([], error)) => return Err(error),
            Err((good, error)) => (good, Some(error)),
        };
        if data.is_empty() && !last {
            return Ok(Progress::Frame);
        }
        Ok(Progress::Event(self.hand_out(kind, Payload::lent(data), last, fault)))
    }

    /// A chunk; with a fault, the last thing that is handed out.
    fn hand_out<'i>(&mut self, kind: Kind, data: Payload<'i>, last: bool, fault: Option<ProtocolError>) -> Event<'i> {
        self.stats.message_bytes += data.len() as u64;
        let first = !mem::replace(&mut self.assembly.delivered, true);
        let last = last && fault.is_none();
        if let Some(error) = fault {
            self.fail(error);
        } else if last {
            self.stats.messages += 1;
            self.message = None;
            self.assembly.reset();
            self.life.message_done();
        }
        Event::Chunk(Chunk { kind, first, last, data })
    }

    /// The peer broke a rule: its Close code is owed, and nothing more is parsed (RFC 6455 section 7.1.7).
    #[cold]
    fn fail(&mut self, error: ProtocolError) {
        self.fail_with(Cause::Protocol(error), CloseFrame::for_error(&error));
    }

    fn fail_with(&mut self, cause: Cause, close: CloseFrame) {
        self.owed.close = Some(Box::new(close));
        self.ending.failed(cause);
        self.go_deaf();
    }

    fn go_deaf(&mut self) {
        self.phase = Phase::Deaf;
        self.frame = None;
        self.message = None;
        self.head_len = 0;
        self.control = None;
        self.assembly.reset();
        self.decoding = None;
        self.early = Vec::new();
        self.life.message_done();
        self.settle_pace();
    }

    /// The stream has ended: no more input will come.
    pub fn eof(&mut self, now: Instant) {
        self.ending.eof = true;
        self.judge(now);
    }

    /// The transport failed.
    pub fn transport_failed(&mut self, now: Instant) {
        self.ending.hard(Cause::Transport);
        self.judge(now);
    }

    /// Ends the connection without a closing handshake.
    pub fn abort(&mut self, now: Instant) {
        self.ending.hard(Cause::Aborted);
        self.judge(now);
    }

    /// Takes what must be handed to [`Sender::settle`](super::Sender::settle).
    pub fn take_owed(&mut self) -> Option<Owed> {
        if self.owed.is_empty() { None } else { Some(mem::take(&mut self.owed)) }
    }

    /// Nothing is going on: with no input there is nothing to find out.
    #[inline]
    pub(super) fn is_quiet(&self) -> bool {
        self.pace != Pace::Steps && !self.owes() && !self.ending.is_begun()
    }

    #[inline]
    pub(super) fn owes(&self) -> bool {
        !self.owed.is_empty()
    }

    /// Takes note of what the sending half did.
    pub fn note(&mut self, now: Instant, receipt: Receipt) {
        if receipt.keepalive_written {
            self.life.ping_written(now);
        }
        self.ending.note(receipt);
        self.judge(now);
    }

    /// The end of the story, once. After it there are no more events.
    pub fn ended(&mut self, now: Instant) -> Option<Event<'static>> {
        self.judge(now);
        self.ending.report().map(Event::Closed)
    }

    /// Decides whether the story is over.
    fn judge(&mut self, now: Instant) {
        // Bytes of the handshake that are not parsed yet may hold the peer's Close.
        let timers = &self.config.timers;
        let late = self.ending.deadline(timers).is_some_and(|at| now >= at);
        if !self.early.is_empty() && self.ending.is_soft() && !late {
            return;
        }
        if self.ending.judge(now, self.role, timers, self.config.limits.drain as u64) == Verdict::Over {
            self.owed = Owed { ended: true, ..Owed::default() };
            self.go_deaf();
        }
    }

    /// When [`Receiver::handle_timeout`] wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let timers = &self.config.timers;
        if self.ending.is_over() {
            None
        } else if self.ending.is_closing() {
            self.ending.deadline(timers)
        } else {
            self.life.poll_timeout(timers)
        }
    }

    /// Looks at the clock. `messages_sent` is [`Sender::messages_sent`](super::Sender::messages_sent), by which an
    /// idle connection is told.
    ///
    /// Call [`Receiver::take_owed`] and [`Receiver::ended`] afterwards.
    pub fn handle_timeout(&mut self, now: Instant, messages_sent: u64) {
        let messages = self.stats.messages.wrapping_add(messages_sent);
        self.life.observe(now, messages);
        if !self.ending.is_closing() && !self.ending.is_over() {
            match self.life.expired(now, &self.config.timers) {
                None => {}
                Some(Expiry::Keepalive(counter)) => self.owed.ping = Some(counter),
                Some(Expiry::Dead) => self.ending.hard(Cause::PongTimeout),
                Some(Expiry::Idle) => self.retire(Cause::IdleTimeout, "idle"),
                Some(Expiry::Lifetime) => self.retire(Cause::Lifetime, "maximum lifetime"),
                Some(Expiry::TooSlow) => {
                    self.fail_with(Cause::TooSlow, CloseFrame::fixed(CloseCode::POLICY, "message too slow"));
                }
            }
        }
        self.judge(now);
    }

    /// Begins an orderly end for a reason of our own.
    fn retire(&mut self, cause: Cause, reason: &'static str) {
        self.ending.first_cause(cause);
        self.owed.close = Some(Box::new(CloseFrame::fixed(CloseCode::GOING_AWAY, reason)));
    }

    /// Tells the timers what time it is; the first call starts them.
    #[inline]
    pub fn observe(&mut self, now: Instant, messages_sent: u64) {
        self.life.observe(now, self.stats.messages.wrapping_add(messages_sent));
    }

    /// Whether more input is of use.
    #[must_use]
    pub fn wants_read(&self) -> bool {
        !self.ending.eof && !self.ending.is_over()
    }

    /// What to do with the transport; look once [`Sender::wants_write`](super::Sender::wants_write) is false.
    #[must_use]
    pub fn wants_shutdown(&self) -> Option<Shutdown> {
        self.ending.shutdown(self.role)
    }

    pub(super) fn peer_has_closed(&self) -> bool {
        self.ending.has_peer()
    }

    /// Whether the connection is over; [`Receiver::ended`] tells how.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.ending.is_over()
    }

    /// What arrived so far.
    #[must_use]
    pub fn stats(&self) -> Traffic {
        self.stats
    }

    /// How much room the open message needs, if it is long and does not have it yet: a vector of that capacity saves
    /// growing step by step. See [`Receiver::swap_room`].
    #[must_use]
    pub fn room_wanted(&self) -> Option<usize> {
        let to_come = self.frame.filter(|_| !self.assembly.encoded)?.left;
        self.assembly.room_wanted(to_come)
    }

    /// Puts the open message together in `room`, whatever was in it, and gives the vector used so far.
    ///
    /// For adapters that keep large vectors to use them again. The capacity of `room` does not count against any
    /// limit.
    pub fn swap_room(&mut self, room: Vec<u8>) -> Vec<u8> {
        self.assembly.swap_room(room)
    }

    /// Gives unused memory back; for connections that turn idle.
    pub fn release_memory(&mut self) {
        self.assembly.release();
        if self.early.is_empty() {
            self.early = Vec::new();
        }
    }
}

enum Progress<'i> {
    /// Hand this out.
    Event(Event<'i>),
    /// A frame is done, and there is nothing to say about it.
    Frame,
    /// All input is consumed.
    Starved,
}
