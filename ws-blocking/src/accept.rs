//! The server's side of the opening handshake.

use std::future::ready;
use std::sync::Arc;

use ws_adapter as engine;
#[cfg(feature = "tls-core")]
use ws_adapter::tls::ServerTls;
use ws_adapter::ws_proto::{HandshakeError, Request, ServerConfig};
use ws_adapter::{AcceptError, Decision};

#[cfg(feature = "tls-core")]
use crate::net::NetStream;
use crate::park::block_on;
use crate::runtime::Blocking;
use crate::transport::Transport;
use crate::wait::{Interrupted, Wait};
use crate::websocket::WebSocket;

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
/// ```no_run
/// # fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use ws_blocking::NetStream;
/// let listener = std::net::TcpListener::bind("127.0.0.1:8080")?;
/// let (stream, _) = listener.accept()?;
/// let mut ws = ws_blocking::accept(NetStream::from(stream))?;
/// ws.send("Hello")?;
/// # Ok(())
/// # }
/// ```
pub fn accept<T: Transport + 'static>(transport: T) -> Result<WebSocket<T>, AcceptError> {
    Acceptor::default().accept(transport).map(|(ws, _)| ws)
}

/// Accepts WebSockets with the same settings again and again. Clones share the settings.
///
/// ```no_run
/// use ws_blocking::{Accept, Acceptor, Config, NetStream, Reply};
/// # fn example(stream: NetStream) -> Result<(), Box<dyn std::error::Error>> {
/// let mut config = Config::default();
/// config.limits.message = 64 * 1024;
/// let acceptor = Acceptor::new(config);
/// let (mut ws, request) = acceptor.accept_with(stream, |request| {
///     if request.cookie("session").is_some_and(|id| id == "abc") {
///         Accept::new().into()
///     } else {
///         Reply::new(403).into()
///     }
/// })?;
/// println!("{} opened", request.path());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Acceptor {
    inner: engine::Acceptor<Blocking>,
    wait: Wait,
}

impl Acceptor {
    /// An acceptor with these settings: a `ServerConfig`, an `Arc` of one, or just a [`Config`](crate::Config).
    #[must_use]
    pub fn new(config: impl Into<ServerConfig>) -> Self {
        Self { inner: engine::Acceptor::new(config), wait: Wait::new() }
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &Arc<ServerConfig> {
        self.inner.config()
    }

    /// How long handshakes may wait, beside `Timers::handshake`, and what ends them early. Connections take it over,
    /// for their calls; see [`WebSocket::set_wait`]. Default: for as long as it takes.
    pub fn set_wait(&mut self, wait: impl Into<Wait>) {
        self.wait.set(wait.into());
    }

    pub(crate) fn into_parts(self) -> (engine::Acceptor<Blocking>, Wait) {
        (self.inner, self.wait)
    }

    /// Does the handshake, as [`Decision::default_for`] says. Gives the connection and the request.
    ///
    /// # Errors
    /// As [`Acceptor::accept_with`].
    pub fn accept<T: Transport + 'static>(&self, transport: T) -> Result<(WebSocket<T>, Request), AcceptError> {
        self.accept_with(transport, Decision::default_for)
    }

    /// Does the handshake as `decide` says, which sees the request. While it decides, nothing else happens on this
    /// connection; if it takes longer than `Timers::handshake`, the client gets 503.
    ///
    /// A refusal is written whole; then the writing side is shut down, and what the client still sends is read and
    /// thrown away up to `Limits::drain` or `Timers::close`, so that the answer reaches the client.
    ///
    /// # Errors
    /// [`AcceptError`]. The client has then been answered, if that was possible. A deadline of the [`Wait`] that has
    /// passed is a [`HandshakeError::Timeout`]; a token that was cancelled is an [`AcceptError::Io`] that holds
    /// [`Interrupted::Cancelled`]. After these two the client gets no answer.
    pub fn accept_with<T: Transport + 'static>(
        &self,
        transport: T,
        decide: impl FnOnce(&Request) -> Decision,
    ) -> Result<(WebSocket<T>, Request), AcceptError> {
        self.run(self.inner.accept_with(transport, |request| ready(decide(request))))
    }

    /// Does the TLS handshake on a socket, and then as [`Acceptor::accept_with`]. `Timers::handshake` is for both.
    ///
    /// # Errors
    /// [`AcceptError`]; [`AcceptError::Tls`] if the client was not even answered in HTTP.
    #[cfg(feature = "tls-core")]
    pub fn accept_tls_with(
        &self,
        stream: impl Into<NetStream>,
        tls: &ServerTls,
        decide: impl FnOnce(&Request) -> Decision,
    ) -> Result<(WebSocket, Request), AcceptError> {
        self.run(self.inner.accept_tls_with(stream, tls, |request| ready(decide(request))))
    }

    fn run<T: Transport>(
        &self,
        accepting: impl Future<Output = Result<(engine::WebSocket<T, Blocking>, Request), AcceptError>>,
    ) -> Result<(WebSocket<T>, Request), AcceptError> {
        match block_on(accepting, &self.wait) {
            Ok(result) => {
                let (ws, request) = result?;
                let mut ws = WebSocket::from(ws);
                ws.set_wait(self.wait.clone());
                Ok((ws, request))
            }
            Err(Interrupted::Deadline) => Err(AcceptError::Handshake(HandshakeError::Timeout)),
            Err(interrupted) => Err(AcceptError::Io(interrupted.into())),
        }
    }
}
