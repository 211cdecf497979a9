//! RFC 6455 from section 5 on, statement by statement: `docs/rfc6455.md` lists which test proves which.
//!
//! The letters and numbers are those of that table. Sections A to E are in `ws-proto/tests/handshake.rs`.

use std::time::Duration;

use ws_proto::connection::{Connection, Shutdown, State};
use ws_proto::{Config, Delivery, Kind, Negotiated, Role, Version};
use ws_tests::deflate::eager;
use ws_tests::endpoint::Driven;
use ws_tests::entropy::{Random, counting};
use ws_tests::run::Subject;
use ws_tests::transcript::{Call, Seen, agreement};
use ws_tests::wire::{Frame, close, frame, frames, head};

const ROLES: [Role; 2] = [Role::Server, Role::Client];

fn end(role: Role) -> Driven<Connection> {
    with(role, Config::default())
}

fn with(role: Role, config: Config) -> Driven<Connection> {
    Driven::new(role, config, counting())
}

fn written(end: &mut Driven<Connection>) -> Vec<Frame> {
    let (frames, left) = frames(&end.take(usize::MAX));
    assert_eq!(left, 0);
    frames
}

fn closes(end: &mut Driven<Connection>) -> Vec<u16> {
    let closes = written(end).into_iter().filter(|f| f.opcode == 8);
    closes.map(|f| f.payload.first_chunk().map_or(0, |code| u16::from_be_bytes(*code))).collect()
}

/// The code of the Close that answers these bytes, at once.
fn refused(role: Role, bytes: &[u8]) -> Option<u16> {
    let mut end = end(role);
    end.receive(bytes);
    assert_eq!(end.events(), []);
    closes(&mut end).first().copied()
}

fn send(end: &mut Driven<Connection>, kind: Kind, bytes: &[u8]) {
    end.call(&Call::Send(kind, bytes.to_vec())).unwrap();
}

fn begin_close(end: &mut Driven<Connection>, code: u16, reason: &str) -> Result<(), String> {
    end.call(&Call::Close(Some((code, reason.into()))))
}

fn text(text: &str) -> Seen {
    Seen::Text(text.into())
}

fn the_end(events: Vec<Seen>) -> String {
    match events.last() {
        Some(Seen::Closed(how)) => how.clone(),
        _ => panic!("not over: {events:?}"),
    }
}

// F: the layout of frames (section 5.2)

