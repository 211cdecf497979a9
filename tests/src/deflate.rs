//! Compressed streams made by hand, and ends that compress.

use ws_proto::deflate::Deflate;
use ws_proto::{Config, Connection, Negotiated, Role, Version};

use crate::entropy::counting;
use crate::transcript::agreement;

/// A connection whose handshake agreed on an extension: what a server with these settings answers to the offer.
#[must_use]
pub fn connection(role: Role, settings: Deflate, offer: &str, config: Config) -> Connection {
    let negotiated = Negotiated::new(Version::Rfc6455).with_extension(agreement(settings, offer));
    Connection::from_upgraded(role, negotiated, config, counting())
}

/// Settings that compress every message.
#[must_use]
pub fn eager() -> Deflate {
    let mut settings = Deflate::default();
    settings.min_size = 0;
    settings
}

/// DEFLATE data (RFC 1951), bit by bit.
#[derive(Clone, Debug, Default)]
pub struct Bits {
    bytes: Vec<u8>,
    /// Bits in use of the last byte.
    used: u32,
}

impl Bits {
    /// Appends a number of `n` bits, the lowest first.
    pub fn low(&mut self, value: u32, n: u32) -> &mut Self {
        for i in 0..n {
            if self.used == 0 {
                self.bytes.push(0);
            }
            if let Some(last) = self.bytes.last_mut() {
                *last |= ((value >> i & 1) as u8) << self.used;
            }
            self.used = (self.used + 1) % 8;
        }
        self
    }

    /// Appends a Huffman code of `n` bits, the highest first.
    pub fn code(&mut self, value: u32, n: u32) -> &mut Self {
        self.low(value.reverse_bits() >> (32 - n), n)
    }

    /// Begins a block with the fixed codes.
    pub fn fixed(&mut self, last: bool) -> &mut Self {
        self.low(u32::from(last), 1).low(1, 2)
    }

    /// A byte below 144 in a fixed block.
    pub fn literal(&mut self, byte: u8) -> &mut Self {
        self.code(0x30 + u32::from(byte), 8)
    }

    /// Copies 258 bytes from one byte back.
    pub fn run(&mut self) -> &mut Self {
        self.code(0b1100_0101, 8).code(0, 5)
    }

    /// Copies three bytes from 257 to 384 back.
    pub fn back(&mut self, distance: u32) -> &mut Self {
        self.code(1, 7).code(16, 5).low(distance.saturating_sub(257), 7)
    }

    /// Ends a fixed block.
    pub fn end(&mut self) -> &mut Self {
        self.low(0, 7)
    }

    /// The next bit is the first of a byte.
    pub fn align(&mut self) -> &mut Self {
        self.used = 0;
        self
    }

    /// An empty stored block, without the tail that senders leave out.
    pub fn finish(&mut self) -> Vec<u8> {
        self.low(0, 3);
        std::mem::take(self).bytes
    }
}
