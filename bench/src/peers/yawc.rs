//! yawc, its handshake by hyper.

use std::hint::black_box;

use bytes::Bytes;
use futures_util::SinkExt;
use tokio::io::{AsyncRead, AsyncWrite};
use yawc::{CompressionLevel, DeflatePool, Frame, HttpWebSocket, OpCode, Options, Role as TheirRole, WebSocket};

use super::hyper::serve_upgrade;
use super::{Family, Peer, Serve, Side, Socket};
use crate::compression::{Codec, LEVEL};
use crate::rows::Role;
use crate::runtimes::on_tokio;
use crate::stream::{CycleStream, MemStream, block_on};

pub const PEER: Peer = Peer {
    name: "yawc",
    side: Side::Peer,
    receive: Some(receive),
    send: Some(send),
    handshake: Some(handshake),
    serve: Serve::on(Family::Tokio, |listening| on_tokio::either(listening, echo, echo)),
    compressed: Some(compressed),
};

/// Text is checked, as the protocol asks and the others do; the limits let 1 MiB through.
fn options() -> Options {
    Options::default().with_utf8().with_limits(16 * 1024 * 1024, 64 * 1024 * 1024)
}

fn receive(stream: MemStream, messages: u64) -> u64 {
    let socket = WebSocket::from_stream(stream, TheirRole::Server, options());
    let mut socket = socket.expect("no extensions");
    block_on(async {
        let mut bytes = 0;
        for _ in 0..messages {
            let frame = black_box(socket.next_frame().await.expect("a message"));
            bytes += frame.payload().len() as u64;
        }
        bytes
    })
}

fn send(stream: MemStream, role: Role, payload: &'static [u8], messages: u64) {
    let role = match role {
        Role::Client => TheirRole::Client,
        Role::Server => TheirRole::Server,
    };
    let socket = WebSocket::from_stream(stream, role, options());
    let mut socket = socket.expect("no extensions");
    block_on(async {
        for _ in 0..messages {
            let frame = Frame::binary(Bytes::from_static(black_box(payload)));
            socket.send(frame).await.expect("sent");
        }
    });
}

async fn accept<S>(stream: S) -> Option<HttpWebSocket>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    // Boxed, so that the idle connection doesn't keep the room of the HTTP server.
    let upgrade =
        Box::pin(serve_upgrade(stream, |mut request| WebSocket::upgrade_with_options(&mut request, options()).ok()));
    upgrade.await?.await.ok()
}

fn handshake(request: &'static [u8], connections: u64) {
    for _ in 0..connections {
        let socket = block_on(accept(MemStream::once(request)));
        assert!(black_box(socket).is_some());
    }
}

async fn echo<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S) {
    let Some(mut socket) = accept(stream).await else {
        return;
    };
    while let Ok(frame) = socket.next_frame().await {
        let done = match frame.opcode() {
            OpCode::Text | OpCode::Binary => socket.send(frame).await.is_err(),
            OpCode::Close => true,
            _ => false,
        };
        if done {
            return;
        }
    }
}

thread_local! {
    static POOL: DeflatePool = DeflatePool::new(64);
}

/// Without takeover, state comes from a pool, as its documentation advises for many connections.
fn compressed(stream: CycleStream, codec: Codec) -> Option<Box<dyn Socket>> {
    let (extensions, options) = match codec {
        Codec::None => (None, options()),
        Codec::Deflate { shared: true, .. } => return None,
        Codec::Deflate { takeover, window_bits, .. } => {
            let bits = format!("client_max_window_bits={window_bits}; server_max_window_bits={window_bits}");
            let level = CompressionLevel::new(u32::from(LEVEL));
            let options = options().with_compression_level(level).with_deflate_pool(POOL.with(DeflatePool::clone));
            let alone = if takeover { "" } else { "; client_no_context_takeover; server_no_context_takeover" };
            (Some(format!("permessage-deflate; {bits}{alone}")), options)
        }
    };
    let socket =
        WebSocket::from_stream_with_extensions(stream, TheirRole::Server, extensions.as_deref(), options).ok()?;
    Some(Box::new(Compressed(socket)))
}

struct Compressed(WebSocket<CycleStream>);

impl Socket for Compressed {
    fn receive(&mut self, each: &mut dyn FnMut(&[u8])) {
        each(block_on(self.0.next_frame()).expect("a message").payload());
    }

    fn send(&mut self, payload: &'static [u8]) {
        block_on(self.0.send(Frame::binary(Bytes::from_static(payload)))).expect("sent");
    }
}
