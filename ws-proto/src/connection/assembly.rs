//! The message being put together.

use alloc::vec::Vec;

use crate::config::Delivery;
use crate::error::ProtocolError;
use crate::extension::{Decoded, Decoder, Sink};
use crate::message::{Kind, Payload};
use crate::room;
use crate::wire::utf8::{Utf8, is_utf8};
use crate::wire::{extend_masked, mask, mask_is_ascii};

/// About how much of a decoded message is handed out at a time.
const CHUNK: usize = 32 * 1024;
/// From here on a message is worth a large vector of somebody else's.
const PROVEN: usize = 32 * 1024;

#[derive(Debug, Default)]
pub(super) struct Assembly {
    buffer: Vec<u8>,
    text: Utf8,
    /// Frames of the open message so far.
    pub(super) fragments: u32,
    /// Payload bytes of the open message that count against its limit: announced by heads, or decoded.
    pub(super) counted: u64,
    /// The payload at hand goes through the extension.
    pub(super) encoded: bool,
    /// Payload bytes of the open message that heads announced and that go through the extension.
    pub(super) encoded_announced: u64,
    /// The extension has more to give before it takes more.
    pub(super) undrained: bool,
    /// Set by the caller at run time, instead of the configured one.
    pub(super) delivery: Option<Delivery>,
    /// How the open message is handed out.
    pub(super) delivery_now: Option<Delivery>,
    /// A chunk of the open message has been handed out.
    pub(super) delivered: bool,
}

/// Unmasked payload that goes through the extension.
#[derive(Clone, Copy, Debug)]
pub(super) struct EncodedPiece<'b> {
    pub(super) bytes: &'b [u8],
    /// It ends what is encoded as a whole: the message, or the frame.
    pub(super) end: bool,
    /// It ends the message.
    pub(super) last: bool,
}

impl Assembly {
    /// How much room the message needs, if it is long, does not have the room, and has begun to prove it.
    pub(super) fn room_wanted(&self, to_come: u64) -> Option<usize> {
        let need = usize::try_from(to_come).ok()?.checked_add(self.buffer.len())?;
        (self.buffer.len() >= PROVEN && need > self.buffer.capacity()).then_some(need)
    }

    /// Goes on in `room`, which is empty; gives the vector that was used so far.
    pub(super) fn swap_room(&mut self, mut room: Vec<u8>) -> Vec<u8> {
        room.clear();
        room.extend_from_slice(&self.buffer);
        core::mem::replace(&mut self.buffer, room)
    }

    /// Adds a piece of payload; `to_come` bytes of the message are still to come, or more.
    #[inline]
    pub(super) fn append(
        &mut self,
        kind: Kind,
        key: Option<[u8; 4]>,
        bytes: &[u8],
        to_come: u64,
    ) -> Result<(), ProtocolError> {
        room::make(&mut self.buffer, bytes.len(), to_come)?;
        let start = self.buffer.len();
        let ascii = match key {
            Some(key) => extend_masked(&mut self.buffer, key, bytes),
            None => {
                self.buffer.extend_from_slice(bytes);
                false
            }
        };
        if kind == Kind::Text && !(ascii && self.text.is_complete()) {
            self.check_added(start)?;
        }
        Ok(())
    }

    #[inline]
    fn check_added(&mut self, start: usize) -> Result<(), ProtocolError> {
        let added = self.buffer.get(start..).unwrap_or_default();
        self.text.push(added).map_err(|_| ProtocolError::InvalidUtf8)
    }

    /// Decodes a piece of payload into the message. `left` bytes may be added.
    pub(super) fn decode(
        &mut self,
        kind: Kind,
        piece: EncodedPiece<'_>,
        decoder: &mut dyn Decoder,
        left: u64,
    ) -> Result<Decoded, ProtocolError> {
        let start = self.buffer.len();
        let mut sink = Sink::new(&mut self.buffer, left, usize::MAX, piece.last);
        let decoded = decoder.decode(piece.bytes, piece.end, &mut sink);
        let decoded = sink.fault().map_or(decoded, Err);
        self.counted += sink.written() as u64;
        if kind == Kind::Text {
            self.check_added(start)?;
        }
        // There is room for all that the message may have, so whoever wants more wants too much.
        decoded.and_then(|decoded| if decoded.done { Ok(decoded) } else { Err(ProtocolError::MessageTooBig) })
    }

