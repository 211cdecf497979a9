//! What has hurt others in the versions before RFC 6455: masks, lengths without end, text without end, memory.

use std::time::Duration;

use alloc_meter::Mark;
use proptest::prelude::*;
use ws_proto::connection::Event;
use ws_proto::{Config, Connection, Delivery, Input, Instant, ProtocolError, Role, Version, Versions};
use ws_tests::dialect::{Dialect, hixie_length};
use ws_tests::endpoint::{Driven, Endpoint};
use ws_tests::entropy::{Random, counting};
use ws_tests::run::{Cut, Subject, every_cut};
use ws_tests::transcript::Seen;

const NOW: Instant = Instant::from_secs(1);
const ROLES: [Role; 2] = [Role::Server, Role::Client];
const HIXIE: [Version; 2] = [Version::Hixie75, Version::Hixie76];
const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

fn end(version: Version, role: Role, config: Config) -> Driven<Connection> {
    Driven::open(role, Dialect::new(version).negotiated(), config, counting())
}

fn connection(version: Version, role: Role, config: Config) -> Connection {
    Endpoint::open(role, Dialect::new(version).negotiated(), config, counting())
}

/// Feeds a stream cut in one way, to its end; the events, chunks of one message as one.
fn feed(version: Version, config: &Config, wire: &[u8], cut: Cut) -> Vec<Seen> {
    let mut end = end(version, Role::Server, config.clone());
    match cut {
        Cut::At(at) => [&wire[..at], &wire[at..]].iter().for_each(|piece| end.receive(piece)),
        Cut::Bytewise => wire.chunks(1).for_each(|piece| end.receive(piece)),
        Cut::Every(n) => wire.chunks(n).for_each(|piece| end.receive(piece)),
        Cut::Whole => end.receive(wire),
    }
    let mut seen = std::collections::VecDeque::new();
    end.take(usize::MAX);
    end.eof();
    end.events().into_iter().for_each(|event| ws_tests::run::push_merged(&mut seen, event));
    seen.into()
}

/// The fault with which a stream ends, the same however it is cut, and not before its last byte.
fn fault(version: Version, config: &Config, wire: &[u8]) -> Option<String> {
    let mut verdicts = every_cut(wire.len()).into_iter().map(|cut| {
        let Some(Seen::Closed(how)) = feed(version, config, wire, cut).pop() else { panic!("no end") };
        how.strip_prefix("Protocol(").map(|how| how.split(')').next().unwrap().to_owned())
    });
    let verdict = verdicts.next().unwrap();
    assert!(verdicts.all(|other| other == verdict), "{version} {wire:02x?}");
    if verdict.is_some() {
        let before = feed(version, config, &wire[..wire.len() - 1], Cut::Whole).pop();
        assert!(matches!(before, Some(Seen::Closed(how)) if !how.starts_with("Protocol")), "{version}: too early");
    }
    verdict
}

fn named(error: ProtocolError) -> Option<String> {
    Some(format!("{error:?}"))
}

#[test]
fn threat_137_versions_without_masks_are_off_unless_asked_for() {
    let masking: Vec<_> = Version::ALL.iter().filter(|version| version.masks()).collect();
    assert_eq!(masking.len(), 6, "since hybi-04");
    assert!(Versions::default().iter().all(Version::masks));
    assert!(Versions::MODERN.iter().all(Version::masks));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 30, failure_persistence: None, ..ProptestConfig::default() })]

    /// With a key of noughts now and then a run of payload would be seen, so the keys have none.
    #[test]
    fn threat_137_no_run_of_a_chosen_payload_appears_on_the_wire(
        seed in any::<u64>(), start in 0..100_usize, len in 16..600_usize,
    ) {
        let request = b"GET /script.js HTTP/1.1\r\nHost: target.example\r\nX: ".repeat(20);
        let payload = &request[start..start + len];
        for version in Version::ALL.iter().copied().filter(|version| version.masks()) {
            let mut entropy = Vec::new();
            let mut random = Random::new(seed);
            while entropy.len() < 256 {
                entropy.extend(Some(random.number() as u8).filter(|byte| *byte != 0));
            }
            let entropy = Box::new(Scripted(entropy));
            let negotiated = Dialect::new(version).negotiated();
            let mut client = Driven::<Connection>::open(Role::Client, negotiated, Config::default(), entropy);
            client.end.send(std::str::from_utf8(payload).unwrap()).unwrap();
            client.end.send(payload).unwrap();
            client.end.ping(client.now, &payload[..len.min(125)]).unwrap();
            let wire = client.take(usize::MAX);
            for run in payload.windows(16) {
                prop_assert!(!wire.windows(16).any(|bytes| bytes == run), "{} {:?}", version, run);
            }
        }
    }
}

