//! wtx.

use std::hint::black_box;
use std::io::{IoSlice, Write};

use tokio::net::TcpStream;
use wtx::collection::Vector;
use wtx::rng::{Xorshift64, simple_seed};
use wtx::stream::{StreamReader, StreamWriter};
use wtx::web_socket::compression::{Flate2, NegotiatedFlate2, WindowBits};
use wtx::web_socket::{
    Compression, DeflateConfig, Frame, OpCode, WebSocket, WebSocketAcceptor, WebSocketBuffer, WebSocketPayloadOrigin,
};

use super::{Family, Peer, Serve, Side, Socket};
use crate::compression::{Codec, LEVEL};
use crate::rows::Role;
use crate::runtimes::on_tokio;
use crate::stream::{CycleStream, MemStream, Source, Stream, block_on};

pub const PEER: Peer = Peer {
    name: "wtx",
    side: Side::Peer,
    receive: Some(receive),
    send: Some(send),
    handshake: Some(handshake),
    serve: Some(Serve {
        family: Family::Tokio,
        run: |listening| on_tokio::each(listening.listener, echo),
        // Its traits have no implementation for tokio-rustls.
        tls: false,
    }),
    compressed: Some(compressed),
};

impl<S: Source> StreamReader for Stream<S> {
    async fn read(&mut self, bytes: &mut [u8]) -> wtx::Result<usize> {
        Ok(std::io::Read::read(self, bytes)?)
    }
}

impl<S: Source> StreamWriter for Stream<S> {
    async fn write_all(&mut self, bytes: &[u8]) -> wtx::Result<()> {
        Ok(Write::write_all(self, bytes)?)
    }

    async fn write_all_vectored(&mut self, bytes: &[&[u8]]) -> wtx::Result<()> {
        let mut parts = [IoSlice::new(&[]); 8];
        for (part, bytes) in parts.iter_mut().zip(bytes) {
            *part = IoSlice::new(bytes);
        }
        let wanted: usize = bytes.iter().map(|bytes| bytes.len()).sum();
        let written = Write::write_vectored(self, &parts[..bytes.len()])?;
        assert_eq!(written, wanted);
        Ok(())
    }
}

fn socket<const IS_CLIENT: bool>(
    stream: MemStream,
) -> WebSocket<(), Xorshift64, MemStream, WebSocketBuffer, IS_CLIENT> {
    let rng = Xorshift64::from(simple_seed());
    WebSocket::new((), false, rng, stream, WebSocketBuffer::new())
}

fn receive(stream: MemStream, messages: u64) -> u64 {
    let mut socket = socket::<false>(stream);
    let mut buffer = Vector::new();
    block_on(async {
        let mut bytes = 0;
        for _ in 0..messages {
            let frame = socket.read_frame(&mut buffer, WebSocketPayloadOrigin::Adaptive).await;
            bytes += black_box(frame.expect("a message")).payload().len() as u64;
        }
        bytes
    })
}

fn send(stream: MemStream, role: Role, payload: &'static [u8], messages: u64) {
    match role {
        Role::Client => send_as::<true>(stream, payload, messages),
        Role::Server => send_as::<false>(stream, payload, messages),
    }
}

/// A frame needs a payload that may be changed: a client's is masked where it is.
fn send_as<const IS_CLIENT: bool>(stream: MemStream, payload: &[u8], messages: u64) {
    let mut socket = socket::<IS_CLIENT>(stream);
    let mut payload = payload.to_vec();
    block_on(async {
        for _ in 0..messages {
            let payload = black_box(payload.as_mut_slice());
            let mut frame = Frame::new_fin(OpCode::Binary, payload);
            socket.write_frame(&mut frame).await.expect("sent");
        }
    });
}

fn handshake(request: &'static [u8], connections: u64) {
    for _ in 0..connections {
        let acceptor = WebSocketAcceptor::default().no_masking(false);
        let socket = block_on(acceptor.accept(MemStream::once(request)));
        black_box(socket.expect("accepted"));
    }
}

async fn echo(stream: TcpStream) {
    let acceptor = WebSocketAcceptor::default().no_masking(false);
    let Ok(mut socket) = acceptor.accept(stream).await else {
        return;
    };
    let (mut common, mut reader, mut writer) = socket.split_mut();
    let mut buffer = Vector::new();
    loop {
        let origin = WebSocketPayloadOrigin::Adaptive;
        let Ok(mut frame) = reader.read_frame(&mut buffer, &mut common, origin).await else {
            return;
        };
        let done = match frame.op_code() {
            OpCode::Text | OpCode::Binary => writer.write_frame(&mut common, &mut frame).await.is_err(),
            OpCode::Close => true,
            _ => false,
        };
        if done {
            return;
        }
    }
}

/// It resets both states after each message, whatever was agreed.
fn compressed(stream: CycleStream, codec: Codec) -> Option<Box<dyn Socket>> {
    let negotiated = match codec {
        Codec::None => None,
        Codec::Deflate { takeover: true, .. } => return None,
        Codec::Deflate { window_bits, .. } => {
            let bits = WindowBits::try_from(window_bits).ok()?;
            let config = DeflateConfig {
                client_max_window_bits: bits,
                compression_level: LEVEL.try_into().ok()?,
                server_max_window_bits: bits,
            };
            let offer: [&[u8]; 2] = [b"sec-websocket-extensions", b"permessage-deflate; client_max_window_bits"];
            Compression::<false>::negotiate(Flate2::from(config), [offer].into_iter()).ok()?
        }
    };
    let rng = Xorshift64::from(simple_seed());
    let socket = WebSocket::new(negotiated, false, rng, stream, WebSocketBuffer::new());
    Some(Box::new(Compressed { socket, buffer: Vector::new(), payload: Vec::new() }))
}

struct Compressed {
    socket: WebSocket<Option<NegotiatedFlate2>, Xorshift64, CycleStream, WebSocketBuffer, false>,
    buffer: Vector<u8>,
    payload: Vec<u8>,
}

impl Socket for Compressed {
    fn receive(&mut self, each: &mut dyn FnMut(&[u8])) {
        self.buffer.clear();
        let origin = WebSocketPayloadOrigin::Adaptive;
        let frame = block_on(self.socket.read_frame(&mut self.buffer, origin)).expect("a message");
        each(frame.payload());
    }

    /// It wants a payload that may be changed, so there is a copy to be made.
    fn send(&mut self, payload: &'static [u8]) {
        self.payload.clear();
        self.payload.extend_from_slice(payload);
        let mut frame = Frame::new_fin(OpCode::Binary, self.payload.as_mut_slice());
        block_on(self.socket.write_frame(&mut frame)).expect("sent");
    }
}
