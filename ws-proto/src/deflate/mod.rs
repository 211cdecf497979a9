//! `permessage-deflate` (RFC 7692) and the per-frame compression that came before it.
//!
//! [`Deflate`] holds the settings. Added to the [`Extensions`](crate::extension::Extensions) of a handshake it negotiates
//! the extension; the open connection then compresses by itself. It is off unless added.
//!
//! ```
//! use ws_proto::ServerConfig;
//! use ws_proto::deflate::Deflate;
//! let mut config = ServerConfig::default();
//! config.extensions.add(Deflate::default());
//! ```
//!
//! # Memory
//!
//! A connection has nothing of this before its first compressed message. Then it keeps, for what it receives, the last
//! 2^`receive_window_bits` bytes at most (with takeover; else nothing), and for what it sends as much, or with
//! [`Deflate::shared_compressor`] off its compressor (see [`Deflate::memory_level`]). Within a message that arrives in
//! several reads it also has an inflater, of 47 KiB. A thread keeps for its connections up to 8 inflaters, up to 8
//! compressors, and 32 KiB besides.

mod codec;
mod compress;
mod inflate;
mod negotiate;
mod pool;
mod window;

#[cfg(test)]
mod tests;

use core::time::Duration;

pub use negotiate::DeflateFrame;
pub use pool::release_thread_memory;

use crate::extension::Scope;
use crate::version::Role;

/// Settings of `permessage-deflate`, for both roles.
///
/// "Sent" is what this end compresses, "received" is what the peer compresses.
///
/// A number out of its range is taken as the nearest in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Deflate {
    /// The largest window for what is sent, as a power of two: 8 to 15. Default 15 (32 KiB). A peer may ask for less.
    pub send_window_bits: u8,
    /// The largest window for what is received: 8 to 15. Default 15. A server declines a client that has no means to
    /// limit its window (RFC 7692 section 7.1.2.2).
    pub receive_window_bits: u8,
    /// Let a message that is sent refer to earlier ones. Default true. A peer may ask for the contrary.
    pub send_takeover: bool,
    /// Let a message that is received refer to earlier ones. Default true.
    pub receive_takeover: bool,
    /// From 0 (store) or 1 (fast) to 9 (small). Default 6.
    pub level: u8,
    /// Memory of a compressor besides the window, 1 to 9. Default 8. A compressor takes 131 KiB, four windows, and
    /// (448 << memory_level) bytes: 371 KiB with the defaults, 273 KiB with 5, 149 KiB with 5 and a window of 10.
    pub memory_level: u8,
    /// Messages shorter than this many bytes go out as they are, unless the sender asks for compression. Default 128.
    pub min_size: usize,
    /// With `send_takeover`: keep only the window between messages and borrow a compressor of the thread for each.
    /// A connection then holds a window instead of some ten. A thread has 8 compressors; if more connections than that
    /// send in turn, a message costs the time that it takes to read the window in again, 30 to 50 us for 32 KiB, 5 us
    /// for 4 KiB. That is no more than it costs to work with many compressors that have left the processor's caches
    /// meanwhile. Default true.
    pub shared_compressor: bool,
    /// Give back what is kept for sending, compressor or window, after nothing was sent for this long; the next message
    /// then starts with an empty window. Default 5 minutes.
    pub idle_release: Option<Duration>,
}

impl Default for Deflate {
    fn default() -> Self {
        Self {
            send_window_bits: 15,
            receive_window_bits: 15,
            send_takeover: true,
            receive_takeover: true,
            level: 6,
            memory_level: 8,
            min_size: 128,
            shared_compressor: true,
            idle_release: Some(Duration::from_secs(300)),
        }
    }
}

/// What was agreed for one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Direction {
    /// 8 to 15.
    window_bits: u8,
    takeover: bool,
}

/// What was agreed, and the settings that are nobody else's business.
#[derive(Clone, Copy, Debug)]
struct Agreed {
    /// What the server compresses.
    server: Direction,
    /// What the client compresses.
    client: Direction,
    scope: Scope,
    settings: Deflate,
}

impl Agreed {
    /// What an end of this role compresses.
    fn sent_by(&self, role: Role) -> Direction {
        match role {
            Role::Client => self.client,
            Role::Server => self.server,
        }
    }
}
