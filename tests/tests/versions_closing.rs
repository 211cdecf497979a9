//! The closing handshake of every version: both ends, whoever begins.

use ws_proto::connection::{Event, Negotiated};
use ws_proto::{Config, Connection, Input, Instant, ProtocolError, Role, Version};
use ws_tests::dialect::Dialect;
use ws_tests::endpoint::Driven;
use ws_tests::entropy::counting;
use ws_tests::run::Subject;
use ws_tests::transcript::{Call, Seen};

const ROLES: [Role; 2] = [Role::Server, Role::Client];

/// Each version that is compiled in, and each end of it.
fn all() -> impl Iterator<Item = (Dialect, Role)> {
    Version::ALL.iter().flat_map(|version| ROLES.map(|role| (Dialect::new(*version), role)))
}

fn end(dialect: &Dialect, role: Role) -> Driven<Connection> {
    end_with(dialect.negotiated(), role, Config::default())
}

fn end_with(negotiated: Negotiated, role: Role, config: Config) -> Driven<Connection> {
    Driven::open(role, negotiated, config, counting())
}

fn close(code: u16, reason: &str) -> Call {
    Call::Close(Some((code, reason.to_owned())))
}

/// The body of the Close that an end wrote, and wrote last; `None` if it wrote none.
fn written_close(dialect: &Dialect, end: &mut Driven<Connection>, role: Role) -> Option<Vec<u8>> {
    let bytes = end.take(usize::MAX);
    let (mut frames, left) = dialect.frames(role, &bytes);
    assert_eq!(left, 0, "{bytes:02x?}");
    let close = frames.pop()?;
    assert_eq!((close.opcode, close.fin, close.rsv), (8, true, 0), "{close:?}");
    assert_eq!(close.key.is_some(), role == Role::Client && dialect.version.masks());
    Some(close.payload)
}

fn letter(role: Role) -> Vec<u8> {
    vec![if role == Role::Client { b'C' } else { b'S' }]
}

/// The body of a Close with a code and a reason that an end begins with, and how it is told.
fn begun(version: Version, role: Role, code: u16, reason: &str) -> (Option<Vec<u8>>, String) {
    let code = if code == 1009 && matches!(version, Version::Hybi06 | Version::Hybi07) { 1004 } else { code };
    match version {
        Version::Hixie75 => (None, "none".into()),
        Version::Hybi05 => (Some(letter(role)), "empty".into()),
        _ if version < Version::Hybi06 => (Some(Vec::new()), "empty".into()),
        _ => (Some([&code.to_be_bytes(), reason.as_bytes()].concat()), format!("{code} {reason:?}")),
    }
}

/// The one event that is left: the end.
fn the_end(end: &mut Driven<Connection>) -> String {
    match &end.events()[..] {
        [Seen::Closed(how)] => how.clone(),
        other => panic!("not just the end: {other:?}"),
    }
}

#[test]
fn we_begin_and_the_peer_answers() {
    for (dialect, role) in all() {
        let version = dialect.version;
        let mut end = end(&dialect, role);
        end.call(&close(1000, "bye")).unwrap();
        let (body, words) = begun(version, role, 1000, "bye");
        assert_eq!(written_close(&dialect, &mut end, role), body, "{version} {role:?}");
        assert_eq!(end.call(&Call::Send(ws_proto::Kind::Text, b"late".to_vec())), Err("closed".into()));
        assert_eq!(end.take(100), b"", "nothing follows the Close");
        if !version.has_close() {
            assert_eq!(end.fact("shutdown").unwrap(), "write");
            end.eof();
            assert_eq!(the_end(&mut end), "Handshake by local received none sent none code 1005 clean");
            continue;
        }
        assert_eq!(end.fact("shutdown").unwrap(), "none");
        // What the peer said before it knew is still read; pings are not answered any more.
        end.receive(&dialect.frame(role.peer(), 0x81, b"on the way"));
        end.receive(&dialect.frame(role.peer(), 0x89, b"?"));
        assert_eq!(end.events()[0], Seen::Text(b"on the way".to_vec()));
        assert_eq!(end.take(100), b"");
        end.receive(&dialect.frame(role.peer(), 0x88, &body.unwrap()));
        end.receive(&dialect.frame(role.peer(), 0x81, b"too late"));
        let events = end.events();
        assert_eq!(events[0], Seen::Closing(words.clone()), "{version}");
        if role == Role::Client {
            // The server ends the stream first.
            assert_eq!((events.len(), end.fact("shutdown").unwrap()), (1, "none".into()));
            end.eof();
        } else {
            assert_eq!(events.len(), 2);
        }
        assert_eq!(end.fact("shutdown").unwrap(), "both");
        let code = if version.has_close_code() { 1000 } else { 1005 };
        let how = format!("Handshake by local received {words} sent {words} code {code} clean");
        let last = events.into_iter().chain(end.events()).next_back();
        assert_eq!(last, Some(Seen::Closed(how)), "{version}");
    }
}

