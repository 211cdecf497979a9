//! The bodies of the fuzz targets; property tests run them too, so that they compile and hold in every build.
//!
//! Each takes bytes and panics if something is wrong. On every input they hold the six laws:
//!
//! 1. heap: at most twice the payload received of the unfinished message, and 64 KiB, and what is queued;
//! 2. work: polls and bytes asked of the allocator grow no faster than bytes in and out;
//! 3. no panic, no loop without progress;
//! 4. any split of the input gives the same events and the same output;
//! 5. exactly one terminal event, and silence after it;
//! 6. a fault is reported at the byte that decides it.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::time::Duration;

use alloc_meter::Mark;
use ws_proto::connection::{Connection, Prepared};
use ws_proto::{Config, Delivery, Kind, ProtocolError, Role, SendError, Version};

use crate::choices::Choices;
use crate::dialect::Dialect;
use crate::endpoint::{Driven, Endpoint, Halves};
use crate::entropy::counting;
use crate::reference;
use crate::run::{Subject, push_merged};
use crate::transcript::{Call, Seen};
use crate::wire::Frame;

/// A version, and settings that matter to a receiver, from one to three bytes.
fn settings(choices: &mut Choices<'_>) -> (Dialect, Config) {
    let mut config = Config::default();
    let bits = choices.byte();
    if bits & 1 != 0 {
        config.delivery = Delivery::Chunks;
    }
    config.manual_pong = bits & 2 != 0;
    config.leniency.long_lengths = bits & 4 != 0;
    config.leniency.masked_frames = bits & 8 != 0;
    config.leniency.unmasked_frames = bits & 8 != 0;
    match bits >> 4 & 3 {
        0 => {}
        1 => {
            config.limits.frame = 20;
            config.limits.message = 50;
            config.limits.fragments = 4;
        }
        2 => {
            config.limits.frame = u64::MAX;
            config.limits.message = u64::MAX;
            config.limits.fragments = u32::MAX;
        }
        _ => config.limits.message = 300,
    }
    if bits & 0x40 != 0 {
        config.auto_fragment = NonZeroUsize::new(1 + choices.below(40));
    }
    let dialect = dialect(bits, choices, &mut config);
    (dialect, config)
}

/// RFC 6455, or the version that another byte names if the top bit is set.
fn dialect(bits: u8, choices: &mut Choices<'_>, config: &mut Config) -> Dialect {
    if bits & 0x80 == 0 {
        return Dialect::new(Version::Rfc6455);
    }
    let number = choices.byte();
    config.leniency.hixie_binary = number & 0x80 != 0;
    Dialect::new(Version::ALL[usize::from(number & 0x7f) % Version::ALL.len()])
}

fn role(choices: &mut Choices<'_>) -> Role {
    role_of(choices.byte())
}

const fn role_of(byte: u8) -> Role {
    if byte & 1 == 0 { Role::Server } else { Role::Client }
}

/// What came of a stream: the events and the bytes written after all of it was read.
#[derive(Debug, PartialEq, Eq)]
struct Result {
    events: VecDeque<Seen>,
    written: Vec<u8>,
}

/// Feeds a stream in pieces of the sizes that `next` gives, under the laws of memory, work and the single end.
fn feed<E: Endpoint>(
    role: Role,
    (dialect, config): (Dialect, &Config),
    wire: &[u8],
    mut next: impl FnMut() -> usize,
) -> Result {
    let mut end = Driven::<E>::open(role, dialect.negotiated(), config.clone(), counting());
    let mut events = VecDeque::new();
    let mut unfinished = 0;
    let mut reads = 0;
    let mut said = 0;
    let (mut held, mut asked) = (0, 0);
    let mut rest = wire;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(next().clamp(1, rest.len()));
        rest = after;
        reads += 1;
        unfinished += piece.len();
        let mut piece = piece.to_vec();
        let mark = Mark::now();
        end.poll(&mut piece);
        let usage = mark.usage();
        asked += usage.requested;
        let got = end.events();
        held += usage.live - (got.capacity() * size_of::<Seen>()) as i64;
        for event in got {
            said += 1;
            held -= copied(&event);
            asked = asked.saturating_sub(2 * copied(&event) as u64 + 512);
            if matches!(event, Seen::Text(_) | Seen::Binary(_)) {
                unfinished = piece.len();
            }
            push_merged(&mut events, event);
        }
        let bound = 2 * unfinished as i64 + 64 * 1024;
        assert!(held <= bound, "law 1: {held} bytes are held, {bound} allowed");
    }
    let in_and_out = (wire.len() + end.end.outgoing().len()) as u64;
    assert!(end.polls <= 1 + reads + said, "law 2: {} polls for {reads} reads and {said} events", end.polls);
    // A message in several frames starts with room for 16 KiB, which costs no more work than room for one byte.
    let reasonable = 8 * in_and_out + 64 * 1024 + (16 * 1024 + 256) * said;
    assert!(asked <= reasonable, "law 2: {asked} bytes asked for, {in_and_out} in and out");
    let written = end.take(usize::MAX);
    end.eof();
    let _ = end.take(usize::MAX);
    finish(&mut end, &mut events);
    Result { events, written }
}

