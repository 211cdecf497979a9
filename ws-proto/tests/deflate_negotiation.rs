//! How `permessage-deflate` and `deflate-frame` are agreed on (RFC 7692 section 7.1), in tables.
#![cfg(feature = "deflate")]

mod handshake_support;

use std::sync::Arc;

use handshake_support::*;
use proptest::prelude::*;
use ws_proto::deflate::{Deflate, DeflateFrame};
use ws_proto::extension::{Agreement, AnswerError, Extension, Extensions, Negotiate, ParameterError};
use ws_proto::handshake::{Accept, ClientRequest, ClientStep, HandshakeError, ServerConfig, ServerHandshake, Step};
use ws_proto::{Config, Input, Negotiated, NoEntropy};

/// Settings in words: `send=N` and `receive=N` limit the windows, `-send` and `-receive` are no takeover.
fn settings(words: &str) -> Deflate {
    let mut deflate = Deflate::default();
    for word in words.split_whitespace() {
        match word.split_once('=') {
            Some(("send", bits)) => deflate.send_window_bits = bits.parse().unwrap(),
            Some(("receive", bits)) => deflate.receive_window_bits = bits.parse().unwrap(),
            None if word == "-send" => deflate.send_takeover = false,
            None if word == "-receive" => deflate.receive_takeover = false,
            _ => panic!("unknown setting {word}"),
        }
    }
    deflate
}

fn only(extension: impl Negotiate + 'static) -> Extensions {
    Extensions::none().with(extension)
}

fn list(value: &str) -> Vec<Extension> {
    Extension::parse_list([value.as_bytes()]).unwrap()
}

/// What was agreed, in words: the bits of the server's window and of the client's, each with `-` if there is no takeover.
fn agreed(agreement: &Agreement) -> String {
    let codec = format!("{:?}", agreement.codec());
    let direction = |part: &str| {
        let bits = part.split([',', ' ']).next().unwrap();
        let takeover = part.split("takeover: ").nth(1).unwrap().starts_with("true");
        format!("{bits}{}", if takeover { "" } else { "-" })
    };
    let both: Vec<_> = codec.split("window_bits: ").skip(1).take(2).map(direction).collect();
    both.join(" ")
}

/// What an answer of permessage-deflate says, in the words of [`agreed`].
fn said(answer: &Extension) -> String {
    let flag = |name: &str| answer.params.iter().any(|(n, _)| **n == *name);
    let bits =
        |name: &str| answer.params.iter().find(|(n, _)| **n == *name).map_or("15", |(_, v)| v.as_deref().unwrap());
    let takeover = |name| if flag(name) { "-" } else { "" };
    format!(
        "{}{} {}{}",
        bits("server_max_window_bits"),
        takeover("server_no_context_takeover"),
        bits("client_max_window_bits"),
        takeover("client_no_context_takeover")
    )
}

// The server: settings, what is offered, and the parameters of the answer (`-` if there is none).

const NONE: &str = "-";
/// The answer `permessage-deflate`, without parameters.
const BARE: &str = "";
const BOTH: &str = "server_no_context_takeover; client_no_context_takeover";

