//! The body of the fuzz target for `Sec-WebSocket-Extensions`: no offer and no answer makes an end panic, the machines of
//! the handshake judge as the lists do, what is agreed keeps to the settings, and a client takes what a server answers to
//! its offer.

use ws_proto::deflate::{Deflate, DeflateFrame};
use ws_proto::extension::{Agreement, Extension, Extensions, Malformed};
use ws_proto::handshake::{
    Accept, ClientHandshake, ClientRequest, ClientStep, ServerConfig, ServerHandshake, Step, accept_value,
};
use ws_proto::http::Target;
use ws_proto::{Config, HandshakeError, Input, Instant};

use crate::choices::Choices;
use crate::entropy::counting;

const NOW: Instant = Instant::from_secs(1);

/// What was agreed for what one end compresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Direction {
    /// The window, as a power of two.
    pub bits: u8,
    /// Whether a message may refer to earlier ones.
    pub takeover: bool,
}

/// What was agreed for what the server compresses, and for what the client does.
#[must_use]
pub fn directions(agreement: &Agreement) -> [Direction; 2] {
    // The codec's own fields are nobody's business, except that they can be printed.
    let shown = format!("{:?}", agreement.codec());
    let mut parts = shown.split("window_bits: ").skip(1).map(|part| Direction {
        bits: part.split([',', ' ']).next().and_then(|bits| bits.parse().ok()).expect("a number"),
        takeover: part.split("takeover: ").nth(1).expect("a flag").starts_with("true"),
    });
    let mut next = || parts.next().expect("two directions");
    [next(), next()]
}

/// Settings of which any number may be out of range.
fn settings(choices: &mut Choices<'_>) -> Deflate {
    let flags = choices.byte();
    let mut deflate = Deflate::default();
    deflate.send_takeover = flags & 1 == 0;
    deflate.receive_takeover = flags & 2 == 0;
    for bits in [&mut deflate.send_window_bits, &mut deflate.receive_window_bits] {
        let byte = choices.byte();
        *bits = if byte < 0xc0 { 15 - byte % 8 } else { byte };
    }
    deflate
}

/// What an end compresses at most, by its own settings and those of the end that receives it.
fn most(by: Deflate, to: Deflate) -> Direction {
    let bits = by.send_window_bits.min(to.receive_window_bits).clamp(8, 15);
    Direction { bits, takeover: by.send_takeover && to.receive_takeover }
}

fn within(what: Direction, limit: Direction) -> bool {
    what.bits >= 8 && what.bits <= limit.bits && (limit.takeover || !what.takeover)
}

/// The settings of a client that offers just this, if there are any.
fn who_offers(offer: &Extension) -> Option<Deflate> {
    let value = |name: &str| offer.params.iter().find(|(n, _)| **n == *name).map(|(_, value)| value.as_deref());
    let bits = |name| value(name).flatten().and_then(|bits| bits.parse().ok()).unwrap_or(15);
    let mut client = Deflate::default();
    client.receive_window_bits = bits("server_max_window_bits");
    client.send_window_bits = bits("client_max_window_bits");
    client.receive_takeover = value("server_no_context_takeover").is_none();
    client.send_takeover = value("client_no_context_takeover").is_none();
    let sorted = |extension: &Extension| {
        let mut extension = extension.clone();
        extension.params.sort();
        extension
    };
    let offers = Extensions::none().with(client).offers();
    (sorted(&offers[0]) == sorted(offer)).then_some(client)
}

fn read(lines: &[&[u8]]) -> Result<Vec<Extension>, Malformed> {
    Extension::parse_list(lines.iter().copied())
}

fn reads_back(list: &[Extension]) {
    let lines: Vec<_> = list.iter().map(ToString::to_string).collect();
    let joined = lines.join(", ");
    assert_eq!(read(&[joined.as_bytes()]).as_deref(), Ok(list), "{joined}");
}

/// A head with these lines; `None` if a head can't hold them.
fn head(start: &str, lines: &[&[u8]]) -> Option<Vec<u8>> {
    let fits = |line: &&[u8]| line.iter().all(|b| matches!(b, b'\t' | b' '..=b'~' | 0x80..));
    if !lines.iter().all(fits) || lines.len() > 32 || lines.concat().len() > 8 * 1024 {
        return None;
    }
    let mut wire = start.as_bytes().to_vec();
    for line in lines {
        wire.extend_from_slice(b"Sec-WebSocket-Extensions: ");
        wire.extend_from_slice(line);
        wire.extend_from_slice(b"\r\n");
    }
    wire.extend_from_slice(b"\r\n");
    Some(wire)
}

