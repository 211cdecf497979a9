//! Signs of life, and the timers of an open connection.

use crate::config::{Rate, Timers};
use crate::time::Instant;
use core::time::Duration;

#[derive(Debug, Default)]
pub(super) struct Life {
    /// When bytes last arrived.
    heard: Instant,
    /// A keepalive ping is out and nothing has arrived since.
    pinged: bool,
    pinged_at: Instant,
    /// The ping has left for the transport. Behind a long message that may take a while on a slow link.
    ping_out: bool,
    pings: u64,
    /// When the timers began.
    opened: Option<Instant>,
    /// When data messages last passed, and how many had.
    active: Instant,
    messages: u64,
    /// The open message: since when, and how many payload bytes have come.
    message_since: Option<Instant>,
    message_bytes: u64,
}

/// A timer that ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expiry {
    /// Send a ping with this number.
    Keepalive(u64),
    /// Nothing answered the ping.
    Dead,
    Idle,
    Lifetime,
    TooSlow,
}

impl Life {
    /// Bytes arrived: whatever they are, the peer lives.
    #[inline]
    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.pinged = false;
    }

    /// The first call starts the timers.
    #[inline]
    pub(super) fn observe(&mut self, now: Instant, messages: u64) {
        if self.opened.is_none() {
            self.opened = Some(now);
            self.heard = now;
            self.active = now;
        }
        if self.messages != messages {
            self.messages = messages;
            self.active = now;
        }
    }

    /// The keepalive ping was written: from now on an answer can come.
    pub(super) fn ping_written(&mut self, now: Instant) {
        if self.pinged && !self.ping_out {
            self.ping_out = true;
            self.pinged_at = now;
        }
    }

    pub(super) fn message_begun(&mut self, now: Instant) {
        self.message_since = Some(now);
        self.message_bytes = 0;
    }

    pub(super) fn message_progress(&mut self, bytes: usize) {
        self.message_bytes = self.message_bytes.saturating_add(bytes as u64);
    }

    pub(super) fn message_done(&mut self) {
        self.message_since = None;
    }

    /// While the ping waits behind other output, the write-stall timer is the judge, if it is on.
    fn dead_at(&self, timers: &Timers) -> Option<Instant> {
        let waiting = self.pinged && (self.ping_out || timers.write_stall.is_none());
        timers.pong.filter(|_| waiting).map(|pong| self.pinged_at.saturating_add(pong))
    }

    fn ping_at(&self, timers: &Timers) -> Option<Instant> {
        let interval = timers.keepalive?;
        match self.pinged {
            true if timers.pong.is_some() => None,
            // Not at the same instant again, should the interval be zero or the clock at its end.
            true => Some(self.pinged_at.saturating_add(interval)).filter(|at| *at > self.pinged_at),
            false => Some(self.heard.saturating_add(interval)),
        }
    }

    fn idle_at(&self, timers: &Timers) -> Option<Instant> {
        Some(self.active.saturating_add(timers.idle?))
    }

    fn old_at(&self, timers: &Timers) -> Option<Instant> {
        Some(self.opened?.saturating_add(timers.lifetime?))
    }

    /// When the open message will have been too slow, if nothing more of it arrives.
    fn slow_at(&self, timers: &Timers) -> Option<Instant> {
        let Rate { bytes_per_second, grace } = timers.slowest_message?;
        let since = self.message_since?;
        if bytes_per_second == 0 {
            return None;
        }
        let nanos = u128::from(self.message_bytes) * 1_000_000_000 / u128::from(bytes_per_second);
        let earned = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        Some(since.saturating_add(earned.max(grace)))
    }

    pub(super) fn poll_timeout(&self, timers: &Timers) -> Option<Instant> {
        self.opened?;
        let all = [
            self.dead_at(timers),
            self.ping_at(timers),
            self.idle_at(timers),
            self.old_at(timers),
            self.slow_at(timers),
        ];
        all.into_iter().flatten().min()
    }

    pub(super) fn expired(&mut self, now: Instant, timers: &Timers) -> Option<Expiry> {
        self.opened?;
        let due = |at: Option<Instant>| at.is_some_and(|at| now >= at);
        if due(self.dead_at(timers)) {
            Some(Expiry::Dead)
        } else if due(self.slow_at(timers)) {
            Some(Expiry::TooSlow)
        } else if due(self.old_at(timers)) {
            Some(Expiry::Lifetime)
        } else if due(self.idle_at(timers)) {
            Some(Expiry::Idle)
        } else if due(self.ping_at(timers)) {
            self.pinged = true;
            self.ping_out = false;
            self.pinged_at = now;
            self.pings += 1;
            Some(Expiry::Keepalive(self.pings))
        } else {
            None
        }
    }
}