#[test]
fn f01_the_bits_of_a_frame() {
    let mut server = end(Role::Server);
    send(&mut server, Kind::Text, b"Hello");
    assert_eq!(server.take(100), b"\x81\x05Hello");
    send(&mut server, Kind::Binary, &[7; 256]);
    assert_eq!(server.take(4), [0x82, 126, 1, 0]);
    server.take(256);
    send(&mut server, Kind::Binary, &[7; 65_536]);
    assert_eq!(server.take(10), [0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    let mut client = end(Role::Client);
    send(&mut client, Kind::Text, b"");
    assert_eq!(client.take(100), [0x81, 0x80, 1, 2, 3, 4]);
}

#[test]
fn f02_reserved_bits_fail() {
    for role in ROLES {
        for rsv in 1..8 {
            assert_eq!(refused(role, &[0x81 | rsv << 4]), Some(1002));
        }
    }
}

#[test]
fn f03_reserved_opcodes_fail() {
    for role in ROLES {
        for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
            assert_eq!(refused(role, &[0x80 | opcode]), Some(1002));
        }
    }
}

#[test]
fn f04_a_length_with_the_top_bit_fails() {
    assert_eq!(refused(Role::Server, &[0x82, 0xff, 0x80]), Some(1002));
    assert_eq!(refused(Role::Client, &[0x82, 0x7f, 0xff]), Some(1002));
}

#[test]
fn f05_lengths_are_minimal_in_both_directions() {
    assert_eq!(refused(Role::Server, &[0x82, 0xfe, 0, 125]), Some(1002));
    assert_eq!(refused(Role::Client, &[0x82, 0x7f, 0, 0, 0, 0, 0, 0, 0xff, 0xff]), Some(1002));
    let mut lenient = Config::default();
    lenient.leniency.long_lengths = true;
    let mut server = with(Role::Server, lenient);
    server.receive(&[0x82, 0xfe, 0, 1, 0, 0, 0, 0, 9]);
    assert_eq!(server.events(), [Seen::Binary(vec![9])]);
    for (len, form) in [(0, 0), (125, 125), (126, 126), (65_535, 126), (65_536, 127)] {
        send(&mut server, Kind::Binary, &vec![0; len]);
        assert_eq!(server.take(usize::MAX)[1], form, "{len}");
    }
}

#[test]
fn f06_the_length_does_not_count_the_key() {
    let mut server = end(Role::Server);
    server.receive(b"\x82\x83\x01\x02\x03\x04\x01\x02\x03");
    assert_eq!(server.events(), [Seen::Binary(vec![0; 3])]);
    let mut client = end(Role::Client);
    send(&mut client, Kind::Binary, &[0; 3]);
    assert_eq!(client.take(100), b"\x82\x83\x01\x02\x03\x04\x01\x02\x03");
}

#[test]
fn f07_a_frame_cut_at_any_byte_decodes_the_same() {
    for role in ROLES {
        let wire = [frame(role.peer(), 0x81, b"text"), frame(role.peer(), 0x82, &[1; 300])].concat();
        for at in 0..=wire.len() {
            let mut end = end(role);
            end.receive(&wire[..at]);
            end.receive(&wire[at..]);
            assert_eq!(end.events(), [text("text"), Seen::Binary(vec![1; 300])]);
        }
    }
}

#[test]
fn f08_sizes_over_the_limits_close_with_1009() {
    let mut config = Config::default();
    config.limits.frame = 100;
    config.limits.message = 150;
    for role in ROLES {
        let mut one = with(role, config.clone());
        one.receive(&head(role.peer(), 0x82, 101));
        assert_eq!(closes(&mut one), [1009]);
        let mut sum = with(role, config.clone());
        sum.receive(&frame(role.peer(), 0x02, &[0; 100]));
        sum.receive(&head(role.peer(), 0x80, 51));
        assert_eq!(closes(&mut sum), [1009]);
    }
}

#[test]
fn f09_long_control_frames_fail_from_the_head() {
    for opcode in [8, 9, 10] {
        assert_eq!(refused(Role::Server, &[0x80 | opcode, 0xfe]), Some(1002));
        assert_eq!(refused(Role::Client, &[0x80 | opcode, 0x7f]), Some(1002));
    }
}

#[test]
fn f10_control_frames_without_fin_fail() {
    for role in ROLES {
        for opcode in [8, 9, 10] {
            assert_eq!(refused(role, &[opcode]), Some(1002));
        }
    }
}

// G: masking (sections 5.1 and 5.3)

/// One frame of every kind that an end can send.
fn every_kind(role: Role) -> Vec<Frame> {
    let mut all = Vec::new();
    let mut end = end(role);
    send(&mut end, Kind::Text, b"text");
    send(&mut end, Kind::Binary, b"");
    send(&mut end, Kind::Binary, &vec![1; if cfg!(miri) { 300 } else { 70_000 }]);
    all.extend(written(&mut end));
    end.call(&Call::Ping(b"p".to_vec())).unwrap();
    end.call(&Call::Pong(Vec::new())).unwrap();
    all.extend(written(&mut end));
    end.receive(&frame(role.peer(), 0x89, b"q"));
    all.extend(written(&mut end));
    end.call(&Call::Start(Kind::Text)).unwrap();
    end.call(&Call::Piece(b"a".to_vec())).unwrap();
    end.call(&Call::Finish(Vec::new())).unwrap();
    begin_close(&mut end, 1000, "bye").unwrap();
    all.extend(written(&mut end));
    assert_eq!(all.len(), 9);
    all
}

#[test]
fn g01_every_frame_of_a_client_is_masked() {
    assert!(every_kind(Role::Client).iter().all(|frame| frame.key.is_some()));
    let mut failing = end(Role::Client);
    failing.receive(&[0x83]);
    assert!(written(&mut failing)[0].key.is_some(), "the Close of a failure too");
}

#[test]
fn g02_no_frame_of_a_server_is_masked() {
    assert!(every_kind(Role::Server).iter().all(|frame| frame.key.is_none()));
}

#[test]
fn g03_a_server_refuses_unmasked_frames() {
    for b0 in [0x81, 0x82, 0x88, 0x89, 0x8a, 0x01] {
        assert_eq!(refused(Role::Server, &[b0, 0]), Some(1002));
    }
}

#[test]
fn g04_a_client_refuses_masked_frames() {
    for b0 in [0x81, 0x82, 0x88, 0x89, 0x8a, 0x01] {
        assert_eq!(refused(Role::Client, &[b0, 0x80]), Some(1002));
    }
}

#[test]
fn g05_a_fresh_key_for_every_frame() {
    let keys: Vec<_> = every_kind(Role::Client).iter().map(|frame| frame.key.unwrap()).collect();
    for (i, key) in keys.iter().enumerate() {
        let first = 4 * i as u8 + 1;
        assert_eq!(*key, [first, first + 1, first + 2, first + 3], "four new bytes of the source for each frame");
    }
}

#[test]
fn g06_the_key_starts_again_in_every_frame_and_not_in_every_buffer() {
    let mut server = end(Role::Server);
    let wire = [frame(Role::Client, 0x02, b"abcde"), frame(Role::Client, 0x80, b"fghij")].concat();
    wire.chunks(3).for_each(|bytes| server.receive(bytes));
    assert_eq!(server.events(), [Seen::Binary(b"abcdefghij".to_vec())]);
    let mut config = Config::default();
    config.auto_fragment = std::num::NonZeroUsize::new(5);
    let mut client = with(Role::Client, config);
    send(&mut client, Kind::Binary, b"abcdefghij");
    let sent = written(&mut client);
    assert_eq!((&sent[0].payload[..], &sent[1].payload[..]), (&b"abcde"[..], &b"fghij"[..]));
}

/// The message is taken and masked by one call, and the key can be seen only after it.
#[test]
fn g07_the_payload_is_fixed_before_its_key_is_visible() {
    let mut client = end(Role::Client);
    let mut message = b"secret".to_vec();
    client.end.send(&message[..]).unwrap();
    message.fill(0);
    assert_eq!(written(&mut client)[0].payload, b"secret");
}

// H: fragmentation (section 5.4)

#[test]
fn h01_first_middle_and_last_frames() {
    for role in ROLES {
        let mut end = end(role);
        end.call(&Call::Start(Kind::Text)).unwrap();
        end.call(&Call::Piece(b"a".to_vec())).unwrap();
        end.call(&Call::Piece(b"b".to_vec())).unwrap();
        end.call(&Call::Finish(b"c".to_vec())).unwrap();
        let sent: Vec<_> = written(&mut end).iter().map(|f| (f.opcode, f.fin)).collect();
        assert_eq!(sent, [(1, false), (0, false), (0, true)]);
    }
}

#[test]
fn h02_a_continuation_of_nothing_fails() {
    for role in ROLES {
        assert_eq!(refused(role, &[0x80]), Some(1002));
        assert_eq!(refused(role, &[0x00]), Some(1002));
    }
}

#[test]
fn h03_a_new_message_inside_a_message_fails() {
    for role in ROLES {
        for opcode in [1, 2] {
            let wire = [&frame(role.peer(), 0x01, b"a")[..], &[0x80 | opcode]].concat();
            assert_eq!(refused(role, &wire), Some(1002));
        }
    }
}

#[test]
fn h04_control_frames_between_fragments_are_handled_at_once() {
    for role in ROLES {
        let mut end = end(role);
        end.receive(&frame(role.peer(), 0x01, b"He"));
        end.receive(&frame(role.peer(), 0x89, b"p"));
        assert_eq!(end.events(), [Seen::Ping(b"p".to_vec())]);
        assert_eq!(written(&mut end)[0].opcode, 10);
        end.receive(&frame(role.peer(), 0x80, b"llo"));
        assert_eq!(end.events(), [text("Hello")]);
    }
}

#[test]
fn h05_a_sender_does_not_interleave_messages() {
    for role in ROLES {
        let mut end = end(role);
        end.call(&Call::Start(Kind::Text)).unwrap();
        end.call(&Call::Piece(b"a".to_vec())).unwrap();
        assert_eq!(end.call(&Call::Send(Kind::Text, b"b".to_vec())), Err("message-open".into()));
        assert_eq!(end.call(&Call::Start(Kind::Binary)), Err("message-open".into()));
        assert!(end.end.send_prepared(&ws_proto::connection::Prepared::new("c")).is_err());
    }
}

#[test]
fn h06_fragments_of_any_size_and_a_bounded_number() {
    let mut config = Config::default();
    config.limits.fragments = 5;
    config.limits.message = 10;
    for role in ROLES {
        let mut end = with(role, config.clone());
        for (b0, part) in [(2, &b""[..]), (0, b"abc"), (0, b""), (0, b"d"), (0x80, b"")] {
            end.receive(&frame(role.peer(), b0, part));
        }
        assert_eq!(end.events(), [Seen::Binary(b"abcd".to_vec())]);
        for b0 in [2, 0, 0, 0, 0] {
            end.receive(&frame(role.peer(), b0, b""));
        }
        assert!(closes(&mut end).is_empty());
        end.receive(&[0x80]);
        assert_eq!(closes(&mut end), [1008], "empty fragments count");
    }
}

/// What an intermediary may do to a message on the way changes nothing.
#[test]
fn h07_a_message_may_be_fragmented_again_on_the_way() {
    let message = "the same \u{e9} \u{20ac} \u{1f600} message";
    for size in 1..message.len() {
        let parts: Vec<_> = message.as_bytes().chunks(size).collect();
        let mut server = end(Role::Server);
        for (i, part) in parts.iter().enumerate() {
            let b0 = u8::from(i == 0) | if i + 1 == parts.len() { 0x80 } else { 0 };
            server.receive(&frame(Role::Client, b0, part));
        }
        assert_eq!(server.events(), [text(message)]);
    }
}

#[test]
fn h08_the_first_fragment_gives_the_type() {
    for role in ROLES {
        let mut end = end(role);
        end.receive(&[frame(role.peer(), 0x02, b"a"), frame(role.peer(), 0x80, b"\xff")].concat());
        end.receive(&[frame(role.peer(), 0x01, b"a"), frame(role.peer(), 0x80, b"b")].concat());
        assert_eq!(end.events(), [Seen::Binary(b"a\xff".to_vec()), text("ab")]);
    }
}

// I: text (sections 5.6 and 8.1)

const INVALID: [&[u8]; 14] = [
    b"\xc0\x80",
    b"\xc1\xbf",
    b"\xe0\x80\x80",
    b"\xf0\x80\x80\x80",
    b"\xed\xa0\x80",
    b"\xed\xbf\xbf",
    b"\xf4\x90\x80\x80",
    b"\xf5",
    b"\xff",
    b"\x80",
    b"\xe2\x41",
    b"\xc3",
    b"\xe2\x82",
    b"\xf0\x9f\x98",
];
const VALID: [&str; 9] = [
    "",
    "plain",
    "\0",
    "\u{fffe}",
    "\u{ffff}",
    "\u{10ffff}",
    "\u{feff}kept",
    "\u{7ff}\u{800}\u{d7ff}\u{e000}",
    "\u{1fffe}",
];

#[test]
fn i01_a_fragment_may_end_inside_a_character() {
    for role in ROLES {
        for message in VALID {
            for at in 0..=message.len() {
                let (a, b) = message.as_bytes().split_at(at);
                let mut end = end(role);
                end.receive(&[frame(role.peer(), 0x01, a), frame(role.peer(), 0x80, b)].concat());
                assert_eq!(end.events(), [text(message)]);
            }
        }
    }
}

#[test]
fn i02_i03_what_is_not_utf_8_fails_with_1007() {
    for role in ROLES {
        for bad in INVALID {
            assert_eq!(refused(role, &frame(role.peer(), 0x81, bad)), Some(1007), "{bad:02x?}");
            let inside = [b"long enough for the wide validator ".repeat(3), bad.to_vec(), b"".to_vec()].concat();
            assert_eq!(refused(role, &frame(role.peer(), 0x81, &inside)), Some(1007), "{bad:02x?}");
        }
    }
}

#[test]
fn i04_every_scalar_value_is_valid() {
    for role in ROLES {
        for message in VALID {
            let mut end = end(role);
            end.receive(&frame(role.peer(), 0x81, message.as_bytes()));
            assert_eq!(end.events(), [text(message)]);
        }
    }
    let all: String = ('\0'..=char::MAX).step_by(if cfg!(miri) { 9973 } else { 7 }).collect();
    let mut server = end(Role::Server);
    server.receive(&frame(Role::Client, 0x81, all.as_bytes()));
    assert_eq!(server.events(), [text(&all)]);
}

#[test]
fn i05_text_fails_at_the_first_impossible_byte() {
    for role in ROLES {
        let wire = [
            head(role.peer(), 0x01, 100),
            frame(role.peer(), 0, b"ab\xe2\x82\x41")[head(role.peer(), 0, 5).len()..].to_vec(),
        ];
        let wire = wire.concat();
        let mut end = end(role);
        for (i, byte) in wire.iter().enumerate() {
            assert!(closes(&mut end).is_empty(), "too early, at {i}");
            end.receive(&[*byte]);
        }
        assert_eq!(closes(&mut end), [1007]);
    }
}

#[test]
fn i06_binary_is_passed_on_untouched() {
    let bytes = Random::new(6).bytes(1000);
    for role in ROLES {
        let mut end = end(role);
        end.receive(&frame(role.peer(), 0x82, &bytes));
        assert_eq!(end.events(), [Seen::Binary(bytes.clone())]);
    }
}

#[test]
fn i07_compressed_text_is_judged_by_what_comes_out() {
    let open = |role| {
        let agreed = Negotiated::new(Version::Rfc6455).with_extension(agreement(eager(), "permessage-deflate"));
        Driven::<Connection>::open(role, agreed, Config::default(), counting())
    };
    for role in ROLES {
        // "Hello" as it is compressed is no text, and a stored block with a lone continuation byte is no text inside.
        let mut end = open(role);
        end.receive(&frame(role.peer(), 0xc1, &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]));
        assert_eq!(end.events(), [text("Hello")]);
        end.receive(&frame(role.peer(), 0xc1, &[0x00, 0x01, 0x00, 0xfe, 0xff, 0x80, 0x00]));
        assert_eq!(end.events(), []);
        assert_eq!(closes(&mut end), [1007]);

        // A character may be cut in two by blocks and by frames, as long as its rest comes.
        let mut end = open(role);
        end.receive(&frame(role.peer(), 0x41, &[0x00, 0x01, 0x00, 0xfe, 0xff, 0xc3]));
        end.receive(&frame(role.peer(), 0x80, &[0x00, 0x01, 0x00, 0xfe, 0xff, 0xa4, 0x00]));
        assert_eq!(end.events(), [text("\u{e4}")]);
        end.receive(&frame(role.peer(), 0xc1, &[0x00, 0x01, 0x00, 0xfe, 0xff, 0xc3, 0x00]));
        assert_eq!(end.events(), []);
        assert_eq!(closes(&mut end), [1007]);
    }
}

