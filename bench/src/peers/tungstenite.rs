//! tungstenite: blocking.

use std::hint::black_box;
use std::io::{Read, Write};

use bytes::Bytes;
use tungstenite::protocol::Role as TheirRole;
use tungstenite::{Message, WebSocket};

use super::{Family, Peer, Serve, Side};
use crate::rows::Role;
use crate::runtimes::on_threads;
use crate::stream::MemStream;

pub const PEER: Peer = Peer {
    name: "tungstenite",
    side: Side::Peer,
    receive: Some(receive),
    send: Some(send),
    handshake: Some(handshake),
    serve: Serve::on(Family::Threads, |listening| on_threads::either(listening, echo, echo)),
    compressed: None,
};

fn receive(stream: MemStream, messages: u64) -> u64 {
    let mut socket = WebSocket::from_raw_socket(stream, TheirRole::Server, None);
    let mut bytes = 0;
    for _ in 0..messages {
        let message = black_box(socket.read().expect("a message"));
        bytes += message.len() as u64;
    }
    bytes
}

fn send(stream: MemStream, role: Role, payload: &'static [u8], messages: u64) {
    let role = match role {
        Role::Client => TheirRole::Client,
        Role::Server => TheirRole::Server,
    };
    let mut socket = WebSocket::from_raw_socket(stream, role, None);
    for _ in 0..messages {
        let message = Message::Binary(Bytes::from_static(black_box(payload)));
        socket.send(message).expect("sent");
    }
}

fn handshake(request: &'static [u8], connections: u64) {
    for _ in 0..connections {
        black_box(tungstenite::accept(MemStream::once(request)).expect("accepted"));
    }
}

fn echo<S: Read + Write>(stream: S) {
    let Ok(mut socket) = tungstenite::accept(stream) else {
        return;
    };
    while let Ok(message) = socket.read() {
        if (message.is_text() || message.is_binary()) && socket.send(message).is_err() {
            return;
        }
    }
}