#[derive(Debug)]
struct Scripted(Vec<u8>);

impl ws_proto::Entropy for Scripted {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), ws_proto::EntropyError> {
        out.iter_mut().zip(self.0.iter().cycle()).for_each(|(byte, from)| *byte = *from);
        Ok(())
    }
}

#[test]
fn threat_139_a_hixie_length_has_nine_bytes_and_an_end() {
    for version in HIXIE {
        for first in [0x80, 0x81, 0xfe, 0xff] {
            for digits in 1..=20_usize {
                let zeros = [&[first][..], &vec![0x80; digits - 1], &[5]].concat();
                let read = digits.min(10);
                let expected = if digits <= 9 { None } else { named(ProtocolError::LengthNotMinimal) };
                assert_eq!(fault(version, &Config::default(), &zeros[..read]), expected, "{digits}");
                // 21 bits are too many already, if not all are noughts.
                let ones = [&[first][..], &vec![0xff; digits]].concat();
                let read = ones.len().min(5);
                let expected = if digits <= 3 { None } else { named(ProtocolError::FrameTooBig) };
                assert_eq!(fault(version, &Config::default(), &ones[..read]), expected, "{digits}");
                let mut unlimited = Config::default();
                unlimited.limits.frame = u64::MAX;
                unlimited.limits.message = u64::MAX;
                let read = ones.len().min(10);
                let expected = if digits <= 8 { None } else { named(ProtocolError::FrameTooBig) };
                assert_eq!(fault(version, &unlimited, &ones[..read]), expected, "{digits}");
            }
        }
    }
}

#[test]
fn threat_139_a_gibibyte_of_80_holds_nothing() {
    for version in HIXIE {
        let mut conn = connection(version, Role::Server, Config::default());
        let mut block = vec![0x80; 64 * KIB];
        conn.poll(NOW, &mut Input::empty());
        let mark = Mark::now();
        let mut ended = 0;
        for _ in 0..MIB / 64 {
            let mut input = Input::new(&mut block);
            while let Some(event) = conn.poll(NOW, &mut input) {
                ended += usize::from(matches!(event, Event::Closed(_)));
            }
            let written = conn.outgoing().map(<[u8]>::len).sum();
            conn.advance(NOW, written);
        }
        assert_eq!(ended, 1);
        assert!(mark.usage().peak <= 1024, "{:?}", mark.usage());
    }
}

#[test]
fn reserved_hixie_frames_are_thrown_away_within_limits() {
    for version in HIXIE {
        for (frame, message) in [(300, 1000), (1000, 300), (300, 300)] {
            let mut config = Config::default();
            config.limits.frame = frame;
            config.limits.message = message;
            let most = frame.min(message);
            let too_big = if message < frame { ProtocolError::MessageTooBig } else { ProtocolError::FrameTooBig };
            let text = b"\0after\xff";
            let after = || vec![Seen::Text(b"after".to_vec())];
            for first in [0x80, 0x9a, 0xff] {
                let wire = |len: u64| [&[first][..], &hixie_length(len), &vec![0xff; len as usize], text].concat();
                for cut in every_cut(most as usize + 3) {
                    assert_eq!(feed(version, &config, &wire(most), cut)[..1], after());
                }
                let head = &wire(most + 1)[..3];
                assert_eq!(fault(version, &config, head), named(too_big));
            }
            for first in [0x01, 0x7f] {
                let wire = |len: u64| [&[first][..], &vec![0; len as usize], &[0xff], text].concat();
                for cut in every_cut(message as usize + 3) {
                    assert_eq!(feed(version, &config, &wire(message), cut)[..1], after());
                }
                let junk = &wire(message + 1)[..message as usize + 2];
                assert_eq!(fault(version, &config, junk), named(ProtocolError::MessageTooBig));
            }
        }
    }
}

