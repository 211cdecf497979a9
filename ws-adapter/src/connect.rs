//! The client's side: from a URL to an open connection.

use std::fmt;
use std::io::{self, ErrorKind};
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use ws_proto::extension::Extensions;
use ws_proto::handshake::{ClientHandshake, ClientRequest, ClientStep, SubprotocolError};
use ws_proto::http::{HeaderError, Target, TargetError};
use ws_proto::{Config, EntropyError, HandshakeError, OsEntropy, Response, Version, Versions};

use crate::address::Address;
use crate::clock::{Clock, within};
use crate::dial::race;
use crate::driver::Driver;
use crate::runtime::{Network, Runtime, Transfer};
#[cfg(feature = "tls")]
use crate::tls::{ClientTls, TlsError};
use crate::trace;
use crate::websocket::WebSocket;

/// Says how to open WebSockets to one target; can be used again and again.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let connector = ws_tokio::Connector::new("ws://127.0.0.1:8080/chat")?
///     .origin("https://example.com")?
///     .header("Authorization", "Bearer abc")?
///     .subprotocols(["chat.v2", "chat.v1"])?;
/// let (ws, response) = connector.connect().await?;
/// println!("{:?} {:?}", ws.subprotocol(), response.header("Server"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Connector<R> {
    request: ClientRequest,
    config: Arc<Config>,
    timeout: Option<Option<Duration>>,
    address: Option<Address>,
    nodelay: bool,
    version: Version,
    others: Versions,
    #[cfg(feature = "tls")]
    tls: Option<ClientTls>,
    runtime: PhantomData<R>,
}

impl<R: Runtime> Connector<R> {
    /// A connector to a `ws://` or `wss://` URL.
    ///
    /// # Errors
    /// [`ConnectError::Url`].
    pub fn new(url: &str) -> Result<Self, ConnectError> {
        Ok(Self::to(Target::parse(url)?))
    }

    /// A connector to a target.
    #[must_use]
    pub fn to(target: Target) -> Self {
        Self {
            request: ClientRequest::new(target),
            config: Arc::default(),
            timeout: None,
            address: None,
            nodelay: true,
            version: Version::Rfc6455,
            others: Versions::NONE,
            #[cfg(feature = "tls")]
            tls: None,
            runtime: PhantomData,
        }
    }

    /// Speaks this version of the protocol. Default: [`Version::Rfc6455`].
    #[must_use]
    pub fn version(mut self, version: Version) -> Self {
        self.request = self.request.version(version);
        self.version = version;
        self
    }

