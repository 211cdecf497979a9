//! The opening handshake of every version: requests and answers captured from other implementations and from the
//! drafts (`tests/vectors/handshake-legacy.json`) at every split, and ours against ours.

mod versions;

use std::collections::BTreeMap;

use md5::{Digest as _, Md5};
use serde_json::Value;
use versions::*;
use ws_proto::handshake::Upgrade;
use ws_proto::http::Target;
use ws_proto::{
    Accept, ClientHandshake, ClientRequest, ClientStep, Config, HandshakeError, Input, NoEntropy, ServerConfig,
    ServerHandshake, Step, Version,
};

fn vectors() -> Vec<Value> {
    let all: Value = serde_json::from_str(include_str!("../vectors/handshake-legacy.json")).unwrap();
    all.as_array().unwrap().clone()
}

fn text<'v>(value: &'v Value, name: &str) -> Option<&'v str> {
    value[name].as_str()
}

fn strings(value: &Value) -> Vec<&str> {
    value.as_array().map(|list| list.iter().map(|v| v.as_str().unwrap()).collect()).unwrap_or_default()
}

/// In the file each character stands for the byte of that number.
fn wire(vector: &Value) -> Vec<u8> {
    text(vector, "wire").unwrap().chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect()
}

fn from_hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// What the errors of a request are called in the file.
fn request_error(name: &str) -> HandshakeError {
    match name {
        "version" => HandshakeError::Version,
        "missing-key1" => HandshakeError::KeyMissing,
        "origin" => HandshakeError::OriginMissing,
        "subprotocol-chars" => HandshakeError::SubprotocolSyntax,
        name if name.starts_with("key2-") => HandshakeError::ChallengeInvalid,
        other => panic!("unknown error {other}"),
    }
}

/// The answers in the file, by the request that they are for.
fn nonces(all: &[Value]) -> BTreeMap<&str, &Value> {
    let nonced = all.iter().filter(|v| text(&v["meaning"], "nonce").is_some());
    nonced.map(|v| (text(&v["meaning"], "for").unwrap(), &v["meaning"])).collect()
}

#[test]
fn requests() {
    let all = vectors();
    let nonces = nonces(&all);
    let mut seen = 0;
    for vector in all.iter().filter(|v| v["side"] == "client-request") {
        seen += 1;
        let answer = nonces.get(text(vector, "id").unwrap()).copied();
        let bytes = wire(vector);
        let mut outcomes = splits(&bytes).map(|pieces| check_request(vector, answer, &pieces));
        let first = outcomes.next().unwrap();
        assert!(outcomes.all(|outcome| outcome == first), "{}", vector["id"]);
    }
    assert_eq!(seen, 77);
}

