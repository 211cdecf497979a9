//! tokio's clock as the core's, and the one timer of a connection.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant as TokioInstant, Sleep};
use ws_proto::Instant;

/// How long a deadline that was found late is put off, so that the runtime gets to see what has arrived meanwhile.
const LATE: Duration = Duration::from_millis(2);

/// Maps tokio's clock to the core's: nanoseconds since the connection began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: TokioInstant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { origin: TokioInstant::now() }
    }

    pub(crate) fn now(self) -> Instant {
        Instant::from_duration(self.origin.elapsed())
    }

    /// `None` if the instant is beyond what the clock can tell.
    fn to_tokio(self, at: Instant) -> Option<TokioInstant> {
        self.origin.checked_add(Duration::from_nanos(at.as_nanos()))
    }
}

/// A timer that exists only once somebody waits, and is moved only if it would ring too late.
///
/// Deadlines mostly move later, with each byte that arrives. The timer then rings early, finds nothing due and is
/// set anew; so traffic costs no timer operations.
#[derive(Debug, Default)]
pub(crate) struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
    armed: Option<Instant>,
}

impl Timer {
    /// Whether `deadline` has passed; if not, `cx` is woken when it has.
    ///
    /// A deadline is due only after the timer rang for it. The runtime looks at sockets before it looks at timers,
    /// so that a program that was busy for long does not take unread input for silence.
    pub(crate) fn poll_due(&mut self, cx: &mut Context<'_>, clock: Clock, deadline: Option<Instant>) -> bool {
        let Some(deadline) = deadline else { return false };
        loop {
            if self.armed.is_none_or(|armed| deadline < armed) && !self.arm(clock, deadline) {
                return false;
            }
            let (Some(sleep), Some(armed)) = (&mut self.sleep, self.armed) else { return false };
            match sleep.as_mut().poll(cx) {
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

    fn arm(&mut self, clock: Clock, deadline: Instant) -> bool {
        let soonest = clock.now().saturating_add(LATE);
        // Set already for as soon as it gets: do not put it off again and again.
        if self.armed.is_some_and(|armed| armed <= soonest) {
            return true;
        }
        let at = deadline.max(soonest);
        let Some(when) = clock.to_tokio(at) else { return false };
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().reset(when),
            None => self.sleep = Some(Box::pin(tokio::time::sleep_until(when))),
        }
        self.armed = Some(at);
        true
    }
}
