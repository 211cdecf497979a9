//! Handshakes on requests that an HTTP library has read: judged and answered as if they had come as bytes.

mod handshake_support;

use std::sync::Arc;

use ::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version as HttpVersion};
use bytes::Bytes;
use handshake_support::*;
use ws_proto::connection::Negotiated;
use ws_proto::handshake::{
    Accept, AcceptError, ClientRequest, HandshakeError, ParsedHandshake, Reply, RequestError, ServerConfig,
    ServerHandshake, Step, SubprotocolError, SubprotocolPolicy,
};
use ws_proto::http::{HeadError, HeaderError, Headers, Target, TargetError};
use ws_proto::{Config, Input, NoEntropy, Version, Versions, bytes};

/// The request as an HTTP library gives it; `None` if it is not one for the types.
fn parsed(head: &Head) -> Option<::http::Request<()>> {
    let mut parts = head.first.split(' ');
    let mut request = ::http::Request::new(());
    *request.method_mut() = Method::from_bytes(parts.next()?.as_bytes()).ok()?;
    *request.uri_mut() = Uri::try_from(parts.next()?).ok()?;
    *request.version_mut() = match parts.next()? {
        "HTTP/1.0" => HttpVersion::HTTP_10,
        "HTTP/1.1" => HttpVersion::HTTP_11,
        "HTTP/2.0" => HttpVersion::HTTP_2,
        "HTTP/3.0" => HttpVersion::HTTP_3,
        _ => return None,
    };
    for line in &head.lines {
        let (name, value) = line.split_once(':')?;
        let value = HeaderValue::from_bytes(value.trim_matches([' ', '\t']).as_bytes()).ok()?;
        request.headers_mut().append(HeaderName::from_bytes(name.as_bytes()).ok()?, value);
    }
    Some(request)
}

fn request(head: &Head) -> ::http::Request<()> {
    parsed(head).unwrap_or_else(|| panic!("a request for the types: {} {:?}", head.first, head.lines))
}

/// What a server makes of a request: the fault, the answer in parts, what was agreed.
#[derive(Debug, PartialEq, Eq)]
struct Verdict {
    error: Option<HandshakeError>,
    status: u16,
    lines: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    negotiated: Option<Negotiated>,
}

impl Verdict {
    fn new(error: Option<HandshakeError>, response: ::http::Response<Bytes>, negotiated: Option<Negotiated>) -> Self {
        let mut lines: Vec<_> =
            response.headers().iter().map(|(n, v)| (n.as_str().to_owned(), v.as_bytes().to_vec())).collect();
        lines.sort();
        Self { error, status: response.status().as_u16(), lines, body: response.into_body().to_vec(), negotiated }
    }
}

/// Accepts WebSockets, answers everything else with a page.
fn of_parts(config: &Arc<ServerConfig>, request: &::http::Request<()>, accept: &Accept) -> Verdict {
    match ParsedHandshake::new(request, Arc::clone(config)) {
        Ok(handshake) if handshake.request().is_websocket() => {
            let (response, negotiated) = handshake.accept(accept.clone()).unwrap();
            Verdict::new(None, response.map(|()| Bytes::new()), Some(negotiated))
        }
        Ok(handshake) => Verdict::new(None, handshake.reject(Reply::text(200, "page\n")), None),
        Err(refusal) => Verdict::new(Some(refusal.error()), refusal.into_response(), None),
    }
}

fn of_bytes(config: &Arc<ServerConfig>, bytes: &[u8], accept: &Accept) -> Verdict {
    let mut handshake = ServerHandshake::new(NOW, Arc::clone(config));
    if handshake.poll(NOW, &mut Input::new(&mut bytes.to_vec())) == Step::Request {
        match handshake.request().unwrap().is_websocket() {
            true => handshake.accept(NOW, accept.clone()).unwrap(),
            false => assert!(handshake.respond(NOW, Reply::text(200, "page\n"))),
        }
    }
    let error = handshake.error().copied();
    let written = handshake.outgoing().collect::<Vec<_>>().concat();
    let end = written.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
    let (head, body) = written.split_at(end);
    let head = std::str::from_utf8(head).unwrap();
    let mut response = ::http::Response::new(Bytes::copy_from_slice(body));
    *response.status_mut() = head[9..12].parse().unwrap();
    for line in head.trim_end().split("\r\n").skip(1) {
        let (name, value) = line.split_once(": ").unwrap();
        response.headers_mut().append(HeaderName::try_from(name).unwrap(), value.try_into().unwrap());
    }
    let negotiated = handshake.into_connection(Box::new(NoEntropy)).ok().map(|c| c.negotiated().clone());
    Verdict::new(error, response, negotiated)
}

