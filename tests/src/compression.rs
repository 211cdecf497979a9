//! The bodies of the fuzz targets for compression. They panic if something is wrong.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::time::Duration;

use alloc_meter::Mark;
use ws_proto::connection::{Connection, Prepared};
use ws_proto::deflate::Deflate;
use ws_proto::{Config, Delivery, Input, Instant, IntoMessage, Kind, Negotiated, Role, Version};

use crate::choices::Choices;
use crate::endpoint::{Driven, message};
use crate::entropy::counting;
use crate::run::{Subject, push_merged};
use crate::transcript::{Seen, agreement};
use crate::wire::{frame, frames};

/// More than what one connection makes its thread keep: some inflaters and compressors, a buffer.
const SHARED: u64 = 4 * 64 * 1024 + 3 * 512 * 1024 + 16 * 1024;

/// An offer, mostly of `permessage-deflate`.
fn offer(choices: &mut Choices<'_>) -> String {
    let bits = choices.byte();
    if bits & 0xf0 == 0xf0 {
        return if bits & 1 == 0 { "deflate-frame".into() } else { "deflate-frame; no_context_takeover".into() };
    }
    let mut offer = String::from("permessage-deflate");
    if bits & 1 != 0 {
        offer += "; server_no_context_takeover";
    }
    if bits & 2 != 0 {
        offer += "; client_no_context_takeover";
    }
    if bits & 4 != 0 {
        offer += &format!("; server_max_window_bits={}", 8 + choices.below(8));
    }
    if bits & 8 != 0 {
        offer += &format!("; client_max_window_bits={}", 8 + choices.below(8));
    }
    offer
}

fn negotiated(settings: Deflate, offer: &str) -> Negotiated {
    Negotiated::new(Version::Rfc6455).with_extension(agreement(settings, offer))
}

/// What came of a stream.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    events: VecDeque<Seen>,
    written: Vec<u8>,
}

fn feed(role: Role, agreed: &Negotiated, config: &Config, wire: &[u8], mut next: impl FnMut() -> usize) -> Outcome {
    let mut end = Driven::<Connection>::open(role, agreed.clone(), config.clone(), counting());
    let mut events = VecDeque::new();
    let mut rest = wire;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(next().clamp(1, rest.len()));
        rest = after;
        end.receive(piece);
        end.events().into_iter().for_each(|event| push_merged(&mut events, event));
    }
    let written = end.take(usize::MAX);
    end.eof();
    let _ = end.take(usize::MAX);
    end.advance_clock(Duration::from_secs(1000));
    end.end.abort(end.now);
    end.poll(&mut []);
    end.events().into_iter().for_each(|event| push_merged(&mut events, event));
    assert!(matches!(events.back(), Some(Seen::Closed(_))), "no end: {events:?}");
    Outcome { events, written }
}

/// The messages that were finished, in either delivery.
fn messages(events: &VecDeque<Seen>) -> Vec<(Kind, Vec<u8>)> {
    let mut all = Vec::new();
    let mut open = Vec::new();
    for event in events {
        match event {
            Seen::Text(data) => all.push((Kind::Text, data.clone())),
            Seen::Binary(data) => all.push((Kind::Binary, data.clone())),
            Seen::Chunk { kind, first, last, data } => {
                assert_eq!(*first, open.is_empty());
                open.push(data);
                if *last {
                    all.push((*kind, open.drain(..).flatten().copied().collect()));
                }
            }
            _ => {}
        }
    }
    all
}

/// The heap that a stream takes while it is read, events dropped at once; the longest message or part of one.
fn heap(role: Role, agreed: &Negotiated, config: &Config, wire: &[u8]) -> (i64, usize) {
    let mut conn = Connection::from_upgraded(role, agreed.clone(), config.clone(), counting());
    let mut copy = wire.to_vec();
    let now = Instant::from_secs(1);
    let mut longest = 0;
    let mark = Mark::now();
    let mut input = Input::new(&mut copy);
    while let Some(event) = conn.poll(now, &mut input) {
        longest = longest.max(match &event {
            ws_proto::connection::Event::Text(text) => text.as_bytes().len(),
            ws_proto::connection::Event::Binary(data) => data.len(),
            ws_proto::connection::Event::Chunk(chunk) => chunk.data.len(),
            _ => 0,
        });
    }
    (mark.usage().peak, longest)
}

/// Anything as compressed frames, to a client or a server: any split gives the same, both deliveries give the same
/// messages and the same answer, and the limits hold.
pub fn inflate(data: &[u8]) {
    let mut choices = Choices::new(data);
    let role = if choices.byte() & 1 == 0 { Role::Server } else { Role::Client };
    let agreed = negotiated(Deflate::default(), &offer(&mut choices));
    let mut config = Config::default();
    config.limits.message = [100, 5000, 40_000, 300_000][choices.below(4)];
    config.limits.drain = usize::MAX;
    let step = 2 + choices.below(200);
    let mut wire = Vec::new();
    let head = choices.byte();
    if head == 0 {
        wire.extend_from_slice(choices.rest());
    } else {
        // Most often one frame with everything, so that a stream of the fuzzer stays in one piece.
        let first = if head & 1 == 0 { 0xc2 } else { 0xc1 };
        if head & 6 == 0 {
            while !choices.is_empty() {
                let b0 = [0xc2, 0xc1, 0x42, 0x41, 0x00, 0x80, 0x82, 0xc0, 0x89, 0x40][choices.below(10)];
                let n = choices.below(120);
                wire.extend(frame(role.peer(), b0, choices.take(n)));
            }
        } else {
            let payload = choices.rest();
            let times = if head & 8 == 0 { 1 } else { 2 };
            wire.extend(frame(role.peer(), first, payload).repeat(times));
        }
    }
    let mut outcomes = Vec::new();
    for delivery in [Delivery::Messages, Delivery::Chunks] {
        config.delivery = delivery;
        let whole = feed(role, &agreed, &config, &wire, || usize::MAX);
        assert_eq!(whole, feed(role, &agreed, &config, &wire, || 1), "whole and byte by byte");
        assert_eq!(whole, feed(role, &agreed, &config, &wire, || step), "whole and in pieces");
        let (peak, longest) = heap(role, &agreed, &config, &wire);
        let limit = config.limits.message;
        assert!(longest as u64 <= limit, "{longest} bytes, {limit} allowed");
        let bound = 2 * limit.max(wire.len() as u64) + 64 * 1024 + SHARED;
        assert!(peak <= bound as i64, "{peak} bytes are held, {bound} allowed");
        outcomes.push((messages(&whole.events), whole.written, whole.events.back().cloned()));
    }
    assert_eq!(outcomes[0], outcomes[1], "messages and chunks");
}

