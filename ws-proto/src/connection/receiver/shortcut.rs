//! The short cuts of the receiving half, for what happens nearly always: whole messages, and the inside of long ones.
//!
//! They take what they understand in full and leave everything else to [`Receiver::poll_slow`]: a head that breaks a
//! rule is always found there.

use super::super::event::Event;
use super::{Phase, Receiver};
use crate::config::Delivery;
use crate::error::ProtocolError;
use crate::input::Input;
use crate::message::{Payload, Text};
use crate::time::Instant;
use crate::wire::utf8::is_utf8;
use crate::wire::{mask, mask_is_ascii, rotate};

/// Which of the short cuts the next input may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::connection) enum Pace {
    /// Between messages, nothing special going on: a whole frame may be taken at once.
    Frames,
    /// As `Frames`, where frames are those of hixie-75 and -76.
    #[cfg(feature = "legacy")]
    Texts,
    /// Inside the payload of a message that is being put together.
    Bulk,
    /// None.
    Steps,
}

/// What a short cut came to.
pub(in crate::connection) enum Poll<'i> {
    /// Hand this out.
    Event(Event<'i>),
    /// All input is consumed, and nothing is to be said or owed.
    Nothing,
    /// No short cut here.
    Undecided,
}

impl Receiver {
    /// Decides which short cut the next input may take.
    pub(super) fn settle_pace(&mut self) {
        let plain = self.phase == Phase::Open && self.head_len == 0 && self.early.is_empty();
        #[cfg(feature = "legacy")]
        if let Some(legacy) = &self.legacy {
            let messages = self.delivery() == Delivery::Messages && self.config.limits.fragments > 0;
            let texts = plain && messages && self.message.is_none();
            self.pace = if texts && legacy.is_between_texts() { Pace::Texts } else { Pace::Steps };
            return;
        }
        self.pace = match (self.frame, self.message) {
            // Each frame is a fragment, also if it is the only one: with none allowed, none is taken.
            (None, None) if plain && self.delivery() == Delivery::Messages && self.config.limits.fragments > 0 => {
                Pace::Frames
            }
            (Some(frame), Some(_))
                if plain
                    && !frame.opcode.is_control()
                    && !self.assembly.encoded
                    && self.assembly.delivery_now == Some(Delivery::Messages)
                    && frame.left < frame.len =>
            {
                Pace::Bulk
            }
            _ => Pace::Steps,
        };
    }

    /// The short cuts: whole messages, and the inside of long ones.
    #[inline]
    pub(in crate::connection) fn poll_fast<'i>(&mut self, now: Instant, input: &mut Input<'i>) -> Poll<'i> {
        match self.pace {
            Pace::Frames => match self.whole_frame(now, input) {
                Some(event) => Poll::Event(event),
                None => Poll::Undecided,
            },
            #[cfg(feature = "legacy")]
            Pace::Texts => match self.whole_text(now, input) {
                Some(event) => Poll::Event(event),
                None => Poll::Undecided,
            },
            Pace::Bulk => self.bulk(now, input),
            Pace::Steps => Poll::Undecided,
        }
    }

    /// Input that does not reach the end of its frame.
    fn bulk<'i>(&mut self, now: Instant, input: &mut Input<'i>) -> Poll<'i> {
        let (Some(frame), Some(kind)) = (&mut self.frame, self.message) else { return Poll::Undecided };
        let len = input.len();
        if len as u64 >= frame.left || len == 0 {
            return Poll::Undecided;
        }
        let bytes = input.take_all();
        self.life.heard(now);
        self.life.message_progress(len);
        self.stats.wire_bytes += len as u64;
        frame.left -= len as u64;
        let key = frame.key;
        frame.key = key.map(|key| rotate(key, len));
        let to_come = if frame.fin { frame.left } else { u64::MAX };
        if let Err(error) = self.assembly.append(kind, key, bytes, to_come) {
            self.fail(error);
            return Poll::Undecided;
        }
        Poll::Nothing
    }

    /// A whole data frame that is a whole message and breaks no rule; anything else is left alone.
    #[inline]
    fn whole_frame<'i>(&mut self, now: Instant, input: &mut Input<'i>) -> Option<Event<'i>> {
        let bytes = input.as_slice();
        let (&[b0, b1], rest) = bytes.split_first_chunk::<2>()?;
        let text = match b0 {
            0x81 => true,
            0x82 => false,
            _ => return None,
        };
        if (b1 & 0x80 != 0) != self.masked {
            return None;
        }
        let (len, head) = match b1 & 0x7f {
            126 => {
                let len = u64::from(u16::from_be_bytes(*rest.first_chunk()?));
                if len < 126 {
                    return None;
                }
                (len, 4)
            }
            127 => {
                let len = u64::from_be_bytes(*rest.first_chunk()?);
                if len <= 0xffff {
                    return None;
                }
                (len, 10)
            }
            short => (u64::from(short), 2),
        };
        if len > self.frame_limit || len > self.message_limit {
            return None;
        }
        let body = head + if self.masked { 4 } else { 0 };
        if (bytes.len().checked_sub(body)? as u64) < len {
            return None;
        }
        let frame = input.take(body + len as usize);
        self.life.heard(now);
        self.stats.frames += 1;
        self.stats.wire_bytes += frame.len() as u64;
        let (head, payload) = frame.split_at_mut_checked(body)?;
        let ascii = match head.last_chunk::<4>() {
            Some(key) if self.masked && text => mask_is_ascii(*key, 0, payload),
            Some(key) if self.masked => {
                mask(*key, 0, payload);
                true
            }
            _ => !text || payload.is_ascii(),
        };
        if !ascii && !is_utf8(payload) {
            self.fail(ProtocolError::InvalidUtf8);
            return None;
        }
        self.stats.messages += 1;
        self.stats.message_bytes += len;
        let payload = Payload::lent(payload);
        Some(if text { Event::Text(Text::checked(payload)) } else { Event::Binary(payload) })
    }
}
