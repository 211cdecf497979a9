//! async-tungstenite on async-std and on smol: only the echo, since in memory it is tungstenite.

use futures_util::StreamExt;
use futures_util::io::{AsyncRead, AsyncWrite};

use super::{Family, Peer, Side};
use crate::runtimes::{on_async_std, on_smol};

pub const ASYNC_STD: Peer = Peer::server("async-tungstenite", Side::Peer, Family::AsyncStd, |listening| {
    on_async_std::either(listening, echo, echo);
});

pub const SMOL: Peer = Peer::server("async-tungstenite-smol", Side::Peer, Family::Smol, |listening| {
    on_smol::either(listening, echo, echo);
});

async fn echo<S: AsyncRead + AsyncWrite + Unpin>(stream: S) {
    let Ok(mut socket) = async_tungstenite::accept_async(stream).await else {
        return;
    };
    while let Some(Ok(message)) = socket.next().await {
        if (message.is_text() || message.is_binary()) && socket.send(message).await.is_err() {
            return;
        }
    }
}