#[test]
fn the_peer_begins_and_we_answer() {
    for (dialect, role) in all().filter(|(dialect, _)| dialect.version.has_close()) {
        let version = dialect.version;
        let mut end = end(&dialect, role);
        let (body, words) = begun(version, role.peer(), 1001, "bye");
        let wire = [dialect.frame(role.peer(), 0x89, b"?"), dialect.frame(role.peer(), 0x88, &body.unwrap())].concat();
        end.receive(&[&wire[..], &dialect.frame(role.peer(), 0x81, b"more")].concat());
        assert_eq!(end.events().last(), Some(&Seen::Closing(words.clone())), "{version}");
        let (answer, sent) = match version {
            Version::Hybi05 => (letter(role), "empty"),
            _ if version.has_close_code() => (1001_u16.to_be_bytes().to_vec(), "1001"),
            _ => (Vec::new(), "empty"),
        };
        assert_eq!(end.fact("shutdown").unwrap(), "none", "the answer first");
        assert_eq!(written_close(&dialect, &mut end, role), Some(answer), "{version}");
        if role == Role::Client {
            end.eof();
        }
        let code = if version.has_close_code() { 1001 } else { 1005 };
        let how = format!("Handshake by remote received {words} sent {sent} code {code} clean");
        assert_eq!(the_end(&mut end), how);
        assert_eq!(end.fact("shutdown").unwrap(), "both");
    }
}

#[test]
fn both_begin_at_once() {
    for (dialect, role) in all().filter(|(dialect, _)| dialect.version.has_close()) {
        let version = dialect.version;
        let mut end = end(&dialect, role);
        end.call(&close(1000, "mine")).unwrap();
        let (body, words) = begun(version, role.peer(), 1001, "yours");
        end.receive(&dialect.frame(role.peer(), 0x88, &body.unwrap()));
        let (mine, sent) = begun(version, role, 1000, "mine");
        assert_eq!(written_close(&dialect, &mut end, role), mine, "{version}: one Close, not two");
        assert_eq!(end.take(100), b"");
        end.eof();
        let code = if version.has_close_code() { 1001 } else { 1005 };
        let how = format!("Handshake by local received {words} sent {sent} code {code} clean");
        assert_eq!(end.events(), [Seen::Closing(words), Seen::Closed(how)]);
    }
}

/// The end of the stream instead of a Close: an orderly end in hixie-75 if we began it, and in hixie-76 if our Close
/// is out, because peers of that version do so; in all other versions a cut.
#[test]
fn the_end_of_the_stream_instead_of_an_answer() {
    for (dialect, role) in all() {
        let version = dialect.version;
        let mut unasked = end(&dialect, role);
        unasked.eof();
        assert_eq!(the_end(&mut unasked), "Eof by remote received none sent none code 1006 unclean");

        let mut waiting = end(&dialect, role);
        waiting.call(&Call::Send(ws_proto::Kind::Text, b"hello".to_vec())).unwrap();
        waiting.call(&close(1000, "bye")).unwrap();
        waiting.take(3);
        waiting.eof();
        assert_eq!(the_end(&mut waiting), "Eof by local received none sent none code 1006 unclean", "{version}");

        let mut closed = end(&dialect, role);
        closed.call(&close(1000, "bye")).unwrap();
        closed.take(100);
        closed.eof();
        let words = begun(version, role, 1000, "bye").1;
        let how = match version {
            Version::Hixie75 | Version::Hixie76 => {
                format!("Handshake by local received none sent {words} code 1005 clean")
            }
            _ => format!("Eof by local received none sent {words} code 1006 unclean"),
        };
        assert_eq!(the_end(&mut closed), how, "{version}");
    }
}

