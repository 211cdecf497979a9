//! What an extension does to payloads, seen with one that is easy to follow: each byte of an encoded payload stands for
//! so many bytes of the message.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ws_proto::connection::{Event, Prepared};
use ws_proto::extension::{
    Agreement, Codec, Decoded, Decoder, EncodeError, Encoder, Extension, Outgoing, RSV2, RSV3, Scope, Sink,
};
use ws_proto::{
    Cause, Config, Connection, Delivery, Input, Instant, IntoMessage, Kind, Negotiated, NoEntropy, ProtocolError, Role,
    SendError, Timers, Version,
};

/// A message is made of runs of `times` equal bytes.
#[derive(Clone, Debug)]
struct Runs {
    times: usize,
    scope: Scope,
    fault: Fault,
    releases: Arc<AtomicUsize>,
    encodings: Arc<AtomicUsize>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    /// Claims to have used more than there was.
    Greedy,
    /// Says that there is more to come, and gives nothing.
    Endless,
    /// Writes whatever the room is.
    Boundless,
    /// Can't encode the letter x.
    Picky,
}

impl Runs {
    fn new(times: usize) -> Self {
        Self { times, scope: Scope::Message, fault: Fault::None, releases: Arc::default(), encodings: Arc::default() }
    }

    fn connection(&self, role: Role, config: Config) -> Connection {
        let agreement = Agreement::new(Extension::new("x-runs"), self.clone());
        let negotiated = Negotiated::new(Version::Rfc6455).with_extension(agreement);
        Connection::from_upgraded(role, negotiated, config, Box::new(NoEntropy))
    }
}

impl Codec for Runs {
    fn reserved_bits(&self) -> u8 {
        RSV2 | RSV3
    }

    fn scope(&self) -> Scope {
        self.scope
    }

    fn decoder(&self, _: Role) -> Box<dyn Decoder> {
        Box::new(Unroll { runs: self.clone(), left: 0, byte: 0 })
    }

    fn encoder(&self, _: Role) -> Box<dyn Encoder> {
        Box::new(self.clone())
    }
}

#[derive(Debug)]
struct Unroll {
    runs: Runs,
    byte: u8,
    left: usize,
}

impl Decoder for Unroll {
    fn begin(&mut self, reserved: u8) -> Result<(), ProtocolError> {
        if reserved == RSV3 { Ok(()) } else { Err(ProtocolError::ReservedBits) }
    }

    fn decode(&mut self, input: &[u8], _: bool, out: &mut Sink<'_>) -> Result<Decoded, ProtocolError> {
        match self.runs.fault {
            Fault::Greedy => return Ok(Decoded { used: input.len() + 100, done: true }),
            Fault::Endless => return Ok(Decoded { used: 0, done: false }),
            Fault::Boundless => {
                for _ in 0..1000 {
                    out.write(&[0; 1000])?;
                }
            }
            Fault::None | Fault::Picky => {}
        }
        let mut used = 0;
        loop {
            let now = self.left.min(out.room());
            out.write(&vec![self.byte; now])?;
            self.left -= now;
            if self.left > 0 {
                return Ok(Decoded { used, done: false });
            }
            let Some(byte) = input.get(used) else { return Ok(Decoded { used, done: true }) };
            used += 1;
            (self.byte, self.left) = (*byte, self.runs.times);
        }
    }
}

impl Encoder for Runs {
    fn begin(&mut self, message: &Outgoing) -> Option<u8> {
        (message.compress != Some(false)).then_some(RSV3)
    }

    fn encode(&mut self, piece: &[u8], _: bool, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.encodings.fetch_add(1, Ordering::Relaxed);
        for run in piece.chunks(self.times) {
            if self.fault == Fault::Picky && run[0] == b'x' {
                return Err(EncodeError);
            }
            out.push(run[0]);
        }
        Ok(())
    }

    fn standalone(&self) -> Option<(&'static str, u64)> {
        Some(("runs", self.times as u64))
    }

    fn idle_after(&self) -> Option<Duration> {
        Some(Duration::from_secs(7))
    }

    fn release(&mut self) {
        self.releases.fetch_add(1, Ordering::Relaxed);
    }
}

const NOW: Instant = Instant::ZERO;
const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A masked frame as a client sends it.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        len @ 0..126 => bytes.push(0x80 | len as u8),
        len => bytes.extend([0xfe, (len >> 8) as u8, len as u8]),
    }
    bytes.extend(KEY);
    bytes.extend(payload.iter().enumerate().map(|(i, byte)| byte ^ KEY[i % 4]));
    bytes
}

