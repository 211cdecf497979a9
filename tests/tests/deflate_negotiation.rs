//! Offers and answers of `permessage-deflate` (`tests/vectors/deflate-negotiation.json`), in heads at every split.

use serde_json::Value;
use ws_proto::deflate::Deflate;
use ws_proto::extension::{Extension, Extensions, Negotiate, ParameterError};
use ws_proto::handshake::accept_value;
use ws_proto::http::Target;
use ws_proto::{
    Accept, ClientHandshake, ClientRequest, ClientStep, Config, HandshakeError, Input, Instant, ServerConfig,
    ServerHandshake, Step,
};
use ws_tests::entropy::counting;

const NOW: Instant = Instant::ZERO;

fn vectors(side: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(include_str!("../vectors/deflate-negotiation.json")).unwrap();
    all.as_array().unwrap().iter().filter(|v| v["side"] == side).cloned().collect()
}

/// The bytes whole, byte by byte, and in two pieces at every place.
fn splits(bytes: &[u8]) -> impl Iterator<Item = Vec<&[u8]>> {
    let two = (1..bytes.len()).map(|at| vec![&bytes[..at], &bytes[at..]]);
    [vec![bytes], bytes.chunks(1).collect()].into_iter().chain(two)
}

/// What the errors are called in the file.
fn parameter_errors(name: &str) -> &'static [ParameterError] {
    match name {
        "unknown-parameter" => &[ParameterError::Unknown],
        "duplicate-parameter" => &[ParameterError::Repeated],
        "value-not-allowed" => &[ParameterError::ValueNotAllowed],
        "bad-window-bits" => &[ParameterError::Value, ParameterError::ValueMissing],
        "server-bits-not-honoured" | "server-takeover-not-honoured" => &[ParameterError::NotHonoured],
        other => panic!("unknown error {other}"),
    }
}

#[test]
fn offers() {
    let all = vectors("offer");
    assert!(all.len() >= 28, "{}", all.len());
    for vector in all {
        let (id, wire) = (vector["id"].as_str().unwrap(), vector["wire"].as_str().unwrap());
        let list = Extension::parse_list([wire.as_bytes()]);
        let expected = match vector["meaning"]["verdict"].as_array() {
            None => {
                assert!(list.is_err(), "{id}");
                Err(HandshakeError::ExtensionSyntax)
            }
            Some(verdicts) => {
                let list = list.unwrap();
                assert_eq!(list.len(), verdicts.len(), "{id}");
                for (offer, verdict) in list.iter().zip(verdicts) {
                    match (Deflate::default().answer(offer).unwrap(), verdict.as_str().unwrap()) {
                        (Ok(_), "ok") => {}
                        (Err(error), name) => assert!(parameter_errors(name).contains(&error), "{id}"),
                        (Ok(_), name) => panic!("{id}: {name} was taken"),
                    }
                }
                Ok(Extensions::none().with(Deflate::default()).answer(&list).map(|made| made.extension().to_string()))
            }
        };
        assert_eq!(vector["valid"], matches!(expected, Ok(Some(_))), "{id}");
        let head = format!(
            "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Extensions: {wire}\r\n\r\n"
        );
        for pieces in splits(head.as_bytes()) {
            assert_eq!(serve(&pieces), expected, "{id}");
        }
    }
}

/// The extension in the answer of a server with the default settings.
fn serve(pieces: &[&[u8]]) -> Result<Option<String>, HandshakeError> {
    let mut config = ServerConfig::default();
    config.extensions.add(Deflate::default());
    let mut server = ServerHandshake::new(NOW, config);
    let mut step = Step::NeedInput;
    for piece in pieces {
        assert_eq!(step, Step::NeedInput);
        step = server.poll(NOW, &mut Input::new(&mut piece.to_vec()));
    }
    if step != Step::Request {
        return Err(*server.error().unwrap());
    }
    server.accept(NOW, Accept::new()).unwrap();
    let answer = server.take_outgoing(NOW).unwrap().to_vec();
    let answer = String::from_utf8(answer).unwrap();
    Ok(answer.split("\r\n").find_map(|line| line.strip_prefix("Sec-WebSocket-Extensions: ")).map(Into::into))
}

/// A client that offers this. It offers `client_max_window_bits` in any case, which changes nothing for these answers.
fn client_for(offer: &str) -> Extensions {
    let mut settings = Deflate::default();
    for param in offer.split("; ").skip(1) {
        match param.split_once('=').unwrap_or((param, "")) {
            ("server_max_window_bits", bits) => settings.receive_window_bits = bits.parse().unwrap(),
            ("server_no_context_takeover", _) => settings.receive_takeover = false,
            ("client_no_context_takeover", _) => settings.send_takeover = false,
            ("client_max_window_bits", "") => {}
            _ => panic!("no client offers {param}"),
        }
    }
    let extensions = Extensions::none().with(settings);
    let made = &extensions.offers()[0];
    let asked = &Extension::parse_list([offer.as_bytes()]).unwrap()[0];
    assert!(asked.params.iter().all(|param| made.params.contains(param)), "{made}");
    extensions
}

#[test]
fn answers() {
    let all = vectors("answer");
    assert!(all.len() >= 15, "{}", all.len());
    for vector in all {
        let (id, wire) = (vector["id"].as_str().unwrap(), vector["wire"].as_str().unwrap());
        let extensions = client_for(vector["meaning"]["offer"].as_str().unwrap());
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\nSec-WebSocket-Extensions: {wire}\r\n\r\n",
            accept_value("AQIDBAUGBwgJCgsMDQ4PEA==")
        );
        for pieces in splits(head.as_bytes()) {
            let judged = judge(&extensions, &pieces);
            match vector["meaning"]["problem"].as_str() {
                None => assert_eq!(judged, Ok(wire.to_owned()), "{id}"),
                Some("two-answers") => assert_eq!(judged, Err(HandshakeError::ExtensionSeveral), "{id}"),
                Some("unrequested-extension") => assert_eq!(judged, Err(HandshakeError::ExtensionNotOffered), "{id}"),
                Some(name) => {
                    let errors = parameter_errors(name);
                    let fits = |error| judged == Err(HandshakeError::ExtensionParameter(error));
                    assert!(errors.iter().copied().any(fits), "{id}: {judged:?}");
                }
            }
        }
    }
}

/// The extension that a client goes on with.
fn judge(extensions: &Extensions, pieces: &[&[u8]]) -> Result<String, HandshakeError> {
    let request = ClientRequest::new(Target::new(false, "a", None, "/").unwrap()).extensions(extensions.clone());
    let mut client = ClientHandshake::new(NOW, &request, Config::default(), counting()).unwrap();
    let mut step = ClientStep::NeedInput;
    for piece in pieces {
        assert_eq!(step, ClientStep::NeedInput);
        step = client.poll(NOW, &mut Input::new(&mut piece.to_vec()));
    }
    if step != ClientStep::Done {
        return Err(*client.error().unwrap());
    }
    let (connection, _) = client.into_connection().unwrap();
    Ok(connection.negotiated().extension.as_ref().unwrap().extension().to_string())
}
