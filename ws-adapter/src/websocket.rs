//! An open connection in one piece.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use ws_proto::connection::{Event, MessageWriter, Prepared, Sender as Half, Stats};
use ws_proto::{
    BoxEntropy, CloseCode, CloseError, Closed, Config, Connection, Delivery, IntoMessage, Kind, Message, Negotiated,
    NoEntropy, OsEntropy, Role, SendError,
};

use crate::clock::Clock;
use crate::control::Control;
use crate::error::Error;
use crate::incoming::In;
use crate::outgoing::{FLUSH_AT, Out};
use crate::runtime::{Runtime, Transfer};
use crate::split::{Receiver, Sender};

/// An open WebSocket connection over a transport.
///
/// Everything happens inside the methods that you await: reading, writing, answering pings, keepalive and the other
/// timers run while [`WebSocket::recv`] (or one of its kin) is being awaited. A program that only sends should
/// [`split`](WebSocket::split) the connection and keep receiving in a task of its own.
///
/// What was sent is written in batches by itself; [`WebSocket::send`] tells when.
///
/// Every future of this type is cancel-safe: all state is in the connection, none in the future. When a future is
/// dropped, no message is lost, cut, or repeated.
///
/// Dropping a `WebSocket` drops the transport without a closing handshake; call [`WebSocket::close`] first. If the
/// task of a server panics, the peer is told with 1011 as far as that is possible without waiting.
///
/// Timers need a runtime with its time driver enabled (`Builder::enable_time`), unless all in `Config::timers` are
/// off.
///
/// ```
/// # async fn example(mut ws: ws_tokio::WebSocket) -> Result<(), ws_tokio::Error> {
/// while let Some(message) = ws.recv().await {
///     ws.send(message).await?; // an echo; goes out in as few writes as it came in reads
/// }
/// println!("{:?}", ws.closed());
/// # Ok(())
/// # }
/// ```
pub struct WebSocket<T, R: Runtime> {
    whole: Box<Whole<T, R>>,
}

pub(crate) struct Whole<T, R: Runtime> {
    pub(crate) inn: In<R>,
    pub(crate) out: Out<T, R>,
    pub(crate) negotiated: Negotiated,
    pub(crate) role: Role,
}

impl<T, R: Transfer<T>> WebSocket<T, R> {
    /// A connection whose opening handshake was done by the core's handshake machines.
    #[must_use]
    pub fn from_connection(connection: Connection, transport: T) -> Self {
        Self::with_clock(connection, transport, Clock::start())
    }

    /// A connection whose opening handshake was done by somebody else, such as an HTTP server.
    #[must_use]
    pub fn from_upgraded(transport: T, role: Role, negotiated: Negotiated, config: impl Into<Arc<Config>>) -> Self {
        let entropy: BoxEntropy = match role {
            Role::Client => Box::new(OsEntropy),
            Role::Server => Box::new(NoEntropy),
        };
        Self::from_connection(Connection::from_upgraded(role, negotiated, config, entropy), transport)
    }

    /// `clock` is the one that `connection` has lived on so far.
    pub(crate) fn with_clock(connection: Connection, transport: T, clock: Clock<R>) -> Self {
        let role = connection.role();
        let negotiated = connection.negotiated().clone();
        let (rx, tx) = connection.split();
        let whole = Whole { inn: In::new(rx, clock), out: Out::new(transport, tx, role, clock), negotiated, role };
        Self { whole: Box::new(whole) }
    }

    pub(crate) fn set_control(&mut self, control: Arc<Control>) {
        self.whole.inn.control = Some(control);
    }

