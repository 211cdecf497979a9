//! Frames and lengths that have hurt others: what arrives at the decoder. Sizes and codes; no timers.

use std::sync::Arc;

use alloc_meter::{Mark, with_budget};
use ws_proto::connection::{Event, Negotiated};
use ws_proto::{Cause, CloseCode, Closed, Config, Connection, Input, Instant, NoEntropy, ProtocolError, Role, Version};
use ws_tests::endpoint::{Driven, Endpoint};
use ws_tests::entropy::{Random, counting};
use ws_tests::run::{Cut, Subject, every_cut};
use ws_tests::transcript::Seen;
use ws_tests::wire::{KEY, close, frame, frames, head};

const NOW: Instant = Instant::from_secs(1);
const ROLES: [Role; 2] = [Role::Server, Role::Client];
const MIB: usize = 1024 * 1024;

fn end(role: Role, config: Config) -> Driven<Connection> {
    Driven::new(role, config, counting())
}

fn no_limits() -> Config {
    let mut config = Config::default();
    config.limits.frame = u64::MAX;
    config.limits.message = u64::MAX;
    config.limits.fragments = u32::MAX;
    config
}

/// The code of the Close that `role` wrote as its only frame; `None` if it wrote nothing.
fn close_code(role: Role, written: &[u8]) -> Option<u16> {
    let (frames, left) = frames(written);
    assert_eq!(left, 0);
    let [close] = &frames[..] else {
        assert!(frames.is_empty(), "{frames:?}");
        return None;
    };
    assert_eq!((close.opcode, close.fin, close.rsv), (8, true, 0));
    assert_eq!(close.key.is_some(), role == Role::Client);
    Some(u16::from_be_bytes([close.payload[0], close.payload[1]]))
}

/// Feeds `wire` in every cut; each time the verdict must come with the byte at `at` (1 is the first).
fn refused_at(role: Role, config: &Config, wire: &[u8], at: usize, code: u16) {
    for cut in [Cut::Whole, Cut::Bytewise] {
        let mut end = end(role, config.clone());
        end.receive(&wire[..at - 1]);
        assert_eq!(close_code(role, &end.take(1000)), None, "{role:?} {wire:02x?}: too early");
        match cut {
            Cut::Bytewise => wire[at - 1..].iter().for_each(|byte| end.receive(&[*byte])),
            _ => end.receive(&wire[at - 1..]),
        }
        assert_eq!(end.events(), [], "{wire:02x?}");
        assert_eq!(close_code(role, &end.take(1000)), Some(code), "{role:?} {wire:02x?}: at byte {at}");
        end.eof();
        assert!(matches!(&end.events()[..], [Seen::Closed(_)]));
    }
    let mut exactly = end(role, config.clone());
    exactly.receive(&wire[..at]);
    assert_eq!(close_code(role, &exactly.take(1000)), Some(code), "{role:?} {wire:02x?}: not with byte {at}");
}

#[test]
fn threat_001_nothing_is_reserved_for_a_promise() {
    let limit = Config::default().limits.frame;
    for role in ROLES {
        for len in [limit - 1, limit, limit + 1, 1 << 31, 1 << 32, 1 << 40, (1 << 63) - 1] {
            for (config, bounded) in [(Config::default(), true), (no_limits(), false)] {
                let mut end = end(role, config);
                let wire = head(role.peer(), 0x82, len);
                let mark = Mark::now();
                end.receive(&wire);
                let held = mark.usage().live;
                assert!(held <= 1024, "{held} bytes are held for a promise of {len}");
                let refused = (bounded && len > limit).then_some(1009);
                assert_eq!(close_code(role, &end.take(1000)), refused, "{len}");
            }
        }
    }
}