/// Offers as browsers, `ws`, websocket-sharp and others send them, and all forms of one parameter.
const DEFAULTS: &[(&str, &str)] = &[
    ("permessage-deflate", BARE),
    ("permessage-deflate; client_max_window_bits", BARE),
    ("permessage-deflate; client_max_window_bits=8", "client_max_window_bits=8"),
    ("permessage-deflate; client_max_window_bits=9", "client_max_window_bits=9"),
    ("permessage-deflate; client_max_window_bits=14", "client_max_window_bits=14"),
    ("permessage-deflate; client_max_window_bits=15", BARE),
    ("permessage-deflate; client_max_window_bits=\"15\"", BARE),
    ("permessage-deflate; client_max_window_bits=\"1\\0\"", "client_max_window_bits=10"),
    ("permessage-deflate; server_max_window_bits=8", "server_max_window_bits=8"),
    ("permessage-deflate; server_max_window_bits=9", "server_max_window_bits=9"),
    ("permessage-deflate; server_max_window_bits=10", "server_max_window_bits=10"),
    ("permessage-deflate; server_max_window_bits=15", "server_max_window_bits=15"),
    ("permessage-deflate; server_max_window_bits=\"10\"", "server_max_window_bits=10"),
    ("permessage-deflate; server_no_context_takeover", "server_no_context_takeover"),
    ("permessage-deflate; client_no_context_takeover", "client_no_context_takeover"),
    // websocket-sharp; its client takes this answer and no other.
    ("permessage-deflate; server_no_context_takeover; client_no_context_takeover", BOTH),
    ("permessage-deflate; client_no_context_takeover; server_no_context_takeover", BOTH),
    ("permessage-deflate ;client_no_context_takeover", "client_no_context_takeover"),
    ("permessage-deflate; client_max_window_bits; server_max_window_bits=15", "server_max_window_bits=15"),
    (
        "permessage-deflate; client_max_window_bits=9; server_max_window_bits=10; client_no_context_takeover; \
         server_no_context_takeover",
        "server_no_context_takeover; client_no_context_takeover; server_max_window_bits=10; client_max_window_bits=9",
    ),
    // Unknown.
    ("permessage-deflate; foo", NONE),
    ("permessage-deflate; foo=1", NONE),
    ("permessage-deflate; max_window_bits=10", NONE),
    ("permessage-deflate; no_context_takeover", NONE),
    ("permessage-deflate; Server_No_Context_Takeover", NONE),
    ("permessage-deflate; client_max_window_bits; foo", NONE),
    // Repeated.
    ("permessage-deflate; server_no_context_takeover; server_no_context_takeover", NONE),
    ("permessage-deflate; client_no_context_takeover; client_no_context_takeover", NONE),
    ("permessage-deflate; client_max_window_bits; client_max_window_bits=10", NONE),
    ("permessage-deflate; client_max_window_bits; client_max_window_bits", NONE),
    ("permessage-deflate; server_max_window_bits=10; server_max_window_bits=10", NONE),
    // A value where none is allowed.
    ("permessage-deflate; server_no_context_takeover=1", NONE),
    ("permessage-deflate; server_no_context_takeover=\"true\"", NONE),
    ("permessage-deflate; client_no_context_takeover=true", NONE),
    // No value where one must be, or a wrong one.
    ("permessage-deflate; server_max_window_bits", NONE),
    ("permessage-deflate; server_max_window_bits=7", NONE),
    ("permessage-deflate; server_max_window_bits=16", NONE),
    ("permessage-deflate; server_max_window_bits=010", NONE),
    ("permessage-deflate; server_max_window_bits=x", NONE),
    ("permessage-deflate; server_max_window_bits=+9", NONE),
    ("permessage-deflate; client_max_window_bits=7", NONE),
    ("permessage-deflate; client_max_window_bits=16", NONE),
    ("permessage-deflate; client_max_window_bits=08", NONE),
    ("permessage-deflate; client_max_window_bits=-9", NONE),
    ("permessage-deflate; client_max_window_bits=1e1", NONE),
    // Other names.
    ("PERMESSAGE-DEFLATE", NONE),
    ("permessage-deflat", NONE),
    ("permessage-deflate2", NONE),
    ("deflate-stream", NONE),
    ("permessage-bzip2, permessage-snappy", NONE),
    ("permessage-compress; method=deflate", NONE),
    ("x-webkit-deflate-frame", NONE),
    ("", NONE),
    // Alternatives: the first that can be used.
    ("permessage-deflate, permessage-deflate", BARE),
    ("permessage-deflate,, permessage-deflate", BARE),
    (", permessage-deflate ,", BARE),
    ("x, permessage-deflate; client_max_window_bits", BARE),
    ("permessage-deflate; foo, permessage-deflate", BARE),
    (
        "permessage-deflate; server_max_window_bits=10; client_max_window_bits, permessage-deflate",
        "server_max_window_bits=10",
    ),
    (
        "permessage-deflate; foo=1, permessage-deflate; server_max_window_bits=20, \
         permessage-deflate; client_max_window_bits=12",
        "client_max_window_bits=12",
    ),
    ("permessage-deflate; client_no_context_takeover, permessage-deflate; foo", "client_no_context_takeover"),
    ("x-webkit-deflate-frame, permessage-deflate; server_no_context_takeover", "server_no_context_takeover"),
];

