//! WebSockets on tokio: [`ws_proto`] over TCP or any other `AsyncRead + AsyncWrite` transport.
//!
//! A client begins with [`connect`] or a [`Connector`], a server with a [`Server`], or with [`accept`] or an
//! [`Acceptor`] on transports of its own. All of them give a [`WebSocket`]:
//!
//! ```no_run
//! # async fn client() -> Result<(), Box<dyn std::error::Error>> {
//! let mut ws = ws_tokio::connect("ws://127.0.0.1:8080/").await?;
//! ws.send("Hello").await?;
//! while let Some(message) = ws.recv().await {
//!     println!("{message:?}");
//!     ws.start_close(1000, "")?; // and go on until it is closed
//! }
//! println!("{:?}", ws.closed()); // how it ended
//! # Ok(())
//! # }
//! ```
//!
//! * [`WebSocket::recv`] gives messages until the connection has ended. What the peer does wrong is no error: it ends the
//!   connection, and [`WebSocket::closed`] tells how and why.
//! * Output is written in batches by itself, before the connection waits for input or past a size; see
//!   [`WebSocket::send`].
//! * Timers, keepalive and the answers that are owed to the peer run while the connection is awaited. There are no
//!   hidden tasks.
//! * Every future is cancel-safe, so that connections can be used in `select!` and with timeouts.
//! * [`WebSocket::split`] makes a [`Receiver`] and a clonable [`Sender`], for tasks of their own. All three are streams
//!   and sinks as far as that fits.
//! * An idle connection holds no buffer.
//!
//! # Features
//!
//! * `deflate`, on by default: `permessage-deflate` (RFC 7692). It is used only where it is added to the extensions: of a
//!   [`Connector`] with [`Connector::extensions`], of a server in [`ServerConfig::extensions`] or for one request in
//!   [`Accept::extensions`].
//! * `tracing`, off by default: events about connections that are opened, refused and closed, without payloads.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod accept;
mod clock;
mod connect;
mod control;
mod dial;
mod driver;
mod error;
mod incoming;
mod net;
mod outgoing;
mod pool;
mod serve;
mod split;
mod stream;
mod trace;
mod websocket;

pub use accept::{AcceptError, Acceptor, Decision, accept};
pub use connect::{ConnectError, Connector, connect};
pub use error::Error;
pub use net::NetStream;
pub use serve::{Incoming, Report, Server, ServerHandle};
pub use split::{Receiver, Sender};
pub use websocket::WebSocket;

pub use ws_proto;
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
#[doc = include_str!("../../README.md")]
struct Readme;
