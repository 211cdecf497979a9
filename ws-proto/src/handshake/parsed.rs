//! The server's side of the opening handshake on a request that an HTTP library has read.
//!
//! The request is judged by the code that judges bytes, and the answer is the one that would have been written: the rules
//! stand in `upgrade`, `answer` and the files of the versions.

use alloc::sync::Arc;
use core::fmt;

use ::http::request::Parts;
use ::http::{HeaderMap, Method, Uri};
use bytes::Bytes;

use super::error::{AcceptError, HandshakeError};
use super::reply::{Accept, Reply};
use super::request::Request;
use super::server::ServerConfig;
use super::{answer, upgrade};
use crate::connection::Negotiated;
use crate::http::head::Rules;
use crate::http::parts;
use crate::version::Versions;

/// A complete and valid request that an HTTP library has read, waiting for an answer.
///
/// For servers that leave HTTP to something else, such as hyper. The checks, limits and answers are those of
/// [`ServerHandshake`](super::ServerHandshake); here, too, a request that is not for a WebSocket is reported as plain HTTP.
/// The versions are those from hybi-04 on. HTTP/2 is refused.
///
/// Of `Timers` nothing is used: how long the handshake may take is the business of the HTTP library.
///
/// ```
/// use ws_proto::connection::Connection;
/// use ws_proto::handshake::{Accept, ParsedHandshake, Reply, ServerConfig};
/// use ws_proto::{NoEntropy, Role};
/// # let request = http::Request::get("/chat").header("host", "example.com").header("upgrade", "websocket")
/// #     .header("connection", "Upgrade").header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
/// #     .header("sec-websocket-version", "13").body(())?;
/// // let request: http::Request<_> = ...
/// let config = ServerConfig::default();
/// match ParsedHandshake::new(&request, config) {
///     Ok(handshake) if handshake.request().path() != "/chat" => {
///         let response = handshake.reject(Reply::new(404));
///         // Send it.
///     }
///     Ok(handshake) => {
///         let (response, negotiated) = handshake.accept(Accept::new())?;
///         assert_eq!(response.status(), 101);
///         // Send it; then the transport is a WebSocket.
///         let config = handshake.config().connection.clone();
///         let connection = Connection::from_upgraded(Role::Server, negotiated, config, Box::new(NoEntropy));
///     }
///     Err(refusal) => {
///         let response = refusal.into_response();
///         // Send it.
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ParsedHandshake {
    config: Arc<ServerConfig>,
    request: Request,
}

impl ParsedHandshake {
    /// Judges a request. Its body is not looked at: a request for a WebSocket must not announce one.
    ///
    /// # Errors
    /// [`Refusal`], with the answer that the client should get.
    pub fn new<B>(request: &::http::Request<B>, config: impl Into<Arc<ServerConfig>>) -> Result<Self, Refusal> {
        Self::examine(request.method(), request.uri(), request.version(), request.headers(), config.into())
    }

    /// Judges the parts of a request.
    ///
    /// # Errors
    /// As [`ParsedHandshake::new`].
    pub fn from_parts(parts: &Parts, config: impl Into<Arc<ServerConfig>>) -> Result<Self, Refusal> {
        Self::examine(&parts.method, &parts.uri, parts.version, &parts.headers, config.into())
    }

    fn examine(
        method: &Method,
        uri: &Uri,
        version: ::http::Version,
        headers: &HeaderMap,
        config: Arc<ServerConfig>,
    ) -> Result<Self, Refusal> {
        let limits = &config.connection.limits;
        let rules = Rules { bytes: limits.head, lines: limits.header_lines, bare_lf: false };
        let request = parts::read_request(method, uri, version, headers, rules)
            .map_err(HandshakeError::from)
            .and_then(|head| upgrade::examine(head, &config))
            .and_then(check_version);
        match request {
            Ok(request) => Ok(Self { config, request }),
            Err(error) => {
                let lines = headers.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
                let meant = upgrade::Fields::of_lines(lines).means_websocket();
                Err(Refusal { error, served: config.versions, head_only: method == Method::HEAD, meant })
            }
        }
    }

    /// The request: path, headers, cookies, origin, what is offered.
    #[must_use]
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// The request, to keep it.
    #[must_use]
    pub fn into_request(self) -> Request {
        self.request
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &Arc<ServerConfig> {
        &self.config
    }

    /// The 101 that accepts the request (RFC 6455 section 4.2.2), and what to begin the connection with once it is sent.
    ///
    /// In hybi-04 every call takes a fresh nonce: send the response that came with the `Negotiated`.
    ///
    /// # Errors
    /// [`AcceptError`]; the request can still be answered.
    pub fn accept(&self, accept: Accept) -> Result<(::http::Response<()>, Negotiated), AcceptError> {
        let (head, negotiated) = answer::switch(&self.request, &accept, &self.config)?;
        let response = parts::make_response(head, ()).map_err(|_| AcceptError::Headers)?;
        Ok((response, negotiated))
    }

    /// Any other answer than 101: a refusal, or plain HTTP. It closes the connection. The answer to a `HEAD` has no body.
    #[must_use]
    pub fn reject(&self, reply: Reply) -> ::http::Response<Bytes> {
        make_response(reply, self.request.method() == "HEAD")
    }
}

/// The handshakes of older versions are more than a head with certain headers.
fn check_version(request: Request) -> Result<Request, HandshakeError> {
    match request.websocket() {
        Some(upgrade) if upgrade.version().number().is_none() => Err(HandshakeError::VersionNeedsBytes),
        _ => Ok(request),
    }
}

/// A bare 500 if the headers are too many for a [`HeaderMap`] (tens of thousands) or a name is too long for it.
pub(super) fn make_response(reply: Reply, head_only: bool) -> ::http::Response<Bytes> {
    let (head, body) = reply.into_parts(head_only);
    parts::make_response(head, body).unwrap_or_else(|_| {
        let mut response = ::http::Response::new(Bytes::new());
        *response.status_mut() = ::http::StatusCode::INTERNAL_SERVER_ERROR;
        response
    })
}

/// A request that an HTTP library has read and that breaks a rule or a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    error: HandshakeError,
    served: Versions,
    head_only: bool,
    /// It means to open a WebSocket.
    meant: bool,
}

impl Refusal {
    /// What is wrong with the request.
    #[must_use]
    pub fn error(&self) -> HandshakeError {
        self.error
    }

    /// Whether the request means to open a WebSocket, even if a header for it is missing. If not, it is plain HTTP of a
    /// kind that is not served here, with a body or over HTTP/2 say, and a program may have another use for it.
    #[must_use]
    pub fn is_for_websocket(&self) -> bool {
        self.meant
    }

    /// The answer that the client should get: the status of [`HandshakeError::status`], a line of text, and with a 426 the
    /// versions that are served (RFC 6455 section 4.4). It closes the connection.
    #[must_use]
    pub fn reply(&self) -> Reply {
        // Only bytes that are no HTTP at all get no answer.
        Reply::for_error(self.error, self.served).unwrap_or_else(|| Reply::new(400))
    }

    /// The answer as a response, without its body if the request was a `HEAD`.
    #[must_use]
    pub fn into_response(self) -> ::http::Response<Bytes> {
        make_response(self.reply(), self.head_only)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl core::error::Error for Refusal {}
