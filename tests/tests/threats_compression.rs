//! Compression that has hurt others: bombs, broken streams, windows, memory. Measured on the heap of this thread.
//!
//! What connections share belongs to the thread, whatever they do: up to eight inflaters, eight compressors, and 32 KiB.
//! It is made before anything is measured.

use alloc_meter::Mark;
use ws_proto::connection::{Event, Prepared};
use ws_proto::deflate::Deflate;
use ws_proto::extension::{Agreement, Codec, Decoded, Decoder, EncodeError, Encoder, Extension, Outgoing, RSV1, Sink};
use ws_proto::{
    Config, Connection, Delivery, HandshakeError, Input, Instant, IntoMessage, Kind, Negotiated, NoEntropy,
    ProtocolError, Role, ServerConfig, ServerHandshake, Version,
};
use ws_tests::compression;
use ws_tests::deflate::{Bits, connection, eager};
use ws_tests::entropy::Random;
use ws_tests::wire::{frame, frames};

const NOW: Instant = Instant::from_secs(1);
const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
const DEFLATE: &str = "permessage-deflate";

/// What came out of a connection.
#[derive(Debug, Default)]
struct Heard {
    messages: Vec<Vec<u8>>,
    /// Bytes of a message that was never finished.
    open: Vec<u8>,
    /// The code of the Close that was written.
    code: Option<u16>,
}

fn feed_counting(conn: &mut Connection, wire: &mut [u8], step: usize, mut each: impl FnMut(&[u8], bool)) {
    for piece in wire.chunks_mut(step) {
        let mut input = Input::new(piece);
        while let Some(event) = conn.poll(NOW, &mut input) {
            match event {
                Event::Text(text) => each(text.as_bytes(), true),
                Event::Binary(payload) => each(&payload, true),
                Event::Chunk(chunk) => each(&chunk.data, chunk.last),
                other => panic!("{other:?}"),
            }
        }
        assert!(input.is_empty());
    }
}

fn written(conn: &mut Connection) -> Vec<u8> {
    let bytes: Vec<u8> = conn.outgoing().flatten().copied().collect();
    conn.advance(NOW, bytes.len());
    bytes
}

fn close_code(conn: &mut Connection) -> Option<u16> {
    let close = frames(&written(conn)).0.into_iter().find(|f| f.opcode == 8)?;
    Some(u16::from_be_bytes([close.payload[0], close.payload[1]]))
}

fn hear(conn: &mut Connection, wire: &[u8], step: usize) -> Heard {
    let mut heard = Heard::default();
    let Heard { messages, open, .. } = &mut heard;
    feed_counting(conn, &mut wire.to_vec(), step, |data, last| {
        open.extend_from_slice(data);
        if last {
            messages.push(std::mem::take(open));
        }
    });
    heard.code = close_code(conn);
    heard
}

fn limited(message: u64, delivery: Delivery) -> Config {
    let mut config = Config::default();
    config.limits.message = message;
    config.limits.frame = u64::MAX;
    config.delivery = delivery;
    config
}

fn server(config: Config) -> Connection {
    connection(Role::Server, Deflate::default(), DEFLATE, config)
}

/// What a client sends for this message, in one frame.
fn compressed(message: &[u8]) -> Vec<u8> {
    let mut config = Config::default();
    config.limits.outgoing = usize::MAX;
    let mut client = connection(Role::Client, eager(), DEFLATE, config);
    client.send(message).unwrap();
    let wire = written(&mut client);
    assert_eq!(wire[0], 0xc2);
    wire
}

/// Makes what the thread keeps for all its connections.
fn warm() {
    for _ in 0..=MACHINES {
        let heard = hear(&mut server(Config::default()), &compressed(&[7; 3000]), 100);
        assert_eq!(heard.messages, [[7; 3000]]);
    }
}

/// How many inflaters, and how many compressors, a thread keeps.
const MACHINES: usize = 8;

