//! An open connection in two halves, for a thread that receives and threads that send.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, Read};
use std::task::{Poll, ready};

use ws_adapter as engine;
use ws_adapter::ws_proto::connection::{Event, Prepared, Stats};
use ws_adapter::ws_proto::{
    CloseCode, CloseError, Closed, Delivery, IntoMessage, Kind, Message, Negotiated, Role, SendError,
};

use crate::bytes::Kept;
use crate::error::Error;
use crate::net::NetStream;
use crate::park::block_on;
use crate::runtime::{Blocking, Plain};
use crate::transport::Transport;
use crate::wait::{Interrupted, Wait};
use crate::websocket::{SendReaderError, item};

/// The half of a [`WebSocket`](crate::WebSocket) that receives.
///
/// Timers, keepalive, answers to pings and the closing handshake run while one of its calls waits: keep it receiving
/// until `None`, even if nothing interesting is expected. Dropping it ends the connection without a closing handshake,
/// and senders then get [`Error::Closed`].
///
/// It is an [`Iterator`] of messages, as [`WebSocket`](crate::WebSocket) is.
pub struct Receiver<T = NetStream> {
    inner: engine::Receiver<T, Blocking>,
    wait: Wait,
    told: bool,
}

impl<T: Transport> Receiver<T> {
    pub(crate) fn new(inner: engine::Receiver<T, Blocking>, wait: Wait, told: bool) -> Self {
        Self { inner, wait, told }
    }

    /// The next message, or `None` once the connection has ended; see [`WebSocket::recv`](crate::WebSocket::recv).
    ///
    /// # Errors
    /// [`Interrupted`]; no message is lost.
    pub fn recv(&mut self) -> Result<Option<Message>, Interrupted> {
        match block_on(self.inner.recv(), &self.wait) {
            Ok(message) => Ok(message),
            Err(why) => self.stopped(why),
        }
    }

    /// The next event of any kind; see [`WebSocket::recv_event`](crate::WebSocket::recv_event).
    ///
    /// # Errors
    /// [`Interrupted`]; no event is lost.
    pub fn recv_event(&mut self) -> Result<Option<Event<'static>>, Interrupted> {
        self.recv_with(|event| Some(event.into_owned()))
    }

    /// Hands events to `f` without copying them, until it returns `Some`; see
    /// [`WebSocket::recv_with`](crate::WebSocket::recv_with).
    ///
    /// # Errors
    /// [`Interrupted`]. Each event is handed to `f` exactly once, and what `f` returns `Some` for is returned at once.
    pub fn recv_with<U>(&mut self, f: impl FnMut(Event<'_>) -> Option<U>) -> Result<Option<U>, Interrupted> {
        match block_on(self.inner.recv_with(f), &self.wait) {
            Ok(wanted) => Ok(wanted),
            Err(why) => self.stopped(why),
        }
    }

    /// Ends what the server has cut off.
    fn stopped<U>(&mut self, why: Interrupted) -> Result<Option<U>, Interrupted> {
        if self.wait.is_cut() {
            self.inner.abort();
            return Ok(None);
        }
        Err(why)
    }
}

impl<T> Receiver<T> {
    pub(crate) fn into_parts(self) -> (engine::Receiver<T, Blocking>, Kept) {
        (self.inner, Kept { wait: self.wait, told: self.told })
    }

    pub(crate) fn from_parts(inner: engine::Receiver<T, Blocking>, Kept { wait, told }: Kept) -> Self {
        Self { inner, wait, told }
    }

    /// How long calls wait from now on; see [`WebSocket::set_wait`](crate::WebSocket::set_wait).
    pub fn set_wait(&mut self, wait: impl Into<Wait>) {
        self.wait.set(wait.into());
    }

    /// Ends the connection at once, without a closing handshake, and drops the transport.
    pub fn abort(&mut self) {
        self.inner.abort();
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

    /// Which end this is.
    #[must_use]
    pub fn role(&self) -> Role {
        self.inner.role()
    }

    /// Switches between whole messages and chunks; takes effect with the next message.
    pub fn set_delivery(&mut self, delivery: Delivery) {
        self.inner.set_delivery(delivery);
    }
}

impl<T: Transport> Iterator for Receiver<T> {
    type Item = Result<Message, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let received = self.recv();
        item(received, || self.inner.closed().cloned(), &mut self.told)
    }
}

/// The half of a [`WebSocket`](crate::WebSocket) that sends. Clones send on the same connection, from any number of
/// threads beside the one that receives.
///
/// Messages of one thread go out in order, and messages of several threads never mix. When all senders are dropped the
/// connection stays open until the [`Receiver`] ends it.
pub struct Sender<T = NetStream> {
    inner: engine::Sender<T, Blocking>,
    wait: Wait,
}

