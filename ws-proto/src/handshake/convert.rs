//! Requests and replies from and to the types of the crate `http`.

use alloc::string::String;
use alloc::vec::Vec;

use ::http::{Method, Uri, header};
use bytes::Bytes;

use super::client::ClientRequest;
use super::error::SubprotocolError;
use super::parsed::make_response;
use super::reply::Reply;
use super::request::Request;
use crate::http::{HeaderError, Host, Target, TargetError, syntax};

/// An answer that closes the connection. A bare 500 if the headers are too many (tens of thousands) or a name is
/// too long (65,535 bytes) for the type.
impl From<Reply> for ::http::Response<Bytes> {
    fn from(reply: Reply) -> Self {
        make_response(reply, false)
    }
}

/// The request as it came: header lines of one name keep their order.
impl TryFrom<&Request> for ::http::Request<()> {
    type Error = ::http::Error;

    /// # Errors
    /// A target that [`Uri`] does not take, or more header names than a `HeaderMap` takes (tens of thousands).
    fn try_from(request: &Request) -> Result<Self, Self::Error> {
        let mut parts = ::http::Request::new(()).into_parts().0;
        parts.method = Method::from_bytes(request.method().as_bytes())?;
        parts.uri = Uri::try_from(request.target())?;
        if request.head.minor == 0 {
            parts.version = ::http::Version::HTTP_10;
        }
        parts.headers = ::http::HeaderMap::try_from(request.headers())?;
        Ok(Self::from_parts(parts, ()))
    }
}

/// An `http::Request` that can't be made into a [`ClientRequest`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The method is not GET (RFC 6455 section 4.1).
    #[error("the method is not GET")]
    Method,
    /// The HTTP version is not 1.1 (RFC 6455 section 4.1).
    #[error("the HTTP version is not 1.1")]
    HttpVersion,
    /// The URI is not one to connect to.
    #[error("the URI can't be connected to: {0}")]
    Target(#[from] TargetError),
    /// A header is one that the handshake makes itself, is not UTF-8, or there is more than one `Host` or `Origin`.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// The list in `Sec-WebSocket-Protocol` may not be offered.
    #[error(transparent)]
    Subprotocol(#[from] SubprotocolError),
}

/// What a client asks for, from a GET to a `ws`, `wss`, `http` or `https` URI.
///
/// `Host`, `Origin` and the list of `Sec-WebSocket-Protocol` go to their places; other headers are added in the order of the
/// map. Version and extensions are set on the result. User info in the URI is an error, since nothing would be made of it.
///
/// ```
/// use ws_proto::handshake::ClientRequest;
/// let request = http::Request::get("wss://example.com/chat")
///     .header("sec-websocket-protocol", "chat, superchat")
///     .header("authorization", "Bearer 123")
///     .body(())?;
/// let request = ClientRequest::try_from(&request)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl<B> TryFrom<&::http::Request<B>> for ClientRequest {
    type Error = RequestError;

    /// # Errors
    /// [`RequestError`].
    fn try_from(request: &::http::Request<B>) -> Result<Self, Self::Error> {
        if request.method() != Method::GET {
            return Err(RequestError::Method);
        }
        if request.version() != ::http::Version::HTTP_11 {
            return Err(RequestError::HttpVersion);
        }
        let mut result = Self::new(target(request.uri())?);
        let mut names: Vec<String> = Vec::new();
        for (name, value) in request.headers() {
            let bad = || HeaderError::Value(name.as_str().into());
            let value = core::str::from_utf8(value.as_bytes()).map_err(|_| bad())?;
            match *name {
                header::HOST if result.host.is_some() => return Err(bad().into()),
                header::HOST => result = result.host(value)?,
                header::ORIGIN if result.origin.is_some() => return Err(bad().into()),
                header::ORIGIN => result = result.origin(value)?,
                header::SEC_WEBSOCKET_PROTOCOL => {
                    names.extend(value.split(',').map(syntax::trim_str).map(String::from));
                }
                _ => result = result.header(name.as_str(), value)?,
            }
        }
        Ok(result.subprotocols(names)?)
    }
}

fn target(uri: &Uri) -> Result<Target, TargetError> {
    let secure = match uri.scheme_str() {
        Some("ws" | "http") => false,
        Some("wss" | "https") => true,
        _ => return Err(TargetError::Scheme),
    };
    let host = uri.authority().and_then(|authority| Host::parse(authority.as_str())).ok_or(TargetError::Host)?;
    Target::new(secure, host.name(), host.port(), uri.path_and_query().map_or("/", |resource| resource.as_str()))
}
