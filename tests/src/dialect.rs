//! Frames of every version, written from the drafts for the tests alone.
//!
//! First bytes and opcodes are given, and told, as those of RFC 6455; here they become those of the version.

use sha1::{Digest as _, Sha1};
use ws_proto::connection::Negotiated;
use ws_proto::{Role, Version};

use crate::wire::{self, Frame, KEY};

/// How an end of some version speaks.
#[derive(Clone, Copy, Debug)]
pub struct Dialect {
    /// The version.
    pub version: Version,
    /// hybi-04: what the nonces of the handshake came to.
    pub secret: [u8; 20],
}

impl Dialect {
    /// With the masking key that follows from the nonces in the draft's example.
    #[must_use]
    pub fn new(version: Version) -> Self {
        let nonces = b"dGhlIHNhbXBsZSBub25jZQ==H+cNj5elaybfGIQv1esl2w==";
        let secret = Sha1::new().chain_update(nonces).chain_update(b"61AC5F19-FBBA-4540-B96F-6561F1AB40A8");
        Self { version, secret: secret.finalize().into() }
    }

    /// What the handshake of such a connection agreed on.
    #[must_use]
    pub fn negotiated(&self) -> Negotiated {
        let mut negotiated = Negotiated::new(self.version);
        negotiated.masking_key = (self.version == Version::Hybi04).then(|| Box::new(self.secret));
        negotiated
    }

    /// hixie-75 or -76.
    #[must_use]
    pub fn is_hixie(&self) -> bool {
        self.version <= Version::Hixie76
    }

    /// hybi-01 to -06.
    #[must_use]
    pub fn is_early(&self) -> bool {
        !self.is_hixie() && self.version <= Version::Hybi06
    }

    /// Whether the first bit says that more follows.
    #[must_use]
    pub fn has_more(&self) -> bool {
        self.is_early() && self.version <= Version::Hybi03
    }

    /// Whether four bytes in clear precede the frames of `from`, and all the rest is masked.
    #[must_use]
    pub fn masks_whole_frames(&self, from: Role) -> bool {
        self.is_early() && from == Role::Client && self.version >= Version::Hybi04
    }

    /// What a frame is XORed with that follows these bytes in clear.
    #[must_use]
    pub fn key(&self, clear: [u8; 4]) -> Vec<u8> {
        match self.version {
            Version::Hybi04 => Sha1::new().chain_update(clear).chain_update(self.secret).finalize().to_vec(),
            _ => clear.to_vec(),
        }
    }

    /// A frame as `from` sends it; in hixie-75 and -76 as much of it as there is: text, its pieces, binary, the Close.
    #[must_use]
    pub fn frame(&self, from: Role, b0: u8, payload: &[u8]) -> Vec<u8> {
        self.promise(from, b0, payload.len() as u64, payload)
    }

    /// A frame that promises `len` bytes of payload, and the first of them.
    #[must_use]
    pub fn promise(&self, from: Role, b0: u8, len: u64, payload: &[u8]) -> Vec<u8> {
        if self.is_hixie() {
            return self.hixie(b0, len, payload);
        }
        if !self.is_early() {
            let mut out = wire::head(from, b0, len);
            match from {
                Role::Server => out.extend_from_slice(payload),
                Role::Client => out.extend(payload.iter().enumerate().map(|(i, byte)| byte ^ KEY[i % 4])),
            }
            return out;
        }
        let mut out = wire::head(Role::Server, b0, len);
        let first = if (b0 & 0x80 != 0) == self.has_more() { 0 } else { 0x80 };
        out[0] = first | b0 & 0x70 | early_opcode(b0 & 15);
        out.extend_from_slice(payload);
        if self.masks_whole_frames(from) {
            self.whole(KEY, &mut out);
            out.splice(..0, KEY);
        }
        out
    }

