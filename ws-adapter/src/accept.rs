//! The server's side of the opening handshake.

use std::fmt;
use std::future::{Future, ready};
use std::io;
use std::marker::PhantomData;
use std::sync::Arc;

use ws_proto::handshake::{AcceptError as NotAccepted, ServerHandshake, Step};
use ws_proto::{Accept, HandshakeError, Instant, NoEntropy, Reply, Request, ServerConfig};

use crate::clock::Clock;
#[cfg(feature = "tls")]
use crate::clock::within;
use crate::driver::Driver;
#[cfg(feature = "tls")]
use crate::runtime::Network;
use crate::runtime::{Runtime, Transfer};
#[cfg(feature = "tls")]
use crate::tls::ServerTls;
use crate::trace;
use crate::websocket::WebSocket;

/// What to do with a request.
///
/// ```
/// use ws_tokio::{Accept, Decision, Reply, Request};
/// fn decide(request: &Request) -> Decision {
///     match (request.path(), request.is_websocket()) {
///         ("/chat", true) => Accept::new().into(),
///         ("/healthz", false) => Reply::text(200, "ok\n").into(),
///         _ => Reply::text(404, "not found\n").into(),
///     }
/// }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Decision {
    /// Open the WebSocket.
    Accept(Accept),
    /// Answer with this: a refusal, or a page for a plain HTTP request.
    Reply(Reply),
}

impl Decision {
    /// Opens every WebSocket; answers plain HTTP requests with 426.
    #[must_use]
    pub fn default_for(request: &Request) -> Self {
        if request.is_websocket() {
            Self::Accept(Accept::new())
        } else {
            Self::Reply(Reply::text(426, "There is a WebSocket here.\n"))
        }
    }
}

impl From<Accept> for Decision {
    fn from(accept: Accept) -> Self {
        Self::Accept(accept)
    }
}

impl From<Reply> for Decision {
    fn from(reply: Reply) -> Self {
        Self::Reply(reply)
    }
}

/// Accepts WebSockets with the same settings again and again. Clones share the settings.
///
/// ```no_run
/// use ws_tokio::{Accept, Acceptor, Config, Decision, Reply};
/// # async fn example(stream: tokio::net::TcpStream) -> Result<(), Box<dyn std::error::Error>> {
/// let mut config = Config::default();
/// config.limits.message = 64 * 1024;
/// let acceptor = Acceptor::new(config);
/// let (mut ws, request) = acceptor
///     .accept_with(stream, |request| {
///         let known = request.cookie("session").is_some_and(|id| id == "abc");
///         async move { if known { Decision::Accept(Accept::new()) } else { Reply::new(403).into() } }
///     })
///     .await?;
/// println!("{} opened", request.path());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Acceptor<R> {
    config: Arc<ServerConfig>,
    runtime: PhantomData<R>,
}

impl<R> Default for Acceptor<R> {
    fn default() -> Self {
        Self { config: Arc::default(), runtime: PhantomData }
    }
}