/// Both ways lead to the same verdict.
fn verdict(config: impl Into<Arc<ServerConfig>>, head: &Head, accept: Accept) -> Verdict {
    let config = config.into();
    // What is fresh in each answer is given here.
    let accept = accept.nonce([7; 16]);
    let parsed = of_parts(&config, &request(head), &accept);
    let mut bytes = of_bytes(&config, &head.bytes(), &accept);
    if head.first.starts_with("HEAD ") {
        // Behind a refused head it does not matter there: the connection is closed.
        bytes.body.clear();
    }
    assert_eq!(parsed, bytes, "{} {:?}", head.first, head.lines);
    parsed
}

fn fault_of(head: &Head) -> (HandshakeError, u16) {
    let verdict = verdict(ServerConfig::default(), head, Accept::new());
    (verdict.error.expect("a refusal"), verdict.status)
}

fn value<'v>(verdict: &'v Verdict, name: &str) -> Option<&'v str> {
    verdict.lines.iter().find(|(n, _)| n == name).map(|(_, v)| std::str::from_utf8(v).unwrap())
}

fn all_versions() -> ServerConfig {
    let mut config = ServerConfig::default();
    config.versions = Versions::ALL;
    config
}

#[test]
fn accepts_as_the_bytes_would_be() {
    let accept = Accept::new().header("Set-Cookie", "a=b").unwrap().header("Set-Cookie", "c=d").unwrap();
    let verdict = verdict(ServerConfig::default(), &Head::request(), accept);
    assert_eq!((verdict.status, verdict.negotiated.clone()), (101, Some(Negotiated::new(Version::Rfc6455))));
    assert_eq!(value(&verdict, "sec-websocket-accept"), Some(ACCEPT));
    let names: Vec<_> = verdict.lines.iter().map(|(n, _)| &**n).collect();
    assert_eq!(names, ["connection", "sec-websocket-accept", "set-cookie", "set-cookie", "upgrade"]);
}

#[test]
fn versions_with_a_head_alone_are_served() {
    for (number, version) in [
        (4, Version::Hybi04),
        (5, Version::Hybi05),
        (6, Version::Hybi06),
        (7, Version::Hybi07),
        (8, Version::Hybi08),
        (13, Version::Rfc6455),
    ] {
        let head = Head::request()
            .set(&format!("Sec-WebSocket-Version: {number}"))
            .line("Sec-WebSocket-Origin: http://example.com");
        let accepted = verdict(all_versions(), &head, Accept::new());
        assert_eq!(accepted.negotiated.map(|n| n.version), Some(version));
        if version != Version::Rfc6455 {
            assert_eq!(fault_of(&head), (HandshakeError::Version, 426), "not asked for");
        }
    }
}

#[test]
fn older_versions_need_the_bytes() {
    let hixie75 =
        Head::request().without("Sec-WebSocket-Key").without("Sec-WebSocket-Version").line("Origin: http://a");
    let hixie76 =
        hixie75.clone().line("Sec-WebSocket-Key1: 4 @1  46546xW%0l 1 5").line("Sec-WebSocket-Key2: 12998 5 Y3 1  .P00");
    let hybi02 = hixie76.clone().line("Sec-WebSocket-Draft: 2");
    for head in [hixie75, hixie76, hybi02] {
        let refusal = ParsedHandshake::new(&request(&head), all_versions()).unwrap_err();
        assert_eq!(refusal.error(), HandshakeError::VersionNeedsBytes);
        let response = refusal.into_response();
        assert_eq!(response.status(), 426);
        assert_eq!(response.headers()["sec-websocket-version"], "13, 8, 7, 6, 5, 4");
        assert_eq!(response.headers()["upgrade"], "websocket");
        // Where they are not served, they are refused as on any server.
        assert_eq!(fault_of(&head), (HandshakeError::Version, 426));
    }
}