#[test]
fn threat_140_the_limit_of_a_hixie_text_is_exact() {
    let most = 21;
    for (version, delivery) in HIXIE.into_iter().flat_map(|v| [(v, Delivery::Messages), (v, Delivery::Chunks)]) {
        let mut config = Config::default();
        config.limits.message = most as u64;
        config.delivery = delivery;
        for size in [0, 1, most - 1, most] {
            // Characters of three bytes, so that there is one at the limit.
            let text = ["\u{20ac}".repeat(size / 3), "x".repeat(size % 3)].concat().into_bytes();
            let wire = [b"\0", &text[..], b"\xff"].concat();
            for cut in every_cut(wire.len()) {
                let whole = if delivery == Delivery::Messages {
                    Seen::Text(text.clone())
                } else {
                    Seen::Chunk { kind: ws_proto::Kind::Text, first: true, last: true, data: text.clone() }
                };
                assert_eq!(feed(version, &config, &wire, cut)[0], whole, "{version} {size} {cut:?}");
            }
        }
        let long = [b"\0", &vec![b'x'; most + 1][..]].concat();
        assert_eq!(fault(version, &config, &long), named(ProtocolError::MessageTooBig));
        // What is wrong first is said first, also if all of it comes at once.
        for at in 1..=most {
            let mut bad = [&long[..], b"xxxxxxx\xff"].concat();
            bad[at] = 0xc0;
            for cut in every_cut(bad.len()) {
                let Some(Seen::Closed(how)) = feed(version, &config, &bad, cut).pop() else { panic!() };
                assert!(how.starts_with("Protocol(InvalidUtf8)"), "{at} {cut:?}: {how}");
            }
        }
    }
}

#[test]
fn threat_140_hixie_text_is_strict_utf_8_and_may_hold_noughts() {
    let bad: [(&[u8], usize); 8] = [
        (b"\xc0\x80", 1),
        (b"\xed\xa0\x80", 2),
        (b"\xf4\x90\x80\x80", 2),
        (b"\x80", 1),
        (b"a\xfe", 2),
        (b"\xe2\x82\xff", 3), // cut off by the end
        (b"\xc3\xff", 2),
        (b"\xf0\x9f\x98\xff", 4),
    ];
    for (version, delivery) in HIXIE.into_iter().flat_map(|v| [(v, Delivery::Messages), (v, Delivery::Chunks)]) {
        let mut config = Config::default();
        config.delivery = delivery;
        for (text, at) in bad {
            let wire = [b"\0", &text[..at]].concat();
            assert_eq!(fault(version, &config, &wire), named(ProtocolError::InvalidUtf8), "{text:02x?}");
        }
    }
    let seen = feed(Version::Hixie75, &Config::default(), b"\0a\0\0b\xff", Cut::Bytewise);
    assert_eq!(seen[0], Seen::Text(b"a\0\0b".to_vec()));
}

#[test]
fn threat_140_a_hixie_text_that_never_ends_is_too_slow() {
    for (version, role) in HIXIE.into_iter().flat_map(|version| ROLES.map(|role| (version, role))) {
        let mut end = end(version, role, Config::default());
        end.receive(b"\0");
        for _ in 0..9 {
            end.advance_clock(Duration::from_secs(1));
            end.receive(b"x");
        }
        assert_eq!(end.events(), []);
        end.advance_clock(Duration::from_secs(2));
        end.take(100);
        end.eof();
        let Some(Seen::Closed(how)) = end.events().pop() else { panic!("no end") };
        assert!(how.starts_with("TooSlow by local received none"), "{how}");
    }
}

#[test]
fn a_message_with_no_fragments_allowed_is_refused_in_every_version() {
    for version in Version::ALL.iter().copied() {
        let mut config = Config::default();
        config.limits.fragments = 0;
        let wire = Dialect::new(version).frame(Role::Client, 0x81, b"x");
        let Some(Seen::Closed(how)) = feed(version, &config, &wire, Cut::Whole).pop() else { panic!() };
        assert!(how.starts_with("Protocol(TooManyFragments)"), "{version}: {how}");
    }
}

/// Feeds bytes, drops the events; gives how many messages came out.
fn pour(conn: &mut Connection, bytes: &mut [u8], step: usize) -> usize {
    let mut messages = 0;
    for piece in bytes.chunks_mut(step) {
        let mut input = Input::new(piece);
        while let Some(event) = conn.poll(NOW, &mut input) {
            messages += usize::from(matches!(event, Event::Text(_) | Event::Binary(_)));
        }
    }
    messages
}

#[test]
fn threat_026_text_in_tiny_reads_in_every_version() {
    let size = if cfg!(debug_assertions) { MIB / 4 } else { MIB };
    for (version, role) in Version::ALL.iter().flat_map(|version| ROLES.map(|role| (*version, role))) {
        let mut conn = connection(version, role, Config::default());
        let mut wire = Dialect::new(version).frame(role.peer(), 0x81, &vec![b'x'; size]);
        pour(&mut conn, &mut [], 1);
        let mark = Mark::now();
        assert_eq!(pour(&mut conn, &mut wire, 1), 1);
        let usage = mark.usage();
        assert!(usage.allocations <= 40, "{version} {role:?}: {usage:?}");
        assert!(usage.peak <= 2 * size as i64 + 64 * KIB as i64, "{version} {role:?}: {usage:?}");
        assert_eq!(usage.live, 0);
    }
}

