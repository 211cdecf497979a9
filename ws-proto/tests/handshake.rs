//! The opening handshake, clause by clause. The names begin with the rows of the checklist in `docs/rfc6455.md`.

mod handshake_support;

use std::sync::Arc;
use std::time::Duration;

use handshake_support::*;
use ws_proto::connection::Shutdown;
use ws_proto::handshake::{
    Accept, AcceptError, ClientHandshake, ClientRequest, ClientStep, HandshakeError, Reply, ServerConfig,
    ServerHandshake, Step, SubprotocolError, SubprotocolPolicy,
};
#[cfg(feature = "url")]
use ws_proto::http::TargetError;
use ws_proto::http::{HeadError, HeaderError, Target};
use ws_proto::{Config, EntropyError, Input, Instant, NoEntropy, Versions};

const BAD: u16 = 400;

fn request() -> ClientRequest {
    ClientRequest::new(target())
}

fn written(request: &ClientRequest) -> String {
    let mut handshake = client(request, &Arc::default());
    let bytes = handshake.take_outgoing(NOW).unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

// A. URIs

#[cfg(feature = "url")]
#[test]
fn a01_only_ws_and_wss_with_their_default_ports() {
    let port = |url| Target::parse(url).map(|t| (t.is_secure(), t.port()));
    assert_eq!(port("ws://a/"), Ok((false, 80)));
    assert_eq!(port("WSS://a/"), Ok((true, 443)));
    assert_eq!(port("ws://a:443/"), Ok((false, 443)));
    for url in ["http://a/", "https://a/", "ftp://a/", "file:///a", "wsx://a/", "ws+unix:/a", "data:,a"] {
        assert_eq!(Target::parse(url), Err(TargetError::Scheme), "{url}");
    }
    for url in ["/chat", "a", "", "//a/b", "a:80", "ws:", "ws://", "ws:///", "ws://a:65536/", "ws://a:x/"] {
        assert!(Target::parse(url).is_err(), "{url}");
    }
    assert_eq!(Target::parse("ws://a:0/"), Err(TargetError::Port));
    let mapped = |url| Target::parse_with_http(url).map(|t| (t.is_secure(), t.port()));
    assert_eq!(
        (mapped("http://a/"), mapped("https://a/"), mapped("ws://a/")),
        (Ok((false, 80)), Ok((true, 443)), Ok((false, 80)))
    );
    assert_eq!(mapped("ftp://a/"), Err(TargetError::Scheme));
}

#[cfg(feature = "url")]
#[test]
fn a02_a_fragment_is_an_error() {
    for url in ["ws://a/#b", "ws://a/#", "ws://a#b", "wss://a/?b#c"] {
        assert_eq!(Target::parse(url), Err(TargetError::Fragment), "{url}");
    }
    assert_eq!(Target::parse("ws://a/%23b").unwrap().resource(), "/%23b");
}

#[cfg(feature = "url")]
#[test]
fn a03_resource_is_path_and_query() {
    for (url, resource) in [
        ("ws://a", "/"),
        ("ws://a/", "/"),
        ("ws://a?b=c", "/?b=c"),
        ("ws://a/b/c?d=e&f", "/b/c?d=e&f"),
        ("ws://a/b?", "/b"),
        ("ws://a/\u{e4} b?\u{e4}", "/%C3%A4%20b?%C3%A4"),
        ("ws://a//b//", "//b//"),
    ] {
        assert_eq!(Target::parse(url).unwrap().resource(), resource, "{url}");
    }
}

#[cfg(feature = "url")]
#[test]
fn a04_user_info_is_not_transmitted() {
    let target = Target::parse("wss://me:secret@example.com/a").unwrap();
    assert_eq!((target.username(), target.password()), (Some("me"), Some("secret")));
    assert_eq!((target.host(), target.to_string().as_str()), ("example.com", "wss://example.com/a"));
    let sent = written(&ClientRequest::new(target.clone()));
    assert!(!sent.contains("secret") && !sent.contains("me:") && !format!("{target:?}").contains("secret"));
}

// B. What the client sends

#[test]
fn b01_method_get_and_http_1_1() {
    assert!(written(&request()).starts_with("GET /chat HTTP/1.1\r\n"));
}

#[test]
fn b02_the_target_is_the_resource() {
    let target = Target::new(true, "a", None, "/b/c?d=e").unwrap();
    assert!(written(&ClientRequest::new(target)).starts_with("GET /b/c?d=e HTTP/1.1\r\n"));
}

#[test]
fn b03_host_with_the_port_only_if_it_is_not_the_default() {
    for (secure, host, port, value) in [
        (false, "example.com", None, "example.com"),
        (false, "example.com", Some(80), "example.com"),
        (true, "example.com", Some(443), "example.com"),
        (true, "example.com", Some(80), "example.com:80"),
        (false, "example.com", Some(443), "example.com:443"),
        (false, "::1", None, "[::1]"),
        (false, "::1", Some(8080), "[::1]:8080"),
        (false, "Example.COM", Some(1), "Example.COM:1"),
    ] {
        let sent = written(&ClientRequest::new(Target::new(secure, host, port, "/").unwrap()));
        assert!(sent.contains(&format!("\r\nHost: {value}\r\n")), "{sent}");
        assert_eq!(sent.matches("Host:").count(), 1);
    }
    let other = request().host("other.example:1").unwrap();
    assert!(written(&other).contains("\r\nHost: other.example:1\r\n"));
}

#[test]
fn b04_b05_upgrade_and_connection() {
    let sent = written(&request());
    assert!(sent.contains("\r\nUpgrade: websocket\r\n") && sent.contains("\r\nConnection: Upgrade\r\n"));
}

#[test]
fn b06_a_fresh_key_of_16_bytes_for_each_attempt() {
    assert!(written(&request()).contains(&format!("\r\nSec-WebSocket-Key: {KEY}\r\n")));
    let (request, config) = (request(), Arc::new(Config::default()));
    let mut keys: Vec<_> = (0..100)
        .map(|i| {
            let mut h = ClientHandshake::new(NOW, &request, Arc::clone(&config), Box::new(Sample(i))).unwrap();
            h.take_outgoing(NOW).unwrap()
        })
        .collect();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 100);
    let failed = ClientHandshake::new(NOW, &request, config, Box::new(NoEntropy));
    assert_eq!(failed.err(), Some(EntropyError));
}

