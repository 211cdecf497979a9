//! Frames captured from other implementations, from the specifications, and made by hand: of RFC 6455
//! (`tests/vectors/rfc6455-frames.json`) and of every version before it (`tests/vectors/frames-legacy.json`).

use std::collections::BTreeSet;

use serde_json::Value;
use ws_proto::{CloseCode, Config, Connection, Entropy, EntropyError, Kind, ProtocolError, Role, Version};
use ws_tests::dialect::Dialect;
use ws_tests::endpoint::{Driven, Endpoint, Sending, message};
use ws_tests::entropy::counting;
use ws_tests::run::{Cut, Subject, every_cut};
use ws_tests::transcript::Seen;
use ws_tests::wire::Frame;

/// Text that is not UTF-8. The drafts before -10 of version 8 put U+FFFD in its place; here it is a fault in every
/// version, since nobody can tell what was meant, and since programs that read the same text may not agree on it.
const STRICT_TEXT: [&str; 9] = [
    "hixie-75-c-bad-utf8",
    "hixie-76-c-bad-utf8",
    "hybi-04-lws2011a-server-2-text",
    "hybi-04-lws2011b-server-2-text",
    "hybi-05-lws2011a-server-2-text",
    "hybi-05-lws2011b-server-2-text",
    "hybi-06-lws2011a-server-2-text",
    "hybi-06-lws2011b-server-2-text",
    "hybi-07-bad-utf8",
];

/// A client of hybi-04 that masks all its frames with the key of the connection. To everybody else, and to us, that is
/// noise, and ends as noise does.
const NOISE: [(&str, ProtocolError); 3] = [
    ("hybi-04-lws2011a-client-wrongmask-1", ProtocolError::ReservedBits),
    ("hybi-04-lws2011a-client-wrongmask-2", ProtocolError::ReservedOpcode),
    ("hybi-04-lws2011a-client-wrongmask-3", ProtocolError::ReservedBits),
];

/// Servers of hybi-05 that leave out the letter of their Close: read as it is, and never sent.
const OTHER_BYTES: [&str; 1] = ["hybi-05-rbem-v5-server-5-close"];

struct Vector {
    id: String,
    dialect: Dialect,
    sender: Role,
    wire: Vec<u8>,
    messages: Vec<(String, Vec<u8>)>,
    errors: Vec<String>,
}