#[test]
fn hybi_01_to_04_send_the_body_back() {
    for (dialect, role) in all() {
        if !(Version::Hybi01..=Version::Hybi04).contains(&dialect.version) {
            continue;
        }
        let long = vec![b'x'; 125];
        let cases: [(&[u8], &[u8]); 5] =
            [(b"", b""), (b"x", b"x"), (b"\x03\xe8", b""), ("\u{e9}".as_bytes(), "\u{e9}".as_bytes()), (&long, &long)];
        for (body, answer) in cases {
            let mut end = end(&dialect, role);
            end.receive(&dialect.frame(role.peer(), 0x88, body));
            // A body that is not text can't be kept as a reason, and may be answered with nothing.
            assert_eq!(
                written_close(&dialect, &mut end, role),
                Some(answer.to_vec()),
                "{} {body:02x?}",
                dialect.version
            );
        }
    }
}

#[test]
fn threat_016_each_version_has_its_own_close_codes() {
    for (dialect, role) in all().filter(|(dialect, _)| dialect.version.has_close_code()) {
        let version = dialect.version;
        for code in (0..=u16::MAX).filter(|code| !(20..990).contains(code) && (*code < 5010 || *code > 65500)) {
            let mut end = end(&dialect, role);
            end.receive(&dialect.frame(role.peer(), 0x88, &code.to_be_bytes()));
            let allowed = match version {
                Version::Rfc6455 => matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999),
                _ => matches!(code, 1000..=4999),
            };
            let answer = match code {
                _ if !allowed => {
                    assert_eq!(end.events(), []);
                    [&1002_u16.to_be_bytes()[..], b"close code not allowed"].concat()
                }
                1005 | 1006 | 1015 => Vec::new(), // never sent
                1009 if version < Version::Hybi08 => 1004_u16.to_be_bytes().to_vec(),
                code => code.to_be_bytes().to_vec(),
            };
            assert_eq!(written_close(&dialect, &mut end, role), Some(answer), "{version} {code}");
        }
        let mut short = end(&dialect, role);
        short.receive(&dialect.frame(role.peer(), 0x88, b"x"));
        let body = written_close(&dialect, &mut short, role).unwrap();
        assert_eq!(body, [&1002_u16.to_be_bytes()[..], b"close body of one byte"].concat());
        let mut bad = end(&dialect, role);
        bad.receive(&dialect.frame(role.peer(), 0x88, b"\x03\xe8\xff"));
        assert_eq!(written_close(&dialect, &mut bad, role).unwrap()[..2], 1007_u16.to_be_bytes());
    }
}

/// The older versions take codes that RFC 6455 reserves. Passed on to somebody else, they are left out.
#[test]
fn threat_016_a_close_that_is_passed_on_has_no_reserved_code() {
    for code in [1004, 1005, 1006, 1015, 1016, 2500, 3000] {
        let old = Dialect::new(Version::Hybi08);
        let mut from = Connection::from_upgraded(Role::Server, old.negotiated(), Config::default(), counting());
        let mut bytes = old.frame(Role::Client, 0x88, &[&u16::to_be_bytes(code)[..], b"why"].concat());
        let mut input = Input::new(&mut bytes);
        let Some(Event::Closing(frame)) = from.poll(Instant::ZERO, &mut input) else { panic!("no Close with {code}") };
        for (dialect, role) in all().filter(|(dialect, _)| dialect.version.has_close_code()) {
            let mut to = Connection::from_upgraded(role, dialect.negotiated(), Config::default(), counting());
            to.close_with(Instant::ZERO, frame.clone());
            let bytes = to.take_outgoing(Instant::ZERO).unwrap();
            let (frames, _) = dialect.frames(role, &bytes);
            let may_go = match dialect.version {
                Version::Rfc6455 => code == 3000,
                _ => !matches!(code, 1005 | 1006 | 1015),
            };
            let body = if may_go { [&code.to_be_bytes()[..], b"why"].concat() } else { Vec::new() };
            assert_eq!(frames[0].payload, body, "{} {code}", dialect.version);
        }
    }
}

#[test]
fn too_big_is_1004_in_versions_6_and_7() {
    for (dialect, role) in all() {
        let version = dialect.version;
        let mut config = Config::default();
        config.limits.message = 3;
        let mut end = end_with(dialect.negotiated(), role, config);
        end.receive(&dialect.frame(role.peer(), 0x81, b"four"));
        let (body, sent) = begun(version, role, 1009, ProtocolError::MessageTooBig.reason());
        assert_eq!(written_close(&dialect, &mut end, role), body, "{version}");
        assert_eq!(end.fact("shutdown").unwrap(), "write");
        end.eof();
        let how = format!("Protocol(MessageTooBig) by local received none sent {sent} code 1009 unclean");
        assert_eq!(the_end(&mut end), how);

        let mut asked = self::end(&dialect, role);
        asked.call(&close(1009, "no")).unwrap();
        assert_eq!(written_close(&dialect, &mut asked, role), begun(version, role, 1009, "no").0);
    }
}

