//! The wake-up of a thread.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Wake;

use crate::bell::Bell;

const IDLE: u8 = 0;
/// The thread waits in `poll(2)`, or is about to.
const WAITING: u8 = 1;
const WOKEN: u8 = 2;

/// A thread's signal; what its wakers wake.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    state: AtomicU8,
    /// Made when the thread first waits while somebody else may wake it, as soon as the system has a descriptor for it.
    bell: OnceLock<Bell>,
}

impl Signal {
    /// Whether the thread was woken since the last time. It stays so.
    pub(crate) fn is_woken(&self) -> bool {
        self.state.load(Ordering::Acquire) == WOKEN
    }

    /// Whether the thread was woken since the last time.
    pub(crate) fn take(&self) -> bool {
        self.state.load(Ordering::Relaxed) != IDLE && self.state.swap(IDLE, Ordering::AcqRel) == WOKEN
    }

    /// The thread is going to wait, listening to [`Signal::bell`]. False if it was woken already.
    pub(crate) fn start_waiting(&self) -> bool {
        // Who finds the thread waiting must find its bell, too.
        if self.bell.get().is_none()
            && let Ok(bell) = Bell::new()
        {
            let _ = self.bell.set(bell);
        }
        let waits = self.state.compare_exchange(IDLE, WAITING, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if !waits {
            self.state.swap(IDLE, Ordering::AcqRel);
        }
        waits
    }

    /// The thread has stopped waiting. Whoever woke it has been noticed, as it is going to look at everything.
    ///
    /// A bell that is rung only after this is heard in the next wait, which then is short.
    pub(crate) fn stop_waiting(&self) {
        self.state.swap(IDLE, Ordering::AcqRel);
    }

    /// `None`: nobody can ring in this wait.
    pub(crate) fn bell(&self) -> Option<&Bell> {
        self.bell.get()
    }

    pub(crate) fn notify(&self) {
        if self.state.swap(WOKEN, Ordering::AcqRel) == WAITING
            && let Some(bell) = self.bell.get()
        {
            bell.ring();
        }
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.notify();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.notify();
    }
}