fn bytes(hex: &Value) -> Vec<u8> {
    let hex = hex.as_str().unwrap();
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

fn read(file: &str) -> Vec<Vector> {
    let all: Value = serde_json::from_str(file).unwrap();
    let strings = |v: &Value| v.as_array().unwrap().iter().map(|e| e.as_str().unwrap().to_owned()).collect();
    let read = |v: &Value| {
        let mut dialect =
            Dialect::new(v.get("version").map_or(Version::Rfc6455, |v| v.as_str().unwrap().parse().unwrap()));
        if let Some(key) = v.get("masking_key") {
            dialect.secret = bytes(key).try_into().unwrap();
        }
        Vector {
            id: v["id"].as_str().unwrap().to_owned(),
            dialect,
            sender: if v["sender"] == "client" { Role::Client } else { Role::Server },
            wire: bytes(&v["hex"]),
            messages: v["messages"]
                .as_array()
                .unwrap()
                .iter()
                .map(|m| (m["kind"].as_str().unwrap().to_owned(), bytes(&m["payload"])))
                .collect(),
            errors: strings(&v["errors"]),
        }
    };
    all.as_array().unwrap().iter().map(read).collect()
}

fn vectors() -> Vec<Vector> {
    let modern = read(include_str!("../vectors/rfc6455-frames.json"));
    let legacy = read(include_str!("../vectors/frames-legacy.json"));
    assert_eq!((modern.len(), legacy.len()), (140, 436));
    modern.into_iter().chain(legacy).collect()
}

fn error(name: &str) -> Option<ProtocolError> {
    Some(match name {
        // What follows a Close is not looked at.
        "incomplete" | "data-after-close" | "mask-not-per-frame" => return None,
        "unmasked-from-client" => ProtocolError::Unmasked,
        "masked-from-server" => ProtocolError::Masked,
        "reserved-bits" => ProtocolError::ReservedBits,
        "reserved-opcode" => ProtocolError::ReservedOpcode,
        "control-too-long" => ProtocolError::ControlTooLong,
        "control-fragmented" => ProtocolError::ControlFragmented,
        "length-not-minimal" => ProtocolError::LengthNotMinimal,
        "length-high-bit" => ProtocolError::LengthTopBit,
        "unexpected-continuation" => ProtocolError::UnexpectedContinuation,
        "expected-continuation" => ProtocolError::ExpectedContinuation,
        "text-utf8" => ProtocolError::InvalidUtf8,
        "close-one-byte" => ProtocolError::CloseLength,
        "close-code" => ProtocolError::CloseCode,
        "close-utf8" => ProtocolError::CloseReason,
        other => panic!("unknown error {other}"),
    })
}

impl Vector {
    /// The rule that it breaks, if it breaks one here.
    fn fault(&self) -> Option<ProtocolError> {
        if let Some((_, error)) = NOISE.iter().find(|(id, _)| *id == self.id) {
            return Some(*error);
        }
        let strict = self.messages.iter().any(is_bad_text).then_some(ProtocolError::InvalidUtf8);
        self.errors.first().and_then(|name| error(name)).or(strict)
    }

    /// The messages up to the fault.
    fn read_messages(&self) -> &[(String, Vec<u8>)] {
        if self.errors.iter().any(|name| name == "mask-not-per-frame") {
            return &[];
        }
        let good = self.messages.iter().position(is_bad_text).unwrap_or(self.messages.len());
        &self.messages[..good]
    }

    fn expected(&self) -> Vec<Seen> {
        let has_code = self.dialect.version.has_close_code();
        let event = |(kind, payload): &(String, Vec<u8>)| match kind.as_str() {
            "text" => Seen::Text(payload.clone()),
            "binary" => Seen::Binary(payload.clone()),
            "ping" => Seen::Ping(payload.clone()),
            "pong" => Seen::Pong(payload.clone(), None),
            "close" => Seen::Closing(match &payload[..] {
                [a, b, reason @ ..] if has_code => {
                    let code = u16::from_be_bytes([*a, *b]);
                    let reason = str::from_utf8(reason).unwrap();
                    if reason.is_empty() { code.to_string() } else { format!("{code} {reason:?}") }
                }
                _ => "empty".into(),
            }),
            other => panic!("unknown kind {other}"),
        };
        self.read_messages().iter().map(event).collect()
    }

    /// What an end makes of the bytes: the events, and all that it then writes.
    fn feed(&self, config: Config, wire: &[u8], cut: Cut) -> (Vec<Seen>, Vec<u8>) {
        let mut end = Driven::<Connection>::open(self.sender.peer(), self.dialect.negotiated(), config, counting());
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

    /// The Close with which the reader answers this fault.
    fn close_for(&self, error: ProtocolError) -> Vec<u8> {
        let role = self.sender.peer();
        let mut end = Driven::<Connection>::open(role, self.dialect.negotiated(), Config::default(), counting());
        let code = error.close_code().get();
        end.end.sender(end.now, |to| to.close(ws_proto::Instant::ZERO, Some((code, error.reason())))).unwrap();
        end.take(usize::MAX)
    }
}

fn is_bad_text((kind, payload): &(String, Vec<u8>)) -> bool {
    kind == "text" && str::from_utf8(payload).is_err()
}

fn no_limits() -> Config {
    let mut config = Config::default();
    config.limits.frame = u64::MAX;
    config.limits.message = u64::MAX;
    config
}

#[test]
fn every_vector_is_understood_at_every_split() {
    let all = vectors();
    let mut strict = BTreeSet::new();
    for vector in &all {
        if vector.messages.iter().any(is_bad_text) {
            strict.insert(vector.id.as_str());
        }
        for cut in every_cut(vector.wire.len()) {
            let (seen, written) = vector.feed(no_limits(), &vector.wire, cut);
            assert_eq!(seen, vector.expected(), "{} {cut:?}", vector.id);
            if let Some(fault) = vector.fault() {
                assert_eq!(written, vector.close_for(fault), "{} {cut:?}: {fault:?}", vector.id);
            } else {
                let answers = |m: &&(String, Vec<u8>)| m.0 == "ping" || m.0 == "close";
                let answered = vector.messages.iter().filter(answers).count();
                assert_eq!(written.is_empty(), answered == 0, "{} {cut:?}", vector.id);
            }
        }
    }
    assert_eq!(strict, STRICT_TEXT.into());
}

#[test]
fn each_fault_is_told_by_its_name() {
    for vector in vectors() {
        let Some(fault) = vector.fault() else { continue };
        let role = vector.sender.peer();
        let mut end = Driven::<Connection>::open(role, vector.dialect.negotiated(), no_limits(), counting());
        end.receive(&vector.wire);
        end.take(usize::MAX);
        end.eof();
        let Some(Seen::Closed(how)) = end.events().pop() else { panic!("{}: no end", vector.id) };
        assert!(how.starts_with(&format!("Protocol({fault:?}) by local received none")), "{}: {how}", vector.id);
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
        for cut in every_cut(vector.wire.len()) {
            let (seen, written) = vector.feed(Config::default(), &vector.wire, cut);
            assert!(seen.is_empty(), "{seen:?}");
            assert_eq!(written, vector.close_for(ProtocolError::FrameTooBig), "{cut:?}");
        }
    }
}

/// What is owed for a ping and a Close, byte for byte.
#[test]
fn pings_and_closes_are_answered_as_the_version_says() {
    for vector in vectors().iter().filter(|v| v.fault().is_none()) {
        let reader = vector.sender.peer();
        let (_, written) = vector.feed(no_limits(), &vector.wire, Cut::Whole);
        let (frames, left) = vector.dialect.frames(reader, &written);
        assert_eq!(left, 0);
        // A pong that is owed does not outlive the peer's Close.
        let closed = vector.messages.iter().find(|m| m.0 == "close");
        let owed = closed.or_else(|| vector.messages.iter().rev().find(|m| m.0 == "ping"));
        let Some((kind, body)) = owed else { continue };
        let [frame] = &frames[..] else { panic!("{}: {frames:?}", vector.id) };
        let answer = match (kind.as_str(), vector.dialect.version, &body[..]) {
            ("ping", ..) => body.clone(),
            (_, Version::Hybi05, _) => vec![if reader == Role::Client { b'C' } else { b'S' }],
            (_, version, [a, b, ..]) if version.has_close_code() => vec![*a, *b],
            (_, _, body) => body.to_vec(),
        };
        assert_eq!((frame.opcode, &frame.payload), (if kind == "ping" { 10 } else { 8 }, &answer), "{}", vector.id);
    }
}

/// What we write for the messages of a vector reads as those messages, at every split.
#[test]
fn what_we_write_for_the_same_messages_reads_the_same() {
    for vector in vectors().iter().filter(|v| v.errors.is_empty() && v.fault().is_none()) {
        let role = vector.sender;
        let mut end = Driven::<Connection>::open(role, vector.dialect.negotiated(), Config::default(), counting());
        let now = end.now;
        let mut wire = Vec::new();
        for (kind, payload) in &vector.messages {
            end.end.sender(now, |to| match kind.as_str() {
                "text" => to.send(message(Kind::Text, payload)).unwrap(),
                "binary" => to.send(message(Kind::Binary, payload)).unwrap(),
                "ping" => to.ping(now, payload).unwrap(),
                "pong" => to.pong(payload).unwrap(),
                _ => close(to, vector.dialect.version, payload),
            });
            wire.extend(end.take(usize::MAX));
        }
        for cut in every_cut(wire.len()) {
            let (seen, _) = vector.feed(Config::default(), &wire, cut);
            assert_eq!(seen, vector.expected(), "{} {cut:?}", vector.id);
        }
    }
}

fn close(to: &mut dyn Sending, version: Version, payload: &[u8]) {
    let frame = match payload {
        // What "too big" is called elsewhere.
        [0x03, 0xec] if matches!(version, Version::Hybi06 | Version::Hybi07) => Some((1009, "")),
        [a, b, reason @ ..] => Some((u16::from_be_bytes([*a, *b]), str::from_utf8(reason).unwrap())),
        _ => None,
    };
    to.close(ws_proto::Instant::ZERO, frame).unwrap();
}

/// Gives the keys of a vector, and then noughts.
#[derive(Debug)]
struct Script(Vec<u8>);

impl Entropy for Script {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError> {
        let n = out.len().min(self.0.len());
        out.fill(0);
        out[..n].copy_from_slice(&self.0[..n]);
        self.0.drain(..n);
        Ok(())
    }
}

/// With the same keys, and the same message cut at the same places, each byte is the same.
#[test]
fn we_write_the_same_frames_byte_for_byte() {
    let mut same = [0; Version::ALL.len()];
    for vector in vectors().iter().filter(|v| v.errors.is_empty() && v.fault().is_none()) {
        let dialect = &vector.dialect;
        let (frames, left) = dialect.frames(vector.sender, &vector.wire);
        assert_eq!(left, 0, "{}", vector.id);
        // A reserved frame, which a conforming end does not write, or a length that could be shorter.
        let shortest: usize =
            frames.iter().map(|f| dialect.frame(vector.sender, 0x80 | f.opcode, &f.payload).len()).sum();
        let reserved = dialect.is_hixie() && frames.iter().any(|f| f.opcode == 2);
        if vector.wire.len() != shortest || reserved || OTHER_BYTES.contains(&&*vector.id) {
            continue;
        }
        let wire = replay(vector, &frames);
        assert_eq!(wire, vector.wire, "{}", vector.id);
        same[Version::ALL.iter().position(|v| *v == dialect.version).unwrap()] += 1;
    }
    println!("byte for byte, by version: {same:?}");
    assert!(same.iter().all(|count| *count > 10), "{same:?}");
}

/// What we write for these frames.
fn replay(vector: &Vector, frames: &[Frame]) -> Vec<u8> {
    let keys = frames.iter().filter_map(|frame| frame.key).flatten().collect();
    let negotiated = vector.dialect.negotiated();
    let mut end = Driven::<Connection>::open(vector.sender, negotiated, Config::default(), Box::new(Script(keys)));
    let now = end.now;
    let mut wire = Vec::new();
    for Frame { fin, opcode, payload, .. } in frames {
        end.end.sender(now, |to| match (opcode, fin) {
            (1, true) => to.send(message(Kind::Text, payload)).unwrap(),
            (2, true) => to.send(message(Kind::Binary, payload)).unwrap(),
            (1 | 2, false) => {
                to.start(if *opcode == 1 { Kind::Text } else { Kind::Binary }).unwrap();
                to.piece(payload, false).unwrap();
            }
            (0, fin) => to.piece(payload, *fin).unwrap(),
            (9, _) => to.ping(now, payload).unwrap(),
            (10, _) => to.pong(payload).unwrap(),
            _ if vector.dialect.version.has_close_code() => close(to, vector.dialect.version, payload),
            _ => close(to, vector.dialect.version, &[]),
        });
        wire.extend(end.take(usize::MAX));
    }
    wire
}