#[test]
fn faults_have_the_status_that_bytes_have() {
    use HandshakeError::{
        Connection, ExtensionSyntax, Head as Wrong, Host, HostCount, HttpVersion, KeyInvalid, KeyMissing, KeyRepeated,
        Method, Origin, RequestBody, RequestTarget, SubprotocolRepeated, SubprotocolSyntax, Upgrade, Version,
    };
    let head = Head::request;
    for (head, error, status) in [
        (head().first("POST /chat HTTP/1.1"), Method, 405),
        (head().first("HEAD /chat HTTP/1.1"), Method, 405),
        (head().first("PUT /chat HTTP/1.1").without("Upgrade").without("Sec-WebSocket-Key"), Method, 405),
        (head().first("GET /chat HTTP/1.0"), HttpVersion, 505),
        (head().first("GET /chat HTTP/2.0"), Wrong(HeadError::Version), 505),
        (head().first("GET http://other.example/chat HTTP/1.1"), RequestTarget, 400),
        (head().first("GET * HTTP/1.1"), RequestTarget, 400),
        (head().without("Host"), HostCount, 400),
        (head().line("Host: example.com"), HostCount, 400),
        (head().set("Host: a/b"), Host, 400),
        (head().set("Host: \u{e4}"), Host, 400),
        (head().without("Upgrade"), Upgrade, 400),
        (head().set("Upgrade: websockets"), Upgrade, 400),
        (head().without("Connection"), Connection, 400),
        (head().set("Connection: keep-alive"), Connection, 400),
        (head().set("Connection: notupgrade"), Connection, 400),
        (head().line("Content-Length: 5"), RequestBody, 400),
        (head().line("Transfer-Encoding: chunked"), RequestBody, 400),
        (head().without("Sec-WebSocket-Version"), Version, 426),
        (head().set("Sec-WebSocket-Version: 14"), Version, 426),
        (head().line("Sec-WebSocket-Version: 13"), Version, 426),
        (head().without("Sec-WebSocket-Key"), KeyMissing, 400),
        (head().line("Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA=="), KeyRepeated, 400),
        (head().line("sec-websocket-KEY: dGhlIHNhbXBsZSBub25jZQ=="), KeyRepeated, 400),
        (head().set("Sec-WebSocket-Key: short"), KeyInvalid, 400),
        (head().set("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZ\u{e4}=="), KeyInvalid, 400),
        (head().line("Origin: http://\u{e4}"), Origin, 400),
        (head().line("Origin: http://a").line("Origin: http://a"), Origin, 400),
        (head().line("Sec-WebSocket-Protocol: a b"), SubprotocolSyntax, 400),
        (head().line("Sec-WebSocket-Protocol: \u{e4}"), SubprotocolSyntax, 400),
        (head().line("Sec-WebSocket-Protocol: a").line("Sec-WebSocket-Protocol: a"), SubprotocolRepeated, 400),
        (head().line("Sec-WebSocket-Extensions: a; ="), ExtensionSyntax, 400),
    ] {
        assert_eq!(fault_of(&head), (error, status), "{} {:?}", head.first, head.lines);
    }
}

#[test]
fn http_2_and_3_are_refused_whatever_they_ask() {
    for version in ["HTTP/2.0", "HTTP/3.0"] {
        let plain = Head { first: String::new(), lines: vec!["Host: a".into()] };
        for (head, meant) in [(Head::request(), true), (plain, false)] {
            let request = request(&head.first(&format!("GET / {version}")));
            let refusal = ParsedHandshake::new(&request, ServerConfig::default()).unwrap_err();
            assert_eq!(refusal.is_for_websocket(), meant);
            assert_eq!(refusal.error(), HandshakeError::Head(HeadError::Version));
            assert_eq!(refusal.into_response().status(), 505);
        }
    }
    // The WebSocket of HTTP/2 (RFC 8441).
    let mut request = ::http::Request::new(());
    *request.method_mut() = Method::CONNECT;
    *request.uri_mut() = Uri::from_static("https://example.com/chat");
    *request.version_mut() = HttpVersion::HTTP_2;
    let refusal = ParsedHandshake::new(&request, ServerConfig::default()).unwrap_err();
    assert_eq!((refusal.error(), refusal.reply().status()), (HandshakeError::Head(HeadError::Version), 505));
}

