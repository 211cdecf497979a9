//! Runs opening handshakes at every split of the input and compares what came of them.
#![allow(dead_code, unreachable_pub, missing_docs)]

use std::sync::Arc;

use ws_proto::connection::{Event, Shutdown};
use ws_proto::handshake::{
    Accept, ClientHandshake, ClientRequest, ClientStep, HandshakeError, Reply, ServerConfig, ServerHandshake, Step,
};
use ws_proto::http::Target;
use ws_proto::{Config, Connection, Entropy, EntropyError, Input, Instant, NoEntropy};

/// The moment at which everything happens that has nothing to do with time.
pub const NOW: Instant = Instant::from_secs(1000);
/// The key of the RFC's example, and its answer.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A request in parts, to be changed.
#[derive(Clone)]
pub struct Head {
    pub first: String,
    pub lines: Vec<String>,
}

impl Head {
    /// A request that is accepted.
    pub fn request() -> Self {
        let lines = [
            "Host: example.com",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Version: 13",
        ];
        Self { first: "GET /chat HTTP/1.1".into(), lines: lines.map(Into::into).into() }
    }

    /// An answer that is accepted, to the key of the RFC's example.
    pub fn response() -> Self {
        let lines = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="];
        Self { first: "HTTP/1.1 101 Switching Protocols".into(), lines: lines.map(Into::into).into() }
    }

    pub fn first(mut self, first: &str) -> Self {
        self.first = first.into();
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        let prefix = format!("{}:", name.to_ascii_lowercase());
        self.lines.retain(|line| !line.to_ascii_lowercase().starts_with(&prefix));
        self
    }

    pub fn line(mut self, line: &str) -> Self {
        self.lines.push(line.into());
        self
    }

    /// Replaces the line of the same name, in its place.
    pub fn set(mut self, line: &str) -> Self {
        let name = line.split(':').next().unwrap().to_ascii_lowercase() + ":";
        let old = self.lines.iter_mut().find(|l| l.to_ascii_lowercase().starts_with(&name)).expect("a line to replace");
        *old = line.into();
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut text = format!("{}\r\n", self.first);
        for line in &self.lines {
            text += line;
            text += "\r\n";
        }
        (text + "\r\n").into_bytes()
    }
}

/// What came of a handshake, and of the connection behind it.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome<S, D> {
    pub step: S,
    pub error: Option<HandshakeError>,
    /// Everything written, first the answer, then frames.
    pub written: Vec<u8>,
    /// Events of the connection, in words.
    pub events: Vec<String>,
    /// What the test wanted to know.
    pub detail: D,
}

/// The ways in which input is cut: whole, byte by byte, and in two at each place (of long input at one place in a few).
pub fn splits(bytes: &[u8]) -> Vec<Vec<&[u8]>> {
    some_splits(bytes, bytes.len() / 1500 + 1)
}

/// One way in a few, for long input.
pub fn some_splits(bytes: &[u8], every: usize) -> Vec<Vec<&[u8]>> {
    let mut all = vec![vec![bytes], bytes.chunks(1).collect()];
    all.extend((1..bytes.len()).step_by(every).map(|at| vec![&bytes[..at], &bytes[at..]]));
    all
}

fn in_words(event: &Event<'_>) -> String {
    match event {
        Event::Text(text) => format!("text {}", text.as_str()),
        Event::Binary(bytes) => format!("binary {}", bytes.as_slice().len()),
        Event::Closed(closed) => format!("closed {:?}", closed.cause),
        event => format!("{event:?}"),
    }
}

fn poll_connection(conn: &mut Connection, bytes: &[u8], events: &mut Vec<String>) {
    let mut bytes = bytes.to_vec();
    let mut input = Input::new(&mut bytes);
    while let Some(event) = conn.poll(NOW, &mut input) {
        events.push(in_words(&event));
    }
    assert!(input.is_empty());
}