/// Settings, offers and answers.
const SETTINGS: &[(&str, &str, &str)] = &[
    // What the server limits of its own, it says, asked or not.
    ("send=12", "permessage-deflate", "server_max_window_bits=12"),
    ("send=12", "permessage-deflate; server_max_window_bits=15", "server_max_window_bits=12"),
    ("send=12", "permessage-deflate; server_max_window_bits=10", "server_max_window_bits=10"),
    ("send=8", "permessage-deflate; server_max_window_bits=9", "server_max_window_bits=8"),
    ("-send", "permessage-deflate", "server_no_context_takeover"),
    ("-send", "permessage-deflate; server_no_context_takeover", "server_no_context_takeover"),
    ("send=9 -send", "permessage-deflate", "server_no_context_takeover; server_max_window_bits=9"),
    // What it limits of the client's, only a client that offers it can be told.
    ("receive=12", "permessage-deflate", NONE),
    ("receive=12", "permessage-deflate; server_max_window_bits=10", NONE),
    ("receive=12", "permessage-deflate; client_max_window_bits", "client_max_window_bits=12"),
    ("receive=12", "permessage-deflate; client_max_window_bits=15", "client_max_window_bits=12"),
    ("receive=12", "permessage-deflate; client_max_window_bits=12", "client_max_window_bits=12"),
    ("receive=12", "permessage-deflate; client_max_window_bits=9", "client_max_window_bits=9"),
    ("receive=8", "permessage-deflate; client_max_window_bits", "client_max_window_bits=8"),
    ("receive=12", "permessage-deflate, permessage-deflate; client_max_window_bits", "client_max_window_bits=12"),
    ("receive=12", "permessage-deflate; server_no_context_takeover; client_no_context_takeover", NONE),
    ("-receive", "permessage-deflate", "client_no_context_takeover"),
    ("-receive", "permessage-deflate; client_no_context_takeover", "client_no_context_takeover"),
    ("-send -receive", "permessage-deflate; client_max_window_bits", BOTH),
    ("-send -receive", "permessage-deflate; server_no_context_takeover; client_no_context_takeover", BOTH),
    (
        "send=11 receive=9 -send -receive",
        "permessage-deflate; client_max_window_bits",
        "server_no_context_takeover; client_no_context_takeover; server_max_window_bits=11; client_max_window_bits=9",
    ),
    // Out of range: the nearest in it.
    ("send=0", "permessage-deflate", "server_max_window_bits=8"),
    ("send=255 receive=16", "permessage-deflate", BARE),
    ("receive=7", "permessage-deflate; client_max_window_bits", "client_max_window_bits=8"),
];

/// The 101 of a server with these extensions to a request with these offers.
fn answer_line(extensions: &Extensions, offers: &str) -> Option<String> {
    let mut config = ServerConfig::default();
    config.extensions = extensions.clone();
    let head = Head::request().line(&format!("Sec-WebSocket-Extensions: {offers}"));
    let mut handshake = ServerHandshake::new(NOW, config);
    assert_eq!(handshake.poll(NOW, &mut Input::new(&mut head.bytes())), Step::Request, "{offers}");
    handshake.accept(NOW, Accept::new()).unwrap();
    let written = String::from_utf8(handshake.outgoing().flatten().copied().collect()).unwrap();
    let mut lines = written.split("\r\n").filter_map(|line| line.strip_prefix("Sec-WebSocket-Extensions: "));
    let line = lines.next().map(Into::into);
    assert_eq!(lines.next(), None);
    line
}

fn check_server(words: &str, offers: &str, expected: &str) {
    let expected = match expected {
        NONE => None,
        BARE => Some("permessage-deflate".to_owned()),
        params => Some(format!("permessage-deflate; {params}")),
    };
    let extensions = only(settings(words));
    let answer = extensions.answer(&list(offers));
    assert_eq!(answer.as_ref().map(|a| a.extension().to_string()), expected, "{words:?} {offers}");
    assert_eq!(answer_line(&extensions, offers), expected, "{words:?} {offers}");
    if let Some(answer) = answer {
        assert_eq!(agreed(&answer), said(answer.extension()), "{words:?} {offers}");
    }
}

#[test]
fn what_a_server_answers() {
    assert!(DEFAULTS.len() + SETTINGS.len() >= 80);
    for (offers, answer) in DEFAULTS {
        check_server("", offers, answer);
    }
    for (words, offers, answer) in SETTINGS {
        check_server(words, offers, answer);
    }
}