#[test]
fn limits_count_as_for_bytes() {
    let exact = Head::request().line("X: y");
    let (bytes, lines) = (exact.bytes().len(), exact.lines.len());
    for (limit_bytes, limit_lines, status) in
        [(bytes, lines, 101), (bytes - 1, lines, 431), (bytes, lines - 1, 431), (10, lines, 414), (0, 0, 414)]
    {
        let mut config = Config::default();
        config.limits.head = limit_bytes;
        config.limits.header_lines = limit_lines;
        assert_eq!(verdict(ServerConfig::from(config), &exact, Accept::new()).status, status);
    }
}

#[test]
fn values_that_are_not_text_pass_where_nobody_looks() {
    let mut request = request(&Head::request());
    request.headers_mut().append("x-name", HeaderValue::from_bytes(b"\xff\xe4").unwrap());
    let handshake = ParsedHandshake::new(&request, ServerConfig::default()).unwrap();
    assert_eq!(handshake.request().headers().get_bytes("X-Name"), Some(&b"\xff\xe4"[..]));
    assert_eq!(handshake.request().header("x-name"), None);
    assert_eq!(::http::Request::try_from(handshake.request()).unwrap().headers(), request.headers());
}

#[test]
fn a_target_is_judged_as_it_stands() {
    // The type lets bytes above ASCII pass.
    let mut request = request(&Head::request());
    if let Ok(uri) = Uri::try_from("/\u{e4}".as_bytes()) {
        *request.uri_mut() = uri;
        let refusal = ParsedHandshake::new(&request, ServerConfig::default()).unwrap_err();
        assert_eq!(refusal.error(), HandshakeError::Head(HeadError::FirstLine));
    }
    for first in ["GET /a/../b%2f?c=d&e HTTP/1.1", "GET http://example.com/chat?x HTTP/1.1", "GET // HTTP/1.1"] {
        let head = Head::request().first(first);
        assert_eq!(verdict(ServerConfig::default(), &head, Accept::new()).status, 101, "{first}");
    }
}

#[test]
fn the_request_can_be_asked() {
    let head = Head::request()
        .first("GET /chat?room=1 HTTP/1.1")
        .line("Origin: https://example.com")
        .line("Cookie: a=b; c=d")
        .line("Sec-WebSocket-Protocol: chat, superchat");
    let (parts, ()) = request(&head).into_parts();
    let handshake = ParsedHandshake::from_parts(&parts, ServerConfig::default()).unwrap();
    let request = handshake.request();
    assert_eq!((request.method(), request.path(), request.query()), ("GET", "/chat", Some("room=1")));
    assert_eq!((request.origin(), request.cookie("c")), (Some("https://example.com"), Some("d")));
    assert_eq!(request.host().map(|h| h.as_str()), Some("example.com"));
    assert_eq!(request.subprotocols().collect::<Vec<_>>(), ["chat", "superchat"]);
    assert_eq!(request.websocket().unwrap().version(), Version::Rfc6455);
    assert_eq!(handshake.into_request().path(), "/chat");
}

