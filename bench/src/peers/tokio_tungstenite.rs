//! tokio-tungstenite: only the echo, since in memory it is tungstenite.

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Family, Peer, Side};
use crate::runtimes::on_tokio;

pub const PEER: Peer = Peer::server("tokio-tungstenite", Side::Peer, Family::Tokio, |listening| {
    on_tokio::either(listening, echo, echo);
});

async fn echo<S: AsyncRead + AsyncWrite + Unpin>(stream: S) {
    let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else {
        return;
    };
    while let Some(Ok(message)) = socket.next().await {
        if (message.is_text() || message.is_binary()) && socket.send(message).await.is_err() {
            return;
        }
    }
}
