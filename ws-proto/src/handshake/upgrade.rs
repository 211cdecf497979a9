//! What a request must be, whatever the version: RFC 9112, and RFC 6455 section 4.2.1 as far as all versions share it.

use super::error::HandshakeError;
use super::hybi;
use super::request::{Request, Upgrade, absolute_form};
use super::server::ServerConfig;
#[cfg(feature = "legacy")]
use super::{hixie75, hixie76};
use crate::http::syntax::{self, has_token};
use crate::http::{Headers, Host, RequestHead, ResponseHead, body};
use crate::version::Version;

/// A header that should come once: its first value, and how often it came.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Field<'h> {
    pub(super) value: Option<&'h [u8]>,
    pub(super) count: usize,
}

impl<'h> Field<'h> {
    /// Finds a header that few requests or answers have.
    #[cfg(feature = "legacy")]
    pub(super) fn of(headers: &'h Headers, name: &str) -> Self {
        let mut field = Self::default();
        headers.get_all(name).for_each(|value| field.note(value));
        field
    }

    /// The value, if it came exactly once.
    #[cfg(feature = "legacy")]
    pub(super) fn once(&self) -> Option<&'h [u8]> {
        self.value.filter(|_| self.count == 1)
    }

    /// Whether it came without a value.
    pub(super) fn is_empty(&self) -> bool {
        self.value.is_some_and(<[u8]>::is_empty)
    }

    fn note(&mut self, value: &'h [u8]) {
        self.value.get_or_insert(value);
        self.count += 1;
    }

    fn text(&self) -> Option<&'h str> {
        core::str::from_utf8(self.value?).ok()
    }
}

/// The headers that decide, found in one pass over the lines.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fields<'h> {
    pub(super) host: Field<'h>,
    pub(super) origin: Field<'h>,
    pub(super) old_origin: Field<'h>,
    pub(super) upgrade: Field<'h>,
    pub(super) says_websocket: bool,
    pub(super) connection: Field<'h>,
    pub(super) says_upgrade: bool,
    pub(super) content_length: Field<'h>,
    pub(super) transfer_encoding: Field<'h>,
    pub(super) key: Field<'h>,
    pub(super) key1: Field<'h>,
    pub(super) key2: Field<'h>,
    pub(super) draft: Field<'h>,
    pub(super) version: Field<'h>,
    pub(super) protocol: Field<'h>,
    /// `WebSocket-Protocol`, of hixie-75.
    #[cfg(feature = "legacy")]
    pub(super) plain_protocol: Field<'h>,
    pub(super) extensions: Field<'h>,
    pub(super) accept: Field<'h>,
}

impl<'h> Fields<'h> {
    pub(super) fn of(headers: &'h Headers) -> Self {
        Self::of_lines(headers.raw())
    }

    pub(super) fn of_lines(lines: impl Iterator<Item = (&'h [u8], &'h [u8])>) -> Self {
        let mut fields = Self::default();
        for (name, value) in lines {
            fields.sort(name, value);
        }
        fields
    }

    /// Client: those of a 101, which must switch to this protocol: RFC 6455 section 4.1, and since hixie-76.
    pub(super) fn of_switch(head: &'h ResponseHead) -> Result<Self, HandshakeError> {
        if head.minor != 1 {
            return Err(HandshakeError::HttpVersion);
        }
        let fields = Self::of(&head.headers);
        if fields.upgrade.count > 1 {
            return Err(HandshakeError::UpgradeRepeated);
        }
        if !fields.upgrade.value.is_some_and(|v| v.eq_ignore_ascii_case(b"websocket")) {
            return Err(HandshakeError::Upgrade);
        }
        if !fields.says_upgrade {
            return Err(HandshakeError::Connection);
        }
        Ok(fields)
    }

    fn sort(&mut self, name: &[u8], value: &'h [u8]) {
        // The length tells most names apart without comparing them.
        let (known, field) = match name.len() {
            4 => ("host", &mut self.host),
            6 => ("origin", &mut self.origin),
            7 => ("upgrade", &mut self.upgrade),
            10 => ("connection", &mut self.connection),
            14 => ("content-length", &mut self.content_length),
            17 if name.first().is_some_and(|b| b | 0x20 == b't') => ("transfer-encoding", &mut self.transfer_encoding),
            17 => ("sec-websocket-key", &mut self.key),
            18 if name.last() == Some(&b'1') => ("sec-websocket-key1", &mut self.key1),
            18 if name.last() == Some(&b'2') => ("sec-websocket-key2", &mut self.key2),
            #[cfg(feature = "legacy")]
            18 => ("websocket-protocol", &mut self.plain_protocol),
            19 => ("sec-websocket-draft", &mut self.draft),
            20 if name.last().is_some_and(|b| b | 0x20 == b't') => ("sec-websocket-accept", &mut self.accept),
            20 => ("sec-websocket-origin", &mut self.old_origin),
            21 => ("sec-websocket-version", &mut self.version),
            22 => ("sec-websocket-protocol", &mut self.protocol),
            24 => ("sec-websocket-extensions", &mut self.extensions),
            _ => return,
        };
        if name.eq_ignore_ascii_case(known.as_bytes()) {
            field.note(value);
            match known {
                "upgrade" => self.says_websocket |= has_token(value, "websocket"),
                "connection" => self.says_upgrade |= has_token(value, "upgrade"),
                _ => {}
            }
        }
    }