/// Everything that happened, chunks put together; also the longest chunk.
#[derive(Debug, Default, PartialEq)]
struct Heard {
    messages: Vec<Vec<u8>>,
    open: Vec<u8>,
    pings: usize,
    cause: Option<Cause>,
    longest: usize,
}

fn feed(conn: &mut Connection, bytes: &[u8], step: usize) -> Heard {
    let mut heard = Heard::default();
    let mut note = |event: Event<'_>| match event {
        Event::Text(text) => heard.messages.push(text.as_bytes().to_vec()),
        Event::Binary(bytes) => heard.messages.push(bytes.to_vec()),
        Event::Chunk(chunk) => {
            assert_eq!(chunk.first, heard.open.is_empty());
            heard.longest = heard.longest.max(chunk.data.len());
            heard.open.extend_from_slice(&chunk.data);
            if chunk.last {
                heard.messages.push(std::mem::take(&mut heard.open));
            }
        }
        Event::Ping(_) => heard.pings += 1,
        Event::Closed(closed) => heard.cause = Some(closed.cause),
        _ => {}
    };
    for part in bytes.chunks(step) {
        let mut part = part.to_vec();
        let mut input = Input::new(&mut part);
        while let Some(event) = conn.poll(NOW, &mut input) {
            note(event);
        }
        assert!(input.is_empty());
    }
    let written = conn.outgoing().map(<[u8]>::len).sum();
    conn.advance(NOW, written);
    conn.eof(NOW);
    while let Some(event) = conn.poll(NOW, &mut Input::empty()) {
        note(event);
    }
    heard
}

fn chunks() -> Config {
    let mut config = Config::default();
    config.delivery = Delivery::Chunks;
    config
}

fn runs(letters: &[u8], times: usize) -> Vec<u8> {
    letters.iter().flat_map(|letter| vec![*letter; times]).collect()
}

#[test]
fn decoded_messages_are_the_same_at_every_split() {
    let letters: Vec<u8> = (0..200).map(|i| b'a' + i % 26).collect();
    let mut bytes = frame(0x11, &letters[..70]);
    bytes.extend(frame(0x89, b"ping"));
    bytes.extend(frame(0x00, b""));
    bytes.extend(frame(0x80, &letters[70..]));
    bytes.extend(frame(0x92, b"zz"));
    bytes.extend(frame(0x81, b"plain"));
    bytes.extend(frame(0x91, b""));
    for times in [1, 3, 1000] {
        let expected = [runs(&letters, times), runs(b"zz", times), b"plain".to_vec(), vec![]];
        for config in [Config::default(), chunks()] {
            for step in [1, 2, 3, 7, 50, 1000] {
                let heard = feed(&mut Runs::new(times).connection(Role::Server, config.clone()), &bytes, step);
                assert_eq!(heard.messages, expected, "{times} {step} {:?}", config.delivery);
                assert_eq!((heard.pings, heard.cause), (1, Some(Cause::Eof)));
                assert!(heard.longest <= 48 * 1024, "{}", heard.longest);
            }
        }
    }
}

#[test]
fn the_limit_counts_what_comes_out() {
    for (letters, fits) in [(9, true), (10, true), (11, false)] {
        let bytes = [frame(0x12, &vec![b'a'; letters]), frame(0x82, b""), frame(0x80, b"")].concat();
        let bytes = if fits { frame(0x92, &vec![b'a'; letters]) } else { bytes };
        for mut config in [Config::default(), chunks()] {
            config.limits.message = 1000;
            for step in [1, 4, 1000] {
                let heard = feed(&mut Runs::new(100).connection(Role::Server, config.clone()), &bytes, step);
                if fits {
                    assert_eq!(heard.messages, [vec![b'a'; letters * 100]]);
                } else {
                    assert_eq!(heard.cause, Some(Cause::Protocol(ProtocolError::MessageTooBig)));
                    // Of chunks, all that the limit allows.
                    let open = if config.delivery == Delivery::Chunks { 1000 } else { 0 };
                    assert_eq!((heard.messages.len(), heard.open.len()), (0, open));
                }
            }
        }
    }
}