impl<T: Transport> Sender<T> {
    pub(crate) fn new(inner: engine::Sender<T, Blocking>, wait: Wait) -> Self {
        Self { inner, wait }
    }

    /// Sends a message: queues it and writes the queue to the transport.
    ///
    /// For many messages at a time, [`Sender::feed`] them and [`Sender::flush`] once. If more than `Limits::outgoing`
    /// is queued, this first waits for the transport.
    ///
    /// # Errors
    /// [`Error::Closed`] after a Close was sent or received or the connection broke; [`Error::Interrupted`], which
    /// says whether the message is queued; [`Error::MessageOpen`], [`Error::Unsupported`], [`Error::Entropy`],
    /// [`Error::Encoding`].
    pub fn send<M: IntoMessage>(&self, message: M) -> Result<(), Error> {
        let wait = self.wait.of_call();
        self.put(message, &wait)?;
        self.flush_within(&wait)
    }

    /// Queues a message without writing it, unless more than 32 KiB are queued.
    ///
    /// It goes out with the next `flush` or `send` of any sender, or when the receiver waits anew.
    ///
    /// # Errors
    /// As [`Sender::send`].
    pub fn feed<M: IntoMessage>(&self, message: M) -> Result<(), Error> {
        const FLUSH_AT: usize = 32 * 1024;
        let wait = self.wait.of_call();
        self.put(message, &wait)?;
        if self.inner.buffered() > FLUSH_AT { self.flush_within(&wait) } else { Ok(()) }
    }

    /// Sends a message that was encoded once for many connections; otherwise like [`Sender::send`].
    ///
    /// # Errors
    /// As [`Sender::send`].
    pub fn send_prepared(&self, message: &Prepared) -> Result<(), Error> {
        let wait = self.wait.of_call();
        self.queue(&wait, || self.inner.try_send_prepared(message))?;
        self.flush_within(&wait)
    }

    fn put<M: IntoMessage>(&self, message: M, wait: &Wait) -> Result<(), Error> {
        let mut slot = Some(message);
        self.queue(wait, || {
            let Some(message) = slot.take() else { return Ok(()) };
            self.inner.try_send(message).map_err(|error| match error {
                SendError::Full(message) => {
                    slot = Some(message);
                    SendError::Full(())
                }
                error => error.without_message(),
            })
        })
    }

    /// Queues a message. Where there is no room it writes, for as long as it takes.
    fn queue(&self, wait: &Wait, mut try_send: impl FnMut() -> Result<(), SendError>) -> Result<(), Error> {
        if self.wait.is_cancelled() {
            return self.sent(Err(Interrupted::Cancelled), false);
        }
        if self.inner.is_closed() {
            return Err(Error::Closed);
        }
        match try_send() {
            Err(SendError::Full(())) => {}
            result => return Ok(result?),
        }
        let mut flush = Box::pin(self.inner.flush());
        let room = poll_fn(|cx| {
            loop {
                let flushed = flush.as_mut().poll(cx);
                match try_send() {
                    Err(SendError::Full(())) => {}
                    result => return Poll::Ready(result.map_err(Error::from)),
                }
                // Full again, by what others have sent meanwhile.
                ready!(flushed)?;
                flush = Box::pin(self.inner.flush());
            }
        });
        match block_on(room, wait) {
            Ok(result) => result,
            Err(why) => self.sent(Err(why), false),
        }
    }

    fn sent(&self, result: Result<Result<(), engine::Error>, Interrupted>, queued: bool) -> Result<(), Error> {
        match result {
            Ok(result) => Ok(result?),
            Err(_) if self.wait.is_cut() => {
                self.inner.abort();
                Err(Error::Closed)
            }
            Err(why) => Err(Error::interrupted(why, queued)),
        }
    }

    /// Sends what is queued when its future is first polled.
    fn send_at_once(&self, future: impl Future<Output = Result<(), engine::Error>>) -> Result<(), Error> {
        let mut begun = false;
        let sending = async {
            begun = true;
            future.await
        };
        let result = block_on(sending, &self.wait);
        self.sent(result, begun)
    }

    /// Sends a message whose payload is read from `source`; see
    /// [`WebSocket::send_reader`](crate::WebSocket::send_reader).
    ///
    /// # Errors
    /// [`SendReaderError`]. Meanwhile other senders get [`Error::MessageOpen`].
    pub fn send_reader(&self, kind: Kind, source: impl Read) -> Result<u64, SendReaderError> {
        match block_on(self.inner.send_reader(kind, Plain::new(source)), &self.wait) {
            Ok(result) => Ok(result?),
            Err(why) => Err(self.sent(Err(why), false).err().unwrap_or(Error::Closed).into()),
        }
    }

