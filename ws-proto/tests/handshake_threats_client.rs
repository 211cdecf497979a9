//! What a server may try during the opening handshake. Each name bears the number of a threat.

mod handshake_support;

use std::sync::Arc;
use std::time::Duration;

use handshake_support::*;
use proptest::prelude::*;
use ws_proto::handshake::{ClientHandshake, ClientRequest, ClientStep, HandshakeError, ServerConfig, ServerHandshake};
#[cfg(feature = "url")]
use ws_proto::http::Target;
use ws_proto::http::{HeadDump, HeadError};
use ws_proto::{Config, Entropy, EntropyError, Input};

fn request() -> ClientRequest {
    ClientRequest::new(target())
}

#[test]
fn threat_078_the_accept_value_fits_exactly() {
    assert_eq!(wrong(&request(), &Head::response().without("sec-websocket-accept")), HandshakeError::AcceptMissing);
    let twice = Head::response().line(&format!("Sec-WebSocket-Accept: {ACCEPT}"));
    assert_eq!(wrong(&request(), &twice), HandshakeError::AcceptRepeated);
    let other = Head::response().line("Sec-WebSocket-Accept: x");
    assert_eq!(wrong(&request(), &other), HandshakeError::AcceptRepeated);
    for value in [
        "",
        "x",
        KEY,
        &ACCEPT.to_ascii_lowercase(),
        &ACCEPT.to_ascii_uppercase(),
        &format!("{ACCEPT}="),
        &ACCEPT[..27],
        &format!("{ACCEPT}, {ACCEPT}"),
        &format!("\"{ACCEPT}\""),
        &format!("{ACCEPT} x"),
        "s3pPLMBiTxaQ9kYGzzhZRbK+xOp=",
    ] {
        let head = Head::response().set(&format!("Sec-WebSocket-Accept: {value}"));
        assert_eq!(wrong(&request(), &head), HandshakeError::AcceptWrong, "{value}");
    }
}

#[test]
fn threat_079_only_http_1_1_101_with_both_tokens() {
    for status in [200, 201, 204, 226, 304, 400, 500] {
        let outcome = answer(
            &request(),
            Config::default(),
            &Head::response().first(&format!("HTTP/1.1 {status} x")).bytes(),
            true,
        );
        assert_eq!((outcome.step, outcome.error), (ClientStep::Refused, Some(HandshakeError::Status(status))));
    }
    use HandshakeError::Head as Bad;
    for (first, error) in [
        ("HTTP/1.0 101 x", HandshakeError::HttpVersion),
        ("HTTP/1.1 1010", Bad(HeadError::FirstLine)),
        ("HTTP/1.1 10", Bad(HeadError::FirstLine)),
        ("HTTP/1.1 0101 x", Bad(HeadError::FirstLine)),
        ("HTTP/1.1  101 x", Bad(HeadError::FirstLine)),
        ("HTTP/1.1 +101", Bad(HeadError::FirstLine)),
        ("HTTP/1.1 101\tx", Bad(HeadError::FirstLine)),
        ("HTTP/2 101 x", Bad(HeadError::Version)),
        ("HTTP/1.10 101 x", Bad(HeadError::FirstLine)),
        ("http/1.1 101 x", Bad(HeadError::NotHttp)),
        ("ICY 101 x", Bad(HeadError::NotHttp)),
        ("GET / HTTP/1.1", Bad(HeadError::NotHttp)),
    ] {
        assert_eq!(wrong(&request(), &Head::response().first(first)), error, "{first}");
    }
    assert_eq!(wrong(&request(), &Head::response().without("upgrade")), HandshakeError::Upgrade);
    assert_eq!(wrong(&request(), &Head::response().without("connection")), HandshakeError::Connection);
}

