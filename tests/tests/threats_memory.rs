//! Memory and work by volume: floods, endless messages, many connections. Measured on the heap of this thread.

use std::sync::Arc;

use alloc_meter::{Mark, Usage};
use ws_proto::connection::{Event, Negotiated};
use ws_proto::{Config, Connection, Delivery, Input, Instant, Message, NoEntropy, OsEntropy, Role, SendError, Version};
use ws_tests::endpoint::Endpoint;
use ws_tests::entropy::counting;
use ws_tests::wire::{frame, frames, head};

const NOW: Instant = Instant::from_secs(1);
const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
/// Floods are shorter in unoptimised builds; what is asserted does not depend on the length.
const LESS: u64 = if cfg!(debug_assertions) { 20 } else { 1 };

fn server(config: Config) -> Connection {
    Endpoint::new(Role::Server, config, Box::new(NoEntropy))
}

fn client(config: Config) -> Connection {
    Endpoint::new(Role::Client, config, counting())
}

/// Feeds bytes, drops the events; gives their number.
fn feed(conn: &mut Connection, bytes: &mut [u8]) -> u64 {
    let mut input = Input::new(bytes);
    let mut events = 0;
    while conn.poll(NOW, &mut input).is_some() {
        events += 1;
    }
    assert!(input.is_empty());
    events
}

/// Feeds the same frames again and again, from a copy that is made anew each time.
fn flood(conn: &mut Connection, wire: &[u8], times: u64) -> u64 {
    let mut copy = wire.to_vec();
    let mut events = 0;
    for _ in 0..times {
        copy.copy_from_slice(wire);
        events += feed(conn, &mut copy);
    }
    events
}

fn written(conn: &mut Connection) -> Vec<u8> {
    let bytes: Vec<u8> = conn.outgoing().flatten().copied().collect();
    conn.advance(NOW, bytes.len());
    bytes
}

fn close_code(bytes: &[u8]) -> Option<u16> {
    let close = frames(bytes).0.into_iter().find(|f| f.opcode == 8)?;
    Some(u16::from_be_bytes([close.payload[0], close.payload[1]]))
}

#[test]
fn threat_024_an_endless_message_is_cut_at_the_head_that_crosses_the_limit() {
    let limit = Config::default().limits.message;
    let mut conn = server(Config::default());
    let part = frame(Role::Client, 0x00, &vec![7; 64 * KIB]);
    let mark = Mark::now();
    let mut copy = part.clone();
    copy[0] = 0x02;
    let mut payload = 0;
    while payload < limit {
        assert_eq!(feed(&mut conn, &mut copy), 0);
        assert!(!conn.wants_write());
        payload += 64 * KIB as u64;
        copy.copy_from_slice(&part);
    }
    feed(&mut conn, &mut copy[..1]);
    assert!(!conn.wants_write());
    feed(&mut conn, &mut head(Role::Client, 0x00, 1)[1..2]);
    assert_eq!(close_code(&written(&mut conn)), Some(1009));
    let usage = mark.usage();
    assert!(usage.peak <= 2 * limit as i64 + 64 * KIB as i64, "{usage:?}");
    assert!(usage.live <= 80 * KIB as i64, "the partial message is still held: {usage:?}");
}

fn fragments_without_end(count: u64, payload: &[u8], limited: bool) -> (Usage, Option<u16>) {
    let mut config = Config::default();
    if !limited {
        config.limits.fragments = u32::MAX;
    }
    let allowed = u64::from(config.limits.fragments);
    let mut conn = server(config);
    feed(&mut conn, &mut frame(Role::Client, 0x02, payload));
    let batch = frame(Role::Client, 0x00, payload).repeat(1000);
    let mark = Mark::now();
    let mut copy = batch.clone();
    for _ in 0..count / 1000 {
        copy.copy_from_slice(&batch);
        feed(&mut conn, &mut copy);
    }
    let usage = mark.usage();
    drop(copy);
    let code = close_code(&written(&mut conn));
    let stats = conn.stats().received;
    assert!(stats.frames <= allowed, "{stats:?}");
    (usage, code)
}