#[test]
fn b07_origin_only_if_asked_for() {
    assert!(!written(&request()).contains("Origin"));
    let sent = written(&request().origin("https://example.com").unwrap());
    assert!(sent.contains("\r\nOrigin: https://example.com\r\n"));
}

#[test]
fn b08_version_13_once() {
    let sent = written(&request());
    assert_eq!(sent.matches("\r\nSec-WebSocket-Version: 13\r\n").count(), 1);
}

#[test]
fn b09_subprotocols_are_distinct_tokens_in_order() {
    let sent = written(&request().subprotocols(["chat", "super.chat", "v1!"]).unwrap());
    assert!(sent.contains("\r\nSec-WebSocket-Protocol: chat, super.chat, v1!\r\n"));
    assert!(!written(&request().subprotocols([""; 0]).unwrap()).contains("Protocol"));
    for bad in ["", "a b", "a,b", "a/b", "\u{e4}", "a\r\n", "\u{7f}", "a:", "\"a\""] {
        assert_eq!(request().subprotocols([bad]).err(), Some(SubprotocolError::Syntax), "{bad}");
    }
    assert_eq!(request().subprotocols(["a", "b", "a"]).err(), Some(SubprotocolError::Repeated));
    assert!(request().subprotocols(["a", "A"]).is_ok());
    let many = |n: usize| request().subprotocols((0..n).map(|i| i.to_string())).err();
    assert_eq!((many(128), many(129)), (None, Some(SubprotocolError::TooMany)));
}

#[test]
fn b10_key_and_version_once_and_no_extensions() {
    let sent = written(&request());
    assert_eq!((sent.matches("Sec-WebSocket-Key").count(), sent.matches("Extensions").count()), (1, 0));
}

#[test]
fn b12_no_frame_before_the_answer_is_validated() {
    let mut handshake = client(&request(), &Arc::default());
    handshake.advance(NOW, usize::MAX);
    assert!(!handshake.wants_write());
    assert!(handshake.into_connection().is_err());
    let bytes = Head::response().bytes();
    for end in 0..bytes.len() {
        let mut handshake = client(&request(), &Arc::default());
        handshake.poll(NOW, &mut Input::new(&mut bytes[..end].to_vec()));
        assert!(handshake.into_connection().is_err());
    }
}

#[test]
fn feature_a34_shape_of_the_request() {
    let request = ClientRequest::new(Target::new(false, "example.com", Some(8080), "/chat?a=b").unwrap())
        .header("Authorization", "Basic YTpi")
        .and_then(|r| r.origin("http://example.com"))
        .and_then(|r| r.header("Cookie", "a=b; c=d"))
        .and_then(|r| r.header("X-Extra", ""))
        .unwrap()
        .subprotocols(["chat", "superchat"])
        .unwrap();
    assert_eq!(
        written(&request),
        "GET /chat?a=b HTTP/1.1\r\nHost: example.com:8080\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nOrigin: http://example.com\r\n\
         Sec-WebSocket-Protocol: chat, superchat\r\nAuthorization: Basic YTpi\r\nCookie: a=b; c=d\r\nX-Extra: \r\n\r\n"
    );
}

// C. What the server checks

#[test]
fn c01_only_get() {
    for method in ["POST", "HEAD", "OPTIONS", "PUT", "DELETE", "CONNECT", "PATCH", "TRACE"] {
        let (error, answer) = refused(&Head::request().first(&format!("{method} /chat HTTP/1.1")));
        assert_eq!((error, status(&answer)), (HandshakeError::Method, 405));
        assert!(answer.contains("\r\nAllow: GET"), "{answer}");
    }
}

#[test]
fn c02_http_1_1() {
    let version = |v: &str| fault(&Head::request().first(&format!("GET /chat HTTP/{v}")));
    assert_eq!(version("1.0"), (HandshakeError::HttpVersion, 505));
    for v in ["0.9", "1.2", "2.0", "3.0"] {
        assert_eq!(version(v), (HandshakeError::Head(HeadError::Version), 505), "{v}");
    }
}

#[test]
fn c03_one_host() {
    assert_eq!(fault(&Head::request().without("host")), (HandshakeError::HostCount, BAD));
    assert_eq!(fault(&Head::request().line("Host: example.com")), (HandshakeError::HostCount, BAD));
    assert_eq!(fault(&Head::request().set("Host:")), (HandshakeError::Host, BAD));
}

