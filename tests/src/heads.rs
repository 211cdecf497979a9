//! The bodies of the fuzz targets for the opening handshake: any split gives the same outcome, the heap follows the
//! bytes up to the limits, what is written is nothing or one whole HTTP answer, and bytes behind the head are not lost.

use std::collections::VecDeque;

use alloc_meter::Mark;
use ws_proto::connection::Connection;
use ws_proto::handshake::{
    Accept, ClientHandshake, ClientRequest, ClientStep, FlashPolicy, Reply, ServerConfig, ServerHandshake, Step,
    SubprotocolPolicy,
};
use ws_proto::http::Target;
use ws_proto::{Config, HandshakeError, Input, Instant, Version, Versions};

use crate::choices::Choices;
use crate::endpoint::seen;
use crate::entropy::counting;
use crate::run::push_merged;
use crate::transcript::Seen;

const NOW: Instant = Instant::from_secs(1);

/// What came of a handshake.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    step: String,
    error: String,
    head: String,
    written: Vec<u8>,
    events: VecDeque<Seen>,
}

impl Outcome {
    fn poll(&mut self, conn: &mut Connection, bytes: &mut [u8]) {
        let mut input = Input::new(bytes);
        while let Some(event) = conn.poll(NOW, &mut input) {
            push_merged(&mut self.events, seen(&event));
        }
        assert!(input.is_empty());
    }

    /// What an open connection still says at the end of the stream.
    fn end(&mut self, mut conn: Connection) {
        self.written.extend(conn.outgoing().flatten());
        conn.eof(NOW);
        self.poll(&mut conn, &mut []);
    }
}

/// Pieces of a stream, of the sizes that `next` gives.
fn pieces(mut wire: &[u8], mut next: impl FnMut() -> usize) -> impl Iterator<Item = Vec<u8>> {
    std::iter::from_fn(move || {
        let (piece, rest) = wire.split_at(next().clamp(1, wire.len().max(1)).min(wire.len()));
        wire = rest;
        (!piece.is_empty()).then(|| piece.to_vec())
    })
}

fn serve(config: &ServerConfig, wire: &[u8], next: impl FnMut() -> usize) -> Outcome {
    let mut outcome = Outcome::default();
    let limit = 3 * config.connection.limits.head as i64 + 8192;
    let mut machine = Some(ServerHandshake::new(NOW, config.clone()));
    let mut conn: Option<Connection> = None;
    let mut held = 0;
    for mut piece in pieces(wire, next) {
        if let Some(conn) = &mut conn {
            outcome.poll(conn, &mut piece);
            continue;
        }
        let Some(handshake) = &mut machine else { break };
        let mark = Mark::now();
        let step = handshake.poll(NOW, &mut Input::new(&mut piece));
        held += mark.usage().live;
        assert!(held <= limit + piece.len() as i64, "{held} bytes are held for a head");
        if step == Step::NeedInput && handshake.request().is_none() {
            assert!(!handshake.wants_write(), "something was written before the request is complete");
        }
        if step == Step::Request {
            decide(handshake, &mut outcome);
        }
        let step = handshake.poll(NOW, &mut Input::empty());
        outcome.step = format!("{step:?}");
        if step != Step::Done {
            continue;
        }
        let done = machine.take().expect("it is here");
        let mut open = done.into_connection(counting()).expect("it was accepted");
        outcome.poll(&mut open, &mut []);
        conn = Some(open);
    }
    let mut halfway = false;
    if let Some(mut handshake) = machine {
        outcome.step = format!("{:?}", handshake.poll(NOW, &mut Input::empty()));
        outcome.error = format!("{:?}", handshake.error());
        outcome.written.extend(handshake.outgoing().flatten());
        // A policy file; or a 101, without the end that hixie-76 gives it when the client has sent its own.
        halfway = handshake.error() == Some(&HandshakeError::PolicyFile);
        halfway |= outcome.step == "NeedInput" && handshake.request().is_some();
    }
    match conn {
        Some(conn) => outcome.end(conn),
        None if halfway => assert!(!outcome.written.is_empty()),
        None => assert!(one_answer(&outcome.written), "{}", String::from_utf8_lossy(&outcome.written)),
    }
    outcome
}

fn decide(handshake: &mut ServerHandshake, outcome: &mut Outcome) {
    let request = handshake.request().expect("there is a request");
    outcome.head = format!("{request:?} {:?}", request.subprotocols().collect::<Vec<_>>());
    if request.is_websocket() {
        handshake.accept(NOW, Accept::new().nonce([4; 16])).expect("a valid upgrade can be accepted");
    } else {
        assert!(handshake.respond(NOW, Reply::text(200, "a page\n")));
    }
}

/// Whether the bytes are nothing, or one HTTP answer with the length that it says.
fn one_answer(bytes: &[u8]) -> bool {
    if bytes.is_empty() {
        return true;
    }
    let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&bytes[..at]);
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    let body = bytes.len() - at - 4;
    // The answer to HEAD says a length and has no body.
    head.starts_with("HTTP/1.1 ")
        && head.lines().all(|line| !line.contains('\n'))
        && length.is_some_and(|n| n.parse() == Ok(body) || body == 0)
}

