//! The frame layout of hybi-01 to -06, before opcodes and masks became what they are today.
//!
//! ```text
//! byte 0: MORE or FIN, RSV1 RSV2 RSV3 opcode(4)   byte 1: RSV4 length(7)   [16 or 64 bit length]   payload
//! ```
//!
//! Opcodes are 0 continuation, 1 Close, 2 Ping, 3 Pong, 4 text, 5 binary. In hybi-01 to -03 the first bit says that more
//! fragments follow; since -04 it says that none do. In hybi-04 to -06 four bytes in clear precede each frame of a
//! client, and all of the frame is XORed with what follows from them.

use sha1::{Digest as _, Sha1};

use super::hybi::{self, Header, MAX_CONTROL, Opcode, Rules, length};
use crate::error::ProtocolError;

/// The longest head: four bytes in clear, two bytes, a 64-bit length.
pub const MAX_HEAD: usize = 14;
/// Bytes in clear before a masked frame.
const CLEAR: usize = 4;
const FIRST: u8 = 0x80;
const RSV: u8 = 0x70;

/// How the frames of one direction are laid out.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// The first bit means that more fragments follow.
    pub more: bool,
    /// How the frames are masked.
    pub masking: Masking,
}

/// How frames are masked.
#[derive(Clone, Copy, Debug)]
pub enum Masking {
    /// Not at all: what servers send, and clients before hybi-04.
    None,
    /// With the four bytes in clear: clients of hybi-05 and -06.
    Plain,
    /// With the SHA-1 of the four bytes and this key of the connection: clients of hybi-04.
    Keyed([u8; 20]),
}

impl Masking {
    /// What a frame is XORed with that follows these bytes in clear.
    fn key(&self, clear: [u8; CLEAR]) -> Option<Key> {
        let bytes = match self {
            Self::None => return None,
            // Twenty is a multiple of four.
            Self::Plain => {
                let [a, b, c, d] = clear;
                [a, b, c, d, a, b, c, d, a, b, c, d, a, b, c, d, a, b, c, d]
            }
            Self::Keyed(secret) => Sha1::new().chain_update(clear).chain_update(secret).finalize().into(),
        };
        Some(Key { bytes, at: 0 })
    }
}

/// What is left to XOR of a frame: twenty bytes, again and again.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    bytes: [u8; 20],
    at: usize,
}

impl Key {
    /// XORs the next bytes of the frame.
    pub fn apply(&mut self, bytes: &mut [u8]) {
        let mut turned = self.bytes;
        turned.rotate_left(self.at);
        for block in bytes.chunks_mut(turned.len()) {
            for (byte, key) in block.iter_mut().zip(turned) {
                *byte ^= key;
            }
        }
        self.at = (self.at + bytes.len() % self.bytes.len()) % self.bytes.len();
    }
}

/// A head as it was read: what it says, how to unmask the payload, and how many bytes it had.
pub type Read = (Header, Option<Key>, usize);

impl Layout {
    /// The bytes in clear, and the first bytes of the frame unmasked.
    fn open(&self, bytes: &[u8]) -> Option<(Option<Key>, [u8; MAX_HEAD], usize)> {
        let mut head = [0; MAX_HEAD];
        let (key, bytes) = match self.masking {
            Masking::None => (None, bytes),
            _ => {
                let (clear, rest) = bytes.split_first_chunk::<CLEAR>().filter(|(_, rest)| !rest.is_empty())?;
                (self.masking.key(*clear), rest)
            }
        };
        let have = bytes.len().min(MAX_HEAD - CLEAR);
        for (to, from) in head.iter_mut().zip(bytes).take(have) {
            *to = *from;
        }
        if let Some(key) = key {
            let mut key = key;
            key.apply(head.get_mut(..have)?);
        }
        Some((key, head, have))
    }

    /// How many bytes it takes to tell the opcode.
    #[must_use]
    pub const fn start(&self) -> usize {
        match self.masking {
            Masking::None => 1,
            _ => CLEAR + 1,
        }
    }

    /// The opcode of the frame that begins with these bytes, once it can be told; `None` inside if it is reserved.
    #[must_use]
    pub fn opcode(&self, bytes: &[u8]) -> Option<Option<Opcode>> {
        let (_, [first, ..], have) = self.open(bytes)?;
        (have > 0).then(|| opcode(first))
    }

    /// Reads a head from the start of `bytes`, or gives `None` if more bytes are needed. The header's `mask` is empty.
    ///
    /// # Errors
    /// The rule that is broken, at the byte that decides it, or `rules.over_limit`.
    pub fn decode(&self, bytes: &[u8], rules: &Rules) -> Result<Option<Read>, ProtocolError> {
        let Some((mut key, head, have)) = self.open(bytes) else { return Ok(None) };
        let Some((&first, rest)) = head.get(..have).and_then(<[u8]>::split_first) else { return Ok(None) };
        if first & RSV != 0 {
            return Err(ProtocolError::ReservedBits);
        }
        let Some(opcode) = opcode(first) else { return Err(ProtocolError::ReservedOpcode) };
        let fin = (first & FIRST != 0) != self.more;
        if opcode.is_control() && !fin {
            return Err(ProtocolError::ControlFragmented);
        }
        let Some((&second, rest)) = rest.split_first() else { return Ok(None) };
        if second & FIRST != 0 {
            return Err(ProtocolError::ReservedBits);
        }
        if opcode.is_control() && usize::from(second) > MAX_CONTROL {
            return Err(ProtocolError::ControlTooLong);
        }
        let Some((len, rest)) = length(second, rest, rules)? else { return Ok(None) };
        if !opcode.is_control() && len > rules.max_payload {
            return Err(rules.over_limit);
        }
        let used = have - rest.len();
        let clear = if key.is_some() { CLEAR } else { 0 };
        if let Some(key) = &mut key {
            key.at = used;
        }
        Ok(Some((Header { fin, rsv: 0, opcode, mask: None, len }, key, clear + used)))
    }

