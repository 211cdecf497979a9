//! Extensions in the opening handshake (RFC 6455 section 9.1), with one made for these tests.

mod handshake_support;

use std::sync::Arc;

use handshake_support::*;
use proptest::prelude::*;
use ws_proto::extension::*;
use ws_proto::handshake::{
    Accept, ClientRequest, ClientStep, HandshakeError, ServerConfig, ServerHandshake, Step, SubprotocolPolicy,
};
use ws_proto::{Input, NoEntropy, ProtocolError, Role};

/// An extension without an effect but the bit RSV2, with the parameter `level=N` up to a limit. A client demands the limit,
/// a server answers with what it was asked for, or with its limit.
#[derive(Clone, Copy, Debug)]
struct Level(&'static str, u8);

fn level(extension: &Extension) -> Result<u8, ParameterError> {
    match &extension.params[..] {
        [] => Ok(9),
        [(name, _)] if **name != *"level" => Err(ParameterError::Unknown),
        [(_, value)] => {
            value.as_deref().ok_or(ParameterError::ValueMissing)?.parse().map_err(|_| ParameterError::Value)
        }
        _ => Err(ParameterError::Repeated),
    }
}

impl Negotiate for Level {
    fn offers(&self) -> Vec<Extension> {
        vec![Extension::new(self.0).with("level", Some(&self.1.to_string())), Extension::new(self.0)]
    }

    fn accept_answer(&self, answer: &Extension) -> Result<Agreement, ParameterError> {
        if level(answer)? > self.1 {
            Err(ParameterError::NotHonoured)
        } else {
            Ok(Agreement::new(answer.clone(), *self))
        }
    }

    fn answer(&self, offer: &Extension) -> Option<Result<Agreement, ParameterError>> {
        (*offer.name == *self.0).then(|| {
            let level = level(offer)?.min(self.1);
            Ok(Agreement::new(Extension::new(self.0).with("level", Some(&level.to_string())), *self))
        })
    }
}

impl Codec for Level {
    fn reserved_bits(&self) -> u8 {
        RSV2
    }

    fn decoder(&self, _: Role) -> Box<dyn Decoder> {
        Box::new(*self)
    }

    fn encoder(&self, _: Role) -> Box<dyn Encoder> {
        Box::new(*self)
    }
}

impl Decoder for Level {
    fn decode(&mut self, input: &[u8], _: bool, out: &mut Sink<'_>) -> Result<Decoded, ProtocolError> {
        let used = input.len().min(out.room());
        out.write(&input[..used])?;
        Ok(Decoded { used, done: used == input.len() })
    }
}

impl Encoder for Level {
    fn begin(&mut self, _: &Outgoing) -> Option<u8> {
        Some(RSV2)
    }

    fn encode(&mut self, piece: &[u8], _: bool, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        out.extend_from_slice(piece);
        Ok(())
    }
}

fn only(extension: impl Negotiate + 'static) -> Extensions {
    Extensions::none().with(extension)
}

fn serving(extensions: Extensions) -> ServerConfig {
    let mut config = ServerConfig::default();
    config.extensions = extensions;
    config
}

fn offering(value: &str) -> Head {
    Head::request().line(&format!("Sec-WebSocket-Extensions: {value}"))
}

/// The extension in the answer of a server.
fn answered(config: &ServerConfig, head: &Head, accept: &Accept) -> Option<String> {
    let answer = accepted_by(config.clone(), head, accept.clone());
    let mut lines = answer.split("\r\n").filter_map(|line| line.strip_prefix("Sec-WebSocket-Extensions: "));
    let value = lines.next().map(Into::into);
    assert_eq!(lines.next(), None, "{answer}");
    value
}

#[test]
fn n05_no_extension_is_answered_by_default() {
    assert!(ServerConfig::default().extensions.is_empty());
    assert_eq!(answered(&ServerConfig::default(), &offering("x; level=3"), &Accept::new()), None);
    assert_eq!(answered(&serving(only(Level("x", 9))), &Head::request(), &Accept::new()), None);
    assert_eq!(answered(&serving(only(Level("x", 9))), &offering("y"), &Accept::new()), None);
}

#[test]
fn a_server_takes_the_first_offer_it_can() {
    let config = serving(only(Level("x", 5)));
    for (offers, answer) in [
        ("x", "x; level=5"),
        ("x;level=3", "x; level=3"),
        ("y, x; level=\"4\"", "x; level=4"),
        ("x; foo, x; level=2, x; level=1", "x; level=2"),
    ] {
        assert_eq!(answered(&config, &offering(offers), &Accept::new()).as_deref(), Some(answer));
    }
    let lines = offering("y, x; foo").line("sec-websocket-extensions: x; level=1").line("Sec-WebSocket-Extensions: x");
    assert_eq!(answered(&config, &lines, &Accept::new()).as_deref(), Some("x; level=1"));
    // Of two, the one that the server prefers.
    let config = serving(only(Level("x", 5)).with(Level("y", 6)));
    assert_eq!(answered(&config, &offering("y, x"), &Accept::new()).as_deref(), Some("x; level=5"));
    assert_eq!(answered(&config, &offering("y, x; foo"), &Accept::new()).as_deref(), Some("y; level=6"));
}

#[test]
fn d05_only_an_extension_that_was_offered_and_after_the_subprotocol() {
    let mut config = serving(only(Level("x", 5)));
    config.subprotocols = SubprotocolPolicy::client_order(["chat"]).unwrap();
    let head = offering("x").line("Sec-WebSocket-Protocol: chat");
    let answer = accepted_by(config, &head, Accept::new().header("X-A", "b").unwrap());
    let tail = "\r\nSec-WebSocket-Protocol: chat\r\nSec-WebSocket-Extensions: x; level=5\r\nX-A: b\r\n\r\n";
    assert!(answer.ends_with(tail), "{answer}");
}

#[test]
fn the_application_chooses_for_a_request() {
    let config = serving(only(Level("x", 5)));
    let answer = |accept: Accept| answered(&config, &offering("x, y"), &accept);
    assert_eq!(answer(Accept::new()).as_deref(), Some("x; level=5"));
    assert_eq!(answer(Accept::new().no_extensions()), None);
    assert_eq!(answer(Accept::new().extensions(Extensions::none())), None);
    assert_eq!(answer(Accept::new().extensions(only(Level("y", 2)))).as_deref(), Some("y; level=2"));
    assert_eq!(answer(Accept::new().extensions(only(Level("z", 2)))), None);
    let without = ServerConfig::default();
    let accept = Accept::new().extensions(only(Level("x", 1)));
    assert_eq!(answered(&without, &offering("x, y"), &accept).as_deref(), Some("x; level=1"));
}

/// Offers are looked at up to a number, so that a request takes no more memory than its size is limited to.
#[test]
fn threat_077_many_offers_and_parameters() {
    let config = serving(only(Level("x", 5)));
    let answer = |offers: &str| answered(&config, &offering(offers), &Accept::new());
    assert_eq!(answer(&("y, ".repeat(31) + "x")).as_deref(), Some("x; level=5"));
    assert_eq!(answer(&("y, ".repeat(32) + "x")), None);
    assert_eq!(answer(&format!("x{}, x; level=2", "; a".repeat(33))).as_deref(), Some("x; level=2"));
    assert_eq!(answer(&format!("x{}", ";a=\"\\b\"".repeat(500))), None);
    assert_eq!(answer(&"x;a,".repeat(1000)), None);
}

/// A name or value that is no token never gets into a head.
#[test]
fn o06_a_bad_extension_of_the_program_is_left_out() {
    #[derive(Debug)]
    struct Bad(Extension);
    impl Negotiate for Bad {
        fn offers(&self) -> Vec<Extension> {
            vec![self.0.clone(), Extension::new("good")]
        }
        fn accept_answer(&self, answer: &Extension) -> Result<Agreement, ParameterError> {
            Ok(Agreement::new(answer.clone(), Level("good", 1)))
        }
        fn answer(&self, _: &Extension) -> Option<Result<Agreement, ParameterError>> {
            Some(Ok(Agreement::new(self.0.clone(), Level("good", 1))))
        }
    }
    for bad in [
        Extension::new(""),
        Extension::new("a\r\nX: y"),
        Extension::new("a b"),
        Extension::new("a").with("", None),
        Extension::new("a").with("b\n", None),
        Extension::new("a").with("b", Some("")),
        Extension::new("a").with("b", Some("c, d")),
        Extension::new("a").with("b", Some("\"c\"")),
    ] {
        assert_eq!(answered(&serving(only(Bad(bad.clone()))), &offering("x"), &Accept::new()), None);
        let request = ClientRequest::new(target()).extensions(only(Bad(bad)));
        let sent = client(&request, &Arc::default()).take_outgoing(NOW).unwrap();
        assert!(String::from_utf8_lossy(&sent).contains("\r\nSec-WebSocket-Extensions: good\r\n"));
    }
}

#[test]
fn b10_n03_the_offers_stand_on_one_line_in_order() {
    let request = ClientRequest::new(target()).extensions(only(Level("x", 5)).with(Level("y", 1)));
    let sent = client(&request, &Arc::default()).take_outgoing(NOW).unwrap();
    let sent = String::from_utf8_lossy(&sent);
    assert!(sent.contains("\r\nSec-WebSocket-Extensions: x; level=5, x, y; level=1, y\r\n"), "{sent}");
    assert_eq!(sent.matches("Extensions").count(), 1);
}

#[test]
fn e05_e08_a_client_judges_the_answer() {
    let request = ClientRequest::new(target()).extensions(only(Level("x", 5)).with(Level("y", 1)));
    let judge = |values: &[&str]| {
        let mut head = Head::response();
        for value in values {
            head = head.line(&format!("Sec-WebSocket-Extensions: {value}"));
        }
        wrong(&request, &head)
    };
    assert_eq!(judge(&["z"]), HandshakeError::ExtensionNotOffered);
    assert_eq!(judge(&["", "z; a=b"]), HandshakeError::ExtensionNotOffered);
    assert_eq!(judge(&["x; level=1, y; level=1"]), HandshakeError::ExtensionSeveral);
    assert_eq!(judge(&["x; level=1", "x; level=1"]), HandshakeError::ExtensionSeveral);
    assert_eq!(judge(&["x; level=1; level=2"]), HandshakeError::ExtensionParameter(ParameterError::Repeated));
    assert_eq!(judge(&["x; level"]), HandshakeError::ExtensionParameter(ParameterError::ValueMissing));
    assert_eq!(judge(&["x; level=x"]), HandshakeError::ExtensionParameter(ParameterError::Value));
    assert_eq!(judge(&["x; foo"]), HandshakeError::ExtensionParameter(ParameterError::Unknown));
    assert_eq!(judge(&["y; level=2"]), HandshakeError::ExtensionParameter(ParameterError::NotHonoured));
    assert_eq!(judge(&["x; level=1;"]), HandshakeError::ExtensionSyntax);
    for value in ["x; level=5", ",x;level=\"4\"", "y; level=1", ""] {
        right(&request, &Head::response().line(&format!("Sec-WebSocket-Extensions: {value}")));
    }
}

/// Both machines over each other: what each connection then has.
#[test]
fn both_ends_have_the_same_agreement() {
    for (offered, served, agreed) in [
        (only(Level("x", 5)), only(Level("x", 3)), Some("x; level=3")),
        (only(Level("x", 3)), only(Level("x", 5)), Some("x; level=3")),
        (only(Level("x", 3)).with(Level("y", 4)), only(Level("y", 5)), Some("y; level=4")),
        (only(Level("x", 3)), only(Level("y", 5)), None),
        (only(Level("x", 3)), Extensions::none(), None),
        (Extensions::none(), only(Level("x", 3)), None),
    ] {
        let mut client = client(&ClientRequest::new(target()).extensions(offered), &Arc::default());
        let mut server = ServerHandshake::new(NOW, serving(served));
        let mut bytes = client.take_outgoing(NOW).unwrap().to_vec();
        assert_eq!(server.poll(NOW, &mut Input::new(&mut bytes)), Step::Request);
        server.accept(NOW, Accept::new()).unwrap();
        let mut bytes = server.take_outgoing(NOW).unwrap().to_vec();
        assert_eq!(client.poll(NOW, &mut Input::new(&mut bytes)), ClientStep::Done);
        let server = server.into_connection(Box::new(NoEntropy)).unwrap();
        let (client, _) = client.into_connection().unwrap();
        for end in [server, client] {
            let extension = end.negotiated().extension.as_ref().map(|a| a.extension().to_string());
            assert_eq!(extension.as_deref(), agreed);
        }
    }
}

fn token() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9!#$%&'*+.^_`|~-]{1,8}"
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// What is written is read as what it was, quoted or not, on one line or on several.
    #[test]
    fn what_is_displayed_is_read_back(
        list in prop::collection::vec((token(), prop::collection::vec((token(), prop::option::of(token())), 0..4)), 0..5),
    ) {
        let list: Vec<_> = list
            .into_iter()
            .map(|(name, params)| {
                params.iter().fold(Extension::new(name), |all, (name, value)| all.with(name.as_str(), value.as_deref()))
            })
            .collect();
        let lines: Vec<_> = list.iter().map(ToString::to_string).collect();
        let joined = lines.join(", ");
        prop_assert_eq!(Extension::parse_list([joined.as_bytes()]), Ok(list.clone()));
        prop_assert_eq!(Extension::parse_list(lines.iter().map(String::as_bytes)), Ok(list));
    }
}