    /// Decodes a piece of payload that is handed out as it comes, a limited part of it at a time. What precedes a
    /// fault comes with it.
    pub(super) fn decode_chunk(
        &mut self,
        kind: Kind,
        piece: EncodedPiece<'_>,
        decoder: &mut dyn Decoder,
        left: u64,
    ) -> (Vec<u8>, Result<Decoded, ProtocolError>) {
        let mut data = Vec::new();
        let mut sink = Sink::new(&mut data, left, CHUNK, piece.last);
        let decoded = decoder.decode(piece.bytes, piece.end, &mut sink);
        let mut decoded = sink.fault().map_or(decoded, Err);
        self.counted += sink.written() as u64;
        if decoded.is_ok_and(|decoded| !decoded.done && data.is_empty()) {
            decoded = Err(ProtocolError::InvalidCompression); // it will never come to an end
        }
        let last = piece.last && decoded.is_ok_and(|decoded| decoded.done);
        if let Err((good, error)) = self.check_text(kind, &data, last) {
            data.truncate(good);
            decoded = Err(error);
        }
        if data.capacity() / 2 > data.len() {
            data.shrink_to_fit();
        }
        (data, decoded)
    }

    /// Goes on checking text that is handed out; with the error comes how much precedes it.
    fn check_text(&mut self, kind: Kind, data: &[u8], last: bool) -> Result<(), (usize, ProtocolError)> {
        if kind == Kind::Text {
            let mut text = self.text;
            if self.text.push(data).is_err() {
                let good = data.iter().take_while(|byte| text.push(&[**byte]).is_ok()).count();
                return Err((good, ProtocolError::InvalidUtf8));
            }
            if last && self.text.finish().is_err() {
                return Err((data.len(), ProtocolError::InvalidUtf8));
            }
        }
        Ok(())
    }

    /// The message is complete.
    pub(super) fn finish(&mut self, kind: Kind) -> Result<Payload<'static>, ProtocolError> {
        if kind == Kind::Text {
            self.text.finish().map_err(|_| ProtocolError::InvalidUtf8)?;
        }
        let mut message = core::mem::take(&mut self.buffer);
        // The caller may keep it for long: room that was made for more of the message is given back.
        if message.capacity() / 2 > message.len() {
            message.shrink_to_fit();
        }
        Ok(Payload::owned(message))
    }

    /// A message that lies whole in the input.
    pub(super) fn whole<'i>(
        &self,
        kind: Kind,
        key: Option<[u8; 4]>,
        bytes: &'i mut [u8],
    ) -> Result<Payload<'i>, ProtocolError> {
        let ascii = match key {
            Some(key) => mask_is_ascii(key, 0, bytes),
            None => false,
        };
        if kind == Kind::Text && !ascii && !is_utf8(bytes) {
            return Err(ProtocolError::InvalidUtf8);
        }
        Ok(Payload::lent(bytes))
    }

    /// A chunk that is handed out as it is. With the error come the bytes before the one that decides it.
    pub(super) fn check_chunk<'i>(
        &mut self,
        kind: Kind,
        key: Option<[u8; 4]>,
        bytes: &'i mut [u8],
        last: bool,
    ) -> Result<&'i [u8], (&'i [u8], ProtocolError)> {
        if let Some(key) = key {
            mask(key, 0, bytes);
        }
        match self.check_text(kind, bytes, last) {
            Ok(()) => Ok(bytes),
            Err((good, error)) => Err((bytes.get(..good).unwrap_or_default(), error)),
        }
    }

    /// Between messages.
    pub(super) fn reset(&mut self) {
        *self = Self { delivery: self.delivery, ..Self::default() };
    }

    pub(super) fn release(&mut self) {
        if self.buffer.is_empty() {
            self.buffer = Vec::new();
        }
    }
}
