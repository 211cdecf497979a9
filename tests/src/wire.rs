//! An encoder and a decoder of frames, written from RFC 6455 section 5.2 for the tests alone.

use ws_proto::Role;

/// The key that [`frame`] masks with.
pub const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A frame as `from` sends it; `b0` is its first byte.
#[must_use]
pub fn frame(from: Role, b0: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = head(from, b0, payload.len() as u64);
    match from {
        Role::Server => out.extend_from_slice(payload),
        Role::Client => out.extend(payload.iter().enumerate().map(|(i, byte)| byte ^ KEY[i % 4])),
    }
    out
}

/// The head of a frame whose payload has that length, with the key.
#[must_use]
pub fn head(from: Role, b0: u8, len: u64) -> Vec<u8> {
    let mask = if from == Role::Client { 0x80 } else { 0 };
    let mut out = vec![b0];
    match len {
        0..=125 => out.push(mask | len as u8),
        126..=0xffff => {
            out.push(mask | 126);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
        _ => {
            out.push(mask | 127);
            out.extend_from_slice(&len.to_be_bytes());
        }
    }
    if from == Role::Client {
        out.extend_from_slice(&KEY);
    }
    out
}

/// A Close frame.
#[must_use]
pub fn close(from: Role, code: u16, reason: &str) -> Vec<u8> {
    frame(from, 0x88, &[&code.to_be_bytes(), reason.as_bytes()].concat())
}

/// A frame on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Whether it is the last of its message.
    pub fin: bool,
    /// The reserved bits: 4, 2, 1.
    pub rsv: u8,
    /// The opcode.
    pub opcode: u8,
    /// The mask key.
    pub key: Option<[u8; 4]>,
    /// The payload, unmasked.
    pub payload: Vec<u8>,
}

/// All whole frames in `bytes`, and how many bytes are left behind them.
#[must_use]
pub fn frames(bytes: &[u8]) -> (Vec<Frame>, usize) {
    let mut all = Vec::new();
    let mut rest = bytes;
    while let Some((frame, after)) = split_frame(rest) {
        all.push(frame);
        rest = after;
    }
    (all, rest.len())
}

/// The first frame, and what follows it.
pub(crate) fn split_frame(bytes: &[u8]) -> Option<(Frame, &[u8])> {
    let (&[b0, b1], rest) = bytes.split_first_chunk()?;
    let (len, rest) = match b1 & 0x7f {
        126 => rest.split_first_chunk().map(|(len, rest)| (u64::from(u16::from_be_bytes(*len)), rest))?,
        127 => rest.split_first_chunk().map(|(len, rest)| (u64::from_be_bytes(*len), rest))?,
        len => (u64::from(len), rest),
    };
    let (key, rest) = match b1 & 0x80 {
        0 => (None, rest),
        _ => rest.split_first_chunk().map(|(key, rest)| (Some(*key), rest))?,
    };
    let (payload, rest) = rest.split_at_checked(usize::try_from(len).ok()?)?;
    let mut payload = payload.to_vec();
    if let Some(key) = key {
        payload.iter_mut().enumerate().for_each(|(i, byte)| *byte ^= key[i % 4]);
    }
    Some((Frame { fin: b0 & 0x80 != 0, rsv: b0 >> 4 & 7, opcode: b0 & 15, key, payload }, rest))
}
