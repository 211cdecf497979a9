//! The client's side: from a URL to an open connection.

use std::sync::Arc;
use std::time::Duration;

use ws_adapter as engine;
#[cfg(feature = "tls-core")]
use ws_adapter::tls::ClientTls;
use ws_adapter::ws_proto::extension::Extensions;
use ws_adapter::ws_proto::http::Target;
use ws_adapter::ws_proto::{Config, Response, Version, Versions};
use ws_adapter::{Address, ConnectError};

use crate::park::block_on;
use crate::runtime::Blocking;
use crate::transport::Transport;
use crate::wait::{Interrupted, Wait};
use crate::websocket::WebSocket;

/// Opens a WebSocket to a `ws://` or `wss://` URL, with the default settings.
///
/// Looking up the name, connecting and the handshakes may take 10 s together. `TCP_NODELAY` is on. A [`Connector`] can
/// do more.
///
/// # Errors
/// [`ConnectError`].
///
/// ```no_run
/// # fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let mut ws = ws_blocking::connect("ws://127.0.0.1:8080/chat")?;
/// ws.send("Hello")?;
/// while let Some(message) = ws.recv()? {
///     println!("{message:?}");
/// }
/// # Ok(())
/// # }
/// ```
pub fn connect(url: &str) -> Result<WebSocket, ConnectError> {
    Connector::new(url)?.connect().map(|(ws, _)| ws)
}

/// Says how to open WebSockets to one target; can be used again and again.
///
/// ```no_run
/// # fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let connector = ws_blocking::Connector::new("ws://127.0.0.1:8080/chat")?
///     .origin("https://example.com")?
///     .header("Authorization", "Bearer abc")?
///     .subprotocols(["chat.v2", "chat.v1"])?;
/// let (ws, response) = connector.connect()?;
/// println!("{:?} {:?}", ws.subprotocol(), response.header("Server"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Connector {
    inner: engine::Connector<Blocking>,
    wait: Wait,
}

impl Connector {
    /// A connector to a `ws://` or `wss://` URL.
    ///
    /// # Errors
    /// [`ConnectError::Url`].
    pub fn new(url: &str) -> Result<Self, ConnectError> {
        Ok(Self { inner: engine::Connector::new(url)?, wait: Wait::new() })
    }

    /// A connector to a target.
    #[must_use]
    pub fn to(target: Target) -> Self {
        Self { inner: engine::Connector::to(target), wait: Wait::new() }
    }

    fn map(mut self, f: impl FnOnce(engine::Connector<Blocking>) -> engine::Connector<Blocking>) -> Self {
        self.inner = f(self.inner);
        self
    }

    fn try_map(
        mut self,
        f: impl FnOnce(engine::Connector<Blocking>) -> Result<engine::Connector<Blocking>, ConnectError>,
    ) -> Result<Self, ConnectError> {
        self.inner = f(self.inner)?;
        Ok(self)
    }

    /// Speaks this version of the protocol. Default: [`Version::Rfc6455`].
    #[must_use]
    pub fn version(self, version: Version) -> Self {
        self.map(|inner| inner.version(version))
    }

    /// If the server does not speak the version and names those that it speaks, connect again with the newest of them
    /// that is in this list (RFC 6455 section 4.4). Default: none, that is, give up.
    ///
    /// Only [`Connector::connect`] does that. Versions before hybi-04 are never found this way: they have no number
    /// that a server could name.
    #[must_use]
    pub fn versions(self, versions: Versions) -> Self {
        self.map(|inner| inner.versions(versions))
    }

    /// Adds a header to the request; may be repeated.
    ///
    /// # Errors
    /// [`ConnectError::Header`] for names that belong to the handshake, and for what would break the request.
    pub fn header(self, name: &str, value: &str) -> Result<Self, ConnectError> {
        self.try_map(|inner| inner.header(name, value))
    }

    /// Sets the header `Origin`, as browsers do (RFC 6455 section 10.2). Default: none.
    ///
    /// # Errors
    /// [`ConnectError::Header`] if it would break the request.
    pub fn origin(self, origin: &str) -> Result<Self, ConnectError> {
        self.try_map(|inner| inner.origin(origin))
    }

    /// Sets the header `Host`. Default: as the target says.
    ///
    /// # Errors
    /// [`ConnectError::Header`] if it is no `host[:port]`.
    pub fn host(self, host: &str) -> Result<Self, ConnectError> {
        self.try_map(|inner| inner.host(host))
    }

