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
    /// Memory of the compressor besides the window, 1 to 9. Default 8. Costs 128 KiB and (1 << level + 9) bytes.
    pub memory_level: u8,
    /// Messages shorter than this many bytes go out as they are, unless the sender asks for compression. Default 128.
    pub min_size: usize,
    /// With `send_takeover`: keep only the window between messages and borrow the compressor of the thread for each.
    /// Saves memory on connections with much between messages, costs time for each message. Default false.
    pub shared_compressor: bool,
    /// Give the compressor of a connection back after nothing was sent for this long; the next message then starts with
    /// an empty window. Default 30 s.
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
            shared_compressor: false,
            idle_release: Some(Duration::from_secs(30)),
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
