//! One small file per library: how it receives, sends, answers a handshake and echoes, used as its
//! own documentation shows; without compression except in the rows about it.

mod fastwebsockets;
mod hyper;
mod ideal;
mod raw_tokio;
mod sockudo_ws;
mod tokio_tungstenite;
mod tokio_websockets;
mod tungstenite;
pub mod ws_proto;
mod ws_tokio;
mod wtx;
mod yawc;

use std::pin::Pin;

use tokio::net::{TcpListener, TcpStream};

use crate::compression::Codec;
use crate::rows::Role;
use crate::stream::{CycleStream, MemStream};

/// What a column of the tables is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// This library.
    Ours,
    /// Another library: the best of these is what ours is compared with.
    Peer,
    /// No library but a mark to aim at.
    Reference,
}

/// A future that serves a listener for ever.
pub type Serving = Pin<Box<dyn Future<Output = ()>>>;

/// Sends a payload so many times.
pub type SendMany = fn(MemStream, Role, &'static [u8], u64);

/// Opens a server's connection that compresses like that.
pub type Compressed = fn(CycleStream, Codec) -> Option<Box<dyn Socket>>;

/// A library under measurement. A part that it doesn't have is `None`.
pub struct Peer {
    pub name: &'static str,
    pub side: Side,
    /// Receives so many messages as a server and returns the sum of their payload lengths.
    pub receive: Option<fn(MemStream, u64) -> u64>,
    /// Sends the payload as a binary message so many times, flushing each.
    pub send: Option<SendMany>,
    /// Answers the request on so many new connections.
    pub handshake: Option<fn(&'static [u8], u64)>,
    /// An echo server.
    pub serve: Option<fn(TcpListener) -> Serving>,
    /// A server's connection that compresses like that; `None` if the library can't be told to.
    pub compressed: Option<Compressed>,
}

/// A connection that is kept between messages.
pub trait Socket {
    /// Receives one message; calls `each` with it.
    fn receive(&mut self, each: &mut dyn FnMut(&[u8]));

    /// Sends a binary message and flushes it.
    fn send(&mut self, payload: &'static [u8]);
}

/// All libraries, in the order of the tables' columns.
pub const ALL: &[Peer] = &[
    ws_proto::PEER,
    ws_tokio::PEER,
    ws_tokio::LENT,
    tungstenite::PEER,
    tokio_tungstenite::PEER,
    fastwebsockets::PEER,
    tokio_websockets::PEER,
    yawc::PEER,
    sockudo_ws::PEER,
    wtx::PEER,
    ideal::PEER,
    raw_tokio::PEER,
];

/// The library of that name.
pub fn named(name: &str) -> Option<&'static Peer> {
    ALL.iter().find(|peer| peer.name == name)
}

/// Accepts connections and gives each its own task.
async fn accept_each<F, E>(listener: TcpListener, echo: F)
where
    F: Fn(TcpStream) -> E,
    E: Future<Output = ()> + Send + 'static,
{
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            return;
        };
        let _ = stream.set_nodelay(true);
        tokio::spawn(echo(stream));
    }
}
