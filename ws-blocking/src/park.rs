//! Futures on the calling thread, which waits for what they wait for.
//!
//! While a future is polled, the sockets and timers that it finds not ready are noted here, in the thread. When the
//! future is pending, the thread waits in `poll(2)` for exactly these. Everything else reaches the thread by its
//! waker.

use std::cell::{Cell, RefCell};
use std::io;
#[cfg(feature = "tls-core")]
use std::mem;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::signal::Signal;
use crate::socket::{Ahead, Socket};
use crate::wait::{Interrupted, Wait};

/// Holders of a thread's signal when nobody else can wake it: the parker, and its waker.
const OWN: usize = 2;
/// How long a thread waits before it gives back memory that it uses to read.
pub(crate) const IDLE: Duration = Duration::from_millis(256);
/// How often to look again when the system has no descriptor left that others could ring, or `poll(2)` fails.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

thread_local! {
    static PARKER: Rc<Parker> = Rc::new(Parker::new());
}

/// Something with a descriptor that can be waited for.
pub(crate) trait Source: Send + Sync {
    fn fd(&self) -> BorrowedFd<'_>;

    /// The socket that can be waited for by reading from it.
    fn socket(self: Arc<Self>) -> Option<Arc<Socket>> {
        None
    }
}

macro_rules! source {
    ($($type:ty),*) => {$(
        impl Source for $type {
            fn fd(&self) -> BorrowedFd<'_> {
                self.as_fd()
            }
        }
    )*};
}

source!(OwnedFd, TcpListener, UnixListener);

/// What a future waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    Read,
    Write,
}

struct Wanted {
    source: Arc<dyn Source>,
    flags: PollFlags,
}

struct Parker {
    signal: Arc<Signal>,
    waker: Waker,
    /// Calls of `block_on` that are going on, one within another.
    depth: Cell<usize>,
    /// When the thread last stopped waiting, as far as a timer was set.
    looked: Cell<Option<Instant>>,
    /// It has stopped waiting since; the next look at the clock tells when.
    looks: Cell<bool>,
    /// The last look at the clock, if it was in this poll of the future.
    now: Cell<Option<Instant>>,
    wanted: RefCell<Vec<Wanted>>,
    deadline: Cell<Option<Instant>>,
    /// It may hold memory: a future was polled since that was given back.
    warm: Cell<bool>,
    ahead: RefCell<Ahead>,
    /// For single calls.
    scratch: RefCell<Vec<u8>>,
}

/// Runs `future` on the calling thread until it is ready or `wait` ends it.
///
/// When the future is pending the thread waits for the sockets and timers of this crate that the future found not
/// ready, and for its waker. It may be called within a future that is itself run by `block_on`.
///
/// Futures that belong to another runtime can't be run here, unless they only use the waker.
///
/// # Errors
/// [`Interrupted`]; the future is dropped then. It has been polled at least once if the token was not cancelled before,
/// and at the deadline it has seen what had arrived by then.
pub fn block_on<F: Future>(future: F, wait: &Wait) -> Result<F::Output, Interrupted> {
    let future = pin!(future);
    match PARKER.try_with(Rc::clone) {
        Ok(parker) => parker.run(future, wait),
        // The thread is ending, and has no place any more where things could be noted.
        Err(_) => look_now_and_then(future, wait),
    }
}

fn look_now_and_then<F: Future>(mut future: Pin<&mut F>, wait: &Wait) -> Result<F::Output, Interrupted> {
    let limit = wait.limit();
    loop {
        if wait.is_cancelled() {
            return Err(Interrupted::Cancelled);
        }
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return Ok(output);
        }
        if limit.is_some_and(|limit| Instant::now() >= limit) {
            return Err(Interrupted::Deadline);
        }
        thread::sleep(LOOK_AGAIN);
    }
}

impl Parker {
    fn new() -> Self {
        let signal = Arc::new(Signal::default());
        Self {
            waker: Waker::from(signal.clone()),
            signal,
            depth: Cell::new(0),
            looked: Cell::new(None),
            looks: Cell::new(false),
            now: Cell::new(None),
            wanted: RefCell::default(),
            deadline: Cell::new(None),
            warm: Cell::new(false),
            ahead: RefCell::default(),
            scratch: RefCell::default(),
        }
    }

