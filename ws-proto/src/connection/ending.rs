//! How a connection comes to its end (RFC 6455 section 7).

use alloc::boxed::Box;

use super::{Receipt, SentClose, Shutdown};
use crate::close::{Cause, CloseFrame, Closed, Initiator};
use crate::config::Timers;
use crate::time::Instant;
use crate::version::{Role, Version};

/// What is known about the end, from both halves.
#[derive(Debug, Default)]
pub(super) struct Ending {
    peer: Option<Box<CloseFrame>>,
    sent: Option<Box<SentClose>>,
    by: Option<Initiator>,
    cause: Option<Cause>,
    /// This side failed the connection: the peer's answer is not waited for, only its end of stream.
    failed: bool,
    /// The transport is to be dropped now.
    hard: bool,
    /// No more input will come.
    pub(super) eof: bool,
    /// Bytes thrown away since input is no longer parsed.
    pub(super) discarded: u64,
    stage: Stage,
    /// There is no Close, as in hixie-75: the end of the stream is all there is.
    closeless: bool,
    /// Peers may answer our Close with nothing but the end of the stream, as in hixie-76.
    may_just_end: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Running,
    Over,
    Reported,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Not over, or over since an earlier call.
    AsBefore,
    /// Over just now.
    Over,
}

impl Ending {
    pub(super) fn new(version: Version) -> Self {
        Self { closeless: !version.has_close(), may_just_end: !version.has_ping(), ..Self::default() }
    }

    /// Only the first cause is kept.
    pub(super) fn first_cause(&mut self, cause: Cause) {
        self.cause.get_or_insert(cause);
    }

    pub(super) fn peer_closed(&mut self, frame: CloseFrame) {
        self.peer = Some(Box::new(frame));
        self.by.get_or_insert(Initiator::Remote);
    }

    pub(super) fn failed(&mut self, cause: Cause) {
        self.failed = true;
        self.first_cause(cause);
        self.by.get_or_insert(Initiator::Local);
    }

    pub(super) fn hard(&mut self, cause: Cause) {
        if self.stage == Stage::Running {
            self.hard = true;
            self.first_cause(cause);
            let by = if cause == Cause::Transport { Initiator::Remote } else { Initiator::Local };
            self.by.get_or_insert(by);
        }
    }

    pub(super) fn note(&mut self, receipt: Receipt) {
        if receipt.close.is_some() {
            self.sent = receipt.close;
            self.by.get_or_insert(Initiator::Local);
        }
        if let Some(cause) = receipt.fault {
            self.hard(cause);
        }
    }

    pub(super) fn judge(&mut self, now: Instant, role: Role, timers: &Timers, drain: u64) -> Verdict {
        if self.stage != Stage::Running {
            return Verdict::AsBefore;
        }
        let over = if self.hard {
            true
        } else if self.eof && self.peer.is_none() && !self.failed {
            self.first_cause(if self.may_just_end && self.written() { Cause::Handshake } else { Cause::Eof });
            self.by.get_or_insert(Initiator::Remote);
            true
        } else if self.complete(role, drain) {
            self.first_cause(Cause::Handshake);
            true
        } else if self.deadline(timers).is_some_and(|at| now >= at) {
            let handshake = self.peer.is_some() && self.written();
            self.first_cause(if handshake { Cause::Handshake } else { Cause::CloseTimeout });
            true
        } else {
            false
        };
        if over {
            self.stage = Stage::Over;
            return Verdict::Over;
        }
        Verdict::AsBefore
    }

    fn written(&self) -> bool {
        self.sent.as_ref().is_some_and(|sent| sent.written)
    }

    /// Whether everything that should pass has passed: the server closes TCP first, the client waits for it, and
    /// after a failure what the peer is still sending is read, so that it gets to see our Close (section 7.1.1).
    fn complete(&self, role: Role, drain: u64) -> bool {
        self.written()
            && if self.failed {
                self.eof || self.discarded > drain
            } else {
                self.peer.is_some() && (role == Role::Server || self.eof)
            }
    }

    /// When the closing handshake will have taken too long.
    pub(super) fn deadline(&self, timers: &Timers) -> Option<Instant> {
        Some(self.sent.as_ref()?.at.saturating_add(timers.close?))
    }

    pub(super) fn shutdown(&self, role: Role) -> Option<Shutdown> {
        if self.stage != Stage::Running {
            Some(Shutdown::Both)
        } else if self.written() && (self.failed || self.closeless || (self.peer.is_some() && role == Role::Server)) {
            Some(Shutdown::Write)
        } else {
            None
        }
    }

    pub(super) fn report(&mut self) -> Option<Closed> {
        if self.stage != Stage::Over {
            return None;
        }
        self.stage = Stage::Reported;
        Some(Closed {
            received: self.peer.as_deref().cloned(),
            sent: self.sent.take().filter(|sent| sent.written && !self.closeless).map(|sent| sent.frame),
            by: self.by.unwrap_or(Initiator::Local),
            cause: self.cause.unwrap_or(Cause::Aborted),
        })
    }

    pub(super) fn is_over(&self) -> bool {
        self.stage != Stage::Running
    }

    /// A Close was sent or received, or the connection failed.
    #[inline]
    pub(super) fn is_closing(&self) -> bool {
        self.sent.is_some() || self.peer.is_some() || self.failed
    }

    /// Anything at all points to the end.
    #[inline]
    pub(super) fn is_begun(&self) -> bool {
        self.eof || self.hard || self.stage != Stage::Running || self.is_closing()
    }

    pub(super) fn is_soft(&self) -> bool {
        !self.hard
    }

    /// The peer's Close arrived.
    pub(super) fn has_peer(&self) -> bool {
        self.peer.is_some()
    }
}