#[test]
fn c04_upgrade_has_the_token_websocket() {
    for good in ["websocket", "WebSocket", "WEBSOCKET", "h2c, websocket", " websocket ,"] {
        accepted(&Head::request().set(&format!("Upgrade: {good}")));
    }
    accepted(&Head::request().set("Upgrade: h2c").line("Upgrade: websocket"));
    for bad in ["", "websockets", "web socket", "h2c", "websocket2", "xwebsocket", "\"websocket\""] {
        assert_eq!(fault(&Head::request().set(&format!("Upgrade: {bad}"))), (HandshakeError::Upgrade, BAD), "{bad}");
    }
    assert_eq!(fault(&Head::request().without("upgrade")), (HandshakeError::Upgrade, BAD));
}

#[test]
fn c05_connection_has_the_token_upgrade() {
    for good in ["Upgrade", "upgrade", "keep-alive, Upgrade", "UPGRADE,close", "keep-alive,\tupgrade"] {
        accepted(&Head::request().set(&format!("Connection: {good}")));
    }
    accepted(&Head::request().set("Connection: keep-alive").line("Connection: Upgrade"));
    for bad in ["", "keep-alive", "notupgrade", "upgrade2", "up grade"] {
        let head = Head::request().set(&format!("Connection: {bad}"));
        assert_eq!(fault(&head), (HandshakeError::Connection, BAD), "{bad}");
    }
    assert_eq!(fault(&Head::request().without("connection")), (HandshakeError::Connection, BAD));
}

#[test]
fn c06_key_must_be_16_bytes() {
    assert_eq!(fault(&Head::request().without("sec-websocket-key")), (HandshakeError::KeyMissing, BAD));
    let twice = Head::request().line("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==");
    assert_eq!(fault(&twice), (HandshakeError::KeyRepeated, BAD));
    for bad in
        ["", "dGhlIHNhbXBsZSBub25j", "dGhlIHNhbXBsZSBub25jZWU=", "dGhlIHNhbXBsZSBub25jZWVl", "dGhlIHNhbXBsZSBub25j!Q=="]
    {
        let head = Head::request().set(&format!("Sec-WebSocket-Key: {bad}"));
        assert_eq!(fault(&head), (HandshakeError::KeyInvalid, BAD), "{bad}");
    }
}

#[test]
fn c07_another_version_gets_426_and_the_list() {
    for version in ["12", "14", "0", "99", "255", "256", "013", "+13", "13.0", "abc", "", "13, 8", "8, 13"] {
        let (error, answer) = refused(&Head::request().set(&format!("Sec-WebSocket-Version: {version}")));
        assert_eq!((error, status(&answer)), (HandshakeError::Version, 426), "{version}");
        assert!(answer.contains("\r\nSec-WebSocket-Version: 13\r\n"), "{answer}");
        assert!(answer.contains("\r\nUpgrade: websocket\r\n") && answer.contains("\r\nConnection: close, Upgrade\r\n"));
    }
    for head in [Head::request().without("sec-websocket-version"), Head::request().line("Sec-WebSocket-Version: 13")] {
        assert_eq!(fault(&head), (HandshakeError::Version, 426));
    }
}

#[test]
fn c07_a_version_that_is_switched_off() {
    let mut config = ServerConfig::default();
    config.versions = Versions::NONE;
    let (error, answer) = refused_bytes(config, &Head::request().bytes());
    assert_eq!((error, status(&answer)), (HandshakeError::Version, 426));
    assert!(!answer.contains("Sec-WebSocket-Version"));
}

#[test]
fn c08_origin_may_be_absent() {
    let outcome =
        serve(ServerConfig::default(), &Head::request().bytes(), |h| h.request().unwrap().origin().map(str::to_owned));
    assert_eq!((outcome.step, outcome.detail), (Step::Request, Some(None)));
}

#[test]
fn c09_an_unwelcome_origin_gets_403() {
    let bytes = Head::request().line("Origin: https://evil.example").bytes();
    let outcome = serve(ServerConfig::default(), &bytes, |h| {
        let foreign = h.request().unwrap().origin() != Some("https://example.com");
        foreign && h.respond(NOW, Reply::text(403, "this origin may not\n"))
    });
    assert_eq!((outcome.step, outcome.detail), (Step::Rejected, Some(true)));
    assert_eq!(status(std::str::from_utf8(&outcome.written).unwrap()), 403);
}

#[test]
fn c10_unknown_headers_are_ignored() {
    let head = Head::request().line("X-Unknown: \u{e4}").line("Sec-WebSocket-Unknown: 1").line("!#$%&'*+-.^_`|~0: x");
    accepted(&head);
}

#[test]
fn c11_names_without_case_and_lists_over_lines() {
    let lines = Head::request().lines.into_iter().map(|l| {
        let (name, value) = l.split_once(':').unwrap();
        format!("{}:{value}", name.to_ascii_uppercase())
    });
    let head = Head { first: "GET / HTTP/1.1".into(), lines: lines.collect() };
    accepted(&head);
    let head = head
        .line("SEC-websocket-PROTOCOL: a")
        .line("sec-WebSocket-protocol: b, c")
        .line("sec-websocket-extensions: x, y;z=1")
        .line("sec-websocket-extensions: v");
    let outcome = serve(ServerConfig::default(), &head.bytes(), |h| {
        let request = h.request().unwrap();
        let offered: Vec<_> = request.subprotocols().map(str::to_owned).collect();
        let extensions: Vec<_> = request.extensions().iter().map(ToString::to_string).collect();
        (offered, extensions)
    });
    let list = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
    assert_eq!(outcome.detail, Some((list(&["a", "b", "c"]), list(&["x", "y; z=1", "v"]))));
}

