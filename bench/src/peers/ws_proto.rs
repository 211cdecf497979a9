//! This library's core, driven as `docs/integrating.md` shows: messages are lent from one buffer.

use std::cell::RefCell;
use std::hint::black_box;
use std::io::{IoSlice, Read, Write};
use std::sync::Arc;

use bytes::Bytes;
use ws_proto::connection::{Connection, Event, Negotiated, Receiver, Sender};
use ws_proto::deflate::Deflate;
use ws_proto::extension::Negotiate;
use ws_proto::{Accept, Config, Input, Instant, NoEntropy, OsEntropy, ServerConfig, ServerHandshake, Step, Version};

use super::{Peer, Side, Socket};
use crate::compression::{Codec, LEVEL};
use crate::rows::Role;
use crate::stream::{CycleStream, MemStream};

pub const PEER: Peer = Peer {
    name: "ws-proto",
    side: Side::Ours,
    receive: Some(receive),
    send: Some(send),
    handshake: Some(handshake),
    serve: None,
    compressed: Some(compressed),
};

const SCRATCH: usize = 128 * 1024;

fn connection(role: Role) -> Connection {
    speaking(Version::Rfc6455, role)
}

fn speaking(version: Version, role: Role) -> Connection {
    let negotiated = Negotiated::new(version);
    match role {
        Role::Client => {
            let entropy = Box::new(OsEntropy);
            Connection::from_upgraded(ws_proto::Role::Client, negotiated, Config::default(), entropy)
        }
        Role::Server => {
            Connection::from_upgraded(ws_proto::Role::Server, negotiated, Config::default(), Box::new(NoEntropy))
        }
    }
}

fn receive(stream: MemStream, messages: u64) -> u64 {
    receive_on(connection(Role::Server), stream, messages)
}

/// Receives texts of hixie-76.
pub fn receive_hixie(stream: MemStream, messages: u64) -> u64 {
    receive_on(speaking(Version::Hixie76, Role::Server), stream, messages)
}

fn receive_on(mut conn: Connection, mut stream: MemStream, messages: u64) -> u64 {
    let mut scratch = vec![0; SCRATCH];
    let (mut bytes, mut received) = (0, 0);
    while received < messages {
        let n = stream.read(&mut scratch).expect("bytes");
        let mut input = Input::new(&mut scratch[..n]);
        while let Some(event) = conn.poll(Instant::ZERO, &mut input) {
            let len = match black_box(event) {
                Event::Text(text) => text.as_bytes().len(),
                Event::Binary(payload) => payload.len(),
                other => panic!("{other:?}"),
            };
            bytes += len as u64;
            received += 1;
            if received == messages {
                break;
            }
        }
    }
    bytes
}

fn send(mut stream: MemStream, role: Role, payload: &'static [u8], messages: u64) {
    let mut conn = connection(role);
    for _ in 0..messages {
        conn.send(Bytes::from_static(black_box(payload))).expect("taken");
        while conn.wants_write() {
            let mut parts = [IoSlice::new(&[]); 4];
            let mut used = 0;
            for (part, bytes) in parts.iter_mut().zip(conn.outgoing()) {
                *part = IoSlice::new(bytes);
                used += 1;
            }
            let n = stream.write_vectored(&parts[..used]).expect("a sink");
            conn.advance(Instant::ZERO, n);
        }
    }
}

fn handshake(request: &'static [u8], connections: u64) {
    let config = Arc::new(ServerConfig::default());
    let mut scratch = vec![0; SCRATCH];
    for _ in 0..connections {
        let mut stream = MemStream::once(request);
        let mut handshake = ServerHandshake::new(Instant::ZERO, Arc::clone(&config));
        let n = stream.read(&mut scratch).expect("a request");
        let step = handshake.poll(Instant::ZERO, &mut Input::new(&mut scratch[..n]));
        assert_eq!(step, Step::Request);
        handshake.accept(Instant::ZERO, Accept::new()).expect("a WebSocket request");
        while handshake.wants_write() {
            let n = handshake.outgoing().next().map(|bytes| stream.write(bytes).expect("a sink"));
            handshake.advance(Instant::ZERO, n.unwrap_or(0));
        }
        black_box(handshake.into_connection(Box::new(NoEntropy)).expect("accepted"));
    }
}

/// What a handshake would have agreed on.
pub fn negotiated(codec: Codec) -> Negotiated {
    let negotiated = Negotiated::new(Version::Rfc6455);
    match codec {
        Codec::None => negotiated,
        Codec::Deflate { takeover, window_bits, shared } => {
            let mut settings = Deflate::default();
            (settings.send_takeover, settings.receive_takeover) = (takeover, takeover);
            (settings.send_window_bits, settings.receive_window_bits) = (window_bits, window_bits);
            (settings.level, settings.shared_compressor) = (LEVEL, shared);
            let offers = settings.offers();
            let agreement = settings.answer(&offers[0]).expect("its own offer").expect("agreed");
            negotiated.with_extension(agreement)
        }
    }
}

fn compressed(stream: CycleStream, codec: Codec) -> Option<Box<dyn Socket>> {
    let (role, entropy) = (ws_proto::Role::Server, Box::new(NoEntropy));
    let conn = Connection::from_upgraded(role, negotiated(codec), Config::default(), entropy);
    let (rx, tx) = conn.split();
    Some(Box::new(Compressed { stream, rx, tx }))
}

/// In halves: a second place that calls `Connection::poll` would keep the compiler from inlining it in the first.
struct Compressed {
    stream: CycleStream,
    rx: Receiver,
    tx: Sender,
}

thread_local! {
    static READ: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH]);
}

impl Socket for Compressed {
    fn receive(&mut self, each: &mut dyn FnMut(&[u8])) {
        READ.with_borrow_mut(|scratch| {
            let n = self.stream.read(scratch).expect("bytes");
            let mut input = Input::new(&mut scratch[..n]);
            while let Some(event) = self.rx.poll(Instant::ZERO, &mut input) {
                match event {
                    Event::Text(text) => each(text.as_bytes()),
                    Event::Binary(payload) => each(&payload),
                    other => panic!("{other:?}"),
                }
            }
        });
    }

    fn send(&mut self, payload: &'static [u8]) {
        self.tx.send(Bytes::from_static(payload)).expect("taken");
        while self.tx.wants_write() {
            let bytes = self.tx.outgoing().next().expect("bytes");
            let n = self.stream.write(bytes).expect("a sink");
            self.tx.advance(n);
        }
    }
}