// J: pings and pongs (sections 5.5.2 and 5.5.3)

#[test]
fn j01_a_ping_is_answered_with_its_payload() {
    for role in ROLES {
        let mut end = end(role);
        end.receive(&frame(role.peer(), 0x89, b"payload"));
        let pong = &written(&mut end)[0];
        assert_eq!((pong.opcode, &pong.payload[..]), (10, &b"payload"[..]));
        end.receive(&close(role.peer(), 1000, ""));
        end.receive(&frame(role.peer(), 0x89, b"late"));
        let last = written(&mut end);
        assert_eq!((last.len(), last[0].opcode), (1, 8), "not after a Close was received");
    }
}

#[test]
fn j02_of_pings_that_wait_the_latest_is_answered() {
    for role in ROLES {
        let mut end = end(role);
        for payload in [&b"1"[..], b"2", b"3"] {
            end.receive(&frame(role.peer(), 0x89, payload));
        }
        let pongs = written(&mut end);
        assert_eq!((pongs.len(), &pongs[0].payload[..]), (1, &b"3"[..]));
    }
}

#[test]
fn j03_an_unasked_pong_needs_no_answer() {
    for role in ROLES {
        let mut end = end(role);
        end.receive(&frame(role.peer(), 0x8a, b"unasked"));
        assert_eq!(end.events(), [Seen::Pong(b"unasked".to_vec(), None)]);
        assert_eq!(written(&mut end), []);
    }
}