    fn run<F: Future>(&self, mut future: Pin<&mut F>, wait: &Wait) -> Result<F::Output, Interrupted> {
        if wait.is_cancelled() {
            return Err(Interrupted::Cancelled);
        }
        let stay = Stay::begin(self);
        let cx = &mut Context::from_waker(&self.waker);
        let mut limit = None;
        let mut expired = false;
        loop {
            self.now.set(None);
            self.warm.set(true);
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Ok(output);
            }
            if wait.is_cancelled() {
                return Err(Interrupted::Cancelled);
            }
            if expired {
                return Err(Interrupted::Deadline);
            }
            self.ahead.borrow_mut().put_back();
            let limit = *limit.get_or_insert_with(|| wait.limit());
            self.wait(limit, wait);
            stay.forget();
            // What has arrived by now is looked at once more.
            expired = limit.is_some_and(|limit| Instant::now() >= limit);
        }
    }

    /// Waits until something of what was noted has happened, or `limit`, or a token is cancelled. May end early.
    fn wait(&self, limit: Option<Instant>, wait: &Wait) {
        let until = self.deadline.get().into_iter().chain(limit).min();
        let alone = Arc::strong_count(&self.signal) == OWN;
        // Whoever let go of a waker before that count was taken has woken it before.
        fence(Ordering::Acquire);
        if (alone || wait.is_patient())
            && wait.may_read()
            && !self.signal.is_woken()
            && let Some(socket) = self.only_socket()
            && self.ahead.borrow_mut().fill(socket, until.map(|until| (until, self.now.get())))
        {
            self.looks.set(until.is_some());
        } else if alone && !self.signal.take() {
            self.poll(until, wait, false);
        } else if !alone && self.signal.start_waiting() {
            self.poll(until, wait, true);
            self.signal.stop_waiting();
        } else if let Some(until) = until
            && until <= Instant::now()
        {
            // Woken already. A timer that is due must ring all the same, after a look at the sockets.
            self.poll(Some(until), wait, false);
        }
    }

    /// The socket that is all that the thread waits for, and waits to read from.
    fn only_socket(&self) -> Option<Arc<Socket>> {
        match self.wanted.borrow().as_slice() {
            [one] if one.flags == PollFlags::IN => one.source.clone().socket(),
            _ => None,
        }
    }

    fn poll(&self, until: Option<Instant>, wait: &Wait, listen: bool) {
        let wanted = self.wanted.borrow();
        let own_bell = if listen { self.signal.bell() } else { None };
        // One that could not be made: nobody can ring.
        let mut deaf = listen && own_bell.is_none();
        let mut set = Vec::with_capacity(wanted.len() + 3);
        set.extend(own_bell.map(|bell| PollFd::new(bell, PollFlags::IN)));
        for token in wait.tokens() {
            let bell = token.bell();
            deaf |= bell.is_none();
            set.extend(bell.map(|bell| PollFd::new(bell, PollFlags::IN)));
        }
        // After their bells were made, so that one or the other tells.
        if wait.is_cancelled() {
            return;
        }
        set.extend(wanted.iter().map(|one| PollFd::from_borrowed_fd(one.source.fd(), one.flags)));
        if self.poll_set(&mut set, until, deaf)
            && let (Some(bell), Some(first)) = (own_bell, set.first())
            && !first.revents().is_empty()
        {
            bell.quiet();
        }
        self.looks.set(until.is_some());
    }

    /// Whether something is ready. A thread that has nothing to do for long gives its memory back.
    fn poll_set(&self, set: &mut [PollFd<'_>], until: Option<Instant>, deaf: bool) -> bool {
        loop {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            let warm = self.warm.get();
            let most = match (deaf, warm) {
                (true, _) => Some(LOOK_AGAIN),
                (false, true) => Some(IDLE),
                (false, false) => None,
            };
            let timeout = left.into_iter().chain(most).min();
            // One that does not fit is as good as none.
            let timespec = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
            match poll(set, timespec.as_ref()) {
                Ok(0) if !deaf && warm && timeout != left => self.release_memory(),
                Ok(n) => return n > 0,
                Err(Errno::INTR) => return false,
                Err(_) => {
                    // No memory for the call, or more descriptors than a process may have.
                    thread::sleep(LOOK_AGAIN);
                    return false;
                }
            }
        }
    }

    fn release_memory(&self) {
        self.warm.set(false);
        ws_adapter::release_thread_memory();
        self.ahead.borrow_mut().release_memory();
        *self.scratch.borrow_mut() = Vec::new();
    }

    /// The clock; one look serves many.
    fn look_at_clock(&self) -> Instant {
        let now = Instant::now();
        self.now.set(Some(now));
        if self.looks.take() {
            self.looked.set(Some(now));
        }
        now
    }

    fn note(&self, source: Arc<dyn Source>, interest: Interest) {
        if self.depth.get() == 0 {
            return;
        }
        let flag = match interest {
            Interest::Read => PollFlags::IN,
            Interest::Write => PollFlags::OUT,
        };
        let mut wanted = self.wanted.borrow_mut();
        let known = wanted.iter_mut().find(|one| Arc::as_ptr(&one.source).addr() == Arc::as_ptr(&source).addr());
        match known {
            Some(known) => known.flags |= flag,
            None => wanted.push(Wanted { source, flags: flag }),
        }
    }
}

