//! Compressed messages from RFC 7692, captured from other implementations, and made by hand (`tests/vectors/deflate.json`).
//!
//! `deflate-stream`, which compressed the whole byte stream in drafts before RFC 6455, is not supported.

use serde_json::Value;
use ws_proto::deflate::Deflate;
use ws_proto::{Config, Connection, Delivery, Kind, Negotiated, Role, Version};
use ws_tests::deflate::Bits;
use ws_tests::endpoint::Driven;
use ws_tests::entropy::counting;
use ws_tests::run::{Cut, Subject, every_cut, push_merged};
use ws_tests::transcript::{Seen, agreement};
use ws_tests::wire::{frame, frames};

struct Vector {
    id: String,
    extension: String,
    /// Who sent it, and the bytes. A payload that was made by hand could come from either end.
    streams: Vec<(Role, Vec<u8>)>,
    messages: Vec<(String, Vec<u8>)>,
    error: Option<String>,
}

fn bytes(hex: &Value) -> Vec<u8> {
    let hex = hex.as_str().unwrap();
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

fn vectors() -> Vec<Vector> {
    let all: Value = serde_json::from_str(include_str!("../vectors/deflate.json")).unwrap();
    all.as_array().unwrap().iter().map(vector).collect()
}

fn vector(v: &Value) -> Vector {
    let text = |key: &str| v[key].as_str().unwrap().to_owned();
    let message = |m: &Value| {
        let times = m["times"].as_u64().unwrap_or(1) as usize;
        (m["kind"].as_str().unwrap().to_owned(), bytes(&m["payload"]).repeat(times))
    };
    let streams = match &v["payloads"] {
        Value::Array(payloads) => {
            let from = |role| payloads.iter().flat_map(|p| frame(role, 0xc2, &bytes(p))).collect();
            vec![(Role::Server, from(Role::Server)), (Role::Client, from(Role::Client))]
        }
        _ => vec![(if v["sender"] == "client" { Role::Client } else { Role::Server }, bytes(&v["hex"]))],
    };
    Vector {
        id: text("id"),
        extension: text("extension"),
        streams,
        messages: v["messages"].as_array().unwrap().iter().map(message).collect(),
        error: v["errors"].as_array().unwrap().first().map(|e| e.as_str().unwrap().to_owned()),
    }
}

impl Vector {
    fn expected(&self, delivery: Delivery) -> Vec<Seen> {
        let event = |(word, payload): &(String, Vec<u8>)| {
            let kind = if word == "text" { Kind::Text } else { Kind::Binary };
            match (word.as_str(), delivery) {
                ("ping", _) => Seen::Ping(payload.clone()),
                ("close", _) => Seen::Closing(u16::from_be_bytes([payload[0], payload[1]]).to_string()),
                (_, Delivery::Chunks) => Seen::Chunk { kind, first: true, last: true, data: payload.clone() },
                ("text", _) => Seen::Text(payload.clone()),
                ("binary", _) => Seen::Binary(payload.clone()),
                (other, _) => panic!("unknown kind {other}"),
            }
        };
        let mut all: Vec<Seen> = self.messages.iter().map(event).collect();
        // The control frame between the fragments comes while the message is open.
        if self.id == "rfc7692-frames-ping-inside" && delivery == Delivery::Chunks {
            let Some(Seen::Chunk { kind, data, .. }) = all.pop() else { unreachable!() };
            let piece = |first, data: &[u8]| Seen::Chunk { kind, first, last: !first, data: data.to_vec() };
            all = vec![piece(true, &data[..2]), Seen::Ping(vec![]), piece(false, &data[2..])];
        }
        // What precedes a fault is handed out.
        if self.id == "rfc7692-takeover-needed" && delivery == Delivery::Chunks {
            all.push(Seen::Chunk { kind: Kind::Binary, first: true, last: false, data: b"H".to_vec() });
        }
        all
    }
}

fn feed(role: Role, extension: &str, delivery: Delivery, wire: &[u8], cut: Cut) -> (Vec<Seen>, Vec<u8>) {
    let negotiated = Negotiated::new(Version::Rfc6455).with_extension(agreement(Deflate::default(), extension));
    let mut config = Config::default();
    config.delivery = delivery;
    let mut end = Driven::<Connection>::open(role, negotiated, config, counting());
    for piece in cut.pieces(0, wire) {
        end.receive(piece);
    }
    let mut merged = std::collections::VecDeque::new();
    end.events().into_iter().for_each(|event| push_merged(&mut merged, event));
    (merged.into(), end.take(usize::MAX))
}

#[test]
fn every_vector_is_inflated_at_every_split() {
    let all = vectors();
    assert_eq!(all.len(), 31);
    for vector in &all {
        for ((sender, wire), delivery) in
            vector.streams.iter().flat_map(|stream| [(stream, Delivery::Messages), (stream, Delivery::Chunks)])
        {
            let expected = vector.expected(delivery);
            let long = vector.messages.iter().any(|(_, payload)| payload.len() > 10_000);
            let cuts = every_cut(wire.len()).into_iter().enumerate();
            for (_, cut) in cuts.filter(|(i, _)| !long || i % 97 < 3) {
                let (seen, written) = feed(sender.peer(), &vector.extension, delivery, wire, cut);
                assert_eq!(seen, expected, "{} {delivery:?} {cut:?}", vector.id);
                let close = frames(&written).0.into_iter().find(|frame| frame.opcode == 8);
                let code = close.and_then(|f| f.payload.first_chunk().map(|code| u16::from_be_bytes(*code)));
                let due = match vector.error.as_deref() {
                    Some("compression") => Some(1007),
                    Some("reserved-bits") => Some(1002),
                    Some(other) => panic!("unknown error {other}"),
                    None => vector.messages.iter().any(|(kind, _)| kind == "close").then_some(1000),
                };
                assert_eq!(code, due, "{} {delivery:?} {cut:?}", vector.id);
            }
        }
    }
}

/// A peer that refers back further than it agreed to, within one message, is understood: the inflater has the largest
/// window whatever was agreed. From one message to the next only the agreed window is kept. Either way it is the same
/// at every split and in both deliveries.
#[test]
fn a_window_larger_than_agreed_is_noticed_from_message_to_message_only() {
    let all = vectors();
    let vector = all.iter().find(|v| v.id == "rfc7692-window-15-read-as-8").unwrap();
    let (sender, once) = &vector.streams[0];
    let (seen, _) = feed(sender.peer(), &vector.extension, Delivery::Messages, once, Cut::Whole);
    assert_eq!(seen, vector.expected(Delivery::Messages));
    // A stored block: "a" and 300 zeros.
    let first = [&[0x00, 0x2d, 0x01, 0xd2, 0xfe][..], b"a", &[0; 300], &[0x00]].concat();
    // A fixed block with length 3 and distance 301, and the end of the block.
    let second = Bits::default().fixed(false).back(301).end().finish();
    for (bits, understood) in [(15, true), (10, true), (9, true), (8, false)] {
        let extension = format!("permessage-deflate; server_max_window_bits={bits}");
        let wire = [frame(Role::Server, 0xc2, &first), frame(Role::Server, 0xc2, &second)].concat();
        for cut in every_cut(wire.len()) {
            let (seen, written) = feed(Role::Client, &extension, Delivery::Messages, &wire, cut);
            let stored = Seen::Binary([&b"a"[..], &[0; 300]].concat());
            let repeated = Seen::Binary(b"a\0\0".to_vec());
            let expected = if understood { vec![stored, repeated] } else { vec![stored] };
            assert_eq!(seen, expected, "{bits} {cut:?}");
            assert_eq!(written.is_empty(), understood, "{bits} {cut:?}");
        }
    }
}
