//! What an application answers to a request.

use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;

use super::error::HandshakeError;
use crate::extension::Extensions;
use crate::http::HeaderError;
use crate::http::fields::Lines;
use crate::version::{Version, Versions};

/// How to accept a request for a WebSocket.
///
/// ```
/// use ws_proto::handshake::Accept;
/// let accept = Accept::new().subprotocol("chat").header("Set-Cookie", "session=1; HttpOnly")?;
/// assert!(Accept::new().header("X", "a\r\nInjected: b").is_err());
/// # Ok::<(), ws_proto::http::HeaderError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accept {
    pub(super) subprotocol: Choice,
    /// Those of the configuration, if not set.
    pub(super) extensions: Option<Extensions>,
    pub(super) extra: Lines,
    #[cfg(feature = "legacy")]
    pub(super) secure: Option<bool>,
    #[cfg(feature = "legacy")]
    pub(super) nonce: Option<[u8; 16]>,
}

/// Which subprotocol to agree to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Choice {
    /// The one that the policy chose.
    #[default]
    Policy,
    None,
    Named(Box<str>),
}

impl Accept {
    /// Accept as the configuration says: the subprotocol by `ServerConfig::subprotocols`, an extension by
    /// `ServerConfig::extensions`, no further headers.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Agree to this subprotocol. It must be one that the client offers, which
    /// [`ServerHandshake::accept`](super::ServerHandshake::accept) checks.
    #[must_use]
    pub fn subprotocol(mut self, name: impl Into<Box<str>>) -> Self {
        self.subprotocol = Choice::Named(name.into());
        self
    }

    /// Agree to no subprotocol, whatever the configuration says.
    #[must_use]
    pub fn no_subprotocol(mut self) -> Self {
        self.subprotocol = Choice::None;
        self
    }

    /// Agree to one of these extensions, if the client offers one, whatever the configuration says.
    #[must_use]
    pub fn extensions(mut self, extensions: Extensions) -> Self {
        self.extensions = Some(extensions);
        self
    }

    /// Agree to no extension, whatever the configuration says.
    #[must_use]
    pub fn no_extensions(self) -> Self {
        self.extensions(Extensions::none())
    }

    /// Whether the client reached us over TLS, whatever `ServerConfig::secure` says. Clients up to hybi-03 want to see
    /// `ws` or `wss` in the answer.
    #[cfg(feature = "legacy")]
    #[must_use]
    pub fn secure(mut self, secure: bool) -> Self {
        self.secure = Some(secure);
        self
    }

    /// The bytes for the nonce that a server of hybi-04 sends. Nobody may be able to predict them: what hides a
    /// client's frames is made of them. Default: from the operating system, with the feature `getrandom`. Without it
    /// hybi-04 can't be accepted unless they come from here.
    #[cfg(feature = "legacy")]
    #[must_use]
    pub fn nonce(mut self, nonce: [u8; 16]) -> Self {
        self.nonce = Some(nonce);
        self
    }

    /// Adds a header to the 101. A name may come again, as `Set-Cookie` does.
    ///
    /// # Errors
    /// [`HeaderError`] for names that the handshake sets itself, and for what would break the head.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, HeaderError> {
        self.extra.add(name, value, &["host"])?;
        Ok(self)
    }
}

/// An HTTP answer other than 101: a refusal, a page, a redirect.
///
/// `Connection: close` and `Content-Length` are added; after it the connection is closed.
///
/// ```
/// use ws_proto::handshake::Reply;
/// let reply = Reply::text(401, "who are you?\n").header("WWW-Authenticate", "Bearer")?;
/// assert_eq!(reply.status(), 401);
/// # Ok::<(), ws_proto::http::HeaderError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Reply {
    status: u16,
    extra: Lines,
    body: Bytes,
    /// Said besides `close`.
    upgrade: bool,
}

impl Reply {
    /// An answer without a body. `status` is 200 to 599; any other becomes 500.
    ///
    /// 426 says `Upgrade: websocket` by itself (RFC 9110 section 15.5.22).
    #[must_use]
    pub fn new(status: u16) -> Self {
        let status = if matches!(status, 200..=599) { status } else { 500 };
        let upgrade = status == 426;
        let reply = Self { status, extra: Lines::default(), body: Bytes::new(), upgrade };
        if upgrade { reply.with("Upgrade", "websocket") } else { reply }
    }

