//! A codec for the purpose of having a mark: one reused buffer, masked in place, `simdutf8`, nothing
//! allocated per message, and no control frames, limits, states or errors. It is not a WebSocket
//! implementation and not a proven bound either.

use std::cell::RefCell;
use std::hint::black_box;
use std::io::{IoSlice, Read, Write};
use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};
use zlib_rs::{Deflate, DeflateFlush, Inflate, InflateFlush};

use super::{Peer, Side, Socket};
use crate::compression::{Codec, LEVEL, TAIL};
use crate::rows::Role;
use crate::stream::{CycleStream, MemStream};

pub const PEER: Peer = Peer {
    name: "ideal",
    side: Side::Reference,
    receive: Some(receive),
    send: Some(send),
    handshake: Some(handshake),
    serve: None,
    compressed: Some(compressed),
};

const BUFFER: usize = 128 * 1024;
/// From here on a payload is written from where it is instead of being copied behind its head.
const VECTORED: usize = 512;

struct Head {
    first: u8,
    len: usize,
    key: [u8; 4],
    size: usize,
}

/// The head of a masked frame, if it is all there.
#[inline]
fn head(bytes: &[u8]) -> Option<Head> {
    let (&[first, second], rest) = bytes.split_first_chunk()?;
    let (len, rest, size) = match second & 0x7f {
        126 => {
            let (len, rest) = rest.split_first_chunk()?;
            (usize::from(u16::from_be_bytes(*len)), rest, 8)
        }
        127 => {
            let (len, rest) = rest.split_first_chunk()?;
            (u64::from_be_bytes(*len) as usize, rest, 14)
        }
        len => (usize::from(len), rest, 6),
    };
    Some(Head { first, len, key: *rest.first_chunk()?, size })
}

#[inline]
fn repeated<const N: usize>(key: [u8; 4]) -> [u8; N] {
    std::array::from_fn(|i| key[i % 4])
}

#[inline]
fn mask(key: [u8; 4], data: &mut [u8]) {
    let (blocks, rest) = data.as_chunks_mut::<64>();
    if !blocks.is_empty() {
        let wide = repeated::<64>(key);
        for block in blocks {
            for (b, k) in block.iter_mut().zip(&wide) {
                *b ^= k;
            }
        }
    }
    let (words, rest) = rest.as_chunks_mut::<8>();
    let wide = u64::from_ne_bytes(repeated(key));
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (b, k) in rest.iter_mut().zip(key.iter().cycle()) {
        *b ^= k;
    }
}

/// Copies `data` into `out`, which is as long, masked on the way.
#[inline]
fn copy_masked(key: [u8; 4], data: &[u8], out: &mut [u8]) {
    let (blocks, rest) = data.as_chunks::<64>();
    let (out_blocks, out_rest) = out.as_chunks_mut::<64>();
    if !blocks.is_empty() {
        let wide = repeated::<64>(key);
        for (block, out) in blocks.iter().zip(out_blocks) {
            *out = std::array::from_fn(|i| block[i] ^ wide[i]);
        }
    }
    let (words, rest) = rest.as_chunks::<8>();
    let (out_words, out_rest) = out_rest.as_chunks_mut::<8>();
    let wide = u64::from_ne_bytes(repeated(key));
    for (word, out) in words.iter().zip(out_words) {
        *out = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for ((b, out), k) in rest.iter().zip(out_rest).zip(key.iter().cycle()) {
        *out = b ^ k;
    }
}

struct Reader {
    stream: MemStream,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    message: Vec<u8>,
}

impl Reader {
    /// Reads until there are `wanted` bytes.
    #[inline]
    fn fill(&mut self, wanted: usize) {
        if self.start + wanted > self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            if wanted > self.buffer.len() {
                self.buffer.resize(wanted, 0);
            }
        }
        while self.end - self.start < wanted {
            self.end += self.stream.read(&mut self.buffer[self.end..]).expect("bytes");
        }
    }

    /// The next message.
    #[inline]
    fn next(&mut self) -> &[u8] {
        self.message.clear();
        loop {
            let head = loop {
                match head(&self.buffer[self.start..self.end]) {
                    Some(head) => break head,
                    None => self.fill(self.end - self.start + 1),
                }
            };
            let size = head.size + head.len;
            if self.end - self.start < size {
                self.fill(size);
            }
            let range = self.start + head.size..self.start + size;
            self.start += size;
            if self.start == self.end {
                (self.start, self.end) = (0, 0);
            }
            let payload = &mut self.buffer[range.clone()];
            mask(head.key, payload);
            if head.first & 0x8f == 0x82 {
                return &self.buffer[range];
            }
            if head.first & 0x8f == 0x81 {
                assert!(simdutf8::basic::from_utf8(payload).is_ok());
                return &self.buffer[range];
            }
            self.message.extend_from_slice(payload);
            if head.first & 0x80 != 0 {
                assert!(simdutf8::basic::from_utf8(&self.message).is_ok());
                return &self.message;
            }
        }
    }
}

fn receive(stream: MemStream, messages: u64) -> u64 {
    let mut reader = Reader { stream, buffer: vec![0; BUFFER], start: 0, end: 0, message: Vec::new() };
    let mut bytes = 0;
    for _ in 0..messages {
        bytes += black_box(reader.next()).len() as u64;
    }
    bytes
}

/// Writes a head without a key; its length.
#[inline]
fn put_head(out: &mut [u8], mask_bit: u8, len: usize) -> usize {
    match len {
        0..=125 => {
            out[..2].copy_from_slice(&[0x82, mask_bit | len as u8]);
            2
        }
        126..=0xffff => {
            let [a, b] = (len as u16).to_be_bytes();
            out[..4].copy_from_slice(&[0x82, mask_bit | 126, a, b]);
            4
        }
        _ => {
            out[..2].copy_from_slice(&[0x82, mask_bit | 127]);
            out[2..10].copy_from_slice(&(len as u64).to_be_bytes());
            10
        }
    }
}