impl<R: Runtime> Acceptor<R> {
    /// An acceptor with these settings: a `ServerConfig`, an `Arc` of one, or just a [`Config`](ws_proto::Config).
    #[must_use]
    pub fn new(config: impl Into<ServerConfig>) -> Self {
        Self { config: Arc::new(config.into()), runtime: PhantomData }
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &Arc<ServerConfig> {
        &self.config
    }

    /// Does the handshake, as [`Decision::default_for`] says. Gives the connection and the request.
    ///
    /// # Errors
    /// [`AcceptError`]. The client has then been answered, if that was possible.
    ///
    /// # Cancel safety
    /// Dropping the future drops the transport; nothing stays behind.
    pub async fn accept<T>(&self, transport: T) -> Result<(WebSocket<T, R>, Request), AcceptError>
    where
        T: 'static,
        R: Transfer<T>,
    {
        self.accept_with(transport, |request| ready(Decision::default_for(request))).await
    }

    /// Does the handshake as `decide` says, which sees the request and may take its time, up to `Timers::handshake`
    /// (503 after that).
    ///
    /// A refusal is written whole; then the writing side is shut down, and what the client still sends is read and
    /// thrown away up to `Limits::drain` or `Timers::close`, so that the answer reaches the client.
    ///
    /// # Errors
    /// [`AcceptError`]. The client has then been answered, if that was possible.
    ///
    /// # Cancel safety
    /// Dropping the future drops the transport; nothing stays behind.
    pub async fn accept_with<T, D, F>(&self, transport: T, decide: D) -> Result<(WebSocket<T, R>, Request), AcceptError>
    where
        T: 'static,
        R: Transfer<T>,
        D: FnOnce(&Request) -> F,
        F: Future<Output = Decision>,
    {
        // The handshake is large and short, the connection small and long: a task that does both should not
        // keep room for the first.
        Box::pin(self.shake_hands(transport, Clock::start(), self.config.clone(), decide)).await
    }

    /// The time for the handshake began with the clock.
    async fn shake_hands<T, D, F>(
        &self,
        transport: T,
        clock: Clock<R>,
        config: Arc<ServerConfig>,
        decide: D,
    ) -> Result<(WebSocket<T, R>, Request), AcceptError>
    where
        T: 'static,
        R: Transfer<T>,
        D: FnOnce(&Request) -> F,
        F: Future<Output = Decision>,
    {
        R::set_nodelay(&transport);
        let machine = ServerHandshake::new(Instant::ZERO, config);
        let mut driver = Box::new(Driver::new(transport, machine, clock));
        let mut failure = None;
        if driver.step().await == Step::Request
            && let Some(decision) = driver.machine.request().map(decide)
        {
            failure = driver.decide(decision).await.and_then(|decision| answer(&mut driver, decision));
        }
        let result = open(driver, failure).await;
        match &result {
            Ok((ws, request)) => trace::accepted(request, ws.negotiated()),
            Err(error) => trace::not_accepted(error),
        }
        result
    }
}

#[cfg(feature = "tls")]
impl<R: Network> Acceptor<R> {
    /// Does the TLS handshake on a socket, and then as [`Acceptor::accept_with`]. `Timers::handshake` is for both.
    ///
    /// # Errors
    /// [`AcceptError`]; [`AcceptError::Tls`] if the client was not even answered in HTTP.
    ///
    /// # Cancel safety
    /// Dropping the future drops the socket; nothing stays behind.
    pub async fn accept_tls_with<D, F>(
        &self,
        stream: impl Into<R::Stream>,
        tls: &ServerTls,
        decide: D,
    ) -> Result<(WebSocket<R::Stream, R>, Request), AcceptError>
    where
        D: FnOnce(&Request) -> F,
        F: Future<Output = Decision>,
    {
        let stream = stream.into();
        Box::pin(async move {
            R::set_nodelay(&stream);
            let clock = Clock::start();
            #[cfg_attr(not(feature = "legacy"), allow(unused_mut))]
            let mut config = self.config.clone();
            #[cfg(feature = "legacy")]
            if !config.secure {
                Arc::make_mut(&mut config).secure = true;
            }
            let limit = config.connection.timers.handshake;
            let result = match within::<R, _>(limit, R::accept_tls(stream, tls.config().clone())).await {
                Some(result) => result.map_err(AcceptError::Tls),
                None => Err(AcceptError::Handshake(HandshakeError::Timeout)),
            };
            match result {
                Ok(stream) => self.shake_hands(stream, clock, config, decide).await,
                Err(error) => {
                    trace::not_accepted(&error);
                    Err(error)
                }
            }
        })
        .await
    }
}

/// Carries a decision out; gives the reason why there will be no connection.
fn answer<T, R: Transfer<T>>(driver: &mut Driver<T, ServerHandshake, R>, decision: Decision) -> Option<AcceptError> {
    let now = driver.clock.now();
    let (failure, reply) = match decision {
        Decision::Accept(accept) => match driver.machine.accept(now, accept) {
            Ok(()) => return None,
            Err(error) => (AcceptError::Decision(error), Reply::new(500)),
        },
        Decision::Reply(reply) => (AcceptError::Replied(reply.status()), reply),
    };
    driver.machine.respond(now, reply).then_some(failure)
}

async fn open<T, R>(
    mut driver: Box<Driver<T, ServerHandshake, R>>,
    failure: Option<AcceptError>,
) -> Result<(WebSocket<T, R>, Request), AcceptError>
where
    R: Transfer<T>,
{
    if failure.is_some() || driver.step().await != Step::Done {
        driver.finish().await;
        return Err(failure.unwrap_or_else(|| match (driver.error.take(), driver.machine.error()) {
            (Some(error), _) => AcceptError::Io(error),
            (None, Some(error)) => AcceptError::Handshake(*error),
            (None, None) => AcceptError::Handshake(HandshakeError::Eof),
        }));
    }
    let Driver { io, machine, clock, .. } = *driver;
    let Ok((connection, request)) = machine.into_parts(Box::new(NoEntropy)) else {
        return Err(AcceptError::Handshake(HandshakeError::Eof));
    };
    let mut ws = WebSocket::with_clock(connection, io, clock);
    // If the rest of the answer can't be written, the connection tells.
    let _ = ws.flush().await;
    Ok((ws, request))
}

/// Why a transport did not become a WebSocket. The client was answered, if that was possible.
#[derive(Debug)]
#[non_exhaustive]
pub enum AcceptError {
    /// The request was wrong, too large or too slow.
    Handshake(HandshakeError),
    /// The decision was a reply with this status. Not a fault, if the request was plain HTTP.
    Replied(u16),
    /// The decision could not be carried out; the client got 500.
    Decision(NotAccepted),
    /// The transport failed.
    Io(io::Error),
    /// The TLS handshake failed.
    Tls(io::Error),
}

impl fmt::Display for AcceptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Handshake(error) => error.fmt(f),
            Self::Replied(status) => write!(f, "answered with status {status}"),
            Self::Decision(error) => error.fmt(f),
            Self::Io(error) => write!(f, "the transport failed: {error}"),
            Self::Tls(error) => write!(f, "the TLS handshake failed: {error}"),
        }
    }
}

impl std::error::Error for AcceptError {}