/// Without frames there is no other way: in hixie-76 the part of the text that is out becomes a whole text.
#[test]
fn a_close_in_the_middle_of_a_hixie_text() {
    let pieces: [(&[u8], &[u8]); 6] = [
        (b"", b"\0\xff"),
        (b"Hel", b"\0Hel\xff"),
        (b"\xc3", b"\0\xc3\x80\xff"),
        (b"a\xe0", b"\0a\xe0\xa0\x80\xff"),
        (b"\xf0", b"\0\xf0\xa0\x80\x80\xff"),
        (b"\xf4\x8f", b"\0\xf4\x8f\x80\x80\xff"),
    ];
    for role in ROLES {
        for (piece, text) in pieces {
            let dialect = Dialect::new(Version::Hixie76);
            let mut sender = end(&dialect, role);
            sender.call(&Call::Start(ws_proto::Kind::Text)).unwrap();
            sender.call(&Call::Piece(piece.to_vec())).unwrap();
            sender.call(&close(1000, "")).unwrap();
            assert_eq!(sender.call(&Call::Piece(b"x".to_vec())), Err("closed".into()));
            let wire = sender.take(usize::MAX);
            assert_eq!(wire, [text, b"\xff\0"].concat());
            let mut reader = end(&dialect, role.peer());
            reader.receive(&wire);
            assert!(matches!(&reader.events()[..2], [Seen::Text(_), Seen::Closing(_)]));

            // Nothing was written: there is nothing to end. And hixie-75, which has no Close, ends the stream instead,
            // so that the part is not taken for the whole.
            let mut unbegun = end(&dialect, role);
            unbegun.call(&Call::Start(ws_proto::Kind::Text)).unwrap();
            unbegun.call(&close(1000, "")).unwrap();
            assert_eq!(unbegun.take(usize::MAX), b"\xff\0");
            let mut old = end(&Dialect::new(Version::Hixie75), role);
            old.call(&Call::Start(ws_proto::Kind::Text)).unwrap();
            old.call(&Call::Piece(piece.to_vec())).unwrap();
            old.call(&close(1000, "")).unwrap();
            assert_eq!(old.fact("shutdown").unwrap(), "none");
            assert_eq!(old.take(usize::MAX), [b"\0", piece].concat());
            assert_eq!(old.fact("shutdown").unwrap(), "write");
        }
    }
}

#[test]
fn threat_141_the_close_of_hixie_76() {
    let close_at: [(&[u8], usize); 5] = [
        (b"\xff\0", 2),
        (b"\xff\x80\x80\0", 4), // zeros may lead
        (b"\0a\xff\xff\0", 5),
        (b"\xff\x01x\xff\0", 5), // FF with a length is thrown away
        (b"\x80\0\xff\0\xff\0\0b\xff", 4),
    ];
    for role in ROLES {
        for (wire, at) in close_at {
            for step in [1, wire.len()] {
                for version in [Version::Hixie75, Version::Hixie76] {
                    let mut end = end(&Dialect::new(version), role);
                    let mut seen = Vec::new();
                    let mut read = 0;
                    for piece in wire.chunks(step) {
                        end.receive(piece);
                        read += piece.len();
                        seen.extend(end.events());
                        let closing = seen.iter().filter(|event| matches!(event, Seen::Closing(_))).count();
                        assert_eq!(closing, usize::from(version == Version::Hixie76 && read >= at));
                    }
                    let written = end.take(usize::MAX);
                    end.eof();
                    seen.extend(end.events());
                    let ends = seen.iter().filter(|event| matches!(event, Seen::Closed(_))).count();
                    assert_eq!(ends, 1);
                    let late = seen.contains(&Seen::Text(b"b".to_vec()));
                    if version == Version::Hixie76 {
                        assert_eq!((written, late), (b"\xff\0".to_vec(), false), "answered once");
                    } else {
                        assert_eq!(
                            (written, late),
                            (Vec::new(), wire.ends_with(b"b\xff")),
                            "an empty frame, thrown away"
                        );
                    }
                }
            }
        }
    }
}