fn settings(choices: &mut Choices<'_>) -> Deflate {
    let mut settings = Deflate::default();
    let bits = choices.byte();
    settings.level = bits & 15;
    settings.shared_compressor = bits & 16 != 0;
    settings.min_size = if bits & 32 == 0 { 0 } else { 20 };
    settings.idle_release = (bits & 64 != 0).then(|| Duration::from_secs(5));
    settings.memory_level = if bits & 128 == 0 { 8 } else { 1 + choices.below(9) as u8 };
    settings
}

/// A message: some bytes of the input, and perhaps the same again and again, or noise.
fn content(choices: &mut Choices<'_>) -> Vec<u8> {
    let n = choices.below(40);
    let bytes = choices.take(n);
    match choices.below(6) {
        0 => bytes.repeat(1 + choices.below(3000)),
        1 => {
            let mut noise = crate::entropy::Random::new(bytes.len() as u64);
            [&noise.bytes(choices.below(2000))[..], bytes].concat()
        }
        _ => bytes.to_vec(),
    }
}

/// What one end sends the other gets, whatever the settings, across messages and all ways to send.
pub fn deflate_round_trip(data: &[u8]) {
    let mut choices = Choices::new(data);
    let role = if choices.byte() & 1 == 0 { Role::Server } else { Role::Client };
    let settings = settings(&mut choices);
    let offer = offer(&mut choices);
    let agreed = negotiated(settings, &offer);
    let mut sending = Config::default();
    sending.limits.outgoing = usize::MAX;
    sending.timers.keepalive = None;
    sending.timers.write_stall = None;
    if choices.one_in(3) {
        sending.auto_fragment = NonZeroUsize::new(1 + choices.below(2000));
    }
    let mut sender = Driven::<Connection>::open(role, agreed.clone(), sending, counting());
    let mut receiving = Config::default();
    receiving.limits.fragments = u32::MAX;
    receiving.delivery = if choices.one_in(2) { Delivery::Chunks } else { Delivery::Messages };
    let mut step = choices.below(600);
    let (mut sent, mut wire) = (Vec::new(), Vec::new());
    while !choices.is_empty() && sent.len() < 40 {
        let kind = if choices.one_in(2) { Kind::Text } else { Kind::Binary };
        let mut bytes = content(&mut choices);
        if kind == Kind::Text {
            bytes = String::from_utf8_lossy(&bytes).into_owned().into_bytes();
        }
        send(&mut sender, kind, &bytes, &mut choices);
        sent.push((kind, bytes));
        wire.extend(sender.take(usize::MAX));
    }
    let (on_the_wire, left) = frames(&wire);
    assert_eq!(left, 0);
    for frame in &on_the_wire {
        assert_eq!(frame.key.is_some(), role == Role::Client);
        assert!(frame.rsv & 3 == 0);
        assert!(frame.rsv == 0 || frame.opcode != 0 || offer.starts_with("deflate-frame"), "{frame:?}");
    }
    let got = feed(role.peer(), &agreed, &receiving, &wire, || {
        step = step * 7 % 601 + 1;
        step
    });
    assert!(messages(&got.events) == sent, "{offer} {settings:?}: other messages arrive than were sent");
}

fn send(sender: &mut Driven<Connection>, kind: Kind, bytes: &[u8], choices: &mut Choices<'_>) {
    let how = choices.below(9);
    let whole = message(kind, bytes);
    let end = &mut sender.end;
    match how {
        0 => end.send(&whole).expect("it is taken"),
        1 => end.send(whole).expect("it is taken"),
        2 => end.send(whole.compress(true)).expect("it is taken"),
        3 => end.send(whole.compress(false)).expect("it is taken"),
        4 => end.send_prepared(&Prepared::new(&whole)).expect("it is taken"),
        5 | 6 => {
            let mut writer = end.start_message(kind).expect("it is begun");
            if choices.one_in(2) {
                writer = writer.compress(how == 5);
            }
            let size = (1 + choices.below(300)).max(bytes.len() / 50);
            for piece in bytes.chunks(size) {
                writer.write(piece).expect("a piece is taken");
            }
            writer.finish(b"").expect("it is finished");
        }
        7 => {
            let mut writer = end.start_message(kind).expect("it is begun");
            writer.write(b"").expect("a piece is taken");
            writer.finish(bytes).expect("it is finished");
        }
        _ => {
            // After a pause in which the compressor may go.
            sender.poll(&mut []);
            sender.advance_clock(Duration::from_secs(10));
            sender.end.send(&whole).expect("it is taken");
        }
    }
}
