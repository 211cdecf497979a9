//! tungstenite: blocking.

use std::hint::black_box;

use bytes::Bytes;
use tungstenite::protocol::Role as TheirRole;
use tungstenite::{Message, WebSocket};

use super::{Peer, Side};
use crate::rows::Role;
use crate::stream::MemStream;

pub const PEER: Peer = Peer {
    name: "tungstenite",
    side: Side::Peer,
    receive: Some(receive),
    send: Some(send),
    handshake: Some(handshake),
    serve: None,
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