/// A request as a server reads it; two bytes of choices in front.
pub fn request_head(data: &[u8]) {
    let mut choices = Choices::new(data);
    let bits = choices.byte();
    let mut connection = Config::default();
    connection.leniency.bare_lf = bits & 1 != 0;
    if bits & 2 != 0 {
        connection.limits.head = 256;
        connection.limits.header_lines = 8;
    }
    let mut config = ServerConfig::from(connection);
    let names = ["chat", "superchat"];
    config.subprotocols = match bits >> 2 & 3 {
        0 => SubprotocolPolicy::none(),
        1 => SubprotocolPolicy::client_order(names).expect("valid names"),
        2 => SubprotocolPolicy::server_order(names).expect("valid names"),
        _ => SubprotocolPolicy::server_order(names).expect("valid names").required(),
    };
    config.versions = match bits >> 4 & 3 {
        0 => Versions::MODERN,
        1 => Versions::ALL,
        2 => Versions::DEPLOYED,
        _ => Versions::ALL.without(Version::Hixie75).without(Version::Hybi04),
    };
    config.secure = bits & 64 != 0;
    config.flash_policy = (bits & 128 != 0).then(|| FlashPolicy::new("*", [80]).expect("a valid rule"));
    let size = usize::from(choices.byte());
    let wire = choices.rest();
    let whole = serve(&config, wire, || usize::MAX);
    assert_eq!(whole, serve(&config, wire, || 1), "whole and byte by byte");
    assert_eq!(whole, serve(&config, wire, || size), "whole and in pieces");
}

fn ask(request: &ClientRequest, config: &Config, wire: &[u8], next: impl FnMut() -> usize) -> Outcome {
    let mut outcome = Outcome::default();
    let mut handshake =
        ClientHandshake::new(NOW, request, config.clone(), counting()).expect("there is entropy for a key");
    let limit = 3 * config.limits.head as i64 + 2 * config.limits.refusal_body as i64 + 8192;
    let asked: usize = handshake.outgoing().map(<[u8]>::len).sum();
    handshake.advance(NOW, asked);
    let mut machine = Some(handshake);
    let mut conn: Option<Connection> = None;
    let mut held = 0;
    for mut piece in pieces(wire, next) {
        if let Some(conn) = &mut conn {
            outcome.poll(conn, &mut piece);
            continue;
        }
        let Some(handshake) = &mut machine else { break };
        let mark = Mark::now();
        let step = handshake.poll(NOW, &mut Input::new(&mut piece));
        held += mark.usage().live;
        assert!(held <= limit + piece.len() as i64, "{held} bytes are held for an answer");
        outcome.step = format!("{step:?}");
        assert!(!handshake.wants_write(), "a client writes nothing but its request (RFC 6455 section 4.1)");
        if step == ClientStep::Done {
            let done = machine.take().expect("it is here");
            let (mut open, response) = done.into_connection().expect("it is done");
            outcome.head = format!("{response:?} {:?}", open.negotiated());
            outcome.poll(&mut open, &mut []);
            conn = Some(open);
        }
    }
    if let Some(mut handshake) = machine {
        handshake.eof(NOW);
        outcome.step = format!("{:?}", handshake.poll(NOW, &mut Input::empty()));
        outcome.error = format!("{:?}", handshake.error());
        outcome.head = format!("{:?}", handshake.response());
        assert_ne!(outcome.step, "NeedInput", "the end of the stream decides");
    }
    if let Some(conn) = conn {
        outcome.end(conn);
    }
    outcome
}

/// An answer as a client reads it; two bytes of choices in front.
///
/// The client's keys are always the same (`AQIDBAUGBwgJCgsMDQ4PEA==` in most versions), so a valid answer is possible.
pub fn response_head(data: &[u8]) {
    let mut choices = Choices::new(data);
    let bits = choices.byte();
    let mut config = Config::default();
    config.leniency.bare_lf = bits & 1 != 0;
    if bits & 2 != 0 {
        config.limits.head = 256;
        config.limits.header_lines = 8;
        config.limits.refusal_body = 16;
        config.limits.drain = 64;
    }
    let target = Target::new(false, "example.com", None, "/chat").expect("a valid target");
    let mut request = ClientRequest::new(target);
    if bits & 4 != 0 {
        request = request.subprotocols(["chat", "superchat"]).expect("valid names");
    }
    if bits & 8 != 0 {
        request = request.require_subprotocol();
    }
    // The newest first.
    let version = Version::ALL.iter().rev().nth(usize::from(bits >> 4)).copied();
    request = request.version(version.unwrap_or(Version::Hixie76));
    let size = usize::from(choices.byte());
    let wire = choices.rest();
    let whole = ask(&request, &config, wire, || usize::MAX);
    assert_eq!(whole, ask(&request, &config, wire, || 1), "whole and byte by byte");
    assert_eq!(whole, ask(&request, &config, wire, || size), "whole and in pieces");
}
