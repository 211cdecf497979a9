//! WebSockets on tokio: [`ws_proto`] over any `AsyncRead + AsyncWrite` transport.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod accept;
mod clock;
mod connect;
mod control;
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
pub use ws_proto::handshake::SubprotocolPolicy;
pub use ws_proto::http::{HeaderError, Headers, Target};
pub use ws_proto::{
    Accept, Cause, CloseCode, CloseError, CloseFrame, Closed, Config, Delivery, HandshakeError, IntoMessage, Kind,
    Message, Negotiated, Reply, Request, Response, Role, SendError, ServerConfig, Utf8Bytes,
};
pub use ws_proto::{handshake, http};

/// The examples of the README compile.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