fn send(mut stream: MemStream, role: Role, payload: &'static [u8], messages: u64) {
    let mut out = vec![0; payload.len() + 14];
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..messages {
        let payload = black_box(payload);
        let head = match role {
            Role::Server => {
                let head = put_head(&mut out, 0, payload.len());
                if payload.len() >= VECTORED {
                    let parts = [IoSlice::new(&out[..head]), IoSlice::new(payload)];
                    let n = stream.write_vectored(&parts).expect("a sink");
                    assert_eq!(n, head + payload.len());
                    continue;
                }
                out[head..head + payload.len()].copy_from_slice(payload);
                head
            }
            Role::Client => {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                let key = (seed as u32).to_ne_bytes();
                let head = put_head(&mut out, 0x80, payload.len());
                out[head..head + 4].copy_from_slice(&key);
                let head = head + 4;
                copy_masked(key, payload, &mut out[head..head + payload.len()]);
                head
            }
        };
        stream.write_all(&out[..head + payload.len()]).expect("a sink");
    }
}

fn handshake(request: &'static [u8], connections: u64) {
    let mut input = vec![0; 4096];
    let mut answer = Vec::with_capacity(256);
    for _ in 0..connections {
        let mut stream = MemStream::once(request);
        let n = stream.read(&mut input).expect("a request");
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut parsed = httparse::Request::new(&mut headers);
        assert!(parsed.parse(&input[..n]).expect("a request").is_complete());
        let (mut key, mut version, mut upgrade, mut connection) = (None, false, false, false);
        for header in parsed.headers.iter() {
            let is = |name: &str| header.name.eq_ignore_ascii_case(name);
            if is("sec-websocket-key") {
                key = Some(header.value);
            } else if is("sec-websocket-version") {
                version = header.value == b"13";
            } else if is("upgrade") {
                upgrade = header.value.eq_ignore_ascii_case(b"websocket");
            } else if is("connection") {
                connection = header.value.eq_ignore_ascii_case(b"upgrade");
            }
        }
        assert!(version && upgrade && connection);
        let mut sha1 = Sha1::new();
        sha1.update(key.expect("a key"));
        sha1.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
        let mut accept = [0; 28];
        STANDARD.encode_slice(sha1.finalize(), &mut accept).expect("28 bytes");
        answer.clear();
        answer.extend_from_slice(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
              Sec-WebSocket-Accept: ",
        );
        answer.extend_from_slice(&accept);
        answer.extend_from_slice(b"\r\n\r\n");
        stream.write_all(&answer).expect("a sink");
    }
}

fn compressed(stream: CycleStream, codec: Codec) -> Option<Box<dyn Socket>> {
    match codec {
        Codec::Deflate { takeover, window_bits, shared: false } => Some(Box::new(Compressed {
            stream,
            takeover,
            scratch: SCRATCH.with(Rc::clone),
            inflater: Inflate::new(false, window_bits),
            deflater: Deflate::new(i32::from(LEVEL), false, window_bits),
        })),
        _ => None,
    }
}

/// What all connections of a thread can share.
struct Scratch {
    input: Vec<u8>,
    message: Vec<u8>,
    output: Vec<u8>,
}

thread_local! {
    static SCRATCH: Rc<RefCell<Scratch>> = Rc::new(RefCell::new(Scratch {
        input: vec![0; 32 * 1024],
        message: vec![0; 32 * 1024],
        output: vec![0; 32 * 1024],
    }));
}

/// The plain calls of the compression library, with a whole message per read.
struct Compressed {
    stream: CycleStream,
    takeover: bool,
    scratch: Rc<RefCell<Scratch>>,
    inflater: Inflate,
    deflater: Deflate,
}

impl Socket for Compressed {
    fn receive(&mut self, each: &mut dyn FnMut(&[u8])) {
        let Scratch { input, message, .. } = &mut *self.scratch.borrow_mut();
        let n = self.stream.read(input).expect("bytes");
        let head = head(&input[..n]).expect("a whole message");
        assert_eq!((head.first, head.size + head.len), (0xc1, n));
        mask(head.key, &mut input[head.size..n]);
        let payload = &mut input[head.size..n + TAIL.len()];
        payload[head.len..].copy_from_slice(&TAIL);
        if !self.takeover {
            self.inflater.reset(false);
        }
        let before = self.inflater.total_out();
        self.inflater.decompress(payload, message, InflateFlush::SyncFlush).expect("valid");
        let message = &message[..(self.inflater.total_out() - before) as usize];
        assert!(simdutf8::basic::from_utf8(message).is_ok());
        each(message);
    }

    fn send(&mut self, payload: &'static [u8]) {
        const ROOM: usize = 10;
        let output = &mut self.scratch.borrow_mut().output;
        if !self.takeover {
            self.deflater.reset();
        }
        let before = self.deflater.total_out();
        self.deflater.compress(payload, &mut output[ROOM..], DeflateFlush::SyncFlush).expect("compressed");
        let len = (self.deflater.total_out() - before) as usize - TAIL.len();
        let mut head = [0; ROOM];
        let size = put_head(&mut head, 0, len);
        head[0] |= 0x40;
        let start = ROOM - size;
        output[start..ROOM].copy_from_slice(&head[..size]);
        self.stream.write_all(&output[start..ROOM + len]).expect("a sink");
    }
}
