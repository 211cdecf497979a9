//! What the adapters of [`ws_proto`] share: open connections, handshakes and servers over any runtime.
//!
//! Programs use [`ws-tokio`], [`ws-async-std`] or [`ws-blocking`], which give these types their runtime. Use this crate to
//! write an adapter for another one: implement [`Runtime`] for a type that stands for it, [`ReadFrom`] and [`Transfer`] for
//! the transports that it has, and, for [`Connector::connect`] and [`Server`], [`Network`].
//!
//! Nothing here reads a clock, a socket or a file by itself, except that `Server::bind` makes a listener and that the
//! settings of TLS may be read from files.
//!
//! [`ws-tokio`]: https://docs.rs/ws-tokio
//! [`ws-async-std`]: https://docs.rs/ws-async-std
//! [`ws-blocking`]: https://docs.rs/ws-blocking
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod accept;
mod address;
mod bytes;
mod clock;
mod connect;
mod control;
mod dial;
mod driver;
mod error;
mod incoming;
#[cfg(feature = "json")]
mod json;
mod outgoing;
mod pool;
mod reader;
mod runtime;
mod serve;
mod split;
mod stream;
#[cfg(test)]
mod testing;
#[cfg(feature = "tls")]
pub mod tls;
mod trace;
mod websocket;

pub use accept::{AcceptError, Acceptor, Decision};
pub use address::Address;
pub use bytes::{ByteReader, ByteStream, ByteWriter};
pub use connect::{ConnectError, Connector};
pub use error::Error;
#[cfg(feature = "json")]
pub use json::JsonError;
pub use pool::release_thread_memory;
pub use reader::SendReaderError;
pub use runtime::{Network, ReadFrom, Runtime, Transfer};
pub use serve::{Incoming, Report, Server, ServerHandle};
pub use split::{Receiver, Sender};
pub use websocket::WebSocket;

pub use ws_proto;

/// The examples of the README compile.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

/// The examples of the guide compile.
#[cfg(doctest)]
#[doc = include_str!("../../docs/runtimes.md")]
struct Guide;
