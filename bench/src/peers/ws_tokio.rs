//! This library's tokio adapter, with owned messages.

use std::future::ready;
use std::hint::black_box;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use ws_proto::Version;
use ws_tokio::tls::ServerTls;
use ws_tokio::{Acceptor, Config, Decision, Event, Negotiated, Request, Role as OurRole, WebSocket};

use super::ws_proto::negotiated;
use super::{Family, Peer, Serve, Side, Socket};
use crate::compression::Codec;
use crate::rows::Role;
use crate::runtimes::on_tokio;
use crate::serve::Listening;
use crate::stream::{CycleStream, MemStream, block_on};

pub const PEER: Peer = Peer {
    name: "ws-tokio",
    side: Side::Ours,
    receive: Some(receive),
    send: Some(send),
    handshake: Some(handshake),
    serve: Serve::on(Family::Tokio, serve),
    compressed: Some(compressed),
};

/// The same with messages that are lent to a closure.
pub const LENT: Peer = Peer {
    name: "ws-tokio-lent",
    side: Side::Ours,
    receive: Some(receive_lent),
    send: None,
    handshake: None,
    serve: None,
    compressed: None,
};

/// Runs a future where timers can be made; nothing ever waits for them.
fn run<F: Future>(future: impl FnOnce() -> F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.expect("a runtime");
    let _entered = runtime.enter();
    block_on(future())
}

fn socket(stream: MemStream, role: Role) -> WebSocket<MemStream> {
    let role = match role {
        Role::Client => OurRole::Client,
        Role::Server => OurRole::Server,
    };
    WebSocket::from_upgraded(stream, role, Negotiated::new(Version::Rfc6455), Config::default())
}

fn receive(stream: MemStream, messages: u64) -> u64 {
    run(async move || {
        let mut socket = socket(stream, Role::Server);
        let mut bytes = 0;
        for _ in 0..messages {
            bytes += black_box(socket.recv().await.expect("a message")).len() as u64;
        }
        bytes
    })
}

fn receive_lent(stream: MemStream, messages: u64) -> u64 {
    run(async move || {
        let mut socket = socket(stream, Role::Server);
        let (mut bytes, mut received) = (0, 0);
        let end = socket.recv_with(|event| {
            bytes += match black_box(event) {
                Event::Text(text) => text.as_bytes().len() as u64,
                Event::Binary(payload) => payload.len() as u64,
                other => panic!("{other:?}"),
            };
            received += 1;
            (received == messages).then_some(())
        });
        end.await.expect("open");
        bytes
    })
}

fn send(stream: MemStream, role: Role, payload: &'static [u8], messages: u64) {
    run(async move || {
        let mut socket = socket(stream, role);
        for _ in 0..messages {
            let message = Bytes::from_static(black_box(payload));
            socket.send(message).await.expect("sent");
        }
    });
}

fn handshake(request: &'static [u8], connections: u64) {
    run(async move || {
        for _ in 0..connections {
            black_box(ws_tokio::accept(MemStream::once(request)).await.expect("accepted"));
        }
    });
}

fn serve(listening: Listening) {
    let Some(config) = listening.tls else {
        return on_tokio::each(listening.listener, plain);
    };
    let tls = ServerTls::from(config);
    on_tokio::each(listening.listener, move |stream| encrypted(stream, tls.clone()));
}

async fn plain(stream: TcpStream) {
    if let Ok(socket) = ws_tokio::accept(stream).await {
        echo(socket).await;
    }
}

async fn encrypted(stream: TcpStream, tls: ServerTls) {
    let acceptor = Acceptor::default();
    let decide = |request: &Request| ready(Decision::default_for(request));
    if let Ok((socket, _)) = acceptor.accept_tls_with(stream, &tls, decide).await {
        echo(socket).await;
    }
}

async fn echo<T: AsyncRead + AsyncWrite + Unpin>(mut socket: WebSocket<T>) {
    while let Some(message) = socket.recv().await {
        if socket.send(message).await.is_err() {
            return;
        }
    }
}

fn compressed(stream: CycleStream, codec: Codec) -> Option<Box<dyn Socket>> {
    let socket = WebSocket::from_upgraded(stream, OurRole::Server, negotiated(codec), Config::default());
    Some(Box::new(Compressed(socket)))
}

struct Compressed(WebSocket<CycleStream>);

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
}

/// Runs a future of a connection that is kept where timers can be made.
fn kept<F: Future>(future: F) -> F::Output {
    RUNTIME.with(|runtime| {
        let _entered = runtime.enter();
        block_on(future)
    })
}

impl Socket for Compressed {
    fn receive(&mut self, each: &mut dyn FnMut(&[u8])) {
        each(kept(self.0.recv()).expect("a message").as_bytes());
    }

    fn send(&mut self, payload: &'static [u8]) {
        kept(self.0.send(Bytes::from_static(payload))).expect("sent");
    }
}