/// Runs a server over the pieces; `decide` is called once, when the request is there.
pub fn serve_pieces<D>(
    config: &Arc<ServerConfig>,
    pieces: &[&[u8]],
    decide: impl Fn(&mut ServerHandshake) -> D,
) -> Outcome<Step, Option<D>> {
    let mut handshake = ServerHandshake::new(NOW, Arc::clone(config));
    let mut detail = None;
    let mut pieces = pieces.iter();
    let mut events = Vec::new();
    let step = loop {
        let Some(piece) = pieces.next() else { break handshake.poll(NOW, &mut Input::empty()) };
        let mut bytes = piece.to_vec();
        let mut input = Input::new(&mut bytes);
        let step = handshake.poll(NOW, &mut input);
        assert!(input.is_empty(), "all input is consumed");
        if step == Step::Request && detail.is_none() {
            detail = Some(decide(&mut handshake));
            if handshake.poll(NOW, &mut Input::empty()) == Step::Done {
                break Step::Done;
            }
        }
    };
    let error = handshake.error().copied();
    let mut written = Vec::new();
    if step == Step::Done {
        let mut conn = handshake.into_connection(Box::new(NoEntropy)).unwrap();
        poll_connection(&mut conn, b"", &mut events);
        for piece in pieces {
            poll_connection(&mut conn, piece, &mut events);
        }
        conn.outgoing().for_each(|bytes| written.extend_from_slice(bytes));
    } else {
        handshake.outgoing().for_each(|bytes| written.extend_from_slice(bytes));
    }
    Outcome { step, error, written, events, detail }
}

/// The outcome, which is the same at every split.
pub fn serve<D: PartialEq + std::fmt::Debug>(
    config: impl Into<Arc<ServerConfig>>,
    bytes: &[u8],
    decide: impl Fn(&mut ServerHandshake) -> D,
) -> Outcome<Step, Option<D>> {
    let config = config.into();
    same(splits(bytes), bytes, |pieces| serve_pieces(&config, pieces, &decide))
}

fn same<T: PartialEq + std::fmt::Debug>(splits: Vec<Vec<&[u8]>>, bytes: &[u8], run: impl Fn(&[&[u8]]) -> T) -> T {
    let mut outcomes = splits.iter().map(|pieces| (pieces, run(pieces)));
    let (_, first) = outcomes.next().unwrap();
    for (pieces, outcome) in outcomes {
        let shown = bytes[..bytes.len().min(300)].escape_ascii();
        assert_eq!(outcome, first, "cut into {} after {}: {shown}", pieces.len(), pieces[0].len());
    }
    first
}

/// Serves a request with the defaults and accepts it; gives the head of the answer.
pub fn accepted(head: &Head) -> String {
    accepted_by(ServerConfig::default(), head, Accept::new())
}

pub fn accepted_by(config: ServerConfig, head: &Head, accept: Accept) -> String {
    let outcome = serve(config, &head.bytes(), |h| h.accept(NOW, accept.clone()));
    assert_eq!((outcome.step, outcome.error, outcome.detail), (Step::Done, None, Some(Ok(()))));
    String::from_utf8(outcome.written).unwrap()
}

/// Serves a request that the machine refuses by itself; gives why, and the answer.
pub fn refused_bytes(config: impl Into<Arc<ServerConfig>>, bytes: &[u8]) -> (HandshakeError, String) {
    let outcome = serve(config, bytes, |h| h.request().map(|r| r.is_websocket()));
    let shown = bytes[..bytes.len().min(300)].escape_ascii().to_string();
    assert_eq!((outcome.step, outcome.detail), (Step::Rejected, None), "{shown}");
    (outcome.error.unwrap(), String::from_utf8(outcome.written).unwrap())
}

pub fn refused(head: &Head) -> (HandshakeError, String) {
    refused_bytes(ServerConfig::default(), &head.bytes())
}

/// The error and the status of a request that is refused.
pub fn fault(head: &Head) -> (HandshakeError, u16) {
    let (error, answer) = refused(head);
    (error, status(&answer))
}

/// The status of an answer, which is well-formed and closes.
pub fn status(answer: &str) -> u16 {
    let (head, body) = answer.split_once("\r\n\r\n").expect("a whole head");
    let mut lines = head.split("\r\n");
    let status: u16 = lines.next().unwrap().strip_prefix("HTTP/1.1 ").unwrap()[..3].parse().unwrap();
    let lines: Vec<_> = lines.map(|l| l.split_once(": ").unwrap()).collect();
    let value = |name: &str| lines.iter().find(|(n, _)| *n == name).map(|(_, v)| *v);
    if status != 101 {
        assert!(value("Connection").unwrap().starts_with("close"), "{answer}");
        assert_eq!(value("Content-Length").unwrap().parse::<usize>().unwrap(), body.len(), "{answer}");
    }
    status
}