/// Serves a request; gives what was written.
fn check_request(vector: &Value, answer: Option<&Value>, pieces: &[&[u8]]) -> Vec<u8> {
    let id = text(vector, "id").unwrap();
    let meaning = &vector["meaning"];
    let mut server = ServerHandshake::new(NOW, all_versions());
    let offered = strings(&meaning["subprotocols"]).first().copied();
    let mut accept = Accept::new();
    if let Some(name) = offered {
        accept = accept.subprotocol(name);
    }
    let nonce = answer.map(|answer| from_base64(text(answer, "nonce").unwrap()));
    if let Some(Ok(nonce)) = nonce.map(TryInto::try_into) {
        accept = accept.nonce(nonce);
    }
    let step = feed_server(&mut server, pieces, &accept, |server| check_parts(id, meaning, server));
    // A key is any text before version 13, so that of ws 0.4 is one.
    let errors = strings(&meaning["errors"]).into_iter().filter(|e| *e != "key-not-16-bytes-base64");
    if let Some(name) = errors.into_iter().next() {
        assert_eq!((step, server.error()), (Step::Rejected, Some(&request_error(name))), "{id}");
        return server.outgoing().flatten().copied().collect();
    }
    assert_eq!((step, server.error()), (Step::Done, None), "{id}");
    let written = server.take_outgoing(NOW).unwrap();
    let (head, body) = split_head(&written);
    let line = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let version: Version = text(vector, "version").unwrap().parse().unwrap();
    let key = if version == Version::Hixie75 { "" } else { "Sec-" };
    assert_eq!(line(&format!("{key}WebSocket-Protocol")), offered, "{id}");
    if version < Version::Hybi04 {
        let host = text(meaning, "host").unwrap();
        let location = format!("ws://{host}{}", text(meaning, "resource").unwrap());
        assert_eq!(line(&format!("{key}WebSocket-Location")), Some(&*location), "{id}");
        assert_eq!(line(&format!("{key}WebSocket-Origin")), text(meaning, "origin"), "{id}");
        assert_eq!(body, from_hex(text(meaning, "md5").unwrap_or_default()), "{id}");
    } else {
        assert_eq!((line("Sec-WebSocket-Accept"), body), (text(meaning, "accept"), &b""[..]), "{id}");
    }
    let negotiated = server.into_connection(Box::new(NoEntropy)).unwrap().negotiated().clone();
    assert_eq!((negotiated.version, negotiated.subprotocol.as_deref()), (version, offered), "{id}");
    assert_eq!(negotiated.masking_key.is_some(), version == Version::Hybi04, "{id}");
    // One nonce in the file has bits where there are none.
    if let Some(answer) = answer.filter(|a| text(a, "nonce") != Some("AQIDBAUGBwgJCgsMDQ4PEC==")) {
        let wanted = from_hex(text(answer, "masking_key").unwrap());
        assert_eq!(negotiated.masking_key.as_ref().map(|key| key.to_vec()), Some(wanted), "{id}");
    }
    // Without the nonce, which is not the same each time if nobody gives one.
    let nonce = line("Sec-WebSocket-Nonce").filter(|_| answer.is_none()).unwrap_or("\n");
    [head.replace(nonce, "").as_bytes(), body].concat()
}

fn check_parts(id: &str, meaning: &Value, server: &ServerHandshake) {
    let request = server.request().unwrap();
    let version: Version = text(meaning, "detected").unwrap().parse().unwrap();
    assert_eq!(request.websocket().map(Upgrade::version), Some(version), "{id}");
    assert_eq!((Some(request.method()), Some(request.target())), (text(meaning, "method"), text(meaning, "resource")));
    assert_eq!(request.host().map(|h| h.as_str()), text(meaning, "host"), "{id}");
    // Some send both names; the one of the version counts.
    let mut names = ["origin", "sec_websocket_origin"];
    if matches!(version.number(), Some(4..=8)) {
        names.reverse();
    }
    assert_eq!(request.origin(), names.iter().find_map(|name| text(meaning, name)), "{id}");
    assert_eq!(request.subprotocols().collect::<Vec<_>>(), strings(&meaning["subprotocols"]), "{id}");
}

/// What the errors of an answer are called in the file.
fn response_errors(meaning: &Value, name: &str) -> Vec<HandshakeError> {
    match name {
        "status" => {
            let status = meaning["status"].as_u64().unwrap().try_into().unwrap();
            let offered = strings(&meaning["offered_versions"]).iter().filter_map(|name| name.parse().ok()).collect();
            vec![HandshakeError::Status(status), HandshakeError::VersionRefused { status, offered }]
        }
        "upgrade" => vec![HandshakeError::Upgrade],
        "accept" => vec![HandshakeError::AcceptWrong],
        "subprotocol" => vec![HandshakeError::SubprotocolNotOffered, HandshakeError::SubprotocolRequired],
        "first-three-lines" => vec![HandshakeError::FirstLines],
        "origin" => vec![HandshakeError::OriginWrong],
        "location" => vec![HandshakeError::LocationWrong],
        "challenge" => vec![HandshakeError::ChallengeWrong],
        "nonce" => vec![HandshakeError::Nonce],
        other => panic!("unknown error {other}"),
    }
}