#[test]
fn j04_control_payloads_are_any_125_bytes() {
    for role in ROLES {
        let mut end = end(role);
        for size in [0, 1, 124, 125] {
            end.receive(&frame(role.peer(), 0x89, &vec![0xff; size]));
            assert_eq!(end.events(), [Seen::Ping(vec![0xff; size])]);
            assert_eq!(written(&mut end)[0].payload, vec![0xff; size]);
        }
        assert_eq!(end.call(&Call::Ping(vec![0; 126])), Err("too-long".into()));
        assert_eq!(end.call(&Call::Pong(vec![0; 126])), Err("too-long".into()));
    }
}

#[test]
fn j05_pings_from_open_to_the_own_close() {
    for role in ROLES {
        let mut end = end(role);
        end.call(&Call::Ping(b"first thing".to_vec())).unwrap();
        end.call(&Call::Start(Kind::Text)).unwrap();
        end.call(&Call::Ping(b"inside a message".to_vec())).unwrap();
        begin_close(&mut end, 1000, "").unwrap();
        assert_eq!(end.call(&Call::Ping(b"late".to_vec())), Err("closed".into()));
    }
}

// K: Close (sections 5.5.1 and 7)

#[test]
fn k01_the_body_of_a_close() {
    for role in ROLES {
        for (body, expected) in [
            (&b""[..], "empty".to_owned()),
            (b"\x03\xe8", "1000".into()),
            (b"\x03\xe8why", "1000 \"why\"".into()),
            (&[b"\x0f\xa0", &[b'r'; 123][..]].concat(), format!("4000 {:?}", "r".repeat(123))),
        ] {
            let mut end = end(role);
            end.receive(&frame(role.peer(), 0x88, body));
            assert_eq!(end.events()[0], Seen::Closing(expected));
        }
    }
}