    /// An answer with a body of plain text.
    #[must_use]
    pub fn text(status: u16, body: &str) -> Self {
        Self::fixed(status, "text/plain; charset=utf-8", Bytes::copy_from_slice(body.as_bytes()))
    }

    /// Adds a header. A name may come again.
    ///
    /// # Errors
    /// [`HeaderError`] for names that are set otherwise (`Content-Type` by [`Reply::body`]), and for what would
    /// break the head.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, HeaderError> {
        self.extra.add(name, value, &["host", "content-type"])?;
        Ok(self)
    }

    /// Sets the body and its type, for example `text/html; charset=utf-8`. Call it once.
    ///
    /// # Errors
    /// [`HeaderError::Value`] if the type would break the head.
    pub fn body(mut self, content_type: &str, body: impl Into<Bytes>) -> Result<Self, HeaderError> {
        self.extra.add_own("Content-Type", content_type)?;
        self.body = body.into();
        Ok(self)
    }

    /// The status code.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    fn fixed(status: u16, content_type: &str, body: Bytes) -> Self {
        let reply = Self::new(status);
        // The type is one of ours.
        reply.body(content_type, body).unwrap_or_else(|_| Self::new(status))
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        // Only with names and values from this file.
        let _ = self.extra.add_own(name, value);
        self
    }

    /// The answer to a fault; `None` if it gets none.
    pub(super) fn for_error(error: HandshakeError, served: Versions) -> Option<Self> {
        let status = error.status()?;
        let reply = Self::text(status, &alloc::format!("{error}\n"));
        Some(match error {
            HandshakeError::Method => reply.with("Allow", "GET, HEAD"),
            HandshakeError::Version | HandshakeError::VersionNeedsBytes => {
                let list: Vec<_> = served.iter().filter_map(Version::number).map(|n| n.to_string()).collect();
                // RFC 6455 section 4.4: the list tells the client what to try instead.
                if list.is_empty() { reply } else { reply.with("Sec-WebSocket-Version", &list.join(", ")) }
            }
            _ => reply,
        })
    }

    /// The bytes of the answer; `head_only` for a HEAD request.
    pub(super) fn into_bytes(self, head_only: bool) -> Vec<u8> {
        let (mut out, body) = self.into_parts(head_only);
        out.extend_from_slice(&body);
        out
    }

    /// Head and body of the answer; `head_only` for a HEAD request.
    pub(super) fn into_parts(self, head_only: bool) -> (Vec<u8>, Bytes) {
        let mut out = Vec::with_capacity(160 + self.extra.as_str().len() + self.body.len());
        let status = self.status.to_string();
        let mut put = |parts: &[&str]| parts.iter().for_each(|part| out.extend_from_slice(part.as_bytes()));
        put(&["HTTP/1.1 ", &status, " ", reason(self.status), "\r\n"]);
        put(&["Connection: ", if self.upgrade { "close, Upgrade" } else { "close" }, "\r\n", self.extra.as_str()]);
        // RFC 9110 section 8.6: these two have no body, and 204 no length.
        let bodiless = matches!(self.status, 204 | 304);
        if !bodiless {
            put(&["Content-Length: ", &self.body.len().to_string(), "\r\n"]);
        }
        put(&["\r\n"]);
        (out, if bodiless || head_only { Bytes::new() } else { self.body })
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply")
            .field("status", &self.status)
            .field("headers", &self.extra)
            .field("body_len", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// The usual text for a status; empty for those without one here.
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        410 => "Gone",
        414 => "URI Too Long",
        421 => "Misdirected Request",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_426_names_the_protocol_once() {
        for reply in [Some(Reply::new(426)), Reply::for_error(HandshakeError::Version, Versions::MODERN)] {
            let bytes = reply.unwrap().into_bytes(false);
            let text = core::str::from_utf8(&bytes).unwrap();
            assert_eq!(text.matches("\r\nUpgrade: websocket\r\n").count(), 1, "{text}");
            assert!(text.contains("\r\nConnection: close, Upgrade\r\n"), "{text}");
        }
    }
}
