//! Whole conversations with the device, over a line that is a pair of buffers.

use std::collections::VecDeque;

use no_std_echo::{Device, Hangup, Line, Next, Noise, NoiseSource};
use ws_proto::connection::Event;
use ws_proto::handshake::{Accept, ServerConfig, ServerHandshake, Step};
use ws_proto::http::Target;
use ws_proto::{Cause, ClientRequest, CloseCode, Connection, EntropyError, Input, Instant, NoEntropy};

/// RFC 6455 section 1.3.
const REQUEST: &str = "GET /chat HTTP/1.1\r\nHost: device\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// A line that moves at most `step` bytes at once.
struct Wire {
    step: usize,
    to_device: VecDeque<u8>,
    from_device: Vec<u8>,
    /// Whether the line takes nothing.
    full: bool,
    peer_gone: bool,
    hung_up: bool,
}

impl Wire {
    fn new(step: usize) -> Self {
        Self {
            step,
            to_device: VecDeque::new(),
            from_device: Vec::new(),
            full: false,
            peer_gone: false,
            hung_up: false,
        }
    }

    fn say(&mut self, bytes: impl IntoIterator<Item = u8>) {
        self.to_device.extend(bytes);
    }

    fn hear(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.from_device)
    }
}

impl Line for Wire {
    fn receive(&mut self, buffer: &mut [u8]) -> Result<usize, Hangup> {
        let n = self.step.min(buffer.len()).min(self.to_device.len());
        for (to, from) in buffer.iter_mut().zip(self.to_device.drain(..n)) {
            *to = from;
        }
        if n == 0 && self.peer_gone { Err(Hangup) } else { Ok(n) }
    }

    fn transmit(&mut self, bytes: &[u8]) -> Result<usize, Hangup> {
        let n = if self.full { 0 } else { self.step.min(bytes.len()) };
        self.from_device.extend_from_slice(&bytes[..n]);
        Ok(n)
    }

    fn hang_up(&mut self) {
        self.hung_up = true;
    }
}

/// Turns until the device has nothing to do.
fn settle(device: &mut Device, wire: &mut Wire, millis: u32) -> Next {
    loop {
        match device.turn(wire, millis) {
            Next::Again => {}
            next => return next,
        }
    }
}

/// A frame as a client sends it.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let key = [0x37, 0xfa, 0x21, 0x3d];
    let mut bytes = vec![first];
    match payload.len() {
        len @ 0..126 => bytes.push(0x80 | len as u8),
        len => {
            bytes.push(0x80 | 126);
            bytes.extend((len as u16).to_be_bytes());
        }
    }
    bytes.extend(key);
    bytes.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    bytes
}

