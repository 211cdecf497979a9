//! An open connection in one piece.

use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;

use ws_adapter as engine;
use ws_adapter::ws_proto::connection::{Event, MessageWriter, Prepared, Stats};
use ws_adapter::ws_proto::{
    CloseCode, CloseError, Closed, Config, Connection, Delivery, IntoMessage, Kind, Message, Negotiated, Role,
    SendError,
};

use crate::bytes::Kept;
use crate::error::Error;
use crate::net::NetStream;
use crate::park::block_on;
use crate::runtime::{Blocking, Plain};
use crate::split::{Receiver, Sender};
use crate::transport::Transport;
use crate::wait::{CancelToken, Interrupted, Wait};

/// An open WebSocket connection over a transport.
///
/// Everything happens inside the methods that you call, on the thread that calls: reading, writing, answering pings,
/// keepalive and the other timers run while [`WebSocket::recv`] (or one of its kin) waits. A program that only sends
/// should [`split`](WebSocket::split) the connection and keep receiving on a thread of its own.
///
/// What was sent is written in batches by itself; [`WebSocket::send`] tells when.
///
/// Calls wait for as long as it takes, unless [`WebSocket::set_wait`] says otherwise. A call that was interrupted has
/// lost, cut or repeated no message: the next one goes on where it stopped.
///
/// It is an [`Iterator`] of messages. At its end comes one [`Error::Ended`], unless the connection was closed by a
/// closing handshake. A call that was interrupted is an [`Error::Interrupted`], after which iterating may go on.
///
/// Dropping a `WebSocket` drops the transport without a closing handshake; call [`WebSocket::close`] first. If the
/// thread of a server panics, the peer is told with 1011 as far as that is possible without waiting.
///
/// ```
/// # fn example(mut ws: ws_blocking::WebSocket) -> Result<(), Box<dyn std::error::Error>> {
/// while let Some(message) = ws.recv()? {
///     ws.send(message)?; // an echo; goes out in as few writes as it came in reads
/// }
/// println!("{:?}", ws.closed());
/// # Ok(())
/// # }
/// ```
pub struct WebSocket<T = NetStream> {
    inner: engine::WebSocket<T, Blocking>,
    wait: Wait,
    told: bool,
}

impl<T: Transport> WebSocket<T> {
    /// A connection whose opening handshake was done by the core's handshake machines.
    #[must_use]
    pub fn from_connection(connection: Connection, transport: T) -> Self {
        engine::WebSocket::from_connection(connection, transport).into()
    }

    /// A connection whose opening handshake was done by somebody else, such as an HTTP server.
    #[must_use]
    pub fn from_upgraded(transport: T, role: Role, negotiated: Negotiated, config: impl Into<Arc<Config>>) -> Self {
        engine::WebSocket::from_upgraded(transport, role, negotiated, config).into()
    }

    /// Ends what the server has cut off; gives the reason otherwise.
    fn stopped(&mut self, why: Interrupted) -> Option<Interrupted> {
        if self.wait.is_cut() {
            self.inner.abort();
            return None;
        }
        Some(why)
    }

    /// The next message, or `None` once the connection has ended; [`WebSocket::closed`] then tells how.
    ///
    /// Before it waits for the peer, everything that was sent is written. Pings are answered and closing is
    /// completed without your doing. With [`Delivery::Chunks`] no whole messages exist: use
    /// [`WebSocket::recv_event`], for this drops the pieces.
    ///
    /// # Errors
    /// [`Interrupted`]; no message is lost.
    pub fn recv(&mut self) -> Result<Option<Message>, Interrupted> {
        match block_on(self.inner.recv(), &self.wait) {
            Ok(message) => Ok(message),
            Err(why) => self.stopped(why).map_or(Ok(None), Err),
        }
    }