#[test]
fn threat_025_millions_of_tiny_fragments_hold_no_more_than_their_bytes() {
    let count = 5_000_000 / LESS;
    for payload in [&b""[..], b"x"] {
        let (usage, code) = fragments_without_end(count, payload, false);
        assert_eq!(code, None);
        let bytes = count as i64 * payload.len() as i64;
        let own = 1000 * (6 + payload.len() as i64);
        assert!(usage.peak <= 2 * bytes + 64 * KIB as i64 + own, "{usage:?} for {bytes}");
        let (usage, code) = fragments_without_end(count, payload, true);
        assert_eq!(code, Some(1008));
        assert!(usage.peak <= 64 * KIB as i64 + own, "{usage:?}");
    }
}

#[test]
fn threat_025_the_work_for_tiny_fragments_is_linear() {
    let work = |n: u64| fragments_without_end(n, b"x", false).0;
    let n = 200_000 / LESS;
    let (one, two, four) = (work(n), work(2 * n), work(4 * n));
    for (less, more) in [(one, two), (two, four)] {
        assert!(more.requested as f64 <= 2.2 * less.requested as f64 + 64.0 * KIB as f64, "{less:?} {more:?}");
        assert!(more.allocations <= less.allocations + 4, "{less:?} {more:?}");
    }
}

#[test]
fn threat_026_a_mebibyte_in_reads_of_one_byte() {
    let arrive = |size: usize| {
        let mut conn = server(Config::default());
        let mut wire = frame(Role::Client, 0x82, &vec![9; size]);
        let mark = Mark::now();
        let mut polls = 0;
        for byte in wire.chunks_mut(1) {
            let mut input = Input::new(byte);
            polls += 1;
            while let Some(event) = conn.poll(NOW, &mut input) {
                polls += 1;
                assert!(matches!(event, Event::Binary(payload) if payload.len() == size));
            }
        }
        (mark.usage(), polls)
    };
    let (usage, polls) = arrive(MIB);
    assert!(usage.allocations <= 40, "{usage:?}");
    assert!(usage.peak <= 2 * MIB as i64 + 64 * KIB as i64, "{usage:?}");
    assert_eq!(polls, MIB + 14 + 1);
    let (twice, _) = arrive(2 * MIB);
    assert!(twice.requested as f64 <= 2.2 * usage.requested as f64, "{usage:?} {twice:?}");
    assert!(twice.allocations <= usage.allocations + 2);
}

#[test]
fn threat_026_many_messages_in_tiny_reads_keep_nothing_but_themselves() {
    let mut conn = server(Config::default());
    let wire = frame(Role::Client, 0x82, &[1; 100]);
    for byte in wire.iter().cycle().take(wire.len() * 10) {
        feed(&mut conn, &mut [*byte]);
    }
    let mark = Mark::now();
    for byte in wire.iter().cycle().take(wire.len() * 1000) {
        feed(&mut conn, &mut [*byte]);
    }
    assert_eq!(mark.usage().live, 0);
}

#[test]
fn threat_027_a_ping_flood_from_a_deaf_peer() {
    let mut conn = server(Config::default());
    let mut wire = Vec::new();
    for i in 0..100_u8 {
        wire.extend(frame(Role::Client, 0x89, &[i; 125]));
    }
    let mut copy = wire.clone();
    let mark = Mark::now();
    for _ in 0..100_000 / LESS {
        copy.copy_from_slice(&wire);
        feed(&mut conn, &mut copy);
    }
    let usage = mark.usage();
    assert!(usage.live <= 256, "{usage:?}");
    assert!(usage.peak <= 512, "{usage:?}");
    let out = frames(&written(&mut conn)).0;
    assert_eq!(out.len(), 1);
    assert_eq!((out[0].opcode, &out[0].payload[..]), (10, &[99; 125][..]), "one pong, for the last ping");
    assert!(!conn.wants_write());
}