fn connected(step: usize, millis: u32) -> (Device, Wire) {
    let mut device = Device::answer(millis);
    let mut wire = Wire::new(step);
    wire.say(REQUEST.bytes());
    settle(&mut device, &mut wire, millis);
    let answer = String::from_utf8(wire.hear()).unwrap();
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    assert!(answer.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{answer}");
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    (device, wire)
}

#[test]
fn a_whole_conversation() {
    for step in [1, 7, 64, 4096] {
        let (mut device, mut wire) = connected(step, 0);

        // A message in three frames, and a ping between them, which is answered before the message is.
        wire.say(frame(0x01, b"Hel"));
        wire.say(frame(0x00, b""));
        wire.say(frame(0x89, b"?"));
        settle(&mut device, &mut wire, 1);
        assert_eq!(wire.hear(), b"\x8a\x01?");
        wire.say(frame(0x80, b"lo"));
        settle(&mut device, &mut wire, 2);
        assert_eq!(wire.hear(), b"\x81\x05Hello");

        // More than the FIFO and more than the backlog.
        for i in 0..5 {
            wire.say(frame(0x82, &[i; 2000]));
        }
        settle(&mut device, &mut wire, 3);
        let expected: Vec<u8> = (0..5).flat_map(|i| [0x82, 126, 0x07, 0xd0].into_iter().chain([i; 2000])).collect();
        assert!(wire.hear() == expected);

        wire.say(frame(0x88, b"\x03\xe8bye"));
        assert_eq!(settle(&mut device, &mut wire, 4), Next::Over);
        assert_eq!(wire.hear(), b"\x88\x02\x03\xe8");
        assert!(wire.hung_up);
        let closed = device.closed().unwrap();
        assert!(closed.is_clean());
        assert_eq!((closed.code(), closed.reason()), (CloseCode::NORMAL, "bye"));
    }
}

#[test]
fn a_line_that_is_full_holds_the_peer_up() {
    let (mut device, mut wire) = connected(16, 0);
    for i in 0..40 {
        wire.say(frame(0x82, &[i; 200]));
    }
    let whole = wire.to_device.len();
    wire.full = true;
    assert!(matches!(settle(&mut device, &mut wire, 1), Next::Sleep(Some(_))));
    // The device took what it may keep, and leaves the rest to the flow control of the line.
    let taken = whole - wire.to_device.len();
    assert!((1000..2000).contains(&taken), "{taken}");

    wire.full = false;
    while !wire.to_device.is_empty() {
        settle(&mut device, &mut wire, 2);
    }
    let expected: Vec<u8> = (0..40).flat_map(|i| [0x82, 126, 0, 200].into_iter().chain([i; 200])).collect();
    assert!(wire.hear() == expected);
}

#[test]
fn what_is_too_big_for_the_device_is_refused() {
    let (mut device, mut wire) = connected(64, 0);
    // The head alone decides: nothing of the payload has come yet.
    wire.say(*b"\x82\xfe\x08\x01");
    settle(&mut device, &mut wire, 0);
    let close = wire.hear();
    assert_eq!((close[0], &close[2..4]), (0x88, &1009_u16.to_be_bytes()[..]));

    let mut device = Device::answer(0);
    let mut wire = Wire::new(64);
    wire.say(b"GET / HTTP/1.1\r\nHost: device\r\nX: ".iter().copied());
    wire.say([b'x'; 1024]);
    settle(&mut device, &mut wire, 0);
    assert!(wire.hear().starts_with(b"HTTP/1.1 431 "));
}

#[test]
fn the_counter_may_begin_anew() {
    // Ten seconds before the counter's end.
    let start = u32::MAX - 10_000;
    let (mut device, mut wire) = connected(64, start);
    let Next::Sleep(Some(first)) = settle(&mut device, &mut wire, start) else { panic!("no deadline") };
    assert_eq!(first, 60_000);
    let later = start.wrapping_add(first);
    assert!(later < start);
    // The ping that looks for a sign of life, and then the end, because there is none.
    let Next::Sleep(Some(second)) = settle(&mut device, &mut wire, later) else { panic!("no deadline") };
    assert_eq!(wire.hear().first(), Some(&0x89));
    assert_eq!(settle(&mut device, &mut wire, later.wrapping_add(second)), Next::Over);
    assert_eq!(device.closed().unwrap().cause, Cause::PongTimeout);
}

#[test]
fn nobody_calls() {
    let mut device = Device::answer(5);
    let mut wire = Wire::new(64);
    let Next::Sleep(Some(patience)) = settle(&mut device, &mut wire, 5) else { panic!("no deadline") };
    assert_eq!(patience, 10_000);
    settle(&mut device, &mut wire, 5 + patience);
    assert!(wire.hear().starts_with(b"HTTP/1.1 408 "));
    wire.peer_gone = true;
    assert_eq!(settle(&mut device, &mut wire, 6 + patience), Next::Over);
    assert!(device.closed().is_none());
}

#[test]
fn the_line_breaks() {
    let (mut device, mut wire) = connected(64, 0);
    wire.say(frame(0x01, b"half a mess"));
    wire.peer_gone = true;
    assert_eq!(settle(&mut device, &mut wire, 0), Next::Over);
    assert!(!device.closed().unwrap().is_clean());
}

/// Stands for the register of a hardware generator. Every other time no word is ready.
struct Register {
    state: u32,
    ready: bool,
}

impl NoiseSource for Register {
    fn word(&mut self) -> Option<u32> {
        self.ready = !self.ready;
        self.state = self.state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        self.ready.then_some(self.state)
    }
}

/// Broken registers: one that never has a word, and one that always has the same.
struct Stuck(Option<u32>);

impl NoiseSource for Stuck {
    fn word(&mut self) -> Option<u32> {
        self.0
    }
}

fn request() -> ClientRequest {
    ClientRequest::new(Target::new(false, "server", None, "/").unwrap())
}

/// A server of the core at the other end of the line.
fn accept(wire: &mut Wire) -> Connection {
    let mut handshake = ServerHandshake::new(Instant::ZERO, ServerConfig::default());
    let mut bytes = wire.hear();
    assert_eq!(handshake.poll(Instant::ZERO, &mut Input::new(&mut bytes)), Step::Request);
    handshake.accept(Instant::ZERO, Accept::new()).unwrap();
    handshake.into_connection(Box::new(NoEntropy)).unwrap()
}

fn flush(connection: &mut Connection, wire: &mut Wire) {
    while let Some(bytes) = connection.take_outgoing(Instant::ZERO) {
        wire.say(bytes);
    }
}

#[test]
fn the_device_calls() {
    let noise = Noise::new(Register { state: 1, ready: false });
    let mut device = Device::call(0, &request(), Box::new(noise)).unwrap();
    let mut wire = Wire::new(16);
    settle(&mut device, &mut wire, 0);
    let mut server = accept(&mut wire);

    let mut masks = Vec::new();
    for i in 0..100 {
        server.send(format!("message {i}")).unwrap();
        flush(&mut server, &mut wire);
        settle(&mut device, &mut wire, i);
        let mut bytes = wire.hear();
        masks.push(<[u8; 4]>::try_from(&bytes[2..6]).unwrap());
        let mut input = Input::new(&mut bytes);
        let Some(Event::Text(text)) = server.poll(Instant::ZERO, &mut input) else { panic!("no echo") };
        assert_eq!(text, format!("message {i}").as_str());
    }
    masks.sort_unstable();
    masks.dedup();
    assert_eq!(masks.len(), 100);

    server.close(Instant::ZERO, CloseCode::NORMAL, "").unwrap();
    flush(&mut server, &mut wire);
    settle(&mut device, &mut wire, 100);
    let mut bytes = wire.hear();
    let mut input = Input::new(&mut bytes);
    while server.poll(Instant::ZERO, &mut input).is_some() {}
    // The server hangs up first (RFC 6455 section 7.1.1).
    wire.peer_gone = true;
    assert_eq!(settle(&mut device, &mut wire, 100), Next::Over);
    assert!(device.closed().unwrap().is_clean());
}

#[test]
fn without_noise_nothing_is_sent() {
    for stuck in [Stuck(None), Stuck(Some(4))] {
        let device = Device::call(0, &request(), Box::new(Noise::new(stuck)));
        assert_eq!(device.err(), Some(EntropyError));
    }
}