    /// The next event of any kind: messages, pieces of messages ([`Delivery::Chunks`]), pings, pongs with their
    /// round-trip time, and the peer's Close. `None` once the connection has ended.
    ///
    /// # Errors
    /// [`Interrupted`]; no event is lost.
    pub fn recv_event(&mut self) -> Result<Option<Event<'static>>, Interrupted> {
        self.recv_with(|event| Some(event.into_owned()))
    }

    /// Hands events to `f` without copying them, until it returns `Some`; `None` once the connection has ended.
    ///
    /// The data lies in the read buffer, or is owned by the event where a message came in several pieces. `f` may use
    /// other connections, and wait for them.
    ///
    /// ```
    /// use ws_blocking::Event;
    /// # fn example(mut ws: ws_blocking::WebSocket) -> Result<(), ws_blocking::Interrupted> {
    /// let mut bytes = 0;
    /// ws.recv_with(|event| -> Option<()> {
    ///     if let Event::Binary(payload) = event {
    ///         bytes += payload.len();
    ///     }
    ///     None // go on
    /// })?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Interrupted`]. Each event is handed to `f` exactly once, and what `f` returns `Some` for is returned at once.
    pub fn recv_with<U>(&mut self, f: impl FnMut(Event<'_>) -> Option<U>) -> Result<Option<U>, Interrupted> {
        match block_on(self.inner.recv_with(f), &self.wait) {
            Ok(wanted) => Ok(wanted),
            Err(why) => self.stopped(why).map_or(Ok(None), Err),
        }
    }

    /// Sends a message.
    ///
    /// The message is queued at once. Then, if no further input waits to be parsed, the queue is written to the
    /// transport before this returns. If more input is waiting, so that the next [`WebSocket::recv`] returns at
    /// once, the queue is left to grow until `recv` runs out of input, and is written then; over 32 KiB it is
    /// written here. So the answers to messages that came in one read go out in one write, and nothing waits longer
    /// than until you call `recv` again. Call [`WebSocket::flush`] if you do something lengthy before that.
    ///
    /// If more than `Limits::outgoing` is queued, this first waits for the transport.
    ///
    /// # Errors
    /// [`Error::Closed`] after a Close was sent or received or the connection broke: `recv` then tells the end.
    /// [`Error::Interrupted`], which says whether the message is queued. [`Error::MessageOpen`],
    /// [`Error::Unsupported`], [`Error::Entropy`], [`Error::Encoding`].
    pub fn send<M: IntoMessage>(&mut self, message: M) -> Result<(), Error> {
        let before = self.inner.stats().sent.messages;
        let result = block_on(self.inner.send(message), &self.wait);
        self.sent(result, |ws| ws.stats().sent.messages > before)
    }

    /// Queues a message without writing it, unless more than 32 KiB are queued.
    ///
    /// It goes out with the next `flush`, `send` or `recv`.
    ///
    /// # Errors
    /// As [`WebSocket::send`].
    pub fn feed<M: IntoMessage>(&mut self, message: M) -> Result<(), Error> {
        let before = self.inner.stats().sent.messages;
        let result = block_on(self.inner.feed(message), &self.wait);
        self.sent(result, |ws| ws.stats().sent.messages > before)
    }

    /// Sends a message that was encoded once for many connections; otherwise like [`WebSocket::send`].
    ///
    /// # Errors
    /// As [`WebSocket::send`].
    pub fn send_prepared(&mut self, message: &Prepared) -> Result<(), Error> {
        let before = self.inner.stats().sent.messages;
        let result = block_on(self.inner.send_prepared(message), &self.wait);
        self.sent(result, |ws| ws.stats().sent.messages > before)
    }

    #[inline]
    fn sent(
        &mut self,
        result: Result<Result<(), engine::Error>, Interrupted>,
        queued: impl FnOnce(&Self) -> bool,
    ) -> Result<(), Error> {
        match result {
            Ok(result) => Ok(result?),
            Err(why) => {
                let queued = queued(self);
                Err(self.stopped(why).map_or(Error::Closed, |why| Error::interrupted(why, queued)))
            }
        }
    }

    /// Queues a message without waiting; it goes out with the next `flush`, `send` or `recv`.
    ///
    /// # Errors
    /// [`SendError::Full`] with the message if more than `Limits::outgoing` is queued, and the other kinds of
    /// [`SendError`].
    pub fn try_send<M: IntoMessage>(&mut self, message: M) -> Result<(), SendError<M>> {
        self.inner.try_send(message)
    }

    /// Sends a message whose payload is read from `source`, until its end, without holding it: each piece is a frame
    /// (RFC 6455 section 5.4). Gives the number of bytes.
    ///
    /// A read of a source that blocks keeps the call waiting; its [`Wait`] is looked at before the next one.
    ///
    /// # Errors
    /// [`SendReaderError`]. If the message was begun it stays open, and the connection is good for nothing but to be
    /// closed.
    pub fn send_reader(&mut self, kind: Kind, source: impl Read) -> Result<u64, SendReaderError> {
        match block_on(self.inner.send_reader(kind, Plain::new(source)), &self.wait) {
            Ok(result) => Ok(result?),
            Err(why) => Err(self.stopped(why).map_or(Error::Closed, |why| Error::interrupted(why, false)).into()),
        }
    }

    /// Writes everything that is queued to the transport.
    ///
    /// # Errors
    /// [`Error::Closed`] if the transport takes nothing more. [`Error::Interrupted`]; what was not written yet is
    /// written by the next call.
    pub fn flush(&mut self) -> Result<(), Error> {
        let result = block_on(self.inner.flush(), &self.wait);
        self.sent(result, |_| true)
    }

    /// Sends a ping (RFC 6455 section 5.5.2) of at most 125 bytes.
    ///
    /// The round-trip time comes with the pong ([`WebSocket::recv_event`]) and in [`WebSocket::stats`]. Keepalive
    /// pings are sent without your doing.
    ///
    /// # Errors
    /// [`Error::ControlTooLong`], [`Error::Closed`], [`Error::Interrupted`], [`Error::Unsupported`],
    /// [`Error::Entropy`].
    pub fn ping(&mut self, payload: &[u8]) -> Result<(), Error> {
        let before = self.inner.stats().sent.pings;
        let result = block_on(self.inner.ping(payload), &self.wait);
        self.sent(result, |ws| ws.stats().sent.pings > before)
    }

    /// Sends a pong (RFC 6455 section 5.5.3): one that nobody asked for, or an answer with `Config::manual_pong`.
    ///
    /// # Errors
    /// As [`WebSocket::ping`].
    pub fn pong(&mut self, payload: &[u8]) -> Result<(), Error> {
        let before = self.inner.stats().sent.pongs;
        let result = block_on(self.inner.pong(payload), &self.wait);
        self.sent(result, |ws| ws.stats().sent.pongs > before)
    }

    /// Closes the connection and tells how it ended (RFC 6455 section 7.1.2).
    ///
    /// Messages sent before still go out. Messages that arrive until the peer has closed are dropped; to take them,
    /// use [`WebSocket::start_close`] and go on receiving. Returns when the closing handshake is complete, and at the
    /// latest after `Timers::close`. If the connection is closing already, it waits for the same end.
    ///
    /// # Errors
    /// [`Error::Close`] if the code may not be sent (section 7.4) or the reason has more than 123 bytes: nothing has
    /// happened then. [`Error::Interrupted`]: closing has begun, and goes on with `recv` or another `close`.
    pub fn close(&mut self, code: impl Into<CloseCode>, reason: &str) -> Result<Closed, Error> {
        self.start_close(code, reason)?;
        loop {
            if let Some(closed) = self.closed() {
                return Ok(closed.clone());
            }
            self.recv_with(|_| None::<()>).map_err(|why| Error::interrupted(why, true))?;
        }
    }

    /// Queues a Close; go on with `recv` until it returns `None`.
    ///
    /// Does nothing if the connection is closing already.
    ///
    /// # Errors
    /// [`CloseError`] if the code may not be sent (RFC 6455 section 7.4) or the reason has more than 123 bytes.
    pub fn start_close(&mut self, code: impl Into<CloseCode>, reason: &str) -> Result<(), CloseError> {
        self.inner.start_close(code, reason)
    }

    /// Ends the connection at once, without a closing handshake, and drops the transport.
    pub fn abort(&mut self) {
        self.inner.abort();
    }

    /// Begins a message that is sent in pieces, each a frame (RFC 6455 section 5.4). The pieces are queued;
    /// [`WebSocket::flush`] and `recv` write them.
    ///
    /// When the writer says [`SendError::Full`], drop it, call `flush`, and go on with
    /// [`WebSocket::resume_message`].
    ///
    /// # Errors
    /// [`SendError::Full`], [`SendError::Closed`], [`SendError::MessageOpen`].
    pub fn start_message(&mut self, kind: Kind) -> Result<MessageWriter<'_>, SendError> {
        self.inner.start_message(kind)
    }

    /// The writer of the message that [`WebSocket::start_message`] began and nobody finished.
    pub fn resume_message(&mut self) -> Option<MessageWriter<'_>> {
        self.inner.resume_message()
    }

    /// Takes the connection apart, for a thread that receives and threads that send. Both take over how long calls
    /// wait.
    #[must_use]
    pub fn split(self) -> (Receiver<T>, Sender<T>) {
        let (receiver, sender) = self.inner.split();
        let wait = self.wait.of_halves();
        (Receiver::new(receiver, wait.clone(), self.told), Sender::new(sender, wait))
    }
}

