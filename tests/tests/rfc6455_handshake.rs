//! Requests and answers captured from other implementations, from the RFC, and made by hand
//! (`tests/vectors/handshake-rfc6455.json`), at every split.

use std::collections::BTreeMap;

use serde_json::Value;
use ws_proto::handshake::Upgrade;
use ws_proto::http::{HeadError, Target};
use ws_proto::{
    Accept, ClientHandshake, ClientRequest, ClientStep, Config, Entropy, EntropyError, HandshakeError, Input, Instant,
    ServerConfig, ServerHandshake, Step, Version,
};

fn vectors() -> Vec<Value> {
    let all: Value = serde_json::from_str(include_str!("../vectors/handshake-rfc6455.json")).unwrap();
    all.as_array().unwrap().clone()
}

fn text<'v>(value: &'v Value, name: &str) -> Option<&'v str> {
    value[name].as_str()
}

fn strings(value: &Value) -> Vec<&str> {
    value.as_array().map(|list| list.iter().map(|v| v.as_str().unwrap()).collect()).unwrap_or_default()
}

/// The bytes whole, byte by byte, and in two pieces at every place.
fn splits(bytes: &[u8]) -> impl Iterator<Item = Vec<&[u8]>> {
    let two = (1..bytes.len()).map(|at| vec![&bytes[..at], &bytes[at..]]);
    [vec![bytes], bytes.chunks(1).collect()].into_iter().chain(two)
}

/// What the errors of a request are called in the file.
fn request_error(name: &str) -> HandshakeError {
    match name {
        "version" => HandshakeError::Version,
        "upgrade" => HandshakeError::Upgrade,
        "connection" => HandshakeError::Connection,
        "host" => HandshakeError::HostCount,
        "http-version" => HandshakeError::HttpVersion,
        "missing-key" => HandshakeError::KeyMissing,
        "key-not-16-bytes-base64" => HandshakeError::KeyInvalid,
        "subprotocol-duplicate" => HandshakeError::SubprotocolRepeated,
        "subprotocol-chars" => HandshakeError::SubprotocolSyntax,
        "extensions-syntax" => HandshakeError::ExtensionSyntax,
        other => panic!("unknown error {other}"),
    }
}

#[test]
fn requests() {
    let mut seen = 0;
    for vector in vectors().iter().filter(|v| v["side"] == "client-request") {
        seen += 1;
        for pieces in splits(vector["wire"].as_str().unwrap().as_bytes()) {
            check_request(vector, &pieces);
        }
    }
    assert!(seen >= 30, "{seen}");
}

fn check_request(vector: &Value, pieces: &[&[u8]]) {
    let id = text(vector, "id").unwrap();
    let meaning = &vector["meaning"];
    let mut server = ServerHandshake::new(Instant::ZERO, ServerConfig::default());
    let mut step = Step::NeedInput;
    for piece in pieces {
        assert_eq!(step, Step::NeedInput, "{id}");
        step = server.poll(Instant::ZERO, &mut Input::new(&mut piece.to_vec()));
    }
    let errors = strings(&meaning["errors"]);
    let [] = errors[..] else {
        assert_eq!(step, Step::Rejected, "{id}");
        assert_eq!(server.error(), Some(&request_error(errors[0])), "{id}");
        return;
    };
    assert_eq!((step, server.error()), (Step::Request, None), "{id}");
    let request = server.request().unwrap();
    assert_eq!(request.websocket().map(Upgrade::version), Some(Version::Rfc6455), "{id}");
    assert_eq!(Some(request.method()), text(meaning, "method"), "{id}");
    assert_eq!(Some(request.target()), text(meaning, "resource"), "{id}");
    assert_eq!(request.host().map(|h| h.as_str()), text(meaning, "host"), "{id}");
    assert_eq!(request.origin(), text(meaning, "origin").or(text(meaning, "sec_websocket_origin")), "{id}");
    assert_eq!(request.subprotocols().collect::<Vec<_>>(), strings(&meaning["subprotocols"]), "{id}");
    assert_eq!(request.header("sec-websocket-key"), text(meaning, "key"), "{id}");
    server.accept(Instant::ZERO, Accept::new()).unwrap();
    let answer = server.take_outgoing(Instant::ZERO).unwrap();
    let line = format!("\r\nSec-WebSocket-Accept: {}\r\n", text(meaning, "accept").unwrap());
    assert!(std::str::from_utf8(&answer).unwrap().contains(&line), "{id}");
}