    /// Appends a frame. `clear` are the random bytes that precede a masked one.
    pub(crate) fn encode(&self, header: &Header, clear: [u8; CLEAR], payload: &[&[u8]], out: &mut alloc::vec::Vec<u8>) {
        let key = self.masking.key(clear);
        if key.is_some() {
            out.extend_from_slice(&clear);
        }
        let start = out.len();
        // But for the first byte it is the layout that followed.
        let mut head = [0; hybi::MAX_HEAD];
        let used = Header { mask: None, rsv: 0, ..*header }.encode(&mut head);
        head[0] = if header.fin == self.more { 0 } else { FIRST } | number(header.opcode);
        out.extend_from_slice(head.get(..used).unwrap_or_default());
        payload.iter().for_each(|part| out.extend_from_slice(part));
        if let (Some(mut key), Some(frame)) = (key, out.get_mut(start..)) {
            key.apply(frame);
        }
    }
}

const fn opcode(first: u8) -> Option<Opcode> {
    Some(match first & 0x0f {
        0 => Opcode::Continuation,
        1 => Opcode::Close,
        2 => Opcode::Ping,
        3 => Opcode::Pong,
        4 => Opcode::Text,
        5 => Opcode::Binary,
        _ => return None,
    })
}

const fn number(opcode: Opcode) -> u8 {
    match opcode {
        Opcode::Continuation => 0,
        Opcode::Close => 1,
        Opcode::Ping => 2,
        Opcode::Pong => 3,
        Opcode::Text => 4,
        Opcode::Binary => 5,
    }
}

#[cfg(test)]
mod tests {
    use super::super::hybi::MaskRule;
    use super::*;
    use alloc::vec::Vec;

    fn layout(more: bool, masking: Masking) -> Layout {
        Layout { more, masking }
    }

    fn rules() -> Rules {
        Rules { long_lengths: true, ..Rules::new(MaskRule::Any) }
    }

    #[test]
    fn frames_are_read_as_they_were_written() {
        let maskings = [Masking::None, Masking::Plain, Masking::Keyed([7; 20])];
        for (more, masking) in [(true, Masking::None)].into_iter().chain(maskings.map(|m| (false, m))) {
            let layout = layout(more, masking);
            for opcode in
                [Opcode::Text, Opcode::Binary, Opcode::Continuation, Opcode::Close, Opcode::Ping, Opcode::Pong]
            {
                for len in [0, 1, 19, 20, 21, 125, 126, 65535, 65536] {
                    if opcode.is_control() && len > MAX_CONTROL {
                        continue;
                    }
                    let fin = opcode.is_control() || len % 2 == 0;
                    let payload: Vec<u8> = (0..len).map(|i| i as u8).collect();
                    let header = Header { fin, rsv: 0, opcode, mask: None, len: len as u64 };
                    let mut out = Vec::new();
                    layout.encode(&header, *b"salt", &[&payload], &mut out);
                    let head = out.len() - len;
                    for cut in 0..head {
                        assert!(layout.decode(&out[..cut], &rules()).unwrap().is_none());
                    }
                    let (read, key, used) = layout.decode(&out, &rules()).unwrap().unwrap();
                    assert_eq!((read, used), (header, head));
                    assert_eq!(layout.opcode(&out), Some(Some(opcode)));
                    let mut body = out[used..].to_vec();
                    if let Some(mut key) = key {
                        let (front, back) = body.split_at_mut(len / 3);
                        key.apply(front);
                        key.apply(back);
                    }
                    assert_eq!(body, payload);
                }
            }
        }
    }

    #[test]
    fn the_key_of_hybi_04() {
        // SHA-1 of nonce and masking key, for a nonce of zeros and a key of ones.
        let layout = layout(false, Masking::Keyed([1; 20]));
        let mut out = Vec::new();
        let header = Header { fin: true, rsv: 0, opcode: Opcode::Text, mask: None, len: 18 };
        layout.encode(&header, [0; 4], &[&[0; 18]], &mut out);
        let key: [u8; 20] = Sha1::new().chain_update([0; 4]).chain_update([1; 20]).finalize().into();
        assert_eq!(out[..4], [0; 4]);
        assert_eq!((out[4] ^ key[0], out[5] ^ key[1]), (0x84, 18));
        assert_eq!(out[6..], key[2..]);
    }

    #[test]
    fn faults() {
        let plain = layout(false, Masking::None);
        let fault = |bytes: &[u8]| plain.decode(bytes, &rules()).unwrap_err();
        assert_eq!(fault(&[0xc4]), ProtocolError::ReservedBits);
        assert_eq!(fault(&[0x84, 0x80]), ProtocolError::ReservedBits);
        assert_eq!(fault(&[0x86]), ProtocolError::ReservedOpcode);
        assert_eq!(fault(&[0x02]), ProtocolError::ControlFragmented);
        assert_eq!(fault(&[0x82, 126]), ProtocolError::ControlTooLong);
        assert_eq!(fault(&[0x84, 127, 0x80]), ProtocolError::LengthTopBit);
        let more = layout(true, Masking::None);
        assert_eq!(more.decode(&[0x82], &rules()).unwrap_err(), ProtocolError::ControlFragmented);
        let small = Rules { max_payload: 10, ..rules() };
        assert_eq!(plain.decode(&[0x84, 11], &small).unwrap_err(), ProtocolError::FrameTooBig);
    }
}
