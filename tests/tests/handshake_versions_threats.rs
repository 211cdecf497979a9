//! What a peer may try during the opening handshake of the versions before 13. Each name bears the number of a threat.

mod versions;

use std::time::Duration;

use md5::{Digest as _, Md5};
use proptest::prelude::*;
use versions::*;
use ws_proto::connection::Shutdown;
use ws_proto::handshake::FlashPolicy;
use ws_proto::http::HeadError;
use ws_proto::{
    Accept, ClientHandshake, ClientStep, Config, HandshakeError, Input, NoEntropy, ServerConfig, ServerHandshake, Step,
    Version, Versions,
};

/// What our own client sends for a version.
fn sent(version: Version) -> Vec<u8> {
    meet(&request(version), &all_versions(), &Accept::new()).request
}

/// The step, the error, and what was written.
fn serve(config: &ServerConfig, bytes: &[u8]) -> (Step, Option<HandshakeError>, Vec<u8>) {
    let mut outcomes = [vec![bytes], bytes.chunks(1).collect()].into_iter().map(|pieces| {
        let mut server = ServerHandshake::new(NOW, config.clone());
        let step = feed_server(&mut server, &pieces, &Accept::new().nonce([1; 16]), |_| {});
        (step, server.error().copied(), server.outgoing().flatten().copied().collect())
    });
    let (whole, bytewise) = (outcomes.next().unwrap(), outcomes.next().unwrap());
    assert_eq!(whole, bytewise);
    whole
}

/// Status and headers of a refusal.
fn refusal(written: &[u8]) -> (u16, String) {
    let (head, _) = split_head(written);
    (head[9..12].parse().unwrap(), head.to_owned())
}

/// The list that goes with 426.
fn list(versions: Versions) -> Option<String> {
    let numbers: Vec<_> = versions.iter().filter_map(Version::number).map(|n| n.to_string()).collect();
    (!numbers.is_empty()).then(|| format!("\r\nSec-WebSocket-Version: {}\r\n", numbers.join(", ")))
}

fn assert_426(config: &ServerConfig, bytes: &[u8]) {
    let (step, error, written) = serve(config, bytes);
    let shown = bytes.escape_ascii();
    assert_eq!((step, error), (Step::Rejected, Some(HandshakeError::Version)), "{shown}");
    let (status, head) = refusal(&written);
    assert_eq!(status, 426, "{shown}");
    assert!(head.contains("\r\nConnection: close, Upgrade\r\nUpgrade: websocket\r\n"), "{head}");
    match list(config.versions) {
        Some(list) => assert!(head.contains(&list), "{head}"),
        None => assert!(!head.contains("Sec-WebSocket-Version"), "{head}"),
    }
}

/// The request with the value of one header changed, or without it.
fn change(request: &[u8], name: &str, value: Option<&str>) -> Vec<u8> {
    let (head, body) = split_head(request);
    let mut out = Vec::new();
    for line in head.strip_suffix("\r\n\r\n").unwrap().split("\r\n") {
        match line.strip_prefix(name).filter(|rest| rest.starts_with(": ")) {
            Some(_) => {
                if let Some(value) = value {
                    out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
                }
            }
            None => out.extend_from_slice(format!("{line}\r\n").as_bytes()),
        }
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body);
    out
}

#[test]
fn threat_060_forty_shapes_of_the_tokens_in_every_version() {
    let near_misses = |token: &str| {
        vec![
            None,
            Some(String::new()),
            Some(format!("x{token}")),
            Some(format!("{token}x")),
            Some(format!("{token}s")),
            Some(format!("not{token}")),
            Some(format!("{token}-")),
            Some(format!("\"{token}\"")),
            Some(format!("{token}/13")),
            Some(format!("{token};q=1")),
            Some(format!("{token} x")),
            Some(format!("x {token}")),
            Some(token[1..].to_owned()),
            Some(token[..token.len() - 1].to_owned()),
            Some("*".into()),
            Some("close, keep-alive".into()),
            Some(format!("a;{token}")),
            Some(token.chars().flat_map(|c| [c, ' ']).collect()),
            Some(format!("{token}={token}")),
            Some("h2c".into()),
        ]
    };
    let hits = |token: &str| {
        [
            token.to_ascii_uppercase(),
            token.to_ascii_lowercase(),
            format!("keep-alive, {token}"),
            format!("{token},x"),
            format!(",, {token} ,"),
        ]
    };
    for version in Version::ALL.iter().copied() {
        let good = sent(version);
        let config = all_versions();
        for (name, token, error) in
            [("Upgrade", "WebSocket", HandshakeError::Upgrade), ("Connection", "Upgrade", HandshakeError::Connection)]
        {
            for value in near_misses(token) {
                let bytes = change(&good, name, value.as_deref());
                if version == Version::Hixie75 && name == "Upgrade" {
                    // Nothing else in it says that this is no plain request; so it becomes no WebSocket.
                    let mut server = ServerHandshake::new(NOW, config.clone());
                    assert_eq!(server.poll(NOW, &mut Input::new(&mut bytes.clone())), Step::Request);
                    assert!(!server.request().unwrap().is_websocket());
                    continue;
                }
                let (step, found, written) = serve(&config, &bytes);
                assert_eq!((step, found), (Step::Rejected, Some(error)), "{version} {value:?}");
                assert_eq!(refusal(&written).0, 400);
            }
            for value in hits(token) {
                let (step, found, _) = serve(&config, &change(&good, name, Some(&value)));
                assert_eq!((step, found), (Step::Done, None), "{version} {value}");
            }
        }
    }
}

