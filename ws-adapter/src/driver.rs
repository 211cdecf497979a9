//! Drives the core's handshake machines over a transport.

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::task::{Context, Poll, ready};

use ws_proto::connection::Shutdown;
use ws_proto::handshake::{ClientHandshake, ClientStep, ServerHandshake, Step};
use ws_proto::{Input, Instant};

use crate::clock::{Clock, Timer};
use crate::pool;
use crate::runtime::{Runtime, Transfer};

/// What the two machines have in common.
pub(crate) trait Machine {
    type Step: PartialEq;
    /// The step in which the machine waits for the peer.
    const WAITING: Self::Step;

    fn poll(&mut self, now: Instant, input: &mut Input<'_>) -> Self::Step;
    fn outgoing(&self) -> Option<&[u8]>;
    fn advance(&mut self, now: Instant, n: usize);
    fn wants_read(&self) -> bool;
    fn wants_shutdown(&self) -> Option<Shutdown>;
    fn eof(&mut self, now: Instant);
    fn transport_failed(&mut self, now: Instant);
    fn poll_timeout(&self) -> Option<Instant>;
    fn handle_timeout(&mut self, now: Instant);
}

macro_rules! machine {
    ($machine:ty, $step:ty, $waiting:expr) => {
        impl Machine for $machine {
            type Step = $step;
            const WAITING: $step = $waiting;

            fn poll(&mut self, now: Instant, input: &mut Input<'_>) -> $step {
                self.poll(now, input)
            }
            fn outgoing(&self) -> Option<&[u8]> {
                self.outgoing().next()
            }
            fn advance(&mut self, now: Instant, n: usize) {
                self.advance(now, n);
            }
            fn wants_read(&self) -> bool {
                self.wants_read()
            }
            fn wants_shutdown(&self) -> Option<Shutdown> {
                self.wants_shutdown()
            }
            fn eof(&mut self, now: Instant) {
                self.eof(now);
            }
            fn transport_failed(&mut self, now: Instant) {
                self.transport_failed(now);
            }
            fn poll_timeout(&self) -> Option<Instant> {
                self.poll_timeout()
            }
            fn handle_timeout(&mut self, now: Instant) {
                self.handle_timeout(now);
            }
        }
    };
}

machine!(ServerHandshake, Step, Step::NeedInput);
machine!(ClientHandshake, ClientStep, ClientStep::NeedInput);

/// A machine on its transport.
pub(crate) struct Driver<T, M, R: Runtime> {
    pub(crate) io: T,
    pub(crate) machine: M,
    pub(crate) clock: Clock<R>,
    /// What the transport reported when it failed.
    pub(crate) error: Option<io::Error>,
    timer: Timer<R>,
    unflushed: bool,
    shut: bool,
}

impl<T, M: Machine, R: Transfer<T>> Driver<T, M, R> {
    pub(crate) fn new(io: T, machine: M, clock: Clock<R>) -> Self {
        Self { io, machine, clock, error: None, timer: Timer::default(), unflushed: false, shut: false }
    }

    /// Runs until the machine waits for something else than the peer.
    pub(crate) async fn step(&mut self) -> M::Step {
        poll_fn(|cx| self.poll_step(cx)).await
    }

    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<M::Step> {
        loop {
            if let Poll::Ready(Err(error)) = self.poll_write(cx) {
                self.fail(error);
            }
            let step = self.machine.poll(self.clock.now(), &mut Input::empty());
            if step != M::WAITING {
                return Poll::Ready(step);
            }
            if self.poll_read(cx).is_ready() {
                continue;
            }
            ready!(self.poll_timer(cx));
        }
    }

    /// Writes the answer of a server that refused, waits for the client to leave, for a bounded time.
    pub(crate) async fn finish(&mut self) {
        poll_fn(|cx| self.poll_finish(cx)).await;
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match self.poll_write(cx) {
                Poll::Ready(Err(error)) => self.fail(error),
                Poll::Ready(Ok(())) if !self.shut && self.machine.wants_shutdown() == Some(Shutdown::Write) => {
                    self.shut = R::poll_shutdown(&mut self.io, cx).is_ready();
                }
                _ => {}
            }
            if self.machine.wants_shutdown() == Some(Shutdown::Both) {
                return Poll::Ready(());
            }
            if self.machine.wants_read() && self.poll_read(cx).is_ready() {
                continue;
            }
            ready!(self.poll_timer(cx));
        }
    }

    /// Runs `future` while the machine's deadline is watched; `None` if that comes first.
    pub(crate) async fn decide<F: Future>(&mut self, future: F) -> Option<F::Output> {
        let mut future = std::pin::pin!(future);
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => {
                ready!(self.poll_timer(cx));
                Poll::Ready(None)
            }
        })
        .await
    }

    fn fail(&mut self, error: io::Error) {
        self.error.get_or_insert(error);
        self.machine.transport_failed(self.clock.now());
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.timer.poll_due(cx, self.clock, self.machine.poll_timeout()) {
            self.machine.handle_timeout(self.clock.now());
            return Poll::Ready(());
        }
        Poll::Pending
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(bytes) = self.machine.outgoing() {
            let offered = bytes.len();
            match ready!(R::poll_write(&mut self.io, cx, bytes)) {
                Ok(0) => return Poll::Ready(Err(ErrorKind::WriteZero.into())),
                Ok(n) if n > offered => return Poll::Ready(Err(ErrorKind::InvalidData.into())),
                Ok(n) => {
                    self.machine.advance(self.clock.now(), n);
                    self.unflushed = true;
                }
                Err(e) => ready!(retry(e, cx))?,
            }
        }
        while self.unflushed {
            match ready!(R::poll_flush(&mut self.io, cx)) {
                Ok(()) => self.unflushed = false,
                Err(e) => ready!(retry(e, cx))?,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Feeds the machine; ready if it may have changed its mind.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut buffer = pool::take();
        let result = R::poll_read(&mut self.io, cx, &mut buffer);
        let polled = match result {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(0)) => {
                self.machine.eof(self.clock.now());
                Poll::Ready(())
            }
            Poll::Ready(Ok(n)) => {
                match buffer.get_mut(..n) {
                    Some(bytes) => drop(self.machine.poll(self.clock.now(), &mut Input::new(bytes))),
                    None => self.fail(ErrorKind::InvalidData.into()),
                }
                Poll::Ready(())
            }
            Poll::Ready(Err(e)) => match retry(e, cx) {
                Poll::Ready(Err(error)) => {
                    self.fail(error);
                    Poll::Ready(())
                }
                _ => Poll::Pending,
            },
        };
        pool::give(buffer);
        polled
    }
}

/// An error that means "try again" becomes a wake-up.
fn retry(error: io::Error, cx: &Context<'_>) -> Poll<io::Result<()>> {
    if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) {
        cx.waker().wake_by_ref();
        return Poll::Pending;
    }
    Poll::Ready(Err(error))
}