#[test]
fn threat_027_a_ping_flood_to_a_client_that_cannot_write() {
    let mut conn = client(Config::default());
    let wire = frame(Role::Server, 0x89, &[7; 125]).repeat(100);
    flood(&mut conn, &wire, 10);
    let mark = Mark::now();
    flood(&mut conn, &wire, 10_000 / LESS);
    let usage = mark.usage();
    assert!(usage.live <= 0, "{usage:?}");
    assert_eq!(frames(&written(&mut conn)).0.len(), 1);
}

#[test]
fn threat_028_a_flood_of_pongs_nobody_asked_for() {
    let mut conn = server(Config::default());
    let wire = frame(Role::Client, 0x8a, &[3; 125]).repeat(100);
    flood(&mut conn, &wire, 1);
    let mark = Mark::now();
    let events = flood(&mut conn, &wire, 100_000 / LESS);
    assert_eq!(events, 100 * 100_000 / LESS);
    assert_eq!(mark.usage().live, 0);
    assert!(!conn.wants_write());
}

#[test]
fn threat_029_send_gives_the_message_back_when_the_peer_does_not_read() {
    for size in [16, 3000, 5000, 100 * KIB] {
        for role in [Role::Server, Role::Client] {
            let mut conn: Connection = Endpoint::new(role, Config::default(), counting());
            let mark_limit = Config::default().limits.outgoing;
            let message = Message::binary(vec![5; size]);
            let mark = Mark::now();
            let mut taken = 0;
            let back = loop {
                match conn.send(message.clone()) {
                    Ok(()) => taken += 1,
                    Err(SendError::Full(back)) => break back,
                    Err(other) => panic!("{other}"),
                }
                assert!(taken < 1_000_000);
            };
            assert_eq!(back, message, "the message comes back whole");
            assert!(!conn.can_send());
            assert!(conn.buffered() > mark_limit && conn.buffered() <= mark_limit + size + 14);
            let usage = mark.usage();
            // Beside the bytes themselves: the room in the run that still grows, and a list of runs.
            let bound = mark_limit + size + 128 * KIB;
            assert!(usage.live <= bound as i64, "{role:?} {size}: {usage:?}");
            for _ in 0..1000 {
                assert!(matches!(conn.send(&message), Err(SendError::Full(_))));
            }
            assert!(mark.usage().live <= usage.live);
            let out = written(&mut conn);
            assert_eq!(frames(&out).0.len(), taken);
            assert!(conn.send(message).is_ok());
        }
    }
}

/// What one idle connection costs, all told: the machine itself and what it keeps on the heap.
#[test]
fn threat_033_an_idle_connection_owns_no_buffer() {
    let config = Arc::new(Config::default());
    let wire = [frame(Role::Client, 0x82, &[1; 3000]), frame(Role::Client, 0x89, b"x")].concat();
    let mark = Mark::now();
    let mut all: Vec<Connection> = Vec::with_capacity(10_000);
    for _ in 0..10_000 {
        let negotiated = Negotiated::new(Version::Rfc6455);
        let mut conn = Connection::from_upgraded(Role::Server, negotiated, config.clone(), Box::new(NoEntropy));
        let mut copy = wire.clone();
        feed(&mut conn, &mut copy);
        conn.send(&[1; 3000]).unwrap();
        let waiting: usize = conn.outgoing().map(<[u8]>::len).sum();
        conn.advance(NOW, waiting);
        conn.release_memory();
        all.push(conn);
    }
    let each = mark.usage().live as usize / all.len();
    assert!(each <= KIB, "{each} bytes for an idle connection");
    assert_eq!(each, size_of::<Connection>(), "an idle connection keeps something on the heap");
}

/// The buffered mask keys of a client, in bytes: drawing them is too slow to do it each time it wakes.
const KEYS: i64 = 256;

#[test]
fn threat_033_an_idle_client_owns_no_buffer() {
    let mut conn: Connection = Endpoint::new(Role::Client, Config::default(), Box::new(OsEntropy));
    feed(&mut conn, &mut []);
    let mark = Mark::now();
    conn.send("hello").unwrap();
    let waiting: usize = conn.outgoing().map(<[u8]>::len).sum();
    conn.advance(NOW, waiting);
    feed(&mut conn, &mut frame(Role::Server, 0x81, b"hello"));
    conn.release_memory();
    assert_eq!(mark.usage().live, KEYS, "nothing but the mask keys is kept");
}

