//! The frame layout of RFC 6455 section 5.2.
//!
//! ```text
//! byte 0: FIN RSV1 RSV2 RSV3 opcode(4)   byte 1: MASK length(7)   [16 or 64 bit length]   [mask key]
//! ```

use crate::error::ProtocolError;

/// The longest head: two bytes, a 64-bit length, a mask key.
pub const MAX_HEAD: usize = 14;
/// The longest payload of a control frame (RFC 6455 section 5.5).
pub const MAX_CONTROL: usize = 125;

const FIN: u8 = 0x80;
const RSV: u8 = 0x70;
const MASK: u8 = 0x80;
const LEN: u8 = 0x7f;

/// The kind of a frame (RFC 6455 section 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Opcode {
    /// 0: more of the open message.
    Continuation = 0,
    /// 1: the start of a text message.
    Text = 1,
    /// 2: the start of a binary message.
    Binary = 2,
    /// 8: Close.
    Close = 8,
    /// 9: Ping.
    Ping = 9,
    /// 10: Pong.
    Pong = 10,
}

impl Opcode {
    /// The opcode of that number, unless it is reserved.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }

    /// Whether it is Close, Ping or Pong.
    #[must_use]
    pub const fn is_control(self) -> bool {
        self as u8 >= 8
    }
}

/// The rule about mask keys for what is received (RFC 6455 section 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaskRule {
    /// Every frame has one: what a server demands.
    Required,
    /// No frame has one: what a client demands.
    Forbidden,
    /// Either is taken.
    Any,
}

/// What a received head must obey.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Whether frames are masked.
    pub mask: MaskRule,
    /// Reserved bits that have a negotiated meaning: 4 is RSV1, 2 is RSV2, 1 is RSV3.
    pub rsv: u8,
    /// Accept lengths that are not in their shortest form.
    pub long_lengths: bool,
    /// The largest payload of a data frame.
    pub max_payload: u64,
    /// The error for a larger one.
    pub over_limit: ProtocolError,
}

impl Rules {
    /// The rules for a frame whose size does not matter.
    #[must_use]
    pub const fn new(mask: MaskRule) -> Self {
        Self { mask, rsv: 0, long_lengths: false, max_payload: u64::MAX, over_limit: ProtocolError::FrameTooBig }
    }
}

/// The head of a frame.
///
/// ```
/// use ws_proto::wire::hybi::{Header, MaskRule, Opcode, Rules};
/// let rules = Rules::new(MaskRule::Forbidden);
/// let (header, used) = Header::decode(b"\x81\x05Hello", &rules)?.unwrap();
/// assert_eq!((header.opcode, header.len, used), (Opcode::Text, 5, 2));
/// let mut out = [0; 14];
/// let used = header.encode(&mut out);
/// assert_eq!(out[..used], *b"\x81\x05");
/// # Ok::<(), ws_proto::ProtocolError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Whether this is the last frame of its message.
    pub fin: bool,
    /// The reserved bits: 4 is RSV1, 2 is RSV2, 1 is RSV3.
    pub rsv: u8,
    /// The kind of frame.
    pub opcode: Opcode,
    /// The mask key, if masked.
    pub mask: Option<[u8; 4]>,
    /// The length of the payload.
    pub len: u64,
}

impl Header {
    /// Reads a head from the start of `bytes`; gives it and its length, or `None` if more bytes are needed.
    ///
    /// A fault is found with the byte that decides it: a head that can't be right is never waited for.
    ///
    /// # Errors
    /// The rule of RFC 6455 section 5 that is broken, or `rules.over_limit`.
    pub fn decode(bytes: &[u8], rules: &Rules) -> Result<Option<(Self, usize)>, ProtocolError> {
        let Some((&b0, rest)) = bytes.split_first() else { return Ok(None) };
        let rsv = (b0 & RSV) >> 4;
        if rsv & !rules.rsv != 0 {
            return Err(ProtocolError::ReservedBits);
        }
        let Some(opcode) = Opcode::from_number(b0 & 0x0f) else { return Err(ProtocolError::ReservedOpcode) };
        let fin = b0 & FIN != 0;
        if opcode.is_control() && !fin {
            return Err(ProtocolError::ControlFragmented);
        }
        if opcode.is_control() && rsv != 0 {
            return Err(ProtocolError::ReservedBits);
        }
        let Some((&b1, rest)) = rest.split_first() else { return Ok(None) };
        let masked = b1 & MASK != 0;
        match rules.mask {
            MaskRule::Required if !masked => return Err(ProtocolError::Unmasked),
            MaskRule::Forbidden if masked => return Err(ProtocolError::Masked),
            _ => {}
        }
        let short = b1 & LEN;
        if opcode.is_control() && usize::from(short) > MAX_CONTROL {
            return Err(ProtocolError::ControlTooLong);
        }
        if opcode == Opcode::Close && short == 1 {
            return Err(ProtocolError::CloseLength);
        }
        let Some((len, rest)) = length(short, rest, rules)? else { return Ok(None) };
        if !opcode.is_control() && len > rules.max_payload {
            return Err(rules.over_limit);
        }
        let (mask, rest) = if masked {
            let Some((key, rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
            (Some(*key), rest)
        } else {
            (None, rest)
        };
        Ok(Some((Self { fin, rsv, opcode, mask, len }, bytes.len() - rest.len())))
    }

    /// Writes the head in its shortest form; gives its length.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "a length of at most 125")]
    pub fn encode(&self, out: &mut [u8; MAX_HEAD]) -> usize {
        let masked = if self.mask.is_some() { MASK } else { 0 };
        out[0] = if self.fin { FIN } else { 0 } | (self.rsv & 7) << 4 | self.opcode as u8;
        let mut used = 2;
        if self.len <= MAX_CONTROL as u64 {
            out[1] = masked | self.len as u8;
        } else if let Ok(len) = u16::try_from(self.len) {
            out[1] = masked | 126;
            out[2..4].copy_from_slice(&len.to_be_bytes());
            used = 4;
        } else {
            out[1] = masked | 127;
            out[2..10].copy_from_slice(&self.len.to_be_bytes());
            used = 10;
        }
        if let Some(key) = self.mask {
            out[used..used + 4].copy_from_slice(&key);
            used += 4;
        }
        used
    }
}

/// The payload length, and what follows it; `None` if bytes are missing and nothing is wrong so far.
pub(super) fn length<'b>(short: u8, rest: &'b [u8], rules: &Rules) -> Result<Option<(u64, &'b [u8])>, ProtocolError> {
    let width: usize = match short {
        126 => 2,
        127 => 8,
        _ => return Ok(Some((u64::from(short), rest))),
    };
    let have = rest.get(..width).unwrap_or(rest);
    if width == 8 && have.first().is_some_and(|b| b & 0x80 != 0) {
        return Err(ProtocolError::LengthTopBit);
    }
    // With bytes missing, this is the least length that can still come of it.
    let least = have.iter().fold(0, |len: u64, b| len << 8 | u64::from(*b)) << (8 * (width - have.len()) % 64);
    if !rules.long_lengths {
        let too_long = match width {
            2 => have.len() == 2 && least <= MAX_CONTROL as u64,
            _ => have.len() >= 6 && have.iter().take(6).all(|b| *b == 0),
        };
        if too_long {
            return Err(ProtocolError::LengthNotMinimal);
        }
    }
    if least > rules.max_payload {
        return Err(rules.over_limit);
    }
    Ok(rest.get(width..).map(|rest| (least, rest)))
}
