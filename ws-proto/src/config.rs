//! What a caller can choose, with the defaults.

use alloc::sync::Arc;
use core::num::NonZeroUsize;
use core::time::Duration;

use crate::version::{Layout, Version};

/// Settings of a connection, for both roles. Share one between connections with an `Arc`.
///
/// ```
/// use ws_proto::Config;
/// let mut config = Config::default();
/// config.limits.message = 1024 * 1024;
/// config.timers.idle = Some(core::time::Duration::from_secs(300));
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Config {
    /// What the peer may make us hold or do.
    pub limits: Limits,
    /// When to give up, ping or close.
    pub timers: Timers,
    /// Whole messages (the default) or chunks as they arrive.
    pub delivery: Delivery,
    /// Cut messages into frames of at most this many payload bytes. Default: never. Prepared messages and the pieces of
    /// a `MessageWriter` go out as they are; but a piece that was compressed as part of its message is cut as well.
    pub auto_fragment: Option<NonZeroUsize>,
    /// Answer pings by hand with `pong` instead of automatically. Default: false.
    pub manual_pong: bool,
    /// Rules of the wire that may be relaxed for odd peers.
    pub leniency: Leniency,
}

impl Config {
    /// These settings as far as they apply to a version.
    pub(crate) fn for_version(self: Arc<Self>, version: Version) -> Arc<Self> {
        let mut config = self;
        let old = version.layout() == Layout::Hybi && version != Version::Rfc6455;
        if old || !version.has_ping() {
            let config = Arc::make_mut(&mut config);
            // Before RFC 6455 no draft forbade these in so many words.
            config.leniency.long_lengths |= old;
            config.leniency.masked_frames |= old;
            if !version.has_ping() {
                config.timers.keepalive = None;
            }
        }
        config
    }
}

/// How data messages are handed out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Delivery {
    /// One event for each message.
    #[default]
    Messages,
    /// One event for each piece that arrives, without assembling.
    Chunks,
}

/// Bounds on what a peer can make this side hold. Sizes are bytes.
///
/// `u64::MAX` or `usize::MAX` switch a limit off.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// A request or response head, first line included. Default 16 KiB. Over it: HTTP 431 (414 in the request line).
    pub head: usize,
    /// Header lines of a head. Default 100. Over it: HTTP 431.
    pub header_lines: usize,
    /// The payload of one frame. Default 16 MiB. Over it: `ProtocolError::FrameTooBig`, 1009. The texts of hixie-75 and
    /// -76 have no length up front, and only the limit of a message.
    pub frame: u64,
    /// A whole message. Default 16 MiB. Over it: `ProtocolError::MessageTooBig`, 1009.
    pub message: u64,
    /// Frames of one message; empty ones count. Default 16,384. Over it: `ProtocolError::TooManyFragments`, 1008.
    pub fragments: u32,
    /// High-water mark of the outgoing queue. Below it a message is always taken. Default 1 MiB.
    /// Over it: `SendError::Full`.
    pub outgoing: usize,
    /// The body of an HTTP refusal that a client keeps. Default 64 KiB; the rest is discarded.
    pub refusal_body: usize,
    /// Bytes read and thrown away after this side failed the connection or refused a handshake, before the
    /// transport is dropped; `Timers::close` bounds the time. Default 16 MiB, so that a peer in the middle of a long
    /// message gets to see why it was cut off.
    pub drain: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: 16 * 1024,
            header_lines: 100,
            frame: 16 * 1024 * 1024,
            message: 16 * 1024 * 1024,
            fragments: 16_384,
            outgoing: 1024 * 1024,
            refusal_body: 64 * 1024,
            drain: 16 * 1024 * 1024,
        }
    }
}

/// Deadlines; `None` switches one off. They run on the clock that the caller hands in.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Timers {
    /// The whole opening handshake, from its start; never restarted. Default 10 s.
    pub handshake: Option<Duration>,
    /// Send a ping when nothing was received for this long. Default 20 s.
    pub keepalive: Option<Duration>,
    /// After a keepalive ping was written, anything must arrive within this time. Default 20 s. Cause: `PongTimeout`.
    pub pong: Option<Duration>,
    /// Close with 1001 when no data message passed either way for this long. Default: off. Cause: `IdleTimeout`.
    pub idle: Option<Duration>,
    /// From our Close to the end. Default 5 s. Cause: `CloseTimeout`.
    pub close: Option<Duration>,
    /// Output is waiting and the transport takes none of it. Default 30 s. Cause: `WriteStalled`.
    pub write_stall: Option<Duration>,
    /// The slowest a message may arrive once it has begun. Default 256 B/s after 10 s. Cause: `TooSlow`, 1008.
    pub slowest_message: Option<Rate>,
    /// Close with 1001 at this age. Default: off. Cause: `Lifetime`.
    pub lifetime: Option<Duration>,
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            handshake: Some(Duration::from_secs(10)),
            keepalive: Some(Duration::from_secs(20)),
            pong: Some(Duration::from_secs(20)),
            idle: None,
            close: Some(Duration::from_secs(5)),
            write_stall: Some(Duration::from_secs(30)),
            slowest_message: Some(Rate { bytes_per_second: 256, grace: Duration::from_secs(10) }),
            lifetime: None,
        }
    }
}

impl Timers {
    /// All timers switched off.
    #[must_use]
    pub const fn off() -> Self {
        Self {
            handshake: None,
            keepalive: None,
            pong: None,
            idle: None,
            close: None,
            write_stall: None,
            slowest_message: None,
            lifetime: None,
        }
    }
}

/// A least rate of progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Payload bytes of the open message that must arrive per second, on average since it began.
    pub bytes_per_second: u64,
    /// How long a message may take before the rate is looked at.
    pub grace: Duration,
}

/// Rules that may be relaxed for peers that break them. All default to strict (false).
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Leniency {
    /// Accept lengths not in their shortest form (RFC 6455 section 5.2).
    pub long_lengths: bool,
    /// Servers: accept frames without a mask (RFC 6455 section 5.1).
    pub unmasked_frames: bool,
    /// Clients: accept masked frames (RFC 6455 section 5.1).
    pub masked_frames: bool,
    /// hixie-75 and -76: take frames of type 80 as binary messages and send them, as Netty does. The drafts reserve the
    /// type, and say to skip it.
    pub hixie_binary: bool,
    /// Accept a bare LF as a line end in heads (RFC 9112 section 2.2 allows it to recipients).
    pub bare_lf: bool,
}