/// What the request asked for that an answer is for.
fn client_request(asked: &Value, answer: &Value) -> ClientRequest {
    let meaning = &asked["meaning"];
    let host = text(meaning, "host").unwrap();
    let (name, port) = host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port.parse().unwrap())));
    let secure = text(&answer["meaning"], "location").is_some_and(|l| l.starts_with("wss:"));
    let target = Target::new(secure, name, port, text(meaning, "resource").unwrap()).unwrap();
    let origin = text(meaning, "origin").or(text(meaning, "sec_websocket_origin")).unwrap();
    ClientRequest::new(target)
        .version(text(asked, "version").unwrap().parse().unwrap())
        .subprotocols(strings(&meaning["subprotocols"]))
        .unwrap()
        .origin(origin)
        .unwrap()
}

#[test]
fn answers() {
    let all = vectors();
    let by_id: BTreeMap<_, _> = all.iter().map(|v| (text(v, "id").unwrap(), v)).collect();
    let mut seen = 0;
    for vector in all.iter().filter(|v| v["side"] == "server-response") {
        seen += 1;
        let meaning = &vector["meaning"];
        let asked = by_id[text(meaning, "for").unwrap()];
        let request = client_request(asked, vector);
        let mut bytes = wire(vector);
        let key = text(&asked["meaning"], "key").map(from_base64).unwrap_or_default();
        if let Some(at) = text(&asked["meaning"], "md5").and_then(|md5| find(&bytes, &from_hex(md5))) {
            // What is right depends on keys that a client does not take from a file.
            bytes.splice(at..at + 16, right_reply(&request, &key));
        }
        if key.len() == 15 {
            // Nor can it be made to send one of ws 0.4.
            let at = find(&bytes, text(meaning, "accept").unwrap().as_bytes()).unwrap();
            bytes.splice(at..at + 28, ws_proto::handshake::accept_value(&sent_key(&request, &key)).into_bytes());
        }
        for pieces in splits(&bytes) {
            check_answer(vector, asked, &request, &key, &pieces);
        }
    }
    assert_eq!(seen, 98);
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

/// The line of that name in the request that a client with this randomness sends.
fn sent_line(sent: &str, name: &str) -> String {
    sent.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap().to_owned()
}

fn sent_key(request: &ClientRequest, key: &[u8]) -> String {
    let sent = asked(request, key).take_outgoing(NOW).unwrap();
    sent_line(split_head(&sent).0, "Sec-WebSocket-Key")
}

/// The sixteen bytes for the keys that are sent, by the words of the draft.
fn right_reply(request: &ClientRequest, key: &[u8]) -> Vec<u8> {
    let sent = asked(request, key).take_outgoing(NOW).unwrap();
    let (head, body) = split_head(&sent);
    let mut md5 = Md5::new();
    for name in ["Sec-WebSocket-Key1", "Sec-WebSocket-Key2"] {
        let key = sent_line(head, name);
        let digits: String = key.chars().filter(char::is_ascii_digit).collect();
        let number = digits.parse::<u64>().unwrap() / key.matches(' ').count() as u64;
        md5.update(u32::try_from(number).unwrap().to_be_bytes());
    }
    md5.update(body);
    md5.finalize().to_vec()
}

fn asked(request: &ClientRequest, key: &[u8]) -> ClientHandshake {
    ClientHandshake::new(NOW, request, Config::default(), Box::new(Nonce(key.to_vec()))).unwrap()
}

fn check_answer(vector: &Value, asked_for: &Value, request: &ClientRequest, key: &[u8], pieces: &[&[u8]]) {
    let id = text(vector, "id").unwrap();
    let meaning = &vector["meaning"];
    let mut client = asked(request, key);
    for piece in pieces {
        client.poll(NOW, &mut Input::new(&mut piece.to_vec()));
    }
    client.eof(NOW);
    let step = client.poll(NOW, &mut Input::empty());
    if let Some(response) = client.response() {
        assert_eq!(Some(u64::from(response.status())), meaning["status"].as_u64(), "{id}");
        assert_eq!(Some(response.reason()), text(meaning, "reason"), "{id}");
    }
    if text(meaning, "extensions").is_some() {
        // `deflate-stream`, which we never offer.
        assert_eq!(client.error(), Some(&HandshakeError::ExtensionNotOffered), "{id}");
        return;
    }
    match strings(&meaning["errors"])[..] {
        [] => {
            assert_eq!((step, client.error()), (ClientStep::Done, None), "{id}");
            let (connection, _) = client.into_connection().unwrap();
            let negotiated = connection.negotiated();
            assert_eq!(Some(negotiated.version.name()), text(asked_for, "version"), "{id}");
            // What nobody asked for is not agreed.
            let asked_any = !strings(&asked_for["meaning"]["subprotocols"]).is_empty();
            assert_eq!(negotiated.subprotocol.as_deref(), text(meaning, "subprotocol").filter(|_| asked_any), "{id}");
            let wanted = text(meaning, "masking_key").map(from_hex);
            assert_eq!(negotiated.masking_key.as_ref().map(|key| key.to_vec()), wanted, "{id}");
        }
        [name, ..] => {
            let refused = if name == "status" { ClientStep::Refused } else { ClientStep::Failed };
            let errors = response_errors(meaning, name);
            assert_eq!(step, refused, "{id}");
            assert!(errors.contains(client.error().unwrap()), "{id}: {:?}", client.error());
            let listed = strings(&meaning["offered_versions"]);
            assert_eq!(client.offered_versions().iter().count(), listed.len(), "{id}");
            assert_eq!(client.best_common(all_versions().versions).is_some(), !listed.is_empty(), "{id}");
        }
    }
}

/// Order and spelling of what old programs compare, byte by byte.
#[test]
fn first_lines_are_those_of_the_drafts() {
    for (version, first) in [
        (
            Version::Hixie75,
            "HTTP/1.1 101 Web Socket Protocol Handshake\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n",
        ),
        (
            Version::Hixie76,
            "HTTP/1.1 101 WebSocket Protocol Handshake\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n",
        ),
        (Version::Hybi03, "HTTP/1.1 101 WebSocket Protocol Handshake\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n"),
        (Version::Hybi08, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"),
    ] {
        let both = meet(&request(version), &all_versions(), &Accept::new());
        assert!(both.answer.starts_with(first.as_bytes()), "{version}");
    }
    let request = ClientRequest::new(Target::new(false, "Example.COM", Some(8080), "/demo?a=b").unwrap())
        .version(Version::Hixie75)
        .subprotocols(["sample", "other"])
        .unwrap()
        .origin("http://Example.com")
        .unwrap()
        .header("Cookie", "a=b")
        .unwrap();
    let both = meet(&request, &all_versions(), &Accept::new().subprotocol("sample").secure(false));
    let sent = "GET /demo?a=b HTTP/1.1\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nHost: example.com:8080\r\n\
        Origin: http://example.com\r\nWebSocket-Protocol: sample\r\nCookie: a=b\r\n\r\n";
    assert_eq!(both.request.escape_ascii().to_string(), sent.escape_default().to_string());
    let answer = "HTTP/1.1 101 Web Socket Protocol Handshake\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\
        WebSocket-Origin: http://example.com\r\nWebSocket-Location: ws://example.com:8080/demo?a=b\r\n\
        WebSocket-Protocol: sample\r\n\r\n";
    assert_eq!(both.answer.escape_ascii().to_string(), answer.escape_default().to_string());
}

/// Our client and our server, with everything that a handshake can carry, cut at every place.
#[test]
fn ours_against_ours() {
    for version in Version::ALL.iter().copied() {
        for secure in [false, true] {
            let target = Target::new(secure, "example.com", None, "/chat?x=1").unwrap();
            let request = ClientRequest::new(target)
                .version(version)
                .subprotocols(["chat"])
                .unwrap()
                .origin("https://example.com")
                .unwrap()
                .header("Cookie", "session=1")
                .unwrap();
            let mut config = all_versions();
            config.secure = secure;
            let accept = Accept::new().subprotocol("chat").header("Set-Cookie", "seen=1").unwrap().nonce([7; 16]);
            let both = meet(&request, &config, &accept);
            assert_eq!(both.cookie.as_deref(), Some("1"), "{version}");
            assert_eq!(both.set_cookie.as_deref(), Some("seen=1"), "{version}");
            assert_eq!(both.server, both.client, "{version}");
            let agreed = (both.server.version, both.server.subprotocol.as_deref());
            assert_eq!(agreed, (version, Some("chat")));
        }
    }
}

/// A first message in one piece with the request, the eight bytes or the answer is not lost, at any split.
#[test]
fn early_messages_are_delivered() {
    for version in Version::ALL.iter().copied() {
        let request = request(version);
        let accept = Accept::new().nonce([9; 16]);
        let both = meet(&request, &all_versions(), &accept);
        let to_server = [&both.request[..], &both.client_frame].concat();
        for pieces in splits(&to_server) {
            let mut server = ServerHandshake::new(NOW, all_versions());
            let (events, written) = serve_all(&mut server, &pieces, &accept);
            assert_eq!(
                (events, &written[..both.answer.len()]),
                (vec!["Hello".to_owned()], &both.answer[..]),
                "{version}"
            );
        }
        let to_client = [&both.answer[..], &both.server_frame].concat();
        for pieces in splits(&to_client) {
            assert_eq!(ask_all(&request, &pieces), ["Hello"], "{version}");
        }
    }
}

/// The answer of hixie-76 begins before the eight bytes are there, which a proxy may hold back until it sees an answer.
#[test]
fn the_head_goes_out_before_the_eight_bytes_come() {
    for version in [Version::Hixie76, Version::Hybi01, Version::Hybi02, Version::Hybi03] {
        let both = meet(&request(version), &all_versions(), &Accept::new());
        let (head, body) = both.request.split_at(both.request.len() - 8);
        for gap in 0..=8 {
            let mut server = ServerHandshake::new(NOW, all_versions());
            let bytes = [head, &body[..gap]].concat();
            assert_eq!(server.poll(NOW, &mut Input::new(&mut bytes.clone())), Step::Request);
            assert!(!server.wants_read() && !server.wants_write());
            server.accept(NOW, Accept::new()).unwrap();
            let mut written = server.take_outgoing(NOW).unwrap().to_vec();
            let step = server.poll(NOW, &mut Input::empty());
            if gap < 8 {
                assert!(written.ends_with(b"\r\n\r\n"));
                assert_eq!((step, server.wants_read(), server.wants_write()), (Step::NeedInput, true, false));
                let step = server.poll(NOW, &mut Input::new(&mut body[gap..].to_vec()));
                assert_eq!((step, server.wants_read(), server.wants_write()), (Step::Done, false, true));
                written.extend(server.take_outgoing(NOW).unwrap());
            }
            assert_eq!(written, both.answer);
        }
    }
}

/// Eight bytes of hixie-76 may be announced as a body; nobody else may announce one.
#[test]
fn a_body_of_eight_bytes_is_hixie_76_only() {
    for version in Version::ALL.iter().copied() {
        let sent = meet(&request(version), &all_versions(), &Accept::new()).request;
        let eight_bytes = matches!(version, Version::Hixie76 | Version::Hybi01 | Version::Hybi02 | Version::Hybi03);
        for (line, legal) in [
            ("Content-Length: 8", eight_bytes),
            ("Content-Length: 0", true),
            ("Content-Length: 7", false),
            ("Content-Length: 16", false),
            ("Content-Length: 8\r\nContent-Length: 8", false),
            ("Content-Length: 8\r\nTransfer-Encoding: chunked", false),
        ] {
            let with = with_line(&sent, line);
            let mut server = ServerHandshake::new(NOW, all_versions());
            let step = feed_server(&mut server, &[&with], &Accept::new(), |_| {});
            let wanted = if legal { Step::Done } else { Step::Rejected };
            assert_eq!(step, wanted, "{version} {line}");
            if !legal {
                assert_eq!(server.error(), Some(&HandshakeError::RequestBody));
            }
        }
    }
}

/// No version but 08 and 13 agrees to an extension.
#[test]
fn extensions_since_hybi_08() {
    for version in Version::ALL.iter().copied() {
        let sent = meet(&request(version), &all_versions(), &Accept::new()).request;
        let with = with_line(&sent, "Sec-WebSocket-Extensions: permessage-deflate; \"");
        let mut server = ServerHandshake::new(NOW, all_versions());
        let step = feed_server(&mut server, &[&with], &Accept::new(), |_| {});
        let wanted = if version.has_extensions() { Step::Rejected } else { Step::Done };
        assert_eq!(step, wanted, "{version}");
    }
}

/// The subprotocol of a policy, in each version; a client up to hybi-03 has one name and wants it back.
#[test]
fn subprotocols() {
    for version in Version::ALL.iter().copied() {
        let request = request(version).subprotocols(["b", "a"]).unwrap();
        for (names, old, new) in
            [(&["a"][..], None, Some("a")), (&["a", "b"], Some("b"), Some("b")), (&["c"], None, None)]
        {
            let mut config = all_versions();
            config.subprotocols = ws_proto::handshake::SubprotocolPolicy::client_order(names.to_vec()).unwrap();
            let wanted = if version < Version::Hybi04 { old } else { new };
            let mut server = ServerHandshake::new(NOW, config.clone());
            let sent = asked(&request, &[]).take_outgoing(NOW).unwrap();
            assert_eq!(feed_server(&mut server, &[&sent], &Accept::new(), |_| {}), Step::Done);
            let answer = server.take_outgoing(NOW).unwrap();
            let negotiated = server.into_connection(Box::new(NoEntropy)).unwrap().negotiated().clone();
            assert_eq!(negotiated.subprotocol.as_deref(), wanted, "{version}");
            let mut client = asked(&request, &[]);
            let step = client.poll(NOW, &mut Input::new(&mut answer.to_vec()));
            let fails = version < Version::Hybi04 && wanted.is_none();
            assert_eq!(step == ClientStep::Done, !fails, "{version}");
            assert_eq!(client.error(), fails.then_some(&HandshakeError::SubprotocolRequired), "{version}");

            config.subprotocols = config.subprotocols.required();
            let mut server = ServerHandshake::new(NOW, config);
            feed_server(&mut server, &[&sent], &Accept::new(), |_| {});
            let error = wanted.is_none().then_some(&HandshakeError::SubprotocolRequired);
            assert_eq!(server.error(), error, "{version}");
        }
    }
}

/// The location names the host as it was asked for, and the scheme that the application says.
#[test]
fn locations() {
    for (first, host, secure, wanted) in [
        ("/demo", "example.com", false, "ws://example.com/demo"),
        ("/demo?a=b", "example.com:8080", true, "wss://example.com:8080/demo?a=b"),
        ("/", "[::1]:81", false, "ws://[::1]:81/"),
        ("http://example.com?a", "example.com", false, "ws://example.com/?a"),
        ("http://example.com", "example.com", true, "wss://example.com/"),
    ] {
        for (sec, keys) in [("", ""), ("Sec-", "Sec-WebSocket-Key1: 1 a\r\nSec-WebSocket-Key2: 1 b\r\n")] {
            let head = format!(
                "GET {first} HTTP/1.1\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nHost: {host}\r\n\
                 Origin: null\r\n{keys}\r\n12345678"
            );
            for by_config in [false, true] {
                let mut config: ServerConfig = all_versions();
                let mut accept = Accept::new();
                if by_config {
                    config.secure = secure;
                } else {
                    config.secure = !secure;
                    accept = accept.secure(secure);
                }
                let mut server = ServerHandshake::new(NOW, config);
                assert_eq!(feed_server(&mut server, &[head.as_bytes()], &accept, |_| {}), Step::Done);
                let written = server.take_outgoing(NOW).unwrap();
                let head = split_head(&written).0;
                assert_eq!(sent_line(head, &format!("{sec}WebSocket-Location")), wanted);
                assert_eq!(sent_line(head, &format!("{sec}WebSocket-Origin")), "null");
            }
        }
    }
}
