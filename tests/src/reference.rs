//! What a receiver has to make of bytes, written down a second time: one byte after the other, slow, and without a
//! thought for memory. The fuzz targets and property tests compare the core with it.
//!
//! Frames of hybi-01 to -06 become those of RFC 6455 here, byte for byte; hixie-75 and -76 have a machine of their own.

mod hixie;

use std::collections::VecDeque;

use ws_proto::{Config, Delivery, Kind, ProtocolError, Role, Version};

use crate::dialect::{Dialect, modern_opcode};
use crate::run::push_merged;
use crate::transcript::Seen;

/// What became of the bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The events, without the end.
    pub events: VecDeque<Seen>,
    /// The fault, and with how many bytes it was decided.
    pub fault: Option<(usize, ProtocolError)>,
    /// With how many bytes the peer's Close was complete.
    pub closed: Option<usize>,
    /// What stood in it.
    pub close_body: Option<Vec<u8>>,
    /// The payload of the last ping before the end.
    pub owed_pong: Option<Vec<u8>>,
}

struct Machine<'c> {
    dialect: Dialect,
    role: Role,
    config: &'c Config,
    /// The bytes in clear before a frame that is masked as a whole.
    clear: Vec<u8>,
    /// With what it is masked, and how much of it was used.
    mask: Vec<u8>,
    masked: usize,
    outcome: Outcome,
    head: Vec<u8>,
    frame: Option<Frame>,
    message: Option<Message>,
}

struct Frame {
    b0: u8,
    key: [u8; 4],
    len: u64,
    payload: Vec<u8>,
}

struct Message {
    kind: Kind,
    bytes: Vec<u8>,
    announced: u64,
    fragments: u32,
    said: bool,
}

/// Reads `bytes` as `role` has to.
#[must_use]
pub fn receive(dialect: Dialect, role: Role, config: &Config, bytes: &[u8]) -> Outcome {
    if dialect.is_hixie() {
        return hixie::receive(dialect.version, config, bytes);
    }
    let mut machine = Machine {
        dialect,
        role,
        config,
        clear: Vec::new(),
        mask: Vec::new(),
        masked: 0,
        outcome: Outcome::default(),
        head: Vec::new(),
        frame: None,
        message: None,
    };
    for (i, byte) in bytes.iter().enumerate() {
        match machine.byte(*byte) {
            Err(error) => {
                machine.outcome.fault = Some((i + 1, error));
                break;
            }
            Ok(true) => {
                machine.outcome.closed = Some(i + 1);
                break;
            }
            Ok(false) => {}
        }
    }
    machine.outcome
}