#[test]
fn threat_080_answers_without_end() {
    let interim = b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n";
    for (n, step) in [(0, ClientStep::Done), (8, ClientStep::Done), (9, ClientStep::Failed), (100, ClientStep::Failed)]
    {
        let bytes = [interim.repeat(n), Head::response().bytes()].concat();
        let outcome = answer(&request(), Config::default(), &bytes, false);
        assert_eq!(outcome.step, step, "{n}");
        assert_eq!(outcome.error, (step == ClientStep::Failed).then_some(HandshakeError::TooManyInterim));
    }
    let outcome = answer(
        &request(),
        Config::default(),
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 x\r\nContent-Length: 0\r\n\r\n",
        false,
    );
    assert_eq!(outcome.error, Some(HandshakeError::Status(404)));

    let mut h = client(&request(), &Arc::default());
    let mut offered = 0;
    while h.poll(NOW, &mut Input::new(&mut b"HTTP/1.1 101 x\r\nX: ".repeat(if offered == 0 { 1 } else { 0 })))
        == ClientStep::NeedInput
        && h.poll(NOW, &mut Input::new(&mut [b'a'; 1000])) == ClientStep::NeedInput
    {
        offered += 1000;
    }
    assert!(offered <= 16 * 1024);
    assert_eq!(h.error(), Some(&HandshakeError::Head(HeadError::TooLarge(16 * 1024))));

    let many: String = (0..101).map(|i| format!("a{i}: b\r\n")).collect();
    let outcome = answer(&request(), Config::default(), format!("HTTP/1.1 101 x\r\n{many}").as_bytes(), false);
    assert_eq!(outcome.error, Some(HandshakeError::Head(HeadError::TooManyLines(100))));
}

#[test]
fn threat_080_one_byte_a_second_and_interim_answers_do_not_restart_the_deadline() {
    let bytes = [b"HTTP/1.1 100 Continue\r\n\r\n".repeat(7), Head::response().bytes()].concat();
    for per_second in [0, 1, 26] {
        let mut h = client(&request(), &Arc::default());
        let mut seconds = 0;
        let mut left = &bytes[..];
        loop {
            let now = NOW.saturating_add(Duration::from_secs(seconds));
            let (piece, rest) = left.split_at(per_second.min(left.len()));
            left = rest;
            if h.poll(now, &mut Input::new(&mut piece.to_vec())) != ClientStep::NeedInput {
                break;
            }
            seconds += 1;
        }
        assert_eq!((seconds, h.error()), (10, Some(&HandshakeError::Timeout)));
    }
}

fn refusal(lines: &str, body: &[u8]) -> (Vec<u8>, bool) {
    let bytes = [format!("HTTP/1.1 401 No\r\n{lines}\r\n").as_bytes(), body].concat();
    let mut config = Config::default();
    config.limits.refusal_body = 20;
    config.limits.drain = 30;
    let outcome = answer(&request(), config, &bytes, true);
    assert_eq!((outcome.step, outcome.error), (ClientStep::Refused, Some(HandshakeError::Status(401))));
    let (status, body, complete) = outcome.detail.unwrap();
    assert_eq!(status, 401);
    (body, complete)
}

#[test]
fn threat_081_bodies_of_refusals_are_bounded() {
    let x = |n| vec![b'x'; n];
    let chunked = "Transfer-Encoding: chunked\r\n";
    assert_eq!(refusal("", b"abc"), (b"abc".to_vec(), true));
    assert_eq!(refusal("", &x(500)), (x(20), false));
    assert_eq!(refusal("Content-Length: 3\r\n", b"abcdef"), (b"abc".to_vec(), true));
    assert_eq!(refusal("Content-Length: 9\r\n", b"abc"), (b"abc".to_vec(), false));
    assert_eq!(refusal("Content-Length: 18446744073709551615\r\n", &x(99)), (x(20), false));
    assert_eq!(refusal("Content-Length: 18446744073709551616\r\n", b"abc"), (x(0), false));
    assert_eq!(refusal("Content-Length: -1\r\n", b"abc"), (x(0), false));
    assert_eq!(refusal("Content-Length: 3\r\nContent-Length: 4\r\n", b"abc"), (x(0), false));
    assert_eq!(refusal(chunked, b"3\r\nabc\r\n0\r\n\r\n"), (b"abc".to_vec(), true));
    assert_eq!(refusal(chunked, b"00000000000000003\r\nabc\r\n0\r\n\r\n"), (x(0), false));
    assert_eq!(refusal(chunked, b"ffffffffffffffff\r\nabc"), (b"abc".to_vec(), false));
    assert_eq!(refusal(chunked, b"fffffffffffffffff\r\nabc"), (x(0), false));
    assert_eq!(refusal(chunked, b"3\r\nabc\r\n0\r\nA: b\r\n\r\n"), (b"abc".to_vec(), true));
    assert_eq!(
        refusal(chunked, &[b"3\r\nabc\r\n0\r\n".to_vec(), b"A: b\r\n".repeat(50)].concat()),
        (b"abc".to_vec(), false)
    );
    assert!(!refusal(chunked, &b"1\r\nx\r\n".repeat(50)).1);
    assert_eq!(
        refusal("Content-Length: 9\r\nTransfer-Encoding: chunked\r\n", b"1\r\na\r\n0\r\n\r\n"),
        (b"a".to_vec(), true)
    );
}

