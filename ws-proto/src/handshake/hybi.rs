//! The opening handshake from hybi-04 to RFC 6455, both roles: RFC 6455 sections 4.1 and 4.2.
//!
//! The versions differ in a number, in the name of the header for the origin, and in what is between 4 and 13: hybi-04
//! has a nonce of the server's besides.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest as _, Sha1};

use super::client::ClientRequest;
use super::error::{AcceptError, HandshakeError};
use super::reply::Accept;
use super::request::{Key, Request, Upgrade};
use super::server::ServerConfig;
#[cfg(feature = "legacy")]
use super::upgrade::Field;
use super::upgrade::Fields;
use crate::connection::Negotiated;
#[cfg(all(feature = "legacy", feature = "getrandom"))]
use crate::entropy::{Entropy as _, OsEntropy};
use crate::extension::{Extension, header};
use crate::http::{RequestHead, ResponseHead, syntax};
use crate::version::Version;

/// RFC 6455 section 1.3. A fingerprint, not a secret (section 10.8).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// hybi-04: what the masking key is made with.
#[cfg(feature = "legacy")]
const MASKING_GUID: &[u8] = b"61AC5F19-FBBA-4540-B96F-6561F1AB40A8";

/// The base64 of 16 bytes.
pub(super) type Nonce = [u8; 24];

/// The value of `Sec-WebSocket-Accept` that answers this `Sec-WebSocket-Key` (RFC 6455 section 4.2.2).
///
/// For servers that do the handshake with an HTTP library of their own, and then call
/// [`Connection::from_upgraded`](crate::Connection::from_upgraded).
///
/// ```
/// use ws_proto::handshake::accept_value;
/// assert_eq!(accept_value("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
/// ```
#[must_use]
pub fn accept_value(key: &str) -> String {
    String::from_utf8_lossy(&accept(key.trim_matches([' ', '\t']).as_bytes())).into_owned()
}

fn accept(key: &[u8]) -> [u8; 28] {
    let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    let mut text = [0; 28];
    // 20 bytes are 28 characters, always.
    let _ = STANDARD.encode_slice(digest.as_slice(), &mut text);
    text
}

/// hybi-04: with what a client masks, made of the texts of `Sec-WebSocket-Key` and `Sec-WebSocket-Nonce`.
#[cfg(feature = "legacy")]
fn masking_key(key: &[u8], nonce: &[u8]) -> [u8; 20] {
    Sha1::new().chain_update(key).chain_update(nonce).chain_update(MASKING_GUID).finalize().into()
}

/// The text of fresh bytes.
pub(super) fn encode(nonce: [u8; 16]) -> Nonce {
    let mut text = [0; 24];
    let _ = STANDARD.encode_slice(nonce, &mut text);
    text
}

/// The value is the base64 of 16 bytes. The last character has four bits to spare, which RFC 4648 section 3.5
/// lets a reader ignore, and some clients fill them at random.
fn read_nonce(value: &[u8]) -> Option<Nonce> {
    let text: Nonce = syntax::trim(value).try_into().ok()?;
    let (digits, pad) = text.split_last_chunk::<2>()?;
    let is_digit = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/');
    (pad == b"==" && digits.iter().all(is_digit)).then_some(text)
}

/// The header for the origin.
const fn origin_name(version: Version) -> &'static str {
    match version {
        Version::Rfc6455 => "Origin",
        #[cfg(feature = "legacy")]
        _ => "Sec-WebSocket-Origin",
    }
}

/// Server: the rules that only these versions have (section 4.2.1).
pub(super) fn check_request(
    version: Version,
    head: &RequestHead,
    fields: &Fields<'_>,
    config: &ServerConfig,
) -> Result<Upgrade, HandshakeError> {
    let key = match fields.key.count {
        0 => return Err(HandshakeError::KeyMissing),
        1 => read_key(version, fields.key.value.unwrap_or_default()).ok_or(HandshakeError::KeyInvalid)?,
        _ => return Err(HandshakeError::KeyRepeated),
    };
    if fields.extensions.count > 0 && version.has_extensions() {
        for line in head.headers.get_all("sec-websocket-extensions") {
            header::check(line).map_err(|_| HandshakeError::ExtensionSyntax)?;
        }
    }
    let offers = fields.protocol.count > usize::from(version != Version::Rfc6455 && fields.protocol.is_empty());
    let subprotocol = config.subprotocols.choose(&head.headers, offers)?;
    Ok(Upgrade { version, key, subprotocol })
}

