//! The WebSocket protocol without I/O: bytes in, events out, bytes to write, deadlines.
//!
//! This crate speaks RFC 6455 and every version before it, as client and as server, and does no I/O: it reads no socket and no clock. Use it to put
//! WebSockets into an event loop of your own, or to test and fuzz them without a network. If you use tokio, use
//! `ws-tokio`, which wires this crate to sockets.
//!
//! # The path of a connection
//!
//! 1. A handshake machine ([`handshake::ServerHandshake`] or [`handshake::ClientHandshake`]) turns the bytes of the opening
//!    handshake into a [`Connection`]. If something else did the handshake, start with [`Connection::from_upgraded`].
//! 2. Wrap what arrives in an [`Input`] and call [`Connection::poll`] until it gives `None`. Each call gives an
//!    [`Event`](connection::Event): a message, a ping, the end.
//! 3. Send with [`Connection::send`]; write what [`Connection::outgoing`] gives, and report it with [`Connection::advance`].
//! 4. Call [`Connection::handle_timeout`] when [`Connection::poll_timeout`] says so.
//! 5. After [`Event::Closed`](connection::Event::Closed) drop the transport.
//!
//! ```
//! use ws_proto::connection::{Event, Negotiated};
//! use ws_proto::{Config, Connection, Input, Instant, NoEntropy, Role, Version};
//!
//! let now = Instant::ZERO; // your clock
//! let mut conn = Connection::from_upgraded(
//!     Role::Server, Negotiated::new(Version::Rfc6455), Config::default(), Box::new(NoEntropy));
//!
//! let mut scratch = *b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"; // what a read gave: a masked "Hello"
//! let mut input = Input::new(&mut scratch);
//! while let Some(event) = conn.poll(now, &mut input) {
//!     match event {
//!         Event::Text(text) => conn.send(text).map_err(|e| e.without_message())?,
//!         Event::Binary(bytes) => conn.send(bytes).map_err(|e| e.without_message())?,
//!         Event::Closed(_) => break,
//!         _ => {}
//!     }
//! }
//! let written: usize = conn.outgoing().map(<[u8]>::len).sum(); // give these to the transport
//! conn.advance(now, written);
//! # assert_eq!(written, 7);
//! # Ok::<(), ws_proto::SendError>(())
//! ```
//!
//! # Features
//!
//! | feature | default | what for |
//! |---|---|---|
//! | `std` | yes | SIMD chosen at run time for UTF-8 that is not ASCII. Without it the crate is `no_std` + `alloc` |
//! | `getrandom` | yes | `OsEntropy`; without it hand in an [`Entropy`] of your own |
//! | `url` | yes | parsing of `ws://` and `wss://` URLs |
//! | `legacy` | yes | the versions before RFC 6455; which are used is a setting, none by default |
//! | `deflate` | no | compression, `permessage-deflate` (RFC 7692). Needs `std` |
//! | `http` | no | handshakes on requests that an HTTP library has read, and conversions from and to the types of the crate `http`. Needs `std` |
//!
//! Everything that a peer can make this crate hold or do has a limit in [`Config`].
#![no_std]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod close;
mod config;
pub mod connection;
#[cfg(feature = "deflate")]
pub mod deflate;
mod dump;
mod entropy;
mod error;
pub mod extension;
pub mod handshake;
pub mod http;
mod input;
mod message;
mod room;
mod time;
mod version;
pub mod wire;

pub use bytes;
pub use close::{Cause, CloseCode, CloseFrame, Closed, Initiator, MAX_REASON};
pub use config::{Config, Delivery, Leniency, Limits, Rate, Timers};
pub use connection::{Connection, Negotiated};
pub use dump::FrameDump;
#[cfg(feature = "getrandom")]
pub use entropy::OsEntropy;
pub use entropy::{BoxEntropy, Entropy, EntropyError, NoEntropy};
pub use error::{CloseError, ProtocolError, SendError};
pub use handshake::{
    Accept, ClientHandshake, ClientRequest, ClientStep, HandshakeError, Reply, Request, ServerConfig, ServerHandshake,
    Step,
};
pub use http::{Response, Target};
pub use input::Input;
pub use message::{Compress, IntoMessage, Kind, Message, Payload, Text, Utf8Bytes};
pub use time::Instant;
pub use version::{Role, UnknownVersion, Version, Versions};

/// The examples of the guides compile.
#[cfg(doctest)]
mod guides {
    #[doc = include_str!("../../docs/integrating.md")]
    struct Integrating;
    #[doc = include_str!("../../docs/versions.md")]
    struct Versions;
    #[cfg(feature = "deflate")]
    #[doc = include_str!("../../docs/compression.md")]
    struct Compression;
}
