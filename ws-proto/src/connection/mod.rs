//! The open connection: one type for both roles and every version.
//!
//! A [`Connection`] is a [`Receiver`] and a [`Sender`] side by side. The receiver turns input into events; what
//! it owes the peer (a pong, a Close) travels to the sender as a small value, and what the sender did travels
//! back as another. [`Connection::split`] takes the two apart, for a reader and a writer that run apart.

mod assembly;
mod control;
mod encode;
mod ending;
mod event;
mod life;
mod prepared;
mod queue;
mod receiver;
mod sender;
mod stats;
mod writer;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;

pub use control::ControlPayload;
pub use event::{Chunk, Event, Pong};
pub use prepared::Prepared;
pub use receiver::Receiver;
pub use sender::Sender;
pub use stats::{RoundTrip, Stats, Traffic};
pub use writer::MessageWriter;

use receiver::Poll;

use crate::close::{Cause, CloseCode, CloseFrame};
use crate::config::{Config, Delivery};
use crate::entropy::BoxEntropy;
use crate::error::{CloseError, SendError};
use crate::extension::Agreement;
use crate::input::Input;
use crate::message::{IntoMessage, Kind};
use crate::time::Instant;
use crate::version::{Role, Version};

/// What the opening handshake agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Negotiated {
    /// The version of the protocol.
    pub version: Version,
    /// The subprotocol, if one was agreed (RFC 6455 section 1.9).
    pub subprotocol: Option<Box<str>>,
    /// The extension, if one was agreed (RFC 6455 section 9.1). What it does to payloads is decided by nothing else.
    /// Ignored in versions without extensions, see [`Version::has_extensions`].
    pub extension: Option<Agreement>,
    /// hybi-04: what the two nonces of the handshake come to, with which clients mask.
    pub masking_key: Option<Box<[u8; 20]>>,
}

impl Negotiated {
    /// A version, and nothing else.
    #[must_use]
    pub const fn new(version: Version) -> Self {
        Self { version, subprotocol: None, extension: None, masking_key: None }
    }

    /// The same with a subprotocol.
    #[must_use]
    pub fn with_subprotocol(mut self, name: impl Into<Box<str>>) -> Self {
        self.subprotocol = Some(name.into());
        self
    }

    /// The same with the masking key of hybi-04.
    #[must_use]
    pub fn with_masking_key(mut self, key: [u8; 20]) -> Self {
        self.masking_key = Some(Box::new(key));
        self
    }

    /// The same with an extension.
    #[must_use]
    pub fn with_extension(mut self, agreement: Agreement) -> Self {
        self.extension = Some(agreement);
        self
    }

    /// The extension, in a version whose frames have room for it.
    fn extension_in_use(&self) -> Option<&Agreement> {
        self.extension.as_ref().filter(|_| self.version.has_extensions())
    }
}

/// Where a connection stands in its life (RFC 6455 sections 4 and 7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Messages pass both ways.
    Open,
    /// Our Close was queued; the peer's is awaited.
    CloseSent,
    /// The peer's Close arrived; ours goes out.
    CloseReceived,
    /// It is over.
    Closed,
}

/// What to do with the transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shutdown {
    /// Shut down the writing side; go on reading.
    Write,
    /// Drop the transport.
    Both,
}

/// What the receiving half owes the peer: a small value that travels to the sending half.
#[derive(Clone, Debug, Default)]
pub struct Owed {
    pub(crate) pong: Option<Box<ControlPayload>>,
    pub(crate) ping: Option<u64>,
    pub(crate) close: Option<Box<CloseFrame>>,
    pub(crate) ended: bool,
}

impl Owed {
    #[inline]
    fn is_empty(&self) -> bool {
        self.pong.is_none() && self.ping.is_none() && self.close.is_none() && !self.ended
    }
}

/// What the sending half did: a small value that travels to the receiving half.
#[derive(Clone, Debug)]
pub struct Receipt {
    pub(crate) close: Option<Box<SentClose>>,
    pub(crate) fault: Option<Cause>,
    /// The keepalive ping was written, just now.
    pub(crate) keepalive_written: bool,
}