#[test]
fn c12_c14_any_http_answer_instead_of_101() {
    for (reply, status_line) in [
        (Reply::new(404), "HTTP/1.1 404 Not Found\r\n"),
        (
            Reply::text(401, "no").header("WWW-Authenticate", "Basic realm=\"a\"").unwrap(),
            "HTTP/1.1 401 Unauthorized\r\n",
        ),
        (Reply::new(302).header("Location", "/other").unwrap(), "HTTP/1.1 302 Found\r\n"),
        (Reply::new(599), "HTTP/1.1 599 \r\n"),
        (Reply::new(101), "HTTP/1.1 500 Internal Server Error\r\n"),
        (Reply::new(0), "HTTP/1.1 500 Internal Server Error\r\n"),
    ] {
        let answer = respond_with(&Head::request().bytes(), &reply);
        assert!(answer.starts_with(status_line), "{answer}");
        assert_eq!(status(&answer), reply.status());
    }
}

#[test]
fn c13_a_bad_request_is_answered_and_the_connection_closed() {
    let mut handshake = ServerHandshake::new(NOW, ServerConfig::default());
    let mut bytes = Head::request().without("connection").bytes();
    assert_eq!(handshake.poll(NOW, &mut Input::new(&mut bytes)), Step::Rejected);
    assert!(handshake.wants_write() && handshake.wants_read());
    assert_eq!(handshake.wants_shutdown(), None);
    let n = handshake.outgoing().map(<[u8]>::len).sum();
    handshake.advance(NOW, n);
    assert_eq!((handshake.wants_shutdown(), handshake.is_finished()), (Some(Shutdown::Write), false));
    handshake.eof(NOW);
    assert_eq!((handshake.wants_shutdown(), handshake.is_finished()), (Some(Shutdown::Both), true));
    assert!(handshake.into_connection(Box::new(NoEntropy)).is_err());
}

#[test]
fn c15_a_syntax_error_in_extensions_fails() {
    for bad in ["a b", "a;", "a; b=", "a; b=\"c d\"", "=", "a; b=\"c", "\u{e4}"] {
        let head = Head::request().line(&format!("Sec-WebSocket-Extensions: {bad}"));
        assert_eq!(fault(&head), (HandshakeError::ExtensionSyntax, BAD), "{bad}");
    }
    for good in ["", ",", "permessage-deflate; client_max_window_bits", "a;b=\"c\", d", "x-webkit-deflate-frame"] {
        let answer = accepted(&Head::request().line(&format!("Sec-WebSocket-Extensions: {good}")));
        assert!(!answer.contains("Extensions"));
    }
}

#[test]
fn c16_limits_of_size_and_time() {
    let mut config = Config::default();
    config.limits.head = 300;
    let pad = |n: usize| Head::request().line(&format!("X: {}", "a".repeat(n)));
    let room = 300 - pad(0).bytes().len();
    accepted_by(config.clone().into(), &pad(room), Accept::new());
    let (error, answer) = refused_bytes(ServerConfig::from(config.clone()), &pad(room + 1).bytes());
    assert_eq!((error, status(&answer)), (HandshakeError::Head(HeadError::TooLarge(300)), 431));
    let long = Head::request().first(&format!("GET /{} HTTP/1.1", "a".repeat(300)));
    let (error, answer) = refused_bytes(ServerConfig::from(config), &long.bytes());
    assert_eq!((error, status(&answer)), (HandshakeError::Head(HeadError::FirstLineTooLong(300)), 414));

    let mut handshake = ServerHandshake::new(NOW, ServerConfig::default());
    let deadline = handshake.poll_timeout().unwrap();
    assert_eq!(deadline.duration_since(NOW), Duration::from_secs(10));
    handshake.handle_timeout(deadline);
    assert_eq!(handshake.poll(deadline, &mut Input::empty()), Step::Rejected);
    assert_eq!(handshake.error(), Some(&HandshakeError::Timeout));
    assert_eq!(status(std::str::from_utf8(&handshake.take_outgoing(deadline).unwrap()).unwrap()), 408);
}

// D. What the server answers

#[test]
fn d01_d02_d03_d06_d08_the_101() {
    let head = Head::request()
        .set("Host: server.example.com")
        .line("Origin: http://example.com")
        .line("Sec-WebSocket-Protocol: chat, superchat");
    let answer = accepted_by(ServerConfig::default(), &head, Accept::new().subprotocol("superchat"));
    assert_eq!(
        answer,
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {ACCEPT}\r\n\
             Sec-WebSocket-Protocol: superchat\r\n\r\n"
        )
    );
}