/// Gives one fixed value, so that the client sends the key for which the answer was made.
struct Nonce(Vec<u8>);

impl Entropy for Nonce {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError> {
        out.iter_mut().zip(&self.0).for_each(|(to, from)| *to = *from);
        Ok(())
    }
}

fn from_base64(text: &str) -> Vec<u8> {
    let digit =
        |b: u8| b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".iter().position(|d| *d == b);
    let bits: Vec<bool> =
        text.bytes().filter_map(digit).flat_map(|d| (0..6).rev().map(move |i| d >> i & 1 == 1)).collect();
    bits.chunks_exact(8).map(|byte| byte.iter().fold(0, |n, bit| n << 1 | u8::from(*bit))).collect()
}

/// What the errors of an answer are called in the file.
fn response_errors(vector: &Value, name: &str) -> Vec<HandshakeError> {
    match name {
        "status" => {
            let status = vector["meaning"]["status"].as_u64().unwrap();
            vec![HandshakeError::Status(status.try_into().unwrap())]
        }
        "upgrade" => vec![HandshakeError::Upgrade],
        "connection" => vec![HandshakeError::Connection],
        "accept" => vec![HandshakeError::AcceptMissing, HandshakeError::AcceptWrong],
        "subprotocol" => vec![HandshakeError::SubprotocolNotOffered],
        "unrequested-extension" => vec![HandshakeError::ExtensionNotOffered],
        "bad-status-line" => vec![HandshakeError::Head(HeadError::FirstLine), HandshakeError::Head(HeadError::Version)],
        other => panic!("unknown error {other}"),
    }
}

#[test]
fn answers() {
    let all = vectors();
    let by_id: BTreeMap<_, _> = all.iter().map(|v| (text(v, "id").unwrap(), v)).collect();
    let mut seen = 0;
    for vector in all.iter().filter(|v| v["side"] == "server-response") {
        seen += 1;
        let asked = by_id[text(&vector["meaning"], "for").unwrap()];
        let target = Target::new(false, "server.example.com", None, "/chat").unwrap();
        let offer = strings(&asked["meaning"]["subprotocols"]);
        let request = ClientRequest::new(target).subprotocols(offer).unwrap();
        let nonce = from_base64(text(&asked["meaning"], "key").unwrap_or_default());
        for pieces in splits(vector["wire"].as_str().unwrap().as_bytes()) {
            check_answer(vector, &request, &nonce, &pieces);
        }
    }
    assert!(seen >= 30, "{seen}");
}

fn check_answer(vector: &Value, request: &ClientRequest, nonce: &[u8], pieces: &[&[u8]]) {
    let id = text(vector, "id").unwrap();
    let meaning = &vector["meaning"];
    let nonce = Box::new(Nonce(nonce.to_vec()));
    let mut client = ClientHandshake::new(Instant::ZERO, request, Config::default(), nonce).unwrap();
    for piece in pieces {
        client.poll(Instant::ZERO, &mut Input::new(&mut piece.to_vec()));
    }
    client.eof(Instant::ZERO);
    let step = client.poll(Instant::ZERO, &mut Input::empty());
    if let Some(response) = client.response() {
        assert_eq!(Some(u64::from(response.status())), meaning["status"].as_u64(), "{id}");
        assert_eq!(Some(response.reason()), text(meaning, "reason"), "{id}");
        let versions: Vec<_> = response.headers().tokens("sec-websocket-version").collect();
        let offered: Vec<_> = strings(&meaning["offered_versions"]).into_iter().map(str::as_bytes).collect();
        assert_eq!(versions, offered, "{id}");
    }
    match strings(&meaning["errors"])[..] {
        [] => {
            assert_eq!((step, client.error()), (ClientStep::Done, None), "{id}");
            let (connection, _) = client.into_connection().unwrap();
            assert_eq!(connection.negotiated().subprotocol.as_deref(), text(meaning, "subprotocol"), "{id}");
        }
        [name, ..] => {
            let refused = if name == "status" { ClientStep::Refused } else { ClientStep::Failed };
            let errors = response_errors(vector, name);
            assert_eq!(step, refused, "{id}");
            assert!(errors.contains(client.error().unwrap()), "{id}: {:?}", client.error());
        }
    }
}
