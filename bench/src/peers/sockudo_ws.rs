//! sockudo-ws. Its handshake is tied to its own server; here are its connections.

use std::hint::black_box;

use bytes::Bytes;
use futures_util::{SinkExt, Stream, StreamExt};
use sockudo_ws::deflate::{DeflateConfig, DeflateWindowBits};
use sockudo_ws::{CompressedWebSocketStream, Config, Message, Role as TheirRole, WebSocketStream};

use super::{Peer, SendMany, Side, Socket};
use crate::compression::{Codec, LEVEL};
use crate::rows::Role;
use crate::stream::{CycleStream, MemStream, block_on};

pub const PEER: Peer = Peer {
    name: "sockudo-ws",
    side: Side::Peer,
    receive: Some(receive),
    send: Some(send as SendMany),
    handshake: None,
    serve: None,
    compressed: Some(compressed),
};

/// Without its timers, which others don't have by default.
fn config() -> Config {
    Config { idle_timeout: 0, auto_ping: false, ..Config::default() }
}

async fn next<S: Stream<Item = sockudo_ws::Result<Message>> + Unpin>(socket: &mut S) -> Bytes {
    match socket.next().await {
        Some(Ok(Message::Text(payload) | Message::Binary(payload))) => payload,
        other => panic!("{other:?}"),
    }
}

fn receive(stream: MemStream, messages: u64) -> u64 {
    let mut socket = WebSocketStream::server(stream, config());
    block_on(async {
        let mut bytes = 0;
        for _ in 0..messages {
            bytes += black_box(next(&mut socket).await).len() as u64;
        }
        bytes
    })
}

fn send(stream: MemStream, role: Role, payload: &'static [u8], messages: u64) {
    let role = match role {
        Role::Client => TheirRole::Client,
        Role::Server => TheirRole::Server,
    };
    let mut socket = WebSocketStream::from_raw(stream, role, config());
    block_on(async {
        for _ in 0..messages {
            let message = Message::Binary(Bytes::from_static(black_box(payload)));
            socket.send(message).await.expect("sent");
        }
    });
}

fn compressed(stream: CycleStream, codec: Codec) -> Option<Box<dyn Socket>> {
    let socket: Box<dyn Socket> = match codec {
        Codec::None => Box::new(Kept(WebSocketStream::server(stream, config()))),
        Codec::Deflate { shared: true, .. } => return None,
        Codec::Deflate { takeover, window_bits, .. } => {
            let bits = DeflateWindowBits::try_from(window_bits).ok()?;
            let deflate = DeflateConfig {
                server_max_window_bits: bits,
                client_max_window_bits: bits,
                server_no_context_takeover: !takeover,
                client_no_context_takeover: !takeover,
                compression_level: u32::from(LEVEL),
                ..DeflateConfig::default()
            };
            Box::new(Kept(CompressedWebSocketStream::server(stream, config(), deflate)))
        }
    };
    Some(socket)
}

struct Kept<S>(S);

impl<S> Socket for Kept<S>
where
    S: Stream<Item = sockudo_ws::Result<Message>> + futures_util::Sink<Message, Error = sockudo_ws::Error> + Unpin,
{
    fn receive(&mut self, each: &mut dyn FnMut(&[u8])) {
        each(&block_on(next(&mut self.0)));
    }

    fn send(&mut self, payload: &'static [u8]) {
        block_on(self.0.send(Message::Binary(Bytes::from_static(payload)))).expect("sent");
    }
}
