//! The rows about compression: connections that are kept, and messages that take turns on them.

use std::hint::black_box;

use zlib_rs::{Deflate, DeflateFlush, Inflate, InflateFlush};

use crate::frames;
use crate::messages::{self, COUNT};
use crate::peers::{Peer, Socket};
use crate::stream::{self, CycleStream};

/// The compression level of all rows.
pub const LEVEL: u8 = 6;

/// What an end of a message leaves out (RFC 7692 section 7.2.1).
pub const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// How a connection compresses, the same in both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// Not at all.
    None,
    Deflate {
        /// Messages refer to earlier ones.
        takeover: bool,
        window_bits: u8,
        /// Connections share a compressor although messages refer to earlier ones.
        shared: bool,
    },
}

impl Codec {
    /// The usual, with and without takeover.
    pub const fn window_15(takeover: bool) -> Self {
        Self::Deflate { takeover, window_bits: 15, shared: false }
    }

    /// With takeover and a window of that size.
    pub const fn window(window_bits: u8) -> Self {
        Self::Deflate { takeover: true, window_bits, shared: false }
    }

    /// With takeover and one compressor for all.
    pub const SHARED: Self = Self::Deflate { takeover: true, window_bits: 15, shared: true };

    fn takeover(self) -> bool {
        matches!(self, Self::Deflate { takeover: true, .. })
    }
}

/// The messages of one row and the bytes that carry them to each connection.
#[derive(Clone, Copy)]
pub struct Traffic {
    codec: Codec,
    messages: &'static [Vec<u8>],
    /// For each connection what arrives, a read per message.
    reads: &'static [Vec<Vec<u8>>],
}

/// The messages of `len` bytes. Connections begin at different ones.
pub fn traffic(codec: Codec, len: usize, connections: usize) -> Traffic {
    let messages: &'static [Vec<u8>] = messages::json(len).leak();
    let reads: Vec<Vec<Vec<u8>>> = (0..connections).map(|i| reads(codec, messages, i)).collect();
    Traffic { codec, messages, reads: reads.leak() }
}

/// Which message is the `step`th of that connection.
fn turn(connection: usize, step: usize) -> usize {
    (connection * 4 + step) % COUNT
}

fn reads(codec: Codec, messages: &[Vec<u8>], connection: usize) -> Vec<Vec<u8>> {
    // Messages go in a cycle; the first of a cycle refers to nothing, so it can follow the last.
    let mut compressor = match codec {
        Codec::Deflate { window_bits, .. } => Some(Deflate::new(i32::from(LEVEL), false, window_bits)),
        Codec::None => None,
    };
    let each = (0..COUNT).map(|step| {
        let message = &messages[turn(connection, step)];
        let mut bytes = Vec::new();
        match &mut compressor {
            Some(compressor) => {
                if !codec.takeover() {
                    compressor.reset();
                }
                frames::put_compressed_client_text(&mut bytes, &compress(compressor, message));
            }
            None => frames::put_client_message(&mut bytes, frames::Kind::Text, message, 1),
        }
        bytes
    });
    each.collect()
}

/// The payload that carries `message`.
fn compress(compressor: &mut Deflate, message: &[u8]) -> Vec<u8> {
    let mut payload = vec![0; message.len() + 1024];
    let before = compressor.total_out();
    compressor.compress(message, &mut payload, DeflateFlush::SyncFlush).expect("compressed");
    payload.truncate((compressor.total_out() - before) as usize);
    assert!(payload.ends_with(&TAIL));
    payload.truncate(payload.len() - TAIL.len());
    payload
}

/// Connections of one library, and whose turn it is.
pub struct Turns {
    sockets: Vec<Box<dyn Socket>>,
    traffic: Traffic,
    received: usize,
    sent: usize,
}

impl Turns {
    /// Opens the connections; `None` if the library can't do what the row asks for.
    pub fn open(peer: &Peer, traffic: Traffic) -> Option<Self> {
        let open = peer.compressed?;
        let sockets: Option<_> =
            traffic.reads.iter().map(|reads| open(CycleStream::cycling(reads), traffic.codec)).collect();
        Some(Self { sockets: sockets?, traffic, received: 0, sent: 0 })
    }

    /// The number of connections.
    pub fn connections(&self) -> usize {
        self.sockets.len()
    }

    /// Receives so many messages in all.
    pub fn receive(&mut self, count: u64) {
        let mut bytes = 0;
        for _ in 0..count {
            let connection = self.received % self.sockets.len();
            self.received += 1;
            self.sockets[connection].receive(&mut |message| bytes += black_box(message).len() as u64);
        }
        assert_eq!(bytes, count * self.traffic.messages[0].len() as u64, "received something else");
    }

    /// Sends so many messages in all.
    pub fn send(&mut self, count: u64) {
        for _ in 0..count {
            let (connection, message) = self.next_to_send();
            self.sockets[connection].send(black_box(message));
        }
    }

    fn next_to_send(&mut self) -> (usize, &'static [u8]) {
        let (connection, step) = (self.sent % self.sockets.len(), self.sent / self.sockets.len());
        self.sent += 1;
        (connection, &self.traffic.messages[turn(connection, step)])
    }

    /// Receives enough messages to fill the windows, and compares every byte.
    ///
    /// # Panics
    ///
    /// When something else is received.
    pub fn check_receive(&mut self) {
        for _ in 0..self.enough() {
            let (connection, step) = (self.received % self.sockets.len(), self.received / self.sockets.len());
            self.received += 1;
            let expected = &self.traffic.messages[turn(connection, step)];
            let mut messages = 0;
            self.sockets[connection].receive(&mut |message| {
                messages += 1;
                assert!(message == expected, "received something else at {step}");
            });
            assert_eq!(messages, 1);
        }
    }

    /// Sends enough messages to fill the windows, decompresses what was written and compares every byte. Returns the
    /// bytes written per message.
    ///
    /// # Panics
    ///
    /// When something else is sent.
    pub fn check_send(&mut self) -> f64 {
        let (enough, first) = (self.enough(), self.sent);
        let written = stream::recorded(|| self.send(enough as u64));
        let new = || Inflate::new(false, 15);
        let mut peers: Vec<Inflate> = (0..self.sockets.len()).map(|_| new()).collect();
        let mut rest = &written[..];
        for i in first..first + enough {
            let (connection, step) = (i % peers.len(), i / peers.len());
            let (head, payload) = frames::take_server_frame(&mut rest).expect("a frame per message");
            let expected = &self.traffic.messages[turn(connection, step)];
            if self.traffic.codec == Codec::None {
                assert!(head == 0x82 && payload == expected);
                continue;
            }
            assert_eq!(head, 0xc2, "a compressed binary message");
            if !self.traffic.codec.takeover() {
                peers[connection].reset(false);
            }
            assert!(inflate(&mut peers[connection], payload, expected.len()) == *expected, "sent something else");
        }
        assert!(rest.is_empty());
        written.len() as f64 / enough as f64
    }

    fn enough(&self) -> usize {
        (self.sockets.len() * 40).max(COUNT + 8)
    }
}

fn inflate(inflater: &mut Inflate, payload: &[u8], len: usize) -> Vec<u8> {
    let input = [payload, &TAIL].concat();
    let mut message = vec![0; len + 1];
    let before = (inflater.total_in(), inflater.total_out());
    inflater.decompress(&input, &mut message, InflateFlush::SyncFlush).expect("valid");
    assert_eq!(inflater.total_in() - before.0, input.len() as u64);
    message.truncate((inflater.total_out() - before.1) as usize);
    message
}