    /// The next message, or `None` once the connection has ended; [`WebSocket::closed`] then tells how.
    ///
    /// Before it waits for the peer, everything that was sent is written. Pings are answered and closing is
    /// completed without your doing. With [`Delivery::Chunks`] no whole messages exist: use
    /// [`WebSocket::recv_event`], for this drops the pieces.
    ///
    /// # Cancel safety
    /// Cancel-safe: no message is lost when the future is dropped.
    pub async fn recv(&mut self) -> Option<Message> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// Like [`WebSocket::recv`], for use in hand-written futures.
    ///
    /// Only the latest task that called it is woken.
    #[inline]
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        let Whole { inn, out, .. } = &mut *self.whole;
        inn.poll_next(out, cx, &mut message)
    }

    /// The next event of any kind: messages, pieces of messages ([`Delivery::Chunks`]), pings, pongs with their
    /// round-trip time, and the peer's Close. `None` once the connection has ended.
    ///
    /// # Cancel safety
    /// Cancel-safe: no event is lost when the future is dropped.
    pub async fn recv_event(&mut self) -> Option<Event<'static>> {
        self.recv_with(|event| Some(event.into_owned())).await
    }

    /// Hands events to `f` without copying them, until it returns `Some`; `None` once the connection has ended.
    ///
    /// The data lies in the read buffer, or is owned by the event where a message came in several pieces.
    ///
    /// ```
    /// use ws_proto::connection::Event;
    /// # async fn example(mut ws: ws_tokio::WebSocket) {
    /// let mut bytes = 0;
    /// ws.recv_with(|event| -> Option<()> {
    ///     if let Event::Binary(payload) = event {
    ///         bytes += payload.len();
    ///     }
    ///     None // go on
    /// })
    /// .await;
    /// # }
    /// ```
    ///
    /// # Cancel safety
    /// Cancel-safe: an event is handed to `f` exactly once, and what `f` returns `Some` for is returned at once.
    pub async fn recv_with<U>(&mut self, mut f: impl FnMut(Event<'_>) -> Option<U>) -> Option<U> {
        poll_fn(|cx| self.poll_recv_with(cx, &mut f)).await
    }

    /// Like [`WebSocket::recv_with`], for use in hand-written futures.
    #[inline]
    pub fn poll_recv_with<U>(
        &mut self,
        cx: &mut Context<'_>,
        f: &mut impl FnMut(Event<'_>) -> Option<U>,
    ) -> Poll<Option<U>> {
        let Whole { inn, out, .. } = &mut *self.whole;
        inn.poll_next(out, cx, f)
    }

    /// Sends a message.
    ///
    /// The message is queued at once. Then, if no further input waits to be parsed, the queue is written to the
    /// transport before this returns. If more input is waiting, so that the next [`WebSocket::recv`] returns at
    /// once, the queue is left to grow until `recv` runs out of input, and is written then; over 32 KiB it is
    /// written here. So the answers to messages that came in one read go out in one write, and nothing waits longer
    /// than until you await `recv` again. Call [`WebSocket::flush`] if you do something lengthy before that.
    ///
    /// If more than `Limits::outgoing` is queued, this first waits for the transport.
    ///
    /// # Errors
    /// [`Error::Closed`] after a Close was sent or received or the connection broke: `recv` then tells the end.
    /// [`Error::MessageOpen`], [`Error::Unsupported`], [`Error::Entropy`], [`Error::Encoding`].
    ///
    /// # Cancel safety
    /// Cancel-safe: the message goes out whole or not at all. It is queued when the future is first polled, unless the
    /// queue is full; after that, dropping the future only leaves the writing to the next call.
    pub fn send<M: IntoMessage>(&mut self, message: M) -> impl Future<Output = Result<(), Error>> {
        let mut message = Some(message);
        self.put(Flush::Lazy, move |tx| queue(tx, &mut message))
    }

    /// Queues a message without writing it, unless more than 32 KiB are queued.
    ///
    /// It goes out with the next `flush`, `send` or `recv`.
    ///
    /// # Errors
    /// As [`WebSocket::send`].
    ///
    /// # Cancel safety
    /// As [`WebSocket::send`].
    pub fn feed<M: IntoMessage>(&mut self, message: M) -> impl Future<Output = Result<(), Error>> {
        let mut message = Some(message);
        self.put(Flush::Never, move |tx| queue(tx, &mut message))
    }

    /// Sends a message that was encoded once for many connections; otherwise like [`WebSocket::send`].
    ///
    /// # Errors
    /// As [`WebSocket::send`].
    ///
    /// # Cancel safety
    /// As [`WebSocket::send`].
    pub async fn send_prepared(&mut self, message: &Prepared) -> Result<(), Error> {
        self.put(Flush::Lazy, |tx| tx.send_prepared(message)).await
    }

    /// Queues a message without waiting; it goes out with the next `flush`, `send` or `recv`.
    ///
    /// # Errors
    /// [`SendError::Full`] with the message if more than `Limits::outgoing` is queued, and the other kinds of
    /// [`SendError`].
    pub fn try_send<M: IntoMessage>(&mut self, message: M) -> Result<(), SendError<M>> {
        self.whole.out.used = true;
        self.whole.out.tx.send(message)
    }

    /// Writes everything that is queued to the transport.
    ///
    /// # Errors
    /// [`Error::Closed`] if the transport takes nothing more.
    ///
    /// # Cancel safety
    /// Cancel-safe: what was not written yet is written by the next call.
    pub async fn flush(&mut self) -> Result<(), Error> {
        poll_fn(|cx| self.poll_written(cx)).await
    }

    pub(crate) fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let Whole { inn, out, .. } = &mut *self.whole;
        inn.poll_flush(out, cx, |_| false).map(written)
    }

    /// Waits until a message can be queued.
    pub(crate) fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let Whole { inn, out, .. } = &mut *self.whole;
        if out.tx.buffered() <= FLUSH_AT && has_room(out) {
            return Poll::Ready(written(out.broken_since().is_none()));
        }
        inn.poll_flush(out, cx, has_room).map(written)
    }

    /// Queues something, and writes as `flush` says.
    ///
    /// Not an `async fn`, because the compiler would keep the message in such a future twice.
    fn put<E>(
        &mut self,
        flush: Flush,
        mut queue: impl FnMut(&mut Half) -> Result<(), SendError<E>>,
    ) -> impl Future<Output = Result<(), Error>> {
        let mut queued = false;
        poll_fn(move |cx| {
            let Whole { inn, out, .. } = &mut *self.whole;
            while !queued {
                if out.broken_since().is_some() {
                    return Poll::Ready(Err(Error::Closed));
                }
                match queue(&mut out.tx) {
                    Ok(()) => queued = true,
                    Err(SendError::Full(_)) => {
                        written(ready!(inn.poll_flush(out, cx, has_room)))?;
                    }
                    Err(error) => return Poll::Ready(Err(error.into())),
                }
                out.used = true;
            }
            let hold = match flush {
                Flush::Lazy => inn.has_input(),
                Flush::Never => true,
            };
            if hold && out.tx.buffered() <= FLUSH_AT {
                return Poll::Ready(Ok(()));
            }
            inn.poll_flush(out, cx, |_| false).map(written)
        })
    }

    /// Sends a ping (RFC 6455 section 5.5.2) of at most 125 bytes.
    ///
    /// The round-trip time comes with the pong ([`WebSocket::recv_event`]) and in [`WebSocket::stats`]. Keepalive
    /// pings are sent without your doing.
    ///
    /// # Errors
    /// [`Error::ControlTooLong`], [`Error::Closed`], [`Error::Unsupported`], [`Error::Entropy`].
    ///
    /// # Cancel safety
    /// As [`WebSocket::send`].
    pub async fn ping(&mut self, payload: &[u8]) -> Result<(), Error> {
        let clock = self.whole.out.clock;
        self.put(Flush::Lazy, |tx| tx.ping(clock.now(), payload)).await
    }

    /// Sends a pong (RFC 6455 section 5.5.3): one that nobody asked for, or an answer with `Config::manual_pong`.
    ///
    /// # Errors
    /// As [`WebSocket::ping`].
    ///
    /// # Cancel safety
    /// As [`WebSocket::send`].
    pub async fn pong(&mut self, payload: &[u8]) -> Result<(), Error> {
        self.put(Flush::Lazy, |tx| tx.pong(payload)).await
    }

    /// Closes the connection and tells how it ended (RFC 6455 section 7.1.2).
    ///
    /// Messages sent before still go out. Messages that arrive until the peer has closed are dropped; to take them,
    /// use [`WebSocket::start_close`] and go on receiving. Resolves when the closing handshake is complete, and at the
    /// latest after `Timers::close`. If the connection is closing already, it waits for the same end.
    ///
    /// # Errors
    /// [`CloseError`] if the code may not be sent (section 7.4) or the reason has more than 123 bytes. Nothing has
    /// happened then.
    ///
    /// # Cancel safety
    /// Cancel-safe: closing has begun once the future was polled, and goes on with `recv` or another `close`.
    pub async fn close(&mut self, code: impl Into<CloseCode>, reason: &str) -> Result<Closed, CloseError> {
        self.start_close(code, reason)?;
        loop {
            self.recv_with(|_| None::<()>).await;
            if let Some(closed) = self.closed() {
                return Ok(closed.clone());
            }
        }
    }

    /// Queues a Close; go on with `recv` until it returns `None`.
    ///
    /// Does nothing if the connection is closing already.
    ///
    /// # Errors
    /// As [`WebSocket::close`].
    pub fn start_close(&mut self, code: impl Into<CloseCode>, reason: &str) -> Result<(), CloseError> {
        let out = &mut self.whole.out;
        out.used = true;
        out.tx.close(out.clock.now(), code, reason)
    }

    /// Ends the connection at once, without a closing handshake, and drops the transport.
    pub fn abort(&mut self) {
        self.whole.inn.abort(&mut self.whole.out);
    }

    /// Begins a message that is sent in pieces, each a frame (RFC 6455 section 5.4). The pieces are queued;
    /// [`WebSocket::flush`] and `recv` write them.
    ///
    /// When the writer says [`SendError::Full`], drop it, await `flush`, and go on with
    /// [`WebSocket::resume_message`].
    ///
    /// # Errors
    /// [`SendError::Full`], [`SendError::Closed`], [`SendError::MessageOpen`].
    pub fn start_message(&mut self, kind: Kind) -> Result<MessageWriter<'_>, SendError> {
        self.whole.out.used = true;
        self.whole.out.tx.start_message(kind)
    }

    /// The writer of the message that [`WebSocket::start_message`] began and nobody finished.
    pub fn resume_message(&mut self) -> Option<MessageWriter<'_>> {
        self.whole.out.used = true;
        self.whole.out.tx.resume_message()
    }

    /// Takes the connection apart, for a task that receives and tasks that send.
    #[must_use]
    pub fn split(self) -> (Receiver<T, R>, Sender<T, R>) {
        crate::split::split(*self.whole)
    }
}