/// A call of `block_on`. What was noted in it is forgotten at its end, also if that is a panic.
struct Stay<'p> {
    parker: &'p Parker,
}

impl<'p> Stay<'p> {
    fn begin(parker: &'p Parker) -> Self {
        let depth = parker.depth.get();
        parker.depth.set(depth + 1);
        if depth == 0 {
            // The future has not been polled yet: this was meant for another one.
            parker.signal.take();
        }
        let stay = Self { parker };
        stay.forget_all();
        stay
    }

    /// Forgets what the future waited for: it notes that again where it still waits.
    fn forget(&self) {
        self.parker.wanted.borrow_mut().clear();
        self.parker.deadline.set(None);
    }

    fn forget_all(&self) {
        self.parker.ahead.borrow_mut().put_back();
        self.forget();
    }
}

impl Drop for Stay<'_> {
    fn drop(&mut self) {
        self.forget_all();
        let depth = self.parker.depth.get() - 1;
        self.parker.depth.set(depth);
        if depth > 0 {
            // What the outer future waited for is forgotten, and its wake-ups may have been taken here.
            self.parker.signal.notify();
        }
    }
}

fn with_parker<R>(f: impl FnOnce(&Parker) -> R) -> Option<R> {
    PARKER.try_with(|parker| f(parker)).ok()
}

/// Notes that the future that is polled waits for `source`. Without a `block_on` on this thread it does nothing.
pub(crate) fn note(source: Arc<dyn Source>, interest: Interest) {
    with_parker(|parker| parker.note(source, interest));
}

/// The time. What was waited for before is over by then, as far as [`poll_deadline`] is concerned.
pub(crate) fn now() -> Instant {
    with_parker(Parker::look_at_clock).unwrap_or_else(Instant::now)
}

/// Ready once the thread has waited until `at`, or beyond: so what arrived until then was looked at first.
///
/// A program that was busy for long does not take unread input for silence.
pub(crate) fn poll_deadline(at: Instant) -> Poll<()> {
    let ready = with_parker(|parker| {
        if parker.looks.get() {
            parker.look_at_clock();
        }
        let ready = parker.looked.get().is_some_and(|looked| looked >= at);
        if !ready && parker.depth.get() > 0 {
            parker.deadline.set(parker.deadline.get().into_iter().chain([at]).min());
        }
        ready
    });
    // A thread that is ending notes nothing.
    if ready.unwrap_or_else(|| Instant::now() >= at) { Poll::Ready(()) } else { Poll::Pending }
}

/// What this thread has read from the socket while it waited for it.
pub(crate) fn take_ahead(socket: &Socket, buffer: &mut [u8]) -> Option<io::Result<usize>> {
    with_parker(|parker| parker.ahead.borrow_mut().take(socket, buffer)).flatten()
}

/// Memory that a thread uses for single calls, such as decrypting what it has read.
#[cfg(feature = "tls-core")]
pub(crate) fn with_scratch<R>(size: usize, f: impl FnOnce(&mut [u8]) -> R) -> R {
    let mut scratch = with_parker(|parker| mem::take(&mut *parker.scratch.borrow_mut())).unwrap_or_default();
    if scratch.len() < size {
        scratch.resize(size, 0);
    }
    let result = f(&mut scratch);
    with_parker(|parker| *parker.scratch.borrow_mut() = scratch);
    result
}
