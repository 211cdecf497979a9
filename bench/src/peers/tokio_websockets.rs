//! tokio-websockets.

use std::hint::black_box;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_websockets::{ClientBuilder, Message, ServerBuilder};

use super::{Family, Peer, Serve, Side};
use crate::rows::Role;
use crate::runtimes::on_tokio;
use crate::stream::{MemStream, block_on};

pub const PEER: Peer = Peer {
    name: "tokio-websockets",
    side: Side::Peer,
    receive: Some(receive),
    send: Some(send),
    handshake: Some(handshake),
    serve: Serve::on(Family::Tokio, |listening| on_tokio::either(listening, echo, echo)),
    compressed: None,
};

fn receive(stream: MemStream, messages: u64) -> u64 {
    let mut socket = ServerBuilder::new().serve(stream);
    block_on(async {
        let mut bytes = 0;
        for _ in 0..messages {
            let message = socket.next().await.expect("open").expect("a message");
            bytes += black_box(message).as_payload().len() as u64;
        }
        bytes
    })
}

fn send(stream: MemStream, role: Role, payload: &'static [u8], messages: u64) {
    let mut socket = match role {
        Role::Client => ClientBuilder::new().take_over(stream),
        Role::Server => ServerBuilder::new().serve(stream),
    };
    block_on(async {
        for _ in 0..messages {
            let message = Message::binary(Bytes::from_static(black_box(payload)));
            socket.send(message).await.expect("sent");
        }
    });
}

fn handshake(request: &'static [u8], connections: u64) {
    for _ in 0..connections {
        let stream = MemStream::once(request);
        black_box(block_on(ServerBuilder::new().accept(stream)).expect("accepted"));
    }
}

async fn echo<S: AsyncRead + AsyncWrite + Unpin>(stream: S) {
    let Ok((_request, mut socket)) = ServerBuilder::new().accept(stream).await else {
        return;
    };
    while let Some(Ok(message)) = socket.next().await {
        if (message.is_text() || message.is_binary()) && socket.send(message).await.is_err() {
            return;
        }
    }
}
