//! Frames as they were laid out before hybi-07.

use super::super::Negotiated;
use super::control::ControlFrame;
use super::{OpenMessage, Sender, Start, opcode};
use crate::config::Config;
use crate::entropy::EntropyError;
use crate::error::SendError;
use crate::message::{IntoMessage, Kind};
use crate::version::{Layout, Role};
use crate::wire::hybi::{Header, MAX_CONTROL, MAX_HEAD, Opcode};
use crate::wire::{early, hixie};

#[derive(Debug)]
pub(super) enum Legacy {
    Early(early::Layout),
    Hixie {
        /// hixie-76.
        has_close: bool,
        /// The program wants binary messages, though the drafts have none.
        binary: bool,
    },
}

impl Legacy {
    pub(super) fn new(role: Role, negotiated: &Negotiated, config: &Config) -> Option<Self> {
        match negotiated.version.layout() {
            Layout::Hixie => {
                Some(Self::Hixie { has_close: negotiated.version.has_close(), binary: config.leniency.hixie_binary })
            }
            Layout::Early => Some(Self::Early(negotiated.early_layout(role))),
            Layout::Hybi => None,
        }
    }

    /// hixie-75 and -76 have none but the Close of -76.
    pub(super) fn control_frame(&self, opcode: Opcode, mask: Option<[u8; 4]>, payload: &[&[u8]]) -> ControlFrame {
        let mut frame = ControlFrame { bytes: [0; MAX_HEAD + MAX_CONTROL], len: 0 };
        match self {
            Self::Early(layout) => {
                let len = payload.iter().map(|part| part.len() as u64).sum();
                let header = Header { fin: true, rsv: 0, opcode, mask: None, len };
                let mut bytes = alloc::vec::Vec::new();
                layout.encode(&header, mask.unwrap_or_default(), payload, &mut bytes);
                frame.extend(&bytes);
            }
            Self::Hixie { has_close: true, .. } if opcode == Opcode::Close => frame.extend(&hixie::CLOSE),
            Self::Hixie { .. } => {}
        }
        frame
    }
}

impl Sender {
    /// Whether the version has no messages of this kind.
    pub(super) fn lacks(&self, kind: Kind) -> bool {
        kind == Kind::Binary && matches!(self.legacy.as_deref(), Some(Legacy::Hixie { binary: false, .. }))
    }

    #[cold]
    pub(super) fn send_legacy<M: IntoMessage>(&mut self, message: M) -> Result<(), SendError<M>> {
        if self.lacks(message.kind()) {
            return Err(SendError::Unsupported(self.version));
        }
        if self.version.has_fragments() && message.bytes().len() > self.max_frame {
            return self.send_fragmented(message);
        }
        self.frame(Start::new(opcode(message.kind()), true), message.bytes())?;
        self.stats.messages += 1;
        self.stats.message_bytes += message.bytes().len() as u64;
        Ok(())
    }

    #[cold]
    pub(super) fn legacy_frame(&mut self, start: Start, payload: &[u8]) -> Result<(), EntropyError> {
        let clear = self.next_mask()?.unwrap_or_default();
        let run = self.queue.open_run();
        let at = run.len();
        // The longest head: hixie has a byte before and nine of a length, or one behind.
        run.reserve(payload.len() + early::MAX_HEAD);
        match self.legacy.as_deref() {
            Some(Legacy::Early(layout)) => {
                layout.encode(&start.header(None, payload.len()), clear, &[payload], run);
                self.stats.frames += 1;
            }
            Some(Legacy::Hixie { .. }) if start.opcode == Opcode::Binary => {
                run.push(hixie::BINARY);
                hixie::Length::encode(payload.len() as u64, run);
                run.extend_from_slice(payload);
                self.stats.frames += 1;
            }
            // The pieces of a text simply follow each other.
            Some(Legacy::Hixie { .. }) => {
                if start.opcode != Opcode::Continuation {
                    run.push(hixie::TEXT);
                    self.stats.frames += 1;
                }
                run.extend_from_slice(payload);
                if start.fin {
                    run.push(hixie::END);
                }
            }
            None => {}
        }
        let len = run.len() - at;
        self.queue.appended(len);
        self.stats.wire_bytes += len as u64;
        Ok(())
    }

    /// A message that is open when the Close is to go out: without frames, its text must end before that.
    ///
    /// In hixie-75, which has no Close, it stays open, so that the peer does not take the part for the whole.
    pub(super) fn cut_legacy_message(&mut self) {
        let Some(mut text) = self.open.as_ref().and_then(OpenMessage::text_begun) else { return };
        if matches!(self.legacy.as_deref(), Some(Legacy::Hixie { has_close: true, .. })) {
            let run = self.queue.open_run();
            let at = run.len();
            // A character that was cut is made a whole one: a peer that checks would not get as far as the Close.
            let mut next = || [0x80, 0xa0].into_iter().find(|byte| !text.is_complete() && text.push(&[*byte]).is_ok());
            while let Some(byte) = next() {
                run.push(byte);
            }
            run.push(hixie::END);
            let len = run.len() - at;
            self.queue.appended(len);
            self.stats.wire_bytes += len as u64;
        }
    }
}