impl<T> WebSocket<T> {
    pub(crate) fn into_parts(self) -> (engine::WebSocket<T, Blocking>, Kept) {
        (self.inner, Kept { wait: self.wait, told: self.told })
    }

    pub(crate) fn from_parts(inner: engine::WebSocket<T, Blocking>, Kept { wait, told }: Kept) -> Self {
        Self { inner, wait, told }
    }

    /// How long calls wait from now on, and what ends them early: a [`Wait`], or just a `Duration` for each call, an
    /// `Instant`, or a `&CancelToken`. By default they wait for as long as it takes.
    pub fn set_wait(&mut self, wait: impl Into<Wait>) {
        self.wait.set(wait.into());
    }

    pub(crate) fn set_cut(&mut self, token: &CancelToken) {
        self.wait.set_cut(token);
    }

    /// How the connection ended; `None` while it has not.
    #[must_use]
    pub fn closed(&self) -> Option<&Closed> {
        self.inner.closed()
    }

    /// What the transport reported, if it failed and ended the connection.
    #[must_use]
    pub fn io_error(&self) -> Option<&io::Error> {
        self.inner.io_error()
    }

    /// What passed so far, and round-trip times.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.inner.stats()
    }

    /// What the opening handshake agreed on.
    #[must_use]
    pub fn negotiated(&self) -> &Negotiated {
        self.inner.negotiated()
    }

    /// The subprotocol that was agreed on, if any (RFC 6455 section 1.9).
    #[must_use]
    pub fn subprotocol(&self) -> Option<&str> {
        self.inner.subprotocol()
    }

    /// Which end this is.
    #[must_use]
    pub fn role(&self) -> Role {
        self.inner.role()
    }

    /// The transport; `None` once the connection has ended.
    #[must_use]
    pub fn get_ref(&self) -> Option<&T> {
        self.inner.get_ref()
    }

    /// Switches between whole messages and chunks; takes effect with the next message.
    pub fn set_delivery(&mut self, delivery: Delivery) {
        self.inner.set_delivery(delivery);
    }
}

