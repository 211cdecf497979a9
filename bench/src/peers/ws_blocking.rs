//! This library's adapter for threads: only the echo.

use std::net::TcpStream;

use ws_blocking::tls::ServerTls;
use ws_blocking::{Acceptor, Decision, NetStream, WebSocket};

use super::{Family, Peer, Side};
use crate::runtimes::on_threads;

pub const PEER: Peer = Peer::server("ws-blocking", Side::Ours, Family::Threads, |listening| {
    let Some(config) = listening.tls else {
        return on_threads::each(listening.listener, plain);
    };
    let tls = ServerTls::from(config);
    on_threads::each(listening.listener, move |stream| encrypted(stream, &tls));
});

fn plain(stream: TcpStream) {
    if let Ok(socket) = ws_blocking::accept(NetStream::from(stream)) {
        echo(socket);
    }
}

fn encrypted(stream: TcpStream, tls: &ServerTls) {
    if let Ok((socket, _)) = Acceptor::default().accept_tls_with(stream, tls, Decision::default_for) {
        echo(socket);
    }
}

fn echo(mut socket: WebSocket) {
    while let Ok(Some(message)) = socket.recv() {
        if socket.send(message).is_err() {
            return;
        }
    }
}