#[test]
fn subprotocols_by_policy_and_by_decision() {
    let head = Head::request().line("Sec-WebSocket-Protocol: a, b").line("Sec-WebSocket-Protocol: c");
    let mut config = ServerConfig::default();
    config.subprotocols = SubprotocolPolicy::server_order(["c", "a"]).unwrap().required();
    for (accept, wanted) in [
        (Accept::new(), Some("c")),
        (Accept::new().subprotocol("b"), Some("b")),
        (Accept::new().no_subprotocol(), None),
    ] {
        let verdict = verdict(config.clone(), &head, accept);
        assert_eq!(value(&verdict, "sec-websocket-protocol"), wanted);
        assert_eq!(verdict.negotiated.unwrap().subprotocol.as_deref(), wanted);
    }
    let policy = SubprotocolPolicy::client_order(["b", "c"]).unwrap().required();
    let choose = |head: &Head| {
        let handshake = ParsedHandshake::new(&request(head), ServerConfig::default()).unwrap();
        policy.choose_for(handshake.request())
    };
    assert_eq!(choose(&head).unwrap().as_deref(), Some("b"));
    let none = Head::request().line("Sec-WebSocket-Protocol: x");
    assert_eq!(choose(&none), Err(HandshakeError::SubprotocolRequired));
    assert_eq!(choose(&Head::request()), Err(HandshakeError::SubprotocolRequired));
    assert_eq!(verdict(config.clone(), &none, Accept::new()).error, Some(HandshakeError::SubprotocolRequired));
    let handshake = ParsedHandshake::new(&request(&head), config).unwrap();
    assert_eq!(handshake.accept(Accept::new().subprotocol("x")).unwrap_err(), AcceptError::SubprotocolNotOffered);
    assert_eq!(handshake.reject(Reply::new(403)).status(), 403);
}

#[cfg(feature = "deflate")]
#[test]
fn deflate_is_agreed_on() {
    let mut config = all_versions();
    config.extensions = ws_proto::extension::Extensions::none().with(ws_proto::deflate::Deflate::default());
    for number in [7, 8, 13] {
        let head = Head::request()
            .set(&format!("Sec-WebSocket-Version: {number}"))
            .line("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits");
        let agreed = verdict(config.clone(), &head, Accept::new());
        // hybi-07 has no extensions.
        assert_eq!(agreed.negotiated.as_ref().unwrap().extension.is_some(), number >= 8);
        assert_eq!(value(&agreed, "sec-websocket-extensions").is_some(), number >= 8);
        assert_eq!(
            value(&verdict(config.clone(), &head, Accept::new().no_extensions()), "sec-websocket-extensions"),
            None
        );
    }
}

#[test]
fn plain_http_is_reported_and_answered() {
    let page = Head { first: "GET /page HTTP/1.1".into(), lines: vec!["Host: a".into()] };
    let get = verdict(ServerConfig::default(), &page, Accept::new());
    assert_eq!((get.status, &*get.body, value(&get, "content-length")), (200, &b"page\n"[..], Some("5")));
    let head = verdict(ServerConfig::default(), &page.clone().first("HEAD /page HTTP/1.1"), Accept::new());
    assert_eq!((head.status, head.body.len(), value(&head, "content-length")), (200, 0, Some("5")));
    let old = Head { first: "GET /page HTTP/1.0".into(), lines: Vec::new() };
    assert_eq!(verdict(ServerConfig::default(), &old, Accept::new()).status, 200);
    let handshake = ParsedHandshake::new(&request(&page), ServerConfig::default()).unwrap();
    assert_eq!(handshake.accept(Accept::new()).unwrap_err(), AcceptError::NotWebSocket);
}

#[test]
fn more_headers_than_the_type_takes_are_an_error() {
    let mut accept = Accept::new();
    let mut reply = Reply::new(403);
    for i in 0..40_000 {
        accept = accept.header(&format!("x{i}"), "").unwrap();
        reply = reply.header(&format!("x{i}"), "").unwrap();
    }
    let handshake = ParsedHandshake::new(&request(&Head::request()), ServerConfig::default()).unwrap();
    assert_eq!(handshake.accept(accept).err(), Some(AcceptError::Headers));
    assert_eq!(::http::Response::from(reply).status(), 500);
}

#[test]
fn replies_become_responses() {
    let reply = Reply::text(401, "who?\n").header("WWW-Authenticate", "Bearer").unwrap();
    let response = ::http::Response::from(reply);
    assert_eq!((response.status().as_u16(), &response.body()[..]), (401, &b"who?\n"[..]));
    for (name, wanted) in [
        ("www-authenticate", "Bearer"),
        ("connection", "close"),
        ("content-length", "5"),
        ("content-type", "text/plain; charset=utf-8"),
    ] {
        assert_eq!(response.headers()[name], wanted);
    }
}