#[test]
fn k02_a_body_of_one_byte_fails() {
    assert_eq!(refused(Role::Server, &frame(Role::Client, 0x88, b"x")), Some(1002));
    assert_eq!(refused(Role::Client, &frame(Role::Server, 0x88, b"x")), Some(1002));
}

#[test]
fn k03_a_reason_that_is_not_utf_8_fails() {
    for role in ROLES {
        for bad in INVALID {
            assert_eq!(refused(role, &frame(role.peer(), 0x88, &[b"\x03\xe8", bad].concat())), Some(1007));
        }
    }
}

#[test]
fn k04_codes_outside_the_table_fail() {
    for role in ROLES {
        for code in [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1999, 2000, 2999, 5000, 65_535] {
            assert_eq!(refused(role, &close(role.peer(), code, "")), Some(1002), "{code}");
        }
        for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999] {
            let mut end = end(role);
            end.receive(&close(role.peer(), code, ""));
            assert_eq!(end.events()[0], Seen::Closing(code.to_string()));
        }
    }
}

#[test]
fn k05_nothing_is_sent_after_the_own_close() {
    for role in ROLES {
        let mut end = end(role);
        begin_close(&mut end, 1000, "").unwrap();
        assert_eq!(closes(&mut end), [1000]);
        for call in [
            Call::Send(Kind::Text, b"x".to_vec()),
            Call::Start(Kind::Text),
            Call::Ping(Vec::new()),
            Call::Pong(Vec::new()),
        ] {
            assert_eq!(end.call(&call), Err("closed".into()), "{call:?}");
        }
        end.receive(&frame(role.peer(), 0x89, b"p"));
        assert_eq!(end.take(100), b"");
    }
}

#[test]
fn k06_a_close_is_answered_once_with_its_code() {
    for role in ROLES {
        for code in [1000, 1001, 3333, 4999] {
            let mut end = end(role);
            end.receive(&close(role.peer(), code, "because"));
            assert_eq!(closes(&mut end), [code]);
            end.receive(&close(role.peer(), 1001, ""));
            assert!(closes(&mut end).is_empty());
        }
        let mut empty = end(role);
        empty.receive(&frame(role.peer(), 0x88, b""));
        let answer = written(&mut empty);
        assert_eq!((answer.len(), answer[0].opcode, answer[0].payload.len()), (1, 8, 0));
    }
}

