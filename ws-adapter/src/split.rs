//! An open connection in two halves, for a task that receives and tasks that send.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker, ready};

use ws_proto::connection::{Event, Prepared, Sender as Half, Stats};
use ws_proto::{CloseCode, CloseError, Closed, Delivery, IntoMessage, Message, Negotiated, Role, SendError};

use crate::clock::Timer;
use crate::error::Error;
use crate::incoming::{In, Reach};
use crate::outgoing::{FLUSH_AT, Out};
use crate::runtime::{Runtime, Transfer};
use crate::websocket::{Flush, Whole, has_room, message, queue, stats, written};

/// Wakes everyone who waits for the transport.
///
/// A transport keeps one waker for reading and one for writing, and only the latest (some, like TLS, write while they
/// read). If each half gave it its own, one would take the place of the other, which then would sleep for ever. So
/// the transport only ever sees this one.
#[derive(Debug, Default)]
struct Wakers {
    waiting: Mutex<Waiting>,
    /// Senders that wait, or are about to.
    senders: AtomicUsize,
}

#[derive(Debug, Default)]
struct Waiting {
    receiver: Option<Waker>,
    /// Each sender has a place of its own, and leaves it when its call is over: what a task or a thread leaves here
    /// would stay for as long as the connection, with all that belongs to it.
    senders: Vec<Option<Waker>>,
    free: Vec<usize>,
}

/// Puts a waker in; gives one that was there, which must not be dropped while anything is locked: its task may go
/// with it.
fn put(slot: &mut Option<Waker>, waker: &Waker) -> Option<Waker> {
    if slot.as_ref().is_some_and(|known| known.will_wake(waker)) { None } else { slot.replace(waker.clone()) }
}

impl Wakers {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn receiver_waits(&self, waker: &Waker) {
        let stale = put(&mut self.lock().receiver, waker);
        drop(stale);
    }

    fn wake_all(&self) {
        let receiver = self.lock().receiver.take();
        receiver.into_iter().for_each(Waker::wake);
        self.wake_senders();
    }

    fn wake_senders(&self) {
        let senders: Vec<_> = self.lock().senders.iter_mut().filter_map(Option::take).collect();
        senders.into_iter().for_each(Waker::wake);
    }
}

/// What a sender keeps while it waits.
#[derive(Debug)]
struct Waiter<R: Runtime> {
    timer: Timer<R>,
    place: Option<Place>,
}

impl<R: Runtime> Default for Waiter<R> {
    fn default() -> Self {
        Self { timer: Timer::default(), place: None }
    }
}

impl<R: Runtime> Waiter<R> {
    /// Has `waker` woken from now on, until the next time that all are.
    fn listen(&mut self, wakers: &Arc<Wakers>, waker: &Waker) -> Option<Waker> {
        self.place.get_or_insert_with(|| Place::new(wakers.clone())).set(waker)
    }
}

/// A place among those who wait.
#[derive(Debug)]
struct Place {
    wakers: Arc<Wakers>,
    index: usize,
}

impl Place {
    fn new(wakers: Arc<Wakers>) -> Self {
        let mut waiting = wakers.lock();
        let index = waiting.free.pop().unwrap_or_else(|| {
            waiting.senders.push(None);
            waiting.senders.len() - 1
        });
        drop(waiting);
        wakers.senders.fetch_add(1, Ordering::Relaxed);
        Self { wakers, index }
    }

    fn set(&self, waker: &Waker) -> Option<Waker> {
        self.wakers.lock().senders.get_mut(self.index).and_then(|slot| put(slot, waker))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut waiting = self.wakers.lock();
        let stale = waiting.senders.get_mut(self.index).and_then(Option::take);
        waiting.free.push(self.index);
        if waiting.free.len() == waiting.senders.len() {
            // An idle connection holds nothing.
            *waiting = Waiting { receiver: waiting.receiver.take(), ..Waiting::default() };
        }
        drop(waiting);
        self.wakers.senders.fetch_sub(1, Ordering::Relaxed);
        drop(stale);
    }
}

impl Wake for Wakers {
    fn wake(self: Arc<Self>) {
        self.wake_all();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wake_all();
    }
}