#[test]
fn what_a_server_answered_becomes_a_response() {
    let bytes = b"HTTP/1.1 403 Nope\r\nSet-Cookie: a\r\nX: \xff\r\nSet-Cookie: b\r\nContent-Length: 4\r\n\r\nsorr";
    let request = ClientRequest::new(target());
    let mut handshake = client(&request, &Arc::default());
    handshake.poll(NOW, &mut Input::new(&mut bytes.to_vec()));
    let response = ::http::Response::try_from(handshake.response().unwrap()).unwrap();
    assert_eq!((response.status().as_u16(), &response.body()[..]), (403, &b"sorr"[..]));
    assert_eq!(response.headers().get_all("set-cookie").iter().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(response.headers()["x"].as_bytes(), b"\xff");
    assert_eq!(HeaderMap::try_from(&Headers::default()).unwrap().len(), 0);
}

/// A request of the types for this client.
fn asked(uri: &str, lines: &[(&str, &str)]) -> Result<ClientRequest, RequestError> {
    let request = lines.iter().fold(::http::Request::get(uri), |request, (name, value)| request.header(*name, *value));
    ClientRequest::try_from(&request.body(()).unwrap())
}

#[test]
fn a_client_asks_with_a_request_of_the_types() {
    let request = asked(
        "wss://example.com:8443/chat?a=b",
        &[
            ("host", "other.example"),
            ("origin", "https://example.com"),
            ("sec-websocket-protocol", "chat,superchat"),
            ("sec-websocket-protocol", "third"),
            ("authorization", "Bearer 1"),
        ],
    )
    .unwrap();
    let wanted = ClientRequest::new(Target::new(true, "example.com", Some(8443), "/chat?a=b").unwrap())
        .host("other.example")
        .and_then(|r| r.origin("https://example.com"))
        .and_then(|r| r.header("authorization", "Bearer 1"))
        .unwrap()
        .subprotocols(["chat", "superchat", "third"])
        .unwrap();
    assert_eq!(request, wanted);
    for (uri, secure, port) in [("ws://a", false, 80), ("http://a/", false, 80), ("https://[::1]/", true, 443)] {
        let request = asked(uri, &[]).unwrap();
        assert_eq!(
            (request.target().is_secure(), request.target().port(), request.target().resource()),
            (secure, port, "/")
        );
    }
}

#[test]
fn a_request_of_the_types_that_no_client_can_ask() {
    use RequestError::{Header, Method, Subprotocol, Target};
    for (uri, wanted) in [
        ("/chat", TargetError::Scheme),
        ("ftp://a/", TargetError::Scheme),
        ("ws://user:secret@a/", TargetError::Host),
        ("ws://a:99999/", TargetError::Host),
        ("ws://a:0/", TargetError::Host),
    ] {
        if let Ok(uri) = Uri::try_from(uri) {
            assert_eq!(asked(&uri.to_string(), &[]), Err(Target(wanted)), "{uri}");
        }
    }
    for (name, value) in [("connection", "upgrade"), ("sec-websocket-key", KEY), ("sec-websocket-version", "13")] {
        assert_eq!(asked("ws://a/", &[(name, value)]), Err(Header(HeaderError::Reserved(name.into()))));
    }
    for lines in [[("host", "a"), ("host", "b")], [("origin", "a"), ("origin", "b")], [("host", "a/b"), ("x", "y")]] {
        assert!(matches!(asked("ws://a/", &lines), Err(Header(HeaderError::Value(_)))), "{lines:?}");
    }
    assert_eq!(asked("ws://a/", &[("sec-websocket-protocol", "a,,b")]), Err(Subprotocol(SubprotocolError::Syntax)));
    let mut request = ::http::Request::post("ws://a/").body(()).unwrap();
    assert_eq!(ClientRequest::try_from(&request), Err(Method));
    *request.method_mut() = ::http::Method::GET;
    *request.version_mut() = HttpVersion::HTTP_2;
    assert_eq!(ClientRequest::try_from(&request), Err(RequestError::HttpVersion));
    *request.version_mut() = HttpVersion::HTTP_11;
    request.headers_mut().insert("x", HeaderValue::from_bytes(b"\xff").unwrap());
    assert_eq!(ClientRequest::try_from(&request), Err(Header(HeaderError::Value("x".into()))));
}