impl<T> From<engine::WebSocket<T, Blocking>> for WebSocket<T> {
    fn from(inner: engine::WebSocket<T, Blocking>) -> Self {
        Self { inner, wait: Wait::new(), told: false }
    }
}

/// What an iterator gives: at the end one error, unless the connection ended by a closing handshake.
pub(crate) fn item(
    received: Result<Option<Message>, Interrupted>,
    closed: impl FnOnce() -> Option<Closed>,
    told: &mut bool,
) -> Option<Result<Message, Error>> {
    match received {
        Ok(Some(message)) => Some(Ok(message)),
        Err(why) => Some(Err(Error::interrupted(why, false))),
        Ok(None) if *told => None,
        Ok(None) => {
            *told = true;
            let closed = closed().filter(|closed| !closed.is_clean())?;
            Some(Err(Error::Ended(Box::new(closed))))
        }
    }
}

impl<T: Transport> Iterator for WebSocket<T> {
    type Item = Result<Message, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let received = self.recv();
        item(received, || self.inner.closed().cloned(), &mut self.told)
    }
}

impl<T> fmt::Debug for WebSocket<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

/// Why a message was not sent to its end.
#[derive(Debug)]
#[non_exhaustive]
pub enum SendReaderError {
    /// The source could not be read. If this happened in the middle of the message, the message is still open, and the
    /// connection is good for nothing but to be closed.
    Read(io::Error),
    /// The connection did not take it.
    Send(Error),
}

impl fmt::Display for SendReaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(error) => write!(f, "the source could not be read: {error}"),
            Self::Send(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SendReaderError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read(error) => Some(error),
            Self::Send(error) => Some(error),
        }
    }
}

impl From<Error> for SendReaderError {
    fn from(error: Error) -> Self {
        Self::Send(error)
    }
}

impl From<engine::SendReaderError> for SendReaderError {
    fn from(error: engine::SendReaderError) -> Self {
        match error {
            engine::SendReaderError::Read(error) => Self::Read(error),
            engine::SendReaderError::Send(error) => Self::Send(error.into()),
            _ => Self::Send(Error::Closed),
        }
    }
}
