//! What a client may try during the opening handshake. Each name bears the number of a threat.

mod handshake_support;

use std::sync::Arc;
use std::time::Duration;

use handshake_support::*;
use proptest::prelude::*;
use ws_proto::connection::Shutdown;
use ws_proto::handshake::{
    Accept, AcceptError, ClientRequest, HandshakeError, Reply, ServerConfig, ServerHandshake, Step,
};
use ws_proto::http::{HeadError, Headers, Target};
use ws_proto::{Config, Input};

fn server_with(change: impl FnOnce(&mut Config)) -> ServerConfig {
    let mut config = Config::default();
    change(&mut config);
    config.into()
}

/// Limits that are out of the way, so that work which is not linear would not end.
fn no_limits() -> ServerConfig {
    server_with(|c| {
        c.limits.head = usize::MAX;
        c.limits.header_lines = usize::MAX;
    })
}

fn poll(h: &mut ServerHandshake, bytes: &[u8]) -> Step {
    h.poll(NOW, &mut Input::new(&mut bytes.to_vec()))
}

fn request() -> ClientRequest {
    ClientRequest::new(target())
}

#[test]
fn threat_052_a_head_without_end_is_left_at_the_limit() {
    for (start, wanted) in [("GET / HTTP/1.1\r\nX: ", 431), ("GET /", 414), ("GET / HTTP/1.1\r\n", 431)] {
        let filler = if start.ends_with("\r\n") { b"a: b\r\n".repeat(1000) } else { vec![b'a'; 6000] };
        let mut h = ServerHandshake::new(NOW, ServerConfig::default());
        let mut offered = start.len();
        poll(&mut h, start.as_bytes());
        while poll(&mut h, &filler) == Step::NeedInput {
            offered += filler.len();
        }
        assert!(offered <= 16 * 1024, "{offered}");
        assert_eq!(h.error().unwrap().status(), Some(wanted));
        h.take_outgoing(NOW);
        let mut drained = 0;
        while !h.is_finished() {
            poll(&mut h, &filler);
            drained += filler.len();
        }
        assert!(drained <= Config::default().limits.drain + filler.len(), "{drained}");
    }
}

#[test]
fn threat_054_the_deadline_counts_from_the_start() {
    let head = Head::request().line(&format!("X: {}", "a".repeat(16 * 1024 - 200))).bytes();
    for per_second in [0, 1, head.len() - 1] {
        let mut h = ServerHandshake::new(NOW, ServerConfig::default());
        let mut left = &head[..head.len() - 1];
        let mut seconds = 0;
        loop {
            let now = NOW.saturating_add(Duration::from_secs(seconds));
            h.handle_timeout(now);
            let (piece, rest) = left.split_at(per_second.min(left.len()));
            left = rest;
            if h.poll(now, &mut Input::new(&mut piece.to_vec())) != Step::NeedInput {
                break;
            }
            seconds += 1;
        }
        assert_eq!((seconds, h.error()), (10, Some(&HandshakeError::Timeout)), "{per_second} bytes a second");
    }
}

#[test]
fn threat_054_the_deadline_covers_the_decision_the_answer_and_the_drain() {
    let after = |s| NOW.saturating_add(Duration::from_secs(s));
    let mut h = ServerHandshake::new(NOW, ServerConfig::default());
    assert_eq!(poll(&mut h, &Head::request().bytes()), Step::Request);
    h.handle_timeout(after(10));
    assert_eq!((h.error(), h.error().unwrap().status()), (Some(&HandshakeError::Undecided), Some(503)));
    // The peer takes nothing of the answer for as long as a writer may stall.
    assert_eq!(h.poll_timeout(), Some(after(40)));
    h.advance(after(20), 1);
    assert_eq!(h.poll_timeout(), Some(after(50)));
    h.take_outgoing(after(30));
    assert_eq!((h.poll_timeout(), h.wants_shutdown()), (Some(after(35)), Some(Shutdown::Write)));
    h.handle_timeout(after(35));
    assert!(h.is_finished() && h.poll_timeout().is_none());
}