    /// If the server does not speak the version and names those that it speaks, connect again with the newest of them
    /// that is in this list (RFC 6455 section 4.4). Default: none, that is, give up.
    ///
    /// Only [`Connector::connect`] does that. Versions before hybi-04 are never found this way: they have no number
    /// that a server could name.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), ws_tokio::ConnectError> {
    /// use ws_tokio::{Connector, Versions};
    /// let (ws, _) = Connector::new("ws://127.0.0.1:8080/")?.versions(Versions::ALL).connect().await?;
    /// println!("{}", ws.negotiated().version);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn versions(mut self, versions: Versions) -> Self {
        self.others = versions;
        self
    }

    /// Adds a header to the request; may be repeated.
    ///
    /// # Errors
    /// [`ConnectError::Header`] for names that belong to the handshake, and for what would break the request.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, ConnectError> {
        self.request = self.request.header(name, value)?;
        Ok(self)
    }

    /// Sets the header `Origin`, as browsers do (RFC 6455 section 10.2). Default: none.
    ///
    /// # Errors
    /// [`ConnectError::Header`] if it would break the request.
    pub fn origin(mut self, origin: &str) -> Result<Self, ConnectError> {
        self.request = self.request.origin(origin)?;
        Ok(self)
    }

    /// Sets the header `Host`. Default: as the target says.
    ///
    /// # Errors
    /// [`ConnectError::Header`] if it is no `host[:port]`.
    pub fn host(mut self, host: &str) -> Result<Self, ConnectError> {
        self.request = self.request.host(host)?;
        Ok(self)
    }

    /// Offers these subprotocols, the preferred first (RFC 6455 section 1.9). Default: none.
    ///
    /// # Errors
    /// [`ConnectError::Subprotocol`] for names that are no tokens, or stand there twice.
    pub fn subprotocols(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Result<Self, ConnectError> {
        self.request = self.request.subprotocols(names)?;
        Ok(self)
    }

    /// Makes it an error if the server agrees to none of the subprotocols.
    #[must_use]
    pub fn require_subprotocol(mut self) -> Self {
        self.request = self.request.require_subprotocol();
        self
    }

    /// Offers these extensions, the preferred one first (RFC 6455 section 9.1). Default: none.
    ///
    /// The server chooses one or none. An answer that does not fit the offer is a [`ConnectError::Handshake`].
    #[must_use]
    pub fn extensions(mut self, extensions: Extensions) -> Self {
        self.request = self.request.extensions(extensions);
        self
    }

    /// The settings of the handshake and of the connection.
    #[must_use]
    pub fn config(mut self, config: impl Into<Arc<Config>>) -> Self {
        self.config = config.into();
        self
    }

    /// How long everything may take together: looking up the name, connecting, and the handshake. `None`: for ever.
    /// Default: `Timers::handshake` of the settings, which is 10 s.
    #[must_use]
    pub fn connect_timeout(mut self, limit: Option<Duration>) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// Connects to this address, whatever host and port the target names: a `SocketAddr`, or the path of a Unix socket
    /// as a `PathBuf`. The request stays the same.
    #[must_use]
    pub fn connect_to(mut self, address: impl Into<Address>) -> Self {
        self.address = Some(address.into());
        self
    }

    /// How to speak TLS to a `wss://` target. Default: [`ClientTls::new`], which trusts the roots of the platform.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, tls: ClientTls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Whether to set `TCP_NODELAY`. Default: yes; messages are gathered into large writes anyway.
    #[must_use]
    pub fn nodelay(mut self, on: bool) -> Self {
        self.nodelay = on;
        self
    }

    /// Does the handshake over a transport that is connected already.
    ///
    /// # Errors
    /// [`ConnectError`].
    ///
    /// # Cancel safety
    /// Dropping the future drops the transport; nothing stays behind.
    pub async fn connect_over<T>(&self, transport: T) -> Result<(WebSocket<T, R>, Response), ConnectError>
    where
        R: Transfer<T>,
    {
        self.traced(self.upgrade(&self.request, transport, Clock::start()).await)
    }

    fn traced<T>(
        &self,
        result: Result<(WebSocket<T, R>, Response), ConnectError>,
    ) -> Result<(WebSocket<T, R>, Response), ConnectError> {
        let target = self.request.target();
        match &result {
            Ok((ws, _)) => trace::connected(target, ws.negotiated()),
            Err(error) => trace::not_connected(target, error),
        }
        result
    }

    fn limit(&self) -> Option<Duration> {
        self.timeout.unwrap_or(self.config.timers.handshake)
    }

    async fn upgrade<T>(
        &self,
        request: &ClientRequest,
        transport: T,
        clock: Clock<R>,
    ) -> Result<(WebSocket<T, R>, Response), ConnectError>
    where
        R: Transfer<T>,
    {
        let mut config = self.config.clone();
        if config.timers.handshake != self.limit() {
            Arc::make_mut(&mut config).timers.handshake = self.limit();
        }
        // Its time began when the clock did.
        let start = ws_proto::Instant::ZERO;
        let machine = ClientHandshake::new(start, request, config, Box::new(OsEntropy))?;
        let mut driver = Box::new(Driver::new(transport, machine, clock));
        let step = driver.step().await;
        let error = driver.machine.error().copied();
        let Driver { io, machine, clock, error: io_error, .. } = *driver;
        match step {
            ClientStep::Done => {
                let (connection, response) =
                    machine.into_connection().map_err(|_| ConnectError::Handshake(HandshakeError::Eof))?;
                Ok((WebSocket::with_clock(connection, io, clock), response))
            }
            ClientStep::Refused => {
                let response = Box::new(machine.into_response().unwrap_or_default());
                Err(match error {
                    Some(HandshakeError::VersionRefused { offered, .. }) => {
                        ConnectError::VersionRefused { offered, response }
                    }
                    _ => ConnectError::Refused(response),
                })
            }
            _ => Err(match (io_error, error) {
                (Some(error), _) => ConnectError::Io(error),
                (None, Some(HandshakeError::Timeout)) => ConnectError::Timeout,
                (None, error) => ConnectError::Handshake(error.unwrap_or(HandshakeError::Eof)),
            }),
        }
    }
}

