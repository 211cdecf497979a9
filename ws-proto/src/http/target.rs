//! Where a client connects to: a `ws` or `wss` URL in parts (RFC 6455 section 3).

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use core::fmt;

use super::host::Host;
use super::syntax;

/// A URL that can't be connected to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// It is no absolute URL by the WHATWG rules.
    #[error("not a URL: {0}")]
    Syntax(Box<str>),
    /// The scheme is not `ws` or `wss`.
    #[error("the scheme is not ws or wss")]
    Scheme,
    /// There is a fragment (RFC 6455 section 3: `#` must be written as `%23`).
    #[error("the URL has a fragment")]
    Fragment,
    /// The port is 0.
    #[error("the port is not between 1 and 65535")]
    Port,
    /// The host is no name and no address.
    #[error("the host is no name and no address")]
    Host,
    /// The resource does not begin with `/`, or holds `#`, white space, control characters or bytes above ASCII.
    #[error("the resource does not begin with '/' or holds bytes that must be escaped")]
    Resource,
}

/// What a URL says: how to connect, and what to ask for.
///
/// User info is kept apart: it is never sent by the handshake and never printed.
///
/// ```
/// # #[cfg(feature = "url")] {
/// use ws_proto::http::Target;
/// let target = Target::parse("wss://example.com/chat?room=1")?;
/// assert_eq!((target.host(), target.port(), target.is_secure()), ("example.com", 443, true));
/// assert_eq!(target.resource(), "/chat?room=1");
/// # }
/// # Ok::<(), ws_proto::http::TargetError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Target {
    secure: bool,
    host: Box<str>,
    port: u16,
    resource: Box<str>,
    user: Option<(Box<str>, Option<Box<str>>)>,
}

impl Target {
    /// Reads a `ws` or `wss` URL by the WHATWG rules.
    ///
    /// # Errors
    /// [`TargetError`] for relative URLs, other schemes, fragments and port 0.
    #[cfg(feature = "url")]
    pub fn parse(url: &str) -> Result<Self, TargetError> {
        Self::read(url, |scheme| match scheme {
            "ws" => Some(false),
            "wss" => Some(true),
            _ => None,
        })
    }

    /// Like [`Target::parse`], and takes `http` for `ws` and `https` for `wss`.
    ///
    /// # Errors
    /// As [`Target::parse`].
    #[cfg(feature = "url")]
    pub fn parse_with_http(url: &str) -> Result<Self, TargetError> {
        Self::read(url, |scheme| match scheme {
            "ws" | "http" => Some(false),
            "wss" | "https" => Some(true),
            _ => None,
        })
    }

    #[cfg(feature = "url")]
    fn read(text: &str, secure: impl FnOnce(&str) -> Option<bool>) -> Result<Self, TargetError> {
        let url = url::Url::parse(text).map_err(|e| TargetError::Syntax(e.to_string().into()))?;
        let secure = secure(url.scheme()).ok_or(TargetError::Scheme)?;
        if url.fragment().is_some() {
            return Err(TargetError::Fragment);
        }
        let mut resource = String::from(url.path());
        if let Some(query) = url.query().filter(|q| !q.is_empty()) {
            resource.push('?');
            resource.push_str(query);
        }
        let mut target = Self::new(secure, url.host_str().unwrap_or_default(), url.port(), &resource)?;
        if !url.username().is_empty() || url.password().is_some() {
            target.user = Some((url.username().into(), url.password().map(Into::into)));
        }
        Ok(target)
    }

    /// A target from its parts. `host` is a name, an IPv4 address, or an IPv6 address with or without brackets;
    /// `port` defaults to 80, or 443 if `secure`; `resource` is the path with the query, and `""` means `/`.
    ///
    /// # Errors
    /// [`TargetError::Host`], [`TargetError::Port`] (0), [`TargetError::Resource`].
    pub fn new(secure: bool, host: &str, port: Option<u16>, resource: &str) -> Result<Self, TargetError> {
        let host = if host.parse::<core::net::Ipv6Addr>().is_ok() {
            host
        } else {
            Host::parse(host)
                .filter(|h| h.port().is_none() && !h.as_str().ends_with(':'))
                .ok_or(TargetError::Host)?
                .name()
        };
        let port = match port {
            Some(0) => return Err(TargetError::Port),
            Some(port) => port,
            None => default_port(secure),
        };
        let resource = if resource.is_empty() { "/" } else { resource };
        if !resource.starts_with('/') || !resource.bytes().all(syntax::is_target_byte) {
            return Err(TargetError::Resource);
        }
        Ok(Self { secure, host: host.into(), port, resource: resource.into(), user: None })
    }

    /// Whether to use TLS.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// The name or address to connect to; an IPv6 address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port to connect to.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The path and, if there is one, `?` and the query (RFC 6455 section 3).
    #[must_use]
    pub fn resource(&self) -> &str {
        &self.resource
    }

    /// The value of the `Host` header: the port only if it is not the scheme's own (RFC 6455 section 4.1).
    #[must_use]
    pub fn authority(&self) -> String {
        let mut text = String::with_capacity(self.host.len() + 8);
        let v6 = self.host.contains(':');
        text.push_str(if v6 { "[" } else { "" });
        text.push_str(&self.host);
        text.push_str(if v6 { "]" } else { "" });
        if self.port != default_port(self.secure) {
            text.push(':');
            text.push_str(&self.port.to_string());
        }
        text
    }

    /// The user name of the URL, still percent-encoded. The handshake never sends it.
    #[must_use]
    pub fn username(&self) -> Option<&str> {
        self.user.as_ref().map(|(name, _)| &**name)
    }

    /// The password of the URL, still percent-encoded. The handshake never sends it.
    #[must_use]
    pub fn password(&self) -> Option<&str> {
        self.user.as_ref().and_then(|(_, password)| password.as_deref())
    }
}

#[cfg(feature = "url")]
impl core::str::FromStr for Target {
    type Err = TargetError;

    fn from_str(url: &str) -> Result<Self, TargetError> {
        Self::parse(url)
    }
}

impl fmt::Display for Target {
    /// The URL without its user info.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "wss" } else { "ws" };
        write!(f, "{scheme}://{}{}", self.authority(), self.resource)
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({self})")
    }
}

const fn default_port(secure: bool) -> u16 {
    if secure { 443 } else { 80 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_checked() {
        let target = Target::new(false, "::1", Some(8080), "").unwrap();
        assert_eq!((target.host(), &*target.authority(), target.resource()), ("::1", "[::1]:8080", "/"));
        assert_eq!(Target::new(true, "[::1]", None, "/a?b").unwrap().to_string(), "wss://[::1]/a?b");
        assert_eq!(Target::new(false, "a", Some(0), "/"), Err(TargetError::Port));
        for host in ["", "a b", "a:1", "a:", "a/b", "u@a", "::1%eth0", "a\r\nb"] {
            assert_eq!(Target::new(false, host, None, "/"), Err(TargetError::Host), "{host}");
        }
        for resource in ["a", "/a b", "/a#b", "/\r\n", "/\u{e4}", "?a", "*", "http://a/"] {
            assert_eq!(Target::new(false, "a", None, resource), Err(TargetError::Resource), "{resource}");
        }
    }
}
