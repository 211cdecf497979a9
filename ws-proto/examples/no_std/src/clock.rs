//! From a counter that begins anew every seven weeks to the clock of the core, which never does.

use core::time::Duration;

use ws_proto::Instant;

/// Adds up what a counter of milliseconds advances.
#[derive(Debug)]
pub(crate) struct Clock {
    counter: u32,
    elapsed: Duration,
}

impl Clock {
    /// Begins to count.
    pub(crate) fn new(counter: u32) -> Self {
        Self { counter, elapsed: Duration::ZERO }
    }

    /// The time, given the counter. It must be asked more often than the counter begins anew.
    pub(crate) fn now(&mut self, counter: u32) -> Instant {
        let passed = counter.wrapping_sub(self.counter);
        self.counter = counter;
        self.elapsed = self.elapsed.saturating_add(Duration::from_millis(passed.into()));
        Instant::from_duration(self.elapsed)
    }
}