/// The bytes that the test's own copy of an event takes.
fn copied(event: &Seen) -> i64 {
    let bytes = match event {
        Seen::Text(bytes) | Seen::Binary(bytes) | Seen::Ping(bytes) | Seen::Pong(bytes, _) => bytes.capacity(),
        Seen::Chunk { data, .. } => data.capacity(),
        Seen::Closing(text) | Seen::Closed(text) => text.capacity(),
    };
    bytes as i64
}

/// Law 5: brings a connection to its end, which must come once and be followed by nothing.
fn finish<E: Endpoint>(end: &mut Driven<E>, events: &mut VecDeque<Seen>) {
    end.eof();
    end.advance_clock(Duration::from_secs(1000));
    end.events().into_iter().for_each(|event| push_merged(events, event));
    if !matches!(events.back(), Some(Seen::Closed(_))) {
        end.end.abort(end.now);
        end.poll(&mut []);
        end.events().into_iter().for_each(|event| push_merged(events, event));
    }
    let ends = events.iter().filter(|event| matches!(event, Seen::Closed(_))).count();
    assert_eq!(ends, 1, "law 5: {events:?}");
    assert!(matches!(events.back(), Some(Seen::Closed(_))), "law 5: {events:?}");
    let polls = end.polls;
    end.eof();
    end.transport_failed();
    end.receive(b"\x81\x80\x00\x00\x00\x00");
    end.poll(&mut []);
    assert_eq!(end.polls - polls, 4, "law 5: something was said after the end");
    assert_eq!(end.take(1), b"", "law 5: something was written after the end");
    assert_eq!(end.end.poll_timeout(), None);
}

/// Law 4, for a whole connection and for its halves.
pub fn split_invariance(data: &[u8]) {
    let mut choices = Choices::new(data);
    let role = role(&mut choices);
    let (dialect, config) = settings(&mut choices);
    let kind = (dialect, &config);
    let mut sizes = choices.take(8).to_vec();
    sizes.push(1);
    let wire = choices.rest();
    let whole = feed::<Connection>(role, kind, wire, || usize::MAX);
    let bytewise = feed::<Connection>(role, kind, wire, || 1);
    assert_eq!(whole, bytewise, "law 4: whole and byte by byte");
    let mut turn = sizes.iter().cycle().map(|size| usize::from(*size));
    let pieces = feed::<Connection>(role, kind, wire, || turn.next().unwrap_or(1));
    assert_eq!(whole, pieces, "law 4: whole and in pieces");
    let halves = feed::<Halves>(role, kind, wire, || turn.next().unwrap_or(1));
    assert_eq!(whole, halves, "law 4: whole and in halves");
}

/// Bytes of a client, to a server: compared with the reference.
pub fn server_bytes(data: &[u8]) {
    against_the_reference(Role::Server, data);
}

/// Bytes of a server, to a client: compared with the reference.
pub fn client_bytes(data: &[u8]) {
    against_the_reference(Role::Client, data);
}