proptest! {
    #[test]
    fn threat_081_any_body_and_framing(
        lines in prop::sample::select(vec!["", "Content-Length: 7\r\n", "Transfer-Encoding: chunked\r\n"]),
        body in prop::collection::vec(prop::sample::select(b"0123456789abcdefxX;\r\n\r\n\r\n \t".to_vec()), 0..80),
    ) {
        let (kept, _) = refusal(lines, &body);
        prop_assert!(kept.len() <= 20);
    }
}

#[cfg(feature = "url")]
#[test]
fn threat_090_urls() {
    let parts = |url: &str| Target::parse(url).map(|t| (t.host().to_owned(), t.port(), t.resource().to_owned()));
    let is = |host: &str, port, resource: &str| Ok((host.to_owned(), port, resource.to_owned()));
    assert_eq!(parts("ws://good@evil/"), is("evil", 80, "/"));
    assert_eq!(parts("ws://good:x@evil:81/"), is("evil", 81, "/"));
    assert_eq!(parts("ws://good\\evil"), is("good", 80, "/evil"));
    assert_eq!(parts("ws://go\tod/\n\ra"), is("good", 80, "/a"));
    assert_eq!(parts("  ws://good/  "), is("good", 80, "/"));
    assert_eq!(parts("ws://EXAMPLE.com./"), is("example.com.", 80, "/"));
    assert_eq!(parts("ws://b\u{fc}cher.example/"), is("xn--bcher-kva.example", 80, "/"));
    assert_eq!(parts("ws://0x7f.1/"), is("127.0.0.1", 80, "/"));
    assert_eq!(parts("ws://2130706433/"), is("127.0.0.1", 80, "/"));
    assert_eq!(parts("wss://[::1]:8443/a"), is("::1", 8443, "/a"));
    assert_eq!(parts("wss://[0:0::1]/"), is("::1", 443, "/"));
    assert_eq!(parts("ws:/a/b"), is("a", 80, "/b"));
    assert_eq!(parts("ws:a"), is("a", 80, "/"));
    assert_eq!(parts("ws://a/%2e%2e/b"), is("a", 80, "/b"));
    for bad in [
        "ws://[::1%25eth0]/",
        "ws://[fe80::1%eth0]/",
        "ws://a:0/",
        "ws://a:65536/",
        "ws://a:-1/",
        "ws://a/#b",
        "ws://",
        "ws://:80/",
        "ws://xn--/",
        "ws://a b/",
        "ws://a<b/",
        "ws://%00/",
        "ws://a%2fb/",
        "ws://1.2.3.256/",
        "ws://[::1/",
        "ws://a:b/",
        "//a/",
        "/a",
        "",
        "a",
        "\u{0}",
        "javascript:ws://a",
        "ws",
        "http://a/",
    ] {
        assert!(Target::parse(bad).is_err(), "{bad}");
    }
    // What is dialled is what the Host header says.
    let target = Target::parse("ws://good@b\u{fc}cher.example:81/").unwrap();
    assert!(sent(&ClientRequest::new(target)).contains("\r\nHost: xn--bcher-kva.example:81\r\n"));
}

/// Counts up, and remembers nothing.
struct Counting(u8);

impl Entropy for Counting {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError> {
        out.iter_mut().for_each(|b| {
            *b = self.0;
            self.0 = self.0.wrapping_add(1);
        });
        Ok(())
    }
}

