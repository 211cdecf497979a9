//! The opening handshake of version 13, both roles: RFC 6455 sections 4.1 and 4.2.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest as _, Sha1};

use super::client::ClientRequest;
use super::error::HandshakeError;
use super::request::Upgrade;
use super::server::ServerConfig;
use super::upgrade::Fields;
use crate::connection::Negotiated;
use crate::extension::{Extension, header};
use crate::http::{RequestHead, ResponseHead, syntax};
use crate::version::Version;

/// RFC 6455 section 1.3. A fingerprint, not a secret (section 10.8).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The text of a `Sec-WebSocket-Key`.
pub(super) type Key = [u8; 24];

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

/// The text of a fresh key.
pub(super) fn key(nonce: [u8; 16]) -> Key {
    let mut text = [0; 24];
    let _ = STANDARD.encode_slice(nonce, &mut text);
    text
}

/// The value is the base64 of 16 bytes. The last character has four bits to spare, which RFC 4648 section 3.5
/// lets a reader ignore, and some clients fill them at random.
fn read_key(value: &[u8]) -> Option<Key> {
    let text: Key = syntax::trim(value).try_into().ok()?;
    let (digits, pad) = text.split_last_chunk::<2>()?;
    let is_digit = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/');
    (pad == b"==" && digits.iter().all(is_digit)).then_some(text)
}

/// Server: the rules that only version 13 has (section 4.2.1).
pub(super) fn check_request(
    head: &RequestHead,
    fields: &Fields<'_>,
    config: &ServerConfig,
) -> Result<Upgrade, HandshakeError> {
    let key = match fields.key.count {
        0 => return Err(HandshakeError::KeyMissing),
        1 => fields.key.value.and_then(read_key).ok_or(HandshakeError::KeyInvalid)?,
        _ => return Err(HandshakeError::KeyRepeated),
    };
    if fields.extensions.count > 0 {
        for line in head.headers.get_all("sec-websocket-extensions") {
            header::check(line).map_err(|_| HandshakeError::ExtensionSyntax)?;
        }
    }
    let subprotocol = config.subprotocols.choose(&head.headers, fields.protocol.count > 0)?;
    Ok(Upgrade { version: Version::Rfc6455, key, subprotocol })
}

/// Server: the 101 (section 4.2.2). `extra` are finished header lines.
pub(super) fn make_response(key: &Key, negotiated: &Negotiated, extra: &str) -> Vec<u8> {
    let accept = accept(key);
    let extension = negotiated.extension.as_ref().map(|agreed| agreed.extension().to_string());
    let mut parts: [&[u8]; 10] = [
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ",
        &accept,
        b"\r\n",
        b"",
        b"",
        b"",
        b"",
        b"",
        b"",
        b"\r\n",
    ];
    if let Some(name) = &negotiated.subprotocol {
        (parts[3], parts[4], parts[5]) = (b"Sec-WebSocket-Protocol: ", name.as_bytes(), b"\r\n");
    }
    if let Some(extension) = &extension {
        (parts[6], parts[7], parts[8]) = (b"Sec-WebSocket-Extensions: ", extension.as_bytes(), b"\r\n");
    }
    let mut out = Vec::with_capacity(parts.iter().map(|p| p.len()).sum::<usize>() + extra.len());
    let [parts @ .., end] = parts;
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out.extend_from_slice(extra.as_bytes());
    out.extend_from_slice(end);
    out
}

/// Client: the request (section 4.1).
pub(super) fn make_request(request: &ClientRequest, key: &Key) -> Vec<u8> {
    let mut out = Vec::with_capacity(256 + request.extra.as_str().len() + request.target.resource().len());
    let mut put = |parts: &[&[u8]]| parts.iter().for_each(|part| out.extend_from_slice(part));
    put(&[b"GET ", request.target.resource().as_bytes(), b" HTTP/1.1\r\nHost: "]);
    match &request.host {
        Some(host) => put(&[host.as_bytes()]),
        None => put(&[request.target.authority().as_bytes()]),
    }
    put(&[b"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: ", key]);
    put(&[b"\r\nSec-WebSocket-Version: 13\r\n"]);
    if let Some(origin) = &request.origin {
        put(&[b"Origin: ", origin.as_bytes(), b"\r\n"]);
    }
    for (i, name) in request.subprotocols.iter().enumerate() {
        put(&[if i == 0 { b"Sec-WebSocket-Protocol: " } else { b", " }, name.as_bytes()]);
    }
    if !request.subprotocols.is_empty() {
        put(&[b"\r\n"]);
    }
    let offers = request.extensions.offers();
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
    key: &Key,
) -> Result<Negotiated, HandshakeError> {
    if head.minor != 1 {
        return Err(HandshakeError::HttpVersion);
    }
    let fields = Fields::of(&head.headers);
    if fields.upgrade.count > 1 {
        return Err(HandshakeError::UpgradeRepeated);
    }
    if !fields.upgrade.value.is_some_and(|v| v.eq_ignore_ascii_case(b"websocket")) {
        return Err(HandshakeError::Upgrade);
    }
    if !fields.says_upgrade {
        return Err(HandshakeError::Connection);
    }
    match (fields.accept.value, fields.accept.count) {
        (None, _) => return Err(HandshakeError::AcceptMissing),
        (Some(value), 1) if value == accept(key) => {}
        (_, 1) => return Err(HandshakeError::AcceptWrong),
        _ => return Err(HandshakeError::AcceptRepeated),
    }
    if !head.headers.get_all("sec-websocket-version").all(|v| v == b"13") {
        return Err(HandshakeError::VersionWrong);
    }
    let extensions = Extension::parse_list(head.headers.get_all("sec-websocket-extensions"))
        .map_err(|_| HandshakeError::ExtensionSyntax)?;
    let mut negotiated = Negotiated::new(Version::Rfc6455);
    negotiated.extension = request.extensions.accept_answer(&extensions)?;
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
        assert_eq!(&key(*b"the sample nonce"), b"dGhlIHNhbXBsZSBub25jZQ==");
    }
}