fn against_the_reference(role: Role, data: &[u8]) {
    let mut choices = Choices::new(data);
    let (dialect, config) = settings(&mut choices);
    let kind = (dialect, &config);
    let wire = choices.rest();
    let expected = reference::receive(dialect, role, &config, wire);
    let mut got = feed::<Connection>(role, kind, wire, || usize::MAX);
    let Some(Seen::Closed(how)) = got.events.pop_back() else { unreachable!("checked by `feed`") };
    assert_eq!(got.events, expected.events, "the events differ from the reference; {:?}", expected.fault);
    let (written, left) = dialect.frames(role, &got.written);
    assert_eq!(left, 0, "half a frame was written");
    check_answers(role, kind, &expected, &written);
    if let Some((at, error)) = expected.fault {
        assert!(how.starts_with(&format!("Protocol({error:?}) by local")), "{how}, not {error:?}");
        // Law 6: not before that byte, and with it.
        let early = feed::<Connection>(role, kind, &wire[..at - 1], || usize::MAX);
        assert!(
            dialect.frames(role, &early.written).0.iter().all(|f| f.opcode != 8),
            "law 6: {error:?} before byte {at}"
        );
        let exact = feed::<Connection>(role, kind, &wire[..at], || usize::MAX);
        assert_eq!(exact.written, got.written, "law 6: {error:?} not with byte {at}");
    }
}

/// What is written is what is owed: a pong for the last ping, then a Close.
fn check_answers(role: Role, (dialect, config): (Dialect, &Config), expected: &reference::Outcome, written: &[Frame]) {
    let version = dialect.version;
    let masked = role == Role::Client && version.masks();
    let mut written = written.iter();
    for frame in written.clone() {
        assert_eq!((frame.fin, frame.rsv, frame.key.is_some()), (true, 0, masked), "{frame:?}");
    }
    if let Some(payload) = expected.owed_pong.as_ref().filter(|_| !config.manual_pong && expected.closed.is_none()) {
        let pong = written.next().expect("a pong is owed");
        assert_eq!((pong.opcode, &pong.payload), (10, payload));
    }
    let close = written.find(|frame| frame.opcode == 8);
    let body = close.map(|frame| &frame.payload[..]);
    let code = body.map(|body| body.first_chunk().map(|code| u16::from_be_bytes(*code)));
    match (expected.fault, &expected.close_body) {
        (None, None) if expected.closed.is_none() => assert_eq!(close, None, "a Close for nothing"),
        _ if !version.has_close() => assert_eq!(close, None, "there is no Close"),
        (Some((_, error)), _) if version.has_close_code() => assert_eq!(code, Some(Some(code_for(error, version)))),
        (_, Some(asked)) if version.has_close_code() => {
            let asked = asked.first_chunk().map(|code| u16::from_be_bytes(*code));
            // Codes that mean the lack of one are not sent, and too big has another code in versions 6 and 7.
            let asked = asked.filter(|code| !matches!(code, 1005 | 1006 | 1015));
            let old = matches!(version, Version::Hybi06 | Version::Hybi07) && asked == Some(1009);
            assert_eq!(code, Some(if old { Some(1004) } else { asked }));
        }
        _ if version == Version::Hybi05 => assert_eq!(body, Some(if role == Role::Client { &b"C"[..] } else { b"S" })),
        (_, Some(asked)) => assert_eq!(body, Some(if str::from_utf8(asked).is_ok() { &asked[..] } else { b"" })),
        _ => assert_eq!(body, Some(&b""[..])),
    }
    assert_eq!(written.next(), None, "something was written behind the Close");
}

fn code_for(error: ProtocolError, version: Version) -> u16 {
    match error.close_code().get() {
        1009 if matches!(version, Version::Hybi06 | Version::Hybi07) => 1004,
        code => code,
    }
}

/// Messages through a sender, the wire, and a receiver: what comes out is what went in.
pub fn round_trip(data: &[u8]) {
    let mut choices = Choices::new(data);
    let first = choices.byte();
    let role = role_of(first);
    let mut sending = Config::default();
    let dialect = dialect(first, &mut choices, &mut sending);
    sending.limits.outgoing = usize::MAX;
    if choices.one_in(2) {
        sending.auto_fragment = NonZeroUsize::new(1 + choices.below(5000));
    }
    let mut sender = Driven::<Connection>::open(role, dialect.negotiated(), sending.clone(), counting());
    let (mut sent, mut wire) = (VecDeque::new(), Vec::new());
    let mut messages = 0;
    let mut cut_by_hand = false;
    while !choices.is_empty() && messages < 64 {
        messages += 1;
        cut_by_hand |= send_one(&mut sender, &mut choices, &mut sent, sending.auto_fragment);
        if choices.one_in(3) {
            // Otherwise control frames would overtake messages, which is legal but not what is looked at here.
            wire.extend(sender.take(usize::MAX));
        } else {
            let n = choices.below(300);
            wire.extend(sender.take(n));
            wire.extend(sender.take(usize::MAX));
        }
    }
    let (on_the_wire, left) = dialect.frames(role, &wire);
    assert_eq!(left, 0);
    for frame in &on_the_wire {
        assert_eq!((frame.rsv, frame.key.is_some()), (0, role == Role::Client && dialect.version.masks()));
        // Pieces are frames of the caller's own size, and prepared messages were framed before.
        let own_size = cut_by_hand || frame.opcode >= 8 || !dialect.version.has_fragments();
        assert!(sending.auto_fragment.is_none_or(|max| frame.payload.len() <= max.get() || own_size));
    }
    let mut receiving = Config::default();
    receiving.limits.fragments = u32::MAX;
    receiving.leniency = sending.leniency;
    let mut step = choices.below(600);
    let mut got = feed::<Connection>(role.peer(), (dialect, &receiving), &wire, || {
        step = step * 7 % 601 + 1;
        step
    });
    got.events.pop_back();
    assert_eq!(got.events, sent);
}

