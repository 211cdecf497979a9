//! What is sent: compressed by a compressor of the connection's own, or by one of the thread's.

use core::time::Duration;
use std::boxed::Box;
use std::fmt;
use std::vec::Vec;

use zlib_rs::DeflateFlush;

use super::Deflate;
use super::pool::{self, Compressor, NoMemory, Parameters, Scratch, Tag};
use super::window::History;
use crate::extension::{EncodeError, Encoder, Outgoing, RSV1};

/// How the output of a flush ends, and what is left out at the end of a message (RFC 7692 section 7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];
/// What is left of an empty stored block without its tail (RFC 7692 section 7.2.3.6).
const EMPTY: u8 = 0x00;

/// What stays from message to message.
enum Takeover {
    No,
    /// The compressor.
    Own,
    /// What was sent; any compressor of the thread goes on from there.
    Shared(History),
}

/// The encoder of a connection.
pub(super) struct Compress {
    parameters: Parameters,
    takeover: Takeover,
    /// Compressors with this tag hold the history already.
    tag: Tag,
    /// During a message, and with [`Takeover::Own`] between messages too.
    held: Option<Box<Compressor>>,
    min_size: usize,
    idle_release: Option<Duration>,
}

impl Compress {
    /// With a window of 8 to 15 bits.
    pub(super) fn new(settings: &Deflate, window_bits: u8, takeover: bool) -> Self {
        let parameters = Parameters {
            level: settings.level.min(9),
            // There is no compressor with a window of 256 bytes; that of 512 never looks back further than 250.
            window_bits: window_bits.clamp(9, 15),
            memory_level: settings.memory_level.clamp(1, 9),
        };
        let takeover = match (takeover, settings.shared_compressor) {
            (false, _) => Takeover::No,
            (true, false) => Takeover::Own,
            (true, true) => Takeover::Shared(History::new(window_bits)),
        };
        let (min_size, idle_release) = (settings.min_size, settings.idle_release);
        Self { parameters, takeover, tag: Tag::unique(), held: None, min_size, idle_release }
    }

    /// A compressor that holds what this message may refer to.
    fn start(&mut self) -> Result<Box<Compressor>, EncodeError> {
        let tag = matches!(self.takeover, Takeover::Shared(_)).then_some(self.tag);
        let mut machine = pool::compressor(self.parameters, tag)?;
        if !machine.holds(self.tag) {
            machine.raw.0.reset();
            if let Takeover::Shared(history) = &mut self.takeover {
                let sent = history.whole();
                if !sent.is_empty() {
                    machine.raw.0.set_dictionary(sent).map_err(|_| EncodeError)?;
                }
            }
        }
        self.tag.advance();
        Ok(machine)
    }

    /// The message is over: the compressor stays or goes back.
    fn finish(&mut self, machine: Box<Compressor>) {
        match self.takeover {
            Takeover::No => pool::give_compressor(machine, None),
            Takeover::Own => self.held = Some(machine),
            Takeover::Shared(_) => pool::give_compressor(machine, Some(self.tag)),
        }
    }
}

impl Encoder for Compress {
    fn begin(&mut self, message: &Outgoing) -> Option<u8> {
        let worth = || message.len.is_none_or(|len| len >= self.min_size);
        message.compress.unwrap_or_else(worth).then_some(RSV1)
    }

    fn encode(&mut self, piece: &[u8], end: bool, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if piece.is_empty() {
            // The output so far, if any, ends with a whole block.
            if end {
                push(out, &[EMPTY])?;
                if let Some(machine) = self.held.take() {
                    self.finish(machine);
                }
            }
            return Ok(());
        }
        let mut machine = match self.held.take() {
            Some(machine) => machine,
            None => self.start()?,
        };
        // An error drops the compressor.
        deflate(&mut machine, piece, out)?;
        if let Takeover::Shared(history) = &mut self.takeover {
            history.push(piece).map_err(|_| EncodeError)?;
        }
        if end {
            cut_tail(out)?;
            self.finish(machine);
        } else {
            self.held = Some(machine);
        }
        Ok(())
    }

    fn standalone(&self) -> Option<(&'static str, u64)> {
        let Parameters { level, window_bits, memory_level } = self.parameters;
        Some(("deflate", u64::from_be_bytes([0, 0, 0, 0, 0, level, window_bits, memory_level])))
    }

    fn encode_standalone(&mut self, message: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if message.is_empty() {
            return push(out, &[EMPTY]);
        }
        let mut machine = pool::compressor(self.parameters, None)?;
        machine.raw.0.reset();
        deflate(&mut machine, message, out)?;
        cut_tail(out)?;
        pool::give_compressor(machine, None);
        Ok(())
    }

    fn standalone_sent(&mut self) {
        // The peer's window now ends with something that was never in ours.
        self.release();
    }

    fn idle_after(&self) -> Option<Duration> {
        let keeps = self.held.is_some() || matches!(&self.takeover, Takeover::Shared(sent) if !sent.is_empty());
        self.idle_release.filter(|_| keeps)
    }

    /// Even within a message: its pieces end with whole blocks, and the next may begin with an empty window.
    fn release(&mut self) {
        if let Some(machine) = self.held.take() {
            pool::give_compressor(machine, None);
        }
        if let Takeover::Shared(history) = &mut self.takeover {
            history.release();
            self.tag.advance(); // what a compressor in some pool remembers is of no use any more
        }
    }
}

impl Drop for Compress {
    fn drop(&mut self) {
        self.release();
    }
}

impl fmt::Debug for Compress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let takeover = match self.takeover {
            Takeover::No => "no",
            Takeover::Own => "own",
            Takeover::Shared(_) => "shared",
        };
        f.debug_struct("Compress")
            .field("parameters", &self.parameters)
            .field("takeover", &takeover)
            .field("holds_compressor", &self.held.is_some())
            .finish_non_exhaustive()
    }
}

impl From<NoMemory> for EncodeError {
    fn from(_: NoMemory) -> Self {
        Self
    }
}

/// Compresses all of `input` and flushes, so that the peer can decode it and the output ends with [`TAIL`].
fn deflate(machine: &mut Compressor, input: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let mut scratch = Scratch::take()?;
    let raw = &mut machine.raw.0;
    let before = (raw.total_in(), raw.total_out());
    let mut used = 0;
    loop {
        let rest = input.get(used..).unwrap_or_default();
        let written = raw.total_out();
        raw.compress(rest, &mut scratch, DeflateFlush::SyncFlush).map_err(|_| EncodeError)?;
        used = (raw.total_in() - before.0) as usize;
        let output = scratch.get(..(raw.total_out() - written) as usize).ok_or(EncodeError)?;
        if output.len() < scratch.len() {
            push(out, output)?;
            return if used == input.len() { Ok(()) } else { Err(EncodeError) };
        }
        // A step of many: room for all that is to come, if it goes on like this.
        let (left, done) = ((input.len() - used) as u128, u128::from(raw.total_out() - before.1));
        let to_come = left * done / (used.max(1) as u128);
        out.try_reserve(output.len() + usize::try_from(to_come).unwrap_or(0)).map_err(|_| EncodeError)?;
        push(out, output)?;
    }
}

fn cut_tail(out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let len = out.strip_suffix(&TAIL).ok_or(EncodeError)?.len();
    out.truncate(len);
    Ok(())
}

fn push(out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), EncodeError> {
    out.try_reserve(bytes.len()).map_err(|_| EncodeError)?;
    out.extend_from_slice(bytes);
    Ok(())
}