#[test]
fn threat_040_no_decoder_gets_more_memory_than_the_limit() {
    for fault in [Fault::Boundless, Fault::Endless, Fault::Greedy] {
        for mut config in [Config::default(), chunks()] {
            config.limits.message = 5000;
            let runs = Runs { fault, ..Runs::new(1) };
            let heard = feed(&mut runs.connection(Role::Server, config.clone()), &frame(0x92, b"abc"), 100);
            assert!(heard.open.len() <= 5000);
            let Some(Cause::Protocol(error)) = heard.cause else {
                assert_eq!((fault, heard.messages), (Fault::Greedy, vec![vec![]]));
                continue;
            };
            let expected = if fault == Fault::Endless && config.delivery == Delivery::Chunks {
                ProtocolError::InvalidCompression
            } else {
                ProtocolError::MessageTooBig
            };
            assert_eq!(error, expected);
        }
    }
}

#[test]
fn reserved_bits_are_those_that_were_claimed() {
    let ended = |bytes: &[u8], scope| {
        let runs = Runs { scope, ..Runs::new(2) };
        feed(&mut runs.connection(Role::Server, Config::default()), bytes, 100)
    };
    // RSV1 is not claimed, RSV2 is and means nothing to it; control frames have none.
    for first in [0xc1, 0xa1, 0xb1, 0x99] {
        let heard = ended(&frame(first, b"a"), Scope::Message);
        assert_eq!(heard.cause, Some(Cause::Protocol(ProtocolError::ReservedBits)), "{first:x}");
    }
    let fragments = [frame(0x11, b"a"), frame(0x90, b"b")].concat();
    let heard = ended(&fragments, Scope::Message);
    assert_eq!(heard.cause, Some(Cause::Protocol(ProtocolError::ReservedBits)));
    // A frame by itself is marked by itself.
    let heard = ended(&fragments, Scope::Frame);
    assert_eq!(heard.messages, [b"aabb".to_vec()]);
    let heard = ended(&[frame(0x01, b"a"), frame(0x10, b"b"), frame(0x80, b"c")].concat(), Scope::Frame);
    assert_eq!(heard.messages, [b"abbc".to_vec()]);
}

/// What is queued, as first byte and payload of each frame.
fn sent(conn: &mut Connection) -> Vec<(u8, Vec<u8>)> {
    let bytes: Vec<u8> = conn.outgoing().flatten().copied().collect();
    conn.advance(NOW, bytes.len());
    let mut frames = Vec::new();
    let mut rest = &bytes[..];
    while let [first, len, more @ ..] = rest {
        let (len, more) = if *len == 126 {
            (usize::from(u16::from_be_bytes([more[0], more[1]])), &more[2..])
        } else {
            (usize::from(*len), more)
        };
        frames.push((*first, more[..len].to_vec()));
        rest = &more[len..];
    }
    frames
}

#[test]
fn messages_go_out_encoded_unless_the_sender_says_no() {
    let mut conn = Runs::new(2).connection(Role::Server, Config::default());
    conn.send("aabb").unwrap();
    conn.send(&b"aabb"[..]).unwrap();
    conn.send("aabb".compress(false)).unwrap();
    conn.send("").unwrap();
    let long = "cc".repeat(300);
    conn.send(&long).unwrap();
    let expected = [
        (0x91, "ab".into()),
        (0x92, "ab".into()),
        (0x81, "aabb".into()),
        (0x91, String::new()),
        (0x91, "c".repeat(300)),
    ];
    assert_eq!(sent(&mut conn), expected.map(|(first, text)| (first, text.into_bytes())));
    assert_eq!(conn.stats().sent.message_bytes, 4 + 4 + 4 + 600);
}

#[test]
fn long_messages_are_cut_behind_the_extension_or_before_it() {
    let mut config = Config::default();
    config.auto_fragment = NonZeroUsize::new(3);
    let mut conn = Runs::new(2).connection(Role::Server, config.clone());
    conn.send("aabbccdd").unwrap();
    assert_eq!(sent(&mut conn), [(0x11, b"abc".to_vec()), (0x80, b"d".to_vec())]);
    let mut conn = Runs { scope: Scope::Frame, ..Runs::new(3) }.connection(Role::Server, config);
    conn.send("aaabbbccc").unwrap();
    assert_eq!(sent(&mut conn), [(0x11, b"a".to_vec()), (0x10, b"b".to_vec()), (0x90, b"c".to_vec())]);
}