/// Every version's own request, against a server that speaks one, some or all: that version, or 426 with the list.
#[test]
fn threat_061_no_version_but_the_one_that_is_asked_for() {
    let single = Version::ALL.iter().map(|version| Versions::NONE.with(*version));
    let sets = single.chain([Versions::MODERN, Versions::DEPLOYED, Versions::ALL, Versions::NONE]);
    for served in sets {
        let config = serving(served);
        for version in Version::ALL.iter().copied() {
            let bytes = sent(version);
            if served.contains(version) {
                let mut server = ServerHandshake::new(NOW, config.clone());
                assert_eq!(feed_server(&mut server, &[&bytes], &Accept::new(), |_| {}), Step::Done);
                let connection = server.into_connection(Box::new(NoEntropy)).unwrap();
                assert_eq!(connection.negotiated().version, version);
            } else {
                assert_426(&config, &bytes);
            }
        }
        // Nothing of this is any version, so it is not taken for the nearest one.
        let modern = sent(Version::Rfc6455);
        for number in ["12", "14", "13, 8", "9", "10", "11", "0", "1", "3", "013", "+8", "", "a", "256", "13 8"] {
            assert_426(&config, &change(&modern, "Sec-WebSocket-Version", Some(number)));
        }
        assert_426(&config, &change(&modern, "Sec-WebSocket-Version", None));
        assert_426(&config, &with_line(&modern, "Sec-WebSocket-Version: 13"));
        let drafty = sent(Version::Hybi01);
        for number in ["4", "9", "00", "-1", "", "1, 2", "a", "76"] {
            assert_426(&config, &change(&drafty, "Sec-WebSocket-Draft", Some(number)));
        }
        assert_426(&config, &with_line(&drafty, "Sec-WebSocket-Draft: 1"));
    }
    assert_eq!(list(Versions::DEPLOYED).unwrap(), "\r\nSec-WebSocket-Version: 13, 8, 7\r\n");
    assert_eq!(list(Versions::ALL).unwrap(), "\r\nSec-WebSocket-Version: 13, 8, 7, 6, 5, 4\r\n");
}

/// A request that fails the checks of its version is not looked at as one of an older version.
#[test]
fn threat_061_a_failed_check_is_final() {
    let config = all_versions();
    let with_keys = sent(Version::Hixie76);
    let check = |bytes: &[u8], error| {
        let (step, found, written) = serve(&config, bytes);
        assert_eq!((step, found), (Step::Rejected, Some(error)), "{}", bytes.escape_ascii());
        assert_eq!(refusal(&written).0, 400);
    };
    for key in ["Sec-WebSocket-Key1", "Sec-WebSocket-Key2"] {
        check(&change(&with_keys, key, None), HandshakeError::KeyMissing);
        check(&change(&with_keys, key, Some("forged")), HandshakeError::ChallengeInvalid);
        check(&with_line(&with_keys, &format!("{key}: 1 a")), HandshakeError::KeyRepeated);
    }
    let no_keys = change(&change(&with_keys, "Sec-WebSocket-Key1", None), "Sec-WebSocket-Key2", None);
    for draft in ["0", "1", "2", "3"] {
        let bytes = with_line(&no_keys, &format!("Sec-WebSocket-Draft: {draft}"));
        check(&bytes, HandshakeError::KeyMissing);
    }
    for number in ["13", "8", "7", "6", "5", "4"] {
        // The version wins over the keys of hixie-76.
        let bytes = with_line(&with_keys, &format!("Sec-WebSocket-Version: {number}"));
        check(&bytes, HandshakeError::KeyMissing);
        let bytes = with_line(&bytes, "Sec-WebSocket-Key: ");
        check(&bytes, HandshakeError::KeyInvalid);
    }
    // A key before version 13 is any text, in version 13 the base64 of 16 bytes.
    for version in Version::ALL.iter().copied().filter(|v| v.number().is_some()) {
        let bytes = change(&sent(version), "Sec-WebSocket-Key", Some("any text"));
        let error = (version == Version::Rfc6455).then_some(HandshakeError::KeyInvalid);
        assert_eq!(serve(&config, &bytes).1, error, "{version}");
    }
    // No origin, no WebSocket, where the answer has to name it.
    for version in Version::ALL.iter().copied() {
        let error = (version < Version::Hybi04).then_some(HandshakeError::OriginMissing);
        for value in [None, Some("")] {
            let bytes = change(&sent(version), "Origin", value);
            assert_eq!(serve(&config, &bytes).1, error, "{version}");
        }
    }
}

