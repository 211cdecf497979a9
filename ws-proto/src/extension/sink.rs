//! Where decoded payload goes: the one place that bounds it.

use alloc::vec::Vec;

use crate::error::ProtocolError;
use crate::room;

/// Takes what a [`Decoder`](super::Decoder) makes, and never more than `Limits::message` of it.
///
/// A decoder can't allocate memory for a message in any other way, so the limit holds for every extension.
#[derive(Debug)]
pub struct Sink<'b> {
    buffer: &'b mut Vec<u8>,
    /// Bytes that may still be written to the message.
    left: u64,
    /// Bytes that may be written in this call.
    step: usize,
    written: usize,
    /// What is written now is probably all.
    last: bool,
    /// What a write came to, lest a decoder ignores it and a message comes out shortened.
    fault: Option<ProtocolError>,
}

impl<'b> Sink<'b> {
    /// Appends to `buffer` up to `left` bytes, and not many more than `step` of them now.
    pub(crate) fn new(buffer: &'b mut Vec<u8>, left: u64, step: usize, last: bool) -> Self {
        Self { buffer, left, step, written: 0, last, fault: None }
    }

    /// How many bytes can be written now. With 0 the decoder must wait for the next call.
    ///
    /// At the end of a message's allowance this is one byte more than it: a decoder that writes it finds out that the
    /// message is too big.
    #[must_use]
    pub fn room(&self) -> usize {
        let left = usize::try_from(self.left.saturating_add(1)).unwrap_or(usize::MAX);
        left.min(self.step.saturating_sub(self.written))
    }

    /// Appends to the message.
    ///
    /// # Errors
    /// [`ProtocolError::MessageTooBig`] if that is more than the message may have: as much as fits was appended.
    /// [`ProtocolError::OutOfMemory`].
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), ProtocolError> {
        let result = self.append(bytes);
        self.fault = self.fault.or(result.err());
        result
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), ProtocolError> {
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        let fitting = bytes.get(..left).unwrap_or(bytes);
        self.left -= fitting.len() as u64;
        // What is written first is most often all. If it isn't, a long message must not be moved with every step.
        let to_come = if self.last { self.left.min(self.buffer.len() as u64 / 4) } else { self.left };
        room::make(self.buffer, fitting.len(), to_come)?;
        self.buffer.extend_from_slice(fitting);
        self.written += fitting.len();
        if fitting.len() < bytes.len() { Err(ProtocolError::MessageTooBig) } else { Ok(()) }
    }

    /// The first error that a write gave.
    pub(crate) fn fault(&self) -> Option<ProtocolError> {
        self.fault
    }

    /// How many bytes were written.
    pub(crate) fn written(&self) -> usize {
        self.written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_is_moved_now_and_then_and_a_short_one_never() {
        let mut buffer = Vec::new();
        let mut sink = Sink::new(&mut buffer, 16 << 20, usize::MAX, true);
        let mut moves = 0;
        while sink.left > 0 {
            let before = sink.buffer.capacity();
            sink.write(&[7; 16 * 1024]).unwrap();
            moves += u32::from(sink.buffer.capacity() != before);
        }
        assert_eq!(buffer.capacity(), 16 << 20);
        assert!(moves < 40, "{moves}");

        let mut buffer = Vec::new();
        Sink::new(&mut buffer, 16 << 20, usize::MAX, true).write(&[7; 1000]).unwrap();
        assert_eq!(buffer.capacity(), 1000);
    }
}
