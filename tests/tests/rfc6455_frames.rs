//! Frames captured from other implementations, from the RFC, and made by hand (`tests/vectors/rfc6455-frames.json`).

use serde_json::Value;
use ws_proto::{CloseCode, Config, Connection, Kind, ProtocolError, Role};
use ws_tests::endpoint::{Driven, Endpoint, Sending, message};
use ws_tests::entropy::counting;
use ws_tests::run::{Cut, Subject, every_cut};
use ws_tests::transcript::Seen;

struct Vector {
    id: String,
    sender: Role,
    wire: Vec<u8>,
    messages: Vec<(String, Vec<u8>)>,
    errors: Vec<String>,
}

fn bytes(hex: &Value) -> Vec<u8> {
    let hex = hex.as_str().unwrap();
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

fn vectors() -> Vec<Vector> {
    let all: Value = serde_json::from_str(include_str!("../vectors/rfc6455-frames.json")).unwrap();
    let strings = |v: &Value| v.as_array().unwrap().iter().map(|e| e.as_str().unwrap().to_owned()).collect();
    let read = |v: &Value| Vector {
        id: v["id"].as_str().unwrap().to_owned(),
        sender: if v["sender"] == "client" { Role::Client } else { Role::Server },
        wire: bytes(&v["hex"]),
        messages: v["messages"]
            .as_array()
            .unwrap()
            .iter()
            .map(|m| (m["kind"].as_str().unwrap().to_owned(), bytes(&m["payload"])))
            .collect(),
        errors: strings(&v["errors"]),
    };
    all.as_array().unwrap().iter().map(read).collect()
}

fn error(name: &str) -> Option<ProtocolError> {
    Some(match name {
        "incomplete" => return None,
        "unmasked-from-client" => ProtocolError::Unmasked,
        "masked-from-server" => ProtocolError::Masked,
        "reserved-bits" => ProtocolError::ReservedBits,
        "reserved-opcode" => ProtocolError::ReservedOpcode,
        "control-too-long" => ProtocolError::ControlTooLong,
        "length-not-minimal" => ProtocolError::LengthNotMinimal,
        "length-high-bit" => ProtocolError::LengthTopBit,
        "unexpected-continuation" => ProtocolError::UnexpectedContinuation,
        "text-utf8" => ProtocolError::InvalidUtf8,
        "close-one-byte" => ProtocolError::CloseLength,
        "close-code" => ProtocolError::CloseCode,
        "close-utf8" => ProtocolError::CloseReason,
        other => panic!("unknown error {other}"),
    })
}

fn expected(vector: &Vector) -> Vec<Seen> {
    let event = |(kind, payload): &(String, Vec<u8>)| match kind.as_str() {
        "text" => Seen::Text(payload.clone()),
        "binary" => Seen::Binary(payload.clone()),
        "ping" => Seen::Ping(payload.clone()),
        "pong" => Seen::Pong(payload.clone(), None),
        "close" => Seen::Closing(match &payload[..] {
            [] | [_] => "empty".into(),
            [a, b] => u16::from_be_bytes([*a, *b]).to_string(),
            [a, b, reason @ ..] => {
                format!("{} {:?}", u16::from_be_bytes([*a, *b]), str::from_utf8(reason).unwrap())
            }
        }),
        other => panic!("unknown kind {other}"),
    };
    vector.messages.iter().map(event).collect()
}

/// What an end makes of the bytes: the events, and all that it then writes.
fn feed(role: Role, config: Config, wire: &[u8], cut: Cut) -> (Vec<Seen>, Vec<u8>) {
    let mut end = Driven::<Connection>::new(role, config, counting());
    let mut seen = Vec::new();
    match cut {
        Cut::At(at) => {
            end.receive(&wire[..at]);
            end.receive(&wire[at..]);
        }
        Cut::Bytewise => wire.iter().for_each(|byte| end.receive(&[*byte])),
        Cut::Every(n) => wire.chunks(n).for_each(|bytes| end.receive(bytes)),
        Cut::Whole => end.receive(wire),
    }
    seen.extend(end.events());
    let written = end.take(usize::MAX);
    (seen, written)
}

fn close_frame(role: Role, error: ProtocolError) -> Vec<u8> {
    let mut end = Driven::<Connection>::new(role, Config::default(), counting());
    let code = error.close_code().get();
    end.end.sender(end.now, |to| to.close(ws_proto::Instant::ZERO, Some((code, error.reason())))).unwrap();
    end.take(usize::MAX)
}

#[test]
fn every_vector_is_understood_at_every_split() {
    let all = vectors();
    assert_eq!(all.len(), 140);
    for vector in &all {
        let role = vector.sender.peer();
        let fault = vector.errors.first().and_then(|name| error(name));
        for cut in every_cut(vector.wire.len()) {
            let mut config = Config::default();
            config.limits.frame = u64::MAX;
            config.limits.message = u64::MAX;
            let (seen, written) = feed(role, config, &vector.wire, cut);
            assert_eq!(seen, expected(vector), "{} {cut:?}", vector.id);
            if let Some(fault) = fault {
                assert_eq!(written, close_frame(role, fault), "{} {cut:?}", vector.id);
            } else {
                let answers = |m: &&(String, Vec<u8>)| m.0 == "ping" || m.0 == "close";
                let answered = vector.messages.iter().filter(answers).count();
                assert_eq!(written.is_empty(), answered == 0, "{} {cut:?}", vector.id);
            }
        }
    }
}

#[test]
fn each_fault_has_the_close_code_of_the_rfc() {
    for vector in vectors() {
        let Some(fault) = vector.errors.first().and_then(|name| error(name)) else { continue };
        let code = match vector.errors[0].as_str() {
            "text-utf8" | "close-utf8" => CloseCode::INVALID_PAYLOAD,
            _ => CloseCode::PROTOCOL_ERROR,
        };
        assert_eq!(fault.close_code(), code, "{}", vector.id);
    }
}

#[test]
fn a_head_that_promises_too_much_is_refused_with_the_limits_on() {
    for vector in vectors().iter().filter(|v| v.errors == ["incomplete"] && v.id.contains("huge")) {
        let role = vector.sender.peer();
        for cut in every_cut(vector.wire.len()) {
            let (seen, written) = feed(role, Config::default(), &vector.wire, cut);
            assert!(seen.is_empty());
            assert_eq!(written, close_frame(role, ProtocolError::FrameTooBig), "{cut:?}");
        }
    }
}

/// What we write for the messages of a vector reads as those messages, at every split.
#[test]
fn what_we_write_for_the_same_messages_reads_the_same() {
    for vector in vectors().iter().filter(|v| v.errors.is_empty()) {
        let mut end = Driven::<Connection>::new(vector.sender, Config::default(), counting());
        let now = end.now;
        let mut wire = Vec::new();
        for (kind, payload) in &vector.messages {
            end.end.sender(now, |to| match kind.as_str() {
                "text" => to.send(message(Kind::Text, payload)).unwrap(),
                "binary" => to.send(message(Kind::Binary, payload)).unwrap(),
                "ping" => to.ping(now, payload).unwrap(),
                "pong" => to.pong(payload).unwrap(),
                _ => close(to, payload),
            });
            wire.extend(end.take(usize::MAX));
        }
        for cut in every_cut(wire.len()) {
            let (seen, _) = feed(vector.sender.peer(), Config::default(), &wire, cut);
            assert_eq!(seen, expected(vector), "{} {cut:?}", vector.id);
        }
    }
}

fn close(to: &mut dyn Sending, payload: &[u8]) {
    let frame = match payload {
        [a, b, reason @ ..] => Some((u16::from_be_bytes([*a, *b]), str::from_utf8(reason).unwrap())),
        _ => None,
    };
    to.close(ws_proto::Instant::ZERO, frame).unwrap();
}