    /// The length of the body that a request may announce although it is none of HTTP's: some clients do so with the
    /// eight bytes of hixie-76.
    fn announced_body(&self) -> Option<u64> {
        #[cfg(feature = "legacy")]
        if asked_version(self).is_some_and(hixie76::has) {
            return Some(hixie76::BODY as u64);
        }
        None
    }

    /// Whether the request means to open a WebSocket, even if a header for it is missing.
    pub(super) fn means_websocket(&self) -> bool {
        let keys = self.key.count + self.key1.count + self.key2.count;
        self.says_websocket || keys + self.version.count + self.draft.count > 0
    }
}

/// Judges a request: the same checks for every version, then those of the version.
pub(super) fn examine(head: RequestHead, config: &ServerConfig) -> Result<Request, HandshakeError> {
    let fields = Fields::of(&head.headers);
    let upgrade = fields.means_websocket();
    check_request(&head, &fields, upgrade)?;
    let upgrade = if upgrade { Some(check_upgrade(&head, &fields, config)?) } else { None };
    Ok(Request { head, upgrade })
}

/// What every request must obey.
fn check_request(head: &RequestHead, fields: &Fields<'_>, upgrade: bool) -> Result<(), HandshakeError> {
    match head.method() {
        "GET" => {}
        "HEAD" if !upgrade => {}
        _ => return Err(HandshakeError::Method),
    }
    if upgrade && head.minor != 1 {
        return Err(HandshakeError::HttpVersion);
    }
    check_host(head, fields)?;
    // Nobody here reads a body, so its bytes would pass for frames or for another request.
    let no_length = |v| {
        let length = body::content_length(v);
        length == Some(0) || length.is_some() && length == fields.announced_body()
    };
    if fields.transfer_encoding.count > 0
        || fields.content_length.count > 1
        || !fields.content_length.value.is_none_or(no_length)
    {
        return Err(HandshakeError::RequestBody);
    }
    Ok(())
}

/// The host is named once, by the `Host` header; an absolute target must agree with it.
fn check_host(head: &RequestHead, fields: &Fields<'_>) -> Result<(), HandshakeError> {
    let host = match fields.host.count {
        0 if head.minor == 0 => None,
        1 => Some(fields.host.text().and_then(Host::parse).ok_or(HandshakeError::Host)?),
        _ => return Err(HandshakeError::HostCount),
    };
    let target = head.target();
    if target.starts_with('/') {
        return Ok(());
    }
    match (absolute_form(target), host) {
        (Some((authority, _)), Some(host)) if authority.eq_ignore_ascii_case(host.as_str()) => Ok(()),
        _ => Err(HandshakeError::RequestTarget),
    }
}

/// What every request for a WebSocket must obey.
fn check_upgrade(head: &RequestHead, fields: &Fields<'_>, config: &ServerConfig) -> Result<Upgrade, HandshakeError> {
    if !fields.says_websocket {
        return Err(HandshakeError::Upgrade);
    }
    if !fields.says_upgrade {
        return Err(HandshakeError::Connection);
    }
    for origin in [&fields.origin, &fields.old_origin] {
        if origin.count > 1 || !origin.value.is_none_or(|v| v.iter().all(|b| matches!(b, 0x20..=0x7e))) {
            return Err(HandshakeError::Origin);
        }
    }
    let version = asked_version(fields).filter(|asked| config.versions.contains(*asked));
    match version.ok_or(HandshakeError::Version)? {
        #[cfg(feature = "legacy")]
        Version::Hixie75 => hixie75::check_request(fields, config),
        #[cfg(feature = "legacy")]
        version if hixie76::has(version) => hixie76::check_request(version, fields, config),
        version => hybi::check_request(version, head, fields, config),
    }
}

/// The version that the request is for; `None` if there is no such version.
///
/// The newest thing that a request says decides. What fails the checks of one version is never taken for another.
fn asked_version(fields: &Fields<'_>) -> Option<Version> {
    let find = |number: fn(Version) -> Option<u8>, field: &Field<'_>| {
        let asked = self::number(syntax::trim(field.value.filter(|_| field.count == 1)?))?;
        Version::ALL.iter().copied().find(|version| number(*version) == Some(asked))
    };
    if fields.version.count > 0 {
        return find(Version::number, &fields.version);
    }
    #[cfg(feature = "legacy")]
    {
        // 0 is what some clients of hixie-76 say; who says nothing is told apart by the keys.
        if fields.draft.count > 0 && fields.draft.value != Some(b"0") {
            return find(Version::draft, &fields.draft);
        }
        if fields.draft.count + fields.key1.count + fields.key2.count > 0 {
            return Some(Version::Hixie76).filter(|_| fields.draft.count <= 1);
        }
        if fields.key.count == 0 {
            return Some(Version::Hixie75);
        }
    }
    None
}

/// A version number as it is written: no sign, no leading zero (RFC 6455 section 4.3).
fn number(text: &[u8]) -> Option<u8> {
    match text {
        [b'1'..=b'9', ..] | [b'0'] if text.iter().all(u8::is_ascii_digit) => {
            core::str::from_utf8(text).ok()?.parse().ok()
        }
        _ => None,
    }
}
