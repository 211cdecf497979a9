//! tokio-tungstenite: only the echo, since in memory it is tungstenite.

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;

use super::{Peer, Side, accept_each};

pub const PEER: Peer = Peer {
    name: "tokio-tungstenite",
    side: Side::Peer,
    receive: None,
    send: None,
    handshake: None,
    serve: Some(|listener| Box::pin(accept_each(listener, echo))),
    compressed: None,
};

async fn echo(stream: TcpStream) {
    let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else {
        return;
    };
    while let Some(Ok(message)) = socket.next().await {
        if (message.is_text() || message.is_binary()) && socket.send(message).await.is_err() {
            return;
        }
    }
}