/// Our Close.
#[derive(Clone, Debug)]
pub(crate) struct SentClose {
    pub(crate) frame: CloseFrame,
    /// When it was queued.
    pub(crate) at: Instant,
    /// Whether the transport has taken all of it.
    pub(crate) written: bool,
}

/// An open WebSocket connection without its transport.
///
/// Feed it what arrives with [`Connection::poll`], write what [`Connection::outgoing`] gives, and call
/// [`Connection::handle_timeout`] when [`Connection::poll_timeout`] says so. Any order of calls is legal, and
/// nothing happens behind the caller's back.
///
/// ```
/// use ws_proto::connection::{Connection, Event, Negotiated};
/// use ws_proto::{Config, Input, Instant, NoEntropy, Role, Version};
///
/// let now = Instant::ZERO;
/// let mut conn = Connection::from_upgraded(
///     Role::Server, Negotiated::new(Version::Rfc6455), Config::default(), Box::new(NoEntropy));
/// let mut bytes = *b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"; // a masked "Hello"
/// let mut input = Input::new(&mut bytes);
/// while let Some(event) = conn.poll(now, &mut input) {
///     if let Event::Text(text) = event {
///         assert_eq!(text, "Hello");
///         conn.send(text).map_err(|e| e.without_message())?; // send it back
///     }
/// }
/// assert_eq!(conn.outgoing().next().unwrap(), b"\x81\x05Hello");
/// conn.advance(now, 7); // the transport took it
/// assert!(!conn.wants_write());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Connection {
    rx: Receiver,
    tx: Sender,
    negotiated: Negotiated,
    role: Role,
}

impl Connection {
    /// A connection whose opening handshake is done, by this library or by somebody else.
    ///
    /// `config` is a [`Config`] or an `Arc` of one that connections share. Servers never use `entropy`.
    #[must_use]
    pub fn from_upgraded(
        role: Role,
        negotiated: Negotiated,
        config: impl Into<Arc<Config>>,
        entropy: BoxEntropy,
    ) -> Self {
        let config = config.into().for_version(negotiated.version);
        let rx = Receiver::new(role, config.clone(), &negotiated);
        let tx = Sender::new(role, config, entropy, &negotiated);
        Self { rx, tx, negotiated, role }
    }

    /// Hands in the bytes that came behind the head of the opening handshake: they are parsed before any input.
    #[must_use]
    pub fn with_early_input(mut self, bytes: Vec<u8>) -> Self {
        self.rx.set_early(bytes);
        self
    }

    /// Queues what is left to write of the opening handshake, in front of every frame.
    #[must_use]
    pub fn with_early_output(mut self, bytes: &[u8]) -> Self {
        self.tx.preface(bytes);
        self
    }