/// What the halves share. The lock is held for single calls of the transport and of the core's sending half, never
/// while waiting or parsing.
struct Shared<T, R: Runtime> {
    out: Mutex<Out<T, R>>,
    wakers: Arc<Wakers>,
    /// `wakers`, as the transport sees it.
    waker: Waker,
    negotiated: Negotiated,
    role: Role,
}

impl<T, R: Runtime> Shared<T, R> {
    fn lock(&self) -> MutexGuard<'_, Out<T, R>> {
        self.out.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the senders know that wait, but for `own`, if what they wait for was written here: a transport that has
    /// taken it need not be ready for more.
    fn tell_written(&self, out: &Out<T, R>, unwritten: bool, own: usize) {
        if unwritten && !out.tx.wants_write() && self.wakers.senders.load(Ordering::Relaxed) > own {
            self.wakers.wake_senders();
        }
    }
}

impl<T, R: Runtime> Reach<T, R> for Arc<Shared<T, R>> {
    fn reach<U>(&mut self, cx: &mut Context<'_>, f: impl FnOnce(&mut Out<T, R>, &mut Context<'_>) -> U) -> U {
        self.wakers.receiver_waits(cx.waker());
        let mut out = self.lock();
        let unwritten = out.tx.wants_write();
        let result = f(&mut out, &mut Context::from_waker(&self.waker));
        self.tell_written(&out, unwritten, 0);
        result
    }

    fn changed(&mut self) {
        self.wakers.wake_all();
    }
}

pub(crate) fn split<T, R: Runtime>(whole: Whole<T, R>) -> (Receiver<T, R>, Sender<T, R>) {
    let Whole { inn, out, negotiated, role } = whole;
    let wakers = Arc::new(Wakers::default());
    let waker = Waker::from(wakers.clone());
    let shared = Arc::new(Shared { out: Mutex::new(out), wakers, waker, negotiated, role });
    (Receiver { inn, shared: shared.clone() }, Sender { shared, sink: Waiter::default() })
}

/// The half of a [`WebSocket`](crate::WebSocket) that receives.
///
/// Timers, keepalive, answers to pings and the closing handshake run while it is awaited: keep it receiving until
/// `None`, even if nothing interesting is expected. Dropping it ends the connection without a closing handshake, and
/// senders then get [`Error::Closed`].
pub struct Receiver<T, R: Runtime> {
    pub(crate) inn: In<R>,
    shared: Arc<Shared<T, R>>,
}