    /// Writes everything that is queued to the transport.
    ///
    /// # Errors
    /// [`Error::Closed`] if the transport takes nothing more. [`Error::Interrupted`]; what was not written yet is
    /// written by the next call of any half.
    pub fn flush(&self) -> Result<(), Error> {
        self.flush_within(&self.wait)
    }

    fn flush_within(&self, wait: &Wait) -> Result<(), Error> {
        self.sent(block_on(self.inner.flush(), wait), true)
    }

    /// Sends a ping of at most 125 bytes; the pong and its round-trip time come to the [`Receiver`].
    ///
    /// # Errors
    /// [`Error::ControlTooLong`], [`Error::Closed`], [`Error::Interrupted`], [`Error::Unsupported`],
    /// [`Error::Entropy`].
    pub fn ping(&self, payload: &[u8]) -> Result<(), Error> {
        self.send_at_once(self.inner.ping(payload))
    }

    /// Sends a pong: one that nobody asked for, or an answer with `Config::manual_pong`.
    ///
    /// # Errors
    /// As [`Sender::ping`].
    pub fn pong(&self, payload: &[u8]) -> Result<(), Error> {
        self.send_at_once(self.inner.pong(payload))
    }

    /// Begins to close the connection (RFC 6455 section 7.1.2) and writes what is queued, the Close last.
    ///
    /// The [`Receiver`] completes the closing handshake and learns how it ended: it should be receiving on another
    /// thread meanwhile; a thread that has both halves better uses [`Sender::start_close`]. Does nothing if the
    /// connection is closing already.
    ///
    /// # Errors
    /// [`Error::Close`] if the code may not be sent (section 7.4) or the reason has more than 123 bytes.
    /// [`Error::Interrupted`]; closing has begun then, and the receiver sees to the rest.
    pub fn close(&self, code: impl Into<CloseCode>, reason: &str) -> Result<(), Error> {
        self.start_close(code, reason)?;
        match self.flush() {
            Err(error @ Error::Interrupted { .. }) => Err(error),
            _ => Ok(()),
        }
    }
}

impl<T> Sender<T> {
    pub(crate) fn into_parts(self) -> (engine::Sender<T, Blocking>, Kept) {
        (self.inner, Kept { wait: self.wait, told: false })
    }

    pub(crate) fn from_parts(inner: engine::Sender<T, Blocking>, Kept { wait, .. }: Kept) -> Self {
        Self { inner, wait }
    }

    /// How long calls of this sender wait from now on; see [`WebSocket::set_wait`](crate::WebSocket::set_wait).
    /// Clones made later take it over.
    pub fn set_wait(&mut self, wait: impl Into<Wait>) {
        self.wait.set(wait.into());
    }

    /// Queues a message without waiting; it goes out with the next `flush` or `send` of any sender, or when the
    /// receiver waits anew.
    ///
    /// # Errors
    /// [`SendError::Full`] with the message if more than `Limits::outgoing` is queued, and the other kinds of
    /// [`SendError`].
    pub fn try_send<M: IntoMessage>(&self, message: M) -> Result<(), SendError<M>> {
        self.inner.try_send(message)
    }

    /// As [`Sender::try_send`], for a message that was encoded once for many connections.
    ///
    /// # Errors
    /// As [`Sender::try_send`].
    pub fn try_send_prepared(&self, message: &Prepared) -> Result<(), SendError> {
        self.inner.try_send_prepared(message)
    }

    /// Queues a Close without waiting; the [`Receiver`] does the rest.
    ///
    /// # Errors
    /// [`CloseError`] if the code may not be sent (RFC 6455 section 7.4) or the reason has more than 123 bytes.
    pub fn start_close(&self, code: impl Into<CloseCode>, reason: &str) -> Result<(), CloseError> {
        self.inner.start_close(code, reason)
    }

    /// Ends the connection at once, without a closing handshake, and drops the transport.
    pub fn abort(&self) {
        self.inner.abort();
    }

    /// Whether nothing more can be sent: a Close was sent or received, or the connection has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.inner.is_closed()
    }

    /// Bytes of messages that are queued and not written.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.inner.buffered()
    }

    /// What the opening handshake agreed on.
    #[must_use]
    pub fn negotiated(&self) -> &Negotiated {
        self.inner.negotiated()
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), wait: self.wait.clone() }
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}
