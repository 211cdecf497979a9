//! One small file per library: how it receives, sends, answers a handshake and echoes, used as its
//! own documentation shows; without compression except in the rows about it.

mod async_tungstenite;
mod fastwebsockets;
mod hyper;
mod ideal;
mod raw;
mod sockudo_ws;
mod tokio_tungstenite;
mod tokio_websockets;
mod tungstenite;
mod ws_async_std;
mod ws_blocking;
pub mod ws_proto;
mod ws_tokio;
mod wtx;
mod yawc;

use crate::compression::Codec;
use crate::rows::Role;
use crate::serve::Listening;
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

/// What an echo server runs on. Libraries are compared within one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    Tokio,
    AsyncStd,
    Smol,
    Threads,
}

impl Family {
    /// All, in the order of the tables.
    pub const ALL: [Self; 4] = [Self::Tokio, Self::AsyncStd, Self::Smol, Self::Threads];

    /// What the tables call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tokio => "tokio",
            Self::AsyncStd => "async-std",
            Self::Smol => "smol",
            Self::Threads => "threads",
        }
    }
}

/// An echo server.
#[derive(Clone, Copy)]
pub struct Serve {
    pub family: Family,
    /// Serves until the process is killed.
    pub run: fn(Listening),
    /// Whether it does TLS, too.
    pub tls: bool,
}

impl Serve {
    /// A server with TLS and without.
    const fn on(family: Family, run: fn(Listening)) -> Option<Self> {
        Some(Self { family, run, tls: true })
    }
}

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
    pub serve: Option<Serve>,
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
    ws_async_std::ASYNC_STD,
    ws_async_std::SMOL,
    ws_blocking::PEER,
    tungstenite::PEER,
    tokio_tungstenite::PEER,
    async_tungstenite::ASYNC_STD,
    async_tungstenite::SMOL,
    fastwebsockets::PEER,
    tokio_websockets::PEER,
    yawc::PEER,
    sockudo_ws::PEER,
    wtx::PEER,
    ideal::PEER,
    raw::TOKIO,
    raw::ASYNC_STD,
    raw::SMOL,
    raw::THREADS,
];

/// The library of that name.
pub fn named(name: &str) -> Option<&'static Peer> {
    ALL.iter().find(|peer| peer.name == name)
}

impl Peer {
    /// A library, or a part of one, that is only measured as an echo server.
    const fn server(name: &'static str, side: Side, family: Family, run: fn(Listening)) -> Self {
        let serve = Serve::on(family, run);
        Self { name, side, receive: None, send: None, handshake: None, serve, compressed: None }
    }
}