/// How to speak TLS on the way to a target.
#[cfg(feature = "tls")]
type Tls = Option<(rustls::pki_types::ServerName<'static>, Arc<rustls::ClientConfig>)>;
#[cfg(not(feature = "tls"))]
type Tls = Option<std::convert::Infallible>;

impl<R: Network> Connector<R> {
    /// Connects. If a name has several addresses, they are tried in the order of the system: the next one when all
    /// before it have failed or another 250 ms have passed. The first that answers is taken.
    ///
    /// Gives the connection and the response of the server.
    ///
    /// # Errors
    /// [`ConnectError`].
    ///
    /// # Cancel safety
    /// Dropping the future drops the socket; nothing stays behind.
    pub async fn connect(&self) -> Result<(WebSocket<R::Stream, R>, Response), ConnectError> {
        self.traced(self.open().await)
    }

    async fn open(&self) -> Result<(WebSocket<R::Stream, R>, Response), ConnectError> {
        let clock = Clock::start();
        let tls = self.settings()?;
        let mut others = self.others.without(self.version);
        let mut request = self.request.clone();
        loop {
            let left = self.limit().map(|limit| limit.saturating_sub(Duration::from_nanos(clock.now().as_nanos())));
            let stream = within::<R, _>(left, self.reach(&tls)).await.ok_or(ConnectError::Timeout)??;
            let (offered, response) = match self.upgrade(&request, stream, clock).await {
                Err(ConnectError::VersionRefused { offered, response }) => (offered, response),
                result => return result,
            };
            let Some(next) = others.iter().find(|version| offered.contains(*version)) else {
                return Err(ConnectError::VersionRefused { offered, response });
            };
            // Each is tried once, so that this ends whatever the server says.
            others = others.without(next);
            request = request.version(next);
        }
    }

    #[cfg(feature = "tls")]
    fn settings(&self) -> Result<Tls, ConnectError> {
        let target = self.request.target();
        if !target.is_secure() {
            return Ok(None);
        }
        if !R::TLS {
            return Err(ConnectError::TlsUnsupported);
        }
        let tls = match &self.tls {
            Some(tls) => tls.clone(),
            None => ClientTls::new()?,
        };
        Ok(Some((tls.name_for(target.host())?, tls.config().clone())))
    }

    #[cfg(not(feature = "tls"))]
    fn settings(&self) -> Result<Tls, ConnectError> {
        if self.request.target().is_secure() { Err(ConnectError::TlsUnsupported) } else { Ok(None) }
    }

    /// A connection on which the handshake can be done.
    async fn reach(&self, tls: &Tls) -> Result<R::Stream, ConnectError> {
        let stream = self.dial().await?;
        if self.nodelay {
            R::set_nodelay(&stream);
        }
        #[cfg(feature = "tls")]
        if let Some((name, config)) = tls {
            return R::connect_tls(stream, name.clone(), config.clone()).await.map_err(ConnectError::Tls);
        }
        #[cfg(not(feature = "tls"))]
        let _ = tls;
        Ok(stream)
    }

    async fn dial(&self) -> Result<R::Stream, ConnectError> {
        let addresses = match &self.address {
            Some(Address::Tcp(address)) => vec![*address],
            #[cfg(unix)]
            Some(Address::Unix(Some(path))) => return R::dial_unix(path).await.map_err(ConnectError::Io),
            Some(Address::Unix(_)) => return Err(ConnectError::Io(ErrorKind::Unsupported.into())),
            None => {
                let target = self.request.target();
                R::resolve(target.host(), target.port()).await.map_err(ConnectError::Resolve)?
            }
        };
        race::<R, _, _>(addresses, R::dial).await.map_err(|error| match error.kind() {
            ErrorKind::TimedOut => ConnectError::Timeout,
            _ => ConnectError::Io(error),
        })
    }
}

/// Why there is no connection.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// The URL is no WebSocket URL.
    Url(TargetError),
    /// A header that can't be sent.
    Header(HeaderError),
    /// A list of subprotocols that can't be offered.
    Subprotocol(SubprotocolError),
    /// The URL is `wss://`, and this build of the library has no TLS. Use [`Connector::connect_over`].
    TlsUnsupported,
    /// The settings of TLS can't be used.
    #[cfg(feature = "tls")]
    TlsSettings(TlsError),
    /// The TLS handshake failed: the certificate is not trusted, is for another name, or there was nothing in common.
    Tls(io::Error),
    /// The name could not be looked up.
    Resolve(io::Error),
    /// No connection, or it failed before it was open. If several addresses were tried, this is the last failure.
    Io(io::Error),
    /// It took too long.
    Timeout,
    /// The server answered with another status than 101; its answer is here, with at most `Limits::refusal_body` bytes
    /// of the body.
    Refused(Box<Response>),
    /// The server does not speak the version, and says which it speaks (RFC 6455 section 4.4): see
    /// [`Connector::versions`].
    VersionRefused {
        /// The versions that it names, as far as this library has them.
        offered: Versions,
        /// Its answer.
        response: Box<Response>,
    },
    /// The answer was wrong.
    Handshake(HandshakeError),
    /// No randomness for the key.
    Entropy(EntropyError),
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(error) => error.fmt(f),
            Self::Header(error) => error.fmt(f),
            Self::Subprotocol(error) => error.fmt(f),
            Self::TlsUnsupported => f.write_str("wss:// is not supported"),
            #[cfg(feature = "tls")]
            Self::TlsSettings(error) => error.fmt(f),
            Self::Tls(error) => write!(f, "the TLS handshake failed: {error}"),
            Self::Resolve(error) => write!(f, "the name could not be looked up: {error}"),
            Self::Io(error) => write!(f, "the connection failed: {error}"),
            Self::Timeout => f.write_str("connecting took too long"),
            Self::Refused(response) => write!(f, "the server refused with status {}", response.status()),
            Self::VersionRefused { offered, response } => {
                write!(f, "the server refused with status {} and speaks {offered}", response.status())
            }
            Self::Handshake(error) => error.fmt(f),
            Self::Entropy(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ConnectError {}

macro_rules! from {
    ($($error:ty => $variant:ident),* $(,)?) => {$(
        impl From<$error> for ConnectError {
            fn from(error: $error) -> Self {
                Self::$variant(error)
            }
        }
    )*};
}

from! {
    TargetError => Url,
    HeaderError => Header,
    SubprotocolError => Subprotocol,
    EntropyError => Entropy,
}

#[cfg(feature = "tls")]
from! {
    TlsError => TlsSettings,
}