#[test]
fn threat_001_ten_thousand_promises_in_one_process() {
    let config = Arc::new(Config::default());
    let mark = Mark::now();
    let mut all = Vec::with_capacity(10_000);
    for _ in 0..10_000 {
        let negotiated = Negotiated::new(Version::Rfc6455);
        let mut conn = Connection::from_upgraded(Role::Server, negotiated, config.clone(), Box::new(NoEntropy));
        let mut wire = head(Role::Client, 0x82, config.limits.frame);
        assert!(conn.poll(NOW, &mut Input::new(&mut wire)).is_none());
        all.push(conn);
    }
    let live = mark.usage().live;
    assert!(live <= 10 * MIB as i64, "{live} bytes for 10,000 promises");
}

#[test]
fn threat_002_a_length_with_the_top_bit_is_refused_at_once() {
    for role in ROLES {
        let mask = if role == Role::Server { 0x80 } else { 0 };
        for config in [Config::default(), no_limits()] {
            for first in [0x80, 0xff] {
                let wire = [0x82, 0x7f | mask, first, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4, 5];
                refused_at(role, &config, &wire, 3, 1002);
                let mut end = end(role, config.clone());
                let before = end.polls;
                end.receive(&wire);
                assert!(end.polls - before <= 1, "one look is enough");
            }
        }
    }
}