#[test]
fn why_an_offer_is_declined() {
    for (words, offer, why) in [
        ("", "permessage-deflate; foo", ParameterError::Unknown),
        ("", "permessage-deflate; client_max_window_bits=9; client_max_window_bits", ParameterError::Repeated),
        ("", "permessage-deflate; client_no_context_takeover; client_no_context_takeover=1", ParameterError::Repeated),
        ("", "permessage-deflate; server_max_window_bits", ParameterError::ValueMissing),
        ("", "permessage-deflate; server_no_context_takeover=1", ParameterError::ValueNotAllowed),
        ("", "permessage-deflate; server_max_window_bits=7", ParameterError::Value),
        ("receive=14", "permessage-deflate", ParameterError::Unacceptable),
    ] {
        assert_eq!(settings(words).answer(&list(offer)[0]), Some(Err(why)), "{offer}");
    }
    assert_eq!(Deflate::default().answer(&Extension::new("x")), None);
}

// The client: settings, the server's answer, and what comes of it.

/// What a client offers, by its settings.
const OFFERS: &[(&str, &str)] = &[
    ("", "permessage-deflate; client_max_window_bits"),
    ("send=15 receive=15", "permessage-deflate; client_max_window_bits"),
    ("send=10", "permessage-deflate; client_max_window_bits=10"),
    ("send=3", "permessage-deflate; client_max_window_bits=8"),
    ("receive=10", "permessage-deflate; server_max_window_bits=10; client_max_window_bits"),
    ("-receive", "permessage-deflate; server_no_context_takeover; client_max_window_bits"),
    ("-send", "permessage-deflate; client_no_context_takeover; client_max_window_bits"),
    (
        "send=9 receive=12 -send -receive",
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=12; \
         client_max_window_bits=9",
    ),
];

#[test]
fn what_a_client_offers() {
    for (words, offer) in OFFERS {
        let extensions = only(settings(words));
        assert_eq!(extensions.offers(), list(offer), "{words}");
        let mut handshake = client(&ClientRequest::new(target()).extensions(extensions), &Arc::default());
        let written = String::from_utf8(handshake.take_outgoing(NOW).unwrap().to_vec()).unwrap();
        let line = format!("\r\nSec-WebSocket-Extensions: {offer}\r\n");
        assert_eq!((written.contains(&line), written.matches("Extensions").count()), (true, 1), "{written}");
    }
}