impl Machine<'_> {
    /// Takes a byte; says whether it ended the peer's Close.
    fn byte(&mut self, mut byte: u8) -> Result<bool, ProtocolError> {
        if self.dialect.masks_whole_frames(self.role.peer()) {
            if self.frame.is_none() && self.head.is_empty() && self.clear.len() < 4 {
                self.clear.push(byte);
                if let Ok(clear) = <[u8; 4]>::try_from(&self.clear[..]) {
                    (self.mask, self.masked) = (self.dialect.key(clear), 0);
                }
                return Ok(false);
            }
            byte ^= self.mask[self.masked % self.mask.len()];
            self.masked += 1;
        }
        if self.frame.is_none() {
            self.clear.clear();
            if self.head.is_empty() && self.dialect.is_early() {
                byte = if self.dialect.has_more() { byte ^ 0x80 } else { byte } & 0xf0 | modern_opcode(byte & 15);
            }
            self.head.push(byte);
            if !self.head_is_complete()? {
                return Ok(false);
            }
        } else if let Some(frame) = &mut self.frame {
            let byte = byte ^ frame.key[frame.payload.len() % 4];
            frame.payload.push(byte);
            self.payload_byte(byte)?;
        }
        match &self.frame {
            Some(frame) if frame.payload.len() as u64 == frame.len => self.frame_is_complete(),
            _ => Ok(false),
        }
    }

    fn head_is_complete(&mut self) -> Result<bool, ProtocolError> {
        let b0 = self.head[0];
        let opcode = b0 & 15;
        let control = opcode >= 8;
        if self.head.len() == 1 {
            self.first_byte(b0)?;
            return Ok(false);
        }
        let (masked, short) = (self.head[1] & 0x80 != 0, self.head[1] & 0x7f);
        let lenient = &self.config.leniency;
        let old = self.dialect.version != Version::Rfc6455;
        match self.role {
            // Here the bit is a reserved one.
            _ if self.dialect.is_early() && masked => return Err(ProtocolError::ReservedBits),
            _ if self.dialect.is_early() => {}
            Role::Server if !masked && !lenient.unmasked_frames => return Err(ProtocolError::Unmasked),
            Role::Client if masked && !lenient.masked_frames && !old => return Err(ProtocolError::Masked),
            _ => {}
        }
        if control && short > 125 {
            return Err(ProtocolError::ControlTooLong);
        }
        if opcode == 8 && short == 1 && self.dialect.version.has_close_code() {
            return Err(ProtocolError::CloseLength);
        }
        let width = match short {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let len = self.length(short, width)?;
        if self.head.len() < 2 + width + if masked { 4 } else { 0 } {
            return Ok(false);
        }
        let key = if masked { self.head[2 + width..].try_into().expect("four bytes") } else { [0; 4] };
        self.head.clear();
        self.frame = Some(Frame { b0, key, len, payload: Vec::new() });
        self.begin(opcode, len);
        Ok(true)
    }

    /// The order of fragments, then what the bits say.
    fn first_byte(&self, b0: u8) -> Result<(), ProtocolError> {
        let opcode = b0 & 15;
        let fragments = self.message.as_ref().map_or(0, |m| m.fragments);
        match (opcode, &self.message) {
            (0, None) => return Err(ProtocolError::UnexpectedContinuation),
            (1 | 2, Some(_)) => return Err(ProtocolError::ExpectedContinuation),
            (0..=2, _) if fragments >= self.config.limits.fragments => return Err(ProtocolError::TooManyFragments),
            _ => {}
        }
        if b0 & 0x70 != 0 {
            return Err(ProtocolError::ReservedBits);
        }
        if matches!(opcode, 3..=7 | 11..) {
            return Err(ProtocolError::ReservedOpcode);
        }
        if opcode >= 8 && b0 & 0x80 == 0 {
            return Err(ProtocolError::ControlFragmented);
        }
        Ok(())
    }

    /// The length as far as it is known; its missing bytes count as zeros.
    fn length(&self, short: u8, width: usize) -> Result<u64, ProtocolError> {
        let have = &self.head[2..self.head.len().min(2 + width)];
        if width == 8 && have.first().is_some_and(|b| b & 0x80 != 0) {
            return Err(ProtocolError::LengthTopBit);
        }
        let minimal = match width {
            2 => have.len() < 2 || have[0] != 0 || have[1] > 125,
            8 => have.len() < 6 || have[..6] != [0; 6],
            _ => true,
        };
        if !minimal && !self.config.leniency.long_lengths && self.dialect.version == Version::Rfc6455 {
            return Err(ProtocolError::LengthNotMinimal);
        }
        let mut len = 0;
        for i in 0..width {
            len = len << 8 | u64::from(have.get(i).copied().unwrap_or(0));
        }
        if width == 0 {
            len = u64::from(short);
        }
        let announced = self.message.as_ref().map_or(0, |m| m.announced);
        let room = self.config.limits.message.saturating_sub(announced);
        if self.head[0] & 15 < 8 && len > room.min(self.config.limits.frame) {
            let message = room < self.config.limits.frame;
            return Err(if message { ProtocolError::MessageTooBig } else { ProtocolError::FrameTooBig });
        }
        Ok(len)
    }

    fn begin(&mut self, opcode: u8, len: u64) {
        let kind = match opcode {
            1 => Kind::Text,
            2 => Kind::Binary,
            0 => {
                let message = self.message.as_mut().expect("checked with the first byte");
                message.fragments += 1;
                message.announced += len;
                return;
            }
            _ => return,
        };
        self.message = Some(Message { kind, bytes: Vec::new(), announced: len, fragments: 1, said: false });
    }

    fn payload_byte(&mut self, byte: u8) -> Result<(), ProtocolError> {
        let Some(frame) = &self.frame else { return Ok(()) };
        match frame.b0 & 15 {
            8 if !self.dialect.version.has_close_code() => Ok(()),
            8 => match &frame.payload[..] {
                [hi, lo] if !self.allowed(u16::from_be_bytes([*hi, *lo])) => Err(ProtocolError::CloseCode),
                [_, _, reason @ ..] if hopeless(reason) => Err(ProtocolError::CloseReason),
                _ => Ok(()),
            },
            0..=2 => {
                let message = self.message.as_mut().expect("a data frame belongs to a message");
                message.bytes.push(byte);
                if message.kind == Kind::Text && text_is_hopeless(&message.bytes) {
                    return Err(ProtocolError::InvalidUtf8);
                }
                if self.config.delivery == Delivery::Chunks {
                    let chunk = Seen::Chunk {
                        kind: message.kind,
                        first: !std::mem::replace(&mut message.said, true),
                        last: false,
                        data: vec![byte],
                    };
                    push_merged(&mut self.outcome.events, chunk);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Whether a Close may have this code.
    fn allowed(&self, code: u16) -> bool {
        if self.dialect.version == Version::Rfc6455 {
            matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
        } else {
            matches!(code, 1000..=4999)
        }
    }

    fn frame_is_complete(&mut self) -> Result<bool, ProtocolError> {
        let Some(frame) = self.frame.take() else { return Ok(false) };
        let events = &mut self.outcome.events;
        match frame.b0 & 15 {
            8 => {
                let close = match &frame.payload[..] {
                    [hi, lo, reason @ ..] if self.dialect.version.has_close_code() => {
                        let reason = str::from_utf8(reason).map_err(|_| ProtocolError::CloseReason)?;
                        match u16::from_be_bytes([*hi, *lo]) {
                            1005 => "empty".into(),
                            code if reason.is_empty() => code.to_string(),
                            code => format!("{code} {reason:?}"),
                        }
                    }
                    _ => "empty".into(),
                };
                self.outcome.close_body = Some(frame.payload);
                events.push_back(Seen::Closing(close));
                return Ok(true);
            }
            9 => {
                self.outcome.owed_pong = Some(frame.payload.clone());
                events.push_back(Seen::Ping(frame.payload));
            }
            10 => events.push_back(Seen::Pong(frame.payload, None)),
            _ if frame.b0 & 0x80 != 0 => {
                let Some(message) = self.message.take() else { return Ok(false) };
                if message.kind == Kind::Text && str::from_utf8(&message.bytes).is_err() {
                    return Err(ProtocolError::InvalidUtf8);
                }
                match (self.config.delivery, message.kind) {
                    (Delivery::Chunks, kind) => {
                        let end = Seen::Chunk { kind, first: !message.said, last: true, data: Vec::new() };
                        push_merged(events, end);
                    }
                    (_, Kind::Text) => events.push_back(Seen::Text(message.bytes)),
                    (_, Kind::Binary) => events.push_back(Seen::Binary(message.bytes)),
                }
            }
            _ => {}
        }
        Ok(false)
    }
}

/// Whether no continuation can make the text UTF-8 whose last byte was added just now.
fn text_is_hopeless(text: &[u8]) -> bool {
    // Of a long text only the end can have changed.
    let end = &text[text.len().saturating_sub(8)..];
    let start = end.iter().position(|b| b & 0xc0 != 0x80).unwrap_or(0);
    hopeless(if text.len() > 8 { &end[start..] } else { end })
}

/// Whether no continuation can make it UTF-8.
fn hopeless(text: &[u8]) -> bool {
    str::from_utf8(text).is_err_and(|error| error.error_len().is_some())
}