#[test]
fn pieces_go_out_as_they_come() {
    for (scope, rest) in [(Scope::Message, 0x00), (Scope::Frame, 0x10)] {
        let mut conn = Runs { scope, ..Runs::new(2) }.connection(Role::Server, Config::default());
        let mut writer = conn.start_message(Kind::Binary).unwrap();
        writer.write(b"aa").unwrap();
        writer.write(b"").unwrap();
        writer.finish(b"bb").unwrap();
        let expected = [(0x12, b"a".to_vec()), (rest, vec![]), (rest | 0x80, b"b".to_vec())];
        assert_eq!(sent(&mut conn), expected);
        let mut writer = conn.start_message(Kind::Text).unwrap().compress(false);
        writer.write(b"aa").unwrap();
        writer.finish(b"").unwrap();
        assert_eq!(sent(&mut conn), [(0x01, b"aa".to_vec()), (0x80, vec![])]);
    }
}

#[test]
fn a_message_that_cannot_be_encoded_ends_the_connection() {
    let mut conn = Runs { fault: Fault::Picky, ..Runs::new(1) }.connection(Role::Server, Config::default());
    conn.send("abc").unwrap();
    assert_eq!(conn.send("axc"), Err(SendError::Encoding(EncodeError)));
    assert_eq!(conn.send("abc"), Err(SendError::Closed("abc")));
    assert_eq!(sent(&mut conn), [(0x91, b"abc".to_vec())]);
    let heard = feed(&mut conn, b"", 1);
    assert_eq!(heard.cause, Some(Cause::Encoding));
}

#[test]
fn prepared_messages_are_encoded_once() {
    let runs = Runs::new(2);
    let message = Prepared::new("aabb");
    for _ in 0..3 {
        let mut conn = runs.connection(Role::Server, Config::default());
        conn.send_prepared(&message).unwrap();
        assert_eq!(sent(&mut conn), [(0x91, b"ab".to_vec())]);
    }
    assert_eq!(runs.encodings.load(Ordering::Relaxed), 1);
    let mut other = Runs::new(4).connection(Role::Server, Config::default());
    other.send_prepared(&message).unwrap();
    other.send_prepared(&Prepared::new("aabb".compress(false))).unwrap();
    assert_eq!(sent(&mut other), [(0x91, b"a".to_vec()), (0x81, b"aabb".to_vec())]);
}

#[test]
fn memory_is_given_back_when_nothing_was_sent_for_long() {
    let runs = Runs::new(2);
    let mut config = Config::default();
    config.timers = Timers::off();
    let mut conn = runs.connection(Role::Server, config);
    let at = |seconds| NOW.saturating_add(Duration::from_secs(seconds));
    assert!(conn.poll(at(0), &mut Input::empty()).is_none());
    assert_eq!(conn.poll_timeout(), None);
    conn.send("aa").unwrap();
    assert!(conn.poll(at(1), &mut Input::empty()).is_none());
    assert_eq!(conn.poll_timeout(), Some(at(8)));
    conn.send("aa").unwrap();
    conn.handle_timeout(at(8));
    // It was sent meanwhile, so it is not idle any more; when exactly is known since now.
    assert_eq!((runs.releases.load(Ordering::Relaxed), conn.poll_timeout()), (0, Some(at(15))));
    conn.handle_timeout(at(15));
    assert_eq!((runs.releases.load(Ordering::Relaxed), conn.poll_timeout()), (1, None));
}

#[test]
fn versions_without_extensions_go_without() {
    for version in Version::ALL.iter().filter(|version| !version.has_extensions()) {
        let plain = Negotiated::new(*version);
        let extended = plain.clone().with_extension(Agreement::new(Extension::new("x-runs"), Runs::new(1)));
        let conversation = |negotiated: Negotiated| {
            let mut conn = Connection::from_upgraded(Role::Server, negotiated, Config::default(), Box::new(NoEntropy));
            conn.send("aaaa").unwrap();
            conn.send_prepared(&Prepared::new("bb")).unwrap();
            let mut pieces = conn.start_message(Kind::Text).unwrap();
            pieces.write(b"cc").unwrap();
            pieces.finish(b"dd").unwrap();
            sent_bytes(&mut conn)
        };
        assert_eq!(conversation(extended), conversation(plain), "{version}");
    }
}

fn sent_bytes(conn: &mut Connection) -> Vec<u8> {
    conn.outgoing().flatten().copied().collect()
}