/// Version 13 wants the base64 of 16 bytes. Before it there were clients that took other lengths, and a key is a text
/// and nothing more.
fn read_key(version: Version, value: &[u8]) -> Option<Key> {
    match version {
        Version::Rfc6455 => read_nonce(value).map(Key::Text),
        #[cfg(feature = "legacy")]
        _ if !value.is_empty() => Some(Key::Header),
        #[cfg(feature = "legacy")]
        _ => None,
    }
}

/// Server: the text of a key that was not kept.
#[cfg(feature = "legacy")]
pub(super) fn key_text(request: &Request) -> &[u8] {
    request.headers().get_bytes("sec-websocket-key").unwrap_or_default()
}

/// Server, hybi-04: the nonce for the answer; what it comes to goes into what the connection is told. `None` in other
/// versions.
#[cfg(feature = "legacy")]
pub(super) fn nonce(
    accept: &Accept,
    request: &Request,
    negotiated: &mut Negotiated,
) -> Result<Option<Nonce>, AcceptError> {
    if negotiated.version != Version::Hybi04 {
        return Ok(None);
    }
    let nonce = match accept.nonce {
        Some(nonce) => nonce,
        None => fresh_nonce()?,
    };
    let nonce = encode(nonce);
    negotiated.masking_key = Some(masking_key(key_text(request), &nonce).into());
    Ok(Some(nonce))
}

#[cfg(all(feature = "legacy", feature = "getrandom"))]
fn fresh_nonce() -> Result<[u8; 16], AcceptError> {
    let mut nonce = [0; 16];
    OsEntropy.fill(&mut nonce).map_err(|_| AcceptError::Entropy)?;
    Ok(nonce)
}

#[cfg(all(feature = "legacy", not(feature = "getrandom")))]
const fn fresh_nonce() -> Result<[u8; 16], AcceptError> {
    Err(AcceptError::Entropy)
}

/// Without the versions before 13 there is no nonce.
#[cfg(not(feature = "legacy"))]
#[expect(clippy::unnecessary_wraps, reason = "hybi-04 can fail here")]
pub(super) const fn nonce(_: &Accept, _: &Request, _: &mut Negotiated) -> Result<Option<Nonce>, AcceptError> {
    Ok(None)
}

/// Server: the 101 (section 4.2.2). `nonce` is there in hybi-04; `extra` are finished header lines.
pub(super) fn make_response(key: &[u8], negotiated: &Negotiated, nonce: Option<&Nonce>, extra: &str) -> Vec<u8> {
    const START: &[u8] =
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ";
    let accept = accept(key);
    let mut lines = String::new();
    if negotiated.subprotocol.is_some() || negotiated.extension.is_some() || nonce.is_some() {
        let mut line = |name: &str, value: &str| lines.extend([name, value, "\r\n"]);
        if let Some(name) = &negotiated.subprotocol {
            line("Sec-WebSocket-Protocol: ", name);
        }
        if let Some(agreed) = &negotiated.extension {
            line("Sec-WebSocket-Extensions: ", &agreed.extension().to_string());
        }
        if let Some(nonce) = nonce.and_then(|nonce| core::str::from_utf8(nonce).ok()) {
            line("Sec-WebSocket-Nonce: ", nonce);
        }
    }
    let mut out = Vec::with_capacity(START.len() + accept.len() + 4 + lines.len() + extra.len());
    for part in [START, &accept, b"\r\n", lines.as_bytes(), extra.as_bytes(), b"\r\n"] {
        out.extend_from_slice(part);
    }
    out
}

