//! Frames as they were laid out before hybi-07.
//!
//! Those of hybi-01 to -06 differ in their heads alone: behind those they are frames like others. hixie-75 and -76 have
//! no frames in that sense, but text between two bytes.

use super::super::Negotiated;
use super::super::event::Event;
use super::{Frame, Progress, Receiver};
use crate::config::Delivery;
use crate::error::ProtocolError;
use crate::input::Input;
use crate::message::{Kind, Payload, Text};
use crate::time::Instant;
use crate::version::{Layout, Role, Version};
use crate::wire::hybi::{Header, MaskRule, Opcode, Rules};
use crate::wire::utf8::is_utf8;
use crate::wire::{early, hixie};

#[derive(Debug)]
pub(super) enum Legacy {
    Early { layout: early::Layout, key: Option<early::Key> },
    Hixie { place: Place, has_close: bool },
}

/// Where in the stream of hixie-75 or -76 the next byte stands.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    /// Before the first byte of a frame.
    Between,
    Text,
    /// In a reserved frame that ends with FF, with so many bytes so far.
    Delimited(u64),
    /// In the length of a frame that began with this byte.
    Length(u8, hixie::Length),
    /// In a reserved frame, with so many bytes to come.
    Skip(u64),
}

impl Legacy {
    pub(super) fn new(role: Role, negotiated: &Negotiated) -> Option<Self> {
        let version = negotiated.version;
        match version.layout() {
            Layout::Hixie => Some(Self::Hixie { place: Place::Between, has_close: version.has_close() }),
            Layout::Early => Some(Self::Early { layout: negotiated.early_layout(role.peer()), key: None }),
            Layout::Hybi => None,
        }
    }

    pub(super) fn is_between_texts(&self) -> bool {
        matches!(self, Self::Hixie { place: Place::Between, .. })
    }
}

impl Negotiated {
    /// How an end of this role sends frames in hybi-01 to -06.
    pub(in crate::connection) fn early_layout(&self, sender: Role) -> early::Layout {
        let masking = match self.masking_key.as_deref().copied() {
            _ if sender == Role::Server || !self.version.masks() => early::Masking::None,
            Some(key) if self.version == Version::Hybi04 => early::Masking::Keyed(key),
            // Without the nonces of the handshake there is no such key.
            None if self.version == Version::Hybi04 => early::Masking::Keyed([0; 20]),
            _ => early::Masking::Plain,
        };
        early::Layout { more: !self.version.masks(), masking }
    }
}

