//! This library's adapter for futures-io, on async-std and on smol, over the transport that its own servers have: only
//! the echo.

use std::future::ready;

use ws_async_std::tls::ServerTls;
use ws_async_std::{Acceptor, Decision, NetStream, Request, WebSocket};

use super::{Family, Peer, Side};
use crate::runtimes::{on_async_std, on_smol};

pub const ASYNC_STD: Peer = Peer::server("ws-async-std", Side::Ours, Family::AsyncStd, |listening| {
    let Some(config) = listening.tls else {
        return on_async_std::each_async(listening.listener, plain);
    };
    let tls = ServerTls::from(config);
    on_async_std::each_async(listening.listener, move |stream| encrypted(stream, tls.clone()));
});

pub const SMOL: Peer = Peer::server("ws-async-std-smol", Side::Ours, Family::Smol, |listening| {
    let Some(config) = listening.tls else {
        return on_smol::each_async(listening.listener, plain);
    };
    let tls = ServerTls::from(config);
    on_smol::each_async(listening.listener, move |stream| encrypted(stream, tls.clone()));
});

async fn plain(stream: impl Into<NetStream>) {
    if let Ok(socket) = ws_async_std::accept(stream.into()).await {
        echo(socket).await;
    }
}

async fn encrypted(stream: impl Into<NetStream>, tls: ServerTls) {
    let acceptor = Acceptor::default();
    let decide = |request: &Request| ready(Decision::default_for(request));
    if let Ok((socket, _)) = acceptor.accept_tls_with(stream, &tls, decide).await {
        echo(socket).await;
    }
}

async fn echo(mut socket: WebSocket) {
    while let Some(message) = socket.recv().await {
        if socket.send(message).await.is_err() {
            return;
        }
    }
}