    /// Takes from the input up to the next event; `None` when all of it is consumed and there is nothing to say.
    ///
    /// Events borrow the input, not the connection, so [`Connection::send`] can be called while holding one.
    /// Call it with [`Input::empty`] after `advance`, `eof`, `abort` or `handle_timeout` to hear what follows from them.
    /// Faults of the peer are not errors here: the fitting Close is queued, and the story ends with
    /// [`Event::Closed`].
    #[inline]
    pub fn poll<'i>(&mut self, now: Instant, input: &mut Input<'i>) -> Option<Event<'i>> {
        match self.rx.poll_fast(now, input) {
            Poll::Event(event) => return Some(event),
            Poll::Nothing => {
                self.tx.observe(now);
                return None;
            }
            Poll::Undecided => {}
        }
        if input.is_empty() && self.rx.is_quiet() && self.tx.is_quiet() {
            self.rx.observe(now, self.tx.messages_sent());
            self.tx.observe(now);
            return None;
        }
        self.poll_any(now, input)
    }

    fn poll_any<'i>(&mut self, now: Instant, input: &mut Input<'i>) -> Option<Event<'i>> {
        let event = self.rx.poll_slow(now, input);
        self.rx.observe(now, self.tx.messages_sent());
        self.exchange(now);
        self.tx.observe(now);
        match event {
            Some(Event::Pong(mut pong)) => {
                pong.round_trip = self.tx.pong_received(now, &pong.payload);
                Some(Event::Pong(pong))
            }
            None => {
                let ended = self.rx.ended(now);
                self.exchange(now);
                ended
            }
            event => event,
        }
    }

    /// Lets the halves know of each other's doings.
    #[inline]
    fn exchange(&mut self, now: Instant) {
        if self.rx.owes() || !self.tx.is_quiet() {
            self.exchange_all(now);
        }
    }

    fn exchange_all(&mut self, now: Instant) {
        loop {
            if self.rx.owes()
                && let Some(owed) = self.rx.take_owed()
            {
                self.tx.settle(now, owed);
            }
            let Some(receipt) = self.tx.receipt() else { return };
            self.rx.note(now, receipt);
        }
    }

    /// Queues a whole message; see [`Sender::send`].
    ///
    /// # Errors
    /// [`SendError::Full`] with the message when the queue is over `Limits::outgoing`; below it a message is always
    /// taken. [`SendError::Closed`] after a Close was sent or received. [`SendError::MessageOpen`],
    /// [`SendError::Unsupported`], [`SendError::Entropy`].
    #[inline]
    pub fn send<M: IntoMessage>(&mut self, message: M) -> Result<(), SendError<M>> {
        self.tx.send(message)
    }

    /// Queues a message that was encoded once for many connections.
    ///
    /// # Errors
    /// As [`Connection::send`].
    pub fn send_prepared(&mut self, message: &Prepared) -> Result<(), SendError> {
        self.tx.send_prepared(message)
    }

    /// Begins a message that is sent in pieces; see [`Sender::start_message`].
    ///
    /// # Errors
    /// As [`Connection::send`].
    pub fn start_message(&mut self, kind: Kind) -> Result<MessageWriter<'_>, SendError> {
        self.tx.start_message(kind)
    }

    /// The writer of the message that [`Connection::start_message`] began and nobody finished.
    pub fn resume_message(&mut self) -> Option<MessageWriter<'_>> {
        self.tx.resume_message()
    }

    /// Queues a ping (RFC 6455 section 5.5.2); see [`Sender::ping`].
    ///
    /// # Errors
    /// [`SendError::ControlTooLong`], [`SendError::Full`], [`SendError::Closed`], [`SendError::Unsupported`],
    /// [`SendError::Entropy`].
    pub fn ping(&mut self, now: Instant, payload: &[u8]) -> Result<(), SendError> {
        self.tx.ping(now, payload)
    }

    /// Queues a pong (RFC 6455 section 5.5.3); see [`Sender::pong`].
    ///
    /// # Errors
    /// As [`Connection::ping`].
    pub fn pong(&mut self, payload: &[u8]) -> Result<(), SendError> {
        self.tx.pong(payload)
    }

    /// Begins the closing handshake (RFC 6455 section 7.1.2). A second call does nothing.
    ///
    /// Messages queued before still go out; messages that arrive before the peer's Close are still delivered.
    ///
    /// # Errors
    /// [`CloseError`] if the code may not be sent (section 7.4) or the reason has more than 123 bytes.
    pub fn close(&mut self, now: Instant, code: impl Into<CloseCode>, reason: &str) -> Result<(), CloseError> {
        self.close_with(now, CloseFrame::new(code, reason)?);
        Ok(())
    }

    /// Like [`Connection::close`], with a Close that is known to be legal; [`CloseFrame::EMPTY`] sends none of code and
    /// reason. Nor does one that came from a peer of an older version, with a code that this version never sends.
    pub fn close_with(&mut self, now: Instant, frame: CloseFrame) {
        self.tx.begin_close(now, frame);
        self.exchange(now);
    }

    /// Ends the connection at once, without a closing handshake. [`Connection::poll`] then reports `Closed`.
    pub fn abort(&mut self, now: Instant) {
        self.rx.abort(now);
        self.exchange(now);
    }

    /// The stream from the peer has ended. [`Connection::poll`] tells what follows.
    pub fn eof(&mut self, now: Instant) {
        self.rx.eof(now);
        self.exchange(now);
    }

    /// Reading from or writing to the transport failed. [`Connection::poll`] then reports `Closed`.
    pub fn transport_failed(&mut self, now: Instant) {
        self.rx.transport_failed(now);
        self.exchange(now);
    }

    /// What to write next, in order, for vectored writes. Follow with [`Connection::advance`].
    pub fn outgoing(&self) -> impl Iterator<Item = &[u8]> {
        self.tx.outgoing()
    }

    /// The transport took the first `n` bytes of [`Connection::outgoing`].
    #[inline]
    pub fn advance(&mut self, now: Instant, n: usize) {
        self.tx.advance(n);
        self.exchange(now);
    }

    /// The next bytes to write, given away for good: for completion-based I/O. They count as written.
    pub fn take_outgoing(&mut self, now: Instant) -> Option<Bytes> {
        let bytes = self.tx.take_outgoing();
        self.exchange(now);
        bytes
    }

    /// When [`Connection::handle_timeout`] wants to be called, if ever. The timers begin with the first `poll`.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.rx.is_over() {
            return None;
        }
        [self.rx.poll_timeout(), self.tx.poll_timeout()].into_iter().flatten().min()
    }

    /// Looks at the clock: sends keepalive pings and ends what has taken too long. Call [`Connection::poll`] after it.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.rx.handle_timeout(now, self.tx.messages_sent());
        self.exchange(now);
        if !self.rx.is_over() {
            self.tx.handle_timeout(now);
            self.exchange(now);
        }
    }

    /// Whether more input is of use.
    #[must_use]
    pub fn wants_read(&self) -> bool {
        self.rx.wants_read()
    }

    /// Whether there is something to write.
    #[inline]
    #[must_use]
    pub fn wants_write(&self) -> bool {
        self.tx.wants_write()
    }

    /// What to do with the transport, once nothing is left to write.
    #[must_use]
    pub fn wants_shutdown(&self) -> Option<Shutdown> {
        if self.tx.wants_write() { None } else { self.rx.wants_shutdown() }
    }

    /// Bytes of data frames that are queued and not written.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.tx.buffered()
    }

    /// Whether a whole message would be taken now.
    #[must_use]
    pub fn can_send(&self) -> bool {
        self.tx.can_send()
    }

    /// Switches between whole messages and chunks; takes effect with the next message.
    pub fn set_delivery(&mut self, delivery: Delivery) {
        self.rx.set_delivery(delivery);
    }

    /// Where the connection stands.
    #[must_use]
    pub fn state(&self) -> State {
        if self.rx.is_over() {
            State::Closed
        } else if self.rx.peer_has_closed() {
            State::CloseReceived
        } else if self.tx.is_closing() {
            State::CloseSent
        } else {
            State::Open
        }
    }

    /// Which end this is.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// What the opening handshake agreed on.
    #[must_use]
    pub fn negotiated(&self) -> &Negotiated {
        &self.negotiated
    }

    /// What passed so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let (sent, round_trip) = self.tx.stats();
        Stats { received: self.rx.stats(), sent, round_trip }
    }

    /// Gives memory back that is not in use; call it when the connection turns idle.
    ///
    /// Between messages and with nothing to write, a connection then holds no buffer; a client keeps its 256 bytes of mask
    /// keys. What an extension needs for later messages stays: see [`Encoder::idle_after`](crate::extension::Encoder::idle_after).
    pub fn release_memory(&mut self) {
        self.rx.release_memory();
        self.tx.release_memory();
    }

    /// Takes the two directions apart, for a reader and a writer that run apart.
    ///
    /// There is no lock between them. The caller carries [`Receiver::take_owed`] to [`Sender::settle`] and
    /// [`Sender::receipt`] to [`Receiver::note`] whenever there is something to carry.
    #[must_use]
    pub fn split(self) -> (Receiver, Sender) {
        (self.rx, self.tx)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::CloseSent => "closing (we began)",
            Self::CloseReceived => "closing (the peer began)",
            Self::Closed => "closed",
        })
    }
}
