//! The same for hixie-75 and -76.

use ws_proto::{Config, Delivery, Kind, ProtocolError, Version};

use super::{Outcome, text_is_hopeless};
use crate::run::push_merged;
use crate::transcript::Seen;

/// Where the next byte stands.
enum At {
    Start,
    Junk(u64),
    Length { first: u8, digits: Vec<u8> },
    Skip(u64),
    Text(Message),
    Binary(Message, u64),
}

#[derive(Default)]
struct Message {
    bytes: Vec<u8>,
    said: bool,
}

pub(super) fn receive(version: Version, config: &Config, bytes: &[u8]) -> Outcome {
    let mut machine = Machine { version, config, at: At::Start, outcome: Outcome::default() };
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

struct Machine<'c> {
    version: Version,
    config: &'c Config,
    at: At,
    outcome: Outcome,
}

impl Machine<'_> {
    /// Takes a byte; says whether it ended the peer's Close.
    fn byte(&mut self, byte: u8) -> Result<bool, ProtocolError> {
        let limits = &self.config.limits;
        self.at = match std::mem::replace(&mut self.at, At::Start) {
            At::Start => match byte {
                0 if limits.fragments == 0 => return Err(ProtocolError::TooManyFragments),
                0 => At::Text(Message::default()),
                1..=0x7f => At::Junk(0),
                first => At::Length { first, digits: Vec::new() },
            },
            At::Junk(_) if byte == 0xff => At::Start,
            At::Junk(n) if n >= limits.message => return Err(ProtocolError::MessageTooBig),
            At::Junk(n) => At::Junk(n + 1),
            At::Length { first, mut digits } => {
                digits.push(byte);
                match self.length(&digits)? {
                    None => At::Length { first, digits },
                    Some(0) if first == 0xff && self.version == Version::Hixie76 => {
                        self.outcome.events.push_back(Seen::Closing("empty".into()));
                        return Ok(true);
                    }
                    Some(len) if first == 0x80 && self.config.leniency.hixie_binary => {
                        if limits.fragments == 0 {
                            return Err(ProtocolError::TooManyFragments);
                        }
                        self.binary(Message::default(), len)
                    }
                    Some(0) => At::Start,
                    Some(len) => At::Skip(len),
                }
            }
            At::Skip(1) => At::Start,
            At::Skip(left) => At::Skip(left - 1),
            At::Text(message) if byte == 0xff => {
                if str::from_utf8(&message.bytes).is_err() {
                    return Err(ProtocolError::InvalidUtf8);
                }
                self.whole(Kind::Text, message);
                At::Start
            }
            At::Text(message) if message.bytes.len() as u64 >= limits.message => {
                drop(message);
                return Err(ProtocolError::MessageTooBig);
            }
            At::Text(mut message) => {
                message.bytes.push(byte);
                if text_is_hopeless(&message.bytes) {
                    return Err(ProtocolError::InvalidUtf8);
                }
                self.piece(Kind::Text, &mut message, byte);
                At::Text(message)
            }
            At::Binary(mut message, left) => {
                message.bytes.push(byte);
                self.piece(Kind::Binary, &mut message, byte);
                self.binary(message, left - 1)
            }
        };
        Ok(false)
    }

    /// The length, if these are all its digits.
    fn length(&self, digits: &[u8]) -> Result<Option<u64>, ProtocolError> {
        let limits = &self.config.limits;
        let value = digits.iter().fold(0, |value: u128, digit| value << 7 | u128::from(digit & 0x7f));
        if value > u128::from(limits.message.min(limits.frame)) {
            let message = limits.message < limits.frame;
            return Err(if message { ProtocolError::MessageTooBig } else { ProtocolError::FrameTooBig });
        }
        match digits {
            [.., last] if last & 0x80 == 0 => Ok(Some(value as u64)),
            [0x80, ..] if digits.len() == 9 => Err(ProtocolError::LengthNotMinimal),
            _ if digits.len() == 9 => Err(ProtocolError::FrameTooBig),
            _ => Ok(None),
        }
    }

    fn binary(&mut self, message: Message, left: u64) -> At {
        if left > 0 {
            return At::Binary(message, left);
        }
        self.whole(Kind::Binary, message);
        At::Start
    }

    fn piece(&mut self, kind: Kind, message: &mut Message, byte: u8) {
        if self.config.delivery == Delivery::Chunks {
            let first = !std::mem::replace(&mut message.said, true);
            push_merged(&mut self.outcome.events, Seen::Chunk { kind, first, last: false, data: vec![byte] });
        }
    }

    fn whole(&mut self, kind: Kind, message: Message) {
        let event = match (self.config.delivery, kind) {
            (Delivery::Chunks, kind) => Seen::Chunk { kind, first: !message.said, last: true, data: Vec::new() },
            (_, Kind::Text) => Seen::Text(message.bytes),
            (_, Kind::Binary) => Seen::Binary(message.bytes),
        };
        push_merged(&mut self.outcome.events, event);
    }
}
