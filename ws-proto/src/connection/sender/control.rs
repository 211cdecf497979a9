//! Pings, pongs, and how control frames are encoded.

use alloc::collections::VecDeque;
use core::time::Duration;

use super::super::control::ControlPayload;
use super::super::stats::RoundTrip;
use super::Sender;
use crate::error::SendError;
use crate::time::Instant;
use crate::wire::hybi::{Header, MAX_CONTROL, MAX_HEAD, Opcode};

/// Pings whose pongs are waited for; older ones are forgotten.
const MAX_PINGS: usize = 8;
/// Bytes of control frames that may wait for the transport.
const MAX_CONTROL_QUEUE: usize = 16 * 1024;

/// Pings that wait for their pongs.
#[derive(Debug, Default)]
pub(super) struct Pings {
    pub(super) sent: VecDeque<(ControlPayload, Instant)>,
    pub(super) round_trip: Option<RoundTrip>,
}

impl Sender {
    /// Queues a ping; its pong brings the round-trip time (RFC 6455 section 5.5.2).
    ///
    /// # Errors
    /// [`SendError::ControlTooLong`] over 125 bytes; [`SendError::Full`] when 16 KiB of control frames wait;
    /// [`SendError::Closed`]; [`SendError::Unsupported`] if the version has no pings ([`Version::has_ping`](crate::Version::has_ping));
    /// [`SendError::Entropy`].
    pub fn ping(&mut self, now: Instant, payload: &[u8]) -> Result<(), SendError> {
        let copy = ControlPayload::new(payload).ok_or(SendError::ControlTooLong(payload.len()))?;
        self.control(Opcode::Ping, payload)?;
        self.stats.pings += 1;
        self.track(now, copy);
        Ok(())
    }

    fn track(&mut self, now: Instant, payload: ControlPayload) {
        let pings = self.pings.get_or_insert_default();
        if pings.sent.len() == MAX_PINGS {
            pings.sent.pop_front();
        }
        pings.sent.push_back((payload, now));
    }

    /// Queues a pong: an answer given by hand, or one that nobody asked for (RFC 6455 section 5.5.3).
    ///
    /// # Errors
    /// As [`Sender::ping`].
    pub fn pong(&mut self, payload: &[u8]) -> Result<(), SendError> {
        self.control(Opcode::Pong, payload)?;
        self.stats.pongs += 1;
        Ok(())
    }

    fn control(&mut self, opcode: Opcode, payload: &[u8]) -> Result<(), SendError> {
        if payload.len() > MAX_CONTROL {
            return Err(SendError::ControlTooLong(payload.len()));
        }
        if self.closing.is_some() || self.ended {
            return Err(SendError::Closed(()));
        }
        if !self.version.has_ping() {
            return Err(SendError::Unsupported(self.version));
        }
        if self.queue.control_pending() > MAX_CONTROL_QUEUE {
            return Err(SendError::Full(()));
        }
        let mask = self.next_mask()?;
        let frame = self.control_frame(opcode, mask, &[payload]);
        self.queue.control().extend_from_slice(frame.as_slice());
        self.count_control(frame.len);
        Ok(())
    }

    pub(super) fn control_frame(&self, opcode: Opcode, mask: Option<[u8; 4]>, payload: &[&[u8]]) -> ControlFrame {
        #[cfg(feature = "legacy")]
        if let Some(legacy) = &self.legacy {
            return legacy.control_frame(opcode, mask, payload);
        }
        ControlFrame::new(opcode, mask, payload)
    }

    pub(super) fn count_control(&mut self, wire_bytes: usize) {
        self.stats.frames += 1;
        self.stats.wire_bytes += wire_bytes as u64;
    }

    /// A pong arrived: the round-trip time, if it answers a ping of ours.
    pub fn pong_received(&mut self, now: Instant, payload: &[u8]) -> Option<Duration> {
        let pings = self.pings.as_mut()?;
        let at = pings.sent.iter().position(|(sent, _)| sent.as_slice() == payload)?;
        let (_, sent_at) = pings.sent.drain(..=at).next_back()?;
        let sample = now.duration_since(sent_at);
        pings.round_trip = Some(RoundTrip::update(pings.round_trip, sample));
        Some(sample)
    }
}

/// A whole control frame.
pub(super) struct ControlFrame {
    pub(super) bytes: [u8; MAX_HEAD + MAX_CONTROL],
    pub(super) len: usize,
}

impl ControlFrame {
    /// The payload has at most 125 bytes.
    pub(super) fn new(opcode: Opcode, mask: Option<[u8; 4]>, payload: &[&[u8]]) -> Self {
        let len = payload.iter().map(|part| part.len()).sum::<usize>();
        let mut head = [0; MAX_HEAD];
        let used = Header { fin: true, rsv: 0, opcode, mask, len: len as u64 }.encode(&mut head);
        let mut frame = Self { bytes: [0; MAX_HEAD + MAX_CONTROL], len: 0 };
        frame.extend(head.get(..used).unwrap_or_default());
        payload.iter().for_each(|part| frame.extend(part));
        if let (Some(key), Some(body)) = (mask, frame.bytes.get_mut(used..frame.len)) {
            crate::wire::mask(key, 0, body);
        }
        frame
    }

    pub(super) fn extend(&mut self, bytes: &[u8]) {
        if let Some(room) = self.bytes.get_mut(self.len..self.len + bytes.len()) {
            room.copy_from_slice(bytes);
            self.len += bytes.len();
        }
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}