impl<T, R: Transfer<T>> Receiver<T, R> {
    /// The next message, or `None` once the connection has ended; see [`WebSocket::recv`](crate::WebSocket::recv).
    ///
    /// # Cancel safety
    /// Cancel-safe: no message is lost when the future is dropped.
    pub async fn recv(&mut self) -> Option<Message> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// Like [`Receiver::recv`], for use in hand-written futures.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        self.inn.poll_next(&mut self.shared, cx, &mut message)
    }

    /// The next event of any kind; see [`WebSocket::recv_event`](crate::WebSocket::recv_event).
    ///
    /// # Cancel safety
    /// Cancel-safe: no event is lost when the future is dropped.
    pub async fn recv_event(&mut self) -> Option<Event<'static>> {
        self.recv_with(|event| Some(event.into_owned())).await
    }

    /// Hands events to `f` without copying them, until it returns `Some`; see
    /// [`WebSocket::recv_with`](crate::WebSocket::recv_with).
    ///
    /// # Cancel safety
    /// Cancel-safe: an event is handed to `f` exactly once, and what `f` returns `Some` for is returned at once.
    pub async fn recv_with<U>(&mut self, mut f: impl FnMut(Event<'_>) -> Option<U>) -> Option<U> {
        poll_fn(|cx| self.poll_recv_with(cx, &mut f)).await
    }

    /// Like [`Receiver::recv_with`], for use in hand-written futures.
    pub fn poll_recv_with<U>(
        &mut self,
        cx: &mut Context<'_>,
        f: &mut impl FnMut(Event<'_>) -> Option<U>,
    ) -> Poll<Option<U>> {
        self.inn.poll_next(&mut self.shared, cx, f)
    }
}

impl<T, R: Runtime> Receiver<T, R> {
    /// Ends the connection at once, without a closing handshake, and drops the transport.
    pub fn abort(&mut self) {
        self.inn.abort(&mut self.shared.lock());
        self.shared.wakers.wake_all();
    }

    /// How the connection ended; `None` while it has not.
    #[must_use]
    pub fn closed(&self) -> Option<&Closed> {
        self.inn.closed.as_deref()
    }

    /// What the transport reported, if it failed and ended the connection.
    #[must_use]
    pub fn io_error(&self) -> Option<&io::Error> {
        self.inn.error.as_ref()
    }

    /// What passed so far, and round-trip times.
    #[must_use]
    pub fn stats(&self) -> Stats {
        stats(&self.inn, &self.shared.lock())
    }

    /// What the opening handshake agreed on.
    #[must_use]
    pub fn negotiated(&self) -> &Negotiated {
        &self.shared.negotiated
    }

    /// Which end this is.
    #[must_use]
    pub fn role(&self) -> Role {
        self.shared.role
    }

    /// Switches between whole messages and chunks; takes effect with the next message.
    pub fn set_delivery(&mut self, delivery: Delivery) {
        self.inn.rx.set_delivery(delivery);
    }
}

impl<T, R: Runtime> Drop for Receiver<T, R> {
    fn drop(&mut self) {
        self.shared.lock().say_why();
        self.abort();
    }
}

/// The half of a [`WebSocket`](crate::WebSocket) that sends. Clones send on the same connection.
///
/// Messages of one task go out in order, and messages of several tasks never mix. When all senders are dropped the
/// connection stays open until the [`Receiver`] ends it.
pub struct Sender<T, R: Runtime> {
    shared: Arc<Shared<T, R>>,
    sink: Waiter<R>,
}

impl<T, R: Transfer<T>> Sender<T, R> {
    /// Sends a message: queues it and writes the queue to the transport.
    ///
    /// For many messages at a time, [`Sender::feed`] them and [`Sender::flush`] once. If more than `Limits::outgoing`
    /// is queued, this first waits for the transport.
    ///
    /// # Errors
    /// [`Error::Closed`] after a Close was sent or received or the connection broke; [`Error::MessageOpen`],
    /// [`Error::Unsupported`], [`Error::Entropy`], [`Error::Encoding`].
    ///
    /// # Cancel safety
    /// Cancel-safe: the message goes out whole or not at all. It is queued when the future is first polled, unless the
    /// queue is full; after that, dropping the future only leaves the writing to somebody else.
    pub fn send<M: IntoMessage>(&self, message: M) -> impl Future<Output = Result<(), Error>> {
        let mut message = Some(message);
        self.put(Flush::Lazy, move |tx| queue(tx, &mut message))
    }

    /// Queues a message without writing it, unless more than 32 KiB are queued.
    ///
    /// It goes out with the next `flush` or `send` of any sender, or when the receiver waits anew.
    ///
    /// # Errors
    /// As [`Sender::send`].
    ///
    /// # Cancel safety
    /// As [`Sender::send`].
    pub fn feed<M: IntoMessage>(&self, message: M) -> impl Future<Output = Result<(), Error>> {
        let mut message = Some(message);
        self.put(Flush::Never, move |tx| queue(tx, &mut message))
    }

    /// Sends a message that was encoded once for many connections; otherwise like [`Sender::send`].
    ///
    /// # Errors
    /// As [`Sender::send`].
    ///
    /// # Cancel safety
    /// As [`Sender::send`].
    pub async fn send_prepared(&self, message: &Prepared) -> Result<(), Error> {
        self.put(Flush::Lazy, |tx| tx.send_prepared(message)).await
    }

    /// Writes everything that is queued to the transport.
    ///
    /// # Errors
    /// [`Error::Closed`] if the transport takes nothing more.
    ///
    /// # Cancel safety
    /// Cancel-safe: what was not written yet is written by the next call of any half.
    pub async fn flush(&self) -> Result<(), Error> {
        let mut waiter = Waiter::default();
        poll_fn(|cx| self.poll_flush(cx, &mut waiter, |_| false)).await
    }

    /// Sends a ping of at most 125 bytes; the pong and its round-trip time come to the [`Receiver`].
    ///
    /// # Errors
    /// [`Error::ControlTooLong`], [`Error::Closed`], [`Error::Unsupported`], [`Error::Entropy`].
    ///
    /// # Cancel safety
    /// As [`Sender::send`].
    pub async fn ping(&self, payload: &[u8]) -> Result<(), Error> {
        let clock = self.shared.lock().clock;
        self.put(Flush::Lazy, |tx| tx.ping(clock.now(), payload)).await
    }

    /// Sends a pong: one that nobody asked for, or an answer with `Config::manual_pong`.
    ///
    /// # Errors
    /// As [`Sender::ping`].
    ///
    /// # Cancel safety
    /// As [`Sender::send`].
    pub async fn pong(&self, payload: &[u8]) -> Result<(), Error> {
        self.put(Flush::Lazy, |tx| tx.pong(payload)).await
    }

    /// Begins to close the connection (RFC 6455 section 7.1.2) and writes what is queued, the Close last.
    ///
    /// The [`Receiver`] completes the closing handshake and learns how it ended: it should be awaited in another task
    /// meanwhile; a task that has both halves better uses [`Sender::start_close`]. Does nothing if the connection is
    /// closing already.
    ///
    /// # Errors
    /// [`CloseError`] if the code may not be sent (section 7.4) or the reason has more than 123 bytes.
    ///
    /// # Cancel safety
    /// Cancel-safe: closing has begun once the future was polled; the receiver sees to the rest.
    pub async fn close(&self, code: impl Into<CloseCode>, reason: &str) -> Result<(), CloseError> {
        {
            let mut out = self.shared.lock();
            let now = out.clock.now();
            out.tx.close(now, code, reason)?;
        }
        // The receiver must begin to watch the deadline.
        self.shared.wakers.wake_all();
        let _ = self.flush().await;
        Ok(())
    }

    fn put<E>(
        &self,
        flush: Flush,
        mut queue: impl FnMut(&mut Half) -> Result<(), SendError<E>>,
    ) -> impl Future<Output = Result<(), Error>> {
        let mut queued = false;
        let mut waiter = Waiter::default();
        poll_fn(move |cx| {
            while !queued {
                let mut out = self.shared.lock();
                if out.broken_since().is_some() {
                    return Poll::Ready(Err(Error::Closed));
                }
                let result = queue(&mut out.tx);
                out.used = true;
                let small = out.tx.buffered() <= FLUSH_AT;
                drop(out);
                match result {
                    Ok(()) => queued = true,
                    Err(SendError::Full(_)) => {
                        ready!(self.poll_flush(cx, &mut waiter, has_room))?;
                        continue;
                    }
                    Err(error) => return Poll::Ready(Err(error.into())),
                }
                if small && matches!(flush, Flush::Never) {
                    return Poll::Ready(Ok(()));
                }
            }
            self.poll_flush(cx, &mut waiter, |_| false)
        })
    }

    fn poll_flush(
        &self,
        cx: &mut Context<'_>,
        waiter: &mut Waiter<R>,
        enough: impl Fn(&Out<T, R>) -> bool,
    ) -> Poll<Result<(), Error>> {
        let polled = self.poll_written(cx, waiter, enough);
        if polled.is_ready() {
            waiter.place = None;
        }
        polled
    }

    fn poll_written(
        &self,
        cx: &mut Context<'_>,
        waiter: &mut Waiter<R>,
        enough: impl Fn(&Out<T, R>) -> bool,
    ) -> Poll<Result<(), Error>> {
        let wakers = &self.shared.wakers;
        // Before the transport is asked, whose answer may come at once.
        let mut listens = true;
        drop(waiter.listen(wakers, cx.waker()));
        let mut out = self.shared.lock();
        loop {
            let was_broken = out.broken_since().is_some();
            let unwritten = out.tx.wants_write();
            let closing = out.tx.is_closing() && unwritten;
            let drained = out.poll_drain(&mut Context::from_waker(&self.shared.waker));
            // The receiver must hear of a Close that was written, and of a failure.
            let news = (closing && !out.tx.wants_write()) || out.broken_since().is_some() != was_broken;
            if news {
                wakers.wake_all();
                listens = false;
            }
            self.shared.tell_written(&out, unwritten, 1);
            match drained {
                Poll::Ready(result) => return Poll::Ready(written(result.is_ok())),
                Poll::Pending if enough(&out) => return Poll::Ready(Ok(())),
                Poll::Pending => {}
            }
            if !listens {
                // And looks again: whoever was to be woken meanwhile, this one was not. It has left no waker there.
                drop(waiter.listen(wakers, cx.waker()));
                listens = true;
                continue;
            }
            out.watch_for_stall();
            if !waiter.timer.poll_due(cx, out.clock, out.tx.poll_timeout()) {
                return Poll::Pending;
            }
            let now = out.clock.now();
            if out.tx.poll_timeout().is_some_and(|at| now >= at) {
                out.tx.handle_timeout(now);
                wakers.wake_all();
                return Poll::Ready(Err(Error::Closed));
            }
        }
    }

    /// For `Sink`: waits until a message can be queued.
    pub(crate) fn poll_sink(&mut self, cx: &mut Context<'_>, all: bool) -> Poll<Result<(), Error>> {
        let mut sink = mem::take(&mut self.sink);
        let result = {
            let out = self.shared.lock();
            if !all && out.tx.buffered() <= FLUSH_AT && has_room(&out) {
                Some(written(out.broken_since().is_none()))
            } else {
                None
            }
        };
        let result = match result {
            Some(result) => {
                sink.place = None;
                Poll::Ready(result)
            }
            None => self.poll_flush(cx, &mut sink, |out| !all && has_room(out)),
        };
        self.sink = sink;
        result
    }
}

impl<T, R: Runtime> Sender<T, R> {
    /// The core's half that sends.
    pub(crate) fn half<U>(&self, f: impl FnOnce(&mut Half) -> U) -> U {
        let mut out = self.shared.lock();
        out.used = true;
        f(&mut out.tx)
    }

    /// Queues a message without waiting; it goes out with the next `flush` or `send` of any sender, or when the
    /// receiver waits anew.
    ///
    /// # Errors
    /// [`SendError::Full`] with the message if more than `Limits::outgoing` is queued, and the other kinds of
    /// [`SendError`].
    pub fn try_send<M: IntoMessage>(&self, message: M) -> Result<(), SendError<M>> {
        self.half(|tx| tx.send(message))
    }

    /// As [`Sender::try_send`], for a message that was encoded once for many connections.
    ///
    /// # Errors
    /// As [`Sender::try_send`].
    pub fn try_send_prepared(&self, message: &Prepared) -> Result<(), SendError> {
        self.half(|tx| tx.send_prepared(message))
    }

    /// Queues a Close without waiting; the [`Receiver`] does the rest.
    ///
    /// # Errors
    /// As [`Sender::close`].
    pub fn start_close(&self, code: impl Into<CloseCode>, reason: &str) -> Result<(), CloseError> {
        {
            let mut out = self.shared.lock();
            let now = out.clock.now();
            out.tx.close(now, code, reason)?;
        }
        self.shared.wakers.wake_all();
        Ok(())
    }

    /// Ends the connection at once, without a closing handshake, and drops the transport.
    pub fn abort(&self) {
        self.shared.lock().io = None;
        self.shared.wakers.wake_all();
    }

    /// Whether nothing more can be sent: a Close was sent or received, or the connection has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        let out = self.shared.lock();
        out.io.is_none() || out.broken_since().is_some() || out.tx.is_closing()
    }

    /// Bytes of messages that are queued and not written.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.shared.lock().tx.buffered()
    }

    /// What the opening handshake agreed on.
    #[must_use]
    pub fn negotiated(&self) -> &Negotiated {
        &self.shared.negotiated
    }
}

impl<T, R: Runtime> Clone for Sender<T, R> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), sink: Waiter::default() }
    }
}

impl<T, R: Runtime> fmt::Debug for Receiver<T, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("closed", &self.inn.closed).finish_non_exhaustive()
    }
}

impl<T, R: Runtime> fmt::Debug for Sender<T, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("closed", &self.is_closed()).finish_non_exhaustive()
    }
}
