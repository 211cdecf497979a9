//! fastwebsockets, its handshake by hyper.

use std::hint::black_box;

use fastwebsockets::{FragmentCollector, Frame, OpCode, Payload, Role as TheirRole, WebSocket};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::hyper::serve_upgrade;
use super::{Family, Peer, Serve, Side};
use crate::rows::Role;
use crate::runtimes::on_tokio;
use crate::stream::{MemStream, block_on};

pub const PEER: Peer = Peer {
    name: "fastwebsockets",
    side: Side::Peer,
    receive: Some(receive),
    send: Some(send),
    handshake: Some(handshake),
    serve: Serve::on(Family::Tokio, |listening| on_tokio::either(listening, echo, echo)),
    compressed: None,
};

fn receive(stream: MemStream, messages: u64) -> u64 {
    let socket = WebSocket::after_handshake(stream, TheirRole::Server);
    let mut socket = FragmentCollector::new(socket);
    block_on(async {
        let mut bytes = 0;
        for _ in 0..messages {
            let frame = black_box(socket.read_frame().await.expect("a message"));
            bytes += frame.payload.len() as u64;
        }
        bytes
    })
}

fn send(stream: MemStream, role: Role, payload: &'static [u8], messages: u64) {
    let role = match role {
        Role::Client => TheirRole::Client,
        Role::Server => TheirRole::Server,
    };
    let mut socket = WebSocket::after_handshake(stream, role);
    block_on(async {
        for _ in 0..messages {
            let frame = Frame::binary(Payload::Borrowed(black_box(payload)));
            socket.write_frame(frame).await.expect("sent");
        }
    });
}

async fn accept<S>(stream: S) -> Option<WebSocket<TokioIo<hyper::upgrade::Upgraded>>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    // Boxed, so that the idle connection doesn't keep the room of the HTTP server.
    let upgrade = Box::pin(serve_upgrade(stream, |mut request| fastwebsockets::upgrade::upgrade(&mut request).ok()));
    upgrade.await?.await.ok()
}

fn handshake(request: &'static [u8], connections: u64) {
    for _ in 0..connections {
        let socket = block_on(accept(MemStream::once(request)));
        assert!(black_box(socket).is_some());
    }
}

async fn echo<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S) {
    let Some(socket) = accept(stream).await else {
        return;
    };
    let mut socket = FragmentCollector::new(socket);
    while let Ok(frame) = socket.read_frame().await {
        let done = match frame.opcode {
            OpCode::Text | OpCode::Binary => socket.write_frame(frame).await.is_err(),
            OpCode::Close => true,
            _ => false,
        };
        if done {
            return;
        }
    }
}