#[test]
fn k07_the_server_ends_tcp_at_once_and_the_client_waits() {
    let mut server = end(Role::Server);
    server.receive(&close(Role::Client, 1000, ""));
    assert_eq!(server.end.wants_shutdown(), None, "the answer goes out first");
    server.take(100);
    assert_eq!(server.end.wants_shutdown(), Some(Shutdown::Both));
    let mut client = end(Role::Client);
    client.receive(&close(Role::Server, 1000, ""));
    client.take(100);
    assert_eq!(client.end.wants_shutdown(), None);
    client.advance_clock(Config::default().timers.close.unwrap());
    assert_eq!(client.end.wants_shutdown(), Some(Shutdown::Both), "but not for ever");
    assert!(the_end(client.events()).ends_with("clean"));
}

fn closed(role: Role, received: Option<&[u8]>) -> String {
    let mut end = end(role);
    if let Some(body) = received {
        end.receive(&frame(role.peer(), 0x88, body));
        end.take(1000);
    }
    end.eof();
    the_end(end.events())
}

#[test]
fn k08_the_status_is_the_received_code_or_1005_or_1006() {
    for role in ROLES {
        assert!(closed(role, Some(b"\x0f\xa1")).contains("code 4001"));
        assert!(closed(role, Some(b"")).contains("code 1005"));
        assert!(closed(role, None).contains("code 1006"));
    }
}

#[test]
fn k09_the_reason_is_the_text_behind_the_code() {
    for role in ROLES {
        assert!(closed(role, Some("\u{3}\u{e8}".as_bytes())).starts_with("Protocol"));
        assert!(closed(role, Some(b"\x03\xe8good \xe2\x82\xac")).contains("received 1000 \"good \u{20ac}\""));
    }
    let closed = ws_proto::CloseFrame::new(1000, "why").unwrap();
    assert_eq!((closed.code().get(), closed.reason()), (1000, "why"));
}

#[test]
fn k10_data_after_the_peers_close_is_ignored() {
    for role in ROLES {
        let mut end = end(role);
        end.receive(&[close(role.peer(), 1000, ""), frame(role.peer(), 0x81, b"late"), vec![0x83]].concat());
        end.receive(&frame(role.peer(), 0x81, b"later"));
        assert_eq!(end.events(), [Seen::Closing("1000".into())]);
        assert_eq!(closes(&mut end), [1000]);
    }
}

#[test]
fn k11_clean_means_that_both_closes_passed() {
    for role in ROLES {
        assert!(closed(role, Some(b"\x03\xe8")).ends_with(" clean"));
        assert!(closed(role, None).ends_with(" unclean"));
        let mut unanswered = end(role);
        begin_close(&mut unanswered, 1000, "").unwrap();
        unanswered.take(100);
        unanswered.eof();
        assert!(the_end(unanswered.events()).ends_with(" unclean"));
    }
}

#[test]
fn k12_data_between_the_two_closes_is_delivered() {
    for role in ROLES {
        let mut end = end(role);
        begin_close(&mut end, 1000, "").unwrap();
        end.take(100);
        end.receive(&frame(role.peer(), 0x81, b"on its way"));
        assert_eq!(end.events(), [text("on its way")]);
        end.receive(&[0x83]);
        end.eof();
        assert!(the_end(end.events()).starts_with("Protocol"), "and still checked");
    }
}

/// The machine says when to send FIN and when to let go; what arrives between is read and thrown away.
#[test]
fn k13_first_fin_then_drain() {
    for role in ROLES {
        let mut end = end(role);
        end.receive(&[0x83]);
        assert_eq!(end.end.wants_shutdown(), None, "the Close goes out first");
        end.take(1000);
        assert_eq!(end.end.wants_shutdown(), Some(Shutdown::Write));
        assert!(end.end.wants_read());
        end.receive(&[0; 1000]);
        assert_eq!(end.events(), []);
        end.eof();
        assert_eq!(end.end.wants_shutdown(), Some(Shutdown::Both));
        assert!(!end.end.wants_read());
    }
}

// L: close codes (section 7.4)

#[test]
fn l01_codes_that_may_not_be_sent() {
    for role in ROLES {
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535] {
            let mut end = end(role);
            assert_eq!(begin_close(&mut end, code, ""), Err("code".into()));
            assert_eq!(end.take(100), b"");
        }
        assert_eq!(begin_close(&mut end(role), 1000, &"x".repeat(124)), Err("too-long".into()));
        assert_eq!(begin_close(&mut end(role), 1000, &"x".repeat(123)), Ok(()));
    }
}

/// What the RFC reserves to one side is advice: taken from either, so that no peer is cut off over it.
#[test]
fn l02_1010_and_1011_are_taken_from_either_side() {
    for role in ROLES {
        for code in [1010, 1011] {
            let mut end = end(role);
            end.receive(&close(role.peer(), code, ""));
            assert_eq!(end.events()[0], Seen::Closing(code.to_string()));
        }
    }
}

