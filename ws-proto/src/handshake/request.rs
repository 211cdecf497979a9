//! A request as the application sees it.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::vec::Vec;

use super::subprotocol;
use crate::extension::{Extension, header};
use crate::http::{Headers, Host, RequestHead, pairs};
use crate::version::Version;

/// A complete and valid request: for a WebSocket, or plain HTTP.
///
/// Everything in it comes from the peer: escape it before you print it. Bytes are never decoded or normalised for
/// you, so what you route by is what was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub(super) head: RequestHead,
    pub(super) upgrade: Option<Upgrade>,
}

/// What a request for a WebSocket asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upgrade {
    pub(super) version: Version,
    pub(super) key: Key,
    pub(super) subprotocol: Option<Box<str>>,
}

/// What the answer is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// The text of `Sec-WebSocket-Key`, in version 13.
    Text([u8; 24]),
    /// It is whatever the header says.
    #[cfg(feature = "legacy")]
    Header,
    /// The numbers that `Sec-WebSocket-Key1` and `-Key2` hide.
    #[cfg(feature = "legacy")]
    Numbers([u8; 8]),
    /// There is none.
    #[cfg(feature = "legacy")]
    None,
}

impl Upgrade {
    /// The version that the client speaks; one of `ServerConfig::versions`.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// The subprotocol that `ServerConfig::subprotocols` chooses.
    #[must_use]
    pub fn subprotocol(&self) -> Option<&str> {
        self.subprotocol.as_deref()
    }
}

impl Request {
    /// What is asked for if this is a request for a WebSocket; `None` for plain HTTP, which
    /// [`ServerHandshake::respond`](super::ServerHandshake::respond) answers.
    #[must_use]
    pub fn websocket(&self) -> Option<&Upgrade> {
        self.upgrade.as_ref()
    }

    /// Whether this is a request for a WebSocket.
    #[must_use]
    pub fn is_websocket(&self) -> bool {
        self.upgrade.is_some()
    }

    /// `GET`; or `HEAD`, for plain HTTP.
    #[must_use]
    pub fn method(&self) -> &str {
        self.head.method()
    }

    /// The request target as received: printable ASCII without `#`.
    #[must_use]
    pub fn target(&self) -> &str {
        self.head.target()
    }

    /// The path: the target up to `?`, and without scheme and authority if it was in absolute form.
    /// Percent-encoding and `..` are left as they are.
    #[must_use]
    pub fn path(&self) -> &str {
        self.split_target().0
    }

    /// The query: what follows the first `?` of the target.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.split_target().1
    }

    /// The query as decoded name and value pairs, in order.
    pub fn query_pairs(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        pairs::query(self.query().unwrap_or_default())
    }

    /// The header lines.
    #[must_use]
    pub fn headers(&self) -> &Headers {
        &self.head.headers
    }

    /// The first value of a header, if it is UTF-8.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name)
    }

    /// The `Host` header. `None` only in plain HTTP/1.0, which need not have one.
    #[must_use]
    pub fn host(&self) -> Option<Host<'_>> {
        Host::parse(self.header("host")?)
    }

    /// The `Origin` header, or `Sec-WebSocket-Origin`, which clients of hybi-04 to -08 send instead; if there are both,
    /// the one that belongs to the version. Printable ASCII.
    ///
    /// Look at it before you accept: browsers send their cookies with requests that other sites begin
    /// (RFC 6455 section 10.2). Programs that are no browsers need not send one.
    #[must_use]
    pub fn origin(&self) -> Option<&str> {
        let drafts = self.upgrade.as_ref().is_some_and(|upgrade| matches!(upgrade.version.number(), Some(4..=8)));
        let [first, second] =
            if drafts { ["sec-websocket-origin", "origin"] } else { ["origin", "sec-websocket-origin"] };
        self.header(first).or_else(|| self.header(second))
    }

    /// The cookies in order: name and value as sent.
    pub fn cookies(&self) -> impl Iterator<Item = (&str, &str)> {
        self.head.headers.get_all("cookie").flat_map(pairs::cookies)
    }

    /// The value of the first cookie of that name.
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies().find(|(n, _)| *n == name).map(|(_, value)| value)
    }

    /// The subprotocols that the client offers, the preferred one first (RFC 6455 section 4.1).
    ///
    /// Up to hybi-03 this is one name, which may have spaces and commas in it. Clients of that time that mean a list
    /// by it want all of it back: agree to it as it is.
    pub fn subprotocols(&self) -> impl Iterator<Item = &str> {
        let (whole, list) = match &self.upgrade {
            #[cfg(feature = "legacy")]
            Some(Upgrade { key: Key::None, .. }) => ("websocket-protocol", ""),
            #[cfg(feature = "legacy")]
            Some(Upgrade { key: Key::Numbers(_), .. }) => ("sec-websocket-protocol", ""),
            _ => ("", "sec-websocket-protocol"),
        };
        self.header(whole).into_iter().chain(subprotocol::offered(&self.head.headers, list))
    }

    /// The extensions that the client offers, the preferred one first (RFC 6455 section 9.1).
    #[must_use]
    pub fn extensions(&self) -> Vec<Extension> {
        let mut list = Vec::new();
        for line in self.head.headers.get_all("sec-websocket-extensions") {
            // The grammar was checked with the request.
            let _ = header::parse(line, &mut list);
        }
        list
    }

    /// The numbers that the eight bytes behind the head belong to, in the versions that have such bytes.
    #[cfg(feature = "legacy")]
    pub(super) fn challenge(&self) -> Option<[u8; 8]> {
        match self.upgrade.as_ref()?.key {
            Key::Numbers(numbers) => Some(numbers),
            _ => None,
        }
    }

    /// The offered extensions that a server looks at.
    pub(super) fn offers(&self) -> Vec<Extension> {
        header::offers(self.head.headers.get_all("sec-websocket-extensions"))
    }

    fn split_target(&self) -> (&str, Option<&str>) {
        let target = self.target();
        let target = absolute_form(target).map_or(target, |(_, rest)| rest);
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        (if path.is_empty() { "/" } else { path }, query)
    }
}

/// Authority and rest of a target in absolute form (RFC 9112 section 3.2.2).
pub(super) fn absolute_form(target: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = target.split_once("://")?;
    if !["http", "https", "ws", "wss"].iter().any(|s| scheme.eq_ignore_ascii_case(s)) {
        return None;
    }
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    rest.split_at_checked(end)
}
