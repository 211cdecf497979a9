//! Helpers of the tests.
#![allow(dead_code, unreachable_pub)]

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, duplex};
use ws_proto::Version;
use ws_tokio::{Config, Negotiated, Role, Server, WebSocket};

/// Only ends a test that hangs.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The body of a test with an end.
pub async fn patiently<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("the test hangs")
}

pub fn modern() -> Negotiated {
    Negotiated::new(Version::Rfc6455)
}

pub fn server<T: AsyncRead + AsyncWrite + Unpin>(transport: T) -> WebSocket<T> {
    WebSocket::from_upgraded(transport, Role::Server, modern(), Config::default())
}

pub fn client<T: AsyncRead + AsyncWrite + Unpin>(transport: T) -> WebSocket<T> {
    WebSocket::from_upgraded(transport, Role::Client, modern(), Config::default())
}

/// An echo server on this thread, at a port of its own.
pub async fn echo_server() -> (ws_tokio::ServerHandle, std::net::SocketAddr) {
    let server = Server::bind("127.0.0.1:0").await.unwrap();
    let (handle, address) = (server.handle(), server.local_addr().unwrap().tcp().unwrap());
    tokio::spawn(server.serve(|mut ws, _| async move {
        while let Some(message) = ws.recv().await {
            let _ = ws.send(message).await;
        }
    }));
    (handle, address)
}

/// A client and a server, joined by pipes of `size` bytes.
pub fn pair(size: usize) -> (WebSocket<DuplexStream>, WebSocket<DuplexStream>) {
    let (a, b) = duplex(size);
    (client(a), server(b))
}

/// A masked frame as a client sends it.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let key = [0x37, 0xfa, 0x21, 0x3d];
    let mut frame = vec![first];
    match payload.len() {
        n @ 0..126 => frame.push(0x80 | n as u8),
        n @ 126..0x10000 => {
            frame.push(0xfe);
            frame.extend((n as u16).to_be_bytes());
        }
        n => {
            frame.push(0xff);
            frame.extend((n as u64).to_be_bytes());
        }
    }
    frame.extend(key);
    frame.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

pub mod io;