// M: failing the connection (section 7.1.7)

#[test]
fn m01_a_failure_sends_the_fitting_close_and_does_not_wait_for_an_answer() {
    for role in ROLES {
        for (bytes, code) in
            [(vec![0x83], 1002), (frame(role.peer(), 0x81, b"\xff"), 1007), (head(role.peer(), 0x82, 1 << 40), 1009)]
        {
            let mut end = end(role);
            end.receive(&bytes);
            assert_eq!(closes(&mut end), [code]);
            assert_eq!(end.end.wants_shutdown(), Some(Shutdown::Write));
            end.eof();
            assert!(the_end(end.events()).contains("received none"));
        }
    }
}

#[test]
fn m02_nothing_is_read_after_a_failure() {
    for role in ROLES {
        let mut end = end(role);
        end.receive(&[0x83]);
        assert_eq!(closes(&mut end), [1002]);
        end.receive(&frame(role.peer(), 0x81, b"late"));
        end.receive(&frame(role.peer(), 0x89, b"late"));
        end.receive(&close(role.peer(), 1000, ""));
        assert_eq!((end.events(), end.take(100)), (vec![], vec![]));
    }
}

#[test]
fn m03_what_was_complete_before_the_fault_is_delivered() {
    for role in ROLES {
        let wire = [
            frame(role.peer(), 0x81, b"whole"),
            frame(role.peer(), 0x01, b"part"),
            vec![0x83],
            frame(role.peer(), 0x81, b"late"),
        ];
        let mut end = end(role);
        end.receive(&wire.concat());
        assert_eq!(end.events(), [text("whole")]);
    }
}

#[test]
fn m05_the_end_of_the_stream_without_a_close_is_1006() {
    for role in ROLES {
        for wire in
            [vec![], vec![0x81], frame(role.peer(), 0x81, b"cut")[..4].to_vec(), frame(role.peer(), 0x01, b"part")]
        {
            let mut end = end(role);
            end.receive(&wire);
            end.eof();
            assert_eq!(end.take(100), b"", "no frame is sent");
            assert_eq!(the_end(end.events()), "Eof by remote received none sent none code 1006 unclean");
        }
    }
}

#[test]
fn m06_the_own_failure_reports_the_own_code() {
    for role in ROLES {
        for (bytes, code) in
            [(vec![0x83], 1002), (frame(role.peer(), 0x81, b"\xff"), 1007), (head(role.peer(), 0x82, 1 << 40), 1009)]
        {
            let mut end = end(role);
            end.receive(&bytes);
            end.take(1000);
            end.eof();
            assert!(the_end(end.events()).contains(&format!("code {code} unclean")));
        }
    }
}

#[test]
fn m07_either_side_may_end_without_a_handshake() {
    for role in ROLES {
        let mut end = end(role);
        end.call(&Call::Abort).unwrap();
        assert_eq!(the_end(end.events()), "Aborted by local received none sent none code 1006 unclean");
        assert_eq!(end.end.wants_shutdown(), Some(Shutdown::Both));
    }
}

// N: extensions (section 9)

/// No extension is agreed on, so nothing of theirs is legal on the wire.
#[test]
fn n04_nothing_of_an_extension_that_was_not_agreed_on() {
    for role in ROLES {
        for b0 in [0xc1, 0xa1, 0x91, 0x83, 0x8b] {
            assert_eq!(refused(role, &[b0]), Some(1002));
        }
        assert!(every_kind(role).iter().all(|frame| frame.rsv == 0));
    }
}

// O: security (section 10)

#[test]
fn o02_limits_on_frames_messages_fragments_and_output() {
    let limits = Config::default().limits;
    assert_eq!((limits.frame, limits.message, limits.fragments), (16 << 20, 16 << 20, 16_384));
    assert_eq!((limits.outgoing, limits.head, limits.header_lines), (1 << 20, 16 << 10, 100));
    let mut config = Config::default();
    config.limits.outgoing = 10;
    for role in ROLES {
        let mut end = with(role, config.clone());
        send(&mut end, Kind::Binary, &[0; 11]);
        assert_eq!(end.call(&Call::Send(Kind::Binary, vec![1])), Err("full".into()));
    }
}

#[test]
fn o03_a_mismatch_fails_the_connection() {
    for role in ROLES {
        let wrong_end = frame(role, 0x81, b"from the wrong end");
        assert_eq!(refused(role, &wrong_end[..2]), Some(1002));
    }
}

/// The only way to a key is the source of randomness, and one that fails sends nothing.
#[test]
fn o04_no_key_without_randomness() {
    let mut client = Driven::<Connection>::new(Role::Client, Config::default(), Box::new(ws_proto::NoEntropy));
    assert_eq!(client.call(&Call::Send(Kind::Text, b"x".to_vec())), Err("entropy".into()));
    assert_eq!(client.take(100), b"");
    begin_close(&mut client, 1000, "").unwrap();
    assert_eq!(client.take(100), b"");
    assert!(the_end(client.events()).starts_with("Entropy by local"));
}

