//! The way out: the transport and the sending half that feeds it.

use std::io::{self, ErrorKind, IoSlice};
use std::task::{Context, Poll, Waker, ready};

use ws_proto::connection::Sender as Half;
use ws_proto::{CloseCode, Instant, Role};

use crate::clock::Clock;
use crate::pool;
use crate::runtime::{Runtime, Transfer};

/// Above this many queued bytes a message is not held back for those that follow it.
pub(crate) const FLUSH_AT: usize = 32 * 1024;
/// Slices of one vectored write.
const SLICES: usize = 32;
/// How often a call is repeated at once that the transport says was interrupted.
const INTERRUPTIONS: usize = 16;

/// The transport, and what is queued for it. In a split connection the two halves share it.
#[derive(Debug)]
pub(crate) struct Out<T, R: Runtime> {
    /// `None` once the connection has ended.
    pub(crate) io: Option<T>,
    pub(crate) tx: Half,
    pub(crate) clock: Clock<R>,
    /// Why nothing can be written any more, and since when.
    failure: Option<(io::Error, Instant)>,
    /// Something was queued or received since memory was last released.
    pub(crate) used: bool,
    /// The transport may keep what was written, be it the end of the handshake.
    unflushed: bool,
    shut: bool,
    last_words: fn(&mut Self),
}

/// The transport takes nothing more. What has arrived can still be read.
#[derive(Debug)]
pub(crate) struct Broken;

impl<T, R: Transfer<T>> Out<T, R> {
    pub(crate) fn new(io: T, tx: Half, role: Role, clock: Clock<R>) -> Self {
        let last_words = match role {
            Role::Server => say_internal_error::<T, R>,
            Role::Client => |_: &mut Self| {},
        };
        Self { io: Some(io), tx, clock, failure: None, used: true, unflushed: true, shut: false, last_words }
    }

    /// Reads into `buffer`; 0 is the end of the stream.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let Some(io) = &mut self.io else { return Poll::Ready(Err(ErrorKind::NotConnected.into())) };
        for _ in 0..INTERRUPTIONS {
            let room = buffer.len();
            match ready!(R::poll_read(io, cx, buffer)) {
                Ok(n) => return Poll::Ready(checked(n, room)),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) => return Poll::Ready(Err(e)),
            }
        }
        again(cx)
    }

    /// Writes until nothing is queued and the transport has flushed.
    pub(crate) fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        if self.failure.is_some() || self.io.is_none() {
            return Poll::Ready(Err(Broken));
        }
        match ready!(self.poll_drain_io(cx)) {
            Ok(()) => Poll::Ready(Ok(())),
            Err(error) => {
                self.failure = Some((error, self.clock.now()));
                Poll::Ready(Err(Broken))
            }
        }
    }

    #[inline]
    fn poll_drain_io(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.tx.wants_write() {
            let n = ready!(self.poll_write(cx))?;
            self.unflushed = true;
            self.tx.advance_reclaiming(n, &mut pool::reclaim);
        }
        if self.unflushed {
            if let Some(io) = &mut self.io {
                for _ in 0..INTERRUPTIONS {
                    match ready!(R::poll_flush(io, cx)) {
                        Ok(()) => {
                            self.unflushed = false;
                            self.tx.flushed();
                            return Poll::Ready(Ok(()));
                        }
                        Err(e) if e.kind() == ErrorKind::Interrupted => {}
                        Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                        Err(e) => return Poll::Ready(Err(e)),
                    }
                }
                return again(cx);
            }
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// One write; gives how much of [`Half::outgoing`] the transport took.
    #[inline]
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Some(io) = &mut self.io else { return Poll::Ready(Err(ErrorKind::NotConnected.into())) };
        let mut slices = [IoSlice::new(&[]); SLICES];
        let wanted = if R::is_write_vectored(io) { SLICES } else { 1 };
        let mut count = 0;
        let mut offered = 0;
        for (slot, bytes) in slices.iter_mut().take(wanted).zip(self.tx.outgoing()) {
            *slot = IoSlice::new(bytes);
            offered += bytes.len();
            count += 1;
        }
        let slices = slices.get(..count).unwrap_or_default();
        for _ in 0..INTERRUPTIONS {
            let result = match slices {
                [one] => ready!(R::poll_write(io, cx, one)),
                many => ready!(R::poll_write_vectored(io, cx, many)),
            };
            match result {
                Ok(0) => return Poll::Ready(Err(ErrorKind::WriteZero.into())),
                Ok(n) => return Poll::Ready(checked(n, offered)),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) => return Poll::Ready(Err(e)),
            }
        }
        again(cx)
    }

    /// Shuts down the writing side of the transport, once. Errors do not matter: it is being left anyway.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let (false, Some(io)) = (self.shut, &mut self.io) {
            let _ = ready!(R::poll_shutdown(io, cx));
            self.shut = true;
        }
        Poll::Ready(())
    }

    /// The connection is over: lets go of the transport; gives the error of the last write, if it failed.
    pub(crate) fn end(&mut self, cx: &mut Context<'_>, politely: bool) -> Option<io::Error> {
        let error = self.failure.take().map(|(error, _)| error);
        if politely && error.is_none() {
            let _ = self.poll_shutdown(cx);
        }
        self.io = None;
        error
    }
}

impl<T, R: Runtime> Out<T, R> {
    /// The transport takes nothing: starts the clock for that, if it does not run. Whether it has run out is for a
    /// timer to tell.
    pub(crate) fn watch_for_stall(&mut self) {
        self.tx.flushing(self.clock.now());
    }

    /// In a panic: tells the peer of a server, as far as that takes no waiting.
    pub(crate) fn say_why(&mut self) {
        if std::thread::panicking() && self.io.is_some() {
            (self.last_words)(self);
        }
    }

    /// Since when nothing can be written any more.
    pub(crate) fn broken_since(&self) -> Option<Instant> {
        self.failure.as_ref().map(|(_, since)| *since)
    }
}

/// A count from the transport is believed only if it is possible.
fn checked(n: usize, most: usize) -> io::Result<usize> {
    if n <= most {
        return Ok(n);
    }
    Err(io::Error::new(ErrorKind::InvalidData, "the transport reported more bytes than it was given"))
}

/// The transport asks to be tried again, and will not say when.
fn again<R>(cx: &Context<'_>) -> Poll<R> {
    cx.waker().wake_by_ref();
    Poll::Pending
}

/// The task panics: the peer of a server is told, as far as that takes no waiting.
fn say_internal_error<T, R: Transfer<T>>(out: &mut Out<T, R>) {
    let cx = &mut Context::from_waker(Waker::noop());
    let now = out.clock.now();
    if out.failure.is_none() && out.tx.close(now, CloseCode::INTERNAL_ERROR, "internal error").is_ok() {
        let _ = out.poll_drain(cx);
        let _ = out.poll_shutdown(cx);
    }
}

impl<T, R: Runtime> Drop for Out<T, R> {
    fn drop(&mut self) {
        self.say_why();
    }
}
