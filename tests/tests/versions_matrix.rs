//! What each version can do, and what it makes of the frames of all others: a defined outcome, never a guess.

use std::collections::BTreeSet;
use std::time::Duration;

use ws_proto::connection::Prepared;
use ws_proto::{Config, Connection, Delivery, Kind, Role, SendError, Version};
use ws_tests::dialect::Dialect;
use ws_tests::endpoint::Driven;
use ws_tests::entropy::counting;
use ws_tests::reference;
use ws_tests::run::Subject;
use ws_tests::transcript::Seen;

const ROLES: [Role; 2] = [Role::Server, Role::Client];

fn end(version: Version, role: Role, config: &Config) -> Driven<Connection> {
    Driven::open(role, Dialect::new(version).negotiated(), config.clone(), counting())
}

/// Frames in the words of RFC 6455: first bytes and payloads.
type Saying = [(u8, &'static [u8])];

/// What a conforming end says.
const SAYINGS: [(&str, &Saying); 7] = [
    ("text", &[(0x81, b"Hello")]),
    ("binary", &[(0x82, b"Hello")]),
    ("fragments", &[(0x01, b"Hel"), (0x80, b"lo")]),
    ("binary fragments", &[(0x02, b"Hel"), (0x80, b"lo")]),
    ("ping", &[(0x89, b"Hello")]),
    ("pong", &[(0x8a, b"Hello")]),
    ("close", &[(0x88, b"\x03\xe8")]),
];

fn wire(version: Version, from: Role, saying: &Saying) -> Vec<u8> {
    let dialect = Dialect::new(version);
    saying.iter().flat_map(|(b0, payload)| dialect.frame(from, *b0, payload)).collect()
}

/// What an end makes of it: the events before the end, and the end.
fn outcome(version: Version, role: Role, config: &Config, pieces: &mut dyn Iterator<Item = &[u8]>) -> Vec<Seen> {
    let mut end = end(version, role, config);
    pieces.for_each(|piece| end.receive(piece));
    let mut events = end.events();
    end.take(usize::MAX);
    end.eof();
    events.extend(end.events());
    end.advance_clock(Duration::from_secs(1000));
    assert!(matches!(events.last(), Some(Seen::Closed(_))), "{version} {role:?}: no end");
    events
}

/// Versions whose frames have the same layout in that direction.
fn family(version: Version, from: Role) -> u8 {
    match version {
        Version::Hixie75 | Version::Hixie76 => 0,
        Version::Hybi01 | Version::Hybi02 | Version::Hybi03 => 1,
        Version::Hybi04 if from == Role::Client => 2,
        Version::Hybi04 | Version::Hybi05 | Version::Hybi06 => 3,
        _ => 4,
    }
}

/// All that an end understands of the frames of another layout, which it can't know: the same bytes mean this by the
/// rules of the version that was agreed on. Everything else is an error, or is waited for or skipped in vain. None of it
/// comes from a client: they mask since hybi-04, each time in another place.
const COINCIDENCES: [(&str, &str, &str, &str); 22] = [
    ("hybi-01 to -03", "binary fragments", "hybi-04", "binary \"Hel\", then an error"),
    ("hybi-01 to -03", "binary fragments", "hybi-05", "binary \"Hel\", then an error"),
    ("hybi-01 to -03", "binary fragments", "hybi-06", "binary \"Hel\", then an error"),
    ("hybi-01 to -03", "fragments", "hybi-04", "text \"Hel\", then an error"),
    ("hybi-01 to -03", "fragments", "hybi-05", "text \"Hel\", then an error"),
    ("hybi-01 to -03", "fragments", "hybi-06", "text \"Hel\", then an error"),
    ("hybi-04", "binary fragments", "hybi-01 to -03", "binary \"Hel\", then an error"),
    ("hybi-05", "binary fragments", "hybi-01 to -03", "binary \"Hel\", then an error"),
    ("hybi-06", "binary fragments", "hybi-01 to -03", "binary \"Hel\", then an error"),
    ("hybi-04", "fragments", "hybi-01 to -03", "text \"Hel\", then an error"),
    ("hybi-05", "fragments", "hybi-01 to -03", "text \"Hel\", then an error"),
    ("hybi-06", "fragments", "hybi-01 to -03", "text \"Hel\", then an error"),
    ("hybi-04", "ping", "hybi-07 to 13", "binary \"Hello\""),
    ("hybi-05", "ping", "hybi-07 to 13", "binary \"Hello\""),
    ("hybi-06", "ping", "hybi-07 to 13", "binary \"Hello\""),
    ("hybi-07 to 13", "binary fragments", "hybi-01 to -03", "ping \"Hel\", then an error"),
    ("hybi-07 to 13", "fragments", "hybi-01 to -03", "closing empty"),
    ("hybi-07 to 13", "binary", "hybi-04", "ping \"Hello\""),
    ("hybi-07 to 13", "binary", "hybi-05", "ping \"Hello\""),
    ("hybi-07 to 13", "binary", "hybi-06", "ping \"Hello\""),
    ("hybi-07 to 13", "text", "hybi-04", "closing empty"),
    ("hybi-07 to 13", "text", "hybi-05", "closing empty"),
];

#[test]
fn threat_142_the_frames_of_each_version_on_each_other_version() {
    let mut coincidences = BTreeSet::new();
    let pairs = Version::ALL.iter().flat_map(|spoken| Version::ALL.iter().map(|read| (*spoken, *read)));
    for ((spoken, read), from) in pairs.flat_map(|pair| ROLES.map(|role| (pair, role))) {
        let same = family(spoken, from) == family(read, from);
        for (name, saying) in SAYINGS {
            let bytes = wire(spoken, from, saying);
            let said = format!("{from:?} {spoken} {name} in {read}");
            let config = Config::default();
            let events = outcome(read, from.peer(), &config, &mut [&bytes[..]].into_iter());
            assert_eq!(events, outcome(read, from.peer(), &config, &mut bytes.chunks(1)), "{said}");
            // The rules of the version that was agreed, and no other rules.
            let expected = reference::receive(Dialect::new(read), from.peer(), &config, &bytes);
            assert_eq!(expected.events, &events[..events.len() - 1], "{said}");
            let Some(Seen::Closed(how)) = events.last() else { unreachable!() };
            if let Some((_, error)) = expected.fault {
                assert!(how.starts_with(&format!("Protocol({error:?})")), "{said}: {how}");
            }
            if same {
                understood(&said, (spoken, read), name, &events, how);
            } else {
                let read_as: Vec<_> =
                    events.iter().take_while(|event| !matches!(event, Seen::Closed(_))).map(told).collect();
                if read_as.is_empty() {
                    continue; // an error, or more is waited for
                }
                let error = if how.starts_with("Protocol") { ", then an error" } else { "" };
                let coincidence = read_as.join(", ") + error;
                coincidences.insert(format!("{from:?} {} {name} in {}: {coincidence}", layout(spoken), layout(read)));
            }
        }
    }
    let expected =
        COINCIDENCES.map(|(spoken, name, read, outcome)| format!("Server {spoken} {name} in {read}: {outcome}"));
    assert_eq!(coincidences, BTreeSet::from(expected));
}

const fn layout(version: Version) -> &'static str {
    match version {
        Version::Hixie75 | Version::Hixie76 => "hixie",
        Version::Hybi01 | Version::Hybi02 | Version::Hybi03 => "hybi-01 to -03",
        Version::Hybi04 | Version::Hybi05 | Version::Hybi06 => version.name(),
        _ => "hybi-07 to 13",
    }
}

fn told(event: &Seen) -> String {
    let words = |what: &str, bytes: &[u8]| format!("{what} {:?}", String::from_utf8_lossy(bytes));
    match event {
        Seen::Text(bytes) => words("text", bytes),
        Seen::Binary(bytes) => words("binary", bytes),
        Seen::Ping(bytes) => words("ping", bytes),
        Seen::Pong(bytes, _) => words("pong", bytes),
        Seen::Closing(how) => format!("closing {how}"),
        other => panic!("{other:?}"),
    }
}

/// The frames of a version with the same layout mean the same, as far as there are such frames.
fn understood(said: &str, (spoken, read): (Version, Version), name: &str, events: &[Seen], how: &str) {
    let first = &events[0];
    match name {
        "text" | "fragments" => assert_eq!(*first, Seen::Text(b"Hello".to_vec()), "{said}"),
        // Skipped, or not sent at all.
        _ if !spoken.has_binary() && name != "close" => assert_eq!(events.len(), 1, "{said}: {events:?}"),
        "binary" | "binary fragments" => assert_eq!(*first, Seen::Binary(b"Hello".to_vec()), "{said}"),
        "ping" => assert_eq!(*first, Seen::Ping(b"Hello".to_vec()), "{said}"),
        "pong" => assert_eq!(*first, Seen::Pong(b"Hello".to_vec(), None), "{said}"),
        _ if !spoken.has_close() || !read.has_close() => assert_eq!(events.len(), 1, "{said}: {how}"),
        _ if read.has_close_code() => assert_eq!(*first, Seen::Closing("1000".into()), "{said}"),
        _ => assert_eq!(*first, Seen::Closing("empty".into()), "{said}"),
    }
}

#[test]
fn what_a_version_cannot_do_is_unsupported() {
    for (version, role) in Version::ALL.iter().flat_map(|version| ROLES.map(|role| (*version, role))) {
        for lenient in [false, true] {
            let mut config = Config::default();
            config.leniency.hixie_binary = lenient;
            let mut end = end(version, role, &config);
            let conn = &mut end.end;
            let unsupported = Err(SendError::Unsupported(version));
            let or = |can: bool| if can { Ok(()) } else { unsupported.clone() };
            let binary = version.has_binary() || lenient;
            assert_eq!(conn.send(b"abc").map_err(SendError::without_message), or(binary), "{version}");
            assert_eq!(conn.send_prepared(&Prepared::new(b"abc")), or(binary));
            // A length goes before the bytes in hixie, and is not known yet.
            assert_eq!(conn.start_message(Kind::Binary).map(drop), or(version.has_binary()));
            if let Some(writer) = conn.resume_message() {
                writer.finish(b"abc").unwrap();
            }
            assert_eq!(conn.ping(end.now, b"abc"), or(version.has_ping()));
            assert_eq!(conn.pong(b"abc"), or(version.has_ping()));
            assert_eq!(conn.send("abc").map_err(SendError::without_message), Ok(()));
            let wire = end.take(usize::MAX);
            if !version.has_binary() {
                let bytes: &[u8] = if lenient { b"\x80\x03abc\x80\x03abc\0abc\xff" } else { b"\0abc\xff" };
                assert_eq!(wire, bytes, "{version}");
                let mut reader = self::end(version, role.peer(), &config);
                reader.receive(&wire);
                assert_eq!(reader.events().len(), if lenient { 3 } else { 1 });
                // Who was not told throws them away.
                let mut other = self::end(version, role.peer(), &Config::default());
                other.receive(&wire);
                assert_eq!(other.events(), [Seen::Text(b"abc".to_vec())]);
            }
            // After the Close that is the answer, whatever the version can do.
            end.end.close(end.now, 1000, "").unwrap();
            assert_eq!(end.end.ping(end.now, b""), Err(SendError::Closed(())));
            assert!(matches!(end.end.send(b"abc"), Err(SendError::Closed(_))));
        }
    }
}

#[test]
fn without_pings_there_is_no_keepalive() {
    for (version, role) in Version::ALL.iter().flat_map(|version| ROLES.map(|role| (*version, role))) {
        let mut end = end(version, role, &Config::default());
        assert_eq!(end.end.poll_timeout().is_some(), version.has_ping(), "{version}");
        end.advance_clock(Duration::from_secs(25));
        assert_eq!(end.take(usize::MAX).is_empty(), !version.has_ping());
    }
}

/// A writer's pieces are one text in hixie, and a frame each in all later versions.
#[test]
fn a_writer_streams_in_every_version() {
    for (version, role) in Version::ALL.iter().flat_map(|version| ROLES.map(|role| (*version, role))) {
        let dialect = Dialect::new(version);
        for delivery in [Delivery::Messages, Delivery::Chunks] {
            let mut config = Config::default();
            config.delivery = delivery;
            let mut writing = end(version, role, &config);
            let mut reading = end(version, role.peer(), &config);
            let mut conn = &mut writing.end;
            let mut writer = conn.start_message(Kind::Text).unwrap();
            writer.write(b"\xe2").unwrap();
            writer.write(b"\x82\xac").unwrap();
            assert_eq!(writer.write(b"\xff"), Err(SendError::InvalidUtf8));
            assert!(matches!(conn.send("x"), Err(SendError::MessageOpen("x"))));
            let first = writing.take(usize::MAX);
            conn = &mut writing.end;
            conn.resume_message().unwrap().finish(b"").unwrap();
            assert!(conn.can_send());
            let rest = writing.take(usize::MAX);
            let (frames, left) = dialect.frames(role, &[&first[..], &rest].concat());
            assert_eq!((frames.len(), left), (if version.has_fragments() { 3 } else { 1 }, 0));
            reading.receive(&first);
            let early = reading.events();
            reading.receive(&rest);
            let late = reading.events();
            let text = "\u{20ac}".as_bytes().to_vec();
            if delivery == Delivery::Messages {
                assert_eq!((early, late), (vec![], vec![Seen::Text(text)]), "{version}");
            } else {
                assert!(!early.is_empty() && late.len() == 1, "{version}: {early:?} {late:?}");
            }
            let stats = writing.end.stats().sent;
            assert_eq!((stats.messages, stats.message_bytes, stats.frames), (1, 3, frames.len() as u64));
            assert_eq!(stats.wire_bytes, (first.len() + rest.len()) as u64);
            let heard = reading.end.stats().received;
            assert_eq!(
                (heard.messages, heard.frames, heard.wire_bytes),
                (1, stats.frames, stats.wire_bytes),
                "{version}"
            );
        }
    }
}

#[test]
fn only_rfc_6455_asks_for_the_shortest_length() {
    let read = |version: Version, wire: &[u8]| {
        let mut end = end(version, Role::Client, &Config::default());
        end.receive(wire);
        end.events()
    };
    let first = |version: Version| Dialect::new(version).frame(Role::Server, 0x81, b"")[0];
    for version in Version::ALL.iter().filter(|version| version.has_binary()) {
        let first = first(*version);
        let long = [&[first, 126, 0, 1][..], b"x"].concat();
        let longer = [&[first, 127, 0, 0, 0, 0, 0, 0, 0, 1][..], b"x"].concat();
        let expected = if *version == Version::Rfc6455 { vec![] } else { vec![Seen::Text(b"x".to_vec())] };
        assert_eq!((read(*version, &long), read(*version, &longer)), (expected.clone(), expected), "{version}");
    }
}