#[test]
fn threat_092_a_fresh_key_for_each_attempt() {
    let request = request();
    let key = |start| {
        let h = ClientHandshake::new(NOW, &request, Config::default(), Box::new(Counting(start))).unwrap();
        let text: Vec<u8> = h.outgoing().flatten().copied().collect();
        String::from_utf8(text).unwrap().split("Sec-WebSocket-Key: ").nth(1).unwrap()[..24].to_owned()
    };
    assert_eq!(key(0), "AAECAwQFBgcICQoLDA0ODw==");
    assert_eq!(key(16), "EBESExQVFhcYGRobHB0eHw==");
    let failed = ClientHandshake::new(NOW, &request, Config::default(), Box::new(ws_proto::NoEntropy));
    assert_eq!(failed.err(), Some(EntropyError));
}

proptest! {
    #[test]
    fn threat_096_what_a_peer_sent_is_printed_escaped(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let head = [b"HTTP/1.1 404 ", &bytes[..bytes.len() / 2], b"\r\nX: ", &bytes[bytes.len() / 2..], b"\r\n\r\n"].concat();
        let mut client = client(&request(), &Arc::default());
        client.poll(NOW, &mut Input::new(&mut head.clone()));
        let mut server = ServerHandshake::new(NOW, ServerConfig::default());
        server.poll(NOW, &mut Input::new(&mut [Head::request().bytes(), bytes.clone()].concat()));
        let error = client.error().map(ToString::to_string).unwrap_or_default();
        for text in [HeadDump::new(&bytes).to_string(), HeadDump::new(&head).to_string(), error] {
            prop_assert!(is_plain(&text) && text.len() <= 4200, "{text}");
        }
        let shown = format!("{client:?}{:?}{server:?}", client.response());
        prop_assert!(is_plain(&shown) && shown.len() < 20_000);
    }
}

fn is_plain(text: &str) -> bool {
    text.chars().all(|c| c == '\n' || (' '..='~').contains(&c))
}

#[test]
fn threat_096_secrets_are_not_printed() {
    let secret = |name: &str| request().header(name, "secret").unwrap();
    let config = Arc::default();
    for name in ["Authorization", "Cookie", "X-Token"] {
        let mut client = client(&secret(name), &config);
        let mut server = ServerHandshake::new(NOW, ServerConfig::default());
        let head = client.outgoing().next().unwrap().to_vec();
        assert!(name == "X-Token" || !HeadDump::new(&head).to_string().contains("secret"));
        let shown = format!("{client:?} {:?}", secret(name));
        server.poll(NOW, &mut Input::new(&mut head.clone()[..head.len() - 2]));
        let half = format!("{server:?}");
        server.poll(NOW, &mut Input::new(&mut b"\r\n".to_vec()));
        let whole = if name == "X-Token" { String::new() } else { format!("{server:?}") };
        client.poll(NOW, &mut Input::new(&mut b"HTTP/1.1 403 x\r\nSet-Cookie: secret\r\n\r\nsecret".to_vec()));
        let refused = format!("{client:?} {:?}", client.response());
        assert!(![shown, half, whole, refused].concat().contains("secret"));
    }
}

proptest! {
    #[test]
    fn any_answer_gives_the_same_at_every_split(bytes in noise()) {
        let outcome = answer(&request(), Config::default(), &bytes, true);
        prop_assert!(outcome.step != ws_proto::ClientStep::NeedInput);
    }
}

/// Bytes that look more or less like an answer.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..20),
        prop::sample::select(vec![
            "HTTP/1.1 101 x\r\n",
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 100 x\r\n\r\n",
            "\r\n",
            "\r\n\r\n",
            "Upgrade: websocket\r\n",
            "Connection: Upgrade\r\n",
            "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n",
            "Content-Length: 3\r\n",
            "Transfer-Encoding: chunked\r\n",
            "3\r\nabc\r\n",
            "0\r\n\r\n",
            "\u{1}\u{2}ab",
            ": ",
        ])
        .prop_map(|s| s.as_bytes().to_vec()),
    ];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

#[cfg(feature = "url")]
fn sent(request: &ClientRequest) -> String {
    String::from_utf8(client(request, &Arc::default()).take_outgoing(NOW).unwrap().to_vec()).unwrap()
}