/// What comes of an answer.
enum Comes {
    /// In the words of `agreed`.
    Of(&'static str),
    Wrong(ParameterError),
    Fault(HandshakeError),
}
use Comes::*;
use ParameterError::*;

const ANSWERS: &[(&str, &str, Comes)] = &[
    ("", "permessage-deflate", Of("15 15")),
    ("", "permessage-deflate; server_max_window_bits=10", Of("10 15")),
    ("", "permessage-deflate; server_max_window_bits=15", Of("15 15")),
    ("", "permessage-deflate; server_max_window_bits=\"8\"", Of("8 15")),
    ("", "permessage-deflate; client_max_window_bits=10", Of("15 10")),
    ("", "permessage-deflate; client_max_window_bits=8", Of("15 8")),
    ("", "permessage-deflate; client_max_window_bits=15", Of("15 15")),
    ("", "permessage-deflate; server_no_context_takeover", Of("15- 15")),
    ("", "permessage-deflate; client_no_context_takeover", Of("15 15-")),
    ("", "permessage-deflate; client_no_context_takeover; server_no_context_takeover", Of("15- 15-")),
    (
        "",
        "permessage-deflate; client_max_window_bits=9; server_max_window_bits=8;client_no_context_takeover",
        Of("8 9-"),
    ),
    ("", ", permessage-deflate ,", Of("15 15")),
    // What is wrong by itself.
    ("", "permessage-deflate; foo", Wrong(Unknown)),
    ("", "permessage-deflate; foo=1; client_max_window_bits=10", Wrong(Unknown)),
    ("", "permessage-deflate; SERVER_MAX_WINDOW_BITS=10", Wrong(Unknown)),
    ("", "permessage-deflate; server_no_context_takeover; server_no_context_takeover", Wrong(Repeated)),
    ("", "permessage-deflate; client_no_context_takeover; client_no_context_takeover", Wrong(Repeated)),
    ("", "permessage-deflate; server_max_window_bits=10; server_max_window_bits=10", Wrong(Repeated)),
    ("", "permessage-deflate; server_max_window_bits=10; server_max_window_bits=11", Wrong(Repeated)),
    ("", "permessage-deflate; client_max_window_bits=10; client_max_window_bits=10", Wrong(Repeated)),
    ("", "permessage-deflate; server_no_context_takeover=1", Wrong(ValueNotAllowed)),
    ("", "permessage-deflate; client_no_context_takeover=true", Wrong(ValueNotAllowed)),
    ("", "permessage-deflate; server_max_window_bits", Wrong(ValueMissing)),
    // In an offer the value may be left out, not here.
    ("", "permessage-deflate; client_max_window_bits", Wrong(ValueMissing)),
    ("", "permessage-deflate; server_max_window_bits=7", Wrong(Value)),
    ("", "permessage-deflate; server_max_window_bits=16", Wrong(Value)),
    ("", "permessage-deflate; client_max_window_bits=0", Wrong(Value)),
    ("", "permessage-deflate; client_max_window_bits=010", Wrong(Value)),
    ("", "permessage-deflate; client_max_window_bits=1000", Wrong(Value)),
    // The client's own limits hold, whatever the server says.
    ("send=10", "permessage-deflate", Of("15 10")),
    ("send=10", "permessage-deflate; client_max_window_bits=15", Of("15 10")),
    ("send=10", "permessage-deflate; client_max_window_bits=10", Of("15 10")),
    ("send=10", "permessage-deflate; client_max_window_bits=9", Of("15 9")),
    ("-send", "permessage-deflate", Of("15 15-")),
    ("-send", "permessage-deflate; client_no_context_takeover", Of("15 15-")),
    ("send=9 -send", "permessage-deflate; server_max_window_bits=12", Of("12 9-")),
    // What it demands of the server has to be in the answer.
    ("receive=10", "permessage-deflate; server_max_window_bits=10", Of("10 15")),
    ("receive=10", "permessage-deflate; server_max_window_bits=9", Of("9 15")),
    ("receive=10", "permessage-deflate; server_max_window_bits=9; client_max_window_bits=11", Of("9 11")),
    ("receive=10", "permessage-deflate", Wrong(NotHonoured)),
    ("receive=10", "permessage-deflate; client_max_window_bits=10", Wrong(NotHonoured)),
    ("receive=10", "permessage-deflate; server_max_window_bits=11", Wrong(NotHonoured)),
    ("receive=10", "permessage-deflate; server_max_window_bits=15", Wrong(NotHonoured)),
    ("receive=10", "permessage-deflate; server_max_window_bits=16", Wrong(Value)),
    ("receive=10", "permessage-deflate; server_no_context_takeover", Wrong(NotHonoured)),
    ("-receive", "permessage-deflate; server_no_context_takeover", Of("15- 15")),
    ("-receive", "permessage-deflate; server_no_context_takeover; client_no_context_takeover", Of("15- 15-")),
    ("-receive", "permessage-deflate", Wrong(NotHonoured)),
    ("-receive", "permessage-deflate; client_no_context_takeover", Wrong(NotHonoured)),
    ("-receive", "permessage-deflate; server_max_window_bits=8", Wrong(NotHonoured)),
    ("-receive receive=9", "permessage-deflate; server_max_window_bits=9", Wrong(NotHonoured)),
    ("-receive receive=9", "permessage-deflate; server_no_context_takeover", Wrong(NotHonoured)),
    ("-receive receive=9", "permessage-deflate; server_no_context_takeover; server_max_window_bits=9", Of("9- 15")),
    // Not this extension, or not it alone.
    ("", "x-webkit-deflate-frame", Fault(HandshakeError::ExtensionNotOffered)),
    ("", "deflate-frame", Fault(HandshakeError::ExtensionNotOffered)),
    ("", "PERMESSAGE-DEFLATE", Fault(HandshakeError::ExtensionNotOffered)),
    ("", "x, permessage-deflate", Fault(HandshakeError::ExtensionNotOffered)),
    ("", "permessage-deflate, permessage-deflate", Fault(HandshakeError::ExtensionSeveral)),
    ("", "permessage-deflate, x", Fault(HandshakeError::ExtensionSeveral)),
    (
        "receive=10",
        "permessage-deflate; server_max_window_bits=10, permessage-deflate",
        Fault(HandshakeError::ExtensionSeveral),
    ),
    // No list.
    ("", "permessage-deflate;", Fault(HandshakeError::ExtensionSyntax)),
    ("", "permessage-deflate; server_max_window_bits=", Fault(HandshakeError::ExtensionSyntax)),
    ("", "permessage-deflate; server_max_window_bits=\"\"", Fault(HandshakeError::ExtensionSyntax)),
    ("", "permessage-deflate server_max_window_bits=10", Fault(HandshakeError::ExtensionSyntax)),
    ("", "permessage-deflate=1", Fault(HandshakeError::ExtensionSyntax)),
];

/// What a client with these settings makes of a 101 with this answer.
fn judged(words: &str, answer: &str) -> Result<Option<Agreement>, HandshakeError> {
    let request = ClientRequest::new(target()).extensions(only(settings(words)));
    let mut handshake = client(&request, &Arc::default());
    let head = Head::response().line(&format!("Sec-WebSocket-Extensions: {answer}"));
    match handshake.poll(NOW, &mut Input::new(&mut head.bytes())) {
        ClientStep::Done => Ok(handshake.into_connection().unwrap().0.negotiated().extension.clone()),
        step => {
            assert_eq!(step, ClientStep::Failed);
            Err(*handshake.error().unwrap())
        }
    }
}

/// Nothing of an answer that does not fit the offer is overlooked.
#[test]
fn threat_042_answers_that_do_not_fit_the_offer_fail_the_connection() {
    assert!(ANSWERS.len() >= 60);
    for (words, answer, comes) in ANSWERS {
        let expected = match comes {
            Of(agreed) => Ok((*agreed).to_owned()),
            Wrong(error) => Err(HandshakeError::ExtensionParameter(*error)),
            Fault(error) => Err(*error),
        };
        let judged = judged(words, answer);
        assert_eq!(judged.map(|agreement| agreed(&agreement.unwrap())), expected, "{words:?} {answer}");
    }
    // A client that offered nothing takes nothing; one that offered something takes nothing, too.
    let head = Head::response().line("Sec-WebSocket-Extensions: permessage-deflate");
    assert_eq!(wrong(&ClientRequest::new(target()), &head), HandshakeError::ExtensionNotOffered);
    for words in ["", "receive=10 -receive"] {
        assert_eq!(judged(words, ""), Ok(None));
        right(&ClientRequest::new(target()).extensions(only(settings(words))), &Head::response());
    }
}

/// Values of a window parameter, and whether they are one.
const VALUES: &[(&str, Option<u8>)] = &[
    ("8", Some(8)),
    ("9", Some(9)),
    ("10", Some(10)),
    ("15", Some(15)),
    ("\"8\"", Some(8)),
    ("\"15\"", Some(15)),
    ("0", None),
    ("00", None),
    ("1", None),
    ("7", None),
    ("\"7\"", None),
    ("16", None),
    ("\"16\"", None),
    ("08", None),
    ("\"08\"", None),
    ("015", None),
    ("18", None),
    ("80", None),
    ("100", None),
    ("108", None),
    ("264", None),
    ("1000", None),
    ("65544", None),
    ("4294967304", None),
    ("100000000000000000000", None),
    ("18446744073709551624", None),
    ("-8", None),
    ("+8", None),
    ("8.0", None),
    ("0x8", None),
    ("1e1", None),
    ("x", None),
];

#[test]
fn threat_041_window_bits_are_8_to_15_or_there_is_no_extension() {
    for (name, servers) in [
        ("server_max_window_bits", ["", "send=8", "send=9 -receive"]),
        ("client_max_window_bits", ["", "receive=8", "send=8 receive=14"]),
    ] {
        for (value, bits) in VALUES {
            let text = format!("permessage-deflate; {name}={value}");
            for words in servers {
                let answer = only(settings(words)).answer(&list(&text));
                assert_eq!(answer.is_some(), bits.is_some(), "{words:?} {text}");
            }
            let taken = judged("", &text);
            match bits {
                Some(bits) if name.starts_with('s') => {
                    assert_eq!(agreed(&taken.unwrap().unwrap()), format!("{bits} 15"))
                }
                Some(bits) => assert_eq!(agreed(&taken.unwrap().unwrap()), format!("15 {bits}")),
                None => assert_eq!(taken, Err(HandshakeError::ExtensionParameter(Value)), "{text}"),
            }
        }
        // Empty: no list at all. Repeated, equal or not: no offer, no answer.
        for empty in ["=", "=\"\""] {
            let text = format!("permessage-deflate; {name}{empty}");
            let head = Head::request().line(&format!("Sec-WebSocket-Extensions: {text}"));
            assert_eq!(fault(&head), (HandshakeError::ExtensionSyntax, 400));
            assert_eq!(judged("", &text), Err(HandshakeError::ExtensionSyntax));
        }
        for other in ["8", "9", "x", "\"8\""] {
            let text = format!("permessage-deflate; {name}=8; {name}={other}");
            assert_eq!(only(Deflate::default()).answer(&list(&text)), None, "{text}");
            assert_eq!(judged("", &text), Err(HandshakeError::ExtensionParameter(Repeated)));
        }
    }
}

// Both ends

/// A whole handshake of a client and a server; gives what each end has then.
fn shake_hands(offered: Extensions, served: Extensions) -> (Negotiated, Negotiated) {
    let request = ClientRequest::new(target()).extensions(offered);
    let mut client = client(&request, &Arc::new(Config::default()));
    let mut config = ServerConfig::default();
    config.extensions = served;
    let mut server = ServerHandshake::new(NOW, config);
    let mut bytes = client.take_outgoing(NOW).unwrap().to_vec();
    assert_eq!(server.poll(NOW, &mut Input::new(&mut bytes)), Step::Request);
    server.accept(NOW, Accept::new()).unwrap();
    let mut bytes = server.take_outgoing(NOW).unwrap().to_vec();
    assert_eq!(client.poll(NOW, &mut Input::new(&mut bytes)), ClientStep::Done, "{:?}", client.error());
    let server = server.into_connection(Box::new(NoEntropy)).unwrap();
    let (client, _) = client.into_connection().unwrap();
    (client.negotiated().clone(), server.negotiated().clone())
}

fn any_settings() -> impl Strategy<Value = Deflate> {
    let bits = || prop_oneof![6 => 8..=15_u8, 2 => Just(15), 1 => any::<u8>()];
    (bits(), bits(), any::<bool>(), any::<bool>(), any::<u8>(), any::<u8>()).prop_map(
        |(send, receive, send_takeover, receive_takeover, level, memory)| {
            let mut deflate = Deflate::default();
            (deflate.send_window_bits, deflate.receive_window_bits) = (send, receive);
            (deflate.send_takeover, deflate.receive_takeover) = (send_takeover, receive_takeover);
            (deflate.level, deflate.memory_level) = (level, memory);
            deflate
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the settings: both ends agree to the same, which is what both allow and no less.
    #[test]
    fn any_client_and_any_server_agree(ours in any_settings(), theirs in any_settings()) {
        let (client, server) = shake_hands(only(ours), only(theirs));
        let (client, server) = (client.extension.unwrap(), server.extension.unwrap());
        prop_assert_eq!(&client, &server);
        let direction = |by: Deflate, to: Deflate| {
            let bits = by.send_window_bits.min(to.receive_window_bits).clamp(8, 15);
            format!("{bits}{}", if by.send_takeover && to.receive_takeover { "" } else { "-" })
        };
        let expected = format!("{} {}", direction(theirs, ours), direction(ours, theirs));
        prop_assert_eq!(agreed(&client), expected.clone());
        prop_assert_eq!(agreed(&server), expected);
    }

    #[test]
    fn an_end_without_extensions_goes_without(ours in any_settings()) {
        for (offered, served) in [(only(ours), Extensions::none()), (Extensions::none(), only(ours))] {
            let (client, server) = shake_hands(offered, served);
            prop_assert_eq!((client.extension, server.extension), (None, None));
        }
    }
}

// Per-frame compression

/// Settings, offers, the answer, and what is agreed.
const FRAME: &[(&str, &str, &str, &str)] = &[
    ("", "x-webkit-deflate-frame", "x-webkit-deflate-frame", "15 15"),
    ("", "deflate-frame", "deflate-frame", "15 15"),
    ("", "deflate-frame; max_window_bits=8", "deflate-frame", "8 15"),
    ("", "deflate-frame; max_window_bits=15", "deflate-frame", "15 15"),
    ("", "deflate-frame; no_context_takeover", "deflate-frame", "15- 15"),
    ("", "x-webkit-deflate-frame; no_context_takeover; max_window_bits=\"9\"", "x-webkit-deflate-frame", "9- 15"),
    ("send=10", "deflate-frame; max_window_bits=12", "deflate-frame", "10 15"),
    ("-send", "deflate-frame", "deflate-frame", "15- 15"),
    ("receive=11", "deflate-frame", "deflate-frame; max_window_bits=11", "15 11"),
    ("-receive", "deflate-frame", "deflate-frame; no_context_takeover", "15 15-"),
    ("receive=3 -receive", "deflate-frame", "deflate-frame; max_window_bits=8; no_context_takeover", "15 8-"),
    ("", "deflate-frame; x, x-webkit-deflate-frame", "x-webkit-deflate-frame", "15 15"),
    ("", "deflate-frame; max_window_bits", NONE, ""),
    ("", "deflate-frame; max_window_bits=7", NONE, ""),
    ("", "deflate-frame; max_window_bits=16", NONE, ""),
    ("", "deflate-frame; max_window_bits=09", NONE, ""),
    ("", "deflate-frame; max_window_bits=9; max_window_bits=9", NONE, ""),
    ("", "deflate-frame; no_context_takeover=1", NONE, ""),
    ("", "deflate-frame; no_context_takeover; no_context_takeover", NONE, ""),
    ("", "deflate-frame; server_max_window_bits=10", NONE, ""),
    ("", "Deflate-Frame", NONE, ""),
    ("", "perframe-deflate, permessage-deflate, deflate-stream", NONE, ""),
];

#[test]
fn what_a_server_answers_to_per_frame_compression() {
    for (words, offers, expected, what) in FRAME {
        let extensions = only(DeflateFrame::new(settings(words)));
        let answer = extensions.answer(&list(offers));
        let text = answer.as_ref().map_or(NONE.to_owned(), |a| a.extension().to_string());
        assert_eq!(text, *expected, "{words:?} {offers}");
        assert_eq!(answer_line(&extensions, offers), answer.as_ref().map(|a| a.extension().to_string()));
        if let Some(answer) = answer {
            assert_eq!(agreed(&answer), *what, "{words:?} {offers}");
            assert_eq!(answer.codec().scope(), ws_proto::extension::Scope::Frame);
        }
    }
}

#[test]
fn a_server_prefers_permessage_deflate() {
    let both = only(Deflate::default()).with(DeflateFrame::default());
    for (offers, answer) in [
        ("x-webkit-deflate-frame, permessage-deflate", Some("permessage-deflate")),
        ("permessage-deflate; client_max_window_bits, x-webkit-deflate-frame", Some("permessage-deflate")),
        ("permessage-deflate; foo, x-webkit-deflate-frame", Some("x-webkit-deflate-frame")),
        ("x-webkit-deflate-frame", Some("x-webkit-deflate-frame")),
        ("deflate-stream", None),
    ] {
        assert_eq!(answer_line(&both, offers).as_deref(), answer, "{offers}");
    }
}

#[test]
fn a_client_never_offers_per_frame_compression() {
    let both = only(DeflateFrame::default()).with(Deflate::default());
    assert_eq!(both.offers(), list("permessage-deflate; client_max_window_bits"));
    for name in ["x-webkit-deflate-frame", "deflate-frame"] {
        let head = Head::response().line(&format!("Sec-WebSocket-Extensions: {name}"));
        let request = ClientRequest::new(target()).extensions(both.clone());
        assert_eq!(wrong(&request, &head), HandshakeError::ExtensionNotOffered);
        assert_eq!(DeflateFrame::default().accept_answer(&Extension::new(name)), Err(NotOffered));
    }
}

#[test]
fn a_client_may_offer_the_same_extension_twice() {
    let mut strict = Deflate::default();
    strict.receive_takeover = false;
    let both = Extensions::none().with(strict).with(Deflate::default());
    let judge = |answer: &str| {
        let answers = Extension::parse_list([answer.as_bytes()]).unwrap();
        both.accept_answer(&answers).map(|agreed| agreed.is_some())
    };
    assert_eq!(judge("permessage-deflate; server_no_context_takeover"), Ok(true));
    assert_eq!(judge("permessage-deflate"), Ok(true));
    // The first refusal is the one that is reported.
    let refusal = Err(AnswerError::Parameter(ParameterError::Unknown));
    assert_eq!(judge("permessage-deflate; foo"), refusal);
}
