//! The codec through its traits, held against a strict little inflater and against itself.

mod received;
mod sent;
mod strict;

use std::boxed::Box;
use std::vec::Vec;
use std::{format, vec};

use super::compress::Compress;
use super::inflate::Decompress;
use super::{Agreed, Deflate, Direction};
use crate::error::ProtocolError;
use crate::extension::{Codec, Decoder, Encoder, Outgoing, RSV1, Scope, Sink};
use crate::message::Kind;
use crate::version::Role;

const ROOMY: usize = 1 << 30;

/// Decodes one message that arrives in pieces; the sink gives `room` bytes at a time. With a fault: what preceded it.
fn decode_all(decoder: &mut dyn Decoder, pieces: &[&[u8]], room: usize) -> (Vec<u8>, Option<ProtocolError>) {
    assert_eq!(decoder.begin(RSV1), Ok(()));
    let mut out = Vec::new();
    for (n, piece) in pieces.iter().enumerate() {
        if let Err(error) = decode_piece(decoder, piece, n + 1 == pieces.len(), room, &mut out) {
            return (out, Some(error));
        }
    }
    (out, None)
}

fn decode_piece(
    decoder: &mut dyn Decoder,
    mut rest: &[u8],
    end: bool,
    room: usize,
    out: &mut Vec<u8>,
) -> Result<(), ProtocolError> {
    loop {
        let before = out.len();
        let decoded = decoder.decode(rest, end, &mut Sink::new(out, ROOMY as u64, room, false))?;
        assert!(out.len() - before <= room);
        rest = &rest[decoded.used..];
        if decoded.done {
            assert!(rest.is_empty());
            return Ok(());
        }
        assert!(decoded.used > 0 || out.len() > before, "no progress");
    }
}

fn decode_pieces(decoder: &mut dyn Decoder, pieces: &[&[u8]], room: usize) -> Result<Vec<u8>, ProtocolError> {
    let (text, error) = decode_all(decoder, pieces, room);
    error.map_or(Ok(text), Err)
}

fn decode(decoder: &mut dyn Decoder, message: &[u8]) -> Result<Vec<u8>, ProtocolError> {
    decode_pieces(decoder, &[message], ROOMY)
}

/// A decoder for any window, with takeover.
fn decoder() -> Box<dyn Decoder> {
    Box::new(Decompress::new(15, true))
}

fn encoder(settings: &Deflate, bits: u8, takeover: bool) -> Box<dyn Encoder> {
    Box::new(Compress::new(settings, bits, takeover))
}

fn encode(encoder: &mut dyn Encoder, message: &[u8]) -> Vec<u8> {
    let mut out = vec![1, 2, 3];
    encoder.encode(message, true, &mut out).unwrap();
    out.split_off(3)
}

/// A little generator, so that a failure can be repeated.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() >> 16) as usize % n
    }
}

/// Text with much to refer back to, near and far.
fn json(rng: &mut Rng, len: usize) -> Vec<u8> {
    let mut text = Vec::new();
    while text.len() < len {
        let (id, user, value) = (rng.below(100_000), rng.below(50), rng.below(1 << 30));
        let line = format!("{{\"id\":{id},\"user\":\"name{user}\",\"tags\":[\"a\",\"b{user}\"],\"value\":{value}}},");
        text.extend_from_slice(line.as_bytes());
    }
    text.truncate(len);
    text
}

/// Bytes of several kinds: text, runs, noise.
fn mixed(rng: &mut Rng, len: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < len {
        let part = 1 + rng.below(2000);
        match rng.below(4) {
            0 => bytes.extend((0..part).map(|_| rng.next() as u8)),
            1 => bytes.resize(bytes.len() + part, rng.next() as u8),
            _ => bytes.extend(json(rng, part)),
        }
    }
    bytes.truncate(len);
    bytes
}

#[test]
fn each_end_decodes_what_the_other_may_send() {
    let agreed = Agreed {
        server: Direction { window_bits: 9, takeover: false },
        client: Direction { window_bits: 15, takeover: true },
        scope: Scope::Frame,
        settings: Deflate::default(),
    };
    assert_eq!((agreed.reserved_bits(), agreed.scope()), (RSV1, Scope::Frame));
    let text = json(&mut Rng(7), 400);
    for (sender, again) in [(Role::Server, false), (Role::Client, true)] {
        let mut encoder = agreed.encoder(sender);
        let mut decoder = agreed.decoder(sender.peer());
        let first = encode(&mut *encoder, &text);
        let second = encode(&mut *encoder, &text);
        assert_eq!(second.len() < first.len() / 4, again, "takeover");
        for message in [first, second] {
            assert_eq!(decode(&mut *decoder, &message).unwrap(), text);
        }
    }
}

#[test]
fn what_is_compressed() {
    let settings = Deflate { min_size: 100, ..Deflate::default() };
    let mut encoder = encoder(&settings, 15, true);
    let mut begin = |len, compress| encoder.begin(&Outgoing { kind: Kind::Text, len, compress });
    assert_eq!(begin(Some(99), None), None);
    assert_eq!(begin(Some(100), None), Some(RSV1));
    assert_eq!(begin(None, None), Some(RSV1));
    assert_eq!(begin(Some(0), Some(true)), Some(RSV1));
    assert_eq!(begin(Some(1000), Some(false)), None);
}
