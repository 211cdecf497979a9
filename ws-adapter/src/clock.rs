//! The runtime's clock as the core's, and the one timer of a connection.

use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use ws_proto::Instant;

use crate::runtime::Runtime;

/// How long a deadline that was found late is put off, so that the runtime gets to see what has arrived meanwhile.
const LATE: Duration = Duration::from_millis(2);

/// Maps the runtime's clock to the core's: nanoseconds since the connection began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock<R: Runtime> {
    origin: R::Origin,
}

impl<R: Runtime> Clock<R> {
    pub(crate) fn start() -> Self {
        Self { origin: R::origin() }
    }

    #[inline]
    pub(crate) fn now(self) -> Instant {
        Instant::from_duration(R::elapsed(self.origin))
    }
}

/// A timer that exists only once somebody waits, and is moved only if it would ring too late.
///
/// Deadlines mostly move later, with each byte that arrives. The timer then rings early, finds nothing due and is
/// set anew; so traffic costs no timer operations.
#[derive(Debug)]
pub(crate) struct Timer<R: Runtime> {
    sleep: Option<R::Sleep>,
    armed: Option<Instant>,
}

impl<R: Runtime> Default for Timer<R> {
    fn default() -> Self {
        Self { sleep: None, armed: None }
    }
}

impl<R: Runtime> Timer<R> {
    /// Whether `deadline` has passed; if not, `cx` is woken when it has.
    ///
    /// A deadline is due only after the timer rang for it. The runtime looks at sockets before it looks at timers,
    /// so that a program that was busy for long does not take unread input for silence.
    pub(crate) fn poll_due(&mut self, cx: &mut Context<'_>, clock: Clock<R>, deadline: Option<Instant>) -> bool {
        let Some(deadline) = deadline else { return false };
        loop {
            if self.armed.is_none_or(|armed| deadline < armed) && !self.arm(clock, deadline) {
                return false;
            }
            let (Some(sleep), Some(armed)) = (&mut self.sleep, self.armed) else { return false };
            match R::poll_timer(sleep, cx) {
                Poll::Pending => return false,
                Poll::Ready(()) => {
                    self.armed = None;
                    if deadline <= armed {
                        return true;
                    }
                }
            }
        }
    }

    fn arm(&mut self, clock: Clock<R>, deadline: Instant) -> bool {
        let soonest = clock.now().saturating_add(LATE);
        // Set already for as soon as it gets: do not put it off again and again.
        if self.armed.is_some_and(|armed| armed <= soonest) {
            return true;
        }
        let at = deadline.max(soonest);
        if !R::set_timer(&mut self.sleep, clock.origin, Duration::from_nanos(at.as_nanos())) {
            return false;
        }
        self.armed = Some(at);
        true
    }
}

/// A time to wait for, once.
#[derive(Debug)]
pub(crate) struct Pause<R: Runtime>(Option<R::Sleep>);

impl<R: Runtime> Pause<R> {
    /// Rings after this long; never, if that is further away than the clock can tell.
    pub(crate) fn new(length: Duration) -> Self {
        let mut pause = Self(None);
        pause.reset(length);
        pause
    }

    pub(crate) fn reset(&mut self, length: Duration) {
        if !R::set_timer(&mut self.0, R::origin(), length) {
            self.0 = None;
        }
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.0 {
            Some(sleep) => R::poll_timer(sleep, cx),
            None => Poll::Pending,
        }
    }
}

/// What `future` gives, or `None` if that takes longer.
pub(crate) async fn within<R: Runtime, F: Future>(limit: Option<Duration>, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut pause = limit.map(Pause::<R>::new);
    poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Some(output));
        }
        let Some(pause) = &mut pause else { return Poll::Pending };
        ready!(pause.poll(cx));
        Poll::Ready(None)
    })
    .await
}
