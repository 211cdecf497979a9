//! The message being put together.

use alloc::vec::Vec;

use crate::config::Delivery;
use crate::error::ProtocolError;
use crate::message::{Kind, Payload};
use crate::room;
use crate::wire::utf8::{Utf8, is_utf8};
use crate::wire::{extend_masked, mask, mask_is_ascii};

/// From here on a message is worth a large vector of somebody else's.
const PROVEN: usize = 32 * 1024;

#[derive(Debug, Default)]
pub(super) struct Assembly {
    buffer: Vec<u8>,
    text: Utf8,
    /// Frames of the open message so far.
    pub(super) fragments: u32,
    /// Payload bytes that the heads of the open message announced.
    pub(super) announced: u64,
    /// Set by the caller at run time, instead of the configured one.
    pub(super) delivery: Option<Delivery>,
    /// How the open message is handed out.
    pub(super) delivery_now: Option<Delivery>,
    /// A chunk of the open message has been handed out.
    pub(super) delivered: bool,
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
            let added = self.buffer.get(start..).unwrap_or_default();
            self.text.push(added).map_err(|_| ProtocolError::InvalidUtf8)?;
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
        if kind == Kind::Text {
            let mut text = self.text;
            if self.text.push(bytes).is_err() {
                let good = bytes.iter().take_while(|byte| text.push(&[**byte]).is_ok()).count();
                return Err((bytes.get(..good).unwrap_or_default(), ProtocolError::InvalidUtf8));
            }
            if last && self.text.finish().is_err() {
                return Err((bytes, ProtocolError::InvalidUtf8));
            }
        }
        Ok(bytes)
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