impl Receiver {
    /// Between frames: what comes next.
    pub(super) fn legacy_step<'i>(
        &mut self,
        now: Instant,
        input: &mut Input<'i>,
    ) -> Result<Progress<'i>, ProtocolError> {
        match self.legacy.as_deref() {
            Some(Legacy::Early { layout, .. }) => {
                let Some((header, key)) = self.read_early_head(*layout, input)? else { return Ok(Progress::Starved) };
                self.begin_frame(now, &header)?;
                if let Some(Legacy::Early { key: slot, .. }) = self.legacy.as_deref_mut() {
                    *slot = key;
                }
                Ok(Progress::Frame)
            }
            Some(Legacy::Hixie { place, has_close }) => self.hixie_step(now, *place, *has_close, input),
            None => Ok(Progress::Starved),
        }
    }

    /// Unmasks payload of a frame whose mask is not that of RFC 6455.
    pub(super) fn legacy_unmask(&mut self, bytes: &mut [u8]) {
        if let Some(Legacy::Early { key: Some(key), .. }) = self.legacy.as_deref_mut() {
            key.apply(bytes);
        }
    }

    fn read_early_head(
        &mut self,
        layout: early::Layout,
        input: &mut Input<'_>,
    ) -> Result<Option<(Header, Option<early::Key>)>, ProtocolError> {
        let rules = Rules {
            max_payload: self.room_for(false).min(self.frame_limit),
            over_limit: if self.room_for(false) < self.frame_limit {
                ProtocolError::MessageTooBig
            } else {
                ProtocolError::FrameTooBig
            },
            long_lengths: true,
            ..Rules::new(MaskRule::Any)
        };
        if self.head_len == 0 {
            let bytes = input.as_slice();
            self.check_early_start(layout, bytes)?;
            if let Some((header, key, used)) = layout.decode(bytes, &rules)? {
                input.take(used);
                self.stats.wire_bytes += used as u64;
                return Ok(Some((header, key)));
            }
        }
        while let [byte] = *input.take(1) {
            if let Some(slot) = self.head.get_mut(usize::from(self.head_len)) {
                *slot = byte;
                self.head_len += 1;
            }
            let bytes = self.head.get(..usize::from(self.head_len)).unwrap_or_default();
            if bytes.len() == layout.start() {
                self.check_early_start(layout, bytes)?;
            }
            if let Some((header, key, used)) = layout.decode(bytes, &rules)? {
                self.head_len = 0;
                self.stats.wire_bytes += used as u64;
                return Ok(Some((header, key)));
            }
        }
        Ok(None)
    }

    /// The order of fragments, as soon as it can be told.
    fn check_early_start(&self, layout: early::Layout, bytes: &[u8]) -> Result<(), ProtocolError> {
        match layout.opcode(bytes) {
            Some(Some(opcode)) => self.check_order(opcode),
            _ => Ok(()),
        }
    }

    fn hixie_step<'i>(
        &mut self,
        now: Instant,
        place: Place,
        has_close: bool,
        input: &mut Input<'i>,
    ) -> Result<Progress<'i>, ProtocolError> {
        let next = match place {
            Place::Text => return self.hixie_text(input),
            Place::Skip(0) => self.hixie_skipped(),
            _ if input.is_empty() => return Ok(Progress::Starved),
            Place::Between => self.hixie_start(now, input)?,
            Place::Delimited(so_far) => self.hixie_delimited(so_far, input)?,
            Place::Length(first, length) => match self.hixie_length(now, first, length, input)? {
                Place::Skip(0) if first == hixie::END && has_close => {
                    self.stats.frames += 1;
                    return Ok(Progress::Event(Event::Closing(self.peer_closed(&[]))));
                }
                next => next,
            },
            Place::Skip(left) => {
                let bytes = input.take(usize::try_from(left).unwrap_or(usize::MAX)).len() as u64;
                self.stats.wire_bytes += bytes;
                Place::Skip(left - bytes)
            }
        };
        self.set_place(next);
        Ok(Progress::Frame)
    }

    /// The first byte of a frame.
    fn hixie_start(&mut self, now: Instant, input: &mut Input<'_>) -> Result<Place, ProtocolError> {
        let [first] = *input.take(1) else { return Ok(Place::Between) };
        self.stats.wire_bytes += 1;
        Ok(match first {
            hixie::TEXT => {
                self.hixie_message(now, Kind::Text)?;
                Place::Text
            }
            0x01..=0x7f => Place::Delimited(0),
            _ => Place::Length(first, hixie::Length::default()),
        })
    }

    /// A reserved frame that is thrown away up to the byte that ends it.
    fn hixie_delimited(&mut self, so_far: u64, input: &mut Input<'_>) -> Result<Place, ProtocolError> {
        let end = memchr::memchr(hixie::END, input.as_slice());
        let so_far = so_far.saturating_add(end.unwrap_or(input.len()) as u64);
        if so_far > self.message_limit {
            return Err(ProtocolError::MessageTooBig);
        }
        self.stats.wire_bytes += input.take(end.map_or(usize::MAX, |at| at + 1)).len() as u64;
        Ok(if end.is_some() { self.hixie_skipped() } else { Place::Delimited(so_far) })
    }

    /// A byte of the length of a frame.
    fn hixie_length(
        &mut self,
        now: Instant,
        first: u8,
        mut length: hixie::Length,
        input: &mut Input<'_>,
    ) -> Result<Place, ProtocolError> {
        let [byte] = *input.take(1) else { return Ok(Place::Length(first, length)) };
        self.stats.wire_bytes += 1;
        let most = self.message_limit.min(self.frame_limit);
        let len = length.push(byte, most).map_err(|error| match error {
            ProtocolError::FrameTooBig if most < self.frame_limit => ProtocolError::MessageTooBig,
            error => error,
        })?;
        Ok(match len {
            None => Place::Length(first, length),
            Some(len) if first == hixie::BINARY && self.config.leniency.hixie_binary => {
                self.hixie_message(now, Kind::Binary)?;
                self.assembly.counted = len;
                self.frame = Some(Frame { opcode: Opcode::Binary, fin: true, key: None, len, left: len });
                Place::Between
            }
            Some(len) => Place::Skip(len),
        })
    }

    fn set_place(&mut self, next: Place) {
        if let Some(Legacy::Hixie { place, .. }) = self.legacy.as_deref_mut() {
            *place = next;
        }
    }

    /// A reserved frame is over.
    fn hixie_skipped(&mut self) -> Place {
        self.stats.frames += 1;
        Place::Between
    }

    /// A message begins. It counts as one fragment, which with none allowed is one too many.
    fn hixie_message(&mut self, now: Instant, kind: Kind) -> Result<(), ProtocolError> {
        if self.config.limits.fragments == 0 {
            return Err(ProtocolError::TooManyFragments);
        }
        self.stats.frames += 1;
        self.message = Some(kind);
        self.assembly.fragments = 1;
        self.life.message_begun(now);
        Ok(())
    }

    /// Text, up to the byte that ends it.
    fn hixie_text<'i>(&mut self, input: &mut Input<'i>) -> Result<Progress<'i>, ProtocolError> {
        if input.is_empty() {
            return Ok(Progress::Starved);
        }
        let end = memchr::memchr(hixie::END, input.as_slice());
        let len = end.unwrap_or(input.len());
        let room = self.room_for(false);
        let whole = self.assembly.counted == 0 && end.is_some();
        let fitting = usize::try_from(room).unwrap_or(usize::MAX).min(len);
        let bytes = input.take(fitting);
        self.stats.wire_bytes += fitting as u64;
        self.assembly.counted += fitting as u64;
        self.life.message_progress(fitting);
        let in_chunks = self.delivery_of_message() == Delivery::Chunks;
        if fitting < len {
            // Of what is handed out in pieces, all that the limit allows.
            if in_chunks && fitting > 0 {
                return self.chunk(Kind::Text, None, bytes, false, Some(ProtocolError::MessageTooBig));
            }
            // What precedes the limit may be what is wrong first.
            let checked = self.assembly.check_chunk(Kind::Text, None, bytes, false);
            return Err(checked.err().map_or(ProtocolError::MessageTooBig, |(_, error)| error));
        }
        if end.is_some() {
            input.take(1);
            self.stats.wire_bytes += 1;
            self.set_place(Place::Between);
        }
        if in_chunks {
            return self.chunk(Kind::Text, None, bytes, end.is_some(), None);
        }
        let payload = if whole {
            self.assembly.whole(Kind::Text, None, bytes)?
        } else {
            self.assembly.append(Kind::Text, None, bytes, u64::MAX)?;
            if end.is_none() {
                return Ok(Progress::Starved);
            }
            self.assembly.finish(Kind::Text)?
        };
        Ok(Progress::Event(self.message_done(Kind::Text, payload)))
    }

    /// A whole text of hixie-75 or -76 that breaks no rule; anything else is left alone.
    #[inline]
    pub(super) fn whole_text<'i>(&mut self, now: Instant, input: &mut Input<'i>) -> Option<Event<'i>> {
        let (&first, rest) = input.as_slice().split_first()?;
        if first != hixie::TEXT {
            return None;
        }
        let len = memchr::memchr(hixie::END, rest)?;
        if len as u64 > self.message_limit || !(rest.get(..len)?.is_ascii() || is_utf8(rest.get(..len)?)) {
            return None;
        }
        let frame = input.take(len + 2);
        self.life.heard(now);
        self.stats.frames += 1;
        self.stats.wire_bytes += frame.len() as u64;
        self.stats.messages += 1;
        self.stats.message_bytes += len as u64;
        let [_, text @ .., _] = frame else { return None };
        Some(Event::Text(Text::checked(Payload::lent(text))))
    }
}