#[test]
fn threat_055_header_lines_are_counted() {
    let lines = |n: usize, upgrade_first: bool| {
        let mut head = Head::request();
        let own = head.lines.len();
        let extra = (own..n).map(|i| format!("H{i}: {i}"));
        if upgrade_first {
            head.lines.extend(extra);
        } else {
            head.lines.splice(0..0, extra.collect::<Vec<_>>());
        }
        head
    };
    for upgrade_first in [true, false] {
        for n in [99, 100] {
            accepted(&lines(n, upgrade_first));
        }
        for n in [101, 1000] {
            let (error, answer) = refused(&lines(n, upgrade_first));
            assert_eq!((error, status(&answer)), (HandshakeError::Head(HeadError::TooManyLines(100)), 431));
        }
    }
    let mut h = ServerHandshake::new(NOW, no_limits());
    assert_eq!(poll(&mut h, &lines(65_536, false).bytes()), Step::Request);
    assert_eq!(h.request().unwrap().header("h65535"), Some("65535"));
}

#[test]
fn threat_056_lists_are_read_in_linear_time() {
    let mib = 1 << 20;
    for value in [
        format!("a; b=\"{}\"", "\\c".repeat(mib / 2)),
        format!("a; b=\"{}", "\\c".repeat(mib / 2)),
        format!("b{}x", " ".repeat(mib)),
        "a;".repeat(mib / 2),
        "a,".repeat(mib / 2),
        "a;b=c;".repeat(mib / 6) + "d",
        ",".repeat(mib),
        "constructor, __proto__, toString; __proto__=constructor".into(),
    ] {
        for name in ["Sec-WebSocket-Extensions", "Sec-WebSocket-Protocol", "Connection", "Upgrade"] {
            let mut h = ServerHandshake::new(NOW, no_limits());
            let step = poll(&mut h, &Head::request().line(&format!("{name}: {value}")).bytes());
            if step == Step::Request {
                let request = h.request().unwrap();
                assert!(request.extensions().len() <= value.len());
            }
        }
    }
}

