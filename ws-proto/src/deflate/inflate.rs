//! What arrives: inflated as it comes, by an inflater that belongs to the thread.
//!
//! Between two messages a connection keeps only its [`History`]. Whatever the window that was agreed, inflaters have the
//! largest; one that has last worked for the same connection goes on where it was, any other is reset and given the
//! history. What comes out depends on the bytes of the connection alone.

use std::boxed::Box;
use std::fmt;

use zlib_rs::{InflateFlush, Status};

use super::pool::{self, Inflater, NoMemory, Scratch, Tag};
use super::window::History;
use crate::error::ProtocolError;
use crate::extension::{Decoded, Decoder, Sink};

/// The end of an empty stored block, which every message ends with and the sender leaves out (RFC 7692 section 7.2.1);
/// and a whole one, which must fit behind it.
const TAIL: [u8; 9] = [0x00, 0x00, 0xff, 0xff, 0x00, 0x00, 0x00, 0xff, 0xff];
/// How many bytes of it belong to the message.
const MISSING: usize = 4;

/// The decoder of a connection.
pub(super) struct Decompress {
    /// What later messages may refer to, if they may.
    history: Option<History>,
    /// Inflaters with this tag hold the history already. Only with the largest window: with a smaller one they would
    /// remember more than the history.
    tag: Tag,
    largest: bool,
    /// From the first byte of a message until its end.
    held: Option<Box<Inflater>>,
    /// The last step filled all the room it had, so there may be more without further input.
    more: bool,
    /// Nothing came after a final block.
    ended: bool,
}

/// What one call of the library did.
struct Step {
    consumed: usize,
    produced: usize,
    /// A final block ended.
    ended: bool,
    /// The data is invalid; what was produced precedes the fault.
    invalid: bool,
}

impl Decompress {
    /// For messages that were compressed with this window, 8 to 15, and refer to earlier ones or not.
    pub(super) fn new(window_bits: u8, takeover: bool) -> Self {
        Self {
            history: takeover.then(|| History::new(window_bits)),
            tag: Tag::unique(),
            largest: window_bits >= 15,
            held: None,
            more: false,
            ended: false,
        }
    }

    /// An inflater that holds what this message may refer to.
    fn start(&mut self) -> Result<Box<Inflater>, ProtocolError> {
        self.more = false;
        self.ended = false;
        let useful = self.largest && self.history.is_some();
        let mut machine = pool::inflater(useful.then_some(self.tag))?;
        if !machine.holds(self.tag) {
            machine.raw.reset(false);
            for part in self.history.iter().flat_map(History::parts).filter(|part| !part.is_empty()) {
                machine.raw.set_dictionary(part).map_err(|_| ProtocolError::InvalidCompression)?;
            }
        }
        self.tag.advance();
        Ok(machine)
    }

    /// Inflates until the input and what follows from it is used up (`true`) or the sink is full.
    fn run(
        &mut self,
        machine: &mut Inflater,
        input: &[u8],
        used: &mut usize,
        out: &mut Sink<'_>,
    ) -> Result<bool, ProtocolError> {
        let mut scratch = Scratch::take()?;
        loop {
            let rest = input.get(*used..).unwrap_or_default();
            if rest.is_empty() && !self.more {
                return Ok(true);
            }
            let room = out.room().min(scratch.len());
            if room == 0 {
                return Ok(false);
            }
            let Some(buffer) = scratch.get_mut(..room) else { return Ok(false) };
            let step = inflate(machine, rest, buffer, InflateFlush::NoFlush);
            let Some(text) = buffer.get(..step.produced) else { return Ok(false) };
            *used += step.consumed;
            self.more = step.produced == room && !step.ended;
            if step.consumed > 0 {
                self.ended = false;
            }
            out.write(text)?;
            let halted = step.consumed == 0 && step.produced == 0 && !rest.is_empty() && !step.ended;
            if step.invalid || halted {
                return Err(ProtocolError::InvalidCompression);
            }
            if step.ended {
                // RFC 7692 section 7.2.3.4. What follows, in this message or the next, is another stream.
                self.ended = true;
                machine.raw.reset(false);
                self.forget();
            } else if let Some(history) = &mut self.history {
                history.push(text).map_err(|_| ProtocolError::OutOfMemory)?;
            }
        }
    }

    /// Checks that the message is complete, and gives the inflater back.
    fn finish(&mut self, mut machine: Box<Inflater>) -> Result<(), ProtocolError> {
        if !self.ended {
            self.ended = check_end(&mut machine)?;
            if self.ended {
                self.forget();
            }
        }
        let tag = (self.history.is_some() && self.largest && !self.ended).then_some(self.tag);
        pool::give_inflater(machine, tag);
        Ok(())
    }

    fn forget(&mut self) {
        if let Some(history) = &mut self.history {
            history.clear();
        }
    }
}

impl Decoder for Decompress {
    fn decode(&mut self, input: &[u8], end: bool, out: &mut Sink<'_>) -> Result<Decoded, ProtocolError> {
        let mut machine = match self.held.take() {
            Some(machine) => machine,
            // A message without any payload; the specification has one byte for it, but what else could it be?
            None if input.is_empty() => return Ok(Decoded { used: 0, done: true }),
            None => self.start()?,
        };
        let mut used = 0;
        // An error drops the inflater.
        let done = self.run(&mut machine, input, &mut used, out)?;
        if done && end {
            self.finish(machine)?;
        } else {
            self.held = Some(machine);
        }
        Ok(Decoded { used, done })
    }
}

impl Drop for Decompress {
    fn drop(&mut self) {
        if let Some(machine) = self.held.take() {
            pool::give_inflater(machine, None);
        }
    }
}

impl fmt::Debug for Decompress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decompress")
            .field("takeover", &self.history.is_some())
            .field("in_message", &self.held.is_some())
            .finish_non_exhaustive()
    }
}

impl From<NoMemory> for ProtocolError {
    fn from(_: NoMemory) -> Self {
        Self::OutOfMemory
    }
}

/// Checks that the message ends where its sender left the tail out. `true` if the tail makes its last block a final one.
///
/// With [`InflateFlush::Block`] the inflater stops behind a block. If it does so behind the tail, then either the tail
/// was one, or it was bits of something else that happens to end in its last byte. A second empty block tells these
/// apart: the bits of that byte that are left would be ones, so it would be a final block or none at all.
fn check_end(machine: &mut Inflater) -> Result<bool, ProtocolError> {
    let mut none = [0];
    let step = inflate(machine, &TAIL, &mut none, InflateFlush::Block);
    if step.consumed == MISSING && step.produced == 0 && !step.ended && !step.invalid {
        let (_, rest) = TAIL.split_at(MISSING);
        let step = inflate(machine, rest, &mut none, InflateFlush::NoFlush);
        match (step.consumed, step.produced, step.ended) {
            (5, 0, false) if !step.invalid => return Ok(false),
            (0, 0, true) => return Ok(true),
            _ => {}
        }
    }
    Err(ProtocolError::InvalidCompression)
}

fn inflate(machine: &mut Inflater, input: &[u8], output: &mut [u8], flush: InflateFlush) -> Step {
    let raw = &mut machine.raw;
    let before = (raw.total_in(), raw.total_out());
    let status = raw.decompress(input, output, flush);
    Step {
        consumed: (raw.total_in() - before.0) as usize,
        produced: (raw.total_out() - before.1) as usize,
        ended: status == Ok(Status::StreamEnd),
        invalid: status.is_err(),
    }
}
