//! WebSockets on tokio: [`ws_proto`] over TCP, Unix sockets, TLS or any other `AsyncRead + AsyncWrite` transport.
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
//! * Every future but that of [`WebSocket::send_reader`] is cancel-safe, so that connections can be used in `select!`
//!   and with timeouts.
//! * [`WebSocket::split`] makes a [`Receiver`] and a clonable [`Sender`], for tasks of their own. All three are streams
//!   and sinks as far as that fits.
//! * An idle connection holds no buffer.
//!
//! # Features
//!
//! * `tls`, on by default: `wss://`, by `rustls` with `ring`; the module `tls` has the settings. `tls-aws-lc-rs` takes
//!   another crypto provider, `tls-core` the one that the program installs.
//! * `deflate`, on by default: `permessage-deflate` (RFC 7692). It is used only where it is added to the extensions: of a
//!   [`Connector`] with [`Connector::extensions`], of a server in [`ServerConfig::extensions`] or for one request in
//!   [`Accept::extensions`].
//! * `legacy`, on by default: the versions of the protocol before RFC 6455, for those who ask for them.
//! * `hyper` and `axum`, off by default: WebSockets on connections of an HTTP server, in the module `upgrade`.
//! * `json`, off by default: messages as JSON.
//! * `tracing`, off by default: events about connections that are opened, refused and closed, without payloads.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod bytes;
mod net;
mod runtime;
#[cfg(feature = "hyper")]
pub mod upgrade;

use tokio::io::{AsyncRead, AsyncWrite};
use ws_adapter as engine;

pub use bytes::{ByteReader, ByteStream, ByteWriter};
pub use net::{Listener, NetStream};
pub use runtime::Tokio;

/// An open connection; see [`ws_adapter::WebSocket`].
pub type WebSocket<T = NetStream> = engine::WebSocket<T, Tokio>;
/// The half of a [`WebSocket`] that receives; see [`ws_adapter::Receiver`].
pub type Receiver<T = NetStream> = engine::Receiver<T, Tokio>;
/// The half of a [`WebSocket`] that sends; see [`ws_adapter::Sender`].
pub type Sender<T = NetStream> = engine::Sender<T, Tokio>;
/// Says how to open WebSockets to one target; see [`ws_adapter::Connector`].
pub type Connector = engine::Connector<Tokio>;
/// Accepts WebSockets with the same settings again and again; see [`ws_adapter::Acceptor`].
pub type Acceptor = engine::Acceptor<Tokio>;
/// Listens, does the handshakes, and runs a task for each connection; see [`ws_adapter::Server`].
pub type Server = engine::Server<Tokio>;

/// Opens a WebSocket to a `ws://` or `wss://` URL, with the default settings.
///
/// Looking up the name, connecting and the handshakes may take 10 s together. `TCP_NODELAY` is on. A
/// [`Connector`] can do more.
///
/// # Errors
/// [`ConnectError`].
///
/// # Cancel safety
/// Dropping the future drops the socket; nothing stays behind.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let mut ws = ws_tokio::connect("ws://127.0.0.1:8080/chat").await?;
/// ws.send("Hello").await?;
/// while let Some(message) = ws.recv().await {
///     println!("{message:?}");
/// }
/// # Ok(())
/// # }
/// ```
pub async fn connect(url: &str) -> Result<WebSocket, ConnectError> {
    Connector::new(url)?.connect().await.map(|(ws, _)| ws)
}

/// Does the server's side of the opening handshake on a transport that was just accepted.
///
/// Takes a WebSocket on any path, without a subprotocol and with the default settings; a plain HTTP request gets the
/// status 426. An [`Acceptor`] can do more.
///
/// On a TCP stream this turns on `TCP_NODELAY`.
///
/// # Errors
/// [`AcceptError`]. The client has then been answered, if that was possible.
///
/// # Cancel safety
/// Dropping the future drops the transport; nothing stays behind.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
/// let (stream, _) = listener.accept().await?;
/// let mut ws = ws_tokio::accept(stream).await?;
/// ws.send("Hello").await?;
/// # Ok(())
/// # }
/// ```
pub async fn accept<T>(transport: T) -> Result<WebSocket<T>, AcceptError>
where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
{
    Acceptor::default().accept(transport).await.map(|(ws, _)| ws)
}

#[cfg(feature = "json")]
pub use ws_adapter::JsonError;
#[cfg(feature = "tls-core")]
pub use ws_adapter::tls;
pub use ws_adapter::{
    AcceptError, Address, ConnectError, Decision, Error, Incoming, Report, SendReaderError, ServerHandle, ws_proto,
};
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