#[test]
fn threat_034_buffers_are_given_back_in_every_version() {
    let payload = vec![b'x'; 16 * MIB];
    for version in Version::ALL.iter().copied().filter(|version| *version != Version::Rfc6455) {
        let mut conn = connection(version, Role::Server, Config::default());
        let mut wire = Dialect::new(version).frame(Role::Client, 0x81, &payload);
        pour(&mut conn, &mut [], 1);
        let mark = Mark::now();
        assert_eq!(pour(&mut conn, &mut wire, 64 * KIB), 1);
        let usage = mark.usage();
        assert!(usage.peak <= 2 * 16 * MIB as i64 + 64 * KIB as i64, "{version}: {usage:?}");
        assert_eq!(usage.live, 0, "{version}");

        conn.send(std::str::from_utf8(&payload).unwrap()).unwrap();
        let usage = mark.usage();
        assert!(usage.live <= 16 * MIB as i64 + 64 * KIB as i64, "{version}: {usage:?}");
        while conn.wants_write() {
            let n = conn.outgoing().next().unwrap().len().min(64 * KIB);
            conn.advance(NOW, n);
        }
        conn.release_memory();
        assert_eq!(mark.usage().live, 0);
    }
}

#[test]
fn threat_024_an_endless_message_ends_at_the_limit_in_every_version() {
    let limit = if cfg!(debug_assertions) { MIB } else { 16 * MIB };
    for version in Version::ALL.iter().copied() {
        let dialect = Dialect::new(version);
        let mut config = Config::default();
        config.limits.message = limit as u64;
        config.limits.drain = usize::MAX;
        let mut conn = connection(version, Role::Server, config);
        let part = dialect.frame(Role::Client, 0x00, &vec![b'x'; 64 * KIB]);
        pour(&mut conn, &mut [], 1);
        let mark = Mark::now();
        pour(&mut conn, &mut dialect.frame(Role::Client, 0x01, b""), usize::MAX);
        let mut copy = part.clone();
        for _ in 0..limit / (64 * KIB) {
            copy.copy_from_slice(&part);
            assert_eq!(pour(&mut conn, &mut copy, usize::MAX), 0);
            assert!(!conn.wants_write() && conn.state() == ws_proto::connection::State::Open, "{version}");
        }
        copy.copy_from_slice(&part);
        pour(&mut conn, &mut copy, usize::MAX);
        assert_ne!(conn.state(), ws_proto::connection::State::Open, "{version}");
        let usage = mark.usage();
        assert!(usage.peak <= 2 * limit as i64 + 192 * KIB as i64, "{version}: {usage:?}");
        drop(copy);
        assert!(mark.usage().live <= KIB as i64, "{version}: {:?}", mark.usage());
    }
}

#[test]
fn threat_027_a_ping_flood_holds_one_pong_in_every_version() {
    for (version, role) in Version::ALL.iter().flat_map(|version| ROLES.map(|role| (*version, role))) {
        if !version.has_ping() {
            continue;
        }
        let mut conn = connection(version, role, Config::default());
        let wire = Dialect::new(version).frame(role.peer(), 0x89, &[7; 125]).repeat(100);
        let mut copy = wire.clone();
        pour(&mut conn, &mut copy, usize::MAX);
        let mark = Mark::now();
        for _ in 0..50 {
            copy.copy_from_slice(&wire);
            pour(&mut conn, &mut copy, usize::MAX);
        }
        assert!(mark.usage().live <= 0, "{version}: {:?}", mark.usage());
        let out: Vec<u8> = conn.outgoing().flatten().copied().collect();
        assert_eq!(Dialect::new(version).frames(role, &out).0.len(), 1, "{version}: one pong");
    }
}

/// Nothing is allocated for a text of hixie that lies whole in the input, nor for a small answer.
#[test]
fn lent_hixie_texts_and_small_answers_allocate_nothing() {
    for (version, role) in HIXIE.into_iter().flat_map(|version| ROLES.map(|role| (version, role))) {
        let mut conn = connection(version, role, Config::default());
        let mut allocations = 0;
        for round in 0..100 {
            let mut copy = *b"\0hello, \xc3\xa9\xff";
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
}