    /// Masks a frame, or the reverse.
    fn whole(&self, clear: [u8; 4], frame: &mut [u8]) {
        let key = self.key(clear);
        frame.iter_mut().zip(key.iter().cycle()).for_each(|(byte, key)| *byte ^= key);
    }

    fn hixie(&self, b0: u8, len: u64, payload: &[u8]) -> Vec<u8> {
        let end: &[u8] = if b0 & 0x80 != 0 { b"\xff" } else { b"" };
        match b0 & 15 {
            0 => [payload, end].concat(),
            1 => [b"\0", payload, end].concat(),
            2 => [&[0x80], &hixie_length(len)[..], payload].concat(),
            8 if self.version == Version::Hixie76 => vec![0xff, 0x00],
            _ => Vec::new(),
        }
    }

    /// All whole frames of `from` in `bytes`, and how many bytes are left behind them.
    #[must_use]
    pub fn frames(&self, from: Role, bytes: &[u8]) -> (Vec<Frame>, usize) {
        if !self.is_hixie() && !self.is_early() {
            return wire::frames(bytes);
        }
        let mut all = Vec::new();
        let mut rest = bytes;
        while let Some((frame, used)) = if self.is_hixie() { split_hixie(rest) } else { self.split_early(from, rest) } {
            all.push(frame);
            rest = &rest[used..];
        }
        (all, rest.len())
    }

    fn split_early(&self, from: Role, bytes: &[u8]) -> Option<(Frame, usize)> {
        let masked = self.masks_whole_frames(from);
        let key = if masked { Some(*bytes.first_chunk::<4>()?) } else { None };
        let mut plain = bytes[if masked { 4 } else { 0 }..].to_vec();
        if let Some(clear) = key {
            self.whole(clear, &mut plain);
        }
        let first = *plain.first()?;
        plain[0] = first & 0xf0 | modern_opcode(first & 15);
        let (frame, rest) = wire::split_frame(&plain)?;
        Some((Frame { fin: frame.fin != self.has_more(), key, ..frame }, bytes.len() - rest.len()))
    }
}

/// A length in groups of seven bits, in its shortest form.
#[must_use]
pub fn hixie_length(len: u64) -> Vec<u8> {
    let mut out = vec![(len & 0x7f) as u8];
    let mut rest = len >> 7;
    while rest > 0 {
        out.insert(0, 0x80 | (rest & 0x7f) as u8);
        rest >>= 7;
    }
    out
}

fn split_hixie(bytes: &[u8]) -> Option<(Frame, usize)> {
    let (&first, rest) = bytes.split_first()?;
    let frame = |opcode, payload: &[u8]| Frame { fin: true, rsv: 0, opcode, key: None, payload: payload.to_vec() };
    if first < 0x80 {
        let end = rest.iter().position(|byte| *byte == 0xff)?;
        return Some((frame(if first == 0 { 1 } else { 15 }, &rest[..end]), end + 2));
    }
    let digits = rest.iter().position(|byte| byte & 0x80 == 0)? + 1;
    let len = rest[..digits].iter().fold(0, |len, byte| len << 7 | usize::from(byte & 0x7f));
    let payload = rest.get(digits..)?.get(..len)?;
    let opcode = match (first, len) {
        (0xff, 0) => 8,
        (0x80, _) => 2,
        _ => 15,
    };
    Some((frame(opcode, payload), 1 + digits + len))
}

/// From RFC 6455 to hybi-01 to -06.
const fn early_opcode(opcode: u8) -> u8 {
    match opcode {
        0 => 0,
        1 => 4,
        2 => 5,
        8 => 1,
        9 => 2,
        10 => 3,
        _ => 6,
    }
}

/// From hybi-01 to -06 to RFC 6455.
#[must_use]
pub const fn modern_opcode(opcode: u8) -> u8 {
    match opcode {
        0 => 0,
        4 => 1,
        5 => 2,
        1 => 8,
        2 => 9,
        3 => 10,
        _ => 15,
    }
}
