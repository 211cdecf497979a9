//! The opening handshake of hixie-75, both roles, and what hixie-76 took over from it.
//!
//! Old programs compare the beginning byte by byte, so order and spelling are fixed here.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::client::ClientRequest;
use super::error::HandshakeError;
use super::request::{Key, Request, Upgrade, absolute_form};
use super::server::ServerConfig;
use super::upgrade::{Field, Fields};
use crate::connection::Negotiated;
use crate::http::ResponseHead;
use crate::version::Version;

/// How an answer begins. "Web Socket" is two words in this version, and in no other.
const FIRST_LINES: &str = "HTTP/1.1 101 Web Socket Protocol Handshake\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n";

/// What stands in front of `WebSocket-Origin` and the like: nothing, or since hixie-76 `Sec-`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Prefix {
    None,
    Sec,
}

impl Prefix {
    const fn text(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Sec => "Sec-",
        }
    }
}

/// Server: the rules that only this version has.
pub(super) fn check_request(fields: &Fields<'_>, config: &ServerConfig) -> Result<Upgrade, HandshakeError> {
    let subprotocol = check_names(fields, &fields.plain_protocol, config)?;
    Ok(Upgrade { version: Version::Hixie75, key: Key::None, subprotocol })
}

/// Server: the origin, which is mandatory, and the one name of a subprotocol.
pub(super) fn check_names(
    fields: &Fields<'_>,
    protocol: &Field<'_>,
    config: &ServerConfig,
) -> Result<Option<Box<str>>, HandshakeError> {
    let is_there = |field: &Field<'_>| field.value.is_some_and(|v| !v.is_empty());
    if !is_there(&fields.origin) && !is_there(&fields.old_origin) {
        return Err(HandshakeError::OriginMissing);
    }
    let name = match (protocol.value, protocol.count) {
        (None, _) => None,
        (Some(value), 1) => match core::str::from_utf8(value) {
            // Spaces and commas are part of the name.
            Ok(name) if !name.is_empty() && name.bytes().all(|b| matches!(b, 0x20..=0x7e)) => Some(name),
            _ => return Err(HandshakeError::SubprotocolSyntax),
        },
        _ => return Err(HandshakeError::SubprotocolRepeated),
    };
    config.subprotocols.choose_one(name)
}

/// Server: the 101. `extra` are finished header lines.
pub(super) fn make_response(request: &Request, negotiated: &Negotiated, secure: bool, extra: &str) -> Vec<u8> {
    let mut out = String::from(FIRST_LINES);
    push_names(&mut out, Prefix::None, request, negotiated, secure);
    out.push_str(extra);
    out.push_str("\r\n");
    out.into_bytes()
}

/// Server: origin, location, subprotocol.
pub(super) fn push_names(out: &mut String, prefix: Prefix, request: &Request, negotiated: &Negotiated, secure: bool) {
    let sec = prefix.text();
    let target = request.target();
    let resource = absolute_form(target).map_or(target, |(_, rest)| rest);
    let host = request.host().map(|h| h.as_str()).unwrap_or_default();
    let mut put = |parts: &[&str]| parts.iter().for_each(|part| out.push_str(part));
    put(&[sec, "WebSocket-Origin: ", request.origin().unwrap_or_default(), "\r\n"]);
    put(&[sec, "WebSocket-Location: ", if secure { "wss://" } else { "ws://" }, host]);
    put(&[if resource.starts_with('/') { "" } else { "/" }, resource, "\r\n"]);
    if let Some(name) = &negotiated.subprotocol {
        put(&[sec, "WebSocket-Protocol: ", name, "\r\n"]);
    }
}

/// Client: the request. `extra` are the lines that other versions have besides.
pub(super) fn make_request(request: &ClientRequest, prefix: Prefix, extra: &str) -> Vec<u8> {
    let mut out = String::with_capacity(256);
    let mut put = |parts: &[&str]| parts.iter().for_each(|part| out.push_str(part));
    put(&["GET ", request.target.resource(), " HTTP/1.1\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n"]);
    put(&["Host: ", &host(request), "\r\nOrigin: ", &origin(request), "\r\n"]);
    if let Some(name) = request.subprotocols.first() {
        put(&[prefix.text(), "WebSocket-Protocol: ", name, "\r\n"]);
    }
    put(&[extra, request.extra.as_str(), "\r\n"]);
    out.into_bytes()
}

/// `host[:port]`, in lower case as these drafts want it.
fn host(request: &ClientRequest) -> String {
    match &request.host {
        Some(host) => host.to_ascii_lowercase(),
        None => request.target.authority().to_ascii_lowercase(),
    }
}

/// The origin, without which no server takes the request. A program that names none comes from the server itself.
fn origin(request: &ClientRequest) -> String {
    match &request.origin {
        Some(origin) => origin.to_ascii_lowercase(),
        None if request.target.is_secure() => alloc::format!("https://{}", host(request)),
        None => alloc::format!("http://{}", host(request)),
    }
}

/// Client: judges a 101.
pub(super) fn check_response(head: &ResponseHead, request: &ClientRequest) -> Result<Negotiated, HandshakeError> {
    if !head.starts_with(FIRST_LINES.as_bytes()) {
        return Err(HandshakeError::FirstLines);
    }
    let mut negotiated = Negotiated::new(Version::Hixie75);
    negotiated.subprotocol = check_answer(head, request, Prefix::None)?;
    Ok(negotiated)
}

/// Client: origin, location and subprotocol of an answer.
pub(super) fn check_answer(
    head: &ResponseHead,
    request: &ClientRequest,
    prefix: Prefix,
) -> Result<Option<Box<str>>, HandshakeError> {
    let field = |plain, sec| Field::of(&head.headers, if prefix == Prefix::None { plain } else { sec });
    let wanted = origin(request);
    let right = |value: &[u8]| value.eq_ignore_ascii_case(wanted.as_bytes());
    if !field("websocket-origin", "sec-websocket-origin").once().is_some_and(right) {
        return Err(HandshakeError::OriginWrong);
    }
    let right = |value: &[u8]| is_location(value, request);
    if !field("websocket-location", "sec-websocket-location").once().is_some_and(right) {
        return Err(HandshakeError::LocationWrong);
    }
    let answered = field("websocket-protocol", "sec-websocket-protocol");
    match (request.subprotocols.first(), answered.value) {
        _ if answered.count > 1 => Err(HandshakeError::SubprotocolRepeated),
        (Some(name), Some(value)) if name.as_bytes() == value => Ok(Some(name.clone())),
        (Some(_), None) => Err(HandshakeError::SubprotocolRequired),
        // Some servers of hixie-75 answer "*" to those who ask for nothing.
        (None, None) => Ok(None),
        (None, Some(_)) if prefix == Prefix::None => Ok(None),
        (_, Some(_)) => Err(HandshakeError::SubprotocolNotOffered),
    }
    .and_then(|name| match name {
        None if request.subprotocol_required => Err(HandshakeError::SubprotocolRequired),
        name => Ok(name),
    })
}

/// Whether this is our own URL; the case of scheme and host does not matter.
fn is_location(value: &[u8], request: &ClientRequest) -> bool {
    let scheme = if request.target.is_secure() { "wss://" } else { "ws://" };
    let front = [scheme, &host(request)].concat();
    value.split_at_checked(front.len()).is_some_and(|(start, rest)| {
        start.eq_ignore_ascii_case(front.as_bytes()) && rest == request.target.resource().as_bytes()
    })
}