#[test]
fn d04_one_subprotocol_of_those_offered_or_none() {
    let chosen = |policy: SubprotocolPolicy, offer: Option<&str>| {
        let mut config = ServerConfig::default();
        config.subprotocols = policy;
        let mut head = Head::request();
        if let Some(offer) = offer {
            head = head.line(&format!("Sec-WebSocket-Protocol: {offer}"));
        }
        let answer = accepted_by(config, &head, Accept::new());
        answer.split("Sec-WebSocket-Protocol: ").nth(1).map(|rest| rest.split("\r\n").next().unwrap().to_owned())
    };
    let client = |names: &[&str]| SubprotocolPolicy::client_order(names.iter().copied()).unwrap();
    let server = |names: &[&str]| SubprotocolPolicy::server_order(names.iter().copied()).unwrap();
    assert_eq!(chosen(SubprotocolPolicy::none(), Some("x, y")), None); // A-24
    assert_eq!(chosen(client(&["q", "r"]), None), None); // A-25
    assert_eq!(chosen(client(&["a", "b", "c"]), Some("b, a")).as_deref(), Some("b")); // A-26
    assert_eq!(chosen(server(&["a", "b", "c"]), Some("b, a")).as_deref(), Some("a"));
    assert_eq!(chosen(client(&["a", "b", "c"]), Some("z")), None); // A-27
    assert_eq!(chosen(client(&["Chat"]), Some("chat")), None);
    assert_eq!(chosen(client(&["a"]).required(), Some("z, a")).as_deref(), Some("a"));
}

#[test]
fn d04_a_required_subprotocol() {
    let mut config = ServerConfig::default();
    config.subprotocols = SubprotocolPolicy::server_order(["a"]).unwrap().required();
    let config = Arc::new(config);
    for head in [Head::request(), Head::request().line("Sec-WebSocket-Protocol: z")] {
        let (error, answer) = refused_bytes(Arc::clone(&config), &head.bytes());
        assert_eq!((error, status(&answer)), (HandshakeError::SubprotocolRequired, BAD));
    }
}

#[test]
fn d04_the_application_chooses() {
    let bytes = Head::request().line("Sec-WebSocket-Protocol: a, b").bytes();
    let accept = |accept: Accept| serve(ServerConfig::default(), &bytes, |h| h.accept(NOW, accept.clone()));
    let outcome = accept(Accept::new().subprotocol("c"));
    assert_eq!((outcome.step, outcome.detail), (Step::Request, Some(Err(AcceptError::SubprotocolNotOffered))));
    assert_eq!(accept(Accept::new().subprotocol("A")).detail, Some(Err(AcceptError::SubprotocolNotOffered)));
    let outcome = accept(Accept::new().subprotocol("b"));
    assert!(std::str::from_utf8(&outcome.written).unwrap().contains("\r\nSec-WebSocket-Protocol: b\r\n"));

    let mut config = ServerConfig::default();
    config.subprotocols = SubprotocolPolicy::client_order(["a"]).unwrap();
    let head = Head::request().line("Sec-WebSocket-Protocol: a, b");
    assert!(!accepted_by(config.clone(), &head, Accept::new().no_subprotocol()).contains("Protocol:"));
    assert!(accepted_by(config, &head, Accept::new().subprotocol("b")).contains("Protocol: b\r\n"));
}

#[test]
fn d04_negotiated_tells_the_subprotocol() {
    let mut handshake = ServerHandshake::new(NOW, ServerConfig::default());
    let mut bytes = Head::request().line("Sec-WebSocket-Protocol: a").bytes();
    handshake.poll(NOW, &mut Input::new(&mut bytes));
    handshake.accept(NOW, Accept::new().subprotocol("a")).unwrap();
    let (connection, request) = handshake.into_parts(Box::new(NoEntropy)).unwrap();
    assert_eq!(connection.negotiated().subprotocol.as_deref(), Some("a"));
    assert_eq!(request.path(), "/chat");
}

#[test]
fn d05_n05_no_extension_is_answered() {
    let answer = accepted(&Head::request().line("Sec-WebSocket-Extensions: permessage-deflate"));
    assert!(!answer.contains("Extensions"));
}