#[test]
fn threat_034_buffers_are_given_back_after_a_large_message() {
    let payload = vec![b'x'; 16 * MIB];
    for first in [0x81, 0x82] {
        let mut conn = server(Config::default());
        let mut wire = frame(Role::Client, first, &payload);
        feed(&mut conn, &mut []);
        let mark = Mark::now();
        let mut events = 0;
        for bytes in wire.chunks_mut(64 * KIB) {
            events += feed(&mut conn, bytes);
        }
        assert_eq!(events, 1);
        let usage = mark.usage();
        assert_eq!(usage.live, 0, "{usage:?}");
        assert!(usage.peak <= 2 * 16 * MIB as i64 + 64 * KIB as i64, "{usage:?}");

        conn.send(Message::binary(payload.clone())).unwrap();
        while conn.wants_write() {
            let n = conn.outgoing().next().unwrap().len().min(64 * KIB);
            conn.advance(NOW, n);
        }
        conn.release_memory();
        assert_eq!(mark.usage().live, 0);
    }
}

#[test]
fn threat_034_a_client_gives_its_masked_copy_back() {
    let mut conn = client(Config::default());
    feed(&mut conn, &mut []);
    let mark = Mark::now();
    conn.send(&vec![1; 4 * MIB]).unwrap();
    while conn.wants_write() {
        let n = conn.outgoing().next().unwrap().len().min(64 * KIB);
        conn.advance(NOW, n);
    }
    assert!(mark.usage().live <= 64 * KIB as i64 + 512, "{:?}", mark.usage());
    conn.release_memory();
    assert_eq!(mark.usage().live, KEYS);
}

/// A message of a few bytes in two frames costs a few bytes to keep.
#[test]
fn a_small_message_in_fragments_is_small_when_kept() {
    let mut conn = server(Config::default());
    let wire = [frame(Role::Client, 0x02, b"ab"), frame(Role::Client, 0x80, b"cd")].concat();
    feed(&mut conn, &mut []);
    let mut kept = Vec::with_capacity(1000);
    let mut copy = wire.clone();
    let mark = Mark::now();
    for _ in 0..1000 {
        copy.copy_from_slice(&wire);
        let mut input = Input::new(&mut copy);
        let Some(Event::Binary(payload)) = conn.poll(NOW, &mut input) else { panic!("no message") };
        kept.push(Message::from(payload.into_owned()));
    }
    let usage = mark.usage();
    assert!(usage.live <= 1000 * 64, "{usage:?}");
}

/// Chunk delivery holds nothing, however long the message.
#[test]
fn chunks_of_an_endless_message_are_never_kept() {
    let mut config = Config::default();
    config.delivery = Delivery::Chunks;
    config.limits.message = u64::MAX;
    config.limits.frame = u64::MAX;
    let mut conn = server(config);
    feed(&mut conn, &mut head(Role::Client, 0x82, 1 << 62));
    let mut bytes = vec![0; 64 * KIB];
    let mark = Mark::now();
    for _ in 0..1000 {
        assert_eq!(feed(&mut conn, &mut bytes), 1);
    }
    assert_eq!(mark.usage().peak, 0);
}

/// The goal of the design: nothing is allocated for a message that lies whole in the input, nor for a small answer.
#[test]
fn lent_messages_and_small_answers_allocate_nothing() {
    let mut conn = server(Config::default());
    let wire = frame(Role::Client, 0x81, b"hello, world");
    let mut copy = wire.clone();
    let mut allocations = 0;
    for round in 0..100 {
        copy.copy_from_slice(&wire);
        let mark = Mark::now();
        let mut input = Input::new(&mut copy);
        while let Some(Event::Text(text)) = conn.poll(NOW, &mut input) {
            conn.send(text).unwrap();
        }
        let n = conn.outgoing().map(<[u8]>::len).sum();
        conn.advance(NOW, n);
        if round > 0 {
            allocations += mark.usage().allocations;
        }
    }
    assert_eq!(allocations, 0);
}