#[test]
fn o05_sha_1_is_a_fingerprint_of_the_handshake_only() {
    fn rust_files(folder: &std::path::Path, all: &mut Vec<std::path::PathBuf>) {
        for entry in folder.read_dir().unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                rust_files(&path, all);
            } else if path.extension().is_some_and(|e| e == "rs") {
                all.push(path);
            }
        }
    }
    let mut files = Vec::new();
    rust_files(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../ws-proto/src"), &mut files);
    files.retain(|file| std::fs::read_to_string(file).unwrap().contains("sha1::"));
    // But for the masks of hybi-04, which no other version has.
    files.retain(|file| !file.ends_with("wire/early.rs"));
    assert!(!files.is_empty());
    assert!(files.iter().all(|file| file.components().any(|part| part.as_os_str() == "handshake")), "{files:?}");
}

#[test]
fn o08_any_split_gives_the_same_events() {
    for role in ROLES {
        let wire = [
            frame(role.peer(), 0x01, "\u{20ac}".as_bytes()),
            frame(role.peer(), 0x89, b"ping"),
            frame(role.peer(), 0x80, &[b'x'; 130]),
            close(role.peer(), 1000, "bye"),
        ]
        .concat();
        let play = |pieces: &[&[u8]]| {
            let mut end = end(role);
            pieces.iter().for_each(|piece| end.receive(piece));
            (end.events(), end.take(1000))
        };
        let whole = play(&[&wire]);
        assert_eq!(whole.0.len(), 3);
        assert_eq!(play(&wire.chunks(1).collect::<Vec<_>>()), whole);
        for at in 0..wire.len() {
            assert_eq!(play(&[&wire[..at], &wire[at..]]), whole, "{at}");
        }
    }
}

// P: states

#[test]
fn p02_open_closing_closed() {
    let mut local = end(Role::Server);
    assert_eq!(local.end.state(), State::Open);
    begin_close(&mut local, 1000, "").unwrap();
    assert_eq!(local.end.state(), State::CloseSent);
    local.take(100);
    local.receive(&close(Role::Client, 1000, ""));
    assert_eq!(local.end.state(), State::Closed);
    let mut remote = end(Role::Client);
    remote.receive(&close(Role::Server, 1000, ""));
    assert_eq!(remote.end.state(), State::CloseReceived);
    remote.take(100);
    remote.eof();
    assert_eq!(remote.end.state(), State::Closed);
}

#[test]
fn p03_sending_when_closing_or_closed_is_an_error_and_never_bytes() {
    for role in ROLES {
        let refuses = |end: &mut Driven<Connection>| {
            let before = end.end.outgoing().map(<[u8]>::len).sum::<usize>();
            for call in
                [Call::Send(Kind::Binary, vec![1]), Call::Start(Kind::Text), Call::Ping(vec![]), Call::Pong(vec![])]
            {
                assert_eq!(end.call(&call), Err("closed".into()));
            }
            assert!(end.end.send_prepared(&ws_proto::connection::Prepared::new("x")).is_err());
            assert_eq!(end.end.outgoing().map(<[u8]>::len).sum::<usize>(), before);
        };
        let mut closing = end(role);
        closing.receive(&close(role.peer(), 1000, ""));
        refuses(&mut closing);
        let mut closed = end(role);
        closed.eof();
        refuses(&mut closed);
        let mut failed = end(role);
        failed.receive(&[0x83]);
        refuses(&mut failed);
    }
}

#[test]
fn p04_a_second_close_sends_nothing() {
    for role in ROLES {
        let mut end = end(role);
        begin_close(&mut end, 1000, "").unwrap();
        begin_close(&mut end, 1001, "again").unwrap();
        assert_eq!(closes(&mut end), [1000]);
        begin_close(&mut end, 1001, "and again").unwrap();
        assert!(closes(&mut end).is_empty());
    }
}

#[test]
fn p05_of_two_closes_at_once_each_is_the_answer_to_the_other() {
    for role in ROLES {
        let mut end = end(role);
        begin_close(&mut end, 1000, "").unwrap();
        end.receive(&close(role.peer(), 1001, ""));
        assert_eq!(closes(&mut end), [1000]);
        assert_eq!(end.take(100), b"");
        end.eof();
        assert!(the_end(end.events()).contains("received 1001 sent 1000 code 1001 clean"));
    }
}

/// Messages in chunks obey the same clauses; one of each section here, the rest in the transcripts.
#[test]
fn chunks_obey_the_same_clauses() {
    let mut config = Config::default();
    config.delivery = Delivery::Chunks;
    for role in ROLES {
        let mut end = with(role, config.clone());
        end.receive(&[frame(role.peer(), 0x01, b"a"), vec![0x81]].concat());
        assert_eq!(closes(&mut end), [1002]);
        let mut slow = with(role, config.clone());
        slow.receive(&frame(role.peer(), 0x02, b"a"));
        slow.advance_clock(Duration::from_secs(1));
        assert_eq!(slow.events(), [Seen::Chunk { kind: Kind::Binary, first: true, last: false, data: b"a".to_vec() }]);
    }
}
