//! WebSockets on threads: [`ws_proto`] over TCP, Unix sockets, TLS, or any stream that the program brings along.
//!
//! A client begins with [`connect()`] or a [`Connector`], a server with a [`Server`], or with [`accept()`] or an
//! [`Acceptor`] on transports of its own. All of them give a [`WebSocket`]:
//!
//! ```no_run
//! # fn client() -> Result<(), Box<dyn std::error::Error>> {
//! let mut ws = ws_blocking::connect("ws://127.0.0.1:8080/")?;
//! ws.send("Hello")?;
//! while let Some(message) = ws.recv()? {
//!     println!("{message:?}");
//!     ws.start_close(1000, "")?; // and go on until it is closed
//! }
//! println!("{:?}", ws.closed()); // how it ended
//! # Ok(())
//! # }
//! ```
//!
//! * [`WebSocket::recv`] gives messages until the connection has ended. What the peer does wrong is no error: it ends the
//!   connection, and [`WebSocket::closed`] tells how and why. A `WebSocket` is an `Iterator` of messages, too.
//! * Calls wait for as long as it takes, or as long as a [`Wait`] says: a deadline, a timeout for each call, a
//!   [`CancelToken`]. A call that is interrupted loses nothing.
//! * Output is written in batches by itself, before the connection waits for input or past a size; see
//!   [`WebSocket::send`].
//! * Timers, keepalive and the answers that are owed to the peer run while a call waits. There are no hidden threads.
//! * [`WebSocket::split`] makes a [`Receiver`] and a clonable [`Sender`], for threads of their own; over TLS, too.
//! * [`ByteStream`] and its halves are `Read` and `Write` over binary messages.
//! * An idle connection holds no buffer, but its thread.
//!
//! A thread that waits sits in `poll(2)`, or in `recv(2)`, for exactly what the connection waits for. If another thread
//! may have to wake it, it has a descriptor for that, which it keeps until it ends; as a last resort, where the system
//! has no descriptor left, it looks again each 10 ms. So this crate is for Unix systems.
//!
//! Transports are what implements [`Transport`]: [`NetStream`] for sockets of std and all that this crate opens; [`Fd`],
//! [`Duplex`] and [`pipe()`] for others; or your own.
//!
//! # Features
//!
//! * `tls`, on by default: `wss://` by rustls with `ring`. `tls-aws-lc-rs` takes that provider, `tls-core` the one that
//!   the program installs.
//! * `deflate`, on by default: `permessage-deflate` (RFC 7692). It is used only where it is added to the extensions: of a
//!   [`Connector`] with [`Connector::extensions`], of a server in [`ServerConfig::extensions`] or for one request in
//!   [`Accept::extensions`].
//! * `legacy`, on by default: the versions of the protocol before RFC 6455, for those who ask for them.
//! * `json`, off by default: values as messages of JSON.
//! * `tracing`, off by default: events about connections that are opened, refused and closed, without payloads.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

#[cfg(not(unix))]
compile_error!("ws-blocking waits with poll(2), which only Unix systems have");

mod accept;
mod bell;
mod bytes;
mod connect;
mod error;
#[cfg(feature = "json")]
mod json;
mod net;
mod park;
mod runtime;
mod serve;
mod signal;
mod socket;
mod split;
#[cfg(feature = "tls-core")]
mod tls_stream;
mod transport;
mod wait;
mod websocket;

pub use accept::{Acceptor, accept};
pub use bytes::{ByteReader, ByteStream, ByteWriter};
pub use connect::{Connector, connect};
pub use error::Error;
#[cfg(feature = "json")]
pub use json::JsonError;
pub use net::{Listener, NetStream};
pub use park::block_on;
pub use runtime::Blocking;
pub use serve::{Server, ServerHandle};
pub use split::{Receiver, Sender};
pub use transport::{Duplex, Fd, Pipe, Transport, pipe};
pub use wait::{CancelToken, Interrupted, Wait};
pub use websocket::{SendReaderError, WebSocket};

#[cfg(feature = "tls-core")]
pub use ws_adapter::tls;
pub use ws_adapter::{AcceptError, Address, ConnectError, Decision, Incoming, Report, ws_proto};
pub use ws_proto::connection::{Chunk, Event, MessageWriter, Pong, Prepared, Stats};
#[cfg(feature = "deflate")]
pub use ws_proto::deflate;
pub use ws_proto::handshake::SubprotocolPolicy;
pub use ws_proto::http::{HeaderError, Headers, Target};
pub use ws_proto::{
    Accept, Cause, CloseCode, CloseError, CloseFrame, Closed, Config, Delivery, HandshakeError, IntoMessage, Kind,
    Message, Negotiated, Reply, Request, Response, Role, SendError, ServerConfig, Utf8Bytes, Version, Versions,
};
pub use ws_proto::{extension, handshake, http};

/// The examples of the README compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