/// A request of hixie-76 with this as the second key. The first one is 1.
fn with_key(key: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "GET / HTTP/1.1\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nHost: a\r\nOrigin: null\r\n\
         Sec-WebSocket-Key1: 1 a\r\nSec-WebSocket-Key2: {key}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

fn reply_to(number: u32, body: &[u8]) -> Vec<u8> {
    Md5::new().chain_update([0, 0, 0, 1]).chain_update(number.to_be_bytes()).chain_update(body).finalize().to_vec()
}

#[test]
fn threat_065_keys_without_a_number() {
    let config = all_versions();
    let digits = |n: usize| format!("1 {}", "0".repeat(n));
    for key in [
        "",
        "12",
        "a b c",
        " ",
        "1\t2",
        "2  ",
        "12998 5 Y3 1  .P01",
        "4294967296 x",
        "99999999999 9",
        "18446744073709551616 a",
        "99999999999999999999 a",
        &digits(20),
        &digits(10_000),
        &format!("{} 0", "0".repeat(10_000)),
        "\u{661} \u{662}",
    ] {
        for body in [&b""[..], b"12345678"] {
            let (step, error, written) = serve(&config, &with_key(key, body));
            assert_eq!((step, error), (Step::Rejected, Some(HandshakeError::ChallengeInvalid)), "{key}");
            assert_eq!(refusal(&written).0, 400);
        }
    }
    for (key, number) in
        [("0 a", 0), ("4294967295 x", u32::MAX), ("858 9934590 x", u32::MAX), ("x 1", 1), ("00000000000000000001 a", 1)]
    {
        let (step, error, written) = serve(&config, &with_key(key, b"12345678"));
        assert_eq!((step, error), (Step::Done, None), "{key}");
        assert_eq!(split_head(&written).1, reply_to(number, b"12345678"), "{key}");
    }
}

proptest! {
    #[test]
    fn threat_065_numbers_are_divided_without_a_rest_or_not_at_all(
        key in prop_oneof!["[0-9 ]{1,14}", "[0-9 a-z]{0,30}", "[ -~]{0,30}", "[1-9][0-9]{8,11} {1,3}x"],
        body in any::<[u8; 8]>(),
    ) {
        let inner = key.trim_matches(' ');
        let digits: String = inner.chars().filter(char::is_ascii_digit).collect();
        let spaces = inner.matches(' ').count() as u128;
        let number = digits.parse::<u128>().ok().filter(|n| digits.len() <= 20 && spaces > 0 && n % spaces == 0);
        let number = number.and_then(|n| u32::try_from(n / spaces).ok());
        let (step, _, written) = serve(&all_versions(), &with_key(&key, &body));
        match number {
            Some(number) => prop_assert_eq!((step, split_head(&written).1), (Step::Done, &reply_to(number, &body)[..])),
            None => prop_assert_eq!((step, refusal(&written).0), (Step::Rejected, 400)),
        }
    }

    /// Whatever a client draws, a server reads.
    #[test]
    fn threat_065_our_keys_are_taken(seed in prop::collection::vec(any::<u8>(), 0..64)) {
        let mut client =
            ClientHandshake::new(NOW, &request(Version::Hixie76), Config::default(), Box::new(Nonce(seed))).unwrap();
        let (step, error, written) = serve(&all_versions(), &client.take_outgoing(NOW).unwrap());
        prop_assert_eq!((step, error), (Step::Done, None));
        prop_assert_eq!(client.poll(NOW, &mut Input::new(&mut written.clone())), ClientStep::Done);
    }
}

#[test]
fn threat_065_exactly_eight_bytes_are_taken() {
    for version in [Version::Hixie76, Version::Hybi02] {
        let good = sent(version);
        let frame = if version == Version::Hixie76 { &b"\0Hi\xff"[..] } else { b"\x04\x02Hi" };
        let bytes = [&good, frame].concat();
        for pieces in splits(&bytes) {
            let mut server = ServerHandshake::new(NOW, all_versions());
            assert_eq!(serve_all(&mut server, &pieces, &Accept::new()).0, ["Hi"]);
        }
        // With seven there is no handshake.
        let mut server = ServerHandshake::new(NOW, all_versions());
        assert_eq!(feed_server(&mut server, &[&good[..good.len() - 1]], &Accept::new(), |_| {}), Step::NeedInput);
        server.take_outgoing(NOW);
        server.eof(NOW);
        assert_eq!(server.poll(NOW, &mut Input::empty()), Step::Rejected);
        assert_eq!((server.error(), server.wants_shutdown()), (Some(&HandshakeError::Eof), Some(Shutdown::Both)));
        assert!(!server.wants_write() && server.into_connection(Box::new(NoEntropy)).is_err());
        // Nor if the stream ends while the application decides.
        let mut server = ServerHandshake::new(NOW, all_versions());
        server.poll(NOW, &mut Input::new(&mut good[..good.len() - 1].to_vec()));
        server.eof(NOW);
        server.accept(NOW, Accept::new()).unwrap();
        assert_eq!(server.poll(NOW, &mut Input::empty()), Step::Rejected);
        assert!(server.is_finished() && server.error() == Some(&HandshakeError::Eof));
    }
}

#[test]
fn threat_065_the_deadline_covers_the_wait_for_the_eight_bytes() {
    let after = |seconds| NOW.saturating_add(Duration::from_secs(seconds));
    let good = sent(Version::Hixie76);
    let (head, body) = good.split_at(good.len() - 8);
    for come in 0..=8 {
        for taken in [false, true] {
            let mut server = ServerHandshake::new(NOW, all_versions());
            server.poll(after(3), &mut Input::new(&mut head.to_vec()));
            server.accept(after(5), Accept::new()).unwrap();
            if taken {
                server.take_outgoing(after(6));
            }
            // One byte a second, which restarts nothing.
            for (at, byte) in body[..come].iter().enumerate() {
                server.poll(after(6).saturating_add(Duration::from_millis(at as u64)), &mut Input::new(&mut [*byte]));
            }
            if come == 8 {
                assert_eq!(server.poll(after(9), &mut Input::empty()), Step::Done);
                assert_eq!(server.into_connection(Box::new(NoEntropy)).unwrap().negotiated().version, Version::Hixie76);
                continue;
            }
            assert_eq!(server.poll_timeout(), Some(after(10)), "{come} {taken}");
            assert_eq!(server.poll(after(9), &mut Input::empty()), Step::NeedInput);
            server.handle_timeout(after(10));
            assert_eq!(server.poll(after(10), &mut Input::empty()), Step::Rejected);
            assert_eq!(server.error(), Some(&HandshakeError::Timeout));
            // The head may be on the wire, so nothing else can be said.
            assert!(server.is_finished() && !server.wants_write() && server.poll_timeout().is_none());
        }
    }
}

/// What holds of the limit on early bytes in version 13 holds here: no flood while the application decides.
#[test]
fn threat_065_early_bytes_are_bounded() {
    let good = sent(Version::Hixie76);
    let mut server = ServerHandshake::new(NOW, all_versions());
    assert_eq!(server.poll(NOW, &mut Input::new(&mut good.clone())), Step::Request);
    let mut flood = vec![0; 64 * 1024];
    assert_eq!(server.poll(NOW, &mut Input::new(&mut flood)), Step::Rejected);
    assert_eq!(server.error(), Some(&HandshakeError::EarlyData));
}

fn with_policy() -> ServerConfig {
    let mut config = all_versions();
    config.flash_policy = Some(FlashPolicy::new("example.com", [80]).unwrap());
    config
}

#[test]
fn threat_076_flash_policy_files_only_if_switched_on() {
    let asked = b"<policy-file-request/>\0";
    let (step, error, written) = serve(&all_versions(), asked);
    assert_eq!((step, error), (Step::Rejected, Some(HandshakeError::Head(HeadError::NotHttp))));
    assert_eq!(written, b"");
    let config = with_policy();
    let file = [config.flash_policy.as_ref().unwrap().file().as_bytes(), b"\0"].concat();
    for tail in [&b""[..], b"GET / HTTP/1.1\r\n\r\n"] {
        let bytes = [&asked[..], tail].concat();
        for pieces in splits(&bytes) {
            let mut server = ServerHandshake::new(NOW, config.clone());
            let step = feed_server(&mut server, &pieces, &Accept::new(), |_| panic!("there is no request"));
            assert_eq!((step, server.error()), (Step::Rejected, Some(&HandshakeError::PolicyFile)));
            assert_eq!(server.take_outgoing(NOW).unwrap(), file);
            assert_eq!(server.wants_shutdown(), Some(Shutdown::Write));
            server.eof(NOW);
            assert!(server.is_finished());
        }
    }
    for (bytes, at) in [(&b"<policy-file-request/> "[..], 23), (b"<x", 2), (b"<?xml", 2), (b"\0<policy", 1)] {
        let mut server = ServerHandshake::new(NOW, config.clone());
        let judged = bytes.iter().position(|b| server.poll(NOW, &mut Input::new(&mut [*b])) == Step::Rejected);
        assert_eq!((judged, server.wants_write()), (Some(at - 1), false));
        assert_eq!(server.error(), Some(&HandshakeError::Head(HeadError::NotHttp)));
    }
    // It only is one at the very beginning, and it can't be waited for without end.
    let (_, error, _) = serve(&config, b"GET<policy-file-request/>\0");
    assert_eq!(error, Some(HandshakeError::Head(HeadError::FirstLine)));
    let mut server = ServerHandshake::new(NOW, config.clone());
    assert_eq!(server.poll(NOW, &mut Input::new(&mut asked[..10].to_vec())), Step::NeedInput);
    assert!(server.wants_read());
    server.handle_timeout(server.poll_timeout().unwrap());
    assert!(server.is_finished() && server.error() == Some(&HandshakeError::Timeout));
    assert_eq!(serve(&config, &sent(Version::Rfc6455)).0, Step::Done);
}

/// What a client makes of a refusal.
fn refused(version: Version, answer: &str) -> ClientHandshake {
    let mut client =
        ClientHandshake::new(NOW, &request(version), Config::default(), Box::new(Nonce(Vec::new()))).unwrap();
    assert_eq!(client.poll(NOW, &mut Input::new(&mut answer.as_bytes().to_vec())), ClientStep::Refused);
    client
}

#[test]
fn a_list_of_other_versions_is_told() {
    let answer = |status, lines: &str| format!("HTTP/1.1 {status} X\r\n{lines}Content-Length: 0\r\n\r\n");
    for status in [400, 426] {
        for list in [
            "Sec-WebSocket-Version: 8, 7\r\n",
            "Sec-WebSocket-Version: 8\r\nsec-websocket-version: 7\r\n",
            "Sec-WebSocket-Version: 0,7,8,9,256,x\r\n",
        ] {
            let client = refused(Version::Rfc6455, &answer(status, list));
            let offered = Versions::NONE.with(Version::Hybi07).with(Version::Hybi08);
            assert_eq!(client.error(), Some(&HandshakeError::VersionRefused { status, offered }));
            assert_eq!(client.offered_versions(), offered);
            assert_eq!(client.best_common(Versions::ALL), Some(Version::Hybi08));
            assert_eq!(client.best_common(Versions::ALL.without(Version::Hybi08)), Some(Version::Hybi07));
            assert_eq!(client.best_common(Versions::MODERN), None);
        }
        // Not about the version.
        for list in ["", "Sec-WebSocket-Version: 13, 8\r\n", "Sec-WebSocket-Version: 99\r\n"] {
            let client = refused(Version::Rfc6455, &answer(status, list));
            assert_eq!(client.error(), Some(&HandshakeError::Status(status)));
            assert_eq!((client.offered_versions(), client.best_common(Versions::ALL)), (Versions::NONE, None));
        }
    }
    let client = refused(Version::Rfc6455, &answer(403, "Sec-WebSocket-Version: 8\r\n"));
    assert_eq!(client.error(), Some(&HandshakeError::Status(403)));
    // Every version against a server that only speaks another one.
    for version in Version::ALL.iter().copied() {
        for served in Version::ALL.iter().copied().filter(|served| *served != version) {
            let (_, _, written) = serve(&serving(Versions::NONE.with(served)), &sent(version));
            let client = refused(version, std::str::from_utf8(&written).unwrap());
            let common = served.number().map(|_| served);
            assert_eq!(client.best_common(Versions::ALL), common, "{version} {served}");
        }
    }
}