/// Says whether `Config::auto_fragment` has no say in the size of its frames.
fn send_one(
    sender: &mut Driven<Connection>,
    choices: &mut Choices<'_>,
    sent: &mut VecDeque<Seen>,
    fragment: Option<NonZeroUsize>,
) -> bool {
    let now = sender.now;
    let how = choices.below(8);
    let repeat = if choices.one_in(4) { 1 + choices.below(5000) } else { 1 };
    let n = choices.below(40);
    let mut bytes = choices.take(n).repeat(repeat);
    // Frames are kept one by one to be looked at: many tiny ones would take far more memory than their bytes.
    bytes.truncate(fragment.map_or(usize::MAX, |max| max.get().saturating_mul(500)));
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(10_000)]).into_owned();
    let end = &mut sender.end;
    let is_text = |kind: Kind| if kind == Kind::Text { Seen::Text } else { Seen::Binary };
    let version = end.negotiated().version;
    if !version.has_binary() && matches!(how, 1 | 2 | 5..) {
        without_binary(end, now, how, &bytes, sent);
        return false;
    }
    match how {
        0 => {
            end.send(text.as_str()).expect("text is taken");
            sent.push_back(Seen::Text(text.into_bytes()));
        }
        1 => {
            end.send(&bytes[..]).expect("bytes are taken");
            sent.push_back(Seen::Binary(bytes));
        }
        2 => {
            end.send(bytes::Bytes::from(bytes.clone())).expect("shared bytes are taken");
            sent.push_back(Seen::Binary(bytes));
        }
        3 => {
            end.send_prepared(&Prepared::new(text.as_str())).expect("a prepared message is taken");
            sent.push_back(Seen::Text(text.into_bytes()));
        }
        4 | 5 => {
            let kind = if how == 4 { Kind::Text } else { Kind::Binary };
            let whole = if how == 4 { text.into_bytes() } else { bytes };
            let mut writer = end.start_message(kind).expect("a message is begun");
            let size = (1 + choices.below(64)).max(whole.len() / 200);
            for piece in whole.chunks(size) {
                writer.write(piece).expect("a piece is taken");
            }
            writer.finish(b"").expect("the message is finished");
            sent.push_back(is_text(kind)(whole));
        }
        _ => {
            let payload = &bytes[..bytes.len().min(125)];
            if how == 6 {
                end.ping(now, payload).expect("a ping is taken");
                sent.push_back(Seen::Ping(payload.to_vec()));
            } else {
                end.pong(payload).expect("a pong is taken");
                sent.push_back(Seen::Pong(payload.to_vec(), None));
            }
        }
    }
    matches!(how, 3..=5)
}

/// hixie-75 and -76 have no binary messages, or whole ones by special agreement, and neither pings nor pongs.
fn without_binary(end: &mut Connection, now: ws_proto::Instant, how: usize, bytes: &[u8], sent: &mut VecDeque<Seen>) {
    let version = end.negotiated().version;
    let unsupported = Err(SendError::Unsupported(version));
    match how {
        1 | 2 => match end.send(bytes) {
            Ok(()) => sent.push_back(Seen::Binary(bytes.to_vec())),
            Err(error) => assert_eq!(error.without_message(), SendError::Unsupported(version)),
        },
        5 => assert_eq!(end.start_message(Kind::Binary).map(drop), unsupported),
        6 => assert_eq!(end.ping(now, &[]), unsupported),
        _ => assert_eq!(end.pong(&[]), unsupported),
    }
}