impl<T, R: Runtime> WebSocket<T, R> {
    pub(crate) fn incoming(&mut self) -> &mut In<R> {
        &mut self.whole.inn
    }

    /// The core's half that sends.
    pub(crate) fn half(&mut self) -> &mut Half {
        self.whole.out.used = true;
        &mut self.whole.out.tx
    }

    pub(crate) fn is_told(&self) -> bool {
        self.whole.inn.told
    }

    /// How the connection ended; `None` while it has not.
    #[must_use]
    pub fn closed(&self) -> Option<&Closed> {
        self.whole.inn.closed.as_deref()
    }

    /// What the transport reported, if it failed and ended the connection.
    #[must_use]
    pub fn io_error(&self) -> Option<&io::Error> {
        self.whole.inn.error.as_ref()
    }

    /// What passed so far, and round-trip times.
    #[must_use]
    pub fn stats(&self) -> Stats {
        stats(&self.whole.inn, &self.whole.out)
    }

    /// What the opening handshake agreed on.
    #[must_use]
    pub fn negotiated(&self) -> &Negotiated {
        &self.whole.negotiated
    }

    /// The subprotocol that was agreed on, if any (RFC 6455 section 1.9).
    #[must_use]
    pub fn subprotocol(&self) -> Option<&str> {
        self.whole.negotiated.subprotocol.as_deref()
    }