    /// Offers these subprotocols, the preferred first (RFC 6455 section 1.9). Default: none.
    ///
    /// # Errors
    /// [`ConnectError::Subprotocol`] for names that are no tokens, or stand there twice.
    pub fn subprotocols(self, names: impl IntoIterator<Item = impl Into<String>>) -> Result<Self, ConnectError> {
        self.try_map(|inner| inner.subprotocols(names))
    }

    /// Makes it an error if the server agrees to none of the subprotocols.
    #[must_use]
    pub fn require_subprotocol(self) -> Self {
        self.map(engine::Connector::require_subprotocol)
    }

    /// Offers these extensions, the preferred one first (RFC 6455 section 9.1). Default: none.
    ///
    /// The server chooses one or none. An answer that does not fit the offer is a [`ConnectError::Handshake`].
    #[must_use]
    pub fn extensions(self, extensions: Extensions) -> Self {
        self.map(|inner| inner.extensions(extensions))
    }

    /// The settings of the handshake and of the connection.
    #[must_use]
    pub fn config(self, config: impl Into<Arc<Config>>) -> Self {
        self.map(|inner| inner.config(config))
    }

    /// How long everything may take together: looking up the name, connecting, and the handshakes. `None`: for ever.
    /// Default: `Timers::handshake` of the settings, which is 10 s.
    #[must_use]
    pub fn connect_timeout(self, limit: Option<Duration>) -> Self {
        self.map(|inner| inner.connect_timeout(limit))
    }

    /// Connects to this address, whatever host and port the target names: a `SocketAddr`, or the path of a Unix socket
    /// as a `PathBuf`. The request stays the same.
    #[must_use]
    pub fn connect_to(self, address: impl Into<Address>) -> Self {
        self.map(|inner| inner.connect_to(address))
    }

    /// How to speak TLS to a `wss://` target. Default: [`ClientTls::new`], which trusts the roots of the platform.
    #[cfg(feature = "tls-core")]
    #[must_use]
    pub fn tls(self, tls: ClientTls) -> Self {
        self.map(|inner| inner.tls(tls))
    }

    /// Whether to set `TCP_NODELAY`. Default: yes; messages are gathered into large writes anyway.
    #[must_use]
    pub fn nodelay(self, on: bool) -> Self {
        self.map(|inner| inner.nodelay(on))
    }

    /// How long connecting may wait, beside [`Connector::connect_timeout`], and what ends it early. The connection
    /// takes it over, for its calls; see [`WebSocket::set_wait`]. Default: for as long as it takes.
    pub fn set_wait(&mut self, wait: impl Into<Wait>) {
        self.wait.set(wait.into());
    }

    /// Connects. If a name has several addresses, they are tried in the order of the system: the next one when all
    /// before it have failed or another 250 ms have passed. The first that answers is taken.
    ///
    /// Names are looked up on a thread of their own, since the system does not stop when it is told to. It ends by
    /// itself.
    ///
    /// Gives the connection and the response of the server.
    ///
    /// # Errors
    /// [`ConnectError`]. A deadline of the [`Wait`] that has passed is [`ConnectError::Timeout`]; a token that was
    /// cancelled is a [`ConnectError::Io`] that holds [`Interrupted::Cancelled`].
    pub fn connect(&self) -> Result<(WebSocket, Response), ConnectError> {
        self.run(self.inner.connect())
    }

    /// Does the handshake over a transport that is connected already.
    ///
    /// # Errors
    /// As [`Connector::connect`].
    pub fn connect_over<T: Transport>(&self, transport: T) -> Result<(WebSocket<T>, Response), ConnectError> {
        self.run(self.inner.connect_over(transport))
    }

    fn run<T: Transport>(
        &self,
        connecting: impl Future<Output = Result<(engine::WebSocket<T, Blocking>, Response), ConnectError>>,
    ) -> Result<(WebSocket<T>, Response), ConnectError> {
        match block_on(connecting, &self.wait) {
            Ok(result) => {
                let (ws, response) = result?;
                let mut ws = WebSocket::from(ws);
                ws.set_wait(self.wait.clone());
                Ok((ws, response))
            }
            Err(Interrupted::Deadline) => Err(ConnectError::Timeout),
            Err(interrupted) => Err(ConnectError::Io(interrupted.into())),
        }
    }
}
