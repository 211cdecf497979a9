//! WebSockets on threads.
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
