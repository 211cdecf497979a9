//! Handshakes of every version, ours against ours.
#![allow(dead_code, unreachable_pub, missing_docs)]

use ws_proto::connection::{Event, Negotiated};
use ws_proto::http::Target;
use ws_proto::{
    Accept, ClientHandshake, ClientRequest, ClientStep, Config, Connection, Entropy, EntropyError, Input, Instant,
    NoEntropy, ServerConfig, ServerHandshake, Step, Version, Versions,
};

/// The moment at which everything happens that has nothing to do with time.
pub const NOW: Instant = Instant::from_secs(1000);

/// Settings of a server that speaks everything.
pub fn all_versions() -> ServerConfig {
    serving(Versions::ALL)
}

pub fn serving(versions: Versions) -> ServerConfig {
    let mut config = ServerConfig::default();
    config.versions = versions;
    config
}

/// A plain request for a version.
pub fn request(version: Version) -> ClientRequest {
    ClientRequest::new(Target::new(false, "example.com", None, "/chat").unwrap()).version(version)
}

/// Gives fixed bytes, and behind them bytes that count.
pub struct Nonce(pub Vec<u8>);

impl Entropy for Nonce {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError> {
        let bytes = self.0.iter().copied().chain((1..=250).cycle());
        out.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
        Ok(())
    }
}

pub fn from_base64(text: &str) -> Vec<u8> {
    let digit =
        |b: u8| b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".iter().position(|d| *d == b);
    let bits: Vec<bool> =
        text.bytes().filter_map(digit).flat_map(|d| (0..6).rev().map(move |i| d >> i & 1 == 1)).collect();
    bits.chunks_exact(8).map(|byte| byte.iter().fold(0, |n, bit| n << 1 | u8::from(*bit))).collect()
}

/// The bytes whole, byte by byte, and in two pieces at every place.
pub fn splits(bytes: &[u8]) -> impl Iterator<Item = Vec<&[u8]>> {
    let two = (1..bytes.len()).map(|at| vec![&bytes[..at], &bytes[at..]]);
    [vec![bytes], bytes.chunks(1).collect()].into_iter().chain(two)
}

/// A head as text, with the empty line, and what follows it.
pub fn split_head(bytes: &[u8]) -> (&str, &[u8]) {
    let at = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    (std::str::from_utf8(&bytes[..at]).unwrap(), &bytes[at..])
}

/// A request with one line more.
pub fn with_line(request: &[u8], line: &str) -> Vec<u8> {
    let (head, body) = split_head(request);
    [&head.as_bytes()[..head.len() - 2], line.as_bytes(), b"\r\n\r\n", body].concat()
}

/// Feeds a server and accepts; `look` sees the request.
pub fn feed_server(
    server: &mut ServerHandshake,
    pieces: &[&[u8]],
    accept: &Accept,
    look: impl Fn(&ServerHandshake),
) -> Step {
    let mut step = server.poll(NOW, &mut Input::empty());
    for piece in pieces {
        step = server.poll(NOW, &mut Input::new(&mut piece.to_vec()));
        if step == Step::Request {
            look(server);
            server.accept(NOW, accept.clone()).unwrap();
            step = server.poll(NOW, &mut Input::empty());
        }
    }
    step
}

pub fn events(connection: &mut Connection, bytes: &[u8]) -> Vec<String> {
    let mut bytes = bytes.to_vec();
    let mut input = Input::new(&mut bytes);
    let mut events = Vec::new();
    while let Some(event) = connection.poll(NOW, &mut input) {
        events.push(match event {
            Event::Text(text) => text.as_str().to_owned(),
            event => format!("{event:?}"),
        });
    }
    events
}

pub fn written(connection: &mut Connection) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(bytes) = connection.take_outgoing(NOW) {
        all.extend_from_slice(&bytes);
    }
    all
}

/// Serves all of the pieces: what the connection says, and all that is written.
pub fn serve_all(server: &mut ServerHandshake, pieces: &[&[u8]], accept: &Accept) -> (Vec<String>, Vec<u8>) {
    let mut pieces = pieces.iter();
    let mut step = Step::NeedInput;
    while step == Step::NeedInput {
        step = feed_server(server, &[pieces.next().expect("it is done")], accept, |_| {});
    }
    assert_eq!(step, Step::Done);
    let done = std::mem::replace(server, ServerHandshake::new(NOW, ServerConfig::default()));
    let mut connection = done.into_connection(Box::new(NoEntropy)).unwrap();
    let mut all = events(&mut connection, b"");
    pieces.for_each(|piece| all.extend(events(&mut connection, piece)));
    (all, written(&mut connection))
}

/// What a client's connection says to an answer and what follows it.
pub fn ask_all(request: &ClientRequest, pieces: &[&[u8]]) -> Vec<String> {
    let mut client = ClientHandshake::new(NOW, request, Config::default(), Box::new(Nonce(Vec::new()))).unwrap();
    let mut pieces = pieces.iter();
    let mut step = ClientStep::NeedInput;
    while step == ClientStep::NeedInput {
        step = client.poll(NOW, &mut Input::new(&mut pieces.next().expect("it is done").to_vec()));
    }
    assert_eq!(step, ClientStep::Done);
    let (mut connection, _) = client.into_connection().unwrap();
    let mut all = events(&mut connection, b"");
    pieces.for_each(|piece| all.extend(events(&mut connection, piece)));
    all
}

/// A handshake that went well, and a first message each way.
pub struct Met {
    pub request: Vec<u8>,
    pub answer: Vec<u8>,
    pub client: Negotiated,
    pub server: Negotiated,
    pub client_frame: Vec<u8>,
    pub server_frame: Vec<u8>,
    pub cookie: Option<String>,
    pub set_cookie: Option<String>,
}

/// Our client and our server; each then says "Hello" and hears it.
pub fn meet(request: &ClientRequest, config: &ServerConfig, accept: &Accept) -> Met {
    let mut client = ClientHandshake::new(NOW, request, Config::default(), Box::new(Nonce(Vec::new()))).unwrap();
    let mut server = ServerHandshake::new(NOW, config.clone());
    let sent = client.take_outgoing(NOW).unwrap();
    assert_eq!(client.take_outgoing(NOW), None, "the request is one write");
    let step = feed_server(&mut server, &[&sent], accept, |_| {});
    assert_eq!((step, server.error()), (Step::Done, None));
    let answer = server.take_outgoing(NOW).unwrap();
    let step = client.poll(NOW, &mut Input::new(&mut answer.to_vec()));
    assert_eq!((step, client.error()), (ClientStep::Done, None));
    let (mut client, response) = client.into_connection().unwrap();
    let (mut server, request) = server.into_parts(Box::new(NoEntropy)).unwrap();
    client.send("Hello").unwrap();
    server.send("Hello").unwrap();
    let (client_frame, server_frame) = (written(&mut client), written(&mut server));
    assert_eq!(events(&mut server, &client_frame), ["Hello"]);
    assert_eq!(events(&mut client, &server_frame), ["Hello"]);
    Met {
        request: sent.to_vec(),
        answer: answer.to_vec(),
        client: client.negotiated().clone(),
        server: server.negotiated().clone(),
        client_frame,
        server_frame,
        cookie: request.cookie("session").map(Into::into),
        set_cookie: response.header("set-cookie").map(Into::into),
    }
}
