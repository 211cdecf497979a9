//! What passed over a connection, and how fast answers came.

use core::time::Duration;

/// Counters of one connection since it opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// What arrived.
    pub received: Traffic,
    /// What was queued for sending.
    pub sent: Traffic,
    /// Round-trip times of pings, once one was answered.
    pub round_trip: Option<RoundTrip>,
}

/// One direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Traffic {
    /// Frames of every kind.
    pub frames: u64,
    /// Data messages, counted when complete.
    pub messages: u64,
    /// Bytes of frames on the wire, heads included. The opening handshake does not count.
    pub wire_bytes: u64,
    /// Payload bytes of data messages.
    pub message_bytes: u64,
    /// Ping frames.
    pub pings: u64,
    /// Pong frames.
    pub pongs: u64,
}

/// Round-trip times measured by pings and their pongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RoundTrip {
    /// The latest.
    pub last: Duration,
    /// A moving average: each new one counts one eighth.
    pub smoothed: Duration,
    /// The shortest so far.
    pub min: Duration,
}

impl RoundTrip {
    pub(super) fn update(previous: Option<Self>, sample: Duration) -> Self {
        match previous {
            None => Self { last: sample, smoothed: sample, min: sample },
            Some(p) => Self {
                last: sample,
                smoothed: p.smoothed.saturating_mul(7).saturating_add(sample) / 8,
                min: p.min.min(sample),
            },
        }
    }
}