/// One thing that was done to an end, and what came of it.
#[derive(Debug, PartialEq, Eq)]
struct Deed {
    done: String,
    answer: std::result::Result<(), String>,
    events: Vec<Seen>,
    written: Vec<u8>,
    facts: [Option<String>; 3],
}

/// Any calls in any order: defined results, no panic, and the laws.
pub fn workload(data: &[u8]) {
    perform::<Connection>(data);
}

/// The same calls to a connection and to its halves have the same results.
pub fn halves(data: &[u8]) {
    let (whole, halves) = (perform::<Connection>(data), perform::<Halves>(data));
    for (a, b) in whole.iter().zip(&halves) {
        assert_eq!(a, b);
    }
    assert_eq!(whole.len(), halves.len());
}

fn perform<E: Endpoint>(data: &[u8]) -> Vec<Deed> {
    let mut choices = Choices::new(data);
    let role = role(&mut choices);
    let (dialect, mut config) = settings(&mut choices);
    let timers = choices.byte();
    if timers & 1 != 0 {
        config.timers.idle = Some(Duration::from_secs(7));
    }
    if timers & 2 != 0 {
        config.timers.lifetime = Some(Duration::from_secs(100));
    }
    if timers & 4 != 0 {
        config.timers.close = None;
    }
    if timers & 8 != 0 {
        config.limits.outgoing = 100;
    }
    let mut end = Driven::<E>::open(role, dialect.negotiated(), config, counting());
    let mut deeds = Vec::new();
    let mut events = VecDeque::new();
    let mut closes_written = Vec::new();
    for _ in 0..200 {
        if choices.is_empty() {
            break;
        }
        let deed = act(&mut end, role, dialect, &mut choices);
        deed.events.iter().cloned().for_each(|event| push_merged(&mut events, event));
        closes_written.extend_from_slice(&deed.written);
        deeds.push(deed);
    }
    let last = end.take(usize::MAX);
    closes_written.extend_from_slice(&last);
    let (written, _) = dialect.frames(role, &closes_written);
    let close = written.iter().position(|frame| frame.opcode == 8);
    assert!(close.is_none_or(|at| at + 1 == written.len()), "something went out behind the Close");
    finish(&mut end, &mut events);
    deeds
}

fn act<E: Endpoint>(end: &mut Driven<E>, role: Role, dialect: Dialect, choices: &mut Choices<'_>) -> Deed {
    let number = choices.below(20);
    let n = choices.below(24);
    let bytes = choices.take(n).to_vec();
    let kind = if number.is_multiple_of(2) { Kind::Text } else { Kind::Binary };
    let text = String::from_utf8_lossy(&bytes).into_owned().into_bytes();
    let call = match number {
        0 | 1 => Some(Call::Send(kind, text.repeat(1 + n / 20 * 400))),
        2 | 3 => Some(Call::Start(kind)),
        4 => Some(Call::Piece(bytes.clone())),
        5 => Some(Call::Finish(bytes.clone())),
        6 => Some(Call::Ping(bytes.repeat(1 + n / 20 * 5))),
        7 => Some(Call::Pong(bytes.clone())),
        8 if n < 8 => {
            Some(Call::Close((n > 0).then(|| (999 + n as u16, String::from_utf8_lossy(&bytes).into_owned()))))
        }
        9 if n == 23 => Some(Call::Abort),
        10 => Some(Call::Delivery(if n.is_multiple_of(2) { Delivery::Chunks } else { Delivery::Messages })),
        _ => None,
    };
    let mut written = Vec::new();
    let mut answer = Ok(());
    match call {
        Some(call) => answer = end.call(&call),
        None => match number {
            11 if n == 23 => end.eof(),
            11 if n == 22 => end.transport_failed(),
            12 => end.advance_clock(Duration::from_millis(n as u64 * n as u64 * 50)),
            13 | 14 => written = end.take(n),
            15 => written = end.take(usize::MAX),
            16 => end.receive(&bytes),
            17 => end.receive(&dialect.frame(role.peer(), 0x80 | (n as u8 & 15), &bytes)),
            18 => end.receive(&dialect.frame(role.peer(), n as u8 & 3, &text)),
            _ => end.receive(&dialect.frame(role.peer(), 0x81, &text)),
        },
    }
    let mut fact = |question| end.fact(question);
    let facts = [fact("shutdown"), fact("timeout"), fact("buffered")];
    Deed { done: format!("{number} {n}"), answer, events: end.events(), written, facts }
}