/// Serves plain HTTP with `reply`.
pub fn respond_with(bytes: &[u8], reply: &Reply) -> String {
    let outcome = serve(ServerConfig::default(), bytes, |h| h.respond(NOW, reply.clone()));
    assert_eq!((outcome.step, outcome.error, outcome.detail), (Step::Rejected, None, Some(true)));
    String::from_utf8(outcome.written).unwrap()
}

/// A source that gives the key of the RFC's example, and then counts up.
pub struct Sample(pub u8);

impl Entropy for Sample {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError> {
        for (to, from) in out.iter_mut().zip(b"the sample nonce".iter().cycle()) {
            *to = from.wrapping_add(self.0);
        }
        self.0 += 1;
        Ok(())
    }
}

pub fn client(request: &ClientRequest, config: &Arc<Config>) -> ClientHandshake {
    ClientHandshake::new(NOW, request, Arc::clone(config), Box::new(Sample(0))).unwrap()
}

pub fn target() -> Target {
    Target::new(false, "example.com", None, "/chat").unwrap()
}

/// What a client makes of an answer: step, error, status and body, and what the connection says.
pub type Answered = Outcome<ClientStep, Option<(u16, Vec<u8>, bool)>>;

fn answer_pieces(request: &ClientRequest, config: &Arc<Config>, pieces: &[&[u8]], eof: bool) -> Answered {
    let mut handshake = client(request, config);
    assert!(handshake.take_outgoing(NOW).is_some());
    let mut pieces = pieces.iter();
    let mut step = ClientStep::NeedInput;
    while step == ClientStep::NeedInput
        && let Some(piece) = pieces.next()
    {
        let mut bytes = piece.to_vec();
        let mut input = Input::new(&mut bytes);
        step = handshake.poll(NOW, &mut input);
        assert!(input.is_empty(), "all input is consumed");
    }
    if eof && step == ClientStep::NeedInput {
        handshake.eof(NOW);
        step = handshake.poll(NOW, &mut Input::empty());
    }
    let error = handshake.error().copied();
    let detail = handshake.response().map(|r| (r.status(), r.body().to_vec(), r.body_complete()));
    if matches!(step, ClientStep::Refused | ClientStep::Failed) {
        assert_eq!(handshake.wants_shutdown(), Some(Shutdown::Both));
        assert!(!handshake.wants_write() && !handshake.wants_read() && handshake.poll_timeout().is_none());
    }
    let mut events = Vec::new();
    let mut written = Vec::new();
    match handshake.into_connection() {
        Ok((mut conn, _)) => {
            assert_eq!(step, ClientStep::Done);
            poll_connection(&mut conn, b"", &mut events);
            for piece in pieces {
                poll_connection(&mut conn, piece, &mut events);
            }
            conn.outgoing().for_each(|bytes| written.extend_from_slice(bytes));
        }
        Err(_) => assert_ne!(step, ClientStep::Done),
    }
    Outcome { step, error, written, events, detail }
}

/// What a client makes of these bytes, at every split; then the stream ends if `eof`.
pub fn answer(request: &ClientRequest, config: impl Into<Arc<Config>>, bytes: &[u8], eof: bool) -> Answered {
    let config = config.into();
    same(splits(bytes), bytes, |pieces| answer_pieces(request, &config, pieces, eof))
}

/// The error of an answer that a client does not take.
pub fn wrong(request: &ClientRequest, head: &Head) -> HandshakeError {
    let mut bytes = head.bytes();
    bytes.extend_from_slice(b"\x81\x02hi");
    let outcome = answer(request, Config::default(), &bytes, false);
    assert_eq!((outcome.step, outcome.events.len(), outcome.written.len()), (ClientStep::Failed, 0, 0));
    outcome.error.unwrap()
}

/// A client takes this answer.
pub fn right(request: &ClientRequest, head: &Head) {
    let outcome = answer(request, Config::default(), &head.bytes(), false);
    assert_eq!((outcome.step, outcome.error), (ClientStep::Done, None));
}
