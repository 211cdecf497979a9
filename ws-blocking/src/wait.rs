//! How long a call may wait.

use std::borrow::Cow;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::bell::Bell;

/// How long a call may wait, and what ends it early. By default it waits for as long as it takes.
///
/// A call that is ended by this says [`Interrupted`]. It has lost nothing: the next call goes on where it stopped.
///
/// ```
/// use std::time::Duration;
/// use ws_blocking::{CancelToken, Wait};
///
/// let token = CancelToken::new();
/// let wait = Wait::new().timeout(Duration::from_secs(5)).cancel(&token);
/// # drop(wait);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Wait {
    deadline: Option<Instant>,
    timeout: Option<Duration>,
    token: Option<CancelToken>,
    /// Of the server that the connection belongs to.
    cut: Option<CancelToken>,
    /// Of a connection in two halves.
    halves: bool,
}

impl Wait {
    /// Waits for as long as it takes.
    #[must_use]
    pub const fn new() -> Self {
        Self { deadline: None, timeout: None, token: None, cut: None, halves: false }
    }

    /// No call waits beyond this instant. Default: none.
    #[must_use]
    pub fn deadline(mut self, at: Instant) -> Self {
        self.deadline = Some(at);
        self
    }

    /// No call waits longer than this; the time of each call begins anew. Default: none.
    ///
    /// With zero a call does what it can without waiting.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// A call ends when the token is cancelled. Default: no token.
    ///
    /// A call that may wait for a token takes one more system call each time it waits.
    #[must_use]
    pub fn cancel(mut self, token: &CancelToken) -> Self {
        self.token = Some(token.clone());
        self
    }

    /// When a call that begins now must end. `None` also if that is further away than the clock can tell.
    pub(crate) fn limit(&self) -> Option<Instant> {
        let timeout = self.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        self.deadline.into_iter().chain(timeout).min()
    }

    /// The same for all parts of a call that begins now.
    pub(crate) fn of_call(&self) -> Cow<'_, Self> {
        if self.timeout.is_none() {
            return Cow::Borrowed(self);
        }
        Cow::Owned(Self { deadline: self.limit(), timeout: None, ..self.clone() })
    }

    /// The tokens, in a row.
    pub(crate) fn tokens(&self) -> impl Iterator<Item = &CancelToken> + Clone {
        self.token.iter().chain(&self.cut)
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.tokens().any(CancelToken::is_cancelled)
    }

    /// Takes what the program wants, and keeps what the server wants.
    pub(crate) fn set(&mut self, wait: Self) {
        *self = Self { cut: self.cut.take(), halves: self.halves, ..wait };
    }

    pub(crate) fn set_cut(&mut self, token: &CancelToken) {
        self.cut = Some(token.clone());
    }

    /// Whether the thread may learn a little later that it is woken: only its server could have a reason to, and a
    /// connection on which something happens has an occasion to look.
    pub(crate) fn is_patient(&self) -> bool {
        self.cut.is_some() && !self.halves
    }

    /// Whether the thread may wait in a call that only its socket and the clock end.
    pub(crate) fn may_read(&self) -> bool {
        self.token.is_none() && (self.cut.is_none() || self.is_patient())
    }

    /// Of a connection in two halves, which have something to tell each other.
    pub(crate) fn of_halves(mut self) -> Self {
        self.halves = true;
        self
    }

    /// Whether the server has cut the connection off.
    pub(crate) fn is_cut(&self) -> bool {
        self.cut.as_ref().is_some_and(CancelToken::is_cancelled)
    }
}

/// As [`Wait::timeout`].
impl From<Duration> for Wait {
    fn from(timeout: Duration) -> Self {
        Self::new().timeout(timeout)
    }
}

/// As [`Wait::deadline`].
impl From<Instant> for Wait {
    fn from(at: Instant) -> Self {
        Self::new().deadline(at)
    }
}

/// As [`Wait::cancel`].
impl From<&CancelToken> for Wait {
    fn from(token: &CancelToken) -> Self {
        Self::new().cancel(token)
    }
}

/// Why a call returned before it was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Interrupted {
    /// The deadline or the timeout of its [`Wait`] has passed.
    Deadline,
    /// Its [`CancelToken`] was cancelled.
    Cancelled,
}

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deadline => "the time to wait has passed",
            Self::Cancelled => "the call was cancelled",
        })
    }
}

impl std::error::Error for Interrupted {}

/// Of the kind `TimedOut`, or `Other` if it was cancelled: std's loops over [`Read`](std::io::Read) and
/// [`Write`](std::io::Write) would repeat a call that fails with the kind `Interrupted`.
impl From<Interrupted> for std::io::Error {
    fn from(interrupted: Interrupted) -> Self {
        let kind = match interrupted {
            Interrupted::Deadline => std::io::ErrorKind::TimedOut,
            Interrupted::Cancelled => std::io::ErrorKind::Other,
        };
        Self::new(kind, interrupted)
    }
}

/// Ends calls that wait, from any thread. Clones are the same token.
///
/// Once cancelled it stays so: calls that begin later end at once. It takes a descriptor as soon as a call waits for
/// it, one for all clones and all threads.
///
/// ```
/// use std::thread;
/// use ws_blocking::{CancelToken, Interrupted, Wait, block_on};
///
/// let token = CancelToken::new();
/// let wait = Wait::from(&token);
/// let waiting = thread::spawn(move || block_on(std::future::pending::<()>(), &wait));
/// token.cancel();
/// assert_eq!(waiting.join().unwrap(), Err(Interrupted::Cancelled));
/// ```
#[derive(Clone, Debug, Default)]
pub struct CancelToken {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    cancelled: AtomicBool,
    /// Rings from the cancelling on, for all who listen. Made as soon as the system has a descriptor for it.
    bell: OnceLock<Bell>,
}

impl CancelToken {
    /// A token that is not cancelled.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends all calls that wait with this token, now and later.
    pub fn cancel(&self) {
        self.shared.cancelled.store(true, Ordering::Release);
        // Either the flag is seen by who makes the bell, or the bell is seen here.
        fence(Ordering::SeqCst);
        if let Some(bell) = self.shared.bell.get() {
            bell.ring();
        }
    }

    /// Whether [`CancelToken::cancel`] was called.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.shared.cancelled.load(Ordering::Acquire)
    }

    /// What to wait for. Whether the token is cancelled must be looked at after this.
    pub(crate) fn bell(&self) -> Option<&Bell> {
        if self.shared.bell.get().is_none()
            && let Ok(bell) = Bell::new()
        {
            // Another thread may have made one meanwhile.
            let _ = self.shared.bell.set(bell);
        }
        fence(Ordering::SeqCst);
        self.shared.bell.get()
    }
}
