//! Payloads that go through an extension (RFC 6455 section 9).

use alloc::boxed::Box;

use super::super::assembly::EncodedPiece;
use super::{Frame, Progress, Receiver};
use crate::config::Delivery;
use crate::error::ProtocolError;
use crate::extension::{Agreement, Decoder, Scope};
use crate::input::Input;
use crate::message::{Kind, Payload};
use crate::version::Role;
use crate::wire::hybi::{Header, Opcode};
use crate::wire::{mask, rotate};

/// The extension in use.
#[derive(Debug)]
pub(super) struct Decoding {
    reserved: u8,
    scope: Scope,
    decoder: Box<dyn Decoder>,
}

impl Decoding {
    pub(super) fn new(agreement: &Agreement, role: Role) -> Self {
        let codec = agreement.codec();
        Self { reserved: codec.reserved_bits() & 7, scope: codec.scope(), decoder: codec.decoder(role) }
    }
}

impl Receiver {
    /// The reserved bits that the next data frame may have.
    pub(super) fn claimed_bits(&self) -> u8 {
        match &self.decoding {
            Some(decoding) if self.message.is_none() || decoding.scope == Scope::Frame => decoding.reserved,
            _ => 0,
        }
    }

    /// Whether the payload of a data frame that begins with this byte goes through the extension.
    pub(super) fn is_encoded(&self, first: u8, claimed: u8) -> bool {
        let goes_on = first & 0x0f == Opcode::Continuation as u8
            && self.decoding.as_ref().is_some_and(|decoding| decoding.scope == Scope::Message);
        if goes_on { self.assembly.encoded } else { (first >> 4) & 7 & claimed != 0 }
    }

    /// How much payload the open message may still have on the wire.
    pub(super) fn room_for(&self, encoded: bool) -> u64 {
        if encoded {
            // The limit counts what comes out. What goes in may be a little more, or come to nothing at all; for
            // that there must be an end, too.
            let most = self.message_limit.saturating_mul(2).saturating_add(64 * 1024);
            most.saturating_sub(self.assembly.encoded_announced)
        } else {
            self.message_limit.saturating_sub(self.assembly.counted)
        }
    }

    /// A data frame begins, the first of a message or not.
    pub(super) fn announce(&mut self, first: bool, header: &Header) -> Result<(), ProtocolError> {
        if let Some(decoding) = &mut self.decoding
            && (first || decoding.scope == Scope::Frame)
        {
            self.assembly.encoded = header.rsv != 0;
            if header.rsv != 0 {
                decoding.decoder.begin(header.rsv)?;
            }
        }
        if self.assembly.encoded {
            self.assembly.encoded_announced += header.len;
        } else {
            self.assembly.counted += header.len;
        }
        Ok(())
    }

    pub(super) fn encoded_payload<'i>(
        &mut self,
        frame: Frame,
        input: &mut Input<'i>,
    ) -> Result<Progress<'i>, ProtocolError> {
        if frame.left > 0 && input.is_empty() && !self.assembly.undrained {
            return Ok(Progress::Starved);
        }
        let kind = self.message.unwrap_or(Kind::Binary);
        let in_chunks = self.delivery_of_message() == Delivery::Chunks;
        let left = self.room_for(false);
        // Without an extension no payload is encoded.
        let Some(decoding) = &mut self.decoding else { return Err(ProtocolError::ReservedBits) };
        // Only what is used up is taken; it is unmasked where it lies.
        let bytes = input.peek_mut(usize::try_from(frame.left).unwrap_or(usize::MAX));
        if let Some(key) = frame.key {
            mask(key, 0, bytes);
        }
        let ends_frame = bytes.len() as u64 == frame.left;
        let last = ends_frame && frame.fin;
        let piece = EncodedPiece { bytes, end: last || (ends_frame && decoding.scope == Scope::Frame), last };
        let (data, decoded) = if in_chunks {
            let (data, decoded) = self.assembly.decode_chunk(kind, piece, &mut *decoding.decoder, left);
            (Some(data), decoded)
        } else {
            (None, self.assembly.decode(kind, piece, &mut *decoding.decoder, left))
        };
        let offered = bytes.len();
        let (used, done) = match decoded {
            Ok(decoded) if !decoded.done => (decoded.used.min(offered), false),
            _ => (offered, true),
        };
        if let (Some(key), Some(rest)) = (frame.key, bytes.get_mut(used..)) {
            mask(rotate(key, used), 0, rest);
        }
        input.take(used);
        self.payload_used(frame, used, done);
        let last = last && done;
        match (data, decoded) {
            (None, Err(error)) => Err(error),
            (None, Ok(_)) if last => {
                let payload = self.assembly.finish(kind)?;
                Ok(Progress::Event(self.message_done(kind, payload)))
            }
            (Some(data), Err(error)) if data.is_empty() => Err(error),
            (Some(data), decoded) if last || !data.is_empty() => {
                Ok(Progress::Event(self.hand_out(kind, Payload::owned(data), last, decoded.err())))
            }
            _ if self.frame.is_some() => Ok(Progress::Starved),
            _ => Ok(Progress::Frame),
        }
    }

    /// So much of the frame's payload went through the extension. The frame is over when the extension has given
    /// all that follows from it.
    fn payload_used(&mut self, frame: Frame, used: usize, done: bool) {
        self.stats.wire_bytes += used as u64;
        self.life.message_progress(used);
        self.assembly.undrained = !done;
        let left = frame.left - used as u64;
        let key = frame.key.map(|key| rotate(key, used));
        self.frame = (left > 0 || !done).then_some(Frame { left, key, ..frame });
    }
}