#[test]
fn threat_003_the_sum_of_fragment_lengths_cannot_wrap() {
    let mut wire = frame(Role::Client, 0x02, b"a");
    wire.extend([0x80, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    let mut only_frames = Config::default();
    only_frames.limits.frame = u64::MAX;
    // With the limit on messages the third byte of the length says enough.
    refused_at(Role::Server, &only_frames, &wire, 7 + 3, 1009);
    refused_at(Role::Server, &Config::default(), &wire, 7 + 3, 1009);
    let mut nearly = no_limits();
    nearly.limits.message = (1 << 63) - 1;
    refused_at(Role::Server, &nearly, &wire, 7 + 10, 1009);
    let mut free = end(Role::Server, no_limits());
    free.receive(&wire);
    free.receive(&[1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(free.take(1000), b"");
    assert_eq!(free.events(), []);
}

/// The rest of this row is `tests/miri/run`: the same tests on a 32-bit and on a big-endian machine.
#[test]
fn threat_004_lengths_are_64_bits_wide_until_compared() {
    for role in ROLES {
        let shifts = if cfg!(miri) { vec![16, 31, 32, 62] } else { (16..63).collect() };
        for shift in shifts {
            for len in [(1_u64 << shift) - 1, 1 << shift, (1 << shift) + 1] {
                let mut end = end(role, no_limits());
                let wire = head(role.peer(), 0x82, len);
                end.receive(&wire);
                end.receive(b"abc");
                assert_eq!(end.events(), [], "{len} must not be taken for something shorter");
                assert_eq!(end.take(1000), b"");
            }
        }
        refused_at(role, &Config::default(), &head(role.peer(), 0x82, 1 << 40), 5, 1009);
    }
}

#[test]
fn threat_005_lengths_must_be_minimal() {
    let mut lenient = Config::default();
    lenient.leniency.long_lengths = true;
    for len in (0..=130_u16).step_by(if cfg!(miri) { 25 } else { 1 }) {
        let mut wire = vec![0x82, 0xfe];
        wire.extend(len.to_be_bytes());
        if len < 126 {
            refused_at(Role::Server, &Config::default(), &wire, 4, 1002);
        }
        wire.extend([0; 4]);
        wire.extend(vec![7; usize::from(len)]);
        let mut end = end(Role::Server, lenient.clone());
        end.receive(&wire);
        assert_eq!(end.events(), [Seen::Binary(vec![7; usize::from(len)])]);
    }
    for len in [0_u64, 1, 5, 125, 126, 127, 255, 256, 65_534, 65_535] {
        let mut wire = vec![0x81, 0x7f];
        wire.extend(len.to_be_bytes());
        refused_at(Role::Client, &Config::default(), &wire, 8, 1002);
        if cfg!(miri) && len > 300 {
            continue;
        }
        let mut end = end(Role::Client, lenient.clone());
        wire.extend(vec![b'x'; len as usize]);
        end.receive(&wire);
        assert_eq!(end.events(), [Seen::Text(vec![b'x'; len as usize])]);
    }
}

/// Memory that is out is an answer (1009), never the end of the process.
///
/// Requests below 512 bytes are always met here: a connection makes only a few, of fixed sizes (a Close's reason, a
/// control payload, an encoded pong), and stable Rust has no way to let them fail.
#[test]
fn threat_006_growth_can_fail_without_harm() {
    let total = if cfg!(miri) { 4096 } else { 4 * MIB };
    let mut head = head(Role::Client, 0x82, 1 << 40);
    let mut budgets: Vec<usize> = (0..if cfg!(miri) { 4 } else { 64 }).map(|i| i * total / 64).collect();
    budgets.extend([1, 511, 512, 513, 16_383, 16_384, 16_385, 32_767, 32_768, 65_537, total - 1, total, total + 1]);
    let mut reads = vec![0x55; if cfg!(miri) { 1024 } else { 64 * 1024 }];
    for budget in budgets {
        let mut end = end(Role::Server, no_limits());
        let mut first = head.clone();
        end.poll(&mut first);
        let (fed, refused) = with_budget(budget as u64, 512, || {
            let mut fed = 0;
            while fed < total && !end.end.wants_write() {
                let mut input = Input::new(&mut reads);
                assert!(end.end.poll(NOW, &mut input).is_none());
                fed += reads.len();
            }
            fed
        });
        if refused > 0 {
            assert_eq!(close_code(Role::Server, &end.take(1000)), Some(1009), "budget {budget}");
            end.eof();
            let closed = format!("{:?}", end.events());
            assert!(closed.contains("Protocol(OutOfMemory)"), "{closed}");
        } else {
            assert!(fed >= total && end.take(1000).is_empty(), "budget {budget}: {fed} of {total}");
        }
    }
    // And what is never asked for can't fail: a lent message takes no memory at all.
    head = frame(Role::Client, 0x82, &[1; 5000]);
    let mut end = end(Role::Server, Config::default());
    let (lent, refused) = with_budget(0, 1, || {
        let mut input = Input::new(&mut head);
        matches!(end.end.poll(NOW, &mut input), Some(Event::Binary(payload)) if payload.len() == 5000)
    });
    assert!(lent);
    assert_eq!(refused, 0);
}

#[test]
fn threat_008_no_unsafe_code_and_fuzz_targets_with_seeds() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let text = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
    assert!(text("ws-proto/src/lib.rs").contains("#![forbid(unsafe_code)]"));
    assert!(text("tests/src/lib.rs").contains("#![forbid(unsafe_code)]"));
    let manifest = text("fuzz/Cargo.toml");
    let targets: Vec<_> = manifest.lines().filter_map(|line| line.strip_prefix("path = \"fuzz_targets/")).collect();
    assert!(targets.len() >= 7, "{targets:?}");
    for target in targets {
        let name = target.trim_end_matches(".rs\"");
        let seeds = root.join("fuzz/seeds").join(name);
        assert!(seeds.read_dir().is_ok_and(|mut files| files.next().is_some()), "{name} has no seeds");
    }
}

/// Whether the second frame is legal behind the first, by the state after the first alone.
fn legal(open: bool, opcode: u8, fin: bool) -> Option<bool> {
    match opcode {
        9 => fin.then_some(open),
        0 => open.then_some(!fin),
        _ => (!open).then_some(!fin),
    }
}

#[test]
fn threat_009_an_open_message_is_never_replaced_or_merged() {
    let all = [(1, true), (1, false), (2, true), (2, false), (0, true), (0, false), (9, true), (9, false)];
    let byte = |(opcode, fin): (u8, bool)| if fin { 0x80 | opcode } else { opcode };
    for role in ROLES {
        for first in all {
            for second in all {
                let wire = [frame(role.peer(), byte(first), b"1"), frame(role.peer(), byte(second), b"2")].concat();
                let after_first = legal(false, first.0, first.1);
                let after_both = after_first.and_then(|open| legal(open, second.0, second.1));
                for cut in every_cut(wire.len()) {
                    let mut end = end(role, Config::default());
                    feed(&mut end, &wire, cut);
                    let messages: Vec<_> = end.events().into_iter().filter(|e| !matches!(e, Seen::Ping(_))).collect();
                    let written = end.take(1000);
                    let failed = frames(&written).0.iter().any(|f| f.opcode == 8 && f.payload.starts_with(&[3, 0xea]));
                    assert_eq!(failed, after_both.is_none(), "{first:?} {second:?} {cut:?}");
                    let kind = |opcode, bytes: &[u8]| match opcode {
                        1 => Seen::Text(bytes.to_vec()),
                        _ => Seen::Binary(bytes.to_vec()),
                    };
                    let mut expected = Vec::new();
                    if first.1 && matches!(first.0, 1 | 2) {
                        expected.push(kind(first.0, b"1"));
                    }
                    if after_both == Some(false) && matches!(second.0, 1 | 2) {
                        expected.push(kind(second.0, b"2"));
                    }
                    if after_both == Some(false) && second.0 == 0 {
                        expected.push(kind(first.0, b"12"));
                    }
                    assert_eq!(messages, expected, "{first:?} {second:?} {cut:?}");
                }
            }
        }
    }
}

fn feed<E: Endpoint>(end: &mut Driven<E>, wire: &[u8], cut: Cut) {
    match cut {
        Cut::Whole => end.receive(wire),
        Cut::Bytewise => wire.iter().for_each(|byte| end.receive(&[*byte])),
        Cut::Every(n) => wire.chunks(n).for_each(|bytes| end.receive(bytes)),
        Cut::At(at) => {
            end.receive(&wire[..at]);
            end.receive(&wire[at..]);
        }
    }
}

#[test]
fn threat_010_long_control_frames_are_refused_from_the_head() {
    for opcode in [8, 9, 10] {
        for length in [126, 127] {
            refused_at(Role::Server, &Config::default(), &[0x80 | opcode, 0x80 | length, 0, 0x7e], 2, 1002);
            refused_at(Role::Client, &Config::default(), &[0x80 | opcode, length, 0, 0x7e], 2, 1002);
            refused_at(Role::Server, &no_limits(), &[0x80 | opcode, 0x80 | length, 0, 0x7e], 2, 1002);
        }
    }
}

#[test]
fn threat_011_control_frames_are_never_fragments() {
    for role in ROLES {
        for opcode in [8, 9, 10] {
            refused_at(role, &Config::default(), &frame(role.peer(), opcode, b"x"), 1, 1002);
            let open = frame(role.peer(), 0x01, b"a");
            let inside = [open.clone(), frame(role.peer(), opcode, b"x")].concat();
            refused_at(role, &Config::default(), &inside, open.len() + 1, 1002);
        }
    }
}

#[test]
fn threat_012_reserved_bits_without_an_extension_are_refused_from_the_first_byte() {
    for role in ROLES {
        for rsv in 1..8_u8 {
            for opcode in 0..16_u8 {
                for fin in [0, 0x80] {
                    refused_at(role, &Config::default(), &[fin | rsv << 4 | opcode, 0, 0], 1, 1002);
                    let open = frame(role.peer(), 0x02, b"");
                    let inside = [&open[..], &[fin | rsv << 4 | opcode, 0]].concat();
                    refused_at(role, &Config::default(), &inside, open.len() + 1, 1002);
                }
            }
        }
    }
}

#[test]
fn threat_013_reserved_opcodes_are_refused_from_the_first_byte() {
    for role in ROLES {
        for opcode in [3, 4, 5, 6, 7, 0xb, 0xc, 0xd, 0xe, 0xf] {
            refused_at(role, &Config::default(), &frame(role.peer(), 0x80 | opcode, b"x"), 1, 1002);
            refused_at(role, &Config::default(), &frame(role.peer(), opcode, b"x"), 1, 1002);
        }
    }
}

#[test]
fn threat_014_masks_are_demanded_from_clients_and_refused_from_servers() {
    for role in ROLES {
        for b0 in [0x81, 0x82, 0x01, 0x88, 0x89, 0x8a] {
            // As the wrong end would send it.
            refused_at(role, &Config::default(), &frame(role, b0, b"\x03\xe8"), 2, 1002);
            refused_at(role, &Config::default(), &frame(role, b0, b""), 2, 1002);
        }
    }
    let mut zero_key = end(Role::Server, Config::default());
    zero_key.receive(b"\x81\x85\0\0\0\0Hello");
    assert_eq!(zero_key.events(), [Seen::Text(b"Hello".to_vec())]);
}

#[test]
fn threat_015_the_answer_does_not_wait_for_the_payload() {
    let mut bad: Vec<Vec<u8>> = vec![
        vec![0x82, 0xff, 0xff], // 02
        vec![0x82, 0xfe, 0, 5], // 05
        vec![0x89, 0xfe],       // 10
        vec![0x09],             // 11
        vec![0xc1],             // 12
        vec![0x83],             // 13
        vec![0x82, 0x7f],       // 14
    ];
    bad.push(head(Role::Client, 0x82, 1 << 62));
    for wire in bad {
        let mut end = end(Role::Server, Config::default());
        end.receive(&wire);
        assert!(close_code(Role::Server, &end.take(1000)).is_some(), "{wire:02x?}");
        assert_eq!(end.events(), []);
        end.advance_clock(Config::default().timers.close.unwrap());
        assert!(matches!(&end.events()[..], [Seen::Closed(_)]), "{wire:02x?}");
    }
}

#[test]
fn threat_016_every_close_code_both_ways_against_a_table() {
    let table = |code: u16| matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
    let config = Arc::new(Config::default());
    let new = |role| Connection::from_upgraded(role, Negotiated::new(Version::Rfc6455), config.clone(), counting());
    for code in 0..=u16::MAX {
        let mut received = new(Role::Client);
        let mut wire = close(Role::Server, code, "");
        let event = received.poll(NOW, &mut Input::new(&mut wire));
        match table(code) {
            true => assert!(matches!(event, Some(Event::Closing(f)) if f.code().get() == code), "{code}"),
            false => assert!(event.is_none(), "{code}"),
        }
        let written: Vec<u8> = received.outgoing().flatten().copied().collect();
        assert_eq!(close_code(Role::Client, &written), Some(if table(code) { code } else { 1002 }));

        let mut sent = new(Role::Server);
        assert_eq!(sent.close(NOW, code, "").is_ok(), table(code), "{code}");
        let written: Vec<u8> = sent.outgoing().flatten().copied().collect();
        assert_eq!(close_code(Role::Server, &written), table(code).then_some(code));
        assert_eq!(CloseCode::from(code).is_sendable(), table(code));
    }
    refused_at(Role::Server, &Config::default(), &frame(Role::Client, 0x88, b"x"), 2, 1002);
    // A reason that is not UTF-8, at the byte: head of two, code of two, "a", ff.
    refused_at(Role::Client, &Config::default(), &frame(Role::Server, 0x88, b"\x03\xe8a\xffbc"), 6, 1007);
    refused_at(Role::Server, &Config::default(), &frame(Role::Client, 0x88, b"\x03\xe8\xed\xa0\x80"), 10, 1007);
}

/// After the peer's Close: whatever comes is thrown away, until our Close is written or the deadline ends it.
#[test]
fn threat_017_what_follows_a_close_costs_nothing() {
    for role in ROLES {
        for blocked in [true, false] {
            let mut end = end(role, Config::default());
            end.receive(&close(role.peer(), 1000, ""));
            assert_eq!(end.events(), [Seen::Closing("1000".into())]);
            if !blocked {
                assert_eq!(close_code(role, &end.take(1000)), Some(1000));
            }
            let mut garbage = Random::new(17).bytes(MIB);
            let mark = Mark::now();
            for _ in 0..1024 {
                end.poll(&mut garbage);
            }
            let usage = mark.usage();
            assert!(usage.live <= 0 && usage.peak <= 1024, "{usage:?}");
            if !blocked && role == Role::Server {
                // The server leaves as soon as its answer is out.
                assert!(matches!(&end.events()[..], [Seen::Closed(_)]));
            } else {
                assert_eq!(end.events(), []);
                end.advance_clock(Config::default().timers.close.unwrap());
                assert!(matches!(&end.events()[..], [Seen::Closed(_)]));
            }
        }
    }
}

#[test]
fn threat_018_text_is_judged_at_the_first_impossible_byte_wherever_it_is_cut() {
    let edges = [
        &b"\x41"[..],
        b"\x7f",
        b"\x80",
        b"\xc0\x80",
        b"\xc1\xbf",
        b"\xc2\x80",
        b"\xc2\x41",
        b"\xdf\xbf",
        b"\xe0\x80\x80",
        b"\xe0\x9f\xbf",
        b"\xe0\xa0\x80",
        b"\xed\x9f\xbf",
        b"\xed\xa0\x80",
        b"\xed\xbf\xbf",
        b"\xee\x80\x80",
        b"\xef\xbf\xbf",
        b"\xe2\x82",
        b"\xe2\x82\x41",
        b"\xf0\x80\x80\x80",
        b"\xf0\x8f\xbf\xbf",
        b"\xf0\x90\x80\x80",
        b"\xf4\x8f\xbf\xbf",
        b"\xf4\x90\x80\x80",
        b"\xf5\x80\x80\x80",
        b"\xf0\x9f\x98",
        b"\xf0\x9f\x98\x41",
        b"\xf8\x88\x80\x80\x80",
        b"\xfe",
        b"\xff",
    ];
    for edge in edges {
        let text = [b"ab", edge, b"c"].concat();
        // The first prefix that no continuation can save.
        let deadly = (1..=text.len()).find(|n| str::from_utf8(&text[..*n]).is_err_and(|e| e.error_len().is_some()));
        for cut in 0..=text.len() {
            let first = frame(Role::Client, 0x01, &text[..cut]);
            let wire = [first.clone(), frame(Role::Client, 0x80, &text[cut..])].concat();
            let Some(deadly) = deadly else {
                for reads in every_cut(wire.len()) {
                    let mut end = end(Role::Server, Config::default());
                    feed(&mut end, &wire, reads);
                    assert_eq!(end.events(), [Seen::Text(text.clone())], "{text:02x?} {cut} {reads:?}");
                }
                continue;
            };
            let at = if deadly <= cut { 6 + deadly } else { first.len() + 6 + deadly - cut };
            refused_at(Role::Server, &Config::default(), &wire, at, 1007);
        }
    }
    for cut in [&b"\xc3"[..], b"\xe2\x82", b"\xf0\x9f\x98"] {
        let wire = frame(Role::Server, 0x81, cut);
        refused_at(Role::Client, &Config::default(), &wire, wire.len(), 1007);
    }
}

/// Printing what a stranger sent is short, harmless and never panics.
#[test]
fn threat_019_printing_is_bounded_and_escaped() {
    let mut random = Random::new(19);
    let harmless = |text: &str, most: usize| {
        assert!(text.len() <= most, "{} bytes: {text}", text.len());
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
    };
    for round in 0..if cfg!(miri) { 20 } else { 3000 } {
        let n = random.below(400);
        let noise = random.bytes(n);
        harmless(&ws_proto::FrameDump::new(&noise).to_string(), 16 * 700);
        harmless(&format!("{:?}", ws_proto::FrameDump::new(&noise)), 16 * 700);
        let mut wire = frame(Role::Client, 0x82, &noise);
        if let Ok(text) = str::from_utf8(&noise[..n.min(3)]) {
            wire.extend(frame(Role::Client, 0x81, text.as_bytes()));
        }
        wire.extend(frame(Role::Client, 0x81, "\u{1b}[2J\r\n\u{202e}\u{e9}".repeat(1 + round % 40).as_bytes()));
        wire.extend(frame(Role::Client, 0x89, &noise[..n.min(125)]));
        wire.extend(frame(Role::Client, 0x8a, &noise[..n.min(125)]));
        wire.extend(close(Role::Client, 4000, &"\u{1b}\u{7}\u{e9}\u{202e}".repeat(1 + round % 17)));
        let mut end = end(Role::Server, Config::default());
        let mut input = Input::new(&mut wire);
        let mut events = 0;
        while let Some(event) = end.end.poll(NOW, &mut input) {
            harmless(&format!("{event:?}"), 1000);
            events += 1;
        }
        assert!(events >= 5);
        harmless(&format!("{:?}", end.end).replace('\n', " "), 8000);
    }
    for error in [ProtocolError::Masked, ProtocolError::TooManyFragments, ProtocolError::OutOfMemory] {
        harmless(&format!("{error} {error:?} {}", Cause::Protocol(error)), 200);
    }
}

/// Control frames at every gap of a message, between the bytes of its characters too.
#[test]
fn threat_020_control_frames_do_not_disturb_a_message() {
    let mut random = Random::new(20);
    for round in 0..if cfg!(miri) { 5 } else { 200 } {
        let text: String =
            (0..1 + random.below(40)).map(|i| ['a', '\u{e9}', '\u{20ac}', '\u{1f600}'][(i + round) % 4]).collect();
        let parts = 1 + random.below(6);
        let mut cuts: Vec<usize> = (1..parts).map(|_| random.below(text.len() + 1)).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        let mut wire = Vec::new();
        let mut expected = Vec::new();
        for (i, ends) in cuts.windows(2).enumerate() {
            let opcode = if i == 0 { 1 } else { 0 };
            let fin = if i + 1 == parts { 0x80 } else { 0 };
            wire.extend(frame(Role::Client, opcode | fin, &text.as_bytes()[ends[0]..ends[1]]));
            if fin == 0 {
                for _ in 0..random.below(3) {
                    let size = random.below(126);
                    let payload = random.bytes(size);
                    if random.below(2) == 0 {
                        wire.extend(frame(Role::Client, 0x89, &payload));
                        expected.push(Seen::Ping(payload));
                    } else {
                        wire.extend(frame(Role::Client, 0x8a, &payload));
                        expected.push(Seen::Pong(payload, None));
                    }
                }
            }
        }
        expected.push(Seen::Text(text.into_bytes()));
        for cut in [Cut::Whole, Cut::Bytewise, Cut::Every(1 + random.below(50))] {
            let mut end = end(Role::Server, Config::default());
            feed(&mut end, &wire, cut);
            assert_eq!(end.events(), expected, "round {round} {cut:?}");
        }
    }
}

#[test]
fn threat_021_every_poll_makes_progress_although_output_is_blocked() {
    for read in [1, 7, 4096] {
        let mut wire = Vec::new();
        let mut frames = 0_u64;
        for size in 0..=125 {
            wire.extend(frame(Role::Client, 0x89, &vec![size as u8; size]));
            frames += 1;
        }
        let mut end = end(Role::Server, Config::default());
        let before = end.polls;
        wire.chunks(read).for_each(|bytes| end.receive(bytes));
        let reads = wire.len().div_ceil(read) as u64;
        assert!(end.polls - before <= 2 * frames + reads, "{} polls", end.polls - before);
        assert_eq!(end.events().len() as u64, frames);
        // For ever blocked: the write stall ends it, once.
        end.advance_clock(std::time::Duration::from_secs(3600));
        let events = end.events();
        assert!(matches!(&events[..], [Seen::Closed(how)] if how.starts_with("WriteStalled")), "{events:?}");
    }
}

/// A session of some 2 KiB with everything in it.
fn session(from: Role) -> Vec<u8> {
    let mut wire = frame(from, 0x81, b"hello");
    wire.extend(frame(from, 0x89, b"ping"));
    wire.extend(frame(from, 0x02, &[1; 300]));
    wire.extend(frame(from, 0x8a, b"pong"));
    wire.extend(frame(from, 0x00, b""));
    wire.extend(frame(from, 0x80, &[2; 1300]));
    wire.extend(frame(from, 0x81, "\u{20ac}".repeat(100).as_bytes()));
    wire.extend(close(from, 1000, "bye"));
    wire
}

#[test]
fn threat_022_the_end_of_the_stream_at_every_byte() {
    for role in ROLES {
        let wire = session(role.peer());
        for reset in [false, true] {
            for at in 0..=wire.len() {
                let mut end = end(role, Config::default());
                end.receive(&wire[..at]);
                if reset {
                    end.transport_failed()
                } else {
                    end.eof()
                }
                let _ = end.take(usize::MAX);
                let events = end.events();
                let ends = events.iter().filter(|e| matches!(e, Seen::Closed(_))).count();
                assert_eq!(ends, 1, "{role:?} at {at}: {events:?}");
                assert!(matches!(events.last(), Some(Seen::Closed(_))));
                let before = end.polls;
                for _ in 0..1000 {
                    end.poll(&mut []);
                }
                assert_eq!(end.polls - before, 1000, "a poll after the end had something to say");
                end.receive(b"more");
                end.eof();
                end.transport_failed();
                assert_eq!((end.events(), end.take(10)), (vec![], vec![]));
                assert_eq!(end.end.poll_timeout(), None);
            }
        }
    }
}

#[test]
fn threat_023_an_empty_fragment_opens_a_message_like_any_other() {
    for role in ROLES {
        for n in 1..=3_usize {
            for empty in 0..1 << n {
                let mut wire = Vec::new();
                let mut whole = Vec::new();
                for i in 0..n {
                    let part: &[u8] = if empty >> i & 1 == 1 { b"" } else { b"xy" };
                    let b0 = if i == 0 { 1 } else { 0 } | if i + 1 == n { 0x80 } else { 0 };
                    wire.extend(frame(role.peer(), b0, part));
                    whole.extend_from_slice(part);
                }
                for cut in every_cut(wire.len()) {
                    let mut end = end(role, Config::default());
                    feed(&mut end, &wire, cut);
                    assert_eq!(end.events(), [Seen::Text(whole.clone())], "{n} {empty:b} {cut:?}");
                }
                // Inside of the message a new one is refused, and after it a continuation is.
                let unfinished = wire.len() - frames_len(role, n, empty);
                if n > 1 {
                    let inside = [&wire[..unfinished], &frame(role.peer(), 0x81, b"")].concat();
                    refused_at(role, &Config::default(), &inside, unfinished + 1, 1002);
                }
            }
        }
    }
}

/// The length of the last frame of the message above.
fn frames_len(role: Role, n: usize, empty: usize) -> usize {
    let payload = if empty >> (n - 1) & 1 == 1 { 0 } else { 2 };
    2 + payload + if role == Role::Server { KEY.len() } else { 0 }
}

/// The terminal event is a value of its own, equal to itself: used by tests of other files through its words.
#[test]
fn the_end_reports_codes_and_cleanness() {
    let mut end = end(Role::Server, Config::default());
    end.receive(&close(Role::Client, 1001, "x"));
    let _ = end.end.poll(NOW, &mut Input::empty());
    let written: usize = end.end.outgoing().map(<[u8]>::len).sum();
    end.end.advance(NOW, written);
    let Some(Event::Closed(closed)) = end.end.poll(NOW, &mut Input::empty()) else { panic!("not closed") };
    let Closed { received, sent, cause, .. } = &closed;
    assert_eq!(received.as_ref().unwrap().reason(), "x");
    assert_eq!(sent.as_ref().unwrap().code(), CloseCode::GOING_AWAY);
    assert_eq!(*cause, Cause::Handshake);
    assert!(closed.is_clean());
}