proptest! {
    #[test]
    fn threat_057_any_bytes_in_any_header(
        name in prop::sample::select(vec![
            "Host", "Origin", "Cookie", "Sec-WebSocket-Key", "Sec-WebSocket-Version", "Sec-WebSocket-Protocol",
            "Sec-WebSocket-Extensions", "Upgrade", "Connection", "Content-Length", "Transfer-Encoding", "X",
        ]),
        value in prop::collection::vec(any::<u8>(), 0..40),
        again in any::<bool>(),
    ) {
        let mut head = if again { Head::request() } else { Head::request().without(name) }.bytes();
        head.truncate(head.len() - 2);
        head.extend_from_slice(name.as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(&value);
        head.extend_from_slice(b"\r\n\r\n");
        let outcome = serve(ServerConfig::default(), &head, |h| {
            let r = h.request().unwrap();
            (r.cookies().count(), r.host().is_some(), r.origin().map(str::len), r.extensions().len(), r.subprotocols().count())
        });
        if let Some(error) = outcome.error {
            prop_assert_eq!(outcome.step, Step::Rejected);
            prop_assert!(error.status().is_some());
        } else {
            // An empty line in the value ends the head early; then it is what was there before that counts.
            prop_assert!(matches!(outcome.step, Step::Request));
        }
    }
}

#[test]
fn threat_057_long_and_foreign_values() {
    for value in ["a".repeat(8192), "\u{e4}".into(), "=".repeat(8192)] {
        for name in ["Host", "Sec-WebSocket-Key"] {
            let (_, answer) = refused(&Head::request().set(&format!("{name}: {value}")));
            assert_eq!(status(&answer), 400);
        }
    }
}

#[test]
fn threat_058_host_is_host_and_port_and_nothing_else() {
    for bad in [
        "a/b?c#d",
        "a/",
        "u@a",
        "u:p@a",
        "a:99999",
        "a:0",
        "a:-1",
        "a:1:2",
        "a b",
        "[::1",
        "::1",
        "[::1%25eth0]",
        "a?b",
        "a,b@c",
        "http://a",
        "a\\b",
        "\u{e4}.example",
        "a%",
        "",
        ":",
        ":80",
    ] {
        let (error, answer) = refused(&Head::request().set(&format!("Host: {bad}")));
        assert_eq!((error, status(&answer)), (HandshakeError::Host, 400), "{bad}");
    }
    for good in ["a", "a:8080", "[::1]:1", "127.0.0.1", "a_b.example.", "xn--4ca"] {
        let outcome = serve(ServerConfig::default(), &Head::request().set(&format!("Host: {good}")).bytes(), |h| {
            let request = h.request().unwrap();
            (request.host().unwrap().as_str().to_owned(), request.path().to_owned())
        });
        assert_eq!(outcome.detail, Some((good.to_owned(), "/chat".into())));
    }
    assert_eq!(fault(&Head::request().without("host")), (HandshakeError::HostCount, 400));
    assert_eq!(fault(&Head::request().line("Host: b")), (HandshakeError::HostCount, 400));
}

#[test]
fn threat_059_the_key_is_the_base64_of_16_bytes() {
    for bad in [
        "",
        "=",
        "AA==",
        "dGhlIHNhbXBsZSBub25j",
        "dGhlIHNhbXBsZSBub25jZWU=",
        "dGhlIHNhbXBsZSBub25jZWVl",
        "dGhlIHNhbXBsZSBub25jZQ=",
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZQ===",
        "dGhlIHNhbXBsZSBub25jZQ==A",
        "dGhlIHNhbXBsZSBub25jZQ== A",
        "dGhlIHNhbXBsZSBub25jZQ==, AA",
        "dGhlIHNhbXBsZSBub25jZ===",
        "dGhlIHNhbXBsZSB_b25jZQ==",
        "dGhlIHNhbXBsZSB-b25jZQ==",
        "dGhlIHNhbX sZSBub25jZQ==",
        "\u{e4}GhlIHNhbXBsZSBub25jZQ=",
        "\"dGhlIHNhbXBsZSBub25jZQ\"",
    ] {
        let head = Head::request().set(&format!("Sec-WebSocket-Key: {bad}"));
        assert_eq!(fault(&head), (HandshakeError::KeyInvalid, 400), "{bad}");
    }
    assert_eq!(fault(&Head::request().without("sec-websocket-key")), (HandshakeError::KeyMissing, 400));
    assert_eq!(fault(&Head::request().line("Sec-WebSocket-Key: x")), (HandshakeError::KeyRepeated, 400));
    for good in [KEY, "AAAAAAAAAAAAAAAAAAAAAA==", "////////////////////+w==", " \tAAAAAAAAAAAAAAAAAAAAAA== \t"] {
        accepted(&Head::request().set(&format!("Sec-WebSocket-Key: {good}")));
    }
}

#[test]
fn threat_059_spare_bits_of_the_key_are_ignored_and_hashed_as_sent() {
    // RFC 4648 section 3.5 leaves it to the reader. There are clients that fill them at random.
    let answer = accepted(&Head::request().set("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZR=="));
    assert!(answer.contains("Sec-WebSocket-Accept: Zgw8jYXtqX5qJr7MJ1Q/MqzeSRI="));
}

#[test]
fn threat_060_tokens_are_compared_whole() {
    let near_misses = |token: &str| {
        vec![
            String::new(),
            format!("x{token}"),
            format!("{token}x"),
            format!("{token}s"),
            format!("not{token}"),
            format!("{token}-"),
            format!("\"{token}\""),
            format!("{token}/13"),
            format!("{token};q=1"),
            format!("{token} x"),
            format!("x {token}"),
            token[1..].to_owned(),
            token[..token.len() - 1].to_owned(),
            format!("{token}\u{a0}"),
            format!("{}{}", &token[..3], &token[2..]),
            "*".into(),
            "close, keep-alive".into(),
            format!("a;{token}"),
            token.chars().flat_map(|c| [c, ' ']).collect(),
            format!("{token}={token}"),
        ]
    };
    for value in near_misses("websocket") {
        let (error, answer) = refused(&Head::request().set(&format!("Upgrade: {value}")));
        assert_eq!((error, status(&answer)), (HandshakeError::Upgrade, 400), "{value:?}");
    }
    for value in near_misses("upgrade") {
        let (error, answer) = refused(&Head::request().set(&format!("Connection: {value}")));
        assert_eq!((error, status(&answer)), (HandshakeError::Connection, 400), "{value:?}");
    }
}

#[test]
fn threat_061_no_silent_older_protocol() {
    for version in ["12", "14", "13, 8", "8, 13", "7", "8", "0", "013", " ", "13;", "1 3"] {
        let (error, answer) = refused(&Head::request().set(&format!("Sec-WebSocket-Version: {version}")));
        assert_eq!((error, status(&answer)), (HandshakeError::Version, 426), "{version}");
        assert!(answer.contains("\r\nSec-WebSocket-Version: 13\r\n"));
    }
    let twice = Head::request().line("Sec-WebSocket-Version: 8");
    let none = Head::request().without("sec-websocket-version");
    let hixie75 = none.clone().without("sec-websocket-key").line("Origin: http://a");
    let hixie76 =
        hixie75.clone().line("Sec-WebSocket-Key1: 4 @1  46546xW%0l 1 5").line("Sec-WebSocket-Key2: 12998 5 Y3 1  .P00");
    for head in [twice, none, hixie75, hixie76] {
        assert_eq!(fault(&head), (HandshakeError::Version, 426));
    }
}

#[test]
fn threat_062_other_methods_and_versions() {
    for (first, error, wanted) in [
        ("POST / HTTP/1.1", HandshakeError::Method, 405),
        ("HEAD / HTTP/1.1", HandshakeError::Method, 405),
        ("OPTIONS * HTTP/1.1", HandshakeError::Method, 405),
        ("GET / HTTP/1.0", HandshakeError::HttpVersion, 505),
        ("GET / HTTP/0.9", HandshakeError::Head(HeadError::Version), 505),
        ("GET / HTTP/2.0", HandshakeError::Head(HeadError::Version), 505),
        ("GET /", HandshakeError::Head(HeadError::FirstLine), 400),
        ("get / HTTP/1.1", HandshakeError::Head(HeadError::FirstLine), 400),
    ] {
        assert_eq!(fault(&Head::request().first(first)), (error, wanted), "{first}");
    }
    let (error, answer) = refused_bytes(ServerConfig::default(), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert_eq!((error, answer.as_str()), (HandshakeError::Head(HeadError::NotHttp), ""));
}

#[test]
fn threat_063_an_announced_body_is_refused() {
    for lines in [
        &["Content-Length: 5"][..],
        &["Content-Length: +5"],
        &["Content-Length: -0"],
        &["Content-Length: 0x0"],
        &["Content-Length:"],
        &["Content-Length: 0, 0"],
        &["Content-Length: 99999999999999999999"],
        &["Content-Length: 0", "Content-Length: 0"],
        &["Content-Length: 0", "Content-Length: 5"],
        &["Transfer-Encoding: chunked"],
        &["Transfer-Encoding: identity"],
        &["Transfer-Encoding:"],
        &["Content-Length: 0", "Transfer-Encoding: chunked"],
    ] {
        let head = lines.iter().fold(Head::request(), |head, line| head.line(line));
        let mut bytes = head.bytes();
        bytes.extend_from_slice(b"hello\x81\x80\0\0\0\0GET / HTTP/1.1\r\n\r\n");
        let (error, answer) = refused_bytes(ServerConfig::default(), &bytes);
        assert_eq!((error, status(&answer)), (HandshakeError::RequestBody, 400), "{lines:?}");
    }
    accepted(&Head::request().line("Content-Length: 0"));
    let (error, _) =
        refused_bytes(ServerConfig::default(), b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(error, HandshakeError::RequestBody);
}

/// Empty binary messages of a client.
fn frames(bytes: usize) -> Vec<u8> {
    b"\x82\x80\x01\x02\x03\x04".repeat(bytes / 6)
}

#[test]
fn threat_064_bytes_behind_the_head() {
    for size in [0, 6, 60, 64 * 1024] {
        let mut bytes = Head::request().bytes();
        bytes.extend_from_slice(&frames(size));
        let config = Arc::new(ServerConfig::default());
        for pieces in some_splits(&bytes, if size > 100 { 1999 } else { 1 }) {
            let outcome = serve_pieces(&config, &pieces, |h| h.accept(NOW, Accept::new()));
            assert_eq!((outcome.step, outcome.events.len()), (Step::Done, size / 6));
            let outcome = serve_pieces(&config, &pieces, |h| h.respond(NOW, Reply::new(403)));
            assert_eq!((outcome.step, outcome.events.len()), (Step::Rejected, 0));
            assert_eq!(status(std::str::from_utf8(&outcome.written).unwrap()), 403);
        }
    }
}

#[test]
fn threat_064_bytes_while_the_application_decides() {
    let tail = frames(60_000);
    let mut h = ServerHandshake::new(NOW, ServerConfig::default());
    assert_eq!(poll(&mut h, &Head::request().bytes()), Step::Request);
    for piece in tail.chunks(7) {
        assert_eq!(poll(&mut h, piece), Step::Request);
    }
    h.accept(NOW, Accept::new()).unwrap();
    let mut conn = h.into_connection(Box::new(ws_proto::NoEntropy)).unwrap();
    let mut events = 0;
    while conn.poll(NOW, &mut Input::empty()).is_some() {
        events += 1;
    }
    assert_eq!(events, 10_000);

    let mut h = ServerHandshake::new(NOW, ServerConfig::default());
    poll(&mut h, &Head::request().bytes());
    let mut taken = 0;
    while poll(&mut h, &tail[..6000]) == Step::Request {
        taken += 6000;
    }
    assert!((60_000..=64 * 1024).contains(&taken));
    assert_eq!(h.error(), Some(&HandshakeError::EarlyData));
}

#[test]
fn threat_066_each_byte_at_six_places() {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    type Allowed = Box<dyn Fn(u8) -> bool>;
    let places: [(&str, &str, Allowed); 6] = [
        // In the method only capital letters and the hyphen pass, and then it is not GET.
        ("G", "ET / HTTP/1.1\r\nHost: a\r\n\r\n", Box::new(|_| false)),
        ("GET /", " HTTP/1.1\r\nHost: a\r\n\r\n", Box::new(|b| matches!(b, 0x21..=0x7e) && b != b'#')),
        ("GET / HTTP/1.1", "\r\nHost: a\r\n\r\n", Box::new(|_| false)),
        ("GET / HTTP/1.1\r\nX", "Y: z\r\nHost: a\r\n\r\n", Box::new(move |b| token(b) || b == b':')),
        ("GET / HTTP/1.1\r\n", "X: z\r\nHost: a\r\n\r\n", Box::new(token)),
        ("GET / HTTP/1.1\r\nX: y", "z\r\nHost: a\r\n\r\n", Box::new(|b| b == 9 || (b >= 32 && b != 127))),
    ];
    for (place, (before, after, allowed)) in places.iter().enumerate() {
        for byte in 0..=255u8 {
            let bytes = [before.as_bytes(), &[byte], after.as_bytes()].concat();
            let outcome = serve(ServerConfig::default(), &bytes, |_| ());
            let step = if allowed(byte) { Step::Request } else { Step::Rejected };
            assert_eq!(outcome.step, step, "byte {byte:#x} at place {place}");
            if step == Step::Rejected {
                let wanted = if place == 0 && (byte.is_ascii_uppercase() || byte == b'-') { 405 } else { 400 };
                assert_eq!(status(std::str::from_utf8(&outcome.written).unwrap()), wanted, "{byte:#x} at {place}");
            }
        }
    }
}

#[test]
fn threat_066_one_definition_of_a_line() {
    let good = String::from_utf8(Head::request().bytes()).unwrap();
    for end in ["\n", "\r", "\n\r", "\r\r\n", "\u{b}", "\u{c}", "\u{85}", "\u{2028}", "\0", "\r\n\n", "\r\n ", "\r\n\t"]
    {
        let outcome = serve(
            ServerConfig::default(),
            good.replacen("\r\nUpgrade", &format!("{end}Upgrade"), 1).as_bytes(),
            |_| (),
        );
        // NEL and the like are just bytes of a value, so the Upgrade line is gone with them.
        assert_eq!(outcome.step, Step::Rejected, "{end:?}");
    }
    let lf = good.replace("\r\n", "\n");
    assert_eq!(refused_bytes(ServerConfig::default(), lf.as_bytes()).0, HandshakeError::Head(HeadError::LineEnd));
    let lenient = server_with(|c| c.leniency.bare_lf = true);
    let outcome = serve(lenient.clone(), lf.as_bytes(), |h| h.accept(NOW, Accept::new()));
    assert_eq!(outcome.step, Step::Done);
    let cr = good.replace("\r\n", "\r");
    assert_eq!(refused_bytes(lenient, cr.as_bytes()).0, HandshakeError::Head(HeadError::LineEnd));
    let spaced = Head::request().line("X : y");
    assert_eq!(fault(&spaced).0, HandshakeError::Head(HeadError::Name));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn threat_067_no_setter_lets_a_line_through(name in any_text(), value in any_text()) {
        // Accept, reply and request: what is not refused adds exactly one line, and the head ends where it should.
        let lines = |head: &str| head.split("\r\n\r\n").next().unwrap().split("\r\n").count();
        let plain = accepted(&Head::request());
        if let Ok(accept) = Accept::new().header(&name, &value) {
            let answer = accepted_by(ServerConfig::default(), &Head::request(), accept);
            prop_assert_eq!(lines(&answer), lines(&plain) + 1);
            prop_assert_eq!(answer.find("\r\n\r\n"), Some(answer.len() - 4));
        }
        let reply = respond_with(&Head::request().bytes(), &Reply::new(404));
        if let Ok(changed) = Reply::new(404).header(&name, &value) {
            prop_assert_eq!(lines(&respond_with(&Head::request().bytes(), &changed)), lines(&reply) + 1);
        }
        if let Ok(changed) = Reply::new(404).body(&value, value.clone()) {
            let answer = respond_with(&Head::request().bytes(), &changed);
            prop_assert_eq!(lines(&answer), lines(&reply) + 1);
            prop_assert_eq!(answer.split_once("\r\n\r\n").unwrap().1, value.as_str());
        }
        let offered = Accept::new().subprotocol(value.clone());
        let outcome = serve(ServerConfig::default(), &Head::request().bytes(), |h| h.accept(NOW, offered.clone()));
        prop_assert_eq!(outcome.detail, Some(Err(AcceptError::SubprotocolNotOffered)));

        let own = sent(&request());
        let changes = [
            request().header(&name, &value).ok(),
            request().origin(&value).ok(),
            request().subprotocols([value.clone()]).ok(),
        ];
        for changed in changes.into_iter().flatten() {
            prop_assert_eq!(lines(&sent(&changed)), lines(&own) + 1);
        }
        if let Ok(changed) = request().host(&value) {
            prop_assert_eq!(lines(&sent(&changed)), lines(&own));
        }
        for (host, resource) in [(&*value, "/"), ("a", &*value), ("a", &*format!("/{value}"))] {
            if let Ok(target) = Target::new(false, host, None, resource) {
                prop_assert_eq!(lines(&sent(&ClientRequest::new(target))), lines(&own));
            }
        }
    }
}

fn sent(request: &ClientRequest) -> String {
    String::from_utf8(client(request, &Arc::default()).take_outgoing(NOW).unwrap().to_vec()).unwrap()
}

/// Texts with more line ends in them than usual.
fn any_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[a-zA-Z0-9-]{1,8}",
        "\\PC{0,4}",
        prop::sample::select(vec!["\r\n", "\n", "\r", "\0", ": ", "\r\n\r\n", "\u{85}", "\t", " ", "Host", "X"])
            .prop_map(String::from),
    ];
    prop::collection::vec(piece, 0..4).prop_map(|pieces| pieces.concat())
}

#[test]
fn threat_068_subprotocols_that_are_offered() {
    let offer = |value: &str| fault(&Head::request().line(&format!("Sec-WebSocket-Protocol: {value}")));
    for bad in ["", ",", "a,", ",a", "a,,b", "a b", "a/b", "\u{e4}", "\"a\"", "a;b", "(a)"] {
        assert_eq!(offer(bad), (HandshakeError::SubprotocolSyntax, 400), "{bad}");
    }
    assert_eq!(offer("a, b, a"), (HandshakeError::SubprotocolRepeated, 400));
    let twice = Head::request().line("Sec-WebSocket-Protocol: a").line("Sec-WebSocket-Protocol: a");
    assert_eq!(fault(&twice), (HandshakeError::SubprotocolRepeated, 400));
    let many = |n: usize| (0..n).map(|i| i.to_string()).collect::<Vec<_>>().join(", ");
    assert_eq!(offer(&many(1000)), (HandshakeError::SubprotocolTooMany, 400));
    let head = Head::request().line(&format!("Sec-WebSocket-Protocol: {}", many(128)));
    let answer = accepted_by(ServerConfig::default(), &head, Accept::new().subprotocol("127"));
    assert!(answer.contains("Protocol: 127\r\n"));
    let outcome = serve(ServerConfig::default(), &head.bytes(), |h| h.accept(NOW, Accept::new().subprotocol("128")));
    assert_eq!(outcome.detail, Some(Err(AcceptError::SubprotocolNotOffered)));
}

#[test]
fn threat_073_a_refusal_is_written_whole_and_then_drained() {
    for by_application in [true, false] {
        let mut h = ServerHandshake::new(NOW, ServerConfig::default());
        if by_application {
            poll(&mut h, &Head::request().bytes());
            h.respond(NOW, Reply::text(403, "no"));
        } else {
            poll(&mut h, &Head::request().without("connection").bytes());
        }
        // The peer goes on sending while the answer is still being written.
        assert_eq!(poll(&mut h, &[0; 1000]), Step::Rejected);
        assert_eq!((h.wants_shutdown(), h.wants_read()), (None, true));
        while h.wants_write() {
            h.advance(NOW, 1);
        }
        assert_eq!((h.wants_shutdown(), h.wants_read(), h.is_finished()), (Some(Shutdown::Write), true, false));
        let mut drained = 1000;
        while !h.is_finished() {
            poll(&mut h, &[0; 1000]);
            drained += 1000;
        }
        let limit = Config::default().limits.drain;
        assert!((limit..limit + 1000).contains(&drained), "{drained}");
        assert_eq!((h.wants_shutdown(), h.wants_read()), (Some(Shutdown::Both), false));
    }
    // No unread byte is left when the peer ends first.
    let mut h = ServerHandshake::new(NOW, ServerConfig::default());
    poll(&mut h, &Head::request().bytes());
    h.eof(NOW);
    assert!(h.respond(NOW, Reply::new(404)) && !h.is_finished());
    h.take_outgoing(NOW);
    assert!(h.is_finished());
}

#[test]
fn threat_074_names_that_collide_cost_no_more() {
    // There is no hash to collide in; the limit of lines bounds the walk.
    let head = (0..95).fold(Head::request(), |head, i| head.line(&format!("Sec-WebSocket-Kex: {i}")));
    let outcome = serve(ServerConfig::default(), &head.bytes(), |h| {
        let headers: &Headers = h.request().unwrap().headers();
        (
            headers.len(),
            headers.get_all("SEC-WEBSOCKET-KEX").count(),
            headers.get("sec-websocket-kex").map(str::to_owned),
        )
    });
    assert_eq!(outcome.detail, Some((100, 95, Some("0".into()))));
}

#[test]
fn threat_075_request_targets() {
    let long = format!("/{}", "a".repeat(8192));
    for (target, path, query) in [
        ("/", "/", None),
        ("//", "//", None),
        ("//evil.example/a", "//evil.example/a", None),
        ("/a/../b/./c", "/a/../b/./c", None),
        ("/%2e%2e/%2F", "/%2e%2e/%2F", None),
        ("/a?b?c", "/a", Some("b?c")),
        ("/?", "/", Some("")),
        ("/a|b^{c}`\"<>\\", "/a|b^{c}`\"<>\\", None),
        ("http://example.com", "/", None),
        ("http://example.com?a", "/", Some("a")),
        ("HTTP://EXAMPLE.com/a?b", "/a", Some("b")),
        ("ws://example.com/a", "/a", None),
        (&long, &long, None),
    ] {
        let first = format!("GET {target} HTTP/1.1");
        let bytes = Head::request().first(&first).bytes();
        let config = Arc::new(ServerConfig::default());
        for pieces in some_splits(&bytes, if bytes.len() > 1000 { 211 } else { 1 }) {
            let outcome = serve_pieces(&config, &pieces, |h| {
                let r = h.request().unwrap();
                (r.target().to_owned(), r.path().to_owned(), r.query().map(str::to_owned))
            });
            assert_eq!(outcome.detail, Some((target.to_owned(), path.to_owned(), query.map(str::to_owned))));
        }
    }
    for target in [
        "*",
        "example.com:80",
        "a",
        "?a",
        "http://other.example/",
        "http:/a",
        "ftp://example.com/",
        "http://u@example.com/",
    ] {
        let fault = fault(&Head::request().first(&format!("GET {target} HTTP/1.1")));
        assert_eq!(fault, (HandshakeError::RequestTarget, 400), "{target}");
    }
    for target in ["", " /", "/a b", "/#a", "/\t", "/\u{e4}", "/\0"] {
        let (error, answer) = refused(&Head::request().first(&format!("GET {target} HTTP/1.1")));
        assert_eq!((error, status(&answer)), (HandshakeError::Head(HeadError::FirstLine), 400), "{target}");
    }
}

#[test]
fn threat_076_other_protocols_on_the_port() {
    for (bytes, at) in [
        (&b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03"[..], 1),
        (b"\x80\x2e\x01\x03\x01", 1),
        (b"SSH-2.0-OpenSSH_9.9\r\n", 5),
        (b"\x05\x01\x00", 1),
        (b"\x04\x01\x00\x50", 1),
        (b"<policy-file-request/>\0", 1),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 12),
        (b"\r\n\r\n\x00\r\nQUIT\n", 1),
        (b"*1\r\n$4\r\nPING\r\n", 1),
        (b"\0\0\0\x08\x04\xd2\x16\x2f", 1),
    ] {
        let mut h = ServerHandshake::new(NOW, ServerConfig::default());
        let judged = bytes.iter().position(|b| poll(&mut h, &[*b]) == Step::Rejected).map(|i| i + 1);
        let judged = judged.expect("refused");
        assert_eq!(judged, at, "{}", bytes.escape_ascii());
        assert!(matches!(h.error(), Some(HandshakeError::Head(HeadError::NotHttp | HeadError::FirstLine))));
        // What can't be HTTP gets no HTTP answer.
        let may_be_http = bytes[0].is_ascii_uppercase() && !bytes.starts_with(b"PRI");
        assert_eq!(h.wants_write(), may_be_http || bytes[0] == b'*', "{}", bytes.escape_ascii());
    }
}

#[test]
fn threat_077_values_are_parsed_on_demand_in_linear_time() {
    for piece in [";", "=", "; ", "a=b;", "\"", "%", "a=;=b"] {
        let value = piece.repeat((1 << 20) / piece.len());
        let head = Head::request()
            .first(&format!("GET /?{} HTTP/1.1", piece.trim().repeat(1 << 18)))
            .line(&format!("Cookie: {value}"))
            .line(&format!("Authorization: {value}"));
        let mut h = ServerHandshake::new(NOW, no_limits());
        assert_eq!(poll(&mut h, &head.bytes()), Step::Request);
        let request = h.request().unwrap();
        assert!(request.cookies().count() <= value.len() && request.query_pairs().count() <= 2 << 20);
        assert!(request.cookie("none").is_none());
    }
}

proptest! {
    #[test]
    fn threat_138_before_the_handshake_only_one_http_answer(bytes in noise()) {
        let outcome = serve(ServerConfig::default(), &bytes, |h| h.respond(NOW, Reply::new(404)));
        if !outcome.written.is_empty() {
            let answer = std::str::from_utf8(&outcome.written).unwrap();
            prop_assert!(status(answer) >= 400);
            prop_assert_eq!(answer.matches("HTTP/1.1 ").count(), 1);
        }
        prop_assert!(outcome.events.is_empty());
    }
}

/// Bytes that look more or less like the beginning of something.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..20),
        prop::sample::select(vec![
            "GET / HTTP/1.1\r\n",
            "Host: a\r\n",
            "\r\n",
            "EHLO a\r\n",
            "Upgrade: websocket\r\n",
            "Connection: Upgrade\r\n",
            "POST / HTTP/1.1\r\n",
            "Sec-WebSocket-Version: 13\r\n",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
            "MAIL FROM:<a@b>\r\n",
            "X: ",
            ":",
            " ",
        ])
        .prop_map(|s| s.as_bytes().to_vec()),
    ];
    prop::collection::vec(piece, 0..10).prop_map(|pieces| pieces.concat())
}