    /// Which end this is.
    #[must_use]
    pub fn role(&self) -> Role {
        self.whole.role
    }

    /// The transport; `None` once the connection has ended.
    #[must_use]
    pub fn get_ref(&self) -> Option<&T> {
        self.whole.out.io.as_ref()
    }

    /// Switches between whole messages and chunks; takes effect with the next message.
    pub fn set_delivery(&mut self, delivery: Delivery) {
        self.whole.inn.rx.set_delivery(delivery);
    }
}

#[derive(Clone, Copy)]
pub(crate) enum Flush {
    /// Unless more input is waiting.
    Lazy,
    /// Only past [`FLUSH_AT`].
    Never,
}

pub(crate) fn stats<T, R: Runtime>(inn: &In<R>, out: &Out<T, R>) -> Stats {
    let mut stats = Stats::default();
    stats.received = inn.rx.stats();
    (stats.sent, stats.round_trip) = out.tx.stats();
    stats
}

/// What `recv` is after.
#[inline]
pub(crate) fn message(event: Event<'_>) -> Option<Message> {
    match event {
        Event::Text(text) => Some(text.into()),
        Event::Binary(payload) => Some(payload.into()),
        _ => None,
    }
}

/// Queues the message in `slot`; one that is refused for lack of room is put back.
#[inline]
pub(crate) fn queue<M: IntoMessage>(tx: &mut Half, slot: &mut Option<M>) -> Result<(), SendError> {
    let Some(message) = slot.take() else { return Ok(()) };
    tx.send(message).map_err(|error| match error {
        SendError::Full(message) => {
            *slot = Some(message);
            SendError::Full(())
        }
        error => error.without_message(),
    })
}

/// Whether it makes no sense to wait before the next message is queued.
pub(crate) fn has_room<T, R: Runtime>(out: &Out<T, R>) -> bool {
    out.tx.can_send() || out.tx.is_closing()
}

pub(crate) fn written(all: bool) -> Result<(), Error> {
    if all { Ok(()) } else { Err(Error::Closed) }
}

impl<T, R: Runtime> fmt::Debug for WebSocket<T, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket")
            .field("role", &self.whole.role)
            .field("negotiated", &self.whole.negotiated)
            .field("closed", &self.whole.inn.closed)
            .finish_non_exhaustive()
    }
}
#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Flood, Testing};

    /// Ten thousand idle connections are the case to save for.
    #[cfg(target_pointer_width = "64")]
    #[test]
    fn threat_033_connections_and_futures_are_small() {
        type Small = WebSocket<Flood, Testing>;
        async fn echo(mut ws: Small) {
            while let Some(message) = ws.recv().await {
                let _ = ws.send(message).await;
            }
        }
        fn size_of_future<F>(_: fn(Small) -> F) -> usize {
            size_of::<F>()
        }
        let connection = size_of::<Whole<Flood, Testing>>();
        assert!(connection <= 920, "{connection}");
        let echo = size_of_future(echo);
        assert!(echo <= 160, "{echo}");
        assert_eq!(size_of::<Small>(), size_of::<usize>());
    }
}