/// A server's machine gets the offers, and answers as its list does.
fn served(extensions: &Extensions, lines: &[&[u8]], list: &Result<Vec<Extension>, Malformed>) {
    let start = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
    let Some(mut wire) = head(start, lines) else { return };
    let mut config = ServerConfig::default();
    config.extensions = extensions.clone();
    let mut machine = ServerHandshake::new(NOW, config);
    let step = machine.poll(NOW, &mut Input::new(&mut wire));
    let Ok(list) = list else {
        assert_eq!((step, machine.error()), (Step::Rejected, Some(&HandshakeError::ExtensionSyntax)));
        return;
    };
    assert_eq!(step, Step::Request);
    machine.accept(NOW, Accept::new()).expect("a valid upgrade can be accepted");
    let connection = machine.into_connection(counting()).expect("it was accepted");
    let agreed = &connection.negotiated().extension;
    // The machine looks at so many only.
    if list.len() <= 32 && list.iter().all(|offer| offer.params.len() <= 32) {
        assert_eq!(*agreed, extensions.answer(list));
    }
    let written: Vec<u8> = connection.outgoing().flatten().copied().collect();
    let written = String::from_utf8_lossy(&written);
    let line = agreed.as_ref().map(|agreed| format!("\r\nSec-WebSocket-Extensions: {}\r\n", agreed.extension()));
    assert_eq!(written.matches("Sec-WebSocket-Extensions").count(), usize::from(line.is_some()));
    assert!(line.is_none_or(|line| written.contains(&line)));
}

/// A client's machine gets the answers, and judges as its list does.
fn judged(extensions: &Extensions, lines: &[&[u8]], list: &Result<Vec<Extension>, Malformed>) {
    let accept = accept_value("AQIDBAUGBwgJCgsMDQ4PEA==");
    let start =
        format!("HTTP/1.1 101 a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n");
    let Some(mut wire) = head(&start, lines) else { return };
    let target = Target::new(false, "a", None, "/").expect("a valid target");
    let request = ClientRequest::new(target).extensions(extensions.clone());
    let mut machine =
        ClientHandshake::new(NOW, &request, Config::default(), counting()).expect("there is entropy for a key");
    let step = machine.poll(NOW, &mut Input::new(&mut wire));
    let expected = match list {
        Ok(list) => extensions.accept_answer(list).map_err(HandshakeError::from),
        Err(_) => Err(HandshakeError::ExtensionSyntax),
    };
    match expected {
        Ok(agreed) => {
            assert_eq!((step, machine.error()), (ClientStep::Done, None));
            let (connection, _) = machine.into_connection().expect("it is done");
            assert_eq!(connection.negotiated().extension, agreed);
        }
        Err(error) => assert_eq!((step, machine.error()), (ClientStep::Failed, Some(&error))),
    }
}

/// Header lines as offers to a server and as answers to a client; six bytes of settings in front.
pub fn extensions(data: &[u8]) {
    let mut choices = Choices::new(data);
    let (ours, theirs) = (settings(&mut choices), settings(&mut choices));
    let lines: Vec<&[u8]> = choices.rest().split(|b| *b == b'\n').collect();
    let list = read(&lines);
    let server = Extensions::none().with(theirs).with(DeflateFrame::new(theirs));
    let client = Extensions::none().with(ours);
    served(&server, &lines, &list);
    judged(&client, &lines, &list);
    let made = server.answer(&client.offers()).expect("every client can be answered");
    let taken = client.accept_answer(&[made.extension().clone()]).expect("it fits").expect("there is one");
    assert_eq!(directions(&made), directions(&taken));
    assert_eq!(directions(&made), [most(theirs, ours), most(ours, theirs)]);
    let Ok(list) = list else { return };
    reads_back(&list);
    if let Some(made) = server.answer(&list) {
        reads_back(&[made.extension().clone()]);
        answered(theirs, &made, &list, &server);
    }
    if let Ok(Some(taken)) = client.accept_answer(&list) {
        assert_eq!([taken.extension().clone()], list[..]);
        let [received, sent] = directions(&taken);
        assert!(within(received, most(Deflate::default(), ours)) && within(sent, most(ours, Deflate::default())));
    }
}

/// Looks at an answer of a server with these settings.
fn answered(settings: Deflate, made: &Agreement, list: &[Extension], server: &Extensions) {
    let [sent, received] = directions(made);
    assert!(within(sent, most(settings, Deflate::default())) && within(received, most(Deflate::default(), settings)));
    let mut usable = list.iter().filter(|offer| server.answer(std::slice::from_ref(offer)).is_some());
    let offer = usable.find(|offer| offer.name == made.extension().name).expect("the answer is to an offer");
    if let Some(client) = who_offers(offer) {
        let client = Extensions::none().with(client);
        let taken = client.accept_answer(&[made.extension().clone()]).expect("it is an answer to its offer");
        assert_eq!(taken.as_ref().map(directions), Some([sent, received]));
    }
}