/// Bytes that shrink to about one in `ratio`.
fn squeezable(ratio: usize, len: usize) -> Vec<u8> {
    let mut random = Random::new(ratio as u64);
    let mut bytes = vec![0; len];
    for at in (0..len).step_by(ratio.max(1)) {
        bytes[at] = random.number() as u8;
    }
    bytes
}

/// A block with codes of its own for "258 zeros", then one bit for each: 1030 times as many bytes come out.
fn endless_zeros(len: usize) -> Vec<u8> {
    let vectors = include_str!("../vectors/deflate.json");
    let line = vectors.lines().find(|line| line.contains("bomb-1mib")).unwrap();
    let hex = line.split("\"payloads\": [\"").nth(1).unwrap().split('"').next().unwrap();
    let bomb: Vec<u8> = (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect();
    let mut payload = bomb[..bomb.len() / 2].to_vec();
    payload.resize(len, 0);
    frame(Role::Client, 0xc2, &payload)
}

/// Streams within a message, each as long as a fixed block makes it, one behind the other.
fn nested_streams(total: usize) -> Vec<u8> {
    let mut bits = Bits::default();
    let mut made = 0;
    while made < total {
        bits.fixed(true).literal(b'x');
        for _ in 0..1000 {
            bits.run();
        }
        bits.end().align();
        made += 1 + 1000 * 258;
    }
    frame(Role::Client, 0xc2, &bits.finish())
}

/// Messages that do nothing but repeat the window that the ones before filled, in one unfinished message.
fn nested_contexts(total: usize) -> Vec<u8> {
    let mut config = Config::default();
    config.limits.outgoing = usize::MAX;
    let mut client = connection(Role::Client, eager(), DEFLATE, config);
    let secret = Random::new(1).bytes(16 * KIB);
    client.send(&secret).unwrap();
    let mut writer = client.start_message(Kind::Binary).unwrap();
    for _ in 0..total / secret.len() {
        writer.write(&secret).unwrap();
    }
    written(&mut client)
}

#[test]
fn threat_037_bombs_of_every_ratio_stop_at_the_limit() {
    warm();
    let limit = MIB;
    let bombs = [
        ("10", compressed(&squeezable(10, 4 * limit))),
        ("100", compressed(&squeezable(200, 4 * limit))),
        ("1030", endless_zeros(MIB)),
        ("streams", nested_streams(4 * limit)),
        ("contexts", nested_contexts(4 * limit)),
    ];
    for (name, bomb) in &bombs {
        for delivery in [Delivery::Messages, Delivery::Chunks] {
            for step in [1000, 64 * KIB, usize::MAX] {
                let mut conn = server(limited(limit as u64, delivery));
                let mut copy = bomb.clone();
                let (mut most, mut open) = (0, 0);
                let mark = Mark::now();
                feed_counting(&mut conn, &mut copy, step, |data, last| {
                    open = if last { 0 } else { open + data.len() };
                    most = most.max(open);
                });
                let usage = mark.usage();
                assert_eq!(close_code(&mut conn), Some(1009), "{name} {delivery:?} {step}");
                let bound = if delivery == Delivery::Chunks { 160 * KIB } else { 2 * limit + 64 * KIB };
                assert!(usage.peak <= bound as i64, "{name} {delivery:?} {step}: {usage:?}");
                assert!(usage.live <= 33 * KIB as i64, "{name} {delivery:?} {step}: {usage:?}");
                assert_eq!(most, if delivery == Delivery::Chunks { limit } else { 0 }, "{name}");
            }
        }
    }
}

#[test]
fn threat_037_ratios_are_what_they_are_said_to_be() {
    for (ratio, at_least) in [(10, 5), (200, 60)] {
        let wire = compressed(&squeezable(ratio, MIB));
        assert!(MIB / wire.len() >= at_least, "{} bytes", wire.len());
    }
    let mut conn = server(limited(u64::MAX, Delivery::Chunks));
    let mut out = 0;
    feed_counting(&mut conn, &mut endless_zeros(64 * KIB), usize::MAX, |data, _| out += data.len());
    assert!(out > 1000 * 60 * KIB, "{out}");
}

#[test]
fn threat_038_a_small_frame_with_a_large_message() {
    let wire = compressed(&[0; 4096]);
    assert!(wire.len() < 40, "{}", wire.len());
    for (message, frame, code) in
        [(128, 128, Some(1009)), (4095, 128, Some(1009)), (4096, 128, None), (1 << 20, 10, Some(1009))]
    {
        for step in [1, 3, 1000] {
            let mut config = limited(message, Delivery::Messages);
            config.limits.frame = frame;
            let heard = hear(&mut server(config), &wire, step);
            assert_eq!(heard.code, code, "{message} {frame}");
            assert_eq!(heard.messages.len(), usize::from(code.is_none()));
            assert_eq!(heard.open, b"");
        }
    }
}

#[test]
fn threat_039_at_the_limit_a_message_comes_whole_or_not_at_all() {
    let step = 32 * KIB;
    for limit in [1, 63, step - 1, step, step + 1, 2 * step - 1, 2 * step, 2 * step + 1, 3 * step, 5 * step] {
        for (text, ratio) in [(squeezable(1, limit + 1), 1), (squeezable(50, limit + 1), 50)] {
            for (len, fits) in [(limit - 1, true), (limit, true), (limit + 1, false)] {
                let wire = compressed(&text[..len]);
                for delivery in [Delivery::Messages, Delivery::Chunks] {
                    for read in [1, 1000, usize::MAX] {
                        let what = format!("{len} of {limit}, ratio {ratio}, {delivery:?}, reads of {read}");
                        let mut conn = server(limited(limit as u64, delivery));
                        let heard = hear(&mut conn, &wire, read);
                        if fits {
                            assert_eq!((heard.messages, heard.code), (vec![text[..len].to_vec()], None), "{what}");
                        } else {
                            assert_eq!((heard.messages.len(), heard.code), (0, Some(1009)), "{what}");
                            let all = if delivery == Delivery::Chunks { limit } else { 0 };
                            assert_eq!(heard.open, text[..all], "{what}");
                            // Nothing more comes of it.
                            let more = hear(&mut conn, &wire, read);
                            assert_eq!((more.messages.len(), more.open.len(), more.code), (0, 0, None));
                        }
                    }
                }
            }
        }
    }
}

/// A decoder that writes as much as it can, and does not care what it is told.
#[derive(Debug)]
struct Careless;

impl Codec for Careless {
    fn reserved_bits(&self) -> u8 {
        RSV1
    }
    fn decoder(&self, _: Role) -> Box<dyn Decoder> {
        Box::new(Self)
    }
    fn encoder(&self, _: Role) -> Box<dyn Encoder> {
        Box::new(Self)
    }
}

impl Encoder for Careless {
    fn begin(&mut self, _: &Outgoing) -> Option<u8> {
        None
    }
    fn encode(&mut self, _: &[u8], _: bool, _: &mut Vec<u8>) -> Result<(), EncodeError> {
        Err(EncodeError)
    }
}

impl Decoder for Careless {
    fn decode(&mut self, input: &[u8], _: bool, out: &mut Sink<'_>) -> Result<Decoded, ProtocolError> {
        for _ in 0..100 {
            let _ = out.write(&[7; 1000]);
        }
        Ok(Decoded { used: input.len() + 1000, done: true })
    }
}

#[test]
fn threat_040_a_decoder_that_ignores_the_limit_gives_no_shortened_message() {
    for (delivery, given) in [(Delivery::Messages, 0), (Delivery::Chunks, 5000)] {
        let agreement = Agreement::new(Extension::new("x-careless"), Careless);
        let negotiated = Negotiated::new(Version::Rfc6455).with_extension(agreement);
        let config = limited(5000, delivery);
        let mut conn = Connection::from_upgraded(Role::Server, negotiated, config, Box::new(NoEntropy));
        let mark = Mark::now();
        let heard = hear(&mut conn, &frame(Role::Client, 0xc2, b"abc"), 100);
        assert!(mark.usage().peak <= 32 * KIB as i64, "{:?}", mark.usage());
        assert_eq!((heard.messages.len(), heard.open.len(), heard.code), (0, given, Some(1009)));
    }
}

/// Feeds one long payload; the heap that was held, and what came out.
fn long_payload(payload: &[u8], delivery: Delivery) -> (i64, Heard) {
    let mut conn = server(limited(64 * MIB as u64, delivery));
    let mut wire = frame(Role::Client, 0xc2, payload);
    let mark = Mark::now();
    let mut heard = Heard::default();
    feed_counting(&mut conn, &mut wire, 64 * KIB, |data, last| {
        assert_eq!(data, b"");
        if last {
            heard.messages.push(Vec::new());
        }
    });
    let peak = mark.usage().peak;
    heard.code = close_code(&mut conn);
    (peak, heard)
}

#[test]
fn threat_043_half_a_million_finished_streams_in_a_message() {
    warm();
    for block in [&[0x03, 0x00][..], &[0x01, 0x00, 0x00, 0xff, 0xff]] {
        for delivery in [Delivery::Messages, Delivery::Chunks] {
            let (peak, heard) = long_payload(&block.repeat(MIB / block.len()), delivery);
            assert_eq!((heard.messages, heard.code), (vec![vec![]], None));
            assert!(peak <= KIB as i64, "{peak}");
        }
    }
}

#[test]
fn threat_044_a_mebibyte_of_empty_blocks() {
    warm();
    let mut fixed = Bits::default();
    for _ in 0..MIB * 8 / 10 {
        fixed.fixed(false).end();
    }
    for payload in [[&[0, 0, 0, 0xff, 0xff].repeat(MIB / 5)[..], &[0]].concat(), fixed.finish()] {
        for delivery in [Delivery::Messages, Delivery::Chunks] {
            let (peak, heard) = long_payload(&payload, delivery);
            assert_eq!((heard.messages, heard.code), (vec![vec![]], None));
            assert!(peak <= KIB as i64, "{peak}");
        }
    }
}

/// Streams with a fault or without, of all kinds.
fn hostile(random: &mut Random) -> Vec<u8> {
    let len = random.below(2000);
    let mut payload = match random.below(4) {
        0 => random.bytes(len),
        1 => frames(&compressed(&squeezable(1 + random.below(40), len * 10))).0.remove(0).payload,
        2 => frames(&nested_streams(len * 100)).0.remove(0).payload,
        // A dynamic block with any lengths of codes.
        _ => [&[0x04 | random.below(2) as u8][..], &random.bytes(len)].concat(),
    };
    for _ in 0..random.below(4) {
        if !payload.is_empty() {
            let at = random.below(payload.len());
            payload[at] ^= 1 << random.below(8);
        }
    }
    payload
}

#[test]
fn threat_045_hostile_streams_need_little_stack() {
    let work = || {
        let mut random = Random::new(45);
        for _ in 0..if cfg!(debug_assertions) { 400 } else { 20_000 } {
            let wire = frame(Role::Client, 0xc2, &hostile(&mut random));
            let step = 1 + random.below(3000);
            for delivery in [Delivery::Messages, Delivery::Chunks] {
                let heard = hear(&mut server(limited(100_000, delivery)), &wire, step);
                match heard.code {
                    None => assert_eq!(heard.messages.len(), 1),
                    Some(code) => assert!(heard.messages.is_empty() && [1007, 1009].contains(&code), "{code}"),
                }
            }
        }
    };
    std::thread::Builder::new().stack_size(128 * KIB).spawn(work).unwrap().join().unwrap();
}

#[test]
fn threat_046_what_the_encoder_gives_decodes_to_the_input() {
    let mut random = Random::new(46);
    for _ in 0..if cfg!(debug_assertions) { 300 } else { 10_000 } {
        let len = random.below(400);
        compression::deflate_round_trip(&random.bytes(len));
    }
}

#[test]
fn threat_048_the_bit_belongs_on_the_first_frame() {
    let payload = &frames(&compressed(&[7; 500])).0[0].payload.clone();
    let (a, b) = payload.split_at(3);
    let both = |first, second| [frame(Role::Client, first, a), frame(Role::Client, second, b)].concat();
    for delivery in [Delivery::Messages, Delivery::Chunks] {
        for step in [1, 1000] {
            for wrong in [both(0x02, 0xc0), both(0x42, 0xc0), both(0x02, 0x40)] {
                let heard = hear(&mut server(limited(MIB as u64, delivery)), &wrong, step);
                assert_eq!((heard.messages.len(), heard.code), (0, Some(1002)));
            }
            let right = hear(&mut server(limited(MIB as u64, delivery)), &both(0x42, 0x80), step);
            assert_eq!((right.messages, right.code), (vec![vec![7; 500]], None));
            // Without the bit it is not compressed, whatever it looks like.
            let plain = hear(&mut server(limited(MIB as u64, delivery)), &both(0x02, 0x80), step);
            assert_eq!((plain.messages, plain.code), (vec![payload.clone()], None));
        }
    }
}

#[test]
fn threat_049_requests_that_follow_the_first_are_not_kept() {
    let request = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let batch = request.repeat(64 * KIB / request.len());
    let mut copy = batch.clone();
    let mut handshake = ServerHandshake::new(NOW, ServerConfig::default());
    let mark = Mark::now();
    for _ in 0..if cfg!(debug_assertions) { 1000 } else { 16 * KIB } {
        copy.copy_from_slice(&batch);
        handshake.poll(NOW, &mut Input::new(&mut copy));
    }
    // The request, and early frames of its connection: 64 KiB at most.
    assert!(mark.usage().peak <= 132 * KIB as i64, "{:?}", mark.usage());
    assert_eq!(handshake.error(), Some(&HandshakeError::EarlyData));
    let written: Vec<u8> = handshake.outgoing().flatten().copied().collect();
    assert!(written.starts_with(b"HTTP/1.1 4"), "{written:?}");
    assert_eq!(written.windows(8).filter(|at| at == b"HTTP/1.1").count(), 1);
}

#[test]
fn threat_050_a_message_that_is_not_compressed_leaves_no_trace() {
    let mut random = Random::new(50);
    for round in 0..60 {
        let mut settings = eager();
        settings.level = random.below(10) as u8;
        settings.memory_level = 1 + random.below(9) as u8;
        settings.shared_compressor = random.below(2) == 0;
        settings.send_window_bits = 8 + random.below(8) as u8;
        let texts: Vec<Vec<u8>> = (0..10).map(|i| squeezable(1 + i, random.below(3000))).collect();
        let secret = random.bytes(500);
        let talk = |with_secrets: bool| {
            let mut conn = connection(Role::Server, settings, DEFLATE, Config::default());
            let mut bytes = Vec::new();
            for text in &texts {
                conn.send(text).unwrap();
                bytes.extend(written(&mut conn));
                if with_secrets {
                    conn.send((&secret).compress(false)).unwrap();
                    let mut writer = conn.start_message(Kind::Binary).unwrap().compress(false);
                    writer.write(&secret).unwrap();
                    writer.finish(&secret).unwrap();
                    conn.send_prepared(&Prepared::new((&secret).compress(false))).unwrap();
                    let plain = frames(&written(&mut conn)).0;
                    assert!(plain.iter().all(|frame| frame.rsv == 0 && frame.payload == secret));
                }
            }
            bytes
        };
        // On threads of their own, since the choices of a compressor vary with what it did for others.
        let [with, without] =
            [true, false].map(|with| std::thread::scope(|on| on.spawn(|| talk(with)).join().unwrap()));
        assert!(with == without, "round {round}: {settings:?}");
    }
}

fn idle(settings: Deflate, offer: &str, count: usize) -> (Vec<Connection>, usize) {
    let config = std::sync::Arc::new(Config::default());
    let negotiated = ws_proto::Negotiated::new(ws_proto::Version::Rfc6455)
        .with_extension(ws_tests::transcript::agreement(settings, offer));
    let mut all = Vec::with_capacity(count);
    let mark = Mark::now();
    for _ in 0..count {
        let entropy = Box::new(NoEntropy);
        all.push(Connection::from_upgraded(Role::Server, negotiated.clone(), config.clone(), entropy));
    }
    (all, mark.usage().live as usize / count)
}

#[test]
fn threat_051_idle_connections_have_no_window() {
    let (_all, each) = idle(Deflate::default(), DEFLATE, 10_000);
    println!("{each} bytes for an idle connection");
    assert!(each <= 512, "{each} bytes");
}

#[test]
fn threat_051_what_was_received_costs_its_window() {
    warm();
    for bits in 8..=15 {
        let (mut all, _) = idle(Deflate::default(), &format!("{DEFLATE}; client_max_window_bits={bits}"), 100);
        // No reference goes back further than 250 bytes: any window will do.
        let wire = compressed(&[7; 100 * KIB]);
        let mark = Mark::now();
        for conn in &mut all {
            let mut copy = wire.clone();
            feed_counting(conn, &mut copy, usize::MAX, |data, last| assert_eq!((data.len(), last), (100 * KIB, true)));
            conn.release_memory();
        }
        let each = mark.usage().live as usize / all.len();
        println!("{bits} bits: {each} bytes for each connection that received");
        assert!(each <= (2 << bits) + 16 * KIB, "{bits}: {each}");
        assert!(each <= (1 << bits) + KIB, "{bits}: {each}");
    }
}

#[test]
fn threat_051_what_was_sent_costs_its_window_or_a_compressor() {
    warm();
    for bits in [8, 9, 12, 15] {
        for (takeover, shared) in [(false, false), (true, true), (true, false)] {
            let mut settings = Deflate::default();
            settings.shared_compressor = shared;
            settings.send_takeover = takeover;
            let (mut all, _) = idle(settings, &format!("{DEFLATE}; server_max_window_bits={bits}"), 40);
            let message = squeezable(10, 40 * KIB);
            let use_it = |conn: &mut Connection| {
                conn.send(&message).unwrap();
                written(conn);
                conn.release_memory();
            };
            let (first, others) = all.split_at_mut(MACHINES);
            first.iter_mut().for_each(use_it); // with them comes what the thread keeps
            let mark = Mark::now();
            others.iter_mut().for_each(use_it);
            let each = mark.usage().live as usize / others.len();
            println!("{bits} bits, takeover {takeover}, shared {shared}: {each} bytes for each that sent");
            // As the settings say about the level of memory, which is 8.
            let compressor = (144 << 10) + (4 << bits.max(9)) + (1 << 17);
            let bound = match (takeover, shared) {
                (false, _) => 64,
                (true, true) => (1 << bits) + KIB,
                (true, false) => compressor,
            };
            assert!(each <= bound, "{bits} {takeover} {shared}: {each}");
            if takeover && !shared {
                let mark = Mark::now();
                for conn in &mut all {
                    conn.poll(NOW, &mut Input::empty());
                    let at = conn.poll_timeout().unwrap();
                    assert!(at <= Instant::from_secs(301), "{at:?}");
                    conn.handle_timeout(Instant::from_secs(301));
                }
                let freed = -mark.usage().live as usize;
                assert!(freed >= each * (all.len() - 2 * MACHINES), "{freed}");
            }
        }
    }
}