#[test]
fn d07_frames_follow_at_once() {
    let mut bytes = Head::request().bytes();
    bytes.extend_from_slice(b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58\x89\x80\0\0\0\0");
    let outcome = serve(ServerConfig::default(), &bytes, |h| h.accept(NOW, Accept::new()));
    assert_eq!((outcome.step, outcome.events[0].as_str(), outcome.events.len()), (Step::Done, "text Hello", 2));
    assert!(outcome.written.ends_with(b"\r\n\r\n\x8a\x00"), "{}", outcome.written.escape_ascii());
}

// E. What the client checks

#[test]
fn e01_another_status_is_reported_as_http() {
    for (first, error) in [
        ("HTTP/1.1 200 OK", 200),
        ("HTTP/1.1 401 Unauthorized", 401),
        ("HTTP/1.1 302 Found", 302),
        ("HTTP/1.1 426 Upgrade Required", 426),
        ("HTTP/1.0 503 x", 503),
        ("HTTP/1.1 999 x", 999),
    ] {
        let mut bytes = Head::response().first(first).line("Content-Length: 4").bytes();
        bytes.extend_from_slice(b"body behind");
        let outcome = answer(&request(), Config::default(), &bytes, false);
        assert_eq!((outcome.step, outcome.error), (ClientStep::Refused, Some(HandshakeError::Status(error))));
        assert_eq!(outcome.detail, Some((error, b"body".to_vec(), true)));
    }
    let bytes =
        b"HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 8, 7\r\nDate: Tue, 15 Nov 1994 08:12:31 GMT\r\n\r\n";
    let mut handshake = client(&request(), &Arc::default());
    handshake.poll(NOW, &mut Input::new(&mut bytes.to_vec()));
    handshake.eof(NOW);
    assert_eq!(handshake.poll(NOW, &mut Input::empty()), ClientStep::Refused);
    let response = handshake.into_response().unwrap();
    let versions: Vec<_> = response.headers().tokens("sec-websocket-version").collect();
    assert_eq!(versions, [b"8", b"7"]);
    // A-32: colons in a value.
    assert_eq!(
        (response.header("date"), response.reason()),
        (Some("Tue, 15 Nov 1994 08:12:31 GMT"), "Upgrade Required")
    );
}

#[test]
fn e02_upgrade_must_be_websocket() {
    right(&request(), &Head::response().set("Upgrade: WebSocket"));
    assert_eq!(wrong(&request(), &Head::response().without("upgrade")), HandshakeError::Upgrade);
    for bad in ["", "websocket, h2c", "websockets", "h2c"] {
        assert_eq!(wrong(&request(), &Head::response().set(&format!("Upgrade: {bad}"))), HandshakeError::Upgrade);
    }
}

#[test]
fn e03_connection_must_have_upgrade() {
    right(&request(), &Head::response().set("Connection: keep-alive, UPGRADE"));
    assert_eq!(wrong(&request(), &Head::response().without("connection")), HandshakeError::Connection);
    assert_eq!(wrong(&request(), &Head::response().set("Connection: close")), HandshakeError::Connection);
}

#[test]
fn e04_accept_must_fit_the_key() {
    right(&request(), &Head::response().set(&format!("Sec-WebSocket-Accept: \t {ACCEPT} \t")));
    assert_eq!(wrong(&request(), &Head::response().without("sec-websocket-accept")), HandshakeError::AcceptMissing);
    for bad in ["", "S3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo==", KEY]
    {
        let head = Head::response().set(&format!("Sec-WebSocket-Accept: {bad}"));
        assert_eq!(wrong(&request(), &head), HandshakeError::AcceptWrong, "{bad}");
    }
}

#[test]
fn e05_an_extension_that_was_not_offered() {
    for value in ["permessage-deflate", "x; y=1"] {
        let head = Head::response().line(&format!("Sec-WebSocket-Extensions: {value}"));
        assert_eq!(wrong(&request(), &head), HandshakeError::ExtensionNotOffered);
    }
    right(&request(), &Head::response().line("Sec-WebSocket-Extensions:"));
}

#[test]
fn e06_a_subprotocol_that_was_not_offered() {
    let asked = request().subprotocols(["chat", "superchat"]).unwrap();
    right(&asked, &Head::response().line("Sec-WebSocket-Protocol: superchat"));
    for bad in ["other", "Chat", "chat, superchat", "", "\u{e4}"] {
        let head = Head::response().line(&format!("Sec-WebSocket-Protocol: {bad}"));
        assert_eq!(wrong(&asked, &head), HandshakeError::SubprotocolNotOffered, "{bad}");
        assert_eq!(wrong(&request(), &head), HandshakeError::SubprotocolNotOffered);
    }
    let twice = Head::response().line("Sec-WebSocket-Protocol: chat").line("Sec-WebSocket-Protocol: chat");
    assert_eq!(wrong(&asked, &twice), HandshakeError::SubprotocolRepeated);
}

#[test]
fn e07_no_subprotocol_although_offered() {
    let asked = request().subprotocols(["chat"]).unwrap();
    right(&asked, &Head::response());
    assert_eq!(wrong(&asked.require_subprotocol(), &Head::response()), HandshakeError::SubprotocolRequired);
}

#[test]
fn e08_a_malformed_extension_list() {
    let head = Head::response().line("Sec-WebSocket-Extensions: a;;");
    assert_eq!(wrong(&request(), &head), HandshakeError::ExtensionSyntax);
}

#[test]
fn e09_failing_closes_and_sends_nothing() {
    let mut handshake = client(&request(), &Arc::default());
    let mut bytes = Head::response().without("upgrade").bytes();
    assert_eq!(handshake.poll(NOW, &mut Input::new(&mut bytes)), ClientStep::Failed);
    assert_eq!((handshake.wants_write(), handshake.wants_shutdown()), (false, Some(Shutdown::Both)));
    assert!(handshake.into_connection().is_err());
}

#[test]
fn e10_e11_frames_behind_the_answer_at_every_split() {
    let mut bytes = Head::response().bytes();
    bytes.extend_from_slice(b"\x81\x05Hello\x82\x00");
    let outcome = answer(&request(), Config::default(), &bytes, false);
    assert_eq!((outcome.step, outcome.events), (ClientStep::Done, vec!["text Hello".to_owned(), "binary 0".into()]));

    let mut config = Config::default();
    config.limits.head = 200;
    let long = Head::response().line(&format!("X: {}", "a".repeat(200)));
    let outcome = answer(&request(), config, &long.bytes(), false);
    assert_eq!(outcome.error, Some(HandshakeError::Head(HeadError::TooLarge(200))));
}

#[test]
fn e12_repeated_upgrade_or_accept() {
    let head = Head::response().line("Upgrade: websocket");
    assert_eq!(wrong(&request(), &head), HandshakeError::UpgradeRepeated);
    let head = Head::response().line(&format!("Sec-WebSocket-Accept: {ACCEPT}"));
    assert_eq!(wrong(&request(), &head), HandshakeError::AcceptRepeated);
}

#[test]
fn feature_a31_each_wrong_answer_has_its_own_error() {
    let asked = request().subprotocols(["chat"]).unwrap().require_subprotocol();
    let good = || Head::response().line("Sec-WebSocket-Protocol: chat");
    right(&asked, &good());
    let mut errors = vec![
        wrong(&asked, &good().without("sec-websocket-accept")),
        wrong(&asked, &good().set("Sec-WebSocket-Accept: x")),
        wrong(&asked, &good().first("HTTP/1.0 101 x")),
        wrong(&asked, &good().without("upgrade")),
        wrong(&asked, &good().set("Sec-WebSocket-Protocol: other")),
        wrong(&asked, &Head::response()),
        wrong(&asked, &good().line("Sec-WebSocket-Extensions: a")),
        wrong(&asked, &good().line("Sec-WebSocket-Version: 12")),
    ];
    right(&asked, &good().line("Sec-WebSocket-Version: 13"));
    let refusal = answer(&asked, Config::default(), &good().first("HTTP/1.1 200 OK").bytes(), true);
    errors.extend(refusal.error);
    let texts: std::collections::BTreeSet<_> = errors.iter().map(ToString::to_string).collect();
    assert_eq!((texts.len(), errors.len()), (9, 9), "{texts:?}");
}

// Features of the source libraries that are no row of the RFC

#[test]
fn feature_a05_a14_a15_a16_incomplete_and_unrelated_requests() {
    let step = |bytes: &[u8]| {
        let mut h = ServerHandshake::new(NOW, ServerConfig::default());
        h.poll(NOW, &mut Input::new(&mut bytes.to_vec()))
    };
    assert_eq!((step(b""), step(b"GET / HTTP/1.1\r\nHos")), (Step::NeedInput, Step::NeedInput));
    let (error, answer) = refused_bytes(ServerConfig::default(), b"GET / HTTP/1.1\r\n\r\n");
    assert_eq!((error, status(&answer)), (HandshakeError::HostCount, BAD));
    let (error, _) = refused_bytes(ServerConfig::default(), b"GET / HTTP/1.1\r\nX: y\r\n\r\n");
    assert_eq!(error, HandshakeError::HostCount);
}

#[test]
fn feature_a17_a18_a19_a22_headers_are_readable() {
    let head = Head::request().line("Custom:  b  c ").line("Cookie: ").line("User-Agent:");
    let outcome = serve(ServerConfig::default(), &head.bytes(), |h| {
        let r = h.request().unwrap();
        let header = |name: &str| r.header(name).map(str::to_owned);
        assert_eq!((r.method(), r.target(), r.path(), r.query()), ("GET", "/chat", "/chat", None));
        assert_eq!(r.headers().len(), 8);
        [header("custom"), header("COOKIE"), header("user-agent"), header("CONNectiON"), header("none")]
    });
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(outcome.detail, Some([some("b  c"), some(""), some(""), some("Upgrade"), None]));
}

#[test]
fn feature_a20_a21_cookies_and_the_old_origin() {
    let head =
        Head::request().line("Cookie: chocolate=tasty; cabbage=not so much").line("Sec-WebSocket-Origin: http://a");
    let outcome = serve(ServerConfig::default(), &head.bytes(), |h| {
        let r = h.request().unwrap();
        assert_eq!((r.cookie("cabbage"), r.cookie("none"), r.cookies().count()), (Some("not so much"), None, 2));
        r.origin().map(str::to_owned)
    });
    assert_eq!(outcome.detail, Some(Some("http://a".into())));
}

#[cfg(feature = "legacy")]
#[test]
fn of_two_origins_the_one_of_the_version_counts() {
    for (version, wanted) in [("13", "http://new"), ("8", "http://old"), ("4", "http://old")] {
        let head = Head::request().set(&format!("Sec-WebSocket-Version: {version}"));
        let head = head.line("Origin: http://new").line("Sec-WebSocket-Origin: http://old");
        let mut config = ServerConfig::default();
        config.versions = ws_proto::Versions::ALL;
        let outcome = serve(config, &head.bytes(), |h| h.request().unwrap().origin().map(str::to_owned));
        assert_eq!(outcome.detail, Some(Some(wanted.into())), "{version}");
    }
}

#[test]
fn feature_a29_each_wrong_request_has_its_own_error() {
    let errors = [
        fault(&Head::request().first("POST / HTTP/1.1")),
        fault(&Head::request().first("GET / HTTP/1.0")),
        fault(&Head::request().without("sec-websocket-key")),
        fault(&Head::request().set("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j")),
        fault(&Head::request().line(&format!("Sec-WebSocket-Key: {KEY}"))),
        fault(&Head::request().without("host")),
        fault(&Head::request().without("sec-websocket-version")),
    ];
    let texts: std::collections::BTreeSet<_> = errors.iter().map(|(e, _)| e.to_string()).collect();
    assert_eq!(texts.len(), errors.len());
}

#[test]
fn feature_a37_builders_refuse_injection() {
    for value in ["a\r\nb: c", "a\n", "\r", "\0", "\u{1b}"] {
        assert_eq!(request().header("X", value).err(), Some(HeaderError::Value("X".into())));
        assert!(request().origin(value).is_err() && request().host(value).is_err());
    }
    for name in ["Sec-WebSocket-Key", "sec-websocket-foo", "Host", "Origin", "Connection", "Upgrade", "Content-Length"]
    {
        assert_eq!(request().header(name, "x").err(), Some(HeaderError::Reserved(name.into())));
    }
    assert_eq!(request().header("a b", "x").err(), Some(HeaderError::Name("a b".into())));
}

#[test]
fn feature_a38_a_silent_server_is_left_at_the_deadline() {
    let mut handshake = client(&request(), &Arc::default());
    let deadline = handshake.poll_timeout().unwrap();
    handshake.poll(NOW, &mut Input::new(&mut b"HTTP/1.1 1".to_vec()));
    assert_eq!(handshake.poll_timeout(), Some(deadline));
    handshake.handle_timeout(deadline);
    assert_eq!(handshake.poll(deadline, &mut Input::empty()), ClientStep::Failed);
    assert_eq!(handshake.error(), Some(&HandshakeError::Timeout));
}

#[test]
fn feature_a40_headers_in_the_101_reach_the_client() {
    let mut server = ServerHandshake::new(NOW, ServerConfig::default());
    let mut client = client(&request().header("RequestForID", "7").unwrap(), &Arc::default());
    let mut bytes = client.take_outgoing(NOW).unwrap().to_vec();
    assert_eq!(server.poll(NOW, &mut Input::new(&mut bytes)), Step::Request);
    let id = server.request().unwrap().header("requestforid").unwrap().to_owned();
    let accept = Accept::new().header("ID", &id).and_then(|a| a.header("Set-Cookie", "a=b")).unwrap();
    server.accept(NOW, accept.header("Set-Cookie", "c=d").unwrap()).unwrap();
    assert_eq!(server.poll(NOW, &mut Input::empty()), Step::Done);
    let mut bytes = server.take_outgoing(NOW).unwrap().to_vec();
    assert_eq!(client.poll(NOW, &mut Input::new(&mut bytes)), ClientStep::Done);
    let (connection, response) = client.into_connection().unwrap();
    assert_eq!((response.header("id"), response.headers().get_all("set-cookie").count()), (Some("7"), 2));
    assert!(!connection.wants_write());
}

#[test]
fn plain_http_is_reported_as_such() {
    let page = Reply::new(200).body("text/html", "<p>hi").unwrap();
    let answer = respond_with(b"GET /index.html?x=1%202 HTTP/1.1\r\nHost: a\r\n\r\n", &page);
    assert_eq!(
        answer,
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/html\r\nContent-Length: 5\r\n\r\n<p>hi"
    );
    let answer = respond_with(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", &page);
    assert!(answer.ends_with("\r\nContent-Length: 5\r\n\r\n"));
    assert!(respond_with(b"GET / HTTP/1.0\r\n\r\n", &page).ends_with("<p>hi"));
    let answer = respond_with(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", &Reply::new(204));
    assert_eq!(answer, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
    let outcome =
        serve(ServerConfig::default(), b"GET /a?x=1%202&y HTTP/1.1\r\nHost: a:1\r\nUpgrade: h2c\r\n\r\n", |h| {
            let request = h.request().unwrap();
            assert!(!request.is_websocket() && request.websocket().is_none());
            assert_eq!(request.host().unwrap().port(), Some(1));
            let pairs: Vec<_> = request.query_pairs().map(|(n, v)| format!("{n}={v}")).collect();
            assert_eq!((request.path(), pairs), ("/a", vec!["x=1 2".to_owned(), "y=".into()]));
            h.accept(NOW, Accept::new())
        });
    assert_eq!(outcome.detail, Some(Err(AcceptError::NotWebSocket)));
    let (error, answer) = refused_bytes(ServerConfig::default(), b"POST / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((error, status(&answer)), (HandshakeError::Method, 405));
}

#[test]
fn any_order_of_calls_is_legal() {
    let mut h = ServerHandshake::new(NOW, ServerConfig::default());
    assert_eq!(h.accept(NOW, Accept::new()), Err(AcceptError::NotReady));
    assert!(!h.respond(NOW, Reply::new(200)) && h.take_outgoing(NOW).is_none());
    h.advance(NOW, 99);
    let mut bytes = Head::request().bytes();
    assert_eq!(h.poll(NOW, &mut Input::new(&mut bytes)), Step::Request);
    assert!(!h.wants_read() && !h.wants_write());
    assert_eq!(h.poll(NOW, &mut Input::empty()), Step::Request);
    assert!(h.respond(NOW, Reply::new(404)) && !h.respond(NOW, Reply::new(404)));
    assert_eq!(h.accept(NOW, Accept::new()), Err(AcceptError::NotReady));
    h.advance(NOW, usize::MAX);
    assert_eq!((h.wants_shutdown(), h.request().unwrap().path()), (Some(Shutdown::Write), "/chat"));
    h.transport_failed(NOW);
    assert!(h.is_finished() && h.poll_timeout().is_none());
    assert_eq!(h.poll(Instant::MAX, &mut Input::new(&mut bytes)), Step::Rejected);
}

#[test]
fn the_101_moves_into_the_connection_half_written() {
    let mut h = ServerHandshake::new(NOW, ServerConfig::default());
    let mut bytes = Head::request().bytes();
    h.poll(NOW, &mut Input::new(&mut bytes));
    h.accept(NOW, Accept::new()).unwrap();
    assert!(h.poll_timeout().is_some(), "a peer that reads nothing of the 101 is left");
    h.advance(NOW, 50);
    let rest: Vec<u8> = h.outgoing().flatten().copied().collect();
    let conn = h.into_connection(Box::new(NoEntropy)).unwrap();
    assert_eq!(conn.outgoing().flatten().copied().collect::<Vec<_>>(), rest);
}
