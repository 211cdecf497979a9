//! This library's core, driven as `docs/integrating.md` shows: messages are lent from one buffer.

use std::hint::black_box;
use std::io::{IoSlice, Read, Write};
use std::sync::Arc;

use bytes::Bytes;
use ws_proto::connection::{Connection, Event, Negotiated};
use ws_proto::{Accept, Config, Input, Instant, NoEntropy, OsEntropy, ServerConfig, ServerHandshake, Step, Version};

use super::{Peer, Side};
use crate::rows::Role;
use crate::stream::MemStream;

pub const PEER: Peer = Peer {
    name: "ws-proto",
    side: Side::Ours,
    receive: Some(receive),
    send: Some(send),
    handshake: Some(handshake),
    serve: None,
    compressed: None,
};

const SCRATCH: usize = 128 * 1024;

fn connection(role: Role) -> Connection {
    let negotiated = Negotiated::new(Version::Rfc6455);
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

fn receive(mut stream: MemStream, messages: u64) -> u64 {
    let mut conn = connection(Role::Server);
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