/// Client: the request (section 4.1).
pub(super) fn make_request(request: &ClientRequest, key: &Nonce) -> Vec<u8> {
    let version = request.version;
    let mut out = Vec::with_capacity(256 + request.extra.as_str().len() + request.target.resource().len());
    let mut put = |parts: &[&[u8]]| parts.iter().for_each(|part| out.extend_from_slice(part));
    put(&[b"GET ", request.target.resource().as_bytes(), b" HTTP/1.1\r\nHost: "]);
    match &request.host {
        Some(host) => put(&[host.as_bytes()]),
        None => put(&[request.target.authority().as_bytes()]),
    }
    put(&[b"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: ", key]);
    let number = version.number().unwrap_or_default().to_string();
    put(&[b"\r\nSec-WebSocket-Version: ", number.as_bytes(), b"\r\n"]);
    if let Some(origin) = &request.origin {
        put(&[origin_name(version).as_bytes(), b": ", origin.as_bytes(), b"\r\n"]);
    }
    for (i, name) in request.subprotocols.iter().enumerate() {
        put(&[if i == 0 { b"Sec-WebSocket-Protocol: " } else { b", " }, name.as_bytes()]);
    }
    if !request.subprotocols.is_empty() {
        put(&[b"\r\n"]);
    }
    let offers = if version.has_extensions() { request.extensions.offers() } else { Vec::new() };
    for (i, offer) in offers.iter().enumerate() {
        put(&[if i == 0 { b"Sec-WebSocket-Extensions: " } else { b", " }, offer.to_string().as_bytes()]);
    }
    if !offers.is_empty() {
        put(&[b"\r\n"]);
    }
    put(&[request.extra.as_str().as_bytes(), b"\r\n"]);
    out
}

/// Client: judges a 101 (section 4.1, "the client MUST validate the server's response").
pub(super) fn check_response(
    head: &ResponseHead,
    request: &ClientRequest,
    key: &Nonce,
) -> Result<Negotiated, HandshakeError> {
    let version = request.version;
    let fields = Fields::of_switch(head)?;
    match (fields.accept.value, fields.accept.count) {
        (None, _) => return Err(HandshakeError::AcceptMissing),
        (Some(value), 1) if value == accept(key) => {}
        (_, 1) => return Err(HandshakeError::AcceptWrong),
        _ => return Err(HandshakeError::AcceptRepeated),
    }
    let is_ours = |v: &[u8]| core::str::from_utf8(v).is_ok_and(|v| v.parse().ok() == version.number());
    if !head.headers.get_all("sec-websocket-version").all(is_ours) {
        return Err(HandshakeError::VersionWrong);
    }
    let extensions = Extension::parse_list(head.headers.get_all("sec-websocket-extensions"))
        .map_err(|_| HandshakeError::ExtensionSyntax)?;
    let mut negotiated = Negotiated::new(version);
    if version.has_extensions() {
        negotiated.extension = request.extensions.accept_answer(&extensions)?;
    } else if !extensions.is_empty() {
        return Err(HandshakeError::ExtensionNotOffered);
    }
    #[cfg(feature = "legacy")]
    if version == Version::Hybi04 {
        let nonce = Field::of(&head.headers, "sec-websocket-nonce").once();
        let nonce = nonce.and_then(read_nonce).ok_or(HandshakeError::Nonce)?;
        negotiated.masking_key = Some(masking_key(key, &nonce).into());
    }
    negotiated.subprotocol = check_subprotocol(&fields, request)?.map(Into::into);
    Ok(negotiated)
}

fn check_subprotocol<'r>(fields: &Fields<'r>, request: &ClientRequest) -> Result<Option<&'r str>, HandshakeError> {
    match (fields.protocol.value, fields.protocol.count) {
        (None, _) if request.subprotocol_required => Err(HandshakeError::SubprotocolRequired),
        (None, _) => Ok(None),
        (Some(name), 1) => match core::str::from_utf8(name) {
            Ok(name) if request.subprotocols.iter().any(|offered| **offered == *name) => Ok(Some(name)),
            _ => Err(HandshakeError::SubprotocolNotOffered),
        },
        _ => Err(HandshakeError::SubprotocolRepeated),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a01_sample_of_the_rfc() {
        assert_eq!(&accept(b"dGhlIHNhbXBsZSBub25jZQ=="), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(&encode(*b"the sample nonce"), b"dGhlIHNhbXBsZSBub25jZQ==");
    }

    #[test]
    #[cfg(feature = "legacy")]
    fn masking_key_of_hybi_04() {
        let wanted = [
            0x63, 0x22, 0xa2, 0xad, 0xc0, 0x2b, 0xc4, 0x33, 0xe3, 0x89, 0x6d, 0x34, 0x41, 0x0b, 0x74, 0xbb, 0x77, 0x39,
            0xf9, 0x60,
        ];
        assert_eq!(masking_key(b"dGhlIHNhbXBsZSBub25jZQ==", b"H+cNj5elaybfGIQv1esl2w=="), wanted);
    }
}
